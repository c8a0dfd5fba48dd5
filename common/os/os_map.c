/* os_map: files mapped read-only, known to the SIGBUS handler by their addresses. */
#include "config.h"
#include "os/os_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A map beyond that many works too; only the message after a SIGBUS does not know its name. */
#define SLOTS 256

static struct slot {
	atomic_uintptr_t from; /* 0: free; set last and cleared first */
	atomic_size_t n;
	const char *_Atomic path;
	atomic_flag taken;
} slots[SLOTS];

static void slot_take(const struct os_map *m)
{
	size_t page =
		(size_t)sysconf(_SC_PAGESIZE); /* the last page hangs over the end of the file */

	for (size_t i = 0; i < SLOTS; i++)
		if (!atomic_flag_test_and_set(&slots[i].taken)) {
			atomic_store(&slots[i].n, (m->n + page - 1) & ~(page - 1));
			atomic_store(&slots[i].path, m->path);
			atomic_store(&slots[i].from, (uintptr_t)m->p);
			return;
		}
}

static void slot_give(const struct os_map *m)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (atomic_load(&slots[i].from) == (uintptr_t)m->p) {
			atomic_store(&slots[i].from, 0);
			atomic_flag_clear(&slots[i].taken);
			return;
		}
}

const char *os_map_path_at(const void *addr)
{
	for (size_t i = 0; i < SLOTS; i++) {
		uintptr_t from = atomic_load(&slots[i].from), at = (uintptr_t)addr;

		if (from && at >= from && at - from < atomic_load(&slots[i].n))
			return atomic_load(&slots[i].path);
	}
	return NULL;
}

static int64_t ns_of(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int os_map_open(struct os_map *out, const char *path, struct err *e)
{
	/* without O_NONBLOCK the open of a pipe would wait for a writer */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
	struct os_map m = { .p = (const uint8_t *)"" };
	struct stat st;
	void *p;

	if (fd < 0)
		return err_sys(e, ERR_OPEN, errno, "%s", path);
	if (fstat(fd, &st))
		err = errno;
	else if (S_ISDIR(st.st_mode))
		err = EISDIR;
	else if (!S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(e, ERR_OPEN, "%s: not a regular file, which this one must be", path);
	} else if ((uint64_t)st.st_size > PTRDIFF_MAX)
		err = EFBIG;
	if (!err) {
		m.n = (size_t)st.st_size;
		m.dev = (uint64_t)st.st_dev;
		m.ino = (uint64_t)st.st_ino;
		m.mtime_ns = ns_of(st.st_mtim);
		m.ctime_ns = ns_of(st.st_ctim);
		m.path = strdup(path);
		err = m.path ? 0 : ENOMEM;
	}
	if (!err && m.n) { /* an empty file cannot be mapped, and need not be */
		p = mmap(NULL, m.n, PROT_READ, MAP_SHARED, fd, 0);
		if (p == MAP_FAILED)
			err = errno;
		else
			m.p = p;
	}
	close(fd);
	if (err) {
		free(m.path);
		return err_sys(e, ERR_OPEN, err, "%s", path);
	}
	*out = m;
	if (m.n)
		slot_take(out);
	return 0;
}

void os_map_close(struct os_map *m)
{
	if (m->n) {
		slot_give(m);
		munmap((void *)(uintptr_t)m->p, m->n);
	}
	free(m->path);
	*m = (struct os_map){ 0 };
}

void os_map_willneed(const struct os_map *m, size_t off, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), from = off & ~(page - 1);

	if (off < m->n && n)
		madvise((void *)(uintptr_t)(m->p + from),
			(n < m->n - off ? n : m->n - off) + (off - from), MADV_WILLNEED);
}
