/*
 * llm: the one place where a name becomes a model that answers. Registry of models on disk, opening (GGUF + tokenizer +
 * weights + chat template), import and quantization, the batch scheduler of generation, embedding. The interface hides
 * whether a model is local: a backend for services joins here.
 */
#ifndef LLM_LLM_H
#define LLM_LLM_H

#include "base/base.h"
#include "gguf/gguf.h"
#include "json/json.h"
#include "model/model.h"
#include "os/os.h"
#include "sample/sample.h"
#include "tok/tok.h"

/* ---- registry ---------------------------------------------------------------------------------- */

enum llm_role { LLM_GENERATE, LLM_EMBED };
/*
 * The file of a model by DESIGN 3: a name with '/' or ending in ".gguf" is a file; else the registry: the folders of models
 * (XDG data, then datadir), ollama's and the Hugging Face cache's by their own names. name NULL: LLMU_MODEL_GENERATE or
 * LLMU_MODEL_EMBED, the config file, the installed default; `how` (may be NULL) then says which, for one line on stderr.
 * ERR_MODEL_NOT_FOUND lists what is there and how to get one.
 */
int llm_find(struct buf *path, struct buf *how, const char *name, enum llm_role role, struct err *e);
/* One entry a model found, in a fixed order; ERR_OPEN only where a folder cannot be read at all. */
struct llm_entry {
	const char *name;   /* as -m takes it */
	const char *path;
	const char *source; /* "llm-utils", "ollama", "huggingface", "lmstudio" */
	uint64_t bytes;
};
int llm_list(struct llm_entry **out, size_t *n, struct arena *a, struct err *e);
/* Hex SHA-256 of a model file (of all parts' digests for a split one), from the cache keyed by its stamps when they are
 * unchanged, else computed and kept. */
int llm_digest(char out[HASH_HEX_LEN + 1], const struct gguf *g, struct err *e);

/* What a model file says about itself, for llm-model show. Strings borrow g; empty where it says nothing. */
struct llm_facts {
	struct str arch, name, license, size_label, tok_model, tok_pre;
	const char *pooling;      /* "mean", "cls", "last", "rank", "none", or NULL */
	uint32_t n_layer, n_embd, n_ff, n_head, n_head_kv, n_ctx;
	uint64_t n_vocab, n_params, bytes, template_bytes;
	uint64_t kv_bytes_per_token; /* F16; 0 for an encoder */
	struct {
		uint64_t tensors, params, bytes;
	} types[GGUF_N_TYPES];    /* by type id */
};
void llm_facts(struct llm_facts *out, const struct gguf *g);
/*
 * Looks for damage: values that are not finite, a tokenizer that is not known or does not fit, bytes that belong to nothing, a
 * digest that differs from the one recorded (FILE.sha256 as sha256sum writes it, or the name of ollama's blob). Each finding
 * is said through `say`; *n_bad counts them. -1 only when it could not be examined.
 */
int llm_verify(size_t *n_bad, const struct gguf *g, struct os_pool *pool, void (*say)(void *arg, const char *what), void *arg,
	       struct err *e);

/* ---- an open model ------------------------------------------------------------------------------ */

struct llm;
/* What the user may want to know, in one line; warn: should know. */
typedef void llm_note_fn(void *arg, bool warn, const char *text);
struct llm_opts {
	unsigned threads;      /* 0: all processors */
	unsigned jobs;         /* most sequences at once */
	uint32_t ctx;          /* most tokens a sequence; 0: what the model was trained for */
	const char *kv_type;   /* "f16" (NULL), "q8_0" or "f32" */
	const char *pooling;   /* NULL: as the file says */
	const char *const *loras; /* adapters, each FILE or FILE:SCALE */
	size_t n_loras;
	const char *prompt_cache; /* folder of what prompts begin with, from run to run, or NULL */
	llm_note_fn *note;     /* or NULL */
	void *note_arg;
	bool tokenizer_only;   /* no weights: llm-tokenize */
	bool force_tokenizer;  /* accept an unknown pre-tokenizer */
};
int llm_open(struct llm **out, const char *path, const struct llm_opts *o, struct err *e);
void llm_close(struct llm *l);
const char *llm_name(const struct llm *l);   /* file name without folder and suffix */
const char *llm_model_digest(struct llm *l); /* hex, or "" when it could not be computed */
const struct tok *llm_tok(const struct llm *l);
struct model *llm_model(const struct llm *l);
const struct gguf *llm_gguf(const struct llm *l);
/* NULL where the file has none, or one that cannot be read: then `why` (may be NULL) says so. */
const struct tok_tmpl *llm_chat(const struct llm *l, struct err *why);
struct os_pool *llm_pool(const struct llm *l);
const struct llm_opts *llm_options(const struct llm *l);
uint32_t llm_ctx(const struct llm *l);
/* "lora": name, digest and scale of each adapter, as a member of the object that w writes; nothing where there is none. */
void llm_lora_put(struct json_w *w, const struct llm *l);

/* ---- embedding ---------------------------------------------------------------------------------- */

/* Documents in, vectors out, in one packed pass; equal documents are computed once. Prefixes are the caller's. */
struct llm_doc {
	const int32_t *ids;
	int32_t n;
	int32_t second; /* of a pair: where the second text begins; 0: one text */
	float *out;     /* [model_info()->n_out] */
	struct err err; /* code != ERR_OK: it failed alone */
};
int llm_embed(struct llm *l, struct llm_doc *docs, size_t n, bool normalize, struct err *e);

/* ---- generation: many requests at once ----------------------------------------------------------- */

struct llm_stops {
	const struct str *v;
	size_t n;
};
enum llm_finish { LLM_STOP, LLM_LENGTH };
struct llm_request {
	/* in */
	const int32_t *ids; /* the prompt; borrowed until it is finished */
	int32_t n_ids, max_tokens;
	struct sample_params sample;
	uint64_t sample_index; /* which of n samples */
	struct llm_stops stops;
	int n_top;             /* top_logprobs; -1: no logprobs at all */
	void *user;
	/* streaming: called with bytes that are certain (UTF-8 whole, no stop string begun); NULL: none */
	void (*on_text)(struct llm_request *rq, struct str bytes);
	/* out */
	struct buf text;       /* the output, valid UTF-8, without the stop string */
	struct tok_ids out;    /* without the token that ended it */
	int32_t n_sampled;     /* with that token */
	struct sample_choice *chosen; /* [out.n] with logprobs */
	struct sample_choice *top;    /* [out.n, n_top] */
	enum llm_finish finish;
	int32_t n_cached;      /* prompt tokens whose work was there already */
	uint64_t t_queued, t_start, t_first, t_done; /* mono ns */
	uint64_t ns_prompt, ns_predicted; /* its share of the machine's time: what others in the batch used is theirs */
	struct err err;        /* code != ERR_OK: it failed alone */
};
/*
 * The scheduler. Requests run side by side in one batch: prompts in chunks, decoding sequences a token each. A request is
 * let in when its prompt and its answer fit into the KV cache; what its prompt shares with another one's, at work or just
 * finished, is taken over and not computed again. Outputs do not depend on any of this.
 *
 *   while (more input || llm_gen_busy(g)) {
 *           while (more input && llm_gen_room(g)) llm_gen_submit(g, rq, e);
 *           llm_gen_step(&done, g, e);
 *           if (done) …
 *   }
 */
struct llm_gen;
int llm_gen_new(struct llm_gen **out, struct llm *l, struct err *e);
void llm_gen_free(struct llm_gen *g);
/* How many more may be submitted now. */
size_t llm_gen_room(const struct llm_gen *g);
/* A request that cannot run (too long) is accepted too, and comes back failed. -1: no room, no memory. */
int llm_gen_submit(struct llm_gen *g, struct llm_request *rq, struct err *e);
/* One step of the batch; *done is a finished request or NULL. Call while llm_gen_busy(). -1 ends the run. */
int llm_gen_step(struct llm_request **done, struct llm_gen *g, struct err *e);
bool llm_gen_busy(const struct llm_gen *g);
void llm_request_release(struct llm_request *rq); /* what is in its "out" part */

/* Log-likelihood of given tokens: out[i] = log p(ids[i] | ids[0..i)), i >= 1; out[0] = 0. Many texts share a batch. */
struct llm_text {
	const int32_t *ids;
	int32_t n;      /* 1 … llm_ctx() */
	double *out;    /* [n] */
	struct err err; /* code != ERR_OK: it failed alone */
};
int llm_score(struct llm *l, struct llm_text *texts, size_t n, struct err *e);

/* ---- prompts ------------------------------------------------------------------------------------ */

/* How prompts are made; immutable. What a record says is text of the user: special tokens in it stay plain text. */
struct llm_prompter {
	const struct tok *tok;
	const struct tok_tmpl *chat; /* NULL: no turns, the text as it is */
	const struct tok_tmpl *fill; /* makes the text from the record's members, or NULL */
	struct json_val more;        /* an object of further variables for both templates, or JSON_NONE */
	struct str system;           /* a system turn, unless the messages begin with one; or empty */
	struct str append;           /* stands behind the text, after a blank line; or empty */
	bool raw;                    /* special tokens count in the text, too */
};
struct llm_prompt {
	struct tok_ids ids;     /* grows, kept from prompt to prompt */
	struct tok_parts parts; /* as rendered */
	struct str messages;    /* JSON: what `prompt_hash` is of */
	int32_t n_whole;        /* tokens before truncation */
};
/*
 * record: the variables of `fill`; messages: an array or JSON_NONE, then text (without `fill`). limit > 0: text is cut at its
 * end until the prompt has at most so many tokens. `a` keeps parts and messages.
 */
int llm_prompt_make(struct llm_prompt *out, const struct llm_prompter *p, struct tok_enc *x, struct json_val record,
		    struct json_val messages, struct str text, int32_t limit, struct arena *a, struct err *e);
void llm_prompt_release(struct llm_prompt *p);
/* The same without a model: the turns as JSON and, unless text is NULL, the text of a completion. Both in `a`. */
int llm_prompt_text(struct str *messages, struct str *text, const struct llm_prompter *p, struct json_val record,
		    struct json_val turns, struct str s, struct arena *a, struct err *e);
/* A document's ids with what the model puts around it; limit > 0: its text is cut at a token until they fit. */
int llm_document(struct tok_ids *ids, int32_t *n_whole, struct tok_enc *x, struct str text, int32_t limit, struct err *e);

/* How a reranker wants to see a query and a document. */
struct llm_pairing {
	struct str tmpl; /* text with {query} and {document}, or empty: as the tokenizer joins two texts */
	bool twice;      /* two separators between the two (RoBERTa) */
};
/* ERR_OPEN where the file does not say. */
int llm_pairing(struct llm_pairing *out, const struct llm *l, struct err *e);
/* A pair's ids, in *ids from its end on; *second: where the document begins, from the pair's first id on (0: not known). As
 * for llm_document(): n_whole, limit; the document is cut, the query is not. */
int llm_pair(struct tok_ids *ids, int32_t *second, int32_t *n_whole, struct tok_enc *x, const struct tok *t,
	     const struct llm_pairing *p, struct str query, struct str doc, int32_t limit, struct err *e);

/* What a caller may ask for, by OpenAI's names (and llama.cpp's where it has none). */
struct llm_params {
	struct sample_params sample;
	int32_t max_tokens;
	uint32_t n;        /* samples */
	int n_top;         /* top_logprobs; -1: no logprobs */
	struct llm_stops stops;
};
#define LLM_MAX_SAMPLES 1024
/* llama.cpp's defaults, then the file's `general.sampling.*`; 512 tokens. */
void llm_params_init(struct llm_params *p, const struct gguf *g);
/* get(arg, name): a member or JSON_NONE. A wrong type or range is ERR_INVALID_FIELD; what cannot be done ERR_UNSUPPORTED. */
typedef struct json_val llm_param_fn(void *arg, const char *name);
int llm_params_read(struct llm_params *io, llm_param_fn *get, void *arg, struct arena *a, struct err *e);
/* All that is in force, as members of the object that w writes. */
void llm_params_put(struct json_w *w, const struct llm_params *p);

/* One entry of `calls` (DESIGN 2.4). Times in ns; t_first 0: no timings but the total. */
struct llm_call {
	const char *stage, *model, *digest;
	uint64_t prompt_tokens, completion_tokens, cached_tokens;
	bool has_completion;
	struct str params;      /* a JSON object */
	struct str prompt;      /* what prompt_hash is of, or empty */
	const uint8_t *prompt_sha256; /* or its digest, where it is not at hand; or NULL */
	uint64_t t_queued, t_start, t_first, t_done;
	uint64_t ns_prompt, ns_predicted; /* its share of the machine's time, 0 not known */
	/* of services and caches */
	struct str usage;       /* a JSON object in place of the counts, "null" where the service gave none; or empty */
	struct str provider, request_id; /* or empty */
	unsigned attempts;      /* requests sent; 0: no member */
	struct str cache;       /* a JSON object, or empty */
};
int llm_call_put(struct buf *out, const struct llm_call *c, struct err *e);

/* ---- making models ------------------------------------------------------------------------------ */

/* Who wants to know how far it is; each may be NULL. Called by the caller's own thread. */
struct llm_watch {
	void (*say)(void *arg, const char *line);                /* one a step */
	void (*step)(void *arg, uint64_t done, uint64_t tensors); /* after each tensor */
	void *arg;
};
struct llm_import_opts {
	const char *type; /* "f32", "f16", "bf16", "q8_0", "q4_0", … */
	const char *name; /* general.name; NULL: the folder's */
	unsigned threads; /* 0: all processors */
	const struct llm_watch *watch; /* or NULL */
};
/* A Hugging Face folder (config.json, tokenizer.json, *.safetensors, 1_Pooling/config.json, …) to one GGUF file. */
int llm_import(const char *dir, const char *out_path, const struct llm_import_opts *o, struct err *e);
/* Another type of a file. fit: an encoder's Q8_0 weights are rounded by what they meet in a few texts, not each to the nearest. */
int llm_quantize(const char *in_path, const char *out_path, const char *type, bool fit, struct os_pool *pool,
		 const struct llm_watch *watch, struct err *e);

/* ---- speed --------------------------------------------------------------------------------------- */

/* What the machine can do at most, with all threads of an open model at once. */
struct llm_roof {
	double int8, f32; /* operations a second, two a multiply-add */
	double read;      /* bytes a second, of the model's own tensors as they are mapped (or cached) */
};
int llm_roofline(struct llm_roof *out, const struct llm *l, struct err *e);
enum llm_case { LLM_PREFILL, LLM_DECODE, LLM_EMBEDDING };
enum { LLM_MAX_BENCH_BATCH = 256, LLM_MAX_BENCH_RUNS = 99 };
struct llm_speed {
	enum llm_case what;
	int32_t n_tokens; /* of the prompt, of each sequence, of each document */
	int32_t batch;    /* sequences or documents at once; a prompt is 1 */
	unsigned runs;    /* the median of so many; 0: a short pass alone, which warms up */
	/* out */
	double per_second; /* tokens, of all sequences together */
	double bound;      /* tokens a second if all weights came at full bandwidth, or all products at peak; attention is free */
};
/* Forward passes alone; roof NULL: no bound. Embedding is for encoders, the others for decoders (ERR_UNSUPPORTED). */
int llm_measure(struct llm_speed *io, struct llm *l, const struct llm_roof *roof, struct err *e);

/* ---- the installation ---------------------------------------------------------------------------- */

/* One finding: what was looked at, and what was seen or must be done. */
typedef void llm_finding(void *arg, bool good, const char *what, const char *text);
/* Processor, folders, default models, tokenizer, speed (about three seconds); returns how many findings are bad. */
size_t llm_doctor(llm_finding *say, void *arg, unsigned threads);

#include "llm/ask.h"
#include "llm/run.h"
#include "llm/batch.h"
#include "llm/service.h"
#include "llm/cached.h"

#endif
