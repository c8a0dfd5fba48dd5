/* net_impl: what the files of net share. */
#ifndef NET_NET_IMPL_H
#define NET_NET_IMPL_H

#include "net/net.h"
#define CURL_DISABLE_TYPECHECK /* its macros hide the functions' names */
#include <curl/curl.h>

struct net_key {
	char from[256];
	size_t n;
	char text[]; /* and a NUL */
};

/* libcurl's functions, found when they are first needed. */
#define NET_CURL_FUNCTIONS(X)                                                                           \
	X(curl_global_init) X(curl_version) X(curl_easy_init) X(curl_easy_cleanup) X(curl_easy_setopt) \
	X(curl_easy_getinfo) X(curl_easy_strerror) X(curl_slist_append) X(curl_slist_free_all)          \
	X(curl_multi_init) X(curl_multi_cleanup) X(curl_multi_add_handle) X(curl_multi_remove_handle)   \
	X(curl_multi_setopt) X(curl_multi_socket_action) X(curl_multi_info_read)   \
	X(curl_multi_strerror)                                                                          \
	X(curl_url) X(curl_url_cleanup) X(curl_url_set) X(curl_url_get) X(curl_free)
struct net_curl {
#define X(name) __typeof__(&(name)) name;
	NET_CURL_FUNCTIONS(X)
#undef X
};
/* ERR_OPEN when the library is not there. */
int net_curl_load(const struct net_curl **out, struct err *e);

/* What became of a request. */
struct net_verdict {
	bool retry;             /* may the same request succeed later? */
	bool conflict;          /* 409: only where the request has an idempotency key */
	unsigned cause;         /* NET_ON_…: leads to a fallback; 0: none */
	enum net_result breaker;
};
/* Of an answer that is no success: e gets code and words (host and key are named, never shown). */
void net_judge_status(struct net_verdict *v, int status, struct str body, const char *host, const char *key_from,
		      struct err *e);
/* Of an `error` object inside an event stream or a 200. */
void net_judge_error(struct net_verdict *v, struct str json, const char *host, struct err *e);
/* Of a request without an answer. */
void net_judge_curl(struct net_verdict *v, CURLcode rc, const char *detail, const char *host, struct err *e);

#endif
