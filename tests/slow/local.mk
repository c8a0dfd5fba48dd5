SLOW_TESTS += %D%/embed.t %D%/generate.t %D%/pipeline.t
EXTRA_DIST += %D%/embed_golden.py %D%/embed_golden.ndjson
