# A server of planned faults: a library for unit tests and, as a program, for shell tests and benchmarks.
check_LIBRARIES += %D%/libfault.a
%C%_libfault_a_SOURCES = %D%/fault.h %D%/fault_impl.h %D%/fault.c %D%/fault_plan.c %D%/fault_answer.c %D%/fault_body.c \
	%D%/fault_tls.c
%C%_libfault_a_CPPFLAGS = $(AM_CPPFLAGS) $(OPENSSL_CFLAGS)
check_PROGRAMS += %D%/fault-server
%C%_fault_server_SOURCES = %D%/fault-server.c
%C%_fault_server_LDADD = %D%/libfault.a $(OPENSSL_LIBS) $(LIBS_COMMON)
