/* fault_impl: what the files of the fault server share. */
#ifndef TESTS_FAULT_IMPL_H
#define TESTS_FAULT_IMPL_H

#include "fault.h"
#include "json/json.h"

#define FAULT_PLAN_MAX 64
#define FAULT_REQUEST_MAX ((size_t)16 << 20)

struct fault_line {
	bool rule, reset, endless;
	struct {
		int64_t from, to, after_ms, until_ms, attempts;
		double p;
		struct str match, lacks;
	} when;
	int64_t status, delay_ms, stall_ms, gap_ms, drip, cut, huge, retry_in; /* -1: not said */
	struct str type, body, error, chat;                                   /* p NULL: not said */
	struct json_val headers, chunks;
};
struct fault_plan {
	struct fault_line line[FAULT_PLAN_MAX];
	size_t n;
	char *text;
	struct arena a;
};
struct fault_request {
	struct str all, head, body, path, key, idempotency;
	uint64_t n, ms, hash;
	uint64_t attempt; /* from 1 */
};
int fault_plan_read(struct fault_plan *p, const char *text, struct err *e);
void fault_plan_release(struct fault_plan *p);
/* The line for a request, from 0; p->n: a good answer. */
size_t fault_plan_pick(const struct fault_plan *p, const struct fault_request *r, uint64_t seed);

/* Where an answer pauses. */
struct fault_pause {
	size_t at;
	uint64_t ms;
};
struct fault_answer {
	struct buf out;
	struct fault_pause *pause;
	size_t n_pauses, cap_pauses, head; /* head: bytes of it */
	int status;
	bool close, reset;
	struct str endless; /* again and again behind the rest; p NULL: not */
	struct buf body;    /* scratch */
	struct arena a;
};
void fault_answer_init(struct fault_answer *a);
void fault_answer_release(struct fault_answer *a);
void fault_answer_make(struct fault_answer *a, const struct fault_line *l, const struct fault_request *r);

/* The body of a good answer, or of a refusal; the status. *stream: it is an event stream, its events end in blank lines. */
int fault_body(struct buf *out, bool *stream, const struct fault_request *r, struct str chat, struct arena *a);
/* What was asked: the last user message, prompt, first input or query. */
struct str fault_text(struct json_val rq, struct arena *a);

/* TLS, where the tree was configured with OpenSSL; sessions are opaque. */
struct fault_tls;
struct fault_tls *fault_tls_new(const struct fault_opts *o);
void fault_tls_free(struct fault_tls *t);
void *fault_tls_accept(struct fault_tls *t, int fd);
/* As recv(2) and send(2) on a descriptor that does not block. */
ssize_t fault_tls_read(void *session, char *p, size_t n);
ssize_t fault_tls_write(void *session, const char *p, size_t n);
void fault_tls_end(void *session, bool clean);

#endif
