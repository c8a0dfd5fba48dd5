/*
 * tok: text to token ids and back, as the model's own reference tokenizer does it (HF tokenizers, SentencePiece);
 * chat and prompt templates. A `struct tok` is immutable after opening and shared by all threads; what an encoder
 * needs to remember (scratch, its cache of words) is a worker's own `struct tok_enc`.
 * Ids never depend on the cache, on threads or on how a text was cut into records.
 */
#ifndef TOK_TOK_H
#define TOK_TOK_H

#include "base/base.h"
#include "gguf/gguf.h"
#include "json/json.h"

struct tok;

/* From a GGUF model (`tokenizer.ggml.*`); an unknown model or pre-tokenizer is refused by name (ERR_OPEN) unless `force`. */
int tok_open_gguf(struct tok **out, const struct gguf *g, bool force, struct err *e);
/* From the text of a tokenizer.json; `config` is the text of tokenizer_config.json or an empty str. */
int tok_open_json(struct tok **out, struct str json, struct str config, const char *name, struct err *e);
/* From the text of a .tiktoken file, whose name tells the encoding ("cl100k_base.tiktoken"). */
int tok_open_tiktoken(struct tok **out, struct str file, const char *path, struct err *e);
void tok_close(struct tok *t);

/* The GGUF keys that describe this tokenizer, for llm-model import (only after tok_open_json). */
int tok_put_gguf(const struct tok *t, struct gguf_writer *w, struct err *e);

size_t tok_n_vocab(const struct tok *t);
const char *tok_model_name(const struct tok *t); /* "gpt2", "llama", "bert", … */
const char *tok_pre_name(const struct tok *t);   /* "smollm", … or "" */
/* SHA-256 over vocabulary, types, scores, merges, pre-tokenizer, normalizer, special policy: the `tokenizer` member. Hex. */
const char *tok_digest(const struct tok *t);

enum tok_attr { TOK_NORMAL, TOK_UNKNOWN, TOK_CONTROL, TOK_USER, TOK_UNUSED, TOK_BYTE };
enum tok_attr tok_attr(const struct tok *t, int32_t id);
/* The bytes that a token stands for when decoded in the middle of a text (may be no whole character). Empty for control. */
struct str tok_bytes(const struct tok *t, int32_t id);
/* Its text in the vocabulary, as a person would look it up ("<|im_start|>", " the"). */
struct str tok_text(const struct tok *t, int32_t id);
/* -1 where there is none. */
int32_t tok_find(const struct tok *t, struct str text);
int32_t tok_bos(const struct tok *t);
int32_t tok_eos(const struct tok *t);
bool tok_add_bos(const struct tok *t); /* does the model want one in front of a text? */
bool tok_add_eos(const struct tok *t);
bool tok_is_eog(const struct tok *t, int32_t id); /* ends a generation: eos, eot, eom, … */

/* ---- encoding --------------------------------------------------------------------------------- */

struct tok_ids { /* grows; one worker's own */
	int32_t *v;
	size_t n, cap;
};
void tok_ids_release(struct tok_ids *ids);
int tok_ids_push(struct tok_ids *ids, int32_t id, struct err *e);

struct tok_span { /* bytes [start, end) of the text that a token came from */
	uint32_t start, end;
};

struct tok_enc; /* scratch and cache of one worker */
int tok_enc_new(struct tok_enc **out, const struct tok *t, struct err *e);
void tok_enc_free(struct tok_enc *x);

enum tok_flags {
	TOK_ADD_SPECIAL = 1,   /* bos/eos or CLS/SEP as the model wants them */
	TOK_PARSE_SPECIAL = 2, /* special tokens written in the text become those tokens; else they are plain text */
};
/*
 * Append the ids of text to *ids. `spans`: NULL, or a growable array of the same length as ids (see tok_spans).
 * Text must be valid UTF-8 (else ERR_INVALID_UTF8 with the offset); NUL is a character. Linear in text.n on any input.
 */
struct tok_spans {
	struct tok_span *v;
	size_t n, cap;
};
int tok_encode(struct tok_ids *ids, struct tok_spans *spans, struct tok_enc *x, struct str text, unsigned flags,
	       struct err *e);
/* Only the number of tokens; the same number as tok_encode(). */
int tok_count(size_t *out, struct tok_enc *x, struct str text, unsigned flags, struct err *e);

/* Append the text of ids. `special`: also control tokens' texts. The result may end inside a character. */
int tok_decode(struct buf *out, const struct tok *t, const int32_t *ids, size_t n, bool special, struct err *e);
/* Appends valid UTF-8 text in Unicode's form NFC, with `lower` in lower case: for comparing, by no tokenizer's rules. */
int tok_fold(struct buf *out, struct str text, bool lower, struct err *e);

/* ---- cutting ---------------------------------------------------------------------------------- */

/*
 * Where a text may be cut: anywhere between tokens (TOKEN, never inside a character), behind a sentence (UAX 29; a line's
 * end alone is none), behind a blank line. AUTO takes the best of paragraph, sentence, line, word and token that leaves the
 * piece at least half full. Where the kind asked for does not occur within the limit, the next finer one is taken.
 */
enum tok_cut { TOK_CUT_AUTO, TOK_CUT_TOKEN, TOK_CUT_SENTENCE, TOK_CUT_PARAGRAPH };
struct tok_chunk_opts {
	size_t max;       /* tokens a chunk, with what `flags` adds; at least tok_chunk_min() */
	size_t overlap;   /* at most so many tokens are repeated from the chunk before; < max / 2 is sensible */
	enum tok_cut cut;
	unsigned flags;   /* of tok_encode() */
};
struct tok_chunk { /* bytes [start, end) of the text: encoded anew they are n_tokens <= max */
	size_t start, end, n_tokens;
};
struct tok_chunks {
	struct tok_chunk *v;
	size_t n, cap;
};
/* The smallest `max` with which every character fits. */
size_t tok_chunk_min(const struct tok *t, unsigned flags);
/*
 * Append the chunks of a text: in order, each ends behind the one before, without overlap they cover the text but for
 * stretches of white space that would be a chunk of their own. Linear in text.n.
 */
int tok_chunk(struct tok_chunks *out, struct tok_enc *x, struct str text, const struct tok_chunk_opts *o, struct err *e);
/*
 * The longest head (or tail) of a text that has at most max tokens when it is encoded anew, cut between tokens and
 * characters: bytes and tokens in *out; *n_all is the number of tokens of the whole.
 */
int tok_truncate(struct tok_chunk *out, size_t *n_all, struct tok_enc *x, struct str text, size_t max, bool tail,
		 unsigned flags, struct err *e);

/* ---- templates -------------------------------------------------------------------------------- */

/*
 * Jinja as transformers runs it (trim_blocks, lstrip_blocks, loop controls, tojson without HTML escapes), with limits on
 * steps, depth and output. Text that comes from the variables keeps a mark, so that a special token written in a user's
 * message stays plain text: rendering yields parts.
 */
struct tok_tmpl;
int tok_tmpl_open(struct tok_tmpl **out, struct str source, const char *name, struct err *e); /* ERR_USAGE: line, cause */
void tok_tmpl_close(struct tok_tmpl *t);
struct str tok_tmpl_source(const struct tok_tmpl *t); /* what it was made of */

struct tok_part {
	struct str text;
	bool from_user; /* from the variables: specials are plain text */
};
struct tok_parts {
	struct tok_part *v;
	size_t n;
};
/*
 * Variables: the members of the JSON object `vars` (may be JSON_NONE), then those of `more` (win). Parts live in `a`.
 * Errors (undefined operation, raise_exception, limits) are ERR_INVALID_FIELD with the template's line.
 */
int tok_tmpl_render(struct tok_parts *out, const struct tok_tmpl *t, struct json_val vars, struct json_val more,
		    struct arena *a, struct err *e);
/* The parts as one text. */
int tok_parts_text(struct str *out, const struct tok_parts *p, struct arena *a, struct err *e);
/* Encode parts as one text in which specials count only where the template wrote them: text of the template alone gives
 * the same ids as tok_encode() of the whole. BOS is added when the model wants one and the text does not begin with it. */
int tok_encode_parts(struct tok_ids *ids, struct tok_enc *x, const struct tok_parts *p, struct err *e);

/*
 * The model's own chat template from its GGUF (`tokenizer.chat_template`), or *out NULL where it has none.
 * tok_chat_render() fills messages, add_generation_prompt, bos_token, eos_token and (if not JSON_NONE) tools; `more`: an
 * object of further variables ("enable_thinking"), or JSON_NONE.
 */
int tok_chat_open(struct tok_tmpl **out, const struct gguf *g, struct err *e);
int tok_chat_render(struct tok_parts *out, const struct tok_tmpl *t, const struct tok *tok, struct json_val messages,
		    struct json_val tools, struct json_val more, bool add_generation_prompt, struct arena *a,
		    struct err *e);

#endif
