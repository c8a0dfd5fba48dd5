/* metric_run: columns of numbers out of scored records, and what can be said of them. */
#include "config.h"
#include "metric/metric_impl.h"
#include "metric/metric_run_impl.h"
#include <math.h>

#define COLUMNS_MAX 256
#define NULL_SCORE ((double)NAN)

int metric_run_new(struct metric_run **out, bool ids, struct err *e)
{
	struct metric_run *r = calloc(1, sizeof *r);

	if (!r)
		return err_nomem(e);
	r->keep_ids = ids;
	map_init(&r->index, true);
	*out = r;
	return 0;
}

void metric_run_free(struct metric_run *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_columns; i++) {
		free(r->columns[i]->v);
		free(r->columns[i]);
	}
	free(r->columns);
	free(r->items);
	map_release(&r->index);
	free(r);
}

/* The column of that name; made, with nulls for the rows before, when it is new. NULL with the
 * error. */
static struct metric_column *column(struct metric_run *r, struct str name, bool score,
				    struct err *e)
{
	struct metric_column *c;
	struct metric_column **list;

	for (size_t i = 0; i < r->n_columns; i++)
		if (r->columns[i]->score == score && str_is(name, r->columns[i]->name))
			return r->columns[i];
	if (r->n_columns == COLUMNS_MAX) {
		err_set(e, ERR_INVALID_FIELD, "more than %d metrics", COLUMNS_MAX);
		return NULL;
	}
	list = ckd_realloc(r->columns, r->n_columns + 1, sizeof(struct metric_column *));
	if (list)
		r->columns = list;
	c = list ? calloc(1, sizeof *c) : NULL;
	if (!c) {
		err_nomem(e);
		return NULL;
	}
	snprintf(c->name, sizeof c->name, "%.*s", STR_ARG(name));
	c->score = score;
	r->columns[r->n_columns++] = c;
	return c;
}

/* A number of row `row`; of repeats the mean, null as soon as one is. */
static int put(struct metric_run *r, struct str name, bool score, size_t row, uint32_t repeat,
	       double x, struct err *e)
{
	struct metric_column *c = column(r, name, score, e);

	if (!c)
		return -1;
	if (row >= c->cap) {
		size_t cap = row < 512 ? 1024 : 2 * row;
		double *v = ckd_realloc(c->v, cap, sizeof *v);

		if (!v)
			return err_nomem(e);
		c->v = v;
		c->cap = cap;
	}
	while (c->n <= row)
		c->v[c->n++] = NULL_SCORE;
	c->v[row] = repeat == 0 ? x : c->v[row] + (x - c->v[row]) / (repeat + 1);
	return 0;
}

static bool number(double *out, struct json_val v)
{
	if (v.type == JSON_TRUE || v.type == JSON_FALSE)
		*out = v.type == JSON_TRUE;
	else if (v.type == JSON_NUMBER)
		*out = num_json_f64(v.raw);
	else
		return false;
	return isfinite(*out);
}

/* What the calls took, summed over them; null where none says. */
static int put_measures(struct metric_run *r, struct json_val record, size_t row, uint32_t repeat,
			struct err *e)
{
	static const struct {
		const char *name, *path;
		bool last; /* of the last call, not of all */
	} what[] = {
		{ "latency", "timings.total", false },
		{ "ttft", "timings.ttft", true },
		{ "tokens.in", "usage.prompt_tokens", false },
		{ "tokens.out", "usage.completion_tokens", false },
	};
	struct json_val calls = json_get(record, "calls");
	struct json_val cost = json_path(record, STR("cost.total"));
	double x;

	for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
		struct json_iter it = json_elements(calls);
		struct json_val call;
		double sum = 0;
		bool any = false;

		if (calls.type != JSON_ARRAY &&
		    number(&x, json_path(record, str_of(what[i].path)))) {
			sum = x;
			any = true;
		}
		while (calls.type == JSON_ARRAY && json_next(&call, &it)) {
			if (!number(&x, json_path(call, str_of(what[i].path))))
				continue;
			sum = what[i].last ? x : sum + x;
			any = true;
		}
		if (any && put(r, str_of(what[i].name), false, row, repeat, sum, e))
			return -1;
	}
	return number(&x, cost) ? put(r, STR("cost"), false, row, repeat, x, e) : 0;
}

/* Hashes of what the item was asked, to tell whether two runs are of the same items; 0: unknown. */
static void identify(struct metric_row *item, struct json_val record)
{
	static const char *const names[] = { "expected",  "ideal",  "target",
					     "reference", "answer", "refs" };
	struct json_iter it = json_elements(json_get(record, "calls"));
	struct json_val v;

	item->prompt = item->refs = 0;
	while (json_next(&v, &it)) {
		struct json_val hash = json_get(v, "prompt_hash");

		if (hash.type == JSON_STRING)
			item->prompt = hash64(hash.raw.p, hash.raw.n, 0);
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		v = json_get(record, names[i]);
		if (v.type == JSON_NONE)
			continue;
		item->refs = hash64(v.raw.p, v.raw.n, 0);
		break;
	}
}

/* The row of the record; with ids a repeat gets the row of the first. */
static int find_row(size_t *row, uint32_t *repeat, struct metric_run *r, struct json_val record,
		    struct str id, struct err *e)
{
	uint64_t *slot;
	bool is_new;

	*row = r->rows;
	*repeat = 0;
	if (!r->keep_ids)
		return 0;
	if (map_put(&slot, &is_new, &r->index, id, e))
		return -1;
	if (!is_new) {
		if (json_get(record, "repeat").type == JSON_NONE)
			return err_set(e, ERR_DUPLICATE_ID,
				       "the id \"%.*s\" stands twice, without `repeat`",
				       STR_ARG(id));
		*row = *slot;
		*repeat = ++r->items[*row].repeats;
		return 0;
	}
	*slot = r->rows;
	if (r->rows == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 1024;
		struct metric_row *items = ckd_realloc(r->items, cap, sizeof *items);

		if (!items)
			return err_nomem(e);
		r->items = items;
		r->cap = cap;
	}
	r->items[r->rows] = (struct metric_row){ 0 };
	identify(&r->items[r->rows], record);
	return 0;
}

int metric_run_add(struct metric_run *r, struct json_val record, struct str id, struct err *e)
{
	struct json_iter it = json_members(json_get(record, "scores"));
	struct json_val v = json_get(record, "pass");
	struct str key;
	uint32_t repeat;
	size_t row;
	double x;

	if (find_row(&row, &repeat, r, record, id, e))
		return -1;
	if (row == r->rows)
		r->rows++;
	if (v.type != JSON_NONE &&
	    put(r, STR("pass"), true, row, repeat, number(&x, v) ? x : NULL_SCORE, e))
		return -1;
	while (json_next_member(&key, &v, &it))
		if (put(r, key, true, row, repeat, number(&x, v) ? x : NULL_SCORE, e))
			return -1;
	return put_measures(r, record, row, repeat, e);
}

void metric_run_errors(struct metric_run *r, uint64_t n)
{
	r->failed += n;
}

uint64_t metric_run_rows(const struct metric_run *r)
{
	return r->rows;
}

uint64_t metric_run_failed(const struct metric_run *r)
{
	return r->failed;
}

size_t metric_run_columns(const struct metric_run *r)
{
	return r->n_columns;
}

const struct metric_column *metric_run_column(const struct metric_run *r, size_t i)
{
	for (int score = 1; score >= 0; score--)
		for (size_t k = 0; k < r->n_columns; k++)
			if (r->columns[k]->score == score && i-- == 0)
				return r->columns[k];
	return NULL;
}

/* The numbers of a column that are not null; *out is to be freed. */
static int numbers_of(double **out, size_t *n, const struct metric_column *c, struct err *e)
{
	double *v;

	if (!c)
		return err_set(e, ERR_INTERNAL, "there is no such column");
	v = ckd_alloc(c->n + 1, sizeof *v);
	*n = 0;
	*out = v;
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < c->n; i++)
		if (!isnan(c->v[i]))
			v[(*n)++] = c->v[i];
	return 0;
}

static int interval(struct metric_stat *out, const double *v, size_t n, enum metric_ci ci,
		    double confidence, uint64_t seed, struct err *e)
{
	struct stats_interval t = { NULL_SCORE, NULL_SCORE };

	if (ci == METRIC_CI_AUTO)
		ci = out->binary ? METRIC_CI_WILSON : METRIC_CI_T;
	if ((ci == METRIC_CI_WILSON || ci == METRIC_CI_CP) && !out->binary)
		ci = METRIC_CI_T;
	if (n == 0) {
		out->method = "none";
	} else if (ci == METRIC_CI_WILSON) {
		t = stats_wilson((uint64_t)out->sum, n, confidence);
		out->method = "wilson";
	} else if (ci == METRIC_CI_CP) {
		t = stats_clopper_pearson((uint64_t)out->sum, n, confidence);
		out->method = "clopper-pearson";
	} else if (ci == METRIC_CI_BOOTSTRAP) {
		out->method = "bootstrap";
		if (stats_bootstrap_mean(&t, v, n, 10000, confidence, seed, e))
			return -1;
	} else {
		out->method = n > 1 ? "t" : "none";
		if (n > 1)
			t = stats_mean_interval(v, n, confidence);
	}
	out->lo = t.lo;
	out->hi = t.hi;
	return 0;
}

int metric_run_stat(struct metric_stat *out, const struct metric_run *r, size_t i,
		    enum metric_ci ci, double confidence, uint64_t seed, struct err *e)
{
	const struct metric_column *c = metric_run_column(r, i);
	double *v;
	size_t n;
	int failed;

	if (numbers_of(&v, &n, c, e))
		return -1;
	*out = (struct metric_stat){ .name = c->name,
				     .score = c->score,
				     .binary = c->score && n > 0,
				     .n = n,
				     .n_null = r->rows - n };
	for (size_t k = 0; k < n; k++)
		out->binary &= v[k] == 0 || v[k] == 1;
	out->sum = stats_sum(v, n);
	out->mean = stats_mean(v, n);
	out->sd = stats_sd(v, n);
	failed = interval(out, v, n, ci, confidence, seed, e);
	stats_sort(v, n);
	out->min = n ? v[0] : NULL_SCORE;
	out->max = n ? v[n - 1] : NULL_SCORE;
	out->p50 = stats_percentile_sorted(v, n, 50);
	out->p90 = stats_percentile_sorted(v, n, 90);
	out->p95 = stats_percentile_sorted(v, n, 95);
	out->p99 = stats_percentile_sorted(v, n, 99);
	free(v);
	return failed;
}

void metric_run_errors_stat(struct metric_stat *out, const struct metric_run *r, double confidence)
{
	uint64_t n = r->rows + r->failed;
	struct stats_interval ci = stats_wilson(r->failed, n, confidence);

	*out = (struct metric_stat){ .name = "errors",
				     .binary = true,
				     .n = n,
				     .sum = (double)r->failed,
				     .method = "wilson",
				     .lo = ci.lo,
				     .hi = ci.hi,
				     .sd = NULL_SCORE,
				     .min = NULL_SCORE,
				     .max = NULL_SCORE,
				     .p50 = NULL_SCORE,
				     .p90 = NULL_SCORE,
				     .p95 = NULL_SCORE,
				     .p99 = NULL_SCORE };
	out->mean = n ? (double)r->failed / (double)n : NULL_SCORE;
}

int metric_run_percentile(double *out, const struct metric_column *c, double p, struct err *e)
{
	double *v;
	size_t n;

	if (numbers_of(&v, &n, c, e))
		return -1;
	stats_sort(v, n);
	*out = stats_percentile_sorted(v, n, p);
	free(v);
	return 0;
}
