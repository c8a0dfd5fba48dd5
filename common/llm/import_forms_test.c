/* Unit tests of import: forms that tensors have there (transposed, in turn, stacked, blocks), heads
 * of rerankers, dense layers, and folders that cannot be. */
#include "config.h"
#include "import_folder.h"

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

int main(void)
{
	static char dir[] = "import_forms_test.XXXXXX";

	if (!begin(dir))
		return 1;
	test_mixtral();
	test_gpt2();
	test_gpt_oss();
	test_phi3();
	test_absurd();
	test_shards();
	test_rerankers();
	test_dense();
	return end();
}
