#!/bin/sh
# Replays seeds of safet_fuzz and mutations of them.
d=$(mktemp -d "${TMPDIR:-/tmp}/llmu.XXXXXX") || exit 1
trap 'rm -rf "$d"' EXIT
"$top_builddir/tests/fuzz/model_seeds" "$d" && "$top_builddir/tests/fuzz/safet_fuzz" -mutate 2000 "$d/safet"
