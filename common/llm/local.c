/* local: asks to a model of this process: prompts to requests of the scheduler, tokens back to
 * answers. */
#include "config.h"
#include "llm/ask.h"

struct local {
	struct llm_backend b;
	struct llm *l;
	const struct llm_setup *s;
	struct llm_gen *gen;
	struct tok_enc *enc;
	struct llm_prompt prompt; /* scratch */
	struct llm_params base;
	struct arena a;         /* of base */
	struct llm_ask *failed; /* cannot be asked; to be handed back */
	struct llm_ask *next;   /* has samples that are not submitted yet */
	struct job *all;        /* under way, to be forgotten at the end */
	size_t n;               /* of them */
};
/* An ask under way, with its samples. */
struct job {
	struct llm_ask *q;
	struct job *before, *after; /* in `all`: asks may be gone when the backend goes */
	struct llm_params params;
	struct tok_ids ids;
	struct llm_request *rq; /* [params.n] */
	uint32_t n_submitted, n_done;
};

/* ---- parameters and prompts ---------------------------------------------------------------- */

static struct json_val param_of(void *arg, const char *name)
{
	const struct llm_ask *q = arg;
	struct json_val v = json_get(q->params, name), n = json_get(q->body, "logprobs");

	/* in the API of completions it is a number that says both */
	if (q->kind == LLM_ASK_COMPLETION && n.type == JSON_NUMBER) {
		if (!strcmp(name, "logprobs"))
			return (struct json_val){ STR("true"), JSON_TRUE };
		if (!strcmp(name, "top_logprobs"))
			return n;
	}
	return v.type == JSON_NONE ? json_get(q->body, name) : v;
}

static struct json_val flag_of(void *arg, const char *name)
{
	return json_get(*(struct json_val *)arg, name);
}

int llm_ask_params(struct llm_params *io, struct llm_ask *q, struct err *e)
{
	return llm_params_read(io, param_of, q, q->a, e);
}

int llm_base_params(struct llm_params *out, const struct gguf *g, struct json_val flags,
		    struct arena *a, struct err *e)
{
	llm_params_init(out, g);
	return llm_params_read(out, flag_of, &flags, a, e);
}

int llm_ask_prompt(struct llm_prompt *out, const struct llm_setup *s, const struct llm *l,
		   const struct llm_params *p, struct tok_enc *x, struct llm_ask *q, struct err *e)
{
	struct llm_prompter plain = *s->prompter;
	int32_t limit = s->truncate, ctx = (int32_t)llm_ctx(l);

	if (q->kind == LLM_ASK_COMPLETION && q->body.type == JSON_OBJECT) {
		plain.chat = NULL;
		plain.raw = true;
	}
	if (!limit)
		limit = ctx > p->max_tokens ? ctx - p->max_tokens : ctx / 2;
	return llm_prompt_make(out, &plain, x, q->record, q->messages, q->text, limit, q->a, e);
}

/* ---- answers ------------------------------------------------------------------------------- */

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

static int keep(struct str *out, struct arena *a, const struct buf *b, struct err *e)
{
	if (buf_check(b, e))
		return -1;
	*out = arena_str(a, buf_str(b));
	return out->p ? 0 : err_nomem(e);
}

static int set_answer(struct llm_answer *out, struct arena *a, const struct tok *t,
		      const struct llm_request *rq, struct err *e)
{
	struct buf b;
	struct json_w w = json_w(&b);
	int rc;

	*out = (struct llm_answer){ .finish =
					    rq->finish == LLM_STOP ? STR("stop") : STR("length") };
	if (keep(&out->text, a, &rq->text, e))
		return -1;
	if (rq->n_top < 0)
		return 0;
	buf_init(&b, BUF_MAX_LINE);
	put_logprobs(&w, t, rq);
	rc = keep(&out->logprobs, a, &b, e);
	buf_release(&b);
	return rc;
}

static int set_call(struct local *x, struct job *j, struct err *e)
{
	struct llm_call *c = &j->q->call;
	const struct llm_request *rq = j->rq;
	struct buf b;
	struct json_w w = json_w(&b);
	int rc;

	*c = (struct llm_call){ .stage = "generate",
				.model = llm_name(x->l),
				.digest = llm_model_digest(x->l),
				.has_completion = true,
				.prompt_tokens = j->ids.n,
				.cached_tokens = (uint64_t)rq->n_cached,
				.prompt = c->prompt,
				.t_queued = rq->t_queued,
				.t_start = rq->t_start,
				.t_first = rq->t_first,
				.t_done = rq->t_done };
	for (uint32_t i = 0; i < j->params.n; i++) {
		c->completion_tokens += (uint64_t)rq[i].n_sampled;
		c->t_done = rq[i].t_done > c->t_done ? rq[i].t_done : c->t_done;
		c->ns_prompt += rq[i].ns_prompt;
		c->ns_predicted += rq[i].ns_predicted;
	}
	buf_init(&b, BUF_MAX_LINE);
	json_w_begin(&w, '{');
	llm_params_put(&w, &j->params);
	llm_lora_put(&w, x->l);
	json_w_end(&w, '}');
	rc = keep(&c->params, j->q->a, &b, e);
	buf_release(&b);
	return rc;
}

static int finish(struct local *x, struct job *j, struct err *e)
{
	struct llm_ask *q = j->q;

	for (uint32_t i = 0; i < j->params.n; i++)
		if (j->rq[i].err.code) {
			*e = j->rq[i].err;
			return -1;
		}
	q->answers = arena_alloc(q->a, j->params.n * sizeof *q->answers);
	if (!q->answers)
		return err_nomem(e);
	for (q->n = 0; q->n < j->params.n; q->n++)
		if (set_answer(&q->answers[q->n], q->a, llm_tok(x->l), &j->rq[q->n], e))
			return -1;
	q->n_kept = (int32_t)j->ids.n;
	return set_call(x, j, e);
}

/* ---- an ask's way -------------------------------------------------------------------------- */

static void job_free(struct local *x, struct job *j)
{
	for (uint32_t i = 0; j->rq && i < j->params.n; i++)
		llm_request_release(&j->rq[i]);
	free(j->rq);
	tok_ids_release(&j->ids);
	if (j->after)
		j->after->before = j->before;
	if (j->before)
		j->before->after = j->after;
	else
		x->all = j->after;
	x->n--;
	free(j);
}

static void pass_text(struct llm_request *rq, struct str bytes)
{
	struct job *j = rq->user;

	j->q->on_text(j->q, (uint32_t)rq->sample_index, bytes);
}

static int begin(struct local *x, struct job *j, struct err *e)
{
	struct llm_ask *q = j->q;

	j->params = x->base;
	if (llm_ask_params(&j->params, q, e) ||
	    llm_ask_prompt(&x->prompt, x->s, x->l, &j->params, x->enc, q, e))
		return -1;
	q->call.prompt = x->prompt.messages;
	q->n_whole = x->prompt.n_whole;
	j->ids = x->prompt.ids;
	x->prompt.ids = (struct tok_ids){ 0 };
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
						 .on_text = q->on_text ? pass_text : NULL };
	return 0;
}

/* Samples of the ask in hand, as many as there is room for. */
static int submit_samples(struct local *x, struct err *e)
{
	while (x->next && llm_gen_room(x->gen)) {
		struct job *j = x->next->state;

		if (llm_gen_submit(x->gen, &j->rq[j->n_submitted++], e))
			return -1;
		if (j->n_submitted == j->params.n)
			x->next = NULL;
	}
	return 0;
}

static size_t room(const struct llm_backend *b)
{
	const struct local *x = (const struct local *)b;

	return x->next ? 0 : llm_gen_room(x->gen);
}

static int submit(struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	struct local *x = (struct local *)b;
	struct job *j = calloc(1, sizeof *j);

	if (!j)
		return err_nomem(e);
	j->q = q;
	j->after = x->all;
	if (x->all)
		x->all->before = j;
	x->all = j;
	q->state = j;
	x->n++;
	if (begin(x, j, &q->err)) {
		q->next = x->failed;
		x->failed = q;
		return 0;
	}
	x->next = q;
	return submit_samples(x, e);
}

static int step(struct llm_ask **done, struct llm_backend *b, bool more, struct err *e)
{
	struct local *x = (struct local *)b;
	struct llm_request *rq;
	struct job *j;

	(void)more; /* a step of the batch is short */
	*done = x->failed;
	if (*done) {
		x->failed = (*done)->next;
		job_free(x, (*done)->state);
		return 0;
	}
	if (submit_samples(x, e) || llm_gen_step(&rq, x->gen, e))
		return -1;
	if (!rq)
		return 0;
	j = rq->user;
	if (++j->n_done < j->params.n)
		return 0;
	*done = j->q;
	finish(x, j, &j->q->err);
	job_free(x, j);
	return 0;
}

static bool busy(const struct llm_backend *b)
{
	return ((const struct local *)b)->n > 0;
}

/* ---- what decides an answer ---------------------------------------------------------------- */

static void put_template(struct json_w *w, const char *name, const struct tok_tmpl *t)
{
	struct str s = t ? tok_tmpl_source(t) : STR("");
	uint8_t hash[HASH_SHA256_LEN];
	char hex[HASH_HEX_LEN + 1];

	hash_sha256(hash, s.p, s.n);
	hash_hex(hex, hash, sizeof hash);
	json_w_key(w, name);
	json_w_strz(w, t ? hex : NULL);
}

static void put_model(struct json_w *w, struct local *x)
{
	json_w_key(w, "model_digest");
	json_w_strz(w, llm_model_digest(x->l));
	llm_lora_put(w, x->l);
	json_w_key(w, "ctx");
	json_w_u64(w, llm_ctx(x->l));
	json_w_key(w, "kv_type");
	json_w_strz(w, llm_options(x->l)->kv_type);
	json_w_key(w, "truncate");
	json_w_i64(w, x->s->truncate);
	put_template(w, "chat_template", x->s->prompter->chat);
}

static int key(struct buf *out, struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	struct local *x = (struct local *)b;
	struct llm_params p = x->base;
	struct json_w w = json_w(out);
	struct json_val tools = json_get(q->record, "tools");
	struct str messages;

	if (llm_ask_params(&p, q, e) || llm_prompt_text(&messages, NULL, x->s->prompter, q->record,
							q->messages, q->text, q->a, e))
		return -1;
	json_w_begin(&w, '{');
	put_model(&w, x);
	json_w_key(&w, "raw");
	json_w_bool(&w, x->s->prompter->raw ||
				(q->kind == LLM_ASK_COMPLETION && q->body.type == JSON_OBJECT));
	json_w_key(&w, "variables");
	json_w_raw(&w,
		   x->s->prompter->more.type == JSON_NONE ? STR("null") : x->s->prompter->more.raw);
	put_template(&w, "template", x->s->prompter->fill);
	json_w_key(&w, "messages");
	json_w_raw(&w, messages);
	json_w_key(&w, "tools");
	json_w_raw(&w, tools.type == JSON_NONE ? STR("null") : tools.raw);
	json_w_key(&w, "n");
	json_w_u64(&w, p.n);
	json_w_key(&w, "top_logprobs");
	json_w_i64(&w, p.n_top);
	json_w_key(&w, "params");
	json_w_begin(&w, '{');
	llm_params_put(&w, &p);
	json_w_end(&w, '}');
	json_w_end(&w, '}');
	return buf_check(out, e);
}

static int describe(struct buf *out, struct llm_backend *b, struct err *e)
{
	struct local *x = (struct local *)b;
	struct json_w w = json_w(out);

	json_w_begin(&w, '{');
	put_model(&w, x);
	json_w_key(&w, "top_logprobs");
	json_w_i64(&w, x->base.n_top);
	json_w_key(&w, "params");
	json_w_begin(&w, '{');
	llm_params_put(&w, &x->base);
	json_w_end(&w, '}');
	json_w_end(&w, '}');
	return buf_check(out, e);
}

/* ---- open and close ------------------------------------------------------------------------ */

static void local_free(struct llm_backend *b)
{
	struct local *x = (struct local *)b;

	llm_gen_free(x->gen);
	while (x->all)
		job_free(x, x->all);
	llm_prompt_release(&x->prompt);
	tok_enc_free(x->enc);
	arena_release(&x->a);
	free(x);
}

static const struct llm_backend_ops ops = { room, submit, step, busy, key, describe, local_free };

int llm_local_new(struct llm_backend **out, struct llm *l, const struct llm_setup *s, struct err *e)
{
	struct local *x = calloc(1, sizeof *x);

	if (!x)
		return err_nomem(e);
	x->b.ops = &ops;
	x->l = l;
	x->s = s;
	arena_init(&x->a, 1 << 20);
	if (llm_base_params(&x->base, llm_gguf(l), s->params, &x->a, e) ||
	    tok_enc_new(&x->enc, llm_tok(l), e) || llm_gen_new(&x->gen, l, e)) {
		local_free(&x->b);
		return -1;
	}
	*out = &x->b;
	return 0;
}
