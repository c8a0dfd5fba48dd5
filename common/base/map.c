/* map: linear probing, at most three quarters full. */
#include "config.h"
#include "base/map.h"
#include "base/ckd.h"
#include "base/hash.h"
#include "base/banned.h"

#define MIN_SLOTS ((size_t)16)

void map_init(struct map *m, bool own)
{
	*m = (struct map){ .own = own };
	arena_init(&m->keys, SIZE_MAX / 2);
}

void map_release(struct map *m)
{
	free(m->slots);
	arena_release(&m->keys);
	map_init(m, m->own);
}

/* The slot of the key, or the free one where it would go. */
static struct map_slot *find(struct map_slot *slots, size_t cap, struct str key, uint64_t hash)
{
	size_t i = (size_t)hash & (cap - 1);

	while (slots[i].key.p && (slots[i].hash != hash || !str_eq(slots[i].key, key)))
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

static int grow(struct map *m, size_t cap, struct err *e)
{
	struct map_slot *slots =
		cap <= SIZE_MAX / 2 / sizeof *slots ? calloc(cap, sizeof *slots) : NULL;

	if (!slots)
		return err_nomem(e);
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].key.p)
			*find(slots, cap, m->slots[i].key, m->slots[i].hash) = m->slots[i];
	free(m->slots);
	m->slots = slots;
	m->cap = cap;
	return 0;
}

int map_reserve(struct map *m, size_t n, struct err *e)
{
	size_t cap = MIN_SLOTS;

	while (cap && cap / 4 * 3 < n)
		cap *= 2;
	if (!cap)
		return err_nomem(e);
	return cap > m->cap ? grow(m, cap, e) : 0;
}

uint64_t *map_get(const struct map *m, struct str key)
{
	struct map_slot *s;

	if (!m->n)
		return NULL;
	s = find(m->slots, m->cap, key, hash64(key.p, key.n, 0));
	return s->key.p ? &s->value : NULL;
}

int map_put(uint64_t **out, bool *is_new, struct map *m, struct str key, struct err *e)
{
	uint64_t hash = hash64(key.p, key.n, 0);
	struct map_slot *s = m->cap ? find(m->slots, m->cap, key, hash) : NULL;

	if (is_new)
		*is_new = !s || !s->key.p;
	if (!s || !s->key.p) {
		if (map_reserve(m, m->n + 1, e))
			return -1;
		if (!key.p)
			key = STR("");
		if (m->own)
			key = arena_str(&m->keys, key);
		if (!key.p)
			return err_nomem(e);
		s = find(m->slots, m->cap, key, hash);
		*s = (struct map_slot){ .key = key, .hash = hash };
		m->n++;
	}
	*out = &s->value;
	return 0;
}
