/* jinja_text: what filters and methods share: strings of Python, with their marks. */
#include "config.h"
#include "tok/jinja_impl.h"

struct jv *jinja_arg(const struct jargs *a, size_t i, const char *name)
{
	if (i < a->n)
		return &a->v[i];
	for (size_t k = 0; name && k < a->n_kw; k++)
		if (str_is(a->kw[k].name, name))
			return &a->kw[k].v;
	return NULL;
}

int jinja_arg_i64(int64_t *out, struct jinja *j, const struct jargs *a, size_t i, const char *name)
{
	struct jv *v = jinja_arg(a, i, name);

	if (!v)
		return 0;
	if (v->type != JV_INT)
		return jinja_fail(j, "'%s' must be an integer, not '%s'", name, jv_type_name(*v));
	*out = v->i;
	return 0;
}

int jinja_arg_str(struct jv *out, struct jinja *j, const struct jargs *a, size_t i,
		  const char *name)
{
	struct jv *v = jinja_arg(a, i, name);

	if (!v)
		return 0;
	if (v->type != JV_STR)
		return jinja_fail(j, "'%s' must be a string, not '%s'", name, jv_type_name(*v));
	*out = *v;
	return 0;
}

/* Is the character one to strip? chars NULL: white space. */
static bool strips(const struct jv *chars, const char *p, unsigned len)
{
	unsigned n;

	if (!chars)
		return jinja_is_space(utf8_get(p, p + len, &n));
	for (size_t i = 0; i + len <= chars->s.n; i++)
		if (!memcmp(chars->s.p + i, p, len))
			return true;
	return false;
}

int jinja_strip(struct jv *out, struct jinja *j, struct jv s, const struct jv *chars, bool left,
		bool right)
{
	const char *p = s.s.p;
	size_t a = 0, b = s.s.n;
	unsigned len;

	if (chars && jinja_step(j, s.s.n / 16 * (1 + chars->s.n / 16)))
		return -1;
	while (left && a < b) {
		utf8_get(p + a, p + b, &len);
		if (!strips(chars, p + a, len))
			break;
		a += len;
	}
	while (right && b > a) {
		for (len = 1; len < 4 && b - len > a && ((unsigned char)p[b - len] & 0xc0) == 0x80;)
			len++;
		if (!strips(chars, p + b - len, len))
			break;
		b -= len;
	}
	return jv_sub(out, j, s, a, b);
}

int jinja_replace(struct jv *out, struct jinja *j, struct jv s, struct jv from, struct jv to,
		  int64_t count)
{
	struct jmark m = jinja_capture(j);
	size_t at = 0, next;
	struct jv part;
	unsigned len = 0;

	for (; count; count--) {
		next = from.s.n ? str_find(s.s, from.s, at) : at + len;
		if (from.s.n ? next >= s.s.n : next > s.s.n)
			break;
		if (jinja_step(j, 1 + (next - at) / 64) || jv_sub(&part, j, s, at, next) ||
		    jinja_out_str(j, part) || jinja_out_str(j, to))
			return -1;
		at = next + from.s.n;
		if (!from.s.n) { /* an empty text is found before each character and at the end */
			if (at == s.s.n)
				break;
			utf8_get(s.s.p + at, s.s.p + s.s.n, &len);
		}
	}
	return jv_sub(&part, j, s, at, s.s.n) || jinja_out_str(j, part) || jinja_captured(out, j, m)
		       ? -1
		       : 0;
}

/*
 * The other case of a letter in ASCII, Latin-1, Greek and Cyrillic, where both have one length in
 * UTF-8; other scripts stay as they are.
 */
static uint32_t change_case(uint32_t c, bool upper)
{
	static const struct {
		uint32_t upper_first, upper_last, distance;
	} ranges[] = { { 'A', 'Z', 32 },     { 0xc0, 0xd6, 32 },   { 0xd8, 0xde, 32 },
		       { 0x391, 0x3a1, 32 }, { 0x3a3, 0x3ab, 32 }, { 0x410, 0x42f, 32 },
		       { 0x400, 0x40f, 80 } };

	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
		uint32_t a = ranges[i].upper_first, b = ranges[i].upper_last,
			 d = ranges[i].distance;

		if (!upper && c >= a && c <= b)
			return c + d;
		if (upper && c >= a + d && c <= b + d)
			return c - d;
	}
	return c;
}

static bool is_letter(uint32_t c)
{
	return change_case(c, true) != c || change_case(c, false) != c;
}

int jinja_case(struct jv *out, struct jinja *j, struct jv s, enum jcase how)
{
	char *p = jinja_alloc(j, s.s.n, 1);
	bool first = true; /* of a word */
	unsigned len;

	if (!p)
		return -1;
	for (size_t i = 0; i < s.s.n; i += len) {
		uint32_t c = utf8_get(s.s.p + i, s.s.p + s.s.n, &len);
		uint32_t d = c == UTF8_BAD ? c
					   : change_case(c, how == JC_UPPER ||
								    (first && how >= JC_CAPITAL));

		if (d == c)
			memcpy(p + i, s.s.p + i, len);
		else
			utf8_put(p + i, d);
		first = how == JC_TITLE ? !is_letter(c)
			: how == JC_TITLE_FILTER
				? jinja_is_space(c) || (c < 0x80 && c && strchr("-({[<", (int)c))
				: false;
	}
	*out = s;
	out->s.p = p;
	return jinja_step(j, s.s.n / 16);
}

int jinja_join(struct jv *out, struct jinja *j, struct jv items, struct jv sep,
	       const struct jv *attr)
{
	struct jmark m = jinja_capture(j);
	struct jv list, v;

	if (jv_items(&list, j, items))
		return -1;
	for (size_t i = 0; i < list.list->n; i++) {
		if (jinja_step(j, 1) || jv_load(j, &list.list->v[i]))
			return -1;
		v = list.list->v[i];
		if ((attr && jinja_path(&v, j, v, *attr)) || (i && jinja_out_text(j, sep)) ||
		    jinja_out_text(j, v))
			return -1;
	}
	return jinja_captured(out, j, m);
}

/* Length of the line end at p[i], or 0. */
static size_t line_end(struct str s, size_t i)
{
	unsigned char c = (unsigned char)s.p[i];

	if (c == '\r')
		return i + 1 < s.n && s.p[i + 1] == '\n' ? 2 : 1;
	if ((c >= '\n' && c <= '\f') || (c >= 0x1c && c <= 0x1e))
		return 1;
	if (s.n - i >= 2 && !memcmp(s.p + i, "\xc2\x85", 2))
		return 2;
	return s.n - i >= 3 && (!memcmp(s.p + i, "\xe2\x80\xa8", 3) ||
				!memcmp(s.p + i, "\xe2\x80\xa9", 3))
		       ? 3
		       : 0;
}

int jinja_lines(struct jv *out, struct jinja *j, struct jv s)
{
	size_t from = 0, end;
	struct jv line;

	if (jinja_step(j, s.s.n / 16) || jv_list(out, j, 0))
		return -1;
	for (size_t i = 0; i < s.s.n;) {
		end = line_end(s.s, i);
		if (!end) {
			i++;
			continue;
		}
		if (jv_sub(&line, j, s, from, i) || jv_push(j, *out, line))
			return -1;
		from = i += end;
	}
	if (from == s.s.n)
		return 0;
	return jv_sub(&line, j, s, from, s.s.n) || jv_push(j, *out, line) ? -1 : 0;
}

/* The last `sep` that ends at or before `end`: its offset, or s.n. */
static size_t find_last(struct str s, struct str sep, size_t end)
{
	for (size_t i = end; i >= sep.n; i--)
		if (!memcmp(s.p + i - sep.n, sep.p, sep.n))
			return i - sep.n;
	return s.n;
}

static int push_sub(struct jinja *j, struct jv list, struct jv s, size_t from, size_t to)
{
	struct jv part;

	return jinja_step(j, 1) || jv_sub(&part, j, s, from, to) || jv_push(j, list, part) ? -1 : 0;
}

static int split_words(struct jv out, struct jinja *j, struct jv s, int64_t max)
{
	size_t i = 0, from;
	unsigned len;

	for (;; max--) {
		for (; i < s.s.n && jinja_is_space(utf8_get(s.s.p + i, s.s.p + s.s.n, &len));
		     i += len)
			;
		if (i == s.s.n)
			return 0;
		if (!max)
			return push_sub(j, out, s, i, s.s.n);
		for (from = i;
		     i < s.s.n && !jinja_is_space(utf8_get(s.s.p + i, s.s.p + s.s.n, &len));
		     i += len)
			;
		if (push_sub(j, out, s, from, i))
			return -1;
	}
}

static void reverse(struct jlist *l)
{
	for (size_t i = 0; i < l->n / 2; i++) {
		struct jv t = l->v[i];

		l->v[i] = l->v[l->n - 1 - i];
		l->v[l->n - 1 - i] = t;
	}
}

int jinja_split(struct jv *out, struct jinja *j, struct jv s, struct jv sep, int64_t max,
		bool from_right)
{
	size_t at = 0, end = s.s.n, next;

	if (jinja_step(j, s.s.n / 16) || jv_list(out, j, 0))
		return -1;
	if (sep.type == JV_NONE) {
		if (from_right && max >= 0)
			return jinja_fail(j, "rsplit() with a limit needs a separator");
		return split_words(*out, j, s, max);
	}
	if (sep.type != JV_STR || !sep.s.n)
		return jinja_fail(j, "the separator of split() must be a string that is not empty");
	if (!from_right) {
		for (; max && (next = str_find(s.s, sep.s, at)) < s.s.n; at = next + sep.s.n, max--)
			if (push_sub(j, *out, s, at, next))
				return -1;
		return push_sub(j, *out, s, at, s.s.n);
	}
	for (; max && (next = find_last(s.s, sep.s, end)) < s.s.n; end = next, max--)
		if (push_sub(j, *out, s, next + sep.s.n, end))
			return -1;
	if (push_sub(j, *out, s, 0, end))
		return -1;
	reverse(out->list);
	return 0;
}

int jinja_path(struct jv *out, struct jinja *j, struct jv v, struct jv path)
{
	size_t at = 0, dot;
	int64_t i;

	*out = v;
	if (path.type == JV_INT)
		return jinja_item(out, j, v, path);
	if (path.type != JV_STR)
		return jinja_fail(j, "an attribute's name must be a string, not '%s'",
				  jv_type_name(path));
	for (;; at = dot + 1) {
		struct str name;

		dot = str_find(path.s, STR("."), at);
		name = str_sub(path.s, at, dot);
		if (jinja_item(out, j, *out,
			       num_i64(&i, name, 0, INT64_MAX, NULL) ? jv_str(name, false)
								     : jv_int(i)))
			return -1;
		if (dot == path.s.n)
			return 0;
	}
}
