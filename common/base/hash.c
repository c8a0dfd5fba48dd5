/* hash: SHA-256 through nettle, a multiply-and-fold hash for tables, CRC-32C. */
#include "config.h"
#include "base/hash.h"
#include "base/hash_crc32c.h"
#include <endian.h>
#include <nettle/sha2.h>
#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif
#include "base/banned.h"

_Static_assert(sizeof(struct sha256_ctx) <= sizeof(struct hash_sha256), "nettle's context fits");
_Static_assert(HASH_SHA256_LEN == SHA256_DIGEST_SIZE, "length of a digest");

static struct sha256_ctx *ctx(struct hash_sha256 *h)
{
	/* cppcheck-suppress ctuuninitvar ; the address alone, of what hash_sha256_init() is about to fill */
	return (struct sha256_ctx *)(void *)h->ctx;
}

void hash_sha256_init(struct hash_sha256 *h)
{
	nettle_sha256_init(ctx(h));
}

void hash_sha256_add(struct hash_sha256 *h, const void *p, size_t n)
{
	if (n)
		nettle_sha256_update(ctx(h), n, p);
}

void hash_sha256_end(struct hash_sha256 *h, uint8_t out[HASH_SHA256_LEN])
{
	nettle_sha256_digest(ctx(h), HASH_SHA256_LEN, out);
}

void hash_sha256(uint8_t out[HASH_SHA256_LEN], const void *p, size_t n)
{
	struct hash_sha256 h;

	hash_sha256_init(&h);
	hash_sha256_add(&h, p, n);
	hash_sha256_end(&h, out);
}

void hash_hex(char *out, const uint8_t *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = hex[p[i] >> 4];
		out[2 * i + 1] = hex[p[i] & 15];
	}
	out[2 * n] = 0;
}

static uint64_t load64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

static uint64_t load32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return le32toh(v);
}

/*
 * Both halves of the 128-bit product, folded: each bit of the operands reaches all of the result.
 */
static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/*
 * 16 bytes a step: h' = fold(a ^ K1, b ^ h). What is left (0 to 16 bytes) is read as two words that
 * may overlap and the length goes in last, so that texts that differ only in length differ. K1..K3:
 * digits of pi behind the point.
 */
#define K1 0x243f6a8885a308d3u
#define K2 0x13198a2e03707345u
#define K3 0xa4093822299f31d1u

uint64_t hash64(const void *data, size_t n, uint64_t seed)
{
	const unsigned char *p = data;
	uint64_t h = hash_mix64(seed ^ K3), a = 0, b = 0;
	size_t left = n;

	for (; left > 16; left -= 16, p += 16)
		h = fold(load64(p) ^ K1, load64(p + 8) ^ h);
	if (left >= 8) {
		a = load64(p);
		b = load64(p + left - 8);
	} else if (left >= 4) {
		a = load32(p);
		b = load32(p + left - 4);
	} else if (left) {
		a = p[0] | (uint64_t)p[left / 2] << 8 | (uint64_t)p[left - 1] << 16;
	}
	return fold(K2 ^ n, fold(a ^ K1, b ^ h) ^ K3);
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const unsigned char *p,
							       size_t n)
{
	uint64_t c = crc;

	for (; n >= 8; n -= 8, p += 8)
		c = _mm_crc32_u64(c, load64(p));
	for (; n; n--)
		c = _mm_crc32_u8((uint32_t)c, *p++);
	return (uint32_t)c;
}
#endif

uint32_t hash_crc32c(uint32_t crc, const void *data, size_t n)
{
	const unsigned char *p = data;

	crc = ~crc;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc32c_sse42(crc, p, n);
#endif
	for (; n; n--)
		crc = crc >> 8 ^ crc32c_table[(crc ^ *p++) & 0xff];
	return ~crc;
}
