/* price_money: decimal texts to scaled integers and back. No double on the way. */
#include "config.h"
#include "price/price.h"

#define DIGITS_MAX 36 /* significant digits kept; what follows only decides the rounding */

static int not_decimal(struct str s, struct err *e)
{
	return err_set(e, ERR_INVALID_FIELD, "\"" STR_FMT "\" is not a decimal number", STR_ARG(s));
}

struct decimal {
	unsigned __int128 digits;
	int64_t exp;
	bool negative, sticky; /* digits beyond DIGITS_MAX that were not zero */
};

static const char *read_digits(struct decimal *d, const char *p, const char *end, bool fraction,
			       unsigned *kept)
{
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		if (*kept < DIGITS_MAX) {
			d->digits = d->digits * 10 + (unsigned)(*p - '0');
			*kept += d->digits != 0;
			d->exp -= fraction;
		} else {
			d->sticky |= *p != '0';
			d->exp += !fraction;
		}
	}
	return p;
}

static bool read_decimal(struct decimal *d, struct str s)
{
	const char *p = s.p;
	const char *end = s.p + s.n;
	const char *first;
	unsigned kept = 0;
	size_t seen;

	*d = (struct decimal){ 0 };
	if (p < end && (*p == '-' || *p == '+'))
		d->negative = *p++ == '-';
	first = p;
	p = read_digits(d, p, end, false, &kept);
	seen = (size_t)(p - first);
	if (p < end && *p == '.') {
		first = ++p;
		p = read_digits(d, p, end, true, &kept);
		seen += (size_t)(p - first);
	}
	if (!seen)
		return false;
	if (p < end && (*p == 'e' || *p == 'E')) {
		bool minus = false;
		int64_t x = 0;

		if (++p < end && (*p == '-' || *p == '+'))
			minus = *p++ == '-';
		if (p == end)
			return false;
		for (; p < end && *p >= '0' && *p <= '9'; p++)
			x = x < 100000 ? x * 10 + (*p - '0') : x;
		d->exp += minus ? -x : x;
	}
	return p == end;
}

int price_decimal(__int128 *out, bool *inexact, struct str s, unsigned scale, struct err *e)
{
	const unsigned __int128 limit = ~(unsigned __int128)0 >> 1;
	unsigned __int128 v, pow = 1;
	struct decimal d;
	int64_t exp;

	*inexact = false;
	if (!read_decimal(&d, s))
		return not_decimal(s, e);
	v = d.digits;
	exp = d.exp + (int64_t)scale;
	for (; exp > 0 && v; exp--)
		if (__builtin_mul_overflow(v, (unsigned __int128)10, &v) || v > limit)
			return err_set(e, ERR_INVALID_FIELD, "\"" STR_FMT "\" is too large",
				       STR_ARG(s));
	if (exp < -(int64_t)DIGITS_MAX - 1) { /* far below half of the last place */
		*inexact = v != 0 || d.sticky;
		v = 0;
	} else if (exp < 0) {
		unsigned __int128 rest;

		for (; exp < 0; exp++)
			pow *= 10;
		rest = v % pow;
		v /= pow;
		*inexact = rest != 0 || d.sticky;
		if (rest > pow / 2 || (rest == pow / 2 && (d.sticky || (v & 1))))
			v++;
	} else {
		*inexact = d.sticky;
	}
	*out = d.negative ? -(__int128)v : (__int128)v;
	return 0;
}

int price_decimal_i64(int64_t *out, bool *inexact, struct str s, unsigned scale, struct err *e)
{
	__int128 v;

	if (price_decimal(&v, inexact, s, scale, e))
		return -1;
	if (v > INT64_MAX || v < -INT64_MAX)
		return err_set(e, ERR_INVALID_FIELD, "\"" STR_FMT "\" is too large", STR_ARG(s));
	*out = (int64_t)v;
	return 0;
}

/* The digits of v < 10^n, exactly n of them. */
static void put_digits(char *out, uint64_t v, unsigned n)
{
	while (n) {
		out[--n] = (char)('0' + v % 10);
		v /= 10;
	}
}

size_t price_put(char out[PRICE_BUF], __int128 e18)
{
	const uint64_t one = 1000000000000000000u;
	unsigned __int128 v = e18 < 0 ? -(unsigned __int128)e18 : (unsigned __int128)e18;
	unsigned __int128 whole = 0;
	uint64_t frac;
	unsigned places = 18;
	size_t n = 0;

	if (v >> 64) {
		whole = v / one;
		frac = (uint64_t)(v % one);
	} else { /* up to 18: no division of 128 bits */
		whole = (uint64_t)v / one;
		frac = (uint64_t)v % one;
	}
	if (e18 < 0)
		out[n++] = '-';
	if (whole >= one) { /* two runs of digits; the second has all its zeros */
		n += num_put_u64(out + n, (uint64_t)(whole / one));
		put_digits(out + n, (uint64_t)(whole % one), 18);
		n += 18;
	} else {
		n += num_put_u64(out + n, (uint64_t)whole);
	}
	if (frac) {
		while (frac % 1000 == 0) {
			frac /= 1000;
			places -= 3;
		}
		while (frac % 10 == 0) {
			frac /= 10;
			places--;
		}
		out[n++] = '.';
		put_digits(out + n, frac, places);
		n += places;
	}
	out[n] = '\0';
	return n;
}

int price_add(__int128 *sum, __int128 v, struct err *e)
{
	if (__builtin_add_overflow(*sum, v, sum))
		return err_set(e, ERR_INVALID_FIELD, "an amount of money is too large");
	return 0;
}
