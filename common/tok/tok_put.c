/* A tokenizer as the keys of a GGUF file, as llama.cpp's converter writes them. */
#include "config.h"
#include "tok/tok_impl.h"

#define KEY(name) "tokenizer.ggml." name
#define MAX_BLOB ((size_t)1 << 30)

static void add_underlines(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == ' ')
			buf_addz(out, "\xe2\x96\x81");
		else
			buf_addc(out, s.p[i]);
}

static void spell(struct buf *out, const struct tok *t, int32_t id)
{
	struct str s = { t->blob + t->off[id], t->off[id + 1] - t->off[id] };

	if (t->attr[id] != TOK_NORMAL) {
		buf_adds(out, s);
	} else if (t->model == TOK_WPM) {
		if (s.n > 2 && s.p[0] == '#' && s.p[1] == '#') {
			buf_adds(out, str_sub(s, 2, s.n));
		} else if (s.n > 1 && s.p[0] == ' ') { /* all but [X] begin a word */
			if (!(s.p[1] == '[' && s.p[s.n - 1] == ']' && s.n > 3))
				buf_addz(out, "\xe2\x96\x81");
			buf_adds(out, str_sub(s, 1, s.n));
		} else {
			buf_adds(out, s);
		}
	} else if (t->byte_level) {
		tok_map_bytes(out, s);
	} else {
		add_underlines(out, s);
	}
}

/* The text and the bytes that strings lie in, as gguf_put_strs() wants them. */
struct strings {
	struct buf text;
	size_t *end;
	struct str *v;
	size_t n;
};

static int strings_new(struct strings *s, size_t n, struct err *e)
{
	*s = (struct strings){ 0 };
	buf_init(&s->text, MAX_BLOB);
	s->end = ckd_alloc(n + 1, sizeof *s->end);
	s->v = ckd_alloc(n + 1, sizeof *s->v);
	return s->end && s->v ? 0 : err_nomem(e);
}
static void strings_release(struct strings *s)
{
	buf_release(&s->text);
	free(s->end);
	free(s->v);
}
static int strings_put(struct strings *s, struct gguf_writer *w, const char *key, struct err *e)
{
	if (buf_check(&s->text, e))
		return -1;
	for (size_t i = 0, at = 0; i < s->n; at = s->end[i++])
		s->v[i] = (struct str){ s->text.p + at, s->end[i] - at };
	return gguf_put_strs(w, key, s->v, s->n, e);
}

static int put_tokens(struct gguf_writer *w, const struct tok *t, struct err *e)
{
	static const int32_t types[] = { [TOK_NORMAL] = 1, [TOK_UNKNOWN] = 2, [TOK_CONTROL] = 3,
					 [TOK_USER] = 4, [TOK_UNUSED] = 5, [TOK_BYTE] = 6 };
	struct strings s;
	int32_t *type = ckd_alloc(t->n, sizeof *type);
	int rc = -1;

	if (strings_new(&s, t->n, e) || !type) {
		err_nomem(e);
		goto out;
	}
	for (size_t id = 0; id < t->n; id++) {
		spell(&s.text, t, (int32_t)id);
		s.end[s.n++] = s.text.n;
		/* BPE and WordPiece have no tokens that stand for the unknown, only control tokens */
		type[id] = t->attr[id] == TOK_UNKNOWN && (t->model == TOK_BPE || t->model == TOK_WPM) ? 3 : types[t->attr[id]];
	}
	rc = strings_put(&s, w, KEY("tokens"), e) || gguf_put_array(w, KEY("token_type"), GGUF_K_I32, type, t->n, e);
out:
	strings_release(&s);
	free(type);
	return rc ? -1 : 0;
}

static int by_rank(const void *pa, const void *pb)
{
	const struct tok_merge *a = pa, *b = pb;

	return a->rank < b->rank ? -1 : a->rank > b->rank;
}

/* The table's merges in their order. */
static struct tok_merge *sorted_merges(const struct tok *t)
{
	struct tok_merge *m = ckd_alloc(t->n_merges + 1, sizeof *m);
	size_t n = 0;

	for (size_t i = 0; m && i <= t->merge_mask; i++)
		if (t->merges[i].left != UINT32_MAX)
			m[n++] = t->merges[i];
	if (m)
		qsort(m, n, sizeof *m, by_rank);
	return m;
}

static int put_merges(struct gguf_writer *w, const struct tok *t, struct err *e)
{
	struct tok_merge *m = sorted_merges(t);
	struct strings s;
	int rc;

	if (strings_new(&s, t->n_merges, e) || !m) {
		strings_release(&s);
		free(m);
		return err_nomem(e);
	}
	for (size_t i = 0; i < t->n_merges; i++) {
		tok_map_bytes(&s.text, (struct str){ t->blob + t->off[m[i].left], t->off[m[i].left + 1] - t->off[m[i].left] });
		buf_addc(&s.text, ' ');
		tok_map_bytes(&s.text,
			      (struct str){ t->blob + t->off[m[i].right], t->off[m[i].right + 1] - t->off[m[i].right] });
		s.end[s.n++] = s.text.n;
	}
	rc = strings_put(&s, w, KEY("merges"), e);
	strings_release(&s);
	free(m);
	return rc;
}

/* Scores that make SentencePiece's way of merging do what the list of merges says. */
static int put_scores(struct gguf_writer *w, const struct tok *t, struct err *e)
{
	float *f = calloc(t->n + 1, sizeof *f);
	int rc;

	if (!f)
		return err_nomem(e);
	for (size_t id = 0; id < t->n; id++)
		f[id] = t->model == TOK_UGM ? t->scores[id] : t->attr[id] == TOK_NORMAL ? -1e9f : 0;
	for (size_t i = 0; t->merges && i <= t->merge_mask; i++) {
		const struct tok_merge *m = &t->merges[i];

		if (m->left != UINT32_MAX && t->attr[m->id] == TOK_NORMAL && -(float)m->rank > f[m->id])
			f[m->id] = -(float)m->rank;
	}
	rc = gguf_put_array(w, KEY("scores"), GGUF_K_F32, f, t->n, e);
	free(f);
	return rc;
}

static int put_id(struct gguf_writer *w, const char *key, int32_t id, struct err *e)
{
	return id < 0 ? 0 : gguf_put_u32(w, key, (uint32_t)id, e);
}

static int put_ids(struct gguf_writer *w, const struct tok *t, struct err *e)
{
	return put_id(w, KEY("bos_token_id"), t->bos, e) || put_id(w, KEY("eos_token_id"), t->eos, e) ||
	       put_id(w, KEY("unknown_token_id"), t->unk, e) || put_id(w, KEY("seperator_token_id"), t->sep, e) ||
	       put_id(w, KEY("padding_token_id"), t->pad, e) || put_id(w, KEY("cls_token_id"), t->cls, e) ||
	       put_id(w, KEY("mask_token_id"), t->mask, e);
}

/* Are the normalizers SentencePiece's own: its map of characters, blanks squeezed, one in front? */
static bool only_spaces(const struct tok *t)
{
	for (unsigned i = 0; i < t->n_norms; i++)
		switch (t->norms[i].op) {
		case TOK_NORM_REPLACE:
			if (t->norms[i].nb != 1 || t->norms[i].b[0] != ' ')
				return false;
			break;
		case TOK_NORM_CHARSMAP:
		case TOK_NORM_BLANKS:
		case TOK_NORM_SPACES:
		case TOK_NORM_STRIP_LEFT:
		case TOK_NORM_STRIP_RIGHT:
		case TOK_NORM_PREPEND:
		case TOK_NORM_PREFIX:
			break;
		default:
			return false;
		}
	return true;
}

/* Does the format's own idea of a kind of tokenizer hold for this one? */
static const char *gguf_model(const struct tok *t, struct err *e)
{
	if (t->model == TOK_BPE && t->byte_level) {
		if (t->name[0])
			return "gpt2";
		err_set(e, ERR_OPEN, "GGUF has no name for the pre-tokenizer of this tokenizer.json");
		return NULL;
	}
	if (t->model == TOK_BPE && t->byte_fallback && (t->n_norms == 0 || (t->n_norms == 1 && t->norms[0].op == TOK_NORM_REPLACE)))
		return "llama";
	if (t->model == TOK_WPM && t->fused_bert && t->clean_text && t->chinese)
		return "bert";
	if (t->model == TOK_UGM && only_spaces(t))
		return "t5";
	err_set(e, ERR_OPEN, "GGUF has no form for this kind of tokenizer.json");
	return NULL;
}

static int put_ugm(struct gguf_writer *w, const struct tok *t, struct err *e)
{
	bool squeeze = false, prefix = t->add_prefix;

	for (unsigned i = 0; i < t->n_norms; i++) {
		const struct tok_norm *n = &t->norms[i];

		squeeze |= n->op == TOK_NORM_SPACES || n->op == TOK_NORM_BLANKS;
		prefix |= n->op == TOK_NORM_PREPEND || n->op == TOK_NORM_PREFIX;
		if (n->op == TOK_NORM_CHARSMAP) {
			struct buf b;
			uint32_t size = (uint32_t)n->na;
			int rc;

			buf_init(&b, MAX_BLOB);
			buf_add(&b, &size, sizeof size);
			buf_add(&b, n->a, n->na);
			buf_add(&b, n->b, n->nb);
			rc = buf_check(&b, e) || gguf_put_array(w, KEY("precompiled_charsmap"), GGUF_K_U8, b.p, b.n, e);
			buf_release(&b);
			if (rc)
				return -1;
		}
	}
	return gguf_put_bool(w, KEY("remove_extra_whitespaces"), squeeze, e) ||
			       gguf_put_bool(w, KEY("add_space_prefix"), prefix, e) || put_scores(w, t, e) ?
		       -1 :
		       0;
}

int tok_put_gguf(const struct tok *t, struct gguf_writer *w, struct err *e)
{
	const char *model = gguf_model(t, e);
	int rc;

	if (!model)
		return -1;
	if (gguf_put_str(w, KEY("model"), str_of(model), e) ||
	    gguf_put_str(w, KEY("pre"), str_of(t->name[0] ? t->name : "default"), e) || put_tokens(w, t, e) || put_ids(w, t, e))
		return -1;
	switch (model[0]) {
	case 'g':
		rc = put_merges(w, t, e) || gguf_put_bool(w, KEY("add_bos_token"), t->add_bos, e) ||
		     gguf_put_bool(w, KEY("add_eos_token"), t->add_eos, e);
		break;
	case 'l':
		rc = put_scores(w, t, e) || gguf_put_bool(w, KEY("add_bos_token"), t->add_bos, e) ||
		     gguf_put_bool(w, KEY("add_eos_token"), t->add_eos, e) ||
		     gguf_put_bool(w, KEY("add_space_prefix"), t->add_prefix, e);
		break;
	case 'b':
		rc = gguf_put_bool(w, KEY("normalizer.lowercase"), t->lowercase, e) ||
		     gguf_put_bool(w, KEY("normalizer.strip_accents"), t->strip_accents, e);
		break;
	default:
		rc = put_ugm(w, t, e) || gguf_put_bool(w, KEY("add_bos_token"), t->add_bos, e) ||
		     gguf_put_bool(w, KEY("add_eos_token"), t->add_eos, e);
	}
	if (!rc && t->chat)
		rc = gguf_put_str(w, "tokenizer.chat_template", (struct str){ t->chat, t->n_chat }, e);
	return rc ? -1 : 0;
}
