/* prompt_cache: the folder of prefixes. */
#include "config.h"
#include "llm/prompt_cache.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	MAX_FILES = 1024,       /* looked at */
	MAX_SAVES = 8,          /* a run */
	NAME = 16 + 1 + 16 + 3, /* "KEY-IDS.kv" */
};
#define MAX_BYTES ((uint64_t)4 << 30) /* of the folder */
#define MAX_ONE (MAX_BYTES / 4)       /* of a file */
#define MAX_IDS (1 << 24)

struct head { /* the ids follow, then the bytes of model_seq_save() */
	char magic[8];
	uint32_t version;
	int32_t n;
	uint8_t key[HASH_SHA256_LEN];
	uint64_t hash; /* of the fields above and the ids */
};
#define MAGIC "LLMUPC\n"
#define FORMAT 1

struct prefix {
	char name[NAME + 1];
	int32_t *ids, n; /* n 0: no good */
};
struct prompt_cache {
	char *dir;
	uint8_t key[HASH_SHA256_LEN];
	llm_note_fn *note;
	void *arg;
	struct prefix v[MAX_FILES + MAX_SAVES];
	size_t n;
	unsigned n_saved;
	bool no_writing;
};

static void say(const struct prompt_cache *c, bool warn, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void say(const struct prompt_cache *c, bool warn, const char *fmt, ...)
{
	char text[1536];
	va_list ap;

	if (!c->note)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	c->note(c->arg, warn, text);
}

static uint64_t hash_of(const struct head *h, const int32_t *ids)
{
	return hash64(ids, (size_t)h->n * sizeof *ids, hash64(h, offsetof(struct head, hash), 0));
}

static struct head head_of(const struct prompt_cache *c, const int32_t *ids, int32_t n)
{
	struct head h = { .magic = MAGIC, .version = FORMAT, .n = n };

	memcpy(h.key, c->key, sizeof h.key);
	h.hash = hash_of(&h, ids);
	return h;
}

static void name_of(char out[NAME + 1], const struct prompt_cache *c, const int32_t *ids, int32_t n)
{
	char key[17];

	hash_hex(key, c->key, 8);
	snprintf(out, NAME + 1, "%s-%016llx.kv", key,
		 (unsigned long long)hash64(ids, (size_t)n * sizeof *ids, 0));
}

/* Is it a name of this kind, of any key, or of one under way ("….kv.tmp.PID")? */
static bool is_name(const char *name, bool *temp)
{
	size_t n = strlen(name);

	*temp = n > NAME && !strncmp(name + NAME, ".tmp.", 5);
	if (n < NAME || (n > NAME && !*temp) || strncmp(name + NAME - 3, ".kv", 3) ||
	    name[16] != '-')
		return false;
	return strspn(name, "0123456789abcdef") == 16 &&
	       strspn(name + 17, "0123456789abcdef") == 16;
}

static int path_of(struct buf *b, const struct prompt_cache *c, const char *name, struct err *e)
{
	buf_init(b, 1 << 16);
	buf_addf(b, "%s/%s", c->dir, name);
	return buf_check(b, e);
}

/* Maps a file and checks its head. *ids borrows the map. */
static int open_file(struct os_map *m, struct head *h, const int32_t **ids,
		     const struct prompt_cache *c, const char *name, struct err *e)
{
	struct buf path;
	int rc = path_of(&path, c, name, e) || os_map_open(m, path.p, e);

	buf_release(&path);
	if (rc)
		return -1;
	if (m->n >= sizeof *h)
		memcpy(h, m->p, sizeof *h);
	if (m->n < sizeof *h || memcmp(h->magic, MAGIC, sizeof h->magic) || h->version != FORMAT)
		err_set(e, ERR_OPEN, "it is no file of this version");
	else if (memcmp(h->key, c->key, sizeof h->key))
		err_set(e, ERR_OPEN, "it is another model's");
	else if (h->n < 1 || h->n > MAX_IDS || (m->n - sizeof *h) / sizeof **ids < (size_t)h->n)
		err_set(e, ERR_OPEN, "it is cut short");
	else {
		*ids = (const int32_t *)(const void *)(m->p + sizeof *h);
		if (h->hash == hash_of(h, *ids))
			return 0;
		err_set(e, ERR_OPEN, "it is damaged");
	}
	os_map_close(m);
	return -1;
}

/* Of two files of one kind the same is asked: is it good, and what are its ids? */
static int add_file(struct prompt_cache *c, const char *name, struct err *e)
{
	struct prefix *p = &c->v[c->n];
	struct err why = { 0 };
	struct os_map m;
	struct head h;
	const int32_t *ids;

	if (open_file(&m, &h, &ids, c, name, &why)) {
		say(c, false, "prompt cache: %s/%s is left aside: %s", c->dir, name, why.text);
		return 0;
	}
	p->ids = ckd_alloc((size_t)h.n, sizeof *p->ids);
	if (p->ids) {
		memcpy(p->ids, ids, (size_t)h.n * sizeof *ids);
		memcpy(p->name, name, sizeof p->name);
		p->n = h.n;
		c->n++;
	}
	os_map_close(&m);
	return p->ids ? 0 : err_nomem(e);
}

static int read_folder(struct prompt_cache *c, struct err *e)
{
	char mine[17];
	struct dirent *d;
	DIR *dir = opendir(c->dir);
	bool temp;
	int rc = 0;

	if (!dir)
		return err_sys(e, ERR_OPEN, errno, "%s", c->dir);
	hash_hex(mine, c->key, 8);
	while (!rc && c->n < MAX_FILES && (d = readdir(dir)))
		if (is_name(d->d_name, &temp) && !temp && !strncmp(d->d_name, mine, 16))
			rc = add_file(c, d->d_name, e);
	closedir(dir);
	return rc;
}

int prompt_cache_open(struct prompt_cache **out, const char *dir,
		      const uint8_t key[HASH_SHA256_LEN], llm_note_fn *note, void *arg,
		      struct err *e)
{
	struct prompt_cache *c = calloc(1, sizeof *c);
	struct err why = { 0 };

	*out = NULL;
	if (!c)
		return err_nomem(e);
	c->note = note;
	c->arg = arg;
	memcpy(c->key, key, sizeof c->key);
	c->dir = strdup(dir);
	if (!c->dir) {
		free(c);
		return err_nomem(e);
	}
	if (os_mkdirs(dir, 0700, &why) || read_folder(c, &why)) {
		say(c, true, "no prompt cache: %s", why.text);
		prompt_cache_close(c);
		return 0;
	}
	*out = c;
	return 0;
}

void prompt_cache_close(struct prompt_cache *c)
{
	for (size_t i = 0; c && i < c->n; i++)
		free(c->v[i].ids);
	if (c)
		free(c->dir);
	free(c);
}

static int32_t common(const int32_t *a, int32_t na, const int32_t *b, int32_t nb)
{
	int32_t n = na < nb ? na : nb, i = 0;

	while (i < n && a[i] == b[i])
		i++;
	return i;
}

int32_t prompt_cache_find(size_t *which, int32_t *of, const struct prompt_cache *c,
			  const int32_t *ids, int32_t n)
{
	int32_t best = 0, len = 0;

	for (size_t i = 0; i < c->n; i++) {
		int32_t k = common(c->v[i].ids, c->v[i].n, ids, n);

		/* of two that serve alike the shorter one */
		if (k > best || (k && k == best && c->v[i].n < len)) {
			best = k;
			len = c->v[i].n;
			*which = i;
		}
	}
	if (of)
		*of = len;
	return best;
}

int prompt_cache_load(struct model_kv *kv, model_seq s, struct prompt_cache *c, size_t which,
		      int32_t n, struct err *e)
{
	struct prefix *p = &c->v[which];
	struct buf path;
	struct os_map m;
	struct head h;
	const int32_t *ids;
	int rc = open_file(&m, &h, &ids, c, p->name, e);

	if (!rc) {
		size_t at = sizeof h + (size_t)h.n * sizeof *ids;

		if (common(ids, h.n, p->ids, n) < n)
			rc = err_set(e, ERR_OPEN, "it is another one now");
		else
			rc = model_seq_load(kv, s, (struct str){ (const char *)m.p + at, m.n - at },
					    n, e);
		os_map_close(&m);
	}
	if (!rc) {
		say(c, false, "prompt cache: %d tokens from %s/%s", n, c->dir, p->name);
		if (!path_of(&path, c, p->name,
			     NULL)) /* the oldest go first; a read-only folder has its own order */
			utimensat(AT_FDCWD, path.p, NULL, 0);
		buf_release(&path);
		return 0;
	}
	if (e->code != ERR_NOMEM) {
		say(c, false, "prompt cache: %s/%s is left aside: %s", c->dir, p->name, e->text);
		p->n = 0;
	}
	return -1;
}

/* ---- keeping ------------------------------------------------------------------------------- */

static int put(void *arg, const void *p, size_t n, struct err *e)
{
	return os_atomic_write(arg, p, n, e);
}

static int write_file(const char *path, const struct head *h, const struct model_kv *kv,
		      model_seq s, const int32_t *ids, struct err *e)
{
	struct os_atomic *a;

	if (os_atomic_new(&a, path, 0600, e))
		return -1;
	if (os_atomic_write(a, h, sizeof *h, e) ||
	    os_atomic_write(a, ids, (size_t)h->n * sizeof *ids, e) ||
	    model_seq_save(put, a, kv, s, h->n, e)) {
		os_atomic_abort(a);
		return -1;
	}
	return os_atomic_commit(a, e);
}

struct file {
	char name[NAME + 1];
	uint64_t bytes;
	struct timespec used;
};

static bool older(const struct file *a, const struct file *b)
{
	return a->used.tv_sec != b->used.tv_sec ? a->used.tv_sec < b->used.tv_sec
						: a->used.tv_nsec < b->used.tv_nsec;
}

/* The file that was not used for the longest time, and the sum of all. What killed writers left
 * goes at once. */
static uint64_t oldest_file(struct file *oldest, int fd, DIR *dir, const char *keep)
{
	uint64_t sum = 0;
	struct dirent *d;
	struct stat st;
	bool temp, any = false;

	rewinddir(dir);
	oldest->name[0] = 0;
	while ((d = readdir(dir))) {
		struct file f = { .bytes = 0 };

		if (!is_name(d->d_name, &temp) ||
		    fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
			continue;
		if (temp) {
			if (time_unix_s() - st.st_mtim.tv_sec > 3600)
				unlinkat(fd, d->d_name, 0);
			continue;
		}
		memcpy(f.name, d->d_name, sizeof f.name);
		f.bytes = (uint64_t)st.st_size;
		f.used = st.st_mtim;
		sum += f.bytes;
		if (strcmp(f.name, keep) && (!any || older(&f, oldest)))
			*oldest = f;
		any = oldest->name[0] != 0;
	}
	return sum;
}

/* Files of any model make room, those unused for the longest time first. */
static void make_room(const struct prompt_cache *c, const char *keep)
{
	DIR *dir = opendir(c->dir);
	struct file oldest;

	for (int i = 0; dir && i < MAX_FILES; i++) {
		if (oldest_file(&oldest, dirfd(dir), dir, keep) <= MAX_BYTES || !oldest.name[0] ||
		    unlinkat(dirfd(dir), oldest.name, 0))
			break;
		say(c, false, "prompt cache: %s/%s is dropped: over %llu MiB", c->dir, oldest.name,
		    (unsigned long long)(MAX_BYTES >> 20));
	}
	if (dir)
		closedir(dir);
}

/* Those whose tokens are all in the new one. */
static void drop_parts(struct prompt_cache *c, const struct prefix *whole)
{
	struct buf path;

	for (size_t i = 0; i < c->n; i++) {
		struct prefix *p = &c->v[i];

		if (!p->n || p->n >= whole->n || common(p->ids, p->n, whole->ids, whole->n) < p->n)
			continue;
		if (!path_of(&path, c, p->name, NULL))
			unlink(path.p);
		buf_release(&path);
		p->n = 0;
	}
}

void prompt_cache_save(struct prompt_cache *c, const struct model_kv *kv, model_seq s,
		       const int32_t *ids, int32_t n)
{
	struct head h = head_of(c, ids, n);
	struct prefix *p = &c->v[c->n];
	struct err why = { 0 };
	struct buf path;

	if (c->no_writing || c->n_saved == MAX_SAVES || n < 1 || n > MAX_IDS ||
	    model_seq_bytes(kv, n) > MAX_ONE)
		return;
	name_of(p->name, c, ids, n);
	p->ids = ckd_alloc((size_t)n, sizeof *ids);
	if (!p->ids)
		return;
	memcpy(p->ids, ids, (size_t)n * sizeof *ids);
	p->n = n;
	if (path_of(&path, c, p->name, &why) || write_file(path.p, &h, kv, s, ids, &why)) {
		say(c, true, "nothing is added to the prompt cache: %s", why.text);
		c->no_writing = true;
		free(p->ids);
	} else {
		say(c, false, "prompt cache: %d tokens kept in %s", n, path.p);
		drop_parts(c, p);
		c->n++;
		c->n_saved++;
		make_room(c, p->name);
	}
	buf_release(&path);
}
