#!/bin/sh
# Replays the template engine's fuzz target over the test templates and seeded mutations of each.
: "${top_srcdir:=.}" "${top_builddir:=.}"
exec "$top_builddir/tests/fuzz/jinja_fuzz" -mutate "${FUZZ_MUTATIONS:-300}" "$top_srcdir/tests/fixtures/templates"
