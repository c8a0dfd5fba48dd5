/*
 * index_search: the exact k nearest from an int8 scan.
 *
 * A stored vector x (length 1) has codes c, scale s and e = |x - s c|. A query q is quantised alike to q' with s_q. By
 * Cauchy-Schwarz |q.x - q'.(s c)| <= |q| e + |q - q'| (|x| + e); to that come the rounding of the f32 score (any summation
 * order: d u / (1 - d u), u = 2^-24) and of the approximate score a (three roundings). With b the sum of these, the f32 score
 * lies in [a - b, a + b]: every vector with a + b >= the k-th largest a - b is scored exactly, no other can be among the k.
 */
#include "config.h"
#include "store/store_impl.h"
#include <math.h>

struct cand {
	float up, low; /* bounds of the score; `low` holds the score itself once it is known */
	int64_t seg;
	int32_t slot;
	int64_t item;
	struct str id;
};

/* One worker's candidates of one query. */
struct pick {
	struct cand *v;
	size_t n, cap;
	struct topk lows;
	struct topk_item *items;
};

struct query {
	const float *vec; /* [dims], length 1 */
	int8_t *codes;    /* [store_code_row] */
	float scale;
	float c_error, c_const; /* b = c_error e + c_const */
	int32_t bias;     /* 128 sum(codes): stored codes carry + 128 */
};

struct reader {
	struct store_index *ix; /* a connection of its own */
	sqlite3_blob *code, *truth;
	uint8_t *buf;
	struct store_slot slots[STORE_SLOTS];
	struct pick *picks;     /* [n queries] */
	struct err err;
	bool failed;
};

struct scan {
	struct reader *readers;
	unsigned n_readers;
	int64_t *segs;
	size_t n_segs;
	struct query *queries;
	size_t n, k;
	float min_score;
	uint32_t dims;
};

/* ---- queries ------------------------------------------------------------------------------------ */

static int query_init(struct query *qy, const float *q, uint32_t dims, struct arena *a, struct err *e)
{
	size_t row = store_code_row(dims);
	float *vec = arena_alloc(a, dims * sizeof *vec);
	uint8_t *u = arena_alloc(a, row);
	double gamma = dims * 0x1p-24 / (1 - dims * 0x1p-24);
	float err;
	int32_t sum = 0;

	if (!vec || !u)
		return err_nomem(e);
	if (store_normalise(vec, q, dims, e))
		return -1;
	store_quantize(u, &qy->scale, &err, vec, dims);
	for (size_t i = 0; i < row; i++) {
		int8_t c = (int8_t)(u[i] - 128);

		((int8_t *)u)[i] = c;
		sum += c;
	}
	qy->vec = vec;
	qy->codes = (int8_t *)u;
	qy->bias = 128 * sum;
	/* lengths of stored and query vectors are 1 within 1e-4; the rounding terms of a and of b itself are in 2e-6 */
	qy->c_error = (float)(1.0001 + (double)err);
	qy->c_const = (float)((double)err * 1.0001 + gamma * 1.0003 + 2e-6);
	return 0;
}

/* ---- the scan ------------------------------------------------------------------------------------ */

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

static void pick_prune(struct pick *p, float floor)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].up >= floor)
			p->v[n++] = p->v[i];
	p->n = n;
}

static int scan_query(const struct scan *s, struct reader *r, size_t qi, int64_t seg, struct err *e)
{
	const struct query *q = &s->queries[qi];
	struct pick *p = &r->picks[qi];
	size_t row = store_code_row(s->dims);
	int32_t dots[STORE_SLOTS];
	float scale[STORE_SLOTS], error[STORE_SLOTS], mid[STORE_SLOTS], half[STORE_SLOTS];
	float floor = fmaxf(topk_floor(&p->lows), s->min_score);

	kern_dots_u8s8(dots, q->codes, r->buf, (int64_t)row, STORE_SLOTS, (int64_t)row);
	memcpy(scale, r->buf + STORE_SLOTS * row, sizeof scale);
	memcpy(error, r->buf + STORE_SLOTS * row + sizeof scale, sizeof error);
	for (int i = 0; i < STORE_SLOTS; i++) {
		mid[i] = (float)(dots[i] - q->bias) * (q->scale * scale[i]);
		half[i] = q->c_error * error[i] + q->c_const;
	}
	for (int i = 0; i < STORE_SLOTS; i++) {
		struct cand c = { .up = mid[i] + half[i], .low = mid[i] - half[i], .seg = seg, .slot = i };

		if (!(c.up >= floor) || !r->slots[i].item)
			continue;
		c.item = r->slots[i].item;
		topk_push(&p->lows, c.low, 0);
		floor = fmaxf(topk_floor(&p->lows), s->min_score);
		if (pick_push(p, &c, e))
			return -1;
		if (p->n > 4 * s->k + 4096)
			pick_prune(p, floor);
	}
	return 0;
}

/* Move an open blob handle to another row, or open it. */
static int blob_to(sqlite3_blob **b, struct store_index *ix, const char *table, int64_t id, size_t bytes, struct err *e)
{
	int rc = *b ? sqlite3_blob_reopen(*b, id) : sqlite3_blob_open(ix->db, "main", table, "v", id, 0, b);

	if (rc || sqlite3_blob_bytes(*b) != (int)bytes)
		return err_set(e, ERR_OPEN, "index %s: damaged: segment %lld of %s; run llm-index check", ix->path,
			       (long long)id, table);
	return 0;
}

static int read_segment(struct reader *r, int64_t seg, uint32_t dims, struct err *e)
{
	sqlite3_stmt *st = store_stmt(r->ix, STORE_S_SLOTS, e);
	int bytes = (int)store_code_bytes(dims);
	bool good;

	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, seg);
	good = sqlite3_step(st) == SQLITE_ROW && sqlite3_column_bytes(st, 0) == (int)sizeof r->slots;
	if (good)
		memcpy(r->slots, sqlite3_column_blob(st, 0), sizeof r->slots);
	sqlite3_reset(st);
	if (!good)
		return err_set(e, ERR_OPEN, "index %s: damaged: segment %lld; run llm-index check", r->ix->path,
			       (long long)seg);
	if (blob_to(&r->code, r->ix, "code8", seg, (size_t)bytes, e))
		return -1;
	if (sqlite3_blob_read(r->code, r->buf, bytes, 0))
		return store_fail(r->ix, e, "reading a segment");
	return 0;
}

static void scan_segment(void *arg, unsigned worker, size_t i)
{
	struct scan *s = arg;
	struct reader *r = &s->readers[worker];

	if (r->failed)
		return;
	r->failed = read_segment(r, s->segs[i], s->dims, &r->err) != 0;
	for (size_t q = 0; q < s->n && !r->failed; q++)
		r->failed = scan_query(s, r, q, s->segs[i], &r->err) != 0;
}

/* ---- readers --------------------------------------------------------------------------------------- */

static void reader_release(struct reader *r, size_t n_queries)
{
	for (size_t q = 0; r->picks && q < n_queries; q++) {
		free(r->picks[q].v);
		free(r->picks[q].items);
	}
	free(r->picks);
	free(r->buf);
	sqlite3_blob_close(r->code);
	sqlite3_blob_close(r->truth);
	store_index_close(r->ix, NULL);
}

static int reader_init(struct reader *r, const struct store_index *ix, size_t n, size_t k, struct err *e)
{
	if (store_index_open(&r->ix, ix->path, STORE_READ, e))
		return -1;
	r->buf = malloc(store_code_bytes(ix->dims));
	r->picks = calloc(n, sizeof *r->picks);
	if (!r->buf || !r->picks)
		return err_nomem(e);
	for (size_t q = 0; q < n; q++) {
		r->picks[q].items = ckd_alloc(k, sizeof *r->picks[q].items);
		if (!r->picks[q].items)
			return err_nomem(e);
		topk_init(&r->picks[q].lows, r->picks[q].items, k);
	}
	return 0;
}

/* All readers in one snapshot: the same generation inside their transactions. A writer between two of them means again. */
static int same_snapshot(struct reader *r, unsigned n, struct err *e)
{
	for (int attempt = 0; attempt < 100; attempt++) {
		bool same = true;

		for (unsigned i = 0; i < n; i++) {
			sqlite3_exec(r[i].ix->db, "COMMIT", NULL, NULL, NULL);
			if (sqlite3_exec(r[i].ix->db, "BEGIN", NULL, NULL, NULL))
				return store_fail(r[i].ix, e, "reading");
			if (store_load_pin(r[i].ix, e))
				return -1;
			same = same && r[i].ix->generation == r[0].ix->generation;
		}
		if (same)
			return 0;
	}
	return err_set(e, ERR_OPEN, "index %s: a writer commits without pause; try again", r->ix->path);
}

static int list_segments(struct scan *s, struct store_index *ix, struct arena *a, struct err *e)
{
	sqlite3_stmt *st = store_stmt(ix, STORE_S_SEGS, e);
	size_t cap = 0;
	int rc;

	if (!st)
		return -1;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (s->n_segs == cap) {
			int64_t *v = arena_alloc(a, (cap = cap ? cap * 2 : 256) * sizeof *v);

			if (!v) {
				sqlite3_reset(st);
				return err_nomem(e);
			}
			if (s->n_segs)
				memcpy(v, s->segs, s->n_segs * sizeof *v);
			s->segs = v;
		}
		s->segs[s->n_segs++] = sqlite3_column_int64(st, 0);
	}
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : store_fail(ix, e, "reading");
}

/* ---- the verdict ------------------------------------------------------------------------------------- */

static int by_place(const void *x, const void *y)
{
	const struct cand *a = x, *b = y;

	if (a->seg != b->seg)
		return a->seg < b->seg ? -1 : 1;
	return a->slot < b->slot ? -1 : a->slot > b->slot;
}

static int by_score(const void *x, const void *y)
{
	const struct cand *a = x, *b = y;

	if (a->low != b->low)
		return a->low > b->low ? -1 : 1;
	return str_cmp(a->id, b->id);
}

/* All workers' candidates whose upper bound reaches the k-th best lower bound, in file order, into reader 0's pick. */
static int gather(struct scan *s, size_t q, struct err *e)
{
	struct pick *p = &s->readers[0].picks[q];

	for (unsigned w = 1; w < s->n_readers; w++) {
		const struct pick *o = &s->readers[w].picks[q];

		for (size_t i = 0; i < o->n; i++)
			if (pick_push(p, &o->v[i], e))
				return -1;
		for (size_t i = 0; i < o->lows.n; i++)
			topk_push(&p->lows, o->lows.items[i].score, 0);
	}
	pick_prune(p, fmaxf(topk_floor(&p->lows), s->min_score));
	if (p->n)
		qsort(p->v, p->n, sizeof *p->v, by_place);
	return 0;
}

/* low = the exact score of every candidate; those under the k-th go, ties stay. */
static int score(struct scan *s, size_t q, float *row, struct err *e)
{
	struct reader *r = &s->readers[0];
	struct pick *p = &r->picks[q];
	int bytes = (int)(s->dims * sizeof(float));
	float floor;

	topk_init(&p->lows, p->items, s->k);
	for (size_t i = 0; i < p->n; i++) {
		struct cand *c = &p->v[i];

		if (i == 0 || p->v[i - 1].seg != c->seg)
			if (blob_to(&r->truth, r->ix, "truth", c->seg, store_truth_bytes(s->dims), e))
				return -1;
		if (sqlite3_blob_read(r->truth, row, bytes, c->slot * bytes))
			return store_fail(r->ix, e, "reading a vector");
		c->low = c->up = kern_dot(s->queries[q].vec, row, (int64_t)s->dims);
		topk_push(&p->lows, c->low, 0);
	}
	floor = fmaxf(topk_floor(&p->lows), s->min_score);
	pick_prune(p, floor);
	return 0;
}

/* The item of every remaining candidate, then the final order, then the first k. */
static int fill(struct store_hits *out, struct scan *s, size_t q, struct arena *a, struct err *e)
{
	struct store_index *ix = s->readers[0].ix;
	struct pick *p = &s->readers[0].picks[q];
	size_t n = p->n < s->k ? p->n : s->k;

	for (size_t i = 0; i < p->n; i++) {
		sqlite3_stmt *st = store_stmt(ix, STORE_S_ITEM, e);

		if (!st)
			return -1;
		sqlite3_bind_int64(st, 1, p->v[i].item);
		if (sqlite3_step(st) != SQLITE_ROW) {
			sqlite3_reset(st);
			return err_set(e, ERR_OPEN, "index %s: damaged: a vector without its item; run llm-index check",
				       ix->path);
		}
		if (store_column(&p->v[i].id, st, 0, a, e)) {
			sqlite3_reset(st);
			return -1;
		}
		sqlite3_reset(st);
	}
	if (p->n)
		qsort(p->v, p->n, sizeof *p->v, by_score);
	out->v = arena_alloc(a, (n ? n : 1) * sizeof *out->v);
	if (!out->v)
		return err_nomem(e);
	out->n = n;
	for (size_t i = 0; i < n; i++) {
		sqlite3_stmt *st = store_stmt(ix, STORE_S_ITEM, e);

		if (!st)
			return -1;
		sqlite3_bind_int64(st, 1, p->v[i].item);
		out->v[i].score = p->v[i].low;
		if (sqlite3_step(st) != SQLITE_ROW || store_item_of(&out->v[i].item, st, a, e)) {
			sqlite3_reset(st);
			return store_fail(ix, e, "reading an item");
		}
		sqlite3_reset(st);
	}
	return 0;
}

static int search(struct store_hits *out, struct scan *s, struct os_pool *pool, struct arena *a, struct err *e)
{
	float *row;

	if (list_segments(s, s->readers[0].ix, a, e))
		return -1;
	if (pool && s->n_readers > 1)
		os_pool_run(pool, scan_segment, s, s->n_segs);
	else
		for (size_t i = 0; i < s->n_segs; i++)
			scan_segment(s, 0, i);
	for (unsigned w = 0; w < s->n_readers; w++)
		if (s->readers[w].failed) {
			if (e)
				*e = s->readers[w].err;
			return -1;
		}
	row = arena_alloc(a, s->dims * sizeof *row);
	if (!row)
		return err_nomem(e);
	for (size_t q = 0; q < s->n; q++)
		if (gather(s, q, e) || score(s, q, row, e) || fill(&out[q], s, q, a, e))
			return -1;
	return 0;
}

int store_index_search(struct store_hits *out, struct store_index *ix, const float *q, size_t n, size_t dims, size_t k,
		       float min_score, struct os_pool *pool, struct arena *a, struct err *e)
{
	struct scan s = { .n = n, .k = k, .min_score = min_score };
	int rc = -1;

	memset(out, 0, n * sizeof *out);
	if (store_load_pin(ix, e))
		return -1;
	if (!ix->dims || !n || !k)
		return 0; /* an empty index has no hits */
	if (dims != ix->dims)
		return err_set(e, ERR_DIMENSION_MISMATCH, "the query has %zu dimensions, the index %u", dims, ix->dims);
	s.dims = ix->dims;
	s.n_readers = pool ? os_pool_size(pool) : 1;
	s.readers = calloc(s.n_readers, sizeof *s.readers);
	s.queries = arena_alloc(a, n * sizeof *s.queries);
	if (!s.readers || !s.queries) {
		free(s.readers);
		return err_nomem(e);
	}
	for (size_t i = 0; i < n; i++)
		if (query_init(&s.queries[i], q + i * dims, s.dims, a, e))
			goto done;
	for (unsigned w = 0; w < s.n_readers; w++)
		if (reader_init(&s.readers[w], ix, n, k, e))
			goto done;
	if (same_snapshot(s.readers, s.n_readers, e))
		goto done;
	rc = search(out, &s, pool, a, e);
done:
	for (unsigned w = 0; w < s.n_readers; w++)
		reader_release(&s.readers[w], n);
	free(s.readers);
	return rc;
}
