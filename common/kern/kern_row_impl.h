/*
 * kern_row_impl: norms, activations, rope and dot products, in the words of kern_vec_*.h. Sums run in 16 lanes (lane i
 * has the elements i mod 16) and end in vf_sum()'s tree: the same bits on every ISA.
 */

/* The 16 (or fewer) elements at k of n. */
INLINE vf at(const float *x, int64_t k, int64_t n)
{
	return n - k >= 16 ? vf_load(x + k) : vf_loadn(x + k, n - k);
}
INLINE void put(float *out, int64_t k, int64_t n, vf v)
{
	if (n - k >= 16)
		vf_store(out + k, v);
	else
		vf_storen(out + k, v, n - k);
}

/*
 * exp(x) = 2^n (1 + r + r^2 p(r)), r = x - n ln 2 in [-0.347, 0.347]; p is a minimax polynomial (own Remez fit, relative
 * error 3e-9), ln 2 in two parts. Greatest error 1 ulp. Infinite above 88.8, denormal and zero below -87.3, NaN stays.
 */
INLINE vf vf_exp(vf x)
{
	vf magic = vf_set1(0x1.8p23f);

	x = vf_max(vf_set1(-105.0f), vf_min(vf_set1(89.0f), x));
	vf n = vf_sub(vf_fma(x, vf_set1(0x1.715476p0f), magic), magic);
	vf r = vf_fma(n, vf_set1(-0x1.62e400p-1f), x);
	r = vf_fma(n, vf_set1(-0x1.7f7d1cp-20f), r);
	vf p = vf_fma(vf_set1(0x1.6a2434p-10f), r, vf_set1(0x1.1239e2p-7f));
	p = vf_fma(p, r, vf_set1(0x1.5558f2p-5f));
	p = vf_fma(p, r, vf_set1(0x1.555492p-3f));
	p = vf_fma(p, r, vf_set1(0x1.fffffcp-2f));
	p = vf_fma(vf_mul(r, r), p, r);
	p = vf_add(p, vf_set1(1));
	/* 2^n in two factors, so that the denormals round once and 2^128 is reached */
	vi i = vi_of(n), half = vi_sar(i, 1), bias = vi_set1(127);
	p = vf_mul(p, vf_cast(vi_shl(vi_add(half, bias), 23)));
	return vf_mul(p, vf_cast(vi_shl(vi_add(vi_sub(i, half), bias), 23)));
}
/* 1 / (1 + exp(-x)) */
INLINE vf vf_sigmoid(vf x)
{
	return vf_div(vf_set1(1), vf_add(vf_set1(1), vf_exp(vf_sub(vf_set1(0), x))));
}
/* x (1 + tanh(u)) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3) */
INLINE vf vf_gelu_tanh(vf x)
{
	vf u = vf_mul(vf_mul(x, vf_set1(1.5957691216057308f)), vf_fma(vf_mul(x, x), vf_set1(0.044715f), vf_set1(1)));

	return vf_mul(x, vf_sigmoid(u));
}
/*
 * x Phi(x), Phi(x) = erfc(-x / sqrt 2) / 2. For z >= 0, erfc(z) = t exp(-z^2) q(t), t = 1 / (1 + 0.35 z), q a minimax
 * polynomial on z in [0, 10] (own Remez fit, relative error 7e-9); what z^2 loses in rounding is put back.
 */
INLINE vf vf_gelu_erf(vf x)
{
	vf zero = vf_set1(0), one = vf_set1(1), half = vf_set1(0.5f);
	vf ax = vf_cast(vi_and(vi_cast(x), vi_set1(0x7fffffff)));
	vf z = vf_mul(ax, vf_set1(0x1.6a09e6p-1f)), z2 = vf_mul(vf_mul(x, x), half);
	vf rest = vf_mul(vf_fma(x, x, vf_mul(z2, vf_set1(-2))), half);
	vf t = vf_div(one, vf_fma(vf_set1(0.35f), z, one));
	vf q = vf_fma(vf_set1(0x1.3a94d56c0812ap-5f), t, vf_set1(-0x1.457c2be8bdd9ep-3f));

	q = vf_fma(q, t, vf_set1(0x1.73a1e08ab2b1ap-3f));
	q = vf_fma(q, t, vf_set1(-0x1.c5ed09f6261cdp-6f));
	q = vf_fma(q, t, vf_set1(0x1.646d8e3cd889bp-4f));
	q = vf_fma(q, t, vf_set1(0x1.2b183cf714b09p-3f));
	q = vf_fma(q, t, vf_set1(0x1.35a112e86eb1cp-3f));
	q = vf_fma(q, t, vf_set1(0x1.80d2fb63ad9dcp-3f));
	q = vf_fma(q, t, vf_set1(0x1.93bd45c25a290p-3f));
	q = vf_fma(q, t, vf_set1(0x1.947260129a08ap-3f));
	vf e = vf_exp(vf_sub(zero, z2));
	e = vf_sub(e, vf_mul(e, rest));
	vf tail = vf_mul(vf_mul(half, e), vf_mul(t, q));
	/* past z = 10 nothing is left, and z2 may be infinite */
	tail = vf_lt(z, vf_set1(10), tail, zero);
	vf phi = vf_lt(x, zero, tail, vf_sub(one, tail));
	return vf_lt(x, vf_set1(-14.142f), vf_mul(x, zero), vf_mul(x, phi));
}
/* y + y^3 p(y^2) below 1/2 (own Remez fit, relative error 1e-9), else 1 - 2 / (exp(2 |y|) + 1) with y's sign. */
INLINE vf vf_tanh(vf y)
{
	vf ay = vf_cast(vi_and(vi_cast(y), vi_set1(0x7fffffff))), z = vf_mul(y, y), one = vf_set1(1);
	vf p = vf_fma(vf_set1(-0x1.9d2e3ccc022bcp-8f), z, vf_set1(0x1.599644326d0b9p-6f));

	p = vf_fma(p, z, vf_set1(-0x1.b933465a026bap-5f));
	p = vf_fma(p, z, vf_set1(0x1.110d689769618p-3f));
	p = vf_fma(p, z, vf_set1(-0x1.55554bc2ae923p-2f));
	vf small = vf_fma(vf_mul(y, z), p, y);
	vf big = vf_sub(one, vf_div(vf_set1(2), vf_add(vf_exp(vf_add(ay, ay)), one)));
	big = vf_cast(vi_or(vi_cast(big), vi_and(vi_cast(y), vi_set1((int)0x80000000))));
	return vf_lt(ay, vf_set1(0.5f), small, big);
}

static void rms_norm(float *out, const float *x, const float *w, int64_t n, float eps)
{
	vf acc = vf_set1(0);

	for (int64_t k = 0; k < n; k += 16) {
		vf v = at(x, k, n);
		acc = vf_fma(v, v, acc);
	}
	vf r = vf_set1(1 / __builtin_sqrtf(vf_sum(acc) / (float)n + eps));
	for (int64_t k = 0; k < n; k += 16) {
		vf v = vf_mul(at(x, k, n), r);
		put(out, k, n, w ? vf_mul(v, at(w, k, n)) : v);
	}
}

static void layer_norm(float *out, const float *x, const float *w, const float *b, int64_t n, float eps)
{
	static const float ones[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	vf acc = vf_set1(0), var = acc;

	for (int64_t k = 0; k < n; k += 16)
		acc = vf_add(acc, at(x, k, n));
	vf mean = vf_set1(vf_sum(acc) / (float)n);
	for (int64_t k = 0; k < n; k += 16) {
		vf d = vf_mul(vf_sub(at(x, k, n), mean), vf_loadn(ones, n - k < 16 ? n - k : 16));
		var = vf_fma(d, d, var);
	}
	vf r = vf_set1(1 / __builtin_sqrtf(vf_sum(var) / (float)n + eps));
	for (int64_t k = 0; k < n; k += 16) {
		vf v = vf_mul(vf_sub(at(x, k, n), mean), r);
		if (w)
			v = vf_mul(v, at(w, k, n));
		put(out, k, n, b ? vf_add(v, at(b, k, n)) : v);
	}
}

static void add(float *out, const float *a, const float *b, int64_t n)
{
	for (int64_t k = 0; k < n; k += 16)
		put(out, k, n, vf_add(at(a, k, n), at(b, k, n)));
}

static void mul_add(float *out, const float *x, float s, int64_t n)
{
	for (int64_t k = 0; k < n; k += 16)
		put(out, k, n, vf_fma(at(x, k, n), vf_set1(s), at(out, k, n)));
}

static void scale_by(float *x, float s, int64_t n)
{
	for (int64_t k = 0; k < n; k += 16)
		put(x, k, n, vf_mul(at(x, k, n), vf_set1(s)));
}

static void silu_mul(float *out, const float *gate, const float *up, int64_t n)
{
	for (int64_t k = 0; k < n; k += 16) {
		vf g = at(gate, k, n);
		put(out, k, n, vf_mul(vf_mul(g, vf_sigmoid(g)), at(up, k, n)));
	}
}

static void gelu_mul(float *out, const float *gate, const float *up, int64_t n)
{
	for (int64_t k = 0; k < n; k += 16)
		put(out, k, n, vf_mul(vf_gelu_tanh(at(gate, k, n)), at(up, k, n)));
}

static void gelu_erf(float *out, const float *x, int64_t n)
{
	for (int64_t k = 0; k < n; k += 16)
		put(out, k, n, vf_gelu_erf(at(x, k, n)));
}

static void gelu_tanh(float *out, const float *x, int64_t n)
{
	for (int64_t k = 0; k < n; k += 16)
		put(out, k, n, vf_gelu_tanh(at(x, k, n)));
}

static void softcap(float *x, float cap, int64_t n)
{
	for (int64_t k = 0; k < n; k += 16)
		put(x, k, n, vf_mul(vf_set1(cap), vf_tanh(vf_div(at(x, k, n), vf_set1(cap)))));
}

static float max_of(const float *x, int64_t n)
{
	vf m = vf_set1(-__builtin_inff());
	int64_t k = 0;

	for (; k + 16 <= n; k += 16)
		m = vf_max(vf_load(x + k), m);
	float r = vf_hmax(m);
	for (; k < n; k++)
		r = x[k] > r ? x[k] : r;
	return r;
}

static float exp_sum(float *x, float max, int64_t n)
{
	vf acc = vf_set1(0), m = vf_set1(max);

	for (int64_t k = 0; k < n; k += 16) {
		put(x, k, n, vf_exp(vf_sub(at(x, k, n), m)));
		acc = vf_add(acc, at(x, k, n)); /* zeros behind the end */
	}
	return vf_sum(acc);
}

static void rope(float *x, const float *cos, const float *sin, int64_t n_rot, bool neox)
{
	int64_t h = n_rot / 2;
	float pair[32] = { 0 };

	for (int64_t k = 0; k < h; k += 16) {
		int64_t n = h - k < 16 ? h - k : 16;
		vf c = at(cos, k, h), s = at(sin, k, h), a, b;

		if (neox) {
			a = at(x, k, h);
			b = at(x + h, k, h);
		} else if (n == 16) {
			vf_load_pairs(&a, &b, x + 2 * k);
		} else {
			memcpy(pair, x + 2 * k, (size_t)n * 8);
			vf_load_pairs(&a, &b, pair);
		}
		vf u = vf_sub(vf_mul(a, c), vf_mul(b, s)), v = vf_add(vf_mul(a, s), vf_mul(b, c));

		if (neox) {
			put(x, k, h, u);
			put(x + h, k, h, v);
		} else if (n == 16) {
			vf_store_pairs(x + 2 * k, u, v);
		} else {
			vf_store_pairs(pair, u, v);
			memcpy(x + 2 * k, pair, (size_t)n * 8);
		}
	}
}

static bool all_finite(const float *x, int64_t n)
{
	vi m = vi_set1(0), abs = vi_set1(0x7fffffff);

	for (int64_t k = 0; k < n; k += 16)
		m = vi_max(m, vi_and(vi_cast(at(x, k, n)), abs));
	return vi_hmax(m) < 0x7f800000;
}

/* R rows at once: their chains of FMA hide each other's latency. */
INLINE void dot_rows(float *out, const float *q, const float *rows, int64_t ld, int64_t d, const int R)
{
	vf acc[4];

	UNROLL for (int r = 0; r < R; r++)
		acc[r] = vf_set1(0);
	for (int64_t k = 0; k < d; k += 16) {
		vf x = at(q, k, d);
		UNROLL for (int r = 0; r < R; r++)
			acc[r] = vf_fma(x, at(rows + r * ld, k, d), acc[r]);
	}
	UNROLL for (int r = 0; r < R; r++)
		out[r] = vf_sum(acc[r]);
}

static float dot(const float *a, const float *b, int64_t n)
{
	float out;

	dot_rows(&out, a, b, 0, n, 1);
	return out;
}

static void dots(float *out, const float *q, const float *rows, int64_t ld, int64_t n, int64_t d)
{
	int64_t i = 0;

	for (; i + 4 <= n; i += 4) {
		for (int64_t k = 0; k < 4 * d; k += 16) /* four rows ahead */
			vec_prefetch(rows + (i + 4) * ld + k);
		dot_rows(out + i, q, rows + i * ld, ld, d, 4);
	}
	for (; i < n; i++)
		out[i] = dot(q, rows + i * ld, d);
}

INLINE void dot_rows_u8s8(int32_t *out, const int8_t *q, const uint8_t *rows, int64_t ld, int64_t d, const int R)
{
	vi acc[4];
	int64_t k = 0;

	UNROLL for (int r = 0; r < R; r++)
		acc[r] = vi_set1(0);
	for (; k + 64 <= d; k += 64) {
		vi x = vi_load(q + k);
		UNROLL for (int r = 0; r < R; r++)
			acc[r] = vi_dot(acc[r], vi_load(rows + r * ld + k), x);
	}
	if (k < d) {
		uint8_t u[64] = { 0 };
		int8_t s[64] = { 0 };

		memcpy(s, q + k, (size_t)(d - k));
		UNROLL for (int r = 0; r < R; r++) {
			memcpy(u, rows + r * ld + k, (size_t)(d - k));
			acc[r] = vi_dot(acc[r], vi_load(u), vi_load(s));
		}
	}
	UNROLL for (int r = 0; r < R; r++)
		out[r] = vi_sum(acc[r]);
}

static void dots_u8s8(int32_t *out, const int8_t *q, const uint8_t *rows, int64_t ld, int64_t n, int64_t d)
{
	int64_t i = 0;

	for (; i + 4 <= n; i += 4) {
		for (int64_t k = 0; k < 4 * ld; k += 64)
			vec_prefetch(rows + (i + 8) * ld + k);
		dot_rows_u8s8(out + i, q, rows + i * ld, ld, d, 4);
	}
	for (; i < n; i++)
		dot_rows_u8s8(out + i, q, rows + i * ld, ld, d, 1);
}

/* Operations done by `rounds` of independent int8 dots (what 0) or f32 FMAs (1): what the units can do at best. */
static double peak(int what, int64_t rounds)
{
	vi s[8], u = vi_set1((int)rounds & 0x7f7f7f7f);
	vf f[8], x = vf_set1((float)rounds);
	volatile int32_t sink;

	UNROLL for (int i = 0; i < 8; i++) {
		s[i] = vi_set1(i);
		f[i] = vf_set1((float)i);
	}
	for (int64_t r = 0; r < rounds; r++)
		if (what == 0)
			UNROLL for (int i = 0; i < 8; i++)
				s[i] = vi_tile(s[i], u, u, 0);
		else
			UNROLL for (int i = 0; i < 8; i++)
				f[i] = vf_fma(x, x, f[i]);
	UNROLL for (int i = 1; i < 8; i++) {
		s[0] = vi_add(s[0], s[i]);
		f[0] = vf_add(f[0], f[i]);
	}
	sink = vi_sum(s[0]) + (int32_t)kern_bits(vf_sum(f[0]));
	(void)sink;
	return (double)rounds * 8 * (what == 0 ? 128 * VEC_PAIR : 32);
}
