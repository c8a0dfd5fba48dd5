# Comparison with llama.cpp and with double precision; not part of `make check`. Build with `make tests/oracle/model-numbers`.
EXTRA_PROGRAMS += %D%/model-numbers
%C%_model_numbers_SOURCES = %D%/model-numbers.c
%C%_model_numbers_LDADD = $(LIBS_COMMON)
EXTRA_DIST += %D%/reference.py %D%/llama-numbers.c %D%/compare-llama.py %D%/compare-st.py %D%/compare-tiny.py
EXTRA_DIST += %D%/compare-rerank.py %D%/quant-error.py
EXTRA_PROGRAMS += %D%/tok_pieces
%C%_tok_pieces_SOURCES = %D%/tok_pieces.c
%C%_tok_pieces_LDADD = $(LIBS_COMMON)
EXTRA_DIST += %D%/tok-oracle.py %D%/pretokenizers.py
EXTRA_DIST += %D%/prices.py
EXTRA_DIST += %D%/model-files.py
EXTRA_DIST += %D%/import-models.py %D%/import-compare.py %D%/import-tokenizers.py
