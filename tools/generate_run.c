/* generate_run: records to questions, answers to members. */
#include "config.h"
#include "generate.h"

struct run {
	struct gen *g;
	struct buf b;
	struct err fault; /* of a callback */
};

static bool is_batch(struct record *r)
{
	struct json_val o = record_json(r);

	return json_get(o, "body").type == JSON_OBJECT &&
	       json_get(o, "custom_id").type == JSON_STRING;
}

/* Is the text the prompt itself: /v1/completions? */
static bool is_completion(struct record *r)
{
	struct json_val url = json_get(record_json(r), "url");

	return is_batch(r) && str_ends(url.raw, STR("/completions\"")) &&
	       !str_ends(url.raw, STR("/chat/completions\""));
}

/* ---- questions ----------------------------------------------------------------------------- */

int gen_ask(struct llm_ask *q, struct gen *g, struct record *r, struct err *e)
{
	q->a = record_arena(r);
	q->id = record_id(r);
	q->record = record_json(r);
	q->params = json_get(q->record, "params");
	q->messages = record_messages(r);
	if (is_batch(r)) {
		q->body = json_get(q->record, "body");
		if (json_get(q->record, "url").type == JSON_STRING &&
		    json_str(&q->url, json_get(q->record, "url"), q->a, e))
			return -1;
	}
	q->kind = is_completion(r) ? LLM_ASK_COMPLETION : LLM_ASK_CHAT;
	if (q->messages.type == JSON_NONE && !g->fill && record_text(&q->text, r, e))
		return -1;
	if (q->messages.type != JSON_NONE && q->messages.type != JSON_ARRAY)
		return err_set(e, ERR_INVALID_FIELD, "`messages` must be an array");
	if (record_is_text(r)) {
		/* the newline that ends a file or an echo is no part of the prompt */
		q->text.n -= str_ends(q->text, STR("\n"));
		q->text.n -= str_ends(q->text, STR("\r"));
	}
	return 0;
}

int gen_prompt(struct llm_ask *q, struct gen *g, struct record *r, struct llm_params *p,
	       struct err *e)
{
	*q = (struct llm_ask){ 0 };
	return gen_ask(q, g, r, e) || (p && llm_ask_params(p, q, e)) ||
			       llm_ask_prompt(&g->prompt, &g->setup, g->l, p ? p : &g->params,
					      g->enc, q, e)
		       ? -1
		       : 0;
}

int gen_set_truncated(struct record *r, int32_t from, int32_t to, struct err *e)
{
	char t[64];
	int n = snprintf(t, sizeof t, "{\"from\":%d,\"to\":%d}", from, to);

	return from > to ? record_set_raw(r, "truncated", (struct str){ t, (size_t)n }, e) : 0;
}

/* The request that a service would get. */
static int put_preview(struct gen *g, struct record *r, const struct price_book *book,
		       struct err *e)
{
	struct llm_ask q = { 0 };
	struct buf request, cost;
	uint64_t tokens;
	int rc;

	buf_init(&request, 4 * BUF_MAX_LINE);
	buf_init(&cost, 1 << 16);
	rc = gen_ask(&q, g, r, e) ||
	     llm_remote_preview(&request, &cost, &tokens, g->backend, &q, book, e);
	if (!rc && record_is_text(r)) {
		buf_addf(&request,
			 "\n{\"n_tokens\":%llu,\"max_cost\":", (unsigned long long)tokens);
		buf_adds(&request, buf_str(&cost));
		buf_addc(&request, '}');
		rc = buf_check(&request, e) || record_put_text(r, buf_str(&request), e);
	} else if (!rc) {
		rc = record_set_raw(r, "request", buf_str(&request), e) ||
		     record_set_u64(r, "n_tokens", tokens, e) ||
		     record_set_raw(r, "max_cost", buf_str(&cost), e);
	}
	buf_release(&request);
	buf_release(&cost);
	return rc ? -1 : 0;
}

static int preview(struct gen *g, struct err *e)
{
	struct price_book *book = NULL;
	struct record *r;
	int rc;

	if (price_book_default(&book, NULL)) { /* then there is no price */
		price_book_free(book);
		book = NULL;
	}
	while (!(rc = record_next(&r, g->io, true, e)) && r) {
		struct err fault;

		if (put_preview(g, r, book, &fault))
			record_fail(r, &fault, 0);
		rc = record_done(g->io, r, e);
		if (rc)
			break;
	}
	price_book_free(book);
	return rc;
}

int gen_dry_run(struct gen *g, struct err *e)
{
	struct err fault;
	struct record *r;

	if (g->service)
		return preview(g, e);
	while (!record_next(&r, g->io, true, e) && r) {
		struct llm_params p = g->params;
		struct llm_ask q;
		struct str text;
		struct buf b;

		buf_init(&b, BUF_MAX_LINE);
		if (gen_prompt(&q, g, r, &p, &fault) ||
		    tok_parts_text(&text, &g->prompt.parts, record_arena(r), &fault)) {
			record_fail(r, &fault, 0);
		} else if (record_is_text(r)) {
			struct json_w w = json_w(&b);

			buf_adds(&b, text);
			buf_addc(&b, '\n');
			json_w_i32_array(&w, g->prompt.ids.v, g->prompt.ids.n);
			if (record_put_text(r, buf_str(&b), &fault))
				record_fail(r, &fault, 0);
		} else if (record_set_str(r, "rendered", text, &fault) ||
			   record_set_u64(r, "n_tokens", g->prompt.ids.n, &fault) ||
			   gen_set_truncated(r, g->prompt.n_whole, (int32_t)g->prompt.ids.n,
					     &fault) ||
			   record_set_i32s(r, "tokens", g->prompt.ids.v, g->prompt.ids.n, &fault)) {
			record_fail(r, &fault, 0);
		}
		buf_release(&b);
		if (record_done(g->io, r, e))
			return -1;
	}
	return record_ended(g->io) ? 0 : -1;
}

/* ---- answers ------------------------------------------------------------------------------- */

/* The first block between lines of ```, without them; all of it where there is none. */
static struct str fenced(struct str s)
{
	size_t open = str_find(s, STR("```"), 0), line, close;

	if (open == s.n || (open && s.p[open - 1] != '\n'))
		return s;
	line = str_find(s, STR("\n"), open);
	if (line == s.n)
		return s;
	close = str_find(s, STR("\n```"), line);
	return str_sub(s, line + 1, close > line ? close : line + 1);
}

static struct str answer(const struct run *x, const struct llm_ask *q, uint32_t i)
{
	return x->g->o->extract ? fenced(q->answers[i].text) : q->answers[i].text;
}

static int set_samples(struct run *x, struct llm_ask *q, struct record *r, struct err *e)
{
	struct json_w w = json_w(&x->b);

	buf_reset(&x->b);
	json_w_begin(&w, '[');
	for (uint32_t i = 0; i < q->n; i++) {
		json_w_begin(&w, '{');
		json_w_key(&w, "output");
		json_w_str(&w, answer(x, q, i));
		json_w_key(&w, "finish_reason");
		json_w_str(&w, q->answers[i].finish);
		if (q->answers[i].logprobs.n) {
			json_w_key(&w, "logprobs");
			json_w_raw(&w, q->answers[i].logprobs);
		}
		json_w_end(&w, '}');
	}
	json_w_end(&w, ']');
	return buf_check(&x->b, e) || record_set_raw(r, "samples", buf_str(&x->b), e);
}

static int set_call(struct run *x, struct llm_ask *q, struct record *r, struct err *e)
{
	buf_reset(&x->b);
	return llm_call_put(&x->b, &q->call, e) || record_add_call(r, buf_str(&x->b), e);
}

/* ---- lines of OpenAI's Batch API ----------------------------------------------------------- */

static void put_batch_choice(struct json_w *w, const struct run *x, const struct llm_ask *q,
			     uint32_t i)
{
	const struct llm_answer *a = &q->answers[i];

	json_w_begin(w, '{');
	json_w_key(w, "index");
	json_w_u64(w, i);
	if (q->kind == LLM_ASK_COMPLETION) {
		json_w_key(w, "text");
		json_w_str(w, answer(x, q, i));
	} else {
		json_w_key(w, "message");
		json_w_begin(w, '{');
		json_w_key(w, "role");
		json_w_strz(w, "assistant");
		json_w_key(w, "content");
		json_w_str(w, answer(x, q, i));
		json_w_end(w, '}');
	}
	json_w_key(w, "logprobs");
	json_w_raw(w, a->logprobs.n ? a->logprobs : STR("null"));
	json_w_key(w, "finish_reason");
	json_w_str(w, a->finish);
	json_w_end(w, '}');
}

static void put_batch_body(struct json_w *w, const struct run *x, const struct llm_ask *q,
			   const char *id)
{
	const struct llm_call *c = &q->call;

	json_w_begin(w, '{');
	json_w_key(w, "id");
	json_w_strz(w, id);
	json_w_key(w, "object");
	json_w_strz(w, q->kind == LLM_ASK_COMPLETION ? "text_completion" : "chat.completion");
	json_w_key(w, "created");
	json_w_i64(w, time_unix_s());
	json_w_key(w, "model");
	json_w_strz(w, c->model);
	json_w_key(w, "choices");
	json_w_begin(w, '[');
	for (uint32_t i = 0; i < q->n; i++)
		put_batch_choice(w, x, q, i);
	json_w_end(w, ']');
	json_w_key(w, "usage");
	json_w_begin(w, '{');
	json_w_key(w, "prompt_tokens");
	json_w_u64(w, c->prompt_tokens);
	json_w_key(w, "completion_tokens");
	json_w_u64(w, c->completion_tokens);
	json_w_key(w, "total_tokens");
	json_w_u64(w, c->prompt_tokens + c->completion_tokens);
	json_w_end(w, '}');
	json_w_end(w, '}');
}

/* The answer in the form of the API's output file, in place of the record. */
static int set_batch(struct run *x, struct llm_ask *q, struct record *r, struct err *e)
{
	struct str id = json_get(q->record, "custom_id").raw;
	uint64_t h = hash64(id.p, id.n, hash64(q->call.prompt.p, q->call.prompt.n, 0));
	struct json_w w = json_w(&x->b);
	char name[40];

	buf_reset(&x->b);
	snprintf(name, sizeof name, "req_%016llx", (unsigned long long)h);
	json_w_begin(&w, '{');
	json_w_key(&w, "id");
	json_w_strz(&w, name);
	json_w_key(&w, "custom_id");
	json_w_raw(&w, id);
	json_w_key(&w, "response");
	json_w_begin(&w, '{');
	json_w_key(&w, "status_code");
	json_w_u64(&w, 200);
	json_w_key(&w, "request_id");
	json_w_str(&w, q->call.request_id.n ? q->call.request_id : str_of(name));
	json_w_key(&w, "body");
	if (q->reply.n)
		json_w_raw(&w, q->reply);
	else
		put_batch_body(&w, x, q, name);
	json_w_end(&w, '}');
	json_w_key(&w, "error");
	json_w_null(&w);
	json_w_end(&w, '}');
	return buf_check(&x->b, e) || record_emit(r, buf_str(&x->b), e);
}

/* ---- the records --------------------------------------------------------------------------- */

/* At a terminal, as it comes. A failed write shows when standard output is closed. */
static void show(struct llm_ask *q, uint32_t sample, struct str s)
{
	(void)q;
	if (sample)
		return;
	fwrite(s.p, 1, s.n, stdout);
	fflush(stdout);
}

/* For programs: a record of each piece, before the whole one. */
static void show_delta(struct llm_ask *q, uint32_t sample, struct str s)
{
	struct record *r = q->user;
	struct run *x = q->extra;
	struct json_w w = json_w(&x->b);

	buf_reset(&x->b);
	json_w_begin(&w, '{');
	json_w_key(&w, "id");
	json_w_raw(&w, record_id_raw(r));
	if (sample) {
		json_w_key(&w, "sample");
		json_w_u64(&w, sample);
	}
	json_w_key(&w, "delta");
	json_w_str(&w, s);
	json_w_key(&w, "done");
	json_w_bool(&w, false);
	json_w_end(&w, '}');
	if (!x->fault.code && !buf_check(&x->b, &x->fault))
		record_say(x->g->io, buf_str(&x->b), &x->fault);
}

static int begin(void *arg, struct llm_ask *q, struct record *r, struct err *e)
{
	struct run *x = arg;

	if (x->fault.code) { /* of a piece that could not be written */
		*e = x->fault;
		return -1;
	}
	q->on_text = x->g->streaming ? show : x->g->o->deltas ? show_delta : NULL;
	q->extra = x;
	return gen_ask(q, x->g, r, e);
}

/* Text in gave text out: the answers, but for the first one where it was shown already. */
static int put_text(struct run *x, struct llm_ask *q, struct record *r, struct err *e)
{
	uint32_t i = x->g->streaming;

	if (i && !str_ends(q->answers[0].text, STR("\n")))
		putchar('\n');
	for (; i < q->n; i++)
		if (record_put_text(r, answer(x, q, i), e) ||
		    (i + 1 < q->n && record_put_text(r, STR("\n"), e)))
			return -1;
	return 0;
}

static int end(void *arg, struct llm_ask *q, struct record *r, struct err *e)
{
	struct run *x = arg;
	const struct llm_answer *a = q->answers;

	x->g->tally->tokens += q->call.completion_tokens;
	if (record_is_text(r) && !x->g->o->io.json && !x->g->o->io.resume)
		return put_text(x, q, r, e);
	if (is_batch(r))
		return set_batch(x, q, r, e);
	return record_set_str(r, "output", answer(x, q, 0), e) ||
	       record_set_str(r, "finish_reason", a->finish, e) ||
	       (a->tool_calls.n && record_set_raw(r, "tool_calls", a->tool_calls, e)) ||
	       (a->refusal.n && record_set_str(r, "refusal", a->refusal, e)) ||
	       (a->logprobs.n && record_set_raw(r, "logprobs", a->logprobs, e)) ||
	       (q->n > 1 && set_samples(x, q, r, e)) ||
	       gen_set_truncated(r, q->n_whole, q->n_kept, e) || set_call(x, q, r, e) ||
	       (x->g->o->deltas && record_set_bool(r, "done", true, e));
}

/* What came of an answer that broke off is kept beside the error. */
static int keep_part(void *arg, struct llm_ask *q, struct record *r, struct err *e)
{
	struct run *x = arg;

	if (x->g->streaming && q->n) {
		putchar('\n');
		return 0;
	}
	if (q->n && record_set_str(r, "partial_output", q->answers[0].text, e))
		return -1;
	return x->g->o->deltas ? record_set_bool(r, "done", true, e) : 0;
}

int gen_run(struct gen *g, struct err *e)
{
	struct run x = { .g = g };
	struct llm_run run = { .backend = g->backend,
			       .io = g->io,
			       .jobs = g->jobs,
			       .one_by_one = g->streaming,
			       .begin = begin,
			       .end = end,
			       .fail = keep_part,
			       .arg = &x };
	int rc;

	buf_init(&x.b, BUF_MAX_LINE);
	rc = llm_run(&run, e);
	buf_release(&x.b);
	return rc;
}
