/*
 * kern_kquantize: f32 to the super-blocks Q4_K, Q5_K and Q6_K. Each group is fitted by weighted least squares over
 * several roundings; when its scale has become an integer, the neighbours of that integer are tried with the numbers
 * quantized anew. Weights: the importance matrix times the magnitude, or the magnitude alone.
 */
#include "config.h"
#include "kern/kern_impl.h"
#include <math.h>

static int nearest(float x, int lo, int hi)
{
	return x >= (float)hi ? hi : x > (float)lo ? (int)lrintf(x) : lo;
}

static void weigh(float *w, const float *x, const float *imatrix, int n)
{
	float sq = 0;

	for (int i = 0; i < n; i++)
		sq += x[i] * x[i];
	float rms = sqrtf(sq / (float)n);
	for (int i = 0; i < n; i++)
		w[i] = (imatrix ? imatrix[i] : 1) * (rms + fabsf(x[i]));
}

/* ---- scale and minimum: x ~ s q - m, q in 0..top, s and m >= 0 ----------------------------------- */

struct affine {
	float s, m;
};

static float affine_error(const float *x, const float *w, float s, float m, int top)
{
	float inv = s > 0 ? 1 / s : 0, err = 0;

	for (int i = 0; i < 32; i++) {
		float d = s * (float)nearest((x[i] + m) * inv, 0, top) - m - x[i];
		err += w[i] * d * d;
	}
	return err;
}

/* The best s and m for the roundings that `f` makes. */
static struct affine affine_refit(const float *x, const float *w, struct affine f, int top)
{
	float sw = 0, sx = 0, sq = 0, sqq = 0, sxq = 0, inv = f.s > 0 ? 1 / f.s : 0;

	for (int i = 0; i < 32; i++) {
		float q = (float)nearest((x[i] + f.m) * inv, 0, top);
		sw += w[i];
		sx += w[i] * x[i];
		sq += w[i] * q;
		sqq += w[i] * q * q;
		sxq += w[i] * x[i] * q;
	}
	float det = sw * sqq - sq * sq;
	if (det <= 0)
		return f;
	struct affine r = { (sw * sxq - sx * sq) / det, (sq * sxq - sqq * sx) / det };
	if (r.m < 0)
		r = (struct affine){ sqq > 0 ? sxq / sqq : 0, 0 };
	return r.s > 0 ? r : f;
}

static struct affine affine_fit(const float *x, const float *w, int top)
{
	float min = 0, max = x[0], best_err;

	for (int i = 0; i < 32; i++) {
		min = x[i] < min ? x[i] : min;
		max = x[i] > max ? x[i] : max;
	}
	struct affine best = { max > min ? (max - min) / (float)top : 0, -min };
	if (best.s == 0)
		return best;
	best_err = affine_error(x, w, best.s, best.m, top);
	for (int step = -12; step <= 12; step++) {
		struct affine f = { (max - min) / ((float)top + 0.1f * (float)step), -min };
		for (int i = 0; i < 2; i++) {
			f = affine_refit(x, w, f, top);
			float err = affine_error(x, w, f.s, f.m, top);
			if (err < best_err) {
				best_err = err;
				best = f;
			}
		}
	}
	return best;
}

static void put_k4_scales(uint8_t s[12], const uint8_t sc[8], const uint8_t m[8])
{
	for (int j = 0; j < 4; j++) {
		s[j] = (uint8_t)(sc[j] | (sc[j + 4] >> 4) << 6);
		s[j + 4] = (uint8_t)(m[j] | (m[j + 4] >> 4) << 6);
		s[j + 8] = (uint8_t)((sc[j + 4] & 15) | (m[j + 4] & 15) << 4);
	}
}

/* Q4_K (top 15) and Q5_K (top 31): q [256], f16 scales as bits. */
static void put_affine(uint8_t q[256], uint8_t scales[12], uint16_t *d16, uint16_t *dmin16, const float *x,
		       const float *imatrix, int top)
{
	struct affine f[8];
	float w[256], s_max = 0, m_max = 0;
	uint8_t sc[8], m[8];

	for (int g = 0; g < 8; g++) {
		weigh(w + 32 * g, x + 32 * g, imatrix ? imatrix + 32 * g : NULL, 32);
		f[g] = affine_fit(x + 32 * g, w + 32 * g, top);
		s_max = f[g].s > s_max ? f[g].s : s_max;
		m_max = f[g].m > m_max ? f[g].m : m_max;
	}
	*d16 = kern_f16_put(s_max / 63);
	*dmin16 = kern_f16_put(m_max / 63);
	float d = kern_half(*d16), dmin = kern_half(*dmin16);
	for (int g = 0; g < 8; g++) {
		int sc0 = d > 0 ? nearest(f[g].s / d, 0, 63) : 0, m0 = dmin > 0 ? nearest(f[g].m / dmin, 0, 63) : 0;
		float best = INFINITY;

		sc[g] = m[g] = 0;
		for (int a = sc0 > 2 ? sc0 - 2 : 0; a <= sc0 + 2 && a <= 63; a++)
			for (int b = m0 > 2 ? m0 - 2 : 0; b <= m0 + 2 && b <= 63; b++) {
				float err = affine_error(x + 32 * g, w + 32 * g, d * (float)a, dmin * (float)b, top);
				if (err < best) {
					best = err;
					sc[g] = (uint8_t)a;
					m[g] = (uint8_t)b;
				}
			}
		float s = d * (float)sc[g], inv = s > 0 ? 1 / s : 0;
		for (int i = 32 * g; i < 32 * g + 32; i++)
			q[i] = (uint8_t)nearest((x[i] + dmin * (float)m[g]) * inv, 0, top);
	}
	put_k4_scales(scales, sc, m);
}

void kern_put_q4_k(void *out, const float *x, const float *imatrix)
{
	struct q4_k *b = out;
	uint8_t q[256];

	put_affine(q, b->scales, &b->d, &b->dmin, x, imatrix, 15);
	for (int i = 0; i < 128; i++)
		b->qs[i] = (uint8_t)(q[i / 32 * 64 + i % 32] | q[i / 32 * 64 + 32 + i % 32] << 4);
}

void kern_put_q5_k(void *out, const float *x, const float *imatrix)
{
	struct q5_k *b = out;
	uint8_t q[256];

	put_affine(q, b->scales, &b->d, &b->dmin, x, imatrix, 31);
	for (int i = 0; i < 128; i++)
		b->qs[i] = (uint8_t)((q[i / 32 * 64 + i % 32] & 15) | (q[i / 32 * 64 + 32 + i % 32] & 15) << 4);
	memset(b->qh, 0, sizeof b->qh);
	for (int i = 0; i < 256; i++)
		b->qh[i % 32] = (uint8_t)(b->qh[i % 32] | (q[i] >> 4) << i / 32);
}

/* ---- scale alone: x ~ s q, q in -32..31, s of either sign ------------------------------------------ */

static float scaled_error(const float *x, const float *w, float s)
{
	float inv = s != 0 ? 1 / s : 0, err = 0;

	for (int i = 0; i < 16; i++) {
		float d = s * (float)nearest(x[i] * inv, -32, 31) - x[i];
		err += w[i] * d * d;
	}
	return err;
}

static float scaled_fit(const float *x, const float *w)
{
	float max = x[0], best, best_err;

	for (int i = 1; i < 16; i++)
		max = fabsf(x[i]) > fabsf(max) ? x[i] : max;
	best = max / -32;
	if (best == 0)
		return 0;
	best_err = scaled_error(x, w, best);
	for (int step = -12; step <= 12; step++) {
		float s = max / (-32 + 0.15f * (float)step), sqq = 0, sxq = 0;
		for (int i = 0; i < 16; i++) {
			float q = (float)nearest(x[i] / s, -32, 31);
			sqq += w[i] * q * q;
			sxq += w[i] * x[i] * q;
		}
		s = sqq > 0 ? sxq / sqq : s;
		float err = scaled_error(x, w, s);
		if (err < best_err) {
			best_err = err;
			best = s;
		}
	}
	return best;
}

void kern_put_q6_k(void *out, const float *x, const float *imatrix)
{
	struct q6_k *b = out;
	float w[256], s[16], largest = 0;
	uint8_t q[256];

	for (int g = 0; g < 16; g++) {
		weigh(w + 16 * g, x + 16 * g, imatrix ? imatrix + 16 * g : NULL, 16);
		s[g] = scaled_fit(x + 16 * g, w + 16 * g);
		largest = fabsf(s[g]) > fabsf(largest) ? s[g] : largest;
	}
	b->d = kern_f16_put(largest / -128);
	float d = kern_half(b->d);
	for (int g = 0; g < 16; g++) {
		int sc0 = d != 0 ? nearest(s[g] / d, -128, 127) : 0;
		float best = INFINITY;

		b->scales[g] = 0;
		for (int a = sc0 > -126 ? sc0 - 2 : -128; a <= sc0 + 2 && a <= 127; a++) {
			float err = scaled_error(x + 16 * g, w + 16 * g, d * (float)a);
			if (err < best) {
				best = err;
				b->scales[g] = (int8_t)a;
			}
		}
		float t = d * (float)b->scales[g], inv = t != 0 ? 1 / t : 0;
		for (int i = 16 * g; i < 16 * g + 16; i++)
			q[i] = (uint8_t)(nearest(x[i] * inv, -32, 31) + 32);
	}
	for (int i = 0; i < 128; i++) { /* half h, 64 bytes: rows 0 and 2, then 1 and 3 */
		const uint8_t *p = q + i / 64 * 128 + i % 64;
		b->ql[i] = (uint8_t)((p[0] & 15) | (p[64] & 15) << 4);
	}
	for (int i = 0; i < 64; i++) {
		const uint8_t *p = q + i / 32 * 128 + i % 32;
		b->qh[i] = (uint8_t)(p[0] >> 4 | (p[32] >> 4) << 2 | (p[64] >> 4) << 4 | (p[96] >> 4) << 6);
	}
}
