/*
 * record_demo: a tool in small, for the tests of this room: adds `n`, the length of the text, and
 * does on request what tools do. A word of the text may ask too: FAIL, DROP, SLOW.
 */
#include "config.h"
#include "record/record.h"
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static struct demo {
	struct record_opts o;
	const char *params;
	unsigned long sleep_us, die_after;
	bool emit, call, stream, embed;
	atomic_ulong done;
} demo = { .o = RECORD_OPTS_INIT };

static bool says(struct str text, const char *word)
{
	return str_find(text, str_of(word), 0) < text.n;
}

/* One line a word, as chunks. */
static int emit(struct record *r, struct str text, struct err *e)
{
	struct buf b;
	struct json_w w;
	size_t i = 0, k = 0;
	int failed = record_emit(r, STR(""), e);

	buf_init(&b, (size_t)1 << 30);
	while (!failed && i < text.n) {
		size_t to = i;
		char id[64];

		while (to < text.n && text.p[to] != ' ')
			to++;
		snprintf(id, sizeof id, "%.*s#%zu",
			 (int)(record_id(r).n < 40 ? record_id(r).n : 40), record_id(r).p, k);
		buf_reset(&b);
		w = json_w(&b);
		json_w_begin(&w, '{');
		json_w_key(&w, "id");
		json_w_strz(&w, id);
		json_w_key(&w, "text");
		json_w_str(&w, str_sub(text, i, to));
		json_w_key(&w, "chunk");
		json_w_begin(&w, '{');
		json_w_key(&w, "of");
		json_w_raw(&w, record_id_raw(r));
		json_w_key(&w, "index");
		json_w_u64(&w, k++);
		json_w_end(&w, '}');
		json_w_end(&w, '}');
		failed = buf_check(&b, e) || record_emit(r, buf_str(&b), e) ? -1 : 0;
		i = to + 1;
	}
	buf_release(&b);
	return failed;
}

static int one(struct record *r, void *arg, struct err *e)
{
	struct demo *d = arg;
	struct json_val wait = record_param(r, "sleep_us");
	struct str text;
	uint64_t us = d->sleep_us;

	if (record_text(&text, r, e) || (wait.type && json_u64(&us, wait, e)))
		return -1;
	if (says(text, "SLOW"))
		us += 20000;
	if (us)
		usleep((useconds_t)us);
	if (d->die_after && atomic_fetch_add(&d->done, 1) + 1 == d->die_after)
		raise(SIGKILL);
	if (says(text, "FAIL")) {
		err_set(e, ERR_SERVER, "the text says FAIL");
		record_fail(r, e, 3);
		return 0;
	}
	if (says(text, "DROP")) {
		record_drop(r);
		return 0;
	}
	if (record_is_text(r))
		return record_put_text(r, text, e);
	if (d->emit)
		return emit(r, text, e);
	if (d->embed) {
		static const float v[4] = { 1, 2, 3, 0.5f };

		if (record_set_f32s(r, "embedding", v, 4, true, e))
			return -1;
	}
	if (d->call && record_add_call(r, STR("{\"stage\":\"demo\"}"), e))
		return -1;
	return record_set_u64(r, "n", text.n, e);
}

/* The same by record_next() and record_done(), as many in hand as may be, given back in reverse. */
static int stream(struct tally *t, struct err *e)
{
	struct record_io *io;
	struct record *hand[64], *r;
	struct err closing = { 0 };
	size_t n = 0;
	int failed;

	if (record_open(&io, &demo.o, t, "demo", str_of(demo.params), e))
		return -1;
	do {
		while (!(failed = record_next(&r, io, n == 0, e)) && r && n < 63)
			hand[n++] = r;
		if (r && !failed)
			hand[n++] = r;
		while (n && !failed) {
			struct err why = { 0 };

			r = hand[--n];
			if (one(r, &demo, &why))
				record_fail(r, &why, 0);
			failed = record_done(io, r, e);
		}
	} while (!failed && !record_ended(io));
	if (record_close(io, &closing) && !failed) {
		*e = closing;
		failed = -1;
	}
	return failed;
}

enum {
	FIELD = 256,
	ONLY,
	ERRORS,
	RESUME,
	RETRY,
	FAST,
	SUMMARY,
	RECORDS,
	TEXT,
	LINES,
	JSON,
	SINK,
	TEE,
	TEXT_OUT,
	UNIQUE,
	SLEEP,
	DIE,
	EMIT,
	CALL,
	EMBED,
	STREAM,
	PARAMS
};
static const struct option options[] = {
	{ "field", 1, NULL, FIELD },
	{ "only", 0, NULL, ONLY },
	{ "errors", 1, NULL, ERRORS },
	{ "resume", 1, NULL, RESUME },
	{ "retry-errors", 0, NULL, RETRY },
	{ "fail-fast", 0, NULL, FAST },
	{ "summary", 1, NULL, SUMMARY },
	{ "records", 0, NULL, RECORDS },
	{ "text", 0, NULL, TEXT },
	{ "lines", 0, NULL, LINES },
	{ "json", 0, NULL, JSON },
	{ "sink", 0, NULL, SINK },
	{ "tee", 0, NULL, TEE },
	{ "text-out", 0, NULL, TEXT_OUT },
	{ "unique", 0, NULL, UNIQUE },
	{ "sleep-us", 1, NULL, SLEEP },
	{ "die-after", 1, NULL, DIE },
	{ "emit", 0, NULL, EMIT },
	{ "call", 0, NULL, CALL },
	{ "embed", 0, NULL, EMBED },
	{ "stream", 0, NULL, STREAM },
	{ "params", 1, NULL, PARAMS },
	{ 0 },
};

static int option(int c)
{
	struct record_opts *o = &demo.o;

	switch (c) {
	case 'j':
		o->jobs = (unsigned)strtoul(optarg, NULL, 10);
		break;
	case 'o':
		o->output = optarg;
		break;
	case FIELD:
		o->field = optarg;
		break;
	case ONLY:
		o->only = true;
		break;
	case ERRORS:
		o->errors = optarg;
		break;
	case RESUME:
		o->resume = optarg;
		break;
	case RETRY:
		o->retry_errors = true;
		break;
	case FAST:
		o->fail_fast = true;
		break;
	case SUMMARY:
		o->summary = optarg;
		break;
	case RECORDS:
		o->input = RECORD_JSON;
		break;
	case TEXT:
		o->input = RECORD_TEXT;
		break;
	case LINES:
		o->input = RECORD_LINES;
		break;
	case JSON:
		o->json = true;
		break;
	case SINK:
		o->sink = true;
		break;
	case TEE:
		o->tee = true;
		break;
	case TEXT_OUT:
		o->text_out = true;
		break;
	case UNIQUE:
		o->unique_ids = true;
		break;
	case SLEEP:
		demo.sleep_us = strtoul(optarg, NULL, 10);
		break;
	case DIE:
		demo.die_after = strtoul(optarg, NULL, 10);
		break;
	case EMIT:
		demo.emit = true;
		break;
	case CALL:
		demo.call = true;
		break;
	case EMBED:
		demo.embed = true;
		break;
	case STREAM:
		demo.stream = true;
		break;
	case PARAMS:
		demo.params = optarg;
		break;
	default:
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct tally t;
	struct err e = { 0 };
	int c, failed;

	demo.params = "{}";
	while ((c = getopt_long(argc, argv, "j:o:", options, NULL)) != -1)
		if (option(c))
			return 2;
	demo.o.files = (const char *const *)argv + optind;
	demo.o.n_files = (size_t)(argc - optind);
	failed = os_signals_init(false, &e);
	if (!failed && demo.stream)
		failed = stream(&t, &e);
	else if (!failed)
		failed = record_map(&t, &demo.o, "demo", str_of(demo.params), one, &demo, &e);
	for (unsigned i = 0; i < ERR_N_CODES; i++)
		if (t.codes[i])
			fprintf(stderr, "record_demo: %s: %llu: %s\n", err_name((enum err_code)i),
				(unsigned long long)t.codes[i], t.first[i]);
	if (failed)
		fprintf(stderr, "record_demo: %s\n", e.text);
	if (failed && e.code == ERR_SIGNAL)
		os_reraise(e.sys);
	return failed ? err_exit(e.code) : t.failed != 0;
}
