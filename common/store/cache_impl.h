/* cache_impl: what the cache's files share. */
#ifndef STORE_CACHE_IMPL_H
#define STORE_CACHE_IMPL_H

#include "store/db_impl.h"

#define CACHE_APP_ID 0x4C4C4D52 /* "LLMR" */
#define CACHE_SCHEMA 1
#define CACHE_LEASE_S 120
#define CACHE_USED_S 3600 /* last use is known to the hour, so that few hits are writes */

/* Tables: cache.c. A key's first 8 bytes are its row; the others tell two of them apart. */
enum cache_stmt {
	CACHE_S_BEGIN,
	CACHE_S_SNAPSHOT,
	CACHE_S_COMMIT,
	CACHE_S_ROLLBACK,
	CACHE_S_FIND,
	CACHE_S_PUT,
	CACHE_S_PUT_KEY,
	CACHE_S_DROP,
	CACHE_S_DROP_KEY,
	CACHE_S_USED,
	CACHE_S_MODEL,
	CACHE_S_NEW_MODEL,
	CACHE_S_BYTES,
	CACHE_S_COUNT,
	CACHE_S_OLD,
	CACHE_S_OLD_KEYS,
	CACHE_S_FLIGHT,
	CACHE_S_CLAIM,
	CACHE_S_RELEASE,
	CACHE_S_RELEASE_ALL,
	CACHE_S_RENEW,
	CACHE_N_STMTS
};

/* An answer that is not in the file yet; model and value live in store_cache.mem. */
struct cache_pending {
	uint8_t key[STORE_KEY_LEN];
	struct str model, value;
	int64_t made;
};
enum { CACHE_PENDING = 512, CACHE_TOUCHED = 1024 };
#define CACHE_PENDING_BYTES ((size_t)4 << 20)

struct store_cache {
	sqlite3 *db;
	char *path;
	struct store_cache_opts o;
	sqlite3_stmt *stmt[CACHE_N_STMTS];
	bool in_txn, reading; /* a transaction that writes; a snapshot that hits in a row share */
	uint64_t reading_since;
	struct cache_pending pending[CACHE_PENDING];
	size_t n_pending, pending_bytes;
	struct arena mem;
	struct map by_key;              /* of pending: key to its place */
	int64_t touched[CACHE_TOUCHED]; /* rows that were used in another hour than theirs */
	size_t n_touched;
	bool touching;    /* the file is half full: what is used must be known */
	uint64_t written; /* mono ns of the last transaction */
	char owner[80];   /* of claims: process, its start, a number of this handle */
	size_t n_claims;
	int64_t renewed;
};

extern const struct store_kind store_cache_kind;
int64_t cache_now(const struct store_cache *c);
int64_t cache_row(const uint8_t key[STORE_KEY_LEN]);
uint32_t cache_crc(const uint8_t key[STORE_KEY_LEN], int64_t model, int64_t made, struct str value);
int cache_fail(struct store_cache *c, const char *doing, struct err *e);
/* The prepared statement, reset; NULL on failure. */
sqlite3_stmt *cache_stmt(struct store_cache *c, enum cache_stmt s, struct err *e);
/* Steps a statement to its first row or end; reset when it gives none. */
int cache_step(bool *row, struct store_cache *c, sqlite3_stmt *st, const char *doing,
	       struct err *e);
/* BEGIN IMMEDIATE, and the end of it: COMMIT, or ROLLBACK when failed. Returns -1 when failed or
 * when it fails. */
int cache_begin(struct store_cache *c, struct err *e);
void cache_end_snapshot(struct store_cache *c);
int cache_end(struct store_cache *c, bool failed, struct err *e);
/* Is it time to write what is pending? */
bool cache_due(const struct store_cache *c);
/* All that is pending, within a transaction. */
int cache_write_pending(struct store_cache *c, struct err *e);
void cache_forget_pending(struct store_cache *c);
/* Is there an answer, not too old, made when? (not looking at what is pending) With out: it,
 * checked. */
int cache_find(int64_t *made, bool *found, struct buf *out, struct store_cache *c,
	       const uint8_t key[STORE_KEY_LEN], struct err *e);

#endif
