#!/bin/sh
# llm-tokenize on the fixture models: what it adds, what it cuts, what it refuses.
. "$top_srcdir/tests/lib.sh"
export LLMU_MODEL_GENERATE="$fixtures/tiny-llama.gguf" LLMU_MODEL_EMBED="$fixtures/tiny-bert.gguf"
t=llm-tokenize
gpl=$scratch/doc.txt
sed 's/version 3/Version «3» – ☃ 三/' "$top_srcdir/COPYING" "$top_srcdir/README" "$top_srcdir/HACKING" >"$gpl"

# -- members
is "$(echo '{"id":1e0,"text":"free","z":[1.0 , 2]}' | $t)" '{"id":1e0,"text":"free","z":[1.0 , 2],"n_tokens":2}' \
	"other bytes pass through"
is "$(echo '{"id":1,"text":"free"}' | $t --only --digest | sed 's/[0-9a-f]\{64\}/H/')" \
	'{"id":1,"tokenizer":"H","n_tokens":2}' "--only --digest"
is "$(printf 'h\303\251' | $t --only --pieces --offsets)" \
	'{"id":1,"pieces":["h","<0xC3>","<0xA9>"],"offsets":[[0,1],[1,2],[2,3]],"n_tokens":3}' "pieces of a character"
is "$(echo '{"content":"x","text":"free"}' | $t --only --field content | sed 's/.*n_t/n_t/')" 'n_tokens":1}' "--field"
is "$(printf 'a <|im_end|>' | $t --count) $(printf 'a <|im_end|>' | $t --count --special all)" "10 3" "--special"
is "$(printf 'The' | $t -m "$LLMU_MODEL_EMBED" --count) $(printf 'The' | $t -m "$LLMU_MODEL_EMBED" --count --no-bos)" "3 1" \
	"--no-bos"

# -- numbers alone
is "$(printf 'free software' | $t --count)" 4 "--count"
is "$(printf 'free\nsoftware\n' | $t --count --lines)" "2
3" "--count --lines"
printf 'free' >"$scratch/a"
printf 'free software' >"$scratch/b"
is "$(cd "$scratch" && $t --count a b)" "2 a
4 b" "names behind the numbers of several files"
is "$($t --total "$scratch/a" "$scratch/b")" 6 "--total"
printf '{"text":"free software"}\n{"text":"a"}\n' >"$scratch/in"
status 3 "--max is a gate" $t --max 3 "$scratch/in"
has "$scratch/err" '1 of 2 records have more than 3 tokens' "and says how many"
is "$(wc -l <"$scratch/out")" 2 "all records are written nevertheless"

# -- there and back
$t --ids --no-bos "$gpl" >"$scratch/ids"
$t --decode "$scratch/ids" --only >"$scratch/back"
$t --only --ids --no-bos --special none <"$scratch/back" >"$scratch/again"
is "$(grep -o '"tokens":.*' "$scratch/again")" "$(grep -o '"tokens":[^}]*' "$scratch/ids")}" "decode gives the text back"
is "$(printf 'free software' | $t --ids --only | sed 's/.*\[//; s/\].*//' | $t --decode)" "free software" "ids as plain text"
status 1 "an id that is none" sh -c "echo '{\"tokens\":[99999999]}' | $t --decode"
has "$scratch/out" '"code":"invalid_field"' "is an error record"

# -- truncation
is "$(printf 'free software' | $t --truncate 3)" '{"id":1,"text":"free so","truncated":{"from":4,"to":3},"n_tokens":3}' "--truncate"
is "$(printf 'free software' | $t --truncate 4)" '{"id":1,"text":"free software","n_tokens":4}' "nothing to cut"
is "$(printf 'free software' | $t --truncate 1 --keep tail)" \
	'{"id":1,"text":"ftware","truncated":{"from":4,"to":1},"n_tokens":1}' "--keep tail"
is "$(printf 'a\342\230\203' | $t --truncate 2 --only)" '{"id":1,"text":"a","truncated":{"from":4,"to":1},"n_tokens":1}' \
	"never inside a character"

# -- chunks: within the limit, in order, nothing lost, the same whatever -j is
for how in "--chunk 40" "--chunk 40 --overlap 10" "--chunk 64 --cut token" "--chunk 64 --cut sentence" \
	"--chunk 64 --cut paragraph --overlap 5" "--chunk 8"; do
	# shellcheck disable=SC2086
	$t $how "$gpl" >"$scratch/chunks"
	limit=$(echo "$how" | cut -d' ' -f2)
	sed 's/.*"start":\([0-9]*\),"end":\([0-9]*\)},"n_tokens":\([0-9]*\)}$/\1 \2 \3/' "$scratch/chunks" |
		$AWK -v max="$limit" -v lap="$how" -v size="$(wc -c <"$gpl")" '
		$3 > max || $2 <= end || $1 <= start + 0 && NR > 1 || $1 > end + 60 { bad++ }
		lap !~ /overlap/ && $1 < end { bad++ }
		{ start = $1; end = $2 }
		END { exit bad || NR < 3 || end < size - 3 }'
	ok $? "$how: limits, order, cover"
	$t -m "$LLMU_MODEL_EMBED" --count "$scratch/chunks" >"$scratch/counts"
	sed 's/.*"n_tokens":\([0-9]*\)}$/\1/' "$scratch/chunks" | cmp -s - "$scratch/counts"
	ok $? "$how: counted again the same"
done
for i in 1 2 3 4 5 6 7 8 9; do
	sed -n "${i}0,$((i + 3))9p" "$gpl" >"$scratch/part$i"
done
$t --chunk 30 -j 1 "$scratch"/part* >"$scratch/j1"
$t --chunk 30 -j 4 "$scratch"/part* | cmp -s - "$scratch/j1"
ok $? "-j changes nothing"
is "$(echo '{"id":"d","title":"T","content":"Free software."}' | $t --chunk 20)" \
	'{"id":"d#0","title":"T","text":"Free software.","chunk":{"of":"d","index":0,"start":0,"end":14},"n_tokens":5}' \
	"a chunk keeps the document's other members"
is "$(printf ' \n\n' | $t --chunk 20)" "" "white space alone is no chunk"

# -- chat
is "$(echo '{"messages":[{"role":"user","content":"free"}]}' | $t --chat | sed 's/.*n_t/n_t/')" 'n_tokens":41}' "--chat"
a=$(echo '{"messages":[{"role":"user","content":"<|im_end|>"}]}' | $t --chat --ids | grep -o '[[,]2[],]' | wc -l)
b=$(echo '{"messages":[{"role":"user","content":"free"}]}' | $t --chat --ids | grep -o '[[,]2[],]' | wc -l)
is "$a" "$b" "a special token that a user writes is none"

# -- two tokenizers
echo '{"id":1,"text":"Hello world"}' >"$scratch/two"
status 0 "--compare" $t --compare "$LLMU_MODEL_EMBED" "$scratch/two"
is "$(cat "$scratch/out")" '{"id":1,"text":"Hello world","n_tokens":8,"compare":{"n_tokens":7,"same_ids":false,"cut_at":7}}' \
	"where they part"
status 3 "--same, and they are not" $t --compare "$LLMU_MODEL_EMBED" --same "$scratch/two"
has "$scratch/err" '1 of 1 records have other ids' "is a gate"
status 0 "--same" $t --compare "$LLMU_MODEL_GENERATE" --same "$scratch/a"
has "$scratch/out" '"same_ids":true,"cut_at":null' "with itself"
status 2 "--compare --count" $t --compare x --count "$scratch/a"

# -- ranks of tiktoken
printf 'YQ== 0\nYg== 1\nIA== 4\r\nYWI= 2\n' >"$scratch/cl100k_base.tiktoken"
is "$(printf 'abab ab<|endoftext|>' | sed 's/<.*//' | $t -m "$scratch/cl100k_base.tiktoken" --ids --only | sed 's/,"n_.*//; s/.*tok/tok/')" \
	'tokens":[2,2,4,2]' "a .tiktoken file"
is "$(printf '<|endoftext|>' | $t -m "$scratch/cl100k_base.tiktoken" --special all --ids --only | sed 's/.*\[//')" \
	'100257],"n_tokens":1}' "its special tokens are those of its name"
cp "$scratch/cl100k_base.tiktoken" "$scratch/mine.tiktoken"
status 5 "a .tiktoken file of another name" $t -m "$scratch/mine.tiktoken" "$scratch/a"
has "$scratch/err" 'cl100k_base, o200k_base' "is told the names"
echo 'YQ== x' >"$scratch/o200k_base.tiktoken"
status 5 "a bad line" $t -m "$scratch/o200k_base.tiktoken" "$scratch/a"
has "$scratch/err" 'byte 0: not a line' "is told where"
echo '!! 1' >"$scratch/o200k_base.tiktoken"
status 5 "bad base64" $t -m "$scratch/o200k_base.tiktoken" "$scratch/a"
: >"$scratch/r50k_base.tiktoken"
status 0 "no ranks" $t -m "$scratch/r50k_base.tiktoken" --count /dev/null

# -- refusals
status 1 "bad UTF-8" sh -c "printf 'ab\\377' | $t"
has "$scratch/out" '"code":"invalid_utf8"' "is an error record"
status 5 "no such model" $t -m /nonexistent.gguf "$scratch/a"
status 5 "a file that is no model" $t -m "$gpl" "$scratch/a"
printf '{"model":{"type":"WordLevel","vocab":{}}}' >"$scratch/wordlevel.json"
status 5 "an unknown kind" $t -m "$scratch/wordlevel.json" "$scratch/a"
has "$scratch/err" 'WordLevel' "is refused by name"
status 2 "options that exclude each other" $t --chunk 9 --truncate 9 "$scratch/a"
status 2 "a chunk that is too small" $t --chunk 2 "$scratch/a"
status 2 "more overlap than chunk" $t --chunk 9 --overlap 9 "$scratch/a"
done_testing
