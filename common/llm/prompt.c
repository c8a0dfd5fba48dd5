/* prompt: from a record to the tokens of a prompt. */
#include "config.h"
#include "llm/llm.h"

void llm_prompt_release(struct llm_prompt *p)
{
	tok_ids_release(&p->ids);
}

/*
 * How much of `text` to keep so that about n_over tokens fewer come of it: the start of a token, at
 * a whole character. ERR_CONTEXT_LENGTH when nothing would be left.
 */
static int cut(size_t *keep, struct tok_enc *x, struct str text, size_t n_over, struct err *e)
{
	struct tok_spans spans = { 0 };
	struct tok_ids ids = { 0 };
	int rc = tok_encode(&ids, &spans, x, text, 0, e);

	if (!rc && ids.n <= n_over)
		rc = err_set(e, ERR_CONTEXT_LENGTH,
			     "truncation would leave nothing of the text: %zu tokens too many",
			     n_over);
	else if (!rc)
		*keep = utf8_border(text, spans.v[ids.n - n_over].start);
	free(spans.v);
	tok_ids_release(&ids);
	return rc;
}

/* ---- prompts ------------------------------------------------------------------------------- */

static void put_turn(struct json_w *w, const char *role, struct str content)
{
	json_w_begin(w, '{');
	json_w_key(w, "role");
	json_w_strz(w, role);
	json_w_key(w, "content");
	json_w_str(w, content);
	json_w_end(w, '}');
}

static bool has_system(struct json_val messages)
{
	struct json_iter it = json_iter(messages);
	struct json_val first, role;

	if (!json_next(&first, &it))
		return false;
	role = json_get(first, "role");
	return role.type == JSON_STRING &&
	       (str_is(role.raw, "\"system\"") || str_is(role.raw, "\"developer\""));
}

/* The turns as JSON; text NULL: messages alone. */
static int put_messages(struct str *out, const struct llm_prompter *p, struct json_val messages,
			const struct str *text, struct arena *a, struct err *e)
{
	struct json_iter it = json_iter(messages);
	struct json_val m;
	struct json_w w;
	struct buf b;
	int rc;

	buf_init(&b, 2 * BUF_MAX_LINE);
	w = json_w(&b);
	json_w_begin(&w, '[');
	if (p->system.n && !has_system(messages))
		put_turn(&w, "system", p->system);
	while (json_next(&m, &it))
		json_w_raw(&w, m.raw);
	if (text)
		put_turn(&w, "user", *text);
	json_w_end(&w, ']');
	rc = buf_check(&b, e);
	if (!rc) {
		*out = arena_str(a, buf_str(&b));
		rc = out->p ? 0 : err_nomem(e);
	}
	buf_release(&b);
	return rc;
}

/* text, a blank line, what is appended: each if it is there. */
static int join(struct str *out, struct str text, struct str append, struct arena *a, struct err *e)
{
	size_t gap = text.n && append.n ? 2 : 0, n = text.n + gap + append.n;
	char *s = arena_alloc(a, n + 1);

	if (!s)
		return err_nomem(e);
	*out = (struct str){ s, n };
	if (text.n)
		memcpy(s, text.p, text.n);
	memcpy(s + text.n, "\n\n", gap);
	if (append.n)
		memcpy(s + text.n + gap, append.p, append.n);
	return 0;
}

/* The parts of a prompt whose text is cut to `keep` bytes. */
static int render(struct llm_prompt *out, const struct llm_prompter *p, struct json_val record,
		  struct json_val messages, struct str text, bool has_text, struct arena *a,
		  struct err *e)
{
	struct json_val all;
	struct str s;

	if (has_text && join(&s, text, p->append, a, e))
		return -1;
	if (put_messages(&out->messages, p, messages, has_text ? &s : NULL, a, e) ||
	    json_parse(&all, out->messages, e))
		return -1;
	if (p->chat)
		return tok_chat_render(&out->parts, p->chat, p->tok, all, json_get(record, "tools"),
				       p->more, true, a, e);
	if (messages.type != JSON_NONE)
		return err_set(
			e, ERR_UNSUPPORTED,
			"messages need a chat template: the model has none (--chat-template-file), "
			"or --raw was given");
	out->parts.v = arena_alloc(a, 2 * sizeof *out->parts.v);
	if (!out->parts.v || (p->system.n && join(&s, p->system, s, a, e)))
		return err_nomem(e);
	out->parts.v[0] = (struct tok_part){ s, !p->raw };
	out->parts.n = 1;
	return 0;
}

/* The text that the template makes of the record; as parts where they are the prompt itself. */
static int fill(struct str *text, struct llm_prompt *out, const struct llm_prompter *p,
		struct json_val record, struct arena *a, struct err *e)
{
	return tok_tmpl_render(&out->parts, p->fill, record, p->more, a, e) ||
			       tok_parts_text(text, &out->parts, a, e)
		       ? -1
		       : 0;
}

int llm_prompt_text(struct str *messages, struct str *text, const struct llm_prompter *p,
		    struct json_val record, struct json_val turns, struct str s, struct arena *a,
		    struct err *e)
{
	bool has_text = turns.type == JSON_NONE || p->fill || p->append.n;
	struct llm_prompt scratch = { 0 };

	if (turns.type != JSON_NONE && !p->fill)
		s = STR("");
	if (p->fill) {
		if (fill(&s, &scratch, p, record, a, e))
			return -1;
		turns = (struct json_val){ .type = JSON_NONE };
	}
	if ((has_text && join(&s, s, p->append, a, e)) ||
	    put_messages(messages, p, turns, has_text ? &s : NULL, a, e))
		return -1;
	if (!text)
		return 0;
	if (turns.type != JSON_NONE)
		return err_set(e, ERR_UNSUPPORTED, "messages have no raw form: leave --raw out");
	return join(text, p->system, s, a, e);
}

static int encode(struct llm_prompt *out, struct tok_enc *x, struct err *e)
{
	out->ids.n = 0;
	return tok_encode_parts(&out->ids, x, &out->parts, e);
}

int llm_prompt_make(struct llm_prompt *out, const struct llm_prompter *p, struct tok_enc *x,
		    struct json_val record, struct json_val messages, struct str text,
		    int32_t limit, struct arena *a, struct err *e)
{
	bool has_text = messages.type == JSON_NONE || p->fill || p->append.n;
	size_t over = 0, keep = 0;

	if (messages.type != JSON_NONE && !p->fill)
		text = STR("");
	if (p->fill) {
		if (fill(&text, out, p, record, a, e))
			return -1;
		messages = (struct json_val){ .type = JSON_NONE };
	}
	/* without turns the template's own parts are the prompt: its special tokens count */
	if (p->fill && !p->chat && !p->system.n && !p->append.n) {
		if (encode(out, x, e))
			return -1;
		out->messages = text;
		out->n_whole = (int32_t)out->ids.n;
		if (limit <= 0 || out->n_whole <= limit)
			return 0;
	}
	for (int i = 0; i < 10; i++) {
		struct str kept = i ? str_sub(text, 0, keep) : text;

		if (render(out, p, record, messages, kept, has_text, a, e) || encode(out, x, e))
			return -1;
		if (!i)
			out->n_whole = (int32_t)out->ids.n;
		if (limit <= 0 || out->ids.n <= (size_t)limit)
			return 0;
		over += out->ids.n - (size_t)limit;
		if (!text.n)
			return err_set(
				e, ERR_CONTEXT_LENGTH,
				"prompt is %d tokens, at most %d: messages are not truncated",
				out->n_whole, limit);
		if (cut(&keep, x, text, over, e))
			return -1;
	}
	return err_set(e, ERR_CONTEXT_LENGTH, "prompt is %d tokens, and cannot be cut to %d",
		       out->n_whole, limit);
}

/* ---- documents ----------------------------------------------------------------------------- */

int llm_document(struct tok_ids *ids, int32_t *n_whole, struct tok_enc *x, struct str text,
		 int32_t limit, struct err *e)
{
	size_t over = 0, keep = text.n, from = ids->n;

	for (int i = 0; i < 10; i++) {
		ids->n = from;
		if (tok_encode(ids, NULL, x, str_sub(text, 0, keep), TOK_ADD_SPECIAL, e))
			return -1;
		if (!i)
			*n_whole = (int32_t)(ids->n - from);
		if (limit <= 0 || ids->n - from <= (size_t)limit)
			return 0;
		over += ids->n - from - (size_t)limit;
		if (cut(&keep, x, text, over, e))
			return -1;
	}
	return err_set(e, ERR_CONTEXT_LENGTH, "the text is %d tokens, and cannot be cut to %d",
		       *n_whole, limit);
}

/* ---- pairs --------------------------------------------------------------------------------- */

int llm_pairing(struct llm_pairing *out, const struct llm *l, struct err *e)
{
	const struct gguf *g = llm_gguf(l);
	struct str arch = gguf_str_or(g, "general.architecture", STR(""));
	const char *model = tok_model_name(llm_tok(l));

	/* kept by llama.cpp's converter (its Qwen3-Reranker) */
	out->tmpl = gguf_str_or(g, "tokenizer.chat_template.rerank", STR(""));
	/* <s> query </s></s> document </s>; but ModernBERT, which is no RoBERTa, as BERT: [CLS] query [SEP] document [SEP] */
	out->twice = (str_is(arch, "bert") || str_is(arch, "nomic-bert")) && strcmp(model, "bert") != 0;
	if (!out->tmpl.n && !tok_add_eos(llm_tok(l)))
		return err_set(e, ERR_OPEN,
			       "%s does not say how a query and a document stand together: it has neither "
			       "separators nor tokenizer.chat_template.rerank",
			       llm_name(l));
	return 0;
}

/* The template cut at {query} and {document}: its own text may hold special tokens, what stands for those may not. */
static int fill_pair(struct tok_ids *ids, struct tok_enc *x, struct str tmpl, struct str query, struct str doc,
		     struct err *e)
{
	static const struct str names[] = { STR("{query}"), STR("{document}") };
	struct tok_part parts[64];
	struct tok_parts all = { .v = parts };

	while (tmpl.n) {
		size_t q = str_find(tmpl, names[0], 0), d = str_find(tmpl, names[1], 0), at = q < d ? q : d;

		if (all.n + 2 > sizeof parts / sizeof *parts)
			return err_set(e, ERR_INVALID_FIELD, "tokenizer.chat_template.rerank: too many places");
		parts[all.n++] = (struct tok_part){ .text = str_sub(tmpl, 0, at) };
		if (at == tmpl.n)
			break;
		parts[all.n++] = (struct tok_part){ .text = q < d ? query : doc, .from_user = true };
		tmpl = str_sub(tmpl, at + names[q > d].n, tmpl.n);
	}
	return tok_encode_parts(ids, x, &all, e);
}

/* Both with what stands around a text; the second one's beginning goes. */
static int join_pair(struct tok_ids *ids, int32_t *second, struct tok_enc *x, const struct tok *t, bool twice,
		     struct str query, struct str doc, struct err *e)
{
	size_t from = ids->n, at;

	if (tok_encode(ids, NULL, x, query, TOK_ADD_SPECIAL, e) ||
	    (twice && tok_ids_push(ids, ids->v[ids->n - 1], e)))
		return -1;
	at = ids->n;
	if (tok_encode(ids, NULL, x, doc, TOK_ADD_SPECIAL, e))
		return -1;
	if (tok_add_bos(t)) {
		memmove(ids->v + at, ids->v + at + 1, (ids->n - at - 1) * sizeof *ids->v);
		ids->n--;
	}
	*second = (int32_t)(at - from);
	return 0;
}

int llm_pair(struct tok_ids *ids, int32_t *second, int32_t *n_whole, struct tok_enc *x, const struct tok *t,
	     const struct llm_pairing *p, struct str query, struct str doc, int32_t limit, struct err *e)
{
	size_t over = 0, keep = doc.n, from = ids->n;

	*second = 0;
	for (int i = 0; i < 10; i++) {
		struct str kept = str_sub(doc, 0, keep);

		ids->n = from;
		if (p->tmpl.n ? fill_pair(ids, x, p->tmpl, query, kept, e) :
				join_pair(ids, second, x, t, p->twice, query, kept, e))
			return -1;
		if (!i)
			*n_whole = (int32_t)(ids->n - from);
		if (limit <= 0 || ids->n - from <= (size_t)limit)
			return 0;
		over += ids->n - from - (size_t)limit;
		if (cut(&keep, x, doc, over, e))
			return -1;
	}
	return err_set(e, ERR_CONTEXT_LENGTH, "query and document are %d tokens, and cannot be cut to %d", *n_whole,
		       limit);
}
