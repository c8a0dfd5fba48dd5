/* Vectors: arrays of numbers and base64, both ways. */
#include "config.h"
#include "json/json_impl.h"
#include <math.h>

/* RFC 4648, section 4. */
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 64-byte aligned, n elements of 4 bytes. */
static void *vector_alloc(struct arena *a, size_t n)
{
	size_t bytes;
	char *p;

	if (!ckd_mul_size(&bytes, n, 4) || !ckd_add_size(&bytes, bytes, 64))
		return NULL;
	p = arena_alloc(a, bytes);
	return p ? p + (64 - ((uintptr_t)p & 63)) % 64 : NULL;
}

/* At most so many elements: each takes a byte and a comma. Address space alone, what is not needed
 * is not touched. */
static size_t elements_max(struct json_val v)
{
	return v.raw.n / 2;
}

static int bad_component(size_t i, struct str raw, const char *why, struct err *e)
{
	return err_set(e, ERR_INVALID_VECTOR, "component %zu of the vector, %.*s, %s", i,
		       (int)(raw.n < 40 ? raw.n : 40), raw.p, why);
}

/* Eight digits at once: pairs, then fours, then all are summed in lanes of one word. */
static inline bool eight_digits(uint32_t *out, const char *p)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	uint64_t v;

	memcpy(&v, p, 8);
	if (((v & 0xF0F0F0F0F0F0F0F0u) | ((v + 0x0606060606060606u) & 0xF0F0F0F0F0F0F0F0u) >> 4) !=
	    0x3333333333333333u)
		return false;
	v = (v & 0x0F0F0F0F0F0F0F0Fu) * (1 + (10u << 8)) >> 8;
	v = (v & 0x00FF00FF00FF00FFu) * (1 + (100u << 16)) >> 16;
	*out = (uint32_t)((v & 0x0000FFFF0000FFFFu) * (1 + ((uint64_t)10000 << 32)) >> 32);
	return true;
#else
	(void)out, (void)p;
	return false;
#endif
}

/* Digits from p on into w; where they end. */
static inline const char *digits(uint64_t *w, const char *p, const char *end)
{
	uint32_t v;

	while (end - p >= 8 && eight_digits(&v, p)) {
		*w = *w * 100000000 + v;
		p += 8;
	}
	for (; p < end && json_digit(*p); p++)
		*w = *w * 10 + (uint64_t)(*p - '0');
	return p;
}

/*
 * The number at p to the nearest float, and where it ends. With at most 19 digits d is within two
 * units of its last place of the true value (two roundings), so rounding it to float is right
 * unless it lies that near to the middle between two floats; then, and for exponents out of the
 * ordinary, num_json_f32() does it exactly.
 */
static inline const char *read_f32(float *out, const char *p, const char *end)
{
	static const double ten[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
				      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
				      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
	const char *from = p, *first, *to;
	ptrdiff_t fraction = 0, n;
	uint64_t w = 0, bits;
	double d;

	p += *p == '-';
	first = p + (*p == '0');
	to = digits(&w, p, end);
	n = to - first;
	if (to < end && *to == '.') {
		bool small = n == 0;

		first = to + 1;
		to = digits(&w, first, end);
		fraction = to - first;
		n += fraction;
		for (; small && n > 19 && *first == '0'; first++)
			n--; /* zeros in front do not count */
	}
	d = (double)w / ten[fraction <= 22 ? fraction : 0];
	memcpy(&bits, &d, sizeof bits);
	bits = (bits & 0x1FFFFFFF) - (0x10000000 - 4); /* what float cuts off, against the middle */
	if (n <= 19 && fraction <= 22 && bits > 8 && (d > 1e-37 ? d < 1e38 : !w) &&
	    (to == end || (*to | 0x20) != 'e')) {
		*out = (float)(*from == '-' ? -d : d);
		return to;
	}
	while (to < end && *to != ',' && *to != ']' && !json_blank(*to))
		to++;
	*out = num_json_f32((struct str){ from, (size_t)(to - from) });
	return to;
}

static int array_f32s(float **out, size_t *n, struct json_val v, struct arena *a, struct err *e)
{
	float *f = vector_alloc(a, elements_max(v));
	const char *p = v.raw.p + 1, *end = v.raw.p + v.raw.n - 1;
	size_t i = 0;

	if (!f)
		return err_nomem(e);
	for (;; i++) {
		const char *from;

		while (p < end && (*p == ',' || json_blank(*p)))
			p++;
		if (p == end)
			break;
		from = p;
		if (*p != '-' && !json_digit(*p))
			return bad_component(
				i, (struct str){ p, (size_t)(json_skip(p, end, json_ops()) - p) },
				"is no number", e);
		p = read_f32(&f[i], p, end);
		if (!isfinite(f[i]))
			return bad_component(i, (struct str){ from, (size_t)(p - from) },
					     "is too large for a 32-bit float", e);
	}
	*out = f;
	*n = i;
	return 0;
}

/* ---- base64 ---------------------------------------------------------------------------------- */

/*
 * Four characters give 24 bits: one table a place holds each character's bits where they belong,
 * and BAD where there is none. Kept as 32-bit words, 4 KiB in all: stays in the first cache.
 */
#define BAD 0xFF000000u
#define R4(v, s) (v) << (s), ((v) + 1) << (s), ((v) + 2) << (s), ((v) + 3) << (s)
#define R13(v, s) R4(v, s), R4((v) + 4, s), R4((v) + 8, s), ((v) + 12) << (s)
#define B5 BAD, BAD, BAD, BAD, BAD
#define B10 B5, B5
#define B43 B10, B10, B10, B10, BAD, BAD, BAD
#define B133 B43, B43, B43, BAD, BAD, BAD, BAD
/* '+' is 43, '/' 47, '0' 48, 'A' 65, 'a' 97 */
#define PLACE(s)                                                                                   \
	{                                                                                          \
		B43, 62u << (s), BAD, BAD, BAD, 63u << (s), R4(52u, s), R4(56u, s), 60u << (s),    \
			61u << (s), B5, BAD, BAD, R13(0u, s), R13(13u, s), B5, BAD, R13(26u, s),   \
			R13(39u, s), B133                                                          \
	}
static const uint32_t place[4][256] = { PLACE(18), PLACE(12), PLACE(6), PLACE(0) };

static inline uint32_t four(const unsigned char *p)
{
	return place[0][p[0]] | place[1][p[1]] | place[2][p[2]] | place[3][p[3]];
}

static int bad_base64(struct str s, size_t at, struct err *e)
{
	for (; at < s.n; at++)
		if (place[3][(unsigned char)s.p[at]] & BAD)
			break;
	if (at == s.n)
		return err_set(e, ERR_INVALID_FIELD,
			       "base64 is cut short: bits are left over at its end");
	return err_set(e, ERR_INVALID_FIELD, "byte %zu, 0x%02x, is not base64", at,
		       (unsigned char)s.p[at]);
}

/* Bytes that s decodes to, padding allowed for. */
static size_t decoded_size(struct str s)
{
	size_t n = s.n / 4 * 3;

	if (s.n && s.p[s.n - 1] == '=')
		n -= s.n > 1 && s.p[s.n - 2] == '=' ? 2 : 1;
	return n;
}

/* decoded_size() bytes to q. */
static int decode(unsigned char *q, struct str s, struct err *e)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t pad = s.n / 4 * 3 - decoded_size(s), full = s.n / 4 - (pad != 0), i = 0;
	uint32_t w;

	if (s.n % 4)
		return err_set(e, ERR_INVALID_FIELD,
			       "base64 of %zu characters: not a multiple of 4", s.n);
	for (; i < full; i++, p += 4, q += 3) {
		w = four(p);
		if (w & BAD)
			return bad_base64(s, i * 4, e);
		q[0] = (unsigned char)(w >> 16);
		q[1] = (unsigned char)(w >> 8);
		q[2] = (unsigned char)w;
	}
	if (pad) {
		w = place[0][p[0]] | place[1][p[1]] | (pad == 1 ? place[2][p[2]] : 0);
		/* bits that the padding leaves over must be zero, or two texts would mean the same
		 * bytes */
		if (w & BAD || w & (pad == 1 ? 0xFFu : 0xFFFFu))
			return bad_base64(str_sub(s, 0, s.n - pad), i * 4, e);
		*q++ = (unsigned char)(w >> 16);
		if (pad == 1)
			*q = (unsigned char)(w >> 8);
	}
	return 0;
}

int json_base64_get(struct buf *out, struct str s, struct err *e)
{
	size_t n = decoded_size(s);
	char *q = buf_grow(out, n);

	if (!q)
		return buf_check(out, e);
	if (decode((unsigned char *)q, s, e))
		return -1;
	buf_commit(out, n);
	return 0;
}

void json_base64_put(struct buf *b, const void *data, size_t n)
{
	const unsigned char *p = data;
	char *q;
	size_t i;

	if (n > SIZE_MAX / 2 || !(q = buf_grow(b, (n + 2) / 3 * 4)))
		return;
	for (i = 0; i + 2 < n; i += 3, q += 4) {
		uint32_t w = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];

		q[0] = alphabet[w >> 18];
		q[1] = alphabet[w >> 12 & 63];
		q[2] = alphabet[w >> 6 & 63];
		q[3] = alphabet[w & 63];
	}
	if (i < n) {
		uint32_t w = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0);

		q[0] = alphabet[w >> 18];
		q[1] = alphabet[w >> 12 & 63];
		q[2] = i + 1 < n ? alphabet[w >> 6 & 63] : '=';
		q[3] = '=';
	}
	buf_commit(b, (n + 2) / 3 * 4);
}

static int base64_f32s(float **out, size_t *n, struct json_val v, struct arena *a, struct err *e)
{
	struct str s;
	size_t bytes;
	float *f;

	if (json_str(&s, v, a, e)) /* "\/" is a slash to some writers */
		return -1;
	bytes = decoded_size(s);
	if (s.n % 4 == 0 && bytes % 4)
		return err_set(e, ERR_INVALID_VECTOR,
			       "base64 of %zu bytes: not a whole number of 32-bit floats", bytes);
	f = vector_alloc(a, bytes / 4);
	if (!f)
		return err_nomem(e);
	if (decode((unsigned char *)f, s, e))
		return -1;
	for (size_t i = 0; i < bytes / 4; i++) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		uint32_t w;

		memcpy(&w, f + i, 4);
		w = __builtin_bswap32(w);
		memcpy(f + i, &w, 4);
#endif
		if (!isfinite(f[i]))
			return err_set(e, ERR_INVALID_VECTOR, "component %zu of the vector is %s",
				       i, isnan(f[i]) ? "NaN" : "infinite");
	}
	*out = f;
	*n = bytes / 4;
	return 0;
}

int json_f32s(float **out, size_t *n, struct json_val v, struct arena *a, struct err *e)
{
	if (v.type == JSON_STRING)
		return base64_f32s(out, n, v, a, e);
	if (v.type == JSON_ARRAY)
		return array_f32s(out, n, v, a, e);
	return json_wrong_type(v, "a vector (an array of numbers, or base64)", e);
}

int json_i32s(int32_t **out, size_t *n, struct json_val v, struct arena *a, struct err *e)
{
	struct json_iter it = json_iter(v);
	struct json_val x;
	int32_t *t;
	size_t i = 0;

	if (v.type != JSON_ARRAY)
		return json_wrong_type(v, "an array of integers", e);
	t = vector_alloc(a, elements_max(v));
	if (!t)
		return err_nomem(e);
	for (; json_next(&x, &it); i++) {
		int64_t k;

		if (json_i64(&k, x, e))
			return err_wrap(e, "element %zu", i);
		if (k < INT32_MIN || k > INT32_MAX)
			return err_set(e, ERR_INVALID_FIELD,
				       "element %zu, %lld, does not fit 32 bits", i, (long long)k);
		t[i] = (int32_t)k;
	}
	*out = t;
	*n = i;
	return 0;
}

void json_w_f32_base64(struct json_w *w, const float *v, size_t n)
{
	json_w_raw(w, STR("\""));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	for (size_t i = 0; i < n; i += 3) { /* three floats are sixteen characters */
		size_t k = n - i < 3 ? n - i : 3;
		uint32_t t[3];

		memcpy(t, v + i, k * sizeof *v);
		for (size_t j = 0; j < k; j++)
			t[j] = __builtin_bswap32(t[j]);
		json_base64_put(w->b, t, k * sizeof *v);
	}
#else
	json_base64_put(w->b, v, n * sizeof *v);
#endif
	buf_addc(w->b, '"');
}
