/* many: asks of many texts to a backend that takes one at a time. Each text is an ask of its own,
 * so that a cache behind this one knows it, and what is at hand of several records shares a pass.
 */
#include "config.h"
#include "llm/ask.h"

struct whole;
struct part {
	struct llm_ask q; /* first: it comes back as such */
	struct whole *w;
};
/* An ask under way. */
struct whole {
	struct llm_ask *q;
	size_t n, sent, done;
	size_t failed; /* the first part that did; n: none */
	struct whole *before, *after;
	struct part parts[]; /* [n] */
};
struct many {
	struct llm_backend b;
	struct llm_backend *behind;
	struct whole *all;
	struct whole *next; /* has parts that are not sent yet */
};

static size_t room(const struct llm_backend *b)
{
	const struct many *m = (const struct many *)b;

	return m->next ? 0 : llm_room(m->behind);
}

/* Parts of the ask in hand, as many as there is room for; none behind one that failed. */
static int send(struct many *m, struct err *e)
{
	struct whole *w = m->next;

	while (w && w->sent < w->n && w->failed == w->n && llm_room(m->behind))
		if (llm_submit(m->behind, &w->parts[w->sent++].q, e))
			return -1;
	if (w && (w->sent == w->n || w->failed < w->n))
		m->next = NULL;
	return 0;
}

static int submit(struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	struct many *m = (struct many *)b;
	const struct llm_inputs *in = q->inputs;
	size_t n = in ? in->n : 1;
	struct whole *w = calloc(1, sizeof *w + n * sizeof *w->parts);

	if (!w)
		return err_nomem(e);
	w->q = q;
	w->n = w->failed = n;
	w->after = m->all;
	if (m->all)
		m->all->before = w;
	m->all = w;
	for (size_t i = 0; i < n; i++) {
		struct part *p = &w->parts[i];

		p->q = *q;
		p->w = w;
		p->q.inputs = NULL;
		if (in && in->texts) {
			p->q.text = in->texts[i];
		} else if (in) {
			p->q.ids = in->ids[i];
			p->q.n_ids = in->n_ids[i];
		}
	}
	m->next = w;
	return send(m, e);
}

static bool is_hit(const struct llm_call *c)
{
	return str_find(c->cache, STR("\"hit\""), 0) < c->cache.n;
}

/* All parts are there: their vectors and what they took. */
static int join(struct whole *w, struct err *e)
{
	struct llm_ask *q = w->q;
	size_t dims = w->parts[0].q.n_vector;
	struct str text = q->text;
	const struct llm_inputs *in = q->inputs;

	*q = w->parts[0].q;
	q->inputs = in;
	q->text = text;
	q->vector = arena_alloc(q->a, w->n * dims * sizeof *q->vector);
	if (!q->vector)
		return err_nomem(e);
	for (size_t i = 0; i < w->n; i++) {
		const struct llm_ask *p = &w->parts[i].q;

		if (p->n_vector != dims)
			return err_set(e, ERR_INTERNAL, "vectors of %zu and %zu numbers", dims,
				       p->n_vector);
		memcpy(q->vector + i * dims, p->vector, dims * sizeof *q->vector);
		if (!i)
			continue;
		if (is_hit(&q->call) && !is_hit(&p->call))
			q->call.cache = p->call.cache;
		q->call.prompt_tokens += p->call.prompt_tokens;
		q->call.ns_prompt += p->call.ns_prompt;
		q->call.t_queued =
			p->call.t_queued < q->call.t_queued ? p->call.t_queued : q->call.t_queued;
		q->call.t_done = p->call.t_done > q->call.t_done ? p->call.t_done : q->call.t_done;
	}
	return 0;
}

static struct llm_ask *finish(struct many *m, struct whole *w)
{
	struct llm_ask *q = w->q;

	if (q->inputs && w->failed < w->n)
		q->err = w->parts[w->failed].q.err;
	else if (q->inputs)
		join(w, &q->err);
	else
		*q = w->parts[0].q;
	if (w->failed < w->n && w->n > 1)
		err_wrap(&q->err, "input %zu", w->failed);
	if (w->after)
		w->after->before = w->before;
	if (w->before)
		w->before->after = w->after;
	else
		m->all = w->after;
	free(w);
	return q;
}

static int step(struct llm_ask **done, struct llm_backend *b, bool more, struct err *e)
{
	struct many *m = (struct many *)b;
	struct llm_ask *d = NULL;
	struct whole *w;
	size_t i;

	*done = NULL;
	if (send(m, e) || llm_step(&d, m->behind, more, e))
		return -1;
	if (!d)
		return 0;
	w = ((struct part *)(void *)d)->w;
	i = (size_t)((struct part *)(void *)d - w->parts);
	if (d->err.code && i < w->failed)
		w->failed = i;
	w->done++;
	if (send(m, e))
		return -1;
	if (w->done == w->sent && m->next != w)
		*done = finish(m, w);
	return 0;
}

static bool busy(const struct llm_backend *b)
{
	return ((const struct many *)b)->all != NULL;
}

static int key(struct buf *out, struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	return llm_key(out, ((struct many *)b)->behind, q, e);
}

static int describe(struct buf *out, struct llm_backend *b, struct err *e)
{
	return llm_describe(out, ((struct many *)b)->behind, e);
}

static void many_free(struct llm_backend *b)
{
	struct many *m = (struct many *)b;

	llm_backend_free(m->behind);
	while (m->all) {
		struct whole *w = m->all;

		m->all = w->after;
		free(w);
	}
	free(m);
}

static const struct llm_backend_ops ops = { room, submit, step, busy, key, describe, many_free };

int llm_many_new(struct llm_backend **io, struct err *e)
{
	struct many *m = calloc(1, sizeof *m);

	if (!m)
		return err_nomem(e);
	m->b.ops = &ops;
	m->behind = *io;
	*io = &m->b;
	return 0;
}
