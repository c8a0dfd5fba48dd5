/* timeutil: clocks and calendar. */
#include "config.h"
#include "base/timeutil.h"
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include "base/banned.h"

uint64_t time_mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t time_unix_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec;
}

/*
 * Both after Howard Hinnant: chrono-compatible low-level date algorithms; years begin on 1 March.
 */
int64_t time_days_from_civil(int64_t y, unsigned m, unsigned d)
{
	int64_t era;
	unsigned yoe, doy;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = (unsigned)(y - era * 400);
	doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	return era * 146097 + (int64_t)(yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468;
}

void time_civil_from_days(int64_t days, int64_t *y, unsigned *m, unsigned *d)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = (int64_t)yoe + era * 400 + (*m <= 2);
}

size_t time_put_rfc3339(char out[32], int64_t unix_s)
{
	int64_t days = unix_s / 86400, s = unix_s % 86400, y;
	unsigned m, d;
	int n;

	if (s < 0) {
		s += 86400;
		days--;
	}
	time_civil_from_days(days, &y, &m, &d);
	if (y < 0 || y > 9999) { /* RFC 3339 has no word for it: the nearest that there is */
		n = snprintf(out, 32, "%s",
			     y < 0 ? "0000-01-01T00:00:00Z" : "9999-12-31T23:59:59Z");
	} else {
		n = snprintf(out, 32, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)y % 10000,
			     m % 100, d % 100, (unsigned)s / 3600 % 100, (unsigned)s / 60 % 60,
			     (unsigned)s % 60);
	}
	return (size_t)n;
}

/* Takes n digits off the front. */
static bool digits(unsigned *out, struct str *s, size_t n)
{
	*out = 0;
	if (s->n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		*out = *out * 10 + (unsigned)(s->p[i] - '0');
	}
	*s = str_sub(*s, n, s->n);
	return true;
}

static bool one_of(struct str *s, const char *set)
{
	if (!s->n || !*s->p || !strchr(set, *s->p))
		return false;
	*s = str_sub(*s, 1, s->n);
	return true;
}

static bool date(int64_t *days, struct str *s)
{
	static const unsigned char length[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	unsigned y, m, d;

	if (!digits(&y, s, 4) || !one_of(s, "-") || !digits(&m, s, 2) || !one_of(s, "-") ||
	    !digits(&d, s, 2))
		return false;
	if (m < 1 || m > 12 || d < 1)
		return false;
	if (d > length[m - 1] + (m == 2 && y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) ? 1u : 0u))
		return false;
	*days = time_days_from_civil(y, m, d);
	return true;
}

/* hh:mm:ss, a fraction, and Z or an offset: seconds to add to the date. */
static bool clock_time(int64_t *out, struct str *s)
{
	unsigned h, m, sec, oh = 0, om = 0, skip;
	bool west;

	if (!digits(&h, s, 2) || !one_of(s, ":") || !digits(&m, s, 2) || !one_of(s, ":") ||
	    !digits(&sec, s, 2))
		return false;
	if (h > 23 || m > 59 || sec > 60) /* 60: a leap second */
		return false;
	if (one_of(s, ".")) {
		if (!digits(&skip, s, 1))
			return false;
		while (digits(&skip, s, 1))
			;
	}
	if (!one_of(s, "Zz")) {
		west = s->n && *s->p == '-';
		if (!one_of(s, "+-") || !digits(&oh, s, 2) || !one_of(s, ":") ||
		    !digits(&om, s, 2) || oh > 23 || om > 59)
			return false;
		*out = (int64_t)oh * 3600 + (int64_t)om * 60;
		*out = west ? *out : -*out;
	} else {
		*out = 0;
	}
	*out += (int64_t)h * 3600 + (int64_t)m * 60 + sec;
	return true;
}

int time_parse(int64_t *out, struct str s, struct err *e)
{
	struct str left = s;
	int64_t days, sec = 0;

	if (!date(&days, &left) ||
	    (left.n && (!one_of(&left, "Tt ") || !clock_time(&sec, &left))) || left.n)
		return err_set(e, ERR_INVALID_FIELD,
			       "no date or time: '%.*s' (2026-01-31 or 2026-01-31T23:59:59Z)",
			       (int)(s.n < 64 ? s.n : 64), s.p ? s.p : "");
	*out = days * 86400 + sec;
	return 0;
}
