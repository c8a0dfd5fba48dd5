/*
 * index_search: the exact k nearest from an int8 scan.
 *
 * A stored vector x (length 1) has codes c, scale s and e = |x - s c|. A query q is quantised alike to q' with s_q. By
 * Cauchy-Schwarz |q.x - q'.(s c)| <= |q| e + |q - q'| (|x| + e); to that come the rounding of the f32 score (any summation
 * order: d u / (1 - d u), u = 2^-24) and of the approximate score a (three roundings). With b the sum of these, the f32 score
 * lies in [a - b, a + b]: every vector with a + b >= the k-th largest a - b is scored exactly, no other can be among the k.
 *
 * Workers share out the segments, and all queries of a call go over a segment while it is in the cache. Then they share
 * out the segments that hold candidates, for the exact scores, and then the queries, for the items.
 */
#include "config.h"
#include "store/store_impl.h"
#include <math.h>
#include <pthread.h>

#define PACK_FROM 8  /* queries: fewer do not pay for packing a segment */
#define SLACK 512    /* candidates a worker keeps over twice k before it looks which are left */

struct cand {
	float up, low; /* bounds of the score; both are the score itself once it is known */
	uint32_t seg;  /* of the view */
	int32_t slot;
	int64_t item;
	struct str id;
};

/* The candidates of one query, one worker's at first, then everybody's. */
struct pick {
	struct cand *v;
	size_t n, cap, limit;
	struct topk lows;
	struct topk_item *items; /* [k] */
};

struct scan {
	struct store_view *view;
	struct pick *picks; /* [workers, n] */
	int8_t *codes;      /* [n, row] */
	float *vecs;        /* [n, dims], length 1 */
	struct kern_bound *bounds;
	size_t n, k, row;
	uint32_t dims;
	float min_score;
	/* candidates in order of their segment */
	struct place { uint32_t query, cand; } *places;
	size_t *starts;     /* [n_segs + 1] into places */
	/* what is found */
	struct store_hits *out;
	struct arena *a;
	pthread_mutex_t lock; /* of a */
};

/* ---- queries ------------------------------------------------------------------------------------ */

static int query_init(struct scan *s, size_t i, const float *q, struct err *e)
{
	struct kern_bound *b = &s->bounds[i];
	int8_t *codes = s->codes + i * s->row;
	float *vec = s->vecs + i * s->dims;
	double gamma = s->dims * 0x1p-24 / (1 - s->dims * 0x1p-24);
	int32_t sum = 0;
	float err;

	if (store_normalise(vec, q, s->dims, e))
		return -1;
	store_quantize((uint8_t *)codes, &b->scale, &err, vec, s->dims);
	for (size_t k = 0; k < s->row; k++) {
		codes[k] = (int8_t)((uint8_t)codes[k] - 128);
		sum += codes[k];
	}
	b->bias = 128 * sum; /* stored codes carry + 128 */
	/* lengths of stored and query vectors are 1 within 1e-4; the rounding terms of a and of b itself are in 2e-6 */
	b->c_error = (float)(1.0001 + (double)err);
	b->c_const = (float)((double)err * 1.0001 + gamma * 1.0003 + 2e-6);
	return 0;
}

/* ---- candidates ---------------------------------------------------------------------------------- */

static int pick_push(struct pick *p, const struct cand *c, struct err *e)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 64;
		struct cand *v = ckd_realloc(p->v, cap, sizeof *v);

		if (!v)
			return err_nomem(e);
		p->v = v;
		p->cap = cap;
	}
	p->v[p->n++] = *c;
	return 0;
}

static float pick_floor(const struct scan *s, const struct pick *p)
{
	return fmaxf(topk_floor(&p->lows), s->min_score);
}

static void pick_prune(const struct scan *s, struct pick *p)
{
	float floor = pick_floor(s, p);
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].up >= floor)
			p->v[n++] = p->v[i];
	p->n = n;
	p->limit = 2 * (n > s->k ? n : s->k) + SLACK;
}

/* ---- the scan ------------------------------------------------------------------------------------ */

/* One query's sums over a segment: what may be among its k goes to the candidates. */
static int judge(const struct scan *s, struct pick *p, size_t q, uint32_t seg, const int32_t *dots, const uint8_t *codes,
		 struct err *e)
{
	const float *scale = (const void *)(codes + STORE_SLOTS * s->row), *error = scale + STORE_SLOTS;
	struct kern_reached near[STORE_SLOTS];
	struct kern_bound b = s->bounds[q];
	int64_t n;

	b.floor = pick_floor(s, p);
	n = kern_reach(near, dots, scale, error, STORE_SLOTS, &b);
	for (int64_t i = 0; i < n; i++) {
		struct cand c = { .up = near[i].up, .low = near[i].low, .seg = seg, .slot = near[i].row };

		if (!(c.up >= b.floor) || !(scale[c.slot] > 0)) /* a dead slot is all zero */
			continue;
		topk_push(&p->lows, c.low, 0);
		b.floor = pick_floor(s, p);
		if (pick_push(p, &c, e))
			return -1;
		if (p->n > p->limit)
			pick_prune(s, p);
	}
	return 0;
}

static int scan_codes(const struct scan *s, unsigned worker, uint32_t seg, struct err *e)
{
	struct store_reader *r = &s->view->readers[worker];
	struct pick *picks = s->picks + worker * s->n;
	const uint8_t *codes = store_view_codes(s->view, r, seg, e);
	const int64_t row = (int64_t)s->row;
	size_t step = s->n >= PACK_FROM ? STORE_QUERIES : 1;

	if (!codes)
		return -1;
	if (step > 1)
		kern_pack_u8(r->packed, codes, row, STORE_SLOTS, row);
	for (size_t q = 0; q < s->n; q += step) {
		size_t n = s->n - q < step ? s->n - q : step;

		if (step > 1)
			kern_mul_u8s8(r->dots, STORE_SLOTS, s->codes + q * s->row, row, (int64_t)n, r->packed, STORE_SLOTS,
				      row);
		else
			kern_dots_u8s8(r->dots, s->codes + q * s->row, codes, row, STORE_SLOTS, row);
		for (size_t i = 0; i < n; i++)
			if (judge(s, &picks[q + i], q + i, seg, r->dots + i * STORE_SLOTS, codes, e))
				return -1;
	}
	return 0;
}

static void scan_segment(void *arg, unsigned worker, size_t i)
{
	struct scan *s = arg;
	struct store_reader *r = &s->view->readers[worker];

	if (!r->failed)
		r->failed = scan_codes(s, worker, (uint32_t)i, &r->err) != 0;
}

/* All workers' candidates whose upper bound reaches the k-th best lower bound, in the first worker's pick. */
static int gather(struct scan *s, size_t q, struct err *e)
{
	struct pick *p = &s->picks[q];

	for (unsigned w = 1; w < s->view->n; w++) {
		struct pick *o = &s->picks[w * s->n + q];

		for (size_t i = 0; i < o->lows.n; i++)
			topk_push(&p->lows, o->lows.items[i].score, 0);
		for (size_t i = 0; i < o->n; i++)
			if (o->v[i].up >= pick_floor(s, p) && pick_push(p, &o->v[i], e))
				return -1;
		free(o->v);
		o->v = NULL;
	}
	pick_prune(s, p);
	return 0;
}

/* ---- the verdict ------------------------------------------------------------------------------------- */

/* Sort the candidates of all queries by segment, by counting. */
static int by_segment(struct scan *s, struct err *e)
{
	size_t total = 0, at = 0;

	for (size_t q = 0; q < s->n; q++)
		total += s->picks[q].n;
	s->places = ckd_alloc(total ? total : 1, sizeof *s->places);
	s->starts = calloc(s->view->n_segs + 1, sizeof *s->starts);
	if (!s->places || !s->starts)
		return err_nomem(e);
	for (size_t q = 0; q < s->n; q++)
		for (size_t i = 0; i < s->picks[q].n; i++)
			s->starts[s->picks[q].v[i].seg]++;
	for (size_t g = 0; g <= s->view->n_segs; g++) {
		at += s->starts[g];
		s->starts[g] = at; /* the end of g; what follows counts it down to its start */
	}
	for (size_t q = s->n; q-- > 0;)
		for (size_t i = s->picks[q].n; i-- > 0;)
			s->places[--s->starts[s->picks[q].v[i].seg]] = (struct place){ (uint32_t)q, (uint32_t)i };
	return 0;
}

/* The exact score of every candidate in a segment. */
static int score(const struct scan *s, struct store_reader *r, size_t g, struct err *e)
{
	struct store_slot slots[STORE_SLOTS];
	int bytes = (int)(s->dims * sizeof(float));

	if (s->starts[g] == s->starts[g + 1])
		return 0;
	if (store_slots(slots, r->ix, s->view->segs[g], e) ||
	    store_blob_to(&r->truth, r->ix, "truth", s->view->segs[g], store_truth_bytes(s->dims), e))
		return -1;
	for (size_t i = s->starts[g]; i < s->starts[g + 1]; i++) {
		const struct place *p = &s->places[i];
		struct cand *c = &s->picks[p->query].v[p->cand];

		if (sqlite3_blob_read(r->truth, r->row, bytes, c->slot * bytes))
			return store_fail(r->ix, e, "reading a vector");
		c->item = slots[c->slot].item;
		c->low = c->up = kern_dot(s->vecs + p->query * s->dims, r->row, (int64_t)s->dims);
	}
	return 0;
}

static void score_segment(void *arg, unsigned worker, size_t g)
{
	struct scan *s = arg;
	struct store_reader *r = &s->view->readers[worker];

	if (!r->failed)
		r->failed = score(s, r, g, &r->err) != 0;
}

static int by_score(const void *x, const void *y)
{
	const struct cand *a = x, *b = y;

	if (a->low != b->low)
		return a->low > b->low ? -1 : 1;
	return str_cmp(a->id, b->id);
}

/* A candidate's row of the table of items; reset it. */
static sqlite3_stmt *item_row(struct store_index *ix, int64_t item, struct err *e)
{
	sqlite3_stmt *st = store_stmt(ix, STORE_S_ITEM, e);

	if (!st)
		return NULL;
	sqlite3_bind_int64(st, 1, item);
	if (sqlite3_step(st) == SQLITE_ROW)
		return st;
	sqlite3_reset(st);
	err_set(e, ERR_OPEN, "index %s: damaged: a vector without its item; run llm-index check", ix->path);
	return NULL;
}

/* The ids of the candidates from place `from` on, which all have one score: they decide who is in. */
static int read_ids(struct scan *s, struct store_index *ix, struct pick *p, size_t from, struct err *e)
{
	for (size_t i = from; i < p->n; i++) {
		sqlite3_stmt *st = item_row(ix, p->v[i].item, e);
		int rc;

		if (!st)
			return -1;
		pthread_mutex_lock(&s->lock);
		rc = store_column(&p->v[i].id, st, 0, s->a, e);
		pthread_mutex_unlock(&s->lock);
		sqlite3_reset(st);
		if (rc)
			return -1;
	}
	return 0;
}

static int by_hit(const void *x, const void *y)
{
	const struct store_hit *a = x, *b = y;

	if (a->score != b->score)
		return a->score > b->score ? -1 : 1;
	return str_cmp(a->item.id, b->item.id);
}

/* Those under the k-th score go, its ties are decided by their ids, the rest become hits. */
static int fill(struct scan *s, struct store_index *ix, size_t q, struct err *e)
{
	struct pick *p = &s->picks[q];
	struct store_hits *out = &s->out[q];

	topk_init(&p->lows, p->items, s->k);
	for (size_t i = 0; i < p->n; i++)
		topk_push(&p->lows, p->v[i].low, 0);
	pick_prune(s, p);
	if (p->n > s->k) {
		size_t from = 0;

		qsort(p->v, p->n, sizeof *p->v, by_score);
		while (p->v[from].low > p->v[s->k].low)
			from++;
		if (read_ids(s, ix, p, from, e))
			return -1;
		qsort(p->v + from, p->n - from, sizeof *p->v, by_score);
		p->n = s->k;
	}
	pthread_mutex_lock(&s->lock);
	out->v = arena_alloc(s->a, (p->n ? p->n : 1) * sizeof *out->v);
	pthread_mutex_unlock(&s->lock);
	if (!out->v)
		return err_nomem(e);
	for (; out->n < p->n; out->n++) {
		sqlite3_stmt *st = item_row(ix, p->v[out->n].item, e);
		int rc;

		if (!st)
			return -1;
		out->v[out->n].score = p->v[out->n].low;
		pthread_mutex_lock(&s->lock);
		rc = store_item_of(&out->v[out->n].item, st, s->a, e);
		pthread_mutex_unlock(&s->lock);
		sqlite3_reset(st);
		if (rc)
			return -1;
	}
	if (out->n)
		qsort(out->v, out->n, sizeof *out->v, by_hit);
	return 0;
}

static void fill_query(void *arg, unsigned worker, size_t q)
{
	struct scan *s = arg;
	struct store_reader *r = &s->view->readers[worker];

	if (!r->failed)
		r->failed = fill(s, r->ix, q, &r->err) != 0;
}

/* ---- all of it ----------------------------------------------------------------------------------------- */

static int run(struct scan *s, os_pool_fn *fn, size_t n, struct os_pool *pool, struct err *e)
{
	if (pool)
		os_pool_run(pool, fn, s, n);
	else
		for (size_t i = 0; i < n; i++)
			fn(s, 0, i);
	for (unsigned w = 0; w < s->view->n; w++)
		if (s->view->readers[w].failed) {
			if (e)
				*e = s->view->readers[w].err;
			return -1;
		}
	return 0;
}

static int search(struct scan *s, const float *q, struct os_pool *pool, struct err *e)
{
	size_t slots = s->view->n_segs * STORE_SLOTS;

	s->k = s->k < slots ? s->k : slots;
	if (!s->k)
		return 0;
	s->picks = calloc(s->view->n * s->n, sizeof *s->picks);
	s->codes = ckd_alloc(s->n, s->row);
	s->vecs = ckd_alloc(s->n, s->dims * sizeof *s->vecs);
	s->bounds = ckd_alloc(s->n, sizeof *s->bounds);
	if (!s->picks || !s->codes || !s->vecs || !s->bounds)
		return err_nomem(e);
	for (size_t i = 0; i < s->n; i++)
		if (query_init(s, i, q + i * s->dims, e))
			return -1;
	for (size_t i = 0; i < s->view->n * s->n; i++) {
		struct pick *p = &s->picks[i];

		p->items = ckd_alloc(s->k, sizeof *p->items);
		if (!p->items)
			return err_nomem(e);
		topk_init(&p->lows, p->items, s->k);
		p->limit = 2 * s->k + SLACK;
	}
	if (run(s, scan_segment, s->view->n_segs, pool, e))
		return -1;
	for (size_t i = 0; i < s->n; i++)
		if (gather(s, i, e))
			return -1;
	if (by_segment(s, e) || run(s, score_segment, s->view->n_segs, pool, e) || run(s, fill_query, s->n, pool, e))
		return -1;
	return 0;
}

int store_index_search(struct store_hits *out, struct store_index *ix, const float *q, size_t n, size_t dims, size_t k,
		       float min_score, struct os_pool *pool, struct arena *a, struct err *e)
{
	struct scan s = { .view = &ix->view, .n = n, .k = k, .min_score = min_score, .out = out, .a = a,
			  .lock = PTHREAD_MUTEX_INITIALIZER };
	int rc = -1;

	memset(out, 0, n * sizeof *out);
	if (store_load_pin(ix, e))
		return -1;
	if (!ix->dims || !n || !k)
		return 0; /* an empty index has no hits */
	if (dims != ix->dims)
		return err_set(e, ERR_DIMENSION_MISMATCH, "the query has %zu dimensions, the index %u", dims, ix->dims);
	s.dims = ix->dims;
	s.row = store_code_row(s.dims);
	if (!store_view_begin(ix, pool ? os_pool_size(pool) : 1, n, e))
		rc = search(&s, q, pool, e);
	store_view_end(ix);
	for (size_t i = 0; s.picks && i < s.view->n * n; i++) {
		free(s.picks[i].v);
		free(s.picks[i].items);
	}
	free(s.picks);
	free(s.codes);
	free(s.vecs);
	free(s.bounds);
	free(s.places);
	free(s.starts);
	return rc;
}
