/* The vocabulary: look-up by text, the table of merges, the digest. */
#include "config.h"
#include "tok/tok_impl.h"
#include <pthread.h>

static uint64_t load(const char *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v;
}

/* Hash of a short text. */
static inline uint64_t text_hash(const char *p, size_t n, enum tok_kind kind)
{
	uint64_t h = (n << 2 | kind) * 0x9e3779b97f4a7c15u;

	for (; n > 8; p += 8, n -= 8)
		h = hash_mix64(h ^ load(p, 8));
	if (n >= 4)
		h ^= load(p, 4) | load(p + n - 4, 4) << 32;
	else if (n)
		h ^= (uint64_t)(uint8_t)p[0] | (uint64_t)(uint8_t)p[n / 2] << 8 | (uint64_t)(uint8_t)p[n - 1] << 16;
	return hash_mix64(h);
}

struct tok *tok_alloc(size_t n, struct err *e)
{
	struct tok *t = calloc(1, sizeof *t);

	if (!t)
		goto nomem;
	t->n = n;
	t->off = ckd_alloc(n + 1, sizeof *t->off);
	t->attr = calloc(n + 1, 1);
	if (!t->off || !t->attr)
		goto nomem;
	for (int i = 0; i < 256; i++)
		t->byte_id[i] = -1;
	t->bos = t->eos = t->unk = t->sep = t->cls = t->pad = t->mask = t->eot = t->eom = -1;
	return t;
nomem:
	tok_close(t);
	err_nomem(e);
	return NULL;
}

void tok_close(struct tok *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < t->n_norms; i++) {
		free(t->norms[i].a);
		free(t->norms[i].b);
	}
	tok_specials_release(&t->user);
	tok_specials_release(&t->all);
	tok_specials_release(&t->user_norm);
	tok_specials_release(&t->all_norm);
	free(t->blob);
	free(t->off);
	free(t->attr);
	free(t->scores);
	free(t->edges);
	free(t->keys);
	free(t->slots);
	free(t->merges);
	free(t->byte_pairs);
	free(t->eog);
	free(t->chat);
	free(t);
}

struct str tok_key(const struct tok *t, int32_t id, enum tok_kind *kind)
{
	struct str s = { t->blob + t->off[id], t->off[id + 1] - t->off[id] };

	*kind = TOK_PLAIN;
	switch (t->attr[id]) {
	case TOK_CONTROL:
	case TOK_UNKNOWN:
	case TOK_BYTE:
	case TOK_UNUSED:
		*kind = TOK_APART;
		return s;
	default:
		break;
	}
	if (t->model == TOK_WPM && s.n > 2 && s.p[0] == '#' && s.p[1] == '#') {
		*kind = TOK_INNER;
		return str_sub(s, 2, s.n);
	}
	if (t->model == TOK_WPM && s.n > 1 && s.p[0] == ' ')
		return str_sub(s, 1, s.n);
	return s;
}

int32_t tok_lookup(const struct tok *t, const char *p, size_t n, enum tok_kind kind)
{
	uint64_t h = text_hash(p, n, kind);
	size_t i = h & t->slot_mask;
	uint32_t tag = (uint32_t)(h >> 32);

	for (;; i = (i + 1) & t->slot_mask) {
		const struct tok_slot *s = &t->slots[i];

		if (s->id < 0)
			return -1;
		if (s->tag == tag) {
			enum tok_kind k;
			struct str key = tok_key(t, s->id, &k);

			if (k == kind && key.n == n && !memcmp(key.p, p, n))
				return s->id;
		}
	}
}

int tok_build_index(struct tok *t, struct err *e)
{
	size_t cap = 16;

	while (cap < t->n * 2)
		cap *= 2;
	t->slots = os_big_alloc(cap, sizeof *t->slots);
	if (!t->slots)
		return err_nomem(e);
	memset(t->slots, 0xff, cap * sizeof *t->slots);
	t->slot_mask = cap - 1;
	for (size_t id = 0; id < t->n; id++) {
		enum tok_kind kind;
		struct str key = tok_key(t, (int32_t)id, &kind);
		uint64_t h = text_hash(key.p, key.n, kind);
		size_t i = h & t->slot_mask;

		while (t->slots[i].id >= 0) {
			enum tok_kind k;
			struct str other = tok_key(t, t->slots[i].id, &k);

			if (k == kind && str_eq(other, key))
				break;
			i = (i + 1) & t->slot_mask;
		}
		/* of two with one text a normal token counts, else the first */
		if (t->slots[i].id >= 0 && !(t->attr[id] == TOK_NORMAL && t->attr[t->slots[i].id] != TOK_NORMAL))
			continue;
		t->slots[i].tag = (uint32_t)(h >> 32);
		t->slots[i].id = (int32_t)id;
		if (kind != TOK_APART && key.n > t->max_len)
			t->max_len = key.n;
	}
	return 0;
}

int tok_build_merges(struct tok *t, size_t n, struct err *e)
{
	size_t cap = 16;

	while (cap < n * 2)
		cap *= 2;
	t->merges = os_big_alloc(cap, sizeof *t->merges);
	t->byte_pairs = t->byte_level ? ckd_alloc(65536, sizeof *t->byte_pairs) : NULL;
	if (!t->merges || (t->byte_level && !t->byte_pairs))
		return err_nomem(e);
	if (t->byte_pairs)
		memset(t->byte_pairs, 0xff, 65536 * sizeof *t->byte_pairs); /* TOK_NO_MERGE */
	memset(t->merges, 0xff, cap * sizeof *t->merges);
	t->merge_mask = cap - 1;
	return 0;
}

void tok_expect_merge(const struct tok *t, uint32_t left, uint32_t right)
{
	__builtin_prefetch(&t->merges[hash_mix64((uint64_t)left << 32 | right) & t->merge_mask], 1);
}

bool tok_add_merge(struct tok *t, const struct tok_merge *m)
{
	size_t i = hash_mix64((uint64_t)m->left << 32 | m->right) & t->merge_mask;

	for (; t->merges[i].left != UINT32_MAX; i = (i + 1) & t->merge_mask)
		if (t->merges[i].left == m->left && t->merges[i].right == m->right)
			return false;
	t->merges[i] = *m;
	t->n_merges++;
	return true;
}

/* Floats as integers in the same order, turned round: the highest score is the smallest key. */
int tok_build_keys(struct tok *t, struct err *e)
{
	t->keys = ckd_alloc(t->n + 1, sizeof *t->keys);
	if (!t->keys)
		return err_nomem(e);
	for (size_t i = 0; i < t->n; i++) {
		float f = t->scores[i] + 0.0f; /* -0 is 0 */
		uint32_t u;

		memcpy(&u, &f, sizeof u);
		u = u >> 31 ? ~u : u | 0x80000000u;
		t->keys[i] = ~u;
	}
	return 0;
}

static void build_digest(struct tok *t)
{
	struct hash_sha256 h;
	uint8_t sum[HASH_SHA256_LEN];
	uint32_t head[20] = { 1, t->model, (uint32_t)t->n, t->byte_level, t->byte_fallback, t->fuse_unk, t->ignore_merges,
			      t->add_prefix, t->prefix_first, t->lowercase, t->strip_accents, t->clean_text, t->chinese,
			      (uint32_t)t->max_word, t->n_head, t->n_tail, t->n_norms, t->newline_runs,
			      (uint32_t)t->n_merges, (uint32_t)t->unk };
	uint64_t merges = 0;

	hash_sha256_init(&h);
	hash_sha256_add(&h, head, sizeof head);
	hash_sha256_add(&h, t->head, sizeof t->head);
	hash_sha256_add(&h, t->tail, sizeof t->tail);
	hash_sha256_add(&h, t->off, (t->n + 1) * sizeof *t->off);
	hash_sha256_add(&h, t->blob, t->off[t->n]);
	hash_sha256_add(&h, t->attr, t->n);
	if (t->scores && !t->n_merges)
		hash_sha256_add(&h, t->scores, t->n * sizeof *t->scores);
	/* the set of merges, in whatever order they lie in the table */
	for (size_t i = 0; t->merges && i <= t->merge_mask; i++)
		if (t->merges[i].left != UINT32_MAX)
			merges += hash64(&t->merges[i], sizeof t->merges[i], 1);
	hash_sha256_add(&h, &merges, sizeof merges);
	for (unsigned i = 0; i < t->n_norms; i++) {
		uint32_t op[3] = { t->norms[i].op, (uint32_t)t->norms[i].na, (uint32_t)t->norms[i].nb };

		hash_sha256_add(&h, op, sizeof op);
		hash_sha256_add(&h, t->norms[i].a, t->norms[i].na);
		hash_sha256_add(&h, t->norms[i].b, t->norms[i].nb);
	}
	pre_digest(&h, &t->pre);
	hash_sha256_end(&h, sum);
	hash_hex(t->digest, sum, sizeof sum);
}

/* ---- what a caller may ask */

size_t tok_n_vocab(const struct tok *t)
{
	return t->n;
}
const char *tok_model_name(const struct tok *t)
{
	static const char *const names[] = { "gpt2", "llama", "bert", "t5" };

	return names[t->model];
}
const char *tok_pre_name(const struct tok *t)
{
	return t->name;
}
const char *tok_digest(const struct tok *t)
{
	/* made when it is first asked for: hashing a vocabulary takes as long as loading it */
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	if (!t->digest[0])
		build_digest((struct tok *)(uintptr_t)t);
	pthread_mutex_unlock(&lock);
	return t->digest;
}
static bool in_vocab(const struct tok *t, int32_t id)
{
	return id >= 0 && (size_t)id < t->n;
}
enum tok_attr tok_attr(const struct tok *t, int32_t id)
{
	return in_vocab(t, id) ? t->attr[id] : TOK_UNUSED;
}

static const uint8_t all_bytes[256] = {
#define B4(n) n, n + 1, n + 2, n + 3
#define B16(n) B4(n), B4(n + 4), B4(n + 8), B4(n + 12)
#define B64(n) B16(n), B16(n + 16), B16(n + 32), B16(n + 48)
	B64(0), B64(64), B64(128), B64(192)
};

struct str tok_bytes(const struct tok *t, int32_t id)
{
	struct str s;

	if (!in_vocab(t, id) || t->attr[id] == TOK_CONTROL)
		return (struct str){ "", 0 };
	s = (struct str){ t->blob + t->off[id], t->off[id + 1] - t->off[id] };
	if (t->attr[id] == TOK_BYTE) { /* <0xXX> */
		unsigned v = 0;

		for (size_t i = 3; i < 5; i++)
			v = v << 4 | ((unsigned char)s.p[i] <= '9' ? (unsigned)s.p[i] - '0' : ((unsigned)s.p[i] & 7u) + 9u);
		return (struct str){ (const char *)all_bytes + v, 1 };
	}
	if (t->model == TOK_WPM && t->attr[id] == TOK_NORMAL && s.n > 2 && s.p[0] == '#' && s.p[1] == '#')
		return str_sub(s, 2, s.n);
	return s;
}

struct str tok_text(const struct tok *t, int32_t id)
{
	struct str s;

	if (!in_vocab(t, id))
		return (struct str){ "", 0 };
	s = (struct str){ t->blob + t->off[id], t->off[id + 1] - t->off[id] };
	if (t->model == TOK_WPM && t->attr[id] == TOK_NORMAL && s.n > 1 && s.p[0] == ' ')
		return str_sub(s, 1, s.n);
	return s;
}

int32_t tok_find(const struct tok *t, struct str text)
{
	int32_t id = tok_lookup(t, text.p, text.n, TOK_APART);

	if (id < 0 && t->model == TOK_WPM && text.n > 2 && text.p[0] == '#' && text.p[1] == '#')
		id = tok_lookup(t, text.p + 2, text.n - 2, TOK_INNER);
	return id >= 0 ? id : tok_lookup(t, text.p, text.n, TOK_PLAIN);
}
int32_t tok_bos(const struct tok *t)
{
	return t->bos;
}
int32_t tok_eos(const struct tok *t)
{
	return t->eos;
}
bool tok_add_bos(const struct tok *t)
{
	return t->add_bos;
}
bool tok_add_eos(const struct tok *t)
{
	return t->add_eos;
}
bool tok_is_eog(const struct tok *t, int32_t id)
{
	return in_vocab(t, id) && t->eog && (t->eog[id / 64] >> (id % 64) & 1);
}

/* Texts that end a generation in the models that use them; with `eot` also where the file names no such token. */
static const struct { const char *text; bool eot; } eog_texts[] = {
	{ "<|eot_id|>", true }, { "<|im_end|>", true }, { "<|end|>", true }, { "<end_of_turn>", true },
	{ "<|endoftext|>", true }, { "<|end_of_text|>", true }, { "<EOT>", true }, { "_<EOT>", true }, { "[EOT]", true },
	{ "<｜end▁of▁sentence｜>", true }, { "<end_of_utterance>", true }, { "<|eom_id|>", false }, { "<|return|>", false },
	{ "<|call|>", false }, { "<|flush|>", false }, { "<|calls|>", false }, { "</s>", false }, { "[EOS]", false },
	{ "<eos>", false }, { "<turn|>", false }, { "<|tool_response>", false }, { "[e~[", false },
	{ "<|fim_pad|>", false }, { "<fim-pad>", false }, { "<fim_pad>", false }, { "<PAD>", false }, { "[PAD]", false },
	{ "<|fim_repo|>", false }, { "<|repo_name|>", false }, { "<fim-repo>", false }, { "<REPO>", false },
	{ "<reponame>", false }, { "<|file_sep|>", false },
};

bool tok_is_eog_text(struct str s)
{
	if (s.n < 4 || (s.p[0] != '<' && s.p[0] != '[' && s.p[0] != '_'))
		return false;
	for (size_t i = 0; i < sizeof eog_texts / sizeof eog_texts[0]; i++)
		if ((eog_texts[i].eot || eog_texts[i].text[1] == '|') && str_is(s, eog_texts[i].text))
			return true;
	return false;
}

static void mark(struct tok *t, int32_t id, bool on)
{
	if (!in_vocab(t, id))
		return;
	if (on)
		t->eog[id / 64] |= UINT64_C(1) << (id % 64);
	else
		t->eog[id / 64] &= ~(UINT64_C(1) << (id % 64));
}

int tok_build_eog(struct tok *t, struct err *e)
{
	t->eog = calloc(t->n / 64 + 1, sizeof *t->eog);
	if (!t->eog)
		return err_nomem(e);
	for (size_t i = 0; i < sizeof eog_texts / sizeof eog_texts[0]; i++) {
		int32_t id = tok_lookup(t, eog_texts[i].text, strlen(eog_texts[i].text), TOK_APART);

		if (id < 0)
			continue;
		if (eog_texts[i].eot && t->eot < 0)
			t->eot = id;
		mark(t, id, true);
	}
	mark(t, t->eos, true);
	mark(t, t->eot, true);
	mark(t, t->eom, true);
	/* there <|end|> ends a part of a message, </s> nothing */
	if (tok_find(t, STR("<|return|>")) >= 0 && tok_find(t, STR("<|call|>")) >= 0)
		mark(t, tok_find(t, STR("<|end|>")), false);
	if (tok_find(t, STR("<|calls|>")) >= 0 && tok_find(t, STR("<|flush|>")) >= 0)
		mark(t, tok_find(t, STR("<|end|>")), false);
	if (tok_find(t, STR("<|tool_response>")) >= 0)
		mark(t, tok_find(t, STR("</s>")), false);
	return 0;
}

void tok_ids_release(struct tok_ids *ids)
{
	free(ids->v);
	*ids = (struct tok_ids){ 0 };
}

int tok_ids_push(struct tok_ids *ids, int32_t id, struct err *e)
{
	if (ids->n == ids->cap) {
		size_t cap = ids->cap ? ids->cap * 2 : 64;
		int32_t *v = ckd_realloc(ids->v, cap, sizeof *v);

		if (!v)
			return err_nomem(e);
		ids->v = v;
		ids->cap = cap;
	}
	ids->v[ids->n++] = id;
	return 0;
}
