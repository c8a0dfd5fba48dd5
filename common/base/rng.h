/*
 * rng: counter-based random numbers, so that a draw depends on its name and not on what was drawn before
 * (DESIGN 2.10). Philox 4x32-10: Salmon, Moraes, Dror, Shaw, SC 2011.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
	uint64_t key;    /* e.g. the seed mixed with the hash of a prompt's tokens */
	uint64_t stream; /* e.g. the sample's number */
	uint64_t step;   /* counts draws; set it to address one */
};

/* The bare function: a block of 128 bits for a counter of 128 bits under a key of 64. */
void rng_philox(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);
/* The 64 bits at (key, stream, step), independent of any state. */
uint64_t rng_at(uint64_t key, uint64_t stream, uint64_t step);
/* The next draw of a stream: rng_at(…) and step + 1. */
uint64_t rng_next(struct rng *r);
/* In [0, 1), 53 bits. */
double rng_f64(struct rng *r);
/* Uniform in [0, n), n > 0, without bias (Lemire 2019). */
uint64_t rng_below(struct rng *r, uint64_t n);
/* Standard normal (for seeded test weights). */
double rng_normal(struct rng *r);

#endif
