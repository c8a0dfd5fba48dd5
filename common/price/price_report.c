/* price_report: exact sums of priced calls by model, day, tag and so on. Memory grows with the
 * groups, not the records. */
#include "config.h"
#include "price/price.h"

#define KEYS_MAX 8
#define ROWS_MAX 1000000

struct row {
	struct str key; /* the keys' values, each as JSON, with commas between */
	uint64_t calls, unpriced;
	int64_t tokens[3]; /* input, cached, output: 1e-6 */
	__int128 part[PRICE_N_CLASSES], total;
	struct str currency;
};
struct price_report {
	struct str keys[KEYS_MAX];
	size_t n_keys;
	struct map index;
	struct arena mem;
	struct row *rows;
	size_t n, cap;
	struct buf key;
};

static int parse_keys(struct price_report *rep, const char *by, struct err *e)
{
	static const char *const names[] = { "model", "provider", "sku", "stage",
					     "day",   "month",    NULL };
	struct str rest = str_of(by);

	while (rest.n) {
		size_t comma = str_find(rest, STR(","), 0);
		struct str key = str_sub(rest, 0, comma);
		size_t i = 0;

		rest = str_sub(rest, comma + (comma < rest.n), rest.n);
		while (names[i] && !str_is(key, names[i]))
			i++;
		if (!names[i] && !str_starts(key, STR("tag:")))
			return err_set(e, ERR_USAGE,
				       "--by has no key \"%.*s\": it has model, provider, sku, "
				       "stage, day, month, tag:NAME",
				       STR_ARG(key));
		for (size_t k = 0; k < rep->n_keys; k++)
			if (str_eq(rep->keys[k], key))
				return err_set(e, ERR_USAGE, "--by names \"%.*s\" twice",
					       STR_ARG(key));
		if (rep->n_keys == KEYS_MAX)
			return err_set(e, ERR_USAGE, "--by takes at most %d keys", KEYS_MAX);
		rep->keys[rep->n_keys++] = key;
	}
	return 0;
}

/* What a call cost, else what it was estimated to cost. */
static struct json_val price_of(struct json_val call)
{
	struct json_val cost = json_get(call, "cost");

	return cost.type != JSON_NONE ? cost : json_get(call, "estimate");
}

/* The value of one key, as JSON. */
static void put_key(struct json_w *w, struct str key, const struct price_call *c,
		    struct json_val call, struct json_val record)
{
	char text[32];
	struct json_val v = { .type = JSON_NONE };

	if (str_is(key, "day") || str_is(key, "month")) {
		if (!c->have_when) {
			json_w_null(w);
			return;
		}
		time_put_rfc3339(text, c->when);
		json_w_str(w, (struct str){ text, str_is(key, "day") ? 10 : 7 });
		return;
	}
	if (str_is(key, "model")) {
		if (c->model.n)
			json_w_str(w, c->model);
		else
			json_w_null(w);
		return;
	}
	if (str_is(key, "sku"))
		v = json_get(price_of(call), "sku");
	else if (str_is(key, "stage"))
		v = json_get(call, "stage");
	else if (str_is(key, "provider"))
		v = json_get(call, "provider");
	else
		for (struct json_iter it = json_members(json_get(record, "tags"));;) {
			struct json_val value;
			struct str name;

			if (!json_next_member(&name, &value, &it))
				break;
			if (json_key_is(name, str_sub(key, 4, key.n)))
				v = value;
		}
	if (v.type == JSON_NONE)
		json_w_null(w);
	else
		json_w_raw(w, v.raw);
}

/* The row of rep->key, made when it is new; NULL with the error. */
static struct row *row_of(struct price_report *rep, struct err *e)
{
	uint64_t *slot;
	bool is_new;

	if (map_put(&slot, &is_new, &rep->index, buf_str(&rep->key), e))
		return NULL;
	if (is_new) {
		if (rep->n == ROWS_MAX) {
			err_set(e, ERR_USAGE, "more than %d groups: choose other keys", ROWS_MAX);
			return NULL;
		}
		if (rep->n == rep->cap) {
			size_t cap = rep->cap ? 2 * rep->cap : 64;
			struct row *rows = ckd_realloc(rep->rows, cap, sizeof *rows);

			if (!rows) {
				err_nomem(e);
				return NULL;
			}
			rep->rows = rows;
			rep->cap = cap;
		}
		rep->rows[rep->n] = (struct row){ .key = arena_str(&rep->mem, buf_str(&rep->key)) };
		if (!rep->rows[rep->n].key.p) {
			err_nomem(e);
			return NULL;
		}
		*slot = rep->n++;
	}
	return &rep->rows[*slot];
}

static int read_amount(__int128 *sum, struct json_val cost, const char *name, struct err *e)
{
	struct json_val v = json_get(cost, name);
	bool inexact;
	__int128 x;

	if (v.type == JSON_NONE || v.type == JSON_NULL)
		return 0;
	if (v.type != JSON_NUMBER || price_decimal(&x, &inexact, v.raw, 18, e))
		return err_set(e, ERR_INVALID_FIELD, "`cost.%s` must be a number", name);
	return price_add(sum, x, e);
}

static int add_cost(struct row *row, struct json_val cost, struct price_report *rep,
		    struct arena *a, struct err *e)
{
	static const char *const parts[PRICE_N_CLASSES] = { "input", "output", "cached", "other" };
	struct str currency;

	if (json_get(cost, "total").type != JSON_NUMBER) {
		row->unpriced++;
		return 0;
	}
	if (json_str(&currency, json_get(cost, "currency"), a, e))
		return err_set(e, ERR_INVALID_FIELD, "`cost` has no currency");
	if (row->currency.n && !str_eq(row->currency, currency))
		return err_set(e, ERR_UNSUPPORTED, "costs in %.*s and %.*s have no sum",
			       STR_ARG(row->currency), STR_ARG(currency));
	if (!row->currency.n)
		row->currency = arena_str(&rep->mem, currency);
	if (!row->currency.p)
		return err_nomem(e);
	for (int k = 0; k < PRICE_N_CLASSES; k++)
		if (read_amount(&row->part[k], cost, parts[k], e))
			return -1;
	return read_amount(&row->total, cost, "total", e);
}

static int add_call(struct price_report *rep, struct json_val call, struct json_val record,
		    struct arena *a, struct err *e)
{
	static const enum price_unit units[3] = { PRICE_INPUT, PRICE_CACHE_READ, PRICE_OUTPUT };
	struct price_call c;
	struct json_w w;
	struct row *row;

	if (price_call_read(&c, call, a, e))
		return -1;
	buf_reset(&rep->key);
	w = json_w(&rep->key);
	json_w_begin(&w, '[');
	for (size_t i = 0; i < rep->n_keys; i++)
		put_key(&w, rep->keys[i], &c, call, record);
	json_w_end(&w, ']');
	row = buf_check(&rep->key, e) ? NULL : row_of(rep, e);
	if (!row)
		return -1;
	row->calls++;
	for (int i = 0; i < 3; i++)
		if (!ckd_add_i64(&row->tokens[i], row->tokens[i], c.usage.micro[units[i]]))
			return err_set(e, ERR_INVALID_FIELD, "too many tokens to count");
	return add_cost(row, price_of(call), rep, a, e);
}

int price_report_add(struct price_report *rep, struct json_val record, struct arena *a,
		     struct err *e)
{
	struct json_val calls = json_get(record, "calls");
	struct json_iter it = json_elements(calls);
	struct json_val call;

	if (calls.type != JSON_ARRAY || !json_count(calls))
		return add_call(rep, record, record, a, e);
	while (json_next(&call, &it))
		if (add_call(rep, call, record, a, e))
			return -1;
	return 0;
}

static int dearest_first(const void *a, const void *b)
{
	const struct row *x = a;
	const struct row *y = b;

	if (x->total != y->total)
		return x->total > y->total ? -1 : 1;
	return str_cmp(x->key, y->key);
}

static const char *const columns[] = { "calls",         "unpriced", "input_tokens", "cached_tokens",
				       "output_tokens", "input",    "cached",       "output",
				       "other",         "total",    "currency" };
#define N_COLUMNS (sizeof columns / sizeof *columns)

/* The cells behind the keys, as text; numbers but for the last. */
static void cells(char out[N_COLUMNS][PRICE_BUF], const struct row *r)
{
	snprintf(out[0], PRICE_BUF, "%llu", (unsigned long long)r->calls);
	snprintf(out[1], PRICE_BUF, "%llu", (unsigned long long)r->unpriced);
	for (int i = 0; i < 3; i++)
		price_put(out[2 + i], (__int128)r->tokens[i] * 1000000000000);
	price_put(out[5], r->part[PRICE_C_INPUT]);
	price_put(out[6], r->part[PRICE_C_CACHED]);
	price_put(out[7], r->part[PRICE_C_OUTPUT]);
	price_put(out[8], r->part[PRICE_C_OTHER]);
	price_put(out[9], r->total);
	snprintf(out[10], PRICE_BUF, "%.*s", STR_ARG(r->currency));
}

static void put_ndjson(struct buf *b, const struct price_report *rep, const struct row *r)
{
	char cell[N_COLUMNS][PRICE_BUF];
	struct json_iter it;
	struct json_val keys, v;
	struct json_w w = json_w(b);

	cells(cell, r);
	json_w_begin(&w, '{');
	if (json_parse(&keys, r->key, NULL) == 0) {
		it = json_elements(keys);
		for (size_t i = 0; json_next(&v, &it); i++) {
			json_w_key_str(&w, rep->keys[i]);
			json_w_raw(&w, v.raw);
		}
	}
	for (size_t i = 0; i < N_COLUMNS; i++) {
		json_w_key(&w, columns[i]);
		if (i + 1 < N_COLUMNS)
			json_w_raw(&w, str_of(cell[i]));
		else if (r->currency.n)
			json_w_str(&w, r->currency);
		else
			json_w_null(&w);
	}
	json_w_end(&w, '}');
	buf_addc(b, '\n');
}

/* RFC 4180; a text that a spreadsheet would take for a formula gets an apostrophe. */
static void put_csv(struct buf *b, struct str s)
{
	bool quote = s.n && strchr("=+-@", s.p[0]);

	for (size_t i = 0; i < s.n && !quote; i++)
		quote = s.p[i] == '"' || s.p[i] == ',' || s.p[i] == '\n' || s.p[i] == '\r';
	if (!quote) {
		buf_adds(b, s);
		return;
	}
	buf_addc(b, '"');
	if (strchr("=+-@", s.p[0]))
		buf_addc(b, '\'');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			buf_addc(b, '"');
		buf_addc(b, s.p[i]);
	}
	buf_addc(b, '"');
}

/* One row of CSV, or of tab-separated cells: keys as text, then the columns. */
static void put_row(struct buf *b, const struct price_report *rep, const struct row *r, bool csv)
{
	char cell[N_COLUMNS][PRICE_BUF];
	struct arena mem;
	struct json_val keys, v;
	struct json_iter it;
	struct str s;

	arena_init(&mem, BUF_MAX_LINE);
	cells(cell, r);
	it = (struct json_iter){ NULL, NULL };
	if (json_parse(&keys, r->key, NULL) == 0)
		it = json_elements(keys);
	for (size_t i = 0; i < rep->n_keys; i++) {
		s = STR("-");
		if (json_next(&v, &it) && v.type != JSON_NULL &&
		    (v.type != JSON_STRING || json_str(&s, v, &mem, NULL)))
			s = v.raw;
		if (csv)
			put_csv(b, v.type == JSON_NULL ? STR("") : s);
		else
			buf_adds(b, s);
		buf_addc(b, csv ? ',' : '\t');
	}
	for (size_t i = 0; i < N_COLUMNS; i++) {
		buf_addz(b, cell[i]);
		buf_addz(b, i + 1 < N_COLUMNS ? (csv ? "," : "\t") : csv ? "\r\n" : "\n");
	}
	arena_release(&mem);
}

/* Tab-separated lines to columns of one width each: the first n_left to the left, the others to the
 * right. */
static void put_table(struct buf *b, struct str tsv, size_t n_left)
{
	size_t width[KEYS_MAX + N_COLUMNS] = { 0 };
	size_t n_cols = n_left + N_COLUMNS;

	for (int draw = 0; draw < 2; draw++) {
		for (size_t at = 0, k = 0; at < tsv.n; k = (k + 1) % n_cols) {
			size_t to = str_find(tsv, k + 1 < n_cols ? STR("\t") : STR("\n"), at);
			struct str s = str_sub(tsv, at, to);
			size_t n = utf8_count(s);

			at = to + 1;
			if (n > width[k])
				width[k] = n;
			if (draw && k < n_left)
				buf_addf(b, "%.*s%*s", STR_ARG(s),
					 k + 1 < n_cols ? (int)(width[k] - n) : 0, "");
			else if (draw)
				buf_addf(b, "%*s%.*s", (int)(width[k] - n), "", STR_ARG(s));
			if (draw)
				buf_addz(b, k + 1 < n_cols ? "  " : "\n");
		}
	}
}

int price_report_put(struct buf *out, struct price_report *rep, enum price_format f, struct err *e)
{
	const char *gap = f == PRICE_CSV ? "," : "\t";
	const char *end = f == PRICE_CSV ? "\r\n" : "\n";
	struct buf tsv, *b;

	if (rep->n)
		qsort(rep->rows, rep->n, sizeof *rep->rows, dearest_first);
	buf_init(&tsv, BUF_MAX_TEXT);
	b = f == PRICE_TABLE ? &tsv : out;
	for (size_t i = 0; i < rep->n_keys + N_COLUMNS && f != PRICE_NDJSON; i++) {
		if (i < rep->n_keys)
			buf_adds(b, rep->keys[i]);
		else
			buf_addz(b, columns[i - rep->n_keys]);
		buf_addz(b, i + 1 < rep->n_keys + N_COLUMNS ? gap : end);
	}
	for (size_t i = 0; i < rep->n; i++) {
		if (f == PRICE_NDJSON)
			put_ndjson(b, rep, &rep->rows[i]);
		else
			put_row(b, rep, &rep->rows[i], f == PRICE_CSV);
	}
	if (f == PRICE_TABLE && !buf_check(&tsv, NULL))
		put_table(out, buf_str(&tsv), rep->n_keys);
	if (buf_check(&tsv, e)) {
		buf_release(&tsv);
		return -1;
	}
	buf_release(&tsv);
	return buf_check(out, e);
}

int price_report_new(struct price_report **out, const char *by, struct err *e)
{
	struct price_report *rep = calloc(1, sizeof *rep);

	if (!rep)
		return err_nomem(e);
	map_init(&rep->index, true);
	arena_init(&rep->mem, (size_t)1 << 32);
	buf_init(&rep->key, BUF_MAX_LINE);
	if (parse_keys(rep, by, e)) {
		price_report_free(rep);
		return -1;
	}
	*out = rep;
	return 0;
}

void price_report_free(struct price_report *rep)
{
	if (!rep)
		return;
	map_release(&rep->index);
	arena_release(&rep->mem);
	buf_release(&rep->key);
	free(rep->rows);
	free(rep);
}
