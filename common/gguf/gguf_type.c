/* gguf_type: tensor types and their block sizes; sizes and kinds. */
#include "config.h"
#include "gguf/gguf_impl.h"
#include <strings.h>

/* Names, elements and bytes of a block: ggml-org/ggml src/ggml.c (type_traits) and
 * src/ggml-common.h. */
static const struct gguf_type_info types[GGUF_N_TYPES] = {
	[GGUF_F32] = { "F32", 1, 4 },
	[GGUF_F16] = { "F16", 1, 2 },
	[GGUF_Q4_0] = { "Q4_0", 32, 18 },
	[GGUF_Q4_1] = { "Q4_1", 32, 20 },
	[GGUF_Q5_0] = { "Q5_0", 32, 22 },
	[GGUF_Q5_1] = { "Q5_1", 32, 24 },
	[GGUF_Q8_0] = { "Q8_0", 32, 34 },
	[GGUF_Q8_1] = { "Q8_1", 32, 36 },
	[GGUF_Q2_K] = { "Q2_K", 256, 84 },
	[GGUF_Q3_K] = { "Q3_K", 256, 110 },
	[GGUF_Q4_K] = { "Q4_K", 256, 144 },
	[GGUF_Q5_K] = { "Q5_K", 256, 176 },
	[GGUF_Q6_K] = { "Q6_K", 256, 210 },
	[GGUF_Q8_K] = { "Q8_K", 256, 292 },
	[16] = { "IQ2_XXS", 256, 66 },
	[17] = { "IQ2_XS", 256, 74 },
	[18] = { "IQ3_XXS", 256, 98 },
	[19] = { "IQ1_S", 256, 50 },
	[GGUF_IQ4_NL] = { "IQ4_NL", 32, 18 },
	[21] = { "IQ3_S", 256, 110 },
	[22] = { "IQ2_S", 256, 82 },
	[GGUF_IQ4_XS] = { "IQ4_XS", 256, 136 },
	[GGUF_I8] = { "I8", 1, 1 },
	[GGUF_I16] = { "I16", 1, 2 },
	[GGUF_I32] = { "I32", 1, 4 },
	[GGUF_I64] = { "I64", 1, 8 },
	[GGUF_F64] = { "F64", 1, 8 },
	[29] = { "IQ1_M", 256, 56 },
	[GGUF_BF16] = { "BF16", 1, 2 },
	[34] = { "TQ1_0", 256, 54 },
	[35] = { "TQ2_0", 256, 66 },
	[GGUF_MXFP4] = { "MXFP4", 32, 17 },
	[40] = { "NVFP4", 64, 36 },
	[41] = { "Q1_0", 128, 18 },
	[42] = { "Q2_0", 64, 18 },
};

const struct gguf_type_info *gguf_type_info(uint32_t type)
{
	return type < GGUF_N_TYPES && types[type].name ? &types[type] : NULL;
}

int gguf_type_by_name(const char *name)
{
	for (int i = 0; i < GGUF_N_TYPES; i++)
		if (types[i].name && !strcasecmp(types[i].name, name))
			return i;
	return -1;
}

size_t gguf_kind_bytes(enum gguf_kind kind)
{
	switch (kind) {
	case GGUF_K_U8:
	case GGUF_K_I8:
	case GGUF_K_BOOL:
		return 1;
	case GGUF_K_U16:
	case GGUF_K_I16:
		return 2;
	case GGUF_K_U32:
	case GGUF_K_I32:
	case GGUF_K_F32:
		return 4;
	case GGUF_K_U64:
	case GGUF_K_I64:
	case GGUF_K_F64:
		return 8;
	case GGUF_K_STRING:
	case GGUF_K_ARRAY:
		break;
	}
	return 0;
}

bool gguf_tensor_bytes(size_t *out, uint32_t type, const int64_t ne[GGUF_MAX_DIMS])
{
	const struct gguf_type_info *t = gguf_type_info(type);
	int64_t n = 1;

	if (!t)
		return false;
	for (int i = 0; i < GGUF_MAX_DIMS; i++)
		if (ne[i] < 1 || !ckd_mul_i64(&n, n, ne[i]))
			return false;
	if (ne[0] % t->block)
		return false;
	return ckd_mul_size(out, (size_t)(n / t->block), t->bytes);
}

bool gguf_align_up(uint64_t *out, uint64_t n, uint64_t align)
{
	if (!ckd_add_u64(&n, n, align - 1))
		return false;
	*out = n & ~(align - 1);
	return true;
}
