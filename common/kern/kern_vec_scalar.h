/* kern_vec_scalar: the vocabulary of kern_mul_impl.h and its sisters in plain C: it says what each word means. */
#ifndef KERN_VEC_SCALAR_H
#define KERN_VEC_SCALAR_H

#include "kern/kern_impl.h"
#include <math.h>

#define VEC_NAME scalar
#define VEC_NO_UNROLL  /* 16 lanes in memory: unrolling gains nothing and takes minutes to compile */
#define VEC_COLS 2     /* columns a tile of int8 products */
#define VEC_COLS_F32 2 /* of f32 products */
#define VEC_WIDE 0     /* does vi_dot7() differ from vi_dot()? */
#define VEC_NEAR 1
#define VEC_PANELS 1   /* panels of 16 rows a tile */
#define VEC_DOT_ROWS 2 /* rows and columns a tile of dot products */
#define VEC_DOT_COLS 2

/* 16 floats; 16 integers of 32 bits, also seen as 64 bytes. */
typedef struct {
	float v[16];
} vf;
typedef union {
	int32_t v[16];
	uint32_t u[16];
	uint8_t b[64];
	int8_t s[64];
} vi;

#define EACH for (int i = 0; i < 16; i++)

static inline vf vf_set1(float x)
{
	vf r;
	EACH r.v[i] = x;
	return r;
}
static inline vf vf_load(const void *p)
{
	vf r;
	memcpy(&r, p, sizeof r);
	return r;
}
static inline void vf_store(void *p, vf a)
{
	memcpy(p, &a, sizeof a);
}
/* The first n, 0 <= n <= 16; zeros behind them. */
static inline vf vf_loadn(const float *p, int64_t n)
{
	vf r;
	EACH r.v[i] = i < n ? p[i] : 0;
	return r;
}
static inline void vf_storen(float *p, vf a, int64_t n)
{
	for (int i = 0; i < n; i++)
		p[i] = a.v[i];
}
static inline vf vf_add(vf a, vf b)
{
	EACH a.v[i] += b.v[i];
	return a;
}
static inline vf vf_sub(vf a, vf b)
{
	EACH a.v[i] -= b.v[i];
	return a;
}
static inline vf vf_mul(vf a, vf b)
{
	EACH a.v[i] *= b.v[i];
	return a;
}
static inline vf vf_div(vf a, vf b)
{
	EACH a.v[i] /= b.v[i];
	return a;
}
/* a b + c, rounded once. */
static inline vf vf_fma(vf a, vf b, vf c)
{
	EACH c.v[i] = fmaf(a.v[i], b.v[i], c.v[i]);
	return c;
}
/* b where one is NaN. */
static inline vf vf_max(vf a, vf b)
{
	EACH b.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
	return b;
}
static inline vf vf_min(vf a, vf b)
{
	EACH b.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
	return b;
}
/* a < b ? x : y, y where one is NaN. */
static inline vf vf_lt(vf a, vf b, vf x, vf y)
{
	EACH y.v[i] = a.v[i] < b.v[i] ? x.v[i] : y.v[i];
	return y;
}
/* f16 at p to f32; f32 to f16, nearest even; the first n. */
static inline vf vf_half(const void *p)
{
	uint16_t h[16];
	vf r;
	memcpy(h, p, 32);
	EACH r.v[i] = kern_half(h[i]);
	return r;
}
static inline void vf_half_storen(void *p, vf a, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		uint16_t h = kern_f16_put(a.v[i]);
		memcpy((char *)p + 2 * i, &h, 2);
	}
}
/* Halves of the sums, four times: i with i + 8, + 4, + 2, + 1. */
static inline float vf_sum(vf a)
{
	for (int h = 8; h; h /= 2)
		for (int i = 0; i < h; i++)
			a.v[i] += a.v[i + h];
	return a.v[0];
}
static inline float vf_hmax(vf a)
{
	for (int h = 8; h; h /= 2)
		for (int i = 0; i < h; i++)
			a.v[i] = a.v[i] > a.v[i + h] ? a.v[i] : a.v[i + h];
	return a.v[0];
}
static inline vi vi_cast(vf a)
{
	vi r;
	memcpy(&r, &a, sizeof r);
	return r;
}
static inline vf vf_cast(vi a)
{
	vf r;
	memcpy(&r, &a, sizeof r);
	return r;
}
static inline vf vf_of(vi a)
{
	vf r;
	EACH r.v[i] = (float)a.v[i];
	return r;
}
/* Nearest, ties to even. */
static inline vi vi_of(vf a)
{
	vi r;
	EACH r.v[i] = fabsf(a.v[i]) < 0x1p31f ? (int32_t)rintf(a.v[i]) : INT32_MIN;
	return r;
}
static inline vi vi_set1(int32_t x)
{
	vi r;
	EACH r.v[i] = x;
	return r;
}
static inline vi vi_load(const void *p)
{
	vi r;
	memcpy(&r, p, sizeof r);
	return r;
}
static inline void vi_store(void *p, vi a)
{
	memcpy(p, &a, sizeof a);
}
static inline vi vi_add(vi a, vi b)
{
	EACH a.u[i] += b.u[i];
	return a;
}
static inline vi vi_sub(vi a, vi b)
{
	EACH a.u[i] -= b.u[i];
	return a;
}
static inline vi vi_mul(vi a, vi b)
{
	EACH a.u[i] *= b.u[i];
	return a;
}
static inline vi vi_and(vi a, vi b)
{
	EACH a.v[i] &= b.v[i];
	return a;
}
static inline vi vi_or(vi a, vi b)
{
	EACH a.v[i] |= b.v[i];
	return a;
}
static inline vi vi_xor(vi a, vi b)
{
	EACH a.v[i] ^= b.v[i];
	return a;
}
static inline vi vi_max(vi a, vi b)
{
	EACH a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
	return a;
}
static inline vi vi_shl(vi a, int n)
{
	EACH a.u[i] <<= n;
	return a;
}
static inline vi vi_shr(vi a, int n)
{
	EACH a.u[i] >>= n;
	return a;
}
static inline vi vi_sar(vi a, int n)
{
	EACH a.v[i] >>= n;
	return a;
}
static inline int32_t vi_sum(vi a)
{
	uint32_t s = 0;
	EACH s += a.u[i];
	return (int32_t)s;
}
static inline int32_t vi_hmax(vi a)
{
	int32_t m = a.v[0];
	EACH m = a.v[i] > m ? a.v[i] : m;
	return m;
}
/* The low byte of each. */
static inline void vi_store_bytes(void *p, vi a)
{
	EACH((uint8_t *)p)[i] = (uint8_t)a.v[i];
}
/* t[b & 15] for each byte b < 16. */
static inline vi vi_lut(const int8_t t[16], vi a)
{
	for (int i = 0; i < 64; i++)
		a.s[i] = t[a.b[i] & 15];
	return a;
}
/* Integer i plus the products of bytes 4i .. 4i + 3, unsigned with signed. */
static inline vi vi_dot(vi acc, vi u, vi s)
{
	EACH for (int j = 4 * i; j < 4 * i + 4; j++)
		acc.v[i] += u.b[j] * s.s[j];
	return acc;
}
/* The same where every u is below 128. */
#define vi_dot7 vi_dot
/* The 4 bytes at p in each. */
static inline vi vi_bcast(const void *p)
{
	int32_t x;
	memcpy(&x, p, 4);
	return vi_set1(x);
}
/* f16 in the low half of each. */
static inline vf vf_half_lo(vi a)
{
	vf r;
	EACH r.v[i] = kern_half((uint16_t)a.v[i]);
	return r;
}
/* 16 rows `stride` apart: 4 bytes each; 16 bytes each, as four vectors (t[j] has bytes 4j .. 4j + 3 of all rows). */
static inline vi vi_rows4(const uint8_t *p, size_t stride)
{
	vi r;
	EACH memcpy(&r.v[i], p + (size_t)i * stride, 4);
	return r;
}
static inline void vi_rows16(vi t[4], const uint8_t *p, size_t stride)
{
	for (int j = 0; j < 4; j++)
		t[j] = vi_rows4(p + 4 * j, stride);
}
/* Pairs apart and together again: even and odd elements of 32 floats at p. */
static inline void vf_load_pairs(vf *even, vf *odd, const float *p)
{
	EACH even->v[i] = p[2 * i], odd->v[i] = p[2 * i + 1];
}
static inline void vf_store_pairs(float *p, vf even, vf odd)
{
	EACH p[2 * i] = even.v[i], p[2 * i + 1] = odd.v[i];
}
static inline void vec_prefetch(const void *p)
{
	(void)p;
}

#undef EACH
#endif
