/* local_vectors: texts to an encoder of this process. What was submitted since the last step is
 * computed together. */
#include "config.h"
#include "llm/ask.h"
#include <math.h>

enum { GROUP_TOKENS = 4096 }; /* a batch ends when it has as many */

struct item {
	struct llm_ask *q;
	struct tok_ids ids; /* memory is kept */
	size_t doc;         /* its place in `docs` */
};
struct vectors {
	struct llm_backend b;
	struct llm *l;
	const struct llm_setup *s;
	struct tok_enc *enc;
	size_t n_out, n_dim; /* numbers that the model gives, that are kept */
	struct item *items;  /* [s->jobs] */
	struct llm_doc *docs;
	float *out;           /* [s->jobs, n_out] */
	size_t n, tokens;     /* gathered */
	struct llm_ask *done; /* to be handed back, the first one first */
	struct llm_ask **last;
	size_t n_asks;
	struct buf text, params;
};

static void hand_back(struct vectors *v, struct llm_ask *q)
{
	q->next = NULL;
	*v->last = q;
	v->last = &q->next;
}

/* Tokens in place of a text; as they are, but for what is over the limit. */
static int given_ids(struct vectors *v, struct item *it, struct err *e)
{
	const struct llm_ask *q = it->q;
	size_t n = v->s->limit && q->n_ids > (size_t)v->s->limit ? (size_t)v->s->limit : q->n_ids;

	it->q->n_whole = (int32_t)(q->n_ids < INT32_MAX ? q->n_ids : INT32_MAX);
	for (size_t i = 0; i < n; i++) {
		if (q->ids[i] < 0 || (size_t)q->ids[i] >= tok_n_vocab(llm_tok(v->l)))
			return err_set(e, ERR_INVALID_FIELD, "token %d: the model has %zu", q->ids[i],
				       tok_n_vocab(llm_tok(v->l)));
		if (tok_ids_push(&it->ids, q->ids[i], e))
			return -1;
	}
	return 0;
}

/* How many numbers of a vector are kept. */
static size_t dims_of(const struct vectors *v, const struct llm_ask *q)
{
	return q->dimensions ? q->dimensions : v->n_dim;
}

/* The tokens of one more text. */
static int prepare(struct vectors *v, struct item *it, struct err *e)
{
	uint32_t ctx = llm_ctx(v->l);
	struct str text = it->q->text;

	if (dims_of(v, it->q) > v->n_out)
		return err_set(e, ERR_INVALID_FIELD, "dimensions %u: the model gives %zu", it->q->dimensions, v->n_out);
	if (v->s->prefix.n) {
		buf_reset(&v->text);
		buf_adds(&v->text, v->s->prefix);
		buf_adds(&v->text, text);
		if (buf_check(&v->text, e))
			return -1;
		text = buf_str(&v->text);
	}
	it->ids.n = 0;
	if (it->q->ids ? given_ids(v, it, e) : llm_document(&it->ids, &it->q->n_whole, v->enc, text, v->s->limit, e))
		return -1;
	it->q->n_kept = (int32_t)it->ids.n;
	if (!it->ids.n)
		return err_set(e, ERR_INVALID_FIELD,
			       "the text is empty: there is nothing to embed");
	if (it->ids.n > ctx)
		return err_set(e, ERR_CONTEXT_LENGTH,
			       "text is %zu tokens, context %u: use --truncate ctx or llm-tokenize "
			       "--chunk %u",
			       it->ids.n, ctx, ctx / 10 * 8);
	return 0;
}

int llm_unit(float *v, size_t n, struct err *e)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)v[i] * (double)v[i];
	if (!(sum > 0) || isinf(sum))
		return err_set(e, ERR_INVALID_VECTOR,
			       "the vector cannot be normalized: its length is %g", sqrt(sum));
	for (size_t i = 0; i < n; i++)
		v[i] = (float)((double)v[i] / sqrt(sum));
	return 0;
}

static int set_vector(struct vectors *v, struct llm_ask *q, const struct llm_doc *d, struct err *e)
{
	size_t dims = dims_of(v, q);

	if (d->err.code) {
		*e = d->err;
		return -1;
	}
	if (dims < v->n_out && v->s->normalize && llm_unit(d->out, dims, e))
		return -1;
	q->vector = arena_alloc(q->a, dims * sizeof *q->vector);
	if (!q->vector)
		return err_nomem(e);
	memcpy(q->vector, d->out, dims * sizeof *q->vector);
	q->n_vector = dims;
	return 0;
}

/* What decides the vector of q, as its call tells it. */
static int put_params(struct buf *out, struct vectors *v, const struct llm_ask *q, struct err *e)
{
	static const char *const poolings[] = { "none", "mean", "cls", "last", "rank" };
	struct json_w w = json_w(out);

	json_w_begin(&w, '{');
	json_w_key(&w, "pooling");
	json_w_strz(&w, poolings[model_info(llm_model(v->l))->pooling]);
	json_w_key(&w, "prefix");
	json_w_str(&w, v->s->prefix);
	json_w_key(&w, "normalize");
	json_w_bool(&w, v->s->normalize);
	json_w_key(&w, "dimensions");
	json_w_u64(&w, dims_of(v, q));
	llm_lora_put(&w, v->l);
	json_w_end(&w, '}');
	return buf_check(out, e);
}

/* Those of an ask with dimensions of its own are its own; else v->params, which all others share. */
static struct str params_of(struct vectors *v, struct llm_ask *q)
{
	struct buf b;
	struct str s;

	if (dims_of(v, q) == v->n_dim)
		return buf_str(&v->params);
	buf_init(&b, 1 << 16);
	put_params(&b, v, q, &q->err);
	s = arena_str(q->a, buf_str(&b));
	buf_release(&b);
	if (!s.p && !q->err.code)
		err_nomem(&q->err);
	return s;
}

/* Compute what is gathered: first what the model itself brings to its length, then what is shortened before that. */
static int compute(struct vectors *v, struct err *e)
{
	size_t n = 0;

	for (int whole = 1; whole >= 0; whole--) {
		size_t from = n;

		for (size_t i = 0; i < v->n; i++) {
			struct item *it = &v->items[i];

			if ((dims_of(v, it->q) == v->n_out) != whole)
				continue;
			it->doc = n++;
			v->docs[it->doc] = (struct llm_doc){ .ids = it->ids.v,
							 .n = (int32_t)it->ids.n,
							 .out = v->out + i * v->n_out };
		}
		if (n > from && llm_embed(v->l, v->docs + from, n - from, v->s->normalize && whole, e))
			return -1;
	}
	return 0;
}

static int flush(struct vectors *v, struct err *e)
{
	uint64_t from = time_mono_ns(), ns;

	if (compute(v, e))
		return -1;
	ns = time_mono_ns() - from;
	for (size_t i = 0; i < v->n; i++) {
		struct llm_ask *q = v->items[i].q;

		set_vector(v, q, &v->docs[v->items[i].doc], &q->err);
		q->call = (struct llm_call){
			.stage = "embed",
			.model = llm_name(v->l),
			.digest = llm_model_digest(v->l),
			.prompt_tokens = (uint64_t)q->n_kept,
			.params = params_of(v, q),
			.prompt = q->text,
			.t_queued = from,
			.t_done = time_mono_ns(),
			.ns_prompt = v->tokens ? ns * (uint64_t)q->n_kept / v->tokens : 0
		};
		hand_back(v, q);
	}
	v->n = v->tokens = 0;
	return 0;
}

int llm_vector_tokens(uint64_t *out, struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	struct vectors *v = (struct vectors *)b;
	struct item *it = &v->items[v->n];

	it->q = q;
	if (prepare(v, it, e))
		return -1;
	*out = it->ids.n;
	return 0;
}

/* ---- the backend --------------------------------------------------------------------------- */

static size_t room(const struct llm_backend *b)
{
	const struct vectors *v = (const struct vectors *)b;

	return v->done || v->tokens >= GROUP_TOKENS ? 0 : v->s->jobs - v->n;
}

static int submit(struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	struct vectors *v = (struct vectors *)b;
	struct item *it = &v->items[v->n];

	(void)e;
	it->q = q;
	v->n_asks++;
	if (q->kind != LLM_ASK_VECTOR) {
		err_set(&q->err, ERR_UNSUPPORTED, "%s makes vectors", llm_name(v->l));
		hand_back(v, q);
	} else if (prepare(v, it, &q->err)) {
		hand_back(v, q);
	} else {
		v->tokens += it->ids.n;
		v->n++;
	}
	return 0;
}

static int step(struct llm_ask **done, struct llm_backend *b, bool more, struct err *e)
{
	struct vectors *v = (struct vectors *)b;

	(void)more;
	if (!v->done && v->n && flush(v, e))
		return -1;
	*done = v->done;
	if (v->done) {
		v->done = v->done->next;
		v->n_asks--;
		if (!v->done)
			v->last = &v->done;
	}
	return 0;
}

static bool busy(const struct llm_backend *b)
{
	return ((const struct vectors *)b)->n_asks > 0;
}

static void put_model(struct json_w *w, struct vectors *v, struct str params)
{
	json_w_key(w, "model_digest");
	json_w_strz(w, llm_model_digest(v->l));
	json_w_key(w, "ctx");
	json_w_u64(w, llm_ctx(v->l));
	json_w_key(w, "limit");
	json_w_i64(w, v->s->limit);
	json_w_key(w, "params");
	json_w_raw(w, params);
}

static int key(struct buf *out, struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	struct json_w w = json_w(out);

	json_w_begin(&w, '{');
	put_model(&w, (struct vectors *)b, params_of((struct vectors *)b, q));
	json_w_key(&w, "input");
	if (q->ids)
		json_w_i32_array(&w, q->ids, q->n_ids);
	else
		json_w_str(&w, q->text);
	json_w_end(&w, '}');
	return buf_check(out, e);
}

static int describe(struct buf *out, struct llm_backend *b, struct err *e)
{
	struct json_w w = json_w(out);

	json_w_begin(&w, '{');
	put_model(&w, (struct vectors *)b, buf_str(&((struct vectors *)b)->params));
	json_w_end(&w, '}');
	return buf_check(out, e);
}

static void vectors_free(struct llm_backend *b)
{
	struct vectors *v = (struct vectors *)b;

	for (size_t i = 0; v->items && i < v->s->jobs; i++)
		tok_ids_release(&v->items[i].ids);
	free(v->items);
	free(v->docs);
	free(v->out);
	tok_enc_free(v->enc);
	buf_release(&v->text);
	buf_release(&v->params);
	free(v);
}

static const struct llm_backend_ops ops = { room, submit, step, busy, key, describe, vectors_free };

int llm_local_vectors_new(struct llm_backend **out, struct llm *l, const struct llm_setup *s,
			  struct err *e)
{
	struct vectors *v = calloc(1, sizeof *v);

	if (!v)
		return err_nomem(e);
	v->b.ops = &ops;
	v->l = l;
	v->s = s;
	v->last = &v->done;
	v->n_out = (size_t)model_info(llm_model(l))->n_out;
	v->n_dim = s->dimensions ? s->dimensions : v->n_out;
	buf_init(&v->text, BUF_MAX_LINE * 2);
	buf_init(&v->params, 1 << 16);
	v->items = calloc(s->jobs, sizeof *v->items);
	v->docs = calloc(s->jobs, sizeof *v->docs);
	v->out = ckd_alloc(s->jobs * v->n_out, sizeof *v->out);
	if (!v->items || !v->docs || !v->out)
		err_nomem(e);
	else if (v->n_dim > v->n_out)
		err_set(e, ERR_USAGE, "--dimensions %u: the model gives %zu", s->dimensions,
			v->n_out);
	else if (!tok_enc_new(&v->enc, llm_tok(l), e) && !put_params(&v->params, v, &(struct llm_ask){ 0 }, e)) {
		*out = &v->b;
		return 0;
	}
	vectors_free(&v->b);
	return -1;
}
