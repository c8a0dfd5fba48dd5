/* Tests of the parts of net that need no network. */
#include "config.h"
#include "net/net.h"
#include "tap.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define S(n) ((uint64_t)(n) * 1000000000u)

static int64_t hint(const char *name, const char *value, int64_t now_ms)
{
	struct net_hint h;

	net_hint_init(&h);
	net_hint_add(&h, str_of(name), str_of(value));
	return net_hint_wait(&h, true, now_ms);
}

static void test_hints(void)
{
	static const char *const junk[] = { "-5", "\xc2\xb2", "", "abc", "1e3", "+1", ".5", "Sun, 99 Nov 1994 08:49:37 GMT" };
	struct net_hint h;

	OK(hint("Retry-After", "2", 0) == 2000, "Retry-After in seconds");
	OK(hint("retry-after", " 1.5 ", 0) == 1500, "and with a fraction");
	OK(hint("Retry-After-Ms", "250", 0) == 250, "retry-after-ms");
	OK(hint("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT", 784111775000) == 2000, "an HTTP date");
	OK(hint("Retry-After", "Sunday, 06-Nov-94 08:49:37 GMT", 784111775000) == 2000, "the form of RFC 850");
	OK(hint("Retry-After", "Sun Nov  6 08:49:37 1994", 784111775000) == 2000, "the form of asctime");
	OK(hint("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT", 1784111775000) == 0, "a date in the past is 0");
	for (size_t i = 0; i < sizeof junk / sizeof *junk; i++)
		OK(hint("Retry-After", junk[i], 0) == -1, "junk \"%s\" says nothing", junk[i]);
	OK(hint("Retry-After", "99999999999999999999", 0) >= -1, "a number too large does not overflow");
	OK(hint("x-ratelimit-reset-requests", "120ms", 0) == 120 && hint("x-ratelimit-reset-tokens", "6m0s", 0) == 360000,
	   "resets as durations");
	OK(hint("anthropic-ratelimit-tokens-reset", "1994-11-06T08:49:37Z", 784111775000) == 2000, "a reset as a date");
	OK(net_parse_duration(STR("1h2m3.5s")) == 3723500 && net_parse_duration(STR("12")) == 12000 &&
	   net_parse_duration(STR("5x")) == -1 && net_parse_duration(STR("")) == -1 && net_parse_duration(STR("s")) == -1,
	   "durations");
	net_hint_init(&h);
	net_hint_add(&h, STR("Retry-After"), STR("9"));
	net_hint_add(&h, STR("retry-after-ms"), STR("100"));
	OK(net_hint_wait(&h, true, 0) == 100, "the finer header wins");
	net_hint_init(&h);
	net_hint_add(&h, STR("Date"), STR("Sun, 06 Nov 1994 08:49:30 GMT"));
	net_hint_add(&h, STR("Retry-After"), STR("Sun, 06 Nov 1994 08:49:37 GMT"));
	OK(net_hint_wait(&h, true, 0) == 7000, "a date counts from the service's clock");
	net_hint_init(&h);
	net_hint_add(&h, STR("x-ratelimit-reset-requests"), STR("1s"));
	net_hint_add(&h, STR("x-ratelimit-remaining-requests"), STR("0"));
	net_hint_add(&h, STR("x-ratelimit-reset-tokens"), STR("6m0s"));
	net_hint_add(&h, STR("x-ratelimit-remaining-tokens"), STR("900"));
	OK(net_hint_wait(&h, true, 0) == 1000 && net_hint_drained(&h, 0) == 1000, "the limit that is used up counts");
}

static void test_backoff(void)
{
	bool below = true, reaches = false;
	struct rng r = { .key = 1 };

	for (unsigned n = 0; n < 200; n++)
		for (int k = 0; k < 20; k++) {
			uint64_t top = n < 6 ? (uint64_t)500 << n : 30000, w = net_backoff(500, 30000, n, rng_f64(&r));

			below = below && w < (top < 30000 ? top : 30000);
			reaches = reaches || w > 25000;
		}
	OK(below, "no backoff passes its cap");
	OK(reaches, "and some come near it");
}

static void test_breaker(void)
{
	struct net_breaker b = { 0 };
	uint64_t t = 0, old, probe;

	for (int i = 0; i < 3; i++) {
		OK(net_breaker_admit(&t, &b, S(i)) == 0, "closed: call %d", i);
		net_breaker_result(&b, t, NET_BAD, S(i), -1);
	}
	old = t;
	OK(b.state == NET_OPEN && net_breaker_admit(&t, &b, S(3)) == S(32), "three in a row open it for 30 s");
	OK(net_breaker_admit(&probe, &b, S(32)) == 0 && b.state == NET_HALF_OPEN, "then a probe goes");
	OK(net_breaker_admit(&t, &b, S(32)) == NET_NEVER, "one at a time");
	net_breaker_result(&b, old, NET_GOOD, S(32), -1);
	OK(b.state == NET_HALF_OPEN && b.probing, "a late result of before is ignored");
	net_breaker_result(&b, probe, NET_BAD, S(33), -1);
	OK(b.state == NET_OPEN && b.until == S(93), "a bad probe doubles the time");
	for (int i = 0; i < 10; i++) {
		uint64_t at = b.until;

		net_breaker_admit(&probe, &b, at);
		net_breaker_result(&b, probe, NET_BAD, at, -1);
	}
	OK(b.open_for == S(600), "up to ten minutes");
	for (int i = 0; i < 2; i++) {
		OK(b.state != NET_CLOSED && net_breaker_admit(&probe, &b, b.until) == 0, "probe %d", i);
		net_breaker_result(&b, probe, NET_GOOD, b.until, -1);
	}
	OK(b.state == NET_CLOSED, "two successes close it");
	b = (struct net_breaker){ 0 };
	for (int i = 0; i < 20; i++) {
		net_breaker_admit(&t, &b, S(i));
		net_breaker_result(&b, t, NET_NEITHER, S(i), -1);
	}
	OK(b.state == NET_CLOSED, "the caller's own mistakes never open it");
	for (int i = 0; i < 5; i++) {
		net_breaker_admit(&t, &b, S(20));
		net_breaker_result(&b, t, i & 1 ? NET_GOOD : NET_BAD, S(20), -1);
	}
	OK(b.state == NET_OPEN, "half of five in 60 s open it");
	b = (struct net_breaker){ 0 };
	for (int i = 0; i < 8; i++) {
		net_breaker_admit(&t, &b, S(100 * i));
		net_breaker_result(&b, t, i & 1 ? NET_BAD : NET_GOOD, S(100 * i), -1);
	}
	OK(b.state == NET_CLOSED, "what is older than 60 s does not count");
	for (int i = 0; i < 3; i++)
		net_breaker_result(&b, b.generation, NET_BAD, S(2000), 5000);
	OK(b.until == S(2005), "it stays open as long as the service said");
	b = (struct net_breaker){ 0 };
	for (int i = 0; i < 30; i++)
		net_breaker_result(&b, b.generation, NET_GOOD, S(i), -1);
	for (int i = 0; i < 5; i++)
		net_breaker_result(&b, b.generation, NET_BAD, S(30), -1);
	OK(b.state == NET_CLOSED, "a busy service may fail five times in a row");
	net_breaker_result(&b, b.generation, NET_BAD, S(30), -1);
	OK(b.state == NET_OPEN, "and not six times");
	b = (struct net_breaker){ .state = NET_OPEN, .until = 5 };
	net_breaker_admit(&probe, &b, 5);
	net_breaker_result(&b, probe, NET_NEITHER, 6, -1);
	OK(net_breaker_admit(&probe, &b, 6) == 0, "an abandoned probe makes room for another");
}

static void test_bucket(void)
{
	struct net_bucket b;
	uint64_t now = 0;
	unsigned sent = 0;

	net_bucket_init(&b, 600, now);
	while (now < S(60)) {
		uint64_t w = net_bucket_when(&b, 1, now);

		if (w) {
			now = w;
			continue;
		}
		net_bucket_take(&b, 1);
		sent++;
	}
	OK(sent >= 599 && sent <= 611, "600 a minute lets %u through in the first", sent);
	net_bucket_init(&b, 6000, 0);
	OK(net_bucket_when(&b, 500, 0) == 0, "a need over the bucket goes when it is full");
	net_bucket_take(&b, 500);
	now = net_bucket_when(&b, 100, 0);
	OK(now >= S(4) + S(1) - 2 && now <= S(5) + 2, "and is paid back");
	net_bucket_take(&b, -400);
	OK(net_bucket_when(&b, 100, S(1)) == 0, "what was not used comes back");
	net_bucket_init(&b, 0, 0);
	net_bucket_take(&b, 1e9);
	OK(net_bucket_when(&b, 1e9, 0) == 0, "0 is no limit");
}

static int gather(void *arg, struct str event, struct str data, struct err *e)
{
	(void)e;
	buf_addf(arg, "<" STR_FMT "|" STR_FMT ">", STR_ARG(event), STR_ARG(data));
	return 0;
}

/* The events of text in pieces of n bytes. */
static const char *events(const char *text, size_t n, bool *done)
{
	static struct buf out;
	struct net_sse s;
	struct err e = { 0 };
	size_t len = strlen(text);

	buf_release(&out);
	buf_init(&out, 4096);
	net_sse_init(&s, 1024);
	for (size_t i = 0; i < len; i += n)
		if (net_sse_feed(&s, (struct str){ text + i, len - i < n ? len - i : n }, gather, &out, &e)) {
			net_sse_release(&s);
			return "refused";
		}
	*done = s.done;
	net_sse_release(&s);
	return out.p ? out.p : "";
}

static void test_sse(void)
{
	static const char text[] = "\xef\xbb\xbf: hello\r\ndata: one\r\n\r\nevent:x\ndata:  two\ndata\ndata:three\n\nid: 7\rjunk\r"
				   "data: four\r\rdata: [DONE]\n\ndata: five\n\n";
	bool done = false;

	for (size_t n = 1; n < sizeof text; n++)
		if (strcmp(events(text, n, &done), "<|one><x| two\n\nthree><|four>") || !done) {
			OK(false, "events in pieces of %zu", n);
			return;
		}
	OK(true, "events in pieces of every size");
	OK(strcmp(events("data: torn\n", 3, &done), "") == 0 && !done, "an event without its end is none");
	struct buf big;
	buf_init(&big, 4096);
	buf_addz(&big, "data: ");
	for (int i = 0; i < 2000; i++)
		buf_addc(&big, 'x');
	OK(strcmp(events(big.p, 7, &done), "refused") == 0, "an event that is too long is refused");
	buf_release(&big);
}

static void test_keys(void)
{
	char path[] = "/tmp/llmu-key.XXXXXX";
	struct net_key *k = NULL;
	struct err e = { 0 };
	int fd = mkstemp(path);

	OK(fd >= 0 && write(fd, " sk-secret \n", 12) == 12, "a file with a key");
	fchmod(fd, 0644);
	OK(net_key_file(&k, path, &e) && e.code == ERR_API_KEY && strstr(e.text, "chmod 600") && !strstr(e.text, "secret"),
	   "others can read it: refused");
	fchmod(fd, 0600);
	OK(net_key_file(&k, path, &e) == 0 && strstr(net_key_from(k), "llmu-key"), "mode 600 is fine");
	net_key_free(k);
	lseek(fd, 0, SEEK_SET);
	OK(net_key_fd(&k, fd, &e) == 0, "from a descriptor");
	net_key_free(k);
	close(fd);
	unlink(path);
	OK(net_key_file(&k, path, &e) && e.code == ERR_API_KEY, "no such file");
	OK(net_key_cmd(&k, "echo key", &e) == 0, "from a command");
	net_key_free(k);
	OK(net_key_cmd(&k, "echo key; exit 3", &e) && strstr(e.text, "status 3") && !k, "a command that fails");
	OK(net_key_cmd(&k, "printf 'a\\nb\\n'", &e) && !strstr(e.text, "a\nb"), "two lines are no key");
	setenv("LLMU_TEST_KEY", "sk-env", 1);
	OK(net_key_env(&k, "LLMU_TEST_KEY", &e) == 0 && k && !getenv("LLMU_TEST_KEY"), "taken out of the environment");
	net_key_free(k);
	OK(net_key_env(&k, "LLMU_TEST_KEY", &e) == 0 && !k, "not set: none");
}

int main(void)
{
	test_hints();
	test_backoff();
	test_breaker();
	test_bucket();
	test_sse();
	test_keys();
	return tap_done();
}
