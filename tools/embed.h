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

/* What a record wants beyond its text, and lines of the Batch API. */
struct embed_batch {
	struct llm_batch b;
	bool pairs;  /* the model scores pairs of texts, it makes no vectors */
	bool base64; /* form of vectors in records that do not say */
	struct buf body;
};
/* Is it a Batch line? Then q is its question; else the `params` of the record are read. */
int embed_batch_begin(bool *is, struct embed_batch *x, struct llm_ask *q, struct record *r, struct err *e);
/* Writes the answer of such a line down. */
int embed_batch_end(struct embed_batch *x, struct llm_ask *q, struct record *r, struct err *e);
/* Was it a Batch line; the form of its vectors. */
bool embed_is_batch(const struct llm_ask *q);
bool embed_is_base64(const struct llm_ask *q);

#endif
