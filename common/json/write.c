/* The writer, and the form for people. */
#include "config.h"
#include "json/json_impl.h"
#include <math.h>

struct json_w json_w(struct buf *b)
{
	return (struct json_w){ b, false };
}

static void comma(struct json_w *w)
{
	if (w->comma)
		buf_addc(w->b, ',');
	w->comma = true;
}

void json_w_begin(struct json_w *w, char open)
{
	comma(w);
	buf_addc(w->b, open);
	w->comma = false;
}

void json_w_end(struct json_w *w, char close)
{
	buf_addc(w->b, close);
	w->comma = true;
}

static void escape_byte(struct buf *b, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char letters[] = "btn\0fr"; /* 8, 9, 10, 12, 13 */

	if (c == '"' || c == '\\') {
		char two[2] = { '\\', (char)c };

		buf_add(b, two, 2);
	} else if (c >= 8 && c <= 13 && letters[c - 8]) {
		char two[2] = { '\\', letters[c - 8] };

		buf_add(b, two, 2);
	} else {
		char six[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

		buf_add(b, six, 6);
	}
}

/* Valid UTF-8, or any run without a byte >= 0x80. */
static void put_escaped(struct buf *b, struct str s, const struct json_ops *ops)
{
	const char *p = s.p, *end = s.p + s.n;
	bool wide = false;

	while (p < end) {
		const char *q = ops->plain(p, end, &wide);

		buf_add(b, p, (size_t)(q - p));
		if (q == end)
			break;
		escape_byte(b, (unsigned char)*q);
		p = q + 1;
	}
}

void json_escape(struct buf *b, struct str s)
{
	const struct json_ops *ops = json_ops();

	while (s.n) {
		size_t good = utf8_valid(s);
		unsigned bad = 0;

		put_escaped(b, str_sub(s, 0, good), ops);
		if (good < s.n) {
			utf8_get(s.p + good, s.p + s.n, &bad);
			buf_addz(b, "\xEF\xBF\xBD"); /* U+FFFD */
		}
		s = str_sub(s, good + bad, s.n);
	}
}

void json_w_str(struct json_w *w, struct str s)
{
	comma(w);
	buf_addc(w->b, '"');
	json_escape(w->b, s);
	buf_addc(w->b, '"');
}

void json_w_key_str(struct json_w *w, struct str name)
{
	json_w_str(w, name);
	buf_addc(w->b, ':');
	w->comma = false;
}

void json_w_key(struct json_w *w, const char *name)
{
	json_w_key_str(w, str_of(name));
}

void json_w_strz(struct json_w *w, const char *z)
{
	if (z)
		json_w_str(w, str_of(z));
	else
		json_w_null(w);
}

void json_w_raw(struct json_w *w, struct str json)
{
	comma(w);
	buf_adds(w->b, json);
}

void json_w_i64(struct json_w *w, int64_t v)
{
	char t[NUM_BUF];

	json_w_raw(w, (struct str){ t, num_put_i64(t, v) });
}

void json_w_u64(struct json_w *w, uint64_t v)
{
	char t[NUM_BUF];

	json_w_raw(w, (struct str){ t, num_put_u64(t, v) });
}

void json_w_f64(struct json_w *w, double v)
{
	char t[NUM_BUF];

	if (isfinite(v))
		json_w_raw(w, (struct str){ t, num_put_f64(t, v) });
	else
		json_w_null(w);
}

void json_w_f32(struct json_w *w, float v)
{
	char t[NUM_BUF];

	if (isfinite(v))
		json_w_raw(w, (struct str){ t, num_put_f32(t, v) });
	else
		json_w_null(w);
}

void json_w_bool(struct json_w *w, bool v)
{
	json_w_raw(w, v ? STR("true") : STR("false"));
}

void json_w_null(struct json_w *w)
{
	json_w_raw(w, STR("null"));
}

void json_w_f32_array(struct json_w *w, const float *v, size_t n)
{
	json_w_begin(w, '[');
	for (size_t i = 0; i < n; i++)
		json_w_f32(w, v[i]);
	json_w_end(w, ']');
}

void json_w_i32_array(struct json_w *w, const int32_t *v, size_t n)
{
	json_w_begin(w, '[');
	for (size_t i = 0; i < n; i++)
		json_w_i64(w, v[i]);
	json_w_end(w, ']');
}

/* ---- for people ------------------------------------------------------------------------------ */

static void new_line(struct buf *out, unsigned indent, size_t depth)
{
	if (!indent)
		return;
	buf_addc(out, '\n');
	for (size_t i = 0; i < indent * depth; i++)
		buf_addc(out, ' ');
}

int json_pretty(struct buf *out, struct json_val v, unsigned indent, struct err *e)
{
	const char *p = v.raw.p, *end = p + v.raw.n;
	const struct json_ops *ops = json_ops();
	size_t depth = 0;

	for (;;) {
		const char *from;

		p = json_blanks(p, end);
		if (p == end)
			break;
		from = p++;
		if (*from == '{' || *from == '[') {
			buf_addc(out, *from);
			p = json_blanks(p, end);
			if (*p == '}' || *p == ']')
				buf_addc(out, *p++);
			else
				new_line(out, indent, ++depth);
		} else if (*from == '}' || *from == ']') {
			new_line(out, indent, --depth);
			buf_addc(out, *from);
		} else if (*from == ',') {
			buf_addz(out, indent ? "," : ", ");
			new_line(out, indent, depth);
		} else if (*from == ':') {
			buf_addz(out, ": ");
		} else {
			p = *from == '"' ? ops->skip_string(p, end) : p;
			while (*from != '"' && p < end && *p != ',' && *p != '}' && *p != ']' &&
			       !json_blank(*p))
				p++;
			buf_add(out, from, (size_t)(p - from));
		}
	}
	return buf_check(out, e);
}
