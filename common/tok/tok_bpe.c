/*
 * Byte pair encoding of one word: the pair with the lowest key is merged, the leftmost of equals, until there is none.
 * The key of a pair is its rank in the list of merges (GPT-2 and its kin) or, in SentencePiece's way, the score of the
 * joined text in the vocabulary.
 */
#include "config.h"
#include "tok/tok_impl.h"
#include "tok/unicode_impl.h"
#include "os/os.h"

#define SHORT 48 /* symbols up to which a scan for the smallest beats a heap */

void tok_word_release(struct tok_word *w)
{
	free(w->v);
	free(w->nodes);
	free(w->heap);
	free(w->tail);
	free(w->best);
	free(w->alive);
	*w = (struct tok_word){ 0 };
}

int tok_word_push(struct tok_word *w, int32_t id, size_t start, size_t len, struct err *e)
{
	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 64;
		struct tok_sym *v = ckd_realloc(w->v, cap, sizeof *v);

		if (!v)
			return err_nomem(e);
		w->v = v;
		w->cap = cap;
	}
	w->v[w->n++] = (struct tok_sym){ id, (uint32_t)start, (uint32_t)len };
	return 0;
}

/* (key << 32 | id) of the merge of two neighbours. */
static inline uint64_t pair_of(const struct tok *t, const char *p, const struct tok_sym *a, const struct tok_sym *b)
{
	size_t n;
	int32_t id;

	if (t->merges)
		return a->id < 0 || b->id < 0 ? TOK_NO_MERGE : tok_merge_of(t, (uint32_t)a->id, (uint32_t)b->id);
	n = (size_t)a->len + b->len;
	if (n > t->max_len)
		return TOK_NO_MERGE;
	id = tok_lookup(t, p + a->start, n, TOK_PLAIN);
	return id < 0 ? TOK_NO_MERGE : (uint64_t)t->keys[id] << 32 | (uint32_t)id;
}

/* The same before anything is merged: symbols are bytes in most vocabularies. */
static inline uint64_t first_pair_of(const struct tok *t, const char *p, const struct tok_sym *a)
{
	if (t->byte_pairs && a[0].len + a[1].len == 2)
		return t->byte_pairs[(uint8_t)p[a[0].start] << 8 | (uint8_t)p[a[1].start]];
	return pair_of(t, p, &a[0], &a[1]);
}

static void merge_short(struct tok_word *w, const struct tok *t, const char *p)
{
	uint64_t pair[SHORT];
	struct tok_sym *v = w->v;
	size_t n = w->n;

	for (size_t i = 0; i + 1 < n; i++)
		pair[i] = first_pair_of(t, p, &v[i]);
	while (n > 1) {
		uint64_t best = TOK_NO_MERGE;
		size_t at = 0;

		for (size_t i = 0; i + 1 < n; i++)
			if (pair[i] < best) {
				best = pair[i];
				at = i;
			}
		if (best == TOK_NO_MERGE)
			break;
		v[at].id = (int32_t)(uint32_t)best;
		v[at].len += v[at + 1].len;
		n--;
		memmove(&v[at + 1], &v[at + 2], (n - at - 1) * sizeof *v);
		if (at + 1 < n) {
			memmove(&pair[at + 1], &pair[at + 2], (n - at - 2) * sizeof *pair);
			pair[at] = pair_of(t, p, &v[at], &v[at + 1]);
		}
		if (at)
			pair[at - 1] = pair_of(t, p, &v[at - 1], &v[at]);
	}
	w->n = n;
}

/* ---- long words: a heap of (key, position) with entries that are dropped when they are out of date */

struct tok_node { /* a symbol, all that a merge touches in half a line */
	uint64_t pair; /* with the next one */
	uint32_t prev, next;
	struct tok_sym sym; /* len 0: gone */
};

static int long_room(struct tok_word *w, size_t n, struct err *e)
{
	struct tok_node *v;
	uint64_t *q;

	if (n <= w->long_cap)
		return 0;
	if (!(v = ckd_realloc(w->nodes, n, sizeof *v)))
		return err_nomem(e);
	w->nodes = v;
	/* each merge takes one entry out and puts at most two in */
	if (!(q = ckd_realloc(w->heap, 2 * n + 2, sizeof *q)))
		return err_nomem(e);
	w->heap = q;
	w->long_cap = n;
	return 0;
}

static size_t heap_push(uint64_t *h, size_t n, uint64_t x)
{
	size_t i = n;

	for (; i && h[(i - 1) / 4] > x; i = (i - 1) / 4)
		h[i] = h[(i - 1) / 4];
	h[i] = x;
	return n + 1;
}

/* Let x sink from the hole at i; four children a node, for fewer lines touched. */
static void heap_sink(uint64_t *h, size_t n, size_t i, uint64_t x)
{
	for (;;) {
		size_t c = 4 * i + 1, end = c + 4 < n ? c + 4 : n, best = c;

		if (c >= n)
			break;
		for (size_t k = c + 1; k < end; k++)
			if (h[k] < h[best])
				best = k;
		if (h[best] >= x)
			break;
		h[i] = h[best];
		i = best;
	}
	h[i] = x;
}

static inline uint64_t heap_entry(uint64_t pair, size_t i)
{
	return (pair & ~(uint64_t)UINT32_MAX) | i;
}

/* The merge of nodes i and its next one; the new neighbours go into the heap. */
static size_t merge_nodes(struct tok_node *v, size_t n, size_t i, uint64_t *heap, size_t heap_n, const struct tok *t,
			  const char *p)
{
	size_t j = v[i].next, around[2] = { v[i].prev, i };

	v[i].sym.id = (int32_t)(uint32_t)v[i].pair;
	v[i].sym.len += v[j].sym.len;
	v[j].sym.len = 0;
	v[j].pair = v[i].pair = TOK_NO_MERGE;
	v[i].next = v[j].next;
	if (v[j].next < n)
		v[v[j].next].prev = (uint32_t)i;
	for (int s = 0; s < 2; s++) {
		size_t a = around[s], b;

		if (a >= n || (b = v[a].next) >= n)
			continue;
		v[a].pair = pair_of(t, p, &v[a].sym, &v[b].sym);
		if (v[a].pair != TOK_NO_MERGE)
			heap_n = heap_push(heap, heap_n, heap_entry(v[a].pair, a));
	}
	return heap_n;
}

static int merge_long(struct tok_word *w, const struct tok *t, const char *p, struct err *e)
{
	size_t n = w->n, heap_n = 0, k = 0, steps = 0;
	struct tok_node *v;
	uint64_t *heap;

	if (long_room(w, n, e))
		return -1;
	v = w->nodes;
	heap = w->heap;
	for (size_t i = 0; i < n; i++) {
		uint64_t pair = i + 1 < n ? first_pair_of(t, p, &w->v[i]) : TOK_NO_MERGE;

		/* the first has no previous one: UINT32_MAX */
		v[i] = (struct tok_node){ pair, (uint32_t)i - 1, (uint32_t)i + 1, w->v[i] };
		if (pair != TOK_NO_MERGE)
			heap[heap_n++] = heap_entry(pair, i);
	}
	for (size_t i = heap_n / 4 + 1; i-- > 0;)
		if (i < heap_n)
			heap_sink(heap, heap_n, i, heap[i]);
	while (heap_n) {
		uint64_t top = heap[0];
		size_t i = (uint32_t)top;

		/* a word of many megabytes takes seconds */
		if (!(++steps & 0xffff) && os_stop_signal())
			return os_stopped(e);
		heap_n--;
		if (heap_n)
			heap_sink(heap, heap_n, 0, heap[heap_n]);
		if (v[i].pair != TOK_NO_MERGE && !((v[i].pair ^ top) >> 32))
			heap_n = merge_nodes(v, n, i, heap, heap_n, t, p);
	}
	for (size_t i = 0; i < n; i = v[i].next)
		w->v[k++] = v[i].sym;
	w->n = k;
	return 0;
}

/* ---- from bytes or characters to symbols, and what is left unknown to byte tokens or unk */

int tok_word_unknown(struct tok_word *w, const struct tok *t, const char *p, size_t at, size_t len, struct err *e)
{
	bool bytes = t->byte_fallback;

	for (size_t i = 0; bytes && i < len; i++)
		bytes = t->byte_id[(uint8_t)p[at + i]] >= 0;
	if (bytes) {
		for (size_t i = 0; i < len; i++)
			if (tok_word_push(w, t->byte_id[(uint8_t)p[at + i]], at + i, 1, e))
				return -1;
		return 0;
	}
	if (t->unk < 0) /* nothing stands for it: it is lost, as in the reference */
		return 0;
	if (t->fuse_unk && w->n && w->v[w->n - 1].id == t->unk) {
		w->v[w->n - 1].len += (uint32_t)len;
		return 0;
	}
	return tok_word_push(w, t->unk, at, len, e);
}

static int split_symbols(struct tok_word *w, const struct tok *t, const char *p, size_t n, struct err *e)
{
	for (size_t i = 0, j; i < n; i = j) {
		int32_t id;

		j = i + 1;
		if (t->byte_level) {
			id = t->byte_id[(uint8_t)p[i]];
		} else {
			while (j < n && ((uint8_t)p[j] & 0xc0) == 0x80)
				j++;
			id = tok_lookup(t, p + i, j - i, TOK_PLAIN);
		}
		if (id < 0 && t->merges) {
			if (tok_word_unknown(w, t, p, i, j - i, e))
				return -1;
		} else if (tok_word_push(w, id, i, j - i, e)) {
			return -1;
		}
	}
	return 0;
}

int tok_word_settle(struct tok_word *w, const struct tok *t, const char *p, struct err *e)
{
	size_t i = 0, n = w->n;
	struct tok_sym *tail;
	int rc = 0;

	while (i < n && w->v[i].id >= 0)
		i++;
	if (i == n)
		return 0;
	tail = ckd_alloc(n - i, sizeof *tail);
	if (!tail)
		return err_nomem(e);
	memcpy(tail, w->v + i, (n - i) * sizeof *tail);
	w->n = i;
	for (size_t k = 0; !rc && k < n - i; k++)
		rc = tail[k].id < 0 ? tok_word_unknown(w, t, p, tail[k].start, tail[k].len, e) :
				      tok_word_push(w, tail[k].id, tail[k].start, tail[k].len, e);
	free(tail);
	return rc;
}

static int bpe(struct tok_word *w, const struct tok *t, const char *p, size_t n, struct err *e)
{
	w->n = 0;
	if (split_symbols(w, t, p, n, e))
		return -1;
	if (w->n <= SHORT)
		merge_short(w, t, p);
	else
		return merge_long(w, t, p, e);
	return 0;
}

int tok_bpe_word(struct tok_word *w, const struct tok *t, const char *p, size_t n, struct err *e)
{
	w->n = 0;
	if (t->ignore_merges || (t->newline_runs && p[0] == '\n')) {
		int32_t id = n <= t->max_len ? tok_lookup(t, p, n, TOK_PLAIN) : -1;

		if (id >= 0)
			return tok_word_push(w, id, 0, n, e);
	}
	return bpe(w, t, p, n, e) || (!t->merges && tok_word_settle(w, t, p, e)) ? -1 : 0;
}

/* ---- very long words
 *
 * A sequence of tokens is what merging makes of their text exactly when each two neighbours are what it makes of theirs.
 * (Restricted to two neighbours, the merges of the whole and of the pair alone are the same ones in the same order up to
 * the first that crosses the border between them, so that one crosses if and only if the other does.) So a window that
 * begins where a token of the one before began may take over at any token that both have: all neighbours are then
 * neighbours in one of the two.
 */

static int keep_tail(struct tok_word *w, size_t from, size_t at, struct err *e)
{
	size_t n = w->n - from;

	if (n > w->tail_cap) {
		struct tok_sym *v = ckd_realloc(w->tail, n, sizeof *v);

		if (!v)
			return err_nomem(e);
		w->tail = v;
		w->tail_cap = n;
	}
	for (size_t i = 0; i < n; i++) {
		w->tail[i] = w->v[from + i];
		w->tail[i].start += (uint32_t)at;
	}
	return 0;
}

/* The first token that the tail has too: its places in the tail and in w->v, whose text begins at `at`. */
static bool meet(size_t *in_tail, size_t *in_word, const struct tok_word *w, size_t n_tail, size_t at)
{
	size_t i = 0, j = 0;

	while (i < n_tail && j < w->n) {
		const struct tok_sym *a = &w->tail[i], *b = &w->v[j];
		size_t start = b->start + at;

		if (a->start == start && a->len == b->len && a->id == b->id) {
			*in_tail = i;
			*in_word = j;
			return true;
		}
		if (a->start <= start)
			i++;
		if (start <= a->start)
			j++;
	}
	return false;
}

static int put(struct tok_sym *v, size_t n, size_t at, tok_sink *sink, void *arg, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		v[i].start += (uint32_t)at;
	return sink(arg, v, n, e);
}

int tok_bpe_long(struct tok_word *w, const struct tok *t, const char *p, size_t n, size_t window, tok_sink *sink, void *arg,
		 struct err *e)
{
	const struct str whole = { p, n };
	size_t n_tail = 0;

	for (size_t at = 0;;) {
		size_t end = n - at > window + window / 2 ? utf8_border(whole, at + window) : n, first = 0, k, i;

		if (bpe(w, t, p + at, end - at, e))
			return -1;
		if (n_tail && !meet(&i, &first, w, n_tail, at))
			return 1;
		if (n_tail && sink(arg, w->tail, i, e))
			return -1;
		if (end == n)
			return put(w->v + first, w->n - first, at, sink, arg, e);
		for (k = w->n; k && w->v[k - 1].start > end - at - window / 8; k--)
			;
		if (k <= first || k == w->n)
			return 1;
		n_tail = w->n - k;
		if (keep_tail(w, k, at, e) || put(w->v + first, k - first, at, sink, arg, e))
			return -1;
		at = w->tail[0].start;
	}
}
