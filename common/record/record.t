#!/bin/sh
# The record contract (llm-records(5)) on record_demo: inputs, ids, errors, order, output, failures.
. "${top_srcdir:?}/tests/lib.sh"
PATH=$PWD/common/record:${top_builddir:?}/common/record:$PATH
cd "$scratch" || exit 1
demo() { record_demo "$@"; }

# gives INPUT WANTED WHAT [OPTION...]: on standard input; exit status apart
gives() {
	got_in=$1 got_want=$2 got_what=$3
	shift 3
	is "$(printf "$got_in" | demo "$@" 2>err)" "$(printf "$got_want")" "$got_what"
}
# one line of errors is long: the code alone
code() { sed -n 's/.*"error":{"code":"\([a-z_0-9]*\)".*/\1/p'; }
codes() {
	codes_in=$1 codes_want=$2 codes_what=$3
	shift 3
	is "$(printf "$codes_in" | demo "$@" 2>err | code | tr '\n' ' ')" "$codes_want" "$codes_what"
}

# ---- bytes pass through
gives '{"id":1755700000000012345,"text":"a","d":0.10,"e":1E5, "b" : 123456789012345678901234567890,"s":"\\/\\u00e9" }' \
	'{"id":1755700000000012345,"text":"a","d":0.10,"e":1E5, "b" : 123456789012345678901234567890,"s":"\\/\\u00e9","n":1 }' \
	'spelling of numbers, escapes and inner blanks stay'
gives '{"id":1,"n":0,"text":"ab","x":1}' '{"id":1,"n":2,"text":"ab","x":1}' 'a member is replaced in place'
gives '{"id":1,"n":0,"text":"ab","n":7,"text":"abc"}' '{"id":1,"n":0,"text":"ab","n":3,"text":"abc"}' 'the last duplicate counts'
gives '{"id":1,"text":"x\\u0000y"}' '{"id":1,"text":"x\\u0000y","n":3}' 'a NUL in a string stays'
gives '{"id":1,"text":"a"}\r\n\r\n{"id":2,"text":"b"}\r\n' '{"id":1,"text":"a","n":1}\n{"id":2,"text":"b","n":1}' 'CRLF in, LF out'
gives '\n  \n{"id":1,"text":"a"}\n\n\n{"id":2,"text":"b"}' '{"id":1,"text":"a","n":1}\n{"id":2,"text":"b","n":1}' \
	'empty lines and no LF at the end'
gives '\357\273\277{"id":1,"text":"a"}' '{"id":1,"text":"a","n":1}' 'a byte order mark is skipped'
gives '' '' 'no input, no output'
gives '{"id":1,"text":"a","calls":[{"x":1}]}\n{"id":2,"text":"a","calls":[ ]}\n{"id":3,"text":"a"}' \
	'{"id":1,"text":"a","calls":[{"x":1},{"stage":"demo"}],"n":1}
{"id":2,"text":"a","calls":[ {"stage":"demo"}],"n":1}
{"id":3,"text":"a","calls":[{"stage":"demo"}],"n":1}' 'calls grow' --call

# ---- ids
gives '{"text":"a"}\n\n{"custom_id":"c","text":"a"}\n{"task_id":5,"text":"a"}\n{"doc_id":"d","text":"a"}\n{"id":null,"text":"a"}' \
	'{"text":"a","id":1,"n":1}
{"custom_id":"c","text":"a","n":1}
{"task_id":5,"text":"a","n":1}
{"doc_id":"d","text":"a","n":1}
{"id":6,"text":"a","n":1}' 'ids: given, read as equals, made of the line'
printf '{"text":"a"}\n{"id":"x","text":"b"}\n' >in.ndjson
printf 'one\ntwo' >in.txt
is "$(demo in.ndjson in.txt)" '{"text":"a","id":"in.ndjson:1","n":1}
{"id":"x","text":"b","n":1}
{"id":"in.txt","text":"one\ntwo","n":7}' 'ids of files: path:line, path; each input decides what it is'
is "$(demo --lines in.txt)" '{"id":"in.txt:1","text":"one","n":3}
{"id":"in.txt:2","text":"two","n":3}' '--lines of a file'
gives 'one\r\n\ntwo\n' '{"id":1,"text":"one","n":3}\n{"id":3,"text":"two","n":3}' '--lines on standard input' --lines
gives 'one\ntwo\n' '{"id":1,"text":"one\\ntwo\\n","n":8}' 'text on standard input is one record'
gives '{"text":"a"}' '{"id":1,"text":"{\\"text\\":\\"a\\"}","n":12}' '--text' --text
gives 'one\ntwo\n' 'one\ntwo' 'text in gives text out where the tool says so' --text-out
gives 'one\ntwo\n' '{"id":1,"text":"one\\ntwo\\n","n":8}' '--json forces records' --text-out --json
gives '{"id":1,"text":"a"}\n{"id":"1","text":"b"}\n' '{"id":1,"text":"a","n":1}\n{"id":"1","text":"b","n":1}' 'a repeated id is fine'
codes '{"id":1,"text":"a"}\n{"id":"1","text":"b"}\n' 'duplicate_id ' '… but where ids are keys: 1 is "1"' --unique
codes '{"id":{},"text":"a"}\n{"id":true,"text":"a"}' 'invalid_field invalid_field ' 'an id of another type'

# ---- text
gives '{"id":1,"content":"4444","text":"333","input":"22","prompt":"1"}
{"id":2,"content":"4444","text":"333","input":"22"}\n{"id":3,"content":"4444","text":"333"}\n{"id":4,"content":"4444","prompt":null}' \
	'{"id":1,"content":"4444","text":"333","input":"22","prompt":"1","n":1}
{"id":2,"content":"4444","text":"333","input":"22","n":2}
{"id":3,"content":"4444","text":"333","n":3}
{"id":4,"content":"4444","prompt":null,"n":4}' 'prompt > input > text > content'
gives '{"id":1,"text":"a","x":{"y":["p","qq"]}}' '{"id":1,"text":"a","x":{"y":["p","qq"]},"n":2}' '--field: a path' --field x.y.1
gives '{"id":1,"text":"a","x":{"y":["p","qq"]}}' '{"id":1,"text":"a","x":{"y":["p","qq"]},"n":2}' '--field: a pointer' --field /x/y/1
gives '{"custom_id":"c","method":"POST","url":"/v1","body":{"model":"m","input":"abc","sleep_us":1}}' \
	'{"custom_id":"c","method":"POST","url":"/v1","body":{"model":"m","input":"abc","sleep_us":1},"n":3}' "a Batch line's text is in its body"
codes '{"id":1}\n{"id":2,"text":5}\n{"id":3,"text":"\\ud800"}\n' 'missing_field invalid_field invalid_utf8 ' 'no text, no string, no UTF-8'
codes '{"id":1,"text":"a"}' 'missing_field ' '--field that is not there' --field z

# ---- errors
gives '{"id":1,"text":"FAIL","error":null}\n' \
	'{"id":1,"text":"FAIL","error":{"code":"server_error","message":"the text says FAIL","stage":"demo","retryable":true,"attempts":3,"line":1}}' \
	'an error record: the input and error; "error":null is no error'
gives '{"id":1,"text":"a","error":{"code":"x","stage":"y"}}\n{"id":2,"text":"b","error":"no"}\n{"id":3,"text":"c","error":{"code":1,"stage":"y"}}' \
	'{"id":1,"text":"a","error":{"code":"x","stage":"y"}}\n{"id":2,"text":"b","error":"no","n":1}
{"id":3,"text":"c","error":{"code":1,"stage":"y"},"n":1}' 'a record with an error passes; other columns of that name are none'
codes '{"id":1,\n[1]\n5\n{"id":1} x\nnull\n' 'invalid_json invalid_json invalid_json invalid_json invalid_json ' 'lines that are no records'
is "$(printf '{"a":\n' | demo 2>err | sed 's/"message":"[^"]*"/"message":""/')" \
	'{"id":1,"error":{"code":"invalid_json","message":"","stage":"demo","retryable":false,"line":1},"raw":"{\"a\":"}' 'raw is whole'
is "$(printf '{"id":"\377"}\n' | demo 2>err | sed 's/.*"raw/"raw/')" '"raw_base64":"eyJpZCI6Iv8ifQ=="}' 'raw_base64 where it is no UTF-8'
is "$(printf '{"id":"\000"}\n' | demo 2>err | sed 's/.*"raw/"raw/')" '"raw":"{\"id\":\"\u0000\"}"}' 'a NUL byte in a line'
is "$(printf '\377\376a' | demo 2>err | sed 's/"message":"[^"]*"/"message":""/')" \
	'{"id":1,"error":{"code":"invalid_utf8","message":"","stage":"demo","retryable":false},"raw_base64":"//5h"}' 'a text that is no UTF-8'
printf '{"id":1,"text":"a"}\n{"id":2,"text":"FAIL"}\n{bad\n{"id":4,"text":"b","error":{"code":"x","stage":"y"}}\n{"id":5,"text":"c"}\n' >mix
status 1 'exit status 1 when records carry errors' record_demo --summary sum mix
is "$(cat sum)" '{"stage":"demo","in":5,"out":5,"skipped":0,"failed":3,"passed":1,"errors":{"invalid_json":1,"server_error":1}}' '--summary counts'
is "$(wc -l <"$scratch/err" | tr -d ' ')" 2 'one line a distinct code'
demo --errors bad -o good mix 2>err
is "$(wc -l <good | tr -d ' ') $(wc -l <bad | tr -d ' ')" '2 3' '--errors diverts them'
is "$(demo --sink mix 2>err | code | tr '\n' ' ')" 'server_error invalid_json x ' 'a sink prints what failed'
is "$(demo --sink --tee mix 2>err | wc -l | tr -d ' ')" 5 '--tee prints all'
is "$(demo --only mix 2>err | sed 's/,"message.*//')" '{"id":1,"n":1}
{"id":2,"error":{"code":"server_error"
{"id":"mix:3","error":{"code":"invalid_json"
{"id":4,"text":"b","error":{"code":"x","stage":"y"}}
{"id":5,"n":1}' '--only'
status 4 '--fail-fast exits with 4' record_demo --fail-fast mix
is "$(wc -l <"$scratch/out" | tr -d ' ')" 2 '… at the first, which is written'
gives '{"id":1,"text":"a"}\n{"id":2,"text":"DROP"}\n{"id":3,"text":"c"}' '{"id":1,"text":"a","n":1}\n{"id":3,"text":"c","n":1}' 'a filter holds records back'
gives '{"id":1,"text":"a b"}\n{"id":2,"text":"c"}\n' '{"id":"1#0","text":"a","chunk":{"of":1,"index":0}}
{"id":"1#1","text":"b","chunk":{"of":1,"index":1}}\n{"id":"2#0","text":"c","chunk":{"of":2,"index":0}}' 'one record gives many lines' --emit
status 5 'a file that is not there is exit 5' record_demo mix /nonexistent
is "$(cat "$scratch/out")" '' '… before any work'
status 5 'a folder is no input' record_demo .

# ---- large and deep
{
	printf '{"id":1,"text":"'
	head -c 100000000 /dev/zero | tr '\0' 0
	printf '"}\n{"id":2,"text":"a"}\n'
} >large
demo large >large.out 2>err
is "$?" 1 'a line of 100 MB is an error record'
cmp -s -n 100000017 large large.out
ok $? '… with all of it'
is "$(tail -c 250 large.out | code) $(tail -n 1 large.out)" 'invalid_field {"id":2,"text":"a","n":1}' '… and the next one is read'
rm -f large large.out
awk 'BEGIN { for (i = 0; i < 100000; i++) printf "{\"a\":"; print "" }' >deep
is "$(demo deep 2>err | code)" invalid_json 'nesting 100,000 deep'

# ---- order
awk 'BEGIN { for (i = 1; i <= 3000; i++) printf "{\"id\":%d,\"text\":\"text %d%s\"}\n", i, i, i % 500 ? "" : " SLOW" }' >many
demo many >want
for how in '-j 2' '-j 7' '-j 64' '-j 3 --stream' '-j 60 --stream'; do
	demo $how many | cmp -s - want
	ok $? "$how gives the order of the input"
done

# ---- the other end
(trap '' PIPE; demo many many many; echo $? >rc) 2>err | head -1 >/dev/null
is "$(cat rc)" 141 'SIGPIPE is quiet even where the parent ignores it'
demo many 2>err | head -1 >/dev/null
is "$(cat err)" '' 'SIGPIPE ends quietly'
if [ -w /dev/full ]; then
	demo many >/dev/full 2>err
	is $? 4 'a full disk is exit 4'
	has err 'No space left' '… and says why'
fi
demo -o /nonexistent/x many 2>err
is $? 5 'an output that cannot be opened is exit 5'

cp mix both
status 2 'an output that is also the input is a usage error' record_demo -o both both
record_demo both >>both 2>err
is "$?" 2 '… also as standard output'
cmp -s mix both
ok $? '… and the file stays as it is'
status 2 'two outputs of one name are too' record_demo -o x --errors x mix

# ---- soon: a record is out before the next one comes
mkfifo fifo
record_demo --lines <fifo >soon &
exec 9>fifo
echo one >&9
for i in 1 2 3 4 5 6 7 8 9 10; do [ -s soon ] && break; sleep 0.05; done
is "$(cat soon)" '{"id":1,"text":"one","n":3}' 'a record is written while the next is waited for'
exec 9>&-
wait

# ---- signals
record_demo --sleep-us 3000 -j 2 many >stopped 2>err &
pid=$!
sleep 0.2
kill -INT $pid 2>/dev/null || :
kill -TERM $pid
wait $pid
got=$?
[ $got = 143 ] || [ $got = 130 ]
ok $? "a stop signal is passed on to the shell (status $got)"
lines=$(wc -l <stopped)
[ "$lines" -gt 0 ] && [ "$lines" -lt 3000 ] && head -n "$lines" want | cmp -s - stopped
ok $? 'what was finished is written, in whole lines'

done_testing
