common_libcommon_a_SOURCES += %D%/json.h %D%/json_impl.h %D%/scan_body.h %D%/json.c %D%/edit.c \
	%D%/scan_avx2.c %D%/scan_scalar.c %D%/scan_sse2.c %D%/value.c %D%/vec.c %D%/write.c
check_PROGRAMS += %D%/json_test
TESTS += %D%/json_test
common_json_json_test_SOURCES = %D%/json_test.c
common_json_json_test_LDADD = $(LIBS_COMMON)
check_PROGRAMS += %D%/json_echo
common_json_json_echo_SOURCES = %D%/json_echo.c
common_json_json_echo_LDADD = $(LIBS_COMMON)
TESTS += %D%/json_python.t
EXTRA_DIST += %D%/json_python.t %D%/json_python.py
