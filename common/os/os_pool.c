/*
 * os_pool: workers that claim chunks. One word holds the number of the job and how many of its
 * chunks are unclaimed; a worker takes one by compare-and-swap, so a worker that wakes late finds
 * nothing and a job never waits for it.
 *
 *      work = job << 32 | unclaimed        unclaimed == TEAM: every worker takes part once
 *
 * fn, arg and total change only while no chunk is out, and are read only by one who holds a chunk.
 */
#include "config.h"
#include "os/os_impl.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TEAM UINT32_MAX
#define SPIN_NS 5000 /* a futex costs about as much to sleep and wake */
#define LINE _Alignas(64)

struct os_pool {
	LINE _Atomic uint64_t work;
	LINE _Atomic uint32_t job; /* = work >> 32, to sleep on */
	_Atomic uint32_t sleepers;
	LINE _Atomic uint32_t done; /* chunks finished */
	_Atomic uint32_t owner_sleeps;
	LINE _Atomic uint32_t arrived; /* at the barrier */
	LINE _Atomic uint32_t phase;   /* barriers passed, to sleep on */
	_Atomic uint32_t phase_sleepers;
	/* of the job */
	LINE os_pool_fn *fn;
	os_pool_team_fn *team;
	void *arg;
	size_t base;    /* index of chunk 0, in a run of more than 2^32 */
	uint32_t total; /* chunks, or workers of a team */
	bool quit;
	/* constant */
	unsigned n, started;
	uint64_t spin_ns;
	struct worker *workers; /* [n], [0] is the caller's */
};

struct worker {
	LINE _Atomic size_t claimed; /* of its share, since the last barrier */
	struct os_pool *p;
	pthread_t thread;
	unsigned id;
};

static void sleep_on(_Atomic uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake_on(_Atomic uint32_t *word, uint32_t n)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n > INT_MAX ? INT_MAX : (int)n, NULL, NULL, 0);
}

static void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Wait until *word differs from value: a short spin, then sleep, counted in *sleepers so that
 * wakers know. */
static void wait_change(const struct os_pool *p, _Atomic uint32_t *word, uint32_t value,
			_Atomic uint32_t *sleepers)
{
	uint64_t end = p->spin_ns ? time_mono_ns() + p->spin_ns : 0;

	while (end) {
		for (int i = 0; i < 16; i++) {
			if (atomic_load_explicit(word, memory_order_acquire) != value)
				return;
			relax();
		}
		if (time_mono_ns() >= end)
			break;
	}
	atomic_fetch_add(sleepers, 1);
	while (atomic_load(word) == value)
		sleep_on(word, value);
	atomic_fetch_sub(sleepers, 1);
}

static void finish_one(struct os_pool *p)
{
	uint32_t total = p->total; /* another's once the last chunk is counted */

	if (atomic_fetch_add(&p->done, 1) + 1 == total && atomic_load(&p->owner_sleeps))
		wake_on(&p->done, 1);
}

/* One chunk of the job in `work`, if there is one. */
static bool take(struct os_pool *p, unsigned worker, uint64_t work)
{
	uint32_t left = (uint32_t)work;

	if (!left || left == TEAM)
		return false;
	if (atomic_compare_exchange_strong(&p->work, &work, work - 1)) {
		p->fn(p->arg, worker, p->base + (p->total - left));
		finish_one(p);
	}
	return true;
}

static void *work_loop(void *arg)
{
	const struct worker *w = arg;
	struct os_pool *p = w->p;
	uint32_t seen = 0;

	for (;;) {
		uint64_t work = atomic_load(&p->work);
		uint32_t job = (uint32_t)(work >> 32);

		if (job == seen) {
			wait_change(p, &p->job, seen, &p->sleepers);
		} else if ((uint32_t)work == TEAM) {
			if (p->quit)
				return NULL;
			p->team(p->arg, w->id);
			seen = job;
			finish_one(p);
		} else if (!take(p, w->id, work)) {
			seen = job;
		}
	}
}

/* Publish a job and wake at most `helpers` workers. */
static void start(struct os_pool *p, uint32_t chunks, uint32_t helpers)
{
	uint32_t job = (uint32_t)(atomic_load(&p->work) >> 32) + 1;

	atomic_store(&p->done, 0);
	atomic_store(&p->work, (uint64_t)job << 32 | chunks);
	atomic_store(&p->job, job);
	if (atomic_load(&p->sleepers))
		wake_on(&p->job, helpers);
}

/* The caller waits for chunks that others hold. */
static void join(struct os_pool *p)
{
	uint32_t done;

	while ((done = atomic_load(&p->done)) != p->total)
		wait_change(p, &p->done, done, &p->owner_sleeps);
}

void os_pool_run(struct os_pool *p, os_pool_fn *fn, void *arg, size_t n_chunks)
{
	for (size_t base = 0; base < n_chunks; base += p->total) {
		size_t left = n_chunks - base;
		uint32_t chunks = left < TEAM ? (uint32_t)left : TEAM - 1;

		p->fn = fn;
		p->arg = arg;
		p->base = base;
		p->total = chunks;
		if (p->n == 1 || chunks == 1) {
			for (uint32_t i = 0; i < chunks; i++)
				fn(arg, 0, base + i);
			continue;
		}
		start(p, chunks, chunks - 1 < p->n - 1 ? chunks - 1 : p->n - 1);
		while (take(p, 0, atomic_load(&p->work)))
			;
		join(p);
	}
}

static void unclaim(struct os_pool *p)
{
	for (unsigned i = 0; i < p->n; i++)
		atomic_store_explicit(&p->workers[i].claimed, 0, memory_order_relaxed);
}

void os_pool_team(struct os_pool *p, os_pool_team_fn *fn, void *arg)
{
	unclaim(p);
	p->team = fn;
	p->arg = arg;
	p->total = p->n;
	if (p->n > 1)
		start(p, TEAM, p->n - 1);
	fn(arg, 0);
	if (p->n > 1) {
		finish_one(p);
		join(p);
	}
}

void os_pool_barrier(struct os_pool *p, unsigned worker)
{
	uint32_t phase = atomic_load(&p->phase);

	(void)worker;
	if (atomic_fetch_add(&p->arrived, 1) + 1 < p->n) {
		wait_change(p, &p->phase, phase, &p->phase_sleepers);
		return;
	}
	/* all are here, so nobody claims */
	unclaim(p);
	atomic_store(&p->arrived, 0);
	atomic_store(&p->phase, phase + 1);
	if (atomic_load(&p->phase_sleepers))
		wake_on(&p->phase, INT_MAX);
}

bool os_pool_claim(size_t *out, struct os_pool *p, unsigned worker, size_t n)
{
	for (unsigned i = 0; i < p->n; i++) {
		unsigned of = (worker + i) % p->n;
		size_t from = n * of / p->n, share = n * (of + 1) / p->n - from;
		_Atomic size_t *claimed = &p->workers[of].claimed;

		if (atomic_load_explicit(claimed, memory_order_relaxed) >= share)
			continue;
		*out = from + atomic_fetch_add_explicit(claimed, 1, memory_order_relaxed);
		if (*out < from + share)
			return true;
	}
	return false;
}

unsigned os_pool_size(const struct os_pool *p)
{
	return p->n;
}

void os_pool_free(struct os_pool *p)
{
	if (!p)
		return;
	p->quit = true;
	start(p, TEAM, p->n);
	for (unsigned i = 1; i < p->started; i++)
		pthread_join(p->workers[i].thread, NULL);
	free(p->workers);
	free(p);
}

int os_pool_new(struct os_pool **out, unsigned n, struct err *e)
{
	struct os_pool *p = aligned_alloc(64, sizeof *p);
	sigset_t all, old;
	int err = 0;

	if (!p)
		return err_nomem(e);
	memset(p, 0, sizeof *p);
	p->n = n ? n : 1;
	p->started = 1;
	/* oversubscribed: a spin keeps the one it waits for from running */
	p->spin_ns = p->n <= os_cpus() ? SPIN_NS : 0;
	p->workers = aligned_alloc(64, p->n * sizeof *p->workers);
	if (!p->workers) {
		os_pool_free(p);
		return err_nomem(e);
	}
	memset(p->workers, 0, p->n * sizeof *p->workers);
	/* signals go to the thread that reads; faults of a worker's own cannot be blocked away */
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	for (; p->started < p->n; p->started++) {
		struct worker *w = &p->workers[p->started];

		*w = (struct worker){ .p = p, .id = p->started };
		err = pthread_create(&w->thread, NULL, work_loop, w);
		if (err)
			break;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		err_sys(e, ERR_NOMEM, err, "cannot start thread %u of %u", p->started, n);
		os_pool_free(p);
		return -1;
	}
	*out = p;
	return 0;
}
