#!/bin/sh
# A key that was planted shows nowhere: not in arguments, environment, output, messages, state or cache files, core files, on
# every path of failure; and no other host gets it.
# shellcheck disable=SC2154,SC2086 # $port comes from serve; $g is several words
. "$top_srcdir/tests/lib.sh"
unset OPENAI_API_KEY OPENAI_BASE_URL
key=sk-planted-0123456789abcdef
coded=$(printf '%s' "$key" | base64 | cut -c1-32)
(umask 077 && mkdir "$scratch/secret" && echo "$key" >"$scratch/secret/key")
printf '{"id":"a","text":"Hi"}\n{"id":"b","text":"Ho"}\n' >"$scratch/in"
printf '{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"Hi"}]}}\n' >"$scratch/batch"
mkdir "$scratch/w"
cd "$scratch/w" || exit 1
g="timeout 60 llm-generate -m m --api-key-file $scratch/secret/key"

# clean WHAT: nothing that was written since holds the key; then all of it goes
clean() {
	found=$(grep -rlF -e "$key" -e "$coded" . 2>/dev/null)
	is "$found" "" "$1"
	rm -rf ./*
}
retries=0
# path NAME PLAN...: all ways to run against a server of this plan
path() {
	name=$1
	shift
	serve "$name" "$@"
	url=http://127.0.0.1:$port/v1
	common="--base-url $url --max-retries $retries --deadline 2"
	$g $common -v "$scratch/in" >out 2>err
	$g $common --errors bad --summary counts -o res "$scratch/in" 2>err2
	$g $common --resume more --cache cache.db "$scratch/in" 2>err3
	$g $common --deltas "$scratch/in" >out4 2>err4
	$g $common "$scratch/batch" >out5 2>err5
	llm-embed -m m --api-key-file "$scratch/secret/key" $common "$scratch/in" >out6 2>err6
	$g $common --dry-run "$scratch/in" >out7 2>err7
	grep -q "Bearer $key" "$scratch/$name.log"
	ok $? "$name: the service gets the key"
	[ -s err ] && [ -s out7 ]
	ok $? "$name: there is something to look at"
	clean "$name: nothing shows it"
}
echo_key='{"error":{"message":"the key '$key' is wrong","code":"'$key'"}}'
esc=$(printf '%s' "$echo_key" | sed 's/"/\\"/g')
for s in 400 401 403 404 429 500; do
	path "answer-$s" -e "{\"status\":$s,\"body\":\"$esc\",\"headers\":[\"x-request-id: $key\",\"retry-after-ms: 10\"]}"
done
path error-in-200 -e "{\"body\":\"$esc\"}"
path page -e "{\"body\":\"<html>$key</html>\",\"type\":\"text/html\"}"
path torn -e "{\"body\":\"{\\\"x\\\":\\\"$key\"}"
path long -e "{\"status\":400,\"body\":\"{\\\"error\\\":{\\\"message\\\":\\\"$(printf '%0590d' 0)$key\\\"}}\"}"
path event -e "{\"type\":\"text/event-stream\",\"chunks\":[\"event: error\\ndata: $esc\\n\\n\"]}"
path reset -e '{"reset":true}'
path cut -e '{"cut":30}'
retries=1
path chaos --chaos 0.5

# another host
serve elsewhere
serve moved -e "{\"status\":307,\"headers\":[\"Location: http://localhost:$port/v1/chat/completions\"]}"
$g --base-url "http://127.0.0.1:$port/v1" "$scratch/in" >out 2>err
is "$?" 6 "a service that has moved"
has err 'redirects are not followed' "is said"
is "$(wc -c <"$scratch/elsewhere.log" | tr -d ' ')" 0 "the other host hears nothing"
clean "and nothing shows the key"

# over TLS, where a library writes to connections that are gone
if "$top_builddir/tests/net/fault-server" --seconds 0 --tls cert >/dev/null 2>&1; then
	awk 'BEGIN { for (i = 0; i < 200; i++) printf "{\"id\":%d,\"text\":\"q %d\"}\n", i, i }' >in
	serve tls --tls "$scratch/cert" --chaos 0.1
	CURL_CA_BUNDLE="$scratch/cert" $g --base-url "https://127.0.0.1:$port/v1" -j 16 in >out 2>err
	rc=$?
	is "$((rc <= 1)) $(wc -l <out | tr -d ' ')" "1 200" "faults over TLS lose nothing"
	grep -q '"output":"echo: q 199"' out
	ok $? "and the answers come"
	clean "nor do they show the key"
else
	echo "# no TLS: libssl-dev was not there"
fi

# the reader goes away, as head(1) does
serve reader
{ $g --base-url "http://127.0.0.1:$port/v1" -j 1 "$scratch/in" "$scratch/in" 2>err; echo $? >rc; } | :
is "$(cat rc) $(cat err)" "141 " "a reader that goes away ends it quietly"
clean "without a word of the key"

# while it runs: arguments, environment
serve slow -e '{"delay_ms":20000}'
url=http://127.0.0.1:$port/v1
LLMU_X=1 OPENAI_API_KEY=$key llm-generate -m m --base-url "$url" -p Hi </dev/null >out 2>err &
one=$!
llm-generate -m m --base-url "$url" --api-key-cmd "cat $scratch/secret/key" -p Hi </dev/null >out2 2>err2 &
two=$!
# shellcheck disable=SC3045 # where the shell has it
ulimit -c unlimited 2>/dev/null
llm-generate -m m --base-url "$url" --api-key-file "fd:5" -p Hi </dev/null >out3 2>err3 5<"$scratch/secret/key" &
three=$!
n=0
while [ "$(wc -l <"$scratch/slow.log")" -lt 3 ] && [ $n -lt 200 ]; do
	sleep 0.05
	n=$((n + 1))
done
is "$(grep -c "Bearer $key" "$scratch/slow.log")" 3 "from the environment, a command, a descriptor"
for p in $one $two $three; do
	tr '\0' '\n' <"/proc/$p/cmdline" >>args
	tr '\0' '\n' <"/proc/$p/environ" >>environment 2>/dev/null
done
is "$(grep -c llm-generate args)" 3 "the processes are there"
clean "neither arguments nor environment show it"
kill -ABRT $three
wait $three 2>/dev/null
is "$?" 134 "one dies"
clean "and leaves no core file with it"
kill $one $two
wait $one $two 2>/dev/null
done_testing
