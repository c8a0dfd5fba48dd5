common_libcommon_a_SOURCES += %D%/base.h %D%/arena.c %D%/arena.h %D%/banned.h %D%/buf.c %D%/buf.h %D%/ckd.c %D%/ckd.h \
	%D%/err.c %D%/err.h %D%/hash.c %D%/hash.h %D%/hash_crc32c.h %D%/map.c %D%/map.h %D%/num.c %D%/num.h %D%/num_impl.h \
	%D%/num_pow10.h %D%/num_put.c %D%/rng.c %D%/rng.h %D%/str.c %D%/str.h %D%/tally.h %D%/timeutil.c %D%/timeutil.h \
	%D%/topk.c %D%/topk.h %D%/utf8.c %D%/utf8.h %D%/utf8_impl.h
EXTRA_DIST += %D%/num_tables.py
check_PROGRAMS += %D%/base_test %D%/num_test
TESTS += %D%/base_test %D%/num_test
common_base_base_test_SOURCES = %D%/base_test.c
common_base_base_test_LDADD = $(LIBS_COMMON)
common_base_num_test_SOURCES = %D%/num_test.c
common_base_num_test_LDADD = $(LIBS_COMMON)
