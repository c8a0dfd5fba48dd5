/* bench: how fast a model runs here, beside what the machine could do at most. The forward pass is
 * timed alone, as a batch of one step after another: no tokenizer, no sampling. */
#include "config.h"
#include "llm/gen_impl.h"
#include "os/os.h"
#include "base/banned.h"

/* ---- the roofline ------------------------------------------------------------------------- */

struct probe {
	const struct gguf *g;
	struct os_pool *pool;
	double *rate; /* [workers, 2] */
	uint64_t *sum; /* [workers]: keeps the reading from being optimized away */
	double read_s;
};

/* All workers at once: they share caches, memory and, it may be, cores. */
static void probe(void *arg, unsigned worker)
{
	struct probe *p = arg;
	size_t n = os_pool_size(p->pool);

	p->rate[2 * worker] = kern_peak(KERN_PEAK_INT8);
	os_pool_barrier(p->pool, worker);
	p->rate[2 * worker + 1] = kern_peak(KERN_PEAK_F32);
	for (int turn = 0; turn < 4; turn++) {
		uint64_t t0;
		double t;

		os_pool_barrier(p->pool, worker);
		t0 = time_mono_ns();
		for (size_t i = 0; i < gguf_n_tensors(p->g); i++) {
			const struct gguf_tensor *x = gguf_tensor_at(p->g, i);
			size_t part = x->bytes / n, from = part * worker;

			p->sum[worker] += kern_read(x->data + from,
						    worker + 1 == n ? x->bytes - from : part);
		}
		os_pool_barrier(p->pool, worker);
		t = (double)(time_mono_ns() - t0 + 1) / 1e9;
		/* the first turn may come from the disk */
		if (!worker && turn && (turn == 1 || t < p->read_s))
			p->read_s = t;
	}
}

int llm_roofline(struct llm_roof *out, const struct llm *l, struct err *e)
{
	struct probe p = { .g = llm_gguf(l), .pool = llm_pool(l) };
	unsigned n = os_pool_size(p.pool);
	uint64_t bytes = 0;

	*out = (struct llm_roof){ 0 };
	p.rate = calloc((size_t)n * 2, sizeof *p.rate);
	p.sum = calloc(n, sizeof *p.sum);
	if (!p.rate || !p.sum) {
		free(p.rate);
		free(p.sum);
		return err_nomem(e);
	}
	os_pool_team(p.pool, probe, &p);
	for (unsigned i = 0; i < n; i++) {
		out->int8 += p.rate[(size_t)i * 2];
		out->f32 += p.rate[(size_t)i * 2 + 1];
	}
	for (size_t i = 0; i < gguf_n_tensors(p.g); i++)
		bytes += gguf_tensor_at(p.g, i)->bytes;
	out->read = (double)bytes / p.read_s;
	free(p.rate);
	free(p.sum);
	return 0;
}

/* What a pass needs of the weights: per token, or per row of logits. */
struct work {
	double int8, f32; /* operations */
	double bytes;
};

static void add_work(struct work *w, const struct gguf_tensor *t, double used)
{
	double ops = 2 * (double)t->ne[0] * (double)t->ne[1] * (double)t->ne[2] * used;
	enum kern_form form = kern_isa() == KERN_BLAS ? KERN_F32 : kern_form(t->type);

	w->bytes += (double)t->bytes;
	if (form == KERN_INT8)
		w->int8 += ops;
	else /* vdpbf16ps does two steps at once */
		w->f32 += form == KERN_BF16 && kern_isa() == KERN_AVX512BF16 ? ops / 2 : ops;
}

/* The layers, and the matrix that gives the logits. Of experts only those that are used compute. */
static void count_work(struct work *body, struct work *head, const struct llm *l)
{
	const struct gguf *g = llm_gguf(l);
	const struct model_info *mi = model_info(llm_model(l));
	bool tied = !gguf_find_tensor(g, "output.weight");
	char count[192], used[192];
	double share;

	snprintf(count, sizeof count, "%.100s.expert_count", mi->arch);
	snprintf(used, sizeof used, "%.100s.expert_used_count", mi->arch);
	share = (double)gguf_u32_or(g, used, 1) / (double)gguf_u32_or(g, count, 1);
	for (size_t i = 0; i < gguf_n_tensors(g); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(g, i);
		bool output = str_eq(t->name, tied ? STR("token_embd.weight") :
						     STR("output.weight"));

		if (output && !mi->encoder)
			add_work(head, t, 1);
		else if (t->n_dims > 1 && str_starts(t->name, STR("blk.")))
			add_work(body, t, t->n_dims > 2 ? share : 1);
	}
}

/* The least seconds of a pass: weights read once, or everything multiplied. */
static double bound(const struct llm *l, const struct llm_roof *roof, double tokens, double rows)
{
	struct work body = { 0 }, head = { 0 };
	double read, compute;

	count_work(&body, &head, l);
	read = (body.bytes + (rows > 0 ? head.bytes : 0)) / roof->read;
	compute = (tokens * body.int8 + rows * head.int8) / roof->int8 +
		  (tokens * body.f32 + rows * head.f32) / roof->f32;
	return read > compute ? read : compute;
}

/* ---- passes ------------------------------------------------------------------------------- */

struct bench {
	struct llm *l;
	struct model_kv *kv;
	float *out; /* logits or vectors, [batch, n] */
	int32_t *ids; /* [batch, n_tokens] */
	struct llm_doc *docs;
};

/* Ids that differ from place to place and are the same in every run. */
static int32_t some_id(const struct bench *b, size_t i)
{
	uint32_t h = (uint32_t)i * 2654435761u;

	return (int32_t)((h >> 7) % (uint32_t)model_info(llm_model(b->l))->n_vocab);
}

static int forward(struct bench *b, const struct model_step *step, struct err *e)
{
	return os_stop_signal() ? os_stopped(e) : model_forward(llm_model(b->l), b->kv, step, NULL, e);
}

static int prefill(struct bench *b, int32_t n, struct err *e)
{
	int32_t last;
	model_seq seqs[LLM_STEP], seq;
	int r = 0;

	if (model_seq_new(&seq, b->kv, e))
		return -1;
	for (int32_t i = 0; i < LLM_STEP; i++)
		seqs[i] = seq;
	for (int32_t at = 0, k; at < n && !r; at += k) {
		k = n - at < LLM_STEP ? n - at : LLM_STEP;
		last = k - 1;
		r = forward(b,
			    &(struct model_step){ .n = k,
						  .ids = b->ids + at,
						  .seqs = seqs,
						  .n_out = at + k == n,
						  .rows = &last,
						  .logits = at + k == n ? b->out : NULL },
			    e);
	}
	model_seq_free(b->kv, seq);
	return r;
}

/* n steps of `batch` sequences, which begin empty. */
static int decode(struct bench *b, int32_t n, int32_t batch, struct err *e)
{
	model_seq seqs[LLM_MAX_BENCH_BATCH];
	int32_t rows[LLM_MAX_BENCH_BATCH], n_seqs = 0;
	int r = 0;

	for (; n_seqs < batch && !r; n_seqs += !r) {
		rows[n_seqs] = n_seqs;
		r = model_seq_new(&seqs[n_seqs], b->kv, e);
	}
	for (int32_t i = 0; i < n && !r; i++)
		r = forward(b,
			    &(struct model_step){ .n = batch,
						  .ids = b->ids + (size_t)i * (size_t)batch,
						  .seqs = seqs,
						  .n_out = batch,
						  .rows = rows,
						  .logits = b->out },
			    e);
	while (n_seqs)
		model_seq_free(b->kv, seqs[--n_seqs]);
	return r;
}

static int pass(struct bench *b, const struct llm_speed *s, int32_t n, struct err *e)
{
	if (os_stop_signal())
		return os_stopped(e);
	if (s->what == LLM_EMBEDDING) {
		for (int32_t i = 0; i < s->batch; i++)
			b->docs[i].n = n;
		return llm_embed(b->l, b->docs, (size_t)s->batch, true, e);
	}
	return s->what == LLM_PREFILL ? prefill(b, n, e) : decode(b, n, s->batch, e);
}

static int prepare(struct bench *b, const struct llm_speed *s, struct err *e)
{
	const struct model_info *mi = model_info(llm_model(b->l));
	size_t batch = (size_t)s->batch, n = (size_t)s->n_tokens;
	size_t width = (size_t)(s->what == LLM_EMBEDDING ? mi->n_out : mi->n_vocab);

	b->out = ckd_alloc(batch * width, sizeof *b->out);
	b->ids = ckd_alloc(batch * n, sizeof *b->ids);
	b->docs = calloc(batch, sizeof *b->docs);
	if (!b->out || !b->ids || !b->docs)
		return err_nomem(e);
	for (size_t i = 0; i < batch * n; i++)
		b->ids[i] = some_id(b, i);
	for (size_t i = 0; i < batch; i++)
		b->docs[i] = (struct llm_doc){ .ids = b->ids + i * n, .out = b->out + i * width };
	return s->what == LLM_EMBEDDING
		       ? 0
		       : model_kv_new(&b->kv, llm_model(b->l), batch * (n + KERN_KV_PAGE), e);
}

static int by_value(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

static int check(const struct llm_speed *s, const struct llm *l, struct err *e)
{
	const struct model_info *mi = model_info(llm_model(l));
	uint32_t ctx = llm_ctx(l);

	if ((s->what == LLM_EMBEDDING) != mi->encoder)
		return err_set(e, ERR_UNSUPPORTED, "%s is %s", llm_name(l),
			       mi->encoder ? "an encoder: it predicts no tokens" :
					     "a decoder: it makes no embeddings");
	if (s->n_tokens < 1 || s->batch < 1 || s->batch > LLM_MAX_BENCH_BATCH ||
	    s->runs > LLM_MAX_BENCH_RUNS)
		return err_set(e, ERR_INTERNAL, "bench of %d x %d tokens", s->batch, s->n_tokens);
	if (ctx && (uint32_t)s->n_tokens > ctx)
		return err_set(e, ERR_USAGE,
			       "%d tokens are more than the context of %s, %u: ask for fewer",
			       s->n_tokens, llm_name(l), ctx);
	return 0;
}

int llm_measure(struct llm_speed *io, struct llm *l, const struct llm_roof *roof, struct err *e)
{
	double total = (double)io->n_tokens * io->batch, v[LLM_MAX_BENCH_RUNS];
	struct bench b = { .l = l };
	int r = -1;

	if (check(io, l, e) || prepare(&b, io, e) ||
	    pass(&b, io, io->n_tokens < 16 ? io->n_tokens : 16, e))
		goto out;
	for (unsigned i = 0; i < io->runs; i++) {
		uint64_t t0 = time_mono_ns();

		if (pass(&b, io, io->n_tokens, e))
			goto out;
		v[i] = (double)(time_mono_ns() - t0 + 1) / 1e9;
	}
	if (io->runs) {
		qsort(v, io->runs, sizeof *v, by_value);
		io->per_second = total / v[(io->runs - 1) / 2];
	}
	if (roof && io->what == LLM_DECODE)
		io->bound = io->batch / bound(l, roof, io->batch, io->batch);
	else if (roof)
		io->bound = total / bound(l, roof, total, io->what == LLM_PREFILL);
	r = 0;
out:
	model_kv_free(b.kv);
	free(b.out);
	free(b.ids);
	free(b.docs);
	return r;
}
