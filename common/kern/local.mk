common_libcommon_a_SOURCES += %D%/kern.h
