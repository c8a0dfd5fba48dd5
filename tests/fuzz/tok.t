#!/bin/sh
# Replays the tokenizers' fuzz target over the fixtures and seeded mutations of each.
: "${top_srcdir:=.}" "${top_builddir:=.}"
f=$top_srcdir/tests/fixtures
exec "$top_builddir/tests/fuzz/tok_fuzz" -mutate "${FUZZ_MUTATIONS:-200}" "$f/tok_bpe.json" "$f/tok_llama2.json" \
	"$f/tok_wordpiece.json" "$f/tok_unigram.json" "$f/tiny-llama.gguf" "$f/tiny-bert.gguf" "$f/jinja_cases.ndjson" \
	"$f/tok_golden.ndjson" "$top_srcdir/COPYING"
