/*
 * import_gpt: GPT-2 and what has LayerNorm after it, Phi 3, gpt-oss. Names: ggml-org/llama.cpp
 * gguf-py/gguf/tensor_mapping.py, conversion/{gpt2,phi,stablelm,starcoder,command_r,gpt_oss}.py.
 */
#include "config.h"
#include "llm/import_impl.h"
#include "base/banned.h"
#include <math.h>

#define BOTH (ROW_NEED | ROW_BIAS)

/* ---- GPT-2: matrices of Conv1D lie the other way round
 * ------------------------------------------- */

static void gpt2_keys(struct import *im)
{
	uint32_t d = import_u32(im, "n_embd"), heads = import_u32(im, "n_head");

	if (!import_is(im, "activation_function", "gelu_pytorch_tanh"))
		import_expect(im, "activation_function", "gelu_new");
	import_expect_flag(im, "scale_attn_weights", true, true);
	import_expect_flag(im, "scale_attn_by_inverse_layer_idx", false, false);
	import_put_common(im, import_u32(im, "n_positions|n_ctx"),
			  import_u32_or(im, "n_inner", 4 * d));
	import_put_u32(im, "attention.head_count_kv", heads);
	import_put_f32(im, "attention.layer_norm_epsilon",
		       import_f64_or(im, "layer_norm_epsilon", 1e-5));
}

static const struct import_row gpt2_rows[] = {
	{ "wte", "token_embd", ROW_NEED | ROW_VOCAB },
	{ "wpe", "position_embd", ROW_NEED },
	{ "lm_head", "output", ROW_VOCAB },
	{ "ln_f", "output_norm", BOTH },
	{ "h.*.ln_1", "blk.*.attn_norm", BOTH },
	{ "h.*.attn.c_attn", "blk.*.attn_qkv", BOTH | ROW_TURN },
	{ "h.*.attn.c_proj", "blk.*.attn_output", BOTH | ROW_TURN },
	{ "h.*.ln_2", "blk.*.ffn_norm", BOTH },
	{ "h.*.mlp.c_fc", "blk.*.ffn_up", BOTH | ROW_TURN },
	{ "h.*.mlp.c_proj", "blk.*.ffn_down", BOTH | ROW_TURN },
	ROWS_END,
};

/* ---- StarCoder 2, Phi 2, StableLM, Command R7B
 * ----------------------------------------------------- */

static void starcoder2_keys(struct import *im)
{
	import_put_decoder(im, "gelu_pytorch_tanh");
	import_note_window(im);
}

static const struct import_row starcoder2_rows[] = {
	ROWS_ENDS,
	ROWS_NORMS(BOTH),
	ROWS_ATTENTION(0, 0),
	{ "layers.*.mlp.c_fc", "blk.*.ffn_up", ROW_NEED },
	{ "layers.*.mlp.c_proj", "blk.*.ffn_down", ROW_NEED },
	ROWS_END,
};

static void phi2_keys(struct import *im)
{
	import_expect_flag(im, "qk_layernorm", false, false);
	import_put_decoder(im, "gelu_new");
}

static const struct import_row phi2_rows[] = {
	ROWS_ENDS,
	{ "final_layernorm", "output_norm", BOTH },
	{ "layers.*.input_layernorm", "blk.*.attn_norm", BOTH },
	{ "layers.*.self_attn.q_proj", "blk.*.attn_q", BOTH },
	{ "layers.*.self_attn.k_proj", "blk.*.attn_k", BOTH },
	{ "layers.*.self_attn.v_proj", "blk.*.attn_v", BOTH },
	{ "layers.*.self_attn.dense", "blk.*.attn_output", BOTH },
	{ "layers.*.mlp.fc1", "blk.*.ffn_up", BOTH },
	{ "layers.*.mlp.fc2", "blk.*.ffn_down", BOTH },
	ROWS_END,
};

static void stablelm_keys(struct import *im)
{
	import_expect_flag(im, "qk_layernorm", false, false);
	import_put_decoder(im, "silu");
	import_put_bool(im, "use_parallel_residual",
			import_flag_or(im, "use_parallel_residual", false));
}

static const struct import_row stablelm_rows[] = {
	ROWS_ENDS,
	{ "norm", "output_norm", BOTH },
	{ "layers.*.input_layernorm", "blk.*.attn_norm", BOTH },
	{ "layers.*.post_attention_layernorm", "blk.*.ffn_norm", 0 },
	ROWS_ATTENTION(0, 0),
	ROWS_FFN,
	ROWS_END,
};

static void cohere2_keys(struct import *im)
{
	import_put_decoder(im, "silu");
	import_put_f32(im, "logit_scale", import_f64(im, "logit_scale"));
	import_put_windows(im, import_u32(im, "sliding_window"), 4, false);
}

static const struct import_row cohere2_rows[] = {
	ROWS_ENDS,
	{ "norm", "output_norm", ROW_NEED },
	{ "layers.*.input_layernorm", "blk.*.attn_norm", ROW_NEED },
	ROWS_ATTENTION(0, 0),
	ROWS_FFN,
	ROWS_END,
};

/* ---- Phi 3, 3.5 and 4-mini: q, k, v in one matrix, gate and up in another
 * --------------------------- */

static void phi3_keys(struct import *im)
{
	import_put_decoder(im, "silu");
	import_put_u32(im, "attention.sliding_window", import_u32_or(im, "sliding_window", 0));
	import_note_window(im);
}

static const struct import_row phi3_rows[] = {
	ROWS_ENDS,
	ROWS_NORMS(ROW_NEED),
	{ "layers.*.self_attn.qkv_proj", "blk.*.attn_qkv", ROW_NEED },
	{ "layers.*.self_attn.o_proj", "blk.*.attn_output", ROW_NEED },
	{ "layers.*.mlp.gate_up_proj", "blk.*.ffn_up", ROW_NEED },
	{ "layers.*.mlp.down_proj", "blk.*.ffn_down", ROW_NEED },
	ROWS_END,
};

/* ---- gpt-oss: rows of gate and up in turn; experts in MXFP4, or plain and the other way round
 * ------- */

static void gpt_oss_keys(struct import *im)
{
	if (fabs(import_f64_or(im, "swiglu_limit", 7) - 7) > 1e-6 ||
	    fabs(import_f64_or(im, "swiglu_alpha", 1.702) - 1.702) > 1e-6)
		import_fail(im, ERR_UNSUPPORTED,
			    "config.json: swiglu_limit is not 7 or swiglu_alpha is not 1.702");
	import_put_decoder(im, "silu");
	import_put_u32(im, "expert_feed_forward_length", import_u32(im, "intermediate_size"));
	import_put_windows(im, import_u32(im, "sliding_window"), 2, false);
}

#define EXPERTS "layers.*.mlp.experts."
static const struct import_row gpt_oss_rows[] = {
	ROWS_ENDS,
	{ "norm", "output_norm", ROW_NEED },
	{ "layers.*.input_layernorm", "blk.*.attn_norm", ROW_NEED },
	{ "layers.*.post_attention_layernorm", "blk.*.post_attention_norm", ROW_NEED },
	ROWS_ATTENTION(ROW_BIAS, ROW_BIAS),
	{ "layers.*.self_attn.sinks", "blk.*.attn_sinks.weight", ROW_NEED | ROW_BARE },
	{ "layers.*.mlp.router", "blk.*.ffn_gate_inp", BOTH },
	{ EXPERTS "gate_up_proj", "blk.*.ffn_gate_exps.weight", ROW_BARE | ROW_TURN | ROW_EVEN },
	{ EXPERTS "gate_up_proj", "blk.*.ffn_up_exps.weight", ROW_BARE | ROW_TURN | ROW_ODD },
	{ EXPERTS "down_proj", "blk.*.ffn_down_exps.weight", ROW_BARE | ROW_TURN },
	{ EXPERTS "gate_up_proj_blocks", "blk.*.ffn_gate_exps.weight",
	  ROW_BARE | ROW_MXFP4 | ROW_EVEN },
	{ EXPERTS "gate_up_proj_blocks", "blk.*.ffn_up_exps.weight",
	  ROW_BARE | ROW_MXFP4 | ROW_ODD },
	{ EXPERTS "down_proj_blocks", "blk.*.ffn_down_exps.weight", ROW_BARE | ROW_MXFP4 },
	{ EXPERTS "gate_up_proj_bias", "blk.*.ffn_gate_exps.bias", ROW_NEED | ROW_BARE | ROW_EVEN },
	{ EXPERTS "gate_up_proj_bias", "blk.*.ffn_up_exps.bias", ROW_NEED | ROW_BARE | ROW_ODD },
	{ EXPERTS "down_proj_bias", "blk.*.ffn_down_exps.bias", ROW_NEED | ROW_BARE },
	ROWS_END,
};

const struct import_arch import_gpt_archs[] = {
	{ .name = "gpt2",
	  .classes = "GPT2LMHeadModel",
	  .prefixes = "transformer.",
	  .rows = gpt2_rows,
	  .ignored = "h.*.attn.bias|h.*.attn.masked_bias",
	  .defaults = "{\"tie_word_embeddings\":true}",
	  .keys = gpt2_keys },
	{ .name = "starcoder2",
	  .classes = "Starcoder2ForCausalLM",
	  .prefixes = "model.",
	  .rows = starcoder2_rows,
	  .ignored = "",
	  .defaults = "{\"tie_word_embeddings\":true}",
	  .keys = starcoder2_keys },
	{ .name = "phi2",
	  .classes = "PhiForCausalLM",
	  .prefixes = "model.",
	  .rows = phi2_rows,
	  .ignored = "",
	  .defaults = "{\"partial_rotary_factor\":0.5}",
	  .keys = phi2_keys },
	{ .name = "stablelm",
	  .classes = "StableLmForCausalLM|StableLMEpochForCausalLM",
	  .prefixes = "model.",
	  .rows = stablelm_rows,
	  .ignored = "",
	  .defaults = "{\"partial_rotary_factor\":0.25}",
	  .keys = stablelm_keys },
	{ .name = "cohere2",
	  .classes = "Cohere2ForCausalLM",
	  .prefixes = "model.",
	  .rows = cohere2_rows,
	  .ignored = "",
	  .defaults = "{\"tie_word_embeddings\":true}",
	  .keys = cohere2_keys },
	{ .name = "phi3",
	  .classes = "Phi3ForCausalLM",
	  .prefixes = "model.",
	  .rows = phi3_rows,
	  .ignored = "",
	  .keys = phi3_keys,
	  .extra = import_rope_tensors },
	{ .name = "gpt-oss",
	  .classes = "GptOssForCausalLM",
	  .prefixes = "model.",
	  .rows = gpt_oss_rows,
	  .ignored = "",
	  .keys = gpt_oss_keys },
	{ .name = NULL },
};
