#!/bin/sh
# --resume: a job that is killed and started again ends with the same file as one that never died.
. "${top_srcdir:?}/tests/lib.sh"
PATH=$PWD/common/record:${top_builddir:?}/common/record:$PATH
cd "$scratch" || exit 1
demo() { record_demo "$@" 2>err; }

awk 'BEGIN {
	for (i = 1; i <= 300; i++)
		printf "{\"id\":%s,\"text\":\"some text %d%s\"}\n", i % 3 ? i : "\"x" i "\"", i, i % 50 == 7 ? " FAIL" : ""
}' >in

# killed NAME OPTION...: kill -9 at several points until it ends by itself; the output is then the same as `want`.
killed() {
	what=$1 out=$2 after=$3
	shift 3
	rm -f out* bad* out.resume
	tries=0
	until [ $tries -gt 40 ]; do
		# every fourth run is fed slowly, so that it writes now and then
		demo --resume "$out" --die-after "$after" --sleep-us $((tries % 4 ? 0 : 450)) "$@" in
		rc=$?
		[ $rc = 137 ] || break
		after=$((after + 13))
		tries=$((tries + 1))
		# now and then a torn tail, as of a disk that was full or a power cut
		[ $((tries % 2)) = 0 ] || case $out in
		*.zst) head -c 15 "$out" >>"$out" ;;
		*) printf '{"id":"torn","te' >>"$out" ;;
		esac
	done
	[ $rc = 1 ] && [ $tries -gt 0 ]
	ok $? "$what: killed $tries times, then exit 1 for the records in error"
}

demo -o want in
killed 'one line each' out 40 -j 1
cmp -s out want
ok $? '… the same file'
demo --resume out in
is "$?" 1 'once more: nothing to do, the errors still count'
cmp -s out want
ok $? '… the same file'
killed 'four workers, slow ones' out 37 -j 4 --sleep-us 200
cmp -s out want
ok $? '… the same file'
killed 'record_next and record_done' out 37 -j 9 --stream
cmp -s out want
ok $? '… the same file'

demo --emit -o want in
killed 'many lines each' out 40 -j 3 --emit
cmp -s out want
ok $? '… the same file'
demo --errors wantbad -o want in
killed 'errors diverted' out 40 -j 3 --errors bad
cmp -s out want && cmp -s bad wantbad
ok $? '… the same files'

if command -v zstd >/dev/null; then
	demo -o want in
	killed 'zstd' out.zst 90 -j 2
	zstd -dcq out.zst | cmp -s - want
	ok $? '… the same records'
	demo --emit -o want in
	killed 'zstd, many lines each' out.zst 90 -j 2 --emit
	zstd -dcq out.zst | cmp -s - want
	ok $? '… the same records'
fi

# ---- killed by the clock
demo -o want in
rm -f out out.resume
rc=137 tries=0
while [ $rc != 1 ] && [ $tries -lt 30 ]; do
	record_demo --resume out -j 2 --sleep-us 1500 in 2>err &
	sleep 0.1$((2 + tries % 5))
	kill -9 $! 2>/dev/null
	wait $! 2>/dev/null
	rc=$?
	tries=$((tries + 1))
done
cmp -s out want
ok $? "killed by the clock, $tries runs: the same file"

# ---- what is refused
rm -f out out.resume
demo --resume out --die-after 280 --sleep-us 500 in
cp out before
demo --resume out --params '{"seed":1}' in
is "$?" 5 'other parameters are exit 5'
has err 'other parameters' '… and said so'
cmp -s out before
ok $? '… with OUT untouched'
sed -n '2,$p' in >shifted
demo --resume out shifted
is "$?" 5 'another input is exit 5'
has err 'line 1 has the id 1 where the input has 2' '… with the place'
head -n 5 in >short
demo --resume out short
is "$?" 5 'an input that is too short is exit 5'
cmp -s out before
ok $? '… with OUT untouched'
rm out.resume
demo --resume out in
cmp -s out want
ok $? 'without OUT.resume: by the ids alone'
demo --emit -o wantlines in
head -n 20 wantlines >out
rm -f out.resume
demo --resume out in # one line each from here on
demo --resume out in
is "$?" 1 '… also behind many lines each'
printf 'no records' >other
demo --resume other in
is "$? $(cat other)" '5 no records' 'a file that is not ours is left alone'
{ cat in; echo '{"id":1,"text":"again"}'; } >dup
rm -f out out.resume
demo --resume out dup
is "$(tail -n 1 out | grep -c duplicate_id)" 1 'a repeated id is an error'
demo --resume out -o elsewhere in
is "$?" 2 '-o elsewhere is a usage error'
rm -f out out.resume
record_demo --resume out --sleep-us 3000 in 2>/dev/null &
sleep 0.1
demo --resume out in
is "$?" 5 'two at once: the second is refused'
kill $!
wait $! 2>/dev/null

# ---- an input that grows
head -n 100 in >grow
rm -f out out.resume
demo --resume out grow
cp in grow
demo --resume out grow
cmp -s out want
ok $? 'an input that grew: what is new is done'

# ---- --retry-errors
sed 's/ FAIL/ DONE/' in >fixed
demo -o wantfixed fixed
rm -f out out.resume
demo --resume out in
demo --resume out fixed
cmp -s out want
ok $? 'errors count as done'
demo --resume out --retry-errors fixed
is "$?" 0 '--retry-errors: exit 0 when all is well'
cmp -s out wantfixed
ok $? '… and OUT as if there never was an error, in order'
rm -f out* bad*
demo --resume out --die-after 250 --sleep-us 500 in
demo --resume out --retry-errors --die-after 2 fixed
demo --resume out --retry-errors --die-after 20 fixed
demo --resume out --retry-errors --die-after 60 -j 3 fixed
demo --resume out --retry-errors fixed
cmp -s out wantfixed
ok $? '… also when it is killed before and behind the place where OUT ends'
is "$(ls out*)" 'out
out.resume' '… and nothing is left lying about'
rm -f out* bad
demo --resume out --errors bad in
demo --resume out --errors bad --retry-errors fixed
cmp -s out wantfixed && [ ! -s bad ]
ok $? '… with the errors diverted'
rm -f out*
demo --resume out in
record_demo --resume out --retry-errors --sleep-us 30000 fixed 2>/dev/null &
pid=$!
sleep 0.1
kill $pid
wait $pid
is "$(wc -l <out | tr -d ' ')" 300 'stopped by a signal: what was not tried again keeps its old line'
is "$(($(grep -c '"error"' out) < 6)) $(($(grep -c '"error"' out) > 0))" '1 1' '… and what was is new'
demo --resume out --retry-errors fixed
cmp -s out wantfixed
ok $? '… then it is finished'

# ---- texts
printf 'some words\n' >a.txt
printf 'more\n' >b.txt
demo --text-out -o textwant --json a.txt b.txt
rm -f out*
demo --text-out --resume out --die-after 2 a.txt b.txt
demo --text-out --resume out a.txt b.txt
cmp -s out textwant
ok $? 'texts are resumed as records'

done_testing
