/* local_rank: queries and documents to a reranker of this process. The pairs of all asks at hand
 * stand in one line; each step computes some of them together. */
#include "config.h"
#include "llm/ask.h"
#include <math.h>

enum { GROUP_TOKENS = 4096 }; /* of a step */

struct job {         /* of an ask; in its arena */
	size_t left; /* pairs that are not computed */
	uint64_t from, ns, tokens;
	float *out; /* [n_docs, labels] */
	struct llm_ask *next;
};
struct pair {
	struct llm_ask *q;
	struct llm_doc doc;
};
struct rank {
	struct llm_backend b;
	struct llm *l;
	const struct llm_setup *s;
	struct tok_enc *enc;
	struct llm_pairing how;
	size_t labels;
	struct pair *pairs;           /* [cap], those of [next, n) wait */
	struct llm_doc *docs;         /* [cap] scratch of a step */
	size_t n, next, cap, tokens;  /* tokens: of those that wait */
	struct llm_ask *done, **last; /* to be handed back, the first one first */
	size_t n_asks;
	struct tok_ids ids;
	struct buf params;
};

static void hand_back(struct rank *k, struct llm_ask *q)
{
	q->next = NULL;
	*k->last = q;
	k->last = &q->next;
}

/* ---- one pair ------------------------------------------------------------------------------ */

static int make_room(struct rank *k, size_t more, struct err *e)
{
	size_t cap = k->cap ? k->cap : 64;
	struct pair *p;
	struct llm_doc *d;

	if (k->next == k->n)
		k->next = k->n = 0;
	if (more > SIZE_MAX / 4 - k->n)
		return err_nomem(e);
	while (cap < k->n + more)
		cap *= 2;
	if (cap == k->cap)
		return 0;
	p = ckd_realloc(k->pairs, cap, sizeof *p);
	if (p)
		k->pairs = p;
	d = ckd_realloc(k->docs, cap, sizeof *d);
	if (d)
		k->docs = d;
	if (!p || !d)
		return err_nomem(e);
	k->cap = cap;
	return 0;
}

static int add_pair(struct rank *k, struct llm_ask *q, size_t i, struct err *e)
{
	struct job *j = q->state;
	uint32_t ctx = llm_ctx(k->l);
	int32_t *ids, whole, second;

	k->ids.n = 0;
	if (llm_pair(&k->ids, &second, &whole, k->enc, llm_tok(k->l), &k->how, q->text, q->docs[i],
		     k->s->limit, e))
		return err_wrap(e, "document %zu", i);
	if (k->ids.n > ctx)
		return err_set(e, ERR_CONTEXT_LENGTH,
			       "query and document %zu are %zu tokens, context %u: use --truncate "
			       "ctx or llm-tokenize --chunk %u",
			       i, k->ids.n, ctx, ctx / 10 * 6);
	ids = arena_alloc(q->a, k->ids.n * sizeof *ids);
	if (!ids)
		return err_nomem(e);
	memcpy(ids, k->ids.v, k->ids.n * sizeof *ids);
	q->n_whole += whole;
	q->n_kept += (int32_t)k->ids.n;
	k->pairs[k->n++] = (struct pair){ .q = q,
					  .doc = { .ids = ids,
						   .n = (int32_t)k->ids.n,
						   .second = second,
						   .out = j->out + i * k->labels } };
	return 0;
}

static int add_pairs(struct rank *k, struct llm_ask *q, struct err *e)
{
	struct job *j = arena_alloc(q->a, sizeof *j);
	size_t from, n;

	if (!j || make_room(k, q->n_docs, e) ||
	    !ckd_mul_size(&n, q->n_docs, k->labels * sizeof *j->out))
		return err_nomem(e);
	*j = (struct job){ .left = q->n_docs, .from = time_mono_ns() };
	q->state = j;
	j->out = arena_alloc(q->a, n);
	q->scores = arena_alloc(q->a, q->n_docs * sizeof *q->scores);
	if (!j->out || !q->scores)
		return err_nomem(e);
	from = k->n;
	for (size_t i = 0; i < q->n_docs; i++)
		if (add_pair(k, q, i, e)) {
			k->n = from;
			return -1;
		}
	j->tokens = (uint64_t)q->n_kept;
	k->tokens += (size_t)q->n_kept;
	return 0;
}

/* ---- the backend --------------------------------------------------------------------------- */

static size_t room(const struct llm_backend *b)
{
	const struct rank *k = (const struct rank *)b;

	return k->done || k->tokens >= GROUP_TOKENS ? 0 : k->s->jobs - k->n_asks;
}

static void finish(struct rank *k, struct llm_ask *q)
{
	const struct job *j = q->state;

	for (size_t i = 0; i < q->n_docs; i++) {
		q->scores[i] = j->out[i * k->labels];
		if (!isfinite(q->scores[i]) && !q->err.code)
			err_set(&q->err, ERR_MODEL_FAULT, "the score of document %zu is not finite",
				i);
	}
	q->call = (struct llm_call){ .stage = "rerank",
				     .model = llm_name(k->l),
				     .digest = llm_model_digest(k->l),
				     .prompt_tokens = j->tokens,
				     .params = buf_str(&k->params),
				     .prompt = q->text,
				     .t_queued = j->from,
				     .t_done = time_mono_ns(),
				     .ns_prompt = j->ns };
	hand_back(k, q);
}

static int submit(struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	struct rank *k = (struct rank *)b;

	(void)e;
	k->n_asks++;
	if (q->kind != LLM_ASK_RERANK)
		err_set(&q->err, ERR_UNSUPPORTED, "%s scores pairs of texts", llm_name(k->l));
	if (q->err.code || add_pairs(k, q, &q->err))
		hand_back(k, q);
	else if (!q->n_docs)
		finish(k, q);
	return 0;
}

/* Some of the pairs, at least one. */
static int compute(struct rank *k, struct err *e)
{
	uint64_t from = time_mono_ns(), ns;
	size_t n = 0, tokens = 0;

	while (k->next + n < k->n && (!n || tokens < GROUP_TOKENS)) {
		k->docs[n] = k->pairs[k->next + n].doc;
		tokens += (size_t)k->docs[n++].n;
	}
	if (llm_embed(k->l, k->docs, n, false, e))
		return -1;
	ns = time_mono_ns() - from;
	for (size_t i = 0; i < n; i++) {
		struct llm_ask *q = k->pairs[k->next + i].q;
		struct job *j = q->state;

		if (k->docs[i].err.code)
			q->err = k->docs[i].err;
		j->ns += ns * (uint64_t)k->docs[i].n / tokens;
		if (!--j->left)
			finish(k, q);
	}
	k->next += n;
	k->tokens -= tokens;
	return 0;
}

static int step(struct llm_ask **done, struct llm_backend *b, bool more, struct err *e)
{
	struct rank *k = (struct rank *)b;

	(void)more;
	if (!k->done && k->next < k->n && compute(k, e))
		return -1;
	*done = k->done;
	if (k->done) {
		k->done = k->done->next;
		k->n_asks--;
		if (!k->done)
			k->last = &k->done;
	}
	return 0;
}

static bool busy(const struct llm_backend *b)
{
	return ((const struct rank *)b)->n_asks > 0;
}

static void put_model(struct json_w *w, struct rank *k)
{
	json_w_key(w, "model_digest");
	json_w_strz(w, llm_model_digest(k->l));
	json_w_key(w, "ctx");
	json_w_u64(w, llm_ctx(k->l));
	json_w_key(w, "limit");
	json_w_i64(w, k->s->limit);
	json_w_key(w, "params");
	json_w_raw(w, buf_str(&k->params));
}

static int key(struct buf *out, struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	struct json_w w = json_w(out);

	json_w_begin(&w, '{');
	put_model(&w, (struct rank *)b);
	json_w_key(&w, "query");
	json_w_str(&w, q->text);
	json_w_key(&w, "documents");
	json_w_begin(&w, '[');
	for (size_t i = 0; i < q->n_docs; i++)
		json_w_str(&w, q->docs[i]);
	json_w_end(&w, ']');
	json_w_end(&w, '}');
	return buf_check(out, e);
}

static int describe(struct buf *out, struct llm_backend *b, struct err *e)
{
	struct json_w w = json_w(out);

	json_w_begin(&w, '{');
	put_model(&w, (struct rank *)b);
	json_w_end(&w, '}');
	return buf_check(out, e);
}

static void rank_free(struct llm_backend *b)
{
	struct rank *k = (struct rank *)b;

	free(k->pairs);
	free(k->docs);
	tok_ids_release(&k->ids);
	tok_enc_free(k->enc);
	buf_release(&k->params);
	free(k);
}

static const struct llm_backend_ops ops = { room, submit, step, busy, key, describe, rank_free };

static int check(struct rank *k, struct err *e)
{
	const struct model_info *mi = model_info(llm_model(k->l));
	struct json_w w = json_w(&k->params);

	if (mi->pooling != MODEL_POOL_RANK)
		return err_set(e, ERR_OPEN, "%s is opened for vectors, not for ranking",
			       llm_name(k->l));
	k->labels = (size_t)mi->n_out;
	/* Qwen3-Reranker has two: the score is the first one's probability, that of "yes" */
	if (k->labels != 1 && !(k->labels == 2 && !mi->encoder))
		return err_set(e, ERR_OPEN, "%s tells %zu classes apart: a reranker has one score",
			       llm_name(k->l), k->labels);
	json_w_begin(&w, '{');
	json_w_key(&w, "pooling");
	json_w_strz(&w, "rank");
	llm_lora_put(&w, k->l);
	json_w_end(&w, '}');
	return llm_pairing(&k->how, k->l, e) || buf_check(&k->params, e) ||
	       tok_enc_new(&k->enc, llm_tok(k->l), e);
}

int llm_local_rank_new(struct llm_backend **out, struct llm *l, const struct llm_setup *s,
		       struct err *e)
{
	struct rank *k = calloc(1, sizeof *k);

	if (!k)
		return err_nomem(e);
	k->b.ops = &ops;
	k->l = l;
	k->s = s;
	k->last = &k->done;
	buf_init(&k->params, 1 << 16);
	if (check(k, e)) {
		rank_free(&k->b);
		return -1;
	}
	*out = &k->b;
	return 0;
}
