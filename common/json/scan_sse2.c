/* The scanner with SSE2, which every x86-64 has. */
#include "config.h"
#include "json/json_impl.h"

#ifdef __x86_64__
#include <emmintrin.h>

#define SCAN(name) name##_sse2
#define SCAN_NAME "sse2"
#define SCAN_TARGET
#define SCAN_WIDTH 16
#define SCAN_STOPS(p, wide) stops(p, wide)
#define SCAN_QUOTES(p) quotes(p)
#define SCAN_BRACKETS(p) brackets(p)
#define SCAN_DIGITS(p) digit_mask(p)

static inline __m128i load(const char *p)
{
	return _mm_loadu_si128((const __m128i_u *)p);
}
static inline __m128i same(__m128i v, char c)
{
	return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}
static inline uint32_t mask(__m128i v)
{
	return (uint32_t)_mm_movemask_epi8(v);
}
static inline uint32_t stops(const char *p, uint32_t *wide)
{
	__m128i v = load(p), low = _mm_set1_epi8(0x1f);
	__m128i ctl = _mm_cmpeq_epi8(_mm_min_epu8(v, low), v); /* v <= 0x1f, unsigned */

	*wide |= mask(v);
	return mask(_mm_or_si128(ctl, _mm_or_si128(same(v, '"'), same(v, '\\'))));
}
static inline uint32_t quotes(const char *p)
{
	__m128i v = load(p);

	return mask(_mm_or_si128(same(v, '"'), same(v, '\\')));
}
static inline uint32_t brackets(const char *p)
{
	__m128i v = load(p), low = _mm_or_si128(v, _mm_set1_epi8(0x20)); /* [ ] become { } */

	return mask(_mm_or_si128(same(v, '"'), _mm_or_si128(same(low, '{'), same(low, '}'))));
}
static inline uint32_t digit_mask(const char *p)
{
	__m128i v = _mm_sub_epi8(load(p), _mm_set1_epi8('0'));

	return mask(_mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(9)), v));
}

#include "json/scan_body.h"
#endif
