/*
 * pretok: the pre-tokenizers of the known models as hand-written scanners. A pre-tokenizer is a sequence of stages; each
 * stage finds its matches inside the pieces that the stage before it left, and what it does not match stays a piece
 * (Split with behavior Isolated). No recursion and no backtracking: linear in the text. Private to tok.
 */
#ifndef TOK_PRETOK_IMPL_H
#define TOK_PRETOK_IMPL_H

#include "base/base.h"

struct pre_stage;
/*
 * Valid UTF-8 s[i, n), i < n at a character: where a match begins at i, *hit and its end; else the end (> i) of a stretch
 * in which none begins.
 */
typedef size_t pre_fn(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit);

enum pre_tail { PRE_TAIL_NONE, PRE_TAIL_NEWLINES, PRE_TAIL_SLASHES, PRE_TAIL_ONE };
struct pre_stage {
	pre_fn *fn;
	uint8_t digits;     /* most digits in a piece; 0: any number */
	uint8_t tail;       /* enum pre_tail: what follows punctuation */
	bool contractions;  /* case-insensitive 's 't 're 've 'm 'll 'd */
	bool marks;         /* letters include marks */
	bool han;           /* a run of Han is a piece of its own */
	bool to_end;        /* blanks at the end of the text stay together, newlines or not (tiktoken) */
	bool powers;        /* blanks in powers of two (jais-2) */
	bool digit_ends;    /* a digit is a piece and ends the text for what stands before it */
	const uint32_t *ranges; /* pairs (first, last), {0, 0} ends; what fn makes of them is its business */
};

#define PRE_MAX_STAGES 6
enum { /* what else hangs on the name (not in GGUF) */
	PRE_IGNORE_MERGES = 1, /* a piece that is a token is that token */
	PRE_ADD_BOS = 2,
	PRE_CLEAN = 4,         /* decoding drops blanks before punctuation */
	PRE_NFC = 8,
	PRE_RAW = 16,          /* BPE over characters with ' ' as U+2581, not over bytes */
	PRE_ADD_SEP = 32,      /* BOS text EOS as RoBERTa */
	PRE_NEWLINES = 64,     /* a run of newlines that is a token is that token */
};
struct pre {
	unsigned n_stages; /* 0: the whole text is one piece */
	struct pre_stage stages[PRE_MAX_STAGES];
};

/* The pre-tokenizer of that GGUF name and its PRE_ flags; false when there is none. */
bool pre_by_name(struct pre *out, unsigned *flags, struct str name);
/* The components of a tokenizer.json that are stages. */
extern const struct pre_stage pre_gpt2, pre_digit, pre_digits, pre_punct, pre_bert, pre_words, pre_whitespace_split,
	pre_metaspace, pre_spaces;
/* The stages of a known regular expression of a tokenizer.json; 0 when it is not known. *total: it leaves nothing out. */
unsigned pre_by_regex(struct pre_stage out[PRE_MAX_STAGES], bool *total, struct str regex);
/* Two stages that have one scanner for both become one. */
void pre_fuse(struct pre *p);
/* The GGUF name of these stages with the flags that count among PRE_IGNORE_MERGES and PRE_NFC; NULL when there is none. */
const char *pre_name_of(const struct pre *p, unsigned flags);
void pre_digest(struct hash_sha256 *h, const struct pre *p);

struct pre_iter {
	const struct pre *pre;
	const uint8_t *s;
	unsigned level;
	struct { size_t at, end, match_end; } cur[PRE_MAX_STAGES];
};
void pre_begin(struct pre_iter *it, const struct pre *pre, struct str text);
/* The ends of the next pieces, at most cap; fewer than cap only at the end of the text. */
size_t pre_ends(uint32_t *ends, size_t cap, struct pre_iter *it);

#endif
