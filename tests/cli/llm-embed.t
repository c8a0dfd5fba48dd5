#!/bin/sh
# llm-embed on a tiny encoder: forms, lengths, the same bytes whatever shares the batch.
. "$top_srcdir/tests/lib.sh"
export LLMU_MODEL_GENERATE="$fixtures/tiny-llama.gguf" LLMU_MODEL_EMBED="$fixtures/tiny-bert.gguf"
t=llm-embed

steady() {
	sed -e 's/"timings":{[^}]*},"created":[0-9]*//g'
}

# length V…: of a vector of decimals
length() {
	tr -d '[]' | tr ',' '\n' | awk '{ s += $1 * $1 } END { printf "%.4f", sqrt(s) }'
}

# -- forms
echo '{"id":1e0,"x":1.0,"text":"free software"}' | $t >"$scratch/b"
has "$scratch/b" '^\{"id":1e0,"x":1.0,"text":"free software","embedding":"[A-Za-z0-9+/]{256}","calls":\[\{"stage":"embed","model":"tiny-bert","model_digest":"[0-9a-f]{64}","usage":\{"prompt_tokens":[0-9]+,"total_tokens":[0-9]+\},"params":\{"pooling":"mean","prefix":"","normalize":true,"dimensions":48\},' "members"
echo '{"id":1,"text":"free software"}' | $t --encoding-format float --only >"$scratch/f"
is "$(sed 's/.*"embedding":\(\[[^]]*\]\).*/\1/' "$scratch/f" | length)" 1.0000 "length 1"
is "$(echo '{"id":1,"text":"free software"}' | $t --encoding-format float --dimensions 8 | sed 's/.*"embedding":\(\[[^]]*\]\).*/\1/' |
	tee "$scratch/8" | length)" 1.0000 "--dimensions, length 1 again"
is "$(tr ',' '\n' <"$scratch/8" | wc -l | tr -d ' ')" 8 "so many numbers"
is "$(echo '{"id":1,"text":"free software"}' | $t --no-normalize --encoding-format float | sed 's/.*"embedding":\(\[[^]]*\]\).*/\1/' | length |
	grep -c '^1.0000')" 0 "--no-normalize"
is "$(printf 'free software\n' | $t --only | sed 's/,"calls.*//')" "$(sed 's/.*"embedding"/{"id":1,"embedding"/; s/,"calls.*//' "$scratch/b")" "text"
is "$(echo '{"id":1,"text":"software"}' | $t --prefix 'free ' --only | sed 's/,"calls.*//')" \
	"$(sed 's/.*"embedding"/{"id":1,"embedding"/; s/,"calls.*//' "$scratch/b")" "--prefix"
is "$(echo '{"id":1,"text":"a","embedding":[1]}' | $t | grep -c '^{"id":1,"text":"a","embedding":"')" 1 "an old embedding is replaced"

# -- the same bytes
i=0
while [ $i -lt 40 ]; do
	echo "{\"id\":$i,\"text\":\"$(head -c $((i % 9 * 40 + 3)) "$top_srcdir/COPYING" | tr -d '\n\"')\"}"
	i=$((i + 1))
done >"$scratch/in"
$t -j1 -t1 "$scratch/in" | steady >"$scratch/one"
for how in "-j64 -t1" "-j7 -t2" "-j64 -t3"; do
	# shellcheck disable=SC2086
	$t $how "$scratch/in" | steady >"$scratch/two"
	cmp -s "$scratch/one" "$scratch/two"
	ok $? "the same bytes with $how"
done
$t --resume "$scratch/out" "$scratch/in"
head -n 11 "$scratch/out" >"$scratch/part"
$t --resume "$scratch/part" "$scratch/in"
is "$(steady <"$scratch/part" | cksum)" "$(steady <"$scratch/out" | cksum)" "resumed"

# -- what fails fails alone
{
	echo '{"id":1,"text":"short"}'
	echo "{\"id\":2,\"text\":\"$(tr -d '\n\"\\' <"$top_srcdir/COPYING" | head -c 6000)\"}"
	echo '{"id":3}'
	echo '{"id":4,"text":[]}'
	echo 'no json'
	echo '{"id":6,"text":"short"}'
} >"$scratch/mixed"
$t "$scratch/mixed" >"$scratch/out" 2>/dev/null
is "$? $(sed 's/.*"code":"\([a-z_]*\)".*/\1/; s/.*"embedding":"[^"]*".*/good/' "$scratch/out" | tr '\n' ' ')" \
	"1 good context_length_exceeded missing_field invalid_field invalid_json good " "errors"
has "$scratch/out" 'text is [0-9]+ tokens, context 256: use --truncate ctx or llm-tokenize --chunk 200' "cause and mend"
$t --truncate ctx "$scratch/mixed" 2>/dev/null >"$scratch/out"
has "$scratch/out" '"id":2.*"truncated":\{"from":[0-9]+,"to":256\}' "--truncate ctx"
$t --truncate 20 "$scratch/mixed" 2>/dev/null >"$scratch/out"
has "$scratch/out" '"id":2.*"truncated":\{"from":[0-9]+,"to":(20|1[0-9])\}.*"prompt_tokens":(20|1[0-9]),' "--truncate 20"
is "$(printf '' | $t; echo $?)" 0 "no input"

# -- rerankers
r="$t --rerank -m $fixtures/tiny-rerank.gguf"
# what transformers' BertForSequenceClassification gives (tests/oracle/compare-rerank.py)
$r "$fixtures/rerank_golden.ndjson" >"$scratch/r"
sed 's/.*"want":\([-0-9.]*\),.*"relevance_score":\([-0-9.]*\).*/\1 \2/' "$scratch/r" |
	awk '{ d = $1 - $2; good += d < 1e-3 && d > -1e-3 } END { exit good != 8 }'
ok $? "scores of transformers"
{
	echo '{"id":1,"text":"what is free software","hits":[{"id":"c","text":"Free software is a matter of liberty, not price."},{"rank":2,"id":"b","text":"software","metadata":{"x":1.0}},{"rank":3,"id":"a","score":9.50,"text":"The cat sat on the mat."}]}'
	echo '{"id":2,"query":"dogs","documents":["cat","dog house",{"text":"small dogs","x":1}],"top_n":2}'
	echo '{"id":3,"query":"dogs","documents":[]}'
	echo '{"id":4,"query":"dogs"}'
	echo '{"id":5,"query":"dogs","hits":["dogs"]}'
	echo '{"id":6,"hits":[{"text":"dogs"}]}'
	echo '{"id":7,"text":"dogs","hits":[{"id":"x"}]}'
	echo '{"id":8,"query":"dogs","documents":["dogs"],"params":{"top_n":0}}'
	echo "{\"id\":9,\"query\":\"dogs\",\"documents\":[\"dogs\",\"$(seq -s ' ' 300)\"]}"
} >"$scratch/pairs"
$r "$scratch/pairs" >"$scratch/r" 2>/dev/null
is "$?" 1 "some records fail"
has "$scratch/r" '^\{"id":1,"text":"what is free software","hits":\[\{"rank":1,"id":"a","score":9.50,"text":"The cat sat on the mat.","rerank_score":-1.9[0-9]+\},\{"rank":2,"id":"b","text":"software","metadata":\{"x":1.0\},"rerank_score":-3.4[0-9]+\},\{"id":"c","text":"Free software is a matter of liberty, not price.","rank":3,"rerank_score":-4.5[0-9]+\}\],"calls":\[\{"stage":"rerank","model":"tiny-rerank","model_digest":"[0-9a-f]{64}","usage":\{"prompt_tokens":[0-9]+,"total_tokens":[0-9]+\},"params":\{"pooling":"rank"\},' "hits in their new order, all else as it was"
has "$scratch/r" '^\{"id":2,.*"results":\[\{"index":2,"relevance_score":[0-9.]+\},\{"index":0,"relevance_score":[0-9.]+\}\],"calls"' "a request of a rerank service, top_n"
is "$(sed 's/.*"code":"\([a-z_]*\)".*/\1/; s/.*"calls".*/good/' "$scratch/r" | tr '\n' ' ')" \
	"good good good missing_field invalid_field missing_field missing_field invalid_field context_length_exceeded " "errors"
$r --truncate ctx -k 1 "$scratch/pairs" 2>/dev/null | tail -n 1 >"$scratch/cut"
has "$scratch/cut" '"results":\[\{"index":[01],"relevance_score":[-0-9.]+\}\],"truncated":\{"from":[0-9]+,"to":2[56][0-9]\}' "the document is cut, -k 1"
$r -j1 -t1 "$scratch/pairs" 2>/dev/null | steady >"$scratch/one"
$r -j9 -t3 "$scratch/pairs" 2>/dev/null | steady | cmp -s - "$scratch/one"
ok $? "the same bytes with -j9 -t3"
head -n 2 "$scratch/r" >"$scratch/rpart"
$r --resume "$scratch/rpart" "$scratch/pairs" 2>/dev/null
is "$(steady <"$scratch/rpart" | cksum)" "$(steady <"$scratch/r" | cksum)" "resumed"
status 5 "an embedding model" $t --rerank "$scratch/pairs"
has "$scratch/err" 'tiny-bert.gguf: the model is no reranker.*a cross-encoder does' "says what is"
status 5 "a reranker makes no vectors" $t -m "$fixtures/tiny-rerank.gguf" "$scratch/pairs"
has "$scratch/err" 'tiny-rerank is a reranker: it scores pairs of texts, with --rerank' "says how"
status 2 "no dimensions of a score" $r --dimensions 3 /dev/null
status 2 "-k of vectors" $t -k 3 /dev/null

# -- adapters
d="$t -m $LLMU_MODEL_GENERATE --pooling last --only"
$d "$scratch/in" | steady | sed 's/,"calls.*//' >"$scratch/bare"
$d --lora "$fixtures/lora-llama.gguf:2" "$scratch/in" >"$scratch/adapted"
has "$scratch/adapted" '"params":\{"pooling":"last",.*"lora":\[\{"name":"lora-llama","digest":"[0-9a-f]{64}","scale":2\}\]\}' "an adapter in the params"
is "$(sed 's/,"calls.*//' "$scratch/adapted" | grep -cxFf "$scratch/bare")" 0 "other vectors"
status 5 "an adapter of a decoder" $t --lora "$fixtures/lora-llama.gguf" /dev/null
has "$scratch/err" 'lora-llama.gguf: it adapts models of the architecture "llama", this one is "bert"' "says so"

# -- usage and files
status 2 "too many dimensions" $t --dimensions 49 /dev/null
status 2 "--query or --document" $t --query --document /dev/null
has "$scratch/err" '^llm-embed: --query and --document exclude each other$' "both are named"
status 2 "bad pooling" $t --pooling sum /dev/null
status 2 "a bad --truncate" $t --truncate lots /dev/null
status 5 "a decoder that does not pool" $t -m "$LLMU_MODEL_GENERATE" /dev/null
has "$scratch/err" 'pooling' "says what to do"
status 0 "a decoder with --pooling" $t -m "$LLMU_MODEL_GENERATE" --pooling last "$scratch/in"
done_testing
