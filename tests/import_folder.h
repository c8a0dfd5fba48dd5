/* import_folder: folders as Hugging Face has them, built here tensor by tensor, for import_test.c
 * and import_forms_test.c. */
#ifndef TESTS_IMPORT_FOLDER_H
#define TESTS_IMPORT_FOLDER_H

#include "llm/pack_impl.h"
#include "tap.h"
#include "base/banned.h"
#include <dirent.h>
#include <ftw.h>
#include <math.h>
#include <unistd.h>

static char root[4096];
static inline const char *in(const char *name)
{
	static char p[8192];

	snprintf(p, sizeof p, "%s/%s", root, name);
	return p;
}

static inline void put(const char *name, const void *p, size_t n)
{
	FILE *f = fopen(in(name), "wb");

	if (!f || fwrite(p, 1, n, f) != n || fclose(f))
		printf("# cannot write %s\n", name);
}

static inline void put_text(const char *name, const char *z)
{
	put(name, z, strlen(z));
}

/* ---- a safetensors file, F32: element (r, c) of the k-th tensor is k + r / 4 + c / 256
 * --------------------------------- */

static struct buf head, data;
static unsigned n_tensors;

static inline float value(unsigned k, int64_t r, int64_t c)
{
	return (float)k + (float)r / 4.0f + (float)c / 256.0f;
}

static inline void st_begin(void)
{
	buf_reset(&head);
	buf_reset(&data);
	n_tensors = 0;
	buf_addc(&head, '{');
}

/* rows 0: one dimension. */
static inline void st_add(const char *name, int64_t rows, int64_t cols)
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

static inline void st_end(void)
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
static inline void decoder_tensors(const char *prefix)
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

static inline void llama_tensors(const char *prefix, bool lm_head)
{
	decoder_tensors(prefix);
	st_add("model.layers.0.self_attn.rotary_emb.inv_freq", 0, 4);
	if (lm_head)
		st_add("lm_head.weight", VOCAB + 2, 32);
}

static inline void decoder_config(const char *class, const char *more)
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

static inline void llama_config(const char *more)
{
	decoder_config("LlamaForCausalLM", more);
}

static inline int import(const char *type, struct err *e)
{
	struct llm_import_opts o = { .type = type, .threads = 2 };
	char from[8192];

	snprintf(from, sizeof from, "%s", in("hf"));
	unlink(in("out.gguf"));
	return llm_import(from, in("out.gguf"), &o, e);
}

static inline struct gguf *imported(const char *type)
{
	struct err e = { 0 };
	struct gguf *g = NULL;

	if (import(type, &e) || gguf_open(&g, in("out.gguf"), &e))
		printf("# %s\n", e.text);
	return g;
}

static inline void refused(const char *type, const char *needle, const char *what)
{
	struct err e = { 0 };
	bool good = import(type, &e) &&
		    (e.code == ERR_OPEN || e.code == ERR_UNSUPPORTED || e.code == ERR_USAGE) &&
		    strstr(e.text, needle) && access(in("out.gguf"), F_OK);

	OK(good, "refused: %s", what);
	if (!good)
		printf("# %s\n", e.text);
}

static inline float at(const struct gguf *g, const char *name, int64_t r, int64_t c)
{
	const struct gguf_tensor *t = gguf_find_tensor(g, name);
	float x = NAN;

	if (t && t->type == GGUF_F32 && c < t->ne[0] && r < t->ne[1])
		memcpy(&x, t->data + 4 * (r * t->ne[0] + c), 4);
	return x;
}

static inline bool is_u32(const struct gguf *g, const char *key, uint32_t v)
{
	uint32_t is;

	return !gguf_u32(&is, g, key, NULL) && is == v;
}

static inline bool is_f32(const struct gguf *g, const char *key, float v)
{
	float is;

	return !gguf_f32(&is, g, key, NULL) && is == v;
}

static inline bool is_str(const struct gguf *g, const char *key, const char *v)
{
	return str_is(gguf_str_or(g, key, STR("(none)")), v);
}

static inline void gemma3_tensors(const char *prefix)
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

static inline void bert_tensors(const char *prefix, const char *w, const char *b)
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

static inline void shard(const char *to)
{
	char from[8192];

	snprintf(from, sizeof from, "%s", in("hf/model.safetensors"));
	if (rename(from, in(to)))
		printf("# cannot rename to %s\n", to);
}

/* ---- begin and end of a test ----------------------------------------------------------------- */

static inline bool begin(char *dir)
{
	struct err e = { 0 };

	buf_init(&head, 1 << 20);
	buf_init(&data, 1 << 24);
	if (kern_init(NULL, &e) || !mkdtemp(dir) || !realpath(dir, root) ||
	    os_mkdirs(in("hf/1_Pooling"), 0777, &e))
		return false;
	put_text("hf/tokenizer.json", tokenizer);
	return true;
}

static inline int drop(const char *p, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(p);
}

/* After all those failures the folder of the output must hold nothing else. */
static inline int end(void)
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
	nftw(root, drop, 8, FTW_DEPTH | FTW_PHYS);
	buf_release(&head);
	buf_release(&data);
	return tap_done();
}

#endif
