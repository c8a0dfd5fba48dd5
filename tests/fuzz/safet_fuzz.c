/* safet_fuzz: any bytes as a safetensors file; the data of what opens are read. */
#include "config.h"
#include "gguf/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	struct safet *s;
	unsigned sum = 0;

	if (safet_open_mem(&s, data, size, "fuzz", &e))
		return 0;
	for (size_t i = 0; i < safet_n_tensors(s); i++) {
		const struct gguf_tensor *t = safet_tensor_at(s, i);

		sum += (unsigned)t->data[0] + t->data[t->bytes - 1] +
		       (unsigned char)t->name.p[t->name.n - 1];
	}
	sink = sum + (safet_find(s, "a") ? 1 : 0);
	safet_close(s);
	return 0;
}
