/* base_test: the small parts of base. Numbers have num_test. */
#include "config.h"
#include "base/base.h"
#include "base/utf8_impl.h"
#include "tap.h"
#include <errno.h>
#include <math.h>

static void test_err(void)
{
	struct err e = { 0 };
	bool all = true;
	char big[2000];

	OK(err_set(&e, ERR_OPEN, "%s: gone", "x") == -1 && e.code == ERR_OPEN &&
		   !strcmp(e.text, "x: gone"),
	   "set");
	err_wrap(&e, "model %d", 7);
	OK(!strcmp(e.text, "model 7: x: gone") && e.code == ERR_OPEN, "wrap: %s", e.text);
	err_sys(&e, ERR_OPEN, ENOENT, "f");
	OK(e.sys == ENOENT && !strcmp(e.text, "f: No such file or directory"), "sys: %s", e.text);
	err_sys(&e, ERR_OPEN, ENOMEM, "f");
	OK(e.code == ERR_NOMEM, "ENOMEM is ERR_NOMEM");
	OK(err_set(NULL, ERR_OPEN, "x") == -1 && err_sys(NULL, ERR_OPEN, 1, "x") == -1 &&
		   err_wrap(NULL, "x") == -1,
	   "NULL is allowed");
	for (size_t i = 0; i < sizeof big - 1; i++)
		big[i] = "\xe2\x82\xac"[i % 3];
	big[sizeof big - 1] = 0;
	err_set(&e, ERR_OPEN, "ab%s", big);
	OK(strlen(e.text) == 1022 && utf8_valid(str_of(e.text)) == 1022, "cut at a character");
	err_wrap(&e, "%s", big);
	OK(utf8_valid(str_of(e.text)) == strlen(e.text), "wrap cuts at a character");
	err_set(&e, ERR_OPEN, "q");
	err_set(&e, ERR_OPEN, "p %s", e.text);
	OK(!strcmp(e.text, "p q"), "its own text as argument");
	for (int i = 1; i < ERR_N_CODES; i++) {
		const char *name = err_name((enum err_code)i);

		all &= err_exit((enum err_code)i) != 0 &&
		       (!name || (int)err_by_name(name, strlen(name)) == i) &&
		       (i >= ERR_INVALID_JSON) == (name != NULL);
	}
	OK(all, "every code has a status, every record code a name of its own");
	OK(err_exit(ERR_OK) == 0 && err_exit(ERR_USAGE) == 2 && err_exit(ERR_WRITE) == 4 &&
		   err_exit(ERR_NOMEM) == 70 && err_exit(ERR_QUOTA) == 7 &&
		   err_exit(ERR_SERVER) == 6 && err_exit(ERR_INCONCLUSIVE) == 8,
	   "statuses of the table");
	OK(err_retryable(ERR_RATE_LIMIT) && err_retryable(ERR_TIMEOUT) && !err_retryable(ERR_QUOTA),
	   "retryable");
	OK(err_by_name("nonsense", 8) == ERR_OK && err_by_name("invalid", 7) == ERR_OK,
	   "unknown names");
	err_clear(&e);
	OK(e.code == ERR_OK && !*e.text, "clear");
}

static void test_str(void)
{
	struct str s = STR(" \t a b\r\n");

	OK(str_is(str_trim(s), "a b") && str_trim(STR("  ")).n == 0, "trim");
	OK(str_cmp(STR("a"), STR("ab")) < 0 && str_cmp(STR("b"), STR("ab")) > 0 &&
		   !str_cmp(STR("x"), STR("x")) && str_cmp(STR("\xff"), STR("a")) > 0,
	   "cmp");
	OK(str_find(STR("abcabc"), STR("ca"), 0) == 2 &&
		   str_find(STR("abcabc"), STR("abc"), 1) == 3 &&
		   str_find(STR("abc"), STR("x"), 0) == 3 &&
		   str_find(STR("abc"), STR(""), 2) == 2 && str_find(STR("abc"), STR("c"), 9) == 3,
	   "find");
	OK(str_starts(STR("abc"), STR("ab")) && str_ends(STR("abc"), STR("bc")) &&
		   !str_ends(STR("c"), STR("bc")),
	   "starts, ends");
}

static void test_buf(void)
{
	struct err e = { 0 };
	struct buf b;

	buf_init(&b, 100);
	OK(buf_str(&b).n == 0 && b.p == NULL, "empty");
	buf_addz(&b, "abc");
	buf_addc(&b, 'd');
	buf_addf(&b, "%05d", 42);
	OK(str_is(buf_str(&b), "abcd00042") && b.p[b.n] == 0, "appends, with a NUL behind");
	buf_addf(&b, "%060d", 7);
	OK(b.n == 69 && b.p[68] == '7' && !buf_check(&b, &e), "printing grows it");
	buf_addf(&b, "%032d", 7);
	OK(b.n == 69 && b.failed && strlen(b.p) == 69, "too much appends nothing");
	buf_addc(&b, 'x');
	OK(b.n == 69 && buf_check(&b, &e) == -1 && e.code == ERR_INVALID_FIELD,
	   "the mark sticks: %s", e.text);
	buf_reset(&b);
	for (int i = 0; i < 100; i++)
		buf_addc(&b, 'x');
	OK(b.n == 100 && !buf_check(&b, &e), "max itself fits");
	buf_addc(&b, 'x');
	OK(b.n == 100 && buf_check(&b, &e), "one more does not");
	buf_release(&b);
	buf_init(&b, SIZE_MAX);
	OK(!buf_grow(&b, SIZE_MAX - 1) && buf_check(&b, &e), "absurd sizes fail");
	buf_release(&b);
}

static void test_arena(void)
{
	struct arena a;
	struct str s;
	bool good = true;
	char *first;

	arena_init(&a, 1 << 20);
	for (size_t i = 1; i < 600; i++) {
		char *p = arena_alloc(&a, i);

		good &= p && (uintptr_t)p % 16 == 0;
		if (p)
			memset(p, 1, i);
	}
	OK(good, "aligned blocks");
	arena_reset(&a);
	first = arena_alloc(&a, 10);
	arena_reset(&a);
	OK(arena_alloc(&a, 90000) == first, "after warm-up one block serves");
	s = arena_str(&a, STR("abc"));
	OK(str_is(s, "abc") && s.p[3] == 0, "str");
	OK(!arena_alloc(&a, 2 << 20) && !arena_alloc(&a, SIZE_MAX), "the limit holds");
	OK(arena_alloc(&a, 0) != NULL, "nothing is something");
	arena_release(&a);
	OK(ckd_alloc(SIZE_MAX / 2, 3) == NULL, "ckd_alloc refuses an overflow");
	free(ckd_alloc(0, 8));
}

static void test_hash(void)
{
	uint8_t d[HASH_SHA256_LEN];
	char hex[HASH_HEX_LEN + 1], text[64];
	struct hash_sha256 h;
	uint64_t prev = 0;
	bool good = true;

	/* FIPS 180-4, appendix B */
	hash_sha256(d, "abc", 3);
	hash_hex(hex, d, sizeof d);
	OK(!strcmp(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
	   "SHA-256");
	hash_sha256_init(&h);
	hash_sha256_add(&h, "a", 1);
	hash_sha256_add(&h, "bc", 2);
	hash_sha256_end(&h, d);
	hash_hex(hex, d, 4);
	OK(!strcmp(hex, "ba7816bf"), "in parts");
	/* RFC 3720, appendix B.4 */
	OK(hash_crc32c(0, "123456789", 9) == 0xe3069283u, "CRC-32C");
	memset(text, 0, sizeof text);
	OK(hash_crc32c(0, text, 32) == 0x8a9136aau &&
		   hash_crc32c(hash_crc32c(0, text, 7), text, 25) == 0x8a9136aau,
	   "CRC-32C of zeros, in parts");
	for (size_t n = 0; n < sizeof text; n++) {
		uint64_t v = hash64(text, n, 0);

		good &= v != prev && v != hash64(text, n, 1);
		prev = v;
		for (size_t i = 0; i < n; i++) {
			text[i] = 1;
			good &= hash64(text, n, 0) != v;
			text[i] = 0;
		}
	}
	OK(good, "hash64 sees length, seed and every byte");
	OK(hash64("llm-utils", 9, 0) == 0x9a105dcff2eb2f56u, "hash64 is the same everywhere: %jx",
	   (uintmax_t)hash64("llm-utils", 9, 0));
}

static void test_map(void)
{
	struct err e = { 0 };
	struct map m;
	char key[16];
	uint64_t *v;
	bool is_new, good = true;

	map_init(&m, true);
	OK(map_get(&m, STR("a")) == NULL, "empty");
	for (unsigned i = 0; i < 5000; i++) {
		int n = snprintf(key, sizeof key, "k%u", i);

		good &= !map_put(&v, &is_new, &m, (struct str){ key, (size_t)n }, &e) && is_new &&
			*v == 0;
		*v = i;
	}
	for (unsigned i = 0; i < 5000; i++) {
		int n = snprintf(key, sizeof key, "k%u", i);

		v = map_get(&m, (struct str){ key, (size_t)n });
		good &= v && *v == i;
	}
	OK(good && m.n == 5000, "what went in is there");
	OK(!map_put(&v, &is_new, &m, STR("k17"), &e) && !is_new && *v == 17, "put finds");
	OK(!map_put(&v, &is_new, &m, (struct str){ NULL, 0 }, &e) && is_new && map_get(&m, STR("")),
	   "the empty key");
	OK(!map_get(&m, STR("k5000")), "what did not is not");
	OK(map_reserve(&m, SIZE_MAX, &e) == -1 && e.code == ERR_NOMEM, "absurd sizes fail");
	map_release(&m);
}

static void test_rng(void)
{
	/* known answers of the authors' distribution, Random123 1.14, tests/kat_vectors */
	static const uint32_t kat[3][10] = {
		{ 0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
		{ ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
		{ 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
		  0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 },
	};
	struct rng r = { .key = 1, .stream = 2 };
	unsigned seen[7] = { 0 };
	double sum = 0, squares = 0;
	bool good = true;
	uint32_t out[4];

	for (int i = 0; i < 3; i++) {
		rng_philox(out, kat[i], kat[i] + 4);
		good &= !memcmp(out, kat[i] + 6, sizeof out);
	}
	OK(good, "Philox gives the known answers");
	OK(rng_next(&r) == rng_at(1, 2, 0) && rng_next(&r) == rng_at(1, 2, 1) && r.step == 2,
	   "draws are addressable");
	for (int i = 0; i < 7000; i++)
		seen[rng_below(&r, 7)]++;
	for (int i = 0; i < 7; i++)
		good &= seen[i] > 850 && seen[i] < 1150;
	OK(good, "below is uniform");
	for (int i = 0; i < 20000; i++) {
		double v = rng_normal(&r), u = rng_f64(&r);

		sum += v;
		squares += v * v;
		good &= u >= 0 && u < 1;
	}
	OK(good && fabs(sum / 20000) < 0.03 && fabs(squares / 20000 - 1) < 0.05,
	   "normal has mean 0, variance 1");
	OK(rng_below(&r, 1) == 0, "below 1 is 0");
}

static void test_time(void)
{
	struct err e = { 0 };
	char out[32];
	int64_t t, y;
	unsigned m, d;
	bool good = true;

	OK(time_put_rfc3339(out, 0) == 20 && !strcmp(out, "1970-01-01T00:00:00Z"), "epoch");
	time_put_rfc3339(out, 951782400 + 3661);
	OK(!strcmp(out, "2000-02-29T01:01:01Z"), "leap day: %s", out);
	OK(!time_parse(&t, STR("2000-02-29T01:01:01Z"), &e) && t == 951786061, "read back");
	OK(!time_parse(&t, STR("1969-12-31"), &e) && t == -86400, "a bare date before the epoch");
	OK(!time_parse(&t, STR("2026-01-02t03:04:05.678+02:30"), &e) && t == 1767314045,
	   "offset and fraction");
	for (int64_t day = -800000; day < 3000000; day += 17) {
		time_civil_from_days(day, &y, &m, &d);
		good &= time_days_from_civil(y, m, d) == day && m >= 1 && m <= 12 && d >= 1 &&
			d <= 31;
	}
	OK(good, "dates there and back");
	static const char *const bad[] = { "",
					   "2026",
					   "2026-13-01",
					   "2026-02-29",
					   "2026-01-01T",
					   "2026-01-01T24:00:00Z",
					   "2026-01-01T00:00:00",
					   "2026-01-01T00:00:00Zx",
					   "2026-01-01T00:00:00.Z",
					   "2026-01-01T00:00:00+2",
					   "26-01-01" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		OK(time_parse(&t, str_of(bad[i]), &e) == -1 && e.code == ERR_INVALID_FIELD,
		   "refused: '%s'", bad[i]);
	OK(time_mono_ns() <= time_mono_ns() && time_unix_s() > 1700000000, "clocks run");
}

static void test_topk(void)
{
	struct topk_item items[10];
	struct rng r = { .key = 3 };
	float scores[500];
	struct topk t;
	bool good = true;

	for (int round = 0; round < 20; round++) {
		topk_init(&t, items, (size_t)(round % 10) + 1);
		for (size_t i = 0; i < 500; i++) {
			scores[i] = (float)rng_below(&r, 40);
			topk_push(&t, scores[i], i);
		}
		topk_sort(&t);
		for (size_t i = 0; i < t.n; i++) {
			size_t better = 0;

			for (size_t j = 0; j < 500; j++)
				better += scores[j] > items[i].score ||
					  (!(scores[j] < items[i].score) && j < items[i].index);
			good &= better == i;
		}
		good &= t.n == t.k;
	}
	OK(good, "the k best, in order, ties by index");
	topk_init(&t, items, 2);
	topk_push(&t, NAN, 0);
	OK(isinf(topk_floor(&t)), "no floor while not full, no NaN");
	topk_push(&t, 1, 0);
	topk_push(&t, 2, 1);
	OK(topk_floor(&t) > 0.5f && topk_floor(&t) < 1.5f, "floor");
	topk_init(&t, items, 0);
	topk_push(&t, 1, 0);
	OK(t.n == 0, "k = 0");
}

/* RFC 3629 by its table, byte by byte: an oracle without cleverness. */
static size_t plain_valid(const unsigned char *s, size_t n)
{
	static const unsigned char rows[][4] = {
		/* lead from, to, second from, to */
		{ 0xc2, 0xdf, 0x80, 0xbf }, { 0xe0, 0xe0, 0xa0, 0xbf }, { 0xe1, 0xec, 0x80, 0xbf },
		{ 0xed, 0xed, 0x80, 0x9f }, { 0xee, 0xef, 0x80, 0xbf }, { 0xf0, 0xf0, 0x90, 0xbf },
		{ 0xf1, 0xf3, 0x80, 0xbf }, { 0xf4, 0xf4, 0x80, 0x8f }
	};
	size_t i = 0;

	while (i < n) {
		size_t len = s[i] < 0x80 ? 1 : s[i] < 0xe0 ? 2 : s[i] < 0xf0 ? 3 : 4;
		bool good = s[i] < 0x80;

		for (size_t r = 0; !good && r < 8; r++)
			good = s[i] >= rows[r][0] && s[i] <= rows[r][1] && i + 1 < n &&
			       s[i + 1] >= rows[r][2] && s[i + 1] <= rows[r][3];
		for (size_t k = 2; good && k < len; k++)
			good = i + k < n && (s[i + k] & 0xc0) == 0x80;
		if (!good)
			break;
		i += len;
	}
	return i;
}

static void test_utf8_valid(void)
{
	static const unsigned char bytes[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
					       0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
					       0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff };
	struct rng r = { .key = 4 };
	unsigned char s[200];
	bool scalar = true, simd = true, avx2 = false;

#if defined(__x86_64__)
	avx2 = __builtin_cpu_supports("avx2");
#endif
	for (int round = 0; round < 60000; round++) {
		size_t n = rng_below(&r, sizeof s), i = 0, want;

		while (i < n) { /* valid characters of all lengths ... */
			char c[4];
			uint32_t cp =
				(uint32_t)rng_below(&r, (uint64_t)1 << (7 + rng_below(&r, 15)));
			unsigned len;

			if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
				cp = 'a';
			len = utf8_put(c, cp);
			if (len > n - i)
				break;
			memcpy(s + i, c, len);
			i += len;
		}
		n = i;
		for (uint64_t k = rng_below(&r, 3); n && k;
		     k--) /* ... with up to two bytes spoilt */
			s[rng_below(&r, n)] = bytes[rng_below(&r, sizeof bytes)];
		want = plain_valid(s, n);
		scalar &= utf8_valid_scalar((struct str){ (char *)s, n }) == want;
		simd &= utf8_valid((struct str){ (char *)s, n }) == want;
		if (avx2)
			simd &= utf8_valid_avx2((struct str){ (char *)s, n }) == want;
	}
	OK(scalar, "scalar validation agrees with the table of RFC 3629");
	OK(simd, "so does the one in use");
}

static void test_utf8(void)
{
	static const char cut_off[] = "\xe2\x82x", surrogate[] = "\xed\xa0\x80";
	bool good = true;
	char c[4];
	unsigned len;

	for (uint32_t cp = 0; cp < 0x110000; cp++) {
		unsigned n;

		if (cp >= 0xd800 && cp < 0xe000)
			continue;
		n = utf8_put(c, cp);
		good &= utf8_get(c, c + n, &len) == cp && len == n;
		for (unsigned cut = 1; cut < n; cut++)
			good &= utf8_whole((struct str){ c, cut }) == 0;
		good &= utf8_whole((struct str){ c, n }) == n;
	}
	OK(good, "every scalar value there and back");
	OK(utf8_get(cut_off, cut_off + 3, &len) == UTF8_BAD && len == 2, "a maximal bad subpart");
	OK(utf8_get(surrogate, surrogate + 3, &len) == UTF8_BAD && len == 1,
	   "a surrogate is three");
	OK(utf8_count(STR("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")) == 4, "count");
	OK(utf8_border(STR("a\xe2\x82\xac"), 3) == 1 && utf8_border(STR("a\xe2\x82\xac"), 4) == 4 &&
		   utf8_border(STR("abc"), 2) == 2,
	   "border");
	OK(utf8_whole(STR("a\x80")) == 2 && utf8_whole(STR("\xff")) == 1 &&
		   utf8_whole(STR("")) == 0,
	   "whole cuts no more");
	test_utf8_valid();
}

int main(void)
{
	test_err();
	test_str();
	test_buf();
	test_arena();
	test_hash();
	test_map();
	test_rng();
	test_time();
	test_topk();
	test_utf8();
	return tap_done();
}
