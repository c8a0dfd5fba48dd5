#!/bin/sh
# Where there is a python3: our JSON against its own.
command -v python3 >/dev/null || {
	echo '1..0 # SKIP no python3'
	exit 0
}
exec python3 "${top_srcdir:?}/common/json/json_python.py" "${top_builddir:?}/common/json/json_echo" 10000
