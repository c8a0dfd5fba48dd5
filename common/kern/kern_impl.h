/* kern_impl: what the files of this room share: block layouts, the prepared form of activations, the ISA table. */
#ifndef KERN_KERN_IMPL_H
#define KERN_KERN_IMPL_H

#include "kern/kern.h"

/* Ids of GGUF; the room stands beside gguf, so it has its own names. */
enum {
	T_F32 = 0, T_F16 = 1, T_Q4_0 = 2, T_Q4_1 = 3, T_Q5_0 = 6, T_Q5_1 = 7, T_Q8_0 = 8, T_Q2_K = 10,
	T_Q3_K = 11, T_Q4_K = 12, T_Q5_K = 13, T_Q6_K = 14, T_IQ4_NL = 20, T_IQ4_XS = 23, T_BF16 = 30,
	T_MXFP4 = 39, T_N = 43
};

/* Blocks as they lie in the file: ggml-org/ggml src/ggml-common.h. f16 as its bits. */
struct q4_0 { uint16_t d; uint8_t qs[16]; };
struct q4_1 { uint16_t d, m; uint8_t qs[16]; };
struct q5_0 { uint16_t d; uint8_t qh[4], qs[16]; };
struct q5_1 { uint16_t d, m; uint8_t qh[4], qs[16]; };
struct q8_0 { uint16_t d; int8_t qs[32]; };
struct q2_k { uint8_t scales[16], qs[64]; uint16_t d, dmin; };
struct q3_k { uint8_t hmask[32], qs[64], scales[12]; uint16_t d; };
struct q4_k { uint16_t d, dmin; uint8_t scales[12], qs[128]; };
struct q5_k { uint16_t d, dmin; uint8_t scales[12], qh[32], qs[128]; };
struct q6_k { uint8_t ql[128], qh[64]; int8_t scales[16]; uint16_t d; };
struct iq4_xs { uint16_t d, scales_h; uint8_t scales_l[4], qs[128]; };
struct mxfp4 { uint8_t e, qs[16]; };
_Static_assert(sizeof(struct q4_0) == 18 && sizeof(struct q4_1) == 20 && sizeof(struct q5_0) == 22 &&
	       sizeof(struct q5_1) == 24 && sizeof(struct q8_0) == 34 && sizeof(struct q2_k) == 84 &&
	       sizeof(struct q3_k) == 110 && sizeof(struct q4_k) == 144 && sizeof(struct q5_k) == 176 &&
	       sizeof(struct q6_k) == 210 && sizeof(struct iq4_xs) == 136 && sizeof(struct mxfp4) == 17,
	       "block sizes of GGUF");

/* Values of IQ4_NL and IQ4_XS; of MXFP4, doubled (ggml-common.h). */
extern const int8_t kern_iq4_values[16], kern_mxfp4_values[16];

/*
 * Activations for int8 weights: one record a block of 32 elements, one scale each, whatever the weight's type. A
 * column's records are contiguous, columns kern_act_stride() apart.
 */
struct act32 {
	int8_t q[32];
	float d;        /* amax / 127; NaN or Inf when an element is */
	float sum;      /* (float)sum of q */
	int32_t neg;    /* -(sum of q) */
	int32_t neg_lo; /* -(sum of q[0..15]) */
};
_Static_assert(sizeof(struct act32) == 48, "act32");
/* Columns of `cols` elements are an odd number of cache lines apart: a tile's do not share their sets. */
static inline size_t kern_lines(int64_t cols, size_t element)
{
	return (((size_t)cols * element + 63) / 64 | 1) * 64;
}
static inline size_t kern_act_stride(int64_t cols)
{
	return kern_lines(cols / 32, sizeof(struct act32));
}

/*
 * A block stands out of its column when its largest element is above KERN_STANDS_OUT times the column's root of the mean square.
 * In MiniLM 1 block of 100 of q, k, v, 2 of up, 4 of down (in 4, 8, 15 of 100 tiles of 6 columns). 1 - the mean cosine of 293
 * texts that lose much, from activations alone (simulated): 28e-5 without second parts, 7e-5 with them (the sum of what each
 * product loses by itself); Q8_0 weights alone lose 24e-5.
 */
#define KERN_STANDS_OUT 8
/* Words of a column's mask, a bit a block, with one behind them to be read. */
static inline size_t kern_mask_words(int64_t cols)
{
	return (size_t)cols / 1024 + 2;
}

static inline uint32_t kern_bits(float f)
{
	uint32_t u;
	memcpy(&u, &f, 4);
	return u;
}
static inline float kern_float(uint32_t u)
{
	float f;
	memcpy(&f, &u, 4);
	return f;
}
/* IEEE half: exponent moved by a multiplication, which also normalises the denormals. */
static inline float kern_half(uint16_t h)
{
	uint32_t s = (uint32_t)(h & 0x8000) << 16, m = (uint32_t)(h & 0x7fff) << 13;

	if (m >= 0x0f800000)
		return kern_float(s | 0x70000000 | m | (m > 0x0f800000 ? 0x400000 : 0));
	return kern_float(s | kern_bits(kern_float(m) * 0x1p112f));
}
/* 2^(e - 128), the scale of doubled MXFP4 values; e < 2 is denormal. */
static inline float kern_e8m0_half(uint8_t e)
{
	return kern_float(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}
/* Scale and minimum j of 8 of Q4_K and Q5_K. */
static inline void kern_k4_scale(uint8_t *sc, uint8_t *m, const uint8_t s[12], int j)
{
	if (j < 4) {
		*sc = s[j] & 63;
		*m = s[j + 4] & 63;
	} else {
		*sc = (uint8_t)((s[j + 4] & 15) | (s[j - 4] >> 6) << 4);
		/* cppcheck-suppress arrayIndexOutOfBoundsCond ; j < 8 in every caller */
		*m = (uint8_t)((s[j + 4] >> 4) | (s[j] >> 6) << 4);
	}
}
/* Scale i of 16 of Q3_K, -32..31. */
static inline int kern_k3_scale(const uint8_t s[12], int i)
{
	return ((i < 8 ? s[i] & 15 : s[i - 8] >> 4) | ((s[8 + i % 4] >> (2 * (i / 4))) & 3) << 4) - 32;
}

/* One super-block; imatrix [256] or NULL. */
void kern_put_q4_k(void *out, const float *x, const float *imatrix);
void kern_put_q5_k(void *out, const float *x, const float *imatrix);
void kern_put_q6_k(void *out, const float *x, const float *imatrix);

/* One table an ISA; the fields are the functions of kern.h. */
struct kern_ops {
	void (*mul)(float *out, int64_t ld_out, const struct kern_mat *w, const struct kern_act *a,
		    int64_t from, int64_t to, void *scratch);
	/* the same of BF16 */
	void (*mul_bf16)(float *out, int64_t ld_out, const struct kern_mat *w, const struct kern_act *a,
			 int64_t from, int64_t to, void *scratch);
	void (*act_prepare)(struct kern_act *a, int64_t from, int64_t to);
	void (*rms_norm)(float *out, const float *x, const float *w, int64_t n, float eps);
	void (*layer_norm)(float *out, const float *x, const float *w, const float *b, int64_t n, float eps);
	void (*add)(float *out, const float *a, const float *b, int64_t n);
	void (*mul_add)(float *out, const float *x, float s, int64_t n);
	void (*scale)(float *x, float s, int64_t n);
	void (*silu_mul)(float *out, const float *gate, const float *up, int64_t n);
	void (*gelu_mul)(float *out, const float *gate, const float *up, int64_t n);
	void (*gelu_erf)(float *out, const float *x, int64_t n);
	void (*gelu_tanh)(float *out, const float *x, int64_t n);
	void (*softcap)(float *x, float cap, int64_t n);
	float (*max)(const float *x, int64_t n);
	float (*exp_sum)(float *x, float max, int64_t n);
	void (*rope)(float *x, const float *cos, const float *sin, int64_t n_rot, bool neox);
	bool (*all_finite)(const float *x, int64_t n);
	void (*attn)(float *out, int64_t ld_out, const struct kern_attn *a, void *scratch);
	void (*k_store)(void *page, int64_t i, const float *x, uint32_t kv_type, int64_t n);
	void (*v_store)(void *out, const float *x, uint32_t kv_type, int64_t n);
	float (*dot)(const float *a, const float *b, int64_t n);
	void (*dots)(float *out, const float *q, const float *rows, int64_t ld, int64_t n, int64_t d);
	void (*dots_u8s8)(int32_t *out, const int8_t *q, const uint8_t *rows, int64_t ld, int64_t n, int64_t d);
	void (*pack_u8)(uint8_t *out, const uint8_t *rows, int64_t ld, int64_t n, int64_t d);
	void (*mul_u8s8)(int32_t *out, int64_t ld_out, const int8_t *q, int64_t ld_q, int64_t n_q, const uint8_t *packed,
			 int64_t n, int64_t d);
	int64_t (*reach)(struct kern_reached *out, const int32_t *dots, const float *scale, const float *error, int64_t n,
			 const struct kern_bound *b);
	double (*peak)(int what, int64_t rounds); /* for kern_peak(): operations done in `rounds` */
};
extern const struct kern_ops kern_ops_scalar, kern_ops_avx2, kern_ops_avx512, kern_ops_neon, kern_ops_i8mm;
/* mul_bf16 by vdpbf16ps. */
void kern_mul_avx512bf16(float *out, int64_t ld_out, const struct kern_mat *w, const struct kern_act *a, int64_t from,
			 int64_t to, void *scratch);
/* The set `blas`: its own products, everything else of the best set below it. */
#define KERN_BLAS_SO "libopenblas.so.0"
int kern_blas_open(struct kern_ops *out, const struct kern_ops *base, struct err *e);

/*
 * A strip's scratch: KERN_STEP rows by up to KERN_CHUNK columns of unpacked weights with their scales, a copy of a
 * strip's rows where fewer than KERN_STEP remain, and that strip's outputs for all columns.
 */
#define KERN_STEP 32
#define KERN_CHUNK 512                                          /* int8, columns */
#define KERN_UNPACKED ((KERN_CHUNK / 32) * KERN_STEP * (32 + 16)) /* bytes */
#define KERN_TAIL ((size_t)KERN_STEP * 768)

/* Positions a block of attention and query rows that share one unpacking of it. */
#define KERN_ATTN_ROWS 48

#endif
