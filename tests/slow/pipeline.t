#!/bin/sh
# The README's pipeline on the real models: the right sources come first, every stage adds what it promises.
. "${top_srcdir:-.}/tests/lib.sh"
LLMU_MODEL_GENERATE=$models/smollm2-135m-instruct-q4_1.gguf
LLMU_MODEL_EMBED=$models/all-minilm-l6-v2-f32.gguf
LLMU_DATADIR=$top_srcdir/data
export LLMU_MODEL_GENERATE LLMU_MODEL_EMBED LLMU_DATADIR
{ [ -e "$LLMU_MODEL_GENERATE" ] && [ -e "$LLMU_MODEL_EMBED" ]; } || skip_all 'no models: scripts/fetch-models'
demo=$top_srcdir/data/demo
cd "$scratch" || exit 1

llm-tokenize --chunk 180 --overlap 20 "$demo"/*.txt | llm-embed | llm-index add kb.db
ok $? 'documents are indexed'
is "$(llm-index stats kb.db | sed 's/.*"documents":\([0-9]*\).*/\1/')" 6 'six of them'
llm-tokenize --chunk 180 --overlap 20 "$demo"/*.txt | llm-index missing kb.db >again
is "$(wc -c <again)" 0 'nothing is missing after that'
llm-embed --query "$demo/questions.ndjson" | llm-index search kb.db -k 3 |
	llm-generate -T "$top_srcdir/data/templates/rag.jinja" --temp 0 --max-tokens 60 |
	llm-eval score -M contains -M groundedness | llm-cost price --host-rate 0.1 >answers
is "$(wc -l <answers)" 6 'six answers'
is "$(sed 's/.*"hits":\[{"rank":1,"id":"[^"]*\/\([a-z]*\)\.txt.*/\1/' answers | head -5 | tr '\n' ' ')" \
	'tides lighthouse salt bread glaciers ' 'the right source comes first'
for m in '"calls":\[\{"stage":"embed"' '"stage":"generate"' '"output":' '"finish_reason":' '"scores":\{"contains":' '"groundedness":' \
	'"cost":\{"input":' '"usage":\{"prompt_tokens":' '"timings":' '"model_digest":"b179c9523d0e6a0f'; do
	is "$(grep -Ec "$m" answers)" 6 "each has $m"
done
is "$(sed 's/.*"total":\([0-9.]*\),"currency".*/\1/' answers | awk '$1 > 0' | wc -l)" 6 'machine time costs something'
llm-eval report answers >report
has report '"metric":"contains"' 'the report'
status 3 'a gate that is not met' llm-eval gate --fail-under contains=1.1 answers
done_testing
