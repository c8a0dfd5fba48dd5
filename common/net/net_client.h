/* net_client: a client, its targets, a request in flight. */
#ifndef NET_NET_CLIENT_H
#define NET_NET_CLIENT_H

#include "net/net_impl.h"
#include <limits.h>
#include <strings.h>

#define NET_CALLS_MAX 65536
#define NET_TARGETS_MAX 64
#define NET_LATENCIES 64

struct net_target_state {
	struct net_target t;
	char *url, *host;          /* without a slash at its end; for messages */
	struct net_breaker breaker;
	struct net_bucket requests, tokens;
	uint64_t blocked;          /* the service said that nothing is left until then */
	uint64_t latency[NET_LATENCIES], n_latencies; /* ring, for hedging */
};
struct net {
	struct net_opts o;
	struct net_clock clock;
	const struct net_curl *curl;
	CURLM *multi;
	struct rng rng;
	struct net_target_state *targets[NET_TARGETS_MAX];
	unsigned n_targets;
	struct net_call **calls;   /* in order of submission */
	size_t n_calls, cap_calls;
	size_t n_flying;
	double budget;             /* retries that may still be made */
	uint64_t n_submitted, n_hedged;
};
struct net_try {
	struct net *client;
	struct net_call *call;
	struct net_target_state *target;
	CURL *easy;
	bool added;
	struct curl_slist *headers;
	char detail[CURL_ERROR_SIZE];
	struct buf body;
	struct json_val json;      /* borrows body */
	struct net_sse sse;
	uint64_t n_events;
	struct net_hint hint;
	size_t header_bytes;
	char type[64], request_id[128];
	int status;
	uint64_t ticket, t_start, t_first;
	struct err err;            /* of a callback that gave up */
	bool judged, given_up;     /* verdict is set; the caller gave up */
	struct net_verdict verdict;
};
struct net_flight {
	struct net_try *tries[2];  /* the second is a hedge */
	uint64_t ready, deadline;  /* not before; not after */
	unsigned tries_here;       /* requests to the present hop */
	bool done;
};

int net_try_start(struct net_try **out, struct net *n, struct net_call *c, uint64_t timeout_ms, struct err *e);
/* Was it a success? Else t->verdict and e say what it was. */
bool net_try_judge(struct net_try *t, CURLcode rc, struct err *e);
void net_try_free(struct net_try *t);

#endif
