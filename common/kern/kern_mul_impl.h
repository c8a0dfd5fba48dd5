/*
 * kern_mul_impl: weight matrix times columns, in the words of kern_vec_*.h; compiled once for each ISA.
 *
 * A strip of 32 rows is unpacked, up to KERN_CHUNK columns at a time, into lines of 16 rows by 4 bytes (lane = row) and
 * vectors of 16 scales; the unpacked chunk stays in L1 and is multiplied with all columns of activations, VEC_COLS at a
 * time. An output is one lane: for each group of 32 (or 16) weights, in ascending order,
 *     t = scale * (float)isum;  [t = fma(min, asum, t);]  acc = fma(d, t, acc)
 * with isum exact. Tiles of one column and of many do the same, so an output's bits depend on its row and column alone.
 */
#define P VEC_PANELS
#define LINE ((size_t)P * 64) /* bytes of one step of 4 columns in all panels of a tile */
#if defined VEC_NO_UNROLL || defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define UNROLL
#elif defined __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

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

			UNROLL for (int c = 0; c < C; c++) {
				const uint8_t *m = a + (size_t)c * a_ld;
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
			UNROLL for (int l = g * 8 / groups; l < (g + 1) * 8 / groups; l++) {
				vi wl[P];

				UNROLL for (int p = 0; p < P; p++)
					wl[p] = vi_load(w + (size_t)l * LINE + 64 * p);
				UNROLL for (int c = 0; c < C; c++) {
					vi al = vi_bcast(a + (size_t)c * a_ld + 4 * l);
					UNROLL for (int p = 0; p < P; p++)
						s[p][c] = wide ? vi_dot(s[p][c], wl[p], al) : vi_dot7(s[p][c], wl[p], al);
				}
			}
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

/* out[c * ld + row] (+)= sum over k of lines of `step` bytes times x[c * ldx + k]; R panels. */
INLINE void tile_f32(float *out, int64_t ld, const uint8_t *w, size_t step, const float *x, int64_t ldx, int64_t nk,
		     bool first, const int C, const int R)
{
	vf acc[P][VEC_COLS_F32];

	UNROLL for (int c = 0; c < C; c++)
		UNROLL for (int p = 0; p < R; p++)
			acc[p][c] = first ? vf_set1(0) : vf_load(out + c * ld + 16 * p);
	for (int64_t k = 0; k < nk; k++, w += step) {
		vf wl[P];

		UNROLL for (int p = 0; p < R; p++)
			wl[p] = vf_load(w + 64 * p);
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

typedef void tile_fn(float *out, int64_t ld, const uint8_t *w, const uint8_t *a, size_t a_ld, int64_t nb, bool first,
		     int shift);
typedef void tile_f32_fn(float *out, int64_t ld, const uint8_t *w, size_t step, const float *x, int64_t ldx,
			 int64_t nk, bool first);

#define TILE(name, C, groups, mins, wide)                                                                             \
	static void name##C(float *out, int64_t ld, const uint8_t *w, const uint8_t *a, size_t a_ld,            \
			    int64_t nb, bool first, int shift)                                                  \
	{                                                                                                       \
		tile(out, ld, w, a, a_ld, nb, first, shift, C, groups, mins, wide);                                   \
	}
#define TILE_F32(name, C, R)                                                                                    \
	static void name##C(float *out, int64_t ld, const uint8_t *w, size_t step, const float *x, int64_t ldx, \
			    int64_t nk, bool first)                                                             \
	{                                                                                                       \
		tile_f32(out, ld, w, step, x, ldx, nk, first, C, R);                                            \
	}
#if VEC_COLS == 6
#define TILES(M, ...) M(1, __VA_ARGS__) M(2, __VA_ARGS__) M(3, __VA_ARGS__) M(4, __VA_ARGS__) \
	M(5, __VA_ARGS__) M(6, __VA_ARGS__)
#elif VEC_COLS == 4
#define TILES(M, ...) M(1, __VA_ARGS__) M(2, __VA_ARGS__) M(3, __VA_ARGS__) M(4, __VA_ARGS__)
#else
#define TILES(M, ...) M(1, __VA_ARGS__) M(2, __VA_ARGS__)
#endif
#if VEC_COLS_F32 == 12
#define TILES_F32(M, ...) M(1, __VA_ARGS__) M(2, __VA_ARGS__) M(3, __VA_ARGS__) M(4, __VA_ARGS__) \
	M(5, __VA_ARGS__) M(6, __VA_ARGS__) M(7, __VA_ARGS__) M(8, __VA_ARGS__) M(9, __VA_ARGS__) \
	M(10, __VA_ARGS__) M(11, __VA_ARGS__) M(12, __VA_ARGS__)
#elif VEC_COLS_F32 == 6
#define TILES_F32(M, ...) M(1, __VA_ARGS__) M(2, __VA_ARGS__) M(3, __VA_ARGS__) M(4, __VA_ARGS__) \
	M(5, __VA_ARGS__) M(6, __VA_ARGS__)
#else
#define TILES_F32(M, ...) M(1, __VA_ARGS__) M(2, __VA_ARGS__)
#endif
#define TILE_(C, name, groups, mins, wide) TILE(name, C, groups, mins, wide)
#define TILE_F32_(C, name, R) TILE_F32(name, C, R)
#define NAME_(C, name) name##C,
TILES(TILE_, tile_zero_, 1, 0, 0)
TILES(TILE_, tile_min_, 1, 1, 0)
TILES(TILE_, tile_zero16_, 2, 0, 0)
TILES(TILE_, tile_min16_, 2, 1, 0)
TILES_F32(TILE_F32_, tile_f32_, P)
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
static tile_f32_fn *const tiles_f32[] = { TILES_F32(NAME_, tile_f32_) };
#if VEC_PANELS > 1 /* attention's values, where 16 lanes remain */
TILES_F32(TILE_F32_, tile_f32_one_, 1)
static tile_f32_fn *const tiles_f32_one[] = { TILES_F32(NAME_, tile_f32_one_) };
#else
#define tiles_f32_one tiles_f32
#endif

/* The next tile's columns: all tiles of a call as even as can be. */
static inline int64_t tile_cols(int64_t left, int64_t most)
{
	int64_t tiles = (left + most - 1) / most;
	return (left + tiles - 1) / tiles;
}

/* ---- unpacking --------------------------------------------------------------------------------- */

/*
 * One panel of 16 rows, `stride` bytes apart, n blocks from p on. out: the panel's part of the first record. pf: where
 * the next strip lies, to be fetched at the pace of this one.
 */
typedef void unpack_fn(uint8_t *out, const uint8_t *p, size_t stride, int64_t n, const uint8_t *pf);

INLINE void ahead(const uint8_t **pf, int block_bytes)
{
	if (!*pf)
		return;
	for (int i = 0; i < 16 * block_bytes; i += 64)
		vec_prefetch(*pf + i);
	*pf += 16 * block_bytes;
}
INLINE void line(uint8_t *rec, int l, vi v)
{
	vi_store(rec + (size_t)l * LINE, v);
}
/* Scale or minimum i of a record, behind its lines. */
INLINE void scale(uint8_t *rec, int i, vf v)
{
	vf_store(rec + (size_t)(8 + i) * LINE, v);
}
/* 16 bytes of nibbles: low ones are elements 0..15, high ones 16..31. */
INLINE void lines_of_nibbles(uint8_t *rec, const uint8_t *p, size_t stride)
{
	vi t[4], m = vi_set1(0x0f0f0f0f);

	vi_rows16(t, p, stride);
	UNROLL for (int j = 0; j < 4; j++) {
		line(rec, j, vi_and(t[j], m));
		line(rec, j + 4, vi_and(vi_shr(t[j], 4), m));
	}
}
/* The same through a table of 16 values, whose bits `flip` then turns (signed to unsigned: the top bit of each byte). */
INLINE void lines_of_table(uint8_t *rec, const uint8_t *p, size_t stride, const int8_t table[16], uint32_t flip)
{
	vi t[4], m = vi_set1(0x0f0f0f0f), f = vi_set1((int32_t)flip);

	vi_rows16(t, p, stride);
	UNROLL for (int j = 0; j < 4; j++) {
		line(rec, j, vi_xor(vi_lut(table, vi_and(t[j], m)), f));
		line(rec, j + 4, vi_xor(vi_lut(table, vi_and(vi_shr(t[j], 4), m)), f));
	}
}
/* The same with the fifth bits: bit j of a row's qh belongs to element j. */
INLINE void lines_of_five(uint8_t *rec, const uint8_t *p, size_t stride, vi qh)
{
	vi t[4], m = vi_set1(0x0f0f0f0f), bit = vi_set1(0x10101010);

	vi_rows16(t, p, stride);
	UNROLL for (int j = 0; j < 8; j++) {
		vi q = vi_and(j < 4 ? t[j % 4] : vi_shr(t[j % 4], 4), m);
		/* bits 0..3 to bit 4 of bytes 0..3: x (2^4 + 2^11 + 2^18 + 2^25) has no carries that matter */
		vi x = vi_and(vi_shr(qh, 4 * j), vi_set1(15));
		x = vi_and(vi_mul(x, vi_set1(0x02040810)), bit);
		line(rec, j, vi_or(q, x));
	}
}
#define UNPACK(name) static void name(uint8_t *out, const uint8_t *p, size_t stride, int64_t n, const uint8_t *pf)

UNPACK(unpack_q4_0)
{
	for (; n-- > 0; p += sizeof(struct q4_0), out += REC(1, 0)) {
		lines_of_nibbles(out, p + 2, stride);
		scale(out, 0, vf_half_lo(vi_rows4(p, stride)));
		ahead(&pf, sizeof(struct q4_0));
	}
}
UNPACK(unpack_q4_1)
{
	for (; n-- > 0; p += sizeof(struct q4_1), out += REC(1, 1)) {
		vi d = vi_rows4(p, stride);

		lines_of_nibbles(out, p + 4, stride);
		scale(out, 0, vf_half_lo(d));
		scale(out, 1, vf_half_lo(vi_shr(d, 16)));
		ahead(&pf, sizeof(struct q4_1));
	}
}
UNPACK(unpack_q5_0)
{
	for (; n-- > 0; p += sizeof(struct q5_0), out += REC(1, 0)) {
		lines_of_five(out, p + 6, stride, vi_rows4(p + 2, stride));
		scale(out, 0, vf_half_lo(vi_rows4(p, stride)));
		ahead(&pf, sizeof(struct q5_0));
	}
}
UNPACK(unpack_q5_1)
{
	for (; n-- > 0; p += sizeof(struct q5_1), out += REC(1, 1)) {
		vi d = vi_rows4(p, stride);

		lines_of_five(out, p + 8, stride, vi_rows4(p + 4, stride));
		scale(out, 0, vf_half_lo(d));
		scale(out, 1, vf_half_lo(vi_shr(d, 16)));
		ahead(&pf, sizeof(struct q5_1));
	}
}
UNPACK(unpack_q8_0)
{
	for (; n-- > 0; p += sizeof(struct q8_0), out += REC(1, 0)) {
		UNROLL for (int h = 0; h < 2; h++) {
			vi t[4];

			vi_rows16(t, p + 2 + 16 * h, stride);
			UNROLL for (int j = 0; j < 4; j++)
				line(out, 4 * h + j, vi_xor(t[j], vi_set1((int)0x80808080)));
		}
		scale(out, 0, vf_half_lo(vi_rows4(p, stride)));
		ahead(&pf, sizeof(struct q8_0));
	}
}
UNPACK(unpack_iq4_nl)
{
	for (; n-- > 0; p += sizeof(struct q4_0), out += REC(1, 0)) {
		lines_of_table(out, p + 2, stride, kern_iq4_values, 0x80808080);
		scale(out, 0, vf_half_lo(vi_rows4(p, stride)));
		ahead(&pf, sizeof(struct q4_0));
	}
}
UNPACK(unpack_mxfp4)
{
	static const int8_t plus16[16] = { 16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4 };

	for (; n-- > 0; p += sizeof(struct mxfp4), out += REC(1, 0)) {
		vi e = vi_and(vi_rows4(p, stride), vi_set1(255));
		/* kern_e8m0_half(): (e - 1) << 23, or 2^21 << e where e < 2 */
		vf small = vf_mul(vf_of(vi_add(e, vi_set1(1))), vf_set1(0x1p-128f));
		vf d = vf_cast(vi_shl(vi_sub(e, vi_set1(1)), 23));

		lines_of_table(out, p + 1, stride, plus16, 0);
		scale(out, 0, vf_lt(vf_of(e), vf_set1(2), small, d));
		ahead(&pf, sizeof(struct mxfp4));
	}
}
/* Byte i of each as a float; with its sign. */
INLINE vf byte_of(vi v, int i)
{
	return vf_of(vi_and(vi_shr(v, 8 * i), vi_set1(255)));
}
INLINE vf sbyte_of(vi v, int i)
{
	return vf_of(vi_sar(vi_shl(v, 24 - 8 * i), 24));
}
/* d, dmin and the 8 scales and minima (bytes of sc[2], m[2]) of Q4_K and Q5_K from their first 16 bytes. */
INLINE void k4_scales(vf *d, vf *dmin, vi sc[2], vi m[2], const uint8_t *p, size_t stride)
{
	vi t[4], six = vi_set1(0x3f3f3f3f), four = vi_set1(0x0f0f0f0f), two = vi_set1(0x30303030);

	vi_rows16(t, p, stride);
	*d = vf_half_lo(t[0]);
	*dmin = vf_sub(vf_set1(0), vf_half_lo(vi_shr(t[0], 16)));
	sc[0] = vi_and(t[1], six);
	m[0] = vi_and(t[2], six);
	sc[1] = vi_or(vi_and(t[3], four), vi_and(vi_shr(t[1], 2), two));
	m[1] = vi_or(vi_and(vi_shr(t[3], 4), four), vi_and(vi_shr(t[2], 2), two));
}
UNPACK(unpack_q4_k)
{
	for (; n-- > 0; p += sizeof(struct q4_k)) {
		vi sc[2], m[2], four = vi_set1(0x0f0f0f0f);
		vf d, dmin;

		k4_scales(&d, &dmin, sc, m, p, stride);
		UNROLL for (int c = 0; c < 4; c++, out += 2 * REC(1, 1)) {
			uint8_t *rec[2] = { out, out + REC(1, 1) };

			UNROLL for (int h = 0; h < 2; h++) {
				vi t[4];

				vi_rows16(t, p + 16 + 32 * c + 16 * h, stride);
				UNROLL for (int j = 0; j < 4; j++) {
					line(rec[0], 4 * h + j, vi_and(t[j], four));
					line(rec[1], 4 * h + j, vi_and(vi_shr(t[j], 4), four));
				}
			}
			UNROLL for (int g = 0; g < 2; g++) {
				int i = 2 * c + g;
				scale(rec[g], 0, vf_mul(d, byte_of(sc[i / 4], i % 4)));
				scale(rec[g], 1, vf_mul(dmin, byte_of(m[i / 4], i % 4)));
			}
			ahead(&pf, sizeof(struct q4_k) / 4);
		}
	}
}
UNPACK(unpack_q5_k)
{
	for (; n-- > 0; p += sizeof(struct q5_k)) {
		vi sc[2], m[2], qh[8], four = vi_set1(0x0f0f0f0f), bit = vi_set1(0x10101010);
		vf d, dmin;

		k4_scales(&d, &dmin, sc, m, p, stride);
		vi_rows16(qh, p + 16, stride);
		vi_rows16(qh + 4, p + 32, stride);
		UNROLL for (int c = 0; c < 4; c++, out += 2 * REC(1, 1)) {
			uint8_t *rec[2] = { out, out + REC(1, 1) };

			UNROLL for (int h = 0; h < 2; h++) {
				vi t[4];

				vi_rows16(t, p + 48 + 32 * c + 16 * h, stride);
				UNROLL for (int j = 0; j < 4; j++) { /* bit g of qh is the fifth of group g */
					vi x = qh[4 * h + j];
					vi lo = vi_and(c < 2 ? vi_shl(x, 4 - 2 * c) : vi_shr(x, 2 * c - 4), bit);
					vi hi = vi_and(c < 2 ? vi_shl(x, 3 - 2 * c) : vi_shr(x, 2 * c - 3), bit);

					line(rec[0], 4 * h + j, vi_or(vi_and(t[j], four), lo));
					line(rec[1], 4 * h + j, vi_or(vi_and(vi_shr(t[j], 4), four), hi));
				}
			}
			UNROLL for (int g = 0; g < 2; g++) {
				int i = 2 * c + g;
				scale(rec[g], 0, vf_mul(d, byte_of(sc[i / 4], i % 4)));
				scale(rec[g], 1, vf_mul(dmin, byte_of(m[i / 4], i % 4)));
			}
			ahead(&pf, sizeof(struct q5_k) / 4);
		}
	}
}
UNPACK(unpack_q6_k)
{
	for (; n-- > 0; p += sizeof(struct q6_k)) {
		vi sc[4], four = vi_set1(0x0f0f0f0f), two = vi_set1(0x30303030);
		vf d = vf_half_lo(vi_shr(vi_rows4(p + 206, stride), 16));

		vi_rows16(sc, p + 192, stride);
		UNROLL for (int h = 0; h < 2; h++, out += 4 * REC(2, 0)) {
			UNROLL for (int i = 0; i < 2; i++) { /* elements 16 i .. of each row of 32 */
				vi a[4], b[4], x[4];

				vi_rows16(a, p + 64 * h + 16 * i, stride);
				vi_rows16(b, p + 64 * h + 32 + 16 * i, stride);
				vi_rows16(x, p + 128 + 32 * h + 16 * i, stride);
				UNROLL for (int j = 0; j < 4; j++) {
					uint8_t *r = out;
					int l = 4 * i + j;

					line(r, l, vi_or(vi_and(a[j], four), vi_and(vi_shl(x[j], 4), two)));
					r += REC(2, 0);
					line(r, l, vi_or(vi_and(b[j], four), vi_and(vi_shl(x[j], 2), two)));
					r += REC(2, 0);
					line(r, l, vi_or(vi_and(vi_shr(a[j], 4), four), vi_and(x[j], two)));
					r += REC(2, 0);
					line(r, l, vi_or(vi_and(vi_shr(b[j], 4), four),
							 vi_and(vi_shr(x[j], 2), two)));
				}
				ahead(&pf, sizeof(struct q6_k) / 4);
			}
			UNROLL for (int r = 0; r < 8; r++)
				scale(out + (size_t)(r / 2) * REC(2, 0), r % 2,
				      vf_mul(d, sbyte_of(sc[2 * h + r / 4], r % 4)));
		}
	}
}
UNPACK(unpack_q3_k)
{
	for (; n-- > 0; p += sizeof(struct q3_k)) {
		vi hm[8], t[4], sc[4], two = vi_set1(0x03030303), bit = vi_set1(0x04040404);
		vi four = vi_set1(0x0f0f0f0f), top = vi_set1(0x30303030);

		vi_rows16(hm, p, stride);
		vi_rows16(hm + 4, p + 16, stride);
		vi_rows16(t, p + 94, stride); /* 2 bytes of qs, 12 of scales, d: all shifted by half a word */
		vf d = vf_half_lo(vi_shr(t[3], 16));
		UNROLL for (int j = 0; j < 3; j++)
			t[j] = vi_or(vi_shr(t[j], 16), vi_shl(t[j + 1], 16));
		sc[0] = vi_or(vi_and(t[0], four), vi_and(vi_shl(t[2], 4), top));
		sc[1] = vi_or(vi_and(t[1], four), vi_and(vi_shl(t[2], 2), top));
		sc[2] = vi_or(vi_and(vi_shr(t[0], 4), four), vi_and(t[2], top));
		sc[3] = vi_or(vi_and(vi_shr(t[1], 4), four), vi_and(vi_shr(t[2], 2), top));
		UNROLL for (int h = 0; h < 2; h++, out += 4 * REC(2, 0)) {
			UNROLL for (int i = 0; i < 2; i++) {
				vi q[4];

				vi_rows16(q, p + 32 + 32 * h + 16 * i, stride);
				UNROLL for (int j = 0; j < 4; j++)
					UNROLL for (int r = 0; r < 4; r++) { /* high bit of row 4 h + r */
						int s = 4 * h + r;
						vi x = hm[4 * i + j];
						x = vi_and(s < 2 ? vi_shl(x, 2 - s) : vi_shr(x, s - 2), bit);
						line(out + (size_t)r * REC(2, 0), 4 * i + j,
						     vi_or(vi_and(vi_shr(q[j], 2 * r), two), x));
					}
			}
			UNROLL for (int r = 0; r < 8; r++)
				scale(out + (size_t)(r / 2) * REC(2, 0), r % 2,
				      vf_mul(d, vf_sub(byte_of(sc[2 * h + r / 4], r % 4), vf_set1(32))));
			ahead(&pf, sizeof(struct q3_k) / 2);
		}
	}
}
UNPACK(unpack_q2_k)
{
	for (; n-- > 0; p += sizeof(struct q2_k)) {
		vi sc[4], two = vi_set1(0x03030303), four = vi_set1(0x0f0f0f0f), dd = vi_rows4(p + 80, stride);
		vf d = vf_half_lo(dd), dmin = vf_sub(vf_set1(0), vf_half_lo(vi_shr(dd, 16)));

		vi_rows16(sc, p, stride);
		UNROLL for (int h = 0; h < 2; h++, out += 4 * REC(2, 1)) {
			UNROLL for (int i = 0; i < 2; i++) {
				vi q[4];

				vi_rows16(q, p + 16 + 32 * h + 16 * i, stride);
				UNROLL for (int j = 0; j < 4; j++)
					UNROLL for (int r = 0; r < 4; r++)
						line(out + (size_t)r * REC(2, 1), 4 * i + j,
						     vi_and(vi_shr(q[j], 2 * r), two));
			}
			UNROLL for (int r = 0; r < 8; r++) {
				vi s = sc[2 * h + r / 4];
				uint8_t *rec = out + (size_t)(r / 2) * REC(2, 1);

				scale(rec, r % 2, vf_mul(d, byte_of(vi_and(s, four), r % 4)));
				scale(rec, 2 + r % 2, vf_mul(dmin, byte_of(vi_and(vi_shr(s, 4), four), r % 4)));
			}
			ahead(&pf, sizeof(struct q2_k) / 2);
		}
	}
}
UNPACK(unpack_iq4_xs)
{
	for (; n-- > 0; p += sizeof(struct iq4_xs)) {
		vi dh = vi_rows4(p, stride), lo = vi_rows4(p + 4, stride);
		vf d = vf_half_lo(dh);

		UNROLL for (int g = 0; g < 8; g++, out += REC(1, 0)) {
			vi s = vi_or(vi_and(vi_shr(lo, 4 * g), vi_set1(15)),
				     vi_shl(vi_and(vi_shr(dh, 16 + 2 * g), vi_set1(3)), 4));

			lines_of_table(out, p + 8 + 16 * g, stride, kern_iq4_values, 0x80808080);
			scale(out, 0, vf_mul(d, vf_of(vi_sub(s, vi_set1(32)))));
			ahead(&pf, sizeof(struct iq4_xs) / 8);
		}
	}
}

/* Types that multiply in f32: n columns, a multiple of 8; lines of 16 floats. */
UNPACK(unpack_f32)
{
	for (; n > 0; n -= 4, p += 16, out += 4 * LINE) {
		vi t[4];

		vi_rows16(t, p, stride);
		UNROLL for (int j = 0; j < 4; j++)
			vi_store(out + (size_t)j * LINE, t[j]);
		ahead(&pf, 16);
	}
}
UNPACK(unpack_f16)
{
	for (; n > 0; n -= 8, p += 16, out += 8 * LINE) {
		vi t[4];

		vi_rows16(t, p, stride);
		UNROLL for (int j = 0; j < 4; j++) {
			vf_store(out + (size_t)(2 * j) * LINE, vf_half_lo(t[j]));
			vf_store(out + (size_t)(2 * j + 1) * LINE, vf_half_lo(vi_shr(t[j], 16)));
		}
		ahead(&pf, 16);
	}
}
UNPACK(unpack_bf16)
{
	for (; n > 0; n -= 8, p += 16, out += 8 * LINE) {
		vi t[4];

		vi_rows16(t, p, stride);
		UNROLL for (int j = 0; j < 4; j++) {
			vi_store(out + (size_t)(2 * j) * LINE, vi_shl(t[j], 16));
			vi_store(out + (size_t)(2 * j + 1) * LINE, vi_and(t[j], vi_set1((int)0xffff0000)));
		}
		ahead(&pf, 16);
	}
}

/* What a product of a type needs. rec 0: multiplies in f32. */
static const struct unpacker {
	unpack_fn *unpack;
	tile_fn *const *tiles;
	size_t rec;    /* bytes a record */
	uint8_t shift; /* log2 of the zero point */
} unpackers[T_N] = {
	[T_F32] = { unpack_f32, NULL, 0, 0 },
	[T_F16] = { unpack_f16, NULL, 0, 0 },
	[T_BF16] = { unpack_bf16, NULL, 0, 0 },
	[T_Q4_0] = { unpack_q4_0, tiles_zero, REC(1, 0), 3 },
	[T_Q4_1] = { unpack_q4_1, tiles_min, REC(1, 1), 0 },
	[T_Q5_0] = { unpack_q5_0, tiles_zero, REC(1, 0), 4 },
	[T_Q5_1] = { unpack_q5_1, tiles_min, REC(1, 1), 0 },
	[T_Q8_0] = { unpack_q8_0, tiles_wide, REC(1, 0), 7 },
	[T_IQ4_NL] = { unpack_iq4_nl, tiles_wide, REC(1, 0), 7 },
	[T_MXFP4] = { unpack_mxfp4, tiles_zero, REC(1, 0), 4 },
	[T_Q2_K] = { unpack_q2_k, tiles_min16, REC(2, 1), 0 },
	[T_Q3_K] = { unpack_q3_k, tiles_zero16, REC(2, 0), 2 },
	[T_Q4_K] = { unpack_q4_k, tiles_min, REC(1, 1), 0 },
	[T_Q5_K] = { unpack_q5_k, tiles_min, REC(1, 1), 0 },
	[T_Q6_K] = { unpack_q6_k, tiles_zero16, REC(2, 0), 5 },
	[T_IQ4_XS] = { unpack_iq4_xs, tiles_wide, REC(1, 0), 7 },
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
 * Unpack columns [from, from + n) of the strip (whole blocks); what is missing at the lower and right border is
 * copied to be there: rows as the last, columns (of f32 types) as zeros up to a multiple of 8.
 */
static void strip_unpack(struct strip *s, const struct unpacker *u, int64_t from, int64_t n, size_t panel_bytes)
{
	uint32_t type = s->w->type;
	size_t bytes = kern_row_bytes(type, n), off = kern_row_bytes(type, from), stride = s->row_bytes;
	int64_t blocks = n / kern_block(type);
	const uint8_t *p = s->rows + off, *pf = s->next ? s->next + KERN_STEP * off : NULL;

	if (s->valid < KERN_STEP || (!u->rec && n % 8)) {
		size_t padded = u->rec ? bytes : kern_row_bytes(type, (n + 7) / 8 * 8);

		for (int64_t r = 0; r < KERN_STEP; r++) {
			const uint8_t *row = s->rows + (size_t)(r < s->valid ? r : s->valid - 1) * s->row_bytes;
			memcpy(s->tail + (size_t)r * padded, row + off, bytes);
			memset(s->tail + (size_t)r * padded + bytes, 0, padded - bytes);
		}
		p = s->tail;
		stride = padded;
	}
	for (int i = 0; i < KERN_STEP / 16; i++) {
		uint8_t *out = s->unpacked + (size_t)(i / P) * panel_bytes + (size_t)(i % P) * 64;

		u->unpack(out, p + (size_t)(16 * i) * stride, stride, blocks, pf ? pf + (size_t)i * 16 * bytes : NULL);
	}
}

static void strip_int8(struct strip *s, const struct unpacker *u, const struct kern_act *a)
{
	size_t a_ld = kern_act_stride(a->cols), part = a_ld * (size_t)a->n, half = KERN_UNPACKED / (KERN_STEP / 16) * P;
	int64_t nb = a->cols / 32, unit = kern_block(s->w->type) / 32, most = KERN_CHUNK / 32 / unit * unit;
	int64_t chunks = (nb + most - 1) / most, per = ((nb + chunks - 1) / chunks + unit - 1) / unit * unit;

	for (int64_t b = 0; b < nb; b += per) {
		int64_t n = nb - b < per ? nb - b : per;

		strip_unpack(s, u, 32 * b, 32 * n, half);
		for (int64_t j = 0, c; j < a->n; j += c) {
			const uint8_t *q = (const uint8_t *)a->q + (size_t)j * a_ld + (size_t)b * sizeof(struct act32);

			c = tile_cols(a->n - j, VEC_COLS);
			for (int k = 0; k < a->parts * (KERN_STEP / 16 / P); k++) {
				int i = k / a->parts, h = k % a->parts;

				u->tiles[c - 1](s->out + j * s->ld + 16 * P * i, s->ld, s->unpacked + (size_t)i * half,
						q + (size_t)h * part, a_ld, n, b == 0 && h == 0, u->shift);
			}
		}
	}
}

static void strip_f32(struct strip *s, const struct unpacker *u, const struct kern_act *a)
{
	size_t half = KERN_UNPACKED / (KERN_STEP / 16) * P;

	for (int64_t k = 0; k < a->cols; k += KERN_CHUNK_F32) {
		int64_t n = a->cols - k < KERN_CHUNK_F32 ? a->cols - k : KERN_CHUNK_F32;

		strip_unpack(s, u, k, n, half);
		for (int64_t j = 0, c; j < a->n; j += c) {
			c = tile_cols(a->n - j, VEC_COLS_F32);
			for (int i = 0; i < KERN_STEP / 16 / P; i++)
				tiles_f32[c - 1](s->out + j * s->ld + 16 * P * i, s->ld,
						 s->unpacked + (size_t)i * half, LINE, a->x + j * a->ld + k, a->ld, n,
						 k == 0);
		}
	}
}

static void mul(float *out, int64_t ld_out, const struct kern_mat *w, const struct kern_act *a, int64_t from, int64_t to,
		void *scratch)
{
	const struct unpacker *u = &unpackers[w->type];
	struct strip s = { .w = w, .row_bytes = kern_row_bytes(w->type, w->cols), .unpacked = scratch };

	s.tail = s.unpacked + KERN_UNPACKED;
	/* nothing has fetched the first strip */
	size_t first = (size_t)(to - from < KERN_STEP ? to - from : KERN_STEP) * s.row_bytes;
	for (size_t i = 0; i < first && i < 65536; i += 64)
		vec_prefetch((const uint8_t *)w->data + (size_t)from * s.row_bytes + i);
	for (int64_t r = from; r < to; r += KERN_STEP) {
		s.rows = (const uint8_t *)w->data + (size_t)r * s.row_bytes;
		s.valid = to - r < KERN_STEP ? to - r : KERN_STEP;
		s.next = r + KERN_STEP < to ? s.rows + KERN_STEP * s.row_bytes : NULL;
		s.out = s.valid < KERN_STEP ? (float *)(void *)(s.tail + KERN_TAIL) : out + r;
		s.ld = s.valid < KERN_STEP ? KERN_STEP : ld_out;
		if (u->rec)
			strip_int8(&s, u, a);
		else
			strip_f32(&s, u, a);
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

static void act_prepare(struct kern_act *a, int64_t from, int64_t to)
{
	size_t stride = kern_act_stride(a->cols), part = stride * (size_t)a->n;

	for (int64_t j = from; j < to && a->q; j++) {
		uint8_t *o = (uint8_t *)a->q + (size_t)j * stride;
		const float *x = a->x + j * a->ld;

		for (int64_t k = 0; k < a->cols; k += 32, o += sizeof(struct act32)) {
			vf t[2] = { vf_load(x + k), vf_load(x + k + 16) };

			act_block((void *)o, t);
			if (a->parts > 1)
				act_block((void *)(o + part), t);
		}
	}
}
