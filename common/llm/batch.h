/*
 * batch: lines of OpenAI's Batch API ({custom_id, method, url, body}) to questions, answers to
 * lines of its output file ({id, custom_id, response, error}). Also what vllm run-batch takes
 * (scores, ranks; no method) and Together (no url). Forms: OpenAI API reference, "Batch", "Chat",
 * "Completions", "Embeddings"; vLLM, vllm/entrypoints/openai/run_batch.py.
 */
#include "llm/llm.h" /* which includes this one: before the guard */
#ifndef LLM_BATCH_H
#define LLM_BATCH_H

#include "record/record.h"

enum llm_endpoint {
	LLM_NO_BATCH, /* another record */
	LLM_BATCH_CHAT,
	LLM_BATCH_COMPLETION,
	LLM_BATCH_EMBEDDINGS,
	LLM_BATCH_SCORE,
	LLM_BATCH_RERANK,
	LLM_BATCH_OTHER /* known to a service, perhaps */
};
struct llm_batch {
	const struct llm *l; /* of this machine; NULL: a service, which knows its models */
	const char *model;   /* as -m named it; NULL: the body's model must be l */
	enum llm_role role;
	struct buf known;    /* the last name that was found to be l */
};
/*
 * What a record asks for; of a Batch line q gets body and url. -1, with a record's code: a method
 * other than POST, a stream, no url, a model that is not l (ERR_MODEL_NOT_FOUND).
 */
int llm_batch_begin(enum llm_endpoint *out, struct llm_ask *q, struct llm_batch *b,
		    struct record *r, struct err *e);
/*
 * llm_find(), but that without a name the model of the first line counts before the default, when
 * that line is a Batch's and names a model of this machine: of files[0], or of standard input where
 * it can be looked at without being read.
 */
int llm_batch_find(struct buf *path, struct buf *how, const char *name, enum llm_role role,
		   const char *const *files, size_t n_files, struct err *e);

/* What is to be embedded, in a: body.input of the forms "…", ["…"], [1,2], [[1,2],[3]]. */
#define LLM_BATCH_INPUTS 2048
int llm_batch_inputs(struct llm_inputs *out, struct json_val input, struct arena *a, struct err *e);

/* The line of an answered ask, with `body` as the response's; or the service's own reply where
 * there is one. */
int llm_batch_end(struct record *r, const struct llm_ask *q, struct str body, struct err *e);
/* After record_fail(): what the line of a failed ask has as `id` and `response`. */
int llm_batch_fail(struct record *r, const struct llm_ask *q, struct err *e);
/* The name of a request, the same in each run; in out. */
#define LLM_BATCH_NAME 48
void llm_batch_name(char out[LLM_BATCH_NAME], const char *prefix, const struct llm_ask *q);
/* Bodies of answers as the API has them. */
int llm_batch_choices(struct buf *out, const struct llm_ask *q, struct err *e);
/* v [n, dims] of q->call; format: "float" or "base64". */
int llm_batch_vectors(struct buf *out, const struct llm_ask *q, const float *v, size_t n,
		      size_t dims, bool base64, struct err *e);
/* vLLM's, of scores [n]; and the best `top` of them with their documents. */
int llm_batch_scores(struct buf *out, const struct llm_ask *q, const float *scores, size_t n,
		     struct err *e);
int llm_batch_ranks(struct buf *out, const struct llm_ask *q, const float *scores,
		    const struct str *docs, size_t n, size_t top, struct err *e);

#endif
