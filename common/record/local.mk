common_libcommon_a_SOURCES += %D%/record.h
