/* jinja_filter: filters. Names, arguments and results as in Jinja 3.1 (jinja2/filters.py) and
 * transformers' tojson. */
#include "config.h"
#include "tok/jinja_impl.h"
#include <math.h>

typedef int filter_fn(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a);

static bool flag(const struct jargs *a, size_t i, const char *name)
{
	struct jv *v = jinja_arg(a, i, name);

	return v && jv_true(*v);
}

static int f_tojson(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct json_style st = { .indent = -1,
				 .item = STR(", "),
				 .key = STR(": "),
				 .ascii = flag(a, 0, "ensure_ascii"),
				 .sort = flag(a, 3, "sort_keys") };
	struct jv *sep = jinja_arg(a, 2, "separators"), *in = jinja_arg(a, 1, "indent");
	struct jmark m = jinja_capture(j);
	int64_t indent = -1;

	if (in && in->type != JV_NONE) {
		if (jinja_arg_i64(&indent, j, a, 1, "indent"))
			return -1;
		st.indent = indent < 0 ? 0 : indent > 16 ? 16 : (int)indent;
		st.item = STR(",");
	}
	if (sep && sep->type == JV_LIST && sep->list->n == 2 && sep->list->v[0].type == JV_STR &&
	    sep->list->v[1].type == JV_STR) {
		st.item = sep->list->v[0].s;
		st.key = sep->list->v[1].s;
	}
	return jv_json(j, v, &st, 0) || jinja_captured(out, j, m) ? -1 : 0;
}

static int f_from_json(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct json_val x;
	struct err e;

	(void)a;
	if (v.type != JV_STR)
		return jinja_fail(j, "from_json needs a string, not '%s'", jv_type_name(v));
	if (json_parse(&x, v.s, &e))
		return jinja_fail(j, "from_json: %s", e.text);
	return jv_from_json(out, j, x, v.user || v.runs);
}

static int f_length(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	int64_t n;

	(void)a;
	if (jv_len(&n, j, v))
		return -1;
	*out = jv_int(n);
	return 0;
}

static int f_trim(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv s, *chars = jinja_arg(a, 0, "chars");

	if (chars && chars->type != JV_STR)
		chars = NULL;
	return jv_text(&s, j, v) || jinja_strip(out, j, s, chars, true, true) ? -1 : 0;
}

static int f_string(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	(void)a;
	return jv_text(out, j, v);
}

static int f_default(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv *d = jinja_arg(a, 0, "default_value");

	(void)j;
	if (v.type != JV_UNDEF && (jv_true(v) || !flag(a, 1, "boolean")))
		*out = v;
	else
		*out = d ? *d : jv_str(STR(""), false);
	return 0;
}

static int f_join(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv *sep = jinja_arg(a, 0, "d");

	return jinja_join(out, j, v, sep ? *sep : jv_str(STR(""), false),
			  jinja_arg(a, 1, "attribute"));
}

static int f_items(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	(void)a;
	if (v.type == JV_UNDEF)
		return jv_list(out, j, 0);
	if (v.type != JV_DICT)
		return jinja_fail(j, "items needs a mapping, not '%s'", jv_type_name(v));
	return jinja_method(out, j, v, STR("items"), &(struct jargs){ 0 });
}

/* A list of the elements, always a new one. */
static int f_list(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv items;

	(void)a;
	if (jv_items(&items, j, v) || jv_list(out, j, items.list->n) ||
	    jinja_step(j, items.list->n))
		return -1;
	for (size_t i = 0; i < items.list->n; i++) {
		if (jv_load(j, &items.list->v[i]))
			return -1;
		out->list->v[out->list->n++] = items.list->v[i];
	}
	out->user = v.user;
	return 0;
}

static int f_safe(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	(void)a;
	return jv_text(out, j, v);
}

static int f_case(struct jv *out, struct jinja *j, struct jv v, enum jcase c)
{
	struct jv s;

	return jv_text(&s, j, v) || jinja_case(out, j, s, c) ? -1 : 0;
}

static int f_lower(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	(void)a;
	return f_case(out, j, v, JC_LOWER);
}

static int f_upper(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	(void)a;
	return f_case(out, j, v, JC_UPPER);
}

static int f_capitalize(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	(void)a;
	return f_case(out, j, v, JC_CAPITAL);
}

static int f_title(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	(void)a;
	return f_case(out, j, v, JC_TITLE_FILTER);
}

static int f_replace(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv s, *from = jinja_arg(a, 0, "old"), *to = jinja_arg(a, 1, "new"), x, y;
	int64_t count = -1;

	if (!from || !to)
		return jinja_fail(j, "replace needs what to replace and by what");
	if (jv_text(&s, j, v) || jv_text(&x, j, *from) || jv_text(&y, j, *to) ||
	    jinja_arg_i64(&count, j, a, 2, "count"))
		return -1;
	return jinja_replace(out, j, s, x, y, count);
}

static int f_indent(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv s, lines, pad, *w = jinja_arg(a, 0, "width");
	bool first = flag(a, 1, "first"), blank = flag(a, 2, "blank");
	int64_t width = 4;
	struct jmark m;

	if (jv_text(&s, j, v) ||
	    ((!w || w->type != JV_STR) && jinja_arg_i64(&width, j, a, 0, "width")))
		return -1;
	if (w && w->type == JV_STR)
		pad = *w;
	else if (jinja_arith(&pad, j, JO_MUL, jv_str(STR(" "), false), jv_int(width)))
		return -1;
	/* a newline at the end stays one */
	if (jinja_arith(&s, j, JO_ADD, s, jv_str(STR("\n"), false)) || jinja_lines(&lines, j, s))
		return -1;
	m = jinja_capture(j);
	for (size_t i = 0; i < lines.list->n; i++) {
		bool padded = i ? blank || lines.list->v[i].s.n : first;

		if ((i && jinja_out(j, STR("\n"), lines.list->v[i].user)) ||
		    (padded && jinja_out_str(j, pad)) || jinja_out_str(j, lines.list->v[i]))
			return -1;
	}
	return jinja_captured(out, j, m);
}

/* A number out of text as int() and float() read it; false when it is none. */
static bool to_number(double *f, int64_t *i, bool *whole, struct jv v)
{
	struct str s = v.type == JV_STR ? str_trim(v.s) : STR("");

	*whole = v.type == JV_INT || v.type == JV_BOOL ||
		 (v.type == JV_STR && !num_i64(i, s, INT64_MIN, INT64_MAX, NULL));
	if (v.type == JV_INT || v.type == JV_BOOL)
		*i = v.type == JV_INT ? v.i : v.b;
	if (*whole)
		*f = (double)*i;
	else if (v.type == JV_FLOAT)
		*f = v.f;
	else
		return v.type == JV_STR && !num_f64(f, s, -HUGE_VAL, HUGE_VAL, NULL);
	return true;
}

static int f_int(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv *d = jinja_arg(a, 0, "default");
	int64_t i;
	double f;
	bool whole;

	(void)j;
	*out = d ? *d : jv_int(0);
	if (!to_number(&f, &i, &whole, v))
		return 0;
	if (whole)
		*out = jv_int(i);
	else if (fabs(f) < 9e18)
		*out = jv_int((int64_t)f);
	return 0;
}

static int f_float(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv *d = jinja_arg(a, 0, "default");
	int64_t i;
	double f;
	bool whole;

	(void)j;
	*out = to_number(&f, &i, &whole, v) ? jv_float(f) : d ? *d : jv_float(0);
	return 0;
}

static int f_abs(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	(void)a;
	if (!jv_is_num(v))
		return jinja_fail(j, "abs needs a number, not '%s'", jv_type_name(v));
	if (v.type == JV_FLOAT) {
		*out = jv_float(fabs(v.f));
		return 0;
	}
	return jinja_arith(out, j, jv_num(v) < 0 ? JO_SUB : JO_ADD, jv_int(0), v);
}

/* round() of Python: to even in the last kept place, of the decimal expansion; "ceil" and "floor"
 * by their name. */
static int f_round(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv how = jv_str(STR("common"), false);
	int64_t digits = 0;
	char t[400];
	double f;

	if (jinja_arg_i64(&digits, j, a, 0, "precision") || jinja_arg_str(&how, j, a, 1, "method"))
		return -1;
	if (!jv_is_num(v) || digits < 0 || digits > 15)
		return jinja_fail(j, "round needs a number and a precision from 0 to 15");
	f = jv_num(v);
	if (str_is(how.s, "common")) {
		snprintf(t, sizeof t, "%.*f", (int)digits,
			 f); /* the C library rounds exactly, ties to even */
		f = strtod(t, NULL);
	} else {
		double scale = pow(10, (double)digits);

		f = (str_is(how.s, "ceil") ? ceil(f * scale) : floor(f * scale)) / scale;
	}
	*out = jv_float(f);
	return 0;
}

static int end_of(struct jv *out, struct jinja *j, struct jv v, bool last)
{
	struct jv items;

	*out = jv_undef(last ? STR("the last element") : STR("the first element"));
	if (jv_items(&items, j, v))
		return -1;
	if (items.list->n) {
		struct jv *at = &items.list->v[last ? items.list->n - 1 : 0];

		if (jv_load(j, at))
			return -1;
		*out = *at;
	}
	return 0;
}

static int f_first(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	(void)a;
	return end_of(out, j, v, false);
}

static int f_last(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	(void)a;
	return end_of(out, j, v, true);
}

static int f_reverse(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	const struct jv back[3] = { jv_none(), jv_none(), jv_int(-1) };
	struct jv items;

	(void)a;
	if (v.type == JV_STR)
		return jinja_slice(out, j, v, back);
	return jv_items(&items, j, v) || jinja_slice(out, j, items, back) ? -1 : 0;
}

/* ---- over the elements of a list ----------------------------------------------------------- */

/* What is false (none, 0) has no elements here. */
static int elements(struct jv *out, struct jinja *j, struct jv v)
{
	return jv_true(v) ? jv_items(out, j, v) : jv_list(out, j, 0);
}

/* map("filter", …) or map(attribute="a.b", default=…) */
static int f_map(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv *attr = a->n ? NULL : jinja_arg(a, 0, "attribute"),
		  *d = jinja_arg(a, 64, "default"), items, x;

	if (!attr && (!a->n || a->v[0].type != JV_STR))
		return jinja_fail(j, "map needs the name of a filter or attribute=");
	if (elements(&items, j, v) || jv_list(out, j, items.list->n))
		return -1;
	for (size_t i = 0; i < items.list->n; i++) {
		struct jargs rest = { a->n ? a->v + 1 : NULL, a->n ? a->n - 1 : 0, a->kw, a->n_kw };

		if (jinja_step(j, 1) || jv_load(j, &items.list->v[i]))
			return -1;
		if (attr ? jinja_path(&x, j, items.list->v[i], *attr)
			 : jinja_filter(&x, j, a->v[0].s, items.list->v[i], &rest))
			return -1;
		if (jv_push(j, *out, attr && d && x.type == JV_UNDEF ? *d : x))
			return -1;
	}
	return 0;
}

/* Elements (or those whose attribute) that pass a test; without a test, that are true. */
static int choose(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a, bool by_attr,
		  bool keep)
{
	size_t at = by_attr;
	struct jv items, x;
	bool yes;

	if (by_attr && !a->n)
		return jinja_fail(j, "the attribute's name is missing");
	if (a->n > at && a->v[at].type != JV_STR)
		return jinja_fail(j, "a test's name must be a string");
	if (elements(&items, j, v) || jv_list(out, j, 0))
		return -1;
	for (size_t i = 0; i < items.list->n; i++) {
		struct jargs rest = { a->n > at ? a->v + at + 1 : NULL,
				      a->n > at ? a->n - at - 1 : 0, a->kw, a->n_kw };

		if (jinja_step(j, 1) || jv_load(j, &items.list->v[i]))
			return -1;
		x = items.list->v[i];
		if (by_attr && jinja_path(&x, j, x, a->v[0]))
			return -1;
		yes = jv_true(x);
		if (a->n > at && jinja_test(&yes, j, a->v[at].s, x, &rest))
			return -1;
		if (yes == keep && jv_push(j, *out, items.list->v[i]))
			return -1;
	}
	return 0;
}

static int f_select(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	return choose(out, j, v, a, false, true);
}

static int f_reject(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	return choose(out, j, v, a, false, false);
}

static int f_selectattr(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	return choose(out, j, v, a, true, true);
}

static int f_rejectattr(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	return choose(out, j, v, a, true, false);
}

/* What an element is compared by. */
static int sort_key(struct jv *out, struct jinja *j, struct jv v, const struct jv *attr,
		    bool case_sensitive)
{
	*out = v;
	if (attr && attr->type != JV_NONE && jinja_path(out, j, v, *attr))
		return -1;
	return out->type == JV_STR && !case_sensitive ? jinja_case(out, j, *out, JC_LOWER) : 0;
}

/* Stable merge sort of values by keys (both arrays move together); tmp [2 n]. */
static int merge_sort(struct jinja *j, struct jv *v, struct jv *key, size_t n, struct jv *tmp,
		      bool down)
{
	size_t half = n / 2, a = 0, b = half, k = 0;
	int c;

	if (n < 2)
		return 0;
	if (merge_sort(j, v, key, half, tmp, down) ||
	    merge_sort(j, v + half, key + half, n - half, tmp, down))
		return -1;
	while (a < half || b < n) {
		bool left = b == n;

		if (a < half && b < n) {
			if (jv_cmp(&c, j, key[a], key[b]))
				return -1;
			left = down ? c >= 0 : c <= 0;
		}
		tmp[2 * k] = v[left ? a : b];
		tmp[2 * k++ + 1] = key[left ? a++ : b++];
	}
	for (k = 0; k < n; k++) {
		v[k] = tmp[2 * k];
		key[k] = tmp[2 * k + 1];
	}
	return 0;
}

static int sort_by(struct jinja *j, struct jv list, const struct jv *attr, bool case_sensitive,
		   bool down)
{
	size_t n = list.list->n;
	struct jv *key = jinja_alloc(j, n, sizeof *key), *tmp = jinja_alloc(j, 2 * n, sizeof *tmp);

	if (!key || !tmp)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (sort_key(&key[i], j, list.list->v[i], attr, case_sensitive))
			return -1;
	return merge_sort(j, list.list->v, key, n, tmp, down);
}

static int f_sort(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	return f_list(out, j, v, a) || sort_by(j, *out, jinja_arg(a, 2, "attribute"),
					       flag(a, 1, "case_sensitive"), flag(a, 0, "reverse"))
		       ? -1
		       : 0;
}

static int f_dictsort(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv by = jv_str(STR("key"), false), place = jv_int(0);

	if (v.type != JV_DICT)
		return jinja_fail(j, "dictsort needs a mapping, not '%s'", jv_type_name(v));
	if (jinja_arg_str(&by, j, a, 1, "by") ||
	    jinja_method(out, j, v, STR("items"), &(struct jargs){ 0 }))
		return -1;
	place.i = str_is(by.s, "value");
	return sort_by(j, *out, &place, flag(a, 0, "case_sensitive"), flag(a, 2, "reverse"));
}

static int f_unique(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv all, seen, key;
	bool known;

	if (f_list(&all, j, v, a) || jv_list(out, j, 0) || jv_list(&seen, j, 0))
		return -1;
	for (size_t i = 0; i < all.list->n; i++) {
		if (sort_key(&key, j, all.list->v[i], jinja_arg(a, 1, "attribute"),
			     flag(a, 0, "case_sensitive")) ||
		    jv_in(&known, j, key, seen))
			return -1;
		if (!known && (jv_push(j, seen, key) || jv_push(j, *out, all.list->v[i])))
			return -1;
	}
	return 0;
}

static int extreme(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a, int sign)
{
	struct jv all, key, best = jv_none();
	int c = 1;

	*out = jv_undef(STR("the extreme of nothing"));
	if (f_list(&all, j, v, a))
		return -1;
	for (size_t i = 0; i < all.list->n; i++) {
		if (sort_key(&key, j, all.list->v[i], jinja_arg(a, 1, "attribute"),
			     flag(a, 0, "case_sensitive")) ||
		    (i && jv_cmp(&c, j, key, best)))
			return -1;
		if (!i || c * sign > 0) {
			best = key;
			*out = all.list->v[i];
		}
	}
	return 0;
}

static int f_min(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	return extreme(out, j, v, a, -1);
}

static int f_max(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	return extreme(out, j, v, a, 1);
}

static int f_sum(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv *attr = jinja_arg(a, 0, "attribute"), *start = jinja_arg(a, 1, "start"), all, x;

	if (f_list(&all, j, v, a))
		return -1;
	*out = start ? *start : jv_int(0);
	for (size_t i = 0; i < all.list->n; i++) {
		x = all.list->v[i];
		if ((attr && attr->type != JV_NONE && jinja_path(&x, j, x, *attr)) ||
		    jinja_arith(out, j, JO_ADD, *out, x))
			return -1;
	}
	return 0;
}

/* ---- the rest ------------------------------------------------------------------------------ */

static int f_truncate(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv end = jv_str(STR("..."), false), s, words,
		  part[3] = { jv_none(), jv_none(), jv_none() };
	int64_t length = 255, leeway = 5, n;

	if (jv_text(&s, j, v) || jinja_arg_i64(&length, j, a, 0, "length") ||
	    jinja_arg_str(&end, j, a, 2, "end") || jinja_arg_i64(&leeway, j, a, 3, "leeway") ||
	    jv_len(&n, j, s))
		return -1;
	*out = s;
	if (length < 0 || leeway < 0 || length > 1 << 30 || leeway > 1 << 30)
		return jinja_fail(j, "truncate: length and leeway must be from 0 to 2^30");
	if (n <= length + leeway)
		return 0;
	length -= (int64_t)utf8_count(end.s);
	part[1] = jv_int(length < 0 ? 0 : length);
	if (jinja_slice(out, j, s, part))
		return -1;
	if (!flag(a, 1, "killwords")) {
		if (jinja_split(&words, j, *out, jv_str(STR(" "), false), 1, true))
			return -1;
		*out = words.list->v[0];
	}
	return jinja_arith(out, j, JO_ADD, *out, end);
}

static int f_escape(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	static const char *const from[] = { "&", "<", ">", "'", "\"" };
	static const char *const to[] = { "&amp;", "&lt;", "&gt;", "&#39;", "&#34;" };

	(void)a;
	if (jv_text(out, j, v))
		return -1;
	for (int i = 0; i < 5; i++)
		if (jinja_replace(out, j, *out, jv_str(str_of(from[i]), false),
				  jv_str(str_of(to[i]), false), -1))
			return -1;
	return 0;
}

static int f_format(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv s;

	return jv_text(&s, j, v) || jinja_printf(out, j, s, a->v, a->n) ? -1 : 0;
}

static int f_attr(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv name = jv_none();

	if (jinja_arg_str(&name, j, a, 0, "name"))
		return -1;
	return name.type != JV_STR ? jinja_fail(j, "attr needs a name")
				   : jinja_attr(out, j, v, name.s);
}

static int f_wordcount(struct jv *out, struct jinja *j, struct jv v, const struct jargs *a)
{
	struct jv s, words;

	return jv_text(&s, j, v) || jinja_split(&words, j, s, jv_none(), -1, false) ||
			       f_length(out, j, words, a)
		       ? -1
		       : 0;
}

static const struct {
	const char *name;
	filter_fn *fn;
} filters[] = {
	{ "abs", f_abs },
	{ "attr", f_attr },
	{ "capitalize", f_capitalize },
	{ "count", f_length },
	{ "d", f_default },
	{ "default", f_default },
	{ "dictsort", f_dictsort },
	{ "e", f_escape },
	{ "escape", f_escape },
	{ "first", f_first },
	{ "float", f_float },
	{ "format", f_format },
	{ "from_json", f_from_json },
	{ "indent", f_indent },
	{ "int", f_int },
	{ "items", f_items },
	{ "join", f_join },
	{ "last", f_last },
	{ "length", f_length },
	{ "list", f_list },
	{ "lower", f_lower },
	{ "map", f_map },
	{ "max", f_max },
	{ "min", f_min },
	{ "reject", f_reject },
	{ "rejectattr", f_rejectattr },
	{ "replace", f_replace },
	{ "reverse", f_reverse },
	{ "round", f_round },
	{ "safe", f_safe },
	{ "select", f_select },
	{ "selectattr", f_selectattr },
	{ "sort", f_sort },
	{ "string", f_string },
	{ "sum", f_sum },
	{ "title", f_title },
	{ "tojson", f_tojson },
	{ "trim", f_trim },
	{ "truncate", f_truncate },
	{ "unique", f_unique },
	{ "upper", f_upper },
	{ "wordcount", f_wordcount },
};

int jinja_filter(struct jv *out, struct jinja *j, struct str name, struct jv v,
		 const struct jargs *args)
{
	for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
		if (str_is(name, filters[i].name))
			return filters[i].fn(out, j, v, args);
	return jinja_fail(j, "unknown filter '" STR_FMT "'", STR_ARG(name));
}
