/*
 * num_put: numbers to text. Shortest decimals after Raffaello Giulietti: The Schubfach way to
 * render doubles, 2020: of the decimals in the interval that rounds to the number, the shortest,
 * and of those the nearest.
 */
#include "config.h"
#include "base/num.h"
#include "base/num_impl.h"
#include <math.h>
#include "base/banned.h"

static size_t put_u64(char *out, uint64_t v)
{
	char tmp[20];
	size_t at = sizeof tmp, n;

	do {
		tmp[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	n = sizeof tmp - at;
	memcpy(out, tmp + at, n);
	out[n] = 0;
	return n;
}

static size_t put_i64(char *out, int64_t v)
{
	if (v >= 0)
		return put_u64(out, (uint64_t)v);
	*out = '-';
	return 1 + put_u64(out + 1, 0 - (uint64_t)v);
}

size_t num_put_u64(char out[NUM_BUF], uint64_t v)
{
	return put_u64(out, v);
}

size_t num_put_i64(char out[NUM_BUF], int64_t v)
{
	return put_i64(out, v);
}

/* floor(x g 2^-128) with a last bit that is also set when anything was cut off ("round to odd",
 * section 9). */
static uint64_t scaled(uint64_t g_hi, uint64_t g_lo, uint64_t x)
{
	unsigned __int128 low = (unsigned __int128)g_lo * x, high = (unsigned __int128)g_hi * x;

	high += (uint64_t)(low >> 64);
	return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* The shortest decimal digits 10^*k that reads back as c 2^q; `edge`: the neighbour below is half
 * as far. */
static uint64_t shortest(int *k, uint64_t c, int q, bool edge)
{
	/* floor(log10(2^q)), or of 3/4 2^q: figures of section 8.3, scaled by 2^22 */
	const int kk = (q * 1262611 - (edge ? 524031 : 0)) >> 22;
	const int h = q + num_log2_pow10(-kk) + 1;
	const uint64_t *t = pow10_128[-kk - POW10_FIRST];
	/* the algorithm wants powers rounded up; the table cuts */
	const uint64_t up = kk > 0 || kk < -55, g_lo = t[1] + up, g_hi = t[0] + (up && !g_lo);
	const bool odd = c & 1;
	const uint64_t lower = scaled(g_hi, g_lo, (4 * c - 2 + edge) << h) + odd;
	const uint64_t v = scaled(g_hi, g_lo, (4 * c) << h);
	const uint64_t upper = scaled(g_hi, g_lo, (4 * c + 2) << h) - odd;
	const uint64_t s = v / 4;

	*k = kk;
	if (s >= 10) {
		const uint64_t tens = s / 10;
		const bool below = lower <= 40 * tens, above = 40 * tens + 40 <= upper;

		if (below != above) {
			++*k;
			return tens + above;
		}
	}
	const bool below = lower <= 4 * s, above = 4 * s + 4 <= upper;

	if (below != above)
		return s + above;
	return s + (v > 4 * s + 2 || (v == 4 * s + 2 && (s & 1)));
}

/* digits 10^k in JSON's grammar: plain from 1e-5 to under 1e17, else with an exponent. */
static size_t put_decimal(char *out, uint64_t digits, int k)
{
	char d[NUM_BUF], *p = out;
	int n, e;

	while (digits % 10 == 0) {
		digits /= 10;
		k++;
	}
	n = (int)put_u64(d, digits);
	e = k + n - 1; /* of the first digit */
	if (e >= -5 && e < 0) {
		memcpy(p, "0.0000", 6);
		p += 1 - e;
		memcpy(p, d, (size_t)n);
		p += n;
	} else if (e >= 0 && e <= 16) {
		for (int i = 0; i < n || i <= e; i++) {
			if (i == e + 1)
				*p++ = '.';
			*p++ = i < n ? d[i] : '0';
		}
	} else {
		*p++ = d[0];
		if (n > 1) {
			*p++ = '.';
			memcpy(p, d + 1, (size_t)n - 1);
			p += n - 1;
		}
		*p++ = 'e';
		return (size_t)(p - out) + put_i64(p, e);
	}
	*p = 0;
	return (size_t)(p - out);
}

static size_t put_null(char *out)
{
	memcpy(out, "null", 5);
	return 4;
}

size_t num_put_f64(char out[NUM_BUF], double v)
{
	uint64_t bits, mant;
	int exp, k;
	size_t sign;

	if (!isfinite(v))
		return put_null(out);
	memcpy(&bits, &v, sizeof bits);
	sign = bits >> 63;
	*out = '-';
	mant = bits & (((uint64_t)1 << 52) - 1);
	exp = (int)(bits >> 52 & 0x7ff);
	if (fabs(v) < 0x1p53 && fabs(v) == (double)(uint64_t)fabs(v))
		return sign + put_u64(out + sign, (uint64_t)fabs(v));
	if (exp)
		mant |= (uint64_t)1 << 52;
	mant = shortest(&k, mant, exp ? exp - 1075 : -1074, exp > 1 && mant == (uint64_t)1 << 52);
	return sign + put_decimal(out + sign, mant, k);
}

size_t num_put_f32(char out[NUM_BUF], float v)
{
	uint32_t bits;
	uint64_t mant;
	int exp, k;
	size_t sign;

	if (!isfinite(v))
		return put_null(out);
	memcpy(&bits, &v, sizeof bits);
	sign = bits >> 31;
	*out = '-';
	mant = bits & ((1u << 23) - 1);
	exp = (int)(bits >> 23 & 0xff);
	if (fabsf(v) < 0x1p24f && fabsf(v) == (float)(uint32_t)fabsf(v))
		return sign + put_u64(out + sign, (uint64_t)fabsf(v));
	if (exp)
		mant |= 1u << 23;
	mant = shortest(&k, mant, exp ? exp - 150 : -149, exp > 1 && mant == 1u << 23);
	return sign + put_decimal(out + sign, mant, k);
}
