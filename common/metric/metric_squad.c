/* metric_squad: SQuAD's exact match and F1, as in the evaluation script of version 1.1 (Rajpurkar
 * et al., 2016). */
#include "config.h"
#include "metric/metric_impl.h"

struct token {
	uint64_t hash;
	struct str text;
};

/* Is the run of letters and digits at [from, to) an article? Python's \b(a|an|the)\b: combining
 * marks end a word. */
static bool is_article(const char *p, size_t n)
{
	return (n == 1 && p[0] == 'a') || (n == 2 && p[0] == 'a' && p[1] == 'n') ||
	       (n == 3 && memcmp(p, "the", 3) == 0);
}

/*
 * lower -> delete 32 ASCII punctuation marks -> articles to a blank -> split. The words of *out,
 * each followed by a blank, are in `text`. A word is cut where an article is cut out of it (the
 * bare letter of a decomposed "á").
 */
static void normalise(struct buf *text, struct buf *lower, struct str s)
{
	const char *p, *end;
	size_t kept = 0;

	buf_reset(lower);
	buf_reset(text);
	metric_lower(lower, s);
	for (size_t i = 0; i < lower->n; i++) /* in place */
		if (!metric_is_punctuation(lower->p[i]))
			lower->p[kept++] = lower->p[i];
	lower->n = kept;
	p = lower->p;
	end = p + kept;
	while (p < end) {
		const char *run = p;
		unsigned len = 1;
		uint32_t cp = 0;

		while (p < end) { /* a run of one kind: word characters, or one other character */
			cp = (unsigned char)*p < 0x80 ? (unsigned char)*p : utf8_get(p, end, &len);
			if ((unsigned char)*p < 0x80)
				len = 1;
			if (!metric_is_word(cp))
				break;
			p += len;
		}
		if (p > run && !is_article(run, (size_t)(p - run)))
			buf_add(text, run, (size_t)(p - run));
		else if (p > run)
			buf_addc(text, ' ');
		if (p < end) {
			if (metric_is_space(cp))
				buf_addc(text, ' ');
			else
				buf_add(text, p, len);
			p += len;
		}
	}
}

static size_t tokens(struct token **out, struct metric_array *room, struct str text)
{
	struct token *t = metric_room(room, text.n / 2 + 1, sizeof *t);
	size_t n = 0;
	struct str word;

	*out = t;
	while (t && metric_split(&word, &text))
		t[n++] = (struct token){ hash64(word.p, word.n, 0), word };
	return n;
}

static int by_hash(const void *a, const void *b)
{
	const struct token *x = a;
	const struct token *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return str_cmp(x->text, y->text);
}

/* Size of the intersection of two multisets; sorts both. */
static size_t common_tokens(struct token *a, size_t na, struct token *b, size_t nb)
{
	size_t common = 0;
	size_t i = 0;
	size_t j = 0;

	qsort(a, na, sizeof *a, by_hash);
	qsort(b, nb, sizeof *b, by_hash);
	while (i < na && j < nb) {
		int c = by_hash(&a[i], &b[j]);

		common += c == 0;
		i += c <= 0;
		j += c >= 0;
	}
	return common;
}

static double f1(struct token *a, size_t na, struct token *b, size_t nb)
{
	double common = (double)common_tokens(a, na, b, nb);
	double p, r;

	if (common == 0)
		return 0;
	p = common / (double)na;
	r = common / (double)nb;
	return 2 * p * r / (p + r);
}

enum { EXACT, F1_V1, F1_V2 };

static int squad(double *out, const struct metric *m, const struct metric_item *item,
		 struct metric_work *w, struct err *e)
{
	struct token *a, *b;
	size_t na, nb;

	*out = 0;
	normalise(&w->text[0], &w->text[3], item->output);
	na = tokens(&a, &w->array[0], buf_str(&w->text[0]));
	for (size_t i = 0; i < item->n_refs && a; i++) {
		double score;

		normalise(&w->text[1], &w->text[3], item->refs[i].text);
		nb = tokens(&b, &w->array[1], buf_str(&w->text[1]));
		if (!b)
			break;
		if (m->def->variant == EXACT) {
			score = na == nb;
			for (size_t k = 0; k < na && score > 0; k++)
				score = str_eq(a[k].text, b[k].text);
		} else if (m->def->variant == F1_V2 && (na == 0 || nb == 0)) {
			score = na == nb;
		} else {
			score = f1(a, na, b, nb);
		}
		if (score > *out)
			*out = score;
	}
	if (buf_check(&w->text[0], e) || buf_check(&w->text[1], e) || buf_check(&w->text[3], e))
		return -1;
	return a ? 0 : err_nomem(e);
}

const struct metric_def metric_squad_defs[] = {
	{ .info = { "squad_em", METRIC_OUTPUT | METRIC_REFS, false, true, "extract find",
		    "equal after lower case, without punctuation, articles and extra blanks (SQuAD "
		    "1.1)" },
	  .score = squad,
	  .variant = EXACT,
	  .version = "v1" },
	{ .info = { "squad_f1", METRIC_OUTPUT | METRIC_REFS, false, false, "extract find",
		    "F1 of the words in common after the same (SQuAD 1.1), best reference" },
	  .score = squad,
	  .variant = F1_V1,
	  .version = "v1" },
	{ .info = { "squad2_f1", METRIC_OUTPUT | METRIC_REFS, false, false, "extract find",
		    "the same, two empty answers count as equal (SQuAD 2.0)" },
	  .score = squad,
	  .variant = F1_V2,
	  .version = "v2" },
	{ .info = { .name = NULL } },
};
