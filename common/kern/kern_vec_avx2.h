/* kern_vec_avx2: the words of kern_vec_scalar.h in AVX2 with FMA and F16C: 16 lanes are two registers. */
#ifndef KERN_VEC_AVX2_H
#define KERN_VEC_AVX2_H

#include "kern/kern_impl.h"
#include <immintrin.h>

#define VEC_NAME avx2
#define VEC_COLS 4
#define VEC_COLS_F32 6
#define VEC_WIDE 1
#define VEC_NEAR 2
#define VEC_PANELS 1
#define VEC_DOT_ROWS 2
#define VEC_DOT_COLS 2

typedef struct {
	__m256 l, h;
} vf;
typedef struct {
	__m256i l, h;
} vi;
typedef uint32_t v8u __attribute__((vector_size(32)));
typedef int32_t v8s __attribute__((vector_size(32)));
#define FN static inline __attribute__((always_inline))

FN vf vf_set1(float x) { return (vf){ _mm256_set1_ps(x), _mm256_set1_ps(x) }; }
FN vf vf_load(const void *p)
{
	const float *q = p;

	return (vf){ _mm256_loadu_ps(q), _mm256_loadu_ps(q + 8) };
}
FN void vf_store(void *p, vf a)
{
	float *q = p;

	_mm256_storeu_ps(q, a.l);
	_mm256_storeu_ps(q + 8, a.h);
}
FN __m256i first_of(int64_t n)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FN vf vf_loadn(const float *p, int64_t n)
{
	return (vf){ _mm256_maskload_ps(p, first_of(n)), _mm256_maskload_ps(p + 8, first_of(n - 8)) };
}
FN void vf_storen(float *p, vf a, int64_t n)
{
	_mm256_maskstore_ps(p, first_of(n), a.l);
	_mm256_maskstore_ps(p + 8, first_of(n - 8), a.h);
}
FN vf vf_add(vf a, vf b) { return (vf){ _mm256_add_ps(a.l, b.l), _mm256_add_ps(a.h, b.h) }; }
FN vf vf_sub(vf a, vf b) { return (vf){ _mm256_sub_ps(a.l, b.l), _mm256_sub_ps(a.h, b.h) }; }
FN vf vf_mul(vf a, vf b) { return (vf){ _mm256_mul_ps(a.l, b.l), _mm256_mul_ps(a.h, b.h) }; }
FN vf vf_div(vf a, vf b) { return (vf){ _mm256_div_ps(a.l, b.l), _mm256_div_ps(a.h, b.h) }; }
FN vf vf_fma(vf a, vf b, vf c)
{
	return (vf){ _mm256_fmadd_ps(a.l, b.l, c.l), _mm256_fmadd_ps(a.h, b.h, c.h) };
}
FN vf vf_max(vf a, vf b) { return (vf){ _mm256_max_ps(a.l, b.l), _mm256_max_ps(a.h, b.h) }; }
FN vf vf_min(vf a, vf b) { return (vf){ _mm256_min_ps(a.l, b.l), _mm256_min_ps(a.h, b.h) }; }
FN vf vf_lt(vf a, vf b, vf x, vf y)
{
	return (vf){ _mm256_blendv_ps(y.l, x.l, _mm256_cmp_ps(a.l, b.l, _CMP_LT_OQ)),
		     _mm256_blendv_ps(y.h, x.h, _mm256_cmp_ps(a.h, b.h, _CMP_LT_OQ)) };
}
FN vf vf_half(const void *p)
{
	const __m128i *q = p;

	return (vf){ _mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1)) };
}
FN void vf_half_storen(void *p, vf a, int64_t n)
{
	__m128i h[2] = { _mm256_cvtps_ph(a.l, _MM_FROUND_TO_NEAREST_INT),
			 _mm256_cvtps_ph(a.h, _MM_FROUND_TO_NEAREST_INT) };

	memcpy(p, h, (size_t)n * 2);
}
FN float vf_sum(vf a)
{
	__m256 b = _mm256_add_ps(a.l, a.h);
	__m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));

	c = _mm_add_ps(c, _mm_movehl_ps(c, c));
	return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
FN float vf_hmax(vf a)
{
	__m256 b = _mm256_max_ps(a.l, a.h);
	__m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));

	c = _mm_max_ps(c, _mm_movehl_ps(c, c));
	return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
FN vi vi_cast(vf a) { return (vi){ _mm256_castps_si256(a.l), _mm256_castps_si256(a.h) }; }
FN vf vf_cast(vi a) { return (vf){ _mm256_castsi256_ps(a.l), _mm256_castsi256_ps(a.h) }; }
FN vf vf_of(vi a) { return (vf){ _mm256_cvtepi32_ps(a.l), _mm256_cvtepi32_ps(a.h) }; }
FN vi vi_of(vf a) { return (vi){ _mm256_cvtps_epi32(a.l), _mm256_cvtps_epi32(a.h) }; }
FN vi vi_set1(int32_t x) { return (vi){ _mm256_set1_epi32(x), _mm256_set1_epi32(x) }; }
FN vi vi_load(const void *p)
{
	const __m256i *q = p;

	return (vi){ _mm256_loadu_si256(q), _mm256_loadu_si256(q + 1) };
}
FN void vi_store(void *p, vi a)
{
	__m256i *q = p;

	_mm256_storeu_si256(q, a.l);
	_mm256_storeu_si256(q + 1, a.h);
}
FN vi vi_add(vi a, vi b) { return (vi){ _mm256_add_epi32(a.l, b.l), _mm256_add_epi32(a.h, b.h) }; }
FN vi vi_sub(vi a, vi b) { return (vi){ _mm256_sub_epi32(a.l, b.l), _mm256_sub_epi32(a.h, b.h) }; }
FN vi vi_mul(vi a, vi b) { return (vi){ _mm256_mullo_epi32(a.l, b.l), _mm256_mullo_epi32(a.h, b.h) }; }
FN vi vi_and(vi a, vi b) { return (vi){ _mm256_and_si256(a.l, b.l), _mm256_and_si256(a.h, b.h) }; }
FN vi vi_or(vi a, vi b) { return (vi){ _mm256_or_si256(a.l, b.l), _mm256_or_si256(a.h, b.h) }; }
FN vi vi_xor(vi a, vi b) { return (vi){ _mm256_xor_si256(a.l, b.l), _mm256_xor_si256(a.h, b.h) }; }
FN vi vi_max(vi a, vi b) { return (vi){ _mm256_max_epi32(a.l, b.l), _mm256_max_epi32(a.h, b.h) }; }
FN vi vi_shl(vi a, int n) { return (vi){ (__m256i)((v8u)a.l << n), (__m256i)((v8u)a.h << n) }; }
FN vi vi_shr(vi a, int n) { return (vi){ (__m256i)((v8u)a.l >> n), (__m256i)((v8u)a.h >> n) }; }
FN vi vi_sar(vi a, int n) { return (vi){ (__m256i)((v8s)a.l >> n), (__m256i)((v8s)a.h >> n) }; }
FN int32_t vi_sum(vi a)
{
	__m256i b = _mm256_add_epi32(a.l, a.h);
	__m128i c = _mm_add_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));

	c = _mm_add_epi32(c, _mm_shuffle_epi32(c, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(c, _mm_shuffle_epi32(c, 0xb1)));
}
FN int32_t vi_hmax(vi a)
{
	__m256i b = _mm256_max_epi32(a.l, a.h);
	__m128i c = _mm_max_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));

	c = _mm_max_epi32(c, _mm_shuffle_epi32(c, 0x4e));
	return _mm_cvtsi128_si32(_mm_max_epi32(c, _mm_shuffle_epi32(c, 0xb1)));
}
FN void vi_store_bytes(void *p, vi a)
{
	__m256i low = _mm256_set1_epi32(255);
	__m256i b = _mm256_packus_epi32(_mm256_and_si256(a.l, low), _mm256_and_si256(a.h, low));

	b = _mm256_permute4x64_epi64(b, 0xd8);
	_mm_storeu_si128(p, _mm_packus_epi16(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1)));
}
FN vi vi_lut(const int8_t t[16], vi a)
{
	__m256i u = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)t));

	return (vi){ _mm256_shuffle_epi8(u, a.l), _mm256_shuffle_epi8(u, a.h) };
}
/*
 * vpmaddubsw adds pairs in 16 bits with saturation: two products of 255 and 127 do not fit. u = (u & 127) + (u & 128)
 * does: 2 * 127 * 127 and 2 * 128 * 127 are below 2^15.
 */
FN __m256i dot8(__m256i acc, __m256i u, __m256i s)
{
	__m256i one = _mm256_set1_epi16(1), low = _mm256_set1_epi8(127);
	__m256i a = _mm256_maddubs_epi16(_mm256_and_si256(u, low), s);
	__m256i b = _mm256_maddubs_epi16(_mm256_andnot_si256(low, u), s);

	return _mm256_add_epi32(acc, _mm256_add_epi32(_mm256_madd_epi16(a, one), _mm256_madd_epi16(b, one)));
}
FN vi vi_dot(vi acc, vi u, vi s) { return (vi){ dot8(acc.l, u.l, s.l), dot8(acc.h, u.h, s.h) }; }
/* The same where every u is below 128. */
FN __m256i dot7(__m256i acc, __m256i u, __m256i s)
{
	return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)));
}
FN vi vi_dot7(vi acc, vi u, vi s) { return (vi){ dot7(acc.l, u.l, s.l), dot7(acc.h, u.h, s.h) }; }
FN vi vi_bcast(const void *p)
{
	int32_t x;

	memcpy(&x, p, 4);
	return vi_set1(x);
}
FN __m256 half_lo(__m256i a)
{
	__m256i b = _mm256_packus_epi32(_mm256_and_si256(a, _mm256_set1_epi32(0xffff)), _mm256_setzero_si256());

	return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(b, 0xd8)));
}
FN vf vf_half_lo(vi a) { return (vf){ half_lo(a.l), half_lo(a.h) }; }
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
	return (vi){ _mm256_set_m128i(rows4x4(p + 4 * stride, stride), rows4x4(p, stride)),
		     _mm256_set_m128i(rows4x4(p + 12 * stride, stride), rows4x4(p + 8 * stride, stride)) };
}
/* 16 bytes of rows i and i + 4 for i = 0..3, then 4 x 4 words turned within each half. */
FN void rows16x8(__m256i t[4], const uint8_t *p, size_t stride)
{
	__m256i r[4];

	for (size_t i = 0; i < 4; i++)
		r[i] = _mm256_set_m128i(_mm_loadu_si128((const void *)(p + (i + 4) * stride)),
					_mm_loadu_si128((const void *)(p + i * stride)));
	__m256i ab = _mm256_unpacklo_epi32(r[0], r[1]), cd = _mm256_unpacklo_epi32(r[2], r[3]);
	__m256i ef = _mm256_unpackhi_epi32(r[0], r[1]), gh = _mm256_unpackhi_epi32(r[2], r[3]);
	t[0] = _mm256_unpacklo_epi64(ab, cd);
	t[1] = _mm256_unpackhi_epi64(ab, cd);
	t[2] = _mm256_unpacklo_epi64(ef, gh);
	t[3] = _mm256_unpackhi_epi64(ef, gh);
}
FN void vi_rows16(vi t[4], const uint8_t *p, size_t stride)
{
	__m256i l[4], h[4];

	rows16x8(l, p, stride);
	rows16x8(h, p + 8 * stride, stride);
	for (int j = 0; j < 4; j++)
		t[j] = (vi){ l[j], h[j] };
}
FN void vf_load_pairs(vf *even, vf *odd, const float *p)
{
	for (int i = 0; i < 2; i++) {
		__m256 a = _mm256_loadu_ps(p + 16 * i), b = _mm256_loadu_ps(p + 16 * i + 8);
		__m256d e = (__m256d)_mm256_shuffle_ps(a, b, 0x88), o = (__m256d)_mm256_shuffle_ps(a, b, 0xdd);

		e = _mm256_permute4x64_pd(e, 0xd8);
		o = _mm256_permute4x64_pd(o, 0xd8);
		*(i ? &even->h : &even->l) = (__m256)e;
		*(i ? &odd->h : &odd->l) = (__m256)o;
	}
}
FN void vf_store_pairs(float *p, vf even, vf odd)
{
	for (int i = 0; i < 2; i++) {
		__m256 e = i ? even.h : even.l, o = i ? odd.h : odd.l;
		__m256 a = _mm256_unpacklo_ps(e, o), b = _mm256_unpackhi_ps(e, o);

		_mm256_storeu_ps(p + 16 * i, _mm256_permute2f128_ps(a, b, 0x20));
		_mm256_storeu_ps(p + 16 * i + 8, _mm256_permute2f128_ps(a, b, 0x31));
	}
}
FN void vec_prefetch(const void *p) { _mm_prefetch(p, _MM_HINT_T1); }

#undef FN
#endif
