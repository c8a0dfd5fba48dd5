/*
 * model: weights in a mapped GGUF file, the forward pass of each architecture, the KV cache. Token ids in, logits or
 * vectors out. One file an architecture or family (model/arch_*.c) and one table. No graph: a forward pass is straight C
 * over preplanned buffers, run by all workers of the pool with a few barriers a layer.
 *
 * Determinism: the numbers of a token depend on its own sequence alone: not on what shares the batch, the chunking of the
 * prompt, threads, or whether a prefix was shared.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "base/base.h"
#include "gguf/gguf.h"
#include "kern/kern.h"
#include "os/os.h"

enum model_pooling { MODEL_POOL_NONE, MODEL_POOL_MEAN, MODEL_POOL_CLS, MODEL_POOL_LAST, MODEL_POOL_RANK };

struct model_info {
	const char *arch;        /* "llama" */
	bool encoder;            /* no KV cache: model_encode() */
	bool embeds;             /* model_encode() works (encoders; decoders with a pooling type) */
	int32_t n_layer, n_embd, n_head, n_head_kv, n_vocab, n_ctx_train;
	int32_t n_out;           /* length of an embedding */
	enum model_pooling pooling;
	uint64_t n_params, weight_bytes;
	size_t kv_bytes_per_token; /* with F16 */
};

struct model;
/* A low-rank adapter, as llama.cpp's convert_lora_to_gguf makes one. Outlives the model. */
struct model_lora {
	const struct gguf *g;
	float scale; /* times alpha / rank */
};
#define MODEL_KV_F32 UINT32_MAX /* GGUF_F32 is 0 */
struct model_opts {
	uint32_t kv_type;  /* GGUF_F16 (also when 0), GGUF_Q8_0 or MODEL_KV_F32 */
	int max_batch;     /* most tokens a step: plans the buffers; 0: 512 */
	int pooling;       /* -1: as the file says */
	const struct model_lora *loras;
	size_t n_loras;
};
/* Checks every tensor's presence, type and shape; unknown architectures and types are refused by name (ERR_OPEN). Memory is
 * summed and compared with what there is before it is allocated. Borrows g and pool. One forward pass at a time. */
int model_open(struct model **out, const struct gguf *g, struct os_pool *pool, const struct model_opts *o, struct err *e);
void model_close(struct model *m);
const struct model_info *model_info(const struct model *m);
/* Names of the architectures, NULL-terminated. */
const char *const *model_archs(void);

/* ---- KV cache ---------------------------------------------------------------------------------- */

/*
 * Pages of KERN_KV_PAGE positions, counted by reference. A sequence is a list of pages; forking shares the whole pages of a
 * prefix and copies the part of the last one.
 */
struct model_kv;
int model_kv_new(struct model_kv **out, const struct model *m, size_t max_tokens, struct err *e);
void model_kv_free(struct model_kv *kv);
size_t model_kv_free_tokens(const struct model_kv *kv);
typedef int32_t model_seq; /* a handle, >= 0 */
int model_seq_new(model_seq *out, struct model_kv *kv, struct err *e);
/* A new sequence that begins as the first n positions of another. */
int model_seq_fork(model_seq *out, struct model_kv *kv, model_seq from, int32_t n, struct err *e);
void model_seq_free(struct model_kv *kv, model_seq s);
int32_t model_seq_len(const struct model_kv *kv, model_seq s);
void model_seq_trim(struct model_kv *kv, model_seq s, int32_t n); /* forget all positions >= n */
/* Room for n positions in all (pages taken now); ERR_NOMEM when the cache is full. */
int model_seq_reserve(struct model_kv *kv, model_seq s, int32_t n, struct err *e);
/*
 * The first n positions as bytes, for a cache on disk: the same machine's numbers come back bit for bit. Bytes go through
 * put(); model_seq_bytes() says how many. Loading takes the first n of what was saved into a sequence that is empty; what
 * is damaged or another model's is refused (ERR_OPEN, ERR_MODEL_MISMATCH), and the sequence is still empty.
 */
typedef int model_put_fn(void *arg, const void *p, size_t n, struct err *e);
size_t model_seq_bytes(const struct model_kv *kv, int32_t n);
int model_seq_save(model_put_fn *put, void *arg, const struct model_kv *kv, model_seq s, int32_t n, struct err *e);
int model_seq_load(struct model_kv *kv, model_seq s, struct str bytes, int32_t n, struct err *e);

/* ---- forward ----------------------------------------------------------------------------------- */

/* Tokens of any sequences in one step; those of one sequence together, continuing what it holds. */
struct model_step {
	int32_t n;             /* tokens, 1..max_batch */
	const int32_t *ids;    /* [n] */
	const model_seq *seqs; /* [n] */
	int32_t n_out;         /* rows whose logits are wanted */
	const int32_t *rows;   /* [n_out] indices into the step, ascending */
	float *logits;         /* [n_out, n_vocab], written; NULL: only fill the cache */
	float *hidden;         /* [n_out, n_embd] after the last norm, or NULL */
};
/*
 * ERR_CONTEXT_LENGTH past the model's context, ERR_NOMEM when the cache is full, ERR_INVALID_FIELD for an id that is not in
 * the vocabulary: nothing has changed then but pages taken. ERR_MODEL_FAULT when a wanted row is not finite: the first one's
 * index is in `bad` (may be NULL), rows before it are good, and the sequences have grown.
 */
int model_forward(struct model *m, struct model_kv *kv, const struct model_step *s, int32_t *bad, struct err *e);

/*
 * Documents without padding: ids of all, one after another; document i is ids[start[i], start[i + 1]). out [n_docs, n_out] is
 * pooled and (normalize) of length 1; with MODEL_POOL_RANK the scores as they are. A document may be as long as the context.
 */
int model_encode(struct model *m, const int32_t *ids, const int32_t *start, int32_t n_docs, bool normalize, float *out,
		 struct err *e);
/* The same of pairs of texts: the second one of document i begins at its token second[i]; 0: it is one text. BERT, which was
 * trained with segments, is told which is which. */
int model_encode_pairs(struct model *m, const int32_t *ids, const int32_t *start, const int32_t *second, int32_t n_docs,
		       bool normalize, float *out, struct err *e);

/*
 * From now on see(arg, w, x) is called for each product of dense layers, before it is done, by one thread: the matrix w, as it
 * lies in the file (or a part of its rows), will read x->n columns of x->cols at x->x, x->ld apart. NULL: no more.
 */
typedef void model_see_fn(void *arg, const struct kern_mat *w, const struct kern_act *x);
void model_observe(struct model *m, model_see_fn *see, void *arg);

#endif
