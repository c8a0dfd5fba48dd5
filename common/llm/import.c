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

struct str import_text(struct import *im, const char *name, bool need)
{
	struct str s = STR("");
	struct buf path, text;

	if (im->failed)
		return s;
	buf_init(&path, MAX_PATH);
	buf_init(&text, MAX_JSON);
	buf_addf(&path, "%s/%s", im->dir, name);
	if (buf_check(&path, im->e)) {
		im->failed = true;
	} else if (need || !access(path.p, F_OK)) {
		im->failed = os_read_file(&text, path.p, MAX_JSON, im->e) != 0;
		s = arena_str(&im->a, buf_str(&text));
		if (!s.p) {
			err_nomem(im->e);
			im->failed = true;
			s = STR("");
		}
	}
	buf_release(&path);
	buf_release(&text);
	return s;
}

struct json_val import_json(struct import *im, const char *name, bool need)
{
	struct json_val v = { .type = JSON_NONE };
	struct str text = import_text(im, name, need);

	if (im->failed || (text.n == 0 && !need) || !json_parse(&v, text, im->e))
		return v;
	if (im->e && im->e->code != ERR_NOMEM)
		im->e->code = ERR_OPEN;
	err_wrap(im->e, "%s", name);
	im->failed = true;
	return (struct json_val){ .type = JSON_NONE };
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

	while (i < 3 && (double)n <= steps[i].over)
		i++;
	v = (double)n * steps[i].scale;
	snprintf(out, 32, "%.*f%c", nearbyint(v) >= 10 ? 0 : 1, v, steps[i].suffix);
}

static void put_str(struct import *im, const char *key, struct str v)
{
	if (!im->failed)
		im->failed = gguf_put_str(im->w, key, v, im->e) != 0;
}

static void put_u32(struct import *im, const char *key, uint32_t v)
{
	if (!im->failed)
		im->failed = gguf_put_u32(im->w, key, v, im->e) != 0;
}

/* The folder's own name; in Hugging Face's cache (models--ORG--NAME/snapshots/HASH) the model's. */
static struct str folder_name(struct import *im)
{
	char *real = realpath(im->dir, NULL);
	struct str s = str_of(real ? real : im->dir), kept;
	size_t at = str_find(s, STR("/models--"), 0), next, end;

	if (at < s.n) {
		end = str_find(s, STR("/"), at + 1);
		while ((next = str_find(s, STR("--"), at)) < end)
			at = next + 2;
		s = str_sub(s, at, end);
	}
	for (size_t i = s.n; i > 0; i--)
		if (s.p[i - 1] == '/') {
			s = str_sub(s, i, s.n);
			break;
		}
	kept = arena_str(&im->a, s);
	free(real);
	return kept.p ? kept : STR("model");
}

static void put_general(struct import *im, const struct llm_import_opts *o)
{
	struct str name = o->name ? str_of(o->name) : folder_name(im);
	char label[32];

	size_label(label, im->n_params);
	put_str(im, "general.architecture", str_of(im->arch->name));
	put_str(im, "general.type", STR("model"));
	put_str(im, "general.name", name);
	put_str(im, "general.size_label", str_of(label));
	put_u32(im, "general.file_type", im->kind->file_type);
	put_u32(im, "general.quantization_version", 2);
}

/* The licence by its SPDX-like word, from the front matter of README.md: a line "license: …"
 * between two of "---". */
static void put_license(struct import *im)
{
	struct str text = import_text(im, "README.md", false);
	size_t at, end;

	if (!str_starts(text, STR("---\n")))
		return;
	for (at = 4; at < text.n && !str_starts(str_sub(text, at, text.n), STR("---"));
	     at = end + 1) {
		struct str line;

		end = str_find(text, STR("\n"), at);
		line = str_sub(text, at, end);
		if (!str_starts(line, STR("license:")))
			continue;
		line = str_trim(str_sub(line, 8, line.n));
		if (line.n)
			put_str(im, "general.license", line);
		return;
	}
}

/* The author's sampler, of generation_config.json: general.sampling.* (gguf-py metadata.py). */
static void put_sampling(struct import *im)
{
	static const struct {
		const char *cfg, *key;
		bool integer;
	} map[] = { { "temperature", "general.sampling.temp", false },
		    { "top_k", "general.sampling.top_k", true },
		    { "top_p", "general.sampling.top_p", false },
		    { "min_p", "general.sampling.min_p", false },
		    { "repetition_penalty", "general.sampling.penalty_repeat", false } };
	struct json_val gen = import_json(im, "generation_config.json", false);

	for (size_t i = 0; i < sizeof map / sizeof *map && !im->failed; i++) {
		struct json_val v = json_get(gen, map[i].cfg);
		double d;

		if (v.type != JSON_NUMBER)
			continue;
		if (json_f64(&d, v, NULL) || !(d >= 0 && d < 1e6))
			import_fail(im, ERR_OPEN, "generation_config.json: %s is out of range",
				    map[i].cfg);
		else if (map[i].integer)
			im->failed = gguf_put_i32(im->w, map[i].key, (int32_t)d, im->e) != 0;
		else
			im->failed = gguf_put_f32(im->w, map[i].key, (float)d, im->e) != 0;
	}
}

/* The id of config.json or generation_config.json: a number, or the first of a list; -1 where there
 * is none. */
static int32_t config_id(struct import *im, const char *name, bool last)
{
	struct json_val v = json_get(import_json(im, "generation_config.json", false), name), x;
	struct json_iter it;
	int32_t id = -1;
	uint64_t u;

	if (v.type != JSON_NUMBER && v.type != JSON_ARRAY)
		v = import_cfg(im, name);
	if (v.type == JSON_NUMBER && !json_u64(&u, v, NULL) && u < tok_n_vocab(im->tok))
		id = (int32_t)u;
	it = json_iter(v);
	while (v.type == JSON_ARRAY && json_next(&x, &it) && (last || id < 0))
		if (!json_u64(&u, x, NULL) && u < tok_n_vocab(im->tok) &&
		    !(last && tok_is_eog(im->tok, (int32_t)u)))
			id = (int32_t)u;
	return id;
}

/* Special tokens that the tokenizer's own files leave out; one more end where the ends are a list.
 */
static void put_ids(struct import *im)
{
	int32_t bos = config_id(im, "bos_token_id", false),
		eos = config_id(im, "eos_token_id", false);
	int32_t eot = config_id(im, "eos_token_id", true), own = tok_eos(im->tok);

	if (im->failed || im->arch->encoder)
		return;
	if (tok_bos(im->tok) < 0 && bos >= 0)
		put_u32(im, "tokenizer.ggml.bos_token_id", (uint32_t)bos);
	if (own < 0 && eos >= 0)
		put_u32(im, "tokenizer.ggml.eos_token_id", (uint32_t)eos);
	if (eot >= 0 && !tok_is_eog(im->tok, eot) && eot != (own < 0 ? eos : own))
		put_u32(im, "tokenizer.ggml.eot_token_id", (uint32_t)eot);
}

/* A template in a file of its own; that of tokenizer_config.json is the tokenizer's to write. */
static void put_template(struct import *im)
{
	struct json_val v;
	struct str text;

	if (im->has_template)
		return;
	text = import_text(im, "chat_template.jinja", false);
	v = json_get(import_json(im, "chat_template.json", false), "chat_template");
	if (im->failed)
		return;
	if (text.n == 0 && v.type == JSON_STRING && json_str(&text, v, &im->a, im->e))
		im->failed = true;
	else if (text.n)
		put_str(im, "tokenizer.chat_template", text);
}

/* ---- the whole --------------------------------------------------------------------------- */

static void open_tokenizer(struct import *im)
{
	struct str json = import_text(im, "tokenizer.json", true), config;
	struct json_val doc;

	if (im->failed) {
		err_wrap(im->e,
			 "the folder needs a tokenizer.json, which transformers writes beside any other form "
			 "(AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR))");
		return;
	}
	config = import_text(im, "tokenizer_config.json", false);
	doc = import_json(im, "tokenizer_config.json", false);
	if (im->failed)
		return;
	im->has_template = json_get(doc, "chat_template").type >= JSON_STRING;
	im->failed = tok_open_json(&im->tok, json, config, im->dir, im->e) != 0;
	if (!im->failed)
		pack_say(im->watch, "tokenizer of %zu tokens%s", tok_n_vocab(im->tok),
			 im->has_template ? " with a chat template" : "");
}

/* Weights that are quantized already, but for gpt-oss's own form. */
static void check_quantized(struct import *im)
{
	struct json_val q = import_cfg(im, "quantization_config"),
			method = json_get(q, "quant_method");

	if (q.type == JSON_NONE || (!strcmp(im->arch->name, "gpt-oss") &&
				    method.type == JSON_STRING && str_is(method.raw, "\"mxfp4\"")))
		return;
	import_fail(im, ERR_UNSUPPORTED,
		    "config.json: the weights are quantized already; import the unquantized model");
}

static void open_weights(struct import *im)
{
	char path[4096];

	if (!safet_open(&im->st, im->dir, im->e))
		return;
	im->failed = true;
	snprintf(path, sizeof path, "%s/pytorch_model.bin", im->dir);
	if (!access(path, F_OK) && im->e->code != ERR_NOMEM)
		err_wrap(im->e, "pytorch_model.bin is not read (it may hold programs): save the model as "
				"safetensors with save_pretrained() of transformers");
}

static void open_folder(struct import *im)
{
	struct stat st;

	if (stat(im->dir, &st)) {
		err_sys(im->e, ERR_OPEN, errno, "%s", im->dir);
		im->failed = true;
		return;
	}
	if (!S_ISDIR(st.st_mode))
		import_fail(im, ERR_OPEN, "%s: not a folder; give the folder with config.json",
			    im->dir);
	im->cfg = import_json(im, "config.json", true);
	if (!im->failed)
		import_arch_find(im);
	if (!im->failed)
		check_quantized(im);
	if (!im->failed)
		open_weights(im);
	if (im->failed)
		return;
	pack_say(im->watch, "architecture %s, %u layers, %zu tensors", im->arch->name,
		 import_u32(im, "num_hidden_layers|n_layers|n_layer"), safet_n_tensors(im->st));
	im->used = calloc(safet_n_tensors(im->st) + 1, sizeof *im->used);
	if (!im->used) {
		err_nomem(im->e);
		im->failed = true;
	}
}

static void put_keys(struct import *im, const struct llm_import_opts *o)
{
	put_general(im, o);
	put_license(im);
	put_sampling(im);
	im->arch->keys(im);
	import_put_modules(im);
	if (!im->failed)
		im->failed = tok_put_gguf(im->tok, im->w, im->e) != 0;
	put_ids(im);
	put_template(im);
}

/* Does the engine take the file? Every key and every tensor's shape is looked at before the first
 * is converted. */
static int try_engine(void *arg, const struct gguf *g, struct err *e)
{
	struct model_opts o = { .max_batch = 1, .pooling = -1 };
	struct model *m;

	if (model_open(&m, g, arg, &o, e))
		return -1;
	model_close(m);
	return 0;
}

static void write_all(struct import *im, const char *out_path, const struct llm_import_opts *o)
{
	struct os_pool *pool = NULL;

	if (os_pool_new(&pool, o->threads ? o->threads : os_cpus(), im->e) ||
	    gguf_writer_new(&im->w, out_path, im->e)) {
		im->failed = true;
	} else {
		put_keys(im, o);
		if (!im->failed)
			im->failed =
				pack_declare(im->w, im->items, im->n, im->e) ||
				gguf_writer_try(im->w, "config.json and the tensors do not agree",
						try_engine, pool, im->e);
		pack_say(im->failed ? NULL : im->watch, "writing %s as %s", out_path,
			 im->kind->name);
		if (!im->failed)
			im->failed =
				pack_write(im->w, im->items, im->n, pool, im->watch, im->e) != 0;
	}
	if (!im->failed) {
		im->failed = pack_commit(im->w, out_path, im->watch, im->e) != 0;
		im->w = NULL;
	}
	gguf_writer_abort(im->w);
	if (pool)
		os_pool_free(pool);
}

int llm_import(const char *dir, const char *out_path, const struct llm_import_opts *o,
	       struct err *e)
{
	struct import im = { .dir = dir, .watch = o->watch, .e = e };
	struct err own = { 0 };

	if (!e)
		im.e = &own;
	if (pack_kind_find(&im.kind, o->type ? o->type : "f16", im.e))
		return -1;
	arena_init(&im.a, BUF_MAX_TEXT);
	open_folder(&im);
	if (!im.failed)
		open_tokenizer(&im);
	if (!im.failed)
		import_modules(&im);
	if (!im.failed)
		import_arch_tensors(&im);
	if (!im.failed)
		write_all(&im, out_path, o);
	if (im.failed && im.e->code >= ERR_INVALID_JSON && im.e->code <= ERR_INVALID_FIELD)
		im.e->code = ERR_OPEN; /* what is no error of a record is one of the folder */
	if (im.failed && strncmp(im.e->text, dir, strlen(dir)) != 0)
		err_wrap(im.e, "%s", dir);
	free(im.used);
	free(im.items);
	tok_close(im.tok);
	safet_close(im.st);
	safet_close(im.dense[0]);
	safet_close(im.dense[1]);
	arena_release(&im.a);
	return im.failed ? -1 : 0;
}
