/*
 * cli: one option table a tool. From it come parsing (getopt_long), --help, the shell completion, the check
 * of the man page (hidden --dump-options) and the nearest match for a mistyped name.
 *
 *   static const struct cli_opt options[] = { CLI_MODEL(struct opts, model), …, CLI_END };
 *   static const struct cli_prog prog = { "llm-x", "[FILE...]", "does x", options, verbs };
 *   int main(int argc, char **argv) {
 *           if (cli_start(&c, &prog, &o, argc, argv)) return cli_finish(&c, NULL);
 *           failed = run(&o, &c.tally, &e);
 *           return cli_finish(&c, failed ? &e : NULL);
 *   }
 *
 * Progress is drawn by a thread of its own that reads c->tally (out, failed, skipped, tokens,
 * total_hint): a tool only keeps the tally current and the struct cli in place. At a terminal a bar
 * after 1 s, at most 5 times a second, gone before any message; with --progress and no terminal a
 * plain line every 10 s.
 *
 * Hidden options of every tool: --dump-options (the table as JSON), --completion bash|zsh|fish.
 * LLMU_LOG=json in the environment makes each message one JSON object {ts, tool, pid, level, msg}.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/base.h"
#include "os/os.h"
#include <stddef.h>

enum cli_kind {
	CLI_K_END,
	CLI_K_HEAD,   /* a heading in --help: text in `help` */
	CLI_K_FLAG,   /* bool; also --no-NAME */
	CLI_K_STR,    /* const char *, borrowed from argv */
	CLI_K_LIST,   /* struct cli_list: repeatable */
	CLI_K_U32,    /* uint32_t in [min, max] */
	CLI_K_U64,    /* uint64_t; min = max = 0: any */
	CLI_K_I64,    /* the same for int64_t */
	CLI_K_F64,    /* double in [min, max] */
	CLI_K_ENUM,   /* int: one of the words in `arg` ("a|b|c"), as its place in that list */
	CLI_K_SET,    /* int at offset = set_to: several flags share one place, one at most is given (--text, --records) */
};

struct cli_list {
	const char **v;
	size_t n, cap;
};

struct cli_opt {
	enum cli_kind kind;
	int letter;           /* 0: long only */
	const char *name;     /* long name */
	const char *arg;      /* name of the argument in --help: "N", "FILE"; its words drive completion:
	                         FILE, DIR, MODEL (registry names), METRIC, "a|b|c" */
	const char *words;    /* those of an argument of another name, "a|b|c", for completion; or NULL */
	const char *help;     /* one line, no full stop; the default in brackets; NULL: a hidden option */
	size_t offset;        /* place in the tool's struct */
	size_t given;         /* place of a bool that says it was given; (size_t)-1: none */
	double min, max;      /* numbers */
	int set_to;
	const char *alias;    /* another long name that is accepted but not shown, or NULL */
	const char *verbs;    /* " add ledger.add ": only under these verbs; NULL: all */
};

#define CLI_NOT_KEPT ((size_t)-1)
#define CLI_HEAD(text) { .kind = CLI_K_HEAD, .help = text }
#define CLI_FLAG(l, nm, S, m, hlp) \
	{ .kind = CLI_K_FLAG, .letter = l, .name = nm, .help = hlp, .offset = offsetof(S, m), .given = CLI_NOT_KEPT }
#define CLI_STR(l, nm, a, S, m, hlp) \
	{ .kind = CLI_K_STR, .letter = l, .name = nm, .arg = a, .help = hlp, .offset = offsetof(S, m), .given = CLI_NOT_KEPT }
#define CLI_LIST(l, nm, a, S, m, hlp) \
	{ .kind = CLI_K_LIST, .letter = l, .name = nm, .arg = a, .help = hlp, .offset = offsetof(S, m), .given = CLI_NOT_KEPT }
#define CLI_U32(l, nm, a, S, m, lo, hi, hlp) \
	{ .kind = CLI_K_U32, .letter = l, .name = nm, .arg = a, .help = hlp, .offset = offsetof(S, m), .given = CLI_NOT_KEPT, .min = lo, .max = hi }
#define CLI_U64(l, nm, a, S, m, hlp) \
	{ .kind = CLI_K_U64, .letter = l, .name = nm, .arg = a, .help = hlp, .offset = offsetof(S, m), .given = CLI_NOT_KEPT }
#define CLI_F64(l, nm, a, S, m, lo, hi, hlp) \
	{ .kind = CLI_K_F64, .letter = l, .name = nm, .arg = a, .help = hlp, .offset = offsetof(S, m), .given = CLI_NOT_KEPT, .min = lo, .max = hi }
#define CLI_ENUM(l, nm, words, S, m, hlp) \
	{ .kind = CLI_K_ENUM, .letter = l, .name = nm, .arg = words, .help = hlp, .offset = offsetof(S, m), .given = CLI_NOT_KEPT }
#define CLI_SET(l, nm, S, m, val, hlp) \
	{ .kind = CLI_K_SET, .letter = l, .name = nm, .help = hlp, .offset = offsetof(S, m), .given = CLI_NOT_KEPT, .set_to = val }
#define CLI_END { .kind = CLI_K_END }

/* Shared blocks: the same letters and words in every tool. S has a `struct record_opts` named m. */
#define CLI_MODEL(S, m) CLI_STR('m', "model", "MODEL", S, m, "a GGUF file or a model of the registry")
#define CLI_THREADS(S, m) CLI_U32('t', "threads", "N", S, m, 1, 1024, "threads [all processors]")
/* Of tools whose models may also be those of services. S has a `struct llm_service_opts` named m. */
#define CLI_ANY_MODEL(S, m) \
	CLI_STR('m', "model", "MODEL", S, m, "a GGUF file, a name of the registry, provider:NAME")
#define CLI_SERVICE(S, m) \
	CLI_HEAD("Services:"), \
	CLI_STR(0, "base-url", "URL", S, m.base_url, "the model is one of the service at URL (…/v1)"), \
	CLI_STR(0, "api-key-file", "FILE", S, m.key_file, "its key, in a file of mode 600, or fd:N"), \
	CLI_STR(0, "api-key-cmd", "COMMAND", S, m.key_cmd, "its key, as COMMAND prints it"), \
	CLI_F64(0, "timeout", "SECONDS", S, m.timeout, 0.001, 86400, "most time of a request [120]"), \
	CLI_F64(0, "deadline", "SECONDS", S, m.deadline, 0.001, 604800, \
		"most time of a record, with retries and waits [600]"), \
	CLI_U32(0, "max-retries", "N", S, m.max_retries, 0, 100, "retries of a request [3]"), \
	CLI_F64(0, "rpm", "N", S, m.rpm, 0, 1e9, "most requests a minute"), \
	CLI_F64(0, "tpm", "N", S, m.tpm, 0, 1e12, "most tokens a minute"), \
	CLI_LIST(0, "fallback", "[CAUSE,...=]MODEL", S, m.fallbacks, \
		 "who answers on error, limit, timeout, context, content; repeatable"), \
	CLI_FLAG(0, "hedge", S, m.hedge, "ask again when an answer is unusually late"), \
	CLI_STR(0, "state", "FILE", S, m.state, "share limits and breakers with other processes")
#define CLI_RECORDS(S, m) \
	CLI_RECORDS_AS_THEY_ARE(S, m), \
	CLI_STR(0, "field", "NAME", S, m.field, "the member that holds the text")
#define CLI_RECORDS_AS_THEY_ARE(S, m) /* no text of theirs is read */ \
	CLI_HEAD("Records:"), \
	CLI_U32('j', "jobs", "N", S, m.jobs, 1, 4096, "records in flight"), \
	CLI_STR('o', "output", "FILE", S, m.output, "write records to FILE (.zst compresses)"), \
	CLI_FLAG(0, "only", S, m.only, "print the id and the members added here"), \
	CLI_STR(0, "errors", "FILE", S, m.errors, "divert records in error to FILE"), \
	CLI_STR(0, "resume", "FILE", S, m.resume, "append to FILE what it lacks"), \
	CLI_FLAG(0, "retry-errors", S, m.retry_errors, "with --resume: do records in error again"), \
	CLI_FLAG(0, "fail-fast", S, m.fail_fast, "stop at the first error"), \
	CLI_STR(0, "summary", "FILE", S, m.summary, "write the counts as JSON to FILE"), \
	CLI_SET(0, "records", S, m.input, 1, "the input is records"), \
	CLI_SET(0, "text", S, m.input, 2, "the input is text"), \
	CLI_SET(0, "lines", S, m.input, 3, "each line of text is a record")
/* -q -v --progress --help --version are every tool's and need no row. */

struct cli_verb {
	const char *name;     /* "add", or two words: "ledger add"; NULL ends the list */
	const char *operands; /* "DB [FILE...]": how many there must and may be is read off it */
	const char *help;
	const char *without;  /* " output resume ": options of all verbs that this one has not; or NULL */
};

struct cli_prog {
	const char *name;
	const char *operands;       /* "[FILE...]" */
	const char *purpose;        /* one sentence, lower case, no full stop */
	const struct cli_opt *options;
	const struct cli_verb *verbs; /* NULL: none. The first operand then is one of them. */
	const char *const *examples;  /* two lines for --help, NULL-terminated, or NULL */
};

struct cli {
	const struct cli_prog *prog;
	const struct cli_verb *verb; /* the verb given */
	const char *const *operands; /* after the verb */
	size_t n_operands;
	int verbose;                 /* 0; -v 1; -vv 2 */
	bool quiet;
	bool progress;               /* --progress, or a terminal on stderr and not quiet */
	const char *unit;            /* what progress counts; NULL: "records" */
	int status;                  /* exit status when cli_start() said no */
	struct tally tally;
	struct cli_state *state;     /* private */
};

/*
 * Parse argv into *opts (defaults are what is in there), install the signal handlers. Returns 1 when there is
 * nothing more to do: --help, --version, --dump-options answered, or bad usage reported; then return
 * cli_finish(c, NULL). Abbreviated long options are refused with the nearest name.
 */
int cli_start(struct cli *c, const struct cli_prog *prog, void *opts, int argc, char **argv);
/* Was the option given on the command line? (name without dashes) */
bool cli_given(const struct cli *c, const char *name);
/* Usage: -1 with both names when `one` and any of the `others` ("temp stop") were given. */
int cli_exclude(const struct cli *c, const char *one, const char *others, struct err *e);
/*
 * Close: progress cleared, one line a distinct error code with its count, e's message, checked close of stdout.
 * The exit status is the design's: e's code, else 1 when records carry errors, else 0.
 */
int cli_finish(struct cli *c, const struct err *e);
/* One line on stderr, "tool: …", control characters masked; cli_info only with -v, cli_note at a terminal or -v,
 * cli_warn unless -q. */
void cli_warn(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cli_info(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cli_note(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/*
 * For tools that read records: when there are no operands and standard input is a terminal, prints the usage, sets status
 * 2 and returns 1 (then return cli_finish(c, NULL)); else 0.
 */
int cli_need_input(struct cli *c);
/* Bad usage found by the tool: the message and "Try '… --help'"; sets ERR_USAGE. Returns -1. */
int cli_usage(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Nearest of n names to what was typed (Damerau-Levenshtein), or NULL when none is near. */
const char *cli_nearest(const char *typed, const char *const *names, size_t n);

#endif
