/* facts: what a model file says about itself. */
#include "config.h"
#include "llm/llm.h"
#include "base/banned.h"

/* "ARCH.suffix". */
static const char *arch_key(char buf[192], struct str arch, const char *suffix)
{
	snprintf(buf, 192, "%.*s.%s", (int)(arch.n < 96 ? arch.n : 96), arch.p, suffix);
	return buf;
}

static uint32_t arch_u32(const struct gguf *g, struct str arch, const char *suffix, uint32_t dflt)
{
	char k[192];

	return gguf_u32_or(g, arch_key(k, arch, suffix), dflt);
}

/* Element i of a key that is one number or one a layer. */
static uint32_t layer_u32(const struct gguf *g, struct str arch, const char *suffix, uint32_t i,
			  uint32_t dflt)
{
	char name[192];
	const struct gguf_key *k = gguf_find(g, arch_key(name, arch, suffix));
	uint32_t v;

	return k && !gguf_elem_u32(&v, k, i, NULL) ? v : dflt;
}

static const char *pooling_name(uint32_t type)
{
	static const char *const names[] = { "none", "mean", "cls", "last", "rank" };

	return type < sizeof names / sizeof *names ? names[type] : NULL;
}

static uint64_t kv_bytes(const struct llm_facts *f, const struct gguf *g)
{
	uint64_t sum = 0;
	char k[192];

	if (!gguf_bool_or(g, arch_key(k, f->arch, "attention.causal"), true) || !f->n_head ||
	    f->n_layer > 65536)
		return 0;
	for (uint32_t i = 0; i < f->n_layer; i++) {
		uint64_t heads = layer_u32(g, f->arch, "attention.head_count", i, f->n_head);
		uint64_t kv = layer_u32(g, f->arch, "attention.head_count_kv", i, (uint32_t)heads);
		uint64_t d = f->n_embd / (heads ? heads : 1);

		sum += kv *
		       (arch_u32(g, f->arch, "attention.key_length", (uint32_t)d) +
			(uint64_t)arch_u32(g, f->arch, "attention.value_length", (uint32_t)d)) *
		       2;
	}
	return sum;
}

void llm_facts(struct llm_facts *out, const struct gguf *g)
{
	const struct gguf_key *tokens = gguf_find(g, "tokenizer.ggml.tokens");
	struct str none = STR("");

	*out = (struct llm_facts){ .arch = gguf_str_or(g, "general.architecture", none),
				   .name = gguf_str_or(g, "general.name", none),
				   .license = gguf_str_or(g, "general.license", none),
				   .size_label = gguf_str_or(g, "general.size_label", none),
				   .tok_model = gguf_str_or(g, "tokenizer.ggml.model", none),
				   .tok_pre = gguf_str_or(g, "tokenizer.ggml.pre", none),
				   .template_bytes =
					   gguf_str_or(g, "tokenizer.chat_template", none).n };
	out->n_layer = arch_u32(g, out->arch, "block_count", 0);
	out->n_embd = arch_u32(g, out->arch, "embedding_length", 0);
	out->n_ff = layer_u32(g, out->arch, "feed_forward_length", 0, 0);
	out->n_head = layer_u32(g, out->arch, "attention.head_count", 0, 0);
	out->n_head_kv = layer_u32(g, out->arch, "attention.head_count_kv", 0, out->n_head);
	out->n_ctx = arch_u32(g, out->arch, "context_length", 0);
	out->pooling = pooling_name(arch_u32(g, out->arch, "pooling_type", UINT32_MAX));
	out->n_vocab = tokens && tokens->kind == GGUF_K_ARRAY
			       ? tokens->n
			       : arch_u32(g, out->arch, "vocab_size", 0);
	out->kv_bytes_per_token = kv_bytes(out, g);
	for (size_t i = 0; i < gguf_n_parts(g); i++)
		out->bytes += gguf_part(g, i)->n;
	for (size_t i = 0; i < gguf_n_tensors(g); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(g, i);
		uint64_t n = (uint64_t)(t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]);

		out->n_params += n;
		out->types[t->type].tensors++;
		out->types[t->type].params += n;
		out->types[t->type].bytes += t->bytes;
	}
}
