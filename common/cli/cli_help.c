/* cli_help: --help, --version and --dump-options, from the table. */
#include "config.h"
#include "cli/cli_impl.h"
#include "json/json.h"

#define TEXT_COLUMN 27
#define COLUMNS 79
#define HELP_LINES 24 /* of --help, without the examples */

/* Words from column `at` on, wrapped; the line is ended. */
static void put_wrapped(struct buf *b, size_t at, size_t indent, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, " ");

		if (at > indent && at + 1 + n > COLUMNS) {
			buf_addf(b, "\n%*s", (int)indent, "");
			at = indent;
		} else if (at > indent) {
			buf_addc(b, ' ');
			at++;
		}
		buf_add(b, text, n);
		at += n;
		text += n + strspn(text + n, " ");
	}
	buf_addc(b, '\n');
}

/* Two columns; a left side that is too long has the line to itself. */
static void put_row(struct buf *b, const char *left, const char *right)
{
	size_t n = strlen(left);

	buf_addz(b, left);
	if (n + 2 > TEXT_COLUMN) {
		buf_addc(b, '\n');
		n = 0;
	}
	buf_addf(b, "%*s", (int)(TEXT_COLUMN - n), "");
	put_wrapped(b, TEXT_COLUMN, TEXT_COLUMN, right);
}

static void put_option(struct buf *b, const struct cli_opt *o)
{
	char left[160];
	const char *arg = o->arg ? o->arg : "", *eq = o->arg ? "=" : "";

	if (o->letter)
		snprintf(left, sizeof left, "  -%c, --%s%s%s", o->letter, o->name, eq, arg);
	else
		snprintf(left, sizeof left, "      --%s%s%s", o->name, eq, arg);
	put_row(b, left, o->help);
}

void cli_put_usage(struct buf *b, const struct cli *c)
{
	const struct cli_prog *p = c->prog;
	const char *operands = c->verb ? c->verb->operands : p->operands;

	buf_addf(b, "Usage: %s ", c->state->tool);
	if (c->verb)
		buf_addf(b, "%s ", c->verb->name);
	else if (p->verbs)
		operands = "COMMAND [OPERAND...]";
	buf_addf(b, "[OPTION...]%s%s\n", operands && *operands ? " " : "",
		 operands ? operands : "");
}

static void put_sentence(struct buf *b, const char *text)
{
	size_t from = b->n;

	put_wrapped(b, 0, 0, text);
	if (b->failed || b->n <= from + 1)
		return;
	if (b->p[from] >= 'a' && b->p[from] <= 'z')
		b->p[from] = (char)(b->p[from] - 'a' + 'A');
	b->n--;
	buf_addz(b, ".\n");
}

/* ---- options: a group is a heading and what follows it up to the next --------------------- */

static size_t group_end(const struct cli_rows *rows, size_t i)
{
	do
		i++;
	while (i < rows->own && rows->v[i]->kind != CLI_K_HEAD);
	return i;
}

/* The names alone, as many a line as fit. */
static void put_names(struct buf *b, const struct cli_rows *rows, size_t from, size_t to)
{
	struct buf line;

	buf_init(&line, 1 << 16);
	for (size_t i = from; i < to; i++) {
		const struct cli_opt *o = rows->v[i];

		if (o->kind == CLI_K_HEAD || !o->help)
			continue;
		if (o->letter)
			buf_addf(&line, "-%c,", o->letter);
		buf_addf(&line, "--%s%s%s ", o->name, o->arg ? "=" : "", o->arg ? o->arg : "");
	}
	buf_addz(b, "  ");
	put_wrapped(b, 2, 2, line.p ? line.p : "");
	buf_release(&line);
}

static void put_group(struct buf *b, const struct cli_rows *rows, size_t from, size_t to, bool names)
{
	bool head = rows->v[from]->kind == CLI_K_HEAD;

	if (head && to == from + 1) /* nothing under it for this verb */
		return;
	if (head)
		buf_addf(b, "%s\n", rows->v[from]->help);
	if (names) {
		put_names(b, rows, from, to);
		return;
	}
	for (size_t i = from; i < to; i++)
		if (rows->v[i]->kind != CLI_K_HEAD && rows->v[i]->help)
			put_option(b, rows->v[i]);
}

/* How much is told of the groups; in the first always all. */
struct depth {
	size_t names; /* from this row on names alone */
	size_t heads; /* and from this on no more than that there is a group */
};

static void put_groups(struct buf *b, const struct cli_rows *rows, struct depth d)
{
	size_t i = 0, end;

	for (; i < rows->own && i < d.heads; i = end) {
		end = group_end(rows, i);
		put_group(b, rows, i, end, i >= d.names);
	}
	for (const char *gap = ""; i < rows->own; i = end) {
		const char *head = rows->v[i]->help;

		end = group_end(rows, i);
		if (end > i + 1) {
			buf_addf(b, "%s%.*s", gap, (int)strcspn(head, ":"), head);
			gap = ", ";
		}
		if (end >= rows->own && *gap)
			buf_addz(b, ": see --help-all\n");
	}
}

static size_t lines_of(const struct buf *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++)
		n += b->p[i] == '\n';
	return n;
}

/* The group before the one at `at`, or `at` when that is the first with a heading. */
static size_t group_before(const struct cli_rows *rows, size_t at)
{
	size_t before = 0;

	for (size_t i = 0; i < at; i = group_end(rows, i))
		before = i;
	return before ? before : at;
}

/* On a screen: the last groups by their names alone, then by their headings, as many as that takes. */
static struct depth depth_of(const struct buf *above, const struct cli_rows *rows)
{
	struct depth d = { rows->own, rows->own };
	struct buf b;

	buf_init(&b, 1 << 20);
	for (;;) {
		size_t names = group_before(rows, d.names), heads = group_before(rows, d.heads);

		buf_reset(&b);
		put_groups(&b, rows, d);
		if (lines_of(above) + lines_of(&b) + 3 <= HELP_LINES)
			break;
		if (names < d.names)
			d.names = names;
		else if (heads < d.heads)
			d.heads = heads;
		else
			break;
	}
	buf_release(&b);
	return d;
}

void cli_put_help(struct buf *b, const struct cli *c)
{
	const struct cli_prog *p = c->prog;
	const struct cli_rows *rows = &c->state->rows;
	struct depth d = { rows->own, rows->own };
	char left[160];

	cli_put_usage(b, c);
	put_sentence(b, c->verb ? c->verb->help : p->purpose);
	if (p->verbs && !c->verb) {
		buf_addz(b, "\nCommands:\n");
		for (const struct cli_verb *v = p->verbs; v->name; v++) {
			snprintf(left, sizeof left, "  %s %s", v->name,
				 v->operands ? v->operands : "");
			put_row(b, left, v->help);
		}
	}
	buf_addc(b, '\n');
	if (!c->state->help_all)
		d = depth_of(b, rows);
	put_groups(b, rows, d);
	buf_addz(b, "Common:\n  -q, --quiet  -v, --verbose  --progress  -h, --help  --help-all  "
		    "--version\n");
	if (p->examples && !c->verb) {
		buf_addz(b, "\nExamples:\n");
		for (const char *const *x = p->examples; *x; x++)
			buf_addf(b, "  %s\n", *x);
	}
	buf_addf(b, "%sExit status: see llm-utils(7)\n",
		 d.names < rows->own ? "Each option: --help-all. " : "");
}

void cli_put_version(struct buf *b, const struct cli *c)
{
	buf_addf(
		b,
		"%s (%s) %s\nCopyright (c) 2026 The llm-utils authors. MIT licence, no warranty.\n",
		c->state->tool, PACKAGE_NAME, PACKAGE_VERSION);
	if (!c->verbose && !c->state->verbose)
		return;
	buf_addf(b, "compiler: %s\n", __VERSION__);
	buf_addf(b, "processors: %u\n", os_cpus());
#if defined(__x86_64__)
	buf_addz(b, "features:");
#define FEATURE(name) buf_addz(b, __builtin_cpu_supports(name) ? " " name : "")
	FEATURE("sse4.2");
	FEATURE("avx2");
	FEATURE("fma");
	FEATURE("avx512f");
	FEATURE("avx512bw");
	FEATURE("avx512vnni");
	buf_addc(b, '\n');
#endif
}

/* ---- the table as JSON ----------------------------------------------------------------------- */

static void put_pair(struct json_w *w, const char *key, const char *value)
{
	if (value) {
		json_w_key(w, key);
		json_w_strz(w, value);
	}
}

static void put_words(struct json_w *w, const char *key, const char *text, const char *gap)
{
	json_w_key(w, key);
	json_w_begin(w, '[');
	for (text += strspn(text, gap); *text; text += strspn(text, gap)) {
		size_t n = strcspn(text, gap);

		json_w_str(w, (struct str){ text, n });
		text += n;
	}
	json_w_end(w, ']');
}

static void dump_option(struct json_w *w, const struct cli_opt *o, bool common)
{
	static const char *const kinds[] = {
		[CLI_K_FLAG] = "flag",   [CLI_K_STR] = "string",  [CLI_K_LIST] = "list",
		[CLI_K_U32] = "integer", [CLI_K_U64] = "integer", [CLI_K_I64] = "integer",
		[CLI_K_F64] = "number",  [CLI_K_ENUM] = "word",   [CLI_K_SET] = "choice",
	};
	const char letter[2] = { (char)o->letter, 0 };

	buf_addz(w->b, w->comma ? ",\n" : "\n"); /* an option a line, for line tools */
	w->comma = false;
	json_w_begin(w, '{');
	put_pair(w, "name", o->name);
	put_pair(w, "letter", o->letter ? letter : NULL);
	put_pair(w, "kind", kinds[o->kind]);
	put_pair(w, "arg", o->arg);
	put_pair(w, "alias", o->alias);
	if (o->words || (o->arg && strchr(o->arg, '|')))
		put_words(w, "words", o->words ? o->words : o->arg, "|");
	if (o->verbs)
		put_words(w, "verbs", o->verbs, " ");
	if (o->min < 0 || o->max > 0) {
		json_w_key(w, "min");
		json_w_f64(w, o->min);
		json_w_key(w, "max");
		json_w_f64(w, o->max);
	}
	if (common) {
		json_w_key(w, "common");
		json_w_bool(w, true);
	}
	put_pair(w, "help", o->help);
	json_w_end(w, '}');
}

void cli_put_dump(struct buf *b, const struct cli *c)
{
	const struct cli_rows *rows = &c->state->rows;
	struct json_w w = json_w(b);

	json_w_begin(&w, '{');
	put_pair(&w, "name", c->prog->name);
	put_pair(&w, "operands", c->prog->operands);
	put_pair(&w, "purpose", c->prog->purpose);
	if (c->prog->verbs) {
		json_w_key(&w, "verbs");
		json_w_begin(&w, '[');
		for (const struct cli_verb *v = c->prog->verbs; v->name; v++) {
			json_w_begin(&w, '{');
			put_pair(&w, "name", v->name);
			put_pair(&w, "operands", v->operands);
			put_pair(&w, "help", v->help);
			json_w_end(&w, '}');
		}
		json_w_end(&w, ']');
	}
	json_w_key(&w, "options");
	json_w_begin(&w, '[');
	for (size_t i = 0; i < rows->n; i++)
		if (rows->v[i]->kind != CLI_K_HEAD && rows->v[i]->help)
			dump_option(&w, rows->v[i], i >= rows->own);
	json_w_end(&w, ']');
	json_w_end(&w, '}');
	buf_addc(b, '\n');
}
