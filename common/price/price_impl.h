/* price_impl: what the files of this room share. */
#ifndef PRICE_PRICE_IMPL_H
#define PRICE_PRICE_IMPL_H

#include "price/price.h"

#define PRICE_TIERS_MAX 4
#define PRICE_MULT_MAX 6

struct price_mult {
	struct str name; /* "batch", "flex", "region:us" */
	int64_t num, den;
};
struct price_tier {
	int64_t over; /* units */
	int64_t price_e12;
	bool inclusive;
};
struct price_line {
	enum price_unit unit;
	uint32_t below; /* price_units_below(unit) */
	int64_t price_e12, per;
	int64_t from, to;                         /* [from, to) Unix seconds */
	struct price_tier tiers[PRICE_TIERS_MAX]; /* ascending */
	unsigned n_tiers;
	bool marginal; /* slices of the bucket itself; else the request's input decides for all of
			  it */
	struct str tier, region; /* empty: standard, any */
	unsigned weekdays;       /* bit 0 Monday; 0 any */
	int utc_from,
		utc_to; /* minutes of the day, utc_from > utc_to crosses midnight; equal: always */
	struct price_mult mult[PRICE_MULT_MAX];
	unsigned n_mult;
	unsigned file; /* index of the book it came from */
	uint64_t lineno;
	struct price_model *model;
};
struct price_model {
	struct str sku, provider, currency;
	struct price_line *
		*lines; /* the most specific units first: a unit follows all that are below it */
	unsigned n, cap;
};

/* Bit u: unit u is a strict descendant of `unit`. */
uint32_t price_units_below(enum price_unit unit);
/* How many units lie above it: more for the more specific of two. */
unsigned price_unit_depth(enum price_unit unit);

struct price_prefix {
	struct str provider, prefix;
	struct price_model *model;
	unsigned file;
};
struct price_book {
	struct arena arena; /* strings, lines, models */
	struct map names;   /* "provider  model" and " model": see price_find.c */
	struct price_prefix *prefixes;
	struct price_model **models;
	struct price_line **lines; /* in order of the files */
	size_t n_prefixes, cap_prefixes, n_models, cap_models, n_lines, cap_lines;
	const char *files[16];
	unsigned n_files;
};

enum price_rank { PRICE_EXACT, PRICE_ALIAS };
/* Register a name of a model. *clash: the same book gives it to another model of this provider. */
int price_name_add(bool *clash, struct price_book *b, struct price_model *m, struct str name,
		   enum price_rank rank, struct err *e);
/* One line of a book: parsed, checked and added. Errors have no position yet. */
int price_line_add(struct price_book *b, struct str text, uint64_t lineno, struct err *e);
/* Room for one more element of `size` bytes. */
int price_grow(void *array, size_t n, size_t *cap, size_t size, struct err *e);

#endif
