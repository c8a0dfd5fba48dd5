/* Values: strings decoded, numbers exact, equality. */
#include "config.h"
#include "json/json_impl.h"

static const char *type_word(enum json_type t)
{
	static const char *const words[] = { "nothing",  "null",     "false",    "true",
					     "a number", "a string", "an array", "an object" };
	return words[t];
}

int json_wrong_type(struct json_val v, const char *wanted, struct err *e)
{
	return err_set(e, ERR_INVALID_FIELD, "expected %s, found %s", wanted, type_word(v.type));
}

int json_str(struct str *out, struct json_val v, struct arena *a, struct err *e)
{
	const char *p, *end;
	char *q;

	if (v.type != JSON_STRING)
		return json_wrong_type(v, "a string", e);
	*out = str_sub(v.raw, 1, v.raw.n - 1);
	if (!out->n || !memchr(out->p, '\\', out->n))
		return 0;
	p = out->p;
	end = p + out->n;
	q = arena_alloc(a, out->n); /* decoded text is never longer */
	if (!q)
		return err_nomem(e);
	out->p = q;
	while (p < end) {
		const char *esc = memchr(p, '\\', (size_t)(end - p));
		size_t n = (size_t)((esc ? esc : end) - p);
		uint32_t c;

		memcpy(q, p, n);
		q += n;
		p += n;
		if (!esc)
			break;
		c = json_unescape(&p, end);
		if (c >= 0xD800 && c < 0xE000)
			return err_set(e, ERR_INVALID_UTF8, "a lone surrogate \\u%04x in a string",
				       c);
		q += utf8_put(q, c);
	}
	out->n = (size_t)(q - out->p);
	return 0;
}

static bool has_fraction(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '.' || s.p[i] == 'e' || s.p[i] == 'E')
			return true;
	return false;
}

static int not_integer(struct json_val v, struct err *e)
{
	size_t n = v.raw.n < 40 ? v.raw.n : 40;

	return err_set(e, ERR_INVALID_FIELD, "expected an integer, found %.*s", (int)n, v.raw.p);
}

int json_i64(int64_t *out, struct json_val v, struct err *e)
{
	if (v.type != JSON_NUMBER)
		return json_wrong_type(v, "an integer", e);
	if (has_fraction(v.raw))
		return not_integer(v, e);
	return num_i64(out, v.raw, INT64_MIN, INT64_MAX, e);
}

int json_u64(uint64_t *out, struct json_val v, struct err *e)
{
	if (v.type != JSON_NUMBER)
		return json_wrong_type(v, "an integer", e);
	if (has_fraction(v.raw))
		return not_integer(v, e);
	if (str_is(v.raw, "-0")) {
		*out = 0;
		return 0;
	}
	return num_u64(out, v.raw, 0, UINT64_MAX, e);
}

int json_f64(double *out, struct json_val v, struct err *e)
{
	if (v.type != JSON_NUMBER)
		return json_wrong_type(v, "a number", e);
	*out = num_json_f64(v.raw);
	return 0;
}

int json_bool(bool *out, struct json_val v, struct err *e)
{
	if (v.type != JSON_TRUE && v.type != JSON_FALSE)
		return json_wrong_type(v, "true or false", e);
	*out = v.type == JSON_TRUE;
	return 0;
}

/* ---- equality -------------------------------------------------------------------------------- */

/* A number as 0.d1d2… x 10^exp, d1 not zero: two equal numbers have the same of it. */
struct decimal {
	bool negative;
	const char *first, *last; /* digits, the point may lie between */
	int64_t exp;
};

static int64_t exponent_of(struct str s)
{
	int64_t v = 0;
	bool minus = s.n && s.p[0] == '-';

	for (size_t i = s.n && !json_digit(s.p[0]); i < s.n; i++)
		if (v < INT64_MAX / 100)
			v = v * 10 + (s.p[i] - '0');
	return minus ? -v : v;
}

static struct decimal decimal_of(struct str s)
{
	struct decimal d = { false, NULL, NULL, 0 };
	size_t i = 0, point, e;

	if (s.p[0] == '-') {
		d.negative = true;
		i++;
	}
	for (e = i; e < s.n && s.p[e] != 'e' && s.p[e] != 'E'; e++)
		;
	for (point = i; point < e && s.p[point] != '.'; point++)
		;
	for (size_t k = i; k < e; k++) {
		if (s.p[k] == '0' || s.p[k] == '.')
			continue;
		if (!d.first) {
			d.first = s.p + k;
			d.exp = k < point ? (int64_t)(point - k) : (int64_t)point - (int64_t)k + 1;
		}
		d.last = s.p + k;
	}
	if (!d.first)
		return (struct decimal){ false, NULL, NULL, 0 };
	if (e < s.n)
		d.exp += exponent_of(str_sub(s, e + 1, s.n));
	return d;
}

static bool number_equal(struct str a, struct str b)
{
	struct decimal x = decimal_of(a), y = decimal_of(b);
	const char *p = x.first, *q = y.first;

	if (str_eq(a, b))
		return true;
	if (!p || !q)
		return !p && !q;
	if (x.negative != y.negative || x.exp != y.exp)
		return false;
	for (;; p++, q++) {
		p += *p == '.';
		q += *q == '.';
		if (p > x.last || q > y.last)
			return p > x.last && q > y.last;
		if (*p != *q)
			return false;
	}
}

/* Next decoded byte of a raw string, through escapes; false at the end. A lone surrogate comes as 3
 * bytes. */
struct decoded {
	const char *p, *end;
	char u[4];
	unsigned n, at;
};

static bool decoded_next(unsigned char *out, struct decoded *d)
{
	if (d->at == d->n) {
		bool escaped;
		uint32_t c;

		if (d->p >= d->end)
			return false;
		escaped = *d->p == '\\';
		c = json_unescape(&d->p, d->end);
		d->at = 0;
		d->n = 1;
		d->u[0] = (char)c;
		if (escaped && c >= 0xD800 && c < 0xE000) {
			d->u[0] = (char)0xED;
			d->u[1] = (char)(0x80 | (c >> 6 & 0x3F));
			d->u[2] = (char)(0x80 | (c & 0x3F));
			d->n = 3;
		} else if (escaped) {
			d->n = utf8_put(d->u, c);
		}
	}
	*out = (unsigned char)d->u[d->at++];
	return true;
}

/* Order of two raw strings by their decoded bytes. */
static int raw_cmp(struct str a, struct str b)
{
	struct decoded x = { a.p, a.p + a.n, { 0 }, 0, 0 }, y = { b.p, b.p + b.n, { 0 }, 0, 0 };
	unsigned char c, d;

	if (str_eq(a, b))
		return 0;
	for (;;) {
		bool more = decoded_next(&c, &x);

		if (!decoded_next(&d, &y))
			return more;
		if (!more || c < d)
			return -1;
		if (c > d)
			return 1;
	}
}

struct entry {
	struct str key;
	struct json_val v;
};

static int entry_cmp(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int c = raw_cmp(x->key, y->key);

	/* the same name: by place in the text */
	return c ? c : (x->key.p > y->key.p) - (x->key.p < y->key.p);
}

/* The members sorted by name, the last of each name alone; NULL without memory. */
static struct entry *sorted(size_t *out, struct json_val v)
{
	size_t n = json_count(v), k = 0;
	struct entry *m = ckd_alloc(n ? n : 1, sizeof *m);
	struct json_iter it = json_iter(v);

	if (!m)
		return NULL;
	for (size_t i = 0; i < n && json_next_member(&m[i].key, &m[i].v, &it);)
		i++;
	qsort(m, n, sizeof *m, entry_cmp);
	for (size_t i = 0; i < n; i++)
		if (i + 1 == n || raw_cmp(m[i].key, m[i + 1].key) != 0)
			m[k++] = m[i];
	*out = k;
	return m;
}

static bool object_equal(struct json_val a, struct json_val b)
{
	size_t n = 0, k = 0;
	struct entry *x = sorted(&n, a), *y = sorted(&k, b);
	bool same = x && y && n == k;

	for (size_t i = 0; same && i < n; i++)
		same = raw_cmp(x[i].key, y[i].key) == 0 && json_equal(x[i].v, y[i].v);
	free(x);
	free(y);
	return same;
}

/* Calls itself once a level: JSON_DEPTH_MAX bounds it. */
bool json_equal(struct json_val a, struct json_val b)
{
	struct json_iter i, k;
	struct json_val x, y;

	if (a.type != b.type)
		return false;
	switch (a.type) {
	case JSON_NUMBER:
		return number_equal(a.raw, b.raw);
	case JSON_STRING:
		return raw_cmp(str_sub(a.raw, 1, a.raw.n - 1), str_sub(b.raw, 1, b.raw.n - 1)) == 0;
	case JSON_OBJECT:
		return str_eq(a.raw, b.raw) || object_equal(a, b);
	case JSON_ARRAY:
		i = json_iter(a);
		k = json_iter(b);
		while (json_next(&x, &i))
			if (!json_next(&y, &k) || !json_equal(x, y))
				return false;
		return !json_next(&y, &k);
	default:
		return true;
	}
}
