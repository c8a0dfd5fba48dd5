/* rng: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC
 * 2011). */
#include "config.h"
#include "base/rng.h"
#include <math.h>
#include "base/banned.h"

void rng_philox(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
	/* multipliers and Weyl constants: table 2 and section 3.3 of the paper */
	const uint64_t m0 = 0xD2511F53, m1 = 0xCD9E8D57;
	uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
	uint32_t k0 = key[0], k1 = key[1];

	for (int round = 0; round < 10; round++) {
		uint64_t p0 = m0 * c0, p1 = m1 * c2;

		c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
		c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
		c1 = (uint32_t)p1;
		c3 = (uint32_t)p0;
		k0 += 0x9E3779B9;
		k1 += 0xBB67AE85;
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

uint64_t rng_at(uint64_t key, uint64_t stream, uint64_t step)
{
	const uint32_t counter[4] = { (uint32_t)step, (uint32_t)(step >> 32), (uint32_t)stream,
				      (uint32_t)(stream >> 32) };
	const uint32_t k[2] = { (uint32_t)key, (uint32_t)(key >> 32) };
	uint32_t out[4];

	rng_philox(out, counter, k);
	return out[0] | (uint64_t)out[1] << 32;
}

uint64_t rng_next(struct rng *r)
{
	return rng_at(r->key, r->stream, r->step++);
}

double rng_f64(struct rng *r)
{
	return (double)(rng_next(r) >> 11) * 0x1p-53;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
	/* Lemire: Fast random integer generation in an interval, 2019: reject the low products
	 * under 2^64 mod n */
	unsigned __int128 p = (unsigned __int128)rng_next(r) * n;

	if ((uint64_t)p < n) {
		uint64_t floor = (0 - n) % n;

		while ((uint64_t)p < floor)
			p = (unsigned __int128)rng_next(r) * n;
	}
	return (uint64_t)(p >> 64);
}

double rng_normal(struct rng *r)
{
	/* Box and Muller; 1 - u lies in (0, 1], where log is finite */
	double radius = sqrt(-2 * log(1 - rng_f64(r)));

	return radius * cos(2 * M_PI * rng_f64(r));
}
