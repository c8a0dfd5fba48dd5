common_libcommon_a_SOURCES += %D%/stats.h %D%/stats.c %D%/dist.c %D%/resample.c
check_PROGRAMS += %D%/stats_test
TESTS += %D%/stats_test
%C%_stats_test_SOURCES = %D%/stats_test.c
%C%_stats_test_LDADD = $(LIBS_COMMON)
EXTRA_DIST += %D%/stats_golden.py %D%/stats_golden.h
