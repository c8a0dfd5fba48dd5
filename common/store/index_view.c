/* index_view: what a search reads: connections in one snapshot, segments, codes. */
#include "config.h"
#include "store/store_impl.h"

#define KEEP_FROM 3  /* searches of one generation: filling the memory costs as much as some of them */
#define KEEP_UNDER 64 /* queries a search: with more, reading is a small part of the work */

static void forget(struct store_view *v)
{
	free(v->segs);
	free(v->codes);
	free(v->have);
	v->segs = NULL;
	v->codes = NULL;
	v->have = NULL;
	v->n_segs = 0;
	v->searches = 0;
	v->known = false;
}

static void reader_close(struct store_reader *r)
{
	sqlite3_blob_close(r->code);
	sqlite3_blob_close(r->truth);
	r->code = r->truth = NULL;
}

void store_view_release(struct store_view *v)
{
	for (unsigned w = 0; w < v->cap; w++) {
		struct store_reader *r = &v->readers[w];

		reader_close(r);
		free(r->block);
		free(r->packed);
		free(r->dots);
		free(r->row);
		if (r->ix && &r->ix->view != v)
			store_index_close(r->ix, NULL);
	}
	free(v->readers);
	forget(v);
	*v = (struct store_view){ 0 };
}

int store_blob_to(sqlite3_blob **b, struct store_index *ix, const char *table, int64_t id, size_t bytes, struct err *e)
{
	int rc = *b ? sqlite3_blob_reopen(*b, id) : sqlite3_blob_open(ix->db, "main", table, "v", id, 0, b);

	if (rc || sqlite3_blob_bytes(*b) != (int)bytes)
		return err_set(e, ERR_OPEN, "index %s: damaged: segment %lld of %s; run llm-index check", ix->path,
			       (long long)id, table);
	return 0;
}

int store_slots(struct store_slot out[STORE_SLOTS], struct store_index *ix, int64_t seg, struct err *e)
{
	sqlite3_stmt *st = store_stmt(ix, STORE_S_SLOTS, e);
	const size_t bytes = STORE_SLOTS * sizeof *out;
	bool good;

	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, seg);
	good = sqlite3_step(st) == SQLITE_ROW && sqlite3_column_bytes(st, 0) == (int)bytes;
	if (good)
		memcpy(out, sqlite3_column_blob(st, 0), bytes);
	sqlite3_reset(st);
	return good ? 0 : err_set(e, ERR_OPEN, "index %s: damaged: segment %lld; run llm-index check", ix->path,
				  (long long)seg);
}

static int reader_init(struct store_reader *r, struct store_index *ix, bool share, struct err *e)
{
	size_t row = store_code_row(ix->dims);

	if (share)
		r->ix = ix;
	else if (store_index_open(&r->ix, ix->path, STORE_READ, e))
		return -1;
	r->block = aligned_alloc(64, store_code_bytes(ix->dims));
	r->packed = aligned_alloc(64, STORE_SLOTS * row);
	r->dots = aligned_alloc(64, sizeof *r->dots * STORE_QUERIES * STORE_SLOTS);
	r->row = ckd_alloc(ix->dims, sizeof *r->row);
	return r->block && r->packed && r->dots && r->row ? 0 : err_nomem(e);
}

static int add_readers(struct store_index *ix, unsigned n, struct err *e)
{
	struct store_view *v = &ix->view;

	if (n > v->cap) {
		struct store_reader *r = ckd_realloc(v->readers, n, sizeof *r);

		if (!r)
			return err_nomem(e);
		memset(r + v->cap, 0, (n - v->cap) * sizeof *r);
		v->readers = r;
		for (; v->cap < n; v->cap++) /* a failed one is released with the others */
			if (reader_init(&r[v->cap], ix, v->cap == 0 && ix->mode == STORE_READ, e)) {
				v->cap++;
				return -1;
			}
	}
	v->n = n;
	return 0;
}

/* All readers in one snapshot: the same generation inside their transactions. A writer between two of them means again. */
static int same_snapshot(struct store_view *v, struct err *e)
{
	const struct store_reader *r = v->readers;

	for (int attempt = 0; attempt < 100; attempt++) {
		bool same = true;

		for (unsigned i = 0; i < v->n; i++) {
			if (!sqlite3_get_autocommit(r[i].ix->db))
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

static int list_segments(struct store_view *v, struct err *e)
{
	struct store_index *ix = v->readers[0].ix;
	sqlite3_stmt *st = store_stmt(ix, STORE_S_SEGS, e);
	size_t cap = 0;
	int rc;

	if (!st)
		return -1;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (v->n_segs == cap) {
			int64_t *segs = ckd_realloc(v->segs, cap = cap ? cap * 2 : 256, sizeof *segs);

			if (!segs) {
				sqlite3_reset(st);
				return err_nomem(e);
			}
			v->segs = segs;
		}
		v->segs[v->n_segs++] = sqlite3_column_int64(st, 0);
	}
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : store_fail(ix, e, "reading");
}

/* Memory for all codes, if there is enough; without it they are read from the file each time. */
static void keep_codes(struct store_view *v, size_t bytes)
{
	if (!v->n_segs || bytes > os_memory_available() / 4 / v->n_segs)
		return;
	v->codes = os_big_alloc(v->n_segs, bytes);
	v->have = calloc(v->n_segs, sizeof *v->have);
	if (!v->codes || !v->have) {
		free(v->codes);
		free(v->have);
		v->codes = NULL;
		v->have = NULL;
	}
}

int store_view_begin(struct store_index *ix, unsigned n, size_t queries, struct err *e)
{
	struct store_view *v = &ix->view;

	if (add_readers(ix, n, e)) {
		store_view_release(v);
		return -1;
	}
	if (same_snapshot(v, e))
		return -1;
	if (!v->known || v->generation != v->readers[0].ix->generation) {
		forget(v);
		if (list_segments(v, e))
			return -1;
		v->generation = v->readers[0].ix->generation;
		v->known = true;
	}
	if (queries < KEEP_UNDER && ++v->searches == KEEP_FROM)
		keep_codes(v, store_code_bytes(ix->dims));
	return 0;
}

void store_view_end(struct store_index *ix)
{
	struct store_view *v = &ix->view;

	for (unsigned w = 0; w < v->cap; w++) {
		struct store_reader *r = &v->readers[w];

		reader_close(r); /* an open one would hold the snapshot */
		if (r->ix && !sqlite3_get_autocommit(r->ix->db))
			sqlite3_exec(r->ix->db, "COMMIT", NULL, NULL, NULL);
		r->failed = false;
		err_clear(&r->err);
	}
}

const uint8_t *store_view_codes(struct store_view *v, struct store_reader *r, size_t i, struct err *e)
{
	size_t bytes = store_code_bytes(r->ix->dims);
	uint8_t *to = v->codes ? v->codes + i * bytes : r->block;

	if (v->have && v->have[i])
		return to;
	if (store_blob_to(&r->code, r->ix, "code8", v->segs[i], bytes, e))
		return NULL;
	if (sqlite3_blob_read(r->code, to, (int)bytes, 0)) {
		store_fail(r->ix, e, "reading a segment");
		return NULL;
	}
	if (v->have)
		v->have[i] = true;
	return to;
}
