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
	bool encoder; /* keeps its values (attn_v) in F16 */
};
/* A matrix that may be quantized; norms, biases, positions and the like are not. */
bool pack_is_weight(struct str name, uint32_t n_dims);
/* The type of a tensor for which pack_is_weight() holds. */
uint32_t pack_type(const struct pack_kind *k, const struct pack_model *m, struct str name,
		   int64_t ne0);

struct pack_item {
	const char *name;
	uint32_t type; /* of the output */
	uint32_t n_dims;
	int64_t ne[GGUF_MAX_DIMS];
	struct gguf_tensor src; /* at least as many rows */
	float add;              /* to every value */
	int64_t heads; /* > 0: rows of each head from [2, d/2] to [d/2, 2] (rotary order of NORM) */
};
/* Declares the items and streams their data; memory is one slab and a row a worker. */
int pack_write(struct gguf_writer *w, const struct pack_item *items, size_t n, struct os_pool *pool,
	       struct err *e);

#endif
