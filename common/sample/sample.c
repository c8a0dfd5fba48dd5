/* sample: the chain of samplers. No step sorts the vocabulary: what is unlikely falls at a
 * threshold. */
#include "config.h"
#include "sample/sample.h"
#include "sample/sample_impl.h"
#include <math.h>

const struct sample_params sample_defaults = { .temperature = 0.8f,
					       .top_k = 40,
					       .top_p = 0.95f,
					       .min_p = 0.05f,
					       .repeat_penalty = 1,
					       .repeat_last_n = 64 };

struct sample_scratch {
	size_t n_vocab;
	float *copy;            /* [n_vocab] logits with penalties */
	struct topk_item *cand; /* [n_vocab] */
	uint16_t *count;        /* [n_vocab] zero between calls */
};

int sample_scratch_new(struct sample_scratch **out, size_t n_vocab, struct err *e)
{
	struct sample_scratch *s = calloc(1, sizeof *s);

	if (!s)
		return err_nomem(e);
	s->n_vocab = n_vocab;
	s->copy = ckd_alloc(n_vocab, sizeof *s->copy);
	s->cand = ckd_alloc(n_vocab, sizeof *s->cand);
	s->count = calloc(n_vocab, sizeof *s->count);
	if (!s->copy || !s->cand || !s->count) {
		sample_scratch_free(s);
		return err_nomem(e);
	}
	*out = s;
	return 0;
}

void sample_scratch_free(struct sample_scratch *s)
{
	if (!s)
		return;
	free(s->copy);
	free(s->cand);
	free(s->count);
	free(s);
}

uint64_t sample_key(uint64_t seed, const int32_t *prompt, size_t n)
{
	return hash64(prompt, n * sizeof *prompt, seed);
}

/* ---- scans of the vocabulary --------------------------------------------------------------- */

enum { BLOCK = 32 };

/* Highest of BLOCK values. */
static float block_max(const float *x)
{
	sample_vec m = sample_load(x), w = sample_load(x + 4);
	float r;

	for (int k = 8; k < BLOCK; k += 8) {
		m = sample_max(m, sample_load(x + k));
		w = sample_max(w, sample_load(x + k + 4));
	}
	m = sample_max(m, w);
	r = m[0];
	for (int k = 1; k < 4; k++)
		r = m[k] > r ? m[k] : r;
	return r;
}

/* The smallest id among the highest logits. */
static int32_t argmax(const float *x, size_t n)
{
	float best = -INFINITY;
	size_t at = 0, i = 0;

	for (; i + BLOCK <= n; i += BLOCK) {
		if (!(block_max(x + i) > best))
			continue;
		for (size_t k = i; k < i + BLOCK; k++)
			if (x[k] > best)
				best = x[at = k];
	}
	for (; i < n; i++)
		if (x[i] > best)
			best = x[at = i];
	return (int32_t)at;
}

/* The k highest, best first, ties by the smaller id; returns how many. */
static size_t top_k(struct topk_item *out, size_t k, const float *x, size_t n)
{
	struct topk t;
	size_t i = 0;

	topk_init(&t, out, k < n ? k : n);
	for (; i + BLOCK <= n; i += BLOCK) {
		float floor = topk_floor(&t);

		/* equal to the floor loses: its id is larger */
		if (t.n == t.k && !(block_max(x + i) > floor))
			continue;
		for (size_t j = i; j < i + BLOCK; j++)
			if (t.n < t.k || x[j] > topk_floor(&t))
				topk_push(&t, x[j], j);
	}
	for (; i < n; i++)
		topk_push(&t, x[i], i);
	topk_sort(&t);
	return t.n;
}

/* Those at or above a logit, in order of ids. */
static size_t at_least(struct topk_item *out, float floor, const float *x, size_t n)
{
	size_t n_out = 0, i = 0;

	for (; i + BLOCK <= n; i += BLOCK) {
		if (!(block_max(x + i) >= floor))
			continue;
		for (size_t k = i; k < i + BLOCK; k++)
			if (x[k] >= floor)
				out[n_out++] = (struct topk_item){ x[k], k };
	}
	for (; i < n; i++)
		if (x[i] >= floor)
			out[n_out++] = (struct topk_item){ x[i], i };
	return n_out;
}

double sample_log_z(const float *x, size_t n)
{
	float max = n ? x[argmax(x, n)] : 0;

	return (double)max + log(sample_exp_sum(x, n, max));
}

void sample_top(struct sample_choice *out, size_t n, const float *logits, size_t n_vocab,
		double log_z, struct sample_scratch *s)
{
	size_t got = top_k(s->cand, n, logits, n_vocab);

	for (size_t i = 0; i < got; i++)
		out[i] = (struct sample_choice){ (int32_t)s->cand[i].index,
						 (float)((double)s->cand[i].score - log_z) };
}

/* ---- samplers ------------------------------------------------------------------------------ */

/* Penalties on what stands in the last tokens; the result is in s->copy. */
static const float *penalize(const float *logits, size_t n_vocab, const struct sample_params *p,
			     const int32_t *prev, size_t n_prev, struct sample_scratch *s)
{
	size_t from = p->repeat_last_n >= 0 && n_prev > (size_t)p->repeat_last_n
			      ? n_prev - (size_t)p->repeat_last_n
			      : 0;
	bool none = !(p->repeat_penalty < 1 || p->repeat_penalty > 1) &&
		    !(p->presence_penalty < 0 || p->presence_penalty > 0) &&
		    !(p->frequency_penalty < 0 || p->frequency_penalty > 0);

	if (none || from == n_prev)
		return logits;
	memcpy(s->copy, logits, n_vocab * sizeof *logits);
	for (size_t i = from; i < n_prev; i++)
		if (prev[i] >= 0 && (size_t)prev[i] < n_vocab && s->count[prev[i]] < UINT16_MAX)
			s->count[prev[i]]++;
	for (size_t i = from; i < n_prev; i++) {
		float *x, count;

		if (prev[i] < 0 || (size_t)prev[i] >= n_vocab || !s->count[prev[i]])
			continue;
		x = &s->copy[prev[i]];
		count = s->count[prev[i]];
		s->count[prev[i]] = 0;
		*x = *x <= 0 ? *x * p->repeat_penalty : *x / p->repeat_penalty;
		*x -= count * p->frequency_penalty + p->presence_penalty;
	}
	return s->copy;
}

static int by_score(const void *pa, const void *pb)
{
	const struct topk_item *a = pa, *b = pb;

	if (a->score < b->score || a->score > b->score)
		return a->score < b->score ? 1 : -1;
	return a->index < b->index ? -1 : a->index > b->index;
}

/*
 * The fewest of the likeliest that together have probability top_p. Only as much of the tail is
 * gathered and sorted as that needs: 2 below the best logit, then ever more.
 */
static size_t nucleus(struct topk_item *cand, const float *x, size_t n, float top_p)
{
	float max = x[argmax(x, n)];
	double want = (double)top_p * sample_exp_sum(x, n, max), sum = 0;

	for (float depth = 2;; depth *= 2) {
		bool all = depth > 128;
		size_t got = at_least(cand, all ? -INFINITY : max - depth, x, n);

		qsort(cand, got, sizeof *cand, by_score);
		sum = 0;
		for (size_t i = 0; i < got; i++) {
			sum += exp((double)cand[i].score - (double)max);
			if (sum >= want)
				return i + 1;
		}
		if (all)
			return got;
	}
}

/* The same among candidates that are sorted already: top_p of their own mass. */
static size_t nucleus_sorted(const struct topk_item *cand, size_t n, float top_p)
{
	double total = 0, sum = 0;

	for (size_t i = 0; i < n; i++)
		total += exp((double)cand[i].score - (double)cand[0].score);
	for (size_t i = 0; i < n; i++) {
		sum += exp((double)cand[i].score - (double)cand[0].score);
		if (sum >= (double)top_p * total)
			return i + 1;
	}
	return n;
}

/* One of the candidates in proportion to exp(score / temperature); u in [0, 1). */
static int32_t draw(const struct topk_item *cand, size_t n, float max, float temperature, double u)
{
	double total = 0, sum = 0, t = (double)temperature;

	for (size_t i = 0; i < n; i++)
		total += exp(((double)cand[i].score - (double)max) / t);
	for (size_t i = 0; i < n; i++) {
		sum += exp(((double)cand[i].score - (double)max) / t);
		if (sum > u * total)
			return (int32_t)cand[i].index;
	}
	/* rounding left u at the very end: the last one that has any probability */
	while (n > 1 && !(exp(((double)cand[n - 1].score - (double)max) / t) > 0))
		n--;
	return (int32_t)cand[n - 1].index;
}

int32_t sample_next(const float *logits, size_t n_vocab, const struct sample_params *p,
		    uint64_t key, uint64_t sample, uint64_t step, const int32_t *prev,
		    size_t n_prev, struct sample_scratch *s)
{
	const float *x = penalize(logits, n_vocab, p, prev, n_prev, s);
	struct rng rng = { key, sample, step };
	bool by_k = p->top_k > 0 && (size_t)p->top_k < n_vocab, by_p = p->top_p < 1;
	float max, floor;
	size_t n;

	if (!(p->temperature > 0) || p->top_k == 1)
		return argmax(x, n_vocab);
	if (by_k) {
		n = top_k(s->cand, (size_t)p->top_k, x, n_vocab);
		n = by_p ? nucleus_sorted(s->cand, n, p->top_p) : n;
		max = s->cand[0].score;
	} else {
		max = x[argmax(x, n_vocab)];
		n = by_p ? nucleus(s->cand, x, n_vocab, p->top_p)
			 : at_least(s->cand, p->min_p > 0 ? max + logf(p->min_p) : -INFINITY, x,
				    n_vocab);
	}
	if (p->min_p > 0) { /* the best one always stays */
		size_t kept = 0;

		floor = max + logf(p->min_p < 1 ? p->min_p : 1);
		for (size_t i = 0; i < n; i++)
			if (s->cand[i].score >= floor)
				s->cand[kept++] = s->cand[i];
		n = kept;
	}
	return draw(s->cand, n, max, p->temperature, rng_f64(&rng));
}
