common_libcommon_a_SOURCES += %D%/model.h %D%/model_impl.h %D%/model.c %D%/load.c %D%/lora.c %D%/kv.c %D%/work.c \
	%D%/forward.c %D%/experts.c %D%/encode.c %D%/arch_llama.c %D%/arch_qwen.c %D%/arch_gemma.c \
	%D%/arch_gpt.c %D%/arch_bert.c

check_PROGRAMS += %D%/model_test
%C%_model_test_SOURCES = %D%/model_test.c
%C%_model_test_LDADD = $(LIBS_COMMON)
TESTS += %D%/model_test
