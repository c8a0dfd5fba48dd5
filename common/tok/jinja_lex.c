/*
 * jinja_lex: a template's source to tokens. White space as transformers sets it: trim_blocks (the
 * newline behind a tag goes), lstrip_blocks (blanks before a tag that begins a line go), one
 * newline at the end of the source goes, and
 * `-` and `+` at a tag's border overrule. Rules: Jinja 3.1, "Template Designer Documentation",
 * white space control.
 */
#include "config.h"
#include "tok/jinja_impl.h"
#include <ctype.h>
#include <stdlib.h>

struct lexer {
	struct str src;
	size_t at;
	uint32_t line;
	bool line_start; /* the text that follows begins a line */
	struct jtoks *out;
	struct arena *a;
	struct err *e;
};

static int fail(const struct lexer *x, const char *what)
{
	return err_set(x->e, ERR_USAGE, "line %u: %s", x->line, what);
}

static int add(struct lexer *x, enum jtok_kind kind, struct str s)
{
	struct jtoks *o = x->out;

	if (o->n == o->cap) {
		size_t cap = o->cap ? 2 * o->cap : 256;
		struct jtok *v = ckd_realloc(o->v, cap, sizeof *v);

		if (!v)
			return err_nomem(x->e);
		o->v = v;
		o->cap = cap;
	}
	o->v[o->n++] = (struct jtok){ kind, x->line, s };
	return 0;
}

static bool blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Move to `to`, counting lines. */
static void advance(struct lexer *x, size_t to)
{
	for (; x->at < to; x->at++)
		x->line += x->src.p[x->at] == '\n';
}

static bool looking_at(const struct lexer *x, const char *z)
{
	size_t n = strlen(z);

	return x->src.n - x->at >= n && !memcmp(x->src.p + x->at, z, n);
}

/* Past a tag's end of `len` bytes; sign is what stood before it. */
static void leave(struct lexer *x, size_t len, char sign, bool trim)
{
	size_t to = x->at + len;

	if (sign == '-')
		while (to < x->src.n && blank(x->src.p[to]))
			to++;
	else if (trim && sign != '+' && to < x->src.n && x->src.p[to] == '\n')
		to++;
	advance(x, to);
	x->line_start = to > 0 && x->src.p[to - 1] == '\n';
}

/* The text before a tag, less what its border takes away. */
static int add_text(struct lexer *x, size_t from, size_t to, char sign, bool lstrip)
{
	const char *p = x->src.p;
	size_t end = to, bol = to;

	if (sign == '-') {
		while (end > from && blank(p[end - 1]))
			end--;
	} else if (sign != '+' && lstrip) {
		while (bol > from && p[bol - 1] != '\n')
			bol--;
		if (bol > from || x->line_start) {
			size_t k = bol;

			while (k < to && blank(p[k]))
				k++;
			if (k == to)
				end = bol;
		}
	}
	return end > from ? add(x, JT_TEXT, str_sub(x->src, from, end)) : 0;
}

/* If a tag `{% word %}` begins at `at`: its end, its signs. */
static bool word_tag(struct str s, size_t at, const char *word, size_t *end, char *first,
		     char *last)
{
	size_t n = strlen(word);

	if (s.n - at < 2 || s.p[at] != '{' || s.p[at + 1] != '%')
		return false;
	at += 2;
	*first = at < s.n && (s.p[at] == '-' || s.p[at] == '+') ? s.p[at++] : 0;
	while (at < s.n && blank(s.p[at]))
		at++;
	if (s.n - at < n || memcmp(s.p + at, word, n) != 0)
		return false;
	at += n;
	while (at < s.n && blank(s.p[at]))
		at++;
	*last = at < s.n && (s.p[at] == '-' || s.p[at] == '+') ? s.p[at++] : 0;
	if (s.n - at < 2 || s.p[at] != '%' || s.p[at + 1] != '}')
		return false;
	*end = at + 2;
	return true;
}

/* {% raw %} … {% endraw %}: x->at is behind the first tag. */
static int lex_raw(struct lexer *x, size_t open_end, char open_last)
{
	size_t from, end;
	char first, last;

	advance(x, open_end);
	if (open_last == '-')
		while (x->at < x->src.n && blank(x->src.p[x->at]))
			advance(x, x->at + 1);
	x->line_start = x->src.p[x->at - 1] == '\n';
	from = x->at;
	for (size_t i = str_find(x->src, STR("{%"), from); i < x->src.n;
	     i = str_find(x->src, STR("{%"), i + 1)) {
		if (!word_tag(x->src, i, "endraw", &end, &first, &last))
			continue;
		if (add_text(x, from, i, first, true))
			return -1;
		advance(x, end);
		leave(x, 0, last, true);
		return 0;
	}
	return fail(x, "{% raw %} has no {% endraw %}");
}

static int hex_value(char c)
{
	return c >= '0' && c <= '9'                 ? c - '0'
	       : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
						    : -1;
}

/* One escape at s.p[i] (behind the backslash), as in a Python string; returns how many bytes it
 * takes. */
static size_t unescape(char *out, size_t *n, struct str s, size_t i)
{
	static const char from[] = "ntrbfav0\\'\"", to[] = "\n\t\r\b\f\a\v\0\\'\"";
	const char *k = s.p[i] ? strchr(from, s.p[i]) : NULL;
	unsigned digits = s.p[i] == 'x' ? 2 : s.p[i] == 'u' ? 4 : s.p[i] == 'U' ? 8 : 0;
	uint32_t cp = 0;

	if (k) {
		out[(*n)++] = to[k - from];
		return 1;
	}
	if (s.p[i] == '\n') /* a line goes on */
		return 1;
	if (!digits || s.n - i <= digits)
		goto as_is;
	for (unsigned d = 1; d <= digits; d++) {
		int v = hex_value(s.p[i + d]);

		if (v < 0)
			goto as_is;
		cp = cp << 4 | (uint32_t)v;
	}
	if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		goto as_is;
	*n += utf8_put(out + *n, cp);
	return 1 + digits;
as_is:
	out[(*n)++] = '\\';
	out[(*n)++] = s.p[i];
	return 1;
}

static int lex_string(struct lexer *x)
{
	char quote = x->src.p[x->at];
	size_t from = x->at + 1, i = from, n = 0;
	struct str raw;
	bool plain = true;
	char *out;

	while (i < x->src.n && x->src.p[i] != quote) {
		plain &= x->src.p[i] != '\\';
		i += x->src.p[i] == '\\' && i + 1 < x->src.n ? 2 : 1;
	}
	if (i >= x->src.n)
		return fail(x, "a string has no closing quote");
	raw = str_sub(x->src, from, i);
	if (!plain) {
		out = arena_alloc(x->a, 2 * raw.n + 1);
		if (!out)
			return err_nomem(x->e);
		for (size_t k = 0; k < raw.n;)
			if (raw.p[k] == '\\' && k + 1 < raw.n)
				k += 1 + unescape(out, &n, raw, k + 1);
			else
				out[n++] = raw.p[k++];
		raw = (struct str){ out, n };
	}
	if (add(x, JT_STRING, raw))
		return -1;
	advance(x, i + 1);
	return 0;
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static int lex_number(struct lexer *x)
{
	const char *p = x->src.p;
	size_t i = x->at, n = x->src.n;
	enum jtok_kind kind = JT_INT;
	struct str s;

	while (i < n && (digit(p[i]) || p[i] == '_'))
		i++;
	if (i + 1 < n && p[i] == '.' && digit(p[i + 1])) {
		kind = JT_FLOAT;
		for (i++; i < n && digit(p[i]);)
			i++;
	}
	if (i < n && (p[i] | 32) == 'e') {
		size_t k = i + 1;

		k += k < n && (p[k] == '+' || p[k] == '-');
		if (k < n && digit(p[k])) {
			kind = JT_FLOAT;
			for (i = k; i < n && digit(p[i]);)
				i++;
		}
	}
	s = str_sub(x->src, x->at, i);
	x->at = i;
	return add(x, kind, s);
}

/* One token inside a tag. `nest` counts open brackets, within which a tag's end is none. */
static int lex_inside(struct lexer *x, unsigned *nest)
{
	static const char *const ops[] = { "**", "//", "==", "!=", "<=", ">=", "+", "-", "*",
					   "/",  "%",  "~",  "<",  ">",  "=",  "(", ")", "[",
					   "]",  "{",  "}",  ".",  ":",  "|",  ",", ";" };
	char c = x->src.p[x->at];
	size_t i = x->at;

	if (c == '\'' || c == '"')
		return lex_string(x);
	if (digit(c))
		return lex_number(x);
	if (isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80) {
		struct str s;

		while (i < x->src.n && (isalnum((unsigned char)x->src.p[i]) || x->src.p[i] == '_' ||
					(unsigned char)x->src.p[i] >= 0x80))
			i++;
		s = str_sub(x->src, x->at, i);
		x->at = i;
		return add(x, JT_NAME, s);
	}
	for (size_t k = 0; k < sizeof ops / sizeof *ops; k++)
		if (looking_at(x, ops[k])) {
			if (strchr("([{", c))
				++*nest;
			else if (strchr(")]}", c) && *nest)
				--*nest;
			x->at += strlen(ops[k]);
			return add(x, JT_OP, str_of(ops[k]));
		}
	return err_set(x->e, ERR_USAGE, "line %u: unexpected character '%c' in a tag", x->line, c);
}

/* From behind "{%" or "{{" to the end of the tag. */
static int lex_tag(struct lexer *x, bool output)
{
	const char *close = output ? "}}" : "%}";
	unsigned nest = 0;

	if (add(x, output ? JT_OUT_BEGIN : JT_TAG_BEGIN, STR("")))
		return -1;
	for (;;) {
		char sign;

		while (x->at < x->src.n && blank(x->src.p[x->at]))
			advance(x, x->at + 1);
		if (x->at >= x->src.n)
			return fail(x, output ? "{{ has no }}" : "{% has no %}");
		sign = x->src.p[x->at];
		if (sign != '-' && (sign != '+' || output))
			sign = 0;
		x->at += sign != 0;
		if (!nest && looking_at(x, close)) {
			if (add(x, output ? JT_OUT_END : JT_TAG_END, STR("")))
				return -1;
			leave(x, 2, sign, !output);
			return 0;
		}
		x->at -= sign != 0;
		if (lex_inside(x, &nest))
			return -1;
	}
}

/* Where the next tag begins, or the end. */
static size_t next_tag(struct str s, size_t at)
{
	for (; at + 1 < s.n; at++) {
		const char *q = memchr(s.p + at, '{', s.n - 1 - at);

		if (!q)
			break;
		at = (size_t)(q - s.p);
		if (q[1] == '{' || q[1] == '%' || q[1] == '#')
			return at;
	}
	return s.n;
}

int jinja_lex(struct jtoks *out, struct str src, struct arena *a, struct err *e)
{
	struct lexer x = { .src = src, .line = 1, .line_start = true, .out = out, .a = a, .e = e };

	while (x.at < src.n) {
		size_t from = x.at, tag = next_tag(src, x.at), end;
		char kind, first, last;

		if (tag == src.n) {
			if (add(&x, JT_TEXT, str_sub(src, from, src.n)))
				return -1;
			advance(&x, src.n);
			break;
		}
		kind = src.p[tag + 1];
		first = tag + 2 < src.n && (src.p[tag + 2] == '-' || src.p[tag + 2] == '+')
				? src.p[tag + 2]
				: 0;
		if (add_text(&x, from, tag, first, kind != '{'))
			return -1;
		advance(&x, tag);
		if (kind == '#') {
			end = str_find(src, STR("#}"), tag + 2);
			if (end == src.n)
				return fail(&x, "{# has no #}");
			last = end > tag + 2 ? src.p[end - 1] : (char)0;
			advance(&x, end);
			leave(&x, 2, last == '-' || last == '+' ? last : (char)0, true);
		} else if (word_tag(src, tag, "raw", &end, &first, &last)) {
			if (lex_raw(&x, end, last))
				return -1;
		} else {
			x.at = tag + 2 + (first != 0);
			if (lex_tag(&x, kind == '{'))
				return -1;
		}
	}
	return add(&x, JT_EOF, STR(""));
}
