/* db: opening the files of this room. */
#include "config.h"
#include "store/db_impl.h"
#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUSY_MS 60000
#define CREATE_MS 2000

int store_db_fail(sqlite3 *db, const struct store_kind *k, const char *path, const char *doing, struct err *e)
{
	int rc = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
	enum err_code code = rc == SQLITE_IOERR_WRITE ? ERR_WRITE : ERR_OPEN;

	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return err_nomem(e);
	case SQLITE_FULL:
		return err_set(e, ERR_WRITE, "%s %s: %s: the disk is full", k->what, path, doing);
	case SQLITE_READONLY:
		return err_set(e, ERR_OPEN, "%s %s: %s: it cannot be written (read-only)", k->what, path, doing);
	case SQLITE_BUSY:
		return err_set(e, ERR_OPEN, "%s %s: %s: another writer has held it for %d s", k->what, path, doing,
			       BUSY_MS / 1000);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return err_set(e, ERR_OPEN, "%s %s: %s: damaged or no %s (%s); %s", k->what, path, doing, k->what,
			       sqlite3_errmsg(db), k->mend);
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR:
		if (sqlite3_system_errno(db))
			return err_sys(e, code, sqlite3_system_errno(db), "%s %s: %s: %s", k->what, path, doing,
				       sqlite3_errmsg(db));
		/* fall through */
	default:
		return err_set(e, code, "%s %s: %s: %s", k->what, path, doing, sqlite3_errmsg(db));
	}
}

int store_db_sql(sqlite3 *db, const struct store_kind *k, const char *path, const char *text, struct err *e)
{
	return sqlite3_exec(db, text, NULL, NULL, NULL) ? store_db_fail(db, k, path, "opening", e) : 0;
}

int store_db_int(int64_t *out, sqlite3 *db, const struct store_kind *k, const char *path, const char *text, struct err *e)
{
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(db, text, -1, &st, NULL))
		return store_db_fail(db, k, path, "opening", e);
	if (sqlite3_step(st) != SQLITE_ROW) {
		store_db_fail(db, k, path, "opening", e);
		sqlite3_finalize(st);
		return -1;
	}
	*out = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return 0;
}

/* Two creators may meet: the second finds the first one's schema under the lock. */
static int create_schema(sqlite3 *db, const struct store_kind *k, const char *path, struct err *e)
{
	int64_t app;
	char text[128];

	/* SQLite does not wait for the lock of this change when another makes the same one */
	for (int i = 0; i < BUSY_MS / 10; i++) {
		if ((sqlite3_exec(db, k->settings, NULL, NULL, NULL) & 0xff) != SQLITE_BUSY &&
		    (sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL) & 0xff) != SQLITE_BUSY)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	if (store_db_sql(db, k, path, "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE;", e))
		return -1;
	if (store_db_int(&app, db, k, path, "PRAGMA application_id", e))
		goto fail;
	if (app == k->app_id)
		return store_db_sql(db, k, path, "COMMIT", e);
	snprintf(text, sizeof text, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;", k->app_id, k->schema);
	if (store_db_sql(db, k, path, k->sql, e) || store_db_sql(db, k, path, text, e))
		goto fail;
	return 0;
fail:
	sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return -1;
}

/* A reader may come while the file's maker (in the same pipeline) has not committed the schema yet: wait a little. */
static int look(int64_t *app, int64_t *version, int64_t *tables, sqlite3 *db, const struct store_kind *k, const char *path,
		bool create, struct err *e)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	for (int i = 0;; i++) {
		/* tables first: a maker that commits in between then shows its id as well */
		if (store_db_int(tables, db, k, path, "SELECT count(*) FROM sqlite_schema", e) ||
		    store_db_int(app, db, k, path, "PRAGMA application_id", e) ||
		    store_db_int(version, db, k, path, "PRAGMA user_version", e))
			return -1;
		if (*app || *tables || create || i == CREATE_MS / 10)
			return 0;
		nanosleep(&pause, NULL);
	}
}

static int check_schema(sqlite3 *db, const struct store_kind *k, const char *path, bool create, struct err *e)
{
	int64_t app, version, tables;

	if (look(&app, &version, &tables, db, k, path, create, e))
		return -1;
	if (app == 0 && tables == 0) /* also a file of no bytes */
		return create ? create_schema(db, k, path, e)
			      : err_set(e, ERR_OPEN, "%s %s: is empty", k->what, path);
	if (app != k->app_id)
		return err_set(e, ERR_OPEN, "%s %s: a SQLite file, but no %s of %s", k->what, path, k->what, k->tool);
	if (version != k->schema)
		return err_set(e, ERR_OPEN, "%s %s: schema %lld, this program knows %d: use a newer %s", k->what, path,
			       (long long)version, k->schema, k->tool);
	return 0;
}

static bool folder_writable(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : NULL;
	bool good = (!slash || folder) && access(slash ? folder : ".", W_OK) == 0;
	int saved = errno;

	free(folder);
	errno = saved;
	return good;
}

/* A file that we cannot write, in a folder that we cannot write, with no log beside it: SQLite
 * wants the log's index even to read, unless it is told that nobody changes the file. */
static bool fixed(struct buf *b, const char *path, enum store_mode mode)
{
	if (mode != STORE_READ || !access(path, W_OK) || folder_writable(path))
		return false;
	buf_reset(b);
	buf_addf(b, "%s-wal", path);
	return !buf_check(b, NULL) && access(b->p, F_OK) != 0;
}

static int open_file(sqlite3 **out, const char *path, enum store_mode mode)
{
	int flags = SQLITE_OPEN_NOMUTEX, rc;
	struct buf b;

	flags |= mode == STORE_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	flags |= mode == STORE_CREATE ? SQLITE_OPEN_CREATE : 0;
	buf_init(&b, 65536);
	if (!fixed(&b, path, mode)) {
		rc = sqlite3_open_v2(path, out, flags, NULL);
	} else {
		buf_reset(&b);
		buf_addz(&b, *path == '/' ? "file://" : "file:");
		for (const char *p = path; *p; p++)
			buf_addf(&b, strchr("%?#", *p) ? "%%%02X" : "%c", (unsigned char)*p);
		buf_addz(&b, "?immutable=1");
		rc = buf_check(&b, NULL) ? SQLITE_NOMEM : sqlite3_open_v2(b.p, out, flags | SQLITE_OPEN_URI, NULL);
	}
	buf_release(&b);
	return rc;
}

/* What SQLite has no words for, or would wait for. */
static int check_path(const struct store_kind *k, const char *path, enum store_mode mode, struct err *e)
{
	struct stat st;

	if (stat(path, &st)) {
		if (errno == ENOENT && mode == STORE_CREATE && folder_writable(path))
			return 0;
		return err_sys(e, ERR_OPEN, errno, "%s %s", k->what, path);
	}
	if (S_ISDIR(st.st_mode))
		return err_set(e, ERR_OPEN, "%s %s: is a directory; name a file", k->what, path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_OPEN, "%s %s: is a pipe or a device; name a file on disk", k->what, path);
	if (access(path, R_OK))
		return err_sys(e, ERR_OPEN, errno, "%s %s", k->what, path);
	return 0;
}

int store_db_open(sqlite3 **out, const struct store_kind *k, const char *path, enum store_mode mode, struct err *e)
{
	*out = NULL;
	if (check_path(k, path, mode, e))
		return -1;
	if (open_file(out, path, mode))
		return store_db_fail(*out, k, path, "opening", e);
	sqlite3_extended_result_codes(*out, 1);
	sqlite3_busy_timeout(*out, BUSY_MS);
	sqlite3_db_config(*out, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(*out, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	return check_schema(*out, k, path, mode == STORE_CREATE, e);
}
