/*
 * replay: runs a fuzz target over the files and folders named, once each; with `-mutate N` also over N seeded mutations
 * of each file. `make check` replays the corpora with it; `scripts/dev fuzz` links the same targets with libFuzzer.
 */
#include "config.h"
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long runs, mutations;

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Each run sees an exactly sized heap block, so that AddressSanitizer notices one byte too far. */
static void run(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	if (n)
		memcpy(copy, p, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
	runs++;
}

static void mutate(const uint8_t *p, size_t n, uint64_t seed)
{
	uint64_t s = seed * 0x9e3779b97f4a7c15u + 1;
	uint8_t *m = malloc(n + 8);
	size_t len = n;

	if (!m)
		abort();
	memcpy(m, p, n);
	for (unsigned k = 0; k < 1 + seed % 4 && len; k++) {
		size_t at = next_random(&s) % len;

		switch (next_random(&s) % 5) {
		case 0:
			m[at] ^= (uint8_t)(1u << next_random(&s) % 8);
			break;
		case 1:
			m[at] = (uint8_t)next_random(&s);
			break;
		case 2: /* an extreme where a length or count may stand */
			memset(m + at, next_random(&s) % 2 ? 0xff : 0, len - at < 8 ? len - at : 8);
			break;
		case 3:
			len = at;
			break;
		default:
			memmove(m + at, m + at + 1, len - at - 1);
			len--;
		}
	}
	run(m, len);
	free(m);
}

static void file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p = malloc(1 << 22);
	size_t n;

	if (!f || !p) {
		perror(path);
		exit(1);
	}
	n = fread(p, 1, 1 << 22, f);
	fclose(f);
	run(p, n);
	for (unsigned long i = 0; i < mutations; i++)
		mutate(p, n, i);
	free(p);
}

static void folder(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *x;
	char name[4096];

	if (!d) {
		file(path);
		return;
	}
	while ((x = readdir(d)))
		if (x->d_name[0] != '.') {
			snprintf(name, sizeof name, "%s/%s", path, x->d_name);
			file(name);
		}
	closedir(d);
}

int main(int argc, char **argv)
{
	int i = 1;

	if (i + 1 < argc && !strcmp(argv[i], "-mutate")) {
		mutations = strtoul(argv[i + 1], NULL, 10);
		i += 2;
	}
	run((const uint8_t *)"", 0);
	for (; i < argc; i++)
		folder(argv[i]);
	printf("ok 1 - %lu inputs, none crashed\n1..1\n", runs);
	return 0;
}
