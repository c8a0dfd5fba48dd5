#!/bin/sh
# Replays texts of every kind, records among them, and mutations of each.
d=$(mktemp -d "${TMPDIR:-/tmp}/llmu.XXXXXX") || exit 1
trap 'rm -rf "$d"' EXIT
n=0
while IFS= read -r line; do
	n=$((n + 1))
	printf '%b' "$line" >"$d/$n"
done <<'END'
{"id":1755700000000012345,"text":"a \\\\"quoted\\\\" word, \\\\u00e9\\\\ud83d\\\\ude00 and some more to fill a block or two","b":[1,-2.5e+10,0]}
{ "a" : [ ] , "b" : { } , "b" : null , "\\\\u0062" : [ [ [ { "c" : "" } ] ] ] , "new" : true }
[0.006929283495992422,-1e-45,3.4e38,123456789012345678901234567890,16777217.0000001,1E5,-0,0.1 ]
{"embedding":"AACAPwAAAEAAAEBAAAAAPw==","caf\\303\\251":"\\360\\237\\230\\200\\342\\202\\254 \\303\\251","z":"\\\\ud800"}
"AACAPw=="
AACAPwAAAEA=
[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
[1,2147483647,-2147483648,9223372036854775807,18446744073709551615,"x",{},null,true,false]
{"a":"\\377\\355\\240\\200","b":1}
\\357\\273\\277{}
END
"$top_builddir/tests/fuzz/json_fuzz" -mutate 10000 "$d"
