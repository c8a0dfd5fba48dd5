/* Inputs: one after the other, records or text by the first byte, cut into lines. */
#include "config.h"
#include "record/record_impl.h"

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void record_source_close(struct source *s)
{
	os_in_close(s->in);
	s->in = NULL;
	buf_release(&s->part);
}

const char *record_source_name(const struct source *s)
{
	return s->is_stdin ? NULL : os_in_name(s->in);
}

/* The next input; *got false when there is none. */
static int open_next(bool *got, struct record_io *io, struct err *e)
{
	struct source *s = &io->src;
	const char *path = "-";

	*got = s->next_file < (io->o.n_files ? io->o.n_files : 1);
	if (!*got)
		return 0;
	if (io->o.n_files)
		path = io->o.files[s->next_file];
	s->next_file++;
	s->is_stdin = !strcmp(path, "-");
	s->kind = RECORD_AUTO;
	s->eof = s->given = false;
	s->line = 0;
	s->chunk = (struct str){ "", 0 };
	buf_reset(&s->part);
	return os_in_open(&s->in, path, e);
}

/* There is no input at hand, or there is again: without, what is done goes out at once. */
static int set_idle(struct record_io *io, bool idle, struct err *e)
{
	int failed = 0;

	if (idle == io->src.idle && !idle)
		return 0;
	io->src.idle = idle;
	pthread_mutex_lock(&io->lock);
	io->idle = idle;
	if (idle)
		failed = io->broken.code ? -1 : record_flush(io, true, &io->broken);
	if (failed)
		*e = io->broken;
	pthread_mutex_unlock(&io->lock);
	return failed;
}

/* More bytes into s->chunk, or s->eof; *again when there is nothing now and the caller will not
 * wait. */
static int fill(bool *again, struct record_io *io, bool wait, struct err *e)
{
	struct source *s = &io->src;

	if (os_in_read(&s->chunk, again, s->in, false, e))
		return -1;
	if (*again) {
		if (set_idle(io, true, e))
			return -1;
		if (!wait)
			return 0;
		*again = false;
		if (os_in_read(&s->chunk, NULL, s->in, true, e))
			return -1;
	}
	s->eof = !s->chunk.n;
	return set_idle(io, false, e);
}

/* Is part + c still the beginning of a byte order mark? */
static bool may_be_bom(const struct buf *part, char c)
{
	return part->n < 3 && c == "\xEF\xBB\xBF"[part->n] &&
	       !memcmp(buf_str(part).p, "\xEF\xBB\xBF", part->n);
}

/* Takes the byte order mark and, for RECORD_AUTO, blanks off the chunk into `part` until the kind
 * is known. */
static void decide(struct source *s, enum record_input forced)
{
	while (s->chunk.n) {
		char c = *s->chunk.p;
		bool bom = may_be_bom(&s->part, c);

		if (!bom && (!blank(c) || (forced != RECORD_AUTO && forced != RECORD_JSON))) {
			s->kind = forced != RECORD_AUTO ? forced
				  : c == '{' && !(s->part.n && s->part.p[0] == '\xEF')
					  ? RECORD_JSON
					  : RECORD_TEXT;
			break;
		}
		buf_addc(&s->part, c);
		s->line += c == '\n';
		s->chunk = str_sub(s->chunk, 1, s->chunk.n);
		if (bom && s->part.n == 3)
			buf_reset(&s->part);
	}
	if (s->kind == RECORD_JSON && !(s->part.n && s->part.p[0] == '\xEF'))
		buf_reset(&s->part);
}

/* The input ended before its kind was known. False: there is nothing in it. */
static bool decide_at_end(struct source *s, enum record_input forced)
{
	bool empty = !str_trim(buf_str(&s->part)).n;

	if (empty && (forced == RECORD_AUTO || forced == RECORD_JSON))
		return false;
	s->kind = forced == RECORD_AUTO ? RECORD_TEXT : forced;
	return true;
}

static int too_long(const struct source *s, enum err_code why, struct err *e)
{
	if (why == ERR_NOMEM)
		return err_nomem(e);
	if (s->kind == RECORD_TEXT)
		return err_set(e, ERR_READ,
			       "%s: a text of more than 1 GiB: --lines reads it line by line",
			       os_in_name(s->in));
	return err_set(e, ERR_READ, "%s: line %llu is longer than 1 GiB", os_in_name(s->in),
		       (unsigned long long)s->line + 1);
}

static void swap(struct buf *a, struct buf *b)
{
	struct buf t = *a;

	*a = *b;
	*b = t;
}

/* A line out of the chunk, its LF taken off; false when more bytes are needed. */
static bool cut_line(struct record *r, struct source *s)
{
	const char *lf = s->chunk.n ? memchr(s->chunk.p, '\n', s->chunk.n) : NULL;
	size_t n = lf ? (size_t)(lf - s->chunk.p) : s->chunk.n;

	if (!lf) {
		buf_add(&s->part, s->chunk.p, n);
		s->chunk.n = 0;
		return false;
	}
	if (s->part.n) {
		buf_add(&s->part, s->chunk.p, n);
		swap(&r->raw, &s->part);
	} else {
		buf_add(&r->raw, s->chunk.p, n);
	}
	s->chunk = str_sub(s->chunk, n + 1, s->chunk.n);
	return true;
}

/* One more of the open input: *got says that r->raw holds it, *need that bytes are missing; neither
 * at its end. */
static int take(struct record *r, bool *got, bool *need, struct record_io *io, struct err *e)
{
	struct source *s = &io->src;

	*got = *need = false;
	if (s->kind == RECORD_AUTO)
		decide(s, io->o.input);
	if (s->kind == RECORD_AUTO && s->eof && !decide_at_end(s, io->o.input))
		s->given = true;
	if (s->given)
		return 0;
	if (s->kind == RECORD_AUTO) {
		*need = true;
	} else if (s->kind != RECORD_TEXT && cut_line(r, s)) {
		*got = true;
	} else {
		buf_adds(&s->part, s->chunk); /* a text; of a line, cut_line() took all */
		s->chunk.n = 0;
		*need = !s->eof;
	}
	if (!*got && !*need) {
		*got = s->part.n || s->kind == RECORD_TEXT;
		swap(&r->raw, &s->part);
		s->given = true;
	}
	if (s->part.failed || r->raw.failed)
		return too_long(s, s->part.failed ? s->part.failed : r->raw.failed, e);
	return 0;
}

/* An empty line is nothing; in a stream of records, one of blanks neither. */
static bool worth(const struct record *r, enum record_input kind)
{
	if (kind == RECORD_TEXT)
		return true;
	if (kind == RECORD_JSON)
		return str_trim(buf_str(&r->raw)).n > 0;
	return r->raw.n > 0;
}

int record_source_next(struct record *r, bool *got, struct record_io *io, bool wait, struct err *e)
{
	struct source *s = &io->src;
	bool need, again = false;

	*got = false;
	while (!s->ended) {
		if (!s->in) {
			if (open_next(got, io, e))
				return -1;
			s->ended = !*got;
			*got = false;
			continue;
		}
		if (take(r, got, &need, io, e))
			return -1;
		if (need) {
			if (fill(&again, io, wait, e))
				return -1;
			if (again)
				return 0;
			continue;
		}
		if (!*got) {
			os_in_close(s->in);
			s->in = NULL;
			continue;
		}
		s->line++;
		r->text = s->kind != RECORD_JSON;
		r->line = s->kind == RECORD_TEXT ? 0 : s->line;
		if (s->kind == RECORD_LINES && r->raw.n && r->raw.p[r->raw.n - 1] == '\r')
			r->raw.p[--r->raw.n] = 0;
		if (worth(r, s->kind))
			return 0;
		*got = false;
		buf_reset(&r->raw);
	}
	return 0;
}
