/* stats_test: golden values of scipy and statsmodels (stats_golden.py), published cases, and
 * invariants. */
#include "config.h"
#include "stats/stats.h"
#include "tap.h"
#include <math.h>

enum kind {
	Q_NORM,
	Q_T,
	C_T,
	Q_BETA,
	C_BETA,
	WILSON_LO,
	WILSON_HI,
	CP_LO,
	CP_HI,
	MCNEMAR,
	N_KINDS
};
static const char *const kind_names[] = { "normal quantile",
					  "t quantile",
					  "t cdf",
					  "beta quantile",
					  "beta cdf",
					  "Wilson, lower",
					  "Wilson, upper",
					  "Clopper-Pearson, lower",
					  "Clopper-Pearson, upper",
					  "McNemar exact" };
static const struct golden {
	enum kind kind;
	double x, a, b, want;
} golden[] = {
#include "stats_golden.h"
};

static bool near(double got, double want, double rel)
{
	return fabs(got - want) <= rel * fabs(want) + 1e-15 * (want == 0);
}

static double value(const struct golden *g)
{
	uint64_t k = (uint64_t)g->x;
	uint64_t n = (uint64_t)g->a;

	switch (g->kind) {
	case Q_NORM:
		return stats_norm_quantile(g->x);
	case Q_T:
		return stats_t_quantile(g->x, g->a);
	case C_T:
		return stats_t_cdf(g->x, g->a);
	case Q_BETA:
		return stats_beta_quantile(g->x, g->a, g->b);
	case C_BETA:
		return stats_beta_cdf(g->x, g->a, g->b);
	case WILSON_LO:
		return stats_wilson(k, n, 0.95).lo;
	case WILSON_HI:
		return stats_wilson(k, n, 0.95).hi;
	case CP_LO:
		return stats_clopper_pearson(k, n, 0.95).lo;
	case CP_HI:
		return stats_clopper_pearson(k, n, 0.95).hi;
	case MCNEMAR:
	default:
		return stats_mcnemar_exact(k, n);
	}
}

static void test_golden(void)
{
	for (int kind = 0; kind < N_KINDS; kind++) {
		double worst = 0;
		size_t count = 0;

		for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
			const struct golden *g = &golden[i];
			double got;

			if ((int)g->kind != kind)
				continue;
			got = value(g);
			count++;
			if (!near(got, g->want, 2e-12))
				printf("# %s(%.17g, %.17g, %.17g) = %.17g, want %.17g\n",
				       kind_names[kind], g->x, g->a, g->b, got, g->want);
			worst = fmax(worst, g->want == 0 ? fabs(got) : fabs(got / g->want - 1));
		}
		OK(count && worst < 2e-12, "%s: %zu values, worst %.1e", kind_names[kind], count,
		   worst);
	}
}

static void test_descriptive(void)
{
	double x[] = { 10, 20, 30, 40, 50, 60, 70, 80, 90, 1000 };
	double big[] = { 1e16, 1, 1, -1e16 };
	double off[] = { 1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16 };
	double s[10];

	OK(stats_sum(big, 4) == 2, "a compensated sum keeps what doubles drop");
	OK(near(stats_sd(off, 4), sqrt(30), 1e-14), "a standard deviation far from zero");
	OK(isnan(stats_sd(x, 1)) && isnan(stats_mean(x, 0)), "no value where there is none");
	/* numpy.percentile of the same numbers */
	OK(stats_percentile(x, 10, 50, s) == 55 &&
		   near(stats_percentile(x, 10, 90, s), 181, 4e-15) &&
		   near(stats_percentile(x, 10, 95, s), 590.5, 4e-15) &&
		   near(stats_percentile(x, 10, 99.9, s), 991.81, 1e-14),
	   "percentiles are numpy's");
	OK(stats_percentile(x, 1, 99, s) == 10 && stats_percentile(x, 10, 100, s) == 1000,
	   "percentiles at the ends");
}

static void test_pairs(void)
{
	/* 98 both right, 17 only the base, 39 only the candidate, 46 neither; candidate minus base
	 */
	struct stats_interval t = stats_tango(98, 39, 17, 46, 0.95);
	struct stats_interval none = stats_tango(60, 0, 0, 40, 0.95);
	double d[200] = { 0 };
	double small[] = { .3, -.1, .2, .4, 0, .25, -.05, .15 };
	struct stats_paired p;

	OK(near(t.lo, 0.03781982, 2e-7) && near(t.hi, 0.18325966, 1e-7), "Tango's interval");
	OK(near(none.lo, -0.03699350, 1e-6) && near(none.hi, 0.03699350, 1e-6),
	   "Tango's interval, no discordant pair");
	for (int i = 0; i < 56; i++)
		d[i] = i < 39 ? 1 : -1;
	stats_paired_t(&p, d, 200, 0.95);
	OK(near(p.mean, .11, 1e-14) && near(p.se, 0.03669102, 1e-7) &&
		   near(p.t, 2.99800855, 1e-8) && near(p.p, 0.00306392, 2e-6) &&
		   near(p.ci.lo, 0.03764690, 1e-7) && near(p.ci.hi, 0.18235310, 1e-7),
	   "paired t");
	stats_paired_t(&p, d, 200, 0.90);
	OK(near(p.ci.lo, 0.04936637, 1e-7), "one-sided lower bound");
	stats_paired_t(&p, small, 8, 0.95);
	OK(near(p.t, 2.28213880, 1e-8) && near(p.p, 0.05645797, 1e-6), "paired t of eight");
	OK(stats_sign_flip(small, 8, 10000, 0) == 20 / 256.0, "sign flip, exact");
	OK(near(stats_sign_flip(d, 200, 10000, 1), 0.0041, 0.5),
	   "sign flip, random, near McNemar's exact p");
	stats_paired_t(&p, d + 100, 100, 0.95);
	OK(p.se == 0 && isnan(p.p), "no p without a spread");
}

static void test_bootstrap(void)
{
	double x[1300];
	struct stats_interval a, b, t;
	struct err e = { 0 };

	for (int i = 0; i < 1300; i++)
		x[i] = (i * 7919 % 1009) / 1009.0;
	t = stats_mean_interval(x, 1300, 0.95);
	OK(!stats_bootstrap_mean(&a, x, 1300, 4000, 0.95, 7, &e) &&
		   fabs(a.lo - t.lo) < 0.1 * (t.hi - t.lo) &&
		   fabs(a.hi - t.hi) < 0.1 * (t.hi - t.lo),
	   "a bootstrap agrees with t on many values");
	OK(!stats_bootstrap_mean(&b, x, 1300, 4000, 0.95, 7, &e) && a.lo == b.lo && a.hi == b.hi,
	   "a seed decides all");
	OK(!stats_bootstrap_mean(&b, x, 1300, 4000, 0.95, 8, &e) && a.lo != b.lo,
	   "another seed, another interval");
	OK(!stats_bootstrap_mean(&b, x, 1, 10, 0.95, 8, &e) && b.lo == x[0] && b.hi == x[0],
	   "one value");
	OK(stats_bootstrap_mean(&b, x, 0, 10, 0.95, 8, &e) == -1, "no value is an error");
}

int main(void)
{
	test_golden();
	test_descriptive();
	test_pairs();
	test_bootstrap();
	return tap_done();
}
