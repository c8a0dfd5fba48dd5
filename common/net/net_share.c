/*
 * net_share: limits and breakers of several processes. Each target's arithmetic (net_wait.c) works on what was fetched under a
 * lock and is put back before it is released. Times are of CLOCK_MONOTONIC, which all processes of a machine have in common
 * until it starts anew; what was kept before that is recognised by its times and forgotten.
 */
#include "config.h"
#include "net/net_client.h"
#include "base/banned.h"

#define HOUR ((uint64_t)3600000000000)

struct shared {
	struct net_breaker breaker;
	struct net_bucket requests, tokens;
	uint64_t blocked, at; /* when it was put */
};

/* Another process may have other limits: the levels are common, the rates are each one's own. */
static void fill(struct net_bucket *b, const struct net_bucket *from)
{
	b->level = from->level;
	b->at = from->at;
}

int net_share_in(struct net *n, struct err *e)
{
	const struct net_share *h = &n->o.share;
	uint64_t now;

	if (!h->lock)
		return 0;
	if (h->lock(h->arg, e))
		return -1;
	now = net_now(n); /* after the wait for the lock: what was put before it is not of the future */
	for (unsigned i = 0; i < n->n_targets; i++) {
		struct net_target_state *s = n->targets[i];
		struct shared x;
		bool found;

		if (h->get(&x, &found, h->arg, s->t.share_as ? s->t.share_as : s->url, sizeof x, e)) {
			h->unlock(h->arg, NULL);
			return -1;
		}
		if (!found || x.at > now || x.blocked > now + 24 * HOUR || x.breaker.until > now + HOUR)
			continue;
		s->breaker = x.breaker;
		s->blocked = x.blocked;
		fill(&s->requests, &x.requests);
		fill(&s->tokens, &x.tokens);
	}
	return 0;
}

int net_share_out(struct net *n, struct err *e)
{
	const struct net_share *h = &n->o.share;

	if (!h->lock)
		return 0;
	for (unsigned i = 0; i < n->n_targets; i++) {
		const struct net_target_state *s = n->targets[i];
		struct shared x;

		memset(&x, 0, sizeof x); /* also what lies between members */
		x.breaker = s->breaker;
		x.requests = s->requests;
		x.tokens = s->tokens;
		x.blocked = s->blocked;
		x.at = net_now(n);
		if (h->put(h->arg, s->t.share_as ? s->t.share_as : s->url, &x, sizeof x, e)) {
			h->unlock(h->arg, NULL);
			return -1;
		}
	}
	return h->unlock(h->arg, e);
}
