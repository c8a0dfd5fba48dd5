/*
 * kern_scan_impl: rows of 8-bit codes times many queries, for search. Rows are packed as weights are (kern_mul_impl):
 * lines of 16 rows by 4 codes, the lines of P panels side by side, so that a lane is a row and nothing is summed across.
 */

static void pack_u8(uint8_t *out, const uint8_t *rows, int64_t ld, int64_t n, int64_t d)
{
	for (int64_t i = 0; i < n; i += 16 * P, out += 16 * P * d)
		for (int p = 0; p < P; p++)
			for (int64_t k = 0; k < d; k += 16) {
				vi t[4];

				vi_rows16(t, rows + (i + 16 * p) * ld + k, (size_t)ld);
				UNROLL for (int l = 0; l < 4; l += VEC_PAIR)
					vi_zip(&t[l]);
				UNROLL for (int l = 0; l < 4; l++)
					vi_store(out + (size_t)(k / 4 + l) * LINE + 64 * p, t[l]);
			}
}

/* out[c * ld + row] for 16 P rows and C queries, ld_q bytes apart. */
INLINE void tile_u8s8(int32_t *out, int64_t ld, const uint8_t *w, const int8_t *q, int64_t ld_q, int64_t d, const int C)
{
	vi acc[P][VEC_COLS];

	UNROLL for (int c = 0; c < VEC_COLS; c++)
		UNROLL for (int p = 0; p < P; p++)
			acc[p][c] = vi_set1(0);
	for (int64_t k = 0; k < d; k += 4 * VEC_PAIR)
		UNROLL for (int l = 0; l < VEC_PAIR; l++, w += LINE) {
			vi u[P];

			UNROLL for (int p = 0; p < P; p++)
				u[p] = vi_load(w + 64 * p);
			UNROLL for (int c = 0; c < C; c += VEC_PAIR) {
				vi x = vi_acts(q + c * ld_q + k, c + 1 < C ? (size_t)ld_q : 0);
				UNROLL for (int p = 0; p < P; p++)
					acc[p][c + l] = vi_tile(acc[p][c + l], u[p], x, 1);
			}
		}
	UNROLL for (int c = 0; c < C; c += VEC_PAIR)
		UNROLL for (int p = 0; p < P; p++)
			vi_unzip(&acc[p][c]);
	UNROLL for (int c = 0; c < C; c++)
		UNROLL for (int p = 0; p < P; p++)
			vi_store(out + c * ld + 16 * p, acc[p][c]);
}

typedef void tile_u8s8_fn(int32_t *out, int64_t ld, const uint8_t *w, const int8_t *q, int64_t ld_q, int64_t d);
#define TILE_U8S8(C, name)                                                                                    \
	static void name##C(int32_t *out, int64_t ld, const uint8_t *w, const int8_t *q, int64_t ld_q, int64_t d) \
	{                                                                                                     \
		tile_u8s8(out, ld, w, q, ld_q, d, C);                                                         \
	}
TILES(TILE_U8S8, tile_u8s8_)
static tile_u8s8_fn *const tiles_u8s8[] = { TILES(NAME_, tile_u8s8_) };

static void mul_u8s8(int32_t *out, int64_t ld_out, const int8_t *q, int64_t ld_q, int64_t n_q, const uint8_t *packed,
		     int64_t n, int64_t d)
{
	for (int64_t i = 0; i < n; i += 16 * P)
		for (int64_t j = 0, c; j < n_q; j += c) {
			c = tile_cols(n_q - j, VEC_COLS);
			tiles_u8s8[c - 1](out + j * ld_out + i, ld_out, packed + i * d, q + j * ld_q, ld_q, d);
		}
}

/* Rows are judged 32 at a time: few of them pass. */
static int64_t reach(struct kern_reached *out, const int32_t *dots, const float *scale, const float *error, int64_t n,
		     const struct kern_bound *b)
{
	int64_t found = 0;

	for (int64_t i = 0; i < n; i += 32) {
		vf mid[2], half[2];

		UNROLL for (int h = 0; h < 2; h++) {
			int64_t at = i + 16 * h;

			mid[h] = vf_mul(vf_of(vi_sub(vi_load(dots + at), vi_set1(b->bias))),
					vf_mul(vf_set1(b->scale), vf_load(scale + at)));
			half[h] = vf_fma(vf_set1(b->c_error), vf_load(error + at), vf_set1(b->c_const));
		}
		if (!(vf_hmax(vf_max(vf_add(mid[0], half[0]), vf_add(mid[1], half[1]))) >= b->floor))
			continue;
		for (int h = 0; h < 2; h++) {
			float m[16], w[16];

			vf_store(m, mid[h]);
			vf_store(w, half[h]);
			for (int l = 0; l < 16; l++)
				if (m[l] + w[l] >= b->floor)
					out[found++] = (struct kern_reached){ (int32_t)(i + 16 * h + l), m[l] + w[l], m[l] - w[l] };
		}
	}
	return found;
}
