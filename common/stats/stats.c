/* stats: sums, percentiles and intervals. */
#include "config.h"
#include "stats/stats.h"
#include <math.h>

double stats_sum(const double *x, size_t n)
{
	double s = 0;
	double c = 0; /* what the rounding of s has lost: Neumaier, ZAMM 1974 */

	for (size_t i = 0; i < n; i++) {
		double t = s + x[i];

		c += fabs(s) >= fabs(x[i]) ? (s - t) + x[i] : (x[i] - t) + s;
		s = t;
	}
	return isfinite(s) ? s + c : s;
}

double stats_mean(const double *x, size_t n)
{
	return n ? stats_sum(x, n) / (double)n : (double)NAN;
}

/* Two passes; the second one's sum of deviations corrects the mean's rounding (Chan, Golub, LeVeque
 * 1983). */
double stats_sd(const double *x, size_t n)
{
	double mean = stats_mean(x, n);
	double ss = 0;
	double s = 0;

	if (n < 2)
		return NAN;
	for (size_t i = 0; i < n; i++) {
		double d = x[i] - mean;

		ss += d * d;
		s += d;
	}
	return sqrt(fmax(0, ss - s * s / (double)n) / (double)(n - 1));
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

void stats_sort(double *x, size_t n)
{
	if (n > 1)
		qsort(x, n, sizeof *x, ascending);
}

double stats_percentile_sorted(const double *x, size_t n, double p)
{
	double at, t, d;
	size_t i;

	if (!n)
		return NAN;
	at = p / 100 * (double)(n - 1);
	i = (size_t)at;
	if (i + 1 >= n)
		return x[n - 1];
	t = at - (double)i;
	d = x[i + 1] - x[i];
	return t < 0.5 ? x[i] + d * t : x[i + 1] - d * (1 - t); /* numpy's lerp, to the last bit */
}

double stats_percentile(const double *x, size_t n, double p, double *scratch)
{
	if (n)
		memcpy(scratch, x, n * sizeof *x);
	stats_sort(scratch, n);
	return stats_percentile_sorted(scratch, n, p);
}

struct stats_interval stats_mean_interval(const double *x, size_t n, double confidence)
{
	double mean = stats_mean(x, n);
	double half;

	if (n < 2)
		return (struct stats_interval){ -INFINITY, INFINITY };
	half = stats_t_quantile(0.5 + confidence / 2, (double)(n - 1)) * stats_sd(x, n) /
	       sqrt((double)n);
	return (struct stats_interval){ mean - half, mean + half };
}

struct stats_interval stats_wilson(uint64_t k, uint64_t n, double confidence)
{
	double z = stats_norm_quantile(0.5 + confidence / 2);
	double zz = z * z;
	double dn = (double)n;
	double p, mid, half;

	if (!n)
		return (struct stats_interval){ 0, 1 };
	p = (double)k / dn;
	mid = (p + zz / (2 * dn)) / (1 + zz / dn);
	half = z * sqrt(p * (1 - p) / dn + zz / (4 * dn * dn)) / (1 + zz / dn);
	return (struct stats_interval){ k == 0 ? 0 : mid - half, k == n ? 1 : mid + half };
}

struct stats_interval stats_clopper_pearson(uint64_t k, uint64_t n, double confidence)
{
	double tail = (1 - confidence) / 2;
	double dk = (double)k;
	double dn = (double)n;

	return (struct stats_interval){
		k == 0 ? 0 : stats_beta_quantile(tail, dk, dn - dk + 1),
		k == n ? 1 : stats_beta_quantile(1 - tail, dk + 1, dn - dk),
	};
}

double stats_mcnemar_exact(uint64_t b, uint64_t c)
{
	uint64_t k = b < c ? b : c;

	/* P(Bin(n, 1/2) <= k) = I_1/2(n - k, k + 1) */
	if (b == c)
		return 1;
	return fmin(1, 2 * stats_beta_cdf(0.5, (double)(b + c - k), (double)k + 1));
}

/* Tango's score statistic at difference d, for b and c discordant pairs of n. */
static double tango_z(double d, double b, double c, double n)
{
	double p = (2 * n - b + c) * d - b - c;
	double q = -c * d * (1 - d);
	double q21 = (sqrt(fmax(0, p * p - 8 * n * q)) - p) /
		     (4 * n); /* its maximum-likelihood estimate */
	double var = n * (2 * q21 + d * (1 - d));
	double num = b - c - n * d;

	if (var <= 0)
		return num > 0 ? INFINITY : num < 0 ? -INFINITY : 0;
	return num / sqrt(var);
}

static double tango_root(double z, double b, double c, double n)
{
	double lo = -1;
	double hi = 1;

	for (int i = 0; i < 100; i++) { /* the statistic falls as d grows */
		double mid = 0.5 * (lo + hi);

		if (tango_z(mid, b, c, n) > z)
			lo = mid;
		else
			hi = mid;
	}
	return 0.5 * (lo + hi);
}

struct stats_interval stats_tango(uint64_t both, uint64_t only_a, uint64_t only_b, uint64_t neither,
				  double confidence)
{
	double n = (double)both + (double)only_a + (double)only_b + (double)neither;
	double z = stats_norm_quantile(0.5 + confidence / 2);

	if (n == 0)
		return (struct stats_interval){ -1, 1 };
	return (struct stats_interval){
		tango_root(z, (double)only_a, (double)only_b, n),
		tango_root(-z, (double)only_a, (double)only_b, n),
	};
}

void stats_paired_t(struct stats_paired *out, const double *d, size_t n, double confidence)
{
	out->mean = stats_mean(d, n);
	out->se = stats_sd(d, n) / sqrt((double)n);
	out->ci = stats_mean_interval(d, n, confidence);
	out->t = out->se > 0 ? out->mean / out->se : (double)NAN;
	out->p = out->se > 0 ? 2 * stats_t_cdf(-fabs(out->t), (double)(n - 1)) : (double)NAN;
}
