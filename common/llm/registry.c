/*
 * registry: names to model files. Our own folders first, then what ollama, the Hugging Face cache
 * and LM Studio hold, read only and in place. Also the digests of model files, kept by the file's
 * stamps.
 */
#include "config.h"
#include "llm/config_impl.h"
#include "base/banned.h"
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_ENTRIES 10000
#define MAX_MANIFEST ((size_t)1 << 20)
#define MAX_PATH 65536

static const char *const role_env[] = { "LLMU_MODEL_GENERATE", "LLMU_MODEL_EMBED" };
static const char *const role_word[] = { "generate", "embed" };

/* ---- what is there ----------------------------------------------------------------------- */

struct scan {
	struct arena *a;
	struct llm_entry *v;
	size_t n, cap;
	struct map seen;    /* device and inode: one file under several names counts once */
	struct map names;   /* names taken: a second one of that name goes by its path */
	const char *denied; /* a folder of another program that may not be read, or NULL */
};

static const char *keep(struct scan *s, struct str x, struct err *e)
{
	struct str c = arena_str(s->a, x);

	if (!c.p)
		err_nomem(e);
	return c.p;
}

static int push(struct scan *s, struct llm_entry x, struct err *e)
{
	uint64_t *at;
	bool is_new;

	if (s->n >= MAX_ENTRIES)
		return 0;
	if (map_put(&at, &is_new, &s->names, str_of(x.name), e))
		return -1;
	if (!is_new)
		x.name = x.path;
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 16;
		struct llm_entry *v = ckd_realloc(s->v, cap, sizeof *v);

		if (!v)
			return err_nomem(e);
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = x;
	return 0;
}

/* "X-00001-of-00003.gguf": the length of X and the count; false for a file that is no part of a
 * split. */
static bool split_name(size_t *stem, uint64_t *no, uint64_t *count, struct str file)
{
	const char *p;

	if (file.n < 20 || !str_ends(file, STR(".gguf")))
		return false;
	p = file.p + file.n - 20; /* "-00001-of-00003.gguf" */
	if (p[0] != '-' || memcmp(p + 6, "-of-", 4) ||
	    num_u64(no, (struct str){ p + 1, 5 }, 1, 99999, NULL) ||
	    num_u64(count, (struct str){ p + 10, 5 }, 1, 99999, NULL))
		return false;
	*stem = file.n - 20;
	return true;
}

/* One GGUF file of a folder, `file` being the last part of its path. */
static int add_gguf(struct scan *s, const char *path, struct str file, const struct stat *st,
		    const char *source, struct err *e)
{
	struct llm_entry x = { .source = source, .bytes = (uint64_t)st->st_size };
	uint64_t id[2] = { (uint64_t)st->st_dev, (uint64_t)st->st_ino }, *at, no, count;
	size_t stem = file.n - 5;
	bool is_new;

	if (str_starts(file, STR("mmproj"))) /* the picture part of another model */
		return 0;
	if (split_name(&stem, &no, &count, file)) {
		struct buf part;

		if (no != 1)
			return 0;
		buf_init(&part, MAX_PATH);
		for (uint64_t i = 2; i <= count; i++) {
			struct stat ps;

			buf_reset(&part);
			buf_add(&part, path, strlen(path) - 20);
			buf_addf(&part, "-%05u-of-%05u.gguf", (unsigned)i, (unsigned)count);
			if (!buf_check(&part, NULL) && !stat(part.p, &ps))
				x.bytes += (uint64_t)ps.st_size;
		}
		buf_release(&part);
	}
	if (map_put(&at, &is_new, &s->seen, (struct str){ (const char *)id, sizeof id }, e))
		return -1;
	if (!is_new)
		return 0;
	x.name = keep(s, (struct str){ file.p, stem }, e);
	x.path = x.name ? keep(s, str_of(path), e) : NULL;
	return x.path ? push(s, x, e) : -1;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Names in dir, sorted, without hidden ones; 0 where the folder is not there or may not be read. */
static int names_in(struct dirent ***out, struct scan *s, const char *dir)
{
	int n = scandir(dir, out, NULL, by_name), kept = 0;

	if (n < 0) {
		struct str d = errno == EACCES ? arena_str(s->a, str_of(dir)) : (struct str){ 0 };

		if (d.p)
			s->denied = d.p;
		*out = NULL;
		return 0;
	}
	for (int i = 0; i < n; i++) {
		if ((*out)[i]->d_name[0] == '.')
			free((*out)[i]);
		else
			(*out)[kept++] = (*out)[i];
	}
	return kept;
}

static void names_free(struct dirent **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

/* All GGUF files below path, at most `depth` folders deep; `prefix`: only names that begin so, at
 * this level. */
static int walk(struct scan *s, const char *path, unsigned depth, const char *prefix,
		const char *source, struct err *e)
{
	struct dirent **names;
	int n = names_in(&names, s, path), r = 0;
	struct buf sub;

	buf_init(&sub, MAX_PATH);
	for (int i = 0; i < n && !r; i++) {
		struct str file = str_of(names[i]->d_name);
		struct stat st;

		if (prefix && !str_starts(file, str_of(prefix)))
			continue;
		buf_reset(&sub);
		buf_addf(&sub, "%s/%s", path, file.p);
		if (buf_check(&sub, NULL) || stat(sub.p, &st))
			continue;
		if (S_ISDIR(st.st_mode) && depth && !str_is(file, "blobs"))
			r = walk(s, sub.p, depth - 1, NULL, source, e);
		else if (S_ISREG(st.st_mode) && str_ends(file, STR(".gguf")) && file.n > 5 &&
			 !str_starts(file, STR("default-")))
			r = add_gguf(s, sub.p, file, &st, source, e);
	}
	buf_release(&sub);
	names_free(names, n);
	return r;
}

/* ---- ollama ------------------------------------------------------------------------------ */

static bool is_hex(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
			return false;
	return true;
}

/* The model's blob by a manifest; false where it names none that is there. */
static bool ollama_blob(struct buf *blob, const char *root, const char *manifest, struct arena *a)
{
	struct buf text;
	struct json_val doc, layer;
	struct json_iter it;
	bool found = false;

	buf_init(&text, MAX_MANIFEST);
	if (!os_read_file(&text, manifest, MAX_MANIFEST, NULL) &&
	    !json_parse(&doc, buf_str(&text), NULL)) {
		it = json_iter(json_get(doc, "layers"));
		while (!found && json_next(&layer, &it)) {
			struct str type, digest;

			if (json_str(&type, json_get(layer, "mediaType"), a, NULL) ||
			    !str_is(type, "application/vnd.ollama.image.model") ||
			    json_str(&digest, json_get(layer, "digest"), a, NULL) ||
			    digest.n != 71 || !str_starts(digest, STR("sha256:")) ||
			    !is_hex(digest.p + 7, 64))
				continue;
			buf_reset(blob);
			buf_addf(blob, "%s/blobs/sha256-%.64s", root, digest.p + 7);
			found = !buf_check(blob, NULL);
		}
	}
	buf_release(&text);
	return found;
}

/* A manifest is manifests/REGISTRY/NAMESPACE/MODEL/TAG; `model` is the folder it lies in. */
static int add_ollama(struct scan *s, const char *root, const char *manifest, const char *model,
		      const char *tag, struct err *e)
{
	struct buf b;
	struct llm_entry x = { .source = "ollama" };
	struct stat st;
	int r = 0;

	buf_init(&b, MAX_PATH);
	if (ollama_blob(&b, root, manifest, s->a) && !stat(b.p, &st)) {
		x.bytes = (uint64_t)st.st_size;
		x.path = keep(s, buf_str(&b), e);
		buf_reset(&b);
		buf_addf(&b, "%s:%s", model, tag);
		x.name = x.path && !buf_check(&b, e) ? keep(s, buf_str(&b), e) : NULL;
		r = x.name ? push(s, x, e) : -1;
	}
	buf_release(&b);
	return r;
}

static int walk_ollama(struct scan *s, const char *root, const char *path, const char *model,
		       unsigned depth, struct err *e)
{
	struct dirent **names;
	int n = names_in(&names, s, path), r = 0;
	struct buf sub;

	buf_init(&sub, MAX_PATH);
	for (int i = 0; i < n && !r; i++) {
		struct stat st;

		buf_reset(&sub);
		buf_addf(&sub, "%s/%s", path, names[i]->d_name);
		if (buf_check(&sub, NULL) || stat(sub.p, &st))
			continue;
		if (S_ISDIR(st.st_mode) && depth)
			r = walk_ollama(s, root, sub.p, names[i]->d_name, depth - 1, e);
		else if (S_ISREG(st.st_mode) && !depth)
			r = add_ollama(s, root, sub.p, model, names[i]->d_name, e);
	}
	buf_release(&sub);
	names_free(names, n);
	return r;
}

/* ---- all places -------------------------------------------------------------------------- */

/* Folders of our own: the user's, then the installation's. */
static int own_dir(struct buf *out, int i, struct err *e)
{
	if (i == 0) {
		if (os_place(out, OS_DATA, e))
			return -1;
	} else {
		buf_reset(out);
		buf_addz(out, os_env("LLMU_DATADIR") ? os_env("LLMU_DATADIR") : LLMU_DATADIR);
	}
	buf_addz(out, "/models");
	return buf_check(out, e);
}

/* $env with `sub` behind it, else $HOME with `home`. False: neither variable is set. */
static bool place(struct buf *out, const char *env, const char *sub, const char *home)
{
	const char *base = env ? os_env(env) : NULL;

	buf_reset(out);
	if (base)
		buf_addf(out, "%s%s", base, sub);
	else if (home && (base = os_env("HOME")))
		buf_addf(out, "%s/%s", base, home);
	return out->n && !buf_check(out, NULL);
}

static int scan_all(struct scan *s, struct err *e)
{
	struct buf b, m;
	int r = -1;

	buf_init(&b, MAX_PATH);
	buf_init(&m, MAX_PATH);
	for (int i = 0; i < 2; i++)
		if (!own_dir(&b, i, NULL) && walk(s, b.p, 2, NULL, "llm-utils", e))
			goto out;
	for (int i = 0; i < 2; i++) {
		bool there = i ? place(&b, NULL, "", NULL)
			       : place(&b, "OLLAMA_MODELS", "", ".ollama/models");

		if (i) { /* where its service keeps them */
			buf_addz(&b, "/usr/share/ollama/.ollama/models");
			there = !buf_check(&b, NULL);
		}
		buf_reset(&m);
		buf_addf(&m, "%s/manifests", there ? b.p : "");
		if (there && !buf_check(&m, NULL) && walk_ollama(s, b.p, m.p, "", 3, e))
			goto out;
	}
	if ((place(&b, "HF_HUB_CACHE", "", NULL) ||
	     place(&b, "HF_HOME", "/hub", ".cache/huggingface/hub")) &&
	    walk(s, b.p, 4, "models--", "huggingface", e))
		goto out;
	if (place(&b, NULL, "", ".lmstudio/models") && walk(s, b.p, 3, NULL, "lmstudio", e))
		goto out;
	if (place(&b, NULL, "", ".cache/lm-studio/models") && walk(s, b.p, 3, NULL, "lmstudio", e))
		goto out;
	r = 0;
out:
	buf_release(&b);
	buf_release(&m);
	return r;
}

static void scan_release(struct scan *s)
{
	free(s->v);
	map_release(&s->seen);
	map_release(&s->names);
}

static int scan_run(struct scan *s, struct arena *a, struct err *e)
{
	*s = (struct scan){ .a = a };
	map_init(&s->seen, true);
	map_init(&s->names, true);
	if (scan_all(s, e)) {
		scan_release(s);
		return -1;
	}
	return 0;
}

int llm_list(struct llm_entry **out, size_t *n, struct arena *a, struct err *e)
{
	struct scan s;

	if (scan_run(&s, a, e))
		return -1;
	*out = arena_alloc(a, (s.n + 1) * sizeof **out);
	if (*out && s.n)
		memcpy(*out, s.v, s.n * sizeof **out);
	*n = s.n;
	scan_release(&s);
	return *out ? 0 : err_nomem(e);
}

/* ---- finding ----------------------------------------------------------------------------- */

/* `what` was not found: say what is there and how to get a model. */
static int not_found(const struct scan *s, const char *what, struct err *e)
{
	struct buf b;

	buf_init(&b, sizeof e->text);
	if (s->n) {
		buf_addf(&b, "name a file, or one of %zu: ", s->n);
		for (size_t i = 0; i < s->n && i < 8 && b.n < 500; i++)
			buf_addf(&b, "%s%.120s", i ? ", " : "", s->v[i].name);
		buf_addz(&b, s->n > 8 ? ", … (llm-model list)" : "");
	} else {
		buf_addz(&b, "none is installed: name a file, or let scripts/fetch-models get "
			     "two small ones");
	}
	if (s->denied)
		buf_addf(&b, "; %.200s may not be read", s->denied);
	err_set(e, ERR_MODEL_NOT_FOUND, "%s; %s", what, buf_str(&b).p);
	buf_release(&b);
	return -1;
}

/* A name matches whole; ollama's ":latest" may be left out. */
static bool matches(const struct llm_entry *x, struct str name)
{
	struct str n = str_of(x->name);

	return str_eq(n, name) || (!strcmp(x->source, "ollama") && n.n == name.n + 7 &&
				   str_starts(n, name) && str_ends(n, STR(":latest")));
}

static int find_listed(struct buf *path, const char *name, const char *what, struct err *e)
{
	struct arena a;
	struct scan s;
	int r = -1;

	arena_init(&a, BUF_MAX_LINE);
	if (!scan_run(&s, &a, e)) {
		for (size_t i = 0; r && name && i < s.n; i++)
			if (matches(&s.v[i], str_of(name))) {
				buf_reset(path);
				buf_addz(path, s.v[i].path);
				r = 0;
			}
		if (r)
			not_found(&s, what, e);
		scan_release(&s);
	}
	arena_release(&a);
	return r ? r : buf_check(path, e);
}

static int find_name(struct buf *path, const char *name, struct err *e)
{
	char what[300];

	if (strchr(name, '/') || str_ends(str_of(name), STR(".gguf"))) {
		buf_reset(path);
		buf_addz(path, name);
		if (buf_check(path, e) || access(name, F_OK) == 0)
			return buf_check(path, e);
		snprintf(what, sizeof what, "%.200s: %s", name, strerror(errno));
		return find_listed(path, NULL, what, e);
	}
	for (int i = 0; i < 2; i++) { /* the common case needs no look round */
		if (own_dir(path, i, NULL))
			continue;
		buf_addf(path, "/%s.gguf", name);
		if (!buf_check(path, NULL) && access(path->p, F_OK) == 0)
			return 0;
	}
	snprintf(what, sizeof what, "no model is named \"%.200s\"%s", name,
		 strchr(name, ':') ? ", and config.json has no such provider" : "");
	return find_listed(path, name, what, e);
}

/* Its parts are objects: what is written elsewise would be passed over in silence. */
static int check_config(struct json_val doc, const char *path, struct err *e)
{
	static const char *const parts[] = { "models", "providers" };

	if (doc.type != JSON_OBJECT)
		return err_set(e, ERR_OPEN, "%s: must be an object", path);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		enum json_type type = json_get(doc, parts[i]).type;

		if (type != JSON_OBJECT && type != JSON_NONE && type != JSON_NULL)
			return err_set(e, ERR_OPEN, "%s: %s must be an object", path, parts[i]);
	}
	return 0;
}

int llm_config(struct json_val *doc, struct buf *text, struct buf *path, struct err *e)
{
	*doc = (struct json_val){ .type = JSON_NONE };
	buf_reset(text);
	if (os_place(path, OS_CONFIG, NULL))
		return 0;
	buf_addz(path, "/config.json");
	if (buf_check(path, e))
		return -1;
	if (access(path->p, F_OK) && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (os_read_file(text, path->p, LLM_MAX_CONFIG, e))
		return -1;
	if (json_parse(doc, buf_str(text), e)) {
		err_wrap(e, "%s", path->p);
		if (e)
			e->code = ERR_OPEN;
		return -1;
	}
	return check_config(*doc, path->p, e);
}

/* "models"."generate" or "embed" of the config file into *name, which stays empty where there is
 * none. */
static int config_name(struct buf *name, struct buf *file, enum llm_role role, struct err *e)
{
	struct buf text;
	struct arena a;
	struct json_val doc, v;
	struct str s;
	int r;

	buf_reset(name);
	buf_init(&text, LLM_MAX_CONFIG);
	arena_init(&a, LLM_MAX_CONFIG);
	r = llm_config(&doc, &text, file, e);
	if (!r) {
		v = json_get(json_get(doc, "models"), role_word[role]);
		if (v.type == JSON_STRING && !json_str(&s, v, &a, e))
			buf_adds(name, s);
		else if (v.type != JSON_NONE && v.type != JSON_NULL)
			r = err_set(e, ERR_OPEN, "%s: models.%s must be a string", file->p,
				    role_word[role]);
	}
	arena_release(&a);
	buf_release(&text);
	return r ? r : buf_check(name, e);
}

int llm_default_name(struct buf *name, struct buf *from, enum llm_role role, struct err *e)
{
	const char *v = os_env(role_env[role]);

	if (!v)
		return config_name(name, from, role, e);
	buf_reset(name);
	buf_reset(from);
	buf_addz(name, v);
	buf_addz(from, role_env[role]);
	return buf_check(name, e);
}

/* The link default-generate.gguf or default-embed.gguf in one of our folders, followed. False:
 * there is none. */
static bool find_link(struct buf *path, enum llm_role role)
{
	for (int i = 0; i < 2; i++) {
		char *real;

		if (own_dir(path, i, NULL))
			continue;
		buf_addf(path, "/default-%s.gguf", role_word[role]);
		if (buf_check(path, NULL) || !(real = realpath(path->p, NULL)))
			continue;
		buf_reset(path);
		buf_addz(path, real);
		free(real);
		return !buf_check(path, NULL);
	}
	return false;
}

int llm_find(struct buf *path, struct buf *how, const char *name, enum llm_role role, struct err *e)
{
	struct buf from, conf;
	int r;

	if (how)
		buf_reset(how);
	if (name)
		return find_name(path, name, e);
	buf_init(&from, MAX_PATH);
	buf_init(&conf, LLM_MAX_CONFIG);
	r = llm_default_name(&conf, &from, role, e);
	if (r)
		goto out;
	name = conf.n ? conf.p : NULL;
	if (name) {
		r = find_name(path, name, e);
		if (r)
			err_wrap(e, "%s", from.p);
	} else if (find_link(path, role)) {
		buf_reset(&from);
		buf_addz(&from, "the installed default");
		r = 0;
	} else {
		r = find_listed(path, NULL,
				role == LLM_EMBED ? "no model for embeddings is set"
						  : "no model is set",
				e);
	}
	if (!r && how) {
		buf_adds(how, buf_str(&from));
		r = buf_check(how, e);
	}
out:
	buf_release(&from);
	buf_release(&conf);
	return r;
}

/* ---- digests ----------------------------------------------------------------------------- */

/* A file's stamps as the head of its cached line: another size or time is another file. */
static void stamp_line(struct buf *b, const struct os_map *m)
{
	buf_reset(b);
	buf_addf(b, "llm-utils digest 1 %llu %llu %zu %lld %lld ", (unsigned long long)m->dev,
		 (unsigned long long)m->ino, m->n, (long long)m->mtime_ns, (long long)m->ctime_ns);
}

static int cache_path(struct buf *b, const struct os_map *m, bool make)
{
	if (os_place(b, OS_CACHE, NULL))
		return -1;
	buf_addz(b, "/digests");
	if (buf_check(b, NULL) || (make && os_mkdirs(b->p, 0700, NULL)))
		return -1;
	buf_addf(b, "/%llx-%llx", (unsigned long long)m->dev, (unsigned long long)m->ino);
	return buf_check(b, NULL);
}

/* "STAMPS HEX CRC\n", the check sum over all before it. */
static bool cache_get(uint8_t out[HASH_SHA256_LEN], const struct os_map *m)
{
	struct buf path, line, want;
	char crc[16];
	bool good = false;

	buf_init(&path, MAX_PATH);
	buf_init(&line, 4096);
	buf_init(&want, 4096);
	if (!cache_path(&path, m, false) && !access(path.p, R_OK) &&
	    !os_read_file(&line, path.p, 4096, NULL)) {
		stamp_line(&want, m);
		if (!buf_check(&want, NULL) && line.n == want.n + HASH_HEX_LEN + 10 &&
		    !memcmp(line.p, want.p, want.n)) {
			snprintf(crc, sizeof crc, " %08x\n",
				 hash_crc32c(0, line.p, want.n + HASH_HEX_LEN));
			good = !memcmp(line.p + want.n + HASH_HEX_LEN, crc, 10);
		}
	}
	for (size_t i = 0; good && i < HASH_SHA256_LEN; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *hi = memchr(digits, line.p[want.n + 2 * i], 16);
		const char *lo = memchr(digits, line.p[want.n + 2 * i + 1], 16);

		good = hi && lo;
		if (good)
			out[i] = (uint8_t)((hi - digits) << 4 | (lo - digits));
	}
	buf_release(&path);
	buf_release(&line);
	buf_release(&want);
	return good;
}

/* Best effort: a cache that cannot be written costs only time. A file whose last change is so fresh
 * that another one could leave the same stamps, or that changed while it was read, is not kept. */
static void cache_put(const struct os_map *m, const uint8_t digest[HASH_SHA256_LEN])
{
	int64_t last = m->mtime_ns > m->ctime_ns ? m->mtime_ns : m->ctime_ns;
	struct os_atomic *f;
	struct os_map now;
	struct buf path, line;
	char hex[HASH_HEX_LEN + 1];
	bool same;

	if (m->ino == 0 || last / 1000000000 + 2 > time_unix_s() ||
	    os_map_open(&now, m->path, NULL))
		return;
	same = now.dev == m->dev && now.ino == m->ino && now.n == m->n &&
	       now.mtime_ns == m->mtime_ns && now.ctime_ns == m->ctime_ns;
	os_map_close(&now);
	buf_init(&path, MAX_PATH);
	buf_init(&line, 4096);
	if (same && !cache_path(&path, m, true)) {
		hash_hex(hex, digest, HASH_SHA256_LEN);
		stamp_line(&line, m);
		buf_addz(&line, hex);
		buf_addf(&line, " %08x\n", hash_crc32c(0, line.p, line.n));
		if (!buf_check(&line, NULL) && !os_atomic_open(&f, path.p, 0600, NULL)) {
			if (os_atomic_write(f, line.p, line.n, NULL))
				os_atomic_abort(f);
			else
				(void)os_atomic_commit(f, NULL);
		}
	}
	buf_release(&path);
	buf_release(&line);
}

int llm_digest(char out[HASH_HEX_LEN + 1], const struct gguf *g, struct err *e)
{
	struct hash_sha256 all;
	uint8_t d[HASH_SHA256_LEN] = { 0 };

	(void)e;
	hash_sha256_init(&all);
	for (size_t i = 0; i < gguf_n_parts(g); i++) {
		const struct os_map *m = gguf_part(g, i);

		if (m->ino == 0 || !cache_get(d, m)) {
			os_map_willneed(m, 0, m->n);
			hash_sha256(d, m->p, m->n);
			cache_put(m, d);
		}
		hash_sha256_add(&all, d, sizeof d);
	}
	if (gguf_n_parts(g) > 1)
		hash_sha256_end(&all, d);
	hash_hex(out, d, sizeof d);
	return 0;
}
