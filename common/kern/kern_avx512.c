/* kern_avx512: the kernels for AVX-512 with VNNI. */
#include "config.h"
#include "kern/kern_vec_avx512.h"
#include "kern/kern_mul_impl.h"
#include "kern/kern_row_impl.h"
#include "kern/kern_scan_impl.h"
#include "kern/kern_attn_impl.h"
#include "kern/kern_ops_impl.h"
