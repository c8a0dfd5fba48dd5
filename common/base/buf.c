/* buf: growable bytes with a maximum and a sticky failure. */
#include "config.h"
#include "base/buf.h"
#include "base/banned.h"

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max < SIZE_MAX / 2 ? max : SIZE_MAX / 2 };
}

void buf_release(struct buf *b)
{
	free(b->p);
	buf_init(b, b->max);
}

void buf_reset(struct buf *b)
{
	b->n = 0;
	b->failed = ERR_OK;
	if (b->p)
		*b->p = 0;
}

char *buf_grow(struct buf *b, size_t n)
{
	size_t need, cap;
	char *p;

	if (b->failed)
		return NULL;
	if (n > b->max - b->n) {
		b->failed = ERR_INVALID_FIELD;
		return NULL;
	}
	need = b->n + n + 1; /* the NUL */
	if (need > b->cap) {
		cap = b->cap + b->cap / 2 < need ? need : b->cap + b->cap / 2;
		cap = cap < 64 ? 64 : cap;
		cap = cap > b->max + 1 ? b->max + 1 : cap;
		p = realloc(b->p, cap);
		if (!p) {
			b->failed = ERR_NOMEM;
			return NULL;
		}
		p[b->n] = 0;
		b->p = p;
		b->cap = cap;
	}
	return b->p + b->n;
}

void buf_commit(struct buf *b, size_t n)
{
	b->n += n;
	b->p[b->n] = 0;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	char *to = n ? buf_grow(b, n) : NULL;

	if (to) {
		memcpy(to, p, n);
		buf_commit(b, n);
	}
}

void buf_adds(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}

void buf_addz(struct buf *b, const char *z)
{
	buf_add(b, z, strlen(z));
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	char *to = buf_grow(b, 0);
	va_list again;
	int n;

	if (!to)
		return;
	va_copy(again, ap);
	n = vsnprintf(to, b->cap - b->n, fmt, ap);
	if (n < 0) {
		b->failed = ERR_NOMEM;
	} else if ((size_t)n < b->cap - b->n) {
		b->n += (size_t)n;
	} else {
		*to = 0;
		to = buf_grow(b, (size_t)n);
		if (to) {
			vsnprintf(to, (size_t)n + 1, fmt, again);
			b->n += (size_t)n;
		}
	}
	va_end(again);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(b, fmt, ap);
	va_end(ap);
}

int buf_check(const struct buf *b, struct err *e)
{
	if (!b->failed)
		return 0;
	if (b->failed == ERR_NOMEM)
		return err_nomem(e);
	return err_set(e, b->failed, "longer than the limit of %zu bytes", b->max);
}
