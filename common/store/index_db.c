/* index_db: the file, its schema, its statements. */
#include "config.h"
#include "store/store_impl.h"
#include "store/db_impl.h"

static const char schema_sql[] =
	"CREATE TABLE code8(id INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT;"
	"CREATE TABLE truth(id INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT;"
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;"
	"CREATE TABLE seg(id INTEGER PRIMARY KEY, live INT NOT NULL, slots BLOB NOT NULL) STRICT;"
	"CREATE INDEX seg_room ON seg(live) WHERE live < 256;"
	"CREATE TABLE item(id INTEGER PRIMARY KEY, extid TEXT NOT NULL UNIQUE, of TEXT, seq INT, start INT, stop INT,"
	" sha BLOB NOT NULL, seg INT NOT NULL, slot INT NOT NULL, text TEXT, metadata TEXT) STRICT;"
	"CREATE INDEX item_of ON item(of, seq) WHERE of IS NOT NULL;";

static const struct store_kind kind = {
	.what = "index",
	.tool = "llm-index",
	.mend = "restore a copy or build it again",
	.app_id = STORE_APP_ID,
	.schema = STORE_SCHEMA,
	.settings = "PRAGMA page_size = 16384",
	.sql = schema_sql,
};

#define ITEM_COLUMNS "extid, of, seq, start, stop, text, metadata, id, seg, slot, sha"

static const char *const stmt_sql[STORE_N_STMTS] = {
	[STORE_S_BEGIN] = "BEGIN IMMEDIATE",
	[STORE_S_COMMIT] = "COMMIT",
	[STORE_S_ROLLBACK] = "ROLLBACK",
	[STORE_S_FIND] = "SELECT " ITEM_COLUMNS " FROM item WHERE extid = ?1",
	[STORE_S_INSERT] = "INSERT INTO item(extid, of, seq, start, stop, text, metadata, seg, slot, sha)"
			   " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[STORE_S_UPDATE] = "UPDATE item SET of = ?2, seq = ?3, start = ?4, stop = ?5, text = ?6, metadata = ?7,"
			   " seg = ?8, slot = ?9, sha = ?10 WHERE extid = ?1",
	[STORE_S_DELETE] = "DELETE FROM item WHERE id = ?1",
	[STORE_S_BY_OF] = "SELECT " ITEM_COLUMNS " FROM item WHERE of = ?1 ORDER BY seq",
	[STORE_S_ITEM] = "SELECT " ITEM_COLUMNS " FROM item WHERE id = ?1",
	[STORE_S_EACH] = "SELECT " ITEM_COLUMNS " FROM item WHERE extid >= ?1 ORDER BY extid",
	[STORE_S_OPEN_SEG] = "SELECT id FROM seg WHERE live < 256 ORDER BY live DESC, id LIMIT 1",
	[STORE_S_NEW_SEG] = "INSERT INTO seg(id, live, slots) VALUES(NULL, 0, zeroblob(?1))",
	[STORE_S_NEW_CODE] = "INSERT INTO code8(id, v) VALUES(?1, zeroblob(?2))",
	[STORE_S_NEW_TRUTH] = "INSERT INTO truth(id, v) VALUES(?1, zeroblob(?2))",
	[STORE_S_SLOTS] = "SELECT slots FROM seg WHERE id = ?1",
	[STORE_S_PUT_SLOTS] = "UPDATE seg SET live = ?2, slots = ?3 WHERE id = ?1",
	[STORE_S_META] = "INSERT INTO meta(key, value) VALUES(?1, ?2)"
			 " ON CONFLICT(key) DO UPDATE SET value = excluded.value",
	[STORE_S_PIN] = "SELECT key, value FROM meta",
	[STORE_S_SEGS] = "SELECT id FROM seg WHERE live > 0 ORDER BY id",
};

int store_fail(struct store_index *ix, struct err *e, const char *what)
{
	return store_db_fail(ix->db, &kind, ix->path, what, e);
}

sqlite3_stmt *store_stmt(struct store_index *ix, enum store_stmt s, struct err *e)
{
	sqlite3_stmt **st = &ix->stmt[s];

	if (!*st && sqlite3_prepare_v3(ix->db, stmt_sql[s], -1, SQLITE_PREPARE_PERSISTENT, st, NULL)) {
		store_fail(ix, e, "preparing a statement");
		return NULL;
	}
	sqlite3_reset(*st);
	sqlite3_clear_bindings(*st);
	return *st;
}

int store_exec(struct store_index *ix, sqlite3_stmt *st, struct err *e)
{
	int rc;

	if (!st)
		return -1;
	rc = sqlite3_step(st);
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		store_fail(ix, e, "writing");
	sqlite3_reset(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : -1;
}

int store_load_pin(struct store_index *ix, struct err *e)
{
	sqlite3_stmt *st = store_stmt(ix, STORE_S_PIN, e);
	int rc;

	if (!st)
		return -1;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *key = (const char *)sqlite3_column_text(st, 0);
		struct buf *b = !key ? NULL : !strcmp(key, "model") ? &ix->model : !strcmp(key, "digest") ? &ix->digest : NULL;

		if (b) {
			const char *v = (const char *)sqlite3_column_text(st, 1);

			buf_reset(b);
			buf_add(b, v ? v : "", (size_t)sqlite3_column_bytes(st, 1));
		} else if (key && !strcmp(key, "dims")) {
			int64_t d = sqlite3_column_int64(st, 1);

			if (d < 1 || d > STORE_MAX_DIMS) {
				sqlite3_reset(st);
				return err_set(e, ERR_OPEN, "index %s: damaged: %lld dimensions", ix->path, (long long)d);
			}
			ix->dims = (uint32_t)d;
		} else if (key && !strcmp(key, "generation")) {
			ix->generation = (uint64_t)sqlite3_column_int64(st, 1);
		}
	}
	if (rc != SQLITE_DONE)
		store_fail(ix, e, "reading");
	sqlite3_reset(st);
	if (rc != SQLITE_DONE || buf_check(&ix->model, e) || buf_check(&ix->digest, e))
		return -1;
	return 0;
}

int store_put_meta(struct store_index *ix, const char *key, struct str value, struct err *e)
{
	sqlite3_stmt *st = store_stmt(ix, STORE_S_META, e);

	if (!st)
		return -1;
	sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_text64(st, 2, value.p, value.n, SQLITE_STATIC, SQLITE_UTF8);
	return store_exec(ix, st, e);
}

static int open_db(struct store_index *ix, struct err *e)
{
	if (store_db_open(&ix->db, &kind, ix->path, ix->mode, e))
		return -1;
	/* mmap: 4-5 times faster scans; Debian's default is off */
	if (store_db_sql(ix->db, &kind, ix->path,
			 "PRAGMA mmap_size = 2147418112; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384;", e))
		return -1;
	return store_load_pin(ix, e);
}

int store_index_open(struct store_index **out, const char *path, enum store_mode mode, struct err *e)
{
	struct store_index *ix = calloc(1, sizeof *ix);

	*out = NULL;
	if (!ix)
		return err_nomem(e);
	buf_init(&ix->model, 4096);
	buf_init(&ix->digest, 4096);
	ix->mode = mode;
	ix->path = strdup(path);
	if (!ix->path) {
		free(ix);
		return err_nomem(e);
	}
	if (open_db(ix, e)) {
		store_index_close(ix, NULL);
		return -1;
	}
	*out = ix;
	return 0;
}

int store_index_close(struct store_index *ix, struct err *e)
{
	int rc = 0;

	if (!ix)
		return 0;
	if (ix->in_txn)
		rc = store_index_commit(ix, e);
	store_seg_drop(ix);
	store_view_release(&ix->view);
	for (int i = 0; i < STORE_N_STMTS; i++)
		sqlite3_finalize(ix->stmt[i]);
	sqlite3_close(ix->db);
	buf_release(&ix->model);
	buf_release(&ix->digest);
	free(ix->vec);
	free(ix->code);
	free(ix->path);
	free(ix);
	return rc;
}

int store_column(struct str *out, sqlite3_stmt *st, int col, struct arena *a, struct err *e)
{
	const void *p = sqlite3_column_blob(st, col);
	size_t n = (size_t)sqlite3_column_bytes(st, col);

	*out = (struct str){ NULL, 0 };
	if (sqlite3_column_type(st, col) == SQLITE_NULL)
		return 0;
	*out = arena_str(a, (struct str){ p ? p : "", n });
	return out->p ? 0 : err_nomem(e);
}

int store_item_of(struct store_item *out, sqlite3_stmt *st, struct arena *a, struct err *e)
{
	memset(out, 0, sizeof *out);
	if (store_column(&out->id, st, 0, a, e) || store_column(&out->of, st, 1, a, e) ||
	    store_column(&out->text, st, 5, a, e) || store_column(&out->metadata, st, 6, a, e))
		return -1;
	out->seq = sqlite3_column_int64(st, 2);
	out->start = sqlite3_column_int64(st, 3);
	out->end = sqlite3_column_int64(st, 4);
	return 0;
}
