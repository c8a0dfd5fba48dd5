#!/bin/sh
# Replays records to score, and mutations of them.
d=$(mktemp -d "${TMPDIR:-/tmp}/llmu.XXXXXX") || exit 1
trap 'rm -rf "$d"' EXIT
cat >"$d/answer" <<'END'
{"output":"The Eiffel-Tower [1], built in 1889. «It is 330 metres tall», said Dr. Σ. 日本。 [2, 3]\n- \"a b c\"","expected":["The ΑΣ tower","{\"a\":[1,2.50]}","$1,889.0%"],"hits":[{"id":"d#1","text":"It is 330 metres tall. The tower was built in 1889!","score":2.5},{"id":"e","text":"日本。 A b c","score":2.5},{"id":7}],"relevant":{"d#1":2,"e":0}}
END
cat >"$d/lists" <<'END'
{"output":"{\"a\":[1,{\"b\":-2.5e3}]} 12.5","refs":[1,"x"],"contexts":["one two three. four","five"],"relevant":["1",{"id":2,"grade":3}]}
END
printf '%s' '{"output":null,"ideal":{"a":1},"hits":[],"relevant":[]}' >"$d/empty"
"$top_builddir/tests/fuzz/metric_fuzz" -mutate 500 "$d"
