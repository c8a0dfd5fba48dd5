/* resample: bootstrap and randomisation. Replicate b has its own stream, so replicates may run in
 * any order. */
#include "config.h"
#include "stats/stats.h"
#include <math.h>

#define GOLDEN 0x9e3779b97f4a7c15u /* splitmix64's increment */

/* Draw i of a stream that begins at `start`: splitmix64 addressed by number. */
static inline uint64_t draw(uint64_t start, uint64_t i)
{
	return hash_mix64(start + (i + 1) * GOLDEN);
}

/* Sum of n values drawn with replacement. Up to 2^16 values two indices come out of one 64-bit
 * draw: the bias of the multiply-shift, n/2^32, is then below 2e-5 of an index's probability. */
static double resampled_sum(const double *x, size_t n, uint64_t start)
{
	double s[2] = { 0, 0 };
	size_t i;

	if (n > 65536) {
		for (i = 0; i < n; i++)
			s[i & 1] += x[(size_t)(((unsigned __int128)draw(start, i) * n) >> 64)];
		return s[0] + s[1];
	}
	for (i = 0; i + 2 <= n; i += 2) {
		uint64_t r = draw(start, i / 2);

		s[0] += x[((r & 0xffffffffu) * n) >> 32];
		s[1] += x[((r >> 32) * n) >> 32];
	}
	if (i < n)
		s[0] += x[((draw(start, i / 2) & 0xffffffffu) * n) >> 32];
	return s[0] + s[1];
}

int stats_bootstrap_mean(struct stats_interval *out, const double *x, size_t n, size_t replicates,
			 double confidence, uint64_t seed, struct err *e)
{
	double tail = (1 - confidence) / 2 * 100;
	double *means;

	if (n == 0 || replicates == 0 || n > UINT32_MAX)
		return err_set(e, ERR_INVALID_FIELD, "a bootstrap needs values and replicates");
	means = ckd_alloc(replicates, sizeof *means);
	if (!means)
		return err_nomem(e);
	for (size_t b = 0; b < replicates; b++)
		means[b] = resampled_sum(x, n, rng_at(seed, b, 0)) / (double)n;
	stats_sort(means, replicates);
	out->lo = stats_percentile_sorted(means, replicates, tail);
	out->hi = stats_percentile_sorted(means, replicates, 100 - tail);
	free(means);
	return 0;
}

double stats_sign_flip(const double *d, size_t n, size_t replicates, uint64_t seed)
{
	bool exact = n <= 20;
	size_t rounds = exact ? (size_t)1 << n : replicates;
	double seen = fabs(stats_sum(d, n));
	double scale = 0;
	size_t as_far = 0;

	for (size_t i = 0; i < n; i++)
		scale += fabs(d[i]);
	seen -= 1e-12 * scale; /* sums that differ by rounding alone are ties */
	for (size_t b = 0; b < rounds; b++) {
		uint64_t start = exact ? 0 : rng_at(seed, b, 0);
		uint64_t bits = b;
		double s = 0;

		for (size_t i = 0; i < n; i++) {
			if (!exact && i % 64 == 0)
				bits = draw(start, i / 64);
			s += (bits >> (i % 64)) & 1 ? -d[i] : d[i];
		}
		as_far += fabs(s) >= seen;
	}
	return exact ? (double)as_far / (double)rounds
		     : (double)(as_far + 1) / (double)(rounds + 1);
}
