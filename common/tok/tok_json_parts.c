/* The components of a tokenizer.json around its model: normalizer, pre-tokenizer, post-processor. */
#include "config.h"
#include "tok/tok_json_impl.h"

#define UNDERLINE STR("\xe2\x96\x81")
#define MAX_NESTED 32

static int unsupported(struct err *e, const char *what, struct str type)
{
	return err_set(e, ERR_OPEN, "tokenizer.json: the %s \"" STR_FMT "\" is not supported", what, STR_ARG(type));
}

/* One component or a sequence of them: each in turn to fn. */
static int each(struct tok_json *j, struct json_val v, const char *list, struct err *e,
		int (*fn)(struct tok_json *, struct json_val, struct str, struct err *))
{
	struct json_iter it;
	struct json_val x;
	struct str type;

	if (v.type != JSON_OBJECT)
		return 0;
	type = tok_json_text(j, v, "type");
	if (!str_is(type, "Sequence"))
		return fn(j, v, type, e);
	it = json_iter(json_get(v, list));
	while (json_next(&x, &it)) {
		type = tok_json_text(j, x, "type");
		if (str_is(type, "Sequence") ? unsupported(e, "sequence inside a", type) : fn(j, x, type, e))
			return -1;
	}
	return 0;
}

/* ---- normalizers */

static int replace(struct tok_json *j, struct json_val v, struct err *e)
{
	struct json_val pattern = json_get(v, "pattern");
	struct str text = tok_json_text(j, pattern, "String"), regex = tok_json_text(j, pattern, "Regex"),
		   content = tok_json_text(j, v, "content");

	if (str_is(text, " ") && str_eq(content, UNDERLINE)) { /* the other way round here: see tok_add_blanks() */
		j->underlines = true;
		return tok_add_norm(j->t, TOK_NORM_REPLACE, UNDERLINE, STR(" "), e);
	}
	if (text.n)
		return tok_add_norm(j->t, TOK_NORM_REPLACE, text, content, e);
	if (str_is(regex, " {2,}"))
		return tok_add_norm(j->t, TOK_NORM_BLANKS, STR(""), content, e);
	return unsupported(e, "pattern of Replace", regex);
}

static int normalizer(struct tok_json *j, struct json_val v, struct str type, struct err *e)
{
	static const struct { const char *name; enum tok_norm_op op; } plain[] = {
		{ "NFC", TOK_NORM_NFC }, { "NFD", TOK_NORM_NFD }, { "NFKC", TOK_NORM_NFKC }, { "NFKD", TOK_NORM_NFKD },
		{ "Lowercase", TOK_NORM_LOWER }, { "StripAccents", TOK_NORM_STRIP_ACCENTS }, { "Nmt", TOK_NORM_NMT }
	};
	struct tok *t = j->t;
	struct str s;

	for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
		if (str_is(type, plain[i].name))
			return tok_add_norm(t, plain[i].op, STR(""), STR(""), e);
	if (str_is(type, "BertNormalizer")) {
		struct json_val strip = json_get(v, "strip_accents");

		t->lowercase = tok_json_flag(v, "lowercase", true);
		t->strip_accents = strip.type == JSON_TRUE || (strip.type != JSON_FALSE && t->lowercase);
		t->clean_text = tok_json_flag(v, "clean_text", true);
		t->chinese = tok_json_flag(v, "handle_chinese_chars", true);
		j->bert_norm = true;
		return tok_add_norm(t, TOK_NORM_BERT, STR(""), STR(""), e);
	}
	if (str_is(type, "Replace"))
		return replace(j, v, e);
	if (str_is(type, "Prepend")) {
		s = tok_json_text(j, v, "prepend");
		return tok_add_norm(t, TOK_NORM_PREPEND, STR(""), str_eq(s, UNDERLINE) ? STR(" ") : s, e);
	}
	if (str_is(type, "Strip"))
		return (tok_json_flag(v, "strip_left", true) && tok_add_norm(t, TOK_NORM_STRIP_LEFT, STR(""), STR(""), e)) ||
				       (tok_json_flag(v, "strip_right", true) &&
					tok_add_norm(t, TOK_NORM_STRIP_RIGHT, STR(""), STR(""), e)) ?
			       -1 :
			       0;
	if (str_is(type, "Precompiled")) {
		struct buf map;
		int rc;

		buf_init(&map, 64 << 20);
		rc = json_base64_get(&map, tok_json_text(j, v, "precompiled_charsmap"), e) ||
		     tok_add_charsmap(t, buf_str(&map), e);
		buf_release(&map);
		return rc ? -1 : 0;
	}
	return unsupported(e, "normalizer", type);
}

int tok_json_normalizer(struct tok_json *j, struct json_val v, struct err *e)
{
	return each(j, v, "normalizers", e, normalizer);
}

/* ---- pre-tokenizers */

static int add_stages(struct tok_json *j, const struct pre_stage *st, unsigned n, struct err *e)
{
	struct pre *p = &j->t->pre;

	if (p->n_stages + n > PRE_MAX_STAGES)
		return err_set(e, ERR_OPEN, "tokenizer.json: the pre-tokenizer has over %d steps", PRE_MAX_STAGES);
	memcpy(&p->stages[p->n_stages], st, n * sizeof *st);
	p->n_stages += n;
	return 0;
}

static int split(struct tok_json *j, struct json_val v, struct err *e)
{
	struct json_val pattern = json_get(v, "pattern");
	struct str text = tok_json_text(j, pattern, "String"), regex = tok_json_text(j, pattern, "Regex"),
		   behavior = tok_json_text(j, v, "behavior");
	bool invert = tok_json_flag(v, "invert", false), total;
	struct pre_stage st[PRE_MAX_STAGES];
	unsigned n;

	if (str_is(text, " ") && j->underlines) /* there is no blank left to split at */
		return 0;
	if (text.n)
		return unsupported(e, "Split at the text", text);
	n = pre_by_regex(st, &total, regex);
	if (!n)
		return unsupported(e, "regular expression", regex);
	if (!(str_is(behavior, "Isolated") && !invert) && !(str_is(behavior, "Removed") && invert && total))
		return unsupported(e, "Split with behavior", behavior);
	return add_stages(j, st, n, e);
}

static int metaspace(struct tok_json *j, struct json_val v, struct err *e)
{
	struct str scheme = tok_json_text(j, v, "prepend_scheme"), with = tok_json_text(j, v, "replacement");
	struct tok *t = j->t;

	if (!str_eq(with, UNDERLINE))
		return unsupported(e, "replacement of Metaspace", with);
	if (!scheme.n)
		scheme = tok_json_flag(v, "add_prefix_space", true) ? STR("always") : STR("never");
	if (t->pre.n_stages) { /* WhitespaceSplit before it: each word gets its blank */
		if (t->pre.n_stages > 1 || t->pre.stages[0].fn != pre_whitespace_split.fn || !str_is(scheme, "always"))
			return unsupported(e, "pre-tokenizer before", STR("Metaspace"));
		t->pre.n_stages = 0;
		j->drop_blanks = false;
		if (tok_add_norm(t, TOK_NORM_SPACES, STR(""), STR(""), e))
			return -1;
	}
	j->underlines = true;
	if (tok_add_norm(t, TOK_NORM_REPLACE, UNDERLINE, STR(" "), e))
		return -1;
	if (!str_is(scheme, "never")) {
		if (tok_add_norm(t, TOK_NORM_PREFIX, STR(""), STR(" "), e))
			return -1;
		t->norms[t->n_norms - 1].first_only = str_is(scheme, "first");
	}
	return tok_json_flag(v, "split", true) ? add_stages(j, &pre_metaspace, 1, e) : 0;
}

static int byte_level(struct tok_json *j, struct json_val v, struct err *e)
{
	j->t->byte_level = true;
	if (tok_json_flag(v, "add_prefix_space", true)) {
		if (j->t->pre.n_stages)
			return unsupported(e, "prefix of ByteLevel behind", STR("another pre-tokenizer"));
		if (tok_add_norm(j->t, TOK_NORM_PREFIX, STR(""), STR(" "), e))
			return -1;
	}
	return tok_json_flag(v, "use_regex", true) ? add_stages(j, &pre_gpt2, 1, e) : 0;
}

static int pre_tokenizer(struct tok_json *j, struct json_val v, struct str type, struct err *e)
{
	if (str_is(type, "ByteLevel"))
		return byte_level(j, v, e);
	if (str_is(type, "Split"))
		return split(j, v, e);
	if (str_is(type, "Metaspace"))
		return metaspace(j, v, e);
	if (str_is(type, "Digits"))
		return add_stages(j, tok_json_flag(v, "individual_digits", false) ? &pre_digit : &pre_digits, 1, e);
	if (str_is(type, "Punctuation") && str_is(tok_json_text(j, v, "behavior"), "Isolated"))
		return add_stages(j, &pre_punct, 1, e);
	if (str_is(type, "BertPreTokenizer")) {
		j->bert_pre = j->drop_blanks = true;
		return add_stages(j, &pre_bert, 1, e);
	}
	if (str_is(type, "Whitespace")) {
		j->drop_blanks = true;
		return add_stages(j, &pre_words, 1, e);
	}
	if (str_is(type, "WhitespaceSplit")) {
		j->drop_blanks = true;
		return add_stages(j, &pre_whitespace_split, 1, e);
	}
	return unsupported(e, "pre-tokenizer", type);
}

int tok_json_pre_tokenizer(struct tok_json *j, struct json_val v, struct err *e)
{
	return each(j, v, "pretokenizers", e, pre_tokenizer);
}

/* ---- post-processors: the tokens around a text */

static int end_token(struct tok_json *j, bool head, uint64_t id, struct err *e)
{
	unsigned *n = head ? &j->t->n_head : &j->t->n_tail;

	if (id >= j->n || *n == TOK_MAX_ENDS)
		return err_set(e, ERR_OPEN, "tokenizer.json: the post-processor names token %llu", (unsigned long long)id);
	(head ? j->t->head : j->t->tail)[(*n)++] = (int32_t)id;
	return 0;
}

/* {"single": [{"SpecialToken": {"id": "[CLS]"}}, {"Sequence": …}, …], "special_tokens": {"[CLS]": {"ids": [101]}}} */
static int template(struct tok_json *j, struct json_val v, struct err *e)
{
	struct json_iter it = json_iter(json_get(v, "single"));
	struct json_val x;
	bool head = true;

	j->t->n_head = j->t->n_tail = 0;
	while (json_next(&x, &it)) {
		struct json_val sp = json_get(x, "SpecialToken");
		struct json_iter ids;
		struct json_val id;
		uint64_t u;

		if (sp.type != JSON_OBJECT) {
			head = false;
			continue;
		}
		struct str name = tok_json_text(j, sp, "id");
		struct json_iter members = json_iter(json_get(v, "special_tokens"));
		struct json_val def, found = { 0 };
		struct str key;

		while (json_next_member(&key, &def, &members))
			if (json_key_is(key, name))
				found = def;
		ids = json_iter(json_get(found, "ids"));
		while (json_next(&id, &ids))
			if (json_u64(&u, id, e) || end_token(j, head, u, e))
				return -1;
	}
	return 0;
}

/* BertProcessing and RobertaProcessing: {"cls": ["[CLS]", 101], "sep": ["[SEP]", 102]} */
static int pair_id(uint64_t *out, struct json_val pair, struct err *e)
{
	struct json_iter it = json_iter(pair);
	struct json_val text, id;

	if (!json_next(&text, &it) || !json_next(&id, &it) || json_u64(out, id, e))
		return err_set(e, ERR_OPEN, "tokenizer.json: the post-processor has no pair of a text and an id");
	return 0;
}

static int post_processor(struct tok_json *j, struct json_val v, struct str type, struct err *e)
{
	uint64_t cls, sep;

	if (str_is(type, "TemplateProcessing"))
		return template(j, v, e);
	if (str_is(type, "BertProcessing") || str_is(type, "RobertaProcessing")) {
		j->t->n_head = j->t->n_tail = 0;
		return pair_id(&cls, json_get(v, "cls"), e) || pair_id(&sep, json_get(v, "sep"), e) ||
				       end_token(j, true, cls, e) || end_token(j, false, sep, e) ?
			       -1 :
			       0;
	}
	if (str_is(type, "ByteLevel")) /* trims offsets, nothing else */
		return 0;
	return unsupported(e, "post-processor", type);
}

int tok_json_post_processor(struct tok_json *j, struct json_val v, struct err *e)
{
	return each(j, v, "processors", e, post_processor);
}

/* ---- together */

/* A blank in front of the text and U+2581 for blanks, nothing else: done without a copy of the text. */
static void settle_prefix(struct tok_json *j)
{
	struct tok *t = j->t;
	struct tok_norm *prefix = NULL;
	unsigned k = 0;

	if (t->pre.n_stages > 1 || (t->pre.n_stages == 1 && t->pre.stages[0].fn != pre_metaspace.fn))
		return;
	for (unsigned i = 0; i < t->n_norms; i++) {
		struct tok_norm *n = &t->norms[i];

		if ((n->op == TOK_NORM_PREPEND || n->op == TOK_NORM_PREFIX) && !prefix && n->nb == 1 && n->b[0] == ' ')
			prefix = n;
		else if (n->op != TOK_NORM_REPLACE || n->nb != 1 || n->b[0] != ' ')
			return;
	}
	if (!prefix)
		return;
	t->add_prefix = true;
	t->prefix_first = prefix->first_only;
	t->prefix_unless = prefix->op == TOK_NORM_PREFIX;
	for (unsigned i = 0; i < t->n_norms; i++)
		if (&t->norms[i] == prefix) {
			free(prefix->a);
			free(prefix->b);
		} else {
			t->norms[k++] = t->norms[i];
		}
	t->n_norms = k;
}

int tok_json_settle(struct tok_json *j, struct err *e)
{
	struct tok *t = j->t;

	if (t->byte_level && j->underlines)
		return unsupported(e, "pre-tokenizer ByteLevel with", UNDERLINE);
	if (t->byte_level && t->model != TOK_BPE)
		return unsupported(e, "pre-tokenizer ByteLevel with another model than", STR("BPE"));
	/* BERT's two steps are one when nothing else stands between */
	t->fused_bert = t->model == TOK_WPM && j->bert_norm && j->bert_pre && t->n_norms == 1 && t->pre.n_stages == 1;
	for (size_t i = 0; i < j->n_added; i++)
		t->fused_bert &= !(j->added[i].s.flags & TOK_NORMALIZED);
	if (t->fused_bert) {
		free(t->norms[0].a);
		free(t->norms[0].b);
		t->n_norms = 0;
		t->pre.n_stages = 0;
		j->drop_blanks = false;
	}
	t->drop_blanks = j->drop_blanks;
	t->clean_spaces = t->model == TOK_WPM;
	pre_fuse(&t->pre);
	settle_prefix(j);
	/* decoding takes the blank away that encoding put in front */
	t->strip_blank = t->add_prefix;
	for (unsigned i = 0; i < t->n_norms; i++)
		t->strip_blank |= j->underlines && (t->norms[i].op == TOK_NORM_PREPEND || t->norms[i].op == TOK_NORM_PREFIX);
	return 0;
}
