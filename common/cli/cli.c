/* cli: start and end of every tool. */
#include "config.h"
#include "cli/cli_impl.h"
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#define COMMON(l, nm, m, hlp)                                                                      \
	{                                                                                          \
		.kind = CLI_K_FLAG, .letter = l, .name = nm, .help = hlp,                          \
		.offset = offsetof(struct cli_state, m), .given = CLI_NOT_KEPT                     \
	}
const struct cli_opt cli_common[] = {
	COMMON('q', "quiet", quiet, "only errors on standard error"),
	COMMON('v', "verbose", verbose, "say what is done; twice: say more"),
	COMMON(0, "progress", quiet, "show progress [at a terminal]"), /* kept in struct cli */
	COMMON('h', "help", help, "this text"),
	COMMON(0, "help-all", help_all, "the same with each option in full"),
	COMMON(0, "version", version, "version and licence; with -v also how it was built"),
	COMMON(0, "dump-options", dump, NULL),
	{ .kind = CLI_K_STR,
	  .name = "completion",
	  .arg = "bash|zsh|fish",
	  .offset = offsetof(struct cli_state, completion),
	  .given = CLI_NOT_KEPT },
	CLI_END
};

static struct cli_state *state_new(const struct cli_prog *prog, void *opts, const char *argv0)
{
	struct cli_state *s = calloc(1, sizeof *s);
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL, *log = os_env("LLMU_LOG");
	pthread_condattr_t attr;

	if (!s)
		return NULL;
	arena_init(&s->mem, 64 << 20);
	s->tool = slash ? slash + 1 : argv0;
	if (!s->tool || !*s->tool)
		s->tool = prog->name;
	s->opts = opts;
	s->log_json = log && !strcmp(log, "json");
	pthread_mutex_init(&s->progress.lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->progress.wake, &attr);
	pthread_condattr_destroy(&attr);
	return s;
}

static void report(const struct cli *c, const struct err *e)
{
	cli_error(c, "%s", e->text);
	if (e->code == ERR_USAGE && !c->state->log_json)
		dprintf(STDERR_FILENO, "Try '%s --help'.\n", c->state->tool);
}

/* --help and its like: the text on standard output. */
static int inform(struct cli *c, struct err *e)
{
	struct buf b;
	int failed = 0;

	buf_init(&b, 1 << 24);
	if (c->state->completion)
		failed = cli_put_completion(&b, c, c->state->completion, e);
	else if (c->state->dump)
		cli_put_dump(&b, c);
	else if (c->state->version)
		cli_put_version(&b, c);
	else
		cli_put_help(&b, c);
	failed = failed || buf_check(&b, e);
	if (!failed)
		fwrite(b.p, 1, b.n, stdout); /* checked when it is closed */
	buf_release(&b);
	return failed ? -1 : 0;
}

int cli_start(struct cli *c, const struct cli_prog *prog, void *opts, int argc, char **argv)
{
	struct err e = { 0 };
	struct cli_state *s;
	int failed;

	*c = (struct cli){ .prog = prog, .progress = true };
	s = c->state = state_new(prog, opts, argc > 0 ? argv[0] : NULL);
	if (!s) {
		dprintf(STDERR_FILENO, "%s: out of memory\n", prog->name);
		c->status = err_exit(ERR_NOMEM);
		return 1;
	}
	failed = os_signals_init(false, &e) || cli_parse(c, argc, argv, &e);
	c->status = 0;
	c->quiet = s->quiet;
	c->verbose = s->verbose > 2 ? 2 : (int)s->verbose;
	if (!failed && cli_only_informs(s)) {
		failed = inform(c, &e);
		if (!failed)
			return 1;
	}
	if (failed) {
		report(c, &e);
		c->status = err_exit(e.code);
		return 1;
	}
	cli_progress_start(c, cli_given(c, "progress"));
	return 0;
}

int cli_need_input(struct cli *c)
{
	struct err ignored;
	struct buf b;

	if (c->n_operands || !isatty(STDIN_FILENO))
		return 0;
	cli_progress_stop(c);
	buf_init(&b, 1 << 16);
	cli_put_usage(&b, c);
	buf_addf(&b, "Nothing to read: name files, or use a pipe. Try '%s --help'.\n",
		 c->state->tool);
	if (!buf_check(&b, &ignored))
		os_write_all(STDERR_FILENO, b.p, b.n, &ignored);
	buf_release(&b);
	c->status = err_exit(ERR_USAGE);
	return 1;
}

/* One line a distinct code; the records themselves carry each message. */
static void report_tally(const struct cli *c)
{
	const struct tally *t = &c->tally;
	char written[48] = "", found[48] = "";

	for (int i = 0; i < ERR_N_CODES; i++)
		if (t->codes[i] && err_name((enum err_code)i))
			cli_warn(c, "%ju record%s: %s: %s", (uintmax_t)t->codes[i],
				 t->codes[i] == 1 ? "" : "s", err_name((enum err_code)i),
				 t->first[i]);
	if (t->passed)
		cli_warn(c, "%ju record%s came with an error and passed on", (uintmax_t)t->passed,
			 t->passed == 1 ? " that" : "s that");
	if (!t->in && !t->skipped)
		return;
	if (!t->sink)
		snprintf(written, sizeof written, ", %ju written", (uintmax_t)t->out);
	if (t->skipped)
		snprintf(found, sizeof found, ", %ju found done", (uintmax_t)t->skipped);
	cli_info(c, "%ju read%s, %ju in error%s", (uintmax_t)t->in, written, (uintmax_t)t->failed, found);
}

/* A full disk may show only now. */
static int close_stdout(struct err *e)
{
	int failed = ferror(stdout), err = 0;

	errno = 0;
	if (fclose(stdout)) {
		failed = 1;
		err = errno;
	}
	if (!failed)
		return 0;
	if (err)
		return err_sys(e, ERR_WRITE, err, "cannot write standard output");
	return err_set(e, ERR_WRITE, "cannot write standard output");
}

static void state_free(struct cli_state *s)
{
	pthread_cond_destroy(&s->progress.wake);
	pthread_mutex_destroy(&s->progress.lock);
	arena_release(&s->mem);
	free(s);
}

int cli_finish(struct cli *c, const struct err *e)
{
	struct err at_close = { 0 };
	int status = c->status, sig = 0;

	if (!c->state)
		return status;
	cli_progress_stop(c);
	report_tally(c);
	if (close_stdout(&at_close) && !e)
		e = &at_close;
	if (e && e->code == ERR_SIGNAL)
		sig = e->sys;
	else if (e && e->code == ERR_WRITE &&
		 e->sys == EPIPE) /* the reader is gone, which is its right */
		sig = SIGPIPE;
	else if (e && e->sys == EINTR && os_stop_signal()) /* it waited for a pipe to open */
		sig = os_stop_signal();
	else if (e)
		report(c, e);
	if (e)
		status = err_exit(e->code);
	else if (!status && c->tally.failed)
		status = 1;
	state_free(c->state);
	c->state = NULL;
	if (sig)
		os_reraise(sig);
	return status;
}
