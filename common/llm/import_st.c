/* import_st: what sentence-transformers keeps beside a model: modules.json and its folders,
 * prompts, the length limit. Files and members: huggingface/sentence-transformers. */
#include "config.h"
#include "llm/import_impl.h"
#include "base/banned.h"

/* A module's own folder, below the model's. */
static struct str module_dir(struct import *im, struct json_val m)
{
	struct str path = STR("");

	if (im->failed)
		return path;
	if (json_str(&path, json_get(m, "path"), &im->a, im->e)) {
		im->failed = true;
		err_wrap(im->e, "modules.json");
	} else if (path.n == 0 || path.n > 200 || memchr(path.p, '/', path.n) ||
		   memchr(path.p, 0, path.n) || path.p[0] == '.') {
		import_fail(im, ERR_OPEN, "modules.json: \"%.*s\" is no folder beside config.json",
			    (int)(path.n < 80 ? path.n : 80), path.p);
	}
	return path;
}

static struct json_val module_config(struct import *im, struct json_val m)
{
	struct str dir = module_dir(im, m);
	char name[256];

	snprintf(name, sizeof name, "%.*s/config.json", (int)(dir.n < 200 ? dir.n : 200), dir.p);
	if (im->failed)
		return (struct json_val){ .type = JSON_NONE };
	return import_json(im, name, true);
}

static struct str module_type(struct import *im, struct json_val m)
{
	struct str type = STR("");

	if (!im->failed && json_str(&type, json_get(m, "type"), &im->a, im->e)) {
		im->failed = true;
		err_wrap(im->e, "modules.json");
	}
	return type;
}

/* ---- dense layers behind the pooling ----------------------------------------------------- */

/* EmbeddingGemma has two, without bias or activation: dense_2 and dense_3 by the folders they lie
 * in there. */
static void add_dense(struct import *im, struct json_val m)
{
	struct str dir = module_dir(im, m), type;
	int k = im->dense[0] != NULL;
	const struct gguf_tensor *t;
	struct json_val act;
	char path[4096];

	if (strcmp(im->arch->name, "gemma-embedding") || im->dense[k])
		import_fail(im, ERR_UNSUPPORTED,
			    "modules.json: a Dense layer is not supported in a %s model%s",
			    im->arch->name, im->dense[k] ? " behind two others" : "");
	act = json_get(module_config(im, m), "activation_function");
	if (im->failed)
		return;
	if (act.type == JSON_STRING && !json_str(&type, act, &im->a, NULL) &&
	    !str_ends(type, STR("Identity")))
		import_fail(im, ERR_UNSUPPORTED, "%.*s: activation_function %.*s does not run here",
			    (int)dir.n, dir.p, (int)(type.n < 80 ? type.n : 80), type.p);
	snprintf(path, sizeof path, "%s/%.*s", im->dir, (int)dir.n, dir.p);
	if (!im->failed && safet_open(&im->dense[k], path, im->e))
		im->failed = true;
	if (im->failed)
		return;
	t = safet_find(im->dense[k], "linear.weight");
	if (!t || t->n_dims != 2 || safet_n_tensors(im->dense[k]) != 1)
		import_fail(
			im, ERR_UNSUPPORTED,
			"%.*s: a Dense layer must have the tensor linear.weight and nothing else",
			(int)dir.n, dir.p);
	else
		import_add_tensor(im, k ? "dense_3.weight" : "dense_2.weight", t);
}

/* ---- rerankers that answer yes or no ------------------------------------------------------- */

/* Qwen3-Reranker: LogitScore of sentence-transformers names the two tokens. */
static void read_logit_score(struct import *im, struct json_val m)
{
	struct json_val cfg = module_config(im, m), yes = json_get(cfg, "true_token_id"),
			no = json_get(cfg, "false_token_id");
	uint64_t a, b, n = tok_n_vocab(im->tok);

	if (im->failed)
		return;
	if (strcmp(im->arch->name, "qwen3"))
		import_fail(im, ERR_UNSUPPORTED,
			    "modules.json: a LogitScore layer is not supported in a %s model",
			    im->arch->name);
	else if (json_u64(&a, yes, NULL) || json_u64(&b, no, NULL) || a >= n || b >= n || a == b)
		import_fail(im, ERR_UNSUPPORTED,
			    "modules.json: LogitScore must name two tokens of the vocabulary");
	if (im->failed)
		return;
	im->yes = (int32_t)a;
	im->no = (int32_t)b;
}

/* The same model from before that: its page says what it is (ggml-org/llama.cpp conversion/qwen.py
 * looks there too). */
static void look_for_reranker(struct import *im)
{
	struct str page =
		strcmp(im->arch->name, "qwen3") ? STR("") : import_text(im, "README.md", false);

	if (str_find(page, STR("# Qwen3-Reranker"), 0) >= page.n)
		return;
	im->yes = tok_find(im->tok, STR("yes"));
	im->no = tok_find(im->tok, STR("no"));
	if (im->yes < 0 || im->no < 0)
		import_fail(
			im, ERR_UNSUPPORTED,
			"README.md: Qwen3-Reranker, but the tokenizer has no \"yes\" and \"no\"");
}

/*
 * The prompt of Qwen3-Reranker's page, {query} and {document} being what llama.cpp's server and
 * llm-embed fill; under the key that llama.cpp has for it.
 */
static void put_rerank_prompt(struct import *im)
{
	static const char prompt[] =
		"<|im_start|>system\nJudge whether the Document meets the requirements based on "
		"the Query and the Instruct "
		"provided. Note that the answer can only be \"yes\" or "
		"\"no\".<|im_end|>\n<|im_start|>user\n<Instruct>: Given a "
		"web search query, retrieve relevant passages that answer the query\n<Query>: "
		"{query}\n<Document>: "
		"{document}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
	struct str names[1] = { STR("rerank") };

	if (!im->failed)
		im->failed = gguf_put_strs(im->w, "tokenizer.chat_templates", names, 1, im->e) ||
			     gguf_put_str(im->w, "tokenizer.chat_template.rerank", str_of(prompt),
					  im->e);
}

void import_modules(struct import *im)
{
	struct json_iter it;
	struct json_val m;

	im->yes = im->no = -1;
	look_for_reranker(im);
	im->modules = import_json(im, "modules.json", false);
	it = json_iter(im->modules);
	while (!im->failed && json_next(&m, &it)) {
		struct str type = module_type(im, m);

		if (str_ends(type, STR("Dense")))
			add_dense(im, m);
		else if (str_ends(type, STR("LogitScore")))
			read_logit_score(im, m);
		else if (!str_ends(type, STR("Transformer")) && !str_ends(type, STR("Pooling")) &&
			 !str_ends(type, STR("Normalize")))
			import_fail(im, ERR_UNSUPPORTED,
				    "modules.json: a %.*s layer is not supported",
				    (int)(type.n < 80 ? type.n : 80), type.p);
	}
	if (!im->failed && im->dense[0] && !im->dense[1])
		import_fail(im, ERR_UNSUPPORTED,
			    "modules.json: one Dense layer alone is not supported");
}

static void put_dense(struct import *im)
{
	static const char *const keys[2][2] = { { "dense_2_feat_in", "dense_2_feat_out" },
						{ "dense_3_feat_in", "dense_3_feat_out" } };

	for (int k = 0; k < 2 && im->dense[k] && !im->failed; k++) {
		const struct gguf_tensor *t = safet_find(im->dense[k], "linear.weight");

		for (int i = 0; i < 2; i++) {
			if (t->ne[i] > INT32_MAX)
				import_fail(im, ERR_OPEN, "a Dense layer of %lld numbers",
					    (long long)t->ne[i]);
			import_put_u32(im, keys[k][i], (uint32_t)t->ne[i]);
		}
	}
}

/* ---- pooling, prompts, length ------------------------------------------------------------ */

/* Pooling of 1_Pooling/config.json; 1 mean, 2 cls, 3 last as in GGUF. */
static void put_pooling(struct import *im, struct json_val m)
{
	static const struct {
		const char *flag, *mode;
		uint32_t type;
	} map[] = { { "pooling_mode_mean_tokens", "\"mean\"", 1 },
		    { "pooling_mode_cls_token", "\"cls\"", 2 },
		    { "pooling_mode_lasttoken", "\"lasttoken\"", 3 },
		    /* others, alone or beside those */
		    { "pooling_mode_max_tokens", "\"max\"", 0 },
		    { "pooling_mode_mean_sqrt_len_tokens", "\"mean_sqrt_len_tokens\"", 0 },
		    { "pooling_mode_weightedmean_tokens", "\"weightedmean\"", 0 } };
	struct json_val cfg = module_config(im, m), mode = json_get(cfg, "pooling_mode");
	uint32_t type = 0, n = 0;

	for (size_t i = 0; i < sizeof map / sizeof *map; i++)
		if (json_get(cfg, map[i].flag).type == JSON_TRUE ||
		    (mode.type == JSON_STRING && str_is(mode.raw, map[i].mode))) {
			type = map[i].type;
			n++;
		}
	if (n != 1 || !type)
		import_fail(im, ERR_UNSUPPORTED,
			    "modules.json: of poolings only mean, cls and last-token, one of them, "
			    "are supported");
	import_put_u32(im, "pooling_type", type);
}

static void put_key_str(struct import *im, const char *key, struct json_val v)
{
	struct str s;

	if (!im->failed)
		im->failed = json_str(&s, v, &im->a, im->e) || gguf_put_str(im->w, key, s, im->e);
}

/* Prefixes of queries and documents, and the length that the encoder was tuned for. */
static void put_prompts(struct import *im)
{
	struct json_val prompts =
		json_get(import_json(im, "config_sentence_transformers.json", false), "prompts");
	struct json_val query = json_get(prompts, "query"), doc = json_get(prompts, "document");
	struct json_val max =
		json_get(import_json(im, "sentence_bert_config.json", false), "max_seq_length");
	uint64_t n;

	if (doc.type != JSON_STRING)
		doc = json_get(prompts, "passage");
	if (query.type == JSON_STRING)
		put_key_str(im, "llmu.prompt.query", query);
	if (doc.type == JSON_STRING)
		put_key_str(im, "llmu.prompt.document", doc);
	if (im->failed || max.type != JSON_NUMBER)
		return;
	if (json_u64(&n, max, NULL) || n < 1 || n > INT32_MAX)
		import_fail(im, ERR_OPEN,
			    "sentence_bert_config.json: max_seq_length must be a count");
	else
		im->failed = gguf_put_u32(im->w, "llmu.max_length", (uint32_t)n, im->e) != 0;
}

/* One name a row of the head: id2label, {"0": "LABEL_0", …}. */
static void put_labels(struct import *im)
{
	static const char *const answers[] = { "yes", "no" };
	struct json_val names = json_get(im->cfg, "id2label"), v;
	struct str *labels;
	int64_t n = 0;
	char key[160];

	for (size_t i = 0; i < im->n; i++)
		if (!strcmp(im->items[i].name, "cls.output.weight"))
			n = im->items[i].ne[1];
	if (n < 1 || n > 1024) {
		import_fail(im, ERR_OPEN, "a classifier of %lld labels", (long long)n);
		return;
	}
	labels = arena_alloc(&im->a, (size_t)n * sizeof *labels);
	for (int64_t i = 0; labels && i < n; i++) {
		snprintf(key, sizeof key, "%lld", (long long)i);
		v = json_get(names, key);
		snprintf(key, sizeof key, "LABEL_%lld", (long long)i);
		labels[i] = arena_str(&im->a, str_of(im->yes >= 0 ? answers[i & 1] : key));
		if (im->yes < 0 && v.type == JSON_STRING && json_str(&labels[i], v, &im->a, im->e))
			labels = NULL;
	}
	if (!labels || im->failed) {
		import_fail(im, ERR_OPEN, "config.json: id2label cannot be read");
		return;
	}
	import_put_u32(im, "pooling_type", 4);
	snprintf(key, sizeof key, "%s.classifier.output_labels", im->arch->name);
	if (!im->failed)
		im->failed = gguf_put_strs(im->w, key, labels, (uint64_t)n, im->e) != 0;
}

void import_put_modules(struct import *im)
{
	struct json_iter it = json_iter(im->modules);
	struct json_val m;
	bool normalize = false;

	if (im->classifier || im->yes >= 0)
		put_labels(im);
	if (im->yes >= 0)
		put_rerank_prompt(im);
	while (!im->failed && json_next(&m, &it)) {
		struct str type = module_type(im, m);

		if (str_ends(type, STR("Pooling")) && !im->classifier && im->yes < 0)
			put_pooling(im, m);
		normalize |= str_ends(type, STR("Normalize"));
	}
	put_dense(im);
	put_prompts(im);
	if (im->modules.type == JSON_ARRAY && !im->failed)
		im->failed = gguf_put_bool(im->w, "llmu.normalize", normalize, im->e) != 0;
}
