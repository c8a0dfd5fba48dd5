/* model: opening, what is known of one, one step of tokens. */
#include "config.h"
#include "model/model_impl.h"

#define MAX_OWN ((size_t)1 << 30) /* layers, tables, converted vectors */
#define DEFAULT_BATCH 512

static void describe(struct model *m)
{
	struct model_info *i = &m->info;

	for (size_t t = 0; t < gguf_n_tensors(m->g); t++) {
		const struct gguf_tensor *x = gguf_tensor_at(m->g, t);

		i->n_params += (uint64_t)(x->ne[0] * x->ne[1] * x->ne[2] * x->ne[3]);
		i->weight_bytes += x->bytes;
	}
	i->encoder = !m->causal;
	i->n_out = i->n_embd;
	if (m->dense[1].w.data)
		i->n_out = (int32_t)m->dense[1].w.rows;
	if (i->pooling == MODEL_POOL_RANK && m->cls_out.w.data)
		i->n_out = (int32_t)m->cls_out.w.rows;
	i->embeds = i->encoder || i->pooling != MODEL_POOL_NONE;
}

/*
 * How deep the products of a model whose vectors are compared read. 1 - least cosine of 1050 texts, MiniLM in Q8_0, values
 * and attention's output in BF16: 8 bits 5.1e-4 where nothing stands out, 15 bits 4.7e-4; with fitted weights, which lose
 * half, 3.1e-4 with the first.
 */
static void deepen(struct model *m, enum kern_depth depth)
{
	for (int32_t i = 0; i < m->info.n_layer; i++) {
		struct layer *y = &m->layers[i];

		y->q.depth = y->k.depth = y->v.depth = y->o.depth = depth;
		y->gate.depth = y->up.depth = y->down.depth = depth;
	}
	m->dense[0].depth = m->dense[1].depth = m->cls.depth = m->cls_out.depth = depth;
}

static int check_opts(const struct model_opts *o, struct err *e)
{
	if (o->max_batch < 0 || o->max_batch > MODEL_MAX_BATCH)
		return err_set(e, ERR_USAGE, "a step of %d tokens: at most %d", o->max_batch, MODEL_MAX_BATCH);
	if (o->pooling > MODEL_POOL_RANK)
		return err_set(e, ERR_USAGE, "no such pooling");
	return 0;
}

void model_observe(struct model *m, model_see_fn *see, void *arg)
{
	m->see = see;
	m->see_arg = arg;
}

int model_open(struct model **out, const struct gguf *g, struct os_pool *pool, const struct model_opts *o, struct err *e)
{
	struct model *m;
	int batch = o->max_batch ? o->max_batch : DEFAULT_BATCH;

	if (check_opts(o, e))
		return -1;
	m = calloc(1, sizeof *m);
	if (!m)
		return err_nomem(e);
	arena_init(&m->own, MAX_OWN);
	m->g = g;
	m->pool = pool;
	m->kv_type = o->kv_type == MODEL_KV_F32 ? GGUF_F32 : o->kv_type ? o->kv_type : GGUF_F16;
	if (model_load(m, g, o->loras, o->n_loras, e) || kv_layout(m, e))
		goto fail;
	if (o->pooling >= 0)
		m->info.pooling = (enum model_pooling)o->pooling;
	describe(m);
	if (m->info.embeds)
		deepen(m, gguf_bool_or(g, "llmu.fitted", false) ? KERN_8_OR_15_BITS : KERN_15_BITS);
	if (m->info.pooling == MODEL_POOL_RANK && !m->cls_out.w.data) {
		err_set(e, ERR_OPEN, "the model is no reranker: it has no head that scores pairs of texts (cls.output); "
			"a cross-encoder does, bge-reranker or ms-marco-MiniLM say");
		goto fail;
	}
	if (work_plan(m, batch, batch, e))
		goto fail;
	*out = m;
	return 0;
fail:
	if (e)
		err_wrap(e, "%s", gguf_path(g));
	model_close(m);
	return -1;
}

void model_close(struct model *m)
{
	if (!m)
		return;
	work_free(m->work);
	arena_release(&m->own);
	free(m);
}

const struct model_info *model_info(const struct model *m)
{
	return &m->info;
}

/* ---- one step ---------------------------------------------------------------------------------- */

int check_ids(const struct model *m, const int32_t *ids, int32_t n, struct err *e)
{
	for (int32_t i = 0; i < n; i++)
		if (ids[i] < 0 || ids[i] >= m->info.n_vocab)
			return err_set(e, ERR_INVALID_FIELD, "token id %d is not in the vocabulary of %d", ids[i],
				       m->info.n_vocab);
	return 0;
}

static int check_step(const struct model *m, const struct model_step *s, struct err *e)
{
	if (!m->causal)
		return err_set(e, ERR_UNSUPPORTED, "%s is an encoder: it gives vectors, no text", m->info.arch);
	if (s->n < 1 || s->n > m->work->cap || s->n_out < 0 || s->n_out > s->n)
		return err_set(e, ERR_INTERNAL, "a step of %d tokens, %d wanted, planned for %d", s->n, s->n_out, m->work->cap);
	for (int32_t i = 0; i < s->n_out; i++)
		if (s->rows[i] < 0 || s->rows[i] >= s->n)
			return err_set(e, ERR_INTERNAL, "row %d of a step of %d", s->rows[i], s->n);
	return check_ids(m, s->ids, s->n, e);
}

/* Runs of one sequence: first room for all of them in the cache, then spans. */
static int add_runs(struct model *m, struct model_kv *kv, const struct model_step *s, bool reserve, struct err *e)
{
	for (int32_t from = 0, to; from < s->n; from = to) {
		model_seq q = s->seqs[from];
		int32_t len = model_seq_len(kv, q), n;

		for (to = from + 1; to < s->n && s->seqs[to] == q; to++)
			;
		n = to - from;
		if (!reserve) {
			work_add_spans(m->work, from, n, len, kv_pages(kv, q));
			continue;
		}
		if (n > m->info.n_ctx_train - len)
			return err_set(e, ERR_CONTEXT_LENGTH, "position %lld is past the context of %d",
				       (long long)len + n - 1, m->info.n_ctx_train);
		if (!kv_join_step(kv, q))
			return err_set(e, ERR_INTERNAL, "sequence %d is not there, or its tokens are not together", q);
		if (model_seq_reserve(kv, q, len + n, e))
			return -1;
	}
	return 0;
}

int first_bad(const struct model *m, int32_t *bad, struct err *e)
{
	int32_t row = INT32_MAX;

	for (unsigned i = 0; i < os_pool_size(m->pool); i++)
		if (m->work->workers[i].bad < row)
			row = m->work->workers[i].bad;
	if (row == INT32_MAX)
		return 0;
	if (bad)
		*bad = row;
	return err_set(e, ERR_MODEL_FAULT, "the model's numbers are not finite: the file may be damaged (llm-model verify)");
}

int model_forward(struct model *m, struct model_kv *kv, const struct model_step *s, int32_t *bad, struct err *e)
{
	struct work *w = m->work;

	if (check_step(m, s, e))
		return -1;
	kv_begin_step(kv);
	if (add_runs(m, kv, s, true, e))
		return -1;
	w->n = s->n;
	w->n_spans = 0;
	w->ids = s->ids;
	w->rows = s->rows;
	w->n_out = s->logits || s->hidden ? s->n_out : 0;
	w->logits = s->logits;
	w->hidden = s->hidden;
	w->kv = kv_memory(kv);
	w->page_bytes = m->page_bytes;
	w->kv_type = m->kv_type;
	w->one_layer = false;
	if (add_runs(m, kv, s, false, e))
		return -1;
	forward_run(m);
	for (int32_t i = 0; i < s->n; i++)
		kv_grow(kv, s->seqs[i], 1);
	return first_bad(m, bad, e);
}
