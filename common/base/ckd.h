/* ckd: checked integers, for sizes that come from files or users. True when the result fits. */
#ifndef BASE_CKD_H
#define BASE_CKD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool ckd_mul_u64(uint64_t *out, uint64_t a, uint64_t b)
{
	return !__builtin_mul_overflow(a, b, out);
}
static inline bool ckd_add_u64(uint64_t *out, uint64_t a, uint64_t b)
{
	return !__builtin_add_overflow(a, b, out);
}
static inline bool ckd_mul_size(size_t *out, size_t a, size_t b)
{
	return !__builtin_mul_overflow(a, b, out);
}
static inline bool ckd_add_size(size_t *out, size_t a, size_t b)
{
	return !__builtin_add_overflow(a, b, out);
}
static inline bool ckd_mul_i64(int64_t *out, int64_t a, int64_t b)
{
	return !__builtin_mul_overflow(a, b, out);
}
static inline bool ckd_add_i64(int64_t *out, int64_t a, int64_t b)
{
	return !__builtin_add_overflow(a, b, out);
}
/* malloc(n * size) that refuses an overflow; NULL then. */
void *ckd_alloc(size_t n, size_t size);
/* realloc to n * size, the same way; on NULL the old block stays. */
void *ckd_realloc(void *p, size_t n, size_t size);

#endif
