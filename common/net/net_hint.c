/*
 * net_hint: what an answer's headers say of waiting. Retry-After is seconds or a date (RFC 9110 10.2.3); retry-after-ms and
 * x-ratelimit-* are OpenAI's, anthropic-ratelimit-* Anthropic's. A header that makes no sense is as good as none.
 */
#include "config.h"
#include "net/net.h"
#include <strings.h>
#include "base/banned.h"

#define WAIT_MAX_MS ((int64_t)365 * 86400 * 1000)

void net_hint_init(struct net_hint *h)
{
	h->retry_ms = h->retry_at = h->date = -1;
	for (size_t i = 0; i < 4; i++)
		h->limit[i].left = h->limit[i].in_ms = h->limit[i].at_ms = -1;
}

/* Digits with at most one point, as ms when the number is in units of `unit_ms`; -1 for anything else. */
static int64_t decimal_ms(struct str s, double unit_ms)
{
	double v;

	if (!s.n || s.p[0] == '.' || s.p[0] == '+')
		return -1;
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '.')
			return -1;
	if (num_f64(&v, s, 0, (double)WAIT_MAX_MS, NULL))
		return -1;
	v *= unit_ms;
	if (v > (double)WAIT_MAX_MS)
		return WAIT_MAX_MS;
	return (int64_t)v + ((double)(int64_t)v < v); /* never shorter than said */
}

int64_t net_parse_duration(struct str s)
{
	static const struct {
		const char *name;
		double ms;
	} units[] = { { "ms", 1 }, { "us", 1e-3 }, { "ns", 1e-6 }, { "h", 3.6e6 }, { "m", 6e4 }, { "s", 1e3 } };
	int64_t sum = 0, part;
	size_t i = 0;

	s = str_trim(s);
	if (s.n > 64)
		return -1;
	part = decimal_ms(s, 1000);
	if (part >= 0)
		return part;
	while (i < s.n) {
		size_t from = i, u;
		struct str rest;

		while (i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '.'))
			i++;
		rest = str_sub(s, i, s.n);
		for (u = 0; u < sizeof units / sizeof *units; u++)
			if (str_starts(rest, str_of(units[u].name)))
				break;
		if (u == sizeof units / sizeof *units)
			return -1;
		part = decimal_ms(str_sub(s, from, i), units[u].ms);
		if (part < 0)
			return -1;
		sum += part;
		i += strlen(units[u].name);
	}
	return s.n ? (sum < WAIT_MAX_MS ? sum : WAIT_MAX_MS) : -1;
}

/* ---- dates ------------------------------------------------------------------------------------- */

/* The next word of a date: letters and digits; everything else only separates, ':' too. */
static struct str word(struct str *s)
{
	size_t i = 0, from;

	while (i < s->n && strchr(" ,-:\t", s->p[i]))
		i++;
	from = i;
	while (i < s->n && !strchr(" ,-:\t", s->p[i]))
		i++;
	struct str w = str_sub(*s, from, i);
	*s = str_sub(*s, i, s->n);
	return w;
}

static bool number(int64_t *out, struct str s, int64_t min, int64_t max)
{
	return s.n && s.p[0] >= '0' && s.p[0] <= '9' && !num_i64(out, s, min, max, NULL);
}

static bool month(int64_t *out, struct str s)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (int64_t i = 0; i < 12; i++)
		if (s.n == 3 && memcmp(s.p, names + 3 * i, 3) == 0) {
			*out = i + 1;
			return true;
		}
	return false;
}

int64_t net_parse_date(struct str s)
{
	int64_t day, mon, year, h, m, sec;
	struct str w[8];
	size_t n = 0;
	bool good;

	s = str_trim(s);
	if (s.n > 64)
		return -1;
	while (n < 8 && (w[n] = word(&s)).n)
		n++;
	if (n == 8 && str_is(w[7], "GMT") && word(&s).n == 0) /* Sun, 06 Nov 1994 08:49:37 GMT, or its elder with 94 */
		good = number(&day, w[1], 1, 31) && month(&mon, w[2]) && number(&year, w[3], 0, 9999) &&
		       number(&h, w[4], 0, 23) && number(&m, w[5], 0, 59) && number(&sec, w[6], 0, 60);
	else if (n == 7) /* Sun Nov  6 08:49:37 1994 */
		good = month(&mon, w[1]) && number(&day, w[2], 1, 31) && number(&h, w[3], 0, 23) &&
		       number(&m, w[4], 0, 59) && number(&sec, w[5], 0, 60) && number(&year, w[6], 1000, 9999);
	else
		return -1;
	if (!good)
		return -1;
	if (year < 100)
		year += year < 70 ? 2000 : 1900;
	if (year < 1970)
		return 0; /* long past: the same as now */
	return time_days_from_civil(year, (unsigned)mon, (unsigned)day) * 86400 + h * 3600 + m * 60 + sec;
}

/* ---- headers ----------------------------------------------------------------------------------- */

static bool named(struct str s, const char *name)
{
	return s.n == strlen(name) && strncasecmp(s.p, name, s.n) == 0;
}

/* RFC 3339 in ms, a fraction counted as a whole second. */
static int64_t rfc3339_ms(struct str s)
{
	int64_t t;

	if (time_parse(&t, s, NULL) || t < 0 || t > INT64_MAX / 2000)
		return -1;
	return (t + (str_find(s, STR("."), 0) < s.n)) * 1000;
}

static void limit_header(struct net_hint *h, struct str name, struct str value)
{
	static const char *const kinds[4] = { "requests", "tokens", "input-tokens", "output-tokens" };
	char text[64];

	if (name.n < 20 || (strncasecmp(name.p, "x-ratelimit-", 12) && strncasecmp(name.p, "anthropic-ratelimit-", 20)))
		return; /* as nearly all headers do */
	for (size_t i = 0; i < 4; i++) {
		snprintf(text, sizeof text, "x-ratelimit-remaining-%s", kinds[i]);
		if (named(name, text) || (snprintf(text, sizeof text, "anthropic-ratelimit-%s-remaining", kinds[i]),
					  named(name, text))) {
			if (!number(&h->limit[i].left, value, 0, INT64_MAX))
				h->limit[i].left = -1;
			return;
		}
		snprintf(text, sizeof text, "x-ratelimit-reset-%s", kinds[i]);
		if (named(name, text)) {
			h->limit[i].in_ms = net_parse_duration(value);
			return;
		}
		snprintf(text, sizeof text, "anthropic-ratelimit-%s-reset", kinds[i]);
		if (named(name, text)) {
			h->limit[i].at_ms = rfc3339_ms(value);
			return;
		}
	}
}

void net_hint_add(struct net_hint *h, struct str name, struct str value)
{
	value = str_trim(value);
	if (named(name, "retry-after-ms")) {
		int64_t ms = decimal_ms(value, 1);

		if (ms >= 0)
			h->retry_ms = ms;
	} else if (named(name, "retry-after")) {
		if (h->retry_ms < 0) /* the finer one, if it came first, stays */
			h->retry_ms = decimal_ms(value, 1000);
		h->retry_at = net_parse_date(value);
	} else if (named(name, "date")) {
		h->date = net_parse_date(value);
	} else {
		limit_header(h, name, value);
	}
}

static int64_t limit_wait(const struct net_hint *h, size_t i, int64_t now_ms)
{
	if (h->limit[i].in_ms >= 0)
		return h->limit[i].in_ms;
	if (h->limit[i].at_ms < 0)
		return -1;
	if (h->date >= 0)
		now_ms = h->date * 1000;
	return h->limit[i].at_ms > now_ms ? h->limit[i].at_ms - now_ms : 0;
}

/* The longest wait of the limits, of those alone that are used up or of all. */
static int64_t longest(const struct net_hint *h, int64_t now_ms, bool drained, bool unknown)
{
	int64_t wait = -1;

	for (size_t i = 0; i < 4; i++) {
		int64_t w = limit_wait(h, i, now_ms);

		if (drained && h->limit[i].left != 0 && !(unknown && h->limit[i].left < 0))
			continue;
		if (w > wait)
			wait = w;
	}
	return wait;
}

int64_t net_hint_wait(const struct net_hint *h, bool limited, int64_t now_ms)
{
	int64_t wait;

	if (h->retry_ms >= 0)
		return h->retry_ms;
	if (h->retry_at >= 0) {
		if (h->date >= 0)
			now_ms = h->date * 1000;
		return h->retry_at * 1000 > now_ms ? h->retry_at * 1000 - now_ms : 0;
	}
	wait = longest(h, now_ms, true, limited);
	return wait >= 0 || !limited ? wait : longest(h, now_ms, false, false);
}

int64_t net_hint_drained(const struct net_hint *h, int64_t now_ms)
{
	return longest(h, now_ms, true, false);
}
