/* import_keys: config.json's members, and the keys that many architectures fill from them. Names:
 * ggml-org/llama.cpp gguf-py/gguf/constants.py, conversion/base.py; meaning:
 * huggingface/transformers configuration_*.py, modeling_rope_utils.py. */
#include "config.h"
#include "llm/import_impl.h"
#include "base/banned.h"
#include <float.h>
#include <math.h>

/* ---- members ----------------------------------------------------------------------------- */

void import_fail(struct import *im, enum err_code code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (im->failed)
		return;
	im->failed = true;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	err_set(im->e, code, "%s", text);
}

static struct json_val member(struct json_val of, const char *names)
{
	struct json_val v = { .type = JSON_NONE };
	char name[64];

	while (*names) {
		size_t n = strcspn(names, "|");

		snprintf(name, sizeof name, "%.*s", (int)n, names);
		v = json_get(of, name);
		if (v.type != JSON_NONE && v.type != JSON_NULL)
			return v;
		names += n + (names[n] == '|');
	}
	return (struct json_val){ .type = JSON_NONE };
}

struct json_val import_cfg(const struct import *im, const char *names)
{
	struct json_val v = member(im->text, names);

	if (v.type == JSON_NONE)
		v = member(im->cfg, names);
	return v.type == JSON_NONE ? member(im->defaults, names) : v;
}

/* Of "a|b" the one that is there, else the first: for messages. */
static struct str named(const struct import *im, const char *names)
{
	const char *p = names;
	char one[64];

	while (*p) {
		size_t n = strcspn(p, "|");

		snprintf(one, sizeof one, "%.*s", (int)n, p);
		if (import_cfg(im, one).type != JSON_NONE)
			return (struct str){ p, n };
		p += n + (p[n] == '|');
	}
	return (struct str){ names, strcspn(names, "|") };
}

static bool is_there(struct import *im, struct json_val v, const char *names)
{
	if (v.type == JSON_NONE)
		import_fail(im, ERR_OPEN, "config.json: " STR_FMT " is missing",
			    STR_ARG(named(im, names)));
	return !im->failed;
}

uint32_t import_u32_or(struct import *im, const char *names, uint32_t dflt)
{
	struct json_val v = import_cfg(im, names);
	uint64_t u = dflt;

	if (!im->failed && v.type != JSON_NONE && (json_u64(&u, v, NULL) || u > INT32_MAX))
		import_fail(im, ERR_OPEN, "config.json: " STR_FMT " must be a count",
			    STR_ARG(named(im, names)));
	return im->failed ? 0 : (uint32_t)u;
}

uint32_t import_u32(struct import *im, const char *names)
{
	return is_there(im, import_cfg(im, names), names) ? import_u32_or(im, names, 0) : 0;
}

double import_f64_or(struct import *im, const char *names, double dflt)
{
	struct json_val v = import_cfg(im, names);
	double d = dflt;

	if (!im->failed && v.type != JSON_NONE &&
	    (json_f64(&d, v, NULL) || !(fabs(d) <= (double)FLT_MAX)))
		import_fail(im, ERR_OPEN, "config.json: " STR_FMT " must be a number",
			    STR_ARG(named(im, names)));
	return im->failed ? 0 : d;
}

double import_f64(struct import *im, const char *names)
{
	return is_there(im, import_cfg(im, names), names) ? import_f64_or(im, names, 0) : 0;
}

bool import_flag_or(const struct import *im, const char *names, bool dflt)
{
	struct json_val v = import_cfg(im, names);

	return v.type == JSON_TRUE || (v.type != JSON_FALSE && dflt);
}

static bool string_is(struct json_val v, const char *value)
{
	return v.type == JSON_STRING && v.raw.n == strlen(value) + 2 &&
	       !memcmp(v.raw.p + 1, value, v.raw.n - 2);
}

bool import_is(const struct import *im, const char *names, const char *value)
{
	return string_is(import_cfg(im, names), value);
}

void import_expect(struct import *im, const char *names, const char *value)
{
	struct json_val v = import_cfg(im, names);

	if (v.type != JSON_NONE && !string_is(v, value))
		import_fail(im, ERR_UNSUPPORTED,
			    "config.json: " STR_FMT " is %.*s; only \"%s\" runs here in %s models",
			    STR_ARG(named(im, names)), (int)(v.raw.n < 60 ? v.raw.n : 60), v.raw.p,
			    value, im->arch->name);
}

void import_expect_flag(struct import *im, const char *names, bool value, bool dflt)
{
	if (import_flag_or(im, names, dflt) != value)
		import_fail(im, ERR_UNSUPPORTED,
			    "config.json: %s is %s, which does not run here in %s models", names,
			    value ? "false" : "true", im->arch->name);
}

/* ---- keys -------------------------------------------------------------------------------- */

static const char *key(char buf[160], const struct import *im, const char *suffix)
{
	snprintf(buf, 160, "%s.%s", im->arch->name, suffix);
	return buf;
}

void import_put_u32(struct import *im, const char *suffix, uint32_t v)
{
	char k[160];

	if (!im->failed)
		im->failed = gguf_put_u32(im->w, key(k, im, suffix), v, im->e) != 0;
}

void import_put_f32(struct import *im, const char *suffix, double v)
{
	char k[160];

	if (!im->failed)
		im->failed = gguf_put_f32(im->w, key(k, im, suffix), (float)v, im->e) != 0;
}

void import_put_bool(struct import *im, const char *suffix, bool v)
{
	char k[160];

	if (!im->failed)
		im->failed = gguf_put_bool(im->w, key(k, im, suffix), v, im->e) != 0;
}

void import_put_str(struct import *im, const char *suffix, struct str v)
{
	char k[160];

	if (!im->failed)
		im->failed = gguf_put_str(im->w, key(k, im, suffix), v, im->e) != 0;
}

void import_put_common(struct import *im, uint32_t n_ctx, uint32_t n_ff)
{
	import_put_u32(im, "block_count", import_u32(im, "num_hidden_layers|n_layers|n_layer"));
	import_put_u32(im, "context_length", n_ctx);
	import_put_u32(im, "vocab_size", (uint32_t)tok_n_vocab(im->tok));
	import_put_u32(im, "embedding_length", import_u32(im, "hidden_size|n_embd|dim"));
	import_put_u32(im, "feed_forward_length", n_ff);
	import_put_u32(im, "attention.head_count",
		       import_u32(im, "num_attention_heads|n_heads|n_head"));
}

uint32_t import_head_dim(struct import *im)
{
	uint32_t d = import_u32(im, "hidden_size|n_embd"),
		 heads = import_u32(im, "num_attention_heads|n_head");
	uint32_t n = import_u32_or(im, "head_dim", heads ? d / heads : 0);

	if (n < 2 || n % 2 || n > 65536)
		import_fail(im, ERR_OPEN, "config.json: heads of %u elements", n);
	return im->failed ? 2 : n;
}

/* Experts of each layer, where there are any. */
static void put_experts(struct import *im)
{
	uint32_t n = import_u32_or(im, "num_local_experts|num_experts", 0);
	uint32_t ff = import_u32_or(im, "moe_intermediate_size", 0);

	if (!n)
		return;
	import_put_u32(im, "expert_count", n);
	import_put_u32(im, "expert_used_count",
		       import_u32(im, "num_experts_per_tok|experts_per_token"));
	if (ff)
		import_put_u32(im, "expert_feed_forward_length", ff);
}

void import_put_decoder(struct import *im, const char *act)
{
	uint32_t heads = import_u32(im, "num_attention_heads");
	struct json_val rms = import_cfg(im, "rms_norm_eps");

	if (act)
		import_expect(im, "hidden_activation|hidden_act", act);
	import_put_common(im, import_u32(im, "max_position_embeddings"),
			  import_u32(im, "intermediate_size"));
	import_put_u32(im, "attention.head_count_kv",
		       import_u32_or(im, "num_key_value_heads", heads));
	import_put_f32(im,
		       rms.type != JSON_NONE ? "attention.layer_norm_rms_epsilon"
					     : "attention.layer_norm_epsilon",
		       import_f64(im, "rms_norm_eps|layer_norm_eps|norm_epsilon|norm_eps"));
	if (import_cfg(im, "head_dim").type != JSON_NONE) {
		import_put_u32(im, "attention.key_length", import_head_dim(im));
		import_put_u32(im, "attention.value_length", import_head_dim(im));
	}
	import_put_rope(im);
	put_experts(im);
}

/* ---- rotary positions -------------------------------------------------------------------- */

/* rope_parameters (new; one object a kind of layers where there are two) or rope_scaling (old). */
static struct json_val rope_object(const struct import *im, bool local)
{
	struct json_val v = import_cfg(im, "rope_parameters|rope_scaling");
	struct json_val kind = json_get(v, local ? "sliding_attention" : "full_attention");

	return kind.type == JSON_OBJECT ? kind : v;
}

static struct json_val rope_member(const struct import *im, const char *name, bool local)
{
	return member(rope_object(im, local), name);
}

static bool rope_type_is(const struct import *im, const char *type)
{
	return string_is(rope_member(im, "rope_type|type", false), type);
}

static bool is_longrope(const struct import *im)
{
	return rope_type_is(im, "longrope") || rope_type_is(im, "su");
}

double import_rope_f64(struct import *im, const char *name, bool local, double dflt)
{
	struct json_val v = rope_member(im, name, local);
	double d = dflt;

	if (!im->failed && v.type != JSON_NONE &&
	    (json_f64(&d, v, NULL) || !(fabs(d) <= (double)FLT_MAX)))
		import_fail(im, ERR_OPEN,
			    "config.json: %s of the rotary positions must be a number", name);
	return im->failed ? dflt : d;
}

static double theta(struct import *im)
{
	return import_rope_f64(
		im, "rope_theta", false,
		import_f64_or(im, "rope_theta|global_rope_theta|rotary_emb_base", 10000));
}

static uint32_t n_rot(struct import *im)
{
	double part = import_rope_f64(
		im, "partial_rotary_factor", false,
		import_f64_or(im, "partial_rotary_factor|rope_pct|rotary_emb_fraction", 1));
	uint32_t n = import_head_dim(im);

	if (!(part > 0 && part <= 1))
		import_fail(im, ERR_OPEN, "config.json: partial_rotary_factor %g", part);
	return im->failed ? 2 : (uint32_t)(part * n);
}

static uint32_t n_orig(struct import *im)
{
	uint32_t max = import_u32(im, "max_position_embeddings");
	double n = import_rope_f64(im, "original_max_position_embeddings", false,
				   import_u32_or(im, "original_max_position_embeddings", max));

	if (!(n >= 1 && n <= 1e9) || n != floor(n))
		import_fail(im, ERR_OPEN, "config.json: original_max_position_embeddings %g", n);
	return im->failed ? 1 : (uint32_t)n;
}

/* _compute_yarn_parameters(): what cos and sin are scaled by, less what YaRN itself does. */
static void put_yarn(struct import *im, double factor)
{
	double own = factor > 1 ? 1 + 0.1 * log(factor) : 1,
	       all = import_rope_f64(im, "mscale_all_dim", false, 0);
	double m = import_rope_f64(im, "mscale", false, 0), attn = own;

	if (m > 0 && all > 0 && factor > 1)
		attn = (1 + 0.1 * m * log(factor)) / (1 + 0.1 * all * log(factor));
	attn = import_rope_f64(im, "attention_factor", false, attn);
	if (fabs(attn / own - 1) > 1e-6)
		import_put_f32(im, "rope.scaling.attn_factor", attn / own);
	if (rope_member(im, "truncate", false).type == JSON_FALSE)
		import_put_bool(im, "rope.scaling.yarn_truncate", false);
	if (rope_member(im, "beta_fast", false).type != JSON_NONE)
		import_put_f32(im, "rope.scaling.yarn_beta_fast",
			       import_rope_f64(im, "beta_fast", false, 32));
	if (rope_member(im, "beta_slow", false).type != JSON_NONE)
		import_put_f32(im, "rope.scaling.yarn_beta_slow",
			       import_rope_f64(im, "beta_slow", false, 1));
}

/* _compute_longrope_parameters() */
static void put_longrope(struct import *im)
{
	double orig = n_orig(im),
	       factor = import_rope_f64(im, "factor", false,
					import_u32(im, "max_position_embeddings") / orig);
	double attn = factor > 1 && orig > 1 ? sqrt(1 + log(factor) / log(orig)) : 1;

	import_put_str(im, "rope.scaling.type", STR("longrope"));
	import_put_u32(im, "rope.scaling.original_context_length", n_orig(im));
	import_put_f32(im, "rope.scaling.attn_factor",
		       import_rope_f64(im, "attention_factor", false, attn));
}

void import_put_rope(struct import *im)
{
	struct json_val v = rope_object(im, false);
	double factor = import_rope_f64(im, "factor", false, 1);
	bool yarn = rope_type_is(im, "yarn"), linear = rope_type_is(im, "linear");

	if (!(theta(im) > 1))
		import_fail(im, ERR_OPEN, "config.json: rope_theta %g", theta(im));
	import_put_f32(im, "rope.freq_base", theta(im));
	import_put_u32(im, "rope.dimension_count", n_rot(im));
	if (v.type != JSON_OBJECT || rope_member(im, "rope_type|type", false).type == JSON_NONE ||
	    rope_type_is(im, "default") || rope_type_is(im, "llama3"))
		return;
	if (is_longrope(im)) {
		put_longrope(im);
		return;
	}
	if (!yarn && !linear)
		import_fail(im, ERR_UNSUPPORTED, "config.json: rope_scaling %.*s is not supported",
			    (int)(v.raw.n < 80 ? v.raw.n : 80), v.raw.p);
	if (!(factor > 0 && factor < 1e6))
		import_fail(im, ERR_OPEN, "config.json: rope_scaling by a factor of %g", factor);
	import_put_str(im, "rope.scaling.type", yarn ? STR("yarn") : STR("linear"));
	import_put_f32(im, "rope.scaling.factor", factor);
	if (yarn) {
		import_put_u32(im, "rope.scaling.original_context_length", n_orig(im));
		put_yarn(im, factor);
	}
}

/*
 * rope_freqs [d / 2]: Llama 3's divisor of each rotary frequency: 1 for short waves, `factor` for
 * long ones, between them interpolated. Formula: _compute_llama3_parameters().
 */
static void llama3_tensor(struct import *im)
{
	const double pi = 3.14159265358979323846;
	double base = theta(im), factor = import_rope_f64(im, "factor", false, 8), ctx = n_orig(im);
	double low = import_rope_f64(im, "low_freq_factor", false, 1);
	double high = import_rope_f64(im, "high_freq_factor", false, 4);
	uint32_t n = n_rot(im);
	float *v;

	if (!(base > 0 && factor > 0 && low > 0 && high > low))
		import_fail(im, ERR_OPEN,
			    "config.json: rope_scaling of type llama3 with impossible numbers");
	v = import_new_tensor(im, "rope_freqs.weight", n / 2);
	for (uint32_t i = 0; v && i < n / 2; i++) {
		double wave = 2 * pi * pow(base, 2.0 * i / n);
		double smooth = (ctx / wave - low) / (high - low);

		v[i] = (float)(wave < ctx / high  ? 1
			       : wave > ctx / low ? factor
						  : 1 / ((1 - smooth) / factor + smooth));
	}
}

static void factor_tensor(struct import *im, const char *member_name, const char *name)
{
	struct json_iter it = json_iter(rope_member(im, member_name, false));
	struct json_val x;
	uint32_t n = n_rot(im) / 2;
	float *v = import_new_tensor(im, name, n);
	size_t i = 0;
	double d;

	if (v && json_count(rope_member(im, member_name, false)) != n)
		import_fail(im, ERR_OPEN, "config.json: %s must be a list of %u numbers",
			    member_name, n);
	while (!im->failed && json_next(&x, &it)) {
		if (json_f64(&d, x, NULL) || !(d > 0 && d < 1e9))
			import_fail(im, ERR_OPEN,
				    "config.json: %s must be a list of positive numbers",
				    member_name);
		else
			v[i++] = (float)d;
	}
}

void import_rope_tensors(struct import *im)
{
	if (rope_type_is(im, "llama3"))
		llama3_tensor(im);
	if (is_longrope(im)) {
		factor_tensor(im, "long_factor", "rope_factors_long.weight");
		factor_tensor(im, "short_factor", "rope_factors_short.weight");
	}
}

/* ---- windows ----------------------------------------------------------------------------- */

void import_put_windows(struct import *im, uint32_t window, uint32_t period, bool dense_first)
{
	uint32_t n = import_u32(im, "num_hidden_layers"), i = 0;
	struct json_val types = import_cfg(im, "layer_types"), x;
	uint32_t own = import_u32_or(
		im, "sliding_window_pattern|_sliding_window_pattern|global_attn_every_n_layers",
		period);
	struct json_iter it = json_iter(types);
	bool listed = types.type == JSON_ARRAY, differs = false;
	uint8_t local[IMPORT_MAX_LAYERS];
	char k[160];

	if (n > IMPORT_MAX_LAYERS || (listed && json_count(types) != n))
		import_fail(im, ERR_OPEN, "config.json: layer_types names %zu of %u layers",
			    json_count(types), n);
	for (; !im->failed && i < n; i++) {
		bool usual = dense_first ? i % period > 0 : i % period + 1 < period;

		local[i] = own && (dense_first ? i % own > 0 : i % own + 1 < own);
		if (listed && json_next(&x, &it)) {
			local[i] = string_is(x, "sliding_attention");
			if (!local[i] && !string_is(x, "full_attention"))
				import_fail(im, ERR_UNSUPPORTED,
					    "config.json: layer_types has %.*s, which does not run "
					    "here",
					    (int)(x.raw.n < 60 ? x.raw.n : 60), x.raw.p);
		}
		differs |= local[i] != usual;
	}
	import_put_u32(im, "attention.sliding_window", window);
	if (differs && !im->failed)
		im->failed = gguf_put_array(im->w, key(k, im, "attention.sliding_window_pattern"),
					    GGUF_K_BOOL, local, n, im->e) != 0;
}

void import_note_window(struct import *im)
{
	uint32_t window = import_u32_or(im, "sliding_window", 0);

	if (window && window < import_u32(im, "max_position_embeddings"))
		pack_say(im->watch,
			 "the window of %u tokens is not applied: past it every token sees all "
			 "before it",
			 window);
}
