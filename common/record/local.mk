common_libcommon_a_SOURCES += %D%/record.h %D%/record_impl.h %D%/fields.c %D%/in.c %D%/io.c %D%/map.c %D%/out.c %D%/resume.c
check_PROGRAMS += %D%/record_demo
common_record_record_demo_SOURCES = %D%/record_demo.c
common_record_record_demo_LDADD = $(LIBS_COMMON)
TESTS += %D%/record.t %D%/resume.t
EXTRA_DIST += %D%/record.t %D%/resume.t
check_PROGRAMS += %D%/record_test
TESTS += %D%/record_test
common_record_record_test_SOURCES = %D%/record_test.c
common_record_record_test_LDADD = $(LIBS_COMMON)
common_record_record_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
EXTRA_PROGRAMS += %D%/record_bench
common_record_record_bench_SOURCES = %D%/record_bench.c
common_record_record_bench_LDADD = $(LIBS_COMMON)
