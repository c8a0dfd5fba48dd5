/*
 * kern_dot_impl: products of weights in F32, F16 and BF16, in the words of kern_vec_*.h. Rows are read as they lie: lane l
 * of 16 adds up the elements l, l + 16, l + 32, ... by FMA, and vf_sum()'s tree ends it: what kern_dot() does, too. BF16
 * weights take activations rounded to BF16, lane l has the pairs l, l + 16, ..., the odd element of a pair first, as
 * vdpbf16ps does. VEC_DOT_ROWS rows by up to VEC_DOT_COLS columns share what is loaded. An output's bits depend on its
 * row and column alone.
 */
/* Instrumented code is not multiplied, too: it would compile for minutes. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define UNROLL
#define INLINE static inline
#else
#if defined VEC_NO_UNROLL
#define UNROLL
#elif defined __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))
#endif

#define DR VEC_DOT_ROWS
/* Bytes of activations a column and pass: those of a tile and its rows stay in L1. */
#define DOT_PASS 3072
/* Columns whose sums are kept from pass to pass, 16 lanes each. */
#define DOT_GROUP 24
_Static_assert(KERN_UNPACKED + KERN_TAIL >= KERN_STEP * DOT_GROUP * 64, "the sums of a strip fit");
_Static_assert(KERN_STEP % DR == 0, "tiles of rows fill a strip");

/* Two words that a set may have better: it says so by a macro of the word's name. */
#ifndef vf_dot_bf16
/* acc + a b of 16 pairs of BF16: the odd element of a pair first. Denormals may count as zeros. */
INLINE vf vf_dot_bf16(vf acc, vi a, vi b)
{
	vi odd = vi_set1((int)0xffff0000);

	acc = vf_fma(vf_cast(vi_and(a, odd)), vf_cast(vi_and(b, odd)), acc);
	return vf_fma(vf_cast(vi_shl(a, 16)), vf_cast(vi_shl(b, 16)), acc);
}
#endif
#ifndef vf_sums
INLINE void vf_sums(float out[DR], const vf a[DR])
{
	UNROLL for (int r = 0; r < DR; r++)
		out[r] = vf_sum(a[r]);
}
#endif

/* Elements that 64 bytes of activations hold. */
INLINE int64_t dot_step(const uint32_t type)
{
	return type == T_BF16 ? 32 : 16;
}

/* One step of DR rows and C columns. */
INLINE void dot_add(vf acc[DR][VEC_DOT_COLS], const vf w[DR], const uint8_t *const x[], const size_t at, const uint32_t type,
		    const int C)
{
	UNROLL for (int c = 0; c < C; c++) {
		vf xc = vf_load(x[c] + at);

		UNROLL for (int r = 0; r < DR; r++)
			acc[r][c] = type == T_BF16 ? vf_dot_bf16(acc[r][c], vi_cast(w[r]), vi_cast(xc)) :
						     vf_fma(w[r], xc, acc[r][c]);
	}
}

/* The last n elements, fewer than a step: zeros behind them. */
INLINE void dot_rest(vf acc[DR][VEC_DOT_COLS], const uint8_t *const row[DR], const uint8_t *const x[], int64_t n,
		     const uint32_t type, const int C)
{
	uint8_t w_rest[64] = { 0 }, x_rest[VEC_DOT_COLS][64] = { { 0 } };
	const uint8_t *xr[VEC_DOT_COLS];
	vf w[DR];

	UNROLL for (int r = 0; r < DR; r++) {
		memcpy(w_rest, row[r], kern_row_bytes(type, n));
		w[r] = type == T_F16 ? vf_half(w_rest) : vf_load(w_rest);
	}
	UNROLL for (int c = 0; c < C; c++) {
		memcpy(x_rest[c], x[c], (size_t)n * (type == T_BF16 ? 2 : 4));
		xr[c] = x_rest[c];
	}
	dot_add(acc, w, xr, 0, type, C);
}

/*
 * Rows w[0..DR) times C columns, x_ld bytes apart, from element `from` to `to`. `kept` [DR][C] has the sums in 16 lanes of what
 * came before (`from` > 0) and gets those so far (`to` < cols). At the end, out[c * DR + r].
 */
INLINE void dot_tile(float *out, const uint8_t *const w[DR], const uint8_t *x, size_t x_ld, int64_t from, int64_t to,
		     int64_t cols, size_t ahead, uint8_t *kept, const uint32_t type, const int C)
{
	const size_t w_step = type == T_F16 ? 32 : 64;
	size_t begin = (size_t)(from / dot_step(type));
	const uint8_t *xc[VEC_DOT_COLS], *wr[DR];
	vf acc[DR][VEC_DOT_COLS];

	UNROLL for (int c = 0; c < C; c++)
		xc[c] = x + (size_t)c * x_ld + begin * 64;
	UNROLL for (int r = 0; r < DR; r++) {
		wr[r] = w[r] + begin * w_step;
		UNROLL for (int c = 0; c < C; c++)
			acc[r][c] = from > 0 ? vf_load(kept + 64 * (r * C + c)) : vf_set1(0);
	}
	size_t steps = (size_t)((to - from) / dot_step(type));
	for (size_t i = 0; i < steps; i++) {
		vf wl[DR];

		UNROLL for (int r = 0; r < DR; r++) {
			wl[r] = type == T_F16 ? vf_half(wr[r] + i * w_step) : vf_load(wr[r] + i * w_step);
			if (w_step == 64 || i % 2 == 0)
				vec_prefetch(wr[r] + i * w_step + ahead);
		}
		dot_add(acc, wl, xc, i * 64, type, C);
	}
	if (to == cols && cols % dot_step(type)) {
		UNROLL for (int c = 0; c < C; c++)
			xc[c] += steps * 64;
		UNROLL for (int r = 0; r < DR; r++)
			wr[r] += steps * w_step;
		dot_rest(acc, wr, xc, cols % dot_step(type), type, C);
	}
	if (to == cols)
		UNROLL for (int c = 0; c < C; c++) {
			vf a[DR];

			UNROLL for (int r = 0; r < DR; r++)
				a[r] = acc[r][c];
			vf_sums(out + c * DR, a);
		}
	else
		UNROLL for (int r = 0; r < DR; r++)
			UNROLL for (int c = 0; c < C; c++)
				vf_store(kept + 64 * (r * C + c), acc[r][c]);
}

typedef void dot_fn(float *out, const uint8_t *const w[DR], const uint8_t *x, size_t x_ld, int64_t from, int64_t to,
		    int64_t cols, size_t ahead, uint8_t *kept);
#define DOT(C, type)                                                                                                    \
	static void dot_##type##_##C(float *out, const uint8_t *const w[DR], const uint8_t *x, size_t x_ld, int64_t from, \
				     int64_t to, int64_t cols, size_t ahead, uint8_t *kept)                             \
	{                                                                                                               \
		dot_tile(out, w, x, x_ld, from, to, cols, ahead, kept, type, C);                                        \
	}
#define DOT_NAME(C, type) dot_##type##_##C,
#if VEC_DOT_COLS == 6
#define DOTS(M, type) M(1, type) M(2, type) M(3, type) M(4, type) M(5, type) M(6, type)
#else
#define DOTS(M, type) M(1, type) M(2, type)
#endif

/* The next tile's columns: all tiles of a call as even as can be. */
static inline int64_t tile_cols(int64_t left, int64_t most)
{
	int64_t tiles = (left + most - 1) / most;
	return (left + tiles - 1) / tiles;
}

INLINE void dot_put(float *out, const float sums[DR], int64_t valid)
{
	if (valid == DR)
		memcpy(out, sums, DR * 4); /* a move, not a call */
	else
		memcpy(out, sums, (size_t)valid * 4);
}

/* A product of one type in work. */
struct dots {
	float *out;
	int64_t ld_out;
	const uint8_t *rows, *x;
	size_t stride, x_ld, ahead;
	int64_t to, cols;
	uint8_t *kept; /* sums of a strip's group */
	dot_fn *const *tiles;
};

/* The strip from row `strip` on times columns [g, g + n), elements [k, end). */
static void dot_pass(const struct dots *d, int64_t strip, int64_t g, int64_t n, int64_t k, int64_t end)
{
	float sums[DR * VEC_DOT_COLS];

	for (int64_t j = 0, c; j < n; j += c) {
		c = tile_cols(n - j, VEC_DOT_COLS);
		for (int64_t i = 0; i < KERN_STEP && strip + i < d->to; i += DR) {
			int64_t valid = d->to - strip - i < DR ? d->to - strip - i : DR;
			const uint8_t *rows[DR];

			for (int64_t r = 0; r < DR; r++)
				rows[r] = d->rows + (size_t)(strip + i + (r < valid ? r : 0)) * d->stride;
			d->tiles[c - 1](sums, rows, d->x + (size_t)(g + j) * d->x_ld, d->x_ld, k, end, d->cols, d->ahead,
					d->kept + (size_t)(j * KERN_STEP + i * c) * 64);
			for (int64_t m = 0; m < c && end == d->cols; m++)
				dot_put(d->out + (g + j + m) * d->ld_out + strip + i, sums + m * DR, valid);
		}
	}
}

/* kern_mul() of one type. */
static void dot_strips(float *out, int64_t ld_out, const struct kern_mat *w, const struct kern_act *a, int64_t from, int64_t to,
		       uint8_t *kept, dot_fn *const *tiles)
{
	struct dots d = { .out = out, .ld_out = ld_out, .rows = w->data, .x = a->q ? a->q : (const void *)a->x,
			  .stride = kern_row_bytes(w->type, w->cols),
			  .x_ld = a->q ? kern_lines(a->cols, w->type == T_BF16 ? 2 : 4) : (size_t)a->ld * 4, .to = to,
			  .cols = w->cols, .kept = kept, .tiles = tiles };
	int64_t per = DOT_PASS / 64 * dot_step(w->type), passes = a->n > VEC_DOT_COLS ? (w->cols + per - 1) / per : 1;

	do /* the next tile's rows, or what comes after them */
		d.ahead += DR * d.stride;
	while (d.ahead < 8192);
	per = ((w->cols + passes - 1) / passes + 31) / 32 * 32;
	for (int64_t strip = from; strip < to; strip += KERN_STEP)
		for (int64_t g = 0; g < a->n; g += DOT_GROUP)
			for (int64_t k = 0; k < w->cols; k += per)
				dot_pass(&d, strip, g, a->n - g < DOT_GROUP ? a->n - g : DOT_GROUP, k,
					 k + per < w->cols ? k + per : w->cols);
}

DOTS(DOT, T_BF16)
static void mul_bf16(float *out, int64_t ld_out, const struct kern_mat *w, const struct kern_act *a, int64_t from, int64_t to,
		     void *scratch)
{
	static dot_fn *const tiles[] = { DOTS(DOT_NAME, T_BF16) };

	dot_strips(out, ld_out, w, a, from, to, scratch, tiles);
}
