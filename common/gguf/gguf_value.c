/* gguf_value: the values of keys, whatever width the file chose. */
#include "config.h"
#include "gguf/gguf_impl.h"
#include "base/banned.h"
#include <math.h>

/* An integer (or truth value) at p. False for other kinds. */
static bool get_int(int64_t *out, bool *over, enum gguf_kind kind, const uint8_t *p)
{
	union {
		uint8_t u8;
		int8_t i8;
		uint16_t u16;
		int16_t i16;
		uint32_t u32;
		int32_t i32;
		uint64_t u64;
		int64_t i64;
	} v = { 0 };

	memcpy(&v, p, gguf_kind_bytes(kind));
	*over = false;
	switch (kind) {
	case GGUF_K_BOOL:
		*out = v.u8 != 0;
		return true;
	case GGUF_K_U8:
		*out = v.u8;
		return true;
	case GGUF_K_I8:
		*out = v.i8;
		return true;
	case GGUF_K_U16:
		*out = v.u16;
		return true;
	case GGUF_K_I16:
		*out = v.i16;
		return true;
	case GGUF_K_U32:
		*out = v.u32;
		return true;
	case GGUF_K_I32:
		*out = v.i32;
		return true;
	case GGUF_K_U64:
		*over = v.u64 > INT64_MAX;
		*out = *over ? INT64_MAX : (int64_t)v.u64;
		return true;
	case GGUF_K_I64:
		*out = v.i64;
		return true;
	default:
		return false;
	}
}

static bool get_float(double *out, enum gguf_kind kind, const uint8_t *p)
{
	float f;
	int64_t i;
	bool over;

	switch (kind) {
	case GGUF_K_F32:
		memcpy(&f, p, sizeof f);
		*out = (double)f;
		return true;
	case GGUF_K_F64:
		memcpy(out, p, sizeof *out);
		return true;
	case GGUF_K_BOOL:
		return false;
	default:
		if (!get_int(&i, &over, kind, p))
			return false;
		*out = (double)i;
		return true;
	}
}

/* Where element i of a key lies; a scalar answers for any i. NULL: out of bounds, or strings. */
static const uint8_t *elem_at(const struct gguf_key *k, uint64_t i)
{
	size_t size = gguf_kind_bytes(k->elem);

	if (k->kind != GGUF_K_ARRAY)
		i = 0;
	return size && i < k->n ? k->p + (size_t)i * size : NULL;
}

int gguf_elem_u32(uint32_t *out, const struct gguf_key *k, uint64_t i, struct err *e)
{
	const uint8_t *p = elem_at(k, i);
	int64_t v;
	bool over;

	if (!p)
		return err_set(e, ERR_OPEN, "key %.*s has no number %llu", GGUF_SHOW(k->name),
			       (unsigned long long)i);
	if (k->elem == GGUF_K_BOOL || !get_int(&v, &over, k->elem, p))
		return err_set(e, ERR_OPEN, "key %.*s is no integer", GGUF_SHOW(k->name));
	if (over || v < 0 || v > UINT32_MAX)
		return err_set(e, ERR_OPEN, "key %.*s is out of range", GGUF_SHOW(k->name));
	*out = (uint32_t)v;
	return 0;
}

int gguf_elem_f32(float *out, const struct gguf_key *k, uint64_t i, struct err *e)
{
	const uint8_t *p = elem_at(k, i);
	double v;

	if (!p)
		return err_set(e, ERR_OPEN, "key %.*s has no number %llu", GGUF_SHOW(k->name),
			       (unsigned long long)i);
	if (!get_float(&v, k->elem, p))
		return err_set(e, ERR_OPEN, "key %.*s is no number", GGUF_SHOW(k->name));
	*out = (float)v;
	return 0;
}

static const struct gguf_key *need(const struct gguf *g, const char *key, struct err *e)
{
	const struct gguf_key *k = gguf_find(g, key);

	if (!k)
		err_set(e, ERR_OPEN, "%s: key %s is missing", gguf_path(g), key);
	else if (k->kind == GGUF_K_ARRAY) {
		err_set(e, ERR_OPEN, "%s: key %s is an array, not one value", gguf_path(g), key);
		return NULL;
	}
	return k;
}

int gguf_str(struct str *out, const struct gguf *g, const char *key, struct err *e)
{
	const struct gguf_key *k = need(g, key, e);

	if (!k)
		return -1;
	if (k->kind != GGUF_K_STRING)
		return err_set(e, ERR_OPEN, "%s: key %s is no string", gguf_path(g), key);
	*out = (struct str){ (const char *)k->p, k->bytes };
	return 0;
}

int gguf_u32(uint32_t *out, const struct gguf *g, const char *key, struct err *e)
{
	const struct gguf_key *k = need(g, key, e);

	if (!k)
		return -1;
	return gguf_elem_u32(out, k, 0, e) ? err_wrap(e, "%s", gguf_path(g)) : 0;
}

int gguf_f32(float *out, const struct gguf *g, const char *key, struct err *e)
{
	const struct gguf_key *k = need(g, key, e);

	if (!k)
		return -1;
	if (gguf_elem_f32(out, k, 0, e))
		return err_wrap(e, "%s", gguf_path(g));
	if (!isfinite(*out))
		return err_set(e, ERR_OPEN, "%s: key %s is not finite", gguf_path(g), key);
	return 0;
}

struct str gguf_str_or(const struct gguf *g, const char *key, struct str dflt)
{
	struct str s;

	return gguf_str(&s, g, key, NULL) ? dflt : s;
}

uint32_t gguf_u32_or(const struct gguf *g, const char *key, uint32_t dflt)
{
	uint32_t v;

	return gguf_u32(&v, g, key, NULL) ? dflt : v;
}

float gguf_f32_or(const struct gguf *g, const char *key, float dflt)
{
	float v;

	return gguf_f32(&v, g, key, NULL) ? dflt : v;
}

bool gguf_bool_or(const struct gguf *g, const char *key, bool dflt)
{
	const struct gguf_key *k = need(g, key, NULL);
	int64_t v;
	bool over;

	if (!k || k->kind == GGUF_K_STRING || !get_int(&v, &over, k->kind, k->p))
		return dflt;
	return v != 0;
}

bool gguf_next_str(struct str *out, const struct gguf_key *k, size_t *cursor)
{
	uint64_t n;

	/* every length was checked when the file was opened */
	if (k->kind != GGUF_K_ARRAY || k->elem != GGUF_K_STRING || *cursor >= k->bytes)
		return false;
	memcpy(&n, k->p + *cursor, sizeof n);
	*out = (struct str){ (const char *)k->p + *cursor + sizeof n, (size_t)n };
	*cursor += sizeof n + (size_t)n;
	return true;
}
