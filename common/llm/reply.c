/* reply: what a service answers, taken apart: whole replies, and streams put together again. */
#include "config.h"
#include "llm/remote_impl.h"
#include <math.h>

static int empty(const char *what, struct err *e)
{
	return err_set(e, ERR_SERVER, "the service's answer has no %s", what);
}

/* A string member into the arena, where it outlives the reply; empty where there is none. */
static int text(struct str *out, struct json_val v, struct arena *a, struct err *e)
{
	*out = STR("");
	if (v.type != JSON_STRING)
		return 0;
	if (json_str(out, v, a, e))
		return -1;
	*out = arena_str(a, *out);
	return out->p ? 0 : err_nomem(e);
}

static int raw(struct str *out, struct json_val v, struct arena *a, struct err *e)
{
	*out = STR("");
	if (v.type <= JSON_NULL)
		return 0;
	*out = arena_str(a, v.raw);
	return out->p ? 0 : err_nomem(e);
}

/* `content`: a string, or parts of which those of type text count. */
static int content(struct str *out, struct json_val v, struct arena *a, struct err *e)
{
	struct json_iter it = json_elements(v);
	struct json_val part;
	struct str s;
	struct buf b;
	int rc = 0;

	if (v.type != JSON_ARRAY)
		return text(out, v, a, e);
	buf_init(&b, NET_BODY_MAX);
	while (!rc && json_next(&part, &it)) {
		rc = text(&s, json_get(part, "text"), a, e);
		if (!rc)
			buf_adds(&b, s);
	}
	rc = rc || buf_check(&b, e) ? -1 : 0;
	if (!rc) {
		*out = arena_str(a, buf_str(&b));
		rc = out->p ? 0 : err_nomem(e);
	}
	buf_release(&b);
	return rc;
}

/* ---- logprobs ------------------------------------------------------------------------------ */

static void put_token(struct json_w *w, struct str token_raw, struct json_val logprob,
		      struct arena *a)
{
	struct str s = STR("");

	json_w_key(w, "token");
	json_w_raw(w, token_raw);
	json_w_key(w, "logprob");
	json_w_raw(w, logprob.type == JSON_NUMBER ? logprob.raw : STR("null"));
	json_w_key(w, "bytes");
	json_w_begin(w, '[');
	json_str(&s, (struct json_val){ token_raw, JSON_STRING }, a, NULL);
	for (size_t i = 0; i < s.n; i++)
		json_w_i64(w, (unsigned char)s.p[i]);
	json_w_end(w, ']');
}

/* The form of /v1/completions, {tokens, token_logprobs, top_logprobs}, in that of chats. */
static int old_logprobs(struct str *out, struct json_val v, struct arena *a, struct err *e)
{
	struct json_iter tokens = json_elements(json_get(v, "tokens")),
			 probs = json_elements(json_get(v, "token_logprobs")),
			 tops = json_elements(json_get(v, "top_logprobs"));
	struct json_val token, p, top;
	struct buf b;
	struct json_w w = json_w(&b);
	int rc;

	buf_init(&b, NET_BODY_MAX);
	json_w_raw(&w, STR("{\"content\":["));
	w.comma = false;
	while (json_next(&token, &tokens) && json_next(&p, &probs)) {
		struct json_iter it = { NULL, NULL };
		struct str key;

		if (token.type != JSON_STRING)
			continue;
		if (json_next(&top, &tops))
			it = json_members(top);
		json_w_begin(&w, '{');
		put_token(&w, token.raw, p, a);
		json_w_key(&w, "top_logprobs");
		json_w_begin(&w, '[');
		while (json_next_member(&key, &p, &it)) {
			json_w_begin(&w, '{');
			put_token(&w, (struct str){ key.p - 1, key.n + 2 }, p, a);
			json_w_end(&w, '}');
		}
		json_w_end(&w, ']');
		json_w_end(&w, '}');
	}
	buf_addz(&b, "]}");
	rc = buf_check(&b, e);
	if (!rc) {
		*out = arena_str(a, buf_str(&b));
		rc = out->p ? 0 : err_nomem(e);
	}
	buf_release(&b);
	return rc;
}

/* ---- answers ------------------------------------------------------------------------------- */

enum { INDEX, MESSAGE, TEXT, LOGPROBS, FINISH, N_CHOICE };
static const char *const choice_names[] = { "index", "message", "text", "logprobs",
					    "finish_reason" };

static int read_choice(struct llm_answer *out, const struct json_val *v, struct json_val choice,
		       struct arena *a, struct err *e)
{
	static const char *const names[] = { "content", "tool_calls", "refusal" };
	enum { CONTENT, TOOL_CALLS, REFUSAL, N };
	bool chat = v[MESSAGE].type == JSON_OBJECT; /* else of /v1/completions */
	struct json_val m[N], lp = v[LOGPROBS];

	if (json_get(lp, "tokens").type == JSON_ARRAY ? old_logprobs(&out->logprobs, lp, a, e)
						      : raw(&out->logprobs, lp, a, e))
		return -1;
	json_get_all(m, chat ? v[MESSAGE] : choice, names, N);
	return content(&out->text, chat ? m[CONTENT] : v[TEXT], a, e) ||
	       text(&out->finish, v[FINISH], a, e) ||
	       raw(&out->tool_calls, m[TOOL_CALLS], a, e) ||
	       text(&out->refusal, m[REFUSAL], a, e);
}

int llm_reply_read(struct llm_ask *q, struct json_val reply, struct err *e)
{
	struct json_val choices = json_get(reply, "choices"), c;
	struct json_iter it = json_elements(choices);
	size_t n = json_count(choices);
	uint64_t at;

	if (choices.type != JSON_ARRAY || !n || n > 4 * LLM_MAX_SAMPLES)
		return empty("choices", e);
	q->answers = arena_alloc(q->a, n * sizeof *q->answers);
	if (!q->answers)
		return err_nomem(e);
	memset(q->answers, 0, n * sizeof *q->answers);
	for (size_t i = 0; json_next(&c, &it); i++) {
		struct json_val v[N_CHOICE];

		json_get_all(v, c, choice_names, N_CHOICE);
		if (json_u64(&at, v[INDEX], NULL) || at >= n)
			at = i;
		if (read_choice(&q->answers[at], v, c, q->a, e))
			return -1;
	}
	q->n = (uint32_t)n;
	return 0;
}

/* ---- vectors and scores -------------------------------------------------------------------- */

int llm_reply_vectors(struct llm_ask *const *q, size_t n, struct json_val reply, struct err *e)
{
	struct json_val d;
	struct json_iter it = json_elements(json_get(reply, "data"));
	size_t seen = 0;

	for (size_t i = 0; json_next(&d, &it); i++) {
		uint64_t at;

		if (json_u64(&at, json_get(d, "index"), NULL))
			at = i;
		if (at >= n || q[at]->vector)
			return err_set(e, ERR_SERVER,
				       "the service's answer has a vector for no text, or two");
		if (json_f32s(&q[at]->vector, &q[at]->n_vector, json_get(d, "embedding"), q[at]->a,
			      e))
			return err_wrap(e, "the service's vector");
		seen++;
	}
	if (seen < n)
		return err_set(e, ERR_SERVER, "the service's answer has %zu vectors for %zu texts",
			       seen, n);
	return 0;
}

int llm_reply_scores(struct llm_ask *q, struct json_val reply, struct err *e)
{
	struct json_val list = reply.type == JSON_ARRAY ? reply : json_get(reply, "results"), d;
	struct json_iter it;
	size_t n = 0;

	if (list.type != JSON_ARRAY)
		list = json_get(reply, "data");
	it = json_elements(list);
	q->scores = arena_alloc(q->a, (q->n_docs + 1) * sizeof *q->scores);
	if (!q->scores)
		return err_nomem(e);
	for (size_t i = 0; i < q->n_docs; i++)
		q->scores[i] = (float)NAN;
	while (json_next(&d, &it)) {
		struct json_val s = json_get(d, "relevance_score"); /* Cohere, Jina, vLLM */
		uint64_t at;
		double v;

		if (s.type == JSON_NONE)
			s = json_get(d, "score"); /* text-embeddings-inference */
		if (json_u64(&at, json_get(d, "index"), NULL) || at >= q->n_docs ||
		    s.type != JSON_NUMBER || json_f64(&v, s, NULL) || !isnan(q->scores[at]))
			return empty("usable scores", e);
		q->scores[at] = (float)v;
		n++;
	}
	return n == q->n_docs ? 0 : empty("score for each document", e);
}

/* ---- what it cost -------------------------------------------------------------------------- */

static uint64_t count(struct json_val v)
{
	uint64_t n = 0;

	return json_u64(&n, v, NULL) ? 0 : n;
}

/* The part [before, before + part) of `whole` in `n`, so that all parts make up n. */
static uint64_t share(uint64_t n, uint64_t part, uint64_t before, uint64_t whole)
{
	double d = whole ? (double)n / (double)whole : 0;

	return before + part == whole
		       ? n - (uint64_t)((double)before * d)
		       : (uint64_t)((double)(before + part) * d) - (uint64_t)((double)before * d);
}

int llm_reply_call(struct llm_ask *q, struct json_val reply, uint64_t part, uint64_t before,
		   uint64_t whole, struct err *e)
{
	static const char *const names[] = { "usage", "model", "id" };
	static const char *const counts[] = { "prompt_tokens", "input_tokens", "total_tokens",
					      "completion_tokens", "output_tokens",
					      "prompt_tokens_details" };
	struct json_val v[3], u[6], usage;
	struct llm_call *c = &q->call;
	struct str model;

	json_get_all(v, reply, names, 3);
	usage = v[0];
	json_get_all(u, usage, counts, 6);
	if (text(&model, v[1], q->a, e))
		return -1;
	if (model.n)
		c->model = model.p;
	if (!c->request_id.n && text(&c->request_id, v[2], q->a, e))
		return -1;
	for (int i = 0; i < 3 && !c->prompt_tokens; i++) /* the total of embeddings and rerankers */
		c->prompt_tokens = count(u[i]);
	c->completion_tokens = count(u[3]);
	if (!c->completion_tokens)
		c->completion_tokens = count(u[4]);
	c->cached_tokens = count(json_get(u[5], "cached_tokens"));
	if (usage.type != JSON_OBJECT) {
		c->usage = STR("null");
		return 0;
	}
	if (part == whole)
		return raw(&c->usage, usage, q->a, e);
	c->prompt_tokens = share(c->prompt_tokens, part, before, whole);
	return 0;
}

/* ---- streams ------------------------------------------------------------------------------- */

enum { MAX_TOOLS = 128 };
struct tool {
	struct str id, name; /* in the ask's arena */
	struct buf arguments;
};
struct choice {
	struct buf text, logprobs, refusal; /* logprobs: elements with commas between */
	struct str finish;
	struct tool *tools;
	size_t n_tools;
};
struct llm_stream {
	struct llm_ask *q;
	struct choice *choices;
	size_t n;
	struct str model, id, usage;
	bool completion;
};

int llm_stream_new(struct llm_stream **out, struct llm_ask *q, struct err *e)
{
	*out = calloc(1, sizeof **out);
	if (!*out)
		return err_nomem(e);
	(*out)->q = q;
	(*out)->completion = q->kind == LLM_ASK_COMPLETION;
	return 0;
}

void llm_stream_free(struct llm_stream *s)
{
	for (size_t i = 0; s && i < s->n; i++) {
		struct choice *c = &s->choices[i];

		for (size_t k = 0; k < c->n_tools; k++)
			buf_release(&c->tools[k].arguments);
		free(c->tools);
		buf_release(&c->text);
		buf_release(&c->logprobs);
		buf_release(&c->refusal);
	}
	free(s ? s->choices : NULL);
	free(s);
}

static struct choice *choice_at(struct llm_stream *s, uint64_t at, struct err *e)
{
	while (s->n <= at) {
		struct choice *v = ckd_realloc(s->choices, s->n + 1, sizeof *v);

		if (!v) {
			err_nomem(e);
			return NULL;
		}
		s->choices = v;
		v[s->n] = (struct choice){ .finish = STR("") };
		buf_init(&v[s->n].text, NET_BODY_MAX);
		buf_init(&v[s->n].logprobs, NET_BODY_MAX);
		buf_init(&v[s->n].refusal, NET_BODY_MAX);
		s->n++;
	}
	return &s->choices[at];
}

/* One piece of a call of a tool: its name comes once, its arguments bit by bit. */
static int add_tool(struct choice *c, struct json_val v, struct arena *a, struct err *e)
{
	struct json_val f = json_get(v, "function");
	struct str s, more;
	struct tool *t;
	uint64_t at;

	if (json_u64(&at, json_get(v, "index"), NULL))
		at = c->n_tools ? c->n_tools - 1 : 0;
	if (at >= MAX_TOOLS)
		return err_set(e, ERR_SERVER, "the service calls more than %d tools", MAX_TOOLS);
	while (c->n_tools <= at) {
		t = ckd_realloc(c->tools, c->n_tools + 1, sizeof *t);
		if (!t)
			return err_nomem(e);
		c->tools = t;
		t[c->n_tools] = (struct tool){ .id = STR(""), .name = STR("") };
		buf_init(&t[c->n_tools++].arguments, NET_BODY_MAX);
	}
	t = &c->tools[at];
	if (text(&s, json_get(v, "id"), a, e))
		return -1;
	if (s.n)
		t->id = s;
	if (text(&s, json_get(f, "name"), a, e) || text(&more, json_get(f, "arguments"), a, e))
		return -1;
	if (s.n)
		t->name = s;
	buf_adds(&t->arguments, more);
	return buf_check(&t->arguments, e);
}

static int add_choice(struct llm_stream *s, struct json_val v, uint64_t at, struct err *e)
{
	struct json_val delta = s->completion ? v : json_get(v, "delta"), x;
	struct json_val lp = json_get(json_get(v, "logprobs"), "content");
	struct json_iter it = json_elements(json_get(delta, "tool_calls"));
	struct choice *c = choice_at(s, at, e);
	struct str piece, refusal, finish;

	if (!c ||
	    content(&piece, json_get(delta, s->completion ? "text" : "content"), s->q->a, e) ||
	    text(&refusal, json_get(delta, "refusal"), s->q->a, e) ||
	    text(&finish, json_get(v, "finish_reason"), s->q->a, e))
		return -1;
	buf_adds(&c->text, piece);
	buf_adds(&c->refusal, refusal);
	if (finish.n)
		c->finish = finish;
	while (json_next(&x, &it))
		if (add_tool(c, x, s->q->a, e))
			return -1;
	it = json_elements(lp);
	while (json_next(&x, &it)) {
		buf_addz(&c->logprobs, c->logprobs.n ? "," : "");
		buf_adds(&c->logprobs, x.raw);
	}
	if (buf_check(&c->text, e) || buf_check(&c->logprobs, e) || buf_check(&c->refusal, e))
		return -1;
	if (piece.n && s->q->on_text)
		s->q->on_text(s->q, (uint32_t)at, piece);
	return 0;
}

int llm_stream_event(struct llm_stream *s, struct str data, struct err *e)
{
	struct json_val v, c;
	struct json_iter it;

	if (json_parse(&v, data, e))
		return -1;
	if ((!s->model.n && raw(&s->model, json_get(v, "model"), s->q->a, e)) ||
	    (!s->id.n && raw(&s->id, json_get(v, "id"), s->q->a, e)) ||
	    (json_get(v, "usage").type == JSON_OBJECT &&
	     raw(&s->usage, json_get(v, "usage"), s->q->a, e)))
		return -1;
	it = json_elements(json_get(v, "choices"));
	while (json_next(&c, &it)) {
		uint64_t at = 0;

		if (json_u64(&at, json_get(c, "index"), NULL))
			at = 0;
		if (at >= LLM_MAX_SAMPLES)
			return err_set(e, ERR_SERVER, "the service counts choices up to %llu",
				       (unsigned long long)at);
		if (add_choice(s, c, at, e))
			return -1;
	}
	return 0;
}

static void put_tools(struct json_w *w, const struct choice *c)
{
	json_w_key(w, "tool_calls");
	json_w_begin(w, '[');
	for (size_t i = 0; i < c->n_tools; i++) {
		json_w_begin(w, '{');
		json_w_key(w, "id");
		json_w_str(w, c->tools[i].id);
		json_w_key(w, "type");
		json_w_strz(w, "function");
		json_w_key(w, "function");
		json_w_begin(w, '{');
		json_w_key(w, "name");
		json_w_str(w, c->tools[i].name);
		json_w_key(w, "arguments");
		json_w_str(w, buf_str(&c->tools[i].arguments));
		json_w_end(w, '}');
		json_w_end(w, '}');
	}
	json_w_end(w, ']');
}

int llm_stream_reply(struct buf *out, struct llm_stream *s, struct err *e)
{
	struct json_w w = json_w(out);

	json_w_begin(&w, '{');
	json_w_key(&w, "id");
	json_w_raw(&w, s->id.n ? s->id : STR("null"));
	json_w_key(&w, "model");
	json_w_raw(&w, s->model.n ? s->model : STR("null"));
	json_w_key(&w, "choices");
	json_w_begin(&w, '[');
	for (size_t i = 0; i < s->n; i++) {
		const struct choice *c = &s->choices[i];

		json_w_begin(&w, '{');
		json_w_key(&w, "index");
		json_w_u64(&w, i);
		json_w_key(&w, "message");
		json_w_begin(&w, '{');
		json_w_key(&w, "content");
		json_w_str(&w, buf_str(&c->text));
		if (c->refusal.n) {
			json_w_key(&w, "refusal");
			json_w_str(&w, buf_str(&c->refusal));
		}
		if (c->n_tools)
			put_tools(&w, c);
		json_w_end(&w, '}');
		if (c->logprobs.n) {
			json_w_key(&w, "logprobs");
			json_w_raw(&w, STR("{\"content\":["));
			buf_adds(out, buf_str(&c->logprobs));
			buf_addz(out, "]}");
		}
		json_w_key(&w, "finish_reason");
		json_w_str(&w, c->finish);
		json_w_end(&w, '}');
	}
	json_w_end(&w, ']');
	json_w_key(&w, "usage");
	json_w_raw(&w, s->usage.n ? s->usage : STR("null"));
	json_w_end(&w, '}');
	return buf_check(out, e);
}
