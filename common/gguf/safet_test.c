/* Unit tests of the safetensors reader. */
#include "config.h"
#include "gguf/gguf.h"
#include "tap.h"
#include "base/banned.h"
#include <unistd.h>

static struct buf b;
static char dir[] = "safet_test.XXXXXX";

static void file(const char *header, size_t data)
{
	uint64_t n = strlen(header);

	buf_reset(&b);
	buf_add(&b, &n, 8);
	buf_addz(&b, header);
	for (size_t i = 0; i < data; i++)
		buf_addc(&b, (char)i);
}

static struct safet *open_n(size_t n, void **block, struct err *e)
{
	struct safet *s = NULL;

	*block = malloc(n ? n : 1);
	if (!*block)
		return NULL;
	memcpy(*block, b.p, n);
	if (safet_open_mem(&s, *block, n, "mem", e)) {
		free(*block);
		*block = NULL;
		return NULL;
	}
	return s;
}

static void refused(const char *header, size_t data, const char *needle, const char *what)
{
	struct err e = { 0 };
	void *block;
	struct safet *s;

	file(header, data);
	s = open_n(b.n, &block, &e);
	OK(!s && e.code == ERR_OPEN && strstr(e.text, needle), "refused: %s", what);
	if (s || !strstr(e.text, needle))
		printf("# %s\n", s ? "accepted" : e.text);
	safet_close(s);
	if (s)
		free(block);
}

#define GOOD                                                                                       \
	"{\"__metadata__\":{\"format\":\"pt\"},\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_"   \
	"offsets\":[4,28]},"                                                                       \
	"\"\\u0061\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}"

static void test_read(void)
{
	struct err e = { 0 };
	void *block;
	struct safet *s;
	size_t bad = 0;

	file(GOOD, 28);
	s = open_n(b.n, &block, &e);
	OK(s && safet_n_tensors(s) == 2, "opens (%s)", e.text);
	if (!s)
		return;
	OK(safet_find(s, "b")->ne[0] == 3 && safet_find(s, "b")->ne[1] == 2 &&
		   safet_find(s, "b")->data[0] == 4 && safet_find(s, "b")->type == GGUF_F32,
	   "shape is turned round, data found");
	OK(safet_find(s, "a") && safet_find(s, "a")->bytes == 4 && !safet_find(s, "c"),
	   "an escaped name");
	safet_close(s);
	free(block);
	for (size_t n = 0; n < b.n; n++)
		if ((s = open_n(n, &block, &e))) {
			bad++;
			safet_close(s);
			free(block);
		}
	OK(bad == 0, "cut at each of %zu bytes it is refused", b.n);
}

static void test_refused(void)
{
	refused("{", 0, "not a safetensors", "an empty header");
	refused("[1]", 0, "not a safetensors", "a header that is no object");
	refused("{\"a\":}", 0, "header", "a header that is no JSON");
	refused("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
		"F8_E4M3", "FP8");
	refused("{\"a\":{\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "dtype", "no dtype");
	refused("{\"a\":{\"dtype\":\"I8\",\"data_offsets\":[0,4]}}", 4, "shape", "no shape");
	refused("{\"a\":{\"dtype\":\"I8\",\"shape\":[-4],\"data_offsets\":[0,4]}}", 4, "dimension",
		"a negative dimension");
	refused("{\"a\":{\"dtype\":\"I8\",\"shape\":[1,1,1,2,2],\"data_offsets\":[0,4]}}", 4,
		"5 dimensions", "five dimensions");
	refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]"
		"}}",
		4, "overflows", "an overflowing product");
	refused("{\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,5]}}", 5, "do not fit",
		"a span of another size");
	refused("{\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[4,0]}}", 4, "do not fit",
		"a span turned round");
	refused("{\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[1,5]}}", 4, "do not fit",
		"a span past the end");
	refused("{\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0]}}", 4, "data_offsets",
		"one offset");
	refused("{\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,1.5]}}", 4,
		"data_offsets", "an offset that is no integer");
	refused("{\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]},"
		"\"b\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
		6, "overlap", "spans that overlap");
	refused("{\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]},"
		"\"b\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[5,9]}}",
		9, "hole", "a hole between two tensors");
	refused("{\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 6, "no tensor",
		"data of nobody");
	refused("{\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]},"
		"\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
		8, "twice", "a name that is there twice");
	file(GOOD, 28);
	b.p[7] = '\x7f';
	OK(!open_n(b.n, &(void *){ NULL }, NULL), "refused: a header of 2^62 bytes");
}

static void put(const char *name, const void *p, size_t n)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "wb");
	if (!f || fwrite(p, 1, n, f) != n || fclose(f))
		printf("# cannot write %s\n", path);
}

static void test_folder(void)
{
	struct err e = { 0 };
	struct safet *s = NULL;
	static const char index[] = "{\"metadata\":{},\"weight_map\":{\"a\":\"m-1.safetensors\","
				    "\"c\":\"m-2.safetensors\","
				    "\"b\":\"m-1.safetensors\"}}";
	static const char outside[] = "{\"weight_map\":{\"a\":\"../m-1.safetensors\"}}";
	static const char lacks[] = "{\"weight_map\":{\"z\":\"m-1.safetensors\"}}";

	OK(safet_open(&s, dir, &e) && strstr(e.text, "index.json"),
	   "a folder without a model says what it lacks");
	file(GOOD, 28);
	put("m-1.safetensors", b.p, b.n);
	file("{\"c\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}", 8);
	put("m-2.safetensors", b.p, b.n);
	put("model.safetensors.index.json", index, sizeof index - 1);
	OK(!safet_open(&s, dir, &e) && safet_n_tensors(s) == 3 && safet_find(s, "c")->n_dims == 0,
	   "a folder with an index (%s)", e.text);
	safet_close(s);
	put("model.safetensors.index.json", outside, sizeof outside - 1);
	OK(safet_open(&s, dir, &e) && strstr(e.text, "must lie in the folder"),
	   "a file outside of it is refused");
	put("model.safetensors.index.json", lacks, sizeof lacks - 1);
	OK(safet_open(&s, dir, &e) && strstr(e.text, "none of the files"),
	   "a tensor that is nowhere is named");
	put("model.safetensors", b.p, b.n);
	OK(!safet_open(&s, dir, &e) && safet_n_tensors(s) == 1, "model.safetensors goes first");
	safet_close(s);
	for (const char *const *p = (const char *const[]){ "m-1.safetensors", "m-2.safetensors",
							   "model.safetensors",
							   "model.safetensors.index.json", NULL };
	     *p; p++) {
		char path[4096];

		snprintf(path, sizeof path, "%s/%s", dir, *p);
		unlink(path);
	}
}

int main(void)
{
	buf_init(&b, 1 << 20);
	if (!mkdtemp(dir))
		return 1;
	test_read();
	test_refused();
	test_folder();
	rmdir(dir);
	buf_release(&b);
	return tap_done();
}
