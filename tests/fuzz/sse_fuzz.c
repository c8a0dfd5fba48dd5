/* Any bytes as an event stream: however they are cut, the events are the same, and none is longer than its limit. */
#include "config.h"
#include "net/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EVENT_MAX 256

struct seen {
	uint64_t hash;
	size_t n;
};

static int see(void *arg, struct str event, struct str data, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	if (data.n > EVENT_MAX || event.n > EVENT_MAX)
		__builtin_trap();
	s->hash = hash64(data.p, data.n, hash64(event.p, event.n, s->hash));
	s->n++;
	return 0;
}

/* Feeds all of it in pieces of `step` bytes; 0 or -1 as the parser says. */
static int feed(struct seen *out, const uint8_t *p, size_t n, size_t step)
{
	struct net_sse s;
	int rc = 0;

	*out = (struct seen){ 0 };
	net_sse_init(&s, EVENT_MAX);
	for (size_t i = 0; i < n && !rc; i += step)
		rc = net_sse_feed(&s, (struct str){ (const char *)p + i, n - i < step ? n - i : step }, see, out, NULL);
	net_sse_release(&s);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole, cut;
	struct net_hint h;

	int rc = feed(&whole, data, size, size ? size : 1);
	for (size_t step = 1; step < 8; step += 2)
		if (feed(&cut, data, size, step) != rc || cut.n != whole.n || cut.hash != whole.hash)
			__builtin_trap();
	net_hint_init(&h);
	for (const char *name = "retry-after"; name; name = *name == 'r' ? "x-ratelimit-reset-tokens" : NULL)
		net_hint_add(&h, str_of(name), (struct str){ (const char *)data, size });
	if (net_hint_wait(&h, true, 0) < -1 || net_hint_wait(&h, false, 0) < -1)
		__builtin_trap();
	return 0;
}
