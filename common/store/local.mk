common_libcommon_a_SOURCES += %D%/store.h
