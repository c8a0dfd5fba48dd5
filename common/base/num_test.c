/* num_test: parsing and printing against libc, which is exact and slow. */
#include "config.h"
#include "base/base.h"
#include "tap.h"
#include <math.h>

static uint64_t bits_of(double v)
{
	uint64_t b;

	memcpy(&b, &v, sizeof b);
	return b;
}

static double of_bits(uint64_t b)
{
	double v;

	memcpy(&v, &b, sizeof v);
	return v;
}

static float f32_of_bits(uint32_t b)
{
	float v;

	memcpy(&v, &b, sizeof v);
	return v;
}

static uint32_t f32_bits(float v)
{
	uint32_t b;

	memcpy(&b, &v, sizeof b);
	return b;
}

/* Same as strtod and strtof, bit for bit? (the tests run in the C locale) */
static bool reads(const char *z)
{
	struct str s = str_of(z);
	bool good = bits_of(num_json_f64(s)) == bits_of(strtod(z, NULL)) &&
		    f32_bits(num_json_f32(s)) == f32_bits(strtof(z, NULL));

	if (!good)
		printf("# misread: %.100s\n", z);
	return good;
}

/* Significant digits and exponent of a printed number, to compare what is shortest and nearest. */
static int count_digits(const char *z)
{
	int n = 0, zeros = 0;

	for (; *z && *z != 'e'; z++) {
		if (*z == '0' && n)
			zeros++;
		else if (*z >= '1' && *z <= '9') {
			n += zeros + 1;
			zeros = 0;
		}
	}
	return n;
}

/* Shortest and, of its length, nearest: "%.*e" rounds right, so the first precision that reads back
 * is the one, except where a decimal of that length that is not the rounding of v reads back too (a
 * boundary of powers of two). */
static bool prints_f64(double v)
{
	char ours[NUM_BUF], libc[40];
	size_t n = num_put_f64(ours, v);
	int digits;

	for (digits = 1; digits < 17; digits++) {
		snprintf(libc, sizeof libc, "%.*e", digits - 1, v);
		if (bits_of(strtod(libc, NULL)) == bits_of(v))
			break;
	}
	snprintf(libc, sizeof libc, "%.*e", digits - 1, v);
	bool good = n == strlen(ours) && bits_of(strtod(ours, NULL)) == bits_of(v);
	int mine = count_digits(ours);
	good &= mine < digits ||
		(mine == count_digits(libc) && fabsl(strtold(ours, NULL) - (long double)v) <=
						       fabsl(strtold(libc, NULL) - (long double)v));
	if (!good)
		printf("# misprinted: %.17g as %s, libc %s\n", v, ours, libc);
	return good;
}

static bool prints_f32(float v)
{
	char ours[NUM_BUF], libc[40];
	size_t n = num_put_f32(ours, v);
	int digits;

	for (digits = 1; digits < 9; digits++) {
		snprintf(libc, sizeof libc, "%.*e", digits - 1, (double)v);
		if (f32_bits(strtof(libc, NULL)) == f32_bits(v))
			break;
	}
	snprintf(libc, sizeof libc, "%.*e", digits - 1, (double)v);
	bool good = n == strlen(ours) && f32_bits(strtof(ours, NULL)) == f32_bits(v);
	int mine = count_digits(ours);
	good &= mine < digits ||
		(mine == count_digits(libc) &&
		 fabs(strtod(ours, NULL) - (double)v) <= fabs(strtod(libc, NULL) - (double)v));
	if (!good)
		printf("# misprinted: %.9g as %s, libc %s\n", (double)v, ours, libc);
	return good;
}

static void test_ints(void)
{
	struct err e = { 0 };
	uint64_t u;
	int64_t i;
	char out[NUM_BUF];

	OK(!num_u64(&u, STR("18446744073709551615"), 0, UINT64_MAX, &e) && u == UINT64_MAX,
	   "2^64-1");
	OK(num_u64(&u, STR("18446744073709551616"), 0, UINT64_MAX, &e) &&
		   e.code == ERR_INVALID_FIELD,
	   "2^64: %s", e.text);
	OK(num_u64(&u, STR("0"), 1, 16, &e) && strstr(e.text, "between 1 and 16"),
	   "the range is named: %s", e.text);
	OK(num_u64(&u, STR("10x"), 0, 100, &e) && num_u64(&u, STR(""), 0, 1, &e) &&
		   num_u64(&u, STR("+1"), 0, 1, &e) && num_u64(&u, STR(" 1"), 0, 1, &e) &&
		   num_u64(&u, STR("99999999999999999999x"), 0, 1, &e),
	   "no numbers");
	OK(num_u64(&u, STR("-1"), 0, 1, &e), "negative: %s", e.text);
	OK(!num_i64(&i, STR("-9223372036854775808"), INT64_MIN, INT64_MAX, &e) && i == INT64_MIN,
	   "-2^63");
	OK(num_i64(&i, STR("9223372036854775808"), INT64_MIN, INT64_MAX, &e), "2^63: %s", e.text);
	OK(num_i64(&i, STR("-"), INT64_MIN, INT64_MAX, &e) &&
		   num_i64(&i, STR("--1"), INT64_MIN, INT64_MAX, &e),
	   "signs");
	OK(num_put_u64(out, UINT64_MAX) == 20 && !strcmp(out, "18446744073709551615"),
	   "print 2^64-1");
	OK(num_put_i64(out, INT64_MIN) == 20 && !strcmp(out, "-9223372036854775808"),
	   "print -2^63");
	OK(num_put_i64(out, 0) == 1 && !strcmp(out, "0"), "print 0");
}

static void test_read_hard(void)
{
	static const char *const hard[] = {
		"0",
		"-0",
		"0.0",
		"1",
		"1e0",
		"0e999999999999999999",
		"1e-999999999999999999",
		"1e999",
		"-1e999",
		"9007199254740993",
		"9007199254740993.0",
		"9007199254740992.99999999999999999999",
		"9007199254740993.00000000000000000000000000000000000000000001",
		"1e23",
		"8.5e22",
		"1e22",
		"1e-22",
		"2.2250738585072014e-308",
		"2.2250738585072011e-308",
		"2.225073858507201136057409796709131975935e-308",
		"4.9406564584124654e-324",
		"2.4703282292062327e-324",
		"2.4703282292062328e-324",
		"1e-323",
		"2.47032822920623272088284396434110686182e-324",
		"1.7976931348623157e308",
		"1.7976931348623158e308",
		"1.7976931348623159e308",
		"179769313486231580793e289",
		"3.4028235e38",
		"3.4028236e38",
		"3.40282356779733661637539395458142568448e38",
		"3.4028235677973366e38",
		"1.1754943508e-38",
		"7.0064923216240853e-46",
		"7.0064923216240854e-46",
		"1.401298464324817e-45",
		"16777217",
		"16777219",
		"16777217.0000000000000000001",
		"0.1",
		"0.2",
		"0.3",
		"123456789012345678901234567890",
		"0.000000000000000000000000000000123456789012345678901234567890e40",
		"1.00000005960464477539062500",
		"1.00000005960464477539062499999999999999999999",
		"1.00000005960464477539062500000000000000000001",
		"100000000000000000000000000000000000000000000000000e-50",
		"6.631236846766476e-316",
		"3.237883913302901e-319",
		"1.8446744073709551616e19",
		"36893488147419107329.0",
		"9.9999999999999999999e22"
	};
	bool good = true;
	char z[1200];

	for (size_t i = 0; i < sizeof hard / sizeof *hard; i++)
		good &= reads(hard[i]);
	OK(good, "hard cases read as libc reads them");
	memset(z, '0', sizeof z);
	memcpy(z, "0.", 2);
	snprintf(z + 1100, 20, "123e1100");
	OK(reads(z), "many zeros and a large exponent");
}

static void test_read_random(void)
{
	struct rng r = { .key = 1 };
	bool good = true;
	char z[64];

	for (int i = 0; i < 100000; i++) {
		snprintf(z, sizeof z, "%.*ge%d", (int)rng_below(&r, 25) + 1,
			 of_bits((rng_next(&r) >> 12) | 0x3ff0000000000000u),
			 (int)rng_below(&r, 700) - 360);
		good &= reads(z);
	}
	OK(good, "random decimals");
	for (int i = 0; i < 100000; i++) {
		snprintf(z, sizeof z, "%.17g", of_bits(rng_next(&r)));
		if (*z != 'n' && *z != 'i' && z[1] != 'n' && z[1] != 'i')
			good &= reads(z);
		snprintf(z, sizeof z, "%.9g", (double)f32_of_bits((uint32_t)rng_next(&r)));
		if (*z != 'n' && *z != 'i' && z[1] != 'n' && z[1] != 'i')
			good &= reads(z);
	}
	OK(good, "random bit patterns");
}

static void test_read_middles(void)
{
	struct rng r = { .key = 2 };
	bool good = true;
	char z[1200];

	for (int i = 0; i < 6000; i++) { /* exact middles, and a hair on either side */
		uint64_t b = rng_next(&r) >> 1;
		size_t n;

		if (i % 3 == 0)
			b >>= 11; /* denormal or tiny */
		if (b >> 52 >= 0x7fe)
			continue;
		/* long double has 64 bits, enough for the middle; its range too */
		snprintf(z, sizeof z, "%.*Le", (int)(i % 2 ? 1100 : 60 + i % 700),
			 ((long double)of_bits(b) + (long double)of_bits(b + 1)) / 2);
		good &= reads(z);
		n = strcspn(z, "e");
		if (z[n - 1] == '0') {
			z[n - 1] = '1';
			good &= reads(z);
		}
	}
	OK(good, "middles between neighbours");
	for (int i = 0; i < 3000; i++) { /* the same for floats */
		uint32_t b = (uint32_t)(rng_next(&r) >> 33) % 0x7f7fffffu;

		snprintf(z, sizeof z, "%.*e", i % 2 ? 150 : 20 + i % 60,
			 ((double)f32_of_bits(b) + (double)f32_of_bits(b + 1)) / 2);
		good &= reads(z);
	}
	OK(good, "middles between floats");
}

static void test_f64(void)
{
	struct err e = { 0 };
	double v;

	OK(!num_f64(&v, STR("+.5e1"), 0, 10, &e) && bits_of(v) == bits_of(5),
	   "plus and a bare point");
	OK(!num_f64(&v, STR("5."), 0, 10, &e) && bits_of(v) == bits_of(5), "a point at the end");
	OK(num_f64(&v, STR("1e999"), 0, INFINITY, &e) && e.code == ERR_INVALID_FIELD, "%s", e.text);
	OK(num_f64(&v, STR("2.5"), 0, 2, &e) && strstr(e.text, "between 0 and 2"), "%s", e.text);
	OK(num_f64(&v, STR("-1"), 0, INFINITY, &e) && strstr(e.text, "less than 0"), "%s", e.text);
	static const char *const bad[] = { "",     ".",  "-",  "1e",  "1e+",   "nan", "inf",
					   "0x10", "1 ", " 1", "1,5", "1.5.2", "e5" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		OK(num_f64(&v, str_of(bad[i]), -10, 10, &e) == -1, "no number: '%s'", bad[i]);
}

static void test_print(void)
{
	static const struct {
		double v;
		const char *z;
	} fixed[] = { { 1, "1" },
		      { 0, "0" },
		      { -0.0, "-0" },
		      { 0.1, "0.1" },
		      { 1e300, "1e300" },
		      { -1.5, "-1.5" },
		      { 1e16, "10000000000000000" },
		      { 1e17, "1e17" },
		      { 1e-5, "0.00001" },
		      { 1e-6, "1e-6" },
		      { 123456.789, "123456.789" },
		      { 5e-324, "5e-324" },
		      { 1.2345e-7, "1.2345e-7" },
		      { 9007199254740991, "9007199254740991" },
		      { 0x1p53, "9007199254740992" },
		      { 1.7976931348623157e308, "1.7976931348623157e308" },
		      { 9.4e-323, "9.4e-323" } };
	struct rng r = { .key = 2 };
	char out[NUM_BUF];
	bool good = true;

	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
		num_put_f64(out, fixed[i].v);
		OK(!strcmp(out, fixed[i].z), "prints %s", out);
	}
	num_put_f32(out, 0.1f);
	OK(!strcmp(out, "0.1"), "a float prints as a float: %s", out);
	for (uint64_t exp = 0; exp < 0x7ff; exp++) /* powers of two and their neighbours */
		for (uint64_t m = 0; m < 5; m++)
			good &= prints_f64(of_bits((exp << 52) + m - 2 + (exp ? 0 : 2)));
	OK(good, "powers of two and their neighbours");
	for (int i = 0; i < 60000; i++) {
		double v = of_bits(rng_next(&r));

		if (isfinite(v))
			good &= prints_f64(v);
		good &= prints_f64((double)rng_below(&r, 1000000000) / 1e4);
		good &= prints_f64(
			of_bits(rng_next(&r) >> (12 + rng_below(&r, 50)))); /* denormals */
	}
	OK(good, "random doubles");
	for (uint32_t exp = 0; exp < 0xff; exp++)
		for (uint32_t m = 0; m < 5; m++)
			good &= prints_f32(f32_of_bits((exp << 23) + m - 2 + (exp ? 0 : 2)));
	for (int i = 0; i < 60000; i++) {
		float v = f32_of_bits((uint32_t)rng_next(&r));

		if (isfinite(v))
			good &= prints_f32(v);
	}
	OK(good, "random floats");
}

int main(void)
{
	test_ints();
	test_read_hard();
	test_read_random();
	test_read_middles();
	test_f64();
	test_print();
	return tap_done();
}
