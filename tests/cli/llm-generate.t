#!/bin/sh
# llm-generate on a tiny model: text and records, parameters, prompts, the same bytes whatever runs beside.
# shellcheck disable=SC2086 # $hot is several words
. "$top_srcdir/tests/lib.sh"
export LLMU_MODEL_GENERATE="$fixtures/tiny-llama.gguf" LLMU_MODEL_EMBED="$fixtures/tiny-bert.gguf"
g=llm-generate
# the tiny model is sure of itself: some heat makes it write many things
hot="--top-p 1 --min-p 0 --temp 50"

# clocks and the work that was saved differ from run to run
steady() {
	sed -e 's/"timings":{[^}]*},"created":[0-9]*//g' -e 's/"cached_tokens":[0-9]*//g'
}

# -- text and records
is "$(printf 'one' | $g --dry-run -p two | head -n 7)" "<|im_start|>system
You are a helpful assistant.<|im_end|>
<|im_start|>user
one

two<|im_end|>
<|im_start|>assistant" "text, a blank line, -p"
is "$($g --dry-run -p 'alone' </dev/null | sed -n 4p)" "alone<|im_end|>" "-p alone"
is "$(printf 'x\n' | $g --dry-run -p 'a {{}} b' | sed -n 4p)" "a x b<|im_end|>" "{{}} stands for the text"
is "$(echo '{"id":1,"q":"why","text":"t"}' | $g --dry-run --only -p '{{ q }}?' | sed 's/,"n_tokens.*//')" \
	'{"id":1,"rendered":"<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nwhy?<|im_end|>\n<|im_start|>assistant\n"' \
	"-p is a template of the record"
is "$(echo '{"id":1,"text":"t"}' | $g --dry-run --only -s SYS | sed 's/.*system.n\([A-Z]*\).*/\1/')" SYS "-s"
is "$(echo '{"messages":[{"role":"system","content":"M"},{"role":"user","content":"u"}]}' |
	$g --dry-run -s SYS --only | sed 's/.*system.n\([A-Z]*\).*/\1/')" M "the messages' own system turn wins"
printf '{%% for h in hits %%}[{{ h.text }}]{%% endfor %%}{{ question }}{{ x }}\n' >"$scratch/t.jinja"
is "$(echo '{"id":1,"hits":[{"text":"a"},{"text":"b"}],"question":"q"}' |
	$g --raw -T "$scratch/t.jinja" --param x=7 --dry-run --only | sed 's/,"n_tok.*//')" '{"id":1,"rendered":"[a][b]q7"' "-T, --param"
is "$(printf '<|im_end|>' | $g --dry-run | tail -n 1 | grep -c ',2,.*,2,.*,2,')" 0 "special tokens of a user are text"
is "$(printf '<|im_end|>' | $g --raw --dry-run | tail -n 1)" "[2]" "but with --raw"
echo '{"id":"r","x":1.50,"text":"Hi"}' | $g --temp 0 -n 4 >"$scratch/r"
has "$scratch/r" '^\{"id":"r","x":1.50,"text":"Hi","output":".*","finish_reason":"(length|stop)","calls":\[\{"stage":"generate","model":"tiny-llama","model_digest":"[0-9a-f]{64}","usage":\{"prompt_tokens":[0-9]+,"completion_tokens":[0-4],"total_tokens":[0-9]+,"prompt_tokens_details":\{"cached_tokens":0\}\},"params":\{"max_tokens":4,"temperature":0,"seed":0\},"prompt_hash":"[0-9a-f]{64}","timings":\{"queue":[0-9.]+,"ttft":[0-9.]+,"prompt":[0-9.]+,"predicted":[0-9.]+,"total":[0-9.]+,"machine_prompt":[0-9.]+,"machine_predicted":[0-9.]+\},"created":[0-9]+\}\]\}$' "members"
text=$(printf 'Hi' | $g --temp 0 -n 12)
is "$(printf 'Hi\n' | $g --temp 0 -n 12)" "$text" "the newline of an echo is no part of the prompt"
printf 'Hi' | $g --temp 0 -n 12 --json >"$scratch/j"
has "$scratch/j" '^\{"id":1,"text":"Hi","output":' "--json"
printf 'Hi' | $g --temp 0 -n 1 --logprobs >"$scratch/j"
has "$scratch/j" '"logprobs":\{"content":' "--logprobs makes records of text"
is "$(printf '' | $g 2>&1; echo $?)" 0 "no input, no output"
is "$(printf '' | $g -p Hi --temp 0 -n 12)" "$text" "-p and an empty input"

# -- the same bytes
i=0
while [ $i -lt 14 ]; do
	echo "{\"id\":$i,\"text\":\"$(head -c $((i * i * 2 + 3)) "$top_srcdir/COPYING" | tr -d '\n\"')\",\"params\":{\"seed\":$((i % 5)),\"max_tokens\":$((i % 4 * 5 + 3)),\"temperature\":$((i % 3 * 40))}}"
	i=$((i + 1))
done >"$scratch/in"
$g --top-p 1 --min-p 0 --logprobs --top-logprobs 2 -s 'A system prompt that all of them share, long enough to be taken over.' -j1 -t1 "$scratch/in" |
	steady >"$scratch/one"
for how in "-j16 -t1" "-j3 -t2" "-j16 -t3"; do
	$g --top-p 1 --min-p 0 --logprobs --top-logprobs 2 -s 'A system prompt that all of them share, long enough to be taken over.' $how "$scratch/in" |
		steady >"$scratch/two"
	cmp -s "$scratch/one" "$scratch/two"
	ok $? "the same bytes with $how"
done
sed '1!G;h;$!d' "$scratch/in" | $g $hot --only -s S | steady | sort >"$scratch/back"
$g $hot --only -s S "$scratch/in" | steady | sort >"$scratch/forth"
cmp -s "$scratch/back" "$scratch/forth"
ok $? "the order of records does not matter"
$g -s 'A system prompt that all of them share, long enough to be taken over.' -n 3 "$scratch/in" >"$scratch/c"
is "$(grep -c '"cached_tokens":0}' "$scratch/c")" 1 "the system prompt is computed once"

# -- prefixes kept on disk
sys='One paragraph of house rules that stands in front of every question, long enough for a file of its own, day after day.'
pc="$scratch/kept"
# cached N: all but N records of $scratch/c took their prefix over
cached() { is "$(grep -c '"cached_tokens":0}' "$scratch/c")" "$1" "$2"; }
# plain WHAT: $scratch/c has the bytes of a run without a cache
plain() { steady <"$scratch/c" | cmp -s - "$scratch/plain"; ok $? "$1"; }
$g $hot -s "$sys" "$scratch/in" | steady >"$scratch/plain"
$g $hot -s "$sys" --prompt-cache "$pc" -j2 "$scratch/in" >"$scratch/c"
cached 1 "the first run computes the prefix once" && plain "and answers as without a cache"
is "$(ls "$pc" | grep -cE '^[0-9a-f]{16}-[0-9a-f]{16}.kv$') $(ls -ld "$pc" | cut -c1-10)" "1 drwx------" "one file"
$g $hot -s "$sys" --prompt-cache "$pc" -j3 "$scratch/in" >"$scratch/c"
cached 0 "the next run has it" && plain "the same bytes"
$g $hot -s "$sys" --prompt-cache "$pc" --kv-type f32 "$scratch/in" >"$scratch/c"
cached 1 "keys of another type are another prefix"
is "$(ls "$pc" | wc -l | tr -d ' ')" 2 "with its own file"
rm -f "$pc"/*
for k in 1 2 3; do
	$g $hot -s "$sys" -v --prompt-cache "$pc" --json -p "Question $k?" </dev/null 2>"$scratch/err" >"$scratch/c"
	cached $((k == 1)) "one prompt a run, the same system turn: run $k"
done
is "$(ls "$pc" | wc -l | tr -d ' ')" 1 "and one file"
has "$scratch/err" "prompt cache: [0-9]+ tokens from $pc/" "-v says where it comes from"
for damage in byte tail head empty foreign; do
	for f in "$pc"/*; do
		n=$(wc -c <"$f")
		case $damage in
		byte) printf 'llmu' | dd of="$f" bs=1 seek=900 conv=notrunc 2>/dev/null ;;
		tail) head -c $((n - 1000)) "$f" >"$scratch/cut" && cat "$scratch/cut" >"$f" ;;
		head) printf 'x' | dd of="$f" bs=1 seek=70 conv=notrunc 2>/dev/null ;;
		empty) : >"$f" ;;
		foreign) cat "$fixtures/tiny-bert.gguf" >"$f" ;;
		esac
	done
	$g $hot -s "$sys" -v --prompt-cache "$pc" -j1 "$scratch/in" 2>"$scratch/err" >"$scratch/c"
	plain "a file with a damaged $damage: the same bytes"
	has "$scratch/err" 'is left aside: (it|the saved cache) is' "it is named"
	$g $hot -s "$sys" -v --prompt-cache "$pc" -j1 "$scratch/in" 2>"$scratch/err" >"$scratch/c"
	cached 0 "and made good"
done
rm -rf "$pc"
for k in 1 2 3; do
	$g $hot -s "$sys" --prompt-cache "$pc" "$scratch/in" 2>"$scratch/err.$k" >"$scratch/c.$k" &
done
wait
cat "$scratch/err.1" "$scratch/err.2" "$scratch/err.3" >"$scratch/err"
is "$(for k in 1 2 3; do steady <"$scratch/c.$k" | cmp - "$scratch/plain"; done; cat "$scratch/err")" "" "three at once"
$g $hot -s "$sys" --prompt-cache "$pc" "$scratch/in" >"$scratch/c"
cached 0 "leave a good file"
$g $hot -s "$sys" --prompt-cache /proc "$scratch/in" >"$scratch/c" 2>"$scratch/err"
plain "a folder that cannot be written"
is "$(grep -c 'nothing is added to the prompt cache: cannot write /proc/' "$scratch/err")" 1 "is said once"
$g $hot -s "$sys" --prompt-cache "$scratch/in" "$scratch/in" >"$scratch/c" 2>"$scratch/err"
plain "no folder at all"
has "$scratch/err" "no prompt cache: .*$scratch/in: Not a directory" "is said"
status 2 "no answers, no cache of prompts" $g --score --prompt-cache "$pc" /dev/null

# -- adapters
lora="$fixtures/lora-llama.gguf"
digest=$(sha256sum "$lora" | cut -d' ' -f1)
bare() { sed 's/,"lora":\[[^]]*\]//g'; }
$g $hot -s "$sys" --lora "$lora:8" -j1 -t1 "$scratch/in" | steady >"$scratch/l1"
$g $hot -s "$sys" --lora "$lora:8" -j9 -t3 "$scratch/in" | steady | cmp -s - "$scratch/l1"
ok $? "an adapter: the same bytes with -j9 -t3"
has "$scratch/l1" '"params":\{"max_tokens":[0-9]+,.*,"lora":\[\{"name":"lora-llama","digest":"'"$digest"'","scale":8\}\]\},"prompt_hash"' "params of the call name it"
bare <"$scratch/l1" | cmp -s - "$scratch/plain"
is "$?" 1 "it changes the answers"
$g $hot -s "$sys" --lora "$lora:0" "$scratch/in" | steady | bare | cmp -s - "$scratch/plain"
ok $? "but not at scale 0"
$g $hot -s "$sys" --lora "$lora:8" --prompt-cache "$pc" "$scratch/in" >"$scratch/c"
steady <"$scratch/c" | cmp -s - "$scratch/l1"
ok $? "kept prefixes of the bare model are not taken"
$g $hot -s "$sys" --lora "$lora:8" --prompt-cache "$pc" "$scratch/in" >"$scratch/c"
cached 0 "it has its own"
echo '{"id":1,"text":"Hello there"}' | $g --score --lora "$lora" --only >"$scratch/s"
has "$scratch/s" '"params":\{"lora":\[\{"name":"lora-llama","digest":"[0-9a-f]{64}","scale":1\}\]\}' "scores, too"
$g -n 1 --lora "$lora" --resume "$scratch/lout" "$scratch/in"
status 5 "not resumed with another scale" $g -n 1 --lora "$lora:2" --resume "$scratch/lout" "$scratch/in"
status 5 "no adapter" $g --lora "$fixtures/tiny-bert.gguf" "$scratch/in"
has "$scratch/err" 'tiny-bert.gguf: it is no LoRA adapter: general.type is ' "says why"
status 5 "an adapter of another model" $g -m "$fixtures/tiny-kquant.gguf" --lora "$lora" "$scratch/in"
status 5 "an adapter that is not there" $g --lora /nowhere.gguf:2 "$scratch/in"
has "$scratch/err" '^llm-generate: --lora /nowhere.gguf:2: /nowhere.gguf: No such file' "is named"

# -- resume
$g $hot --resume "$scratch/out" "$scratch/in"
steady <"$scratch/out" >"$scratch/whole"
head -n 5 "$scratch/out" >"$scratch/part"
sed -n 6p "$scratch/out" | head -c 40 >>"$scratch/part"
$g $hot --resume "$scratch/part" "$scratch/in"
steady <"$scratch/part" >"$scratch/again"
cmp -s "$scratch/whole" "$scratch/again"
ok $? "a killed job goes on to the same file"
echo '{{ text }}' >"$scratch/again.jinja"
$g -n 1 -T "$scratch/again.jinja" --resume "$scratch/tout" "$scratch/in"
echo '{{ text }}?' >"$scratch/again.jinja"
status 5 "a template that was edited between two runs" $g -n 1 -T "$scratch/again.jinja" --resume "$scratch/tout" "$scratch/in"

# -- templates that come with the tools
mkdir "$scratch/data" "$scratch/data/templates"
echo 'own {{ text }}' >"$scratch/data/templates/own.jinja"
is "$(printf Hi | LLMU_DATADIR="$scratch/data" $g -T own.jinja --raw --dry-run | head -n 1)" "own Hi" "a bare name"
status 5 "and one that is nowhere" $g -T nowhere.jinja "$scratch/in"
has "$scratch/err" 'nowhere.jinja: no such template here, nor is there .*/templates/nowhere.jinja .*LLMU_DATADIR' \
	"is told where one was looked for"

# -- parameters
full=$(printf 'Hi' | $g $hot -n 40 --json | sed 's/.*"output":"\([^"\\]*\).*/\1/')
stop=$(printf %s "$full" | grep -ao '[A-Za-z]\{4\}' | sed -n 2p)
is "$(printf 'Hi' | $g $hot -n 40 --json --stop "$stop" | sed 's/.*"output":"\([^"]*\)","finish_reason":"\([a-z]*\).*/\1 \2/')" \
	"${full%%"$stop"*} stop" "--stop"
is "$(echo '{"text":"Hi","params":{"stop":["nowhere","'"$stop"'"]}}' | $g $hot -n 40 |
	sed 's/.*"output":"\([^"]*\)","finish_reason":"\([a-z]*\).*/\1 \2/')" "${full%%"$stop"*} stop" "stop in params"
is "$(echo '{"text":"Hi","params":{"max_tokens":2,"temperature":0.5,"seed":9}}' | $g --temp 0 --seed 4 | sed 's/.*"params":\({"max[^}]*}\).*/\1/')" \
	'{"max_tokens":2,"temperature":0.5,"top_k":40,"top_p":0.95,"min_p":0.05,"seed":9}' "params of the record win"
is "$(echo '{"text":"Hi"}' | $g --samples 3 -n 5 --only | grep -o '"output"' | wc -l | tr -d ' ')" 4 "--samples"
for bad in '"temperature":"hot"' '"temperature":-1' '"max_tokens":0' '"max_tokens":1.5' '"stop":5' '"stop":[""]' '"seed":"x"' \
	'"logprobs":3' '"n":0' '"top_p":2'; do
	echo "{\"id\":1,\"text\":\"Hi\",\"params\":{$bad}}" | $g 2>/dev/null >"$scratch/bad"
	is "$? $(sed 's/.*"code":"\([a-z_]*\)".*/\1/' "$scratch/bad")" "1 invalid_field" "params {$bad}"
done
echo '{"id":1,"text":"Hi","params":{"response_format":{"type":"json_object"}}}' | $g 2>/dev/null >"$scratch/bad"
has "$scratch/bad" '"code":"unsupported"' "what cannot be done is said"
echo '{"id":1,"text":"Hi","params":{"response_format":{"type":"text"},"temperature":null}}' | $g -n 2 >"$scratch/good"
has "$scratch/good" '"output"' "null is as if it were not there"

# -- OpenAI's Batch API
{
	echo '{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"x","messages":[{"role":"user","content":"Hi"}],"max_tokens":3,"n":2}}'
	echo '{"custom_id":"b","method":"POST","url":"/v1/completions","body":{"model":"x","prompt":"Hi","max_tokens":3,"temperature":0}}'
	echo '{"custom_id":"c","method":"POST","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"Hi"}],"max_tokens":"3"}}'
} | $g -m "$LLMU_MODEL_GENERATE" 2>/dev/null >"$scratch/batch"
has "$scratch/batch" '^\{"id":"batch_req_[0-9a-f]{16}","custom_id":"a","response":\{"status_code":200,"request_id":"req_[0-9a-f]{16}","body":\{"id":"chatcmpl-[0-9a-f]{16}","object":"chat.completion","created":[0-9]+,"model":"tiny-llama","choices":\[\{"index":0,"message":\{"role":"assistant","content":".*","refusal":null\},"logprobs":null,"finish_reason":"[a-z]+"\},\{"index":1,.*\],"usage":\{"prompt_tokens":[0-9]+,"completion_tokens":[2-6],"total_tokens":[0-9]+\}\}\},"error":null,"calls":\[\{"stage":"generate",.*\}\]\}$' "a chat of the Batch API"
has "$scratch/batch" '^\{.*"custom_id":"b",.*"object":"text_completion".*"text":".*"usage":\{"prompt_tokens":2,' "a completion has no template"
has "$scratch/batch" '^\{"id":"batch_req_[0-9a-f]{16}","custom_id":"c","response":\{"status_code":400,.*"error":\{"code":"invalid_field"' "an error of it"

# -- too long
{
	echo '{"id":1,"text":"short"}'
	echo "{\"id\":2,\"text\":\"$(tr -d '\n\"\\' <"$top_srcdir/COPYING" | head -c 6000)\"}"
} >"$scratch/long"
$g -n 4 "$scratch/long" >"$scratch/out2" 2>"$scratch/err2"
is $? 1 "one record fails, the run goes on"
has "$scratch/out2" '"id":2.*"code":"context_length_exceeded","message":"prompt is [0-9]+ tokens, context 512: use --truncate' "both numbers"
$g -n 4 --truncate ctx "$scratch/long" >"$scratch/out2"
has "$scratch/out2" '"id":2.*"truncated":\{"from":[0-9]+,"to":50[0-8]\}' "--truncate ctx"
$g -n 4 --truncate 100 --dry-run "$scratch/long" >"$scratch/out2"
has "$scratch/out2" '"id":2.*assistant.n","n_tokens":(9[0-9]|100),' "--truncate 100 keeps the end of the template"
$g -n 600 --only "$scratch/long" 2>/dev/null | head -n 1 >"$scratch/out2"
has "$scratch/out2" '"finish_reason":"(length|stop)"' "an answer ends with the context"

# -- scores
is "$(echo '{"id":1,"text":"Hello there"}' | $g --score --only | sed 's/"calls.*//; s/[0-9.]\{8,\}/N/g')" \
	'{"id":1,"logprob":-N,"n_scored":6,"ppl":Ne24,' "--score"
a=$(echo '{"id":1,"text":"Hello","a":"x"}' | $g --score --continuation a --only | sed 's/,"calls.*//')
is "$({ cat "$scratch/in"; echo '{"id":1,"text":"Hello","a":"x"}'; } | $g --score --continuation a --only 2>/dev/null | tail -n 1 | sed 's/,"calls.*//')" "$a" \
	"--continuation, alone or in a crowd"
head -c 3000 "$top_srcdir/COPYING" >"$scratch/doc"
$g --score --window 64 -t1 "$scratch/doc" | steady | sed 's/"total":[0-9.]*//' >"$scratch/w1"
$g --score --window 64 -t2 "$scratch/doc" | steady | sed 's/"total":[0-9.]*//' >"$scratch/w2"
cmp -s "$scratch/w1" "$scratch/w2" && has "$scratch/w1" '"ppl_stderr":'
ok $? "--window"

# -- usage, files, signals
status 2 "-p and -T exclude each other" $g -p x -T y
status 2 "no limit with --score" $g --score -n 4 /dev/null
has "$scratch/err" '^llm-generate: --score and --max-tokens exclude each other$' "both are named"
status 2 "no template with --raw" $g --raw --chat-template-file x.jinja -p x
has "$scratch/err" '^llm-generate: --raw and --chat-template-file exclude each other$' "both are named"
status 2 "a bad --truncate" $g -p x --truncate lots
status 2 "a bad --param" $g -p x --param novalue
status 5 "no such model" $g -m /nowhere.gguf -p x
status 5 "an encoder" $g -m "$LLMU_MODEL_EMBED" -p x
status 5 "no such template" $g -T /nowhere.jinja /dev/null
printf '{{ x' >"$scratch/bad.jinja"
status 2 "a bad template" $g -T "$scratch/bad.jinja" /dev/null
has "$scratch/err" 'bad.jinja: line 1' "names the line"
printf '{{ raise_exception("no " ~ id) }}' >"$scratch/raise.jinja"
echo '{"id":5}' | $g -T "$scratch/raise.jinja" 2>/dev/null >"$scratch/bad"
has "$scratch/bad" '"code":"invalid_field","message":"template .*raise.jinja, line 1: no 5"' "raise_exception is the record's error"
{ cat "$scratch/in"; sleep 5; } | $g -n 2 -o "$scratch/sig" &
sleep 1.5
kill -TERM $! 2>/dev/null
wait $! 2>/dev/null
[ -z "$(tail -c 1 "$scratch/sig")" ]
ok $? "a signal leaves whole lines"
[ "$(wc -l <"$scratch/sig")" -ge 1 ]
ok $? "and what is finished"
done_testing
