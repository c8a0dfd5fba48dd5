/* jinja_val: values as Python has them, and the text under way with its marks. */
#include "config.h"
#include "tok/jinja_impl.h"
#include <math.h>

int (jinja_fail)(struct jinja *j, const char *fmt, ...)
{
	va_list ap;
	char text[512];

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return err_set(j->e, ERR_INVALID_FIELD, "template " STR_FMT ", line %u: %s",
		       STR_ARG(j->t->name), j->line, text);
}

int jinja_step(struct jinja *j, uint64_t n)
{
	j->steps += n;
	return j->steps > JINJA_MAX_STEPS ? jinja_fail(j, "too many steps (an endless loop?)") : 0;
}

static int deeper(struct jinja *j)
{
	return ++j->depth > JINJA_MAX_DEPTH
		       ? jinja_fail(j, "nested too deeply (endless recursion?)")
		       : 0;
}

void *jinja_alloc(struct jinja *j, size_t n, size_t size)
{
	size_t bytes;
	void *p;

	if (!ckd_mul_size(&bytes, n, size) || bytes > JINJA_MAX_MEMORY - j->bytes) {
		jinja_fail(j, "needs more than %d MiB", JINJA_MAX_MEMORY >> 20);
		return NULL;
	}
	j->bytes += bytes;
	p = arena_alloc(j->a, bytes ? bytes : 1);
	if (!p)
		err_nomem(j->e);
	return p;
}

/* ---- text under way ------------------------------------------------------------------------ */

static int grow(void **p, size_t *cap, struct jinja *j, size_t n, size_t need, size_t size)
{
	size_t c = *cap ? *cap : 1024 / size;
	void *q;

	if (need <= *cap)
		return 0;
	while (c < need)
		c *= 2;
	q = jinja_alloc(j, c, size);
	if (!q)
		return -1;
	if (n)
		memcpy(q, *p, n * size);
	*p = q;
	*cap = c;
	return 0;
}

int jinja_out(struct jinja *j, struct str s, bool user)
{
	struct jout *o = &j->out;
	void *p = o->p, *r = o->runs;

	if (!s.n)
		return 0;
	if (s.n > JINJA_MAX_OUTPUT - o->n)
		return jinja_fail(j, "the text grows over %d MiB", JINJA_MAX_OUTPUT >> 20);
	if (grow(&p, &o->cap, j, o->n, o->n + s.n, 1))
		return -1;
	o->p = p;
	memcpy(o->p + o->n, s.p, s.n);
	o->n += s.n;
	if (o->n_runs > o->floor && o->runs[o->n_runs - 1].user == user) {
		o->runs[o->n_runs - 1].end = o->n;
		return 0;
	}
	if (grow(&r, &o->cap_runs, j, o->n_runs, o->n_runs + 1, sizeof *o->runs))
		return -1;
	o->runs = r;
	o->runs[o->n_runs++] = (struct jrun){ o->n, user };
	return 0;
}

int jinja_out_str(struct jinja *j, struct jv s)
{
	size_t from = 0;

	if (!s.runs)
		return jinja_out(j, s.s, s.user);
	for (size_t i = 0; i < s.runs->n; from = s.runs->v[i++].end)
		if (jinja_out(j, str_sub(s.s, from, s.runs->v[i].end), s.runs->v[i].user))
			return -1;
	return 0;
}

struct jmark jinja_capture(struct jinja *j)
{
	struct jmark m = { j->out.n, j->out.n_runs, j->out.floor };

	j->out.floor = j->out.n_runs;
	return m;
}

void jinja_drop(struct jinja *j, struct jmark m)
{
	j->out.n = m.n;
	j->out.n_runs = m.n_runs;
	j->out.floor = m.floor;
}

int jinja_captured(struct jv *out, struct jinja *j, struct jmark m)
{
	struct jout *o = &j->out;
	size_t n = o->n - m.n, n_runs = o->n_runs - m.n_runs;
	char *p;

	p = jinja_alloc(j, n, 1);
	if (!p)
		return -1;
	if (n)
		memcpy(p, o->p + m.n, n);
	*out = jv_str((struct str){ p, n }, n_runs && o->runs[m.n_runs].user);
	if (n_runs > 1) {
		struct jruns *r = jinja_alloc(j, 1, sizeof *r + n_runs * sizeof *r->v);

		if (!r)
			return -1;
		r->n = n_runs;
		for (size_t i = 0; i < n_runs; i++)
			r->v[i] = (struct jrun){ o->runs[m.n_runs + i].end - m.n,
						 o->runs[m.n_runs + i].user };
		out->runs = r;
	}
	jinja_drop(j, m);
	return 0;
}

/* ---- making values ------------------------------------------------------------------------- */

struct jv jv_none(void)
{
	return (struct jv){ .type = JV_NONE };
}

struct jv jv_bool(bool b)
{
	return (struct jv){ .type = JV_BOOL, .b = b };
}

struct jv jv_int(int64_t i)
{
	return (struct jv){ .type = JV_INT, .i = i };
}

struct jv jv_float(double f)
{
	return (struct jv){ .type = JV_FLOAT, .f = f };
}

struct jv jv_str(struct str s, bool user)
{
	return (struct jv){ .type = JV_STR, .user = user, .s = s };
}

struct jv jv_undef(struct str name)
{
	return (struct jv){ .type = JV_UNDEF, .s = name };
}

int jv_list(struct jv *out, struct jinja *j, size_t cap)
{
	struct jlist *l = jinja_alloc(j, 1, sizeof *l);

	if (!l)
		return -1;
	*l = (struct jlist){ .v = cap ? jinja_alloc(j, cap, sizeof *l->v) : NULL, .cap = cap };
	if (cap && !l->v)
		return -1;
	*out = (struct jv){ .type = JV_LIST, .list = l };
	return 0;
}

int jv_push(struct jinja *j, struct jv list, struct jv item)
{
	struct jlist *l = list.list;
	void *p = l->v;

	if (grow(&p, &l->cap, j, l->n, l->n + 1, sizeof *l->v))
		return -1;
	l->v = p;
	l->v[l->n++] = item;
	return 0;
}

int jv_dict(struct jv *out, struct jinja *j, size_t cap)
{
	struct jdict *d = jinja_alloc(j, 1, sizeof *d);

	if (!d)
		return -1;
	*d = (struct jdict){ .v = cap ? jinja_alloc(j, cap, sizeof *d->v) : NULL, .cap = cap };
	if (cap && !d->v)
		return -1;
	*out = (struct jv){ .type = JV_DICT, .dict = d };
	return 0;
}

struct jv *jv_find(struct jinja *j, struct jv dict, struct str key)
{
	struct jdict *d = dict.dict;

	j->steps += d->n / 8;
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].key.type == JV_STR && str_eq(d->v[i].key.s, key))
			return &d->v[i].value;
	return NULL;
}

struct jv *jv_find_key(struct jinja *j, struct jv dict, struct jv key)
{
	struct jdict *d = dict.dict;
	bool same;

	if (key.type == JV_STR)
		return jv_find(j, dict, key.s);
	j->steps += d->n / 8;
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].key.type != JV_STR && !jv_eq(&same, j, d->v[i].key, key) && same)
			return &d->v[i].value;
	return NULL;
}

int jv_set(struct jinja *j, struct jv dict, struct jv key, struct jv value)
{
	struct jdict *d = dict.dict;
	struct jv *at = jv_find_key(j, dict, key);
	void *p = d->v;

	if (at) {
		*at = value;
		return jinja_step(j, 1);
	}
	if (grow(&p, &d->cap, j, d->n, d->n + 1, sizeof *d->v))
		return -1;
	d->v = p;
	d->v[d->n++] = (struct jpair){ key, value };
	return jinja_step(j, 1);
}

static int number_from_json(struct jv *out, struct json_val v, bool user)
{
	int64_t i;

	if (!json_i64(&i, v, NULL)) {
		*out = jv_int(i);
	} else {
		*out = jv_float(num_json_f64(v.raw));
		if (!memchr(v.raw.p, '.', v.raw.n) && !memchr(v.raw.p, 'e', v.raw.n) &&
		    !memchr(v.raw.p, 'E', v.raw.n))
			out->s = v.raw;
	}
	out->user = user;
	return 0;
}

static struct jv unread(struct json_val v, bool user)
{
	return (struct jv){ .type = JV_JSON, .user = user, .i = (int64_t)v.type, .s = v.raw };
}

int jv_from_json(struct jv *out, struct jinja *j, struct json_val v, bool user)
{
	struct json_iter it = json_iter(v);
	struct json_val x;
	struct str key;

	if (jinja_step(j, 1))
		return -1;
	switch (v.type) {
	case JSON_NULL:
		*out = jv_none();
		return 0;
	case JSON_FALSE:
	case JSON_TRUE:
		*out = jv_bool(v.type == JSON_TRUE);
		return 0;
	case JSON_NUMBER:
		return number_from_json(out, v, user);
	case JSON_STRING:
		*out = jv_str(STR(""), user);
		return json_str(&out->s, v, j->a, j->e);
	case JSON_ARRAY:
		if (jv_list(out, j, json_count(v)))
			return -1;
		while (json_next(&x, &it))
			if (jv_push(j, *out, unread(x, user)))
				return -1;
		break;
	case JSON_OBJECT:
		if (jv_dict(out, j, json_count(v)))
			return -1;
		while (json_next_member(&key, &x, &it)) {
			struct json_val quoted = { { key.p - 1, key.n + 2 }, JSON_STRING };
			struct jv k = jv_str(STR(""), user);

			if (json_str(&k.s, quoted, j->a, j->e) ||
			    jv_set(j, *out, k, unread(x, user)))
				return -1;
		}
		break;
	default:
		*out = jv_undef(STR(""));
		return 0;
	}
	out->user = user;
	return 0;
}

int jv_load(struct jinja *j, struct jv *v)
{
	if (v->type != JV_JSON)
		return 0;
	return jv_from_json(v, j, (struct json_val){ v->s, (enum json_type)v->i }, v->user);
}

int jv_sub(struct jv *out, struct jinja *j, struct jv s, size_t from, size_t to)
{
	struct jruns *r;
	size_t a = 0, b;

	if (to < from)
		to = from;
	*out = jv_str(str_sub(s.s, from, to), s.user);
	if (!s.runs)
		return 0;
	while (a + 1 < s.runs->n && s.runs->v[a].end <= from)
		a++;
	for (b = a; b + 1 < s.runs->n && s.runs->v[b].end < to;)
		b++;
	out->user = s.runs->v[a].user;
	if (a == b)
		return 0;
	r = jinja_alloc(j, 1, sizeof *r + (b - a + 1) * sizeof *r->v);
	if (!r)
		return -1;
	r->n = b - a + 1;
	for (size_t i = a; i <= b; i++)
		r->v[i - a] = (struct jrun){ (s.runs->v[i].end < to ? s.runs->v[i].end : to) - from,
					     s.runs->v[i].user };
	out->runs = r;
	return 0;
}

/* ---- asking values ------------------------------------------------------------------------- */

bool jv_is_num(struct jv v)
{
	return v.type == JV_BOOL || v.type == JV_INT || v.type == JV_FLOAT;
}

double jv_num(struct jv v)
{
	return v.type == JV_FLOAT ? v.f : v.type == JV_INT ? (double)v.i : (double)v.b;
}

static int64_t int_of(struct jv v)
{
	return v.type == JV_INT ? v.i : v.b;
}

bool jv_true(struct jv v)
{
	switch (v.type) {
	case JV_UNDEF:
	case JV_NONE:
		return false;
	case JV_BOOL:
		return v.b;
	case JV_INT:
		return v.i != 0;
	case JV_FLOAT:
		return v.f < 0 || v.f > 0 || isnan(v.f);
	case JV_STR:
		return v.s.n > 0;
	case JV_LIST:
		return v.list->n > 0;
	case JV_DICT:
		return v.dict->n > 0;
	default:
		return true;
	}
}

const char *jv_type_name(struct jv v)
{
	static const char *const names[] = { "Undefined",   "NoneType", "bool",     "int",
					     "float",       "str",      "list",     "dict",
					     "Namespace",   "Macro",    "function", "method",
					     "LoopContext", "json" };

	return v.type == JV_LIST && v.list->tuple ? "tuple" : names[v.type];
}

static int lists_equal(bool *out, struct jinja *j, struct jlist *a, struct jlist *b)
{
	*out = a->n == b->n && a->tuple == b->tuple;
	for (size_t i = 0; *out && i < a->n; i++)
		if (jv_load(j, &a->v[i]) || jv_load(j, &b->v[i]) || jv_eq(out, j, a->v[i], b->v[i]))
			return -1;
	return 0;
}

static int dicts_equal(bool *out, struct jinja *j, struct jv a, struct jv b)
{
	*out = a.dict->n == b.dict->n;
	for (size_t i = 0; *out && i < a.dict->n; i++) {
		struct jv *x = &a.dict->v[i].value, *y = jv_find_key(j, b, a.dict->v[i].key);

		*out = y != NULL;
		if (y && (jv_load(j, x) || jv_load(j, y) || jv_eq(out, j, *x, *y)))
			return -1;
	}
	return 0;
}

int jv_eq(bool *out, struct jinja *j, struct jv a, struct jv b)
{
	int r = 0;

	*out = false;
	if (jinja_step(j, 1) || deeper(j))
		return -1;
	if (jv_is_num(a) && jv_is_num(b)) {
		if (a.type != JV_FLOAT && b.type != JV_FLOAT)
			*out = int_of(a) == int_of(b);
		else
			*out = a.s.n || b.s.n ? str_eq(a.s, b.s)
					      : jv_num(a) <= jv_num(b) && jv_num(a) >= jv_num(b);
	} else if (a.type == b.type) {
		switch (a.type) {
		case JV_STR:
			*out = str_eq(a.s, b.s);
			break;
		case JV_LIST:
			r = lists_equal(out, j, a.list, b.list);
			break;
		case JV_DICT:
			r = dicts_equal(out, j, a, b);
			break;
		case JV_NAMESPACE:
			*out = a.dict == b.dict;
			break;
		case JV_LOOP:
			*out = a.loop == b.loop;
			break;
		case JV_MACRO:
			*out = a.macro == b.macro;
			break;
		default: /* none, undefined */
			*out = str_eq(a.s, b.s) || a.type <= JV_NONE;
		}
	}
	j->depth--;
	return r;
}

int jv_cmp(int *out, struct jinja *j, struct jv a, struct jv b)
{
	if (jinja_step(j, 1) || deeper(j))
		return -1;
	if (jv_is_num(a) && jv_is_num(b)) {
		if (a.type != JV_FLOAT && b.type != JV_FLOAT)
			*out = (int_of(a) > int_of(b)) - (int_of(a) < int_of(b));
		else
			*out = (jv_num(a) > jv_num(b)) - (jv_num(a) < jv_num(b));
	} else if (a.type == JV_STR && b.type == JV_STR) {
		*out = str_cmp(a.s, b.s);
	} else if (a.type == JV_LIST && b.type == JV_LIST) {
		struct jlist *x = a.list, *y = b.list;

		*out = (x->n > y->n) - (x->n < y->n);
		for (size_t i = 0; i < x->n && i < y->n; i++) {
			int c;

			if (jv_load(j, &x->v[i]) || jv_load(j, &y->v[i]) ||
			    jv_cmp(&c, j, x->v[i], y->v[i]))
				return -1;
			if (c) {
				*out = c;
				break;
			}
		}
	} else {
		return jinja_fail(j, "'%s' and '%s' have no order", jv_type_name(a),
				  jv_type_name(b));
	}
	j->depth--;
	return 0;
}

int jv_in(bool *out, struct jinja *j, struct jv item, struct jv in)
{
	*out = false;
	switch (in.type) {
	case JV_STR:
		if (item.type != JV_STR)
			return jinja_fail(j, "'in <string>' needs a string, not %s",
					  jv_type_name(item));
		*out = !item.s.n || str_find(in.s, item.s, 0) < in.s.n;
		return jinja_step(j, 1 + in.s.n / 64);
	case JV_LIST:
		for (size_t i = 0; !*out && i < in.list->n; i++)
			if (jv_load(j, &in.list->v[i]) || jv_eq(out, j, item, in.list->v[i]))
				return -1;
		return 0;
	case JV_DICT:
		*out = jv_find_key(j, in, item) != NULL;
		return jinja_step(j, 1);
	case JV_UNDEF:
		return 0;
	default:
		return jinja_fail(j, "a value of type '%s' holds nothing to look for with 'in'",
				  jv_type_name(in));
	}
}

int jv_items(struct jv *out, struct jinja *j, struct jv v)
{
	switch (v.type) {
	case JV_LIST:
		*out = v;
		return 0;
	case JV_DICT:
		if (jv_list(out, j, v.dict->n))
			return -1;
		for (size_t i = 0; i < v.dict->n; i++)
			out->list->v[out->list->n++] = v.dict->v[i].key;
		return jinja_step(j, v.dict->n);
	case JV_STR:
		if (jv_list(out, j, utf8_count(v.s)))
			return -1;
		for (size_t i = 0; i < v.s.n;) {
			struct jv c;
			unsigned len;

			utf8_get(v.s.p + i, v.s.p + v.s.n, &len);
			if (jv_sub(&c, j, v, i, i + len) || jv_push(j, *out, c))
				return -1;
			i += len;
		}
		return jinja_step(j, v.s.n);
	case JV_UNDEF:
		return jv_list(out, j, 0);
	default:
		return jinja_fail(j, "a value of type '%s' cannot be looped over", jv_type_name(v));
	}
}

int jv_len(int64_t *out, struct jinja *j, struct jv v)
{
	switch (v.type) {
	case JV_LIST:
		*out = (int64_t)v.list->n;
		return 0;
	case JV_DICT:
		*out = (int64_t)v.dict->n;
		return 0;
	case JV_STR:
		*out = (int64_t)utf8_count(v.s);
		return jinja_step(j, v.s.n / 64);
	case JV_UNDEF:
		*out = 0;
		return 0;
	default:
		return jinja_fail(j, "a value of type '%s' has no length", jv_type_name(v));
	}
}

/* Characters for which Python's str.isspace() is true. */
bool jinja_is_space(uint32_t cp)
{
	return cp == ' ' || (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x1f) || cp == 0x85 ||
	       cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 ||
	       cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

/* ---- as text ------------------------------------------------------------------------------- */

/* repr() of a float: the shortest digits, with an exponent below 1e-4 and from 1e16 on. */
static size_t put_float(char out[64], double f)
{
	char t[NUM_BUF], digits[NUM_BUF];
	int n = 0, exp = 0, point = -1, k = 0;
	const char *p = t;

	if (isnan(f) || isinf(f))
		return (size_t)snprintf(out, 64, "%s", isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
	t[num_put_f64(t, f)] = 0;
	if (*p == '-')
		out[k++] = *p++;
	for (; *p && *p != 'e' && *p != 'E'; p++)
		if (*p == '.')
			point = n;
		else
			digits[n++] = *p;
	if (*p)
		exp = (int)strtol(p + 1, NULL, 10);
	if (point < 0)
		point = n;
	point += exp;
	for (p = digits; n > 1 && *p == '0'; p++, n--) /* 0.001: leading zeros are none */
		point--;
	while (n > 1 && p[n - 1] == '0')
		n--;
	if (*p == '0')
		point = 1;
	if (point > -4 && point <= 16) {
		if (point < 1) {
			out[k++] = '0';
			out[k++] = '.';
			for (; point < 0; point++)
				out[k++] = '0';
			memcpy(out + k, p, (size_t)n);
			return (size_t)(k + n);
		}
		for (int i = 0; i < n || i <= point; i++) {
			if (i == point)
				out[k++] = '.';
			out[k++] = i < n ? p[i] : '0';
		}
		return (size_t)k;
	}
	out[k++] = p[0];
	if (n > 1) {
		out[k++] = '.';
		memcpy(out + k, p + 1, (size_t)n - 1);
		k += n - 1;
	}
	return (size_t)(k +
			snprintf(out + k, 16, "e%c%02d", point < 1 ? '-' : '+', abs(point - 1)));
}

static int out_z(struct jinja *j, const char *z, bool user)
{
	return jinja_out(j, str_of(z), user);
}

static int out_number(struct jinja *j, struct jv v)
{
	char t[64];

	if (v.type == JV_BOOL)
		return out_z(j, v.b ? "True" : "False", v.user);
	if (v.s.n)
		return jinja_out(j, v.s, v.user);
	return jinja_out(
		j, (struct str){ t, v.type == JV_INT ? num_put_i64(t, v.i) : put_float(t, v.f) },
		v.user);
}

/* A string with some bytes replaced by escapes: the text between them keeps its marks. */
static int out_escaped(struct jinja *j, struct jv s,
		       size_t (*escape)(char out[16], const char *p, const char *end, unsigned *len,
					const void *arg),
		       const void *arg)
{
	size_t from = 0, n;
	unsigned len = 1;
	struct jv part;
	char t[16];

	for (size_t i = 0; i < s.s.n; i += len) {
		len = 1;
		n = escape(t, s.s.p + i, s.s.p + s.s.n, &len, arg);
		if (!n)
			continue;
		if (jv_sub(&part, j, s, from, i) || jinja_out_str(j, part) ||
		    jv_sub(&part, j, s, i, i + len) ||
		    jinja_out(j, (struct str){ t, n }, part.user))
			return -1;
		from = i + len;
	}
	return jv_sub(&part, j, s, from, s.s.n) || jinja_out_str(j, part) ? -1 : 0;
}

static size_t escape_repr(char out[16], const char *p, const char *end, unsigned *len,
			  const void *arg)
{
	unsigned char c = (unsigned char)*p;

	(void)end;
	(void)len;
	if (c == '\\' || c == *(const unsigned char *)arg)
		return (size_t)snprintf(out, 16, "\\%c", c);
	if (c == '\n' || c == '\r' || c == '\t')
		return (size_t)snprintf(out, 16, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
	return c < 0x20 || c == 0x7f ? (size_t)snprintf(out, 16, "\\x%02x", c) : 0;
}

static int out_repr(struct jinja *j, struct jv v);

static int out_repr_list(struct jinja *j, struct jv v)
{
	bool tuple = v.list->tuple;

	if (out_z(j, tuple ? "(" : "[", v.user))
		return -1;
	for (size_t i = 0; i < v.list->n; i++)
		if ((i && out_z(j, ", ", v.user)) || jv_load(j, &v.list->v[i]) ||
		    out_repr(j, v.list->v[i]))
			return -1;
	return out_z(j, tuple ? v.list->n == 1 ? ",)" : ")" : "]", v.user);
}

static int out_repr_dict(struct jinja *j, struct jv v)
{
	if (out_z(j, "{", v.user))
		return -1;
	for (size_t i = 0; i < v.dict->n; i++) {
		struct jpair *p = &v.dict->v[i];

		if ((i && out_z(j, ", ", v.user)) || out_repr(j, p->key) ||
		    out_z(j, ": ", v.user) || jv_load(j, &p->value) || out_repr(j, p->value))
			return -1;
	}
	return out_z(j, "}", v.user);
}

/* repr() */
static int out_repr(struct jinja *j, struct jv v)
{
	char quote[2] = "'";
	int r;

	if (jinja_step(j, 1) || deeper(j))
		return -1;
	switch (v.type) {
	case JV_STR:
		if (memchr(v.s.p, '\'', v.s.n) && !memchr(v.s.p, '"', v.s.n))
			quote[0] = '"';
		r = out_z(j, quote, v.user) || out_escaped(j, v, escape_repr, quote) ||
				    out_z(j, quote, v.user)
			    ? -1
			    : 0;
		break;
	case JV_LIST:
		r = out_repr_list(j, v);
		break;
	case JV_DICT:
		r = out_repr_dict(j, v);
		break;
	case JV_UNDEF:
		r = out_z(j, "Undefined", false);
		break;
	default:
		r = jinja_out_text(j, v);
	}
	j->depth--;
	return r;
}

int jinja_out_text(struct jinja *j, struct jv v)
{
	switch (v.type) {
	case JV_UNDEF:
		return 0;
	case JV_NONE:
		return out_z(j, "None", false);
	case JV_BOOL:
	case JV_INT:
	case JV_FLOAT:
		return out_number(j, v);
	case JV_STR:
		return jinja_out_str(j, v);
	case JV_LIST:
	case JV_DICT:
		return out_repr(j, v);
	default:
		return jinja_fail(j, "a value of type '%s' cannot be printed", jv_type_name(v));
	}
}

int jv_text(struct jv *out, struct jinja *j, struct jv v)
{
	struct jmark m;

	if (v.type == JV_STR) {
		*out = v;
		return 0;
	}
	m = jinja_capture(j);
	return jinja_out_text(j, v) ? -1 : jinja_captured(out, j, m);
}

/* ---- as JSON, spelled as Python's json.dumps does ------------------------------------------ */

static size_t escape_json(char out[16], const char *p, const char *end, unsigned *len,
			  const void *arg)
{
	unsigned char c = (unsigned char)*p;

	switch (c) {
	case '"':
	case '\\':
		return (size_t)snprintf(out, 16, "\\%c", c);
	case '\n':
		return (size_t)snprintf(out, 16, "\\n");
	case '\r':
		return (size_t)snprintf(out, 16, "\\r");
	case '\t':
		return (size_t)snprintf(out, 16, "\\t");
	case '\b':
		return (size_t)snprintf(out, 16, "\\b");
	case '\f':
		return (size_t)snprintf(out, 16, "\\f");
	}
	if (c < 0x20)
		return (size_t)snprintf(out, 16, "\\u%04x", c);
	if (c >= 0x7f && ((const struct json_style *)arg)->ascii) {
		uint32_t cp = utf8_get(p, end, len);

		if (cp < 0x80)
			return 0;
		if (cp > 0xffff && cp != UTF8_BAD)
			return (size_t)snprintf(out, 16, "\\u%04x\\u%04x",
						0xd800 + ((cp - 0x10000) >> 10),
						0xdc00 + ((cp - 0x10000) & 0x3ff));
		return (size_t)snprintf(out, 16, "\\u%04x", cp & 0xffff);
	}
	return 0;
}

static int json_text(struct jinja *j, struct jv s, const struct json_style *st)
{
	return out_z(j, "\"", s.user) || out_escaped(j, s, escape_json, st) ||
			       out_z(j, "\"", s.user)
		       ? -1
		       : 0;
}

static int json_break(struct jinja *j, const struct json_style *st, int level, bool user)
{
	if (st->indent < 0)
		return 0;
	if (out_z(j, "\n", user))
		return -1;
	for (int i = 0; i < st->indent * level; i++)
		if (out_z(j, " ", user))
			return -1;
	return 0;
}

static int json_key(struct jinja *j, struct jv k, const struct json_style *st)
{
	if (k.type == JV_STR)
		return json_text(j, k, st);
	if (k.type > JV_FLOAT || k.type == JV_UNDEF)
		return jinja_fail(j, "a key of type '%s' cannot be JSON", jv_type_name(k));
	return out_z(j, "\"", false) || jv_json(j, k, st, 0) || out_z(j, "\"", false) ? -1 : 0;
}

/* The members' order: *out [n] places, by key when sorted (insertion sort: objects are small, and
 * steps are counted). */
static int json_order(size_t **out, struct jinja *j, const struct jdict *d, bool sort)
{
	size_t *o = jinja_alloc(j, d->n, sizeof *o);

	if (!o)
		return -1;
	for (size_t i = 0; i < d->n; i++) {
		size_t k = i;

		for (int c; sort && k; k--) {
			if (jv_cmp(&c, j, d->v[o[k - 1]].key, d->v[i].key))
				return -1;
			if (c <= 0)
				break;
			o[k] = o[k - 1];
		}
		o[k] = i;
	}
	*out = o;
	return 0;
}

static int json_dict(struct jinja *j, struct jv v, const struct json_style *st, int level)
{
	size_t *order;

	if (json_order(&order, j, v.dict, st->sort) || out_z(j, "{", v.user))
		return -1;
	for (size_t i = 0; i < v.dict->n; i++) {
		struct jpair *p = &v.dict->v[order[i]];

		if ((i && jinja_out(j, st->item, v.user)) || json_break(j, st, level + 1, v.user) ||
		    json_key(j, p->key, st) || jinja_out(j, st->key, v.user) ||
		    jv_load(j, &p->value) || jv_json(j, p->value, st, level + 1))
			return -1;
	}
	if (v.dict->n && json_break(j, st, level, v.user))
		return -1;
	return out_z(j, "}", v.user);
}

static int json_list(struct jinja *j, struct jv v, const struct json_style *st, int level)
{
	if (out_z(j, "[", v.user))
		return -1;
	for (size_t i = 0; i < v.list->n; i++)
		if ((i && jinja_out(j, st->item, v.user)) || json_break(j, st, level + 1, v.user) ||
		    jv_load(j, &v.list->v[i]) || jv_json(j, v.list->v[i], st, level + 1))
			return -1;
	if (v.list->n && json_break(j, st, level, v.user))
		return -1;
	return out_z(j, "]", v.user);
}

int jv_json(struct jinja *j, struct jv v, const struct json_style *st, int level)
{
	int r;

	if (jinja_step(j, 1) || deeper(j))
		return -1;
	switch (v.type) {
	case JV_NONE:
		r = out_z(j, "null", false);
		break;
	case JV_BOOL:
		r = out_z(j, v.b ? "true" : "false", false);
		break;
	case JV_FLOAT:
		r = isnan(v.f)             ? out_z(j, "NaN", false)
		    : isinf(v.f) && !v.s.n ? out_z(j, v.f < 0 ? "-Infinity" : "Infinity", false)
					   : out_number(j, v);
		break;
	case JV_INT:
		r = out_number(j, v);
		break;
	case JV_STR:
		r = json_text(j, v, st);
		break;
	case JV_LIST:
		r = json_list(j, v, st, level);
		break;
	case JV_DICT:
		r = json_dict(j, v, st, level);
		break;
	default:
		r = jinja_fail(j, "a value of type '%s' cannot be JSON", jv_type_name(v));
	}
	j->depth--;
	return r;
}
