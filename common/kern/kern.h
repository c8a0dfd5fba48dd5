/*
 * kern: numbers on the CPU. Quantized formats (dequantize, quantize), products of weight matrices with one or
 * many columns, norms, rope, softmax, attention, activations, vector search's dot products.
 * Borrows pointers, allocates nothing after kern_scratch_*, knows no model. Every function has a scalar twin that
 * defines its result; one file an ISA behind one dispatch table.
 *
 * Determinism (DESIGN 2.10): each output element is computed by a sequence of operations that depends on its row's
 * weights and its column's activations alone: not on how many columns share the call, on threads or on chunks.
 * The numbers of an int8 product are exact integers within a block and one fixed order of f32 steps over blocks.
 */
#ifndef KERN_KERN_H
#define KERN_KERN_H

#include "base/base.h"
#include "os/os.h"

/* ISA levels; LLMU_ISA forces one (through kern_init). */
enum kern_isa { KERN_SCALAR, KERN_AVX2, KERN_AVX512, KERN_AVX512BF16, KERN_NEON, KERN_I8MM, KERN_BLAS, KERN_N_ISAS };
/* Choose once at start, by what the processor has or by name ("scalar", "avx2", "avx512", "avx512bf16", "neon", "i8mm",
 * "blas"; NULL: the best there is).
 * ERR_USAGE names those that this processor has. Not thread-safe; call before any other function. */
int kern_init(const char *name, struct err *e);
enum kern_isa kern_isa(void);
const char *kern_isa_name(enum kern_isa isa);
bool kern_isa_available(enum kern_isa isa);
/* CPU features in words, for --version and doctor: "avx2 fma f16c avx512f …". */
void kern_features(struct buf *out);

/*
 * The roofline, measured on the calling thread with the chosen set: operations a second (2 a multiply-add) of int8 dots
 * and f32 FMAs alone, in a few ms. Bandwidth is the caller's loop over kern_read(), which reads n bytes.
 */
enum kern_peak { KERN_PEAK_INT8, KERN_PEAK_F32 };
double kern_peak(enum kern_peak what);
uint64_t kern_read(const void *p, size_t n);

/* ---- formats (type ids are GGUF's) ------------------------------------------------------------ */

/* Elements and bytes a block; 0 where the type has no kernel. */
uint32_t kern_block(uint32_t type);
size_t kern_row_bytes(uint32_t type, int64_t cols);
bool kern_can_mul(uint32_t type);      /* a weight of this type can be multiplied */
bool kern_can_quantize(uint32_t type);
/* out [n] f32 from n elements (a multiple of the block). */
void kern_dequant(float *out, const void *p, uint32_t type, int64_t n);
/* Blocks of n elements (a multiple of the block). imatrix [n] weights of importance or NULL. */
void kern_quantize(void *out, const float *x, uint32_t type, int64_t n, const float *imatrix);
float kern_f16_get(uint16_t h);
uint16_t kern_f16_put(float f); /* round to nearest even */
float kern_bf16_get(uint16_t h);
uint16_t kern_bf16_put(float f);

/* ---- weight matrix times columns -------------------------------------------------------------- */

/* One matrix as it lies in the map: rows of kern_row_bytes(type, cols). */
struct kern_mat {
	const void *data;
	uint32_t type;
	int64_t rows, cols;
};
/*
 * Activations prepared once for a matrix's type and shared by all matrices that read them (Q, K and V; gate and up).
 * Int8 products read them in 8 bits, in blocks of 32 with one scale. A second part, of what the first one leaves, makes 15
 * bits: for encoders, whose vectors are compared to the fourth digit. Blocks that stand out of their column, a few in a hundred,
 * lose most without it, since one large element makes the steps of all coarse. Memory is the caller's: kern_act_bytes().
 */
enum kern_depth { KERN_8_BITS, KERN_8_OR_15_BITS /* 15 in blocks that stand out */, KERN_15_BITS };
enum kern_form { KERN_F32, KERN_BF16, KERN_INT8 }; /* for weights in F32 or F16, in BF16, quantized */
struct kern_act {
	const float *x;   /* [n, ld] f32 */
	int64_t ld;
	void *q;          /* the prepared form: n columns; in int8 those of the first part, of the second, and which blocks have one */
	int64_t cols, n;  /* elements a column, columns */
	enum kern_depth depth;
	enum kern_form form;
};
enum kern_form kern_form(uint32_t weight_type);
size_t kern_act_bytes(uint32_t weight_type, enum kern_depth depth, int64_t cols, int64_t n);
/* Describe; no work yet. In f32 `mem` may be NULL: x is read where it lies, which is slower where columns lie 4 KiB apart. */
void kern_act_init(struct kern_act *a, uint32_t weight_type, enum kern_depth depth, const float *x, int64_t ld, int64_t cols,
		   int64_t n, void *mem);
/* Quantize columns [from, to): split among workers as they like. */
void kern_act_prepare(struct kern_act *a, int64_t from, int64_t to);
/*
 * out[j * ld_out + r] = sum_k w[r, k] * x[j, k] for rows [from, to) and all n columns of a, overwriting.
 * `from` is a multiple of kern_row_step(). scratch: kern_mul_scratch(w, n) bytes, 64-byte aligned, a worker's own.
 */
int64_t kern_row_step(void);
size_t kern_mul_scratch(const struct kern_mat *w, int64_t n);
void kern_mul(float *out, int64_t ld_out, const struct kern_mat *w, const struct kern_act *a, int64_t from,
	      int64_t to, void *scratch);

/* ---- elementwise and rows, f32 (n elements; x and out may be the same) ------------------------- */

void kern_rms_norm(float *out, const float *x, const float *w, int64_t n, float eps); /* w NULL: ones */
void kern_layer_norm(float *out, const float *x, const float *w, const float *b, int64_t n, float eps);
void kern_add(float *out, const float *a, const float *b, int64_t n);
void kern_mul_add(float *out, const float *x, float s, int64_t n); /* out += s x */
void kern_scale(float *x, float s, int64_t n);
void kern_silu_mul(float *out, const float *gate, const float *up, int64_t n); /* silu(gate) * up */
void kern_gelu_mul(float *out, const float *gate, const float *up, int64_t n); /* gelu_tanh(gate) * up */
void kern_gelu_erf(float *out, const float *x, int64_t n);
void kern_gelu_tanh(float *out, const float *x, int64_t n);
void kern_softcap(float *x, float cap, int64_t n); /* cap tanh(x / cap) */
float kern_max(const float *x, int64_t n);
/* x = exp(x - max) in place; returns the sum, in one fixed order. */
float kern_exp_sum(float *x, float max, int64_t n);
/* Rotate one head's vector in place: cos, sin [n_rot / 2] of its position. neox: pairs (i, i + n_rot/2), else (2i, 2i+1). */
void kern_rope(float *x, const float *cos, const float *sin, int64_t n_rot, bool neox);
bool kern_all_finite(const float *x, int64_t n);

/* ---- attention --------------------------------------------------------------------------------- */

/*
 * Online-softmax attention for query rows that share one KV head: the query heads of a group, at one or many positions.
 * q, out [n_q, d] and [n_q, dv] with row strides ld_q, ld_out (floats). A page holds KERN_KV_PAGE positions in `kv_type`
 * (F16, F32 or Q8_0). Page n's keys are at (const char *)k + page[n] * k_page: for each element a line of all positions,
 * but Q8_0 position by position, k_stride apart; its values at v + page[n] * v_page, position by position, v_stride apart.
 * Row i sees positions [lo[i], hi[i]). `sink` [n_q] (a logit in the denominator and the maximum) or NULL. softcap 0: none.
 * Keys go in blocks of fixed size that begin at position 0: a row's bits depend on its own q and range alone.
 */
#define KERN_KV_PAGE 32
struct kern_attn {
	const float *q;
	int64_t ld_q, n_q, d, dv;
	const void *k, *v;
	const uint32_t *page;
	size_t k_page, v_page, k_stride, v_stride; /* bytes */
	const int32_t *lo, *hi;
	uint32_t kv_type;
	float scale, softcap;
	const float *sink;
};
void kern_attn(float *out, int64_t ld_out, const struct kern_attn *a, void *scratch);
size_t kern_attn_scratch(int64_t n_q, int64_t d, int64_t dv); /* bytes */
/* Store n floats as kv_type (F16 rounds to nearest even; Q8_0 in blocks of 32): a key as position i of its page, a value. */
void kern_k_store(void *page, int64_t i, const float *x, uint32_t kv_type, int64_t n);
void kern_v_store(void *out, const float *x, uint32_t kv_type, int64_t n);

/* ---- dot products for search and plain f32 work ------------------------------------------------ */

/* 16 lane sums with FMA and one fixed tree: the same bits on every ISA. */
float kern_dot(const float *a, const float *b, int64_t n);
/* out[i] = dot(q, rows[i]) for n rows [n, ld]; the same bits as kern_dot. */
void kern_dots(float *out, const float *q, const float *rows, int64_t ld, int64_t n, int64_t d);
/* Exact: sum of u8 * s8 (documents + 128, query), d <= 66311. out[i] for n rows of `ld` bytes. */
void kern_dots_u8s8(int32_t *out, const int8_t *q, const uint8_t *rows, int64_t ld, int64_t n, int64_t d);
/*
 * The same sums of many queries: rows are packed once, n a multiple of 32, d of 16, packed [n * d] (its order is the
 * set's own), then out[j * ld_out + i] = row i times query j for q [n_q, d] with rows ld_q apart.
 */
void kern_pack_u8(uint8_t *packed, const uint8_t *rows, int64_t ld, int64_t n, int64_t d);
void kern_mul_u8s8(int32_t *out, int64_t ld_out, const int8_t *q, int64_t ld_q, int64_t n_q, const uint8_t *packed,
		   int64_t n, int64_t d);
/*
 * Which of n rows (a multiple of 32) may score `floor`? Row i's bounds are mid +- half, mid = (dots[i] - bias) scale
 * scale[i], half = c_error error[i] + c_const; it is put into out [n] when mid + half >= floor. Returns how many.
 */
struct kern_bound {
	float scale, c_error, c_const, floor;
	int32_t bias;
};
struct kern_reached {
	int32_t row;
	float up, low;
};
int64_t kern_reach(struct kern_reached *out, const int32_t *dots, const float *scale, const float *error, int64_t n,
		   const struct kern_bound *b);

#endif
