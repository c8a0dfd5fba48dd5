/*
 * experts: a mixture of experts. Each token's row goes to its chosen experts; the pairs (token, expert) are sorted by expert,
 * so that one expert's rows are one matrix, and summed in the order of the choice, so that no bit depends on the batch.
 */
#include "config.h"
#include "model/model_impl.h"
#include <math.h>

/* Chosen experts and their weights for token t, best first; ties by the smaller number. */
static void choose(struct model *m, const struct layer *y, int64_t t)
{
	struct work *w = m->work;
	int32_t n = m->n_experts, k = m->n_used, *expert = w->pair_expert + t * k;
	float *p = w->route + t * n, *weight = w->pair_weight + t * k, sum = 0;
	struct topk_item items[MODEL_MAX_USED];
	struct topk top;

	add_bias(p, y->moe.router.b, n);
	if (m->gating == GATING_SOFTMAX) {
		float total = kern_exp_sum(p, kern_max(p, n), n);

		kern_scale(p, 1 / total, n);
	} else if (m->gating == GATING_SIGMOID) {
		for (int32_t i = 0; i < n; i++)
			p[i] = 1 / (1 + expf(-p[i]));
	}
	topk_init(&top, items, (size_t)k);
	for (int32_t i = 0; i < n; i++)
		topk_push(&top, p[i] + (y->moe.select_bias ? y->moe.select_bias[i] : 0), (uint64_t)i);
	topk_sort(&top);
	for (int32_t i = 0; i < k; i++) {
		expert[i] = (size_t)i < top.n ? (int32_t)items[i].index : i;
		weight[i] = p[expert[i]];
	}
	if (m->gating == GATING_SOFTMAX_CHOSEN)
		sum = kern_exp_sum(weight, kern_max(weight, k), k);
	else if (m->norm_weights)
		for (int32_t i = 0; i < k; i++)
			sum += weight[i];
	for (int32_t i = 0; i < k; i++) {
		if (m->gating == GATING_SOFTMAX_CHOSEN || m->norm_weights)
			weight[i] /= fmaxf(sum, 6.103515625e-5f); /* the smallest normal f16, as in llama.cpp */
		weight[i] *= m->scale_experts;
	}
}

/* Places of the pairs, sorted by expert, then by token, and of each expert's prepared rows. */
static void sort_pairs(struct model *m, const struct layer *y)
{
	struct work *w = m->work;
	const struct lin *in[] = { &y->moe.gate, &y->moe.up }, *down[] = { &y->moe.down };
	int32_t pairs = w->n * m->n_used, n = m->n_experts, sum = 0;

	memset(w->first, 0, (size_t)(n + 1) * sizeof *w->first);
	for (int32_t i = 0; i < pairs; i++)
		w->first[w->pair_expert[i]]++;
	for (int32_t x = 0; x <= n; x++) {
		int32_t count = x < n ? w->first[x] : 0;

		w->first[x] = sum;
		sum += count;
	}
	for (int32_t i = 0; i < pairs; i++) {
		w->pair_at[i] = w->first[w->pair_expert[i]]++;
		w->pair_row[w->pair_at[i]] = i / m->n_used;
	}
	for (int32_t x = n; x > 0; x--)
		w->first[x] = w->first[x - 1];
	w->first[0] = 0;
	w->in_at[0] = w->down_at[0] = 0;
	for (int32_t x = 0; x < n; x++) {
		int64_t rows = w->first[x + 1] - w->first[x];

		w->in_at[x + 1] = w->in_at[x] + acts_bytes(in, 2, rows);
		w->down_at[x + 1] = w->down_at[x] + acts_bytes(down, 1, rows);
	}
}

static struct lin expert_of(const struct lin *w, size_t step, int32_t x)
{
	struct lin one = *w;

	one.w.data = (const uint8_t *)w->w.data + step * (size_t)x;
	if (w->b)
		one.b = w->b + x * w->w.rows;
	return one;
}

/* A product of the experts: up to two matrices that read the same rows, one row a pair. */
struct product {
	const struct lin *w[2];
	size_t step[2];
	float *out[2];
	int n;
	const float *in;
	int64_t ld;
	const size_t *at; /* of each expert's prepared rows in act_b */
};

static void expert_acts(struct acts *s, const struct work *k, const struct product *p, int32_t x)
{
	acts_init(s, p->w, p->n, p->in + k->first[x] * p->ld, p->ld, k->first[x + 1] - k->first[x], k->act_b + p->at[x]);
}

/* What adapters add to the products; each (expert, matrix) is one worker's. */
static void adapt_experts(struct model *m, unsigned worker, const struct product *p)
{
	struct work *k = m->work;
	int64_t rows = p->w[0]->w.rows;
	bool adapted = false;
	size_t i;

	for (int w = 0; w < p->n; w++)
		adapted |= p->w[w]->lora != NULL;
	if (!adapted)
		return;
	while (os_pool_claim(&i, m->pool, worker, (size_t)m->n_experts * (size_t)p->n)) {
		int64_t x = (int64_t)i / p->n, w = (int64_t)i % p->n, from = k->first[x], n = k->first[x + 1] - from;

		if (n)
			lora_add(m, worker, p->w[w]->lora, x, p->out[w] + from * rows, rows, p->in + from * p->ld, p->ld, n);
	}
	os_pool_barrier(m->pool, worker);
}

/* Claims experts, then (expert, matrix, chunk of rows); experts without rows have no work. */
static void mul_experts(struct model *m, unsigned worker, const struct product *p)
{
	struct work *k = m->work;
	int64_t step = kern_row_step(), rows = p->w[0]->w.rows;
	int64_t chunk = (rows / 4 / step + 1) * step;
	size_t chunks = (size_t)((rows + chunk - 1) / chunk), i;
	struct acts s;

	while (os_pool_claim(&i, m->pool, worker, (size_t)m->n_experts)) {
		expert_acts(&s, k, p, (int32_t)i);
		acts_prepare(&s, 0, k->first[i + 1] - k->first[i]);
	}
	os_pool_barrier(m->pool, worker);
	while (os_pool_claim(&i, m->pool, worker, chunks * (size_t)p->n * (size_t)m->n_experts)) {
		int32_t x = (int32_t)(i / chunks / (size_t)p->n);
		size_t which = i / chunks % (size_t)p->n;
		int64_t from = (int64_t)(i % chunks) * chunk, to = from + chunk < rows ? from + chunk : rows;
		struct lin mat = expert_of(p->w[which], p->step[which], x);

		if (k->first[x] == k->first[x + 1])
			continue;
		expert_acts(&s, k, p, x);
		kern_mul(p->out[which] + k->first[x] * rows, rows, &mat.w, acts_for(&s, &mat), from, to,
			 k->workers[worker].mul);
	}
	os_pool_barrier(m->pool, worker);
	adapt_experts(m, worker, p);
}

/* Activation of the pairs of each expert. */
static void act_experts(struct model *m, unsigned worker, const struct layer *y)
{
	struct work *k = m->work;
	int64_t ff = y->n_ff, from, to;

	while (next_rows(m, worker, (int64_t)k->n * m->n_used, &from, &to)) {
		int32_t x = 0;

		for (int64_t i = from; i < to; i++) {
			float *g = k->ffn + i * ff, *u = k->up + i * ff;

			while (k->first[x + 1] <= i)
				x++;
			add_bias(g, expert_of(&y->moe.gate, 0, x).b, ff);
			add_bias(u, expert_of(&y->moe.up, 0, x).b, ff);
			act_row(m->act, g, u, ff, true);
		}
	}
}

/* y of a token = sum of its experts' rows by their weights. The rows lie in pair_h, which is used up. */
static void combine(struct model *m, unsigned worker, const struct layer *y)
{
	struct work *k = m->work;
	int64_t d = m->info.n_embd, used = m->n_used, from, to;

	while (next_rows(m, worker, k->n, &from, &to)) {
		for (int64_t t = from; t < to; t++) {
			float *out = k->y + t * d;

			memset(out, 0, (size_t)d * sizeof *out);
			for (int64_t i = t * used; i < (t + 1) * used; i++) {
				float *row = k->pair_h + k->pair_at[i] * d;

				add_bias(row, expert_of(&y->moe.down, 0, k->pair_expert[i]).b, d);
				kern_mul_add(out, row, k->pair_weight[i], d);
			}
		}
	}
}

void experts_run(struct model *m, unsigned worker, const struct layer *y)
{
	struct work *k = m->work;
	const struct lin *router[] = { &y->moe.router };
	const struct product in = { .w = { &y->moe.gate, &y->moe.up }, .step = { y->moe.gate_step, y->moe.up_step },
				    .out = { k->ffn, k->up }, .n = 2, .in = k->pair_h, .ld = m->info.n_embd, .at = k->in_at };
	const struct product down = { .w = { &y->moe.down }, .step = { y->moe.down_step }, .out = { k->pair_h }, .n = 1,
				      .in = k->ffn, .ld = y->n_ff, .at = k->down_at };
	int64_t d = m->info.n_embd, from, to;
	struct acts s;

	acts_init(&s, router, 1, k->h, d, k->n, k->act_a);
	mul_all(m, worker, &(struct mul){ &y->moe.router, &s.a[0], k->route, m->n_experts }, 1);
	while (next_rows(m, worker, k->n, &from, &to))
		for (int64_t t = from; t < to; t++)
			choose(m, y, t);
	if (worker == 0)
		sort_pairs(m, y);
	os_pool_barrier(m->pool, worker);
	while (next_rows(m, worker, (int64_t)k->n * m->n_used, &from, &to))
		for (int64_t i = from; i < to; i++)
			memcpy(k->pair_h + i * d, k->h + k->pair_row[i] * d, (size_t)d * sizeof *k->h);
	mul_experts(m, worker, &in);
	act_experts(m, worker, y);
	mul_experts(m, worker, &down);
	combine(m, worker, y);
}
