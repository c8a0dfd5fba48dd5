/* Tests of calls against a server of planned faults on 127.0.0.1. */
#include "config.h"
#include "net/rig.h"

static void one(const char *script, enum err_code code, unsigned attempts, const char *what)
{
	struct net_call c = { 0 };

	setup(script, NULL);
	call(&c);
	if (!OK(c.err.code == code && c.attempts == attempts && fault_requests(servers[0]) == attempts, "%s", what))
		printf("# got %d after %u: %s\n", (int)c.err.code, c.attempts, c.err.text);
	OK(!strstr(c.err.text, "sk-planted") && !strstr(c.body.p ? c.body.p : "", "sk-planted"), "no key in: %s", c.err.text);
	net_call_release(&c);
	teardown();
}

static void test_answers(void)
{
	one("{\"body\":\"{}\"}", ERR_OK, 1, "an answer");
	one("{\"status\":503}\n{\"body\":\"{}\"}", ERR_OK, 2, "503, then an answer");
	one("{\"status\":500,\"body\":\"Bearer sk-planted-key\"}", ERR_SERVER, 4,
	    "a dead service: four attempts");
	one("{\"status\":501}", ERR_UNSUPPORTED, 1, "what a service has not got is asked for once");
	one("{\"status\":429,\"body\":\"{\\\"error\\\":{\\\"code\\\":\\\"insufficient_quota\\\"}}\"}", ERR_QUOTA, 1,
	    "an exhausted quota is not retried");
	one("{\"status\":402}", ERR_QUOTA, 1, "nor is 402");
	one("{\"status\":401,\"body\":\"{\\\"error\\\":{\\\"message\\\":\\\"bad sk-planted-key\\\"}}\"}", ERR_API_KEY, 1,
	    "401");
	one("{\"status\":404}", ERR_MODEL_NOT_FOUND, 1, "404");
	one("{\"status\":400,\"body\":\"{\\\"error\\\":{\\\"code\\\":\\\"context_length_exceeded\\\"}}\"}", ERR_CONTEXT_LENGTH,
	    1, "over the context");
	one("{\"status\":400,\"body\":\"{\\\"error\\\":{\\\"message\\\":\\\"bad sk-planted-key\\\"}}\"}", ERR_INVALID_FIELD, 1,
	    "another 400, with the key in its words");
	one("{\"body\":\"{\\\"error\\\":{\\\"message\\\":\\\"no sk-planted-key\\\"}}\"}", ERR_SERVER, 4, "an error under 200");
	one("{\"body\":\"{\\\"error\\\":{\\\"code\\\":400,\\\"message\\\":\\\"bad\\\"}}\"}", ERR_INVALID_FIELD, 1,
	    "that carries a status of its own");
	one("{\"status\":409}", ERR_INVALID_FIELD, 1, "409 without an idempotency key");
	one("{\"reset\":true}\n{\"body\":\"{}\"}", ERR_OK, 2, "a reset, then an answer");
	one("{\"body\":\"{\\\"a\\\":1}\",\"cut\":3}\n{\"body\":\"{}\"}", ERR_OK, 2, "a cut body, then an answer");
	one("{\"body\":\"<html>\",\"type\":\"text/html\"}", ERR_SERVER, 1, "a page of HTML");
	one("{\"body\":\"{\",\"type\":\"application/json\"}\n{\"body\":\"{}\"}", ERR_OK, 2, "torn JSON, then an answer");
	one("{\"body\":\"{}\",\"huge\":3000000}", ERR_SERVER, 1, "huge headers");
	one("{\"status\":307,\"headers\":[\"Location: http://localhost:1/\"]}", ERR_SERVER, 1, "a redirect is not followed");
}

static void test_waits(void)
{
	static const struct {
		const char *header;
		double ms;
	} told[] = { { "Retry-After: 2", 2000 }, { "retry-after-ms: 1500", 1500 },
		     { "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", 2000 }, { "x-ratelimit-reset-requests: 6m0s", 360000 } };
	static const char *const junk[] = { "-5", "\xc2\xb2", "" };
	char script[256];

	for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
		struct net_call c = { 0 };

		snprintf(script, sizeof script, "{\"status\":429,\"headers\":[\"%s\"]}\n{\"body\":\"{}\"}", told[i].header);
		setup(script, NULL);
		call(&c);
		OK(!c.err.code && c.attempts == 2 && slept_ms() >= told[i].ms - 1 && slept_ms() < told[i].ms + 50,
		   "%s: waited %.0f ms", told[i].header, slept_ms());
		net_call_release(&c);
		teardown();
	}
	for (size_t i = 0; i < 3; i++) {
		struct net_call c = { 0 };

		snprintf(script, sizeof script, "{\"status\":429,\"headers\":[\"Retry-After: %s\"]}\n{\"body\":\"{}\"}", junk[i]);
		setup(script, NULL);
		call(&c);
		OK(!c.err.code && c.attempts == 2 && slept_ms() < 500, "junk \"%s\": backoff of %.0f ms", junk[i], slept_ms());
		net_call_release(&c);
		teardown();
	}
	one("{\"status\":429,\"headers\":[\"Retry-After: 9000\"]}", ERR_RATE_LIMIT, 1, "a wait beyond the deadline fails at once");
}

static void test_timeout(void)
{
	struct net_call c = { 0 };

	opts = rig_opts();
	opts.timeout_ms = 150;
	opts.max_retries = 0;
	setup_opts("{\"body\":\"{}\",\"stall_ms\":5000}", NULL);
	call(&c);
	OK(c.err.code == ERR_TIMEOUT && (c.t_done - c.t_submit) / 1000000 < 2000, "a body that stalls: %s", c.err.text);
	net_call_release(&c);
	teardown();
}

static void test_fallback(void)
{
	unsigned before;

	setup("{\"status\":503}", "{\"chat\":\"hi\"}");
	for (int i = 0; i < 20; i++) {
		struct net_call c = { .n_hops = 2 };
		char last[4096];

		c.hops[1] = (struct net_hop){ .target = 1, .body = STR("{\"model\":\"other\"}"), .on = NET_ON_ALL };
		call(&c);
		if (!i) {
			fault_last(servers[1], last, sizeof last);
			OK(!c.err.code && c.hop == 1 && strstr(last, "\"other\""), "503: the other one, under its own name");
			OK(strstr(last, "Authorization: Bearer sk-planted-key"), "with the key");
		} else if (c.err.code || c.hop != 1) {
			OK(false, "call %d: %s", i, c.err.text);
		}
		net_call_release(&c);
		jump(NULL, 3 * 1000000000ull); /* 20 calls in a minute */
	}
	before = fault_requests(servers[0]);
	OK(before <= 4, "a minute's outage and 20 calls: %u requests to the dead one", before);
	teardown();

	setup("{\"status\":404}", NULL);
	for (int i = 0; i < 8; i++) {
		struct net_call c = { 0 };

		call(&c);
		if (c.err.code != ERR_MODEL_NOT_FOUND)
			OK(false, "404 number %d: %s", i, c.err.text);
		net_call_release(&c);
	}
	OK(fault_requests(servers[0]) == 8, "a wrong name does not open the breaker");
	teardown();
}

static void test_circuit(void)
{
	struct net_call c = { 0 }, d = { 0 }, g = { 0 };

	opts = rig_opts();
	opts.deadline_ms = 10000;
	opts.max_retries = 2;
	setup_opts("{\"status\":500}\n{\"status\":500}\n{\"status\":500}\n{\"body\":\"{}\"}", NULL);
	call(&c);
	OK(c.err.code == ERR_SERVER && c.attempts == 3, "three failures");
	call(&d);
	OK(d.err.code == ERR_CIRCUIT_OPEN && !d.attempts, "open: %s", d.err.text);
	jump(NULL, 31 * 1000000000ull);
	call(&g);
	OK(!g.err.code && g.attempts == 1, "half-open: the probe is answered");
	net_call_release(&c);
	net_call_release(&d);
	net_call_release(&g);
	teardown();
}

static int n_events;
static int count_event(void *arg, struct str event, struct str data, struct err *err)
{
	(void)arg, (void)event, (void)data, (void)err;
	n_events++;
	return 0;
}
static void restart(struct net_call *c)
{
	(void)c;
	n_events = 0;
}

static void stream(const char *script, enum err_code code, int events, unsigned attempts, const char *what)
{
	struct net_call c = { .on_event = count_event, .on_restart = restart };

	n_events = 0;
	setup(script, NULL);
	call(&c);
	if (!OK(c.err.code == code && n_events == events && c.attempts == attempts, "%s", what))
		printf("# %d events, %u attempts, %s\n", n_events, c.attempts, c.err.text);
	net_call_release(&c);
	teardown();
}

#define SSE "\"type\":\"text/event-stream\",\"chunks\""
static void test_stream(void)
{
	stream("{" SSE ":[\"data: {}\\n\\nda\",\"ta: {\\\"a\\\":1}\\r\\n\\r\\n: ping\\n\\ndata: [DONE]\\n\\n\"],\"gap_ms\":10}", ERR_OK, 2, 1,
	       "a stream");
	stream("{" SSE ":[\"data: {}\\n\\n\"]}\n{" SSE ":[\"data: {}\\n\\ndata: {}\\n\\ndata: [DONE]\\n\\n\"]}", ERR_OK, 2, 2,
	       "a torn stream is asked for again, whole");
	stream("{" SSE ":[\"data: {}\\n\\nevent: error\\ndata: {\\\"error\\\":{\\\"message\\\":\\\"overloaded\\\"}}\\n\\n\"]}\n"
	       "{" SSE ":[\"data: [DONE]\\n\\n\"]}", ERR_OK, 0, 2, "an error inside a stream too");
	stream("{" SSE ":[\"data: {\\\"choices\\\":[{\\\"index\\\":0,\\\"finish_reason\\\":\\\"stop\\\"}]}\\n\\n\"]}", ERR_OK, 1, 1,
	       "a stream without [DONE] whose choice has ended");
	stream("{" SSE ":[\"data: {\\\"choices\\\":[{\\\"index\\\":0,\\\"finish_reason\\\":\\\"stop\\\"}]}\\n\\n\","
	       "\"data: {\\\"choices\\\":[{\\\"index\\\":1,\\\"finish_reason\\\":null}]}\\n\\n\"]}", ERR_SERVER, 2, 4,
	       "one of two choices has not ended: torn");
	stream("{}", ERR_OK, 0, 1, "an answer that is no stream though one was asked for");
	stream("{" SSE ":[\"!!\\n\\u0001\\ndata: junk\\n\\ndata: {}\\n\\ndata: [DONE]\\n\\n\"]}", ERR_OK, 1, 1,
	       "junk in between is passed over");
}

static void test_many(void)
{
	struct net_call calls[40] = { 0 }, *done;
	unsigned good = 0, last = 0;

	setup("{\"chat\":\"x\",\"delay_ms\":20}", NULL);
	for (int i = 0; i < 40; i++) {
		calls[i].path = "/chat/completions";
		calls[i].n_hops = 1;
		calls[i].hops[0].body = STR("{\"model\":\"m\"}");
		net_submit(n, &calls[i], &e);
	}
	while (net_busy(n) && net_step(&done, n, 5000, &e) == 0)
		if (done) {
			good += !done->err.code && done->json.type == JSON_OBJECT;
			net_call_release(done);
			last++;
		}
	OK(good == 40 && last == 40, "40 calls at once");
	teardown();
}

static void test_urls(void)
{
	static const char *const bad[] = { "ftp://x/", "localhost", "http://user:sk-planted@x/", "", "https://x/?key=sk-planted" };
	unsigned at;

	setup("{}", NULL);
	for (size_t i = 0; i < 5; i++) {
		e = (struct err){ 0 };
		OK(net_add_target(&at, n, &(struct net_target){ .base_url = bad[i] }, &e) && e.code == ERR_USAGE &&
		   !strstr(e.text, "sk-planted"), "refused: %s", e.text);
	}
	teardown();
}

int main(void)
{
	rig_begin();
	test_answers();
	test_waits();
	test_timeout();
	test_fallback();
	test_circuit();
	test_stream();
	test_many();
	test_urls();
	return rig_end();
}
