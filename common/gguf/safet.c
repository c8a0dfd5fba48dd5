/*
 * safet: safetensors files: u64 length, a JSON header, then the data. A header may promise
 * anything, so each span is checked against the file; together they must cover the data without a
 * hole or an overlap. Format: huggingface/safetensors README.md.
 */
#include "config.h"
#include "gguf/gguf_impl.h"
#include "json/json.h"
#include "base/banned.h"
#include <sys/stat.h>
#include <unistd.h>

#define SAFET_MAX_HEADER ((uint64_t)100000000) /* as the reference reader */
#define SAFET_MAX_FILES 10000
#define SAFET_MAX_NAME 1024

struct safet {
	struct os_map *files; /* [n_files] */
	size_t n_files, cap_files;
	struct gguf_tensor *tensors;
	size_t n, cap;
	struct map names;   /* tensor -> index */
	struct arena arena; /* decoded names */
};

/* Element types as GGUF calls them; what it has no word for is carried as bytes of the same
 * size. */
static int dtype(struct str s)
{
	static const struct {
		const char *name;
		int type;
	} map[] = { { "F32", GGUF_F32 }, { "F16", GGUF_F16 }, { "BF16", GGUF_BF16 },
		    { "F64", GGUF_F64 }, { "I64", GGUF_I64 }, { "I32", GGUF_I32 },
		    { "I16", GGUF_I16 }, { "I8", GGUF_I8 },   { "U8", GGUF_I8 },
		    { "BOOL", GGUF_I8 }, { "U16", GGUF_I16 }, { "U32", GGUF_I32 },
		    { "U64", GGUF_I64 } };

	for (size_t i = 0; i < sizeof map / sizeof *map; i++)
		if (str_is(s, map[i].name))
			return map[i].type;
	return -1;
}

/* The file's shape, slowest first, as ne[], fastest first. */
static int shape(struct gguf_tensor *t, struct json_val v, struct err *e)
{
	struct json_iter it = json_iter(v);
	struct json_val d;
	size_t n = json_count(v);

	if (v.type != JSON_ARRAY)
		return err_set(e, ERR_OPEN, "no shape");
	if (n > GGUF_MAX_DIMS)
		return err_set(e, ERR_OPEN, "%zu dimensions (at most %d)", n, GGUF_MAX_DIMS);
	t->n_dims = (uint32_t)n;
	for (size_t i = 0; i < GGUF_MAX_DIMS; i++)
		t->ne[i] = 1;
	while (json_next(&d, &it)) {
		int64_t ne;

		if (json_i64(&ne, d, e) || ne < 1)
			return err_set(e, ERR_OPEN, "its shape has the dimension " STR_FMT,
				       GGUF_SHOW(d.raw));
		t->ne[--n] = ne;
	}
	return 0;
}

static int offsets(uint64_t off[2], struct json_val v, struct err *e)
{
	struct json_iter it = json_iter(v);
	struct json_val x;

	if (v.type != JSON_ARRAY || json_count(v) != 2)
		return err_set(e, ERR_OPEN, "no data_offsets");
	for (size_t i = 0; json_next(&x, &it); i++)
		if (json_u64(&off[i], x, e))
			return err_wrap(e, "data_offsets");
	return 0;
}

static int read_entry(struct gguf_tensor *t, struct json_val v, struct str data, struct arena *a,
		      struct err *e)
{
	struct str type;
	uint64_t off[2] = { 0, 0 };
	int id;

	if (json_str(&type, json_get(v, "dtype"), a, e))
		return err_set(e, ERR_OPEN, "no dtype");
	id = dtype(type);
	if (id < 0)
		return err_set(
			e, ERR_OPEN,
			"elements of type %.*s are not supported; convert them to BF16 first",
			GGUF_SHOW(type));
	t->type = (uint32_t)id;
	if (shape(t, json_get(v, "shape"), e) || offsets(off, json_get(v, "data_offsets"), e))
		return -1;
	if (!gguf_tensor_bytes(&t->bytes, t->type, t->ne))
		return err_set(e, ERR_OPEN, "its size overflows");
	if (off[0] > off[1] || off[1] > data.n || off[1] - off[0] != t->bytes)
		return err_set(e, ERR_OPEN,
			       "data_offsets [%llu, %llu] do not fit %zu bytes in %zu of data",
			       (unsigned long long)off[0], (unsigned long long)off[1], t->bytes,
			       data.n);
	t->data = (const uint8_t *)data.p + off[0];
	return 0;
}

static int add_tensor(struct safet *s, const struct gguf_tensor *t, struct err *e)
{
	uint64_t *at;
	bool is_new;

	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 256;
		struct gguf_tensor *p = ckd_realloc(s->tensors, cap, sizeof *p);

		if (!p)
			return err_nomem(e);
		s->tensors = p;
		s->cap = cap;
	}
	if (s->n >= GGUF_MAX_TENSORS)
		return err_set(e, ERR_OPEN, "more than %llu tensors",
			       (unsigned long long)GGUF_MAX_TENSORS);
	if (map_put(&at, &is_new, &s->names, t->name, e))
		return -1;
	if (!is_new)
		return err_set(e, ERR_OPEN, "tensor %.*s is there twice", GGUF_SHOW(t->name));
	*at = s->n;
	s->tensors[s->n++] = *t;
	return 0;
}

static int by_data(const void *a, const void *b)
{
	const struct gguf_tensor *x = a, *y = b;

	return (x->data > y->data) - (x->data < y->data);
}

/* Sorted by place, tensors [from, s->n) must follow one another from the first byte to the last. */
static int check_cover(struct safet *s, size_t from, struct str data, struct err *e)
{
	const uint8_t *at = (const uint8_t *)data.p;

	if (s->n > from)
		qsort(s->tensors + from, s->n - from, sizeof *s->tensors, by_data);
	for (size_t i = from; i < s->n; i++) {
		uint64_t *index = map_get(&s->names, s->tensors[i].name);

		if (s->tensors[i].data != at)
			return err_set(e, ERR_OPEN,
				       "tensor %.*s: its data overlap others or leave a hole",
				       GGUF_SHOW(s->tensors[i].name));
		at += s->tensors[i].bytes;
		if (index)
			*index = i;
	}
	if (at != (const uint8_t *)data.p + data.n)
		return err_set(e, ERR_OPEN,
			       "data that belong to no tensor: it is damaged or not whole");
	return 0;
}

/* One file's bytes; they outlive s. */
static int read_bytes(struct safet *s, const uint8_t *p, size_t n, struct err *e)
{
	uint64_t len;
	size_t from = s->n;
	struct str data, key;
	struct json_val head, v;
	struct json_iter it;

	if (n < 8)
		return err_set(e, ERR_OPEN, "not a safetensors file (%zu bytes)", n);
	memcpy(&len, p, 8);
	if (len > SAFET_MAX_HEADER || len > n - 8 || len < 2 || p[8] != '{')
		return err_set(e, ERR_OPEN, "not a safetensors file, or not whole");
	if (json_parse(&head, (struct str){ (const char *)p + 8, (size_t)len }, e)) {
		if (e && e->code != ERR_NOMEM)
			e->code = ERR_OPEN;
		return err_wrap(e, "header");
	}
	data = (struct str){ (const char *)p + 8 + len, n - 8 - (size_t)len };
	it = json_iter(head);
	while (json_next_member(&key, &v, &it)) {
		struct gguf_tensor t = { 0 };
		struct json_val name = { { key.p - 1, key.n + 2 }, JSON_STRING };

		if (json_key_is(key, STR("__metadata__")))
			continue;
		if (json_str(&t.name, name, &s->arena, e))
			return err_wrap(e, "name of a tensor");
		if (t.name.n == 0 || t.name.n > SAFET_MAX_NAME)
			return err_set(e, ERR_OPEN, "a tensor's name of %zu bytes", t.name.n);
		if (read_entry(&t, v, data, &s->arena, e))
			return err_wrap(e, "tensor %.*s", GGUF_SHOW(t.name));
		if (add_tensor(s, &t, e))
			return -1;
	}
	return check_cover(s, from, data, e);
}

static int read_path(struct safet *s, const char *path, struct err *e)
{
	if (s->n_files == s->cap_files) {
		size_t cap = s->cap_files ? 2 * s->cap_files : 4;
		struct os_map *p = ckd_realloc(s->files, cap, sizeof *p);

		if (!p)
			return err_nomem(e);
		s->files = p;
		s->cap_files = cap;
	}
	if (os_map_open(&s->files[s->n_files], path, e))
		return -1;
	s->n_files++;
	if (read_bytes(s, s->files[s->n_files - 1].p, s->files[s->n_files - 1].n, e)) {
		if (e && e->code != ERR_NOMEM)
			e->code = ERR_OPEN;
		return err_wrap(e, "%s", path);
	}
	return 0;
}

/* ---- folders ----------------------------------------------------------------------------- */

/* Each file named in weight_map, once, in the order of first mention. */
static int read_index(struct safet *s, const char *dir, struct str text, struct err *e)
{
	struct json_val root, v;
	struct json_iter it;
	struct map seen;
	struct buf path;
	struct str key, file;
	int r = -1;

	map_init(&seen, true);
	buf_init(&path, 1 << 16);
	if (json_parse(&root, text, e))
		goto out;
	it = json_iter(json_get(root, "weight_map"));
	while (json_next_member(&key, &v, &it)) {
		uint64_t *at;
		bool is_new;

		if (json_str(&file, v, &s->arena, e) || map_put(&at, &is_new, &seen, file, e))
			goto out;
		if (!is_new)
			continue;
		if (memchr(file.p, '/', file.n) || memchr(file.p, 0, file.n) || file.n == 0 ||
		    seen.n > SAFET_MAX_FILES) {
			err_set(e, ERR_OPEN,
				"weight_map names the file \"%.*s\": it must lie in the folder",
				GGUF_SHOW(file));
			goto out;
		}
		buf_reset(&path);
		buf_addf(&path, "%s/", dir);
		buf_adds(&path, file);
		if (buf_check(&path, e) || read_path(s, path.p, e))
			goto out;
	}
	if (s->n_files == 0) {
		err_set(e, ERR_OPEN, "weight_map is missing or empty");
		goto out;
	}
	it = json_iter(json_get(root, "weight_map"));
	while (json_next_member(&key, &v, &it)) {
		struct str name;

		if (json_str(&name, (struct json_val){ { key.p - 1, key.n + 2 }, JSON_STRING },
			     &s->arena, e))
			goto out;
		if (!map_get(&s->names, name)) {
			err_set(e, ERR_OPEN, "tensor %.*s is in none of the files",
				GGUF_SHOW(name));
			goto out;
		}
	}
	r = 0;
out:
	if (r && e && e->code != ERR_NOMEM)
		e->code = ERR_OPEN;
	map_release(&seen);
	buf_release(&path);
	return r;
}

static int read_dir(struct safet *s, const char *dir, struct err *e)
{
	struct buf path, text;
	int r;

	buf_init(&path, 1 << 16);
	buf_init(&text, (size_t)SAFET_MAX_HEADER);
	buf_addf(&path, "%s/model.safetensors", dir);
	if (buf_check(&path, e)) {
		r = -1;
	} else if (access(path.p, F_OK) == 0) {
		r = read_path(s, path.p, e);
	} else {
		buf_addz(&path, ".index.json");
		if (buf_check(&path, e))
			r = -1;
		else if (access(path.p, F_OK))
			r = err_set(e, ERR_OPEN,
				    "%s: neither model.safetensors nor "
				    "model.safetensors.index.json is there",
				    dir);
		else if (os_read_file(&text, path.p, (size_t)SAFET_MAX_HEADER, e))
			r = -1;
		else if ((r = read_index(s, dir, buf_str(&text), e)))
			err_wrap(e, "%s", path.p);
	}
	buf_release(&path);
	buf_release(&text);
	return r;
}

static struct safet *new_safet(struct err *e)
{
	struct safet *s = calloc(1, sizeof *s);

	if (!s) {
		err_nomem(e);
		return NULL;
	}
	map_init(&s->names, false);
	arena_init(&s->arena, BUF_MAX_TEXT);
	return s;
}

int safet_open(struct safet **out, const char *path, struct err *e)
{
	struct safet *s = new_safet(e);
	struct stat st;

	if (!s)
		return -1;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? read_dir(s, path, e)
							: read_path(s, path, e)) {
		safet_close(s);
		return -1;
	}
	*out = s;
	return 0;
}

int safet_open_mem(struct safet **out, const void *p, size_t n, const char *name, struct err *e)
{
	struct safet *s = new_safet(e);

	if (!s)
		return -1;
	if (read_bytes(s, p, n, e)) {
		if (e && e->code != ERR_NOMEM)
			e->code = ERR_OPEN;
		safet_close(s);
		return err_wrap(e, "%s", name);
	}
	*out = s;
	return 0;
}

void safet_close(struct safet *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_files; i++)
		os_map_close(&s->files[i]);
	free(s->files);
	free(s->tensors);
	map_release(&s->names);
	arena_release(&s->arena);
	free(s);
}

size_t safet_n_tensors(const struct safet *s)
{
	return s->n;
}

const struct gguf_tensor *safet_tensor_at(const struct safet *s, size_t i)
{
	return &s->tensors[i];
}

const struct gguf_tensor *safet_find(const struct safet *s, const char *name)
{
	const uint64_t *i = map_get(&s->names, str_of(name));

	return i ? &s->tensors[*i] : NULL;
}
