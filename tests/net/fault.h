/*
 * fault: a server on 127.0.0.1 that speaks the OpenAI API (chat/completions, completions, embeddings, rerank, models; streams)
 * and goes wrong as planned. One thread, epoll. A test starts it in its process (below) or as the program fault-server.
 *
 * The plan is NDJSON. Lines without "when" are taken in turn, one a request, the last one again and again; a line with "when" is
 * a rule that goes before them wherever all it says holds (the first such rule counts). Without any line every answer is good.
 *   "when": {from, to: numbers of requests, from 0, `to` excluded; after_ms, until_ms: since the first request; attempts: only
 *           the first so many of the same request (by Idempotency-Key, else by body); p: probability, drawn from the seed,
 *           the request and its attempt; match, lacks: text that the request, head and body, has or has not}
 * What a line says of the answer, all optional; a member that is not listed here is an error:
 *   status (200)     with none of body, error, chunks, endless a 200 is a good answer
 *   type ("application/json"), headers ["Name: value"], body (text)
 *   error (code)     a body {"error":{message,type,code}}
 *   chat (text)      what the model says instead of "echo: " and the last user message
 *   delay_ms         before the answer; stall_ms: between headers and body
 *   drip (bytes)     the body in such pieces, gap_ms between them
 *   chunks [text…]   an event stream's pieces, gap_ms between them; then the connection ends
 *   cut (bytes)      the body ends there, and the connection
 *   reset (true)     RST: at once, or behind `cut` bytes
 *   huge (bytes)     of junk headers; endless (true): `body` (or blanks) again and again without end
 *   retry_in (s)     Retry-After as an HTTP date
 * A good answer counts words as tokens, obeys max_tokens, n, stream, stream_options, dimensions and encoding_format. Vectors
 * depend on the text alone; a rerank score is the share of the query's words that a document has.
 *
 * The log is a JSON line a request: {n, ms, attempt, conn, path, rule (line of the plan, from 1; 0: none), status (0: reset),
 * authorization, idempotency, text (what was asked), head, body}.
 */
#ifndef TESTS_FAULT_H
#define TESTS_FAULT_H

#include <stddef.h>
#include <stdint.h>

struct fault;
struct fault_opts {
	const char *plan;      /* NULL or "": good answers */
	uint64_t max_requests; /* it is over then; 0: no limit */
	unsigned seconds, port; /* it is over then; 0: any free one */
	unsigned gather_ms;    /* sleeps so long between turns: what has come by then is answered together, as from afar */
	uint64_t seed;
	const char *log;       /* file, or NULL */
	const char *tls;       /* speaks TLS under a certificate of its own, written to this file; NULL: plain */
	const char *tls_name;  /* what the certificate is for; NULL: 127.0.0.1 and localhost */
	int tls_days;          /* it ends so many days from now; 0: 1; negative: it has expired */
};
/* NULL on failure, said on stderr. */
struct fault *fault_start_opts(const struct fault_opts *o);
struct fault *fault_start(const char *plan, unsigned max_requests, unsigned seconds, const char *log);
int fault_has_tls(void);
unsigned fault_port(const struct fault *f);
unsigned fault_requests(struct fault *f); /* seen so far */
/* The last request, head and body, NUL-terminated; copied into out. */
void fault_last(struct fault *f, char *out, size_t cap);
void fault_wait(struct fault *f); /* until its time or count is used up */
void fault_stop(struct fault *f);

#endif
