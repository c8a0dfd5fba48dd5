/* kern_vec_avx512: the words of kern_vec_scalar.h in AVX-512 (F, BW, DQ, VL, VNNI). */
#ifndef KERN_VEC_AVX512_H
#define KERN_VEC_AVX512_H

#include "kern/kern_impl.h"
#include <immintrin.h>

#define VEC_NAME avx512
#define VEC_COLS 6
#define VEC_COLS_F32 12
#define VEC_WIDE 0
#define VEC_NEAR 4
#define VEC_PANELS 2
#define VEC_DOT_ROWS 4
#define VEC_DOT_COLS 6

typedef __m512 vf;
typedef __m512i vi;
typedef uint32_t v16u __attribute__((vector_size(64)));
typedef int32_t v16s __attribute__((vector_size(64)));
#define FN static inline __attribute__((always_inline))

FN __mmask16 first_of(int64_t n)
{
	return (__mmask16)((1u << n) - 1);
}
FN vf vf_set1(float x) { return _mm512_set1_ps(x); }
FN vf vf_load(const void *p) { return _mm512_loadu_ps(p); }
FN void vf_store(void *p, vf a) { _mm512_storeu_ps(p, a); }
FN vf vf_loadn(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(first_of(n), p); }
FN void vf_storen(float *p, vf a, int64_t n) { _mm512_mask_storeu_ps(p, first_of(n), a); }
FN vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
FN vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
FN vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
FN vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
FN vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
FN vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
FN vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
FN vf vf_lt(vf a, vf b, vf x, vf y)
{
	return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
FN vf vf_half(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
FN void vf_half_storen(void *p, vf a, int64_t n)
{
	_mm256_mask_storeu_epi16(p, first_of(n), _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
FN float vf_sum(vf a)
{
	__m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
	__m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
	c = _mm_add_ps(c, _mm_movehl_ps(c, c));
	return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
FN void vf_sums(float out[4], const vf a[4])
{
	/* halves, quarters, eighths of four at once */
	vf ab = _mm512_add_ps(_mm512_shuffle_f32x4(a[0], a[1], 0x44), _mm512_shuffle_f32x4(a[0], a[1], 0xee));
	vf cd = _mm512_add_ps(_mm512_shuffle_f32x4(a[2], a[3], 0x44), _mm512_shuffle_f32x4(a[2], a[3], 0xee));
	vf s = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));

	s = _mm512_add_ps(s, _mm512_permute_ps(s, 0x4e));
	s = _mm512_add_ps(s, _mm512_permute_ps(s, 0xb1));
	s = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), s);
	_mm_storeu_ps(out, _mm512_castps512_ps128(s));
}
#define vf_sums vf_sums
FN float vf_hmax(vf a)
{
	__m256 b = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
	__m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
	c = _mm_max_ps(c, _mm_movehl_ps(c, c));
	return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
FN vi vi_cast(vf a) { return _mm512_castps_si512(a); }
FN vf vf_cast(vi a) { return _mm512_castsi512_ps(a); }
FN vf vf_of(vi a) { return _mm512_cvtepi32_ps(a); }
FN vi vi_of(vf a) { return _mm512_cvtps_epi32(a); }
FN vi vi_set1(int32_t x) { return _mm512_set1_epi32(x); }
FN vi vi_load(const void *p) { return _mm512_loadu_si512(p); }
FN void vi_store(void *p, vi a) { _mm512_storeu_si512(p, a); }
FN vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
FN vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
FN vi vi_mul(vi a, vi b) { return _mm512_mullo_epi32(a, b); }
FN vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
FN vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
FN vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
FN vi vi_max(vi a, vi b) { return _mm512_max_epi32(a, b); }
FN vi vi_shl(vi a, int n) { return (vi)((v16u)a << n); }
FN vi vi_shr(vi a, int n) { return (vi)((v16u)a >> n); }
FN vi vi_sar(vi a, int n) { return (vi)((v16s)a >> n); }
/* Not the reduce intrinsic: its last sum is a signed one of C, and what NaN has become may overflow it. */
FN int32_t vi_sum(vi a)
{
	__m256i b = _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti32x8_epi32(a, 1));
	__m128i c = _mm_add_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));

	c = _mm_add_epi32(c, _mm_shuffle_epi32(c, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(c, _mm_shuffle_epi32(c, 0xb1)));
}
FN int32_t vi_hmax(vi a) { return _mm512_reduce_max_epi32(a); }
FN void vi_store_bytes(void *p, vi a) { _mm_storeu_si128(p, _mm512_cvtepi32_epi8(a)); }
FN vi vi_lut(const int8_t t[16], vi a)
{
	return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const void *)t)), a);
}
FN vi vi_dot(vi acc, vi u, vi s) { return _mm512_dpbusd_epi32(acc, u, s); }
#define vi_dot7 vi_dot
FN vi vi_bcast(const void *p)
{
	int32_t x;

	memcpy(&x, p, 4);
	return _mm512_set1_epi32(x);
}
#ifdef __AVX512BF16__
FN vf vf_dot_bf16(vf acc, vi a, vi b) { return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b); }
#define vf_dot_bf16 vf_dot_bf16
#endif
FN vf vf_half_lo(vi a) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(a)); }
FN int32_t word(const uint8_t *p)
{
	int32_t x;

	memcpy(&x, p, 4);
	return x;
}
FN __m128i rows4x4(const uint8_t *p, size_t stride)
{
	__m128i r = _mm_cvtsi32_si128(word(p));

	r = _mm_insert_epi32(r, word(p + stride), 1);
	r = _mm_insert_epi32(r, word(p + 2 * stride), 2);
	return _mm_insert_epi32(r, word(p + 3 * stride), 3);
}
FN vi vi_rows4(const uint8_t *p, size_t stride)
{
	__m256i a = _mm256_set_m128i(rows4x4(p + 4 * stride, stride), rows4x4(p, stride));
	__m256i b = _mm256_set_m128i(rows4x4(p + 12 * stride, stride), rows4x4(p + 8 * stride, stride));

	return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}
/* 16 bytes of rows i, i + 4, i + 8, i + 12, then 4 x 4 words turned within each quarter. Halves put together from memory are
 * cheaper than four inserts into a whole. */
FN __m256i rows16x2(const uint8_t *p, size_t stride)
{
	return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const void *)p)),
				       _mm_loadu_si128((const void *)(p + 4 * stride)), 1);
}
FN vi rows16x4(const uint8_t *p, size_t stride)
{
	return _mm512_inserti64x4(_mm512_castsi256_si512(rows16x2(p, stride)), rows16x2(p + 8 * stride, stride), 1);
}
FN void vi_rows16(vi t[4], const uint8_t *p, size_t stride)
{
	vi a = rows16x4(p, stride), b = rows16x4(p + stride, stride);
	vi c = rows16x4(p + 2 * stride, stride), d = rows16x4(p + 3 * stride, stride);
	vi ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d);
	vi ef = _mm512_unpackhi_epi32(a, b), gh = _mm512_unpackhi_epi32(c, d);

	t[0] = _mm512_unpacklo_epi64(ab, cd);
	t[1] = _mm512_unpackhi_epi64(ab, cd);
	t[2] = _mm512_unpacklo_epi64(ef, gh);
	t[3] = _mm512_unpackhi_epi64(ef, gh);
}
FN void vf_load_pairs(vf *even, vf *odd, const float *p)
{
	vi i = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
	vf a = vf_load(p), b = vf_load(p + 16);

	*even = _mm512_permutex2var_ps(a, i, b);
	*odd = _mm512_permutex2var_ps(a, vi_add(i, vi_set1(1)), b);
}
FN void vf_store_pairs(float *p, vf even, vf odd)
{
	vi i = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);

	vf_store(p, _mm512_permutex2var_ps(even, i, odd));
	vf_store(p + 16, _mm512_permutex2var_ps(even, vi_add(i, vi_set1(8)), odd));
}
/* Into L2: a strip is larger than L1, where it would push out what is in work. */
FN void vec_prefetch(const void *p) { _mm_prefetch(p, _MM_HINT_T1); }

#undef FN
#endif
