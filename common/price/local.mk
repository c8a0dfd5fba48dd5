common_libcommon_a_SOURCES += %D%/price.h %D%/price_impl.h %D%/price_money.c %D%/price_units.c %D%/price_find.c \
	%D%/price_line.c %D%/price_book.c %D%/price_usage.c %D%/price_cost.c %D%/price_report.c
check_PROGRAMS += %D%/price_test
TESTS += %D%/price_test
%C%_price_test_SOURCES = %D%/price_test.c
%C%_price_test_LDADD = $(LIBS_COMMON)
EXTRA_DIST += %D%/price_golden.py %D%/price_golden.h
