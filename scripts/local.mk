dist_check_SCRIPTS += %D%/check-layers
TESTS += %D%/check-layers
dist_check_SCRIPTS += %D%/check-examples
TESTS += %D%/check-examples
EXTRA_DIST += %D%/dev %D%/quickstart %D%/bench-peers
EXTRA_DIST += %D%/fetch-models
dist_check_SCRIPTS += %D%/check-headers %D%/check-options
TESTS += %D%/check-headers %D%/check-options
include scripts/completion.mk
