/* utf8_impl: the two ways to validate, for the test that compares them. */
#ifndef BASE_UTF8_IMPL_H
#define BASE_UTF8_IMPL_H

#include "base/utf8.h"

size_t utf8_valid_scalar(struct str s);
/* Only where the processor has AVX2; elsewhere than on x86-64 the same as the scalar one. */
size_t utf8_valid_avx2(struct str s);

#endif
