/* dist: distribution functions and their inverses, to about 1e-13. */
#include "config.h"
#include "stats/stats.h"
#include <math.h>

#define LN_SQRT_2PI 0.91893853320467274178

double stats_norm_cdf(double z)
{
	return 0.5 * erfc(-z * M_SQRT1_2);
}

/*
 * Newton on ln Phi(z) = ln p, in the lower half: ln Phi is concave, so after one step the iteration
 * comes from the left and cannot overshoot.
 */
double stats_norm_quantile(double p)
{
	bool upper = p > 0.5;
	double q = upper ? 1 - p : p;
	double z = q < 0.02 ? -sqrt(-2 * log(q)) : 0;

	if (!(p >= 0 && p <= 1))
		return NAN;
	if (q == 0)
		return upper ? INFINITY : -INFINITY;
	for (int i = 0; i < 60; i++) {
		double cdf = stats_norm_cdf(z);
		double step = (log(cdf) - log(q)) * cdf / exp(-0.5 * z * z - LN_SQRT_2PI);

		z -= step;
		if (fabs(step) <= 1e-15 * (1 + fabs(z)))
			break;
	}
	return upper ? -z : z;
}

/* ln n! - Stirling's formula without its series, n > 0 (Loader, "Fast and accurate computation of
 * binomial probabilities", 2000). */
static double stirling_error(double n)
{
	double nn = n * n;

	if (n < 16)
		return lgamma(n + 1) - (n + 0.5) * log(n) + n - LN_SQRT_2PI;
	return (1 / 12.0 -
		(1 / 360.0 - (1 / 1260.0 - (1 / 1680.0 - 1 / 1188.0 / nn) / nn) / nn) / nn) /
	       n;
}

/* x ln(x/m) + m - x without cancellation near x = m (Loader's bd0). */
static double deviance(double x, double m)
{
	double v = (x - m) / (x + m);
	double s = (x - m) * v;
	double term = 2 * x * v;

	if (fabs(x - m) >= 0.1 * (x + m))
		return x * log(x / m) + m - x;
	for (int j = 1; j < 1000; j++) {
		double next;

		term *= v * v;
		next = s + term / (2 * j + 1);
		if (next == s)
			break;
		s = next;
	}
	return s;
}

/* x^a (1 - x)^b / B(a, b), y = 1 - x, through the saddle-point form of the binomial. */
static double beta_weight(double x, double y, double a, double b)
{
	double n = a + b;
	double e = stirling_error(n) - stirling_error(a) - stirling_error(b) - deviance(a, n * x) -
		   deviance(b, n * y);

	return sqrt(a * b / n / (2 * M_PI)) * exp(e);
}

/* Continued fraction of I_x(a, b) / weight, by Lentz's method; converges for x < (a + 1)/(a + b +
 * 2). DLMF 8.17.22. */
static double beta_fraction(double x, double a, double b)
{
	const double tiny = 1e-300;
	double c = 1;
	double d = 1 - (a + b) * x / (a + 1);
	double h;

	d = 1 / (fabs(d) < tiny ? tiny : d);
	h = d;
	for (int m = 1; m < 100000; m++) {
		double am = a + 2 * m;
		double f[2] = { m * (b - m) * x / ((am - 1) * am),
				-(a + m) * (a + b + m) * x / (am * (am + 1)) };
		double step = 1;

		for (int i = 0; i < 2; i++) {
			d = 1 + f[i] * d;
			d = 1 / (fabs(d) < tiny ? tiny : d);
			c = 1 + f[i] / c;
			c = fabs(c) < tiny ? tiny : c;
			step *= d * c;
		}
		h *= step;
		if (fabs(step - 1) < 1e-16)
			break;
	}
	return h / a;
}

/* I_x(a, b) with y = 1 - x given apart, so that neither end loses digits. */
static double beta_cdf(double x, double y, double a, double b)
{
	if (x <= 0)
		return 0;
	if (y <= 0)
		return 1;
	/* the fraction of a large `a` loses digits where Student's t is near 0: there the other
	 * side has them */
	if (x < (a + 1) / (a + b + 2) && !(b < 1 && a > 1000 && a * y < 6))
		return beta_weight(x, y, a, b) * beta_fraction(x, a, b);
	return 1 - beta_weight(x, y, a, b) * beta_fraction(y, b, a);
}

double stats_beta_cdf(double x, double a, double b)
{
	return beta_cdf(x, 1 - x, a, b);
}

/* Newton inside a bracket that shrinks; a step that leaves it is replaced by its middle. */
double stats_beta_quantile(double p, double a, double b)
{
	double lo = 0;
	double hi = 1;
	double x = a / (a + b);

	if (!(p >= 0 && p <= 1))
		return NAN;
	if (p == 0 || p == 1)
		return p;
	for (int i = 0; i < 2000; i++) {
		double f = stats_beta_cdf(x, a, b) - p;
		double next = x - f * x * (1 - x) / beta_weight(x, 1 - x, a, b);

		if (f > 0)
			hi = x;
		else
			lo = x;
		if (!(next > lo && next < hi))
			next = 0.5 * (lo + hi);
		if (fabs(next - x) <= 1e-15 * x || hi - lo <= 1e-16 * hi)
			return next;
		x = next;
	}
	return x;
}

double stats_t_cdf(double t, double df)
{
	double tt = t * t;
	double tail;

	if (isinf(t))
		return t > 0 ? 1 : 0;
	tail = 0.5 * beta_cdf(df / (df + tt), tt / (df + tt), df / 2, 0.5);
	return t > 0 ? 1 - tail : tail;
}

/* From Beta's quantile, on the side where its argument is small; then Newton, for df so large that
 * it is near 1. The density is weight / |t|. */
double stats_t_quantile(double p, double df)
{
	double q = p > 0.5 ? 1 - p : p;
	double x, t;

	if (!(p >= 0 && p <= 1))
		return NAN;
	if (q == 0)
		return p > 0.5 ? INFINITY : -INFINITY;
	if (q < 0.2) {
		x = stats_beta_quantile(2 * q, df / 2, 0.5);
		t = -sqrt(df * (1 - x) / x);
	} else {
		x = stats_beta_quantile(1 - 2 * q, 0.5, df / 2);
		t = -sqrt(df * x / (1 - x));
	}
	for (int i = 0; i < 2 && t < 0; i++)
		t += (stats_t_cdf(t, df) - q) * t /
		     beta_weight(df / (df + t * t), t * t / (df + t * t), df / 2, 0.5);
	return p > 0.5 ? -t : t;
}
