/* generate: what the files of llm-generate share. */
#ifndef TOOLS_GENERATE_H
#define TOOLS_GENERATE_H

#include "cli/cli.h"
#include "llm/llm.h"
#include "record/record.h"

struct opts {
	struct record_opts io;
	struct llm_service_opts service;
	struct llm_cache_opts cache;
	const char *model, *prompt, *system, *template, *chat_file, *truncate, *kv_type,
		*continuation, *prompt_cache;
	struct cli_list loras, vars, stops;
	int64_t max_tokens, top_k, seed;
	double temp, top_p, min_p, repeat_penalty, presence, frequency;
	uint32_t samples, top_logprobs, window, ctx, threads;
	bool raw, logprobs, score, dry_run, extract, stream, deltas;
};

struct gen {
	const struct opts *o;
	struct llm *l;               /* a model of this machine, or */
	struct llm_service *service; /* one elsewhere */
	unsigned jobs;
	struct tok_tmpl *fill, *chat; /* of -p or -T; of --chat-template-file */
	struct tok_enc *enc;
	struct llm_prompter prompter;
	struct llm_prompt prompt; /* scratch */
	struct llm_setup setup;
	struct llm_params params; /* of flags and file */
	struct arena a;           /* of params */
	struct buf vars_text, tmpl_text, flags; /* of --param; of the templates' files; of sampling */
	struct llm_backend *backend;
	struct llm_batch batch;
	struct record_io *io;
	struct tally *tally;
	bool streaming;
};

/* The question that a record asks. */
int gen_ask(struct llm_ask *q, struct gen *g, struct record *r, struct err *e);
/* The prompt of a record, in g->prompt. p begins as g->params and gets the record's own; NULL: those do not count. */
int gen_prompt(struct llm_ask *q, struct gen *g, struct record *r, struct llm_params *p,
	       struct err *e);
/* Set `truncated` when the prompt was cut. */
int gen_set_truncated(struct record *r, int32_t from, int32_t to, struct err *e);
/* All records of g->io. */
int gen_run(struct gen *g, struct err *e);
int gen_score(struct gen *g, struct err *e);
int gen_dry_run(struct gen *g, struct err *e);

#endif
