/*
 * import_gemma: Gemma 1 to 3 (of 3's larger ones the text alone) and EmbeddingGemma. Their norms
 * are kept less 1. Names: ggml-org/llama.cpp gguf-py/gguf/tensor_mapping.py, conversion/gemma.py;
 * what a class takes for granted: huggingface/transformers configuration_gemma*.py.
 */
#include "config.h"
#include "llm/import_impl.h"
#include "base/banned.h"
#include <math.h>

#define NORM (ROW_NEED | ROW_PLUS_1)

/* Queries are scaled by 1 / sqrt(of a number that is the head's length in most). */
static void put_scale(struct import *im)
{
	uint32_t dim = import_head_dim(im);
	double scalar = import_f64_or(im, "query_pre_attn_scalar", dim);

	if (!im->failed && !(scalar > 0))
		import_fail(im, ERR_OPEN, "config.json: query_pre_attn_scalar is not positive");
	if (fabs(scalar - dim) > 1e-6)
		import_put_f32(im, "attention.scale", 1 / sqrt(scalar));
}

static void gemma_keys(struct import *im)
{
	import_expect(im, "hidden_activation", "gelu_pytorch_tanh");
	import_put_decoder(im, NULL);
}

static void gemma2_keys(struct import *im)
{
	gemma_keys(im);
	import_put_windows(im, import_u32(im, "sliding_window"), 2, false);
	import_put_f32(im, "attn_logit_softcapping", import_f64(im, "attn_logit_softcapping"));
	import_put_f32(im, "final_logit_softcapping", import_f64(im, "final_logit_softcapping"));
	put_scale(im);
}

static void gemma3_keys(struct import *im)
{
	double cap = import_f64_or(im, "final_logit_softcapping", 0);

	if (import_cfg(im, "attn_logit_softcapping").type != JSON_NONE)
		import_fail(im, ERR_UNSUPPORTED,
			    "config.json: attn_logit_softcapping is not supported in gemma3");
	gemma_keys(im);
	import_put_windows(im, import_u32(im, "sliding_window"), 6, false);
	import_put_f32(im, "rope.freq_base_swa",
		       import_rope_f64(im, "rope_theta", true,
				       import_f64_or(im, "rope_local_base_freq", 10000)));
	if (cap > 0)
		import_put_f32(im, "final_logit_softcapping", cap);
	put_scale(im);
}

static void embedding_keys(struct import *im)
{
	gemma3_keys(im);
	import_put_bool(im, "attention.causal", false);
}

static bool is_embedding(const struct import *im)
{
	return import_flag_or(im, "use_bidirectional_attention", false);
}

static bool is_decoder(const struct import *im)
{
	return !is_embedding(im);
}

static const struct import_row gemma_rows[] = { ROWS_ENDS, ROWS_NORMS(NORM), ROWS_ATTENTION(0, 0),
						ROWS_FFN, ROWS_END };

#define ROWS_FOUR_NORMS                                                                            \
	{ "norm", "output_norm", NORM }, { "layers.*.input_layernorm", "blk.*.attn_norm", NORM },  \
		{ "layers.*.post_attention_layernorm", "blk.*.post_attention_norm", NORM },        \
		{ "layers.*.pre_feedforward_layernorm", "blk.*.ffn_norm", NORM },                  \
	{                                                                                          \
		"layers.*.post_feedforward_layernorm", "blk.*.post_ffw_norm", NORM                 \
	}

static const struct import_row gemma2_rows[] = { ROWS_ENDS, ROWS_FOUR_NORMS, ROWS_ATTENTION(0, 0),
						 ROWS_FFN, ROWS_END };
static const struct import_row gemma3_rows[] = {
	ROWS_ENDS, ROWS_FOUR_NORMS, ROWS_HEAD_NORMS(NORM), ROWS_ATTENTION(0, 0), ROWS_FFN, ROWS_END
};

#define TIED "\"tie_word_embeddings\":true,"
#define GEMMA2                                                                                     \
	"{" TIED "\"attn_logit_softcapping\":50,\"final_logit_softcapping\":30,"                   \
	"\"sliding_window\":4096,\"query_pre_attn_scalar\":256,\"head_dim\":256,"                  \
	"\"rms_norm_eps\":1e-6,\"max_position_embeddings\":8192}"
#define GEMMA3                                                                                     \
	"{" TIED "\"num_attention_heads\":8,\"num_key_value_heads\":4,\"head_dim\":256,"           \
	"\"rms_norm_eps\":1e-6,\"max_position_embeddings\":131072,\"sliding_window\":4096,"        \
	"\"query_pre_attn_scalar\":256,\"rope_theta\":1000000}"

const struct import_arch import_gemma_archs[] = {
	{ .name = "gemma",
	  .classes = "GemmaForCausalLM",
	  .prefixes = "model.",
	  .rows = gemma_rows,
	  .ignored = "",
	  .defaults = "{" TIED "\"head_dim\":256}",
	  .keys = gemma_keys },
	{ .name = "gemma2",
	  .classes = "Gemma2ForCausalLM",
	  .prefixes = "model.",
	  .rows = gemma2_rows,
	  .ignored = "",
	  .defaults = GEMMA2,
	  .keys = gemma2_keys },
	{ .name = "gemma3",
	  .classes = "Gemma3ForCausalLM|Gemma3ForConditionalGeneration|Gemma3TextModel",
	  .prefixes = "model.|language_model.model.|model.language_model.|language_model.",
	  .rows = gemma3_rows,
	  .ignored = "vision_tower.|multi_modal_projector.",
	  .defaults = GEMMA3,
	  .is = is_decoder,
	  .keys = gemma3_keys },
	{ .name = "gemma-embedding",
	  .classes = "Gemma3TextModel|Gemma3ForCausalLM",
	  .prefixes = "model.",
	  .rows = gemma3_rows,
	  .ignored = "",
	  .defaults = GEMMA3,
	  .encoder = true,
	  .is = is_embedding,
	  .keys = embedding_keys },
	{ .name = NULL },
};
