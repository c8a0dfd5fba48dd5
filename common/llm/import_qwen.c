/* import_qwen: Qwen 2, 3 and its mixture. Names: ggml-org/llama.cpp gguf-py/gguf/tensor_mapping.py,
 * conversion/qwen.py. */
#include "config.h"
#include "llm/import_impl.h"
#include "base/banned.h"

static void qwen_keys(struct import *im)
{
	import_expect_flag(im, "use_sliding_window", false, false);
	import_put_decoder(im, "silu");
}

/* Every layer must be a mixture. */
static void qwen3moe_keys(struct import *im)
{
	if (import_u32_or(im, "decoder_sparse_step", 1) != 1 ||
	    json_count(import_cfg(im, "mlp_only_layers")) > 0)
		import_fail(
			im, ERR_UNSUPPORTED,
			"config.json: layers without experts beside those with do not run here");
	qwen_keys(im);
	if (!import_flag_or(im, "norm_topk_prob", false))
		import_put_bool(im, "expert_weights_norm", false);
}

static const struct import_row qwen2_rows[] = { ROWS_ENDS, ROWS_NORMS(ROW_NEED),
						ROWS_ATTENTION(0, 0), ROWS_FFN, ROWS_END };
static const struct import_row qwen3_rows[] = {
	ROWS_ENDS, ROWS_NORMS(ROW_NEED), ROWS_ATTENTION(0, 0), ROWS_HEAD_NORMS(ROW_NEED), ROWS_FFN,
	ROWS_END
};
static const struct import_row qwen3moe_rows[] = { ROWS_ENDS,
						   ROWS_NORMS(ROW_NEED),
						   ROWS_ATTENTION(0, 0),
						   ROWS_HEAD_NORMS(ROW_NEED),
						   ROWS_EXPERTS,
						   ROWS_END };

const struct import_arch import_qwen_archs[] = {
	{ .name = "qwen2",
	  .classes = "Qwen2ForCausalLM|Qwen2Model",
	  .prefixes = "model.",
	  .rows = qwen2_rows,
	  .ignored = "",
	  .keys = qwen_keys,
	  .extra = import_rope_tensors },
	{ .name = "qwen3",
	  .classes = "Qwen3ForCausalLM|Qwen3Model",
	  .prefixes = "model.",
	  .rows = qwen3_rows,
	  .ignored = "",
	  .keys = qwen_keys,
	  .extra = import_rope_tensors },
	{ .name = "qwen3moe",
	  .classes = "Qwen3MoeForCausalLM",
	  .prefixes = "model.",
	  .rows = qwen3moe_rows,
	  .ignored = "",
	  .keys = qwen3moe_keys,
	  .extra = import_rope_tensors },
	{ .name = NULL },
};
