/* run: records through a backend: read, asked, answered, written in input order. */
#include "llm/llm.h" /* which includes this one: before the guard */
#ifndef LLM_RUN_H
#define LLM_RUN_H

#include "record/record.h"

struct llm_run {
	struct llm_backend *backend;
	struct record_io *io;
	unsigned jobs;   /* the window of io */
	bool one_by_one; /* a record begins when the one before is done */
	/* Makes the question of a record; `a`, `id` and `record` are set. -1: the record fails with e. */
	int (*begin)(void *arg, struct llm_ask *q, struct record *r, struct err *e);
	/* Writes a good answer down. -1: the record fails with e. */
	int (*end)(void *arg, struct llm_ask *q, struct record *r, struct err *e);
	/* NULL, or adds to a record that failed with q->err. */
	int (*fail)(void *arg, struct llm_ask *q, struct record *r, struct err *e);
	void *arg;
};
/*
 * All records of io. Takes in what is at hand and waits for input only when nothing is under way. An answer that says that
 * all others will fail, too, ends the run with its error; its record and those under way are not written.
 */
int llm_run(const struct llm_run *x, struct err *e);
/* Asks nothing: each record gets `request`, `n_tokens` and `max_cost` of llm_remote_preview(); end and fail are not called. */
int llm_run_preview(const struct llm_run *x, struct err *e);

#endif
