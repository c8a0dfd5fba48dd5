/* topk: a binary heap with the worst item on top. */
#include "config.h"
#include "base/topk.h"
#include <math.h>
#include <stdbool.h>
#include "base/banned.h"

static bool worse(struct topk_item a, struct topk_item b)
{
	return a.score < b.score || (a.score == b.score && a.index > b.index);
}

/* Move v down from the free place i to where both its children are better. */
static void sift(struct topk_item *items, size_t n, size_t i, struct topk_item v)
{
	size_t child;

	while ((child = 2 * i + 1) < n) {
		if (child + 1 < n && worse(items[child + 1], items[child]))
			child++;
		if (!worse(items[child], v))
			break;
		items[i] = items[child];
		i = child;
	}
	items[i] = v;
}

void topk_init(struct topk *t, struct topk_item *items, size_t k)
{
	*t = (struct topk){ .items = items, .k = k };
}

void topk_push(struct topk *t, float score, uint64_t index)
{
	struct topk_item v = { score, index };
	size_t i;

	if (isnan(score) || !t->k)
		return;
	if (t->n < t->k) {
		for (i = t->n++; i && worse(v, t->items[(i - 1) / 2]); i = (i - 1) / 2)
			t->items[i] = t->items[(i - 1) / 2];
		t->items[i] = v;
	} else if (worse(t->items[0], v)) {
		sift(t->items, t->n, 0, v);
	}
}

float topk_floor(const struct topk *t)
{
	return t->n < t->k || !t->n ? -INFINITY : t->items[0].score;
}

void topk_sort(struct topk *t)
{
	for (size_t n = t->n; n > 1; n--) {
		struct topk_item last = t->items[n - 1];

		t->items[n - 1] = t->items[0];
		sift(t->items, n - 1, 0, last);
	}
}
