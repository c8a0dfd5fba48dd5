#!/bin/sh
# Replays numbers of every shape and mutations of them.
d=$(mktemp -d "${TMPDIR:-/tmp}/llmu.XXXXXX") || exit 1
trap 'rm -rf "$d"' EXIT
for z in 0 -0 1 -17 +.5 5. 0.1 1e23 -1.5e-7 18446744073709551615 -9223372036854775808 9007199254740993.0000000000000001 \
	2.2250738585072011e-308 2.47032822920623272e-324 1.7976931348623158e308 3.40282356779733661637539e38 1e-999; do
	printf '%s' "$z" >"$d/$z"
done
"$top_builddir/tests/fuzz/num_fuzz" -mutate 1000 "$d"
