/*
 * buf: a growable run of bytes with a maximum. An append that fails (no memory, or past `max`) sets a
 * sticky mark and appends nothing; check once, when the content is used, with buf_check(). Content is
 * always followed by a NUL that does not count.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/err.h"
#include "base/str.h"
#include <stdarg.h>
#include <stdint.h>

struct buf {
	char *p; /* NULL while empty and never grown */
	size_t n, cap, max;
	enum err_code failed; /* ERR_OK, ERR_NOMEM or ERR_INVALID_FIELD (over `max`) */
};

#define BUF_MAX_LINE ((size_t)64 << 20) /* a record */
#define BUF_MAX_TEXT ((size_t)1 << 30)  /* a file of text */

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b);
/* Empty it, keep the memory, forget the mark. */
void buf_reset(struct buf *b);
/* Room for n more bytes; a pointer to it, or NULL with the mark set. buf_commit() then counts them. */
char *buf_grow(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, struct str s);
void buf_addz(struct buf *b, const char *z);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* 0, or -1 when an append had failed. */
int buf_check(const struct buf *b, struct err *e);
static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ b->p ? b->p : "", b->n };
}

#endif
