/*
 * Any bytes as JSON: every scanner says the same as the scalar one; all that is valid is walked,
 * decoded, edited, written again and parsed again.
 */
#include "config.h"
#include "json/json_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond))                                                                       \
			__builtin_trap();                                                          \
	} while (0)

static struct arena arena;

/* One level: its parts in turn, and that they lie in it. */
static void walk(struct json_val v, size_t depth)
{
	struct json_iter it = json_iter(v);
	struct json_val x;
	struct str key, s;
	size_t n = 0;
	struct err e;
	float *f;
	int32_t *t;
	double d;
	int64_t i;
	uint64_t u;

	MUST(depth <= JSON_DEPTH_MAX);
	if (!json_str(&s, v, &arena, &e))
		MUST(utf8_valid(s) == s.n);
	json_i64(&i, v, &e);
	json_u64(&u, v, &e);
	json_f64(&d, v, &e);
	json_i32s(&t, &n, v, &arena, &e);
	if (!json_f32s(&f, &n, v, &arena, &e) && v.type == JSON_ARRAY)
		MUST(n == json_count(v));
	n = 0;
	while (v.type == JSON_OBJECT ? json_next_member(&key, &x, &it) : json_next(&x, &it)) {
		MUST(x.raw.p > v.raw.p && x.raw.n && x.raw.p + x.raw.n < v.raw.p + v.raw.n);
		walk(x, depth + 1);
		n++;
	}
	MUST(n == json_count(v));
}

static void parsed_again(const struct buf *b, struct json_val want, bool equal)
{
	struct json_val v;
	struct err e;

	MUST(!json_parse(&v, buf_str(b), &e));
	MUST(!equal || json_equal(v, want));
}

static void edit(struct json_val obj, struct buf *b)
{
	struct json_member m[16];
	struct json_edit ed;
	struct json_val v;
	struct str name = STR("a"), none = { NULL, 0 };
	struct json_iter it = json_iter(obj);
	struct buf again;
	size_t n;

	if (json_next_member(&name, &v, &it) && memchr(name.p, '\\', name.n ? name.n : 1))
		name = STR("a");
	json_edit_init(&ed);
	MUST(!json_edit_set(&ed, STR("new"), STR("[1]"), NULL));
	MUST(!json_edit_set(&ed, name, STR("null"), NULL) &&
	     !json_edit_remove(&ed, STR("b"), NULL));
	buf_reset(b);
	MUST(!json_edit_put(b, obj, &ed, NULL));
	parsed_again(b, obj, false);
	buf_init(&again, (size_t)1 << 28);
	MUST(!json_parse_members(&v, m, &n, 16, obj.raw, NULL) && n == json_count(obj));
	if (n <= 16) {
		MUST(!json_edit_put_members(&again, v, m, n, &ed, NULL));
		MUST(str_eq(buf_str(&again), buf_str(b)));
	}
	buf_release(&again);
	MUST(!json_parse(&v, buf_str(b), NULL) && json_get(v, "b").type == JSON_NONE);
	MUST(str_is(json_get(v, "new").raw, "[1]") || str_is(name, "new"));
	/* nothing to change: nothing changes */
	json_edit_init(&ed);
	MUST(!json_edit_remove(&ed, STR("no such member, surely"), NULL) || none.n);
	buf_reset(b);
	if (json_get(obj, "no such member, surely").type == JSON_NONE)
		MUST(!json_edit_put(b, obj, &ed, NULL) && str_eq(buf_str(b), obj.raw));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct err e = { 0 };
	struct json_val v, x;
	struct json_w w;
	struct buf b;
	size_t used;
	int bad;

	if (!arena.max)
		arena_init(&arena, (size_t)1 << 28);
	buf_init(&b, (size_t)1 << 28);
	bad = json_parse_with(&v, text, &json_ops_scalar, &e);
#ifdef __x86_64__
	struct err other = { 0 };

	MUST(json_parse_with(&x, text, &json_ops_sse2, &other) == bad);
	MUST(bad ? e.code == other.code && !strcmp(e.text, other.text) : str_eq(x.raw, v.raw));
	if (__builtin_cpu_supports("avx2")) {
		MUST(json_parse_with(&x, text, &json_ops_avx2, &other) == bad);
		MUST(bad ? e.code == other.code && !strcmp(e.text, other.text)
			 : str_eq(x.raw, v.raw));
	}
#endif
	MUST(bad || (!json_parse_prefix(&x, &used, text, &e) && str_eq(x.raw, v.raw)));
	if (!bad) {
		walk(v, 0);
		MUST(json_equal(v, v) && !json_pretty(&b, v, (unsigned)(size % 3), NULL));
		parsed_again(&b, v, true);
		if (v.type == JSON_OBJECT)
			edit(v, &b);
	}
	/* any bytes can be written as a string */
	buf_reset(&b);
	w = json_w(&b);
	json_w_str(&w, text);
	MUST(!json_parse(&v, buf_str(&b), &e) && !json_str(&text, v, &arena, &e));
	if (utf8_valid((struct str){ (const char *)data, size }) == size)
		MUST(str_eq(text, ((struct str){ (const char *)data, size })));
	buf_reset(&b);
	if (!json_base64_get(&b, (struct str){ (const char *)data, size }, NULL)) {
		struct buf back;

		buf_init(&back, (size_t)1 << 28);
		json_base64_put(&back, b.p, b.n);
		MUST(str_eq(buf_str(&back), ((struct str){ (const char *)data, size })));
		buf_release(&back);
	}
	buf_release(&b);
	arena_reset(&arena);
	return 0;
}
