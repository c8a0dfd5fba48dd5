/*
 * price: what a call to a model costs, exactly. A price book (NDJSON, one price a line) says what a
 * unit costs when and under which conditions; a usage says how many units a call took; their
 * product is money in integers, never a double.
 *
 *   price_book_new(&book, e);
 *   price_book_load(book, "prices.ndjson", e);
 *   price_book_load(book, "ours.ndjson", e);     later books win
 *   price_call_read(&call, obj, arena, e);       usage of all vendors, told apart by its members
 *   price_find(&model, book, call.provider, call.model, e);
 *   price_cost(&cost, model, &call, when, e);    exclusive buckets x rate x multiplier
 *
 * Scales: prices are int64 in 1e-12 of the currency per `per` units, counts int64 in 1e-6 of a unit
 * (seconds have fractions), money __int128 in 1e-18 of the currency. Every product is checked: what
 * does not fit is an error. A book that is loaded is read-only: any thread may use it.
 */
#ifndef PRICE_PRICE_H
#define PRICE_PRICE_H

#include "base/base.h"
#include "json/json.h"

/* ---- money --------------------------------------------------------------------------------- */

#define PRICE_BUF 48 /* longest printed amount and NUL */
#define PRICE_MICRO 1000000

/*
 * A decimal text ("0.15", "3e-06") as an integer in 10^-scale, half-even where it has more decimals
 * (*inexact then). Anything else, or what does not fit, is ERR_INVALID_FIELD.
 */
int price_decimal(__int128 *out, bool *inexact, struct str s, unsigned scale, struct err *e);
/* The same to int64. */
int price_decimal_i64(int64_t *out, bool *inexact, struct str s, unsigned scale, struct err *e);
/* Shortest exact decimal of an amount in 1e-18: a JSON number without exponent, never "-0". */
size_t price_put(char out[PRICE_BUF], __int128 e18);
/* Sum that refuses an overflow (ERR_INVALID_FIELD). */
int price_add(__int128 *sum, __int128 v, struct err *e);

/* ---- units --------------------------------------------------------------------------------- */

/* name, dimensions (see price_units.c), class of cost */
#define PRICE_UNITS(X)                                                                             \
	X(INPUT, "input_tokens", IN, PRICE_C_INPUT)                                                \
	X(CACHE_READ, "cache_read_tokens", IN | READ, PRICE_C_CACHED)                              \
	X(CACHE_WRITE, "cache_write_tokens", IN | WRITE, PRICE_C_INPUT)                            \
	X(CACHE_WRITE_5M, "cache_write_5m_tokens", IN | WRITE | TTL_5M, PRICE_C_INPUT)             \
	X(CACHE_WRITE_1H, "cache_write_1h_tokens", IN | WRITE | TTL_1H, PRICE_C_INPUT)             \
	X(INPUT_AUDIO, "input_audio_tokens", IN | AUDIO, PRICE_C_INPUT)                            \
	X(INPUT_IMAGE, "input_image_tokens", IN | IMAGE, PRICE_C_INPUT)                            \
	X(INPUT_VIDEO, "input_video_tokens", IN | VIDEO, PRICE_C_INPUT)                            \
	X(CACHE_READ_AUDIO, "cache_read_audio_tokens", IN | READ | AUDIO, PRICE_C_CACHED)          \
	X(CACHE_READ_IMAGE, "cache_read_image_tokens", IN | READ | IMAGE, PRICE_C_CACHED)          \
	X(CACHE_READ_VIDEO, "cache_read_video_tokens", IN | READ | VIDEO, PRICE_C_CACHED)          \
	X(OUTPUT, "output_tokens", OUT, PRICE_C_OUTPUT)                                            \
	X(REASONING, "reasoning_tokens", OUT | REASON, PRICE_C_OUTPUT)                             \
	X(OUTPUT_AUDIO, "output_audio_tokens", OUT | AUDIO, PRICE_C_OUTPUT)                        \
	X(OUTPUT_IMAGE, "output_image_tokens", OUT | IMAGE, PRICE_C_OUTPUT)                        \
	X(INPUT_SECONDS, "input_seconds", 0, PRICE_C_INPUT)                                        \
	X(OUTPUT_SECONDS, "output_seconds", 0, PRICE_C_OUTPUT)                                     \
	X(REQUESTS, "requests", 0, PRICE_C_OTHER)                                                  \
	X(SEARCH_UNITS, "search_units", 0, PRICE_C_OTHER)                                          \
	X(WEB_SEARCHES, "web_searches", 0, PRICE_C_OTHER)

enum price_class { PRICE_C_INPUT, PRICE_C_OUTPUT, PRICE_C_CACHED, PRICE_C_OTHER, PRICE_N_CLASSES };
enum price_unit {
#define X(id, name, dims, cls) PRICE_##id,
	PRICE_UNITS(X)
#undef X
		PRICE_N_UNITS
};
const char *price_unit_name(enum price_unit u);
/* The unit of that name, or PRICE_N_UNITS. */
enum price_unit price_unit_of(struct str name);
enum price_class price_unit_class(enum price_unit u);
/* Is `a` more general than `b`: are a's dimensions a strict subset of b's (input_tokens of
 * cache_read_tokens)? */
bool price_unit_above(enum price_unit a, enum price_unit b);

/* ---- usage --------------------------------------------------------------------------------- */

/* How much was used; a unit's count contains those of the units below it (input_tokens those of
 * cache_read_tokens). */
struct price_usage {
	int64_t micro[PRICE_N_UNITS]; /* 1e-6 units */
	uint32_t have;                /* bit u: unit u was reported */
};
void price_usage_set(struct price_usage *u, enum price_unit unit, int64_t micro);

/* One call, as far as its price depends on it. Strings borrow the JSON or the arena. */
struct price_call {
	struct str model;    /* the one that served; empty when not said */
	struct str provider; /* empty when not said */
	struct str tier;     /* service tier; empty is standard */
	struct str region;
	int64_t when; /* Unix seconds */
	bool have_when;
	bool have_usage;
	bool batch; /* of a batch API */
	bool local; /* has a `model_digest` and no provider: priced by seconds as local/<model> */
	bool cache_hit;        /* answered from a response cache: costs nothing */
	struct json_val calls; /* the array of calls of a record that has some: then nothing else
				  here is set for use */
	struct price_usage usage;
};
/*
 * Read an entry of `calls`, or a whole record or answer of a vendor: OpenAI chat, Responses,
 * realtime and Batch, Anthropic messages and batches, Bedrock Converse, Gemini, Cohere, xAI,
 * OpenTelemetry and OpenInference attributes. ERR_INVALID_FIELD for counts that are negative, no
 * numbers, or contradict each other. A record with `calls` gives just those, to be read one by one.
 */
int price_call_read(struct price_call *out, struct json_val obj, struct arena *a, struct err *e);

/* ---- book ---------------------------------------------------------------------------------- */

struct price_book;
struct price_model; /* the prices of one sku, e.g. openai/gpt-4o; owned by the book */

int price_book_new(struct price_book **out, struct err *e);
void price_book_free(struct price_book *b);
/* A book that holds prices.ndjson of LLMU_DATADIR or the installation, and LLMU_BOOK over it. */
int price_book_default(struct price_book **out, struct err *e);
/* Add lines; those of later books replace, unit by unit, what earlier ones say of the same sku.
 * `name` is for messages, which begin with "name:line: ". Load reads a file (ERR_OPEN). A line that
 * is wrong is ERR_OPEN and ends the load. */
int price_book_add(struct price_book *b, struct str text, const char *name, struct err *e);
int price_book_load(struct price_book *b, const char *path, struct err *e);
/*
 * Check each line on its own (it is added where it is good) and all of them together: overlapping
 * dates, units without the more general one. Each finding is reported through fn. Returns their
 * number, or -1 (file cannot be read).
 */
typedef void price_lint_fn(void *arg, const char *file, uint64_t line, const char *text);
int price_book_lint(struct price_book *b, const char *path, price_lint_fn *fn, void *arg,
		    struct err *e);

/*
 * The prices of a model: exact name, alias, the name without a date at its end (-YYYYMMDD,
 * -YYYY-MM-DD), longest declared prefix. Without a provider a name that two providers share is an
 * error; "provider/model" is tried as both. ERR_UNPRICED says what was looked for.
 */
int price_find(const struct price_model **out, const struct price_book *b, struct str provider,
	       struct str model, struct err *e);
struct str price_model_sku(const struct price_model *m);
struct str price_model_currency(const struct price_model *m);

/* ---- cost ---------------------------------------------------------------------------------- */

struct price_bucket {
	enum price_unit unit;
	int64_t micro;     /* units of this bucket alone */
	int64_t price_e12; /* after tiers */
	int64_t per;
	int64_t num, den;  /* multipliers */
	int64_t tier_over; /* threshold crossed, in units; -1: base price */
	__int128 cost_e18;
};
struct price_cost {
	__int128 part_e18[PRICE_N_CLASSES];
	__int128 total_e18; /* sum of the parts, exactly */
	bool rounded;       /* some bucket was not a whole number of 1e-18 */
	const struct price_model *model;
	struct price_bucket buckets[PRICE_N_UNITS];
	unsigned n_buckets;
};
/*
 * Price a usage at Unix time `when`. ERR_UNPRICED names a used unit (or tier, region) without a
 * price at that time; ERR_INVALID_FIELD a usage that contradicts itself or is too large.
 */
int price_cost(struct price_cost *out, const struct price_model *m, const struct price_call *c,
	       int64_t when, struct err *e);

/* One line of the book, for people. */
struct price_row {
	struct str sku;
	enum price_unit unit;
	int64_t price_e12, per;
	unsigned n_tiers;
	int64_t from, to; /* Unix seconds; INT64_MIN, INT64_MAX: open */
	const char *file;
	uint64_t line;
};
size_t price_book_rows(const struct price_book *b);
struct price_row price_book_row(const struct price_book *b, size_t i);

/* ---- reports ------------------------------------------------------------------------------- */

/*
 * Sums of records that llm-cost has priced, grouped by `by`: names out of model, provider, sku,
 * stage, day, month and tag:NAME (the record's `tags`), with commas between; ERR_USAGE for any
 * other. put appends the groups to out, the dearest first: aligned columns, one object a line, or
 * CSV (RFC 4180).
 */
struct price_report;
enum price_format { PRICE_TABLE, PRICE_NDJSON, PRICE_CSV };
int price_report_new(struct price_report **out, const char *by, struct err *e);
void price_report_free(struct price_report *rep);
/* A record with `calls`, or one that is a call. Not while another thread adds. */
int price_report_add(struct price_report *rep, struct json_val record, struct arena *a,
		     struct err *e);
int price_report_put(struct buf *out, struct price_report *rep, enum price_format f, struct err *e);

#endif
