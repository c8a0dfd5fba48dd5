/* os_out: the other end of a stream of records, plain or zstd. */
#include "config.h"
#include "os/os_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#define LEVEL 3 /* zstd's own default */

struct os_out {
	char *name;
	int fd;
	bool own;
	bool empty; /* nothing was ever written: an empty file is no zstd file */
	bool in_frame;
	ZSTD_CCtx *zc; /* NULL: plain */
	char *packed;
	size_t packed_cap;
};

static void out_free(struct os_out *o)
{
	ZSTD_freeCCtx(o->zc);
	free(o->packed);
	free(o->name);
	free(o);
}

int os_out_fd(struct os_out **out, int fd, const char *name, struct err *e)
{
	struct os_out *o = calloc(1, sizeof *o);

	if (!o)
		return err_nomem(e);
	o->fd = fd;
	o->name = strdup(name);
	if (!o->name) {
		out_free(o);
		return err_nomem(e);
	}
	*out = o;
	return 0;
}

int os_out_open(struct os_out **out, const char *path, bool append, struct err *e)
{
	int fd;

	if (!strcmp(path, "-"))
		return os_out_fd(out, STDOUT_FILENO, "standard output", e);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0666);
	if (fd < 0)
		return err_sys(e, ERR_OPEN, errno, "cannot write %s", path);
	if (os_out_fd(out, fd, path, e)) {
		close(fd);
		return -1;
	}
	(*out)->own = true;
	if (str_ends(str_of(path), STR(".zst"))) {
		(*out)->empty = lseek(fd, 0, SEEK_END) == 0;
		(*out)->packed_cap = ZSTD_CStreamOutSize();
		(*out)->packed = malloc((*out)->packed_cap);
		(*out)->zc = ZSTD_createCCtx();
		if (!(*out)->packed || !(*out)->zc) {
			close(fd);
			out_free(*out);
			*out = NULL;
			return err_nomem(e);
		}
		ZSTD_CCtx_setParameter((*out)->zc, ZSTD_c_compressionLevel, LEVEL);
		ZSTD_CCtx_setParameter((*out)->zc, ZSTD_c_checksumFlag, 1);
	}
	return 0;
}

static int put(struct os_out *o, const void *p, size_t n, struct err *e)
{
	return os_write_all(o->fd, p, n, e) ? err_wrap(e, "%s", o->name) : 0;
}

static int pack(struct os_out *o, const void *p, size_t n, ZSTD_EndDirective end, struct err *e)
{
	ZSTD_inBuffer src = { p, n, 0 };
	size_t left;

	do {
		ZSTD_outBuffer dst = { o->packed, o->packed_cap, 0 };

		left = ZSTD_compressStream2(o->zc, &dst, &src, end);
		if (ZSTD_isError(left))
			return err_set(e, ERR_WRITE, "%s: zstd: %s", o->name,
				       ZSTD_getErrorName(left));
		if (dst.pos && put(o, o->packed, dst.pos, e))
			return -1;
	} while (end == ZSTD_e_end ? left != 0 : src.pos < src.size);
	o->empty = false;
	o->in_frame = end != ZSTD_e_end;
	return 0;
}

int os_out_write(struct os_out *o, const void *p, size_t n, struct err *e)
{
	if (!n)
		return 0;
	return o->zc ? pack(o, p, n, ZSTD_e_continue, e) : put(o, p, n, e);
}

int os_out_flush(struct os_out *o, struct err *e)
{
	return o->in_frame ? pack(o, NULL, 0, ZSTD_e_end, e) : 0;
}

int os_out_close(struct os_out *o, struct err *e)
{
	int failed = os_out_flush(o, e);

	if (!failed && o->zc && o->empty)
		failed = pack(o, NULL, 0, ZSTD_e_end, e);
	if (o->own && close(o->fd) && !failed)
		failed = err_sys(e, ERR_WRITE, errno, "%s: cannot write", o->name);
	out_free(o);
	return failed;
}
