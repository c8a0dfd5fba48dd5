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

	if (q->err.code == ERR_SIGNAL) { /* stopped in the middle: no error of the record */
		*e = q->err;
		return -1;
	}
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
		if (os_stop_signal())
			return os_stopped(e);
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

/* ---- what would be asked ------------------------------------------------------------------- */

static int preview(const struct llm_run *x, struct record *r, const struct price_book *book,
		   struct err *e)
{
	struct llm_ask q = {
		.a = record_arena(r), .id = record_id(r), .record = record_json(r), .user = r
	};
	struct buf request, cost;
	uint64_t tokens;
	int rc;

	buf_init(&request, 4 * BUF_MAX_LINE);
	buf_init(&cost, 1 << 16);
	rc = x->begin(x->arg, &q, r, e) ||
	     llm_remote_preview(&request, &cost, &tokens, x->backend, &q, book, e);
	if (!rc && record_is_text(r)) {
		buf_addf(&request,
			 "\n{\"n_tokens\":%llu,\"max_cost\":", (unsigned long long)tokens);
		buf_adds(&request, buf_str(&cost));
		buf_addc(&request, '}');
		rc = buf_check(&request, e) || record_put_text(r, buf_str(&request), e);
	} else if (!rc) {
		rc = record_set_raw(r, "request", buf_str(&request), e) ||
		     record_set_u64(r, "n_tokens", tokens, e) ||
		     record_set_raw(r, "max_cost", buf_str(&cost), e);
	}
	buf_release(&request);
	buf_release(&cost);
	return rc ? -1 : 0;
}

int llm_run_preview(const struct llm_run *x, struct err *e)
{
	struct price_book *book = NULL;
	struct record *r;
	int rc;

	if (price_book_default(&book, NULL)) { /* then there is no price */
		price_book_free(book);
		book = NULL;
	}
	while (!(rc = record_next(&r, x->io, true, e)) && r) {
		struct err fault;

		if (preview(x, r, book, &fault)) {
			if (fault.code == ERR_USAGE) {
				*e = fault;
				rc = -1;
				break;
			}
			record_fail(r, &fault, 0);
		}
		rc = record_done(x->io, r, e);
		if (rc)
			break;
	}
	price_book_free(book);
	return rc;
}
