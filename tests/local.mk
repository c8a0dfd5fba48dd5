EXTRA_DIST += %D%/tap.h %D%/lib.sh %D%/fuzz/replay.c
AM_CPPFLAGS += -I$(top_srcdir)/tests
include tests/cli/local.mk
