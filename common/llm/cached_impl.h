/* cached_impl: what the cache's files share. */
#ifndef LLM_CACHED_IMPL_H
#define LLM_CACHED_IMPL_H

#include "llm/llm.h"
#include "store/store.h"

/* Two keys: by which an answer is looked up, and of the very bytes (the same unless texts are
 * normalised). */
struct cached_key {
	uint8_t find[STORE_KEY_LEN], exact[STORE_KEY_LEN];
	bool random; /* the service will draw */
};
/* From the JSON object that llm_key() gave. Scratch lies in a. */
int cached_key(struct cached_key *out, struct str key, enum llm_kind kind, enum llm_same same,
	       struct arena *a, struct err *e);

/* What is kept of an answered ask, and back: into the "out" part of q. */
int cached_pack(struct buf *out, const struct llm_ask *q, const uint8_t exact[STORE_KEY_LEN],
		struct err *e);
/* *is_exact: it was asked in the same bytes. ERR_OPEN: not what cached_pack() writes. */
int cached_unpack(struct llm_ask *q, bool *is_exact, struct str value,
		  const uint8_t exact[STORE_KEY_LEN], struct err *e);

#endif
