#!/bin/sh
# Files of OpenAI's Batch API and of vllm run-batch through models of this machine.
. "$top_srcdir/tests/lib.sh"
export LLMU_MODEL_GENERATE="$fixtures/tiny-llama.gguf" LLMU_MODEL_EMBED="$fixtures/tiny-bert.gguf"
export LLMU_DATADIR="$top_srcdir/data"
cd "$scratch" || exit 1

steady() {
	sed -e 's/"timings":{[^}]*},"created":[0-9]*//g; s/,"cache":{[^}]*}//g; s/"created":[0-9]*//g; s/"cached_tokens":[0-9]*//g' "$@"
}
# line ID FILE: the line with that custom_id
line() {
	grep "\"custom_id\":\"$1\"" "$2" >line
}

# holds FILE TEXT WHAT: the very text stands in it
holds() {
	grep -Fq -e "$2" "$1"
	ok $? "$3"
}

# -- chat and completions
cat >chat <<'END'
{"custom_id":"r-1","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o-mini","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],"max_tokens":4}}
{"custom_id":"r-2","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}],"max_completion_tokens":3,"n":2,"temperature":0,"logprobs":true}}
{"custom_id":"r-3","method":"POST","url":"/v1/completions","body":{"model":"gpt-4o-mini","prompt":"Hi","max_tokens":3,"temperature":0}}

{"custom_id":"r-4","body":{"prompt":["Hi"],"max_tokens":3,"temperature":0}}
{"custom_id":"r-5","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"Hi"}],"max_tokens":"3"}}
{"custom_id":"r-6","method":"GET","url":"/v1/chat/completions","body":{"messages":[]}}
{"custom_id":"r-7","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"Hi"}],"stream":true}}
{"custom_id":"r-8","url":"/v1/moderations","body":{"input":"Hi"}}
{"custom_id":"r-9","url":"/v1/embeddings","body":{"input":"Hi"}}
{"custom_id":"r-10","url":"/v1/chat/completions","body":{"max_tokens":3}}
{"custom_id":"r-2","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"again"}]}}
END
llm-generate -m "$LLMU_MODEL_GENERATE" chat >out 2>err
is $? 1 "some lines failed"
is "$(sed 's/.*"custom_id":"\([^"]*\)".*/\1/' out | tr '\n' ' ')" "r-1 r-2 r-3 r-4 r-5 r-6 r-7 r-8 r-9 r-10 r-2 " "in input order"
line r-1 out
has line '^\{"id":"batch_req_[0-9a-f]{16}","custom_id":"r-1","response":\{"status_code":200,"request_id":"req_[0-9a-f]{16}","body":\{"id":"chatcmpl-[0-9a-f]{16}","object":"chat.completion","created":[0-9]+,"model":"tiny-llama","choices":\[\{"index":0,"message":\{"role":"assistant","content":".*","refusal":null\},"logprobs":null,"finish_reason":"length"\}\],"usage":\{"prompt_tokens":[0-9]+,"completion_tokens":4,"total_tokens":[0-9]+\}\}\},"error":null,"calls":\[' "the API's form"
line r-3 out
has line '"object":"text_completion".*"text":".*"usage":\{"prompt_tokens":2,' "a completion has no template"
is "$(line r-4 out; sed 's/.*"choices"//; s/"logprobs".*//' line)" "$(line r-3 out; sed 's/.*"choices"//; s/"logprobs".*//' line)" \
	"no method, no url, a list of one"
is "$(sed -n 's/.*"custom_id":"\(r-[0-9]*\)","response":{"status_code":\([0-9]*\).*"error":{"code":"\([a-z_]*\)".*/\1 \2 \3/p' out | tr '\n' ';')" \
	"r-5 400 invalid_field;r-6 400 invalid_field;r-7 400 unsupported;r-8 400 unsupported;r-9 400 unsupported;r-10 400 missing_field;" "failed lines"
line r-5 out
has line '"body":\{"error":\{"message":".*max_tokens.*","type":"invalid_request_error","param":null,"code":"invalid_field"\}\}\},"error":\{"code":"invalid_field","message":".*","stage":"generate",' "the API's form of an error"
tail -n 1 out >line
has line '^\{"id":"batch_req_[0-9a-f]{16}","custom_id":"r-2","response":null,"error":\{"code":"duplicate_id"' "an id that was there before"
is "$(printf '{"id":1,"text":"a"}\n{"id":1,"text":"b"}\n' | llm-generate -n1 | grep -c output)" 2 "of other records that is no error"
llm-generate -m "$LLMU_MODEL_GENERATE" --errors failed -o good chat 2>/dev/null
is "$(wc -l <good | tr -d ' ') $(wc -l <failed | tr -d ' ') $(cat good failed | sort | steady | cksum)" "4 7 $(sort out | steady | cksum)" "--errors: the error file"

cat >extra <<'END'
{"custom_id":"p","url":"/v1/completions","body":{"prompt":"Hi","max_tokens":2,"temperature":0,"logprobs":2}}
{"custom_id":"q","url":"/v1/completions","body":{"prompt":"Hi","echo":true}}
{"custom_id":"r","url":"/v1/completions","body":{"prompt":["Hi","Ho"]}}
END
llm-generate extra >extra.out 2>/dev/null
has extra.out '"custom_id":"p",.*"logprobs":\{"tokens":\["i","i"\],"token_logprobs":\[-[0-9.e-]+,-[0-9.e-]+\],"top_logprobs":\[\{"i":-[0-9.e-]+," ne":-[0-9.]+\},\{[^}]*\}\],"text_offset":\[0,1\]\}' "log-probabilities of completions have their own form"
is "$(grep -c '"code":"unsupported"' extra.out)" 2 "what would be answered otherwise is refused"

# -- the model of the body
llm-generate chat >out 2>err
is "$(grep -c '"status_code":404.*"code":"model_not_found"' out)" 3 "another model is not passed off as the one that was asked"
has err 'body.model is gpt-4o-mini, this run has tiny-llama: -m MODEL' "cause and mend"
mkdir -p "$XDG_DATA_HOME/llm-utils/models"
cp "$fixtures/tiny-llama.gguf" "$XDG_DATA_HOME/llm-utils/models/small.gguf"
head -n 1 chat | sed 's/gpt-4o-mini/small/' >named
for how in "llm-generate named" "llm-generate - <named" "llm-generate <named"; do
	is "$(unset LLMU_MODEL_GENERATE; eval "$how" | sed 's/.*"created":[0-9]*,"model":"\([^"]*\)","choices.*/\1/')" small "a model of this machine: $how"
done

# -- resume
llm-generate -m "$LLMU_MODEL_GENERATE" --resume whole chat 2>/dev/null
head -n 3 whole >part
cp whole.resume part.resume
llm-generate -m "$LLMU_MODEL_GENERATE" --resume part chat 2>/dev/null
is "$(steady part | cksum)" "$(steady whole | cksum)" "--resume"
sed 's/"max_tokens":"3"/"max_tokens":3/' chat >mended
llm-generate -m "$LLMU_MODEL_GENERATE" --resume whole --retry-errors mended 2>/dev/null
is "$(grep -c '"status_code":200' whole) $(grep -c '"error":null' part)" "5 4" "--retry-errors"
sed 's/"max_tokens":"3"/"max_tokens":3/' chat | llm-generate -m "$LLMU_MODEL_GENERATE" --errors failed --resume good --retry-errors 2>/dev/null
is "$(grep -c '"status_code":200' good) $(wc -l <failed | tr -d ' ')" "5 6" "with the error file"

# -- embeddings
cat >emb <<'END'
{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"tiny-bert","input":"free software"}}
{"custom_id":"b","method":"POST","url":"/v1/embeddings","body":{"input":["free software","x"],"dimensions":3}}
{"custom_id":"c","url":"/v1/embeddings","body":{"input":[2,5,3],"encoding_format":"base64","dimensions":3}}
{"custom_id":"d","url":"/v1/embeddings","body":{"input":[[2,5,3],[2,3]],"dimensions":3}}
{"custom_id":"e","url":"/v1/score","body":{"model":"tiny-bert","text_1":"a","text_2":["a","software"]}}
{"custom_id":"f","url":"/v1/rerank","body":{"query":"a","documents":["b","a",{"text":"c"}],"top_n":2}}
{"custom_id":"g","url":"/score","body":{"text_1":["a","b"],"text_2":["a","software"]}}
{"custom_id":"h","url":"/v1/embeddings","body":{"input":["x",3]}}
{"custom_id":"i","url":"/v1/embeddings","body":{"input":["x"],"dimensions":99}}
{"custom_id":"j","url":"/v1/embeddings","body":{"input":[[2,3],[999999]]}}
{"custom_id":"k","url":"/v1/embeddings","body":{"input":[]}}
{"custom_id":"l","url":"/v1/embeddings","body":{"input":["x"],"encoding_format":"hex"}}
{"custom_id":"m","url":"/v1/chat/completions","body":{"messages":[]}}
{"custom_id":"n","url":"/v1/score","body":{"text_1":["a","b"],"text_2":["c"]}}
{"id":1,"text":"free software","params":{"dimensions":3,"encoding_format":"float"}}
{"id":2,"text":"free software"}
END
llm-embed emb >out 2>err
is "$? $(grep -c '"status_code":200' out)" "1 7" "seven good lines"
plain=$(printf '{"id":1,"text":"free software"}' | llm-embed --encoding-format float | sed 's/.*"embedding":\(\[[^]]*\]\).*/\1/')
three=$(printf '{"id":1,"text":"free software"}' | llm-embed --encoding-format float --dimensions 3 | sed 's/.*"embedding":\(\[[^]]*\]\).*/\1/')
line a out
is "$(sed 's/.*"body":\(.*\)},"error".*/\1/' line)" "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":$plain}],\"model\":\"tiny-bert\",\"usage\":{\"prompt_tokens\":4,\"total_tokens\":4}}" "a text"
line b out
holds line "\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":$three},{\"object\":\"embedding\",\"index\":1,\"embedding\":[" "texts, dimensions"
line c out
has line '"embedding":"[A-Za-z0-9+/]{16}"\}\],"model":"tiny-bert","usage":\{"prompt_tokens":3,' "ids, base64"
is "$(line d out; grep -o '"index"' line | wc -l | tr -d ' ')" 2 "lists of ids"
line e out
has line '"object":"list","created":[0-9]+,"model":"tiny-bert","data":\[\{"index":0,"object":"score","score":1\},\{"index":1,"object":"score","score":0\.[0-9]+\}\],"usage"' "vLLM's score: cosines"
line f out
has line '"results":\[\{"index":1,"document":\{"text":"a"\},"relevance_score":1\},\{"index":2,"document":\{"text":"c"\},"relevance_score":0\.[0-9]+\}\],"usage"' "vLLM's rerank: the best two"
is "$(line g out; grep -o '"score":[0-9.]*' line | head -n 1)" '"score":1' "pairs of two lists"
is "$(sed -n 's/.*"custom_id":"\([h-n]\)","response":{"status_code":400.*"error":{"code":"\([a-z_]*\)".*/\1 \2/p' out | tr '\n' ';')" \
	"h invalid_field;i invalid_field;j invalid_field;k invalid_field;l invalid_field;m unsupported;n invalid_field;" "failed lines"
line j out
has line 'input 1: token 999999: the model has 1024' "which of the texts"
holds out "\"encoding_format\":\"float\"},\"embedding\":$three," "a record's own dimensions and form"
has out '^\{"id":2,"text":"free software","embedding":"[A-Za-z0-9+/]{256}"' "its neighbour's stay"
llm-embed -j1 -t1 emb 2>/dev/null | steady >one
llm-embed --cache c.db emb 2>/dev/null | steady >two
llm-embed --cache c.db emb 2>/dev/null >three
steady out | cmp -s - one && steady out | cmp -s - two && steady three | cmp -s - one
ok $? "the same bytes with -j1, with a cache"
is "$(grep -c '"calls":.*"cache":{"status":"hit"' three)" 9 "from the cache"

grep -e '"e"' -e '"f"' emb | sed 's/"model":"tiny-bert",//' | llm-embed --rerank -m "$fixtures/tiny-rerank.gguf" >out
is "$(grep -c '"model":"tiny-rerank"' out) $(grep -o '"relevance_score":-*[0-9.]*' out | head -n 1)" \
	"2 $(echo '{"id":1,"query":"a","documents":["b","a","c"]}' | llm-embed --rerank -m "$fixtures/tiny-rerank.gguf" | grep -o '"relevance_score":-*[0-9.]*' | head -n 1)" \
	"a reranker scores pairs itself"

# -- a service gets the lines as they are
serve api
url="http://127.0.0.1:$port/v1"
head -n 2 emb | sed 's/"custom_id":"b"/"custom_id":"z"/; s/"model":"tiny-bert",/"model":"own","user":1.0,/; s/"input":\[/"model":"other",&/' >lines
llm-embed --base-url "$url" --cache s.db lines >out
line z out
has line '^\{"id":"batch_req_[0-9a-f]{16}","custom_id":"z","response":\{"status_code":200,"request_id":".*","body":\{"object":"list","model":"other","data":\[\{.*"index":0.*\},\{.*"index":1,.*\}\],"usage":\{.*\}\}\},"error":null,"calls":\[\{"stage":"embed","model":"other",' "its answer as it is"
has api.log '"user.":1.0' "what it was asked"
llm-embed --base-url "$url" --cache s.db lines >two
is "$(wc -l <api.log | tr -d ' ') $(sed 's/,"calls".*//' two | cksum)" "2 $(sed 's/,"calls".*//' out | cksum)" "from the cache, too"
sed 's/embeddings/nothing/' lines | llm-embed --base-url "$url" --errors failed >out 2>/dev/null
is "$? $(wc -c <out | tr -d ' ') $(grep -c '"status_code":404' failed)" "1 0 2" "what the service refuses goes to the error file"

# -- what others make of it
llm-generate -m "$LLMU_MODEL_GENERATE" chat 2>/dev/null | llm-cost price >priced 2>/dev/null
is "$(grep -c '"cost":{"input":0,' priced)" 4 "llm-cost prices the lines"
llm-generate -m "$LLMU_MODEL_GENERATE" chat 2>/dev/null | sed 's/^{/{"expected":["x"],/' | llm-eval score -M squad_f1 2>err >scored
is "$(grep -c '"scores":{"squad_f1' scored)" 4 "llm-eval reads the answers"
printf '%s\n' '{"expected":["four"],"id":"vllm-1","custom_id":"x","response":{"choices":[{"message":{"content":"four"}}]},"error":null}' |
	llm-eval score -M squad_f1 >scored 2>/dev/null
has scored '"scores":\{"squad_f1":1\}' "vLLM's early form"
done_testing
