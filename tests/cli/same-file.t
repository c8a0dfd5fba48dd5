#!/bin/sh
# An output that is also an input is refused before it is emptied.
. "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}/tests/lib.sh"
demo=${top_builddir:-.}/common/record/record_demo
line='{"id":1,"text":"a"}'
echo "$line" >"$scratch/in.ndjson"
status 2 '-o of a file that is read' "$demo" -o "$scratch/./in.ndjson" "$scratch/in.ndjson"
has "$scratch/err" 'is both read and written' 'is told'
"$demo" -o "$scratch/in.ndjson" <"$scratch/in.ndjson" 2>"$scratch/err"
is $? 2 '-o of standard input'
status 2 '--errors too' "$demo" --errors "$scratch/in.ndjson" "$scratch/in.ndjson"
is "$(cat "$scratch/in.ndjson")" "$line" 'the file is whole'
done_testing
