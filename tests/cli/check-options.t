#!/bin/sh
# scripts/check-options finds what a table and a man page do not share.
. "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}/tests/lib.sh"
demo=${top_builddir:-.}/common/cli/cli_demo
page=$scratch/cli_demo.1
check() {
	MANDIR_TO_CHECK=$scratch sh "$top_srcdir/scripts/check-options" "$demo" >"$scratch/out" 2>&1
}
cat >"$page" <<'END'
.TH CLI_DEMO 1
.SH EXAMPLES
.EX
$ cli_demo \-\-elsewhere
.EE
.SH OPTIONS
.TP
.BR \-m ", " \-\-model " " \fIMODEL\fR
As the table has it.
.TP
.BI "\-n, \-\-max\-tokens=" N
.TP
.BI \-\-temp " T"
.TP
\fB\-\-stop\fR \fITEXT\fR
.TP
.BR \-c ", " \-\-cache ", " \-\-no\-cache
.TP
.BR \-r ", " \-\-raw
.TP
.BR \-\-mode = fast | exact | both
.TP
.B \-\-records
.TQ
.B \-\-text
.IP "\fB\-\-big\fR \fIN\fR"
Any number.
.TP
.BI \-\-note " FILE"
.TP
.BI "\-k, \-\-db " DIR
.TP
.BI \-\-kind= a | b
A paragraph may name \-\-others.
END
check
is "$?" 0 'a page with all of it passes'
sed 's/^.BI .-.-temp .*/.B \\-\\-tempo/; s/^.BI ".-n, /.BI "/' "$page" >"$page.new"
mv "$page.new" "$page"
check
is "$?" 1 'another does not'
has "$scratch/out" '^# not in the page: --temp$' 'an option without a paragraph'
has "$scratch/out" '^# not in the page: -n \(--max-tokens\)$' 'a letter that is not told'
has "$scratch/out" '^# no such option: --tempo$' 'a paragraph without an option'
is "$(grep -c '^#' "$scratch/out")" 3 'and nothing else'
done_testing
