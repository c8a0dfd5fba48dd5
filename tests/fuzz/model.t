#!/bin/sh
# Replays the models' fuzz target over tiny models of each family and seeded mutations of each.
: "${top_srcdir:=.}" "${top_builddir:=.}"
f=$top_srcdir/tests/fixtures
exec "$top_builddir/tests/fuzz/model_fuzz" -mutate "${FUZZ_MUTATIONS:-60}" "$f/tiny-yarn.gguf" "$f/tiny-gpt-oss.gguf" \
	"$f/tiny-gemma2.gguf" "$f/tiny-gpt2.gguf" "$f/tiny-qwen3.gguf" "$f/tiny-modern-bert.gguf" "$f/lora-llama.gguf"
