/* str: a borrowed run of bytes, not NUL-terminated. Whoever hands it out says how long it lives. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct str {
	const char *p;
	size_t n;
};

#define STR(lit) ((struct str){ "" lit, sizeof(lit) - 1 })
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)((s).n), (s).p

static inline struct str str_of(const char *z)
{
	return (struct str){ z, strlen(z) };
}
static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_is(struct str a, const char *z)
{
	return str_eq(a, str_of(z));
}
static inline bool str_starts(struct str a, struct str prefix)
{
	return a.n >= prefix.n && (prefix.n == 0 || memcmp(a.p, prefix.p, prefix.n) == 0);
}
static inline bool str_ends(struct str a, struct str suffix)
{
	return a.n >= suffix.n &&
	       (suffix.n == 0 || memcmp(a.p + (a.n - suffix.n), suffix.p, suffix.n) == 0);
}
/* a[from, to); the bounds must lie inside. */
static inline struct str str_sub(struct str a, size_t from, size_t to)
{
	return (struct str){ a.p + from, to - from };
}
/* Bytes in order, as memcmp; the shorter first when one begins the other. */
int str_cmp(struct str a, struct str b);
/* Blanks (space, tab, CR, LF) off both ends. */
struct str str_trim(struct str a);
/* Offset of the first `needle` in `hay` at or after `from`, or hay.n where there is none. */
size_t str_find(struct str hay, struct str needle, size_t from);

#endif
