/* gen_impl: what the files of generation share. Private to llm. */
#ifndef LLM_GEN_IMPL_H
#define LLM_GEN_IMPL_H

#include "llm/llm.h"

enum {
	LLM_STEP = 512,            /* most tokens a forward pass */
	LLM_MAX_LOGITS = 64 << 20, /* bytes of logits a pass */
};

/* Text that a model writes, cut at stop strings and at whole characters (gen_text.c). */
struct gen_text {
	struct buf raw; /* as decoded; may hold bytes that are no UTF-8 */
	size_t sent;    /* handed out already */
	size_t longest_stop;
	const struct llm_stops *stops;
};
void gen_text_init(struct gen_text *t, const struct llm_stops *stops);
void gen_text_release(struct gen_text *t);
/* Append a token's bytes. *stopped when a stop string is complete: the text then ends before it. */
int gen_text_add(bool *stopped, struct gen_text *t, struct str bytes, struct err *e);
/* What has become certain since the last time, made valid UTF-8 and put at the end of `clean`; all
 * of it at the end. */
int gen_text_take(struct str *out, struct buf *clean, struct gen_text *t, bool end, struct err *e);

#endif
