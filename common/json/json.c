/* Parsing, iterating and finding: the front of the scanners. */
#include "config.h"
#include "json/json_impl.h"

const struct json_ops *json_ops(void)
{
#ifdef __x86_64__
	return __builtin_cpu_supports("avx2") ? &json_ops_avx2 : &json_ops_sse2;
#else
	return &json_ops_scalar;
#endif
}

enum json_type json_type_of(char first)
{
	switch (first) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
		return JSON_TRUE;
	case 'f':
		return JSON_FALSE;
	case 'n':
		return JSON_NULL;
	default:
		return JSON_NUMBER;
	}
}

static int bad_text(struct json_scan *s, struct str text, struct err *e)
{
	size_t at = (size_t)(s->p - text.p);
	unsigned char c;

	if (s->p >= s->end)
		return err_set(e, ERR_INVALID_JSON,
			       "invalid JSON: it ends at byte %zu, expected %s", at, s->want);
	c = (unsigned char)*s->p;
	if (c > 0x20 && c < 0x7f)
		return err_set(e, ERR_INVALID_JSON, "invalid JSON at byte %zu, '%c': expected %s",
			       at, c, s->want);
	return err_set(e, ERR_INVALID_JSON, "invalid JSON at byte %zu, 0x%02x: expected %s", at, c,
		       s->want);
}

/* UTF-8 has no ASCII byte inside a character, so the grammar can be checked first and the bytes
 * after it. */
static int check_utf8(struct str text, struct err *e)
{
	size_t at = utf8_valid(text);

	if (at == text.n)
		return 0;
	return err_set(e, ERR_INVALID_UTF8, "invalid UTF-8 at byte %zu, 0x%02x", at,
		       (unsigned char)text.p[at]);
}

/* s->m and s->max are the caller's. */
static int scan_prefix(struct json_val *out, size_t *used, struct json_scan *s, struct str text,
		       const struct json_ops *ops, struct err *e)
{
	const char *from;
	bool good;

	s->p = text.p;
	s->end = text.p + text.n;
	from = json_blanks(s->p, s->end);
	good = ops->value(s);
	if ((s->wide || !good) && check_utf8(str_sub(text, 0, (size_t)(s->p - text.p)), e))
		return -1;
	if (!good)
		return bad_text(s, text, e);
	out->raw = (struct str){ from, (size_t)(s->p - from) };
	out->type = json_type_of(*from);
	*used = (size_t)(s->p - text.p);
	return 0;
}

static int scan_all(struct json_val *out, struct json_scan *s, struct str text,
		    const struct json_ops *ops, struct err *e)
{
	size_t used;

	if (scan_prefix(out, &used, s, text, ops, e))
		return -1;
	s->p = json_blanks(s->p, s->end);
	s->want = "nothing more after the value";
	return s->p < s->end ? bad_text(s, text, e) : 0;
}

int json_parse_with(struct json_val *out, struct str text, const struct json_ops *ops,
		    struct err *e)
{
	struct json_scan s = { 0 };

	return scan_all(out, &s, text, ops, e);
}

int json_parse_members(struct json_val *out, struct json_member *m, size_t *n, size_t max,
		       struct str text, struct err *e)
{
	struct json_scan s = { .m = m, .max = max };

	if (scan_all(out, &s, text, json_ops(), e))
		return -1;
	for (size_t i = 0; i < s.n && i < max; i++)
		m[i].val.type = json_type_of(*m[i].val.raw.p);
	*n = s.n;
	return 0;
}

int json_parse(struct json_val *out, struct str text, struct err *e)
{
	return json_parse_with(out, text, json_ops(), e);
}

int json_parse_prefix(struct json_val *out, size_t *used, struct str text, struct err *e)
{
	struct json_scan s = { 0 };

	return scan_prefix(out, used, &s, text, json_ops(), e);
}

/* ---- iterating ------------------------------------------------------------------------------- */

const char *json_skip(const char *p, const char *end, const struct json_ops *ops)
{
	switch (*p) {
	case '"':
		return ops->skip_string(p + 1, end);
	case '{':
	case '[':
		return ops->skip_nest(p + 1, end);
	default:
		while (p < end && *p != ',' && *p != '}' && *p != ']' && !json_blank(*p))
			p++;
		return p;
	}
}

struct json_iter json_iter(struct json_val v)
{
	if ((v.type != JSON_OBJECT && v.type != JSON_ARRAY) || v.raw.n < 2)
		return (struct json_iter){ NULL, NULL };
	return (struct json_iter){ v.raw.p + 1, v.raw.p + v.raw.n - 1 };
}

/* To the next thing inside, over blanks and the comma. */
static bool next_place(struct json_iter *it)
{
	while (it->p < it->end && (json_blank(*it->p) || *it->p == ','))
		it->p++;
	return it->p < it->end;
}

static void take_value(struct json_val *out, struct json_iter *it)
{
	const char *from = it->p;

	it->p = json_skip(from, it->end, json_ops());
	out->raw = (struct str){ from, (size_t)(it->p - from) };
	out->type = json_type_of(*from);
}

bool json_next(struct json_val *out, struct json_iter *it)
{
	if (!next_place(it))
		return false;
	take_value(out, it);
	return true;
}

bool json_next_member(struct str *raw_key, struct json_val *out, struct json_iter *it)
{
	const char *from;

	if (!next_place(it))
		return false;
	from = it->p + 1;
	it->p = json_ops()->skip_string(from, it->end);
	*raw_key = (struct str){ from, (size_t)(it->p - from) - 1 };
	it->p = json_blanks(it->p, it->end);
	it->p = json_blanks(it->p + 1, it->end); /* the colon */
	take_value(out, it);
	return true;
}

size_t json_count(struct json_val v)
{
	struct json_iter it = json_iter(v);
	struct json_val x;
	struct str key;
	size_t n = 0;

	if (v.type == JSON_OBJECT)
		while (json_next_member(&key, &x, &it))
			n++;
	else
		while (json_next(&x, &it))
			n++;
	return n;
}

uint32_t json_unescape(const char **p, const char *end)
{
	const char *q = *p;
	uint32_t c = 0, low = 0;

	if (*q != '\\' || end - q < 2) {
		*p = q + 1;
		return (unsigned char)*q;
	}
	*p = q + 2;
	switch (q[1]) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'u':
		break;
	default:
		return (unsigned char)q[1];
	}
	for (int i = 2; i < 6; i++)
		c = c << 4 | (uint32_t)json_hex(q[i]);
	*p = q + 6;
	if (c >= 0xD800 && c < 0xDC00 && end - q >= 12 && q[6] == '\\' && q[7] == 'u') {
		for (int i = 8; i < 12; i++)
			low = low << 4 | (uint32_t)json_hex(q[i]);
		if (low >= 0xDC00 && low < 0xE000) {
			*p = q + 12;
			return 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
		}
	}
	return c;
}

bool json_key_is(struct str raw_key, struct str name)
{
	const char *p = raw_key.p, *end = raw_key.p + raw_key.n;
	size_t at = 0;

	/* an escape is longer than what it stands for, so a name as long as the key has none in it
	 */
	if (raw_key.n <= name.n || !memchr(raw_key.p, '\\', raw_key.n))
		return str_eq(raw_key, name) && (!raw_key.n || !memchr(raw_key.p, '\\', raw_key.n));
	while (p < end) {
		bool escaped = *p == '\\';
		uint32_t c = json_unescape(&p, end);
		char u[4];
		unsigned n = 1;

		u[0] = (char)c;
		if (escaped) {
			if (c >= 0xD800 && c < 0xE000)
				return false;
			n = utf8_put(u, c);
		}
		if (name.n - at < n || memcmp(name.p + at, u, n) != 0)
			return false;
		at += n;
	}
	return at == name.n;
}

static struct json_val member(struct json_val obj, struct str name)
{
	struct json_val v, found = { { NULL, 0 }, JSON_NONE };
	struct json_iter it = json_iter(obj);
	struct str key;

	if (obj.type == JSON_OBJECT)
		while (json_next_member(&key, &v, &it))
			if (json_key_is(key, name))
				found = v;
	return found;
}

struct json_val json_get(struct json_val obj, const char *name)
{
	return member(obj, str_of(name));
}

void json_get_all(struct json_val *out, struct json_val obj, const char *const *names, size_t n)
{
	struct json_iter it = json_members(obj);
	struct str name[16], key;
	struct json_val v;

	for (size_t i = 0; i < n; i++) {
		name[i] = str_of(names[i]);
		out[i] = (struct json_val){ { NULL, 0 }, JSON_NONE };
	}
	while (json_next_member(&key, &v, &it))
		for (size_t i = 0; i < n; i++)
			if (json_key_is(key, name[i])) {
				out[i] = v;
				break;
			}
}

/* A member by name or an element by its number. */
static struct json_val step(struct json_val v, struct str name)
{
	struct json_val x, none = { { NULL, 0 }, JSON_NONE };
	struct json_iter it = json_iter(v);
	uint64_t i;

	if (v.type == JSON_OBJECT)
		return member(v, name);
	if (v.type != JSON_ARRAY || (name.n > 1 && name.p[0] == '0') ||
	    num_u64(&i, name, 0, UINT64_MAX, NULL))
		return none;
	while (json_next(&x, &it))
		if (i-- == 0)
			return x;
	return none;
}

/* One token of a JSON Pointer (RFC 6901): ~1 is '/', ~0 is '~'. A name is at most 1024 bytes. */
static struct json_val pointer_step(struct json_val v, struct str token)
{
	char name[1024];
	size_t n = 0;

	if (token.n > sizeof name)
		return (struct json_val){ { NULL, 0 }, JSON_NONE };
	for (size_t i = 0; i < token.n; i++) {
		name[n++] = token.p[i];
		if (token.p[i] == '~' && i + 1 < token.n &&
		    (token.p[i + 1] == '0' || token.p[i + 1] == '1'))
			name[n - 1] = token.p[++i] == '0' ? '~' : '/';
	}
	return step(v, (struct str){ name, n });
}

struct json_val json_path(struct json_val v, struct str path)
{
	bool pointer = path.n && path.p[0] == '/';
	char sep = pointer ? '/' : '.';
	size_t from = pointer;

	if (!path.n)
		return v;
	if (!pointer && v.type == JSON_OBJECT) {
		struct json_val whole = member(v, path);

		if (whole.type != JSON_NONE)
			return whole;
	}
	while (v.type != JSON_NONE && from <= path.n) {
		size_t to = from;

		while (to < path.n && path.p[to] != sep)
			to++;
		v = pointer ? pointer_step(v, str_sub(path, from, to))
			    : step(v, str_sub(path, from, to));
		from = to + 1;
	}
	return v;
}
