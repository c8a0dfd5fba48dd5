#!/bin/sh
# What every tool has from its option table, tried with a tool that does nothing.
. "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}/tests/lib.sh"
unset LLMU_LOG
mkdir "$scratch/bin"
ln -s "${top_builddir:-.}/common/cli/cli_demo" "$scratch/bin/cli_demo"
ln -s "${top_builddir:-.}/common/cli/cli_demo" "$scratch/bin/cli_verbs"
ln -s "${top_builddir:-.}/common/cli/cli_demo" "$scratch/bin/my-cli_demo"
PATH=$scratch/bin:$PATH
out=$scratch/out err=$scratch/err

status 0 'options of all kinds' cli_demo a -n 5 --stop x -cr --mode=exact b --no-raw --stop=y --temp 1e-1 --text -- -z
is "$(cat "$out")" 'model=- n=5! temp=0.1 mode=1 input=2 cache=1 raw=0 big=0 note=- db=- kind=0 verb=-
stop x
stop y
operand a
operand b
operand -z' 'all of them arrive'
status 0 'an alias' cli_demo --n-predict 9
has "$out" ' n=9! ' 'stands for its option'
status 0 'the largest number' cli_demo --big 18446744073709551615
has "$out" ' big=18446744073709551615 ' 'is kept'

refused() { # MESSAGE COMMAND…
	message=$1
	shift
	status 2 "refused: $*" "$@"
	has "$err" "^$1: $message" "says: $message"
	has "$err" "^Try '$1 --help'\.\$" 'and where help is'
}
refused "unknown option '--max-tok'; did you mean '--max-tokens'" cli_demo --max-tok 3
refused "unknown option '--maxtoken'; did you mean '--max-tokens'" cli_demo --maxtoken=3
refused "unknown option '--no-cach'; did you mean '--no-cache'" cli_demo --no-cach
refused "unknown option '--zzzz'\$" cli_demo --zzzz
refused "unknown option '-Z'" cli_demo -cZ
refused "option '--max-tokens': 0 is not between 1 and 4096" cli_demo -n 0
refused "option '--max-tokens': '10x' is no whole number" cli_demo -n 10x
refused "option '--temp': 2.5 is not between 0 and 2" cli_demo --temp 2.5
refused "option '--big': 18446744073709551616 is not between" cli_demo --big 18446744073709551616
refused "option '-n' needs an argument: N" cli_demo -n
refused "option '--stop' needs an argument: TEXT" cli_demo --stop
refused "option '--cache' takes no argument" cli_demo --cache=yes
refused "option '--mode': 'slow' is none of fast\|exact\|both" cli_demo --mode slow
refused "a command is missing: add, search, ledger add" cli_verbs -c
refused "unknown command 'serch'; did you mean 'search'" cli_verbs serch x
refused "missing operand: DB" cli_verbs add
refused "one operand too many: 'b'" cli_verbs search a b
refused "option '-k' is not for 'search', but for: add ledger\.add\$" cli_verbs search x -k d
refused "option '--kind' is not for 'ledger add', but for: search\$" cli_verbs ledger add --kind a
refused "--text and --records exclude each other" cli_demo --text --cache --records
refused "--raw and --mode exclude each other" cli_demo --x-usage

status 0 'options before and after a verb' cli_verbs -n 3 add -k d x --text y
has "$out" 'n=3! .* input=2 .* db=d .* verb=add' 'belong to it'
is "$(tail -n 2 "$out")" 'operand x
operand y' 'operands come after the verb'
status 0 'a verb of two words' cli_verbs ledger add f -k d
has "$out" 'db=d .* verb=ledger add' 'is one verb'

status 0 '--help' cli_demo --help
has "$out" '^Usage: cli_demo \[OPTION\.\.\.\] \[FILE\.\.\.\]$' 'usage'
has "$out" '^Do nothing in many ways\.$' 'purpose'
has "$out" '^  -n, --max-tokens=N       at most N tokens \[512\]$' 'a row an option'
has "$out" '^Exit status: see llm-utils\(7\)$' 'where the statuses are'
is "$(awk 'length > 80' "$out")" '' 'no line is too long'
is "$(wc -c <"$err")" 0 'nothing on standard error'
! grep -q x-fail "$out"
ok $? 'hidden options are hidden'
status 0 '--help-all' cli_demo --help-all
has "$out" '^      --big=N              any number$' 'each option has a row'
status 0 '--help of a verb' cli_verbs search --help
has "$out" '^Usage: cli_verbs search \[OPTION\.\.\.\] DB$' 'names it'
! grep -q -e '--db' "$out"
ok $? 'shows its options alone'
status 0 '--version' cli_demo --version
has "$out" '^cli_demo \(llm-utils\) [0-9]' 'name and number'
status 0 '--version -v' cli_demo --version -v
has "$out" '^compiler: ' 'how it was built'
status 0 '--dump-options' cli_demo --dump-options
has "$out" '"name":"mode","kind":"word","arg":"fast\|exact\|both","words":\["fast","exact","both"\]' 'the table as JSON'

status 1 'records in error' cli_demo --x-fail 3
has "$err" "^cli_demo: 3 records: invalid_json: line 7: expected ':'\$" 'a line a code, with its count'
has "$err" '^cli_demo: 1 record: request_timeout: after 30 s$' 'and another'
status 1 '-q' cli_demo -q --x-fail 3
is "$(wc -c <"$err")" 0 'keeps quiet'
status 0 '-v' cli_demo -v
has "$err" '^cli_demo: info \?\[31mno temp$' 'says more; control characters are masked'
has "$err" '^cli_demo: a\?b\?\?$' 'newline, bad UTF-8 and C1 controls too'
has "$err" '^cli_demo: 10 read, 7 written, 0 in error' 'counts'
status 1 'LLMU_LOG=json' env LLMU_LOG=json cli_demo --x-fail 1
has "$err" '^\{"ts":"[0-9TZ:-]+","tool":"cli_demo","pid":[0-9]+,"level":"warn","msg":"1 record: invalid_json: line 7: expected '"':'"'"\}$' \
	'a message is an object'

if [ -c /dev/full ]; then
	cli_demo >/dev/full 2>"$err"
	is $? 4 'a full disk is 4'
	has "$err" 'cannot write standard output: No space left' 'and is told'
	cli_demo --help >/dev/full 2>"$err"
	is $? 4 'also for --help'
fi
cli_demo >&- 2>"$err"
is $? 4 'a closed standard output is 4'
(trap '' PIPE; cli_demo --help; echo $? >"$scratch/rc") | :
ok 0 'a reader that leaves'
sh -c 'cli_demo --x-signal' >"$out" 2>"$err"
is $? 143 'TERM is raised again'
has "$out" '^model' 'after what was finished is out'

# completion
for shell in bash zsh fish; do
	status 0 "--completion $shell" my-cli_demo --completion $shell
	has "$out" 'my-llm-model list --names' 'a program prefix is heeded'
	cp "$out" "$scratch/demo.$shell"
	cli_verbs --completion $shell >"$scratch/verbs.$shell"
	if command -v $shell >"$scratch/where"; then
		$shell -n "$scratch/demo.$shell" && $shell -n "$scratch/verbs.$shell"
		ok $? "$shell can read it"
	fi
done
llm-model --completion zsh >"$scratch/out"
has "$scratch/out" '^	.show.* *options\+=\($' 'zsh: a verb'
is "$(grep -c 'operand=_llm_model_models ;;' "$scratch/out")" 4 'zsh: its models'
is "$(grep -c "operand='_files -/' ;;" "$scratch/out")" 1 'zsh: its folders'
if command -v fish >"$scratch/where"; then
	complete_fish() { # TOOL LINE
		XDG_DATA_HOME=$scratch/fish fish -c "$1 --completion fish | source; complete -C '$2'" | cut -f1 | tr '\n' ' '
	}
	is "$(complete_fish llm-model 'llm-model quantize --type q6')" 'q6_k ' 'fish: types'
	is "$(complete_fish llm-eval 'llm-eval score -M squad_e')" 'squad_em ' 'fish: metrics'
	is "$(complete_fish llm-model 'llm-model doctor x')" '' 'fish: no operand'
fi
status 2 'a shell that is not known' cli_demo --completion tcsh
if command -v bash >"$scratch/where"; then
	complete_bash() { # SCRIPT FUNCTION WORD…
		bash -c '. "$1"; f=$2; shift 2; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); "$f"
			echo ${COMPREPLY[*]}' bash "$@"
	}
	mkdir "$scratch/bin/folder"
	cd "$scratch/bin" || exit 1
	is "$(complete_bash ../verbs.bash _cli_verbs cli_verbs '')" 'add search ledger' 'bash: verbs'
	is "$(complete_bash ../verbs.bash _cli_verbs cli_verbs search --k)" '--kind' "bash: a verb's options"
	is "$(complete_bash ../verbs.bash _cli_verbs cli_verbs add --k)" '' 'bash: not those of another'
	is "$(complete_bash ../verbs.bash _cli_verbs cli_verbs add --db '')" 'folder' 'bash: folders'
	is "$(complete_bash ../demo.bash _my_cli_demo my-cli_demo --mode f)" 'fast' 'bash: words'
	is "$(complete_bash ../demo.bash _my_cli_demo my-cli_demo --mode = e)" 'exact' 'bash: behind ='
	is "$(complete_bash ../demo.bash _my_cli_demo my-cli_demo --note my)" 'my-cli_demo' 'bash: files'
	printf '#!/bin/sh\n[ "$*" = "list --names" ] && echo tiny-a tiny-b\n' >my-llm-model
	chmod +x my-llm-model
	is "$(complete_bash ../demo.bash _my_cli_demo my-cli_demo -m tiny)" 'tiny-a tiny-b' 'bash: models'
	llm-model --completion bash >../model.bash
	mv my-llm-model llm-model
	is "$(complete_bash ../model.bash _llm_model llm-model show tiny)" 'tiny-a tiny-b' 'bash: models of a verb'
	is "$(complete_bash ../model.bash _llm_model llm-model import fol)" 'folder' 'bash: folders of a verb'
	is "$(complete_bash ../model.bash _llm_model llm-model quantize --type q6)" 'q6_k' 'bash: types'
	rm llm-model
	llm-eval --completion bash >../eval.bash
	is "$(complete_bash ../eval.bash _llm_eval llm-eval score -M squad_e)" 'squad_em' 'bash: metrics'
	cd "$scratch" || exit 1
fi

# a terminal on standard error and on standard input
if script -qec true /dev/null >"$out" 2>&1 </dev/null; then
	script -qec "cli_demo --x-sleep 1.3 >'$scratch/data'" /dev/null >"$out" 2>&1 </dev/null
	has "$out" 'cli_demo: 7/10 records, [0-9.]+/s, 0:0[0-9] left' 'a bar at a terminal'
	has "$out" "$(printf '\r\033')\\[K" 'which is taken away'
	script -qec "cli_demo -q --x-sleep 1.3 >'$scratch/data'" /dev/null >"$out" 2>&1 </dev/null
	is "$(wc -c <"$out")" 0 'not with -q'
	script -qec 'cli_demo --x-need' /dev/null >"$out" 2>&1 </dev/null
	is $? 2 'nothing to read at a terminal is 2'
	has "$out" 'Nothing to read' 'with the usage'
fi
status 0 'no terminal' cli_demo --x-need --x-sleep 0.01
done_testing
