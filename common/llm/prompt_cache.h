/*
 * prompt_cache: what prompts begin with, kept in a folder from run to run: ids of tokens, and their
 * keys and values. A file is named KEY-IDS.kv: the hash of all that its numbers depend on (model,
 * adapters, type of keys, this program's own code, set of kernels), and that of its ids. Files
 * appear whole or not at all and are only ever replaced by equal ones, so several processes may
 * share a folder. What cannot be used is said through the note and is as if it were not there.
 * Private to llm.
 */
#ifndef LLM_PROMPT_CACHE_H
#define LLM_PROMPT_CACHE_H

#include "llm/llm.h"

struct prompt_cache;
/* `key` as above. A folder that cannot be used gives a warning and NULL; -1: no memory. */
int prompt_cache_open(struct prompt_cache **out, const char *dir,
		      const uint8_t key[HASH_SHA256_LEN], llm_note_fn *note, void *arg,
		      struct err *e);
void prompt_cache_close(struct prompt_cache *c);
/* How many tokens of ids [n] a kept prefix begins with: of `of` tokens (may be NULL), in file
 * `which`. */
int32_t prompt_cache_find(size_t *which, int32_t *of, const struct prompt_cache *c,
			  const int32_t *ids, int32_t n);
/* The first n positions of a file into an empty sequence. A file that is no good is not found
 * again. -1 with ERR_NOMEM: the cache of keys and values is full. */
int prompt_cache_load(struct model_kv *kv, model_seq s, struct prompt_cache *c, size_t which,
		      int32_t n, struct err *e);
/* Keep the first n positions of a sequence, whose tokens are ids [n]; files that hold a part of
 * them go. */
void prompt_cache_save(struct prompt_cache *c, const struct model_kv *kv, model_seq s,
		       const int32_t *ids, int32_t n);

#endif
