common_libcommon_a_SOURCES += %D%/gguf.h %D%/gguf_impl.h %D%/gguf_type.c %D%/gguf_read.c %D%/gguf_value.c \
	%D%/gguf_json.c %D%/gguf_write.c %D%/safet.c
check_PROGRAMS += %D%/gguf_test %D%/safet_test
%C%_gguf_test_SOURCES = %D%/gguf_test.c
%C%_gguf_test_LDADD = $(LIBS_COMMON)
%C%_safet_test_SOURCES = %D%/safet_test.c
%C%_safet_test_LDADD = $(LIBS_COMMON)
TESTS += %D%/gguf_test %D%/safet_test
