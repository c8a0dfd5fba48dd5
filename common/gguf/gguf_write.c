/* gguf_write: writes GGUF v3: keys and tensor descriptions are gathered, then the data stream
 * through. */
#include "config.h"
#include "gguf/gguf_impl.h"
#include "base/banned.h"
#include <sys/mman.h>

struct gguf_writer {
	struct os_atomic *file;
	char *path;
	struct buf kv, infos;
	struct map keys, tensors; /* names seen */
	uint64_t align;
	size_t *bytes; /* [n_tensors] of each tensor */
	size_t n_tensors, cap;
	uint64_t data_off;    /* where the next tensor goes */
	bool started;         /* the header is out */
	size_t cur, cur_done; /* tensor being written, bytes of it that are out */
};

static void writer_free(struct gguf_writer *w)
{
	buf_release(&w->kv);
	buf_release(&w->infos);
	map_release(&w->keys);
	map_release(&w->tensors);
	free(w->bytes);
	free(w->path);
	free(w);
}

int gguf_writer_new(struct gguf_writer **out, const char *path, struct err *e)
{
	struct gguf_writer *w = calloc(1, sizeof *w);

	if (!w)
		return err_nomem(e);
	buf_init(&w->kv, BUF_MAX_TEXT);
	buf_init(&w->infos, BUF_MAX_TEXT);
	map_init(&w->keys, true);
	map_init(&w->tensors, true);
	w->align = GGUF_ALIGNMENT;
	w->path = strdup(path);
	if (!w->path || os_atomic_open(&w->file, path, 0666, e)) {
		if (!w->path)
			err_nomem(e);
		writer_free(w);
		return -1;
	}
	*out = w;
	return 0;
}

void gguf_writer_abort(struct gguf_writer *w)
{
	if (!w)
		return;
	os_atomic_abort(w->file);
	writer_free(w);
}

/* ---- keys -------------------------------------------------------------------------------- */

static void add_u32(struct buf *b, uint32_t v)
{
	buf_add(b, &v, sizeof v);
}

static void add_u64(struct buf *b, uint64_t v)
{
	buf_add(b, &v, sizeof v);
}

static void add_str(struct buf *b, struct str s)
{
	add_u64(b, s.n);
	buf_adds(b, s);
}

/* The name of a new entry; one that was there is the caller's mistake or a hostile file's. */
static int claim(struct map *m, struct str name, size_t max, struct err *e)
{
	uint64_t *at;
	bool is_new;

	if (name.n == 0 || name.n > max)
		return err_set(e, ERR_OPEN, "%.*s: a name of %zu bytes (1 to %zu)", GGUF_SHOW(name),
			       name.n, max);
	if (map_put(&at, &is_new, m, name, e))
		return -1;
	return is_new ? 0 : err_set(e, ERR_OPEN, "%.*s is there twice", GGUF_SHOW(name));
}

int gguf_put_raw(struct gguf_writer *w, const struct gguf_key *k, struct err *e)
{
	if (w->started)
		return err_set(e, ERR_INTERNAL, "key %.*s comes after the data",
			       GGUF_SHOW(k->name));
	if (claim(&w->keys, k->name, GGUF_MAX_KEY_NAME, e))
		return -1;
	if (str_is(k->name, "general.alignment")) {
		uint32_t v;

		if (gguf_elem_u32(&v, k, 0, e))
			return -1;
		if (k->kind != GGUF_K_U32 || v < 8 || (v & (v - 1)) || w->n_tensors)
			return err_set(e, ERR_OPEN, "general.alignment %u is not possible", v);
		w->align = v;
	}
	add_str(&w->kv, k->name);
	add_u32(&w->kv, (uint32_t)k->kind);
	if (k->kind == GGUF_K_STRING)
		add_u64(&w->kv, k->bytes);
	if (k->kind == GGUF_K_ARRAY) {
		add_u32(&w->kv, (uint32_t)k->elem);
		add_u64(&w->kv, k->n);
	}
	buf_add(&w->kv, k->p, k->bytes);
	return buf_check(&w->kv, e);
}

static int put_scalar(struct gguf_writer *w, const char *key, enum gguf_kind kind, const void *v,
		      size_t n, struct err *e)
{
	struct gguf_key k = {
		.name = str_of(key), .kind = kind, .elem = kind, .n = 1, .p = v, .bytes = n
	};

	return gguf_put_raw(w, &k, e);
}

int gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v, struct err *e)
{
	return put_scalar(w, key, GGUF_K_U32, &v, sizeof v, e);
}

int gguf_put_i32(struct gguf_writer *w, const char *key, int32_t v, struct err *e)
{
	return put_scalar(w, key, GGUF_K_I32, &v, sizeof v, e);
}

int gguf_put_f32(struct gguf_writer *w, const char *key, float v, struct err *e)
{
	return put_scalar(w, key, GGUF_K_F32, &v, sizeof v, e);
}

int gguf_put_bool(struct gguf_writer *w, const char *key, bool v, struct err *e)
{
	uint8_t b = v;

	return put_scalar(w, key, GGUF_K_BOOL, &b, sizeof b, e);
}

int gguf_put_str(struct gguf_writer *w, const char *key, struct str v, struct err *e)
{
	return put_scalar(w, key, GGUF_K_STRING, v.p, v.n, e);
}

int gguf_put_array(struct gguf_writer *w, const char *key, enum gguf_kind elem, const void *v,
		   uint64_t n, struct err *e)
{
	struct gguf_key k = {
		.name = str_of(key), .kind = GGUF_K_ARRAY, .elem = elem, .n = n, .p = v
	};

	if (!gguf_kind_bytes(elem) || n > GGUF_MAX_ARRAY)
		return err_set(e, ERR_INTERNAL, "key %s: array of kind %d, %llu elements", key,
			       (int)elem, (unsigned long long)n);
	k.bytes = (size_t)n * gguf_kind_bytes(elem);
	return gguf_put_raw(w, &k, e);
}

int gguf_put_strs(struct gguf_writer *w, const char *key, const struct str *v, uint64_t n,
		  struct err *e)
{
	struct gguf_key k = {
		.name = str_of(key), .kind = GGUF_K_ARRAY, .elem = GGUF_K_STRING, .n = n
	};
	struct buf b;
	int r;

	buf_init(&b, BUF_MAX_TEXT);
	for (uint64_t i = 0; i < n; i++)
		add_str(&b, v[i]);
	r = buf_check(&b, e);
	k.p = (const uint8_t *)buf_str(&b).p;
	k.bytes = b.n;
	if (!r)
		r = gguf_put_raw(w, &k, e);
	buf_release(&b);
	return r;
}

/* ---- tensors ----------------------------------------------------------------------------- */

int gguf_put_tensor(struct gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims,
		    const int64_t *ne, struct err *e)
{
	int64_t full[GGUF_MAX_DIMS] = { 1, 1, 1, 1 };
	size_t bytes;

	if (w->started || n_dims > GGUF_MAX_DIMS)
		return err_set(e, ERR_INTERNAL,
			       "tensor %s comes after the data or has %u dimensions", name, n_dims);
	for (uint32_t i = 0; i < n_dims; i++)
		full[i] = ne[i];
	if (!gguf_tensor_bytes(&bytes, type, full))
		return err_set(e, ERR_OPEN, "tensor %s: its shape does not fit its type", name);
	if (claim(&w->tensors, str_of(name), GGUF_MAX_TENSOR_NAME, e))
		return -1;
	if (w->n_tensors == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 64;
		size_t *p = ckd_realloc(w->bytes, cap, sizeof *p);

		if (!p)
			return err_nomem(e);
		w->bytes = p;
		w->cap = cap;
	}
	w->bytes[w->n_tensors++] = bytes;
	add_str(&w->infos, str_of(name));
	add_u32(&w->infos, n_dims);
	for (uint32_t i = 0; i < n_dims; i++)
		add_u64(&w->infos, (uint64_t)full[i]);
	add_u32(&w->infos, type);
	add_u64(&w->infos, w->data_off);
	if (!ckd_add_u64(&w->data_off, w->data_off, bytes) ||
	    !gguf_align_up(&w->data_off, w->data_off, w->align))
		return err_set(e, ERR_OPEN, "tensor %s: the file would be too large", name);
	return buf_check(&w->infos, e);
}

/* Zeros from n up to the next border. */
static int pad(struct gguf_writer *w, uint64_t n, struct err *e)
{
	static const char zeros[4096];
	uint64_t end, left;

	if (!gguf_align_up(&end, n, w->align))
		return err_set(e, ERR_OPEN, "the file would be too large");
	for (left = end - n; left; left -= left < sizeof zeros ? left : sizeof zeros)
		if (os_atomic_write(w->file, zeros, left < sizeof zeros ? left : sizeof zeros, e))
			return -1;
	return 0;
}

/* All that comes before the data. */
static int add_header(struct buf *h, const struct gguf_writer *w, struct err *e)
{
	uint64_t end;

	buf_addz(h, "GGUF");
	add_u32(h, 3);
	add_u64(h, w->n_tensors);
	add_u64(h, w->keys.n);
	buf_adds(h, buf_str(&w->kv));
	buf_adds(h, buf_str(&w->infos));
	if (!gguf_align_up(&end, h->n, w->align))
		return err_set(e, ERR_OPEN, "the file would be too large");
	while (h->n < end && !buf_check(h, NULL))
		buf_addc(h, 0);
	return buf_check(&w->kv, e) || buf_check(&w->infos, e) || buf_check(h, e) ? -1 : 0;
}

static int start(struct gguf_writer *w, struct err *e)
{
	struct buf h;
	int r;

	w->started = true;
	buf_init(&h, BUF_MAX_TEXT);
	r = add_header(&h, w, e) || os_atomic_write(w->file, h.p, h.n, e);
	buf_release(&h);
	return r ? -1 : 0;
}

/* Pages that nobody writes to cost nothing, so the data may be larger than memory. */
int gguf_writer_try(const struct gguf_writer *w, const char *name, int (*look)(void *arg, const struct gguf *g, struct err *e),
		    void *arg, struct err *e)
{
	struct gguf *g = NULL;
	struct buf h;
	uint64_t n;
	void *p;
	int r;

	buf_init(&h, BUF_MAX_TEXT);
	r = add_header(&h, w, e);
	if (!r && (!ckd_add_u64(&n, h.n, w->data_off) || n > SIZE_MAX / 2))
		r = err_set(e, ERR_OPEN, "the file would be too large");
	if (!r) {
		p = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED) {
			r = err_nomem(e);
		} else {
			memcpy(p, h.p, h.n);
			r = gguf_open_mem(&g, p, (size_t)n, name, e) || look(arg, g, e);
			gguf_close(g);
			munmap(p, (size_t)n);
		}
	}
	buf_release(&h);
	return r ? -1 : 0;
}

int gguf_write_data(struct gguf_writer *w, const void *p, size_t n, struct err *e)
{
	const uint8_t *from = p;

	if (!w->started && start(w, e))
		return -1;
	while (n) {
		size_t part;

		if (w->cur == w->n_tensors)
			return err_set(e, ERR_INTERNAL, "%s: %zu bytes more than were declared",
				       w->path, n);
		part = w->bytes[w->cur] - w->cur_done;
		if (part > n)
			part = n;
		if (os_atomic_write(w->file, from, part, e))
			return -1;
		from += part;
		n -= part;
		w->cur_done += part;
		if (w->cur_done == w->bytes[w->cur]) {
			if (pad(w, w->bytes[w->cur], e)) /* each begins on a border */
				return -1;
			w->cur++;
			w->cur_done = 0;
		}
	}
	return 0;
}

int gguf_writer_commit(struct gguf_writer *w, struct err *e)
{
	struct os_atomic *file = w->file;
	int r = 0;

	if (!w->started)
		r = start(w, e);
	if (!r && w->cur != w->n_tensors)
		r = err_set(e, ERR_INTERNAL, "%s: data of %zu tensors are missing", w->path,
			    w->n_tensors - w->cur);
	writer_free(w);
	if (r) {
		os_atomic_abort(file);
		return -1;
	}
	return os_atomic_commit(file, e);
}
