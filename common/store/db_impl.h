/* db_impl: a SQLite file of ours: made, recognised, opened; what its trouble is called. */
#ifndef STORE_DB_IMPL_H
#define STORE_DB_IMPL_H

#include "store/store.h"
#include <sqlite3.h>

/* What is in a file. */
struct store_kind {
	const char *what;     /* "index": the first word of messages */
	const char *tool;     /* whose files these are */
	const char *mend;     /* what to do about a damaged one */
	int app_id, schema;   /* application_id, user_version */
	const char *settings; /* PRAGMAs of a new, empty file */
	const char *sql;      /* its tables */
};

/*
 * Opens path, with WAL and a busy timeout; with STORE_CREATE an empty or missing file gets the tables (two creators may meet).
 * *out is set on failure too, where SQLite gives one: close it. ERR_OPEN: another kind of file, another schema, damaged.
 */
int store_db_open(sqlite3 **out, const struct store_kind *k, const char *path, enum store_mode mode, struct err *e);
/* SQLite's last message: ERR_OPEN, ERR_NOMEM, or ERR_WRITE for a full disk. */
int store_db_fail(sqlite3 *db, const struct store_kind *k, const char *path, const char *doing, struct err *e);
int store_db_sql(sqlite3 *db, const struct store_kind *k, const char *path, const char *text, struct err *e);
/* The one number that a query gives. */
int store_db_int(int64_t *out, sqlite3 *db, const struct store_kind *k, const char *path, const char *text, struct err *e);

#endif
