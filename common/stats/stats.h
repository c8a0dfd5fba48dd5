/* stats: arrays of double in, numbers out. No text, no files. Sources of the formulas stand at each function. */
#ifndef STATS_STATS_H
#define STATS_STATS_H

#include "base/base.h"

struct stats_interval {
	double lo, hi;
};
/* Neumaier-compensated sum in array order; mean; sample standard deviation (ddof 1; NaN for n < 2). */
double stats_sum(const double *x, size_t n);
double stats_mean(const double *x, size_t n);
double stats_sd(const double *x, size_t n);
/* Percentile p in [0, 100], linear between order statistics (numpy's default, type 7). Sorts a copy in scratch [n]. */
double stats_percentile(const double *x, size_t n, double p, double *scratch);
/* Distribution functions. */
double stats_norm_cdf(double z);
double stats_norm_quantile(double p);
double stats_t_cdf(double t, double df);
double stats_t_quantile(double p, double df);
double stats_beta_quantile(double p, double a, double b);
/* mean +- t * sd / sqrt(n), confidence e.g. 0.95. */
struct stats_interval stats_mean_interval(const double *x, size_t n, double confidence);
/* Wilson score interval of k successes in n (Wilson 1927); Clopper-Pearson. */
struct stats_interval stats_wilson(uint64_t k, uint64_t n, double confidence);
struct stats_interval stats_clopper_pearson(uint64_t k, uint64_t n, double confidence);
/* Percentile bootstrap of the mean; replicate b draws from rng stream (seed, b). */
int stats_bootstrap_mean(struct stats_interval *out, const double *x, size_t n, size_t replicates, double confidence,
			 uint64_t seed, struct err *e);
/* Exact two-sided McNemar p of discordant counts b and c; score interval for the paired difference (b - c)/n
 * (Tango 1998). */
double stats_mcnemar_exact(uint64_t b, uint64_t c);
struct stats_interval stats_tango(uint64_t both, uint64_t only_a, uint64_t only_b, uint64_t neither,
				  double confidence);

#endif
