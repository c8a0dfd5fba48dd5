/* metric_answer: an answer against its references, as text, number or JSON. */
#include "config.h"
#include "metric/metric_impl.h"
#include <math.h>

/* ---- exact match --------------------------------------------------------------------------- */

/*
 * The options of `evaluate` 0.4.6's exact_match, in its order: patterns deleted, lower case, ASCII
 * punctuation and ASCII digits deleted. *out borrows s or w->text[0 + side].
 */
static int em_normalise(struct str *out, const struct metric *m, struct str s, int side,
			struct metric_work *w, struct err *e)
{
	struct buf *b = &w->text[side];
	struct buf *spare = &w->text[2 + side];
	size_t kept = 0;

	*out = s;
	for (size_t i = 0; i < m->n_ignored; i++) {
		struct buf *to = i % 2 ? spare : b;

		buf_reset(to);
		if (metric_regex_delete(to, m->ignored[i], *out, w, e) || buf_check(to, e))
			return -1;
		*out = buf_str(to);
	}
	if (m->ignore_case) {
		struct buf *to = out->p == b->p ? spare : b;

		buf_reset(to);
		metric_lower(to, *out);
		if (buf_check(to, e))
			return -1;
		*out = buf_str(to);
	}
	if (!m->ignore_punctuation && !m->ignore_numbers)
		return 0;
	if (out->p != b->p) {
		buf_reset(b);
		buf_adds(b, *out);
		if (buf_check(b, e))
			return -1;
	}
	for (size_t i = 0; i < out->n; i++) {
		char c = b->p[i];

		if (!(m->ignore_punctuation && metric_is_punctuation(c)) &&
		    !(m->ignore_numbers && c >= '0' && c <= '9'))
			b->p[kept++] = c;
	}
	*out = (struct str){ b->p ? b->p : "", kept };
	return 0;
}

static int em(double *out, const struct metric *m, const struct metric_item *item,
	      struct metric_work *w, struct err *e)
{
	struct str got, want;

	*out = 0;
	if (em_normalise(&got, m, item->output, 0, w, e))
		return -1;
	for (size_t i = 0; i < item->n_refs && *out < 1; i++) {
		if (em_normalise(&want, m, item->refs[i].text, 1, w, e))
			return -1;
		*out = str_eq(got, want);
	}
	return 0;
}

/* ---- contains and its kin (promptfoo's names) ---------------------------------------------- */

enum { CONTAINS, CONTAINS_ALL, STARTS, ENDS, FOLD = 16 };

/* The i-th thing to look for: the option `value` (repeatable), else the references. */
static struct str needle(const struct metric *m, const struct metric_item *item, size_t i)
{
	return m->n_values ? m->values[i] : item->refs[i].text;
}

static int contains(double *out, const struct metric *m, const struct metric_item *item,
		    struct metric_work *w, struct err *e)
{
	size_t n = m->n_values ? m->n_values : item->n_refs;
	struct str hay = item->output;
	bool all = (m->def->variant & 15) == CONTAINS_ALL;
	size_t found = 0;

	if (m->def->variant & FOLD) {
		buf_reset(&w->text[0]);
		metric_lower(&w->text[0], hay);
		hay = buf_str(&w->text[0]);
	}
	for (size_t i = 0; i < n; i++) {
		struct str s = needle(m, item, i);

		if (m->def->variant & FOLD) {
			buf_reset(&w->text[1]);
			metric_lower(&w->text[1], s);
			s = buf_str(&w->text[1]);
		}
		switch (m->def->variant & 15) {
		case STARTS:
			found += str_starts(hay, s);
			break;
		case ENDS:
			found += str_ends(hay, s);
			break;
		default:
			found += s.n == 0 || str_find(hay, s, 0) < hay.n;
		}
	}
	if (buf_check(&w->text[0], e) || buf_check(&w->text[1], e))
		return -1;
	*out = n == 0 ? (double)NAN : all ? found == n : found > 0;
	return 0;
}

static int regex(double *out, const struct metric *m, const struct metric_item *item,
		 struct metric_work *w, struct err *e)
{
	struct metric_match match;

	if (metric_regex_match(&match, m->pattern, item->output, 0, w, e))
		return -1;
	*out = match.found;
	return 0;
}

/* ---- numbers ------------------------------------------------------------------------------- */

/* A number as people write it: blanks, a currency sign before, a percent sign or full stop behind,
 * commas inside. */
static bool plain_number(double *out, struct str s)
{
	static const char *const signs[] = { "$", "\xe2\x82\xac", "\xc2\xa3" };
	char text[64];
	size_t n = 0;
	bool minus = false;

	s = metric_strip(s);
	if (s.n && s.p[0] == '-') {
		minus = true;
		s = str_sub(s, 1, s.n);
	}
	for (size_t i = 0; i < 3; i++)
		if (str_starts(s, str_of(signs[i])))
			s = str_sub(s, strlen(signs[i]), s.n);
	while (s.n && (s.p[s.n - 1] == '%' || s.p[s.n - 1] == '.'))
		s.n--;
	if (s.n == 0 || s.n >= sizeof text || (minus && (s.p[0] == '-' || s.p[0] == '+')))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != ',' || i == 0)
			text[n++] = s.p[i];
	if (num_f64(out, (struct str){ text, n }, -HUGE_VAL, HUGE_VAL, NULL) || !isfinite(*out))
		return false;
	*out = minus ? -*out : *out;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The first or last run that looks like a number: sign, digits and commas, fraction. */
static bool number_inside(double *out, struct str s, bool last)
{
	bool found = false;

	for (size_t i = 0; i < s.n;) {
		size_t from = i;
		size_t to;

		if (!is_digit(s.p[i]) && !(s.p[i] == '.' && i + 1 < s.n && is_digit(s.p[i + 1]))) {
			i++;
			continue;
		}
		for (to = i; to < s.n && (is_digit(s.p[to]) || (s.p[to] == ',' && to + 1 < s.n &&
								is_digit(s.p[to + 1])));
		     to++)
			;
		if (to + 1 < s.n && s.p[to] == '.' && is_digit(s.p[to + 1]))
			for (to++; to < s.n && is_digit(s.p[to]); to++)
				;
		if (from > 0 && s.p[from - 1] == '-' &&
		    (from < 2 || !metric_is_word((unsigned char)s.p[from - 2] < 0x80
							 ? (unsigned char)s.p[from - 2]
							 : ' ')))
			from--;
		if (plain_number(out, str_sub(s, from, to))) {
			found = true;
			if (!last)
				return true;
		}
		i = to;
	}
	return found;
}

static bool find_number(double *out, const struct metric *m, struct str s)
{
	double v;

	if (m->find == METRIC_WHOLE)
		return plain_number(out, s);
	if (!number_inside(&v, s, m->find == METRIC_LAST))
		return false;
	*out = v;
	return true;
}

enum { NUMERIC, NUMERIC_DIFF };

/* |a - b| <= atol + rtol |b|; or 1 - |a - b| / (|a| + |b|), 1 when both are 0 (autoevals'
 * NumericDiff). */
static int numeric(double *out, const struct metric *m, const struct metric_item *item,
		   struct metric_work *w, struct err *e)
{
	double got = 0;
	double best = (double)NAN;
	bool is_number = find_number(&got, m, item->output);

	(void)w;
	(void)e;
	for (size_t i = 0; i < item->n_refs; i++) {
		double want, score;

		if (!plain_number(&want, item->refs[i].text) &&
		    !number_inside(&want, item->refs[i].text, true))
			continue;
		if (!is_number)
			score = 0;
		else if (m->def->variant == NUMERIC)
			score = fabs(got - want) <= m->abs_tol + m->rel_tol * fabs(want);
		else
			score = got == 0 && want == 0
					? 1
					: 1 - fabs(got - want) / (fabs(got) + fabs(want));
		if (isnan(best) || score > best)
			best = score;
	}
	*out = best;
	return 0;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

enum { JSON_VALID, JSON_CONTAINS, JSON_EQUAL };
#define JSON_STARTS_MAX 256 /* places where a value is tried for */

/* The first object or array in s that is whole. */
static bool json_inside(struct json_val *out, struct str s)
{
	unsigned tries = 0;
	size_t used;

	for (size_t i = 0; i < s.n && tries < JSON_STARTS_MAX; i++) {
		if (s.p[i] != '{' && s.p[i] != '[')
			continue;
		tries++;
		if (json_parse_prefix(out, &used, str_sub(s, i, s.n), NULL) == 0)
			return true;
	}
	return false;
}

static int json(double *out, const struct metric *m, const struct metric_item *item,
		struct metric_work *w, struct err *e)
{
	struct json_val got, want;
	bool found = m->def->variant == JSON_CONTAINS ? json_inside(&got, item->output)
						      : json_parse(&got, item->output, NULL) == 0;

	(void)w;
	(void)e;
	*out = found;
	if (m->def->variant != JSON_EQUAL)
		return 0;
	*out = 0;
	for (size_t i = 0; i < item->n_refs && found && *out < 1; i++) {
		const struct metric_ref *r = &item->refs[i];

		if (r->json.type == JSON_STRING && json_parse(&want, r->text, NULL) == 0)
			*out = json_equal(got, want);
		else
			*out = json_equal(got, r->json);
	}
	return 0;
}

#define OUT_REFS (METRIC_OUTPUT | METRIC_REFS)
#define PROMPTFOO(name, how, help)                                                                 \
	{                                                                                          \
		.info = { name, OUT_REFS, false, true, "value extract find", help },               \
		.score = contains, .variant = how, .version = "v1"                                 \
	}
const struct metric_def metric_answer_defs[] = {
	{ .info = { "em", OUT_REFS, false, true,
		    "regexes_to_ignore ignore_case ignore_punctuation ignore_numbers extract find",
		    "equal to a reference, byte for byte" },
	  .score = em,
	  .variant = 0,
	  .version = "v1" },
	PROMPTFOO("contains", CONTAINS, "a reference (or `value`) is in the answer"),
	PROMPTFOO("icontains", CONTAINS | FOLD, "the same in lower case"),
	PROMPTFOO("contains-any", CONTAINS, "any of the references is in the answer"),
	PROMPTFOO("icontains-any", CONTAINS | FOLD, "the same in lower case"),
	PROMPTFOO("contains-all", CONTAINS_ALL, "all of the references are in the answer"),
	PROMPTFOO("icontains-all", CONTAINS_ALL | FOLD, "the same in lower case"),
	PROMPTFOO("starts-with", STARTS, "the answer begins with a reference"),
	PROMPTFOO("ends-with", ENDS, "the answer ends with a reference"),
	{ .info = { "regex", METRIC_OUTPUT, false, true, "value extract find",
		    "the pattern `value` (PCRE2) matches" },
	  .score = regex,
	  .variant = 0,
	  .version = "v1" },
	{ .info = { "contains-json", METRIC_OUTPUT, false, true, "extract find",
		    "an object or array of JSON is in the answer" },
	  .score = json,
	  .variant = JSON_CONTAINS,
	  .version = "v1" },
	{ .info = { "json_valid", METRIC_OUTPUT, false, true, "extract find",
		    "the answer is one JSON value" },
	  .score = json,
	  .variant = JSON_VALID,
	  .version = "v1" },
	{ .info = { "json_equal", OUT_REFS, false, true, "extract find",
		    "the answer is a reference, as JSON" },
	  .score = json,
	  .variant = JSON_EQUAL,
	  .version = "v1" },
	{ .info = { "numeric", OUT_REFS, false, true, "atol rtol extract find",
		    "the answer's number is the reference's" },
	  .score = numeric,
	  .variant = NUMERIC,
	  .version = "v1" },
	{ .info = { "numeric_diff", OUT_REFS, false, false, "extract find",
		    "1 - |a - b| / (|a| + |b|) of the numbers" },
	  .score = numeric,
	  .variant = NUMERIC_DIFF,
	  .version = "v1" },
	{ .info = { .name = NULL } },
};
