/*
 * kern_attn_impl: attention over pages of KERN_KV_PAGE positions, in the words of kern_vec_*.h. A page of keys has for each
 * of the d elements a line of its positions, a page of values for each position a line of its elements: both are multiplied
 * as they lie, KERN_ATTN_ROWS query rows at once. For each row and page: logits, running maximum, rescaling of what there
 * is, then the values by ascending position. A page outside a row's range does nothing to it.
 */

/* ---- lines ------------------------------------------------------------------------------------- */

/* out[c * ld + i] (+)= sum over k of element i of line k times x[c * ldx + k], for 16 R elements; lines of F16 or F32 from w
 * on, `step` bytes apart. */
INLINE void lines(float *out, int64_t ld, const uint8_t *w, size_t step, const float *x, int64_t ldx, int64_t nk, bool first,
		  const int C, const int R, const bool half)
{
	vf acc[P][VEC_COLS_F32];

	UNROLL for (int c = 0; c < C; c++)
		UNROLL for (int p = 0; p < R; p++)
			acc[p][c] = first ? vf_set1(0) : vf_load(out + c * ld + 16 * p);
	for (int64_t k = 0; k < nk; k++, w += step) {
		vf wl[P];

		UNROLL for (int p = 0; p < R; p++)
			wl[p] = half ? vf_half(w + 32 * p) : vf_load(w + 64 * p);
		UNROLL for (int c = 0; c < C; c++) {
			vf xk = vf_set1(x[c * ldx + k]);
			UNROLL for (int p = 0; p < R; p++)
				acc[p][c] = vf_fma(wl[p], xk, acc[p][c]);
		}
	}
	UNROLL for (int c = 0; c < C; c++)
		UNROLL for (int p = 0; p < R; p++)
			vf_store(out + c * ld + 16 * p, acc[p][c]);
}

typedef void lines_fn(float *out, int64_t ld, const uint8_t *w, size_t step, const float *x, int64_t ldx, int64_t nk,
		      bool first);
#define LINES(C, name, R, half)                                                                                       \
	static void name##_##C(float *out, int64_t ld, const uint8_t *w, size_t step, const float *x, int64_t ldx,    \
			       int64_t nk, bool first)                                                                \
	{                                                                                                             \
		lines(out, ld, w, step, x, ldx, nk, first, C, R, half);                                               \
	}
#define LINES_NAME(C, name) name##_##C,
#if VEC_COLS_F32 == 12
#define EACH_COLS(M, ...)                                                                                             \
	M(1, __VA_ARGS__) M(2, __VA_ARGS__) M(3, __VA_ARGS__) M(4, __VA_ARGS__) M(5, __VA_ARGS__) M(6, __VA_ARGS__)   \
	M(7, __VA_ARGS__) M(8, __VA_ARGS__) M(9, __VA_ARGS__) M(10, __VA_ARGS__) M(11, __VA_ARGS__) M(12, __VA_ARGS__)
#elif VEC_COLS_F32 == 6
#define EACH_COLS(M, ...) \
	M(1, __VA_ARGS__) M(2, __VA_ARGS__) M(3, __VA_ARGS__) M(4, __VA_ARGS__) M(5, __VA_ARGS__) M(6, __VA_ARGS__)
#else
#define EACH_COLS(M, ...) M(1, __VA_ARGS__) M(2, __VA_ARGS__)
#endif
EACH_COLS(LINES, lines_f32, P, false)
EACH_COLS(LINES, lines_half, P, true)
#if VEC_PANELS > 1 /* where 16 elements remain */
EACH_COLS(LINES, lines_f32_one, 1, false)
EACH_COLS(LINES, lines_half_one, 1, true)
#endif
/* [half][are there 16 P elements?][columns - 1] */
static lines_fn *const lines_of[2][2][VEC_COLS_F32] = {
#if VEC_PANELS > 1
	{ { EACH_COLS(LINES_NAME, lines_f32_one) }, { EACH_COLS(LINES_NAME, lines_f32) } },
	{ { EACH_COLS(LINES_NAME, lines_half_one) }, { EACH_COLS(LINES_NAME, lines_half) } },
#else
	{ { NULL }, { EACH_COLS(LINES_NAME, lines_f32) } },
	{ { NULL }, { EACH_COLS(LINES_NAME, lines_half) } },
#endif
};

/* ---- pages ------------------------------------------------------------------------------------- */

struct attn_work {
	float *keys;   /* Q8_0 keys as f32: [d][KERN_KV_PAGE] */
	float *row;    /* the same as they lie: [KERN_KV_PAGE][d] */
	float *values; /* [KERN_KV_PAGE][dvp], where they cannot be multiplied as they lie */
	float *acc;    /* [KERN_ATTN_ROWS][dvp] */
	float *s;      /* [KERN_ATTN_ROWS][KERN_KV_PAGE] logits, then weights */
	int64_t dvp;
	float max[KERN_ATTN_ROWS], sum[KERN_ATTN_ROWS];
};
/* Lines to multiply. */
struct lined {
	const uint8_t *p;
	size_t step;
	bool half;
};

/* Of positions [n, KERN_KV_PAGE) anything may be there: it does not come through attn_mask(). */
static struct lined attn_keys(struct attn_work *t, const struct kern_attn *a, const uint8_t *k, int64_t n)
{
	size_t stride = (size_t)a->d * 4;

	if (a->kv_type != T_Q8_0)
		return (struct lined){ k, KERN_KV_PAGE * (a->kv_type == T_F16 ? 2 : 4), a->kv_type == T_F16 };
	memset(t->row, 0, KERN_KV_PAGE * stride);
	for (int64_t i = 0; i < n; i++)
		kern_dequant(t->row + i * a->d, k + (size_t)i * a->k_stride, T_Q8_0, a->d);
	for (int64_t e = 0; e < a->d; e += 4)
		for (int i = 0; i < KERN_KV_PAGE; i += 16) {
			vi l[4];

			vi_rows16(l, (const uint8_t *)(t->row + i * a->d + e), stride);
			UNROLL for (int j = 0; j < 4; j++)
				vi_store(t->keys + (e + j) * KERN_KV_PAGE + i, l[j]);
		}
	return (struct lined){ (const uint8_t *)t->keys, KERN_KV_PAGE * 4, false };
}

static struct lined attn_values(struct attn_work *t, const struct kern_attn *a, const uint8_t *v, int64_t n)
{
	if (a->kv_type != T_Q8_0 && a->dv % 16 == 0)
		return (struct lined){ v, a->v_stride, a->kv_type == T_F16 };
	for (int64_t i = 0; i < n; i++, v += a->v_stride) {
		float *o = t->values + i * t->dvp;

		kern_dequant(o, v, a->kv_type, a->dv);
		memset(o + a->dv, 0, (size_t)(t->dvp - a->dv) * 4);
	}
	return (struct lined){ (const uint8_t *)t->values, (size_t)t->dvp * 4, false };
}

/* Logits of rows [0, n) against the page into s. */
static void attn_logits(struct attn_work *t, const struct kern_attn *a, const struct lined *k, const float *q, int64_t n)
{
	for (int64_t j = 0, c; j < n; j += c) {
		c = tile_cols(n - j, VEC_COLS_F32);
		for (int i = 0; i < KERN_KV_PAGE; i += 16 * P)
			lines_of[k->half][1][c - 1](t->s + j * KERN_KV_PAGE + i, KERN_KV_PAGE, k->p + (k->half ? 2 : 4) * i, k->step,
						    q + j * a->ld_q, a->ld_q, a->d, true);
	}
}

/* Lanes of positions outside [lo, hi) become -Inf; `base` is the position of the first lane. */
INLINE vf attn_mask(vf s, int64_t base, int64_t lo, int64_t hi)
{
	static const float lane[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
	vf i = vf_load(lane), none = vf_set1(-__builtin_inff());

	s = vf_lt(i, vf_set1((float)(lo - base)), none, s);
	return vf_lt(i, vf_set1((float)(hi - base)), s, none);
}

/* Weights of one row's positions [lo, hi) of the page; its maximum, sum and accumulator follow. */
static inline void attn_softmax(struct attn_work *t, const struct kern_attn *a, int64_t row, int64_t lo, int64_t hi)
{
	float *s = t->s + row * KERN_KV_PAGE;
	vf scale = vf_set1(a->scale), cap = vf_set1(a->softcap);
	vf x = vf_mul(vf_load(s), scale), y = vf_mul(vf_load(s + 16), scale);

	if (a->softcap > 0) {
		x = vf_mul(cap, vf_tanh(vf_div(x, cap)));
		y = vf_mul(cap, vf_tanh(vf_div(y, cap)));
	}
	if (lo > 0 || hi < KERN_KV_PAGE) {
		x = attn_mask(x, 0, lo, hi);
		y = attn_mask(y, 16, lo, hi);
	}
	float m = vf_hmax(vf_max(x, y)), old = t->max[row];
	if (m > old) {
		float alpha[16]; /* 0 from -Inf */

		vf_store(alpha, vf_exp(vf_set1(old - m)));
		t->max[row] = m;
		t->sum[row] *= alpha[0];
		scale_by(t->acc + row * t->dvp, alpha[0], t->dvp);
	}
	vf max = vf_set1(t->max[row]);
	x = vf_exp(vf_sub(x, max));
	y = vf_exp(vf_sub(y, max));
	vf_store(s, x);
	vf_store(s + 16, y);
	t->sum[row] += vf_sum(vf_add(x, y));
}

/* acc += weights times values for rows [0, n) that all see positions [lo, hi) of the page. */
static void attn_mix(struct attn_work *t, const struct lined *v, int64_t row, int64_t n, int64_t lo, int64_t hi)
{
	for (int64_t j = 0, c; j < n; j += c) {
		float *acc = t->acc + (row + j) * t->dvp;
		const float *s = t->s + (row + j) * KERN_KV_PAGE + lo;

		c = tile_cols(n - j, VEC_COLS_F32);
		for (int64_t e = 0, r; e < t->dvp; e += 16 * r) {
			r = t->dvp - e >= 16 * P ? P : 1;
			lines_of[v->half][r == P][c - 1](acc + e, t->dvp, v->p + (size_t)lo * v->step + (v->half ? 2 : 4) * e, v->step, s,
							 KERN_KV_PAGE, hi - lo, false);
		}
	}
}

/* The next page's: pages lie far apart, so that nothing else fetches them ahead. */
static void attn_ahead(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += 64)
		vec_prefetch(p + i);
}

static void attn_page(struct attn_work *t, const struct kern_attn *a, int64_t first, int64_t n, int64_t page, int64_t last)
{
	int64_t base = page * KERN_KV_PAGE, have = last - base < KERN_KV_PAGE ? last - base : KERN_KV_PAGE;
	int64_t lo[KERN_ATTN_ROWS], hi[KERN_ATTN_ROWS];

	struct lined k = attn_keys(t, a, (const uint8_t *)a->k + (size_t)a->page[page] * a->k_page, have);
	struct lined v = attn_values(t, a, (const uint8_t *)a->v + (size_t)a->page[page] * a->v_page, have);

	bool more = last - base > KERN_KV_PAGE;

	if (more)
		attn_ahead((const uint8_t *)a->k + (size_t)a->page[page + 1] * a->k_page, KERN_KV_PAGE * kern_row_bytes(a->kv_type, a->d));
	attn_logits(t, a, &k, a->q + first * a->ld_q, n);
	if (more)
		attn_ahead((const uint8_t *)a->v + (size_t)a->page[page + 1] * a->v_page, KERN_KV_PAGE * kern_row_bytes(a->kv_type, a->dv));
	for (int64_t i = 0; i < n; i++) {
		lo[i] = a->lo[first + i] > base ? a->lo[first + i] - base : 0;
		hi[i] = a->hi[first + i] - base < have ? a->hi[first + i] - base : have;
		if (lo[i] < hi[i])
			attn_softmax(t, a, i, lo[i], hi[i]);
	}
	for (int64_t i = 0, j; i < n; i = j) {
		for (j = i + 1; j < n && lo[j] == lo[i] && hi[j] == hi[i];)
			j++;
		if (lo[i] < hi[i])
			attn_mix(t, &v, i, j - i, lo[i], hi[i]);
	}
}

static void attn(float *out, int64_t ld_out, const struct kern_attn *a, void *scratch)
{
	struct attn_work t = { .keys = scratch, .dvp = (a->dv + 15) / 16 * 16 };

	t.row = t.keys + KERN_KV_PAGE * a->d;
	t.values = t.row + KERN_KV_PAGE * a->d;
	t.acc = t.values + KERN_KV_PAGE * t.dvp;
	t.s = t.acc + KERN_ATTN_ROWS * t.dvp;
	for (int64_t first = 0; first < a->n_q; first += KERN_ATTN_ROWS) {
		int64_t n = a->n_q - first < KERN_ATTN_ROWS ? a->n_q - first : KERN_ATTN_ROWS, lo = INT64_MAX, hi = 0;

		for (int64_t i = 0; i < n; i++) {
			float sink = a->sink ? a->sink[first + i] : -__builtin_inff();

			if (a->lo[first + i] < a->hi[first + i]) {
				lo = a->lo[first + i] < lo ? a->lo[first + i] : lo;
				hi = a->hi[first + i] > hi ? a->hi[first + i] : hi;
			}
			t.max[i] = sink;
			t.sum[i] = a->sink ? 1 : 0;
		}
		memset(t.acc, 0, (size_t)(n * t.dvp) * 4);
		for (int64_t page = lo / KERN_KV_PAGE; page * KERN_KV_PAGE < hi; page++)
			attn_page(&t, a, first, n, page, hi);
		for (int64_t i = 0; i < n; i++) {
			float *o = out + (first + i) * ld_out;

			memcpy(o, t.acc + i * t.dvp, (size_t)a->dv * 4);
			scale_by(o, t.sum[i] > 0 || t.sum[i] != t.sum[i] ? 1 / t.sum[i] : 0, a->dv);
		}
	}
}

static void k_store(void *page, int64_t i, const float *x, uint32_t kv_type, int64_t n)
{
	uint16_t h[16];

	if (kv_type == T_F16)
		for (int64_t k = 0; k < n; k += 16) {
			int64_t m = n - k < 16 ? n - k : 16;

			vf_half_storen(h, at(x, k, n), m);
			for (int64_t j = 0; j < m; j++)
				((uint16_t *)page)[(k + j) * KERN_KV_PAGE + i] = h[j];
		}
	else if (kv_type == T_F32)
		for (int64_t k = 0; k < n; k++)
			((float *)page)[k * KERN_KV_PAGE + i] = x[k];
	else
		kern_quantize((uint8_t *)page + (size_t)i * kern_row_bytes(kv_type, n), x, kv_type, n, NULL);
}

static void v_store(void *out, const float *x, uint32_t kv_type, int64_t n)
{
	if (kv_type == T_F16)
		for (int64_t k = 0; k < n; k += 16)
			vf_half_storen((uint16_t *)out + k, at(x, k, n), n - k < 16 ? n - k : 16);
	else if (kv_type == T_F32)
		memcpy(out, x, (size_t)n * 4);
	else
		kern_quantize(out, x, kv_type, n, NULL);
}
