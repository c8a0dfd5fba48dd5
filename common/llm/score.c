/* score: how likely the model finds given texts. Texts are packed into steps; each row's
 * log-sum-exp runs on some worker. */
#include "config.h"
#include "llm/gen_impl.h"

struct row {
	size_t text;
	int32_t pos; /* its logits predict the token at pos + 1 */
};
struct score {
	struct llm *l;
	struct llm_text *texts;
	struct model_kv *kv;
	model_seq *seqs; /* [n texts] of this group */
	size_t n_vocab;
	int32_t cap;   /* tokens a step */
	float *logits; /* [cap, n_vocab] */
	struct row *rows;
	int32_t *ids, *at;
	model_seq *step_seqs;
};

static void score_row(void *arg, unsigned worker, size_t i)
{
	struct score *s = arg;
	struct row r = s->rows[i];
	struct llm_text *t = &s->texts[r.text];
	const float *x = s->logits + i * s->n_vocab;
	int32_t next = t->ids[r.pos + 1];

	(void)worker;
	t->out[r.pos + 1] = (double)x[next] - sample_log_z(x, s->n_vocab);
}

/* One step over n gathered tokens, of which n_rows have a successor whose likelihood is wanted. */
static int step(struct score *s, int32_t n, int32_t n_rows, struct err *e)
{
	struct model_step ms = { .n = n,
				 .ids = s->ids,
				 .seqs = s->step_seqs,
				 .n_out = n_rows,
				 .rows = s->at,
				 .logits = n_rows ? s->logits : NULL };
	int32_t bad = 0;

	if (os_stop_signal())
		return os_stopped(e);
	if (model_forward(llm_model(s->l), s->kv, &ms, &bad, e)) {
		if (e->code != ERR_MODEL_FAULT)
			return -1;
		for (int32_t i = 0; i < n_rows; i++)
			if (!kern_all_finite(s->logits + (size_t)i * s->n_vocab,
					     (int64_t)s->n_vocab))
				s->texts[s->rows[i].text].err = *e;
	}
	os_pool_run(llm_pool(s->l), score_row, s, (size_t)n_rows);
	return 0;
}

/* Texts [from, to), which fit into the cache together. */
static int score_group(struct score *s, size_t from, size_t to, struct err *e)
{
	int32_t n = 0, n_rows = 0;

	for (size_t i = from; i < to; i++) {
		struct llm_text *t = &s->texts[i];

		t->out[0] = 0;
		if (model_seq_new(&s->seqs[i - from], s->kv, e) ||
		    model_seq_reserve(s->kv, s->seqs[i - from], t->n, e))
			return -1;
		for (int32_t k = 0; k < t->n; k++) {
			s->ids[n] = t->ids[k];
			s->step_seqs[n] = s->seqs[i - from];
			if (k + 1 < t->n) {
				s->rows[n_rows] = (struct row){ i, k };
				s->at[n_rows++] = n;
			}
			if (++n == s->cap) {
				if (step(s, n, n_rows, e))
					return -1;
				n = n_rows = 0;
			}
		}
	}
	if (n && step(s, n, n_rows, e))
		return -1;
	for (size_t i = from; i < to; i++)
		model_seq_free(s->kv, s->seqs[i - from]);
	return 0;
}

static int prepare(struct score *s, size_t n, int32_t longest, struct err *e)
{
	size_t tokens = (size_t)longest < 4 * LLM_STEP ? 4 * LLM_STEP : (size_t)longest, fit;

	s->n_vocab = (size_t)model_info(llm_model(s->l))->n_vocab;
	fit = LLM_MAX_LOGITS / (s->n_vocab * sizeof *s->logits);
	s->cap = fit < 1 ? 1 : fit > LLM_STEP ? LLM_STEP : (int32_t)fit;
	s->logits = ckd_alloc((size_t)s->cap * s->n_vocab, sizeof *s->logits);
	s->rows = ckd_alloc((size_t)s->cap, sizeof *s->rows);
	s->ids = ckd_alloc((size_t)s->cap, sizeof *s->ids);
	s->at = ckd_alloc((size_t)s->cap, sizeof *s->at);
	s->step_seqs = ckd_alloc((size_t)s->cap, sizeof *s->step_seqs);
	s->seqs = ckd_alloc(n, sizeof *s->seqs);
	if (!s->logits || !s->rows || !s->ids || !s->at || !s->step_seqs || !s->seqs)
		return err_nomem(e);
	return model_kv_new(&s->kv, llm_model(s->l), tokens, e);
}

int llm_score(struct llm *l, struct llm_text *texts, size_t n, struct err *e)
{
	struct score s = { .l = l, .texts = texts };
	int32_t longest = 0;
	size_t from, to;
	int rc = -1;

	for (size_t i = 0; i < n; i++) {
		err_clear(&texts[i].err);
		longest = texts[i].n > longest ? texts[i].n : longest;
		if (texts[i].n < 1 || (uint32_t)texts[i].n > llm_ctx(l))
			return err_set(e, ERR_CONTEXT_LENGTH, "a text of %d tokens, context %u",
				       texts[i].n, llm_ctx(l));
	}
	if (n && prepare(&s, n, longest, e))
		goto out;
	for (from = 0; from < n; from = to) {
		size_t room = model_kv_free_tokens(s.kv);

		/* whole pages a text */
		for (to = from; to < n; to++) {
			size_t need = ((size_t)texts[to].n + KERN_KV_PAGE - 1) / KERN_KV_PAGE *
				      KERN_KV_PAGE;

			if (need > room)
				break;
			room -= need;
		}
		if (to == from) {
			err_set(e, ERR_INTERNAL, "the cache has no room for one text");
			goto out;
		}
		if (score_group(&s, from, to, e))
			goto out;
	}
	rc = 0;
out:
	model_kv_free(s.kv);
	free(s.logits);
	free(s.rows);
	free(s.ids);
	free(s.at);
	free(s.step_seqs);
	free(s.seqs);
	return rc;
}
