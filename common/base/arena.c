/* arena: a list of blocks, each at least twice the one before, so that after warm-up one block
 * serves. */
#include "config.h"
#include "base/arena.h"
#include <stdint.h>
#include "base/banned.h"

#define FIRST_BLOCK ((size_t)4096)

struct arena_block {
	struct arena_block *next; /* older */
	size_t cap;
	_Alignas(16) unsigned char data[];
};

void arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){ .max = max };
}

static size_t block_size(size_t cap)
{
	return sizeof(struct arena_block) + cap;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct arena_block *b;
	size_t cap;

	if (n > SIZE_MAX / 4)
		return NULL;
	n = (n + 15) & ~(size_t)15;
	if (n > a->cap - a->used || !a->head) {
		cap = a->cap ? a->cap * 2 : FIRST_BLOCK;
		cap = cap < n ? n : cap;
		if (a->total > a->max || cap > a->max - a->total)
			cap = n; /* the rest may still do */
		if (a->total > a->max || cap > a->max - a->total)
			return NULL;
		b = malloc(block_size(cap));
		if (!b)
			return NULL;
		b->next = a->head;
		b->cap = cap;
		a->head = b;
		a->used = 0;
		a->cap = cap;
		a->total += cap;
	}
	a->used += n;
	return a->head->data + (a->used - n);
}

struct str arena_str(struct arena *a, struct str s)
{
	char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;

	if (!p)
		return (struct str){ NULL, 0 };
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = 0;
	return (struct str){ p, s.n };
}

void arena_reset(struct arena *a)
{
	struct arena_block *keep = a->head, *b, *next;

	for (b = a->head; b; b = b->next)
		if (b->cap > keep->cap)
			keep = b;
	for (b = a->head; b; b = next) {
		next = b->next;
		if (b != keep)
			free(b);
	}
	a->head = keep;
	if (keep)
		keep->next = NULL;
	a->used = 0;
	a->cap = a->total = keep ? keep->cap : 0;
}

void arena_release(struct arena *a)
{
	arena_reset(a);
	free(a->head);
	arena_init(a, a->max);
}
