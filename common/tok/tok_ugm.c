/* Unigram: the segmentation whose scores have the largest sum (Viterbi, Kudo 2018); unknown characters cost 10 more than the
 * worst piece. */
#include "config.h"
#include "tok/tok_impl.h"

struct tok_best {
	double score;
	uint32_t start;
	int32_t id; /* -1: unknown */
};

void tok_ugm_scores(struct tok *t)
{
	double min = 0;
	bool any = false;

	for (size_t id = 0; id < t->n; id++) {
		if (t->attr[id] == TOK_USER)
			t->scores[id] = 0;
		if (t->attr[id] != TOK_NORMAL)
			continue;
		min = any && min < (double)t->scores[id] ? min : (double)t->scores[id];
		any = true;
	}
	t->unk_score = min - 10;
}

static size_t char_len(uint8_t c)
{
	return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

static int room(struct tok_word *w, size_t n, struct err *e)
{
	struct tok_best *b;

	if (n <= w->best_cap)
		return 0;
	b = ckd_realloc(w->best, n, sizeof *b);
	if (!b)
		return err_nomem(e);
	w->best = b;
	w->best_cap = n;
	return 0;
}

int tok_ugm_word(struct tok_word *w, const struct tok *t, const char *p, size_t n, struct err *e)
{
	struct tok_best *best;
	size_t k = 0;

	w->n = 0;
	if (room(w, n + 1, e))
		return -1;
	best = w->best;
	for (size_t i = 0; i <= n; i++)
		best[i] = (struct tok_best){ 0, UINT32_MAX, -1 };
	for (size_t i = 0; i < n; i += char_len((uint8_t)p[i])) {
		size_t one = char_len((uint8_t)p[i]);
		bool single = false;

		for (size_t j = i + one; j <= n && j - i <= t->max_len; j += j < n ? char_len((uint8_t)p[j]) : 1) {
			int32_t id = tok_lookup(t, p + i, j - i, TOK_PLAIN);
			double s;

			if (id < 0)
				continue;
			s = best[i].score + (double)t->scores[id];
			single |= j == i + one;
			if (best[j].start == UINT32_MAX || s > best[j].score)
				best[j] = (struct tok_best){ s, (uint32_t)i, id };
		}
		if (!single && (best[i + one].start == UINT32_MAX || best[i].score + t->unk_score > best[i + one].score))
			best[i + one] = (struct tok_best){ best[i].score + t->unk_score, (uint32_t)i, -1 };
	}
	/* the way back, turned round in place */
	for (size_t j = n; j; j = best[j].start, k++)
		if (tok_word_push(w, best[j].id, best[j].start, j - best[j].start, e))
			return -1;
	for (size_t i = 0; i < k / 2; i++) {
		struct tok_sym x = w->v[i];

		w->v[i] = w->v[k - 1 - i];
		w->v[k - 1 - i] = x;
	}
	return tok_word_settle(w, t, p, e);
}
