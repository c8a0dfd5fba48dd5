/*
 * hosted: what a call costs. The same N calls, headers and all, with C in flight, against the server of tests/net:
 *
 *   hosted bare URL N C   a bare libcurl multi loop: curl_multi_poll(), as its manual has it
 *   hosted socket URL N C the fastest loop libcurl knows: curl_multi_socket_action() under epoll, handles used again
 *   hosted net URL N C    our client
 *
 * Prints {"case","n","calls","wall_s","cpu_us","rss_mb","good"}: cpu_us is processor time (user and system) a call.
 */
#include "config.h"
#include "net/net.h"
#include "os/os.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

struct job {
	CURL *easy;
	struct buf out;
	char body[256], key[64];
	struct curl_slist own; /* in front of the loop's headers */
};
struct loop {
	const char *url;
	CURLM *multi;
	struct curl_slist *headers;
	struct job *jobs;
	size_t n, flying, started, good;
	int poll;
	long timeout;
};

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct job *j = arg;

	buf_add(&j->out, p, size * n);
	return size * n;
}

static size_t write_body(char *out, size_t cap, size_t i)
{
	return (size_t)snprintf(out, cap, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Name the capital of "
				"country number %zu and say why.\"}],\"max_tokens\":200}", i);
}

static size_t write_key(char *out, size_t cap, size_t i)
{
	return (size_t)snprintf(out, cap, "Idempotency-Key: %032zx", i);
}

static void start(struct loop *l, struct job *j)
{
	if (l->started == l->n)
		return;
	buf_reset(&j->out);
	if (!j->easy) {
		j->easy = curl_easy_init();
		curl_easy_setopt(j->easy, CURLOPT_URL, l->url);
		curl_easy_setopt(j->easy, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(j->easy, CURLOPT_ACCEPT_ENCODING, "gzip");
		curl_easy_setopt(j->easy, CURLOPT_WRITEFUNCTION, on_body);
		curl_easy_setopt(j->easy, CURLOPT_WRITEDATA, j);
		curl_easy_setopt(j->easy, CURLOPT_PRIVATE, j);
		curl_easy_setopt(j->easy, CURLOPT_TIMEOUT_MS, 120000L);
		curl_easy_setopt(j->easy, CURLOPT_POSTFIELDS, j->body);
	}
	write_key(j->key, sizeof j->key, l->started);
	j->own = (struct curl_slist){ j->key, l->headers };
	curl_easy_setopt(j->easy, CURLOPT_HTTPHEADER, &j->own);
	curl_easy_setopt(j->easy, CURLOPT_POSTFIELDSIZE, (long)write_body(j->body, sizeof j->body, l->started++));
	curl_multi_add_handle(l->multi, j->easy);
	l->flying++;
}

static void settle(struct loop *l)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(l->multi, &left))) {
		struct job *j;
		long status = 0;

		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&j);
		curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
		if (m->data.result == CURLE_OK && status == 200 && j->out.n > 100)
			l->good++;
		else
			fprintf(stderr, "hosted: %s, status %ld, %zu bytes\n", curl_easy_strerror(m->data.result), status, j->out.n);
		curl_multi_remove_handle(l->multi, j->easy);
		l->flying--;
		start(l, j);
	}
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct loop *l = arg;
	struct epoll_event ev = { .events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0),
				  .data.fd = fd };

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(l->poll, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	epoll_ctl(l->poll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev);
	if (!known)
		curl_multi_assign(l->multi, fd, l);
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	(void)multi;
	((struct loop *)arg)->timeout = ms;
	return 0;
}

static void turn(struct loop *l, bool socket)
{
	struct epoll_event ev[256];
	int running, n;

	if (!socket) {
		curl_multi_perform(l->multi, &running);
		settle(l);
		curl_multi_poll(l->multi, NULL, 0, 1000, NULL);
		return;
	}
	n = epoll_wait(l->poll, ev, 256, l->timeout < 0 || l->timeout > 1000 ? 1000 : (int)l->timeout);
	if (!n || l->timeout == 0)
		curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	for (int i = 0; i < n; i++)
		curl_multi_socket_action(l->multi, ev[i].data.fd, (ev[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
					 (ev[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0), &running);
	settle(l);
}

static size_t run_bare(const char *url, size_t n, size_t c, bool socket)
{
	struct loop l = { .n = n, .timeout = -1 };
	char full[256];

	curl_global_init(CURL_GLOBAL_DEFAULT);
	snprintf(full, sizeof full, "%s/chat/completions", url);
	l.url = full;
	l.multi = curl_multi_init();
	l.headers = curl_slist_append(NULL, "Content-Type: application/json");
	l.headers = curl_slist_append(l.headers, "User-Agent: llm-utils/" PACKAGE_VERSION);
	l.headers = curl_slist_append(l.headers, "Authorization: Bearer sk-bench");
	l.jobs = calloc(c, sizeof *l.jobs);
	l.poll = epoll_create1(EPOLL_CLOEXEC);
	if (socket) {
		curl_multi_setopt(l.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
		curl_multi_setopt(l.multi, CURLMOPT_SOCKETDATA, &l);
		curl_multi_setopt(l.multi, CURLMOPT_TIMERFUNCTION, on_timer);
		curl_multi_setopt(l.multi, CURLMOPT_TIMERDATA, &l);
	}
	for (size_t i = 0; i < c; i++) {
		buf_init(&l.jobs[i].out, 1 << 20);
		start(&l, &l.jobs[i]);
	}
	while (l.flying)
		turn(&l, socket);
	return l.good;
}

static size_t run_net(const char *url, size_t n, size_t c)
{
	struct net_opts o = NET_OPTS_INIT;
	struct call {
		struct net_call c;
		char body[256], key[64];
	} *calls = calloc(c, sizeof *calls);
	struct net_key *key;
	struct err e = { 0 };
	size_t started = 0, good = 0;
	struct net *net;
	unsigned at;

	setenv("BENCH_KEY", "sk-bench", 1);
	if (!calls || net_key_env(&key, "BENCH_KEY", &e) || net_new(&net, &o, &e) ||
	    net_add_target(&at, net, &(struct net_target){ .base_url = url, .key = key }, &e))
		return 0;
	for (size_t i = 0; i < c + n; i++) { /* the first c turns only submit */
		struct net_call *done = NULL;
		struct call *k = i < c ? &calls[i] : NULL;

		while (!k && net_busy(net) && !done)
			if (net_step(&done, net, 1000, &e))
				return 0;
		if (done) {
			k = (struct call *)done;
			good += !done->err.code && json_get(done->json, "choices").type == JSON_ARRAY;
			net_call_release(done);
		}
		if (started == n || !k)
			continue;
		k->c = (struct net_call){ .path = "/chat/completions", .n_hops = 1 };
		write_key(k->key, sizeof k->key, started);
		k->c.idempotency = k->key + strlen("Idempotency-Key: ");
		k->c.hops[0].body = (struct str){ k->body, write_body(k->body, sizeof k->body, started++) };
		if (net_submit(net, &k->c, &e))
			return 0;
	}
	net_free(net);
	net_key_free(key);
	free(calls);
	return good;
}

int main(int argc, char **argv)
{
	uint64_t n, c, t0;
	struct rlimit lim;
	struct rusage ru;
	size_t good;
	double us;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) { /* a connection is a descriptor: our client sees to it by itself */
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	if (argc != 5 || num_u64(&n, str_of(argv[3]), 1, 100000000, NULL) || num_u64(&c, str_of(argv[4]), 1, 60000, NULL))
		return 2;
	t0 = time_mono_ns();
	good = strcmp(argv[1], "net") ? run_bare(argv[2], n, c, !strcmp(argv[1], "socket")) : run_net(argv[2], n, c);
	getrusage(RUSAGE_SELF, &ru);
	us = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e6 + (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
	printf("{\"case\":\"%s\",\"n\":%zu,\"calls\":%zu,\"wall_s\":%.3f,\"cpu_us\":%.2f,\"rss_mb\":%.1f,\"good\":%zu}\n", argv[1],
	       (size_t)c, (size_t)n, (double)(time_mono_ns() - t0) / 1e9, us / (double)n, (double)ru.ru_maxrss / 1024, good);
	return good == n ? 0 : 1;
}
