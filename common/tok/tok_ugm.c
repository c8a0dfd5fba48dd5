/* Unigram: the segmentation whose scores have the largest sum (Viterbi, Kudo 2018); unknown characters cost 10 more than the
 * worst piece. */
#include "config.h"
#include "tok/tok_impl.h"

struct tok_best {
	double score;
	uint32_t start;
	int32_t id; /* -1: unknown */
};

static void scores(struct tok *t)
{
	double min = 0;
	bool any = false;

	for (size_t id = 0; id < t->n; id++) {
		if (t->attr[id] == TOK_USER)
			t->scores[id] = 0;
		if (t->attr[id] != TOK_NORMAL)
			continue;
		min = any && min < (double)t->scores[id] ? min : (double)t->scores[id];
		any = true;
	}
	t->unk_score = min - 10;
}

/* ---- the trie */

static inline struct tok_edge *edge(const struct tok *t, uint32_t node, char byte)
{
	uint64_t key = ((uint64_t)node << 8 | (uint8_t)byte) + 1;
	size_t i = hash_mix64(key) & t->edge_mask;

	while (t->edges[i].key && t->edges[i].key != key)
		i = (i + 1) & t->edge_mask;
	return &t->edges[i];
}

static int edges_room(struct tok *t, struct err *e)
{
	struct tok_edge *old = t->edges, *v;
	size_t cap = old ? (t->edge_mask + 1) * 2 : 1024;

	if (old && t->n_edges < t->edge_mask / 2)
		return 0;
	v = ckd_alloc(cap, sizeof *v);
	if (!v)
		return err_nomem(e);
	memset(v, 0, cap * sizeof *v);
	t->edges = v;
	for (size_t i = 0, n = old ? t->edge_mask + 1 : 0, mask = t->edge_mask = cap - 1; i < n; i++)
		if (old[i].key) {
			size_t k = hash_mix64(old[i].key) & mask;

			while (v[k].key)
				k = (k + 1) & mask;
			v[k] = old[i];
		}
	free(old);
	return 0;
}

static int add_text(struct tok *t, struct str s, int32_t id, struct err *e)
{
	uint32_t node = 0;

	for (size_t i = 0; i < s.n; i++) {
		struct tok_edge *x;

		if (edges_room(t, e))
			return -1;
		x = edge(t, node, s.p[i]);
		if (!x->key) {
			if (t->n_edges == UINT32_MAX)
				return err_set(e, ERR_OPEN, "the vocabulary is too large");
			*x = (struct tok_edge){ ((uint64_t)node << 8 | (uint8_t)s.p[i]) + 1, (uint32_t)++t->n_edges, -1 };
		}
		if (i + 1 == s.n)
			x->id = id;
		node = x->node;
	}
	return 0;
}

int tok_ugm_build(struct tok *t, struct err *e)
{
	scores(t);
	if (edges_room(t, e))
		return -1;
	for (size_t id = 0; id < t->n; id++) {
		enum tok_kind kind;
		struct str s = tok_key(t, (int32_t)id, &kind);

		/* of several with one text, the one that a look-up finds */
		if (kind == TOK_PLAIN && s.n && add_text(t, s, tok_lookup(t, s.p, s.n, TOK_PLAIN), e))
			return -1;
	}
	return 0;
}

/* ---- the best way */

static size_t char_len(uint8_t c)
{
	return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

static int room(struct tok_word *w, size_t n, struct err *e)
{
	struct tok_best *b;
	uint8_t *alive;

	if (n <= w->best_cap)
		return 0;
	b = ckd_realloc(w->best, n, sizeof *b);
	if (!b)
		return err_nomem(e);
	w->best = b;
	alive = realloc(w->alive, n);
	if (!alive)
		return err_nomem(e);
	w->alive = alive;
	w->best_cap = n;
	return 0;
}

/* What can follow position i; best[0] stands for byte `base` of the word. */
static void step(struct tok_best *best, size_t base, const struct tok *t, const char *p, size_t i, size_t n)
{
	const size_t one = i + char_len((uint8_t)p[i]);
	const double here = best[i - base].score;
	bool single = false;
	uint32_t node = 0;

	for (size_t j = i; j < n;) {
		const struct tok_edge *x = edge(t, node, p[j]);
		struct tok_best *b;
		double s;

		if (!x->key)
			break;
		node = x->node;
		if (++j < n && ((uint8_t)p[j] & 0xc0) == 0x80)
			continue; /* inside a character */
		if (x->id < 0)
			continue;
		b = &best[j - base];
		s = here + (double)t->scores[x->id];
		single |= j == one;
		if (b->start == UINT32_MAX || s > b->score)
			*b = (struct tok_best){ s, (uint32_t)i, x->id };
	}
	if (!single && (best[one - base].start == UINT32_MAX || here + t->unk_score > best[one - base].score))
		best[one - base] = (struct tok_best){ here + t->unk_score, (uint32_t)i, -1 };
}

/* The best way from `from` to `to`, into w. */
static int path(struct tok_word *w, size_t base, size_t from, size_t to, struct err *e)
{
	w->n = 0;
	for (size_t j = to; j > from; j = w->best[j - base].start) {
		const struct tok_best *b = &w->best[j - base];

		if (tok_word_push(w, b->id, b->start, j - b->start, e))
			return -1;
	}
	for (size_t i = 0; i < w->n / 2; i++) { /* it came from its end */
		struct tok_sym x = w->v[i];

		w->v[i] = w->v[w->n - 1 - i];
		w->v[w->n - 1 - i] = x;
	}
	return 0;
}

static void forget(struct tok_best *best, size_t n)
{
	for (size_t i = 0; i < n; i++)
		best[i] = (struct tok_best){ 0, UINT32_MAX, -1 };
}

int tok_ugm_word(struct tok_word *w, const struct tok *t, const char *p, size_t n, struct err *e)
{
	if (room(w, n + 1, e))
		return -1;
	forget(w->best, n + 1);
	for (size_t i = 0; i < n; i += char_len((uint8_t)p[i]))
		step(w->best, 0, t, p, i, n);
	return path(w, 0, 0, n, e) || tok_word_settle(w, t, p, e) ? -1 : 0;
}

/* ---- very long words: what all ways that are still open have in common is decided */

/* The last position that all ways to i and beyond come through; `top` is the last that may have been reached. */
static size_t common_origin(struct tok_word *w, size_t base, size_t i, size_t top)
{
	size_t open = 0, j;

	memset(w->alive, 0, top - base + 1);
	for (j = i; j <= top; j++)
		if (w->best[j - base].start != UINT32_MAX) {
			w->alive[j - base] = 1;
			open++;
		}
	for (j = top; open > 1; j--)
		if (w->alive[j - base]) {
			size_t from = w->best[j - base].start - base;

			open -= w->alive[from];
			w->alive[from] = 1;
		}
	while (!w->alive[j - base])
		j--;
	return j;
}

int tok_ugm_long(struct tok_word *w, const struct tok *t, const char *p, size_t n, tok_sink *sink, void *arg, struct err *e)
{
	const size_t reach = t->max_len > 4 ? t->max_len : 4; /* of a step */
	size_t base = 0, span = TOK_LONG, i = 0, known = 0;

	for (;;) {
		size_t stop = n - base > span ? base + span : n, top = n - stop > reach ? stop + reach : n, origin;

		if (room(w, top - base + 1, e))
			return -1;
		if (known <= top)
			forget(&w->best[known - base], top + 1 - known);
		known = top + 1;
		for (; i < stop; i += char_len((uint8_t)p[i]))
			step(w->best, base, t, p, i, n);
		origin = i < n ? common_origin(w, base, i, top) : n;
		if (origin > base && (path(w, base, base, origin, e) || sink(arg, w->v, w->n, e)))
			return -1;
		if (origin == n)
			return 0;
		if (origin - base < span / 2)
			span *= 2;
		memmove(w->best, &w->best[origin - base], (known - origin) * sizeof *w->best);
		base = origin;
	}
}
