/* embed_batch: dimensions and encoding_format of a record; /v1/embeddings, /v1/score and
 * /v1/rerank. */
#include "config.h"
#include "embed.h"
#include <math.h>

/* What end() must know of begin(); an ask's `extra`. */
struct wish {
	enum llm_endpoint ep;
	bool base64;
	size_t n_left; /* of the inputs, how many are the first texts of pairs */
	uint32_t top;
	struct llm_inputs in;
};

static const struct wish *wish_of(const struct llm_ask *q)
{
	return q->extra;
}

bool embed_is_batch(const struct llm_ask *q)
{
	return wish_of(q)->ep != LLM_NO_BATCH;
}

bool embed_is_base64(const struct llm_ask *q)
{
	return wish_of(q)->base64;
}

/* ---- questions ----------------------------------------------------------------------------- */

static bool there(struct json_val v)
{
	return v.type != JSON_NONE && v.type != JSON_NULL;
}

static int number(uint32_t *out, struct json_val v, const char *name, struct err *e)
{
	uint64_t n;

	if (!there(v))
		return 0;
	if (json_u64(&n, v, NULL) || n < 1 || n > UINT32_MAX)
		return err_set(e, ERR_INVALID_FIELD, "`%s` must be a whole number, 1 or more",
			       name);
	*out = (uint32_t)n;
	return 0;
}

/* OpenAI's parameters of a vector; where they stand record_param() knows. */
static int read_form(struct llm_ask *q, struct wish *w, struct record *r, struct err *e)
{
	struct json_val f = record_param(r, "encoding_format");

	if (there(f) &&
	    !(f.type == JSON_STRING && (str_is(f.raw, "\"float\"") || str_is(f.raw, "\"base64\""))))
		return err_set(e, ERR_INVALID_FIELD,
			       "`encoding_format` must be \"float\" or \"base64\"");
	if (there(f))
		w->base64 = str_is(f.raw, "\"base64\"");
	return number(&q->dimensions, record_param(r, "dimensions"), "dimensions", e);
}

/* One or more texts, appended; vLLM also takes objects with a member text. */
static int add_texts(struct str *out, size_t *n, size_t max, struct json_val v, const char *name,
		     struct arena *a, struct err *e)
{
	struct json_iter it = json_elements(v);
	bool list = v.type == JSON_ARRAY;
	struct json_val one = v;

	while (!list || json_next(&one, &it)) {
		if (one.type == JSON_OBJECT)
			one = json_get(one, "text");
		if (*n == max)
			return err_set(e, ERR_INVALID_FIELD,
				       "`%s`: at most %d texts go into one line", name,
				       LLM_BATCH_INPUTS);
		if (json_str(&out[*n], one, a, e))
			return there(v)
				       ? err_wrap(e, "`%s`", name)
				       : err_set(e, ERR_MISSING_FIELD, "no `%s` in the body", name);
		++*n;
		if (!list)
			break;
	}
	return *n ? 0 : err_set(e, ERR_INVALID_FIELD, "`%s` is empty", name);
}

/* The first texts and the second ones of pairs: one to many, or as many of each. */
static int read_pairs(struct llm_ask *q, struct wish *w, struct err *e)
{
	bool rank = w->ep == LLM_BATCH_RERANK;
	const char *left = rank ? "query" : "text_1", *right = rank ? "documents" : "text_2";
	const size_t max = LLM_BATCH_INPUTS;
	struct str *texts = arena_alloc(q->a, 2 * max * sizeof *texts);
	size_t n = 0;

	if (!texts)
		return err_nomem(e);
	if (number(&w->top, json_get(q->body, "top_n"), "top_n", NULL)) /* vLLM: 0 is all */
		w->top = 0;
	if (add_texts(texts, &n, max, json_get(q->body, left), left, q->a, e))
		return -1;
	w->n_left = n;
	if (add_texts(texts, &n, 2 * max, json_get(q->body, right), right, q->a, e))
		return -1;
	if (n == w->n_left)
		return err_set(e, ERR_INVALID_FIELD, "`%s` is empty", right);
	if (w->n_left > 1 && (rank || n != 2 * w->n_left))
		return err_set(e, ERR_INVALID_FIELD, "%zu of `%s` and %zu of `%s` make no pairs",
			       w->n_left, left, n - w->n_left, right);
	w->in = (struct llm_inputs){ .texts = texts, .n = n };
	return 0;
}

static int read_question(struct embed_batch *x, struct llm_ask *q, struct wish *w, struct record *r,
			 struct err *e)
{
	if (w->ep == LLM_BATCH_CHAT || w->ep == LLM_BATCH_COMPLETION)
		return err_set(e, ERR_UNSUPPORTED, "%.*s: llm-generate answers that",
			       STR_ARG(q->url));
	if (!x->b.l) /* the service gets it as it is */
		return 0;
	if (w->ep == LLM_BATCH_OTHER)
		return err_set(
			e, ERR_UNSUPPORTED,
			"%.*s: only /v1/embeddings, /v1/score and /v1/rerank can be done here",
			STR_ARG(q->url));
	if (w->ep == LLM_BATCH_EMBEDDINGS) {
		if (x->pairs)
			return err_set(e, ERR_UNSUPPORTED,
				       "%s scores pairs of texts, it makes no vectors",
				       llm_name(x->b.l));
		w->base64 = false; /* OpenAI's default */
		q->inputs = &w->in;
		return read_form(q, w, r, e) ||
				       llm_batch_inputs(&w->in, json_get(q->body, "input"), q->a, e)
			       ? -1
			       : 0;
	}
	if (read_pairs(q, w, e))
		return -1;
	if (!x->pairs) {
		q->inputs = &w->in;
		return 0;
	}
	if (w->n_left > 1)
		return err_set(e, ERR_UNSUPPORTED, "`text_1` must be one text where %s scores",
			       llm_name(x->b.l));
	q->kind = LLM_ASK_RERANK;
	q->text = w->in.texts[0];
	q->docs = w->in.texts + 1;
	q->n_docs = w->in.n - 1;
	return 0;
}

int embed_batch_begin(bool *is, struct embed_batch *x, struct llm_ask *q, struct record *r,
		      struct err *e)
{
	struct wish *w = arena_alloc(q->a, sizeof *w);

	if (!w)
		return err_nomem(e);
	*w = (struct wish){ .base64 = x->base64 };
	q->extra = w;
	q->kind = LLM_ASK_VECTOR;
	*is = true;
	if (llm_batch_begin(&w->ep, q, &x->b, r, e))
		return -1;
	*is = w->ep != LLM_NO_BATCH;
	if (*is)
		return read_question(x, q, w, r, e);
	return x->pairs ? 0 : read_form(q, w, r, e);
}

/* ---- answers ------------------------------------------------------------------------------- */

/* Cosines of vectors [w->in.n, dims], pair by pair. */
static float *cosines(size_t *n, const struct llm_ask *q, const struct wish *w, struct err *e)
{
	size_t dims = q->n_vector, left = w->n_left;
	float *out;

	*n = w->in.n - left;
	out = arena_alloc(q->a, *n * sizeof *out);
	if (!out)
		err_nomem(e);
	for (size_t i = 0; out && i < *n; i++) {
		const float *a = q->vector + (left > 1 ? i : 0) * dims,
			    *b = q->vector + (left + i) * dims;
		double ab = 0, aa = 0, bb = 0;

		for (size_t k = 0; k < dims; k++) {
			ab += (double)a[k] * (double)b[k];
			aa += (double)a[k] * (double)a[k];
			bb += (double)b[k] * (double)b[k];
		}
		out[i] = (float)(ab / sqrt(aa * bb));
	}
	return out;
}

int embed_batch_end(struct embed_batch *x, struct llm_ask *q, struct record *r, struct err *e)
{
	const struct wish *w = wish_of(q);
	const float *scores = q->scores;
	size_t n = q->n_docs;
	int rc = 0;

	buf_reset(&x->body);
	if (!x->b.l)
		return llm_batch_end(r, q, STR(""), e);
	q->call.prompt = json_get(q->body, w->ep == LLM_BATCH_EMBEDDINGS ? "input"
					   : w->ep == LLM_BATCH_SCORE    ? "text_1"
									 : "query")
				 .raw;
	if (w->ep == LLM_BATCH_EMBEDDINGS)
		rc = llm_batch_vectors(&x->body, q, q->vector, w->in.n, q->n_vector, w->base64, e);
	else if (!scores && !(scores = cosines(&n, q, w, e)))
		rc = -1;
	else if (w->ep == LLM_BATCH_SCORE)
		rc = llm_batch_scores(&x->body, q, scores, n, e);
	else
		rc = llm_batch_ranks(&x->body, q, scores, w->in.texts + 1, n, w->top ? w->top : n,
				     e);
	return rc || llm_batch_end(r, q, buf_str(&x->body), e) ? -1 : 0;
}
