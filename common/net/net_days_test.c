/* Tests of a client on bad days: hedges, budgets, limits, dead services, certificates, proxies, signals. */
#include "config.h"
#include "net/rig.h"
#include "os/os.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#define SEC 1000000000ull
#define GOOD "{\"body\":\"{}\"}"

/* k calls at once to their end; how many were good. */
static unsigned batch(struct net_call *c, unsigned k)
{
	unsigned good = 0;

	for (unsigned i = 0; i < k; i++) {
		c[i].path = "/chat/completions";
		c[i].n_hops = c[i].n_hops ? c[i].n_hops : 1;
		c[i].hops[0].body = STR("{\"model\":\"m\"}");
		if (net_submit(n, &c[i], &e))
			exit(1);
	}
	while (net_busy(n)) {
		struct net_call *done;

		if (net_step(&done, n, 5000, &e))
			exit(1);
		if (done) {
			good += !done->err.code;
			net_call_release(done);
		}
	}
	return good;
}

static void test_hedge(void)
{
	static struct net_call c[60], slow, many[200];
	unsigned hedged = 0;

	opts = rig_opts();
	opts.hedge = true;
	setup_opts("{\"when\":{\"from\":60,\"to\":61},\"delay_ms\":5000,\"body\":\"{}\"}\n" GOOD, NULL);
	batch(c, 60);
	call(&slow);
	OK(!slow.err.code && slow.hedged && slow.attempts == 2 && slow.t_done - slow.t_submit < 3 * SEC,
	   "a slow answer is asked for again, the first of the two counts: %u requests", slow.attempts);
	net_call_release(&slow);
	teardown();

	setup_opts("{\"when\":{\"from\":60},\"delay_ms\":500,\"body\":\"{}\"}\n" GOOD, NULL);
	batch(c, 60);
	batch(many, 200);
	for (int i = 0; i < 200; i++)
		hedged += many[i].hedged;
	OK(hedged > 0 && fault_requests(servers[0]) <= 260 + 260 * 0.02, "when all are slow, %u of 260 calls are hedged", hedged);
	teardown();

	setup_opts("{\"when\":{\"from\":60,\"to\":62},\"delay_ms\":300,\"status\":500}\n" GOOD, NULL);
	batch(c, 60);
	slow = (struct net_call){ 0 };
	call(&slow);
	OK(!slow.err.code && slow.attempts == 3, "both fail, the retry is good: %u requests", slow.attempts);
	net_call_release(&slow);
	teardown();
}

static void test_budget(void)
{
	static struct net_call c[100];
	unsigned most = 0;

	opts = rig_opts();
	opts.no_breaker = true;
	setup_opts("{\"status\":500}", NULL);
	OK(batch(c, 100) == 0, "100 calls to a dead service");
	for (int i = 0; i < 100; i++)
		most = c[i].attempts > most ? c[i].attempts : most;
	OK(most == 4 && fault_requests(servers[0]) == 400 && slept_ms() > 28000,
	   "their 300 retries take %.0f s: ten a second once the first ten are spent", slept_ms() / 1000);
	teardown();

	opts.deadline_ms = 5000;
	setup_opts("{\"status\":500}", NULL);
	batch(c, 100);
	OK(fault_requests(servers[0]) < 100 + 10 + 60 && slept_ms() < 6000, "or end at their deadline: %u requests in %.1f s",
	   fault_requests(servers[0]), slept_ms() / 1000);
	teardown();
}

static void test_conflict(void)
{
	struct net_call c = { .idempotency = "key-1", .traceparent = "00-aa-bb-01" };
	char last[4096];

	setup("{\"status\":409}\n{\"when\":{\"lacks\":\"Idempotency-Key: key-1\\r\\n\"},\"status\":400}\n"
	      "{\"when\":{\"lacks\":\"traceparent: 00-aa-bb-01\\r\\n\"},\"status\":400}\n" GOOD, NULL);
	call(&c);
	fault_last(servers[0], last, sizeof last);
	OK(!c.err.code && c.attempts == 2, "409 with an idempotency key: again under the same: %s", c.err.text);
	net_call_release(&c);
	teardown();

	c = (struct net_call){ .idempotency = "key-1", .n_hops = 2 };
	c.hops[1] = (struct net_hop){ .target = 1, .body = STR("{}"), .on = NET_ON_ALL };
	setup("{\"status\":402}", GOOD);
	call(&c);
	fault_last(servers[1], last, sizeof last);
	OK(!c.err.code && strstr(last, "Idempotency-Key: h1-key-1\r\n"), "another target, another key");
	net_call_release(&c);
	teardown();
}

static void test_all_open(void)
{
	struct net_call c = { .n_hops = 2 }, d;
	const char *dead = "{\"when\":{\"to\":3},\"status\":500}\n" GOOD;

	c.hops[1] = (struct net_hop){ .target = 1, .body = STR("{\"model\":\"m\"}"), .on = NET_ON_ALL };
	d = c;
	opts = rig_opts();
	opts.max_retries = 2;
	setup_opts(dead, dead);
	call(&c);
	OK(c.err.code == ERR_SERVER && c.attempts == 6, "both targets fail: %u requests", c.attempts);
	slept0 = ahead;
	call(&d);
	OK(!d.err.code && d.attempts == 1 && slept_ms() > 25000 && slept_ms() < 31000,
	   "all breakers open: the next call waits %.0f s for the first to let it in", slept_ms() / 1000);
	net_call_release(&c);
	net_call_release(&d);
	teardown();
}

/* An outage of a minute of the only service, calls one after another and many at once. */
static void test_outage(void)
{
	static struct net_call c[50];
	unsigned most = 0, waves = 0;
	uint64_t begin;

	setup("{\"when\":{\"match\":\"\\\"down\\\"\"},\"reset\":true}\n" GOOD, NULL);
	begin = ahead;
	for (unsigned i = 0; i < 50; i++) {
		c[i].path = "/chat/completions";
		c[i].n_hops = 1;
		c[i].hops[0].body = STR("\"down\"");
		net_submit(n, &c[i], &e);
	}
	while (net_busy(n)) {
		struct net_call *done;

		if (ahead - begin > 60 * SEC && !waves++)
			for (unsigned i = 0; i < 50; i++) /* it is up again: what goes out from now on */
				c[i].hops[0].body = STR("\"fine\"");
		if (net_step(&done, n, 1000, &e))
			exit(1);
	}
	for (unsigned i = 0; i < 50; i++) {
		most = c[i].attempts > most ? c[i].attempts : most;
		if (c[i].err.code)
			OK(false, "call %u: %s", i, c[i].err.text);
		net_call_release(&c[i]);
	}
	OK(most <= 4, "an outage of a minute: 50 calls at once end well, after %u requests each at most", most);
	teardown();
}

/* A connection that was used before is reset: libcurl itself would ask again on a new one. */
static void test_reset(void)
{
	struct net_call c = { 0 };

	setup("{\"when\":{\"from\":1},\"reset\":true}\n" GOOD, NULL);
	call(&c);
	net_call_release(&c);
	c = (struct net_call){ 0 };
	call(&c);
	OK(c.err.code == ERR_SERVER && c.attempts == 4 && fault_requests(servers[0]) == 5,
	   "a reset of a kept connection: %u requests, %u counted", fault_requests(servers[0]) - 1, c.attempts);
	net_call_release(&c);
	teardown();
}

static void test_limits(void)
{
	static struct net_call c[30];
	struct net_call one = { 0 };
	unsigned good;

	opts = rig_opts();
	opts.deadline_ms = 1000;
	limits = (struct net_target){ .rpm = 600 };
	setup_opts(GOOD, NULL);
	good = batch(c, 30);
	OK(good == 30 && slept_ms() > 1950 && slept_ms() < 2500,
	   "600 a minute: 30 calls take %.1f s, and their deadlines begin with their turns", slept_ms() / 1000);
	teardown();

	limits = (struct net_target){ .tpm = 6000 };
	setup_opts(GOOD, NULL);
	memset(c, 0, sizeof c);
	for (int i = 0; i < 5; i++)
		c[i].hops[0].tokens = 100;
	good = batch(c, 5);
	OK(good == 5 && slept_ms() > 3900 && slept_ms() < 4500, "6000 tokens a minute: 5 calls of 100 take %.1f s",
	   slept_ms() / 1000);
	slept0 = ahead;
	one.hops[0].tokens = 100;
	if (net_used(n, &c[4], 0, &e))
		exit(1);
	call(&one);
	OK(!one.err.code && slept_ms() < 100, "what was reserved and not used comes back");
	net_call_release(&one);
	teardown();

	setup("{\"body\":\"{}\",\"headers\":[\"x-ratelimit-remaining-requests: 0\",\"x-ratelimit-reset-requests: 7s\"]}", NULL);
	memset(c, 0, sizeof c);
	good = batch(c, 1) + batch(c + 1, 1);
	OK(good == 2 && slept_ms() > 6900 && slept_ms() < 7100,
	   "the service says that nothing is left: the next call waits %.1f s", slept_ms() / 1000);
	teardown();

	setup("{\"status\":500,\"headers\":[\"x-ratelimit-remaining-tokens: 900\",\"x-ratelimit-reset-tokens: 6m0s\"]}\n" GOOD, NULL);
	memset(c, 0, sizeof c);
	good = batch(c, 1);
	OK(good == 1 && slept_ms() < 1000, "a 500 that tells of a limit with something left is no reason to wait");
	teardown();
}

static void refused(const char *plan, bool stream, const char *words, const char *what)
{
	struct net_call c = { 0 };

	if (stream)
		c.on_event = (net_event_fn *)(uintptr_t)1; /* there are no events */
	opts = rig_opts();
	opts.body_max = (size_t)1 << 20;
	setup_opts(plan, NULL);
	call(&c);
	if (!OK(c.err.code == ERR_SERVER && c.attempts == 1 && strstr(c.err.text, words), "%s: %s", what, c.err.text))
		printf("# %u attempts\n", c.attempts);
	net_call_release(&c);
	teardown();
}

static void test_too_much(void)
{
	struct net_call c = { 0 };

	refused("{\"endless\":true}", false, "longer than 1 MiB", "a body without end");
	refused("{\"endless\":true,\"body\":\": ping\\n\\n\",\"type\":\"text/event-stream\"}", true, "longer than 1 MiB",
		"a stream of pings without end");
	refused("{\"huge\":2500000,\"body\":\"{}\"}", false, "Too large response headers", "headers of 2.5 MB");
	setup("{\"huge\":250000,\"body\":\"{}\"}", NULL);
	call(&c);
	OK(!c.err.code, "headers of 250 kB pass");
	net_call_release(&c);
	teardown();
}

/* ---- TLS --------------------------------------------------------------------------------------- */

/* A call over TLS; `trusted`: CURL_CA_BUNDLE names the server's certificate. */
static void over_tls(const struct fault_opts *o, bool trusted, const char *wanted, const char *what)
{
	struct fault_opts with = *o;
	struct net_call c = { 0 };
	char url[64];
	unsigned at;

	with.plan = GOOD;
	with.seconds = 20;
	servers[0] = fault_start_opts(&with);
	if (!servers[0])
		exit(1);
	if (trusted)
		setenv("CURL_CA_BUNDLE", o->tls, 1);
	opts = rig_opts();
	net_new(&n, &opts, &e);
	snprintf(url, sizeof url, "https://127.0.0.1:%u/v1", fault_port(servers[0]));
	net_add_target(&at, n, &(struct net_target){ .base_url = url, .key = key }, &e);
	call(&c);
	if (wanted)
		OK(c.err.code == ERR_SERVER && c.attempts == 1 && fault_requests(servers[0]) == 0 &&
		   strstr(c.err.text, "CURL_CA_BUNDLE") && strstr(c.err.text, wanted), "%s: %s", what, c.err.text);
	else
		OK(!c.err.code, "%s: %s", what, c.err.code ? c.err.text : "good");
	net_call_release(&c);
	unsetenv("CURL_CA_BUNDLE");
	teardown();
}

static void test_tls(void)
{
	char path[] = "/tmp/llmu-cert.XXXXXX";
	struct net_call c = { 0 };
	struct err was;
	unsigned at;
	char url[64];

	setup(GOOD, NULL);
	snprintf(url, sizeof url, "https://127.0.0.1:%u/v1", fault_port(servers[0]));
	net_free(n);
	net_new(&n, &opts, &e);
	net_add_target(&at, n, &(struct net_target){ .base_url = url, .key = key }, &e);
	call(&c);
	was = c.err;
	OK(was.code == ERR_SERVER && c.attempts == 1 && strstr(was.text, "http://"), "https:// to a server without TLS: %s", was.text);
	net_call_release(&c);
	teardown();

	if (!fault_has_tls()) {
		SKIP("OpenSSL's headers were not there");
		return;
	}
	close(mkstemp(path));
	over_tls(&(struct fault_opts){ .tls = path }, false, "self-signed", "an unknown certificate is refused");
	over_tls(&(struct fault_opts){ .tls = path }, true, NULL, "CURL_CA_BUNDLE makes it known");
	over_tls(&(struct fault_opts){ .tls = path, .tls_name = "other.invalid" }, true, "127.0.0.1", "another's name is refused");
	over_tls(&(struct fault_opts){ .tls = path, .tls_days = -2 }, true, "expired", "a certificate of yesterday is refused");
	unlink(path);
}

/* ---- proxies ----------------------------------------------------------------------------------- */

struct proxy {
	int listener;
	unsigned port, n;
	bool refuse;
	char asked[4096]; /* the first request */
	pthread_t thread;
};

static int tunnel_to(const char *head)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const char *colon = strchr(head, ':');
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_port = htons((uint16_t)(colon ? strtoul(colon + 1, NULL, 10) : 0));
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Bytes both ways until one side ends. */
static void copy_both(int a, int b)
{
	struct pollfd p[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };
	char bytes[4096];

	while (poll(p, 2, 10000) > 0)
		for (int i = 0; i < 2; i++) {
			ssize_t got = p[i].revents ? recv(p[i].fd, bytes, sizeof bytes, 0) : 1;

			if (got <= 0 || (p[i].revents && send(p[!i].fd, bytes, (size_t)got, MSG_NOSIGNAL) != got))
				return;
		}
}

static void say(int fd, const char *text)
{
	send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* Tunnels, one after another, until the listener is shut down. */
static void *proxy_run(void *arg)
{
	struct proxy *p = arg;
	int a, b;

	while ((a = accept(p->listener, NULL, NULL)) >= 0) {
		size_t got = 0;
		ssize_t more;

		while (!strstr(p->asked, "\r\n\r\n") && (more = recv(a, p->asked + got, sizeof p->asked - 1 - got, 0)) > 0)
			got += (size_t)more;
		p->n++;
		b = p->refuse ? -1 : tunnel_to(p->asked);
		if (b < 0) {
			say(a, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
		} else {
			say(a, "HTTP/1.1 200 Go\r\nRetry-After: 99\r\n\r\n");
			copy_both(a, b);
			close(b);
		}
		close(a);
	}
	return NULL;
}

static void proxy_start(struct proxy *p)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof sa;

	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(p->listener, (struct sockaddr *)&sa, sizeof sa) || listen(p->listener, 8) ||
	    getsockname(p->listener, (struct sockaddr *)&sa, &len))
		exit(1);
	p->port = ntohs(sa.sin_port);
	if (pthread_create(&p->thread, NULL, proxy_run, p))
		exit(1);
}

static void proxy_stop(struct proxy *p)
{
	shutdown(p->listener, SHUT_RDWR);
	pthread_join(p->thread, NULL);
	close(p->listener);
}

/* A call to `url` with one variable of the environment set. */
static void by_env(struct net_call *c, const char *url, const char *name, const char *value)
{
	unsigned at;

	setenv(name, value, 1);
	opts = rig_opts();
	if (net_new(&n, &opts, &e) || net_add_target(&at, n, &(struct net_target){ .base_url = url, .key = key }, &e))
		exit(1);
	*c = (struct net_call){ 0 };
	call(c);
	net_free(n);
	net_call_release(c);
}

static void test_proxy(void)
{
	char path[] = "/tmp/llmu-cert.XXXXXX", url[64], via[64];
	struct proxy p = { 0 }, no = { .refuse = true };
	struct net_call c;

	servers[0] = fault_start(GOOD, 100, 20, NULL);
	snprintf(via, sizeof via, "http://127.0.0.1:%u", fault_port(servers[0]));
	by_env(&c, "http://service.invalid/v1", "http_proxy", via);
	OK(!c.err.code && fault_requests(servers[0]) == 1, "http_proxy takes the call");
	setenv("NO_PROXY", "localhost,service.invalid", 1);
	opts.max_retries = 0;
	by_env(&c, "http://service.invalid/v1", "http_proxy", via);
	OK(c.err.code == ERR_SERVER && fault_requests(servers[0]) == 1, "unless NO_PROXY names the host: %s", c.err.text);
	unsetenv("NO_PROXY");
	unsetenv("http_proxy");
	fault_stop(servers[0]);
	servers[0] = NULL;
	if (!fault_has_tls()) {
		SKIP("OpenSSL's headers were not there");
		return;
	}
	close(mkstemp(path));
	servers[0] = fault_start_opts(&(struct fault_opts){ .plan = GOOD, .seconds = 20, .tls = path });
	proxy_start(&p);
	proxy_start(&no);
	setenv("CURL_CA_BUNDLE", path, 1);
	snprintf(url, sizeof url, "https://127.0.0.1:%u/v1", fault_port(servers[0]));
	snprintf(via, sizeof via, "http://127.0.0.1:%u", p.port);
	by_env(&c, url, "HTTPS_PROXY", via);
	OK(!c.err.code && p.n == 1 && !strncmp(p.asked, "CONNECT 127.0.0.1:", 18) && fault_requests(servers[0]) == 1,
	   "HTTPS_PROXY tunnels: %s", c.err.code ? c.err.text : "good");
	OK(!strstr(p.asked, "sk-planted"), "and is not told the key");
	snprintf(via, sizeof via, "http://127.0.0.1:%u", no.port);
	by_env(&c, url, "HTTPS_PROXY", via);
	OK(c.err.code == ERR_SERVER && c.attempts == 1 && no.n == 1 && strstr(c.err.text, "403"), "a proxy that refuses: %s",
	   c.err.text);
	unsetenv("HTTPS_PROXY");
	unsetenv("CURL_CA_BUNDLE");
	proxy_stop(&p);
	proxy_stop(&no);
	unlink(path);
	fault_stop(servers[0]);
	servers[0] = NULL;
}

static void test_redirect(void)
{
	struct net_call c = { 0 };
	char plan[256];

	servers[1] = fault_start(GOOD, 100, 20, NULL);
	snprintf(plan, sizeof plan, "{\"status\":308,\"headers\":[\"Location: http://localhost:%u/v1/chat/completions\"]}",
		 fault_port(servers[1]));
	setup(plan, NULL);
	call(&c);
	OK(c.err.code == ERR_SERVER && c.attempts == 1 && fault_requests(servers[1]) == 0,
	   "a redirect to another host gets neither request nor key: %s", c.err.text);
	net_call_release(&c);
	teardown();
}

static void *interrupt(void *arg)
{
	(void)arg;
	nanosleep(&(struct timespec){ 0, 100000000 }, NULL);
	os_stop_request(SIGTERM);
	return NULL;
}

/* The last test: the stop stays asked for. */
static void test_signal(void)
{
	struct net_call c = { .path = "/x", .n_hops = 1 }, d = c, *done;
	uint64_t t0 = time_mono_ns();
	pthread_t t;

	opts = rig_opts();
	limits = (struct net_target){ .rpm = 1 };
	setup_opts("{\"delay_ms\":10000,\"body\":\"{}\"}", NULL);
	net_submit(n, &c, &e);
	net_submit(n, &d, &e);
	pthread_create(&t, NULL, interrupt, NULL);
	OK(net_step(&done, n, 20000, &e) == -1 && e.code == ERR_SIGNAL && e.sys == SIGTERM && time_mono_ns() - t0 < SEC,
	   "a signal ends the wait: %s", e.text);
	pthread_join(t, NULL);
	OK(!done && c.flight && net_busy(n), "what was under way is abandoned, not handed back");
	teardown();
	OK(!c.flight && !d.flight, "and forgotten with the client");
	net_call_release(&c);
	net_call_release(&d);
}

int main(void)
{
	rig_begin();
	test_hedge();
	test_budget();
	test_conflict();
	test_all_open();
	test_outage();
	test_reset();
	test_limits();
	test_too_much();
	test_tls();
	test_proxy();
	test_redirect();
	test_signal();
	return rig_end();
}
