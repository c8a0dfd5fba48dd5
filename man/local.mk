dist_man_MANS += %D%/llm-utils.7
dist_man_MANS += %D%/llm-cost.1 %D%/llm-eval.1
dist_man_MANS += %D%/llm-tokenize.1
dist_man_MANS += %D%/llm-records.5
dist_man_MANS += %D%/llm-index.1
dist_man_MANS += %D%/llm-model.1
dist_man_MANS += %D%/llm-generate.1
dist_man_MANS += %D%/llm-embed.1
