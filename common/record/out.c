/* What is written of a record, and where to. */
#include "config.h"
#include "record/record_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define WRITE_AT ((size_t)256 << 10)   /* large writes while records come fast */
#define WRITE_NS ((uint64_t)100000000) /* and soon ones while they do not */
#define FRAME_NS                                                                                   \
	((uint64_t)1000000000) /* a zstd frame costs some bytes: one a second is enough to resume  \
				  from */

static void put_error(struct json_w *w, const struct record *r)
{
	struct json_val was = r->f[F_ERROR];

	json_w_begin(w, '{');
	json_w_key(w, "code");
	json_w_strz(w, err_name(r->code));
	json_w_key(w, "message");
	json_w_strz(w, r->message);
	json_w_key(w, "stage");
	json_w_strz(w, r->io->stage);
	json_w_key(w, "retryable");
	json_w_bool(w, err_retryable(r->code));
	if (r->attempts) {
		json_w_key(w, "attempts");
		json_w_u64(w, r->attempts);
	}
	if (r->line) {
		json_w_key(w, "line");
		json_w_u64(w, r->line);
	}
	/* a column of the user's of that name, whose place it takes */
	if (was.type != JSON_NONE && was.type != JSON_NULL) {
		json_w_key(w, "was");
		json_w_raw(w, was.raw);
	}
	json_w_end(w, '}');
}

/* A line that is no record: {id, error, raw}, or raw_base64 where it is no UTF-8. */
static void build_raw(struct record *r)
{
	struct str raw = buf_str(&r->raw);
	struct json_w w = json_w(&r->out);
	bool utf8 = utf8_valid(raw) == raw.n;

	json_w_begin(&w, '{');
	json_w_key(&w, r->id_name);
	json_w_raw(&w, r->id_raw);
	json_w_key(&w, "error");
	put_error(&w, r);
	json_w_key(&w, utf8 ? "raw" : "raw_base64");
	if (utf8) {
		json_w_str(&w, raw);
	} else {
		json_w_raw(&w, STR("\""));
		json_base64_put(&r->out, raw.p, raw.n);
		buf_addc(&r->out, '"');
	}
	json_w_end(&w, '}');
}

static struct str own_value(const struct record *r, size_t i)
{
	return str_sub(buf_str(&r->own), r->set[i].from, r->set[i].to);
}

/* --only: the id under its own name, and what was set here. */
static void build_only(struct record *r)
{
	struct json_w w = json_w(&r->out);

	json_w_begin(&w, '{');
	json_w_key(&w, r->id_name);
	json_w_raw(&w, r->id_raw);
	if (r->failed) {
		json_w_key(&w, "error");
		put_error(&w, r);
	}
	for (size_t i = 0; i < r->n_set; i++)
		if (!r->set[i].remove) {
			json_w_key(&w, r->set[i].name);
			json_w_raw(&w, own_value(r, i));
		}
	json_w_end(&w, '}');
}

/* A failed line of a Batch as OpenAI's error file has it: `id` and `response` are the tool's, where it set them. */
static void build_batch(struct record *r)
{
	struct json_w w = json_w(&r->out);
	struct str own = r->f[F_CUSTOM_ID].raw, id = { NULL, 0 }, response = STR("null");
	char name[40];

	for (size_t i = 0; i < r->n_set; i++) {
		if (!strcmp(r->set[i].name, "id"))
			id = own_value(r, i);
		else if (!strcmp(r->set[i].name, "response"))
			response = own_value(r, i);
	}
	json_w_begin(&w, '{');
	json_w_key(&w, "id");
	snprintf(name, sizeof name, "batch_req_%016llx", (unsigned long long)hash64(own.p, own.n, r->seq));
	if (id.p)
		json_w_raw(&w, id);
	else
		json_w_strz(&w, name);
	json_w_key(&w, "custom_id");
	json_w_raw(&w, own);
	json_w_key(&w, "response");
	json_w_raw(&w, response);
	json_w_key(&w, "error");
	put_error(&w, r);
	json_w_end(&w, '}');
}

static int build_edited(struct record *r, struct err *e)
{
	struct json_edit ed;
	struct json_w w;
	size_t from = r->own.n;

	json_edit_init(&ed);
	if (r->failed) { /* behind the values, before any pointer to them is taken */
		w = json_w(&r->own);
		put_error(&w, r);
		if (buf_check(&r->own, e))
			return -1;
	}
	if (r->id_made && json_edit_set(&ed, STR("id"), r->id_raw, e))
		return -1;
	for (size_t i = 0; i < r->n_set; i++)
		if (r->set[i].remove
			    ? json_edit_remove(&ed, str_of(r->set[i].name), e)
			    : json_edit_set(&ed, str_of(r->set[i].name), own_value(r, i), e))
			return -1;
	if (r->failed &&
	    json_edit_set(&ed, STR("error"), str_sub(buf_str(&r->own), from, r->own.n), e))
		return -1;
	if (r->n_m > MEMBERS_MAX)
		return json_edit_put(&r->out, r->obj, &ed, e);
	return json_edit_put_members(&r->out, r->obj, r->m, r->n_m, &ed, e);
}

/* The lines to write, into r->out. */
int record_build(struct record *r, struct err *e)
{
	const struct record_opts *o = &r->io->o;
	bool plain_text = r->text && o->text_out && !o->json;

	r->to_errors = r->failed && o->errors;
	if (!r->failed && (r->drop || (o->sink && !o->tee)))
		return 0;
	r->n_out = 1;
	if (r->failed && plain_text && !r->to_errors) {
		r->n_out = 0; /* its message goes to standard error with the counts */
		return 0;
	}
	if (!r->failed && plain_text) {
		buf_adds(&r->out, buf_str(&r->text_out));
		if (r->has_text && (!r->out.n || r->out.p[r->out.n - 1] != '\n'))
			buf_addc(&r->out, '\n');
		return buf_check(&r->out, e);
	}
	if (!r->failed && r->emits) {
		struct buf t = r->out;

		r->out = r->emitted;
		r->emitted = t;
		r->n_out = r->n_emitted;
		return 0;
	}
	if (r->passed)
		buf_adds(&r->out, r->obj.raw);
	else if (r->obj.type == JSON_NONE)
		build_raw(r);
	else if (r->failed && o->batch && record_batch(r).type == JSON_OBJECT)
		build_batch(r);
	else if (o->only)
		build_only(r);
	else if (build_edited(r, e))
		return -1;
	buf_addc(&r->out, '\n');
	return buf_check(&r->out, e);
}

/* ---- destinations ---------------------------------------------------------------------------- */

int record_dest_open(struct dest *d, const char *path, bool append, bool replace, struct err *e)
{
	buf_init(&d->b, SIZE_MAX / 4);
	if (!path)
		return os_out_fd(&d->o, STDOUT_FILENO, "standard output", e);
	d->zst = str_ends(str_of(path), STR(".zst"));
	if (!replace)
		return os_out_open(&d->o, path, append, e);
	if (asprintf(&d->temp, "%s.retry%s", path, d->zst ? ".zst" : "") < 0) {
		d->temp = NULL;
		return err_nomem(e);
	}
	d->replace = strdup(path);
	return d->replace ? os_out_open(&d->o, d->temp, false, e) : err_nomem(e);
}

static int flush(struct dest *d, bool end_frame, struct err *e)
{
	if (!d->o)
		return 0;
	if (d->b.n) {
		if (os_out_write(d->o, d->b.p, d->b.n, e))
			return -1;
		buf_reset(&d->b);
		d->dirty = d->zst;
	}
	if (d->dirty && (end_frame || time_mono_ns() - d->last_ns > FRAME_NS)) {
		if (os_out_flush(d->o, e))
			return -1;
		d->dirty = false;
		d->last_ns = time_mono_ns();
	}
	if (!d->zst)
		d->last_ns = time_mono_ns();
	return 0;
}

int record_flush(struct record_io *io, bool end_frame, struct err *e)
{
	/* of compressed errors the frame must be whole before the output goes past them */
	return flush(&io->err, end_frame || io->err.zst, e) || flush(&io->out, end_frame, e) ? -1
											     : 0;
}

int record_write(struct record_io *io, struct dest *d, struct str lines, struct err *e)
{
	if (!lines.n)
		return 0;
	if (lines.n >= WRITE_AT && d->o) { /* no second copy of a very long one */
		if (record_flush(io, false, e) || os_out_write(d->o, lines.p, lines.n, e))
			return -1;
		d->dirty = d->zst;
		return record_flush(io, false, e);
	}
	buf_adds(&d->b, lines);
	if (buf_check(&d->b, e))
		return -1;
	if (d->b.n >= WRITE_AT || time_mono_ns() - d->last_ns > WRITE_NS)
		return record_flush(io, false, e);
	return 0;
}

int record_dest_commit(struct dest *d, struct err *e)
{
	int fd;

	if (!d->temp)
		return 0;
	if (flush(d, true, e))
		return -1;
	fd = open(d->temp, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) || close(fd) || rename(d->temp, d->replace))
		return err_sys(e, ERR_WRITE, errno, "%s: cannot write", d->replace);
	free(d->temp);
	d->temp = NULL; /* its descriptor goes on writing what has the other name now */
	return 0;
}

int record_dest_close(struct dest *d, bool good, struct err *e)
{
	int failed = good ? flush(d, true, e) : 0;

	if (good && !failed)
		failed = record_dest_commit(d, e);
	if (d->o && os_out_close(d->o, failed ? NULL : e))
		failed = -1;
	if (d->temp)
		unlink(d->temp);
	free(d->temp);
	free(d->replace);
	buf_release(&d->b);
	*d = (struct dest){ 0 };
	return failed;
}

/* --summary FILE: the counts, as one object. */
int record_summary(const struct record_io *io, struct err *e)
{
	const struct tally *t = io->t;
	struct os_atomic *a = NULL;
	struct json_w w;
	struct buf b;
	int failed;

	buf_init(&b, (size_t)1 << 20);
	w = json_w(&b);
	json_w_begin(&w, '{');
	json_w_key(&w, "stage");
	json_w_strz(&w, io->stage);
	json_w_key(&w, "in");
	json_w_u64(&w, t->in);
	json_w_key(&w, "out");
	json_w_u64(&w, t->out);
	json_w_key(&w, "skipped");
	json_w_u64(&w, t->skipped);
	json_w_key(&w, "failed");
	json_w_u64(&w, t->failed);
	json_w_key(&w, "passed");
	json_w_u64(&w, t->passed);
	json_w_key(&w, "errors");
	json_w_begin(&w, '{');
	for (unsigned i = 0; i < ERR_N_CODES; i++)
		if (t->codes[i]) {
			json_w_key(&w, err_name((enum err_code)i));
			json_w_u64(&w, t->codes[i]);
		}
	json_w_end(&w, '}');
	for (const struct record_count *c = io->o.counts; c && c->name; c++) {
		json_w_key(&w, c->name);
		json_w_u64(&w, *c->value);
	}
	json_w_end(&w, '}');
	buf_addc(&b, '\n');
	failed = buf_check(&b, e) || os_atomic_open(&a, io->o.summary, 0666, e);
	if (!failed && os_atomic_write(a, b.p, b.n, e)) {
		os_atomic_abort(a);
		failed = -1;
	} else if (!failed) {
		failed = os_atomic_commit(a, e);
	}
	buf_release(&b);
	return failed ? -1 : 0;
}
