/* os_trim: a file of lines whose writer was killed, back to its last whole line or zstd frame. */
#include "config.h"
#include "os/os_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

/* Behind the last LF among the first `size` bytes. */
static int last_line(uint64_t *out, int fd, uint64_t size, const char *path, struct err *e)
{
	char b[65536];

	while (size) {
		uint64_t from = size > sizeof b ? size - sizeof b : 0;
		ssize_t n = pread(fd, b, (size_t)(size - from), (off_t)from);
		const char *lf;

		if (n < 0)
			return err_sys(e, ERR_OPEN, errno, "%s", path);
		lf = memrchr(b, '\n', (size_t)n);
		if (lf) {
			*out = from + (uint64_t)(lf - b) + 1;
			return 0;
		}
		size = from;
	}
	*out = 0;
	return 0;
}

/* Behind the last whole frame. What follows must be the beginning of one: a damaged file is not
 * cut. */
static int last_frame(uint64_t *out, const char *path, struct err *e)
{
	struct os_map m;
	size_t at = 0;
	int failed = 0;

	if (os_map_open(&m, path, e))
		return -1;
	while (at < m.n) {
		size_t n = ZSTD_findFrameCompressedSize(m.p + at, m.n - at);

		if (ZSTD_isError(n)) {
			if (ZSTD_getErrorCode(n) != ZSTD_error_srcSize_wrong)
				failed = err_set(e, ERR_OPEN,
						 "%s: damaged zstd data at byte %zu: %s", path, at,
						 ZSTD_getErrorName(n));
			break;
		}
		at += n;
	}
	*out = at;
	os_map_close(&m);
	return failed;
}

int os_trim_torn(uint64_t *size, const char *path, struct err *e)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), failed;
	struct stat st;

	if (fd < 0)
		return err_sys(e, ERR_OPEN, errno, "%s", path);
	if (fstat(fd, &st))
		failed = err_sys(e, ERR_OPEN, errno, "%s", path);
	else if (!S_ISREG(st.st_mode))
		failed = err_set(e, ERR_OPEN,
				 "%s: not a regular file, so there is nothing to resume", path);
	else if (str_ends(str_of(path), STR(".zst")))
		failed = last_frame(size, path, e);
	else
		failed = last_line(size, fd, (uint64_t)st.st_size, path, e);
	if (!failed && *size < (uint64_t)st.st_size && ftruncate(fd, (off_t)*size))
		failed = err_sys(e, ERR_OPEN, errno, "%s", path);
	close(fd);
	return failed;
}
