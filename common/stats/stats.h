/*
 * stats: arrays of double in, numbers out. No text, no files, no state; every function may run on
 * any thread. Sums run in array order and are compensated, random draws are named by (seed,
 * replicate), so no result depends on the number of workers. Sources of the formulas stand at each
 * function; oracle: scipy and statsmodels (stats_golden.py made the numbers in stats_test.c).
 */
#ifndef STATS_STATS_H
#define STATS_STATS_H

#include "base/base.h"

struct stats_interval {
	double lo, hi;
};

/* Neumaier-compensated sum in array order; mean (NaN for n 0); sample standard deviation (ddof 1;
 * NaN for n < 2). */
double stats_sum(const double *x, size_t n);
double stats_mean(const double *x, size_t n);
double stats_sd(const double *x, size_t n);
/* Ascending; no NaN may be in it. */
void stats_sort(double *x, size_t n);
/* Percentile p in [0, 100], linear between order statistics (numpy's default, type 7). Sorts a copy
 * in scratch [n]. */
double stats_percentile(const double *x, size_t n, double p, double *scratch);
/* The same of what is sorted already; NaN for n 0. */
double stats_percentile_sorted(const double *x, size_t n, double p);

/* ---- distributions ------------------------------------------------------------------------- */

double stats_norm_cdf(double z);
/* p in (0, 1); infinite at the ends, NaN outside. So are the other quantiles. */
double stats_norm_quantile(double p);
double stats_t_cdf(double t, double df);
double stats_t_quantile(double p, double df);
/* Regularised incomplete beta function I_x(a, b), the distribution function of Beta(a, b). */
double stats_beta_cdf(double x, double a, double b);
double stats_beta_quantile(double p, double a, double b);

/* ---- intervals; confidence is two-sided, e.g. 0.95 ----------------------------------------- */

/* mean +- t * sd / sqrt(n); the whole line for n < 2. */
struct stats_interval stats_mean_interval(const double *x, size_t n, double confidence);
/* Score interval of k successes in n (Wilson, JASA 1927); exact (Clopper & Pearson, Biometrika
 * 1934). [0, 1] for n 0. */
struct stats_interval stats_wilson(uint64_t k, uint64_t n, double confidence);
struct stats_interval stats_clopper_pearson(uint64_t k, uint64_t n, double confidence);
/*
 * Percentile bootstrap of the mean (Efron 1979): type 7 percentiles of `replicates` resampled
 * means; replicate b draws from stream (seed, b). n <= 2^32.
 */
int stats_bootstrap_mean(struct stats_interval *out, const double *x, size_t n, size_t replicates,
			 double confidence, uint64_t seed, struct err *e);

/* ---- pairs --------------------------------------------------------------------------------- */

/* Exact two-sided McNemar p of discordant counts b and c: min(1, 2 P(Bin(b + c, 1/2) <= min(b,
 * c))). */
double stats_mcnemar_exact(uint64_t b, uint64_t c);
/* Score interval of the paired difference (only_a - only_b)/n (Tango, Statistics in Medicine 1998).
 */
struct stats_interval stats_tango(uint64_t both, uint64_t only_a, uint64_t only_b, uint64_t neither,
				  double confidence);
/* Student's t on paired differences d [n]: scipy's ttest_rel. */
struct stats_paired {
	double mean, se; /* se NaN for n < 2 */
	double t, p;     /* two-sided; NaN when se is 0 or NaN */
	struct stats_interval ci;
};
void stats_paired_t(struct stats_paired *out, const double *d, size_t n, double confidence);
/*
 * Sign-flip test of mean d = 0: p = (1 + #{|d*| >= |d|}) / (replicates + 1) with random signs; for
 * n <= 20 over all 2^n signs, exact (then p = # / 2^n).
 */
double stats_sign_flip(const double *d, size_t n, size_t replicates, uint64_t seed);

#endif
