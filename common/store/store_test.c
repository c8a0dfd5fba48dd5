/* store_test: the index against a plain scan of all vectors, upserts, deletes, pins, damage, two writers. */
#include "config.h"
#include "store/store_impl.h"
#include "tap.h"
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIMS 100
#define N 1500

static char dir[] = "/tmp/llmu-store.XXXXXX";
static struct err e;

static const char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

/* Clustered vectors with exact duplicates, so that there are ties. */
static void vector(float *out, unsigned i)
{
	struct rng r = { 7, i % 1000, 0 }, c = { 8, i % 10, 0 };

	for (int j = 0; j < DIMS; j++)
		out[j] = (float)(rng_normal(&c) + 0.4 * rng_normal(&r));
}

static struct store_item item(char id[32], const float *v, unsigned i)
{
	int n = snprintf(id, 32, "doc%04u", i);

	return (struct store_item){ .id = { id, (size_t)n }, .text = { id, (size_t)n }, .vec = v, .dims = DIMS,
				    .pin = { STR("m"), STR("d1") } };
}

static struct store_index *fill(const char *name, unsigned n)
{
	struct store_index *ix;
	float v[DIMS];
	char id[32];
	enum store_change ch;

	if (store_index_open(&ix, path_of(name), STORE_CREATE, &e))
		return NULL;
	for (unsigned i = 0; i < n; i++) {
		vector(v, i);
		struct store_item it = item(id, v, i);
		if (store_index_put(&ch, ix, &it, &e) || ch != STORE_ADDED)
			return NULL;
	}
	return store_index_commit(ix, &e) ? NULL : ix;
}

struct ref {
	float score;
	char id[32];
};

static int by_ref(const void *x, const void *y)
{
	const struct ref *a = x, *b = y;

	return a->score != b->score ? (a->score > b->score ? -1 : 1) : strcmp(a->id, b->id);
}

/* Plain: normalise everything that is there, all scores, sort. Returns how many there are. */
static size_t reference(struct ref *out, const float *q, const bool *gone)
{
	static float all[N][DIMS];
	float v[DIMS], qn[DIMS];
	size_t n = 0;

	for (unsigned i = 0; i < N && all[N - 1][0] == 0; i++) {
		vector(v, i);
		store_normalise(all[i], v, DIMS, NULL);
	}
	store_normalise(qn, q, DIMS, NULL);
	for (unsigned i = 0; i < N; i++) {
		if (gone[i])
			continue;
		out[n].score = kern_dot(qn, all[i], DIMS);
		snprintf(out[n++].id, sizeof out->id, "doc%04u", i);
	}
	qsort(out, n, sizeof *out, by_ref);
	return n;
}

static bool same_hits(const struct store_hits *h, const struct ref *r, size_t k)
{
	if (h->n != k)
		return false;
	for (size_t i = 0; i < k; i++)
		if (memcmp(&h->v[i].score, &r[i].score, 4) || !str_is(h->v[i].item.id, r[i].id))
			return false;
	return true;
}

#define QUERIES 61 /* more than share a pass */

/* Every query together, in fewer, alone, with and without threads: the hits of a plain scan. */
static bool all_alike(struct store_index *ix, struct os_pool *pool, const bool *gone)
{
	static const size_t ks[] = { 1, 10, 257, N }, batches[] = { QUERIES, 7, 1 };
	static float q[QUERIES * DIMS];
	static struct ref r[QUERIES][N];
	struct store_hits hits[QUERIES];
	struct arena a;
	size_t m = 0;
	bool good = true;

	arena_init(&a, 1 << 30);
	for (unsigned i = 0; i < QUERIES; i++) {
		vector(q + i * DIMS, i * 31 + 5);
		m = reference(r[i], q + i * DIMS, gone);
	}
	for (size_t k = 0; k < 4; k++)
		for (size_t b = 0; b < 3; b++)
			for (size_t i = 0; i < QUERIES && good; i += batches[b]) {
				size_t n = QUERIES - i < batches[b] ? QUERIES - i : batches[b];

				arena_reset(&a);
				good = !store_index_search(hits, ix, q + i * DIMS, n, DIMS, ks[k], -INFINITY,
							   i % 2 ? pool : NULL, &a, &e);
				for (size_t j = 0; j < n && good; j++)
					good = same_hits(&hits[j], r[i + j], m < ks[k] ? m : ks[k]);
			}
	arena_release(&a);
	return good;
}

static void test_search(struct os_pool *pool)
{
	static bool gone[N];
	struct store_index *ix = fill("search.db", N), *reader;
	struct store_hits hits[1];
	struct arena a;
	float q[DIMS] = { 1 };
	uint64_t n;

	arena_init(&a, 1 << 30);
	OK(ix && !store_index_open(&reader, path_of("search.db"), STORE_READ, &e), "an index of %d vectors: %s", N, e.text);
	OK(all_alike(ix, pool, gone), "61 queries, k 1, 10, 257, n: ids and score bits of a full scan: %s", e.text);
	OK(all_alike(reader, pool, gone), "by another handle: %s", e.text);
	for (unsigned i = 0; i < N; i += 3) {
		char id[32];

		gone[i] = true;
		snprintf(id, sizeof id, "doc%04u", i);
		store_index_delete(&n, ix, str_of(id), false, &e);
	}
	OK(all_alike(reader, pool, (bool[N]){ 0 }), "not committed: not seen");
	store_index_commit(ix, &e);
	OK(all_alike(reader, pool, gone), "a third deleted: what was kept in memory is read anew: %s", e.text);
	OK(all_alike(ix, pool, gone), "by the one that deleted: %s", e.text);
	OK(!store_index_search(hits, ix, q, 1, DIMS, 10, 2, pool, &a, &e) && hits[0].n == 0, "min_score over 1: no hit");
	OK(store_index_search(hits, ix, q, 1, DIMS - 1, 10, 0, pool, &a, &e) && e.code == ERR_DIMENSION_MISMATCH,
	   "a query of another length: %s", e.text);
	arena_release(&a);
	store_index_close(reader, NULL);
	store_index_close(ix, NULL);
}

static int count_finding(const char *what, struct str id, void *arg, struct err *err)
{
	(void)what, (void)id, (void)err;
	++*(int *)arg;
	return 0;
}

static void test_changes(void)
{
	struct store_index *ix = fill("changes.db", 600);
	struct store_stats s;
	enum store_change ch;
	float v[DIMS];
	char id[32];
	uint64_t n = 0, findings;
	int seen = 0;
	bool has;

	err_clear(&e);
	vector(v, 3);
	struct store_item it = item(id, v, 3);
	OK(!store_index_put(&ch, ix, &it, &e) && ch == STORE_UNCHANGED, "the same again changes nothing");
	it.text = STR("another text");
	OK(!store_index_put(&ch, ix, &it, &e) && ch == STORE_UPDATED, "another text: updated");
	OK(!store_index_has(&has, ix, it.id, STR("another text"), &e) && has, "has: id and text");
	OK(!store_index_has(&has, ix, it.id, STR("doc0003"), &e) && !has, "has: not the old text");
	for (unsigned i = 0; i < 300; i++) {
		uint64_t d;

		vector(v, i * 2);
		it = item(id, v, i * 2);
		n += store_index_delete(&d, ix, it.id, false, &e) ? 0 : d;
	}
	store_index_commit(ix, &e);
	OK(n == 300 && !store_index_stats(&s, ix, &e) && s.items == 300 && s.segments == 3, "300 of 600 deleted");
	for (unsigned i = 0; i < 300; i++) {
		vector(v, i * 2);
		it = item(id, v, i * 2);
		if (store_index_put(&ch, ix, &it, &e) || ch != STORE_ADDED)
			break;
	}
	store_index_commit(ix, &e);
	OK(!store_index_stats(&s, ix, &e) && s.items == 600 && s.segments == 3, "added again into the free slots");
	OK(!store_index_check(&findings, ix, count_finding, &seen, &e) && !findings, "check finds nothing: %s", e.text);
	sqlite3_exec(ix->db, "UPDATE truth SET v = zeroblob(length(v)) WHERE id = 2", NULL, NULL, NULL);
	OK(!store_index_check(&findings, ix, count_finding, &seen, &e) && findings == 256, "check finds a zeroed segment");
	store_index_close(ix, NULL);
}

static void test_pins(void)
{
	struct store_index *ix = fill("pins.db", 1);
	enum store_change ch;
	float v[DIMS] = { 1 };
	char id[32];
	struct store_item it = item(id, v, 9);

	it.dims = 7;
	OK(store_index_put(&ch, ix, &it, &e) && e.code == ERR_DIMENSION_MISMATCH, "another length: %s", e.text);
	it.dims = DIMS;
	it.pin.digest = STR("d2");
	OK(store_index_put(&ch, ix, &it, &e) && e.code == ERR_MODEL_MISMATCH, "another model: %s", e.text);
	it.pin.digest = STR("d1");
	v[5] = NAN;
	OK(store_index_put(&ch, ix, &it, &e) && e.code == ERR_INVALID_VECTOR, "NaN: %s", e.text);
	memset(v, 0, sizeof v);
	OK(store_index_put(&ch, ix, &it, &e) && e.code == ERR_INVALID_VECTOR, "zero: %s", e.text);
	store_index_close(ix, NULL);
	OK(store_index_open(&ix, path_of("none.db"), STORE_READ, &e) && e.code == ERR_OPEN, "not there: %s", e.text);
	FILE *f = fopen(path_of("junk.db"), "w");
	for (int i = 0; f && i < 4096; i++)
		fputc('x', f);
	if (f)
		fclose(f);
	OK(store_index_open(&ix, path_of("junk.db"), STORE_CREATE, &e) && e.code == ERR_OPEN, "junk: %s", e.text);
	sqlite3 *db;
	sqlite3_open(path_of("other.db"), &db);
	sqlite3_exec(db, "CREATE TABLE t(x)", NULL, NULL, NULL);
	sqlite3_close(db);
	OK(store_index_open(&ix, path_of("other.db"), STORE_CREATE, &e) && e.code == ERR_OPEN, "foreign: %s", e.text);
}

static void writer(unsigned from)
{
	struct store_index *ix;
	enum store_change ch;
	float v[DIMS];
	char id[32];

	if (store_index_open(&ix, path_of("two.db"), STORE_CREATE, &e))
		_exit(1);
	for (unsigned i = 0; i < 400; i++) {
		vector(v, i);
		struct store_item it = item(id, v, from + i);
		if (store_index_put(&ch, ix, &it, &e) || (i % 7 == 0 && store_index_commit(ix, &e)))
			_exit(1);
	}
	_exit(store_index_close(ix, &e) ? 1 : 0);
}

static void test_two_writers(void)
{
	struct store_index *ix;
	struct store_stats s = { 0 };
	uint64_t findings = 1;
	int st, bad = 0, seen = 0;

	for (unsigned w = 0; w < 2; w++)
		if (fork() == 0)
			writer(w * 1000);
	while (wait(&st) > 0)
		bad += st != 0;
	bad += store_index_open(&ix, path_of("two.db"), STORE_READ, &e) || store_index_stats(&s, ix, &e);
	OK(!bad && s.items == 800, "two writers at once: both end well, %llu of 800 items", (unsigned long long)s.items);
	OK(!store_index_check(&findings, ix, count_finding, &seen, &e) && !findings, "and no damage");
	store_index_close(ix, NULL);
}

int main(void)
{
	struct os_pool *pool;

	if (!mkdtemp(dir) || kern_init(NULL, &e) || os_pool_new(&pool, 3, &e))
		return 1;
	test_search(pool);
	test_changes();
	test_pins();
	test_two_writers();
	os_pool_free(pool);
	snprintf(e.text, sizeof e.text, "rm -rf %s", dir);
	return system(e.text) ? 1 : tap_done();
}
