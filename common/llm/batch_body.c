/* batch_body: what models of this machine answer, as OpenAI's API (of scores and ranks vLLM's) has
 * it. */
#include "config.h"
#include "llm/batch.h"

static void put_head(struct json_w *w, const struct llm_ask *q, const char *prefix,
		     const char *object)
{
	char name[LLM_BATCH_NAME];

	llm_batch_name(name, prefix, q);
	json_w_begin(w, '{');
	json_w_key(w, "id");
	json_w_strz(w, name);
	if (object) {
		json_w_key(w, "object");
		json_w_strz(w, object);
	}
	json_w_key(w, "created");
	json_w_i64(w, time_unix_s());
	json_w_key(w, "model");
	json_w_strz(w, q->call.model);
}

/* And the end of the body. */
static int put_usage(struct json_w *w, const struct llm_ask *q, struct err *e)
{
	const struct llm_call *c = &q->call;

	json_w_key(w, "usage");
	json_w_begin(w, '{');
	json_w_key(w, "prompt_tokens");
	json_w_u64(w, c->prompt_tokens);
	if (c->has_completion) {
		json_w_key(w, "completion_tokens");
		json_w_u64(w, c->completion_tokens);
	}
	json_w_key(w, "total_tokens");
	json_w_u64(w, c->prompt_tokens + c->completion_tokens);
	json_w_end(w, '}');
	json_w_end(w, '}');
	return buf_check(w->b, e);
}

static void put_message(struct json_w *w, const struct llm_answer *a)
{
	json_w_key(w, "message");
	json_w_begin(w, '{');
	json_w_key(w, "role");
	json_w_strz(w, "assistant");
	json_w_key(w, "content");
	json_w_str(w, a->text);
	json_w_key(w, "refusal");
	json_w_null(w);
	if (a->tool_calls.n) {
		json_w_key(w, "tool_calls");
		json_w_raw(w, a->tool_calls);
	}
	json_w_end(w, '}');
}

/* Characters, as Python counts them. */
static size_t n_chars(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static void put_top(struct json_w *w, struct json_val list)
{
	struct json_iter it = json_elements(list);
	struct json_val v;

	json_w_begin(w, '{');
	while (json_next(&v, &it)) {
		json_w_raw(w, json_get(v, "token").raw);
		buf_addc(w->b, ':');
		w->comma = false;
		json_w_raw(w, json_get(v, "logprob").raw);
	}
	json_w_end(w, '}');
}

/* The chat form's log-probabilities as completions have them; offsets count from the beginning of
 * the answer, as vLLM's. */
static int put_logprobs(struct json_w *w, struct str chat, struct arena *a, struct err *e)
{
	static const char *const names[] = { "tokens", "token_logprobs", "top_logprobs",
					     "text_offset" };
	struct json_val v, content;
	size_t at = 0;

	if (json_parse(&v, chat, e))
		return -1;
	content = json_get(v, "content");
	json_w_begin(w, '{');
	for (int i = 0; i < 4; i++) {
		struct json_iter it = json_elements(content);

		json_w_key(w, names[i]);
		json_w_begin(w, '[');
		while (json_next(&v, &it)) {
			struct str token;

			if (i == 2) {
				put_top(w, json_get(v, "top_logprobs"));
			} else if (i == 3) {
				json_w_u64(w, at);
				if (json_str(&token, json_get(v, "token"), a, e))
					return -1;
				at += n_chars(token);
			} else {
				json_w_raw(w, json_get(v, i ? "logprob" : "token").raw);
			}
		}
		json_w_end(w, ']');
	}
	json_w_end(w, '}');
	return 0;
}

int llm_batch_choices(struct buf *out, const struct llm_ask *q, struct err *e)
{
	bool text = q->kind == LLM_ASK_COMPLETION;
	struct json_w w = json_w(out);

	put_head(&w, q, text ? "cmpl-" : "chatcmpl-", text ? "text_completion" : "chat.completion");
	json_w_key(&w, "choices");
	json_w_begin(&w, '[');
	for (uint32_t i = 0; i < q->n; i++) {
		const struct llm_answer *a = &q->answers[i];

		json_w_begin(&w, '{');
		json_w_key(&w, "index");
		json_w_u64(&w, i);
		if (text) {
			json_w_key(&w, "text");
			json_w_str(&w, a->text);
		} else {
			put_message(&w, a);
		}
		json_w_key(&w, "logprobs");
		if (!text || !a->logprobs.n)
			json_w_raw(&w, a->logprobs.n ? a->logprobs : STR("null"));
		else if (put_logprobs(&w, a->logprobs, q->a, e))
			return -1;
		json_w_key(&w, "finish_reason");
		json_w_str(&w, a->finish);
		json_w_end(&w, '}');
	}
	json_w_end(&w, ']');
	return put_usage(&w, q, e);
}

int llm_batch_vectors(struct buf *out, const struct llm_ask *q, const float *v, size_t n,
		      size_t dims, bool base64, struct err *e)
{
	struct json_w w = json_w(out);

	json_w_begin(&w, '{');
	json_w_key(&w, "object");
	json_w_strz(&w, "list");
	json_w_key(&w, "data");
	json_w_begin(&w, '[');
	for (size_t i = 0; i < n; i++) {
		json_w_begin(&w, '{');
		json_w_key(&w, "object");
		json_w_strz(&w, "embedding");
		json_w_key(&w, "index");
		json_w_u64(&w, i);
		json_w_key(&w, "embedding");
		if (base64)
			json_w_f32_base64(&w, v + i * dims, dims);
		else
			json_w_f32_array(&w, v + i * dims, dims);
		json_w_end(&w, '}');
	}
	json_w_end(&w, ']');
	json_w_key(&w, "model");
	json_w_strz(&w, q->call.model);
	return put_usage(&w, q, e);
}

int llm_batch_scores(struct buf *out, const struct llm_ask *q, const float *scores, size_t n,
		     struct err *e)
{
	struct json_w w = json_w(out);

	put_head(&w, q, "score-", "list");
	json_w_key(&w, "data");
	json_w_begin(&w, '[');
	for (size_t i = 0; i < n; i++) {
		json_w_begin(&w, '{');
		json_w_key(&w, "index");
		json_w_u64(&w, i);
		json_w_key(&w, "object");
		json_w_strz(&w, "score");
		json_w_key(&w, "score");
		json_w_f32(&w, scores[i]);
		json_w_end(&w, '}');
	}
	json_w_end(&w, ']');
	return put_usage(&w, q, e);
}

int llm_batch_ranks(struct buf *out, const struct llm_ask *q, const float *scores,
		    const struct str *docs, size_t n, size_t top, struct err *e)
{
	struct topk_item *best = ckd_alloc(n + 1, sizeof *best);
	struct json_w w = json_w(out);
	struct topk k;

	if (!best)
		return err_nomem(e);
	topk_init(&k, best, top < n ? top : n);
	for (size_t i = 0; i < n; i++)
		topk_push(&k, scores[i], i);
	topk_sort(&k);
	put_head(&w, q, "rerank-", NULL);
	json_w_key(&w, "results");
	json_w_begin(&w, '[');
	for (size_t i = 0; i < k.n; i++) {
		json_w_begin(&w, '{');
		json_w_key(&w, "index");
		json_w_u64(&w, best[i].index);
		json_w_key(&w, "document");
		json_w_begin(&w, '{');
		json_w_key(&w, "text");
		json_w_str(&w, docs[best[i].index]);
		json_w_end(&w, '}');
		json_w_key(&w, "relevance_score");
		json_w_f32(&w, best[i].score);
		json_w_end(&w, '}');
	}
	json_w_end(&w, ']');
	free(best);
	return put_usage(&w, q, e);
}
