/* fault: see fault.h. One thread holds all connections; epoll tells of changes alone, so that it is asked once a connection. */
#include "config.h"
#include "fault_impl.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "base/banned.h"

#define EVENTS 1024
#define TICK_MS 20

struct conn {
	int fd;
	enum { READING, WRITING, SLEEPING } state;
	uint64_t wake; /* ns */
	size_t at, next_pause, index, number;
	void *tls;
	struct buf in;
	size_t used; /* bytes of `in` that are answered */
	struct fault_answer a;
};
struct fault {
	struct fault_opts o;
	struct fault_plan plan;
	struct fault_tls *tls;
	int listener, poll;
	unsigned port;
	uint64_t end, first, n_requests, n_conns_seen, next_wake;
	bool stop;
	FILE *log;
	struct buf last, line;
	struct map attempts;
	struct conn **conns;
	size_t n_conns, cap_conns;
	pthread_t thread;
	pthread_mutex_t lock; /* n_requests, stop, last */
};

static bool over(struct fault *f)
{
	pthread_mutex_lock(&f->lock);
	bool s = f->stop || (f->o.max_requests && f->n_requests >= f->o.max_requests) || time_mono_ns() > f->end;
	pthread_mutex_unlock(&f->lock);
	return s;
}

/* ---- one request ------------------------------------------------------------------------------- */

static struct str header(struct str head, const char *name)
{
	const char *at = strcasestr(head.p, name); /* the head is followed by NUL or a body: the bound is checked */
	size_t from, to;

	if (!at || at >= head.p + head.n)
		return (struct str){ "", 0 };
	from = (size_t)(at - head.p) + strlen(name);
	to = str_find(head, STR("\r\n"), from);
	return str_trim(str_sub(head, from, to));
}

/* A whole request in c->in? Its parts are borrowed from there. */
static bool whole(struct fault_request *r, const struct conn *c)
{
	struct str all = str_sub(buf_str(&c->in), c->used, c->in.n);
	size_t head = str_find(all, STR("\r\n\r\n"), 0), sp, len;
	uint64_t n = 0;

	if (head == all.n)
		return false;
	r->head = str_sub(all, 0, head + 4);
	num_u64(&n, header(r->head, "\r\ncontent-length:"), 0, FAULT_REQUEST_MAX, NULL);
	len = head + 4 + (size_t)n;
	if (all.n < len)
		return false;
	r->all = str_sub(all, 0, len);
	r->body = str_sub(all, head + 4, len);
	sp = str_find(r->head, STR(" "), 0) + 1;
	r->path = str_sub(r->head, sp, str_find(r->head, STR(" "), sp));
	return true;
}

static void log_request(struct fault *f, const struct conn *c, const struct fault_request *r, size_t rule)
{
	struct json_w w = json_w(&f->line);
	struct json_val rq = { 0 };
	struct arena a;

	arena_init(&a, FAULT_REQUEST_MAX);
	json_parse(&rq, r->body, NULL);
	buf_reset(&f->line);
	json_w_begin(&w, '{');
#define NUM(name, v) json_w_key(&w, name), json_w_u64(&w, (uint64_t)(v))
#define TXT(name, v) json_w_key(&w, name), json_w_str(&w, v)
	NUM("n", r->n);
	NUM("ms", r->ms);
	NUM("attempt", r->attempt);
	NUM("conn", c->number);
	TXT("path", r->path);
	NUM("rule", rule);
	NUM("status", c->a.status);
	TXT("authorization", r->key);
	TXT("idempotency", r->idempotency);
	TXT("text", fault_text(rq, &a));
	TXT("head", r->head);
	TXT("body", r->body);
#undef NUM
#undef TXT
	json_w_end(&w, '}');
	fwrite(f->line.p, 1, f->line.n, f->log);
	fputc('\n', f->log);
	fflush(f->log);
	arena_release(&a);
}

static void note(struct fault *f, struct fault_request *r)
{
	uint64_t now = time_mono_ns() / 1000000, *times;
	char name[16];

	pthread_mutex_lock(&f->lock);
	r->n = f->n_requests++;
	buf_reset(&f->last);
	buf_adds(&f->last, r->all);
	pthread_mutex_unlock(&f->lock);
	if (!r->n)
		f->first = now;
	r->ms = now - f->first;
	r->attempt = 1;
	if (!f->log && !f->plan.n) /* nobody asks */
		return;
	r->key = header(r->head, "\r\nauthorization:");
	r->idempotency = header(r->head, "\r\nidempotency-key:");
	r->hash = hash64(r->body.p, r->body.n, f->o.seed);
	snprintf(name, sizeof name, "%015llx",
		 (unsigned long long)(r->idempotency.n ? hash64(r->idempotency.p, r->idempotency.n, 1) : r->hash) >> 4);
	if (map_put(&times, NULL, &f->attempts, (struct str){ name, 15 }, NULL) == 0)
		r->attempt = ++*times;
}

static void begin_answer(struct fault *f, struct conn *c, struct fault_request *r)
{
	static const struct fault_line good = { .status = 200, .delay_ms = -1, .stall_ms = -1, .gap_ms = -1, .drip = -1,
						.cut = -1, .huge = -1, .retry_in = -1 };
	size_t rule;

	note(f, r);
	rule = fault_plan_pick(&f->plan, r, f->o.seed);
	fault_answer_make(&c->a, rule < f->plan.n ? &f->plan.line[rule] : &good, r);
	if (f->log)
		log_request(f, c, r, rule < f->plan.n ? rule + 1 : 0);
	c->used += r->all.n;
	if (c->used == c->in.n) {
		buf_reset(&c->in);
		c->used = 0;
	}
	c->at = c->next_pause = 0;
	c->state = WRITING;
}

/* ---- connections ------------------------------------------------------------------------------- */

static ssize_t take(struct conn *c, char *p, size_t n)
{
	return c->tls ? fault_tls_read(c->tls, p, n) : recv(c->fd, p, n, 0);
}

static ssize_t give(struct conn *c, const char *p, size_t n)
{
	return c->tls ? fault_tls_write(c->tls, p, n) : send(c->fd, p, n, MSG_NOSIGNAL);
}

static void conn_end(struct fault *f, struct conn *c, bool reset)
{
	if (c->tls)
		fault_tls_end(c->tls, !reset);
	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	close(c->fd);
	f->conns[c->index] = f->conns[--f->n_conns];
	f->conns[c->index]->index = c->index;
	buf_release(&c->in);
	fault_answer_release(&c->a);
	free(c);
}

/* Reads until there is a request. False: nothing more for now, or at all. */
static bool do_read(struct fault *f, struct conn *c, bool *gone)
{
	struct fault_request r = { 0 };

	while (!whole(&r, c)) {
		char *p = buf_grow(&c->in, 16384);
		ssize_t got = p ? take(c, p, 16384) : 0;

		if (got <= 0) {
			*gone = got == 0 || (errno != EAGAIN && errno != EINTR);
			return false;
		}
		buf_commit(&c->in, (size_t)got);
		c->in.p[c->in.n] = 0;
		if (c->in.p[c->used] == 0x16) { /* TLS where none is spoken: as other servers answer that */
			give(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", 47);
			*gone = true;
			return false;
		}
	}
	begin_answer(f, c, &r);
	return true;
}

/* Writes up to the next pause or the end. False: wait. */
static bool do_write(struct fault *f, struct conn *c, bool *gone)
{
	struct fault_answer *a = &c->a;

	for (;;) {
		bool pausing = c->next_pause < a->n_pauses;
		size_t to = pausing ? a->pause[c->next_pause].at : a->out.n;
		const char *p = a->out.p + c->at;
		ssize_t put;

		if (c->at == to && pausing) {
			c->wake = time_mono_ns() + a->pause[c->next_pause++].ms * 1000000;
			f->next_wake = c->wake < f->next_wake ? c->wake : f->next_wake;
			c->state = SLEEPING;
			return false;
		}
		if (c->at == to && !a->endless.p) {
			*gone = a->close;
			c->state = READING;
			return !a->close;
		}
		if (c->at == to) {
			p = a->endless.p;
			to += a->endless.n;
		}
		put = give(c, p, to - c->at);
		if (put <= 0) {
			*gone = errno != EAGAIN && errno != EINTR;
			return false;
		}
		if (c->at < a->out.n)
			c->at += (size_t)put;
	}
}

/* As far as it goes. */
static void conn_run(struct fault *f, struct conn *c)
{
	bool gone = false;

	while (c->state == READING ? do_read(f, c, &gone) : c->state == WRITING && do_write(f, c, &gone))
		;
	if (gone)
		conn_end(f, c, c->a.reset);
}

static void conn_new(struct fault *f, int fd)
{
	struct conn *c = calloc(1, sizeof *c);
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c };

	if (f->n_conns == f->cap_conns) {
		size_t cap = f->cap_conns ? 2 * f->cap_conns : 64;
		struct conn **p = realloc(f->conns, cap * sizeof(struct conn *));

		if (p) {
			f->conns = p;
			f->cap_conns = cap;
		}
	}
	if (!c || f->n_conns == f->cap_conns || (f->tls && !(c->tls = fault_tls_accept(f->tls, fd)))) {
		close(fd);
		free(c);
		return;
	}
	c->fd = fd;
	c->index = f->n_conns;
	f->conns[f->n_conns++] = c;
	buf_init(&c->in, FAULT_REQUEST_MAX);
	fault_answer_init(&c->a);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	c->number = f->n_conns_seen++;
	epoll_ctl(f->poll, EPOLL_CTL_ADD, fd, &ev);
}

static void wake(struct fault *f)
{
	uint64_t now = time_mono_ns();

	if (now < f->next_wake)
		return;
	f->next_wake = UINT64_MAX;
	for (size_t i = f->n_conns; i-- > 0;) { /* conn_end() moves the last one, which has been seen */
		struct conn *c = f->conns[i];

		if (c->state != SLEEPING)
			continue;
		if (c->wake <= now) {
			c->state = WRITING;
			conn_run(f, c);
		} else if (c->wake < f->next_wake) {
			f->next_wake = c->wake;
		}
	}
}

static void *serve(void *arg)
{
	struct fault *f = arg;
	struct epoll_event ev[EVENTS];

	while (!over(f)) {
		uint64_t now = time_mono_ns();
		int ms = f->next_wake < now + TICK_MS * 1000000 ? (int)((f->next_wake - now) / 1000000) + 1 : TICK_MS, n;

		if (f->o.gather_ms)
			nanosleep(&(struct timespec){ .tv_nsec = (long)f->o.gather_ms * 1000000 }, NULL);
		n = epoll_wait(f->poll, ev, EVENTS, f->next_wake <= now ? 0 : ms);
		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;
			int fd;

			if (!c) {
				while ((fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
					conn_new(f, fd);
			} else if (c->state == SLEEPING && ev[i].events & (EPOLLHUP | EPOLLRDHUP)) {
				conn_end(f, c, false); /* the client has given up */
			} else {
				conn_run(f, c);
			}
		}
		wake(f);
	}
	while (f->n_conns)
		conn_end(f, f->conns[f->n_conns - 1], false);
	return NULL;
}

/* ---- life -------------------------------------------------------------------------------------- */

static int listen_on(struct fault *f)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)f->o.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof sa;

	f->poll = epoll_create1(EPOLL_CLOEXEC);
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->listener < 0)
		return -1;
	setsockopt(f->listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(f->listener, (struct sockaddr *)&sa, sizeof sa) || listen(f->listener, 4096) ||
	    getsockname(f->listener, (struct sockaddr *)&sa, &len) ||
	    epoll_ctl(f->poll, EPOLL_CTL_ADD, f->listener, &(struct epoll_event){ .events = EPOLLIN }))
		return -1;
	f->port = ntohs(sa.sin_port);
	return 0;
}

static void fault_free(struct fault *f)
{
	if (f->listener >= 0)
		close(f->listener);
	if (f->poll >= 0)
		close(f->poll);
	if (f->log)
		fclose(f->log);
	fault_tls_free(f->tls);
	fault_plan_release(&f->plan);
	buf_release(&f->last);
	buf_release(&f->line);
	map_release(&f->attempts);
	pthread_mutex_destroy(&f->lock);
	free(f->conns);
	free(f);
}

struct fault *fault_start_opts(const struct fault_opts *o)
{
	struct fault *f = calloc(1, sizeof *f);
	struct err e = { 0 };
	struct rlimit lim;

	if (!f)
		return NULL;
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to what may be gone */
	f->o = *o;
	f->listener = f->poll = -1;
	f->end = time_mono_ns() + (uint64_t)o->seconds * 1000000000u;
	f->next_wake = UINT64_MAX;
	buf_init(&f->last, FAULT_REQUEST_MAX);
	buf_init(&f->line, 4 * FAULT_REQUEST_MAX);
	map_init(&f->attempts, true);
	pthread_mutex_init(&f->lock, NULL);
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	if (fault_plan_read(&f->plan, o->plan, &e))
		fprintf(stderr, "fault: %s\n", e.text);
	else if (o->log && !(f->log = fopen(o->log, "we")))
		fprintf(stderr, "fault: %s: %s\n", o->log, strerror(errno));
	else if (o->tls && !(f->tls = fault_tls_new(o)))
		fprintf(stderr, "fault: no TLS\n");
	else if (listen_on(f) || (errno = pthread_create(&f->thread, NULL, serve, f)))
		fprintf(stderr, "fault: %s\n", strerror(errno));
	else
		return f;
	fault_free(f);
	return NULL;
}

struct fault *fault_start(const char *plan, unsigned max_requests, unsigned seconds, const char *log)
{
	return fault_start_opts(&(struct fault_opts){ .plan = plan, .max_requests = max_requests, .seconds = seconds, .log = log });
}

unsigned fault_port(const struct fault *f)
{
	return f->port;
}

unsigned fault_requests(struct fault *f)
{
	pthread_mutex_lock(&f->lock);
	unsigned n = (unsigned)f->n_requests;
	pthread_mutex_unlock(&f->lock);
	return n;
}

void fault_last(struct fault *f, char *out, size_t cap)
{
	pthread_mutex_lock(&f->lock);
	snprintf(out, cap, STR_FMT, STR_ARG(buf_str(&f->last)));
	pthread_mutex_unlock(&f->lock);
}

void fault_wait(struct fault *f)
{
	while (!over(f))
		nanosleep(&(struct timespec){ 0, TICK_MS * 1000000 }, NULL);
}

void fault_stop(struct fault *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	fault_free(f);
}
