#!/bin/sh
# llm-generate and llm-embed with models of services, against a server of planned faults: what goes out, what comes back, what
# trouble does to records and to the exit status, and where the key does not show.
# shellcheck disable=SC2154,SC2086 # $port comes from serve; $g is several words
. "$top_srcdir/tests/lib.sh"
unset OPENAI_API_KEY OPENAI_BASE_URL
g="timeout 30 llm-generate"
member() { # NAME: of a log of requests, a line each
	sed "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/"
}
# the body of the last request that the server NAME saw, as it was sent
sent() {
	tail -n 1 "$scratch/$1.log" | sed 's/.*"body":"\(.*\)"}$/\1/; s/\\"/"/g; s/\\\\/\\/g'
}
url() {
	echo "http://127.0.0.1:$port/v1"
}

# -- one record through a service
serve good
good=$(url)
echo '{"id":1e0,"x":1.50,"text":"Hi","params":{"seed":90071992547409931,"top_k":4,"custom":{"a":[1]},"response_format":{"type":"json_object"}}}' |
	$g -m tiny --base-url "$good" -s S -n 9 --temp 0.5 --stop e >"$scratch/out"
has "$scratch/out" '^\{"id":1e0,"x":1.50,"text":"Hi","params":\{.*\},"output":"echo: Hi","finish_reason":"stop","calls":\[\{"stage":"generate","model":"tiny","model_digest":null,"usage":\{.*"prompt_tokens":[0-9]+.*\},"params":\{"model":"tiny","seed":90071992547409931,"top_k":4,"custom":\{"a":\[1\]\},"response_format":\{"type":"json_object"\},"max_tokens":9,"temperature":0.5,"stop":\["e"\]\},"prompt_hash":"[0-9a-f]{64}","timings":\{"queue":[0-9.]+,"total":[0-9.]+\},"created":[0-9]+,"request_id":"[^"]+","attempts":1\}\]\}$' "members"
is "$(sent good)" '{"model":"tiny","seed":90071992547409931,"top_k":4,"custom":{"a":[1]},"response_format":{"type":"json_object"},"max_tokens":9,"temperature":0.5,"stop":["e"],"messages":[{"role":"system","content":"S"},{"role":"user","content":"Hi"}]}' "what was set goes out, and nothing else"
printf 'plain text' | $g -m tiny --base-url "$good" >"$scratch/out"
is "$(cat "$scratch/out")" "echo: plain text" "text in, text out"
is "$(sent good)" '{"model":"tiny","messages":[{"role":"user","content":"plain text"}]}' "no parameter that was not set"
echo '{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,é"}}]}],"tools":[{"type":"function"}],"params":{"temperature":0}}' |
	$g -m tiny --base-url "$good" --temp 1 >"$scratch/out"
is "$(sent good)" '{"model":"tiny","temperature":0,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,é"}}]}],"tools":[{"type":"function"}]}' "pictures and tools pass, the record's params win"
echo '{"id":1,"text":"go on"}' | $g -m tiny --base-url "$good" --raw --only >"$scratch/out"
has "$scratch/out" '"output":"echo: go on"' "--raw asks for a completion"
is "$(tail -n 1 "$scratch/good.log" | member path)" /v1/completions "under its path"
echo '{"id":1,"text":"Hi"}' | $g -m tiny --base-url "$good" --samples 3 --only >"$scratch/out"
is "$(grep -o '"output"' "$scratch/out" | wc -l | tr -d ' ')" 4 "--samples"
echo '{"id":1,"text":"one two three"}' | $g -m tiny --base-url "$good" --deltas >"$scratch/out"
has "$scratch/out" '^\{"id":1,"delta":".*","done":false\}$' "--deltas"
is "$(sed -n 's/.*"delta":"\(.*\)","done".*/\1/p' "$scratch/out" | tr -d '\n')" "echo: one two three" "make up the answer"
is "$(tail -n 1 "$scratch/out" | sed 's/,"calls.*\(,"done":.*\)/\1/')" \
	'{"id":1,"text":"one two three","output":"echo: one two three","finish_reason":"stop","done":true}' "and the record closes them"
has "$scratch/out" '"calls":.*"usage":\{[^}]*"completion_tokens":' "with its usage"
: >"$scratch/in"
i=0
while [ $i -lt 40 ]; do
	echo "{\"id\":$i,\"text\":\"number $i\"}" >>"$scratch/in"
	i=$((i + 1))
done
$g -m tiny --base-url "$good" -j 40 "$scratch/in" | sed 's/,"finish.*//' >"$scratch/out"
sed 's/"text":"\(.*\)"}/"text":"\1","output":"echo: \1"/' "$scratch/in" >"$scratch/want"
cmp -s "$scratch/out" "$scratch/want"
ok $? "many at once, in order"

# -- Batch lines go as they are
{
	echo '{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"own","messages":[{"role":"user","content":"Hi"}],"unknown":1.0}}'
	echo '{"custom_id":"b","method":"POST","url":"/v1/completions","body":{"model":"own","prompt":"p"}}'
} >"$scratch/batch"
$g --base-url "$good" -j1 "$scratch/batch" >"$scratch/out"
has "$scratch/out" '^\{"id":"[^"]+","custom_id":"a","response":\{"status_code":200,"request_id":"[^"]+","body":\{.*"content":"echo: Hi".*\}\},"error":null,"calls":\[.*\]\}$' "the service's answer as it is"
is "$(sent good)" '{"model":"own","prompt":"p"}' "the line's own model"
$g -m mine --base-url "$good" -j1 "$scratch/batch" >/dev/null
is "$(sent good)" '{"model":"mine","prompt":"p"}' "unless -m is given"

# -- names
echo '{"id":1,"text":"Hi"}' >"$scratch/one"
mkdir -p "$scratch/config/llm-utils"
(umask 077 && echo sk-config-4711 >"$scratch/key")
cat >"$scratch/config/llm-utils/config.json" <<END
{"models":{"generate":"here:standard"},
 "providers":{"here":{"base_url":"$good","api_key_file":"$scratch/key","price":"openai"},"bad":{"base_url":"$good","api_key":"sk"}}}
END
echo '{"id":1,"text":"Hi"}' | $g -m here:gpt-4o-mini --only >"$scratch/out"
has "$scratch/out" '"model":"gpt-4o-mini","model_digest":null,"provider":"openai"' "provider:NAME"
is "$(tail -n 1 "$scratch/good.log" | member authorization)" "Bearer sk-config-4711" "with its key"
echo '{"id":1,"text":"Hi"}' | $g --only >"$scratch/out"
has "$scratch/out" '"model":"standard"' "the configured default"
status 5 "a key does not stand in the configuration" $g -m bad:x -p Hi
has "$scratch/err" 'providers.bad.api_key is not known: name its api_key_file' "and it says where"
echo '{"id":1,"text":"Hi"}' | LLMU_DATADIR="$top_srcdir/data" $g -m here:gpt-4o-mini | LLMU_DATADIR="$top_srcdir/data" llm-cost price >"$scratch/out"
has "$scratch/out" '"cost":\{"input":0.0000[0-9]+,' "priced"
n=$(wc -l <"$scratch/good.log")
echo '{"id":1,"text":"Hi"}' | LLMU_DATADIR="$top_srcdir/data" $g -m here:gpt-4o-mini -n 100 --dry-run --only >"$scratch/out"
has "$scratch/out" "^\{\"id\":1,\"request\":\{\"method\":\"POST\",\"url\":\"$good/chat/completions\",\"body\":\{\"model\":\"gpt-4o-mini\",\"max_tokens\":100,\"messages\":\[\{\"role\":\"user\",\"content\":\"Hi\"\}\]\}\},\"n_tokens\":[0-9]+,\"max_cost\":\{\"input\":0.0000[0-9]+,\"output\":0.00006,\"total\":0.0000[0-9]+,\"currency\":\"USD\"\}\}$" "--dry-run"
is "$(wc -l <"$scratch/good.log")" "$n" "sends nothing"
status 5 "a provider that is not configured" $g -m nowhere:x -p Hi
has "$scratch/err" 'no model is named "nowhere:x", and config.json has no such provider' "is named as what it is"
echo '{"providers":{"bad":{"base_url":"localhost:1/v1"}}}' >"$scratch/bad.json"
mkdir -p "$scratch/badconf/llm-utils"
mv "$scratch/bad.json" "$scratch/badconf/llm-utils/config.json"
status 5 "a base_url that is none" env XDG_CONFIG_HOME="$scratch/badconf" $g -m bad:x -p Hi
has "$scratch/err" 'badconf/llm-utils/config.json: providers.bad.base_url: the base URL is no URL' "names its place"
printf '{"id":1,"text":"a"}\n{"id":2,"text":"b"}\n' >"$scratch/two"
status 2 "a service and no model" $g --base-url "$good" "$scratch/two"
is "$(wc -c <"$scratch/out" | tr -d ' ') $(grep -c 'no model is named: -m NAME' "$scratch/err")" "0 1" "is said once, before any answer"
status 2 "also of what would be asked" $g --base-url "$good" --dry-run "$scratch/two"
status 2 "a file as a fallback" $g -m here:x --fallback "$fixtures/tiny-llama.gguf" -p Hi
has "$scratch/err" 'a file cannot stand in for a service' "and why not"
status 2 "options of services without one" $g -m "$fixtures/tiny-llama.gguf" --rpm 3 -p Hi
status 2 "options of local models with a service" $g -m here:x --kv-type f16 -p Hi
OPENAI_API_KEY=sk-env-4711 OPENAI_BASE_URL=$good $g -m openai:gpt-x -n 3 -p Hi </dev/null >/dev/null
is "$(tail -n 1 "$scratch/good.log" | member authorization)" "Bearer sk-env-4711" "openai and its variables"
has "$scratch/good.log" 'max_completion_tokens.*:3' "and its name of max_tokens"
LLMU_MODEL_GENERATE=$fixtures/tiny-llama.gguf OPENAI_API_KEY=sk-env-4711 OPENAI_BASE_URL=$good $g -n 1 -p Hi </dev/null >/dev/null
is "$(tail -n 1 "$scratch/good.log" | grep -c max_completion)" 1 "a variable alone makes nothing hosted"
status 7 "the environment's key stays off the open net" env OPENAI_API_KEY=sk-env-4711 $g -m x --base-url http://192.0.2.1/v1 -p Hi
status 7 "nor to a host that only begins like this one" env OPENAI_API_KEY=sk-env-4711 $g -m x --base-url http://127.0.0.1.example/v1 -p Hi
echo sk-fd-4711 | $g -m x --base-url "$good" --api-key-file fd:0 "$scratch/one" >/dev/null
is "$(tail -n 1 "$scratch/good.log" | member authorization)" "Bearer sk-fd-4711" "a key in a descriptor"
$g -m x --base-url "$good" --api-key-cmd 'echo sk-cmd-4711' "$scratch/one" >/dev/null
is "$(tail -n 1 "$scratch/good.log" | member authorization)" "Bearer sk-cmd-4711" "a key of a command"
mkdir "$scratch/creds"
(umask 077 && echo sk-cred-4711 >"$scratch/creds/llm-utils-api-key")
CREDENTIALS_DIRECTORY=$scratch/creds $g -m x --base-url "$good" "$scratch/one" >/dev/null
is "$(tail -n 1 "$scratch/good.log" | member authorization)" "Bearer sk-cred-4711" "a credential of systemd"
chmod 644 "$scratch/key"
status 7 "a key that others can read" $g -m here:x -p Hi
has "$scratch/err" "chmod 600 $scratch/key" "and the mend"
chmod 600 "$scratch/key"

# -- vectors
e() {
	llm-embed -m emb --base-url "$(url)" "$@"
}
serve vectors -e '{"when":{"match":"BAD"},"status":400,"error":"context_length_exceeded"}'
i=0
while [ $i -lt 20 ]; do
	echo "{\"id\":$i,\"text\":\"text $i\"}"
	i=$((i + 1))
done >"$scratch/texts"
e --only "$scratch/texts" >"$scratch/out"
is "$(grep -c '"embedding":"' "$scratch/out") $(wc -l <"$scratch/vectors.log" | tr -d ' ')" "20 1" "texts share a request"
e --only --batch-size 3 "$scratch/texts" | sed 's/,"calls.*//' >"$scratch/three"
sed 's/,"calls.*//' "$scratch/out" | cmp -s - "$scratch/three"
ok $? "the same vectors, whatever shares the request"
total=$(sed 's/.*"total_tokens":\([0-9]*\).*/\1/' "$scratch/out" | awk '{ n += $1 } END { print n }')
is "$total" 40 "and share its usage"
{
	cat "$scratch/texts"
	echo '{"id":"long","text":"a BAD text"}'
	echo '{"id":"empty","text":""}'
} | e --only 2>/dev/null >"$scratch/out"
is "$? $(grep -c '"embedding":"' "$scratch/out") $(sed -n 's/.*"id":"\(.*\)","error":{"code":"\([a-z_]*\)".*/\1 \2/p' "$scratch/out" | tr '\n' ' ')" \
	"1 20 long context_length_exceeded empty invalid_field " "a bad text fails alone"
is "$(e --dimensions 5 --encoding-format float --only --prefix 'p: ' <"$scratch/texts" | sed -n '1s/.*"embedding":\[\([^]]*\).*/\1/p' | tr ',' '\n' | wc -l | tr -d ' ')" 5 "--dimensions"
has "$scratch/vectors.log" 'dimensions.*:5.*p: text 0' "are asked of the service, --prefix is ours"

# -- trouble
serve late -e '{"status":429,"error":"rate_limit_exceeded","headers":["Retry-After: 1"]}' -e '{"when":{"from":1}}'
start=$(date +%s%N)
echo '{"id":1,"text":"Hi"}' | $g -m x --base-url "$(url)" >"$scratch/out"
is "$? $(($(date +%s%N) - start >= 1000000000))" "0 1" "Retry-After is waited for"
has "$scratch/out" '"attempts":2' "and the attempts are counted"
is "$(member idempotency <"$scratch/late.log" | sort -u | wc -l | tr -d ' ')" 1 "under one idempotency key"

serve quota -e '{"status":429,"error":"insufficient_quota"}'
$g -m x --base-url "$(url)" -j 2 "$scratch/in" >"$scratch/out" 2>"$scratch/err"
is "$? $(wc -c <"$scratch/out" | tr -d ' ')" "7 0" "an empty account ends the run"
is "$(($(wc -l <"$scratch/quota.log") <= 2))" 1 "at the first answer"
serve denied -e '{"status":401,"error":"invalid_api_key"}'
$g -m x --base-url "$(url)" --api-key-file "$scratch/key" -j 2 --resume "$scratch/res" "$scratch/in" >"$scratch/out" 2>"$scratch/err"
is "$?" 7 "so does a refused key"
has "$scratch/err" "401 from 127.0.0.1: key read from file $scratch/key; see --api-key-file" "which is named"
is "$(($(wc -l <"$scratch/denied.log") <= 2))" 1 "and not tried for every record"
# the same command with another server would be another service: the run goes on where it was
serve nomodel -e '{"status":404,"error":"model_not_found"}'
status 5 "a wrong model ends the run" $g -m x --base-url "$(url)" "$scratch/in"
serve web -e '{"status":200,"type":"text/html","body":"<html>"}'
status 6 "so does a page that is no API" $g -m x --base-url "$(url)" "$scratch/in"
has "$scratch/err" 'is the base URL right' "with the mend"

serve mixed -e '{"when":{"match":"number 7\""},"status":400,"error":"bad_thing"}' -e '{"when":{"match":"number 9\""},"status":400,"error":"context_length_exceeded"}'
$g -m x --base-url "$(url)" "$scratch/in" >"$scratch/out" 2>/dev/null
is "$? $(grep -c '"output"' "$scratch/out") $(sed -n 's/.*"code":"\([a-z_]*\)".*/\1/p' "$scratch/out" | tr '\n' ' ')" "1 38 invalid_field context_length_exceeded " "bad records fail alone"
$g -m x --base-url "$(url)" --fail-fast "$scratch/in" >"$scratch/out" 2>/dev/null
is $? 4 "--fail-fast"

serve stall -e '{"stall_ms":3000}'
status 1 "a body that stalls" $g -m x --base-url "$(url)" --timeout 0.2 --max-retries 0 -p Hi
has "$scratch/err" 'request_timeout' "is request_timeout"
serve gone -e '{"status":503,"error":"overloaded"}'
start=$(date +%s)
status 6 "a service that stays away" $g -m x --base-url "$(url)" --deadline 1.5 -j 4 "$scratch/in"
has "$scratch/err" 'left alone' "opens its circuit"
is "$(($(date +%s) - start < 7)) $(($(wc -l <"$scratch/gone.log") <= 8))" "1 1" "and is left alone"
$g -v -m x --base-url "$(url)" --deadline 1 -j 4 "$scratch/in" >/dev/null 2>"$scratch/err"
has "$scratch/err" '503 from 127.0.0.1: .*; no request for [23][0-9] s' "-v says why it waits"
serve torn -e '{"chunks":["data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"half an \"}}]}\n\n"]}'
echo '{"id":1,"text":"Hi"}' | $g -m x --base-url "$(url)" --deltas 2>/dev/null | tail -n 1 >"$scratch/out"
has "$scratch/out" '"partial_output":"half an ","done":true,"error":\{"code":"server_error"' "what came of a torn stream is kept"

serve tools -e '{"chunks":["data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\"\"}}]}}]}\n\n","data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":1}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n","data: [DONE]\n\n"]}'
echo '{"id":1,"text":"Hi"}' | $g -m x --base-url "$(url)" --deltas --only >"$scratch/out"
has "$scratch/out" '^\{"id":1,"output":"","finish_reason":"tool_calls","tool_calls":\[\{"id":"c1","type":"function","function":\{"name":"f","arguments":"\{\\"a\\":1\}"\}\}\],"calls":.*"usage":null' "the pieces of a tool's call are put together"

# -- fallback
serve second
second=$port
cat >"$scratch/config/llm-utils/config.json" <<END
{"providers":{"other":{"base_url":"http://127.0.0.1:$second/v1","api_key_file":"$scratch/key","price":"groq"}}}
END
serve down -e '{"status":503,"error":"overloaded"}'
echo '{"id":1,"text":"Hi"}' | $g -m big --base-url "$(url)" --max-retries 0 --fallback other:small --only >"$scratch/out"
has "$scratch/out" '"model":"small","model_digest":null,"provider":"groq".*"params":\{"model":"big"\}' "who served and who was asked"
is "$(tail -n 1 "$scratch/second.log" | member authorization) $(sent second | sed 's/,"mess.*//')" 'Bearer sk-config-4711 {"model":"small"' "its own name and key"
serve narrow -e '{"status":400,"error":"context_length_exceeded"}'
echo '{"id":1,"text":"Hi"}' | $g -m big --base-url "$(url)" --fallback other:small --only >"$scratch/out" 2>/dev/null
has "$scratch/out" '"code":"context_length_exceeded"' "a cause that leads nowhere"
echo '{"id":1,"text":"Hi"}' | $g -m big --base-url "$(url)" --fallback context=other:wide --only >"$scratch/out"
has "$scratch/out" '"model":"wide"' "a cause that leads there"

# -- limits, resume
serve slow
start=$(date +%s%N)
head -n 4 "$scratch/in" | $g -m x --base-url "$(url)" --rpm 120 >/dev/null
is "$(($(date +%s%N) - start >= 900000000))" 1 "--rpm"
start=$(date +%s%N)
head -n 3 "$scratch/in" | $g -m x --base-url "$(url)" --rpm 120 --state "$scratch/state" >/dev/null &
other=$!
tail -n 3 "$scratch/in" | $g -m x --base-url "$(url)" --rpm 120 --state "$scratch/state" >/dev/null
wait $other
is "$(($(date +%s%N) - start >= 1900000000))" 1 "--state: two processes keep one limit"
serve flaky -e '{"status":503,"error":"overloaded"}'
$g -m x --base-url "$(url)" --state "$scratch/state" --deadline 1 "$scratch/in" >/dev/null 2>&1
n=$(wc -l <"$scratch/flaky.log")
status 6 "and one breaker" $g -m x --base-url "$(url)" --state "$scratch/state" --fail-fast -p Hi
is "$(wc -l <"$scratch/flaky.log")" "$n" "that lets nothing through"
head -c 100 "$scratch/in" >"$scratch/nostate"
status 5 "a file that is no state" $g -m x --base-url "$(url)" --state "$scratch/nostate" -p Hi
serve steady
$g -m x --base-url "$(url)" --resume "$scratch/half" "$scratch/in"
head -n 11 "$scratch/half" >"$scratch/part"
printf '{"id":11,"te' >>"$scratch/part"
cp "$scratch/half.resume" "$scratch/part.resume"
n=$(wc -l <"$scratch/steady.log")
$g -m x --base-url "$(url)" --resume "$scratch/part" "$scratch/in"
steady() {
	sed -e 's/"timings":{[^}]*},"created":[0-9]*//; s/"request_id":"[^"]*"//'
}
is "$(steady <"$scratch/part" | cksum) $(($(wc -l <"$scratch/steady.log") - n))" "$(steady <"$scratch/half" | cksum) 29" "a killed job asks for the rest alone"
is "$(member idempotency <"$scratch/steady.log" | sort | uniq | wc -l | tr -d ' ')" 40 "under the keys it had"

status 5 "another model is another job" $g -m y --base-url "$(url)" --resume "$scratch/part" "$scratch/in"

# -- the key is nowhere: no file that was written here but the server's own log of what it got
is "$(grep -l 'sk-[a-z]*-4711' "$scratch"/* 2>/dev/null | grep -v '\.log$' | grep -v '/key$'; grep -l 'sk-[a-z]*-4711' "$scratch"/config/*/* 2>/dev/null)" "" "no output, message or state shows a key"
done_testing
