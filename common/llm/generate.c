/*
 * generate: the batch scheduler. Slots hold sequences: those at work, and those that are finished
 * and kept for their prefix. The prefix tree is implicit: a request looks for the slot that shares
 * most of its prompt; when that slot is still computing the shared part, the request waits for it
 * instead of computing it too.
 */
#include "config.h"
#include "llm/gen_impl.h"
#include "llm/prompt_cache.h"

enum {
	MIN_SHARE = KERN_KV_PAGE / 2, /* fewer tokens in common are not worth a copied page */
	MIN_FILE = 2 * KERN_KV_PAGE,  /* nor fewer that are new a file */
	MAX_KEPT = 64,
};

enum slot_state { SLOT_FREE, SLOT_PREFILL, SLOT_DECODE, SLOT_KEPT };
struct slot {
	enum slot_state state;
	struct llm_request *rq; /* NULL when kept */
	model_seq seq;
	struct tok_ids toks; /* prompt, then output */
	int32_t n_done;      /* tokens in the cache */
	int32_t limit;       /* most tokens in all */
	uint64_t key;        /* of the draws */
	uint64_t used;       /* when it was last shared or finished */
	size_t cap_logprobs;
	struct gen_text text;
	int32_t row;    /* in this step, or -1 */
	int32_t n_step; /* tokens in this step */
	struct sample_choice next;
};
struct waiting {
	struct llm_request *rq;
	struct slot *leader; /* computes what it waits for, … */
	struct llm_request *leader_rq;
	int32_t share; /* … so many tokens */
};
struct llm_gen {
	struct llm *l;
	const struct tok *tok;
	struct model_kv *kv;
	size_t n_vocab, kv_tokens;
	uint32_t ctx;
	size_t jobs, n_slots, n_active;
	struct slot *slots;    /* [n_slots] */
	struct waiting *queue; /* [jobs] in order of submission */
	size_t n_queue;
	struct llm_request **done; /* [2 jobs] ring */
	size_t done_from, n_done;
	uint64_t clock;
	/* a step */
	int32_t max_rows;
	float *logits; /* [max_rows, n_vocab] */
	int32_t ids[LLM_STEP], rows[LLM_STEP];
	model_seq seqs[LLM_STEP];
	struct slot **row_slot;          /* [max_rows] */
	struct sample_scratch **scratch; /* [workers] */
	unsigned workers;
	size_t turn; /* the slot that decodes first: rows may be fewer than slots */
	/* prefixes on disk */
	struct prompt_cache *cache; /* or NULL */
	struct tok_ids first;       /* the first prompt, … */
	bool others;                /* … and whether there was another one */
};

/* ---- life ---------------------------------------------------------------------------------- */

/* Tokens of cache: what all jobs may need, but at most half of the memory that is free. */
static size_t cache_tokens(const struct llm_gen *g)
{
	const struct model_info *mi = model_info(llm_model(g->l));
	size_t per = mi->kv_bytes_per_token ? mi->kv_bytes_per_token : 1, most, all;
	const char *type = llm_options(g->l)->kv_type;

	if (type && !strcmp(type, "f32"))
		per *= 2;
	most = (size_t)(os_memory_available() / 2 / per);
	if (!ckd_mul_size(&all, g->jobs, (size_t)g->ctx + KERN_KV_PAGE))
		all = SIZE_MAX;
	return most < all ? most : all;
}

/*
 * What the numbers of a prefix depend on beside its tokens: the model, the type of keys, the
 * kernels. These are named by the program's own code, so that another version begins anew.
 * ERR_UNSUPPORTED where one of them cannot be known.
 */
static int cache_key(uint8_t out[HASH_SHA256_LEN], struct llm *l, struct err *e)
{
	const char *digest = llm_model_digest(l), *type = llm_options(l)->kv_type;
	struct hash_sha256 h;
	struct os_map self;
	uint64_t code;
	char text[256];
	struct buf loras;
	struct json_w w = json_w(&loras);

	if (!*digest)
		return err_set(e, ERR_UNSUPPORTED, "the model's digest cannot be computed");
	if (os_map_open(&self, "/proc/self/exe", e))
		return -1;
	code = hash64(self.p, self.n, 0);
	os_map_close(&self);
	snprintf(text, sizeof text, "%s %s %s %016llx", digest, type ? type : "f16",
		 kern_isa_name(kern_isa()), (unsigned long long)code);
	buf_init(&loras, 1 << 20);
	llm_lora_put(&w, l);
	hash_sha256_init(&h);
	hash_sha256_add(&h, text, strlen(text));
	hash_sha256_add(&h, loras.p, loras.n);
	hash_sha256_end(&h, out);
	buf_release(&loras);
	return 0;
}

static int open_cache(struct llm_gen *g, struct err *e)
{
	const struct llm_opts *o = llm_options(g->l);
	uint8_t key[HASH_SHA256_LEN];
	struct err why = { 0 };

	if (!o->prompt_cache)
		return 0;
	if (cache_key(key, g->l, &why)) {
		err_wrap(&why, "no prompt cache");
		if (o->note)
			o->note(o->note_arg, true, why.text);
		return 0;
	}
	return prompt_cache_open(&g->cache, o->prompt_cache, key, o->note, o->note_arg, e);
}

int llm_gen_new(struct llm_gen **out, struct llm *l, struct err *e)
{
	struct llm_gen *g = calloc(1, sizeof *g);
	size_t fit;

	if (!g)
		return err_nomem(e);
	g->l = l;
	g->tok = llm_tok(l);
	g->ctx = llm_ctx(l);
	g->jobs = llm_options(l)->jobs ? llm_options(l)->jobs : 1;
	g->n_vocab = (size_t)model_info(llm_model(l))->n_vocab;
	g->n_slots = g->jobs + MAX_KEPT;
	g->workers = os_pool_size(llm_pool(l));
	fit = LLM_MAX_LOGITS / (g->n_vocab * sizeof *g->logits);
	fit = fit < 1 ? 1 : fit > LLM_STEP ? LLM_STEP : fit;
	g->max_rows = (int32_t)(g->jobs < fit ? g->jobs : fit);
	g->slots = calloc(g->n_slots, sizeof *g->slots);
	g->queue = calloc(g->jobs, sizeof *g->queue);
	g->done = calloc(2 * g->jobs, sizeof(struct llm_request *));
	g->row_slot = calloc((size_t)g->max_rows, sizeof(struct slot *));
	g->scratch = calloc(g->workers, sizeof(struct sample_scratch *));
	g->logits = ckd_alloc((size_t)g->max_rows * g->n_vocab, sizeof *g->logits);
	if (!g->slots || !g->queue || !g->done || !g->row_slot || !g->scratch || !g->logits) {
		err_nomem(e);
		goto fail;
	}
	for (unsigned i = 0; i < g->workers; i++)
		if (sample_scratch_new(&g->scratch[i], g->n_vocab, e))
			goto fail;
	g->kv_tokens = cache_tokens(g);
	if (model_kv_new(&g->kv, llm_model(l), g->kv_tokens, e) || open_cache(g, e))
		goto fail;
	*out = g;
	return 0;
fail:
	llm_gen_free(g);
	return -1;
}

/* A run of one prompt alone shared nothing: all of it may be what the next one begins with. */
static void keep_first(struct llm_gen *g)
{
	int32_t n = (int32_t)g->first.n, have, of = 0;
	size_t which;

	if (!g->cache || !n || g->others || os_stop_signal())
		return;
	have = prompt_cache_find(&which, &of, g->cache, g->first.v, n);
	/* what goes on from a kept prefix that is whole is a conversation; what leaves one shares
	 * only that */
	if (n - have < MIN_FILE || (have >= MIN_FILE && have < of))
		return;
	for (size_t i = 0; i < g->n_slots; i++) {
		struct slot *s = &g->slots[i];

		if (s->state == SLOT_KEPT && s->n_done >= n &&
		    !memcmp(s->toks.v, g->first.v, g->first.n * sizeof *g->first.v)) {
			prompt_cache_save(g->cache, g->kv, s->seq, g->first.v, n);
			return;
		}
	}
}

void llm_gen_free(struct llm_gen *g)
{
	if (!g)
		return;
	keep_first(g);
	prompt_cache_close(g->cache);
	tok_ids_release(&g->first);
	for (size_t i = 0; g->slots && i < g->n_slots; i++) {
		tok_ids_release(&g->slots[i].toks);
		gen_text_release(&g->slots[i].text);
	}
	for (unsigned i = 0; g->scratch && i < g->workers; i++)
		sample_scratch_free(g->scratch[i]);
	model_kv_free(g->kv);
	free(g->slots);
	free(g->queue);
	free(g->done);
	free(g->row_slot);
	free(g->scratch);
	free(g->logits);
	free(g);
}

void llm_request_release(struct llm_request *rq)
{
	buf_release(&rq->text);
	tok_ids_release(&rq->out);
	free(rq->chosen);
	free(rq->top);
	rq->chosen = rq->top = NULL;
}

size_t llm_gen_room(const struct llm_gen *g)
{
	return g->jobs - g->n_active - g->n_queue - g->n_done;
}

bool llm_gen_busy(const struct llm_gen *g)
{
	return g->n_active || g->n_queue || g->n_done;
}

static void hand_back(struct llm_gen *g, struct llm_request *rq)
{
	rq->t_done = time_mono_ns();
	g->done[(g->done_from + g->n_done++) % (2 * g->jobs)] = rq;
}

static int32_t limit_of(const struct llm_gen *g, const struct llm_request *rq)
{
	int64_t limit = (int64_t)rq->n_ids + rq->max_tokens;

	return (int32_t)(limit < (int64_t)g->ctx ? limit : (int64_t)g->ctx);
}

static int note_prompt(struct llm_gen *g, const struct llm_request *rq, struct err *e)
{
	size_t n = (size_t)rq->n_ids;

	if (g->first.n) {
		g->others |= n != g->first.n || memcmp(rq->ids, g->first.v, n * sizeof *rq->ids);
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		if (tok_ids_push(&g->first, rq->ids[i], e))
			return -1;
	return 0;
}

int llm_gen_submit(struct llm_gen *g, struct llm_request *rq, struct err *e)
{
	if (!llm_gen_room(g))
		return err_set(e, ERR_INTERNAL, "no room for another request");
	rq->t_queued = rq->t_start = rq->t_first = time_mono_ns();
	rq->n_sampled = rq->n_cached = 0;
	rq->finish = LLM_LENGTH;
	err_clear(&rq->err);
	buf_init(&rq->text, BUF_MAX_LINE / 4);
	if (rq->n_ids < 1)
		err_set(&rq->err, ERR_INVALID_FIELD, "the prompt has no tokens");
	else if (rq->max_tokens < 1)
		err_set(&rq->err, ERR_INVALID_FIELD, "max_tokens must be at least 1");
	else if ((uint32_t)rq->n_ids >= g->ctx)
		err_set(&rq->err, ERR_CONTEXT_LENGTH,
			"prompt is %d tokens, context %u: use --truncate or llm-tokenize --chunk "
			"%u",
			rq->n_ids, g->ctx, g->ctx > 1000 ? g->ctx / 10 * 8 : g->ctx / 2);
	else if ((size_t)limit_of(g, rq) > g->kv_tokens)
		err_set(&rq->err, ERR_CONTEXT_LENGTH,
			"prompt and answer are %d tokens, memory holds %zu: use --max-tokens, "
			"--kv-type q8_0 or --ctx-size",
			limit_of(g, rq), g->kv_tokens);
	if (rq->err.code) {
		hand_back(g, rq);
		return 0;
	}
	if (g->cache && note_prompt(g, rq, e))
		return -1;
	g->queue[g->n_queue++] = (struct waiting){ .rq = rq };
	return 0;
}

/* ---- letting requests in ------------------------------------------------------------------- */

static void drop_slot(struct llm_gen *g, struct slot *s)
{
	model_seq_free(g->kv, s->seq);
	s->state = SLOT_FREE;
	s->rq = NULL;
	s->toks.n = 0;
}

/* Forget the kept sequence that was of no use for the longest time. */
static bool evict(struct llm_gen *g)
{
	struct slot *oldest = NULL;

	for (size_t i = 0; i < g->n_slots; i++)
		if (g->slots[i].state == SLOT_KEPT && (!oldest || g->slots[i].used < oldest->used))
			oldest = &g->slots[i];
	if (oldest)
		drop_slot(g, oldest);
	return oldest != NULL;
}

static struct slot *free_slot(struct llm_gen *g)
{
	for (;;) {
		for (size_t i = 0; i < g->n_slots; i++)
			if (g->slots[i].state == SLOT_FREE)
				return &g->slots[i];
		if (!evict(g)) /* cannot be: there are more slots than jobs */
			return NULL;
	}
}

static int32_t common_prefix(const int32_t *a, int32_t na, const int32_t *b, int32_t nb)
{
	int32_t n = na < nb ? na : nb, i = 0;

	while (i < n && a[i] == b[i])
		i++;
	return i;
}

/*
 * The slot that has most of the prompt in the cache: *have tokens. And whether it is better to
 * wait: true when another one is about to compute clearly more of it.
 */
static bool find_prefix(struct slot **best, int32_t *have, struct llm_gen *g, struct waiting *w)
{
	const struct llm_request *rq = w->rq;
	struct slot *leader = NULL;
	int32_t planned = 0;

	*best = NULL;
	*have = 0;
	for (size_t i = 0; i < g->n_slots; i++) {
		struct slot *s = &g->slots[i];
		int32_t n, now;

		if (s->state == SLOT_FREE)
			continue;
		/* the last token of the prompt is always computed: its logits are wanted */
		n = common_prefix(rq->ids, rq->n_ids - 1, s->toks.v, (int32_t)s->toks.n);
		now = n < s->n_done ? n : s->n_done;
		if (now > *have || (now == *have && *best && s->used > (*best)->used)) {
			*have = now;
			*best = s;
		}
		if (s->state == SLOT_PREFILL && n > planned) {
			planned = n;
			leader = s;
		}
	}
	if (*have < MIN_SHARE) {
		*have = 0;
		*best = NULL;
	}
	if (!leader || planned - *have < MIN_SHARE)
		return false;
	w->leader = leader;
	w->leader_rq = leader->rq;
	w->share = planned;
	return true;
}

static bool still_waits(const struct waiting *w)
{
	return w->leader && w->leader->rq == w->leader_rq && w->leader->state == SLOT_PREFILL &&
	       w->leader->n_done < w->share;
}

/* A sequence with `have` tokens of `from` and room for `limit`. 1: the cache is full now. */
static int make_seq(model_seq *out, struct llm_gen *g, struct slot *from, int32_t have,
		    int32_t limit, struct err *e)
{
	for (;;) {
		int rc = from ? model_seq_fork(out, g->kv, from->seq, have, e)
			      : model_seq_new(out, g->kv, e);

		if (!rc) {
			if (!model_seq_reserve(g->kv, *out, limit, e))
				return 0;
			model_seq_free(g->kv, *out);
		}
		if (e->code != ERR_NOMEM)
			return -1;
		/* the one it grows from may go as well: its pages stay with the others that share
		 * them */
		if (from && from->state == SLOT_KEPT)
			from->used = g->clock++;
		if (!evict(g))
			return 1;
		if (from && from->state == SLOT_FREE) {
			from = NULL;
			have = 0;
		}
	}
}

/* From disk into a kept slot, where that has clearly more of the prompt than *from. */
static void recall(struct llm_gen *g, const struct llm_request *rq, struct slot **from,
		   int32_t *have)
{
	struct err e = { 0 };
	struct slot *s;
	model_seq seq;
	size_t which;
	int32_t n;

	while ((n = prompt_cache_find(&which, NULL, g->cache, rq->ids, rq->n_ids - 1)) - *have >=
	       MIN_SHARE) {
		if (model_seq_new(&seq, g->kv, &e))
			return;
		if (!prompt_cache_load(g->kv, seq, g->cache, which, n, &e))
			break;
		model_seq_free(g->kv, seq);
		if (e.code == ERR_NOMEM)
			return; /* computing it is as good */
	}
	if (n - *have < MIN_SHARE)
		return;
	s = free_slot(g);
	if (!s) {
		model_seq_free(g->kv, seq);
		return;
	}
	s->toks.n = 0;
	for (int32_t i = 0; i < n; i++)
		if (tok_ids_push(&s->toks, rq->ids[i], NULL)) {
			model_seq_free(g->kv, seq);
			return;
		}
	s->state = SLOT_KEPT;
	s->seq = seq;
	s->n_done = n;
	s->used = g->clock++;
	*from = s;
	*have = n;
}

/* Two prompts that go on differently have begun alike: others may, too. */
static void keep_shared(struct llm_gen *g, const struct llm_request *rq, model_seq seq,
			int32_t have)
{
	size_t which;

	if (have < rq->n_ids - 1 &&
	    have - prompt_cache_find(&which, NULL, g->cache, rq->ids, have) >= MIN_FILE)
		prompt_cache_save(g->cache, g->kv, seq, rq->ids, have);
}

/* 1: it does not fit yet. */
static int admit(struct llm_gen *g, struct llm_request *rq, struct slot *from, int32_t have,
		 struct err *e)
{
	struct slot *s;
	model_seq seq;
	int rc = make_seq(&seq, g, from, have, limit_of(g, rq), e);

	if (rc)
		return rc;
	have = model_seq_len(g->kv, seq);
	s = free_slot(g);
	if (!s) {
		model_seq_free(g->kv, seq);
		return err_set(e, ERR_INTERNAL, "no free slot");
	}
	if (from && have)
		from->used = g->clock++;
	s->toks.n = 0;
	for (int32_t i = 0; i < rq->n_ids; i++)
		if (tok_ids_push(&s->toks, rq->ids[i], e)) {
			model_seq_free(g->kv, seq);
			return -1;
		}
	gen_text_release(&s->text);
	gen_text_init(&s->text, &rq->stops);
	s->state = SLOT_PREFILL;
	s->rq = rq;
	s->seq = seq;
	s->n_done = rq->n_cached = have;
	s->limit = limit_of(g, rq);
	s->key = sample_key(rq->sample.seed, rq->ids, (size_t)rq->n_ids);
	s->cap_logprobs = 0;
	s->used = g->clock++;
	rq->t_start = time_mono_ns();
	g->n_active++;
	if (g->cache)
		keep_shared(g, rq, seq, have);
	return 0;
}

/* Let in what fits, in order; only one that waits for a prefix may be overtaken. */
static int admit_all(struct llm_gen *g, struct err *e)
{
	size_t kept = 0, i = 0;
	int rc = 0;

	for (; i < g->n_queue && !rc; i++) {
		struct waiting *w = &g->queue[i];
		struct slot *from;
		int32_t have;

		if (still_waits(w) || find_prefix(&from, &have, g, w)) {
			g->queue[kept++] = *w;
			continue;
		}
		if (g->cache)
			recall(g, w->rq, &from, &have);
		rc = admit(g, w->rq, from, have, e);
		if (rc)
			break;
	}
	while (i < g->n_queue)
		g->queue[kept++] = g->queue[i++];
	g->n_queue = kept;
	if (rc > 0 && !g->n_active)
		return err_set(
			e, ERR_NOMEM,
			"the KV cache of %zu tokens is too small: lower --max-tokens or --ctx-size",
			g->kv_tokens);
	if (rc > 0)
		err_clear(e);
	return rc < 0 ? -1 : 0;
}

/* ---- a step -------------------------------------------------------------------------------- */

/* Which tokens go into this pass: one of each decoding sequence, then pieces of prompts. */
static int32_t plan(struct llm_gen *g, int32_t *n_rows)
{
	int32_t n = 0, rows = 0;
	size_t turn = g->turn;
	bool left_out = false;

	for (size_t k = 0; k < g->n_slots; k++)
		g->slots[k].n_step = 0;
	for (int decode = 1; decode >= 0; decode--)
		for (size_t k = 0; k < g->n_slots && n < LLM_STEP; k++) {
			struct slot *s = &g->slots[(turn + k) % g->n_slots];
			int32_t left;

			if (s->state != (decode ? SLOT_DECODE : SLOT_PREFILL))
				continue;
			s->row = -1;
			left = (int32_t)s->toks.n - s->n_done;
			if (rows ==
			    g->max_rows) /* no logits left: a prompt stops before its last token */
				left--;
			for (; left > 0 && n < LLM_STEP; left--, n++, s->n_step++) {
				g->ids[n] = s->toks.v[s->n_done++];
				g->seqs[n] = s->seq;
			}
			if (s->n_done == (int32_t)s->toks.n) {
				s->row = rows;
				g->row_slot[rows] = s;
				g->rows[rows++] = n - 1;
			} else if (decode && !left_out) { /* first next time */
				g->turn = (size_t)(s - g->slots);
				left_out = true;
			}
		}
	*n_rows = rows;
	return n;
}

static void sample_row(void *arg, unsigned worker, size_t i)
{
	struct llm_gen *g = arg;
	struct slot *s = g->row_slot[i];
	struct llm_request *rq = s->rq;
	const float *x = g->logits + i * g->n_vocab;
	uint64_t step = (uint64_t)rq->n_sampled;

	if (!kern_all_finite(x, (int64_t)g->n_vocab)) {
		err_set(&rq->err, ERR_MODEL_FAULT, "the model's output is not a number at token %d",
			s->n_done);
		return;
	}
	s->next = (struct sample_choice){ .id = sample_next(x, g->n_vocab, &rq->sample, s->key,
							    rq->sample_index, step, s->toks.v,
							    s->toks.n, g->scratch[worker]) };
	if (rq->n_top >= 0) {
		double z = sample_log_z(x, g->n_vocab);

		s->next.logprob = (float)((double)x[s->next.id] - z);
		if (rq->n_top > 0)
			sample_top(rq->top + rq->out.n * (size_t)rq->n_top, (size_t)rq->n_top, x,
				   g->n_vocab, z, g->scratch[worker]);
	}
}

/* Room for one more token's log-probabilities. */
static int grow_logprobs(struct slot *s, struct err *e)
{
	struct llm_request *rq = s->rq;
	size_t cap = s->cap_logprobs ? 2 * s->cap_logprobs : 64,
	       wide = (size_t)(rq->n_top > 0 ? rq->n_top : 0), n;
	struct sample_choice *p;

	if (rq->n_top < 0 || rq->out.n < s->cap_logprobs)
		return 0;
	p = ckd_realloc(rq->chosen, cap, sizeof *p);
	if (!p)
		return err_nomem(e);
	rq->chosen = p;
	if (wide) {
		p = ckd_mul_size(&n, cap, wide) ? ckd_realloc(rq->top, n, sizeof *p) : NULL;
		if (!p)
			return err_nomem(e);
		rq->top = p;
	}
	s->cap_logprobs = cap;
	return 0;
}

/* It leaves the batch; what is in the cache stays for those who begin alike. */
static void finish(struct llm_gen *g, struct slot *s)
{
	struct llm_request *rq = s->rq;
	size_t kept = 0;

	g->n_active--;
	hand_back(g, rq);
	s->rq = NULL;
	s->toks.n = (size_t)s->n_done;
	if (rq->err.code || s->n_done < MIN_SHARE) {
		drop_slot(g, s);
		return;
	}
	model_seq_trim(g->kv, s->seq, s->n_done);
	s->state = SLOT_KEPT;
	for (size_t i = 0; i < g->n_slots; i++)
		kept += g->slots[i].state == SLOT_KEPT;
	if (kept > MAX_KEPT)
		evict(g);
}

/* Take the sampled token: text, stop strings, limits. *ended when the request is complete. */
static int accept(bool *ended, struct llm_gen *g, struct slot *s, struct err *e)
{
	struct llm_request *rq = s->rq;
	bool stopped = false, eog = tok_is_eog(g->tok, s->next.id);
	struct str sure;

	if (!rq->n_sampled++)
		rq->t_first = time_mono_ns();
	s->state = SLOT_DECODE;
	if (!eog) {
		if (rq->n_top >= 0)
			rq->chosen[rq->out.n] = s->next;
		if (tok_ids_push(&rq->out, s->next.id, e) ||
		    tok_ids_push(&s->toks, s->next.id, e) ||
		    gen_text_add(&stopped, &s->text, tok_bytes(g->tok, s->next.id), e))
			return -1;
	}
	*ended = eog || stopped || (int32_t)s->toks.n >= s->limit;
	if (eog || stopped)
		rq->finish = LLM_STOP;
	if (gen_text_take(&sure, &rq->text, &s->text, *ended, e))
		return -1;
	if (sure.n && rq->on_text)
		rq->on_text(rq, sure);
	return 0;
}

/* Each request's part of a step's time, by its tokens: the parts of all add up to the machine's
 * time. */
static void share_time(struct llm_gen *g, int32_t n, uint64_t ns)
{
	for (size_t k = 0; k < g->n_slots; k++) {
		struct slot *s = &g->slots[k];
		uint64_t part = ns * (uint64_t)s->n_step / (uint64_t)n;

		if (s->n_step && s->rq && s->state == SLOT_DECODE)
			s->rq->ns_predicted += part;
		else if (s->n_step && s->rq)
			s->rq->ns_prompt += part;
	}
}

static int run_step(struct llm_gen *g, struct err *e)
{
	uint64_t from = time_mono_ns();
	int32_t n_rows, n = plan(g, &n_rows);
	struct model_step ms = { .n = n,
				 .ids = g->ids,
				 .seqs = g->seqs,
				 .n_out = n_rows,
				 .rows = g->rows,
				 .logits = n_rows ? g->logits : NULL };

	for (int32_t i = 0; i < n_rows; i++)
		if (grow_logprobs(g->row_slot[i], e))
			return -1;
	/* a row that is no number is found again by its own slot */
	if (model_forward(llm_model(g->l), g->kv, &ms, NULL, e) && e->code != ERR_MODEL_FAULT)
		return -1;
	err_clear(e);
	os_pool_run(llm_pool(g->l), sample_row, g, (size_t)n_rows);
	share_time(g, n, time_mono_ns() - from);
	for (int32_t i = 0; i < n_rows; i++) {
		struct slot *s = g->row_slot[i];
		bool ended = true;

		if (!s->rq->err.code && accept(&ended, g, s, e))
			return -1;
		if (ended)
			finish(g, s);
	}
	return 0;
}

int llm_gen_step(struct llm_request **done, struct llm_gen *g, struct err *e)
{
	struct err none = { 0 };

	*done = NULL;
	if (!e)
		e = &none;
	if (!g->n_done && (admit_all(g, e) || (g->n_active && run_step(g, e))))
		return -1;
	if (g->n_done) {
		*done = g->done[g->done_from];
		g->done_from = (g->done_from + 1) % (2 * g->jobs);
		g->n_done--;
	}
	return 0;
}
