#!/bin/sh
# Replays event streams and headers that ask to wait, and mutations of each.
d=$(mktemp -d "${TMPDIR:-/tmp}/llmu.XXXXXX") || exit 1
trap 'rm -rf "$d"' EXIT
n=0
while IFS= read -r line; do
	n=$((n + 1))
	printf '%b' "$line" >"$d/$n"
done <<'END'
data: {"a":1}\\n\\ndata: {"b":2}\\r\\n\\r\\ndata: [DONE]\\n\\ndata: x\\n\\n
\\357\\273\\277: comment\\revent: error\\rdata: one\\rdata\\rdata:  two\\r\\rid: 1\\nretry: 5\\n\\n
Sun, 06 Nov 1994 08:49:37 GMT
1h2m3.5s
99999999999999999999
END
"$top_builddir/tests/fuzz/sse_fuzz" -mutate 5000 "$d"
