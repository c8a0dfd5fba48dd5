/*
 * bench-search: the search of an index without its tool: queries a second, from memory to hits.
 *   bench-search DB QUERIES.f32 K THREADS BATCH
 * QUERIES.f32 holds rows of f32. All go through once before the clock starts, then as often as fills a second.
 */
#include "config.h"
#include "kern/kern.h"
#include "os/os.h"
#include "store/store.h"
#include <stdlib.h>

static int all(struct store_index *ix, const float *q, size_t n, size_t dims, size_t k, size_t batch, struct os_pool *pool,
	       struct store_hits *hits, struct arena *a, struct err *e)
{
	for (size_t i = 0; i < n; i += batch) {
		arena_reset(a);
		if (store_index_search(hits, ix, q + i * dims, n - i < batch ? n - i : batch, dims, k, -2, pool, a, e))
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct store_index *ix = NULL;
	struct store_stats s;
	struct os_pool *pool = NULL;
	struct store_hits *hits;
	struct os_map q;
	struct arena a;
	struct err e = { 0 };
	size_t k, batch, n, passes = 0;
	uint64_t start;

	if (argc != 6) {
		fprintf(stderr, "usage: bench-search DB QUERIES.f32 K THREADS BATCH\n");
		return 2;
	}
	k = strtoul(argv[3], NULL, 10);
	batch = strtoul(argv[5], NULL, 10);
	hits = calloc(batch, sizeof *hits);
	arena_init(&a, (size_t)4 << 30);
	if (!hits || kern_init(NULL, &e) || os_map_open(&q, argv[2], &e) ||
	    os_pool_new(&pool, (unsigned)strtoul(argv[4], NULL, 10), &e) || store_index_open(&ix, argv[1], STORE_READ, &e) ||
	    store_index_stats(&s, ix, &e))
		goto fail;
	n = q.n / sizeof(float) / s.dims;
	if (all(ix, (const void *)q.p, n, s.dims, k, batch, pool, hits, &a, &e))
		goto fail;
	start = time_mono_ns();
	do {
		if (all(ix, (const void *)q.p, n, s.dims, k, batch, pool, hits, &a, &e))
			goto fail;
		passes++;
	} while (time_mono_ns() - start < 1000000000);
	printf("%.3f\n", (double)(passes * n) * 1e9 / (double)(time_mono_ns() - start));
	store_index_close(ix, NULL);
	os_pool_free(pool);
	os_map_close(&q);
	arena_release(&a);
	free(hits);
	return 0;
fail:
	fprintf(stderr, "bench-search: %s\n", e.text);
	return 1;
}
