#include "config.h"
#include "tok/unicode_impl.h"

unsigned uni_lower(uint32_t out[2], uint32_t cp)
{
	size_t lo = 0, hi = uni_n_lowers;

	if (cp < 0x80) {
		out[0] = cp - 'A' < 26 ? cp + 32 : cp;
		return 1;
	}
	if (cp == 0x130) { /* SpecialCasing.txt; the only unconditional one to lower case */
		out[0] = 'i';
		out[1] = 0x307;
		return 2;
	}
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (uni_lowers[mid].last < cp)
			lo = mid + 1;
		else
			hi = mid;
	}
	out[0] = cp;
	if (lo < uni_n_lowers && cp >= uni_lowers[lo].first &&
	    (cp - uni_lowers[lo].first) % uni_lowers[lo].step == 0)
		out[0] = (uint32_t)((int32_t)cp + uni_lowers[lo].distance);
	return 1;
}

static const struct uni_decomp *find_decomp(const struct uni_decomp *t, size_t n, uint32_t cp)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t[mid].cp < cp)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && t[lo].cp == cp ? &t[lo] : NULL;
}

/* Hangul syllables decompose and compose by arithmetic: The Unicode Standard, section 3.12. */
enum { S_BASE = 0xac00, L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11a7, L_N = 19, V_N = 21, T_N = 28 };

unsigned uni_decompose(uint32_t out[UNI_DECOMP_MAX], uint32_t cp, bool compat)
{
	const struct uni_decomp *d = NULL;

	out[0] = cp;
	if (!(uni_record(cp) & (compat ? UNI_R_NFKD : UNI_R_NFD)))
		return 1;
	if (cp - S_BASE < L_N * V_N * T_N) {
		uint32_t s = cp - S_BASE, t = s % T_N;

		out[0] = L_BASE + s / (V_N * T_N);
		out[1] = V_BASE + s % (V_N * T_N) / T_N;
		out[2] = T_BASE + t;
		return t ? 3 : 2;
	}
	if (compat)
		d = find_decomp(uni_compat, uni_n_compat, cp);
	if (!d)
		d = find_decomp(uni_canon, uni_n_canon, cp);
	if (!d)
		return 1;
	for (unsigned i = 0; i < d->n; i++)
		out[i] = uni_pool[d->at + i];
	return d->n;
}

uint32_t uni_compose(uint32_t a, uint32_t b)
{
	size_t lo = 0, hi = uni_n_pairs;

	if (a - L_BASE < L_N && b - V_BASE < V_N)
		return S_BASE + ((a - L_BASE) * V_N + (b - V_BASE)) * T_N;
	if (a - S_BASE < L_N * V_N * T_N && (a - S_BASE) % T_N == 0 && b - (T_BASE + 1) < T_N - 1)
		return a + (b - T_BASE);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct uni_pair *p = &uni_pairs[mid];

		if (p->a < a || (p->a == a && p->b < b))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < uni_n_pairs && uni_pairs[lo].a == a && uni_pairs[lo].b == b ? uni_pairs[lo].both : 0;
}

/* The sentence property of the character at i; *next is behind it and behind what SB5 lets it absorb. */
static enum uni_sb sb_at(struct str s, size_t i, size_t *next)
{
	const uint8_t *p = (const uint8_t *)s.p;
	enum uni_sb c = UNI_R_SB(uni_record(uni_next(p, &i)));

	if (c != UNI_SB_SEP && c != UNI_SB_CR && c != UNI_SB_LF)
		while (i < s.n) {
			size_t j = i;
			enum uni_sb x = UNI_R_SB(uni_record(uni_next(p, &j)));

			if (x != UNI_SB_EXTEND && x != UNI_SB_FORMAT)
				break;
			i = j;
		}
	*next = i;
	return c;
}

/* SB8: after ATerm Close* Sp*, does a lower-case letter come before any other letter, break or terminator? */
static bool goes_on_lower(struct str s, size_t i)
{
	while (i < s.n)
		switch (sb_at(s, i, &i)) {
		case UNI_SB_LOWER:
			return true;
		case UNI_SB_OLETTER:
		case UNI_SB_UPPER:
		case UNI_SB_SEP:
		case UNI_SB_CR:
		case UNI_SB_LF:
		case UNI_SB_STERM:
		case UNI_SB_ATERM:
			return false;
		default:
			break;
		}
	return false;
}

static bool is_sep(enum uni_sb c)
{
	return c == UNI_SB_SEP || c == UNI_SB_CR || c == UNI_SB_LF;
}

/* i is behind a terminator `term` whose last letter before was `before`: the end of the sentence, or 0 if it goes on. */
static size_t after_term(struct str s, size_t i, enum uni_sb term, enum uni_sb before)
{
	size_t next = i;
	enum uni_sb c = UNI_SB_OTHER;

	if (i < s.n) {
		c = sb_at(s, i, &next);
		if (term == UNI_SB_ATERM) {
			if (c == UNI_SB_NUMERIC) /* SB6 */
				return 0;
			if (c == UNI_SB_UPPER && (before == UNI_SB_UPPER || before == UNI_SB_LOWER)) /* SB7 */
				return 0;
		}
	}
	while (i < s.n && (c = sb_at(s, i, &next)) == UNI_SB_CLOSE)
		i = next;
	while (i < s.n && (c = sb_at(s, i, &next)) == UNI_SB_SP)
		i = next;
	if (i == s.n)
		return i;
	c = sb_at(s, i, &next);
	if (is_sep(c)) /* SB11: the separator belongs to the sentence */
		return c == UNI_SB_CR && next < s.n && s.p[next] == '\n' ? next + 1 : next;
	if (c == UNI_SB_SCONTINUE || c == UNI_SB_STERM || c == UNI_SB_ATERM) /* SB8a */
		return 0;
	if (term == UNI_SB_ATERM && goes_on_lower(s, i)) /* SB8 */
		return 0;
	return i;
}

size_t uni_sentence_end(struct str s, size_t from)
{
	enum uni_sb before = UNI_SB_OTHER;
	size_t i = from;

	while (i < s.n) {
		size_t next, end;
		enum uni_sb c = sb_at(s, i, &next);

		if (is_sep(c)) /* SB3, SB4 */
			return c == UNI_SB_CR && next < s.n && s.p[next] == '\n' ? next + 1 : next;
		if (c == UNI_SB_STERM || c == UNI_SB_ATERM) {
			end = after_term(s, next, c, before);
			if (end)
				return end;
		}
		before = c;
		i = next;
	}
	return s.n;
}
