/* pack_impl: which type each tensor of a new file gets, and the stream that converts them. For
 * import and quantize. */
#ifndef LLM_PACK_IMPL_H
#define LLM_PACK_IMPL_H

#include "llm/llm.h"

/* How a file is quantized: a name as llama.cpp's llama-quantize takes it. */
struct pack_kind {
	const char *name;
	uint32_t type;      /* of most tensors */
	uint32_t file_type; /* general.file_type */
	int more_bits;      /* 0: none; 1: K_S, a few first layers; 2: K_M, chosen layers */
};
/* ERR_USAGE lists those that there are. */
int pack_kind_find(const struct pack_kind **out, const char *name, struct err *e);

/* What the choice for one tensor depends on beside itself. */
struct pack_model {
	bool tied; /* no output.weight: token_embd serves as both */
	uint32_t n_layer;
	uint32_t n_expert;
	bool encoder; /* keeps its values (attn_v) and what attention gives (attn_output) in BF16 */
	bool fit;     /* with weights rounded by what they meet, the values alone */
};
/* A matrix that may be quantized; norms, biases, positions and the like are not. */
bool pack_is_weight(struct str name, uint32_t n_dims);
/* The type of a tensor for which pack_is_weight() holds. */
uint32_t pack_type(const struct pack_kind *k, const struct pack_model *m, struct str name,
		   int64_t ne0);

/*
 * A tensor of the output: element (c, r, s) is the source's at + c step[0] + r step[1] + s step[2],
 * in elements (of MXFP4 in blocks), which is how a transposed, halved or interleaved one is read in
 * its place.
 */
struct pack_item {
	const char *name;
	uint32_t type; /* of the output */
	uint32_t n_dims;
	int64_t ne[GGUF_MAX_DIMS];
	struct gguf_tensor src;
	int64_t at, step[3];
	const uint8_t *const *parts; /* [ne[2]] where slice s begins, in the place of src.data and
					step[2]; or NULL */
	const uint8_t *scales; /* src.data are MXFP4 blocks of 16 bytes as gpt-oss has them, these
				  their exponents */
	const struct feedback *feedback; /* Q8_0 is rounded by what the matrix reads, or NULL */
	float add;             /* to every value */
	int64_t heads; /* > 0: rows of each head from [2, d/2] to [d/2, 2] (rotary order of NORM) */
};
/* Tensor t as it is, under another name. */
struct pack_item pack_item_of(const char *name, const struct gguf_tensor *t);
/*
 * What the matrices of an encoder read, learned from a few texts of ours: a weight's rounding error is made good by
 * the weights behind it in its row. The same bytes on any ISA and number of threads.
 */
struct feedbacks;
int feedbacks_learn(struct feedbacks **out, const struct gguf *g, struct os_pool *pool, struct err *e);
const struct feedback *feedbacks_find(const struct feedbacks *f, const struct gguf_tensor *t);
void feedbacks_free(struct feedbacks *f);
/* From the columns x->x (f32, a multiple of 32 elements each) and their weights [x->n]. NULL: out of memory, or not finite. */
struct feedback *feedback_new(const struct kern_act *x, const float *weight, struct err *e);
void feedback_free(struct feedback *f);
/* One row of n weights to Q8_0; errors: room for n floats. */
void feedback_row(uint8_t *out, const float *x, float *errors, int64_t n, const struct feedback *f);

/* Declares the items. */
int pack_declare(struct gguf_writer *w, const struct pack_item *items, size_t n, struct err *e);
/* Streams their data; memory is one slab and a row a worker. */
int pack_write(struct gguf_writer *w, const struct pack_item *items, size_t n, struct os_pool *pool,
	       const struct llm_watch *watch, struct err *e);
/* Frees w. */
int pack_commit(struct gguf_writer *w, const char *path, const struct llm_watch *watch,
		struct err *e);
/* Says one line, if anybody listens. */
void pack_say(const struct llm_watch *watch, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
