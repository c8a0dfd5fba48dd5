/*
 * net: calls to hosted services over HTTP. Bodies go in and come out as bytes; what stands in a request is the caller's.
 * Everything about trouble is here, in one layer: timeouts, retries, breakers, rate limits, fallbacks, hedges.
 *
 *   net_new(&n, &opts, e); net_add_target(&primary, n, &target, e);
 *   net_submit(n, &call, e) for as many as net_room() allows;
 *   while (net_busy(n)) { net_step(&done, n, 1000, e); if (done) … net_call_release(done); }
 *   net_free(n);
 *
 * A struct net and its calls belong to one thread: curl's multi interface keeps any number of calls in flight in it.
 * libcurl is loaded when the first net_new() runs, so that a tool that calls no service does not wait for it (about 10 ms).
 * It gives proxies (HTTPS_PROXY, NO_PROXY, …), HTTP/2, keep-alive and TLS with verification; CURL_CA_BUNDLE, SSL_CERT_FILE and
 * SSL_CERT_DIR name other authorities, as for curl(1). Redirects are not followed: no key ever goes to another host.
 *
 * A retry that the service did not ask for is paid for from a budget of a tenth of the good calls and ten a second; while it is
 * empty such retries wait, so that a service in trouble gets little more than its normal load. A stream is whole with [DONE], or
 * without it when all its choices have their finish_reason.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/base.h"
#include "json/json.h"

#define NET_BODY_MAX ((size_t)256 << 20)
#define NET_HEADERS_MAX ((size_t)1 << 20)
#define NET_HOPS_MAX 5
#define NET_NEVER UINT64_MAX

/* ---- keys -------------------------------------------------------------------------------------- */

/*
 * A secret. No function prints one; it is wiped when freed, and the process makes no core dumps once there is one.
 * A key that is refused or cannot be read is ERR_API_KEY (exit 7).
 */
struct net_key;
/* A regular file of this user that nobody else may read (else refused, saying chmod 600); or a descriptor that is read to its
 * end; or what a command of sh(1) prints; or an environment variable, which is taken out of the environment (NULL where it is
 * not set). Blanks around the key are not part of it. */
int net_key_file(struct net_key **out, const char *path, struct err *e);
int net_key_fd(struct net_key **out, int fd, struct err *e);
int net_key_cmd(struct net_key **out, const char *cmd, struct err *e);
int net_key_env(struct net_key **out, const char *name, struct err *e);
void net_key_free(struct net_key *k);
/* Where it came from, for messages: "file PATH", "OPENAI_API_KEY". */
const char *net_key_from(const struct net_key *k);

/* ---- what a service says of waiting ------------------------------------------------------------ */

/* Collected from the headers of an answer; -1: not said. Times in ms, dates in seconds of Unix time. */
struct net_hint {
	int64_t retry_ms;       /* retry-after-ms, or Retry-After in seconds */
	int64_t retry_at;       /* Retry-After as an HTTP date */
	int64_t date;           /* Date: the service's own clock */
	struct {
		int64_t left, in_ms, at_ms; /* remaining; reset as a duration, or as a date in ms of Unix time */
	} limit[4];             /* requests, tokens, input tokens, output tokens */
};
void net_hint_init(struct net_hint *h);
/* One header; names in any case; junk is ignored. */
void net_hint_add(struct net_hint *h, struct str name, struct str value);
/* How long the service wants us to wait, ms; -1 where it does not say. Dates count from its clock, else from now_ms. The resets
 * of limits that are not used up count only in an answer that is about limits (429). */
int64_t net_hint_wait(const struct net_hint *h, bool limited, int64_t now_ms);
/* The same of a limit that is used up (nothing left and its reset is said), -1 where none is. */
int64_t net_hint_drained(const struct net_hint *h, int64_t now_ms);
/* "120ms", "1s", "6m0s", "1h2m3.5s", "12" (seconds) as ms; -1: no duration. */
int64_t net_parse_duration(struct str s);
/* The three forms of RFC 9110 5.6.7, as Unix seconds; -1: no date. */
int64_t net_parse_date(struct str s);

/* ---- waiting, breaker, rate -------------------------------------------------------------------- */

/* Full jitter: u in [0,1) of min(cap, base 2^n), ms. AWS Architecture Blog, "Exponential Backoff And Jitter", 2015. */
uint64_t net_backoff(uint64_t base_ms, uint64_t cap_ms, unsigned n, double u);

enum net_result { NET_GOOD, NET_BAD, NET_NEITHER }; /* NEITHER: the caller's own mistake, or abandoned */
#define NET_SLOTS 12
/*
 * Opens at 3 failures in a row (6 with 20 or more results in the last 60 s), or at half of at least 5 calls in 60 s; for 30 s,
 * then twice as long each time up to 10 min, or as long as the service said. Then one probe at a time; two successes close it.
 * Results of calls that began before the last change of state are ignored. Times in ns, passed in.
 */
struct net_breaker {
	enum { NET_CLOSED, NET_OPEN, NET_HALF_OPEN } state;
	uint64_t generation, until, open_for;
	unsigned in_a_row, successes;
	bool probing;
	uint64_t probe_until; /* a probe that was not heard of by then is forgotten: its process may be gone */
	struct {
		uint64_t slot; /* number of its 5 s */
		uint32_t good, bad;
	} seen[NET_SLOTS];
};
/* 0: a call may begin, *ticket goes back with its result. Else when to ask again; NET_NEVER while a probe is out. */
uint64_t net_breaker_admit(uint64_t *ticket, struct net_breaker *b, uint64_t now);
void net_breaker_result(struct net_breaker *b, uint64_t ticket, enum net_result r, uint64_t now, int64_t told_ms);

/* A bucket that refills with `per_min` a minute and holds a second's worth, at least 1. A need over what it holds is
 * admitted when it is full and paid back later. per_min 0: no limit. */
struct net_bucket {
	double per_min, level;
	uint64_t at;
};
void net_bucket_init(struct net_bucket *b, double per_min, uint64_t now);
/* When `need` may be taken: 0 is now. */
uint64_t net_bucket_when(struct net_bucket *b, double need, uint64_t now);
void net_bucket_take(struct net_bucket *b, double need); /* negative gives back */

/* ---- server-sent events ------------------------------------------------------------------------ */

/* The event-stream of the HTML standard (9.2.6): bytes in chunks cut anywhere. Unknown fields are skipped. */
struct net_sse {
	struct buf line, data, event;
	bool cr, any, done; /* done: "[DONE]" came; what follows it is ignored */
};
/* One event. 0 to go on, -1 with e set to give up. */
typedef int net_event_fn(void *arg, struct str event, struct str data, struct err *e);
void net_sse_init(struct net_sse *s, size_t max_event);
void net_sse_release(struct net_sse *s);
int net_sse_feed(struct net_sse *s, struct str bytes, net_event_fn *fn, void *arg, struct err *e);

/* ---- calls ------------------------------------------------------------------------------------- */

struct net_clock { /* for tests; zeros: the machine's */
	uint64_t (*mono_ns)(void *arg);
	int64_t (*unix_ms)(void *arg);
	void (*sleep_ns)(void *arg, uint64_t ns); /* called only while nothing is in flight */
	void *arg;
};
/*
 * Limits and breakers that processes share: a place that keeps bytes by name. Between lock and unlock nobody else changes it.
 * get: the n bytes kept under name, *found false where there are none of that size.
 */
struct net_share {
	int (*lock)(void *arg, struct err *e);
	int (*get)(void *blob, bool *found, void *arg, const char *name, size_t n, struct err *e);
	int (*put)(void *arg, const char *name, const void *blob, size_t n, struct err *e);
	int (*unlock)(void *arg, struct err *e);
	void *arg;
};
struct net_opts {
	uint32_t max_retries;        /* of one target; 3: at most 4 requests */
	uint64_t timeout_ms;         /* of one request, answer included */
	uint64_t connect_timeout_ms;
	uint64_t deadline_ms;        /* of a call, with all its retries and waits but for its turn in our own buckets */
	uint64_t base_ms, cap_ms;    /* of the backoff */
	size_t body_max;             /* of an answer, unpacked; also of a stream in all */
	bool no_breaker;
	bool fail_fast;              /* an open breaker fails a call at once: ERR_CIRCUIT_OPEN */
	bool hedge;                  /* a second request after the 95th percentile, for at most 2 % of the calls */
	uint64_t seed;               /* of the jitter */
	struct net_clock clock;
	struct net_share share;      /* lock NULL: with nobody */
	void (*note)(void *arg, const char *text); /* told when a breaker opens; or NULL */
	void *note_arg;
};
#define NET_OPTS_INIT                                                                         \
	{                                                                                     \
		.max_retries = 3, .timeout_ms = 120000, .connect_timeout_ms = 10000,          \
		.deadline_ms = 600000, .base_ms = 500, .cap_ms = 30000,                       \
		.body_max = NET_BODY_MAX                                                      \
	}
struct net;
/* ERR_OPEN when libcurl is not there. SIGPIPE is ignored from then on: a reader that is gone shows as EPIPE. */
int net_new(struct net **out, const struct net_opts *o, struct err *e);
/* Ends what is in flight; the calls' owners release them. */
void net_free(struct net *n);

/* A service with a key and limits of its own. Strings and key are borrowed for the life of n. */
struct net_target {
	const char *base_url;   /* "https://api.openai.com/v1"; ERR_USAGE when it is no http(s) URL or carries a password */
	const struct net_key *key; /* NULL: none is sent */
	const char *key_header; /* NULL: "Authorization: Bearer KEY"; else the header's name, "api-key" */
	double rpm, tpm;        /* requests and tokens a minute; 0: no limit */
	const char *share_as;   /* its name among processes; NULL: the base URL */
};
int net_add_target(unsigned *out, struct net *n, const struct net_target *t, struct err *e);

/* When a call goes on to the next hop. */
enum {
	NET_ON_ERROR = 1,   /* no connection, 5xx, circuit open */
	NET_ON_LIMIT = 2,   /* 429, quota */
	NET_ON_TIMEOUT = 4,
	NET_ON_CONTEXT = 8, /* longer than the model's context */
	NET_ON_CONTENT = 16 /* refused by a content filter */
};
#define NET_ON_ALL 31u
struct net_hop {
	unsigned target;
	struct str body;    /* with the model's name as this target calls it */
	unsigned on;        /* causes that lead here; not used for the first */
	uint64_t tokens;    /* estimate that the token bucket reserves */
};
struct net_flight;
struct net_call {
	/* in; all borrowed until it is done */
	const char *path;          /* behind the base URL: "/chat/completions" */
	struct net_hop hops[NET_HOPS_MAX];
	unsigned n_hops;
	const char *idempotency;   /* value of Idempotency-Key, or NULL */
	const char *traceparent;   /* or NULL */
	/* Streaming: each event of an answer that is an event stream. NULL: the answer is taken whole. */
	net_event_fn *on_event;
	void (*on_restart)(struct net_call *c); /* what came so far does not count; NULL: never retried once an event came */
	void *user;                /* the events' arg is the call */
	/* out */
	struct err err;            /* code != ERR_OK: it failed */
	int status;                /* of HTTP; 0: no answer */
	struct buf body;           /* of the last answer; of one that failed with the key blanked out */
	struct json_val json;      /* the body of a good one, parsed; JSON_NONE for a stream */
	unsigned hop;              /* which one answered or failed last */
	unsigned attempts;         /* requests sent */
	bool hedged;
	bool hopeless;             /* failed in a way that no waiting mends: certificate, redirect, no such API */
	char request_id[128];      /* "" where the service gave none */
	uint64_t t_submit, t_start, t_first, t_done; /* ns: start and first byte of the last request */
	struct net_flight *flight; /* private */
};
/* Calls that may be submitted now. */
size_t net_room(const struct net *n);
int net_submit(struct net *n, struct net_call *c, struct err *e);
/* Works until a call is done or max_wait_ms have passed; *done is it or NULL. -1 (signal, no memory) ends the run. */
int net_step(struct net_call **done, struct net *n, unsigned max_wait_ms, struct err *e);
bool net_busy(const struct net *n);
/* What a call really used, against the estimate of its hop. */
int net_used(struct net *n, const struct net_call *c, uint64_t tokens, struct err *e);
void net_call_release(struct net_call *c);
/* A version of libcurl for --version -v, or "" where there is none. */
const char *net_version(void);

#endif
