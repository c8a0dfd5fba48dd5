/* jinja_method: tests, methods of strings, lists and dicts, global functions. */
#include "config.h"
#include "tok/jinja_impl.h"
#include <time.h>

/* ---- tests --------------------------------------------------------------------------------- */

enum test_kind {
	T_DEFINED,
	T_UNDEFINED,
	T_NONE,
	T_STRING,
	T_MAPPING,
	T_ITERABLE,
	T_SEQUENCE,
	T_BOOLEAN,
	T_TRUE,
	T_FALSE,
	T_NUMBER,
	T_INTEGER,
	T_FLOAT,
	T_CALLABLE,
	T_ODD,
	T_EVEN,
	T_DIVISIBLE,
	T_IN,
	T_EQ,
	T_NE,
	T_LT,
	T_LE,
	T_GT,
	T_GE,
	T_SAMEAS,
	T_LOWER,
	T_UPPER,
	T_ESCAPED,
};
static const struct {
	const char *name;
	enum test_kind kind;
} tests[] = {
	{ "defined", T_DEFINED },
	{ "undefined", T_UNDEFINED },
	{ "none", T_NONE },
	{ "string", T_STRING },
	{ "mapping", T_MAPPING },
	{ "iterable", T_ITERABLE },
	{ "sequence", T_SEQUENCE },
	{ "boolean", T_BOOLEAN },
	{ "true", T_TRUE },
	{ "false", T_FALSE },
	{ "number", T_NUMBER },
	{ "integer", T_INTEGER },
	{ "float", T_FLOAT },
	{ "callable", T_CALLABLE },
	{ "odd", T_ODD },
	{ "even", T_EVEN },
	{ "divisibleby", T_DIVISIBLE },
	{ "in", T_IN },
	{ "eq", T_EQ },
	{ "equalto", T_EQ },
	{ "==", T_EQ },
	{ "ne", T_NE },
	{ "!=", T_NE },
	{ "lt", T_LT },
	{ "lessthan", T_LT },
	{ "<", T_LT },
	{ "le", T_LE },
	{ "<=", T_LE },
	{ "gt", T_GT },
	{ "greaterthan", T_GT },
	{ ">", T_GT },
	{ "ge", T_GE },
	{ ">=", T_GE },
	{ "sameas", T_SAMEAS },
	{ "lower", T_LOWER },
	{ "upper", T_UPPER },
	{ "escaped", T_ESCAPED },
};

/* Tests with one argument. */
static int test_two(bool *out, struct jinja *j, enum test_kind kind, struct jv v, struct jv w)
{
	int c;

	switch (kind) {
	case T_IN:
		return jv_in(out, j, v, w);
	case T_EQ:
	case T_NE:
		if (jv_eq(out, j, v, w))
			return -1;
		*out = *out == (kind == T_EQ);
		return 0;
	case T_SAMEAS: /* identity of what is no object is type and value */
		*out = false;
		if (v.type != w.type)
			return 0;
		if (v.type == JV_LIST || v.type == JV_DICT) {
			*out = v.type == JV_LIST ? v.list == w.list : v.dict == w.dict;
			return 0;
		}
		return jv_eq(out, j, v, w);
	case T_DIVISIBLE:
		if (v.type != JV_INT || w.type != JV_INT || !w.i)
			return jinja_fail(j, "divisibleby needs two integers");
		*out = w.i == -1 || v.i % w.i == 0;
		return 0;
	default:
		if (jv_cmp(&c, j, v, w))
			return -1;
		*out = kind == T_LT ? c < 0 : kind == T_LE ? c <= 0 : kind == T_GT ? c > 0 : c >= 0;
		return 0;
	}
}

/* Has it letters, all of this case? */
static int test_case(bool *out, struct jinja *j, struct jv v, enum jcase how)
{
	struct jv same, other;

	*out = false;
	if (v.type != JV_STR)
		return 0;
	if (jinja_case(&same, j, v, how) ||
	    jinja_case(&other, j, v, how == JC_LOWER ? JC_UPPER : JC_LOWER))
		return -1;
	*out = str_eq(same.s, v.s) && !str_eq(other.s, v.s);
	return 0;
}

static int test_one(bool *out, struct jinja *j, enum test_kind kind, struct jv v)
{
	switch (kind) {
	case T_DEFINED:
		*out = v.type != JV_UNDEF;
		return 0;
	case T_UNDEFINED:
		*out = v.type == JV_UNDEF;
		return 0;
	case T_NONE:
		*out = v.type == JV_NONE;
		return 0;
	case T_STRING:
		*out = v.type == JV_STR;
		return 0;
	case T_MAPPING:
		*out = v.type == JV_DICT;
		return 0;
	case T_ITERABLE:
		*out = v.type == JV_STR || v.type == JV_LIST || v.type == JV_DICT ||
		       v.type == JV_UNDEF || v.type == JV_LOOP;
		return 0;
	case T_SEQUENCE:
		*out = v.type == JV_STR || v.type == JV_LIST || v.type == JV_DICT ||
		       v.type == JV_UNDEF;
		return 0;
	case T_BOOLEAN:
		*out = v.type == JV_BOOL;
		return 0;
	case T_TRUE:
		*out = v.type == JV_BOOL && v.b;
		return 0;
	case T_FALSE:
		*out = v.type == JV_BOOL && !v.b;
		return 0;
	case T_NUMBER:
		*out = jv_is_num(v);
		return 0;
	case T_INTEGER:
		*out = v.type == JV_INT;
		return 0;
	case T_FLOAT:
		*out = v.type == JV_FLOAT;
		return 0;
	case T_CALLABLE:
		*out = v.type == JV_MACRO || v.type == JV_FUNC || v.type == JV_METHOD;
		return 0;
	case T_ODD:
	case T_EVEN:
		if (v.type != JV_INT)
			return jinja_fail(j, "odd and even need an integer, not '%s'",
					  jv_type_name(v));
		*out = (v.i % 2 != 0) == (kind == T_ODD);
		return 0;
	case T_LOWER:
	case T_UPPER:
		return test_case(out, j, v, kind == T_LOWER ? JC_LOWER : JC_UPPER);
	default:
		*out = false;
		return 0;
	}
}

int jinja_test(bool *out, struct jinja *j, struct str name, struct jv v, const struct jargs *args)
{
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
		enum test_kind k = tests[i].kind;

		if (!str_is(name, tests[i].name))
			continue;
		if (k < T_DIVISIBLE || k > T_SAMEAS)
			return test_one(out, j, k, v);
		if (args->n != 1)
			return jinja_fail(j, "the test '" STR_FMT "' needs one argument",
					  STR_ARG(name));
		return test_two(out, j, k, v, args->v[0]);
	}
	return jinja_fail(j, "unknown test '" STR_FMT "'", STR_ARG(name));
}

/* ---- methods of strings -------------------------------------------------------------------- */

typedef int method_fn(struct jv *out, struct jinja *j, struct jv self, const struct jargs *a);

static int strip_by(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a, bool left,
		    bool right)
{
	struct jv chars = jv_none(), *given = jinja_arg(a, 0, "chars");

	if (given && given->type != JV_NONE && jinja_arg_str(&chars, j, a, 0, "chars"))
		return -1;
	return jinja_strip(out, j, s, chars.type == JV_STR ? &chars : NULL, left, right);
}

static int s_strip(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	return strip_by(out, j, s, a, true, true);
}

static int s_lstrip(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	return strip_by(out, j, s, a, true, false);
}

static int s_rstrip(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	return strip_by(out, j, s, a, false, true);
}

static int split_by(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a, bool right)
{
	struct jv *sep = jinja_arg(a, 0, "sep");
	int64_t max = -1;

	if (jinja_arg_i64(&max, j, a, 1, "maxsplit"))
		return -1;
	return jinja_split(out, j, s, sep ? *sep : jv_none(), max, right);
}

static int s_split(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	return split_by(out, j, s, a, false);
}

static int s_rsplit(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	return split_by(out, j, s, a, true);
}

/* startswith and endswith: a string or a tuple of them. */
static int affix(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a, bool end)
{
	struct jv one, list;
	bool yes = false;

	if (a->n != 1)
		return jinja_fail(j, "startswith() and endswith() take one argument");
	one = a->v[0];
	if (one.type == JV_STR) {
		*out = jv_bool(end ? str_ends(s.s, one.s) : str_starts(s.s, one.s));
		return 0;
	}
	if (jv_items(&list, j, one))
		return -1;
	for (size_t i = 0; i < list.list->n; i++) {
		struct jv *x = &list.list->v[i];

		if (jinja_step(j, 1) || jv_load(j, x))
			return -1;
		yes |= x->type == JV_STR && (end ? str_ends(s.s, x->s) : str_starts(s.s, x->s));
	}
	*out = jv_bool(yes);
	return 0;
}

static int s_startswith(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	return affix(out, j, s, a, false);
}

static int s_endswith(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	return affix(out, j, s, a, true);
}

static int s_replace(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	return jinja_filter(out, j, STR("replace"), s, a);
}

static int s_upper(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	(void)a;
	return jinja_case(out, j, s, JC_UPPER);
}

static int s_lower(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	(void)a;
	return jinja_case(out, j, s, JC_LOWER);
}

static int s_title(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	(void)a;
	return jinja_case(out, j, s, JC_TITLE);
}

static int s_capitalize(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	(void)a;
	return jinja_case(out, j, s, JC_CAPITAL);
}

static int s_join(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	return a->n == 1 ? jinja_join(out, j, a->v[0], s, NULL)
			 : jinja_fail(j, "join() takes one argument");
}

/* Number of characters before the first place of the argument, or -1. */
static int s_find(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	size_t at;

	if (a->n != 1 || a->v[0].type != JV_STR)
		return jinja_fail(j, "find() takes one string");
	at = a->v[0].s.n ? str_find(s.s, a->v[0].s, 0) : 0;
	*out = jv_int(at < s.s.n || !a->v[0].s.n ? (int64_t)utf8_count(str_sub(s.s, 0, at)) : -1);
	return jinja_step(j, 1 + s.s.n / 64);
}

static int s_count(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	int64_t n = 0;

	if (a->n != 1 || a->v[0].type != JV_STR)
		return jinja_fail(j, "count() takes one string");
	if (!a->v[0].s.n)
		n = 1 + (int64_t)utf8_count(s.s);
	else
		for (size_t at = 0; (at = str_find(s.s, a->v[0].s, at)) < s.s.n; at += a->v[0].s.n)
			n++;
	*out = jv_int(n);
	return jinja_step(j, 1 + s.s.n / 16);
}

static int s_splitlines(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	(void)a;
	return jinja_lines(out, j, s);
}

static int all_in(struct jv *out, struct jv s, const char *from, size_t n)
{
	bool yes = s.s.n > 0;

	for (size_t i = 0; i < s.s.n; i++)
		yes &= memchr(from, s.s.p[i], n) != NULL;
	*out = jv_bool(yes);
	return 0;
}

static int s_isdigit(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	(void)j, (void)a;
	return all_in(out, s, "0123456789", 10);
}

/* "{}", "{0}" and "{name}", with a printf-like format behind a colon. */
static int s_format(struct jv *out, struct jinja *j, struct jv s, const struct jargs *a)
{
	struct jmark m = jinja_capture(j);
	size_t next = 0, from = 0;
	struct jv part;

	for (size_t i = 0; i < s.s.n; i++) {
		struct str name, spec = STR("");
		struct jv *v = NULL;
		uint64_t place;
		size_t end, colon;

		if (s.s.p[i] != '{' && s.s.p[i] != '}')
			continue;
		if (jv_sub(&part, j, s, from, i) || jinja_out_str(j, part))
			return -1;
		if (i + 1 < s.s.n && s.s.p[i + 1] == s.s.p[i]) { /* a brace doubled */
			from = ++i;
			continue;
		}
		end = str_find(s.s, STR("}"), i);
		if (s.s.p[i] == '}' || end == s.s.n)
			return jinja_fail(j, "a lone brace in '" STR_FMT "'", STR_ARG(s.s));
		name = str_sub(s.s, i + 1, end);
		colon = str_find(name, STR(":"), 0);
		if (colon < name.n) {
			spec = str_sub(name, colon + 1, name.n);
			name.n = colon;
		}
		if (!name.n)
			v = next < a->n ? &a->v[next++] : NULL;
		else if (!num_u64(&place, name, 0, JINJA_MAX_ARGS, NULL))
			v = place < a->n ? &a->v[place] : NULL;
		for (size_t k = 0; !v && name.n && k < a->n_kw; k++)
			v = str_eq(a->kw[k].name, name) ? &a->kw[k].v : NULL;
		if (!v)
			return jinja_fail(j, "format() has no argument for '{" STR_FMT "}'",
					  STR_ARG(name));
		part = *v;
		if (spec.n) {
			struct jv f = jv_str(STR("%"), false);

			if (jinja_arith(&f, j, JO_ADD, f, jv_str(spec, false)) ||
			    jinja_printf(&part, j, f, v, 1))
				return -1;
		}
		if (jinja_out_text(j, part))
			return -1;
		i = end;
		from = end + 1;
	}
	return jv_sub(&part, j, s, from, s.s.n) || jinja_out_str(j, part) ||
			       jinja_captured(out, j, m)
		       ? -1
		       : 0;
}

/* ---- methods of dicts and lists ------------------------------------------------------------ */

static int d_view(struct jv *out, struct jinja *j, struct jv d, bool keys, bool values)
{
	struct jv pair;

	if (jv_list(out, j, d.dict->n) || jinja_step(j, d.dict->n))
		return -1;
	for (size_t i = 0; i < d.dict->n; i++) {
		struct jpair *p = &d.dict->v[i];

		if (values && jv_load(j, &p->value))
			return -1;
		pair = keys ? p->key : p->value;
		if (keys && values) {
			if (jv_list(&pair, j, 2))
				return -1;
			pair.list->tuple = true;
			pair.list->v[0] = p->key;
			pair.list->v[1] = p->value;
			pair.list->n = 2;
		}
		out->list->v[out->list->n++] = pair;
	}
	out->user = d.user;
	return 0;
}

static int d_items(struct jv *out, struct jinja *j, struct jv d, const struct jargs *a)
{
	(void)a;
	return d_view(out, j, d, true, true);
}

static int d_keys(struct jv *out, struct jinja *j, struct jv d, const struct jargs *a)
{
	(void)a;
	return d_view(out, j, d, true, false);
}

static int d_values(struct jv *out, struct jinja *j, struct jv d, const struct jargs *a)
{
	(void)a;
	return d_view(out, j, d, false, true);
}

static int d_get(struct jv *out, struct jinja *j, struct jv d, const struct jargs *a)
{
	struct jv *at, *other = jinja_arg(a, 1, "default");

	if (!a->n)
		return jinja_fail(j, "get() needs a key");
	at = jv_find_key(j, d, a->v[0]);
	if (at && jv_load(j, at))
		return -1;
	*out = at ? *at : other ? *other : jv_none();
	return 0;
}

static int d_update(struct jv *out, struct jinja *j, struct jv d, const struct jargs *a)
{
	*out = jv_none();
	for (size_t i = 0; i < a->n; i++) {
		if (a->v[i].type != JV_DICT)
			return jinja_fail(j, "update() needs a mapping, not '%s'",
					  jv_type_name(a->v[i]));
		for (size_t k = 0; k < a->v[i].dict->n; k++)
			if (jv_set(j, d, a->v[i].dict->v[k].key, a->v[i].dict->v[k].value))
				return -1;
	}
	for (size_t i = 0; i < a->n_kw; i++)
		if (jv_set(j, d, jv_str(a->kw[i].name, false), a->kw[i].v))
			return -1;
	return 0;
}

static int d_pop(struct jv *out, struct jinja *j, struct jv d, const struct jargs *a)
{
	struct jv *at;

	if (!a->n)
		return jinja_fail(j, "pop() of a mapping needs a key");
	at = jv_find_key(j, d, a->v[0]);
	if (!at) {
		if (a->n < 2)
			return jinja_fail(j, "pop(): there is no such key");
		*out = a->v[1];
		return 0;
	}
	if (jv_load(j, at))
		return -1;
	*out = *at;
	for (struct jpair *p = d.dict->v; p < d.dict->v + d.dict->n; p++)
		if (&p->value == at) {
			memmove(p, p + 1, (size_t)(d.dict->v + d.dict->n - p - 1) * sizeof *p);
			d.dict->n--;
			break;
		}
	return jinja_step(j, d.dict->n);
}

static int d_copy(struct jv *out, struct jinja *j, struct jv d, const struct jargs *a)
{
	(void)a;
	if (jv_dict(out, j, d.dict->n) || jinja_step(j, d.dict->n))
		return -1;
	if (d.dict->n)
		memcpy(out->dict->v, d.dict->v, d.dict->n * sizeof *d.dict->v);
	out->dict->n = d.dict->n;
	out->user = d.user;
	return 0;
}

static int l_append(struct jv *out, struct jinja *j, struct jv l, const struct jargs *a)
{
	*out = jv_none();
	return a->n == 1 ? jv_push(j, l, a->v[0]) : jinja_fail(j, "append() takes one argument");
}

static int l_extend(struct jv *out, struct jinja *j, struct jv l, const struct jargs *a)
{
	struct jv items;

	*out = jv_none();
	if (a->n != 1 || jv_items(&items, j, a->v[0]))
		return a->n != 1 ? jinja_fail(j, "extend() takes one argument") : -1;
	for (size_t i = 0, n = items.list->n; i < n; i++)
		if (jinja_step(j, 1) || jv_push(j, l, items.list->v[i]))
			return -1;
	return 0;
}

/* Where pop() and insert() mean; n is one past the last place allowed. */
static int place(size_t *out, struct jinja *j, const struct jargs *a, int64_t none, size_t len,
		 size_t n)
{
	int64_t i = none;

	if (jinja_arg_i64(&i, j, a, 0, "index"))
		return -1;
	i += i < 0 ? (int64_t)len : 0;
	if (i < 0 || (size_t)i >= n)
		return jinja_fail(j, "the index is outside of the list");
	*out = (size_t)i;
	return 0;
}

static int l_pop(struct jv *out, struct jinja *j, struct jv l, const struct jargs *a)
{
	struct jlist *v = l.list;
	size_t i;

	if (place(&i, j, a, -1, v->n, v->n) || jv_load(j, &v->v[i]))
		return -1;
	*out = v->v[i];
	memmove(v->v + i, v->v + i + 1, (v->n - i - 1) * sizeof *v->v);
	v->n--;
	return jinja_step(j, v->n - i);
}

static int l_insert(struct jv *out, struct jinja *j, struct jv l, const struct jargs *a)
{
	struct jlist *v = l.list;
	size_t i;

	*out = jv_none();
	if (a->n != 2)
		return jinja_fail(j, "insert() takes an index and a value");
	if (place(&i, j, a, 0, v->n, v->n + 1) || jv_push(j, l, a->v[1]))
		return -1;
	memmove(v->v + i + 1, v->v + i, (v->n - 1 - i) * sizeof *v->v);
	v->v[i] = a->v[1];
	return jinja_step(j, v->n - i);
}

static int l_index(struct jv *out, struct jinja *j, struct jv l, const struct jargs *a)
{
	bool same;

	if (a->n != 1)
		return jinja_fail(j, "index() takes one argument");
	for (size_t i = 0; i < l.list->n; i++) {
		if (jv_load(j, &l.list->v[i]) || jv_eq(&same, j, l.list->v[i], a->v[0]))
			return -1;
		if (same) {
			*out = jv_int((int64_t)i);
			return 0;
		}
	}
	return jinja_fail(j, "index(): the value is not in the list");
}

static int l_count(struct jv *out, struct jinja *j, struct jv l, const struct jargs *a)
{
	int64_t n = 0;
	bool same;

	if (a->n != 1)
		return jinja_fail(j, "count() takes one argument");
	for (size_t i = 0; i < l.list->n; i++) {
		if (jv_load(j, &l.list->v[i]) || jv_eq(&same, j, l.list->v[i], a->v[0]))
			return -1;
		n += same;
	}
	*out = jv_int(n);
	return 0;
}

static const struct {
	enum jv_type type;
	const char *name;
	method_fn *fn;
} methods[] = {
	{ JV_STR, "strip", s_strip },
	{ JV_STR, "lstrip", s_lstrip },
	{ JV_STR, "rstrip", s_rstrip },
	{ JV_STR, "split", s_split },
	{ JV_STR, "rsplit", s_rsplit },
	{ JV_STR, "startswith", s_startswith },
	{ JV_STR, "endswith", s_endswith },
	{ JV_STR, "replace", s_replace },
	{ JV_STR, "upper", s_upper },
	{ JV_STR, "lower", s_lower },
	{ JV_STR, "title", s_title },
	{ JV_STR, "capitalize", s_capitalize },
	{ JV_STR, "format", s_format },
	{ JV_STR, "join", s_join },
	{ JV_STR, "find", s_find },
	{ JV_STR, "count", s_count },
	{ JV_STR, "splitlines", s_splitlines },
	{ JV_STR, "isdigit", s_isdigit },
	{ JV_DICT, "items", d_items },
	{ JV_DICT, "keys", d_keys },
	{ JV_DICT, "values", d_values },
	{ JV_DICT, "get", d_get },
	{ JV_DICT, "update", d_update },
	{ JV_DICT, "pop", d_pop },
	{ JV_DICT, "copy", d_copy },
	{ JV_LIST, "append", l_append },
	{ JV_LIST, "extend", l_extend },
	{ JV_LIST, "pop", l_pop },
	{ JV_LIST, "insert", l_insert },
	{ JV_LIST, "index", l_index },
	{ JV_LIST, "count", l_count },
};

static method_fn *find_method(enum jv_type type, struct str name)
{
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (methods[i].type == type && str_is(name, methods[i].name))
			return methods[i].fn;
	return NULL;
}

bool jinja_has_method(struct jv v, struct str name)
{
	return find_method(v.type, name) != NULL;
}

int jinja_method(struct jv *out, struct jinja *j, struct jv self, struct str name,
		 const struct jargs *args)
{
	method_fn *fn = find_method(self.type, name);

	if (!fn)
		return jinja_fail(j, "'%s' has no method '" STR_FMT "'", jv_type_name(self),
				  STR_ARG(name));
	return fn(out, j, self, args);
}

/* ---- global functions ---------------------------------------------------------------------- */

static int g_range(struct jv *out, struct jinja *j, const struct jargs *a)
{
	int64_t v[3] = { 0, 0, 1 }, n = 0;

	if (a->n < 1 || a->n > 3)
		return jinja_fail(j, "range() takes one to three integers");
	for (size_t i = 0; i < a->n; i++)
		if (jinja_arg_i64(&v[a->n == 1 ? 1 : i], j, a, i, "range()'s argument"))
			return -1;
	if (!v[2])
		return jinja_fail(j, "range() cannot step by 0");
	if (jv_list(out, j, 0))
		return -1;
	for (int64_t i = v[0]; v[2] > 0 ? i < v[1] : i > v[1];) {
		if (++n > JINJA_MAX_RANGE)
			return jinja_fail(j, "range() of more than %d", JINJA_MAX_RANGE);
		if (jv_push(j, *out, jv_int(i)))
			return -1;
		if (!ckd_add_i64(&i, i, v[2]))
			break;
	}
	return jinja_step(j, (uint64_t)n);
}

/* dict(…) and namespace(…): mappings copied, then names. */
static int g_dict(struct jv *out, struct jinja *j, const struct jargs *a)
{
	struct jv none;

	return jv_dict(out, j, 0) || d_update(&none, j, *out, a) ? -1 : 0;
}

static int g_namespace(struct jv *out, struct jinja *j, const struct jargs *a)
{
	if (g_dict(out, j, a))
		return -1;
	out->type = JV_NAMESPACE;
	return 0;
}

static int g_raise(struct jv *out, struct jinja *j, const struct jargs *a)
{
	struct jv s = jv_str(STR("(no message)"), false);

	(void)out;
	if (a->n && jv_text(&s, j, a->v[0]))
		return -1;
	return jinja_fail(j, STR_FMT, STR_ARG(s.s));
}

static int g_strftime_now(struct jv *out, struct jinja *j, const struct jargs *a)
{
	struct jv format = jv_none();
	time_t now = (time_t)time_unix_s();
	char f[128], text[256];
	struct tm tm;
	struct str s;

	if (jinja_arg_str(&format, j, a, 0, "format"))
		return -1;
	if (format.type != JV_STR || format.s.n >= sizeof f || !localtime_r(&now, &tm))
		return jinja_fail(j, "strftime_now() needs a format of at most 127 bytes");
	memcpy(f, format.s.p, format.s.n);
	f[format.s.n] = 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	s = (struct str){ text, strftime(text, sizeof text, f, &tm) };
#pragma GCC diagnostic pop
	s = arena_str(j->a, s);
	if (!s.p)
		return err_nomem(j->e);
	*out = jv_str(s, false);
	return 0;
}

static const struct {
	const char *name;
	int (*fn)(struct jv *, struct jinja *, const struct jargs *);
} globals[] = { { "range", g_range },
		{ "dict", g_dict },
		{ "namespace", g_namespace },
		{ "raise_exception", g_raise },
		{ "strftime_now", g_strftime_now } };

bool jinja_is_global(struct str name)
{
	for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
		if (str_is(name, globals[i].name))
			return true;
	return false;
}

int jinja_global(struct jv *out, struct jinja *j, struct str name, const struct jargs *args)
{
	for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
		if (str_is(name, globals[i].name))
			return globals[i].fn(out, j, args);
	return jinja_fail(j, "unknown function '" STR_FMT "'", STR_ARG(name));
}
