/* A function on each record, over workers. */
#include "config.h"
#include "record/record_impl.h"

struct pool {
	struct record_io *io;
	record_fn *fn;
	void *arg;
};

struct worker {
	struct pool *p;
	pthread_t thread;
	unsigned i;
};

/* One worker's share. The first reason to end the run is kept in io->stop. */
static void work(struct worker *w)
{
	struct pool *p = w->p;
	struct record *r;
	struct err e = { 0 };

	for (;;) {
		if (record_next(&r, p->io, true, &e))
			return;
		if (!r && record_ended(p->io))
			return;
		if (!r) {
			record_wait_room(p->io);
			continue;
		}
		r->worker = w->i;
		err_clear(&e);
		if (p->fn(r, p->arg, &e)) {
			if (!err_name(e.code)) {
				if (!e.code)
					err_set(&e, ERR_INTERNAL, "a failure without a reason");
				record_stop(p->io, &e);
				return;
			}
			record_fail(r, &e, 0);
		}
		if (record_done(p->io, r, &e))
			return;
	}
}

static void *start(void *arg)
{
	work(arg);
	return NULL;
}

static int run(struct pool *p, unsigned jobs, struct err *e)
{
	struct worker *w = calloc(jobs, sizeof *w);
	unsigned n = 1;

	if (!w)
		return err_nomem(e);
	for (unsigned i = 0; i < jobs; i++)
		w[i] = (struct worker){ .p = p, .i = i };
	for (; n < jobs; n++)
		if (pthread_create(&w[n].thread, NULL, start, &w[n]))
			break; /* fewer workers do the same, later */
	work(&w[0]);
	for (unsigned i = 1; i < n; i++)
		pthread_join(w[i].thread, NULL);
	free(w);
	return 0;
}

int record_map(struct tally *t, const struct record_opts *o, const char *stage, struct str params,
	       record_fn *fn, void *arg, struct err *e)
{
	struct pool p = { NULL, fn, arg };
	struct err closing = { 0 };
	int failed;

	if (record_open(&p.io, o, t, stage, params, e))
		return -1;
	failed = run(&p, p.io->o.jobs, e);
	if (!failed && (p.io->stop.code || p.io->broken.code)) {
		*e = p.io->broken.code ? p.io->broken : p.io->stop;
		failed = -1;
	}
	if (record_close(p.io, &closing) && !failed) {
		*e = closing;
		failed = -1;
	}
	return failed;
}
