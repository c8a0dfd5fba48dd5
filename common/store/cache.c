/* cache: answers by key: get, put in few transactions, the oldest out when there are too many. */
#include "config.h"
#include "store/cache_impl.h"
#include <endian.h>
#include <unistd.h>

#define SNAPSHOT_NS 10000000u
#define FEW 8 /* answers */

/* Values lie in the order they came, so that a job that runs every night reads them in one go; the
 * table that is met at random is small. `used`: Unix time of the last use, to the hour. */
static const char schema_sql[] =
	"CREATE TABLE model(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
	"CREATE TABLE key(h INTEGER PRIMARY KEY, entry INT NOT NULL, used INT NOT NULL) STRICT;"
	"CREATE TABLE entry(id INTEGER PRIMARY KEY, key BLOB NOT NULL, model INT NOT NULL, made "
	"INT NOT NULL,"
	" crc INT NOT NULL, value BLOB NOT NULL) STRICT;"
	"CREATE TABLE flight(h INTEGER PRIMARY KEY, owner TEXT NOT NULL, until INT NOT NULL) "
	"STRICT;";

const struct store_kind store_cache_kind = {
	.what = "cache",
	.tool = "llm-cache",
	.mend = "remove it, or give another --cache FILE",
	.app_id = CACHE_APP_ID,
	.schema = CACHE_SCHEMA,
	.settings = "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL;",
	.sql = schema_sql,
};

static const char *const stmt_sql[CACHE_N_STMTS] = {
	[CACHE_S_BEGIN] = "BEGIN IMMEDIATE",
	[CACHE_S_SNAPSHOT] = "BEGIN",
	[CACHE_S_COMMIT] = "COMMIT",
	[CACHE_S_ROLLBACK] = "ROLLBACK",
	[CACHE_S_FIND] = "SELECT k.entry, k.used, e.key, e.model, e.made, e.crc, e.value"
			 " FROM key k JOIN entry e ON e.id = k.entry WHERE k.h = ?1",
	[CACHE_S_PUT] =
		"INSERT INTO entry(key, model, made, crc, value) VALUES(?1, ?2, ?3, ?4, ?5)",
	[CACHE_S_PUT_KEY] = "INSERT OR REPLACE INTO key(h, entry, used) VALUES(?1, ?2, ?3)",
	[CACHE_S_DROP] = "DELETE FROM entry WHERE id = (SELECT entry FROM key WHERE h = ?1)",
	[CACHE_S_DROP_KEY] = "DELETE FROM key WHERE h = ?1",
	[CACHE_S_USED] = "UPDATE key SET used = ?2 WHERE h = ?1",
	[CACHE_S_MODEL] = "SELECT id FROM model WHERE name = ?1",
	[CACHE_S_NEW_MODEL] = "INSERT INTO model(name) VALUES(?1)",
	[CACHE_S_BYTES] = "SELECT p.page_count * s.page_size, f.freelist_count * s.page_size"
			  " FROM pragma_page_count p, pragma_page_size s, pragma_freelist_count f",
	[CACHE_S_COUNT] = "SELECT count(*) FROM key",
	[CACHE_S_OLD] = "DELETE FROM entry WHERE id IN (SELECT entry FROM key ORDER BY used, entry "
			"LIMIT ?1)",
	[CACHE_S_OLD_KEYS] =
		"DELETE FROM key WHERE h IN (SELECT h FROM key ORDER BY used, entry LIMIT ?1)",
	[CACHE_S_FLIGHT] = "SELECT owner, until FROM flight WHERE h = ?1",
	[CACHE_S_CLAIM] = "INSERT OR REPLACE INTO flight(h, owner, until) VALUES(?1, ?2, ?3)",
	[CACHE_S_RELEASE] = "DELETE FROM flight WHERE h = ?1 AND owner = ?2",
	[CACHE_S_RELEASE_ALL] = "DELETE FROM flight WHERE owner = ?1",
	[CACHE_S_RENEW] = "UPDATE flight SET until = ?2 WHERE owner = ?1",
};

int64_t cache_now(const struct store_cache *c)
{
	return c->o.now ? c->o.now(c->o.arg) : time_unix_s();
}

int64_t cache_row(const uint8_t key[STORE_KEY_LEN])
{
	uint64_t h;

	memcpy(&h, key, sizeof h);
	return (int64_t)le64toh(h);
}

uint32_t cache_crc(const uint8_t key[STORE_KEY_LEN], int64_t model, int64_t made, struct str value)
{
	uint64_t head[2] = { htole64((uint64_t)model), htole64((uint64_t)made) };

	return hash_crc32c(hash_crc32c(hash_crc32c(0, key, STORE_KEY_LEN), head, sizeof head),
			   value.p, value.n);
}

/* ---- statements ------------------------------------------------------------------------------ */

int cache_fail(struct store_cache *c, const char *doing, struct err *e)
{
	return store_db_fail(c->db, &store_cache_kind, c->path, doing, e);
}

sqlite3_stmt *cache_stmt(struct store_cache *c, enum cache_stmt s, struct err *e)
{
	sqlite3_stmt **st = &c->stmt[s];

	if (!*st &&
	    sqlite3_prepare_v3(c->db, stmt_sql[s], -1, SQLITE_PREPARE_PERSISTENT, st, NULL)) {
		cache_fail(c, "preparing a statement", e);
		return NULL;
	}
	sqlite3_reset(*st);
	return *st;
}

int cache_step(bool *row, struct store_cache *c, sqlite3_stmt *st, const char *doing, struct err *e)
{
	int rc = sqlite3_step(st);

	if (row)
		*row = rc == SQLITE_ROW;
	if (rc == SQLITE_ROW && row)
		return 0;
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		cache_fail(c, doing, e);
	sqlite3_reset(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : -1;
}

/* A statement with one or two numbers and no rows. */
static int run(struct store_cache *c, enum cache_stmt s, int64_t a, int64_t b, struct err *e)
{
	sqlite3_stmt *st = cache_stmt(c, s, e);

	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, a);
	sqlite3_bind_int64(st, 2, b);
	return cache_step(NULL, c, st, "writing", e);
}

/* Locking the file costs more than a look-up, so hits in a row share a snapshot; a short one, since
 * others cannot tidy the log behind it. */
static int snapshot(struct store_cache *c, struct err *e)
{
	uint64_t now = time_mono_ns();
	sqlite3_stmt *st;

	if (c->reading && now - c->reading_since > SNAPSHOT_NS)
		cache_end_snapshot(c);
	if (c->in_txn || c->reading)
		return 0;
	st = cache_stmt(c, CACHE_S_SNAPSHOT, e);
	if (!st || cache_step(NULL, c, st, "reading", e))
		return -1;
	c->reading = true;
	c->reading_since = now;
	return 0;
}

void cache_end_snapshot(struct store_cache *c)
{
	sqlite3_stmt *st = c->reading ? cache_stmt(c, CACHE_S_COMMIT, NULL) : NULL;

	c->reading = false;
	if (st)
		cache_step(NULL, c, st, "reading", NULL);
}

int cache_begin(struct store_cache *c, struct err *e)
{
	sqlite3_stmt *st = cache_stmt(c, CACHE_S_BEGIN, e);

	cache_end_snapshot(c);
	if (!st || cache_step(NULL, c, st, "writing", e))
		return -1;
	c->in_txn = true;
	return 0;
}

int cache_end(struct store_cache *c, bool failed, struct err *e)
{
	sqlite3_stmt *st;

	if (!failed) {
		st = cache_stmt(c, CACHE_S_COMMIT, e);
		failed = !st || cache_step(NULL, c, st, "writing", e);
	}
	if (failed && (st = cache_stmt(c, CACHE_S_ROLLBACK, NULL)))
		cache_step(NULL, c, st, "writing", NULL);
	c->in_txn = false;
	return failed ? -1 : 0;
}

/* ---- size ------------------------------------------------------------------------------------ */

static int size(uint64_t *file, uint64_t *used, struct store_cache *c, struct err *e)
{
	sqlite3_stmt *st = cache_stmt(c, CACHE_S_BYTES, e);
	bool row;

	if (!st || cache_step(&row, c, st, "reading", e))
		return -1;
	*file = row ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
	*used = row ? *file - (uint64_t)sqlite3_column_int64(st, 1) : 0;
	sqlite3_reset(st);
	c->touching = c->o.max_bytes && *used > c->o.max_bytes / 2;
	return 0;
}

/* Down to nine tenths of what is allowed: by number first, again while that was not enough (answers
 * differ in length, and pages empty only bit by bit). Within a transaction. */
static int evict(struct store_cache *c, struct err *e)
{
	uint64_t file, used, target = c->o.max_bytes / 10 * 9;
	sqlite3_stmt *st;
	double share;
	int64_t n;
	bool row;

	if (!c->o.max_bytes || size(&file, &used, c, e))
		return c->o.max_bytes ? -1 : 0;
	if (used <= c->o.max_bytes)
		return 0;
	while (used > target) {
		if (!(st = cache_stmt(c, CACHE_S_COUNT, e)) ||
		    cache_step(&row, c, st, "reading", e))
			return -1;
		n = row ? sqlite3_column_int64(st, 0) : 0;
		sqlite3_reset(st);
		if (!n)
			break;
		share = (double)(used - target) / (double)used * (double)n;
		n = share < 1 ? 1 : (int64_t)share;
		if (run(c, CACHE_S_OLD, n, 0, e) || run(c, CACHE_S_OLD_KEYS, n, 0, e) ||
		    size(&file, &used, c, e))
			return -1;
	}
	/* the limit was lowered: give the room back */
	if (file > c->o.max_bytes / 8 * 9)
		return store_db_sql(c->db, &store_cache_kind, c->path, "PRAGMA incremental_vacuum",
				    e);
	return 0;
}

/* ---- put ------------------------------------------------------------------------------------- */

static int model_id(int64_t *out, struct store_cache *c, struct str name, struct err *e)
{
	bool row = false;

	for (int i = 0; !row && i < 2; i++) {
		sqlite3_stmt *st = cache_stmt(c, i ? CACHE_S_NEW_MODEL : CACHE_S_MODEL, e);

		if (!st)
			return -1;
		sqlite3_bind_text64(st, 1, name.p, name.n, SQLITE_STATIC, SQLITE_UTF8);
		if (cache_step(i ? NULL : &row, c, st, "writing", e))
			return -1;
		*out = i ? sqlite3_last_insert_rowid(c->db) : row ? sqlite3_column_int64(st, 0) : 0;
		sqlite3_reset(st);
	}
	return 0;
}

static int write_entry(struct store_cache *c, const struct cache_pending *p, int64_t model,
		       struct err *e)
{
	int64_t h = cache_row(p->key);
	sqlite3_stmt *st;
	int64_t made;
	bool there;

	if (c->n_claims) {
		if (store_cache_release(c, p->key, e))
			return -1;
	}
	if (cache_find(&made, &there, NULL, c, p->key, e))
		return -1;
	if (there)
		return 0;
	if (run(c, CACHE_S_DROP, h, 0, e) || !(st = cache_stmt(c, CACHE_S_PUT, e)))
		return -1;
	sqlite3_bind_blob(st, 1, p->key, STORE_KEY_LEN, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, model);
	sqlite3_bind_int64(st, 3, p->made);
	sqlite3_bind_int64(st, 4, cache_crc(p->key, model, p->made, p->value));
	sqlite3_bind_blob64(st, 5, p->value.p, p->value.n, SQLITE_STATIC);
	if (cache_step(NULL, c, st, "writing", e) || !(st = cache_stmt(c, CACHE_S_PUT_KEY, e)))
		return -1;
	sqlite3_bind_int64(st, 1, h);
	sqlite3_bind_int64(st, 2, sqlite3_last_insert_rowid(c->db));
	sqlite3_bind_int64(st, 3, p->made / CACHE_USED_S * CACHE_USED_S);
	return cache_step(NULL, c, st, "writing", e);
}

int cache_write_pending(struct store_cache *c, struct err *e)
{
	int64_t now = cache_now(c), model = 0;

	for (size_t i = 0; i < c->n_pending; i++) {
		const struct cache_pending *p = &c->pending[i];

		if ((!i || !str_eq(p->model, p[-1].model)) && model_id(&model, c, p->model, e))
			return -1;
		if (write_entry(c, p, model, e))
			return -1;
	}
	for (size_t i = 0; i < c->n_touched; i++)
		if (run(c, CACHE_S_USED, c->touched[i], now / CACHE_USED_S * CACHE_USED_S, e))
			return -1;
	if (c->n_claims && now - c->renewed >= CACHE_LEASE_S / 3) {
		sqlite3_stmt *st = cache_stmt(c, CACHE_S_RENEW, e);

		if (!st)
			return -1;
		sqlite3_bind_text(st, 1, c->owner, -1, SQLITE_STATIC);
		sqlite3_bind_int64(st, 2, now + CACHE_LEASE_S);
		if (cache_step(NULL, c, st, "writing", e))
			return -1;
		c->renewed = now;
	}
	return c->n_pending ? evict(c, e) : 0;
}

void cache_forget_pending(struct store_cache *c)
{
	c->n_pending = c->pending_bytes = c->n_touched = 0;
	c->written = time_mono_ns();
	map_release(&c->by_key);
	map_init(&c->by_key, false);
	arena_reset(&c->mem);
}

int store_cache_flush(struct store_cache *c, struct err *e)
{
	int rc;

	cache_end_snapshot(c);
	if (!c->n_pending && !c->n_touched && !c->n_claims)
		return 0;
	if (cache_begin(c, e))
		rc = -1;
	else
		rc = cache_end(c, cache_write_pending(c, e) != 0, e);
	cache_forget_pending(c);
	return rc;
}

/* Few answers were dear and are kept at once; many are written together, since each is met at random
 * in the table of keys and costs a page there. */
bool cache_due(const struct store_cache *c)
{
	uint64_t lag = (uint64_t)STORE_CACHE_LAG_MS * 1000000 / (c->n_pending < FEW ? 10 : 1);

	return c->n_pending == CACHE_PENDING || c->pending_bytes >= CACHE_PENDING_BYTES ||
	       c->n_touched == CACHE_TOUCHED ||
	       ((c->n_pending || (c->n_claims && cache_now(c) - c->renewed >= CACHE_LEASE_S / 3)) &&
		time_mono_ns() - c->written >= lag);
}

int store_cache_tick(struct store_cache *c, struct err *e)
{
	cache_end_snapshot(c);
	return cache_due(c) ? store_cache_flush(c, e) : 0;
}

int store_cache_put(struct store_cache *c, const uint8_t key[STORE_KEY_LEN], struct str model,
		    struct str value, struct err *e)
{
	struct cache_pending *p = &c->pending[c->n_pending];
	uint64_t *place;
	bool is_new;

	memcpy(p->key, key, STORE_KEY_LEN);
	if (map_get(&c->by_key, (struct str){ (const char *)key, STORE_KEY_LEN }))
		return 0;
	p->model = arena_str(&c->mem, model);
	p->value = arena_str(&c->mem, value);
	if (!p->model.p || !p->value.p)
		return err_nomem(e);
	if (map_put(&place, &is_new, &c->by_key,
		    (struct str){ (const char *)p->key, STORE_KEY_LEN }, e))
		return -1;
	p->made = cache_now(c);
	*place = c->n_pending++;
	c->pending_bytes += value.n;
	return store_cache_tick(c, e);
}

/* ---- get ------------------------------------------------------------------------------------- */

int cache_find(int64_t *made, bool *found, struct buf *out, struct store_cache *c,
	       const uint8_t key[STORE_KEY_LEN], struct err *e)
{
	sqlite3_stmt *st = cache_stmt(c, CACHE_S_FIND, e);
	int64_t now = c->o.ttl_s || c->touching ? cache_now(c) : 0;
	struct str value;
	bool row;

	*found = false;
	if (!st || snapshot(c, e))
		return -1;
	sqlite3_bind_int64(st, 1, cache_row(key));
	if (cache_step(&row, c, st, "reading", e))
		return -1;
	if (!row) { /* what is not there takes its time */
		cache_end_snapshot(c);
		return 0;
	}
	*made = sqlite3_column_int64(st, 4);
	/* another key that begins with the same 8 bytes is no answer to this one */
	*found = sqlite3_column_bytes(st, 2) == STORE_KEY_LEN &&
		 !memcmp(sqlite3_column_blob(st, 2), key, STORE_KEY_LEN) &&
		 !(c->o.ttl_s && now - *made > c->o.ttl_s);
	if (*found && out) {
		value.p = sqlite3_column_blob(st, 6);
		value.n = (size_t)sqlite3_column_bytes(st, 6);
		if (cache_crc(key, sqlite3_column_int64(st, 3), *made, value) !=
		    sqlite3_column_int64(st, 5)) {
			sqlite3_reset(st);
			return err_set(e, ERR_OPEN,
				       "cache %s: damaged: an answer has another checksum; %s",
				       c->path, store_cache_kind.mend);
		}
		buf_adds(out, value);
		if (c->touching &&
		    now / CACHE_USED_S * CACHE_USED_S > sqlite3_column_int64(st, 1) &&
		    c->n_touched < CACHE_TOUCHED)
			c->touched[c->n_touched++] = cache_row(key);
	}
	sqlite3_reset(st);
	return out ? buf_check(out, e) : 0;
}

int store_cache_get(struct buf *out, int64_t *age_s, bool *found, struct store_cache *c,
		    const uint8_t key[STORE_KEY_LEN], struct err *e)
{
	int64_t made = 0;
	const uint64_t *place =
		map_get(&c->by_key, (struct str){ (const char *)key, STORE_KEY_LEN });

	buf_reset(out);
	*found = place != NULL;
	if (place) {
		buf_adds(out, c->pending[*place].value);
		made = c->pending[*place].made;
	}
	if (place ? buf_check(out, e) : cache_find(&made, found, out, c, key, e))
		return -1;
	if (age_s)
		*age_s = *found ? cache_now(c) - made : 0;
	return c->n_touched == CACHE_TOUCHED ? store_cache_tick(c, e) : 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_db(struct store_cache *c, enum store_mode mode, struct err *e)
{
	uint64_t file, used;

	if (store_db_open(&c->db, &store_cache_kind, c->path, mode, e))
		return -1;
	if (mode != STORE_READ && sqlite3_db_readonly(c->db, "main"))
		return err_set(e, ERR_OPEN, "cache %s: it cannot be written (read-only)", c->path);
	return store_db_sql(c->db, &store_cache_kind, c->path,
			    "PRAGMA mmap_size = 2147418112; PRAGMA synchronous = NORMAL; PRAGMA "
			    "cache_size = -16384;",
			    e) ||
	       size(&file, &used, c, e);
}

int store_cache_open(struct store_cache **out, const char *path, enum store_mode mode,
		     const struct store_cache_opts *o, struct err *e)
{
	struct store_cache *c = calloc(1, sizeof *c);

	*out = NULL;
	if (!c)
		return err_nomem(e);
	c->o = *o;
	c->path = strdup(path);
	map_init(&c->by_key, false);
	arena_init(&c->mem, CACHE_PENDING_BYTES + 2 * BUF_MAX_LINE);
	snprintf(c->owner, sizeof c->owner, "%ld:%llu:%llx", (long)getpid(),
		 (unsigned long long)os_process_start(getpid()),
		 (unsigned long long)(time_mono_ns() ^ (uintptr_t)c));
	if (!c->path ? err_nomem(e) : open_db(c, mode, e)) {
		store_cache_close(c, NULL);
		return -1;
	}
	*out = c;
	return 0;
}

int store_cache_close(struct store_cache *c, struct err *e)
{
	sqlite3_stmt *st;
	int rc;

	if (!c)
		return 0;
	rc = store_cache_flush(c, e);
	if (c->n_claims && (st = cache_stmt(c, CACHE_S_RELEASE_ALL, e))) {
		sqlite3_bind_text(st, 1, c->owner, -1, SQLITE_STATIC);
		rc |= cache_step(NULL, c, st, "writing", rc ? NULL : e);
	}
	for (int i = 0; i < CACHE_N_STMTS; i++)
		sqlite3_finalize(c->stmt[i]);
	sqlite3_close(c->db);
	map_release(&c->by_key);
	arena_release(&c->mem);
	free(c->path);
	free(c);
	return rc ? -1 : 0;
}
