/* pool_test: each chunk once, barriers that hold, more threads than processors. */
#include "config.h"
#include "os/os.h"
#include "tap.h"
#include <pthread.h>

struct job {
	struct os_pool *p;
	atomic_uint hits[2000];
	atomic_uint wrong;
	size_t n;
};

static void hit(void *arg, unsigned worker, size_t i)
{
	struct job *j = arg;

	if (worker >= os_pool_size(j->p) || i >= j->n)
		atomic_fetch_add(&j->wrong, 1);
	else
		atomic_fetch_add(&j->hits[i], 1);
}

static bool all_are(struct job *j, unsigned want)
{
	bool good = atomic_load(&j->wrong) == 0;

	for (size_t i = 0; i < j->n; i++) {
		good &= atomic_load(&j->hits[i]) == want;
		atomic_store(&j->hits[i], 0);
	}
	return good;
}

#define ROUNDS 30

/* Chunks of a stretch are all done before any worker sees the next. */
static void stretches(void *arg, unsigned worker)
{
	struct job *j = arg;
	size_t i;

	for (unsigned round = 0; round < ROUNDS; round++) {
		while (os_pool_claim(&i, j->p, worker, j->n))
			atomic_fetch_add(&j->hits[i], 1);
		os_pool_barrier(j->p, worker);
		for (i = worker; i < j->n; i += os_pool_size(j->p))
			if (atomic_load(&j->hits[i]) != round + 1)
				atomic_fetch_add(&j->wrong, 1);
		os_pool_barrier(j->p, worker);
	}
}

static void test_pool(unsigned n)
{
	static const size_t sizes[] = { 0, 1, 2, 3, 7, 64, 2000 };
	static struct job j;
	struct err e = { 0 };
	bool runs = true, teams = true;

	if (os_pool_new(&j.p, n, &e)) {
		OK(false, "%s", e.text);
		return;
	}
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		j.n = sizes[k];
		for (unsigned r = 0; r < 50; r++)
			os_pool_run(j.p, hit, &j, j.n);
		runs &= all_are(&j, 50);
		os_pool_team(j.p, stretches, &j);
		teams &= all_are(&j, ROUNDS);
	}
	j.n = 5; /* many short ones, where waking and finishing race */
	for (unsigned r = 0; r < 3000; r++)
		os_pool_run(j.p, hit, &j, j.n);
	runs &= all_are(&j, 3000);
	OK(runs, "%u workers: each chunk once", n);
	OK(teams, "%u workers: barriers hold", n);
	OK(os_pool_size(j.p) == n, "size");
	os_pool_free(j.p);
}

static atomic_bool stop;

static void *burn(void *unused)
{
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		;
	return unused;
}

int main(void)
{
	struct os_pool *p;
	struct err e = { 0 };
	uint64_t began = time_mono_ns();
	pthread_t neighbour;

	for (unsigned n = 1; n <= 8; n *= 2)
		test_pool(n);
	if (!pthread_create(&neighbour, NULL, burn, NULL)) {
		test_pool(2);
		atomic_store(&stop, true);
		pthread_join(neighbour, NULL);
	}
	/* measured under 2 s; a pool that spins against its own threads takes minutes */
	OK(time_mono_ns() - began < 60000000000u,
	   "no collapse with 8 threads or a busy neighbour: %.2f s",
	   (double)(time_mono_ns() - began) / 1e9);
	OK(!os_pool_new(&p, 3, &e), "a pool that does nothing");
	os_pool_free(p);
	os_pool_free(NULL);
	return tap_done();
}
