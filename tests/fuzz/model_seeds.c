/* model_seeds DIR: writes the seeds of gguf_fuzz (DIR/gguf) and safet_fuzz (DIR/safet), a few
 * hundred bytes each. */
#include "config.h"
#include "gguf/gguf.h"
#include "base/banned.h"

static int seed_gguf(const char *path, unsigned which, struct err *e)
{
	static const struct str words[] = { { "one", 3 }, { "", 0 }, { "\xe2\x96\x81two", 6 } };
	static const uint32_t layers[] = { 1, 2, 3 };
	static const float zeros[64];
	struct gguf_writer *w;
	int r;

	if (gguf_writer_new(&w, path, e))
		return -1;
	r = gguf_put_str(w, "general.architecture", STR("llama"), e);
	if (which & 1)
		r = r || gguf_put_u32(w, "llama.block_count", 2, e) ||
		    gguf_put_f32(w, "llama.eps", 1e-5f, e) || gguf_put_bool(w, "b", true, e) ||
		    gguf_put_array(w, "layers", GGUF_K_U32, layers, 3, e);
	if (which & 2)
		r = r || gguf_put_strs(w, "tokenizer.ggml.tokens", words, 3, e) ||
		    gguf_put_u32(w, "general.alignment", 64, e);
	if (which & 4)
		r = r ||
		    gguf_put_tensor(w, "token_embd.weight", GGUF_F32, 2, (int64_t[]){ 8, 2 }, e) ||
		    gguf_put_tensor(w, "blk.0.attn_q.weight", GGUF_Q4_0, 1, (int64_t[]){ 32 }, e) ||
		    gguf_write_data(w, zeros, 64 + 18, e);
	if (r) {
		gguf_writer_abort(w);
		return -1;
	}
	return gguf_writer_commit(w, e);
}

static int seed_safet(const char *path, const char *header, size_t data, struct err *e)
{
	struct os_atomic *f;
	uint64_t n = strlen(header);
	static const char zeros[64];

	if (os_atomic_open(&f, path, 0666, e))
		return -1;
	if (os_atomic_write(f, &n, 8, e) || os_atomic_write(f, header, (size_t)n, e) ||
	    os_atomic_write(f, zeros, data, e)) {
		os_atomic_abort(f);
		return -1;
	}
	return os_atomic_commit(f, e);
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	char path[4096];
	int r = 0;

	if (argc != 2)
		return 2;
	for (const char *const *d = (const char *const[]){ "gguf", "safet", NULL }; *d && !r; d++) {
		snprintf(path, sizeof path, "%s/%s", argv[1], *d);
		r = os_mkdirs(path, 0777, &e);
	}
	for (unsigned i = 0; i < 8 && !r; i++) {
		snprintf(path, sizeof path, "%s/gguf/%u", argv[1], i);
		r = seed_gguf(path, i, &e);
	}
	if (!r) {
		snprintf(path, sizeof path, "%s/safet/0", argv[1]);
		r = seed_safet(path, "{}", 0, &e);
	}
	if (!r) {
		snprintf(path, sizeof path, "%s/safet/1", argv[1]);
		r = seed_safet(path,
			       "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"BF16\","
			       "\"shape\":[2,3],"
			       "\"data_offsets\":[0,12]},\"b.\\u0062\":{\"dtype\":\"F32\","
			       "\"shape\":[],\"data_offsets\":"
			       "[12,16]}}",
			       16, &e);
	}
	if (r)
		fprintf(stderr, "model_seeds: %s\n", e.text);
	return r ? 1 : 0;
}
