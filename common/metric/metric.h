/*
 * metric: how good one answer, or one list of hits, is. A metric is opened from a spec,
 * "NAME[@K][:option=value,…]", and scores items; an item is what a record holds, already taken
 * apart by the tool. Scores are doubles, NaN where a score cannot be computed (no reference, no
 * hit, nothing quoted): the tool writes null.
 *
 *   metric_open(&m, "recall@5:ties=docno", e);  metric_work_new(&w, e);
 *   metric_score(&score, m, &item, w, e);
 *
 * The definitions stand at each metric in metric_*.c, with their source; metric_info() lists them.
 * Text rules are Python's, for parity with the peers: blanks are Unicode White_Space and U+001C-1F,
 * lower-casing is full Unicode with the final sigma, nothing is normalised. Threads: an open metric
 * is read-only; each worker has its own struct metric_work.
 */
#ifndef METRIC_METRIC_H
#define METRIC_METRIC_H

#include "base/base.h"
#include "json/json.h"

/* One acceptable answer; `json` is the value it came from (a string's text is decoded). */
struct metric_ref {
	struct str text;
	struct json_val json;
};
struct metric_hit {
	struct str id, text;
	double score; /* NaN when not given */
};
/* A judged document; gain 0 is judged and not relevant. */
struct metric_rel {
	struct str id;
	double gain;
};
/* Borrowed for the call. `output` counts when has_output; an answer that is null scores 0 wherever
 * one is needed. */
struct metric_item {
	bool has_output, has_hits, has_rels;
	struct str output;
	const struct metric_ref *refs; /* [n_refs]; 0: none */
	size_t n_refs;
	const struct metric_hit *hits; /* [n_hits] best first */
	size_t n_hits;
	const struct metric_rel *rels; /* [n_rels] */
	size_t n_rels;
};

enum metric_need { METRIC_OUTPUT = 1, METRIC_REFS = 2, METRIC_HITS = 4, METRIC_RELS = 8 };
struct metric_info {
	const char *name;
	unsigned needs;      /* enum metric_need */
	bool takes_k;        /* NAME@K */
	bool binary;         /* 0 or 1: a rate */
	const char *options; /* blank-separated names */
	const char *help;    /* one line */
};
size_t metric_count(void);
struct metric_info metric_info(size_t i);

struct metric;
/* ERR_USAGE names what is wrong with the spec and what there is. */
int metric_open(struct metric **out, const char *spec, struct err *e);
void metric_close(struct metric *m);
const char *metric_name(const struct metric *m); /* its member in `scores` */
unsigned metric_needs(const struct metric *m);
/* Everything that decides its value, as in sacrebleu: "squad_f1|extract:…|v1". Appended to b. */
void metric_signature(struct buf *b, const struct metric *m);

struct metric_work;
int metric_work_new(struct metric_work **out, struct err *e);
void metric_work_free(struct metric_work *w);

/* NaN is null. ERR_INVALID_FIELD for an item that cannot be right (one document twice among the
 * hits). */
int metric_score(double *out, const struct metric *m, const struct metric_item *item,
		 struct metric_work *w, struct err *e);
/*
 * Does a score pass? A binary metric asks for 1, any other for `min` where that option was given;
 * METRIC_OPEN where nothing was asked for or the score is null.
 */
enum metric_verdict { METRIC_FAIL, METRIC_PASS, METRIC_OPEN };
enum metric_verdict metric_verdict(const struct metric *m, double score);
bool metric_has_rule(const struct metric *m);

/* ---- corpora ------------------------------------------------------------------------------- */

/*
 * BLEU and chrF of a corpus are no means of sentences: counts are summed (exactly, in any order or
 * sharding), and the score is that of the sums. *counted is false for an item without references; a
 * null output counts as an empty one.
 */
#define METRIC_SUMS 24
bool metric_has_corpus(const struct metric *m);
int metric_corpus_add(int64_t sums[METRIC_SUMS], bool *counted, const struct metric *m,
		      const struct metric_item *item, struct metric_work *w, struct err *e);
double metric_corpus_score(const int64_t sums[METRIC_SUMS], const struct metric *m);

/* ---- items out of records ------------------------------------------------------------------ */

/* Judgements read from a file: "topic 0 document gain" a line (TREC qrels), topics being ids of
 * records. ERR_OPEN names the line. */
struct metric_qrels;
int metric_qrels_load(struct metric_qrels **out, const char *path, struct err *e);
void metric_qrels_free(struct metric_qrels *q);

struct metric_fields {
	const char *output;   /* name or path; NULL: "output" */
	const char *expected; /* NULL: the first of expected, ideal, target, reference, answer, refs */
	const struct metric_qrels *qrels; /* NULL: the record's `relevant` */
	unsigned needs;                   /* what any metric needs: the rest is not looked at */
};
/*
 * Take a record apart. Texts borrow the record or the arena. References: a string, a number, an
 * object, or an array of strings and numbers, of which each is one; any other array is one JSON
 * value. Hits: `hits` (or `contexts`, texts alone). Relevant: an array of ids or of {id, gain}, or
 * an object {id: gain}. ERR_MISSING_FIELD without the output.
 */
int metric_item_read(struct metric_item *out, struct json_val record, struct str id,
		     const struct metric_fields *f, struct arena *a, struct err *e);

/* ---- runs: many scored records ------------------------------------------------------------- */

/*
 * A run keeps the numbers of scored records in columns: each member of `scores`, `pass`, and what
 * was measured: latency and ttft (ms), tokens.in, tokens.out, cost. 8 bytes a number; with ids also
 * the ids, so that two runs can be paired. Of records with one id and a member `repeat` the numbers
 * are averaged.
 */
struct metric_run;
int metric_run_new(struct metric_run **out, bool ids, struct err *e);
void metric_run_free(struct metric_run *r);
int metric_run_add(struct metric_run *r, struct json_val record, struct str id, struct err *e);
/* Records that carry an error are counted, not scored. */
void metric_run_errors(struct metric_run *r, uint64_t n);
uint64_t metric_run_rows(const struct metric_run *r);
uint64_t metric_run_failed(const struct metric_run *r);
/* Scores first, in order of appearance, then what was measured. */
size_t metric_run_columns(const struct metric_run *r);

enum metric_ci { METRIC_CI_AUTO, METRIC_CI_WILSON, METRIC_CI_T, METRIC_CI_BOOTSTRAP, METRIC_CI_CP };
struct metric_stat {
	const char *name;
	bool score, binary; /* binary: nothing but 0 and 1 */
	uint64_t n, n_null;
	double mean, sd, sum, min, max, p50, p90, p95, p99; /* NaN where n is too small */
	double lo, hi;                                      /* of the mean */
	const char *method;                                 /* of the interval */
};
/* Column i. Intervals: Wilson for binary columns, t for others, unless ci says otherwise. */
int metric_run_stat(struct metric_stat *out, const struct metric_run *r, size_t i,
		    enum metric_ci ci, double confidence, uint64_t seed, struct err *e);
/* "errors": the share of records in error among all, with Wilson's interval. */
void metric_run_errors_stat(struct metric_stat *out, const struct metric_run *r, double confidence);

/* ---- gates --------------------------------------------------------------------------------- */

enum metric_outcome { METRIC_MET, METRIC_MISSED, METRIC_UNDECIDED };
struct metric_gate_result {
	enum metric_outcome outcome;
	double value, lo, hi; /* lo, hi: one-sided 95 % bounds; NaN where there are none */
	uint64_t n;
	double p;    /* of a comparison: two-sided; else NaN */
	double base; /* of a comparison: the baseline's mean; else NaN */
	const char *method;
	char name[128]; /* as given, or "compare(em) > -0.02" */
	char why[160];  /* of an undecided one */
};
/*
 * "squad_f1.mean >= 0.8", "em.lcb95 >= .78", "errors.rate < 1%", "latency.p95 < 1500ms", "cost.mean
 * < 0.002", "coverage(judge) >= .98". Statistics: mean (rate, per_item), sum, min, max, pNN, lcbNN,
 * ucbNN. A bound decides both ways: met where it holds, missed where the opposite bound fails too,
 * undecided between. n < min_items is undecided. ERR_USAGE for what cannot be read or names no
 * column.
 */
int metric_gate(struct metric_gate_result *out, const struct metric_run *r, const char *expr,
		uint64_t min_items, struct err *e);
/*
 * Not worse than the baseline by more than the margin, at 95 % one-sided: score column i of `r`
 * against that of the same name, paired by id. Binary: Tango's interval and McNemar's exact p; else
 * Student's t on the differences. *found is false where the baseline has no such column.
 */
int metric_compare(struct metric_gate_result *out, bool *found, const struct metric_run *r,
		   size_t i, const struct metric_run *base, double margin, uint64_t min_items,
		   struct err *e);
/*
 * Do two runs hold the same items? ERR_OPEN when less than min_overlap (0..1) of the ids of both
 * are in both, when an item's references differ or, unless other_prompts, its prompt hash.
 */
int metric_run_match(const struct metric_run *r, const struct metric_run *base, double min_overlap,
		     bool other_prompts, struct err *e);

#endif
