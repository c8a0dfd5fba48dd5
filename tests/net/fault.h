/*
 * fault: a server on 127.0.0.1 that answers as planned, for tests of what can go wrong. A script is NDJSON, one answer a line,
 * used in turn, the last one again and again. Members (all optional):
 *   status (200), type ("application/json"), headers ["Name: value"], body (text), chat (text: a chat completion that says it,
 *   under the model asked for), embed (true: a vector a text; a text with BAD in it gives 400), delay_ms (before the answer),
 *   chunks [text, …] (an event stream's pieces, gap_ms between), cut (bytes of the body, then the connection ends), stall_ms
 *   (after the headers), reset (true: no answer at all, RST), huge (bytes of a header), endless (true: a body without end)
 */
#ifndef TESTS_FAULT_H
#define TESTS_FAULT_H

#include <stddef.h>

struct fault;
/* Serves at most max_requests for at most seconds. `log` is a file for one JSON line a request, or NULL. NULL on failure. */
struct fault *fault_start(const char *script, unsigned max_requests, unsigned seconds, const char *log);
unsigned fault_port(const struct fault *f);
unsigned fault_requests(struct fault *f); /* seen so far */
/* The last request, head and body, NUL-terminated; copied into out. */
void fault_last(struct fault *f, char *out, size_t cap);
int fault_over(struct fault *f); /* its time or count is used up */
void fault_stop(struct fault *f);

#endif
