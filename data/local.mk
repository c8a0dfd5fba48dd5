EXTRA_DIST += %D%/demo/bees.txt %D%/demo/bread.txt %D%/demo/glaciers.txt %D%/demo/lighthouse.txt \
	%D%/demo/salt.txt %D%/demo/tides.txt %D%/demo/questions.ndjson %D%/templates/rag.jinja
dist_pkgdata_DATA = %D%/prices.ndjson
EXTRA_DIST += %D%/unicode/gen-unicode
