/* embed: what the files of llm-embed share. */
#ifndef TOOLS_EMBED_H
#define TOOLS_EMBED_H

#include "cli/cli.h"
#include "llm/llm.h"
#include "record/record.h"

struct embed_rerank {
	const char *field; /* of the query; NULL: `query` or the record's text */
	uint32_t top;      /* keep so many; 0: all */
	struct buf b;
};
/* For llm_run(): the question of a record, its answer but for `calls`. arg is a struct
 * embed_rerank. */
int embed_rerank_begin(void *arg, struct llm_ask *q, struct record *r, struct err *e);
int embed_rerank_end(void *arg, struct llm_ask *q, struct record *r, struct err *e);

#endif
