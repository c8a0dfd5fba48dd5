/* kern_neon: the kernels for Arm with Advanced SIMD and its dot products. */
#include "config.h"
#include "kern/kern_vec_neon.h"
#include "kern/kern_mul_impl.h"
#include "kern/kern_row_impl.h"
#include "kern/kern_scan_impl.h"
#include "kern/kern_attn_impl.h"
#include "kern/kern_ops_impl.h"
