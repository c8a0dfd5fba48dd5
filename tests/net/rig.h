/* rig: a client with a planted key and a clock that tests can push, against servers of planned faults. */
#ifndef TESTS_NET_RIG_H
#define TESTS_NET_RIG_H

#include "net/net.h"
#include "net/fault.h"
#include "tap.h"
#include <stdlib.h>
#include <unistd.h>

/* A clock that jumps while nothing is in flight. */
static uint64_t ahead;
static uint64_t mono(void *arg)
{
	(void)arg;
	return time_mono_ns() + ahead;
}
static int64_t unix_ms(void *arg)
{
	(void)arg;
	return 784111775000;
}
static void jump(void *arg, uint64_t ns)
{
	(void)arg;
	ahead += ns;
}

static struct net_opts opts;
static struct net_target limits; /* rpm and tpm of the targets */
static struct net *n;
static struct net_key *key;
static struct fault *servers[2];
static struct err e;
static uint64_t slept0;

static struct net_opts rig_opts(void)
{
	struct net_opts o = NET_OPTS_INIT;

	o.clock = (struct net_clock){ mono, unix_ms, jump, NULL };
	o.seed = 1;
	return o;
}

/* A client of `opts` with a target of `limits` for each plan. */
static void setup_opts(const char *a, const char *b)
{
	const char *scripts[2] = { a, b };
	char url[64];
	unsigned at;

	if (net_new(&n, &opts, &e)) {
		fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	for (int i = 0; i < 2 && scripts[i]; i++) {
		servers[i] = fault_start(scripts[i], 1000, 20, NULL);
		if (!servers[i])
			exit(1);
		snprintf(url, sizeof url, "http://127.0.0.1:%u/v1/", fault_port(servers[i]));
		limits.base_url = url;
		limits.key = key;
		if (net_add_target(&at, n, &limits, &e))
			exit(1);
	}
	slept0 = ahead;
}

static void setup(const char *a, const char *b)
{
	opts = rig_opts();
	limits = (struct net_target){ 0 };
	setup_opts(a, b);
}

static void teardown(void)
{
	net_free(n);
	for (int i = 0; i < 2; i++) {
		fault_stop(servers[i]);
		servers[i] = NULL;
	}
}

/* One call to its end. */
static void call(struct net_call *c)
{
	struct net_call *done = NULL;

	if (!c->path)
		c->path = "/chat/completions";
	if (!c->n_hops)
		c->n_hops = 1;
	if (!c->hops[0].body.p)
		c->hops[0].body = STR("{\"model\":\"m\"}");
	if (net_submit(n, c, &e))
		exit(1);
	while (!done)
		if (net_step(&done, n, 5000, &e))
			exit(1);
}

static double slept_ms(void)
{
	return (double)(ahead - slept0) / 1e6;
}

static void rig_begin(void)
{
	static const char *const names[] = { "http_proxy", "HTTPS_PROXY", "https_proxy", "all_proxy", "ALL_PROXY", "NO_PROXY",
					     "no_proxy", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unsetenv(names[i]);
	setenv("LLMU_TEST_KEY", "sk-planted-key", 1);
	if (net_key_env(&key, "LLMU_TEST_KEY", &e))
		exit(1);
}

static int rig_end(void)
{
	net_key_free(key);
	return tap_done();
}

#endif
