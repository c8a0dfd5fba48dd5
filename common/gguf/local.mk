common_libcommon_a_SOURCES += %D%/gguf.h %D%/gguf_impl.h %D%/gguf_type.c %D%/gguf_read.c %D%/gguf_value.c \
	%D%/gguf_write.c %D%/safet.c
EXTRA_DIST += %D%/gguf_test.c %D%/safet_test.c
