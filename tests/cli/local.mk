# shell tests of whole tools: TESTS += and EXTRA_DIST +=
TESTS += %D%/check-examples.t
EXTRA_DIST += %D%/check-examples.t
TESTS += %D%/cli.t %D%/check-options.t
EXTRA_DIST += %D%/cli.t %D%/check-options.t
TESTS += %D%/llm-cost.t
EXTRA_DIST += %D%/llm-cost.t
TESTS += %D%/same-file.t
EXTRA_DIST += %D%/same-file.t
TESTS += %D%/llm-eval.t
EXTRA_DIST += %D%/llm-eval.t
TESTS += %D%/llm-tokenize.t
EXTRA_DIST += %D%/llm-tokenize.t
TESTS += %D%/llm-index.t
EXTRA_DIST += %D%/llm-index.t
TESTS += %D%/llm-model.t
EXTRA_DIST += %D%/llm-model.t
