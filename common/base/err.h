/*
 * err: the one error type. The caller owns it; the lowest level that knows the cause sets it, each level
 * that knows more puts its own words in front. A code says two things: the name that an error record
 * carries (DESIGN 2.5; the same names as in llm-records(5)) and the exit status of a run that it ends.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

enum err_code {
	ERR_OK = 0,
	/* of a run: never in a record */
	ERR_USAGE,        /* exit 2: bad option, argument or template */
	ERR_NOMEM,        /* exit 70 */
	ERR_INTERNAL,     /* exit 70: a bug */
	ERR_OPEN,         /* exit 5: a model, index or file cannot be opened, is damaged or does not match */
	ERR_READ,         /* exit 4: reading the stream failed */
	ERR_WRITE,        /* exit 4: writing standard output or -o failed */
	ERR_STOPPED,      /* exit 4: --fail-fast */
	ERR_SIGNAL,       /* INT, TERM or HUP: finished records are out; `sys` is the signal */
	ERR_GATE,         /* exit 3: a gate, budget or expectation was not met */
	ERR_INCONCLUSIVE, /* exit 8 */
	/* of a record: each has a name in `error.code` */
	ERR_INVALID_JSON,
	ERR_INVALID_UTF8,
	ERR_MISSING_FIELD,
	ERR_INVALID_FIELD,
	ERR_DUPLICATE_ID,
	ERR_INVALID_VECTOR,     /* NaN, infinite or zero */
	ERR_DIMENSION_MISMATCH,
	ERR_MODEL_MISMATCH,
	ERR_CONTEXT_LENGTH,     /* context_length_exceeded */
	ERR_MODEL_FAULT,        /* NaN logits */
	ERR_UNSUPPORTED,
	ERR_UNPRICED,
	ERR_BUDGET_EXCEEDED,
	ERR_BLOCKED,
	ERR_CIRCUIT_OPEN,
	ERR_RATE_LIMIT,         /* rate_limit_exceeded */
	ERR_QUOTA,              /* insufficient_quota; exit 7 when it ends a run */
	ERR_API_KEY,            /* invalid_api_key; exit 7 */
	ERR_MODEL_NOT_FOUND,    /* exit 5 */
	ERR_SERVER,             /* server_error; exit 6 */
	ERR_TIMEOUT,            /* request_timeout; exit 6 */
	ERR_N_CODES
};

struct err {
	enum err_code code;
	int sys;         /* errno, or 0 */
	char text[1024]; /* cause and mend, no newline; cut at a UTF-8 border when too long */
};

/* Set code and text; always returns -1, so that `return err_set(e, …)` reads well. NULL `e` is allowed. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same with ": strerror(errnum)" behind it; errnum is kept in `sys`. ENOMEM becomes ERR_NOMEM. */
int err_sys(struct err *e, enum err_code code, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Put "…: " in front of the text; code and sys stay. Returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Out of memory, in one word. Returns -1. */
int err_nomem(struct err *e);
/* Nothing but -1: the compiler, and -fanalyzer above all, can see that a caller's success is none of these. */
static inline int err_minus(int rc)
{
	if (rc != -1)
		__builtin_unreachable();
	return rc;
}
#define err_set(...) err_minus(err_set(__VA_ARGS__))
#define err_sys(...) err_minus(err_sys(__VA_ARGS__))
#define err_wrap(...) err_minus(err_wrap(__VA_ARGS__))
#define err_nomem(e) err_minus(err_nomem(e))
void err_clear(struct err *e);

/* Name in an error record ("invalid_json"), or NULL for a code that ends a run. */
const char *err_name(enum err_code code);
/* The code with that name, or ERR_OK. */
enum err_code err_by_name(const char *name, size_t n);
/*
 * Exit status of a run that ended with this code (never 0 but for ERR_OK). A record's code that ends a run stopped it
 * early, which is 4, unless the design's table has a better word: mismatches 5, services 6 and 7, budgets 3.
 */
int err_exit(enum err_code code);
/* May a later attempt succeed? (rate limit, server error, timeout, open circuit) */
bool err_retryable(enum err_code code);

#endif
