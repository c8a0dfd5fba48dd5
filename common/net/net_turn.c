/*
 * net_turn: what becomes of a call. Retries and fallbacks are decided here and nowhere else: nested retries multiply.
 *
 * A retry that the service did not ask for is paid for from a budget that grows by a tenth of the calls and by BUDGET_RATE a
 * second; while it is empty such retries wait in turn, so that a dying service gets little more than its normal load. Figures
 * after twitter/finagle:finagle-core/src/main/scala/com/twitter/finagle/service/RetryBudget.scala.
 */
#include "config.h"
#include "net/net_client.h"
#include "base/banned.h"

#define BUDGET_RATE 10.0
#define BUDGET_SHARE 0.1
#define BUDGET_MOST 100.0
#define HEDGE_SHARE 0.02
#define HEDGE_AFTER 20           /* latencies that must be known */
#define HEDGE_TICK (5 * NET_MS)  /* flying calls are looked at so often */
#define PROBE_TICK (10 * NET_MS) /* a probe is out: its result comes any moment */

static struct net_target_state *target_of(const struct net *n, const struct net_call *c)
{
	return n->targets[c->hops[c->hop].target];
}

static void finish(struct net *n, struct net_flight *f)
{
	f->call->t_done = net_now(n);
	net_move(&n->done, f);
}

static void wait_till(struct net *n, struct net_flight *f, uint64_t when)
{
	f->ready = when;
	if (f->in != &n->waiting)
		net_move(&n->waiting, f);
	n->due = when < n->due ? when : n->due;
}

/* May one more retry be made? Pays for it. Else when to ask again. */
static uint64_t pay(struct net *n, uint64_t now)
{
	n->budget += BUDGET_RATE * (double)(now - n->budget_at) / 1e9;
	n->budget = n->budget < BUDGET_MOST ? n->budget : BUDGET_MOST;
	n->budget_at = now;
	if (n->budget < 1)
		return now + (uint64_t)((1 - n->budget) / BUDGET_RATE * 1e9) + 1;
	n->budget -= 1;
	return 0;
}

/* ---- after a request --------------------------------------------------------------------------- */

/* To the next hop that the cause leads to, has tries left and a breaker that lets a call in; false where there is none. */
static bool fall_back(struct net *n, struct net_flight *f, unsigned cause)
{
	struct net_call *c = f->call;

	for (unsigned h = c->hop + 1; h < c->n_hops; h++) {
		const struct net_breaker *b = &n->targets[c->hops[h].target]->breaker;

		if (!(c->hops[h].on & cause) || f->tries_on[h] > n->o.max_retries ||
		    (b->state == NET_OPEN && net_now(n) < b->until))
			continue;
		c->hop = h;
		f->owes = false;
		wait_till(n, f, net_now(n));
		return true;
	}
	return false;
}

/* After a failed request: again later, elsewhere, or never. */
static void decide(struct net *n, struct net_flight *f, const struct net_try *t, int64_t told, const struct err *why)
{
	const struct net_verdict *v = &t->verdict;
	struct net_call *c = f->call;
	bool again = v->retry || (v->conflict && c->idempotency);
	bool committed = t->n_events && !c->on_restart; /* the caller has shown what came */

	c->err = *why;
	c->hopeless = !v->retry && v->cause == NET_ON_ERROR && v->breaker == NET_NEITHER;
	if (again && !committed && f->tries_on[c->hop] <= n->o.max_retries) {
		uint64_t now = net_now(n), wait = told >= 0 ? (uint64_t)told :
			net_backoff(n->o.base_ms, n->o.cap_ms, f->tries_on[c->hop] - 1, rng_f64(&n->rng));

		if (wait < n->o.deadline_ms && now + wait * NET_MS <= f->deadline) {
			f->owes = told < 0;
			if (t->n_events)
				c->on_restart(c);
			wait_till(n, f, now + wait * NET_MS);
			return;
		}
		err_wrap(&c->err, "the next attempt would come %llu ms later, after the deadline",
			 (unsigned long long)wait);
	}
	if (!committed && v->cause && fall_back(n, f, v->cause)) {
		if (t->n_events)
			c->on_restart(c);
		return;
	}
	finish(n, f);
}

/* The service hears no more of request k. */
static void drop_try(struct net *n, struct net_flight *f, int k, enum net_result r, int64_t told)
{
	struct net_try *t = f->tries[k];

	net_breaker_result(&t->target->breaker, t->ticket, r, net_now(n), told);
	net_try_end(t);
	f->tries[k] = NULL;
}

static void learn(struct net *n, struct net_target_state *s, const struct net_try *t, bool good)
{
	int64_t drained = net_hint_drained(&t->hint, net_unix_ms(n));
	uint64_t now = net_now(n);

	if (good)
		s->latency[s->n_latencies++ % NET_LATENCIES] = now - t->t_start;
	if (drained > 0 && now + (uint64_t)drained * NET_MS > s->blocked)
		s->blocked = now + (uint64_t)drained * NET_MS;
}

/* A breaker opened: whoever waits may want to know why. */
static void tell(const struct net *n, const struct net_target_state *s, const struct err *why)
{
	char text[sizeof why->text + 64];

	if (!n->o.note)
		return;
	snprintf(text, sizeof text, "%s; no request for %llu s", why->text,
		 (unsigned long long)((s->breaker.until - net_now(n)) / (1000 * NET_MS)));
	n->o.note(n->o.note_arg, text);
}

void net_settle(struct net *n, struct net_try *t, CURLcode rc)
{
	struct net_call *c = t->call;
	struct net_flight *f = c->flight;
	int k = f->tries[1] == t;
	struct err why = { 0 };
	bool good = net_try_judge(t, rc, &why);
	int64_t told;
	int was;

	learn(n, t->target, t, good);
	c->status = t->status;
	c->t_start = t->t_start;
	c->t_first = t->t_first;
	memcpy(c->request_id, t->request_id, sizeof c->request_id);
	if (good) {
		n->budget += BUDGET_SHARE;
		c->body = t->body; /* json borrows it */
		c->json = t->json;
		buf_init(&t->body, 0);
		err_clear(&c->err);
		drop_try(n, f, k, NET_GOOD, -1);
		if (f->tries[!k])
			drop_try(n, f, !k, NET_NEITHER, -1);
		finish(n, f);
		return;
	}
	told = net_hint_wait(&t->hint, t->status == 429, net_unix_ms(n));
	if (!f->tries[!k]) { /* else the other of the two is still under way */
		was = t->target->breaker.state;
		net_breaker_result(&t->target->breaker, t->ticket, t->verdict.breaker, net_now(n), told);
		if (was != NET_OPEN && t->target->breaker.state == NET_OPEN)
			tell(n, t->target, &why);
		t->ticket = UINT64_MAX;
		decide(n, f, t, told, &why);
		if (f->in == &n->done) {
			c->body = t->body;
			buf_init(&t->body, 0);
		}
	}
	drop_try(n, f, k, t->verdict.breaker, told);
}

/* ---- before a request -------------------------------------------------------------------------- */

static int start(struct net *n, struct net_flight *f, int k, uint64_t ticket, struct err *e)
{
	struct net_call *c = f->call;
	struct net_target_state *s = target_of(n, c);
	uint64_t now = net_now(n), left = f->deadline > now ? (f->deadline - now) / NET_MS + 1 : 1;

	if (net_try_start(&f->tries[k], n, c, n->o.timeout_ms < left ? n->o.timeout_ms : left, e))
		return -1;
	f->tries[k]->ticket = ticket;
	net_bucket_take(&s->requests, 1);
	net_bucket_take(&s->tokens, (double)c->hops[c->hop].tokens);
	if (!k)
		net_move(&n->flying, f);
	c->attempts++;
	f->tries_on[c->hop]++;
	return 0;
}

/* All breakers are open: to the hop with tries left whose breaker lets a call in first; when that is. */
static uint64_t earliest(struct net *n, struct net_flight *f, uint64_t when)
{
	struct net_call *c = f->call;
	unsigned best = c->hop;

	for (unsigned h = 0; h < c->n_hops; h++) {
		const struct net_breaker *b = &n->targets[c->hops[h].target]->breaker;

		if ((!h || (c->hops[h].on & NET_ON_ERROR)) && f->tries_on[h] <= n->o.max_retries &&
		    b->state == NET_OPEN && b->until < when) {
			when = b->until;
			best = h;
		}
	}
	c->hop = best;
	return when;
}

/* When our buckets and the service's own word let a request go; 0: now. */
static uint64_t limits(struct net *n, struct net_flight *f, uint64_t now)
{
	struct net_target_state *s = target_of(n, f->call);
	uint64_t a = net_bucket_when(&s->requests, 1, now);
	uint64_t b = net_bucket_when(&s->tokens, (double)f->call->hops[f->call->hop].tokens, now), when = a > b ? a : b;

	if (when && !f->call->attempts) /* its time begins when its turn comes */
		f->deadline = when + n->o.deadline_ms * NET_MS;
	return s->blocked > now && s->blocked > when ? s->blocked : when;
}

/* The breaker lets no call in before `when`. */
static void shut_out(struct net *n, struct net_flight *f, uint64_t when, uint64_t now)
{
	struct net_call *c = f->call;
	char last[256];

	if (fall_back(n, f, NET_ON_ERROR))
		return;
	when = earliest(n, f, when);
	if (when == NET_NEVER ? now < f->deadline : !n->o.fail_fast && when <= f->deadline) {
		wait_till(n, f, when == NET_NEVER ? now + PROBE_TICK : when);
		return;
	}
	when = when == NET_NEVER ? now : when;
	snprintf(last, sizeof last, "%.255s", c->err.code ? c->err.text : "");
	err_set(&c->err, ERR_CIRCUIT_OPEN, "%s failed too often and is left alone for %llu s more%s%s", target_of(n, c)->host,
		(unsigned long long)((when - now) / (1000 * NET_MS)), last[0] ? ": " : "", last);
	finish(n, f);
}

/* A waiting call whose time has come: starts it, or sets when to look again. */
static int try_now(struct net *n, struct net_flight *f, struct err *e)
{
	struct net_target_state *s = target_of(n, f->call);
	uint64_t now = net_now(n), ticket = 0, when = limits(n, f, now);

	if (when && when <= f->deadline) {
		wait_till(n, f, when);
		return 0;
	}
	if (when) {
		if (fall_back(n, f, NET_ON_LIMIT))
			return 0;
		err_set(&f->call->err, ERR_RATE_LIMIT, "%s: the rate limit allows no request before the deadline", s->host);
		finish(n, f);
		return 0;
	}
	when = f->owes ? pay(n, now) : 0;
	if (when && when <= f->deadline) {
		wait_till(n, f, when);
		return 0;
	}
	if (when) {
		err_wrap(&f->call->err, "too many calls fail to try again before the deadline");
		finish(n, f);
		return 0;
	}
	f->owes = false;
	when = n->o.no_breaker ? 0 : net_breaker_admit(&ticket, &s->breaker, now);
	if (!when)
		return start(n, f, 0, ticket, e);
	shut_out(n, f, when, now);
	return 0;
}

/* The 95th percentile of a target's latest latencies, or NET_NEVER while too few are known. */
static uint64_t p95(struct net_target_state *s)
{
	uint64_t v[NET_LATENCIES] = { 0 }, n = s->n_latencies < NET_LATENCIES ? s->n_latencies : NET_LATENCIES;

	if (n < HEDGE_AFTER || s->p95_of == s->n_latencies)
		return s->p95;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t x = s->latency[i], at = i;

		for (; at && v[at - 1] > x; at--)
			v[at] = v[at - 1];
		v[at] = x;
	}
	s->p95_of = s->n_latencies;
	return s->p95 = v[n * 95 / 100];
}

/* A flying call that takes longer than 95 % do gets a second request. */
static int hedge(struct net *n, struct net_flight *f, uint64_t now, struct err *e)
{
	const struct net_call *c = f->call;
	const struct net_try *t = f->tries[0];
	uint64_t after, ticket;

	if (c->on_event || !t || f->tries[1] || t->t_first || f->tries_on[c->hop] > n->o.max_retries ||
	    (double)(n->n_hedged + 1) > HEDGE_SHARE * (double)n->n_submitted)
		return 0;
	after = p95(t->target);
	if (after == NET_NEVER || t->t_start + after > now || t->target->breaker.state != NET_CLOSED ||
	    limits(n, f, now) || net_breaker_admit(&ticket, &t->target->breaker, now))
		return 0;
	n->n_hedged++;
	f->call->hedged = true;
	return start(n, f, 1, ticket, e);
}

int net_start_due(struct net *n, struct err *e)
{
	struct net_flight *f, *next;
	uint64_t now;

	if (!n->waiting.n && !n->o.hedge)
		return 0;
	now = net_now(n);
	if (n->due <= now) {
		n->due = NET_NEVER;
		for (f = n->waiting.first; f; f = next) {
			next = f->next;
			while (f->in == &n->waiting && f->ready <= now)
				if (try_now(n, f, e))
					return -1;
			if (f->in == &n->waiting)
				n->due = f->ready < n->due ? f->ready : n->due;
		}
	}
	if (!n->o.hedge)
		return 0;
	if (n->flying.n && n->hedge_due <= now)
		for (f = n->flying.first; f; f = f->next)
			if (hedge(n, f, now, e))
				return -1;
	if (!n->flying.n)
		n->hedge_due = NET_NEVER;
	else if (n->hedge_due <= now || n->hedge_due == NET_NEVER)
		n->hedge_due = now + HEDGE_TICK;
	return 0;
}
