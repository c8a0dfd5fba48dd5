common_libcommon_a_SOURCES += %D%/llm.h
