/* llm-eval: score records, report scores, gate a build on them. */
#include "config.h"
#include "cli/cli.h"
#include "metric/metric.h"
#include "record/record.h"
#include <math.h>
#include <unistd.h>

enum format { F_AUTO, F_TABLE, F_NDJSON, F_JSON, F_MD };

struct opts {
	struct record_opts io;
	struct cli_list metrics, fail_under, gates;
	const char *expected, *qrels, *slice, *baseline;
	double confidence, margin, overlap;
	bool other_prompts;
	uint64_t seed, min_items;
	int ci, format, inconclusive;
	bool names;
};

#define ROW(k, l, nm, a, m, lo, hi, hlp, vb)                                                       \
	{                                                                                          \
		.kind = k, .letter = l, .name = nm, .arg = a, .help = hlp,                         \
		.offset = offsetof(struct opts, m), .given = CLI_NOT_KEPT, .min = lo, .max = hi,   \
		.verbs = vb                                                                        \
	}
static const struct cli_opt options[] = {
	ROW(CLI_K_LIST, 'M', "metric", "METRIC", metrics, 0, 0,
	    "NAME[@K][:option=value,…]; repeatable", NULL),
	ROW(CLI_K_STR, 0, "expected-field", "NAME", expected, 0, 0,
	    "the member with the references", " score report "),
	ROW(CLI_K_STR, 0, "qrels", "FILE", qrels, 0, 0, "judged documents, as of TREC", " score "),
	ROW(CLI_K_STR, 0, "slice", "NAME", slice, 0, 0, "one report for each value of a member",
	    " report "),
	ROW(CLI_K_ENUM, 0, "ci", "auto|wilson|t|bootstrap|clopper-pearson", ci, 0, 0,
	    "kind of interval [auto]", " report "),
	ROW(CLI_K_F64, 0, "confidence", "P", confidence, 0.5, 0.9999, "of the intervals [0.95]",
	    " report "),
	ROW(CLI_K_U64, 0, "seed", "N", seed, 0, 0, "of the bootstrap [0]", " report "),
	ROW(CLI_K_LIST, 0, "fail-under", "METRIC=X", fail_under, 0, 0,
	    "METRIC or METRIC.lcb95 must be X or more; repeatable", " gate "),
	ROW(CLI_K_LIST, 0, "gate", "EXPR", gates, 0, 0, "such as 'errors.rate < 1%'; repeatable",
	    " gate "),
	ROW(CLI_K_STR, 0, "baseline", "FILE", baseline, 0, 0, "scored records not to be worse than",
	    " gate "),
	ROW(CLI_K_F64, 0, "margin", "M", margin, 0, 1e6, "by more than M [0.02]", " gate "),
	ROW(CLI_K_F64, 0, "min-overlap", "P", overlap, 0, 1,
	    "share of ids that both files must have [0.99]", " gate "),
	ROW(CLI_K_FLAG, 0, "other-prompts", NULL, other_prompts, 0, 0,
	    "compare answers to two prompts: the baseline's may be others", " gate "),
	ROW(CLI_K_U64, 0, "min-items", "N", min_items, 0, 0, "with fewer a gate is undecided [1]",
	    " gate "),
	ROW(CLI_K_ENUM, 0, "inconclusive", "keep|pass|fail", inconclusive, 0, 0,
	    "undecided counts as [keep: status 8]", " gate "),
	ROW(CLI_K_ENUM, 0, "format", "auto|table|ndjson|json|md", format, 0, 0,
	    "[table at a terminal, else ndjson]", " report gate "),
	ROW(CLI_K_FLAG, 0, "names", NULL, names, 0, 0, "only the names", " metrics "),
	CLI_RECORDS(struct opts, io),
	CLI_END
};
/* What prints a report writes no records. */
#define READS_ONLY " jobs output only errors resume retry-errors "
static const struct cli_verb verbs[] = {
	{ "score", "[FILE...]", "add `scores` and `pass`", NULL },
	{ "report", "[FILE...]", "means, intervals and percentiles of scored records", READS_ONLY },
	{ "gate", "[FILE...]",
	  "exit 0 when every gate is met, 3 when one is missed, 8 when more items are needed",
	  READS_ONLY },
	{ "metrics", "", "list the metrics", READS_ONLY "field fail-fast summary records text lines " },
	{ NULL, NULL, NULL, NULL }
};
static const char *const examples[] = {
	"llm-eval score -M squad_f1 -M contains answers.ndjson | llm-eval report",
	"llm-eval gate --fail-under squad_f1=0.8 --baseline main.ndjson scored.ndjson", NULL
};
static const struct cli_prog prog = {
	"llm-eval", "[FILE...]", "score answers and gate on the scores", options, verbs, examples
};

/* ---- score --------------------------------------------------------------------------------- */

struct scorer {
	struct metric **metrics; /* [n] */
	size_t n;
	struct metric_fields fields;
	struct metric_qrels *qrels;
	struct metric_work **work; /* [jobs] */
	struct buf *json;          /* [jobs] */
	unsigned jobs;
};

static bool ours(const struct scorer *s, struct str raw_key)
{
	for (size_t i = 0; i < s->n; i++)
		if (json_key_is(raw_key, str_of(metric_name(s->metrics[i]))))
			return true;
	return false;
}

/* Scores that an earlier run left stay, but for those of the same name. */
static void keep_others(struct json_w *w, const struct scorer *s, struct json_val old)
{
	struct json_iter it = json_members(old);
	struct json_val v;
	struct str key;

	while (json_next_member(&key, &v, &it)) {
		if (ours(s, key))
			continue;
		buf_addz(w->b, w->comma ? ",\"" : "\"");
		buf_adds(w->b, key);
		buf_addz(w->b, "\":");
		buf_adds(w->b, v.raw);
		w->comma = true;
	}
}

static int score_record(struct record *r, void *arg, struct err *e)
{
	const struct scorer *s = arg;
	struct buf *b = &s->json[record_worker(r)];
	struct json_w w = json_w(b);
	struct metric_item item;
	bool failed = false;
	bool open = false;
	bool ruled = false;

	if (metric_item_read(&item, record_json(r), record_id(r), &s->fields, record_arena(r), e))
		return -1;
	buf_reset(b);
	json_w_begin(&w, '{');
	keep_others(&w, s, json_get(record_json(r), "scores"));
	for (size_t i = 0; i < s->n; i++) {
		const struct metric *m = s->metrics[i];
		double score;

		if (metric_score(&score, m, &item, s->work[record_worker(r)], e))
			return -1;
		json_w_key(&w, metric_name(m));
		json_w_f64(&w, score); /* NaN is null */
		if (!metric_has_rule(m))
			continue;
		ruled = true;
		failed |= metric_verdict(m, score) == METRIC_FAIL;
		open |= metric_verdict(m, score) == METRIC_OPEN;
	}
	json_w_end(&w, '}');
	if (buf_check(b, e) || record_set_raw(r, "scores", buf_str(b), e))
		return -1;
	return record_set_raw(r, "pass",
			      failed           ? STR("false")
			      : open || !ruled ? STR("null")
					       : STR("true"),
			      e);
}

/* -M; a name that is no metric's is told the nearest that is. */
static int open_metric(struct metric **out, const char *spec, struct err *e)
{
	const char *names[64], *near;
	char typed[64];
	size_t n = 0;

	if (!metric_open(out, spec, e))
		return 0;
	if (!str_starts(str_of(e->text), STR("unknown metric")))
		return -1;
	for (; n < metric_count() && n < sizeof names / sizeof *names; n++)
		names[n] = metric_info(n).name;
	snprintf(typed, sizeof typed, "%.*s", (int)strcspn(spec, ":@"), spec);
	near = cli_nearest(typed, names, n);
	return near ? cli_usage(e, "unknown metric \"%s\"; did you mean \"%s\"?", typed, near) : -1;
}

static int scorer_open(struct scorer *s, const struct opts *o, struct err *e)
{
	if (!o->metrics.n)
		return cli_usage(e, "no metric: -M NAME (llm-eval metrics lists them)");
	s->jobs = o->io.jobs;
	s->metrics = calloc(o->metrics.n, sizeof *s->metrics);
	s->work = calloc(s->jobs, sizeof *s->work);
	s->json = calloc(s->jobs, sizeof *s->json);
	if (!s->metrics || !s->work || !s->json)
		return err_nomem(e);
	for (size_t i = 0; i < o->metrics.n; i++) {
		if (open_metric(&s->metrics[i], o->metrics.v[i], e))
			return -1;
		s->n++;
		for (size_t k = 0; k < i; k++)
			if (!strcmp(metric_name(s->metrics[k]), metric_name(s->metrics[i])))
				return cli_usage(e,
						 "two metrics are named %s: name one with as=NAME",
						 metric_name(s->metrics[i]));
		s->fields.needs |= metric_needs(s->metrics[i]);
	}
	for (unsigned i = 0; i < s->jobs; i++) {
		buf_init(&s->json[i], BUF_MAX_LINE);
		if (metric_work_new(&s->work[i], e))
			return -1;
	}
	s->fields.output = o->io.field;
	s->fields.expected = o->expected;
	if (o->qrels && metric_qrels_load(&s->qrels, o->qrels, e))
		return -1;
	s->fields.qrels = s->qrels;
	return 0;
}

static int run_score(struct cli *c, const struct opts *o, struct err *e)
{
	struct scorer s = { .n = 0 };
	struct buf params;
	int failed;

	buf_init(&params, BUF_MAX_LINE);
	failed = scorer_open(&s, o, e);
	for (size_t i = 0; i < s.n; i++) { /* what --resume compares */
		buf_addc(&params, i ? ' ' : '"');
		metric_signature(&params, s.metrics[i]);
	}
	if (!failed)
		failed = record_map(&c->tally, &o->io, "eval", buf_str(&params), score_record, &s,
				    e);
	for (size_t i = 0; i < s.n; i++)
		metric_close(s.metrics[i]);
	for (unsigned i = 0; s.work && s.json && i < s.jobs; i++) {
		metric_work_free(s.work[i]);
		buf_release(&s.json[i]);
	}
	metric_qrels_free(s.qrels);
	buf_release(&params);
	free(s.metrics);
	free(s.work);
	free(s.json);
	return failed;
}

/* ---- reading scored records ---------------------------------------------------------------- */

#define SLICES_MAX 1000

/* Metrics of a whole corpus, for report -M. */
struct corpus {
	struct metric **metrics; /* [n] */
	size_t n;
	struct metric_fields fields;
	struct metric_work *work;
	int64_t (*sums)[METRIC_SUMS]; /* [SLICES_MAX * n] */
	uint64_t *counted;            /* [SLICES_MAX * n] */
};
struct reading {
	const char *slice;
	bool ids;
	struct corpus corpus;
	struct metric_run **runs; /* [n]: one, or one a slice */
	struct str *names;        /* [n] */
	size_t n;
	struct map index;
	struct arena mem;
};

/* The run of a slice, made when it is new; NULL with the error. */
static struct metric_run *run_of(size_t *place, struct reading *rd, struct str name, struct err *e)
{
	uint64_t *slot;
	bool is_new;

	if (map_put(&slot, &is_new, &rd->index, name, e))
		return NULL;
	*place = is_new ? rd->n : *slot;
	if (!is_new)
		return rd->runs[*place];
	if (rd->n == SLICES_MAX) {
		err_set(e, ERR_USAGE, "--slice %s has more than %d values", rd->slice, SLICES_MAX);
		return NULL;
	}
	rd->names[rd->n] = arena_str(&rd->mem, name);
	if (!rd->names[rd->n].p) {
		err_nomem(e);
		return NULL;
	}
	if (metric_run_new(&rd->runs[rd->n], rd->ids, e))
		return NULL;
	*slot = rd->n;
	return rd->runs[rd->n++];
}

static int corpus_open(struct corpus *c, const struct opts *o, struct err *e)
{
	if (!o->metrics.n)
		return 0;
	c->metrics = calloc(o->metrics.n, sizeof(struct metric *));
	c->sums = calloc(SLICES_MAX * o->metrics.n, sizeof *c->sums);
	c->counted = calloc(SLICES_MAX * o->metrics.n, sizeof *c->counted);
	if (!c->metrics || !c->sums || !c->counted)
		return err_nomem(e);
	c->fields = (struct metric_fields){ .output = o->io.field,
					    .expected = o->expected,
					    .needs = METRIC_OUTPUT | METRIC_REFS };
	for (; c->n < o->metrics.n; c->n++) {
		if (metric_open(&c->metrics[c->n], o->metrics.v[c->n], e))
			return -1;
		if (!metric_has_corpus(c->metrics[c->n])) {
			cli_usage(e, "%s of a corpus is the mean of its scores: score first",
				  metric_name(c->metrics[c->n]));
			c->n++;
			return -1;
		}
	}
	return metric_work_new(&c->work, e);
}

static int corpus_add(struct corpus *c, size_t slice, struct record *r, struct err *e)
{
	struct metric_item item;

	if (!c->n)
		return 0;
	if (metric_item_read(&item, record_json(r), record_id(r), &c->fields, record_arena(r), e))
		return -1;
	for (size_t i = 0; i < c->n; i++) {
		bool counted;

		if (metric_corpus_add(c->sums[slice * c->n + i], &counted, c->metrics[i], &item,
				      c->work, e))
			return -1;
		c->counted[slice * c->n + i] += counted;
	}
	return 0;
}

static void corpus_release(struct corpus *c)
{
	for (size_t i = 0; i < c->n; i++)
		metric_close(c->metrics[i]);
	metric_work_free(c->work);
	free(c->metrics);
	free(c->sums);
	free(c->counted);
}

static int read_record(struct record *r, void *arg, struct err *e)
{
	struct reading *rd = arg;
	struct json_val v = { .type = JSON_NONE };
	struct str name = { "", 0 };
	struct metric_run *run;
	size_t place = 0;

	if (rd->slice)
		v = json_path(record_json(r), str_of(rd->slice));
	if (v.type == JSON_STRING) {
		if (json_str(&name, v, record_arena(r), e))
			return -1;
	} else if (v.type != JSON_NONE) {
		name = v.raw;
	}
	run = run_of(&place, rd, name, e);
	if (!run || corpus_add(&rd->corpus, place, r, e))
		return -1;
	return metric_run_add(run, record_json(r), record_id(r), e);
}

/* Reads records and writes none. Records in error are counted in the first run (of all). */
static int read_all(struct reading *rd, struct cli *c, const struct opts *o,
		    const char *const *files, size_t n, struct err *e)
{
	struct record_opts in = o->io;
	struct tally t = { 0 };
	size_t first;

	map_init(&rd->index, true);
	arena_init(&rd->mem, (size_t)1 << 30);
	rd->runs = calloc(SLICES_MAX, sizeof *rd->runs);
	rd->names = calloc(SLICES_MAX, sizeof *rd->names);
	if (!rd->runs || !rd->names)
		return err_nomem(e);
	in.files = files;
	in.n_files = n;
	in.output = "/dev/null"; /* records in error go there too */
	in.errors = NULL;
	in.sink = true;
	in.jobs = 1;
	if (!rd->slice && !run_of(&first, rd, (struct str){ "", 0 }, e))
		return -1;
	if (record_map(&t, &in, "eval", STR(""), read_record, rd, e))
		return -1;
	if (rd->n)
		metric_run_errors(rd->runs[0], t.failed);
	if (c) {
		c->tally = t;
	} else if (t.codes[ERR_DUPLICATE_ID]) {
		return err_set(e, ERR_OPEN, "%s", t.first[ERR_DUPLICATE_ID]);
	}
	return 0;
}

static void reading_release(struct reading *rd)
{
	corpus_release(&rd->corpus);
	for (size_t i = 0; i < rd->n; i++)
		metric_run_free(rd->runs[i]);
	free(rd->runs);
	free(rd->names);
	map_release(&rd->index);
	arena_release(&rd->mem);
}

/* ---- output: rows of cells, in four forms -------------------------------------------------- */

#define CELLS_MAX 16

struct cell {
	const char *name;
	enum { C_TEXT, C_COUNT, C_NUMBER } kind;
	struct str text;
	double number;
};
struct sheet {
	enum format format;
	struct buf *rows; /* JSON: finished; others: tab-separated */
	size_t n_cells, n_rows;
};

static enum format format_of(const struct opts *o)
{
	return o->format ? (enum format)o->format : isatty(1) ? F_TABLE : F_NDJSON;
}

static void put_number(struct buf *b, const struct cell *c, bool short_form)
{
	char text[NUM_BUF];

	if (isnan(c->number) || isinf(c->number))
		buf_addc(b, '-');
	else if (c->kind == C_COUNT || (fabs(c->number) >= 100000 && floor(c->number) == c->number))
		buf_addf(b, "%.0f", c->number);
	else if (short_form)
		buf_addf(b, "%.4g", c->number);
	else
		buf_add(b, text, num_put_f64(text, c->number));
}

static void put_json_row(struct sheet *sh, const struct cell *c, size_t n)
{
	struct json_w w = json_w(sh->rows);

	if (sh->format == F_JSON)
		buf_addz(sh->rows, sh->n_rows ? ",\n " : " ");
	json_w_begin(&w, '{');
	for (size_t i = 0; i < n; i++) {
		json_w_key(&w, c[i].name);
		if (c[i].kind == C_TEXT)
			json_w_str(&w, c[i].text);
		else
			json_w_f64(&w, c[i].number);
	}
	json_w_end(&w, '}');
	if (sh->format == F_NDJSON)
		buf_addc(sh->rows, '\n');
}

/* A tab, line break or bar would break the table. */
static void put_plain(struct buf *b, struct str s, bool md)
{
	for (size_t i = 0; i < s.n; i++) {
		if (md && s.p[i] == '|')
			buf_addc(b, '\\');
		buf_addc(b, (unsigned char)s.p[i] < 32 || s.p[i] == 127 ? ' ' : s.p[i]);
	}
	if (!s.n)
		buf_addc(b, '-');
}

static void put_row(struct sheet *sh, const struct cell *c, size_t n)
{
	if (sh->format == F_NDJSON || sh->format == F_JSON) {
		put_json_row(sh, c, n);
		sh->n_rows++;
		return;
	}
	if (sh->n_rows == 0)
		for (size_t i = 0; i < n; i++)
			buf_addf(sh->rows, "%s%s", c[i].name, i + 1 < n ? "\t" : "\n");
	sh->n_cells = n;
	sh->n_rows++;
	for (size_t i = 0; i < n; i++) {
		if (c[i].kind == C_TEXT)
			put_plain(sh->rows, c[i].text, sh->format == F_MD);
		else
			put_number(sh->rows, &c[i], true);
		buf_addc(sh->rows, i + 1 < n ? '\t' : '\n');
	}
}

/* Tab-separated lines to aligned columns, or to a table of Markdown. */
static void print_table(const struct sheet *sh)
{
	struct str s = buf_str(sh->rows);
	size_t width[CELLS_MAX] = { 0 };
	bool md = sh->format == F_MD;

	for (int draw = 0; draw < 2; draw++) {
		size_t line = 0;

		for (size_t at = 0, k = 0; at < s.n; k = (k + 1) % sh->n_cells) {
			bool last = k + 1 == sh->n_cells;
			size_t to = str_find(s, last ? STR("\n") : STR("\t"), at);
			struct str cell = str_sub(s, at, to);
			size_t n = utf8_count(cell);

			at = to + 1;
			if (n > width[k])
				width[k] = n;
			if (draw && md)
				printf("%s%.*s%s", k ? " | " : "| ", STR_ARG(cell),
				       last ? " |\n" : "");
			else if (draw)
				printf("%.*s%*s%s", STR_ARG(cell), last ? 0 : (int)(width[k] - n),
				       "", last ? "\n" : "  ");
			for (size_t i = 0; draw && md && last && line == 0 && i <= sh->n_cells; i++)
				fputs(i < sh->n_cells ? "|---" : "|\n", stdout);
			line += last;
		}
	}
}

static int print_sheet(const struct sheet *sh, struct err *e)
{
	if (buf_check(sh->rows, e))
		return -1;
	if (sh->format == F_JSON)
		printf("[\n%.*s\n]\n", (int)sh->rows->n, sh->rows->n ? sh->rows->p : "");
	else if (sh->format == F_NDJSON)
		fwrite(sh->rows->p ? sh->rows->p : "", 1, sh->rows->n, stdout);
	else if (sh->n_cells)
		print_table(sh);
	return 0;
}

/* ---- report -------------------------------------------------------------------------------- */

static void report_stat(struct sheet *sh, const struct metric_stat *s, const struct opts *o,
			struct str slice)
{
	const struct str none = { NULL, 0 };
	const struct cell cells[] = {
		{ "slice", C_TEXT, slice, 0 },
		{ "metric", C_TEXT, str_of(s->name), 0 },
		{ "n", C_COUNT, none, (double)s->n },
		{ "n_null", C_COUNT, none, (double)s->n_null },
		{ "mean", C_NUMBER, none, s->mean },
		{ "lo", C_NUMBER, none, s->lo },
		{ "hi", C_NUMBER, none, s->hi },
		{ "interval", C_TEXT, str_of(s->method), 0 },
		{ "sd", C_NUMBER, none, s->sd },
		{ "sum", C_NUMBER, none, s->sum },
		{ "min", C_NUMBER, none, s->min },
		{ "p50", C_NUMBER, none, s->p50 },
		{ "p90", C_NUMBER, none, s->p90 },
		{ "p95", C_NUMBER, none, s->p95 },
		{ "p99", C_NUMBER, none, s->p99 },
		{ "max", C_NUMBER, none, s->max },
	};
	size_t skip = o->slice ? 0 : 1;

	put_row(sh, cells + skip, sizeof cells / sizeof *cells - skip);
}

static void report_corpus(struct sheet *sh, const struct corpus *c, size_t slice,
			  const struct opts *o, struct str name)
{
	const double none = (double)NAN;

	for (size_t i = 0; i < c->n; i++) {
		size_t at = slice * c->n + i;
		struct metric_stat s = { .name = metric_name(c->metrics[i]),
					 .n = c->counted[at],
					 .method = "corpus",
					 .lo = none,
					 .hi = none,
					 .sd = none,
					 .sum = none,
					 .min = none,
					 .max = none,
					 .p50 = none,
					 .p90 = none,
					 .p95 = none,
					 .p99 = none };

		s.mean = s.n ? metric_corpus_score(c->sums[at], c->metrics[i]) : none;
		report_stat(sh, &s, o, name);
	}
}

static int report_run(struct sheet *sh, const struct reading *rd, size_t i_run,
		      const struct opts *o, struct err *e)
{
	const struct metric_run *run = rd->runs[i_run];
	struct str slice = rd->names[i_run];
	struct metric_stat s;

	report_corpus(sh, &rd->corpus, i_run, o, slice);
	for (size_t i = 0; i < metric_run_columns(run); i++) {
		if (metric_run_stat(&s, run, i, (enum metric_ci)o->ci, o->confidence, o->seed, e))
			return -1;
		report_stat(sh, &s, o, slice);
	}
	if (o->slice)
		return 0;
	metric_run_errors_stat(&s, run, o->confidence);
	report_stat(sh, &s, o, slice);
	return 0;
}

static int run_report(struct cli *c, const struct opts *o, struct err *e)
{
	struct reading rd = { .slice = o->slice };
	struct buf rows;
	struct sheet sh = { .format = format_of(o), .rows = &rows };
	int failed;

	buf_init(&rows, BUF_MAX_TEXT);
	failed =
		corpus_open(&rd.corpus, o, e) || read_all(&rd, c, o, c->operands, c->n_operands, e);
	for (size_t i = 0; i < rd.n && !failed; i++)
		failed = report_run(&sh, &rd, i, o, e);
	if (!failed && sh.n_rows < 2)
		cli_warn(c, "no scores in %llu records: run llm-eval score first",
			 (unsigned long long)c->tally.in);
	if (!failed)
		failed = print_sheet(&sh, e);
	reading_release(&rd);
	buf_release(&rows);
	return failed;
}

/* ---- gate ---------------------------------------------------------------------------------- */

static const char *const outcome_names[] = { "met", "missed", "undecided" };

struct gates {
	const struct opts *o;
	struct sheet sheet;
	size_t n, missed, undecided;
	bool errors_gated;
};

static void put_outcome(struct gates *g, struct metric_gate_result *r)
{
	if (r->outcome == METRIC_UNDECIDED && g->o->inconclusive)
		r->outcome = g->o->inconclusive == 1 ? METRIC_MET : METRIC_MISSED;
	g->n++;
	g->missed += r->outcome == METRIC_MISSED;
	g->undecided += r->outcome == METRIC_UNDECIDED;
	const struct cell cells[] = {
		{ "gate", C_TEXT, str_of(r->name), 0 },
		{ "outcome", C_TEXT, str_of(outcome_names[r->outcome]), 0 },
		{ "value", C_NUMBER, { NULL, 0 }, r->value },
		{ "n", C_COUNT, { NULL, 0 }, (double)r->n },
		{ "lo", C_NUMBER, { NULL, 0 }, r->lo },
		{ "hi", C_NUMBER, { NULL, 0 }, r->hi },
		{ "p", C_NUMBER, { NULL, 0 }, r->p },
		{ "baseline", C_NUMBER, { NULL, 0 }, r->base },
		{ "method", C_TEXT, str_of(r->method), 0 },
		{ "why", C_TEXT, str_of(r->why), 0 },
	};
	put_row(&g->sheet, cells, sizeof cells / sizeof *cells);
}

/* "METRIC=X" is "METRIC >= X". */
static int judge_fail_under(struct gates *g, const struct metric_run *run, const char *text,
			    struct err *e)
{
	const char *equals = strrchr(text, '=');
	struct metric_gate_result r;
	char expr[256];

	if (!equals || equals == text ||
	    (size_t)snprintf(expr, sizeof expr, "%.*s >= %s", (int)(equals - text), text,
			     equals + 1) >= sizeof expr)
		return cli_usage(e, "--fail-under %s: of the form METRIC=X", text);
	if (metric_gate(&r, run, expr, g->o->min_items, e))
		return -1;
	put_outcome(g, &r);
	return 0;
}

static bool chosen(const struct opts *o, const char *name)
{
	for (size_t i = 0; i < o->metrics.n; i++)
		if (!strcmp(o->metrics.v[i], name))
			return true;
	return o->metrics.n == 0;
}

static int judge_baseline(struct gates *g, const struct metric_run *run, struct err *e)
{
	const struct opts *o = g->o;
	struct reading base = { .ids = true };
	size_t compared = 0;
	struct metric_stat s;
	int failed = read_all(&base, NULL, o, &o->baseline, 1, e) ||
		     metric_run_match(run, base.runs[0], o->overlap, o->other_prompts, e);

	if (failed && e->code < ERR_INVALID_JSON)
		err_wrap(e, "baseline %s", o->baseline);
	for (size_t i = 0; i < metric_run_columns(run) && !failed; i++) {
		struct metric_gate_result r;
		bool found;

		failed = metric_run_stat(&s, run, i, METRIC_CI_T, 0.95, 0, e);
		if (failed || !s.score || !chosen(o, s.name))
			continue;
		failed = metric_compare(&r, &found, run, i, base.runs[0], o->margin, o->min_items,
					e);
		if (failed || !found)
			continue;
		compared++;
		put_outcome(g, &r);
	}
	if (!failed && !compared)
		failed =
			err_set(e, ERR_OPEN, "baseline %s: no score is in both files", o->baseline);
	reading_release(&base);
	return failed;
}

static int judge(struct gates *g, const struct metric_run *run, struct err *e)
{
	const struct opts *o = g->o;

	for (size_t i = 0; i < o->fail_under.n; i++)
		if (judge_fail_under(g, run, o->fail_under.v[i], e))
			return -1;
	for (size_t i = 0; i < o->gates.n; i++) {
		struct metric_gate_result r;

		g->errors_gated |= strstr(o->gates.v[i], "errors.rate") != NULL;
		if (metric_gate(&r, run, o->gates.v[i], o->min_items, e))
			return -1;
		put_outcome(g, &r);
	}
	return o->baseline ? judge_baseline(g, run, e) : 0;
}

static int run_gate(struct cli *c, const struct opts *o, struct err *e)
{
	struct reading rd = { .ids = o->baseline != NULL };
	struct buf rows;
	struct gates g = { .o = o, .sheet = { .format = format_of(o), .rows = &rows } };
	int failed;

	if (!o->fail_under.n && !o->gates.n && !o->baseline)
		return cli_usage(e,
				 "no gate: --fail-under METRIC=X, --gate EXPR or --baseline FILE");
	buf_init(&rows, BUF_MAX_TEXT);
	failed = read_all(&rd, c, o, c->operands, c->n_operands, e) || judge(&g, rd.runs[0], e) ||
		 print_sheet(&g.sheet, e);
	reading_release(&rd);
	buf_release(&rows);
	if (failed)
		return -1;
	if (g.missed)
		return err_set(e, ERR_GATE, "%zu of %zu gates missed", g.missed, g.n);
	if (g.undecided)
		return err_set(e, ERR_INCONCLUSIVE, "%zu of %zu gates undecided", g.undecided, g.n);
	if (g.errors_gated) /* their rate was judged */
		memset(&c->tally, 0, sizeof c->tally);
	return 0;
}

/* ---- main ---------------------------------------------------------------------------------- */

static int run_metrics(const struct opts *o)
{
	for (size_t i = 0; i < metric_count(); i++) {
		struct metric_info m = metric_info(i);

		if (o->names) {
			puts(m.name);
			continue;
		}
		printf("%s%-*s  %s%s%s\n", m.name, (int)(20 - strlen(m.name)),
		       m.takes_k ? "[@K]" : "", m.help, m.options[0] ? "; options: " : "",
		       m.options);
	}
	return 0;
}

static int run(struct cli *c, struct opts *o, struct err *e)
{
	o->io.files = c->operands;
	o->io.n_files = c->n_operands;
	if (o->io.input == RECORD_AUTO)
		o->io.input = RECORD_JSON;
	switch (c->verb->name[0]) {
	case 's':
		return run_score(c, o, e);
	case 'r':
		return run_report(c, o, e);
	case 'g':
		return run_gate(c, o, e);
	default:
		return run_metrics(o);
	}
}

int main(int argc, char **argv)
{
	struct opts o = { .io = RECORD_OPTS_INIT,
			  .confidence = 0.95,
			  .margin = 0.02,
			  .overlap = 0.99,
			  .min_items = 1 };
	struct err e = { 0 };
	struct cli c;

	if (cli_start(&c, &prog, &o, argc, argv))
		return cli_finish(&c, NULL);
	if (c.verb->name[0] != 'm' && cli_need_input(&c))
		return cli_finish(&c, NULL);
	int failed = run(&c, &o, &e);
	return cli_finish(&c, failed ? &e : NULL);
}
