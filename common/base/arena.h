/* arena: memory of one record or one job, given back all at once. Not shared between threads. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/err.h"
#include "base/str.h"

struct arena_block;
struct arena {
	struct arena_block *head; /* newest first */
	size_t used, cap;         /* of the newest block */
	size_t total, max;        /* bytes held; limit */
};

void arena_init(struct arena *a, size_t max);
/* 16-byte aligned, not zeroed; NULL when there is no more (an ERR_NOMEM for the caller to report). */
void *arena_alloc(struct arena *a, size_t n);
/* A copy with a NUL behind it; p is NULL when there is no memory. */
struct str arena_str(struct arena *a, struct str s);
/* Forget the content, keep the largest block for the next record. */
void arena_reset(struct arena *a);
void arena_release(struct arena *a);

#endif
