/*
 * import: a Hugging Face folder to one GGUF file. What the folder says about use is kept: pooling,
 * prompts, length limit, normalisation, sampling, chat template. Keys that GGUF has no word for are
 * ours and begin with "llmu.".
 */
#include "config.h"
#include "llm/import_impl.h"
#include "base/banned.h"
#include <errno.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_JSON ((size_t)256 << 20) /* a tokenizer.json of 262k tokens has 33 MB */
#define MAX_PATH 65536

/* ---- the folder's files ------------------------------------------------------------------ */

/* Text of a file of the folder; an empty str where it is not there and not needed. */
static int read_text(struct str *out, struct import *im, const char *name, bool need, struct err *e)
{
	struct buf path, text;
	int r = -1;

	*out = STR("");
	buf_init(&path, MAX_PATH);
	buf_init(&text, MAX_JSON);
	buf_addf(&path, "%s/%s", im->dir, name);
	if (buf_check(&path, e))
		goto out;
	if (access(path.p, F_OK) && !need) {
		r = 0;
		goto out;
	}
	if (os_read_file(&text, path.p, MAX_JSON, e))
		goto out;
	*out = arena_str(&im->a, buf_str(&text));
	r = out->p ? 0 : err_nomem(e);
out:
	buf_release(&path);
	buf_release(&text);
	return r;
}

/* The same as JSON; JSON_NONE where it is not there. */
static int read_json(struct json_val *out, struct import *im, const char *name, bool need,
		     struct err *e)
{
	struct str text;

	*out = (struct json_val){ .type = JSON_NONE };
	if (read_text(&text, im, name, need, e))
		return -1;
	if (text.n == 0 && !need)
		return 0;
	if (json_parse(out, text, e)) {
		if (e && e->code != ERR_NOMEM)
			e->code = ERR_OPEN;
		return err_wrap(e, "%s", name);
	}
	return 0;
}

struct json_val import_cfg(const struct import *im, const char *names)
{
	struct json_val v = { .type = JSON_NONE };
	char name[64];

	while (*names) {
		size_t n = strcspn(names, "|");

		snprintf(name, sizeof name, "%.*s", (int)n, names);
		v = json_get(im->cfg, name);
		if (v.type != JSON_NONE && v.type != JSON_NULL)
			return v;
		names += n + (names[n] == '|');
	}
	return (struct json_val){ .type = JSON_NONE };
}

int import_cfg_u32(uint32_t *out, const struct import *im, const char *names, bool need,
		   struct err *e)
{
	struct json_val v = import_cfg(im, names);
	uint64_t u;

	if (v.type == JSON_NONE)
		return need ? err_set(e, ERR_OPEN, "config.json: %s is missing", names) : 0;
	if (json_u64(&u, v, e) || u > UINT32_MAX)
		return err_set(e, ERR_OPEN, "config.json: %s must be a count", names);
	*out = (uint32_t)u;
	return 0;
}

int import_cfg_f64(double *out, const struct import *im, const char *names, bool need,
		   struct err *e)
{
	struct json_val v = import_cfg(im, names);

	if (v.type == JSON_NONE)
		return need ? err_set(e, ERR_OPEN, "config.json: %s is missing", names) : 0;
	if (json_f64(out, v, e) || !isfinite(*out))
		return err_set(e, ERR_OPEN, "config.json: %s must be a number", names);
	return 0;
}

bool import_cfg_is(const struct import *im, const char *names, const char *value)
{
	struct json_val v = import_cfg(im, names);

	return v.type == JSON_STRING && v.raw.n == strlen(value) + 2 &&
	       !memcmp(v.raw.p + 1, value, v.raw.n - 2);
}

/* ---- keys -------------------------------------------------------------------------------- */

/* Two digits of a count of parameters: "135M", "1.1B" (gguf-py utility.py, size_label). */
static void size_label(char out[32], uint64_t n)
{
	static const struct {
		double over, scale;
		char suffix;
	} steps[] = {
		{ 1e12, 1e-12, 'T' }, { 1e9, 1e-9, 'B' }, { 1e6, 1e-6, 'M' }, { 0, 1e-3, 'K' }
	};
	size_t i = 0;
	double v;

	while ((double)n <= steps[i].over && i < 3)
		i++;
	v = (double)n * steps[i].scale;
	snprintf(out, 32, "%.*f%c", nearbyint(v) >= 10 ? 0 : 1, v, steps[i].suffix);
}

static int put_general(struct gguf_writer *w, const struct import *im,
		       const struct llm_import_opts *o, struct err *e)
{
	struct str name = str_of(o->name ? o->name : im->dir);
	char label[32];

	if (!o->name) { /* the folder's own name */
		while (name.n > 1 && name.p[name.n - 1] == '/')
			name.n--;
		for (size_t i = name.n; i > 0; i--)
			if (name.p[i - 1] == '/') {
				name = str_sub(name, i, name.n);
				break;
			}
	}
	size_label(label, im->n_params);
	if (gguf_put_str(w, "general.architecture", str_of(import_arch_name(im)), e) ||
	    gguf_put_str(w, "general.type", STR("model"), e) ||
	    gguf_put_str(w, "general.name", name, e) ||
	    gguf_put_str(w, "general.size_label", str_of(label), e) ||
	    gguf_put_u32(w, "general.file_type", im->kind->file_type, e))
		return -1;
	return gguf_put_u32(w, "general.quantization_version", 2, e);
}

/* The licence by its SPDX-like word, from the front matter of README.md: a line "license: …"
 * between two of "---". */
static int put_license(struct gguf_writer *w, struct import *im, struct err *e)
{
	struct str text;
	size_t at, end;

	if (read_text(&text, im, "README.md", false, e))
		return -1;
	if (!str_starts(text, STR("---\n")))
		return 0;
	for (at = 4; at < text.n && !str_starts(str_sub(text, at, text.n), STR("---"));
	     at = end + 1) {
		struct str line;

		end = str_find(text, STR("\n"), at);
		line = str_sub(text, at, end);
		if (!str_starts(line, STR("license:")))
			continue;
		line = str_trim(str_sub(line, 8, line.n));
		return line.n ? gguf_put_str(w, "general.license", line, e) : 0;
	}
	return 0;
}

/* The author's sampler, of generation_config.json: general.sampling.* (gguf-py metadata.py). */
static int put_sampling(struct gguf_writer *w, struct import *im, struct err *e)
{
	static const struct {
		const char *cfg, *key;
		bool integer;
	} map[] = { { "temperature", "general.sampling.temp", false },
		    { "top_k", "general.sampling.top_k", true },
		    { "top_p", "general.sampling.top_p", false },
		    { "min_p", "general.sampling.min_p", false },
		    { "repetition_penalty", "general.sampling.penalty_repeat", false } };
	struct json_val gen;

	if (read_json(&gen, im, "generation_config.json", false, e))
		return -1;
	for (size_t i = 0; i < sizeof map / sizeof *map; i++) {
		struct json_val v = json_get(gen, map[i].cfg);
		int32_t n;
		double d;

		if (v.type != JSON_NUMBER)
			continue;
		if (json_f64(&d, v, e) || !(d >= 0 && d < 1e6))
			return err_set(e, ERR_OPEN, "generation_config.json: %s is out of range",
				       map[i].cfg);
		n = (int32_t)d;
		if (map[i].integer ? gguf_put_i32(w, map[i].key, n, e)
				   : gguf_put_f32(w, map[i].key, (float)d, e))
			return -1;
	}
	return 0;
}

/* Pooling of 1_Pooling/config.json; 1 mean, 2 cls, 3 last as in GGUF. */
static int put_pooling(struct gguf_writer *w, struct import *im, struct str path, struct err *e)
{
	static const struct {
		const char *flag, *mode;
		uint32_t type;
	} map[] = { { "pooling_mode_mean_tokens", "\"mean\"", 1 },
		    { "pooling_mode_cls_token", "\"cls\"", 2 },
		    { "pooling_mode_lasttoken", "\"lasttoken\"", 3 } };
	struct json_val cfg, mode;
	char name[512], key[128];

	if (path.n == 0 || path.n > 200 || memchr(path.p, '/', path.n) || str_is(path, ".."))
		return err_set(e, ERR_OPEN, "modules.json: the pooling module has no folder");
	snprintf(name, sizeof name, "%.*s/config.json", (int)path.n, path.p);
	if (read_json(&cfg, im, name, true, e))
		return -1;
	mode = json_get(cfg, "pooling_mode");
	for (size_t i = 0; i < sizeof map / sizeof *map; i++)
		if (json_get(cfg, map[i].flag).type == JSON_TRUE ||
		    (mode.type == JSON_STRING && str_is(mode.raw, map[i].mode))) {
			snprintf(key, sizeof key, "%s.pooling_type", import_arch_name(im));
			return gguf_put_u32(w, key, map[i].type, e);
		}
	return err_set(e, ERR_UNSUPPORTED,
		       "%s: only mean, cls and last-token pooling are supported", name);
}

/* The modules of a sentence-transformers folder. */
static int put_modules(struct gguf_writer *w, struct import *im, struct err *e)
{
	struct json_val mods, m;
	struct json_iter it;
	bool normalize = false;

	if (read_json(&mods, im, "modules.json", false, e))
		return -1;
	it = json_iter(mods);
	while (json_next(&m, &it)) {
		struct str type, path;

		if (json_str(&type, json_get(m, "type"), &im->a, e) ||
		    json_str(&path, json_get(m, "path"), &im->a, e))
			return err_wrap(e, "modules.json");
		if (str_ends(type, STR("Pooling"))) {
			if (put_pooling(w, im, path, e))
				return -1;
		} else if (str_ends(type, STR("Normalize"))) {
			normalize = true;
		} else if (!str_ends(type, STR("Transformer"))) {
			return err_set(e, ERR_UNSUPPORTED,
				       "modules.json: a %.*s layer is not supported",
				       (int)(type.n < 80 ? type.n : 80), type.p);
		}
	}
	return mods.type == JSON_ARRAY ? gguf_put_bool(w, "llmu.normalize", normalize, e) : 0;
}

/* Prefixes of queries and documents, and the length that the encoder was tuned for. */
static int put_prompts(struct gguf_writer *w, struct import *im, struct err *e)
{
	static const struct {
		const char *cfg, *key;
	} map[] = { { "query", "llmu.prompt.query" },
		    { "document", "llmu.prompt.document" },
		    { "passage", "llmu.prompt.document" } };
	struct json_val cfg, prompts, v;
	struct str s;
	uint64_t n;
	bool document = false;

	if (read_json(&cfg, im, "config_sentence_transformers.json", false, e))
		return -1;
	prompts = json_get(cfg, "prompts");
	for (size_t i = 0; i < sizeof map / sizeof *map; i++) {
		v = json_get(prompts, map[i].cfg);
		if (v.type != JSON_STRING || (i == 2 && document))
			continue;
		if (json_str(&s, v, &im->a, e) || gguf_put_str(w, map[i].key, s, e))
			return -1;
		document = i == 1;
	}
	if (read_json(&cfg, im, "sentence_bert_config.json", false, e))
		return -1;
	v = json_get(cfg, "max_seq_length");
	if (v.type != JSON_NUMBER)
		return 0;
	if (json_u64(&n, v, e) || n < 1 || n > UINT32_MAX)
		return err_set(e, ERR_OPEN,
			       "sentence_bert_config.json: max_seq_length must be a count");
	return gguf_put_u32(w, "llmu.max_length", (uint32_t)n, e);
}

/* A template in a file of its own; that of tokenizer_config.json is the tokenizer's to write. */
static int put_template(struct gguf_writer *w, struct import *im, struct err *e)
{
	struct json_val doc;
	struct str text;

	if (im->has_template)
		return 0;
	if (read_text(&text, im, "chat_template.jinja", false, e) ||
	    read_json(&doc, im, "chat_template.json", false, e))
		return -1;
	if (text.n == 0 && json_get(doc, "chat_template").type == JSON_STRING &&
	    json_str(&text, json_get(doc, "chat_template"), &im->a, e))
		return -1;
	return text.n ? gguf_put_str(w, "tokenizer.chat_template", text, e) : 0;
}

/* ---- the whole --------------------------------------------------------------------------- */

static int open_tokenizer(struct import *im, struct err *e)
{
	struct json_val doc = { .type = JSON_NONE };
	struct str json, config;

	if (read_text(&json, im, "tokenizer.json", true, e))
		return err_wrap(e, "the folder needs a tokenizer.json");
	if (read_text(&config, im, "tokenizer_config.json", false, e))
		return -1;
	if (config.n && json_parse(&doc, config, e))
		return err_wrap(e, "tokenizer_config.json");
	im->has_template = json_get(doc, "chat_template").type >= JSON_STRING;
	return tok_open_json(&im->tok, json, config, im->dir, e);
}

static int check_config(struct import *im, struct err *e)
{
	struct stat st;

	if (stat(im->dir, &st))
		return err_sys(e, ERR_OPEN, errno, "%s", im->dir);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_OPEN, "%s: not a folder; give the folder with config.json",
			       im->dir);
	if (read_json(&im->cfg, im, "config.json", true, e))
		return -1;
	if (import_cfg(im, "quantization_config").type != JSON_NONE)
		return err_set(e, ERR_UNSUPPORTED,
			       "config.json: the weights are quantized already; import the "
			       "unquantized model");
	return import_arch_find(im, e);
}

static int put_keys(struct gguf_writer *w, struct import *im, const struct llm_import_opts *o,
		    struct err *e)
{
	return put_general(w, im, o, e) || put_license(w, im, e) || put_sampling(w, im, e) ||
	       import_arch_keys(w, im, e) || put_modules(w, im, e) || put_prompts(w, im, e) ||
	       tok_put_gguf(im->tok, w, e) || put_template(w, im, e);
}

static int write_all(struct import *im, const char *out_path, const struct llm_import_opts *o,
		     struct err *e)
{
	struct gguf_writer *w = NULL;
	struct os_pool *pool = NULL;
	int r = -1;

	if (os_pool_new(&pool, o->threads ? o->threads : os_cpus(), e) ||
	    gguf_writer_new(&w, out_path, e) || put_keys(w, im, o, e) ||
	    pack_write(w, im->items, im->n, pool, e))
		goto out;
	r = gguf_writer_commit(w, e);
	w = NULL;
out:
	gguf_writer_abort(w);
	if (pool)
		os_pool_free(pool);
	return r;
}

int llm_import(const char *dir, const char *out_path, const struct llm_import_opts *o,
	       struct err *e)
{
	struct import im = { .dir = dir };
	int r = -1;

	arena_init(&im.a, BUF_MAX_TEXT);
	if (pack_kind_find(&im.kind, o->type ? o->type : "f16", e))
		goto out;
	if (check_config(&im, e) || safet_open(&im.st, dir, e) || open_tokenizer(&im, e))
		goto wrap;
	im.used = calloc(safet_n_tensors(im.st) + 1, sizeof *im.used);
	if (!im.used) {
		err_nomem(e);
		goto out;
	}
	if (!import_arch_tensors(&im, e) && !write_all(&im, out_path, o, e))
		r = 0;
wrap:
	if (r && e && strncmp(e->text, dir, strlen(dir)) != 0)
		err_wrap(e, "%s", dir);
out:
	free(im.used);
	free(im.items);
	tok_close(im.tok);
	safet_close(im.st);
	arena_release(&im.a);
	return r;
}
