/* tok: what the files of the room share. Private to tok. */
#ifndef TOK_TOK_IMPL_H
#define TOK_TOK_IMPL_H

#include "tok/pretok_impl.h"
#include "tok/tok.h"

#define TOK_MAX_VOCAB (1u << 24)
#define TOK_MAX_TEXT 0x7fffffffu
#define TOK_MAX_ENDS 4

enum tok_model { TOK_BPE, TOK_SPM, TOK_WPM, TOK_UGM };
/* Which tokens a look-up means: those that a model may produce from plain text, pieces that continue a word (WordPiece),
 * or those that only stand for themselves (control, unknown, byte). */
enum tok_kind { TOK_PLAIN, TOK_INNER, TOK_APART };

struct tok_slot {
	uint32_t tag;
	int32_t id; /* -1: empty */
};
/* A merge: the pair (left, right) of ids becomes `id`; a lower rank goes first. */
struct tok_merge {
	uint32_t left, right; /* left UINT32_MAX: empty */
	uint32_t rank, id;
};
#define TOK_NO_MERGE UINT64_MAX
/* An edge of the trie of texts: from a node by a byte to another, where the text of `id` ends (-1: none does). */
struct tok_edge {
	uint64_t key; /* node << 8 | byte, plus 1; 0: empty */
	uint32_t node;
	int32_t id;
};

/* Tokens that split a text wherever they stand in it. */
enum { TOK_LSTRIP = 1, TOK_RSTRIP = 2, TOK_SINGLE_WORD = 4, TOK_NORMALIZED = 8 };
struct tok_special {
	int32_t id;
	uint8_t flags;
};
struct tok_specials {
	struct tok_special *v; /* sorted by text */
	size_t n;
	uint32_t first[257];   /* v[first[c], first[c + 1]) begin with byte c */
	int only;              /* the one first byte, or -1 */
};

enum tok_norm_op {
	TOK_NORM_NFC, TOK_NORM_NFD, TOK_NORM_NFKC, TOK_NORM_NFKD, TOK_NORM_LOWER, TOK_NORM_STRIP_ACCENTS, TOK_NORM_BERT,
	TOK_NORM_REPLACE,  /* a by b */
	TOK_NORM_BLANKS,   /* runs of two or more blanks U+0020 by b */
	TOK_NORM_PREPEND,  /* b, unless the text is empty */
	TOK_NORM_PREFIX,   /* b, unless the text begins with it */
	TOK_NORM_SPACES,   /* white space at the ends away, else one blank a run */
	TOK_NORM_STRIP_LEFT, TOK_NORM_STRIP_RIGHT, TOK_NORM_CHARSMAP, TOK_NORM_NMT
};
struct tok_norm {
	enum tok_norm_op op;
	bool first_only;      /* only at the start of the text, not behind a special token */
	char *a, *b; /* owned */
	size_t na, nb;
};
#define TOK_MAX_NORMS 16

struct tok {
	enum tok_model model;
	size_t n;
	char *blob;      /* all texts; see tok_text() and tok_bytes() */
	uint32_t *off;   /* [n + 1] */
	uint8_t *attr;   /* [n] enum tok_attr */
	float *scores;   /* [n] or NULL */
	struct tok_edge *edges; /* Unigram: a trie as a hash table */
	size_t n_edges, edge_mask;
	double unk_score; /* Unigram */
	uint32_t *keys;  /* [n] SPM: order of merging, smaller first */
	struct tok_slot *slots;
	size_t slot_mask;
	size_t max_len;  /* bytes of the longest text that a model may produce */
	struct tok_merge *merges;
	size_t n_merges, merge_mask;
	uint64_t *byte_pairs; /* [256 x 256] merges of two bytes, as tok_merge_of() gives them, or NULL */
	int32_t byte_id[256]; /* of the token for one byte, or -1 */
	bool byte_level;      /* BPE over bytes; else over characters with ' ' for U+2581 */
	bool byte_fallback, fuse_unk, ignore_merges, newline_runs;
	bool add_prefix;      /* SPM: a blank in front of each fragment */
	bool prefix_first;    /* … only at the start of the text */
	bool prefix_unless;   /* … where there is none */
	bool strip_blank;     /* decoding drops a blank at the start */
	bool fused_bert;      /* BertNormalizer and BertPreTokenizer in one pass */
	bool drop_blanks;     /* pieces of blanks are no words */
	bool clean_spaces, lowercase, strip_accents, clean_text, chinese;
	size_t max_word;      /* WordPiece: characters; longer words are unknown */
	struct pre pre;
	unsigned pre_flags;
	struct tok_norm norms[TOK_MAX_NORMS];
	unsigned n_norms;
	struct tok_specials user, all, user_norm, all_norm;
	int32_t bos, eos, unk, sep, cls, pad, mask, eot, eom;
	int32_t head[TOK_MAX_ENDS], tail[TOK_MAX_ENDS]; /* what ADD_SPECIAL puts around a text */
	unsigned n_head, n_tail;
	bool add_bos, add_eos;
	uint64_t *eog; /* bits */
	char *chat;           /* the chat template of tokenizer_config.json, or NULL */
	size_t n_chat;
	char name[64];        /* of the pre-tokenizer in GGUF, or "" */
	char digest[HASH_HEX_LEN + 1];
};

/* ---- vocabulary (tok_vocab.c) */
struct tok *tok_alloc(size_t n, struct err *e);
/* Fills slots from blob, off and attr. */
int tok_build_index(struct tok *t, struct err *e);
int32_t tok_lookup(const struct tok *t, const char *p, size_t n, enum tok_kind kind);
int tok_build_merges(struct tok *t, size_t n, struct err *e);
/* False when that pair was there before (the first one counts). */
bool tok_add_merge(struct tok *t, const struct tok_merge *m);
/* That pair will be added soon. */
void tok_expect_merge(const struct tok *t, uint32_t left, uint32_t right);
int tok_build_keys(struct tok *t, struct err *e);
int tok_build_eog(struct tok *t, struct err *e);
/* The key under which a token is found, in the blob. */
struct str tok_key(const struct tok *t, int32_t id, enum tok_kind *kind);

static inline uint64_t tok_merge_of(const struct tok *t, uint32_t left, uint32_t right)
{
	size_t i = hash_mix64((uint64_t)left << 32 | right) & t->merge_mask;

	for (;; i = (i + 1) & t->merge_mask) {
		const struct tok_merge *m = &t->merges[i];

		if (m->left == left && m->right == right)
			return (uint64_t)m->rank << 32 | m->id;
		if (m->left == UINT32_MAX)
			return TOK_NO_MERGE;
	}
}

/* ---- for the loaders (tok.c) */
/* From GPT-2's printable spelling of bytes to the bytes; false (and nothing added) where a character is none of them. */
bool tok_unmap_bytes(struct buf *out, struct str s);
void tok_map_bytes(struct buf *out, struct str s);
/* U+2581 to a blank. */
void tok_add_blanks(struct buf *out, struct str s);
int tok_parse_byte(struct str s); /* <0xXX>, or -1 */
void tok_find_bytes(struct tok *t);
/* A text that is a control token whatever the file says (a </s> may be a tag of HTML, an <|im_end|> is nothing else). */
bool tok_is_eog_text(struct str s);
int tok_add_norm(struct tok *t, enum tok_norm_op op, struct str a, struct str b, struct err *e);
struct tok_merge_loader {
	struct tok *t;
	uint32_t rank;
	int32_t guess;
	struct buf both;
	struct { /* on their way into the table: by the time they go there it is in the cache */
		struct tok_merge m;
		int32_t bytes; /* a pair of bytes, or -1 */
	} due[16];
	unsigned n_due;
};
int tok_merges_begin(struct tok_merge_loader *m, struct tok *t, size_t n, struct err *e);
void tok_merges_add(struct tok_merge_loader *m, struct str left, struct str right); /* as the file spells them */
int tok_merges_end(struct tok_merge_loader *m, struct err *e);
/* When all else is in place: what is derived. */
int tok_finish(struct tok *t, struct err *e);

/* ---- special tokens (tok_special.c) */
int tok_specials_build(struct tok_specials *s, const struct tok *t, const struct tok_special *v, size_t n, struct err *e);
void tok_specials_release(struct tok_specials *s);
struct tok_hit {
	size_t start, end; /* with the blanks that it takes along */
	int32_t id;
};
/* The leftmost-longest special at or after *from; false when there is none. Moves *from behind its text. `floor`: blanks
 * before it are another's. */
bool tok_specials_next(struct tok_hit *out, size_t *from, const struct tok_specials *s, const struct tok *t,
		       struct str text, size_t floor);

/* ---- normalizers (tok_norm.c) */
struct tok_chars { /* a text while it is normalized: code points */
	uint32_t *cp;
	struct tok_span *from; /* with `places`: the bytes that each comes from */
	size_t n, cap, n_from; /* n_from: room there */
	bool places;
};
struct tok_normed {
	struct buf text;
	struct tok_span *map; /* [text.n]; with `places`: where each byte comes from */
	size_t map_cap;
	struct tok_chars a, b;
};
void tok_normed_release(struct tok_normed *nd);
/* True when the normalizers would change nothing (a quick, safe guess). */
bool tok_norm_idle(const struct tok *t, struct str text);
/* `places`: fill the map. */
int tok_normalize(struct tok_normed *nd, const struct tok *t, struct str text, bool first, bool places, struct err *e);
/* One character as BERT's normalizer leaves it: up to 2 * UNI_DECOMP_MAX code points; 0 when it is dropped. */
unsigned tok_norm_bert(uint32_t *out, const struct tok *t, uint32_t cp);
bool tok_is_cjk(uint32_t cp);
/* SentencePiece's compiled map of characters; checked here. */
int tok_add_charsmap(struct tok *t, struct str map, struct err *e);

/* ---- for templates (tok_enc.c) */
/* Encode text that is made of `marks`: specials are seen in the template's own text alone, all else is one text. */
int tok_encode_marked(struct tok_ids *ids, struct tok_enc *x, struct str text, const struct tok_parts *marks,
		      struct err *e);
const struct tok *tok_enc_tok(const struct tok_enc *x);

/* ---- models: one word to symbols */
struct tok_sym {
	int32_t id; /* -1: unknown */
	uint32_t start, len;
};
struct tok_word { /* scratch of one worker */
	struct tok_sym *v;
	size_t n, cap;
	struct tok_node *nodes; /* for long words */
	uint64_t *heap;
	size_t long_cap;
	struct tok_sym *tail; /* of very long words: the end of a window, which the next one repeats */
	size_t tail_cap;
	struct tok_best *best; /* Unigram */
	uint8_t *alive;        /* [best_cap] */
	size_t best_cap;
};
void tok_word_release(struct tok_word *w);
/* BPE by merges or by scores. Unknown symbols become byte tokens or unk. */
int tok_bpe_word(struct tok_word *w, const struct tok *t, const char *p, size_t n, struct err *e);
/* Greedy longest match; one unk for a word that is not covered. */
int tok_wpm_word(struct tok_word *w, const struct tok *t, const char *p, size_t n, struct err *e);
int tok_ugm_word(struct tok_word *w, const struct tok *t, const char *p, size_t n, struct err *e);
/*
 * Words of over TOK_LONG bytes, in windows: the same tokens in memory that does not grow with the word. They go to `sink` in
 * order; those without an id are the caller's to settle. tok_bpe_long() gives up with 1 where the windows do not tell what
 * the whole would become: what the sink was given is void, and larger windows are to be tried (`window` >= n always works).
 */
#define TOK_LONG 32768
typedef int tok_sink(void *arg, const struct tok_sym *v, size_t n, struct err *e);
int tok_bpe_long(struct tok_word *w, const struct tok *t, const char *p, size_t n, size_t window, tok_sink *sink, void *arg,
		 struct err *e);
int tok_ugm_long(struct tok_word *w, const struct tok *t, const char *p, size_t n, tok_sink *sink, void *arg, struct err *e);
/* p[at, at + len) that no token stands for: byte tokens, or unk (one for neighbours where the model fuses them). */
int tok_word_unknown(struct tok_word *w, const struct tok *t, const char *p, size_t at, size_t len, struct err *e);
/* Symbols without an id become what tok_word_unknown() makes of them. */
int tok_word_settle(struct tok_word *w, const struct tok *t, const char *p, struct err *e);
/* The score of what is not in the vocabulary, from those that are; the trie. */
int tok_ugm_build(struct tok *t, struct err *e);
int tok_word_push(struct tok_word *w, int32_t id, size_t start, size_t len, struct err *e);

#endif
