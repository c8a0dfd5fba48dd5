/* net: the client's life, and the loop: curl's sockets under epoll, so that a turn costs what happened, not what is open. */
#include "config.h"
#include "net/net_client.h"
#include "os/os.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/banned.h"

#define EVENTS 256
#define SLICE_MS 100 /* a signal that comes just before a wait is seen after so long */

static uint64_t real_mono(void *arg)
{
	(void)arg;
	return time_mono_ns();
}

static int64_t real_unix_ms(void *arg)
{
	struct timespec ts;

	(void)arg;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- what curl asks for ------------------------------------------------------------------------ */

static struct net_fd *fd_at(struct net *n, int fd)
{
	size_t want = (size_t)fd + 1, cap = n->n_fds ? n->n_fds : 64;
	struct net_fd *p;

	if (want <= n->n_fds)
		return &n->fds[fd];
	while (cap < want)
		cap *= 2;
	p = realloc(n->fds, cap * sizeof *p);
	if (!p)
		return NULL;
	memset(p + n->n_fds, 0, (cap - n->n_fds) * sizeof *p);
	n->fds = p;
	n->n_fds = cap;
	return &p[fd];
}

int net_fd_new(struct net *n, int fd)
{
	struct net_fd *d = fd_at(n, fd);

	if (!d)
		return -1;
	*d = (struct net_fd){ .connection = true };
	return 0;
}

static void forget(struct net *n, int fd)
{
	if (n->fds[fd].known)
		epoll_ctl(n->poll, EPOLL_CTL_DEL, fd, NULL);
	n->fds[fd].known = 0;
}

void net_fd_gone(struct net *n, int fd)
{
	if ((size_t)fd >= n->n_fds)
		return;
	forget(n, fd);
	n->fds[fd] = (struct net_fd){ 0 };
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct net_lane *l = arg;
	struct net *n = l->client;
	struct epoll_event ev = { .data.fd = fd };
	struct net_fd *d = fd_at(n, fd);
	int rc = 0;

	(void)easy, (void)known;
	if (!d)
		return -1;
	d->wanted = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
	if (what == CURL_POLL_REMOVE)
		d->wanted = 0;
	if (!d->wanted && !d->connection)
		forget(n, fd);
	if (!d->wanted)
		return 0;
	d->lane = l->index;
	ev.events = d->wanted;
	if (d->known != d->wanted)
		rc = epoll_ctl(n->poll, d->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev);
	d->known = d->wanted;
	return rc;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	struct net_lane *l = arg;

	(void)multi;
	l->due = ms < 0 ? NET_NEVER : time_mono_ns() + (uint64_t)ms * NET_MS;
	return 0;
}

static int lane_new(struct net *n, struct err *e)
{
	struct net_lane *l = calloc(1, sizeof *l);
	int bad = 0;

	if (!l || !(l->multi = n->curl->curl_multi_init())) {
		free(l);
		return err_nomem(e);
	}
	l->client = n;
	l->index = n->n_lanes;
	l->due = NET_NEVER;
	n->lanes[n->n_lanes++] = l;
	bad |= n->curl->curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	bad |= n->curl->curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
	bad |= n->curl->curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	bad |= n->curl->curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
	if (l->index) /* kept while they are idle; in the first lane curl keeps four times its requests */
		n->curl->curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, (long)NET_LANE);
	return bad ? err_set(e, ERR_INTERNAL, "libcurl refuses an option") : 0;
}

struct net_lane *net_lane(struct net *n, bool tls, struct err *e)
{
	size_t at = tls ? 0 : 1 + n->n_handles++ / NET_LANE % (NET_LANES - 1);

	while (n->n_lanes <= at)
		if (lane_new(n, e))
			return NULL;
	return n->lanes[at];
}

/* ---- life -------------------------------------------------------------------------------------- */

/* A connection is a descriptor: as many as this process may have. */
static void raise_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) || lim.rlim_cur >= lim.rlim_max)
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
}

int net_new(struct net **out, const struct net_opts *o, struct err *e)
{
	struct net *n = calloc(1, sizeof *n);

	*out = NULL;
	if (!n)
		return err_nomem(e);
	n->o = *o;
	n->clock = o->clock;
	if (!n->clock.mono_ns)
		n->clock = (struct net_clock){ .mono_ns = real_mono, .unix_ms = real_unix_ms };
	n->rng = (struct rng){ .key = o->seed };
	n->due = n->hedge_due = NET_NEVER;
	n->budget = NET_BUDGET_START;
	n->budget_at = net_now(n);
	n->poll = -1;
	raise_limit();
	signal(SIGPIPE, SIG_IGN); /* TLS libraries write to connections that are gone */
	if (net_curl_load(&n->curl, e)) {
		free(n);
		return -1;
	}
	n->poll = epoll_create1(EPOLL_CLOEXEC);
	if (n->poll < 0) {
		err_sys(e, ERR_INTERNAL, errno, "the loop of connections");
		net_free(n);
		return -1;
	}
	*out = n;
	return 0;
}

static void list_free(struct net_list *l)
{
	while (l->first) {
		struct net_flight *f = l->first;

		l->first = f->next;
		for (int k = 0; k < 2; k++)
			if (f->tries[k])
				net_try_free(f->tries[k]);
		f->call->flight = NULL;
		free(f);
	}
}

static void target_free(struct net_target_state *s)
{
	while (s->idle) {
		struct net_try *t = s->idle;

		s->idle = t->next;
		net_try_free(t);
	}
	net_headers_free(s);
	free(s->ca_file);
	free(s->ca_dir);
	free(s->url);
	free(s->host);
	free(s);
}

void net_free(struct net *n)
{
	if (!n)
		return;
	list_free(&n->waiting);
	list_free(&n->flying);
	list_free(&n->done);
	for (unsigned i = 0; i < n->n_targets; i++)
		target_free(n->targets[i]);
	for (unsigned i = 0; i < n->n_lanes; i++) {
		n->curl->curl_multi_cleanup(n->lanes[i]->multi);
		free(n->lanes[i]);
	}
	while (n->spare) {
		struct net_flight *f = n->spare;

		n->spare = f->next;
		free(f);
	}
	if (n->poll >= 0)
		close(n->poll);
	free(n->fds);
	free(n);
}

/* The parts of a URL that are checked and named. */
static int read_url(char **host, struct net *n, const char *url, struct err *e)
{
	CURLU *u = n->curl->curl_url();
	char *scheme = NULL, *name = NULL, *password = NULL;
	int rc = -1;

	if (!u)
		return err_nomem(e);
	if (n->curl->curl_url_set(u, CURLUPART_URL, url, 0) || n->curl->curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) ||
	    n->curl->curl_url_get(u, CURLUPART_HOST, &name, 0) || (strcmp(scheme, "http") && strcmp(scheme, "https")))
		err_set(e, ERR_USAGE, "the base URL is no URL that begins with http:// or https://");
	else if (n->curl->curl_url_get(u, CURLUPART_USER, &password, 0) == 0 ||
		 n->curl->curl_url_get(u, CURLUPART_QUERY, &password, 0) == 0)
		err_set(e, ERR_USAGE, "the base URL carries a user or a query: keys come from --api-key-file");
	else if (!(*host = strdup(name)))
		err_nomem(e);
	else
		rc = 0;
	n->curl->curl_free(scheme);
	n->curl->curl_free(name);
	n->curl->curl_free(password);
	n->curl->curl_url_cleanup(u);
	return rc;
}

/* *out is a copy of an environment variable, or NULL where it is not set. */
static int copy_env(char **out, const char *name, struct err *e)
{
	const char *v = os_env(name);

	*out = v ? strdup(v) : NULL;
	return v && !*out ? err_nomem(e) : 0;
}

int net_add_target(unsigned *out, struct net *n, const struct net_target *t, struct err *e)
{
	struct net_target_state *s;
	size_t len = strlen(t->base_url);
	uint64_t now = net_now(n);

	if (n->n_targets == NET_TARGETS_MAX)
		return err_set(e, ERR_USAGE, "more than %d services", NET_TARGETS_MAX);
	s = calloc(1, sizeof *s);
	if (!s)
		return err_nomem(e);
	s->t = *t;
	s->p95 = NET_NEVER;
	if (read_url(&s->host, n, t->base_url, e) || copy_env(&s->ca_file, "CURL_CA_BUNDLE", e) ||
	    (!s->ca_file && copy_env(&s->ca_file, "SSL_CERT_FILE", e)) || copy_env(&s->ca_dir, "SSL_CERT_DIR", e) ||
	    net_headers_new(s, e) || (!(s->url = strdup(t->base_url)) && err_nomem(e))) {
		target_free(s);
		return -1;
	}
	while (len && s->url[len - 1] == '/')
		s->url[--len] = 0;
	net_bucket_init(&s->requests, t->rpm, now);
	net_bucket_init(&s->tokens, t->tpm, now);
	*out = n->n_targets;
	n->targets[n->n_targets++] = s;
	return 0;
}

/* ---- calls ------------------------------------------------------------------------------------- */

void net_move(struct net_list *to, struct net_flight *f)
{
	if (f->in) {
		*(f->prev ? &f->prev->next : &f->in->first) = f->next;
		*(f->next ? &f->next->prev : &f->in->last) = f->prev;
		f->in->n--;
	}
	f->in = to;
	f->next = NULL;
	f->prev = to->last;
	*(to->last ? &to->last->next : &to->first) = f;
	to->last = f;
	to->n++;
}

static size_t n_calls(const struct net *n)
{
	return n->waiting.n + n->flying.n + n->done.n;
}

size_t net_room(const struct net *n)
{
	return NET_CALLS_MAX - n_calls(n);
}

bool net_busy(const struct net *n)
{
	return n_calls(n) > 0;
}

int net_submit(struct net *n, struct net_call *c, struct err *e)
{
	struct net_flight *f = n->spare;

	if (n_calls(n) == NET_CALLS_MAX || !c->n_hops || c->n_hops > NET_HOPS_MAX)
		return err_set(e, ERR_INTERNAL, "a call too many, or without a target");
	if (f)
		n->spare = f->next;
	else if (!(f = malloc(sizeof *f)))
		return err_nomem(e);
	*f = (struct net_flight){ .call = c };
	c->t_submit = net_now(n);
	f->deadline = c->t_submit + n->o.deadline_ms * NET_MS;
	n->due = 0;
	c->flight = f;
	err_clear(&c->err);
	c->status = 0;
	c->hop = c->attempts = 0;
	c->hedged = c->hopeless = false;
	c->request_id[0] = 0;
	c->json = (struct json_val){ .type = JSON_NONE };
	buf_init(&c->body, n->o.body_max);
	net_move(&n->waiting, f);
	n->n_submitted++;
	return 0;
}

void net_call_release(struct net_call *c)
{
	buf_release(&c->body);
}

int net_used(struct net *n, const struct net_call *c, uint64_t tokens, struct err *e)
{
	struct net_target_state *s = n->targets[c->hops[c->hop].target];

	if (s->t.tpm <= 0)
		return 0;
	if (net_share_in(n, e))
		return -1;
	net_bucket_take(&s->tokens, (double)tokens - (double)c->hops[c->hop].tokens);
	return net_share_out(n, e);
}

/* ---- the loop ---------------------------------------------------------------------------------- */

static struct net_call *take_done(struct net *n)
{
	struct net_flight *f = n->done.first;
	struct net_call *c;

	if (!f)
		return NULL;
	c = f->call;
	n->done.first = f->next;
	*(f->next ? &f->next->prev : &n->done.last) = NULL;
	n->done.n--;
	f->next = n->spare;
	n->spare = f;
	c->flight = NULL;
	return c;
}

/* Settles what is over. */
static int settle_all(struct net *n, struct err *e)
{
	CURLMsg *m;
	int left;
	bool any = false;

	for (unsigned i = 0; i < n->n_lanes; i++)
		while ((m = n->curl->curl_multi_info_read(n->lanes[i]->multi, &left))) {
			struct net_try *t = NULL;
			CURLcode result = m->data.result;

			if (!any && net_share_in(n, e))
				return -1;
			any = true;
			n->curl->curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
			net_settle(n, t, result);
		}
	return any ? net_share_out(n, e) : 0;
}

/* Starts what is due, as what is shared allows. */
static int start_due(struct net *n, struct err *e)
{
	bool due = n->waiting.n && n->due <= net_now(n);
	int rc;

	if (due && net_share_in(n, e))
		return -1;
	rc = net_start_due(n, e);
	return due && net_share_out(n, rc ? NULL : e) ? -1 : rc;
}

static int act(struct net_lane *l, curl_socket_t fd, int what, struct err *e)
{
	const struct net_curl *curl = l->client->curl;
	int running;
	CURLMcode rc = curl->curl_multi_socket_action(l->multi, fd, what, &running);

	return rc ? err_set(e, ERR_INTERNAL, "libcurl: %s", curl->curl_multi_strerror(rc)) : 0;
}

/* When curl wants to be called at the latest. */
static uint64_t curl_due(const struct net *n)
{
	uint64_t due = NET_NEVER;

	for (unsigned i = 0; i < n->n_lanes; i++)
		due = n->lanes[i]->due < due ? n->lanes[i]->due : due;
	return due;
}

static int act_due(struct net *n, uint64_t now, struct err *e)
{
	for (unsigned i = 0; i < n->n_lanes; i++) {
		struct net_lane *l = n->lanes[i];

		if (l->due > now)
			continue;
		l->due = NET_NEVER; /* it says when again */
		if (act(l, CURL_SOCKET_TIMEOUT, 0, e))
			return -1;
	}
	return 0;
}

/* Waits until `until` (ns by n's clock) at the latest and lets curl work on what happened. */
static int turn(struct net *n, uint64_t until, struct err *e)
{
	uint64_t now = net_now(n), real = time_mono_ns(), due = curl_due(n), ms = until <= now ? 0 : (until - now + NET_MS - 1) / NET_MS;
	struct epoll_event ev[EVENTS];
	int got;

	if (!n->flying.n && n->clock.sleep_ns) {
		if (until > now)
			n->clock.sleep_ns(n->clock.arg, until - now);
		return 0;
	}
	ms = ms < SLICE_MS ? ms : SLICE_MS;
	if (due <= real)
		ms = 0;
	else if (due - real < ms * NET_MS)
		ms = (due - real + NET_MS - 1) / NET_MS;
	got = epoll_wait(n->poll, ev, EVENTS, (int)ms);
	if (got < 0 && errno != EINTR)
		return err_sys(e, ERR_INTERNAL, errno, "waiting for connections");
	for (int i = 0; i < got; i++) {
		int what = (ev[i].events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
			   (ev[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) | (ev[i].events & EPOLLERR ? CURL_CSELECT_ERR : 0);

		const struct net_fd *d = &n->fds[ev[i].data.fd];

		if (!d->wanted) /* it ended while it rested: curl sees that when it wants it again */
			forget(n, ev[i].data.fd);
		else if (act(n->lanes[d->lane], ev[i].data.fd, what, e))
			return -1;
	}
	return act_due(n, time_mono_ns(), e) ? -1 : settle_all(n, e);
}

int net_step(struct net_call **done, struct net *n, unsigned max_wait_ms, struct err *e)
{
	uint64_t end = 0, next;

	for (*done = NULL;;) {
		if (os_stop_signal()) {
			err_set(e, ERR_SIGNAL, "stopped by a signal");
			if (e)
				e->sys = os_stop_signal();
			return -1;
		}
		if (start_due(n, e))
			return -1;
		*done = take_done(n);
		if (*done || !net_busy(n))
			return 0;
		if (!end)
			end = net_now(n) + max_wait_ms * NET_MS;
		else if (net_now(n) >= end)
			return 0;
		next = n->due < n->hedge_due ? n->due : n->hedge_due;
		if (turn(n, next < end ? next : end, e))
			return -1;
	}
}
