/* store_impl: what the index's files share. */
#ifndef STORE_STORE_IMPL_H
#define STORE_STORE_IMPL_H

#include "store/store.h"
#include <sqlite3.h>

#define STORE_SLOTS 256          /* vectors a segment */
#define STORE_APP_ID 0x4C4C4D49  /* "LLMI" */
#define STORE_SCHEMA 1
#define STORE_MAX_DIMS 65536     /* kern_dots_u8s8() is exact up to 66311 */

/* Bytes of a code row: dims rounded up to 64, so that kernels have no tail. */
static inline size_t store_code_row(uint32_t dims)
{
	return ((size_t)dims + 63) / 64 * 64;
}
/* A code segment: rows, then 256 scales, then 256 error norms. */
static inline size_t store_code_bytes(uint32_t dims)
{
	return STORE_SLOTS * (store_code_row(dims) + 2 * sizeof(float));
}
static inline size_t store_truth_bytes(uint32_t dims)
{
	return (size_t)STORE_SLOTS * dims * sizeof(float);
}

/* One slot of the bookkeeping blob `seg.slots`. A slot with item 0 is dead. */
struct store_slot {
	int64_t item;
	uint32_t crc; /* CRC-32C of the truth row, then the code row, scale and error */
	uint32_t pad;
};
_Static_assert(sizeof(struct store_slot) == 16, "seg.slots");

enum store_stmt {
	STORE_S_BEGIN, STORE_S_COMMIT, STORE_S_ROLLBACK,
	STORE_S_FIND, STORE_S_INSERT, STORE_S_UPDATE, STORE_S_DELETE, STORE_S_BY_OF, STORE_S_ITEM,
	STORE_S_EACH, STORE_S_OPEN_SEG, STORE_S_NEW_SEG, STORE_S_NEW_CODE, STORE_S_NEW_TRUTH,
	STORE_S_SLOTS, STORE_S_PUT_SLOTS, STORE_S_META, STORE_S_PIN, STORE_S_SEGS, STORE_N_STMTS
};

/* The segment that a writer has in hand. */
struct store_seg {
	int64_t id; /* 0: none */
	struct store_slot slots[STORE_SLOTS];
	int live;
	bool dirty;
	sqlite3_blob *code, *truth;
};

/* One worker of a search. */
struct store_reader {
	struct store_index *ix; /* a connection of its own; worker 0 of a read-only handle uses that one */
	sqlite3_blob *code, *truth;
	uint8_t *block;  /* [store_code_bytes] a segment's codes, where they are not kept */
	uint8_t *packed; /* [STORE_SLOTS, store_code_row] the same in the order that kern_mul_u8s8() reads */
	int32_t *dots;   /* [STORE_QUERIES, STORE_SLOTS] */
	float *row;      /* [dims] */
	struct err err;  /* the first failure ends the worker */
	bool failed;
};
/*
 * What the searches of one handle share: readers in one snapshot, its segments and, once they have been read a few times,
 * their codes in memory (at most a quarter of what is available).
 */
struct store_view {
	struct store_reader *readers;
	unsigned n, cap;
	bool known;          /* the rest is of this generation */
	uint64_t generation;
	unsigned searches;
	int64_t *segs;       /* [n_segs] ids of the segments that hold something */
	size_t n_segs;
	uint8_t *codes;      /* [n_segs, store_code_bytes] or NULL */
	bool *have;          /* [n_segs] those that are there */
};
#define STORE_QUERIES 48 /* that share a pass over a packed segment: with their sums they stay in L2 */

struct store_index {
	sqlite3 *db;
	char *path;
	enum store_mode mode;
	bool in_txn, changed;
	uint32_t dims;          /* 0: nothing stored yet */
	struct buf model, digest;
	uint64_t generation;
	sqlite3_stmt *stmt[STORE_N_STMTS];
	struct store_seg seg;
	float *vec;             /* [dims] the vector in hand, normalised */
	uint8_t *code;          /* [store_code_row + 8] its codes, scale and error */
	struct store_view view;
};

/* SQLite's last message as an ERR_OPEN (or ERR_NOMEM, ERR_WRITE for a full disk). */
int store_fail(struct store_index *ix, struct err *e, const char *what);
/* The prepared statement, reset and without bindings; NULL on failure. */
sqlite3_stmt *store_stmt(struct store_index *ix, enum store_stmt s, struct err *e);
/* Step a statement that gives no row. */
int store_exec(struct store_index *ix, sqlite3_stmt *st, struct err *e);
int store_load_pin(struct store_index *ix, struct err *e);
int store_put_meta(struct store_index *ix, const char *key, struct str value, struct err *e);
/* In one copy of SQLite's column into a: p NULL for SQL NULL. */
int store_column(struct str *out, sqlite3_stmt *st, int col, struct arena *a, struct err *e);
int store_item_of(struct store_item *out, sqlite3_stmt *st, struct arena *a, struct err *e);

/*
 * codes [store_code_row(dims)] u8 = 128 + rint(x / s), s = max|x| / 127, padding 128; *scale = s; *error = |x - s c|, rounded
 * up. x [dims] is not zero.
 */
void store_quantize(uint8_t *codes, float *scale, float *error, const float *x, uint32_t dims);
uint32_t store_slot_crc(const float *vec, const uint8_t *code, float scale, float error, uint32_t dims);
/* out = x / |x|. ERR_INVALID_VECTOR for zero, NaN, infinite. */
int store_normalise(float *out, const float *x, size_t dims, struct err *e);
/* n readers in one snapshot, for a search of so many queries; the view is of its generation. store_view_end() in any case: it lets go of the snapshot. */
int store_view_begin(struct store_index *ix, unsigned n, size_t queries, struct err *e);
void store_view_end(struct store_index *ix);
void store_view_release(struct store_view *v);
/* The codes of segment i of the view, valid until the reader's next call; NULL on failure. */
const uint8_t *store_view_codes(struct store_view *v, struct store_reader *r, size_t i, struct err *e);
/* Move an open blob handle to another row, or open it. */
int store_blob_to(sqlite3_blob **b, struct store_index *ix, const char *table, int64_t id, size_t bytes, struct err *e);
/* The bookkeeping of a segment. */
int store_slots(struct store_slot out[STORE_SLOTS], struct store_index *ix, int64_t seg, struct err *e);
/* Write the segment in hand back. */
int store_seg_flush(struct store_index *ix, struct err *e);
void store_seg_drop(struct store_index *ix);

#endif
