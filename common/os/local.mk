common_libcommon_a_SOURCES += %D%/os.h %D%/os_atomic.c %D%/os_impl.h %D%/os_in.c %D%/os_map.c %D%/os_out.c \
	%D%/os_place.c %D%/os_pool.c %D%/os_signal.c %D%/os_sys.c %D%/os_trim.c
check_PROGRAMS += %D%/os_test %D%/pool_test
TESTS += %D%/os_test %D%/pool_test
common_os_os_test_SOURCES = %D%/os_test.c
common_os_os_test_LDADD = $(LIBS_COMMON)
common_os_pool_test_SOURCES = %D%/pool_test.c
common_os_pool_test_LDADD = $(LIBS_COMMON)
