/* run: the loop between records and a backend. */
#include "config.h"
#include "llm/run.h"

struct window {
	const struct llm_run *x;
	struct llm_ask *asks; /* [x->jobs] */
	struct llm_ask *free; /* those that are not in use */
};

static int give_back(struct window *w, struct llm_ask *q, struct err *e)
{
	struct record *r = q->user;

	*q = (struct llm_ask){ .next = w->free };
	w->free = q;
	return record_done(w->x->io, r, e);
}

static int fail(struct window *w, struct llm_ask *q, struct err *e)
{
	const struct llm_run *x = w->x;

	record_fail(q->user, &q->err, q->attempts);
	if (x->fail && x->fail(x->arg, q, q->user, e))
		return -1;
	return give_back(w, q, e);
}

static int finish(struct window *w, struct llm_ask *q, struct err *e)
{
	const struct llm_run *x = w->x;

	if (q->fatal) {
		*e = q->err;
		return -1;
	}
	if (!q->err.code && x->end(x->arg, q, q->user, &q->err) && !q->err.code)
		err_set(&q->err, ERR_INTERNAL, "no answer was written");
	return q->err.code ? fail(w, q, e) : give_back(w, q, e);
}

/* Takes in what is at hand; waits only when nothing is under way. */
static int feed(struct window *w, struct err *e)
{
	const struct llm_run *x = w->x;

	while (w->free && llm_room(x->backend) && !record_ended(x->io)) {
		bool busy = llm_busy(x->backend);
		struct llm_ask *q = w->free;
		struct record *r;

		if (x->one_by_one && busy)
			break;
		if (record_next(&r, x->io, !busy, e))
			return -1;
		if (!r)
			break;
		w->free = q->next;
		*q = (struct llm_ask){ .a = record_arena(r),
				       .id = record_id(r),
				       .record = record_json(r),
				       .user = r };
		if (x->begin(x->arg, q, r, &q->err) ? fail(w, q, e) : llm_submit(x->backend, q, e))
			return -1;
	}
	return 0;
}

static int loop(struct window *w, struct err *e)
{
	struct llm_backend *b = w->x->backend;
	struct llm_ask *done;

	for (;;) {
		if (os_stop_signal()) {
			err_set(e, ERR_SIGNAL, "stopped by a signal");
			e->sys = os_stop_signal();
			return -1;
		}
		if (feed(w, e))
			return -1;
		if (!llm_busy(b)) {
			if (record_ended(w->x->io))
				return 0;
			continue;
		}
		if (llm_step(&done, b, w->free && llm_room(b) && !record_ended(w->x->io), e) ||
		    (done && finish(w, done, e)))
			return -1;
	}
}

int llm_run(const struct llm_run *x, struct err *e)
{
	struct window w = { .x = x, .asks = calloc(x->jobs, sizeof *w.asks) };
	int rc;

	if (!w.asks)
		return err_nomem(e);
	for (unsigned i = x->jobs; i-- > 0; w.free = &w.asks[i])
		w.asks[i].next = w.free;
	rc = loop(&w, e);
	free(w.asks);
	return rc;
}
