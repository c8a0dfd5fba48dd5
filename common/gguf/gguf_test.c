/* Unit tests of the GGUF reader and writer. Files are built byte by byte here, so the reader is not
 * judged by the writer. */
#include "config.h"
#include "gguf/gguf.h"
#include "tap.h"
#include "base/banned.h"
#include <unistd.h>

static struct buf b; /* the file being built */
static char dir[] = "gguf_test.XXXXXX";

static void u32(uint32_t v)
{
	buf_add(&b, &v, 4);
}

static void u64(uint64_t v)
{
	buf_add(&b, &v, 8);
}

static void str(const char *s)
{
	u64(strlen(s));
	buf_addz(&b, s);
}

static void head(uint32_t version, uint64_t tensors, uint64_t keys)
{
	buf_reset(&b);
	buf_addz(&b, "GGUF");
	u32(version);
	u64(tensors);
	u64(keys);
}

static void key(const char *name, uint32_t kind)
{
	str(name);
	u32(kind);
}

static void tensor(const char *name, uint32_t dims, uint64_t ne0, uint64_t ne1, uint32_t type,
		   uint64_t off)
{
	str(name);
	u32(dims);
	if (dims > 0)
		u64(ne0);
	if (dims > 1)
		u64(ne1);
	u32(type);
	u64(off);
}

static void data(size_t n)
{
	while (b.n % 32)
		buf_addc(&b, 0);
	for (size_t i = 0; i < n; i++)
		buf_addc(&b, (char)(i % 251));
}

/* One key of each kind, two arrays, two tensors; the last fills its padding, so no byte can be
 * spared. */
static void whole(void)
{
	static const uint8_t one[8] = { 1 };
	static const size_t bytes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
	float f = 1.5f;
	double d = -2.5;

	head(3, 2, 15);
	for (uint32_t k = 0; k < 13; k++) {
		char name[16];

		if (k == GGUF_K_STRING || k == GGUF_K_ARRAY)
			continue;
		snprintf(name, sizeof name, "k%u", k);
		key(name, k);
		if (k == GGUF_K_F32)
			buf_add(&b, &f, 4);
		else if (k == GGUF_K_F64)
			buf_add(&b, &d, 8);
		else
			buf_add(&b, one, bytes[k]);
	}
	key("s", GGUF_K_STRING);
	str("text");
	key("as", GGUF_K_ARRAY);
	u32(GGUF_K_STRING);
	u64(3);
	str("a");
	str("");
	str("ccc");
	key("au", GGUF_K_ARRAY);
	u32(GGUF_K_U16);
	u64(2);
	buf_add(&b, "\x07\x00\x09\x00", 4);
	key("neg", GGUF_K_I8);
	buf_add(&b, "\xff", 1);
	tensor("x", 1, 3, 0, GGUF_F32, 0);
	tensor("y", 2, 32, 16, GGUF_Q8_0, 32);
	data(32 + 16 * 34);
}

/* Opens b from a block of exactly its size, so that a sanitizer sees one byte too far. */
static struct gguf *open_n(const void *p, size_t n, void **block, struct err *e)
{
	struct gguf *g = NULL;

	*block = malloc(n ? n : 1);
	if (!*block)
		return NULL;
	memcpy(*block, p, n);
	if (gguf_open_mem(&g, *block, n, "mem", e)) {
		free(*block);
		*block = NULL;
		return NULL;
	}
	return g;
}

/* Every span that an opened file hands out is read to its ends. */
static unsigned walk(const struct gguf *g)
{
	unsigned sum = 0;

	for (size_t i = 0; i < gguf_n_keys(g); i++) {
		const struct gguf_key *k = gguf_key_at(g, i);
		struct str s;
		size_t at = 0;

		sum += (unsigned char)k->name.p[k->name.n - 1];
		if (k->bytes)
			sum += k->p[0] + k->p[k->bytes - 1];
		while (gguf_next_str(&s, k, &at))
			if (s.n)
				sum += (unsigned char)s.p[s.n - 1];
	}
	for (size_t i = 0; i < gguf_n_tensors(g); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(g, i);

		sum += t->data[0] + t->data[t->bytes - 1];
	}
	return sum;
}

static void refused(const char *needle, const char *what)
{
	struct err e = { 0 };
	void *block;
	struct gguf *g = open_n(b.p, b.n, &block, &e);

	OK(!g && e.code == ERR_OPEN && strstr(e.text, needle) != NULL, "refused: %s", what);
	if (g || !strstr(e.text, needle))
		printf("# %s\n", g ? "accepted" : e.text);
	gguf_close(g);
	if (g)
		free(block);
}

static void test_read(void)
{
	struct err e = { 0 };
	void *block;
	struct gguf *g;
	struct str s;
	uint32_t u;
	float f;
	size_t at = 0;
	unsigned ints = 0;

	whole();
	g = open_n(b.p, b.n, &block, &e);
	OK(g != NULL, "a file with every kind of key opens (%s)", e.text);
	if (!g)
		return;
	OK(gguf_n_keys(g) == 15 && gguf_n_tensors(g) == 2 && gguf_version(g) == 3 &&
		   gguf_n_parts(g) == 1,
	   "counts");
	for (int k = 0; k < 13; k++) {
		char name[16];

		snprintf(name, sizeof name, "k%d", k);
		ints += gguf_u32(&u, g, name, &e) == 0 && u == 1;
	}
	OK(ints == 8, "eight integer widths read as u32, floats and bool do not (%u)", ints);
	OK(!gguf_f32(&f, g, "k6", &e) && f == 1.5f && !gguf_f32(&f, g, "k12", &e) && f == -2.5f &&
		   !gguf_f32(&f, g, "k4", &e) && f == 1.0f,
	   "floats of both widths and integers read as f32");
	OK(!gguf_str(&s, g, "s", &e) && str_is(s, "text"), "a string");
	OK(gguf_bool_or(g, "k7", false) && gguf_bool_or(g, "none", true),
	   "a bool, and the default of none");
	OK(gguf_u32(&u, g, "neg", &e) && strstr(e.text, "out of range"),
	   "a negative count is out of range");
	OK(gguf_u32(&u, g, "none", &e) && strstr(e.text, "missing") && strstr(e.text, "mem"),
	   "a missing key is named with the file");
	OK(gguf_u32_or(g, "none", 7) == 7 && gguf_f32_or(g, "s", 2.0f) == 2.0f &&
		   str_is(gguf_str_or(g, "k4", STR("d")), "d"),
	   "defaults");
	OK(!gguf_elem_u32(&u, gguf_find(g, "au"), 1, &e) && u == 9 &&
		   gguf_elem_u32(&u, gguf_find(g, "au"), 2, &e) &&
		   !gguf_elem_u32(&u, gguf_find(g, "k4"), 5, &e) && u == 1,
	   "elements of an array are bounded, a scalar answers for all");
	OK(gguf_next_str(&s, gguf_find(g, "as"), &at) && str_is(s, "a") &&
		   gguf_next_str(&s, gguf_find(g, "as"), &at) && s.n == 0 &&
		   gguf_next_str(&s, gguf_find(g, "as"), &at) && str_is(s, "ccc") &&
		   !gguf_next_str(&s, gguf_find(g, "as"), &at),
	   "the strings of an array");
	OK(gguf_find_tensor(g, "y")->bytes == 16 * 34 && gguf_find_tensor(g, "y")->data[0] == 32 &&
		   gguf_find_tensor(g, "x")->ne[1] == 1 && !gguf_find_tensor(g, "z"),
	   "tensors");
	gguf_close(g);
	free(block);
}

/* Cut anywhere, the file is refused. */
static void test_truncated(void)
{
	struct err e = { 0 };
	void *block;
	size_t bad = 0;

	whole();
	for (size_t n = 0; n < b.n; n++) {
		struct gguf *g = open_n(b.p, n, &block, &e);

		if (g) {
			bad++;
			gguf_close(g);
			free(block);
		}
	}
	OK(bad == 0, "cut at each of %zu bytes it is refused (%zu were not)", b.n, bad);
}

/* Extremes at every place where a field may stand: refused, or safe to walk. */
static void test_extremes(void)
{
	static const uint64_t v[] = {
		0,          1,         0x7f,       0x7fffffff,     0x80000000u, 0xffffffffu,
		1ull << 62, INT64_MAX, 1ull << 63, UINT64_MAX - 7, UINT64_MAX
	};
	struct err e = { 0 };
	void *block;
	size_t opened = 0, tried = 0;
	unsigned sum = 0;

	whole();
	for (size_t at = 0; at + 8 <= b.n && at < 700; at++)
		for (size_t i = 0; i < 2 * sizeof v / sizeof *v; i++) {
			char keep[8];
			size_t width = i % 2 ? 8 : 4;
			struct gguf *g;

			memcpy(keep, b.p + at, 8);
			memcpy(b.p + at, &v[i / 2], width);
			g = open_n(b.p, b.n, &block, &e);
			if (g) {
				sum += walk(g);
				opened++;
				gguf_close(g);
				free(block);
			}
			tried++;
			memcpy(b.p + at, keep, 8);
		}
	OK(tried > opened && sum + opened > 0,
	   "extremes in every field: %zu of %zu refused, the others walked", tried - opened, tried);
}

static void one_key(const char *name, uint32_t kind)
{
	head(3, 0, 1);
	key(name, kind);
}

static void test_refused(void)
{
	head(3, 0, 0);
	b.p[3] = 'X';
	refused("not a GGUF", "another magic");
	head(1, 0, 0);
	refused("version 1", "version 1");
	head(0x03000000, 0, 0);
	refused("big-endian", "the other byte order");
	head(4, 0, 0);
	refused("version 4", "version 4");
	head(3, UINT64_MAX, 0);
	refused("-1 tensors", "a negative count of tensors");
	head(3, 0, 1ull << 63);
	refused("damaged", "a negative count of keys");
	head(3, 1000, 0);
	refused("past the end", "more tensors than the file can hold");
	one_key("", GGUF_K_U8);
	buf_addc(&b, 1);
	refused("0 bytes", "a key without a name");
	head(3, 0, 2);
	for (int i = 0; i < 2; i++) {
		key("k", GGUF_K_U8);
		buf_addc(&b, 1);
	}
	refused("twice", "a key that is there twice");
	one_key("k", 13);
	u64(0);
	refused("unknown type 13", "an unknown kind of value");
	one_key("k", GGUF_K_STRING);
	u64((1ull << 30) + 1);
	refused("past the end", "a string over 1 GiB");
	one_key("k", GGUF_K_ARRAY);
	u32(GGUF_K_ARRAY);
	u64(0);
	refused("arrays of arrays", "nested arrays");
	one_key("k", GGUF_K_ARRAY);
	u32(GGUF_K_U8);
	u64((1ull << 30) + 1);
	refused("damaged", "an array of more than 2^30");
	one_key("general.alignment", GGUF_K_U64);
	u64(32);
	refused("no u32", "an alignment that is no u32");
	one_key("general.alignment", GGUF_K_U32);
	u32(48);
	refused("power of two", "an alignment of 48");
	one_key("general.alignment", GGUF_K_U32);
	u32(0);
	refused("power of two", "an alignment of 0");
	head(3, 2, 0);
	tensor("t", 1, 8, 0, GGUF_F32, 0);
	tensor("t", 1, 8, 0, GGUF_F32, 32);
	data(64);
	refused("twice", "a tensor that is there twice");
	head(3, 1, 0);
	tensor("t", 1, 8, 0, 4, 0);
	data(64);
	refused("no longer in use", "a removed type");
	head(3, 1, 0);
	tensor("t", 5, 8, 8, GGUF_F32, 0);
	data(64);
	refused("5 dimensions", "five dimensions");
	head(3, 1, 0);
	tensor("t", 2, 8, UINT64_MAX, GGUF_F32, 0);
	data(64);
	refused("dimension 1 is -1", "a negative dimension");
	head(3, 1, 0);
	tensor("t", 2, 1ull << 40, 1ull << 40, GGUF_F32, 0);
	data(64);
	refused("overflows", "an overflowing product");
	head(3, 1, 0);
	tensor("t", 1, 33, 0, GGUF_Q8_0, 0);
	data(64);
	refused("whole blocks", "a row that is no whole block");
	head(3, 2, 0);
	tensor("t", 1, 8, 0, GGUF_F32, 0);
	tensor("u", 1, 8, 0, GGUF_F32, 64);
	data(128);
	refused("begin at 64", "an offset that is not the running sum");
	head(3, 1, 0);
	tensor("0123456789012345678901234567890123456789012345678901234567890123", 1, 8, 0,
	       GGUF_F32, 0);
	data(64);
	refused("64 bytes", "a tensor's name of 64 bytes");
	head(3, 1, 0);
	tensor("t", 1, 1 << 20, 0, GGUF_F32, 0);
	data(64);
	refused("not whole", "data past the end");
	one_key("split.count", GGUF_K_U16);
	buf_add(&b, "\x03\x00", 2);
	refused("split", "one part of a split model from memory");
}

/* ---- writer ------------------------------------------------------------------------------ */

static const char *path_of(const char *name)
{
	static char path[4096];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static int write_small(const char *path, const struct gguf *from, struct err *e)
{
	struct gguf_writer *w;
	static const uint32_t layers[] = { 4, 5, 6 };
	static const struct str words[] = { { "one", 3 }, { "", 0 }, { "three", 5 } };
	static const char bytes[16 * 34] = "data";
	int64_t ne[2] = { 32, 16 };

	if (gguf_writer_new(&w, path, e))
		return -1;
	if (gguf_put_str(w, "general.architecture", STR("tiny"), e) ||
	    gguf_put_u32(w, "tiny.n", 7, e) || gguf_put_f32(w, "tiny.eps", 1e-5f, e) ||
	    gguf_put_bool(w, "tiny.causal", true, e) ||
	    gguf_put_array(w, "tiny.layers", GGUF_K_U32, layers, 3, e) ||
	    gguf_put_strs(w, "tiny.words", words, 3, e))
		goto fail;
	for (size_t i = 0; from && i < gguf_n_keys(from); i++)
		if (gguf_put_raw(w, gguf_key_at(from, i), e))
			goto fail;
	if (gguf_put_tensor(w, "a", GGUF_F32, 1, (int64_t[]){ 3 }, e) ||
	    gguf_put_tensor(w, "b", GGUF_Q8_0, 2, ne, e))
		goto fail;
	/* 12 bytes of a and the first of b in one piece, the rest in two */
	if (gguf_write_data(w, "\1\2\3\4\5\6\7\10\11\12\13\14Z", 13, e) ||
	    gguf_write_data(w, bytes, 100, e) || gguf_write_data(w, bytes, 16 * 34 - 101, e))
		goto fail;
	return gguf_writer_commit(w, e);
fail:
	gguf_writer_abort(w);
	return -1;
}

static void test_write(void)
{
	struct err e = { 0 };
	void *block;
	struct gguf *from, *g = NULL;
	struct gguf_writer *w;
	struct str s;
	uint32_t u;
	int64_t ne = 33;

	whole();
	from = open_n(b.p, b.n, &block, &e);
	OK(from && !write_small(path_of("w.gguf"), from, &e) &&
		   !gguf_open(&g, path_of("w.gguf"), &e),
	   "what is written opens (%s)", e.text);
	if (!g || !from)
		return;
	OK(gguf_n_keys(g) == 21 && !gguf_str(&s, g, "s", &e) && str_is(s, "text") &&
		   gguf_find(g, "as")->bytes == gguf_find(from, "as")->bytes,
	   "keys copied raw are the same");
	OK(!gguf_elem_u32(&u, gguf_find(g, "tiny.layers"), 2, &e) && u == 6 &&
		   gguf_bool_or(g, "tiny.causal", false),
	   "keys written are read");
	OK(gguf_find_tensor(g, "a")->data[11] == 12 && gguf_find_tensor(g, "b")->data[0] == 'Z' &&
		   gguf_find_tensor(g, "b")->data[1] == 'd',
	   "data in pieces lie where they should");
	OK(gguf_part(g, 0)->n % 32 == 0, "the file ends on a border");
	gguf_close(g);
	gguf_close(from);
	free(block);

	OK(!gguf_writer_new(&w, path_of("bad.gguf"), &e), "a second file is begun");
	OK(gguf_put_tensor(w, "t", GGUF_Q8_0, 1, &ne, &e) && strstr(e.text, "shape"),
	   "rows of 33 are no Q8_0");
	OK(!gguf_put_u32(w, "k", 1, &e) && gguf_put_u32(w, "k", 1, &e), "a key twice is refused");
	ne = 32;
	OK(!gguf_put_tensor(w, "t", GGUF_F32, 1, &ne, &e), "a tensor is declared");
	OK(gguf_write_data(w, dir, 1, &e) == 0 && gguf_writer_commit(w, &e) &&
		   strstr(e.text, "missing") && access(path_of("bad.gguf"), F_OK) != 0,
	   "a file that lacks data is not left behind");
}

static int write_part(const char *path, uint32_t no, uint32_t count, const char *name,
		      struct err *e)
{
	struct gguf_writer *w;
	float x = (float)no;

	if (gguf_writer_new(&w, path, e))
		return -1;
	if (gguf_put_u32(w, "split.no", no, e) || gguf_put_u32(w, "split.count", count, e) ||
	    gguf_put_u32(w, "split.tensors.count", count, e) ||
	    gguf_put_tensor(w, name, GGUF_F32, 1, (int64_t[]){ 1 }, e) ||
	    gguf_write_data(w, &x, 4, e)) {
		gguf_writer_abort(w);
		return -1;
	}
	return gguf_writer_commit(w, e);
}

static void test_split(void)
{
	struct err e = { 0 };
	struct gguf *g = NULL;
	float x = 0;

	OK(!write_part(path_of("m-00001-of-00003.gguf"), 0, 3, "a", &e) &&
		   !write_part(path_of("m-00002-of-00003.gguf"), 1, 3, "b", &e) &&
		   !write_part(path_of("m-00003-of-00003.gguf"), 2, 3, "c", &e),
	   "three parts are written (%s)", e.text);
	OK(!gguf_open(&g, path_of("m-00002-of-00003.gguf"), &e) && gguf_n_parts(g) == 3 &&
		   gguf_n_tensors(g) == 3,
	   "any part opens the whole (%s)", e.text);
	if (g && gguf_find_tensor(g, "c"))
		memcpy(&x, gguf_find_tensor(g, "c")->data, 4);
	OK(x == 2.0f, "a tensor of the last part");
	gguf_close(g);
	OK(!write_part(path_of("m-00002-of-00003.gguf"), 1, 3, "a", &e) &&
		   gguf_open(&g, path_of("m-00001-of-00003.gguf"), &e) && strstr(e.text, "twice"),
	   "one tensor in two parts is refused");
	OK(!write_part(path_of("m-00002-of-00003.gguf"), 2, 3, "b", &e) &&
		   gguf_open(&g, path_of("m-00001-of-00003.gguf"), &e) &&
		   strstr(e.text, "says that it is part 3"),
	   "a part in the wrong place is refused");
	unlink(path_of("m-00002-of-00003.gguf"));
	OK(gguf_open(&g, path_of("m-00001-of-00003.gguf"), &e) && strstr(e.text, "00002-of"),
	   "a missing part is named");
	OK(!write_part(path_of("other.gguf"), 0, 2, "a", &e) &&
		   gguf_open(&g, path_of("other.gguf"), &e) && strstr(e.text, "must be named"),
	   "a part with another name is refused");
	for (const char *const *p =
		     (const char *const[]){ "w.gguf", "other.gguf", "m-00001-of-00003.gguf",
					    "m-00003-of-00003.gguf", NULL };
	     *p; p++)
		unlink(path_of(*p));
}

static void test_types(void)
{
	OK(gguf_type_by_name("q4_k") == GGUF_Q4_K && gguf_type_by_name("F16") == GGUF_F16 &&
		   gguf_type_by_name("q9") == -1,
	   "types by name in any case");
	OK(!gguf_type_info(4) && !gguf_type_info(GGUF_N_TYPES) && !gguf_type_info(UINT32_MAX) &&
		   gguf_type_info(GGUF_Q6_K)->bytes == 210,
	   "ids that are no types");
}

int main(void)
{
	buf_init(&b, 1 << 20);
	if (!mkdtemp(dir))
		return 1;
	test_types();
	test_read();
	test_truncated();
	test_extremes();
	test_refused();
	test_write();
	test_split();
	rmdir(dir);
	buf_release(&b);
	return tap_done();
}
