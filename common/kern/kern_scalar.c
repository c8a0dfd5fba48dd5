/* kern_scalar: the kernels in plain C. */
#include "config.h"
#include "kern/kern_vec_scalar.h"
#include "kern/kern_mul_impl.h"
#include "kern/kern_row_impl.h"
#include "kern/kern_scan_impl.h"
#include "kern/kern_attn_impl.h"
#include "kern/kern_ops_impl.h"
