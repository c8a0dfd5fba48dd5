/* kern_avx512bf16: what AVX-512 gains by the BF16 extension: vdpbf16ps. */
#include "config.h"
#include "kern/kern_vec_avx512.h"
#include "kern/kern_dot_impl.h"

void kern_mul_avx512bf16(float *out, int64_t ld_out, const struct kern_mat *w, const struct kern_act *a, int64_t from,
			 int64_t to, void *scratch)
{
	mul_bf16(out, ld_out, w, a, from, to, scratch);
}
