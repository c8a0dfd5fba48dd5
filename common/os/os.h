/*
 * os: files, maps, signals, threads, zstd streams, places. The only room beside cli that reads the
 * environment. Links zstd and pthread.
 */
#ifndef OS_OS_H
#define OS_OS_H

#include "base/base.h"
#include <stdatomic.h>
#include <sys/types.h>

/* ---- places ---------------------------------------------------------------------------------- */

/* An environment variable that is set and not empty, or NULL. Valid until the process changes it. */
const char *os_env(const char *name);
/* XDG directories with "/llm-utils" behind them: data, config, cache. Written into buf (reset first). */
enum os_place { OS_DATA, OS_CONFIG, OS_CACHE };
int os_place(struct buf *out, enum os_place place, struct err *e);
/* mkdir -p with mode 0700 (XDG) or 0777 & ~umask. */
int os_mkdirs(const char *path, mode_t mode, struct err *e);

/* ---- reading --------------------------------------------------------------------------------- */

/* A byte stream: a file, "-" (standard input) or a descriptor; zstd is recognised by its magic bytes. */
struct os_in;
int os_in_open(struct os_in **out, const char *path, struct err *e); /* ERR_OPEN names the path */
int os_in_fd(struct os_in **out, int fd, const char *name, struct err *e); /* borrows fd */
void os_in_close(struct os_in *in);
const char *os_in_name(const struct os_in *in);
/* Reads on after a stop signal: for a file that must be copied to its end. */
void os_in_read_on(struct os_in *in);
/*
 * The next bytes: *out borrows the stream's buffer until the next call; n == 0 is the end. With
 * wait == false and nothing at hand, n == 0 too and *again is true. A torn zstd frame is ERR_READ.
 */
int os_in_read(struct str *out, bool *again, struct os_in *in, bool wait, struct err *e);
/* The whole of a small file, at most max bytes (ERR_OPEN when larger). */
int os_read_file(struct buf *out, const char *path, size_t max, struct err *e);

/* Are both the same file on disk? "-" as `in` is standard input; devices and pipes never are. */
bool os_same_file(const char *in, const char *out);

/* ---- maps ------------------------------------------------------------------------------------ */

/*
 * A file mapped read-only. A file that shrinks while it is mapped raises SIGBUS: the handler that
 * os_signals_init() installs says which file it was and ends the process with 5.
 */
struct os_map {
	const uint8_t *p;
	size_t n;
	char *path;
	/* stamps, the key of cached digests */
	uint64_t dev, ino;
	int64_t mtime_ns, ctime_ns;
};
int os_map_open(struct os_map *out, const char *path, struct err *e);
void os_map_close(struct os_map *m);
/* Expect sequential reading of a part soon (MADV_WILLNEED); a hint. */
void os_map_willneed(const struct os_map *m, size_t off, size_t n);

/* ---- writing --------------------------------------------------------------------------------- */

/* A file that appears whole or not at all: O_EXCL temp beside it, fsync, rename, fsync of the folder. */
struct os_atomic;
int os_atomic_open(struct os_atomic **out, const char *path, mode_t mode, struct err *e);
/* The same, but what has the name already, a link or a pipe too, is replaced and never written through: for folders that
 * others may write to. */
int os_atomic_new(struct os_atomic **out, const char *path, mode_t mode, struct err *e);
int os_atomic_write(struct os_atomic *a, const void *p, size_t n, struct err *e);
int os_atomic_pwrite(struct os_atomic *a, const void *p, size_t n, uint64_t off, struct err *e);
int os_atomic_commit(struct os_atomic *a, struct err *e); /* frees a, also on failure */
void os_atomic_abort(struct os_atomic *a);                /* removes the temp file, frees a; NULL is fine */
/* Write all of it to a descriptor, through short writes and EINTR. */
int os_write_all(int fd, const void *p, size_t n, struct err *e);

/* A record stream's other end: a descriptor, or a path, compressed when its name ends in ".zst". */
struct os_out;
int os_out_fd(struct os_out **out, int fd, const char *name, struct err *e); /* borrows fd */
int os_out_open(struct os_out **out, const char *path, bool append, struct err *e);
/* Whole lines. Compressed output ends a frame at every os_out_flush(), so that a resumed run can cut there. */
int os_out_write(struct os_out *o, const void *p, size_t n, struct err *e);
int os_out_flush(struct os_out *o, struct err *e);
int os_out_close(struct os_out *o, struct err *e); /* flushes, checks, frees */

/*
 * Cut the torn tail off a file of lines whose writer was killed: what is behind the last LF or, in a ".zst", behind
 * the last whole frame. *size is what is left. A damaged zstd file is ERR_OPEN and stays as it is.
 */
int os_trim_torn(uint64_t *size, const char *path, struct err *e);

/* ---- signals --------------------------------------------------------------------------------- */

/*
 * At start: SIGPIPE default and unblocked (or ignored, for tools with a transaction), INT/TERM/HUP set
 * the stop flag (what the parent ignored stays ignored; a second INT ends at once), SIGBUS as above,
 * SIGXFSZ ignored, so that a write over the limit fails, fds 0-2 open.
 */
int os_signals_init(bool ignore_sigpipe, struct err *e);
/* The signal that asked to stop, or 0. Cheap; any thread. */
int os_stop_signal(void);
/* The same as an error, ERR_SIGNAL with `sys`; returns -1. */
int os_stopped(struct err *e);
/* Make os_stop_signal() true from inside (a failed write). */
void os_stop_request(int sig);
/* Die of that signal, so that the shell sees 128 + sig. Does not return. */
void os_reraise(int sig) __attribute__((noreturn));
/* Temp files of os_atomic_open() are removed by os_reraise() and by a second INT. */

/* ---- threads --------------------------------------------------------------------------------- */

/* Processors that this process may use: affinity and cgroup quota; at least 1. */
unsigned os_cpus(void);

/*
 * A pool of n workers, the caller being worker 0. os_pool_run() calls fn(arg, worker, i) once for each
 * i in [0, n_chunks), chunks claimed dynamically, and returns when all are done. Waiting spins a few
 * microseconds, then sleeps on a futex, so that neighbours in a pipe are not stalled. One run at a time.
 */
struct os_pool;
int os_pool_new(struct os_pool **out, unsigned n, struct err *e);
void os_pool_free(struct os_pool *p);
unsigned os_pool_size(const struct os_pool *p);
typedef void os_pool_fn(void *arg, unsigned worker, size_t i);
void os_pool_run(struct os_pool *p, os_pool_fn *fn, void *arg, size_t n_chunks);
/*
 * A longer stretch in which all workers run fn(arg, worker) at once and meet at os_pool_barrier():
 * cheaper than many os_pool_run() (a forward pass). os_pool_claim() hands out chunks of the current
 * stretch between two barriers, to each worker its share in order, then what others have not begun; false when all n
 * are taken. Every worker must pass the same n.
 */
typedef void os_pool_team_fn(void *arg, unsigned worker);
void os_pool_team(struct os_pool *p, os_pool_team_fn *fn, void *arg);
void os_pool_barrier(struct os_pool *p, unsigned worker);
bool os_pool_claim(size_t *out, struct os_pool *p, unsigned worker, size_t n);

/* When a process began, in the kernel's own unit: with its number a name that is not used twice. 0: there is none, or the
 * system does not say (then 0 of one's own, too). */
uint64_t os_process_start(pid_t pid);

/* Memory that may be used: the smaller of RAM available and the cgroup's limit, bytes. */
uint64_t os_memory_available(void);
/* As ckd_alloc(), not zeroed; large blocks in huge pages where there are some, for a hundredth of the faults. free() frees it. */
void *os_big_alloc(size_t n, size_t size);
/* Peak resident set of this process, bytes. */
uint64_t os_memory_peak(void);

#endif
