/* generate_score: log-likelihood and perplexity of given texts. Records at hand are scored
 * together. */
#include "config.h"
#include "generate.h"
#include <math.h>

enum { GROUP = 64, GROUP_TOKENS = 2048 };

/* One record under way: its texts (windows) and which of their tokens count. */
struct item {
	struct record *r;
	struct llm_text *texts;
	size_t n_texts;
	int32_t first;    /* the first position of each text that counts */
	int32_t n_prompt; /* tokens in all */
	struct str prompt;
};
struct score {
	struct gen *g;
	struct tok_ids ids; /* of the record in hand */
	struct item items[GROUP];
	size_t n;
	struct llm_text *all; /* of all items */
	struct buf b;
};

static void item_clear(struct item *it)
{
	for (size_t i = 0; i < it->n_texts; i++) {
		free((void *)(uintptr_t)it->texts[i].ids);
		free(it->texts[i].out);
	}
	free(it->texts);
	*it = (struct item){ 0 };
}

static int add_text(struct item *it, const int32_t *ids, int32_t n, struct err *e)
{
	struct llm_text *t = &it->texts[it->n_texts++];
	int32_t *copy = ckd_alloc((size_t)n, sizeof *copy);

	*t = (struct llm_text){ .ids = copy, .n = n, .out = ckd_alloc((size_t)n, sizeof *t->out) };
	if (!copy || !t->out)
		return err_nomem(e);
	memcpy(copy, ids, (size_t)n * sizeof *copy);
	return 0;
}

/*
 * llama-perplexity's protocol (ggml-org/llama.cpp:tools/perplexity): whole windows of n tokens, the
 * first of each replaced by BOS, predictions counted from the middle on.
 */
static int cut_windows(struct score *s, struct item *it, int32_t n, struct err *e)
{
	const struct tok *t = s->g->prompter.tok;
	size_t count = s->ids.n / (size_t)n;

	if (!count)
		return err_set(e, ERR_INVALID_FIELD,
			       "the text is %zu tokens, less than a window of %d", s->ids.n, n);
	it->texts = calloc(count, sizeof *it->texts);
	if (!it->texts)
		return err_nomem(e);
	it->first = n / 2 + 1;
	for (size_t i = 0; i < count; i++) {
		int32_t *ids = s->ids.v + i * (size_t)n;

		if (tok_add_bos(t))
			ids[0] = tok_bos(t);
		if (add_text(it, ids, n, e))
			return -1;
	}
	return 0;
}

/* Prompt, then a member of the record: its likelihood behind the prompt. */
static int continuation(struct score *s, struct item *it, struct err *e)
{
	struct json_val v = json_path(record_json(it->r), str_of(s->g->o->continuation));
	struct llm_ask q;
	struct str text;

	if (v.type == JSON_NONE)
		return err_set(e, ERR_MISSING_FIELD, "no `%s` to score", s->g->o->continuation);
	if (json_str(&text, v, record_arena(it->r), e) || gen_prompt(&q, s->g, it->r, NULL, e))
		return -1;
	for (size_t i = 0; i < s->g->prompt.ids.n; i++)
		if (tok_ids_push(&s->ids, s->g->prompt.ids.v[i], e))
			return -1;
	it->first = (int32_t)s->ids.n;
	it->prompt = s->g->prompt.messages;
	return tok_encode(&s->ids, NULL, s->g->enc, text, 0, e);
}

static int prepare(struct score *s, struct item *it, struct err *e)
{
	struct str text;

	s->ids.n = 0;
	it->first = 1;
	if (s->g->o->continuation) {
		if (continuation(s, it, e))
			return -1;
	} else {
		struct tok_part part;

		if (record_text(&text, it->r, e))
			return -1;
		part = (struct tok_part){ text, !s->g->o->raw };
		it->prompt = text;
		if (tok_encode_parts(&s->ids, s->g->enc, &(struct tok_parts){ &part, 1 }, e))
			return -1;
	}
	it->n_prompt = (int32_t)s->ids.n;
	if (s->g->o->window)
		return cut_windows(s, it, (int32_t)s->g->o->window, e);
	if (s->ids.n < 2 || it->first >= it->n_prompt)
		return err_set(e, ERR_INVALID_FIELD, "nothing to score: %zu tokens", s->ids.n);
	if (s->ids.n > llm_ctx(s->g->l))
		return err_set(e, ERR_CONTEXT_LENGTH,
			       "the text is %zu tokens, context %u: use --window", s->ids.n,
			       llm_ctx(s->g->l));
	it->texts = calloc(1, sizeof *it->texts);
	return it->texts ? add_text(it, s->ids.v, it->n_prompt, e) : err_nomem(e);
}

static int set_call(struct score *s, struct item *it, uint64_t from, struct err *e)
{
	struct llm_call c = { .stage = "score",
			      .model = llm_name(s->g->l),
			      .digest = llm_model_digest(s->g->l),
			      .prompt_tokens = (uint64_t)it->n_prompt,
			      .prompt = it->prompt,
			      .t_queued = from,
			      .t_done = time_mono_ns() };
	struct buf params;
	struct json_w w = json_w(&params);
	int rc;

	buf_init(&params, 1 << 20);
	json_w_begin(&w, '{');
	if (s->g->o->window) {
		json_w_key(&w, "window");
		json_w_u64(&w, s->g->o->window);
	}
	llm_lora_put(&w, s->g->l);
	json_w_end(&w, '}');
	c.params = buf_str(&params);
	buf_reset(&s->b);
	rc = buf_check(&params, e) || llm_call_put(&s->b, &c, e) ||
	     record_add_call(it->r, buf_str(&s->b), e);
	buf_release(&params);
	return rc ? -1 : 0;
}

static int set_result(struct score *s, struct item *it, uint64_t from, struct err *e)
{
	double sum = 0, squares = 0, mean;
	uint64_t n = 0;

	for (size_t i = 0; i < it->n_texts; i++) {
		const struct llm_text *t = &it->texts[i];

		if (t->err.code) {
			*e = t->err;
			return -1;
		}
		for (int32_t k = it->first; k < t->n; k++, n++) {
			sum += t->out[k];
			squares += t->out[k] * t->out[k];
		}
	}
	mean = sum / (double)n;
	if (record_set_f64(it->r, "logprob", sum, e) || record_set_u64(it->r, "n_scored", n, e) ||
	    record_set_f64(it->r, "ppl", exp(-mean), e))
		return -1;
	if (s->g->o->window && n > 1) {
		double var = squares / (double)n - mean * mean;

		if (record_set_f64(it->r, "ppl_stderr",
				   sqrt((var > 0 ? var : 0) / (double)(n - 1)) * exp(-mean), e))
			return -1;
	}
	return set_call(s, it, from, e);
}

/* Score what is gathered, give the records back. */
static int flush(struct score *s, struct err *e)
{
	uint64_t from = time_mono_ns();
	size_t n = 0, k = 0;

	for (size_t i = 0; i < s->n; i++)
		n += s->items[i].n_texts;
	s->all = ckd_alloc(n, sizeof *s->all);
	if (!s->all)
		return err_nomem(e);
	for (size_t i = 0; i < s->n; i++)
		for (size_t t = 0; t < s->items[i].n_texts; t++)
			s->all[k++] = s->items[i].texts[t];
	/* a stop signal is answered between groups of windows */
	for (size_t at = 0, to; at < n; at = to) {
		int32_t tokens = 0;

		for (to = at; to < n && (to == at || tokens + s->all[to].n <= 4 * GROUP_TOKENS);
		     to++)
			tokens += s->all[to].n;
		if (os_stop_signal() || llm_score(s->g->l, s->all + at, to - at, e)) {
			free(s->all);
			return os_stop_signal() ? os_stopped(e) : -1;
		}
		s->g->tally->tokens += (uint64_t)tokens;
	}
	k = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct item *it = &s->items[i];
		struct record *r = it->r;
		struct err fault = { 0 };

		for (size_t t = 0; t < it->n_texts; t++)
			it->texts[t].err = s->all[k++].err;
		if (set_result(s, it, from, &fault))
			record_fail(r, &fault, 0);
		item_clear(it);
		if (record_done(s->g->io, r, e)) {
			free(s->all);
			return -1;
		}
	}
	free(s->all);
	s->n = 0;
	return 0;
}

static int loop(struct score *s, struct err *e)
{
	size_t window = s->g->jobs < GROUP ? s->g->jobs : GROUP, tokens = 0;

	for (;;) {
		struct item *it = &s->items[s->n];
		struct err fault = { 0 };
		struct record *r;

		if (s->n == window || tokens >= GROUP_TOKENS) {
			if (flush(s, e))
				return -1;
			tokens = 0;
			continue;
		}
		if (record_next(&r, s->g->io, !s->n, e))
			return -1;
		if (!r) {
			if (s->n ? flush(s, e) : record_ended(s->g->io))
				return s->n ? -1 : 0;
			tokens = 0;
			continue;
		}
		*it = (struct item){ .r = r };
		if (!prepare(s, it, &fault)) {
			tokens += (size_t)it->n_prompt;
			s->n++;
			continue;
		}
		item_clear(it);
		if (fault.code == ERR_SIGNAL) {
			*e = fault;
			return -1;
		}
		record_fail(r, &fault, 0);
		if (record_done(s->g->io, r, e))
			return -1;
	}
}

int gen_score(struct gen *g, struct err *e)
{
	struct score *s = calloc(1, sizeof *s);
	int rc;

	if (!s)
		return err_nomem(e);
	s->g = g;
	buf_init(&s->b, BUF_MAX_LINE);
	rc = loop(s, e);
	for (size_t i = 0; i < s->n; i++)
		item_clear(&s->items[i]);
	buf_release(&s->b);
	tok_ids_release(&s->ids);
	free(s);
	return rc;
}
