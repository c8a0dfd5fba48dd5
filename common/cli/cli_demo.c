/* cli_demo: a tool that does nothing, for the tests of what every tool has. */
#include "config.h"
#include "cli/cli.h"
#include <signal.h>
#include <unistd.h>

struct opts {
	const char *model, *db, *note;
	struct cli_list stops;
	uint32_t max_tokens, fails;
	uint64_t big;
	double temp, sleep;
	int mode, input, kind;
	bool cache, raw, given, usage, need, sig;
};

static const struct cli_opt options[] = {
	CLI_STR('m', "model", "MODEL", struct opts, model, "a GGUF file or a model of the registry"),
	{ .kind = CLI_K_U32, .letter = 'n', .name = "max-tokens", .arg = "N", .help = "at most N tokens [512]",
	  .offset = offsetof(struct opts, max_tokens), .given = offsetof(struct opts, given), .min = 1, .max = 4096,
	  .alias = "n-predict" },
	CLI_F64(0, "temp", "T", struct opts, temp, 0, 2, "temperature; a help text that is long enough that it must be wrapped"),
	CLI_LIST(0, "stop", "TEXT", struct opts, stops, "stop at TEXT; repeat for more"),
	CLI_FLAG('c', "cache", struct opts, cache, "use the cache"),
	CLI_FLAG('r', "raw", struct opts, raw, "don't use the [template]: raw"),
	CLI_ENUM(0, "mode", "fast|exact|both", struct opts, mode, "how"),
	CLI_HEAD("Input:"),
	CLI_SET(0, "records", struct opts, input, 1, "the input is records"),
	CLI_SET(0, "text", struct opts, input, 2, "the input is text"),
	CLI_U64(0, "big", "N", struct opts, big, "any number"),
	CLI_STR(0, "note", "FILE", struct opts, note, "write a note to FILE"),
	CLI_HEAD("Index:"),
	{ .kind = CLI_K_STR, .letter = 'k', .name = "db", .arg = "DIR", .help = "folder of the index",
	  .offset = offsetof(struct opts, db), .given = CLI_NOT_KEPT, .verbs = " add ledger.add " },
	{ .kind = CLI_K_ENUM, .name = "kind", .arg = "a|b", .help = "kind of search", .offset = offsetof(struct opts, kind),
	  .given = CLI_NOT_KEPT, .verbs = " search " },
	/* hidden: what the tests make happen */
	{ .kind = CLI_K_U32, .name = "x-fail", .arg = "N", .offset = offsetof(struct opts, fails), .given = CLI_NOT_KEPT },
	{ .kind = CLI_K_F64, .name = "x-sleep", .arg = "S", .offset = offsetof(struct opts, sleep), .given = CLI_NOT_KEPT },
	{ .kind = CLI_K_FLAG, .name = "x-usage", .offset = offsetof(struct opts, usage), .given = CLI_NOT_KEPT },
	{ .kind = CLI_K_FLAG, .name = "x-need", .offset = offsetof(struct opts, need), .given = CLI_NOT_KEPT },
	{ .kind = CLI_K_FLAG, .name = "x-signal", .offset = offsetof(struct opts, sig), .given = CLI_NOT_KEPT },
	CLI_END
};
static const char *const examples[] = { "cli_demo -n 5 file", "cli_demo < file", NULL };
static const struct cli_verb verbs[] = {
	{ "add", "DB [FILE...]", "add records", NULL },
	{ "search", "DB", "search, 'quoted'", NULL },
	{ "ledger add", "[FILE...]", "add to the ledger", NULL },
	{ NULL, NULL, NULL, NULL }
};

static int run(struct cli *c, const struct opts *o, struct err *e)
{
	printf("model=%s n=%u%s temp=%g mode=%d input=%d cache=%d raw=%d big=%ju note=%s db=%s kind=%d verb=%s\n",
	       o->model ? o->model : "-", o->max_tokens, o->given ? "!" : "", o->temp, o->mode, o->input, o->cache, o->raw,
	       (uintmax_t)o->big, o->note ? o->note : "-", o->db ? o->db : "-", o->kind, c->verb ? c->verb->name : "-");
	for (size_t i = 0; i < o->stops.n; i++)
		printf("stop %s\n", o->stops.v[i]);
	for (size_t i = 0; i < c->n_operands; i++)
		printf("operand %s\n", c->operands[i]);
	cli_info(c, "info \x1b[31m%s", cli_given(c, "temp") ? "temp given" : "no temp");
	cli_warn(c, "a\nb\xff\xc2\x9b");
	c->tally.in = 10;
	c->tally.total_hint = 10;
	c->tally.out = 7;
	if (o->fails) {
		c->tally.codes[ERR_INVALID_JSON] = o->fails;
		snprintf(c->tally.first[ERR_INVALID_JSON], sizeof c->tally.first[0], "line 7: expected ':'");
		c->tally.codes[ERR_TIMEOUT] = 1;
		snprintf(c->tally.first[ERR_TIMEOUT], sizeof c->tally.first[0], "after 30 s");
		c->tally.failed = o->fails + 1;
	}
	if (o->sleep > 0)
		usleep((useconds_t)(o->sleep * 1e6));
	if (o->usage)
		return cli_usage(e, "--raw and --mode exclude each other");
	if (o->sig) {
		raise(SIGTERM);
		err_set(e, ERR_SIGNAL, "stopped");
		e->sys = os_stop_signal();
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct cli_prog plain = { "cli_demo", "[FILE...]", "do nothing in many ways", options, NULL, examples };
	static const struct cli_prog with_verbs = { "cli_verbs", NULL, "do nothing with verbs", options, verbs, NULL };
	struct opts o = { .max_tokens = 512 };
	struct err e = { 0 };
	struct cli c;
	int failed;

	if (cli_start(&c, argc > 0 && strstr(argv[0], "cli_verbs") ? &with_verbs : &plain, &o, argc, argv))
		return cli_finish(&c, NULL);
	if (o.need && cli_need_input(&c))
		return cli_finish(&c, NULL);
	failed = run(&c, &o, &e);
	return cli_finish(&c, failed ? &e : NULL);
}
