EXTRA_DIST += %D%/check-layers
