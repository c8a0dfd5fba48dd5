/* load: keys and tensors of a GGUF file into a struct model, every presence, type and shape checked. */
#include "config.h"
#include "model/model_impl.h"
#include <math.h>

void load_fail(struct loader *l, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (l->failed)
		return;
	l->failed = true;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	err_set(l->e, ERR_OPEN, "%s", text);
}

void *load_alloc(struct loader *l, size_t n, size_t size)
{
	size_t bytes;
	void *p = NULL;

	if (l->failed)
		return NULL;
	if (ckd_mul_size(&bytes, n, size))
		p = arena_alloc(&l->m->own, bytes ? bytes : 1);
	if (!p) {
		l->failed = true;
		err_nomem(l->e);
		return NULL;
	}
	memset(p, 0, bytes);
	return p;
}

/* ---- keys -------------------------------------------------------------------------------------- */

struct name {
	char z[160];
};

static struct name key_name(const struct loader *l, const char *key)
{
	struct name n;

	snprintf(n.z, sizeof n.z, "%s.%s", l->arch, key);
	return n;
}

static uint32_t get_u32(struct loader *l, const char *key, uint32_t i, uint32_t max)
{
	struct name n = key_name(l, key);
	const struct gguf_key *k = gguf_find(l->g, n.z);
	uint32_t v = 0;

	if (l->failed)
		return 0;
	if (!k) {
		load_fail(l, "key %s is missing", n.z);
	} else if (gguf_elem_u32(&v, k, i, l->e)) {
		err_wrap(l->e, "key %s", n.z);
		l->failed = true;
	} else if (v > max) {
		load_fail(l, "key %s is %u, more than %u", n.z, v, max);
	}
	return l->failed ? 0 : v;
}

uint32_t load_u32(struct loader *l, const char *key, uint32_t max)
{
	return get_u32(l, key, 0, max);
}

uint32_t load_u32_or(struct loader *l, const char *key, uint32_t max, uint32_t dflt)
{
	return gguf_find(l->g, key_name(l, key).z) ? get_u32(l, key, 0, max) : dflt;
}

uint32_t load_elem_u32(struct loader *l, const char *key, uint32_t i, uint32_t max, uint32_t dflt)
{
	const struct gguf_key *k = gguf_find(l->g, key_name(l, key).z);

	if (k && k->elem == GGUF_K_BOOL && i < k->n)
		return k->p[i] != 0;
	return k ? get_u32(l, key, i, max) : dflt;
}

float load_f32(struct loader *l, const char *key)
{
	struct name n = key_name(l, key);
	float v = 0;

	if (l->failed)
		return 0;
	if (gguf_f32(&v, l->g, n.z, l->e))
		l->failed = true;
	else if (!isfinite(v))
		load_fail(l, "key %s is not finite", n.z);
	return v;
}

float load_f32_or(struct loader *l, const char *key, float dflt)
{
	return gguf_find(l->g, key_name(l, key).z) ? load_f32(l, key) : dflt;
}

bool load_flag_or(struct loader *l, const char *key, bool dflt)
{
	return gguf_bool_or(l->g, key_name(l, key).z, dflt);
}

struct str load_str_or(struct loader *l, const char *key, const char *dflt)
{
	return gguf_str_or(l->g, key_name(l, key).z, str_of(dflt));
}

/* ---- tensors ----------------------------------------------------------------------------------- */

static struct name tensor_name(const struct loader *l, const char *name, const char *suffix)
{
	struct name n;

	if (l->layer < 0)
		snprintf(n.z, sizeof n.z, "%s%s", name, suffix);
	else
		snprintf(n.z, sizeof n.z, "blk.%d.%s%s", l->layer, name, suffix);
	return n;
}

/* Finds a tensor and counts it as used. NULL: none, which is an error when it is needed. */
static const struct gguf_tensor *find(struct loader *l, const char *name, enum need need)
{
	const struct gguf_tensor *t = l->failed ? NULL : gguf_find_tensor(l->g, name);

	if (t)
		l->used[t - gguf_tensor_at(l->g, 0)] = true;
	else if (need == REQUIRED)
		load_fail(l, "tensor %s is missing", name);
	return t;
}

static bool shape_is(struct loader *l, const struct gguf_tensor *t, int64_t ne0, int64_t ne1, int64_t ne2)
{
	if (t->ne[0] == ne0 && t->ne[1] == ne1 && t->ne[2] == ne2 && t->ne[3] == 1)
		return true;
	load_fail(l, "tensor " STR_FMT " has the shape [%lld, %lld, %lld, %lld], expected [%lld, %lld, %lld, 1]",
		  STR_ARG(t->name), (long long)t->ne[0], (long long)t->ne[1], (long long)t->ne[2], (long long)t->ne[3],
		  (long long)ne0, (long long)ne1, (long long)ne2);
	return false;
}

static bool can_mul(struct loader *l, const struct gguf_tensor *t)
{
	const struct gguf_type_info *info = gguf_type_info(t->type);

	if (kern_can_mul(t->type))
		return true;
	load_fail(l, "tensor " STR_FMT " has type %s, for which there is no kernel: requantize the model, to Q4_K or Q8_0 say",
		  STR_ARG(t->name), info ? info->name : "unknown");
	return false;
}

/* A vector in f32: where it lies in the map, or converted. */
static const float *vector(struct loader *l, const struct gguf_tensor *t, int64_t n, int64_t m)
{
	float *v;

	if (!t || !shape_is(l, t, n, m, 1))
		return NULL;
	if (t->type == GGUF_F32 && (uintptr_t)t->data % sizeof(float) == 0)
		return (const float *)(const void *)t->data;
	if (t->type != GGUF_F32 && t->type != GGUF_F16 && t->type != GGUF_BF16) {
		load_fail(l, "tensor " STR_FMT " is a vector of a type that is not F32, F16 or BF16", STR_ARG(t->name));
		return NULL;
	}
	v = load_alloc(l, (size_t)(n * m), sizeof *v);
	if (v)
		kern_dequant(v, t->data, t->type, n * m);
	return v;
}

const float *load_vec(struct loader *l, const char *name, int64_t n, enum need need)
{
	return vector(l, find(l, tensor_name(l, name, "").z, need), n, 1);
}

const float *load_row(struct loader *l, const char *name, int64_t i, int64_t n)
{
	const struct gguf_tensor *t = find(l, tensor_name(l, name, "").z, OPTIONAL);
	float *row;

	if (!t || !shape_is(l, t, n, t->ne[1], 1) || !can_mul(l, t) || i >= t->ne[1])
		return NULL;
	row = load_alloc(l, (size_t)n, sizeof *row);
	if (row)
		kern_dequant(row, t->data + (size_t)i * kern_row_bytes(t->type, n), t->type, n);
	return row;
}

struct norm load_norm(struct loader *l, const char *name, int64_t n, enum need need)
{
	struct norm w = { .n = n };

	w.w = vector(l, find(l, tensor_name(l, name, ".weight").z, need), n, 1);
	if (w.w)
		w.b = vector(l, find(l, tensor_name(l, name, ".bias").z, OPTIONAL), n, 1);
	return w;
}

static struct lin load_stack(struct loader *l, const char *name, int64_t rows, int64_t cols, int64_t n, enum need need)
{
	const struct gguf_tensor *t = find(l, tensor_name(l, name, ".weight").z, need);
	struct lin w = { .w = { NULL, 0, rows, cols } };

	if (!t || !shape_is(l, t, cols, rows, n) || !can_mul(l, t))
		return w;
	w.w.data = t->data;
	w.w.type = t->type;
	if (!str_is(t->name, "token_embd.weight") && !str_is(t->name, "position_embd.weight"))
		w.lora = lora_of(l, t, false);
	w.b = vector(l, find(l, tensor_name(l, name, ".bias").z, OPTIONAL), rows, n);
	return w;
}

struct lin load_lin(struct loader *l, const char *name, int64_t rows, int64_t cols, enum need need)
{
	return load_stack(l, name, rows, cols, 1, need);
}

struct lin lin_part(struct loader *l, const struct lin *w, int64_t from, int64_t rows)
{
	struct lin part = *w;

	if (!w->w.data)
		return part;
	part.w.data = (const uint8_t *)w->w.data + (size_t)from * kern_row_bytes(w->w.type, w->w.cols);
	part.w.rows = rows;
	if (w->b)
		part.b = w->b + from;
	part.lora = lora_part(l, w->lora, from, rows);
	return part;
}

void load_attention(struct loader *l, struct layer *y)
{
	const struct model *m = l->m;
	int64_t d = m->info.n_embd, nq = (int64_t)y->n_head * m->head_dim, nk = (int64_t)y->n_head_kv * m->head_dim;
	int64_t nv = (int64_t)y->n_head_kv * m->head_dim_v;
	struct lin qkv = load_lin(l, "attn_qkv", nq + nk + nv, d, OPTIONAL);

	if (qkv.w.data) {
		y->q = lin_part(l, &qkv, 0, nq);
		y->k = lin_part(l, &qkv, nq, nk);
		y->v = lin_part(l, &qkv, nq + nk, nv);
	} else {
		y->q = load_lin(l, "attn_q", nq, d, REQUIRED);
		y->k = load_lin(l, "attn_k", nk, d, REQUIRED);
		y->v = load_lin(l, "attn_v", nv, d, REQUIRED);
	}
	y->o = load_lin(l, "attn_output", d, (int64_t)y->n_head * m->head_dim_v, REQUIRED);
}

void load_ffn(struct loader *l, struct layer *y, enum ffn_form form)
{
	int64_t d = l->m->info.n_embd, ff = y->n_ff;

	if (form == FFN_FUSED) {
		struct lin both = load_lin(l, "ffn_up", 2 * ff, d, REQUIRED);

		y->gate = lin_part(l, &both, 0, ff);
		y->up = lin_part(l, &both, ff, ff);
	} else {
		if (form == FFN_GATED)
			y->gate = load_lin(l, "ffn_gate", ff, d, REQUIRED);
		y->up = load_lin(l, "ffn_up", ff, d, REQUIRED);
	}
	y->down = load_lin(l, "ffn_down", d, ff, REQUIRED);
}

void load_experts(struct loader *l, struct layer *y)
{
	struct model *m = l->m;
	struct experts *x = &y->moe;
	int64_t d = m->info.n_embd, n = m->n_experts, ff = (int64_t)load_u32_or(l, "expert_feed_forward_length",
										MODEL_MAX_DIM, (uint32_t)y->n_ff);
	struct lin both;

	if (m->n_experts < 1 || m->n_used < 1 || m->n_used > m->n_experts || ff < 1) {
		load_fail(l, "%d experts, %d of them used, of length %lld: no such mixture", m->n_experts, m->n_used,
			  (long long)ff);
		return;
	}
	y->n_ff = (int32_t)ff;
	x->router = load_lin(l, "ffn_gate_inp", n, d, REQUIRED);
	x->select_bias = load_vec(l, "exp_probs_b.bias", n, OPTIONAL);
	both = load_stack(l, "ffn_gate_up_exps", 2 * ff, d, n, OPTIONAL);
	if (both.w.data) {
		x->gate = lin_part(l, &both, 0, ff);
		x->up = lin_part(l, &both, ff, ff);
		x->gate_step = x->up_step = (size_t)(2 * ff) * kern_row_bytes(both.w.type, d);
	} else {
		x->gate = load_stack(l, "ffn_gate_exps", ff, d, n, REQUIRED);
		x->up = load_stack(l, "ffn_up_exps", ff, d, n, REQUIRED);
		x->gate_step = (size_t)ff * kern_row_bytes(x->gate.w.type, d);
		x->up_step = (size_t)ff * kern_row_bytes(x->up.w.type, d);
	}
	x->down = load_stack(l, "ffn_down_exps", d, ff, n, REQUIRED);
	x->down_step = (size_t)d * kern_row_bytes(x->down.w.type, ff);
}

void load_ends(struct loader *l)
{
	struct model *m = l->m;
	int64_t d = m->info.n_embd, v = m->info.n_vocab;

	l->layer = -1;
	m->embd = load_lin(l, "token_embd", v, d, REQUIRED).w;
	m->out_norm = load_norm(l, "output_norm", d, REQUIRED);
	m->out = load_lin(l, "output", v, d, OPTIONAL);
	if (!m->out.w.data)
		m->out.w = m->embd;
}

void load_classifier(struct loader *l)
{
	const struct gguf_tensor *t = gguf_find_tensor(l->g, "cls.output.weight");
	int64_t d = l->m->info.n_embd;

	l->layer = -1;
	l->m->cls = load_lin(l, "cls", d, d, OPTIONAL);
	l->m->cls_norm = load_norm(l, "cls.norm", d, OPTIONAL);
	if (t && t->ne[1] > 0 && t->ne[1] <= MODEL_MAX_LABELS)
		l->m->cls_out = load_lin(l, "cls.output", t->ne[1], d, REQUIRED);
}

struct layer *load_layer(struct loader *l, int i)
{
	struct model *m = l->m;
	struct layer *y = &m->layers[i];

	l->layer = i;
	y->n_head = (int32_t)load_elem_u32(l, "attention.head_count", (uint32_t)i, MODEL_MAX_DIM, 0);
	y->n_head_kv = (int32_t)load_elem_u32(l, "attention.head_count_kv", (uint32_t)i, MODEL_MAX_DIM,
					      (uint32_t)y->n_head);
	y->n_ff = (int32_t)load_elem_u32(l, "feed_forward_length", (uint32_t)i, MODEL_MAX_DIM, 0);
	if (y->n_head < 1 || y->n_head_kv < 1 || y->n_head % y->n_head_kv)
		load_fail(l, "layer %d has %d heads for %d key-value heads", i, y->n_head, y->n_head_kv);
	return y;
}

void load_windows(struct loader *l, uint32_t window, uint32_t period, bool dense_first)
{
	struct model *m = l->m;
	const struct gguf_key *k = gguf_find(l->g, key_name(l, "attention.sliding_window_pattern").z);
	bool array = k && k->kind == GGUF_K_ARRAY;

	if (k && !array)
		period = load_u32(l, "attention.sliding_window_pattern", MODEL_MAX_LAYERS);
	for (int32_t i = 0; i < m->info.n_layer && window && !l->failed; i++) {
		uint32_t at = period ? (uint32_t)i % period : 1;
		bool local = dense_first ? at > 0 : at + 1 < period;

		if (array)
			local = load_elem_u32(l, "attention.sliding_window_pattern", (uint32_t)i, UINT32_MAX, 0) != 0;
		m->layers[i].window = local ? (int32_t)window : 0;
	}
}

/* ---- angles ------------------------------------------------------------------------------------ */

struct scaling {
	float factor;               /* angles are divided by it; 1: none */
	bool yarn, whole;           /* whole: the ramp begins and ends at a pair */
	float beta_fast, beta_slow;
	float log_mul;              /* takes back of the growth of cos and sin: DeepSeek's mscale_all_dim */
	uint32_t n_orig;
	const float *factors;       /* [n_rot / 2] divide each frequency, or NULL */
	float attn;                 /* of cos and sin */
};

/*
 * Frequencies of one table. YaRN (Peng et al. 2023, as ggml computes it): pair i turns with a mix of the scaled and the
 * plain frequency by a ramp over i between the pairs that turn beta_fast and beta_slow times within n_orig positions.
 */
static void fill_rope(struct loader *l, struct rope *r, double base, const struct scaling *s)
{
	int32_t n = l->m->n_rot, pairs = n / 2;
	double lo = 0, hi = 1;

	r->freq = load_alloc(l, (size_t)pairs, sizeof *r->freq);
	if (!r->freq)
		return;
	r->scale = s->attn;
	if (s->yarn) {
		double c = n / (2 * log(base));

		lo = c * log(s->n_orig / (2 * M_PI * (double)s->beta_fast));
		hi = c * log(s->n_orig / (2 * M_PI * (double)s->beta_slow));
		lo = fmax(0, s->whole ? floor(lo) : lo);
		hi = fmin(n - 1, s->whole ? ceil(hi) : hi);
		r->scale *= (1 + 0.1f * logf(s->factor)) / (1 + 0.1f * s->log_mul * logf(s->factor));
	}
	for (int32_t i = 0; i < pairs; i++) {
		double plain = pow(base, -2.0 * i / n) / (s->factors ? (double)s->factors[i] : 1);
		double scaled = plain / (double)s->factor;
		double ramp = s->yarn ? 1 - fmin(1, fmax(0, (i - lo) / fmax(0.001, hi - lo))) : 0;

		r->freq[i] = scaled * (1 - ramp) + plain * ramp;
	}
}

static struct scaling read_scaling(struct loader *l)
{
	struct model *m = l->m;
	struct str type = load_str_or(l, "rope.scaling.type", "");
	struct scaling s = { .factor = 1, .attn = load_f32_or(l, "rope.scaling.attn_factor", 1) };
	uint32_t n_ctx = (uint32_t)m->info.n_ctx_train;

	s.n_orig = load_u32_or(l, "rope.scaling.original_context_length", UINT32_MAX, n_ctx);
	s.beta_fast = load_f32_or(l, "rope.scaling.yarn_beta_fast", 32);
	s.beta_slow = load_f32_or(l, "rope.scaling.yarn_beta_slow", 1);
	s.log_mul = load_f32_or(l, "rope.scaling.yarn_log_multiplier", 0);
	s.whole = load_flag_or(l, "rope.scaling.yarn_truncate", true); /* ours: of gpt-oss, which llama.cpp rounds */
	l->layer = -1;
	if (str_is(type, "longrope")) {
		/* which factors: by the context that the model is made for, so that no number depends on a run's length */
		bool longer = n_ctx > s.n_orig;
		const float *lf = load_vec(l, "rope_factors_long.weight", m->n_rot / 2, REQUIRED);
		const float *sf = load_vec(l, "rope_factors_short.weight", m->n_rot / 2, REQUIRED);

		s.factors = longer ? lf : sf;
		return s;
	}
	s.factors = load_vec(l, "rope_freqs.weight", m->n_rot / 2, OPTIONAL);
	s.yarn = str_is(type, "yarn");
	if (s.yarn || str_is(type, "linear"))
		s.factor = load_f32(l, "rope.scaling.factor");
	else if (type.n && !str_is(type, "none"))
		load_fail(l, "rope scaling \"" STR_FMT "\" is not known", STR_ARG(type));
	else
		s.factor = load_f32_or(l, "rope.scale_linear", 1); /* of files before rope.scaling */
	if (!(s.factor > 0) || !s.n_orig)
		load_fail(l, "rope scaling by %g from %u positions", (double)s.factor, s.n_orig);
	return s;
}

void load_rope(struct loader *l, bool neox)
{
	struct scaling s = read_scaling(l);
	float base = load_f32_or(l, "rope.freq_base", 10000);

	l->m->neox = neox;
	if (!(base > 1))
		load_fail(l, "key %s.rope.freq_base is %g", l->arch, (double)base);
	fill_rope(l, &l->m->rope[0], (double)base, &s);
}

void load_rope_local(struct loader *l, float base, bool scaled)
{
	struct scaling plain = { .factor = 1, .attn = 1 };
	struct scaling s = scaled ? read_scaling(l) : plain;

	base = load_f32_or(l, "rope.freq_base_swa", base);
	if (!(base > 1))
		load_fail(l, "key %s.rope.freq_base_swa is %g", l->arch, (double)base);
	fill_rope(l, &l->m->rope[1], (double)base, &s);
	for (int32_t i = 0; i < l->m->info.n_layer && !l->failed; i++)
		if (l->m->layers[i].window)
			l->m->layers[i].rope = 1;
}

/* ---- the whole --------------------------------------------------------------------------------- */

#define ARCH_ROW(name, load) { name, load },
#define ARCH_NAME(name, load) name,
static const struct arch {
	const char *name;
	void (*load)(struct loader *l);
} archs[] = { ARCHS(ARCH_ROW) };
static const char *const arch_names[] = { ARCHS(ARCH_NAME) NULL };

const char *const *model_archs(void)
{
	return arch_names;
}

static const struct arch *find_arch(struct str name, struct err *e)
{
	char list[512] = "";
	size_t n = 0;

	for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
		if (str_is(name, archs[i].name))
			return &archs[i];
		if (n < sizeof list)
			n += (size_t)snprintf(list + n, sizeof list - n, " %s", archs[i].name);
	}
	err_set(e, ERR_OPEN, "the architecture \"" STR_FMT "\" is not one of those that run here:%s", STR_ARG(name), list);
	return NULL;
}

static void read_common(struct loader *l)
{
	struct model *m = l->m;
	struct model_info *i = &m->info;
	const struct gguf_key *tokens = gguf_find(l->g, "tokenizer.ggml.tokens");
	uint32_t heads, pool;

	i->n_ctx_train = (int32_t)load_u32(l, "context_length", INT32_MAX);
	i->n_embd = (int32_t)load_u32(l, "embedding_length", MODEL_MAX_DIM);
	i->n_layer = (int32_t)load_u32(l, "block_count", MODEL_MAX_LAYERS);
	heads = load_u32(l, "attention.head_count", MODEL_MAX_DIM);
	i->n_head = (int32_t)heads;
	i->n_head_kv = (int32_t)load_u32_or(l, "attention.head_count_kv", MODEL_MAX_DIM, heads);
	i->n_vocab = tokens && tokens->kind == GGUF_K_ARRAY && tokens->n <= MODEL_MAX_VOCAB ? (int32_t)tokens->n :
											(int32_t)load_u32(l, "vocab_size", MODEL_MAX_VOCAB);
	if (l->failed)
		return;
	if (!heads || !i->n_embd || !i->n_layer || !i->n_vocab || !i->n_ctx_train) {
		load_fail(l, "a count of %s.* is 0", l->arch);
		return;
	}
	m->head_dim = (int32_t)load_u32_or(l, "attention.key_length", MODEL_MAX_DIM, (uint32_t)i->n_embd / heads);
	m->head_dim_v = (int32_t)load_u32_or(l, "attention.value_length", MODEL_MAX_DIM, (uint32_t)i->n_embd / heads);
	m->n_rot = (int32_t)load_u32_or(l, "rope.dimension_count", MODEL_MAX_DIM, (uint32_t)m->head_dim);
	if (m->head_dim < 1 || m->head_dim_v < 1 || m->n_rot < 2 || m->n_rot % 2 || m->n_rot > m->head_dim)
		load_fail(l, "heads of %d and %d, %d of them turned: no such shape", m->head_dim, m->head_dim_v, m->n_rot);
	m->causal = load_flag_or(l, "attention.causal", true);
	m->scale_attn = load_f32_or(l, "attention.scale", 0);
	if (!(m->scale_attn > 0))
		m->scale_attn = 1 / sqrtf((float)m->head_dim);
	m->scale_embd = m->scale_resid = m->scale_out = m->scale_experts = 1;
	m->n_experts = (int32_t)load_u32_or(l, "expert_count", MODEL_MAX_EXPERTS, 0);
	m->n_used = (int32_t)load_u32_or(l, "expert_used_count", MODEL_MAX_USED, 0);
	m->gating = (enum gating)load_u32_or(l, "expert_gating_func", GATING_SOFTMAX_CHOSEN, GATING_SOFTMAX);
	m->norm_weights = load_flag_or(l, "expert_weights_norm", true);
	m->scale_experts = load_f32_or(l, "expert_weights_scale", 1);
	if (!(m->scale_experts > 0))
		m->scale_experts = 1;
	pool = load_u32_or(l, "pooling_type", MODEL_POOL_RANK, MODEL_POOL_NONE);
	i->pooling = (enum model_pooling)pool;
	m->layers = load_alloc(l, (size_t)i->n_layer, sizeof *m->layers);
}

static void check_rest(struct loader *l)
{
	for (size_t i = 0; i < gguf_n_tensors(l->g) && !l->failed; i++)
		if (!l->used[i])
			load_fail(l, "tensor " STR_FMT " has no place in the architecture %s",
				  STR_ARG(gguf_tensor_at(l->g, i)->name), l->arch);
}

int model_load(struct model *m, const struct gguf *g, const struct model_lora *loras, size_t n_loras, struct err *e)
{
	struct loader l = { .m = m, .g = g, .layer = -1, .e = e };
	struct str name;
	const struct arch *a;

	if (gguf_str(&name, g, "general.architecture", e))
		return -1;
	a = find_arch(name, e);
	if (!a)
		return -1;
	l.arch = m->info.arch = a->name;
	l.used = calloc(gguf_n_tensors(g) + 1, sizeof *l.used);
	if (!l.used)
		return err_nomem(e);
	l.failed = lora_open(&l, loras, n_loras, e);
	if (!l.failed)
		read_common(&l);
	if (!l.failed)
		a->load(&l);
	if (!l.failed)
		m->embd_lora = lora_of(&l, gguf_find_tensor(g, "token_embd.weight"), true);
	if (!l.failed)
		check_rest(&l);
	if (!l.failed)
		lora_check_rest(&l);
	lora_close(&l);
	free(l.used);
	return l.failed ? -1 : 0;
}
