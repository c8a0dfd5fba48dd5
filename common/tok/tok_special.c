/* Special tokens in a text: leftmost-longest, as Hugging Face's and SentencePiece's tokenizers have it. */
#include "config.h"
#include "tok/tok_impl.h"
#include "tok/unicode_impl.h"

static struct str text_of(const struct tok *t, int32_t id)
{
	return (struct str){ t->blob + t->off[id], t->off[id + 1] - t->off[id] };
}

static int by_text(const void *pa, const void *pb, void *arg)
{
	const struct tok_special *a = pa, *b = pb;
	int c = str_cmp(text_of(arg, a->id), text_of(arg, b->id));

	return c ? c : a->id < b->id ? -1 : a->id > b->id;
}

int tok_specials_build(struct tok_specials *s, const struct tok *t, const struct tok_special *v, size_t n, struct err *e)
{
	size_t k = 0;

	*s = (struct tok_specials){ .only = -1 };
	if (!n)
		return 0;
	s->v = ckd_alloc(n, sizeof *s->v);
	if (!s->v)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++)
		if (text_of(t, v[i].id).n)
			s->v[s->n++] = v[i];
	qsort_r(s->v, s->n, sizeof *s->v, by_text, (void *)(uintptr_t)t);
	for (size_t i = 0; i < s->n; i++) /* of equal texts the first id */
		if (!k || !str_eq(text_of(t, s->v[k - 1].id), text_of(t, s->v[i].id)))
			s->v[k++] = s->v[i];
	s->n = k;
	for (size_t c = 0, i = 0; c <= 256; c++) {
		while (i < s->n && (uint8_t)text_of(t, s->v[i].id).p[0] < c)
			i++;
		s->first[c] = (uint32_t)i;
	}
	for (int c = 0; c < 256; c++)
		if (s->first[c + 1] == s->n && s->first[c] == 0 && s->n)
			s->only = c;
	return 0;
}

void tok_specials_release(struct tok_specials *s)
{
	free(s->v);
	*s = (struct tok_specials){ 0 };
}

/* The longest special that text[at, …) begins with, or NULL: the range of those that agree so far gets narrower. */
static const struct tok_special *longest(const struct tok_specials *s, const struct tok *t, struct str text, size_t at)
{
	const struct tok_special *best = NULL;
	size_t lo = s->first[(uint8_t)text.p[at]], hi = s->first[(uint8_t)text.p[at] + 1];

	for (size_t d = 1; lo < hi; d++) {
		uint8_t c;
		size_t a = lo, b = hi;

		if (text_of(t, s->v[lo].id).n == d) { /* the shortest comes first */
			best = &s->v[lo];
			if (++lo == hi)
				break;
		}
		if (at + d >= text.n)
			break;
		c = (uint8_t)text.p[at + d];
		a = lo;
		while (a < b) { /* first with a byte >= c at d */
			size_t mid = a + (b - a) / 2;

			if ((uint8_t)text_of(t, s->v[mid].id).p[d] < c)
				a = mid + 1;
			else
				b = mid;
		}
		lo = a;
		b = hi;
		while (a < b) { /* first with a byte > c */
			size_t mid = a + (b - a) / 2;

			if ((uint8_t)text_of(t, s->v[mid].id).p[d] <= c)
				a = mid + 1;
			else
				b = mid;
		}
		hi = a;
	}
	return best;
}

static bool word_before(struct str text, size_t i)
{
	const uint8_t *s = (const uint8_t *)text.p;

	if (!i)
		return false;
	i = uni_prev(s, i);
	return uni_record(uni_next(s, &i)) & UNI_R_WORD;
}
static bool word_after(struct str text, size_t i)
{
	return i < text.n && (uni_record(uni_next((const uint8_t *)text.p, &i)) & UNI_R_WORD);
}

bool tok_specials_next(struct tok_hit *out, size_t *from, const struct tok_specials *s, const struct tok *t,
		       struct str text, size_t floor)
{
	const uint8_t *p = (const uint8_t *)text.p;
	size_t i = *from;

	while (s->n && i < text.n) {
		const struct tok_special *sp;
		size_t j, n;

		if (s->only >= 0) {
			const char *q = memchr(text.p + i, s->only, text.n - i);

			i = q ? (size_t)(q - text.p) : text.n;
		} else {
			while (i < text.n && s->first[p[i]] == s->first[p[i] + 1])
				i++;
		}
		if (i == text.n)
			break;
		sp = longest(s, t, text, i);
		if (!sp) {
			i++;
			continue;
		}
		n = text_of(t, sp->id).n;
		if ((sp->flags & TOK_SINGLE_WORD) && (word_before(text, i) || word_after(text, i + n))) {
			i += n;
			continue;
		}
		*out = (struct tok_hit){ i, i + n, sp->id };
		*from = i + n;
		while ((sp->flags & TOK_LSTRIP) && out->start > floor) {
			j = uni_prev(p, out->start);
			if (!(uni_record(uni_next(p, &j)) & UNI_R_WS))
				break;
			out->start = uni_prev(p, out->start);
		}
		while ((sp->flags & TOK_RSTRIP) && out->end < text.n) {
			j = out->end;
			if (!(uni_record(uni_next(p, &j)) & UNI_R_WS))
				break;
			out->end = j;
		}
		return true;
	}
	*from = text.n;
	return false;
}
