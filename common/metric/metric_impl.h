/* metric_impl: what the files of this room share. */
#ifndef METRIC_METRIC_IMPL_H
#define METRIC_METRIC_IMPL_H

#include "metric/metric.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define METRIC_VALUES_MAX 32

struct metric_def {
	struct metric_info info;
	/* item has what info.needs asks for; NaN in *out is null */
	int (*score)(double *out, const struct metric *m, const struct metric_item *item,
		     struct metric_work *w, struct err *e);
	int variant;         /* tells metrics of one function apart */
	const char *version; /* of the definition, for the signature */
	/* of metrics with a value of their own for a corpus: counts that add up, and the score of
	 * such sums */
	int (*stats)(int64_t *sums, const struct metric *m, const struct metric_item *item,
		     struct metric_work *w, struct err *e);
	double (*corpus)(const int64_t *sums, const struct metric *m, bool sentence);
};

enum metric_find { METRIC_WHOLE, METRIC_FIRST, METRIC_LAST };
enum metric_ties { METRIC_TIES_RANK, METRIC_TIES_DOCNO };

struct metric {
	const struct metric_def *def;
	char name[96];
	char *spec;   /* options as given, cut in place */
	char *shown;  /* options as given, for the signature */
	unsigned k;   /* 0: no cut */
	bool negated; /* not-… */
	struct str values[METRIC_VALUES_MAX];
	size_t n_values;
	pcre2_code *ignored[METRIC_VALUES_MAX];
	size_t n_ignored;
	pcre2_code *extract, *pattern;
	bool ignore_case, ignore_punctuation, ignore_numbers, docs, has_min;
	int find;        /* enum metric_find */
	int ties;        /* enum metric_ties */
	int tok, smooth; /* of BLEU */
	double abs_tol, rel_tol, level, tau, min;
};

/* A grow-only array of one worker. */
struct metric_array {
	void *p;
	size_t cap;
};
/* Room for n elements, or NULL. The content is not kept. */
void *metric_room(struct metric_array *a, size_t n, size_t size);

struct metric_work {
	struct buf text[4];
	struct metric_array array[8];
	struct metric_ngrams *ngrams;
	pcre2_match_data *match;
	pcre2_match_context *limits;
};

/* ---- metric_text.c ------------------------------------------------------------------------- */

bool metric_is_space(uint32_t cp);  /* Python's str.isspace() */
bool metric_is_punctuation(char c); /* of ASCII, 32 characters: Python's string.punctuation */
bool metric_is_word(uint32_t cp);   /* Python's str.isalnum() */
bool metric_is_lone(uint32_t cp); /* of a script written without blanks: each character is a word */
/* Python's str.lower(), appended. s is valid UTF-8. */
void metric_lower(struct buf *out, struct str s);
/* The next run without blanks, as Python's str.split(). */
bool metric_split(struct str *word, struct str *rest);
struct str metric_strip(struct str s);

/* ---- metric_regex.c ------------------------------------------------------------------------ */

int metric_regex_compile(pcre2_code **out, struct str pattern, struct err *e);
/* Search from `at`. *from, *to: the match, or the first group that took part where there is one.
 * *next: where to go on. *found false when there is none. Past the limits is ERR_INVALID_FIELD. */
struct metric_match {
	bool found;
	size_t from, to, all_from, all_to;
};
int metric_regex_match(struct metric_match *out, const pcre2_code *re, struct str s, size_t at,
		       struct metric_work *w, struct err *e);
/* s without its matches, appended (Python's re.sub with ""). */
int metric_regex_delete(struct buf *out, const pcre2_code *re, struct str s, struct metric_work *w,
			struct err *e);

/* ---- metric_ngram.c ------------------------------------------------------------------------ */

int metric_ngrams_new(struct metric_ngrams **out, struct err *e);
void metric_ngrams_free(struct metric_ngrams *g);

/* ---- the tables of the files --------------------------------------------------------------- */

extern const struct metric_def metric_answer_defs[], metric_squad_defs[], metric_retrieval_defs[],
	metric_ground_defs[], metric_ngram_defs[]; /* each ends with a name of NULL */

#endif
