/* The scanners behind json.h: one table an instruction set, all with the same results. */
#ifndef JSON_JSON_IMPL_H
#define JSON_JSON_IMPL_H

#include "json/json.h"

/* A strict scan in progress. On failure p is where it stopped and `want` what should have stood
 * there. */
struct json_scan {
	const char *p, *end;
	bool wide; /* a byte >= 0x80 was seen: the text is not checked as UTF-8 yet */
	const char *want;
	/* the members of an object at the top, the first `max` of `n`; max 0: not wanted */
	struct json_member *m;
	size_t n, max;
};

struct json_ops {
	const char *name;
	/* One value, blanks before it skipped, p left behind it. Grammar alone, not UTF-8. */
	bool (*value)(struct json_scan *s);
	/* In valid text only: p behind the opening quote; gives the place behind the closing one.
	 */
	const char *(*skip_string)(const char *p, const char *end);
	/* In valid text only: p behind an opening bracket; gives the place behind its partner. */
	const char *(*skip_nest)(const char *p, const char *end);
	/* The first byte that a JSON string must escape, or end; sets *wide when it passes a byte
	 * >= 0x80. */
	const char *(*plain)(const char *p, const char *end, bool *wide);
};

extern const struct json_ops json_ops_scalar;
#ifdef __x86_64__
extern const struct json_ops json_ops_sse2, json_ops_avx2;
#endif
/* The best table for this processor. */
const struct json_ops *json_ops(void);

int json_parse_with(struct json_val *out, struct str text, const struct json_ops *ops,
		    struct err *e);

static inline bool json_blank(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}
static inline const char *json_blanks(const char *p, const char *end)
{
	while (p < end && json_blank(*p))
		p++;
	return p;
}
static inline bool json_digit(char c)
{
	return c >= '0' && c <= '9';
}
/* Value of a hexadecimal digit, or -1. */
static inline int json_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The type that a valid value's first byte says. */
enum json_type json_type_of(char first);
/* Behind the value at p, in valid text. */
const char *json_skip(const char *p, const char *end, const struct json_ops *ops);
/*
 * The code point at *p of a valid string's raw text, *p moved behind it: escapes decoded, pairs
 * joined; a lone surrogate comes back as itself (0xD800..0xDFFF). Bytes that need no decoding come
 * back one at a time.
 */
uint32_t json_unescape(const char **p, const char *end);
/* s between quotes: escaped as little as JSON allows, bad UTF-8 as U+FFFD. */
void json_escape(struct buf *b, struct str s);
/* ERR_INVALID_FIELD: "expected a string, found null". Returns -1. */
int json_wrong_type(struct json_val v, const char *wanted, struct err *e);

#endif
