/*
 * lora: low-rank adapters (Hu et al. 2021): W x becomes W x + s B (A x), two thin products at run time, so that the weights
 * stay as they lie in their map. Files: ggml-org/llama.cpp convert_lora_to_gguf.py, src/llama-adapter.cpp; s is alpha / rank
 * there, times what the user wants.
 */
#include "config.h"
#include "model/model_impl.h"
#include <math.h>

enum { MAX_RANK = 4096, BLOCK = 64 }; /* BLOCK: rows of B at once */

/* ---- loading ----------------------------------------------------------------------------------- */

static int check_kind(const struct adapter *a, const char *arch, struct err *e)
{
	struct str type = gguf_str_or(a->g, "general.type", STR("")), kind = gguf_str_or(a->g, "adapter.type", STR(""));
	struct str of = gguf_str_or(a->g, "general.architecture", STR(""));

	if (!str_is(type, "adapter") || !str_is(kind, "lora"))
		return err_set(e, ERR_OPEN, "it is no LoRA adapter: general.type is \"" STR_FMT "\", adapter.type \"" STR_FMT "\"",
			       STR_ARG(type), STR_ARG(kind));
	if (!str_is(of, arch))
		return err_set(e, ERR_MODEL_MISMATCH, "it adapts models of the architecture \"" STR_FMT "\", this one is \"%s\"",
			       STR_ARG(of), arch);
	if (gguf_find(a->g, "adapter.alora.invocation_tokens"))
		return err_set(e, ERR_UNSUPPORTED, "it waits for its own words (aLoRA), which is not supported");
	return isfinite(a->scale) ? 0 : err_set(e, ERR_USAGE, "a scale of %g", (double)a->scale);
}

int lora_open(struct loader *l, const struct model_lora *loras, size_t n, struct err *e)
{
	l->adapters = calloc(n + 1, sizeof *l->adapters);
	if (!l->adapters)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		struct adapter *a = &l->adapters[l->n_adapters++];

		a->g = loras[i].g;
		a->scale = loras[i].scale;
		a->alpha = gguf_f32_or(a->g, "adapter.lora.alpha", 0);
		a->used = calloc(gguf_n_tensors(a->g) + 1, sizeof *a->used);
		if (!a->used)
			return err_nomem(e);
		if (check_kind(a, l->arch, e) || (!isfinite(a->alpha) && err_set(e, ERR_OPEN, "adapter.lora.alpha is not finite")))
			return err_wrap(e, "%s", gguf_path(a->g));
	}
	return 0;
}

void lora_close(struct loader *l)
{
	for (size_t i = 0; i < l->n_adapters; i++)
		free(l->adapters[i].used);
	free(l->adapters);
}

/* Every tensor must have found its place, else the adapter would do something else than it was trained for. */
void lora_check_rest(struct loader *l)
{
	for (size_t k = 0; k < l->n_adapters && !l->failed; k++) {
		const struct adapter *a = &l->adapters[k];

		for (size_t i = 0; i < gguf_n_tensors(a->g) && !l->failed; i++) {
			struct str name = gguf_tensor_at(a->g, i)->name, base = name;
			char z[160];

			if (a->used[i])
				continue;
			if (str_ends(name, STR(".lora_a")) || str_ends(name, STR(".lora_b")))
				base.n -= 7;
			snprintf(z, sizeof z, STR_FMT, STR_ARG(base));
			load_fail(l, "adapter %s: tensor " STR_FMT ": %s", gguf_path(a->g), STR_ARG(name),
				  base.n == name.n ? "only lora_a and lora_b are known" :
				  gguf_find_tensor(l->g, z) ? "what it adapts is no matrix that can be adapted here" :
							      "the model has no tensor that it adapts: is it of another model?");
		}
	}
}

static const struct gguf_tensor *part(struct adapter *a, struct str base, const char *suffix)
{
	const struct gguf_tensor *t;
	char name[160];

	snprintf(name, sizeof name, STR_FMT "%s", STR_ARG(base), suffix);
	t = gguf_find_tensor(a->g, name);
	if (t)
		a->used[t - gguf_tensor_at(a->g, 0)] = true;
	return t;
}

/* A tensor as rows of f32: where it lies, or converted. */
static struct kern_mat rows_of(struct loader *l, const struct adapter *a, const struct gguf_tensor *t)
{
	struct kern_mat m = { NULL, GGUF_F32, t->ne[1], t->ne[0] };
	int64_t n = t->ne[0] * t->ne[1] * t->ne[2];
	float *copy;

	if (t->type == GGUF_F32 && (uintptr_t)t->data % sizeof(float) == 0) {
		m.data = t->data;
	} else if (t->type != GGUF_F32 && !kern_block(t->type)) {
		load_fail(l, "adapter %s: tensor " STR_FMT " has a type that cannot be read", gguf_path(a->g), STR_ARG(t->name));
	} else {
		m.data = copy = load_alloc(l, (size_t)n, sizeof *copy);
		if (copy && t->type == GGUF_F32)
			memcpy(copy, t->data, t->bytes);
		else if (copy)
			kern_dequant(copy, t->data, t->type, n);
	}
	return m;
}

/* Rank of the pair, or -1: a is [rank, cols], b is [rows, rank], `n` of each (of an embedding, a is [rows, rank], b [cols, rank]). */
static int64_t rank_of(struct loader *l, const struct adapter *x, const struct gguf_tensor *a, const struct gguf_tensor *b,
		       const struct gguf_tensor *t, bool embedding)
{
	int64_t rank = embedding ? a->ne[0] : a->ne[1];
	bool fits = embedding ? a->ne[1] == t->ne[1] && b->ne[1] == t->ne[0] : a->ne[0] == t->ne[0] && b->ne[1] == t->ne[1];

	if (fits && b->ne[0] == rank && rank >= 1 && rank <= MAX_RANK && a->ne[2] == t->ne[2] && b->ne[2] == t->ne[2] &&
	    a->ne[3] == 1 && b->ne[3] == 1)
		return rank;
	load_fail(l, "adapter %s: " STR_FMT " [%lld, %lld, %lld] and " STR_FMT " [%lld, %lld, %lld] do not fit the model's [%lld, "
		  "%lld, %lld]", gguf_path(x->g), STR_ARG(a->name), (long long)a->ne[0], (long long)a->ne[1], (long long)a->ne[2],
		  STR_ARG(b->name), (long long)b->ne[0], (long long)b->ne[1], (long long)b->ne[2], (long long)t->ne[0],
		  (long long)t->ne[1], (long long)t->ne[2]);
	return -1;
}

const struct lora *lora_of(struct loader *l, const struct gguf_tensor *t, bool embedding)
{
	const struct lora *first = NULL, **last = &first;

	for (size_t i = 0; i < l->n_adapters && !l->failed; i++) {
		struct adapter *x = &l->adapters[i];
		const struct gguf_tensor *a = part(x, t->name, ".lora_a"), *b = part(x, t->name, ".lora_b");
		struct lora *r;
		int64_t rank;

		if (!a && !b)
			continue;
		if (!a || !b) {
			load_fail(l, "adapter %s: " STR_FMT ".lora_a and .lora_b: one is missing", gguf_path(x->g), STR_ARG(t->name));
			break;
		}
		rank = rank_of(l, x, a, b, t, embedding);
		r = rank < 0 ? NULL : load_alloc(l, 1, sizeof *r);
		if (!r)
			break;
		r->a = rows_of(l, x, a);
		r->b = rows_of(l, x, b);
		r->rank = rank;
		r->a_step = a->ne[0] * a->ne[1];
		r->b_step = b->ne[0] * b->ne[1];
		r->scale = x->scale * (x->alpha > 0 || x->alpha < 0 ? x->alpha / (float)rank : 1);
		*last = r;
		last = &r->next;
	}
	return l->failed ? NULL : first;
}

const struct lora *lora_part(struct loader *l, const struct lora *of, int64_t from, int64_t rows)
{
	const struct lora *first = NULL, **last = &first;

	for (; of; of = of->next) {
		struct lora *r = load_alloc(l, 1, sizeof *r);

		if (!r)
			return NULL;
		*r = *of;
		r->b.data = (const float *)of->b.data + from * of->rank;
		r->b.rows = rows;
		r->next = NULL;
		*last = r;
		last = &r->next;
	}
	return first;
}

/* ---- sizes ------------------------------------------------------------------------------------- */

int64_t lora_ranks(const struct lin *w)
{
	int64_t sum = 0;

	for (const struct lora *r = w->lora; r; r = r->next)
		sum += r->rank;
	return sum;
}

size_t lora_scratch(const struct lin *w, int64_t n)
{
	return w->lora ? (size_t)(n * (BLOCK + lora_ranks(w))) : 0;
}

/* ---- products ---------------------------------------------------------------------------------- */

/* t [n, rank] = s A x. */
static void down(float *t, const struct lora *r, const float *x, int64_t ld, int64_t n, void *scratch)
{
	struct kern_act a;

	kern_act_init(&a, GGUF_F32, KERN_8_BITS, x, ld, r->a.cols, n, NULL);
	kern_mul(t, r->rank, &r->a, &a, 0, r->rank, scratch);
	kern_scale(t, r->scale, n * r->rank);
}

/* out += B t, rows [from, to). */
static void up(float *out, int64_t ld, const struct lora *r, const float *t, int64_t n, int64_t from, int64_t to, float *block,
	       void *scratch)
{
	struct kern_act a;

	kern_act_init(&a, GGUF_F32, KERN_8_BITS, t, r->rank, r->rank, n, NULL);
	for (int64_t at = from; at < to; at += BLOCK) {
		int64_t rows = to - at < BLOCK ? to - at : BLOCK;
		struct kern_mat b = { (const float *)r->b.data + at * r->rank, GGUF_F32, rows, r->rank };

		kern_mul(block, BLOCK, &b, &a, 0, rows, scratch);
		for (int64_t j = 0; j < n; j++)
			kern_add(out + j * ld + at, out + j * ld + at, block + j * BLOCK, rows);
	}
}

/* Where the A x of one matrix's adapters lie: behind those of the matrices before it. */
static float *place_of(const struct model *m, const struct mul *muls, size_t k)
{
	float *t = m->work->low;

	for (size_t i = 0; i < k; i++)
		t += muls[i].act->n * lora_ranks(muls[i].w);
	return t;
}

void lora_down_all(struct model *m, unsigned worker, const struct mul *muls, size_t n)
{
	int64_t cols = muls[0].act->n, step = cols / (4 * (int64_t)os_pool_size(m->pool)) + 1;
	size_t parts = (size_t)((cols + step - 1) / step), i;
	void *scratch = m->work->workers[worker].mul;

	while (os_pool_claim(&i, m->pool, worker, n * parts)) {
		const struct mul *p = &muls[i / parts];
		int64_t from = (int64_t)(i % parts) * step, count = cols - from < step ? cols - from : step;
		float *t = place_of(m, muls, i / parts);

		for (const struct lora *r = p->w->lora; r; t += cols * r->rank, r = r->next)
			down(t + from * r->rank, r, p->act->x + from * p->act->ld, p->act->ld, count, scratch);
	}
	os_pool_barrier(m->pool, worker);
}

void lora_up(struct model *m, unsigned worker, const struct mul *muls, size_t k, int64_t from, int64_t to)
{
	const struct mul *p = &muls[k];
	struct worker_mem *mem = &m->work->workers[worker];
	const float *t = place_of(m, muls, k);

	for (const struct lora *r = p->w->lora; r; t += p->act->n * r->rank, r = r->next)
		up(p->out, p->ld, r, t, p->act->n, from, to, mem->lora, mem->mul);
}

void lora_add(struct model *m, unsigned worker, const struct lora *r, int64_t expert, float *out, int64_t ld_out, const float *x,
	      int64_t ld, int64_t n)
{
	struct worker_mem *mem = &m->work->workers[worker];

	for (; r; r = r->next) {
		struct lora one = *r;
		float *block = mem->lora, *t = block + n * BLOCK;

		one.a.data = (const float *)r->a.data + expert * r->a_step;
		one.b.data = (const float *)r->b.data + expert * r->b_step;
		down(t, &one, x, ld, n, mem->mul);
		up(out, ld_out, &one, t, n, 0, one.b.rows, block, mem->mul);
	}
}

void lora_embed(float *x, const struct lora *r, int32_t id)
{
	for (; r; r = r->next) {
		const float *a = (const float *)r->a.data + id * r->rank;

		for (int64_t i = 0; i < r->b.rows; i++)
			x[i] += r->scale * kern_dot((const float *)r->b.data + i * r->rank, a, r->rank);
	}
}
