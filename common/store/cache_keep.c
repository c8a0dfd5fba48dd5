/* cache_keep: who may look for an answer; purge, statistics, check. */
#include "config.h"
#include "store/cache_impl.h"

/* ---- claims ---------------------------------------------------------------------------------- */

/* "pid:start:number". With no start known only the lease tells. */
static bool alive(const char *owner)
{
	char *end;
	long pid = strtol(owner, &end, 10);
	unsigned long long start = *end == ':' ? strtoull(end + 1, NULL, 10) : 0;

	return pid > 0 && (!start || os_process_start((pid_t)pid) == start);
}

static int look(enum store_claim *out, struct store_cache *c, const uint8_t key[STORE_KEY_LEN],
		struct err *e)
{
	sqlite3_stmt *st;
	int64_t made;
	bool found, row;

	*out = STORE_THERE;
	if (cache_find(&made, &found, NULL, c, key, e))
		return -1;
	if (found || map_get(&c->by_key, (struct str){ (const char *)key, STORE_KEY_LEN }))
		return 0;
	*out = STORE_MINE;
	if (!(st = cache_stmt(c, CACHE_S_FLIGHT, e)))
		return -1;
	sqlite3_bind_int64(st, 1, cache_row(key));
	if (cache_step(&row, c, st, "reading", e))
		return -1;
	if (row) {
		const char *owner = (const char *)sqlite3_column_text(st, 0);

		if (owner && strcmp(owner, c->owner) &&
		    sqlite3_column_int64(st, 1) > cache_now(c) && alive(owner))
			*out = STORE_TAKEN;
	}
	sqlite3_reset(st);
	return 0;
}

static int claim(struct store_cache *c, const uint8_t key[STORE_KEY_LEN], struct err *e)
{
	sqlite3_stmt *st = cache_stmt(c, CACHE_S_CLAIM, e);

	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, cache_row(key));
	sqlite3_bind_text(st, 2, c->owner, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 3, cache_now(c) + CACHE_LEASE_S);
	if (cache_step(NULL, c, st, "writing", e))
		return -1;
	if (!c->n_claims++)
		c->renewed = cache_now(c);
	return 0;
}

int store_cache_claim(enum store_claim *out, struct store_cache *c,
		      const uint8_t (*keys)[STORE_KEY_LEN], size_t n, struct err *e)
{
	bool mine = false, due;
	int rc;

	cache_end_snapshot(c); /* what others did in the meantime counts */
	/* asked again and again while others work: without a lock as long as there is nothing to
	 * claim */
	for (size_t i = 0; i < n; i++) {
		if (look(&out[i], c, keys[i], e))
			return -1;
		mine |= out[i] == STORE_MINE;
	}
	if (!mine)
		return 0;
	due = cache_due(c);
	if (cache_begin(c, e))
		return -1;
	rc = due ? cache_write_pending(c, e) : 0;
	for (size_t i = 0; !rc && i < n; i++)
		rc = look(&out[i], c, keys[i], e) || (out[i] == STORE_MINE && claim(c, keys[i], e));
	rc = cache_end(c, rc != 0, e);
	if (due)
		cache_forget_pending(c);
	return rc;
}

int store_cache_release(struct store_cache *c, const uint8_t key[STORE_KEY_LEN], struct err *e)
{
	sqlite3_stmt *st = cache_stmt(c, CACHE_S_RELEASE, e);

	if (!c->in_txn)
		cache_end_snapshot(c);
	if (!st)
		return -1;
	sqlite3_bind_int64(st, 1, cache_row(key));
	sqlite3_bind_text(st, 2, c->owner, -1, SQLITE_STATIC);
	if (cache_step(NULL, c, st, "writing", e))
		return -1;
	c->n_claims -= c->n_claims && sqlite3_changes(c->db);
	return 0;
}

/* ---- purge ----------------------------------------------------------------------------------- */

static sqlite3_stmt *query(struct store_cache *c, const char *sql, struct err *e)
{
	sqlite3_stmt *st;

	cache_end_snapshot(c);
	if (sqlite3_prepare_v2(c->db, sql, -1, &st, NULL)) {
		cache_fail(c, "reading", e);
		return NULL;
	}
	return st;
}

static int purge(uint64_t *n, struct store_cache *c, struct str model, int64_t made_until,
		 struct err *e)
{
	sqlite3_stmt *st = query(c,
				 "DELETE FROM entry WHERE made <= ?2 AND (?1 IS NULL OR model ="
				 " (SELECT id FROM model WHERE name = ?1))",
				 e);
	int rc;

	if (!st)
		return -1;
	if (model.p)
		sqlite3_bind_text64(st, 1, model.p, model.n, SQLITE_STATIC, SQLITE_UTF8);
	sqlite3_bind_int64(st, 2, made_until);
	rc = cache_step(NULL, c, st, "writing", e);
	*n = (uint64_t)sqlite3_changes64(c->db);
	sqlite3_finalize(st);
	return rc || store_db_sql(c->db, &store_cache_kind, c->path,
				  "DELETE FROM key WHERE entry NOT IN (SELECT id FROM entry);"
				  "DELETE FROM model WHERE id NOT IN (SELECT model FROM entry);",
				  e);
}

int store_cache_purge(uint64_t *n, struct store_cache *c, struct str model, int64_t made_until,
		      struct err *e)
{
	if (cache_begin(c, e))
		return -1;
	if (cache_end(c, purge(n, c, model, made_until, e) != 0, e))
		return -1;
	/* what others read keeps the log from being emptied: then it is later */
	if (*n && store_db_sql(c->db, &store_cache_kind, c->path, "PRAGMA incremental_vacuum", e))
		return -1;
	sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	return 0;
}

/* ---- what is there --------------------------------------------------------------------------- */

int store_cache_stats(struct store_cache_stats *out, struct store_cache *c, struct err *e)
{
	sqlite3_stmt *st = query(
		c, "SELECT count(*), total(length(value)), min(made), max(made) FROM entry", e);
	int64_t pages, page;
	bool row;

	*out = (struct store_cache_stats){ 0 };
	if (!st)
		return -1;
	if (!cache_step(&row, c, st, "reading", e) && row) {
		out->entries = (uint64_t)sqlite3_column_int64(st, 0);
		out->value_bytes = (uint64_t)sqlite3_column_int64(st, 1);
		out->oldest = sqlite3_column_int64(st, 2);
		out->newest = sqlite3_column_int64(st, 3);
	} else {
		row = false;
	}
	sqlite3_finalize(st);
	if (!row ||
	    store_db_int(&pages, c->db, &store_cache_kind, c->path, "PRAGMA page_count", e) ||
	    store_db_int(&page, c->db, &store_cache_kind, c->path, "PRAGMA page_size", e))
		return -1;
	out->file_bytes = (uint64_t)(pages * page);
	return 0;
}

int store_cache_models(struct store_cache *c, store_cache_model_fn *fn, void *arg, struct err *e)
{
	sqlite3_stmt *st = query(c,
				 "SELECT name, count(*), total(length(value)) FROM entry JOIN model"
				 " ON model.id = entry.model GROUP BY name ORDER BY name",
				 e);
	int rc = st ? 0 : -1;
	bool row = true;

	while (!rc && row) {
		struct str name;

		rc = cache_step(&row, c, st, "reading", e);
		if (rc || !row)
			break;
		name.p = (const char *)sqlite3_column_text(st, 0);
		name.n = (size_t)sqlite3_column_bytes(st, 0);
		rc = fn(name, (uint64_t)sqlite3_column_int64(st, 1),
			(uint64_t)sqlite3_column_int64(st, 2), arg, e);
	}
	sqlite3_finalize(st);
	return rc;
}

/* ---- check ----------------------------------------------------------------------------------- */

struct findings {
	uint64_t *n;
	store_cache_finding_fn *fn;
	void *arg;
};

static int find(const struct findings *f, struct err *e, const char *what)
{
	++*f->n;
	return f->fn ? f->fn(what, f->arg, e) : 0;
}

/* Each row of a query is a finding: its first column. */
static int findings_of(const struct findings *f, struct store_cache *c, const char *sql,
		       struct err *e)
{
	sqlite3_stmt *st = query(c, sql, e);
	int rc = st ? 0 : -1;
	bool row = true;

	while (!rc && row) {
		rc = cache_step(&row, c, st, "checking", e);
		if (!rc && row)
			rc = find(f, e, (const char *)sqlite3_column_text(st, 0));
	}
	sqlite3_finalize(st);
	return rc;
}

static int check_values(const struct findings *f, struct store_cache *c, struct err *e)
{
	sqlite3_stmt *st = query(c, "SELECT id, key, model, made, crc, value FROM entry", e);
	int rc = st ? 0 : -1;
	bool row = true;
	char text[80];

	while (!rc && row) {
		struct str value;

		rc = cache_step(&row, c, st, "checking", e);
		if (rc || !row)
			break;
		value.p = sqlite3_column_blob(st, 5);
		value.n = (size_t)sqlite3_column_bytes(st, 5);
		if (sqlite3_column_bytes(st, 1) == STORE_KEY_LEN &&
		    cache_crc(sqlite3_column_blob(st, 1), sqlite3_column_int64(st, 2),
			      sqlite3_column_int64(st, 3), value) == sqlite3_column_int64(st, 4))
			continue;
		snprintf(text, sizeof text, "entry %lld: its checksum is another",
			 (long long)sqlite3_column_int64(st, 0));
		rc = find(f, e, text);
	}
	sqlite3_finalize(st);
	return rc;
}

int store_cache_check(uint64_t *n, struct store_cache *c, store_cache_finding_fn *fn, void *arg,
		      struct err *e)
{
	struct findings f = { n, fn, arg };

	*n = 0;
	if (findings_of(&f, c,
			"SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check "
			"<> 'ok'",
			e) ||
	    findings_of(&f, c,
			"SELECT 'entry ' || id || ': no key leads to it' FROM entry"
			" WHERE id NOT IN (SELECT entry FROM key)",
			e) ||
	    findings_of(&f, c,
			"SELECT 'key ' || h || ': its entry is not there' FROM key"
			" WHERE entry NOT IN (SELECT id FROM entry)",
			e))
		return -1;
	return check_values(&f, c, e);
}
