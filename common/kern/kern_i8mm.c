/* kern_i8mm: the same as kern_neon.c for Arm with products of int8 matrices, too. */
#include "config.h"
#include "kern/kern_vec_neon.h"
#include "kern/kern_mul_impl.h"
#include "kern/kern_row_impl.h"
#include "kern/kern_scan_impl.h"
#include "kern/kern_attn_impl.h"
#include "kern/kern_ops_impl.h"
