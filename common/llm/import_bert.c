/*
 * import_bert: encoders that read a text from both sides, and rerankers on top of them. Names:
 * ggml-org/llama.cpp gguf-py/gguf/tensor_mapping.py, conversion/bert.py.
 */
#include "config.h"
#include "llm/import_impl.h"
#include "base/banned.h"

#define BOTH (ROW_NEED | ROW_BIAS)

/* What BERT's relatives share; `n_ctx` positions. */
static void put_encoder(struct import *im, uint32_t n_ctx)
{
	import_put_common(im, n_ctx, import_u32(im, "intermediate_size|n_inner|hidden_dim"));
	import_put_f32(im, "attention.layer_norm_epsilon",
		       import_f64(im, "layer_norm_eps|layer_norm_epsilon|norm_eps"));
	import_put_bool(im, "attention.causal", false);
}

static void put_types(struct import *im)
{
	uint32_t n = import_u32_or(im, "type_vocab_size", 1);

	if (!im->failed)
		im->failed = gguf_put_u32(im->w, "tokenizer.ggml.token_type_count", n, im->e) != 0;
}

/* ---- BERT (MiniLM, bge, e5, arctic, gte), RoBERTa, XLM-R (bge-m3)
 * ------------------------------------ */

static void bert_keys(struct import *im)
{
	import_expect(im, "hidden_act", "gelu");
	import_expect(im, "position_embedding_type", "absolute");
	put_encoder(im, import_u32(im, "max_position_embeddings"));
	put_types(im);
}

/* Positions begin behind the padding's id. */
static void roberta_keys(struct import *im)
{
	uint32_t n = import_u32(im, "max_position_embeddings"),
		 pad = import_u32(im, "pad_token_id");

	import_expect(im, "hidden_act", "gelu");
	import_expect(im, "position_embedding_type", "absolute");
	if (!im->failed && (pad >= n || n - pad < 2))
		import_fail(im, ERR_OPEN, "config.json: %u positions, the first %u of them padding",
			    n, pad);
	put_encoder(im, n - pad - 1);
	put_types(im);
}

#define ROWS_BERT(position)                                                                        \
	{ "embeddings.word_embeddings", "token_embd", ROW_NEED | ROW_VOCAB },                      \
		{ "embeddings.token_type_embeddings", "token_types", ROW_NEED },                   \
		{ "embeddings.position_embeddings", "position_embd", ROW_NEED | (position) },      \
		{ "embeddings.LayerNorm", "token_embd_norm", BOTH },                               \
		{ "encoder.layer.*.attention.self.query", "blk.*.attn_q", BOTH },                  \
		{ "encoder.layer.*.attention.self.key", "blk.*.attn_k", BOTH },                    \
		{ "encoder.layer.*.attention.self.value", "blk.*.attn_v", BOTH },                  \
		{ "encoder.layer.*.attention.output.dense", "blk.*.attn_output", BOTH },           \
		{ "encoder.layer.*.attention.output.LayerNorm", "blk.*.attn_output_norm", BOTH },  \
		{ "encoder.layer.*.intermediate.dense", "blk.*.ffn_up", BOTH },                    \
		{ "encoder.layer.*.output.dense", "blk.*.ffn_down", BOTH },                        \
	{                                                                                          \
		"encoder.layer.*.output.LayerNorm", "blk.*.layer_output_norm", BOTH                \
	}

static const struct import_row bert_rows[] = {
	ROWS_BERT(0),
	{ "pooler.dense", "cls", BOTH | ROW_HEAD },
	{ "classifier", "cls.output", BOTH | ROW_HEAD },
	ROWS_END,
};
static const struct import_row roberta_rows[] = {
	ROWS_BERT(ROW_POSITION),
	{ "classifier.dense", "cls", BOTH | ROW_HEAD },
	{ "classifier.out_proj", "cls.output", BOTH | ROW_HEAD },
	ROWS_END,
};

/* ---- DistilBERT: no segments, no pooler
 * ------------------------------------------------------------- */

static void distil_keys(struct import *im)
{
	import_expect(im, "activation", "gelu");
	put_encoder(im, import_u32(im, "max_position_embeddings"));
	put_types(im);
}

#define LAYER "transformer.layer.*."
static const struct import_row distil_rows[] = {
	{ "embeddings.word_embeddings", "token_embd", ROW_NEED | ROW_VOCAB },
	{ "embeddings.position_embeddings", "position_embd", ROW_NEED },
	{ "embeddings.LayerNorm", "token_embd_norm", BOTH },
	{ LAYER "attention.q_lin", "blk.*.attn_q", BOTH },
	{ LAYER "attention.k_lin", "blk.*.attn_k", BOTH },
	{ LAYER "attention.v_lin", "blk.*.attn_v", BOTH },
	{ LAYER "attention.out_lin", "blk.*.attn_output", BOTH },
	{ LAYER "sa_layer_norm", "blk.*.attn_output_norm", BOTH },
	{ LAYER "ffn.lin1", "blk.*.ffn_up", BOTH },
	{ LAYER "ffn.lin2", "blk.*.ffn_down", BOTH },
	{ LAYER "output_layer_norm", "blk.*.layer_output_norm", BOTH },
	ROWS_END,
};

/* ---- nomic-embed-text
 * ------------------------------------------------------------------------------- */

static void nomic_keys(struct import *im)
{
	uint32_t n = import_u32(im, "max_position_embeddings|n_positions");
	uint32_t trained = import_u32_or(im, "max_trained_positions", n);

	if (import_u32_or(im, "moe_every_n_layers", 0))
		import_fail(im, ERR_UNSUPPORTED,
			    "config.json: nomic-bert with experts does not run here");
	if (!import_is(im, "activation_function", "swiglu"))
		import_expect(im, "activation_function|hidden_act", "silu");
	import_expect_flag(im, "prenorm", false, false);
	import_expect_flag(im, "rotary_emb_interleaved", false, false);
	put_encoder(im, trained < n ? trained : n);
	import_put_rope(im);
	put_types(im);
}

static const struct import_row nomic_rows[] = {
	{ "embeddings.word_embeddings", "token_embd", ROW_NEED | ROW_VOCAB },
	{ "embeddings.token_type_embeddings", "token_types", ROW_NEED },
	{ "emb_ln", "token_embd_norm", BOTH },
	{ "encoder.layers.*.attn.Wqkv", "blk.*.attn_qkv", ROW_NEED },
	{ "encoder.layers.*.attn.out_proj", "blk.*.attn_output", ROW_NEED },
	{ "encoder.layers.*.norm1", "blk.*.attn_output_norm", BOTH },
	{ "encoder.layers.*.mlp.fc11", "blk.*.ffn_up", ROW_NEED },
	{ "encoder.layers.*.mlp.fc12", "blk.*.ffn_gate", ROW_NEED },
	{ "encoder.layers.*.mlp.fc2", "blk.*.ffn_down", ROW_NEED },
	{ "encoder.layers.*.norm2", "blk.*.layer_output_norm", BOTH },
	ROWS_END,
};

/* ---- ModernBERT: gate and up in one matrix, most layers with a window
 * ------------------------------- */

static void modern_keys(struct import *im)
{
	bool silu = import_is(im, "hidden_activation", "silu");

	if (!silu)
		import_expect(im, "hidden_activation", "gelu");
	put_encoder(im, import_u32(im, "max_position_embeddings"));
	import_put_str(im, "hidden_activation", silu ? STR("silu") : STR("gelu"));
	import_put_rope(im);
	import_put_windows(im, import_u32(im, "local_attention"), 3, true);
	import_put_f32(im, "rope.freq_base_swa",
		       import_rope_f64(im, "rope_theta", true,
				       import_f64_or(im, "local_rope_theta", 10000)));
	if (!im->classifier)
		return;
	import_expect(im, "classifier_activation", "gelu");
	if (!import_is(im, "classifier_pooling", "mean"))
		import_expect(im, "classifier_pooling", "cls");
	import_put_u32(im, "classifier.pooling_type",
		       import_is(im, "classifier_pooling", "mean") ? 1 : 2);
}

static const struct import_row modern_rows[] = {
	{ "embeddings.tok_embeddings", "token_embd", ROW_NEED | ROW_VOCAB },
	{ "embeddings.norm", "token_embd_norm", ROW_NEED },
	{ "final_norm", "output_norm", ROW_NEED },
	{ "layers.*.attn_norm", "blk.*.attn_norm", 0 }, /* the first layer has none */
	{ "layers.*.attn.Wqkv", "blk.*.attn_qkv", ROW_NEED },
	{ "layers.*.attn.Wo", "blk.*.attn_output", ROW_NEED },
	{ "layers.*.mlp_norm", "blk.*.ffn_norm", ROW_NEED },
	{ "layers.*.mlp.Wi", "blk.*.ffn_up", ROW_NEED },
	{ "layers.*.mlp.Wo", "blk.*.ffn_down", ROW_NEED },
	{ "head.dense", "cls", ROW_NEED | ROW_HEAD },
	{ "head.norm", "cls.norm", ROW_NEED | ROW_HEAD },
	{ "classifier", "cls.output", BOTH | ROW_HEAD },
	ROWS_END,
};

/* ---- EuroBERT: Llama's block, read from both sides
 * --------------------------------------------------- */

static void euro_keys(struct import *im)
{
	import_put_decoder(im, "silu");
	import_put_bool(im, "attention.causal", false);
}

static const struct import_row euro_rows[] = {
	{ "embed_tokens", "token_embd", ROW_NEED | ROW_VOCAB },
	ROWS_NORMS(ROW_NEED),
	ROWS_ATTENTION(0, 0),
	ROWS_FFN,
	ROWS_END,
};

const struct import_arch import_bert_archs[] = {
	{ .name = "bert",
	  .classes = "BertModel|BertForMaskedLM|BertForSequenceClassification",
	  .prefixes = "bert.",
	  .rows = bert_rows,
	  .ignored = "embeddings.position_ids|pooler.|cls.",
	  .encoder = true,
	  .keys = bert_keys },
	{ .name = "bert",
	  .classes = "RobertaModel|RobertaForMaskedLM|RobertaForSequenceClassification|"
		     "XLMRobertaModel|XLMRobertaForMaskedLM|"
		     "XLMRobertaForSequenceClassification",
	  .prefixes = "roberta.",
	  .rows = roberta_rows,
	  .ignored = "embeddings.position_ids|pooler.|lm_head.",
	  .defaults = "{\"pad_token_id\":1}",
	  .encoder = true,
	  .keys = roberta_keys },
	{ .name = "bert",
	  .classes = "DistilBertModel|DistilBertForMaskedLM",
	  .prefixes = "distilbert.",
	  .rows = distil_rows,
	  .ignored = "vocab_",
	  .defaults = "{\"layer_norm_eps\":1e-12}",
	  .encoder = true,
	  .keys = distil_keys },
	{ .name = "nomic-bert",
	  .classes = "NomicBertModel",
	  .prefixes = "bert.",
	  .rows = nomic_rows,
	  .ignored = "pooler.",
	  .encoder = true,
	  .keys = nomic_keys },
	{ .name = "modern-bert",
	  .classes = "ModernBertModel|ModernBertForMaskedLM|ModernBertForSequenceClassification",
	  .prefixes = "model.",
	  .rows = modern_rows,
	  .ignored = "head.|decoder.",
	  .defaults = "{\"global_rope_theta\":160000,\"local_attention\":128}",
	  .encoder = true,
	  .keys = modern_keys },
	{ .name = "eurobert",
	  .classes = "EuroBertModel|EuroBertForMaskedLM",
	  .prefixes = "model.",
	  .rows = euro_rows,
	  .ignored = "lm_head.",
	  .encoder = true,
	  .keys = euro_keys },
	{ .name = NULL },
};
