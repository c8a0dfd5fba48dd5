/* metric_text: Python's idea of blanks, words and lower case. */
#include "config.h"
#include "metric/metric_impl.h"

struct range {
	uint32_t first, last;
};
struct lower {
	uint32_t first, last, step;
	int32_t delta;
};
#include "metric_unicode.h"

static bool in_ranges(const struct range *r, size_t n, uint32_t cp)
{
	size_t lo = 0;
	size_t hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (cp > r[mid].last)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && cp >= r[lo].first;
}
#define IN(table, cp) in_ranges(table, sizeof table / sizeof *table, cp)

bool metric_is_space(uint32_t cp)
{
	if (cp < 0x80)
		return cp == ' ' || (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x1f);
	return cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) ||
	       cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

bool metric_is_punctuation(char c)
{
	return (c > 32 && c < '0') || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') ||
	       (c > 'z' && c < 127);
}

bool metric_is_word(uint32_t cp)
{
	if (cp < 0x80)
		return (cp >= '0' && cp <= '9') || ((cp | 32) >= 'a' && (cp | 32) <= 'z');
	return IN(word, cp);
}

/* Thai to Khmer, kana, Han */
bool metric_is_lone(uint32_t cp)
{
	return (cp >= 0xe00 && cp <= 0xeff) || (cp >= 0x1000 && cp <= 0x109f) ||
	       (cp >= 0x1780 && cp <= 0x17ff) || (cp >= 0x3040 && cp <= 0x30ff) ||
	       (cp >= 0x3400 && cp <= 0x9fff) || (cp >= 0xf900 && cp <= 0xfaff) ||
	       (cp >= 0x20000 && cp <= 0x3ffff);
}

static uint32_t lower_of(uint32_t cp)
{
	size_t lo = 0;
	size_t hi = sizeof lower_map / sizeof *lower_map;
	const struct lower *r;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (cp > lower_map[mid].last)
			lo = mid + 1;
		else
			hi = mid;
	}
	r = &lower_map[lo];
	if (lo == sizeof lower_map / sizeof *lower_map || cp < r->first ||
	    (cp - r->first) % r->step)
		return cp;
	return (uint32_t)((int32_t)cp + r->delta);
}

/* A capital sigma at p is final when a cased letter comes before it and none after, ignorable ones
 * skipped: Unicode's Final_Sigma (chapter 3.13). */
static bool final_sigma(struct str s, size_t at, size_t after)
{
	const char *end = s.p + s.n;
	uint32_t cp = 0;
	bool before = false;
	unsigned len;

	for (size_t i = at; i > 0;) {
		i = utf8_border(s, i - 1);
		cp = utf8_get(s.p + i, end, &len);
		if (!IN(ignorable, cp)) {
			before = IN(cased, cp);
			break;
		}
	}
	if (!before)
		return false;
	for (size_t i = after; i < s.n; i += len) {
		cp = utf8_get(s.p + i, end, &len);
		if (!IN(ignorable, cp))
			return !IN(cased, cp);
	}
	return true;
}

void metric_lower(struct buf *out, struct str s)
{
	const char *end = s.p + s.n;
	char *p = buf_grow(out, s.n);
	size_t i = 0;
	unsigned len;

	if (!p)
		return;
	for (; i < s.n && (unsigned char)s.p[i] < 0x80; i++)
		p[i] = (char)(s.p[i] + ((unsigned char)(s.p[i] - 'A') < 26 ? 32 : 0));
	buf_commit(out, i);
	for (; i < s.n; i += len) {
		uint32_t cp = utf8_get(s.p + i, end, &len);
		char utf8[4];

		if (cp == 0x130) {
			buf_add(out, "i\xcc\x87", 3);
		} else if (cp == UTF8_BAD) {
			buf_add(out, s.p + i, len);
		} else if (cp == 0x3a3 && final_sigma(s, i, i + len)) {
			buf_add(out, "\xcf\x82", 2);
		} else {
			unsigned n = utf8_put(utf8, lower_of(cp));

			buf_add(out, utf8, n);
		}
	}
}

/* Length of the blank at the head of s, 0 when it begins with something else. */
static unsigned blank_at(const char *p, const char *end)
{
	unsigned len = 1;

	if ((unsigned char)*p < 0x80)
		return metric_is_space((unsigned char)*p);
	return metric_is_space(utf8_get(p, end, &len)) ? len : 0;
}

bool metric_split(struct str *out, struct str *rest)
{
	const char *p = rest->p;
	const char *end = p + rest->n;
	unsigned len;

	while (p < end && (len = blank_at(p, end)))
		p += len;
	out->p = p;
	while (p < end && !blank_at(p, end))
		do
			p++;
		while (p < end && ((unsigned char)*p & 0xc0) == 0x80);
	out->n = (size_t)(p - out->p);
	*rest = (struct str){ p, (size_t)(end - p) };
	return out->n > 0;
}

struct str metric_strip(struct str s)
{
	const char *end = s.p + s.n;
	unsigned len;

	while (s.n && (len = blank_at(s.p, end)))
		s = str_sub(s, len, s.n);
	while (s.n) {
		size_t last = utf8_border(s, s.n - 1);

		if (!blank_at(s.p + last, end))
			break;
		s.n = last;
	}
	return s;
}
