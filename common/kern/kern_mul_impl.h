/*
 * kern_mul_impl: weight matrix times columns, in the words of kern_vec_*.h; compiled once for each ISA.
 *
 * A strip of 32 rows is unpacked, up to KERN_CHUNK columns at a time, into lines of 16 rows by 4 bytes (lane = row) and
 * vectors of 16 scales; the unpacked chunk stays in L1 and is multiplied with all columns of activations, VEC_COLS at a
 * time. Up to VEC_NEAR columns are multiplied while it is unpacked, without that detour. An output is one lane: for each
 * group of 32 (or 16) weights, in ascending order,
 *     t = scale * (float)isum;  [t = fma(min, asum, t);]  acc = fma(d, t, acc)
 * with isum exact. All ways do the same, so an output's bits depend on its row and column alone.
 */
#include "kern/kern_dot_impl.h"

#define P VEC_PANELS
#define LINE ((size_t)P * 64) /* bytes of one step of 4 columns in all panels of a tile */
#ifndef VEC_PAIR
/*
 * VEC_PAIR 2: a set whose products are squares of 2 rows by 2 columns over 8 bytes. Of a pair of lines, as vi_zip() leaves
 * it, the first has 8 bytes of rows 0 and 1 of every four, the second those of rows 2 and 3; vi_acts() has 8 bytes of two
 * columns; vi_unzip() turns a pair of sums into the lanes of each column. All other sets take lines and columns singly.
 */
#define VEC_PAIR 1
#define vi_zip(v) ((void)0)
#define vi_unzip(v) ((void)0)
#define vi_acts(p, ld) vi_bcast(p)
#define vi_tile(acc, w, a, wide) ((wide) ? vi_dot(acc, w, a) : vi_dot7(acc, w, a))
#endif

/* Groups a record of 32 columns; minima beside the scales? */
#define REC(groups, mins) (LINE * (size_t)(8 + (groups) * (1 + (mins))))

/* ---- tiles ------------------------------------------------------------------------------------ */

/* out[c * ld + row] (+)= nb records of w times C columns of activations, a_ld bytes apart. */
INLINE void tile(float *out, int64_t ld, const uint8_t *w, const uint8_t *a, size_t a_ld, int64_t nb, bool first,
		 int shift, const int C, const int groups, const int mins, const int wide)
{
	vf acc[P][VEC_COLS];

	UNROLL for (int c = 0; c < C; c++)
		UNROLL for (int p = 0; p < P; p++)
			acc[p][c] = first ? vf_set1(0) : vf_load(out + c * ld + 16 * p);
	for (int64_t b = 0; b < nb; b++, w += REC(groups, mins), a += sizeof(struct act32))
		UNROLL for (int g = 0; g < groups; g++) {
			const uint8_t *scales = w + (size_t)(8 + g) * LINE;
			vi s[P][VEC_COLS];

			UNROLL for (int c = 0; c < C + C % VEC_PAIR; c++) { /* an odd column is its own pair */
				const uint8_t *m = a + (size_t)(c < C ? c : c - 1) * a_ld;
				vi z = vi_set1(0);

				if (!mins && groups == 1)
					z = vi_shl(vi_bcast(m + offsetof(struct act32, neg)), shift);
				else if (!mins && g == 0)
					z = vi_shl(vi_bcast(m + offsetof(struct act32, neg_lo)), shift);
				else if (!mins)
					z = vi_shl(vi_sub(vi_bcast(m + offsetof(struct act32, neg)),
							  vi_bcast(m + offsetof(struct act32, neg_lo))), shift);
				UNROLL for (int p = 0; p < P; p++)
					s[p][c] = z;
			}
			UNROLL for (int c = 0; c < C; c += VEC_PAIR)
				UNROLL for (int p = 0; p < P; p++)
					vi_zip(&s[p][c]);
			UNROLL for (int l = g * 8 / groups; l < (g + 1) * 8 / groups; l++) {
				vi wl[P];

				UNROLL for (int p = 0; p < P; p++)
					wl[p] = vi_load(w + (size_t)l * LINE + 64 * p);
				UNROLL for (int c = 0; c < C; c += VEC_PAIR) {
					vi al = vi_acts(a + (size_t)c * a_ld + 4 * (l - l % VEC_PAIR), c + 1 < C ? a_ld : 0);
					UNROLL for (int p = 0; p < P; p++)
						s[p][c + l % VEC_PAIR] = vi_tile(s[p][c + l % VEC_PAIR], wl[p], al, wide);
				}
			}
			UNROLL for (int c = 0; c < C; c += VEC_PAIR)
				UNROLL for (int p = 0; p < P; p++)
					vi_unzip(&s[p][c]);
			UNROLL for (int c = 0; c < C; c++) {
				const struct act32 *m = (const struct act32 *)(const void *)(a + (size_t)c * a_ld);
				vf d = vf_set1(m->d), sum = vf_set1(m->sum);

				if (mins && groups == 2)
					sum = vf_set1((float)(g ? m->neg_lo - m->neg : -m->neg_lo));
				UNROLL for (int p = 0; p < P; p++) {
					vf t = vf_mul(vf_of(s[p][c]), vf_load(scales + 64 * p));
					if (mins)
						t = vf_fma(vf_load(scales + (size_t)groups * LINE + 64 * p), sum, t);
					acc[p][c] = vf_fma(d, t, acc[p][c]);
				}
			}
		}
	UNROLL for (int c = 0; c < C; c++)
		UNROLL for (int p = 0; p < P; p++)
			vf_store(out + c * ld + 16 * p, acc[p][c]);
}

typedef void tile_fn(float *out, int64_t ld, const uint8_t *w, const uint8_t *a, size_t a_ld, int64_t nb, bool first,
		     int shift);

#define TILE(name, C, groups, mins, wide)                                                                             \
	static void name##C(float *out, int64_t ld, const uint8_t *w, const uint8_t *a, size_t a_ld,            \
			    int64_t nb, bool first, int shift)                                                  \
	{                                                                                                       \
		tile(out, ld, w, a, a_ld, nb, first, shift, C, groups, mins, wide);                                   \
	}
#if VEC_COLS == 6
#define TILES(M, ...) M(1, __VA_ARGS__) M(2, __VA_ARGS__) M(3, __VA_ARGS__) M(4, __VA_ARGS__) \
	M(5, __VA_ARGS__) M(6, __VA_ARGS__)
#elif VEC_COLS == 4
#define TILES(M, ...) M(1, __VA_ARGS__) M(2, __VA_ARGS__) M(3, __VA_ARGS__) M(4, __VA_ARGS__)
#else
#define TILES(M, ...) M(1, __VA_ARGS__) M(2, __VA_ARGS__)
#endif
#define TILE_(C, name, groups, mins, wide) TILE(name, C, groups, mins, wide)
#define NAME_(C, name) name##C,
TILES(TILE_, tile_zero_, 1, 0, 0)
TILES(TILE_, tile_min_, 1, 1, 0)
TILES(TILE_, tile_zero16_, 2, 0, 0)
TILES(TILE_, tile_min16_, 2, 1, 0)
static tile_fn *const tiles_zero[] = { TILES(NAME_, tile_zero_) };
static tile_fn *const tiles_min[] = { TILES(NAME_, tile_min_) };
static tile_fn *const tiles_zero16[] = { TILES(NAME_, tile_zero16_) };
static tile_fn *const tiles_min16[] = { TILES(NAME_, tile_min16_) };
#if VEC_WIDE /* weights over 127 */
TILES(TILE_, tile_wide_, 1, 0, 1)
static tile_fn *const tiles_wide[] = { TILES(NAME_, tile_wide_) };
#else
#define tiles_wide tiles_zero
#endif

#include "kern/kern_unpack_impl.h"

/* ---- the types ----------------------------------------------------------------------------------- */

#define NEAR(C, name, unit_bytes, begin, groups, mins, shift, wide)                                              \
	static void near_##name##_##C(float *out, int64_t ld, const uint8_t *p, size_t stride, const uint8_t *a, \
				      size_t a_ld, int64_t n, bool first, const uint8_t *pf)                     \
	{                                                                                                        \
		near(out, ld, p, stride, a, a_ld, n, first, pf, begin, rec_##name, unit_bytes, groups, mins,     \
		     shift, wide, C);                                                                            \
	}
#define QUANT(name, unit_bytes, begin, groups, mins, shift, wide)                                        \
	static void unpack_##name(uint8_t *out, const uint8_t *p, size_t stride, int64_t n, const uint8_t *pf) \
	{                                                                                                \
		unpack(out, p, stride, n, pf, begin, rec_##name, unit_bytes, groups, mins);              \
	}                                                                                                \
	EACH_NEAR(NEAR, name, unit_bytes, begin, groups, mins, shift, wide)
#if VEC_NEAR == 4
#define EACH_NEAR(M, ...) M(1, __VA_ARGS__) M(2, __VA_ARGS__) M(3, __VA_ARGS__) M(4, __VA_ARGS__)
#define NEARS(name) { near_##name##_1, near_##name##_2, near_##name##_3, near_##name##_4 }
#elif VEC_NEAR == 2
#define EACH_NEAR(M, ...) M(1, __VA_ARGS__) M(2, __VA_ARGS__)
#define NEARS(name) { near_##name##_1, near_##name##_2 }
#else
#define EACH_NEAR(M, ...) M(1, __VA_ARGS__)
#define NEARS(name) { near_##name##_1 }
#endif
QUANT(q4_0, 144, begin_none, 1, 0, 3, 0)
QUANT(q4_1, 160, begin_none, 1, 1, 0, 0)
QUANT(q5_0, 176, begin_none, 1, 0, 4, 0)
QUANT(q5_1, 192, begin_none, 1, 1, 0, 0)
QUANT(q8_0, 272, begin_none, 1, 0, 7, 1)
QUANT(iq4_nl, 144, begin_none, 1, 0, 7, 1)
QUANT(mxfp4, 136, begin_none, 1, 0, 4, 0)
QUANT(q2_k, 84, begin_q2_k, 2, 1, 0, 0)
QUANT(q3_k, 110, begin_q3_k, 2, 0, 2, 0)
QUANT(q4_k, 144, begin_k4, 1, 1, 0, 0)
QUANT(q5_k, 176, begin_k4, 1, 1, 0, 0)
QUANT(q6_k, 210, begin_q6_k, 2, 0, 5, 0)
QUANT(iq4_xs, 136, begin_iq4_xs, 1, 0, 7, 1)

/* What an int8 product of a type needs. */
static const struct unpacker {
	unpack_fn *unpack;
	tile_fn *const *tiles;
	size_t rec;    /* bytes a record */
	uint8_t shift; /* log2 of the zero point */
	near_fn *near[VEC_NEAR];
} unpackers[T_N] = {
	[T_Q4_0] = { unpack_q4_0, tiles_zero, REC(1, 0), 3, NEARS(q4_0) },
	[T_Q4_1] = { unpack_q4_1, tiles_min, REC(1, 1), 0, NEARS(q4_1) },
	[T_Q5_0] = { unpack_q5_0, tiles_zero, REC(1, 0), 4, NEARS(q5_0) },
	[T_Q5_1] = { unpack_q5_1, tiles_min, REC(1, 1), 0, NEARS(q5_1) },
	[T_Q8_0] = { unpack_q8_0, tiles_wide, REC(1, 0), 7, NEARS(q8_0) },
	[T_IQ4_NL] = { unpack_iq4_nl, tiles_wide, REC(1, 0), 7, NEARS(iq4_nl) },
	[T_MXFP4] = { unpack_mxfp4, tiles_zero, REC(1, 0), 4, NEARS(mxfp4) },
	[T_Q2_K] = { unpack_q2_k, tiles_min16, REC(2, 1), 0, NEARS(q2_k) },
	[T_Q3_K] = { unpack_q3_k, tiles_zero16, REC(2, 0), 2, NEARS(q3_k) },
	[T_Q4_K] = { unpack_q4_k, tiles_min, REC(1, 1), 0, NEARS(q4_k) },
	[T_Q5_K] = { unpack_q5_k, tiles_min, REC(1, 1), 0, NEARS(q5_k) },
	[T_Q6_K] = { unpack_q6_k, tiles_zero16, REC(2, 0), 5, NEARS(q6_k) },
	[T_IQ4_XS] = { unpack_iq4_xs, tiles_wide, REC(1, 0), 7, NEARS(iq4_xs) },
};

/* ---- strips ------------------------------------------------------------------------------------- */

/* A strip of rows in work: where its rows lie and where its results go. */
struct strip {
	const struct kern_mat *w;
	const uint8_t *rows, *next; /* the first row; the strip after this one or NULL */
	size_t row_bytes;
	int64_t valid;              /* rows that exist, <= KERN_STEP */
	uint8_t *unpacked, *tail;
	float *out;
	int64_t ld;
};

/*
 * Where columns [from, from + n) of the strip's rows begin (whole blocks), and how far apart rows are. What is missing at
 * the lower border is copied to be there: rows as the last.
 */
static const uint8_t *strip_rows(const struct strip *s, int64_t from, int64_t n, size_t *stride)
{
	size_t bytes = kern_row_bytes(s->w->type, n), off = kern_row_bytes(s->w->type, from);

	*stride = s->row_bytes;
	if (s->valid == KERN_STEP)
		return s->rows + off;
	for (int64_t r = 0; r < KERN_STEP; r++)
		memcpy(s->tail + (size_t)r * bytes, s->rows + (size_t)(r < s->valid ? r : s->valid - 1) * s->row_bytes + off, bytes);
	*stride = bytes;
	return s->tail;
}
/* The next strip's share of fetching, at the pace of this one's. */
static const uint8_t *strip_next(const struct strip *s, int64_t from)
{
	return s->next ? s->next + KERN_STEP * kern_row_bytes(s->w->type, from) : NULL;
}

static void strip_unpack(const struct strip *s, const struct unpacker *u, int64_t from, int64_t n, size_t panel_bytes)
{
	size_t stride, bytes = kern_row_bytes(s->w->type, n);
	const uint8_t *p = strip_rows(s, from, n, &stride), *pf = strip_next(s, from);

	for (int i = 0; i < KERN_STEP / 16; i++) {
		uint8_t *out = s->unpacked + (size_t)(i / P) * panel_bytes + (size_t)(i % P) * 64;

		u->unpack(out, p + (size_t)(16 * i) * stride, stride, n / 32,
			  pf ? pf + (size_t)i * 16 * bytes : NULL);
	}
}

/* Few columns: no detour through memory; whole rows at once, but where they are copied. */
static void strip_near(const struct strip *s, const struct unpacker *u, const struct kern_act *a)
{
	int64_t unit = kern_block(s->w->type), per = s->valid < KERN_STEP ? KERN_CHUNK / unit * unit : a->cols;

	for (int64_t k = 0; k < a->cols; k += per) {
		const uint8_t *q = (const uint8_t *)a->q + (size_t)k / 32 * sizeof(struct act32), *pf = strip_next(s, k);
		int64_t n = a->cols - k < per ? a->cols - k : per;
		size_t stride, bytes = kern_row_bytes(s->w->type, n);
		const uint8_t *p = strip_rows(s, k, n, &stride);

		for (int i = 0; i < KERN_STEP / 16; i += P)
			u->near[a->n - 1](s->out + 16 * i, s->ld, p + (size_t)(16 * i) * stride, stride, q,
					  kern_act_stride(a->cols), n / 32, k == 0, pf ? pf + (size_t)i * 16 * bytes : NULL);
	}
}

/* The masks of all columns' second parts. */
static inline uint32_t *act_masks(const struct kern_act *a)
{
	return (void *)((uint8_t *)a->q + 2 * kern_act_stride(a->cols) * (size_t)a->n);
}

/* The second parts of columns [j, j + c) in the n blocks from b on, which lie unpacked: blocks of all c where one has it. */
static void strip_second(const struct strip *s, const struct unpacker *u, const struct kern_act *a, int64_t j, int64_t c, int64_t b,
			 int64_t n, size_t half)
{
	size_t a_ld = kern_act_stride(a->cols), words = kern_mask_words(a->cols);
	const uint32_t *mask = act_masks(a) + (size_t)j * words + b / 32;
	const uint8_t *q = (const uint8_t *)a->q + (size_t)(a->n + j) * a_ld + (size_t)b * sizeof(struct act32);
	uint64_t any = 0;

	for (int64_t i = 0; i < c; i++, mask += words)
		any |= mask[0] | (uint64_t)mask[1] << 32;
	any = any >> b % 32 & ((1u << n) - 1);
	while (any) { /* run by run */
		int k = __builtin_ctzll(any), run = __builtin_ctzll(~(any >> k));

		for (int i = 0; i < KERN_STEP / 16 / P; i++)
			u->tiles[c - 1](s->out + j * s->ld + 16 * P * i, s->ld, s->unpacked + (size_t)i * half + (size_t)k * u->rec,
					q + (size_t)k * sizeof(struct act32), a_ld, run, false, u->shift);
		any &= ~(((1ull << run) - 1) << k);
	}
}

static void strip_int8(struct strip *s, const struct unpacker *u, const struct kern_act *a)
{
	size_t a_ld = kern_act_stride(a->cols), half = KERN_UNPACKED / (KERN_STEP / 16) * P;
	int64_t nb = a->cols / 32, unit = kern_block(s->w->type) / 32, most = KERN_CHUNK / 32 / unit * unit;
	int64_t chunks = (nb + most - 1) / most, per = ((nb + chunks - 1) / chunks + unit - 1) / unit * unit;

	for (int64_t b = 0; b < nb; b += per) {
		int64_t n = nb - b < per ? nb - b : per;

		strip_unpack(s, u, 32 * b, 32 * n, half);
		for (int64_t j = 0, c; j < a->n; j += c) {
			const uint8_t *q = (const uint8_t *)a->q + (size_t)j * a_ld + (size_t)b * sizeof(struct act32);

			c = tile_cols(a->n - j, VEC_COLS);
			for (int64_t i = 0; i < c && j + c + i < a->n; i++) /* the next tile's columns */
				for (int64_t k = 0; k < n * (int64_t)sizeof(struct act32); k += 64)
					vec_prefetch(q + (size_t)(c + i) * a_ld + k);
			for (int i = 0; i < KERN_STEP / 16 / P; i++)
				u->tiles[c - 1](s->out + j * s->ld + 16 * P * i, s->ld, s->unpacked + (size_t)i * half, q, a_ld, n,
						b == 0, u->shift);
			if (a->depth != KERN_8_BITS)
				strip_second(s, u, a, j, c, b, n, half);
		}
	}
}

DOTS(DOT, T_F32)
DOTS(DOT, T_F16)

static void mul_f32(float *out, int64_t ld_out, const struct kern_mat *w, const struct kern_act *a, int64_t from, int64_t to,
		    void *scratch)
{
	static dot_fn *const f32[] = { DOTS(DOT_NAME, T_F32) }, *const f16[] = { DOTS(DOT_NAME, T_F16) };

	dot_strips(out, ld_out, w, a, from, to, scratch, w->type == T_F32 ? f32 : f16);
}

static void mul(float *out, int64_t ld_out, const struct kern_mat *w, const struct kern_act *a, int64_t from, int64_t to,
		void *scratch)
{
	const struct unpacker *u = &unpackers[w->type];
	struct strip s = { .w = w, .row_bytes = kern_row_bytes(w->type, w->cols), .unpacked = scratch };

	if (!u->unpack) {
		mul_f32(out, ld_out, w, a, from, to, scratch);
		return;
	}
	s.tail = s.unpacked + KERN_UNPACKED;
	/* nothing has fetched the first strip */
	size_t first = (size_t)(to - from < KERN_STEP ? to - from : KERN_STEP) * s.row_bytes;
	for (size_t i = 0; i < first && i < 65536; i += 64)
		vec_prefetch((const uint8_t *)w->data + (size_t)from * s.row_bytes + i);
	for (int64_t r = from; r < to; r += KERN_STEP) {
		s.rows = (const uint8_t *)w->data + (size_t)r * s.row_bytes;
		s.valid = to - r < KERN_STEP ? to - r : KERN_STEP;
		s.next = r + KERN_STEP < w->rows ? s.rows + KERN_STEP * s.row_bytes : NULL;
		s.out = s.valid < KERN_STEP ? (float *)(void *)(s.tail + KERN_TAIL) : out + r;
		s.ld = s.valid < KERN_STEP ? KERN_STEP : ld_out;
		if (a->n <= VEC_NEAR && a->depth == KERN_8_BITS)
			strip_near(&s, u, a);
		else
			strip_int8(&s, u, a);
		if (s.valid < KERN_STEP)
			for (int64_t j = 0; j < a->n; j++)
				memcpy(out + j * ld_out + r, s.out + j * KERN_STEP, (size_t)s.valid * 4);
	}
}

/* ---- activations -------------------------------------------------------------------------------- */

/* One block, x[0] and x[1] its halves: the record, and what it leaves of them. */
INLINE void act_block(struct act32 *o, vf x[2])
{
	vi abs = vi_set1(0x7fffffff);
	/* the order of the bits is that of the magnitudes, with NaN above all */
	vi m = vi_max(vi_and(vi_cast(x[0]), abs), vi_and(vi_cast(x[1]), abs));
	float amax = kern_float((uint32_t)vi_hmax(m));
	bool zero = amax < 1e-30f;
	vf id = vf_set1(zero ? 0 : 127 / amax), back = vf_set1(zero ? 0 : -amax / 127);
	vi q = vi_of(vf_mul(x[0], id)), r = vi_of(vf_mul(x[1], id));

	vi_store_bytes(o->q, q);
	vi_store_bytes(o->q + 16, r);
	o->d = zero ? 0 : amax / 127;
	/* both sums in one: they fit 16 bits */
	int32_t both = vi_sum(vi_add(q, vi_shl(r, 16)));
	o->neg_lo = -(int16_t)both;
	o->neg = o->neg_lo - ((int32_t)((uint32_t)both + (uint32_t)o->neg_lo) >> 16);
	o->sum = (float)-o->neg;
	x[0] = vf_fma(back, vf_of(q), x[0]);
	x[1] = vf_fma(back, vf_of(r), x[1]);
}

/* Column j in two parts; where the second one is not wanted its record is all zeros. */
static void act_column(struct kern_act *a, int64_t j, struct act32 *o, const float *x)
{
	struct act32 *second = (void *)((uint8_t *)o + (size_t)a->n * kern_act_stride(a->cols));
	size_t words = kern_mask_words(a->cols);
	uint32_t *mask = act_masks(a) + (size_t)j * words;
	vf squares = vf_set1(0);

	for (int64_t k = 0; k < a->cols; k += 16)
		squares = vf_fma(vf_load(x + k), vf_load(x + k), squares);
	float most = a->depth == KERN_15_BITS ? 0 : KERN_STANDS_OUT / 127.0f * __builtin_sqrtf(vf_sum(squares) / (float)a->cols);
	memset(mask, 0, 4 * words);
	for (int64_t b = 0; b < a->cols / 32; b++) {
		vf t[2] = { vf_load(x + 32 * b), vf_load(x + 32 * b + 16) };

		act_block(&o[b], t);
		if (o[b].d > most) {
			act_block(&second[b], t);
			mask[b / 32] |= 1u << b % 32;
		} else {
			memset(&second[b], 0, sizeof *second);
		}
	}
}

/* To the nearest, even where two are as near. */
static void act_bf16(uint16_t *o, const float *x, int64_t n)
{
	for (; n >= 16; n -= 16, x += 16, o += 16)
		for (int i = 0; i < 16; i++) {
			uint32_t u = kern_bits(x[i]);

			o[i] = (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 64 : (u + 0x7fff + (u >> 16 & 1)) >> 16);
		}
	for (; n > 0; n--)
		*o++ = kern_bf16_put(*x++);
}

static void act_prepare(struct kern_act *a, int64_t from, int64_t to)
{
	for (int64_t j = from; j < to && a->form == KERN_BF16; j++)
		act_bf16((uint16_t *)a->q + (size_t)j * kern_lines(a->cols, 2) / 2, a->x + j * a->ld, a->cols);
	for (int64_t j = from; j < to && a->form == KERN_F32 && a->q; j++)
		memcpy((uint8_t *)a->q + (size_t)j * kern_lines(a->cols, 4), a->x + j * a->ld, (size_t)a->cols * 4);
	if (a->form != KERN_INT8)
		return;

	size_t stride = kern_act_stride(a->cols);

	for (int64_t j = from; j < to; j++) {
		uint8_t *o = (uint8_t *)a->q + (size_t)j * stride;
		const float *x = a->x + j * a->ld;

		if (a->depth != KERN_8_BITS) {
			act_column(a, j, (void *)o, x);
			continue;
		}
		for (int64_t k = 0; k < a->cols; k += 32, o += sizeof(struct act32)) {
			vf t[2] = { vf_load(x + k), vf_load(x + k + 16) };

			act_block((void *)o, t);
		}
	}
}
