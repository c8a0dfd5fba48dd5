/*
 * gguf: model files as bounds-checked maps. GGUF v2 and v3, split files, safetensors; a writer for GGUF.
 * Knows bytes, keys and tensor shapes, nothing of architectures. A hostile file is an error (ERR_OPEN that
 * names the file and what is wrong), never a crash. Format: ggml-org/ggml docs/gguf.md.
 */
#ifndef GGUF_GGUF_H
#define GGUF_GGUF_H

#include "base/base.h"
#include "json/json.h"
#include "os/os.h"

/* Tensor types, by their id in the file. */
enum gguf_type {
	GGUF_F32 = 0, GGUF_F16 = 1, GGUF_Q4_0 = 2, GGUF_Q4_1 = 3, GGUF_Q5_0 = 6, GGUF_Q5_1 = 7,
	GGUF_Q8_0 = 8, GGUF_Q8_1 = 9, GGUF_Q2_K = 10, GGUF_Q3_K = 11, GGUF_Q4_K = 12, GGUF_Q5_K = 13,
	GGUF_Q6_K = 14, GGUF_Q8_K = 15, GGUF_IQ4_NL = 20, GGUF_IQ4_XS = 23, GGUF_I8 = 24,
	GGUF_I16 = 25, GGUF_I32 = 26, GGUF_I64 = 27, GGUF_F64 = 28, GGUF_BF16 = 30, GGUF_MXFP4 = 39,
	GGUF_N_TYPES = 43 /* ids are below this */
};
struct gguf_type_info {
	const char *name;  /* "Q4_K"; NULL: no such type */
	uint32_t block;    /* elements a block */
	uint32_t bytes;    /* bytes a block */
};
/* NULL for an id that is not known (or was removed). */
const struct gguf_type_info *gguf_type_info(uint32_t type);
/* By name, any case; -1 when unknown. */
int gguf_type_by_name(const char *name);

/* Value types of keys. */
enum gguf_kind {
	GGUF_K_U8, GGUF_K_I8, GGUF_K_U16, GGUF_K_I16, GGUF_K_U32, GGUF_K_I32, GGUF_K_F32, GGUF_K_BOOL,
	GGUF_K_STRING, GGUF_K_ARRAY, GGUF_K_U64, GGUF_K_I64, GGUF_K_F64
};

struct gguf_key {
	struct str name;
	enum gguf_kind kind;
	enum gguf_kind elem;   /* of an array */
	uint64_t n;            /* elements of an array, else 1 */
	const uint8_t *p;      /* the value's bytes in the map (little-endian, unaligned); strings after their length */
	size_t bytes;          /* of the value */
};

#define GGUF_MAX_DIMS 4
struct gguf_tensor {
	struct str name;
	uint32_t type;
	uint32_t n_dims;
	int64_t ne[GGUF_MAX_DIMS]; /* ne[0] is the contiguous row; 1 beyond n_dims */
	const uint8_t *data;       /* in the map */
	size_t bytes;
};

struct gguf; /* immutable once open; any thread may read */

/* Opens all parts of a split file given any of them. */
int gguf_open(struct gguf **out, const char *path, struct err *e);
/* The same from memory that outlives it (fuzzing, tests). */
int gguf_open_mem(struct gguf **out, const void *p, size_t n, const char *name, struct err *e);
void gguf_close(struct gguf *g);

const char *gguf_path(const struct gguf *g);
unsigned gguf_version(const struct gguf *g);
size_t gguf_n_parts(const struct gguf *g);
const struct os_map *gguf_part(const struct gguf *g, size_t i);
size_t gguf_n_keys(const struct gguf *g);
const struct gguf_key *gguf_key_at(const struct gguf *g, size_t i);
size_t gguf_n_tensors(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i);
/* NULL where there is none. */
const struct gguf_key *gguf_find(const struct gguf *g, const char *name);
const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name);

/* Values, whatever integer width the file chose. -1 sets ERR_OPEN: missing (unless a default is passed by the
 * _or form), wrong kind or out of range. Strings borrow the map. */
int gguf_str(struct str *out, const struct gguf *g, const char *key, struct err *e);
int gguf_u32(uint32_t *out, const struct gguf *g, const char *key, struct err *e);
int gguf_f32(float *out, const struct gguf *g, const char *key, struct err *e);
struct str gguf_str_or(const struct gguf *g, const char *key, struct str dflt);
uint32_t gguf_u32_or(const struct gguf *g, const char *key, uint32_t dflt);
float gguf_f32_or(const struct gguf *g, const char *key, float dflt);
bool gguf_bool_or(const struct gguf *g, const char *key, bool dflt);
/* Element i of an array (or of a scalar with i == 0, whatever i for a scalar broadcast). */
int gguf_elem_u32(uint32_t *out, const struct gguf_key *k, uint64_t i, struct err *e);
int gguf_elem_f32(float *out, const struct gguf_key *k, uint64_t i, struct err *e);
/* Walks a string array: *cursor starts at 0 (a byte offset). False at the end. */
bool gguf_next_str(struct str *out, const struct gguf_key *k, size_t *cursor);
/* The value as JSON; of an array over `max` elements only the first, and how many there are (for people: no JSON then). */
void gguf_key_json(struct json_w *w, const struct gguf_key *k, uint64_t max);

/* ---- writing --------------------------------------------------------------------------------- */

/* Header first, in the order given; then each tensor's bytes in the order declared. Written atomically. */
struct gguf_writer;
int gguf_writer_new(struct gguf_writer **out, const char *path, struct err *e);
int gguf_put_raw(struct gguf_writer *w, const struct gguf_key *k, struct err *e); /* copy of a key */
int gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v, struct err *e);
int gguf_put_i32(struct gguf_writer *w, const char *key, int32_t v, struct err *e);
int gguf_put_f32(struct gguf_writer *w, const char *key, float v, struct err *e);
int gguf_put_bool(struct gguf_writer *w, const char *key, bool v, struct err *e);
int gguf_put_str(struct gguf_writer *w, const char *key, struct str v, struct err *e);
int gguf_put_array(struct gguf_writer *w, const char *key, enum gguf_kind elem, const void *v, uint64_t n,
		   struct err *e); /* scalars, native order */
int gguf_put_strs(struct gguf_writer *w, const char *key, const struct str *v, uint64_t n, struct err *e);
int gguf_put_tensor(struct gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims, const int64_t *ne,
		    struct err *e);
/* After the last declaration: `look` is called with the file as it will be, all its data zero; -1 when it says so. */
int gguf_writer_try(const struct gguf_writer *w, const char *name, int (*look)(void *arg, const struct gguf *g, struct err *e),
		    void *arg, struct err *e);
/* After the last declaration: the bytes of the tensors, in order, in pieces of any size. */
int gguf_write_data(struct gguf_writer *w, const void *p, size_t n, struct err *e);
int gguf_writer_commit(struct gguf_writer *w, struct err *e); /* frees w; every tensor must be whole */
void gguf_writer_abort(struct gguf_writer *w);

/* ---- safetensors ------------------------------------------------------------------------------ */

/* A *.safetensors file or a folder with model.safetensors[.index.json]. Shapes come as GGUF writes them:
 * ne[0] is the contiguous row (the last of the file's shape). BF16, F16, F32, F64, I64, I32, I16, I8; unsigned and BOOL come
 * as the integer of their size. data may lie unaligned. */
struct safet;
int safet_open(struct safet **out, const char *path, struct err *e);
int safet_open_mem(struct safet **out, const void *p, size_t n, const char *name, struct err *e);
void safet_close(struct safet *s);
size_t safet_n_tensors(const struct safet *s);
const struct gguf_tensor *safet_tensor_at(const struct safet *s, size_t i);
const struct gguf_tensor *safet_find(const struct safet *s, const char *name);

#endif
