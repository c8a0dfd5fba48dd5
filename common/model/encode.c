/*
 * encode: documents to vectors. Their tokens lie one behind the other, without padding; each document is a sequence of its
 * own whose keys and values live only as long as a layer is worked on. Then pooling, dense layers, the head of a reranker.
 */
#include "config.h"
#include "model/model_impl.h"
#include <errno.h>
#include <math.h>
#include <sys/mman.h>

struct pages { /* of one layer, for all documents of a group */
	uint8_t *mem;
	size_t bytes, page;
	uint32_t *list; /* 0, 1, 2, … */
	uint32_t n;
};

static void pages_release(struct pages *p)
{
	if (p->mem)
		munmap(p->mem, p->bytes);
	free(p->list);
}

static int pages_init(struct pages *p, const struct model *m, uint32_t n, struct err *e)
{
	uint64_t bytes, free_bytes = os_memory_available();

	for (int32_t i = 0; i < m->info.n_layer; i++) {
		size_t b = kv_layer_bytes(m, &m->layers[i], GGUF_F32);

		p->page = b > p->page ? b : p->page;
	}
	if (!ckd_mul_u64(&bytes, n, p->page) || bytes > free_bytes)
		return err_set(e, ERR_NOMEM, "keys and values of %u pages do not fit into %llu MiB", n,
			       (unsigned long long)(free_bytes >> 20));
	p->bytes = (size_t)bytes;
	p->mem = mmap(NULL, p->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->mem == MAP_FAILED) {
		p->mem = NULL;
		return err_sys(e, ERR_NOMEM, errno, "keys and values");
	}
	p->list = ckd_alloc(n, sizeof *p->list);
	if (!p->list)
		return err_nomem(e);
	for (uint32_t i = 0; i < n; i++)
		p->list[i] = i;
	p->n = n;
	return 0;
}

static uint32_t n_pages(int32_t n)
{
	return ((uint32_t)n + KERN_KV_PAGE - 1) / KERN_KV_PAGE;
}

/* ---- vectors ----------------------------------------------------------------------------------- */

/* The sum goes through the tokens in order, in double: the same whatever else is in the group. */
static void mean(float *out, const float *rows, int64_t n, int64_t d)
{
	for (int64_t k = 0; k < d; k++) {
		double sum = 0;

		for (int64_t t = 0; t < n; t++)
			sum += (double)rows[t * d + k];
		out[k] = (float)(sum / (double)n);
	}
}

static void pool_rows(const struct model *m, float *out, const float *rows, int64_t n)
{
	int64_t d = m->info.n_embd;

	if (m->info.pooling == MODEL_POOL_MEAN)
		mean(out, rows, n, d);
	else
		memcpy(out, rows + (m->info.pooling == MODEL_POOL_LAST ? n - 1 : 0) * d, (size_t)d * sizeof *out);
}

/* out = w in + b for one vector. */
static void apply(struct model *m, float *out, const struct lin *w, const float *in)
{
	const struct lin *one[] = { w };
	struct acts s;

	acts_init(&s, one, 1, in, w->w.cols, 1, m->work->act_b);
	acts_prepare(&s, 0, 1);
	kern_mul(out, w->w.rows, &w->w, &s.a[0], 0, w->w.rows, m->work->workers[0].mul);
	if (w->lora)
		lora_add(m, 0, w->lora, 0, out, w->w.rows, in, w->w.cols, 1);
	add_bias(out, w->b, w->w.rows);
}

static void unit(float *x, int64_t n)
{
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += (double)x[i] * (double)x[i];
	for (int64_t i = 0; sum > 0 && i < n; i++)
		x[i] = (float)((double)x[i] / sqrt(sum));
}

/* The scores of a reranker, one a label. */
static void rank(struct model *m, float *out, const float *rows, int64_t n)
{
	float *a = m->work->vec[0], *b = m->work->vec[1];
	int64_t d = m->info.n_embd, labels = m->cls_out.w.rows;

	if (m->cls_mean)
		mean(a, rows, n, d);
	else
		memcpy(a, rows + (m->causal ? n - 1 : 0) * d, (size_t)d * sizeof *a);
	if (m->cls.w.data) {
		apply(m, b, &m->cls, a);
		if (m->cls_gelu)
			kern_gelu_erf(a, b, d);
		for (int64_t i = 0; !m->cls_gelu && i < d; i++)
			a[i] = tanhf(b[i]);
	}
	if (m->cls_norm.w)
		norm_row(m, a, a, &m->cls_norm);
	apply(m, out, &m->cls_out, a);
	if (m->cls_softmax)
		kern_scale(out, 1 / kern_exp_sum(out, kern_max(out, labels), labels), labels);
}

/* From the rows of a document, n of them, to its vector. */
static void finish(struct model *m, float *out, const float *rows, int64_t n, bool normalize)
{
	float *a = m->work->vec[0], *b = m->work->vec[1];

	if (m->info.pooling == MODEL_POOL_RANK) {
		rank(m, out, rows, n);
		return;
	}
	pool_rows(m, a, rows, n);
	for (int i = 0; i < 2 && m->dense[i].w.data; i++) {
		float *t = a;

		apply(m, b, &m->dense[i], a);
		a = b;
		b = t;
	}
	memcpy(out, a, (size_t)m->info.n_out * sizeof *out);
	if (normalize)
		unit(out, m->info.n_out);
}

/* ---- groups ------------------------------------------------------------------------------------ */

static int check_docs(const struct model *m, const int32_t *ids, const int32_t *start, int32_t n_docs, struct err *e)
{
	for (int32_t i = 0; i < n_docs; i++) {
		int32_t n = start[i + 1] - start[i];

		if (n < 1)
			return err_set(e, ERR_INVALID_FIELD, "document %d has no tokens", i);
		if (n > m->info.n_ctx_train)
			return err_set(e, ERR_CONTEXT_LENGTH, "a text of %d tokens, the model reads %d: use --truncate or "
							       "llm-tokenize --chunk", n, m->info.n_ctx_train);
	}
	return check_ids(m, ids + start[0], start[n_docs] - start[0], e);
}

/* What a run of model_encode() works on. */
struct docs {
	const int32_t *ids, *start, *second;
	struct pages p;
	float *hidden;     /* [cap, n_embd] */
	uint8_t *segments; /* [cap], or NULL */
};

/* Documents [from, to) in one step. */
static int encode_group(struct model *m, struct docs *k, int32_t from, int32_t to, struct err *e)
{
	struct work *w = m->work;
	const int32_t *start = k->start;
	int32_t n = start[to] - start[from];
	uint32_t page = 0;

	w->n = w->n_out = n;
	w->n_spans = 0;
	w->ids = k->ids + start[from];
	w->segments = k->segments;
	w->logits = NULL;
	w->hidden = k->hidden;
	w->kv = k->p.mem;
	w->page_bytes = k->p.page;
	w->kv_type = GGUF_F32;
	w->one_layer = true;
	for (int32_t i = from; i < to; i++) {
		int32_t len = start[i + 1] - start[i], at = start[i] - start[from];

		work_add_spans(w, at, len, 0, k->p.list + page);
		page += n_pages(len);
		for (int32_t t = 0; k->segments && t < len; t++)
			k->segments[at + t] = k->second[i] && t >= k->second[i];
	}
	w->rows = w->all;
	forward_run(m);
	w->segments = NULL;
	return first_bad(m, NULL, e);
}

int model_encode(struct model *m, const int32_t *ids, const int32_t *start, int32_t n_docs, bool normalize, float *out,
		 struct err *e)
{
	return model_encode_pairs(m, ids, start, NULL, n_docs, normalize, out, e);
}

int model_encode_pairs(struct model *m, const int32_t *ids, const int32_t *start, const int32_t *second, int32_t n_docs,
		       bool normalize, float *out, struct err *e)
{
	struct docs k = { .ids = ids, .start = start, .second = second };
	int32_t longest = 0, cap, from, to;
	uint32_t pages = 0;
	int rc = -1;

	if (n_docs < 1)
		return 0;
	if (m->info.pooling == MODEL_POOL_NONE)
		return err_set(e, ERR_USAGE, "the model does not say how to pool: choose mean, cls or last");
	if (check_docs(m, ids, start, n_docs, e))
		return -1;
	for (int32_t i = 0; i < n_docs; i++) {
		longest = start[i + 1] - start[i] > longest ? start[i + 1] - start[i] : longest;
		pages += n_pages(start[i + 1] - start[i]);
	}
	if (longest > m->work->cap && work_plan(m, longest, longest, e))
		return -1;
	cap = m->work->cap;
	k.hidden = ckd_alloc((size_t)cap, (size_t)m->info.n_embd * sizeof *k.hidden);
	k.segments = second ? malloc((size_t)cap) : NULL;
	if (!k.hidden || (second && !k.segments)) {
		err_nomem(e);
		goto out;
	}
	/* a group has at most cap tokens, so at most cap / PAGE + documents pages */
	if (pages_init(&k.p, m, pages < n_pages(cap) + (uint32_t)cap ? pages : n_pages(cap) + (uint32_t)cap, e))
		goto out;
	for (from = 0; from < n_docs; from = to) {
		for (to = from + 1; to < n_docs && start[to + 1] - start[from] <= cap; to++)
			;
		if (encode_group(m, &k, from, to, e))
			goto out;
		for (int32_t i = from; i < to; i++)
			finish(m, out + (int64_t)i * m->info.n_out, k.hidden + (int64_t)(start[i] - start[from]) * m->info.n_embd,
			       start[i + 1] - start[i], normalize);
	}
	rc = 0;
out:
	pages_release(&k.p);
	free(k.hidden);
	free(k.segments);
	return rc;
}
