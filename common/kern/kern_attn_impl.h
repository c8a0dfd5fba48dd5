/*
 * kern_attn_impl: attention over pages of KERN_KV_PAGE positions, in the words of kern_vec_*.h. A page's keys become lines
 * of 16 positions for each of the d elements (as weights do in kern_mul_impl.h), its values lines of 16 elements for each
 * position; KERN_ATTN_ROWS query rows share that work. For each row and page: logits, running maximum, rescaling of what
 * there is, then the values by ascending position. A page outside a row's range does nothing to it.
 */
_Static_assert(KERN_KV_PAGE == KERN_STEP, "a page of keys is a strip of weights");

struct attn_work {
	float *keys;   /* [KERN_STEP / 16 / P][d8][P][16] */
	float *values; /* [KERN_KV_PAGE][dvp] */
	float *acc;    /* [KERN_ATTN_ROWS][dvp] */
	float *s;      /* [KERN_ATTN_ROWS][KERN_KV_PAGE] logits, then weights */
	float *row;    /* Q8_0 keys as f32, one page: [KERN_KV_PAGE][d8] */
	int64_t d8, dvp;
	float max[KERN_ATTN_ROWS], sum[KERN_ATTN_ROWS];
};

static void attn_keys(struct attn_work *t, const struct kern_attn *a, const uint8_t *k, int64_t n)
{
	size_t stride = a->k_stride, bytes = kern_row_bytes(a->kv_type, a->d);
	size_t f32_bytes = (size_t)t->d8 * 4;
	unpack_fn *fill = a->kv_type == T_F16 ? unpack_f16 : unpack_f32;

	/* positions that are not there yet and elements past d are zeros, whatever the memory holds */
	if (n < KERN_KV_PAGE || a->d % 8 || a->kv_type == T_Q8_0) {
		uint8_t *row = (uint8_t *)t->row;

		memset(row, 0, KERN_KV_PAGE * f32_bytes);
		for (int64_t i = 0; i < n; i++) {
			if (a->kv_type == T_Q8_0)
				kern_dequant(t->row + i * t->d8, k + (size_t)i * stride, T_Q8_0, a->d);
			else
				memcpy(row + (size_t)i * f32_bytes, k + (size_t)i * stride, bytes);
		}
		k = row;
		stride = f32_bytes;
	}
	for (int i = 0; i < KERN_STEP / 16; i++)
		fill((uint8_t *)t->keys + (size_t)(i / P) * (size_t)t->d8 * LINE + (size_t)(i % P) * 64,
		       k + (size_t)(16 * i) * stride, stride, t->d8, NULL);
}

static void attn_values(struct attn_work *t, const struct kern_attn *a, const uint8_t *v, int64_t n)
{
	for (int64_t i = 0; i < n; i++, v += a->v_stride) {
		float *o = t->values + i * t->dvp;
		int64_t j = 0;

		if (a->kv_type == T_F16)
			for (; j + 16 <= a->dv; j += 16)
				vf_store(o + j, vf_half(v + 2 * j));
		else if (a->kv_type == T_F32)
			for (; j + 16 <= a->dv; j += 16)
				vf_store(o + j, vf_load(v + 4 * j));
		if (j < a->dv)
			kern_dequant(o + j, v + kern_row_bytes(a->kv_type, j), a->kv_type, a->dv - j);
		for (j = a->dv; j < t->dvp; j++)
			o[j] = 0;
	}
}

/* Logits of rows [0, n) against the page into s. */
static void attn_logits(struct attn_work *t, const struct kern_attn *a, const float *q, int64_t n)
{
	for (int64_t j = 0, c; j < n; j += c) {
		c = tile_cols(n - j, VEC_COLS_F32);
		for (int i = 0; i < KERN_STEP / 16 / P; i++)
			tiles_f32[c - 1](t->s + j * KERN_KV_PAGE + 16 * P * i, KERN_KV_PAGE,
					 (const uint8_t *)t->keys + (size_t)i * (size_t)t->d8 * LINE, LINE,
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
static void attn_mix(struct attn_work *t, int64_t row, int64_t n, int64_t lo, int64_t hi)
{
	for (int64_t j = 0, c; j < n; j += c) {
		float *acc = t->acc + (row + j) * t->dvp;
		const float *s = t->s + (row + j) * KERN_KV_PAGE + lo;

		c = tile_cols(n - j, VEC_COLS_F32);
		for (int64_t e = 0, r; e < t->dvp; e += 16 * r) {
			r = t->dvp - e >= 16 * P ? P : 1;
			tile_f32_fn *run = r == P ? tiles_f32[c - 1] : tiles_f32_one[c - 1];
			run(acc + e, t->dvp, (const uint8_t *)(t->values + lo * t->dvp + e),
			    (size_t)t->dvp * 4, s, KERN_KV_PAGE, hi - lo, false);
		}
	}
}

static void attn_page(struct attn_work *t, const struct kern_attn *a, int64_t first, int64_t n, int64_t page, int64_t last)
{
	int64_t base = page * KERN_KV_PAGE, have = last - base < KERN_KV_PAGE ? last - base : KERN_KV_PAGE;
	int64_t lo[KERN_ATTN_ROWS], hi[KERN_ATTN_ROWS];

	attn_keys(t, a, (const uint8_t *)a->k + (size_t)a->page[page] * a->k_page, have);
	attn_values(t, a, (const uint8_t *)a->v + (size_t)a->page[page] * a->v_page, have);
	attn_logits(t, a, a->q + first * a->ld_q, n);
	for (int64_t i = 0; i < n; i++) {
		lo[i] = a->lo[first + i] > base ? a->lo[first + i] - base : 0;
		hi[i] = a->hi[first + i] - base < have ? a->hi[first + i] - base : have;
		if (lo[i] < hi[i])
			attn_softmax(t, a, i, lo[i], hi[i]);
	}
	for (int64_t i = 0, k; i < n; i = k) {
		for (k = i + 1; k < n && lo[k] == lo[i] && hi[k] == hi[i];)
			k++;
		if (lo[i] < hi[i])
			attn_mix(t, i, k - i, lo[i], hi[i]);
	}
}

static void attn(float *out, int64_t ld_out, const struct kern_attn *a, void *scratch)
{
	struct attn_work t = { .keys = scratch, .d8 = (a->d + 7) / 8 * 8, .dvp = (a->dv + 15) / 16 * 16 };

	t.values = t.keys + KERN_KV_PAGE * t.d8;
	t.acc = t.values + KERN_KV_PAGE * t.dvp;
	t.s = t.acc + KERN_ATTN_ROWS * t.dvp;
	t.row = t.s + KERN_ATTN_ROWS * KERN_KV_PAGE;
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

static void kv_store(void *out, const float *x, uint32_t kv_type, int64_t n)
{
	if (kv_type == T_F16)
		for (int64_t k = 0; k < n; k += 16)
			vf_half_storen((uint16_t *)out + k, at(x, k, n), n - k < 16 ? n - k : 16);
	else
		kern_quantize(out, x, kv_type, n, NULL);
}
