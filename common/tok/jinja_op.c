/* jinja_op: operators of Python: arithmetic, slices, and strings' %. */
#include "config.h"
#include "tok/jinja_impl.h"
#include <math.h>

static int bad_types(struct jinja *j, enum jop op, struct jv a, struct jv b)
{
	static const char *const names[] = { "+", "-", "*", "/", "//", "%", "**", "~" };

	if (a.type == JV_UNDEF || b.type == JV_UNDEF)
		return jinja_fail(j, "'" STR_FMT "' is undefined",
				  STR_ARG(a.type == JV_UNDEF ? a.s : b.s));
	return jinja_fail(j, "'%s' and '%s' cannot be joined by %s", jv_type_name(a),
			  jv_type_name(b), names[op]);
}

static int int_pow(int64_t *out, int64_t base, int64_t exp)
{
	int64_t r = 1;

	for (; exp > 0; exp >>= 1) {
		if ((exp & 1) && !ckd_mul_i64(&r, r, base))
			return -1;
		if (exp > 1 && !ckd_mul_i64(&base, base, base))
			return -1;
	}
	*out = r;
	return 0;
}

/* Floor division and its remainder, as Python rounds. */
static void floor_div(int64_t *q, int64_t *r, int64_t a, int64_t b)
{
	*q = b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
	*r = b == -1 ? 0 : a % b;
	if (*r && (*r < 0) != (b < 0)) {
		--*q;
		*r += b;
	}
}

static int int_arith(struct jv *out, struct jinja *j, enum jop op, int64_t a, int64_t b)
{
	int64_t r = 0, q = 0;
	bool good = true;

	if ((op == JO_DIV || op == JO_FLOORDIV || op == JO_MOD) && !b)
		return jinja_fail(j, "division by zero");
	switch (op) {
	case JO_ADD:
		good = ckd_add_i64(&r, a, b);
		break;
	case JO_SUB:
		good = !__builtin_sub_overflow(a, b, &r);
		break;
	case JO_MUL:
		good = ckd_mul_i64(&r, a, b);
		break;
	case JO_DIV:
		*out = jv_float((double)a / (double)b);
		return 0;
	case JO_FLOORDIV:
		good = a != INT64_MIN || b != -1;
		floor_div(&r, &q, a, b);
		break;
	case JO_MOD:
		floor_div(&q, &r, a, b);
		break;
	default:
		if (b < 0) {
			*out = jv_float(pow((double)a, (double)b));
			return 0;
		}
		good = !int_pow(&r, a, b);
	}
	if (!good)
		return jinja_fail(j, "an integer of more than 64 bits");
	*out = jv_int(r);
	return 0;
}

static int float_arith(struct jv *out, struct jinja *j, enum jop op, double a, double b)
{
	double r;

	if ((op == JO_DIV || op == JO_FLOORDIV || op == JO_MOD) && !(b < 0 || b > 0))
		return jinja_fail(j, "division by zero");
	switch (op) {
	case JO_ADD:
		r = a + b;
		break;
	case JO_SUB:
		r = a - b;
		break;
	case JO_MUL:
		r = a * b;
		break;
	case JO_DIV:
		r = a / b;
		break;
	case JO_FLOORDIV:
		r = floor(a / b);
		break;
	case JO_MOD:
		r = fmod(a, b);
		if ((r < 0 || r > 0) && (r < 0) != (b < 0))
			r += b;
		break;
	default:
		r = pow(a, b);
	}
	*out = jv_float(r);
	return 0;
}

/* A string or list n times over. */
static int repeat(struct jv *out, struct jinja *j, struct jv v, int64_t n)
{
	struct jmark m = jinja_capture(j);

	if (v.type == JV_STR) {
		for (int64_t i = 0; v.s.n && i < n; i++)
			if (jinja_step(j, 1) || jinja_out_str(j, v))
				return -1;
		return jinja_captured(out, j, m);
	}
	jinja_drop(j, m);
	if (jv_list(out, j, 0))
		return -1;
	out->list->tuple = v.list->tuple;
	for (int64_t i = 0; v.list->n && i < n; i++)
		for (size_t k = 0; k < v.list->n; k++)
			if (jinja_step(j, 1) || jv_push(j, *out, v.list->v[k]))
				return -1;
	return 0;
}

static int concat(struct jv *out, struct jinja *j, struct jv a, struct jv b)
{
	struct jmark m;

	if (a.type == JV_STR && b.type == JV_STR && (!a.s.n || !b.s.n)) {
		*out = a.s.n ? a : b;
		return 0;
	}
	m = jinja_capture(j);
	return jinja_out_text(j, a) || jinja_out_text(j, b) || jinja_captured(out, j, m) ? -1 : 0;
}

static int join_lists(struct jv *out, struct jinja *j, struct jlist *a, struct jlist *b)
{
	if (jinja_step(j, a->n + b->n) || jv_list(out, j, a->n + b->n))
		return -1;
	out->list->tuple = a->tuple;
	for (size_t i = 0; i < a->n; i++)
		out->list->v[out->list->n++] = a->v[i];
	for (size_t i = 0; i < b->n; i++)
		out->list->v[out->list->n++] = b->v[i];
	return 0;
}

int jinja_arith(struct jv *out, struct jinja *j, enum jop op, struct jv a, struct jv b)
{
	bool a_seq = a.type == JV_STR || a.type == JV_LIST,
	     b_seq = b.type == JV_STR || b.type == JV_LIST;

	if (op == JO_CONCAT)
		return concat(out, j, a, b);
	if (jv_is_num(a) && jv_is_num(b)) {
		if (a.type == JV_FLOAT || b.type == JV_FLOAT)
			return float_arith(out, j, op, jv_num(a), jv_num(b));
		return int_arith(out, j, op, a.type == JV_INT ? a.i : a.b,
				 b.type == JV_INT ? b.i : b.b);
	}
	if (op == JO_ADD && a.type == JV_STR && b.type == JV_STR)
		return concat(out, j, a, b);
	if (op == JO_ADD && a.type == JV_LIST && b.type == JV_LIST)
		return join_lists(out, j, a.list, b.list);
	if (op == JO_MUL && a_seq && (b.type == JV_INT || b.type == JV_BOOL))
		return repeat(out, j, a, b.type == JV_INT ? b.i : b.b);
	if (op == JO_MUL && b_seq && (a.type == JV_INT || a.type == JV_BOOL))
		return repeat(out, j, b, a.type == JV_INT ? a.i : a.b);
	if (op == JO_MOD && a.type == JV_STR) {
		bool tuple = b.type == JV_LIST && b.list->tuple;

		return jinja_printf(out, j, a, tuple ? b.list->v : &b, tuple ? b.list->n : 1);
	}
	return bad_types(j, op, a, b);
}

/* ---- slices -------------------------------------------------------------------------------- */

/* One bound of a slice, moved into [lo, hi]; `none` where it is left out. */
static int bound(int64_t *out, struct jinja *j, struct jv v, int64_t n, int64_t none, int64_t lo,
		 int64_t hi)
{
	if (v.type == JV_NONE) {
		*out = none;
		return 0;
	}
	if (v.type != JV_INT)
		return jinja_fail(j, "a slice needs integers, not '%s'", jv_type_name(v));
	*out = v.i < 0 ? v.i < -n ? lo : v.i + n : v.i;
	*out = *out < lo ? lo : *out > hi ? hi : *out;
	return 0;
}

/* Byte offset of the i-th character. */
static size_t char_at(struct str s, int64_t i)
{
	size_t at = 0;

	for (; i > 0 && at < s.n; i--)
		do
			at++;
		while (at < s.n && ((unsigned char)s.p[at] & 0xc0) == 0x80);
	return at;
}

int jinja_slice(struct jv *out, struct jinja *j, struct jv v, const struct jv part[3])
{
	int64_t n, from = 0, to = 0, step = 1;
	struct jv items;
	struct jmark m;

	if (v.type != JV_STR && v.type != JV_LIST)
		return v.type == JV_UNDEF
			       ? jinja_fail(j, "'" STR_FMT "' is undefined", STR_ARG(v.s))
			       : jinja_fail(j, "a value of type '%s' has no slices",
					    jv_type_name(v));
	if (jv_len(&n, j, v))
		return -1;
	if (part[2].type != JV_NONE) {
		if (part[2].type != JV_INT || !part[2].i || part[2].i == INT64_MIN)
			return jinja_fail(j, "a slice's step must be an integer other than 0");
		step = part[2].i;
	}
	if (bound(&from, j, part[0], n, step > 0 ? 0 : n - 1, step > 0 ? 0 : -1,
		  step > 0 ? n : n - 1) ||
	    bound(&to, j, part[1], n, step > 0 ? n : -1, step > 0 ? 0 : -1, step > 0 ? n : n - 1))
		return -1;
	if (v.type == JV_STR && step == 1) {
		size_t a = char_at(v.s, from);

		return jinja_step(j, v.s.n / 16) ||
				       jv_sub(out, j, v, a, to > from ? char_at(v.s, to) : a)
			       ? -1
			       : 0;
	}
	if (jv_items(&items, j, v) || jv_list(out, j, 0))
		return -1;
	out->list->tuple = items.list->tuple;
	for (int64_t i = from; step > 0 ? i < to : i > to;) {
		if (jinja_step(j, 1) || jv_push(j, *out, items.list->v[i]))
			return -1;
		if (__builtin_add_overflow(i, step, &i))
			break;
	}
	if (v.type == JV_LIST) {
		out->user = v.user;
		return 0;
	}
	items = *out;
	m = jinja_capture(j);
	for (size_t i = 0; i < items.list->n; i++)
		if (jinja_out_str(j, items.list->v[i]))
			return -1;
	return jinja_captured(out, j, m);
}

/* ---- printf -------------------------------------------------------------------------------- */

/* One conversion at f.s.p[*i] (behind '%'). */
static int conversion(struct jinja *j, struct jv f, size_t *i, const struct jv *v)
{
	static const char flags[] = "-+ 0#";
	char spec[40] = "%", text[600];
	size_t n = 1, from = *i;
	struct jv s;
	char c;

	while (*i < f.s.n && *i - from < 16 &&
	       (memchr(flags, f.s.p[*i], 5) || (f.s.p[*i] >= '0' && f.s.p[*i] <= '9') ||
		f.s.p[*i] == '.'))
		spec[n++] = f.s.p[(*i)++];
	spec[n] = 0;
	for (const char *p = spec; *p; p++) /* no width of four digits */
		if (p[0] >= '0' && p[0] <= '9' && p[1] >= '0' && p[1] <= '9' && p[2] >= '0' &&
		    p[2] <= '9')
			return jinja_fail(j, "a width over 99 in '%s'", spec);
	c = *i < f.s.n ? f.s.p[(*i)++] : (char)0;
	if (c == 's' || c == 'r')
		return n > 1 ? jinja_fail(j, "%%s takes no width here") : jinja_out_text(j, *v);
	if (!c || !memchr("dixXeEfFgG", c, 10))
		return jinja_fail(j, "unknown conversion in '" STR_FMT "'", STR_ARG(f.s));
	if (!jv_is_num(*v))
		return jinja_fail(j, "%%%c needs a number, not '%s'", c, jv_type_name(*v));
	if (memchr("dixX", c, 4)) {
		if (v->type == JV_FLOAT && !(fabs(v->f) < 9e18))
			return jinja_fail(j, "%%%c: out of range", c);
		int64_t whole = v->type == JV_FLOAT ? (int64_t)v->f
				: v->type == JV_INT ? v->i
						    : v->b;

		snprintf(spec + n, sizeof spec - n, "ll%c", c);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof text, spec, (long long)whole);
	} else {
		spec[n] = c;
		spec[n + 1] = 0;
		snprintf(text, sizeof text, spec, jv_num(*v));
#pragma GCC diagnostic pop
	}
	s = jv_str(str_of(text), v->user);
	return jinja_out_str(j, s);
}

int jinja_printf(struct jv *out, struct jinja *j, struct jv f, const struct jv *v, size_t n)
{
	struct jmark m = jinja_capture(j);
	size_t used = 0, from = 0;
	struct jv part;

	for (size_t i = 0; i < f.s.n;) {
		if (f.s.p[i] != '%') {
			i++;
			continue;
		}
		if (jv_sub(&part, j, f, from, i) || jinja_out_str(j, part))
			return -1;
		if (++i < f.s.n && f.s.p[i] == '%') {
			from = i++;
			continue;
		}
		if (used == n)
			return jinja_fail(j, "not enough arguments for '" STR_FMT "'",
					  STR_ARG(f.s));
		if (conversion(j, f, &i, &v[used++]))
			return -1;
		from = i;
	}
	if (used < n)
		return jinja_fail(j, "too many arguments for '" STR_FMT "'", STR_ARG(f.s));
	return jv_sub(&part, j, f, from, f.s.n) || jinja_out_str(j, part) ||
			       jinja_captured(out, j, m)
		       ? -1
		       : 0;
}
