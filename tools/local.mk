# one block a tool
bin_PROGRAMS += %D%/llm-cost
%C%_llm_cost_SOURCES = %D%/llm-cost.c
%C%_llm_cost_LDADD = $(LIBS_COMMON)
bin_PROGRAMS += %D%/llm-eval
%C%_llm_eval_SOURCES = %D%/llm-eval.c
%C%_llm_eval_LDADD = $(LIBS_COMMON)
bin_PROGRAMS += %D%/llm-tokenize
tools_llm_tokenize_SOURCES = %D%/llm-tokenize.c
tools_llm_tokenize_LDADD = $(LIBS_COMMON)

bin_PROGRAMS += %D%/llm-index
%C%_llm_index_SOURCES = %D%/llm-index.c
%C%_llm_index_LDADD = $(LIBS_COMMON)
bin_PROGRAMS += %D%/llm-model
%C%_llm_model_SOURCES = %D%/llm-model.c
%C%_llm_model_LDADD = $(LIBS_COMMON)
bin_PROGRAMS += %D%/llm-generate
%C%_llm_generate_SOURCES = %D%/llm-generate.c %D%/generate.h %D%/generate_run.c %D%/generate_score.c
%C%_llm_generate_LDADD = $(LIBS_COMMON)
bin_PROGRAMS += %D%/llm-embed
%C%_llm_embed_SOURCES = %D%/llm-embed.c %D%/embed.h %D%/embed_batch.c %D%/embed_rerank.c
%C%_llm_embed_LDADD = $(LIBS_COMMON)
bin_PROGRAMS += %D%/llm-cache
%C%_llm_cache_SOURCES = %D%/llm-cache.c
%C%_llm_cache_LDADD = $(LIBS_COMMON)
