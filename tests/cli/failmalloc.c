/*
 * failmalloc: an allocation of the program itself fails. LD_PRELOADed by unlucky.t; FAIL_AT=N in the environment names
 * the one, FAIL_TELL=1 says how many there were. Calls from libraries are let through: they are not ours to prove.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

static uintptr_t from, to; /* the program's code */
static atomic_long left = -1;

static int find_program(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X)) {
			from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
			to = from + info->dlpi_phdr[i].p_memsz;
		}
	return 1; /* the first is the program */
}

__attribute__((constructor)) static void begin(void)
{
	const char *at = getenv("FAIL_AT");

	dl_iterate_phdr(find_program, NULL);
	if (at)
		atomic_store(&left, strtol(at, NULL, 10));
}

__attribute__((destructor)) static void end(void)
{
	if (getenv("FAIL_TELL"))
		dprintf(STDERR_FILENO, "%ld allocations\n", -atomic_load(&left) - 1);
}

static int fails(void *caller)
{
	uintptr_t pc = (uintptr_t)caller;

	if (pc < from || pc >= to || atomic_fetch_sub(&left, 1) != 1)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t n)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, n);
}
void *aligned_alloc(size_t align, size_t n)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_memalign(align, n);
}
