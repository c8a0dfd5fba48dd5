# one block a tool
bin_PROGRAMS += %D%/llm-cost
%C%_llm_cost_SOURCES = %D%/llm-cost.c
%C%_llm_cost_LDADD = $(LIBS_COMMON)
