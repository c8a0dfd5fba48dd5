common_libcommon_a_SOURCES += %D%/sample.h %D%/sample_impl.h %D%/sample.c %D%/sample_exp.c
check_PROGRAMS += %D%/sample_test
common_sample_sample_test_SOURCES = %D%/sample_test.c
common_sample_sample_test_LDADD = $(LIBS_COMMON)
TESTS += %D%/sample_test
