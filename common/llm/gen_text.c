/*
 * gen_text: from tokens to text that may be shown. A byte is certain when its character is whole
 * and no stop string may begin at it or before it.
 */
#include "config.h"
#include "llm/gen_impl.h"

void gen_text_init(struct gen_text *t, const struct llm_stops *stops)
{
	*t = (struct gen_text){ .stops = stops };
	buf_init(&t->raw, BUF_MAX_LINE / 4);
	for (size_t i = 0; i < stops->n; i++)
		t->longest_stop = stops->v[i].n > t->longest_stop ? stops->v[i].n : t->longest_stop;
}

void gen_text_release(struct gen_text *t)
{
	buf_release(&t->raw);
}

int gen_text_add(bool *stopped, struct gen_text *t, struct str bytes, struct err *e)
{
	size_t old = t->raw.n, from, first;

	*stopped = false;
	buf_adds(&t->raw, bytes);
	if (buf_check(&t->raw, e))
		return -1;
	from = old > t->longest_stop ? old - t->longest_stop : 0;
	first = t->raw.n;
	for (size_t i = 0; i < t->stops->n; i++) {
		size_t at = t->stops->v[i].n ? str_find(buf_str(&t->raw), t->stops->v[i], from)
					     : t->raw.n;

		first = at < first ? at : first;
	}
	if (first < t->raw.n) {
		t->raw.n = first;
		*stopped = true;
	}
	return 0;
}

/* How many of the last bytes may be the beginning of a stop string. */
static size_t held_back(const struct gen_text *t)
{
	struct str s = buf_str(&t->raw);

	for (size_t n = t->longest_stop; n > 0; n--)
		for (size_t i = 0; i < t->stops->n; i++)
			if (n < t->stops->v[i].n && n <= s.n &&
			    str_starts(t->stops->v[i], str_sub(s, s.n - n, s.n)))
				return n;
	return 0;
}

int gen_text_take(struct str *out, struct buf *clean, struct gen_text *t, bool end, struct err *e)
{
	struct str s = buf_str(&t->raw);
	size_t had = clean->n, upto = s.n;

	if (!end) {
		upto -= held_back(t);
		upto = upto > t->sent ? t->sent + utf8_whole(str_sub(s, t->sent, upto)) : t->sent;
	}
	while (t->sent < upto) {
		struct str rest = str_sub(s, t->sent, upto);
		size_t good = utf8_valid(rest);
		unsigned bad = 0;

		buf_add(clean, rest.p, good);
		if (good < rest.n) {
			utf8_get(rest.p + good, rest.p + rest.n, &bad);
			buf_addz(clean, "\xef\xbf\xbd"); /* U+FFFD */
		}
		t->sent += good + bad;
	}
	*out = (struct str){ clean->n > had ? clean->p + had : "", clean->n - had };
	return buf_check(clean, e);
}
