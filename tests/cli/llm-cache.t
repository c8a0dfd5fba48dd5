#!/bin/sh
# --cache of llm-generate and llm-embed, and llm-cache: the same bytes hit or miss, other processes, death, bad files.
. "$top_srcdir/tests/lib.sh"
export LLMU_MODEL_GENERATE="$fixtures/tiny-llama.gguf" LLMU_MODEL_EMBED="$fixtures/tiny-bert.gguf"
cd "$scratch" || exit 1

# Without what may differ between a hit and a miss (DESIGN 2.10).
steady() {
	sed -e 's/"timings":{[^}]*},"created":[0-9]*//g; s/,"cache":{[^}]*}//g; s/"cached_tokens":[0-9]*//g' "$@"
}
# hits FILE: how many calls say so
hits() {
	grep -c '"cache":{"status":"hit"' "$1"
}

i=0
while [ $i -lt 24 ]; do
	echo "{\"id\":$i,\"prompt\":\"free software $((i % 10))\"}"
	i=$((i + 1))
done >in

# -- the same bytes
for how in "llm-generate -n8" "llm-generate -n5 --samples 2 --logprobs --top-logprobs 2" "llm-generate -n6 --temp 0 --stop are" \
	"llm-embed" "llm-embed --encoding-format float --dimensions 8"; do
	rm -f c.db*
	$how in | steady >without
	$how --cache c.db in >first
	$how --cache c.db -j3 -t1 in >second
	is "$(hits first) $(hits second)" "14 24" "hits: $how"
	steady first | cmp -s - without && steady second | cmp -s - without
	ok $? "the same bytes"
done
llm-embed --cache c.db in >/dev/null
is "$(llm-embed --cache c.db in | grep -c '"kind":"exact"')" 24 "several questions in one file"
is "$(llm-embed --prefix 'q: ' --cache c.db in | grep -c '"hit"')" 14 "another prefix is another question"
is "$(printf 'free software 3\n' | llm-generate -n 8 --cache c.db)" "$(printf 'free software 3\n' | llm-generate -n 8)" "text, a miss"
is "$(printf 'free software 3\n' | llm-generate -n 8 --cache c.db)" "$(printf 'free software 3\n' | llm-generate -n 8)" "text, a hit"
sed 's/free software/Free  Software/' in >near
is "$(llm-embed --cache n.db --cache-normalize case near in | grep -c '"hit"') $(llm-embed --cache n.db --cache-normalize case in near |
	grep -c '"kind":"normalised"')" "38 24" "--cache-normalize"
echo "{\"id\":1,\"text\":\"$(tr -d '\n"\\' <"$top_srcdir/COPYING" | head -c 6000)\"}" >long
llm-embed long >without 2>/dev/null
llm-embed --cache c.db long >first 2>/dev/null
is "$? $(steady first | cksum)" "1 $(steady without | cksum)" "a record in error is the same with a cache"
llm-embed --cache c.db --truncate 20 long >first
is "$(llm-embed --cache c.db --truncate 20 long | steady | cksum)" "$(steady first | cksum)" "a truncated one, too"
has first '"truncated":' "it was truncated"

# -- whatever decides the answer is another question
echo '{"id":1,"text":"Hi"}' >one
printf '{{ text }} {{ x }}' >t.jinja
missed=0
while read -r how; do
	# shellcheck disable=SC2086
	missed=$((missed + $(llm-generate -n2 --cache v.db $how one </dev/null | grep -c '"status":"miss"')))
done <<END

--lora $fixtures/lora-llama.gguf
-n 3
-s A
-s B
--temp 0
--seed 2
--stop x
--stop y
--samples 2
--logprobs
--raw
-p more
-T t.jinja --param x=1
-T t.jinja --param x=2
-c 100
--kv-type q8_0
END
is "$missed" 17 "each is asked"
is "$(llm-generate -n2 --cache v.db -x -j1 -t1 one | grep -c '"status":"hit"')" 1 "what does not is not"

# -- what it costs
echo '{"id":1,"model":"gpt-4o","usage":{"prompt_tokens":1000,"completion_tokens":0},"cache":{"status":"hit","kind":"exact","age_s":3}}' |
	LLMU_DATADIR="$top_srcdir/data" llm-cost price >cost 2>/dev/null
has cost '"total":0' "a hit costs nothing"

# -- two at once, age, size
rm -f c.db*
llm-generate -n 8 --cache c.db in >first &
llm-generate -n 8 --cache c.db in >second
wait $!
is "$(cat first second | grep -c '"status":"miss"')" 10 "two processes, each answer is made once"
steady first >a
steady second | cmp -s - a
ok $? "and the same bytes"
sleep 2
is "$(llm-generate -n 8 --cache c.db --cache-ttl 1s in | grep -c '"miss"') $(llm-generate -n 8 --cache c.db --cache-ttl 1h in |
	grep -c '"hit"')" "10 24" "--cache-ttl"
i=0
while [ $i -lt 60 ]; do
	echo "{\"id\":$i,\"text\":\"number $i\"}"
	i=$((i + 1))
done >many
llm-embed --cache small.db --cache-max 64K many >/dev/null
size=$(wc -c <small.db)
[ "$size" -le 90000 ]
ok $? "--cache-max: $size bytes"
has "$(llm-embed --cache small.db many >out && echo out)" '"status":"(hit|miss)"' "a full one goes on"

# -- killed
steady first >whole
rm -f c.db* part*
n=0
while [ $n -lt 5 ]; do
	llm-generate -n 8 --cache c.db --resume part in 2>/dev/null &
	sleep "0.0$((n * 2 + 1))"
	kill -9 $! 2>/dev/null
	wait $! 2>/dev/null
	n=$((n + 1))
done
status 0 "killed five times, then finished" llm-generate -n 8 --cache c.db --resume part in
steady part | cmp -s - whole
ok $? "as if nothing had happened"
status 0 "the cache is sound" llm-cache check c.db

# -- services
serve one
url="http://127.0.0.1:$port/v1"
asked() {
	wc -l <one.log | tr -d ' '
}
{
	echo '{"id":1,"text":"Hi"}'
	echo '{"id":2,"text":"Ho","params":{"seed":5}}'
	echo '{"id":3,"text":"Ho","params":{"seed":5}}'
	echo '{"id":4,"text":"Hu","params":{"temperature":0}}'
} >hosted
llm-generate -m m --base-url "$url" --cache h.db hosted >first
is "$(asked) $(grep -c '"status":"bypass"' first) $(hits first)" "3 1 1" "equal questions go out once, what is drawn is not kept"
llm-generate -m m --base-url "$url" --cache h.db hosted >second
is "$(asked) $(hits second)" "4 3" "then only what is drawn goes out"
# attempts and request_id are of requests: a hit made none
is "$(steady second | sed 's/,"request_id":"[^"]*","attempts":1//' | cksum)" \
	"$(steady first | sed 's/,"request_id":"[^"]*","attempts":1//' | cksum)" "the same bytes and usage"
llm-generate -m m --base-url "$url" --cache h.db --cache-sampled hosted >/dev/null
llm-generate -m m --base-url "$url" --cache h.db --cache-sampled hosted >second
is "$(asked) $(hits second)" "5 4" "--cache-sampled"
llm-embed -m m --base-url "$url" --cache h.db hosted >first
llm-embed -m m --base-url "$url" --cache h.db hosted >second
is "$(asked) $(hits first) $(hits second) $(steady second | sed 's/,"attempts":1//' | cksum)" \
	"6 1 4 $(steady first | sed 's/,"attempts":1//' | cksum)" "vectors"
is "$(LLMU_DATADIR="$top_srcdir/data" llm-cost price second 2>/dev/null | grep -c '"code":"unpriced"')" 4 "of no known price"

# -- usage, bad files
status 2 "--cache-ttl alone" llm-embed --cache-ttl 3d in
status 2 "a bad time" llm-embed --cache c.db --cache-ttl 3x in
status 2 "a bad size" llm-generate --cache c.db --cache-max much in
status 2 "--score has no answer to keep" llm-generate --score --cache c.db in
status 5 "no cache" llm-embed --cache in in
has err 'no cache' "says so"
llm-index add other.db <<'END' 2>/dev/null
{"id":1,"text":"x","embedding":[1,2]}
END
status 5 "an index is no cache" llm-embed --cache other.db in
status 5 "a folder that is not there" llm-generate --cache nowhere/c.db in
status 5 "a file that is not there" llm-cache stats nowhere.db
cp c.db torn.db
# the free pages and the header of its answers
dd if=/dev/zero of=torn.db bs=8192 seek=2 count=4 conv=notrunc 2>/dev/null
status 5 "a torn cache" llm-generate -n 8 --cache torn.db in
has err 'cache torn.db: .*remove it, or give another' "cause and mend"
status 5 "check finds it" llm-cache check torn.db
status 2 "purge wants to know what" llm-cache purge c.db
status 2 "all or some" llm-cache purge c.db --all --model x
status 0 "purge" llm-cache purge -v c.db --all
is "$(cat err)" "llm-cache: c.db: 10 deleted" "all"
has "$(llm-cache stats c.db >out && echo out)" '^\{"entries":0,"value_bytes":0,"file_bytes":[0-9]+,"oldest":null,"newest":null,"models":\[\]\}$' "empty"
llm-cache stats c.db >/dev/full 2>/dev/null
is $? 4 "a full disk behind standard output"
done_testing
