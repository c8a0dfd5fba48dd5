/* config_impl: the configuration file, for the files of llm. */
#ifndef LLM_CONFIG_IMPL_H
#define LLM_CONFIG_IMPL_H

#include "llm/llm.h"

#define LLM_MAX_CONFIG ((size_t)1 << 20)
/* config.json: *doc (borrows text) is JSON_NONE where there is none; `path` gets its name. */
int llm_config(struct json_val *doc, struct buf *text, struct buf *path, struct err *e);
/* The name that stands for no -m: of the variable or the configuration; empty where there is none. `from` gets its source. */
int llm_default_name(struct buf *name, struct buf *from, enum llm_role role, struct err *e);

#endif
