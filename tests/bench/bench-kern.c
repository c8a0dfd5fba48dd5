/*
 * bench-kern: speed of the kernels beside what the machine can do.
 *   bench-kern                      the roofline, then all types at two shapes
 *   bench-kern TYPE ROWS COLS N...  one matrix with these numbers of columns (TYPE: F32, Q4_0, ...)
 *   bench-kern hot TYPE ...         the same from cache: what decoding costs beside memory
 *   bench-kern attn                 attention; bench-kern rows: activations, norms, quantization
 * Best of many runs, by the thread's CPU time, since the machine may be shared; GB/s are of weights.
 */
#include "config.h"
#include "kern/kern.h"
#include <sys/mman.h>

static const struct {
	const char *name;
	uint32_t type;
} types[] = { { "F32", 0 },	  { "F16", 1 },	  { "BF16", 30 },   { "Q4_0", 2 },  { "Q4_1", 3 },  { "Q5_0", 6 },
	      { "Q5_1", 7 },	  { "Q8_0", 8 },  { "Q2_K", 10 },   { "Q3_K", 11 }, { "Q4_K", 12 }, { "Q5_K", 13 },
	      { "Q6_K", 14 },	  { "IQ4_NL", 20 }, { "IQ4_XS", 23 }, { "MXFP4", 39 } };
#define N_TYPES (sizeof types / sizeof *types)

static double peak_int8, peak_f32, read_gb;
static bool hot;

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *get_mem(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(70);
	return p;
}

/* Weights over 256 MiB, so that small n really reads memory. */
static void bench_mul(uint32_t type, const char *name, int64_t rows, int64_t cols, int64_t n)
{
	size_t row = kern_row_bytes(type, cols), size = row * (size_t)rows;
	size_t copies = n > 16 || hot ? 1 : (256u << 20) / size + 1;
	struct kern_mat w = { NULL, type, rows, cols };
	struct kern_act a;
	struct rng r = { 1, 0, 0 };
	uint8_t *data = get_mem(size * copies);
	float *x = get_mem((size_t)(n * cols) * 4), *out = get_mem((size_t)(n * rows) * 4);
	void *mem = get_mem(kern_act_bytes(type, KERN_8_BITS, cols, n) + 64), *scratch = get_mem(kern_mul_scratch(&w, n));
	double best = 1e9, prep = 1e9, spent = 0;

	for (size_t i = 0; i + 8 <= size; i += 8) {
		uint64_t v = rng_next(&r) & 0x3fff3fff3fff3fff; /* halves that are small numbers */
		memcpy(data + i, &v, 8);
	}
	for (size_t c = 1; c < copies; c++)
		memcpy(data + c * size, data, size);
	for (int64_t i = 0; i < n * cols; i++)
		x[i] = (float)rng_normal(&r);
	kern_act_init(&a, type, KERN_8_BITS, x, cols, cols, n, mem);
	for (int run = 0; run < 3 || (spent < 0.3 && run < (hot ? 2000 : 200)); run++) {
		double t0 = cpu_s();
		kern_act_prepare(&a, 0, n);
		double t1 = cpu_s();
		for (size_t c = 0; c < copies; c++) {
			w.data = data + c * size;
			kern_mul(out, rows, &w, &a, 0, rows, scratch);
		}
		double t2 = cpu_s();
		prep = t1 - t0 < prep ? t1 - t0 : prep;
		best = t2 - t1 < best ? t2 - t1 : best;
		spent += t2 - t0;
	}
	double ops = 2.0 * (double)(rows * cols * n) * (double)copies / best * 1e-9;
	double gb = (double)(size * copies) / best * 1e-9;
	double peak = kern_form(type) == KERN_INT8 ? peak_int8 : kern_form(type) == KERN_BF16 ? 2 * peak_f32 : peak_f32;
	printf("%-7s [%5d, %5d] x %3d  %6.1f Gop/s (%3.0f %% of peak)  %5.2f GB/s (%3.0f %%)  prepare %4.1f %%\n", name, (int)rows,
	       (int)cols, (int)n, ops, 100e9 * ops / peak, gb, 100 * gb / read_gb, 100 * prep * (double)copies / best);
	fflush(stdout);
	munmap(data, size * copies);
	munmap(x, (size_t)(n * cols) * 4);
	munmap(out, (size_t)(n * rows) * 4);
}

static void bench_attn(int64_t n_q, int64_t d, int64_t n_pos)
{
	struct kern_attn a = { .ld_q = d, .n_q = n_q, .d = d, .dv = d, .kv_type = 1, .scale = 0.125f };
	size_t at = (size_t)d * 4;
	float *q = get_mem((size_t)(n_q * d) * 4), *out = get_mem((size_t)(n_q * d) * 4);
	char *store = get_mem((size_t)(n_pos + 32) * at);
	uint32_t *page = get_mem((size_t)(n_pos / 32 + 1) * 4);
	int32_t *lo = get_mem((size_t)n_q * 4), *hi = get_mem((size_t)n_q * 4);
	struct rng r = { 1, 0, 0 };
	double best = 1e9, ops = 0;

	for (int64_t i = 0; i < n_q * d; i++)
		q[i] = (float)rng_normal(&r);
	for (int64_t i = 0; i < n_pos; i++)
		for (int j = 0; j < 2; j++) {
			float x[512];
			for (int k = 0; k < d; k++)
				x[k] = (float)rng_normal(&r);
			char *p = store + (size_t)(i / 32) * 32 * at;
			if (j)
				kern_v_store(p + 16 * at + (size_t)(i % 32) * at / 2, x, 1, d);
			else
				kern_k_store(p, i % 32, x, 1, d);
		}
	for (int64_t i = 0; i <= n_pos / 32; i++)
		page[i] = (uint32_t)i;
	for (int64_t i = 0; i < n_q; i++) { /* three heads a position, causal, the last n_q / 3 positions */
		hi[i] = (int32_t)(n_pos - (n_q - 1 - i) / 3);
		ops += 4.0 * (double)d * hi[i];
	}
	a.q = q, a.k = store, a.v = store + 16 * at, a.page = page, a.lo = lo, a.hi = hi;
	a.k_stride = a.v_stride = at / 2, a.k_page = a.v_page = at * 32;
	void *scratch = get_mem(kern_attn_scratch(n_q, d, d));
	for (int run = 0; run < 20; run++) {
		double t0 = cpu_s();
		kern_attn(out, d, &a, scratch);
		double t = cpu_s() - t0;
		best = t < best ? t : best;
	}
	printf("attention %4d rows of %d, %4d positions: %7.1f us, %5.1f GFLOPS (%3.0f %% of peak)\n", (int)n_q, (int)d, (int)n_pos,
	       best * 1e6, ops / best * 1e-9, 100 * ops / best / peak_f32);
}

static void roofline(void)
{
	size_t n = 256u << 20;
	char *p = get_mem(n);
	volatile uint64_t sink = 0;

	peak_int8 = kern_peak(KERN_PEAK_INT8);
	peak_f32 = kern_peak(KERN_PEAK_F32);
	memset(p, 1, n);
	for (int i = 0; i < 5; i++) {
		double t0 = cpu_s();
		sink += kern_read(p, n);
		double gb = (double)n * 1e-9 / (cpu_s() - t0);
		read_gb = gb > read_gb ? gb : read_gb;
	}
	munmap(p, n);
	printf("%s: int8 %.0f Gop/s, f32 %.0f GFLOPS, read %.1f GB/s (one thread)\n", kern_isa_name(kern_isa()), peak_int8 * 1e-9,
	       peak_f32 * 1e-9, read_gb);
}

static float *row(int64_t n)
{
	float *x = get_mem((size_t)n * 4);

	for (int64_t i = 0; i < n; i++)
		x[i] = (float)(i % 37 - 18) * 0.25f;
	return x;
}

#define N_ROW 4096
#define TIME(what, call)                                                                \
	do {                                                                            \
		double best_ = 1e9;                                                     \
		for (int i_ = 0; i_ < 50; i_++) {                                       \
			double t_ = cpu_s();                                            \
			for (int j_ = 0; j_ < 100; j_++)                                \
				call;                                                   \
			t_ = cpu_s() - t_;                                              \
			best_ = t_ < best_ ? t_ : best_;                                \
		}                                                                       \
		printf("%-12s %6.3f ns an element\n", what, best_ * 1e9 / 100 / N_ROW); \
	} while (0)

static void bench_rows(void)
{
	float *x = row(N_ROW), *y = row(N_ROW), *z = row(N_ROW);
	uint8_t *q = get_mem(N_ROW * 8);
	struct kern_act a;

	TIME("rms_norm", kern_rms_norm(z, x, y, N_ROW, 1e-5f));
	TIME("layer_norm", kern_layer_norm(z, x, y, y, N_ROW, 1e-5f));
	TIME("add", kern_add(z, x, y, N_ROW));
	TIME("silu_mul", kern_silu_mul(z, x, y, N_ROW));
	TIME("gelu_erf", kern_gelu_erf(z, x, N_ROW));
	TIME("gelu_tanh", kern_gelu_tanh(z, x, N_ROW));
	TIME("softmax", kern_exp_sum(z, kern_max(x, N_ROW), N_ROW));
	TIME("rope", kern_rope(z, x, y, N_ROW, false));
	TIME("kv f16", kern_v_store(q, x, 1, N_ROW));
	kern_act_init(&a, 2, KERN_8_BITS, x, N_ROW, N_ROW, 1, q);
	TIME("prepare", kern_act_prepare(&a, 0, 1));
	TIME("dot", kern_dot(x, y, N_ROW));
}

int main(int argc, char **argv)
{
	static const int64_t shapes[][2] = { { 2048, 2048 }, { 8192, 2048 } };
	struct err e = { 0 };

	if (kern_init(getenv("LLMU_ISA"), &e)) {
		fprintf(stderr, "bench-kern: %s\n", e.text);
		return 2;
	}
	hot = argc > 1 && strcmp(argv[1], "hot") == 0;
	argv += hot;
	argc -= hot;
	roofline();
	if (argc == 2 && argv[1][0] == 'a') {
		bench_attn(1536, 64, 512);
		bench_attn(3, 64, 512);
		bench_attn(3, 64, 32);
		bench_attn(96, 32, 32);
		return 0;
	}
	if (argc == 2) {
		bench_rows();
		return 0;
	}
	for (size_t t = 0; t < N_TYPES; t++)
		if (argc > 4 && strcmp(argv[1], types[t].name) == 0)
			for (int i = 4; i < argc; i++)
				bench_mul(types[t].type, types[t].name, strtol(argv[2], NULL, 10), strtol(argv[3], NULL, 10),
					  strtol(argv[i], NULL, 10));
		else if (argc == 1)
			for (size_t s = 0; s < 2; s++)
				for (int64_t n = s ? 512 : 1; n <= 512; n *= 8)
					bench_mul(types[t].type, types[t].name, shapes[s][0], shapes[s][1], n);
	return 0;
}
