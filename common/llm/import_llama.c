/*
 * import_llama: Llama and what differs from it by a detail. Rows of q and k are put in the order of
 * NORM rotary pairs, but where the pairs lie so there already (ERNIE) or the engine turns halves
 * (OLMo, Seed-OSS). Names: ggml-org/llama.cpp gguf-py/gguf/tensor_mapping.py,
 * conversion/{llama,mistral3,granite,olmo,ernie}.py.
 */
#include "config.h"
#include "llm/import_impl.h"
#include "base/banned.h"

static void llama_keys(struct import *im)
{
	import_put_decoder(im, "silu");
	import_note_window(im);
}

static const struct import_row llama_rows[] = { ROWS_ENDS, ROWS_NORMS(ROW_NEED),
						ROWS_ATTENTION(ROW_Q, ROW_K), ROWS_FFN, ROWS_END };

/* ---- Mixtral ----------------------------------------------------------------------------- */

static const struct import_row mixtral_rows[] = {
	ROWS_ENDS,
	ROWS_NORMS(ROW_NEED),
	ROWS_ATTENTION(ROW_Q, ROW_K),
	{ "layers.*.block_sparse_moe.gate", "blk.*.ffn_gate_inp", ROW_NEED },
	{ "layers.*.block_sparse_moe.experts.*.w1", "blk.*.ffn_gate_exps", ROW_NEED },
	{ "layers.*.block_sparse_moe.experts.*.w3", "blk.*.ffn_up_exps", ROW_NEED },
	{ "layers.*.block_sparse_moe.experts.*.w2", "blk.*.ffn_down_exps", ROW_NEED },
	ROWS_END,
};

/* ---- Ministral 3, Mistral Small 3.1: queries grow with their position ---------------------------
 */

static void mistral3_keys(struct import *im)
{
	double beta = import_rope_f64(im, "llama_4_scaling_beta", false, 0);

	llama_keys(im);
	if (beta > 0)
		import_put_f32(im, "attention.temperature_scale", beta);
}

/* ---- SmolLM3: no positions in every fourth layer
 * ------------------------------------------------- */

static void smollm3_keys(struct import *im)
{
	struct json_iter it = json_iter(import_cfg(im, "no_rope_layers"));
	struct json_val v;
	uint32_t n = import_u32_or(im, "no_rope_layer_interval", 4);

	for (uint32_t i = 0; json_next(&v, &it); i++)
		if (!str_is(v.raw, (i + 1) % 4 ? "1" : "0"))
			n = 0;
	if (n != 4)
		import_fail(im, ERR_UNSUPPORTED,
			    "config.json: no_rope_layers: only each fourth layer may be without "
			    "positions");
	import_expect_flag(im, "use_sliding_window", false, false);
	import_put_decoder(im, "silu");
}

/* ---- Granite: four multipliers
 * ------------------------------------------------------------------- */

static void granite_keys(struct import *im)
{
	import_put_decoder(im, "silu");
	import_put_f32(im, "attention.scale", import_f64(im, "attention_multiplier"));
	import_put_f32(im, "embedding_scale", import_f64_or(im, "embedding_multiplier", 1));
	import_put_f32(im, "residual_scale", import_f64_or(im, "residual_multiplier", 1));
	import_put_f32(im, "logit_scale", import_f64_or(im, "logits_scaling", 1));
}

static const struct import_row granitemoe_rows[] = {
	ROWS_ENDS,
	ROWS_NORMS(ROW_NEED),
	ROWS_ATTENTION(ROW_Q, ROW_K),
	{ "layers.*.block_sparse_moe.router.layer", "blk.*.ffn_gate_inp", ROW_NEED },
	{ "layers.*.block_sparse_moe.input_linear", "blk.*.ffn_gate_exps", ROW_NEED | ROW_FIRST },
	{ "layers.*.block_sparse_moe.input_linear", "blk.*.ffn_up_exps", ROW_NEED | ROW_SECOND },
	{ "layers.*.block_sparse_moe.output_linear", "blk.*.ffn_down_exps", ROW_NEED },
	ROWS_END,
};

/* ---- OLMo 2 and 3, OLMoE
 * ------------------------------------------------------------------------- */

static void olmo2_keys(struct import *im)
{
	uint32_t window = import_u32_or(im, "sliding_window", 0);

	import_put_decoder(im, "silu");
	if (!window)
		return;
	import_put_windows(im, window, 4, false);
	import_put_f32(
		im, "rope.freq_base_swa",
		import_rope_f64(im, "rope_theta", true, import_f64_or(im, "rope_theta", 10000)));
}

static void olmoe_keys(struct import *im)
{
	if (import_cfg(im, "clip_qkv").type != JSON_NONE)
		import_fail(im, ERR_UNSUPPORTED, "config.json: clip_qkv does not run here");
	import_put_decoder(im, "silu");
	if (import_flag_or(im, "norm_topk_prob", false))
		import_put_bool(im, "expert_weights_norm", true);
}

static const struct import_row olmo2_rows[] = {
	ROWS_ENDS,
	{ "norm", "output_norm", ROW_NEED },
	ROWS_ATTENTION(0, 0),
	ROWS_HEAD_NORMS(ROW_NEED),
	{ "layers.*.post_attention_layernorm", "blk.*.post_attention_norm", ROW_NEED },
	{ "layers.*.post_feedforward_layernorm", "blk.*.post_ffw_norm", ROW_NEED },
	ROWS_FFN,
	ROWS_END,
};
static const struct import_row olmoe_rows[] = { ROWS_ENDS,
						ROWS_NORMS(ROW_NEED),
						ROWS_ATTENTION(0, 0),
						ROWS_HEAD_NORMS(ROW_NEED),
						ROWS_EXPERTS,
						ROWS_END };

/* ---- others ------------------------------------------------------------------------------------
 */

static const struct import_row seed_rows[] = {
	ROWS_ENDS,
	{ "norm", "output_norm", ROW_NEED },
	{ "layers.*.input_layernorm", "blk.*.attn_norm", ROW_NEED },
	{ "layers.*.post_attention_layernorm", "blk.*.post_attention_norm", ROW_NEED },
	ROWS_ATTENTION(0, 0),
	ROWS_FFN,
	ROWS_END,
};
static const struct import_row ernie_rows[] = { ROWS_ENDS, ROWS_NORMS(ROW_NEED),
						ROWS_ATTENTION(0, 0), ROWS_FFN, ROWS_END };

#define IGNORED "rotary_emb.|layers.*.self_attn.rotary_emb."
#define VISION "vision_tower.|multi_modal_projector."

const struct import_arch import_llama_archs[] = {
	{ .name = "llama",
	  .classes = "LlamaForCausalLM|LLaMAForCausalLM|MistralForCausalLM|LlamaModel|MistralModel",
	  .prefixes = "model.",
	  .rows = llama_rows,
	  .ignored = IGNORED,
	  .keys = llama_keys,
	  .extra = import_rope_tensors },
	{ .name = "llama",
	  .classes = "MixtralForCausalLM",
	  .prefixes = "model.",
	  .rows = mixtral_rows,
	  .ignored = IGNORED,
	  .keys = llama_keys,
	  .extra = import_rope_tensors },
	{ .name = "mistral3",
	  .classes = "Ministral3ForCausalLM|Mistral3ForConditionalGeneration",
	  .prefixes = "model.|language_model.model.|model.language_model.|language_model.",
	  .rows = llama_rows,
	  .ignored = IGNORED "|" VISION,
	  .keys = mistral3_keys },
	{ .name = "smollm3",
	  .classes = "SmolLM3ForCausalLM",
	  .prefixes = "model.",
	  .rows = llama_rows,
	  .ignored = IGNORED,
	  .defaults = "{\"tie_word_embeddings\":true}",
	  .keys = smollm3_keys },
	{ .name = "granite",
	  .classes = "GraniteForCausalLM",
	  .prefixes = "model.",
	  .rows = llama_rows,
	  .ignored = IGNORED,
	  .keys = granite_keys },
	{ .name = "granitemoe",
	  .classes = "GraniteMoeForCausalLM",
	  .prefixes = "model.",
	  .rows = granitemoe_rows,
	  .ignored = IGNORED,
	  .keys = granite_keys },
	{ .name = "olmo2",
	  .classes = "Olmo2ForCausalLM|Olmo3ForCausalLM",
	  .prefixes = "model.",
	  .rows = olmo2_rows,
	  .ignored = IGNORED,
	  .keys = olmo2_keys },
	{ .name = "olmoe",
	  .classes = "OlmoeForCausalLM",
	  .prefixes = "model.",
	  .rows = olmoe_rows,
	  .ignored = IGNORED,
	  .keys = olmoe_keys },
	{ .name = "seed_oss",
	  .classes = "SeedOssForCausalLM",
	  .prefixes = "model.",
	  .rows = seed_rows,
	  .ignored = IGNORED,
	  .keys = llama_keys },
	{ .name = "ernie4_5",
	  .classes = "Ernie4_5ForCausalLM|Ernie4_5_ForCausalLM",
	  .prefixes = "model.",
	  .rows = ernie_rows,
	  .ignored = IGNORED,
	  .defaults = "{\"rope_theta\":500000}",
	  .keys = llama_keys },
	{ .name = NULL },
};
