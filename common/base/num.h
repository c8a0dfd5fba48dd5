/*
 * num: text to numbers and back, independent of the locale, exact.
 * Parsing takes the whole span or fails. Printing gives the shortest text that reads back to the same
 * number, in JSON's grammar (non-finite values print as null).
 */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include "base/err.h"
#include "base/str.h"
#include <stdint.h>

#define NUM_BUF 32 /* longest printed number and NUL */

int num_u64(uint64_t *out, struct str s, uint64_t min, uint64_t max, struct err *e);
int num_i64(int64_t *out, struct str s, int64_t min, int64_t max, struct err *e);
/* Decimal or exponent form as in JSON (also a leading '+', ".5" and "5."); correctly rounded. */
int num_f64(double *out, struct str s, double min, double max, struct err *e);
/* A JSON number that is known to be valid; correctly rounded, overflow gives infinity. */
double num_json_f64(struct str s);
/* The same to the nearest float, rounded once. */
float num_json_f32(struct str s);

/* Printing: NUL-terminated, returns the length. */
size_t num_put_u64(char out[NUM_BUF], uint64_t v);
size_t num_put_i64(char out[NUM_BUF], int64_t v);
size_t num_put_f64(char out[NUM_BUF], double v); /* 1 -> "1", 0.1 -> "0.1", 1e300 -> "1e300" */
size_t num_put_f32(char out[NUM_BUF], float v);

#endif
