/* cli_parse: the option table through getopt_long. */
#include "config.h"
#include "cli/cli_impl.h"
#include <getopt.h>
#include <math.h>

/* The value of an option in getopt's terms: FIRST + 4 row + what. */
enum what { AS_IS, NEGATED, DECOY };
#define FIRST 256

static bool has_arg(const struct cli_opt *o)
{
	return o->kind != CLI_K_FLAG && o->kind != CLI_K_SET;
}

bool cli_rows_apply(const struct cli_opt *o, const char *verb)
{
	char word[80];

	if (!verb || !o->verbs)
		return true;
	snprintf(word, sizeof word, " %s ", verb);
	for (char *gap = word + 1; (gap = strchr(gap, ' ')) && gap[1];)
		*gap = '.'; /* "ledger add" stands as "ledger.add" in a list of verbs */
	return strstr(o->verbs, word) != NULL;
}

static bool verb_takes(const struct cli_verb *v, const struct cli_opt *o)
{
	char word[80];

	if (!v || !cli_rows_apply(o, v->name))
		return !v;
	snprintf(word, sizeof word, " %s ", o->name ? o->name : "");
	return !v->without || !strstr(v->without, word);
}

int cli_rows_make(struct cli_rows *out, struct arena *mem, const struct cli_opt *table,
		  const struct cli_verb *verb, struct err *e)
{
	const struct cli_opt *o;
	size_t max = 0;

	for (o = table; o->kind != CLI_K_END; o++)
		max++;
	for (o = cli_common; o->kind != CLI_K_END; o++)
		max++;
	*out = (struct cli_rows){ .v = arena_alloc(mem, max * sizeof *out->v),
				  .given = arena_alloc(mem, max * sizeof *out->given) };
	if (!out->v || !out->given)
		return err_nomem(e);
	memset(out->given, 0, max * sizeof *out->given);
	for (o = table; o->kind != CLI_K_END; o++)
		if (verb_takes(verb, o))
			out->v[out->n++] = o;
	out->own = out->n;
	for (o = cli_common; o->kind != CLI_K_END; o++)
		out->v[out->n++] = o;
	return 0;
}

/* getopt's own view of the rows. */
struct getopt_view {
	struct option *longs;
	char *shorts;
	size_t n, n_shorts;
};

static int add_long(struct getopt_view *g, struct arena *mem, const char *prefix, const char *name,
		    size_t row, enum what what, int arg)
{
	size_t n = strlen(prefix) + strlen(name) + 2;
	char *copy = arena_alloc(mem, n), *decoy = arena_alloc(mem, n);

	if (!copy || !decoy)
		return -1;
	snprintf(copy, n, "%s%s", prefix, name);
	snprintf(decoy, n, "%s%s\1", prefix, name);
	g->longs[g->n++] = (struct option){ copy, arg, NULL, FIRST + 4 * (int)row + (int)what };
	/* getopt_long takes unique abbreviations; beside a twin that nobody can type they are
	 * ambiguous, thus refused */
	g->longs[g->n++] = (struct option){ decoy, arg, NULL, FIRST + 4 * (int)row + DECOY };
	return 0;
}

static int view_make(struct getopt_view *g, struct arena *mem, const struct cli_rows *rows,
		     char mode, struct err *e)
{
	*g = (struct getopt_view){ .longs = arena_alloc(mem, (8 * rows->n + 1) * sizeof *g->longs),
				   .shorts = arena_alloc(mem, 2 * rows->n + 3) };
	if (!g->longs || !g->shorts)
		return err_nomem(e);
	if (mode)
		g->shorts[g->n_shorts++] = mode;
	g->shorts[g->n_shorts++] = ':';
	for (size_t i = 0; i < rows->n; i++) {
		const struct cli_opt *o = rows->v[i];
		int arg = has_arg(o) ? required_argument : no_argument;
		const char *names[] = { o->name, o->alias };

		if (o->kind == CLI_K_HEAD)
			continue;
		g->shorts[g->n_shorts] = 0;
		if (o->letter &&
		    !strchr(g->shorts,
			    o->letter)) { /* the tool's letters win over the common ones */
			g->shorts[g->n_shorts++] = (char)o->letter;
			if (arg)
				g->shorts[g->n_shorts++] = ':';
		}
		for (int k = 0; k < 2 && names[k]; k++)
			if (add_long(g, mem, "", names[k], i, AS_IS, arg) ||
			    (o->kind == CLI_K_FLAG &&
			     add_long(g, mem, "no-", names[k], i, NEGATED, arg)))
				return err_nomem(e);
	}
	g->shorts[g->n_shorts] = 0;
	g->longs[g->n] = (struct option){ 0 };
	return 0;
}

/* The row of a value that getopt_long returned or left in optopt. */
static size_t row_of(const struct cli_rows *rows, int value)
{
	size_t i;

	if (value >= FIRST)
		return (size_t)(value - FIRST) / 4;
	for (i = 0; i < rows->n && (!rows->v[i]->name || rows->v[i]->letter != value); i++)
		;
	return i;
}

bool cli_next_word(struct str *out, struct str *rest)
{
	size_t bar;

	if (!rest->n)
		return false;
	bar = str_find(*rest, STR("|"), 0);
	*out = str_sub(*rest, 0, bar);
	*rest = str_sub(*rest, bar < rest->n ? bar + 1 : bar, rest->n);
	return true;
}

static int set_enum(int *out, const struct cli_opt *o, struct str arg, struct err *e)
{
	struct str rest = str_of(o->arg), word;

	for (int i = 0; cli_next_word(&word, &rest); i++)
		if (str_eq(word, arg)) {
			*out = i;
			return 0;
		}
	return err_set(e, ERR_USAGE, "'%.*s' is none of %s", STR_ARG(arg), o->arg);
}

static int set_list(struct cli *c, struct cli_list *l, bool first, const char *arg, int argc,
		    struct err *e)
{
	if (first) { /* what was there are defaults */
		*l = (struct cli_list){ .v = arena_alloc(&c->state->mem,
							 (size_t)argc * sizeof *l->v),
					.cap = (size_t)argc };
		if (!l->v)
			return err_nomem(e);
	}
	l->v[l->n++] = arg;
	return 0;
}

static int set_number(const struct cli_opt *o, char *place, struct str s, struct err *e)
{
	const bool any = !(o->min < 0) && !(o->max > 0);
	uint64_t u;
	int64_t i;
	double d;

	switch (o->kind) {
	case CLI_K_U32:
		if (num_u64(&u, s, (uint64_t)o->min, any ? UINT32_MAX : (uint64_t)o->max, e))
			return -1;
		memcpy(place, &(uint32_t){ (uint32_t)u }, sizeof(uint32_t));
		return 0;
	case CLI_K_U64:
		if (num_u64(&u, s, (uint64_t)o->min, any ? UINT64_MAX : (uint64_t)o->max, e))
			return -1;
		memcpy(place, &u, sizeof u);
		return 0;
	case CLI_K_I64:
		if (num_i64(&i, s, any ? INT64_MIN : (int64_t)o->min,
			    any ? INT64_MAX : (int64_t)o->max, e))
			return -1;
		memcpy(place, &i, sizeof i);
		return 0;
	default:
		if (num_f64(&d, s, any ? -HUGE_VAL : o->min, any ? HUGE_VAL : o->max, e))
			return -1;
		memcpy(place, &d, sizeof d);
		return 0;
	}
}

/* Several CLI_SET options share one place: two of them that want different things are no choice. */
static int set_choice(struct cli *c, size_t row, int *place, struct err *e)
{
	const struct cli_rows *rows = &c->state->rows;
	const struct cli_opt *o = rows->v[row];

	for (size_t i = 0; i < rows->own; i++)
		if (rows->given[i] && rows->v[i]->kind == CLI_K_SET &&
		    rows->v[i]->offset == o->offset && rows->v[i]->set_to != o->set_to)
			return err_set(e, ERR_USAGE, "--%s and --%s exclude each other",
				       rows->v[i]->name, o->name);
	*place = o->set_to;
	return 0;
}

static int set_value(struct cli *c, size_t row, bool negated, const char *arg, int argc,
		     struct err *e)
{
	const struct cli_opt *o = c->state->rows.v[row];
	bool common = row >= c->state->rows.own;
	char *base = common ? (char *)c->state : c->state->opts, *place = base + o->offset;

	/* --cache "$FILE" with FILE unset: nothing is called that */
	if ((o->kind == CLI_K_STR || o->kind == CLI_K_LIST) && !*arg && !str_starts(str_of(o->arg), STR("TEXT")))
		return err_set(e, ERR_USAGE, "%s is empty", o->arg);
	if (o->given != CLI_NOT_KEPT)
		memcpy(base + o->given, &(bool){ true }, sizeof(bool));
	switch (o->kind) {
	case CLI_K_FLAG:
		if (common && o->letter == 'v')
			c->state->verbose = negated ? 0 : c->state->verbose + 1;
		else if (common && !strcmp(o->name, "progress"))
			c->progress = !negated;
		else
			memcpy(place, &(bool){ !negated }, sizeof(bool));
		return 0;
	case CLI_K_SET:
		return set_choice(c, row, (int *)(void *)place, e);
	case CLI_K_STR:
		memcpy(place, &arg, sizeof arg);
		return 0;
	case CLI_K_LIST:
		return set_list(c, (struct cli_list *)(void *)place, !c->state->rows.given[row],
				arg, argc, e);
	case CLI_K_ENUM:
		return set_enum((int *)(void *)place, o, str_of(arg), e);
	default:
		return set_number(o, place, str_of(arg), e);
	}
}

/* ---- what was wrong -------------------------------------------------------------------------- */

/* By name or, where that is empty, by letter. */
static const struct cli_opt *find_option(const struct cli_opt *table, struct str name, int letter)
{
	for (const struct cli_opt *o = table; o->kind != CLI_K_END; o++)
		if (o->name && (str_is(name, o->name) || (o->alias && str_is(name, o->alias)) ||
				(!name.n && o->letter == letter)))
			return o;
	return NULL;
}

/* An option of other verbs: which ones. */
static int not_for(const struct cli *c, const char *dashes, const char *typed, const struct cli_opt *o,
		   struct err *e)
{
	struct str verbs = str_of(o->verbs ? o->verbs : "");

	while (verbs.n && verbs.p[verbs.n - 1] == ' ')
		verbs.n--;
	return err_set(e, ERR_USAGE, "option '%s%s' is not for '%s'%s%.*s", dashes, typed, c->verb->name,
		       verbs.n ? ", but for:" : "", STR_ARG(verbs));
}

static int unknown_long(struct cli *c, const char *typed, struct err *e)
{
	const struct cli_rows *rows = &c->state->rows;
	size_t n = 0, len = strcspn(typed, "=");
	const char **names = arena_alloc(&c->state->mem, 2 * rows->n * sizeof *names), *near;
	char *word = arena_alloc(&c->state->mem, len + 1), *no;
	const struct cli_opt *elsewhere;

	if (!names || !word)
		return err_nomem(e);
	memcpy(word, typed, len);
	word[len] = 0;
	elsewhere = find_option(c->prog->options, str_of(word), 0);
	if (elsewhere && c->verb)
		return not_for(c, "--", word, elsewhere, e);
	for (size_t i = 0; i < rows->n; i++) {
		const struct cli_opt *o = rows->v[i];

		if (!o->name || !o->help || o->kind == CLI_K_HEAD)
			continue;
		names[n++] = o->name;
		if (o->kind == CLI_K_FLAG && !strncmp(word, "no-", 3)) {
			no = arena_alloc(&c->state->mem, strlen(o->name) + 4);
			if (!no)
				return err_nomem(e);
			snprintf(no, strlen(o->name) + 4, "no-%s", o->name);
			names[n++] = no;
		}
	}
	near = cli_nearest(word, names, n);
	if (near)
		return err_set(e, ERR_USAGE, "unknown option '--%s'; did you mean '--%s'?", word,
			       near);
	return err_set(e, ERR_USAGE, "unknown option '--%s'", word);
}

/* getopt_long has returned '?' or ':'. */
static int bad_option(struct cli *c, int got, char **argv, struct err *e)
{
	const struct cli_rows *rows = &c->state->rows;
	size_t row = optopt ? row_of(rows, optopt) : rows->n;

	if (!optopt)
		return unknown_long(c, argv[optind - 1] + 2, e);
	if (row == rows->n) {
		const char mark[] = { (char)optopt, 0 };
		const struct cli_opt *elsewhere = find_option(c->prog->options, STR(""), optopt);

		if (elsewhere && c->verb)
			return not_for(c, "-", mark, elsewhere, e);
		return err_set(e, ERR_USAGE, "unknown option '-%s'",
			       (unsigned)optopt < 0x80 ? mark : "?");
	}
	if (got == ':' && optopt < FIRST)
		return err_set(e, ERR_USAGE, "option '-%c' needs an argument: %s", optopt,
			       rows->v[row]->arg);
	if (got == ':')
		return err_set(e, ERR_USAGE, "option '--%s' needs an argument: %s",
			       rows->v[row]->name, rows->v[row]->arg);
	return err_set(e, ERR_USAGE, "option '--%s' takes no argument", rows->v[row]->name);
}

/* ---- verbs and operands ---------------------------------------------------------------------- */

static const struct cli_verb *verb_of(const struct cli_prog *prog, const char *one, const char *two)
{
	char both[80];

	snprintf(both, sizeof both, "%s %s", one, two ? two : "");
	for (const struct cli_verb *v = prog->verbs; v->name; v++)
		if (!strcmp(v->name, one) || (two && !strcmp(v->name, both)))
			return v;
	return NULL;
}

static int no_verb(struct cli *c, const char *typed, struct err *e)
{
	const char *names[64], *near;
	struct buf b;
	size_t n = 0;

	buf_init(&b, 900);
	for (const struct cli_verb *v = c->prog->verbs; v->name && n < 64; v++) {
		names[n++] = v->name;
		buf_addf(&b, "%s%s", b.n ? ", " : "", v->name);
	}
	near = typed ? cli_nearest(typed, names, n) : NULL;
	if (near)
		err_set(e, ERR_USAGE, "unknown command '%s'; did you mean '%s'?", typed, near);
	else if (typed)
		err_set(e, ERR_USAGE, "unknown command '%s'; there are: %s", typed, b.p ? b.p : "");
	else
		err_set(e, ERR_USAGE, "a command is missing: %s", b.p ? b.p : "");
	buf_release(&b);
	return -1;
}

/*
 * The verb decides which options there are, so it is looked for first: the first one or two
 * operands, skipping options of any verb with their arguments.
 */
static int find_verb(struct cli *c, int argc, char **argv, struct err *e)
{
	const char *words[2] = { NULL, NULL };
	struct cli_rows all;
	struct getopt_view g;
	size_t n = 0;
	int got;

	if (cli_rows_make(&all, &c->state->mem, c->prog->options, NULL, e) ||
	    view_make(&g, &c->state->mem, &all, '-', e))
		return -1;
	optind = 0; /* starts glibc's getopt anew */
	opterr = 0;
	while (n < 2 && (got = getopt_long(argc, argv, g.shorts, g.longs, NULL)) != -1)
		if (got == 1)
			words[n++] = optarg;
	while (n < 2 && optind < argc)
		words[n++] = argv[optind++];
	if (!n)
		return 0;
	c->verb = verb_of(c->prog, words[0], words[1]);
	return c->verb ? 0 : no_verb(c, words[0], e);
}

/* Operands against "DB [FILE...]": a word in brackets need not be there, one with dots may be
 * repeated. */
static int check_operands(const struct cli *c, struct err *e)
{
	const char *spec = c->prog->verbs ? c->verb->operands : c->prog->operands,
		   *p = spec ? spec : "";
	bool many = strstr(p, "...") != NULL;
	size_t most = 0, n;

	for (; *p; p += n + strspn(p + n, " ")) {
		n = strcspn(p, " ");
		if (*p != '[' && most >= c->n_operands)
			return err_set(e, ERR_USAGE, "missing operand: %.*s", (int)n, p);
		most++;
	}
	if (!many && c->n_operands > most)
		return err_set(e, ERR_USAGE, "one operand too many: '%s'", c->operands[most]);
	return 0;
}

bool cli_only_informs(const struct cli_state *s)
{
	return s->help || s->help_all || s->version || s->dump || s->completion;
}

int cli_parse(struct cli *c, int argc, char **argv, struct err *e)
{
	struct cli_state *s = c->state;
	struct getopt_view g;
	size_t words = 0;
	int got;

	if (c->prog->verbs && find_verb(c, argc, argv, e)) /* still --help helps */
		c->status = err_exit(e->code);
	if (cli_rows_make(&s->rows, &s->mem, c->prog->options, c->verb, e) ||
	    view_make(&g, &s->mem, &s->rows, 0, e))
		return -1;
	optind = 0;
	opterr = 0;
	while ((got = getopt_long(argc, argv, g.shorts, g.longs, NULL)) != -1) {
		size_t row = got == '?' || got == ':' ? s->rows.n : row_of(&s->rows, got);
		bool negated = got >= FIRST && got % 4 == NEGATED;

		if (row == s->rows.n)
			return c->status ? -1 : bad_option(c, got, argv, e);
		if (set_value(c, row, negated, optarg, argc, e)) {
			e->code = e->code == ERR_NOMEM ? e->code : ERR_USAGE;
			return s->rows.v[row]->kind == CLI_K_SET ?
				       -1 :
				       err_wrap(e, "option '--%s'", s->rows.v[row]->name);
		}
		s->rows.given[row] = true;
	}
	if (cli_only_informs(s))
		return 0;
	if (c->status)
		return -1;
	if (c->prog->verbs && !c->verb)
		return no_verb(c, NULL, e);
	if (c->verb)
		words = strchr(c->verb->name, ' ') ? 2 : 1;
	c->operands = (const char *const *)(argv + optind + words);
	c->n_operands = (size_t)(argc - optind) - words;
	return check_operands(c, e);
}

bool cli_given(const struct cli *c, const char *name)
{
	const struct cli_rows *rows = &c->state->rows;

	for (size_t i = 0; i < rows->n; i++)
		if (rows->v[i]->name && !strcmp(rows->v[i]->name, name))
			return rows->given[i];
	return false;
}

int cli_exclude(const struct cli *c, const char *one, const char *others, struct err *e)
{
	const struct cli_rows *rows = &c->state->rows;

	for (size_t n; cli_given(c, one) && *others; others += n + strspn(others + n, " ")) {
		n = strcspn(others, " ");
		for (size_t i = 0; i < rows->n; i++)
			if (rows->given[i] && strlen(rows->v[i]->name) == n &&
			    !strncmp(rows->v[i]->name, others, n))
				return err_set(e, ERR_USAGE, "--%s and --%.*s exclude each other",
					       one, (int)n, others);
	}
	return 0;
}
