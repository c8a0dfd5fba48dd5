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

done_testing
