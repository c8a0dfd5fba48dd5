/*
 * feedback: weights of an encoder in Q8_0, rounded by what they meet. A few texts are read with the source; each matrix's
 * inputs x give H = sum x x', and a row w becomes q so that (w - q)' H (w - q), the error of its products, is small: column
 * by column, each weight is rounded after the errors of those before it have been made good,
 *
 *      q_i = round(w_i + sum_{j < i} (w_j - q_j) a_ij),   H = (1 + A) D (1 + A)',  A strictly upper triangular, a_ij = A_ji
 *
 * Method: Frantar et al., GPTQ, arXiv 2210.17323; in this form Chee et al., QuIP, arXiv 2307.13304, section 3.
 */
#include "config.h"
#include "llm/pack_impl.h"
#include "model/model.h"
#include "tok/tok.h"
#include "base/banned.h"
#include <math.h>

#define MAX_BLOCK 2048 /* columns that share their errors: a matrix of the square of it */
#define DAMP 0.1       /* of H's mean diagonal, added to all of it: the texts are few */

struct feedback {
	int64_t block;
	float *a; /* [cols / block][block, block], row i holds a_ij, j < i */
};
struct feedbacks {
	const struct gguf *g;
	struct of { /* a tensor and the one whose input it shares */
		const struct gguf_tensor *t;
		struct feedback *f;
	} *of;
	size_t n, cap;
	float *weight; /* of each token, [ids]: less in longer texts, whose tokens' errors make up for one another */
	const float *last; /* the input seen last, and what came of it */
	struct feedback *last_f;
	struct err e;
	bool failed;
};

/* Of several languages and kinds, as users' texts are. */
static const char *const texts[] = {
#include "llm/feedback_texts.inc"
};
#define N_TEXTS (sizeof texts / sizeof *texts)

void feedback_free(struct feedback *f)
{
	if (f)
		free(f->a);
	free(f);
}

void feedbacks_free(struct feedbacks *f)
{
	for (size_t i = 0; f && i < f->n; i++)
		if (!i || f->of[i].f != f->of[i - 1].f)
			feedback_free(f->of[i].f);
	if (f) {
		free(f->of);
		free(f->weight);
	}
	free(f);
}

const struct feedback *feedbacks_find(const struct feedbacks *f, const struct gguf_tensor *t)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->of[i].t->data == t->data)
			return f->of[i].f;
	return NULL;
}

void feedback_row(uint8_t *out, const float *x, float *errors, int64_t n, const struct feedback *f)
{
	for (int64_t i = 0; i < n; i++) {
		int64_t at = i % f->block;
		uint8_t *o = out + i / 32 * 34;

		if (i % 32 == 0) {
			float most = 0;

			for (int64_t k = i; k < i + 32; k++)
				most = fmaxf(most, fabsf(x[k]));
			uint16_t d = kern_f16_put(most / 127);
			memcpy(o, &d, 2);
		}
		uint16_t h;
		memcpy(&h, o, 2);
		float d = kern_f16_get(h), *e = errors + (i - at);
		float w = x[i] + kern_dot(e, f->a + i * f->block, at);
		float q = d > 0 ? fmaxf(-127, fminf(127, rintf(w / d))) : 0;

		o[2 + i % 32] = (uint8_t)(int8_t)q;
		e[at] = x[i] - q * d;
	}
}

/* H = R R' with R upper triangular, from the last row up, in place of H's upper half; then its columns, divided by its
 * diagonal, as rows below it. False: H is not positive. */
static bool factor(float *h, int64_t n)
{
	double damp = 0;

	for (int64_t i = 0; i < n; i++)
		damp += (double)h[i * n + i];
	damp = damp / (double)n * DAMP + 1e-30;
	for (int64_t j = n - 1; j >= 0; j--) {
		float *rj = h + j * n, d;

		d = rj[j] + (float)damp - kern_dot(rj + j + 1, rj + j + 1, n - j - 1);
		if (!(d > 0))
			return false;
		rj[j] = sqrtf(d);
		for (int64_t i = 0; i < j; i++) {
			float *ri = h + i * n;

			ri[j] = (ri[j] - kern_dot(ri + j + 1, rj + j + 1, n - j - 1)) / rj[j];
		}
	}
	for (int64_t i = 0; i < n; i++)
		for (int64_t j = 0; j < i; j++)
			h[i * n + j] = h[j * n + i] / h[i * n + i];
	return true;
}

/* One block's H from columns [at, at + n) of all tokens: the product of the turned inputs with themselves. */
static int gram(float *h, const struct kern_act *x, const float *weight, int64_t at, int64_t n, struct err *e)
{
	float *turned = ckd_alloc((size_t)n, (size_t)x->n * sizeof *turned);
	struct kern_mat w = { turned, GGUF_F32, n, x->n };
	struct kern_act a;
	void *scratch = aligned_alloc(64, (kern_mul_scratch(&w, n) + 63) / 64 * 64);
	void *mem = aligned_alloc(64, (kern_act_bytes(GGUF_F32, KERN_8_BITS, x->n, n) + 63) / 64 * 64);

	if (turned && scratch && mem) {
		for (int64_t t = 0; t < x->n; t++)
			for (int64_t k = 0; k < n; k++)
				turned[k * x->n + t] = weight[t] * x->x[t * x->ld + at + k];
		kern_act_init(&a, GGUF_F32, KERN_8_BITS, turned, x->n, x->n, n, mem);
		kern_act_prepare(&a, 0, n);
		kern_mul(h, n, &w, &a, 0, n, scratch);
	}
	int r = turned && scratch && mem ? 0 : err_nomem(e);
	free(turned);
	free(scratch);
	free(mem);
	return r;
}

struct feedback *feedback_new(const struct kern_act *x, const float *weight, struct err *e)
{
	struct feedback *f = calloc(1, sizeof *f);
	int64_t blocks = (x->cols + MAX_BLOCK - 1) / MAX_BLOCK;

	while (x->cols % blocks || x->cols / blocks % 32)
		blocks++;
	if (!f || !(f->a = ckd_alloc((size_t)x->cols, (size_t)(x->cols / blocks) * sizeof *f->a))) {
		feedback_free(f);
		err_nomem(e);
		return NULL;
	}
	f->block = x->cols / blocks;
	for (int64_t b = 0; b < blocks; b++) {
		float *h = f->a + b * f->block * f->block;

		if (gram(h, x, weight, b * f->block, f->block, e) ||
		    (!factor(h, f->block) && err_set(e, ERR_MODEL_FAULT, "its numbers are not finite"))) {
			feedback_free(f);
			return NULL;
		}
	}
	return f;
}

/* The tensor in whose data w lies. */
static const struct gguf_tensor *tensor_of(const struct gguf *g, const struct kern_mat *w)
{
	for (size_t i = 0; i < gguf_n_tensors(g); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(g, i);

		if ((const uint8_t *)w->data >= t->data && (const uint8_t *)w->data < t->data + t->bytes)
			return t;
	}
	return NULL;
}

static void see(void *arg, const struct kern_mat *w, const struct kern_act *x)
{
	struct feedbacks *f = arg;
	const struct gguf_tensor *t = tensor_of(f->g, w);

	if (f->failed || !t || w->cols % 32 || feedbacks_find(f, t))
		return;
	if (f->n == f->cap) {
		struct of *of = realloc(f->of, (f->cap * 2 + 64) * sizeof *of);

		if (!of) {
			f->failed = err_nomem(&f->e) != 0;
			return;
		}
		f->of = of;
		f->cap = f->cap * 2 + 64;
	}
	/* q, k and v, gate and up read the same */
	if (x->x != f->last)
		f->last_f = feedback_new(x, f->weight, &f->e);
	f->last = x->x;
	if (f->last_f)
		f->of[f->n++] = (struct of){ t, f->last_f };
	else
		f->failed = true;
}

/* The texts' ids, one behind the other; start [N_TEXTS + 1]. */
static int encode_texts(struct tok_ids *ids, int32_t *start, const struct gguf *g, int32_t most, struct err *e)
{
	struct tok *t = NULL;
	struct tok_enc *x = NULL;
	int r = tok_open_gguf(&t, g, false, e) || tok_enc_new(&x, t, e) ? -1 : 0;

	for (size_t i = 0; i < N_TEXTS && !r; i++) {
		r = tok_encode(ids, NULL, x, str_of(texts[i]), TOK_ADD_SPECIAL, e);
		if (ids->n > (size_t)(start[i] + most))
			ids->n = (size_t)(start[i] + most);
		start[i + 1] = (int32_t)ids->n;
	}
	tok_enc_free(x);
	tok_close(t);
	return r;
}

int feedbacks_learn(struct feedbacks **out, const struct gguf *g, struct os_pool *pool, struct err *e)
{
	struct model_opts o = { .max_batch = 1, .pooling = MODEL_POOL_MEAN };
	struct feedbacks *f = calloc(1, sizeof *f);
	struct tok_ids ids = { 0 };
	struct model *m = NULL;
	int32_t start[N_TEXTS + 1] = { 0 }, n_out;
	float *vectors = NULL;
	int r = -1;

	*out = NULL;
	if (!f)
		return err_nomem(e);
	f->g = g;
	if (model_open(&m, g, pool, &o, e) || encode_texts(&ids, start, g, model_info(m)->n_ctx_train, e))
		goto out;
	n_out = model_info(m)->n_out;
	/* all in one step */
	model_close(m);
	m = NULL;
	o.max_batch = start[N_TEXTS];
	vectors = ckd_alloc(N_TEXTS, (size_t)n_out * sizeof *vectors);
	f->weight = ckd_alloc(ids.n, sizeof *f->weight);
	if (!vectors || !f->weight) {
		err_nomem(e);
		goto out;
	}
	for (size_t i = 0; i < N_TEXTS; i++)
		for (int32_t t = start[i]; t < start[i + 1]; t++)
			f->weight[t] = 1 / sqrtf(sqrtf((float)(start[i + 1] - start[i])));
	if (model_open(&m, g, pool, &o, e))
		goto out;
	model_observe(m, see, f);
	r = model_encode(m, ids.v, start, N_TEXTS, false, vectors, e);
	if (!r && f->failed) {
		*e = f->e;
		r = -1;
	}
out:
	if (m)
		model_close(m);
	tok_ids_release(&ids);
	free(vectors);
	if (r)
		feedbacks_free(f);
	else
		*out = f;
	return r;
}
