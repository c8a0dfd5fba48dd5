dist_man_MANS += %D%/llm-utils.7
