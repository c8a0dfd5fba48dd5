/*
 * net: the client. A call waits (for its bucket, its breaker, a backoff), flies (one request, with a hedge two), and is done.
 * Retries and fallbacks are decided here and nowhere else: nested retries multiply.
 */
#include "config.h"
#include "net/net_client.h"
#include "os/os.h"
#include <stdlib.h>
#include "base/banned.h"

#define MS ((uint64_t)1000000)
#define BUDGET_START 10.0  /* retries a young run may make */
#define BUDGET_SHARE 0.1   /* and then a tenth of its calls */
#define HEDGE_SHARE 0.02
#define HEDGE_AFTER 20     /* latencies that must be known */

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

static uint64_t now_ns(const struct net *n)
{
	return n->clock.mono_ns(n->clock.arg);
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
	n->budget = BUDGET_START;
	if (net_curl_load(&n->curl, e)) {
		free(n);
		return -1;
	}
	n->multi = n->curl->curl_multi_init();
	if (!n->multi) {
		free(n);
		return err_nomem(e);
	}
	*out = n;
	return 0;
}

void net_free(struct net *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->n_calls; i++) {
		struct net_flight *f = n->calls[i]->flight;

		for (int k = 0; k < 2; k++)
			if (f->tries[k])
				net_try_free(f->tries[k]);
		free(f);
		n->calls[i]->flight = NULL;
	}
	n->curl->curl_multi_cleanup(n->multi);
	for (unsigned i = 0; i < n->n_targets; i++) {
		free(n->targets[i]->url);
		free(n->targets[i]->host);
		free(n->targets[i]);
	}
	free(n->calls);
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

int net_add_target(unsigned *out, struct net *n, const struct net_target *t, struct err *e)
{
	struct net_target_state *s;
	size_t len = strlen(t->base_url);
	uint64_t now = now_ns(n);

	if (n->n_targets == NET_TARGETS_MAX)
		return err_set(e, ERR_USAGE, "more than %d services", NET_TARGETS_MAX);
	s = calloc(1, sizeof *s);
	if (!s)
		return err_nomem(e);
	s->t = *t;
	s->url = strdup(t->base_url);
	if (!s->url || read_url(&s->host, n, t->base_url, s->url ? e : NULL)) {
		if (!s->url)
			err_nomem(e);
		free(s->url);
		free(s->host);
		free(s);
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

size_t net_room(const struct net *n)
{
	return NET_CALLS_MAX - n->n_calls;
}

bool net_busy(const struct net *n)
{
	return n->n_calls > 0;
}

int net_submit(struct net *n, struct net_call *c, struct err *e)
{
	struct net_flight *f;

	if (n->n_calls == NET_CALLS_MAX || !c->n_hops || c->n_hops > NET_HOPS_MAX)
		return err_set(e, ERR_INTERNAL, "a call too many, or without a target");
	if (n->n_calls == n->cap_calls) {
		size_t cap = n->cap_calls ? 2 * n->cap_calls : 16;
		struct net_call **calls = ckd_realloc(n->calls, cap, sizeof(struct net_call *));

		if (!calls)
			return err_nomem(e);
		n->calls = calls;
		n->cap_calls = cap;
	}
	f = calloc(1, sizeof *f);
	if (!f)
		return err_nomem(e);
	f->ready = c->t_submit = now_ns(n);
	f->deadline = f->ready + n->o.deadline_ms * MS;
	c->flight = f;
	c->err = (struct err){ 0 };
	c->status = 0;
	c->hop = c->attempts = 0;
	c->hedged = c->hopeless = false;
	c->request_id[0] = 0;
	c->json = (struct json_val){ .type = JSON_NONE };
	buf_init(&c->body, NET_BODY_MAX);
	n->calls[n->n_calls++] = c;
	n->n_submitted++;
	n->budget += BUDGET_SHARE;
	return 0;
}

void net_call_release(struct net_call *c)
{
	buf_release(&c->body);
}

void net_used(struct net *n, const struct net_call *c, uint64_t tokens)
{
	net_bucket_take(&n->targets[c->hops[c->hop].target]->tokens, (double)tokens - (double)c->hops[c->hop].tokens);
}

/* ---- decisions --------------------------------------------------------------------------------- */

static void finish(struct net *n, struct net_call *c)
{
	c->t_done = now_ns(n);
	c->flight->done = true;
}

/* To the next hop that the cause leads to and whose breaker lets a call in; false where there is none. */
static bool fall_back(struct net *n, struct net_call *c, unsigned cause)
{
	for (unsigned h = c->hop + 1; h < c->n_hops; h++) {
		const struct net_breaker *b = &n->targets[c->hops[h].target]->breaker;

		if (!(c->hops[h].on & cause) || (b->state == NET_OPEN && now_ns(n) < b->until))
			continue;
		c->hop = h;
		c->flight->tries_here = 0;
		c->flight->ready = now_ns(n);
		return true;
	}
	return false;
}

/* After a failed request: again later, elsewhere, or never. */
static void decide(struct net *n, struct net_call *c, const struct net_try *t, const struct err *why)
{
	const struct net_verdict *v = &t->verdict;
	struct net_flight *f = c->flight;
	int64_t told = net_hint_wait(&t->hint, n->clock.unix_ms(n->clock.arg));
	bool again = v->retry || (v->conflict && c->idempotency);

	c->err = *why;
	c->hopeless = !v->retry && v->cause == NET_ON_ERROR && v->breaker == NET_NEITHER;
	if (t->n_events && !t->call->on_restart)
		again = false;
	if (again && f->tries_here <= n->o.max_retries && (told >= 0 || n->budget >= 1)) {
		uint64_t wait = told >= 0 ? (uint64_t)told :
					    net_backoff(n->o.base_ms, n->o.cap_ms, f->tries_here - 1, rng_f64(&n->rng));

		if (wait < n->o.deadline_ms && now_ns(n) + wait * MS <= f->deadline) {
			f->ready = now_ns(n) + wait * MS;
			n->budget -= told < 0;
			if (t->n_events)
				c->on_restart(c);
			return;
		}
		err_wrap(&c->err, "the next attempt would come %llu ms later, after the deadline",
			 (unsigned long long)wait);
	}
	if (!(t->n_events && !c->on_restart) && v->cause && fall_back(n, c, v->cause)) {
		if (t->n_events)
			c->on_restart(c);
		return;
	}
	finish(n, c);
}

static void drop_try(struct net *n, struct net_call *c, int k, enum net_result r, int64_t told)
{
	struct net_try *t = c->flight->tries[k];

	net_breaker_result(&t->target->breaker, t->ticket, r, now_ns(n), told);
	net_try_free(t);
	c->flight->tries[k] = NULL;
	n->n_flying--;
}

static void learn(struct net *n, struct net_target_state *s, const struct net_try *t, bool good)
{
	int64_t drained = net_hint_drained(&t->hint, n->clock.unix_ms(n->clock.arg));
	uint64_t now = now_ns(n);

	if (good)
		s->latency[s->n_latencies++ % NET_LATENCIES] = now - t->t_start;
	if (drained > 0 && now + (uint64_t)drained * MS > s->blocked)
		s->blocked = now + (uint64_t)drained * MS;
}

/* A request is over. */
static void settle(struct net *n, struct net_try *t, CURLcode rc)
{
	struct net_call *c = t->call;
	struct net_flight *f = c->flight;
	int k = f->tries[1] == t;
	struct err why = { 0 };
	bool good = net_try_judge(t, rc, &why);
	int64_t told = net_hint_wait(&t->hint, n->clock.unix_ms(n->clock.arg));

	learn(n, t->target, t, good);
	c->status = t->status;
	c->t_start = t->t_start;
	c->t_first = t->t_first;
	snprintf(c->request_id, sizeof c->request_id, "%s", t->request_id);
	if (good) {
		buf_release(&c->body);
		c->body = t->body; /* json borrows it */
		c->json = t->json;
		buf_init(&t->body, 0);
		c->err = (struct err){ 0 };
		drop_try(n, c, k, NET_GOOD, -1);
		if (f->tries[!k])
			drop_try(n, c, !k, NET_NEITHER, -1);
		finish(n, c);
		return;
	}
	if (f->tries[!k]) { /* the other of the two is still under way */
		drop_try(n, c, k, t->verdict.breaker, told);
		return;
	}
	net_breaker_result(&t->target->breaker, t->ticket, t->verdict.breaker, now_ns(n), told);
	t->ticket = UINT64_MAX;
	decide(n, c, t, &why);
	drop_try(n, c, k, NET_NEITHER, -1);
}

/* ---- starting ---------------------------------------------------------------------------------- */

static int start(struct net *n, struct net_call *c, int k, uint64_t ticket, struct err *e)
{
	struct net_flight *f = c->flight;
	struct net_target_state *s = n->targets[c->hops[c->hop].target];
	uint64_t now = now_ns(n), left = (f->deadline - now) / MS + 1;

	if (net_try_start(&f->tries[k], n, c, n->o.timeout_ms < left ? n->o.timeout_ms : left, e))
		return -1;
	f->tries[k]->ticket = ticket;
	net_bucket_take(&s->requests, 1);
	net_bucket_take(&s->tokens, (double)c->hops[c->hop].tokens);
	n->n_flying++;
	c->attempts++;
	f->tries_here++;
	return 0;
}

/* All breakers are open: to the hop whose breaker lets a call in first; when that is. */
static uint64_t earliest(struct net *n, struct net_call *c, uint64_t when)
{
	unsigned best = c->hop;

	for (unsigned h = 0; h < c->n_hops; h++) {
		const struct net_breaker *b = &n->targets[c->hops[h].target]->breaker;

		if ((!h || (c->hops[h].on & NET_ON_ERROR)) && b->state == NET_OPEN && b->until < when) {
			when = b->until;
			best = h;
		}
	}
	if (best != c->hop)
		c->flight->tries_here = 0;
	c->hop = best;
	return when;
}

/* A waiting call whose time has come: starts it, or sets when to look again. */
static int try_now(struct net *n, struct net_call *c, struct err *e)
{
	struct net_flight *f = c->flight;
	struct net_target_state *s = n->targets[c->hops[c->hop].target];
	uint64_t now = now_ns(n), ticket = 0, when, w;

	when = s->blocked > now ? s->blocked : 0;
	w = net_bucket_when(&s->requests, 1, now);
	when = w > when ? w : when;
	w = net_bucket_when(&s->tokens, (double)c->hops[c->hop].tokens, now);
	when = w > when ? w : when;
	if (when) {
		if (when > f->deadline) {
			if (fall_back(n, c, NET_ON_LIMIT))
				return 0;
			err_set(&c->err, ERR_RATE_LIMIT, "%s: the rate limit allows no request before the deadline", s->host);
			finish(n, c);
		}
		f->ready = when;
		return 0;
	}
	when = n->o.no_breaker ? 0 : net_breaker_admit(&ticket, &s->breaker, now);
	if (!when)
		return start(n, c, 0, ticket, e);
	if (fall_back(n, c, NET_ON_ERROR))
		return 0;
	when = earliest(n, c, when);
	if (when != NET_NEVER && (n->o.fail_fast || when > f->deadline)) {
		char last[256];

		snprintf(last, sizeof last, "%.255s", c->err.code ? c->err.text : "");
		err_set(&c->err, ERR_CIRCUIT_OPEN, "%s failed too often and is left alone for %llu s more%s%s", s->host,
			(unsigned long long)((when - now) / (1000 * MS)), last[0] ? ": " : "", last);
		finish(n, c);
	}
	f->ready = when == NET_NEVER ? now + 10 * MS : when; /* a probe is out: its result comes any moment */
	return 0;
}

/* The 95th percentile of a target's latest latencies, or NET_NEVER while too few are known. */
static uint64_t p95(const struct net_target_state *s)
{
	uint64_t v[NET_LATENCIES], n = s->n_latencies < NET_LATENCIES ? s->n_latencies : NET_LATENCIES;

	if (n < HEDGE_AFTER)
		return NET_NEVER;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t x = s->latency[i], at = i;

		for (; at && v[at - 1] > x; at--)
			v[at] = v[at - 1];
		v[at] = x;
	}
	return v[n * 95 / 100];
}

/* When a flying call wants a second request; starts it when that is now. */
static int hedge(uint64_t *when, struct net *n, struct net_call *c, struct err *e)
{
	struct net_flight *f = c->flight;
	const struct net_try *t = f->tries[0];
	uint64_t after, ticket, now = now_ns(n);

	*when = NET_NEVER;
	if (!n->o.hedge || c->on_event || !t || f->tries[1] || t->t_first ||
	    (double)(n->n_hedged + 1) > HEDGE_SHARE * (double)n->n_submitted)
		return 0;
	after = p95(t->target);
	if (after == NET_NEVER)
		return 0;
	if (t->t_start + after > now) {
		*when = t->t_start + after;
		return 0;
	}
	if (t->target->breaker.state != NET_CLOSED || net_bucket_when(&t->target->requests, 1, now) ||
	    net_breaker_admit(&ticket, &t->target->breaker, now))
		return 0;
	n->n_hedged++;
	c->hedged = true;
	return start(n, c, 1, ticket, e);
}

/* Starts all that is due; *next is when something else will be. */
static int start_due(uint64_t *next, struct net *n, struct err *e)
{
	*next = NET_NEVER;
	for (size_t i = 0; i < n->n_calls; i++) {
		struct net_call *c = n->calls[i];
		struct net_flight *f = c->flight;
		uint64_t when;

		if (f->done)
			continue;
		if (f->tries[0] || f->tries[1]) {
			if (hedge(&when, n, c, e))
				return -1;
		} else {
			while (!f->done && !f->tries[0] && f->ready <= now_ns(n))
				if (try_now(n, c, e))
					return -1;
			when = f->tries[0] ? NET_NEVER : f->ready;
		}
		if (f->done)
			when = 0;
		*next = when < *next ? when : *next;
	}
	return 0;
}

/* ---- the loop ---------------------------------------------------------------------------------- */

static struct net_call *take_done(struct net *n)
{
	for (size_t i = 0; i < n->n_calls; i++) {
		struct net_call *c = n->calls[i];

		if (!c->flight->done)
			continue;
		memmove(n->calls + i, n->calls + i + 1, (n->n_calls - i - 1) * sizeof(struct net_call *));
		n->n_calls--;
		free(c->flight);
		c->flight = NULL;
		return c;
	}
	return NULL;
}

/* Lets curl work and settles what is over. */
static int perform(struct net *n, struct err *e)
{
	int running, left;
	CURLMcode rc = n->curl->curl_multi_perform(n->multi, &running);
	CURLMsg *m;

	if (rc)
		return err_set(e, ERR_INTERNAL, "libcurl: %s", n->curl->curl_multi_strerror(rc));
	while ((m = n->curl->curl_multi_info_read(n->multi, &left))) {
		struct net_try *t = NULL;
		CURLcode result = m->data.result;

		n->curl->curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		settle(n, t, result);
	}
	return 0;
}

/* Sleeps until `until` at the latest, in slices that see a signal. */
static int wait_until(struct net *n, uint64_t until, struct err *e)
{
	uint64_t now = now_ns(n), ms = until <= now ? 0 : (until - now + MS - 1) / MS;
	CURLMcode rc;

	if (!n->n_flying && n->clock.sleep_ns) {
		if (until > now)
			n->clock.sleep_ns(n->clock.arg, until - now);
		return 0;
	}
	rc = n->curl->curl_multi_poll(n->multi, NULL, 0, (int)(ms < 100 ? ms : 100), NULL);
	return rc ? err_set(e, ERR_INTERNAL, "libcurl: %s", n->curl->curl_multi_strerror(rc)) : 0;
}

int net_step(struct net_call **done, struct net *n, unsigned max_wait_ms, struct err *e)
{
	uint64_t end = now_ns(n) + max_wait_ms * MS, next;

	for (*done = NULL;;) {
		if (os_stop_signal()) {
			err_set(e, ERR_SIGNAL, "stopped by a signal");
			if (e)
				e->sys = os_stop_signal();
			return -1;
		}
		if (perform(n, e) || start_due(&next, n, e)) /* in this order: what failed may be due soon */
			return -1;
		*done = take_done(n);
		if (*done || !n->n_calls || now_ns(n) >= end)
			return 0;
		if (wait_until(n, next < end ? next : end, e))
			return -1;
	}
}
