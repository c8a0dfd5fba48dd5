/* import_arch: which architecture a folder is of, and its tensors by that one's table of names. */
#include "config.h"
#include "llm/import_impl.h"
#include "base/banned.h"

static const struct import_arch *const families[] = { import_llama_archs, import_qwen_archs,
						      import_gemma_archs, import_gpt_archs,
						      import_bert_archs };
#define N_FAMILIES (sizeof families / sizeof *families)

/* The next of "a|b|c". */
static bool next_word(struct str *out, const char **list)
{
	size_t n = strcspn(*list, "|");

	*out = (struct str){ *list, n };
	*list += n + ((*list)[n] == '|');
	return n > 0;
}

static bool has_word(const char *list, struct str word)
{
	struct str s;

	while (next_word(&s, &list))
		if (str_eq(s, word))
			return true;
	return false;
}

/* ---- which ------------------------------------------------------------------------------- */

static void unknown(struct import *im, struct str name)
{
	struct buf b;
	struct str s;

	buf_init(&b, 8192);
	for (size_t f = 0; f < N_FAMILIES; f++)
		for (const struct import_arch *a = families[f]; a->name; a++)
			for (const char *list = a->classes; next_word(&s, &list);)
				buf_addf(&b, " %.*s", (int)s.n, s.p);
	import_fail(im, ERR_UNSUPPORTED,
		    "config.json: the architecture \"%.*s\" is not imported; known are%s",
		    (int)(name.n < 60 ? name.n : 60), name.p, buf_str(&b).p);
	buf_release(&b);
}

static bool find_class(struct import *im, struct str name)
{
	for (size_t f = 0; f < N_FAMILIES; f++)
		for (const struct import_arch *a = families[f]; a->name; a++)
			if (has_word(a->classes, name) && (!a->is || a->is(im))) {
				im->arch = a;
				return true;
			}
	return false;
}

void import_arch_find(struct import *im)
{
	struct json_iter it = json_iter(json_get(im->cfg, "architectures"));
	struct json_val v;
	struct str name = STR("");

	im->text = json_get(im->cfg, "text_config");
	im->defaults = (struct json_val){ .type = JSON_NONE };
	while (json_next(&v, &it)) {
		if (json_str(&name, v, &im->a, im->e)) {
			im->failed = true;
			err_wrap(im->e, "config.json: architectures");
			return;
		}
		if (!find_class(im, name))
			continue;
		im->classifier = str_ends(name, STR("ForSequenceClassification"));
		im->has_head =
			str_ends(name, STR("ForCausalLM")) || str_ends(name, STR("LMHeadModel"));
		if (im->arch->defaults &&
		    json_parse(&im->defaults, str_of(im->arch->defaults), im->e))
			im->failed = true;
		return;
	}
	unknown(im, name);
}

/* ---- tensors ----------------------------------------------------------------------------- */

static void add_item(struct import *im, const struct pack_item *it)
{
	if (im->failed)
		return;
	if (im->n == im->cap) {
		size_t cap = im->cap ? 2 * im->cap : 256;
		struct pack_item *p = ckd_realloc(im->items, cap, sizeof *p);

		if (!p) {
			im->failed = true;
			err_nomem(im->e);
			return;
		}
		im->items = p;
		im->cap = cap;
	}
	im->items[im->n++] = *it;
	im->n_params += (uint64_t)(it->ne[0] * it->ne[1] * it->ne[2] * it->ne[3]);
}

/* A name that lives until the end. */
static const char *keep(struct import *im, const char *name, const char *suffix)
{
	size_t n = strlen(name) + strlen(suffix) + 1;
	char *p = arena_alloc(&im->a, n);

	if (!p) {
		im->failed = true;
		err_nomem(im->e);
		return "";
	}
	snprintf(p, n, "%s%s", name, suffix);
	return p;
}

float *import_new_tensor(struct import *im, const char *name, size_t n)
{
	struct gguf_tensor t = { .type = GGUF_F32,
				 .n_dims = 1,
				 .ne = { (int64_t)n, 1, 1, 1 },
				 .bytes = n * sizeof(float) };
	struct pack_item it;
	float *v = im->failed ? NULL : arena_alloc(&im->a, n * sizeof *v);

	if (!v) {
		if (!im->failed)
			err_nomem(im->e);
		im->failed = true;
		return NULL;
	}
	t.data = (const uint8_t *)v;
	it = pack_item_of(name, &t);
	add_item(im, &it);
	return v;
}

void import_add_tensor(struct import *im, const char *name, const struct gguf_tensor *t)
{
	struct pack_item it = pack_item_of(name, t);

	it.type = GGUF_F32;
	add_item(im, &it);
}

/* `pattern` with the layer and the expert in the places of its stars. */
static void fill(char *out, size_t size, struct str pattern, uint32_t layer, uint32_t expert)
{
	uint32_t numbers[2] = { layer, expert };
	size_t n = 0, k = 0;

	for (size_t i = 0; i < pattern.n && n + 12 < size; i++)
		if (pattern.p[i] == '*' && k < 2)
			n += (size_t)snprintf(out + n, size - n, "%u", numbers[k++]);
		else
			out[n++] = pattern.p[i];
	out[n] = '\0';
}

/* A tensor by its name behind any of the prefixes or none, marked as used; NULL where there is
 * none. */
static const struct gguf_tensor *find_name(struct import *im, const char *base, const char *suffix)
{
	const char *list = im->arch->prefixes;
	struct str prefix;
	char name[320];
	bool more;

	do {
		const struct gguf_tensor *t;

		more = next_word(&prefix, &list);
		snprintf(name, sizeof name, "%.*s%s%s", (int)prefix.n, prefix.p, base, suffix);
		t = safet_find(im->st, name);
		if (t) {
			im->used[t - safet_tensor_at(im->st, 0)] = true;
			return t;
		}
	} while (more);
	return NULL;
}

/* One of a row's names. */
static const struct gguf_tensor *find(struct import *im, const char *names, uint32_t layer,
				      uint32_t expert, const char *suffix)
{
	const struct gguf_tensor *t = NULL;
	struct str one;
	char base[256];

	while (!t && next_word(&one, &names)) {
		fill(base, sizeof base, one, layer, expert);
		t = find_name(im, base, suffix);
		if (!t && *suffix) /* old BERT checkpoints: TensorFlow's words */
			t = find_name(im, base, strcmp(suffix, ".weight") ? ".beta" : ".gamma");
	}
	return t;
}

/* ---- how a tensor is read -------------------------------------------------------------------- */

/* Part of dimension d: every second from the first or the second on, or one of two halves. */
static void take_part(struct import *im, struct pack_item *it, int d, int flags)
{
	if (it->ne[d] % 2) {
		import_fail(im, ERR_OPEN, "tensor %s: %lld rows are no pairs", it->name,
			    (long long)it->ne[d]);
		return;
	}
	it->ne[d] /= 2;
	if (flags & ROW_ODD)
		it->at += it->step[d];
	if (flags & ROW_SECOND)
		it->at += it->step[d] * it->ne[d];
	if (flags & (ROW_EVEN | ROW_ODD))
		it->step[d] *= 2;
}

static void turn(struct pack_item *it)
{
	int64_t n = it->ne[0], step = it->step[0];

	it->ne[0] = it->ne[1];
	it->step[0] = it->step[1];
	it->ne[1] = n;
	it->step[1] = step;
}

/* One row a token: those beyond are padding that no token names. */
static void take_vocabulary(struct import *im, struct pack_item *it)
{
	int d = it->n_dims > 1;
	int64_t n = (int64_t)tok_n_vocab(im->tok);

	if (it->ne[d] < n)
		import_fail(im, ERR_OPEN, "tensor %s has %lld rows, the tokenizer %lld tokens",
			    it->name, (long long)it->ne[d], (long long)n);
	it->ne[d] = n;
}

/* RoBERTa counts positions from the padding's id + 1 on. */
static void take_positions(struct import *im, struct pack_item *it)
{
	int64_t skip = (int64_t)import_u32(im, "pad_token_id") + 1;

	if (skip >= it->ne[1])
		import_fail(im, ERR_OPEN, "tensor %s has %lld rows, of which padding takes %lld",
			    it->name, (long long)it->ne[1], (long long)skip);
	it->at += skip * it->step[1];
	it->ne[1] -= skip;
}

static void take_heads(struct import *im, struct pack_item *it, int flags)
{
	uint32_t heads = import_u32(im, "num_attention_heads");
	int64_t rows = it->ne[it->n_dims - 1];

	if (flags & ROW_K)
		heads = import_u32_or(im, "num_key_value_heads", heads);
	it->heads = heads;
	if (heads < 1 || rows % (2 * it->heads))
		import_fail(im, ERR_OPEN, "tensor %s: %lld rows are no %u heads", it->name,
			    (long long)rows, heads);
}

/* Blocks [16, n, rows, experts] and exponents [n, rows, experts] beside them. */
static void take_mxfp4(struct import *im, struct pack_item *it, const struct gguf_tensor *scales)
{
	int64_t *ne = it->ne;

	if (it->n_dims != 4 || !scales || it->src.type != GGUF_I8 || scales->type != GGUF_I8 ||
	    ne[0] != 16 || scales->ne[0] != ne[1] || scales->ne[1] != ne[2] ||
	    scales->ne[2] != ne[3]) {
		import_fail(im, ERR_OPEN, "tensor %s: its blocks and scales are not those of MXFP4",
			    it->name);
		return;
	}
	it->n_dims = 3;
	it->step[1] = ne[1];
	it->step[2] = ne[1] * ne[2];
	ne[0] = 32 * ne[1];
	ne[1] = ne[2];
	ne[2] = ne[3];
	ne[3] = 1;
	it->type = GGUF_MXFP4;
	it->scales = scales->data;
}

static void take_view(struct import *im, struct pack_item *it, int flags)
{
	if (im->failed)
		return;
	if (it->n_dims < 1 || it->n_dims > 3) {
		import_fail(im, ERR_OPEN, "tensor %s has %u dimensions", it->name, it->n_dims);
		return;
	}
	if (flags & ROW_TURN && it->n_dims > 1)
		turn(it);
	if (flags & (ROW_EVEN | ROW_ODD | ROW_FIRST | ROW_SECOND))
		take_part(im, it, str_ends(str_of(it->name), STR(".bias")) ? 0 : 1, flags);
	if (flags & ROW_VOCAB)
		take_vocabulary(im, it);
	if (flags & ROW_POSITION)
		take_positions(im, it);
	if (flags & (ROW_Q | ROW_K))
		take_heads(im, it, flags);
}

/* ---- rows ---------------------------------------------------------------------------------- */

static bool is_stack(const struct import_row *row)
{
	const char *star = strchr(row->hf, '*');

	return star && memchr(star + 1, '*', strcspn(star + 1, "|")) != NULL;
}

/* The matrices of all experts of a layer, one a tensor there. */
static void take_stack(struct import *im, struct pack_item *it, const struct import_row *row,
		       uint32_t layer)
{
	uint32_t n = import_u32(im, "num_local_experts|num_experts");
	const uint8_t **parts =
		n && n <= IMPORT_MAX_EXPERTS ? arena_alloc(&im->a, n * sizeof *parts) : NULL;

	if (!parts) {
		import_fail(im, n && n <= IMPORT_MAX_EXPERTS ? ERR_NOMEM : ERR_OPEN,
			    "config.json: %u experts", n);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct gguf_tensor *t = find(im, row->hf, layer, i, ".weight");

		if (!t || t->type != it->src.type || t->n_dims != 2 ||
		    memcmp(t->ne, it->src.ne, sizeof t->ne)) {
			import_fail(im, ERR_OPEN, "%s: the matrix of expert %u %s", it->name, i,
				    t ? "has another type or shape than that of expert 0"
				      : "is missing");
			return;
		}
		parts[i] = t->data;
	}
	it->parts = parts;
	it->n_dims = 3;
	it->ne[2] = n;
}

static void add_tensor(struct import *im, const struct import_row *row, uint32_t layer,
		       const char *suffix, bool need)
{
	char gguf[128], hf[256];
	const struct gguf_tensor *t = find(im, row->hf, layer, 0, suffix), *scales;
	struct pack_item it;

	if (im->failed)
		return;
	if (!t) {
		fill(hf, sizeof hf, (struct str){ row->hf, strcspn(row->hf, "|") }, layer, 0);
		if (need)
			import_fail(im, ERR_OPEN, "tensor %s%s is missing: is the folder whole?",
				    hf, suffix);
		return;
	}
	fill(gguf, sizeof gguf, str_of(row->gguf), layer, 0);
	it = pack_item_of(keep(im, gguf, suffix), t);
	it.type = GGUF_F32;
	it.add = row->flags & ROW_PLUS_1 ? 1.0f : 0.0f;
	if (is_stack(row) && !strcmp(suffix, ".weight"))
		take_stack(im, &it, row, layer);
	if (row->flags & ROW_MXFP4) {
		size_t n = strlen(row->hf) - strlen("blocks");

		snprintf(hf, sizeof hf, "%.*sscales", (int)n, row->hf);
		scales = find(im, hf, layer, 0, "");
		take_mxfp4(im, &it, scales);
	}
	take_view(im, &it, row->flags);
	add_item(im, &it);
}

static void add_row(struct import *im, const struct import_row *r, uint32_t layer)
{
	int flags = r->flags;

	if (flags & ROW_HEAD && !im->classifier)
		return;
	if (!strcmp(r->gguf, "output") && import_flag_or(im, "tie_word_embeddings", false)) {
		find(im, r->hf, layer, 0, ".weight"); /* a copy of token_embd */
		return;
	}
	if (!strcmp(r->gguf, "output") &&
	    json_get(im->cfg, "tie_word_embeddings").type == JSON_FALSE && im->has_head)
		flags |= ROW_NEED; /* said to have one of its own */
	if (flags & ROW_BARE) {
		add_tensor(im, r, layer, "", flags & ROW_NEED);
		return;
	}
	add_tensor(im, r, layer, ".weight", flags & ROW_NEED);
	add_tensor(im, r, layer, ".bias", flags & ROW_BIAS);
}

/* A name that has no row: of no use here, or an error. */
static bool is_ignored(const struct import *im, struct str name)
{
	const char *list = im->arch->ignored;
	struct str p;

	while (next_word(&p, &list)) {
		const char *star = memchr(p.p, '*', p.n);
		size_t head = star ? (size_t)(star - p.p) : p.n, at = head;

		if (!str_starts(name, (struct str){ p.p, head }))
			continue;
		while (star && at < name.n && name.p[at] >= '0' && name.p[at] <= '9')
			at++;
		if (!star || str_starts(str_sub(name, at, name.n), str_sub(p, head + 1, p.n)))
			return true;
	}
	return false;
}

static void check_unused(struct import *im)
{
	for (size_t i = 0; i < safet_n_tensors(im->st); i++) {
		struct str name = safet_tensor_at(im->st, i)->name, prefix;
		const char *list = im->arch->prefixes;
		bool ignored = im->used[i] || is_ignored(im, name);

		while (!ignored && next_word(&prefix, &list))
			ignored = str_starts(name, prefix) &&
				  is_ignored(im, str_sub(name, prefix.n, name.n));
		if (!ignored)
			import_fail(im, ERR_UNSUPPORTED, "tensor %.*s has no place in a %s model",
				    (int)(name.n < 100 ? name.n : 100), name.p, im->arch->name);
	}
}

/* ---- all ----------------------------------------------------------------------------------- */

/* Of a reranker that answers yes or no: those two rows of the output, yes first. */
static void add_answers(struct import *im)
{
	const char *const names[] = { "output.weight", "token_embd.weight" };

	for (size_t k = 0; k < 2 && im->yes >= 0; k++)
		for (size_t i = 0; i < im->n; i++)
			if (!strcmp(im->items[i].name, names[k])) {
				struct pack_item it = im->items[i];

				it.name = "cls.output.weight";
				it.at = im->yes * it.step[1];
				it.step[1] *= im->no - im->yes;
				it.ne[1] = 2;
				add_item(im, &it);
				return;
			}
}

static void choose_types(struct import *im, uint32_t n_layer)
{
	struct pack_model m = { .tied = true,
				.n_layer = n_layer,
				.encoder = im->arch->encoder,
				.n_expert = import_u32_or(im, "num_local_experts|num_experts", 0) };

	for (size_t i = 0; i < im->n; i++)
		m.tied &= strcmp(im->items[i].name, "output.weight") != 0;
	for (size_t i = 0; i < im->n; i++) {
		struct pack_item *it = &im->items[i];

		if (it->type != GGUF_MXFP4 && pack_is_weight(str_of(it->name), it->n_dims))
			it->type = pack_type(im->kind, &m, str_of(it->name), it->ne[0]);
	}
}

void import_arch_tensors(struct import *im)
{
	uint32_t n_layer = import_u32(im, "num_hidden_layers|n_layers|n_layer");

	if (!im->failed && (n_layer < 1 || n_layer > IMPORT_MAX_LAYERS))
		import_fail(im, ERR_OPEN, "config.json: %u layers", n_layer);
	if (!im->failed && im->arch->extra)
		im->arch->extra(im);
	for (uint32_t layer = 0; layer <= n_layer && !im->failed;
	     layer++) /* first what is of no layer */
		for (const struct import_row *r = im->arch->rows; r->hf && !im->failed; r++)
			if ((strchr(r->hf, '*') != NULL) == (layer > 0))
				add_row(im, r, layer ? layer - 1 : 0);
	if (im->failed)
		return;
	add_answers(im);
	choose_types(im, n_layer);
	check_unused(im);
}
