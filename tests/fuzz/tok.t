#!/bin/sh
# Replays the tokenizers' fuzz target over the fixtures and seeded mutations of each.
: "${top_srcdir:=.}" "${top_builddir:=.}"
f=$top_srcdir/tests/fixtures
ranks=$(mktemp "${TMPDIR:-/tmp}/llmu.XXXXXX") || exit 1
trap 'rm -f "$ranks"' EXIT
printf 'IQ== 0\nYQ== 1\nYg== 2\nYWI= 3\nw6k= 9\nIGE= 4\n' >"$ranks"
"$top_builddir/tests/fuzz/tok_fuzz" -mutate "${FUZZ_MUTATIONS:-200}" "$f/tok_bpe.json" "$f/tok_llama2.json" \
	"$f/tok_wordpiece.json" "$f/tok_unigram.json" "$f/tiny-llama.gguf" "$f/tiny-bert.gguf" "$f/jinja_cases.ndjson" \
	"$f/tok_golden.ndjson" "$top_srcdir/COPYING" "$ranks"
