/* verify: looks for damage in a model file that opened, for a header that is right says nothing
 * about the gigabytes behind it. */
#include "config.h"
#include "llm/llm.h"
#include "base/banned.h"
#include <unistd.h>

struct found {
	size_t n;
	void (*say)(void *arg, const char *what);
	void *arg;
};

__attribute__((format(printf, 2, 3))) static void report(struct found *f, const char *fmt, ...)
{
	char text[1200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	f->n++;
	f->say(f->arg, text);
}

/* ---- values ------------------------------------------------------------------------------ */

#define CHUNK 8192 /* elements: a multiple of every block */

struct scan {
	const struct gguf_tensor *t;
	float (*x)[CHUNK];   /* [workers] */
	uint64_t *bad;       /* [workers] chunks with a value that is not finite */
	int64_t n, per_task; /* elements; chunks a task */
};

static void scan_chunks(void *arg, unsigned worker, size_t i)
{
	const struct scan *s = arg;
	const struct gguf_type_info *ti = gguf_type_info(s->t->type);

	for (int64_t c = (int64_t)i * s->per_task;
	     c < ((int64_t)i + 1) * s->per_task && c * CHUNK < s->n; c++) {
		int64_t n = s->n - c * CHUNK < CHUNK ? s->n - c * CHUNK : CHUNK;

		kern_dequant(s->x[worker], s->t->data + (size_t)(c * CHUNK / ti->block) * ti->bytes,
			     s->t->type, n);
		if (!kern_all_finite(s->x[worker], n))
			s->bad[worker]++;
	}
}

static int scan_tensors(struct found *f, const struct gguf *g, struct os_pool *pool, struct err *e)
{
	unsigned workers = os_pool_size(pool);
	struct scan s = { .x = ckd_alloc(workers, sizeof *s.x),
			  .bad = calloc(workers, sizeof *s.bad) };

	if (!s.x || !s.bad) {
		free(s.x);
		free(s.bad);
		return err_nomem(e);
	}
	for (size_t i = 0; i < gguf_n_tensors(g); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(g, i);
		uint64_t bad = 0;
		int64_t chunks;

		if (!kern_block(t->type))
			continue;
		s.t = t;
		s.n = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
		chunks = (s.n + CHUNK - 1) / CHUNK;
		s.per_task = 16;
		memset(s.bad, 0, workers * sizeof *s.bad);
		os_pool_run(pool, scan_chunks, &s,
			    (size_t)((chunks + s.per_task - 1) / s.per_task));
		for (unsigned w = 0; w < workers; w++)
			bad += s.bad[w];
		if (bad)
			report(f,
			       "tensor %.*s (%s) holds values that are not finite, in %llu of %lld "
			       "stretches of %d",
			       (int)t->name.n, t->name.p, gguf_type_info(t->type)->name,
			       (unsigned long long)bad, (long long)chunks, CHUNK);
		if (os_stop_signal())
			break;
	}
	free(s.x);
	free(s.bad);
	if (os_stop_signal()) {
		err_set(e, ERR_SIGNAL, "stopped");
		if (e)
			e->sys = os_stop_signal();
		return -1;
	}
	return 0;
}

/* ---- structure --------------------------------------------------------------------------- */

/* The last tensor's end, padded, is the end of each part. */
static void check_ends(struct found *f, const struct gguf *g)
{
	for (size_t p = 0; p < gguf_n_parts(g); p++) {
		const struct os_map *m = gguf_part(g, p);
		const uint8_t *end = m->p;

		for (size_t i = 0; i < gguf_n_tensors(g); i++) {
			const struct gguf_tensor *t = gguf_tensor_at(g, i);

			if (t->data >= m->p && t->data < m->p + m->n && t->data + t->bytes > end)
				end = t->data + t->bytes;
		}
		if (end > m->p &&
		    (size_t)(m->p + m->n - end) >= gguf_u32_or(g, "general.alignment", 32))
			report(f, "%s: %zu bytes behind the last tensor belong to nothing", m->path,
			       (size_t)(m->p + m->n - end));
	}
}

static void check_tokenizer(struct found *f, const struct gguf *g)
{
	const struct gguf_tensor *embd = gguf_find_tensor(g, "token_embd.weight");
	struct err e = { 0 };
	struct tok *t;

	if (!gguf_find(g, "tokenizer.ggml.model"))
		return; /* a file of weights alone */
	if (tok_open_gguf(&t, g, false, &e)) {
		report(f, "%s", e.text);
		return;
	}
	if (embd && (size_t)embd->ne[1] != tok_n_vocab(t))
		report(f, "the tokenizer has %zu tokens, token_embd %lld rows", tok_n_vocab(t),
		       (long long)embd->ne[1]);
	tok_close(t);
}

/* Presence, type and shape of every tensor, where the architecture is known here. */
static void check_model(struct found *f, const struct gguf *g, struct os_pool *pool)
{
	struct str arch = gguf_str_or(g, "general.architecture", STR(""));
	struct model_opts o = { .max_batch = 1, .pooling = -1 };
	struct err e = { 0 };
	struct model *m;

	for (const char *const *a = model_archs(); *a; a++) {
		if (!str_is(arch, *a))
			continue;
		if (model_open(&m, g, pool, &o, &e))
			report(f, "%s", e.text);
		else
			model_close(m);
	}
}

/* ---- digest ------------------------------------------------------------------------------ */

/* 64 hex digits at s, to lower case. */
static bool take_hex(char out[HASH_HEX_LEN + 1], struct str s)
{
	if (s.n < HASH_HEX_LEN)
		return false;
	for (size_t i = 0; i < HASH_HEX_LEN; i++) {
		char c = s.p[i] >= 'A' && s.p[i] <= 'F' ? (char)(s.p[i] + 32) : s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		out[i] = c;
	}
	out[HASH_HEX_LEN] = 0;
	return true;
}

/* The digest that somebody recorded; false where nobody did. */
static bool recorded(char out[HASH_HEX_LEN + 1], struct buf *where, const char *path)
{
	struct buf text;
	const char *blob = strstr(path, "/blobs/sha256-");
	bool is = false;

	buf_reset(where);
	if (blob) {
		buf_addz(where, "its name");
		return take_hex(out, str_of(blob + 14));
	}
	buf_init(&text, 65536);
	buf_addf(where, "%s.sha256", path);
	if (!buf_check(where, NULL) && !access(where->p, F_OK) &&
	    !os_read_file(&text, where->p, 65536, NULL))
		is = take_hex(out, str_trim(buf_str(&text)));
	buf_release(&text);
	return is;
}

static void check_digest(struct found *f, const struct gguf *g)
{
	char want[HASH_HEX_LEN + 1], is[HASH_HEX_LEN + 1];
	struct buf where;
	uint8_t d[HASH_SHA256_LEN];

	buf_init(&where, 65536);
	for (size_t i = 0; i < gguf_n_parts(g); i++) {
		const struct os_map *m = gguf_part(g, i);

		if (!recorded(want, &where, m->path))
			continue;
		hash_sha256(d, m->p, m->n); /* the bytes, never the cache */
		hash_hex(is, d, sizeof d);
		if (strcmp(want, is))
			report(f, "%s: SHA-256 is %s, %s says %s", m->path, is, where.p, want);
	}
	buf_release(&where);
}

int llm_verify(size_t *n_bad, const struct gguf *g, struct os_pool *pool,
	       void (*say)(void *arg, const char *what), void *arg, struct err *e)
{
	struct found f = { .say = say, .arg = arg };
	int r;

	check_ends(&f, g);
	check_tokenizer(&f, g);
	check_model(&f, g, pool);
	check_digest(&f, g);
	r = scan_tensors(&f, g, pool, e);
	*n_bad = f.n;
	return r;
}
