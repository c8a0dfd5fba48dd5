/* ckd: allocation of arrays whose size is not to be trusted. */
#include "config.h"
#include "base/ckd.h"
#include "base/banned.h"

void *ckd_alloc(size_t n, size_t size)
{
	return ckd_realloc(NULL, n, size);
}

void *ckd_realloc(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (!ckd_mul_size(&bytes, n, size) || bytes > PTRDIFF_MAX)
		return NULL;
	return realloc(p, bytes ? bytes : 1); /* NULL means failure alone, never "none" */
}
