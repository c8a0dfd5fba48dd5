/*
 * map: byte strings to 64-bit values, open addressing. Keys are borrowed unless `own` was asked for.
 * Not shared between threads while it changes; any number may read it after that.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>

struct map_slot {
	struct str key;
	uint64_t value;
	uint64_t hash;
};
struct map {
	struct map_slot *slots;
	size_t n, cap; /* entries; slots, a power of two */
	struct arena keys;
	bool own;
};

void map_init(struct map *m, bool own);
void map_release(struct map *m);
/* Room for n entries without growing again. */
int map_reserve(struct map *m, size_t n, struct err *e);
/* The value's place, or NULL. */
uint64_t *map_get(const struct map *m, struct str key);
/* Insert or find: *out is the value's place (0 when new), *is_new may be NULL. Valid until the next put. */
int map_put(uint64_t **out, bool *is_new, struct map *m, struct str key, struct err *e);

#endif
