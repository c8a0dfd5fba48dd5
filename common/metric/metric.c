/* metric: the table of metrics, their options, and what is the same for all of them. */
#include "config.h"
#include "metric/metric_impl.h"
#include <math.h>
#include <stddef.h>

static const struct metric_def *const tables[] = { metric_answer_defs, metric_squad_defs,
						   metric_ngram_defs, metric_retrieval_defs,
						   metric_ground_defs };

/* ---- table --------------------------------------------------------------------------------- */

static const struct metric_def *def_at(size_t i)
{
	for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
		for (const struct metric_def *d = tables[t]; d->info.name; d++)
			if (i-- == 0)
				return d;
	return NULL;
}

size_t metric_count(void)
{
	size_t n = 0;

	while (def_at(n))
		n++;
	return n;
}

struct metric_info metric_info(size_t i)
{
	const struct metric_def *d = def_at(i);

	return d ? d->info : (struct metric_info){ .name = NULL };
}

/* Names are the same with '-' and '_'. */
static bool same_name(const char *name, struct str s)
{
	size_t i = 0;

	for (; i < s.n && name[i]; i++)
		if (name[i] != s.p[i] &&
		    !((name[i] == '-' || name[i] == '_') && (s.p[i] == '-' || s.p[i] == '_')))
			return false;
	return i == s.n && !name[i];
}

static const struct metric_def *find_def(struct str name)
{
	const struct metric_def *d;

	for (size_t i = 0; (d = def_at(i)); i++)
		if (same_name(d->info.name, name))
			return d;
	return NULL;
}

/* ---- options ------------------------------------------------------------------------------- */

enum kind { O_FLAG, O_F64, O_WORD, O_REGEX, O_REGEXES, O_VALUES };
static const struct option {
	const char *name;
	enum kind kind;
	size_t offset;
	const char *words; /* O_WORD: "whole|first|last", the place is the value */
} options[] = {
	{ "value", O_VALUES, 0, NULL },
	{ "regexes_to_ignore", O_REGEXES, 0, NULL },
	{ "ignore_case", O_FLAG, offsetof(struct metric, ignore_case), NULL },
	{ "ignore_punctuation", O_FLAG, offsetof(struct metric, ignore_punctuation), NULL },
	{ "ignore_numbers", O_FLAG, offsetof(struct metric, ignore_numbers), NULL },
	{ "extract", O_REGEX, offsetof(struct metric, extract), NULL },
	{ "find", O_WORD, offsetof(struct metric, find), "whole|first|last" },
	{ "atol", O_F64, offsetof(struct metric, abs_tol), NULL },
	{ "rtol", O_F64, offsetof(struct metric, rel_tol), NULL },
	{ "tau", O_F64, offsetof(struct metric, tau), NULL },
	{ "level", O_F64, offsetof(struct metric, level), NULL },
	{ "ties", O_WORD, offsetof(struct metric, ties), "rank|docno" },
	{ "tok", O_WORD, offsetof(struct metric, tok), "13a|none|char" },
	{ "smooth", O_WORD, offsetof(struct metric, smooth), "exp|floor|add-k|none" },
	{ "docs", O_FLAG, offsetof(struct metric, docs), NULL },
};

static bool has_word(const char *list, struct str word, char separator)
{
	for (const char *p = list; *p;) {
		size_t n = strcspn(p, (char[]){ separator, 0 });

		if (str_eq((struct str){ p, n }, word))
			return true;
		p += n + (p[n] != 0);
	}
	return false;
}

static int bad_value(const struct metric *m, struct err *e, struct str key, const char *want)
{
	return err_set(e, ERR_USAGE, "metric %s: option %.*s must be %s", m->name, STR_ARG(key),
		       want);
}

static int set_word(int *out, const struct metric *m, struct str key, const char *words,
		    struct str value, struct err *e)
{
	int place = 0;

	for (const char *p = words; *p; place++) {
		size_t n = strcspn(p, "|");

		if (str_eq((struct str){ p, n }, value)) {
			*out = place;
			return 0;
		}
		p += n + (p[n] != 0);
	}
	return bad_value(m, e, key, words);
}

static int set_option(struct metric *m, const struct option *o, struct str value, bool given,
		      struct err *e)
{
	char *place = (char *)m + o->offset;
	struct str key = str_of(o->name);
	double number;
	pcre2_code **list;

	if (o->kind == O_FLAG) {
		bool on = !given || str_is(value, "1") || str_is(value, "true");

		if (!on && !str_is(value, "0") && !str_is(value, "false"))
			return bad_value(m, e, key, "1 or 0");
		memcpy(place, &on, sizeof on);
		return 0;
	}
	if (!given)
		return bad_value(m, e, key, "given as name=value");
	switch (o->kind) {
	case O_F64:
		if (num_f64(&number, value, 0, 1e300, e))
			return bad_value(m, e, key, "a number of 0 or more");
		memcpy(place, &number, sizeof number);
		return 0;
	case O_WORD:
		return set_word((int *)(void *)place, m, key, o->words, value, e);
	case O_REGEX:
		if (m->extract)
			return bad_value(m, e, key, "given once");
		return metric_regex_compile(&m->extract, value, e)
			       ? err_wrap(e, "metric %s", m->name)
			       : 0;
	case O_REGEXES:
		list = m->ignored;
		if (m->n_ignored == METRIC_VALUES_MAX)
			return bad_value(m, e, key, "given at most 32 times");
		if (metric_regex_compile(&list[m->n_ignored], value, e))
			return err_wrap(e, "metric %s", m->name);
		m->n_ignored++;
		return 0;
	case O_VALUES:
	default:
		if (m->n_values == METRIC_VALUES_MAX)
			return bad_value(m, e, key, "given at most 32 times");
		m->values[m->n_values++] = value;
		return 0;
	}
}

/* One "key=value" of the spec. */
static int parse_option(struct metric *m, struct str key, struct str value, bool given,
			struct err *e)
{
	if (str_is(key, "as")) {
		if (!value.n || value.n >= sizeof m->name)
			return bad_value(m, e, key, "a name of 1 to 95 bytes");
		memcpy(m->name, value.p, value.n);
		m->name[value.n] = '\0';
		return 0;
	}
	if (str_is(key, "min")) {
		m->has_min = true;
		if (num_f64(&m->min, value, -1e300, 1e300, e))
			return bad_value(m, e, key, "a number");
		return 0;
	}
	if (has_word(m->def->info.options, key, ' '))
		for (size_t i = 0; i < sizeof options / sizeof *options; i++)
			if (str_is(key, options[i].name))
				return set_option(m, &options[i], value, given, e);
	return err_set(e, ERR_USAGE, "metric %s has no option \"%.*s\"; it has: min as %s", m->name,
		       STR_ARG(key), m->def->info.options);
}

/* "a=1,b=x\,y": cut in place; "\," is a comma, any other backslash stands for itself. */
static int parse_options(struct metric *m, char *p, struct err *e)
{
	while (*p) {
		char *key = p;
		char *to = p;
		char *equals = NULL;
		bool more;

		for (; *p && *p != ','; p++) {
			if (*p == '\\' && p[1] == ',')
				p++;
			else if (*p == '=' && !equals)
				equals = to;
			*to++ = *p;
		}
		more = *p == ',';
		if (parse_option(m, (struct str){ key, (size_t)((equals ? equals : to) - key) },
				 equals ? (struct str){ equals + 1, (size_t)(to - equals - 1) }
					: (struct str){ "", 0 },
				 equals != NULL, e))
			return -1;
		p += more;
	}
	return 0;
}

/* NAME, not-NAME, NAME@K */
static int parse_name(struct metric *m, struct str name, struct err *e)
{
	size_t at = str_find(name, STR("@"), 0);
	struct str base = str_sub(name, 0, at);
	uint64_t k = 0;

	m->negated = str_starts(base, STR("not-")) || str_starts(base, STR("not_"));
	if (m->negated)
		base = str_sub(base, 4, base.n);
	m->def = find_def(base);
	if (!m->def)
		return err_set(e, ERR_USAGE,
			       "unknown metric \"%.*s\" (llm-eval metrics lists them)",
			       STR_ARG(name));
	if (m->negated && !m->def->info.binary)
		return err_set(e, ERR_USAGE, "metric %s has no negation", m->def->info.name);
	if (at < name.n && !m->def->info.takes_k)
		return err_set(e, ERR_USAGE, "metric %s takes no @K", m->def->info.name);
	if (at < name.n && num_u64(&k, str_sub(name, at + 1, name.n), 1, 1000000, e))
		return err_set(e, ERR_USAGE, "metric %s: K must be between 1 and 1000000",
			       m->def->info.name);
	m->k = (unsigned)k;
	snprintf(m->name, sizeof m->name, "%s%s%.*s", m->negated ? "not-" : "", m->def->info.name,
		 (int)(name.n - at), name.p + at);
	return 0;
}

int metric_open(struct metric **out, const char *spec, struct err *e)
{
	struct metric *m = calloc(1, sizeof *m);
	size_t n = strcspn(spec, ":");

	*out = NULL;
	if (!m)
		return err_nomem(e);
	m->tau = 0.5;
	m->level = 1;
	m->spec = strdup(spec);
	m->shown = strdup(spec[n] ? spec + n + 1 : "");
	if (!m->spec || !m->shown) {
		metric_close(m);
		return err_nomem(e);
	}
	if (parse_name(m, (struct str){ spec, n }, e) ||
	    (spec[n] && parse_options(m, m->spec + n + 1, e)))
		goto fail;
	if (same_name("regex", str_of(m->def->info.name))) {
		if (m->n_values != 1) {
			err_set(e, ERR_USAGE,
				"metric regex needs one pattern: regex:value=PATTERN");
			goto fail;
		}
		if (metric_regex_compile(&m->pattern, m->values[0], e)) {
			err_wrap(e, "metric %s", m->name);
			goto fail;
		}
	}
	*out = m;
	return 0;
fail:
	metric_close(m);
	return -1;
}

void metric_close(struct metric *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n_ignored; i++)
		pcre2_code_free(m->ignored[i]);
	pcre2_code_free(m->extract);
	pcre2_code_free(m->pattern);
	free(m->spec);
	free(m->shown);
	free(m);
}

const char *metric_name(const struct metric *m)
{
	return m->name;
}

unsigned metric_needs(const struct metric *m)
{
	return m->n_values ? m->def->info.needs & ~(unsigned)METRIC_REFS : m->def->info.needs;
}

void metric_signature(struct buf *b, const struct metric *m)
{
	buf_addz(b, m->negated ? "not-" : "");
	buf_addz(b, m->def->info.name);
	if (m->k)
		buf_addf(b, "@%u", m->k);
	buf_addf(b, "|%s%s%s", m->shown, m->shown[0] ? "|" : "", m->def->version);
}

/* ---- work and scores ----------------------------------------------------------------------- */

int metric_work_new(struct metric_work **out, struct err *e)
{
	struct metric_work *w = calloc(1, sizeof *w);

	*out = w;
	if (!w)
		return err_nomem(e);
	for (size_t i = 0; i < sizeof w->text / sizeof *w->text; i++)
		buf_init(&w->text[i], BUF_MAX_TEXT);
	w->match = pcre2_match_data_create(32, NULL);
	w->limits = pcre2_match_context_create(NULL);
	if (!w->match || !w->limits || metric_ngrams_new(&w->ngrams, e)) {
		metric_work_free(w);
		*out = NULL;
		return err_nomem(e);
	}
	pcre2_set_match_limit(w->limits, 1000000);
	pcre2_set_depth_limit(w->limits, 10000);
	pcre2_set_heap_limit(w->limits, 65536); /* KiB */
	return 0;
}

void metric_work_free(struct metric_work *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < sizeof w->text / sizeof *w->text; i++)
		buf_release(&w->text[i]);
	for (size_t i = 0; i < sizeof w->array / sizeof *w->array; i++)
		free(w->array[i].p);
	metric_ngrams_free(w->ngrams);
	pcre2_match_data_free(w->match);
	pcre2_match_context_free(w->limits);
	free(w);
}

void *metric_room(struct metric_array *a, size_t n, size_t size)
{
	size_t bytes;

	if (!ckd_mul_size(&bytes, n, size))
		return NULL;
	if (bytes > a->cap) {
		free(a->p);
		a->p = malloc(bytes + bytes / 2);
		a->cap = a->p ? bytes + bytes / 2 : 0;
	}
	return a->p;
}

/* The part of the answer that is scored: the first (or last) match of `extract`, or "[invalid]" as
 * in lm-eval. */
static int extract(struct str *text, const struct metric *m, struct metric_work *w, struct err *e)
{
	struct str s = *text;
	size_t at = 0;

	*text = STR("[invalid]");
	while (at <= s.n) {
		struct metric_match match;

		if (metric_regex_match(&match, m->extract, s, at, w, e))
			return -1;
		if (!match.found)
			return 0;
		*text = metric_strip(str_sub(s, match.from, match.to));
		if (m->find != METRIC_LAST)
			return 0;
		at = match.all_to;
		if (match.all_to == match.all_from)
			for (at++; at < s.n && ((unsigned char)s.p[at] & 0xc0) == 0x80; at++)
				;
	}
	return 0;
}

/* Has the item all that the metric needs, but for an output that is null? */
static bool has_needs(const struct metric *m, const struct metric_item *it)
{
	unsigned needs = metric_needs(m);

	return !((needs & METRIC_REFS) && !it->n_refs) &&
	       !((needs & METRIC_HITS) && !it->has_hits) &&
	       !((needs & METRIC_RELS) && !it->has_rels);
}

int metric_score(double *out, const struct metric *m, const struct metric_item *item,
		 struct metric_work *w, struct err *e)
{
	struct metric_item it = *item;

	*out = (double)NAN;
	if (!has_needs(m, item))
		return 0;
	if ((metric_needs(m) & METRIC_OUTPUT) && !it.has_output) {
		*out = 0;
		return 0;
	}
	if (m->extract && extract(&it.output, m, w, e))
		return err_wrap(e, "metric %s", m->name);
	if (m->def->score(out, m, &it, w, e))
		return err_wrap(e, "metric %s", m->name);
	if (m->negated)
		*out = 1 - *out;
	return 0;
}

bool metric_has_corpus(const struct metric *m)
{
	return m->def->stats != NULL;
}

int metric_corpus_add(int64_t sums[METRIC_SUMS], bool *counted, const struct metric *m,
		      const struct metric_item *item, struct metric_work *w, struct err *e)
{
	struct metric_item it = *item;

	*counted = has_needs(m, item);
	if (!*counted)
		return 0;
	if (m->extract && it.has_output && extract(&it.output, m, w, e))
		return err_wrap(e, "metric %s", m->name);
	return m->def->stats(sums, m, &it, w, e) ? err_wrap(e, "metric %s", m->name) : 0;
}

double metric_corpus_score(const int64_t sums[METRIC_SUMS], const struct metric *m)
{
	return m->def->corpus(sums, m, false);
}

enum metric_verdict metric_verdict(const struct metric *m, double score)
{
	if (isnan(score) || !metric_has_rule(m))
		return METRIC_OPEN;
	return score >= (m->has_min ? m->min : 1) ? METRIC_PASS : METRIC_FAIL;
}

bool metric_has_rule(const struct metric *m)
{
	return m->has_min || m->def->info.binary;
}
