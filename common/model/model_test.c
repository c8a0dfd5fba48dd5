/*
 * model_test: every tiny model against double precision (tests/fixtures/golden.txt), the same bits however a step is cut,
 * and faults of files and of callers.
 */
#include "config.h"
#include "model/model.h"
#include "tap.h"
#include <math.h>

#define MAX_IDS 64

static struct err e;
static char root[4096];

struct fix { /* one open model */
	struct gguf *g, *adapter;
	struct model_lora lora;
	struct os_pool *pool;
	struct model *m;
	struct model_kv *kv;
	int32_t v;
};

static const char *path(const char *name)
{
	static char p[8192];

	snprintf(p, sizeof p, "%s/tests/fixtures/%s", root, name);
	return p;
}

static bool fix_open(struct fix *f, const char *name, unsigned threads, uint32_t kv_type, int batch)
{
	struct model_opts o = { .kv_type = kv_type, .max_batch = batch, .pooling = -1 };
	const char *plus = strchr(name, '+');
	char part[64];

	memset(f, 0, sizeof *f);
	if (plus) { /* MODEL+ADAPTER:SCALE */
		snprintf(part, sizeof part, "%.*s", (int)strcspn(plus + 1, ":"), plus + 1);
		if (gguf_open(&f->adapter, path(part), &e))
			return false;
		f->lora = (struct model_lora){ f->adapter, strtof(strchr(plus, ':') + 1, NULL) };
		o.loras = &f->lora;
		o.n_loras = 1;
		snprintf(part, sizeof part, "%.*s", (int)(plus - name), name);
		name = part;
	}
	if (gguf_open(&f->g, path(name), &e) || os_pool_new(&f->pool, threads, &e) ||
	    model_open(&f->m, f->g, f->pool, &o, &e) ||
	    (!model_info(f->m)->encoder && model_kv_new(&f->kv, f->m, 512, &e)))
		return false;
	f->v = model_info(f->m)->n_vocab;
	return true;
}

static void fix_close(struct fix *f)
{
	model_kv_free(f->kv);
	model_close(f->m);
	os_pool_free(f->pool);
	gguf_close(f->g);
	gguf_close(f->adapter);
}

/* n ids behind what s holds, in steps of `chunk`; the logits of the last into out [v]. */
static int feed(struct fix *f, model_seq s, const int32_t *ids, int32_t n, int32_t chunk, float *out)
{
	model_seq seqs[MAX_IDS];

	for (int32_t at = 0; at < n; at += chunk) {
		int32_t k = n - at < chunk ? n - at : chunk, row = k - 1;
		struct model_step step = { .n = k, .ids = ids + at, .seqs = seqs, .n_out = 1, .rows = &row,
					   .logits = at + k == n ? out : NULL };

		for (int32_t i = 0; i < k; i++)
			seqs[i] = s;
		if (model_forward(f->m, f->kv, &step, NULL, &e))
			return -1;
	}
	return 0;
}

static int32_t sequence(struct fix *f)
{
	model_seq s = -1;

	return model_seq_new(&s, f->kv, &e) ? -1 : s;
}

/* ---- against double precision ------------------------------------------------------------------ */

static double nmse(const float *x, const double *y, int32_t n)
{
	double err = 0, all = 0;

	for (int32_t i = 0; i < n; i++) {
		err += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
		all += y[i] * y[i];
	}
	return err / all;
}

static bool quantized(const char *name)
{
	static const char *const list[] = { "tiny-llama.gguf", "tiny-kquant.gguf", "tiny-mixtral.gguf", "tiny-gpt-oss.gguf" };

	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		if (strncmp(name, list[i], strlen(list[i])) == 0)
			return true;
	return false;
}

static void golden_line(char *line)
{
	static double want[4096];
	static float got[4096];
	int32_t ids[MAX_IDS], n = 0, n_want = 0, start[2] = { 0, 0 };
	char *save, *name = strtok_r(line, " \n", &save), *kind = strtok_r(NULL, " \n", &save);
	char *list = strtok_r(NULL, " \n", &save), *save2;
	struct fix f;
	double err, limit = quantized(name) ? 1e-3 : 1e-6;
	int rc;

	for (char *s = strtok_r(list, ",", &save2); s && n < MAX_IDS; s = strtok_r(NULL, ",", &save2))
		ids[n++] = (int32_t)strtol(s, NULL, 10);
	for (char *s; (s = strtok_r(NULL, " \n", &save)) && n_want < 4096;)
		want[n_want++] = strtod(s, NULL);
	if (!OK(fix_open(&f, name, 2, MODEL_KV_F32, 0), "%s opens: %s", name, e.text)) {
		fix_close(&f);
		return;
	}
	start[1] = n;
	if (strcmp(kind, "embed") == 0)
		rc = model_info(f.m)->n_out != n_want || model_encode(f.m, ids, start, 1, true, got, &e);
	else
		rc = f.v != n_want || feed(&f, sequence(&f), ids, n, n, got);
	err = rc ? (double)INFINITY : nmse(got, want, n_want);
	OK(err <= limit, "%s: %s within %g of double precision (%.2e) %s", name, kind, limit, err, rc ? e.text : "");
	fix_close(&f);
}

static void test_golden(void)
{
	static char line[1 << 16];
	FILE *file = fopen(path("golden.txt"), "r");

	if (!OK(file != NULL, "golden.txt opens"))
		return;
	while (fgets(line, sizeof line, file))
		golden_line(line);
	fclose(file);
}

/* ---- the same bits ----------------------------------------------------------------------------- */

static void some_ids(int32_t *ids, int32_t n, int32_t v, uint64_t seed)
{
	for (int32_t i = 0; i < n; i++)
		ids[i] = (int32_t)(rng_at(seed, 0, (uint64_t)i) % (uint64_t)v);
}

/* The text last in steps of five beside two others, one of which reads one id a step. */
static int with_companions(struct fix *f, const int32_t *ids, int32_t n, float *out)
{
	model_seq seqs[3 * 5], s[3] = { sequence(f), sequence(f), sequence(f) };
	float *x = malloc(3 * (size_t)f->v * sizeof *x);
	int rc = x ? 0 : -1;

	for (int32_t at = 0; at < n && !rc; at += 5) {
		int32_t mixed[3 * 5], rows[3], k = n - at < 5 ? n - at : 5, t = 0;

		for (int j = 0; j < 3; j++) {
			int32_t mine = j == 0 ? 1 : k;

			for (int32_t i = 0; i < mine; i++, t++) {
				seqs[t] = s[2 - j];
				mixed[t] = j == 2 ? ids[at + i] : (ids[n - 1 - i] + j + at) % f->v;
			}
			rows[j] = t - 1;
		}
		struct model_step step = { .n = t, .ids = mixed, .seqs = seqs, .n_out = 3, .rows = rows, .logits = x };
		rc = model_forward(f->m, f->kv, &step, NULL, &e);
	}
	if (x)
		memcpy(out, x + 2 * f->v, (size_t)f->v * sizeof *out);
	free(x);
	for (int j = 0; j < 3; j++)
		model_seq_free(f->kv, s[j]);
	return rc;
}

/* A prefix of `at` ids forked from a longer sequence whose own text goes another way. */
static int with_fork(struct fix *f, const int32_t *ids, int32_t n, int32_t at, float *out)
{
	int32_t other[3] = { 7, 3, 5 };
	model_seq a = sequence(f), b = -1;
	int rc;

	rc = feed(f, a, ids, at, at, out) || feed(f, a, other, 3, 3, out) || model_seq_fork(&b, f->kv, a, at, &e) ||
	     feed(f, a, other, 3, 1, out) || feed(f, b, ids + at, n - at, 4, out);
	model_seq_free(f->kv, a);
	model_seq_free(f->kv, b);
	return rc;
}

/* Trimmed back into a page that another shares, then written again. */
static int with_trim(struct fix *f, const int32_t *ids, int32_t n, int32_t at, float *out)
{
	int32_t other[2] = { 1, 2 };
	float *x = malloc((size_t)f->v * sizeof *x);
	model_seq a = sequence(f), b = -1;
	int rc = !x || feed(f, a, ids, n - 1, n, out) || model_seq_fork(&b, f->kv, a, n - 1, &e);

	if (!rc) {
		model_seq_trim(f->kv, b, at);
		rc = feed(f, b, other, 2, 2, x) || feed(f, a, ids + n - 1, 1, 1, out);
	}
	free(x);
	model_seq_free(f->kv, a);
	model_seq_free(f->kv, b);
	return rc;
}

static int put(void *arg, const void *p, size_t n, struct err *err)
{
	buf_add(arg, p, n);
	return buf_check(arg, err);
}

static int with_disk(struct fix *f, const int32_t *ids, int32_t n, int32_t at, float *out)
{
	struct buf b;
	model_seq s = sequence(f), t = sequence(f);
	int rc;

	buf_init(&b, (size_t)1 << 24);
	rc = feed(f, s, ids, n, n, out) || model_seq_save(put, &b, f->kv, s, n - 1, &e) ||
	     model_seq_load(f->kv, t, buf_str(&b), at, &e) ||
	     feed(f, t, ids + at, n - at, n, out);
	if (!rc) {
		struct err ignored;
		model_seq u = sequence(f);

		OK(b.n == model_seq_bytes(f->kv, n - 1), "%zu bytes are saved", b.n);
		for (size_t i = 0; i < b.n; i += b.n / 7 + 1) {
			b.p[i] ^= 1;
			OK(model_seq_load(f->kv, u, buf_str(&b), at, &ignored) && ignored.code == ERR_OPEN,
			   "damage at byte %zu is seen", i);
			b.p[i] ^= 1;
		}
		OK(model_seq_load(f->kv, u, str_sub(buf_str(&b), 0, 20), at, &ignored), "a short copy is refused");
		OK(model_seq_load(f->kv, u, str_sub(buf_str(&b), 0, b.n - 1), at, &ignored), "one byte short, too");
		OK(model_seq_load(f->kv, u, buf_str(&b), n, &ignored), "more positions than there are");
		model_seq_free(f->kv, u);
	}
	model_seq_free(f->kv, s);
	model_seq_free(f->kv, t);
	buf_release(&b);
	return rc;
}

static void same_bits(const char *name, uint32_t kv_type)
{
	const char *type = kv_type == MODEL_KV_F32 ? "F32" : gguf_type_info(kv_type)->name;
	int32_t ids[MAX_IDS], n = 50;
	float *want = NULL, *got = NULL;
	size_t bytes = 0, room;

	for (unsigned threads = 1; threads <= 4; threads++) {
		struct fix f;

		if (!OK(fix_open(&f, name, threads, kv_type, 64), "%s opens: %s", name, e.text)) {
			fix_close(&f);
			break;
		}
		room = model_kv_free_tokens(f.kv);
		if (threads == 1) {
			bytes = (size_t)f.v * sizeof *want;
			want = malloc(bytes);
			got = malloc(bytes);
			some_ids(ids, n, f.v, 5);
			if (!want || !got || !OK(!feed(&f, sequence(&f), ids, n, n, want), "%s computes: %s", name, e.text)) {
				fix_close(&f);
				break;
			}
			model_seq_free(f.kv, 0);
		}
#define SAME(call, what)                                                                                         \
	OK(!(call) && memcmp(want, got, bytes) == 0, "%s, keys in %s, %u threads: the same bits %s", name, type, threads, what)
		for (int32_t chunk = 1; chunk <= n; chunk = chunk * 3 + 4) {
			model_seq s = sequence(&f);

			SAME(feed(&f, s, ids, n, chunk, got), "in chunks");
			model_seq_free(f.kv, s);
		}
		SAME(with_companions(&f, ids, n, got), "in company");
		SAME(with_fork(&f, ids, n, 32, got), "behind a forked prefix of whole pages");
		SAME(with_fork(&f, ids, n, 41, got), "behind a forked prefix");
		SAME(with_trim(&f, ids, n, 20, got), "beside a sequence that was trimmed");
		SAME(with_disk(&f, ids, n, 45, got), "from a saved cache");
		OK(model_kv_free_tokens(f.kv) == room, "all pages came back");
		fix_close(&f);
	}
	free(want);
	free(got);
}

static void same_vectors(const char *name)
{
	enum { DOCS = 7 };
	int32_t ids[DOCS * 40], start[DOCS + 1] = { 0, 1, 34, 36, 100, 101, 133, 165 };
	float one[DOCS * 64], all[DOCS * 64];
	struct fix f;

	for (unsigned threads = 1; threads <= 3; threads += 2) {
		size_t bytes;
		bool good = true;

		if (!OK(fix_open(&f, name, threads, 0, threads == 1 ? 40 : 512), "%s opens: %s", name, e.text))
			return;
		bytes = (size_t)model_info(f.m)->n_out * sizeof *one;
		some_ids(ids, start[DOCS], f.v, 9);
		for (int i = 0; i < DOCS; i++) {
			int32_t here[2] = { 0, start[i + 1] - start[i] };

			good &= !model_encode(f.m, ids + start[i], here, 1, true, one + i * model_info(f.m)->n_out, &e);
		}
		good &= !model_encode(f.m, ids, start, DOCS, true, all, &e);
		OK(good && memcmp(one, all, DOCS * bytes) == 0, "%s, %u threads: the same vectors packed and alone", name,
		   threads);
		fix_close(&f);
	}
}

/* ---- faults ------------------------------------------------------------------------------------ */

/* A copy of a fixture with every `from` replaced by `to`, of the same length. */
static bool patched(struct buf *b, const char *name, const char *from, const char *to, size_t n, bool all)
{
	bool found = false;

	buf_init(b, 1 << 22);
	if (os_read_file(b, path(name), 1 << 22, &e))
		return false;
	for (size_t at = 0; at + n <= b->n; at++) {
		if (memcmp(b->p + at, from, n) == 0) {
			memcpy(b->p + at, to, n);
			found = true;
			if (!all)
				break;
		}
	}
	return found;
}

static void refused(const char *name, const char *from, const char *to, size_t n, const char *words)
{
	struct model_opts o = { .pooling = -1 };
	struct os_pool *pool = NULL;
	struct gguf *g = NULL;
	struct model *m = NULL;
	struct buf b;
	bool good = patched(&b, name, from, to, n, true) && !os_pool_new(&pool, 1, &e) &&
		    !gguf_open_mem(&g, b.p, b.n, name, &e) && model_open(&m, g, pool, &o, &e);

	OK(good && e.code == ERR_OPEN && strstr(e.text, words), "refused with \"%s\": %s", words, e.text);
	model_close(m);
	gguf_close(g);
	os_pool_free(pool);
	buf_release(&b);
}

static void test_files(void)
{
	static const char dims[] = "attn_k.weight\2\0\0\0\x60\0\0\0\0\0\0\0\x20", turned[] = "attn_k.weight\2\0\0\0\x20\0\0\0\0\0\0\0\x60";
	static const char eps[] = "llama.block_count\4\0\0\0\2", more[] = "llama.block_count\4\0\0\0\3";

	refused("tiny-yarn.gguf", "\5\0\0\0\0\0\0\0llama", "\5\0\0\0\0\0\0\0klama", 13, "\"klama\" is not one of those");
	refused("tiny-yarn.gguf", "blk.1.attn_k.weight", "blk.1.attn_x.weight", 19, "blk.1.attn_k.weight is missing");
	refused("tiny-qwen2.gguf", "blk.1.attn_k.bias", "blk.1.attn_x.bias", 17, "blk.1.attn_x.bias has no place");
	refused("tiny-llama.gguf", dims, turned, sizeof dims - 1, "has the shape [32, 96");
	refused("tiny-llama.gguf", eps, more, sizeof eps - 1, "blk.2.attn_norm.weight is missing");
	refused("tiny-yarn.gguf", "llama.embedding_length", "llama.embedding_lengtx", 22, "embedding_length is missing");
	refused("tiny-yarn.gguf", "\4\0\0\0\0\0\0\0yarn", "\4\0\0\0\0\0\0\0yarm", 12, "rope scaling \"yarm\" is not known");
}

/* An adapter with every `from` replaced by `to`, over a model. */
static void lora_refused(const char *name, const char *from, const char *to, size_t n, enum err_code code, const char *words)
{
	struct model_lora lora = { .scale = 1 };
	struct model_opts o = { .pooling = -1, .loras = &lora, .n_loras = 1 };
	struct gguf *g = NULL, *adapter = NULL;
	struct os_pool *pool = NULL;
	struct model *m = NULL;
	struct buf b;
	bool good = patched(&b, "lora-llama.gguf", from, to, n, true) && !gguf_open_mem(&adapter, b.p, b.n, "lora-llama", &e) &&
		    !os_pool_new(&pool, 1, &e) && !gguf_open(&g, path(name), &e);

	lora.g = adapter;
	good = good && model_open(&m, g, pool, &o, &e);
	OK(good && e.code == code && strstr(e.text, words), "an adapter refused with \"%s\": %s", words, e.text);
	model_close(m);
	gguf_close(g);
	gguf_close(adapter);
	os_pool_free(pool);
	buf_release(&b);
}

static void test_adapters(void)
{
	static const char dims[] = "blk.0.attn_q.weight.lora_b\2\0\0\0\2\0\0\0\0\0\0\0\x60";
	static const char turned[] = "blk.0.attn_q.weight.lora_b\2\0\0\0\x60\0\0\0\0\0\0\0\2";

	lora_refused("tiny-gemma.gguf", "llama", "llama", 5, ERR_MODEL_MISMATCH, "architecture \"llama\", this one is \"gemma\"");
	lora_refused("tiny-llama.gguf", "adapter.type", "adapter.typo", 12, ERR_OPEN, "it is no LoRA adapter");
	lora_refused("tiny-llama.gguf", "blk.1.attn_q", "blk.9.attn_q", 12, ERR_OPEN,
		     "blk.9.attn_q.weight.lora_a: the model has no tensor that it adapts");
	lora_refused("tiny-llama.gguf", "blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_x", 26, ERR_OPEN, "one is missing");
	lora_refused("tiny-llama.gguf", "blk.1.ffn_down.weight", "blk.1.ffn_norm.weight", 21, ERR_OPEN,
		     "what it adapts is no matrix that can be adapted here");
	lora_refused("tiny-llama.gguf", dims, turned, sizeof dims - 1, ERR_OPEN,
		     "blk.0.attn_q.weight.lora_b [96, 2, 1] do not fit the model's [96, 96, 1]");
	lora_refused("tiny-yarn.gguf", "lora", "lora", 4, ERR_OPEN, "do not fit the model's");
}

/* One NaN among the weights of the first norm reaches every row. */
static void test_nan(void)
{
	struct model_opts o = { .pooling = -1 };
	struct fix f = { 0 };
	struct buf b;
	const struct gguf_tensor *t = NULL;
	float nan_ = NAN, out[512];
	int32_t id = 5, row = 0, bad = -1;
	model_seq s = 0;

	buf_init(&b, 1 << 22);
	if (!OK(!os_read_file(&b, path("tiny-llama.gguf"), 1 << 22, &e) && !gguf_open_mem(&f.g, b.p, b.n, "nan", &e) &&
		(t = gguf_find_tensor(f.g, "blk.0.attn_norm.weight")), "a copy: %s", e.text))
		return;
	memcpy(b.p + ((const char *)t->data - b.p), &nan_, sizeof nan_);
	OK(!os_pool_new(&f.pool, 2, &e) && !model_open(&f.m, f.g, f.pool, &o, &e) && !model_kv_new(&f.kv, f.m, 64, &e) &&
	   !model_seq_new(&s, f.kv, &e), "it opens");
	struct model_step step = { .n = 1, .ids = &id, .seqs = &s, .n_out = 1, .rows = &row, .logits = out };
	OK(model_forward(f.m, f.kv, &step, &bad, &e) && e.code == ERR_MODEL_FAULT && bad == 0, "NaN is a fault: %s", e.text);
	fix_close(&f);
	buf_release(&b);
}

static void test_callers(void)
{
	struct fix f;
	struct model_kv *kv;
	struct model_opts o = { .kv_type = GGUF_Q8_0, .pooling = -1 };
	struct model *m = NULL;
	float *out = calloc(512, sizeof *out);
	int32_t ids[MAX_IDS] = { 0 }, docs[2] = { 0, 0 };
	model_seq s;

	if (!out || !OK(fix_open(&f, "tiny-llama.gguf", 1, 0, 64), "opens"))
		return;
	s = sequence(&f);
	ids[1] = 512;
	OK(feed(&f, s, ids, 2, 2, out) && e.code == ERR_INVALID_FIELD, "an id past the vocabulary: %s", e.text);
	OK(model_seq_len(f.kv, s) == 0, "nothing of it was kept");
	ids[1] = 0;
	for (int i = 0; i < 8; i++)
		feed(&f, s, ids, 64, 64, out);
	OK(model_seq_len(f.kv, s) == 512 && feed(&f, s, ids, 1, 1, out) && e.code == ERR_CONTEXT_LENGTH,
	   "past the context: %s", e.text);
	OK(feed(&f, sequence(&f), ids, 1, 1, out) && e.code == ERR_NOMEM, "a full cache: %s", e.text);
	OK(model_kv_new(&kv, f.m, (size_t)1 << 36, &e) && e.code == ERR_NOMEM, "a cache larger than the memory: %s", e.text);
	OK(model_encode(f.m, ids, docs, 1, true, out, &e) && e.code == ERR_USAGE, "no pooling named: %s", e.text);
	fix_close(&f);

	OK(fix_open(&f, "tiny-bert.gguf", 1, 0, 64), "opens");
	OK(model_encode(f.m, ids, docs, 1, true, out, &e) && e.code == ERR_INVALID_FIELD, "an empty text: %s", e.text);
	docs[1] = 257;
	OK(model_encode(f.m, ids, docs, 1, true, out, &e) && e.code == ERR_CONTEXT_LENGTH, "a long text: %s", e.text);
	fix_close(&f);

	OK(fix_open(&f, "tiny-qwen2.gguf", 1, 0, 64), "opens");
	OK(model_open(&m, f.g, f.pool, &o, &e) && e.code == ERR_USAGE, "heads of 16 in blocks of 32: %s", e.text);
	model_close(m);
	fix_close(&f);
	free(out);
}

int main(void)
{
	const char *dir = os_env("top_srcdir");

	snprintf(root, sizeof root, "%s", dir ? dir : ".");
	if (kern_init(os_env("LLMU_ISA"), &e)) {
		OK(false, "%s", e.text);
		return tap_done();
	}
	test_golden();
	same_bits("tiny-llama.gguf", GGUF_F16);
	same_bits("tiny-llama.gguf+lora-llama.gguf:1.5", GGUF_F16);
	same_bits("tiny-kquant.gguf", GGUF_Q8_0);
	same_bits("tiny-gemma3.gguf", GGUF_F16);
	same_bits("tiny-gpt-oss.gguf", MODEL_KV_F32);
	same_vectors("tiny-bert.gguf");
	same_vectors("tiny-modern-bert.gguf");
	same_vectors("tiny-qwen3.gguf");
	test_files();
	test_adapters();
	test_nan();
	test_callers();
	return tap_done();
}
