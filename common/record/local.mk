common_libcommon_a_SOURCES += %D%/record.h %D%/record_impl.h %D%/fields.c %D%/in.c %D%/io.c %D%/map.c %D%/out.c %D%/resume.c
check_PROGRAMS += %D%/record_demo
common_record_record_demo_SOURCES = %D%/record_demo.c
common_record_record_demo_LDADD = $(LIBS_COMMON)
TESTS += %D%/record.t %D%/resume.t
EXTRA_DIST += %D%/record.t %D%/resume.t
