#!/bin/sh
# Each tool on a bad day: stopped by a signal, a full disk, no memory. What is finished is out, lines are whole, the
# status is the documented one.
. "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}/tests/lib.sh"
top_builddir=$(cd "${top_builddir:-.}" && pwd)
cd "$scratch" || exit 1
export LLMU_DATADIR="$top_srcdir/data"
printf '{"id":%d,"text":"a b","output":"a","expected":"a","embedding":[1,0],"model":"gpt-4o","n_tokens":9,"usage":{"prompt_tokens":9,"completion_tokens":1}}\n' \
	1 2 3 >in
llm-index add v.db in

filters() {
	cat <<EOF
llm-tokenize -m $fixtures/tiny-llama.gguf --ids
llm-tokenize -m $fixtures/tiny-llama.gguf --chunk 20
llm-embed -m $fixtures/tiny-bert.gguf -t1
llm-generate -m $fixtures/tiny-llama.gguf -n 3 -t1
llm-generate -m $fixtures/tiny-llama.gguf --score -t1
llm-index search v.db
llm-index missing none.db
llm-eval score -M contains
llm-cost price
llm-cost estimate -n 5
EOF
}
whole_lines() { # FILE: empty, or its last byte is a newline
	[ ! -s "$1" ] || [ "$(tail -c 1 "$1" | od -An -tx1)" = " 0a" ]
}

# -- signals, while the tool waits for more: a background job ignores INT unless env gives it back
waited() { # N FILE: until FILE has N lines
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		for _ in 1 2 3 4 5 6 7 8 9 10; do
			[ "$(wc -l <"$2")" -ge "$1" ] && return 0
			sleep 0.1
		done
	done
	return 1
}
stopped() { # SIGNAL STATUS COMMAND…
	sig=$1 wanted=$2
	shift 2
	rm -f fifo
	mkfifo fifo
	: >out
	env --default-signal=INT "$@" <fifo >out 2>err &
	pid=$!
	exec 3>fifo
	cat in >&3
	waited 3 out
	ok $? "$* answers while its input is open"
	kill -s "$sig" $pid
	wait $pid
	is $? "$wanted" "$* ends on $sig as shells expect"
	exec 3>&-
	is "$(wc -l <out)" 3 "and what was finished is out"
	whole_lines out
	ok $? "in whole lines"
}
if env --default-signal=INT true 2>err; then
	filters >commands
	while read -r command; do
		# shellcheck disable=SC2086
		stopped INT 130 $command <&4
		# shellcheck disable=SC2086
		stopped TERM 143 $command <&4
	done <commands 4</dev/null
fi

# -- a full disk
filters >commands
if [ -w /dev/full ]; then
	while read -r command; do
		# shellcheck disable=SC2086
		$command -o /dev/full <in >out 2>err
		is $? 4 "$command: a full disk is 4"
		has err "No space left" "and is named"
	done <commands
fi
mkdir full
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=64k none full 2>err; then
	trap 'umount "$scratch/full"; rm -rf "$scratch"' EXIT
	head -c 65536 /dev/zero >full/rest 2>err
	while read -r command; do
		# shellcheck disable=SC2086
		$command --summary full/s <in >out 2>err
		is $? 4 "$command: no room for the summary is 4"
		is "$(ls full)" rest "and no half of it is left"
		is "$(wc -l <out)" 3 "and the records are out"
		# shellcheck disable=SC2086
		$command -o full/o.zst <in >out 2>err
		is $? 4 "$command: a full disk, compressed, is 4"
		rm -f full/o.zst
	done <commands
	llm-index add full/new.db in >out 2>err
	is $? 4 "llm-index add: no room for the index is 4"
	rm -f full/new.db*
	mount -o remount,ro full
	while read -r command; do
		# shellcheck disable=SC2086
		$command -o full/o <in >out 2>err
		is $? 5 "$command: a read-only disk is 5"
		has err "Read-only file system" "and is named"
	done <commands
fi

# -- no memory
shim=$top_builddir/tests/cli/failmalloc.so
if [ -e "$shim" ] && ! ldd "$(command -v llm-cost)" | grep -q asan; then
	while read -r command; do
		# shellcheck disable=SC2086
		FAIL_TELL=1 LD_PRELOAD=$shim $command <in >want 2>err
		all=$(sed -n 's/^\([0-9]*\) allocations$/\1/p' err)
		n=1 bad='' failed=0
		while [ "$n" -le "$all" ]; do
			# shellcheck disable=SC2086
			FAIL_AT=$n LD_PRELOAD=$shim $command <in >out 2>err
			rc=$?
			case $rc in
			70)
				grep -q 'out of memory' err || bad="$bad $n:no-message"
				failed=$((failed + 1))
				;;
			0) [ "$(wc -l <out)" = "$(wc -l <want)" ] || bad="$bad $n:lines" ;; # it could do without
			1) grep -q '"error":{[^}]*out of memory' out || bad="$bad $n:no-error" ;; # one request had none
			*) bad="$bad $n:status-$rc" ;;
			esac
			whole_lines out || bad="$bad $n:half-a-line"
			n=$((n + 1 + n / 6))
		done
		is "$bad" '' "$command: no memory at some of $all allocations is 70"
		[ "$failed" -gt 5 ]
		ok $? "which was tried ($failed)"
	done <commands
fi
done_testing
