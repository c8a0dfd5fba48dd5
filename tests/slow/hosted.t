#!/bin/sh
# A nightly job against a service with bad days: an outage of a minute, one call in ten failing at random, kill -9 in the middle.
# In the end every id is there once, in order, with its answer. Takes some six minutes.
# shellcheck disable=SC2154,SC2086 # $port comes from serve; $g is several words
. "$top_srcdir/tests/lib.sh"
unset OPENAI_API_KEY OPENAI_BASE_URL
g="llm-generate -m m"

records() {
	awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "{\"id\":\"r%d\",\"text\":\"question %d\"}\n", i, i }'
}
# what must not differ: all but times and the number of attempts
steady() {
	sed -e 's/"timings":{[^}]*},"created":[0-9]*,//; s/,"attempts":[0-9]*}\]/}]/'
}
# whole FILE N WHAT: every id once, in order, with its own answer
whole() {
	sed 's/^{"id":"r\([0-9]*\)","text":"question \([0-9]*\)","output":"echo: question \([0-9]*\)",.*/\1 \2 \3/' "$1" |
		awk -v n="$2" '$0 != NR - 1 " " NR - 1 " " NR - 1 { print "# " $0; bad = 1; exit } END { exit bad || NR != n }'
	ok $? "$3"
}
# most FILE: the most requests that one record got
most() {
	sed 's/.*"idempotency":"\([^"]*\)".*/\1/' "$1" | sort | uniq -c | awk '$1 > m { m = $1 } END { print m + 0 }'
}

# ---- an outage of a minute -------------------------------------------------------------------------------
records 400 >"$scratch/in"
serve outage -e '{"when":{"after_ms":1000,"until_ms":61000},"reset":true}' -e '{"delay_ms":50}'
start=$(date +%s)
$g --base-url "http://127.0.0.1:$port/v1" -j 8 -v "$scratch/in" >"$scratch/out" 2>"$scratch/err"
is "$?" 0 "an outage of a minute is survived, in $(($(date +%s) - start)) s"
whole "$scratch/out" 400 "every id once"
is "$(($(most "$scratch/outage.log") <= 4))" 1 "with $(most "$scratch/outage.log") requests a record at most"
is "$(($(wc -l <"$scratch/outage.log") <= 400 + 16))" 1 "the dead service is asked $(($(wc -l <"$scratch/outage.log") - 400)) times more"

# the same of a service that is gone altogether, and comes back
serve dies -e '{"delay_ms":20}'
url=http://127.0.0.1:$port/v1
at=$port
$g --base-url "$url" -j 8 "$scratch/in" >"$scratch/out" 2>"$scratch/err" &
job=$!
sleep 0.5
kill -9 $server
sleep 20
serve back --port "$at" -e '{"delay_ms":5}'
wait $job
is "$?" 0 "a service that is killed and started again"
whole "$scratch/out" 400 "every id once"

# ---- 10,000 records, faults in a tenth of the calls, an outage ---------------------------------------------
records 10000 >"$scratch/in"
bad="-e {\"when\":{\"after_ms\":2000,\"until_ms\":62000},\"reset\":true} --chaos 0.1"
run() { # OUT OPTION…
	out=$1
	shift
	$g --base-url "$url" -j 64 --resume "$out" "$@" "$scratch/in" 2>>"$scratch/err"
}
serve whole $bad --seed 1
url=http://127.0.0.1:$port/v1
start=$(date +%s)
run "$scratch/whole"
rc=$?
is "$((rc == 0 || rc == 1))" 1 "10,000 records at one fault in ten calls and an outage: status $rc after $(($(date +%s) - start)) s"
is "$(wc -l <"$scratch/whole") $(sed 's/^{"id":"\([^"]*\)".*/\1/' "$scratch/whole" | sort -u | wc -l)" "10000 10000" "every id once"
is "$(($(most "$scratch/whole.log") <= 4))" 1 "$(most "$scratch/whole.log") requests a record at most, $(($(wc -l <"$scratch/whole.log"))) in all"
errors=$(grep -c '"error":{"code"' "$scratch/whole")
is "$((errors <= 20))" 1 "$errors records end in error"
tries=0
while [ $tries -lt 5 ] && ! run "$scratch/whole" --retry-errors; do
	tries=$((tries + 1))
done
whole "$scratch/whole" 10000 "--resume --retry-errors leaves none in error"

# killed at random points; the server goes on with its outage
serve killed $bad --seed 1
url=http://127.0.0.1:$port/v1
kills=0
while :; do
	$g --base-url "$url" -j 64 --resume "$scratch/killed" --retry-errors "$scratch/in" 2>>"$scratch/err" &
	job=$!
	naps=$(awk -v s="$kills" 'BEGIN { srand(s + 1); print 0.2 + 1.5 * rand() }')
	[ $kills -lt 12 ] || naps=600
	sleep "$naps" &
	nap=$!
	while kill -0 $job 2>/dev/null && kill -0 $nap 2>/dev/null; do sleep 0.05; done
	if kill -9 $job 2>/dev/null; then
		wait $job 2>/dev/null
		kills=$((kills + 1))
		continue
	fi
	kill $nap 2>/dev/null
	wait $job
	rc=$?
	[ $rc -eq 0 ] && break
	[ $rc -eq 1 ] || { cat "$scratch/err"; break; }
done
is "$rc" 0 "killed $kills times and started again"
whole "$scratch/killed" 10000 "every id once"
steady <"$scratch/whole" >"$scratch/a"
steady <"$scratch/killed" >"$scratch/b"
cmp -s "$scratch/a" "$scratch/b"
ok $? "the same file as without the kills"
done_testing
