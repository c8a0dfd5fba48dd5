# Built by `make bench` alone.
EXTRA_PROGRAMS += %D%/pair
%C%_pair_SOURCES = %D%/pair.c
EXTRA_PROGRAMS += %D%/hosted
%C%_hosted_SOURCES = %D%/hosted.c
%C%_hosted_LDADD = $(LIBS_COMMON) $(CURL_LIBS)
EXTRA_PROGRAMS += %D%/bench-search
%C%_bench_search_SOURCES = %D%/bench-search.c
%C%_bench_search_LDADD = $(LIBS_COMMON)
CLEANFILES += $(EXTRA_PROGRAMS)
EXTRA_DIST += %D%/run %D%/search.py %D%/vectors.py %D%/tokens.py %D%/price.py %D%/model.py %D%/hosted.py %D%/documents.py %D%/server.py %D%/models
