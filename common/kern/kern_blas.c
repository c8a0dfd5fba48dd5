/*
 * kern_blas: products by OpenBLAS: rows as f32, then sgemm. The library is loaded only when this set is chosen, so that
 * no other run pays for it; each worker calls it alone, with one BLAS thread. Its sums depend on the call's shape, so
 * results depend on batching.
 */
#include "config.h"
#include "kern/kern_impl.h"
#include <dlfcn.h>

/* cblas.h: row major 101, no transposition 111, transposition 112 */
typedef void sgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
		      const float *b, int ldb, float beta, float *c, int ldc);
static sgemm_fn *sgemm;

static void blas_mul(float *out, int64_t ld_out, const struct kern_mat *w, const struct kern_act *a, int64_t from,
		     int64_t to, void *scratch)
{
	size_t row = kern_row_bytes(w->type, w->cols);
	int k = (int)w->cols, ldx = (int)a->ld, ldo = (int)ld_out;

	for (int64_t r = from; r < to; r += KERN_STEP) {
		int n = to - r < KERN_STEP ? (int)(to - r) : KERN_STEP;

		kern_dequant(scratch, (const uint8_t *)w->data + (size_t)r * row, w->type, (int64_t)n * w->cols);
		sgemm(101, 111, 112, (int)a->n, n, k, 1, a->x, ldx, scratch, k, 0, out + r, ldo);
	}
}

static void blas_prepare(struct kern_act *a, int64_t from, int64_t to)
{
	(void)a, (void)from, (void)to;
}

int kern_blas_open(struct kern_ops *out, const struct kern_ops *base, struct err *e)
{
	void *so = dlopen(KERN_BLAS_SO, RTLD_NOW | RTLD_LOCAL);
	void (*threads)(int) = NULL;

	if (!so)
		return err_set(e, ERR_OPEN, "OpenBLAS: %s", dlerror());
	*(void **)&sgemm = dlsym(so, "cblas_sgemm");
	*(void **)&threads = dlsym(so, "openblas_set_num_threads");
	if (!sgemm || !threads)
		return err_set(e, ERR_OPEN, "%s is no OpenBLAS", KERN_BLAS_SO);
	threads(1);
	*out = *base;
	out->mul = blas_mul;
	out->mul_bf16 = blas_mul;
	out->act_prepare = blas_prepare;
	return 0;
}
