/* kern: chooses the set of kernels once and passes calls on to it. */
#include "config.h"
#include "kern/kern_impl.h"

static const char *const names[KERN_N_ISAS] = { "scalar", "avx2", "avx512", "avx512bf16", "neon", "i8mm", "blas" };
static const struct kern_ops *const tables[KERN_N_ISAS] = {
	[KERN_SCALAR] = &kern_ops_scalar,
#if defined __x86_64__
	[KERN_AVX2] = &kern_ops_avx2,
	[KERN_AVX512] = &kern_ops_avx512,
	[KERN_AVX512BF16] = &kern_ops_avx512,
#elif defined __aarch64__
	[KERN_NEON] = &kern_ops_neon,
	[KERN_I8MM] = &kern_ops_i8mm,
#endif
};
static struct kern_ops changed; /* a table with other products */
static const struct kern_ops *ops;
static enum kern_isa chosen;

static enum kern_isa best(void)
{
	enum kern_isa isa = KERN_SCALAR;

	for (enum kern_isa i = KERN_AVX2; i < KERN_BLAS; i++)
		if (kern_isa_available(i))
			isa = i;
	return isa;
}

int kern_init(const char *name, struct err *e)
{
	enum kern_isa isa = best();
	char have[64] = "";
	size_t n = 0;

	if (name) {
		for (isa = 0; isa < KERN_N_ISAS && strcmp(names[isa], name) != 0;)
			isa++;
		if (isa == KERN_N_ISAS || !kern_isa_available(isa)) {
			for (enum kern_isa i = 0; i < KERN_N_ISAS; i++)
				if (kern_isa_available(i))
					n += (size_t)snprintf(have + n, sizeof have - n, " %s", names[i]);
			return err_set(e, ERR_USAGE, "no kernels \"%s\" on this processor; there are:%s", name, have);
		}
	}
	if (isa == KERN_BLAS && kern_blas_open(&changed, tables[best()], e))
		return -1;
	ops = isa == KERN_BLAS ? &changed : tables[isa];
#ifdef __x86_64__
	if (isa == KERN_AVX512BF16) {
		changed = kern_ops_avx512;
		changed.mul_bf16 = kern_mul_avx512bf16;
		ops = &changed;
	}
#endif
	chosen = isa;
	return 0;
}

enum kern_isa kern_isa(void)
{
	return chosen;
}

const char *kern_isa_name(enum kern_isa isa)
{
	return isa < KERN_N_ISAS ? names[isa] : "?";
}

/* The table in force; whoever forgot kern_init() gets the best one. */
static inline const struct kern_ops *in_force(void)
{
	if (__builtin_expect(!ops, 0))
		kern_init(NULL, NULL);
	return ops;
}

/* ---- products ----------------------------------------------------------------------------------- */

enum kern_form kern_form(uint32_t type)
{
	return type == T_F32 || type == T_F16 ? KERN_F32 : type == T_BF16 ? KERN_BF16 : KERN_INT8;
}

size_t kern_act_bytes(uint32_t weight_type, enum kern_depth depth, int64_t cols, int64_t n)
{
	switch (kern_form(weight_type)) {
	case KERN_F32:
		return kern_lines(cols, 4) * (size_t)n;
	case KERN_BF16:
		return kern_lines(cols, 2) * (size_t)n;
	default:
		return (size_t)n * (depth == KERN_8_BITS ? kern_act_stride(cols) : 2 * kern_act_stride(cols) + 4 * kern_mask_words(cols));
	}
}

void kern_act_init(struct kern_act *a, uint32_t weight_type, enum kern_depth depth, const float *x, int64_t ld, int64_t cols,
		   int64_t n, void *mem)
{
	*a = (struct kern_act){ .x = x, .ld = ld, .q = mem, .cols = cols, .n = n, .depth = depth, .form = kern_form(weight_type) };
}

void kern_act_prepare(struct kern_act *a, int64_t from, int64_t to)
{
	in_force()->act_prepare(a, from, to);
}

int64_t kern_row_step(void)
{
	return KERN_STEP;
}

size_t kern_mul_scratch(const struct kern_mat *w, int64_t n)
{
	/* blas: rows of f32 instead */
	size_t whole = KERN_UNPACKED + KERN_TAIL + (size_t)n * KERN_STEP * 4;
	size_t f32 = (size_t)w->cols * KERN_STEP * 4;

	return chosen == KERN_BLAS && f32 > whole ? f32 : whole;
}

void kern_mul(float *out, int64_t ld_out, const struct kern_mat *w, const struct kern_act *a, int64_t from, int64_t to,
	      void *scratch)
{
	const struct kern_ops *o = in_force();

	(w->type == T_BF16 ? o->mul_bf16 : o->mul)(out, ld_out, w, a, from, to, scratch);
}

/* ---- rows ---------------------------------------------------------------------------------------- */

void kern_rms_norm(float *out, const float *x, const float *w, int64_t n, float eps)
{
	in_force()->rms_norm(out, x, w, n, eps);
}

void kern_layer_norm(float *out, const float *x, const float *w, const float *b, int64_t n, float eps)
{
	in_force()->layer_norm(out, x, w, b, n, eps);
}

void kern_add(float *out, const float *a, const float *b, int64_t n)
{
	in_force()->add(out, a, b, n);
}

void kern_mul_add(float *out, const float *x, float s, int64_t n)
{
	in_force()->mul_add(out, x, s, n);
}

void kern_scale(float *x, float s, int64_t n)
{
	in_force()->scale(x, s, n);
}

void kern_silu_mul(float *out, const float *gate, const float *up, int64_t n)
{
	in_force()->silu_mul(out, gate, up, n);
}

void kern_gelu_mul(float *out, const float *gate, const float *up, int64_t n)
{
	in_force()->gelu_mul(out, gate, up, n);
}

void kern_gelu_erf(float *out, const float *x, int64_t n)
{
	in_force()->gelu_erf(out, x, n);
}

void kern_gelu_tanh(float *out, const float *x, int64_t n)
{
	in_force()->gelu_tanh(out, x, n);
}

void kern_softcap(float *x, float cap, int64_t n)
{
	in_force()->softcap(x, cap, n);
}

float kern_max(const float *x, int64_t n)
{
	return in_force()->max(x, n);
}

float kern_exp_sum(float *x, float max, int64_t n)
{
	return in_force()->exp_sum(x, max, n);
}

void kern_rope(float *x, const float *cos, const float *sin, int64_t n_rot, bool neox)
{
	in_force()->rope(x, cos, sin, n_rot, neox);
}

bool kern_all_finite(const float *x, int64_t n)
{
	return in_force()->all_finite(x, n);
}

size_t kern_attn_scratch(int64_t n_q, int64_t d, int64_t dv)
{
	size_t dvp = ((size_t)dv + 15) / 16 * 16;

	(void)n_q; /* rows go in groups of KERN_ATTN_ROWS */
	return 4 * (KERN_KV_PAGE * (2 * (size_t)d + dvp) + KERN_ATTN_ROWS * (dvp + KERN_KV_PAGE));
}

void kern_attn(float *out, int64_t ld_out, const struct kern_attn *a, void *scratch)
{
	in_force()->attn(out, ld_out, a, scratch);
}

void kern_k_store(void *page, int64_t i, const float *x, uint32_t kv_type, int64_t n)
{
	in_force()->k_store(page, i, x, kv_type, n);
}

void kern_v_store(void *out, const float *x, uint32_t kv_type, int64_t n)
{
	in_force()->v_store(out, x, kv_type, n);
}

float kern_dot(const float *a, const float *b, int64_t n)
{
	return in_force()->dot(a, b, n);
}

void kern_dots(float *out, const float *q, const float *rows, int64_t ld, int64_t n, int64_t d)
{
	in_force()->dots(out, q, rows, ld, n, d);
}

void kern_dots_u8s8(int32_t *out, const int8_t *q, const uint8_t *rows, int64_t ld, int64_t n, int64_t d)
{
	in_force()->dots_u8s8(out, q, rows, ld, n, d);
}

void kern_pack_u8(uint8_t *packed, const uint8_t *rows, int64_t ld, int64_t n, int64_t d)
{
	in_force()->pack_u8(packed, rows, ld, n, d);
}

void kern_mul_u8s8(int32_t *out, int64_t ld_out, const int8_t *q, int64_t ld_q, int64_t n_q, const uint8_t *packed,
		   int64_t n, int64_t d)
{
	in_force()->mul_u8s8(out, ld_out, q, ld_q, n_q, packed, n, d);
}

int64_t kern_reach(struct kern_reached *out, const int32_t *dots, const float *scale, const float *error, int64_t n,
		   const struct kern_bound *b)
{
	return in_force()->reach(out, dots, scale, error, n, b);
}

/* ---- the roofline -------------------------------------------------------------------------------- */

double kern_peak(enum kern_peak what)
{
	double best_rate = 0;

	for (int i = 0; i < 7; i++) {
		uint64_t t0 = time_mono_ns();
		double done = in_force()->peak(what == KERN_PEAK_F32, 100000);
		uint64_t t1 = time_mono_ns();
		double rate = t1 > t0 ? done / (double)(t1 - t0) * 1e9 : 0;

		best_rate = rate > best_rate ? rate : best_rate;
	}
	return best_rate;
}

uint64_t kern_read(const void *p, size_t n)
{
	const uint64_t *q = p;
	uint64_t a = 0, b = 0, c = 0, d = 0;

	for (size_t i = 0; i + 4 <= n / 8; i += 4) {
		a += q[i];
		b += q[i + 1];
		c += q[i + 2];
		d += q[i + 3];
		__builtin_prefetch((const char *)(q + i) + 2048, 0, 0);
	}
	return a + b + c + d;
}
