/* cached: a backend in front of another one, which answers from a file what was asked before. */
#include "llm/llm.h" /* which includes this one: before the guard */
#ifndef LLM_CACHED_H
#define LLM_CACHED_H

#include "cli/cli.h"

/* Texts that differ in more than their bytes: not at all; in blanks, quotation marks, Unicode's forms; in case, too. */
enum llm_same { LLM_SAME_BYTES, LLM_SAME_BLANKS, LLM_SAME_CASE };

/* The options of CLI_CACHE. */
struct llm_cache_opts {
	const char *file;   /* NULL: no cache */
	const char *ttl;    /* "30d", "12h", "90" (seconds); NULL: for ever */
	const char *max;    /* "500M", "2G"; NULL: LLM_CACHE_MAX */
	int normalize;      /* enum llm_same */
	bool sampled;       /* also what a service draws at random */
};
#define LLM_CACHE_MAX ((uint64_t)1 << 30)
#define LLM_CACHE_OPTIONS "cache cache-ttl cache-max cache-normalize cache-sampled" /* for cli_exclude() */
#define CLI_CACHE(S, m)                                                                                               \
	CLI_HEAD("Cache:"),                                                                                           \
	CLI_STR(0, "cache", "FILE", S, m.file, "answer from FILE what was asked before, and keep new answers there"), \
	CLI_STR(0, "cache-ttl", "TIME", S, m.ttl, "answers older than 90s, 12h, 30d do not count [for ever]"),        \
	CLI_STR(0, "cache-max", "SIZE", S, m.max, "the file's limit: 500M, 2G; what was not used for longest goes [1G]"), \
	CLI_ENUM(0, "cache-normalize", "none|blanks|case", S, m.normalize, "which texts count as the same [none]"),   \
	CLI_FLAG(0, "cache-sampled", S, m.sampled, "also keep what a service draws without a seed")

/* "90", "90s", "15m", "12h", "30d" in seconds; "500", "64K", "500M", "2G" (powers of 1024). ERR_USAGE names what. */
int llm_read_seconds(int64_t *out, const char *text, const char *what, struct err *e);
int llm_read_bytes(uint64_t *out, const char *text, const char *what, struct err *e);

/*
 * With o->file: puts a cache in front of *io, which it owns from then on; else nothing. Equal asks that are under way wait for
 * the first, those of another process too. Errors are not kept. A cache that cannot be read or written ends the run: ERR_OPEN,
 * ERR_WRITE.
 */
int llm_cached_new(struct llm_backend **io, const struct llm_cache_opts *o, struct err *e);
/* At the end of a run: writes what is not written yet, says with -v what was found. Returns -1 when that fails or `failed`
 * is set, which keeps the error there is. b may be any backend or NULL. */
int llm_cached_end(struct llm_backend *b, const struct cli *c, int failed, struct err *e);

#endif
