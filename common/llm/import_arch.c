/*
 * import_arch: one table an architecture from the tensor names of Hugging Face folders to GGUF's,
 * and the keys that its config.json fills. Names and keys: ggml-org/llama.cpp
 * gguf-py/gguf/{constants,tensor_mapping}.py, conversion/.
 */
#include "config.h"
#include "llm/import_impl.h"
#include "base/banned.h"
#include <math.h>

enum {
	ROW_NEED = 1,   /* the weight must be there */
	ROW_BIAS = 2,   /* and the bias */
	ROW_Q = 4,      /* rows to the order of NORM rotary pairs, by the number of heads */
	ROW_K = 8,      /* the same by the number of key and value heads */
	ROW_VOCAB = 16, /* one row a token */
	ROW_PLUS_1 = 32 /* a norm that is kept less 1 there */
};

struct import_row {
	const char *hf, *gguf; /* without ".weight"; '*' is the layer */
	int flags;
};

struct import_arch {
	const char *name;              /* general.architecture */
	const char *const *classes;    /* in config.json's architectures; NULL-terminated */
	const char *prefix;            /* of most names in some folders, lacking in others */
	const struct import_row *rows; /* ended by a NULL */
	const char *const *ignored;    /* beginnings of useless names; NULL-terminated */
	int (*keys)(struct gguf_writer *w, const struct import *im, struct err *e);
	int (*extra)(struct import *im, struct err *e); /* tensors that are none there, or NULL */
};

static int add_item(struct import *im, const struct pack_item *it, struct err *e)
{
	if (im->n == im->cap) {
		size_t cap = im->cap ? 2 * im->cap : 256;
		struct pack_item *p = ckd_realloc(im->items, cap, sizeof *p);

		if (!p)
			return err_nomem(e);
		im->items = p;
		im->cap = cap;
	}
	im->items[im->n++] = *it;
	im->n_params += (uint64_t)(it->ne[0] * it->ne[1] * it->ne[2] * it->ne[3]);
	return 0;
}

/* "ARCH.suffix". */
static const char *key(char buf[128], const struct import *im, const char *suffix)
{
	snprintf(buf, 128, "%s.%s", import_arch_name(im), suffix);
	return buf;
}

/* Keys that every transformer here has. */
static int put_common(struct gguf_writer *w, const struct import *im, struct err *e)
{
	static const struct {
		const char *cfg, *key;
	} map[] = { { "num_hidden_layers|n_layers|n_layer", "block_count" },
		    { "max_position_embeddings|n_positions", "context_length" },
		    { "hidden_size|n_embd|dim", "embedding_length" },
		    { "intermediate_size|n_inner|hidden_dim", "feed_forward_length" },
		    { "num_attention_heads|n_heads|n_head", "attention.head_count" } };
	char k[128];

	for (size_t i = 0; i < sizeof map / sizeof *map; i++) {
		uint32_t v;

		if (import_cfg_u32(&v, im, map[i].cfg, true, e) ||
		    gguf_put_u32(w, key(k, im, map[i].key), v, e))
			return -1;
	}
	return 0;
}

/* ---- decoders with rotary positions ------------------------------------------------------ */

static int head_dim(uint32_t *out, const struct import *im, struct err *e)
{
	uint32_t d = 0, heads = 0;

	if (import_cfg_u32(&d, im, "hidden_size", true, e) ||
	    import_cfg_u32(&heads, im, "num_attention_heads", true, e))
		return -1;
	*out = heads ? d / heads : 0;
	if (import_cfg_u32(out, im, "head_dim", false, e))
		return -1;
	if (*out < 2 || *out % 2 || *out > 65536)
		return err_set(e, ERR_OPEN, "config.json: heads of %u elements", *out);
	return 0;
}

/* Rotary parameters: rope_parameters (new; of two kinds of layers those of the global ones), or
 * rope_scaling (old). */
static struct json_val rope_object(const struct import *im)
{
	struct json_val v = import_cfg(im, "rope_parameters|rope_scaling"),
			full = json_get(v, "full_attention");

	return full.type == JSON_OBJECT ? full : v;
}

static struct json_val rope_member(const struct import *im, const char *name)
{
	struct json_val v = json_get(rope_object(im), name);

	return v.type == JSON_NULL ? (struct json_val){ .type = JSON_NONE } : v;
}

static bool rope_type_is(const struct import *im, const char *type)
{
	struct json_val v = rope_member(im, "rope_type");
	char want[32];

	if (v.type == JSON_NONE)
		v = rope_member(im, "type");
	snprintf(want, sizeof want, "\"%s\"", type);
	return v.type == JSON_STRING && str_is(v.raw, want);
}

static int rope_f64(double *out, const struct import *im, const char *name, struct err *e)
{
	struct json_val v = rope_member(im, name);

	if (v.type == JSON_NONE || !json_f64(out, v, e))
		return 0;
	return err_wrap(e, "config.json: rope %s", name);
}

static int rope_keys(struct gguf_writer *w, const struct import *im, struct err *e)
{
	static const struct {
		const char *cfg, *key;
	} yarn[] = { { "extrapolation_factor", "rope.scaling.yarn_ext_factor" },
		     { "attention_factor", "rope.scaling.yarn_attn_factor" },
		     { "beta_fast", "rope.scaling.yarn_beta_fast" },
		     { "beta_slow", "rope.scaling.yarn_beta_slow" } };
	double theta = 10000, factor = 1, ctx = 0;
	bool linear = rope_type_is(im, "linear"), is_yarn = rope_type_is(im, "yarn");
	struct json_val scaling = rope_object(im);
	char k[128];

	if (import_cfg_f64(&theta, im, "rope_theta", false, e) ||
	    rope_f64(&theta, im, "rope_theta", e) || rope_f64(&factor, im, "factor", e) ||
	    rope_f64(&ctx, im, "original_max_position_embeddings", e) ||
	    gguf_put_f32(w, key(k, im, "rope.freq_base"), (float)theta, e))
		return -1;
	if (!linear && !is_yarn) {
		if (scaling.type == JSON_OBJECT && !rope_type_is(im, "llama3") &&
		    !rope_type_is(im, "default"))
			return err_set(e, ERR_UNSUPPORTED,
				       "config.json: rope_scaling %.*s is not supported",
				       (int)(scaling.raw.n < 80 ? scaling.raw.n : 80),
				       scaling.raw.p);
		return 0;
	}
	if (gguf_put_str(w, key(k, im, "rope.scaling.type"), linear ? STR("linear") : STR("yarn"),
			 e) ||
	    gguf_put_f32(w, key(k, im, "rope.scaling.factor"), (float)factor, e))
		return -1;
	if (linear)
		return 0;
	if (ctx < 1 || ctx > 1e9)
		return err_set(e, ERR_OPEN,
			       "config.json: yarn without original_max_position_embeddings");
	if (gguf_put_u32(w, key(k, im, "rope.scaling.original_context_length"), (uint32_t)ctx, e))
		return -1;
	for (size_t i = 0; i < sizeof yarn / sizeof *yarn; i++) {
		double v = 0;

		if (rope_member(im, yarn[i].cfg).type != JSON_NONE &&
		    (rope_f64(&v, im, yarn[i].cfg, e) ||
		     gguf_put_f32(w, key(k, im, yarn[i].key), (float)v, e)))
			return -1;
	}
	return 0;
}

/* Heads, epsilon, rotary positions. */
static int decoder_keys(struct gguf_writer *w, const struct import *im, const char *act,
			struct err *e)
{
	uint32_t heads = 0, kv, dim, explicit_dim = 0;
	double eps;
	char k[128];

	if (import_cfg(im, "num_local_experts|num_experts").type != JSON_NONE)
		return err_set(e, ERR_UNSUPPORTED,
			       "config.json: mixtures of experts are not imported yet");
	if (import_cfg(im, "hidden_act|hidden_activation").type != JSON_NONE &&
	    !import_cfg_is(im, "hidden_act|hidden_activation", act))
		return err_set(e, ERR_UNSUPPORTED, "config.json: hidden_act is not \"%s\"", act);
	if (put_common(w, im, e) || import_cfg_u32(&heads, im, "num_attention_heads", true, e))
		return -1;
	kv = heads;
	if (import_cfg_u32(&kv, im, "num_key_value_heads", false, e) ||
	    import_cfg_f64(&eps, im, "rms_norm_eps", true, e) || head_dim(&dim, im, e) ||
	    import_cfg_u32(&explicit_dim, im, "head_dim", false, e))
		return -1;
	if (gguf_put_u32(w, key(k, im, "attention.head_count_kv"), kv, e) ||
	    gguf_put_f32(w, key(k, im, "attention.layer_norm_rms_epsilon"), (float)eps, e))
		return -1;
	if (explicit_dim && (gguf_put_u32(w, key(k, im, "attention.key_length"), dim, e) ||
			     gguf_put_u32(w, key(k, im, "attention.value_length"), dim, e)))
		return -1;
	return rope_keys(w, im, e);
}

/* ---- llama: Llama 2 and 3, Mistral 7B, TinyLlama, SmolLM2 -------------------------------- */

static const char *const llama_classes[] = { "LlamaForCausalLM", "LLaMAForCausalLM",
					     "MistralForCausalLM", "LlamaModel", NULL };
static const char *const llama_ignored[] = { "rotary_emb.", "layers.*.self_attn.rotary_emb.",
					     NULL };
static const struct import_row llama_rows[] = {
	{ "embed_tokens", "token_embd", ROW_NEED | ROW_VOCAB },
	{ "norm", "output_norm", ROW_NEED },
	{ "lm_head", "output", ROW_VOCAB },
	{ "layers.*.input_layernorm", "blk.*.attn_norm", ROW_NEED },
	{ "layers.*.self_attn.q_proj", "blk.*.attn_q", ROW_NEED | ROW_Q },
	{ "layers.*.self_attn.k_proj", "blk.*.attn_k", ROW_NEED | ROW_K },
	{ "layers.*.self_attn.v_proj", "blk.*.attn_v", ROW_NEED },
	{ "layers.*.self_attn.o_proj", "blk.*.attn_output", ROW_NEED },
	{ "layers.*.post_attention_layernorm", "blk.*.ffn_norm", ROW_NEED },
	{ "layers.*.mlp.gate_proj", "blk.*.ffn_gate", ROW_NEED },
	{ "layers.*.mlp.up_proj", "blk.*.ffn_up", ROW_NEED },
	{ "layers.*.mlp.down_proj", "blk.*.ffn_down", ROW_NEED },
	{ NULL, NULL, 0 },
};

static int llama_keys(struct gguf_writer *w, const struct import *im, struct err *e)
{
	uint32_t dim;

	if (decoder_keys(w, im, "silu", e) || head_dim(&dim, im, e))
		return -1;
	return gguf_put_u32(w, "llama.vocab_size", (uint32_t)tok_n_vocab(im->tok), e) ||
	       gguf_put_u32(w, "llama.rope.dimension_count", dim, e);
}

/*
 * rope_freqs [d / 2]: Llama 3's divisor of each rotary frequency: 1 for short waves, `factor` for
 * long ones, between them interpolated. Formula: huggingface/transformers modeling_rope_utils.py,
 * _compute_llama3_parameters().
 */
static int llama_extra(struct import *im, struct err *e)
{
	const double pi = 3.14159265358979323846;
	double theta = 10000, factor = 8, low = 1, high = 4, ctx = 8192;
	struct pack_item it = { .name = "rope_freqs.weight", .type = GGUF_F32, .n_dims = 1 };
	uint32_t dim;
	float *v;

	if (!rope_type_is(im, "llama3"))
		return 0;
	if (import_cfg_f64(&theta, im, "rope_theta", false, e) ||
	    rope_f64(&theta, im, "rope_theta", e) || rope_f64(&factor, im, "factor", e) ||
	    rope_f64(&low, im, "low_freq_factor", e) ||
	    rope_f64(&high, im, "high_freq_factor", e) ||
	    rope_f64(&ctx, im, "original_max_position_embeddings", e) || head_dim(&dim, im, e))
		return -1;
	if (!(theta > 0 && factor > 0 && low > 0 && high > low && ctx > 0))
		return err_set(e, ERR_OPEN,
			       "config.json: rope_scaling of type llama3 with impossible numbers");
	v = arena_alloc(&im->a, dim / 2 * sizeof *v);
	if (!v)
		return err_nomem(e);
	for (uint32_t i = 0; i < dim / 2; i++) {
		double wave = 2 * pi * pow(theta, 2.0 * i / dim);
		double smooth = (ctx / wave - low) / (high - low);

		v[i] = (float)(wave < ctx / high  ? 1
			       : wave > ctx / low ? factor
						  : 1 / ((1 - smooth) / factor + smooth));
	}
	it.src = (struct gguf_tensor){ .type = GGUF_F32,
				       .n_dims = 1,
				       .ne = { dim / 2, 1, 1, 1 },
				       .data = (const uint8_t *)v,
				       .bytes = dim / 2 * sizeof *v };
	memcpy(it.ne, it.src.ne, sizeof it.ne);
	return add_item(im, &it, e);
}

/* ---- qwen2, qwen3 ------------------------------------------------------------------------ */

static const char *const qwen2_classes[] = { "Qwen2ForCausalLM", "Qwen2Model", NULL };
static const char *const qwen3_classes[] = { "Qwen3ForCausalLM", "Qwen3Model", NULL };
static const char *const no_names[] = { NULL };
static const struct import_row qwen_rows[] = {
	{ "embed_tokens", "token_embd", ROW_NEED | ROW_VOCAB },
	{ "norm", "output_norm", ROW_NEED },
	{ "lm_head", "output", ROW_VOCAB },
	{ "layers.*.input_layernorm", "blk.*.attn_norm", ROW_NEED },
	{ "layers.*.self_attn.q_proj", "blk.*.attn_q", ROW_NEED },
	{ "layers.*.self_attn.k_proj", "blk.*.attn_k", ROW_NEED },
	{ "layers.*.self_attn.v_proj", "blk.*.attn_v", ROW_NEED },
	{ "layers.*.self_attn.o_proj", "blk.*.attn_output", ROW_NEED },
	{ "layers.*.self_attn.q_norm", "blk.*.attn_q_norm", 0 },
	{ "layers.*.self_attn.k_norm", "blk.*.attn_k_norm", 0 },
	{ "layers.*.post_attention_layernorm", "blk.*.ffn_norm", ROW_NEED },
	{ "layers.*.mlp.gate_proj", "blk.*.ffn_gate", ROW_NEED },
	{ "layers.*.mlp.up_proj", "blk.*.ffn_up", ROW_NEED },
	{ "layers.*.mlp.down_proj", "blk.*.ffn_down", ROW_NEED },
	{ NULL, NULL, 0 },
};

static int qwen_keys(struct gguf_writer *w, const struct import *im, struct err *e)
{
	if (import_cfg(im, "use_sliding_window").type == JSON_TRUE)
		return err_set(e, ERR_UNSUPPORTED,
			       "config.json: use_sliding_window is not supported");
	return decoder_keys(w, im, "silu", e);
}

/* ---- gemma3, text alone ------------------------------------------------------------------ */

static const char *const gemma3_classes[] = { "Gemma3ForCausalLM", NULL };
static const struct import_row gemma3_rows[] = {
	{ "embed_tokens", "token_embd", ROW_NEED | ROW_VOCAB },
	{ "norm", "output_norm", ROW_NEED | ROW_PLUS_1 },
	{ "lm_head", "output", ROW_VOCAB },
	{ "layers.*.input_layernorm", "blk.*.attn_norm", ROW_NEED | ROW_PLUS_1 },
	{ "layers.*.self_attn.q_proj", "blk.*.attn_q", ROW_NEED },
	{ "layers.*.self_attn.k_proj", "blk.*.attn_k", ROW_NEED },
	{ "layers.*.self_attn.v_proj", "blk.*.attn_v", ROW_NEED },
	{ "layers.*.self_attn.o_proj", "blk.*.attn_output", ROW_NEED },
	{ "layers.*.self_attn.q_norm", "blk.*.attn_q_norm", ROW_NEED | ROW_PLUS_1 },
	{ "layers.*.self_attn.k_norm", "blk.*.attn_k_norm", ROW_NEED | ROW_PLUS_1 },
	{ "layers.*.post_attention_layernorm", "blk.*.post_attention_norm", ROW_NEED | ROW_PLUS_1 },
	{ "layers.*.pre_feedforward_layernorm", "blk.*.ffn_norm", ROW_NEED | ROW_PLUS_1 },
	{ "layers.*.post_feedforward_layernorm", "blk.*.post_ffw_norm", ROW_NEED | ROW_PLUS_1 },
	{ "layers.*.mlp.gate_proj", "blk.*.ffn_gate", ROW_NEED },
	{ "layers.*.mlp.up_proj", "blk.*.ffn_up", ROW_NEED },
	{ "layers.*.mlp.down_proj", "blk.*.ffn_down", ROW_NEED },
	{ NULL, NULL, 0 },
};

static int gemma3_keys(struct gguf_writer *w, const struct import *im, struct err *e)
{
	struct json_val local = json_get(json_get(im->cfg, "rope_parameters"), "sliding_attention");
	uint32_t window = 0, period = 6, dim;
	double theta = 10000, scalar;

	if (import_cfg(im, "attn_logit_softcapping|final_logit_softcapping").type != JSON_NONE)
		return err_set(e, ERR_UNSUPPORTED,
			       "config.json: softcapping is not supported in gemma3");
	if (decoder_keys(w, im, "gelu_pytorch_tanh", e) ||
	    import_cfg_u32(&window, im, "sliding_window", true, e) ||
	    import_cfg_u32(&period, im, "sliding_window_pattern|_sliding_window_pattern", false,
			   e) ||
	    import_cfg_f64(&theta, im, "rope_local_base_freq", false, e) || head_dim(&dim, im, e))
		return -1;
	if (period != 6)
		return err_set(e, ERR_UNSUPPORTED, "config.json: sliding_window_pattern is not 6");
	if (json_get(local, "rope_theta").type == JSON_NUMBER &&
	    json_f64(&theta, json_get(local, "rope_theta"), e))
		return -1;
	if (gguf_put_u32(w, "gemma3.attention.sliding_window", window, e) ||
	    gguf_put_f32(w, "gemma3.rope.freq_base_swa", (float)theta, e))
		return -1;
	scalar = dim; /* of queries: 1 / sqrt(it); llama.cpp knows the exception by the model's size
		       */
	if (import_cfg_f64(&scalar, im, "query_pre_attn_scalar", false, e))
		return -1;
	if (!(scalar > 0))
		return err_set(e, ERR_OPEN, "config.json: query_pre_attn_scalar is not positive");
	return scalar == dim
		       ? 0
		       : gguf_put_f32(w, "gemma3.attention.scale", (float)(1 / sqrt(scalar)), e);
}

/* ---- bert: MiniLM, bge, e5, arctic, gte -------------------------------------------------- */

static const char *const bert_classes[] = { "BertModel", "BertForMaskedLM", NULL };
static const char *const bert_ignored[] = { "embeddings.position_ids", "pooler.", "cls.", NULL };
static const struct import_row bert_rows[] = {
	{ "embeddings.word_embeddings", "token_embd", ROW_NEED | ROW_VOCAB },
	{ "embeddings.token_type_embeddings", "token_types", ROW_NEED },
	{ "embeddings.position_embeddings", "position_embd", ROW_NEED },
	{ "embeddings.LayerNorm", "token_embd_norm", ROW_NEED | ROW_BIAS },
	{ "encoder.layer.*.attention.self.query", "blk.*.attn_q", ROW_NEED | ROW_BIAS },
	{ "encoder.layer.*.attention.self.key", "blk.*.attn_k", ROW_NEED | ROW_BIAS },
	{ "encoder.layer.*.attention.self.value", "blk.*.attn_v", ROW_NEED | ROW_BIAS },
	{ "encoder.layer.*.attention.output.dense", "blk.*.attn_output", ROW_NEED | ROW_BIAS },
	{ "encoder.layer.*.attention.output.LayerNorm", "blk.*.attn_output_norm",
	  ROW_NEED | ROW_BIAS },
	{ "encoder.layer.*.intermediate.dense", "blk.*.ffn_up", ROW_NEED | ROW_BIAS },
	{ "encoder.layer.*.output.dense", "blk.*.ffn_down", ROW_NEED | ROW_BIAS },
	{ "encoder.layer.*.output.LayerNorm", "blk.*.layer_output_norm", ROW_NEED | ROW_BIAS },
	{ NULL, NULL, 0 },
};

static int bert_keys(struct gguf_writer *w, const struct import *im, struct err *e)
{
	uint32_t types = 1;
	double eps;

	if (import_cfg(im, "hidden_act").type != JSON_NONE &&
	    !import_cfg_is(im, "hidden_act", "gelu"))
		return err_set(e, ERR_UNSUPPORTED, "config.json: hidden_act is not \"gelu\"");
	if (import_cfg(im, "position_embedding_type").type != JSON_NONE &&
	    !import_cfg_is(im, "position_embedding_type", "absolute"))
		return err_set(e, ERR_UNSUPPORTED,
			       "config.json: position_embedding_type is not \"absolute\"");
	if (put_common(w, im, e) || import_cfg_f64(&eps, im, "layer_norm_eps", true, e) ||
	    import_cfg_u32(&types, im, "type_vocab_size", false, e))
		return -1;
	if (gguf_put_f32(w, "bert.attention.layer_norm_epsilon", (float)eps, e) ||
	    gguf_put_bool(w, "bert.attention.causal", false, e))
		return -1;
	return gguf_put_u32(w, "tokenizer.ggml.token_type_count", types, e);
}

/* ---- all --------------------------------------------------------------------------------- */

static const struct import_arch archs[] = {
	{ "llama", llama_classes, "model.", llama_rows, llama_ignored, llama_keys, llama_extra },
	{ "qwen2", qwen2_classes, "model.", qwen_rows, no_names, qwen_keys, NULL },
	{ "qwen3", qwen3_classes, "model.", qwen_rows, no_names, qwen_keys, NULL },
	{ "gemma3", gemma3_classes, "model.", gemma3_rows, no_names, gemma3_keys, NULL },
	{ "bert", bert_classes, "bert.", bert_rows, bert_ignored, bert_keys, NULL },
};
#define N_ARCHS (sizeof archs / sizeof *archs)

int import_arch_find(struct import *im, struct err *e)
{
	struct json_iter it = json_iter(json_get(im->cfg, "architectures"));
	struct json_val v;
	struct str name = STR("");
	struct buf b;

	while (json_next(&v, &it)) {
		if (json_str(&name, v, &im->a, e))
			return err_wrap(e, "config.json: architectures");
		for (size_t i = 0; i < N_ARCHS; i++)
			for (const char *const *c = archs[i].classes; *c; c++)
				if (str_is(name, *c)) {
					im->arch = &archs[i];
					return 0;
				}
	}
	buf_init(&b, 1024);
	for (size_t i = 0; i < N_ARCHS; i++)
		for (const char *const *c = archs[i].classes; *c; c++)
			buf_addf(&b, " %s", *c);
	err_set(e, ERR_UNSUPPORTED,
		"config.json: the architecture \"%.*s\" is not imported; known are%s",
		(int)(name.n < 60 ? name.n : 60), name.p, buf_str(&b).p);
	buf_release(&b);
	return -1;
}

const char *import_arch_name(const struct import *im)
{
	return im->arch->name;
}

int import_arch_keys(struct gguf_writer *w, const struct import *im, struct err *e)
{
	return im->arch->keys(w, im, e);
}

/* `pattern` with the layer in the place of its '*'. */
static void fill(char *out, size_t size, const char *pattern, uint32_t layer)
{
	const char *star = strchr(pattern, '*');

	if (star)
		snprintf(out, size, "%.*s%u%s", (int)(star - pattern), pattern, layer, star + 1);
	else
		snprintf(out, size, "%s", pattern);
}

/* A tensor with or without the architecture's prefix, marked as used; NULL where there is none. */
static const struct gguf_tensor *find(struct import *im, const char *base, const char *suffix)
{
	char name[320];

	for (int i = 0; i < 2; i++) {
		const struct gguf_tensor *t;

		snprintf(name, sizeof name, "%s%s%s", i ? "" : im->arch->prefix, base, suffix);
		t = safet_find(im->st, name);
		if (t) {
			im->used[t - safet_tensor_at(im->st, 0)] = true;
			return t;
		}
	}
	return NULL;
}

static int check_shape(struct pack_item *it, const struct import *im, int flags, struct err *e)
{
	uint32_t heads = 0;

	if (it->n_dims < 1 || it->n_dims > 2)
		return err_set(e, ERR_OPEN, "tensor %s has %u dimensions", it->name, it->n_dims);
	if (flags & ROW_VOCAB) {
		int64_t n = (int64_t)tok_n_vocab(im->tok);

		if (it->ne[1] < n)
			return err_set(e, ERR_OPEN,
				       "tensor %s has %lld rows, the tokenizer %lld tokens",
				       it->name, (long long)it->ne[1], (long long)n);
		it->ne[1] = n; /* rows beyond are padding that no token names */
	}
	if (!(flags & (ROW_Q | ROW_K)))
		return 0;
	if (import_cfg_u32(&heads, im, "num_attention_heads", true, e) ||
	    (flags & ROW_K && import_cfg_u32(&heads, im, "num_key_value_heads", false, e)))
		return -1;
	it->heads = heads;
	if (heads < 1 || it->ne[it->n_dims - 1] % (2 * it->heads))
		return err_set(e, ERR_OPEN, "tensor %s: %lld rows are no %u heads", it->name,
			       (long long)it->ne[it->n_dims - 1], heads);
	return 0;
}

static int add_tensor(struct import *im, const struct import_row *row, uint32_t layer,
		      const char *suffix, bool need, struct err *e)
{
	char hf[256], gguf[128];
	struct pack_item it = { .type = GGUF_F32 };
	const struct gguf_tensor *t;
	struct str name;

	fill(hf, sizeof hf, row->hf, layer);
	fill(gguf, sizeof gguf, row->gguf, layer);
	t = find(im, hf, suffix);
	if (!t) /* old BERT checkpoints: TensorFlow's words */
		t = find(im, hf, strcmp(suffix, ".weight") ? ".beta" : ".gamma");
	if (!t)
		return need ? err_set(e, ERR_OPEN, "tensor %s%s is missing", hf, suffix) : 0;
	snprintf(gguf + strlen(gguf), sizeof gguf - strlen(gguf), "%s", suffix);
	name = arena_str(&im->a, str_of(gguf));
	if (!name.p)
		return err_nomem(e);
	it.name = name.p;
	it.n_dims = t->n_dims;
	it.src = *t;
	it.add = row->flags & ROW_PLUS_1 ? 1.0f : 0.0f;
	memcpy(it.ne, t->ne, sizeof it.ne);
	return check_shape(&it, im, row->flags, e) || add_item(im, &it, e) ? -1 : 0;
}

/* A name that has no row: of no use here, or an error. */
static int check_unused(const struct import *im, struct err *e)
{
	for (size_t i = 0; i < safet_n_tensors(im->st); i++) {
		struct str name = safet_tensor_at(im->st, i)->name, s = name;
		bool ignored = false;

		if (im->used[i])
			continue;
		if (str_starts(s, str_of(im->arch->prefix)))
			s = str_sub(s, strlen(im->arch->prefix), s.n);
		for (const char *const *p = im->arch->ignored; *p && !ignored; p++) {
			const char *star = strchr(*p, '*');
			size_t head = star ? (size_t)(star - *p) : strlen(*p), at = head;

			if (!str_starts(s, (struct str){ *p, head }))
				continue;
			while (star && at < s.n && s.p[at] >= '0' && s.p[at] <= '9')
				at++;
			ignored = !star || str_starts(str_sub(s, at, s.n), str_of(star + 1));
		}
		if (!ignored)
			return err_set(e, ERR_UNSUPPORTED, "tensor %.*s has no place in a %s model",
				       (int)(name.n < 100 ? name.n : 100), name.p, im->arch->name);
	}
	return 0;
}

int import_arch_tensors(struct import *im, struct err *e)
{
	struct pack_model m = { .tied = true, .encoder = strstr(im->arch->name, "bert") };
	struct json_val tie = import_cfg(im, "tie_word_embeddings");

	if (import_cfg_u32(&m.n_layer, im, "num_hidden_layers|n_layers|n_layer", true, e))
		return -1;
	if (m.n_layer < 1 || m.n_layer > 4096)
		return err_set(e, ERR_OPEN, "config.json: %u layers", m.n_layer);
	if (im->arch->extra && im->arch->extra(im, e))
		return -1;
	for (uint32_t layer = 0; layer <= m.n_layer; layer++) /* first what is of no layer */
		for (const struct import_row *r = im->arch->rows; r->hf; r++) {
			if ((strchr(r->hf, '*') != NULL) != (layer > 0))
				continue;
			if (!strcmp(r->gguf, "output") && tie.type == JSON_TRUE) {
				find(im, r->hf, ".weight"); /* a copy of token_embd */
				continue;
			}
			if (add_tensor(im, r, layer ? layer - 1 : 0, ".weight", r->flags & ROW_NEED,
				       e) ||
			    add_tensor(im, r, layer ? layer - 1 : 0, ".bias", r->flags & ROW_BIAS,
				       e))
				return -1;
		}
	for (size_t i = 0; i < im->n; i++)
		if (!strcmp(im->items[i].name, "output.weight"))
			m.tied = false;
	for (size_t i = 0; i < im->n; i++) {
		struct pack_item *it = &im->items[i];

		if (pack_is_weight(str_of(it->name), it->n_dims))
			it->type = pack_type(im->kind, &m, str_of(it->name), it->ne[0]);
	}
	return check_unused(im, e);
}
