#!/bin/sh
# Replays inputs of records and texts under all options, cut and resumed, and mutations of each.
d=$(mktemp -d "${TMPDIR:-/tmp}/llmu.XXXXXX") || exit 1
trap 'rm -rf "$d"' EXIT
for how in 000 001 002 003 004 005 006 007 010 020 030 040 041 045; do
	printf "\\$how"'d\0{"id":1,"text":"ab"}\n{"id":"x","text":"F"}\r\n\n{"text":"D"}\n{bad\n{"id":7,"text":"ghi"}\n{"id":2}' >"$d/a$how"
	printf "\\$how"'\50\0 {"id":1,"text":"ab","error":{"code":"c","stage":"s"}}\n{"id":"1","text":"dup"}\n{"id":"\\\\ud800","text":"e"}' >"$d/b$how"
	printf "\\$how"'\20\0one\ntwo F\n\nthree D\r\nfour' >"$d/c$how"
done
"$top_builddir/tests/fuzz/record_fuzz" -mutate 40 "$d"
