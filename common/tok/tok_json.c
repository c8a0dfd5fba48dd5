/*
 * A tokenizer from Hugging Face's tokenizer.json: huggingface/tokenizers. What has no counterpart here is refused by name;
 * `truncation` and `padding` are not the tokenizer's business and are left out.
 */
#include "config.h"
#include "tok/tok_json_impl.h"

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_OPEN, "tokenizer.json: %s", what);
}

bool tok_json_flag(struct json_val obj, const char *name, bool dflt)
{
	struct json_val v = json_get(obj, name);

	return v.type == JSON_TRUE || (v.type != JSON_FALSE && dflt);
}

struct str tok_json_text(struct tok_json *j, struct json_val obj, const char *name)
{
	struct json_val v = json_get(obj, name);
	struct str s;

	if (v.type != JSON_STRING || json_str(&s, v, &j->arena, NULL))
		return (struct str){ "", 0 };
	return s;
}

/* A member's key, decoded. */
static int key_text(struct str *out, struct tok_json *j, struct str raw, struct err *e)
{
	/* raw lies between its quotes */
	return json_str(out, (struct json_val){ { raw.p - 1, raw.n + 2 }, JSON_STRING }, &j->arena, e);
}

/* ---- vocabulary */

static int set_text(struct tok_json *j, uint64_t id, struct str s, struct err *e)
{
	if (id >= TOK_MAX_VOCAB)
		return bad(e, "a token id is over the limit");
	if (id >= j->cap) {
		size_t cap = j->cap ? j->cap : 1024;
		struct str *v;

		while (cap <= id)
			cap *= 2;
		v = ckd_realloc(j->texts, cap, sizeof *v);
		if (!v)
			return err_nomem(e);
		memset(v + j->cap, 0, (cap - j->cap) * sizeof *v);
		j->texts = v;
		j->cap = cap;
	}
	j->texts[id] = s;
	if (id >= j->n)
		j->n = (size_t)id + 1;
	return 0;
}

static int read_vocab(struct tok_json *j, struct json_val vocab, struct err *e)
{
	struct json_iter it = json_iter(vocab);
	struct json_val v;
	struct str raw, s;
	uint64_t id;

	if (vocab.type != JSON_OBJECT)
		return bad(e, "model.vocab is no object");
	while (json_next_member(&raw, &v, &it))
		if (key_text(&s, j, raw, e) || json_u64(&id, v, e) || set_text(j, id, s, e))
			return err_wrap(e, "model.vocab");
	return 0;
}

/* Unigram: a list of [text, score] in the order of ids. */
static int read_scored(struct tok_json *j, struct json_val vocab, struct err *e)
{
	struct json_iter it = json_iter(vocab);
	size_t n = json_count(vocab), id = 0;
	struct json_val v;

	if (vocab.type != JSON_ARRAY || n > TOK_MAX_VOCAB)
		return bad(e, "model.vocab is no list");
	j->scores = calloc(n + 1, sizeof *j->scores);
	if (!j->scores)
		return err_nomem(e);
	j->n_scores = n;
	for (; json_next(&v, &it); id++) {
		struct json_iter pair = json_iter(v);
		struct json_val text, score;
		struct str s;
		double d;

		if (!json_next(&text, &pair) || !json_next(&score, &pair) || json_str(&s, text, &j->arena, e) ||
		    json_f64(&d, score, e) || set_text(j, id, s, e))
			return bad(e, "model.vocab: an entry is no pair of a text and a score");
		j->scores[id] = (float)d;
	}
	return 0;
}

static int read_added(struct tok_json *j, struct json_val list, struct err *e)
{
	struct json_iter it = json_iter(list);
	size_t n = json_count(list);
	struct json_val v;

	j->added = calloc(n + 1, sizeof *j->added);
	if (!j->added)
		return err_nomem(e);
	while (json_next(&v, &it)) {
		struct tok_json_added *a = &j->added[j->n_added];
		struct str text = tok_json_text(j, v, "content");
		uint64_t id;

		if (json_u64(&id, json_get(v, "id"), e) || !text.n || set_text(j, id, text, e))
			return bad(e, "an added token has no id or no content");
		a->special = tok_json_flag(v, "special", false);
		a->s.id = (int32_t)id;
		a->s.flags = (uint8_t)((tok_json_flag(v, "lstrip", false) ? TOK_LSTRIP : 0) |
				       (tok_json_flag(v, "rstrip", false) ? TOK_RSTRIP : 0) |
				       (tok_json_flag(v, "single_word", false) ? TOK_SINGLE_WORD : 0) |
				       (tok_json_flag(v, "normalized", !a->special) ? TOK_NORMALIZED : 0));
		j->n_added++;
	}
	return 0;
}

static void put_text(struct tok_json *j, struct buf *blob, size_t id)
{
	struct tok *t = j->t;
	struct str s = j->texts[id];

	if (!s.p) { /* a hole in the ids */
		t->attr[id] = TOK_UNUSED;
		buf_addf(blob, "[PAD%zu]", id);
	} else if (t->attr[id] == TOK_CONTROL || t->attr[id] == TOK_USER || t->attr[id] == TOK_BYTE) {
		if (j->underlines)
			tok_add_blanks(blob, s);
		else
			buf_adds(blob, s);
	} else if (t->byte_level) {
		if (!tok_unmap_bytes(blob, s)) { /* a text that no bytes are written as is never met */
			t->attr[id] = TOK_UNUSED;
			buf_adds(blob, s);
		}
	} else if (t->model == TOK_WPM) {
		if (t->attr[id] == TOK_NORMAL && !str_starts(s, STR("##")))
			buf_addc(blob, ' ');
		buf_adds(blob, s);
	} else if (j->underlines) {
		tok_add_blanks(blob, s);
	} else {
		buf_adds(blob, s);
	}
}

static void set_attrs(struct tok_json *j)
{
	struct tok *t = j->t;

	if (t->unk >= 0)
		t->attr[t->unk] = TOK_UNKNOWN;
	for (size_t i = 0; i < j->n_added; i++)
		if (j->added[i].s.id != t->unk)
			t->attr[j->added[i].s.id] = j->added[i].special ? TOK_CONTROL : TOK_USER;
	for (size_t id = 0; t->byte_fallback && id < t->n; id++) {
		int b = j->texts[id].p ? tok_parse_byte(j->texts[id]) : -1;

		if (b < 0 || t->attr[id] != TOK_NORMAL)
			continue;
		t->attr[id] = TOK_BYTE;
		t->byte_id[b] = (int32_t)id;
	}
}

static int build_vocab(struct tok_json *j, struct err *e)
{
	struct tok *t = j->t;
	struct buf blob;

	set_attrs(j);
	buf_init(&blob, (size_t)1 << 30);
	for (size_t id = 0; id < t->n; id++) {
		t->off[id] = (uint32_t)blob.n;
		put_text(j, &blob, id);
	}
	t->off[t->n] = (uint32_t)blob.n;
	if (buf_check(&blob, e)) {
		buf_release(&blob);
		return -1;
	}
	t->blob = blob.p;
	if (!t->blob)
		return bad(e, "the vocabulary is empty");
	return tok_build_index(t, e);
}

/* ---- models */

/* One merge: ["a", "b"], or "a b" in files of old. */
static int read_merge(struct str *left, struct str *right, struct tok_json *j, struct json_val v, struct err *e)
{
	struct json_iter pair = json_iter(v);
	struct json_val a, b;
	struct str s;
	size_t gap;

	if (v.type == JSON_ARRAY) {
		if (!json_next(&a, &pair) || !json_next(&b, &pair) || json_str(left, a, &j->arena, e) ||
		    json_str(right, b, &j->arena, e))
			return bad(e, "a merge is no pair of texts");
		return 0;
	}
	if (json_str(&s, v, &j->arena, e))
		return bad(e, "a merge is no text");
	gap = str_find(s, STR(" "), 1);
	if (gap >= s.n)
		return bad(e, "a merge has no blank");
	*left = str_sub(s, 0, gap);
	*right = str_sub(s, gap + 1, s.n);
	return 0;
}

static int read_merges(struct tok_json *j, struct json_val list, struct err *e)
{
	struct json_iter it = json_iter(list);
	struct str left = { 0 }, right = { 0 };
	struct tok_merge_loader m;
	struct json_val v;
	int rc = 0;

	if (list.type != JSON_ARRAY)
		return bad(e, "model.merges is no list");
	if (tok_merges_begin(&m, j->t, json_count(list), e))
		return -1;
	while (!rc && json_next(&v, &it)) {
		rc = read_merge(&left, &right, j, v, e);
		if (!rc)
			tok_merges_add(&m, left, right);
	}
	return tok_merges_end(&m, e) || rc ? -1 : 0;
}

static int32_t id_of(const struct tok_json *j, struct str text)
{
	for (size_t id = 0; text.n && id < j->n; id++)
		if (j->texts[id].p && str_eq(j->texts[id], text))
			return (int32_t)id;
	return -1;
}

static int read_bpe(struct tok_json *j, struct json_val model, struct err *e)
{
	j->model = TOK_BPE;
	if (tok_json_text(j, model, "continuing_subword_prefix").n || tok_json_text(j, model, "end_of_word_suffix").n)
		return bad(e, "BPE with prefixes or suffixes of words is not supported");
	j->unk = tok_json_text(j, model, "unk_token");
	j->byte_fallback = tok_json_flag(model, "byte_fallback", false);
	return read_vocab(j, json_get(model, "vocab"), e);
}

static int read_wordpiece(struct tok_json *j, struct json_val model, struct err *e)
{
	struct json_val max = json_get(model, "max_input_chars_per_word");

	j->model = TOK_WPM;
	j->unk = tok_json_text(j, model, "unk_token");
	j->max_word = 100;
	if (!str_is(tok_json_text(j, model, "continuing_subword_prefix"), "##"))
		return bad(e, "WordPiece with another prefix than ## is not supported");
	if (max.type == JSON_NUMBER && json_u64(&j->max_word, max, e))
		return -1;
	return read_vocab(j, json_get(model, "vocab"), e);
}

static int read_unigram(struct tok_json *j, struct json_val model, struct err *e)
{
	struct json_val unk = json_get(model, "unk_id");
	uint64_t id;

	j->model = TOK_UGM;
	j->byte_fallback = tok_json_flag(model, "byte_fallback", false);
	if (read_scored(j, json_get(model, "vocab"), e))
		return -1;
	if (unk.type == JSON_NUMBER) {
		if (json_u64(&id, unk, e) || id >= j->n)
			return bad(e, "model.unk_id is not in the vocabulary");
		j->unk = j->texts[id];
	}
	return 0;
}

static int read_model(struct tok_json *j, struct json_val model, struct err *e)
{
	struct str type = tok_json_text(j, model, "type");

	if (str_is(type, "BPE") || (!type.n && json_get(model, "merges").type == JSON_ARRAY))
		return read_bpe(j, model, e);
	if (str_is(type, "WordPiece"))
		return read_wordpiece(j, model, e);
	if (str_is(type, "Unigram") || (!type.n && json_get(model, "vocab").type == JSON_ARRAY))
		return read_unigram(j, model, e);
	return err_set(e, ERR_OPEN, "tokenizer.json: models of type \"" STR_FMT "\" are not supported", STR_ARG(type));
}

/* ---- special tokens */

/* An added token that is compared with normalized text is normalized itself. */
static int normalize_added(struct tok_json *j, struct err *e)
{
	struct tok_normed nd = { 0 };
	int rc = 0;

	for (size_t i = 0; !rc && i < j->n_added; i++) {
		struct tok_special *s = &j->added[i].s;
		struct str text = j->texts[s->id];

		if (!(s->flags & TOK_NORMALIZED) || tok_norm_idle(j->t, text))
			continue;
		rc = tok_normalize(&nd, j->t, text, false, false, e);
		if (!rc) {
			struct str own = arena_str(&j->arena, buf_str(&nd.text));

			if (!own.p)
				rc = err_nomem(e);
			j->texts[s->id] = own;
		}
	}
	tok_normed_release(&nd);
	return rc;
}

/* Special ones last, so that the first n_user are those that always split. */
static int build_added(struct tok_json *j, struct err *e)
{
	struct tok *t = j->t;
	struct tok_special *v = ckd_alloc(j->n_added + 1, sizeof *v);
	int rc = 0;

	if (!v)
		return err_nomem(e);
	for (int normalized = 0; !rc && normalized < 2; normalized++) {
		size_t n = 0, n_user = 0;

		for (int special = 0; special < 2; special++) {
			for (size_t i = 0; i < j->n_added; i++) {
				const struct tok_json_added *a = &j->added[i];

				/* without normalizers there is one text only */
				if (a->special == special && (t->n_norms && (a->s.flags & TOK_NORMALIZED)) == normalized &&
				    !(j->underlines && !normalized && str_find(j->texts[a->s.id], STR("\xe2\x96\x81"), 0) <
									      j->texts[a->s.id].n))
					v[n++] = a->s;
			}
			n_user = special ? n_user : n;
		}
		rc = tok_specials_build(normalized ? &t->user_norm : &t->user, t, v, n_user, e) ||
		     tok_specials_build(normalized ? &t->all_norm : &t->all, t, v, n, e);
	}
	free(v);
	return rc ? -1 : 0;
}

/* ---- tokenizer_config.json: the roles of special tokens */

static int32_t role(struct tok_json *j, struct json_val config, const char *name)
{
	struct json_val v = json_get(config, name);

	return id_of(j, v.type == JSON_OBJECT ? tok_json_text(j, v, "content") : tok_json_text(j, config, name));
}

static void read_roles(struct tok_json *j, struct json_val config)
{
	struct tok *t = j->t;

	t->bos = role(j, config, "bos_token");
	t->eos = role(j, config, "eos_token");
	t->sep = role(j, config, "sep_token");
	t->cls = role(j, config, "cls_token");
	t->pad = role(j, config, "pad_token");
	t->mask = role(j, config, "mask_token");
	if (t->unk < 0)
		t->unk = role(j, config, "unk_token");
	if (t->model == TOK_WPM) { /* the names that every BERT uses, where the file leaves them out */
		t->cls = t->cls >= 0 ? t->cls : id_of(j, STR("[CLS]"));
		t->sep = t->sep >= 0 ? t->sep : id_of(j, STR("[SEP]"));
		t->bos = t->cls;
		t->eos = t->sep;
	}
	if (t->bos < 0 && t->n_head)
		t->bos = t->head[0];
	if (t->eos < 0 && t->n_tail)
		t->eos = t->tail[0];
	t->add_bos = t->n_head > 0;
	t->add_eos = t->n_tail > 0;
}

/* The template: a text, or a list of named ones of which "default" counts. */
static int read_template(struct tok_json *j, struct json_val config, struct err *e)
{
	struct json_val v = json_get(config, "chat_template"), x;
	struct json_iter it = json_iter(v);
	struct str s = tok_json_text(j, config, "chat_template");

	while (v.type == JSON_ARRAY && json_next(&x, &it))
		if (str_is(tok_json_text(j, x, "name"), "default"))
			s = tok_json_text(j, x, "template");
	if (!s.n)
		return 0;
	j->t->chat = malloc(s.n + 1);
	if (!j->t->chat)
		return err_nomem(e);
	memcpy(j->t->chat, s.p, s.n);
	j->t->chat[s.n] = '\0';
	j->t->n_chat = s.n;
	return 0;
}

/* ---- all of it */

/* The name that GGUF has for the pre-tokenizer, if there is one. */
static void set_name(struct tok *t)
{
	unsigned flags = t->ignore_merges ? PRE_IGNORE_MERGES : 0;
	const char *name;

	if (t->model != TOK_BPE || !t->byte_level || t->n_norms > 1)
		return;
	if (t->n_norms == 1) {
		if (t->norms[0].op != TOK_NORM_NFC)
			return;
		flags |= PRE_NFC;
	}
	name = pre_name_of(&t->pre, flags);
	if (name)
		snprintf(t->name, sizeof t->name, "%s", name);
}

static int build(struct tok_json *j, struct json_val root, struct json_val config, struct err *e)
{
	struct tok *t = j->t = tok_alloc(j->n, e);
	struct json_val model = json_get(root, "model");

	if (!t)
		return -1;
	t->model = j->model;
	t->unk = id_of(j, j->unk);
	t->byte_fallback = j->byte_fallback;
	t->fuse_unk = tok_json_flag(model, "fuse_unk", t->model == TOK_UGM);
	t->ignore_merges = tok_json_flag(model, "ignore_merges", false);
	t->max_word = (size_t)j->max_word;
	if (tok_json_normalizer(j, json_get(root, "normalizer"), e) ||
	    tok_json_pre_tokenizer(j, json_get(root, "pre_tokenizer"), e) ||
	    tok_json_post_processor(j, json_get(root, "post_processor"), e))
		return -1;
	if (tok_json_settle(j, e) || normalize_added(j, e) || build_vocab(j, e))
		return -1;
	if (t->byte_level)
		tok_find_bytes(t);
	if (t->model == TOK_WPM && t->unk < 0)
		return bad(e, "WordPiece without an unknown token");
	if (t->model == TOK_BPE && read_merges(j, json_get(model, "merges"), e))
		return -1;
	if (t->model == TOK_UGM) {
		t->scores = calloc(t->n + 1, sizeof *t->scores);
		if (!t->scores)
			return err_nomem(e);
		memcpy(t->scores, j->scores, (j->n_scores < t->n ? j->n_scores : t->n) * sizeof *t->scores);
	}
	read_roles(j, config);
	if (build_added(j, e) || read_template(j, config, e))
		return -1;
	set_name(t);
	return tok_finish(t, e);
}

int tok_open_json(struct tok **out, struct str json, struct str config, const char *name, struct err *e)
{
	struct tok_json j = { 0 };
	struct json_val root, conf = { 0 };
	int rc = -1;

	arena_init(&j.arena, (size_t)1 << 30);
	if (json_parse(&root, json, e) || (config.n && json_parse(&conf, config, e)))
		rc = err_wrap(e, "tokenizer.json");
	else if (json_get(root, "model").type != JSON_OBJECT)
		bad(e, "there is no model in it");
	else
		rc = read_model(&j, json_get(root, "model"), e) || read_added(&j, json_get(root, "added_tokens"), e) ||
		     build(&j, root, conf, e);
	arena_release(&j.arena);
	free(j.texts);
	free(j.scores);
	free(j.added);
	if (rc) {
		tok_close(j.t);
		if (e && e->code != ERR_NOMEM)
			e->code = ERR_OPEN; /* the file's fault, whatever it is */
		return err_wrap(e, "%s", name);
	}
	*out = j.t;
	return 0;
}
