/* gguf_fuzz: any bytes as a GGUF file; what opens is read to the ends of all that it hands out. */
#include "config.h"
#include "gguf/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	struct gguf *g;
	unsigned sum = 0;

	if (gguf_open_mem(&g, data, size, "fuzz", &e))
		return 0;
	for (size_t i = 0; i < gguf_n_keys(g); i++) {
		const struct gguf_key *k = gguf_key_at(g, i);
		size_t at = 0;
		struct str s;
		uint32_t u;
		float f;

		while (gguf_next_str(&s, k, &at))
			sum += s.n ? (unsigned char)s.p[0] + (unsigned char)s.p[s.n - 1] : 0;
		if (k->bytes)
			sum += k->p[0] + k->p[k->bytes - 1];
		sum += gguf_elem_u32(&u, k, k->n - 1, NULL) ? 0 : u;
		sum += !gguf_elem_f32(&f, k, k->n - 1, NULL) && f > 0 ? 1 : 0;
	}
	for (size_t i = 0; i < gguf_n_tensors(g); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(g, i);

		sum += t->data[0] + t->data[t->bytes - 1];
	}
	sum += gguf_u32_or(g, "general.alignment", 0) + gguf_bool_or(g, "b", false);
	sink = sum;
	gguf_close(g);
	return 0;
}
