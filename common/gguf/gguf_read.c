/*
 * gguf_read: opens GGUF files. Everything is checked here once, against what ggml's reader refuses
 * and against the size of the file; later code may trust every span. Format: ggml-org/ggml
 * docs/gguf.md.
 */
#include "config.h"
#include "gguf/gguf_impl.h"
#include "base/banned.h"

struct gguf {
	struct os_map *parts; /* [n_parts] */
	size_t n_parts;
	bool borrowed; /* the only part is somebody's memory */
	unsigned version;
	struct gguf_key *keys; /* of the first part */
	size_t n_keys;
	struct gguf_tensor *tensors; /* of all parts, in their order */
	size_t n_tensors;
	struct map key_map, tensor_map; /* name -> index */
};

/* ---- cursor ------------------------------------------------------------------------------ */

/* A place in one part. n - at never wraps: at <= n always. */
struct cur {
	const uint8_t *p;
	size_t n, at;
};

/* n bytes, or NULL when fewer are left. */
static const uint8_t *take(struct cur *c, uint64_t n)
{
	const uint8_t *p = c->p + c->at;

	if (n > c->n - c->at)
		return NULL;
	c->at += (size_t)n;
	return p;
}

static bool take_u32(uint32_t *out, struct cur *c)
{
	const uint8_t *p = take(c, 4);

	if (p)
		memcpy(out, p, 4);
	return p != NULL;
}

static bool take_u64(uint64_t *out, struct cur *c)
{
	const uint8_t *p = take(c, 8);

	if (p)
		memcpy(out, p, 8);
	return p != NULL;
}

static bool take_str(struct str *out, struct cur *c)
{
	uint64_t n;
	const uint8_t *p;

	if (!take_u64(&n, c) || n > GGUF_MAX_STRING || !(p = take(c, n)))
		return false;
	*out = (struct str){ (const char *)p, (size_t)n };
	return true;
}

static int cut(const char *what, struct err *e)
{
	return err_set(e, ERR_OPEN, "%s runs past the end of the file: it is damaged or not whole",
		       what);
}

/* ---- one part ---------------------------------------------------------------------------- */

struct part {
	struct cur c;
	uint32_t version;
	uint64_t n_keys, n_tensors;
	uint64_t align;
	struct gguf_key *keys;
	struct map map; /* key names -> index */
	/* split.*: count is 1 for a file that is whole */
	uint64_t split_no, split_count, split_tensors;
};

static int read_header(struct part *pt, struct err *e)
{
	struct cur *c = &pt->c;
	const uint8_t *magic = take(c, 4);

	if (!magic || memcmp(magic, "GGUF", 4))
		return err_set(e, ERR_OPEN, "not a GGUF file (it does not begin with \"GGUF\")");
	if (!take_u32(&pt->version, c))
		return cut("the header", e);
	if (pt->version != 0 && (pt->version & 0xffff) == 0)
		return err_set(e, ERR_OPEN, "big-endian GGUF; convert it to little-endian first");
	if (pt->version != 2 && pt->version != 3)
		return err_set(e, ERR_OPEN,
			       "GGUF version %u is not supported (2 and 3 are); convert it again",
			       pt->version);
	if (!take_u64(&pt->n_tensors, c) || !take_u64(&pt->n_keys, c))
		return cut("the header", e);
	if (pt->n_tensors > GGUF_MAX_TENSORS || pt->n_keys > GGUF_MAX_KEYS)
		return err_set(e, ERR_OPEN,
			       "the header claims %lld tensors and %lld keys: it is damaged",
			       (long long)pt->n_tensors, (long long)pt->n_keys);
	/* the least bytes that so many can have, before memory is taken for them */
	if (pt->n_keys > (c->n - c->at) / 13 || pt->n_tensors > (c->n - c->at) / 24)
		return cut("the list of keys and tensors", e);
	return 0;
}

static int read_array(struct gguf_key *k, struct cur *c, struct err *e)
{
	uint32_t elem;
	uint64_t n;
	struct str s;

	if (!take_u32(&elem, c) || !take_u64(&n, c))
		return cut("an array", e);
	if (elem > GGUF_K_F64)
		return err_set(e, ERR_OPEN, "array of unknown type %u", elem);
	if (elem == GGUF_K_ARRAY)
		return err_set(e, ERR_OPEN, "arrays of arrays are not supported");
	if (n > GGUF_MAX_ARRAY)
		return err_set(e, ERR_OPEN, "array of %llu elements: the file is damaged",
			       (unsigned long long)n);
	k->elem = (enum gguf_kind)elem;
	k->n = n;
	k->p = c->p + c->at;
	if (elem != GGUF_K_STRING) {
		if (!take(c, n * gguf_kind_bytes(k->elem)))
			return cut("an array", e);
	} else {
		for (uint64_t i = 0; i < n; i++)
			if (!take_str(&s, c))
				return cut("an array of strings", e);
	}
	k->bytes = (size_t)(c->p + c->at - k->p);
	return 0;
}

static int read_value(struct gguf_key *k, struct cur *c, struct err *e)
{
	uint32_t kind;
	struct str s;

	if (!take_u32(&kind, c))
		return cut("its value", e);
	if (kind > GGUF_K_F64)
		return err_set(e, ERR_OPEN, "value of unknown type %u", kind);
	k->kind = k->elem = (enum gguf_kind)kind;
	k->n = 1;
	if (kind == GGUF_K_ARRAY)
		return read_array(k, c, e);
	if (kind == GGUF_K_STRING) {
		if (!take_str(&s, c))
			return cut("a string", e);
		k->p = (const uint8_t *)s.p;
		k->bytes = s.n;
		return 0;
	}
	k->bytes = gguf_kind_bytes(k->kind);
	k->p = take(c, k->bytes);
	return k->p ? 0 : cut("its value", e);
}

static int read_keys(struct part *pt, struct err *e)
{
	pt->keys = calloc(pt->n_keys ? (size_t)pt->n_keys : 1, sizeof *pt->keys);
	if (!pt->keys)
		return err_nomem(e);
	for (size_t i = 0; i < pt->n_keys; i++) {
		struct gguf_key *k = &pt->keys[i];
		uint64_t *at;
		bool is_new;

		if (!take_str(&k->name, &pt->c))
			return cut("the name of a key", e);
		if (k->name.n == 0 || k->name.n > GGUF_MAX_KEY_NAME)
			return err_set(e, ERR_OPEN, "key %zu has a name of %zu bytes", i,
				       k->name.n);
		if (map_put(&at, &is_new, &pt->map, k->name, e))
			return -1;
		if (!is_new)
			return err_set(e, ERR_OPEN, "key %.*s is there twice", GGUF_SHOW(k->name));
		*at = i;
		if (read_value(k, &pt->c, e))
			return err_wrap(e, "key %.*s", GGUF_SHOW(k->name));
	}
	return 0;
}

static const struct gguf_key *part_key(const struct part *pt, const char *name)
{
	const uint64_t *i = map_get(&pt->map, str_of(name));

	return i ? &pt->keys[*i] : NULL;
}

/* A count in one of the keys of this part. */
static int part_u64(uint64_t *out, const struct part *pt, const char *name, uint64_t dflt,
		    struct err *e)
{
	const struct gguf_key *k = part_key(pt, name);
	uint32_t v;

	*out = dflt;
	if (!k)
		return 0;
	if (k->kind == GGUF_K_ARRAY || gguf_elem_u32(&v, k, 0, e))
		return err_set(e, ERR_OPEN, "key %s is no count", name);
	*out = v;
	return 0;
}

static int read_layout(struct part *pt, struct err *e)
{
	const struct gguf_key *k = part_key(pt, "general.alignment");

	if (k && k->kind != GGUF_K_U32)
		return err_set(e, ERR_OPEN, "general.alignment is no u32");
	if (part_u64(&pt->align, pt, "general.alignment", GGUF_ALIGNMENT, e) ||
	    part_u64(&pt->split_no, pt, "split.no", 0, e) ||
	    part_u64(&pt->split_count, pt, "split.count", 1, e) ||
	    part_u64(&pt->split_tensors, pt, "split.tensors.count", 0, e))
		return -1;
	if (pt->align < 8 || (pt->align & (pt->align - 1)))
		return err_set(e, ERR_OPEN,
			       "general.alignment is %llu, not a power of two from 8 up",
			       (unsigned long long)pt->align);
	if (pt->split_count == 0)
		pt->split_count = 1;
	if (pt->split_count > GGUF_MAX_PARTS || pt->split_no >= pt->split_count)
		return err_set(e, ERR_OPEN, "split.no %llu of split.count %llu",
			       (unsigned long long)pt->split_no,
			       (unsigned long long)pt->split_count);
	return 0;
}

/* Type and shape of a tensor; *off is where the file says that its data begin in the blob. */
static int read_shape(struct gguf_tensor *t, uint64_t *off, struct cur *c, struct err *e)
{
	const struct gguf_type_info *ti;

	if (!take_u32(&t->n_dims, c))
		return cut("its description", e);
	if (t->n_dims > GGUF_MAX_DIMS)
		return err_set(e, ERR_OPEN, "%u dimensions (at most %d)", t->n_dims, GGUF_MAX_DIMS);
	for (uint32_t i = 0; i < GGUF_MAX_DIMS; i++) {
		uint64_t ne = 1;

		if (i < t->n_dims && !take_u64(&ne, c))
			return cut("its description", e);
		t->ne[i] = (int64_t)ne;
		if (t->ne[i] < 1)
			return err_set(e, ERR_OPEN, "dimension %u is %lld", i, (long long)t->ne[i]);
	}
	if (!take_u32(&t->type, c) || !take_u64(off, c))
		return cut("its description", e);
	ti = gguf_type_info(t->type);
	if (!ti)
		return err_set(e, ERR_OPEN,
			       "type %u is unknown or no longer in use; quantize the model again",
			       t->type);
	if (t->ne[0] % ti->block)
		return err_set(e, ERR_OPEN, "rows of %lld elements are no whole blocks of %s (%u)",
			       (long long)t->ne[0], ti->name, ti->block);
	if (!gguf_tensor_bytes(&t->bytes, t->type, t->ne))
		return err_set(e, ERR_OPEN, "its size overflows");
	return 0;
}

/* Tensor `i` of the model; *sum is the running sum of padded sizes, which ggml's reader wants the
 * offset to be. */
static int read_tensor(struct gguf *g, size_t i, uint64_t *sum, struct part *pt, struct err *e)
{
	struct gguf_tensor *t = &g->tensors[i];
	uint64_t off = 0, *at;
	bool is_new;

	if (!take_str(&t->name, &pt->c))
		return cut("the name of a tensor", e);
	if (t->name.n == 0 || t->name.n > GGUF_MAX_TENSOR_NAME)
		return err_set(e, ERR_OPEN, "tensor %zu has a name of %zu bytes (1 to %d)", i,
			       t->name.n, GGUF_MAX_TENSOR_NAME);
	if (read_shape(t, &off, &pt->c, e))
		return err_wrap(e, "tensor %.*s", GGUF_SHOW(t->name));
	if (off != *sum)
		return err_set(e, ERR_OPEN,
			       "tensor %.*s: its data begin at %llu, not at %llu where they should",
			       GGUF_SHOW(t->name), (unsigned long long)off,
			       (unsigned long long)*sum);
	if (!ckd_add_u64(sum, *sum, t->bytes) || !gguf_align_up(sum, *sum, pt->align))
		return err_set(e, ERR_OPEN, "tensor %.*s: its size overflows", GGUF_SHOW(t->name));
	if (map_put(&at, &is_new, &g->tensor_map, t->name, e))
		return -1;
	if (!is_new)
		return err_set(e, ERR_OPEN, "tensor %.*s is there twice", GGUF_SHOW(t->name));
	*at = i;
	return 0;
}

static int read_tensors(struct gguf *g, struct part *pt, struct err *e)
{
	size_t n = (size_t)pt->n_tensors;
	struct gguf_tensor *ts = ckd_realloc(g->tensors, g->n_tensors + n + 1, sizeof *ts);
	uint64_t sum = 0, at;

	if (!ts)
		return err_nomem(e);
	g->tensors = ts;
	ts += g->n_tensors;
	for (size_t i = 0; i < n; i++) {
		ts[i] = (struct gguf_tensor){ 0 };
		if (read_tensor(g, g->n_tensors + i, &sum, pt, e))
			return -1;
	}
	if (!gguf_align_up(&at, pt->c.at, pt->align))
		return cut("the data", e);
	for (size_t i = 0; i < n; i++) {
		if (at > pt->c.n || ts[i].bytes > pt->c.n - at)
			return err_set(e, ERR_OPEN,
				       "tensor %.*s needs %zu bytes at %llu, the file has %zu: it "
				       "is not whole",
				       GGUF_SHOW(ts[i].name), ts[i].bytes, (unsigned long long)at,
				       pt->c.n);
		ts[i].data = pt->c.p + at;
		if (!ckd_add_u64(&at, at, ts[i].bytes) || !gguf_align_up(&at, at, pt->align))
			return cut("the data", e);
	}
	g->n_tensors += n;
	return 0;
}

static void part_release(struct part *pt)
{
	free(pt->keys);
	map_release(&pt->map);
}

/* Reads part `no`, mapped as g->parts[no]; the keys of the first become the model's. */
static int read_part(struct part *pt, struct gguf *g, size_t no, struct err *e)
{
	*pt = (struct part){ .c = { g->parts[no].p, g->parts[no].n, 0 } };
	map_init(&pt->map, false);
	if (read_header(pt, e) || read_keys(pt, e) || read_layout(pt, e) || read_tensors(g, pt, e))
		return -1;
	if (no == 0) {
		g->version = pt->version;
		g->keys = pt->keys;
		g->n_keys = (size_t)pt->n_keys;
		g->key_map = pt->map;
		pt->keys = NULL;
		map_init(&pt->map, false);
	}
	return 0;
}

/* ---- files ------------------------------------------------------------------------------- */

/* "…-00002-of-00003.gguf": the length of the part before "-00002-of-". False: another form or
 * count. */
static bool split_prefix(size_t *out, const char *path, uint64_t no, uint64_t count)
{
	char tail[32];
	int n = snprintf(tail, sizeof tail, "-%05llu-of-%05llu.gguf", (unsigned long long)(no + 1),
			 (unsigned long long)count);
	struct str p = str_of(path);

	if (!str_ends(p, (struct str){ tail, (size_t)n }))
		return false;
	*out = p.n - (size_t)n;
	return true;
}

static int bad_name(uint64_t no, uint64_t count, struct err *e)
{
	return err_set(e, ERR_OPEN,
		       "part %llu of %llu must be named …-%05llu-of-%05llu.gguf, beside the others",
		       (unsigned long long)no + 1, (unsigned long long)count,
		       (unsigned long long)no + 1, (unsigned long long)count);
}

static int map_part(struct gguf *g, size_t no, const char *path, struct err *e)
{
	if (os_map_open(&g->parts[no], path, e))
		return -1;
	g->n_parts = no + 1;
	return 0;
}

/* The parts of a split file after its first: g->parts has room for all. */
static int open_rest(struct gguf *g, const char *path, const struct part *first, struct err *e)
{
	uint64_t count = first->split_count;
	size_t prefix;
	struct buf name;
	int r = -1;

	buf_init(&name, 1 << 16);
	if (!split_prefix(&prefix, path, 0, count)) {
		bad_name(0, count, e);
		goto out;
	}
	for (size_t i = 1; i < count; i++) {
		struct part pt;
		bool bad;

		buf_reset(&name);
		buf_add(&name, path, prefix);
		buf_addf(&name, "-%05zu-of-%05llu.gguf", i + 1, (unsigned long long)count);
		if (buf_check(&name, e) || map_part(g, i, name.p, e))
			goto out;
		bad = read_part(&pt, g, i, e) != 0;
		if (!bad && (pt.split_no != i || pt.split_count != count))
			bad = err_set(e, ERR_OPEN, "says that it is part %llu of %llu",
				      (unsigned long long)pt.split_no + 1,
				      (unsigned long long)pt.split_count) != 0;
		part_release(&pt);
		if (bad) {
			err_wrap(e, "%s", name.p);
			goto out;
		}
	}
	if (first->split_tensors && first->split_tensors != g->n_tensors) {
		err_set(e, ERR_OPEN, "the parts hold %zu tensors together, the first promises %llu",
			g->n_tensors, (unsigned long long)first->split_tensors);
		goto out;
	}
	r = 0;
out:
	buf_release(&name);
	return r;
}

static struct gguf *new_gguf(size_t parts)
{
	struct gguf *g = calloc(1, sizeof *g);

	if (!g)
		return NULL;
	map_init(&g->key_map, false);
	map_init(&g->tensor_map, false);
	g->parts = calloc(parts, sizeof *g->parts);
	if (!g->parts) {
		free(g);
		return NULL;
	}
	return g;
}

static int open_from_first(struct gguf **out, const char *path, uint64_t parts, struct err *e)
{
	struct gguf *g = new_gguf((size_t)parts);
	struct part pt = { 0 };
	int r = -1;

	if (!g)
		return err_nomem(e);
	map_init(&pt.map, false);
	if (!map_part(g, 0, path, e)) {
		r = read_part(&pt, g, 0, e);
		if (!r && pt.split_count != parts)
			r = bad_name(pt.split_no, pt.split_count, e);
		else if (!r && parts > 1)
			r = open_rest(g, path, &pt, e);
		if (r)
			err_wrap(e, "%s", path);
	}
	part_release(&pt);
	if (r) {
		gguf_close(g);
		return -1;
	}
	*out = g;
	return 0;
}

/* How many parts, and which of them this is; header and keys only. */
static int probe(uint64_t *no, uint64_t *count, const char *path, struct err *e)
{
	struct os_map m;
	struct part pt = { 0 };
	int r;

	if (os_map_open(&m, path, e))
		return -1;
	pt.c = (struct cur){ m.p, m.n, 0 };
	map_init(&pt.map, false);
	r = read_header(&pt, e) || read_keys(&pt, e) || read_layout(&pt, e);
	if (r)
		err_wrap(e, "%s", path);
	*no = pt.split_no;
	*count = pt.split_count;
	part_release(&pt);
	os_map_close(&m);
	return r ? -1 : 0;
}

int gguf_open(struct gguf **out, const char *path, struct err *e)
{
	uint64_t no, count;
	size_t prefix;
	struct buf first;
	int r;

	/* Only a name of the split form is looked at twice: keys of a large vocabulary take
	 * milliseconds. */
	if (!strstr(path, "-of-"))
		return open_from_first(out, path, 1, e);
	if (probe(&no, &count, path, e))
		return -1;
	if (count == 1)
		return open_from_first(out, path, 1, e);
	if (!split_prefix(&prefix, path, no, count))
		return bad_name(no, count, e), err_wrap(e, "%s", path);
	buf_init(&first, 1 << 16);
	buf_add(&first, path, prefix);
	buf_addf(&first, "-00001-of-%05llu.gguf", (unsigned long long)count);
	r = buf_check(&first, e) || open_from_first(out, first.p, count, e) ? -1 : 0;
	buf_release(&first);
	return r;
}

int gguf_open_mem(struct gguf **out, const void *p, size_t n, const char *name, struct err *e)
{
	struct gguf *g = new_gguf(1);
	struct part pt = { 0 };
	int r;

	if (!g)
		return err_nomem(e);
	g->borrowed = true;
	g->parts[0] = (struct os_map){ .p = p, .n = n, .path = strdup(name) };
	g->n_parts = 1;
	map_init(&pt.map, false);
	r = g->parts[0].path ? read_part(&pt, g, 0, e) : err_nomem(e);
	if (!r && pt.split_count > 1)
		r = err_set(e, ERR_OPEN, "one part of a split file; open it by its path");
	part_release(&pt);
	if (r) {
		err_wrap(e, "%s", name);
		gguf_close(g);
		return -1;
	}
	*out = g;
	return 0;
}

void gguf_close(struct gguf *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n_parts; i++) {
		if (g->borrowed)
			free(g->parts[i].path);
		else
			os_map_close(&g->parts[i]);
	}
	free(g->parts);
	free(g->keys);
	free(g->tensors);
	map_release(&g->key_map);
	map_release(&g->tensor_map);
	free(g);
}

/* ---- what is in it ----------------------------------------------------------------------- */

const char *gguf_path(const struct gguf *g)
{
	return g->parts[0].path;
}

unsigned gguf_version(const struct gguf *g)
{
	return g->version;
}

size_t gguf_n_parts(const struct gguf *g)
{
	return g->n_parts;
}

const struct os_map *gguf_part(const struct gguf *g, size_t i)
{
	return &g->parts[i];
}

size_t gguf_n_keys(const struct gguf *g)
{
	return g->n_keys;
}

const struct gguf_key *gguf_key_at(const struct gguf *g, size_t i)
{
	return &g->keys[i];
}

size_t gguf_n_tensors(const struct gguf *g)
{
	return g->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i)
{
	return &g->tensors[i];
}

const struct gguf_key *gguf_find(const struct gguf *g, const char *name)
{
	const uint64_t *i = map_get(&g->key_map, str_of(name));

	return i ? &g->keys[*i] : NULL;
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name)
{
	const uint64_t *i = map_get(&g->tensor_map, str_of(name));

	return i ? &g->tensors[*i] : NULL;
}
