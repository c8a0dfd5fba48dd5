/* index_put: changes to the index: put, delete, commit. */
#include "config.h"
#include "store/store_impl.h"
#include <math.h>

/* ---- vectors --------------------------------------------------------------------------------- */

static int vector_length(double *out, const float *x, size_t dims, struct err *e)
{
	double sum = 0;

	for (size_t i = 0; i < dims; i++) {
		if (!isfinite(x[i]))
			return err_set(e, ERR_INVALID_VECTOR, "component %zu of the vector is not finite", i);
		sum += (double)x[i] * (double)x[i];
	}
	if (!dims)
		return err_set(e, ERR_INVALID_VECTOR, "the vector is empty");
	if (!(sum > 0))
		return err_set(e, ERR_INVALID_VECTOR, "the vector is zero: it has no direction to compare");
	*out = sqrt(sum);
	return 0;
}

static void scale_to_one(float *out, const float *x, size_t dims, double length)
{
	for (size_t i = 0; i < dims; i++)
		out[i] = (float)((double)x[i] / length);
}

int store_vector_check(const float *v, size_t dims, struct err *e)
{
	double length;

	return vector_length(&length, v, dims, e);
}

int store_normalise(float *out, const float *x, size_t dims, struct err *e)
{
	double length;

	if (vector_length(&length, x, dims, e))
		return -1;
	scale_to_one(out, x, dims, length);
	return 0;
}

/* The next float above a non-negative double, so that a bound stays a bound. */
static float round_up(double v)
{
	float f = (float)v;

	return (double)f < v ? nextafterf(f, INFINITY) : f;
}

void store_quantize(uint8_t *codes, float *scale, float *error, const float *x, uint32_t dims)
{
	float max = 0;
	double err2 = 0;

	for (uint32_t i = 0; i < dims; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max; /* a call of fmaxf() would be half of this function */
	*scale = max / 127;
	for (uint32_t i = 0; i < dims; i++) {
		double q = rint((double)x[i] / (double)*scale);
		double d;

		q = q > 127 ? 127 : q < -127 ? -127 : q;
		codes[i] = (uint8_t)(q + 128);
		d = (double)x[i] - (double)*scale * q;
		err2 += d * d;
	}
	memset(codes + dims, 128, store_code_row(dims) - dims);
	*error = round_up(sqrt(err2) * (1 + 1e-12));
}

uint32_t store_slot_crc(const float *vec, const uint8_t *code, float scale, float error, uint32_t dims)
{
	uint32_t crc = hash_crc32c(0, vec, (size_t)dims * sizeof *vec);

	crc = hash_crc32c(crc, code, store_code_row(dims));
	crc = hash_crc32c(crc, &scale, sizeof scale);
	return hash_crc32c(crc, &error, sizeof error);
}

/* ---- the segment in hand ----------------------------------------------------------------------- */

static void close_blobs(struct store_seg *s)
{
	sqlite3_blob_close(s->code);
	sqlite3_blob_close(s->truth);
	s->code = s->truth = NULL;
}

void store_seg_drop(struct store_index *ix)
{
	close_blobs(&ix->seg);
	ix->seg.id = 0;
	ix->seg.dirty = false;
}

int store_seg_flush(struct store_index *ix, struct err *e)
{
	struct store_seg *s = &ix->seg;
	sqlite3_stmt *st;

	if (!s->dirty)
		return 0;
	st = store_stmt(ix, STORE_S_PUT_SLOTS, e);
	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, s->id);
	sqlite3_bind_int(st, 2, s->live);
	sqlite3_bind_blob(st, 3, s->slots, sizeof s->slots, SQLITE_STATIC);
	s->dirty = false;
	return store_exec(ix, st, e);
}

static int seg_load(struct store_index *ix, int64_t id, struct err *e)
{
	struct store_seg *s = &ix->seg;
	sqlite3_stmt *st;

	if (s->id == id)
		return 0;
	if (store_seg_flush(ix, e))
		return -1;
	store_seg_drop(ix);
	st = store_stmt(ix, STORE_S_SLOTS, e);
	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, id);
	if (sqlite3_step(st) != SQLITE_ROW || sqlite3_column_bytes(st, 0) != (int)sizeof s->slots) {
		sqlite3_reset(st);
		return err_set(e, ERR_OPEN, "index %s: damaged: segment %lld; run llm-index check", ix->path,
			       (long long)id);
	}
	memcpy(s->slots, sqlite3_column_blob(st, 0), sizeof s->slots);
	sqlite3_reset(st);
	s->live = 0;
	for (int i = 0; i < STORE_SLOTS; i++)
		s->live += s->slots[i].item != 0;
	if (sqlite3_blob_open(ix->db, "main", "code8", "v", id, 1, &s->code) ||
	    sqlite3_blob_open(ix->db, "main", "truth", "v", id, 1, &s->truth) ||
	    sqlite3_blob_bytes(s->code) != (int)store_code_bytes(ix->dims) ||
	    sqlite3_blob_bytes(s->truth) != (int)store_truth_bytes(ix->dims)) {
		close_blobs(s);
		return err_set(e, ERR_OPEN, "index %s: damaged: vectors of segment %lld; run llm-index check",
			       ix->path, (long long)id);
	}
	s->id = id;
	return 0;
}

static int seg_new(int64_t *id, struct store_index *ix, struct err *e)
{
	sqlite3_stmt *st = store_stmt(ix, STORE_S_NEW_SEG, e);

	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, (int64_t)sizeof ix->seg.slots);
	if (store_exec(ix, st, e))
		return -1;
	*id = sqlite3_last_insert_rowid(ix->db);
	for (int t = 0; t < 2; t++) {
		st = store_stmt(ix, t ? STORE_S_NEW_TRUTH : STORE_S_NEW_CODE, e);
		if (!st)
			return -1;
		sqlite3_bind_int64(st, 1, *id);
		sqlite3_bind_int64(st, 2, (int64_t)(t ? store_truth_bytes(ix->dims) : store_code_bytes(ix->dims)));
		if (store_exec(ix, st, e))
			return -1;
	}
	return 0;
}

/* A segment with room is in hand after this; dead slots are filled first. */
static int seg_with_room(struct store_index *ix, struct err *e)
{
	sqlite3_stmt *st;
	int64_t id;

	if (ix->seg.id && ix->seg.live < STORE_SLOTS)
		return 0;
	if (store_seg_flush(ix, e))
		return -1;
	st = store_stmt(ix, STORE_S_OPEN_SEG, e);
	if (!st)
		return -1;
	if (sqlite3_step(st) == SQLITE_ROW) {
		id = sqlite3_column_int64(st, 0);
		sqlite3_reset(st);
	} else {
		sqlite3_reset(st);
		if (seg_new(&id, ix, e))
			return -1;
	}
	return seg_load(ix, id, e);
}

static int slot_write(struct store_index *ix, int slot, struct err *e)
{
	size_t row = store_code_row(ix->dims);
	int r = (int)row, at = slot * (int)sizeof(float), base = STORE_SLOTS * r;
	int trow = (int)(ix->dims * sizeof(float));

	if (sqlite3_blob_write(ix->seg.truth, ix->vec, trow, slot * trow) ||
	    sqlite3_blob_write(ix->seg.code, ix->code, r, slot * r) ||
	    sqlite3_blob_write(ix->seg.code, ix->code + row, 4, base + at) ||
	    sqlite3_blob_write(ix->seg.code, ix->code + row + 4, 4, base + STORE_SLOTS * 4 + at))
		return store_fail(ix, e, "writing a vector");
	return 0;
}

static int slot_clear(struct store_index *ix, int64_t seg, int slot, struct err *e)
{
	if (slot < 0 || slot >= STORE_SLOTS)
		return err_set(e, ERR_OPEN, "index %s: damaged: slot %d; run llm-index check", ix->path, slot);
	if (seg_load(ix, seg, e))
		return -1;
	memset(ix->vec, 0, ix->dims * sizeof *ix->vec);
	memset(ix->code, 0, store_code_row(ix->dims) + 8);
	if (slot_write(ix, slot, e))
		return -1;
	ix->seg.live -= ix->seg.slots[slot].item != 0;
	ix->seg.slots[slot] = (struct store_slot){ 0 };
	ix->seg.dirty = true;
	return 0;
}

/* ---- transactions ------------------------------------------------------------------------------ */

static int alloc_rows(struct store_index *ix, struct err *e)
{
	if (ix->vec || !ix->dims)
		return 0;
	ix->vec = ckd_alloc(ix->dims, sizeof *ix->vec);
	ix->code = malloc(store_code_row(ix->dims) + 8);
	return ix->vec && ix->code ? 0 : err_nomem(e);
}

static int begin(struct store_index *ix, struct err *e)
{
	if (ix->in_txn)
		return 0;
	if (store_exec(ix, store_stmt(ix, STORE_S_BEGIN, e), e))
		return -1;
	ix->in_txn = true;
	/* another writer may have pinned the model since we looked */
	if (store_load_pin(ix, e) || alloc_rows(ix, e))
		return -1;
	return 0;
}

int store_index_commit(struct store_index *ix, struct err *e)
{
	char n[NUM_BUF];

	if (!ix->in_txn)
		return 0;
	if (store_seg_flush(ix, e))
		goto fail;
	store_seg_drop(ix); /* another writer may change it once the lock is gone */
	if (ix->changed) {
		size_t len = num_put_u64(n, ++ix->generation);

		if (store_put_meta(ix, "generation", (struct str){ n, len }, e))
			goto fail;
	}
	if (store_exec(ix, store_stmt(ix, STORE_S_COMMIT, e), e))
		goto fail;
	ix->in_txn = ix->changed = false;
	return 0;
fail:
	store_seg_drop(ix);
	sqlite3_exec(ix->db, "ROLLBACK", NULL, NULL, NULL);
	ix->in_txn = ix->changed = false;
	return -1;
}

/* ---- pins ---------------------------------------------------------------------------------------- */

int store_index_check_pin(const struct store_index *ix, const struct store_pin *pin, size_t dims, struct err *e)
{
	if (!ix->dims)
		return 0;
	if (dims != ix->dims)
		return err_set(e, ERR_DIMENSION_MISMATCH, "the vector has %zu dimensions, the index %u", dims, ix->dims);
	if (str_eq(buf_str(&ix->digest), pin->digest) && (pin->digest.n || str_eq(buf_str(&ix->model), pin->model)))
		return 0;
	return err_set(e, ERR_MODEL_MISMATCH,
		       "the vector is of model %.*s (%.12s), the index of %.*s (%.12s): embed both with one model",
		       pin->model.n ? (int)pin->model.n : 7, pin->model.n ? pin->model.p : "unknown",
		       pin->digest.n ? pin->digest.p : "no digest", ix->model.n ? (int)ix->model.n : 7,
		       ix->model.n ? ix->model.p : "unknown", ix->digest.n ? ix->digest.p : "no digest");
}

static int set_pin(struct store_index *ix, const struct store_item *it, struct err *e)
{
	char n[NUM_BUF];
	size_t len;

	if (it->dims < 1 || it->dims > STORE_MAX_DIMS)
		return err_set(e, ERR_INVALID_VECTOR, "a vector of %zu dimensions: the index takes 1 to %d", it->dims,
			       STORE_MAX_DIMS);
	buf_adds(&ix->model, it->pin.model);
	buf_adds(&ix->digest, it->pin.digest);
	if (buf_check(&ix->model, e) || buf_check(&ix->digest, e))
		return -1;
	ix->dims = (uint32_t)it->dims;
	len = num_put_u64(n, it->dims);
	if (store_put_meta(ix, "dims", (struct str){ n, len }, e) ||
	    store_put_meta(ix, "model", buf_str(&ix->model), e) ||
	    store_put_meta(ix, "digest", buf_str(&ix->digest), e))
		return -1;
	return alloc_rows(ix, e);
}

/* ---- put ----------------------------------------------------------------------------------------- */

static void text_sha(uint8_t out[HASH_SHA256_LEN], struct str text)
{
	hash_sha256(out, text.p ? text.p : "", text.n);
}

static void bind_str(sqlite3_stmt *st, int i, struct str s)
{
	if (s.p)
		sqlite3_bind_text64(st, i, s.p, s.n, SQLITE_STATIC, SQLITE_UTF8);
}

static bool column_is(sqlite3_stmt *st, int col, struct str s)
{
	const void *p = sqlite3_column_blob(st, col);

	if (sqlite3_column_type(st, col) == SQLITE_NULL)
		return !s.p;
	return s.p && str_eq(s, (struct str){ p ? p : "", (size_t)sqlite3_column_bytes(st, col) });
}

/* The stored row equals the item, vector included (ix->vec is the item's). */
static int same_item(bool *out, struct store_index *ix, sqlite3_stmt *st, const struct store_item *it, struct err *e)
{
	int64_t seg = sqlite3_column_int64(st, 8);
	int slot = sqlite3_column_int(st, 9), bytes = (int)(ix->dims * sizeof(float));
	float *old;

	*out = false;
	if (!column_is(st, 1, it->of) || !column_is(st, 5, it->text) || !column_is(st, 6, it->metadata) ||
	    (it->of.p && (sqlite3_column_int64(st, 2) != it->seq || sqlite3_column_int64(st, 3) != it->start ||
			  sqlite3_column_int64(st, 4) != it->end)))
		return 0;
	if (slot < 0 || slot >= STORE_SLOTS)
		return err_set(e, ERR_OPEN, "index %s: damaged: slot %d; run llm-index check", ix->path, slot);
	if (seg_load(ix, seg, e))
		return -1;
	old = malloc((size_t)bytes);
	if (!old)
		return err_nomem(e);
	if (sqlite3_blob_read(ix->seg.truth, old, bytes, slot * bytes)) {
		free(old);
		return store_fail(ix, e, "reading a vector");
	}
	*out = memcmp(old, ix->vec, (size_t)bytes) == 0;
	free(old);
	return 0;
}

static int put_row(struct store_index *ix, const struct store_item *it, bool update, int64_t *item, int64_t seg,
		   int slot, struct err *e)
{
	uint8_t sha[HASH_SHA256_LEN];
	sqlite3_stmt *st = store_stmt(ix, update ? STORE_S_UPDATE : STORE_S_INSERT, e);

	if (!st)
		return -1;
	text_sha(sha, it->text);
	bind_str(st, 1, it->id);
	bind_str(st, 2, it->of);
	if (it->of.p) {
		sqlite3_bind_int64(st, 3, it->seq);
		sqlite3_bind_int64(st, 4, it->start);
		sqlite3_bind_int64(st, 5, it->end);
	}
	bind_str(st, 6, it->text);
	bind_str(st, 7, it->metadata);
	sqlite3_bind_int64(st, 8, seg);
	sqlite3_bind_int(st, 9, slot);
	sqlite3_bind_blob(st, 10, sha, sizeof sha, SQLITE_STATIC);
	if (store_exec(ix, st, e))
		return -1;
	if (!update)
		*item = sqlite3_last_insert_rowid(ix->db);
	return 0;
}

/* The vector in ix->vec goes into a slot: the old one of an update, else the first free one. */
static int place(int64_t *seg, int *slot, struct store_index *ix, bool update, struct err *e)
{
	float scale, error;
	size_t row = store_code_row(ix->dims);

	if (update ? seg_load(ix, *seg, e) : seg_with_room(ix, e))
		return -1;
	if (!update) {
		*seg = ix->seg.id;
		for (*slot = 0; *slot < STORE_SLOTS && ix->seg.slots[*slot].item; ++*slot)
			;
		if (*slot == STORE_SLOTS)
			return err_set(e, ERR_OPEN, "index %s: damaged: segment %lld has no free slot; run llm-index check",
				       ix->path, (long long)*seg);
		ix->seg.live++;
	}
	store_quantize(ix->code, &scale, &error, ix->vec, ix->dims);
	memcpy(ix->code + row, &scale, 4);
	memcpy(ix->code + row + 4, &error, 4);
	ix->seg.slots[*slot].crc = store_slot_crc(ix->vec, ix->code, scale, error, ix->dims);
	ix->seg.dirty = true;
	return slot_write(ix, *slot, e);
}

int store_index_put(enum store_change *out, struct store_index *ix, const struct store_item *it, struct err *e)
{
	sqlite3_stmt *st;
	int64_t item = 0, seg = 0;
	int slot = 0;
	bool update, same = false;
	double length;

	if (begin(ix, e) || store_index_check_pin(ix, &it->pin, it->dims, e))
		return -1;
	if (vector_length(&length, it->vec, it->dims, e)) /* before a bad first vector pins anything */
		return -1;
	if (!ix->dims && set_pin(ix, it, e))
		return -1;
	scale_to_one(ix->vec, it->vec, it->dims, length);
	st = store_stmt(ix, STORE_S_FIND, e);
	if (!st)
		return -1;
	bind_str(st, 1, it->id);
	update = sqlite3_step(st) == SQLITE_ROW;
	if (update) {
		item = sqlite3_column_int64(st, 7);
		seg = sqlite3_column_int64(st, 8);
		slot = sqlite3_column_int(st, 9);
		if (same_item(&same, ix, st, it, e)) {
			sqlite3_reset(st);
			return -1;
		}
	}
	sqlite3_reset(st);
	if (same) {
		*out = STORE_UNCHANGED;
		return 0;
	}
	ix->changed = true;
	if (place(&seg, &slot, ix, update, e) || put_row(ix, it, update, &item, seg, slot, e))
		return -1;
	ix->seg.slots[slot].item = item;
	*out = update ? STORE_UPDATED : STORE_ADDED;
	return 0;
}

/* ---- delete, has --------------------------------------------------------------------------------- */

static int delete_row(struct store_index *ix, int64_t item, int64_t seg, int slot, struct err *e)
{
	sqlite3_stmt *st;

	if (slot_clear(ix, seg, slot, e))
		return -1;
	st = store_stmt(ix, STORE_S_DELETE, e);
	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, item);
	ix->changed = true;
	return store_exec(ix, st, e);
}

int store_index_delete(uint64_t *n, struct store_index *ix, struct str id, bool of, struct err *e)
{
	*n = 0;
	if (begin(ix, e))
		return -1;
	for (;;) {
		sqlite3_stmt *st = store_stmt(ix, of ? STORE_S_BY_OF : STORE_S_FIND, e);
		int64_t item, seg;
		int slot, rc;

		if (!st)
			return -1;
		bind_str(st, 1, id);
		rc = sqlite3_step(st);
		item = sqlite3_column_int64(st, 7);
		seg = sqlite3_column_int64(st, 8);
		slot = sqlite3_column_int(st, 9);
		sqlite3_reset(st);
		if (rc == SQLITE_DONE)
			return 0;
		if (rc != SQLITE_ROW)
			return store_fail(ix, e, "reading");
		if (delete_row(ix, item, seg, slot, e))
			return -1;
		++*n;
	}
}

int store_index_has(bool *out, struct store_index *ix, struct str id, struct str text, struct err *e)
{
	uint8_t sha[HASH_SHA256_LEN];
	sqlite3_stmt *st = store_stmt(ix, STORE_S_FIND, e);
	int rc;

	if (!st)
		return -1;
	bind_str(st, 1, id);
	rc = sqlite3_step(st);
	text_sha(sha, text);
	*out = rc == SQLITE_ROW && sqlite3_column_bytes(st, 10) == (int)sizeof sha &&
	       memcmp(sqlite3_column_blob(st, 10), sha, sizeof sha) == 0;
	sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : store_fail(ix, e, "reading");
}
