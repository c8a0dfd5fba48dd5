/* generate_run: records to questions, answers to members. */
#include "config.h"
#include "generate.h"

struct run {
	struct gen *g;
	struct buf b;
	struct err fault; /* of a callback */
};

/* ---- questions ----------------------------------------------------------------------------- */

/* What of the Batch API is asked here; a service may know more. */
static int batch_ask(struct llm_ask *q, enum llm_endpoint ep, const struct gen *g, struct err *e)
{
	struct json_val prompt = json_get(q->body, "prompt");
	struct json_iter it;

	if (ep == LLM_BATCH_EMBEDDINGS || ep == LLM_BATCH_SCORE || ep == LLM_BATCH_RERANK)
		return err_set(e, ERR_UNSUPPORTED, "%.*s: llm-embed answers that", STR_ARG(q->url));
	if (ep == LLM_BATCH_OTHER && g->l)
		return err_set(
			e, ERR_UNSUPPORTED,
			"%.*s: only /v1/chat/completions and /v1/completions can be done here",
			STR_ARG(q->url));
	if (ep == LLM_BATCH_CHAT && q->messages.type == JSON_NONE)
		return err_set(e, ERR_MISSING_FIELD, "no `messages` in the body");
	if (ep != LLM_BATCH_COMPLETION) {
		q->kind = LLM_ASK_CHAT;
		return 0;
	}
	/* the text is the prompt itself; a list of one is the one */
	q->kind = LLM_ASK_COMPLETION;
	q->messages = (struct json_val){ { NULL, 0 }, JSON_NONE };
	it = json_elements(prompt);
	if (!g->l)
		return 0;
	if (json_get(q->body, "echo").type == JSON_TRUE ||
	    json_get(q->body, "suffix").type == JSON_STRING)
		return err_set(e, ERR_UNSUPPORTED, "`echo` and `suffix` cannot be done here");
	if (prompt.type != JSON_ARRAY)
		return 0;
	if (json_count(prompt) != 1 || !json_next(&prompt, &it) || prompt.type != JSON_STRING)
		return err_set(
			e, ERR_UNSUPPORTED,
			"`prompt`: a line can have one text here, not token ids or several texts");
	return json_str(&q->text, prompt, q->a, e);
}

int gen_ask(struct llm_ask *q, struct gen *g, struct record *r, struct err *e)
{
	enum llm_endpoint ep;

	q->a = record_arena(r);
	q->id = record_id(r);
	q->record = record_json(r);
	q->params = json_get(q->record, "params");
	q->messages = record_messages(r);
	q->kind = g->o->raw ? LLM_ASK_COMPLETION : LLM_ASK_CHAT;
	if (llm_batch_begin(&ep, q, &g->batch, r, e))
		return -1;
	if (ep != LLM_NO_BATCH && batch_ask(q, ep, g, e))
		return -1;
	if (ep != LLM_NO_BATCH && !g->l) /* a service gets it as it is */
		return 0;
	if (q->messages.type == JSON_NONE && !g->fill && !q->text.p && record_text(&q->text, r, e))
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

int gen_dry_run(struct gen *g, struct err *e)
{
	struct err fault;
	struct record *r;

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

/* The answer in the form of the Batch API, in place of the record. */
static int set_batch(struct run *x, struct llm_ask *q, struct record *r, struct err *e)
{
	buf_reset(&x->b);
	for (uint32_t i = 0; i < q->n; i++)
		q->answers[i].text = answer(x, q, i);
	return (!q->reply.n && llm_batch_choices(&x->b, q, e)) ||
			       llm_batch_end(r, q, buf_str(&x->b), e)
		       ? -1
		       : 0;
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
	if (q->body.type == JSON_OBJECT)
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
	if (q->body.type == JSON_OBJECT)
		return llm_batch_fail(r, q, e);
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
	rc = g->o->dry_run ? llm_run_preview(&run, e) : llm_run(&run, e);
	buf_release(&x.b);
	return rc;
}
