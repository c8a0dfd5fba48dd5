/*
 * Normalizers: a text to another, with the place in the original that each byte comes from. The operations run over code
 * points that carry their place, one after the other, as Hugging Face's NormalizedString does.
 */
#include "config.h"
#include "tok/tok_impl.h"
#include "tok/unicode_impl.h"

struct tok_char {
	uint32_t cp;
	struct tok_span from;
};

static void chars_release(struct tok_chars *c)
{
	free(c->cp);
	free(c->from);
}

void tok_normed_release(struct tok_normed *nd)
{
	buf_release(&nd->text);
	free(nd->map);
	chars_release(&nd->a);
	chars_release(&nd->b);
	*nd = (struct tok_normed){ 0 };
}

static int chars_room(struct tok_chars *c, size_t n, struct err *e)
{
	if (n > c->cap) {
		size_t cap = c->cap + c->cap / 2 > n ? c->cap + c->cap / 2 : n + 64;
		uint32_t *cp = ckd_realloc(c->cp, cap, sizeof *cp);

		if (!cp)
			return err_nomem(e);
		c->cp = cp;
		c->cap = cap;
	}
	if (c->places && c->n_from < c->cap) {
		struct tok_span *from = ckd_realloc(c->from, c->cap, sizeof *from);

		if (!from)
			return err_nomem(e);
		c->from = from;
		c->n_from = c->cap;
	}
	return 0;
}

static inline struct tok_char get(const struct tok_chars *c, size_t i)
{
	return (struct tok_char){ c->cp[i], c->places ? c->from[i] : (struct tok_span){ 0, 0 } };
}

static inline void set(struct tok_chars *c, size_t i, struct tok_char x)
{
	c->cp[i] = x.cp;
	if (c->places)
		c->from[i] = x.from;
}

static inline int add(struct tok_chars *c, uint32_t cp, struct tok_span from, struct err *e)
{
	if ((c->n == c->cap || (c->places && c->n == c->n_from)) && chars_room(c, c->n + 1, e))
		return -1;
	set(c, c->n++, (struct tok_char){ cp, from });
	return 0;
}

/* Where [i, i + k) come from. */
static struct tok_span over(const struct tok_chars *c, size_t i, size_t k)
{
	return c->places ? (struct tok_span){ c->from[i].start, c->from[i + k - 1].end } : (struct tok_span){ 0, 0 };
}

/* Words of BERT: the ideographs that each stand alone. The block from 0x2B920 is 0x2B820 in Unicode; the models were made
 * with this one. */
bool tok_is_cjk(uint32_t cp)
{
	return cp >= 0x3400 && ((cp >= 0x4e00 && cp <= 0x9fff) || cp <= 0x4dbf || (cp >= 0x20000 && cp <= 0x2a6df) ||
				(cp >= 0x2a700 && cp <= 0x2b73f) || (cp >= 0x2b740 && cp <= 0x2b81f) ||
				(cp >= 0x2b920 && cp <= 0x2ceaf) || (cp >= 0xf900 && cp <= 0xfaff) ||
				(cp >= 0x2f800 && cp <= 0x2fa1f));
}

unsigned tok_norm_bert(uint32_t *out, const struct tok *t, uint32_t cp)
{
	uint32_t d[UNI_DECOMP_MAX], c = uni_class(cp);
	unsigned n = 1, k = 0;

	if (t->clean_text) {
		bool line = cp == '\t' || cp == '\n' || cp == '\r';

		if (cp == 0xfffd || (!line && (c & (UNI_BIT(UNI_CC) | UNI_BIT(UNI_CF) | UNI_BIT(UNI_CN) | UNI_BIT(UNI_CO)))))
			return 0;
		if (line || (c & UNI_WS)) {
			out[0] = ' ';
			return 1;
		}
	}
	d[0] = cp;
	if (t->strip_accents)
		n = uni_decompose(d, cp, false);
	for (unsigned i = 0; i < n; i++) {
		if (t->strip_accents && (uni_class(d[i]) & UNI_BIT(UNI_MN)))
			continue;
		if (t->lowercase)
			k += uni_lower(out + k, d[i]);
		else
			out[k++] = d[i];
	}
	return k;
}

/* ---- Unicode normalization forms: UAX 15 */

/* Canonical order of the marks v[from, to): stable by class; counted, so that a long run costs no more than a short one. */
static int order_marks(struct tok_chars *c, size_t from, size_t to, struct err *e)
{
	size_t count[256] = { 0 }, sum = 0;
	struct tok_char few[32], *copy = few;
	bool sorted = true;

	for (size_t i = from; i < to; i++) {
		count[UNI_R_CCC(uni_record(c->cp[i]))]++;
		sorted &= i == from || UNI_R_CCC(uni_record(c->cp[i - 1])) <= UNI_R_CCC(uni_record(c->cp[i]));
	}
	if (sorted)
		return 0;
	if (to - from > sizeof few / sizeof few[0])
		copy = ckd_alloc(to - from, sizeof *copy);
	if (!copy)
		return err_nomem(e);
	for (size_t i = from; i < to; i++)
		copy[i - from] = get(c, i);
	for (size_t k = 0; k < 256; k++) {
		size_t n = count[k];

		count[k] = sum;
		sum += n;
	}
	for (size_t i = 0; i < to - from; i++)
		set(c, from + count[UNI_R_CCC(uni_record(copy[i].cp))]++, copy[i]);
	if (copy != few)
		free(copy);
	return 0;
}

static int decompose(struct tok_chars *out, const struct tok_chars *in, bool compat, struct err *e)
{
	size_t run = 0; /* where the marks began */

	out->n = 0;
	for (size_t i = 0; i < in->n; i++) {
		uint32_t d[UNI_DECOMP_MAX];
		unsigned n = uni_decompose(d, in->cp[i], compat);

		for (unsigned k = 0; k < n; k++) {
			unsigned ccc = UNI_R_CCC(uni_record(d[k]));
			size_t at = out->n;

			if (add(out, d[k], over(in, i, 1), e))
				return -1;
			/* the end of a run of marks: what follows is no mark */
			if (!ccc && at > run + 1 && order_marks(out, run, at, e))
				return -1;
			if (!ccc)
				run = at + 1;
		}
	}
	return out->n > run + 1 ? order_marks(out, run, out->n, e) : 0;
}

static void compose(struct tok_chars *c)
{
	size_t k = 0, starter = SIZE_MAX;
	unsigned last = 0; /* class of the mark before, among those that stayed */

	for (size_t i = 0; i < c->n; i++) {
		struct tok_char x = get(c, i);
		unsigned ccc = UNI_R_CCC(uni_record(x.cp));

		if (starter != SIZE_MAX && (k == starter + 1 || (last && last < ccc))) {
			uint32_t both = uni_compose(c->cp[starter], x.cp);

			if (both) {
				struct tok_span s = over(c, starter, 1);

				s.start = x.from.start < s.start ? x.from.start : s.start;
				s.end = x.from.end > s.end ? x.from.end : s.end;
				set(c, starter, (struct tok_char){ both, s });
				continue;
			}
		}
		if (!ccc)
			starter = k;
		last = ccc;
		set(c, k++, x);
	}
	c->n = k;
}

/* ---- the others */

static bool matches(const struct tok_chars *in, size_t at, const char *a, size_t na, size_t *len)
{
	size_t i = 0, j = at;

	while (i < na) {
		if (j == in->n || uni_next((const uint8_t *)a, &i) != in->cp[j])
			return false;
		j++;
	}
	*len = j - at;
	return true;
}

static int add_text(struct tok_chars *out, const char *p, size_t n, struct tok_span from, struct err *e)
{
	for (size_t i = 0; i < n;)
		if (add(out, uni_next((const uint8_t *)p, &i), from, e))
			return -1;
	return 0;
}

static int replace(struct tok_chars *out, const struct tok_chars *in, const struct tok_norm *op, struct err *e)
{
	out->n = 0;
	for (size_t i = 0, k; i < in->n;) {
		bool hit;

		if (op->op == TOK_NORM_BLANKS) {
			for (k = 0; i + k < in->n && in->cp[i + k] == ' '; k++)
				;
			hit = k >= 2;
		} else {
			hit = op->na && matches(in, i, op->a, op->na, &k);
		}
		if (hit) {
			if (add_text(out, op->b, op->nb, over(in, i, k), e))
				return -1;
			i += k;
		} else {
			if (add(out, in->cp[i], over(in, i, 1), e))
				return -1;
			i++;
		}
	}
	return 0;
}

static int bert(struct tok_chars *out, const struct tok_chars *in, const struct tok *t, struct err *e)
{
	out->n = 0;
	for (size_t i = 0; i < in->n; i++) {
		struct tok_char x = get(in, i);
		uint32_t d[2 * UNI_DECOMP_MAX];
		unsigned n = tok_norm_bert(d, t, x.cp);
		bool alone = t->chinese && tok_is_cjk(x.cp);

		if (alone && add(out, ' ', x.from, e))
			return -1;
		for (unsigned k = 0; k < n; k++)
			if (add(out, d[k], x.from, e))
				return -1;
		if (alone && add(out, ' ', x.from, e))
			return -1;
	}
	return 0;
}

static bool blank(uint32_t cp)
{
	return uni_record(cp) & UNI_R_WS;
}

static void filter(struct tok_chars *c, enum tok_norm_op op)
{
	size_t k = 0, from = 0, to = c->n;

	if (op == TOK_NORM_STRIP_LEFT)
		while (from < to && blank(c->cp[from]))
			from++;
	if (op == TOK_NORM_STRIP_RIGHT)
		while (from < to && blank(c->cp[to - 1]))
			to--;
	for (size_t i = from; i < to; i++)
		if (op != TOK_NORM_STRIP_ACCENTS || !(uni_class(c->cp[i]) & UNI_BIT(UNI_MN)))
			set(c, k++, get(c, i));
	c->n = k;
}

static int lower(struct tok_chars *out, const struct tok_chars *in, struct err *e)
{
	out->n = 0;
	for (size_t i = 0; i < in->n; i++) {
		uint32_t d[2];
		unsigned n = uni_lower(d, in->cp[i]);

		for (unsigned k = 0; k < n; k++)
			if (add(out, d[k], over(in, i, 1), e))
				return -1;
	}
	return 0;
}

/* White space at the ends away, one blank for each run inside: all of it, or U+0020 alone where a is a blank. */
static int spaces(struct tok_chars *out, const struct tok_chars *in, const struct tok_norm *op, struct err *e)
{
	bool due = false;

	out->n = 0;
	for (size_t i = 0; i < in->n; i++) {
		struct tok_char x = get(in, i);

		if (op->na ? x.cp == ' ' : blank(x.cp)) {
			due = out->n > 0;
			continue;
		}
		if (due && add(out, ' ', over(in, i - 1, 1), e))
			return -1;
		due = false;
		if (add(out, x.cp, x.from, e))
			return -1;
	}
	return 0;
}

/* NMT's cleaning: controls away, white space and what looks like it to blanks (tokenizers:src/normalizers/unicode.rs). */
static void nmt(struct tok_chars *c)
{
	size_t k = 0;

	for (size_t i = 0; i < c->n; i++) {
		uint32_t cp = c->cp[i];

		if ((cp >= 1 && cp <= 8) || cp == 0xb || (cp >= 0xe && cp <= 0x1f) || cp == 0x7f || cp == 0x8f || cp == 0x9f)
			continue;
		set(c, k, get(c, i));
		if (cp == 9 || cp == 0xa || cp == 0xc || cp == 0xd || cp == 0x1680 || (cp >= 0x200b && cp <= 0x200f) ||
		    cp == 0x2028 || cp == 0x2029 || cp == 0x2581 || cp == 0xfeff || cp == 0xfffd)
			c->cp[k] = ' ';
		k++;
	}
	c->n = k;
}

/* ---- SentencePiece's map: a double array of 32-bit units over UTF-8 keys (Darts-clone), then the replacements */

static uint32_t unit(const struct tok_norm *op, size_t i)
{
	uint32_t u;

	memcpy(&u, op->a + i * 4, 4);
	return u;
}
static size_t unit_base(uint32_t u)
{
	return (size_t)(u >> 10) << ((u & (1u << 9)) >> 6);
}

/* The longest key at v[at, …): its length in characters and the replacement; 0 when there is none. */
static size_t charsmap_match(struct str *out, const struct tok_norm *op, const struct tok_chars *in, size_t at)
{
	size_t n = op->na / 4, pos = unit_base(unit(op, 0)), len = 0;

	for (size_t i = at; i < in->n; i++) {
		char c[4];
		unsigned k = utf8_put(c, in->cp[i]);

		for (unsigned b = 0; b < k; b++) {
			uint32_t u;

			pos ^= (uint8_t)c[b];
			if (!c[b] || pos >= n)
				return len;
			u = unit(op, pos);
			if ((u & (1u << 31 | 0xff)) != (uint8_t)c[b])
				return len;
			pos ^= unit_base(u);
			if (pos >= n)
				return len;
			if (u >> 8 & 1 && b + 1 == k) {
				size_t value = unit(op, pos) & 0x7fffffff;

				if (value < op->nb) {
					*out = str_of(op->b + value); /* a NUL ends the block: checked on loading */
					len = i + 1 - at;
				}
			}
		}
	}
	return len;
}

static int charsmap(struct tok_chars *out, const struct tok_chars *in, const struct tok_norm *op, struct err *e)
{
	out->n = 0;
	for (size_t i = 0; i < in->n;) {
		struct str with = { 0 };
		size_t k = charsmap_match(&with, op, in, i);

		if (k ? add_text(out, with.p, with.n, over(in, i, k), e) :
			add(out, in->cp[i], over(in, i, 1), e))
			return -1;
		i += k ? k : 1;
	}
	return 0;
}

int tok_add_charsmap(struct tok *t, struct str map, struct err *e)
{
	uint32_t size;

	if (map.n < 4)
		return 0; /* none */
	memcpy(&size, map.p, 4);
	if (size > map.n - 4 || size < 4 || size % 4)
		return err_set(e, ERR_OPEN, "the map of characters is damaged");
	map = str_sub(map, 4, map.n);
	if (map.n == size || map.p[map.n - 1] || utf8_valid(str_sub(map, size, map.n)) < map.n - size)
		return err_set(e, ERR_OPEN, "the replacements in the map of characters are damaged");
	return tok_add_norm(t, TOK_NORM_CHARSMAP, str_sub(map, 0, size), str_sub(map, size, map.n), e);
}

static void swap(struct tok_normed *nd)
{
	struct tok_chars x = nd->a;

	nd->a = nd->b;
	nd->b = x;
}

static int prepend(struct tok_normed *nd, const struct tok_norm *op, struct err *e)
{
	uint32_t start;
	size_t len;

	if (!nd->a.n || (op->op == TOK_NORM_PREFIX && matches(&nd->a, 0, op->b, op->nb, &len)))
		return 0;
	nd->b.n = 0;
	start = over(&nd->a, 0, 1).start;
	if (add_text(&nd->b, op->b, op->nb, (struct tok_span){ start, start }, e))
		return -1;
	for (size_t i = 0; i < nd->a.n; i++)
		if (add(&nd->b, nd->a.cp[i], over(&nd->a, i, 1), e))
			return -1;
	swap(nd);
	return 0;
}

/* nd->a by one operation; nd->b is scratch. */
static int apply(struct tok_normed *nd, const struct tok *t, const struct tok_norm *op, struct err *e)
{
	if (chars_room(&nd->b, nd->a.n, e)) /* as most need */
		return -1;
	switch (op->op) {
	case TOK_NORM_NFC:
	case TOK_NORM_NFD:
	case TOK_NORM_NFKC:
	case TOK_NORM_NFKD:
		if (decompose(&nd->b, &nd->a, op->op == TOK_NORM_NFKC || op->op == TOK_NORM_NFKD, e))
			return -1;
		if (op->op == TOK_NORM_NFC || op->op == TOK_NORM_NFKC)
			compose(&nd->b);
		break;
	case TOK_NORM_LOWER:
		if (lower(&nd->b, &nd->a, e))
			return -1;
		break;
	case TOK_NORM_BERT:
		if (bert(&nd->b, &nd->a, t, e))
			return -1;
		break;
	case TOK_NORM_REPLACE:
	case TOK_NORM_BLANKS:
		if (replace(&nd->b, &nd->a, op, e))
			return -1;
		break;
	case TOK_NORM_SPACES:
		if (spaces(&nd->b, &nd->a, op, e))
			return -1;
		break;
	case TOK_NORM_CHARSMAP:
		if (charsmap(&nd->b, &nd->a, op, e))
			return -1;
		break;
	case TOK_NORM_NMT:
		nmt(&nd->a);
		return 0;
	case TOK_NORM_PREPEND:
	case TOK_NORM_PREFIX:
		return prepend(nd, op, e);
	default:
		filter(&nd->a, op->op);
		return 0;
	}
	swap(nd);
	return 0;
}

static int to_text(struct tok_normed *nd, struct err *e)
{
	const struct tok_chars *c = &nd->a;
	size_t need = 0;

	for (size_t i = 0; i < c->n; i++)
		need += c->cp[i] < 0x80 ? 1 : c->cp[i] < 0x800 ? 2 : c->cp[i] < 0x10000 ? 3 : 4;
	if (!nd->text.max)
		buf_init(&nd->text, SIZE_MAX / 4);
	buf_reset(&nd->text);
	buf_grow(&nd->text, need);
	if (c->places && need >= nd->map_cap) {
		struct tok_span *m = ckd_realloc(nd->map, need + 1, sizeof *m);

		if (!m)
			return err_nomem(e);
		nd->map = m;
		nd->map_cap = need + 1;
	}
	for (size_t i = 0; i < c->n; i++) {
		char u[4];
		unsigned len = utf8_put(u, c->cp[i]);

		for (unsigned k = 0; c->places && k < len; k++)
			nd->map[nd->text.n + k] = c->from[i];
		buf_add(&nd->text, u, len);
	}
	return buf_check(&nd->text, e);
}

bool tok_norm_idle(const struct tok *t, struct str text)
{
	uint32_t look = 0;

	for (unsigned i = 0; i < t->n_norms; i++)
		switch (t->norms[i].op) {
		case TOK_NORM_NFC:
			look |= UNI_R_NFC;
			break;
		case TOK_NORM_NFD:
			look |= UNI_R_NFD;
			break;
		case TOK_NORM_NFKC:
			look |= UNI_R_NFKC;
			break;
		case TOK_NORM_NFKD:
			look |= UNI_R_NFKD;
			break;
		case TOK_NORM_REPLACE:
			if (str_find(text, (struct str){ t->norms[i].a, t->norms[i].na }, 0) < text.n)
				return false;
			break;
		default:
			return false;
		}
	/* a text whose characters are all in the form, in which no mark of a class but 0 stands, is in that form */
	for (size_t i = 0; look && i < text.n;) {
		const uint8_t *s = (const uint8_t *)text.p;
		uint32_t r;

		if (s[i] < 0x80) {
			i++;
			continue;
		}
		r = uni_record(uni_next(s, &i));
		if (r & look || UNI_R_CCC(r))
			return false;
	}
	return true;
}

int tok_normalize(struct tok_normed *nd, const struct tok *t, struct str text, bool first, bool places, struct err *e)
{
	nd->a.n = 0;
	nd->a.places = nd->b.places = places;
	if (chars_room(&nd->a, utf8_count(text), e))
		return -1;
	for (size_t i = 0; i < text.n;) {
		uint32_t start = (uint32_t)i, cp = uni_next((const uint8_t *)text.p, &i);

		if (add(&nd->a, cp, (struct tok_span){ start, (uint32_t)i }, e))
			return -1;
	}
	for (unsigned i = 0; i < t->n_norms; i++)
		if (!(t->norms[i].first_only && !first) && apply(nd, t, &t->norms[i], e))
			return -1;
	return to_text(nd, e);
}

int tok_fold(struct buf *out, struct str text, bool lower, struct err *e)
{
	static const struct tok ops[2] = { { .n_norms = 1, .norms[0].op = TOK_NORM_NFC },
					   { .n_norms = 2, .norms[0].op = TOK_NORM_LOWER, .norms[1].op = TOK_NORM_NFC } };
	struct tok_normed nd = { 0 };
	int rc = 0;

	if (tok_norm_idle(&ops[lower], text)) {
		buf_adds(out, text);
	} else {
		rc = tok_normalize(&nd, &ops[lower], text, true, false, e);
		if (!rc)
			buf_adds(out, buf_str(&nd.text));
	}
	tok_normed_release(&nd);
	return rc || buf_check(out, e) ? -1 : 0;
}
