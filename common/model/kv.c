/*
 * kv: the cache of keys and values. A page holds KERN_KV_PAGE positions of all layers: layer by layer its keys and then its
 * values, in each head by head, in each as kern_attn() has them. Pages count who refers to them; a sequence is a list of pages.
 * The memory is mapped whole and gets its pages of the machine as they are first written.
 */
#include "config.h"
#include "model/model_impl.h"
#include <errno.h>
#include <sys/mman.h>

#define PAGE KERN_KV_PAGE
#define MAX_SEQS (1 << 20)

struct seq {
	uint32_t *pages;
	int32_t n_pages, cap, len;
	uint64_t step; /* the last one that it took part in */
	bool used;
};
struct model_kv {
	const struct model *m;
	uint8_t *mem;
	size_t bytes, page_bytes;
	uint32_t *refs;  /* [n_pages] */
	uint32_t *spare; /* stack of free pages */
	uint32_t n_pages, n_spare;
	struct seq *seqs;
	int32_t n_seqs;
	uint64_t step;
};

size_t kv_head_bytes(uint32_t type, int32_t n)
{
	uint32_t block = kern_block(type);

	return block && n % (int32_t)block == 0 ? PAGE * kern_row_bytes(type, n) : 0;
}

size_t kv_layer_bytes(const struct model *m, const struct layer *y, uint32_t type)
{
	return (size_t)y->n_head_kv * (kv_head_bytes(type, m->head_dim) + kv_head_bytes(type, m->head_dim_v));
}

int kv_layout(struct model *m, struct err *e)
{
	const struct gguf_type_info *info = gguf_type_info(m->kv_type);
	size_t at = 0;

	if (m->kv_type != GGUF_F16 && m->kv_type != GGUF_F32 && m->kv_type != GGUF_Q8_0)
		return err_set(e, ERR_USAGE, "keys and values are kept as F16, F32 or Q8_0, not as %s",
			       info ? info->name : "an unknown type");
	if (!kv_head_bytes(m->kv_type, m->head_dim) || !kv_head_bytes(m->kv_type, m->head_dim_v))
		return err_set(e, ERR_USAGE, "heads of length %d and %d cannot be kept as %s: use F16", m->head_dim,
			       m->head_dim_v, info ? info->name : "this type");
	for (int32_t i = 0; i < m->info.n_layer; i++) {
		m->layers[i].kv_at = at;
		at += kv_layer_bytes(m, &m->layers[i], m->kv_type);
	}
	m->page_bytes = at;
	m->info.kv_bytes_per_token = at / PAGE;
	return 0;
}

int model_kv_new(struct model_kv **out, const struct model *m, size_t max_tokens, struct err *e)
{
	struct model_kv *kv;
	uint64_t n = (max_tokens + PAGE - 1) / PAGE, bytes, free_bytes = os_memory_available();

	if (!n || n >= UINT32_MAX || !ckd_mul_u64(&bytes, n, m->page_bytes) || bytes > SIZE_MAX)
		return err_set(e, ERR_USAGE, "a cache of %zu tokens is not possible", max_tokens);
	if (bytes > free_bytes)
		return err_set(e, ERR_NOMEM,
			       "the cache for %zu tokens takes %llu MiB (%zu bytes a token), %llu MiB are free: lower -j or the "
			       "number of tokens",
			       max_tokens, (unsigned long long)(bytes >> 20), m->page_bytes / PAGE,
			       (unsigned long long)(free_bytes >> 20));
	kv = calloc(1, sizeof *kv);
	if (!kv)
		return err_nomem(e);
	kv->m = m;
	kv->page_bytes = m->page_bytes;
	kv->bytes = (size_t)bytes;
	kv->n_pages = kv->n_spare = (uint32_t)n;
	kv->refs = calloc(n, sizeof *kv->refs);
	kv->spare = ckd_alloc(n, sizeof *kv->spare);
	kv->mem = mmap(NULL, kv->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (kv->mem == MAP_FAILED) {
		kv->mem = NULL;
		err_sys(e, ERR_NOMEM, errno, "the cache for %zu tokens", max_tokens);
		model_kv_free(kv);
		return -1;
	}
	if (!kv->refs || !kv->spare) {
		model_kv_free(kv);
		return err_nomem(e);
	}
	for (uint32_t i = 0; i < kv->n_pages; i++)
		kv->spare[i] = kv->n_pages - 1 - i;
	*out = kv;
	return 0;
}

void model_kv_free(struct model_kv *kv)
{
	if (!kv)
		return;
	for (int32_t i = 0; i < kv->n_seqs; i++)
		free(kv->seqs[i].pages);
	free(kv->seqs);
	free(kv->refs);
	free(kv->spare);
	if (kv->mem)
		munmap(kv->mem, kv->bytes);
	free(kv);
}

size_t model_kv_free_tokens(const struct model_kv *kv)
{
	return (size_t)kv->n_spare * PAGE;
}

uint8_t *kv_memory(const struct model_kv *kv)
{
	return kv->mem;
}

static struct seq *get(const struct model_kv *kv, model_seq s)
{
	return s >= 0 && s < kv->n_seqs && kv->seqs[s].used ? &kv->seqs[s] : NULL;
}

int model_seq_new(model_seq *out, struct model_kv *kv, struct err *e)
{
	struct seq *more;
	int32_t n = kv->n_seqs;

	for (int32_t i = 0; i < n; i++) {
		if (!kv->seqs[i].used) {
			kv->seqs[i].used = true;
			*out = i;
			return 0;
		}
	}
	if (n == MAX_SEQS)
		return err_set(e, ERR_NOMEM, "more than %d sequences at once", MAX_SEQS);
	more = ckd_realloc(kv->seqs, (size_t)n * 2 + 8, sizeof *more);
	if (!more)
		return err_nomem(e);
	memset(more + n, 0, ((size_t)n + 8) * sizeof *more);
	kv->seqs = more;
	kv->n_seqs = n * 2 + 8;
	more[n].used = true;
	*out = n;
	return 0;
}

static int take_page(uint32_t *out, struct model_kv *kv, struct err *e)
{
	if (!kv->n_spare)
		return err_set(e, ERR_NOMEM, "the cache of %zu tokens is full", (size_t)kv->n_pages * PAGE);
	*out = kv->spare[--kv->n_spare];
	kv->refs[*out] = 1;
	return 0;
}

static void drop_page(struct model_kv *kv, uint32_t page)
{
	if (--kv->refs[page] == 0)
		kv->spare[kv->n_spare++] = page;
}

static void drop_pages(struct model_kv *kv, struct seq *q, int32_t keep)
{
	while (q->n_pages > keep)
		drop_page(kv, q->pages[--q->n_pages]);
}

static int room(struct seq *q, int32_t n_pages, struct err *e)
{
	uint32_t *more;
	int32_t cap = q->cap ? q->cap : 4;

	if (n_pages <= q->cap)
		return 0;
	while (cap < n_pages)
		cap = cap > INT32_MAX / 2 ? n_pages : cap * 2;
	more = ckd_realloc(q->pages, (size_t)cap, sizeof *more);
	if (!more)
		return err_nomem(e);
	q->pages = more;
	q->cap = cap;
	return 0;
}

/* A page of one's own with the content of page i of q, which others may go on reading. */
static int own_page(struct model_kv *kv, struct seq *q, int32_t i, struct err *e)
{
	uint32_t page = 0;

	if (kv->refs[q->pages[i]] == 1)
		return 0;
	if (take_page(&page, kv, e))
		return -1;
	memcpy(kv->mem + page * kv->page_bytes, kv->mem + q->pages[i] * kv->page_bytes, kv->page_bytes);
	drop_page(kv, q->pages[i]);
	q->pages[i] = page;
	return 0;
}

int model_seq_reserve(struct model_kv *kv, model_seq s, int32_t n, struct err *e)
{
	struct seq *q = get(kv, s);
	int32_t pages = n / PAGE + (n % PAGE != 0), had;

	if (!q || n < 0)
		return err_set(e, ERR_INTERNAL, "no sequence %d", s);
	had = q->n_pages;
	if (n > q->len && q->len % PAGE && own_page(kv, q, q->len / PAGE, e))
		return -1;
	if (room(q, pages, e))
		return -1;
	for (; q->n_pages < pages; q->n_pages++) {
		if (take_page(&q->pages[q->n_pages], kv, e)) {
			drop_pages(kv, q, had);
			return -1;
		}
	}
	return 0;
}

int model_seq_fork(model_seq *out, struct model_kv *kv, model_seq from, int32_t n, struct err *e)
{
	struct seq *q, *src = get(kv, from);
	int32_t pages = n / PAGE + (n % PAGE != 0);

	if (!src || n < 0 || n > src->len)
		return err_set(e, ERR_INTERNAL, "sequence %d has no %d positions to share", from, n);
	if (model_seq_new(out, kv, e))
		return -1;
	q = &kv->seqs[*out];
	src = &kv->seqs[from]; /* the table may have moved */
	if (room(q, pages, e))
		goto fail;
	for (; q->n_pages < pages; q->n_pages++) {
		q->pages[q->n_pages] = src->pages[q->n_pages];
		kv->refs[q->pages[q->n_pages]]++;
	}
	q->len = n;
	if (n % PAGE && own_page(kv, q, pages - 1, e))
		goto fail;
	return 0;
fail:
	model_seq_free(kv, *out);
	return -1;
}

void model_seq_free(struct model_kv *kv, model_seq s)
{
	struct seq *q = get(kv, s);

	if (!q)
		return;
	drop_pages(kv, q, 0);
	q->len = 0;
	q->step = 0;
	q->used = false;
}

int32_t model_seq_len(const struct model_kv *kv, model_seq s)
{
	const struct seq *q = get(kv, s);

	return q ? q->len : 0;
}

void model_seq_trim(struct model_kv *kv, model_seq s, int32_t n)
{
	struct seq *q = get(kv, s);

	if (!q || n < 0)
		return;
	if (n < q->len)
		q->len = n;
	drop_pages(kv, q, q->len / PAGE + (q->len % PAGE != 0));
}

const uint32_t *kv_pages(const struct model_kv *kv, model_seq s)
{
	return kv->seqs[s].pages;
}

void kv_begin_step(struct model_kv *kv)
{
	kv->step++;
}

bool kv_join_step(struct model_kv *kv, model_seq s)
{
	struct seq *q = get(kv, s);

	if (!q || q->step == kv->step)
		return false;
	q->step = kv->step;
	return true;
}

void kv_grow(struct model_kv *kv, model_seq s, int32_t n)
{
	kv->seqs[s].len += n;
}

/* ---- on disk ----------------------------------------------------------------------------------- */

/* What begins a saved sequence; its pages follow, each behind a checksum of its number and its bytes. */
struct saved {
	char magic[8];
	uint32_t version, type, n_layer, page;
	uint64_t page_bytes;
	int32_t n;
	uint32_t crc; /* of the fields above */
};
#define SAVED_MAGIC "LLMUKV\n"
#define SAVED_VERSION 3

static uint32_t saved_crc(const struct saved *h)
{
	return hash_crc32c(0, h, offsetof(struct saved, crc));
}

static uint32_t page_crc(int32_t i, const void *p, size_t n)
{
	return hash_crc32c(hash_crc32c(0, &i, sizeof i), p, n);
}

/* What is in a page behind its first n positions becomes zeros, so that nothing foreign goes to disk. */
static void clear_rest(const struct model *m, uint8_t *page, int32_t n)
{
	for (int32_t i = 0; i < m->info.n_layer; i++) {
		const struct layer *y = &m->layers[i];
		uint8_t *p = page + y->kv_at;

		for (int32_t h = 0; h < 2 * y->n_head_kv; h++) {
			bool key = h < y->n_head_kv;
			size_t head = kv_head_bytes(m->kv_type, key ? m->head_dim : m->head_dim_v);
			/* keys lie in a line of all positions for each element, but for Q8_0 */
			size_t line = key && m->kv_type != GGUF_Q8_0 ? head / (size_t)m->head_dim : head;

			for (uint8_t *end = p + head; p < end; p += line)
				memset(p + line / PAGE * (size_t)n, 0, line - line / PAGE * (size_t)n);
		}
	}
}

static int32_t pages_of(int32_t n)
{
	return n / PAGE + (n % PAGE != 0);
}

size_t model_seq_bytes(const struct model_kv *kv, int32_t n)
{
	return sizeof(struct saved) + (size_t)pages_of(n) * (sizeof(uint32_t) + kv->page_bytes);
}

int model_seq_save(model_put_fn *put, void *arg, const struct model_kv *kv, model_seq s, int32_t n, struct err *e)
{
	const struct seq *q = get(kv, s);
	struct saved head = { .magic = SAVED_MAGIC, .version = SAVED_VERSION, .page = PAGE, .n = n };
	uint8_t *last = NULL;
	int rc;

	if (!q || n < 0 || n > q->len)
		return err_set(e, ERR_INTERNAL, "sequence %d has no %d positions to save", s, n);
	if (n % PAGE) {
		last = malloc(kv->page_bytes);
		if (!last)
			return err_nomem(e);
		memcpy(last, kv->mem + q->pages[n / PAGE] * kv->page_bytes, kv->page_bytes);
		clear_rest(kv->m, last, n % PAGE);
	}
	head.type = kv->m->kv_type;
	head.n_layer = (uint32_t)kv->m->info.n_layer;
	head.page_bytes = kv->page_bytes;
	head.crc = saved_crc(&head);
	rc = put(arg, &head, sizeof head, e);
	for (int32_t i = 0; i < pages_of(n) && !rc; i++) {
		const uint8_t *p = i == n / PAGE ? last : kv->mem + q->pages[i] * kv->page_bytes;
		uint32_t crc = page_crc(i, p, kv->page_bytes);

		rc = put(arg, &crc, sizeof crc, e) || put(arg, p, kv->page_bytes, e);
	}
	free(last);
	return rc ? -1 : 0;
}

static int check_saved(const struct model_kv *kv, struct str bytes, int32_t n, struct err *e)
{
	struct saved head;

	if (bytes.n < sizeof head)
		return err_set(e, ERR_OPEN, "a saved cache of %zu bytes is too short", bytes.n);
	memcpy(&head, bytes.p, sizeof head);
	if (memcmp(head.magic, SAVED_MAGIC, sizeof head.magic) != 0 || head.version != SAVED_VERSION)
		return err_set(e, ERR_OPEN, "no saved cache of this version");
	if (head.crc != saved_crc(&head) || head.n < n)
		return err_set(e, ERR_OPEN, "the saved cache is damaged");
	if (head.page != PAGE || head.page_bytes != kv->page_bytes || head.type != kv->m->kv_type ||
	    head.n_layer != (uint32_t)kv->m->info.n_layer)
		return err_set(e, ERR_MODEL_MISMATCH, "the saved cache is of another model or type of keys");
	if (bytes.n != model_seq_bytes(kv, head.n))
		return err_set(e, ERR_OPEN, "the saved cache is cut short, or longer than it says");
	return 0;
}

int model_seq_load(struct model_kv *kv, model_seq s, struct str bytes, int32_t n, struct err *e)
{
	struct seq *q = get(kv, s);
	const char *p = bytes.p + sizeof(struct saved);

	if (!q || q->len || n < 0)
		return err_set(e, ERR_INTERNAL, "sequence %d is not empty", s);
	if (check_saved(kv, bytes, n, e) || model_seq_reserve(kv, s, n, e))
		return -1;
	for (int32_t i = 0; i < pages_of(n); i++, p += kv->page_bytes) {
		uint8_t *page = kv->mem + q->pages[i] * kv->page_bytes;
		uint32_t crc;

		memcpy(&crc, p, sizeof crc);
		p += sizeof crc;
		memcpy(page, p, kv->page_bytes);
		if (page_crc(i, page, kv->page_bytes) != crc)
			return err_set(e, ERR_OPEN, "the saved cache is damaged");
	}
	q->len = n;
	return 0;
}
