common_libcommon_a_SOURCES += %D%/sample.h
