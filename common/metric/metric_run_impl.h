/* metric_run_impl: the columns of a run, for the gates. */
#ifndef METRIC_METRIC_RUN_IMPL_H
#define METRIC_METRIC_RUN_IMPL_H

#include "metric/metric.h"
#include "stats/stats.h"

struct metric_column {
	char name[96];
	bool score; /* of `scores`, else measured */
	double *v;  /* [n]; NaN is null; rows past n are null */
	size_t n, cap;
};
struct metric_row {
	uint64_t prompt, refs; /* hashes; 0 unknown */
	uint32_t repeats;      /* after the first */
};
struct metric_run {
	struct metric_column **columns;
	size_t n_columns;
	bool keep_ids;
	struct map index;         /* id to row */
	struct metric_row *items; /* [rows], with ids */
	size_t rows, cap;
	uint64_t failed;
};

const struct metric_column *metric_run_column(const struct metric_run *r, size_t i);
int metric_run_percentile(double *out, const struct metric_column *c, double p, struct err *e);

#endif
