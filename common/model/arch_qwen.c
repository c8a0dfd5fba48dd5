/* arch_qwen: Qwen 2 to 3 and their mixtures. Layouts: ggml-org/llama.cpp src/models/{qwen2,qwen3,qwen3moe}.cpp. */
#include "config.h"
#include "model/model_impl.h"

static void load_qwen(struct loader *l, bool head_norms)
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
		if (head_norms) {
			y->q_norm = load_norm(l, "attn_q_norm", m->head_dim, REQUIRED);
			y->k_norm = load_norm(l, "attn_k_norm", m->head_dim, REQUIRED);
		}
		y->ffn_norm = load_norm(l, "ffn_norm", d, REQUIRED);
		if (m->n_experts)
			load_experts(l, y);
		else
			load_ffn(l, y, FFN_GATED);
	}
}

/* Biases on q, k and v. */
void arch_qwen2(struct loader *l)
{
	load_qwen(l, false);
}

/* q and k normed by head; a reranker has one row a label ("yes" and "no"). */
void arch_qwen3(struct loader *l)
{
	load_qwen(l, true);
	load_classifier(l);
	l->m->cls_softmax = true;
}

void arch_qwen3moe(struct loader *l)
{
	if (!l->m->n_experts)
		load_fail(l, "key qwen3moe.expert_count is missing");
	load_qwen(l, true);
}
