/* net_key: where secrets come from, and how they go away. */
#include "config.h"
#include "net/net_impl.h"
#include "os/os.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/banned.h"

#define KEY_MAX ((size_t)16 << 10)

extern char **environ;

/* Takes the text up to the first line's end, without blanks around it; it must be fit for a header. */
static int key_new(struct net_key **out, const char *p, size_t n, const char *from, struct err *e)
{
	struct str s = str_trim((struct str){ p, n });
	struct net_key *k;

	*out = NULL;
	if (!s.n)
		return err_set(e, ERR_API_KEY, "%s holds no key", from);
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x21 || (unsigned char)s.p[i] > 0x7e)
			return err_set(e, ERR_API_KEY, "the key of %s has blanks or other characters that no key has, or more"
				       " lines than one", from);
	k = calloc(1, sizeof *k + s.n + 1);
	if (!k)
		return err_nomem(e);
	snprintf(k->from, sizeof k->from, "%s", from);
	k->n = s.n;
	memcpy(k->text, s.p, s.n);
#ifndef __SANITIZE_ADDRESS__ /* its leak check has to look at this process */
	prctl(PR_SET_DUMPABLE, 0);
#endif
	*out = k;
	return 0;
}

void net_key_free(struct net_key *k)
{
	if (!k)
		return;
	explicit_bzero(k->text, k->n);
	free(k);
}

const char *net_key_from(const struct net_key *k)
{
	return k->from;
}

static int read_fd(struct net_key **out, int fd, const char *from, struct err *e)
{
	char text[KEY_MAX + 1];
	size_t n = 0;
	ssize_t got = 0;
	int rc;

	while (n < sizeof text && !os_stop_signal()) {
		got = read(fd, text + n, sizeof text - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	if (os_stop_signal())
		rc = os_stopped(e);
	else if (got < 0)
		rc = err_sys(e, ERR_API_KEY, errno, "%s cannot be read", from);
	else if (n > KEY_MAX)
		rc = err_set(e, ERR_API_KEY, "%s is too long for a key", from);
	else
		rc = key_new(out, text, n, from, e);
	explicit_bzero(text, sizeof text);
	return rc;
}

int net_key_fd(struct net_key **out, int fd, struct err *e)
{
	char from[64];

	*out = NULL;
	snprintf(from, sizeof from, "descriptor %d", fd);
	return read_fd(out, fd, from, e);
}

int net_key_file(struct net_key **out, const char *path, struct err *e)
{
	char from[256];
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc;

	*out = NULL;
	snprintf(from, sizeof from, "file %s", path);
	if (fd < 0)
		return err_sys(e, ERR_API_KEY, errno, "key %s", from);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		rc = err_set(e, ERR_API_KEY, "key %s is no regular file", from);
	else if (st.st_uid != geteuid())
		rc = err_set(e, ERR_API_KEY, "key %s belongs to another user", from);
	else if (st.st_mode & 077)
		rc = err_set(e, ERR_API_KEY, "key %s can be used by others: chmod 600 %s", from, path);
	else
		rc = read_fd(out, fd, from, e);
	close(fd);
	return rc;
}

int net_key_cmd(struct net_key **out, const char *cmd, struct err *e)
{
	char *argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, (char *)(uintptr_t)cmd, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t defaults;
	int p[2], status = 0, rc;
	pid_t pid;

	*out = NULL;
	if (pipe2(p, O_CLOEXEC))
		return err_sys(e, ERR_API_KEY, errno, "the key's command");
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0); /* the records are not its input */
	posix_spawn_file_actions_adddup2(&fa, p[1], 1);
	posix_spawnattr_init(&attr);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE); /* which net_new() ignores */
	sigaddset(&defaults, SIGXFSZ);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn(&pid, "/bin/sh", &fa, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	close(p[1]);
	if (rc) {
		close(p[0]);
		return err_sys(e, ERR_API_KEY, rc, "the key's command");
	}
	rc = read_fd(out, p[0], "the key's command", e);
	close(p[0]);
	if (os_stop_signal()) { /* a command that asks somebody may never end */
		kill(pid, SIGTERM);
		return rc;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		net_key_free(*out);
		*out = NULL;
		rc = err_set(e, ERR_API_KEY, "the key's command failed (status %d)",
			     WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
	return rc;
}

int net_key_env(struct net_key **out, const char *name, struct err *e)
{
	const char *v = os_env(name);
	int rc;

	*out = NULL;
	if (!v)
		return 0;
	rc = key_new(out, v, strlen(v), name, e);
	explicit_bzero((char *)(uintptr_t)v, strlen(v));
	unsetenv(name);
	return rc;
}
