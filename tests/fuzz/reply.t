#!/bin/sh
# reply_fuzz over what services answer, whole and in pieces, and mutations of it.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/llmu.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/chat" <<'END'
{"id":"x","model":"m","choices":[{"index":0,"message":{"content":"Hi","refusal":null,"tool_calls":[{"id":"1"}]},"logprobs":{"content":[{"token":"Hi","logprob":-1.5}]},"finish_reason":"stop"},{"index":7,"message":{"content":[{"type":"text","text":"a"},{"text":5},"b"]}}],"usage":{"prompt_tokens":3,"completion_tokens":1e9,"prompt_tokens_details":{"cached_tokens":2}}}
{"choices":[{"text":"t","logprobs":{"tokens":["a","\ud83d"],"token_logprobs":[null,-1],"top_logprobs":[null,{"a":-1,"b":"x"}]}}]}
{"choices":[]}
{"choices":{"a":1}}
END
cat >"$scratch/vectors" <<'END'
{"data":[{"index":1,"embedding":[1,2]},{"index":0,"embedding":"AACAPwAAAEA="}],"usage":{"total_tokens":7}}
{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[2]}]}
{"data":[{"index":9,"embedding":[1]}]}
{"data":[{"embedding":[1,"x"]}]}
{"results":[{"index":1,"relevance_score":0.5},{"index":0,"relevance_score":1e400}]}
[{"index":0,"score":1},{"index":1,"score":-2}]
[{"index":0,"score":1},{"index":0,"score":-2}]
END
cat >"$scratch/stream" <<'END'
{"id":"x","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}
{"choices":[{"index":1,"delta":{"content":"b","refusal":"no"},"logprobs":{"content":[{"token":"b"}]}},{"index":0,"delta":{"content":"a"},"text":"t"}]}
{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"c","function":{"name":"f","arguments":"{\"a\""}}]}}]}
{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":":1}"}},{"index":100}]}}]}
{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1}}
{"choices":[{"index":5000,"delta":{"content":"x"}}]}
END
"${top_builddir:-build}/tests/fuzz/reply_fuzz" -mutate 2000 "$scratch"/* >/dev/null
status=$?
[ $status -eq 0 ] || printf 'not '
echo "ok 1 - replies, vectors, scores and streams"
echo 1..1
exit $status
