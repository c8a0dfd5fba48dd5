/* unicode: properties of code points, from tables that data/unicode/gen-unicode makes. Private to tok. */
#ifndef TOK_UNICODE_IMPL_H
#define TOK_UNICODE_IMPL_H

#include "base/base.h"

#define UNI_MAX 0x110000u
#define UNI_BLOCK 128u

/* General categories as bits of a class word, so that a set of them is one mask. */
enum {
	UNI_LU, UNI_LL, UNI_LT, UNI_LM, UNI_LO, UNI_MN, UNI_MC, UNI_ME, UNI_ND, UNI_NL, UNI_NO, UNI_PC, UNI_PD,
	UNI_PS, UNI_PE, UNI_PI, UNI_PF, UNI_PO, UNI_SM, UNI_SC, UNI_SK, UNI_SO, UNI_ZS, UNI_ZL, UNI_ZP, UNI_CC,
	UNI_CF, UNI_CS, UNI_CO, UNI_CN
};
#define UNI_BIT(gc) (1u << (gc))
#define UNI_L 0x0000001fu
#define UNI_M 0x000000e0u
#define UNI_N 0x00000700u
#define UNI_P 0x0003f800u
#define UNI_S 0x003c0000u
#define UNI_WS 0x40000000u /* White_Space, beside the category */
#define UNI_HAN 0x80000000u /* script Han, beside the category */

/* Fields of a record. */
#define UNI_R_WS 0x20u
#define UNI_R_HAN 0x40u
#define UNI_R_WORD 0x80u /* \w of UTS 18: Alphabetic, M, Nd, Pc, Join_Control */
#define UNI_R_NFD 0x100u /* not as it stands in that form … */
#define UNI_R_NFKD 0x200u
#define UNI_R_NFC 0x400u /* … or perhaps not */
#define UNI_R_NFKC 0x800u
#define UNI_R_SB(r) ((r) >> 12 & 15u)
#define UNI_R_CCC(r) ((r) >> 16)
enum uni_sb { /* Sentence_Break, UAX 29 */
	UNI_SB_OTHER, UNI_SB_CR, UNI_SB_LF, UNI_SB_SEP, UNI_SB_EXTEND, UNI_SB_FORMAT, UNI_SB_SP, UNI_SB_LOWER,
	UNI_SB_UPPER, UNI_SB_OLETTER, UNI_SB_NUMERIC, UNI_SB_ATERM, UNI_SB_SCONTINUE, UNI_SB_STERM, UNI_SB_CLOSE
};

struct uni_lower {
	uint32_t first, last, step;
	int32_t distance;
};
struct uni_decomp {
	uint32_t cp;
	uint16_t at, n; /* in uni_pool */
};
struct uni_pair {
	uint32_t a, b, both;
};
extern const char uni_version[];
extern const uint16_t uni_stage1[UNI_MAX / UNI_BLOCK];
extern const uint8_t uni_stage2[];
extern const uint32_t uni_records[256];
extern const uint32_t uni_ascii[256]; /* uni_class() of ASCII; 0 for the bytes of longer characters */
extern const struct uni_lower uni_lowers[];
extern const size_t uni_n_lowers;
extern const uint32_t uni_pool[];
extern const struct uni_decomp uni_canon[], uni_compat[];
extern const size_t uni_n_canon, uni_n_compat;
extern const struct uni_pair uni_pairs[];
extern const size_t uni_n_pairs;

/* cp < UNI_MAX */
static inline uint32_t uni_record(uint32_t cp)
{
	return uni_records[uni_stage2[uni_stage1[cp / UNI_BLOCK] * UNI_BLOCK + cp % UNI_BLOCK]];
}
/* One bit of the general category, and UNI_WS or UNI_HAN where they hold. */
static inline uint32_t uni_class(uint32_t cp)
{
	uint32_t r = uni_record(cp);

	return UNI_BIT(r & 31u) | (r & UNI_R_WS) << 25 | (r & UNI_R_HAN) << 25;
}

/* Code point at p in text that is known to be valid UTF-8; its length is added to *i. */
static inline uint32_t uni_next(const uint8_t *s, size_t *i)
{
	const uint8_t *p = s + *i;

	if (p[0] < 0x80) {
		*i += 1;
		return p[0];
	}
	if (p[0] < 0xe0) {
		*i += 2;
		return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
	}
	if (p[0] < 0xf0) {
		*i += 3;
		return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	}
	*i += 4;
	return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}
/* Start of the character that ends before i > 0. */
static inline size_t uni_prev(const uint8_t *s, size_t i)
{
	do
		i--;
	while (i && (s[i] & 0xc0) == 0x80);
	return i;
}

/* Lower case of one code point, at most two of them (U+0130); the number written. No context (final sigma). */
unsigned uni_lower(uint32_t out[2], uint32_t cp);

/* The longest full decomposition has 18 code points (U+FDFA). */
#define UNI_DECOMP_MAX 18
/* Full canonical or compatibility decomposition; the number of code points (1: itself). */
unsigned uni_decompose(uint32_t out[UNI_DECOMP_MAX], uint32_t cp, bool compat);
/* The primary composite of a pair, or 0. */
uint32_t uni_compose(uint32_t a, uint32_t b);

/*
 * The end of the sentence that begins at `from` in valid UTF-8 (UAX 29, rules SB1 to SB998): s.n at the last one.
 * Linear over a text: looks ahead no further than the next letter or break.
 */
size_t uni_sentence_end(struct str s, size_t from);

#endif
