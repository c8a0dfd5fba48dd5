/*
 * Encoding: special tokens are cut out, each fragment between them is normalized and split into words, and each word is
 * looked up in the worker's cache before a model works on it. The cache changes nothing but the time.
 */
#include "config.h"
#include "tok/tok_impl.h"
#include "tok/unicode_impl.h"

#define BATCH 128
#define SHORT_KEY 15   /* bytes of a word that lie in its slot */
#define SHORT_IDS 4
#define SHORT_SLOTS 32768 /* pairs of 32 bytes: 2 MiB */
#define LONG_SLOTS 32768
#define LONG_KEY 256   /* longer words are hardly ever seen twice */
#define LONG_HEAP (4u << 20)
#define LONG_WINDOW 2048 /* bytes of a very long word at a time: what merging them takes stays in the cache */

struct short_slot {
	uint64_t lo, hi;       /* the word, zero padded; the top byte of hi is its length and, above it, the number of ids */
	int32_t ids[SHORT_IDS];
};
struct long_slot {
	uint64_t hash;
	uint32_t at;           /* in the heap: the word, then its ids */
	uint16_t len, n;       /* n == 0: empty */
};

struct tok_enc {
	const struct tok *t;
	struct short_slot *cache; /* [SHORT_SLOTS][2], in a line each */
	void *cache_mem;
	struct long_slot *longs;
	char *heap;
	size_t heap_n;
	struct tok_word word, settled;
	struct tok_normed normed;
	struct buf first;         /* SPM: the first word with its blank */
	struct buf bert;          /* a word as normalized */
	struct tok_span *bert_map;
	size_t bert_map_cap;
	/* the call at hand */
	struct tok_ids *ids;
	struct tok_spans *spans;
	struct tok_ids scratch;
	const struct tok_parts *marks; /* what the text is made of, or NULL */
	bool count;
	size_t total;
	const struct tok_span *map; /* of the text being split, or NULL: bytes are its own */
	size_t base;                /* added to all positions */
};

int tok_enc_new(struct tok_enc **out, const struct tok *t, struct err *e)
{
	struct tok_enc *x = calloc(1, sizeof *x);

	if (!x)
		return err_nomem(e);
	x->t = t;
	/* zero pages that are touched when they are used: a short run starts faster */
	x->cache_mem = calloc(SHORT_SLOTS * 2 + 2, sizeof *x->cache);
	x->longs = calloc(LONG_SLOTS, sizeof *x->longs);
	x->heap = malloc(LONG_HEAP);
	if (!x->cache_mem || !x->longs || !x->heap) {
		tok_enc_free(x);
		return err_nomem(e);
	}
	x->cache = (void *)(((uintptr_t)x->cache_mem + 63) & ~(uintptr_t)63);
	buf_init(&x->first, TOK_MAX_TEXT);
	buf_init(&x->bert, TOK_MAX_TEXT);
	*out = x;
	return 0;
}

void tok_enc_free(struct tok_enc *x)
{
	if (!x)
		return;
	free(x->cache_mem);
	free(x->longs);
	free(x->heap);
	tok_word_release(&x->word);
	tok_word_release(&x->settled);
	tok_normed_release(&x->normed);
	buf_release(&x->first);
	buf_release(&x->bert);
	free(x->bert_map);
	tok_ids_release(&x->scratch);
	free(x);
}

/* ---- output */

static int ids_room(struct tok_enc *x, size_t n, struct err *e)
{
	struct tok_ids *ids = x->ids;
	size_t cap = ids->cap ? ids->cap : 64;
	int32_t *v;

	if (x->count) {
		x->total += ids->n;
		ids->n = 0;
	}
	if (ids->n + n <= ids->cap)
		return 0;
	while (cap < ids->n + n)
		cap *= 2;
	v = ckd_realloc(ids->v, cap, sizeof *v);
	if (!v)
		return err_nomem(e);
	ids->v = v;
	ids->cap = cap;
	return 0;
}

static int spans_room(struct tok_spans *s, size_t n, struct err *e)
{
	size_t cap = s->cap ? s->cap : 64;
	struct tok_span *v;

	if (s->n + n <= s->cap)
		return 0;
	while (cap < s->n + n)
		cap *= 2;
	v = ckd_realloc(s->v, cap, sizeof *v);
	if (!v)
		return err_nomem(e);
	s->v = v;
	s->cap = cap;
	return 0;
}

/* Bytes [b, e) of the text being split as bytes of the original. */
static struct tok_span place(const struct tok_enc *x, size_t b, size_t e)
{
	if (!x->map)
		return (struct tok_span){ (uint32_t)(x->base + b), (uint32_t)(x->base + e) };
	if (b == e) {
		uint32_t at = (uint32_t)x->base + x->map[b].start;

		return (struct tok_span){ at, at };
	}
	return (struct tok_span){ (uint32_t)x->base + x->map[b].start, (uint32_t)x->base + x->map[e - 1].end };
}

static int push(struct tok_enc *x, int32_t id, struct tok_span span, struct err *e)
{
	if (x->spans) {
		if (spans_room(x->spans, 1, e))
			return -1;
		x->spans->v[x->spans->n++] = span;
	}
	if (ids_room(x, 1, e))
		return -1;
	x->ids->v[x->ids->n++] = id;
	return 0;
}

/* Spans of n ids that cover the word at `at` of len bytes one after the other; the first `lead` bytes are not in the text. */
static int spans_of(struct tok_enc *x, const int32_t *ids, size_t n, size_t at, size_t len, size_t lead, struct err *e)
{
	size_t pos = 0;

	if (spans_room(x->spans, n, e))
		return -1;
	for (size_t i = 0; i < n; i++) {
		size_t end;

		if (ids[i] == x->t->unk) {
			end = len;
		} else if (x->t->model == TOK_WPM) {
			enum tok_kind kind;

			end = pos + tok_key(x->t, ids[i], &kind).n;
		} else {
			end = pos + tok_bytes(x->t, ids[i]).n;
		}
		end = end > len ? len : end;
		x->spans->v[x->spans->n++] = place(x, at + (pos > lead ? pos - lead : 0), at + (end > lead ? end - lead : 0));
		pos = end;
	}
	return 0;
}

/* ---- words */

static int model_word(struct tok_enc *x, const char *p, size_t n, struct err *e)
{
	switch (x->t->model) {
	case TOK_WPM:
		return tok_wpm_word(&x->word, x->t, p, n, e);
	case TOK_UGM:
		return tok_ugm_word(&x->word, x->t, p, n, e);
	default:
		return tok_bpe_word(&x->word, x->t, p, n, e);
	}
}

static uint64_t long_hash(const char *p, size_t n)
{
	return hash64(p, n, 7) | 1;
}

static void remember_long(struct tok_enc *x, const char *p, size_t n, uint64_t hash)
{
	struct long_slot *s = &x->longs[hash >> 40 & (LONG_SLOTS - 1)];
	size_t k = x->word.n, at = (x->heap_n + 3) & ~(size_t)3;

	if (k > UINT16_MAX)
		return;
	if (at + k * sizeof(int32_t) + n > LONG_HEAP) { /* full: forget everything */
		memset(x->longs, 0, LONG_SLOTS * sizeof *x->longs);
		at = 0;
	}
	*s = (struct long_slot){ hash, (uint32_t)at, (uint16_t)n, (uint16_t)k };
	for (size_t i = 0; i < k; i++)
		memcpy(x->heap + at + i * sizeof(int32_t), &x->word.v[i].id, sizeof(int32_t));
	memcpy(x->heap + at + k * sizeof(int32_t), p, n);
	x->heap_n = at + k * sizeof(int32_t) + n;
}

/* ---- very long words: tokens are put out as they come, none are kept */

struct long_word {
	struct tok_enc *x;
	const char *p;
	size_t at, lead;
	bool unk; /* the last token stands for what is unknown */
};

static int put_long_token(struct long_word *l, const struct tok_sym *s, struct err *e)
{
	struct tok_enc *x = l->x;
	size_t b = s->start, end = b + s->len, lead = l->lead;
	bool unk = s->id == x->t->unk;
	struct tok_span span = { 0, 0 };

	if (x->spans)
		span = place(x, l->at + (b > lead ? b - lead : 0), l->at + (end > lead ? end - lead : 0));
	if (unk && l->unk && x->t->fuse_unk) {
		if (x->spans)
			x->spans->v[x->spans->n - 1].end = span.end;
		return 0;
	}
	l->unk = unk;
	return push(x, s->id, span, e);
}

static int put_long(void *arg, const struct tok_sym *v, size_t n, struct err *e)
{
	struct long_word *l = arg;
	struct tok_word *w = &l->x->settled;

	for (size_t i = 0; i < n; i++) {
		if (v[i].id >= 0) {
			if (put_long_token(l, &v[i], e))
				return -1;
			continue;
		}
		w->n = 0;
		if (tok_word_unknown(w, l->x->t, l->p, v[i].start, v[i].len, e))
			return -1;
		for (size_t k = 0; k < w->n; k++)
			if (put_long_token(l, &w->v[k], e))
				return -1;
	}
	return 0;
}

static int long_word(struct tok_enc *x, const char *p, size_t n, size_t at, size_t lead, struct err *e)
{
	struct long_word l = { x, p, at, lead, false };
	size_t n_ids = x->ids->n, n_spans = x->spans ? x->spans->n : 0, total = x->total;
	size_t window = LONG_WINDOW;
	int rc;

	if (x->t->model == TOK_UGM)
		return tok_ugm_long(&x->word, x->t, p, n, put_long, &l, e);
	while (window / 16 < x->t->max_len)
		window *= 2;
	for (; (rc = tok_bpe_long(&x->word, x->t, p, n, window, put_long, &l, e)) > 0; window *= 8) {
		x->ids->n = n_ids;
		x->total = total;
		if (x->spans)
			x->spans->n = n_spans;
		l.unk = false;
	}
	return rc;
}

/* A word that is not in the short cache. `lead` of its bytes are not in the text, whose part begins at `at`. */
static int slow_word(struct tok_enc *x, const char *p, size_t n, size_t at, size_t lead, struct short_slot *slot,
		     uint64_t lo, uint64_t hi, struct err *e)
{
	uint64_t hash = 0;
	bool known = true;

	if (!slot && n <= LONG_KEY) {
		const struct long_slot *s;

		hash = long_hash(p, n);
		s = &x->longs[hash >> 40 & (LONG_SLOTS - 1)];
		if (s->n && s->hash == hash && s->len == n && !memcmp(x->heap + s->at + s->n * sizeof(int32_t), p, n)) {
			size_t k = s->n;

			if (ids_room(x, k, e))
				return -1;
			memcpy(x->ids->v + x->ids->n, x->heap + s->at, k * sizeof(int32_t));
			x->ids->n += k;
			return x->spans ? spans_of(x, x->ids->v + x->ids->n - k, k, at, n, lead, e) : 0;
		}
	}
	if (n > TOK_LONG && n > x->t->max_len && x->t->model != TOK_WPM)
		return long_word(x, p, n, at, lead, e);
	if (model_word(x, p, n, e))
		return -1;
	for (size_t i = 0; i < x->word.n; i++) {
		const struct tok_sym *s = &x->word.v[i];
		size_t b = s->start, end = b + s->len;

		/* unk covers bytes that its id does not tell: only a word that is unk as a whole is remembered */
		known &= s->id != x->t->unk || x->word.n == 1;
		if (push(x, s->id, x->spans ? place(x, at + (b > lead ? b - lead : 0), at + (end > lead ? end - lead : 0)) :
					      (struct tok_span){ 0, 0 }, e))
			return -1;
	}
	if (!known || !x->word.n)
		return 0;
	if (slot && x->word.n <= SHORT_IDS) {
		slot[1] = slot[0];
		slot[0].lo = lo;
		slot[0].hi = hi | (uint64_t)x->word.n << 60;
		for (size_t i = 0; i < x->word.n; i++)
			slot[0].ids[i] = x->word.v[i].id;
	} else if (!slot && n <= LONG_KEY) {
		remember_long(x, p, n, hash);
	}
	return 0;
}

/* The key of a word of n <= SHORT_KEY bytes. 16 bytes may be read from p. */
static inline void short_key(uint64_t *lo, uint64_t *hi, const char *p, size_t n)
{
	static const uint64_t mask[SHORT_KEY + 1][2] = {
#define M(n) (UINT64_MAX >> (64 - 8 * (n)))
		{ 0, 0 }, { M(1), 0 }, { M(2), 0 }, { M(3), 0 }, { M(4), 0 }, { M(5), 0 }, { M(6), 0 }, { M(7), 0 },
		{ M(8), 0 }, { M(8), M(1) }, { M(8), M(2) }, { M(8), M(3) }, { M(8), M(4) }, { M(8), M(5) }, { M(8), M(6) },
		{ M(8), M(7) }
#undef M
	};
	uint64_t v[2];

	memcpy(v, p, sizeof v);
	*lo = v[0] & mask[n][0];
	*hi = (v[1] & mask[n][1]) | (uint64_t)n << 56;
}
/* The same where fewer bytes may be read. */
static void short_key_at_end(uint64_t *lo, uint64_t *hi, const char *p, size_t n)
{
	char copy[16] = { 0 };

	memcpy(copy, p, n);
	short_key(lo, hi, copy, n);
}
static inline struct short_slot *short_slot(struct tok_enc *x, uint64_t lo, uint64_t hi)
{
	uint64_t h = (lo ^ (hi * 0x9e3779b97f4a7c15u)) * 0xff51afd7ed558ccdu;

	return &x->cache[(h >> 49) * 2];
}
_Static_assert(SHORT_SLOTS == 1 << 15, "short_slot takes 15 bits");
#define HI_KEY 0x0fffffffffffffffu

/* One word, at p of `n` bytes; see slow_word(). */
static int one_word(struct tok_enc *x, const char *p, size_t n, size_t at, size_t lead, struct err *e)
{
	uint64_t lo, hi;
	struct short_slot *s = NULL;

	if (!n)
		return 0;
	if (n > SHORT_KEY)
		return slow_word(x, p, n, at, lead, NULL, 0, 0, e);
	short_key_at_end(&lo, &hi, p, n);
	s = short_slot(x, lo, hi);
	for (int k = 0; k < 2; k++)
		if (s[k].lo == lo && (s[k].hi & HI_KEY) == hi) {
			size_t c = s[k].hi >> 60;

			if (ids_room(x, c, e) || (x->spans && spans_of(x, s[k].ids, c, at, n, lead, e)))
				return -1;
			memcpy(x->ids->v + x->ids->n, s[k].ids, c * sizeof(int32_t));
			x->ids->n += c;
			return 0;
		}
	return slow_word(x, p, n, at, lead, s, lo, hi, e);
}

static bool blank_at(struct str text, size_t i)
{
	return uni_record(uni_next((const uint8_t *)text.p, &i)) & UNI_R_WS;
}

/* All words of a text: keys first, so that the slots are on their way when they are compared. */
static int words(struct tok_enc *x, const struct pre *pre, struct str text, struct err *e)
{
	struct pre_iter it;
	uint32_t ends[BATCH];
	uint64_t lo[BATCH], hi[BATCH];
	struct short_slot *slot[BATCH];
	size_t begin = 0, m;

	pre_begin(&it, pre, text);
	while ((m = pre_ends(ends, BATCH, &it))) {
		size_t b = begin;

		for (size_t i = 0; i < m; b = ends[i++]) {
			size_t n = ends[i] - b;

			slot[i] = NULL;
			if (n > SHORT_KEY)
				continue;
			if (text.n - b >= 16)
				short_key(&lo[i], &hi[i], text.p + b, n);
			else
				short_key_at_end(&lo[i], &hi[i], text.p + b, n);
			slot[i] = short_slot(x, lo[i], hi[i]);
			__builtin_prefetch(slot[i]);
		}
		if (ids_room(x, m * SHORT_IDS, e))
			return -1;
		for (size_t i = 0; i < m; begin = ends[i++]) {
			struct short_slot *s = slot[i], *hit = NULL;
			size_t k, left = m - i;

			if (x->t->drop_blanks && blank_at(text, begin))
				continue;
			if (s && s->lo == lo[i] && (s->hi & HI_KEY) == hi[i])
				hit = s;
			else if (s && s[1].lo == lo[i] && (s[1].hi & HI_KEY) == hi[i])
				hit = s + 1;
			if (!hit) {
				if (slow_word(x, text.p + begin, ends[i] - begin, begin, 0, s, lo[i], hi[i], e) ||
				    ids_room(x, left * SHORT_IDS, e))
					return -1;
				continue;
			}
			k = hit->hi >> 60;
			memcpy(x->ids->v + x->ids->n, hit->ids, sizeof hit->ids);
			x->ids->n += k;
			if (x->spans && spans_of(x, hit->ids, k, begin, ends[i] - begin, 0, e))
				return -1;
		}
	}
	return 0;
}

/* ---- fragments: what lies between special tokens */

/* The words of a text with a blank in front, where the tokenizer wants one. */
static int prefixed(struct tok_enc *x, struct str text, bool first, struct err *e)
{
	const struct tok *t = x->t;
	struct pre_iter it;
	uint32_t end;

	if (!text.n || !t->add_prefix || (t->prefix_first && !first) || (t->prefix_unless && text.p[0] == ' '))
		return words(x, &t->pre, text, e);
	/* the blank joins the first word, whether that begins with blanks of its own or not */
	pre_begin(&it, &t->pre, text);
	pre_ends(&end, 1, &it);
	buf_reset(&x->first);
	buf_addc(&x->first, ' ');
	buf_add(&x->first, text.p, end);
	if (buf_check(&x->first, e) || one_word(x, x->first.p, x->first.n, 0, 1, e))
		return -1;
	if (x->map)
		x->map += end;
	else
		x->base += end;
	return words(x, &t->pre, str_sub(text, end, text.n), e);
}

static int bert_flush(struct tok_enc *x, struct err *e)
{
	int rc = 0;

	if (x->bert.n) {
		const struct tok_span *map = x->map;

		x->map = x->bert_map;
		rc = buf_check(&x->bert, e) || one_word(x, x->bert.p, x->bert.n, 0, 0, e);
		x->map = map;
		buf_reset(&x->bert);
	}
	return rc ? -1 : 0;
}

/* n bytes more of a word, from [start, end) of the fragment each, or (step) from one byte each. */
static int bert_add(struct tok_enc *x, const char *p, size_t n, size_t start, size_t end, bool step, struct err *e)
{
	if (x->spans && x->bert.n + n > x->bert_map_cap) {
		size_t cap = 2 * (x->bert.n + n) + 256;
		struct tok_span *m = ckd_realloc(x->bert_map, cap, sizeof *m);

		if (!m)
			return err_nomem(e);
		x->bert_map = m;
		x->bert_map_cap = cap;
	}
	for (size_t i = 0; x->spans && i < n; i++)
		x->bert_map[x->bert.n + i] = step ? (struct tok_span){ (uint32_t)(start + i), (uint32_t)(start + i + 1) } :
						    (struct tok_span){ (uint32_t)start, (uint32_t)end };
	buf_add(&x->bert, p, n);
	return 0;
}

/* The letters and digits of ASCII from i, which no step of the normalizer but lower-casing touches; their end. */
static int bert_ascii(size_t *end, struct tok_enc *x, struct str text, size_t i, struct err *e)
{
	char low[64];
	size_t n = 0;
	uint8_t lower = x->t->lowercase ? 0x20 : 0;

	while (n < sizeof low && i + n < text.n && uni_ascii[(uint8_t)text.p[i + n]] & (UNI_L | UNI_N)) {
		uint8_t c = (uint8_t)text.p[i + n];

		low[n++] = (char)(c >= 'A' && c <= 'Z' ? c | lower : c);
	}
	*end = i + n;
	return n ? bert_add(x, low, n, i, i + n, true, e) : 0;
}

/* BERT's normalizer and pre-tokenizer in one pass: words are what lies between blanks; punctuation and ideographs stand
 * alone. */
static int bert_fragment(struct tok_enc *x, struct str text, struct err *e)
{
	const uint8_t *s = (const uint8_t *)text.p;
	uint32_t out[2 * UNI_DECOMP_MAX];

	for (size_t i = 0; i < text.n;) {
		size_t start = i;
		uint32_t cp;
		unsigned n;
		bool alone;

		if (bert_ascii(&i, x, text, start, e))
			return -1;
		if (i > start)
			continue;
		cp = uni_next(s, &i);
		n = tok_norm_bert(out, x->t, cp);
		alone = x->t->chinese && tok_is_cjk(cp);
		if (alone && bert_flush(x, e))
			return -1;
		for (unsigned k = 0; k < n; k++) {
			uint32_t c = uni_class(out[k]);
			char u[4];
			bool punct = (c & UNI_P) || (out[k] < 0x80 && (c & UNI_S));

			if ((punct || (c & UNI_WS)) && bert_flush(x, e))
				return -1;
			if (c & UNI_WS)
				continue;
			if (bert_add(x, u, utf8_put(u, out[k]), start, i, false, e))
				return -1;
			if (punct && bert_flush(x, e))
				return -1;
		}
		if (alone && bert_flush(x, e))
			return -1;
	}
	return bert_flush(x, e);
}

/* Does a span touch text that came from the variables of a template? */
static bool of_user(const struct tok_parts *p, struct tok_span span)
{
	size_t at = 0;

	if (!p)
		return false;
	for (size_t i = 0; i < p->n && at < span.end; at += p->v[i++].text.n)
		if (p->v[i].from_user && span.start < at + p->v[i].text.n)
			return true;
	return false;
}

/* The next special token; in marked text a control token counts only where the template wrote all of it. */
static bool next_special(struct tok_hit *hit, size_t *from, struct tok_enc *x, const struct tok_specials *sp,
			 struct str text, size_t floor)
{
	const struct tok *t = x->t;

	while (tok_specials_next(hit, from, sp, t, text, floor)) {
		size_t n = t->off[hit->id + 1] - t->off[hit->id];

		if (t->attr[hit->id] == TOK_USER || !x->marks || !of_user(x->marks, place(x, *from - n, *from)))
			return true;
		*from -= n - 1;
	}
	return false;
}

/* Text that is normalized; `map` places it in the fragment. Special tokens that are looked for here are cut out. */
static int normal_text(struct tok_enc *x, struct str text, const struct tok_span *map, bool first, unsigned flags,
		       struct err *e)
{
	const struct tok_specials *sp = flags & TOK_PARSE_SPECIAL ? &x->t->all_norm : &x->t->user_norm;
	const size_t base = x->base;
	size_t from = 0, at = 0;
	struct tok_hit hit;

	for (x->map = map; next_special(&hit, &from, x, sp, text, at); at = hit.end) {
		x->map = map ? map + at : NULL;
		x->base = map ? base : base + at;
		if (prefixed(x, str_sub(text, at, hit.start), first && !at, e))
			return -1;
		x->map = map;
		x->base = base;
		if (push(x, hit.id, place(x, hit.start, hit.end), e))
			return -1;
	}
	x->map = map ? map + at : NULL;
	x->base = map ? base : base + at;
	return prefixed(x, str_sub(text, at, text.n), first && !at, e);
}

static int fragment(struct tok_enc *x, struct str text, size_t at, bool first, unsigned flags, struct err *e)
{
	const struct tok *t = x->t;
	const bool places = x->spans || x->marks;

	if (!text.n)
		return 0;
	x->base = at;
	if (t->fused_bert)
		return bert_fragment(x, text, e);
	if (!t->n_norms || tok_norm_idle(t, text))
		return normal_text(x, text, NULL, first, flags, e);
	if (tok_normalize(&x->normed, t, text, first, places, e))
		return -1;
	return normal_text(x, buf_str(&x->normed.text), places ? x->normed.map : NULL, first, flags, e);
}

static int encode(struct tok_enc *x, struct str text, unsigned flags, struct err *e)
{
	const struct tok *t = x->t;
	const struct tok_specials *sp = flags & TOK_PARSE_SPECIAL ? &t->all : &t->user;
	size_t from = 0, at = 0, bad = utf8_valid(text);
	struct tok_hit hit;

	x->map = NULL;
	x->base = 0;
	if (bad < text.n)
		return err_set(e, ERR_INVALID_UTF8, "the text is not valid UTF-8 at byte %zu", bad);
	if (text.n > TOK_MAX_TEXT)
		return err_set(e, ERR_UNSUPPORTED, "a text of %zu bytes is over the limit of 2 GiB", text.n);
	for (unsigned i = 0; flags & TOK_ADD_SPECIAL && i < t->n_head; i++)
		if (push(x, t->head[i], (struct tok_span){ 0, 0 }, e))
			return -1;
	for (; next_special(&hit, &from, x, sp, text, at); at = hit.end) {
		struct tok_span span = { (uint32_t)hit.start, (uint32_t)hit.end };

		if (fragment(x, str_sub(text, at, hit.start), at, at == 0, flags, e) || push(x, hit.id, span, e))
			return -1;
		x->map = NULL;
		x->base = 0;
	}
	if (fragment(x, str_sub(text, at, text.n), at, at == 0, flags, e))
		return -1;
	for (unsigned i = 0; flags & TOK_ADD_SPECIAL && i < t->n_tail; i++)
		if (push(x, t->tail[i], (struct tok_span){ (uint32_t)text.n, (uint32_t)text.n }, e))
			return -1;
	return 0;
}

int tok_encode(struct tok_ids *ids, struct tok_spans *spans, struct tok_enc *x, struct str text, unsigned flags,
	       struct err *e)
{
	x->ids = ids;
	x->spans = spans;
	x->marks = NULL;
	x->count = false;
	return encode(x, text, flags, e);
}

int tok_encode_marked(struct tok_ids *ids, struct tok_enc *x, struct str text, const struct tok_parts *marks, struct err *e)
{
	x->ids = ids;
	x->spans = NULL;
	x->marks = marks;
	x->count = false;
	return encode(x, text, TOK_PARSE_SPECIAL, e);
}

const struct tok *tok_enc_tok(const struct tok_enc *x)
{
	return x->t;
}

int tok_count(size_t *out, struct tok_enc *x, struct str text, unsigned flags, struct err *e)
{
	x->ids = &x->scratch;
	x->spans = NULL;
	x->marks = NULL;
	x->count = true;
	x->total = x->scratch.n = 0;
	if (encode(x, text, flags, e))
		return -1;
	*out = x->total + x->scratch.n;
	return 0;
}
