/*
 * metric: how good one answer, or one list of hits, is. A metric is opened from a spec, "NAME[@K][:option=value,…]",
 * and scores items; an item is what a record holds, already taken apart by the tool. Scores are doubles, NaN where a
 * score cannot be computed (no reference, no hit, nothing quoted): the tool writes null.
 *
 *   metric_open(&m, "recall@5:ties=docno", e);  metric_work_new(&w, e);
 *   metric_score(&score, m, &item, w, e);
 *
 * The definitions stand at each metric in metric_*.c, with their source; metric_info() lists them. Text rules are
 * Python's, for parity with the peers: blanks are Unicode White_Space and U+001C-1F, lower-casing is full Unicode with
 * the final sigma, nothing is normalised.
 * Threads: an open metric is read-only; each worker has its own struct metric_work.
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
/* Borrowed for the call. `output` counts when has_output; an answer that is null scores 0 wherever one is needed. */
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

/* NaN is null. ERR_INVALID_FIELD for an item that cannot be right (one document twice among the hits). */
int metric_score(double *out, const struct metric *m, const struct metric_item *item, struct metric_work *w,
		 struct err *e);
/*
 * Does a score pass? A binary metric asks for 1, any other for `min` where that option was given; METRIC_OPEN where
 * nothing was asked for or the score is null.
 */
enum metric_verdict { METRIC_FAIL, METRIC_PASS, METRIC_OPEN };
enum metric_verdict metric_verdict(const struct metric *m, double score);
bool metric_has_rule(const struct metric *m);

#endif
