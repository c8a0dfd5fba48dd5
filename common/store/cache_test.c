/* cache_test: answers come back as they were put, or not at all; time, size, claims, damage, other
 * processes, death. With "bench" as argument: how fast. */
#include "config.h"
#include "store/cache_impl.h"
#include "tap.h"
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/llmu-cache.XXXXXX";
static struct err e;
static struct buf got;
static int64_t clock_s = 1800000000;

static int64_t fake_now(void *arg)
{
	(void)arg;
	return clock_s;
}

static const char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static struct store_cache *open_with(const char *name, int64_t ttl, uint64_t max)
{
	struct store_cache_opts o = { .ttl_s = ttl, .max_bytes = max, .now = fake_now };
	struct store_cache *c;

	if (store_cache_open(&c, path_of(name), STORE_CREATE, &o, &e)) {
		printf("# %s\n", e.text);
		return NULL;
	}
	return c;
}

static void key_of(uint8_t key[STORE_KEY_LEN], unsigned i)
{
	hash_sha256(key, &i, sizeof i);
}

/* The one right answer to a key: some bytes that only it has. */
static struct str value_of(unsigned i, size_t n)
{
	static char v[1 << 16];
	struct rng r = { 3, i, 0 };
	uint64_t x;

	for (size_t at = 0; at < n; at += 8) {
		x = rng_next(&r);
		memcpy(v + at, &x, 8);
	}
	return (struct str){ v, n };
}

static int put(struct store_cache *c, unsigned i, size_t n, const char *model)
{
	uint8_t key[STORE_KEY_LEN];

	key_of(key, i);
	return store_cache_put(c, key, str_of(model), value_of(i, n), &e);
}

/* 1 the right answer, 0 none, -1 a failure, 2 a wrong one. */
static int get(struct store_cache *c, unsigned i, size_t n)
{
	uint8_t key[STORE_KEY_LEN];
	bool found;

	key_of(key, i);
	if (store_cache_get(&got, NULL, &found, c, key, &e))
		return -1;
	return !found ? 0 : str_eq(buf_str(&got), value_of(i, n)) ? 1 : 2;
}

static void test_put_get(void)
{
	struct store_cache *c = open_with("a.db", 0, 0), *d;
	uint8_t key[STORE_KEY_LEN], twin[STORE_KEY_LEN];
	struct store_cache_stats s;
	int sum = 0;
	bool found;

	OK(get(c, 1, 8) == 0, "nothing there");
	for (unsigned i = 0; i < 3000; i++)
		sum += put(c, i, i % 5000, "m");
	for (unsigned i = 0; i < 3000; i++)
		sum += get(c, i, i % 5000) != 1;
	OK(!sum, "what was put comes back, written or pending");
	OK(!put(c, 7, 3, "m") && !store_cache_close(c, &e) && (c = open_with("a.db", 0, 0)) != NULL,
	   "closed and opened");
	for (unsigned i = 0; i < 3000; i++)
		sum += get(c, i, i % 5000) != 1;
	OK(!sum && get(c, 3000, 1) == 0, "it is all there, the first answers");
	key_of(key, 5);
	memcpy(twin, key, sizeof key);
	twin[31] ^= 1;
	OK(!store_cache_get(&got, NULL, &found, c, twin, &e) && !found,
	   "a key with the same first bytes is another key");
	OK(!store_cache_put(c, twin, STR("m"), STR("twin"), &e) && !store_cache_close(c, &e) &&
		   (c = open_with("a.db", 0, 0)) &&
		   !store_cache_get(&got, NULL, &found, c, twin, &e) && found &&
		   str_is(buf_str(&got), "twin"),
	   "and takes the place");
	d = open_with("a.db", 0, 0);
	put(c, 9000, 10, "m");
	usleep(STORE_CACHE_LAG_MS * 120);
	OK(!store_cache_tick(c, &e) && get(d, 9000, 10) == 1, "others see it soon");
	sum = store_cache_stats(&s, d, &e);
	OK(!sum && s.entries == 3001 && s.oldest == clock_s && s.newest == clock_s &&
		   s.file_bytes > s.value_bytes,
	   "%llu entries", (unsigned long long)s.entries);
	store_cache_close(d, NULL);
	store_cache_close(c, NULL);
}

static void test_ttl(void)
{
	struct store_cache *c = open_with("ttl.db", 100, 0);
	uint8_t key[STORE_KEY_LEN];
	int64_t age = 0;
	bool found;

	put(c, 1, 10, "m");
	store_cache_close(c, NULL);
	c = open_with("ttl.db", 100, 0);
	clock_s += 100;
	OK(get(c, 1, 10) == 1, "as old as may be");
	clock_s++;
	OK(get(c, 1, 10) == 0, "too old");
	OK(!put(c, 1, 20, "m") && !store_cache_close(c, &e) && (c = open_with("ttl.db", 100, 0)) &&
		   get(c, 1, 20) == 1,
	   "a new answer replaces it");
	store_cache_close(c, NULL);
	c = open_with("ttl.db", 0, 0);
	clock_s += 100000;
	key_of(key, 1);
	OK(!store_cache_get(&got, &age, &found, c, key, &e) && found && age == 100000,
	   "with no limit nothing is too old");
	store_cache_close(c, NULL);
}

static void test_size(void)
{
	enum { MAX = 2 << 20 };
	struct store_cache *c = open_with("size.db", 0, MAX);
	int bad = 0, kept = 0, used = 0;
	struct store_cache_stats s;
	struct stat st;
	uint64_t n = 1;

	for (unsigned i = 0; i < 6000; i++) {
		bad += put(c, i, 1000, "m");
		if (i % 100 == 0)
			clock_s += CACHE_USED_S;
		/* the first 50 are asked for all the time */
		bad += i >= 50 && get(c, i % 50, 1000) != 1;
	}
	OK(!bad && !store_cache_close(c, &e), "6 MB through a cache of 2");
	c = open_with("size.db", 0, MAX);
	for (unsigned i = 0; i < 6000; i++) {
		int g = get(c, i, 1000);

		bad += g < 0 || g > 1;
		kept += g == 1;
		used += i < 50 && g == 1;
	}
	OK(!bad && kept > 1200 && kept < 2100 && used == 50 && get(c, 5999, 1000) == 1,
	   "%d stay: what was used, and the newest", kept);
	stat(path_of("size.db"), &st);
	OK(st.st_size < MAX * 9 / 8, "the file keeps the limit: %lld", (long long)st.st_size);
	OK(!store_cache_check(&n, c, NULL, NULL, &e) && !n, "and is sound");
	store_cache_close(c, NULL);
	c = open_with("size.db", 0, MAX / 4);
	put(c, 7000, 1000, "m");
	store_cache_close(c, NULL);
	stat(path_of("size.db"), &st);
	OK(st.st_size < MAX / 3, "a lower limit: %lld", (long long)st.st_size);
	c = open_with("size.db", 0, 0);
	OK(!store_cache_stats(&s, c, &e) && s.entries < 500 && get(c, 7000, 1000) == 1,
	   "the newest is in it");
	store_cache_close(c, NULL);
}

static int count_model(struct str model, uint64_t n, uint64_t bytes, void *arg, struct err *er)
{
	(void)er;
	buf_addf(arg, STR_FMT " %llu %llu;", STR_ARG(model), (unsigned long long)n,
		 (unsigned long long)bytes);
	return 0;
}

static void test_purge(void)
{
	struct store_cache *c = open_with("purge.db", 0, 0);
	struct stat before, after;
	struct buf b;
	uint64_t n = 0;

	buf_init(&b, 1000);
	for (unsigned i = 0; i < 1000; i++)
		put(c, i, 1000, i % 4 ? "big" : "small");
	clock_s += 1000;
	for (unsigned i = 1000; i < 1010; i++)
		put(c, i, 1000, "big");
	store_cache_close(c, NULL);
	c = open_with("purge.db", 0, 0);
	stat(path_of("purge.db"), &before);
	store_cache_models(c, count_model, &b, &e);
	OK(str_is(buf_str(&b), "big 760 760000;small 250 250000;"), "models: %s", b.p);
	OK(!store_cache_purge(&n, c, STR("none"), INT64_MAX, &e) && n == 0, "no such model");
	OK(!store_cache_purge(&n, c, STR("small"), INT64_MAX, &e) && n == 250 &&
		   get(c, 4, 1000) == 0 && get(c, 5, 1000) == 1,
	   "of one model");
	OK(!store_cache_purge(&n, c, (struct str){ NULL, 0 }, clock_s - 500, &e) && n == 750 &&
		   get(c, 5, 1000) == 0 && get(c, 1005, 1000) == 1,
	   "older than");
	stat(path_of("purge.db"), &after);
	OK(after.st_size < before.st_size / 4, "the file shrinks: %lld to %lld",
	   (long long)before.st_size, (long long)after.st_size);
	OK(!store_cache_purge(&n, c, (struct str){ NULL, 0 }, INT64_MAX, &e) && n == 10, "all");
	buf_reset(&b);
	OK(!store_cache_models(c, count_model, &b, &e) && !b.n &&
		   !store_cache_check(&n, c, NULL, NULL, &e) && !n,
	   "empty and sound");
	store_cache_close(c, NULL);
	buf_release(&b);
}

/* ---- claims ------------------------------------------------------------------------------------
 */

static enum store_claim claim1(struct store_cache *c, unsigned i)
{
	uint8_t key[1][STORE_KEY_LEN];
	enum store_claim r = STORE_THERE;

	key_of(key[0], i);
	return store_cache_claim(&r, c, (const uint8_t(*)[STORE_KEY_LEN])key, 1, &e)
		       ? (enum store_claim) - 1
		       : r;
}

static void test_claims(void)
{
	struct store_cache *a = open_with("flight.db", 0, 0), *b = open_with("flight.db", 0, 0);
	uint8_t key[STORE_KEY_LEN];
	int st;

	OK(claim1(a, 1) == STORE_MINE && claim1(b, 1) == STORE_TAKEN &&
		   claim1(a, 1) == STORE_MINE && claim1(b, 2) == STORE_MINE,
	   "one of two is to find it");
	key_of(key, 1);
	OK(!store_cache_release(a, key, &e) && claim1(b, 1) == STORE_MINE &&
		   claim1(a, 1) == STORE_TAKEN,
	   "given up");
	put(b, 1, 10, "m");
	usleep(STORE_CACHE_LAG_MS * 120);
	OK(!store_cache_tick(b, &e) && claim1(a, 1) == STORE_THERE && get(a, 1, 10) == 1,
	   "answered");
	OK(claim1(a, 3) == STORE_MINE && claim1(b, 3) == STORE_TAKEN, "held …");
	clock_s += CACHE_LEASE_S * 2 / 3;
	usleep(STORE_CACHE_LAG_MS * 120);
	store_cache_tick(a, &e);
	clock_s += CACHE_LEASE_S * 2 / 3;
	OK(claim1(b, 3) == STORE_TAKEN, "… and kept alive by ticks");
	clock_s += CACHE_LEASE_S;
	OK(claim1(b, 3) == STORE_MINE, "silent for too long");
	OK(claim1(a, 4) == STORE_MINE && !store_cache_close(a, &e) && claim1(b, 4) == STORE_MINE,
	   "closed without an answer");
	if (fork() == 0) {
		a = open_with("flight.db", 0, 0);
		_exit(!a || claim1(a, 5) != STORE_MINE || claim1(a, 2) != STORE_TAKEN);
	}
	wait(&st);
	OK(st == 0 && claim1(b, 5) == STORE_MINE, "its process died");
	store_cache_close(b, NULL);
}

/* Each of 4 processes finds what nobody else does; every answer is looked for once in all. */
static void flyer(int out)
{
	struct store_cache *c = open_with("fly.db", 0, 0);
	char found = 'x';

	for (unsigned i = 0; c && i < 200; i++) {
		enum store_claim r;

		while ((r = claim1(c, i)) == STORE_TAKEN)
			usleep(2000);
		if (r == STORE_MINE) {
			usleep(i % 3 * 300);
			if (write(out, &found, 1) != 1 || put(c, i, 100, "m"))
				_exit(1);
		}
		/* what is pending would keep the others waiting */
		if (store_cache_tick(c, &e) || get(c, i, 100) != 1)
			_exit(2);
	}
	_exit(!c || store_cache_close(c, &e) ? 3 : 0);
}

static void test_single_flight(void)
{
	int fd[2], st, bad = pipe(fd), n = 0;
	char ch;

	for (int i = 0; i < 4; i++)
		if (fork() == 0)
			flyer(fd[1]);
	while (wait(&st) > 0)
		bad += st != 0;
	close(fd[1]);
	while (read(fd[0], &ch, 1) == 1)
		n++;
	close(fd[0]);
	OK(!bad && n == 200, "4 processes, 200 answers looked for %d times", n);
}

/* ---- damage ------------------------------------------------------------------------------------
 */

static void patch(const char *name, const void *find, size_t n)
{
	FILE *f = fopen(path_of(name), "r+b");
	static char all[1 << 20];
	size_t size = f ? fread(all, 1, sizeof all, f) : 0;
	char *at = f ? memmem(all, size, find, n) : NULL;

	if (at) {
		fseek(f, at - all + 3, SEEK_SET);
		fputc(at[3] ^ 1, f);
	}
	if (f)
		fclose(f);
}

static int say(const char *what, void *arg, struct err *er)
{
	(void)er;
	buf_addf(arg, "%s\n", what);
	return 0;
}

static bool refused(const char *name, enum err_code code, const char *word)
{
	struct store_cache_opts o = { .now = fake_now };
	struct store_cache *c = NULL;
	int rc = store_cache_open(&c, path_of(name), STORE_CREATE, &o, &e);

	store_cache_close(c, NULL);
	return rc && e.code == code && strstr(e.text, word);
}

static void test_damage(void)
{
	struct store_cache *c = open_with("bad.db", 0, 0);
	struct store_index *ix;
	struct buf b;
	uint64_t n = 0;
	FILE *f;

	buf_init(&b, 10000);
	for (unsigned i = 0; i < 100; i++)
		put(c, i, 1000, "m");
	store_cache_close(c, NULL);
	patch("bad.db", value_of(42, 1000).p, 1000);
	c = open_with("bad.db", 0, 0);
	OK(get(c, 41, 1000) == 1 && get(c, 42, 1000) == -1 && e.code == ERR_OPEN &&
		   strstr(e.text, "damaged"),
	   "never a wrong one: %s", e.text);
	store_cache_check(&n, c, say, &b, &e);
	OK(n == 1 && strstr(b.p, "entry 43: its checksum"), "check: %s", b.p);
	store_cache_close(c, NULL);
	f = fopen(path_of("bad.db"), "r+b");
	for (long at = 8192; f && at < 100000; at += 100) {
		fseek(f, at, SEEK_SET);
		fputc(0xff, f);
	}
	if (f)
		fclose(f);
	c = open_with("bad.db", 0, 0);
	int bad = 0, failed = 0;
	for (unsigned i = 0; c && i < 100; i++) {
		int g = get(c, i, 1000);

		bad += g == 2;
		failed += g < 0;
	}
	OK(!bad && (failed || !c) && e.code == ERR_OPEN, "a file full of holes: %s", e.text);
	store_cache_close(c, NULL);
	if ((f = fopen(path_of("junk.db"), "wb"))) {
		for (int i = 0; i < 5000; i++)
			fputc('x', f);
		fclose(f);
	}
	OK(refused("junk.db", ERR_OPEN, "no cache"), "junk: %s", e.text);
	store_index_open(&ix, path_of("index.db"), STORE_CREATE, &e);
	store_index_close(ix, NULL);
	OK(refused("index.db", ERR_OPEN, "no cache of"), "an index: %s", e.text);
	c = open_with("new.db", 0, 0);
	sqlite3_exec(c->db, "PRAGMA user_version = 99", NULL, NULL, NULL);
	store_cache_close(c, NULL);
	OK(refused("new.db", ERR_OPEN, "schema 99"), "of a newer program: %s", e.text);
	OK(refused("none/x.db", ERR_OPEN, "cache "), "no folder: %s", e.text);
	buf_release(&b);
}

static void test_no_room(void)
{
	struct store_cache *c = open_with("full.db", 0, 0);
	int rc = 0;
	uint64_t n = 1;

	sqlite3_exec(c->db, "PRAGMA max_page_count = 30", NULL, NULL, NULL);
	for (unsigned i = 0; !rc && i < 2000; i++)
		rc = put(c, i, 1000, "m");
	OK(rc && e.code == ERR_WRITE && strstr(e.text, "full"), "a full disk: %s", e.text);
	store_cache_close(c, NULL);
	c = open_with("full.db", 0, 0);
	OK(!store_cache_check(&n, c, NULL, NULL, &e) && !n && get(c, 1999, 1000) == 0,
	   "what is there is sound");
	store_cache_close(c, NULL);
	chmod(path_of("full.db"), 0400);
	if (getuid())
		OK(refused("full.db", ERR_OPEN, "read-only"), "read-only: %s", e.text);
	else
		SKIP("root may write anything");
}

/* ---- other processes, death --------------------------------------------------------------------
 */

static void test_many(void)
{
	struct store_cache *c;
	int st, bad = 0, wrong = 0;
	uint64_t n = 1;

	for (unsigned p = 0; p < 3; p++)
		if (fork() == 0) {
			c = open_with("many.db", 0, 1 << 20);
			for (unsigned k = 0; c && k < 3000; k++) {
				unsigned i = (k * (p + 1) * 7) % 1500;
				int g = get(c, i, 900);

				bad += g < 0 || g > 1 || (g == 0 && put(c, i, 900, "m"));
			}
			_exit(!c || bad || store_cache_close(c, &e));
		}
	while (wait(&st) > 0)
		bad += st != 0;
	c = open_with("many.db", 0, 0);
	for (unsigned i = 0; i < 1500; i++)
		wrong += get(c, i, 900) > 1;
	OK(!bad && !wrong && !store_cache_check(&n, c, NULL, NULL, &e) && !n,
	   "3 processes read, write and evict");
	store_cache_close(c, NULL);
}

static void test_killed(void)
{
	struct rng r = { 11, 0, 0 };
	unsigned first = 0;
	int bad = 0;

	for (int round = 0; round < 12; round++) {
		struct store_cache *c;
		uint64_t n = 1;
		pid_t pid = fork();

		if (pid == 0) {
			c = open_with("kill.db", 0, 1 << 20);
			for (unsigned i = first; c; i++)
				put(c, i % 4000, 500, "m");
			_exit(0);
		}
		usleep((useconds_t)(rng_next(&r) % 40000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		c = open_with("kill.db", 0, 1 << 20);
		bad += !c || store_cache_check(&n, c, NULL, NULL, &e) || n;
		for (unsigned i = 0; c && i < 4000; i++)
			bad += get(c, i, 500) > 1;
		store_cache_close(c, NULL);
		first += 700;
	}
	OK(!bad, "killed 12 times, always sound");
}

static void bench(void)
{
	enum { N = 100000, DIM = 384 * 4 };
	struct store_cache *c = open_with("bench.db", 0, (uint64_t)1 << 30);
	uint64_t t = time_mono_ns();

	for (unsigned i = 0; i < N; i++)
		put(c, i, DIM, "m");
	store_cache_close(c, NULL);
	printf("# %.0f puts/s\n", N / ((double)(time_mono_ns() - t) * 1e-9));
	for (int pass = 0; pass < 2; pass++) {
		uint8_t key[STORE_KEY_LEN];
		unsigned hits = 0;
		bool found;

		c = open_with("bench.db", 0, (uint64_t)1 << 30);
		t = time_mono_ns();
		for (unsigned i = 0; i < N; i++) {
			key_of(key, pass ? i * 7919 % N : i);
			hits += !store_cache_get(&got, NULL, &found, c, key, &e) && found;
		}
		printf("# %.0f hits/s %s (%u hits of %d bytes)\n",
		       N / ((double)(time_mono_ns() - t) * 1e-9), pass ? "at random" : "in order",
		       hits, DIM);
		store_cache_close(c, NULL);
	}
}

int main(int argc, char **argv)
{
	if (!mkdtemp(dir))
		return 1;
	buf_init(&got, BUF_MAX_LINE);
	if (argc > 1 && !strcmp(argv[1], "bench")) {
		bench();
	} else {
		test_put_get();
		test_ttl();
		test_size();
		test_purge();
		test_claims();
		test_single_flight();
		test_damage();
		test_no_room();
		test_many();
		test_killed();
	}
	buf_release(&got);
	snprintf(e.text, sizeof e.text, "rm -rf %s", dir);
	return system(e.text) ? 1 : tap_done();
}
