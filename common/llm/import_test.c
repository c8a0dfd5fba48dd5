/* Unit tests of import: folders are built here, tensor by tensor, and what comes out is looked at
 * value by value. */
#include "config.h"
#include "import_folder.h"

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

/* ---- bert -------------------------------------------------------------------------------- */

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
	put_text("hf/modules.json", "[{\"path\":1,\"type\":2}]");
	refused("f16", "modules.json: expected a string", "a module that is a number");
	unlink(in("hf/modules.json"));
	put_text("hf/tokenizer.json", "{}");
	refused("f16", "hf", "a tokenizer that is none");
	unlink(in("hf/tokenizer.json"));
	refused("f16", "tokenizer.json", "no tokenizer");
	unlink(in("hf/model.safetensors"));
	refused("f16", "model.safetensors", "no weights");
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

/* Inputs that mostly go one way: with feedback, rounding errors along it cancel. */
static void test_feedback(void)
{
	enum { COLS = 64, N = 200 };
	static float x[N * COLS], weight[N], w[COLS], errors[COLS], back[COLS];
	struct kern_act a = { .x = x, .ld = COLS, .cols = COLS, .n = N };
	struct rng rng = { 5, 6, 7 };
	double sum[2] = { 0 };
	uint8_t row[COLS / 32 * 34];
	struct err e;

	for (int t = 0; t < N; t++) {
		float z = 1 + (float)rng_normal(&rng);

		weight[t] = 1;
		for (int k = 0; k < COLS; k++)
			x[t * COLS + k] = z * (float)(1 + k % 3) + 0.1f * (float)rng_normal(&rng);
	}
	struct feedback *f = feedback_new(&a, weight, &e);
	for (int r = 0; r < 50; r++) {
		for (int k = 0; k < COLS; k++)
			w[k] = (float)rng_normal(&rng);
		for (int i = 0; i < 2; i++) {
			if (i)
				feedback_row(row, w, errors, COLS, f);
			else
				kern_quantize(row, w, GGUF_Q8_0, COLS, NULL);
			kern_dequant(back, row, GGUF_Q8_0, COLS);
			for (int t = 0; t < N; t++) {
				double s = 0;

				for (int k = 0; k < COLS; k++)
					s += (double)(w[k] - back[k]) * (double)x[t * COLS + k];
				sum[i] += s * s;
			}
		}
	}
	OK(f && sum[1] < sum[0] / 10, "rounding with feedback: squared error %.3g, without %.3g", sum[1], sum[0]);
	feedback_free(f);
	x[7] = NAN;
	OK(!feedback_new(&a, weight, &e) && e.code == ERR_MODEL_FAULT, "inputs that are not finite are refused");
}

int main(void)
{
	static char dir[] = "import_test.XXXXXX";

	if (!begin(dir))
		return 1;
	test_feedback();
	test_types();
	test_llama();
	test_llama_forms();
	test_llama_refused();
	test_qwen_gemma();
	test_bert();
	return end();
}
