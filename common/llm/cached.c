/* cached: what was asked before is answered from a file; what is asked twice at once is asked once.
 */
#include "config.h"
#include "llm/cached_impl.h"
#include <time.h>

enum { N_CHAINS = 1024, CLAIMS = 256 };
#define POLL_NS 20000000u /* how often others are looked after */

/* A question with no answer yet. The first of equal ones is in its chain; the others follow it. */
struct node {
	struct llm_ask inner; /* what the backend behind is asked; first: it comes back as such */
	struct llm_ask *q;    /* whose it is */
	struct cached_key key;
	bool keep; /* its answer is for the file */
	bool claimed;
	struct node *followers;
	struct node *chain; /* the next one that begins with the same bytes */
	struct node *next;  /* on its list */
};
struct list {
	struct node *first, **last;
	size_t n;
};
struct cached {
	struct llm_backend b;
	struct llm_backend *behind;
	struct store_cache *store;
	enum llm_same same;
	bool sampled;
	struct node *chains[N_CHAINS];
	struct list fresh, taken, ready; /* to be claimed; another process's; to be asked */
	struct llm_ask *done, **done_last;
	size_t n;
	uint64_t polled;
	struct buf text, value;
	uint64_t hits, misses, bypassed;
};

/* ---- lists ----------------------------------------------------------------------------------- */

static void list_init(struct list *l)
{
	*l = (struct list){ .last = &l->first };
}

static void push(struct list *l, struct node *x)
{
	x->next = NULL;
	*l->last = x;
	l->last = &x->next;
	l->n++;
}

static struct node *pop(struct list *l)
{
	struct node *x = l->first;

	if (x) {
		l->first = x->next;
		l->n--;
		if (!l->first)
			l->last = &l->first;
	}
	return x;
}

static struct node **chain_of(struct cached *c, const struct cached_key *k)
{
	return &c->chains[(size_t)(k->find[0] | k->find[1] << 8) % N_CHAINS];
}

static struct node *leader_of(struct cached *c, const struct cached_key *k)
{
	struct node *x = *chain_of(c, k);

	while (x && !(x->keep && !memcmp(x->key.find, k->find, sizeof k->find)))
		x = x->chain;
	return x;
}

/* Out of its chain. Its followers are the caller's. */
static void unchain(struct cached *c, struct node *x)
{
	struct node **at = chain_of(c, &x->key);

	while (*at != x)
		at = &(*at)->chain;
	*at = x->chain;
}

static void hand_back(struct cached *c, struct llm_ask *q)
{
	q->next = NULL;
	q->state = NULL;
	*c->done_last = q;
	c->done_last = &q->next;
}

/* ---- answers --------------------------------------------------------------------------------- */

static int say(struct llm_ask *q, const char *json, struct err *e)
{
	q->call.cache = arena_str(q->a, str_of(json));
	return q->call.cache.p ? 0 : err_nomem(e);
}

/* q is answered by c->value. */
static int answer(struct cached *c, struct llm_ask *q, const struct cached_key *k, int64_t age_s,
		  struct err *e)
{
	bool exact = true;
	char t[96];

	if (cached_unpack(q, &exact, buf_str(&c->value), k->exact, e))
		return -1;
	snprintf(t, sizeof t, "{\"status\":\"hit\",\"kind\":\"%s\",\"age_s\":%lld}",
		 exact ? "exact" : "normalised", (long long)(age_s < 0 ? 0 : age_s));
	q->call.t_queued = q->call.t_done = time_mono_ns();
	for (uint32_t i = 0; q->on_text && i < q->n; i++)
		q->on_text(q, i, q->answers[i].text);
	c->hits++;
	hand_back(c, q);
	return say(q, t, e);
}

/* The same for x and all that follow it, which are gone then. */
static int answer_all(struct cached *c, struct node *x, int64_t age_s, struct err *e)
{
	struct node *next;
	int rc = 0;

	for (; x; x = next) {
		next = x->followers;
		rc = rc || answer(c, x->q, &x->key, age_s, e) ? -1 : 0;
		free(x);
	}
	return rc;
}

/* The backend has answered. What failed for one may go well for the next; what stands in for a
 * model is no answer of that model. */
static int finish(struct cached *c, struct node *x, struct err *e)
{
	struct node *next = x->followers, **chain = chain_of(c, &x->key);
	struct llm_ask *q = x->q;
	bool kept;
	int rc = 0;

	unchain(c, x);
	*q = x->inner;
	kept = x->keep && !q->err.code && !q->stand_in;
	if (kept)
		rc = cached_pack(&c->value, q, x->key.exact, e) ||
		     store_cache_put(c->store, x->key.find, str_of(q->call.model),
				     buf_str(&c->value), e);
	else if (x->claimed)
		rc = store_cache_release(c->store, x->key.find, e);
	c->misses += kept;
	c->bypassed += !x->keep || q->stand_in;
	rc = rc || say(q, kept ? "{\"status\":\"miss\"}" : "{\"status\":\"bypass\"}", e) ? -1 : 0;
	hand_back(c, q);
	free(x);
	if (kept && !rc)
		return answer_all(c, next, 0, e);
	if (next) {
		next->chain = *chain;
		*chain = next;
		push(&c->fresh, next);
	}
	return rc;
}

/* ---- questions ------------------------------------------------------------------------------- */

static size_t room(const struct llm_backend *b)
{
	const struct cached *c = (const struct cached *)b;
	size_t n = llm_room(c->behind), waiting = c->fresh.n + c->ready.n;

	return n > waiting ? n - waiting : 0;
}

static struct node *node_new(const struct llm_ask *q, const struct cached_key *k, bool keep)
{
	struct node *x = calloc(1, sizeof *x);

	if (x) {
		x->inner = *q;
		x->key = *k;
		x->keep = keep;
	}
	return x;
}

static int submit(struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	struct cached *c = (struct cached *)b;
	struct cached_key k = { 0 };
	struct node *x, *leader;
	int64_t age;
	bool found;
	bool keep;

	buf_reset(&c->text);
	/* what is no question for it the backend says itself */
	keep = !llm_key(&c->text, c->behind, q, NULL) &&
	       !cached_key(&k, buf_str(&c->text), q->kind, c->same, q->a, NULL) &&
	       (c->sampled || !k.random);
	leader = keep ? leader_of(c, &k) : NULL;
	c->n++;
	if (keep && !leader) {
		if (store_cache_get(&c->value, &age, &found, c->store, k.find, e))
			return -1;
		if (found)
			return answer(c, q, &k, age, e);
	}
	if (!(x = node_new(q, &k, keep)))
		return err_nomem(e);
	x->q = q;
	if (leader) { /* in the order they came */
		while (leader->followers)
			leader = leader->followers;
		leader->followers = x;
		return 0;
	}
	x->chain = *chain_of(c, &k);
	*chain_of(c, &k) = x;
	push(keep ? &c->fresh : &c->ready, x);
	return 0;
}

/* Who is to find the answers of all that is on l? */
static int claim(struct cached *c, struct list *l, struct err *e)
{
	uint8_t keys[CLAIMS][STORE_KEY_LEN];
	enum store_claim whose[CLAIMS];
	size_t n = 0;
	int64_t age;

	for (const struct node *x = l->first; x && n < CLAIMS; x = x->next)
		memcpy(keys[n++], x->key.find, STORE_KEY_LEN);
	if (store_cache_claim(whose, c->store, (const uint8_t(*)[STORE_KEY_LEN])keys, n, e))
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct node *x = pop(l);
		bool found = false;

		if (whose[i] == STORE_THERE &&
		    store_cache_get(&c->value, &age, &found, c->store, x->key.find, e)) {
			push(l, x);
			return -1;
		}
		if (found) {
			unchain(c, x);
			if (answer_all(c, x, age, e))
				return -1;
			continue;
		}
		x->claimed = whose[i] == STORE_MINE;
		push(whose[i] == STORE_TAKEN ? &c->taken : &c->ready, x);
	}
	return 0;
}

/* All that can go on without the backend. */
static int advance(struct cached *c, struct err *e)
{
	uint64_t now = c->taken.n ? time_mono_ns() : 0;

	if (c->taken.n && now - c->polled > POLL_NS) {
		c->polled = now;
		for (size_t n = c->taken.n; n; n -= n < CLAIMS ? n : CLAIMS)
			if (claim(c, &c->taken, e))
				return -1;
	}
	while (c->fresh.n)
		if (claim(c, &c->fresh, e))
			return -1;
	while (c->ready.n && llm_room(c->behind)) {
		struct node *x = pop(&c->ready);

		if (llm_submit(c->behind, &x->inner, e))
			return -1;
	}
	return store_cache_tick(c->store, e);
}

static int step(struct llm_ask **done, struct llm_backend *b, bool more, struct err *e)
{
	struct cached *c = (struct cached *)b;
	struct llm_ask *inner = NULL;

	*done = NULL;
	if (!c->done && advance(c, e))
		return -1;
	if (!c->done && llm_busy(c->behind)) {
		if (llm_step(&inner, c->behind, more || c->taken.n, e) ||
		    (inner && finish(c, (struct node *)(void *)inner, e)))
			return -1;
	} else if (!c->done && c->taken.n) {
		nanosleep(&(struct timespec){ .tv_nsec = POLL_NS / 2 }, NULL);
	}
	if (!(*done = c->done))
		return 0;
	c->done = c->done->next;
	if (!c->done)
		c->done_last = &c->done;
	/* who waits for input next keeps nothing to itself */
	return --c->n ? 0 : store_cache_flush(c->store, e);
}

static bool busy(const struct llm_backend *b)
{
	return ((const struct cached *)b)->n > 0;
}

static int key(struct buf *out, struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	return llm_key(out, ((struct cached *)b)->behind, q, e);
}

static int describe(struct buf *out, struct llm_backend *b, struct err *e)
{
	return llm_describe(out, ((struct cached *)b)->behind, e);
}

static void cached_free(struct llm_backend *b)
{
	struct cached *c = (struct cached *)b;

	llm_backend_free(c->behind);
	for (size_t i = 0; i < N_CHAINS; i++)
		while (c->chains[i]) {
			struct node *x = c->chains[i], *next;

			c->chains[i] = x->chain;
			for (; x; x = next) {
				next = x->followers;
				free(x);
			}
		}
	store_cache_close(c->store, NULL);
	buf_release(&c->text);
	buf_release(&c->value);
	free(c);
}

static const struct llm_backend_ops ops = { room, submit, step, busy, key, describe, cached_free };

/* ---- opening --------------------------------------------------------------------------------- */

/* A whole number and a unit, one of `units`, each worth so much. */
static int read_unit(uint64_t *out, const char *text, const char *units, const uint64_t *worth,
		     const char *what, const char *want, struct err *e)
{
	struct str s = str_of(text);
	const char *u = s.n ? strchr(units, s.p[s.n - 1]) : NULL;
	uint64_t v, each = u ? worth[u - units] : 1;

	s.n -= u != NULL;
	if (num_u64(&v, s, 1, INT64_MAX, NULL) || v > INT64_MAX / each)
		return err_set(e, ERR_USAGE, "%s %s: want %s", what, text, want);
	*out = v * each;
	return 0;
}

int llm_read_seconds(int64_t *out, const char *text, const char *what, struct err *e)
{
	static const uint64_t worth[] = { 1, 60, 3600, 86400 };
	uint64_t v = 0;
	int rc = read_unit(&v, text, "smhd", worth, what, "a time as 90s, 15m, 12h or 30d", e);

	*out = (int64_t)v;
	return rc;
}

int llm_read_bytes(uint64_t *out, const char *text, const char *what, struct err *e)
{
	static const uint64_t worth[] = { 1u << 10, 1u << 20, 1u << 30, (uint64_t)1 << 40 };

	return read_unit(out, text, "KMGT", worth, what, "a size as 500M or 2G", e);
}

int llm_cached_new(struct llm_backend **io, const struct llm_cache_opts *o, struct err *e)
{
	struct store_cache_opts so = { .max_bytes = LLM_CACHE_MAX };
	struct cached *c;

	if (!o->file)
		return o->ttl || o->max || o->normalize || o->sampled
			       ? cli_usage(e, "--cache-ttl, --cache-max, --cache-normalize and "
					      "--cache-sampled belong to --cache")
			       : 0;
	if ((o->ttl && llm_read_seconds(&so.ttl_s, o->ttl, "--cache-ttl", e)) ||
	    (o->max && llm_read_bytes(&so.max_bytes, o->max, "--cache-max", e)))
		return -1;
	c = calloc(1, sizeof *c);
	if (!c)
		return err_nomem(e);
	if (store_cache_open(&c->store, o->file, STORE_CREATE, &so, e)) {
		free(c);
		return -1;
	}
	c->b.ops = &ops;
	c->behind = *io;
	c->same = (enum llm_same)o->normalize;
	c->sampled = o->sampled;
	c->done_last = &c->done;
	list_init(&c->fresh);
	list_init(&c->taken);
	list_init(&c->ready);
	buf_init(&c->text, 4 * BUF_MAX_LINE);
	buf_init(&c->value, 4 * BUF_MAX_LINE);
	*io = &c->b;
	return 0;
}

int llm_cached_end(struct llm_backend *b, const struct cli *cli, int failed, struct err *e)
{
	struct cached *c = (struct cached *)b;

	if (!b || b->ops != &ops)
		return failed ? -1 : 0;
	if (store_cache_flush(c->store, failed ? NULL : e))
		failed = -1;
	cli_info(cli, "cache: %llu hits, %llu misses, %llu not cached", (unsigned long long)c->hits,
		 (unsigned long long)c->misses, (unsigned long long)c->bypassed);
	return failed ? -1 : 0;
}
