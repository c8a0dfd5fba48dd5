#!/bin/sh
# llm-generate on SmolLM2 135M: perplexity as llama.cpp computes it, the same bytes however a batch is run, resumed runs.
. "${top_srcdir:-.}/tests/lib.sh"
model=$models/smollm2-135m-instruct-q4_1.gguf
[ -e "$model" ] || skip_all 'no SmolLM2: scripts/fetch-models'
cd "$scratch" || exit 1

# within PERCENT GOT WANTED WHAT
within() {
	awk -v p="$1" -v a="$2" -v b="$3" 'BEGIN { d = a / b - 1; exit !(d < p / 100 && d > -p / 100) }'
	ok $? "$4: $2, wanted $3 within $1 %"
}
# what must not change: everything but clocks and what was shared
same() { sed -E 's/"timings":\{[^}]*\},?//g; s/"created":[0-9]*,?//g; s/"prompt_tokens_details":\{[^}]*\}//g' "$1"; }

# 16 prompts of different lengths, half of them with one system prompt
awk 'BEGIN {
	split("Name a river.|Count from one to nine.|Write a haiku about rain.|What is seven times six?|Translate good morning into French.", q, "|")
	for (i = 0; i < 16; i++) {
		s = q[i % 5 + 1]
		for (j = 0; j < i; j++) s = s " And say why, in other words, number " j "."
		if (i % 2)
			printf "{\"id\":\"r%d\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a terse and helpful assistant who answers every question in a single plain sentence, without lists and without any introduction. What you do not know you do not guess: you say so, and you name who might know. Numbers are given in words up to ten and in digits from there on, units are metric, years are written with four digits and names of places as the people who live there write them.\"},{\"role\":\"user\",\"content\":\"%s\"}]}\n", i, s
		else
			printf "{\"id\":\"r%d\",\"prompt\":\"%s\",\"params\":{\"seed\":%d}}\n", i, s, i
	}
}' >in.ndjson

llm-generate -m "$model" -n 16 -j 16 in.ndjson -o batch.ndjson
is "$(grep -c '"finish_reason":' batch.ndjson)" 16 'every record is answered'
same batch.ndjson >want
for how in '-j 1 -t 1' '-j 4 -t 2' '-j 25 -t 3'; do
	# shellcheck disable=SC2086
	llm-generate -m "$model" -n 16 $how in.ndjson -o other.ndjson
	same other.ndjson | cmp -s - want
	ok $? "the same bytes with $how"
done
sort -R --random-source="$model" in.ndjson >shuffled.ndjson
llm-generate -m "$model" -n 16 shuffled.ndjson -o other.ndjson
same other.ndjson | sort >a
sort want | cmp -s - a
ok $? 'and in another order'
for run in first second; do
	llm-generate -m "$model" -n 16 --prompt-cache kept in.ndjson -o other.ndjson
	same other.ndjson | cmp -s - want
	ok $? "the same bytes in the $run run with --prompt-cache"
done
is "$(grep -c '"cached_tokens":0}' other.ndjson)" 0 'which computes no beginning again'
llm-generate -m "$model" -n 16 -j 3 --resume run.ndjson in.ndjson & pid=$!
sleep 2
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
done_before=$(wc -l <run.ndjson 2>/dev/null || echo 0)
llm-generate -m "$model" -n 16 --resume run.ndjson in.ndjson
same run.ndjson | cmp -s - want
ok $? "killed after $done_before records and resumed"

# greedy: two runs agree; text in gives text out; a stop string is not in the answer
llm-generate -m "$model" --raw --temp 0 -n 30 -p 'The capital of France is' >g1
llm-generate -m "$model" --raw --temp 0 -n 30 -t 1 -p 'The capital of France is' >g2
cmp -s g1 g2 && grep -q Paris g1
ok $? 'greedy text'
llm-generate -m "$model" --temp 0 -n 30 --raw --stop , -p 'one, two, three, four,' >g3
grep -q , g3
is $? 1 'the stop string is not in the answer'

# perplexity of a text that every Debian has, windows of 512, as llama-perplexity: its figure on this file is 18.391
gpl=/usr/share/common-licenses/GPL-3
if [ -e "$gpl" ]; then
	ppl=$(llm-generate -m "$model" --score --window 512 --json "$gpl" | sed -n 's/.*"ppl":\([0-9.]*\).*/\1/p')
	within 0.5 "$ppl" 18.391 'perplexity of the GPL'
fi

# over the context: an error record that names both numbers; the others go on
awk 'BEGIN { printf "{\"id\":1,\"prompt\":\""; for (i = 0; i < 9000; i++) printf "word "; print "\"}"; print "{\"id\":2,\"prompt\":\"hi\"}" }' >long.ndjson
status 1 'one prompt over the context: exit 1' llm-generate -m "$model" -n 4 long.ndjson
has out 'context_length_exceeded' 'it says so'
is "$(grep -c '"output":' out)" 1 'the other is answered'
done_testing
