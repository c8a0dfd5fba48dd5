#!/bin/sh
# Replays price books, calls of all shapes, and mutations of them.
d=$(mktemp -d "${TMPDIR:-/tmp}/llmu.XXXXXX") || exit 1
trap 'rm -rf "$d"' EXIT
head -n 5 "$top_srcdir/data/prices.ndjson" >"$d/book"
cat >"$d/when" <<'END'
{"sku":"a/b/i","match":[{"exact":"m"},{"alias":"n"},{"prefix":"p-"}],"unit":"input_tokens","per":1000,"price":"1e-3","currency":"EUR","tiers":[{"over":1,"by":"request_input_tokens","mode":"cliff","inclusive":true,"price":"6"}],"valid_from":"2025-05-22T00:00:00Z","valid_to":null,"when":{"service_tier":"flex","region":"eu","weekday":["mon","sun"],"utc":"16:30-00:30"},"multipliers":{"batch":"1/2"}}
END
cat >"$d/calls" <<'END'
{"model":"m","created":1755700000.5,"usage":{"prompt_tokens":300,"completion_tokens":9,"total_tokens":309,"prompt_tokens_details":{"cached_tokens":20,"audio_tokens":30,"cached_tokens_details":{"audio_tokens":5}},"completion_tokens_details":{"reasoning_tokens":4}}}
{"type":"message","model":"m-20250101","usage":{"input_tokens":1,"cache_read_input_tokens":2,"cache_creation_input_tokens":3,"cache_creation":{"ephemeral_1h_input_tokens":3}}}
{"modelVersion":"m","usageMetadata":{"promptTokenCount":9,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":3}],"thoughtsTokenCount":1e2}}
{"custom_id":"a","response":{"body":{"model":"m","service_tier":"x","usage":{"prompt_tokens":1000000000000}}}}
{"attributes":{"gen_ai.request.model":"m","gen_ai.usage.input_tokens":1},"region":"us","timings":{"prompt":0.1}}
{"model":"m","usage":[{"prompt_tokens":1}],"timings":[{"a":1}],"attributes":[{"a":1}]}
{"model":"m","model_digest":"x","timings":{"prompt":1e3,"predicted":2.5},"calls":[{"cache":{"status":"hit"}}]}
END
"$top_builddir/tests/fuzz/price_fuzz" -mutate 3000 "$d"
