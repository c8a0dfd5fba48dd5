/*
 * store: everything that is kept in SQLite: the vector index of llm-index, and the cache of answers (below). Flat files.
 *
 * The file (application_id "LLMI", user_version = schema): WAL, STRICT tables. Vectors lie in segments of 256 slots: codes
 * (int8, for the scan), truth (f32, normalised once at insert, for the score) and bookkeeping apart, so that a scan touches
 * code bytes only. Search is exact: the int8 scan keeps every vector whose upper bound reaches the k-th best, the truth of
 * those decides; no result differs from a scan of all f32 vectors (bound: see index_search.c).
 *
 * One model an index: the first vector pins dimensions and model digest; others are refused.
 *
 * Writers: one at a time (BEGIN IMMEDIATE with a busy timeout); readers see snapshots. A handle belongs to one thread.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/base.h"
#include "kern/kern.h"
#include "os/os.h"

struct store_index;

enum store_mode {
	STORE_READ,   /* must exist; nothing is written */
	STORE_WRITE,  /* must exist */
	STORE_CREATE, /* made when it is not there */
};
/* ERR_OPEN: not there, not an index of ours, an unknown schema, damaged, locked for too long. */
int store_index_open(struct store_index **out, const char *path, enum store_mode mode, struct err *e);
/* Commits what is pending; frees ix in any case. */
int store_index_close(struct store_index *ix, struct err *e);

/* What made a vector; empty strings where it is not known. */
struct store_pin {
	struct str model, digest;
};
struct store_item {
	struct str id;
	struct str text;     /* p NULL: none */
	struct str metadata; /* JSON object; p NULL: none */
	struct str of;       /* the document of a chunk; p NULL: none */
	int64_t seq, start, end;
	const float *vec;    /* [dims]; NULL in what store_index_get() gives with no vector wanted */
	size_t dims;
	struct store_pin pin;
};

enum store_change { STORE_ADDED, STORE_UPDATED, STORE_UNCHANGED, STORE_N_CHANGES };
/*
 * Insert or replace by id. Unchanged (same text, metadata and vector) writes nothing. Opens a transaction when none is open;
 * store_index_commit() ends it. ERR_DIMENSION_MISMATCH, ERR_MODEL_MISMATCH (both sides named), ERR_INVALID_VECTOR (zero, NaN).
 */
int store_index_put(enum store_change *out, struct store_index *ix, const struct store_item *it, struct err *e);
int store_index_commit(struct store_index *ix, struct err *e);
/* Does the index hold this id with this text? */
int store_index_has(bool *out, struct store_index *ix, struct str id, struct str text, struct err *e);
/* *found false: no such id. Strings and vector live in a. */
int store_index_get(struct store_item *out, bool *found, struct store_index *ix, struct str id, struct arena *a, struct err *e);
/* Delete an id, or with `of` every chunk of that document; *n counts. */
int store_index_delete(uint64_t *n, struct store_index *ix, struct str id, bool of, struct err *e);
/* Every item in order of its id's bytes, without vectors; fn returns -1 to stop. */
typedef int store_item_fn(const struct store_item *it, void *arg, struct err *e);
int store_index_each(struct store_index *ix, struct str prefix, store_item_fn *fn, void *arg, struct err *e);

struct store_hit {
	float score; /* cosine */
	struct store_item item;
};
struct store_hits {
	struct store_hit *v;
	size_t n;
};
/*
 * The k nearest of each of n queries (q [n, dims], any length but 0), best first, ties by id bytes ascending. out [n]; hits
 * live in a. Queries of one call share the scan; results do not depend on what shares it, nor on the pool.
 * Memory: 100 KB a worker for dims of 384, 40 bytes a candidate (about 3 k a query) and, from the third small call on, the
 * codes, if they take at most a quarter of what is available.
 */
int store_index_search(struct store_hits *out, struct store_index *ix, const float *q, size_t n, size_t dims, size_t k,
		       float min_score, struct os_pool *pool, struct arena *a, struct err *e);
/* ERR_INVALID_VECTOR for a vector with no direction: zero, NaN, infinite. */
int store_vector_check(const float *v, size_t dims, struct err *e);
/* A query's model against the pin. */
int store_index_check_pin(const struct store_index *ix, const struct store_pin *pin, size_t dims, struct err *e);

struct store_stats {
	uint64_t items, documents, segments, dead_slots, bytes, text_bytes;
	uint32_t schema, dims;
	struct store_pin pin; /* lives with ix */
	uint64_t generation;  /* counts commits that changed something */
};
int store_index_stats(struct store_stats *out, struct store_index *ix, struct err *e);
/* SQLite's own check, then ours: checksums, live slots against items both ways, sizes, norms, codes and bounds quantised anew.
 * fn is called for each finding; *n counts them. */
typedef int store_finding_fn(const char *what, struct str id, void *arg, struct err *e);
int store_index_check(uint64_t *n, struct store_index *ix, store_finding_fn *fn, void *arg, struct err *e);

/* ---- the cache of answers ------------------------------------------------------------------------ */

/*
 * Answers by the SHA-256 of what was asked; what key and value mean is the caller's. Another kind of file (application_id
 * "LLMR"). What is put is visible here at once and to others within STORE_CACHE_LAG_MS, a single one in a tenth of
 * that: writes are gathered into few transactions. An answer that was damaged on disk is never given: ERR_OPEN. Any number of processes; a handle is one thread's.
 */
struct store_cache;
#define STORE_KEY_LEN HASH_SHA256_LEN
#define STORE_CACHE_LAG_MS 500
struct store_cache_opts {
	int64_t ttl_s;      /* what is older counts as not there; 0: nothing is too old */
	uint64_t max_bytes; /* of the file: over it, what was not used for longest goes; 0: no limit */
	int64_t (*now)(void *arg); /* Unix seconds, for tests; NULL: the machine's */
	void *arg;
};
/* STORE_READ is enough for stats and check. ERR_OPEN: damaged, read-only, not a cache, not there. */
int store_cache_open(struct store_cache **out, const char *path, enum store_mode mode, const struct store_cache_opts *o,
		     struct err *e);
/* Writes what is pending, gives up what is claimed; frees c in any case. */
int store_cache_close(struct store_cache *c, struct err *e);
/* The answer, in out (reset first), and how old it is (NULL: not asked), or *found false. */
int store_cache_get(struct buf *out, int64_t *age_s, bool *found, struct store_cache *c, const uint8_t key[STORE_KEY_LEN],
		    struct err *e);
/* `model`: what purge and stats know it by. An answer that is there and not too old stays. Ends a claim. */
int store_cache_put(struct store_cache *c, const uint8_t key[STORE_KEY_LEN], struct str model, struct str value,
		    struct err *e);
/* Writes what is pending. */
int store_cache_flush(struct store_cache *c, struct err *e);
/* Now and then while waiting or working: writes what has been pending for long, keeps claims alive. */
int store_cache_tick(struct store_cache *c, struct err *e);

/*
 * Single flight between processes: who is to find an answer that is not there. STORE_THERE: get it; STORE_MINE: this handle
 * is, until put, release or close; STORE_TAKEN: another one is at work, ask again later. A claim of a process that died, or
 * that was silent for two minutes, is void. All n in one transaction.
 */
enum store_claim { STORE_THERE, STORE_MINE, STORE_TAKEN };
int store_cache_claim(enum store_claim *out, struct store_cache *c, const uint8_t (*keys)[STORE_KEY_LEN], size_t n,
		      struct err *e);
/* It could not be answered: another may try. */
int store_cache_release(struct store_cache *c, const uint8_t key[STORE_KEY_LEN], struct err *e);

/* What goes: of this model (p NULL: of all), made at or before this time. *n counts. The file shrinks. */
int store_cache_purge(uint64_t *n, struct store_cache *c, struct str model, int64_t made_until, struct err *e);
struct store_cache_stats {
	uint64_t entries, value_bytes, file_bytes;
	int64_t oldest, newest; /* Unix seconds; 0 where there is none */
};
int store_cache_stats(struct store_cache_stats *out, struct store_cache *c, struct err *e);
typedef int store_cache_model_fn(struct str model, uint64_t entries, uint64_t bytes, void *arg, struct err *e);
/* By name. */
int store_cache_models(struct store_cache *c, store_cache_model_fn *fn, void *arg, struct err *e);
/* SQLite's own check, then every answer and every key. *n counts what fn (may be NULL) is told. */
typedef int store_cache_finding_fn(const char *what, void *arg, struct err *e);
int store_cache_check(uint64_t *n, struct store_cache *c, store_cache_finding_fn *fn, void *arg, struct err *e);

/* ---- state that processes share ----------------------------------------------------------------- */

/*
 * Bytes by name in a file that may be removed at any time (a killed process leaves no lock). The functions are those of
 * struct net_share: `share` is a struct store_share. lock waits for others, at most a minute; ERR_OPEN, ERR_WRITE.
 */
struct store_share;
int store_share_open(struct store_share **out, const char *path, struct err *e);
void store_share_close(struct store_share *s);
int store_share_lock(void *share, struct err *e);
int store_share_get(void *blob, bool *found, void *share, const char *name, size_t n, struct err *e);
int store_share_put(void *share, const char *name, const void *blob, size_t n, struct err *e);
int store_share_unlock(void *share, struct err *e);

#endif
