/* sample_exp: sum of exponentials over a vocabulary. */
#include "config.h"
#include "sample/sample_impl.h"

/*
 * exp(x) for x <= 0, to 1.2e-7 relative: x = n ln 2 + r, |r| <= ln(2) / 2, a polynomial of degree 6
 * in r (Taylor), times 2^n; 0 below -87.
 */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas" /* clang */
#pragma GCC diagnostic ignored "-Wanalyzer-shift-count-overflow" /* gcc 12 takes the vector for a small integer */
static inline sample_vec exp_neg(sample_vec x)
{
	sample_ivec dead = x < -87.0f;
	/* adding 1.5 * 2^23 rounds to an integer in the low bits of the mantissa */
	sample_vec shift = x * 1.44269504f + 12582912.0f;
	sample_ivec n = (sample_ivec)shift << 23;
	sample_vec k = shift - 12582912.0f;
	sample_vec r = (x - k * 0.693145752f) - k * 1.42860677e-6f; /* ln 2 in two parts */
	sample_vec p = r * (1.0f / 720) + 1.0f / 120;

	p = p * r + 1.0f / 24;
	p = p * r + 1.0f / 6;
	p = p * r + 0.5f;
	p = p * r + 1.0f;
	p = p * r + 1.0f;
	return (sample_vec)(((sample_ivec)p + n) & ~dead);
}
#pragma GCC diagnostic pop

/* exp(x[0..3] - max) + … of every eighth group of four up to `n`. */
static inline sample_vec add_up(const float *x, size_t n, float max)
{
	sample_vec s = exp_neg(sample_load(x) - max);

	for (size_t i = 8; i < n; i += 8)
		s += exp_neg(sample_load(x + i) - max);
	return s;
}

double sample_exp_sum(const float *x, size_t n, float max)
{
	double lane[8] = { 0 }, sum = 0;
	float rest[32];

	/* four values are added in float before they join a sum in double */
	for (size_t i = 0; i < n; i += 32) {
		const float *p = x + i;
		sample_vec a, b;

		if (n - i < 32) {
			for (size_t k = 0; k < 32; k++)
				rest[k] = k < n - i ? p[k] : -__builtin_inff();
			p = rest;
		}
		a = add_up(p, 32, max);
		b = add_up(p + 4, 28, max);
		for (int k = 0; k < 4; k++) {
			lane[k] += (double)a[k];
			lane[k + 4] += (double)b[k];
		}
	}
	for (int k = 0; k < 8; k++)
		sum += lane[k];
	return sum;
}
