#!/bin/sh
# What hostile and unlucky users did, one test each.
. "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}/tests/lib.sh"
# shellcheck disable=SC2154
cd "$scratch" || exit 1

# output that fails, under a tool that stops at it
printf '{"id":%d,"text":"a","embedding":[1,0]}\n' 1 2 3 >v.ndjson
llm-index add v.db v.ndjson
if [ -w /dev/full ]; then
	for verb in "search v.db v.ndjson" "missing none.db v.ndjson"; do
		# shellcheck disable=SC2086
		llm-index $verb >/dev/full 2>err
		is $? 4 "llm-index ${verb%% *}: a full disk is status 4"
		has err "No space left" "and named"
	done
fi

# a pipe is no model: nobody waits for its writer
mkfifo pipe.gguf
status 5 "a pipe as a model is refused" timeout 20 llm-tokenize -m ./pipe.gguf --count
has err "not a regular file" "and named"

# an option that would do nothing is refused
export LLMU_DATADIR="$top_srcdir/data"
status 2 "--retry-errors without --resume" llm-cost price --retry-errors
has err "goes with --resume" "and what it needs is named"
while read -r tool verb opt; do
	# shellcheck disable=SC2086
	status 2 "$tool $verb has no $opt" $tool $verb $opt
	has err "is not for '$verb'" "and says so"
done <<'EOF'
llm-cost report -ofile
llm-cost report --errors=file
llm-eval report -ofile
llm-eval gate --only
llm-eval metrics --resume=file
llm-index list --errors=file
llm-index stats -j3
EOF
status 2 "llm-cost report takes a key once" llm-cost report --by model,model
has err "twice" "and says so"
status 0 "llm-index list writes to -o" llm-index list v.db -o list.ndjson
is "$(wc -l <list.ndjson)" 3 "every item"

# an index that somebody else keeps, where nothing can be written
if [ "$(id -u)" != 0 ]; then
	mkdir 'ro #1%'
	cp v.db 'ro #1%/v.db'
	chmod -R a-w 'ro #1%'
	status 0 "an index in a read-only folder is read" llm-index list 'ro #1%/v.db'
	is "$(wc -l <out)" 3 "whole"
	chmod -R u+w 'ro #1%'
fi

# errors name the cause, not where it showed
echo '{"id":1,"messages":"abc"}' >m.ndjson
status 1 "messages that are no array" llm-tokenize --chat -m "$fixtures/tiny-llama.gguf" m.ndjson
has out 'messages. must be an array' "are told so"
echo '{"id":1,"embedding":[]}' >m.ndjson
status 1 "a vector of no numbers" llm-index add v.db m.ndjson
has out 'the vector is empty' "is called empty"

# -- a name that a script left empty
model="$fixtures/tiny-llama.gguf"
echo '{"id":1,"text":"Hi"}' >one.ndjson
for opt in --cache --prompt-cache --lora --output --summary --resume; do
	status 2 "llm-generate $opt ''" llm-generate -m "$model" -n1 "$opt" '' one.ndjson
	has err "option '$opt': .* is empty" "is told so"
done
status 0 "a text may be empty" llm-generate -m "$model" -n1 -p '' -s '' one.ndjson

# -- the prompt cache in a folder where others write: a link there is replaced, not written through
echo precious >file
mkdir kept
awk 'BEGIN { printf "{\"id\":1,\"text\":\""; for (i = 0; i < 100; i++) printf "ab "; print "\"}" }' >long.ndjson
# shellcheck disable=SC2317
keep() {
	timeout 20 llm-generate -m "$model" -n1 -t1 --prompt-cache kept long.ndjson
}
status 0 "a prompt is kept" keep
kv=$(ls kept/*.kv)
ok $? "in a file"
ln -sf ../file "$kv"
status 0 "with a link under its name" keep
is "$(cat file)" precious "the link's target is as it was"
[ ! -L "$kv" ] && [ -s "$kv" ]
ok $? "and the prompt is kept in the link's place"
rm -f "$kv"
mkfifo "$kv"
status 0 "a pipe of that name holds nobody up" keep

# -- a configuration that would be passed over
config=$XDG_CONFIG_HOME/llm-utils/config.json
mkdir -p "${config%/*}"
while read -r text says; do
	echo "$text" >"$config"
	status 5 "config.json $text" llm-generate -n1 one.ndjson
	has err "config.json: $says" "is refused"
done <<'EOF'
[] must be an object
{"models":5} models must be an object
{"providers":[]} providers must be an object
EOF
ln -sf config.json "$config"
status 5 "config.json that links to itself" llm-generate -n1 one.ndjson
has err "config.json: Too many levels" "is no missing one"
rm -f "$config"

# -- a limit on files
yes '{"text":"Hi"}' | head -n 500 >many.ndjson
(
	ulimit -f 1
	exec llm-tokenize -m "$model" --pieces -o over many.ndjson
) 2>err
is $? 4 "a file over the limit is 4, not a signal"
has err "over: cannot write: File too large" "and is named"

# -- Batch lines without what makes them such
printf '{"url":"/v1/chat/completions","body":%s}\n' '{"messages":[]}' >b.ndjson
printf '{"custom_id":"a","url":"/v1/chat/completions","body":%s}\n' 5 >>b.ndjson
status 1 "lines that are no Batch lines" llm-generate -m "$model" -n1 b.ndjson
is "$(grep -c 'a line of a Batch file needs a .custom_id. and a .body. that is an object' out)" 2 "are told what is missing"

# -- TERM, wherever a tool waits
told() { # WHAT COMMAND…: it is stopped within seconds
	what=$1
	shift
	"$@" <one.ndjson >out 2>err &
	pid=$!
	sleep 0.5
	kill -s TERM $pid
	(sleep 5 && kill -s KILL $pid) >/dev/null 2>&1 &
	watch=$!
	wait $pid 2>/dev/null
	got=$?
	kill -s KILL $watch 2>/dev/null # TERM would make bash run the trap that removes the scratch folder
	is $got 143 "$what ends on TERM"
	[ $got = 143 ] || sed 's/^/# /' err out
}
mkfifo never
told "a template that does not come" llm-generate -m "$model" -T ./never
told "an output that nobody reads" llm-tokenize -m "$model" --count -o never
told "a key's command that asks" llm-generate -m tiny --base-url http://127.0.0.1:9/v1 --api-key-cmd 'exec sleep 9'

# a column of the user's named error
printf '{"id":1,"error":"mine","x":1}\nno json\n' >column
llm-tokenize -m "$model" --count -o failed column 2>err
got=$?
is $got 1 "a record with a column \"error\" fails"
[ $got = 1 ] || sed 's/^/# /' err
is "$(sed -n '1s/"message":"[^"]*"/M/p' failed)" \
	'{"id":1,"error":{"code":"missing_field",M,"stage":"tokenize","retryable":false,"line":1,"was":"mine"},"x":1}' \
	"and keeps what it was"
is "$(grep -c '"was"' failed)" 1 "another record has none of it"

# a model file that changes while it is read: `changes COMMAND` between two records
changes() {
	cp "$model" mine.gguf
	rm -f asked
	mkfifo asked
	llm-generate -m ./mine.gguf --raw --temp 0 -n 4 -j 1 -o answers asked 2>err &
	pid=$!
	exec 3>asked
	echo '{"id":1,"prompt":"a b"}' >&3
	n=0
	until [ -s answers ] || [ $n -ge 100 ]; do
		sleep 0.1
		n=$((n + 1))
	done
	$1 mine.gguf
	echo '{"id":2,"prompt":"a b"}' >&3
	exec 3>&-
	wait $pid
	got=$?
}
another() { echo no model >other && mv other "$1"; }
empty() { : >"$1"; }
changes another
is "$got $(sed 's/.*"output":"\([^"]*\)".*/\1/' answers | sort -u | wc -l) $(wc -l <answers)" "0 1 2" "a model file that is replaced: the old one goes on"
changes empty
is "$got $(wc -l <answers)" "5 1" "a model file that shrinks is status 5, what was answered is out"
has err "mine.gguf: the file shrank" "and named"

done_testing
