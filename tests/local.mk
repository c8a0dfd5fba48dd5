EXTRA_DIST += %D%/tap.h %D%/lib.sh %D%/fuzz/replay.c
AM_CPPFLAGS += -I$(top_srcdir)/tests
include tests/cli/local.mk
include tests/fixtures/local.mk
include tests/net/local.mk
include tests/oracle/local.mk
include tests/fuzz/local.mk

# Slow tests use the real models of scripts/fetch-models; each skips what is not there.
SLOW_TESTS =
include tests/bench/local.mk
include tests/slow/local.mk
EXTRA_DIST += $(SLOW_TESTS)
.PHONY: check-slow bench
check-slow: all
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(SLOW_TESTS)' TEST_SUITE_LOG=slow-suite.log
bench: all $(EXTRA_PROGRAMS)
	top_srcdir=$(abs_top_srcdir) top_builddir=$(abs_top_builddir) $(SHELL) $(top_srcdir)/tests/bench/run $(CASES)
