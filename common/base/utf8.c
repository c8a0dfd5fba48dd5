/*
 * utf8: strict UTF-8. Validation classifies pairs of neighbouring bytes by three table look-ups of
 * 16 entries, 32 bytes at a time (Keiser, Lemire: Validating UTF-8 in less than one instruction per
 * byte, 2021), with a scalar twin.
 */
#include "config.h"
#include "base/utf8.h"
#include "base/utf8_impl.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include "base/banned.h"

uint32_t utf8_get(const char *p, const char *end, unsigned *len)
{
	const unsigned char *s = (const unsigned char *)p;
	ptrdiff_t n = end - p;
	unsigned c = s[0], lo = 0x80, hi = 0xbf, want;
	uint32_t cp;

	*len = 1;
	if (c < 0x80)
		return c;
	if (c < 0xc2 || c > 0xf4)
		return UTF8_BAD;
	want = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	/* the second byte rules out overlong forms, surrogates, over U+10FFFF: RFC 3629, section 4 */
	if (c == 0xe0)
		lo = 0xa0;
	else if (c == 0xed)
		hi = 0x9f;
	else if (c == 0xf0)
		lo = 0x90;
	else if (c == 0xf4)
		hi = 0x8f;
	cp = c & (0x7fu >> want);
	for (unsigned i = 1; i < want; i++) {
		if (i >= n || s[i] < lo || s[i] > hi)
			return UTF8_BAD;
		cp = cp << 6 | (s[i] & 0x3fu);
		*len = i + 1;
		lo = 0x80;
		hi = 0xbf;
	}
	return cp;
}

unsigned utf8_put(char out[4], uint32_t cp)
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xc0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xe0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

size_t utf8_valid_scalar(struct str s)
{
	const char *p = s.p, *end = s.p + s.n;
	unsigned len;
	uint64_t w;

	while (p < end) {
		while (end - p >= 8) {
			memcpy(&w, p, 8);
			if (w & 0x8080808080808080u)
				break;
			p += 8;
		}
		if (p < end && utf8_get(p, end, &len) == UTF8_BAD)
			break;
		if (p < end)
			p += len;
	}
	return (size_t)(p - s.p);
}

#if defined(__x86_64__)
/* What a pair of bytes may be guilty of; a pair is bad when all three look-ups agree on a bit. */
#define TOO_SHORT 1   /* a lead byte, then no continuation */
#define TOO_LONG 2    /* ASCII, then a continuation */
#define OVERLONG_3 4  /* e0, then 80..9f */
#define TOO_LARGE 8   /* f4, then 90..bf; or f5..ff */
#define SURROGATE 16  /* ed, then a0..bf */
#define OVERLONG_2 32 /* c0 or c1 */
#define OVERLONG_4 64 /* f0, then 80..8f; also f5..ff, then 80..8f */
#define TWO_CONTS 128 /* fine only as the third or fourth byte */
#define CARRY (TOO_SHORT | TOO_LONG | TWO_CONTS)
#define LARGE (CARRY | TOO_LARGE | OVERLONG_4)

static const unsigned char first_high[16] = {
	TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
	TWO_CONTS, TWO_CONTS, TWO_CONTS, TWO_CONTS,
	TOO_SHORT | OVERLONG_2, TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE,
	TOO_SHORT | TOO_LARGE | OVERLONG_4
};
static const unsigned char first_low[16] = {
	CARRY | OVERLONG_2 | OVERLONG_3 | OVERLONG_4, CARRY | OVERLONG_2, CARRY, CARRY,
	CARRY | TOO_LARGE, LARGE, LARGE, LARGE, LARGE, LARGE, LARGE, LARGE,
	LARGE, LARGE | SURROGATE, LARGE, LARGE
};
#define CONT (TOO_LONG | OVERLONG_2 | TWO_CONTS)
static const unsigned char second_high[16] = {
	TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
	CONT | OVERLONG_3 | OVERLONG_4, CONT | OVERLONG_3 | TOO_LARGE,
	CONT | SURROGATE | TOO_LARGE, CONT | SURROGATE | TOO_LARGE,
	TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT
};

__attribute__((target("avx2"))) static inline __m256i both(const unsigned char t[16])
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)t));
}

/* Bytes of the longest run of whole blocks without a fault (a character may be open at its end). */
__attribute__((target("avx2"))) static size_t blocks_avx2(const char *p, size_t n)
{
	const __m256i t1 = both(first_high), t2 = both(first_low), t3 = both(second_high);
	const __m256i low = _mm256_set1_epi8(0x0f), high = _mm256_set1_epi8((char)0x80);
	const __m256i lead3 = _mm256_set1_epi8(0xe0 - 0x80), lead4 = _mm256_set1_epi8(0xf0 - 0x80);
	__m256i last = _mm256_setzero_si256();
	size_t i;

	for (i = 0; n - i >= 32; i += 32) {
		__m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(p + i));
		/* an open character before ASCII is a fault, which the slow half must see */
		bool open = _mm256_movemask_epi8(last) >> 29 != 0;

		if (!_mm256_movemask_epi8(v) && !open) {
			last = v;
			continue;
		}
		__m256i bridge = _mm256_permute2x128_si256(last, v, 0x21);
		__m256i prev1 = _mm256_alignr_epi8(v, bridge, 15);
		__m256i prev2 = _mm256_alignr_epi8(v, bridge, 14);
		__m256i prev3 = _mm256_alignr_epi8(v, bridge, 13);
		__m256i h1 = _mm256_and_si256(_mm256_srli_epi16(prev1, 4), low);
		__m256i h2 = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
		__m256i bad = _mm256_and_si256(
			_mm256_and_si256(_mm256_shuffle_epi8(t1, h1),
					 _mm256_shuffle_epi8(t2, _mm256_and_si256(prev1, low))),
			_mm256_shuffle_epi8(t3, h2));
		/* third and fourth bytes, and no others, are a continuation after another */
		__m256i third = _mm256_subs_epu8(prev2, lead3);
		__m256i fourth = _mm256_subs_epu8(prev3, lead4);
		__m256i must = _mm256_and_si256(_mm256_or_si256(third, fourth), high);

		bad = _mm256_xor_si256(bad, must);
		if (!_mm256_testz_si256(bad, bad))
			break;
		last = v;
	}
	return i;
}
#endif

size_t utf8_valid_avx2(struct str s)
{
#if defined(__x86_64__)
	size_t i = blocks_avx2(s.p, s.n), back = 0;

	/* up to three bytes of an open character stand before the block that is wrong */
	while (back < 3 && back < i && ((unsigned char)s.p[i - back - 1] & 0xc0) == 0x80)
		back++;
	if (back < i && (unsigned char)s.p[i - back - 1] >= 0xc0)
		back++;
	i -= back;
	return i + utf8_valid_scalar(str_sub(s, i, s.n));
#else
	return utf8_valid_scalar(s);
#endif
}

size_t utf8_valid(struct str s)
{
#if defined(__x86_64__)
	if (s.n >= 64 && __builtin_cpu_supports("avx2"))
		return utf8_valid_avx2(s);
#endif
	return s.n ? utf8_valid_scalar(s) : 0;
}

size_t utf8_whole(struct str s)
{
	size_t at = s.n;
	unsigned c, want;

	for (unsigned back = 1; back <= 3 && back <= s.n; back++) {
		c = (unsigned char)s.p[s.n - back];
		if ((c & 0xc0) == 0x80)
			continue;
		want = c < 0xc2 || c > 0xf4 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
		if (want > back)
			at = s.n - back;
		break;
	}
	return at;
}

size_t utf8_count(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

size_t utf8_border(struct str s, size_t at)
{
	if (at >= s.n)
		return s.n;
	while (at && ((unsigned char)s.p[at] & 0xc0) == 0x80)
		at--;
	return at;
}
