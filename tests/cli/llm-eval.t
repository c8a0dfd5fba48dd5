#!/bin/sh
# llm-eval as a whole: scores, reports, gates and their exit status.
. "$top_srcdir/tests/lib.sh"
: "${AWK:=awk}"
cd "$scratch" || exit 1

cat >in.ndjson <<'END'
{"n":12345678901234567890, "id":"a","output":"The Eiffel Tower","expected":["tower","eiffel tower!"],"x":"\u00e9"}
{"id":"b","output":"Berlin","answer":"Paris","scores":{"other":0.5,"em":7},"pass":true}
{"id":"c","output":null,"ideal":"Paris"}
{"id":"d","output":"no reference"}
{"id":"e","text":"no output"}
{"id":"f","error":{"code":"server_error","stage":"generate","message":"x"}}
not json
END
status 1 "records in error end with 1" llm-eval score -M squad_f1 -M em:ignore_case -o out.ndjson in.ndjson
is "$(wc -l <out.ndjson | tr -d ' ')" 7 "as many records out as in"
is "$(sed -n 1p out.ndjson)" "$(sed -n '1s/}$//p' in.ndjson),\"scores\":{\"squad_f1\":1,\"em\":0},\"pass\":false}" \
	"every byte passes through, scores come last"
has out.ndjson '"id":"b",.*"scores":{"other":0.5,"squad_f1":0,"em":0},"pass":false}$' "scores of others stay"
has out.ndjson '"id":"c",.*"scores":{"squad_f1":0,"em":0},"pass":false}$' "no answer is a wrong answer"
has out.ndjson '"id":"d",.*"scores":{"squad_f1":null,"em":null},"pass":null}$' "without a reference there is no score"
has out.ndjson '"id":"e",.*"code":"missing_field","message":"no .output. to score' "no output is an error"
llm-eval score -q -j 4 -M squad_f1 -M em:ignore_case in.ndjson | cmp -s - out.ndjson
ok $? "-j changes no byte"
is "$(echo '{"id":1,"a":{"t":"xy"},"r":"y"}' | llm-eval score -M contains --field a.t --expected-field r --only)" \
	'{"id":1,"scores":{"contains":1},"pass":true}' "fields by name and path"
echo '{"id":1,"output":"x","refs":"x","scores":["a"],"hits":{"a":1},"relevant":"d","calls":{"a":[]}}' >odd.ndjson
is "$(llm-eval score -M em --only odd.ndjson)" '{"id":1,"scores":{"em":1},"pass":true}' "members of other types are not looked at"
is "$(llm-eval report odd.ndjson)" "$(echo '{"id":1}' | llm-eval report)" "nor by report"
status 1 "but an error where they are needed" llm-eval score -M mrr odd.ndjson
printf 'q1 0 d1 1\nq1 0 d2 0\n' >qrels
is "$(echo '{"id":"q1","hits":[{"id":"d2"},{"id":"d1"}]}' | llm-eval score -M mrr -M recall@1:min=1 --qrels qrels --only)" \
	'{"id":"q1","scores":{"mrr":0.5,"recall@1":0},"pass":false}' "qrels"
status 5 "qrels that are not there" llm-eval score -M mrr --qrels none in.ndjson
status 2 "an unknown metric" llm-eval score -M nope in.ndjson
has err 'unknown metric "nope"' "is named"
status 2 "no metric" llm-eval score in.ndjson
status 2 "one name twice" llm-eval score -M em -M em:ignore_case in.ndjson

# 137 of 200; the paired case 98/17/39/46 (candidate alone right in 39)
records() { # base|new
	$AWK -v new="$1" 'BEGIN {
		for (i = 1; i <= 200; i++) {
			base = i <= 98 || (i > 98 && i <= 115)
			cand = i <= 98 || (i > 115 && i <= 154)
			printf "{\"id\":%d,\"scores\":{\"em\":%d,\"f1\":%.3f},\"calls\":[{\"timings\":{\"total\":%d}},{\"timings\":{\"total\":1}}]}\n",
				i, new == "new" ? cand : base, ((new == "new" ? cand : base) + (i % 7) / 7) / 2, i * 10
		}
	}'
}
records base >base.ndjson
records new >new.ndjson
llm-eval report new.ndjson >report
has report '"metric":"em","n":200,"n_null":0,"mean":0.685,"lo":0.6176504[0-9]*,"hi":0.745376[0-9]*,"interval":"wilson","sd":0.46568' \
	"a rate with Wilson's interval"
has report '"metric":"latency","n":200,.*"p50":1006,"p90":1802' "latency of a record is that of all its calls"
has report '"metric":"errors","n":200,"n_null":0,"mean":0,' "errors are counted"
llm-eval report --ci clopper-pearson new.ndjson >report
has report '"lo":0.61572230[0-9]*,"hi":0.74869467' "Clopper-Pearson"
llm-eval report --ci bootstrap --seed 5 new.ndjson >report
llm-eval report --ci bootstrap --seed 5 new.ndjson | cmp -s - report
ok $? "a seed decides the bootstrap"
llm-eval report --format md new.ndjson >report
has report '^\| em \| 200 \| 0 \| 0.685 \| 0.6177 \| 0.7454 \| wilson' "a table of Markdown"
llm-eval report --format json new.ndjson >report
is "$(head -n 1 report)$(tail -n 1 report)" "[]" "one array of JSON"
$AWK '{ sub(/}$/, ",\"lang\":\"l" NR % 2 "\"}"); print }' new.ndjson | llm-eval report --slice lang >report
is "$(grep -c '"metric":"em","n":100,' report)" 2 "slices"

gate() { # WANTED WHAT ARGS…
	wanted=$1 what=$2
	shift 2
	status "$wanted" "$what" llm-eval gate "$@" new.ndjson
}
gate 0 "a gate that is met" --fail-under em=0.68
gate 3 "a gate that is missed" --fail-under em=0.69
gate 0 "a lower bound that holds" --fail-under em.lcb95=0.62
gate 8 "a lower bound that does not, although the mean does" --fail-under em.lcb95=0.68
has out '"outcome":"undecided","value":0.62' "says what it knows"
gate 3 "a lower bound out of reach" --fail-under em.lcb95=0.75
gate 3 "missed outranks undecided" --fail-under em.lcb95=0.68 --fail-under em=0.69
gate 3 "undecided can count as missed" --fail-under em.lcb95=0.68 --inconclusive fail
gate 0 "or as met" --fail-under em.lcb95=0.68 --inconclusive pass
gate 8 "too few items" --fail-under em=0.6 --min-items 201
gate 0 "latency, errors, coverage" --gate 'latency.p95 < 2s' --gate 'errors.rate<1%' --gate 'coverage(em) >= 1' --gate 'em.n = 200'
gate 3 "a percentile with a fraction" --gate 'latency.p99.9 <= 1990'
gate 2 "a gate that is none" --gate 'em'
gate 2 "a gate on what is not there" --fail-under nope=1
gate 2 "no gate"
status 8 "no items" llm-eval gate --fail-under em=0.5 /dev/null
gate 0 "better than the baseline" --baseline base.ndjson --margin 0
has out '"gate":"compare\(em\) > -0","outcome":"met","value":0.11,"n":200,"lo":0.0496[0-9]*,"hi":0.17[0-9]*,"p":0.004561[0-9]*,"baseline":0.575,"method":"tango"' \
	"with Tango's bounds and McNemar's p"
has out '"gate":"compare\(f1\) > -0","outcome":"met","value":0.055,"n":200,"lo":0.0246831[0-9]*,.*"p":0.0030639[0-9]*,"baseline":[0-9.]*,"method":"paired t"' "and Student's t"
status 3 "worse than the baseline" llm-eval gate --baseline new.ndjson --margin 0.01 base.ndjson
status 8 "perhaps worse" llm-eval gate --baseline new.ndjson --margin 0.1 -M em base.ndjson
status 0 "not worse by more than the margin" llm-eval gate --baseline new.ndjson --margin 0.2 base.ndjson
gate 8 "the same file proves nothing about a margin that narrow" --baseline new.ndjson --margin 0.01
gate 0 "but about this one" --baseline new.ndjson --margin 0.02
gate 5 "no baseline" --baseline none.ndjson
sed 1,100d base.ndjson >half.ndjson
gate 5 "a baseline of other items" --baseline half.ndjson
gate 0 "unless they may be" --baseline half.ndjson --min-overlap 0.5 --margin 0.2 -M em
sed 's/,"scores"/,"expected":"x"&/' base.ndjson >refs.ndjson
sed 's/,"scores"/,"expected":"y"&/' new.ndjson >new2.ndjson
status 5 "a baseline with other references" llm-eval gate --baseline refs.ndjson new2.ndjson
sed 's/"calls":\[{/&"prompt_hash":"a",/' base.ndjson >asked.ndjson
sed 's/"calls":\[{/&"prompt_hash":"b",/' new.ndjson >asked2.ndjson
status 5 "a baseline of other prompts" llm-eval gate --baseline asked.ndjson asked2.ndjson
has err '200 items had another prompt .*--other-prompts' "and how to compare with it"
status 0 "prompts are compared when that is asked for" llm-eval gate --other-prompts --baseline asked.ndjson asked2.ndjson
cat base.ndjson base.ndjson >twice.ndjson
gate 5 "ids that stand twice" --baseline twice.ndjson
sed 's/}$/,"repeat":1}/' twice.ndjson >repeats.ndjson
gate 0 "repeats are averaged" --baseline repeats.ndjson
echo '{"id":9,"error":{"code":"server_error","stage":"generate"}}' >>new.ndjson
gate 1 "met, but records in error" --fail-under em=0.5
gate 0 "unless their rate is gated" --fail-under em=0.5 --gate 'errors.rate < 1%'
# sacrebleu 2.6.0 of the same five pairs
cat >mt.ndjson <<'END'
{"id":1,"mt":"The cat sat on the mat.","ref":"The cat is sitting on the mat."}
{"id":2,"mt":"Prices rose 3.5% in May, he said.","ref":"He said prices rose by 3.5% in May."}
{"id":3,"mt":"red green blue","ref":"blue red green"}
{"id":4,"mt":"nothing matches here at all","ref":"completely different words"}
{"id":5,"mt":"","ref":"An empty answer."}
{"id":6,"mt":"no reference"}
END
llm-eval report -M bleu -M chrf++ --field mt --expected-field ref mt.ndjson >report
has report '"metric":"bleu","n":5,"n_null":0,"mean":27.18452551[0-9]*,"lo":null,"hi":null,"interval":"corpus"' "BLEU of a corpus"
has report '"metric":"chrf\+\+","n":5,"n_null":0,"mean":42.2277313' "chrF++ of a corpus"
is "$(llm-eval score -M bleu --field mt --expected-field ref --only mt.ndjson | head -n 1 | cut -c 1-39)" \
	'{"id":1,"scores":{"bleu":42.38365628278' "BLEU of a sentence"
status 2 "a mean is no corpus metric" llm-eval report -M em mt.ndjson
llm-eval metrics >list
has list '^recall\[@K\] ' "the list of metrics"
status 2 "a mistyped metric" llm-eval score -M contians /dev/null
has "$scratch/err" 'unknown metric "contians"; did you mean "contains"' "is told the nearest"
done_testing
