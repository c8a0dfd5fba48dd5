/* os_atomic: files that appear whole or not at all, and the list of temp files that a signal must
 * not leave behind. */
#include "config.h"
#include "os/os_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

/* Copies, so that a handler on another thread never reads memory that was freed. */
#define TEMPS 32
static struct temp {
	atomic_flag taken;
	atomic_bool live;
	char path[PATH_MAX];
} temps[TEMPS];

int os_temp_add(const char *path)
{
	size_t n = strlen(path);

	for (int i = 0; i < TEMPS && n < PATH_MAX; i++)
		if (!atomic_flag_test_and_set(&temps[i].taken)) {
			memcpy(temps[i].path, path, n + 1);
			atomic_store(&temps[i].live, true);
			return i;
		}
	return -1;
}

void os_temp_drop(int slot)
{
	if (slot < 0)
		return;
	atomic_store(&temps[slot].live, false);
	atomic_flag_clear(&temps[slot].taken);
}

void os_temps_unlink(void)
{
	for (int i = 0; i < TEMPS; i++)
		if (atomic_load(&temps[i].live))
			unlink(temps[i].path);
}

int os_write_all(int fd, const void *data, size_t n, struct err *e)
{
	const char *p = data;
	ssize_t w;

	while (n) {
		w = write(fd, p, n);
		if (w < 0 && errno == EAGAIN) { /* someone made it non-blocking */
			os_wait_fd(fd, POLLOUT, false);
			continue;
		}
		if (w < 0 && errno != EINTR)
			return err_sys(e, ERR_WRITE, errno, "cannot write");
		if (w > 0) {
			p += w;
			n -= (size_t)w;
		}
	}
	return 0;
}

struct os_atomic {
	char *path; /* where it will appear, symbolic links followed */
	char *temp; /* NULL: path is a device or pipe, which is written directly */
	int fd, slot;
};

void os_atomic_abort(struct os_atomic *a)
{
	if (!a)
		return;
	if (a->fd >= 0)
		close(a->fd);
	if (a->temp && a->fd >= 0)
		unlink(a->temp);
	os_temp_drop(a->slot);
	free(a->temp);
	free(a->path);
	free(a);
}

/* Opens a new file PATH.tmp.PID[.K]; a dead process may have left one of that name. */
static int open_temp(struct os_atomic *a, mode_t mode)
{
	for (int k = 0; k < 100; k++) {
		free(a->temp);
		if (asprintf(&a->temp, k ? "%s.tmp.%ld.%d" : "%s.tmp.%ld", a->path, (long)getpid(),
			     k) < 0) {
			a->temp = NULL;
			errno = ENOMEM;
			return -1;
		}
		a->slot = os_temp_add(a->temp);
		a->fd = open(a->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
		if (a->fd >= 0)
			return 0;
		os_temp_drop(a->slot);
		a->slot = -1;
		if (errno != EEXIST)
			return -1;
	}
	return -1;
}

static int open_file(struct os_atomic **out, const char *path, mode_t mode, bool follow,
		     struct err *e)
{
	struct os_atomic *a = calloc(1, sizeof *a);
	struct stat st;
	bool there;
	int failed;

	if (!a)
		return err_nomem(e);
	a->fd = a->slot = -1;
	there = follow && !stat(path, &st);
	a->path = there ? realpath(path, NULL) : strdup(path);
	if (!a->path) {
		failed = -1;
	} else if (there && !S_ISREG(st.st_mode)) {
		a->fd = open(a->path, O_WRONLY | O_CLOEXEC);
		failed = a->fd < 0;
	} else {
		failed = open_temp(a, mode);
		if (!failed && there) /* it may have been made private on purpose */
			failed = fchmod(a->fd, st.st_mode & 0777);
	}
	if (failed) {
		err_sys(e, ERR_OPEN, errno, "cannot write %s", path);
		os_atomic_abort(a);
		return -1;
	}
	*out = a;
	return 0;
}

int os_atomic_open(struct os_atomic **out, const char *path, mode_t mode, struct err *e)
{
	return open_file(out, path, mode, true, e);
}

int os_atomic_new(struct os_atomic **out, const char *path, mode_t mode, struct err *e)
{
	return open_file(out, path, mode, false, e);
}

int os_atomic_write(struct os_atomic *a, const void *p, size_t n, struct err *e)
{
	return os_write_all(a->fd, p, n, e) ? err_wrap(e, "%s", a->path) : 0;
}

int os_atomic_pwrite(struct os_atomic *a, const void *data, size_t n, uint64_t off, struct err *e)
{
	const char *p = data;
	ssize_t w;

	while (n) {
		w = pwrite(a->fd, p, n, (off_t)off);
		if (w < 0 && errno != EINTR)
			return err_sys(e, ERR_WRITE, errno, "%s: cannot write", a->path);
		if (w > 0) {
			p += w;
			n -= (size_t)w;
			off += (uint64_t)w;
		}
	}
	return 0;
}

/* The new name is safe once the folder that holds it is. Some file systems cannot sync a folder: no
 * failure. */
static void sync_folder(char *path)
{
	char *slash = strrchr(path, '/');
	int fd;

	if (slash)
		slash[slash == path] = 0;
	fd = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

int os_atomic_commit(struct os_atomic *a, struct err *e)
{
	int failed = 0, fd = a->fd;

	if (a->temp) {
		failed = fsync(fd);
		if (!failed) {
			a->fd = -1;
			failed = close(fd) || rename(a->temp, a->path);
			if (failed) {
				int err = errno;

				unlink(a->temp);
				errno = err;
			}
		}
	} else {
		a->fd = -1;
		failed = close(fd);
	}
	if (failed)
		err_sys(e, ERR_WRITE, errno, "%s: cannot write", a->path);
	else if (a->temp)
		sync_folder(a->path);
	os_atomic_abort(a);
	return failed ? -1 : 0;
}
