# Sourced by the shell tests: TAP on standard output, one scratch folder that goes away at the end.
# The tools are found through PATH, so the same scripts run against an installed tree.
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
tap_n=0
tap_failed=0
scratch=$(mktemp -d "${TMPDIR:-/tmp}/llmu.XXXXXX") || exit 1
servers=
trap 'kill $servers 2>/dev/null; rm -rf "$scratch"' EXIT
# where scripts/fetch-models put the real models, for the slow tests
models=${XDG_DATA_HOME:-$HOME/.local/share}/llm-utils/models
export XDG_CACHE_HOME="$scratch/cache" XDG_CONFIG_HOME="$scratch/config" XDG_DATA_HOME="$scratch/data"
# nothing that is installed on this machine counts
export LLMU_DATADIR="$scratch/share" HOME="$scratch"
unset OLLAMA_MODELS HF_HOME HF_HUB_CACHE
unset LLMU_MODEL_GENERATE LLMU_MODEL_EMBED
fixtures=$top_srcdir/tests/fixtures

# ok STATUS WHAT: a test that passes when STATUS is 0.
ok() {
	tap_n=$((tap_n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tap_n - $2"
	else
		echo "not ok $tap_n - $2"
		tap_failed=$((tap_failed + 1))
	fi
}

# is GOT WANTED WHAT
is() {
	if [ "$1" = "$2" ]; then
		ok 0 "$3"
	else
		ok 1 "$3"
		printf '%s\n' "$1" | sed 's/^/#   got: /'
		printf '%s\n' "$2" | sed 's/^/#  want: /'
	fi
}

# status WANTED WHAT COMMAND…: runs it with its output in $scratch/out and $scratch/err.
status() {
	wanted=$1 what=$2
	shift 2
	"$@" >"$scratch/out" 2>"$scratch/err" </dev/null
	got=$?
	is "$got" "$wanted" "$what"
	[ "$got" = "$wanted" ] || sed 's/^/# /' "$scratch/err"
}

# has FILE PATTERN WHAT: a line of FILE matches the extended regular expression.
has() {
	grep -Eq -e "$2" "$1"
	ok $? "$3"
}

# serve NAME OPTION…: starts the server of planned faults (tests/net/fault-server.c); its port is then in $port, its number
# in $server, its log in $scratch/NAME.log.
serve() {
	name=$1
	shift
	fault_server=${top_builddir:-.}/tests/net/fault-server
	[ -x "$fault_server" ] || skip_all "tests/net/fault-server is not built"
	rm -f "$scratch/$name.port"
	"$fault_server" --log "$scratch/$name.log" "$@" >"$scratch/$name.port" &
	server=$!
	servers="$servers $server"
	port=
	while [ -z "$port" ] && kill -0 "$server" 2>/dev/null; do
		sleep 0.02
		port=$(cat "$scratch/$name.port" 2>/dev/null)
	done
	[ -n "$port" ] || ok 1 "the server $name starts"
}

skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

done_testing() {
	echo "1..$tap_n"
	exit $((tap_failed > 0))
}
