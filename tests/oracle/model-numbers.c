/*
 * model-numbers [-t THREADS] [-b BATCH] [-c F16|F32|Q8_0] [-B BOS] [-l LORA] [-s SCALE] MODEL MODE [N]: what common/model computes, for comparison with
 * llama-numbers.c and reference.py, and how fast. Lines of token ids on standard input, as for llama-numbers.
 *   logits, embed, greedy N: as llama-numbers
 *   perplexity N: of all ids as one text, in windows of N: llama.cpp's protocol (the second half of each is scored)
 *   speed N: tokens a second of a prompt of N ids, of 64 greedy steps behind it, and of 16 sequences at once;
 *     encoders: documents of N ids a second, many at once and one by one
 */
#include "config.h"
#include "model/model.h"
#include <getopt.h>
#include <math.h>
#include <stdio.h>

struct run {
	struct gguf *g;
	struct os_pool *pool;
	struct model *m;
	struct model_kv *kv;
	int32_t *ids, n, cap;
	float *logits;
	int batch;
	int32_t bos; /* in the place of the first id of each window, -1: none */
};

static struct err e;

static void die(void)
{
	fprintf(stderr, "model-numbers: %s\n", e.text);
	exit(1);
}

/* Ids of one line; false at the end. */
static bool read_ids(struct run *r, bool whole)
{
	static char line[1 << 22];

	r->n = 0;
	while (fgets(line, sizeof line, stdin)) {
		char *s = line, *end;

		for (;;) {
			long v = strtol(s, &end, 10);

			if (end == s)
				break;
			if (r->n == r->cap) {
				r->cap = r->cap * 2 + 1024;
				r->ids = realloc(r->ids, (size_t)r->cap * sizeof *r->ids);
				if (!r->ids)
					exit(70);
			}
			r->ids[r->n++] = (int32_t)v;
			s = end + strspn(end, ", ");
		}
		if (!whole)
			return true;
	}
	return r->n > 0 && whole;
}

/* n ids of a sequence, in steps of the batch's size; the logits of the rows from `from` on are wanted. */
static void feed(struct run *r, model_seq s, const int32_t *ids, int32_t n, int32_t from, float *logits)
{
	static model_seq seqs[512];
	static int32_t rows[512];

	for (int32_t at = 0; at < n; at += r->batch) {
		int32_t k = n - at < r->batch ? n - at : r->batch, wanted = 0;

		for (int32_t i = 0; i < k; i++) {
			seqs[i] = s;
			if (at + i >= from)
				rows[wanted++] = i;
		}
		struct model_step step = { .n = k, .ids = ids + at, .seqs = seqs, .n_out = wanted, .rows = rows,
					   .logits = wanted ? logits : NULL };
		if (model_forward(r->m, r->kv, &step, NULL, &e))
			die();
		logits += wanted * (int64_t)model_info(r->m)->n_vocab;
	}
}

static int32_t best(const float *x, int32_t n)
{
	int32_t k = 0;

	for (int32_t i = 1; i < n; i++)
		if (x[i] > x[k])
			k = i;
	return k;
}

static void greedy(struct run *r, int more)
{
	int32_t v = model_info(r->m)->n_vocab, t;
	model_seq s;

	if (model_seq_new(&s, r->kv, &e))
		die();
	feed(r, s, r->ids, r->n, r->n - 1, r->logits);
	for (int i = 0; i < more; i++) {
		t = best(r->logits, v);
		printf("%d ", t);
		feed(r, s, &t, 1, 0, r->logits);
	}
	putchar('\n');
	model_seq_free(r->kv, s);
}

static void logits(struct run *r)
{
	model_seq s;

	if (model_seq_new(&s, r->kv, &e))
		die();
	feed(r, s, r->ids, r->n, r->n - 1, r->logits);
	for (int32_t i = 0; i < model_info(r->m)->n_vocab; i++)
		printf("%.9g ", (double)r->logits[i]);
	putchar('\n');
	model_seq_free(r->kv, s);
}

static void embed(struct run *r)
{
	int32_t start[2] = { 0, r->n };

	if (model_encode(r->m, r->ids, start, 1, true, r->logits, &e))
		die();
	for (int32_t i = 0; i < model_info(r->m)->n_out; i++)
		printf("%.9g ", (double)r->logits[i]);
	putchar('\n');
}

static void perplexity(struct run *r, int32_t n_ctx)
{
	int32_t v = model_info(r->m)->n_vocab, half = n_ctx / 2, count = 0;
	float *x = malloc((size_t)(n_ctx - half) * (size_t)v * sizeof *x);
	double sum = 0;

	if (!x)
		exit(70);
	for (int32_t at = 0; at + n_ctx <= r->n; at += n_ctx) {
		model_seq s;

		if (model_seq_new(&s, r->kv, &e))
			die();
		if (r->bos >= 0)
			r->ids[at] = r->bos;
		feed(r, s, r->ids + at, n_ctx, half, x);
		for (int32_t i = half; i < n_ctx - 1; i++) {
			const float *row = x + (int64_t)(i - half) * v;
			float max = row[best(row, v)];
			double total = 0;

			for (int32_t k = 0; k < v; k++)
				total += exp((double)(row[k] - max));
			sum -= (double)(row[r->ids[at + i + 1]] - max) - log(total);
			count++;
		}
		model_seq_free(r->kv, s);
	}
	printf("perplexity %.4f over %d tokens\n", exp(sum / count), count);
	free(x);
}

/* Seconds, of the clock and of the processors: the second is steadier where others work too. */
struct clock {
	uint64_t wall;
	clock_t cpu;
};

static struct clock now(void)
{
	return (struct clock){ time_mono_ns(), clock() };
}

static void report(const char *what, double n, struct clock t, unsigned threads)
{
	double wall = (double)(time_mono_ns() - t.wall) / 1e9, cpu = (double)(clock() - t.cpu) / CLOCKS_PER_SEC;

	printf("%-14s %9.1f a second; by processor time %9.1f\n", what, n / wall, n * threads / cpu);
}

static void speed(struct run *r, int32_t n)
{
	int32_t v = model_info(r->m)->n_vocab, ids[4096], many[16];
	model_seq s, all[16];
	unsigned threads = os_pool_size(r->pool);
	struct clock t;
	int32_t rows[16];
	float *x = malloc(16 * (size_t)v * sizeof *x);

	if (!x || n > 4096)
		exit(70);
	for (int32_t i = 0; i < n; i++)
		ids[i] = (int32_t)(hash_mix64((uint64_t)i) % (uint64_t)v);
	for (int round = 0; round < 2; round++) {
		if (model_seq_new(&s, r->kv, &e))
			die();
		t = now();
		feed(r, s, ids, n, n - 1, x);
		report("prefill", n, t, threads);
		t = now();
		for (int i = 0; i < 64; i++) {
			int32_t id = best(x, v);

			feed(r, s, &id, 1, 0, x);
		}
		report("decode", 64, t, threads);
		model_seq_free(r->kv, s);
	}
	for (int i = 0; i < 16; i++) {
		if (model_seq_new(&all[i], r->kv, &e))
			die();
		feed(r, all[i], ids + i, 128, 127, x + i * (int64_t)v);
		rows[i] = i;
	}
	t = now();
	for (int k = 0; k < 32; k++) {
		for (int i = 0; i < 16; i++)
			many[i] = best(x + i * (int64_t)v, v);
		struct model_step step = { .n = 16, .ids = many, .seqs = all, .n_out = 16, .rows = rows, .logits = x };
		if (model_forward(r->m, r->kv, &step, NULL, &e))
			die();
	}
	report("16 sequences", 16 * 32, t, threads);
	printf("peak memory: %.1f MiB\n", (double)os_memory_peak() / (1 << 20));
	free(x);
}

static void speed_encode(struct run *r, int32_t n)
{
	enum { DOCS = 256 };
	static int32_t ids[DOCS * 512], start[DOCS + 1];
	float *x = malloc(DOCS * (size_t)model_info(r->m)->n_out * sizeof *x);
	unsigned threads = os_pool_size(r->pool);
	struct clock t;

	if (!x || n > 512)
		exit(70);
	for (int32_t i = 0; i < DOCS * n; i++)
		ids[i] = (int32_t)(hash_mix64((uint64_t)i) % (uint64_t)model_info(r->m)->n_vocab);
	for (int i = 0; i <= DOCS; i++)
		start[i] = i * n;
	for (int round = 0; round < 3; round++) {
		t = now();
		if (model_encode(r->m, ids, start, DOCS, true, x, &e))
			die();
		report("together", DOCS, t, threads);
	}
	t = now();
	for (int i = 0; i < 64; i++)
		if (model_encode(r->m, ids + start[i], start, 1, true, x, &e))
			die();
	report("one by one", 64, t, threads);
	printf("peak memory: %.1f MiB\n", (double)os_memory_peak() / (1 << 20));
	free(x);
}

int main(int argc, char **argv)
{
	struct model_opts o = { .pooling = -1 };
	struct run r = { .batch = 512, .bos = -1 };
	struct model_lora lora = { .scale = 1 };
	unsigned threads = 1;
	const char *mode, *lora_path = NULL;
	struct gguf *adapter = NULL;
	int c, n;

	while ((c = getopt(argc, argv, "t:b:c:B:l:s:")) != -1) {
		if (c == 't')
			threads = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'b')
			r.batch = (int)strtol(optarg, NULL, 10);
		else if (c == 's')
			lora.scale = strtof(optarg, NULL);
		else if (c == 'l')
			o.loras = &lora, o.n_loras = 1, lora_path = optarg;
		else if (c == 'B')
			r.bos = (int32_t)strtol(optarg, NULL, 10);
		else if (c == 'c')
			o.kv_type = strcmp(optarg, "F32") ? (uint32_t)gguf_type_by_name(optarg) : MODEL_KV_F32;
		else
			return 2;
	}
	if (argc - optind < 2)
		return 2;
	mode = argv[optind + 1];
	n = argc - optind > 2 ? (int)strtol(argv[optind + 2], NULL, 10) : 64;
	if (lora_path && gguf_open(&adapter, lora_path, &e))
		die();
	lora.g = adapter;
	if (kern_init(os_env("LLMU_ISA"), &e) || gguf_open(&r.g, argv[optind], &e) || os_pool_new(&r.pool, threads, &e) ||
	    model_open(&r.m, r.g, r.pool, &o, &e))
		die();
	if (!model_info(r.m)->encoder && model_kv_new(&r.kv, r.m, 8192, &e))
		die();
	r.logits = calloc((size_t)model_info(r.m)->n_vocab + (size_t)model_info(r.m)->n_out, sizeof *r.logits);
	if (!r.logits)
		return 70;
	if (strcmp(mode, "speed") == 0) {
		model_info(r.m)->encoder ? speed_encode(&r, n) : speed(&r, n);
	} else if (strcmp(mode, "perplexity") == 0) {
		read_ids(&r, true);
		perplexity(&r, n);
	} else {
		while (read_ids(&r, false)) {
			if (strcmp(mode, "embed") == 0)
				embed(&r);
			else if (strcmp(mode, "greedy") == 0)
				greedy(&r, n);
			else
				logits(&r);
			fflush(stdout);
		}
	}
	free(r.logits);
	free(r.ids);
	model_kv_free(r.kv);
	model_close(r.m);
	os_pool_free(r.pool);
	gguf_close(r.g);
	gguf_close(adapter);
	return 0;
}
