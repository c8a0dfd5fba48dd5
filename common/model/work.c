/* work: the buffers of a step, planned once for the largest one, and its primitives: products, rows, activations. */
#include "config.h"
#include "model/model_impl.h"
#include <errno.h>
#include <math.h>
#include <sys/mman.h>

/* ---- memory ------------------------------------------------------------------------------------ */

/* First pass: sizes; second: addresses. Everything begins on a line of the cache. */
struct planner {
	uint8_t *base;
	uint64_t at;
	bool overflow;
};

static void *plan(struct planner *p, uint64_t n, uint64_t size)
{
	uint64_t bytes, end;
	uint8_t *here = p->base ? p->base + p->at : NULL;

	if (!ckd_mul_u64(&bytes, n, size) || !ckd_add_u64(&end, p->at, bytes) || end > SIZE_MAX - 64)
		p->overflow = true;
	else
		p->at = (end + 63) & ~(uint64_t)63;
	return here;
}

static size_t max_size(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* Largest sizes over the layers. */
struct sizes {
	uint64_t qkv, q, att, ffn, ffn_rows, act_a, act_b, mul, group, vec, low, lora;
};

static void count_loras(struct sizes *s, const struct lin *const *w, int n_w, int64_t n)
{
	uint64_t low = 0;

	for (int i = 0; i < n_w; i++) {
		low += (uint64_t)(n * lora_ranks(w[i]));
		s->lora = max_size(s->lora, lora_scratch(w[i], n));
		for (const struct lora *r = w[i]->lora; r; r = r->next) {
			s->mul = max_size(s->mul, kern_mul_scratch(&r->a, n));
			s->mul = max_size(s->mul, kern_mul_scratch(&r->b, n));
		}
	}
	s->low = max_size(s->low, low);
}

static void count_mats(struct sizes *s, const struct lin *const *w, int n_w, int64_t n, bool is_h)
{
	uint64_t bytes = acts_bytes(w, n_w, n);

	if (is_h)
		s->act_a = s->act_a > bytes ? s->act_a : bytes;
	else
		s->act_b = s->act_b > bytes ? s->act_b : bytes;
	for (int i = 0; i < n_w; i++)
		if (w[i]->w.data)
			s->mul = max_size(s->mul, kern_mul_scratch(&w[i]->w, n));
	count_loras(s, w, n_w, n);
}

static struct sizes measure(const struct model *m, int32_t n, int32_t n_out)
{
	struct sizes s = { 0 };
	const struct lin *out[] = { &m->out, &m->cls, &m->cls_out, &m->dense[0], &m->dense[1] };
	int64_t pairs = (int64_t)n * (m->n_experts ? m->n_used : 0);
	size_t one = 0;

	for (int32_t i = 0; i < m->info.n_layer; i++) {
		const struct layer *y = &m->layers[i];
		const struct lin *qkv[] = { &y->q, &y->k, &y->v }, *o[] = { &y->o };
		const struct lin *in[] = { &y->gate, &y->up }, *down[] = { &y->down };
		uint64_t nq = (uint64_t)y->n_head * (uint64_t)m->head_dim, group = (uint64_t)(y->n_head / y->n_head_kv);
		uint64_t nv = (uint64_t)y->n_head * (uint64_t)m->head_dim_v;
		uint64_t kv = (uint64_t)y->n_head_kv * (uint64_t)(m->head_dim + m->head_dim_v);

		s.qkv = max_size(s.qkv, nq + kv);
		s.q = max_size(s.q, nq);
		s.att = max_size(s.att, nv);
		s.group = max_size(s.group, group);
		count_mats(&s, qkv, 3, n, true);
		count_mats(&s, o, 1, n, false);
		if (y->moe.router.w.data) {
			const struct lin *r[] = { &y->moe.router }, *x[] = { &y->moe.gate, &y->moe.up }, *d[] = { &y->moe.down };

			s.ffn_rows = max_size(s.ffn_rows, (uint64_t)pairs);
			count_mats(&s, r, 1, n, true);
			count_mats(&s, x, 2, pairs, false);
			count_mats(&s, d, 1, pairs, false);
			/* experts are prepared one by one: room for what each is rounded up by */
			one = max_size(one, max_size(acts_bytes(x, 2, 1), acts_bytes(d, 1, 1)));
		} else {
			s.ffn_rows = max_size(s.ffn_rows, (uint64_t)n);
			count_mats(&s, in, 2, n, true);
			count_mats(&s, down, 1, n, false);
		}
		s.ffn = max_size(s.ffn, (uint64_t)y->n_ff);
	}
	s.act_b += one * (uint64_t)m->n_experts;
	count_mats(&s, out, 1, n_out, false);
	s.vec = (uint64_t)m->info.n_embd;
	for (int i = 1; i < 5; i++) {
		count_mats(&s, &out[i], 1, 1, false);
		s.vec = max_size(s.vec, out[i]->w.data ? (uint64_t)out[i]->w.rows : 0);
	}
	return s;
}

static void place(struct model *m, struct work *w, struct planner *p)
{
	struct sizes s = measure(m, w->cap, w->cap_out);
	uint64_t n = (uint64_t)w->cap, d = (uint64_t)m->info.n_embd, x = (uint64_t)m->n_experts, f = sizeof(float);
	uint64_t rows = max_size(s.ffn_rows, n), used = x ? (uint64_t)m->n_used : 0;
	unsigned workers = os_pool_size(m->pool);

	w->x = plan(p, n * d, f);
	w->h = plan(p, n * d, f);
	w->qkv = plan(p, n, s.qkv * f);
	w->q = plan(p, n, s.q * f);
	w->att = plan(p, n, s.att * f);
	w->ffn = plan(p, rows, s.ffn * f);
	w->up = plan(p, rows, s.ffn * f);
	w->y = plan(p, max_size(rows, n) * d, f);
	w->low = plan(p, s.low, f);
	for (int i = 0; i < MODEL_ROPES; i++)
		w->angles[i] = plan(p, n, (uint64_t)m->n_rot * f);
	w->hid = plan(p, (uint64_t)w->cap_out * d, f);
	w->act_a = plan(p, s.act_a, 1);
	w->act_b = plan(p, s.act_b, 1);
	w->route = plan(p, n * x, f);
	w->pair_h = plan(p, n * used * d, f);
	w->pair_expert = plan(p, n * used, 4);
	w->pair_at = plan(p, n * used, 4);
	w->pair_row = plan(p, n * used, 4);
	w->pair_weight = plan(p, n * used, f);
	w->first = plan(p, x + 1, 4);
	w->in_at = plan(p, x + 1, sizeof *w->in_at);
	w->down_at = plan(p, x + 1, sizeof *w->down_at);
	w->pos = plan(p, n, 4);
	w->all = plan(p, n, 4);
	for (int i = 0; i < 2; i++)
		w->vec[i] = plan(p, s.vec, f);
	w->spans = plan(p, n, sizeof *w->spans);
	w->workers = plan(p, workers, sizeof *w->workers);
	for (unsigned i = 0; i < workers; i++) {
		struct worker_mem mem;

		mem.mul = plan(p, s.mul, 1);
		mem.attn = plan(p, kern_attn_scratch((int64_t)s.group * TILE, m->head_dim, m->head_dim_v), 1);
		mem.lo = plan(p, s.group * TILE, 4);
		mem.hi = plan(p, s.group * TILE, 4);
		mem.sink = plan(p, s.group * TILE, f);
		mem.lora = plan(p, s.lora, f);
		mem.bad = INT32_MAX;
		if (p->base)
			w->workers[i] = mem;
	}
}

void work_free(struct work *w)
{
	if (w && w->mem)
		munmap(w->mem, w->bytes);
	free(w);
}

int work_plan(struct model *m, int32_t n, int32_t n_out, struct err *e)
{
	struct planner p = { 0 };
	struct work *w;
	uint64_t free_bytes = os_memory_available();

	if (m->work && m->work->cap >= n && m->work->cap_out >= n_out)
		return 0;
	w = calloc(1, sizeof *w);
	if (!w)
		return err_nomem(e);
	w->cap = n;
	w->cap_out = n_out;
	place(m, w, &p);
	if (p.overflow || p.at > free_bytes) {
		free(w);
		return err_set(e, ERR_NOMEM, "the buffers for %d tokens a step take %llu MiB, %llu MiB are free", n,
			       (unsigned long long)(p.at >> 20), (unsigned long long)(free_bytes >> 20));
	}
	w->bytes = (size_t)p.at;
	w->mem = mmap(NULL, w->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->mem == MAP_FAILED) {
		free(w);
		return err_sys(e, ERR_NOMEM, errno, "the buffers for %d tokens a step", n);
	}
	p = (struct planner){ .base = w->mem };
	place(m, w, &p);
	for (int32_t i = 0; i < n; i++)
		w->all[i] = i;
	work_free(m->work);
	m->work = w;
	return 0;
}

void work_add_spans(struct work *w, int32_t from, int32_t n, int32_t pos, const uint32_t *pages)
{
	int32_t len = pos + n;

	for (int32_t i = 0; i < n; i++)
		w->pos[from + i] = pos + i;
	for (int32_t i = 0; i < n; i += TILE)
		w->spans[w->n_spans++] = (struct span){ from + i, n - i < TILE ? n - i : TILE, pos + i, len, pages };
}

/* ---- activations ------------------------------------------------------------------------------- */

static bool same_form(const struct lin *a, const struct lin *b)
{
	return kern_form(a->w.type) == kern_form(b->w.type) && a->depth == b->depth;
}

/* The forms that matrices w (those that are there) read: one matrix of each. */
static int forms(const struct lin *of[3], const struct lin *const *w, int n_w)
{
	int n = 0;

	for (int i = 0; i < n_w; i++) {
		int k = 0;

		if (!w[i]->w.data)
			continue;
		while (k < n && !same_form(of[k], w[i]))
			k++;
		if (k == n)
			of[n++] = w[i];
	}
	return n;
}

static size_t form_bytes(const struct lin *w, int64_t n)
{
	return (kern_act_bytes(w->w.type, w->depth, w->w.cols, n) + 63) & ~(size_t)63;
}

size_t acts_bytes(const struct lin *const *w, int n_w, int64_t n)
{
	const struct lin *of[3];
	size_t bytes = 0;
	int n_forms = forms(of, w, n_w);

	for (int i = 0; i < n_forms; i++)
		bytes += form_bytes(of[i], n);
	return bytes;
}

void acts_init(struct acts *s, const struct lin *const *w, int n_w, const float *x, int64_t ld, int64_t n, uint8_t *mem)
{
	s->n = forms(s->of, w, n_w);
	for (int i = 0; i < s->n; i++) {
		const struct lin *l = s->of[i];

		kern_act_init(&s->a[i], l->w.type, l->depth, x, ld, l->w.cols, n, mem);
		mem += form_bytes(l, n);
	}
}

void acts_prepare(struct acts *s, int64_t from, int64_t to)
{
	for (int i = 0; i < s->n; i++)
		kern_act_prepare(&s->a[i], from, to);
}

const struct kern_act *acts_for(const struct acts *s, const struct lin *w)
{
	for (int i = 1; i < s->n; i++)
		if (same_form(s->of[i], w))
			return &s->a[i];
	return &s->a[0];
}

/* ---- claims ------------------------------------------------------------------------------------ */

/* Eight a worker, so that one that is slow holds nobody; a single one goes through without a break, which is how rows that
 * come next are fetched ahead. */
static int64_t chunks(const struct model *m)
{
	int64_t workers = os_pool_size(m->pool);

	return workers > 1 ? 8 * workers : 1;
}

bool next_rows(struct model *m, unsigned worker, int64_t n, int64_t *from, int64_t *to)
{
	int64_t chunk = n / chunks(m) + 1;
	size_t i;

	if (!os_pool_claim(&i, m->pool, worker, (size_t)((n + chunk - 1) / chunk))) {
		os_pool_barrier(m->pool, worker);
		return false;
	}
	*from = (int64_t)i * chunk;
	*to = *from + chunk < n ? *from + chunk : n;
	return true;
}

void mul_all(struct model *m, unsigned worker, const struct mul *muls, size_t n)
{
	int64_t total = 0, step = kern_row_step(), chunk;
	size_t i, n_chunks = 0;
	bool adapted = false;

	for (size_t k = 0; k < n; k++) {
		total += muls[k].act->n ? muls[k].w->w.rows : 0;
		adapted |= muls[k].w->lora != NULL;
	}
	for (size_t k = 0; m->see && worker == 0 && k < n; k++)
		m->see(m->see_arg, &muls[k].w->w, muls[k].act);
	if (adapted)
		lora_down_all(m, worker, muls, n);
	chunk = total / chunks(m);
	chunk = chunk < step ? step : chunk / step * step;
	for (size_t k = 0; k < n; k++)
		n_chunks += muls[k].act->n ? (size_t)((muls[k].w->w.rows + chunk - 1) / chunk) : 0;
	while (os_pool_claim(&i, m->pool, worker, n_chunks)) {
		const struct mul *p = muls;
		int64_t from, to;

		for (;; p++) {
			size_t mine = p->act->n ? (size_t)((p->w->w.rows + chunk - 1) / chunk) : 0;

			if (i < mine)
				break;
			i -= mine;
		}
		from = (int64_t)i * chunk;
		to = from + chunk < p->w->w.rows ? from + chunk : p->w->w.rows;
		kern_mul(p->out, p->ld, &p->w->w, p->act, from, to, m->work->workers[worker].mul);
		if (p->w->lora)
			lora_up(m, worker, muls, (size_t)(p - muls), from, to);
	}
	os_pool_barrier(m->pool, worker);
}

/* ---- rows -------------------------------------------------------------------------------------- */

void norm_row(const struct model *m, float *out, const float *x, const struct norm *w)
{
	if (m->norm == NORM_RMS)
		kern_rms_norm(out, x, w->w, w->n, m->eps);
	else
		kern_layer_norm(out, x, w->w, w->b, w->n, m->eps);
}

void add_bias(float *x, const float *b, int64_t n)
{
	if (b)
		kern_add(x, x, b, n);
}

/* gpt-oss: openai/gpt-oss gpt_oss/torch/model.py, swiglu(). */
static void swiglu_oai(float *gate, const float *up, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		float g = fminf(gate[i], 7), u = fminf(fmaxf(up[i], -7), 7);

		gate[i] = g / (1 + expf(-1.702f * g)) * (u + 1);
	}
}

/* gate = act(gate) * up, or act(up) alone into gate. */
void act_row(enum ffn_act act, float *gate, const float *up, int64_t n, bool gated)
{
	switch (act) {
	case ACT_SILU:
		kern_silu_mul(gate, gate, up, n);
		break;
	case ACT_SWIGLU_OAI:
		swiglu_oai(gate, up, n);
		break;
	case ACT_GELU_TANH:
		if (gated)
			kern_gelu_mul(gate, gate, up, n);
		else
			kern_gelu_tanh(gate, up, n);
		break;
	case ACT_GELU_ERF:
		kern_gelu_erf(gate, gated ? gate : up, n);
		for (int64_t i = 0; gated && i < n; i++)
			gate[i] *= up[i];
		break;
	}
}
