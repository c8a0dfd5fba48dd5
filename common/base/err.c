/* err: the error type and the one table of its codes. */
#include "config.h"
#include "base/err.h"
#include "base/utf8.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/banned.h"

static const struct {
	const char *name; /* in an error record; NULL: of a run only */
	unsigned char exit;
	bool retryable;
} codes[ERR_N_CODES] = {
	[ERR_OK] = { NULL, 0, false },
	[ERR_USAGE] = { NULL, 2, false },
	[ERR_NOMEM] = { NULL, 70, false },
	[ERR_INTERNAL] = { NULL, 70, false },
	[ERR_OPEN] = { NULL, 5, false },
	[ERR_READ] = { NULL, 4, false },
	[ERR_WRITE] = { NULL, 4, false },
	[ERR_STOPPED] = { NULL, 4, false },
	[ERR_SIGNAL] = { NULL, 4, false },
	[ERR_GATE] = { NULL, 3, false },
	[ERR_INCONCLUSIVE] = { NULL, 8, false },
	[ERR_INVALID_JSON] = { "invalid_json", 4, false },
	[ERR_INVALID_UTF8] = { "invalid_utf8", 4, false },
	[ERR_MISSING_FIELD] = { "missing_field", 4, false },
	[ERR_INVALID_FIELD] = { "invalid_field", 4, false },
	[ERR_DUPLICATE_ID] = { "duplicate_id", 4, false },
	[ERR_INVALID_VECTOR] = { "invalid_vector", 4, false },
	[ERR_DIMENSION_MISMATCH] = { "dimension_mismatch", 5, false },
	[ERR_MODEL_MISMATCH] = { "model_mismatch", 5, false },
	[ERR_CONTEXT_LENGTH] = { "context_length_exceeded", 4, false },
	[ERR_MODEL_FAULT] = { "model_fault", 4, false },
	[ERR_UNSUPPORTED] = { "unsupported", 5, false },
	[ERR_UNPRICED] = { "unpriced", 4, false },
	[ERR_BUDGET_EXCEEDED] = { "budget_exceeded", 3, false },
	[ERR_BLOCKED] = { "blocked", 4, false },
	[ERR_CIRCUIT_OPEN] = { "circuit_open", 6, true },
	[ERR_RATE_LIMIT] = { "rate_limit_exceeded", 6, true },
	[ERR_QUOTA] = { "insufficient_quota", 7, false },
	[ERR_API_KEY] = { "invalid_api_key", 7, false },
	[ERR_MODEL_NOT_FOUND] = { "model_not_found", 5, false },
	[ERR_SERVER] = { "server_error", 6, true },
	[ERR_TIMEOUT] = { "request_timeout", 6, true },
};

/* snprintf reports what it would have written; where it was cut, cut again at a character. */
static size_t cut(char *text, size_t cap, int wrote)
{
	size_t n = wrote < 0 ? 0 : (size_t)wrote;

	if (n >= cap)
		n = utf8_whole((struct str){ text, cap - 1 });
	text[n] = 0;
	return n;
}

static void vset(struct err *e, enum err_code code, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));
static void vset(struct err *e, enum err_code code, const char *fmt, va_list ap)
{
	char text[sizeof e->text]; /* an argument may be e->text itself */
	size_t n = cut(text, sizeof text, vsnprintf(text, sizeof text, fmt, ap));

	memcpy(e->text, text, n + 1);
	e->code = code;
	e->sys = 0;
}

int (err_set)(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -1;
	va_start(ap, fmt);
	vset(e, code, fmt, ap);
	va_end(ap);
	return -1;
}

int (err_sys)(struct err *e, enum err_code code, int errnum, const char *fmt, ...)
{
	char why[128];
	va_list ap;
	size_t n;

	if (!e)
		return -1;
	va_start(ap, fmt);
	vset(e, errnum == ENOMEM ? ERR_NOMEM : code, fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	/*
	 * GNU strerror_r: returns the text, which may lie elsewhere; thread-safe, unlike strerror
	 */
	cut(e->text + n, sizeof e->text - n,
	    snprintf(e->text + n, sizeof e->text - n, ": %s", strerror_r(errnum, why, sizeof why)));
	e->sys = errnum;
	return -1;
}

int (err_wrap)(struct err *e, const char *fmt, ...)
{
	/* cppcheck-suppress ctunullpointer ; sizeof reads nothing */
	char old[sizeof e->text];
	va_list ap;
	size_t n;

	if (!e)
		return -1;
	memcpy(old, e->text, sizeof old);
	old[sizeof old - 1] = 0;
	va_start(ap, fmt);
	n = cut(e->text, sizeof e->text, vsnprintf(e->text, sizeof e->text, fmt, ap));
	va_end(ap);
	cut(e->text + n, sizeof e->text - n,
	    snprintf(e->text + n, sizeof e->text - n, ": %s", old));
	return -1;
}

int (err_nomem)(struct err *e)
{
	return err_set(e, ERR_NOMEM, "out of memory");
}

void err_clear(struct err *e)
{
	e->code = ERR_OK;
	e->sys = 0;
	e->text[0] = 0;
}

const char *err_name(enum err_code code)
{
	return (unsigned)code < ERR_N_CODES ? codes[code].name : NULL;
}

enum err_code err_by_name(const char *name, size_t n)
{
	for (unsigned i = 0; i < ERR_N_CODES; i++)
		if (codes[i].name && strlen(codes[i].name) == n && !memcmp(codes[i].name, name, n))
			return (enum err_code)i;
	return ERR_OK;
}

int err_exit(enum err_code code)
{
	return (unsigned)code < ERR_N_CODES ? codes[code].exit : 70;
}

bool err_retryable(enum err_code code)
{
	return (unsigned)code < ERR_N_CODES && codes[code].retryable;
}
