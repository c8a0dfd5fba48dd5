/* net_wait: backoff, breaker and buckets: arithmetic on the times that are passed in. */
#include "config.h"
#include "net/net.h"
#include "base/banned.h"

#define SEC ((uint64_t)1000000000)
#define MS ((uint64_t)1000000)
#define SLOT (5 * SEC)
#define IN_A_ROW 3
#define BUSY_IN_A_ROW 6 /* of a busy service: of one call in ten that fails at random, three in a row are one in a thousand */
#define BUSY 20          /* results in the last 60 s */
#define AT_LEAST 5
#define OPEN_FOR (30 * SEC)
#define OPEN_MAX (600 * SEC)
#define PROBE_MAX (120 * SEC)

uint64_t net_backoff(uint64_t base_ms, uint64_t cap_ms, unsigned n, double u)
{
	uint64_t top = n < 32 && base_ms <= cap_ms >> n ? base_ms << n : cap_ms;

	return (uint64_t)((double)top * u);
}

/* ---- breaker ----------------------------------------------------------------------------------- */

static void change(struct net_breaker *b, int state)
{
	b->state = (__typeof__(b->state))state;
	b->generation++;
	b->in_a_row = b->successes = 0;
	b->probing = false;
	memset(b->seen, 0, sizeof b->seen);
}

static void trip(struct net_breaker *b, uint64_t now, int64_t told_ms)
{
	if (b->state == NET_HALF_OPEN)
		b->open_for = b->open_for < OPEN_MAX / 2 ? b->open_for * 2 : OPEN_MAX;
	else
		b->open_for = OPEN_FOR;
	change(b, NET_OPEN);
	b->until = now + (told_ms >= 0 ? (uint64_t)told_ms * MS : b->open_for);
}

uint64_t net_breaker_admit(uint64_t *ticket, struct net_breaker *b, uint64_t now)
{
	if (b->state == NET_OPEN) {
		if (now < b->until)
			return b->until;
		change(b, NET_HALF_OPEN);
	}
	if (b->state == NET_HALF_OPEN) {
		if (b->probing && now < b->probe_until)
			return NET_NEVER;
		b->probing = true;
		b->probe_until = now + PROBE_MAX;
	}
	*ticket = b->generation;
	return 0;
}

/* Counts a result in its 5 s; says whether the last 60 s, or the last results in a row, are bad enough. */
static bool too_many(struct net_breaker *b, bool good, uint64_t now)
{
	uint64_t slot = now / SLOT + 1, n_good = 0, n_bad = 0;
	size_t at = slot % NET_SLOTS;

	if (b->seen[at].slot != slot) {
		b->seen[at].slot = slot;
		b->seen[at].good = b->seen[at].bad = 0;
	}
	*(good ? &b->seen[at].good : &b->seen[at].bad) += 1;
	for (size_t i = 0; i < NET_SLOTS; i++)
		if (b->seen[i].slot + NET_SLOTS > slot) {
			n_good += b->seen[i].good;
			n_bad += b->seen[i].bad;
		}
	return (n_good + n_bad >= AT_LEAST && n_bad * 2 >= n_good + n_bad) ||
	       b->in_a_row >= (n_good + n_bad < BUSY ? IN_A_ROW : BUSY_IN_A_ROW);
}

void net_breaker_result(struct net_breaker *b, uint64_t ticket, enum net_result r, uint64_t now, int64_t told_ms)
{
	if (ticket != b->generation || b->state == NET_OPEN)
		return;
	if (b->state == NET_HALF_OPEN) {
		b->probing = false;
		if (r == NET_BAD)
			trip(b, now, told_ms);
		else if (r == NET_GOOD && ++b->successes == 2)
			change(b, NET_CLOSED);
		return;
	}
	if (r == NET_NEITHER)
		return;
	b->in_a_row = r == NET_BAD ? b->in_a_row + 1 : 0;
	if (too_many(b, r == NET_GOOD, now) && r == NET_BAD)
		trip(b, now, told_ms);
}

/* ---- buckets ----------------------------------------------------------------------------------- */

static double hold(const struct net_bucket *b)
{
	return b->per_min > 60 ? b->per_min / 60 : 1;
}

void net_bucket_init(struct net_bucket *b, double per_min, uint64_t now)
{
	*b = (struct net_bucket){ .per_min = per_min, .at = now };
	b->level = hold(b);
}

uint64_t net_bucket_when(struct net_bucket *b, double need, uint64_t now)
{
	double most = hold(b), lacks;

	if (b->per_min <= 0)
		return 0;
	if (now > b->at) { /* another process may have been here a moment later */
		b->level += (double)(now - b->at) * b->per_min / 60e9;
		b->at = now;
	}
	if (b->level > most)
		b->level = most;
	lacks = (need < most ? need : most) - b->level;
	if (lacks <= 1e-9)
		return 0;
	return now + (uint64_t)(lacks * 60e9 / b->per_min) + 1;
}

void net_bucket_take(struct net_bucket *b, double need)
{
	if (b->per_min > 0)
		b->level -= need;
}
