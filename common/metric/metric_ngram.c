/*
 * metric_ngram: BLEU, chrF and ROUGE as sacrebleu 2.6.0 and rouge-score 0.1.2 define them. An
 * n-gram is known by a number that the pair (number of its first n-1 tokens, last token) was given,
 * so counts are exact and no text is hashed twice.
 */
#include "config.h"
#include "metric/metric_impl.h"
#include <math.h>

#define ORDERS_MAX 8 /* chrF++: 6 of characters, 2 of words */

/* ---- numbering ----------------------------------------------------------------------------- */

struct slot {
	uint64_t key;
	uint32_t stamp; /* of the numbering that wrote it: the table is never cleared */
	uint32_t id;
};
/* Tokens of one text: numbers, equal where the tokens are. */
struct tokens {
	uint32_t *v;
	size_t n;
};
struct metric_ngrams {
	struct slot *slots;
	size_t cap;
	uint32_t stamp, n_ids;
	struct str *words; /* by id, when words are numbered */
	size_t cap_words;
	uint32_t *counts[3]; /* by id: of the hypothesis, of one reference, the most of any
				reference */
	size_t cap_counts;
	struct metric_array
		texts[2 + 2 * 1]; /* token arrays and running n-gram numbers: hyp, ref */
};

static uint32_t *grow_u32(uint32_t *p, size_t n)
{
	return ckd_realloc(p, n, sizeof *p);
}

/* Begin a numbering of at most n different keys. */
static int begin(struct metric_ngrams *g, size_t n, struct err *e)
{
	size_t want = 64;

	while (want < 2 * n + 2)
		want *= 2;
	if (want > g->cap) {
		free(g->slots);
		g->slots = calloc(want, sizeof *g->slots);
		g->cap = g->slots ? want : 0;
		g->stamp = 0;
		if (!g->slots)
			return err_nomem(e);
	}
	if (++g->stamp == 0) { /* once in four thousand million */
		memset(g->slots, 0, g->cap * sizeof *g->slots);
		g->stamp = 1;
	}
	g->n_ids = 0;
	return 0;
}

static uint32_t number_pair(struct metric_ngrams *g, uint32_t before, uint32_t token)
{
	uint64_t key = (uint64_t)before << 32 | token;
	size_t at = hash_mix64(key * 0x9e3779b97f4a7c15u) & (g->cap - 1);

	while (g->slots[at].stamp == g->stamp && g->slots[at].key != key)
		at = (at + 1) & (g->cap - 1);
	if (g->slots[at].stamp != g->stamp)
		g->slots[at] = (struct slot){ key, g->stamp, g->n_ids++ };
	return g->slots[at].id;
}

/* A word's number; words are compared, not their hashes. */
static int number_word(uint32_t *out, struct metric_ngrams *g, struct str word, struct err *e)
{
	uint64_t key = hash64(word.p, word.n, 2);
	size_t at = key & (g->cap - 1);

	while (g->slots[at].stamp == g->stamp &&
	       (g->slots[at].key != key || !str_eq(g->words[g->slots[at].id], word)))
		at = (at + 1) & (g->cap - 1);
	if (g->slots[at].stamp != g->stamp) {
		if (g->n_ids == g->cap_words) {
			size_t cap = g->cap_words ? 2 * g->cap_words : 256;
			struct str *words = ckd_realloc(g->words, cap, sizeof *words);

			if (!words)
				return err_nomem(e);
			g->words = words;
			g->cap_words = cap;
		}
		g->words[g->n_ids] = word;
		g->slots[at] = (struct slot){ key, g->stamp, g->n_ids++ };
	}
	*out = g->slots[at].id;
	return 0;
}

int metric_ngrams_new(struct metric_ngrams **out, struct err *e)
{
	*out = calloc(1, sizeof **out);
	return *out ? 0 : err_nomem(e);
}

void metric_ngrams_free(struct metric_ngrams *g)
{
	if (!g)
		return;
	free(g->slots);
	free(g->words);
	for (int i = 0; i < 3; i++)
		free(g->counts[i]);
	for (size_t i = 0; i < sizeof g->texts / sizeof *g->texts; i++)
		free(g->texts[i].p);
	free(g);
}

/* ---- matches ------------------------------------------------------------------------------- */

static int zero_counts(struct metric_ngrams *g, size_t n, struct err *e)
{
	if (n > g->cap_counts) {
		for (int i = 0; i < 3; i++) {
			uint32_t *p = grow_u32(g->counts[i], n + n / 2);

			if (!p)
				return err_nomem(e);
			g->counts[i] = p;
		}
		g->cap_counts = n + n / 2;
	}
	for (int i = 0; i < 3 && n; i++)
		memset(g->counts[i], 0, n * sizeof *g->counts[i]);
	return 0;
}

/* Number the n-grams of one text; run[i] holds the number of the (n-1)-gram at i and gets that of
 * the n-gram. */
static void count_order(struct metric_ngrams *g, const struct tokens *t, uint32_t *run,
			size_t order, uint32_t *counts)
{
	for (size_t i = 0; i + order <= t->n; i++) {
		run[i] = number_pair(g, order == 1 ? 0 : run[i], t->v[i + order - 1]);
		counts[run[i]]++;
	}
}

/*
 * For each order 1..orders: n-grams of the hypothesis, of the references (of the last one), and
 * matches clipped to the most of any reference. t[0] is the hypothesis; out[order - 1] = { hyp,
 * ref, match }.
 */
static int match_orders(int64_t out[][3], struct metric_ngrams *g, const struct tokens *t,
			size_t n_texts, uint32_t *const *run, size_t orders, struct err *e)
{
	size_t total = 0;

	for (size_t k = 0; k < n_texts; k++)
		total += t[k].n;
	for (size_t order = 1; order <= orders; order++) {
		if (begin(g, total, e) || zero_counts(g, total + 1, e))
			return -1;
		count_order(g, &t[0], run[0], order, g->counts[0]);
		for (size_t k = 1; k < n_texts; k++) {
			count_order(g, &t[k], run[k], order, g->counts[1]);
			for (size_t i = 0; i + order <= t[k].n;
			     i++) { /* the most of any; clear for the next */
				uint32_t id = run[k][i];

				if (g->counts[1][id] > g->counts[2][id])
					g->counts[2][id] = g->counts[1][id];
				g->counts[1][id] = 0;
			}
			out[order - 1][1] = t[k].n >= order ? (int64_t)(t[k].n - order + 1) : 0;
		}
		out[order - 1][0] = t[0].n >= order ? (int64_t)(t[0].n - order + 1) : 0;
		out[order - 1][2] = 0;
		for (size_t i = 0; i + order <= t[0].n; i++) { /* each number once */
			uint32_t id = run[0][i];
			uint32_t n = g->counts[0][id];

			out[order - 1][2] += n < g->counts[2][id] ? n : g->counts[2][id];
			g->counts[0][id] = 0;
		}
	}
	return 0;
}

/* ---- tokenizers ---------------------------------------------------------------------------- */

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* mteval-v13a's punctuation: { | } ~ [ \ ] ^ _ ` blank ! " # $ % & ( ) * + : ; < = > ? @ / */
static bool split_off(char c)
{
	return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
	       (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

static void replace_all(struct buf *out, struct str s, const char *from, const char *to)
{
	struct str needle = str_of(from);

	for (size_t at = 0; at < s.n;) {
		size_t hit = str_find(s, needle, at);

		buf_adds(out, str_sub(s, at, hit));
		if (hit < s.n)
			buf_addz(out, to);
		at = hit + (hit < s.n ? needle.n : 0);
		if (hit == s.n)
			break;
	}
}

/* One of the pair rules of 13a: where first(a) and second(b) hold for neighbours, write them with
 * blanks; both are used up, as re.sub does. */
static void pair_rule(struct buf *out, struct str s, int rule)
{
	for (size_t i = 0; i < s.n; i++) {
		char a = s.p[i];
		char b = i + 1 < s.n ? s.p[i + 1] : '\0';
		bool last = i + 1 == s.n;

		if (rule == 0 && !last && !digit(a) && (b == '.' || b == ',')) {
			buf_add(out, (char[]){ a, ' ', b, ' ' }, 4);
			i++;
		} else if (rule == 1 && !last && (a == '.' || a == ',') && !digit(b)) {
			buf_add(out, (char[]){ ' ', a, ' ', b }, 4);
			i++;
		} else if (rule == 2 && !last && digit(a) && b == '-') {
			buf_add(out, (char[]){ a, ' ', b, ' ' }, 4);
			i++;
		} else {
			buf_addc(out, a);
		}
	}
}

/* sacrebleu's tokenizer 13a, but for the last split; the result is in a. */
static void tokenize_13a(struct buf *a, struct buf *b, struct str s)
{
	static const char *const entities[][2] = {
		{ "&quot;", "\"" }, { "&amp;", "&" }, { "&lt;", "<" }, { "&gt;", ">" }
	};

	buf_reset(a);
	buf_reset(b);
	replace_all(a, s, "<skipped>", "");
	replace_all(b, buf_str(a), "-\n", "");
	for (size_t i = 0; i < b->n; i++)
		if (b->p[i] == '\n')
			b->p[i] = ' ';
	if (b->n && memchr(b->p, '&', b->n)) {
		for (int k = 0; k < 4; k++) {
			buf_reset(a);
			replace_all(a, buf_str(b), entities[k][0], entities[k][1]);
			buf_reset(b);
			buf_adds(b, buf_str(a));
		}
	}
	buf_reset(a);
	buf_addc(a, ' ');
	for (size_t i = 0; i < b->n; i++) {
		if (split_off(b->p[i]))
			buf_add(a, (char[]){ ' ', b->p[i], ' ' }, 3);
		else
			buf_addc(a, b->p[i]);
	}
	buf_addc(a, ' ');
	buf_reset(b);
	pair_rule(b, buf_str(a), 0);
	buf_reset(a);
	pair_rule(a, buf_str(b), 1);
	buf_reset(b);
	pair_rule(b, buf_str(a), 2);
	buf_reset(a);
	buf_adds(a, buf_str(b));
}

/* ---- BLEU ---------------------------------------------------------------------------------- */

#define BLEU_ORDERS 4
#define REFS_MAX 64 /* references that count */

enum { S_HYP_LEN, S_REF_LEN, S_CORRECT, S_TOTAL = S_CORRECT + BLEU_ORDERS };
enum { TOK_13A, TOK_NONE, TOK_CHAR };
enum { SMOOTH_EXP, SMOOTH_FLOOR, SMOOTH_ADD_K, SMOOTH_NONE };

/* A text's tokens as spans of `kept`, appended; the numbers follow once all texts are there. */
static void bleu_text(struct buf *kept, const struct metric *m, struct str s, struct metric_work *w)
{
	if (m->ignore_case) {
		buf_reset(&w->text[1]);
		metric_lower(&w->text[1], s);
		s = buf_str(&w->text[1]);
	}
	while (s.n && metric_strip(s).p + metric_strip(s).n <
			      s.p + s.n) /* right-stripped, as sacrebleu does */
		s.n = (size_t)(metric_strip(s).p + metric_strip(s).n - s.p);
	if (m->tok == TOK_13A) {
		tokenize_13a(&w->text[2], &w->text[3], s);
		buf_adds(kept, buf_str(&w->text[2]));
	} else if (m->tok == TOK_CHAR) {
		for (size_t i = 0; i < s.n; i++) {
			if (i && ((unsigned char)s.p[i] & 0xc0) != 0x80)
				buf_addc(kept, ' ');
			buf_addc(kept, s.p[i]);
		}
	} else {
		buf_adds(kept, s);
	}
}

/* All texts of an item (hypothesis first) as tokens; at most REFS_MAX references. */
struct texts {
	struct tokens t[1 + REFS_MAX];
	uint32_t *run[1 + REFS_MAX];
	size_t n;
};

/* Words of texts that stand one after the other in kept, ends[] being where each ends. */
static int number_texts(struct texts *x, struct metric_ngrams *g, struct buf *kept,
			const size_t *ends, struct err *e)
{
	uint32_t *v = metric_room(&g->texts[0], kept->n / 2 + x->n + 1, sizeof *v);
	uint32_t *run = metric_room(&g->texts[1], kept->n / 2 + x->n + 1, sizeof *run);
	size_t from = 0;
	size_t used = 0;

	if (!v || !run || begin(g, kept->n / 2 + x->n, e))
		return err_nomem(e);
	for (size_t k = 0; k < x->n; k++) {
		struct str rest = str_sub(buf_str(kept), from, ends[k]);
		struct str word;

		x->t[k] = (struct tokens){ v + used, 0 };
		x->run[k] = run + used;
		while (metric_split(&word, &rest))
			if (number_word(&x->t[k].v[x->t[k].n++], g, word, e))
				return -1;
		used += x->t[k].n;
		from = ends[k];
	}
	return 0;
}

static int bleu_stats(int64_t *sums, const struct metric *m, const struct metric_item *item,
		      struct metric_work *w, struct err *e)
{
	struct buf *kept = &w->text[0];
	int64_t counts[BLEU_ORDERS][3];
	size_t ends[1 + REFS_MAX];
	struct texts x = { .n = 1 };
	size_t closest;

	buf_reset(kept);
	bleu_text(kept, m, item->output, w);
	ends[0] = kept->n;
	for (size_t i = 0; i < item->n_refs && i < REFS_MAX; i++) {
		bleu_text(kept, m, item->refs[i].text, w);
		ends[x.n++] = kept->n;
	}
	if (buf_check(kept, e) || number_texts(&x, w->ngrams, kept, ends, e) ||
	    match_orders(counts, w->ngrams, x.t, x.n, x.run, BLEU_ORDERS, e))
		return -1;
	closest = x.t[1].n;
	for (size_t k = 2; k < x.n; k++) { /* the closest length; of two the shorter */
		int64_t d = llabs((int64_t)x.t[k].n - (int64_t)x.t[0].n);
		int64_t best = llabs((int64_t)closest - (int64_t)x.t[0].n);

		if (d < best || (d == best && x.t[k].n < closest))
			closest = x.t[k].n;
	}
	sums[S_HYP_LEN] += (int64_t)x.t[0].n;
	sums[S_REF_LEN] += (int64_t)closest;
	for (int k = 0; k < BLEU_ORDERS; k++) {
		sums[S_CORRECT + k] += counts[k][2];
		sums[S_TOTAL + k] += counts[k][0];
	}
	return 0;
}

/* sacrebleu's compute_bleu; a sentence is scored with effective order. */
static double bleu_score(const int64_t *sums, const struct metric *m, bool sentence)
{
	double log_sum = 0;
	double smooth = 1;
	double bp = 1;
	int orders = BLEU_ORDERS;
	int effective = BLEU_ORDERS;
	bool any = false;
	double precision[BLEU_ORDERS] = { 0 };

	for (int k = 0; k < BLEU_ORDERS; k++)
		any |= sums[S_CORRECT + k] > 0;
	if (!any)
		return 0;
	if (sums[S_HYP_LEN] < sums[S_REF_LEN])
		bp = exp(1 - (double)sums[S_REF_LEN] / (double)sums[S_HYP_LEN]);
	for (int k = 0; k < orders; k++) {
		double correct = (double)sums[S_CORRECT + k];
		double total = (double)sums[S_TOTAL + k];

		if (m->smooth == SMOOTH_ADD_K && k > 0) {
			correct++;
			total++;
		}
		if (total == 0)
			break;
		if (sentence)
			effective = k + 1;
		if (correct == 0 && m->smooth == SMOOTH_EXP) {
			smooth *= 2;
			precision[k] = 100 / (smooth * total);
		} else if (correct == 0 && m->smooth == SMOOTH_FLOOR) {
			precision[k] = 100 * 0.1 / total;
		} else {
			precision[k] = 100 * correct / total;
		}
	}
	for (int k = 0; k < effective; k++)
		log_sum += precision[k] == 0 ? -9999999999.0
					     : log(precision[k]); /* sacrebleu's my_log */
	return bp * exp(log_sum / effective);
}

/* ---- chrF ---------------------------------------------------------------------------------- */

#define CHRF_CHARS 6
#define CHRF_WORDS 2

/* Words with one punctuation mark split off: the last character, else the first. */
static void chrf_words(struct buf *kept, struct str s)
{
	struct str word;

	while (metric_split(&word, &s)) {
		size_t last = utf8_border(word, word.n - 1);
		char a = word.p[0];
		char z = word.p[word.n - 1];

		if (last > 0 && metric_is_punctuation(z)) {
			buf_add(kept, word.p, last);
			buf_addc(kept, ' ');
			buf_addc(kept, z);
		} else if (last > 0 && metric_is_punctuation(a)) {
			buf_addc(kept, a);
			buf_addc(kept, ' ');
			buf_add(kept, word.p + 1, word.n - 1);
		} else {
			buf_adds(kept, word);
		}
		buf_addc(kept, ' ');
	}
}

/* Code points of s without blanks. */
static struct tokens chrf_chars(struct metric_array *room, struct str s)
{
	struct tokens t = { metric_room(room, s.n + 1, sizeof *t.v), 0 };
	unsigned len = 1;

	for (size_t i = 0; i < s.n && t.v; i += len) {
		uint32_t cp = utf8_get(s.p + i, s.p + s.n, &len);

		if (!metric_is_space(cp))
			t.v[t.n++] = cp;
	}
	return t;
}

/* Mean precision and recall over the orders that both texts have, then F with beta 2. */
static double chrf_f(const int64_t counts[][3], size_t orders)
{
	double p = 0;
	double r = 0;
	int effective = 0;

	for (size_t k = 0; k < orders; k++) {
		if (counts[k][0] == 0 || counts[k][1] == 0)
			continue;
		p += (double)counts[k][2] / (double)counts[k][0];
		r += (double)counts[k][2] / (double)counts[k][1];
		effective++;
	}
	if (!effective || p + r == 0)
		return 0;
	p /= effective;
	r /= effective;
	return 100 * (5 * p * r / (4 * p + r));
}

static int chrf_pair(int64_t counts[][3], const struct metric *m, struct str hyp, struct str ref,
		     struct metric_work *w, struct err *e)
{
	struct metric_ngrams *g = w->ngrams;
	struct tokens t[2] = { chrf_chars(&g->texts[0], hyp), chrf_chars(&g->texts[2], ref) };
	uint32_t *run[2] = { metric_room(&g->texts[1], hyp.n + 1, sizeof **run),
			     metric_room(&g->texts[3], ref.n + 1, sizeof **run) };
	struct texts x = { .n = 2 };
	size_t ends[2];

	if (!t[0].v || !t[1].v || !run[0] || !run[1])
		return err_nomem(e);
	if (match_orders(counts, g, t, 2, run, CHRF_CHARS, e))
		return -1;
	if (m->def->variant) { /* chrF++ */
		buf_reset(&w->text[0]);
		chrf_words(&w->text[0], hyp);
		ends[0] = w->text[0].n;
		chrf_words(&w->text[0], ref);
		ends[1] = w->text[0].n;
		if (buf_check(&w->text[0], e) || number_texts(&x, g, &w->text[0], ends, e) ||
		    match_orders(counts + CHRF_CHARS, g, x.t, 2, x.run, CHRF_WORDS, e))
			return -1;
	}
	for (size_t k = 0; k < CHRF_CHARS + (m->def->variant ? CHRF_WORDS : 0); k++)
		if (counts[k][1] == 0) /* no hit counts where the reference has no such n-gram */
			counts[k][0] = 0;
	return 0;
}

static size_t chrf_orders(const struct metric *m)
{
	return CHRF_CHARS + (m->def->variant ? CHRF_WORDS : 0);
}

/* Of several references the one with the best F. */
static int chrf_stats(int64_t *sums, const struct metric *m, const struct metric_item *item,
		      struct metric_work *w, struct err *e)
{
	int64_t counts[ORDERS_MAX][3] = { { 0 } };
	int64_t best[ORDERS_MAX][3] = { { 0 } };
	struct str hyp = item->output;
	double top = -1;

	if (m->ignore_case) {
		buf_reset(&w->text[1]);
		metric_lower(&w->text[1], hyp);
		hyp = buf_str(&w->text[1]);
	}
	for (size_t i = 0; i < item->n_refs; i++) {
		struct str ref = item->refs[i].text;
		double f;

		if (m->ignore_case) {
			buf_reset(&w->text[2]);
			metric_lower(&w->text[2], ref);
			ref = buf_str(&w->text[2]);
		}
		if (chrf_pair(counts, m, hyp, ref, w, e))
			return -1;
		f = chrf_f((const int64_t(*)[3])counts, chrf_orders(m));
		if (f > top) {
			top = f;
			memcpy(best, counts, sizeof best);
		}
	}
	for (size_t k = 0; k < chrf_orders(m); k++)
		for (size_t i = 0; i < 3; i++)
			sums[3 * k + i] += best[k][i];
	return 0;
}

static double chrf_score(const int64_t *sums, const struct metric *m, bool sentence)
{
	int64_t counts[ORDERS_MAX][3];

	(void)sentence;
	for (size_t k = 0; k < chrf_orders(m); k++)
		for (size_t i = 0; i < 3; i++)
			counts[k][i] = sums[3 * k + i];
	return chrf_f((const int64_t(*)[3])counts, chrf_orders(m));
}

/* ---- ROUGE --------------------------------------------------------------------------------- */

/* Lower case; runs of a-z and 0-9 are words. */
static void rouge_text(struct buf *kept, struct buf *lower, struct str s)
{
	buf_reset(lower);
	metric_lower(lower, s);
	for (size_t i = 0; i < lower->n; i++)
		if (!digit(lower->p[i]) && !(lower->p[i] >= 'a' && lower->p[i] <= 'z'))
			lower->p[i] = ' ';
	buf_adds(kept, buf_str(lower));
}

/*
 * Length of the longest common subsequence, bit by bit: V' = (V + (V & M)) | (V & ~M), the answer
 * being the zeros of V (Hyyro 2004). One word of 64 positions of a after the other; carry[j] is
 * what it hands on at b's token j.
 */
static int lcs(size_t *out, struct metric_work *w, const struct tokens *a, const struct tokens *b,
	       uint32_t n_ids, struct err *e)
{
	uint64_t *mask = metric_room(&w->array[0], (size_t)n_ids + 1, sizeof *mask); /* by token */
	uint8_t *carry = metric_room(&w->array[1], b->n + 1, sizeof *carry);

	*out = 0;
	if (!mask || !carry)
		return err_nomem(e);
	memset(mask, 0, n_ids * sizeof *mask);
	memset(carry, 0, b->n);
	for (size_t from = 0; from < a->n; from += 64) {
		size_t n = a->n - from < 64 ? a->n - from : 64;
		uint64_t v = ~(uint64_t)0;

		for (size_t i = 0; i < n; i++)
			mask[a->v[from + i]] |= (uint64_t)1 << i;
		for (size_t j = 0; j < b->n; j++) {
			uint64_t m = mask[b->v[j]];
			uint64_t sum;
			bool over = __builtin_add_overflow(v, v & m, &sum);

			over |= __builtin_add_overflow(sum, (uint64_t)carry[j], &sum);
			carry[j] = over;
			v = sum | (v & ~m);
		}
		for (size_t i = 0; i < n; i++) {
			*out += !(v >> i & 1);
			mask[a->v[from + i]] = 0;
		}
	}
	return 0;
}

/* F1 of n-gram overlap (variant 1, 2, …) or of the longest common subsequence (0); the best
 * reference. */
static int rouge(double *out, const struct metric *m, const struct metric_item *item,
		 struct metric_work *w, struct err *e)
{
	size_t order = (size_t)m->def->variant;
	struct buf *kept = &w->text[0];

	*out = 0;
	for (size_t i = 0; i < item->n_refs; i++) {
		int64_t counts[ORDERS_MAX][3] = { { 0 } };
		struct texts x = { .n = 2 };
		size_t ends[2];
		size_t common, hyp, ref;
		double p, r;

		buf_reset(kept);
		rouge_text(kept, &w->text[1], item->output);
		buf_addc(kept, ' ');
		ends[0] = kept->n;
		rouge_text(kept, &w->text[1], item->refs[i].text);
		ends[1] = kept->n;
		if (buf_check(kept, e) || number_texts(&x, w->ngrams, kept, ends, e))
			return -1;
		if (order == 0) {
			if (lcs(&common, w, &x.t[0], &x.t[1], w->ngrams->n_ids, e))
				return -1;
			hyp = x.t[0].n;
			ref = x.t[1].n;
		} else {
			if (match_orders(counts, w->ngrams, x.t, 2, x.run, order, e))
				return -1;
			hyp = (size_t)counts[order - 1][0];
			ref = (size_t)counts[order - 1][1];
			common = (size_t)counts[order - 1][2];
		}
		p = (double)common / (double)(hyp ? hyp : 1);
		r = (double)common / (double)(ref ? ref : 1);
		if (p + r > 0 && 2 * p * r / (p + r) > *out)
			*out = 2 * p * r / (p + r);
	}
	return 0;
}

/* ---- table --------------------------------------------------------------------------------- */

static int sentence(double *out, const struct metric *m, const struct metric_item *item,
		    struct metric_work *w, struct err *e)
{
	int64_t sums[METRIC_SUMS] = { 0 };

	if (m->def->stats(sums, m, item, w, e))
		return -1;
	*out = m->def->corpus(sums, m, true);
	return 0;
}

#define NEEDS (METRIC_OUTPUT | METRIC_REFS)
const struct metric_def metric_ngram_defs[] = {
	{ .info = { "bleu", NEEDS, false, false, "tok smooth ignore_case extract find",
		    "BLEU of the sentence, 0 to 100 (sacrebleu, effective order); report -M gives "
		    "that of the corpus" },
	  .score = sentence,
	  .version = "sacrebleu-2.6",
	  .stats = bleu_stats,
	  .corpus = bleu_score },
	{ .info = { "chrf", NEEDS, false, false, "ignore_case extract find",
		    "chrF2, 0 to 100 (sacrebleu)" },
	  .score = sentence,
	  .version = "sacrebleu-2.6",
	  .stats = chrf_stats,
	  .corpus = chrf_score },
	{ .info = { "chrf++", NEEDS, false, false, "ignore_case extract find",
		    "chrF2++, 0 to 100 (sacrebleu)" },
	  .score = sentence,
	  .variant = 1,
	  .version = "sacrebleu-2.6",
	  .stats = chrf_stats,
	  .corpus = chrf_score },
	{ .info = { "rouge1", NEEDS, false, false, "extract find",
		    "F1 of words in common (rouge-score)" },
	  .score = rouge,
	  .variant = 1,
	  .version = "rouge-score-0.1.2" },
	{ .info = { "rouge2", NEEDS, false, false, "extract find",
		    "F1 of pairs of words in common (rouge-score)" },
	  .score = rouge,
	  .variant = 2,
	  .version = "rouge-score-0.1.2" },
	{ .info = { "rougeL", NEEDS, false, false, "extract find",
		    "F1 of the longest common subsequence (rouge-score)" },
	  .score = rouge,
	  .variant = 0,
	  .version = "rouge-score-0.1.2" },
	{ .info = { .name = NULL } },
};
