/* price_test: money to the last digit, buckets, tiers, dates, names and the vendors' shapes of
 * usage. */
#include "config.h"
#include "price/price.h"
#include "tap.h"

/* Python's integers as the reference: price_golden.py */
static const struct {
	const char *count, *price;
	long long per;
	const char *ratio, *cost;
	bool rounded;
} golden[] = {
#include "price_golden.h"
};

static const char book_text[] =
	"{\"sku\":\"acme/one/"
	"input\",\"match\":[{\"exact\":\"one\"},{\"alias\":\"uno\"},{\"prefix\":\"one-\"}],"
	"\"unit\":\"input_tokens\",\"price\":\"3\",\"tiers\":[{\"over\":200000,\"price\":\"6\"}],"
	"\"multipliers\":{\"batch\":\"1/2\",\"region:us\":\"11/10\"}}\n"
	"{\"sku\":\"acme/one/"
	"cache_read\",\"unit\":\"cache_read_tokens\",\"price\":\"0.3\",\"tiers\":[{\"over\":200000,"
	"\"price\":\"0.6\"}]}\n"
	"{\"sku\":\"acme/one/cache_write\",\"unit\":\"cache_write_tokens\",\"price\":\"3.75\"}\n"
	"{\"sku\":\"acme/one/cache_write_1h\",\"unit\":\"cache_write_1h_tokens\",\"price\":\"6\"}\n"
	"{\"sku\":\"acme/one/"
	"output\",\"unit\":\"output_tokens\",\"price\":\"15\",\"tiers\":[{\"over\":200000,"
	"\"price\":\"22.5\"}],"
	"\"multipliers\":{\"batch\":\"1/2\"}}\n"
	"\n"
	"{\"sku\":\"acme/media/"
	"input\",\"match\":[{\"exact\":\"media\"}],\"unit\":\"input_tokens\",\"price\":\"1\"}\n"
	"{\"sku\":\"acme/media/audio\",\"unit\":\"input_audio_tokens\",\"price\":\"10\"}\n"
	"{\"sku\":\"acme/media/cached\",\"unit\":\"cache_read_tokens\",\"price\":\"100\"}\n"
	"{\"sku\":\"acme/media/"
	"cached_audio\",\"unit\":\"cache_read_audio_tokens\",\"price\":\"1000\"}\n"
	"{\"sku\":\"acme/slices/"
	"input\",\"match\":[{\"exact\":\"slices\"}],\"unit\":\"input_tokens\",\"price\":\"1\","
	"\"tiers\":[{\"over\":1000,\"mode\":\"marginal\",\"price\":\"2\"},{\"over\":2000,\"mode\":"
	"\"marginal\",\"price\":\"4\"}]}\n"
	"{\"sku\":\"acme/dated/"
	"input\",\"match\":[{\"exact\":\"dated\"}],\"unit\":\"input_tokens\",\"price\":\"8\","
	"\"valid_to\":\"2026-01-01\"}\n"
	"{\"sku\":\"acme/dated/"
	"input\",\"unit\":\"input_tokens\",\"price\":\"4\",\"valid_from\":\"2026-01-01\",\"valid_"
	"to\":\"2026-02-01T00:00:00Z\"}\n"
	"{\"sku\":\"acme/dated/"
	"input\",\"unit\":\"input_tokens\",\"price\":\"2\",\"valid_from\":\"2026-01-01\",\"valid_"
	"to\":\"2026-02-01\","
	"\"when\":{\"utc\":\"16:30-00:30\"}}\n"
	"{\"sku\":\"other/uno/"
	"input\",\"match\":[{\"exact\":\"shared\"}],\"unit\":\"input_tokens\",\"price\":\"1\"}\n"
	"{\"sku\":\"acme/shared/"
	"input\",\"match\":[{\"exact\":\"shared\"}],\"unit\":\"input_tokens\",\"price\":\"2\"}\n"
	"{\"sku\":\"local/any/"
	"input_seconds\",\"match\":[{\"prefix\":\"\"}],\"unit\":\"input_seconds\",\"per\":3600,"
	"\"price\":\"0.42\"}\n"
	"{\"sku\":\"local/any/"
	"output_seconds\",\"unit\":\"output_seconds\",\"per\":3600,\"price\":\"0.42\"}\n";

static struct price_book *book_of(const char *text)
{
	struct price_book *b;
	struct err e = { 0 };

	if (price_book_new(&b, &e))
		return NULL;
	if (price_book_add(b, str_of(text), "test", &e)) {
		printf("# %s\n", e.text);
		price_book_free(b);
		return NULL;
	}
	return b;
}

/* "total input cached output other" of a call in JSON, or the name of the error. */
static const char *cost_of(const struct price_book *b, const char *json, int64_t when)
{
	static char out[PRICE_N_CLASSES + 1][PRICE_BUF];
	static char line[6 * PRICE_BUF];
	const struct price_model *m;
	struct price_call c;
	static struct price_cost cost;
	struct json_val v;
	struct arena a;
	struct err e = { 0 };
	int failed;

	arena_init(&a, 1 << 20);
	failed = json_parse(&v, str_of(json), &e) || price_call_read(&c, v, &a, &e) ||
		 price_find(&m, b, c.local ? STR("local") : c.provider, c.model, &e) ||
		 price_cost(&cost, m, &c, c.have_when ? c.when : when, &e);
	arena_release(&a);
	if (failed) {
		printf("# %s\n", e.text);
		return err_name(e.code);
	}
	price_put(out[0], cost.total_e18);
	for (int k = 0; k < PRICE_N_CLASSES; k++)
		price_put(out[k + 1], cost.part_e18[k]);
	snprintf(line, sizeof line, "%s = %s %s %s", out[0], out[PRICE_C_INPUT + 1],
		 out[PRICE_C_CACHED + 1], out[PRICE_C_OUTPUT + 1]);
	return line;
}

#define COST(json, want)                                                                           \
	do {                                                                                       \
		const char *got_ = cost_of(b, json, 1760000000);                                   \
		OK(got_ && !strcmp(got_, want), "%s: %s", json, want);                             \
		if (!got_ || strcmp(got_, want))                                                   \
			printf("# got %s\n", got_ ? got_ : "(none)");                              \
	} while (0)

static void test_decimal(void)
{
	static const struct {
		const char *text;
		unsigned scale;
		const char *e18; /* NULL: refused */
		bool inexact;
	} cases[] = {
		{ "0.15", 18, "0.15", false },
		{ "3e-06", 18, "0.000003", false },
		{ "-0", 18, "0", false },
		{ "1E3", 18, "1000", false },
		{ "0.0000000000000000005", 18, "0", true },
		{ "0.0000000000000000015", 18, "0.000000000000000002", true },
		{ "0.00000000000000000050000000000000000000001", 18, "0.000000000000000001", true },
		{ "123456789012345678901.5", 18, "123456789012345678901.5", false },
		{ "1e21", 18, NULL, false },
		{ "170141183460469231731", 18, "170141183460469231731", false },
		{ "0.18000000000000002", 12, "0.00000018", true },
		{ "1e-400000", 18, "0", true },
		{ "1e99999999999", 18, NULL, false },
		{ "", 18, NULL, false },
		{ ".", 18, NULL, false },
		{ "1e", 18, NULL, false },
		{ "1.2.3", 18, NULL, false },
		{ "0x1", 18, NULL, false },
		{ "-2.50", 18, "-2.5", false },
		{ "000000000000000000000000000000000000000000001", 18, "1", false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct err e = { 0 };
		char text[PRICE_BUF];
		__int128 v = 0;
		bool inexact;
		bool failed =
			price_decimal(&v, &inexact, str_of(cases[i].text), cases[i].scale, &e);

		if (failed || !cases[i].e18) {
			OK(failed == !cases[i].e18, "\"%s\" is refused", cases[i].text);
			continue;
		}
		price_put(text, v);
		OK(!strcmp(text, cases[i].e18) && inexact == cases[i].inexact, "%s is %s",
		   cases[i].text, cases[i].e18);
	}
}

static void test_golden(void)
{
	size_t good = 0;
	size_t n = sizeof golden / sizeof *golden;

	for (size_t i = 0; i < n; i++) {
		char text[512];
		char got[PRICE_BUF] = "";
		struct price_call c = { .tier = STR("x"), .region = { "", 0 } };
		static struct price_cost cost;
		const struct price_model *m;
		struct price_book *b;
		struct err e = { 0 };
		int64_t micro;
		bool inexact;

		snprintf(text, sizeof text,
			 "{\"sku\":\"a/b/"
			 "c\",\"match\":[{\"exact\":\"m\"}],\"unit\":\"input_tokens\","
			 "\"per\":%lld,\"price\":\"%s\",\"multipliers\":{\"x\":\"%s\"}}",
			 golden[i].per, golden[i].price, golden[i].ratio);
		b = book_of(text);
		if (b && !price_decimal_i64(&micro, &inexact, str_of(golden[i].count), 6, &e) &&
		    !price_find(&m, b, STR("a"), STR("m"), &e)) {
			price_usage_set(&c.usage, PRICE_INPUT, micro);
			if (!price_cost(&cost, m, &c, 0, &e))
				price_put(got, cost.total_e18);
		}
		if (!strcmp(got, golden[i].cost) && cost.rounded == golden[i].rounded)
			good++;
		else
			printf("# %s x %s x %s / %lld = %s, want %s %s\n", golden[i].count,
			       golden[i].price, golden[i].ratio, golden[i].per, got, golden[i].cost,
			       e.text);
		price_book_free(b);
	}
	OK(good == n, "%zu of %zu products to the last digit", good, n);
}

static void test_buckets(const struct price_book *b)
{
	COST("{\"model\":\"one\",\"usage\":{\"prompt_tokens\":1000000,\"completion_tokens\":7}}",
	     "6.0001575 = 6 0 0.0001575");
	COST("{\"model\":\"one\",\"usage\":{\"prompt_tokens\":200000,\"completion_tokens\":0}}",
	     "0.6 = 0.6 0 0");
	COST("{\"model\":\"one\",\"usage\":{\"prompt_tokens\":200001,\"completion_tokens\":0}}",
	     "1.200006 = 1.200006 0 0");
	COST("{\"model\":\"one\",\"usage\":{\"prompt_tokens\":300000,\"completion_tokens\":1000}}",
	     "1.8225 = 1.8 0 0.0225");
	COST("{\"model\":\"one\",\"usage\":{\"prompt_tokens\":100,\"prompt_tokens_details\":{"
	     "\"cached_tokens\":200}}}",
	     "invalid_field");
	COST("{\"model\":\"media\",\"usage\":{\"prompt_tokens\":100,\"prompt_tokens_details\":{"
	     "\"cached_tokens\":30,"
	     "\"audio_tokens\":20,\"cached_tokens_details\":{\"audio_tokens\":5}}}}",
	     "0.007705 = 0.000205 0.0075 0");
	COST("{\"model\":\"media\",\"usage\":{\"prompt_tokens\":100,\"prompt_tokens_details\":{"
	     "\"cached_tokens\":30,"
	     "\"audio_tokens\":20}}}",
	     "invalid_field");
	COST("{\"model\":\"media\",\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":1}}",
	     "unpriced");
	COST("{\"model\":\"slices\",\"usage\":{\"prompt_tokens\":3500}}", "0.009 = 0.009 0 0");
	COST("{\"model\":\"slices\",\"usage\":{\"prompt_tokens\":1000}}", "0.001 = 0.001 0 0");
	COST("{\"model\":\"slices\",\"usage\":{\"prompt_tokens\":100,\"prompt_tokens_details\":{"
	     "\"cached_tokens\":200}}}",
	     "0.0001 = 0.0001 0 0");
	COST("{\"model\":\"one\",\"service_tier\":\"flex\",\"usage\":{\"prompt_tokens\":1}}",
	     "unpriced");
	COST("{\"model\":\"one\",\"service_tier\":\"default\",\"usage\":{\"prompt_tokens\":1}}",
	     "0.000003 = 0.000003 0 0");
	COST("{\"model\":\"one\",\"region\":\"us\",\"usage\":{\"prompt_tokens\":1,\"completion_"
	     "tokens\":1}}",
	     "0.0000183 = 0.0000033 0 0.000015");
	COST("{\"model\":\"one\",\"usage\":{\"prompt_tokens\":-1}}", "invalid_field");
	COST("{\"model\":\"one\",\"usage\":{\"prompt_tokens\":1e30}}", "invalid_field");
	COST("{\"model\":\"one\",\"usage\":{\"prompt_tokens\":\"5\"}}", "invalid_field");
}

static void test_names(const struct price_book *b)
{
	static const char *const good[] = { "one",          "uno",
					    "one-20250101", "one-2025-01-31",
					    "one-latest",   "acme/one" };
	static const char *const bad[] = { "on", "ones", "One", "uno-1", "two", "shared", "" };
	const struct price_model *m;
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		OK(!price_find(&m, b, (struct str){ "", 0 }, str_of(good[i]), &e) &&
			   str_is(price_model_sku(m), "acme/one"),
		   "\"%s\" is acme/one", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		OK(price_find(&m, b, (struct str){ "", 0 }, str_of(bad[i]), &e) &&
			   e.code == ERR_UNPRICED,
		   "\"%s\" has no price", bad[i]);
		err_clear(&e);
	}
	OK(!price_find(&m, b, STR("acme"), STR("shared"), &e) &&
		   str_is(price_model_sku(m), "acme/shared"),
	   "a provider tells shared names apart");
	OK(price_find(&m, b, STR("azure"), STR("one"), &e),
	   "another provider's model of that name is not priced");
}

static void test_dates(const struct price_book *b)
{
#define AT(t) "{\"model\":\"dated\",\"created\":" t ",\"usage\":{\"prompt_tokens\":1000000}}"
	COST(AT("\"2025-12-31T23:59:59Z\""), "8 = 8 0 0");
	COST(AT("\"2026-01-01T00:30:00Z\""), "4 = 4 0 0");
	COST(AT("\"2026-01-01T00:29:59Z\""), "2 = 2 0 0");
	COST(AT("\"2026-01-31T16:30:00Z\""), "2 = 2 0 0");
	COST(AT("\"2026-01-31T16:29:59Z\""), "4 = 4 0 0");
	COST(AT("1769904000"), "unpriced"); /* 2026-02-01 */
	COST(AT("1769904000000"), "invalid_field");
}

static void test_shapes(const struct price_book *b)
{
	/* the same call of 1000 input, 400 of it from the cache, and 100 output */
#define SAME "0.00342 = 0.0018 0.00012 0.0015"
	COST("{\"model\":\"one\",\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":100,"
	     "\"total_tokens\":1100,"
	     "\"prompt_tokens_details\":{\"cached_tokens\":400},\"completion_tokens_details\":{"
	     "\"reasoning_tokens\":60}}}",
	     SAME);
	COST("{\"object\":\"response\",\"model\":\"one\",\"usage\":{\"input_tokens\":1000,\"output_"
	     "tokens\":100,"
	     "\"input_tokens_details\":{\"cached_tokens\":400},\"output_tokens_details\":{"
	     "\"reasoning_tokens\":60}}}",
	     SAME);
	COST("{\"type\":\"response.done\",\"model\":\"one\",\"response\":{\"usage\":{\"input_"
	     "tokens\":1000,\"output_tokens\":100,"
	     "\"input_token_details\":{\"cached_tokens\":400,\"text_tokens\":1000}}}}",
	     SAME);
	COST("{\"type\":\"message\",\"model\":\"one\",\"usage\":{\"input_tokens\":600,\"cache_read_"
	     "input_tokens\":400,"
	     "\"cache_creation_input_tokens\":0,\"output_tokens\":100}}",
	     SAME);
	COST("{\"model\":\"one\",\"usage\":{\"inputTokens\":600,\"cacheReadInputTokens\":400,"
	     "\"outputTokens\":100}}",
	     SAME);
	COST("{\"modelVersion\":\"one\",\"usageMetadata\":{\"promptTokenCount\":900,"
	     "\"toolUsePromptTokenCount\":100,"
	     "\"cachedContentTokenCount\":400,\"candidatesTokenCount\":40,\"thoughtsTokenCount\":"
	     "60}}",
	     SAME);
	COST("{\"model\":\"one\",\"usage\":{\"prompt_tokens\":1000,\"prompt_cache_hit_tokens\":400,"
	     "\"prompt_cache_miss_tokens\":600,\"completion_tokens\":100}}",
	     SAME);
	COST("{\"model\":\"one\",\"provider\":\"acme\",\"usage\":{\"prompt_tokens\":1000,"
	     "\"completion_tokens\":40,\"total_tokens\":1100,"
	     "\"prompt_tokens_details\":{\"cached_tokens\":400},\"completion_tokens_details\":{"
	     "\"reasoning_tokens\":60}}}",
	     SAME);
	COST("{\"model\":\"one\",\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":40,\"cost_"
	     "in_usd_ticks\":5,"
	     "\"prompt_tokens_details\":{\"cached_tokens\":400},\"completion_tokens_details\":{"
	     "\"reasoning_tokens\":60}}}",
	     SAME);
	COST("{\"attributes\":{\"gen_ai.request.model\":\"none\",\"gen_ai.response.model\":\"one\","
	     "\"gen_ai.usage.input_tokens\":1000,"
	     "\"gen_ai.usage.cache_read.input_tokens\":400,\"gen_ai.usage.output_tokens\":100}}",
	     SAME);
	COST("{\"llm.model_name\":\"one\",\"llm.token_count.prompt\":1000,\"llm.token_count."
	     "completion\":100,"
	     "\"llm.token_count.prompt_details.cache_read\":400}",
	     SAME);
	COST("{\"model\":\"one\",\"usage\" : { \"pr\\u006fmpt_tokens\" :1000 "
	     ",\"completion_tokens\": 100,"
	     "\"prompt_tokens_details\":{\"audio_tokens\":null,\"cached_tokens\":400}}}",
	     SAME);
	COST("{\"model\":\"one\",\"meta\":{\"billed_units\":{\"input_tokens\":1000,\"output_"
	     "tokens\":100.0}}}",
	     "0.0045 = 0.003 0 0.0015");
	COST("{\"custom_id\":\"a\",\"response\":{\"status_code\":200,\"body\":{\"model\":\"one\","
	     "\"usage\":{\"prompt_tokens\":1000,"
	     "\"completion_tokens\":100}}}}",
	     "0.00225 = 0.0015 0 0.00075");
	COST("{\"custom_id\":\"a\",\"result\":{\"type\":\"succeeded\",\"message\":{\"model\":"
	     "\"one\",\"usage\":{\"input_tokens\":1000,"
	     "\"output_tokens\":100}}}}",
	     "0.00225 = 0.0015 0 0.00075");
	COST("{\"model\":\"one\",\"usage\":{\"input_tokens\":0,\"cache_creation_input_tokens\":100,"
	     "\"cache_creation\":"
	     "{\"ephemeral_5m_input_tokens\":40,\"ephemeral_1h_input_tokens\":60}}}",
	     "0.00051 = 0.00051 0 0");
	COST("{\"model\":\"media\",\"usageMetadata\":{\"promptTokenCount\":100,"
	     "\"promptTokensDetails\":[{\"modality\":\"TEXT\","
	     "\"tokenCount\":80},{\"modality\":\"AUDIO\",\"tokenCount\":20}]}}",
	     "0.00028 = 0.00028 0 0");
	COST("{\"model\":\"x.gguf\",\"model_digest\":\"ab\",\"usage\":{\"prompt_tokens\":9},"
	     "\"timings\":{\"prompt\":1500.25,"
	     "\"predicted\":1000}}",
	     "0.000291695833333334 = 0.000175029166666667 0 0.000116666666666667");
	/* its share of a batch, where that is told; the whole time where no part is */
	COST("{\"model\":\"x.gguf\",\"model_digest\":\"ab\",\"usage\":{\"prompt_tokens\":9},"
	     "\"timings\":{\"prompt\":9000,\"predicted\":9000,\"machine_prompt\":1500.25,"
	     "\"machine_predicted\":1000}}",
	     "0.000291695833333334 = 0.000175029166666667 0 0.000116666666666667");
	COST("{\"model\":\"x.gguf\",\"model_digest\":\"ab\",\"usage\":{\"prompt_tokens\":9},"
	     "\"timings\":{\"total\":1500.25}}",
	     "0.000175029166666667 = 0.000175029166666667 0 0");
	COST("{\"model\":\"x.gguf\",\"model_digest\":\"ab\",\"usage\":{\"prompt_tokens\":9}}",
	     "unpriced");
}

static void count_findings(void *arg, const char *file, uint64_t line, const char *text)
{
	printf("# %s:%llu: %s\n", file, (unsigned long long)line, text);
	++*(int *)arg;
}

static void test_books(void)
{
	static const char *const bad[] = {
		"{\"sku\":\"a/b/c\",\"unit\":\"input_tokens\",\"price\":\"1\"}", /* no names */
		"{\"sku\":\"a/b/c\",\"match\":[],\"unit\":\"tokens\",\"price\":\"1\"}",
		"{\"sku\":\"a/b/c\",\"match\":[],\"unit\":\"input_tokens\",\"price\":1}",
		"{\"sku\":\"a/b/c\",\"match\":[],\"unit\":\"input_tokens\",\"price\":\"-1\"}",
		"{\"sku\":\"a/b/"
		"c\",\"match\":[],\"unit\":\"input_tokens\",\"price\":\"0.0000000000001\"}",
		"{\"sku\":\"a/b/c\",\"match\":[],\"unit\":\"input_tokens\",\"price\":\"9300000\"}",
		"{\"sku\":\"a/b/"
		"c\",\"match\":[],\"unit\":\"input_tokens\",\"price\":\"1\",\"vaild_to\":null}",
		"{\"sku\":\"a/b/"
		"c\",\"match\":[],\"unit\":\"input_tokens\",\"price\":\"1\",\"valid_from\":\"2026-"
		"02-30\"}",
		"{\"sku\":\"a/b/"
		"c\",\"match\":[],\"unit\":\"input_tokens\",\"price\":\"1\",\"multipliers\":{"
		"\"batch\":0.5}}",
		"{\"sku\":\"a/b/"
		"c\",\"match\":[{\"regex\":\"a\"}],\"unit\":\"input_tokens\",\"price\":\"1\"}",
		"{\"sku\":\"a/b/"
		"c\",\"match\":[],\"unit\":\"input_tokens\",\"price\":\"1\",\"tiers\":[{\"over\":5,"
		"\"price\":\"1\"},{\"over\":5,\"price\":\"2\"}]}",
		"[1]",
		"{",
	};
	struct price_book *b, *user;
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		if (price_book_new(&b, &e))
			return;
		OK(price_book_add(b, str_of(bad[i]), "bad", &e) && e.code == ERR_OPEN &&
			   !strncmp(e.text, "bad:1: ", 7),
		   "refused: %s", e.text);
		err_clear(&e);
		price_book_free(b);
	}
	user = book_of(book_text);
	OK(user && !price_book_add(user,
				   STR("{\"sku\":\"acme/one/"
				       "input\",\"unit\":\"input_tokens\",\"price\":\"1\"}"),
				   "user", &e),
	   "a second book");
	b = user;
	COST("{\"model\":\"one\",\"usage\":{\"prompt_tokens\":300000,\"completion_tokens\":1000}}",
	     "0.3225 = 0.3 0 0.0225");
	price_book_free(user);
}

static void test_lint(void)
{
	const char *path = "price_test.tmp";
	FILE *f = fopen(path, "w");
	struct price_book *b;
	struct err e = { 0 };
	int told = 0;

	if (!f || price_book_new(&b, &e)) {
		OK(false, "a scratch file");
		return;
	}
	fputs("{\"sku\":\"a/b/"
	      "i\",\"match\":[{\"exact\":\"m\"}],\"unit\":\"input_tokens\",\"price\":\"1\",\"valid_"
	      "to\":\"2026-01-02\"}\n"
	      "{\"sku\":\"a/b/"
	      "i\",\"unit\":\"input_tokens\",\"price\":\"2\",\"valid_from\":\"2026-01-01\"}\n"
	      "{\"sku\":\"a/b/c\",\"unit\":\"cache_read_tokens\",\"price\":\"2\"}\n"
	      "{\"sku\":\"a/b/c\",\"unit\":\"input_audio_tokens\",\"price\":\"2\"}\n"
	      "{\"sku\":\"a/c/"
	      "o\",\"match\":[{\"exact\":\"n\"}],\"unit\":\"reasoning_tokens\",\"price\":\"1\"}\n"
	      "{\"sku\":\"a/d/"
	      "i\",\"match\":[{\"exact\":\"m\"}],\"unit\":\"input_tokens\",\"price\":\"1\"}\n"
	      "nonsense\n",
	      f);
	fclose(f);
	OK(price_book_lint(b, path, count_findings, &told, &e) == 5 && told == 5,
	   "lint finds five faults");
	remove(path);
	price_book_free(b);
}

int main(void)
{
	struct price_book *b = book_of(book_text);

	test_decimal();
	test_golden();
	if (OK(b != NULL, "a book")) {
		test_buckets(b);
		test_names(b);
		test_dates(b);
		test_shapes(b);
	}
	price_book_free(b);
	test_books();
	test_lint();
	return tap_done();
}
