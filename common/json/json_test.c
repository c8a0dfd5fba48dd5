#include "config.h"
#include "json/json_impl.h"
#include "tap.h"
#include <math.h>

static struct arena arena;

static const struct json_ops *const all_ops[] = {
	&json_ops_scalar,
#ifdef __x86_64__
	&json_ops_sse2,
	&json_ops_avx2,
#endif
};
#define N_OPS (sizeof all_ops / sizeof *all_ops)

static bool usable(const struct json_ops *ops)
{
#ifdef __x86_64__
	return ops != &json_ops_avx2 || __builtin_cpu_supports("avx2");
#else
	return ops != NULL;
#endif
}

/* ---- conformance: each case alone, inside an array, inside an object, and moved over every place
 * in a block ------- */

static const char *const good[] = {
	"null",
	"true",
	"false",
	"0",
	"-0",
	"1",
	"-1",
	"10",
	"1.0",
	"-0.0",
	"1e5",
	"1E5",
	"1e+5",
	"1e-5",
	"0e0",
	"1.5e300",
	"1755700000000012345",
	"123456789012345678901234567890.123456789012345678901234567890",
	"1e400",
	"0.1000000000000000055511151231257827021181583404541015625",
	"\"\"",
	"\"a\"",
	"\"\\\"\"",
	"\"\\\\\"",
	"\"\\/\"",
	"\"\\b\\f\\n\\r\\t\"",
	"\"\\u0000\"",
	"\"\\u00e9\\u00E9\"",
	"\"\\ud83d\\ude00\"",
	"\"\\ud800\"",
	"\"\\udc00\\ud800\"",
	"\"\x7f\"",
	"\"\xc3\xa9\"",
	"\"\xe2\x82\xac\"",
	"\"\xf0\x9f\x98\x80\"",
	"\"\xf4\x8f\xbf\xbf\"",
	"\"\xef\xbb\xbf\"",
	"[]",
	"[ ]",
	"[\t\n\r ]",
	"{}",
	"{ }",
	"[1]",
	"[1,2]",
	"[ 1 , 2 ]",
	"[[]]",
	"[{}]",
	"{\"a\":1}",
	"{\"\":0}",
	"{\"a\":1,\"a\":2}",
	"{ \"a\" : [ 1 , { \"b\" : null } ] , \"c\" : \"\" }",
	"{\"a\":{\"a\":{\"a\":{}}}}",
	"[\"a long text that is longer than one block of thirty-two bytes, or even of sixty-four "
	"of them\"]",
};
static const char *const bad[] = {
	"",
	" ",
	"nul",
	"nullx",
	"True",
	"NaN",
	"Infinity",
	"-Infinity",
	"undefined",
	"+1",
	"01",
	"-01",
	"00",
	"-",
	"1.",
	".5",
	"-.5",
	"1.e5",
	"1e",
	"1e+",
	"1e-",
	"1ee5",
	"0x10",
	"1_000",
	"1 2",
	"1a",
	"--1",
	"1.2.3",
	"'a'",
	"\"",
	"\"a",
	"\"\\",
	"\"\\\"",
	"\"\\x\"",
	"\"\\u\"",
	"\"\\u12\"",
	"\"\\u123\"",
	"\"\\u12g4\"",
	"\"\\U0041\"",
	"\"\\'\"",
	"\"\t\"",
	"\"\n\"",
	"\"\x01\"",
	"\"\x1f\"",
	"\"a\" \"b\"",
	"[",
	"]",
	"[1",
	"[1,",
	"[,",
	"[,1]",
	"[1,]",
	"[1 2]",
	"[1,,2]",
	"[1}",
	"[}",
	"{]",
	"{",
	"}",
	"{,}",
	"{\"a\"",
	"{\"a\":",
	"{\"a\":}",
	"{\"a\":1",
	"{\"a\":1,",
	"{\"a\":1,}",
	"{\"a\" 1}",
	"{a:1}",
	"{1:1}",
	"{null:1}",
	"{\"a\":1 \"b\":2}",
	"{\"a\"::1}",
	"{\"a\",1}",
	"{\"a\":1]",
	"[\"a\":1]",
	"[1]]",
	"{}}",
	"{}{}",
	"[][]",
	"1,2",
	"// c\n1",
	"/* c */1",
	"1 // c",
	"#1",
	"[1;2]",
	"\xef\xbb\xbf{}",
	"\v1",
	"\f1",
	"\xc2\xa0"
	"1",
	"{\"a\":[}",
	"[{]}",
};
static const char *const bad_utf8[] = {
	"\"\x80\"",
	"\"\xbf\"",
	"\"\xc0\xaf\"",
	"\"\xc1\xbf\"",
	"\"\xc3\"",
	"\"\xc3(\"",
	"\"\xe0\x80\xaf\"",
	"\"\xe0\x9f\xbf\"",
	"\"\xe2\x82\"",
	"\"\xed\xa0\x80\"",
	"\"\xed\xbf\xbf\"",
	"\"\xf0\x80\x80\x80\"",
	"\"\xf0\x8f\xbf\xbf\"",
	"\"\xf0\x9f\x98\"",
	"\"\xf4\x90\x80\x80\"",
	"\"\xf5\x80\x80\x80\"",
	"\"\xfe\"",
	"\"\xff\"",
	"\"\xf8\x88\x80\x80\x80\"",
};

/* Does every scanner say `want` (ERR_OK: accepted) of prefix + text + suffix? Each text is its own
 * heap block, for ASan. */
static bool all_say(enum err_code want, const char *prefix, struct str text, const char *suffix)
{
	size_t n = strlen(prefix) + text.n + strlen(suffix);
	char *copy = malloc(n + 1);
	bool same = copy != NULL;

	if (!copy)
		return false;
	snprintf(copy, n + 1, "%s", prefix);
	memcpy(copy + strlen(prefix), text.p, text.n);
	memcpy(copy + strlen(prefix) + text.n, suffix, strlen(suffix));
	for (size_t i = 0; i < N_OPS && same; i++) {
		struct err e = { 0 };
		struct json_val v;
		char *exact = malloc(n ? n : 1);

		if (!exact)
			abort();
		memcpy(exact, copy, n);
		if (usable(all_ops[i]))
			same = json_parse_with(&v, (struct str){ exact, n }, all_ops[i], &e) ==
				       (want ? -1 : 0) &&
			       e.code == want;
		if (!same)
			printf("# %s on %.*s: %s\n", all_ops[i]->name, (int)n, copy, e.text);
		free(exact);
	}
	free(copy);
	return same;
}

static bool everywhere(enum err_code want, const char *z)
{
	struct str text = str_of(z);
	char pad[80];
	bool same = all_say(want, "", text, "");

	same = same && all_say(want, "[", text, "]") && all_say(want, "{\"k\":", text, "}");
	same = same && all_say(want, "[1,", text, ",\"x\"]") &&
	       all_say(want, "{\"k\":", text, ",\"l\":[]}");
	for (size_t i = 0; same && i < 70; i++) {
		snprintf(pad, sizeof pad, "[\"%0*d\",", (int)i + 1, 0);
		same = all_say(want, pad, text, "]");
	}
	return same;
}

static bool only_inside_is_fine(const char *z)
{
	/* valid when put into an array, or a comma list: not for everywhere() */
	return !strcmp(z, "") || !strcmp(z, " ") || !strcmp(z, "1,2") || !strcmp(z, "[1]]") ||
	       !strcmp(z, "]");
}

static void test_conformance(void)
{
	size_t n = 0;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		n += everywhere(ERR_OK, good[i]);
	OK(n == sizeof good / sizeof *good,
	   "%zu valid texts are accepted by every scanner, at every place", n);
	n = 0;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		n += only_inside_is_fine(bad[i]) ? all_say(ERR_INVALID_JSON, "", str_of(bad[i]), "")
						 : everywhere(ERR_INVALID_JSON, bad[i]);
	OK(n == sizeof bad / sizeof *bad,
	   "%zu invalid texts are refused by every scanner, at every place", n);
	n = 0;
	for (size_t i = 0; i < sizeof bad_utf8 / sizeof *bad_utf8; i++)
		n += everywhere(ERR_INVALID_UTF8, bad_utf8[i]);
	OK(n == sizeof bad_utf8 / sizeof *bad_utf8, "%zu strings of bad UTF-8 are refused as such",
	   n);
	OK(all_say(ERR_INVALID_JSON, "\"a", (struct str){ "\0b", 2 }, "\""),
	   "a NUL in a string is refused");
	OK(all_say(ERR_INVALID_JSON, "1", (struct str){ "\0", 1 }, ""),
	   "a NUL behind the value is refused");
}

static bool nested(size_t depth, char open, const char *inner)
{
	struct buf b;
	bool same;

	buf_init(&b, 1 << 24);
	for (size_t i = 0; i < depth; i++)
		buf_addz(&b, open == '[' ? "[" : "{\"a\":");
	buf_addz(&b, inner);
	for (size_t i = 0; i < depth; i++)
		buf_addc(&b, open == '[' ? ']' : '}');
	same = all_say(depth <= JSON_DEPTH_MAX ? ERR_OK : ERR_INVALID_JSON, "", buf_str(&b), "");
	buf_release(&b);
	return same;
}

static void test_depth(void)
{
	OK(nested(512, '[', "1") && nested(512, '{', "1"), "512 levels are accepted");
	OK(nested(513, '[', "1") && nested(513, '{', "1") && nested(100000, '[', ""),
	   "513 and 100,000 are refused");
}

/* Every single-byte change of a text: all scanners agree on the verdict and on the place. */
static void test_agreement(void)
{
	char text[] = "{\"role\":\"user\",\"content\":\"a \\n\\u00e9 \xc3\xa9 text of some length, "
		      "more than a block\","
		      "\"n\":[-1.5e3,0,true,null],\"o\":{\"\":[]}}";
	size_t n = sizeof text - 1, differ = 0, accepted = 0;

	for (size_t i = 0; i < n; i++) {
		char saved = text[i];

		for (unsigned c = 0; c < 256; c++) {
			struct err first = { 0 }, e = { 0 };
			struct json_val v;
			int good0;

			text[i] = (char)c;
			good0 = json_parse_with(&v, (struct str){ text, n }, &json_ops_scalar,
						&first);
			accepted += !good0;
			for (size_t k = 1; k < N_OPS; k++)
				if (usable(all_ops[k]))
					differ += json_parse_with(&v, (struct str){ text, n },
								  all_ops[k], &e) != good0 ||
						  (good0 && strcmp(e.text, first.text) != 0);
		}
		text[i] = saved;
	}
	OK(!differ, "%zu one-byte changes: every scanner agrees with the scalar one (%zu accepted)",
	   n * 256, accepted);
}

/* ---- reading --------------------------------------------------------------------------------- */

static struct json_val parsed(const char *z)
{
	struct json_val v = { { NULL, 0 }, JSON_NONE };
	struct err e = { 0 };

	if (json_parse(&v, str_of(z), &e))
		printf("# %s: %s\n", z, e.text);
	return v;
}

static bool raw_is(struct json_val v, const char *z)
{
	return str_is(v.raw, z);
}

static void test_get(void)
{
	struct json_val v = parsed(" {\"a\" : 1, \"b\":{\"c\":[10,\"x,]}\",{\"d\":\"e\"}]}, "
				   "\"a\":2, \"x.y\":7,\"\\u0061b\":3,\"/\":{\"~\":9}} ");
	struct json_val x, all[3];
	struct json_iter it;
	size_t used = 0;
	struct err e = { 0 };

	OK(raw_is(json_get(v, "a"), "2"), "the last of two members counts");
	OK(raw_is(json_get(v, "ab"), "3"), "a key is compared decoded");
	OK(json_get(v, "none").type == JSON_NONE && json_get(parsed("[1]"), "a").type == JSON_NONE,
	   "no member is JSON_NONE");
	json_get_all(all, v, (const char *const[]){ "none", "ab", "a" }, 3);
	OK(all[0].type == JSON_NONE && raw_is(all[1], "3") && raw_is(all[2], "2"), "several members in one pass, the last counts");
	json_get_all(all, parsed("[1]"), (const char *const[]){ "a" }, 1);
	OK(all[0].type == JSON_NONE, "none of what is no object");
	OK(raw_is(json_path(v, STR("b.c.0")), "10") &&
		   raw_is(json_path(v, STR("b.c.2.d")), "\"e\"") &&
		   raw_is(json_path(v, STR("/b/c/2/d")), "\"e\"") &&
		   raw_is(json_path(v, STR("x.y")), "7") &&
		   raw_is(json_path(v, STR("/~1/~0")), "9"),
	   "paths: dotted, pointers, a name with a dot in it");
	OK(json_path(v, STR("b.c.3")).type == JSON_NONE &&
		   json_path(v, STR("b.c.00")).type == JSON_NONE &&
		   json_path(v, STR("a.b")).type == JSON_NONE &&
		   json_path(v, STR("b.")).type == JSON_NONE,
	   "paths to nothing");
	OK(json_count(v) == 6 && json_count(json_path(v, STR("b.c"))) == 3 &&
		   json_count(parsed("[ ]")) == 0,
	   "counts");
	it = json_iter(parsed("[ \"a\\\"]\" , [1,[2]] ,{}, null]"));
	OK(json_next(&x, &it) && raw_is(x, "\"a\\\"]\"") && json_next(&x, &it) &&
		   raw_is(x, "[1,[2]]") && json_next(&x, &it) && x.type == JSON_OBJECT &&
		   json_next(&x, &it) && x.type == JSON_NULL && !json_next(&x, &it),
	   "elements in turn");
	OK(!json_parse_prefix(&x, &used, STR(" {\"a\":1} tail"), &e) && used == 8 &&
		   raw_is(x, "{\"a\":1}"),
	   "a prefix");
}

static void test_members(void)
{
	struct str text = STR(" { \"a\" : [1,{\"x\":2}] , \"b\\\"\":{\"c\":{}},\"d\":\"e\", "
			      "\"f\":-1.5 ,\"g\":null} ");
	struct json_member m[8];
	struct json_val v;
	struct str key;
	struct err e = { 0 };

	for (size_t max = 1; max <= 8; max++) {
		struct json_iter it;
		bool same = true;
		size_t n = 9;

		same = !json_parse_members(&v, m, &n, max, text, &e) && n == 5;
		it = json_iter(v);
		for (size_t i = 0; i < n && i < max; i++)
			same = same && json_next_member(&key, &v, &it) && str_eq(key, m[i].key) &&
			       str_eq(v.raw, m[i].val.raw) && v.type == m[i].val.type;
		OK(same, "members on the way, room for %zu", max);
	}
	OK(!json_parse_members(&v, m, &m->key.n, 8, STR("{}"), &e) && m->key.n == 0 &&
		   !json_parse_members(&v, m, &m->key.n, 8, STR("[{\"a\":1}]"), &e) &&
		   m->key.n == 0,
	   "no members");
}

static bool str_gives(const char *json, struct str want, enum err_code code)
{
	struct err e = { 0 };
	struct str s = { NULL, 0 };
	int rc = json_str(&s, parsed(json), &arena, &e);

	return code ? rc == -1 && e.code == code : rc == 0 && str_eq(s, want);
}

static void test_values(void)
{
	struct err e = { 0 };
	int64_t i;
	uint64_t u;
	double d;
	bool b;

	OK(str_gives("\"\"", STR(""), 0) && str_gives("\"plain\"", STR("plain"), 0),
	   "strings without escapes");
	OK(str_gives("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", STR("a\"\\/\b\f\n\r\tz"), 0),
	   "short escapes");
	OK(str_gives("\"x\\u0000y\"", ((struct str){ "x\0y", 3 }), 0), "a NUL in text is kept");
	OK(str_gives("\"\\u00e9\\u20ac\\ud83d\\ude00\"",
		     STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), 0),
	   "\\u and pairs");
	OK(str_gives("\"\\ud800\"", STR(""), ERR_INVALID_UTF8) &&
		   str_gives("\"\\ud800\\u0041\"", STR(""), ERR_INVALID_UTF8) &&
		   str_gives("\"\\udc00\\ud800\"", STR(""), ERR_INVALID_UTF8),
	   "lone surrogates are bad UTF-8");
	OK(str_gives("12", STR(""), ERR_INVALID_FIELD) &&
		   str_gives("null", STR(""), ERR_INVALID_FIELD),
	   "no string");
	OK(!json_i64(&i, parsed("-9223372036854775808"), &e) && i == INT64_MIN &&
		   !json_i64(&i, parsed("9223372036854775807"), &e) && i == INT64_MAX &&
		   json_i64(&i, parsed("9223372036854775808"), &e),
	   "i64 to its ends");
	OK(!json_u64(&u, parsed("18446744073709551615"), &e) && u == UINT64_MAX &&
		   json_u64(&u, parsed("18446744073709551616"), &e) &&
		   json_u64(&u, parsed("-1"), &e) && !json_u64(&u, parsed("-0"), &e) && u == 0,
	   "u64 to its end");
	OK(json_i64(&i, parsed("1.0"), &e) && e.code == ERR_INVALID_FIELD &&
		   json_i64(&i, parsed("1e2"), &e) && json_i64(&i, parsed("\"1\""), &e),
	   "1.0, 1e2 and \"1\" are no integers");
	OK(!json_f64(&d, parsed("0.1"), &e) && d == 0.1 && !json_f64(&d, parsed("123e-2"), &e) &&
		   d == 1.23,
	   "f64");
	OK(!json_bool(&b, parsed("true"), &e) && b && json_bool(&b, parsed("1"), &e), "bool");
}

static bool equal(const char *a, const char *b)
{
	return json_equal(parsed(a), parsed(b)) && json_equal(parsed(b), parsed(a));
}

static void test_equal(void)
{
	OK(equal("1", "1.0") && equal("10e-1", "1") && equal("0.00120", "12e-4") &&
		   equal("0", "-0.0e7") && equal("1E400", "10e399"),
	   "numbers by value");
	OK(!equal("1", "-1") && !equal("1", "1.0000000000000000000000000001") &&
		   !equal("1", "10") && !equal("0.1", "0.01") && !equal("0", "1e-400") &&
		   !equal("1755700000000012345", "1755700000000012346"),
	   "numbers that differ");
	OK(equal("\"\\u00e9\\/\"", "\"\xc3\xa9/\"") && !equal("\"a\"", "\"ab\"") &&
		   !equal("\"1\"", "1"),
	   "strings decoded");
	OK(equal("{\"a\":1,\"b\":[1,2]}", "{ \"b\":[1.0,2], \"a\":1}") &&
		   equal("{\"a\":2,\"a\":1}", "{\"\\u0061\":1}"),
	   "members by name");
	OK(!equal("{\"a\":1}", "{\"a\":1,\"b\":1}") && !equal("[1,2]", "[2,1]") &&
		   !equal("[1]", "[1,1]") && !equal("{}", "[]"),
	   "what differs");
}

/* ---- vectors --------------------------------------------------------------------------------- */

static void test_vectors(void)
{
	struct err e = { 0 };
	struct buf b;
	struct json_w w;
	float in[301], *f;
	int32_t *t;
	size_t n;
	bool same = true;

	buf_init(&b, 1 << 20);
	for (size_t len = 0; len < 301; len++) {
		for (size_t i = 0; i < len; i++)
			in[i] = (float)sin((double)(i * len)) * 3.7e-3f;
		for (int form = 0; form < 2; form++) {
			struct json_val v;

			buf_reset(&b);
			w = json_w(&b);
			if (form)
				json_w_f32_base64(&w, in, len);
			else
				json_w_f32_array(&w, in, len);
			same = same && !json_parse(&v, buf_str(&b), &e) &&
			       !json_f32s(&f, &n, v, &arena, &e) && n == len &&
			       !((uintptr_t)f & 63) && !memcmp(f, in, len * sizeof *f);
			arena_reset(&arena);
		}
	}
	OK(same, "vectors of 0 to 300 survive both forms bit by bit");
	in[2] = NAN;
	buf_reset(&b);
	w = json_w(&b);
	json_w_f32_base64(&w, in, 4);
	OK(json_f32s(&f, &n, parsed(b.p), &arena, &e) && e.code == ERR_INVALID_VECTOR &&
		   strstr(e.text, "component 2"),
	   "NaN is named: %s", e.text);
	OK(json_f32s(&f, &n, parsed("[1,1e39]"), &arena, &e) && e.code == ERR_INVALID_VECTOR, "%s",
	   e.text);
	OK(json_f32s(&f, &n, parsed("[1,\"2\"]"), &arena, &e) && e.code == ERR_INVALID_VECTOR, "%s",
	   e.text);
	OK(json_f32s(&f, &n, parsed("\"AACAPw\""), &arena, &e) && e.code == ERR_INVALID_FIELD, "%s",
	   e.text);
	OK(json_f32s(&f, &n, parsed("\"AACAP===\""), &arena, &e) && e.code == ERR_INVALID_FIELD,
	   "%s", e.text);
	OK(json_f32s(&f, &n, parsed("\"AAA=\""), &arena, &e) && e.code == ERR_INVALID_VECTOR, "%s",
	   e.text);
	OK(json_f32s(&f, &n, parsed("\"AAB=\""), &arena, &e) && e.code == ERR_INVALID_VECTOR, "%s",
	   e.text);
	OK(!json_f32s(&f, &n, parsed("\"\\/\\/9\\/fw==\""), &arena, &e)
		   ? n == 1
		   : e.code == ERR_INVALID_VECTOR,
	   "an escaped slash is base64");
	OK(!json_i32s(&t, &n, parsed("[ 1, -2 ,2147483647]"), &arena, &e) && n == 3 && t[1] == -2 &&
		   t[2] == INT32_MAX,
	   "i32");
	OK(json_i32s(&t, &n, parsed("[1,2147483648]"), &arena, &e) &&
		   json_i32s(&t, &n, parsed("[1.5]"), &arena, &e),
	   "no i32");
	buf_release(&b);
}

/* Floats from decimal texts of every length against the exact conversion of base, also near the
 * middle of two floats. */
static void test_floats(void)
{
	static const char *const some[] = {
		"0",
		"-0",
		"-0.0",
		"1",
		"0.1",
		"1e-45",
		"1.4e-45",
		"7e-46",
		"1.17549435e-38",
		"1.1754942e-38",
		"3.4028235e38",
		"1e22",
		"16777217",
		"16777217.0000000001",
		"16777216.99999999999",
		"33554434",
		"0.000000000000000000000000000001",
		"123456789012345678901234567890",
		"0.3333333333333333333333333333",
		"-0.006929283495992422",
		"9007199254740993",
		"18446744073709551615",
		"99999999999999999999",
		"1.00000005960464477539062500",
		"1.000000059604644775390625",
		"1.0000000596046448",
		"1.0000000596046447",
		"0.00000000000000000000011920929",
		"12345678",
		"12345678.5",
		"1E2",
		"5e-1",
	};
	struct rng rng = { 7, 0, 0 };
	size_t wrong = 0, runs = 0;
	struct buf b;
	float *f;
	size_t n;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < 200000; i++) {
		char num[64];
		struct json_val v;

		if (i < sizeof some / sizeof *some) {
			snprintf(num, sizeof num, "%s", some[i]);
		} else if (i % 4 ==
			   0) { /* the middle between two floats, and its neighbours as doubles */
			float x = (float)(rng_f64(&rng) * pow(10, (double)rng_below(&rng, 12) - 6));
			double mid = ((double)x + (double)nextafterf(x, 1e30f)) / 2;

			mid = i % 3 == 0   ? nextafter(mid, 0)
			      : i % 3 == 1 ? nextafter(mid, 1e30)
					   : mid;
			snprintf(num, sizeof num, "%.*f", (int)rng_below(&rng, 30), mid);
		} else {
			snprintf(num, sizeof num, "%.*f", (int)rng_below(&rng, 24),
				 (rng_f64(&rng) - 0.5) * pow(10, (double)rng_below(&rng, 12) - 6));
		}
		buf_reset(&b);
		buf_addf(&b, "[%s%s]", num, i % 2 ? "" : " , 1");
		if (json_parse(&v, buf_str(&b), NULL) || json_f32s(&f, &n, v, &arena, NULL) ||
		    n != (i % 2 ? 1 : 2)) {
			wrong++;
		} else {
			float want = num_json_f32(str_of(num));

			if (memcmp(&want, f, 4) != 0 && ++wrong < 10)
				printf("# %s: %a, not %a\n", num, (double)*f, (double)want);
		}
		arena_reset(&arena);
		runs++;
	}
	OK(!wrong, "%zu decimal texts give the nearest float", runs);
	buf_release(&b);
}

static void test_base64(void)
{
	static const char *const rfc[][2] = { { "", "" },
					      { "f", "Zg==" },
					      { "fo", "Zm8=" },
					      { "foo", "Zm9v" },
					      { "foob", "Zm9vYg==" },
					      { "fooba", "Zm9vYmE=" },
					      { "foobar", "Zm9vYmFy" } }; /* RFC 4648, section 10 */
	static const char *const refused[] = {
		"Z",    "Zg",     "Zg=",  "Zg===", "=",
		"====", "Z===",   "Zh==", "Zm9=",  "Zg==Zg==",
		"Zm 9", "Zm9v\n", "Zm-v", "Zm_v",  "Zm9v\xff\xff\xff\xff"
	};
	struct err e = { 0 };
	struct buf b;
	bool same = true;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < sizeof rfc / sizeof *rfc; i++) {
		buf_reset(&b);
		json_base64_put(&b, rfc[i][0], strlen(rfc[i][0]));
		same = same && str_is(buf_str(&b), rfc[i][1]);
		buf_reset(&b);
		same = same && !json_base64_get(&b, str_of(rfc[i][1]), &e) &&
		       str_is(buf_str(&b), rfc[i][0]);
	}
	OK(same, "the examples of RFC 4648");
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		buf_reset(&b);
		if (!json_base64_get(&b, str_of(refused[i]), &e)) {
			same = false;
			printf("# accepted: %s\n", refused[i]);
		}
	}
	OK(same, "bad base64 is refused");
	buf_release(&b);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void test_write(void)
{
	struct err e = { 0 };
	struct buf b;
	struct json_w w;

	buf_init(&b, 1 << 20);
	w = json_w(&b);
	json_w_begin(&w, '{');
	json_w_key(&w, "a\"");
	json_w_str(&w, (struct str){ "q\" b\\ n\n \x01 \xc3\xa9 \xff. \x7f\0", 19 });
	json_w_key(&w, "n");
	json_w_begin(&w, '[');
	json_w_i64(&w, -5);
	json_w_u64(&w, UINT64_MAX);
	json_w_f64(&w, 0.1);
	json_w_f64(&w, (double)NAN);
	json_w_f32(&w, 0.1f);
	json_w_bool(&w, true);
	json_w_null(&w);
	json_w_strz(&w, NULL);
	json_w_raw(&w, STR("{\"r\":1}"));
	json_w_end(&w, ']');
	json_w_key(&w, "e");
	json_w_begin(&w, '{');
	json_w_end(&w, '}');
	json_w_end(&w, '}');
	OK(str_is(buf_str(&b), "{\"a\\\"\":\"q\\\" b\\\\ n\\n \\u0001 \xc3\xa9 \xef\xbf\xbd. "
			       "\x7f\\u0000\",\"n\":[-5,18446744073709551615,0.1,null,"
			       "0.1,true,null,null,{\"r\":1}],\"e\":{}}"),
	   "written: %s", b.p);
	buf_reset(&b);
	OK(!json_pretty(&b, parsed("{\"a\":[1,2,{}],\"b\":{\"c\":\"d,:{\"} , \"e\":[ ]}"), 2, &e) &&
		   str_is(buf_str(&b), "{\n  \"a\": [\n    1,\n    2,\n    {}\n  ],\n  \"b\": {\n  "
				       "  \"c\": \"d,:{\"\n  },\n  \"e\": []\n}"),
	   "pretty");
	buf_reset(&b);
	OK(!json_pretty(&b, parsed("[1,{\"a\":true}]"), 0, &e) &&
		   str_is(buf_str(&b), "[1, {\"a\": true}]"),
	   "on one line");
	buf_release(&b);
}

/* ops: "+name=value" sets, "-name" removes, separated by blanks */
static bool edited(const char *obj, const char *ops, const char *want)
{
	struct json_edit ed;
	struct err e = { 0 };
	struct json_val v;
	struct buf b;
	bool same;

	json_edit_init(&ed);
	for (const char *p = ops; *p;) {
		size_t n = strcspn(p, " "), eq = strcspn(p, "=");

		if (*p == '+')
			json_edit_set(&ed, (struct str){ p + 1, eq - 1 },
				      (struct str){ p + eq + 1, n - eq - 1 }, &e);
		else
			json_edit_remove(&ed, (struct str){ p + 1, n - 1 }, &e);
		p += n + (p[n] == ' ');
	}
	buf_init(&b, 1 << 20);
	same = !json_edit_put(&b, parsed(obj), &ed, &e) && str_is(buf_str(&b), want) &&
	       !json_parse(&v, buf_str(&b), &e);
	if (same) {
		struct json_member m[8];
		size_t k;

		buf_reset(&b);
		same = !json_parse_members(&v, m, &k, 8, str_of(obj), &e) && k == json_count(v) &&
		       k <= 8 && !json_edit_put_members(&b, v, m, k, &ed, &e) &&
		       str_is(buf_str(&b), want);
	}
	if (!same)
		printf("# %s %s: %s %s\n", obj, ops, b.p, e.text);
	buf_release(&b);
	return same;
}

static void test_edit(void)
{
	OK(edited("{}", "", "{}") && edited("{ }", "+a=1", "{\"a\":1 }") &&
		   edited("{\"a\":1}", "+b=2", "{\"a\":1,\"b\":2}"),
	   "append");
	OK(edited("{ \"a\" : 1 , \"b\" : 2 }", "+c=3 +d=[4]",
		  "{ \"a\" : 1 , \"b\" : 2,\"c\":3,\"d\":[4] }"),
	   "blanks stay");
	OK(edited("{ \"a\" : 1 , \"b\" : 2 }", "+a={} +c=3", "{ \"a\" : {} , \"b\" : 2,\"c\":3 }"),
	   "replace in place");
	OK(edited("{\"a\":1,\"b\":2,\"a\":3}", "+a=9", "{\"a\":1,\"b\":2,\"a\":9}"),
	   "the last duplicate is replaced");
	OK(edited("{\"\\u0061\":1}", "+a=9", "{\"\\u0061\":9}"), "a key written with an escape");
	OK(edited("{\"a\":1, \"b\":2, \"c\":3}", "-a", "{\"b\":2, \"c\":3}") &&
		   edited("{\"a\":1, \"b\":2, \"c\":3}", "-b", "{\"a\":1, \"c\":3}") &&
		   edited("{\"a\":1, \"b\":2, \"c\":3 }", "-c", "{\"a\":1, \"b\":2 }"),
	   "remove first, middle, last");
	OK(edited("{\"a\":1,\"b\":2,\"a\":3}", "-a", "{\"b\":2}") &&
		   edited("{ \"a\":1 }", "-a", "{  }") &&
		   edited("{\"a\":1,\"b\":2,\"c\":3}", "-a -b -c +d=4", "{\"d\":4}") &&
		   edited("{\"a\":1,\"b\":2}", "-b +c=3", "{\"a\":1,\"c\":3}"),
	   "remove all of a name, all members, remove and append");
	OK(edited("{\"a\":1}", "+b=1 +b=2", "{\"a\":1,\"b\":2}") &&
		   edited("{\"a\":1}", "+a=2 -a", "{}"),
	   "the last change of a name counts");
	OK(edited("{\"i\":1755700000000012345,\"d\":0.10,\"e\":1E5,\"s\":\"\\/\\u00e9\"}", "+x=1",
		  "{\"i\":1755700000000012345,\"d\":0.10,\"e\":1E5,\"s\":\"\\/\\u00e9\",\"x\":1}"),
	   "spelling stays");
}

int main(void)
{
	arena_init(&arena, (size_t)1 << 28);
	test_conformance();
	test_depth();
	test_agreement();
	test_get();
	test_members();
	test_values();
	test_equal();
	test_vectors();
	test_floats();
	test_base64();
	test_write();
	test_edit();
	arena_release(&arena);
	return tap_done();
}
