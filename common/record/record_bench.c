/*
 * record_bench: speed of the two rooms that every record goes through, MB/s of CPU time, the best
 *of five: parsing, vectors, and a whole tool that adds one member. Rows as in tests/bench: NDJSON.
 *
 *	make common/record/record_bench && common/record/record_bench
 */
#include "config.h"
#include "json/json.h"
#include "record/record.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define REPEAT 5

struct data {
	struct buf chat, floats, base64;
	struct arena arena;
};

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Chat records of 1.8 kB, half of them with blanks as Python writes them, an escape each 90 bytes;
 * vectors of 768. */
static void make_data(struct data *d)
{
	static const char *const words[] = { "the",           "model",    "of",          "a",
					     "record",        "answers",  "with",        "and",
					     "some",          "text.\\n", "caf\xc3\xa9", "in",
					     "\\\"order\\\"", "that",     "is",          "long" };
	struct rng rng = { 1, 0, 0 };

	for (int i = 0; i < 20000; i++) {
		const char *gap = i % 2 ? " " : "";

		buf_addf(&d->chat,
			 "{\"id\":%s\"req-%d\",%s\"messages\":%s[{\"role\":%s\"user\",%"
			 "s\"content\":%s\"",
			 gap, i, gap, gap, gap, gap, gap);
		for (int k = 0; k < 300; k++)
			buf_addf(&d->chat, "%s ", words[rng_below(&rng, k % 8 ? 8 : 16)]);
		buf_addf(&d->chat, "\"}],%s\"text\":%s\"short\"}\n", gap, gap);
	}
	for (int i = 0; i < 2000; i++) {
		float v[768];
		struct json_w w = json_w(&d->floats), w64 = json_w(&d->base64);

		for (int k = 0; k < 768; k++)
			v[k] = (float)(rng_normal(&rng) * 0.05);
		json_w_f32_array(&w, v, 768);
		json_w_f32_base64(&w64, v, 768);
		buf_addc(&d->floats, '\n');
		buf_addc(&d->base64, '\n');
	}
}

static void parse(struct data *d, struct str line)
{
	struct json_val v;

	(void)d;
	if (json_parse(&v, line, NULL))
		abort();
}

static void vector(struct data *d, struct str line)
{
	struct json_val v = { line, *line.p == '[' ? JSON_ARRAY : JSON_STRING };
	float *f;
	size_t n;

	if (json_f32s(&f, &n, v, &d->arena, NULL) || n != 768)
		abort();
	arena_reset(&d->arena);
}

static void row(const char *name, size_t bytes, double seconds)
{
	printf("{\"case\":\"%s\",\"bytes\":%zu,\"mb_s\":%.0f}\n", name, bytes,
	       (double)bytes / 1e6 / seconds);
}

static void each_line(const char *name, struct data *d, const struct buf *b,
		      void (*fn)(struct data *, struct str))
{
	double best = 1e9;

	for (int i = 0; i < REPEAT; i++) {
		const char *p = b->p, *end = b->p + b->n;
		double t = cpu_seconds();

		while (p < end) {
			const char *lf = memchr(p, '\n', (size_t)(end - p));

			fn(d, (struct str){ p, (size_t)(lf - p) });
			p = lf + 1;
		}
		t = cpu_seconds() - t;
		best = t < best ? t : best;
	}
	row(name, b->n, best);
}

static int add_member(struct record *r, void *arg, struct err *e)
{
	(void)arg;
	return record_set_u64(r, "n", 12, e);
}

static int whole_tool(const struct data *d, const char *path)
{
	struct record_opts o = RECORD_OPTS_INIT;
	struct tally t = { 0 };
	struct err e = { 0 };
	double best = 1e9;
	FILE *f = fopen(path, "w");

	if (!f || fwrite(d->chat.p, 1, d->chat.n, f) != d->chat.n || fclose(f))
		return -1;
	o.files = &path;
	o.n_files = 1;
	o.output = "/dev/null";
	for (int i = 0; i < REPEAT; i++) {
		double s = cpu_seconds();

		if (record_map(&t, &o, "bench", STR(""), add_member, NULL, &e))
			return -1;
		s = cpu_seconds() - s;
		best = s < best ? s : best;
	}
	row("chat: read, parse, add a member, write", d->chat.n, best);
	return 0;
}

int main(void)
{
	char path[] = "/tmp/record_bench.XXXXXX";
	int fd = mkstemp(path), failed;
	struct data d;

	buf_init(&d.chat, (size_t)1 << 30);
	buf_init(&d.floats, (size_t)1 << 30);
	buf_init(&d.base64, (size_t)1 << 30);
	arena_init(&d.arena, (size_t)1 << 30);
	make_data(&d);
	each_line("chat: parse", &d, &d.chat, parse);
	each_line("float arrays: parse", &d, &d.floats, parse);
	each_line("float arrays: to float", &d, &d.floats, vector);
	each_line("base64 vectors: to float", &d, &d.base64, vector);
	failed = fd < 0 ? -1 : whole_tool(&d, path);
	unlink(path);
	return failed ? 1 : 0;
}
