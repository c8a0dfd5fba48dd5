# Built by `make bench` alone.
EXTRA_PROGRAMS += %D%/pair
%C%_pair_SOURCES = %D%/pair.c
CLEANFILES += $(EXTRA_PROGRAMS)
EXTRA_DIST += %D%/run %D%/search.py %D%/vectors.py %D%/tokens.py %D%/price.py %D%/model.py %D%/models
