/*
 * arch_gemma: Gemma 1 to 3 and EmbeddingGemma. Embeddings times sqrt(d), GeGLU, norms with their +1 already added in the
 * file; from 2 on also norms on what the halves of a block give, and local layers. Layouts: ggml-org/llama.cpp
 * src/models/{gemma,gemma2,gemma3,gemma-embedding}.cpp.
 */
#include "config.h"
#include "model/model_impl.h"
#include <math.h>

static void load_gemma(struct loader *l, bool post_norms, bool head_norms)
{
	struct model *m = l->m;
	int64_t d = m->info.n_embd;

	m->norm = NORM_RMS;
	m->act = ACT_GELU_TANH;
	m->eps = load_f32(l, "attention.layer_norm_rms_epsilon");
	m->scale_embd = sqrtf((float)d);
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
		load_ffn(l, y, FFN_GATED);
		if (post_norms) {
			y->attn_post = load_norm(l, "post_attention_norm", d, REQUIRED);
			y->ffn_post = load_norm(l, "post_ffw_norm", d, REQUIRED);
		}
	}
}

void arch_gemma(struct loader *l)
{
	load_gemma(l, false, false);
}

void arch_gemma2(struct loader *l)
{
	struct model *m = l->m;

	load_gemma(l, true, false);
	m->softcap_attn = load_f32_or(l, "attn_logit_softcapping", 50);
	m->softcap_out = load_f32_or(l, "final_logit_softcapping", 30);
	if (m->info.n_layer == 46) /* 27B: the file does not say */
		m->scale_attn = 1 / sqrtf((float)(m->info.n_embd / m->info.n_head));
	load_windows(l, load_u32_or(l, "attention.sliding_window", INT32_MAX, 4096), 2, false);
	load_rope_local(l, load_f32_or(l, "rope.freq_base", 10000), true);
}

/* Five local layers of six, with their own base and without the global layers' scaling. */
static void load_local(struct loader *l, uint32_t window)
{
	load_windows(l, window, 6, false);
	load_rope_local(l, 10000, false);
}

void arch_gemma3(struct loader *l)
{
	struct model *m = l->m;
	uint32_t window = load_u32_or(l, "attention.sliding_window", INT32_MAX, 0);

	load_gemma(l, true, true);
	m->softcap_out = load_f32_or(l, "final_logit_softcapping", 0);
	if (m->info.n_layer == 62) /* 27B: the file does not say */
		m->scale_attn = 1 / sqrtf((float)(m->info.n_embd / m->info.n_head));
	if (window)
		load_local(l, window);
}

/* Both directions, a symmetric window, two dense layers after pooling. */
void arch_gemma_embedding(struct loader *l)
{
	struct model *m = l->m;
	uint32_t d = (uint32_t)m->info.n_embd, mid;

	load_gemma(l, true, true);
	m->causal = false;
	load_local(l, load_u32(l, "attention.sliding_window", INT32_MAX));
	l->layer = -1;
	mid = load_u32_or(l, "dense_2_feat_out", MODEL_MAX_DIM, 0);
	if (mid) {
		m->dense[0] = load_lin(l, "dense_2", mid, d, REQUIRED);
		m->dense[1] = load_lin(l, "dense_3", load_u32_or(l, "dense_3_feat_out", MODEL_MAX_DIM, d), mid, REQUIRED);
	}
}
