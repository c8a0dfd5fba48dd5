common_libcommon_a_SOURCES += %D%/model.h %D%/model_impl.h %D%/model.c %D%/load.c %D%/kv.c %D%/work.c \
	%D%/forward.c %D%/experts.c %D%/encode.c %D%/arch_llama.c %D%/arch_qwen.c %D%/arch_gemma.c \
	%D%/arch_gpt.c %D%/arch_bert.c

EXTRA_DIST += %D%/model_test.c
