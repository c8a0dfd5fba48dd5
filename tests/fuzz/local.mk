# fuzz targets: replayed over their seeds in `make check`, run with libFuzzer by scripts/dev fuzz
check_PROGRAMS += %D%/gguf_fuzz %D%/safet_fuzz %D%/model_seeds
%C%_gguf_fuzz_SOURCES = %D%/gguf_fuzz.c %D%/replay.c
%C%_gguf_fuzz_LDADD = $(LIBS_COMMON)
%C%_safet_fuzz_SOURCES = %D%/safet_fuzz.c %D%/replay.c
%C%_safet_fuzz_LDADD = $(LIBS_COMMON)
%C%_model_seeds_SOURCES = %D%/model_seeds.c
%C%_model_seeds_LDADD = $(LIBS_COMMON)
TESTS += %D%/gguf.t %D%/safet.t
EXTRA_DIST += %D%/gguf.t %D%/safet.t
check_PROGRAMS += %D%/jinja_fuzz
%C%_jinja_fuzz_SOURCES = %D%/jinja_fuzz.c %D%/replay.c
%C%_jinja_fuzz_LDADD = $(LIBS_COMMON)
TESTS += %D%/jinja.t
EXTRA_DIST += %D%/jinja.t
