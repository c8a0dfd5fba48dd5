/*
 * import_impl: what the files of import share: import.c (folder, general keys, flow), import_st.c
 * (what sentence-transformers keeps beside a model), import_arch.c (tables of tensors),
 * import_keys.c (keys that many architectures have) and one file a family, import_FAMILY.c, with
 * its tables and its own keys.
 */
#ifndef LLM_IMPORT_IMPL_H
#define LLM_IMPORT_IMPL_H

#include "llm/pack_impl.h"

#define IMPORT_MAX_LAYERS 4096u
#define IMPORT_MAX_EXPERTS 1024u

/* Errors stick: after the first, every call answers with nothing and the caller goes on to its end.
 */
struct import {
	const char *dir;
	const struct llm_watch *watch;
	struct err *e;
	bool failed;
	struct arena a;                 /* names, small files: until the end */
	struct json_val cfg;            /* config.json */
	struct json_val text, defaults; /* text_config of it, and what the class of model takes for
					   granted; or JSON_NONE */
	struct json_val modules;        /* modules.json of sentence-transformers, or JSON_NONE */
	const struct import_arch *arch;
	bool classifier; /* …ForSequenceClassification */
	bool has_head;   /* …ForCausalLM */
	int32_t yes, no; /* tokens whose logits a reranker compares (Qwen3-Reranker), or -1 */
	struct safet *st;
	bool *used;             /* [safet_n_tensors] */
	struct safet *dense[2]; /* of their own folders, behind the pooling */
	struct tok *tok;
	bool has_template; /* tokenizer_config.json holds the chat template */
	const struct pack_kind *kind;
	struct pack_item *items;
	size_t n, cap;
	uint64_t n_params;
	struct gguf_writer *w;
};

/* ---- tables ------------------------------------------------------------------------------ */

enum {
	ROW_NEED = 1,    /* the weight must be there */
	ROW_BIAS = 2,    /* and the bias */
	ROW_Q = 4,       /* rows to the order of NORM rotary pairs, by the number of heads */
	ROW_K = 8,       /* the same by the number of key and value heads */
	ROW_VOCAB = 16,  /* one row a token */
	ROW_PLUS_1 = 32, /* a norm that is kept less 1 there */
	ROW_TURN = 64,   /* rows and columns changed places there */
	ROW_EVEN = 128,  /* of a pair of matrices in one, row by row in turn (of a bias: element by
			    element) */
	ROW_ODD = 256,
	ROW_FIRST = 512, /* of two in one, one behind the other */
	ROW_SECOND = 1024,
	ROW_BARE = 2048,     /* both names are whole: no suffix */
	ROW_HEAD = 4096,     /* only of a classifier */
	ROW_POSITION = 8192, /* one row a position; those that padding takes are left out */
	ROW_MXFP4 = 16384    /* "…_blocks", with "…_scales" beside it */
};

/* Names without ".weight"; '*' is the layer and a second one the expert, whose matrices become one;
 * a|b: either. */
struct import_row {
	const char *hf, *gguf;
	int flags;
};

/* Rows that families share. */
#define ROWS_ENDS                                                                                  \
	{ "embed_tokens", "token_embd", ROW_NEED | ROW_VOCAB },                                    \
	{                                                                                          \
		"lm_head", "output", ROW_VOCAB                                                     \
	}
#define ROWS_ATTENTION(q, k)                                                                       \
	{ "layers.*.self_attn.q_proj", "blk.*.attn_q", ROW_NEED | (q) },                           \
		{ "layers.*.self_attn.k_proj", "blk.*.attn_k", ROW_NEED | (k) },                   \
		{ "layers.*.self_attn.v_proj", "blk.*.attn_v", ROW_NEED },                         \
	{                                                                                          \
		"layers.*.self_attn.o_proj", "blk.*.attn_output", ROW_NEED                         \
	}
#define ROWS_FFN                                                                                   \
	{ "layers.*.mlp.gate_proj", "blk.*.ffn_gate", ROW_NEED },                                  \
		{ "layers.*.mlp.up_proj", "blk.*.ffn_up", ROW_NEED },                              \
	{                                                                                          \
		"layers.*.mlp.down_proj", "blk.*.ffn_down", ROW_NEED                               \
	}
#define ROWS_EXPERTS                                                                               \
	{ "layers.*.mlp.gate", "blk.*.ffn_gate_inp", ROW_NEED },                                   \
		{ "layers.*.mlp.experts.*.gate_proj", "blk.*.ffn_gate_exps", ROW_NEED },           \
		{ "layers.*.mlp.experts.*.up_proj", "blk.*.ffn_up_exps", ROW_NEED },               \
	{                                                                                          \
		"layers.*.mlp.experts.*.down_proj", "blk.*.ffn_down_exps", ROW_NEED                \
	}
#define ROWS_NORMS(norm)                                                                           \
	{ "norm", "output_norm", norm }, { "layers.*.input_layernorm", "blk.*.attn_norm", norm },  \
	{                                                                                          \
		"layers.*.post_attention_layernorm", "blk.*.ffn_norm", norm                        \
	}
#define ROWS_HEAD_NORMS(norm)                                                                      \
	{ "layers.*.self_attn.q_norm", "blk.*.attn_q_norm", norm },                                \
	{                                                                                          \
		"layers.*.self_attn.k_norm", "blk.*.attn_k_norm", norm                             \
	}
#define ROWS_END                                                                                   \
	{                                                                                          \
		NULL, NULL, 0                                                                      \
	}

struct import_arch {
	const char *name;     /* general.architecture; NULL ends a list */
	const char *classes;  /* "A|B": in config.json's architectures */
	const char *prefixes; /* "a.|b.": of most names in some folders, lacking in others */
	const struct import_row *rows; /* ended by a NULL */
	const char *ignored;           /* "a.|b*.c.": beginnings of useless names */
	const char *defaults;          /* JSON: what the class takes for granted; or NULL */
	bool encoder;                  /* reads a text from both sides */
	bool (*is)(const struct import
			   *im); /* of classes that several architectures share; NULL: always */
	void (*keys)(struct import *im);
	void (*extra)(struct import *im); /* tensors that are none there, or NULL */
};
extern const struct import_arch import_llama_archs[], import_qwen_archs[], import_gemma_archs[],
	import_gpt_archs[], import_bert_archs[];

/* By config.json's `architectures`; ERR_UNSUPPORTED lists those that are known. */
void import_arch_find(struct import *im);
/* All tensors by the table, as im->items; a tensor that has no place is an error that names it. */
void import_arch_tensors(struct import *im);
/* A tensor of n numbers that is made here; NULL after an error. */
float *import_new_tensor(struct import *im, const char *name, size_t n);
/* A tensor of another file, as a weight. */
void import_add_tensor(struct import *im, const char *name, const struct gguf_tensor *t);
void import_fail(struct import *im, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- config.json ------------------------------------------------------------------------- */

/* The first of the names ("a|b") that is there and not null, else JSON_NONE. */
struct json_val import_cfg(const struct import *im, const char *names);
/* Its value; a missing one is an error, or the default of the _or form. */
uint32_t import_u32(struct import *im, const char *names);
uint32_t import_u32_or(struct import *im, const char *names, uint32_t dflt);
double import_f64(struct import *im, const char *names);
double import_f64_or(struct import *im, const char *names, double dflt);
bool import_flag_or(const struct import *im, const char *names, bool dflt);
bool import_is(const struct import *im, const char *names,
	       const char *value); /* a string, equal to value */
/* Refuses all but one value of a member (or its absence): what runs here knows no other. */
void import_expect(struct import *im, const char *names, const char *value);
void import_expect_flag(struct import *im, const char *names, bool value, bool dflt);

/* ---- keys "ARCH.suffix" ------------------------------------------------------------------ */

void import_put_u32(struct import *im, const char *suffix, uint32_t v);
void import_put_f32(struct import *im, const char *suffix, double v);
void import_put_bool(struct import *im, const char *suffix, bool v);
void import_put_str(struct import *im, const char *suffix, struct str v);

/* Counts that every transformer has. */
void import_put_common(struct import *im, uint32_t n_ctx, uint32_t n_ff);
/* These and what every decoder with rotary positions has: heads, epsilon, angles, experts; `act` is
 * the activation. */
void import_put_decoder(struct import *im, const char *act);
void import_put_rope(struct import *im);
/* The window and which layers have it, where that is not every `period`th but the last (with
 * dense_first: the first). */
void import_put_windows(struct import *im, uint32_t window, uint32_t period, bool dense_first);
/* A window that the model has and nothing here applies: said. */
void import_note_window(struct import *im);
uint32_t import_head_dim(struct import *im);
/* A number of the rotary parameters: of layers with a window where there are two kinds and `local`.
 */
double import_rope_f64(struct import *im, const char *name, bool local, double dflt);
/* rope_freqs, rope_factors_long and _short: of any architecture that has rotary positions. */
void import_rope_tensors(struct import *im);

/* ---- sentence-transformers ----------------------------------------------------------------- */

/* Text of a file of the folder; an empty str where it is not there and not needed. */
struct str import_text(struct import *im, const char *name, bool need);
/* The same as JSON; JSON_NONE where it is not there. */
struct json_val import_json(struct import *im, const char *name, bool need);
/* modules.json, the tensors of Dense layers, the tokens of a reranker. */
void import_modules(struct import *im);
/* Pooling, prompts, length limit, normalisation, labels. */
void import_put_modules(struct import *im);

#endif
