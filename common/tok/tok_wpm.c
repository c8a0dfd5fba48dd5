/* WordPiece: the longest piece that begins a word, then the longest that goes on, …; unk for all of it if one is missing. */
#include "config.h"
#include "tok/tok_impl.h"

int tok_wpm_word(struct tok_word *w, const struct tok *t, const char *p, size_t n, struct err *e)
{
	w->n = 0;
	if (n > t->max_word && utf8_count((struct str){ p, n }) > t->max_word)
		return tok_word_push(w, t->unk, 0, n, e);
	for (size_t i = 0; i < n;) {
		size_t end = n - i > t->max_len ? i + t->max_len : n;
		int32_t id = -1;

		for (; end > i; end--) {
			if (end < n && ((uint8_t)p[end] & 0xc0) == 0x80)
				continue;
			id = tok_lookup(t, p + i, end - i, i ? TOK_INNER : TOK_PLAIN);
			if (id >= 0)
				break;
		}
		if (id < 0) {
			w->n = 0;
			return tok_word_push(w, t->unk, 0, n, e);
		}
		if (tok_word_push(w, id, i, end - i, e))
			return -1;
		i = end;
	}
	return 0;
}
