/*
 * metric_ground: is an answer held up by its contexts? Deterministic: the share of a sentence's
 * content-word 2-grams that stand in one sentence of a context (one word where the sentence has
 * only one). A sentence without content words claims nothing and is not counted.
 */
#include "config.h"
#include "metric/metric_impl.h"
#include <math.h>

#define MARKERS_MAX 256 /* citations in one sentence that count */

/* Function words of English; sorted. Single ASCII letters are dropped besides. */
static const char *const stopwords[] = {
	"about",   "above",   "after",  "again",  "all",    "also",    "am",    "an",     "and",
	"any",     "are",     "as",     "at",     "be",     "because", "been",  "before", "being",
	"below",   "between", "both",   "but",    "by",     "can",     "could", "did",    "do",
	"does",    "doing",   "don",    "down",   "during", "each",    "few",   "for",    "from",
	"further", "had",     "has",    "have",   "having", "he",      "her",   "here",   "hers",
	"him",     "his",     "how",    "if",     "in",     "into",    "is",    "it",     "its",
	"itself",  "just",    "ll",     "may",    "me",     "might",   "more",  "most",   "must",
	"my",      "no",      "nor",    "not",    "now",    "of",      "off",   "on",     "once",
	"only",    "or",      "other",  "our",    "ours",   "out",     "over",  "own",    "re",
	"same",    "shall",   "she",    "should", "so",     "some",    "such",  "than",   "that",
	"the",     "their",   "theirs", "them",   "then",   "there",   "these", "they",   "this",
	"those",   "through", "to",     "too",    "under",  "until",   "up",    "ve",     "very",
	"was",     "we",      "were",   "what",   "when",   "where",   "which", "while",  "who",
	"whom",    "why",     "will",   "with",   "would",  "you",     "your",  "yours",
};
static const char *const abbreviations[] = { "al", "cf",  "dr",   "e.g", "eg", "etc", "fig", "i.e",
					     "ie", "inc", "jr",   "ltd", "mr", "mrs", "ms",  "no",
					     "p",  "pp",  "prof", "sr",  "st", "vol", "vs" };

static int compare_word(const void *key, const void *entry)
{
	const struct str *k = key;

	return str_cmp(*k, str_of(*(const char *const *)entry));
}
#define LISTED(word, table)                                                                        \
	(bsearch(&(word), table, sizeof table / sizeof *table, sizeof *table, compare_word) != NULL)

/* ---- sentences ----------------------------------------------------------------------------- */

/* "[1]", "[2, 3]" at p: its length, or 0; the numbers in n[], at most MARKERS_MAX. */
static size_t marker(struct str s, size_t at, unsigned *n, size_t *count)
{
	size_t i = at + 1;

	if (at >= s.n || s.p[at] != '[')
		return 0;
	for (;;) {
		unsigned v = 0;
		size_t from;

		while (i < s.n && s.p[i] == ' ')
			i++;
		for (from = i; i < s.n && i - from < 6 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
			v = v * 10 + (unsigned)(s.p[i] - '0');
		if (i == from)
			return 0;
		if (n && *count < MARKERS_MAX)
			n[(*count)++] = v;
		while (i < s.n && s.p[i] == ' ')
			i++;
		if (i < s.n && s.p[i] == ']')
			return i + 1 - at;
		if (i == s.n || s.p[i++] != ',')
			return 0;
	}
}

/* Does the full stop at `at` belong to an abbreviation or an initial? */
static bool inner_stop(struct str s, size_t at)
{
	char word[8];
	size_t from = at;
	struct str w;

	while (from > 0 && at - from < sizeof word &&
	       (((s.p[from - 1] | 32) >= 'a' && (s.p[from - 1] | 32) <= 'z') ||
		s.p[from - 1] == '.'))
		from--;
	if (at == from || at - from >= sizeof word)
		return false;
	for (size_t i = from; i < at; i++)
		word[i - from] = (char)(s.p[i] | (s.p[i] == '.' ? 0 : 32));
	w = (struct str){ word, at - from };
	return w.n == 1 || (w.n > 2 && w.p[w.n - 2] == '.') || LISTED(w, abbreviations);
}

/* "12." at the head of a sentence is the number of an item. */
static bool item_number(struct str s, size_t from, size_t at)
{
	size_t i = from;

	while (i < at && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	return i == at && at > from && at - from < 4;
}

/* Bytes of a sentence's end at `at`: 1 for . ! ?, 3 for their full-width kin (which need no blank
 * behind), else 0. */
static size_t terminator(struct str s, size_t at, bool *wide)
{
	static const char *const kin[] = { "\xe3\x80\x82", "\xef\xbc\x81", "\xef\xbc\x9f",
					   "\xe2\x80\xa6" };

	*wide = false;
	if (s.p[at] == '.' || s.p[at] == '!' || s.p[at] == '?')
		return 1;
	for (size_t i = 0; i < 4 && (unsigned char)s.p[at] >= 0xe2; i++)
		if (str_starts(str_sub(s, at, s.n), str_of(kin[i]))) {
			*wide = i < 3;
			return 3;
		}
	return 0;
}

static size_t closing(struct str s, size_t at)
{
	static const char *const marks[] = {
		"\"", "'", ")", "]", "*", "\xe2\x80\x9d", "\xe2\x80\x99", "\xc2\xbb", "\xe3\x80\x8d"
	};

	for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
		if (str_starts(str_sub(s, at, s.n), str_of(marks[i])))
			return strlen(marks[i]);
	return 0;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* A line break ends a sentence before a blank line or the next item of a list. */
static bool breaks(struct str s, size_t at)
{
	size_t i = at + 1;
	size_t digits = 0;

	while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t' || s.p[i] == '\r'))
		i++;
	if (i >= s.n || s.p[i] == '\n' || s.p[i] == '#' || s.p[i] == '|')
		return true;
	if ((s.p[i] == '-' || s.p[i] == '*' || s.p[i] == '+') && i + 1 < s.n && s.p[i + 1] == ' ')
		return true;
	for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
		digits++;
	return digits && digits < 4 && i + 1 < s.n && (s.p[i] == '.' || s.p[i] == ')') &&
	       s.p[i + 1] == ' ';
}

/* Past the terminator: marks that close, then citations, with or without a blank before them. */
static size_t after_end(struct str s, size_t i)
{
	for (size_t n = 1; n && i < s.n;) {
		bool wide;
		size_t gap = i;

		n = closing(s, i);
		if (!n)
			n = terminator(s, i, &wide);
		i += n;
		while (!n && gap < s.n && s.p[gap] == ' ')
			gap++;
		if (!n && (n = marker(s, gap, NULL, NULL)))
			i = gap + n;
	}
	return i;
}

/* The next sentence of *rest, with its citations; false at the end. */
static bool next_sentence(struct str *out, struct str *rest)
{
	struct str s = *rest;
	size_t from = 0;

	while (from < s.n && blank(s.p[from]))
		from++;
	if (from == s.n)
		return false;
	for (size_t i = from; i < s.n; i++) {
		bool wide;
		size_t n = terminator(s, i, &wide);
		size_t end = n ? after_end(s, i + n) : i;
		size_t next = end;

		if (s.p[i] == '\n' ? !breaks(s, i) : !n)
			continue;
		while (next < s.n && blank(s.p[next]))
			next++;
		if (n && !wide && next < s.n) {
			bool lower = s.p[next] >= 'a' && s.p[next] <= 'z';

			if (next == end || lower || item_number(s, from, i) ||
			    (s.p[i] == '.' && end == i + 1 && inner_stop(s, i)))
				continue;
		}
		*out = str_sub(s, from, end);
		*rest = str_sub(s, next, s.n);
		return true;
	}
	*out = str_sub(s, from, s.n);
	*rest = str_sub(s, s.n, s.n);
	return true;
}

/* ---- grams --------------------------------------------------------------------------------- */

struct gram {
	uint64_t hash; /* of one content word, or two in a row */
	uint32_t sentence, hit;
};
struct grams {
	struct gram *v;
	size_t n, cap;
	bool failed;
};

static void push(struct grams *g, uint64_t hash, uint32_t sentence, uint32_t hit)
{
	if (g->n == g->cap) {
		size_t cap = g->cap ? 2 * g->cap : 256;
		struct gram *v = ckd_realloc(g->v, cap, sizeof *v);

		if (!v) {
			g->failed = true;
			return;
		}
		g->v = v;
		g->cap = cap;
	}
	g->v[g->n++] = (struct gram){ hash, sentence, hit };
}

/* The next content word's hash; citations are skipped. The text is in lower case. */
static bool next_word(uint64_t *hash, struct str *rest)
{
	size_t i = 0;
	struct str s = *rest;

	while (i < s.n) {
		size_t from, n = marker(s, i, NULL, NULL);
		unsigned len;
		uint32_t cp = 0;
		struct str word;

		if (n) {
			i += n;
			continue;
		}
		for (from = i; i < s.n; i += len) {
			cp = utf8_get(s.p + i, s.p + s.n, &len);
			if (metric_is_lone(cp) && i > from)
				break;
			if (!metric_is_word(cp) && !metric_is_lone(cp))
				break;
			if (metric_is_lone(cp)) {
				i += len;
				break;
			}
		}
		if (i == from) {
			i += len;
			continue;
		}
		word = str_sub(s, from, i);
		if ((word.n == 1 && word.p[0] >= 'a') || LISTED(word, stopwords))
			continue;
		*hash = hash64(word.p, word.n, 1);
		*rest = str_sub(s, i, s.n);
		return true;
	}
	*rest = str_sub(s, s.n, s.n);
	return false;
}

/* Words and pairs of a sentence; returns the number of words. Pairs are told from words by their
 * seed. */
static size_t add_grams(struct grams *words, struct grams *pairs, struct str sentence,
			struct buf *lower, uint32_t number, uint32_t hit)
{
	struct str rest;
	uint64_t hash, last = 0;
	size_t n = 0;

	buf_reset(lower);
	metric_lower(lower, sentence);
	rest = buf_str(lower);
	while (next_word(&hash, &rest)) {
		if (n++)
			push(pairs, hash_mix64(last * 0x9e3779b97f4a7c15u ^ hash), number, hit);
		push(words, hash, number, hit);
		last = hash;
	}
	return n;
}

static int by_gram(const void *a, const void *b)
{
	const struct gram *x = a;
	const struct gram *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->sentence > y->sentence) - (x->sentence < y->sentence);
}

static void sort_unique(struct grams *g)
{
	size_t n = 0;

	if (g->n)
		qsort(g->v, g->n, sizeof *g->v, by_gram);
	for (size_t i = 0; i < g->n; i++)
		if (!n || by_gram(&g->v[n - 1], &g->v[i]))
			g->v[n++] = g->v[i];
	g->n = n;
}

/* ---- support ------------------------------------------------------------------------------- */

/* The contexts of one item, and what one sentence of the answer finds in them. */
struct ground {
	struct grams words, pairs; /* of all contexts, sorted */
	struct grams own_words, own_pairs;
	uint32_t *counts; /* by sentence of the contexts */
	double *best;     /* by hit: share of the answer's sentence in the best of its sentences */
	uint32_t n_sentences;
	size_t n_hits;
};

static int ground_init(struct ground *g, const struct metric_item *item, struct metric_work *w,
		       struct err *e)
{
	*g = (struct ground){ .n_hits = item->n_hits };
	for (size_t h = 0; h < item->n_hits; h++) {
		struct str rest = item->hits[h].text;
		struct str sentence;

		while (next_sentence(&sentence, &rest))
			add_grams(&g->words, &g->pairs, sentence, &w->text[0], g->n_sentences++,
				  (uint32_t)h);
	}
	sort_unique(&g->words);
	sort_unique(&g->pairs);
	g->counts = metric_room(&w->array[0], g->n_sentences + 1, sizeof *g->counts);
	g->best = metric_room(&w->array[1], item->n_hits + 1, sizeof *g->best);
	if (!g->counts || !g->best || g->words.failed || g->pairs.failed)
		return err_nomem(e);
	memset(g->counts, 0, g->n_sentences * sizeof *g->counts);
	return buf_check(&w->text[0], e);
}

static void ground_release(struct ground *g)
{
	free(g->words.v);
	free(g->pairs.v);
	free(g->own_words.v);
	free(g->own_pairs.v);
}

static size_t lower_bound(const struct grams *g, uint64_t hash)
{
	size_t lo = 0;
	size_t hi = g->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (g->v[mid].hash < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Fills g->best for one sentence of the answer. *claims: it has content words. */
static int support(bool *claims, struct ground *g, struct str sentence, struct metric_work *w,
		   struct err *e)
{
	const struct grams *mine, *all;
	size_t n_words;

	g->own_words.n = g->own_pairs.n = 0;
	n_words = add_grams(&g->own_words, &g->own_pairs, sentence, &w->text[0], 0, 0);
	if (g->own_words.failed || g->own_pairs.failed || buf_check(&w->text[0], e))
		return err_nomem(e);
	*claims = n_words > 0;
	for (size_t h = 0; h < g->n_hits; h++)
		g->best[h] = 0;
	mine = n_words > 1 ? &g->own_pairs : &g->own_words;
	all = n_words > 1 ? &g->pairs : &g->words;
	sort_unique(n_words > 1 ? &g->own_pairs : &g->own_words);
	for (int clear = 0; clear < 2; clear++) { /* count, then undo what was counted */
		for (size_t i = 0; i < mine->n; i++) {
			for (size_t k = lower_bound(all, mine->v[i].hash);
			     k < all->n && all->v[k].hash == mine->v[i].hash; k++) {
				uint32_t *count = &g->counts[all->v[k].sentence];
				double share;

				if (clear) {
					*count = 0;
					continue;
				}
				share = (double)++*count / (double)mine->n;
				if (share > g->best[all->v[k].hit])
					g->best[all->v[k].hit] = share;
			}
		}
	}
	return 0;
}

/* Share of the answer's sentences that some context supports. */
static int groundedness(double *out, const struct metric *m, const struct metric_item *item,
			struct metric_work *w, struct err *e)
{
	struct str rest = item->output;
	struct str sentence;
	struct ground g;
	size_t claims = 0;
	size_t held = 0;
	int failed = ground_init(&g, item, w, e);

	while (!failed && next_sentence(&sentence, &rest)) {
		bool claim;
		double best = 0;

		failed = support(&claim, &g, sentence, w, e);
		for (size_t h = 0; !failed && claim && h < g.n_hits; h++)
			best = fmax(best, g.best[h]);
		claims += claim;
		held += claim && best >= m->tau;
	}
	ground_release(&g);
	*out = claims && item->n_hits ? (double)held / (double)claims : (double)NAN;
	return failed;
}

enum { CITE_PRECISION, CITE_RECALL, CITE_F1 };

/*
 * `[n]` is the n-th hit. Precision: supported (sentence, document) pairs of those cited, a number
 * without a hit being unsupported; null without a citation. Recall: claiming sentences with a
 * supporting citation. F1 of the two, 0 when nothing is cited.
 */
static int citations(double *out, const struct metric *m, const struct metric_item *item,
		     struct metric_work *w, struct err *e)
{
	struct str rest = item->output;
	struct str sentence;
	struct ground g;
	size_t claims = 0;
	size_t held = 0;
	size_t pairs = 0;
	size_t good = 0;
	double p, r;
	int failed = ground_init(&g, item, w, e);

	while (!failed && next_sentence(&sentence, &rest)) {
		unsigned n[MARKERS_MAX];
		size_t count = 0;
		bool claim;
		bool any = false;

		failed = support(&claim, &g, sentence, w, e);
		if (failed || !claim)
			continue;
		for (size_t i = 0; i < sentence.n; i++) {
			size_t before = count;

			if (!marker(sentence, i, n, &count))
				count = before;
		}
		for (size_t i = 0; i < count; i++) {
			bool seen = false;

			for (size_t k = 0; k < i && !seen; k++)
				seen = n[k] == n[i];
			if (seen)
				continue;
			pairs++;
			if (n[i] >= 1 && n[i] <= g.n_hits && g.best[n[i] - 1] >= m->tau) {
				good++;
				any = true;
			}
		}
		claims++;
		held += any;
	}
	ground_release(&g);
	p = pairs ? (double)good / (double)pairs : (double)NAN;
	r = claims ? (double)held / (double)claims : (double)NAN;
	if (m->def->variant == CITE_PRECISION)
		*out = p;
	else if (m->def->variant == CITE_RECALL || !claims)
		*out = r;
	else
		*out = good ? 2 * p * r / (p + r) : 0;
	return failed;
}

/* ---- quotes -------------------------------------------------------------------------------- */

/* Lower case, runs of blanks to one, none at the ends. Returns the number of words. */
static size_t collapse(struct buf *out, struct buf *lower, struct str s)
{
	struct str rest, word;
	size_t n = 0;

	buf_reset(lower);
	metric_lower(lower, s);
	rest = buf_str(lower);
	while (metric_split(&word, &rest)) {
		if (n++)
			buf_addc(out, ' ');
		buf_adds(out, word);
	}
	return n;
}

/* The next span between quotation marks, "…", “…”, «…» or „…“; typographic ones pair by kind.
 * none[k]: no closing mark of kind k is left, so that no text is searched twice for it. */
static bool next_quote(struct str *out, struct str *rest, bool none[4])
{
	static const char *const marks[][2] = { { "\"", "\"" },
						{ "\xe2\x80\x9c", "\xe2\x80\x9d" },
						{ "\xc2\xab", "\xc2\xbb" },
						{ "\xe2\x80\x9e", "\xe2\x80\x9c" } };
	struct str s = *rest;

	for (size_t i = 0; i < s.n; i++) {
		for (size_t k = 0; k < 4; k++) {
			size_t from = i + strlen(marks[k][0]);
			size_t to;

			if (none[k] || !str_starts(str_sub(s, i, s.n), str_of(marks[k][0])))
				continue;
			to = str_find(s, str_of(marks[k][1]), from);
			none[k] = to == s.n;
			if (none[k])
				continue;
			*out = str_sub(s, from, to);
			*rest = str_sub(s, to + strlen(marks[k][1]), s.n);
			return true;
		}
	}
	return false;
}

/* Share of quoted spans of three words or more that stand in a context word for word. */
static int quoted(double *out, const struct metric *m, const struct metric_item *item,
		  struct metric_work *w, struct err *e)
{
	struct buf *contexts = &w->text[1];
	struct buf *span = &w->text[2];
	struct str rest = item->output;
	struct str quote;
	bool none[4] = { false };
	size_t spans = 0;
	size_t held = 0;

	(void)m;
	buf_reset(contexts);
	for (size_t h = 0; h < item->n_hits; h++) {
		collapse(contexts, &w->text[0], item->hits[h].text);
		buf_addc(contexts, '\n'); /* no span reaches over it */
	}
	while (next_quote(&quote, &rest, none)) {
		buf_reset(span);
		if (collapse(span, &w->text[0], quote) < 3)
			continue;
		spans++;
		held += str_find(buf_str(contexts), buf_str(span), 0) < contexts->n;
	}
	*out = spans && item->n_hits ? (double)held / (double)spans : (double)NAN;
	return buf_check(contexts, e) || buf_check(span, e) || buf_check(&w->text[0], e) ? -1 : 0;
}

#define GROUND(name, fn, what, options, help)                                                      \
	{                                                                                          \
		.info = { name, METRIC_OUTPUT | METRIC_HITS, false, false, options, help },        \
		.score = fn, .variant = what, .version = "v1"                                      \
	}
const struct metric_def metric_ground_defs[] = {
	GROUND("groundedness", groundedness, 0, "tau",
	       "share of the answer's sentences found in one sentence of a hit"),
	GROUND("citation_precision", citations, CITE_PRECISION, "tau",
	       "share of the citations [n] whose hit supports the sentence"),
	GROUND("citation_recall", citations, CITE_RECALL, "tau",
	       "share of the sentences with a citation that supports them"),
	GROUND("citation_f1", citations, CITE_F1, "tau", "F1 of the two"),
	GROUND("quoted_support", quoted, 0, "",
	       "share of the quotations of 3 words or more that a hit has verbatim"),
	{ .info = { .name = NULL } },
};
