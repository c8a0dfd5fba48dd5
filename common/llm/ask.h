/*
 * ask: one question to a model and its answer, wherever the model is. A backend takes asks and hands them back answered, in any
 * order: the scheduler of a model in this process (llm_local_new), a service (llm_remote_new), or a backend that wraps another.
 *
 *   while (more input || llm_busy(b)) {
 *           while (more input && llm_room(b)) llm_submit(b, ask, e);
 *           if (llm_busy(b)) { llm_step(&done, b, more input, e); if (done) … }
 *   }
 *
 * A backend and its asks belong to one thread. An ask that cannot be answered comes back with `err` set; -1 ends the run.
 */
#include "llm/llm.h" /* which includes this one: before the guard */
#ifndef LLM_ASK_H
#define LLM_ASK_H


enum llm_kind {
	LLM_ASK_CHAT,       /* messages or text to an answer */
	LLM_ASK_COMPLETION, /* text goes on, without a chat template */
	LLM_ASK_VECTOR,     /* text to a vector */
	LLM_ASK_RERANK,     /* a query and documents to scores */
};
/* One of n samples. Strings lie in the ask's arena; empty where there is nothing. */
struct llm_answer {
	struct str text;       /* valid UTF-8 */
	struct str finish;     /* "stop", "length", "tool_calls", "content_filter" */
	struct str logprobs;   /* JSON, as OpenAI's chat completions have them */
	struct str tool_calls; /* JSON array */
	struct str refusal;
};
/* Many texts to embed, or their tokens: one of the two. */
struct llm_inputs {
	const struct str *texts; /* [n] */
	int32_t **ids;           /* [n], of n_ids each */
	size_t *n_ids;
	size_t n;
};
struct llm_ask {
	/* in; borrowed until it is done */
	enum llm_kind kind;
	struct arena *a;          /* what is in "out" lies there */
	struct str id;            /* the record's; part of the idempotency key */
	struct json_val record;   /* variables of the template; `tools` */
	struct json_val params;   /* an object by OpenAI's names, over the backend's own; or JSON_NONE */
	struct json_val messages; /* an array; or JSON_NONE: then text */
	struct str text;          /* the prompt; the text to embed; the query */
	const struct str *docs;   /* to be ranked */
	size_t n_docs;
	/* LLM_ASK_VECTOR: */
	const struct llm_inputs *inputs; /* in place of text, for llm_many_new(): `vector` has one behind the other */
	const int32_t *ids;       /* [n_ids] tokens in place of text, for models of this process */
	size_t n_ids;
	uint32_t dimensions;      /* how many numbers to keep; 0: as the backend does */
	struct json_val body;     /* of a Batch line, or JSON_NONE: a service gets it as it is */
	struct str url;           /* of a Batch line, or empty: "/v1/chat/completions" */
	/* NULL, or called with text that is certain, as it comes; a torn stream is then not begun again */
	void (*on_text)(struct llm_ask *q, uint32_t sample, struct str bytes);
	void *user, *extra;
	/* out */
	struct err err;           /* code != ERR_OK: it failed alone */
	bool stand_in;            /* another model answered than the one that was asked (a fallback) */
	bool fatal;               /* and so will all others: the run should end with err */
	unsigned attempts;        /* requests sent to a service */
	struct llm_answer *answers;
	uint32_t n;
	float *vector;            /* [n_vector] */
	size_t n_vector;
	float *scores;            /* [n_docs] */
	int32_t n_whole, n_kept;  /* tokens before and after truncation; 0, 0: not known here */
	int status;               /* of HTTP; 0: none */
	struct str reply;         /* the service's own JSON, also with err; or empty */
	struct llm_call call;
	/* private to the backend that has it */
	struct llm_ask *next;
	void *state;
};

struct llm_backend;
struct llm_backend_ops {
	size_t (*room)(const struct llm_backend *b);
	int (*submit)(struct llm_backend *b, struct llm_ask *q, struct err *e);
	int (*step)(struct llm_ask **done, struct llm_backend *b, bool more, struct err *e);
	bool (*busy)(const struct llm_backend *b);
	int (*key)(struct buf *out, struct llm_backend *b, struct llm_ask *q, struct err *e);
	int (*describe)(struct buf *out, struct llm_backend *b, struct err *e);
	void (*free)(struct llm_backend *b);
};
struct llm_backend { /* the head of each kind's own struct */
	const struct llm_backend_ops *ops;
};
/* How many more asks may be submitted now. */
static inline size_t llm_room(const struct llm_backend *b)
{
	return b->ops->room(b);
}
/* Takes q until llm_step() hands it back. Its "out" part and private members begin as zeros. */
static inline int llm_submit(struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	return b->ops->submit(b, q, e);
}
/* Works on what was submitted; *done is an answered ask or NULL. `more`: input may come at any moment, do not wait long. */
static inline int llm_step(struct llm_ask **done, struct llm_backend *b, bool more, struct err *e)
{
	return b->ops->step(done, b, more, e);
}
/* Are there asks that were not handed back? */
static inline bool llm_busy(const struct llm_backend *b)
{
	return b->ops->busy(b);
}
/* Appends one JSON object: all that decides the answer of q (the model or service, messages, parameters with their defaults,
 * templates), so that equal keys mean equal answers. Before q is submitted. -1: q cannot be asked; q->err is not touched. */
static inline int llm_key(struct buf *out, struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	return b->ops->key(out, b, q, e);
}
/* Appends one JSON object: what of it holds for all asks, for --resume. */
static inline int llm_describe(struct buf *out, struct llm_backend *b, struct err *e)
{
	return b->ops->describe(out, b, e);
}
/* Also with asks under way: their owner forgets them. */
static inline void llm_backend_free(struct llm_backend *b)
{
	if (b)
		b->ops->free(b);
}

/* What is asked of all records alike. Borrowed for the life of the backend. */
struct llm_setup {
	struct json_val params;              /* of the command line, by OpenAI's names; or JSON_NONE */
	unsigned jobs;                       /* most asks at once */
	/* generation */
	const struct llm_prompter *prompter;
	int32_t truncate;                    /* most tokens of a prompt; 0: the context less the answer; -1: it is not cut */
	/* embedding */
	struct str prefix;                   /* stands in front of each text */
	uint32_t dimensions;                 /* of the vectors; 0: all */
	bool normalize;                      /* to length 1 */
	int32_t limit;                       /* most tokens of a text; 0: it is not cut */
};
/* A model of this process. `l` stays the caller's. */
int llm_local_new(struct llm_backend **out, struct llm *l, const struct llm_setup *s, struct err *e);
int llm_local_vectors_new(struct llm_backend **out, struct llm *l, const struct llm_setup *s, struct err *e);
/* How many tokens q's text has for the encoder of b (a backend of llm_local_vectors_new()). */
int llm_vector_tokens(uint64_t *out, struct llm_backend *b, struct llm_ask *q, struct err *e);
/* Opened with pooling "rank"; ERR_OPEN where it is no reranker. Scores are the model's own, not brought to 0..1. */
int llm_local_rank_new(struct llm_backend **out, struct llm *l, const struct llm_setup *s, struct err *e);
/* Takes apart asks with `inputs` for a backend that knows none, which it owns from then on. */
int llm_many_new(struct llm_backend **io, struct err *e);
/* v[n] to length 1; ERR_INVALID_VECTOR where that cannot be. */
int llm_unit(float *v, size_t n, struct err *e);
/* Parameters of an ask over those in *io; of the command line (an object or JSON_NONE) over the defaults of a file. */
int llm_ask_params(struct llm_params *io, struct llm_ask *q, struct err *e);
int llm_base_params(struct llm_params *out, const struct gguf *g, struct json_val flags, struct arena *a, struct err *e);
/* The prompt that a local model gets for q, in `out`, which is scratch of the caller. */
int llm_ask_prompt(struct llm_prompt *out, const struct llm_setup *s, const struct llm *l, const struct llm_params *p,
		   struct tok_enc *x, struct llm_ask *q, struct err *e);

#endif
