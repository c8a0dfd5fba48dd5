/*
 * arch_gpt: GPT-2 and what has LayerNorm after it, Phi 3, gpt-oss. Layouts: ggml-org/llama.cpp
 * src/models/{gpt2,starcoder2,phi2,stablelm,cohere2,phi3,openai-moe}.cpp.
 */
#include "config.h"
#include "model/model_impl.h"

/* LayerNorm before each half of a block, or before both at once (parallel). */
static void load_layer_norm(struct loader *l, enum ffn_act act, enum ffn_form form, bool parallel, int rope)
{
	struct model *m = l->m;
	int64_t d = m->info.n_embd;

	m->norm = NORM_LAYER;
	m->act = act;
	m->eps = load_f32(l, "attention.layer_norm_epsilon");
	load_ends(l);
	if (rope >= 0)
		load_rope(l, true);
	for (int i = 0; i < m->info.n_layer && !l->failed; i++) {
		struct layer *y = load_layer(l, i);

		y->rope = rope;
		y->attn_norm = load_norm(l, "attn_norm", d, REQUIRED);
		load_attention(l, y);
		y->ffn_norm = load_norm(l, "ffn_norm", d, parallel ? OPTIONAL : REQUIRED);
		y->parallel = !y->ffn_norm.w;
		load_ffn(l, y, form);
	}
}

/* Learned positions, GELU without a gate; biases everywhere, as in all of these but Cohere's. */
void arch_gpt2(struct loader *l)
{
	load_layer_norm(l, ACT_GELU_TANH, FFN_PLAIN, false, -1);
	l->layer = -1;
	l->m->positions = load_lin(l, "position_embd", l->m->info.n_ctx_train, l->m->info.n_embd, REQUIRED).w;
}

void arch_starcoder2(struct loader *l)
{
	load_layer_norm(l, ACT_GELU_TANH, FFN_PLAIN, false, 0);
}

void arch_phi2(struct loader *l)
{
	load_layer_norm(l, ACT_GELU_TANH, FFN_PLAIN, true, 0);
}

/* Half-turned heads, SwiGLU; the 12B is parallel (and its norms of q and k differ by head: its tensors are refused). */
void arch_stablelm(struct loader *l)
{
	load_layer_norm(l, ACT_SILU, FFN_GATED, true, 0);
}

/* Parallel, three local layers of four, which alone are turned. */
void arch_cohere2(struct loader *l)
{
	struct model *m = l->m;

	load_layer_norm(l, ACT_SILU, FFN_GATED, true, 0);
	m->neox = false;
	m->scale_out = load_f32(l, "logit_scale");
	load_windows(l, load_u32(l, "attention.sliding_window", INT32_MAX), 4, false);
	for (int i = 0; i < m->info.n_layer && !l->failed; i++)
		m->layers[i].rope = m->layers[i].window ? 0 : -1;
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
