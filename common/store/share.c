/* share: bytes by name that processes change in turn. Nothing here must outlive the machine: no write waits for the disk. */
#include "config.h"
#include "store/db_impl.h"

static const struct store_kind kind = {
	.what = "state",
	.tool = "llm-generate --state",
	.mend = "it may be removed at any time",
	.app_id = 0x4c4c4d53, /* "LLMS" */
	.schema = 1,
	.settings = "",
	.sql = "CREATE TABLE state(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;",
};

enum { S_LOCK, S_GET, S_PUT, S_UNLOCK, S_UNDO, N_STMTS };
static const char *const stmt_sql[N_STMTS] = {
	[S_LOCK] = "BEGIN IMMEDIATE",
	[S_GET] = "SELECT value FROM state WHERE name = ?1",
	[S_PUT] = "INSERT OR REPLACE INTO state(name, value) VALUES(?1, ?2)",
	[S_UNLOCK] = "COMMIT",
	[S_UNDO] = "ROLLBACK",
};
struct store_share {
	sqlite3 *db;
	sqlite3_stmt *stmts[N_STMTS];
	char *path;
};

static int fail(struct store_share *s, const char *doing, struct err *e)
{
	return store_db_fail(s->db, &kind, s->path, doing, e);
}

void store_share_close(struct store_share *s)
{
	if (!s)
		return;
	for (int i = 0; i < N_STMTS; i++)
		sqlite3_finalize(s->stmts[i]);
	sqlite3_close(s->db);
	free(s->path);
	free(s);
}

int store_share_open(struct store_share **out, const char *path, struct err *e)
{
	struct store_share *s = calloc(1, sizeof *s);

	if (!s || !(s->path = strdup(path))) {
		free(s);
		return err_nomem(e);
	}
	if (store_db_open(&s->db, &kind, path, STORE_CREATE, e) ||
	    store_db_sql(s->db, &kind, path, "PRAGMA synchronous = OFF", e)) {
		store_share_close(s);
		return -1;
	}
	for (int i = 0; i < N_STMTS; i++)
		if (sqlite3_prepare_v3(s->db, stmt_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->stmts[i], NULL)) {
			fail(s, "opening", e);
			store_share_close(s);
			return -1;
		}
	*out = s;
	return 0;
}

static int run(struct store_share *s, int stmt, const char *doing, struct err *e)
{
	int rc = sqlite3_step(s->stmts[stmt]);

	if (rc != SQLITE_DONE)
		fail(s, doing, e);
	sqlite3_reset(s->stmts[stmt]);
	return rc == SQLITE_DONE ? 0 : -1;
}

int store_share_lock(void *share, struct err *e)
{
	return run(share, S_LOCK, "locking", e);
}

int store_share_get(void *blob, bool *found, void *share, const char *name, size_t n, struct err *e)
{
	struct store_share *s = share;
	sqlite3_stmt *st = s->stmts[S_GET];
	int rc;

	*found = false;
	sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && (size_t)sqlite3_column_bytes(st, 0) == n) {
		memcpy(blob, sqlite3_column_blob(st, 0), n);
		*found = true;
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		fail(s, "reading", e);
	sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

int store_share_put(void *share, const char *name, const void *blob, size_t n, struct err *e)
{
	struct store_share *s = share;
	sqlite3_stmt *st = s->stmts[S_PUT];

	if (sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC) || sqlite3_bind_blob64(st, 2, blob, n, SQLITE_STATIC))
		return fail(s, "writing", e);
	return run(s, S_PUT, "writing", e);
}

int store_share_unlock(void *share, struct err *e)
{
	struct store_share *s = share;

	if (run(s, S_UNLOCK, "writing", e) == 0)
		return 0;
	run(s, S_UNDO, "writing", NULL);
	return -1;
}
