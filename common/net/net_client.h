/*
 * net_client: a client, its targets, a request on the wire.
 *
 * A call is in one of three lists: waiting (for a bucket, a breaker, the end of a backoff), flying (one request, with a hedge
 * two), done. net.c moves bytes and keeps time, net_turn.c decides what becomes of a call, net_try.c is one request.
 */
#ifndef NET_NET_CLIENT_H
#define NET_NET_CLIENT_H

#include "net/net_impl.h"
#include <limits.h>
#include <strings.h>

#define NET_MS ((uint64_t)1000000)
#define NET_CALLS_MAX 65536
#define NET_TARGETS_MAX 64
#define NET_LATENCIES 64
#define NET_LANE 32      /* requests that share a multi handle of curl */
#define NET_LANES 1024   /* from there on lanes take more than that */
#define NET_BUDGET_START 10.0 /* retries */

struct net_flight { /* a call's private part */
	struct net_call *call;
	struct net_list *in;
	struct net_flight *prev, *next;
	struct net_try *tries[2];  /* the second is a hedge */
	uint64_t ready, deadline;  /* not before; not after */
	unsigned tries_on[NET_HOPS_MAX]; /* requests to each hop */
	bool owes;                 /* its next request is a retry that the budget has to pay for */
};
struct net_list { /* in order of arrival */
	struct net_flight *first, *last;
	size_t n;
};
struct net_target_state {
	struct net_target t;
	char *url, *host;          /* without a slash at its end; for messages */
	char *ca_file, *ca_dir;    /* of the environment, or NULL */
	struct curl_slist *headers; /* the same for all its requests */
	struct net_try *idle;      /* handles to be used again */
	struct net_breaker breaker;
	struct net_bucket requests, tokens;
	uint64_t blocked;          /* the service said that nothing is left until then */
	uint64_t latency[NET_LATENCIES], n_latencies; /* ring, for hedging */
	uint64_t p95, p95_of;      /* and what it comes to, after so many of them */
};
/* Requests in a multi handle of their own: curl walks all connections of one for each request that looks for a free one, so
 * that with a thousand in one it does little else. */
struct net_lane {
	struct net *client;
	CURLM *multi;
	uint32_t index;
	uint64_t due;              /* when curl wants to be called without an event; NET_NEVER: not */
};
/* A descriptor as epoll knows it. A connection that rests between two requests stays there, which saves two calls a request;
 * that it is closed must then be known from curl, whose other descriptors come and go unseen and do not stay. */
struct net_fd {
	bool connection;
	uint32_t lane, wanted, known; /* events; known 0: epoll does not have it */
};
struct net {
	struct net_opts o;
	struct net_clock clock;
	const struct net_curl *curl;
	struct net_lane *lanes[NET_LANES];
	unsigned n_lanes;
	uint64_t n_handles;        /* without TLS, made so far */
	int poll;                  /* epoll: curl's sockets */
	struct net_fd *fds;        /* [n_fds] */
	size_t n_fds;
	struct rng rng;
	struct net_target_state *targets[NET_TARGETS_MAX];
	unsigned n_targets;
	struct net_list waiting, flying, done;
	struct net_flight *spare;  /* to be used again, by `next` */
	uint64_t due;              /* no waiting call is ready before */
	double budget;             /* retries that may be made now */
	uint64_t budget_at;
	uint64_t n_submitted, n_hedged, hedge_due;
};
/* A request. Its handle, with all that is the same for a target, is used again and again. */
struct net_try {
	struct net *client;
	struct net_lane *lane;     /* for good: there are its connections */
	struct net_target_state *target;
	CURL *easy;
	struct net_try *next;      /* idle */
	char detail[CURL_ERROR_SIZE];
	char path[128];            /* of the URL that is set */
	struct buf own_text;       /* of `own` */
	char no_expect[8];
	bool added;
	/* of one request; from here on cleared */
	struct net_call *call;
	struct curl_slist own[3];  /* headers of this request, in front of the target's */
	unsigned sent;             /* by libcurl: two when it would try again by itself */
	struct buf body;
	struct json_val json;      /* borrows body */
	struct net_sse sse;
	uint64_t n_events;
	uint64_t opened, finished; /* choices of a stream that were seen, that got their finish_reason: a bit each */
	struct net_hint hint;
	size_t header_bytes, body_bytes;
	char type[64], request_id[128];
	int status;
	uint64_t ticket, t_start, t_first;
	struct err err;            /* of a callback that gave up */
	bool judged, given_up;     /* verdict is set; the caller gave up */
	struct net_verdict verdict;
};

static inline uint64_t net_now(const struct net *n)
{
	return n->clock.mono_ns(n->clock.arg);
}
static inline int64_t net_unix_ms(const struct net *n)
{
	return n->clock.unix_ms(n->clock.arg);
}
void net_move(struct net_list *to, struct net_flight *f);

/* The lane of one more handle; NULL and e set: it cannot be made. With TLS the first for all: by HTTP/2 they share connections. */
struct net_lane *net_lane(struct net *n, bool tls, struct err *e);
/* A connection's descriptor is new, or about to be closed. -1: no memory. */
int net_fd_new(struct net *n, int fd);
void net_fd_gone(struct net *n, int fd);

/* ---- decisions (net_turn.c) -------------------------------------------------------------------- */

/* A request is over. */
void net_settle(struct net *n, struct net_try *t, CURLcode rc);
/* Starts all that is due and sets n->due and n->hedge_due. */
int net_start_due(struct net *n, struct err *e);

/* ---- what processes share (net_share.c) --------------------------------------------------------- */

/* What others have changed comes in; what was changed here goes out. Nothing without a share. */
int net_share_in(struct net *n, struct err *e);
int net_share_out(struct net *n, struct err *e);

/* ---- one request (net_try.c) ------------------------------------------------------------------- */

/* The headers that all requests to a target share. */
int net_headers_new(struct net_target_state *s, struct err *e);
void net_headers_free(struct net_target_state *s);
int net_try_start(struct net_try **out, struct net *n, struct net_call *c, uint64_t timeout_ms, struct err *e);
/* Was it a success? Else t->verdict and e say what it was. */
bool net_try_judge(struct net_try *t, CURLcode rc, struct err *e);
/* Takes it off the wire and keeps its handle. */
void net_try_end(struct net_try *t);
void net_try_free(struct net_try *t);

#endif
