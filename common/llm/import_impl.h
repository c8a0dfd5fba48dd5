/* import_impl: what import.c (folder, keys, flow) and import_arch.c (one table an architecture)
 * share. */
#ifndef LLM_IMPORT_IMPL_H
#define LLM_IMPORT_IMPL_H

#include "llm/pack_impl.h"

struct import_arch;

struct import {
	const char *dir;
	struct arena a;      /* names, small files: until the end */
	struct json_val cfg; /* config.json */
	const struct import_arch *arch;
	struct safet *st;
	bool *used; /* [safet_n_tensors] */
	struct tok *tok;
	bool has_template; /* tokenizer_config.json holds the chat template */
	const struct pack_kind *kind;
	struct pack_item *items;
	size_t n, cap;
	uint64_t n_params;
};

/* ---- config.json ------------------------------------------------------------------------- */

/* The first of the names (separated by '|') that is there and not null, else JSON_NONE. */
struct json_val import_cfg(const struct import *im, const char *names);
/* Its value; with `need` a missing one is an error, else *out stays. */
int import_cfg_u32(uint32_t *out, const struct import *im, const char *names, bool need,
		   struct err *e);
int import_cfg_f64(double *out, const struct import *im, const char *names, bool need,
		   struct err *e);
bool import_cfg_is(const struct import *im, const char *names,
		   const char *value); /* a string, equal to value */

/* ---- architectures ----------------------------------------------------------------------- */

/* By config.json's `architectures`; ERR_UNSUPPORTED lists those that are known. */
int import_arch_find(struct import *im, struct err *e);
const char *import_arch_name(const struct import *im); /* as in general.architecture */
/* The keys "ARCH.…" of config.json. */
int import_arch_keys(struct gguf_writer *w, const struct import *im, struct err *e);
/* All tensors by the table, as im->items; a tensor that has no place is an error that names it. */
int import_arch_tensors(struct import *im, struct err *e);

#endif
