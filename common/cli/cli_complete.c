/*
 * cli_complete: completion scripts for bash, zsh and fish, from the table. What an argument's name
 * stands for:
 *
 *   a|b|c  those words       MODEL   names of the registry, or a file
 *   DIR    folders           METRIC  names of metrics
 *   FILE, DB, BOOK and whatever ends in FILE or begins with FILE: files
 *
 * any other argument is free text. Of verbs, operands that name MODEL or DIR are such; the rest are files.
 */
#include "config.h"
#include "cli/cli_impl.h"
#include <ctype.h>

enum arg_kind { NONE, FREE, WORDS, FILES, DIRS, MODELS, METRICS };

struct script {
	struct buf *b;
	const struct cli *c;
	const char *tool;
	char func[80];     /* the tool's name as an identifier */
	char models[120];  /* the command that lists models, with the same program prefix */
	char metrics[120]; /* and metrics */
};

static enum arg_kind kind_of(const struct cli_opt *o)
{
	const char *a = o->arg;

	if (o->kind == CLI_K_FLAG || o->kind == CLI_K_SET)
		return NONE;
	if (!a)
		return FREE;
	if (o->words || strchr(a, '|'))
		return WORDS;
	if (!strcmp(a, "MODEL"))
		return MODELS;
	if (!strcmp(a, "METRIC"))
		return METRICS;
	if (!strcmp(a, "DIR"))
		return DIRS;
	return strstr(a, "FILE") || !strcmp(a, "DB") || !strcmp(a, "BOOK") ? FILES : FREE;
}

static const char *words_of(const struct cli_opt *o)
{
	return o->words ? o->words : o->arg;
}

static enum arg_kind operands_of(const struct cli_verb *v)
{
	const char *o = v->operands ? v->operands : "";

	return !*o ? NONE : strstr(o, "MODEL") ? MODELS : strstr(o, "DIR") ? DIRS : FILES;
}

static bool shown(const struct cli_opt *o)
{
	return o->kind != CLI_K_HEAD && o->help;
}

static void put_word_list(struct buf *b, const char *bars)
{
	struct str rest = str_of(bars), word;

	for (bool first = true; cli_next_word(&word, &rest); first = false) {
		if (!first)
			buf_addc(b, ' ');
		buf_adds(b, word);
	}
}

/* Text inside '…' of a shell: a quote ends, escapes and begins again. `more` are escaped by a
 * backslash. */
static void put_quoted(struct buf *b, const char *text, const char *more, const char *quote)
{
	for (; *text; text++) {
		if (*text == '\'') {
			buf_addz(b, quote);
		} else {
			if (strchr(more, *text))
				buf_addc(b, '\\');
			buf_addc(b, *text);
		}
	}
}

/* ---- bash ------------------------------------------------------------------------------------ */

static void bash_names(struct script *s, const char *verb, bool of_verb)
{
	const struct cli_rows *rows = &s->c->state->rows;

	for (size_t i = 0; i < rows->n; i++) {
		const struct cli_opt *o = rows->v[i];

		if (!shown(o) || (o->verbs != NULL) != of_verb || !cli_rows_apply(o, verb))
			continue;
		buf_addf(s->b, " --%s", o->name);
	}
}

/* What compgen draws from; words of WORDS. */
static void bash_source(struct script *s, enum arg_kind k, const char *words)
{
	if (k == WORDS) {
		buf_addz(s->b, "-W '");
		put_word_list(s->b, words);
		buf_addz(s->b, "'");
	} else if (k == MODELS) {
		buf_addf(s->b, "-f -W \"$(%s 2>/dev/null)\"", s->models);
	} else if (k == METRICS) {
		buf_addf(s->b, "-W \"$(%s 2>/dev/null)\"", s->metrics);
	} else {
		buf_addz(s->b, k == DIRS ? "-d" : "-f");
	}
}

static void bash_arguments(struct script *s)
{
	const struct cli_rows *rows = &s->c->state->rows;
	buf_addz(s->b, "\tcase $prev in\n");
	for (size_t i = 0; i < rows->n; i++) {
		const struct cli_opt *o = rows->v[i];
		enum arg_kind k = kind_of(o);

		if (!shown(o) || k == NONE)
			continue;
		buf_addz(s->b, "\t");
		if (o->letter)
			buf_addf(s->b, "-%c | ", o->letter);
		buf_addf(s->b, "--%s) ", o->name);
		if (k != FREE) {
			buf_addz(s->b, "mapfile -t COMPREPLY < <(compgen ");
			bash_source(s, k, words_of(o));
			buf_addz(s->b, " -- \"$cur\"); ");
		}
		buf_addz(s->b, "return ;;\n");
	}
	buf_addz(s->b, "\tesac\n");
}

/* Verbs that are given models or folders; files are bash's own default. */
static void bash_operands(struct script *s)
{
	bool any = false;

	for (const struct cli_verb *v = s->c->prog->verbs; v->name; v++) {
		enum arg_kind k = operands_of(v);

		if (strchr(v->name, ' ') || (k != MODELS && k != DIRS))
			continue;
		buf_addf(s->b, "%s\t%s) mapfile -t COMPREPLY < <(compgen ",
			 any ? "" : "\telse case $verb in\n", v->name);
		bash_source(s, k, NULL);
		buf_addz(s->b, " -- \"$cur\") ;;\n");
		any = true;
	}
	if (any)
		buf_addz(s->b, "\tesac\n");
}

static void put_bash(struct script *s)
{
	const struct cli_verb *verbs = s->c->prog->verbs, *v;

	buf_addf(s->b, "# bash completion for %s\n_%s()\n{\n", s->tool, s->func);
	buf_addz(s->b, "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} "
		       "names verb= word\n"
		       "\tCOMPREPLY=()\n"
		       "\t# --name=value arrives as three words\n"
		       "\tif [[ $cur == = ]]; then cur=\n"
		       "\telif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
		       "\tfi\n");
	bash_arguments(s);
	buf_addz(s->b, "\tnames='");
	bash_names(s, NULL, false);
	buf_addz(s->b, "'\n");
	if (verbs) {
		buf_addz(s->b, "\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n\t\tcase "
			       "$word in\n");
		for (v = verbs; v->name; v++) {
			if (strchr(v->name, ' '))
				continue;
			buf_addf(s->b, "\t\t%s) verb=$word; names+='", v->name);
			bash_names(s, v->name, true);
			buf_addz(s->b, "'; break ;;\n");
		}
		for (v = verbs; v->name; v++) { /* two words: options when the first is there */
			const char *gap = strchr(v->name, ' ');

			if (!gap)
				continue;
			buf_addf(s->b, "\t\t%.*s) verb=${verb:-$word}; names+='",
				 (int)(gap - v->name), v->name);
			bash_names(s, v->name, true);
			buf_addz(s->b, "'; ;;&\n");
		}
		buf_addz(s->b, "\t\tesac\n\tdone\n");
	}
	buf_addz(s->b, "\tif [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W \"$names\" "
		       "-- \"$cur\")\n");
	if (verbs) {
		buf_addz(s->b, "\telif [[ -z $verb ]]; then mapfile -t COMPREPLY < <(compgen -W '");
		for (v = verbs; v->name; v++)
			buf_addf(s->b, "%s%.*s", v == verbs ? "" : " ", (int)strcspn(v->name, " "),
				 v->name);
		buf_addz(s->b, "' -- \"$cur\")\n");
		bash_operands(s);
	}
	buf_addf(s->b, "\tfi\n}\ncomplete -o bashdefault -o default -F _%s %s\n", s->func, s->tool);
}

/* ---- zsh ------------------------------------------------------------------------------------- */

static void zsh_option(struct script *s, const struct cli_opt *o)
{
	enum arg_kind k = kind_of(o);

	buf_addz(s->b, o->kind == CLI_K_LIST ? "\t\t'*'" : "\t\t"); /* a star: may be repeated */
	if (o->letter)
		buf_addf(s->b, "{-%c%s,--%s%s}", o->letter, k == NONE ? "" : "+", o->name,
			 k == NONE ? "" : "=");
	else
		buf_addf(s->b, "--%s%s", o->name, k == NONE ? "" : "=");
	buf_addz(s->b, "'[");
	put_quoted(s->b, o->help, "[]:\\", "'\\''");
	buf_addc(s->b, ']');
	if (k != NONE) {
		buf_addc(s->b, ':');
		put_quoted(s->b, k == WORDS ? o->name : o->arg ? o->arg : "", ":\\", "'\\''");
		buf_addc(s->b, ':');
	}
	if (k == WORDS) {
		buf_addc(s->b, '(');
		put_word_list(s->b, words_of(o));
		buf_addc(s->b, ')');
	} else if (k == FILES) {
		buf_addz(s->b, "_files");
	} else if (k == DIRS) {
		buf_addz(s->b, "_files -/");
	} else if (k == MODELS || k == METRICS) {
		buf_addf(s->b, "_%s_%s", s->func, k == MODELS ? "models" : "metrics");
	}
	buf_addz(s->b, "'\n");
}

static void zsh_options(struct script *s, const char *verb, bool of_verb)
{
	const struct cli_rows *rows = &s->c->state->rows;

	for (size_t i = 0; i < rows->n; i++) {
		const struct cli_opt *o = rows->v[i];

		if (shown(o) && (o->verbs != NULL) == of_verb && cli_rows_apply(o, verb))
			zsh_option(s, o);
	}
}

static void zsh_operand(struct script *s, enum arg_kind k)
{
	if (k == MODELS)
		buf_addf(s->b, "; operand=_%s_models", s->func);
	else if (k == DIRS)
		buf_addz(s->b, "; operand='_files -/'");
	else if (k == NONE)
		buf_addz(s->b, "; operand=' '"); /* offers nothing */
}

static void put_zsh(struct script *s)
{
	const struct cli_verb *verbs = s->c->prog->verbs, *v;

	buf_addf(s->b, "#compdef %s\n", s->tool);
	buf_addf(s->b,
		 "_%s_models() {\n\tlocal -a names\n\tnames=(${(f)\"$(%s 2>/dev/null)\"})\n"
		 "\t(( $#names )) && compadd -a names\n\t_files\n}\n",
		 s->func, s->models);
	buf_addf(s->b,
		 "_%s_metrics() {\n\tlocal -a names\n\tnames=(${(f)\"$(%s 2>/dev/null)\"})\n"
		 "\tcompadd -a names\n}\n",
		 s->func, s->metrics);
	buf_addf(s->b, "_%s() {\n\tlocal -a options\n\tlocal operand=_files\n\toptions=(\n", s->func);
	zsh_options(s, NULL, false);
	buf_addz(s->b, "\t)\n");
	if (!verbs) {
		buf_addf(s->b, "\t_arguments -s -S $options '*:file:_files'\n}\n_%s \"$@\"\n",
			 s->func);
		return;
	}
	buf_addz(s->b, "\tcase \"$words[2] $words[3]\" in\n");
	for (v = verbs; v->name; v++) {
		buf_addf(s->b, "\t'%s'%s) options+=(\n", v->name,
			 strchr(v->name, ' ') ? "" : "\\ *");
		zsh_options(s, v->name, true);
		buf_addz(s->b, "\t\t)");
		zsh_operand(s, operands_of(v));
		buf_addz(s->b, " ;;\n");
	}
	buf_addz(s->b, "\tesac\n\t_arguments -s -S $options '1:command:((");
	for (v = verbs; v->name; v++) {
		put_quoted(s->b, v->name, " :\\", "'\\''");
		buf_addz(s->b, "\\:\"");
		put_quoted(s->b, v->help ? v->help : "", "\":\\$`", "'\\''");
		buf_addz(s->b, "\" ");
	}
	buf_addf(s->b, "))' \"*:operand:$operand\"\n}\n_%s \"$@\"\n", s->func);
}

/* ---- fish ------------------------------------------------------------------------------------ */

/* A command that prints what there is; one that is not installed prints nothing. */
static void fish_source(struct script *s, enum arg_kind k)
{
	const char *list = k == MODELS ? s->models : s->metrics;

	if (k == DIRS)
		buf_addz(s->b, "'(__fish_complete_directories)'");
	else
		buf_addf(s->b, "'(command -q %.*s; and %s 2>/dev/null)'", (int)strcspn(list, " "),
			 list, list);
}

static void fish_operands(struct script *s, const struct cli_verb *v)
{
	enum arg_kind k = operands_of(v);

	if (k == FILES || strchr(v->name, ' '))
		return;
	buf_addf(s->b, "complete -c %s -n '__fish_seen_subcommand_from %s'%s", s->tool, v->name,
		 k == MODELS ? "" : " -f");
	if (k != NONE) {
		buf_addz(s->b, " -a ");
		fish_source(s, k);
	}
	buf_addc(s->b, '\n');
}

static void fish_option(struct script *s, const struct cli_opt *o)
{
	buf_addf(s->b, "complete -c %s", s->tool);
	if (o->verbs) {
		const char *p = o->verbs + strspn(o->verbs, " ");

		/* the first word of each: seen subcommands are single words */
		buf_addz(s->b, " -n '__fish_seen_subcommand_from");
		while (*p) {
			buf_addf(s->b, " %.*s", (int)strcspn(p, " ."), p);
			p += strcspn(p, " ");
			p += strspn(p, " ");
		}
		buf_addz(s->b, "'");
	}
	buf_addf(s->b, " -l %s", o->name);
	if (o->letter)
		buf_addf(s->b, " -s %c", o->letter);
	switch (kind_of(o)) {
	case NONE:
		break;
	case FREE:
		buf_addz(s->b, " -x");
		break;
	case WORDS:
		buf_addz(s->b, " -x -a '");
		put_word_list(s->b, words_of(o));
		buf_addz(s->b, "'");
		break;
	case FILES:
		buf_addz(s->b, " -r -F");
		break;
	case DIRS:
	case MODELS:
	case METRICS:
		buf_addz(s->b, kind_of(o) == MODELS ? " -r -F -a " : " -x -a ");
		fish_source(s, kind_of(o));
		break;
	}
	buf_addz(s->b, " -d '");
	put_quoted(s->b, o->help, "\\", "\\'");
	buf_addz(s->b, "'\n");
}

static void put_fish(struct script *s)
{
	const struct cli_rows *rows = &s->c->state->rows;

	for (const struct cli_verb *v = s->c->prog->verbs; v && v->name; v++) {
		buf_addf(s->b, "complete -c %s -n '__fish_use_subcommand' -f -a '%.*s' -d '",
			 s->tool, (int)strcspn(v->name, " "), v->name);
		put_quoted(s->b, v->help ? v->help : "", "\\", "\\'");
		buf_addz(s->b, "'\n");
		fish_operands(s, v);
	}
	for (size_t i = 0; i < rows->n; i++)
		if (shown(rows->v[i]))
			fish_option(s, rows->v[i]);
}

/* A command of another tool: what --program-prefix or -suffix renamed here is renamed there. */
static void sibling(char *out, size_t max, const char *tool, const char *name, const char *other,
		    const char *arguments)
{
	const char *at = strstr(tool, name);

	snprintf(out, max, "%.*s%s%s %s", at ? (int)(at - tool) : 0, tool, other,
		 at ? at + strlen(name) : "", arguments);
}

int cli_put_completion(struct buf *b, const struct cli *c, const char *shell, struct err *e)
{
	struct script s = { .b = b, .c = c, .tool = c->state->tool };
	const char *name = c->prog->name;
	size_t i;

	for (i = 0; s.tool[i] && i + 1 < sizeof s.func; i++)
		s.func[i] = isalnum((unsigned char)s.tool[i]) ? s.tool[i] : '_';
	sibling(s.models, sizeof s.models, s.tool, name, "llm-model", "list --names");
	sibling(s.metrics, sizeof s.metrics, s.tool, name, "llm-eval", "metrics --names");
	if (!strcmp(shell, "bash"))
		put_bash(&s);
	else if (!strcmp(shell, "zsh"))
		put_zsh(&s);
	else if (!strcmp(shell, "fish"))
		put_fish(&s);
	else
		return err_set(e, ERR_USAGE,
			       "option '--completion': '%s' is none of bash, zsh, fish", shell);
	return 0;
}
