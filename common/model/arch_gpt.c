/* arch_gpt: GPT-2, Phi 3, gpt-oss. Layouts: ggml-org/llama.cpp src/models/{gpt2,phi3,openai-moe}.cpp. */
#include "config.h"
#include "model/model_impl.h"

/* LayerNorm, learned positions, one matrix for q, k and v, biases everywhere, GELU without a gate. */
void arch_gpt2(struct loader *l)
{
	struct model *m = l->m;
	int64_t d = m->info.n_embd;

	m->norm = NORM_LAYER;
	m->act = ACT_GELU_TANH;
	m->eps = load_f32(l, "attention.layer_norm_epsilon");
	load_ends(l);
	m->positions = load_lin(l, "position_embd", m->info.n_ctx_train, d, REQUIRED).w;
	for (int i = 0; i < m->info.n_layer && !l->failed; i++) {
		struct layer *y = load_layer(l, i);

		y->rope = -1;
		y->attn_norm = load_norm(l, "attn_norm", d, REQUIRED);
		load_attention(l, y);
		y->ffn_norm = load_norm(l, "ffn_norm", d, REQUIRED);
		load_ffn(l, y, FFN_PLAIN);
	}
}

/* Gate and up in one matrix, q, k and v in another; long-context factors. Its window is not used, as in llama.cpp. */
void arch_phi3(struct loader *l)
{
	struct model *m = l->m;
	int64_t d = m->info.n_embd;

	m->norm = NORM_RMS;
	m->eps = load_f32(l, "attention.layer_norm_rms_epsilon");
	load_ends(l);
	load_rope(l, true);
	for (int i = 0; i < m->info.n_layer && !l->failed; i++) {
		struct layer *y = load_layer(l, i);

		y->attn_norm = load_norm(l, "attn_norm", d, REQUIRED);
		load_attention(l, y);
		y->ffn_norm = load_norm(l, "ffn_norm", d, REQUIRED);
		load_ffn(l, y, FFN_FUSED);
	}
}

/* Experts in every layer, biases everywhere, a sink logit a head, every second layer local, weights after the choice. */
void arch_gpt_oss(struct loader *l)
{
	struct model *m = l->m;
	int64_t d = m->info.n_embd;

	m->norm = NORM_RMS;
	m->act = ACT_SWIGLU_OAI;
	m->gating = GATING_SOFTMAX_CHOSEN;
	m->norm_weights = false; /* the softmax over the chosen has done it */
	m->eps = load_f32(l, "attention.layer_norm_rms_epsilon");
	load_ends(l);
	load_rope(l, true);
	for (int i = 0; i < m->info.n_layer && !l->failed; i++) {
		struct layer *y = load_layer(l, i);

		y->attn_norm = load_norm(l, "attn_norm", d, REQUIRED);
		load_attention(l, y);
		y->sinks = load_norm(l, "attn_sinks", y->n_head, REQUIRED).w;
		y->ffn_norm = load_norm(l, "post_attention_norm", d, REQUIRED);
		load_experts(l, y);
	}
	load_windows(l, load_u32(l, "attention.sliding_window", INT32_MAX), 2, false);
	load_rope_local(l, load_f32_or(l, "rope.freq_base", 10000), true);
}
