/* pack: types of the tensors of a new file, and their conversion in slabs by all workers. */
#include "config.h"
#include "llm/pack_impl.h"
#include "base/banned.h"
#include <math.h>
#include <strings.h>
#include <sys/stat.h>

/* Names and general.file_type: ggml-org/llama.cpp tools/quantize, include/llama.h (llama_ftype). */
static const struct pack_kind kinds[] = {
	{ "f32", GGUF_F32, 0, 0 },      { "f16", GGUF_F16, 1, 0 },
	{ "bf16", GGUF_BF16, 32, 0 },   { "q8_0", GGUF_Q8_0, 7, 0 },
	{ "q4_0", GGUF_Q4_0, 2, 0 },    { "q4_1", GGUF_Q4_1, 3, 0 },
	{ "q5_0", GGUF_Q5_0, 8, 0 },    { "q5_1", GGUF_Q5_1, 9, 0 },
	{ "q4_k_m", GGUF_Q4_K, 15, 2 }, { "q4_k_s", GGUF_Q4_K, 14, 1 },
	{ "q5_k_m", GGUF_Q5_K, 17, 2 }, { "q5_k_s", GGUF_Q5_K, 16, 0 },
	{ "q6_k", GGUF_Q6_K, 18, 0 },
};
#define N_KINDS (sizeof kinds / sizeof *kinds)

int pack_kind_find(const struct pack_kind **out, const char *name, struct err *e)
{
	struct buf b;

	if (!strcasecmp(name, "q4_k") || !strcasecmp(name, "q5_k"))
		return pack_kind_find(out, name[1] == '4' ? "q4_k_m" : "q5_k_m", e);
	buf_init(&b, 256);
	for (size_t i = 0; i < N_KINDS; i++) {
		if (!kern_can_quantize(kinds[i].type))
			continue;
		buf_addf(&b, " %s", kinds[i].name);
		if (!strcasecmp(name, kinds[i].name)) {
			*out = &kinds[i];
			buf_release(&b);
			return 0;
		}
	}
	err_set(e, ERR_USAGE, "type \"%.40s\" is none of%s", name, buf_str(&b).p);
	buf_release(&b);
	return -1;
}

/* ---- which type -------------------------------------------------------------------------- */

bool pack_is_weight(struct str name, uint32_t n_dims)
{
	/* ggml-org/llama.cpp src/llama-quant.cpp, tensor_allows_quantization(), for the models
	 * known here */
	static const char *const keep[] = {
		"_norm.weight", "ffn_gate_inp.weight",  "position_embd", "token_types",
		"ssm_conv1d",   "shortconv.conv",       "altup",         "laurel",
		"attn_rel_b",   "per_layer_model_proj", "cls.output"
	};

	if (n_dims < 2 || !str_ends(name, STR("weight")))
		return false;
	for (size_t i = 0; i < sizeof keep / sizeof *keep; i++)
		if (str_find(name, str_of(keep[i]), 0) < name.n)
			return false;
	return true;
}

static bool has(struct str name, const char *part)
{
	return str_find(name, str_of(part), 0) < name.n;
}

static uint32_t layer_of(struct str name)
{
	uint32_t n = 0;

	if (!str_starts(name, STR("blk.")))
		return 0;
	for (size_t i = 4; i < name.n && name.p[i] >= '0' && name.p[i] <= '9' && n < 100000; i++)
		n = n * 10 + (uint32_t)(name.p[i] - '0');
	return n;
}

/* The layers of a mix that get more bits: the first and last eighth, and each third of the
 * others. */
static bool more_bits(uint32_t i, uint32_t n)
{
	return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

/* The choice by name, as llama_tensor_get_type_impl() of ggml-org/llama.cpp src/llama-quant.cpp. */
static uint32_t type_by_name(const struct pack_kind *k, const struct pack_model *m, struct str name,
			     int64_t ne0)
{
	uint32_t i = layer_of(name), n = m->n_layer;

	if (str_is(name, "output.weight") || (m->tied && str_is(name, "token_embd.weight")))
		return k->type == GGUF_Q8_0 || ne0 % gguf_type_info(k->type)->block ? GGUF_Q8_0
										    : GGUF_Q6_K;
	if (has(name, "attn_v.weight") || has(name, "attn_kv_b.weight") ||
	    has(name, "attn_qkv.weight")) {
		if (m->n_expert == 8)
			return GGUF_Q8_0;
		if (k->more_bits == 2 && more_bits(i, n))
			return GGUF_Q6_K;
		if (k->more_bits == 1 && k->type == GGUF_Q4_K && i < 4)
			return GGUF_Q5_K;
	} else if (has(name, "attn_k.weight") && m->n_expert == 8) {
		return GGUF_Q8_0;
	} else if (has(name, "ffn_down")) {
		if (k->more_bits == 2 && more_bits(i, n))
			return GGUF_Q6_K;
		if (k->more_bits == 1 && k->type == GGUF_Q4_K && i < n / 8)
			return GGUF_Q5_K;
	} else if (has(name, "attn_output.weight") && m->n_expert == 8 && k->type == GGUF_Q4_K) {
		return GGUF_Q5_K;
	}
	return k->type;
}

/* What stands in for a type whose block does not divide the row, or that cannot be made here. */
static uint32_t fallback(uint32_t type)
{
	switch (type) {
	case GGUF_Q4_K:
		return GGUF_Q5_0;
	case GGUF_Q5_K:
		return GGUF_Q5_1;
	case GGUF_Q6_K:
		return GGUF_Q8_0;
	default:
		return GGUF_F16;
	}
}

uint32_t pack_type(const struct pack_kind *k, const struct pack_model *m, struct str name,
		   int64_t ne0)
{
	uint32_t t = k->type;

	if (gguf_type_info(t)->block == 1)
		return t;
	if (m->encoder && (has(name, "attn_v.weight") || (!m->fit && has(name, "attn_output.weight"))))
		return GGUF_BF16;
	t = type_by_name(k, m, name, ne0);
	while (ne0 % gguf_type_info(t)->block || !kern_can_quantize(t))
		t = fallback(t);
	return t;
}

/* ---- the stream -------------------------------------------------------------------------- */

#define SLAB ((size_t)8 << 20) /* bytes of output worked on at once */

struct slab {
	const struct pack_item *item;
	uint8_t *out;
	int64_t first, rows, task; /* rows of the item in this slab; rows a task */
	size_t src_row, out_row;   /* bytes */
	float **scratch;           /* [workers][ne0] */
	uint8_t **raw;             /* [workers][src_row] for rows that lie unaligned */
	enum { GOOD, NOT_FINITE, TOO_LARGE } * bad; /* [workers] */
};

/* Bytes of n elements that lie in whole blocks. */
static size_t bytes_of(uint32_t type, int64_t n)
{
	const struct gguf_type_info *t = gguf_type_info(type);

	return (size_t)(n / t->block) * t->bytes;
}

/* n values of any type to f32. p may lie unaligned; raw is room for the row. */
static void load_row(float *out, const uint8_t *p, uint32_t type, int64_t n, uint8_t *raw,
		     size_t bytes)
{
	switch (type) {
	case GGUF_F32:
		memcpy(out, p, (size_t)n * sizeof *out);
		return;
	case GGUF_F64:
		for (int64_t i = 0; i < n; i++) {
			double d;

			memcpy(&d, p + 8 * i, 8);
			out[i] = (float)d;
		}
		return;
	default:
		if ((uintptr_t)p % 4) {
			memcpy(raw, p, bytes);
			p = raw;
		}
		kern_dequant(out, p, type, n);
	}
}

/* Row r of a slice is this row of its source. */
static int64_t source_row(const struct pack_item *it, int64_t r)
{
	int64_t d, o;

	if (!it->heads || it->n_dims < 2)
		return r;
	d = it->ne[1] / it->heads;
	o = r % d;
	return r - o + (o & 1) * (d / 2) + o / 2;
}

/* The first element of row `row` of the whole output; its offset in elements in *at. */
static const uint8_t *source(const struct pack_item *it, int64_t row, int64_t *at)
{
	int64_t s = row / it->ne[1], r = source_row(it, row % it->ne[1]);

	*at = it->at + r * it->step[1];
	if (it->parts)
		return it->parts[s];
	*at += s * it->step[2];
	return it->src.data;
}

/* Elements that lie apart, gathered into raw, where they lie one behind the other. */
static const uint8_t *gather(const struct pack_item *it, const uint8_t *p, int64_t at, uint8_t *raw)
{
	size_t size = gguf_type_info(it->src.type)->bytes;

	for (int64_t c = 0; c < it->ne[0]; c++)
		memcpy(raw + (size_t)c * size, p + (size_t)(at + c * it->step[0]) * size, size);
	return raw;
}

/* The same order within one row: a bias of q or k. raw is not used for F32. */
static void permute_row(float *x, float *tmp, int64_t n, int64_t heads)
{
	int64_t d = n / heads;

	memcpy(tmp, x, (size_t)n * sizeof *x);
	for (int64_t r = 0; r < n; r++)
		x[r] = tmp[r - r % d + (r % d & 1) * (d / 2) + r % d / 2];
}

/*
 * Blocks of 32 four-bit numbers: gpt-oss keeps numbers 2 j and 2 j + 1 in byte j (low first) and
 * the exponents apart, GGUF numbers j and j + 16 behind the exponent.
 */
static void repack_mxfp4(uint8_t *out, const uint8_t *blocks, const uint8_t *scales, int64_t n)
{
	for (int64_t b = 0; b < n; b++, out += 17, blocks += 16) {
		out[0] = scales[b];
		for (int j = 0; j < 16; j++) {
			int shift = j % 2 * 4;

			out[1 + j] = (uint8_t)((blocks[j / 2] >> shift & 15) |
					       (blocks[8 + j / 2] >> shift & 15) << 4);
		}
	}
}

static void convert_row(const struct slab *s, unsigned worker, int64_t row, uint8_t *out)
{
	const struct pack_item *it = s->item;
	float *x = s->scratch[worker];
	int64_t at;
	const uint8_t *p = source(it, row, &at);

	if (it->scales) {
		repack_mxfp4(out, p + 16 * at, it->scales + at, it->ne[0] / 32);
		return;
	}
	p = it->step[0] == 1 ? p + bytes_of(it->src.type, at) : gather(it, p, at, s->raw[worker]);
	load_row(x, p, it->src.type, it->ne[0], s->raw[worker], s->src_row);
	if (it->n_dims == 1 && it->heads)
		permute_row(x, x + it->ne[0], it->ne[0], it->heads);
	for (int64_t k = 0; it->add != 0 && k < it->ne[0]; k++)
		x[k] += it->add;
	if (!kern_all_finite(x, it->ne[0]))
		s->bad[worker] = NOT_FINITE;
	for (int64_t k = 0; it->type == GGUF_F16 && k < it->ne[0]; k++)
		if (fabsf(x[k]) > 65504.0f)
			s->bad[worker] = TOO_LARGE;
	if (it->feedback)
		feedback_row(out, x, x + it->ne[0], it->ne[0], it->feedback);
	else if (it->type == GGUF_F32)
		memcpy(out, x, s->out_row);
	else
		kern_quantize(out, x, it->type, it->ne[0], NULL);
}

static void convert_rows(void *arg, unsigned worker, size_t i)
{
	const struct slab *s = arg;
	int64_t from = (int64_t)i * s->task,
		to = from + s->task < s->rows ? from + s->task : s->rows;

	for (int64_t r = from; r < to; r++)
		convert_row(s, worker, s->first + r, s->out + (size_t)r * s->out_row);
}

static int stopped(struct err *e)
{
	if (!os_stop_signal())
		return 0;
	err_set(e, ERR_SIGNAL, "stopped");
	e->sys = os_stop_signal();
	return -1;
}

/* Its bytes are the output as they lie. */
static bool is_plain(const struct pack_item *it)
{
	return it->src.type == it->type && !it->heads && it->add == 0 && !it->parts &&
	       !it->scales && it->step[0] == 1 && it->step[1] == it->ne[0] &&
	       (it->ne[2] == 1 || it->step[2] == it->ne[0] * it->ne[1]);
}

static int write_item(struct gguf_writer *w, struct slab *s, unsigned workers, struct os_pool *pool,
		      struct err *e)
{
	const struct pack_item *it = s->item;
	int64_t rows = it->ne[1] * it->ne[2] * it->ne[3];
	int64_t step = (int64_t)(SLAB / s->out_row) > 0 ? (int64_t)(SLAB / s->out_row) : 1;

	if (is_plain(it))
		return gguf_write_data(w, it->src.data + bytes_of(it->type, it->at),
				       s->out_row * (size_t)rows, e);
	for (s->first = 0; s->first < rows; s->first += s->rows) {
		s->rows = rows - s->first < step ? rows - s->first : step;
		s->task = s->rows / (4 * (int64_t)workers) + 1;
		os_pool_run(pool, convert_rows, s, (size_t)((s->rows + s->task - 1) / s->task));
		for (unsigned i = 0; i < workers; i++)
			if (s->bad[i])
				return err_set(
					e, ERR_OPEN, "tensor %s holds values that %s", it->name,
					s->bad[i] == TOO_LARGE ? "do not fit F16; use bf16 or f32"
							       : "are not finite");
		if (gguf_write_data(w, s->out, s->out_row * (size_t)s->rows, e) || stopped(e))
			return -1;
	}
	return 0;
}

/* Room for the largest item. */
static int slab_init(struct slab *s, const struct pack_item *items, size_t n, unsigned workers,
		     struct err *e)
{
	size_t cols = 1, src = 1, out = SLAB;

	for (size_t i = 0; i < n; i++) {
		size_t b = bytes_of(items[i].src.type, items[i].ne[0]),
		       o = bytes_of(items[i].type, items[i].ne[0]);

		cols = (size_t)items[i].ne[0] > cols ? (size_t)items[i].ne[0] : cols;
		src = b > src ? b : src;
		out = o > out ? o : out;
	}
	s->out = malloc(out);
	s->bad = calloc(workers, sizeof *s->bad);
	s->scratch = calloc(workers, sizeof *s->scratch);
	s->raw = calloc(workers, sizeof *s->raw);
	if (!s->out || !s->bad || !s->scratch || !s->raw)
		return err_nomem(e);
	for (unsigned i = 0; i < workers; i++) {
		s->scratch[i] = ckd_alloc(cols, 2 * sizeof **s->scratch);
		s->raw[i] = malloc(src);
		if (!s->scratch[i] || !s->raw[i])
			return err_nomem(e);
	}
	return 0;
}

static void slab_release(struct slab *s, unsigned workers)
{
	for (unsigned i = 0; i < workers; i++) {
		if (s->scratch)
			free(s->scratch[i]);
		if (s->raw)
			free(s->raw[i]);
	}
	free(s->scratch);
	free(s->raw);
	free(s->bad);
	free(s->out);
}

static int can_read(const struct pack_item *it, struct err *e)
{
	if (it->scales || it->src.type == it->type || it->src.type == GGUF_F32 ||
	    it->src.type == GGUF_F64 || kern_block(it->src.type))
		return 0;
	return err_set(e, ERR_UNSUPPORTED, "tensor %s: type %s cannot be converted", it->name,
		       gguf_type_info(it->src.type)->name);
}

struct pack_item pack_item_of(const char *name, const struct gguf_tensor *t)
{
	struct pack_item it = { .name = name,
				.type = t->type,
				.n_dims = t->n_dims,
				.src = *t,
				.step = { 1, t->ne[0], t->ne[0] * t->ne[1] } };

	memcpy(it.ne, t->ne, sizeof it.ne);
	return it;
}

int pack_declare(struct gguf_writer *w, const struct pack_item *items, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (can_read(&items[i], e) || gguf_put_tensor(w, items[i].name, items[i].type,
							      items[i].n_dims, items[i].ne, e))
			return -1;
	return 0;
}

void pack_say(const struct llm_watch *watch, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (!watch || !watch->say)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	watch->say(watch->arg, text);
}

int pack_commit(struct gguf_writer *w, const char *path, const struct llm_watch *watch,
		struct err *e)
{
	struct stat st;

	if (gguf_writer_commit(w, e))
		return -1;
	if (!stat(path, &st))
		pack_say(watch, "%s has %.1f MiB", path, (double)st.st_size / (1 << 20));
	return 0;
}

int pack_write(struct gguf_writer *w, const struct pack_item *items, size_t n, struct os_pool *pool,
	       const struct llm_watch *watch, struct err *e)
{
	struct slab s = { 0 };
	unsigned workers = os_pool_size(pool);
	int r = slab_init(&s, items, n, workers, e);

	for (size_t i = 0; i < n && !r; i++) {
		s.item = &items[i];
		s.src_row = bytes_of(items[i].src.type, items[i].ne[0]);
		s.out_row = bytes_of(items[i].type, items[i].ne[0]);
		r = write_item(w, &s, workers, pool, e) || stopped(e);
		if (watch && watch->step)
			watch->step(watch->arg, i + 1, n);
	}
	slab_release(&s, workers);
	return r ? -1 : 0;
}
