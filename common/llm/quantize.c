/* quantize: a GGUF file to one of another type. */
#include "config.h"
#include "llm/pack_impl.h"
#include "base/banned.h"

/* May tensor t become `type`? Quantizing what is quantized loses twice; only Q8_0 is near enough to
 * the original. */
static int check_source(const struct gguf_tensor *t, uint32_t type, struct err *e)
{
	const struct gguf_type_info *from = gguf_type_info(t->type), *to = gguf_type_info(type);

	if (from->block == 1 || to->block == 1 || t->type == GGUF_Q8_0 || t->type == type)
		return 0;
	return err_set(
		e, ERR_UNSUPPORTED,
		"tensor %.*s is %s already; quantize from the model's F32, F16, BF16 or Q8_0 file",
		(int)t->name.n, t->name.p, from->name);
}

static int copy_keys(struct gguf_writer *w, const struct gguf *g, const struct pack_kind *k, bool fit,
		     struct err *e)
{
	bool typed = false;

	for (size_t i = 0; i < gguf_n_keys(g); i++) {
		const struct gguf_key *key = gguf_key_at(g, i);

		if (str_starts(key->name, STR("split.")) ||
		    str_is(key->name, "general.quantization_version") || str_is(key->name, "llmu.fitted"))
			continue;
		if (str_is(key->name, "general.file_type")) {
			typed = true;
			if (gguf_put_u32(w, "general.file_type", k->file_type, e))
				return -1;
		} else if (gguf_put_raw(w, key, e)) {
			return -1;
		}
	}
	if (!typed && gguf_put_u32(w, "general.file_type", k->file_type, e))
		return -1;
	if (fit && gguf_put_bool(w, "llmu.fitted", true, e))
		return -1;
	return gguf_put_u32(w, "general.quantization_version", 2, e);
}

static const char *arch_key(char key[128], const struct gguf *g, const char *suffix)
{
	struct str arch = gguf_str_or(g, "general.architecture", STR(""));

	snprintf(key, 128, "%.*s.%s", (int)(arch.n < 64 ? arch.n : 64), arch.p, suffix);
	return key;
}

static bool is_encoder(const struct gguf *g)
{
	char key[128];

	return !gguf_bool_or(g, arch_key(key, g, "attention.causal"), true);
}

static int plan(struct pack_item *items, struct arena *a, const struct gguf *g,
		const struct pack_kind *k, const struct feedbacks *f, struct err *e)
{
	char key[128];
	struct pack_model m = {
		.fit = f != NULL,
		.tied = !gguf_find_tensor(g, "output.weight"),
		.n_layer = gguf_u32_or(g, arch_key(key, g, "block_count"), 0),
		.n_expert = gguf_u32_or(g, arch_key(key, g, "expert_count"), 0),
		.encoder = is_encoder(g),
	};

	for (size_t i = 0; i < gguf_n_tensors(g); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(g, i);
		struct str name = arena_str(a, t->name);

		if (!name.p)
			return err_nomem(e);
		items[i] = pack_item_of(name.p, t);
		if (!pack_is_weight(name, t->n_dims) || t->type == GGUF_MXFP4) /* gpt-oss's experts: made so */
			continue;
		items[i].type = pack_type(k, &m, name, t->ne[0]);
		if (check_source(t, items[i].type, e))
			return -1;
		if (f && items[i].type == GGUF_Q8_0 && t->type != GGUF_Q8_0)
			items[i].feedback = feedbacks_find(f, t);
	}
	return 0;
}

int llm_quantize(const char *in_path, const char *out_path, const char *type, bool fit, struct os_pool *pool,
		 const struct llm_watch *watch, struct err *e)
{
	const struct pack_kind *k;
	struct gguf *g = NULL;
	struct gguf_writer *w = NULL;
	struct pack_item *items = NULL;
	struct feedbacks *f = NULL;
	struct arena a;
	int r = -1;

	arena_init(&a, BUF_MAX_LINE);
	if (pack_kind_find(&k, type, e) || gguf_open(&g, in_path, e))
		goto out;
	items = ckd_alloc(gguf_n_tensors(g) + 1, sizeof *items);
	if (!items) {
		err_nomem(e);
		goto out;
	}
	pack_say(watch, "%zu tensors of %s", gguf_n_tensors(g), in_path);
	if (fit && (!is_encoder(g) || k->type != GGUF_Q8_0)) {
		err_set(e, ERR_USAGE, "--fit is for encoders and q8_0: %s is %s", in_path, is_encoder(g) ? "to get another type" : "a decoder");
		goto out;
	}
	if (fit) {
		pack_say(watch, "reading a few texts with %s, to round its weights by what they meet", in_path);
		if (feedbacks_learn(&f, g, pool, e)) {
			err_wrap(e, "%s", in_path);
			goto out;
		}
	}
	if (plan(items, &a, g, k, f, e) || gguf_writer_new(&w, out_path, e) || copy_keys(w, g, k, fit, e) ||
	    pack_declare(w, items, gguf_n_tensors(g), e)) {
		err_wrap(e, "%s", in_path);
		goto out;
	}
	pack_say(watch, "writing %s as %s", out_path, k->name);
	if (pack_write(w, items, gguf_n_tensors(g), pool, watch, e)) {
		err_wrap(e, "%s", in_path);
		goto out;
	}
	r = pack_commit(w, out_path, watch, e);
	w = NULL;
out:
	gguf_writer_abort(w);
	gguf_close(g);
	free(items);
	feedbacks_free(f);
	arena_release(&a);
	return r;
}
