/* hash: SHA-256 (nettle) for digests that people see, a 64-bit hash for tables, CRC32C for pages. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/str.h"
#include <stdint.h>

#define HASH_SHA256_LEN 32
#define HASH_HEX_LEN 64

/* Opaque, large enough for nettle's context; no allocation. */
struct hash_sha256 {
	_Alignas(16) unsigned char ctx[160];
};
void hash_sha256_init(struct hash_sha256 *h);
void hash_sha256_add(struct hash_sha256 *h, const void *p, size_t n);
void hash_sha256_end(struct hash_sha256 *h, uint8_t out[HASH_SHA256_LEN]);
/* All at once. */
void hash_sha256(uint8_t out[HASH_SHA256_LEN], const void *p, size_t n);
/* Lower-case hexadecimal with a NUL: 2 n + 1 bytes. */
void hash_hex(char *out, const uint8_t *p, size_t n);

/* Fast 64-bit hash for in-memory tables; the same on every machine and in every version. */
uint64_t hash64(const void *p, size_t n, uint64_t seed);
/* Mix of one 64-bit value (a bijection). */
static inline uint64_t hash_mix64(uint64_t x)
{
	/* finalizer of splitmix64: Steele, Lea, Flood, OOPSLA 2014 */
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}
/* CRC-32C (Castagnoli), `crc` 0 to begin. */
uint32_t hash_crc32c(uint32_t crc, const void *p, size_t n);

#endif
