SLOW_TESTS += %D%/hosted.t %D%/hosted-peers.t %D%/embed.t %D%/generate.t %D%/pipeline.t
EXTRA_DIST += %D%/embed_golden.py %D%/embed_golden.ndjson
