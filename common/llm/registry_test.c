/* Unit tests of the registry: names to files, models of other programs, cached digests. */
#include "config.h"
#include "llm/llm.h"
#include "tap.h"
#include "base/banned.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[4096] = "";
static struct buf path, how;

/* root/name */
static const char *in(const char *name)
{
	static char p[8192];

	snprintf(p, sizeof p, "%s/%s", root, name);
	return p;
}

/* Writes a file, making its folders. */
static void put(const char *name, const void *p, size_t n)
{
	char full[8192];
	char *slash;
	FILE *f;

	snprintf(full, sizeof full, "%s", in(name));
	slash = strrchr(full, '/');
	*slash = 0;
	if (os_mkdirs(full, 0700, NULL))
		printf("# cannot make %s\n", full);
	*slash = '/';
	f = fopen(full, "wb");
	if (!f || fwrite(p, 1, n, f) != n || fclose(f))
		printf("# cannot write %s\n", full);
}

static int model(const char *name, uint32_t v, struct err *e)
{
	struct gguf_writer *w;
	float x = 1;

	put(name, "", 0);
	if (gguf_writer_new(&w, in(name), e))
		return -1;
	if (gguf_put_str(w, "general.architecture", STR("t"), e) || gguf_put_u32(w, "v", v, e) ||
	    gguf_put_tensor(w, "a", GGUF_F32, 1, (int64_t[]){ 1 }, e) ||
	    gguf_write_data(w, &x, sizeof x, e)) {
		gguf_writer_abort(w);
		return -1;
	}
	return gguf_writer_commit(w, e);
}

static bool found(const char *name, enum llm_role role, const char *file, const char *by)
{
	struct err e = { 0 };
	bool good = !llm_find(&path, &how, name, role, &e) &&
		    str_ends(buf_str(&path), str_of(file)) &&
		    str_find(buf_str(&how), str_of(by), 0) < how.n + (*by == 0);

	if (!good)
		printf("# %s | path %s | how %s\n", e.text, path.p ? path.p : "",
		       how.p ? how.p : "");
	return good;
}

static void test_find(void)
{
	struct err e = { 0 };

	OK(llm_find(&path, &how, NULL, LLM_GENERATE, &e) && e.code == ERR_MODEL_NOT_FOUND &&
		   strstr(e.text, "fetch-models") && strstr(e.text, "name a file"),
	   "no model at all: how to get one");
	OK(llm_find(&path, &how, "some", LLM_GENERATE, &e) && strstr(e.text, "\"some\""),
	   "an unknown name is named");
	OK(!model("data/llm-utils/models/alpha.gguf", 1, &e) &&
		   !model("data/llm-utils/models/beta.gguf", 2, &e) &&
		   !model("other/file.gguf", 3, &e),
	   "models are written (%s)", e.text);
	OK(found("alpha", LLM_GENERATE, "/models/alpha.gguf", ""), "a name of the user's folder");
	OK(found(in("other/file.gguf"), LLM_GENERATE, "/other/file.gguf", ""), "a path is a file");
	OK(llm_find(&path, &how, "alpha.gguf", LLM_GENERATE, &e) && e.code == ERR_MODEL_NOT_FOUND &&
		   strstr(e.text, "alpha.gguf: No such file") &&
		   strstr(e.text, "one of 2: alpha, beta"),
	   "a file that is not there, and what is");
	OK(llm_find(&path, &how, "gamma", LLM_GENERATE, &e) &&
		   strstr(e.text, "one of 2: alpha, beta"),
	   "an unknown name, and what is there");
	OK(llm_find(&path, &how, NULL, LLM_EMBED, &e) && strstr(e.text, "no model for embeddings"),
	   "models but no default");
	if (symlink("alpha.gguf", in("data/llm-utils/models/default-generate.gguf")))
		printf("# symlink failed\n");
	OK(found(NULL, LLM_GENERATE, "/models/alpha.gguf", "installed default"),
	   "the default is followed to its file");
	put("config/llm-utils/config.json", "{\"models\":{\"generate\":\"beta\"}}",
	    strlen("{\"models\":{\"generate\":\"beta\"}}"));
	OK(found(NULL, LLM_GENERATE, "/models/beta.gguf", "config.json"),
	   "the config file goes first");
	setenv("LLMU_MODEL_GENERATE", "alpha", 1);
	OK(found(NULL, LLM_GENERATE, "/models/alpha.gguf", "LLMU_MODEL_GENERATE"),
	   "the environment before it");
	OK(found("beta", LLM_GENERATE, "/models/beta.gguf", ""), "and a name given before all");
	setenv("LLMU_MODEL_GENERATE", "nix", 1);
	OK(llm_find(&path, &how, NULL, LLM_GENERATE, &e) &&
		   strstr(e.text, "LLMU_MODEL_GENERATE: no model is named"),
	   "a bad name says where it came from");
	unsetenv("LLMU_MODEL_GENERATE");
	put("config/llm-utils/config.json", "{\"models\":{\"generate\":7}}",
	    strlen("{\"models\":{\"generate\":7}}"));
	OK(llm_find(&path, &how, NULL, LLM_GENERATE, &e) && e.code == ERR_OPEN &&
		   strstr(e.text, "must be a string"),
	   "a config of the wrong type");
	put("config/llm-utils/config.json", "{\"models\":", strlen("{\"models\":"));
	OK(llm_find(&path, &how, NULL, LLM_GENERATE, &e) && e.code == ERR_OPEN &&
		   strstr(e.text, "config.json"),
	   "a config that is no JSON names the file");
	unlink(in("config/llm-utils/config.json"));
}

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct llm_entry *entry(const struct llm_entry *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].name, name))
			return &v[i];
	return NULL;
}

static void test_others(void)
{
	static const char manifest[] =
		"{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.template\",\"digest\":"
		"\"sha256:" HEX64 "\"},{\"mediaType\":\"application/vnd.ollama.image.model\","
		"\"digest\":\"sha256:" HEX64 "\"}]}";
	static const char evil[] =
		"{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":"
		"\"sha256:../../../../../../../../../../../../../../../../../../../../../etc\"}]}";
	struct err e = { 0 };
	struct arena a;
	struct llm_entry *v;
	size_t n;

	arena_init(&a, 1 << 20);
	put("home/.ollama/models/manifests/registry/library/tiny/latest", manifest,
	    sizeof manifest - 1);
	put("home/.ollama/models/manifests/registry/library/tiny/evil", evil, sizeof evil - 1);
	put("home/.ollama/models/manifests/registry/library/torn/latest", manifest, 40);
	OK(!model("home/.ollama/models/blobs/sha256-" HEX64, 4, &e) &&
		   !model("home/.cache/huggingface/hub/models--o--n/snapshots/r1/hf.Q4_0.gguf", 5,
			  &e) &&
		   !model("home/.cache/huggingface/hub/datasets--o--n/snapshots/r1/no.gguf", 5,
			  &e) &&
		   !model("home/.lmstudio/models/own/name/lm.gguf", 6, &e) &&
		   !model("home/.lmstudio/models/own/name/mmproj-lm.gguf", 6, &e) &&
		   !model("home/.lmstudio/models/own/name/alpha.gguf", 6, &e) &&
		   !model("home/.lmstudio/models/own/name/s-00001-of-00002.gguf", 6, &e) &&
		   !model("home/.lmstudio/models/own/name/s-00002-of-00002.gguf", 6, &e),
	   "models of others are written (%s)", e.text);
	OK(!llm_list(&v, &n, &a, &e) && n == 7, "the list has 7 entries (%zu)", n);
	for (size_t i = 0; i < n; i++)
		printf("# %s %s %s %llu\n", v[i].source, v[i].name, v[i].path,
		       (unsigned long long)v[i].bytes);
	OK(!strcmp(v[0].name, "alpha") && !strcmp(v[0].source, "llm-utils") &&
		   !strcmp(v[1].name, "beta"),
	   "our own first, by name");
	OK(entry(v, n, "tiny:latest") && !strcmp(entry(v, n, "tiny:latest")->source, "ollama") &&
		   !entry(v, n, "tiny:evil") && !entry(v, n, "torn:latest"),
	   "ollama's by model and tag; bad manifests are passed over");
	OK(entry(v, n, "hf.Q4_0") && !entry(v, n, "no") &&
		   !strcmp(entry(v, n, "hf.Q4_0")->source, "huggingface"),
	   "the Hugging Face cache, models only");
	OK(entry(v, n, "lm") && !entry(v, n, "mmproj-lm") && entry(v, n, "s") &&
		   !entry(v, n, "s-00002-of-00002") &&
		   entry(v, n, "s")->bytes == 2 * entry(v, n, "lm")->bytes,
	   "LM Studio's; a split model counts once, whole");
	OK(n && strstr(v[n - 3].path, "alpha.gguf") && !strcmp(v[n - 3].name, v[n - 3].path),
	   "a name that is taken goes by its path");
	OK(found("tiny", LLM_GENERATE, "blobs/sha256-" HEX64, "") &&
		   found("tiny:latest", LLM_GENERATE, HEX64, "") &&
		   found("hf.Q4_0", LLM_GENERATE, "hf.Q4_0.gguf", ""),
	   "they are found by name");
	arena_release(&a);
}

static bool digest_is(const char *file, const char *wanted)
{
	char hex[HASH_HEX_LEN + 1];
	struct err e = { 0 };
	struct gguf *g;
	bool same;

	if (gguf_open(&g, in(file), &e))
		return false;
	same = !llm_digest(hex, g, &e) && !strcmp(hex, wanted);
	gguf_close(g);
	return same;
}

static void true_digest(char hex[HASH_HEX_LEN + 1], const char *file)
{
	uint8_t d[HASH_SHA256_LEN];
	struct buf b;

	buf_init(&b, 1 << 20);
	if (os_read_file(&b, in(file), 1 << 20, NULL))
		printf("# cannot read %s\n", file);
	hash_sha256(d, b.p, b.n);
	hash_hex(hex, d, sizeof d);
	buf_release(&b);
}

static char cache_file[8192];
static int see(const char *p, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)f;
	if (type == FTW_F)
		snprintf(cache_file, sizeof cache_file, "%s", p);
	return 0;
}

static void test_digest(void)
{
	static const char file[] = "data/llm-utils/models/alpha.gguf";
	/* an old file: one that changed a moment ago is not kept */
	struct timespec old[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
	char hex[HASH_HEX_LEN + 1], line[512];
	struct buf b;
	FILE *f;

	true_digest(hex, file);
	OK(digest_is(file, hex), "the digest of a fresh file");
	cache_file[0] = 0;
	nftw(in("cache"), see, 8, 0);
	OK(!cache_file[0], "a file that changed just now is not kept");
	if (utimensat(AT_FDCWD, in(file), old, 0))
		printf("# utimensat failed\n");
	for (int i = 0; i < 40 && !cache_file[0]; i++) { /* its ctime must age, too */
		usleep(100000);
		if (!digest_is(file, hex))
			break;
		nftw(in("cache"), see, 8, 0);
	}
	OK(cache_file[0], "a settled file's digest is kept");
	buf_init(&b, 4096);
	OK(!os_read_file(&b, cache_file, 4096, NULL) && strstr(b.p, hex), "the cache holds it");
	/* another digest with a good check sum: believed, so the cache is really used */
	snprintf(line, sizeof line, "%s", b.p);
	memcpy(strstr(line, hex), HEX64, 64);
	snprintf(strstr(line, HEX64) + 64, 16, " %08x\n",
		 hash_crc32c(0, line, (size_t)(strstr(line, HEX64) - line) + 64));
	f = fopen(cache_file, "wb");
	if (f) {
		fwrite(line, 1, strlen(line), f);
		fclose(f);
	}
	OK(digest_is(file, HEX64), "an unchanged file is not read again");
	strstr(line, HEX64)[3] = 'f';
	f = fopen(cache_file, "wb");
	if (f) {
		fwrite(line, 1, strlen(line), f);
		fclose(f);
	}
	OK(digest_is(file, hex), "a damaged cache is not believed");
	truncate(cache_file, 10);
	OK(digest_is(file, hex), "nor a torn one");
	setenv("XDG_CACHE_HOME", "/proc/none", 1);
	OK(digest_is(file, hex), "a cache that cannot be written does no harm");
	setenv("XDG_CACHE_HOME", in("cache"), 1);
	buf_release(&b);
}

static int drop(const char *p, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(p);
}

int main(void)
{
	static char dir[] = "registry_test.XXXXXX";

	buf_init(&path, 1 << 16);
	buf_init(&how, 1 << 16);
	if (!mkdtemp(dir) || !realpath(dir, root))
		return 1;
	setenv("LLMU_DATADIR", in("share"), 1);
	setenv("XDG_DATA_HOME", in("data"), 1);
	setenv("XDG_CONFIG_HOME", in("config"), 1);
	setenv("XDG_CACHE_HOME", in("cache"), 1);
	setenv("HOME", in("home"), 1);
	unsetenv("OLLAMA_MODELS");
	unsetenv("HF_HOME");
	unsetenv("HF_HUB_CACHE");
	unsetenv("LLMU_MODEL_GENERATE");
	unsetenv("LLMU_MODEL_EMBED");
	test_find();
	test_others();
	test_digest();
	nftw(root, drop, 8, FTW_DEPTH | FTW_PHYS);
	buf_release(&path);
	buf_release(&how);
	return tap_done();
}
