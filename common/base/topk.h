/*
 * topk: the k largest of a stream of (score, index), ties by the smaller index, in O(n log k).
 * The caller owns the memory of k items.
 */
#ifndef BASE_TOPK_H
#define BASE_TOPK_H

#include <stddef.h>
#include <stdint.h>

struct topk_item {
	float score;
	uint64_t index;
};
struct topk {
	struct topk_item *items; /* a heap, the worst first */
	size_t n, k;
};

void topk_init(struct topk *t, struct topk_item *items, size_t k);
/* NaN is never held. */
void topk_push(struct topk *t, float score, uint64_t index);
/* The score that a new one must beat or tie; -INFINITY while fewer than k are held. */
float topk_floor(const struct topk *t);
/* Sort best first; the heap is gone after that. */
void topk_sort(struct topk *t);

#endif
