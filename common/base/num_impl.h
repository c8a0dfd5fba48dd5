/* num_impl: what parsing and printing share. */
#ifndef BASE_NUM_IMPL_H
#define BASE_NUM_IMPL_H

#include <stdint.h>
#include "base/num_pow10.h"

/* floor(log2(10^k)) for |k| <= 1233: 1741647 = floor(log2(10) 2^19). */
static inline int num_log2_pow10(int k)
{
	return (k * 1741647) >> 19;
}

#endif
