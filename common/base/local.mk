common_libcommon_a_SOURCES += %D%/base.h
