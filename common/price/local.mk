common_libcommon_a_SOURCES += %D%/price.h
