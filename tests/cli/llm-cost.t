#!/bin/sh
# llm-cost as a whole: records pass through, costs are exact, what has no price says so.
. "$top_srcdir/tests/lib.sh"
export LLMU_DATADIR="$top_srcdir/data"
unset LLMU_BOOK
cd "$scratch" || exit 1

cat >book.ndjson <<'END'
{"sku":"acme/one/input","match":[{"exact":"one"}],"unit":"input_tokens","price":"3","tiers":[{"over":1000,"price":"6"}]}
{"sku":"acme/one/cached","unit":"cache_read_tokens","price":"0.3"}
{"sku":"acme/one/output","unit":"output_tokens","price":"15","valid_from":"2026-01-01"}
{"sku":"euro/two/input","match":[{"exact":"two"}],"unit":"input_tokens","price":"1","currency":"EUR"}
END
cat >in.ndjson <<'END'
{"big":1755700000000012345, "d":0.10000000000000000000000000001,"id":"a","created":"2026-02-01","model":"one","usage":{"prompt_tokens":1000,"completion_tokens":1},"x":"\u00e9\/"}
{"id":"b","calls":[{"stage":"embed","model":"one","created":1770000000,"usage":{"prompt_tokens":10}},{"stage":"generate","model":"one","created":1770000000,"usage":{"prompt_tokens":1001,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}}],"tags":{"team":"search, web"}}
{"id":"c","model":"nothing","created":0,"usage":{"prompt_tokens":1}}
{"id":"d"}
{"id":"e","model":"one","created":"2025-01-01","usage":{"prompt_tokens":1,"completion_tokens":1}}
{"id":"f","calls":[{"model":"one","created":1770000000,"cache":{"status":"hit"},"usage":{"prompt_tokens":5}}]}
{"id":"g","calls":[{"model":"one","created":1770000000,"usage":{"prompt_tokens":5}},{"model":"two","created":1770000000,"usage":{"prompt_tokens":5}}]}
not json
END
status 1 "records with errors end with 1" llm-cost price -B book.ndjson -o out.ndjson in.ndjson
is "$(wc -l <out.ndjson | tr -d ' ')" 8 "as many records out as in"
is "$(sed -n 1p out.ndjson)" "$(sed -n '1s/}$//p' in.ndjson),\"cost\":{\"input\":0.003,\"output\":0.000015,\"cached\":0,\"total\":0.003015,\"currency\":\"USD\",\"sku\":\"acme/one\"}}" \
	"every byte of a record passes through, the cost comes last"
has out.ndjson '"id":"b",.*"cost":{"input":0.00603,"output":0.00003,"cached":0.0000003,"total":0.0060603,"currency":"USD"}}$' \
	"calls are summed"
has out.ndjson '"stage":"embed",.*"total":0.00003,"currency":"USD","sku":"acme/one"}},{"stage":"generate"' \
	"each call has its own cost"
has out.ndjson '"id":"c".*"total":null.*"code":"unpriced"' "an unknown price is null and an error"
has out.ndjson '"id":"d","error":{"code":"missing_field"' "no usage is an error"
has out.ndjson '"id":"e".*"code":"unpriced","message":"acme/one has no price for the unit ..output_tokens' \
	"a price that was not in force then is unpriced"
has out.ndjson '"id":"f".*"total":0,"currency":"USD","saved":0.000015}}$' "an answer from a cache costs nothing"
has out.ndjson '"id":"g".*"code":"unsupported"' "two currencies have no sum"
for odd in '"usage":[{"a":1}]' '"usage":"x"' '"calls":{"a":1}' '"calls":[7]' '"attributes":[1]' '"response":[{"a":1}]' '"timings":[1],"model_digest":"x"'; do
	is "$(echo "{\"id\":1,\"model\":\"one\",$odd}" | llm-cost -q --only | grep -c '"error":{"code":"missing_field"')" 1 "no usage: $odd"
done
llm-cost price -q -j 4 -B book.ndjson in.ndjson | cmp -s - out.ndjson
ok $? "-j changes no byte"
llm-cost -q -B book.ndjson in.ndjson | cmp -s - out.ndjson
ok $? "price is the default verb"
grep -v '"error"' out.ndjson >out.good
llm-cost price -q -B book.ndjson out.good | cmp -s - out.good
ok $? "pricing again changes nothing"

llm-cost report -q --by model,tag:team,month --format csv out.good | tr -d '\r' >report
is "$(sed -n 2p report)" 'one,"search, web",2026-02,2,0,1011,1,2,0.00603,0.0000003,0.00003,0,0.0060603,USD' "a report sums exactly"
is "$(llm-cost report -q --by day out.good | tail -n 1 | cut -c 1-41)" '{"day":"2026-02-01","calls":1,"unpriced":' "a report in records"
echo '{"id":1,"n_tokens":1000}' | llm-cost estimate -m one -n 5 -B book.ndjson --at 2026-02-01 >est
is "$(llm-cost report --by sku est | cut -c 1-42)" '{"sku":"acme/one","calls":1,"unpriced":0,"' "estimates are summed too"
printf '%s\n' '{"id":1,"model":"nowhere","usage":{"prompt_tokens":3,"completion_tokens":1}}' >nowhere
llm-cost price -q -B book.ndjson nowhere >unpriced
is "$(llm-cost report -q --by model unpriced | cut -c 1-42)" '{"model":"nowhere","calls":1,"unpriced":1,' "what has no price is counted"
status 2 "an unknown key is a usage error" llm-cost report --by nope out.good

echo '{"id":"l","calls":[{"model":"m.gguf","model_digest":"00","created":5,"usage":{"prompt_tokens":3},"timings":{"prompt":1000,"predicted":2600}}]}' >local.ndjson
has_cost() {
	llm-cost -q "$@" local.ndjson | sed 's/.*"total":\([^,]*\),.*/\1/'
}
is "$(has_cost)" 0 "local calls are free by default"
is "$(has_cost --host-rate 0.42)" 0.00042 "seconds at the rate of the host"
status 2 "a rate that is no number" llm-cost --host-rate x local.ndjson
echo '{"sku":"local/machine/output","unit":"output_seconds","per":3600,"price":"3600"}' >host.ndjson
is "$(has_cost -B host.ndjson)" 2.6 "a book that comes later wins"
LLMU_BOOK=host.ndjson
export LLMU_BOOK
is "$(has_cost)" 2.6 "LLMU_BOOK"
unset LLMU_BOOK

status 5 "a book that is not there" llm-cost -B none.ndjson in.ndjson
has err 'none.ndjson' "is named"
echo '{"sku":"a/b/c","unit":"input_tokens"}' >bad.ndjson
status 5 "a book with a fault" llm-cost -B bad.ndjson in.ndjson
has err 'bad.ndjson:1: a line needs' "is named with its line"
status 3 "lint finds it" llm-cost book lint bad.ndjson
status 0 "the default book has no finding" llm-cost book lint "$top_srcdir/data/prices.ndjson"
llm-cost book show gpt-4o >show
has show '^openai/gpt-4o +output_tokens +10 / 1000000 +2024-10-02' "prices are shown"
status 5 "explain needs a record" llm-cost explain zz in.ndjson
llm-cost explain a -q -B book.ndjson in.ndjson >explained
has explained '^  1000 input_tokens x 3 / 1000000 = 0.003$' "explain shows the product"

echo '{"id":1,"created":1770000000,"model":"one","n_tokens":1000,"params":{"max_tokens":10}}' >est.ndjson
is "$(llm-cost estimate -q -B book.ndjson --only est.ndjson)" \
	'{"id":1,"estimate":{"input":0.003,"output":0.00015,"cached":0,"total":0.00315,"currency":"USD","sku":"acme/one"}}' "an estimate"
status 5 "no such model in the book" llm-cost book show no-such-model
status 2 "an option that does nothing here" llm-cost price --field text local.ndjson
status 2 "no such verb" llm-cost frobnicate
status 0 "help" llm-cost --help
status 5 "no prices where the tools look" env LLMU_DATADIR="$scratch" llm-cost local.ndjson
has err 'LLMU_DATADIR' "and how to name another place"
done_testing
