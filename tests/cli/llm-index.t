#!/bin/sh
# llm-index: verbs, pins, errors, killed and concurrent writers. Vectors are made by awk: no model is needed.
. "${top_srcdir:-.}/tests/lib.sh"
cd "$scratch" || exit 1

# vectors N SEED: N records with 8-dimensional vectors, ids v1..vN
vectors() {
	awk -v n="$1" -v seed="$2" 'BEGIN {
		srand(seed)
		for (i = 1; i <= n; i++) {
			printf "{\"id\":\"v%d\",\"text\":\"text %d\",\"embedding\":[", i, i
			for (j = 0; j < 8; j++)
				printf "%s%.4f", j ? "," : "", rand() - 0.5
			print "]}"
		}
	}'
}
items() { llm-index stats "$1" | sed 's/.*"items":\([0-9]*\).*/\1/'; }

vectors 500 1 >a.ndjson
status 0 'add prints nothing' llm-index add kb.db a.ndjson
is "$(wc -c <out)" 0 'nothing on standard output'
is "$(items kb.db)" 500 'all are in'
status 0 'add again' llm-index add -v kb.db a.ndjson
has err '0 added, 0 updated, 500 unchanged' 'changes nothing'

head -3 a.ndjson | llm-index search kb.db -k 2 >found
is "$(grep -c '"hits":\[{"rank":1,"id":"v[123]","score":' found)" 3 'each finds itself first'
head -3 a.ndjson | llm-index search kb.db -k 2 --flat >flat
is "$(wc -l <flat)" 6 'flat: a line a hit'
is "$(head -1 flat | cut -c1-30)" '{"query_id":"v1","rank":1,"id"' 'flat: query_id first'
head -3 a.ndjson | llm-index search kb.db -k 1 --only >only
has only '^\{"id":"v1","hits":\[' 'only: the id and hits'
llm-index search kb.db -j1 -t1 a.ndjson >s1
llm-index search kb.db -j64 -t8 a.ndjson >s2
cmp -s s1 s2
ok $? 'the same bytes for any -j and -t'
LLMU_ISA=scalar llm-index search kb.db a.ndjson | cmp -s - s1
ok $? 'and for scalar kernels'
is "$(head -1 a.ndjson | llm-index search kb.db -k 9999 --flat | wc -l)" 500 'k over the size gives all'
is "$(head -1 a.ndjson | llm-index search kb.db -k 500 --min-score 0.9999 --flat | wc -l)" 1 'min-score'

sed 's/"text 7"/"another"/' a.ndjson | llm-index missing kb.db >m
is "$(cut -c1-22 m)" '{"id":"v7","text":"ano' 'missing passes on what has another text'
is "$(llm-index missing none.db a.ndjson | wc -l)" 500 'an index that is not there lacks everything'

is "$(llm-index get kb.db v9 --encoding-format float | cut -c1-32)" '{"id":"v9","text":"text 9","embe' 'get'
status 1 'get of an unknown id is 1' llm-index get kb.db nobody
llm-index delete kb.db v1 v2
is "$(items kb.db)" 498 'delete'
sed -n 3,5p a.ndjson | llm-index delete kb.db
is "$(items kb.db)" 495 'delete by records'
printf '{"id":"d#0","text":"x","chunk":{"of":"d","index":0,"start":0,"end":1},"embedding":[1,0,0,0,0,0,0,1]}\n' |
	llm-index add kb.db
is "$(llm-index list --prefix d kb.db)" '{"id":"d#0","chunk":{"of":"d","index":0,"start":0,"end":1},"bytes":1}' 'list'
llm-index delete --of kb.db d
is "$(llm-index list --prefix d kb.db | wc -l)" 0 'delete a document'

# errors
cat >bad.ndjson <<'END'
{"id":"b1","text":"none"}
{"id":"b2","embedding":[1,2,3]}
{"id":"b3","embedding":[0,0,0,0,0,0,0,0]}
{"id":"b4","embedding":"AAAAAAAAgD8AAAAAAAAAAAAAAAAAAAAAAADAfwAAAAA="}
{"id":"b5","embedding":[1,0,0,0,0,0,0,0],"calls":[{"stage":"embed","model":"m","model_digest":"d"}]}
{"id":"b6","embedding":[1,0,0,0,0,0,0,0]}
{"id":"b6","embedding":[1,0,0,0,0,0,0,0]}
{"id":"b7","embedding":{}}
nonsense
END
status 1 'bad records: exit 1' llm-index add kb.db bad.ndjson
is "$(sed 's/.*"code":"\([a-z_]*\)".*/\1/' out | tr '\n' ' ')" \
	'missing_field dimension_mismatch invalid_vector invalid_vector model_mismatch duplicate_id invalid_field invalid_json ' \
	'each is printed with its error'
is "$(items kb.db)" 496 'the good one is in'
status 1 'a query with an error carries it' llm-index search kb.db bad.ndjson
has out '"code":"dimension_mismatch"' 'and says why'
echo '{"id":"q","error":{"code":"server_error","message":"m","stage":"embed"}}' | llm-index search kb.db >e 2>/dev/null
is "$(cat e)" '{"id":"q","error":{"code":"server_error","message":"m","stage":"embed"}}' 'an error record passes untouched'
status 5 'a file that is not there' llm-index search nothere.db a.ndjson
has err 'nothere.db' 'is named'
echo junkjunkjunk >junk.db
status 5 'a file that is no index' llm-index search junk.db a.ndjson
status 5 'and is not made one' llm-index add junk.db a.ndjson
status 2 'no index named' llm-index search
status 2 'no verb' llm-index
llm-index search kb.db </dev/null >empty
is "$?$(cat empty)" 0 'empty input'

mkdir folder && mkfifo pipe && : >none.bytes
cp kb.db newer.db && printf '\000\000\000\011' | dd of=newer.db bs=1 seek=60 conv=notrunc 2>/dev/null # user_version
for f in folder:'is a directory' pipe:'is a pipe or a device' none.bytes:'is empty' newer.db:'schema 9, this program knows 1' \
	junk.db:'no index' not/there.db:'No such file' junk.db/x:'Not a directory'; do
	for verb in stats search; do
		status 5 "$verb: ${f%%:*}" llm-index $verb "${f%%:*}"
		has err "${f%%:*}: .*${f#*:}" 'says why'
	done
done
status 5 'add to a folder' llm-index add folder a.ndjson
status 5 'add to a pipe' llm-index add pipe a.ndjson
status 5 'add in a folder that is not there' llm-index add not/there.db a.ndjson
has err 'not/there.db: No such file' 'says why'
status 0 'add to a file of no bytes' llm-index add none.bytes a.ndjson --summary s
is "$(sed 's/.*"errors"/"errors"/' s)" '"errors":{},"added":500,"updated":0,"unchanged":0}' 'the summary counts changes'
sed 's/"text 7"/"another"/' a.ndjson | llm-index add none.bytes --summary s
is "$(sed 's/.*"errors"/"errors"/' s)" '"errors":{},"added":0,"updated":1,"unchanged":499}' 'each kind'
echo '{"id":"v7"}' | llm-index delete none.bytes --summary s
has s '"deleted":1}' 'and what was deleted'

# a killed writer loses at most what was not committed; a second run completes
vectors 5000 2 >b.ndjson
for delay in 0.02 0.05 0.1; do
	llm-index add big.db b.ndjson & pid=$!
	sleep $delay
	kill -9 $pid 2>/dev/null
	wait $pid 2>/dev/null
done
llm-index add big.db b.ndjson
is "$(items big.db)" 5000 'killed and run again: all are in'
status 0 'without damage' llm-index check big.db
llm-index add fresh.db b.ndjson
head -20 b.ndjson | llm-index search fresh.db >f1
head -20 b.ndjson | llm-index search big.db >f2
cmp -s f1 f2
ok $? 'and answers as one that was never killed'

# two writers
vectors 3000 3 | sed 's/"v/"x/' >c.ndjson
llm-index add two.db b.ndjson & first=$!
llm-index add two.db c.ndjson
wait $first
is "$?$(items two.db)" 08000 'two writers at once lose nothing'

# a full disk: what was committed stays, the rest can be added where there is room
if unshare -m true 2>/dev/null && mkdir full && unshare -m sh -c 'mount -t tmpfs -o size=1m none full' 2>/dev/null; then
	unshare -m sh -c 'mount -t tmpfs -o size=1m none full
		head -500 b.ndjson | llm-index add full/kb.db || exit 99
		llm-index add full/kb.db b.ndjson 2>err
		echo $? >rc
		llm-index check full/kb.db && cp full/kb.db rest.db
		! [ -e full/kb.db-wal ] || cp full/kb.db-wal rest.db-wal'
	is "$(cat rc)" 4 'a full disk: exit 4'
	has err 'full/kb.db: .*the disk is full' 'says so'
	ok "$([ "$(items rest.db)" -ge 500 ]; echo $?)" 'what was committed is there'
	llm-index add rest.db b.ndjson
	is "$(items rest.db)" 5000 'the rest is added elsewhere'
fi

# a reader in the same pipeline as the maker
for i in 1 2 3 4 5; do
	rm -f pipe.db*
	llm-index missing pipe.db a.ndjson | llm-index add pipe.db && items pipe.db
done >n
is "$(sort -u n)" 500 'missing and add of one pipeline, the file being made'

# damage
cp big.db damaged.db
head -c 60000 /dev/zero | tr '\0' '\377' | dd of=damaged.db bs=1000 seek=60 conv=notrunc 2>/dev/null
status 5 'check finds damage' llm-index check damaged.db
mkdir ro && llm-index add ro/kb.db a.ndjson
if [ "$(id -u)" != 0 ]; then
	chmod a-w ro ro/kb.db
	status 5 'a read-only index' llm-index add ro/kb.db b.ndjson
fi
done_testing
