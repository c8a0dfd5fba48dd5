/* The scanner with AVX2. */
#include "config.h"
#include "json/json_impl.h"

#ifdef __x86_64__
#include <immintrin.h>

#define SCAN(name) name##_avx2
#define SCAN_NAME "avx2"
#define SCAN_TARGET __attribute__((target("avx2,bmi")))
#define SCAN_WIDTH 32
#define SCAN_STOPS(p, wide) stops(p, wide)
#define SCAN_QUOTES(p) quotes(p)
#define SCAN_BRACKETS(p) brackets(p)
#define SCAN_DIGITS(p) digit_mask(p)

SCAN_TARGET static inline __m256i load(const char *p)
{
	return _mm256_loadu_si256((const __m256i_u *)p);
}
SCAN_TARGET static inline __m256i same(__m256i v, char c)
{
	return _mm256_cmpeq_epi8(v, _mm256_set1_epi8(c));
}
SCAN_TARGET static inline uint32_t mask(__m256i v)
{
	return (uint32_t)_mm256_movemask_epi8(v);
}
SCAN_TARGET static inline uint32_t stops(const char *p, uint32_t *wide)
{
	__m256i v = load(p), low = _mm256_set1_epi8(0x1f);
	__m256i ctl = _mm256_cmpeq_epi8(_mm256_min_epu8(v, low), v); /* v <= 0x1f, unsigned */

	*wide |= mask(v);
	return mask(_mm256_or_si256(ctl, _mm256_or_si256(same(v, '"'), same(v, '\\'))));
}
SCAN_TARGET static inline uint32_t quotes(const char *p)
{
	__m256i v = load(p);

	return mask(_mm256_or_si256(same(v, '"'), same(v, '\\')));
}
SCAN_TARGET static inline uint32_t brackets(const char *p)
{
	__m256i v = load(p), low = _mm256_or_si256(v, _mm256_set1_epi8(0x20)); /* [ ] become { } */

	return mask(_mm256_or_si256(same(v, '"'), _mm256_or_si256(same(low, '{'), same(low, '}'))));
}
SCAN_TARGET static inline uint32_t digit_mask(const char *p)
{
	__m256i v = _mm256_sub_epi8(load(p), _mm256_set1_epi8('0'));

	return mask(_mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(9)), v));
}

#include "json/scan_body.h"
#endif
