/* A tokenizer from the keys of a GGUF file: ggml-org/ggml docs/gguf.md, ggml-org/llama.cpp src/llama-vocab.cpp. */
#include "config.h"
#include "tok/tok_impl.h"
#include "tok/unicode_impl.h"

#define KEY(name) "tokenizer.ggml." name
#define MAX_BLOB ((size_t)1 << 30)

/* ---- texts */

struct loader {
	struct tok *t;
	const struct gguf *g;
	const struct gguf_key *tokens;
	struct buf blob;
};

static int add_plain(struct loader *l, size_t id, struct str s)
{
	struct tok *t = l->t;

	if (t->model == TOK_BPE && t->byte_level) {
		if (t->attr[id] != TOK_NORMAL) {
			buf_adds(&l->blob, s);
		} else if (!tok_unmap_bytes(&l->blob, s)) { /* a text that no bytes are written as is never met */
			t->attr[id] = TOK_UNUSED;
			buf_adds(&l->blob, s);
		}
		return 0;
	}
	if (t->model == TOK_WPM) {
		if (t->attr[id] != TOK_NORMAL || (s.n > 1 && s.p[0] == '[' && s.p[s.n - 1] == ']')) {
			buf_adds(&l->blob, s);
		} else if (str_starts(s, STR("\xe2\x96\x81"))) {
			buf_addc(&l->blob, ' ');
			buf_adds(&l->blob, str_sub(s, 3, s.n));
		} else {
			buf_addz(&l->blob, "##");
			buf_adds(&l->blob, s);
		}
		return 0;
	}
	tok_add_blanks(&l->blob, s);
	return 0;
}

static int load_attrs(struct loader *l, struct err *e)
{
	/* the file's types 1..6; 0 is none */
	static const uint8_t attrs[] = { TOK_NORMAL, TOK_NORMAL, TOK_UNKNOWN, TOK_CONTROL, TOK_USER, TOK_UNUSED, TOK_BYTE };
	const struct gguf_key *k = gguf_find(l->g, KEY("token_type"));

	if (!k)
		return 0;
	if (k->n < l->t->n)
		return err_set(e, ERR_OPEN, "token_type has %llu entries for %zu tokens", (unsigned long long)k->n, l->t->n);
	for (size_t i = 0; i < l->t->n; i++) {
		uint32_t v;

		if (k->elem == GGUF_K_I32 && k->kind == GGUF_K_ARRAY) /* nearly always */
			memcpy(&v, k->p + i * 4, 4);
		else if (gguf_elem_u32(&v, k, i, e))
			return -1;
		l->t->attr[i] = v < sizeof attrs ? attrs[v] : TOK_NORMAL;
	}
	return 0;
}

static int load_scores(struct loader *l, struct err *e)
{
	const struct gguf_key *k = gguf_find(l->g, KEY("scores"));
	struct tok *t = l->t;

	t->scores = calloc(t->n + 1, sizeof *t->scores);
	if (!t->scores)
		return err_nomem(e);
	if (!k)
		return err_set(e, ERR_OPEN, "a vocabulary of type %s needs " KEY("scores"), tok_model_name(t));
	if (k->n < t->n)
		return err_set(e, ERR_OPEN, "scores has %llu entries for %zu tokens", (unsigned long long)k->n, t->n);
	for (size_t i = 0; i < t->n; i++) {
		if (k->elem == GGUF_K_F32 && k->kind == GGUF_K_ARRAY)
			memcpy(&t->scores[i], k->p + i * 4, 4);
		else if (gguf_elem_f32(&t->scores[i], k, i, e))
			return -1;
		if (t->scores[i] != t->scores[i])
			return err_set(e, ERR_OPEN, "the score of token %zu is not a number", i);
	}
	return 0;
}

static int load_texts(struct loader *l, struct err *e)
{
	struct tok *t = l->t;
	size_t cursor = 0;
	struct str s;

	for (size_t i = 0; i < t->n; i++) {
		t->off[i] = (uint32_t)l->blob.n;
		if (!gguf_next_str(&s, l->tokens, &cursor))
			return err_set(e, ERR_OPEN, "the list of tokens ends after %zu of %zu", i, t->n);
		if (tok_is_eog_text(s) && (t->attr[i] == TOK_NORMAL || t->attr[i] == TOK_USER))
			t->attr[i] = TOK_CONTROL;
		add_plain(l, i, s);
		if (t->attr[i] == TOK_BYTE) {
			int b = tok_parse_byte(s);

			if (b < 0)
				t->attr[i] = TOK_NORMAL;
			else if (t->byte_id[b] < 0)
				t->byte_id[b] = (int32_t)i;
		}
	}
	t->off[t->n] = (uint32_t)l->blob.n;
	if (buf_check(&l->blob, e))
		return -1;
	t->blob = l->blob.p;
	l->blob.p = NULL;
	buf_init(&l->blob, MAX_BLOB);
	return t->blob ? 0 : err_set(e, ERR_OPEN, "the vocabulary is empty");
}

/* "a b": the first blank behind byte 0 separates; blanks inside tokens are written otherwise. */
static int load_merges(struct loader *l, struct err *e)
{
	const struct gguf_key *k = gguf_find(l->g, KEY("merges"));
	struct tok_merge_loader m;
	size_t cursor = 0;
	struct str s;

	if (!k)
		return 0;
	if (k->n > TOK_MAX_VOCAB)
		return err_set(e, ERR_OPEN, "%llu merges are over the limit", (unsigned long long)k->n);
	if (tok_merges_begin(&m, l->t, (size_t)k->n, e))
		return -1;
	while (gguf_next_str(&s, k, &cursor)) {
		const char *sp = s.n > 1 ? memchr(s.p + 1, ' ', s.n - 1) : NULL;

		if (!sp) {
			m.rank++;
			continue;
		}
		tok_merges_add(&m, str_sub(s, 0, (size_t)(sp - s.p)), str_sub(s, (size_t)(sp - s.p) + 1, s.n));
	}
	return tok_merges_end(&m, e);
}

/* ---- what is keyed on names, not in the file */

static int32_t special_id(const struct gguf *g, const char *key, const struct tok *t, int32_t dflt)
{
	uint32_t v = gguf_u32_or(g, key, UINT32_MAX);

	if (v < t->n)
		return (int32_t)v;
	return dflt >= 0 && (size_t)dflt < t->n ? dflt : -1;
}

static void load_ids(struct tok *t, const struct gguf *g)
{
	/* defaults of each kind: bos, eos, unk, sep, pad, cls, mask */
	static const int32_t dflt[4][7] = { [TOK_BPE] = { -1, -1, -1, -1, -1, -1, -1 },
					    [TOK_SPM] = { 1, 2, 0, -1, -1, -1, -1 },
					    [TOK_WPM] = { 101, -1, 100, 102, 0, 101, 103 },
					    [TOK_UGM] = { -1, 1, 2, -1, 0, -1, -1 } };
	const int32_t *d = dflt[t->model];

	t->bos = special_id(g, KEY("bos_token_id"), t, d[0]);
	t->eos = special_id(g, KEY("eos_token_id"), t, d[1]);
	t->unk = special_id(g, KEY("unknown_token_id"), t, d[2]);
	t->sep = special_id(g, KEY("seperator_token_id"), t, d[3]); /* spelt so in the format */
	t->pad = special_id(g, KEY("padding_token_id"), t, d[4]);
	t->cls = special_id(g, KEY("cls_token_id"), t, d[5]);
	t->mask = special_id(g, KEY("mask_token_id"), t, d[6]);
	t->eot = special_id(g, KEY("eot_token_id"), t, -1);
	t->eom = special_id(g, KEY("eom_token_id"), t, -1);
	if (t->cls < 0)
		t->cls = t->bos;
}

/* The blanks that a special token swallows are not in the file either. */
static uint8_t special_flags(const struct tok *t, const struct gguf *g, int32_t id)
{
	struct str name = gguf_str_or(g, "general.name", STR("")), arch = gguf_str_or(g, "general.architecture", STR(""));
	struct str s = { t->blob + t->off[id], t->off[id + 1] - t->off[id] }, pre = str_of(t->name);
	bool phi3 = str_find(name, STR("phi-3"), 0) < name.n || str_find(name, STR("phi3"), 0) < name.n ||
		    str_find(name, STR("Phi-3"), 0) < name.n || str_find(name, STR("Phi3"), 0) < name.n;

	if (phi3 && (t->attr[id] == TOK_CONTROL || str_is(s, "</s>")) && !str_is(s, "<unk>") && !str_is(s, "<s>") &&
	    !str_is(s, "<|endoftext|>"))
		return TOK_RSTRIP;
	if (str_is(s, "<mask>") && (str_is(pre, "jina-v2-de") || str_is(pre, "jina-v2-es") || str_is(pre, "jina-v2-code") ||
				    str_is(arch, "nomic-bert-moe") || str_is(arch, "jina-bert-v3")))
		return TOK_LSTRIP;
	if (str_is(s, "[MASK]") && str_find(name, STR("modern-bert"), 0) < name.n)
		return TOK_LSTRIP;
	return 0;
}

static int load_specials(struct tok *t, const struct gguf *g, struct err *e)
{
	struct tok_special *v = ckd_alloc(t->n, sizeof *v);
	size_t n = 0, n_user;
	int rc;

	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < t->n; i++)
		if (t->attr[i] == TOK_USER)
			v[n++] = (struct tok_special){ (int32_t)i, special_flags(t, g, (int32_t)i) };
	n_user = n;
	for (size_t i = 0; i < t->n; i++)
		if (t->attr[i] == TOK_CONTROL || t->attr[i] == TOK_UNKNOWN)
			v[n++] = (struct tok_special){ (int32_t)i, special_flags(t, g, (int32_t)i) };
	/* SentencePiece looks for them when blanks and U+2581 are one */
	if (t->model == TOK_SPM || t->model == TOK_UGM)
		rc = tok_specials_build(&t->user_norm, t, v, n_user, e) || tok_specials_build(&t->all_norm, t, v, n, e);
	else
		rc = tok_specials_build(&t->user, t, v, n_user, e) || tok_specials_build(&t->all, t, v, n, e);
	free(v);
	return rc ? -1 : 0;
}

static void load_ends(struct tok *t, const struct gguf *g)
{
	bool sep = t->pre_flags & PRE_ADD_SEP || t->model == TOK_WPM;

	t->add_bos = gguf_bool_or(g, KEY("add_bos_token"), t->model == TOK_SPM || t->model == TOK_WPM || sep ||
							    (t->pre_flags & PRE_ADD_BOS) != 0);
	t->add_eos = gguf_bool_or(g, KEY("add_eos_token"), t->model == TOK_UGM);
	if (t->pre_flags & PRE_RAW && t->pre_flags & PRE_ADD_BOS)
		t->add_bos = true; /* whatever the file says */
	if (t->model == TOK_WPM)
		t->bos = t->cls;
	if (t->add_bos && t->bos >= 0)
		t->head[t->n_head++] = t->bos;
	if (gguf_bool_or(g, KEY("add_sep_token"), sep) && (t->sep >= 0 || t->eos >= 0)) {
		t->tail[t->n_tail++] = t->sep >= 0 ? t->sep : t->eos;
		if (t->eos < 0)
			t->eos = t->sep;
	}
	if (t->add_eos && t->eos >= 0 && !t->n_tail)
		t->tail[t->n_tail++] = t->eos;
	t->add_bos = t->n_head > 0;
	t->add_eos = t->n_tail > 0;
}

static int load_pre(struct tok *t, const struct gguf *g, bool force, struct err *e)
{
	bool gemma4 = str_is(gguf_str_or(g, KEY("model"), STR("")), "gemma4");
	struct str pre = gguf_str_or(g, KEY("pre"), gemma4 ? STR("gemma4") : STR("default"));

	if (pre.n >= sizeof t->name)
		return err_set(e, ERR_OPEN, "the name of the pre-tokenizer is too long");
	memcpy(t->name, pre.p, pre.n);
	if (!pre_by_name(&t->pre, &t->pre_flags, pre)) {
		if (!force)
			return err_set(e, ERR_OPEN, "pre-tokenizer \"" STR_FMT "\" is not known to this version", STR_ARG(pre));
		pre_by_name(&t->pre, &t->pre_flags, STR("default"));
	}
	t->byte_level = !(t->pre_flags & PRE_RAW);
	t->byte_fallback = !t->byte_level;
	t->ignore_merges = t->pre_flags & PRE_IGNORE_MERGES;
	t->newline_runs = t->pre_flags & PRE_NEWLINES;
	if (t->pre_flags & PRE_NFC)
		t->norms[t->n_norms++].op = TOK_NORM_NFC;
	if (!t->byte_level)
		return tok_add_norm(t, TOK_NORM_REPLACE, STR("\xe2\x96\x81"), STR(" "), e);
	return 0;
}

static int load_spm(struct tok *t, const struct gguf *g, struct err *e)
{
	t->add_prefix = t->strip_blank = gguf_bool_or(g, KEY("add_space_prefix"), true);
	t->byte_fallback = true;
	t->fuse_unk = true;
	/* blanks stand for U+2581 on both sides, so that most texts need no copy */
	if (tok_add_norm(t, TOK_NORM_REPLACE, STR("\xe2\x96\x81"), STR(" "), e))
		return -1;
	return tok_build_keys(t, e);
}

/* Unigram as SentencePiece runs it: its map of characters, blanks, then the blank in front. */
static int load_ugm(struct tok *t, const struct gguf *g, struct err *e)
{
	const struct gguf_key *map = gguf_find(g, KEY("precompiled_charsmap"));

	t->fuse_unk = true;
	if (map && map->kind == GGUF_K_ARRAY && (map->elem == GGUF_K_U8 || map->elem == GGUF_K_I8) &&
	    tok_add_charsmap(t, (struct str){ (const char *)map->p, map->bytes }, e))
		return -1;
	if (tok_add_norm(t, TOK_NORM_REPLACE, STR("\xe2\x96\x81"), STR(" "), e))
		return -1;
	if (gguf_bool_or(g, KEY("remove_extra_whitespaces"), false) && tok_add_norm(t, TOK_NORM_SPACES, STR(" "), STR(""), e))
		return -1;
	t->strip_blank = gguf_bool_or(g, KEY("add_space_prefix"), true);
	return t->strip_blank ? tok_add_norm(t, TOK_NORM_PREPEND, STR(""), STR(" "), e) : 0;
}

static void load_wpm(struct tok *t, const struct gguf *g)
{
	t->lowercase = gguf_bool_or(g, KEY("normalizer.lowercase"), true);
	t->strip_accents = gguf_bool_or(g, KEY("normalizer.strip_accents"), t->lowercase);
	t->clean_text = t->chinese = t->fused_bert = true;
	t->clean_spaces = true;
	t->max_word = 100;
}

static int load_all(struct loader *l, bool force, struct err *e)
{
	struct tok *t = l->t;

	if (t->model == TOK_BPE && load_pre(t, l->g, force, e))
		return -1;
	load_ids(t, l->g);
	if (load_attrs(l, e) || load_texts(l, e) || tok_build_index(t, e))
		return -1;
	if ((t->model == TOK_SPM || t->model == TOK_UGM) && load_scores(l, e))
		return -1;
	switch (t->model) {
	case TOK_BPE:
		if (t->byte_level)
			tok_find_bytes(t);
		if (load_merges(l, e))
			return -1;
		break;
	case TOK_SPM:
		if (load_spm(t, l->g, e))
			return -1;
		break;
	case TOK_WPM:
		load_wpm(t, l->g);
		break;
	case TOK_UGM:
		if (load_ugm(t, l->g, e))
			return -1;
		break;
	}
	load_ends(t, l->g);
	if (load_specials(t, l->g, e) || tok_finish(t, e))
		return -1;
	return 0;
}

int tok_open_gguf(struct tok **out, const struct gguf *g, bool force, struct err *e)
{
	static const struct { const char *name; enum tok_model model; } models[] = {
		{ "gpt2", TOK_BPE }, { "gemma4", TOK_BPE }, { "llama", TOK_SPM }, { "bert", TOK_WPM }, { "t5", TOK_UGM }
	};
	struct loader l = { .g = g };
	struct str model;
	size_t i = 0;
	int rc = -1;

	if (gguf_str(&model, g, KEY("model"), e))
		return err_wrap(e, "%s: no tokenizer in the file", gguf_path(g));
	while (i < sizeof models / sizeof models[0] && !str_is(model, models[i].name))
		i++;
	if (i == sizeof models / sizeof models[0])
		return err_set(e, ERR_OPEN, "%s: tokenizers of type \"" STR_FMT "\" are not supported", gguf_path(g),
			       STR_ARG(model));
	l.tokens = gguf_find(g, KEY("tokens"));
	if (!l.tokens || l.tokens->kind != GGUF_K_ARRAY || l.tokens->elem != GGUF_K_STRING || !l.tokens->n ||
	    l.tokens->n > TOK_MAX_VOCAB)
		return err_set(e, ERR_OPEN, "%s: " KEY("tokens") " is missing or no list of strings", gguf_path(g));
	l.t = tok_alloc((size_t)l.tokens->n, e);
	if (!l.t)
		return -1;
	buf_init(&l.blob, MAX_BLOB);
	l.t->model = models[i].model;
	rc = load_all(&l, force, e);
	buf_release(&l.blob);
	if (rc) {
		tok_close(l.t);
		return err_wrap(e, "%s: tokenizer", gguf_path(g));
	}
	*out = l.t;
	return 0;
}
