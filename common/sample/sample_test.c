/* sample_test: the chain against a plain reference that sorts everything, draws against their
 * distribution. */
#include "config.h"
#include "sample/sample.h"
#include "tap.h"
#include <math.h>

enum { N = 5003 };
static float x[N], y[N];
static struct sample_scratch *s;

struct pair {
	double v;
	int id;
};

static int better(const void *pa, const void *pb)
{
	const struct pair *a = pa, *b = pb;

	return a->v < b->v ? 1 : a->v > b->v ? -1 : a->id - b->id;
}

static void fill(uint64_t seed, double scale)
{
	struct rng r = { .key = seed };

	for (int i = 0; i < N; i++)
		x[i] = (float)(rng_normal(&r) * scale);
}

/* What is left of the vocabulary and with which probability, done the long way: p [N]. */
static void reference(double *out, const struct sample_params *p, const int32_t *prev,
		      size_t n_prev)
{
	static struct pair c[N];
	double total = 0, sum = 0, max;
	size_t n = N, from = p->repeat_last_n >= 0 && n_prev > (size_t)p->repeat_last_n
				     ? n_prev - (size_t)p->repeat_last_n
				     : 0;

	for (int i = 0; i < N; i++) {
		int count = 0;
		float v = x[i];

		for (size_t k = from; k < n_prev; k++)
			count += prev[k] == i;
		if (count) {
			v = v <= 0 ? v * p->repeat_penalty : v / p->repeat_penalty;
			v -= (float)count * p->frequency_penalty + p->presence_penalty;
		}
		c[i] = (struct pair){ (double)v, i };
		out[i] = 0;
	}
	qsort(c, N, sizeof *c, better);
	max = c[0].v;
	if (p->top_k > 0 && p->top_k < N)
		n = (size_t)p->top_k;
	for (size_t i = 0; i < n; i++)
		total += exp(c[i].v - max);
	for (size_t i = 0; p->top_p < 1 && i < n; i++)
		if ((sum += exp(c[i].v - max)) >= (double)p->top_p * total)
			n = i + 1;
	while (n > 1 && p->min_p > 0 && (float)c[n - 1].v < (float)max + logf(p->min_p))
		n--;
	total = 0;
	for (size_t i = 0; i < n; i++)
		total += exp((c[i].v - max) / (double)p->temperature);
	for (size_t i = 0; i < n; i++)
		out[c[i].id] = exp((c[i].v - max) / (double)p->temperature) / total;
}

/* Draws land where the reference allows, as often as it says (chi-square over the likely ones, 6
 * sigma). */
static void check(const struct sample_params *p, const int32_t *prev, size_t n_prev,
		  const char *what)
{
	static double want[N];
	static unsigned got[N];
	const int draws = 20000;
	double chi = 0, rest = 0, rest_want = 0;
	int outside = 0, cells = 0;

	reference(want, p, prev, n_prev);
	memset(got, 0, sizeof got);
	for (int i = 0; i < draws; i++)
		got[sample_next(x, N, p, 7, 0, (uint64_t)i, prev, n_prev, s)]++;
	for (int i = 0; i < N; i++) {
		if (got[i] && !(want[i] > 0))
			outside++;
		if (want[i] * draws < 10) {
			rest += got[i];
			rest_want += want[i] * draws;
			continue;
		}
		chi += (got[i] - want[i] * draws) * (got[i] - want[i] * draws) / (want[i] * draws);
		cells++;
	}
	if (rest_want > 10) {
		chi += (rest - rest_want) * (rest - rest_want) / rest_want;
		cells++;
	}
	OK(!outside, "%s: nothing outside of the support", what);
	OK(chi < cells + 6 * sqrt(2.0 * cells) + 6, "%s: chi-square %.1f over %d cells", what, chi,
	   cells);
}

static void test_chain(void)
{
	static const int32_t prev[] = { 5, 5, 5, 17, 23, 4000 };
	struct sample_params p = sample_defaults;

	fill(1, 3);
	check(&p, NULL, 0, "defaults");
	p.top_k = 0;
	check(&p, NULL, 0, "no top-k");
	p.min_p = 0;
	check(&p, NULL, 0, "top-p alone");
	p.top_p = 1;
	p.temperature = 1.5f;
	check(&p, NULL, 0, "temperature alone");
	p.min_p = 0.2f;
	check(&p, NULL, 0, "min-p alone");
	p = sample_defaults;
	p.top_k = 3;
	p.top_p = 0.5f;
	check(&p, NULL, 0, "top-k 3, top-p 0.5");
	p = sample_defaults;
	p.repeat_penalty = 1.3f;
	p.presence_penalty = 0.5f;
	p.frequency_penalty = 0.25f;
	x[5] = x[17] = 11;
	check(&p, prev, 6, "penalties");
	p.repeat_last_n = 2;
	check(&p, prev, 6, "penalties over the last two");
	fill(2, 0.01);
	p = sample_defaults;
	p.top_k = 0;
	check(&p, NULL, 0, "a flat distribution");
}

static void test_greedy(void)
{
	struct sample_params p = sample_defaults;
	static const int32_t prev[] = { 100 };

	fill(3, 1);
	p.temperature = 0;
	x[100] = x[4001] = x[4002] = 50;
	OK(sample_next(x, N, &p, 0, 0, 0, NULL, 0, s) == 100,
	   "the highest, ties by the smaller id");
	p.repeat_penalty = 2;
	OK(sample_next(x, N, &p, 0, 0, 0, prev, 1, s) == 4001, "after a penalty");
	memcpy(y, x, sizeof x);
	(void)sample_next(x, N, &p, 0, 0, 0, prev, 1, s);
	OK(!memcmp(x, y, sizeof x), "logits stay");
	x[N - 1] = 60;
	OK(sample_next(x, N, &p, 0, 0, 0, NULL, 0, s) == N - 1, "the last one");
	for (int i = 0; i < N; i++)
		x[i] = -INFINITY;
	x[77] = -3;
	p.temperature = 1;
	OK(sample_next(x, N, &p, 0, 0, 0, NULL, 0, s) == 77, "all others masked");
}

static void test_draws(void)
{
	struct sample_params p = sample_defaults;
	static const int32_t ids[] = { 1, 2, 3 };
	int same = 0, again = 0;

	fill(4, 1);
	p.top_k = 0;
	p.top_p = 1;
	p.min_p = 0;
	for (uint64_t i = 0; i < 100; i++) {
		int32_t a = sample_next(x, N, &p, 9, 0, i, NULL, 0, s);

		again += a == sample_next(x, N, &p, 9, 0, i, NULL, 0, s);
		same += a == sample_next(x, N, &p, 9, 1, i, NULL, 0, s);
	}
	OK(again == 100, "the same draw gives the same token");
	OK(same < 10, "another sample draws another token");
	OK(sample_key(0, ids, 3) != sample_key(1, ids, 3) &&
		   sample_key(0, ids, 3) != sample_key(0, ids, 2),
	   "keys differ");
}

static void test_logprobs(void)
{
	static struct pair c[N];
	struct sample_choice top[20];
	double sum = 0, z, worst = 0;
	bool same = true;

	fill(5, 6);
	x[3] = -INFINITY;
	x[9] = -400;
	for (int i = 0; i < N; i++) {
		c[i] = (struct pair){ (double)x[i], i };
		sum += exp((double)x[i]);
	}
	z = sample_log_z(x, N);
	OK(fabs(z - log(sum)) < 2e-7, "log z %.9f against %.9f", z, log(sum));
	for (size_t n = 1; n < 70; n++) {
		double ref = 0;

		for (size_t i = 0; i < n; i++)
			ref += exp((double)x[i]);
		worst = fmax(worst, fabs(sample_log_z(x, n) - log(ref)));
	}
	OK(worst < 4e-7, "log z at every length, off by %.2g", worst);
	qsort(c, N, sizeof *c, better);
	sample_top(top, 20, x, N, z, s);
	for (int i = 0; i < 20; i++)
		same = same && top[i].id == c[i].id &&
		       fabs((double)top[i].logprob - (c[i].v - log(sum))) < 1e-5;
	OK(same, "the 20 most likely");
}

int main(void)
{
	struct err e;

	if (!OK(!sample_scratch_new(&s, N, &e), "scratch"))
		return tap_done();
	test_chain();
	test_greedy();
	test_draws();
	test_logprobs();
	sample_scratch_free(s);
	return tap_done();
}
