/* os_test: files, streams, maps and signals. What ends a process is tried in a child. */
#include "config.h"
#include "os/os.h"
#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

static char dir[200];
static char path_a[256], path_b[256], path_z[256];

static void put_file(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	struct err e;

	if (fd < 0 || os_write_all(fd, p, n, &e))
		perror(path);
	close(fd);
}

static bool holds(const char *path, const char *want)
{
	struct err e = { 0 };
	struct buf b;
	bool good;

	buf_init(&b, BUF_MAX_TEXT);
	good = !os_read_file(&b, path, 1 << 20, &e) && str_is(buf_str(&b), want);
	buf_release(&b);
	return good;
}

/* The whole of a stream through os_in, or -1. */
static int drain(struct buf *out, const char *path, struct err *e)
{
	struct os_in *in;
	struct str s;
	int failed;

	buf_reset(out);
	if (os_in_open(&in, path, e))
		return -1;
	while (!(failed = os_in_read(&s, NULL, in, true, e)) && s.n)
		buf_adds(out, s);
	os_in_close(in);
	return failed;
}

static void test_places(void)
{
	struct err e = { 0 };
	struct buf b;
	char deep[300];
	struct stat st;

	buf_init(&b, 4096);
	setenv("XDG_DATA_HOME", "/x", 1);
	OK(!os_place(&b, OS_DATA, &e) && str_is(buf_str(&b), "/x/llm-utils"), "XDG_DATA_HOME");
	setenv("XDG_CACHE_HOME", "relative", 1);
	setenv("HOME", "/h", 1);
	OK(!os_place(&b, OS_CACHE, &e) && str_is(buf_str(&b), "/h/.cache/llm-utils"),
	   "a relative one is ignored");
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("HOME");
	OK(os_place(&b, OS_CONFIG, &e) && strstr(e.text, "HOME"), "no home: %s", e.text);
	setenv("EMPTY", "", 1);
	OK(!os_env("EMPTY") && !os_env("NOT_THERE_AT_ALL"), "empty is unset");
	buf_release(&b);
	snprintf(deep, sizeof deep, "%s/d/e/f", dir);
	OK(!os_mkdirs(deep, 0700, &e) && !os_mkdirs(deep, 0700, &e) && !stat(deep, &st) &&
		   S_ISDIR(st.st_mode),
	   "mkdirs");
	put_file(path_a, "x", 1);
	snprintf(deep, sizeof deep, "%s/f", path_a);
	OK(os_mkdirs(deep, 0700, &e) && strstr(e.text, deep), "not under a file: %s", e.text);
}

static void test_in(void)
{
	struct err e = { 0 };
	struct buf b, text;
	char z[4096];
	size_t n, m;

	buf_init(&b, 16 << 20);
	buf_init(&text, 16 << 20);
	for (int i = 0; i < 300000; i++)
		buf_addf(&text, "{\"id\":%d}\n", i);
	put_file(path_a, text.p, text.n);
	OK(!drain(&b, path_a, &e) && str_eq(buf_str(&b), buf_str(&text)), "a file of %zu bytes",
	   text.n);
	OK(drain(&b, "/nonexistent/x", &e) && e.code == ERR_OPEN &&
		   strstr(e.text, "/nonexistent/x: No such"),
	   "%s", e.text);
	OK(drain(&b, dir, &e) && strstr(e.text, "directory"), "a folder: %s", e.text);
	put_file(path_a, "(\xb5", 2);
	OK(!drain(&b, path_a, &e) && str_is(buf_str(&b), "(\xb5"),
	   "the beginning of a magic number is text");
	put_file(path_a, "", 0);
	OK(!drain(&b, path_a, &e) && !b.n, "empty");

	n = ZSTD_compressBound(text.n);
	char *big = malloc(n);
	n = ZSTD_compress(big, n, text.p, text.n, 1);
	put_file(path_z, big, n);
	OK(!drain(&b, path_z, &e) && str_eq(buf_str(&b), buf_str(&text)), "zstd");
	put_file(path_z, big, n - 5);
	OK(drain(&b, path_z, &e) && e.code == ERR_READ, "cut off: %s", e.text);
	free(big);
	memcpy(z, "\x5a\x2a\x4d\x18\x03\0\0\0abc", 11); /* a skippable frame in front */
	n = 11 + ZSTD_compress(z + 11, 1000, "one\n", 4, 1);
	n += ZSTD_compress(z + n, 1000, "", 0, 1);
	m = ZSTD_compress(z + n, 1000, "two\n", 4, 1);
	put_file(path_z, z, n + m);
	OK(!drain(&b, path_z, &e) && str_is(buf_str(&b), "one\ntwo\n"),
	   "frames one after the other");
	z[n + m] = 'x';
	put_file(path_z, z, n + m + 1);
	OK(drain(&b, path_z, &e) && e.code == ERR_READ, "rubbish behind: %s", e.text);
	put_file(path_a, "12345", 5);
	snprintf(z, sizeof z, "%s/./a", dir);
	OK(os_same_file(path_a, z) && !os_same_file(path_a, path_z) && !os_same_file("/dev/null", "/dev/null") &&
		   !os_same_file(path_a, "/nonexistent"),
	   "the same file by another name");
	OK(!os_read_file(&b, path_a, 5, &e) && b.n == 5 && b.p[5] == 0,
	   "read_file up to its limit");
	OK(os_read_file(&b, path_a, 4, &e) && e.code == ERR_OPEN && strstr(e.text, "limit of 4"),
	   "and not over: %s", e.text);
	OK(!os_read_file(&b, "/proc/self/stat", 100000, &e) && b.n > 10,
	   "a file whose size is unknown");
	buf_release(&b);
	buf_release(&text);
}

static void test_pipe(void)
{
	struct err e = { 0 };
	struct os_in *in;
	struct str s;
	bool again = false;
	int fd[2];

	if (pipe(fd) || os_in_fd(&in, fd[0], "a pipe", &e))
		return;
	OK(!os_in_read(&s, &again, in, false, &e) && !s.n && again, "nothing at hand");
	OK(write(fd[1], "{\n", 2) == 2 && !os_in_read(&s, &again, in, false, &e) &&
		   str_is(s, "{\n") && !again,
	   "some");
	OK(!os_in_read(&s, &again, in, false, &e) && !s.n && again, "nothing again");
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	OK(write(fd[1], "}", 1) == 1 && !os_in_read(&s, NULL, in, true, &e) && str_is(s, "}"),
	   "waiting on a non-blocking pipe");
	close(fd[1]);
	OK(!os_in_read(&s, &again, in, false, &e) && !s.n && !again, "the end");
	OK(!strcmp(os_in_name(in), "a pipe"), "its name");
	os_in_close(in);
	close(fd[0]);
	/* a compressed stream that arrives in two halves */
	char z[100];
	size_t n = ZSTD_compress(z, sizeof z, "hello", 5, 1);
	if (pipe(fd) || os_in_fd(&in, fd[0], "a pipe", &e))
		return;
	OK(write(fd[1], z, 2) == 2 && !os_in_read(&s, &again, in, false, &e) && again,
	   "half a magic number");
	OK(write(fd[1], z + 2, 5) == 5 && !os_in_read(&s, &again, in, false, &e) && !s.n && again,
	   "half a frame");
	OK(write(fd[1], z + 7, n - 7) == (ssize_t)n - 7 && !os_in_read(&s, &again, in, true, &e) &&
		   str_is(s, "hello"),
	   "the rest");
	close(fd[1]);
	OK(!os_in_read(&s, &again, in, true, &e) && !s.n && !again, "its end");
	os_in_close(in);
	close(fd[0]);
}

static unsigned n_files(const char *path)
{
	struct err e;
	struct buf b;
	char cmd[400];
	unsigned n = 0;

	buf_init(&b, 1 << 16);
	snprintf(cmd, sizeof cmd, "ls -A '%s' >'%s'", path, path_b);
	if (!system(cmd) && !os_read_file(&b, path_b, 1 << 16, &e))
		for (size_t i = 0; i < b.n; i++)
			n += b.p[i] == '\n';
	buf_release(&b);
	return n;
}

static void test_atomic(void)
{
	char sub[256], target[300], link[300];
	struct err e = { 0 };
	struct os_atomic *a;
	struct stat st;

	snprintf(sub, sizeof sub, "%s/atomic", dir);
	snprintf(target, sizeof target, "%s/t", sub);
	snprintf(link, sizeof link, "%s/l", sub);
	mkdir(sub, 0777);
	OK(!os_atomic_open(&a, target, 0600, &e) && !os_atomic_write(a, "abcd", 4, &e) &&
		   !os_atomic_pwrite(a, "X", 1, 1, &e) && access(target, F_OK),
	   "nothing is there before");
	OK(!os_atomic_commit(a, &e) && holds(target, "aXcd") && !stat(target, &st) &&
		   (st.st_mode & 0777) == 0600,
	   "all of it after");
	OK(!os_atomic_open(&a, target, 0666, &e) && !os_atomic_write(a, "new", 3, &e), "again");
	os_atomic_abort(a);
	OK(holds(target, "aXcd") && n_files(sub) == 1, "an abort leaves the old and no temp");
	OK(!symlink("t", link) && !os_atomic_open(&a, link, 0666, &e) &&
		   !os_atomic_write(a, "new", 3, &e) && !os_atomic_commit(a, &e) &&
		   holds(target, "new") && !lstat(link, &st) && S_ISLNK(st.st_mode) &&
		   !stat(target, &st) && (st.st_mode & 0777) == 0600,
	   "a link stays a link, a private file private");
	OK(!os_atomic_open(&a, "/dev/null", 0666, &e) && !os_atomic_write(a, "x", 1, &e) &&
		   !os_atomic_commit(a, &e) && !stat("/dev/null", &st) && S_ISCHR(st.st_mode),
	   "a device is written, not replaced");
	OK(os_atomic_open(&a, "/nonexistent/x", 0666, &e) &&
		   strstr(e.text, "/nonexistent/x: No such"),
	   "%s", e.text);
	OK(!os_atomic_open(&a, "/dev/full", 0666, &e) && os_atomic_write(a, "x", 1, &e) &&
		   e.code == ERR_WRITE && e.sys == ENOSPC && strstr(e.text, "/dev/full"),
	   "%s", e.text);
	os_atomic_abort(a);
	os_atomic_abort(NULL);
	pid_t pid = fork();
	if (!pid) {
		os_signals_init(false, &e);
		if (!os_atomic_open(&a, target, 0666, &e) && n_files(sub) == 3) {
			raise(SIGINT);
			if (os_stop_signal() == SIGINT)
				raise(SIGINT);
		}
		_exit(1);
	}
	int status;
	waitpid(pid, &status, 0);
	OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT && n_files(sub) == 2,
	   "a second INT ends it and removes the temp");
}

static void test_out(void)
{
	struct err e = { 0 };
	struct os_out *o;
	struct buf b;
	size_t frames = 0, at = 0;

	unlink(path_a);
	OK(!os_out_open(&o, path_a, true, &e) && !os_out_write(o, "one\n", 4, &e) &&
		   !os_out_close(o, &e) && !os_out_open(&o, path_a, true, &e) &&
		   !os_out_write(o, "two\n", 4, &e) && !os_out_close(o, &e) &&
		   holds(path_a, "one\ntwo\n"),
	   "appending");
	OK(!os_out_open(&o, path_a, false, &e) && !os_out_write(o, "new\n", 4, &e) &&
		   !os_out_close(o, &e) && holds(path_a, "new\n"),
	   "starting anew");
	unlink(path_z);
	OK(!os_out_open(&o, path_z, true, &e) && !os_out_write(o, "one\n", 4, &e) &&
		   !os_out_flush(o, &e) && !os_out_flush(o, &e) &&
		   !os_out_write(o, "two\n", 4, &e) && !os_out_close(o, &e),
	   "compressing");
	buf_init(&b, 1 << 20);
	OK(!drain(&b, path_z, &e) && str_is(buf_str(&b), "one\ntwo\n"), "and back");
	os_read_file(&b, path_z, 1 << 20, &e);
	while (at < b.n) {
		size_t n = ZSTD_findFrameCompressedSize(b.p + at, b.n - at);

		if (ZSTD_isError(n))
			break;
		at += n;
		frames++;
	}
	OK(frames == 2 && at == b.n, "one frame a flush");
	OK(!os_out_open(&o, path_z, false, &e) && !os_out_close(o, &e) &&
		   !os_read_file(&b, path_z, 100, &e) && b.n && !drain(&b, path_z, &e) && !b.n,
	   "nothing at all is an empty frame");
	OK(!os_out_open(&o, "/dev/full", false, &e) && os_out_write(o, "x\n", 2, &e) &&
		   e.code == ERR_WRITE && e.sys == ENOSPC,
	   "%s", e.text);
	os_out_close(o, &e);
	OK(os_out_open(&o, "/nonexistent/x", false, &e) && e.code == ERR_OPEN, "%s", e.text);
	buf_release(&b);
}

static void test_map(void)
{
	struct err e = { 0 };
	struct os_map m, empty;
	struct stat st;

	put_file(path_a, "mapped", 6);
	OK(!os_map_open(&m, path_a, &e) && m.n == 6 && !memcmp(m.p, "mapped", 6) &&
		   !strcmp(m.path, path_a),
	   "map");
	OK(!stat(path_a, &st) && m.ino == (uint64_t)st.st_ino &&
		   m.mtime_ns / 1000000000 == st.st_mtim.tv_sec,
	   "stamps");
	os_map_willneed(&m, 2, 100);
	os_map_close(&m);
	put_file(path_b, "", 0);
	OK(!os_map_open(&empty, path_b, &e) && empty.n == 0 && empty.p, "an empty file");
	os_map_close(&empty);
	OK(os_map_open(&m, dir, &e) && e.code == ERR_OPEN && strstr(e.text, dir), "%s", e.text);

	OK(os_map_open(&m, "/dev/null", &e) && strstr(e.text, "/dev/null: not a regular file"),
	   "%s", e.text);

	int fd[2], status;
	char said[500] = "";
	if (pipe(fd))
		return;
	pid_t pid = fork();
	if (!pid) {
		char zeros[20000] = { 0 };

		dup2(fd[1], 2);
		put_file(path_a, zeros, sizeof zeros);
		if (os_signals_init(false, &e) || os_map_open(&m, path_a, &e) ||
		    truncate(path_a, 10))
			_exit(99);
		_exit(((volatile const uint8_t *)m.p)[19000] + 98);
	}
	waitpid(pid, &status, 0);
	close(fd[1]);
	OK(WIFEXITED(status) && WEXITSTATUS(status) == 5 &&
		   read(fd[0], said, sizeof said - 1) > 0 && strstr(said, path_a),
	   "a map that shrinks ends with 5: %s", strtok_r(said, "\n", &(char *){ NULL }));
	close(fd[0]);
}

static void *wait_for_input(void *arg)
{
	struct os_in *in = arg;
	struct err e = { 0 };
	struct str s;

	return (void *)(intptr_t)(os_in_read(&s, NULL, in, true, &e) == -1 && e.code == ERR_SIGNAL
					  ? e.sys
					  : 0);
}

/* In a child: what `test` returns is its exit status. */
static int in_child(int (*test)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(test());
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int child_stop(void)
{
	struct err e = { 0 };
	struct os_in *in;
	pthread_t t;
	void *sig;
	int fd[2];

	if (pipe(fd) || os_signals_init(false, &e) || os_signals_init(false, &e) ||
	    os_in_fd(&in, fd[0], "p", &e) || pthread_create(&t, NULL, wait_for_input, in))
		return 1;
	usleep(20000);
	raise(SIGTERM); /* on this thread, while the other one waits */
	pthread_join(t, &sig);
	if ((intptr_t)sig != SIGTERM || os_stop_signal() != SIGTERM)
		return 2;
	os_in_close(in);
	os_reraise(SIGTERM);
}

static int child_ignored(void)
{
	struct err e = { 0 };

	signal(SIGHUP, SIG_IGN);
	if (os_signals_init(true, &e))
		return 1;
	raise(SIGHUP);
	return os_stop_signal();
}

static int child_fds(void)
{
	struct err e = { 0 };
	int fd;

	close(0);
	close(1);
	if (os_signals_init(false, &e))
		return 1;
	fd = open("/dev/null", O_RDONLY);
	return fd <= 2 || os_write_all(1, "x", 1, &e) == 0 || e.code != ERR_WRITE;
}

static int child_pipe(void)
{
	struct err e = { 0 };
	int fd[2];

	signal(SIGPIPE, SIG_IGN);
	if (pipe(fd) || os_signals_init(false, &e))
		return 1;
	close(fd[0]);
	return os_write_all(fd[1], "x", 1, &e);
}

static void test_signals(void)
{
	OK(in_child(child_stop) == 128 + SIGTERM, "TERM wakes a reader on any thread; re-raised");
	OK(in_child(child_ignored) == 0, "what the parent ignored stays ignored");
	OK(in_child(child_fds) == 0, "closed descriptors are filled, and writing to one fails");
	OK(in_child(child_pipe) == 128 + SIGPIPE,
	   "SIGPIPE ends quietly even where the parent ignored it");
}

static void test_process(void)
{
	uint64_t mine = os_process_start(getpid());
	pid_t child = fork();
	uint64_t dead;

	if (!child)
		_exit(0);
	while (os_process_start(child)) /* a dead one counts as gone before anybody waited for it */
		usleep(1000);
	waitpid(child, NULL, 0);
	dead = os_process_start(child);
	OK(mine && mine == os_process_start(getpid()) && !dead && !os_process_start(-1), "when a process began");
}

int main(void)
{
	const char *tmp = os_env("TMPDIR");
	char cmd[300];

	snprintf(dir, sizeof dir, "%s/os_test.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	snprintf(path_a, sizeof path_a, "%s/a", dir);
	snprintf(path_b, sizeof path_b, "%s/b", dir);
	snprintf(path_z, sizeof path_z, "%s/z.zst", dir);
	test_places();
	test_in();
	test_pipe();
	test_atomic();
	test_out();
	test_map();
	test_signals();
	OK(os_cpus() >= 1 && os_memory_available() > 1 << 20 && os_memory_peak() > 1 << 16,
	   "%u processors, %ju MiB free", os_cpus(), (uintmax_t)os_memory_available() >> 20);
	test_process();
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
	return system(cmd) ? 1 : tap_done();
}
