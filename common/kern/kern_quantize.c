/*
 * kern_quantize: f32 to blocks. The 32-blocks give the bytes of ggml's reference (and so of the gguf package of
 * Python); the K-quants are in
 * kern_kquantize.c.
 */
#include "config.h"
#include "kern/kern_impl.h"
#include <math.h>

/* (int)x for 0 <= x, NaN to 0, at most max. */
static uint8_t to_q(float x, int max)
{
	return x >= (float)max ? (uint8_t)max : x > 0 ? (uint8_t)x : 0;
}

static float largest(const float *x, int n)
{
	float amax = 0, max = x[0];

	for (int i = 0; i < n; i++)
		if (fabsf(x[i]) > amax) {
			amax = fabsf(x[i]);
			max = x[i];
		}
	return max;
}

static void range(float *min, float *max, const float *x, int n)
{
	*min = *max = x[0];
	for (int i = 1; i < n; i++) {
		*min = x[i] < *min ? x[i] : *min;
		*max = x[i] > *max ? x[i] : *max;
	}
}

static void put_nibbles(uint8_t qs[16], uint8_t qh[4], const uint8_t q[32])
{
	for (int j = 0; j < 16; j++)
		qs[j] = (uint8_t)((q[j] & 15) | q[j + 16] << 4);
	if (!qh)
		return;
	memset(qh, 0, 4);
	for (int j = 0; j < 32; j++)
		qh[j / 8] = (uint8_t)(qh[j / 8] | (q[j] >> 4) << j % 8);
}

/* n d with n centred: Q4_0 (half 8) and Q5_0 (half 16). The value of largest magnitude is exact at -half. */
static float put_centred(uint8_t q[32], const float *x, int half)
{
	float d = largest(x, 32) / (float)-half, id = d != 0 ? 1 / d : 0;

	for (int j = 0; j < 32; j++)
		q[j] = to_q(x[j] * id + ((float)half + 0.5f), 2 * half - 1);
	return d;
}

/* n d + m: Q4_1 (max 15) and Q5_1 (max 31). */
static float put_affine(uint8_t q[32], float *m, const float *x, int max_q)
{
	float max;
	range(m, &max, x, 32);
	float d = (max - *m) / (float)max_q, id = d != 0 ? 1 / d : 0;

	for (int j = 0; j < 32; j++)
		q[j] = to_q((x[j] - *m) * id + 0.5f, max_q);
	return d;
}

static void put_q4_0(void *out, const float *x, const float *w)
{
	struct q4_0 *b = out;
	uint8_t q[32];

	(void)w;
	b->d = kern_f16_put(put_centred(q, x, 8));
	put_nibbles(b->qs, NULL, q);
}

static void put_q4_1(void *out, const float *x, const float *w)
{
	struct q4_1 *b = out;
	uint8_t q[32];
	float m;

	(void)w;
	b->d = kern_f16_put(put_affine(q, &m, x, 15));
	b->m = kern_f16_put(m);
	put_nibbles(b->qs, NULL, q);
}

static void put_q5_0(void *out, const float *x, const float *w)
{
	struct q5_0 *b = out;
	uint8_t q[32];

	(void)w;
	b->d = kern_f16_put(put_centred(q, x, 16));
	put_nibbles(b->qs, b->qh, q);
}

static void put_q5_1(void *out, const float *x, const float *w)
{
	struct q5_1 *b = out;
	uint8_t q[32];
	float m;

	(void)w;
	b->d = kern_f16_put(put_affine(q, &m, x, 31));
	b->m = kern_f16_put(m);
	put_nibbles(b->qs, b->qh, q);
}

static void put_q8_0(void *out, const float *x, const float *w)
{
	struct q8_0 *b = out;
	float d = fabsf(largest(x, 32)) / 127, id = d != 0 ? 1 / d : 0;

	(void)w;
	b->d = kern_f16_put(d);
	for (int j = 0; j < 32; j++) {
		float r = roundf(x[j] * id); /* half away from zero */
		b->qs[j] = fabsf(r) <= 127 ? (int8_t)r : 0;
	}
}

typedef void put_block(void *out, const float *x, const float *imatrix);
static put_block *const putters[T_N] = {
	[T_Q4_0] = put_q4_0, [T_Q4_1] = put_q4_1, [T_Q5_0] = put_q5_0,
	[T_Q5_1] = put_q5_1, [T_Q8_0] = put_q8_0, [T_Q4_K] = kern_put_q4_k,
	[T_Q5_K] = kern_put_q5_k, [T_Q6_K] = kern_put_q6_k,
};

bool kern_can_quantize(uint32_t type)
{
	return type == T_F32 || type == T_F16 || type == T_BF16 || (type < T_N && putters[type]);
}

void kern_quantize(void *out, const float *x, uint32_t type, int64_t n, const float *imatrix)
{
	uint8_t *b = out;

	if (type == T_F32) {
		memcpy(out, x, (size_t)n * 4);
	} else if (type == T_F16 || type == T_BF16) {
		for (int64_t i = 0; i < n; i++) {
			uint16_t h = type == T_F16 ? kern_f16_put(x[i]) : kern_bf16_put(x[i]);
			memcpy(b + 2 * i, &h, 2);
		}
	} else if (kern_can_quantize(type)) {
		int64_t block = kern_block(type);

		for (int64_t i = 0; i < n; i += block) {
			putters[type](b, x + i, imatrix ? imatrix + i : NULL);
			b += kern_row_bytes(type, block);
		}
	}
}
