common_libcommon_a_SOURCES += %D%/model.h
