/* gguf_impl: what the files of this room share. */
#ifndef GGUF_GGUF_IMPL_H
#define GGUF_GGUF_IMPL_H

#include "gguf/gguf.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "values are read from the map as they lie");

/* Limits of ggml's reader, or of ours where it has none. */
#define GGUF_MAX_KEYS ((uint64_t)1 << 16)
#define GGUF_MAX_TENSORS ((uint64_t)1 << 20)
#define GGUF_MAX_STRING ((uint64_t)1 << 30)
#define GGUF_MAX_ARRAY ((uint64_t)1 << 30)
#define GGUF_MAX_KEY_NAME 65535 /* docs/gguf.md */
#define GGUF_MAX_TENSOR_NAME 63 /* GGML_MAX_NAME with its NUL */
#define GGUF_MAX_PARTS 99999    /* five digits in a name */
#define GGUF_ALIGNMENT 32       /* where general.alignment says nothing */

/* Names in messages: at most this many bytes. */
#define GGUF_SHOW(s) (int)((s).n < 80 ? (s).n : 80), (s).p

/* Bytes of a scalar of that kind, 0 for strings and arrays. */
size_t gguf_kind_bytes(enum gguf_kind kind);
/* Bytes of a tensor. False: overflow, a bad dimension, or a row that is no whole number of
 * blocks. */
bool gguf_tensor_bytes(size_t *out, uint32_t type, const int64_t ne[GGUF_MAX_DIMS]);
/* n up to the next multiple of align, a power of two. False on overflow. */
bool gguf_align_up(uint64_t *out, uint64_t n, uint64_t align);

#endif
