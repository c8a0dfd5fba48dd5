/* kern_avx2: the kernels for AVX2, FMA and F16C. */
#include "config.h"
#include "kern/kern_vec_avx2.h"
#include "kern/kern_mul_impl.h"
#include "kern/kern_row_impl.h"
#include "kern/kern_scan_impl.h"
#include "kern/kern_attn_impl.h"
#include "kern/kern_ops_impl.h"
