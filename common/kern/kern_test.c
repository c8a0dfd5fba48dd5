/* Every format against golden bytes, every product against f64 sums, every ISA against scalar, all bit for bit. */
#include "config.h"
#include "kern/kern.h"
#include "tap.h"
#include <math.h>

enum { F32 = 0, F16 = 1, Q4_0 = 2, Q8_0 = 8, Q4_K = 12, Q6_K = 14, BF16 = 30 };
/* Types with the offsets of their f16 scales in a block (-1: none). */
static const struct {
	uint32_t type;
	const char *name;
	int half[2];
} types[] = {
	{ 0, "F32", { -1, -1 } },   { 1, "F16", { -1, -1 } },   { 30, "BF16", { -1, -1 } }, { 2, "Q4_0", { 0, -1 } },
	{ 3, "Q4_1", { 0, 2 } },    { 6, "Q5_0", { 0, -1 } },   { 7, "Q5_1", { 0, 2 } },    { 8, "Q8_0", { 0, -1 } },
	{ 10, "Q2_K", { 80, 82 } }, { 11, "Q3_K", { 108, -1 } }, { 12, "Q4_K", { 0, 2 } },  { 13, "Q5_K", { 0, 2 } },
	{ 14, "Q6_K", { 208, -1 } }, { 20, "IQ4_NL", { 0, -1 } }, { 23, "IQ4_XS", { 0, -1 } }, { 39, "MXFP4", { -1, -1 } },
};
#define N_TYPES (sizeof types / sizeof *types)

static struct rng rng = { 1, 2, 3 };

static const char *type_name(uint32_t type)
{
	for (size_t i = 0; i < N_TYPES; i++)
		if (types[i].type == type)
			return types[i].name;
	return "?";
}

static void *get_mem(size_t n)
{
	void *p = aligned_alloc(64, (n + 127) / 64 * 64);

	if (!p)
		abort();
	return p;
}

static float *normals(int64_t n, double scale)
{
	float *x = get_mem((size_t)n * 4);

	for (int64_t i = 0; i < n; i++)
		x[i] = (float)(rng_normal(&rng) * scale);
	return x;
}

/* ---- golden bytes ------------------------------------------------------------------------------ */

static float golden_f32(const uint8_t *p)
{
	float f;

	memcpy(&f, p, 4);
	return f;
}

static void test_golden(void)
{
	char path[1024];
	uint32_t h[4];
	static uint8_t blocks[4096], got[4096];
	static float floats[1024], f[1024];
	const char *src = getenv("top_srcdir");

	snprintf(path, sizeof path, "%s/tests/fixtures/kern/kern.golden", src ? src : ".");
	FILE *in = fopen(path, "rb");
	if (!OK(in != NULL, "golden numbers are there: %s", path))
		return;
	while (fread(h, sizeof h, 1, in) == 1 && h[2] <= 1024 && h[3] <= sizeof blocks) {
		bool first = h[0] == 0;
		if (fread(first ? (void *)blocks : (void *)floats, first ? h[3] : h[2] * 4, 1, in) != 1 ||
		    fread(first ? (void *)floats : (void *)blocks, first ? h[2] * 4 : h[3], 1, in) != 1)
			break;
		if (h[0] == 2) {
			double err = 0, theirs = (double)golden_f32(blocks);
			kern_quantize(got, floats, h[1], h[2], NULL);
			kern_dequant(f, got, h[1], h[2]);
			for (uint32_t i = 0; i < h[2]; i++)
				err += ((double)f[i] - (double)floats[i]) * ((double)f[i] - (double)floats[i]);
			OK(err <= theirs, "%s: quantized with less error than ggml's reference (%.2f of it)",
			   type_name(h[1]), err / theirs);
			continue;
		}
		OK(kern_row_bytes(h[1], h[2]) == h[3], "%s: bytes of a row", type_name(h[1]));
		if (h[0] == 0) {
			double worst = 0;
			kern_dequant(f, blocks, h[1], h[2]);
			for (uint32_t i = 0; i < h[2]; i++)
				worst = fmax(worst, fabs((double)f[i] - (double)floats[i]) / (fabs((double)floats[i]) + 1e-30));
			OK(worst < 1e-6, "%s: dequantized as Python does (%g)", type_name(h[1]), worst);
		} else {
			memset(got, 0xee, sizeof got);
			kern_quantize(got, floats, h[1], h[2], NULL);
			OK(memcmp(got, blocks, h[3]) == 0 && got[h[3]] == 0xee, "%s: quantized to Python's bytes",
			   type_name(h[1]));
		}
	}
	OK(feof(in), "golden numbers read to their end");
	fclose(in);
}

/* Zeros, and what is not finite, must not break a quantizer; an importance matrix must change what it says. */
static void test_quantize_edges(void)
{
	static float x[256], y[256], imatrix[256];
	static uint8_t b[1024], c[1024];
	double near = 0, far = 0;

	for (size_t t = 0; t < N_TYPES; t++) {
		if (!kern_can_quantize(types[t].type))
			continue;
		memset(x, 0, sizeof x);
		kern_quantize(b, x, types[t].type, 256, NULL);
		kern_dequant(y, b, types[t].type, 256);
		OK(memcmp(x, y, sizeof x) == 0 || kern_max(y, 256) == 0, "%s: zeros stay zeros", types[t].name);
		x[3] = NAN, x[40] = INFINITY, x[200] = -INFINITY, x[201] = 3e38f;
		kern_quantize(b, x, types[t].type, 256, NULL);
		for (int i = 0; i < 256; i++)
			x[i] = 1e-42f * (float)i;
		kern_quantize(b, x, types[t].type, 256, NULL);
	}
	for (int i = 0; i < 256; i++) {
		x[i] = (float)rng_normal(&rng);
		imatrix[i] = i % 2 ? 100 : 0.01f;
	}
	kern_quantize(b, x, Q4_K, 256, NULL);
	kern_quantize(c, x, Q4_K, 256, imatrix);
	for (int k = 0; k < 2; k++) {
		kern_dequant(y, k ? c : b, Q4_K, 256);
		for (int i = 1; i < 256; i += 2)
			*(k ? &far : &near) += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
	}
	OK(far < 0.9 * near, "what is important is quantized better (error %.2f of before)", far / near);
}

static void test_halves(void)
{
	int bad = 0, bad_b = 0;

	for (uint32_t h = 0; h < 65536; h++) {
		float f = kern_f16_get((uint16_t)h), b = kern_bf16_get((uint16_t)h);
		if (!isnan(f) && kern_f16_put(f) != h)
			bad++;
		if (!isnan(b) && kern_bf16_put(b) != h)
			bad_b++;
	}
	OK(bad == 0 && bad_b == 0, "all halves survive a round trip");
	OK(isnan(kern_f16_get(kern_f16_put(NAN))) && isnan(kern_bf16_get(kern_bf16_put(-NAN))), "NaN stays NaN");
	OK(kern_f16_put(65519.0f) == 0x7bff && kern_f16_put(65520.0f) == 0x7c00 && kern_f16_put(-1e30f) == 0xfc00,
	   "overflow rounds to infinity at 65520");
	OK(kern_f16_put(0x1p-25f) == 0 && kern_f16_put(0x1.8p-25f) == 1 && kern_f16_put(0x1.8p-24f) == 2,
	   "denormals round to even");
}

/* ---- products ----------------------------------------------------------------------------------- */

/* Weights of any type: random blocks with sane scales. */
static void *random_weights(size_t t, int64_t rows, int64_t cols)
{
	uint32_t type = types[t].type;
	size_t row = kern_row_bytes(type, cols), block = kern_row_bytes(type, kern_block(type));
	uint8_t *w = get_mem(row * (size_t)rows);

	for (size_t i = 0; i < row * (size_t)rows; i++)
		w[i] = (uint8_t)rng_below(&rng, 256);
	if (type == F32 || type == F16 || type == BF16) {
		float *x = normals(rows * cols, 0.05);
		kern_quantize(w, x, type, rows * cols, NULL);
		free(x);
	}
	for (size_t b = 0; b < row * (size_t)rows; b += block) {
		for (int i = 0; i < 2; i++)
			if (types[t].half[i] >= 0) {
				uint16_t h = kern_f16_put((float)rng_normal(&rng) * 0.01f);
				memcpy(w + b + types[t].half[i], &h, 2);
			}
		if (type == 39)
			w[b] = (uint8_t)(118 + rng_below(&rng, 8));
	}
	return w;
}

struct product {
	struct kern_mat w;
	float *x, *out;
	int64_t n, ld;
	enum kern_depth depth;
};

static struct product product_new(size_t t, int64_t rows, int64_t cols, int64_t n)
{
	struct product p = { .w = { random_weights(t, rows, cols), types[t].type, rows, cols }, .n = n, .ld = rows + 3, .depth = KERN_8_BITS };

	p.x = normals(n * cols, 1);
	for (int64_t i = 0; i < n * cols; i += 97)
		p.x[i] *= 20; /* outliers, as models have */
	p.out = get_mem((size_t)(n * p.ld) * 4);
	return p;
}

static void product_free(struct product *p)
{
	free((void *)(uintptr_t)p->w.data);
	free(p->x);
	free(p->out);
}

/* Columns [from, to) of p into out, rows in pieces of `chunk`. */
static void product_run(float *out, const struct product *p, int64_t from, int64_t to, int64_t chunk)
{
	struct kern_act a;
	int64_t n = to - from;
	void *mem = get_mem(kern_act_bytes(p->w.type, p->depth, p->w.cols, n));
	void *scratch = get_mem(kern_mul_scratch(&p->w, n));

	kern_act_init(&a, p->w.type, p->depth, p->x + from * p->w.cols, p->w.cols, p->w.cols, n, mem);
	kern_act_prepare(&a, 0, n / 2);
	kern_act_prepare(&a, n / 2, n);
	for (int64_t r = 0; r < p->w.rows; r += chunk)
		kern_mul(out + from * p->ld, p->ld, &p->w, &a, r, r + chunk < p->w.rows ? r + chunk : p->w.rows, scratch);
	free(mem);
	free(scratch);
}

/* Squared error against f64 sums over the dequantized weights, of what the squares of the products add up to. */
static double product_error(const struct product *p)
{
	float *w = get_mem((size_t)p->w.cols * 4);
	double err = 0, ref = 0;

	for (int64_t r = 0; r < p->w.rows; r++) {
		kern_dequant(w, (const char *)p->w.data + (size_t)r * kern_row_bytes(p->w.type, p->w.cols), p->w.type,
			     p->w.cols);
		for (int64_t j = 0; j < p->n; j++) {
			double s = 0;
			for (int64_t k = 0; k < p->w.cols; k++) {
				double v = (double)w[k] * (double)p->x[j * p->w.cols + k];
				s += v;
				ref += v * v;
			}
			err += ((double)p->out[j * p->ld + r] - s) * ((double)p->out[j * p->ld + r] - s);
		}
	}
	free(w);
	return err / ref;
}

static bool same_bits(const float *a, const float *b, const struct product *p, int64_t from, int64_t to)
{
	for (int64_t j = from; j < to; j++)
		if (memcmp(a + j * p->ld, b + j * p->ld, (size_t)p->w.rows * 4) != 0)
			return false;
	return true;
}

/* One type on the ISA in force: right, and the same bits however the work is cut. ref: scalar's numbers or NULL. */
static void check_product(struct product *p, const char *isa, float *ref)
{
	const char *name = type_name(p->w.type);
	double most = p->w.type == F32 || p->w.type == F16 ? 1e-11 : p->w.type == BF16 ? 1e-5 : p->depth == KERN_15_BITS ? 2e-8 : p->depth ? 1.2e-4 : p->w.rows < 40 ? 1e-3 : 4e-4;
	float *other = get_mem((size_t)(p->n * p->ld) * 4);
	bool ones = true, some = true;

	product_run(p->out, p, 0, p->n, 64);
	double err = product_error(p);
	OK(err < most, "%s %s [%d, %d] x %d, depth %d: NMSE %.2e", isa, name, (int)p->w.rows, (int)p->w.cols, (int)p->n, (int)p->depth, err);
	for (int64_t j = 0; j < p->n; j++) {
		product_run(other, p, j, j + 1, p->w.rows);
		ones = ones && same_bits(p->out, other, p, j, j + 1);
	}
	for (int64_t n = 2; n <= p->n; n++) {
		product_run(other, p, 0, n, 32);
		some = some && same_bits(p->out, other, p, 0, n);
	}
	OK(ones && some, "%s %s: a column's bits depend on no other column and no cut", isa, name);
	if (ref)
		OK(same_bits(p->out, ref, p, 0, p->n), "%s %s: the bits of scalar", isa, name);
	free(other);
}

static void test_products(void)
{
	static const int64_t shapes[][3] = { { 50, 512, 13 }, { 33, 256, 3 }, { 64, 1280, 2 }, { 1, 768, 2 } };
	struct err e;

	for (size_t t = 0; t < N_TYPES; t++)
		for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
			uint32_t block = kern_block(types[t].type);
			int64_t cols = s == 1 && block == 32 ? 96 : s == 1 && block == 1 ? 203 : s == 0 && block == 1 ? 1604 : shapes[s][1];
			struct product p = product_new(t, shapes[s][0], cols, shapes[s][2]);
			float *ref = get_mem((size_t)(p.n * p.ld) * 4);

			p.depth = s == 1 ? KERN_15_BITS : s == 2 ? KERN_8_OR_15_BITS : KERN_8_BITS; /* one chunk, several */
			kern_init("scalar", &e);
			product_run(ref, &p, 0, p.n, 64);
			memcpy(p.out, ref, (size_t)(p.n * p.ld) * 4);
			if (s == 1)
				check_product(&p, "scalar", NULL);
			for (enum kern_isa i = KERN_AVX2; i < KERN_BLAS; i++)
				if (kern_isa_available(i) && !kern_init(kern_isa_name(i), &e))
					check_product(&p, kern_isa_name(i), ref);
			free(ref);
			product_free(&p);
		}
}

/* One element far above all others: its block keeps a second part, and what is beside it is not lost. */
static void test_standing_out(void)
{
	enum { Q8_0_AT = 7 };
	struct product p = product_new(Q8_0_AT, 32, 1280, 7);
	double err[2];

	for (int64_t i = 0; i < p.n * p.w.cols; i++)
		p.x[i] = i % 331 == 0 ? 60 : i % 97 == 0 ? p.x[i] / 20 : p.x[i];
	kern_init(NULL, NULL);
	for (int i = 0; i < 2; i++) {
		p.depth = i ? KERN_8_OR_15_BITS : KERN_8_BITS;
		product_run(p.out, &p, 0, p.n, 32);
		err[i] = product_error(&p);
	}
	OK(p.w.type == Q8_0 && err[1] < err[0] / 8, "blocks that stand out keep two parts: NMSE %.2e instead of %.2e", err[1], err[0]);
	product_free(&p);
}

static void test_many_columns(void)
{
	struct err e;
	static const size_t some[] = { 0, 2, 3, 4, 10, 12 };

	kern_init(NULL, &e);
	if (kern_isa() == KERN_SCALAR) {
		SKIP("hundreds of columns take too long in plain C");
		return;
	}
	for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
		struct product p = product_new(some[i], 96, some[i] < 3 ? 2000 : 512, 512);
		float *one = get_mem((size_t)(p.n * p.ld) * 4);

		product_run(p.out, &p, 0, 512, 32);
		for (int64_t j = 0; j < 512; j += j % 100 == 64 ? 36 : j % 100 == 0 ? 64 : 100)
			product_run(one, &p, j, j + 1, 96);
		bool same = true;
		for (int64_t j = 0; j < 512; j += j % 100 == 64 ? 36 : j % 100 == 0 ? 64 : 100)
			same = same && same_bits(p.out, one, &p, j, j + 1);
		OK(same, "%s: of 512 columns each is what it is alone", types[some[i]].name);
		free(one);
		product_free(&p);
	}
}

static void test_blas(void)
{
	struct err e;

	if (!kern_isa_available(KERN_BLAS)) {
		SKIP("no OpenBLAS");
		return;
	}
	OK(kern_init("blas", &e) == 0 && kern_isa() == KERN_BLAS, "OpenBLAS loads");
	for (size_t t = 0; t < N_TYPES; t += 3) {
		struct product p = product_new(t, 50, 512, 5);
		product_run(p.out, &p, 0, 5, 32);
		double err = product_error(&p);
		OK(err < 1e-11, "blas %s: NMSE %.2e", types[t].name, err);
		product_free(&p);
	}
	kern_init(NULL, &e);
}

/* What is not finite in a column must reach the result, and only its column. */
static void test_faults(void)
{
	struct err e;
	const float bad[] = { NAN, INFINITY, -INFINITY };

	for (enum kern_isa i = 0; i < KERN_BLAS; i++)
		for (int b = 0; b < 3 && kern_isa_available(i); b++) {
			struct product p = product_new(3, 32, 64, 3); /* Q4_0 */

			kern_init(kern_isa_name(i), &e);
			p.x[64 + 5] = bad[b];
			product_run(p.out, &p, 0, 3, 32);
			OK(!kern_all_finite(p.out + p.ld, 32) && kern_all_finite(p.out, 32) &&
				   kern_all_finite(p.out + 2 * p.ld, 32),
			   "%s: %g in a column spoils that column", kern_isa_name(i), (double)bad[b]);
			memset(p.x, 0, 3 * 64 * 4);
			p.x[3] = 1e-40f;
			product_run(p.out, &p, 0, 3, 32);
			OK(kern_all_finite(p.out, 32) && p.out[p.ld] == 0, "%s: denormals and zeros", kern_isa_name(i));
			product_free(&p);
		}
	kern_init(NULL, &e);
}

/* ---- rows --------------------------------------------------------------------------------------- */

static double gelu_erf_ref(double x) { return 0.5 * x * erfc(-x / sqrt(2)); }
static double gelu_tanh_ref(double x)
{
	return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

#define N_ROW 1237 /* no multiple of 16 */
static float rows_out[KERN_N_ISAS][9][N_ROW];

static void run_rows(float out[9][N_ROW], const float *x, const float *y)
{
	int64_t n = N_ROW;

	kern_gelu_erf(out[0], x, n);
	kern_gelu_tanh(out[1], x, n);
	kern_silu_mul(out[2], x, y, n);
	memcpy(out[3], x, sizeof out[3]);
	kern_softcap(out[3], 30, n);
	memcpy(out[4], x, sizeof out[4]);
	out[4][0] = kern_exp_sum(out[4], kern_max(x, n), n); /* the sum in place of the first */
	kern_rms_norm(out[5], x, y, n, 1e-5f);
	kern_layer_norm(out[6], x, y, x, n, 1e-12f);
	memcpy(out[7], x, sizeof out[7]);
	kern_rope(out[7], y, y + 600, 80, false);
	kern_rope(out[7] + 100, y, y + 600, 64, true);
	kern_rope(out[7] + 200, y, y + 600, 70, false);
	kern_mul_add(out[7] + 300, y, 0.3f, 801);
	kern_add(out[8], x, y, n);
	kern_gelu_mul(out[8] + 600, x, y, 501);
}

static double worst_of(const float *out, const float *x, double (*f)(double), double floor_)
{
	double worst = 0;

	for (int i = 0; i < N_ROW; i++) {
		double want = f((double)x[i]), d = fabs((double)out[i] - want) / (fabs(want) + floor_);
		worst = fmax(worst, d);
	}
	return worst;
}

static double silu_ref(double x) { return x / (1 + exp(-x)); }
static double softcap_ref(double x) { return 30 * tanh(x / 30); }

static void test_rows(void)
{
	float *x = normals(N_ROW, 3), *y = normals(N_ROW, 1), ones[N_ROW];
	struct err e;
	double sum = 0, sq = 0, want;
	static float f[9][N_ROW];

	for (int i = 0; i < N_ROW; i++)
		ones[i] = 1;
	x[1] = 0, x[2] = 30, x[3] = -30, x[4] = 1e-6f, x[5] = -5, x[6] = -12;
	for (enum kern_isa i = 0; i < KERN_BLAS; i++)
		if (kern_isa_available(i)) {
			kern_init(kern_isa_name(i), &e);
			run_rows(rows_out[i], x, y);
			OK(memcmp(rows_out[0], rows_out[i], sizeof rows_out[0]) == 0, "%s: rows have scalar's bits",
			   kern_isa_name(i));
		}
	kern_init(NULL, &e);
	run_rows(f, x, ones);
	want = worst_of(f[0], x, gelu_erf_ref, 1e-30);
	OK(want < 5e-7, "gelu by erf: relative error %.2e", want);
	want = worst_of(f[1], x, gelu_tanh_ref, 1e-8);
	OK(want < 3e-6, "gelu by tanh: %.2e", want);
	want = worst_of(f[2], x, silu_ref, 1e-30);
	OK(want < 5e-7, "silu: %.2e", want);
	want = worst_of(f[3], x, softcap_ref, 1e-30);
	OK(want < 5e-7, "softcap: %.2e", want);
	double worst = 0;
	for (int i = 0; i < N_ROW; i++) {
		double v = exp((double)(x[i] - 30));
		sum += v;
		if (i)
			worst = fmax(worst, fabs((double)f[4][i] - v) / v);
	}
	OK(worst < 2.5e-7, "exp: relative error %.2e", worst);
	OK(fabs((double)f[4][0] - sum) < 1e-6 * sum, "sum of exp");
	sum = 0;
	for (int i = 0; i < N_ROW; i++) {
		sum += (double)x[i];
		sq += (double)x[i] * (double)x[i];
	}
	worst = 0;
	for (int i = 0; i < N_ROW; i++)
		worst = fmax(worst, fabs((double)f[5][i] - (double)x[i] / sqrt(sq / N_ROW + 1e-5)));
	OK(worst < 2e-6, "rms norm: %.2e", worst);
	worst = 0;
	double mean = sum / N_ROW, var = sq / N_ROW - mean * mean;
	for (int i = 0; i < N_ROW; i++)
		worst = fmax(worst, fabs((double)f[6][i] - (double)x[i] - ((double)x[i] - mean) / sqrt(var)));
	OK(worst < 5e-6, "layer norm: %.2e", worst);
	OK(kern_all_finite(x, N_ROW), "finite");
	x[N_ROW - 1] = INFINITY;
	OK(!kern_all_finite(x, N_ROW), "infinite at the end is seen");
	free(x);
	free(y);
}

static void test_rope(void)
{
	float x[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, y[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	const float c[4] = { 0.5f, 1, 1, 0 }, s[4] = { 0.25f, 0, 0, 1 };

	kern_rope(x, c, s, 8, false);
	OK(x[0] == 0.5f - 0.5f && x[1] == 0.25f + 1 && x[4] == 5 && x[6] == -8 && x[7] == 7, "rope turns neighbours");
	kern_rope(y, c, s, 8, true);
	OK(y[0] == 0.5f - 1.25f && y[4] == 0.25f + 2.5f && y[1] == 2 && y[3] == -8 && y[7] == 4, "rope turns halves");
}

static void test_exp_edges(void)
{
	float x[8] = { -100, -104, -200, 88.72f, 89, -INFINITY, INFINITY, NAN };

	kern_exp_sum(x, 0, 8);
	OK(x[0] == expf(-100) && x[1] <= 0x1p-149f && x[2] == 0 && x[5] == 0, "exp: denormal, then 0");
	OK(fabsf(x[3] - expf(88.72f)) < 1e-6f * x[3] && isinf(x[4]) && isinf(x[6]) && isnan(x[7]), "exp: Inf and NaN");
	float g[5] = { NAN, -INFINITY, INFINITY, 1e30f, -1e30f }, h[5];
	kern_gelu_erf(h, g, 5);
	OK(isnan(h[0]) && isnan(h[1]) && isinf(h[2]) && h[3] == 1e30f && h[4] == 0, "gelu: the far ends");
}

/* ---- attention ---------------------------------------------------------------------------------- */

struct attn_case {
	struct kern_attn a;
	float *q, *k, *v; /* f32 as stored: k, v [n_pos, d] */
	void *store;
	int32_t lo[64], hi[64];
	uint32_t page[8];
	float sink[64];
};

/* n_pos positions in pages that lie in no order, a page's keys before its values, garbage where nothing is. */
static void attn_new(struct attn_case *c, uint32_t kv_type, int64_t n_q, int64_t d, int64_t dv, int64_t n_pos)
{
	static const uint32_t order[] = { 2, 0, 5, 1, 4, 3, 7, 6 };
	size_t kb = kern_row_bytes(kv_type, d), vb = kern_row_bytes(kv_type, dv), at = kb + vb;

	memset(c, 0, sizeof *c);
	c->store = get_mem(8 * KERN_KV_PAGE * at);
	memset(c->store, 0xff, 8 * KERN_KV_PAGE * at);
	memcpy(c->page, order, sizeof order);
	c->q = normals(n_q * (d + 2), 1);
	c->k = normals(n_pos * d, 1);
	c->v = normals(n_pos * dv, 1);
	for (int64_t p = 0; p < n_pos; p++) {
		char one[4 * 160], *o = (char *)c->store + c->page[p / KERN_KV_PAGE] * KERN_KV_PAGE * at;

		kern_k_store(o, p % KERN_KV_PAGE, c->k + p * d, kv_type, d);
		o += KERN_KV_PAGE * kb + (size_t)(p % KERN_KV_PAGE) * vb;
		kern_v_store(o, c->v + p * dv, kv_type, dv);
		kern_dequant(c->v + p * dv, o, kv_type, dv);
		kern_v_store(one, c->k + p * d, kv_type, d);
		kern_dequant(c->k + p * d, one, kv_type, d);
	}
	for (int i = 0; i < n_q; i++) {
		c->hi[i] = (int32_t)(n_pos - n_q / 3 + i / 3);
		c->lo[i] = i % 7 == 3 ? c->hi[i] - 20 : i % 5 == 4 ? 40 : 0;
		c->sink[i] = (float)rng_normal(&rng);
	}
	c->a = (struct kern_attn){ .q = c->q, .ld_q = d + 2, .n_q = n_q, .d = d, .dv = dv, .k = c->store,
				   .v = (char *)c->store + KERN_KV_PAGE * kb, .page = c->page, .k_page = KERN_KV_PAGE * at,
				   .v_page = KERN_KV_PAGE * at, .k_stride = kb, .v_stride = vb, .lo = c->lo, .hi = c->hi,
				   .kv_type = kv_type, .scale = 0.2f };
}

static double attn_error(const struct attn_case *c, const float *out, int64_t ld)
{
	const struct kern_attn *a = &c->a;
	double err = 0, ref = 0;

	for (int64_t i = 0; i < a->n_q; i++) {
		double s[256], max = a->sink ? (double)a->sink[i] : -1e300, sum = 0;
		for (int64_t p = c->lo[i]; p < c->hi[i]; p++) {
			s[p] = 0;
			for (int64_t j = 0; j < a->d; j++)
				s[p] += (double)a->q[i * a->ld_q + j] * (double)c->k[p * a->d + j];
			s[p] *= (double)a->scale;
			if (a->softcap > 0)
				s[p] = (double)a->softcap * tanh(s[p] / (double)a->softcap);
			max = fmax(max, s[p]);
		}
		if (a->sink)
			sum = exp((double)a->sink[i] - max);
		for (int64_t p = c->lo[i]; p < c->hi[i]; p++)
			sum += exp(s[p] - max);
		for (int64_t j = 0; j < a->dv; j++) {
			double o = 0;
			for (int64_t p = c->lo[i]; p < c->hi[i]; p++)
				o += exp(s[p] - max) / sum * (double)c->v[p * a->dv + j];
			err += ((double)out[i * ld + j] - o) * ((double)out[i * ld + j] - o);
			ref += o * o;
		}
	}
	return err / ref;
}

static void check_attn(uint32_t kv_type, int64_t n_q, int64_t d, int64_t dv, int64_t n_pos, bool sink, float softcap)
{
	static float ref[64 * 160], out[64 * 160], one[160];
	struct attn_case c;
	struct err e;
	int64_t ld = dv + 1;

	kern_init("scalar", &e);
	attn_new(&c, kv_type, n_q, d, dv, n_pos);
	c.a.softcap = softcap;
	c.a.sink = sink ? c.sink : NULL;
	void *scratch = get_mem(kern_attn_scratch(n_q, d, dv));
	memset(ref, 0, sizeof ref);
	kern_attn(ref, ld, &c.a, scratch);
	for (enum kern_isa i = 0; i < KERN_BLAS; i++) {
		if (!kern_isa_available(i))
			continue;
		kern_init(kern_isa_name(i), &e);
		memset(out, 0, sizeof out);
		kern_attn(out, ld, &c.a, scratch);
		double err = attn_error(&c, out, ld);
		OK(err < 1e-11, "%s: attention over %s, %d x %d + %d: NMSE %.2e", kern_isa_name(i), type_name(kv_type), (int)n_q,
		   (int)d, (int)dv, err);
		OK(memcmp(out, ref, sizeof out) == 0, "%s: attention has scalar's bits", kern_isa_name(i));
		bool same = true;
		for (int64_t r = 0; r < n_q; r++) {
			struct kern_attn a = c.a;
			a.q += r * a.ld_q;
			a.n_q = 1;
			a.lo += r;
			a.hi += r;
			if (a.sink)
				a.sink += r;
			kern_attn(one, ld, &a, scratch);
			same = same && memcmp(one, out + r * ld, (size_t)dv * 4) == 0;
		}
		OK(same, "%s: a row of attention depends on no other row", kern_isa_name(i));
	}
	kern_init(NULL, &e);
	free(scratch);
	free(c.q);
	free(c.k);
	free(c.v);
	free(c.store);
}

/* ---- dot products -------------------------------------------------------------------------------- */

static void test_dots(void)
{
	enum { D = 391, LD = 400, N = 7 };
	float *rows = normals(N * LD, 1), *q = normals(D, 1), out[N], ref[N];
	uint8_t *u = get_mem(N * LD);
	int8_t s[D];
	int32_t got[N], want[N] = { 0 };
	struct err e;

	for (int i = 0; i < N * LD; i++)
		u[i] = (uint8_t)rng_below(&rng, 256);
	memset(u, 255, D); /* the greatest sums */
	for (int i = 0; i < D; i++)
		s[i] = i % 2 ? 127 : (int8_t)(rng_below(&rng, 255) - 127);
	for (int r = 0; r < N; r++)
		for (int i = 0; i < D; i++)
			want[r] += u[r * LD + i] * s[i];
	kern_init("scalar", &e);
	kern_dots(ref, q, rows, LD, N, D);
	for (enum kern_isa i = 0; i < KERN_BLAS; i++)
		if (kern_isa_available(i)) {
			kern_init(kern_isa_name(i), &e);
			kern_dots(out, q, rows, LD, N, D);
			bool same = memcmp(out, ref, sizeof out) == 0;
			for (int r = 0; r < N; r++)
				same = same && kern_dot(q, rows + r * LD, D) == ref[r];
			OK(same, "%s: dot products have one set of bits", kern_isa_name(i));
			kern_dots_u8s8(got, s, u, LD, N, D);
			OK(memcmp(got, want, sizeof got) == 0, "%s: integer dots are exact", kern_isa_name(i));
		}
	double sum = 0;
	for (int i = 0; i < D; i++)
		sum += (double)q[i] * (double)rows[i];
	OK(fabs(sum - (double)ref[0]) < 1e-4, "a dot product is one");
	kern_init(NULL, &e);
	free(rows);
	free(q);
	free(u);
}

/* Packed rows times many queries, and who reaches a floor, against the plain sums. */
static void test_scan(void)
{
	enum { D = 400, LD = 448, N = 64, Q = 15 };
	uint8_t *u = get_mem(N * LD), *packed = get_mem(N * D);
	int8_t *q = get_mem(Q * LD);
	int32_t *want = get_mem(Q * N * 4), *got = get_mem(Q * N * 4);
	float *scale = normals(N, 1e-3), *error = normals(N, 1e-2);
	struct kern_reached near[N];
	struct err e;

	for (int i = 0; i < N * LD; i++)
		u[i] = (uint8_t)rng_below(&rng, 256);
	memset(u + 5 * LD, 255, D); /* the greatest sums */
	for (int i = 0; i < Q * LD; i++)
		q[i] = i < LD ? 127 : (int8_t)(rng_below(&rng, 255) - 127);
	for (int j = 0; j < Q; j++)
		for (int r = 0; r < N; r++) {
			want[j * N + r] = 0;
			for (int i = 0; i < D; i++)
				want[j * N + r] += u[r * LD + i] * q[j * LD + i];
		}
	scale[9] = error[9] = NAN; /* a damaged row hides no other */
	for (enum kern_isa i = 0; i < KERN_BLAS; i++) {
		struct kern_bound b = { .scale = 0.01f, .c_error = 1, .c_const = 1e-3f, .bias = 128 * 127 };
		bool good = true;

		if (!kern_isa_available(i))
			continue;
		kern_init(kern_isa_name(i), &e);
		kern_pack_u8(packed, u, LD, N, D);
		for (int n_q = 1; n_q <= Q; n_q++) {
			memset(got, 0, Q * N * 4);
			kern_mul_u8s8(got, N, q, LD, n_q, packed, N, D);
			good = good && memcmp(got, want, (size_t)n_q * N * 4) == 0;
		}
		OK(good, "%s: sums of packed rows and 1 to %d queries are exact", kern_isa_name(i), Q);
		for (int f = -3; f <= 3; f++) {
			int64_t n, k = 0;

			b.floor = f < -2 ? -INFINITY : (float)f;
			n = kern_reach(near, want + N, scale, error, N, &b);
			for (int r = 0; r < N; r++) {
				double mid = (double)(want[N + r] - b.bias) * 0.01 * (double)scale[r];
				double half = (double)error[r] + 1e-3;

				if (fabs(mid + half - (double)b.floor) < 1e-5)
					continue; /* rounding decides */
				if (!(mid + half >= (double)b.floor))
					good = good && !(k < n && near[k].row == r);
				else
					good = good && k < n && near[k].row == r && fabs((double)near[k].up - mid - half) < 1e-5 &&
					       fabs((double)near[k].low - mid + half) < 1e-5 && ++k;
			}
			good = good && k == n;
		}
		OK(good, "%s: the rows that reach a floor", kern_isa_name(i));
	}
	kern_init(NULL, &e);
	free(u);
	free(packed);
	free(q);
	free(want);
	free(got);
	free(scale);
	free(error);
}

static void test_init(void)
{
	struct err e;

	OK(kern_init("mmx", &e) == -1 && e.code == ERR_USAGE && strstr(e.text, "scalar"), "%s", e.text);
	OK(kern_init(NULL, &e) == 0 && kern_isa_available(kern_isa()), "the best set is %s", kern_isa_name(kern_isa()));
	OK(!kern_block(4) && !kern_block(1000) && !kern_can_mul(9), "unknown types have no block");
	struct buf b;
	buf_init(&b, 1024);
	kern_features(&b);
	printf("# %s\n", b.p ? b.p : "");
	buf_release(&b);
}

int main(void)
{
	test_init();
	test_golden();
	test_quantize_edges();
	test_halves();
	test_products();
	test_standing_out();
	test_many_columns();
	test_blas();
	test_faults();
	test_rows();
	test_rope();
	test_exp_edges();
	check_attn(F16, 50, 64, 64, 201, false, 0);
	check_attn(F32, 7, 20, 36, 133, true, 0);
	check_attn(Q8_0, 13, 32, 96, 90, false, 5);
	test_dots();
	test_scan();
	return tap_done();
}
