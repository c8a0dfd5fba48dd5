/* os_place: the environment and the folders of the XDG base directory specification. */
#include "config.h"
#include "os/os_impl.h"
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

const char *os_env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

int os_place(struct buf *out, enum os_place place, struct err *e)
{
	static const struct {
		const char *var, *fallback;
	} places[] = {
		[OS_DATA] = { "XDG_DATA_HOME", ".local/share" },
		[OS_CONFIG] = { "XDG_CONFIG_HOME", ".config" },
		[OS_CACHE] = { "XDG_CACHE_HOME", ".cache" },
	};
	const char *dir = os_env(places[place].var), *home = os_env("HOME");

	buf_reset(out);
	if (dir && *dir == '/') /* the specification: a relative path is to be ignored */
		buf_addf(out, "%s/llm-utils", dir);
	else if (home)
		buf_addf(out, "%s/%s/llm-utils", home, places[place].fallback);
	else
		return err_set(e, ERR_OPEN, "neither %s nor HOME is set", places[place].var);
	return buf_check(out, e);
}

int os_mkdirs(const char *path, mode_t mode, struct err *e)
{
	size_t n = strlen(path);
	char *copy = strdup(path);
	struct stat st;
	int err = 0;

	if (!copy)
		return err_nomem(e);
	for (size_t i = 1; i <= n && !err; i++) {
		if (copy[i] != '/' && copy[i])
			continue;
		copy[i] = 0;
		if (mkdir(copy, mode) && errno != EEXIST && stat(copy, &st))
			err = errno;
		copy[i] = i < n ? '/' : 0;
	}
	if (!err && (stat(path, &st) || !S_ISDIR(st.st_mode)))
		err = ENOTDIR;
	free(copy);
	return err ? err_sys(e, ERR_OPEN, err, "cannot make folder %s", path) : 0;
}
