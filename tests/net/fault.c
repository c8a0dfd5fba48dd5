/* fault: see fault.h. A thread accepts, one thread a connection answers. */
#include "config.h"
#include "fault.h"
#include "json/json.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/banned.h"

#define LINES_MAX 64
#define CONNS_MAX 256
#define REQUEST_MAX ((size_t)4 << 20)

struct fault {
	struct json_val script[LINES_MAX];
	size_t n_script;
	char *text;
	int listener;
	unsigned port, max_requests, n_requests, n_conns;
	uint64_t end;
	bool stop;
	FILE *log;
	struct buf last;
	pthread_t thread, conns[CONNS_MAX];
	pthread_mutex_t lock;
};
struct conn {
	struct fault *f;
	int fd;
};

static bool stopped(struct fault *f)
{
	pthread_mutex_lock(&f->lock);
	bool s = f->stop || f->n_requests >= f->max_requests || time_mono_ns() > f->end;
	pthread_mutex_unlock(&f->lock);
	return s;
}

static void nap(struct fault *f, uint64_t ms)
{
	for (uint64_t i = 0; i < ms; i += 5) {
		struct timespec ts = { 0, 5000000 };

		nanosleep(&ts, NULL);
		pthread_mutex_lock(&f->lock);
		bool over = f->stop || time_mono_ns() > f->end;
		pthread_mutex_unlock(&f->lock);
		if (over)
			return;
	}
}

static bool put(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = send(fd, p, n, MSG_NOSIGNAL);

		if (w <= 0)
			return false;
		p += w;
		n -= (size_t)w;
	}
	return true;
}

static int64_t num(struct json_val o, const char *name, int64_t other)
{
	int64_t v;

	return json_i64(&v, json_get(o, name), NULL) ? other : v;
}

static struct str text(struct json_val o, const char *name, struct arena *a)
{
	struct str s = { "", 0 };

	json_str(&s, json_get(o, name), a, NULL);
	return s;
}

/* Reads one request: head and body. False at the connection's end. */
static bool read_request(struct conn *c, struct buf *b, size_t *head)
{
	buf_reset(b);
	for (;;) {
		struct str all = buf_str(b);
		size_t end = str_find(all, STR("\r\n\r\n"), 0), len = 0;
		struct pollfd p = { .fd = c->fd, .events = POLLIN };
		char *at;
		ssize_t got;

		if (end < all.n) {
			const char *cl = strcasestr(all.p, "\r\ncontent-length:");

			len = cl ? (size_t)strtoul(cl + 17, NULL, 10) : 0;
			*head = end + 4;
			if (all.n >= *head + len)
				return true;
		}
		if (poll(&p, 1, 20) == 0) {
			if (stopped(c->f))
				return false;
			continue;
		}
		at = buf_grow(b, 65536);
		got = at ? recv(c->fd, at, 65535, 0) : -1;
		if (got <= 0)
			return false;
		buf_commit(b, (size_t)got);
		b->p[b->n] = 0;
	}
}

/* The body of an answer that depends on the request. */
static int made_body(struct buf *out, struct json_val plan, struct str request, struct arena *a)
{
	struct json_val rq = { 0 }, v, input;
	struct json_iter it;
	struct json_w w = json_w(out);
	size_t i = 0;

	json_parse(&rq, request, NULL);
	json_w_begin(&w, '{');
	json_w_key(&w, "model");
	json_w_str(&w, text(rq, "model", a));
	if (json_get(plan, "chat").type == JSON_STRING) {
		json_w_key(&w, "choices");
		json_w_raw(&w, STR("[{\"index\":0,\"finish_reason\":\"stop\",\"message\":{\"role\":\"assistant\",\"content\":"));
		w.comma = false;
		json_w_raw(&w, json_get(plan, "chat").raw);
		buf_addz(out, "}}]");
		json_w_key(&w, "usage");
		json_w_raw(&w, STR("{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10}"));
		json_w_end(&w, '}');
		return 200;
	}
	json_w_key(&w, "data");
	json_w_begin(&w, '[');
	input = json_get(rq, "input");
	it = json_iter(input);
	while (json_next(&v, &it)) {
		if (str_find(v.raw, STR("BAD"), 0) < v.raw.n) {
			buf_reset(out);
			buf_addz(out, "{\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"too long\"}}");
			return 400;
		}
		json_w_begin(&w, '{');
		json_w_key(&w, "index");
		json_w_u64(&w, i++);
		json_w_key(&w, "embedding");
		json_w_f32_array(&w, (float[]){ (float)v.raw.n, 1.0f }, 2);
		json_w_end(&w, '}');
	}
	json_w_end(&w, ']');
	json_w_key(&w, "usage");
	json_w_raw(&w, STR("{\"prompt_tokens\":5,\"total_tokens\":5}"));
	json_w_end(&w, '}');
	return 200;
}

static bool stream(struct conn *c, struct json_val plan, struct arena *a)
{
	struct json_iter it = json_iter(json_get(plan, "chunks"));
	struct json_val v;

	while (json_next(&v, &it)) {
		struct str s = { "", 0 };

		json_str(&s, v, a, NULL);
		if (!put(c->fd, s.p, s.n))
			return false;
		nap(c->f, (uint64_t)num(plan, "gap_ms", 0));
	}
	return false; /* the end of the connection is the end of the stream */
}

static void put_headers(struct buf *h, struct json_val plan, int status, size_t length, bool counted, struct arena *a)
{
	struct json_iter it = json_iter(json_get(plan, "headers"));
	struct str type = text(plan, "type", a), s;
	struct json_val v;

	buf_addf(h, "HTTP/1.1 %d Planned\r\n", status);
	buf_addz(h, "Content-Type: ");
	buf_adds(h, type.n ? type : STR("application/json"));
	buf_addz(h, "\r\n");
	while (json_next(&v, &it))
		if (!json_str(&s, v, a, NULL)) {
			buf_adds(h, s);
			buf_addz(h, "\r\n");
		}
	if (num(plan, "huge", 0)) {
		for (int64_t i = 0; i < num(plan, "huge", 0); i += 1000)
			buf_addf(h, "X-Huge-%lld: %0900d\r\n", (long long)i, 0);
	}
	if (counted)
		buf_addf(h, "Content-Length: %zu\r\n", length);
	else
		buf_addz(h, "Connection: close\r\n");
	buf_addz(h, "\r\n");
}

/* One answer; false when the connection is to end. */
static bool answer(struct conn *c, struct json_val plan, struct str request, struct arena *a)
{
	bool endless = json_get(plan, "endless").type == JSON_TRUE, chunks = json_get(plan, "chunks").type == JSON_ARRAY;
	int status = (int)num(plan, "status", 200);
	struct buf b, h;
	struct str body;
	bool go_on = true;

	nap(c->f, (uint64_t)num(plan, "delay_ms", 0));
	if (json_get(plan, "reset").type == JSON_TRUE) {
		struct linger l = { 1, 0 };

		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
		return false;
	}
	buf_init(&b, REQUEST_MAX);
	buf_init(&h, REQUEST_MAX);
	body = text(plan, "body", a);
	if (json_get(plan, "chat").type == JSON_STRING || json_get(plan, "embed").type == JSON_TRUE) {
		status = made_body(&b, plan, request, a);
		body = buf_str(&b);
	}
	put_headers(&h, plan, status, body.n, !endless && !chunks, a);
	go_on = put(c->fd, h.p, h.n);
	nap(c->f, (uint64_t)num(plan, "stall_ms", 0));
	if (go_on && endless) {
		char junk[65536];

		memset(junk, ' ', sizeof junk);
		while (!stopped(c->f) && put(c->fd, junk, sizeof junk))
			;
		go_on = false;
	} else if (go_on && chunks) {
		go_on = stream(c, plan, a);
	} else if (go_on && num(plan, "cut", -1) >= 0) {
		put(c->fd, body.p, (size_t)num(plan, "cut", 0));
		go_on = false;
	} else if (go_on) {
		go_on = put(c->fd, body.p, body.n);
	}
	buf_release(&b);
	buf_release(&h);
	return go_on;
}

static void *serve(void *arg)
{
	struct conn *c = arg;
	struct fault *f = c->f;
	struct arena a;
	struct buf b;
	size_t head = 0;
	bool go_on = true;

	arena_init(&a, REQUEST_MAX);
	buf_init(&b, REQUEST_MAX);
	while (go_on && read_request(c, &b, &head)) {
		pthread_mutex_lock(&f->lock);
		struct json_val plan = f->script[f->n_requests < f->n_script ? f->n_requests : f->n_script - 1];

		f->n_requests++;
		buf_reset(&f->last);
		buf_adds(&f->last, buf_str(&b));
		if (f->log) {
			struct buf line;
			struct json_w w = json_w(&line);

			buf_init(&line, REQUEST_MAX);
			json_w_str(&w, buf_str(&b));
			fprintf(f->log, "%.*s\n", (int)line.n, line.p);
			fflush(f->log);
			buf_release(&line);
		}
		pthread_mutex_unlock(&f->lock);
		go_on = answer(c, plan, str_sub(buf_str(&b), head, b.n), &a);
		arena_reset(&a);
	}
	close(c->fd);
	buf_release(&b);
	arena_release(&a);
	free(c);
	return NULL;
}

static void *listen_on(void *arg)
{
	struct fault *f = arg;

	while (!stopped(f) && f->n_conns < CONNS_MAX) {
		struct pollfd p = { .fd = f->listener, .events = POLLIN };
		struct conn *c;
		int fd;

		if (poll(&p, 1, 20) <= 0)
			continue;
		fd = accept(f->listener, NULL, NULL);
		c = fd < 0 ? NULL : malloc(sizeof *c);
		if (!c)
			continue;
		*c = (struct conn){ f, fd };
		if (pthread_create(&f->conns[f->n_conns], NULL, serve, c)) {
			close(fd);
			free(c);
			continue;
		}
		f->n_conns++;
	}
	close(f->listener);
	for (unsigned i = 0; i < f->n_conns; i++)
		pthread_join(f->conns[i], NULL);
	return NULL;
}

static int read_script(struct fault *f, const char *script)
{
	char *p = f->text = strdup(script), *end;

	while (p && *p && f->n_script < LINES_MAX) {
		end = strchrnul(p, '\n');
		if (end > p) {
			struct err e = { 0 };

			if (json_parse(&f->script[f->n_script], (struct str){ p, (size_t)(end - p) }, &e)) {
				fprintf(stderr, "fault: %s\n", e.text);
				return -1;
			}
			f->n_script++;
		}
		p = *end ? end + 1 : end;
	}
	return f->n_script ? 0 : -1;
}

struct fault *fault_start(const char *script, unsigned max_requests, unsigned seconds, const char *log)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct fault *f = calloc(1, sizeof *f);
	socklen_t len = sizeof sa;

	if (!f)
		return NULL;
	f->listener = -1;
	f->max_requests = max_requests;
	f->end = time_mono_ns() + (uint64_t)seconds * 1000000000u;
	buf_init(&f->last, REQUEST_MAX);
	pthread_mutex_init(&f->lock, NULL);
	if (log && !(f->log = fopen(log, "we")))
		goto fail;
	if (read_script(f, script))
		goto fail;
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->listener < 0 || bind(f->listener, (struct sockaddr *)&sa, sizeof sa) || listen(f->listener, 64) ||
	    getsockname(f->listener, (struct sockaddr *)&sa, &len))
		goto fail;
	f->port = ntohs(sa.sin_port);
	if (pthread_create(&f->thread, NULL, listen_on, f))
		goto fail;
	return f;
fail:
	if (f->listener >= 0)
		close(f->listener);
	if (f->log)
		fclose(f->log);
	free(f->text);
	free(f);
	return NULL;
}

unsigned fault_port(const struct fault *f)
{
	return f->port;
}

unsigned fault_requests(struct fault *f)
{
	pthread_mutex_lock(&f->lock);
	unsigned n = f->n_requests;
	pthread_mutex_unlock(&f->lock);
	return n;
}

void fault_last(struct fault *f, char *out, size_t cap)
{
	pthread_mutex_lock(&f->lock);
	snprintf(out, cap, STR_FMT, STR_ARG(buf_str(&f->last)));
	pthread_mutex_unlock(&f->lock);
}

int fault_over(struct fault *f)
{
	return stopped(f);
}

void fault_stop(struct fault *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	if (f->log)
		fclose(f->log);
	buf_release(&f->last);
	pthread_mutex_destroy(&f->lock);
	free(f->text);
	free(f);
}
