/* What the loaders share, and decoding. */
#include "config.h"
#include "tok/tok_impl.h"
#include "tok/unicode_impl.h"

/* GPT-2 writes each byte of a token as a printable character: those that are printable in Latin-1 as themselves, the
 * others as U+0100, U+0101, … in ascending order. */
static int byte_of(uint32_t cp)
{
	static const uint8_t others[68] = {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
		30, 31, 32, 127, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144, 145,
		146, 147, 148, 149, 150, 151, 152, 153, 154, 155, 156, 157, 158, 159, 160, 173
	};

	if ((cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 172) || (cp >= 174 && cp <= 255))
		return (int)cp;
	return cp >= 256 && cp < 256 + 68 ? others[cp - 256] : -1;
}

bool tok_unmap_bytes(struct buf *out, struct str s)
{
	const uint8_t *q = (const uint8_t *)s.p, *end = q + s.n;
	char *p = buf_grow(out, s.n);
	size_t k = 0;

	if (!p)
		return true; /* the caller sees the mark */
	while (q < end) {
		int b;

		if (*q >= 33 && *q <= 126) {
			p[k++] = (char)*q++;
			continue;
		}
		if (end - q < 2 || (*q & 0xe0) != 0xc0 || (q[1] & 0xc0) != 0x80)
			return false;
		b = byte_of((q[0] & 0x1fu) << 6 | (q[1] & 0x3fu));
		if (b < 0)
			return false;
		p[k++] = (char)b;
		q += 2;
	}
	buf_commit(out, k);
	return true;
}

void tok_map_bytes(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint32_t cp = (uint8_t)s.p[i];
		char u[4];

		if (byte_of(cp) != (int)cp)
			for (cp = 256; byte_of(cp) != (uint8_t)s.p[i]; cp++)
				;
		buf_add(out, u, utf8_put(u, cp));
	}
}

void tok_add_blanks(struct buf *out, struct str s)
{
	for (size_t i = 0, j; i < s.n; i = j + 3) {
		j = str_find(s, STR("\xe2\x96\x81"), i);
		buf_adds(out, str_sub(s, i, j));
		if (j == s.n)
			break;
		buf_addc(out, ' ');
	}
}

int tok_parse_byte(struct str s)
{
	unsigned v = 0;

	if (s.n != 6 || memcmp(s.p, "<0x", 3) || s.p[5] != '>')
		return -1;
	for (size_t i = 3; i < 5; i++) {
		char c = s.p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (unsigned)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v = v << 4 | (unsigned)((c | 32) - 'a' + 10);
		else
			return -1;
	}
	return (int)v;
}

void tok_find_bytes(struct tok *t)
{
	for (int b = 0; b < 256; b++) {
		char c = (char)b;

		t->byte_id[b] = tok_lookup(t, &c, 1, TOK_PLAIN);
	}
}

int tok_add_norm(struct tok *t, enum tok_norm_op op, struct str a, struct str b, struct err *e)
{
	struct tok_norm *n = &t->norms[t->n_norms];

	if (t->n_norms == TOK_MAX_NORMS)
		return err_set(e, ERR_OPEN, "the normalizer has over %d steps", TOK_MAX_NORMS);
	*n = (struct tok_norm){ .op = op, .na = a.n, .nb = b.n };
	n->a = malloc(a.n + 1);
	n->b = malloc(b.n + 1);
	if (!n->a || !n->b) {
		free(n->a);
		free(n->b);
		return err_nomem(e);
	}
	memcpy(n->a, a.p, a.n);
	memcpy(n->b, b.p, b.n);
	t->n_norms++;
	return 0;
}

/* ---- merges, as two texts each */

int tok_merges_begin(struct tok_merge_loader *m, struct tok *t, size_t n, struct err *e)
{
	*m = (struct tok_merge_loader){ .t = t, .guess = -1 };
	buf_init(&m->both, 1 << 20);
	return tok_build_merges(t, n, e);
}

static void merge_text(struct tok_merge_loader *m, struct str s)
{
	if (!m->t->byte_level)
		tok_add_blanks(&m->both, s);
	else if (!tok_unmap_bytes(&m->both, s))
		buf_adds(&m->both, s);
}

static int32_t any(const struct tok *t, const char *p, size_t n)
{
	int32_t id = tok_lookup(t, p, n, TOK_PLAIN);

	return id >= 0 ? id : tok_lookup(t, p, n, TOK_APART);
}

static void add_due(struct tok_merge_loader *m)
{
	for (unsigned i = 0; i < m->n_due; i++) {
		const struct tok_merge *x = &m->due[i].m;

		if (tok_add_merge(m->t, x) && m->due[i].bytes >= 0)
			m->t->byte_pairs[m->due[i].bytes] = (uint64_t)x->rank << 32 | x->id;
	}
	m->n_due = 0;
}

void tok_merges_add(struct tok_merge_loader *m, struct str left, struct str right)
{
	const struct tok *t = m->t;
	uint32_t rank = m->rank++;
	int32_t a, b, id = m->guess + 1;
	size_t n;

	buf_reset(&m->both);
	merge_text(m, left);
	n = m->both.n;
	merge_text(m, right);
	if (m->both.failed || !n || n == m->both.n)
		return;
	a = any(t, m->both.p, n);
	b = any(t, m->both.p + n, m->both.n - n);
	/* the next id is what a merge makes in most vocabularies */
	if (id <= 0 || (size_t)id >= t->n || t->attr[id] != TOK_NORMAL || t->off[id + 1] - t->off[id] != m->both.n ||
	    memcmp(t->blob + t->off[id], m->both.p, m->both.n) != 0)
		id = any(t, m->both.p, m->both.n);
	if (a < 0 || b < 0 || id < 0) /* of tokens that are not there: it cannot happen */
		return;
	m->guess = id;
	if (m->n_due == sizeof m->due / sizeof m->due[0])
		add_due(m);
	m->due[m->n_due].bytes = -1;
	if (t->byte_level && n == 1 && m->both.n == 2)
		m->due[m->n_due].bytes = (uint8_t)m->both.p[0] << 8 | (uint8_t)m->both.p[1];
	m->due[m->n_due++].m = (struct tok_merge){ (uint32_t)a, (uint32_t)b, rank, (uint32_t)id };
	tok_expect_merge(t, (uint32_t)a, (uint32_t)b);
}

int tok_merges_end(struct tok_merge_loader *m, struct err *e)
{
	enum err_code failed = m->both.failed;

	add_due(m);
	buf_release(&m->both);
	return failed == ERR_NOMEM ? err_nomem(e) : 0;
}

/* ---- last steps of a loader */

static bool independent_units(const struct tok *t)
{
	for (size_t id = 0; id < t->n; id++) {
		enum tok_kind kind;
		struct str s = tok_key(t, (int32_t)id, &kind);
		size_t i = 0;

		if (kind == TOK_APART || t->attr[id] == TOK_USER)
			continue;
		while (i < s.n && s.p[i] == ' ')
			i++;
		if (i < s.n && memchr(s.p + i, ' ', s.n - i))
			return false;
	}
	return true;
}

int tok_finish(struct tok *t, struct err *e)
{
	if (t->model == TOK_BPE && !t->merges) { /* ranks alone, as tiktoken has them: ids are in order of merging */
		t->keys = ckd_alloc(t->n + 1, sizeof *t->keys);
		if (!t->keys)
			return err_nomem(e);
		for (size_t i = 0; i < t->n; i++)
			t->keys[i] = (uint32_t)i;
	}
	if (!t->pre.n_stages && !t->byte_level && !t->fused_bert && independent_units(t)) {
		t->pre.n_stages = 1;
		t->pre.stages[0] = pre_spaces;
	}
	if (t->model == TOK_UGM && tok_ugm_build(t, e))
		return -1;
	return tok_build_eog(t, e);
}

/* ---- decoding */

/* What BERT's decoder takes out again: blanks before marks of punctuation and contractions. */
static void clean(struct buf *out, size_t from)
{
	static const char *const cuts[] = { " .", " ?", " !", " ,", " n't", " 'm", " 's", " 've", " 're" };
	size_t k = from;

	for (size_t i = from; i < out->n;) {
		bool cut = false;

		if (out->p[i] == ' ') {
			struct str rest = { out->p + i, out->n - i };

			if (str_starts(rest, STR(" ' "))) {
				out->p[k++] = '\'';
				i += 3;
				continue;
			}
			for (size_t c = 0; !cut && c < sizeof cuts / sizeof cuts[0]; c++)
				cut = str_starts(rest, str_of(cuts[c]));
		}
		if (cut)
			i++;
		out->p[k++] = out->p[i++];
	}
	out->n = k;
	if (out->p)
		out->p[k] = '\0';
}

int tok_decode(struct buf *out, const struct tok *t, const int32_t *ids, size_t n, bool special, struct err *e)
{
	size_t from = out->n;
	bool first = true;

	for (size_t i = 0; i < n; i++) {
		struct str s;

		if (ids[i] < 0 || (size_t)ids[i] >= t->n)
			return err_set(e, ERR_INVALID_FIELD, "token id %d is not in the vocabulary of %zu", (int)ids[i], t->n);
		if (t->attr[ids[i]] == TOK_CONTROL || t->attr[ids[i]] == TOK_UNKNOWN) {
			if (special) {
				if (t->model == TOK_WPM && out->n > from)
					buf_addc(out, ' ');
				buf_adds(out, tok_text(t, ids[i]));
			}
			first &= t->model != TOK_WPM || !special;
			continue;
		}
		s = tok_bytes(t, ids[i]);
		/* the blank that encoding put in front */
		if (first && (t->strip_blank || t->model == TOK_WPM) && s.n && s.p[0] == ' ')
			s = str_sub(s, 1, s.n);
		first = false;
		buf_adds(out, s);
	}
	if (buf_check(out, e))
		return -1;
	if (t->clean_spaces)
		clean(out, from);
	return 0;
}
