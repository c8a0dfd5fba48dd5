/* jinja_tmpl: templates as the rest of the tree sees them: open, render, encode; the model's chat
 * template. */
#include "config.h"
#include "tok/jinja_impl.h"
#include "tok/tok_impl.h"

/* ---- opening ------------------------------------------------------------------------------- */

/* A copy with LF for each kind of line end, less one at the end of the text (jinja2's
 * newline_sequence and keep_trailing_newline). */
static int copy_source(struct tok_tmpl *t, struct str s, struct err *e)
{
	char *p = arena_alloc(&t->mem, s.n + 1);
	size_t n = 0;

	if (!p)
		return err_nomem(e);
	for (size_t i = 0; i < s.n; i++) {
		p[n++] = s.p[i] == '\r' ? '\n' : s.p[i];
		i += s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n';
	}
	n -= n && p[n - 1] == '\n';
	t->source = (struct str){ p, n };
	return 0;
}

struct str tok_tmpl_source(const struct tok_tmpl *t)
{
	return t->source;
}

int tok_tmpl_open(struct tok_tmpl **out, struct str source, const char *name, struct err *e)
{
	size_t bad = utf8_valid(source);
	struct jtoks toks = { 0 };
	struct tok_tmpl *t;

	if (source.n > JINJA_MAX_SOURCE)
		return err_set(e, ERR_USAGE, "template %s: over %d bytes", name, JINJA_MAX_SOURCE);
	if (bad < source.n)
		return err_set(e, ERR_USAGE, "template %s: not valid UTF-8 at byte %zu", name, bad);
	t = calloc(1, sizeof *t);
	if (!t)
		return err_nomem(e);
	arena_init(&t->mem, (size_t)1 << 30);
	t->name = arena_str(&t->mem, str_of(name));
	if (!t->name.p || copy_source(t, source, e) || jinja_lex(&toks, t->source, &t->mem, e) ||
	    jinja_parse(t, &toks, e)) {
		if (!t->name.p)
			err_nomem(e);
		free(toks.v);
		tok_tmpl_close(t);
		return err_wrap(e, "template %s", name);
	}
	free(toks.v);
	*out = t;
	return 0;
}

void tok_tmpl_close(struct tok_tmpl *t)
{
	if (!t)
		return;
	free(t->syms);
	arena_release(&t->mem);
	free(t);
}

/* ---- rendering ----------------------------------------------------------------------------- */

static int render(struct tok_parts *out, const struct tok_tmpl *t, struct json_val vars,
		  struct json_val more, struct json_val trusted, struct arena *a, struct err *e)
{
	struct jinja j = {
		.t = t, .a = a, .e = e, .trusted = trusted, .more = more, .vars = vars, .line = 1
	};
	size_t from = 0;

	j.globals = jinja_alloc(&j, t->n_syms, sizeof *j.globals);
	j.known = jinja_alloc(&j, t->n_syms, sizeof *j.known);
	j.scope = jinja_alloc(&j, 1, sizeof *j.scope);
	if (!j.globals || !j.known || !j.scope)
		return -1;
	memset(j.known, 0, t->n_syms * sizeof *j.known);
	*j.scope = (struct jscope){ 0 };
	if (jinja_body(&j, t->body))
		return -1;
	out->n = j.out.n_runs;
	out->v = jinja_alloc(&j, out->n, sizeof *out->v);
	if (!out->v)
		return -1;
	for (size_t i = 0; i < out->n; from = j.out.runs[i++].end)
		out->v[i] = (struct tok_part){ { j.out.p + from, j.out.runs[i].end - from },
					       j.out.runs[i].user };
	return 0;
}

int tok_tmpl_render(struct tok_parts *out, const struct tok_tmpl *t, struct json_val vars,
		    struct json_val more, struct arena *a, struct err *e)
{
	return render(out, t, vars, more, (struct json_val){ .type = JSON_NONE }, a, e);
}

int tok_parts_text(struct str *out, const struct tok_parts *p, struct arena *a, struct err *e)
{
	size_t n = 0;
	char *s;

	for (size_t i = 0; i < p->n; i++)
		n += p->v[i].text.n;
	s = arena_alloc(a, n + 1);
	if (!s)
		return err_nomem(e);
	*out = (struct str){ s, n };
	for (size_t i = 0; i < p->n; i++) {
		if (p->v[i].text.n)
			memcpy(s, p->v[i].text.p, p->v[i].text.n);
		s += p->v[i].text.n;
	}
	*s = 0;
	return 0;
}

int tok_encode_parts(struct tok_ids *ids, struct tok_enc *x, const struct tok_parts *p,
		     struct err *e)
{
	const struct tok *t = tok_enc_tok(x);
	struct arena a;
	struct str text;
	size_t first;
	int rc;

	if (tok_add_bos(t) && tok_ids_push(ids, tok_bos(t), e))
		return -1;
	first = ids->n;
	arena_init(&a, (size_t)JINJA_MAX_OUTPUT * 2);
	rc = tok_parts_text(&text, p, &a, e) || tok_encode_marked(ids, x, text, p, e);
	arena_release(&a);
	if (rc)
		return -1;
	if (tok_add_bos(t) && ids->n > first &&
	    ids->v[first] == tok_bos(t)) /* the template wrote one itself */
		ids->n--, memmove(ids->v + first, ids->v + first + 1,
				  (ids->n - first) * sizeof *ids->v);
	return 0;
}

/* ---- chat ---------------------------------------------------------------------------------- */

int tok_chat_open(struct tok_tmpl **out, const struct gguf *g, struct err *e)
{
	struct str s = gguf_str_or(g, "tokenizer.chat_template", STR(""));

	*out = NULL;
	if (!s.n)
		return 0;
	if (tok_tmpl_open(out, s, "tokenizer.chat_template", e)) {
		e->code = ERR_OPEN; /* the file's fault, not the command line's */
		return -1;
	}
	return 0;
}

static void put_token(struct json_w *w, const char *key, const struct tok *tok, int32_t id)
{
	if (id < 0)
		return;
	json_w_key(w, key);
	json_w_str(w, tok_text(tok, id));
}

int tok_chat_render(struct tok_parts *out, const struct tok_tmpl *t, const struct tok *tok,
		    struct json_val messages, struct json_val tools, struct json_val more,
		    bool add_generation_prompt, struct arena *a, struct err *e)
{
	struct json_val vars, trusted;
	struct buf b[2];
	int rc = -1;

	for (int i = 0; i < 2; i++) {
		struct json_w w;

		buf_init(&b[i], 2 * BUF_MAX_LINE);
		w = json_w(&b[i]);
		json_w_begin(&w, '{');
		if (i) {
			json_w_key(&w, "messages");
			json_w_raw(&w, messages.raw);
			if (tools.type != JSON_NONE) {
				json_w_key(&w, "tools");
				json_w_raw(&w, tools.raw);
			}
		} else {
			json_w_key(&w, "add_generation_prompt");
			json_w_bool(&w, add_generation_prompt);
			put_token(&w, "bos_token", tok, tok_bos(tok));
			put_token(&w, "eos_token", tok, tok_eos(tok));
		}
		json_w_end(&w, '}');
	}
	if (!buf_check(&b[0], e) && !buf_check(&b[1], e)) {
		struct str s[2] = { arena_str(a, buf_str(&b[0])), arena_str(a, buf_str(&b[1])) };

		if (!s[0].p || !s[1].p)
			err_nomem(e);
		else
			rc = json_parse(&trusted, s[0], e) || json_parse(&vars, s[1], e) ||
			     render(out, t, more, vars, trusted, a, e);
	}
	buf_release(&b[0]);
	buf_release(&b[1]);
	return rc ? -1 : 0;
}
