common_libcommon_a_SOURCES += %D%/cli.c %D%/cli.h %D%/cli_complete.c %D%/cli_help.c %D%/cli_impl.h %D%/cli_msg.c \
	%D%/cli_parse.c %D%/cli_progress.c
check_PROGRAMS += %D%/cli_demo
common_cli_cli_demo_SOURCES = %D%/cli_demo.c
common_cli_cli_demo_LDADD = $(LIBS_COMMON)
