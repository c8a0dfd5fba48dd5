common_libcommon_a_SOURCES += %D%/metric.h %D%/metric_impl.h %D%/metric.c %D%/metric_text.c %D%/metric_unicode.h \
	%D%/metric_regex.c %D%/metric_answer.c %D%/metric_squad.c %D%/metric_retrieval.c %D%/metric_ground.c %D%/metric_ngram.c %D%/metric_item.c \
	%D%/metric_run.c %D%/metric_run_impl.h %D%/metric_gate.c
EXTRA_DIST += %D%/metric_unicode.py
check_PROGRAMS += %D%/metric_test
TESTS += %D%/metric_test
%C%_metric_test_SOURCES = %D%/metric_test.c
%C%_metric_test_LDADD = $(LIBS_COMMON)
EXTRA_DIST += %D%/metric_golden.py %D%/metric_golden.h %D%/metric_ngram_golden.py %D%/metric_ngram_golden.h
