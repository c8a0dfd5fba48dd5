/*
 * model_fuzz: any bytes as a model file: refused, or opened and run over a few tokens. The second half of what llm-model,
 * llm-embed and llm-generate do with a file that somebody else made; gguf_fuzz is the first.
 */
#include "config.h"
#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(struct model *m, struct err *e)
{
	static float out[1 << 16];
	int32_t ids[5] = { 0, 1, 2, 3, 1 }, start[3] = { 0, 2, 5 }, row = 4;
	const struct model_info *i = model_info(m);
	struct model_kv *kv = NULL;
	model_seq s = 0, seqs[5];

	if (i->n_vocab > 1 << 16 || i->n_out > 1 << 14)
		return;
	if (i->embeds)
		model_encode(m, ids, start, 2, true, out, e);
	if (i->encoder || model_kv_new(&kv, m, 64, e))
		return;
	if (!model_seq_new(&s, kv, e)) {
		for (int t = 0; t < 5; t++)
			seqs[t] = s;
		struct model_step step = { .n = 5, .ids = ids, .seqs = seqs, .n_out = 1, .rows = &row, .logits = out };
		model_forward(m, kv, &step, NULL, e);
	}
	model_kv_free(kv);
}

/* What an adapter is laid over. */
static const struct gguf *base(struct err *e)
{
	static struct gguf *g;
	const char *dir = os_env("top_srcdir");
	char path[4096];

	snprintf(path, sizeof path, "%s/tests/fixtures/tiny-llama.gguf", dir ? dir : ".");
	if (!g && gguf_open(&g, path, e))
		abort();
	return g;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct os_pool *pool;
	struct model_opts o = { .max_batch = 8, .pooling = -1 };
	struct model_lora lora = { .scale = 1 };
	struct gguf *g = NULL;
	struct model *m = NULL;
	struct err e = { 0 };

	if (!pool && (kern_init("scalar", &e) || os_pool_new(&pool, 1, &e)))
		abort();
	if (!gguf_open_mem(&g, data, size, "fuzz", &e)) {
		lora.g = g;
		o.loras = &lora;
		o.n_loras = str_is(gguf_str_or(g, "general.type", STR("")), "adapter");
		if (!model_open(&m, o.n_loras ? base(&e) : g, pool, &o, &e))
			run(m, &e);
	}
	model_close(m);
	gguf_close(g);
	return 0;
}
