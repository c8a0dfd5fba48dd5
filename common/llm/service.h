/* service: a name that means a hosted model; where it is, with which key, within which limits, and who stands in for it. */
#include "llm/llm.h" /* which includes this one: before the guard */
#ifndef LLM_SERVICE_H
#define LLM_SERVICE_H

#include "cli/cli.h"
#include "price/price.h"

/* The options of CLI_SERVICE. */
struct llm_service_opts {
	const char *base_url;       /* --base-url; NULL: only a name "provider:NAME" is a service */
	const char *key_file, *key_cmd;
	struct cli_list fallbacks;  /* "[CAUSE,…=]MODEL" */
	const char *state;          /* limits and breakers shared with other processes; NULL: none */
	double timeout, deadline;   /* seconds, of a request and of a record */
	double rpm, tpm;            /* 0: what the configuration says */
	uint32_t max_retries;
	bool hedge, fail_fast;
	void (*note)(void *arg, const char *text); /* what makes a run wait, once each time; or NULL */
	void *note_arg;
};
#define LLM_SERVICE_INIT                                           \
	{                                                          \
		.timeout = 120, .deadline = 600, .max_retries = 3  \
	}
#define LLM_SERVICE_JOBS 8 /* records in flight, unless -j says more */

struct llm_service;
/*
 * What `model` names (NULL: the variable, the configuration): *out is NULL when that is a model of this machine. Providers
 * are those of "providers" in config.json, and `openai`. Keys: --api-key-file, --api-key-cmd; the provider's own; for
 * --base-url and `openai` the environment's OPENAI_API_KEY, which then is taken out of it.
 */
int llm_service_open(struct llm_service **out, const char *model, enum llm_role role, const struct llm_service_opts *o,
		     struct err *e);
void llm_service_free(struct llm_service *s);
/* The model's name as the service knows it, or NULL where each record names its own; the base URL. */
const char *llm_service_model(const struct llm_service *s);
const char *llm_service_url(const struct llm_service *s);
/* A backend of it, for asks of every kind. s and setup stay the caller's. `batch`: most texts to embed a request. */
int llm_remote_new(struct llm_backend **out, struct llm_service *s, const struct llm_setup *setup, unsigned batch,
		   struct err *e);
/*
 * The request that would go out, as a JSON object {method, url, body}; about how many tokens its prompt has; and what it
 * costs at most as a JSON object {input, output, total, currency}, or null where that has no bound or no price.
 */
int llm_remote_preview(struct buf *request, struct buf *cost, uint64_t *tokens, struct llm_backend *b, struct llm_ask *q,
		       const struct price_book *book, struct err *e);
/* The first of CLI_SERVICE's options but --base-url that was given, or NULL. */
const char *llm_service_given(const struct cli *c);

#endif
