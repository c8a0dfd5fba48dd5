/* What the shell tests of this room cannot see: waiting, windows, memory, allocations that fail. */
#include "config.h"
#include "record/record_impl.h"
#include "tap.h"
#include <fcntl.h>
#include <unistd.h>

/* ---- allocations, counted and made to fail (ld --wrap) --------------------------------------- */

static atomic_ulong allocations;
static atomic_long fail_in = -1; /* the allocation that fails; negative: none */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static bool refuse(void)
{
	atomic_fetch_add(&allocations, 1);
	return atomic_load(&fail_in) >= 0 && atomic_fetch_sub(&fail_in, 1) == 0;
}

void *__wrap_malloc(size_t n)
{
	return refuse() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return refuse() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return refuse() ? NULL : __real_realloc(p, n);
}

/* ---- help ------------------------------------------------------------------------------------ */

static char folder[] = "/tmp/llmu-record.XXXXXX";

static const char *in_folder(const char *name)
{
	static char path[4][256];
	static unsigned k;

	k = (k + 1) % 4;
	snprintf(path[k], sizeof path[k], "%s/%s", folder, name);
	return path[k];
}

static const char *write_file(const char *name, const char *text)
{
	const char *path = in_folder(name);
	FILE *f = fopen(path, "w");

	if (!f)
		abort();
	fputs(text, f);
	fclose(f);
	return path;
}

static bool file_is(const char *name, const char *want)
{
	struct err e = { 0 };
	struct buf b;
	bool same;

	buf_init(&b, (size_t)1 << 20);
	same = !os_read_file(&b, in_folder(name), b.max, &e) && str_is(buf_str(&b), want);
	if (!same)
		printf("# %s: got %s%s\n", name, b.p ? b.p : "", e.text);
	buf_release(&b);
	return same;
}

/* ---- one record, its members ----------------------------------------------------------------- */

static int look(struct record *r, void *arg, struct err *e)
{
	bool *good = arg;
	struct json_val m = record_messages(r);
	struct str text;

	switch (record_seq(r)) {
	case 0: /* messages, params */
		*good &= m.type == JSON_ARRAY && json_count(m) == 1 &&
			 str_is(record_param(r, "seed").raw, "7") &&
			 record_param(r, "top_p").type == JSON_NONE &&
			 str_is(record_id(r), "a\"b") && str_is(record_id_raw(r), "\"a\\\"b\"");
		*good &= record_text(&text, r, e) == -1 && e->code == ERR_MISSING_FIELD;
		return 0;
	case 1: /* a Batch line */
		*good &= record_messages(r).type == JSON_ARRAY &&
			 str_is(record_param(r, "seed").raw, "9") && str_is(record_id(r), "c1");
		return record_set_str(r, "x", STR("\xff\n"), e);
	case 2: /* set twice, removed, again */
		*good &= m.type == JSON_NONE;
		if (record_set_bool(r, "x", true, e) || record_set_f64(r, "x", 0.1, e) ||
		    record_remove(r, "gone", e) || record_remove(r, "y", e))
			return -1;
		return record_set_raw(r, "y", STR("[1]"), e);
	case 3: /* what is set behind a failure stays */
		if (record_set_u64(r, "x", 1, e))
			return -1;
		err_set(e, ERR_UNPRICED, "no price");
		record_fail(r, e, 0);
		return record_set_raw(r, "cost", STR("null"), e);
	default: /* a failure wins over lines emitted */
		if (record_emit(r, STR("{\"id\":1}"), e))
			return -1;
		return err_set(e, ERR_MODEL_FAULT, "NaN");
	}
}

static void test_members(void)
{
	const char *in =
		write_file("in", "{\"id\":\"a\\\"b\",\"messages\":[{}],\"params\":{\"seed\":7}}\n"
				 "{\"custom_id\":\"c1\",\"body\":{\"messages\":[],\"seed\":9}}\n"
				 "{\"id\":3,\"messages\":null,\"gone\":1,\"y\":2}\n"
				 "{\"id\":4}\n{\"id\":5}\n");
	struct record_opts o = RECORD_OPTS_INIT;
	struct tally t = { 0 };
	struct err e = { 0 };
	bool good = true;

	o.files = &in;
	o.n_files = 1;
	o.output = in_folder("out");
	OK(!record_map(&t, &o, "t", STR(""), look, &good, &e) && good, "members are read %s",
	   e.text);
	OK(file_is("out", "{\"id\":\"a\\\"b\",\"messages\":[{}],\"params\":{\"seed\":7}}\n"
			  "{\"custom_id\":\"c1\",\"body\":{\"messages\":[],\"seed\":9},\"x\":"
			  "\"\xef\xbf\xbd\\n\"}\n"
			  "{\"id\":3,\"messages\":null,\"y\":[1],\"x\":0.1}\n"
			  "{\"id\":4,\"cost\":null,\"error\":{\"code\":\"unpriced\",\"message\":"
			  "\"no price\","
			  "\"stage\":\"t\",\"retryable\":false,\"line\":4}}\n"
			  "{\"id\":5,\"error\":{\"code\":\"model_fault\",\"message\":\"NaN\","
			  "\"stage\":\"t\","
			  "\"retryable\":false,\"line\":5}}\n"),
	   "and written");
	OK(t.in == 5 && t.out == 5 && t.failed == 2 && t.codes[ERR_UNPRICED] == 1, "and counted");
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void feed(int fd, const char *z)
{
	if (write(fd, z, strlen(z)) != (ssize_t)strlen(z))
		abort();
}

static void test_waiting(void)
{
	struct record_opts o = { .jobs = 2 };
	struct record_io *io;
	struct record *a, *b, *c;
	struct tally t = { 0 };
	struct err e = { 0 };
	int p[2], in = dup(0);

	if (in < 0 || pipe(p) || dup2(p[0], 0) < 0)
		abort();
	close(p[0]);
	o.output = in_folder("out");
	OK(!record_open(&io, &o, &t, "t", STR(""), &e), "open %s", e.text);
	OK(!record_next(&a, io, false, &e) && !a && !record_ended(io), "nothing at hand");
	feed(p[1], "  \n{\"id\":1");
	OK(!record_next(&a, io, false, &e) && !a && !record_ended(io), "no whole line");
	feed(p[1], "}\n{\"id\":2}\n{\"id\":3}\n{\"id\":4}");
	OK(!record_next(&a, io, false, &e) && a && str_is(record_id(a), "1"), "a whole line");
	OK(!record_next(&b, io, true, &e) && b && str_is(record_id(b), "2"), "the next");
	OK(!record_next(&c, io, true, &e) && !c && !record_ended(io), "the window is full");
	record_set_u64(b, "x", 2, &e);
	OK(!record_done(io, b, &e) && file_is("out", ""), "the second waits for the first");
	OK(!record_next(&c, io, true, &e) && c && str_is(record_id(c), "3"), "the window moves on");
	OK(!record_done(io, a, &e) && !record_next(&a, io, false, &e) && !a && !record_ended(io) &&
		   file_is("out", "{\"id\":1}\n{\"id\":2,\"x\":2}\n"),
	   "nothing to read: what is in order is written");
	OK(!record_done(io, c, &e) &&
		   file_is("out", "{\"id\":1}\n{\"id\":2,\"x\":2}\n{\"id\":3}\n"),
	   "soon, where the last look found no more input");
	close(p[1]);
	OK(!record_next(&a, io, false, &e) && a && str_is(record_id(a), "4") && record_line(a) == 5,
	   "the last line has no LF");
	OK(!record_next(&b, io, true, &e) && !b && record_ended(io), "the end");
	OK(!record_done(io, a, &e) && !record_close(io, &e) && t.in == 4 && t.out == 4, "closed");
	dup2(in, 0);
	close(in);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static const char *many(size_t n)
{
	const char *path = in_folder("many");
	FILE *f = fopen(path, "w");

	if (!f)
		abort();
	for (size_t i = 0; i < n; i++) {
		fprintf(f, "{\"id\":\"record %zu\",\"n\":0,\"text\":\"", i);
		for (size_t k = 0; k < 20 + i * 7 % 60; k++)
			fputs(i % 50 ? "some words " : "w\\u00e9rds\\n ", f);
		fprintf(f, "\"%s}\n", i % 10 == 9 ? ",\"calls\":[{}]" : "");
	}
	fclose(f);
	return path;
}

struct counter {
	unsigned long at[2];
};

static int busy(struct record *r, struct err *e)
{
	float v[96] = { 1 };
	struct str text;

	if (record_text(&text, r, e) || !arena_alloc(record_arena(r), 2000) ||
	    record_set_f32s(r, "v", v, 96, true, e) || record_add_call(r, STR("{\"a\":1}"), e))
		return -1;
	if (record_seq(r) % 5 == 4)
		return err_set(e, ERR_TIMEOUT, "late");
	return record_set_str(r, "s", text, e);
}

static int count_one(struct record *r, void *arg, struct err *e)
{
	struct counter *c = arg;

	if (record_seq(r) == 1000 || record_seq(r) == 2000)
		c->at[record_seq(r) == 2000] = atomic_load(&allocations);
	return busy(r, e);
}

static void test_allocations(void)
{
	const char *in = many(3000);
	struct record_opts o = RECORD_OPTS_INIT;
	struct record_io *io;
	struct record *hand[8], *r;
	struct tally t = { 0 };
	struct counter c = { { 0, 1 } };
	struct err e = { 0 };
	int failed;

	o.files = &in;
	o.n_files = 1;
	o.output = "/dev/null";
	OK(!record_map(&t, &o, "t", STR(""), count_one, &c, &e) && t.in == 3000 && t.failed == 600,
	   "3000 records %s", e.text);
	OK(c.at[0] == c.at[1], "records 1000 to 2000 allocate nothing (%lu)", c.at[1] - c.at[0]);
	o.jobs = 8;
	failed = record_open(&io, &o, &t, "t", STR(""), &e);
	while (!failed && !record_ended(io)) {
		size_t n = 0;

		while (n < 8 && !(failed = record_next(&r, io, true, &e)) && r)
			hand[n++] = r;
		while (n && !failed) {
			r = hand[--n];
			if (count_one(r, &c, &e))
				record_fail(r, &e, 0);
			failed = record_done(io, r, &e);
		}
	}
	OK(!failed && !record_close(io, &e), "in batches of eight, given back in reverse %s",
	   e.text);
	OK(c.at[0] == c.at[1], "nor do batches (%lu)", c.at[1] - c.at[0]);
}

static int fallible(struct record *r, void *arg, struct err *e)
{
	(void)arg;
	return busy(r, e);
}

/* Every allocation fails in turn until a run needs no more: no crash, no leak, ERR_NOMEM. */
static void test_no_memory(void)
{
	const char *in = many(25);
	struct record_opts o = RECORD_OPTS_INIT;
	bool good = true;
	long n = 0;

	o.files = &in;
	o.n_files = 1;
	o.resume = in_folder("resumed");
	o.errors = in_folder("bad");
	o.summary = in_folder("summary");
	for (int rc = -1; rc && good && n < 5000; n++) {
		struct tally t = { 0 };
		struct err e = { 0 };

		unlink(o.resume);
		unlink(o.errors);
		atomic_store(&fail_in, n);
		rc = record_map(&t, &o, "t", STR(""), fallible, NULL, &e);
		if (atomic_load(&fail_in) >= 0)
			rc = 0; /* it was never reached */
		else if (rc)
			good = e.code == ERR_NOMEM;
		else
			rc = -1; /* one that was only for speed */
		if (!good)
			printf("# allocation %ld: %s\n", n, e.text);
		atomic_store(&fail_in, -1);
	}
	OK(good && n > 20 && n < 5000, "each of %ld allocations may fail", n);
}

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	test_members();
	test_waiting();
	test_allocations();
	test_no_memory();
	for (const char *const *z =
		     (const char *const[]){ "in", "out", "many", "resumed", "resumed.resume", "bad",
					    "summary", NULL };
	     *z; z++)
		unlink(in_folder(*z));
	rmdir(folder);
	return tap_done();
}
