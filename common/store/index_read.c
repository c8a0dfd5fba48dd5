/* index_read: get, walk, statistics, check. */
#include "config.h"
#include "store/store_impl.h"
#include <math.h>

int store_index_get(struct store_item *out, bool *found, struct store_index *ix, struct str id, struct arena *a, struct err *e)
{
	sqlite3_stmt *st = store_stmt(ix, STORE_S_FIND, e);
	int64_t seg;
	int slot, rc, bytes = (int)(ix->dims * sizeof(float));
	sqlite3_blob *truth = NULL;
	float *vec;

	*found = false;
	if (!st)
		return -1;
	sqlite3_bind_text64(st, 1, id.p, id.n, SQLITE_STATIC, SQLITE_UTF8);
	rc = sqlite3_step(st);
	if (rc == SQLITE_DONE)
		return 0;
	if (rc != SQLITE_ROW)
		return store_fail(ix, e, "reading");
	seg = sqlite3_column_int64(st, 8);
	slot = sqlite3_column_int(st, 9);
	rc = store_item_of(out, st, a, e);
	sqlite3_reset(st);
	vec = arena_alloc(a, (size_t)bytes);
	if (rc || !vec)
		return rc ? -1 : err_nomem(e);
	rc = sqlite3_blob_open(ix->db, "main", "truth", "v", seg, 0, &truth) || slot < 0 || slot >= STORE_SLOTS ||
	     sqlite3_blob_read(truth, vec, bytes, slot * bytes);
	sqlite3_blob_close(truth);
	if (rc)
		return store_fail(ix, e, "reading a vector");
	out->vec = vec;
	out->dims = ix->dims;
	out->pin = (struct store_pin){ buf_str(&ix->model), buf_str(&ix->digest) };
	*found = true;
	return 0;
}

int store_index_each(struct store_index *ix, struct str prefix, store_item_fn *fn, void *arg, struct err *e)
{
	sqlite3_stmt *st = store_stmt(ix, STORE_S_EACH, e);
	struct arena a;
	int rc, failed = 0;

	if (!st)
		return -1;
	arena_init(&a, BUF_MAX_LINE * 4);
	sqlite3_bind_text64(st, 1, prefix.p ? prefix.p : "", prefix.n, SQLITE_STATIC, SQLITE_UTF8);
	while (!failed && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_item it;

		arena_reset(&a);
		failed = store_item_of(&it, st, &a, e);
		if (!failed && !str_starts(it.id, prefix)) {
			rc = SQLITE_DONE; /* ids are in order: the prefix is over */
			break;
		}
		failed = failed || fn(&it, arg, e);
	}
	sqlite3_reset(st);
	arena_release(&a);
	if (failed)
		return -1;
	return rc == SQLITE_DONE ? 0 : store_fail(ix, e, "reading");
}

static int count(uint64_t *out, struct store_index *ix, const char *text, struct err *e)
{
	sqlite3_stmt *st;
	bool good;

	if (sqlite3_prepare_v2(ix->db, text, -1, &st, NULL))
		return store_fail(ix, e, "reading");
	good = sqlite3_step(st) == SQLITE_ROW;
	if (good)
		*out = (uint64_t)sqlite3_column_int64(st, 0);
	else
		store_fail(ix, e, "reading");
	sqlite3_finalize(st);
	return good ? 0 : -1;
}

int store_index_stats(struct store_stats *out, struct store_index *ix, struct err *e)
{
	uint64_t pages, page, live;

	memset(out, 0, sizeof *out);
	if (store_load_pin(ix, e) || count(&out->items, ix, "SELECT count(*) FROM item", e) ||
	    count(&out->documents, ix, "SELECT count(DISTINCT coalesce(of, extid)) FROM item", e) ||
	    count(&out->segments, ix, "SELECT count(*) FROM seg", e) ||
	    count(&live, ix, "SELECT coalesce(sum(live), 0) FROM seg", e) ||
	    count(&out->text_bytes, ix, "SELECT coalesce(sum(length(CAST(text AS BLOB))), 0) FROM item", e) ||
	    count(&pages, ix, "PRAGMA page_count", e) || count(&page, ix, "PRAGMA page_size", e))
		return -1;
	out->dead_slots = out->segments * STORE_SLOTS - live;
	out->bytes = pages * page;
	out->schema = STORE_SCHEMA;
	out->dims = ix->dims;
	out->generation = ix->generation;
	out->pin = (struct store_pin){ buf_str(&ix->model), buf_str(&ix->digest) };
	return 0;
}

/* ---- check ------------------------------------------------------------------------------------------ */

struct check {
	struct store_index *ix;
	store_finding_fn *fn;
	void *arg;
	uint64_t n;
};

static int finding(struct check *c, struct err *e, struct str id, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int finding(struct check *c, struct err *e, struct str id, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	c->n++;
	return c->fn(what, id, c->arg, e);
}

/* SQLite's own checks: one finding a row that is not "ok". */
static int check_sqlite(struct check *c, struct err *e)
{
	sqlite3_stmt *st;
	int rc, failed = 0;

	if (sqlite3_prepare_v2(c->ix->db, "PRAGMA integrity_check(20)", -1, &st, NULL))
		return finding(c, e, STR(""), "sqlite: %s", sqlite3_errmsg(c->ix->db));
	while (!failed && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *t = (const char *)sqlite3_column_text(st, 0);

		if (t && strcmp(t, "ok"))
			failed = finding(c, e, STR(""), "sqlite: %s", t);
	}
	if (!failed && rc != SQLITE_DONE)
		failed = finding(c, e, STR(""), "sqlite: %s", sqlite3_errmsg(c->ix->db));
	sqlite3_finalize(st);
	return failed;
}

/* A live slot: its row against checksum, length, and the codes made anew. */
static int check_slot(struct check *c, const struct store_slot *sl, const float *vec, const uint8_t *seg, int slot,
		      int64_t seg_id, uint8_t *scratch, struct err *e)
{
	uint32_t dims = c->ix->dims;
	size_t row = store_code_row(dims);
	float scale, error, got_scale, got_error;
	double sum = 0;

	memcpy(&got_scale, seg + STORE_SLOTS * row + (size_t)slot * 4, 4);
	memcpy(&got_error, seg + STORE_SLOTS * (row + 4) + (size_t)slot * 4, 4);
	if (store_slot_crc(vec, seg + (size_t)slot * row, got_scale, got_error, dims) != sl->crc)
		return finding(c, e, STR(""), "segment %lld slot %d: checksum does not match", (long long)seg_id, slot);
	for (uint32_t i = 0; i < dims; i++)
		sum += (double)vec[i] * (double)vec[i];
	if (!(fabs(sum - 1) < 1e-4))
		return finding(c, e, STR(""), "segment %lld slot %d: length %g, not 1", (long long)seg_id, slot, sqrt(sum));
	store_quantize(scratch, &scale, &error, vec, dims);
	if (memcmp(scratch, seg + (size_t)slot * row, row) || memcmp(&scale, &got_scale, 4) || got_error < error)
		return finding(c, e, STR(""), "segment %lld slot %d: codes do not follow from the vector",
			       (long long)seg_id, slot);
	return 0;
}

static int check_segment(struct check *c, sqlite3_stmt *st, uint8_t *scratch, struct err *e)
{
	struct store_index *ix = c->ix;
	int64_t id = sqlite3_column_int64(st, 0);
	const struct store_slot *slots = sqlite3_column_blob(st, 2);
	const uint8_t *code = sqlite3_column_blob(st, 3);
	const uint8_t *truth = sqlite3_column_blob(st, 4);
	float *vec = (float *)(void *)(scratch + store_code_row(ix->dims));
	int live = 0;

	if (sqlite3_column_bytes(st, 2) != (int)(STORE_SLOTS * sizeof *slots) ||
	    sqlite3_column_bytes(st, 3) != (int)store_code_bytes(ix->dims) ||
	    sqlite3_column_bytes(st, 4) != (int)store_truth_bytes(ix->dims))
		return finding(c, e, STR(""), "segment %lld: its parts have wrong sizes", (long long)id);
	for (int i = 0; i < STORE_SLOTS; i++) {
		struct store_slot sl;

		memcpy(&sl, (const char *)slots + (size_t)i * sizeof sl, sizeof sl);
		if (!sl.item)
			continue;
		live++;
		memcpy(vec, truth + (size_t)i * ix->dims * sizeof *vec, ix->dims * sizeof *vec);
		if (check_slot(c, &sl, vec, code, i, id, scratch, e))
			return -1;
		sqlite3_stmt *q = store_stmt(ix, STORE_S_ITEM, e);
		if (!q)
			return -1;
		sqlite3_bind_int64(q, 1, sl.item);
		bool good = sqlite3_step(q) == SQLITE_ROW && sqlite3_column_int64(q, 8) == id &&
			    sqlite3_column_int(q, 9) == i;
		sqlite3_reset(q);
		if (!good && finding(c, e, STR(""), "segment %lld slot %d: no item points here", (long long)id, i))
			return -1;
	}
	if (live != sqlite3_column_int(st, 1))
		return finding(c, e, STR(""), "segment %lld: %d slots are live, its count says %d", (long long)id, live,
			       sqlite3_column_int(st, 1));
	return 0;
}

static int check_segments(struct check *c, struct err *e)
{
	struct store_index *ix = c->ix;
	uint8_t *scratch = malloc(store_code_row(ix->dims) + ix->dims * sizeof(float));
	sqlite3_stmt *st = NULL;
	int rc = SQLITE_OK, failed = 0;

	if (!scratch)
		return err_nomem(e);
	if (sqlite3_prepare_v2(ix->db, "SELECT seg.id, seg.live, seg.slots, code8.v, truth.v FROM seg"
			       " LEFT JOIN code8 USING(id) LEFT JOIN truth USING(id) ORDER BY seg.id", -1, &st, NULL))
		failed = finding(c, e, STR(""), "sqlite: %s", sqlite3_errmsg(ix->db));
	else
		while (!failed && (rc = sqlite3_step(st)) == SQLITE_ROW)
			failed = check_segment(c, st, scratch, e);
	if (!failed && st && rc != SQLITE_DONE)
		failed = finding(c, e, STR(""), "sqlite: %s", sqlite3_errmsg(ix->db));
	sqlite3_finalize(st);
	free(scratch);
	return failed;
}

/* Every item has a slot that names it. */
static int check_items(struct check *c, struct err *e)
{
	sqlite3_stmt *st;
	int rc, failed = 0;

	if (sqlite3_prepare_v2(c->ix->db,
			       "SELECT item.extid, item.id, item.slot, seg.slots FROM item LEFT JOIN seg ON seg.id = item.seg",
			       -1, &st, NULL))
		return finding(c, e, STR(""), "sqlite: %s", sqlite3_errmsg(c->ix->db));
	while (!failed && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		int slot = sqlite3_column_int(st, 2);
		const char *slots = sqlite3_column_blob(st, 3);
		struct store_slot sl = { 0 };

		if (slots && slot >= 0 && (size_t)sqlite3_column_bytes(st, 3) >= ((size_t)slot + 1) * sizeof sl)
			memcpy(&sl, slots + (size_t)slot * sizeof sl, sizeof sl);
		if (sl.item != sqlite3_column_int64(st, 1)) {
			const char *id = (const char *)sqlite3_column_text(st, 0);

			failed = finding(c, e, (struct str){ id ? id : "", (size_t)sqlite3_column_bytes(st, 0) },
					 "the item has no vector");
		}
	}
	if (!failed && rc != SQLITE_DONE)
		failed = finding(c, e, STR(""), "sqlite: %s", sqlite3_errmsg(c->ix->db));
	sqlite3_finalize(st);
	return failed;
}

int store_index_check(uint64_t *n, struct store_index *ix, store_finding_fn *fn, void *arg, struct err *e)
{
	struct check c = { .ix = ix, .fn = fn, .arg = arg };
	int rc = check_sqlite(&c, e);

	if (!rc && ix->dims)
		rc = check_segments(&c, e) || check_items(&c, e) ? -1 : 0;
	*n = c.n;
	return rc;
}
