/* os_signal: the stop flag, quiet pipes, and maps whose file shrank. */
#include "config.h"
#include "os/os_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_int stop_signal;
static int stop_pipe[2] = { -1, -1 }; /* wakes a poll on whatever thread it is */

int os_stop_signal(void)
{
	return atomic_load_explicit(&stop_signal, memory_order_relaxed);
}

int os_stop_fd(void)
{
	return stop_pipe[0];
}

int os_stopped(struct err *e)
{
	int sig = os_stop_signal();

	err_set(e, ERR_SIGNAL, "stopped by signal %d", sig);
	if (e)
		e->sys = sig;
	return -1;
}

void os_stop_request(int sig)
{
	int saved = errno, none = 0;
	ssize_t ignored;

	if (atomic_compare_exchange_strong(&stop_signal, &none, sig) && stop_pipe[1] >= 0) {
		ignored = write(stop_pipe[1], "", 1);
		(void)ignored; /* full means that it is readable */
	}
	errno = saved;
}

void os_reraise(int sig)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t set;

	os_temps_unlink();
	sigemptyset(&sa.sa_mask);
	sigaction(sig, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
	_exit(128 + sig); /* a signal whose default action does not end a process */
}

static void on_stop(int sig)
{
	if (sig == SIGINT && os_stop_signal())
		os_reraise(sig);
	os_stop_request(sig);
}

static void on_bus(int sig, siginfo_t *info, void *unused)
{
	const char *path = os_map_path_at(info->si_addr), *tool = program_invocation_short_name;
	struct iovec v[4];
	ssize_t ignored;

	(void)unused;
	if (info->si_code <= 0 || !path) /* sent by someone, or a fault of another kind */
		os_reraise(sig);
	v[0] = (struct iovec){ (void *)(uintptr_t)tool, strlen(tool) };
	v[1] = (struct iovec){ (void *)(uintptr_t) ": ", 2 };
	v[2] = (struct iovec){ (void *)(uintptr_t)path, strlen(path) };
	v[3] = (struct iovec){
		(void *)(uintptr_t) ": the file shrank or could not be read while it was in use\n",
		59
	};
	ignored = writev(STDERR_FILENO, v, 4);
	(void)ignored;
	os_temps_unlink();
	_exit(5);
}

/* A closed 0, 1 or 2 would be given to the next file opened. What stands in fails when it is used
 * the wrong way. */
static int open_std_fds(struct err *e)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
		    open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
			return err_sys(e, ERR_OPEN, errno, "/dev/null");
	return 0;
}

int os_signals_init(bool ignore_sigpipe, struct err *e)
{
	static const int stops[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = ignore_sigpipe ? SIG_IGN : SIG_DFL }, old;
	sigset_t set;

	if (open_std_fds(e))
		return -1;
	if (stop_pipe[0] < 0 && pipe2(stop_pipe, O_CLOEXEC | O_NONBLOCK))
		return err_sys(e, ERR_INTERNAL, errno, "pipe");
	sigemptyset(&sa.sa_mask);
	sigaction(SIGPIPE, &sa, NULL);
	sa.sa_handler = SIG_IGN; /* ulimit -f: the write fails and names the file */
	sigaction(SIGXFSZ, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sa.sa_handler = on_stop;
	for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
		sigaction(stops[i], NULL, &old);
		if (old.sa_handler != SIG_IGN) {
			sigaction(stops[i], &sa, NULL);
			sigaddset(&set, stops[i]);
		}
	}
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	sa.sa_flags = SA_SIGINFO;
	sa.sa_sigaction = on_bus;
	sigaction(SIGBUS, &sa, NULL);
	return 0;
}
