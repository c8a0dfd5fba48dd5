common_libcommon_a_SOURCES += %D%/tok.h
