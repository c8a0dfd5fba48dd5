/* llm: opening a model file: header, tokenizer, chat template, weights, threads. */
#include "config.h"
#include "kern/kern.h"
#include "llm/gen_impl.h"

struct llm {
	struct gguf *g;
	struct tok *tok;
	struct tok_tmpl *chat;
	struct err chat_err;
	struct os_pool *pool;
	struct model *model;
	struct llm_opts o;
	char *name;
	char digest[HASH_HEX_LEN + 1];
	bool digest_known;
	struct adapter {
		struct gguf *g;
		char *name;
		char digest[HASH_HEX_LEN + 1];
	} *adapters;
	struct model_lora *loras; /* of the same number */
	size_t n_loras;
};

/* File name without folder, ".gguf" and the number of a part ("-00001-of-00002"). */
static char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	struct str s = str_of(slash ? slash + 1 : path);
	static const char shape[] = "-00000-of-00000";
	size_t n = sizeof shape - 1;
	bool part;
	char *out;

	if (str_ends(s, STR(".gguf")) && s.n > 5)
		s.n -= 5;
	part = s.n > n;
	for (size_t i = 0; part && i < n; i++) {
		char c = s.p[s.n - n + i];

		part = shape[i] == '0' ? c >= '0' && c <= '9' : c == shape[i];
	}
	if (part)
		s.n -= n;
	out = malloc(s.n + 1);
	if (out) {
		memcpy(out, s.p, s.n);
		out[s.n] = 0;
	}
	return out;
}

static int kv_type(uint32_t *out, const char *name, struct err *e)
{
	static const struct {
		const char *name;
		uint32_t type;
	} types[] = { { "f16", GGUF_F16 }, { "q8_0", GGUF_Q8_0 }, { "f32", MODEL_KV_F32 } };

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (!strcmp(name ? name : "f16", types[i].name)) {
			*out = types[i].type;
			return 0;
		}
	return err_set(e, ERR_USAGE, "a KV cache of type %s: choose f16, q8_0 or f32", name);
}

static int pooling(int *out, const char *name, struct err *e)
{
	static const char *const names[] = { "none", "mean", "cls", "last", "rank" };

	*out = -1;
	if (!name)
		return 0;
	for (int i = 0; i < 5; i++)
		if (!strcmp(name, names[i])) {
			*out = i;
			return 0;
		}
	return err_set(e, ERR_USAGE, "pooling %s: choose none, mean, cls, last or rank", name);
}

/* FILE or FILE:SCALE: what stands behind the last colon counts where it is a number. */
static int open_adapter(struct llm *l, const char *spec, struct err *e)
{
	struct adapter *a = &l->adapters[l->n_loras];
	struct str s = str_of(spec);
	const char *colon = strrchr(spec, ':');
	double scale = 1;
	struct buf path;
	int rc;

	if (colon && !num_f64(&scale, str_sub(s, (size_t)(colon - spec) + 1, s.n), -1e6, 1e6, NULL))
		s.n = (size_t)(colon - spec);
	buf_init(&path, 1 << 16);
	buf_adds(&path, s);
	rc = buf_check(&path, e) || gguf_open(&a->g, path.p, e);
	if (!rc) {
		a->name = name_of(path.p);
		rc = !a->name ? err_nomem(e) : llm_digest(a->digest, a->g, e);
		l->loras[l->n_loras++] = (struct model_lora){ a->g, (float)scale };
	}
	buf_release(&path);
	return rc ? -1 : 0;
}

static int open_adapters(struct llm *l, struct err *e)
{
	size_t n = l->o.n_loras;

	l->adapters = calloc(n + 1, sizeof *l->adapters);
	l->loras = calloc(n + 1, sizeof *l->loras);
	if (!l->adapters || !l->loras)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++)
		if (open_adapter(l, l->o.loras[i], e))
			return err_wrap(e, "--lora %s", l->o.loras[i]);
	return 0;
}

static int open_parts(struct llm *l, const char *path, const struct llm_opts *o, struct err *e)
{
	struct model_opts mo = { .max_batch = LLM_STEP };

	l->name = name_of(path);
	if (!l->name)
		return err_nomem(e);
	if (kv_type(&mo.kv_type, o->kv_type, e) || pooling(&mo.pooling, o->pooling, e))
		return -1;
	if (gguf_open(&l->g, path, e) || tok_open_gguf(&l->tok, l->g, o->force_tokenizer, e))
		return -1;
	/* a template that cannot be read matters only to those who need it */
	if (tok_chat_open(&l->chat, l->g, &l->chat_err))
		l->chat = NULL;
	if (o->tokenizer_only)
		return 0;
	if (kern_init(os_env("LLMU_ISA"), e) ||
	    os_pool_new(&l->pool, o->threads ? o->threads : os_cpus(), e))
		return -1;
	if (open_adapters(l, e))
		return -1;
	mo.loras = l->loras;
	mo.n_loras = l->n_loras;
	return model_open(&l->model, l->g, l->pool, &mo, e);
}

int llm_open(struct llm **out, const char *path, const struct llm_opts *o, struct err *e)
{
	struct llm *l = calloc(1, sizeof *l);

	if (!l)
		return err_nomem(e);
	l->o = *o;
	if (open_parts(l, path, o, e)) {
		llm_close(l);
		return -1;
	}
	*out = l;
	return 0;
}

void llm_close(struct llm *l)
{
	if (!l)
		return;
	model_close(l->model);
	for (size_t i = 0; i < l->n_loras; i++) {
		gguf_close(l->adapters[i].g);
		free(l->adapters[i].name);
	}
	free(l->adapters);
	free(l->loras);
	os_pool_free(l->pool);
	tok_tmpl_close(l->chat);
	tok_close(l->tok);
	gguf_close(l->g);
	free(l->name);
	free(l);
}

const char *llm_name(const struct llm *l)
{
	return l->name;
}

const char *llm_model_digest(struct llm *l)
{
	if (!l->digest_known && llm_digest(l->digest, l->g, NULL))
		l->digest[0] = 0;
	l->digest_known = true;
	return l->digest;
}

const struct tok *llm_tok(const struct llm *l)
{
	return l->tok;
}

struct model *llm_model(const struct llm *l)
{
	return l->model;
}

const struct gguf *llm_gguf(const struct llm *l)
{
	return l->g;
}

const struct tok_tmpl *llm_chat(const struct llm *l, struct err *why)
{
	if (why)
		*why = l->chat_err;
	return l->chat;
}

struct os_pool *llm_pool(const struct llm *l)
{
	return l->pool;
}

const struct llm_opts *llm_options(const struct llm *l)
{
	return &l->o;
}

uint32_t llm_ctx(const struct llm *l)
{
	int32_t trained = l->model ? model_info(l->model)->n_ctx_train : 0;
	/* kept by llm-model import: an encoder may be meant for less than its positions allow */
	uint32_t kept = gguf_u32_or(l->g, "llmu.max_length", 0);

	if (l->o.ctx || trained <= 0)
		return l->o.ctx;
	return kept && kept < (uint32_t)trained ? kept : (uint32_t)trained;
}

void llm_lora_put(struct json_w *w, const struct llm *l)
{
	if (!l->n_loras)
		return;
	json_w_key(w, "lora");
	json_w_begin(w, '[');
	for (size_t i = 0; i < l->n_loras; i++) {
		json_w_begin(w, '{');
		json_w_key(w, "name");
		json_w_strz(w, l->adapters[i].name);
		json_w_key(w, "digest");
		json_w_strz(w, l->adapters[i].digest);
		json_w_key(w, "scale");
		json_w_f32(w, l->loras[i].scale);
		json_w_end(w, '}');
	}
	json_w_end(w, ']');
}
