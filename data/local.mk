EXTRA_DIST += %D%/demo/bees.txt %D%/demo/bread.txt %D%/demo/glaciers.txt %D%/demo/lighthouse.txt \
	%D%/demo/salt.txt %D%/demo/tides.txt %D%/demo/questions.ndjson
dist_pkgdata_DATA = %D%/prices.ndjson
EXTRA_DIST += %D%/unicode/gen-unicode
# llm-generate -T finds these by name
templatesdir = $(pkgdatadir)/templates
dist_templates_DATA = %D%/templates/rag.jinja
