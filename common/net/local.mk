common_libcommon_a_SOURCES += %D%/net.h %D%/net_impl.h %D%/net_client.h %D%/net.c %D%/net_turn.c %D%/net_try.c %D%/net_judge.c \
	%D%/net_hint.c %D%/net_wait.c %D%/net_share.c %D%/net_sse.c %D%/net_key.c %D%/net_curl.c
check_PROGRAMS += %D%/net_test %D%/net_call_test %D%/net_days_test
%C%_net_test_SOURCES = %D%/net_test.c
%C%_net_test_LDADD = $(LIBS_COMMON)
%C%_net_call_test_SOURCES = %D%/net_call_test.c tests/net/rig.h
%C%_net_call_test_LDADD = tests/net/libfault.a $(OPENSSL_LIBS) $(LIBS_COMMON)
%C%_net_days_test_SOURCES = %D%/net_days_test.c tests/net/rig.h
%C%_net_days_test_LDADD = tests/net/libfault.a $(OPENSSL_LIBS) $(LIBS_COMMON)
TESTS += %D%/net_test %D%/net_call_test %D%/net_days_test
