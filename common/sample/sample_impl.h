/* sample_impl: four floats at once in the compiler's own vectors. Private to sample. */
#ifndef SAMPLE_SAMPLE_IMPL_H
#define SAMPLE_SAMPLE_IMPL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef float sample_vec __attribute__((vector_size(16)));
typedef int32_t sample_ivec __attribute__((vector_size(16)));

static inline sample_vec sample_load(const float *p)
{
	sample_vec v;

	memcpy(&v, p, sizeof v);
	return v;
}
static inline sample_vec sample_max(sample_vec a, sample_vec b)
{
	return (sample_vec)(((sample_ivec)a & (a > b)) | ((sample_ivec)b & ~(a > b)));
}

/* sum(exp(x[i] - max)), max being the highest: eight lanes in double, added in one fixed order. */
double sample_exp_sum(const float *x, size_t n, float max);

#endif
