/*
 * num: text to numbers. Decimal to binary as in Lemire: Number parsing at a gigabyte per second,
 * 2021, but with an error interval in place of case distinctions: w 10^k lies in [P, P + w) for the
 * product P of w with a table of powers that are cut off at 128 bits. Where both ends round alike,
 * that is the answer; else big integers decide.
 */
#include "config.h"
#include "base/num.h"
#include "base/num_impl.h"
#include <math.h>
#include "base/banned.h"

/* ---- integers -------------------------------------------------------------------------------- */

#define SHOWN(s) (int)((s).n < 40 ? (s).n : 40), (s).p ? (s).p : ""

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* All of s as decimal digits; false with *over where it is one that does not fit. */
static bool whole(uint64_t *out, bool *over, struct str s)
{
	*over = false;
	*out = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_digit(s.p[i]))
			return false;
		if (__builtin_mul_overflow(*out, 10u, out) ||
		    __builtin_add_overflow(*out, (unsigned)(s.p[i] - '0'), out))
			*over = true;
	}
	return s.n && !*over;
}

int num_u64(uint64_t *out, struct str s, uint64_t min, uint64_t max, struct err *e)
{
	uint64_t v;
	bool over;

	if (!whole(&v, &over, s) && !over)
		return err_set(e, ERR_INVALID_FIELD, "'%.*s' is no whole number%s", SHOWN(s),
			       s.n && *s.p == '-' ? " of 0 or more" : "");
	if (over || v < min || v > max) {
		if (max == UINT64_MAX && !over)
			return err_set(e, ERR_INVALID_FIELD, "%.*s is less than %ju", SHOWN(s),
				       (uintmax_t)min);
		return err_set(e, ERR_INVALID_FIELD, "%.*s is not between %ju and %ju", SHOWN(s),
			       (uintmax_t)min, (uintmax_t)max);
	}
	*out = v;
	return 0;
}

int num_i64(int64_t *out, struct str s, int64_t min, int64_t max, struct err *e)
{
	bool neg = s.n && *s.p == '-', over;
	uint64_t u, limit = (uint64_t)INT64_MAX + neg;
	int64_t v;

	if (!whole(&u, &over, str_sub(s, neg, s.n)) && !over)
		return err_set(e, ERR_INVALID_FIELD, "'%.*s' is no whole number", SHOWN(s));
	over = over || u > limit;
	v = over ? 0 : neg ? (int64_t)(0 - u) : (int64_t)u;
	if (over || v < min || v > max)
		return err_set(e, ERR_INVALID_FIELD, "%.*s is not between %jd and %jd", SHOWN(s),
			       (intmax_t)min, (intmax_t)max);
	*out = v;
	return 0;
}

/* ---- scanning a decimal ---------------------------------------------------------------------- */

/*
 * A decimal: w 10^e10 where at most 19 digits matter; with `cut`, between that and (w + 1) 10^e10.
 */
struct decimal {
	uint64_t w;
	int64_t e10;
	bool neg, cut;
	struct str digits; /* the digits as written, with a point perhaps, from the first that is
			      not 0 */
};

/* Eight digits at once. Source of the trick: Lemire, Quickly parsing eight digits, 2018. */
static bool eight(uint64_t *w, const char *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		v = __builtin_bswap64(v);
	if ((v & 0xf0f0f0f0f0f0f0f0u) != 0x3030303030303030u ||
	    ((v + 0x0606060606060606u) & 0xf0f0f0f0f0f0f0f0u) != 0x3030303030303030u)
		return false;
	v -= 0x3030303030303030u;
	v = v * 10 + (v >> 8);
	v = ((v & 0x000000ff000000ffu) * 0x000f424000000064u +
	     (v >> 16 & 0x000000ff000000ffu) * 0x0000271000000001u) >>
	    32;
	*w = *w * 100000000 + v;
	return true;
}

static const char *run_of_digits(uint64_t *w, const char *p, const char *end)
{
	while (end - p >= 8 && eight(w, p))
		p += 8;
	for (; p < end && is_digit(*p); p++)
		*w = *w * 10 + (uint64_t)(*p - '0');
	return p;
}

/*
 * More than 19 digits: take the first 19 that count, remember whether anything but zeros was left.
 */
static void scan_long(struct decimal *d, struct str digits)
{
	size_t taken = 0;
	bool point = false;

	d->w = 0;
	d->e10 = 0;
	for (size_t i = 0; i < digits.n; i++) {
		char c = digits.p[i];

		if (c == '.') {
			point = true;
			continue;
		}
		d->e10 -= point;
		if (taken < 19) {
			d->w = d->w * 10 + (uint64_t)(c - '0');
			taken += d->w != 0;
		} else {
			d->e10++;
			d->cut |= c != '0';
		}
	}
}

/* The number at p; where it ends, or NULL when there is none. Takes also "+1", ".5" and "5.". */
static const char *scan(struct decimal *d, const char *p, const char *end)
{
	const char *start, *point = NULL;
	size_t n;

	*d = (struct decimal){ .neg = p < end && *p == '-' };
	p += p < end && (*p == '-' || *p == '+');
	start = p;
	p = run_of_digits(&d->w, p, end);
	n = (size_t)(p - start);
	if (p < end && *p == '.') {
		point = p;
		p = run_of_digits(&d->w, p + 1, end);
		d->e10 = -(p - point - 1);
		n += (size_t)(p - point - 1);
	}
	if (!n)
		return NULL;
	d->digits = (struct str){ start, (size_t)(p - start) };
	if (n > 19)
		scan_long(d, d->digits);
	if (p < end && (*p == 'e' || *p == 'E')) {
		const char *q = p + 1;
		bool neg = q < end && *q == '-';
		int64_t x = 0;

		q += q < end && (*q == '-' || *q == '+');
		if (q == end || !is_digit(*q))
			return p;
		for (; q < end && is_digit(*q); q++)
			x = x < 1000000000000 ? x * 10 + (*q - '0') : x;
		d->e10 += neg ? -x : x;
		p = q;
	}
	return p;
}

/* ---- rounding -------------------------------------------------------------------------------- */

struct format {
	int mant;       /* bits of the significand with the hidden one */
	int emin, emax; /* of normal numbers 1.x 2^e */
};
static const struct format binary64 = { 53, -1022, 1023 }, binary32 = { 24, -126, 127 };

/*
 * Bits of the number nearest to (hi 2^64 + mid + something in [0, 1) that is 0 unless `sticky`)
 * 2^e, hi >= 2^62; with `down`, of the largest that is not above it.
 */
static uint64_t round_bits(const struct format *f, uint64_t hi, uint64_t mid, bool sticky, int e,
			   bool down)
{
	int lead, shift = 64 - f->mant;
	uint64_t kept, rest, half;

	if (!(hi >> 63)) {
		hi = hi << 1 | mid >> 63;
		mid <<= 1;
		e--;
	}
	lead = e + 127;
	if (lead > f->emax)
		return (uint64_t)(f->emax - f->emin + 2) << (f->mant - 1);
	if (lead < f->emin)
		shift += f->emin - lead;
	if (shift > 64)
		return 0;
	kept = shift < 64 ? hi >> shift : 0;
	rest = shift < 64 ? hi & (((uint64_t)1 << shift) - 1) : hi;
	half = (uint64_t)1 << (shift - 1);
	if (!down && (rest > half || (rest == half && (mid || sticky || (kept & 1)))))
		kept++;
	/* a carry out of the significand counts the exponent up by itself */
	if (lead >= f->emin)
		kept += (uint64_t)(lead - f->emin) << (f->mant - 1);
	return kept;
}

/* One end of the interval of w 10^k: the lower, or the upper (which is not in it). */
static uint64_t end_of(const struct format *f, uint64_t w, int k, bool upper, bool down)
{
	int lz = __builtin_clzll(w);
	uint64_t norm = w << lz;
	const uint64_t *t = pow10_128[k - POW10_FIRST];
	unsigned __int128 low = (unsigned __int128)norm * t[1],
			  high = (unsigned __int128)norm * t[0];
	uint64_t rest = (uint64_t)low;

	high += (uint64_t)(low >> 64);
	if (upper && __builtin_add_overflow(rest, norm - 1, &rest))
		high++;
	return round_bits(f, (uint64_t)(high >> 64), (uint64_t)high, upper || rest,
			  num_log2_pow10(k) - 127 - lz + 64, down);
}

/* ---- big integers ---------------------------------------------------------------------------- */

#define BIG_LIMBS 64   /* 4096 bits; the largest here has under 2800 */
#define BIG_DIGITS 770 /* half way between two doubles takes at most 767 digits */

struct big {
	uint64_t v[BIG_LIMBS]; /* little end first */
	size_t n;
};

static void big_mul_add(struct big *b, uint64_t mul, uint64_t add)
{
	unsigned __int128 carry = add;

	for (size_t i = 0; i < b->n; i++) {
		carry += (unsigned __int128)b->v[i] * mul;
		b->v[i] = (uint64_t)carry;
		carry >>= 64;
	}
	if (carry && b->n < BIG_LIMBS)
		b->v[b->n++] = (uint64_t)carry;
}

static void big_mul_pow5(struct big *b, int64_t k)
{
	const uint64_t pow5_27 = 7450580596923828125u;

	for (; k >= 27; k -= 27)
		big_mul_add(b, pow5_27, 0);
	for (; k > 0; k--)
		big_mul_add(b, 5, 0);
}

static void big_shift(struct big *b, int64_t bits)
{
	size_t limbs = (size_t)bits / 64;

	big_mul_add(b, (uint64_t)1 << bits % 64, 0);
	if (limbs > BIG_LIMBS - b->n)
		return;
	memmove(b->v + limbs, b->v, b->n * sizeof *b->v);
	memset(b->v, 0, limbs * sizeof *b->v);
	b->n += limbs;
}

static int big_cmp(const struct big *a, const struct big *b)
{
	if (a->n != b->n)
		return a->n > b->n ? 1 : -1;
	for (size_t i = a->n; i--;)
		if (a->v[i] != b->v[i])
			return a->v[i] > b->v[i] ? 1 : -1;
	return 0;
}

/* The digits of d as one integer; *e10 is the power of ten to go with it. */
static void big_digits(struct big *b, int64_t *e10, const struct decimal *d)
{
	int64_t taken = 0, all = 0;
	bool more = false;

	b->n = 0;
	for (size_t i = 0; i < d->digits.n; i++) {
		char c = d->digits.p[i];

		if (c == '.' || (!all && c == '0'))
			continue;
		all++;
		if (taken < BIG_DIGITS) {
			big_mul_add(b, 10, (uint64_t)(c - '0'));
			taken++;
		} else {
			more |= c != '0';
		}
	}
	/* d->e10 belongs to the first 19 digits, or to all of fewer */
	*e10 = d->e10 + (all < 19 ? all : 19) - taken;
	if (more) {
		big_mul_add(b, 10, 1);
		(*e10)--;
	}
}

/* The lower neighbour is known: compare the decimal with the middle between it and the next. */
static uint64_t decide(const struct format *f, const struct decimal *d)
{
	uint64_t bits = end_of(f, d->w, (int)d->e10, false, true),
		 hidden = (uint64_t)1 << (f->mant - 1);
	int exp = (int)(bits >> (f->mant - 1)), c;
	struct big dec, mid = { .n = 0 };
	int64_t e10, e2 = f->emin - f->mant;

	if (exp)
		e2 += exp - 1;
	big_mul_add(&mid, 0, 2 * ((bits & (hidden - 1)) | (exp ? hidden : 0)) + 1);
	big_digits(&dec, &e10, d);
	if (e10 >= 0)
		big_mul_pow5(&dec, e10);
	else
		big_mul_pow5(&mid, -e10);
	if (e10 >= e2)
		big_shift(&dec, e10 - e2);
	else
		big_shift(&mid, e2 - e10);
	c = big_cmp(&dec, &mid);
	return bits + (c > 0 || (c == 0 && (bits & 1)));
}

static uint64_t to_bits(const struct format *f, const struct decimal *d)
{
	uint64_t lower, upper;

	if (!d->w ||
	    d->e10 < POW10_FIRST) /* under 1.9e19 1e-343, less than half the least number */
		return 0;
	if (d->e10 > 308)
		return (uint64_t)(f->emax - f->emin + 2) << (f->mant - 1);
	lower = end_of(f, d->w, (int)d->e10, false, false);
	if (!d->cut && d->e10 >= 0 && d->e10 <= 55) /* the table is exact */
		return lower;
	upper = end_of(f, d->w + d->cut, (int)d->e10, true, false);
	return lower == upper ? lower : decide(f, d);
}

static const double pow10_f64[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
				    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
				    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
static const float pow10_f32[] = {
	1e0f, 1e1f, 1e2f, 1e3f, 1e4f, 1e5f, 1e6f, 1e7f, 1e8f, 1e9f, 1e10f
};

static double to_f64(const struct decimal *d)
{
	uint64_t bits;
	double v;

	/* both operands exact, so the one rounding is the right one: Clinger 1990 */
	if (!d->cut && d->w <= (uint64_t)1 << 53 && d->e10 >= -22 && d->e10 <= 22) {
		v = (double)d->w;
		v = d->e10 < 0 ? v / pow10_f64[-d->e10] : v * pow10_f64[d->e10];
		return d->neg ? -v : v;
	}
	bits = to_bits(&binary64, d) | (uint64_t)d->neg << 63;
	memcpy(&v, &bits, sizeof v);
	return v;
}

double num_json_f64(struct str s)
{
	struct decimal d;

	return scan(&d, s.p, s.p + s.n) ? to_f64(&d) : 0;
}

float num_json_f32(struct str s)
{
	struct decimal d;
	uint32_t bits;
	float v;

	if (!scan(&d, s.p, s.p + s.n))
		return 0;
	if (!d.cut && d.w <= (uint64_t)1 << 24 && d.e10 >= -10 && d.e10 <= 10) {
		v = (float)d.w;
		v = d.e10 < 0 ? v / pow10_f32[-d.e10] : v * pow10_f32[d.e10];
		return d.neg ? -v : v;
	}
	bits = (uint32_t)to_bits(&binary32, &d) | (uint32_t)d.neg << 31;
	memcpy(&v, &bits, sizeof v);
	return v;
}

int num_f64(double *out, struct str s, double min, double max, struct err *e)
{
	char lo[NUM_BUF], hi[NUM_BUF];
	struct decimal d;
	double v;

	if (!s.n || scan(&d, s.p, s.p + s.n) != s.p + s.n)
		return err_set(e, ERR_INVALID_FIELD, "'%.*s' is no number", SHOWN(s));
	v = to_f64(&d);
	if (isinf(v))
		return err_set(e, ERR_INVALID_FIELD, "%.*s is too large", SHOWN(s));
	if (v < min || v > max) {
		num_put_f64(lo, min);
		num_put_f64(hi, max);
		if (isinf(min) || isinf(max))
			return err_set(e, ERR_INVALID_FIELD, "%.*s is %s than %s", SHOWN(s),
				       v < min ? "less" : "more", v < min ? lo : hi);
		return err_set(e, ERR_INVALID_FIELD, "%.*s is not between %s and %s", SHOWN(s), lo,
			       hi);
	}
	*out = v;
	return 0;
}
