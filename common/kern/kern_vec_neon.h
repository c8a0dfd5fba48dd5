/*
 * kern_vec_neon: the words of kern_vec_scalar.h in Advanced SIMD with dot products: 16 lanes are four registers. Compiled
 * for processors with FEAT_I8MM, it is the set i8mm.
 */
#ifndef KERN_VEC_NEON_H
#define KERN_VEC_NEON_H

#include "kern/kern_impl.h"
#include <arm_neon.h>

#ifdef __ARM_FEATURE_MATMUL_INT8
#define VEC_NAME i8mm
#define VEC_WIDE 0
#define VEC_PAIR 2
#else
#define VEC_NAME neon
#define VEC_WIDE 1
#endif
#define VEC_COLS 4
#define VEC_COLS_F32 6
#define VEC_NEAR 2
#define VEC_PANELS 1
#define VEC_DOT_ROWS 2
#define VEC_DOT_COLS 2

typedef struct {
	float32x4_t v[4];
} vf;
typedef struct {
	int32x4_t v[4];
} vi;
#define FN static inline __attribute__((always_inline))
#define EACH _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++)
#define U(x) vreinterpretq_u32_s32(x)
#define S(x) vreinterpretq_s32_u32(x)
#define B(x) vreinterpretq_s8_s32(x)
/* A word of two operands, or one with a number. */
#define WORD(name, type, op)             \
	FN type name(type a, type b)     \
	{                                \
		EACH a.v[i] = op(a.v[i], b.v[i]); \
		return a;                \
	}
WORD(vf_add, vf, vaddq_f32)
WORD(vf_sub, vf, vsubq_f32)
WORD(vf_mul, vf, vmulq_f32)
WORD(vf_div, vf, vdivq_f32)
WORD(vi_add, vi, vaddq_s32)
WORD(vi_sub, vi, vsubq_s32)
WORD(vi_mul, vi, vmulq_s32)
WORD(vi_and, vi, vandq_s32)
WORD(vi_or, vi, vorrq_s32)
WORD(vi_xor, vi, veorq_s32)
WORD(vi_max, vi, vmaxq_s32)
#undef WORD

FN vf vf_set1(float x)
{
	vf r;
	EACH r.v[i] = vdupq_n_f32(x);
	return r;
}
/* By bytes: nothing is aligned. Not memcpy(), which gcc 12 takes through the stack. */
FN vf vf_load(const void *p)
{
	vf r;
	EACH r.v[i] = vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)p + 16 * i));
	return r;
}
FN void vf_store(void *p, vf a)
{
	EACH vst1q_u8((uint8_t *)p + 16 * i, vreinterpretq_u8_f32(a.v[i]));
}
FN vf vf_loadn(const float *p, int64_t n)
{
	float x[16] = { 0 };
	memcpy(x, p, (size_t)n * 4);
	return vf_load(x);
}
FN void vf_storen(float *p, vf a, int64_t n)
{
	memcpy(p, &a, (size_t)n * 4);
}
FN vf vf_fma(vf a, vf b, vf c)
{
	EACH c.v[i] = vfmaq_f32(c.v[i], a.v[i], b.v[i]);
	return c;
}
/* Not vmaxq: that keeps NaN, and the other sets do not. */
FN float32x4_t max4(float32x4_t a, float32x4_t b)
{
	return vbslq_f32(vcgtq_f32(a, b), a, b);
}
FN vf vf_max(vf a, vf b)
{
	EACH a.v[i] = max4(a.v[i], b.v[i]);
	return a;
}
FN vf vf_lt(vf a, vf b, vf x, vf y)
{
	EACH a.v[i] = vbslq_f32(vcltq_f32(a.v[i], b.v[i]), x.v[i], y.v[i]);
	return a;
}
FN vf vf_min(vf a, vf b)
{
	return vf_lt(a, b, a, b);
}
FN float32x4_t half4(uint16x4_t h)
{
	return vcvt_f32_f16(vreinterpret_f16_u16(h));
}
FN vf vf_half(const void *p)
{
	uint16_t h[16];
	vf r;
	memcpy(h, p, sizeof h);
	EACH r.v[i] = half4(vld1_u16(h + 4 * i));
	return r;
}
FN void vf_half_storen(void *p, vf a, int64_t n)
{
	uint16_t h[16];
	EACH vst1_u16(h + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.v[i])));
	memcpy(p, h, (size_t)n * 2);
}
FN float vf_sum(vf a)
{
	float32x4_t s = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
	float32x2_t t = vadd_f32(vget_low_f32(s), vget_high_f32(s));
	return vget_lane_f32(t, 0) + vget_lane_f32(t, 1);
}
FN float vf_hmax(vf a)
{
	float s[4];
	vst1q_f32(s, max4(max4(a.v[0], a.v[2]), max4(a.v[1], a.v[3])));
	s[0] = s[0] > s[2] ? s[0] : s[2];
	s[1] = s[1] > s[3] ? s[1] : s[3];
	return s[0] > s[1] ? s[0] : s[1];
}
FN vi vi_cast(vf a)
{
	vi r;
	EACH r.v[i] = vreinterpretq_s32_f32(a.v[i]);
	return r;
}
FN vf vf_cast(vi a)
{
	vf r;
	EACH r.v[i] = vreinterpretq_f32_s32(a.v[i]);
	return r;
}
FN vf vf_of(vi a)
{
	vf r;
	EACH r.v[i] = vcvtq_f32_s32(a.v[i]);
	return r;
}
FN vi vi_of(vf a)
{
	vi r;
	EACH r.v[i] = vcvtnq_s32_f32(a.v[i]);
	return r;
}
FN vi vi_set1(int32_t x)
{
	vi r;
	EACH r.v[i] = vdupq_n_s32(x);
	return r;
}
FN vi vi_load(const void *p)
{
	vi r;
	EACH r.v[i] = vreinterpretq_s32_u8(vld1q_u8((const uint8_t *)p + 16 * i));
	return r;
}
FN void vi_store(void *p, vi a)
{
	EACH vst1q_u8((uint8_t *)p + 16 * i, vreinterpretq_u8_s32(a.v[i]));
}
FN vi vi_shl(vi a, int n)
{
	EACH a.v[i] = vshlq_s32(a.v[i], vdupq_n_s32(n));
	return a;
}
FN vi vi_shr(vi a, int n)
{
	EACH a.v[i] = S(vshlq_u32(U(a.v[i]), vdupq_n_s32(-n)));
	return a;
}
FN vi vi_sar(vi a, int n)
{
	EACH a.v[i] = vshlq_s32(a.v[i], vdupq_n_s32(-n));
	return a;
}
FN int32_t vi_sum(vi a)
{
	return vaddvq_s32(vaddq_s32(vaddq_s32(a.v[0], a.v[1]), vaddq_s32(a.v[2], a.v[3])));
}
FN int32_t vi_hmax(vi a)
{
	return vmaxvq_s32(vmaxq_s32(vmaxq_s32(a.v[0], a.v[1]), vmaxq_s32(a.v[2], a.v[3])));
}
FN void vi_store_bytes(void *p, vi a)
{
	int16x8_t l = vcombine_s16(vmovn_s32(a.v[0]), vmovn_s32(a.v[1]));
	int16x8_t h = vcombine_s16(vmovn_s32(a.v[2]), vmovn_s32(a.v[3]));
	vst1q_s8(p, vcombine_s8(vmovn_s16(l), vmovn_s16(h)));
}
FN vi vi_lut(const int8_t t[16], vi a)
{
	int8x16_t u = vld1q_s8(t);
	EACH a.v[i] = vreinterpretq_s32_s8(vqtbl1q_s8(u, vreinterpretq_u8_s32(a.v[i])));
	return a;
}
#ifdef __ARM_FEATURE_MATMUL_INT8
FN vi vi_dot(vi acc, vi u, vi s)
{
	EACH acc.v[i] = vusdotq_s32(acc.v[i], vreinterpretq_u8_s32(u.v[i]), B(s.v[i]));
	return acc;
}
#define vi_dot7 vi_dot
/* A word of one vector beside that of the other: two lines become 8 bytes of a row twice in each register, or back. */
FN void vi_zip(vi v[2])
{
	EACH {
		int32x4_t a = v[0].v[i], b = v[1].v[i];
		v[0].v[i] = vzip1q_s32(a, b);
		v[1].v[i] = vzip2q_s32(a, b);
	}
}
FN void vi_unzip(vi v[2])
{
	EACH {
		int32x4_t a = v[0].v[i], b = v[1].v[i];
		v[0].v[i] = vuzp1q_s32(a, b);
		v[1].v[i] = vuzp2q_s32(a, b);
	}
}
/* 8 bytes of a column and 8 of that `ld` bytes on. */
FN vi vi_acts(const void *p, size_t ld)
{
	int8x16_t x = vcombine_s8(vld1_s8(p), vld1_s8((const int8_t *)p + ld));
	vi r;
	EACH r.v[i] = vreinterpretq_s32_s8(x);
	return r;
}
/* In each register, 2 rows by 2 columns over 8 bytes. */
FN vi vi_tile(vi acc, vi u, vi s, int wide)
{
	(void)wide;
	EACH acc.v[i] = vusmmlaq_s32(acc.v[i], vreinterpretq_u8_s32(u.v[i]), B(s.v[i]));
	return acc;
}
#else
/* There is only signed by signed: below 128 that is the same. */
FN vi vi_dot7(vi acc, vi u, vi s)
{
	EACH acc.v[i] = vdotq_s32(acc.v[i], B(u.v[i]), B(s.v[i]));
	return acc;
}
/* u = (u - 128) + 128 */
FN vi vi_dot(vi acc, vi u, vi s)
{
	int8x16_t one = vdupq_n_s8(1);
	EACH {
		int32x4_t x = veorq_s32(u.v[i], vdupq_n_s32((int32_t)0x80808080));
		int32x4_t sum = vdotq_s32(vdupq_n_s32(0), one, B(s.v[i]));
		acc.v[i] = vaddq_s32(vdotq_s32(acc.v[i], B(x), B(s.v[i])), vshlq_n_s32(sum, 7));
	}
	return acc;
}
#endif
FN vi vi_bcast(const void *p)
{
	int32_t x;
	memcpy(&x, p, 4);
	return vi_set1(x);
}
FN vf vf_half_lo(vi a)
{
	vf r;
	EACH r.v[i] = half4(vmovn_u32(U(a.v[i])));
	return r;
}
FN vi vi_rows4(const uint8_t *p, size_t stride)
{
	int32_t x[16];
	for (size_t i = 0; i < 16; i++)
		memcpy(x + i, p + i * stride, 4);
	return vi_load(x);
}
FN void vi_rows16(vi t[4], const uint8_t *p, size_t stride)
{
	EACH {
		int32x4_t r[4];
		for (size_t j = 0; j < 4; j++)
			r[j] = vreinterpretq_s32_u8(vld1q_u8(p + (size_t)(4 * i) * stride + j * stride));
		int64x2_t ac = vreinterpretq_s64_s32(vzip1q_s32(r[0], r[1]));
		int64x2_t bd = vreinterpretq_s64_s32(vzip1q_s32(r[2], r[3]));
		int64x2_t eg = vreinterpretq_s64_s32(vzip2q_s32(r[0], r[1]));
		int64x2_t fh = vreinterpretq_s64_s32(vzip2q_s32(r[2], r[3]));
		t[0].v[i] = vreinterpretq_s32_s64(vzip1q_s64(ac, bd));
		t[1].v[i] = vreinterpretq_s32_s64(vzip2q_s64(ac, bd));
		t[2].v[i] = vreinterpretq_s32_s64(vzip1q_s64(eg, fh));
		t[3].v[i] = vreinterpretq_s32_s64(vzip2q_s64(eg, fh));
	}
}
FN void vf_load_pairs(vf *even, vf *odd, const float *p)
{
	EACH {
		float32x4x2_t x = vld2q_f32(p + 8 * i);
		even->v[i] = x.val[0];
		odd->v[i] = x.val[1];
	}
}
FN void vf_store_pairs(float *p, vf even, vf odd)
{
	EACH vst2q_f32(p + 8 * i, ((float32x4x2_t){ { even.v[i], odd.v[i] } }));
}
FN void vec_prefetch(const void *p)
{
	__builtin_prefetch(p, 0, 2);
}

#undef FN
#undef EACH
#undef U
#undef S
#undef B
#endif
