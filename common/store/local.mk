common_libcommon_a_SOURCES += %D%/store.h %D%/store_impl.h %D%/cache.c %D%/cache_impl.h %D%/cache_keep.c %D%/db.c %D%/db_impl.h %D%/share.c \
	%D%/index_db.c %D%/index_put.c %D%/index_read.c %D%/index_search.c %D%/index_view.c
check_PROGRAMS += %D%/store_test %D%/cache_test
%C%_store_test_SOURCES = %D%/store_test.c
%C%_store_test_LDADD = $(LIBS_COMMON)
%C%_cache_test_SOURCES = %D%/cache_test.c
%C%_cache_test_LDADD = $(LIBS_COMMON)
TESTS += %D%/store_test %D%/cache_test
