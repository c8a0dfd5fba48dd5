/* os_in: byte streams in, plain or zstd (RFC 8878), from files and pipes. */
#include "config.h"
#include "os/os_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define CHUNK ((size_t)256 << 10)

enum kind { UNKNOWN, PLAIN, ZSTD };

struct os_in {
	char *name;
	int fd;
	bool own;     /* close fd */
	bool regular; /* never waits */
	bool eof;
	bool read_on; /* after a stop signal */
	enum kind kind;
	char *raw;            /* [CHUNK] */
	size_t raw_at, raw_n; /* what of it is not used yet */
	ZSTD_DCtx *zd;
	char *plain; /* [CHUNK] decompressed */
	bool in_frame;
};

void os_in_close(struct os_in *in)
{
	if (!in)
		return;
	if (in->own)
		close(in->fd);
	ZSTD_freeDCtx(in->zd);
	free(in->name);
	free(in->raw);
	free(in->plain);
	free(in);
}

const char *os_in_name(const struct os_in *in)
{
	return in->name;
}

void os_in_read_on(struct os_in *in)
{
	in->read_on = true;
}

static int in_new(struct os_in **out, int fd, const char *name, bool own, struct err *e)
{
	struct os_in *in = calloc(1, sizeof *in);
	struct stat st;

	if (!in) {
		if (own)
			close(fd);
		return err_nomem(e);
	}
	in->fd = fd;
	in->own = own;
	in->name = strdup(name);
	in->raw = malloc(CHUNK);
	if (!in->name || !in->raw) {
		os_in_close(in);
		return err_nomem(e);
	}
	if (fstat(fd, &st)) {
		err_sys(e, ERR_OPEN, errno, "%s", name);
		os_in_close(in);
		return -1;
	}
	if (S_ISDIR(st.st_mode)) {
		err_sys(e, ERR_OPEN, EISDIR, "%s", name);
		os_in_close(in);
		return -1;
	}
	in->regular = S_ISREG(st.st_mode);
	if (in->regular)
		posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	*out = in;
	return 0;
}

int os_in_fd(struct os_in **out, int fd, const char *name, struct err *e)
{
	return in_new(out, fd, name, false, e);
}

int os_in_open(struct os_in **out, const char *path, struct err *e)
{
	int fd;

	if (!strcmp(path, "-"))
		return os_in_fd(out, STDIN_FILENO, "standard input", e);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, ERR_OPEN, errno, "%s", path);
	return in_new(out, fd, path, true, e);
}

bool os_same_file(const char *in, const char *out)
{
	struct stat a, b;

	if (strcmp(in, "-") ? stat(in, &a) : fstat(STDIN_FILENO, &a))
		return false;
	return !stat(out, &b) && S_ISREG(a.st_mode) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool os_wait_fd(int fd, short events, bool heed_stop)
{
	struct pollfd p[2] = { { .fd = fd, .events = events },
			       { .fd = os_stop_fd(), .events = POLLIN } };

	/* poll passes over a negative descriptor */
	while (poll(p, heed_stop ? 2 : 1, -1) < 0 && errno == EINTR)
		if (heed_stop && os_stop_signal())
			return false;
	return !heed_stop || !(p[1].revents & POLLIN);
}

/*
 * More raw bytes behind those that are there. 1: some, or the end; 0: nothing at hand; -1: failed.
 */
static int fill(struct os_in *in, bool wait, struct err *e)
{
	struct pollfd p = { .fd = in->fd, .events = POLLIN };
	ssize_t n;

	if (os_stop_signal() && !in->read_on)
		return os_stopped(e);
	if (in->raw_at) {
		memmove(in->raw, in->raw + in->raw_at, in->raw_n);
		in->raw_at = 0;
	}
	for (;;) {
		if (!in->regular) {
			if (wait && !os_wait_fd(in->fd, POLLIN, true))
				return os_stopped(e);
			if (!wait && poll(&p, 1, 0) <= 0)
				return 0;
		}
		n = read(in->fd, in->raw + in->raw_n, CHUNK - in->raw_n);
		if (n >= 0)
			break;
		if (errno == EAGAIN && !wait)
			return 0;
		if (errno != EINTR && errno != EAGAIN)
			return err_sys(e, ERR_READ, errno, "%s", in->name);
	}
	in->raw_n += (size_t)n;
	in->eof = n == 0;
	return 1;
}

/* Kind of a stream by its first bytes, UNKNOWN while they still may become a magic number. */
static enum kind look(const struct os_in *in)
{
	/* RFC 8878, 3.1.1: a frame; 3.1.2: a skippable frame, first byte 50 to 5f */
	static const unsigned char magic[4] = { 0x28, 0xb5, 0x2f, 0xfd },
				   skip[4] = { 0x50, 0x2a, 0x4d, 0x18 };
	size_t n = in->raw_n < 4 ? in->raw_n : 4;
	unsigned char head[4] = { 0 };

	memcpy(head, in->raw + in->raw_at, n);
	if (memcmp(head, magic, n)) {
		head[0] &= 0xf0;
		if (memcmp(head, skip, n))
			return PLAIN;
	}
	if (n == 4)
		return ZSTD;
	return in->eof ? PLAIN : UNKNOWN;
}

/* One step: 1 with plain bytes in *out, 0 when raw bytes are needed, -1. */
static int decompress(struct str *out, struct os_in *in, struct err *e)
{
	ZSTD_inBuffer src = { in->raw + in->raw_at, in->raw_n, 0 };
	ZSTD_outBuffer dst;
	size_t left;

	if (!in->zd) {
		in->zd = ZSTD_createDCtx();
		in->plain = malloc(CHUNK);
		if (!in->zd || !in->plain)
			return err_nomem(e);
	}
	if (!src.size && !in->in_frame)
		return 0;
	dst = (ZSTD_outBuffer){ in->plain, CHUNK, 0 };
	left = ZSTD_decompressStream(in->zd, &dst, &src);
	if (ZSTD_isError(left))
		return err_set(e, ERR_READ, "%s: damaged zstd data: %s", in->name,
			       ZSTD_getErrorName(left));
	in->in_frame = left != 0;
	in->raw_at += src.pos;
	in->raw_n -= src.pos;
	*out = (struct str){ in->plain, dst.pos };
	return dst.pos ? 1 : 0;
}

int os_in_read(struct str *out, bool *again, struct os_in *in, bool wait, struct err *e)
{
	int got;

	*out = (struct str){ in->raw, 0 };
	if (again)
		*again = false;
	if (in->kind == PLAIN)
		in->raw_n = in->raw_at = 0; /* given out by the last call */
	for (;;) {
		if (in->kind == UNKNOWN && (in->raw_n || in->eof))
			in->kind = look(in);
		if (in->kind == PLAIN && (in->raw_n || in->eof)) {
			*out = (struct str){ in->raw + in->raw_at, in->raw_n };
			return 0;
		}
		if (in->kind == ZSTD) {
			size_t had = in->raw_n;

			got = decompress(out, in, e);
			if (got)
				return got < 0 ? -1 : 0;
			if (in->raw_n && in->raw_n < had)
				continue; /* a frame ended or a header was read: go on in what there
					     is */
			if (in->eof && in->in_frame)
				return err_set(e, ERR_READ, "%s: the last zstd frame is cut off",
					       in->name);
			if (in->eof)
				return 0;
		}
		got = fill(in, wait, e);
		if (got < 0)
			return -1;
		if (!got) {
			if (again)
				*again = true;
			return 0;
		}
	}
}

int os_read_file(struct buf *out, const char *path, size_t max, struct err *e)
{
	const size_t limit = max < out->max ? max : out->max;
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	struct stat st;
	bool end = false, large = false;
	char one = 0;

	if (fd < 0)
		return err_sys(e, ERR_OPEN, errno, "%s", path);
	buf_reset(out);
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0 &&
	    (uint64_t)st.st_size <= limit)
		buf_grow(out, (size_t)st.st_size);
	while (!end && !large && !err && !out->failed) {
		size_t room = limit - out->n < 65536 ? limit - out->n : 65536;
		char *to = room ? buf_grow(out, room) : &one; /* full: is there one more? */
		ssize_t n = to ? read(fd, to, room ? room : 1) : 0;

		end = n == 0;
		large = n > 0 && !room;
		if (n < 0 && errno != EINTR)
			err = errno;
		if (n > 0 && room)
			buf_commit(out, (size_t)n);
	}
	close(fd);
	if (err)
		return err_sys(e, ERR_OPEN, err, "%s", path);
	if (large)
		return err_set(e, ERR_OPEN, "%s: larger than the limit of %zu bytes", path, limit);
	return buf_check(out, e) ? err_wrap(e, "%s", path) : 0;
}
