common_libcommon_a_SOURCES += %D%/cli.h
