/*
 * kern_unpack_impl: rows of quantized weights become records of 32 columns, in the words of kern_vec_*.h.
 *
 * Up to 256 columns of 16 rows (a unit) are turned as they lie into lines of one 4-byte word a row (lane = row). From these
 * a record is made in registers: 8 lines of weights as bytes from 0 on, scales, minima. Records are multiplied at once
 * (near(), for few columns) or written to memory for many (unpack()).
 */

/* ---- turning ------------------------------------------------------------------------------------ */

#define RAW_LINES 72 /* 8 blocks of Q8_0 and a rest */

/* What the next strip's rows are fetched with: a few lines at a time, since a burst of them is dropped. */
INLINE void ahead(const uint8_t **pf, int lines)
{
	if (!*pf)
		return;
	for (int i = 0; i < lines; i++)
		vec_prefetch(*pf + 64 * i);
	*pf += 64 * lines;
}

/* 16 rows of `bytes` >= 16, a multiple of 4 but for a rest: raw[word][row]. Nothing outside the rows is read. */
INLINE void turn(uint8_t *raw, const uint8_t *p, size_t stride, int bytes, const uint8_t **pf)
{
	int rest = bytes % 4, at = 0;
	vi t[4];

	for (; at + 16 <= bytes; at += 16) {
		vi_rows16(t, p + at, stride);
		UNROLL for (int j = 0; j < 4; j++)
			vi_store(raw + 16 * at + 64 * j, t[j]);
		ahead(pf, 2); /* half of what they are; the records fetch the other half */
	}
	if (at + rest < bytes) {
		at = bytes - rest - 16;
		vi_rows16(t, p + at, stride);
		UNROLL for (int j = 0; j < 4; j++)
			vi_store(raw + 16 * at + 64 * j, t[j]);
	}
	if (rest) {
		vi_rows16(t, p + bytes - 16, stride);
		vi_store(raw + 16 * (bytes - rest), vi_shr(t[3], 32 - 8 * rest));
	}
}
/* The words at byte `off` of each row. */
INLINE vi word_at(const uint8_t *raw, int off)
{
	const uint8_t *l = raw + off / 4 * 64;
	int s = off % 4 * 8;

	return s ? vi_or(vi_shr(vi_load(l), s), vi_shl(vi_load(l + 64), 32 - s)) : vi_load(l);
}
INLINE vf half_at(const uint8_t *raw, int off)
{
	vi x = vi_load(raw + off / 4 * 64);

	return vf_half_lo(off % 4 ? vi_shr(x, 16) : x);
}

/* ---- records ------------------------------------------------------------------------------------ */

struct unit {
	const uint8_t *raw;
	vf d, dmin;     /* of a super-block */
	vi sc[4], m[2]; /* its scales and minima, a byte each */
};
struct rec {
	vi w[8];
	vf s[2], m[2]; /* of both halves, where they have their own */
};
typedef void begin_fn(struct unit *u);
/* Record 2 k + g of a unit; g is a constant, k need not be. */
typedef void rec_fn(struct rec *o, const struct unit *u, int k, const int g);

INLINE void begin_none(struct unit *u)
{
	(void)u;
}
/* 16 bytes of nibbles: low ones are elements 0..15, high ones 16..31. */
INLINE void nibbles(vi w[8], const uint8_t *raw, const int off)
{
	vi m = vi_set1(0x0f0f0f0f);

	UNROLL for (int j = 0; j < 4; j++) {
		vi t = word_at(raw, off + 4 * j);

		w[j] = vi_and(t, m);
		w[j + 4] = vi_and(vi_shr(t, 4), m);
	}
}
/* The same through a table of 16 values, whose bits `flip` then turns (signed to unsigned: the top bit of each byte). */
INLINE void table(vi w[8], const uint8_t *raw, const int off, const int8_t values[16], uint32_t flip)
{
	nibbles(w, raw, off);
	UNROLL for (int j = 0; j < 8; j++)
		w[j] = vi_xor(vi_lut(values, w[j]), vi_set1((int32_t)flip));
}
/* The same with the fifth bits: bit j of a row's qh belongs to element j. */
INLINE void fives(vi w[8], const uint8_t *raw, const int off, vi qh)
{
	nibbles(w, raw, off);
	UNROLL for (int j = 0; j < 8; j++) {
		/* bits 0..3 to bit 4 of bytes 0..3: x (2^4 + 2^11 + 2^18 + 2^25) has no carries that matter */
		vi x = vi_and(vi_shr(qh, 4 * j), vi_set1(15));

		w[j] = vi_or(w[j], vi_and(vi_mul(x, vi_set1(0x02040810)), vi_set1(0x10101010)));
	}
}
/* Bits moved up by n, or down by -n, into a mask that leaves no others. */
INLINE vi bits(vi v, int n, uint32_t mask)
{
	return vi_and(n < 0 ? vi_shr(v, -n) : vi_shl(v, n), vi_set1((int32_t)mask));
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

INLINE void rec_q4_0(struct rec *o, const struct unit *u, int k, const int g)
{
	const uint8_t *raw = u->raw + 9 * 64 * k;

	nibbles(o->w, raw, 18 * g + 2);
	o->s[0] = half_at(raw, 18 * g);
}
INLINE void rec_q4_1(struct rec *o, const struct unit *u, int k, const int g)
{
	const uint8_t *raw = u->raw + 64 * (10 * k + 5 * g);

	nibbles(o->w, raw, 4);
	o->s[0] = half_at(raw, 0);
	o->m[0] = half_at(raw, 2);
}
INLINE void rec_q5_0(struct rec *o, const struct unit *u, int k, const int g)
{
	const uint8_t *raw = u->raw + 11 * 64 * k;

	fives(o->w, raw, 22 * g + 6, word_at(raw, 22 * g + 2));
	o->s[0] = half_at(raw, 22 * g);
}
INLINE void rec_q5_1(struct rec *o, const struct unit *u, int k, const int g)
{
	const uint8_t *raw = u->raw + 64 * (12 * k + 6 * g);

	fives(o->w, raw, 8, word_at(raw, 4));
	o->s[0] = half_at(raw, 0);
	o->m[0] = half_at(raw, 2);
}
INLINE void rec_q8_0(struct rec *o, const struct unit *u, int k, const int g)
{
	const uint8_t *raw = u->raw + 17 * 64 * k;

	UNROLL for (int j = 0; j < 8; j++)
		o->w[j] = vi_xor(word_at(raw, 34 * g + 2 + 4 * j), vi_set1((int)0x80808080));
	o->s[0] = half_at(raw, 34 * g);
}
INLINE void rec_iq4_nl(struct rec *o, const struct unit *u, int k, const int g)
{
	const uint8_t *raw = u->raw + 9 * 64 * k;

	table(o->w, raw, 18 * g + 2, kern_iq4_values, 0x80808080);
	o->s[0] = half_at(raw, 18 * g);
}
INLINE void mxfp4_at(struct rec *o, const uint8_t *raw, const int off)
{
	static const int8_t plus16[16] = { 16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4 };
	vi e = vi_and(vi_shr(vi_load(raw + off / 4 * 64), off % 4 * 8), vi_set1(255));
	/* kern_e8m0_half(): (e - 1) << 23, or 2^21 << e where e < 2 */
	vf small = vf_mul(vf_of(vi_add(e, vi_set1(1))), vf_set1(0x1p-128f));
	vf d = vf_cast(vi_shl(vi_sub(e, vi_set1(1)), 23));

	table(o->w, raw, off + 1, plus16, 0);
	o->s[0] = vf_lt(vf_of(e), vf_set1(2), small, d);
}
INLINE void rec_mxfp4(struct rec *o, const struct unit *u, int k, const int g)
{
	const uint8_t *raw = u->raw + 17 * 64 * (k / 2);

	if (k % 2)
		mxfp4_at(o, raw, 17 * (2 + g));
	else
		mxfp4_at(o, raw, 17 * g);
}
/* d, dmin and the 8 scales and minima of Q4_K and Q5_K. */
INLINE void begin_k4(struct unit *u)
{
	vi t[4], six = vi_set1(0x3f3f3f3f), four = vi_set1(0x0f0f0f0f), two = vi_set1(0x30303030);

	UNROLL for (int j = 0; j < 4; j++)
		t[j] = vi_load(u->raw + 64 * j);
	u->d = vf_half_lo(t[0]);
	u->dmin = vf_sub(vf_set1(0), vf_half_lo(vi_shr(t[0], 16)));
	u->sc[0] = vi_and(t[1], six);
	u->m[0] = vi_and(t[2], six);
	u->sc[1] = vi_or(vi_and(t[3], four), vi_and(vi_shr(t[1], 2), two));
	u->m[1] = vi_or(vi_and(vi_shr(t[3], 4), four), vi_and(vi_shr(t[2], 2), two));
}
INLINE void scales_k4(struct rec *o, const struct unit *u, int k, const int g)
{
	o->s[0] = vf_mul(u->d, byte_of(u->sc[k / 2], k % 2 * 2 + g));
	o->m[0] = vf_mul(u->dmin, byte_of(u->m[k / 2], k % 2 * 2 + g));
}
INLINE void rec_q4_k(struct rec *o, const struct unit *u, int k, const int g)
{
	UNROLL for (int j = 0; j < 8; j++)
		o->w[j] = vi_and(vi_shr(vi_load(u->raw + 64 * (4 + 8 * k + j)), 4 * g), vi_set1(0x0f0f0f0f));
	scales_k4(o, u, k, g);
}
INLINE void rec_q5_k(struct rec *o, const struct unit *u, int k, const int g)
{
	UNROLL for (int j = 0; j < 8; j++) { /* bit 2 k + g of qh is the fifth of this record */
		vi q = vi_and(vi_shr(vi_load(u->raw + 64 * (12 + 8 * k + j)), 4 * g), vi_set1(0x0f0f0f0f));

		o->w[j] = vi_or(q, bits(vi_load(u->raw + 64 * (4 + j)), 4 - 2 * k - g, 0x10101010));
	}
	scales_k4(o, u, k, g);
}
INLINE void begin_q6_k(struct unit *u)
{
	u->d = half_at(u->raw, 208);
}
INLINE void rec_q6_k(struct rec *o, const struct unit *u, int k, const int g)
{
	const uint8_t *lo = u->raw + 64 * (k / 2 * 16 + 8 * g), *hi = u->raw + 64 * (32 + k / 2 * 8);
	vi sc = vi_load(u->raw + 64 * (48 + k));

	UNROLL for (int j = 0; j < 8; j++) {
		vi q = vi_and(vi_shr(vi_load(lo + 64 * j), k % 2 * 4), vi_set1(0x0f0f0f0f));

		o->w[j] = vi_or(q, bits(vi_load(hi + 64 * j), 4 - k % 2 * 4 - 2 * g, 0x30303030));
	}
	UNROLL for (int i = 0; i < 2; i++)
		o->s[i] = vf_mul(u->d, sbyte_of(sc, 2 * g + i));
}
INLINE void begin_q3_k(struct unit *u)
{
	vi t[3], four = vi_set1(0x0f0f0f0f), top = vi_set1(0x30303030);

	UNROLL for (int j = 0; j < 3; j++)
		t[j] = vi_load(u->raw + 64 * (24 + j));
	u->sc[0] = vi_or(vi_and(t[0], four), vi_and(vi_shl(t[2], 4), top));
	u->sc[1] = vi_or(vi_and(t[1], four), vi_and(vi_shl(t[2], 2), top));
	u->sc[2] = vi_or(vi_and(vi_shr(t[0], 4), four), vi_and(t[2], top));
	u->sc[3] = vi_or(vi_and(vi_shr(t[1], 4), four), vi_and(vi_shr(t[2], 2), top));
	u->d = half_at(u->raw, 108);
}
INLINE void rec_q3_k(struct rec *o, const struct unit *u, int k, const int g)
{
	UNROLL for (int j = 0; j < 8; j++) { /* bit 2 k + g of hmask is the third of this record */
		vi q = vi_shr(vi_load(u->raw + 64 * (8 + k / 2 * 8 + j)), k % 2 * 4 + 2 * g);

		o->w[j] = vi_or(vi_and(q, vi_set1(0x03030303)), bits(vi_load(u->raw + 64 * j), 2 - 2 * k - g, 0x04040404));
	}
	UNROLL for (int i = 0; i < 2; i++)
		o->s[i] = vf_mul(u->d, vf_sub(byte_of(u->sc[k], 2 * g + i), vf_set1(32)));
}
INLINE void begin_q2_k(struct unit *u)
{
	u->d = half_at(u->raw, 80);
	u->dmin = vf_sub(vf_set1(0), half_at(u->raw, 82));
}
INLINE void rec_q2_k(struct rec *o, const struct unit *u, int k, const int g)
{
	vi four = vi_set1(0x0f0f0f0f), sc = vi_load(u->raw + 64 * k);

	UNROLL for (int j = 0; j < 8; j++)
		o->w[j] = vi_and(vi_shr(vi_load(u->raw + 64 * (4 + k / 2 * 8 + j)), k % 2 * 4 + 2 * g),
				 vi_set1(0x03030303));
	UNROLL for (int i = 0; i < 2; i++) {
		o->s[i] = vf_mul(u->d, byte_of(vi_and(sc, four), 2 * g + i));
		o->m[i] = vf_mul(u->dmin, byte_of(vi_and(vi_shr(sc, 4), four), 2 * g + i));
	}
}
INLINE void begin_iq4_xs(struct unit *u)
{
	u->d = half_at(u->raw, 0);
}
INLINE void rec_iq4_xs(struct rec *o, const struct unit *u, int k, const int g)
{
	vi dh = vi_load(u->raw), lo = vi_load(u->raw + 64);
	vi s = vi_or(vi_and(vi_shr(lo, 8 * k + 4 * g), vi_set1(15)),
		     vi_shl(vi_and(vi_shr(dh, 16 + 4 * k + 2 * g), vi_set1(3)), 4));

	table(o->w, u->raw + 64 * (2 + 8 * k), 16 * g, kern_iq4_values, 0x80808080);
	o->s[0] = vf_mul(u->d, vf_of(vi_sub(s, vi_set1(32))));
}

/* ---- to memory ---------------------------------------------------------------------------------- */

/* One panel of 16 rows, `stride` bytes apart, n records from p on; out: the panel's part of the first record. */
typedef void unpack_fn(uint8_t *out, const uint8_t *p, size_t stride, int64_t n, const uint8_t *pf);

INLINE void unpack(uint8_t *out, const uint8_t *p, size_t stride, int64_t n, const uint8_t *pf, begin_fn *begin, rec_fn *make,
		   const int unit_bytes, const int groups, const int mins)
{
	_Alignas(64) uint8_t raw[RAW_LINES * 64];
	struct unit u = { .raw = raw };

	for (; n > 0; n -= 8, p += unit_bytes) {
		int m = n < 8 ? (int)n : 8;

		turn(raw, p, stride, m == 8 ? unit_bytes : m * unit_bytes / 8, &pf);
		begin(&u);
		for (int k = 0; 2 * k < m; k++)
			UNROLL for (int g = 0; g < 2; g++) {
				struct rec r;

				if (2 * k + g == m)
					break;
				make(&r, &u, k, g);
				UNROLL for (int l = 0; l < 8; l += VEC_PAIR)
					vi_zip(&r.w[l]);
				UNROLL for (int l = 0; l < 8; l++)
					vi_store(out + (size_t)l * LINE, r.w[l]);
				UNROLL for (int i = 0; i < groups; i++) {
					vf_store(out + (size_t)(8 + i) * LINE, r.s[i]);
					if (mins)
						vf_store(out + (size_t)(8 + groups + i) * LINE, r.m[i]);
				}
				out += REC(groups, mins);
				ahead(&pf, (unit_bytes + 63) / 64);
			}
	}
}

/* ---- at once ------------------------------------------------------------------------------------ */

/*
 * out[c * ld + row] (+)= n records of 16 P rows from p on times C columns of activations, a_ld bytes apart: what
 * unpack() and tile() do, with the same bits.
 */
typedef void near_fn(float *out, int64_t ld, const uint8_t *p, size_t stride, const uint8_t *a, size_t a_ld, int64_t n,
		     bool first, const uint8_t *pf);

/* One record times one column: the same steps as tile()'s. */
INLINE vf near_record(vf acc, const struct rec *r, const uint8_t *a, const int groups, const int mins, const int shift,
		      const int wide)
{
	const struct act32 *m = (const struct act32 *)(const void *)a;

	UNROLL for (int g = 0; g < groups; g++) {
		int32_t neg = groups == 1 ? m->neg : g ? m->neg - m->neg_lo : m->neg_lo; /* minus the sum */
		vf sum = vf_set1(groups == 1 ? m->sum : (float)-neg);
		vi s = vi_set1(mins ? 0 : (int32_t)((uint32_t)neg << shift));

		UNROLL for (int l = g * 8 / groups; l < (g + 1) * 8 / groups; l++) {
			vi al = vi_bcast(a + 4 * l);

			s = wide ? vi_dot(s, r->w[l], al) : vi_dot7(s, r->w[l], al);
		}
		vf t = vf_mul(vf_of(s), r->s[g]);
		if (mins)
			t = vf_fma(r->m[g], sum, t);
		acc = vf_fma(vf_set1(m->d), t, acc);
	}
	return acc;
}

INLINE void near(float *out, int64_t ld, const uint8_t *p, size_t stride, const uint8_t *a, size_t a_ld, int64_t n, bool first,
		 const uint8_t *pf, begin_fn *begin, rec_fn *make, const int unit_bytes, const int groups, const int mins,
		 const int shift, const int wide, const int C)
{
	_Alignas(64) uint8_t raw[P][RAW_LINES * 64];
	struct unit u[P];
	vf acc[P][VEC_NEAR];

	UNROLL for (int c = 0; c < C; c++)
		UNROLL for (int i = 0; i < P; i++)
			acc[i][c] = first ? vf_set1(0) : vf_load(out + c * ld + 16 * i);
	for (; n > 0; n -= 8, p += unit_bytes) {
		int m = n < 8 ? (int)n : 8;

		for (int i = 0; i < P; i++) {
			turn(raw[i], p + (size_t)(16 * i) * stride, stride, m == 8 ? unit_bytes : m * unit_bytes / 8, &pf);
			u[i].raw = raw[i];
			begin(&u[i]);
		}
#define NEAR_PAIR                                                                                                       \
	UNROLL for (int g = 0; g < 2; g++) {                                                                           \
		struct rec r[P];                                                                                       \
                                                                                                                       \
		if (2 * k + g == m)                                                                                    \
			break;                                                                                         \
		UNROLL for (int i = 0; i < P; i++)                                                                     \
			make(&r[i], &u[i], k, g);                                                                      \
		UNROLL for (int c = 0; c < C; c++)                                                                     \
			UNROLL for (int i = 0; i < P; i++)                                                             \
				acc[i][c] = near_record(acc[i][c], &r[i], a + (size_t)c * a_ld, groups, mins, shift, wide); \
		a += sizeof(struct act32);                                                                             \
		ahead(&pf, (P * unit_bytes + 63) / 64);                                                                \
	}
		if (C == 1 && m == 8) /* what depends on k is constant */
			UNROLL for (int k = 0; k < 4; k++)
				NEAR_PAIR
		else
			for (int k = 0; 2 * k < m; k++)
				NEAR_PAIR
	}
	UNROLL for (int c = 0; c < C; c++)
		UNROLL for (int i = 0; i < P; i++)
			vf_store(out + c * ld + 16 * i, acc[i][c]);
}
