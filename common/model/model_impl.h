/* model_impl: what the files of this room share: a model's numbers and layers, the loader, one step's state. */
#ifndef MODEL_MODEL_IMPL_H
#define MODEL_MODEL_IMPL_H

#include "model/model.h"

#define MODEL_MAX_LAYERS 1024u
#define MODEL_MAX_DIM (1u << 20)    /* of any vector; a vocabulary may have 2^24 */
#define MODEL_MAX_VOCAB (1u << 24)
#define MODEL_MAX_EXPERTS 1024u
#define MODEL_MAX_USED 64u          /* experts a token */
#define MODEL_MAX_LABELS 1024       /* of a reranker */
#define MODEL_MAX_BATCH (1 << 16)
#define MODEL_ROPES 2               /* tables of angles: of global and of local layers */

/* ---- what a file holds ------------------------------------------------------------------------- */

struct norm { /* w NULL: none */
	const float *w, *b;
	int64_t n;
};
struct lora { /* an adapter of a matrix: + scale b [rows, rank] (a [rank, cols] x), in f32; those of experts one behind the other */
	struct kern_mat a, b;
	int64_t rank, a_step, b_step; /* elements from one expert to the next one */
	float scale;
	const struct lora *next;
};
struct lin { /* out [rows] = w [rows, cols] x + b; data NULL: none; b may be NULL */
	struct kern_mat w;
	const float *b;
	const struct lora *lora;
	enum kern_depth depth; /* of its inputs */
};
struct experts { /* matrices and biases of expert 0; those of expert i lie i steps behind */
	struct lin router;
	const float *select_bias; /* added for the choice alone, or NULL */
	struct lin gate, up, down;
	size_t gate_step, up_step, down_step; /* bytes from one expert's matrix to the next one's */
};

enum norm_kind { NORM_RMS, NORM_LAYER };
enum ffn_act {
	ACT_SILU,      /* with a gate */
	ACT_GELU_TANH, /* with or without */
	ACT_GELU_ERF,
	ACT_SWIGLU_OAI /* min(g, 7) sigmoid(1.702 g) (clamp(u, -7, 7) + 1): gpt-oss */
};
enum gating { GATING_SOFTMAX = 1, GATING_SIGMOID = 2, GATING_SOFTMAX_CHOSEN = 3 }; /* as the files count them */

/*
 * One block, every part optional but q, k, v, o and the feed-forward:
 *
 *      h = attn_norm(x);  a = attn_post(o(attention(rope(q_norm(q h)), rope(k_norm(k h)), v h)))
 *      x = attn_out(x + s a)
 *      f = ffn_post(down(act(gate ffn_norm(x), up ffn_norm(x))))
 *      x = out(x + s f)
 *
 * A parallel block's feed-forward reads the x that attention read, through ffn_norm or, without one, attn_norm.
 */
struct layer {
	struct norm attn_norm, q_norm, k_norm, attn_post, attn_out, ffn_norm, ffn_post, out;
	struct lin q, k, v, o, gate, up, down;
	struct experts moe;  /* router.w.data NULL: a dense layer */
	const float *sinks;  /* [n_head] */
	int32_t n_head, n_head_kv, n_ff;
	int32_t window;      /* keys that a query sees, itself included; 0: all */
	int rope;            /* index of the table, -1: none */
	bool parallel;
	size_t kv_at;        /* bytes from the begin of a page to the layer's keys; its values lie behind them */
};

struct rope { /* angle of pair i at position p: p * freq[i] */
	double *freq;        /* [n_rot / 2] */
	float scale;         /* of cos and sin */
};

struct model {
	struct model_info info;
	const struct gguf *g;
	struct os_pool *pool;
	/* numbers */
	enum norm_kind norm;
	enum ffn_act act;
	enum gating gating;
	bool neox, causal, norm_weights;
	int32_t head_dim, head_dim_v, n_rot, n_experts, n_used;
	float temperature;   /* queries grow by 1 + temperature * log(1 + p / temperature_every), whole quotients; 0: no */
	uint32_t temperature_every;
	float eps, softcap_attn, softcap_out, scale_attn, scale_embd, scale_resid, scale_out, scale_experts;
	struct rope rope[MODEL_ROPES];
	/* tensors */
	struct kern_mat embd, positions;
	const struct lora *embd_lora; /* a is [vocabulary, rank], b [n_embd, rank] */
	const float *type[2]; /* rows of token_types: of a text, of the second one of a pair; or NULL */
	struct norm embd_norm, out_norm;
	struct lin out;      /* vocabulary; the embedding again where they are tied */
	struct lin dense[2]; /* after pooling */
	/* a reranker: cls_out(cls_norm(act(cls h))), all but cls_out optional */
	struct lin cls, cls_out;
	struct norm cls_norm;
	bool cls_mean;       /* h is the mean, else the first row (the last where only that has seen all) */
	bool cls_gelu;       /* act is GELU, else tanh */
	bool cls_softmax;    /* over the labels, at the end */
	struct layer *layers;
	struct arena own;    /* layers, tables, converted vectors */
	/* cache */
	uint32_t kv_type;
	size_t page_bytes;   /* KERN_KV_PAGE positions of all layers */
	/* buffers of a step */
	struct work *work;
	model_see_fn *see;
	void *see_arg;
};

/* Bytes of one head's keys (values) in a page, positions one behind the other; 0 where the type cannot hold them. */
size_t kv_head_bytes(uint32_t type, int32_t n);
/* Bytes of a layer's keys and values in a page. */
size_t kv_layer_bytes(const struct model *m, const struct layer *y, uint32_t type);
/* The place of every layer in a page, and page_bytes. */
int kv_layout(struct model *m, struct err *e);
uint8_t *kv_memory(const struct model_kv *kv);
const uint32_t *kv_pages(const struct model_kv *kv, model_seq s);
/* A sequence joins a step once: false the second time, or when there is no such sequence. */
void kv_begin_step(struct model_kv *kv);
bool kv_join_step(struct model_kv *kv, model_seq s);
/* n more positions have been written. */
void kv_grow(struct model_kv *kv, model_seq s, int32_t n);

/* ---- loading ----------------------------------------------------------------------------------- */

/* Errors stick: after the first, every call answers with nothing and the reader goes on to its end. */
struct loader {
	struct model *m;
	const struct gguf *g;
	const char *arch;
	bool *used;   /* [tensors] */
	struct adapter {
		const struct gguf *g;
		float scale, alpha;
		bool *used; /* [tensors] */
	} *adapters;
	size_t n_adapters;
	int layer;    /* names get "blk.N." in front; -1: none */
	bool failed;
	struct err *e;
};
enum need { OPTIONAL, REQUIRED };

/* Numbers under "<arch>."; a missing one is an error, or the default of the _or form. */
uint32_t load_u32(struct loader *l, const char *key, uint32_t max);
uint32_t load_u32_or(struct loader *l, const char *key, uint32_t max, uint32_t dflt);
float load_f32(struct loader *l, const char *key);
float load_f32_or(struct loader *l, const char *key, float dflt);
bool load_flag_or(struct loader *l, const char *key, bool dflt);
struct str load_str_or(struct loader *l, const char *key, const char *dflt);
/* Element i of an array (of a bool 0 or 1), or the scalar that stands for all. */
uint32_t load_elem_u32(struct loader *l, const char *key, uint32_t i, uint32_t max, uint32_t dflt);
void load_fail(struct loader *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "NAME.weight" [rows, cols] and "NAME.bias" [rows] where there is one. */
struct lin load_lin(struct loader *l, const char *name, int64_t rows, int64_t cols, enum need need);
struct norm load_norm(struct loader *l, const char *name, int64_t n, enum need need);
/* A vector [n] under its whole name. */
const float *load_vec(struct loader *l, const char *name, int64_t n, enum need need);
/* A row [n] of a matrix of any height, or NULL where there is none. */
const float *load_row(struct loader *l, const char *name, int64_t row, int64_t n);
/* Rows [from, from + rows) of a matrix, of its bias and of what adapts it. */
struct lin lin_part(struct loader *l, const struct lin *w, int64_t from, int64_t rows);
/* "blk.N.attn_q", "attn_k", "attn_v", or one "attn_qkv"; "attn_output". */
void load_attention(struct loader *l, struct layer *y);
/* "ffn_gate", "ffn_up", "ffn_down": gated; plain: no gate; fused: "ffn_up" holds gate, then up. */
enum ffn_form { FFN_GATED, FFN_PLAIN, FFN_FUSED };
void load_ffn(struct loader *l, struct layer *y, enum ffn_form form);
/* "ffn_gate_inp", "ffn_{gate,up,down}_exps" or "ffn_gate_up_exps". */
void load_experts(struct loader *l, struct layer *y);
/* "cls", "cls.norm", "cls.output": the head of a reranker, where there is one. */
void load_classifier(struct loader *l);
/* Begin layer i: the names of its tensors, its heads and ffn length by the keys. */
struct layer *load_layer(struct loader *l, int i);
/* token_embd, output_norm, output (absent: tied). */
void load_ends(struct loader *l);
/* Fill the tables of angles by rope.* keys; local: the second table for layers with a window. */
void load_rope(struct loader *l, bool neox);
void load_rope_local(struct loader *l, float base, bool scaled);
/* Layers whose "attention.sliding_window_pattern" (or (i % period) < period - 1, or > 0 with `dense_first`) says so get
 * the window. */
void load_windows(struct loader *l, uint32_t window, uint32_t period, bool dense_first);
void *load_alloc(struct loader *l, size_t n, size_t size);

/*
 * The architectures: name in general.architecture, the function that reads its own keys and tensors (the common keys are
 * read before it). Adding one is a line here and that function.
 */
#define ARCHS(X)                              \
	X("llama", arch_llama)                \
	X("mistral3", arch_mistral3)          \
	X("internlm2", arch_llama)            \
	X("ernie4_5", arch_llama)             \
	X("seed_oss", arch_seed_oss)          \
	X("smollm3", arch_smollm3)            \
	X("granite", arch_granite)            \
	X("granitemoe", arch_granite)         \
	X("olmo2", arch_olmo2)                \
	X("olmoe", arch_olmoe)                \
	X("qwen2", arch_qwen2)                \
	X("qwen3", arch_qwen3)                \
	X("qwen3moe", arch_qwen3moe)          \
	X("gemma", arch_gemma)                \
	X("gemma2", arch_gemma2)              \
	X("gemma3", arch_gemma3)              \
	X("gemma-embedding", arch_gemma_embedding) \
	X("phi3", arch_phi3)                  \
	X("gpt2", arch_gpt2)                  \
	X("gpt-oss", arch_gpt_oss)            \
	X("phi2", arch_phi2)                  \
	X("starcoder2", arch_starcoder2)      \
	X("stablelm", arch_stablelm)          \
	X("cohere2", arch_cohere2)            \
	X("bert", arch_bert)                  \
	X("nomic-bert", arch_nomic_bert)      \
	X("modern-bert", arch_modern_bert)    \
	X("neo-bert", arch_neo_bert)          \
	X("eurobert", arch_eurobert)
#define ARCH_DECLARE(name, load) void load(struct loader *l);
ARCHS(ARCH_DECLARE)
int model_load(struct model *m, const struct gguf *g, const struct model_lora *loras, size_t n_loras, struct err *e);

/* ---- adapters ---------------------------------------------------------------------------------- */

int lora_open(struct loader *l, const struct model_lora *loras, size_t n, struct err *e);
void lora_close(struct loader *l);
/* What adapts a tensor; NULL: nothing. Of an embedding, whose rows are looked up, A and B have changed places. */
const struct lora *lora_of(struct loader *l, const struct gguf_tensor *t, bool embedding);
const struct lora *lora_part(struct loader *l, const struct lora *of, int64_t from, int64_t rows);
/* An error where a tensor of an adapter was not asked for. */
void lora_check_rest(struct loader *l);
/* Sum of the ranks of what adapts a matrix; floats of a worker's own memory for n columns of it. */
int64_t lora_ranks(const struct lin *w);
size_t lora_scratch(const struct lin *w, int64_t n);

/* ---- a step ------------------------------------------------------------------------------------ */

#define TILE 32 /* tokens of one attention job */

struct span { /* consecutive tokens of one sequence, at most TILE */
	int32_t from, n;       /* rows of the step */
	int32_t pos;           /* of the first */
	int32_t len;           /* positions that the sequence holds, this step's included */
	const uint32_t *pages;
};

/* Buffers for `cap` tokens and what one step needs to know. One a model: one step at a time. */
struct work {
	int32_t cap, cap_out;
	uint8_t *mem;
	size_t bytes;
	/* [cap, ...] */
	float *x, *h, *qkv, *q, *att, *ffn, *up, *y;
	float *low;                 /* A x of the adapters of matrices that read one input */
	float *angles[MODEL_ROPES]; /* [cap, n_rot]: cosines, then sines */
	float *hid;                 /* [cap_out, n_embd] */
	uint8_t *act_a, *act_b;     /* prepared activations: of h; of the other inputs */
	/* experts: pairs of a token and one of its experts, sorted by expert */
	float *route, *pair_h;      /* [cap, n_experts]; [cap * used, n_embd] */
	int32_t *pair_expert, *pair_at, *pair_row; /* by token and rank; place; token of a place */
	float *pair_weight;
	int32_t *first;             /* [n_experts + 1] places of an expert */
	size_t *in_at, *down_at;    /* [n_experts + 1] its prepared rows in act_b */
	int32_t *pos, *all;         /* [cap]; all: 0, 1, 2, … */
	float *vec[2];              /* longest vector after pooling */
	struct span *spans;
	struct worker_mem {
		uint8_t *mul, *attn;
		int32_t *lo, *hi; /* [TILE, heads a KV head] */
		float *sink;
		float *lora;      /* lora_scratch() of the largest */
		int32_t bad;      /* smallest wanted row that is not finite, or INT32_MAX */
	} *workers;
	/* of the step */
	int32_t n, n_spans, n_out;
	const int32_t *ids, *rows;
	const uint8_t *segments;    /* [n] 1: of the second text of a pair; NULL: none is */
	uint8_t *kv;                /* pages */
	size_t page_bytes;
	uint32_t kv_type;
	bool one_layer;             /* the cache holds the layer in hand alone */
	float *logits, *hidden;
};

/* Buffers for n tokens and n_out wanted rows; the sum is compared with what memory there is first. */
int work_plan(struct model *m, int32_t n, int32_t n_out, struct err *e);
void work_free(struct work *w);
int check_ids(const struct model *m, const int32_t *ids, int32_t n, struct err *e);
/* ERR_MODEL_FAULT when a wanted row of the last step is not finite; the first one's index in `bad`. */
int first_bad(const struct model *m, int32_t *bad, struct err *e);
/* Runs the planned step on the pool: layers, then (logits or hidden) the head. */
void forward_run(struct model *m);

/* Cut n rows of one sequence that begin at position pos into spans. */
void work_add_spans(struct work *w, int32_t from, int32_t n, int32_t pos, const uint32_t *pages);

/* ---- parts of a step, called by every worker of the team ------------------------------------------ */

struct acts { /* one input in the forms that its matrices read */
	struct kern_act a[3];
	const struct lin *of[3]; /* one that reads the form */
	int n;
};
struct mul {
	const struct lin *w;
	const struct kern_act *act;
	float *out;
	int64_t ld;
};
/* mem holds acts_bytes() of the same matrices. */
size_t acts_bytes(const struct lin *const *w, int n_w, int64_t n);
void acts_init(struct acts *s, const struct lin *const *w, int n_w, const float *x, int64_t ld, int64_t n, uint8_t *mem);
void acts_prepare(struct acts *s, int64_t from, int64_t to);
const struct kern_act *acts_for(const struct acts *s, const struct lin *w);
/* Products by chunks of rows, claimed; ends at a barrier. */
void mul_all(struct model *m, unsigned worker, const struct mul *muls, size_t n);
/* A x of all adapters of muls[n], ending at a barrier; then B of those of muls[k], to rows [from, to) of its output. */
void lora_down_all(struct model *m, unsigned worker, const struct mul *muls, size_t n);
void lora_up(struct model *m, unsigned worker, const struct mul *muls, size_t k, int64_t from, int64_t to);
/* Both by one worker, for n columns: out [n, ld_out] += s B (A x), x [n, ld]. */
void lora_add(struct model *m, unsigned worker, const struct lora *r, int64_t expert, float *out, int64_t ld_out, const float *x,
	      int64_t ld, int64_t n);
/* x [n_embd] += s B A[id]. */
void lora_embed(float *x, const struct lora *r, int32_t id);
/* Claims chunks of rows [from, to) of n until there are none; false at the end, after a barrier. */
bool next_rows(struct model *m, unsigned worker, int64_t n, int64_t *from, int64_t *to);
void norm_row(const struct model *m, float *out, const float *x, const struct norm *w);
void add_bias(float *x, const float *b, int64_t n);
void act_row(enum ffn_act act, float *gate, const float *up, int64_t n, bool gated);
/* Output of the experts for all rows of h, summed into y. */
void experts_run(struct model *m, unsigned worker, const struct layer *y);

#endif
