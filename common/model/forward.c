/*
 * forward: one step through all layers, run by all workers of the pool at once. Between barriers they claim rows of tokens,
 * rows of matrices or tiles of attention; nothing that one computes depends on who else computes what.
 *
 *      embed | q k v | turn, store | attention | gather | o | add, norm | gate up | act | down | add, norm | … | head
 */
#include "config.h"
#include "model/model_impl.h"
#include <math.h>

/* The input of a layer's matrices that read h: q, k, v; or gate and up (the router, where there are experts). */
static void attn_acts(struct acts *s, struct model *m, const struct layer *y)
{
	const struct lin *w[] = { &y->q, &y->k, &y->v };

	acts_init(s, w, 3, m->work->h, m->info.n_embd, m->work->n, m->work->act_a);
}

static void ffn_acts(struct acts *s, struct model *m, const struct layer *y)
{
	const struct lin *w[] = { &y->gate, &y->up }, *r[] = { &y->moe.router };
	bool moe = y->moe.router.w.data;

	acts_init(s, moe ? r : w, moe ? 1 : 2, m->work->h, m->info.n_embd, m->work->n, m->work->act_a);
}

/* h = norm(x) or x, and its prepared form. */
static void enter(struct model *m, struct acts *s, const struct norm *w, int64_t t)
{
	int64_t d = m->info.n_embd;
	float *x = m->work->x + t * d, *h = m->work->h + t * d;

	if (w->w)
		norm_row(m, h, x, w);
	else
		memcpy(h, x, (size_t)d * sizeof *h);
	acts_prepare(s, t, t + 1);
}

/* x += s norm(y + bias), then the norm behind the sum: the end of half a block. */
static void leave(struct model *m, const float *bias, const struct norm *post, const struct norm *out, int64_t t)
{
	int64_t d = m->info.n_embd;
	float *x = m->work->x + t * d, *y = m->work->y + t * d;

	add_bias(y, bias, d);
	if (post->w)
		norm_row(m, y, y, post);
	if (m->scale_resid != 1)
		kern_scale(y, m->scale_resid, d);
	kern_add(x, x, y, d);
	if (out->w)
		norm_row(m, x, x, out);
}

/* ---- begin ------------------------------------------------------------------------------------- */

static void embed_row(struct model *m, int64_t t)
{
	struct work *w = m->work;
	int64_t d = m->info.n_embd;
	float *x = w->x + t * d, *tmp = w->y + t * d;
	const struct kern_mat *e = &m->embd, *p = &m->positions;

	kern_dequant(x, (const uint8_t *)e->data + (size_t)w->ids[t] * kern_row_bytes(e->type, d), e->type, d);
	if (m->embd_lora)
		lora_embed(x, m->embd_lora, w->ids[t]);
	if (m->scale_embd != 1)
		kern_scale(x, m->scale_embd, d);
	if (m->type[0])
		kern_add(x, x, m->type[w->segments && w->segments[t]], d);
	if (p->data) {
		kern_dequant(tmp, (const uint8_t *)p->data + (size_t)w->pos[t] * kern_row_bytes(p->type, d), p->type, d);
		kern_add(x, x, tmp, d);
	}
	if (m->embd_norm.w)
		norm_row(m, x, x, &m->embd_norm);
	for (int r = 0; r < MODEL_ROPES; r++) {
		int32_t pairs = m->n_rot / 2;
		float *cs = w->angles[r] + t * m->n_rot;

		for (int32_t i = 0; m->rope[r].freq && i < pairs; i++) {
			double a = w->pos[t] * m->rope[r].freq[i];

			cs[i] = (float)cos(a) * m->rope[r].scale;
			cs[pairs + i] = (float)sin(a) * m->rope[r].scale;
		}
	}
}

static void begin(struct model *m, unsigned worker)
{
	struct acts s;
	int64_t from, to;

	attn_acts(&s, m, &m->layers[0]);
	while (next_rows(m, worker, m->work->n, &from, &to)) {
		for (int64_t t = from; t < to; t++) {
			embed_row(m, t);
			enter(m, &s, &m->layers[0].attn_norm, t);
		}
	}
}

/* ---- attention --------------------------------------------------------------------------------- */

/* Norm of each head, or of all heads as one vector, then the turn by position. */
static void turn(const struct model *m, const struct layer *y, float *x, int32_t heads, const struct norm *w, int64_t t)
{
	int32_t hd = m->head_dim;

	if (w->w && w->n == hd)
		for (int32_t h = 0; h < heads; h++)
			norm_row(m, x + h * hd, x + h * hd, w);
	else if (w->w)
		norm_row(m, x, x, w);
	if (y->rope >= 0) {
		const float *cs = m->work->angles[y->rope] + t * m->n_rot;

		for (int32_t h = 0; h < heads; h++)
			kern_rope(x + h * hd, cs, cs + m->n_rot / 2, m->n_rot, m->neox);
	}
}

/* The cache of one layer. */
struct place {
	uint8_t *k, *v;               /* of page 0, head 0 */
	size_t k_head, v_head, k_row, v_row;
};

static struct place layer_place(const struct model *m, const struct layer *y)
{
	const struct work *w = m->work;
	struct place p;

	p.k_head = kv_head_bytes(w->kv_type, m->head_dim);
	p.v_head = kv_head_bytes(w->kv_type, m->head_dim_v);
	p.k_row = p.k_head / KERN_KV_PAGE;
	p.v_row = p.v_head / KERN_KV_PAGE;
	p.k = w->kv + (w->one_layer ? 0 : y->kv_at);
	p.v = p.k + (size_t)y->n_head_kv * p.k_head;
	return p;
}

/* Keys and values of token t into its page; queries into w->q as [KV head, token, head of the group, head_dim],
 * but those of groups of one stay where they are. */
static void store(struct model *m, const struct layer *y, const struct place *p, const struct span *s, int64_t t)
{
	struct work *w = m->work;
	int64_t hd = m->head_dim, hv = m->head_dim_v, nq = y->n_head * hd, nk = y->n_head_kv * hd, nv = y->n_head_kv * hv;
	int64_t group = y->n_head / y->n_head_kv;
	float *q = w->qkv + t * (nq + nk + nv), *k = q + nq, *v = k + nk;
	size_t page = s->pages[w->pos[t] / KERN_KV_PAGE] * w->page_bytes, at = (size_t)w->pos[t] % KERN_KV_PAGE;

	add_bias(q, y->q.b, nq);
	add_bias(k, y->k.b, nk);
	add_bias(v, y->v.b, nv);
	turn(m, y, q, y->n_head, &y->q_norm, t);
	turn(m, y, k, y->n_head_kv, &y->k_norm, t);
	if (m->temperature > 0)
		kern_scale(q, 1 + m->temperature * logf(1 + (float)((uint32_t)w->pos[t] / m->temperature_every)), nq);
	for (int64_t h = 0; h < y->n_head_kv; h++) {
		kern_k_store(p->k + page + (size_t)h * p->k_head, (int64_t)at, k + h * hd, w->kv_type, hd);
		kern_v_store(p->v + page + (size_t)h * p->v_head + at * p->v_row, v + h * hv, w->kv_type, hv);
		if (group > 1)
			memcpy(w->q + (h * w->n + t) * group * hd, q + h * group * hd, (size_t)(group * hd) * sizeof *q);
	}
}

static void store_all(struct model *m, unsigned worker, const struct layer *y)
{
	struct work *w = m->work;
	struct place p = layer_place(m, y);
	int64_t from, to;

	while (next_rows(m, worker, w->n_spans, &from, &to))
		for (int64_t s = from; s < to; s++)
			for (int32_t i = 0; i < w->spans[s].n; i++)
				store(m, y, &p, &w->spans[s], w->spans[s].from + i);
}

/* What token at position pos sees: [*lo, *hi). */
static void sees(const struct model *m, const struct layer *y, const struct span *s, int32_t pos, int32_t *lo, int32_t *hi)
{
	int32_t half = y->window / 2;

	*lo = 0;
	*hi = m->causal ? pos + 1 : s->len;
	if (!y->window)
		return;
	if (m->causal) {
		*lo = pos + 1 > y->window ? pos + 1 - y->window : 0;
	} else {
		*lo = pos > half ? pos - half : 0;
		*hi = s->len - pos > half ? pos + half + 1 : s->len;
	}
}

/* Rows [from, to) of a span's tokens times the heads of one KV head. */
static void attend(struct model *m, unsigned worker, const struct layer *y, const struct span *s, int64_t h, int64_t from,
		   int64_t to)
{
	struct work *w = m->work;
	struct worker_mem *mem = &w->workers[worker];
	struct place p = layer_place(m, y);
	int64_t group = y->n_head / y->n_head_kv, row = (h * w->n + s->from) * group + from;
	struct kern_attn a = { .q = w->q + row * m->head_dim, .ld_q = m->head_dim, .n_q = to - from, .d = m->head_dim,
			       .dv = m->head_dim_v, .k = p.k + (size_t)h * p.k_head, .v = p.v + (size_t)h * p.v_head,
			       .page = s->pages, .k_page = w->page_bytes, .v_page = w->page_bytes, .k_stride = p.k_row,
			       .v_stride = p.v_row, .lo = mem->lo, .hi = mem->hi, .kv_type = w->kv_type,
			       .scale = m->scale_attn, .softcap = m->softcap_attn, .sink = y->sinks ? mem->sink : NULL };

	for (int64_t i = from; i < to; i++) {
		sees(m, y, s, s->pos + (int32_t)(i / group), &mem->lo[i - from], &mem->hi[i - from]);
		if (y->sinks)
			mem->sink[i - from] = y->sinks[h * group + i % group];
	}
	if (group == 1) {
		a.ld_q = (int64_t)y->n_head * (2 * m->head_dim + m->head_dim_v);
		a.q = w->qkv + (s->from + from) * a.ld_q + h * m->head_dim;
	}
	kern_attn(w->att + row * m->head_dim_v, m->head_dim_v, &a, mem->attn);
}

static void attend_all(struct model *m, unsigned worker, const struct layer *y)
{
	struct work *w = m->work;
	int64_t group = y->n_head / y->n_head_kv, jobs = (int64_t)w->n_spans * y->n_head_kv, parts = 1;
	int64_t workers = os_pool_size(m->pool);
	size_t i;

	/* too few tiles for the workers: cut their rows */
	while (workers > 1 && parts < group && jobs * parts < 2 * workers)
		parts++;
	while (os_pool_claim(&i, m->pool, worker, (size_t)(jobs * parts))) {
		/* the last tile of a prompt sees most keys: first */
		int64_t job = jobs * parts - 1 - (int64_t)i, part = job % parts, h = job / parts % y->n_head_kv;
		const struct span *s = &w->spans[job / parts / y->n_head_kv];
		int64_t rows = s->n * group, from = rows * part / parts, to = rows * (part + 1) / parts;

		if (from < to)
			attend(m, worker, y, s, h, from, to);
	}
	os_pool_barrier(m->pool, worker);
}

/*
 * Outputs of the n rows (NULL: all) back from [KV head, token, head of the group] to [row, head], as the output matrix reads
 * them. Where rows are chosen, those of x go to h.
 */
static void gather(struct model *m, unsigned worker, const struct layer *y, struct acts *s, int64_t n, const int32_t *rows)
{
	struct work *w = m->work;
	int64_t head = (y->n_head / y->n_head_kv) * (int64_t)m->head_dim_v, d = m->info.n_embd, from, to;

	while (next_rows(m, worker, n, &from, &to)) {
		for (int64_t i = from; i < to; i++) {
			int64_t t = rows ? rows[i] : i;

			for (int64_t h = 0; h < y->n_head_kv; h++)
				memcpy(w->qkv + (i * y->n_head_kv + h) * head, w->att + (h * w->n + t) * head,
				       (size_t)head * sizeof(float));
			if (rows)
				memcpy(w->h + i * d, w->x + t * d, (size_t)d * sizeof(float));
		}
		acts_prepare(s, from, to);
	}
}

/* From here on the step has the wanted rows alone. Nobody reads x, h or n before the next barrier. */
static void keep_wanted(struct work *w)
{
	float *x = w->x;

	w->x = w->h;
	w->h = x;
	w->n = w->n_out;
	w->rows = w->all;
}

static void attention(struct model *m, unsigned worker, const struct layer *y, bool last)
{
	struct work *w = m->work;
	int64_t nq = (int64_t)y->n_head * m->head_dim, nk = (int64_t)y->n_head_kv * m->head_dim;
	int64_t nv = (int64_t)y->n_head_kv * m->head_dim_v, ld = nq + nk + nv, n = w->n;
	const struct lin *o[] = { &y->o };
	bool fewer = last && w->n_out < w->n;
	struct acts s;

	attn_acts(&s, m, y);
	const struct mul qkv[] = { { &y->q, acts_for(&s, &y->q), w->qkv, ld },
				   { &y->k, acts_for(&s, &y->k), w->qkv + nq, ld },
				   { &y->v, acts_for(&s, &y->v), w->qkv + nq + nk, ld } };
	mul_all(m, worker, qkv, 3);
	store_all(m, worker, y);
	if (last && !w->n_out)
		return;
	attend_all(m, worker, y);
	/* q, k and v are used up: their buffer takes the rows of the output */
	n = fewer ? w->n_out : n;
	acts_init(&s, o, 1, w->qkv, (int64_t)y->n_head * m->head_dim_v, n, w->act_b);
	gather(m, worker, y, &s, n, fewer ? w->rows : NULL);
	if (fewer && worker == 0)
		keep_wanted(w);
	mul_all(m, worker, &(struct mul){ &y->o, &s.a[0], w->y, m->info.n_embd }, 1);
}

/* ---- feed-forward ------------------------------------------------------------------------------ */

static void dense(struct model *m, unsigned worker, const struct layer *y)
{
	struct work *w = m->work;
	const struct lin *down[] = { &y->down };
	bool gated = y->gate.w.data;
	int64_t ff = y->n_ff, from, to;
	struct acts in, s;

	ffn_acts(&in, m, y);
	const struct mul muls[] = { { &y->up, acts_for(&in, &y->up), w->up, ff },
				    { &y->gate, acts_for(&in, &y->gate), w->ffn, ff } };
	mul_all(m, worker, muls, gated ? 2 : 1);
	acts_init(&s, down, 1, w->ffn, ff, w->n, w->act_b);
	while (next_rows(m, worker, w->n, &from, &to)) {
		for (int64_t t = from; t < to; t++) {
			float *g = w->ffn + t * ff, *u = w->up + t * ff;

			add_bias(u, y->up.b, ff);
			if (gated)
				add_bias(g, y->gate.b, ff);
			act_row(m->act, g, u, ff, gated);
		}
		acts_prepare(&s, from, to);
	}
	mul_all(m, worker, &(struct mul){ &y->down, &s.a[0], w->y, m->info.n_embd }, 1);
}

/* ---- end --------------------------------------------------------------------------------------- */

static void check_row(struct model *m, unsigned worker, const float *x, int64_t n, int64_t i)
{
	int32_t *bad = &m->work->workers[worker].bad;

	if (!kern_all_finite(x, n) && i < *bad)
		*bad = (int32_t)i;
}

/* The wanted rows: last norm, vocabulary. */
static void head(struct model *m, unsigned worker)
{
	struct work *w = m->work;
	const struct lin *out[] = { &m->out };
	int64_t d = m->info.n_embd, v = m->info.n_vocab, from, to;
	struct acts s = { .n = 0 };

	if (w->logits)
		acts_init(&s, out, 1, w->hid, d, w->n_out, w->act_b);
	while (next_rows(m, worker, w->n_out, &from, &to)) {
		for (int64_t i = from; i < to; i++) {
			float *h = w->hid + i * d, *x = w->x + w->rows[i] * d;

			if (m->out_norm.w)
				norm_row(m, h, x, &m->out_norm);
			else
				memcpy(h, x, (size_t)d * sizeof *h);
			if (w->hidden)
				memcpy(w->hidden + i * d, h, (size_t)d * sizeof *h);
			check_row(m, worker, h, d, i);
		}
		acts_prepare(&s, from, to);
	}
	if (!w->logits)
		return;
	mul_all(m, worker, &(struct mul){ &m->out, &s.a[0], w->logits, v }, 1);
	while (next_rows(m, worker, w->n_out, &from, &to)) {
		for (int64_t i = from; i < to; i++) {
			float *x = w->logits + i * v;

			add_bias(x, m->out.b, v);
			if (m->scale_out != 1)
				kern_scale(x, m->scale_out, v);
			if (m->softcap_out > 0)
				kern_softcap(x, m->softcap_out, v);
			check_row(m, worker, x, v, i);
		}
	}
}

/* ---- the step ---------------------------------------------------------------------------------- */

static void half_done(struct model *m, unsigned worker, const struct layer *y)
{
	struct acts s;
	int64_t from, to;

	ffn_acts(&s, m, y);
	while (next_rows(m, worker, m->work->n, &from, &to)) {
		for (int64_t t = from; t < to; t++) {
			if (y->parallel)
				enter(m, &s, y->ffn_norm.w ? &y->ffn_norm : &y->attn_norm, t);
			leave(m, y->o.b, &y->attn_post, &y->attn_out, t);
			if (!y->parallel)
				enter(m, &s, &y->ffn_norm, t);
		}
	}
}

static void layer_done(struct model *m, unsigned worker, const struct layer *y, const struct layer *next)
{
	struct acts s;
	int64_t from, to;

	if (next)
		attn_acts(&s, m, next);
	while (next_rows(m, worker, m->work->n, &from, &to)) {
		for (int64_t t = from; t < to; t++) {
			leave(m, y->down.b, &y->ffn_post, &y->out, t);
			if (next)
				enter(m, &s, &next->attn_norm, t);
		}
	}
}

static void step(void *arg, unsigned worker)
{
	struct model *m = arg;
	int32_t n = m->info.n_layer;
	bool wanted = m->work->n_out > 0;

	m->work->workers[worker].bad = INT32_MAX;
	begin(m, worker);
	for (int32_t i = 0; i < n; i++) {
		const struct layer *y = &m->layers[i];

		attention(m, worker, y, i + 1 == n);
		if (i + 1 == n && !wanted)
			return;
		half_done(m, worker, y);
		if (y->moe.router.w.data)
			experts_run(m, worker, y);
		else
			dense(m, worker, y);
		layer_done(m, worker, y, i + 1 < n ? y + 1 : NULL);
	}
	head(m, worker);
}

void forward_run(struct model *m)
{
	os_pool_team(m->pool, step, m);
}
