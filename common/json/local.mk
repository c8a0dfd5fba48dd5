common_libcommon_a_SOURCES += %D%/json.h
