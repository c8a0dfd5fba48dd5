/* timeutil: clocks and calendar. */
#ifndef BASE_TIMEUTIL_H
#define BASE_TIMEUTIL_H

#include "base/err.h"
#include "base/str.h"
#include <stdint.h>

/* Monotonic, nanoseconds. */
uint64_t time_mono_ns(void);
/* Seconds since 1970 UTC; SOURCE_DATE_EPOCH is not its business. */
int64_t time_unix_s(void);
/* "2026-01-02T03:04:05Z" of Unix seconds (years 0..9999). */
size_t time_put_rfc3339(char out[32], int64_t unix_s);
/* RFC 3339 or a bare date; Unix seconds, fractions dropped. ERR_INVALID_FIELD otherwise. */
int time_parse(int64_t *out, struct str s, struct err *e);
/* Days since 1970-01-01 of a proleptic Gregorian date, and back (Howard Hinnant's algorithms). */
int64_t time_days_from_civil(int64_t y, unsigned m, unsigned d);
void time_civil_from_days(int64_t days, int64_t *y, unsigned *m, unsigned *d);

#endif
