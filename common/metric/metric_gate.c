/* metric_gate: thresholds on one run, and one run against another. */
#include "config.h"
#include "metric/metric_run_impl.h"
#include <math.h>

/* ---- thresholds ---------------------------------------------------------------------------- */

enum what { W_MEAN, W_SUM, W_MIN, W_MAX, W_PERCENTILE, W_LCB, W_UCB, W_COVERAGE, W_ERRORS, W_N };
struct gate {
	enum what what;
	double arg; /* of a percentile or a bound */
	struct str column;
	char op[3];
	double threshold;
};

static int bad_gate(struct err *e, const char *expr, const char *why)
{
	return err_set(e, ERR_USAGE,
		       "gate \"%s\": %s; it is of the form NAME.STATISTIC >= NUMBER, such as "
		       "em.lcb95 >= 0.8",
		       expr, why);
}

/* "mean", "p99.9", "lcb95" */
static bool parse_statistic(struct gate *g, struct str s)
{
	static const struct {
		const char *name;
		enum what what;
	} names[] = { { "mean", W_MEAN }, { "rate", W_MEAN }, { "per_item", W_MEAN },
		      { "sum", W_SUM },   { "min", W_MIN },   { "max", W_MAX },
		      { "n", W_N } };
	struct {
		struct str prefix;
		enum what what;
	} prefixes[] = { { STR("lcb"), W_LCB }, { STR("ucb"), W_UCB }, { STR("p"), W_PERCENTILE } };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_is(s, names[i].name)) {
			g->what = names[i].what;
			return true;
		}
	for (size_t i = 0; i < 3; i++)
		if (str_starts(s, prefixes[i].prefix) &&
		    num_f64(&g->arg, str_sub(s, prefixes[i].prefix.n, s.n), 0, 100, NULL) == 0 &&
		    (prefixes[i].what == W_PERCENTILE || (g->arg >= 50 && g->arg < 100))) {
			g->what = prefixes[i].what;
			return true;
		}
	return false;
}

static bool parse_threshold(struct gate *g, struct str s)
{
	double scale = 1;

	if (str_ends(s, STR("%"))) {
		scale = 0.01;
		s.n--;
	} else if (str_ends(s, STR("ms"))) {
		s.n -= 2;
	} else if (str_ends(s, STR("s"))) {
		scale = 1000;
		s.n--;
	}
	if (num_f64(&g->threshold, str_trim(s), -1e300, 1e300, NULL))
		return false;
	g->threshold *= scale;
	return true;
}

static int parse_gate(struct gate *g, const char *expr, struct err *e)
{
	struct str s = str_trim(str_of(expr));
	size_t at = strcspn(s.p, "<>=");
	struct str left, right;
	size_t dot;

	if (at >= s.n)
		return bad_gate(e, expr, "there is no comparison");
	left = str_trim(str_sub(s, 0, at));
	g->op[0] = s.p[at++];
	if (at < s.n && s.p[at] == '=')
		g->op[1] = s.p[at++];
	right = str_trim(str_sub(s, at, s.n));
	if (!parse_threshold(g, right))
		return bad_gate(e, expr, "the right side is no number");
	if (str_is(left, "errors.rate")) {
		g->what = W_ERRORS;
		return 0;
	}
	if (str_starts(left, STR("coverage(")) && left.p[left.n - 1] == ')') {
		g->what = W_COVERAGE;
		g->column = str_sub(left, 9, left.n - 1);
		return 0;
	}
	g->column = left;
	for (dot = left.n; dot > 0 && left.p[dot - 1] != '.'; dot--)
		;
	/* "latency.p99.9" has two dots: the longer statistic is tried first */
	for (size_t k = dot; k > 1; k--) {
		if (left.p[k - 1] != '.' || !parse_statistic(g, str_sub(left, k, left.n)))
			continue;
		g->column = str_sub(left, 0, k - 1);
		return 0;
	}
	g->what = W_MEAN;
	return 0;
}

static const struct metric_column *find_column(size_t *index, const struct metric_run *r,
					       struct str name)
{
	const struct metric_column *c;

	for (*index = 0; (c = metric_run_column(r, *index)); ++*index)
		if (str_is(name, c->name))
			return c;
	return NULL;
}

static bool holds(const struct gate *g, double v)
{
	bool equal = v == g->threshold;

	switch (g->op[0]) {
	case '<':
		return v < g->threshold || (g->op[1] && equal);
	case '>':
		return v > g->threshold || (g->op[1] && equal);
	default:
		return equal;
	}
}

static void decide(struct metric_gate_result *out, const struct gate *g, double value)
{
	out->value = value;
	if (isnan(value)) {
		out->outcome = METRIC_UNDECIDED;
		snprintf(out->why, sizeof out->why, "there is nothing to judge by");
		return;
	}
	out->outcome = holds(g, value) ? METRIC_MET : METRIC_MISSED;
}

/* Met when the bound asked for holds, missed when the other one does not hold either. */
static void decide_bound(struct metric_gate_result *out, const struct gate *g)
{
	bool lower = g->what == W_LCB;

	decide(out, g, lower ? out->lo : out->hi);
	if (out->outcome == METRIC_MISSED && holds(g, lower ? out->hi : out->lo)) {
		out->outcome = METRIC_UNDECIDED;
		snprintf(out->why, sizeof out->why,
			 "the interval [%.4g, %.4g] has the threshold in it", out->lo, out->hi);
	}
}

static int judge_column(struct metric_gate_result *out, const struct metric_run *r,
			const struct gate *g, size_t i, struct err *e)
{
	const struct metric_column *c = metric_run_column(r, i);
	double confidence = g->what == W_LCB || g->what == W_UCB ? 2 * g->arg / 100 - 1 : 0.9;
	struct metric_stat s;
	double p;

	if (metric_run_stat(&s, r, i, METRIC_CI_AUTO, confidence, 0, e))
		return -1;
	out->n = s.n;
	out->lo = s.lo;
	out->hi = s.hi;
	out->method = s.method;
	switch (g->what) {
	case W_LCB:
	case W_UCB:
		decide_bound(out, g);
		return 0;
	case W_PERCENTILE:
		if (metric_run_percentile(&p, c, g->arg, e))
			return -1;
		out->lo = out->hi = (double)NAN;
		out->method = "type 7";
		decide(out, g, p);
		return 0;
	case W_COVERAGE:
		out->n = r->rows;
		out->lo = out->hi = (double)NAN;
		out->method = "share";
		decide(out, g, r->rows ? (double)s.n / (double)r->rows : (double)NAN);
		return 0;
	default:
		decide(out, g,
		       g->what == W_SUM   ? s.sum
		       : g->what == W_MIN ? s.min
		       : g->what == W_MAX ? s.max
		       : g->what == W_N   ? (double)s.n
					  : s.mean);
		return 0;
	}
}

int metric_gate(struct metric_gate_result *out, const struct metric_run *r, const char *expr,
		uint64_t min_items, struct err *e)
{
	struct gate g = { .op = "" };
	size_t i;

	*out = (struct metric_gate_result){ .lo = (double)NAN,
					    .hi = (double)NAN,
					    .p = (double)NAN,
					    .base = (double)NAN,
					    .method = "" };
	snprintf(out->name, sizeof out->name, "%s", expr);
	if (parse_gate(&g, expr, e))
		return -1;
	if (g.what == W_ERRORS) {
		out->n = r->rows + r->failed;
		out->method = "share";
		decide(out, &g, out->n ? (double)r->failed / (double)out->n : (double)NAN);
	} else if (find_column(&i, r, g.column)) {
		if (judge_column(out, r, &g, i, e))
			return -1;
	} else if (r->rows == 0) {
		decide(out, &g, (double)NAN);
	} else {
		return err_set(e, ERR_USAGE,
			       "gate \"%s\": no record has a score or measure \"%.*s\"", expr,
			       STR_ARG(g.column));
	}
	if (out->n < min_items) {
		out->outcome = METRIC_UNDECIDED;
		snprintf(out->why, sizeof out->why, "%llu items, at least %llu are needed",
			 (unsigned long long)out->n, (unsigned long long)min_items);
	}
	return 0;
}

/* ---- against a baseline -------------------------------------------------------------------- */

struct pairs {
	double *d; /* candidate - baseline */
	size_t n;
	double base_sum;
	uint64_t both, only_new, only_base, neither;
	bool binary, unit; /* all of {0, 1}; all in [0, 1] */
};

static double value_at(const struct metric_column *c, size_t row)
{
	return row < c->n ? c->v[row] : (double)NAN;
}

/* The row of the baseline with the same id, by row of r; SIZE_MAX where there is none. To be freed.
 */
static size_t *partners(const struct metric_run *r, const struct metric_run *base, struct err *e)
{
	size_t *out = ckd_alloc(r->rows + 1, sizeof *out);

	if (!out) {
		err_nomem(e);
		return NULL;
	}
	for (size_t i = 0; i < r->rows; i++)
		out[i] = SIZE_MAX;
	for (size_t s = 0; s < r->index.cap; s++) {
		const struct map_slot *slot = &r->index.slots[s];
		const uint64_t *row = slot->key.p ? map_get(&base->index, slot->key) : NULL;

		if (row)
			out[slot->value] = *row;
	}
	return out;
}

static int make_pairs(struct pairs *p, const struct metric_run *r, const struct metric_column *c,
		      const struct metric_run *base, const struct metric_column *cb, struct err *e)
{
	size_t *partner = partners(r, base, e);

	*p = (struct pairs){ .binary = true, .unit = true };
	if (!partner)
		return -1;
	p->d = ckd_alloc(r->rows + 1, sizeof *p->d);
	for (size_t i = 0; i < r->rows && p->d; i++) {
		double x = value_at(c, i);
		double y = partner[i] == SIZE_MAX ? (double)NAN : value_at(cb, partner[i]);

		if (isnan(x) || isnan(y))
			continue;
		p->binary &= (x == 0 || x == 1) && (y == 0 || y == 1);
		p->unit &= x >= 0 && x <= 1 && y >= 0 && y <= 1;
		p->both += x == 1 && y == 1;
		p->only_new += x == 1 && y == 0;
		p->only_base += x == 0 && y == 1;
		p->neither += x == 0 && y == 0;
		p->base_sum += y;
		p->d[p->n++] = x - y;
	}
	free(partner);
	return p->d ? 0 : err_nomem(e);
}

/* One-sided 95 % bounds of the mean difference. */
static void bound(struct metric_gate_result *out, const struct pairs *p)
{
	struct stats_interval ci;
	struct stats_paired t;

	if (p->binary) {
		ci = stats_tango(p->both, p->only_new, p->only_base, p->neither, 0.90);
		out->p = stats_mcnemar_exact(p->only_new, p->only_base);
		out->method = "tango";
	} else {
		stats_paired_t(&t, p->d, p->n, 0.90);
		ci = t.ci;
		out->p = t.p;
		out->method = "paired t";
		if (!(t.se > 0) && p->n > 1 && p->unit) {
			/* No two differences differ: t would call that certain. As Tango's interval
			 * without a discordant pair, z^2 / (n + z^2) to either side. */
			double z = stats_norm_quantile(0.95);
			double half = z * z / ((double)p->n + z * z);

			ci = (struct stats_interval){ t.mean - half, t.mean + half };
			out->method = "no spread";
		}
	}
	out->lo = ci.lo;
	out->hi = ci.hi;
}

int metric_compare(struct metric_gate_result *out, bool *found, const struct metric_run *r,
		   size_t i, const struct metric_run *base, double margin, uint64_t min_items,
		   struct err *e)
{
	const struct metric_column *c = metric_run_column(r, i);
	const struct metric_column *cb = NULL;
	struct pairs p;
	size_t k;

	*out = (struct metric_gate_result){ .lo = (double)NAN,
					    .hi = (double)NAN,
					    .p = (double)NAN,
					    .base = (double)NAN,
					    .value = (double)NAN,
					    .method = "none" };
	if (c)
		cb = find_column(&k, base, str_of(c->name));
	*found = c && cb && c->score && cb->score;
	if (!*found)
		return 0;
	if (make_pairs(&p, r, c, base, cb, e)) {
		free(p.d);
		return -1;
	}
	snprintf(out->name, sizeof out->name, "compare(%s) > -%.6g", c->name, margin);
	out->n = p.n;
	out->value = stats_mean(p.d, p.n);
	out->base = p.n ? p.base_sum / (double)p.n : (double)NAN;
	if (p.n)
		bound(out, &p);
	free(p.d);
	if (out->n < min_items || out->n < 2) {
		out->outcome = METRIC_UNDECIDED;
		snprintf(out->why, sizeof out->why, "%llu pairs, at least %llu are needed",
			 (unsigned long long)out->n,
			 (unsigned long long)(min_items > 2 ? min_items : 2));
	} else if (out->lo > -margin) {
		out->outcome = METRIC_MET;
	} else if (out->hi < -margin) {
		out->outcome = METRIC_MISSED;
	} else {
		out->outcome = METRIC_UNDECIDED;
		snprintf(out->why, sizeof out->why,
			 "the difference lies in [%.4g, %.4g]: more items, or a wider margin",
			 out->lo, out->hi);
	}
	return 0;
}

int metric_run_match(const struct metric_run *r, const struct metric_run *base, double min_overlap,
		     bool other_prompts, struct err *e)
{
	size_t most = r->rows > base->rows ? r->rows : base->rows;
	size_t *partner = partners(r, base, e);
	size_t shared = 0;
	size_t prompts = 0;
	size_t refs = 0;

	if (!partner)
		return -1;
	for (size_t i = 0; i < r->rows; i++) {
		const struct metric_row *a = &r->items[i];
		const struct metric_row *b =
			partner[i] == SIZE_MAX ? NULL : &base->items[partner[i]];

		shared += b != NULL;
		prompts += b && a->prompt && b->prompt && a->prompt != b->prompt;
		refs += b && a->refs && b->refs && a->refs != b->refs;
	}
	free(partner);
	if (prompts && !other_prompts)
		return err_set(e, ERR_OPEN,
			       "%zu items had another prompt (prompt_hash) in the baseline; "
			       "--other-prompts compares them nevertheless",
			       prompts);
	if (refs)
		return err_set(e, ERR_OPEN, "%zu items have other references in the baseline",
			       refs);
	if (most && (double)shared < min_overlap * (double)most)
		return err_set(e, ERR_OPEN, "only %zu of %zu ids are in both files (--min-overlap)",
			       shared, most);
	return 0;
}
