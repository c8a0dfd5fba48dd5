/*
 * The run: records go out to the tool in input order and come back in any; a ring of slots holds
 * those that wait for an earlier one. in_lock covers the input (taken first), lock the ring and the
 * output.
 */
#include "config.h"
#include "record/record_impl.h"
#include <errno.h>
#include <unistd.h>

#define WAITING_MAX                                                                                \
	((size_t)256 << 20)        /* bytes that wait for an earlier record before reading pauses */
#define KEEP_MAX ((size_t)4 << 20) /* a larger buffer is not kept for the next record */
#define ANY_SIZE (SIZE_MAX / 4)    /* bounded by the input's limit */

static void record_free(struct record *r)
{
	buf_release(&r->raw);
	buf_release(&r->made);
	buf_release(&r->own);
	buf_release(&r->emitted);
	buf_release(&r->text_out);
	buf_release(&r->out);
	buf_release(&r->old);
	arena_release(&r->arena);
	free(r);
}

static struct record *record_new(struct record_io *io)
{
	struct record *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->io = io;
	buf_init(&r->raw, BUF_MAX_TEXT);
	buf_init(&r->made, ANY_SIZE);
	buf_init(&r->own, ANY_SIZE);
	buf_init(&r->emitted, ANY_SIZE);
	buf_init(&r->text_out, ANY_SIZE);
	buf_init(&r->out, ANY_SIZE);
	buf_init(&r->old, ANY_SIZE);
	arena_init(&r->arena, ANY_SIZE);
	return r;
}

static void shrink(struct buf *b)
{
	if (b->cap > KEEP_MAX)
		buf_release(b);
}

/* Under lock. */
static struct record *get_unused(struct record_io *io)
{
	struct record *r = io->unused;

	if (!r)
		return record_new(io);
	io->unused = r->next;
	return r;
}

/* Under lock. */
static void put_unused(struct record_io *io, struct record *r)
{
	record_clear(r);
	shrink(&r->raw);
	shrink(&r->made);
	shrink(&r->own);
	shrink(&r->emitted);
	shrink(&r->text_out);
	shrink(&r->out);
	shrink(&r->old);
	if (r->arena.total > KEEP_MAX)
		arena_release(&r->arena);
	r->next = io->unused;
	io->unused = r;
}

/* ---- open and close -------------------------------------------------------------------------- */

static void io_free(struct record_io *io)
{
	struct record *r;

	record_source_close(&io->src);
	record_resume_close(io);
	for (; io->ring && io->head < io->tail; io->head++)
		record_free(io->ring[io->head % io->ring_n]);
	while ((r = io->unused)) {
		io->unused = r->next;
		record_free(r);
	}
	map_release(&io->ids);
	free(io->ring);
	pthread_cond_destroy(&io->room);
	pthread_mutex_destroy(&io->lock);
	pthread_mutex_destroy(&io->in_lock);
	free(io);
}

/* A name mistyped is said before the work, not after hours of it. */
static int check_files(const struct record_opts *o, struct err *e)
{
	for (size_t i = 0; i < o->n_files; i++)
		if (strcmp(o->files[i], "-") != 0 && access(o->files[i], R_OK))
			return err_sys(e, ERR_OPEN, errno, "%s", o->files[i]);
	return 0;
}

static int open_all(struct record_io *io, struct str params, struct err *e)
{
	const struct record_opts *o = &io->o;

	if (check_files(o, e))
		return -1;
	if (o->resume && record_resume_open(io, params, e))
		return -1;
	if (record_dest_open(&io->out, o->resume ? o->resume : o->output, o->resume != NULL,
			     io->rs.copy, e))
		return -1;
	return o->errors ? record_dest_open(&io->err, o->errors, o->resume != NULL, io->rs.copy, e)
			 : 0;
}

/* Names that would destroy something. */
static int check_names(const struct record_opts *o, struct err *e)
{
	const char *out = o->resume ? o->resume : o->output;
	const char *outs[] = { out ? out : "/dev/stdout", o->errors, o->summary }, *in;
	size_t n = sizeof outs / sizeof *outs;

	if (o->resume && !strcmp(o->resume, "-"))
		return err_set(e, ERR_USAGE, "--resume needs the name of a file");
	if (o->retry_errors && !o->resume)
		return err_set(e, ERR_USAGE, "--retry-errors goes with --resume");
	if (o->resume && o->output && strcmp(o->resume, o->output) != 0)
		return err_set(e, ERR_USAGE, "--resume %s writes there: leave -o out", o->resume);
	for (size_t k = 0; k < n; k++) {
		for (size_t j = k + 1; j < n; j++)
			if (outs[k] && outs[j] && !strcmp(outs[k], outs[j]) &&
			    strcmp(outs[k], "/dev/null") != 0)
				return err_set(e, ERR_USAGE, "%s is named for two outputs",
					       outs[k]);
		for (size_t i = 0; outs[k] && (i < o->n_files || i == 0); i++) {
			in = o->n_files ? o->files[i] : "-";
			if (os_same_file(in, outs[k]))
				return err_set(e, ERR_USAGE,
					       "%s is both read and written: give the output "
					       "another name",
					       k || out ? outs[k] : in);
		}
	}
	return 0;
}

int record_open(struct record_io **out, const struct record_opts *o, struct tally *t,
		const char *stage, struct str params, struct err *e)
{
	struct record_io *io = calloc(1, sizeof *io);

	if (!io)
		return err_nomem(e);
	io->o = *o;
	io->o.jobs = o->jobs ? o->jobs : 1;
	io->o.json = o->json || o->resume;
	io->t = t;
	t->sink = io->o.sink && !io->o.tee;
	io->stage = stage;
	io->rs.fd = -1;
	pthread_mutex_init(&io->in_lock, NULL);
	pthread_mutex_init(&io->lock, NULL);
	pthread_cond_init(&io->room, NULL);
	map_init(&io->ids, true);
	buf_init(&io->src.part, BUF_MAX_TEXT);
	io->unique = o->unique_ids || o->resume;
	io->ring_n = (size_t)io->o.jobs * 8 + 64;
	io->ring = calloc(io->ring_n, sizeof *io->ring);
	if (!io->ring) {
		io_free(io);
		return err_nomem(e);
	}
	if (check_names(o, e) || open_all(io, params, e)) {
		record_dest_close(&io->out, false, NULL);
		record_dest_close(&io->err, false, NULL);
		io_free(io);
		return -1;
	}
	*out = io;
	return 0;
}

int record_close(struct record_io *io, struct err *e)
{
	int failed = io->broken.code ? -1 : 0;
	bool whole = io->ended && io->head == io->tail;

	if (failed && e)
		*e = io->broken;
	if (!failed && io->out.temp && !whole)
		failed = record_resume_rest(io, e);
	if (!failed && record_flush(io, true, e))
		failed = -1;
	if (record_dest_close(&io->out, !failed, failed ? NULL : e))
		failed = -1;
	if (record_dest_close(&io->err, !failed, failed ? NULL : e))
		failed = -1;
	if (!failed && io->o.summary)
		failed = record_summary(io, e);
	io_free(io);
	return failed;
}

bool record_ended(struct record_io *io)
{
	bool ended;

	pthread_mutex_lock(&io->lock);
	ended = io->ended && !io->stop.code;
	pthread_mutex_unlock(&io->lock);
	return ended;
}

bool record_text_mode(const struct record_io *io)
{
	return io->text_mode;
}

bool record_is_text(const struct record *r)
{
	return r->text && r->io->o.text_out && !r->io->o.json;
}

void record_stop(struct record_io *io, const struct err *e)
{
	pthread_mutex_lock(&io->lock);
	if (!io->stop.code)
		io->stop = *e;
	pthread_cond_broadcast(&io->room);
	pthread_mutex_unlock(&io->lock);
}

/* ---- giving back ----------------------------------------------------------------------------- */

/* Under lock. */
static void count(struct record_io *io, const struct record *r)
{
	struct tally *t = io->t;
	struct str s = { r->message, strlen(r->message) };

	if (r->copied) {
		t->skipped++;
		return;
	}
	if (!r->failed) {
		t->out += r->n_out;
		return;
	}
	t->out += !r->to_errors ? r->n_out : 0;
	t->failed++;
	if (r->passed) {
		t->passed++;
		return;
	}
	if (!t->codes[r->code]++) {
		s.n = s.n < sizeof *t->first ? s.n : sizeof *t->first - 1;
		s.n = utf8_whole(s);
		memcpy(t->first[r->code], s.p, s.n);
		t->first[r->code][s.n] = 0;
	}
}

/* Under lock: writes what is in order. */
static int drain(struct record_io *io)
{
	while (io->head < io->tail && io->ring[io->head % io->ring_n]->state == R_DONE) {
		struct record *r = io->ring[io->head % io->ring_n];
		int failed = 0;

		if (io->broken.code)
			return -1;
		if (io->o.resume && !r->copied && (r->to_errors || r->n_out != 1 || r->emits))
			failed = record_resume_any(io, &io->broken);
		if (!failed &&
		    !(r->to_errors && !io->rs.copy && map_get(&io->rs.errors, r->id_text)))
			failed = record_write(io, r->to_errors ? &io->err : &io->out,
					      buf_str(&r->out), &io->broken);
		if (failed)
			return -1;
		count(io, r);
		io->waiting -= r->out.n;
		put_unused(io, r);
		io->head++;
	}
	if (io->rs.commit && io->head >= io->rs.commit_at) {
		io->rs.commit = false;
		/* OUT first: what is no error in the new FILE any more must be in OUT */
		if (record_dest_commit(&io->out, &io->broken) ||
		    record_dest_commit(&io->err, &io->broken))
			return -1;
	}
	return io->idle ? record_flush(io, true, &io->broken) : 0;
}

/* Done, with r->out built; `held`: by the tool. */
static int finish(struct record_io *io, struct record *r, bool held, struct err *e)
{
	int failed;

	pthread_mutex_lock(&io->lock);
	r->state = R_DONE;
	io->waiting += r->out.n;
	io->held -= held;
	if (r->failed && !r->passed && io->o.fail_fast && !io->stop.code)
		err_set(&io->stop, ERR_STOPPED, "stopped at the first error: %s", r->message);
	failed = drain(io);
	if (failed)
		*e = io->broken;
	pthread_cond_broadcast(&io->room);
	pthread_mutex_unlock(&io->lock);
	return failed;
}

int record_done(struct record_io *io, struct record *r, struct err *e)
{
	if (record_build(r, e)) {
		struct err why = *e;

		buf_reset(&r->out);
		if (!err_name(why.code)) {
			record_stop(io, &why);
			return -1;
		}
		record_fail(r, &why, 0);
		buf_reset(&r->own);
		if (record_build(r, e)) {
			record_stop(io, e);
			return -1;
		}
	}
	if (finish(io, r, true, e))
		return -1;
	if (io->o.fail_fast) {
		int stopped;

		pthread_mutex_lock(&io->lock);
		stopped = io->stop.code == ERR_STOPPED;
		if (stopped)
			*e = io->stop;
		pthread_mutex_unlock(&io->lock);
		return stopped ? -1 : 0;
	}
	return 0;
}

int record_say(struct record_io *io, struct str json, struct err *e)
{
	int rc;

	pthread_mutex_lock(&io->lock);
	buf_adds(&io->out.b, json);
	buf_addc(&io->out.b, '\n');
	rc = buf_check(&io->out.b, e) || record_flush(io, true, e) ? -1 : 0;
	pthread_mutex_unlock(&io->lock);
	return rc;
}

/* ---- handing out ----------------------------------------------------------------------------- */

/* Under lock. */
static bool full(const struct record_io *io)
{
	return io->held >= io->o.jobs || io->tail - io->head >= io->ring_n ||
	       (io->tail > io->head && io->waiting > WAITING_MAX);
}

void record_wait_room(struct record_io *io)
{
	pthread_mutex_lock(&io->lock);
	while (full(io) && !io->stop.code && !io->broken.code && !io->ended)
		pthread_cond_wait(&io->room, &io->lock);
	pthread_mutex_unlock(&io->lock);
}

static int duplicate(struct record *r, struct err *e)
{
	uint64_t *first;
	bool is_new;

	if (map_put(&first, &is_new, &r->io->ids, r->id_text, e))
		return -1;
	if (is_new) {
		*first = r->line;
		return 0;
	}
	err_set(e, ERR_DUPLICATE_ID, "the id %.*s was seen before",
		(int)(r->id_text.n < 80 ? r->id_text.n : 80), r->id_text.p);
	if (*first)
		err_set(e, ERR_DUPLICATE_ID, "the id %.*s was seen before, on line %llu",
			(int)(r->id_text.n < 80 ? r->id_text.n : 80), r->id_text.p,
			(unsigned long long)*first);
	return -1;
}

/* Does the tool want what failed in this way? */
static bool is_taken(const struct record *r)
{
	const char *code = r->io->o.takes_error;
	struct json_val v = json_get(r->f[F_ERROR], "code");

	return code && json_key_is(str_sub(v.raw, 1, v.raw.n - 1), str_of(code));
}

/* What becomes of a line. */
enum fate { NOTHING, TO_TOOL, FINISHED, SKIPPED };

/* A line into a record. */
static int accept(enum fate *fate, struct record *r, struct err *e)
{
	struct record_io *io = r->io;
	enum resume_verdict verdict = RESUME_WORK;
	struct err why = { 0 };
	int bad;

	r->seq = io->seq++;
	bad = record_read(r, &why);
	if (!bad && (io->unique || (io->o.batch && record_batch(r).type == JSON_OBJECT)))
		bad = duplicate(r, &why);
	if (bad && !err_name(why.code)) {
		*e = why;
		return -1;
	}
	if (io->rs.active && record_resume_match(&verdict, r, e))
		return -1;
	*fate = verdict == RESUME_DONE ? SKIPPED : FINISHED;
	if (verdict != RESUME_WORK)
		return 0;
	if (bad)
		record_fail(r, &why, 0);
	else if (record_has_error(r->f) && !is_taken(r))
		r->failed = r->passed = true;
	else
		*fate = TO_TOOL;
	return *fate == FINISHED ? record_build(r, e) : 0;
}

/* A free record for the next line; NULL without failure when the window is full. */
static int claim(struct record **out, struct record_io *io, struct err *e)
{
	int failed = 0;

	*out = NULL;
	pthread_mutex_lock(&io->lock);
	if (io->stop.code || io->broken.code) {
		*e = io->broken.code ? io->broken : io->stop;
		failed = -1;
	} else if (!full(io)) {
		*out = get_unused(io);
		failed = *out ? 0 : err_nomem(e);
	}
	pthread_mutex_unlock(&io->lock);
	return failed;
}

/* The record gets its place in the output, or back to the unused. */
static void settle(struct record_io *io, struct record *r, enum fate fate)
{
	pthread_mutex_lock(&io->lock);
	io->ended |= io->src.ended;
	io->t->in += fate != NOTHING;
	if (io->out.temp && !io->rs.active && !io->rs.commit && !io->rs.mismatch) {
		io->rs.commit = true; /* from here on OUT grows in place again */
		io->rs.commit_at = io->tail + (r->old.n != 0);
	}
	if (fate == TO_TOOL || fate == FINISHED) {
		r->state = R_HELD;
		io->text_mode = record_is_text(r);
		io->held += fate == TO_TOOL;
		io->ring[io->tail++ % io->ring_n] = r;
	} else {
		io->t->skipped += fate == SKIPPED;
		io->t->failed += fate == SKIPPED && r->failed;
		put_unused(io, r);
		pthread_cond_broadcast(&io->room);
	}
	pthread_mutex_unlock(&io->lock);
}

/* Under in_lock. One line further: *out for the tool, or *more: another is to be tried. */
static int step(struct record **out, bool *more, struct record_io *io, bool wait, struct err *e)
{
	enum fate fate = NOTHING;
	struct record *r;
	bool got = false;
	int failed;

	*more = false;
	if (claim(&r, io, e))
		return -1;
	if (!r)
		return 0;
	failed = record_source_next(r, &got, io, wait, e);
	if (!failed && got)
		failed = accept(&fate, r, e);
	else if (!failed && io->src.ended && io->rs.active)
		failed = record_resume_end(io, e);
	settle(io, r, failed ? NOTHING : fate);
	if (failed)
		return -1;
	*more = got && fate != TO_TOOL;
	*out = fate == TO_TOOL ? r : NULL;
	return fate == FINISHED ? finish(io, r, false, e) : 0;
}

int record_next(struct record **out, struct record_io *io, bool wait, struct err *e)
{
	bool more = true;
	int failed = 0;

	*out = NULL;
	if (wait)
		pthread_mutex_lock(&io->in_lock);
	else if (pthread_mutex_trylock(&io->in_lock))
		return 0; /* another thread waits for input: there is none at hand */
	while (!failed && more && !*out) {
		int sig = os_stop_signal();

		if (sig) {
			failed = err_set(e, ERR_SIGNAL, "stopped by signal %d", sig);
			e->sys = sig;
		} else {
			failed = step(out, &more, io, wait, e);
		}
	}
	pthread_mutex_unlock(&io->in_lock);
	if (failed)
		record_stop(io, e);
	return failed;
}
