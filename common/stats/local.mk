common_libcommon_a_SOURCES += %D%/stats.h
