#!/bin/sh
# The runner of the man pages' examples finds what is wrong and lets pass what is right.
. "$top_srcdir/tests/lib.sh"

# verdict EXAMPLE…: the runner's word for one block (lines given as arguments).
verdict() {
	{
		printf '.SH EXAMPLES\n.EX\n'
		printf '%s\n' "$@"
		printf '.EE\n.SH BUGS\n.EX\n$ false\n.EE\n'
	} >"$scratch/page.1"
	"$top_srcdir/scripts/check-examples" "$scratch/page.1" | sed -n 's/ 1 [-#] .*//p'
}

is "$(verdict '$ echo a' 'a')" ok "equal output passes"
is "$(verdict '$ echo a' 'b')" "not ok" "other output fails"
is "$(verdict '$ echo a')" "not ok" "output that is not expected fails"
is "$(verdict '$ :' 'a')" "not ok" "missing output fails"
is "$(verdict '$ echo a; false' 'a')" "not ok" "a status other than 0 fails"
is "$(verdict '$ seq 9' '1' '\&...' '8' '9')" ok "a line of dots stands for lines"
is "$(verdict '$ seq 9' '1' '\&...' '8')" "not ok" "lines after the last one fail"
is "$(verdict '$ echo a1b2c' 'a...b...c')" ok "dots stand for characters"
is "$(verdict '$ echo a1b2c' 'a...c...b')" "not ok" "dots keep the order"
is "$(verdict '$ printf "%s\en" \(aqx\-y\(aq' 'x\-y')" ok "roff's spelling is undone in both"
is "$(verdict '$ cat <<END' '> a' '> END' 'a')" ok "commands of several lines"
is "$(verdict '$ test -n "$fixtures" && ls')" ok "an empty folder and the fixtures"
is "$(verdict '$ true | llm-nosuch x')" "ok" "a page with a tool that is not there is skipped"
done_testing
