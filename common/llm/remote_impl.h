/* remote_impl: what the files of hosted models share. */
#ifndef LLM_REMOTE_IMPL_H
#define LLM_REMOTE_IMPL_H

#include "llm/llm.h"
#include "net/net.h"
#include "price/price.h"
#include "store/store.h"

/* One model of one service: the one asked for, or one that stands in for it. */
struct llm_hop {
	const char *model;          /* NULL: the record's own */
	const char *provider;       /* of the price book; "" not known */
	const char *max_tokens;     /* how the service calls that parameter */
	const char *url_from;       /* where the base URL stands, for messages; NULL: --base-url */
	struct net_target target;
	struct net_key *key;        /* owned, or NULL */
	unsigned on;                /* causes that lead here */
};
struct llm_service {
	struct arena a;
	struct net_opts net;
	struct store_share *share;  /* of --state, or NULL */
	struct llm_hop hops[NET_HOPS_MAX];
	unsigned n_hops;
	bool named; /* by -m, not by the configuration: beats the model of a Batch line */
};

/* ---- requests (request.c) ------------------------------------------------------------------ */

/* The path behind the base URL; ERR_INVALID_FIELD for a Batch line's url that is none. */
int llm_request_path(const char **out, const struct llm_ask *q, struct err *e);
/*
 * What q asks, as members of an object without its braces: parameters (but for the model), and the question itself.
 * stream: as an event stream. *prompt is what prompt_hash is of.
 */
int llm_request_put(struct buf *params, struct buf *question, struct str *prompt, const struct llm_setup *s,
		    const struct llm_hop *h, struct llm_ask *q, bool stream, struct err *e);
/* The same of texts to embed. */
int llm_request_texts(struct buf *params, struct buf *question, const struct llm_setup *s, struct llm_ask *const *q,
		      size_t n, struct err *e);
/*
 * About how many tokens a body of so many bytes has (a token is four bytes or so), how many at most, and how many its answers
 * may have (0: no bound). A record's n_tokens goes before a guess.
 */
void llm_request_tokens(uint64_t *prompt, uint64_t *bound, uint64_t *answer, const struct llm_ask *q,
			struct json_val params, size_t bytes);

/* What a call costs at most, {input, output, total, currency}; "null" where that has no bound or no price. */
int llm_worst_cost(struct buf *out, const struct price_book *book, const struct llm_hop *h, struct json_val model,
		   uint64_t prompt, uint64_t answer, bool bounded, struct arena *a, struct err *e);

/* ---- answers (reply.c) --------------------------------------------------------------------- */

/* Into q's "out" part. */
int llm_reply_read(struct llm_ask *q, struct json_val reply, struct err *e);
int llm_reply_vectors(struct llm_ask *const *q, size_t n, struct json_val reply, struct err *e);
int llm_reply_scores(struct llm_ask *q, struct json_val reply, struct err *e);
/* `model` and `usage` of a reply, for the call of q; share: of how many parts how many are q's. */
int llm_reply_call(struct llm_ask *q, struct json_val reply, uint64_t part, uint64_t before, uint64_t whole,
		   struct err *e);

/* An answer that comes in pieces. */
struct llm_stream;
int llm_stream_new(struct llm_stream **out, struct llm_ask *q, struct err *e);
void llm_stream_free(struct llm_stream *s);
int llm_stream_event(struct llm_stream *s, struct str data, struct err *e);
/* What came, as a reply (an object of llm_reply_read()'s kind). */
int llm_stream_reply(struct buf *out, struct llm_stream *s, struct err *e);

#endif
