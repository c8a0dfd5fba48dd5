/*
 * arch_llama: RMSNorm before each half of a block, rope, SwiGLU; and the models that differ from it by a detail. Layouts:
 * ggml-org/llama.cpp src/models/{llama,mistral3,seed-oss,smollm3,granite,olmo2,olmoe}.cpp.
 */
#include "config.h"
#include "model/model_impl.h"

static void rms(struct loader *l)
{
	l->m->norm = NORM_RMS;
	l->m->eps = load_f32(l, "attention.layer_norm_rms_epsilon");
}

static void load_llama_layers(struct loader *l)
{
	int64_t d = l->m->info.n_embd;

	for (int i = 0; i < l->m->info.n_layer && !l->failed; i++) {
		struct layer *y = load_layer(l, i);

		y->attn_norm = load_norm(l, "attn_norm", d, REQUIRED);
		load_attention(l, y);
		y->ffn_norm = load_norm(l, "ffn_norm", d, REQUIRED);
		if (l->m->n_experts)
			load_experts(l, y);
		else
			load_ffn(l, y, FFN_GATED);
	}
}

/* Llama 2 and 3, Mistral 7B, TinyLlama, SmolLM2, Yi; with experts Mixtral; InternLM 2, ERNIE 4.5. */
void arch_llama(struct loader *l)
{
	rms(l);
	load_ends(l);
	load_rope(l, false);
	load_llama_layers(l);
}

/* Queries of far positions are scaled, as Llama 4 does. */
void arch_mistral3(struct loader *l)
{
	arch_llama(l);
	l->m->temperature = load_f32_or(l, "attention.temperature_scale", 0);
	if (l->m->temperature > 0)
		l->m->temperature_every = load_u32(l, "rope.scaling.original_context_length", INT32_MAX);
	if (l->m->temperature > 0 && !l->m->temperature_every)
		load_fail(l, "key %s.rope.scaling.original_context_length is 0", l->arch);
}

/* The norm before the feed-forward has another name. */
void arch_seed_oss(struct loader *l)
{
	int64_t d = l->m->info.n_embd;

	rms(l);
	load_ends(l);
	load_rope(l, true);
	for (int i = 0; i < l->m->info.n_layer && !l->failed; i++) {
		struct layer *y = load_layer(l, i);

		y->attn_norm = load_norm(l, "attn_norm", d, REQUIRED);
		load_attention(l, y);
		y->ffn_norm = load_norm(l, "post_attention_norm", d, REQUIRED);
		load_ffn(l, y, FFN_GATED);
	}
}

/* No rope in every fourth layer. */
void arch_smollm3(struct loader *l)
{
	arch_llama(l);
	for (int i = 3; i < l->m->info.n_layer && !l->failed; i += 4)
		l->m->layers[i].rope = -1;
}

/* Four multipliers; logits are divided by theirs. */
void arch_granite(struct loader *l)
{
	struct model *m = l->m;
	float out;

	arch_llama(l);
	out = load_f32(l, "logit_scale");
	m->scale_embd = load_f32_or(l, "embedding_scale", 1);
	m->scale_resid = load_f32_or(l, "residual_scale", 1);
	if (!(out > 0))
		load_fail(l, "key %s.logit_scale is %g", l->arch, (double)out);
	m->scale_out = 1 / out;
}

/* Norms on what the halves of a block give, none on what they take; q and k normed as whole vectors. */
void arch_olmo2(struct loader *l)
{
	struct model *m = l->m;
	int64_t d = m->info.n_embd;
	uint32_t window = load_u32_or(l, "attention.sliding_window", INT32_MAX, 0);

	rms(l);
	load_ends(l);
	load_rope(l, true);
	load_windows(l, window, 4, false);
	if (window)
		load_rope_local(l, load_f32_or(l, "rope.freq_base", 10000), false);
	for (int i = 0; i < m->info.n_layer && !l->failed; i++) {
		struct layer *y = load_layer(l, i);

		load_attention(l, y);
		y->q_norm = load_norm(l, "attn_q_norm", (int64_t)y->n_head * m->head_dim, REQUIRED);
		y->k_norm = load_norm(l, "attn_k_norm", (int64_t)y->n_head_kv * m->head_dim, REQUIRED);
		y->attn_post = load_norm(l, "post_attention_norm", d, REQUIRED);
		load_ffn(l, y, FFN_GATED);
		y->ffn_post = load_norm(l, "post_ffw_norm", d, REQUIRED);
	}
}

/* A mixture of experts whose weights are not renormalised; q and k normed as whole vectors. */
void arch_olmoe(struct loader *l)
{
	struct model *m = l->m;

	rms(l);
	load_ends(l);
	load_rope(l, true);
	m->norm_weights = load_flag_or(l, "expert_weights_norm", false);
	if (!m->n_experts)
		load_fail(l, "key olmoe.expert_count is missing");
	load_llama_layers(l);
	for (int i = 0; i < m->info.n_layer && !l->failed; i++) {
		struct layer *y = load_layer(l, i);

		y->n_ff = (int32_t)y->moe.up.w.rows;
		y->q_norm = load_norm(l, "attn_q_norm", (int64_t)y->n_head * m->head_dim, REQUIRED);
		y->k_norm = load_norm(l, "attn_k_norm", (int64_t)y->n_head_kv * m->head_dim, REQUIRED);
	}
}
