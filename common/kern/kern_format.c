/* kern_format: block sizes and the exact f32 values of every format. The reference for all products. */
#include "config.h"
#include "kern/kern_impl.h"

const int8_t kern_iq4_values[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
const int8_t kern_mxfp4_values[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

static const struct format {
	uint8_t block_log2; /* elements a block */
	uint8_t bytes;
} formats[T_N] = {
	[T_F32] = { 0, 4 },     [T_F16] = { 0, 2 },     [T_BF16] = { 0, 2 },  [T_Q4_0] = { 5, 18 },
	[T_Q4_1] = { 5, 20 },   [T_Q5_0] = { 5, 22 },   [T_Q5_1] = { 5, 24 }, [T_Q8_0] = { 5, 34 },
	[T_IQ4_NL] = { 5, 18 }, [T_MXFP4] = { 5, 17 },  [T_Q2_K] = { 8, 84 }, [T_Q3_K] = { 8, 110 },
	[T_Q4_K] = { 8, 144 },  [T_Q5_K] = { 8, 176 },  [T_Q6_K] = { 8, 210 }, [T_IQ4_XS] = { 8, 136 },
};

uint32_t kern_block(uint32_t type)
{
	return type < T_N && formats[type].bytes ? 1u << formats[type].block_log2 : 0;
}

size_t kern_row_bytes(uint32_t type, int64_t cols)
{
	uint32_t block = kern_block(type);

	return block ? (size_t)cols / block * formats[type].bytes : 0;
}

bool kern_can_mul(uint32_t type)
{
	return kern_block(type) != 0;
}

float kern_f16_get(uint16_t h)
{
	return kern_half(h);
}

uint16_t kern_f16_put(float f)
{
	uint32_t u = kern_bits(f), s = u >> 16 & 0x8000, m = u & 0x7fffffff;

	if (m > 0x7f800000) /* a quiet NaN with the upper bits of the payload */
		return (uint16_t)(s | 0x7e00 | (m >> 13 & 0x1ff));
	if (m >= 0x477ff000) /* rounds to 65536 or is over it */
		return (uint16_t)(s | 0x7c00);
	if (m < 0x38800000) { /* denormal: adding 1/2 puts the rounding where the last bit is */
		uint32_t r = kern_bits(kern_float(m) + 0.5f);
		return (uint16_t)(s | (r - 0x3f000000));
	}
	m += 0xfff + (m >> 13 & 1);
	return (uint16_t)(s | (m - 0x38000000) >> 13);
}

float kern_bf16_get(uint16_t h)
{
	return kern_float((uint32_t)h << 16);
}

uint16_t kern_bf16_put(float f)
{
	uint32_t u = kern_bits(f);

	if ((u & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(u >> 16 | 64);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* ---- one block each -------------------------------------------------------------------------- */

static void get_q4_0(float *out, const void *p)
{
	const struct q4_0 *b = p;
	float d = kern_half(b->d);

	for (int j = 0; j < 16; j++) {
		out[j] = (float)((b->qs[j] & 15) - 8) * d;
		out[j + 16] = (float)((b->qs[j] >> 4) - 8) * d;
	}
}

static void get_q4_1(float *out, const void *p)
{
	const struct q4_1 *b = p;
	float d = kern_half(b->d), m = kern_half(b->m);

	for (int j = 0; j < 16; j++) {
		out[j] = (float)(b->qs[j] & 15) * d + m;
		out[j + 16] = (float)(b->qs[j] >> 4) * d + m;
	}
}

/* Element j of a 32-block with a fifth bit apart. */
static int five(const uint8_t qh[4], const uint8_t qs[16], int j)
{
	int n = j < 16 ? qs[j] & 15 : qs[j - 16] >> 4;

	return n | (qh[j / 8] >> (j % 8) & 1) << 4;
}

static void get_q5_0(float *out, const void *p)
{
	const struct q5_0 *b = p;
	float d = kern_half(b->d);

	for (int j = 0; j < 32; j++)
		out[j] = (float)(five(b->qh, b->qs, j) - 16) * d;
}

static void get_q5_1(float *out, const void *p)
{
	const struct q5_1 *b = p;
	float d = kern_half(b->d), m = kern_half(b->m);

	for (int j = 0; j < 32; j++)
		out[j] = (float)five(b->qh, b->qs, j) * d + m;
}

static void get_q8_0(float *out, const void *p)
{
	const struct q8_0 *b = p;
	float d = kern_half(b->d);

	for (int j = 0; j < 32; j++)
		out[j] = (float)b->qs[j] * d;
}

static void get_iq4_nl(float *out, const void *p)
{
	const struct q4_0 *b = p;
	float d = kern_half(b->d);

	for (int j = 0; j < 16; j++) {
		out[j] = (float)kern_iq4_values[b->qs[j] & 15] * d;
		out[j + 16] = (float)kern_iq4_values[b->qs[j] >> 4] * d;
	}
}

static void get_mxfp4(float *out, const void *p)
{
	const struct mxfp4 *b = p;
	float d = kern_e8m0_half(b->e);

	for (int j = 0; j < 16; j++) {
		out[j] = (float)kern_mxfp4_values[b->qs[j] & 15] * d;
		out[j + 16] = (float)kern_mxfp4_values[b->qs[j] >> 4] * d;
	}
}

static void get_q2_k(float *out, const void *p)
{
	const struct q2_k *b = p;
	float d = kern_half(b->d), dmin = kern_half(b->dmin);

	for (int j = 0; j < 256; j++) {
		int row = j / 32, l = j % 32, s = b->scales[j / 16];
		int q = b->qs[32 * (row / 4) + l] >> (2 * (row % 4)) & 3;

		out[j] = d * (float)(s & 15) * (float)q - dmin * (float)(s >> 4);
	}
}

static void get_q3_k(float *out, const void *p)
{
	const struct q3_k *b = p;
	float d = kern_half(b->d);

	for (int j = 0; j < 256; j++) {
		int row = j / 32, l = j % 32;
		int q = (b->qs[32 * (row / 4) + l] >> (2 * (row % 4)) & 3) | (b->hmask[l] >> row & 1) << 2;

		out[j] = d * (float)kern_k3_scale(b->scales, j / 16) * (float)(q - 4);
	}
}

static void get_q4_k(float *out, const void *p)
{
	const struct q4_k *b = p;
	float d = kern_half(b->d), dmin = kern_half(b->dmin);

	for (int g = 0; g < 8; g++) {
		uint8_t sc, m;

		kern_k4_scale(&sc, &m, b->scales, g);
		for (int l = 0; l < 32; l++) {
			int q = b->qs[32 * (g / 2) + l] >> (4 * (g % 2)) & 15;
			out[32 * g + l] = d * (float)sc * (float)q - dmin * (float)m;
		}
	}
}

static void get_q5_k(float *out, const void *p)
{
	const struct q5_k *b = p;
	float d = kern_half(b->d), dmin = kern_half(b->dmin);

	for (int g = 0; g < 8; g++) {
		uint8_t sc, m;

		kern_k4_scale(&sc, &m, b->scales, g);
		for (int l = 0; l < 32; l++) {
			int q = (b->qs[32 * (g / 2) + l] >> (4 * (g % 2)) & 15) | (b->qh[l] >> g & 1) << 4;
			out[32 * g + l] = d * (float)sc * (float)q - dmin * (float)m;
		}
	}
}

static void get_q6_k(float *out, const void *p)
{
	const struct q6_k *b = p;
	float d = kern_half(b->d);

	for (int j = 0; j < 256; j++) {
		int h = j / 128, row = j / 32 % 4, l = j % 32;
		int lo = b->ql[64 * h + 32 * (row % 2) + l] >> (4 * (row / 2)) & 15;
		int q = lo | (b->qh[32 * h + l] >> (2 * row) & 3) << 4;

		out[j] = d * (float)b->scales[j / 16] * (float)(q - 32);
	}
}

static void get_iq4_xs(float *out, const void *p)
{
	const struct iq4_xs *b = p;
	float d = kern_half(b->d);

	for (int g = 0; g < 8; g++) {
		int ls = (b->scales_l[g / 2] >> (4 * (g % 2)) & 15) | (b->scales_h >> (2 * g) & 3) << 4;
		float dl = d * (float)(ls - 32);

		for (int l = 0; l < 16; l++) {
			uint8_t n = b->qs[16 * g + l];
			out[32 * g + l] = dl * (float)kern_iq4_values[n & 15];
			out[32 * g + l + 16] = dl * (float)kern_iq4_values[n >> 4];
		}
	}
}

typedef void get_block(float *out, const void *p);
static get_block *const getters[T_N] = {
	[T_Q4_0] = get_q4_0, [T_Q4_1] = get_q4_1, [T_Q5_0] = get_q5_0, [T_Q5_1] = get_q5_1,
	[T_Q8_0] = get_q8_0, [T_IQ4_NL] = get_iq4_nl, [T_MXFP4] = get_mxfp4, [T_Q2_K] = get_q2_k,
	[T_Q3_K] = get_q3_k, [T_Q4_K] = get_q4_k, [T_Q5_K] = get_q5_k, [T_Q6_K] = get_q6_k,
	[T_IQ4_XS] = get_iq4_xs,
};

void kern_dequant(float *out, const void *p, uint32_t type, int64_t n)
{
	const uint8_t *b = p;
	uint32_t block = kern_block(type);

	if (type == T_F32) {
		memcpy(out, p, (size_t)n * 4);
	} else if (type == T_F16 || type == T_BF16) {
		for (int64_t i = 0; i < n; i++) {
			uint16_t h;
			memcpy(&h, b + 2 * i, 2);
			out[i] = type == T_F16 ? kern_half(h) : kern_bf16_get(h);
		}
	} else if (block) {
		for (int64_t i = 0; i < n; i += block, b += formats[type].bytes)
			getters[type](out + i, b);
	}
}
