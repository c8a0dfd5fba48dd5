/*
 * net_curl: libcurl by dlopen(3). Linked in the usual way it and its thirty libraries cost every start of a tool some 5 ms
 * of processor time, also where no service is called.
 */
#include "config.h"
#include "net/net_impl.h"
#include <dlfcn.h>
#include <pthread.h>
#include "base/banned.h"

static struct net_curl curl;
static bool loaded;
static char why[256];

static void load(void)
{
	void *lib = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

	if (!lib) {
		const char *text = dlerror();

		snprintf(why, sizeof why, "%s", text ? text : "unknown");
		return;
	}
#define X(name)                                                          \
	*(void **)&curl.name = dlsym(lib, #name);                        \
	if (!curl.name) {                                                \
		snprintf(why, sizeof why, "it has no %s()", #name);      \
		return;                                                  \
	}
	NET_CURL_FUNCTIONS(X)
#undef X
	if (curl.curl_global_init(CURL_GLOBAL_DEFAULT)) {
		snprintf(why, sizeof why, "it does not start");
		return;
	}
	loaded = true;
}

int net_curl_load(const struct net_curl **out, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load);
	if (!loaded)
		return err_set(e, ERR_OPEN, "libcurl.so.4: %s; on Debian: apt-get install libcurl4", why);
	*out = &curl;
	return 0;
}

const char *net_version(void)
{
	const struct net_curl *c;

	return net_curl_load(&c, NULL) ? "" : c->curl_version();
}
