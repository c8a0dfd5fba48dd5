EXTRA_DIST += %D%/check-layers
dist_check_SCRIPTS += %D%/check-examples
TESTS += %D%/check-examples
EXTRA_DIST += %D%/dev %D%/quickstart
EXTRA_DIST += %D%/fetch-models
