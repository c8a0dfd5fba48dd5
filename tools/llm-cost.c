/* llm-cost: what calls to models cost, exactly, from a price book. */
#include "config.h"
#include "cli/cli.h"
#include "price/price.h"
#include "record/record.h"
#include <unistd.h>

struct opts {
	struct record_opts io;
	struct cli_list books;
	const char *at, *host_rate, *model, *by;
	uint32_t max_tokens;
	int format;
};

#define ROW(k, l, nm, a, m, hlp, vb)                                                               \
	{                                                                                          \
		.kind = k, .letter = l, .name = nm, .arg = a, .help = hlp,                         \
		.offset = offsetof(struct opts, m), .given = CLI_NOT_KEPT, .max = 100000000,       \
		.verbs = vb                                                                        \
	}
static const struct cli_opt options[] = {
	CLI_LIST('B', "book", "FILE", struct opts, books,
		 "prices that come after the default book and win; repeatable"),
	CLI_STR(0, "at", "TIME", struct opts, at, "price calls without a time as of TIME [now]"),
	CLI_STR(0, "host-rate", "USD", struct opts, host_rate,
		"what an hour of this machine costs [0]"),
	ROW(CLI_K_STR, 'm', "model", "MODEL", model, "the model of records that name none",
	    " estimate "),
	ROW(CLI_K_U32, 'n', "max-tokens", "N", max_tokens,
	    "output of records that set no max_tokens", " estimate "),
	ROW(CLI_K_STR, 0, "by", "KEY,...", by,
	    "group by model, provider, sku, stage, day, month, tag:NAME [model]", " report "),
	ROW(CLI_K_ENUM, 0, "format", "auto|table|ndjson|csv", format,
	    "form of the report [table at a terminal, else ndjson]", " report "),
	CLI_RECORDS_AS_THEY_ARE(struct opts, io),
	CLI_END
};
/* What prints a report writes no records; what reads books reads none. */
#define READS_ONLY " jobs output only errors resume retry-errors "
#define NO_RECORDS READS_ONLY "fail-fast summary records text lines "
static const struct cli_verb verbs[] = {
	{ "price", "[FILE...]", "add `cost` to records and their calls (the default)", NULL },
	{ "estimate", "[FILE...]", "add `estimate`: n_tokens in, max_tokens out", NULL },
	{ "explain", "ID [FILE...]", "show how the cost of one record comes about",
	  READS_ONLY },
	{ "report", "[FILE...]", "sum up priced or estimated records", READS_ONLY },
	{ "book lint", "FILE...", "check price books", NO_RECORDS },
	{ "book show", "[MODEL...]", "list prices", NO_RECORDS },
	{ NULL, NULL, NULL, NULL }
};
static const char *const examples[] = { "llm-generate < in.ndjson | llm-cost price --host-rate 0.10",
					"llm-cost report --by model,day calls.ndjson", NULL };
static const struct cli_prog prog = { "llm-cost", "[FILE...]", "price calls to models exactly",
				      options,    verbs,       examples };

struct worker {
	struct price_cost cost;
	struct buf calls, text;
	char name[512]; /* the model looked up last, "provider\037model" */
	size_t n_name;
	const struct price_model *found;
	uint64_t undated;
};
struct job {
	const struct opts *o;
	struct price_book *book;
	int64_t now;
	struct worker *workers; /* [o->io.jobs] */
};

/* The sums of a record. */
struct sum {
	__int128 part[PRICE_N_CLASSES], total, saved;
	struct str currency, sku;
	bool rounded, hit;
};

/* ---- pricing ------------------------------------------------------------------------------- */

/* Runs of one model are looked up once. */
static int find_model(struct worker *w, const struct job *j, struct str provider, struct str model,
		      struct err *e)
{
	size_t n = provider.n + 1 + model.n;
	bool fits = n <= sizeof w->name;

	if (fits && w->n_name == n && memcmp(w->name, provider.p, provider.n) == 0 &&
	    w->name[provider.n] == '\037' &&
	    memcmp(w->name + provider.n + 1, model.p, model.n) == 0)
		return 0;
	w->n_name = 0;
	if (price_find(&w->found, j->book, provider, model, e))
		return -1;
	if (fits) {
		memcpy(w->name, provider.p, provider.n);
		w->name[provider.n] = '\037';
		memcpy(w->name + provider.n + 1, model.p, model.n);
		w->n_name = n;
	}
	return 0;
}

static int price_call(struct worker *w, const struct job *j, const struct price_call *c,
		      struct err *e)
{
	struct str provider = c->local ? STR("local") : c->provider;
	int64_t when = c->have_when ? c->when : j->now;

	if (find_model(w, j, provider, c->model, e) || price_cost(&w->cost, w->found, c, when, e))
		return -1;
	w->undated += !c->have_when;
	return 0;
}

static int add_up(struct sum *s, const struct worker *w, const struct price_call *c, struct err *e)
{
	struct str currency = price_model_currency(w->found);
	struct str sku = price_model_sku(w->found);

	if (s->currency.n && !str_eq(s->currency, currency))
		return err_set(e, ERR_UNSUPPORTED,
			       "the record's calls are priced in %.*s and %.*s: they have no sum",
			       STR_ARG(s->currency), STR_ARG(currency));
	if (!s->currency.n)
		s->sku = sku;
	else if (!str_eq(s->sku, sku))
		s->sku.n = 0;
	s->currency = currency;
	s->rounded |= w->cost.rounded;
	s->hit |= c->cache_hit;
	if (c->cache_hit)
		return price_add(&s->saved, w->cost.total_e18, e);
	for (int k = 0; k < PRICE_N_CLASSES; k++)
		if (price_add(&s->part[k], w->cost.part_e18[k], e))
			return -1;
	return price_add(&s->total, w->cost.total_e18, e);
}

/* name is `"input":` with a comma before it where one is due. */
static void put_amount(struct buf *b, const char *name, __int128 v)
{
	char text[PRICE_BUF];
	size_t n = price_put(text, v);

	buf_addz(b, name);
	buf_add(b, text, n);
}

/* An object, by hand: this and the scan of the record are all that takes time. */
static void put_cost(struct buf *b, const struct sum *s, bool sku)
{
	struct json_w w = json_w(b);

	put_amount(b, "{\"input\":", s->part[PRICE_C_INPUT]);
	put_amount(b, ",\"output\":", s->part[PRICE_C_OUTPUT]);
	put_amount(b, ",\"cached\":", s->part[PRICE_C_CACHED]);
	if (s->part[PRICE_C_OTHER])
		put_amount(b, ",\"other\":", s->part[PRICE_C_OTHER]);
	put_amount(b, ",\"total\":", s->total);
	buf_addz(b, ",\"currency\":");
	json_w_str(&w, s->currency);
	if (s->hit)
		put_amount(b, ",\"saved\":", s->saved);
	if (s->rounded)
		buf_addz(b, ",\"rounded\":true");
	if (sku && s->sku.n) {
		buf_addz(b, ",\"sku\":");
		w.comma = false;
		json_w_str(&w, s->sku);
	}
	buf_addc(b, '}');
}

static bool has_calls(const struct price_call *c)
{
	return c->calls.type == JSON_ARRAY && json_count(c->calls) > 0;
}

static int check_usage(const struct price_call *c, struct err *e)
{
	if (c->have_usage)
		return 0;
	return err_set(e, ERR_MISSING_FIELD,
		       c->local ? "a local call needs `timings` or `usage` to be priced"
				: "no usage to price: looked for `calls`, `usage`, `usageMetadata` "
				  "and the like");
}

/* One entry of `calls`, with its `cost`, appended to w->calls. */
static int price_entry(struct sum *all, struct worker *w, const struct job *j, struct json_val call,
		       struct arena *a, struct err *e)
{
	struct sum own = { 0 };
	struct json_edit edit;
	struct price_call c;

	if (price_call_read(&c, call, a, e) || check_usage(&c, e) || price_call(w, j, &c, e) ||
	    add_up(&own, w, &c, e) || add_up(all, w, &c, e))
		return -1;
	buf_reset(&w->text);
	put_cost(&w->text, &own, true);
	json_edit_init(&edit);
	return json_edit_set(&edit, STR("cost"), buf_str(&w->text), e) ||
	       json_edit_put(&w->calls, call, &edit, e);
}

static int price_calls(struct sum *s, struct worker *w, const struct job *j, struct record *r,
		       struct json_val calls, struct err *e)
{
	struct json_iter it = json_elements(calls);
	struct json_val call;
	size_t n = 0;

	buf_reset(&w->calls);
	buf_addc(&w->calls, '[');
	while (json_next(&call, &it)) {
		if (n++)
			buf_addc(&w->calls, ',');
		if (price_entry(s, w, j, call, record_arena(r), e))
			return err_wrap(e, "calls[%zu]", n - 1);
	}
	buf_addc(&w->calls, ']');
	return buf_check(&w->calls, e) || record_set_raw(r, "calls", buf_str(&w->calls), e);
}

/* A record that cannot be priced says so, and its cost is null, not 0. */
static int unpriced(struct record *r, struct err *e)
{
	if (e->code != ERR_UNPRICED)
		return -1;
	record_fail(r, e, 0);
	return record_set_raw(r, "cost",
			      STR("{\"input\":null,\"output\":null,\"cached\":null,\"total\":null,"
				  "\"currency\":null}"),
			      e);
}

static int price_record(struct record *r, void *arg, struct err *e)
{
	const struct job *j = arg;
	struct worker *w = &j->workers[record_worker(r)];
	struct sum s = { 0 };
	struct price_call c;
	bool several;

	if (price_call_read(&c, record_json(r), record_arena(r), e))
		return -1;
	several = has_calls(&c);
	if (several ? price_calls(&s, w, j, r, c.calls, e)
		    : check_usage(&c, e) || price_call(w, j, &c, e) || add_up(&s, w, &c, e))
		return unpriced(r, e);
	buf_reset(&w->text);
	put_cost(&w->text, &s, !several);
	return buf_check(&w->text, e) || record_set_raw(r, "cost", buf_str(&w->text), e);
}

/* ---- estimates ----------------------------------------------------------------------------- */

static int param_count(uint64_t *out, bool *given, struct record *r, const char *name,
		       struct err *e)
{
	struct json_val v = record_param(r, name);

	if (v.type == JSON_NONE)
		v = json_get(record_json(r), name);
	if (v.type == JSON_NONE || v.type == JSON_NULL)
		return 0;
	*given = true;
	if (json_u64(out, v, e) || *out > 1000000000000)
		return err_set(e, ERR_INVALID_FIELD, "`%s` must be a count", name);
	return 0;
}

static int estimate_record(struct record *r, void *arg, struct err *e)
{
	const struct job *j = arg;
	struct worker *w = &j->workers[record_worker(r)];
	struct price_call c;
	struct sum s = { 0 };
	struct err none = { 0 };
	uint64_t in = 0;
	uint64_t out = j->o->max_tokens;
	bool has_in = false;
	bool has_out = out > 0;

	if (price_call_read(&c, record_json(r), record_arena(r), e) ||
	    param_count(&in, &has_in, r, "n_tokens", e) ||
	    param_count(&out, &has_out, r, "max_tokens", e) ||
	    param_count(&out, &has_out, r, "max_completion_tokens", e))
		return -1;
	if (!has_in)
		return err_set(e, ERR_MISSING_FIELD,
			       "no `n_tokens`: count them with llm-tokenize first");
	if (!c.model.n && j->o->model)
		c.model = str_of(j->o->model);
	memset(&c.usage, 0, sizeof c.usage);
	price_usage_set(&c.usage, PRICE_INPUT, (int64_t)in * PRICE_MICRO);
	price_usage_set(&c.usage, PRICE_OUTPUT, has_out ? (int64_t)out * PRICE_MICRO : PRICE_MICRO);
	if (price_call(w, j, &c, &none) == 0) {
		if (!has_out)
			return err_set(
				e, ERR_MISSING_FIELD,
				"no `max_tokens` and no --max-tokens: the output is not bounded");
	} else { /* a model without output, such as an encoder */
		c.usage.have &= ~((uint32_t)1 << PRICE_OUTPUT);
		if (price_call(w, j, &c, e))
			return unpriced(r, e);
	}
	if (add_up(&s, w, &c, e))
		return -1;
	buf_reset(&w->text);
	put_cost(&w->text, &s, true);
	return buf_check(&w->text, e) || record_set_raw(r, "estimate", buf_str(&w->text), e);
}

/* ---- explain ------------------------------------------------------------------------------- */

struct explain {
	struct job *j;
	struct str id;
	uint64_t found;
};

static void print_bucket(const struct price_bucket *b)
{
	char count[PRICE_BUF], price[PRICE_BUF], cost[PRICE_BUF];

	price_put(count, (__int128)b->micro * 1000000000000);
	price_put(price, (__int128)b->price_e12 * 1000000);
	price_put(cost, b->cost_e18);
	printf("  %s %s x %s / %lld", count, price_unit_name(b->unit), price, (long long)b->per);
	if (b->num != b->den)
		printf(" x %lld/%lld", (long long)b->num, (long long)b->den);
	if (b->tier_over >= 0)
		printf(" (over %lld)", (long long)b->tier_over);
	printf(" = %s\n", cost);
}

static int explain_call(const struct explain *x, struct json_val obj, struct arena *a,
			struct err *e)
{
	struct worker *w = &x->j->workers[0];
	struct price_call c;
	char text[PRICE_BUF];

	if (price_call_read(&c, obj, a, e) || check_usage(&c, e) || price_call(w, x->j, &c, e))
		return -1;
	time_put_rfc3339(text, c.have_when ? c.when : x->j->now);
	printf("%.*s at %s%s%s\n", STR_ARG(price_model_sku(w->found)), text,
	       c.have_when ? "" : " (no time given)", c.cache_hit ? ", answered from a cache" : "");
	for (unsigned i = 0; i < w->cost.n_buckets; i++)
		print_bucket(&w->cost.buckets[i]);
	price_put(text, c.cache_hit ? 0 : w->cost.total_e18);
	printf("  total %s %.*s%s\n", text, STR_ARG(price_model_currency(w->found)),
	       w->cost.rounded ? " (rounded)" : "");
	return 0;
}

static int explain_record(struct record *r, void *arg, struct err *e)
{
	struct explain *x = arg;
	struct json_val calls = json_get(record_json(r), "calls");
	struct json_iter it = json_elements(calls);
	struct json_val call;

	if (!str_eq(record_id(r), x->id))
		return 0;
	x->found++;
	if (calls.type != JSON_ARRAY || !json_count(calls))
		return explain_call(x, record_json(r), record_arena(r), e);
	while (json_next(&call, &it))
		if (explain_call(x, call, record_arena(r), e))
			return -1;
	return 0;
}

/* ---- report, book -------------------------------------------------------------------------- */

static int report_record(struct record *r, void *arg, struct err *e)
{
	return price_report_add(arg, record_json(r), record_arena(r), e);
}

static int run_report(struct cli *c, const struct opts *o, const struct record_opts *in,
		      struct err *e)
{
	enum price_format f = o->format   ? (enum price_format)(o->format - 1)
			      : isatty(1) ? PRICE_TABLE
					  : PRICE_NDJSON;
	struct price_report *rep = NULL;
	struct record_opts own = *in;
	struct buf b;
	int failed;

	own.takes_error = "unpriced"; /* they have a column */
	buf_init(&b, BUF_MAX_TEXT);
	failed = price_report_new(&rep, o->by ? o->by : "model", e) ||
		 record_map(&c->tally, &own, "cost", STR(""), report_record, rep, e) ||
		 price_report_put(&b, rep, f, e);
	if (!failed)
		fwrite(b.p ? b.p : "", 1, b.n, stdout);
	price_report_free(rep);
	buf_release(&b);
	return failed;
}

static void print_finding(void *arg, const char *file, uint64_t line, const char *text)
{
	(void)arg;
	printf("%s:%llu: %s\n", file, (unsigned long long)line, text);
}

static int run_lint(const struct cli *c, struct err *e)
{
	int found = 0;

	for (size_t i = 0; i < c->n_operands; i++) {
		struct price_book *b;
		int n;

		if (price_book_new(&b, e))
			return -1;
		n = price_book_lint(b, c->operands[i], print_finding, NULL, e);
		price_book_free(b);
		if (n < 0)
			return -1;
		found += n;
	}
	return found ? err_set(e, ERR_GATE, "%d findings", found) : 0;
}

static void print_day(int64_t t, const char *open)
{
	char text[32];

	if (t == INT64_MIN || t == INT64_MAX) {
		printf("  %-10s", open);
		return;
	}
	time_put_rfc3339(text, t);
	printf("  %.10s", text);
}

static int run_show(const struct cli *c, const struct job *j, struct err *e)
{
	for (size_t i = 0; i < price_book_rows(j->book); i++) {
		struct price_row row = price_book_row(j->book, i);
		const struct price_model *m;
		char price[PRICE_BUF];
		bool wanted = c->n_operands == 0;

		for (size_t k = 0; k < c->n_operands && !wanted; k++) {
			if (price_find(&m, j->book, (struct str){ "", 0 }, str_of(c->operands[k]),
				       e)) {
				e->code = ERR_OPEN; /* what was asked for is not there */
				return -1;
			}
			wanted = str_eq(price_model_sku(m), row.sku);
		}
		if (!wanted || (j->o->at && (j->now < row.from || j->now >= row.to)))
			continue;
		price_put(price, (__int128)row.price_e12 * 1000000);
		printf("%-36.*s  %-24s %10s / %-8lld", STR_ARG(row.sku), price_unit_name(row.unit),
		       price, (long long)row.per);
		print_day(row.from, "-");
		print_day(row.to, "-");
		printf("%s\n", row.n_tiers ? "  tiers" : "");
	}
	return 0;
}

/* ---- main ---------------------------------------------------------------------------------- */

/* The default book, that of $LLMU_BOOK, those of -B, the rate of this machine: later ones win. */
static int open_book(struct price_book **out, const struct opts *o, struct err *e)
{
	struct buf b;
	int failed = price_book_default(out, e);

	buf_init(&b, 65536);
	for (size_t i = 0; i < o->books.n && !failed; i++)
		failed = price_book_load(*out, o->books.v[i], e);
	buf_reset(&b);
	for (int k = 0; k < 2 && o->host_rate && !failed; k++) {
		const char *unit = k ? "output_seconds" : "input_seconds";

		buf_addf(&b,
			 "{\"sku\":\"local/machine/"
			 "%s\",\"match\":[{\"prefix\":\"\"}],\"unit\":\"%s\",\"per\":3600,"
			 "\"price\":",
			 unit, unit);
		struct json_w w = json_w(&b);
		json_w_str(&w, str_of(o->host_rate));
		buf_addz(&b, "}\n");
	}
	if (!failed && o->host_rate && price_book_add(*out, buf_str(&b), "--host-rate", e)) {
		e->code = ERR_USAGE;
		failed = -1;
	}
	buf_release(&b);
	return failed;
}

static int run(struct cli *c, struct job *j, struct opts *o, struct err *e)
{
	bool explain = strcmp(c->verb->name, "explain") == 0;
	struct explain x = { .j = j };
	record_fn *fn = strcmp(c->verb->name, "estimate") ? price_record : estimate_record;
	struct record_opts read = o->io;

	j->now = time_unix_s();
	if (o->at && time_parse(&j->now, str_of(o->at), e))
		return cli_usage(e, "--at: %s", e->text);
	if (strcmp(c->verb->name, "book lint") == 0)
		return run_lint(c, e);
	o->io.files = read.files = c->operands + explain;
	o->io.n_files = read.n_files = c->n_operands - explain;
	read.output = "/dev/null"; /* these verbs read only; records in error go there too */
	read.errors = NULL;
	read.jobs = 1;
	read.sink = true;
	if (strcmp(c->verb->name, "report") == 0)
		return run_report(c, o, &read, e);
	if (open_book(&j->book, o, e))
		return -1;
	if (strcmp(c->verb->name, "book show") == 0)
		return run_show(c, j, e);
	j->workers = calloc(o->io.jobs, sizeof *j->workers);
	if (!j->workers)
		return err_nomem(e);
	for (unsigned i = 0; i < o->io.jobs; i++) {
		buf_init(&j->workers[i].calls, BUF_MAX_LINE);
		buf_init(&j->workers[i].text, BUF_MAX_LINE);
	}
	if (!explain)
		return record_map(&c->tally, &o->io, "cost", STR(""), fn, j, e);
	x.id = str_of(c->operands[0]);
	if (record_map(&c->tally, &read, "cost", STR(""), explain_record, &x, e))
		return -1;
	return x.found ? 0 : err_set(e, ERR_OPEN, "no record has the id \"%s\"", c->operands[0]);
}

static void finish(const struct cli *c, struct job *j)
{
	uint64_t undated = 0;
	char text[32];

	for (unsigned i = 0; j->workers && i < j->o->io.jobs; i++) {
		undated += j->workers[i].undated;
		buf_release(&j->workers[i].calls);
		buf_release(&j->workers[i].text);
	}
	time_put_rfc3339(text, j->now);
	if (undated && !j->o->at && strcmp(c->verb->name, "estimate") != 0)
		cli_warn(c,
			 "%llu call%s without a time: priced as of %.10s (--at sets another day)",
			 (unsigned long long)undated, undated > 1 ? "s" : "", text);
	free(j->workers);
	price_book_free(j->book);
}

/* "price" is the verb where none is given. Returns the arguments to use; *mem is to be freed. */
static char **with_verb(int *argc, char **argv, char ***mem)
{
	static char price[] = "price";
	char **v;
	bool plain = *argc > 1 && (argv[1][0] == '-' || access(argv[1], R_OK) == 0);

	for (int i = 1; i < *argc; i++) {
		for (const struct cli_verb *verb = verbs; verb->name; verb++)
			if (strncmp(argv[i], verb->name, strcspn(verb->name, " ")) == 0 &&
			    strlen(argv[i]) == strcspn(verb->name, " "))
				return argv;
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "--version") ||
		    !strncmp(argv[i], "--dump", 6) || !strncmp(argv[i], "--completion", 12))
			return argv;
	}
	if (*argc > 1 && !plain)
		return argv;
	v = calloc((size_t)*argc + 2, sizeof *v);
	if (!v)
		return argv;
	v[0] = argv[0];
	v[1] = price;
	memcpy(v + 2, argv + 1, ((size_t)*argc - 1) * sizeof *v);
	++*argc;
	*mem = v;
	return v;
}

int main(int argc, char **argv)
{
	struct opts o = { .io = RECORD_OPTS_INIT };
	struct job j = { .o = &o };
	struct err e = { 0 };
	char **mem = NULL;
	struct cli c;
	int status;

	argv = with_verb(&argc, argv, &mem);
	if (cli_start(&c, &prog, &o, argc, argv) || cli_need_input(&c)) {
		status = cli_finish(&c, NULL);
	} else {
		int failed = run(&c, &j, &o, &e);

		finish(&c, &j);
		status = cli_finish(&c, failed ? &e : NULL);
	}
	free(mem);
	return status;
}
