common_libcommon_a_SOURCES += %D%/os.h
