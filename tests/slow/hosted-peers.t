#!/bin/sh
# The client against a server that others wrote, and the server of tests/net against the client that others wrote: llama.cpp's
# llama-server, OpenAI's Python package, hypercorn for HTTP/2. Each runs where scripts/bench-peers, or $LLMU_PEERS, has it.
# shellcheck disable=SC2154,SC2086 # $port comes from serve; $g is several words
home=$HOME cache=${XDG_CACHE_HOME:-$HOME/.cache}
. "$top_srcdir/tests/lib.sh"
unset OPENAI_API_KEY OPENAI_BASE_URL
peers=${LLMU_PEERS:-$cache/llm-utils-peers}
server=$peers/build/bin/llama-server
smol=$models/smollm2-135m-instruct-q4_1.gguf
minilm=$models/all-minilm-l6-v2-f32.gguf

# up MODEL OPTION…: a llama-server with its URL in $url
up() {
	at=$((at + 1))
	url=http://127.0.0.1:$at/v1
	model=$1
	shift
	"$server" -m "$model" --port $at -t 1 --no-webui "$@" >"$scratch/server.log" 2>&1 &
	servers="$servers $!"
	n=0
	until llm-generate -m x --base-url "$url" --timeout 2 --max-retries 0 -n 1 -p a </dev/null >/dev/null 2>&1 ||
		llm-embed -m x --base-url "$url" --timeout 2 --max-retries 0 "$scratch/text" >/dev/null 2>&1; do
		sleep 0.5
		n=$((n + 1))
		[ $n -lt 60 ] || return 1
	done
}
at=$((20000 + $$ % 20000))
echo '{"id":1,"text":"Name three colours."}' >"$scratch/text"
count() { sed 's/.*"prompt_tokens":\([0-9]*\).*/\1/'; }

if [ -x "$server" ] && [ -e "$smol" ]; then
	up "$smol" -c 512 -np 2
	ok $? "llama-server is up"
	g="llm-generate -m x --base-url $url --temp 0"
	$g -n 12 "$scratch/text" >"$scratch/out"
	has "$scratch/out" '"output":".+","finish_reason":"length","calls":\[\{"stage":"generate".*"completion_tokens":12' "chat"
	here=$(llm-generate -m "$smol" --temp 0 -n 1 "$scratch/text" | count)
	is "$(count <"$scratch/out")" "$here" "it counts the prompt's tokens as we do here"
	$g -n 12 --deltas "$scratch/text" | sed -n 's/^{"id":1,"delta":"\(.*\)","done":false}$/\1/p' | tr -d '\n' >"$scratch/pieces"
	is "$(cat "$scratch/pieces")" "$(sed 's/.*"output":"\(.*\)","finish_reason.*/\1/' "$scratch/out")" "a stream says the same"
	$g -n 3 --logprobs --top-logprobs 2 "$scratch/text" >"$scratch/out"
	is "$(grep -o '"top_logprobs":\[' "$scratch/out" | wc -l | tr -d ' ')" 3 "log-probabilities"
	$g -n 3 --raw -p 'Once upon' </dev/null >"$scratch/out"
	[ -s "$scratch/out" ]
	ok $? "completions"
	awk 'BEGIN { printf "{\"id\":1,\"text\":\""; for (i = 0; i < 600; i++) printf "word "; print "\"}" }' | $g >"$scratch/out" 2>/dev/null
	has "$scratch/out" '"code":"context_length_exceeded"' "a prompt over its context"
	echo '{"id":1,"text":"A colour, as JSON","params":{"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object","properties":{"colour":{"enum":["red","blue"]}},"required":["colour"],"additionalProperties":false}}}}}' |
		$g -n 30 --only >"$scratch/out"
	has "$scratch/out" '"output":"\{(\\n| )*\\"colour\\": *\\"(red|blue)\\"(\\n| )*\}"' "response_format passes"
else
	echo "# no llama-server or no SmolLM2"
fi
if [ -x "$server" ] && [ -e "$minilm" ]; then
	up "$minilm" --embeddings --pooling mean -c 512
	ok $? "llama-server is up with an encoder"
	printf '{"id":1,"text":"The sky is blue."}\n{"id":2,"text":"Water boils at one hundred degrees."}\n' >"$scratch/two"
	llm-embed -m x --base-url "$url" --encoding-format float --only "$scratch/two" >"$scratch/a"
	llm-embed -m "$minilm" --encoding-format float --only "$scratch/two" >"$scratch/b"
	paste -d '\n' "$scratch/a" "$scratch/b" | sed 's/.*"embedding":\[\([^]]*\)\].*/\1/' | awk -F, '
		NR % 2 { split($0, v) ; next }
		{ d = 0; for (i = 1; i <= NF; i++) d += v[i] * $i; print "# cosine " d; if (NF != 384 || d < 0.999) bad = 1 }
		END { exit bad || NR != 4 }'
	ok $? "its vectors are ours"
else
	echo "# no llama-server or no MiniLM"
fi

for python in "$peers/venv/bin/python" python3; do
	HOME=$home "$python" -c 'import openai' 2>/dev/null && break
	python=
done
if [ -n "$python" ]; then
	serve good -e '{"when":{"match":"TOO LONG"},"status":400,"error":"context_length_exceeded"}' \
		-e '{"when":{"match":"TOO MANY"},"status":429,"error":"rate_limit_exceeded","headers":["Retry-After: 1"]}'
	cat >"$scratch/client.py" <<'END'
import sys
import openai
c = openai.OpenAI(base_url=sys.argv[1], api_key="sk-test", max_retries=0)
def ask(text, **more):
    return c.chat.completions.create(model="m", messages=[{"role": "user", "content": text}], **more)
r = ask("one two")
print(r.choices[0].message.content, r.choices[0].finish_reason, r.usage.total_tokens, r.model, len(ask("x", n=3).choices))
s = list(ask("one two", stream=True, stream_options={"include_usage": True}))
print("".join(x.choices[0].delta.content or "" for x in s if x.choices), s[-1].usage.completion_tokens)
print(c.completions.create(model="m", prompt="one two", max_tokens=2).choices[0].text)
e = c.embeddings.create(model="m", input=["a", "b"], dimensions=5)
f = c.embeddings.create(model="m", input=["a", "b"], dimensions=5, encoding_format="float")
print(len(e.data), len(e.data[1].embedding), all(abs(x - y) < 1e-6 for x, y in zip(e.data[1].embedding, f.data[1].embedding)))
print([m.id for m in c.models.list()])
for text in "TOO LONG", "TOO MANY":
    try:
        ask(text)
    except openai.APIStatusError as x:
        print(type(x).__name__, x.code, x.response.headers.get("retry-after"))
END
	is "$(HOME=$home "$python" "$scratch/client.py" "http://127.0.0.1:$port/v1" 2>&1)" "echo: one two stop 5 m 3
echo: one two 3
echo: one
2 5 True
['planned']
BadRequestError context_length_exceeded None
RateLimitError rate_limit_exceeded 1" "OpenAI's Python client is content with the server of these tests"
else
	echo "# no Python with the package openai"
fi

for python in "$peers/venv/bin/python" python3; do
	HOME=$home "$python" -c 'import hypercorn' 2>/dev/null && break
	python=
done
if [ -n "$python" ] && command -v openssl >/dev/null && command -v curl >/dev/null; then
	at=$((at + 1))
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$scratch/h2.key" -out "$scratch/h2.pem" -days 2 \
		-subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
	cat >"$scratch/app.py" <<'END'
import asyncio, json, sys
from hypercorn.asyncio import serve
from hypercorn.config import Config
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        m = await receive()
        body, more = body + m.get("body", b""), m.get("more_body")
    print(scope["http_version"], scope["client"][1], file=sys.stderr, flush=True)
    await asyncio.sleep(0.02)
    say = "echo: " + json.loads(body)["messages"][-1]["content"]
    out = json.dumps({"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": say}}]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": out})
c = Config()
c.bind, c.certfile, c.keyfile = ["localhost:" + sys.argv[1]], sys.argv[2], sys.argv[3]
asyncio.run(serve(app, c))
END
	HOME=$home "$python" "$scratch/app.py" $at "$scratch/h2.pem" "$scratch/h2.key" >/dev/null 2>"$scratch/h2.log" &
	servers="$servers $!"
	n=0
	until [ $n -ge 160 ] || curl -sk "https://localhost:$at/" -d '{"messages":[{"content":"up"}]}' >/dev/null 2>&1; do
		sleep 0.25
		n=$((n + 1))
	done
	awk 'BEGIN { for (i = 0; i < 300; i++) printf "{\"id\":%d,\"text\":\"q %d\"}\n", i, i }' >"$scratch/in"
	CURL_CA_BUNDLE="$scratch/h2.pem" llm-generate -m x --base-url "https://localhost:$at/v1" -j 64 --deadline 20 "$scratch/in" >"$scratch/out"
	is "$? $(grep -c '"output":"echo: q ' "$scratch/out")" "0 300" "HTTP/2"
	is "$(grep '^[0-9]' "$scratch/h2.log" | tail -n 300 | sort | uniq -c | awk '{ print $1, $2 }')" "300 2" "300 calls over one connection"
else
	echo "# no Python with the package hypercorn, or no openssl or curl"
fi
[ $tap_n -gt 0 ] || skip_all "none of the peers is here"
done_testing
