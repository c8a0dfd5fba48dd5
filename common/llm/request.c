/* request: from a question to the body of a request, as OpenAI's API has it. */
#include "config.h"
#include "llm/remote_impl.h"

/* What is asked, and what is the client's own business. */
static const char *const questions[] = {
	"messages", "prompt", "input", "query", "documents", NULL
};
static const char *const ours[] = { "model", "stream", "stream_options", NULL };

static bool is_any(struct str raw_key, const char *const *names)
{
	for (; *names; names++)
		if (json_key_is(raw_key, str_of(*names)))
			return true;
	return false;
}

int llm_request_path(const char **out, const struct llm_ask *q, struct err *e)
{
	static const char *const paths[] = { "/chat/completions", "/completions", "/embeddings",
					     "/rerank" };
	struct str u = q->url, p;

	*out = paths[q->kind];
	if (!u.n)
		return 0;
	for (size_t i = 0; i < u.n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789/_-", u.p[i] | 0x20))
			u.n = 0;
	if (!str_starts(u, STR("/v1/")) || u.n > 100)
		return err_set(e, ERR_INVALID_FIELD,
			       "`url` must be a path like /v1/chat/completions");
	p = arena_str(q->a, str_sub(u, 3, u.n)); /* the base URL ends in /v1 */
	*out = p.p;
	return p.p ? 0 : err_nomem(e);
}

/* ---- parameters ---------------------------------------------------------------------------- */

static void put_member(struct json_w *w, struct str raw_key, struct json_val v)
{
	json_w_raw(w, (struct str){ raw_key.p - 1, raw_key.n + 2 }); /* with its quotes */
	buf_addc(w->b, ':');
	w->comma = false;
	json_w_raw(w, v.raw);
}

/* The record's own; of several members of one name the last counts. */
static void put_params(struct json_w *w, const struct llm_ask *q)
{
	struct json_iter it = json_members(q->params);
	struct json_val v;
	struct str key;

	while (json_next_member(&key, &v, &it)) {
		struct str name = arena_str(q->a, key);

		if (name.p && !is_any(key, questions) && !is_any(key, ours) &&
		    (memchr(key.p, '\\', key.n) || json_get(q->params, name.p).raw.p == v.raw.p))
			put_member(w, key, v);
	}
}

static bool given(const struct llm_ask *q, const char *name)
{
	return json_get(q->params, name).type != JSON_NONE ||
	       json_get(q->body, name).type != JSON_NONE;
}

/* Those of the command line, under the names that the service has for them. */
static void put_flags(struct json_w *w, const struct llm_setup *s, const struct llm_hop *h,
		      const struct llm_ask *q)
{
	struct json_iter it = json_members(s->params);
	struct json_val v, top = json_get(s->params, "top_logprobs");
	struct str key;

	while (json_next_member(&key, &v, &it)) {
		bool max = json_key_is(key, STR("max_tokens"));
		struct str name = arena_str(q->a, key);

		if (!name.p || given(q, name.p) || (max && given(q, "max_completion_tokens")))
			continue;
		if (q->kind == LLM_ASK_COMPLETION && json_key_is(key, STR("top_logprobs")))
			continue;
		json_w_key(w, max && q->kind == LLM_ASK_CHAT ? h->max_tokens : name.p);
		if (q->kind == LLM_ASK_COMPLETION && json_key_is(key, STR("logprobs")))
			json_w_raw(w, top.type == JSON_NUMBER ? top.raw : STR("0"));
		else
			json_w_raw(w, v.raw);
	}
}

/* ---- bodies -------------------------------------------------------------------------------- */

static int put_prompt(struct json_w *w, struct str *prompt, const struct llm_setup *s,
		      struct llm_ask *q, struct err *e)
{
	bool chat = q->kind == LLM_ASK_CHAT;
	struct json_val tools = json_get(q->record, "tools");
	struct str text;

	if (llm_prompt_text(prompt, chat ? NULL : &text, s->prompter, q->record, q->messages,
			    q->text, q->a, e))
		return -1;
	json_w_key(w, chat ? "messages" : "prompt");
	if (chat)
		json_w_raw(w, *prompt);
	else
		json_w_str(w, text);
	if (chat && tools.type == JSON_ARRAY && !given(q, "tools")) {
		json_w_key(w, "tools");
		json_w_raw(w, tools.raw);
	}
	return 0;
}

static void put_documents(struct json_w *w, const struct llm_ask *q)
{
	json_w_key(w, "query");
	json_w_str(w, q->text);
	json_w_key(w, "documents");
	json_w_begin(w, '[');
	for (size_t i = 0; i < q->n_docs; i++)
		json_w_str(w, q->docs[i]);
	json_w_end(w, ']');
}

/* A Batch line's body as it is, but for the model. */
static int put_batch(struct json_w *params, struct json_w *question, struct str *prompt,
		     struct llm_ask *q, struct err *e)
{
	struct json_iter it = json_members(q->body);
	struct json_val v;
	struct str key;
	bool on;

	v = json_get(q->body, "stream");
	if (v.type != JSON_NONE && !json_bool(&on, v, NULL) && on)
		return err_set(e, ERR_UNSUPPORTED, "body.stream: a line of a Batch has one answer");
	*prompt = STR("");
	while (json_next_member(&key, &v, &it)) {
		if (is_any(key, questions)) {
			*prompt = v.raw;
			put_member(question, key, v);
		} else if (!json_key_is(key, STR("model"))) {
			put_member(params, key, v);
		}
	}
	return 0;
}

int llm_request_put(struct buf *params, struct buf *question, struct str *prompt,
		    const struct llm_setup *s, const struct llm_hop *h, struct llm_ask *q,
		    bool stream, struct err *e)
{
	struct json_w p = json_w(params), w = json_w(question);

	if (q->body.type == JSON_OBJECT)
		return put_batch(&p, &w, prompt, q, e) || buf_check(params, e) ||
				       buf_check(question, e)
			       ? -1
			       : 0;
	if (q->kind == LLM_ASK_RERANK) {
		*prompt = q->text;
		json_w_key(&p, "top_n");
		json_w_u64(&p, q->n_docs);
		json_w_key(&p, "return_documents");
		json_w_bool(&p, false);
		put_documents(&w, q);
	} else if (put_prompt(&w, prompt, s, q, e)) {
		return -1;
	}
	put_params(&p, q);
	put_flags(&p, s, h, q);
	if (stream) {
		json_w_key(&p, "stream");
		json_w_bool(&p, true);
		json_w_key(&p, "stream_options");
		json_w_raw(&p, STR("{\"include_usage\":true}"));
	}
	return buf_check(params, e) || buf_check(question, e) ? -1 : 0;
}

int llm_request_texts(struct buf *params, struct buf *question, const struct llm_setup *s,
		      struct llm_ask *const *q, size_t n, struct err *e)
{
	struct json_w p = json_w(params), w = json_w(question);
	struct buf b;
	int rc;

	json_w_key(&p, "encoding_format");
	json_w_strz(&p, "base64");
	if (q[0]->dimensions || s->dimensions) {
		json_w_key(&p, "dimensions");
		json_w_u64(&p, q[0]->dimensions ? q[0]->dimensions : s->dimensions);
	}
	buf_init(&b, 2 * BUF_MAX_LINE);
	json_w_key(&w, "input");
	json_w_begin(&w, '[');
	for (size_t i = 0; i < n; i++) {
		buf_reset(&b);
		buf_adds(&b, s->prefix);
		buf_adds(&b, q[i]->text);
		json_w_str(&w, buf_str(&b));
	}
	json_w_end(&w, ']');
	rc = buf_check(&b, e) || buf_check(params, e) || buf_check(question, e) ? -1 : 0;
	buf_release(&b);
	return rc;
}

/* ---- sizes --------------------------------------------------------------------------------- */

void llm_request_tokens(uint64_t *prompt, uint64_t *bound, uint64_t *answer,
			const struct llm_ask *q, struct json_val params, size_t bytes)
{
	uint64_t n = 0, most = 0, samples = 1;

	*prompt = bytes / 4 + 1;
	*bound = bytes + 16; /* no token is shorter than a byte */
	if (!json_u64(&n, json_get(q->record, "n_tokens"), NULL) && n && n < UINT32_MAX)
		*prompt = *bound = n + 16; /* and what a chat template puts around it */
	if (json_u64(&most, json_get(params, "max_completion_tokens"), NULL) &&
	    json_u64(&most, json_get(params, "max_tokens"), NULL))
		most = 0;
	if (json_u64(&samples, json_get(params, "n"), NULL) || samples > LLM_MAX_SAMPLES)
		samples = 1;
	*answer = most < UINT32_MAX ? most * samples : most;
}

static void put_money(struct json_w *w, const char *name, __int128 e18)
{
	char text[PRICE_BUF];
	size_t n = price_put(text, e18);

	json_w_key(w, name);
	json_w_raw(w, (struct str){ text, n });
}

int llm_worst_cost(struct buf *out, const struct price_book *book, const struct llm_hop *h,
		   struct json_val model, uint64_t prompt, uint64_t answer, bool bounded,
		   struct arena *a, struct err *e)
{
	struct price_call call = { .provider = str_of(h->provider), .tier = STR("") };
	const struct price_model *m;
	struct price_cost cost;
	struct json_w w = json_w(out);

	if (!book || !bounded || json_str(&call.model, model, a, NULL) ||
	    price_find(&m, book, call.provider, call.model, NULL)) {
		buf_addz(out, "null");
		return buf_check(out, e);
	}
	price_usage_set(&call.usage, PRICE_INPUT, (int64_t)prompt * PRICE_MICRO);
	if (answer)
		price_usage_set(&call.usage, PRICE_OUTPUT, (int64_t)answer * PRICE_MICRO);
	call.have_usage = true;
	if (price_cost(&cost, m, &call, time_unix_s(), NULL)) {
		buf_addz(out, "null");
		return buf_check(out, e);
	}
	json_w_begin(&w, '{');
	put_money(&w, "input", cost.part_e18[PRICE_C_INPUT]);
	put_money(&w, "output", cost.part_e18[PRICE_C_OUTPUT]);
	put_money(&w, "total", cost.total_e18);
	json_w_key(&w, "currency");
	json_w_str(&w, price_model_currency(m));
	json_w_end(&w, '}');
	return buf_check(out, e);
}
