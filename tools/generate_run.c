/* generate_run: records in, as many in flight as the scheduler takes, answers out. */
#include "config.h"
#include "generate.h"
#include <unistd.h>

/* One record under way, with its samples. */
struct job {
	struct record *r;
	struct llm_params params;
	struct tok_ids ids;
	struct llm_request *rq; /* [params.n] */
	uint32_t n_submitted, n_done;
	int32_t n_whole;
	struct str messages; /* in the record's arena */
	struct gen *g;
};
struct run {
	struct gen *g;
	struct llm_gen *lg;
	struct job *jobs; /* [n] */
	size_t n;
	struct job *next; /* has samples that are not submitted yet */
	struct buf b, params;
};

static struct json_val param(void *r, const char *name)
{
	return record_param(r, name);
}

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

/* ---- prompts ------------------------------------------------------------------------------- */

int gen_prompt(struct gen *g, struct record *r, const struct llm_params *p, struct err *e)
{
	struct json_val messages = record_messages(r);
	int32_t limit = g->truncate, ctx = (int32_t)llm_ctx(g->l);
	struct llm_prompter plain = g->prompter;
	struct str text = STR("");

	if (messages.type == JSON_NONE && !g->fill && record_text(&text, r, e))
		return -1;
	if (messages.type != JSON_NONE && messages.type != JSON_ARRAY)
		return err_set(e, ERR_INVALID_FIELD, "`messages` must be an array");
	if (record_is_text(
		    r)) { /* the newline that ends a file or an echo is no part of the prompt */
		text.n -= str_ends(text, STR("\n"));
		text.n -= str_ends(text, STR("\r"));
	}
	if (is_completion(r)) {
		plain.chat = NULL;
		plain.raw = true;
	}
	if (!limit)
		limit = ctx > p->max_tokens ? ctx - p->max_tokens : ctx / 2;
	return llm_prompt_make(&g->prompt, &plain, g->enc, record_json(r), messages, text, limit,
			       record_arena(r), e);
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
		struct str text;
		struct buf b;

		buf_init(&b, BUF_MAX_LINE);
		if (llm_params_read(&p, param, r, record_arena(r), &fault) ||
		    gen_prompt(g, r, &p, &fault) ||
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

static struct str answer(const struct job *j, const struct llm_request *rq)
{
	return j->g->o->extract ? fenced(buf_str(&rq->text)) : buf_str(&rq->text);
}

static const char *finish_name(const struct llm_request *rq)
{
	return rq->finish == LLM_STOP ? "stop" : "length";
}

static void put_choice(struct json_w *w, const struct tok *t, struct sample_choice c)
{
	struct str s = tok_bytes(t, c.id);

	if (!s.n)
		s = tok_text(t, c.id);
	json_w_key(w, "token");
	json_w_str(w, s);
	json_w_key(w, "logprob");
	json_w_f32(w, c.logprob);
	json_w_key(w, "bytes");
	json_w_begin(w, '[');
	for (size_t i = 0; i < s.n; i++)
		json_w_i64(w, (unsigned char)s.p[i]);
	json_w_end(w, ']');
}

/* As OpenAI's chat completions have them. */
static void put_logprobs(struct json_w *w, const struct tok *t, const struct llm_request *rq)
{
	size_t n_top = rq->n_top > 0 ? (size_t)rq->n_top : 0;

	json_w_begin(w, '{');
	json_w_key(w, "content");
	json_w_begin(w, '[');
	for (size_t i = 0; i < rq->out.n; i++) {
		json_w_begin(w, '{');
		put_choice(w, t, rq->chosen[i]);
		json_w_key(w, "top_logprobs");
		json_w_begin(w, '[');
		for (size_t k = 0; k < n_top; k++) {
			json_w_begin(w, '{');
			put_choice(w, t, rq->top[i * n_top + k]);
			json_w_end(w, '}');
		}
		json_w_end(w, ']');
		json_w_end(w, '}');
	}
	json_w_end(w, ']');
	json_w_end(w, '}');
}

static int set_logprobs(struct run *x, struct job *j, struct err *e)
{
	struct json_w w = json_w(&x->b);

	buf_reset(&x->b);
	put_logprobs(&w, llm_tok(x->g->l), &j->rq[0]);
	return buf_check(&x->b, e) || record_set_raw(j->r, "logprobs", buf_str(&x->b), e);
}

static int set_samples(struct run *x, struct job *j, struct err *e)
{
	struct json_w w = json_w(&x->b);

	buf_reset(&x->b);
	json_w_begin(&w, '[');
	for (uint32_t i = 0; i < j->params.n; i++) {
		json_w_begin(&w, '{');
		json_w_key(&w, "output");
		json_w_str(&w, answer(j, &j->rq[i]));
		json_w_key(&w, "finish_reason");
		json_w_strz(&w, finish_name(&j->rq[i]));
		if (j->params.n_top >= 0) {
			json_w_key(&w, "logprobs");
			put_logprobs(&w, llm_tok(x->g->l), &j->rq[i]);
		}
		json_w_end(&w, '}');
	}
	json_w_end(&w, ']');
	return buf_check(&x->b, e) || record_set_raw(j->r, "samples", buf_str(&x->b), e);
}

static int set_call(struct run *x, struct job *j, struct err *e)
{
	const struct llm_request *q = j->rq;
	struct llm_call c = { .stage = "generate",
			      .model = llm_name(x->g->l),
			      .digest = llm_model_digest(x->g->l),
			      .has_completion = true,
			      .prompt_tokens = j->ids.n,
			      .cached_tokens = (uint64_t)q->n_cached,
			      .prompt = j->messages,
			      .t_queued = q->t_queued,
			      .t_start = q->t_start,
			      .t_first = q->t_first,
			      .t_done = q->t_done };
	struct json_w w = json_w(&x->params);

	for (uint32_t i = 0; i < j->params.n; i++) {
		c.completion_tokens += (uint64_t)j->rq[i].n_sampled;
		c.t_done = j->rq[i].t_done > c.t_done ? j->rq[i].t_done : c.t_done;
		c.ns_prompt += j->rq[i].ns_prompt;
		c.ns_predicted += j->rq[i].ns_predicted;
	}
	buf_reset(&x->params);
	buf_reset(&x->b);
	json_w_begin(&w, '{');
	llm_params_put(&w, &j->params);
	json_w_end(&w, '}');
	if (buf_check(&x->params, e))
		return -1;
	c.params = buf_str(&x->params);
	return llm_call_put(&x->b, &c, e) || record_add_call(j->r, buf_str(&x->b), e);
}

/* ---- lines of OpenAI's Batch API ----------------------------------------------------------- */

static void put_batch_choice(struct json_w *w, const struct job *j, uint32_t i)
{
	json_w_begin(w, '{');
	json_w_key(w, "index");
	json_w_u64(w, i);
	if (is_completion(j->r)) {
		json_w_key(w, "text");
		json_w_str(w, answer(j, &j->rq[i]));
	} else {
		json_w_key(w, "message");
		json_w_begin(w, '{');
		json_w_key(w, "role");
		json_w_strz(w, "assistant");
		json_w_key(w, "content");
		json_w_str(w, answer(j, &j->rq[i]));
		json_w_end(w, '}');
	}
	json_w_key(w, "logprobs");
	if (j->params.n_top >= 0)
		put_logprobs(w, llm_tok(j->g->l), &j->rq[i]);
	else
		json_w_null(w);
	json_w_key(w, "finish_reason");
	json_w_strz(w, finish_name(&j->rq[i]));
	json_w_end(w, '}');
}

static void put_batch_body(struct json_w *w, const struct job *j, const char *id)
{
	uint64_t n = 0;

	json_w_begin(w, '{');
	json_w_key(w, "id");
	json_w_strz(w, id);
	json_w_key(w, "object");
	json_w_strz(w, is_completion(j->r) ? "text_completion" : "chat.completion");
	json_w_key(w, "created");
	json_w_i64(w, time_unix_s());
	json_w_key(w, "model");
	json_w_strz(w, llm_name(j->g->l));
	json_w_key(w, "choices");
	json_w_begin(w, '[');
	for (uint32_t i = 0; i < j->params.n; i++) {
		put_batch_choice(w, j, i);
		n += (uint64_t)j->rq[i].n_sampled;
	}
	json_w_end(w, ']');
	json_w_key(w, "usage");
	json_w_begin(w, '{');
	json_w_key(w, "prompt_tokens");
	json_w_u64(w, j->ids.n);
	json_w_key(w, "completion_tokens");
	json_w_u64(w, n);
	json_w_key(w, "total_tokens");
	json_w_u64(w, j->ids.n + n);
	json_w_end(w, '}');
	json_w_end(w, '}');
}

/* The answer in the form of the API's output file, in place of the record. */
static int set_batch(struct run *x, struct job *j, struct err *e)
{
	struct str id = json_get(record_json(j->r), "custom_id").raw;
	uint64_t h = hash64(id.p, id.n, sample_key(0, j->ids.v, j->ids.n));
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
	json_w_strz(&w, name);
	json_w_key(&w, "body");
	put_batch_body(&w, j, name);
	json_w_end(&w, '}');
	json_w_key(&w, "error");
	json_w_null(&w);
	json_w_end(&w, '}');
	return buf_check(&x->b, e) || record_emit(j->r, buf_str(&x->b), e);
}

static int set_answer(struct run *x, struct job *j, struct err *e)
{
	for (uint32_t i = 0; i < j->params.n; i++)
		if (j->rq[i].err.code) {
			*e = j->rq[i].err;
			return -1;
		}
	if (record_is_text(j->r) && !x->g->o->io.json && !x->g->o->io.resume) {
		for (uint32_t i = 0; !x->g->streaming && i < j->params.n; i++)
			if (record_put_text(j->r, answer(j, &j->rq[i]), e) ||
			    (i + 1 < j->params.n && record_put_text(j->r, STR("\n"), e)))
				return -1;
		return 0;
	}
	if (is_batch(j->r))
		return set_batch(x, j, e);
	return record_set_str(j->r, "output", answer(j, &j->rq[0]), e) ||
	       record_set_str(j->r, "finish_reason", str_of(finish_name(&j->rq[0])), e) ||
	       (j->params.n_top >= 0 && set_logprobs(x, j, e)) ||
	       (j->params.n > 1 && set_samples(x, j, e)) ||
	       gen_set_truncated(j->r, j->n_whole, (int32_t)j->ids.n, e) || set_call(x, j, e);
}

/* At a terminal, as it comes. A failed write shows when standard output is closed. */
static void show(struct llm_request *rq, struct str s)
{
	(void)rq;
	fwrite(s.p, 1, s.n, stdout);
	fflush(stdout);
}

/* ---- the loop ------------------------------------------------------------------------------ */

static void job_clear(struct job *j)
{
	for (uint32_t i = 0; j->rq && i < j->params.n; i++)
		llm_request_release(&j->rq[i]);
	free(j->rq);
	tok_ids_release(&j->ids);
	*j = (struct job){ 0 };
}

static int job_end(struct run *x, struct job *j, struct err *e)
{
	struct record *r = j->r;
	struct err fault = { 0 };

	if (set_answer(x, j, &fault))
		record_fail(r, &fault, 0);
	else if (x->g->streaming &&
		 (!j->rq[0].text.n || j->rq[0].text.p[j->rq[0].text.n - 1] != '\n'))
		putchar('\n');
	for (uint32_t i = 0; i < j->params.n; i++)
		x->g->tally->tokens += (uint64_t)j->rq[i].n_sampled;
	job_clear(j);
	return record_done(x->g->io, r, e);
}

static int job_begin(struct job *j, struct run *x, struct record *r, struct err *e)
{
	struct gen *g = x->g;

	*j = (struct job){ .r = r, .params = g->params, .g = g };
	if (llm_params_read(&j->params, param, r, record_arena(r), e) ||
	    gen_prompt(g, r, &j->params, e))
		return -1;
	if (g->streaming)
		j->params.n = 1;
	j->messages = g->prompt.messages;
	j->n_whole = g->prompt.n_whole;
	j->ids = g->prompt.ids;
	g->prompt.ids = (struct tok_ids){ 0 };
	j->rq = calloc(j->params.n, sizeof *j->rq);
	if (!j->rq)
		return err_nomem(e);
	for (uint32_t i = 0; i < j->params.n; i++)
		j->rq[i] = (struct llm_request){ .ids = j->ids.v,
						 .n_ids = (int32_t)j->ids.n,
						 .max_tokens = j->params.max_tokens,
						 .sample = j->params.sample,
						 .sample_index = i,
						 .stops = j->params.stops,
						 .n_top = j->params.n_top,
						 .user = j,
						 .on_text = g->streaming ? show : NULL };
	return 0;
}

static struct job *free_job(struct run *x)
{
	for (size_t i = 0; i < x->n; i++)
		if (!x->jobs[i].r)
			return &x->jobs[i];
	return NULL;
}

/* Take in what is at hand: samples of the record in hand, then records; waits only when nothing is
 * running. */
static int feed(struct run *x, struct err *e)
{
	while (llm_gen_room(x->lg)) {
		struct err fault = { 0 };
		struct record *r;

		if (x->next) {
			struct job *j = x->next;

			if (llm_gen_submit(x->lg, &j->rq[j->n_submitted++], e))
				return -1;
			if (j->n_submitted == j->params.n)
				x->next = NULL;
			continue;
		}
		if (x->g->streaming && llm_gen_busy(x->lg))
			return 0;
		x->next = free_job(x);
		if (!x->next || record_ended(x->g->io))
			break;
		if (record_next(&r, x->g->io, !llm_gen_busy(x->lg), e))
			return -1;
		if (!r)
			break;
		if (job_begin(x->next, x, r, &fault)) {
			job_clear(x->next);
			x->next = NULL;
			record_fail(r, &fault, 0);
			if (record_done(x->g->io, r, e))
				return -1;
		}
	}
	if (x->next && !x->next->r)
		x->next = NULL;
	return 0;
}

static int loop(struct run *x, struct err *e)
{
	struct llm_request *done;

	for (;;) {
		if (os_stop_signal()) {
			err_set(e, ERR_SIGNAL, "stopped by a signal");
			e->sys = os_stop_signal();
			return -1;
		}
		if (feed(x, e))
			return -1;
		if (!llm_gen_busy(x->lg)) {
			if (record_ended(x->g->io))
				return 0;
			continue;
		}
		if (llm_gen_step(&done, x->lg, e))
			return -1;
		if (done) {
			struct job *j = done->user;

			if (++j->n_done == j->params.n && job_end(x, j, e))
				return -1;
		}
	}
}

int gen_run(struct gen *g, struct err *e)
{
	struct run x = { .g = g, .n = g->o->io.jobs };
	int rc = -1;

	buf_init(&x.b, BUF_MAX_LINE);
	buf_init(&x.params, BUF_MAX_LINE);
	x.jobs = calloc(x.n, sizeof *x.jobs);
	if (!x.jobs)
		err_nomem(e);
	else if (!llm_gen_new(&x.lg, g->l, e))
		rc = loop(&x, e);
	llm_gen_free(x.lg);
	for (size_t i = 0; x.jobs && i < x.n; i++)
		job_clear(&x.jobs[i]);
	free(x.jobs);
	buf_release(&x.b);
	buf_release(&x.params);
	return rc;
}
