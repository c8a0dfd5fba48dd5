/* cli_impl: what the sources of this room share. */
#ifndef CLI_CLI_IMPL_H
#define CLI_CLI_IMPL_H

#include "cli/cli.h"
#include <pthread.h>

/* Options that apply: the tool's under the verb given (or all of them), then the common ones. */
struct cli_rows {
	const struct cli_opt **v; /* headings too */
	bool *given;              /* [n] */
	size_t n, own;            /* all; the tool's */
};

struct cli_progress {
	pthread_t thread;
	pthread_mutex_t lock; /* held while anything is written to standard error */
	pthread_cond_t wake;
	bool running, stop, shown, tty;
	uint64_t start_ns;
};

struct cli_state {
	struct arena mem; /* names, arrays and lists of options: as long as the process */
	const char *tool; /* as invoked: --program-prefix may have renamed it */
	void *opts;
	struct cli_rows rows;
	unsigned verbose;
	bool quiet, help, help_all, version, dump, log_json;
	const char *completion;
	struct cli_progress progress;
};

extern const struct cli_opt
	cli_common[]; /* offsets into struct cli_state, and struct cli for --progress */

/* cli_parse: rows of the verb; all when verb is NULL. */
int cli_rows_make(struct cli_rows *out, struct arena *mem, const struct cli_opt *table,
		  const struct cli_verb *verb, struct err *e);
bool cli_rows_apply(const struct cli_opt *o, const char *verb);
bool cli_only_informs(const struct cli_state *s); /* --help and its like */
int cli_parse(struct cli *c, int argc, char **argv, struct err *e);

/* cli_help: texts, appended to b. */
void cli_put_usage(struct buf *b, const struct cli *c);
void cli_put_help(struct buf *b, const struct cli *c);
void cli_put_version(struct buf *b, const struct cli *c);
void cli_put_dump(struct buf *b, const struct cli *c);

/* cli_complete: a completion script; -1 for a shell that is not known. */
int cli_put_completion(struct buf *b, const struct cli *c, const char *shell, struct err *e);
/* The words of "a|b|c": the next one, false at the end. */
bool cli_next_word(struct str *out, struct str *rest);

/* cli_msg: one message on standard error. */
void cli_say(const struct cli *c, const char *level, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));
void cli_error(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* cli_progress */
void cli_progress_start(struct cli *c, bool forced);
void cli_progress_stop(struct cli *c);
/* Take the bar away; the lock is held. */
void cli_progress_clear(struct cli_progress *p);

#endif
