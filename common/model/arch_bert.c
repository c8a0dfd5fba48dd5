/*
 * arch_bert: encoders that read a text from both sides. GELU is the exact one (erf), as the models were trained;
 * llama.cpp runs its tanh form through a table (its #29252). Layouts: ggml-org/llama.cpp
 * src/models/{bert,nomic-bert,modern-bert,neo-bert,eurobert}.cpp.
 */
#include "config.h"
#include "model/model_impl.h"

/* What bert and nomic-bert share: embeddings of words and of segment 0, norms behind each half of a block. */
static void load_post_norm(struct loader *l, bool nomic)
{
	struct model *m = l->m;
	int64_t d = m->info.n_embd;

	m->norm = NORM_LAYER;
	m->causal = false;
	m->eps = load_f32(l, "attention.layer_norm_epsilon");
	l->layer = -1;
	m->embd = load_lin(l, "token_embd", m->info.n_vocab, d, REQUIRED).w;
	m->embd_norm = load_norm(l, "token_embd_norm", d, REQUIRED);
	for (int i = 0; i < 2; i++)
		m->type[i] = load_row(l, "token_types.weight", i, d);
	if (!m->type[1]) /* RoBERTa has one kind of segment */
		m->type[1] = m->type[0];
	if (nomic)
		load_rope(l, true);
	else
		m->positions = load_lin(l, "position_embd", m->info.n_ctx_train, d, REQUIRED).w;
	for (int i = 0; i < m->info.n_layer && !l->failed; i++) {
		struct layer *y = load_layer(l, i);

		y->rope = nomic ? 0 : -1;
		load_attention(l, y);
		y->attn_out = load_norm(l, "attn_output_norm", d, REQUIRED);
		load_ffn(l, y, nomic ? FFN_GATED : FFN_PLAIN);
		y->out = load_norm(l, "layer_output_norm", d, REQUIRED);
	}
}

/* BERT and RoBERTa: MiniLM, bge, e5, arctic, gte; rerankers of the same kind. */
void arch_bert(struct loader *l)
{
	l->m->act = ACT_GELU_ERF;
	load_post_norm(l, false);
	load_classifier(l);
}

/* Rope for positions, SwiGLU. */
void arch_nomic_bert(struct loader *l)
{
	if (l->m->n_experts)
		load_fail(l, "nomic-bert with experts does not run here");
	l->m->act = ACT_SILU;
	load_post_norm(l, true);
}

/* Norms before each half of a block (none before the first), one of three layers sees all, the others a symmetric window. */
void arch_modern_bert(struct loader *l)
{
	struct model *m = l->m;
	int64_t d = m->info.n_embd;
	struct str act = load_str_or(l, "hidden_activation", "gelu");

	m->norm = NORM_LAYER;
	m->causal = false;
	m->eps = load_f32(l, "attention.layer_norm_epsilon");
	if (str_is(act, "silu"))
		m->act = ACT_SILU;
	else if (str_is(act, "gelu"))
		m->act = ACT_GELU_ERF;
	else
		load_fail(l, "hidden_activation \"" STR_FMT "\" is not known", STR_ARG(act));
	l->layer = -1;
	m->embd = load_lin(l, "token_embd", m->info.n_vocab, d, REQUIRED).w;
	m->embd_norm = load_norm(l, "token_embd_norm", d, REQUIRED);
	m->out_norm = load_norm(l, "output_norm", d, REQUIRED);
	load_rope(l, true);
	for (int i = 0; i < m->info.n_layer && !l->failed; i++) {
		struct layer *y = load_layer(l, i);

		y->attn_norm = load_norm(l, "attn_norm", d, i ? REQUIRED : OPTIONAL);
		load_attention(l, y);
		y->ffn_norm = load_norm(l, "ffn_norm", d, REQUIRED);
		load_ffn(l, y, FFN_FUSED);
	}
	load_windows(l, load_u32_or(l, "attention.sliding_window", INT32_MAX, 0), 3, true);
	load_rope_local(l, load_f32_or(l, "rope.freq_base", 10000), true);
	load_classifier(l);
	m->cls_gelu = true;
	m->cls_mean = load_u32_or(l, "classifier.pooling_type", MODEL_POOL_RANK, MODEL_POOL_MEAN) == MODEL_POOL_MEAN;
}

/* Llama's block, read from both sides. */
static void load_llama_encoder(struct loader *l, bool neox, const char *last_norm, enum ffn_form form)
{
	struct model *m = l->m;
	int64_t d = m->info.n_embd;

	m->norm = NORM_RMS;
	m->causal = false;
	m->eps = load_f32(l, "attention.layer_norm_rms_epsilon");
	l->layer = -1;
	m->embd = load_lin(l, "token_embd", m->info.n_vocab, d, REQUIRED).w;
	m->out_norm = load_norm(l, last_norm, d, REQUIRED);
	load_rope(l, neox);
	for (int i = 0; i < m->info.n_layer && !l->failed; i++) {
		struct layer *y = load_layer(l, i);

		y->attn_norm = load_norm(l, "attn_norm", d, REQUIRED);
		load_attention(l, y);
		y->ffn_norm = load_norm(l, "ffn_norm", d, REQUIRED);
		load_ffn(l, y, form);
	}
	load_classifier(l);
}

void arch_neo_bert(struct loader *l)
{
	load_llama_encoder(l, false, "enc.output_norm", FFN_FUSED);
}

void arch_eurobert(struct loader *l)
{
	load_llama_encoder(l, true, "output_norm", FFN_GATED);
}
