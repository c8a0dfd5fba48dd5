common_libcommon_a_SOURCES += %D%/metric.h
