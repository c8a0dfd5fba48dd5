/*
 * --resume OUT: what OUT holds is matched with the input, record by record, and skipped. OUT.resume
 * keeps a hash of the parameters, and whether some record gave other than one line ("any": emitted
 * lines, filters, --errors).
 *
 * While every record gives one line, the n-th line must have the n-th record's id. With "any", a
 * record without a line before a record that has one is done; the lines of the last record in OUT
 * may be incomplete and are made again. In a .zst this is not needed, nor possible: a frame ends
 * behind all the lines of a record.
 */
#include "config.h"
#include "record/record_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int beside(struct buf *out, const struct record_io *io, struct err *e)
{
	buf_init(out, (size_t)1 << 20);
	buf_addf(out, "%s.resume", io->o.resume);
	return buf_check(out, e);
}

static int write_beside(const struct record_io *io, bool any, struct err *e)
{
	struct os_atomic *a = NULL;
	struct buf path, b;
	struct json_w w;
	int failed;

	buf_init(&b, (size_t)1 << 20);
	w = json_w(&b);
	json_w_begin(&w, '{');
	json_w_key(&w, "stage");
	json_w_strz(&w, io->stage);
	json_w_key(&w, "params");
	json_w_strz(&w, io->rs.params);
	json_w_key(&w, "lines");
	json_w_strz(&w, any ? "any" : "one");
	json_w_end(&w, '}');
	buf_addc(&b, '\n');
	failed = buf_check(&b, e) | beside(&path, io, e);
	if (!failed)
		failed = os_atomic_open(&a, path.p, 0666, e);
	if (!failed && os_atomic_write(a, b.p, b.n, e)) {
		os_atomic_abort(a);
		failed = -1;
	} else if (!failed) {
		failed = os_atomic_commit(a, e);
	}
	buf_release(&path);
	buf_release(&b);
	return failed ? -1 : 0;
}

/* Compare with what an earlier run left. Without its file nothing is known: then a record may have
 * any lines. */
static int read_beside(bool *there, struct record_io *io, struct err *e)
{
	struct buf path, b;
	struct json_val v = { { NULL, 0 }, JSON_NONE };
	struct str old;
	int failed = 0;

	buf_init(&b, (size_t)1 << 20);
	if (beside(&path, io, e)) {
		buf_release(&path);
		return -1;
	}
	*there = !access(path.p, F_OK);
	io->rs.any = true;
	if (*there) {
		failed = os_read_file(&b, path.p, b.max, e);
		if (!failed && json_parse(&v, buf_str(&b), NULL))
			failed = err_set(e, ERR_OPEN,
					 "%s is damaged: remove it and %s to start again", path.p,
					 io->o.resume);
	}
	if (*there && !failed) {
		old = json_get(v, "params").raw;
		io->rs.any = !str_is(json_get(v, "lines").raw, "\"one\"");
		if (old.n != HASH_HEX_LEN + 2 ||
		    memcmp(old.p + 1, io->rs.params, HASH_HEX_LEN) != 0)
			failed = err_set(e, ERR_OPEN,
					 "%s was begun with other parameters: use the same, or "
					 "remove it and %s to start again",
					 io->o.resume, path.p);
	}
	buf_release(&path);
	buf_release(&b);
	return failed;
}

static void hash_params(struct resume *rs, const char *stage, struct str params)
{
	struct hash_sha256 h;
	uint8_t digest[HASH_SHA256_LEN];

	hash_sha256_init(&h);
	hash_sha256_add(&h, stage, strlen(stage) + 1);
	hash_sha256_add(&h, params.p, params.p ? params.n : 0);
	hash_sha256_end(&h, digest);
	hash_hex(rs->params, digest, sizeof digest);
}

/* ---- lines of a file of ours ----------------------------------------------------------------- */

/* The next line of OUT into rs->line; rs->have is false at the end. */
static int load(struct resume *rs, const char *path, struct err *e)
{
	struct json_val v;
	const char *lf = NULL;

	buf_reset(&rs->line);
	rs->have = false;
	while (!lf) {
		size_t n;

		if (!rs->chunk.n && os_in_read(&rs->chunk, NULL, rs->in, true, e))
			return -1;
		if (!rs->chunk.n)
			break;
		lf = memchr(rs->chunk.p, '\n', rs->chunk.n);
		n = lf ? (size_t)(lf - rs->chunk.p) + 1 : rs->chunk.n;
		buf_add(&rs->line, rs->chunk.p, n);
		rs->chunk = str_sub(rs->chunk, n, rs->chunk.n);
	}
	if (buf_check(&rs->line, e))
		return -1;
	if (!rs->line.n)
		return 0;
	rs->n++;
	rs->at = rs->next;
	rs->next += rs->line.n;
	if (!lf || json_parse(&v, buf_str(&rs->line), NULL) || v.type != JSON_OBJECT)
		return err_set(e, ERR_OPEN, "%s: line %llu is no record", path,
			       (unsigned long long)rs->n);
	record_find_fields(rs->f, v, NULL, SIZE_MAX);
	rs->have = true;
	return 0;
}

/* Is the loaded line one of this record's? */
static bool ours(const struct resume *rs, struct record *r)
{
	struct json_val v, of = json_get(rs->f[F_CHUNK], "of");

	for (int i = F_ID; i <= F_DOC_ID;
	     i++) /* a Batch answer has an id of its own beside the request's */
		if (rs->f[i].type != JSON_NONE &&
		    str_eq(record_id_of(rs->f[i], &r->arena), r->id_text))
			return true;
	if (of.type != JSON_NONE && str_eq(record_id_of(of, &r->arena), r->id_text))
		return true;
	v = rs->f[F_QUERY_ID];
	return v.type != JSON_NONE && str_eq(record_id_of(v, &r->arena), r->id_text);
}

static struct str line_id(const struct resume *rs)
{
	struct json_val v;

	if (record_identity(&v, rs->f))
		return v.raw;
	return rs->f[F_QUERY_ID].type != JSON_NONE ? rs->f[F_QUERY_ID].raw : STR("none");
}

/* The ids in --errors FILE (they are not written there twice), or of the records of OUT that carry
 * an error. */
static int read_ids(struct map *ids, const char *path, bool errors_only, struct err *e)
{
	struct resume x = { .fd = -1 };
	struct arena a;
	uint64_t *place;
	int failed = 0;

	if (os_in_open(&x.in, path, e))
		return -1;
	arena_init(&a, (size_t)1 << 30);
	buf_init(&x.line, SIZE_MAX / 4);
	while (!failed && !(failed = load(&x, path, e)) && x.have) {
		bool wanted = !errors_only || record_has_error(x.f);

		/* all there are, as ours() does */
		for (int i = F_ID; wanted && !failed && i <= F_DOC_ID; i++)
			if (x.f[i].type == JSON_STRING || x.f[i].type == JSON_NUMBER)
				failed = map_put(&place, NULL, ids, record_id_of(x.f[i], &a), e);
		arena_reset(&a);
	}
	arena_release(&a);
	buf_release(&x.line);
	os_in_close(x.in);
	return failed;
}

/* ---- open, match, end ------------------------------------------------------------------------ */

/* Nothing of a file is cut off that is not ours. */
static int looks_ours(struct record_io *io, struct err *e)
{
	const char *path = io->o.resume;
	char first = 0;

	if (str_ends(str_of(path), STR(".zst")))
		return 0;
	if (pread(io->rs.fd, &first, 1, 0) < 0)
		return err_sys(e, ERR_OPEN, errno, "%s", path);
	return first && first != '{' ? err_set(e, ERR_OPEN, "%s holds no records", path) : 0;
}

/* Opened, locked, and without a torn tail; *size is what is left. */
static int open_out(uint64_t *size, struct record_io *io, struct err *e)
{
	const char *path = io->o.resume, *errors = io->o.errors;
	uint64_t errors_size;
	struct stat st;

	io->rs.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (io->rs.fd < 0)
		return err_sys(e, ERR_OPEN, errno, "%s", path);
	if (flock(io->rs.fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
		return err_set(e, ERR_OPEN, "%s: another process is writing it", path);
	if (looks_ours(io, e) || os_trim_torn(size, path, e))
		return -1;
	if (errors && !stat(errors, &st) && S_ISREG(st.st_mode)) /* else it keeps nothing */
		return os_trim_torn(&errors_size, errors, e) ||
				       read_ids(&io->rs.errors, errors, false, e)
			       ? -1
			       : 0;
	return 0;
}

/* Is there something for --retry-errors to do? Without, OUT need not be made anew. */
static int want_copy(struct record_io *io, struct err *e)
{
	struct map ids;
	int failed;

	map_init(&ids, true);
	failed = read_ids(&ids, io->o.resume, true, e);
	io->rs.copy = ids.n || io->rs.errors.n;
	map_release(&ids);
	return failed;
}

int record_resume_open(struct record_io *io, struct str params, struct err *e)
{
	struct resume *rs = &io->rs;
	uint64_t size;
	bool there;

	buf_init(&rs->line, SIZE_MAX / 4);
	map_init(&rs->errors, true);
	hash_params(rs, io->stage, params);
	if (open_out(&size, io, e))
		return -1;
	if (!size)
		return write_beside(io, false, e);
	if (read_beside(&there, io, e))
		return -1;
	rs->marked = rs->any;
	if ((!there && write_beside(io, true, e)) || (io->o.retry_errors && want_copy(io, e)))
		return -1;
	rs->active = true;
	if (os_in_open(&rs->in, io->o.resume, e))
		return -1;
	os_in_read_on(rs->in);
	return 0;
}

static int mismatch(struct resume *rs, const char *path, const struct record *r, struct err *e)
{
	struct str id = line_id(rs);

	rs->mismatch = true;
	return err_set(e, ERR_OPEN,
		       "%s does not belong to this input: its line %llu has the id %.*s where the "
		       "input has %.*s; "
		       "remove it and %s.resume to start again",
		       path, (unsigned long long)rs->n, (int)(id.n < 80 ? id.n : 80), id.p,
		       (int)(r->id_raw.n < 80 ? r->id_raw.n : 80), r->id_raw.p, path);
}

/* The lines of a record that is in OUT, the first one loaded. */
static int take_group(enum resume_verdict *out, struct record *r, struct err *e)
{
	struct resume *rs = &r->io->rs;
	const char *path = r->io->o.resume;
	uint64_t from = rs->at;
	bool bad = false, zst = str_ends(str_of(path), STR(".zst"));

	do {
		bad |= record_has_error(rs->f);
		if (rs->copy)
			buf_adds(&r->old, buf_str(&rs->line));
		if (load(rs, path, e))
			return -1;
	} while (rs->any && rs->have && ours(rs, r));
	if (buf_check(&r->old, e))
		return -1;
	if (rs->any && !rs->have && !zst) { /* it may have been cut off between two lines */
		if (!rs->copy && ftruncate(rs->fd, (off_t)from))
			return err_sys(e, ERR_OPEN, errno, "%s", path);
		return 0;
	}
	if (!rs->copy) {
		r->failed = bad;
		*out = RESUME_DONE;
	} else if (!bad) {
		buf_adds(&r->out, buf_str(&r->old));
		r->copied = true;
		*out = RESUME_COPY;
		return buf_check(&r->out, e);
	}
	return 0;
}

int record_resume_match(enum resume_verdict *out, struct record *r, struct err *e)
{
	struct resume *rs = &r->io->rs;
	const char *path = r->io->o.resume;
	int failed = 0;

	*out = RESUME_WORK;
	if (!rs->have && load(rs, path, e))
		return -1;
	if (rs->have && ours(rs, r)) {
		failed = take_group(out, r, e);
	} else if (rs->have && !rs->any) {
		return mismatch(rs, path, r, e);
	} else if (rs->have) {
		bool in_errors = map_get(&rs->errors, r->id_text) != NULL;

		if (in_errors)
			r->failed = !rs->copy;
		if (!rs->copy || !in_errors)
			*out = RESUME_DONE;
	}
	if (!rs->have)
		rs->active = false;
	return failed;
}

int record_resume_end(struct record_io *io, struct err *e)
{
	struct resume *rs = &io->rs;
	struct str id;

	if (!rs->have && load(rs, io->o.resume, e))
		return -1;
	rs->active = false;
	if (!rs->have)
		return 0;
	id = line_id(rs);
	rs->mismatch = true;
	return err_set(e, ERR_OPEN,
		       "%s does not belong to this input: the input has no record for its line "
		       "%llu, id %.*s; remove it and "
		       "%s.resume to start again",
		       io->o.resume, (unsigned long long)rs->n, (int)(id.n < 80 ? id.n : 80), id.p,
		       io->o.resume);
}

int record_resume_rest(struct record_io *io, struct err *e)
{
	struct resume *rs = &io->rs;

	if (rs->mismatch)
		return -1;
	if (io->o.errors) /* the errors that were not tried again are in the old FILE alone */
		return err_set(e, ERR_STOPPED, "%s and %s stay as they were", io->o.resume,
			       io->o.errors);
	for (uint64_t i = io->head; i < io->tail; i++) {
		struct record *r = io->ring[i % io->ring_n];

		if (record_write(io, &io->out, buf_str(r->state == R_DONE ? &r->out : &r->old), e))
			return -1;
	}
	while (rs->active) {
		if (!rs->have && load(rs, io->o.resume, e))
			return -1;
		rs->active = rs->have;
		if (rs->have && record_write(io, &io->out, buf_str(&rs->line), e))
			return -1;
		rs->have = false;
	}
	return 0;
}

int record_resume_any(struct record_io *io, struct err *e)
{
	if (io->rs.marked)
		return 0;
	io->rs.marked = true;
	return write_beside(io, true, e);
}

void record_resume_close(struct record_io *io)
{
	struct resume *rs = &io->rs;

	os_in_close(rs->in);
	buf_release(&rs->line);
	map_release(&rs->errors);
	if (rs->fd >= 0)
		close(rs->fd);
}
