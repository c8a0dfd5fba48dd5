/*
 * Cutting texts by tokens. A slice of a text may have more or fewer tokens than its share of the whole, so each slice is
 * counted again before it is given out, and made smaller until it fits.
 */
#include "config.h"
#include "tok/tok_impl.h"
#include "tok/unicode_impl.h"

#define CHAR_TOKENS 5 /* the most that one character takes: four byte tokens and a blank */

size_t tok_chunk_min(const struct tok *t, unsigned flags)
{
	return (flags & TOK_ADD_SPECIAL ? t->n_head + t->n_tail : 0) + CHAR_TOKENS;
}

/* The text as tokens of its own, none around it. */
struct cutter {
	struct tok_enc *x;
	struct str text;
	struct tok_ids ids;
	struct tok_spans spans;
	const struct tok_chunk_opts *o;
	size_t budget; /* tokens of text in a chunk */
};

static int cutter_init(struct cutter *c, struct tok_enc *x, struct str text, unsigned flags, struct err *e)
{
	c->x = x;
	c->text = text;
	return tok_encode(&c->ids, &c->spans, x, text, flags & ~(unsigned)TOK_ADD_SPECIAL, e);
}
static void cutter_release(struct cutter *c)
{
	tok_ids_release(&c->ids);
	free(c->spans.v);
}

/* The first token that ends behind byte `at`. */
static size_t token_at(const struct cutter *c, size_t at)
{
	size_t lo = 0, hi = c->spans.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->spans.v[mid].end <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The largest border of characters that is no larger, but behind `from`. */
static size_t char_border(struct str s, size_t from, size_t at)
{
	at = utf8_border(s, at);
	if (at <= from) {
		at = from;
		uni_next((const uint8_t *)s.p, &at);
	}
	return at;
}

/* ---- borders in [from, to] that are better than between two tokens; 0: there is none */

static bool newline(char c)
{
	return c == '\n' || c == '\r';
}

/* Behind the last blank line. */
static size_t last_paragraph(struct str s, size_t from, size_t to)
{
	size_t best = 0;
	unsigned lines = 0;

	for (size_t i = from; i < to; i++)
		if (s.p[i] == '\n') {
			if (++lines >= 2)
				best = i + 1;
		} else if (s.p[i] != ' ' && s.p[i] != '\t' && s.p[i] != '\r') {
			lines = 0;
		}
	return best;
}

/* Is `at` behind the mark that ends a sentence, but for white space? A line's end is no end of a sentence. */
static bool ends_sentence(struct str s, size_t from, size_t at)
{
	const uint8_t *p = (const uint8_t *)s.p;

	while (at > from) {
		size_t i = uni_prev(p, at), next = i;
		uint32_t r = uni_record(uni_next(p, &next));

		if (!(r & UNI_R_WS)) {
			enum uni_sb c = UNI_R_SB(r);

			return c == UNI_SB_STERM || c == UNI_SB_ATERM || c == UNI_SB_CLOSE;
		}
		at = i;
	}
	return false;
}

/* Where the sentence at i ends; behind `to` when it is not known to end before. What follows a full stop decides: LOOK bytes
 * of it are looked at, lest each piece of a text without sentences reads all of it. */
#define LOOK 1024
static size_t sentence_end(struct str s, size_t i, size_t to)
{
	size_t end = s.n - to > LOOK ? to + LOOK : s.n;

	return uni_sentence_end(str_sub(s, 0, utf8_border(s, end)), i);
}

static size_t last_sentence(struct str s, size_t from, size_t to)
{
	size_t best = 0, i = from;

	while (i < to) {
		i = sentence_end(s, i, to);
		if (i <= to && ends_sentence(s, from, i))
			best = i;
	}
	return best;
}

/* Behind the last line. */
static size_t last_line(struct str s, size_t from, size_t to)
{
	while (to > from && s.p[to - 1] != '\n')
		to--;
	return to > from ? to : 0;
}

/* In front of the last run of white space (the blank belongs to the word behind it in most vocabularies); newlines stay with
 * what stands before them. */
static size_t last_word(struct str s, size_t from, size_t to)
{
	const uint8_t *p = (const uint8_t *)s.p;
	size_t i = to;

	while (i > from) {
		size_t at = i, prev = uni_prev(p, i), next = prev;
		bool before = uni_record(uni_next(p, &next)) & UNI_R_WS, after = true;

		if (at < s.n) {
			next = at;
			after = uni_record(uni_next(p, &next)) & UNI_R_WS;
		}
		if ((!before && after && !(at < s.n && newline(s.p[at]))) || (before && newline(s.p[prev]) && !after))
			return at;
		i = prev;
	}
	return 0;
}

/* The best place to end a piece of [from, to]. */
static size_t best_end(const struct cutter *c, size_t from, size_t to)
{
	const enum tok_cut cut = c->o->cut;
	const size_t middle = from + (to - from) / 2, half = cut == TOK_CUT_AUTO ? middle : from;
	size_t at;

	if (cut == TOK_CUT_TOKEN)
		return to;
	if (cut != TOK_CUT_SENTENCE && (at = last_paragraph(c->text, from, to)) > half)
		return at;
	if ((at = last_sentence(c->text, from, to)) > half)
		return at;
	if ((at = last_line(c->text, from, to)) > middle)
		return at;
	if ((at = last_word(c->text, from, to)) > from)
		return at;
	return to;
}

/* Where the next piece begins, given that one ended at `end`: as far back as the overlap reaches, at a sentence or a word. */
static size_t next_start(const struct cutter *c, size_t start, size_t end)
{
	size_t k = token_at(c, end - 1) + 1, from, at;

	if (!c->o->overlap)
		return end;
	k = k > c->o->overlap ? k - c->o->overlap : 0;
	if (k >= c->spans.n)
		return end;
	from = c->spans.v[k].start;
	from = from <= start ? char_border(c->text, start, start) : char_border(c->text, start, from);
	if (from >= end)
		return end;
	if (c->o->cut == TOK_CUT_TOKEN)
		return from;
	/* the first sentence that begins in there, else the first word */
	for (at = start; at < from;) {
		at = sentence_end(c->text, at, end);
		if (at >= from && ends_sentence(c->text, start, at))
			break;
	}
	if (at >= from && at < end && ends_sentence(c->text, start, at))
		return at;
	for (at = from; at < end; at++)
		if (at > from && c->text.p[at] == ' ' && c->text.p[at - 1] != ' ')
			return at;
	return from;
}

static int push(struct tok_chunks *out, struct tok_chunk k, struct err *e)
{
	if (out->n == out->cap) {
		size_t cap = out->cap ? out->cap * 2 : 32;
		struct tok_chunk *v = ckd_realloc(out->v, cap, sizeof *v);

		if (!v)
			return err_nomem(e);
		out->v = v;
		out->cap = cap;
	}
	out->v[out->n++] = k;
	return 0;
}

static bool only_blanks(struct str s)
{
	for (size_t i = 0; i < s.n;)
		if (!(uni_record(uni_next((const uint8_t *)s.p, &i)) & UNI_R_WS))
			return false;
	return true;
}

/* The piece from `start`: as many tokens as fit, ended at the best place, counted. */
static int one_chunk(struct tok_chunk *out, const struct cutter *c, size_t start, struct err *e)
{
	size_t first = token_at(c, start), n = c->budget;

	for (;;) {
		size_t to = first + n < c->spans.n ? c->spans.v[first + n].start : c->text.n, end, count;

		to = char_border(c->text, start, to);
		end = to == c->text.n ? to : best_end(c, start, to);
		if (tok_count(&count, c->x, str_sub(c->text, start, end), c->o->flags, e))
			return -1;
		if (count <= c->o->max) {
			*out = (struct tok_chunk){ start, end, count };
			return 0;
		}
		if (n <= 1)
			return err_set(e, ERR_UNSUPPORTED, "a character at byte %zu takes %zu tokens, over the limit of %zu", start,
				       count, c->o->max);
		n -= n > count - c->o->max ? count - c->o->max : n - 1;
	}
}

int tok_chunk(struct tok_chunks *out, struct tok_enc *x, struct str text, const struct tok_chunk_opts *o, struct err *e)
{
	const struct tok *t = tok_enc_tok(x);
	size_t around = tok_chunk_min(t, o->flags) - CHAR_TOKENS, at = 0;
	struct cutter c = { .o = o, .budget = o->max - around };
	int rc;

	if (o->max < tok_chunk_min(t, o->flags))
		return err_set(e, ERR_INVALID_FIELD, "chunks of %zu tokens are too small: %zu is the least", o->max,
			       tok_chunk_min(t, o->flags));
	rc = cutter_init(&c, x, text, o->flags, e);
	while (!rc && at < text.n) {
		struct tok_chunk k;
		size_t next;

		rc = one_chunk(&k, &c, at, e);
		if (rc)
			break;
		if (!only_blanks(str_sub(text, k.start, k.end)))
			rc = push(out, k, e);
		if (k.end == text.n)
			break;
		next = next_start(&c, k.start, k.end);
		/* what is repeated must leave room for something new */
		at = next > k.start ? next : k.end;
		if (at < k.end && o->overlap) {
			struct tok_chunk probe;

			if (one_chunk(&probe, &c, at, e))
				rc = -1;
			else if (probe.end <= k.end)
				at = k.end;
		}
	}
	cutter_release(&c);
	return rc ? -1 : 0;
}

int tok_truncate(struct tok_chunk *out, size_t *n_all, struct tok_enc *x, struct str text, size_t max, bool tail,
		 unsigned flags, struct err *e)
{
	const struct tok *t = tok_enc_tok(x);
	size_t around = tok_chunk_min(t, flags) - CHAR_TOKENS, n;
	struct cutter c = { 0 };
	int rc = cutter_init(&c, x, text, flags, e);

	*n_all = c.ids.n + around;
	if (!rc && *n_all <= max) {
		*out = (struct tok_chunk){ 0, text.n, *n_all };
		goto out;
	}
	for (n = max > around ? max - around : 0; !rc; n--) {
		size_t at = 0, count;

		if (tail) {
			at = n ? c.spans.v[c.spans.n - n].start : text.n;
			while (at < text.n && ((uint8_t)text.p[at] & 0xc0) == 0x80)
				at++;
			*out = (struct tok_chunk){ at, text.n, 0 };
		} else {
			at = n ? utf8_border(text, c.spans.v[n].start) : 0;
			*out = (struct tok_chunk){ 0, at, 0 };
		}
		rc = tok_count(&count, x, str_sub(text, out->start, out->end), flags, e);
		out->n_tokens = count;
		if (rc || count <= max)
			break;
		if (!n) {
			rc = err_set(e, ERR_INVALID_FIELD, "a limit of %zu tokens is less than the %zu around a text", max, around);
			break;
		}
	}
out:
	cutter_release(&c);
	return rc;
}
