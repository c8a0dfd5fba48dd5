common_libcommon_a_SOURCES += %D%/gguf.h
