/* gguf_json: values of keys as JSON. */
#include "config.h"
#include "gguf/gguf_impl.h"
#include "base/banned.h"

/* Element i of a key, or for strings the next one, as JSON. */
static void add_elem(struct json_w *w, const struct gguf_key *k, uint64_t i, size_t *cursor)
{
	struct str s = { (const char *)k->p, k->bytes };
	uint64_t u = 0;
	int64_t v;
	float f;
	double d;

	if (k->elem == GGUF_K_STRING) {
		if (k->kind == GGUF_K_ARRAY)
			gguf_next_str(&s, k, cursor);
		json_w_str(w, s);
		return;
	}
	switch (k->elem) {
	case GGUF_K_F32:
		memcpy(&f, k->p + 4 * i, 4);
		json_w_f32(w, f);
		return;
	case GGUF_K_F64:
		memcpy(&d, k->p + 8 * i, 8);
		json_w_f64(w, d);
		return;
	case GGUF_K_BOOL:
		json_w_bool(w, k->p[i] != 0);
		return;
	case GGUF_K_I8:
		json_w_i64(w, (int8_t)k->p[i]);
		return;
	case GGUF_K_I16:
		memcpy(&u, k->p + 2 * i, 2);
		json_w_i64(w, (int16_t)u);
		return;
	case GGUF_K_I32:
		memcpy(&u, k->p + 4 * i, 4);
		json_w_i64(w, (int32_t)u);
		return;
	case GGUF_K_I64:
		memcpy(&v, k->p + 8 * i, 8);
		json_w_i64(w, v);
		return;
	default: {
		size_t n = k->elem == GGUF_K_U8    ? 1
			   : k->elem == GGUF_K_U16 ? 2
			   : k->elem == GGUF_K_U32 ? 4
						   : 8;

		memcpy(&u, k->p + n * i, n);
		json_w_u64(w, u);
	}
	}
}

void gguf_key_json(struct json_w *w, const struct gguf_key *k, uint64_t max)
{
	uint64_t n = k->n < max ? k->n : max;
	size_t cursor = 0;

	if (k->kind != GGUF_K_ARRAY) {
		add_elem(w, k, 0, &cursor);
		return;
	}
	json_w_begin(w, '[');
	for (uint64_t i = 0; i < n; i++)
		add_elem(w, k, i, &cursor);
	if (n < k->n)
		buf_addf(w->b, ", … %llu in all", (unsigned long long)k->n);
	json_w_end(w, ']');
}
