/* utf8: strict UTF-8 as in RFC 3629: no surrogates, no overlong forms, nothing over U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>

#define UTF8_BAD 0xFFFFFFFFu

/* Offset of the first byte that is not valid, or s.n. SIMD where there is some. */
size_t utf8_valid(struct str s);
/* Code point at p (p < end) and its length in *len; UTF8_BAD and the length of the maximal bad subpart. */
uint32_t utf8_get(const char *p, const char *end, unsigned *len);
/* 1..4 bytes written for a scalar value. */
unsigned utf8_put(char out[4], uint32_t cp);
/* Bytes of s that form whole characters: cuts an unfinished character off the end, nothing else. */
size_t utf8_whole(struct str s);
/* Number of code points of valid UTF-8. */
size_t utf8_count(struct str s);
/* The largest border <= at. */
size_t utf8_border(struct str s, size_t at);

#endif
