/* index_db: the file, its schema, its statements. */
#include "config.h"
#include "store/store_impl.h"
#include <errno.h>
#include <time.h>
#include <unistd.h>

#define BUSY_MS 60000
#define CREATE_MS 2000

static const char schema_sql[] =
	"CREATE TABLE code8(id INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT;"
	"CREATE TABLE truth(id INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT;"
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;"
	"CREATE TABLE seg(id INTEGER PRIMARY KEY, live INT NOT NULL, slots BLOB NOT NULL) STRICT;"
	"CREATE INDEX seg_room ON seg(live) WHERE live < 256;"
	"CREATE TABLE item(id INTEGER PRIMARY KEY, extid TEXT NOT NULL UNIQUE, of TEXT, seq INT, start INT, stop INT,"
	" sha BLOB NOT NULL, seg INT NOT NULL, slot INT NOT NULL, text TEXT, metadata TEXT) STRICT;"
	"CREATE INDEX item_of ON item(of, seq) WHERE of IS NOT NULL;";

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
	[STORE_S_SEGS] = "SELECT id FROM seg WHERE live > 0 ORDER BY id",
};

int store_fail(struct store_index *ix, struct err *e, const char *what)
{
	int rc = ix->db ? sqlite3_errcode(ix->db) : SQLITE_NOMEM;

	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return err_nomem(e);
	case SQLITE_FULL:
		return err_set(e, ERR_WRITE, "index %s: %s: the disk is full", ix->path, what);
	case SQLITE_READONLY:
		return err_set(e, ERR_OPEN, "index %s: %s: it cannot be written (read-only)", ix->path, what);
	case SQLITE_BUSY:
		return err_set(e, ERR_OPEN, "index %s: %s: another writer has held it for %d s", ix->path, what,
			       BUSY_MS / 1000);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return err_set(e, ERR_OPEN, "index %s: %s: damaged or no index (%s); restore a copy or build it again",
			       ix->path, what, sqlite3_errmsg(ix->db));
	default:
		return err_set(e, ERR_OPEN, "index %s: %s: %s", ix->path, what, sqlite3_errmsg(ix->db));
	}
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

static int sql(struct store_index *ix, const char *text, struct err *e)
{
	if (sqlite3_exec(ix->db, text, NULL, NULL, NULL))
		return store_fail(ix, e, "opening");
	return 0;
}

static int pragma_int(int64_t *out, struct store_index *ix, const char *text, struct err *e)
{
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(ix->db, text, -1, &st, NULL))
		return store_fail(ix, e, "opening");
	if (sqlite3_step(st) != SQLITE_ROW) {
		store_fail(ix, e, "opening");
		sqlite3_finalize(st);
		return -1;
	}
	*out = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return 0;
}

/* Two creators may meet: the second finds the first one's schema under the lock. */
static int create_schema(struct store_index *ix, struct err *e)
{
	int64_t app, version;
	char text[128];

	/* SQLite does not wait for the lock of this change when another makes the same one */
	for (int i = 0; i < BUSY_MS / 10; i++) {
		if ((sqlite3_exec(ix->db, "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL;", NULL, NULL, NULL) &
		     0xff) != SQLITE_BUSY)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	if (sql(ix, "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE;", e))
		return -1;
	if (pragma_int(&app, ix, "PRAGMA application_id", e) ||
	    pragma_int(&version, ix, "PRAGMA user_version", e))
		goto fail;
	if (app == STORE_APP_ID)
		return sql(ix, "COMMIT", e);
	snprintf(text, sizeof text, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;", STORE_APP_ID,
		 STORE_SCHEMA);
	if (sql(ix, schema_sql, e) || sql(ix, text, e))
		goto fail;
	return 0;
fail:
	sqlite3_exec(ix->db, "ROLLBACK", NULL, NULL, NULL);
	return -1;
}

/* A reader may come while the file's maker (in the same pipeline) has not committed the schema yet: wait a little. */
static int look(int64_t *app, int64_t *version, int64_t *tables, struct store_index *ix, struct err *e)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	for (int i = 0;; i++) {
		/* tables first: a maker that commits in between then shows its id as well */
		if (pragma_int(tables, ix, "SELECT count(*) FROM sqlite_schema", e) ||
		    pragma_int(app, ix, "PRAGMA application_id", e) ||
		    pragma_int(version, ix, "PRAGMA user_version", e))
			return -1;
		if (*app || *tables || ix->mode == STORE_CREATE || i == CREATE_MS / 10)
			return 0;
		nanosleep(&pause, NULL);
	}
}

static int check_schema(struct store_index *ix, struct err *e)
{
	int64_t app, version, tables;

	if (look(&app, &version, &tables, ix, e))
		return -1;
	if (app == 0 && tables == 0 && ix->mode == STORE_CREATE)
		return create_schema(ix, e);
	if (app != STORE_APP_ID)
		return err_set(e, ERR_OPEN, "index %s: a SQLite file, but no index of llm-index", ix->path);
	if (version != STORE_SCHEMA)
		return err_set(e, ERR_OPEN, "index %s: schema %lld, this program knows %d: use a newer llm-index",
			       ix->path, (long long)version, STORE_SCHEMA);
	return 0;
}

int store_load_pin(struct store_index *ix, struct err *e)
{
	sqlite3_stmt *st;
	int rc;

	if (sqlite3_prepare_v2(ix->db, "SELECT key, value FROM meta", -1, &st, NULL))
		return store_fail(ix, e, "reading");
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
				sqlite3_finalize(st);
				return err_set(e, ERR_OPEN, "index %s: damaged: %lld dimensions", ix->path, (long long)d);
			}
			ix->dims = (uint32_t)d;
		} else if (key && !strcmp(key, "generation")) {
			ix->generation = (uint64_t)sqlite3_column_int64(st, 1);
		}
	}
	if (rc != SQLITE_DONE)
		store_fail(ix, e, "reading");
	sqlite3_finalize(st);
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

/* A file that we cannot write, in a folder that we cannot write, with no log beside it: SQLite
 * wants the log's index even to read, unless it is told that nobody changes the file. */
static bool fixed(const struct store_index *ix, struct buf *b)
{
	const char *slash = strrchr(ix->path, '/');

	buf_reset(b);
	buf_addf(b, "%.*s", slash ? (int)(slash - ix->path) + 1 : 1, slash ? ix->path : ".");
	if (ix->mode != STORE_READ || buf_check(b, NULL) || !access(ix->path, W_OK) || !access(b->p, W_OK))
		return false;
	buf_reset(b);
	buf_addf(b, "%s-wal", ix->path);
	return !buf_check(b, NULL) && access(b->p, F_OK) != 0;
}

static int open_file(struct store_index *ix, int flags)
{
	struct buf b;
	int rc;

	buf_init(&b, 65536);
	if (!fixed(ix, &b)) {
		rc = sqlite3_open_v2(ix->path, &ix->db, flags, NULL);
	} else {
		buf_reset(&b);
		buf_addz(&b, *ix->path == '/' ? "file://" : "file:");
		for (const char *p = ix->path; *p; p++)
			buf_addf(&b, strchr("%?#", *p) ? "%%%02X" : "%c", (unsigned char)*p);
		buf_addz(&b, "?immutable=1");
		rc = buf_check(&b, NULL) ? SQLITE_NOMEM
					 : sqlite3_open_v2(b.p, &ix->db, flags | SQLITE_OPEN_URI, NULL);
	}
	buf_release(&b);
	return rc;
}

static int open_db(struct store_index *ix, struct err *e)
{
	int flags = ix->mode == STORE_CREATE ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE :
		    ix->mode == STORE_WRITE  ? SQLITE_OPEN_READWRITE :
					       SQLITE_OPEN_READONLY;

	if (ix->mode != STORE_CREATE && access(ix->path, F_OK) != 0)
		return err_sys(e, ERR_OPEN, errno, "index %s", ix->path);
	if (open_file(ix, flags | SQLITE_OPEN_NOMUTEX))
		return store_fail(ix, e, "opening");
	sqlite3_extended_result_codes(ix->db, 1);
	sqlite3_busy_timeout(ix->db, BUSY_MS);
	sqlite3_db_config(ix->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(ix->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	if (check_schema(ix, e))
		return -1;
	/* mmap: 4-5 times faster scans; Debian's default is off */
	if (sql(ix, "PRAGMA mmap_size = 2147418112; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384;", e))
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
