/* Unit tests of import: folders are built here, tensor by tensor, and what comes out is looked at
 * value by value. */
#include "config.h"
#include "llm/pack_impl.h"
#include "tap.h"
#include "base/banned.h"
#include <dirent.h>
#include <ftw.h>
#include <math.h>
#include <unistd.h>

static char root[4096];
static const char *in(const char *name)
{
	static char p[8192];

	snprintf(p, sizeof p, "%s/%s", root, name);
	return p;
}

static void put(const char *name, const void *p, size_t n)
{
	FILE *f = fopen(in(name), "wb");

	if (!f || fwrite(p, 1, n, f) != n || fclose(f))
		printf("# cannot write %s\n", name);
}

static void put_text(const char *name, const char *z)
{
	put(name, z, strlen(z));
}

/* ---- a safetensors file, F32: element (r, c) of the k-th tensor is k + r / 4 + c / 256
 * --------------------------------- */

static struct buf head, data;
static unsigned n_tensors;

static float value(unsigned k, int64_t r, int64_t c)
{
	return (float)k + (float)r / 4.0f + (float)c / 256.0f;
}

static void st_begin(void)
{
	buf_reset(&head);
	buf_reset(&data);
	n_tensors = 0;
	buf_addc(&head, '{');
}

/* rows 0: one dimension. */
static void st_add(const char *name, int64_t rows, int64_t cols)
{
	size_t from = data.n;

	for (int64_t r = 0; r < (rows ? rows : 1); r++)
		for (int64_t c = 0; c < cols; c++) {
			float x = value(n_tensors, r, c);

			buf_add(&data, &x, sizeof x);
		}
	buf_addf(&head, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", n_tensors ? "," : "", name);
	if (rows)
		buf_addf(&head, "%lld,", (long long)rows);
	buf_addf(&head, "%lld],\"data_offsets\":[%zu,%zu]}", (long long)cols, from, data.n);
	n_tensors++;
}

static void st_end(void)
{
	uint64_t n;
	struct buf b;

	buf_addc(&head, '}');
	n = head.n;
	buf_init(&b, 1 << 24);
	buf_add(&b, &n, 8);
	buf_adds(&b, buf_str(&head));
	buf_adds(&b, buf_str(&data));
	put("hf/model.safetensors", b.p, b.n);
	buf_release(&b);
}

/* ---- folders ----------------------------------------------------------------------------- */

#define VOCAB 8
static const char tokenizer[] =
	"{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["
	"{\"id\":0,\"content\":\"[PAD]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
	"\"normalized\":false,"
	"\"special\":true},"
	"{\"id\":1,\"content\":\"[UNK]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
	"\"normalized\":false,"
	"\"special\":true},"
	"{\"id\":2,\"content\":\"[CLS]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
	"\"normalized\":false,"
	"\"special\":true},"
	"{\"id\":3,\"content\":\"[SEP]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
	"\"normalized\":false,"
	"\"special\":true}],"
	"\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":"
	"true,"
	"\"strip_accents\":null,\"lowercase\":true},\"pre_tokenizer\":{\"type\":"
	"\"BertPreTokenizer\"},"
	"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
	"\"[CLS]\",\"type_id\":0}},"
	"{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_"
	"id\":0}}],"
	"\"pair\":[{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\","
	"\"type_id\":0}},"
	"{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_"
	"id\":1}},"
	"{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":1}}],\"special_tokens\":{"
	"\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[2],\"tokens\":[\"[CLS]\"]},"
	"\"[SEP]\":{\"id\":\"[SEP]\",\"ids\":[3],\"tokens\":[\"[SEP]\"]}}},"
	"\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},"
	"\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":"
	"\"##\","
	"\"max_input_chars_per_word\":100,\"vocab\":{\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":"
	"3,\"the\":4,\"cat\":5,"
	"\"##s\":6,\"sat\":7}}}";

/* 4 heads of 8, 2 of keys and values; VOCAB + 2 rows, of which two are padding. */
static void decoder_tensors(const char *prefix)
{
	static const struct {
		const char *name;
		int64_t rows, cols;
	} t[] = { { "embed_tokens.weight", VOCAB + 2, 32 },
		  { "norm.weight", 0, 32 },
		  { "layers.0.input_layernorm.weight", 0, 32 },
		  { "layers.0.self_attn.q_proj.weight", 32, 32 },
		  { "layers.0.self_attn.k_proj.weight", 16, 32 },
		  { "layers.0.self_attn.v_proj.weight", 16, 32 },
		  { "layers.0.self_attn.o_proj.weight", 32, 32 },
		  { "layers.0.self_attn.q_proj.bias", 0, 32 },
		  { "layers.0.post_attention_layernorm.weight", 0, 32 },
		  { "layers.0.mlp.gate_proj.weight", 64, 32 },
		  { "layers.0.mlp.up_proj.weight", 64, 32 },
		  { "layers.0.mlp.down_proj.weight", 32, 64 } };
	char name[256];

	st_begin();
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		snprintf(name, sizeof name, "%s%s", prefix, t[i].name);
		st_add(name, t[i].rows, t[i].cols);
	}
}

static void llama_tensors(const char *prefix, bool lm_head)
{
	decoder_tensors(prefix);
	st_add("model.layers.0.self_attn.rotary_emb.inv_freq", 0, 4);
	if (lm_head)
		st_add("lm_head.weight", VOCAB + 2, 32);
}

static void decoder_config(const char *class, const char *more)
{
	char text[2048];

	snprintf(text, sizeof text,
		 "{\"architectures\":[\"%s\"],\"hidden_size\":32,\"intermediate_size\":64,"
		 "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"num_hidden_layers\":1,"
		 "\"max_position_embeddings\":128,\"rms_norm_eps\":1e-5,"
		 "\"vocab_size\":10%s}",
		 class, more);
	put_text("hf/config.json", text);
}

static void llama_config(const char *more)
{
	decoder_config("LlamaForCausalLM", more);
}

static int import(const char *type, struct err *e)
{
	struct llm_import_opts o = { .type = type, .threads = 2 };
	char from[8192];

	snprintf(from, sizeof from, "%s", in("hf"));
	unlink(in("out.gguf"));
	return llm_import(from, in("out.gguf"), &o, e);
}

static struct gguf *imported(const char *type)
{
	struct err e = { 0 };
	struct gguf *g = NULL;

	if (import(type, &e) || gguf_open(&g, in("out.gguf"), &e))
		printf("# %s\n", e.text);
	return g;
}

static void refused(const char *type, const char *needle, const char *what)
{
	struct err e = { 0 };
	bool good = import(type, &e) && strstr(e.text, needle) && access(in("out.gguf"), F_OK);

	OK(good, "refused: %s", what);
	if (!good)
		printf("# %s\n", e.text);
}

static float at(const struct gguf *g, const char *name, int64_t r, int64_t c)
{
	const struct gguf_tensor *t = gguf_find_tensor(g, name);
	float x = NAN;

	if (t && t->type == GGUF_F32 && c < t->ne[0] && r < t->ne[1])
		memcpy(&x, t->data + 4 * (r * t->ne[0] + c), 4);
	return x;
}

static bool is_u32(const struct gguf *g, const char *key, uint32_t v)
{
	uint32_t is;

	return !gguf_u32(&is, g, key, NULL) && is == v;
}

static bool is_f32(const struct gguf *g, const char *key, float v)
{
	float is;

	return !gguf_f32(&is, g, key, NULL) && is == v;
}

static bool is_str(const struct gguf *g, const char *key, const char *v)
{
	return str_is(gguf_str_or(g, key, STR("(none)")), v);
}

/* ---- llama ------------------------------------------------------------------------------- */

static void test_llama(void)
{
	struct gguf *g;
	bool q = true, k = true, bias = true;

	llama_config(",\"hidden_act\":\"silu\",\"rope_theta\":5000.0");
	put_text("hf/generation_config.json", "{\"temperature\":0.6,\"top_k\":20,\"top_p\":0.9}");
	put_text("hf/README.md", "---\nlanguage: en\nlicense: apache-2.0\n---\n# x\n");
	put_text("hf/chat_template.jinja", "{{ messages }}");
	llama_tensors("model.", true);
	st_end();
	g = imported("f32");
	OK(g != NULL, "a llama folder");
	if (!g)
		return;
	OK(is_str(g, "general.architecture", "llama") && is_str(g, "general.name", "hf") &&
		   is_str(g, "general.license", "apache-2.0") && is_u32(g, "general.file_type", 0),
	   "general keys");
	OK(is_u32(g, "llama.block_count", 1) && is_u32(g, "llama.context_length", 128) &&
		   is_u32(g, "llama.embedding_length", 32) &&
		   is_u32(g, "llama.feed_forward_length", 64) &&
		   is_u32(g, "llama.attention.head_count", 4) &&
		   is_u32(g, "llama.attention.head_count_kv", 2) &&
		   is_u32(g, "llama.rope.dimension_count", 8) &&
		   is_u32(g, "llama.vocab_size", VOCAB) &&
		   is_f32(g, "llama.attention.layer_norm_rms_epsilon", 1e-5f) &&
		   is_f32(g, "llama.rope.freq_base", 5000.0f),
	   "keys of the architecture");
	OK(is_str(g, "tokenizer.chat_template", "{{ messages }}"),
	   "the chat template of its own file");
	OK(is_f32(g, "general.sampling.temp", 0.6f) && gguf_find(g, "general.sampling.top_k") &&
		   is_f32(g, "general.sampling.top_p", 0.9f),
	   "the author's sampling");
	OK(gguf_find_tensor(g, "token_embd.weight")->ne[1] == VOCAB &&
		   gguf_find_tensor(g, "output.weight")->ne[1] == VOCAB &&
		   at(g, "token_embd.weight", 7, 31) == value(0, 7, 31) &&
		   at(g, "output.weight", 3, 1) == value(13, 3, 1),
	   "rows without a token are left out");
	for (int64_t r = 0; r < 32; r++) { /* head r / 8: element 2 i + h comes from h * 4 + i */
		int64_t from = r - r % 8 + (r % 2) * 4 + r % 8 / 2;

		q = q && at(g, "blk.0.attn_q.weight", r, 5) == value(3, from, 5);
		k = k && (r >= 16 || at(g, "blk.0.attn_k.weight", r, 5) == value(4, from, 5));
		bias = bias && at(g, "blk.0.attn_q.bias", 0, r) == value(7, 0, from);
	}
	OK(q && k && bias, "rows of q and k, and the bias, are in rotary order");
	OK(at(g, "blk.0.attn_v.weight", 9, 5) == value(5, 9, 5) &&
		   at(g, "blk.0.attn_output.weight", 9, 5) == value(6, 9, 5) &&
		   at(g, "blk.0.ffn_norm.weight", 0, 3) == value(8, 0, 3) &&
		   at(g, "blk.0.ffn_gate.weight", 63, 3) == value(9, 63, 3) &&
		   at(g, "blk.0.ffn_up.weight", 63, 3) == value(10, 63, 3) &&
		   at(g, "blk.0.ffn_down.weight", 31, 60) == value(11, 31, 60) &&
		   at(g, "blk.0.attn_norm.weight", 0, 3) == value(2, 0, 3) &&
		   at(g, "output_norm.weight", 0, 3) == value(1, 0, 3),
	   "all others are in their places");
	OK(gguf_n_tensors(g) == 13, "and nothing else (%zu)", gguf_n_tensors(g));
	gguf_close(g);
}

static void test_llama_forms(void)
{
	struct gguf *g;
	float x;

	unlink(in("hf/chat_template.jinja"));
	put_text("hf/tokenizer_config.json", "{\"chat_template\":\"{{ bos_token }}\"}");
	/* tied; Llama 3's frequencies: numbers of transformers 5 for these parameters, by
	 * _compute_llama3_parameters() */
	llama_config(",\"tie_word_embeddings\":true,\"rope_parameters\":{\"rope_type\":\"llama3\","
		     "\"rope_theta\":500000.0,"
		     "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
		     "\"original_max_position_embeddings\":64}");
	llama_tensors("", true);
	st_end();
	g = imported("q8_0");
	OK(g && is_str(g, "tokenizer.chat_template", "{{ bos_token }}"),
	   "the chat template of tokenizer_config.json");
	OK(g && !gguf_find_tensor(g, "output.weight"),
	   "tied embeddings: no second copy; names without a prefix");
	if (g) {
		x = at(g, "rope_freqs.weight", 0, 1);
		OK(at(g, "rope_freqs.weight", 0, 0) == 1 && at(g, "rope_freqs.weight", 0, 3) == 8 &&
			   x == 8,
		   "divisors of rotary frequencies (%g)", (double)x);
		OK(gguf_find_tensor(g, "blk.0.attn_q.weight")->type == GGUF_Q8_0 &&
			   gguf_find_tensor(g, "blk.0.attn_norm.weight")->type == GGUF_F32 &&
			   gguf_find_tensor(g, "blk.0.attn_q.bias")->type == GGUF_F32 &&
			   gguf_find_tensor(g, "token_embd.weight")->type == GGUF_Q8_0 &&
			   is_u32(g, "general.file_type", 7),
		   "q8_0: matrices are quantized, norms and biases are not");
		gguf_close(g);
	}
	llama_config(",\"rope_theta\":1e6,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4.0,"
		     "\"original_max_position_embeddings\":32}");
	g = imported("f16");
	OK(g && is_str(g, "llama.rope.scaling.type", "yarn") &&
		   is_f32(g, "llama.rope.scaling.factor", 4) &&
		   is_u32(g, "llama.rope.scaling.original_context_length", 32) &&
		   is_f32(g, "llama.rope.freq_base", 1e6f),
	   "yarn");
	OK(g && gguf_find_tensor(g, "output.weight") &&
		   gguf_find_tensor(g, "output.weight")->type == GGUF_F16,
	   "a head of its own when embeddings are not tied");
	gguf_close(g);
	llama_config(",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2.0}");
	refused("f16", "rope_scaling", "another rotary scaling");
	llama_config(",\"hidden_act\":\"relu\"");
	put_text("hf/generation_config.json", "{\"temperature\":-1}");
	refused("f16", "out of range", "an impossible temperature");
	unlink(in("hf/generation_config.json"));
	llama_config(",\"quantization_config\":{\"quant_method\":\"gptq\"}");
	refused("f16", "quantized already", "a quantized folder");
	llama_config(",\"num_local_experts\":8,\"num_experts_per_tok\":2");
	refused("f16", "ffn_gate_inp", "experts that the tensors lack");
}

static void test_llama_refused(void)
{
	float nan = NAN, big = 1e6f;

	llama_config("");
	llama_tensors("model.", false);
	st_add("model.layers.0.self_attn.q_norm.weight", 0, 8);
	st_end();
	refused("f16", "q_norm.weight has no place", "a tensor that has no place");
	llama_tensors("model.", false);
	buf_reset(&head);
	buf_reset(&data);
	st_begin();
	st_add("model.embed_tokens.weight", VOCAB, 32);
	st_add("model.norm.weight", 0, 32);
	st_end();
	refused("f16", "layers.0.input_layernorm.weight is missing", "a missing tensor");
	st_begin();
	st_add("model.embed_tokens.weight", VOCAB - 1, 32);
	st_end();
	refused("f16", "7 rows, the tokenizer 8 tokens", "fewer rows than tokens");
	llama_tensors("model.", false);
	memcpy(data.p + 100, &nan, 4);
	st_end();
	refused("q8_0", "not finite", "a NaN");
	llama_tensors("model.", false);
	memcpy(data.p + 100, &big, 4);
	st_end();
	refused("f16", "do not fit F16", "a value that F16 has not");
	refused("q9", "none of", "an unknown type");
}

/* ---- qwen, gemma ------------------------------------------------------------------------- */

static void gemma3_tensors(const char *prefix)
{
	static const struct {
		const char *name;
		int64_t cols;
	} more[] = { { "self_attn.q_norm", 8 },
		     { "self_attn.k_norm", 8 },
		     { "pre_feedforward_layernorm", 32 },
		     { "post_feedforward_layernorm", 32 } };
	char name[128];

	decoder_tensors(prefix);
	for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
		snprintf(name, sizeof name, "%slayers.0.%s.weight", prefix, more[i].name);
		st_add(name, 0, more[i].cols);
	}
	st_end();
}

static void test_qwen_gemma(void)
{
	struct gguf *g;

	decoder_config("Qwen2ForCausalLM", ",\"hidden_act\":\"silu\",\"use_sliding_window\":false");
	decoder_tensors("model.");
	st_end();
	g = imported("f32");
	OK(g && is_str(g, "general.architecture", "qwen2") &&
		   is_u32(g, "qwen2.attention.head_count_kv", 2) &&
		   at(g, "blk.0.attn_q.weight", 1, 5) == value(3, 1, 5) &&
		   at(g, "blk.0.attn_q.bias", 0, 1) == value(7, 0, 1),
	   "qwen2: rows of q stay in order");
	gguf_close(g);
	decoder_config("Gemma3ForCausalLM",
		       ",\"head_dim\":8,\"hidden_activation\":\"gelu_pytorch_tanh\",\"sliding_"
		       "window\":16,\"query_"
		       "pre_attn_scalar\":64,"
		       "\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\",\"rope_"
		       "theta\":1e6},"
		       "\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":1e4}}");
	gemma3_tensors("model.");
	g = imported("f16");
	OK(g && is_f32(g, "gemma3.rope.freq_base", 1e6f) &&
		   is_f32(g, "gemma3.rope.freq_base_swa", 1e4f) &&
		   is_u32(g, "gemma3.attention.sliding_window", 16) &&
		   is_f32(g, "gemma3.attention.scale", 0.125f),
	   "gemma3: two rotary bases, window, scale of queries");
	OK(g && at(g, "blk.0.ffn_norm.weight", 0, 3) == value(14, 0, 3) + 1 &&
		   at(g, "blk.0.post_ffw_norm.weight", 0, 3) == value(15, 0, 3) + 1 &&
		   at(g, "blk.0.post_attention_norm.weight", 0, 3) == value(8, 0, 3) + 1 &&
		   at(g, "output_norm.weight", 0, 3) == value(1, 0, 3) + 1,
	   "its norms get their 1 back");
	gguf_close(g);
	decoder_config(
		"Gemma3ForCausalLM",
		",\"head_dim\":8,\"sliding_window\":16,\"layer_types\":[\"full_attention\"]");
	g = imported("f16");
	OK(g && gguf_find(g, "gemma3.attention.sliding_window_pattern") &&
		   gguf_find(g, "gemma3.attention.sliding_window_pattern")->n == 1,
	   "another pattern of layers is told");
	gguf_close(g);
	decoder_config("Gemma3ForCausalLM",
		       ",\"head_dim\":8,\"sliding_window\":16,\"layer_types\":[\"chunked\"]");
	refused("f16", "chunked", "a kind of layer that is not known");
	decoder_config("Gemma3ForCausalLM",
		       ",\"head_dim\":8,\"sliding_window\":16,\"layer_types\":[]");
	refused("f16", "layer_types names 0 of 1", "too few kinds of layers");
}

/* ---- forms that tensors have there ---------------------------------------------------------- */

static float at3(const struct gguf *g, const char *name, int64_t s, int64_t r, int64_t c)
{
	const struct gguf_tensor *t = gguf_find_tensor(g, name);
	float x = NAN;

	if (t && t->type == GGUF_F32 && s < t->ne[2] && r < t->ne[1] && c < t->ne[0])
		memcpy(&x, t->data + 4 * ((s * t->ne[1] + r) * t->ne[0] + c), 4);
	return x;
}

/* The shape as the file has it, slowest first; element i of the k-th tensor of these is k + i /
 * 1024. */
static void st_add_n(const char *name, const char *dtype, int n, const int64_t *shape)
{
	size_t from = data.n, count = 1;

	buf_addf(&head, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", n_tensors ? "," : "", name,
		 dtype);
	for (int i = 0; i < n; i++) {
		buf_addf(&head, "%s%lld", i ? "," : "", (long long)shape[i]);
		count *= (size_t)shape[i];
	}
	for (size_t i = 0; i < count; i++) {
		float x = (float)n_tensors + (float)i / 1024.0f;
		uint8_t b = (uint8_t)(i * 37 + 11);

		buf_add(&data, dtype[0] == 'F' ? (void *)&x : &b,
			dtype[0] == 'F' ? sizeof x : sizeof b);
	}
	buf_addf(&head, "],\"data_offsets\":[%zu,%zu]}", from, data.n);
	n_tensors++;
}

static const char moe_config[] = ",\"num_local_experts\":3,\"num_experts_per_tok\":2";

static void test_mixtral(void)
{
	static const char *const kept[] = { "embed_tokens", "norm", "layers.0.input_layernorm",
					    "layers.0.post_attention_layernorm" };
	static const char *const attn[] = { "q", "k", "v", "o" };
	struct gguf *g;
	char name[128];

	decoder_config("MixtralForCausalLM", moe_config);
	for (int lost = 0; lost < 2; lost++) {
		st_begin();
		for (int i = 0; i < 4; i++) {
			snprintf(name, sizeof name, "model.%s.weight", kept[i]);
			st_add(name, i ? 0 : VOCAB, 32);
			snprintf(name, sizeof name, "model.layers.0.self_attn.%s_proj.weight",
				 attn[i]);
			st_add(name, i % 3 ? 16 : 32, 32);
		}
		st_add("model.layers.0.block_sparse_moe.gate.weight", 3, 32);
		for (int i = 0; i < 3 - lost; i++)
			for (int k = 1; k <= 3; k++) {
				snprintf(name, sizeof name,
					 "model.layers.0.block_sparse_moe.experts.%d.w%d.weight", i,
					 k);
				st_add(name, k == 2 ? 32 : 64, k == 2 ? 64 : 32);
			}
		st_end();
		if (lost)
			break;
		g = imported("f32");
		OK(g && is_u32(g, "llama.expert_count", 3) &&
			   is_u32(g, "llama.expert_used_count", 2),
		   "a mixture of experts");
		OK(g && at3(g, "blk.0.ffn_gate_exps.weight", 2, 63, 5) == value(15, 63, 5) &&
			   at3(g, "blk.0.ffn_down_exps.weight", 1, 31, 63) == value(13, 31, 63) &&
			   at3(g, "blk.0.ffn_up_exps.weight", 0, 1, 2) == value(11, 1, 2) &&
			   gguf_find_tensor(g, "blk.0.ffn_gate_inp.weight")->type == GGUF_F32,
		   "one tensor of all experts' matrices");
		gguf_close(g);
		g = imported("q8_0");
		OK(g && gguf_find_tensor(g, "blk.0.ffn_down_exps.weight")->type == GGUF_Q8_0,
		   "which can be quantized");
		gguf_close(g);
	}
	refused("f16", "the matrix of expert 2 is missing", "an expert less than config.json says");
}

static void test_gpt2(void)
{
	static const struct {
		const char *name;
		int64_t rows, cols;
	} t[] = { { "wte.weight", VOCAB, 32 },
		  { "wpe.weight", 16, 32 },
		  { "ln_f.weight", 0, 32 },
		  { "ln_f.bias", 0, 32 },
		  { "h.0.ln_1.weight", 0, 32 },
		  { "h.0.ln_1.bias", 0, 32 },
		  { "h.0.attn.c_attn.weight", 32, 96 },
		  { "h.0.attn.c_attn.bias", 0, 96 },
		  { "h.0.attn.c_proj.weight", 32, 32 },
		  { "h.0.attn.c_proj.bias", 0, 32 },
		  { "h.0.ln_2.weight", 0, 32 },
		  { "h.0.ln_2.bias", 0, 32 },
		  { "h.0.mlp.c_fc.weight", 32, 128 },
		  { "h.0.mlp.c_fc.bias", 0, 128 },
		  { "h.0.mlp.c_proj.weight", 128, 32 },
		  { "h.0.mlp.c_proj.bias", 0, 32 },
		  { "h.0.attn.bias", 4, 4 } };
	struct gguf *g;

	put_text(
		"hf/config.json",
		"{\"architectures\":[\"GPT2LMHeadModel\"],\"n_embd\":32,\"n_head\":4,\"n_layer\":1,"
		"\"n_positions\":16,\"n_inner\":null,\"activation_function\":\"gelu_new\"}");
	st_begin();
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		st_add(t[i].name, t[i].rows, t[i].cols);
	st_end();
	g = imported("f32");
	OK(g && is_u32(g, "gpt2.feed_forward_length", 128) &&
		   at(g, "blk.0.attn_qkv.weight", 90, 3) == value(6, 3, 90) &&
		   at(g, "blk.0.ffn_down.weight", 31, 100) == value(14, 100, 31) &&
		   at(g, "blk.0.attn_qkv.bias", 0, 95) == value(7, 0, 95) &&
		   at(g, "token_embd.weight", 3, 9) == value(0, 3, 9),
	   "gpt2: rows and columns change places");
	gguf_close(g);
}

/* 2 heads of 16 of keys, 3 experts of 32; [E, in, out] with gate and up in turn, or blocks of
 * MXFP4. */
static void gpt_oss_tensors(bool blocks)
{
	static const struct {
		const char *name;
		int64_t rows, cols;
	} t[] = { { "embed_tokens.weight", VOCAB, 32 },
		  { "norm.weight", 0, 32 },
		  { "layers.0.input_layernorm.weight", 0, 32 },
		  { "layers.0.post_attention_layernorm.weight", 0, 32 },
		  { "layers.0.self_attn.q_proj.weight", 32, 32 },
		  { "layers.0.self_attn.q_proj.bias", 0, 32 },
		  { "layers.0.self_attn.k_proj.weight", 16, 32 },
		  { "layers.0.self_attn.k_proj.bias", 0, 16 },
		  { "layers.0.self_attn.v_proj.weight", 16, 32 },
		  { "layers.0.self_attn.v_proj.bias", 0, 16 },
		  { "layers.0.self_attn.o_proj.weight", 32, 32 },
		  { "layers.0.self_attn.o_proj.bias", 0, 32 },
		  { "layers.0.self_attn.sinks", 0, 4 },
		  { "layers.0.mlp.router.weight", 3, 32 },
		  { "layers.0.mlp.router.bias", 0, 3 },
		  { "layers.0.mlp.experts.gate_up_proj_bias", 3, 64 },
		  { "layers.0.mlp.experts.down_proj_bias", 3, 32 } };
	char name[128];

	decoder_config(
		"GptOssForCausalLM",
		",\"num_local_experts\":3,\"num_experts_per_tok\":2,\"sliding_window\":16,"
		"\"intermediate_size\":32,\"quantization_config\":{\"quant_method\":\"mxfp4\"},"
		"\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":32,\"truncate\":false,"
		"\"original_max_position_embeddings\":64}");
	st_begin();
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		snprintf(name, sizeof name, "model.%s", t[i].name);
		st_add(name, t[i].rows, t[i].cols);
	}
#define EXPERTS "model.layers.0.mlp.experts."
	if (!blocks) {
		st_add_n(EXPERTS "gate_up_proj", "F32", 3, (int64_t[]){ 3, 32, 64 });
		st_add_n(EXPERTS "down_proj", "F32", 3, (int64_t[]){ 3, 32, 32 });
	} else {
		st_add_n(EXPERTS "gate_up_proj_blocks", "U8", 4, (int64_t[]){ 3, 64, 1, 16 });
		st_add_n(EXPERTS "gate_up_proj_scales", "U8", 3, (int64_t[]){ 3, 64, 1 });
		st_add_n(EXPERTS "down_proj_blocks", "U8", 4, (int64_t[]){ 3, 32, 1, 16 });
		st_add_n(EXPERTS "down_proj_scales", "U8", 3, (int64_t[]){ 3, 32, 1 });
	}
	st_end();
}

/* Element i of a block: GGUF has i and i + 16 in a byte, gpt-oss 2 j and 2 j + 1. */
static bool same_block(const uint8_t *out, size_t block)
{
	bool same = out[0] == (uint8_t)(block * 37 + 11);

	for (size_t i = 0; i < 32; i++) {
		unsigned there = (uint8_t)((block * 16 + i / 2) * 37 + 11) >> i % 2 * 4 & 15;

		same = same && there == (unsigned)(out[1 + i % 16] >> i / 16 * 4 & 15);
	}
	return same;
}

static void test_gpt_oss(void)
{
	struct gguf *g;
	const struct gguf_tensor *t;

	gpt_oss_tensors(false);
	g = imported("f32");
	OK(g && is_u32(g, "gpt-oss.expert_feed_forward_length", 32) &&
		   !gguf_bool_or(g, "gpt-oss.rope.scaling.yarn_truncate", true) &&
		   at3(g, "blk.0.ffn_gate_exps.weight", 2, 5, 7) ==
			   17 + (float)((2 * 32 + 7) * 64 + 10) / 1024 &&
		   at3(g, "blk.0.ffn_up_exps.weight", 1, 5, 7) ==
			   17 + (float)((32 + 7) * 64 + 11) / 1024 &&
		   at3(g, "blk.0.ffn_down_exps.weight", 0, 30, 2) ==
			   18 + (float)(2 * 32 + 30) / 1024,
	   "gpt-oss: gate and up stand in turn, columns first");
	OK(g && at(g, "blk.0.ffn_gate_exps.bias", 2, 5) == value(15, 2, 10) &&
		   at(g, "blk.0.ffn_up_exps.bias", 2, 5) == value(15, 2, 11) &&
		   at(g, "blk.0.attn_sinks.weight", 0, 3) == value(12, 0, 3),
	   "so do their biases; sinks");
	gguf_close(g);
	gpt_oss_tensors(true);
	g = imported("q8_0");
	t = g ? gguf_find_tensor(g, "blk.0.ffn_up_exps.weight") : NULL;
	OK(t && t->type == GGUF_MXFP4 && t->ne[0] == 32 && t->ne[1] == 32 && t->ne[2] == 3 &&
		   same_block(t->data, 1) && same_block(t->data + 17 * (32 + 9), 64 + 19),
	   "its blocks of MXFP4 stay MXFP4, in GGUF's order");
	gguf_close(g);
	decoder_config(
		"GptOssForCausalLM",
		",\"num_local_experts\":3,\"num_experts_per_tok\":2,\"sliding_window\":16,"
		"\"intermediate_size\":32,\"quantization_config\":{\"quant_method\":\"awq\"}");
	refused("f16", "quantized already", "another quantization");
}

static void test_phi3(void)
{
	struct gguf *g;

	decoder_config(
		"Phi3ForCausalLM",
		",\"original_max_position_embeddings\":64,\"rope_scaling\":{\"type\":\"longrope\","
		"\"short_factor\":[1,1.5,2,2.5],\"long_factor\":[3,4,5,6]}");
	st_begin();
	st_add("model.embed_tokens.weight", VOCAB, 32);
	st_add("model.norm.weight", 0, 32);
	st_add("model.layers.0.input_layernorm.weight", 0, 32);
	st_add("model.layers.0.post_attention_layernorm.weight", 0, 32);
	st_add("model.layers.0.self_attn.qkv_proj.weight", 64, 32);
	st_add("model.layers.0.self_attn.o_proj.weight", 32, 32);
	st_add("model.layers.0.mlp.gate_up_proj.weight", 128, 32);
	st_add("model.layers.0.mlp.down_proj.weight", 32, 64);
	st_end();
	g = imported("f32");
	/* sqrt(1 + log(128 / 64) / log 64) */
	OK(g && is_str(g, "phi3.rope.scaling.type", "longrope") &&
		   is_f32(g, "phi3.rope.scaling.attn_factor", 1.0801234f) &&
		   at(g, "rope_factors_long.weight", 0, 3) == 6 &&
		   at(g, "rope_factors_short.weight", 0, 1) == 1.5f &&
		   at(g, "blk.0.ffn_up.weight", 127, 5) == value(6, 127, 5),
	   "phi3: factors of long contexts");
	gguf_close(g);
	decoder_config("Phi3ForCausalLM",
		       ",\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1],"
		       "\"long_factor\":[1]}");
	refused("f16", "long_factor must be a list of 4 numbers", "factors of another length");
}

/* ---- configurations that cannot be --------------------------------------------------------- */

static void test_absurd(void)
{
	static const struct {
		const char *more, *needle;
	} bad[] = {
		{ ",\"head_dim\":7", "heads of 7" },
		{ ",\"head_dim\":16", "do not agree" },
		{ ",\"num_hidden_layers\":1000000000", "1000000000 layers" },
		{ ",\"num_hidden_layers\":0", "0 layers" },
		{ ",\"num_hidden_layers\":-1", "must be a count" },
		{ ",\"num_hidden_layers\":2", "layers.1.input_layernorm.weight is missing" },
		{ ",\"num_attention_heads\":0", "no 0 heads" },
		{ ",\"num_attention_heads\":5", "no 5 heads" },
		{ ",\"num_key_value_heads\":16", "no 16 heads" },
		{ ",\"hidden_size\":4294967296", "must be a count" },
		{ ",\"hidden_size\":64", "do not agree" },
		{ ",\"intermediate_size\":65", "do not agree" },
		{ ",\"max_position_embeddings\":0", "is 0" },
		{ ",\"rms_norm_eps\":1e999", "must be a number" },
		{ ",\"rms_norm_eps\":\"x\"", "must be a number" },
		{ ",\"rope_theta\":0", "rope_theta 0" },
		{ ",\"partial_rotary_factor\":-1", "partial_rotary_factor -1" },
		{ ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}", "factor of 0" },
		{ ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4,\"original_max_position_"
		  "embeddings\":-3}",
		  "original_max_position_embeddings -3" },
		{ ",\"num_local_experts\":99999,\"num_experts_per_tok\":2", "do not agree" },
	};

	llama_tensors("model.", false);
	st_end();
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		llama_config(bad[i].more); /* of two members of a name the last counts */
		refused("f16", bad[i].needle, bad[i].more);
	}
}

static void shard(const char *to)
{
	char from[8192];

	snprintf(from, sizeof from, "%s", in("hf/model.safetensors"));
	if (rename(from, in(to)))
		printf("# cannot rename to %s\n", to);
}

/* Two shards: one lost, one that has a tensor of the other too. */
static void test_shards(void)
{
	llama_config("");
	llama_tensors("model.", false);
	st_end();
	shard("hf/model-00001-of-00002.safetensors");
	put_text("hf/model.safetensors.index.json",
		 "{\"weight_map\":{\"model.norm.weight\":\"model-00001-of-00002.safetensors\","
		 "\"lm_head.weight\":\"model-00002-of-00002.safetensors\"}}");
	refused("f16", "model-00002-of-00002.safetensors: No such file", "a shard is missing");
	st_begin();
	st_add("lm_head.weight", VOCAB, 32);
	st_add("model.norm.weight", 0, 32);
	st_end();
	shard("hf/model-00002-of-00002.safetensors");
	refused("f16", "model-00002-of-00002.safetensors: tensor model.norm.weight is there twice",
		"a tensor in two shards");
	st_begin();
	st_add("lm_head.weight", VOCAB, 32);
	st_end();
	shard("hf/model-00002-of-00002.safetensors");
	OK(!import("f16", NULL), "whole: two shards");
	unlink(in("hf/model-00002-of-00002.safetensors"));
	unlink(in("hf/model-00001-of-00002.safetensors"));
	unlink(in("hf/model.safetensors.index.json"));
}

/* ---- bert -------------------------------------------------------------------------------- */

static void bert_tensors(const char *prefix, const char *w, const char *b)
{
	static const struct {
		const char *name;
		int64_t rows, cols;
		int parts; /* 1 weight; 2 and bias; 3 a norm */
	} t[] = { { "embeddings.word_embeddings", VOCAB, 32, 1 },
		  { "embeddings.position_embeddings", 16, 32, 1 },
		  { "embeddings.token_type_embeddings", 2, 32, 1 },
		  { "embeddings.LayerNorm", 0, 32, 3 },
		  { "encoder.layer.0.attention.self.query", 32, 32, 2 },
		  { "encoder.layer.0.attention.self.key", 32, 32, 2 },
		  { "encoder.layer.0.attention.self.value", 32, 32, 2 },
		  { "encoder.layer.0.attention.output.dense", 32, 32, 2 },
		  { "encoder.layer.0.attention.output.LayerNorm", 0, 32, 3 },
		  { "encoder.layer.0.intermediate.dense", 64, 32, 2 },
		  { "encoder.layer.0.output.dense", 32, 64, 2 },
		  { "encoder.layer.0.output.LayerNorm", 0, 32, 3 } };
	char name[256];

	st_begin();
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		snprintf(name, sizeof name, "%s%s.%s", prefix, t[i].name,
			 t[i].parts == 3 ? w : "weight");
		st_add(name, t[i].rows, t[i].cols);
		if (t[i].parts == 1)
			continue;
		snprintf(name, sizeof name, "%s%s.%s", prefix, t[i].name,
			 t[i].parts == 3 ? b : "bias");
		st_add(name, 0, t[i].rows ? t[i].rows : t[i].cols);
	}
	snprintf(name, sizeof name, "%spooler.dense.weight", prefix);
	st_add(name, 32, 32);
	st_end();
}

static const char bert_config[] =
	"{\"architectures\":[\"BertModel\"],\"hidden_size\":32,\"intermediate_size\":64,\"num_"
	"attention_heads\":4,"
	"\"num_hidden_layers\":1,\"max_position_embeddings\":16,\"layer_norm_eps\":1e-12,\"hidden_"
	"act\":\"gelu\","
	"\"type_vocab_size\":2,\"position_embedding_type\":\"absolute\",\"vocab_size\":8}";

static void test_bert(void)
{
	struct gguf *g;

	put_text("hf/config.json", bert_config);
	unlink(in("hf/README.md"));
	put_text("hf/modules.json", "[{\"idx\":0,\"name\":\"0\",\"path\":\"\",\"type\":\"sentence_"
				    "transformers.models.Transformer\"},"
				    "{\"idx\":1,\"name\":\"1\",\"path\":\"1_Pooling\",\"type\":"
				    "\"sentence_transformers.models.Pooling\"},"
				    "{\"idx\":2,\"name\":\"2\",\"path\":\"2_Normalize\",\"type\":"
				    "\"sentence_transformers.models.Normalize\"}]");
	put_text("hf/1_Pooling/config.json",
		 "{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":false}");
	put_text("hf/config_sentence_transformers.json",
		 "{\"prompts\":{\"query\":\"query: \",\"passage\":\"passage: "
		 "\"},\"default_prompt_name\":null}");
	put_text("hf/sentence_bert_config.json", "{\"max_seq_length\":12,\"do_lower_case\":false}");
	bert_tensors("", "weight", "bias");
	g = imported("f16");
	OK(g != NULL, "a bert folder");
	if (!g)
		return;
	OK(is_str(g, "general.architecture", "bert") && is_u32(g, "bert.block_count", 1) &&
		   is_u32(g, "bert.context_length", 16) &&
		   is_u32(g, "bert.attention.head_count", 4) &&
		   is_f32(g, "bert.attention.layer_norm_epsilon", 1e-12f) &&
		   !gguf_bool_or(g, "bert.attention.causal", true) &&
		   is_u32(g, "tokenizer.ggml.token_type_count", 2),
	   "keys of the architecture");
	OK(is_u32(g, "bert.pooling_type", 2) && is_str(g, "llmu.prompt.query", "query: ") &&
		   is_str(g, "llmu.prompt.document", "passage: ") &&
		   is_u32(g, "llmu.max_length", 12) && gguf_bool_or(g, "llmu.normalize", false),
	   "pooling, prompts, length limit, normalisation");
	OK(is_str(g, "tokenizer.ggml.model", "bert") &&
		   gguf_find(g, "tokenizer.ggml.tokens")->n == VOCAB,
	   "its tokenizer");
	OK(gguf_n_tensors(g) == 21 &&
		   gguf_find_tensor(g, "position_embd.weight")->type == GGUF_F32 &&
		   gguf_find_tensor(g, "token_types.weight")->type == GGUF_F32 &&
		   gguf_find_tensor(g, "token_embd.weight")->type == GGUF_F16,
	   "positions and token types stay F32");
	OK(at(g, "blk.0.layer_output_norm.bias", 0, 9) == value(20, 0, 9) &&
		   at(g, "blk.0.attn_output_norm.weight", 0, 9) == value(13, 0, 9) &&
		   at(g, "blk.0.ffn_up.bias", 0, 63) == value(16, 0, 63),
	   "norms and biases are in their places");
	gguf_close(g);
	bert_tensors("bert.", "gamma", "beta");
	g = imported("f32");
	OK(g && at(g, "token_embd_norm.bias", 0, 3) == value(4, 0, 3) &&
		   at(g, "blk.0.ffn_down.weight", 31, 63) == value(17, 31, 63),
	   "old names: bert. in front, gamma and beta");
	gguf_close(g);
	put_text("hf/1_Pooling/config.json", "{\"pooling_mode_max_tokens\":true}");
	refused("f16", "only mean, cls and last", "pooling by maximum");
	put_text("hf/modules.json",
		 "[{\"path\":\"2_Dense\",\"type\":\"sentence_transformers.models.Dense\"}]");
	refused("f16", "Dense layer is not supported", "a dense layer behind the pooling");
	put_text("hf/modules.json",
		 "[{\"path\":\"../x\",\"type\":\"sentence_transformers.models.Pooling\"}]");
	refused("f16", "no folder", "a module outside of the folder");
	unlink(in("hf/modules.json"));
	put_text("hf/tokenizer.json", "{}");
	refused("f16", "hf", "a tokenizer that is none");
	unlink(in("hf/tokenizer.json"));
	refused("f16", "tokenizer.json", "no tokenizer");
	unlink(in("hf/model.safetensors"));
	refused("f16", "model.safetensors", "no weights");
}

/* ---- rerankers, dense layers ----------------------------------------------------------------- */

static bool is_strs(const struct gguf *g, const char *key, const char *first, const char *second)
{
	const struct gguf_key *k = g ? gguf_find(g, key) : NULL;
	struct str a, b;
	size_t at = 0;

	return k && gguf_next_str(&a, k, &at) && str_is(a, first) &&
	       (second ? gguf_next_str(&b, k, &at) && str_is(b, second) : k->n == 1);
}

static void test_rerankers(void)
{
	struct gguf *g;

	put_text("hf/tokenizer.json", tokenizer);
	put_text("hf/config.json", "{\"architectures\":[\"BertForSequenceClassification\"],"
				   "\"hidden_size\":32,\"intermediate_size\":64,"
				   "\"num_attention_heads\":4,\"num_hidden_layers\":1,\"max_"
				   "position_embeddings\":16,\"layer_norm_eps\":1e-12,"
				   "\"hidden_act\":\"gelu\",\"type_vocab_size\":2,\"id2label\":{"
				   "\"0\":\"bad\",\"1\":\"good\"}}");
	bert_tensors("bert.", "weight", "bias");
	head.n--; /* open again */
	st_add("bert.pooler.dense.bias", 0, 32);
	st_add("classifier.weight", 2, 32);
	st_add("classifier.bias", 0, 2);
	st_end();
	g = imported("q8_0");
	OK(g && is_u32(g, "bert.pooling_type", 4) &&
		   is_strs(g, "bert.classifier.output_labels", "bad", "good") &&
		   at(g, "cls.output.weight", 1, 5) == value(23, 1, 5) &&
		   at(g, "cls.bias", 0, 3) == value(22, 0, 3) &&
		   at(g, "cls.output.bias", 0, 1) == value(24, 0, 1),
	   "a reranker keeps its head, its pooler and the names of its labels");
	gguf_close(g);
	decoder_config("Qwen3ForCausalLM", ",\"tie_word_embeddings\":true");
	decoder_tensors("model.");
	st_add("model.layers.0.self_attn.q_norm.weight", 0, 8);
	st_add("model.layers.0.self_attn.k_norm.weight", 0, 8);
	st_end();
	put_text("hf/modules.json", "[{\"path\":\"\",\"type\":\"x.Transformer\"},{\"path\":\"1_"
				    "Pooling\",\"type\":\"x.LogitScore\"}]");
	put_text("hf/1_Pooling/config.json", "{\"true_token_id\":6,\"false_token_id\":4}");
	g = imported("f32");
	OK(g && is_u32(g, "qwen3.pooling_type", 4) &&
		   is_strs(g, "qwen3.classifier.output_labels", "yes", "no") &&
		   at(g, "cls.output.weight", 0, 5) == value(0, 6, 5) &&
		   at(g, "cls.output.weight", 1, 5) == value(0, 4, 5) &&
		   gguf_find(g, "tokenizer.chat_template.rerank"),
	   "a decoder that answers yes or no: those two rows of its output, and its prompt");
	gguf_close(g);
	put_text("hf/1_Pooling/config.json", "{\"true_token_id\":6,\"false_token_id\":6}");
	refused("f16", "two tokens", "one token for both answers");
	put_text("hf/1_Pooling/config.json", "{\"true_token_id\":6,\"false_token_id\":800}");
	refused("f16", "two tokens", "a token that is not there");
	unlink(in("hf/modules.json"));
	decoder_config("Qwen3ForCausalLM", ",\"tie_word_embeddings\":false");
	refused("f16", "lm_head.weight is missing", "an output that is lost");
}

static void dense(const char *to, int64_t rows, int64_t cols)
{
	st_begin();
	st_add("linear.weight", rows, cols);
	st_end();
	shard(to);
}

static void test_dense(void)
{
	struct gguf *g;
	struct err e = { 0 };

	decoder_config(
		"Gemma3TextModel",
		",\"head_dim\":8,\"sliding_window\":16,\"use_bidirectional_attention\":true");
	put_text("hf/modules.json", "[{\"path\":\"\",\"type\":\"x.Transformer\"},{\"path\":\"1_"
				    "Pooling\",\"type\":\"x.Pooling\"},"
				    "{\"path\":\"2_Dense\",\"type\":\"x.Dense\"},{\"path\":\"3_"
				    "Dense\",\"type\":\"x.Dense\"}]");
	put_text("hf/1_Pooling/config.json", "{\"pooling_mode\":\"mean\"}");
	os_mkdirs(in("hf/2_Dense"), 0777, &e);
	os_mkdirs(in("hf/3_Dense"), 0777, &e);
	put_text("hf/2_Dense/config.json",
		 "{\"activation_function\":\"torch.nn.modules.linear.Identity\"}");
	put_text("hf/3_Dense/config.json", "{}");
	dense("hf/2_Dense/model.safetensors", 48, 32);
	dense("hf/3_Dense/model.safetensors", 32, 48);
	gemma3_tensors("");
	g = imported("f32");
	OK(g && is_str(g, "general.architecture", "gemma-embedding") &&
		   !gguf_bool_or(g, "gemma-embedding.attention.causal", true) &&
		   is_u32(g, "gemma-embedding.pooling_type", 1) &&
		   is_u32(g, "gemma-embedding.dense_2_feat_out", 48) &&
		   is_u32(g, "gemma-embedding.dense_3_feat_in", 48) &&
		   at(g, "dense_2.weight", 47, 31) == value(0, 47, 31) &&
		   at(g, "dense_3.weight", 31, 47) == value(0, 31, 47),
	   "EmbeddingGemma: an encoder, with the dense layers behind its pooling");
	gguf_close(g);
	put_text("hf/3_Dense/config.json",
		 "{\"activation_function\":\"torch.nn.modules.activation.Tanh\"}");
	refused("f16", "Tanh does not run here", "a dense layer with an activation");
	put_text("hf/3_Dense/config.json", "{}");
	dense("hf/3_Dense/model.safetensors", 32, 32);
	gemma3_tensors("");
	refused("f16", "do not agree", "dense layers that do not fit");
	unlink(in("hf/modules.json"));
}

/* After all those failures: the folder of the output holds nothing else. */
static void test_nothing_left(void)
{
	DIR *d = opendir(root);
	struct dirent *x;
	size_t n = 0;

	unlink(in("out.gguf"));
	while (d && (x = readdir(d)))
		n += x->d_name[0] != '.';
	OK(d && n == 1, "no temporary file is left (%zu)", n);
	if (d)
		closedir(d);
}

/* ---- types ------------------------------------------------------------------------------- */

static void test_types(void)
{
	const struct pack_kind *k;
	struct pack_model m = { .tied = false, .n_layer = 16 };
	struct err e = { 0 };

	OK(!pack_kind_find(&k, "Q4_0", &e) && k->file_type == 2, "a kind by name in any case");
	OK(pack_type(k, &m, STR("blk.3.ffn_up.weight"), 512) == GGUF_Q4_0 &&
		   pack_type(k, &m, STR("blk.3.ffn_up.weight"), 40) == GGUF_F16 &&
		   pack_type(k, &m, STR("token_embd.weight"), 512) == GGUF_Q4_0,
	   "q4_0; rows of 40 become F16");
	OK(pack_type(k, &m, STR("output.weight"), 96) == GGUF_Q8_0,
	   "an output whose rows are no 256 becomes Q8_0");
	m.tied = true;
	OK(pack_type(k, &m, STR("token_embd.weight"), 96) == GGUF_Q8_0,
	   "so do embeddings that serve as output");
	OK(!pack_is_weight(STR("blk.0.attn_norm.weight"), 1) &&
		   !pack_is_weight(STR("blk.0.attn_q_norm.weight"), 2) &&
		   !pack_is_weight(STR("position_embd.weight"), 2) &&
		   !pack_is_weight(STR("token_types.weight"), 2) &&
		   !pack_is_weight(STR("blk.0.attn_q.bias"), 2) &&
		   pack_is_weight(STR("blk.0.attn_q.weight"), 2),
	   "what is quantized at all");
	if (pack_kind_find(&k, "q4_k", &e)) {
		SKIP("no K-quants");
		return;
	}
	/* of 16 layers llama.cpp gives 0, 1, 4, 7, 10, 13, 14, 15 more bits */
	for (unsigned i = 0, wrong = 0; i <= 16; i++) {
		static const char more[] = "1100100100100111";
		char name[64];

		if (i == 16) {
			OK(!wrong, "q4_k_m: Q6_K for the values of the chosen layers");
			break;
		}
		snprintf(name, sizeof name, "blk.%u.attn_v.weight", i);
		wrong += (pack_type(k, &m, str_of(name), 512) == GGUF_Q6_K) != (more[i] == '1');
		snprintf(name, sizeof name, "blk.%u.ffn_down.weight", i);
		wrong += (pack_type(k, &m, str_of(name), 512) == GGUF_Q6_K) != (more[i] == '1');
		snprintf(name, sizeof name, "blk.%u.attn_q.weight", i);
		wrong += pack_type(k, &m, str_of(name), 512) != GGUF_Q4_K;
	}
	OK(pack_type(k, &m, STR("blk.5.attn_q.weight"), 96) == GGUF_Q5_0 &&
		   pack_type(k, &m, STR("blk.0.attn_v.weight"), 96) == GGUF_Q8_0,
	   "rows that 256 does not divide fall back");
}

static int drop(const char *p, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(p);
}

int main(void)
{
	static char dir[] = "import_test.XXXXXX";
	struct err e = { 0 };

	buf_init(&head, 1 << 20);
	buf_init(&data, 1 << 24);
	if (kern_init(NULL, &e) || !mkdtemp(dir) || !realpath(dir, root) ||
	    os_mkdirs(in("hf/1_Pooling"), 0777, &e))
		return 1;
	put_text("hf/tokenizer.json", tokenizer);
	test_types();
	test_llama();
	test_llama_forms();
	test_llama_refused();
	test_qwen_gemma();
	test_mixtral();
	test_gpt2();
	test_gpt_oss();
	test_phi3();
	test_absurd();
	test_shards();
	test_rerankers();
	test_dense();
	test_bert();
	test_nothing_left();
	nftw(root, drop, 8, FTW_DEPTH | FTW_PHYS);
	buf_release(&head);
	buf_release(&data);
	return tap_done();
}
