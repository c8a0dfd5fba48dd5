/* fault_answer: the bytes of an answer, and where it pauses. */
#include "config.h"
#include "fault_impl.h"
#include <stdlib.h>
#include <time.h>
#include "base/banned.h"

void fault_answer_init(struct fault_answer *a)
{
	*a = (struct fault_answer){ 0 };
	buf_init(&a->out, 4 * FAULT_REQUEST_MAX);
	buf_init(&a->body, 2 * FAULT_REQUEST_MAX);
	arena_init(&a->a, 4 * FAULT_REQUEST_MAX);
}

void fault_answer_release(struct fault_answer *a)
{
	buf_release(&a->out);
	buf_release(&a->body);
	arena_release(&a->a);
	free(a->pause);
}

/* A pause behind what is written so far. */
static void pause_here(struct fault_answer *a, int64_t ms)
{
	if (ms <= 0)
		return;
	if (a->n_pauses == a->cap_pauses) {
		size_t cap = a->cap_pauses ? 2 * a->cap_pauses : 8;
		struct fault_pause *p = realloc(a->pause, cap * sizeof *p);

		if (!p)
			return;
		a->pause = p;
		a->cap_pauses = cap;
	}
	a->pause[a->n_pauses++] = (struct fault_pause){ a->out.n, (uint64_t)ms };
}

static void put_headers(struct fault_answer *a, const struct fault_line *l, struct str type)
{
	struct json_iter it = json_elements(l->headers);
	struct buf *h = &a->out;
	struct json_val v;
	struct str s;

	buf_addf(h, "HTTP/1.1 %d Planned\r\nContent-Type: ", a->status);
	buf_adds(h, type);
	buf_addz(h, "\r\n");
	while (json_next(&v, &it))
		if (!json_str(&s, v, &a->a, NULL)) {
			buf_adds(h, s);
			buf_addz(h, "\r\n");
		}
	if (l->retry_in >= 0) {
		time_t at = time(NULL) + l->retry_in;
		struct tm tm;
		char date[64];

		strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&at, &tm));
		buf_addf(h, "Retry-After: %s\r\n", date);
	}
	for (int64_t i = 0; i < l->huge; i += 1000)
		buf_addf(h, "X-Huge-%lld: %0900d\r\n", (long long)i, 0);
}

/* The body in pieces with pauses; cut where the plan says so. As HTTP chunks where its length is not told. */
static void put_body(struct fault_answer *a, const struct fault_line *l, struct str body, bool chunked, bool events)
{
	size_t end = l->cut >= 0 && (size_t)l->cut < body.n ? (size_t)l->cut : body.n;

	for (size_t i = 0; i < end;) {
		size_t n = l->drip > 0 ? (size_t)l->drip : end - i;

		if (events && l->drip <= 0) {
			n = str_find(body, STR("\n\n"), i) + 2 - i;
		}
		n = n < end - i ? n : end - i;
		if (chunked)
			buf_addf(&a->out, "%zx\r\n", n);
		buf_add(&a->out, body.p + i, n);
		if (chunked)
			buf_addz(&a->out, "\r\n");
		i += n;
		if (i < end)
			pause_here(a, l->gap_ms);
	}
	if (l->cut >= 0)
		a->close = true;
	else if (chunked)
		buf_addz(&a->out, "0\r\n\r\n");
}

static void put_pieces(struct fault_answer *a, const struct fault_line *l)
{
	struct json_iter it = json_elements(l->chunks);
	struct json_val v;
	struct str s;

	while (json_next(&v, &it))
		if (!json_str(&s, v, &a->a, NULL)) {
			buf_adds(&a->out, s);
			pause_here(a, l->gap_ms);
		}
	a->close = true; /* the end of the connection is the end of the stream */
}

static struct str choose_body(struct fault_answer *a, const struct fault_line *l, const struct fault_request *r, bool *stream)
{
	struct json_w w = json_w(&a->body);

	*stream = false;
	if (l->body.p)
		return l->body;
	if (l->error.p) {
		json_w_begin(&w, '{');
		json_w_key(&w, "error");
		json_w_begin(&w, '{');
		json_w_key(&w, "message");
		json_w_strz(&w, "a planned fault");
		json_w_key(&w, "type");
		json_w_str(&w, l->error);
		json_w_key(&w, "code");
		json_w_str(&w, l->error);
		json_w_end(&w, '}');
		json_w_end(&w, '}');
	} else if (a->status == 200) {
		a->status = fault_body(&a->body, stream, r, l->chat, &a->a);
	}
	return buf_str(&a->body);
}

void fault_answer_make(struct fault_answer *a, const struct fault_line *l, const struct fault_request *r)
{
	bool chunks = l->chunks.type == JSON_ARRAY, stream = false;
	struct str body = { "", 0 };

	buf_reset(&a->out);
	buf_reset(&a->body);
	arena_reset(&a->a);
	a->n_pauses = 0;
	a->close = a->reset = false;
	a->endless = (struct str){ NULL, 0 };
	a->status = l->status < 0 ? 200 : (int)l->status;
	pause_here(a, l->delay_ms);
	if (l->reset && l->cut < 0) {
		a->status = 0;
		a->close = a->reset = true;
		return;
	}
	a->reset = l->reset;
	if (l->endless)
		a->endless = l->body.p ? l->body : STR("                                                                ");
	else if (!chunks)
		body = choose_body(a, l, r, &stream);
	put_headers(a, l, l->type.p ? l->type : stream || chunks ? STR("text/event-stream") : STR("application/json"));
	if (l->endless || chunks)
		buf_addz(&a->out, "Connection: close\r\n\r\n");
	else if (stream)
		buf_addz(&a->out, "Transfer-Encoding: chunked\r\n\r\n");
	else
		buf_addf(&a->out, "Content-Length: %zu\r\n\r\n", body.n);
	a->head = a->out.n;
	pause_here(a, l->stall_ms);
	if (chunks)
		put_pieces(a, l);
	else if (!l->endless)
		put_body(a, l, body, stream, stream);
}
