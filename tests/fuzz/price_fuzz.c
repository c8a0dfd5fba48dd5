/* price_fuzz: the bytes as a price book, and each of their lines as a call priced by a book that is
 * good. */
#include "config.h"
#include "price/price.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char good[] =
	"{\"sku\":\"a/b/"
	"i\",\"match\":[{\"prefix\":\"\"},{\"exact\":\"m\"}],\"unit\":\"input_tokens\",\"price\":"
	"\"3\","
	"\"tiers\":[{\"over\":200,\"price\":\"6\"}],\"multipliers\":{\"batch\":\"1/"
	"3\",\"region:us\":\"11/10\"}}\n"
	"{\"sku\":\"a/b/c\",\"unit\":\"cache_read_tokens\",\"per\":7,\"price\":\"9000000\"}\n"
	"{\"sku\":\"a/b/"
	"a\",\"unit\":\"input_audio_tokens\",\"price\":\"0.1\",\"tiers\":[{\"over\":2,\"price\":"
	"\"1\",\"mode\":\"marginal\"}]}\n"
	"{\"sku\":\"a/b/"
	"x\",\"unit\":\"cache_read_audio_tokens\",\"price\":\"0.1\",\"when\":{\"utc\":\"22:00-03:"
	"00\"}}\n"
	"{\"sku\":\"a/b/o\",\"unit\":\"output_tokens\",\"price\":\"0.000000000001\"}\n";

static void price_line(const struct price_book *b, struct str line)
{
	static struct price_cost cost;
	const struct price_model *m;
	struct price_call c;
	struct json_val v;
	struct arena a;
	struct err e = { 0 };
	__int128 sum = 0;
	char text[PRICE_BUF];

	arena_init(&a, 1 << 20);
	if (!json_parse(&v, line, &e) && !price_call_read(&c, v, &a, &e) &&
	    !price_find(&m, b, c.provider, c.model, &e) && !price_cost(&cost, m, &c, 0, &e)) {
		for (int k = 0; k < PRICE_N_CLASSES; k++)
			sum += cost.part_e18[k];
		if (sum != cost.total_e18 || price_put(text, sum) >= PRICE_BUF)
			abort();
	}
	arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct price_book *book, *other;
	struct err e = { 0 };

	if (price_book_new(&book, &e) || price_book_new(&other, &e) ||
	    price_book_add(book, str_of(good), "good", &e))
		abort();
	if (price_book_add(other, text, "fuzz", &e) && !e.text[0])
		abort();
	for (size_t at = 0; at <= size;) {
		size_t end = str_find(text, STR("\n"), at);

		price_line(book, str_sub(text, at, end));
		at = end + 1;
	}
	price_book_free(book);
	price_book_free(other);
	return 0;
}
