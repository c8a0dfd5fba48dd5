/* str: borrowed runs of bytes. */
#include "config.h"
#include "base/str.h"
#include "base/banned.h"

int str_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str a)
{
	while (a.n && blank(a.p[a.n - 1]))
		a.n--;
	while (a.n && blank(*a.p)) {
		a.p++;
		a.n--;
	}
	return a;
}

size_t str_find(struct str hay, struct str needle, size_t from)
{
	const char *hit;

	if (from > hay.n || needle.n > hay.n - from)
		return hay.n;
	if (!needle.n)
		return from;
	hit = memmem(hay.p + from, hay.n - from, needle.p, needle.n);
	return hit ? (size_t)(hit - hay.p) : hay.n;
}
