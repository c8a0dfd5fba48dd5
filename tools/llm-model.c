/* llm-model: models on disk: import, quantize, look into, verify, list; how fast they run; and whether
 * this installation works. */
#include "config.h"
#include "cli/cli.h"
#include "llm/llm.h"
#include "base/banned.h"
#include <unistd.h>

struct opts {
	const char *output, *type, *name, *sha256;
	uint32_t threads, prompt, predict, batch, runs;
	bool json, keys, tensors, names, fit;
};

#define NUM(k, l, nm, a, m, vb, hlp, lo, hi)                                                       \
	{                                                                                          \
		.kind = CLI_K_##k, .letter = l, .name = nm, .arg = a, .help = hlp, .verbs = vb,    \
		.offset = offsetof(struct opts, m), .given = CLI_NOT_KEPT, .min = lo, .max = hi    \
	}
#define OPT(k, l, nm, a, m, vb, hlp) NUM(k, l, nm, a, m, vb, hlp, 1, 1024)
static const struct cli_opt options[] = {
	OPT(STR, 'o', "output", "FILE", output, " import ", "import: the GGUF file to write"),
	{ .kind = CLI_K_STR,
	  .name = "type",
	  .arg = "TYPE",
	  .words = "f32|f16|bf16|q8_0|q4_0|q4_1|q5_0|q5_1|q4_k_m|q4_k_s|q5_k_m|q5_k_s|q6_k",
	  .help = "f32, f16, bf16, q8_0, q4_0, q4_k_m, … [import: f16]",
	  .offset = offsetof(struct opts, type),
	  .given = CLI_NOT_KEPT,
	  .verbs = " import quantize " },
	OPT(FLAG, 0, "fit", NULL, fit, " quantize ", "an encoder in q8_0: round its weights by what they meet"),
	OPT(STR, 0, "name", "NAME", name, " import ", "the model's own name [the folder's]"),
	OPT(STR, 0, "sha256", "HEX", sha256, " verify ", "the digest that the file must have"),
	OPT(FLAG, 0, "keys", NULL, keys, " show ", "the keys of the file, one a line"),
	OPT(FLAG, 0, "tensors", NULL, tensors, " show ", "the tensors of the file, one a line"),
	OPT(FLAG, 0, "names", NULL, names, " list ", "only the names"),
	OPT(FLAG, 0, "json", NULL, json, " show list verify doctor digest bench ",
	    "JSON, one object a line"),
	OPT(U32, 't', "threads", "N", threads, " import quantize verify doctor bench ",
	    "threads [all processors]"),
	NUM(U32, 0, "prompt", "N", prompt, " bench ", "tokens of the prompt, 0: no prefill [512]",
	    0, 1 << 24),
	NUM(U32, 0, "predict", "N", predict, " bench ", "tokens predicted, 0: no decoding [64]", 0,
	    1 << 24),
	NUM(U32, 0, "batch", "N", batch, " bench ", "so many sequences at once, too", 1,
	    LLM_MAX_BENCH_BATCH),
	NUM(U32, 0, "runs", "N", runs, " bench ", "the median of so many runs [3]", 1,
	    LLM_MAX_BENCH_RUNS),
	CLI_END
};
static const struct cli_verb verbs[] = {
	{ "import", "DIR", "make a GGUF file of a Hugging Face folder (-o FILE)", NULL },
	{ "quantize", "IN OUT", "make a smaller file of another type (--type)", NULL },
	{ "show", "MODEL", "what is in a model", NULL },
	{ "verify", "MODEL", "look for damage", NULL },
	{ "list", "", "the models that can be named with -m", NULL },
	{ "digest", "MODEL", "the SHA-256 of the file", NULL },
	{ "bench", "MODEL", "how fast a model runs, and how near to what the machine can do", NULL },
	{ "doctor", "", "does this installation work, and how fast?", NULL },
	{ NULL, NULL, NULL, NULL },
};
static const char *const examples[] = { "llm-model list",
					"llm-model show smollm2-135m-instruct-q4_1", NULL };
static const struct cli_prog prog = {
	"llm-model", "VERB [ARG...]", "import, quantize, inspect and verify model files",
	options,     verbs,           examples
};

/* A failed write shows when cli_finish() closes standard output. */
static void out(const struct buf *b)
{
	fwrite(buf_str(b).p, 1, b->n, stdout);
}

static int open_named(struct gguf **g, const char *name, struct err *e)
{
	struct buf path;
	int r;

	buf_init(&path, 65536);
	r = llm_find(&path, NULL, name, LLM_GENERATE, e) || gguf_open(g, path.p, e) ? -1 : 0;
	buf_release(&path);
	return r;
}

/* "92.0 MiB", in the unit that leaves less than 1024. */
static void add_bytes(struct buf *b, uint64_t n)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)n;
	size_t u = 0;

	for (; v >= 1024 && u < 4; u++)
		v /= 1024;
	buf_addf(b, u ? "%.1f %s" : "%.0f %s", v, units[u]);
}

/* "134.5 M" */
static void add_count(struct buf *b, uint64_t n)
{
	double v = (double)n;

	buf_addf(b, "%.1f %c",
		 v >= 1e9   ? v / 1e9
		 : v >= 1e6 ? v / 1e6
			    : v / 1e3,
		 v >= 1e9   ? 'G'
		 : v >= 1e6 ? 'M'
			    : 'k');
}

/* ---- show -------------------------------------------------------------------------------- */

/* A text of the file on one line: control characters as blanks, at most `max` bytes, cut at a
 * character. */
static void add_line(struct buf *b, struct str s, size_t max)
{
	size_t n = s.n <= max ? s.n : utf8_border(s, max);

	for (size_t i = 0; i < n; i++)
		buf_addc(b, (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? ' ' : s.p[i]);
	if (n < s.n)
		buf_addz(b, "…");
}

static void show_human(struct buf *b, const struct gguf *g, const struct llm_facts *f,
		       const char *digest)
{
	buf_addf(b, "file          %s (", gguf_path(g));
	add_bytes(b, f->bytes);
	buf_addf(b, gguf_n_parts(g) > 1 ? ", %zu parts)\n" : ")\n", gguf_n_parts(g));
	buf_addz(b, "name          ");
	add_line(b, f->name, 200);
	buf_addz(b, "\narchitecture  ");
	add_line(b, f->arch, 60);
	buf_addf(b, ", %u layers, %u wide, %u heads", f->n_layer, f->n_embd, f->n_head);
	if (f->n_head_kv != f->n_head)
		buf_addf(b, " (%u for keys and values)", f->n_head_kv);
	buf_addf(b, ", feed-forward %u\nparameters    ", f->n_ff);
	add_count(b, f->n_params);
	buf_addf(b, ", %.2f bits each\n",
		 f->n_params ? 8 * (double)f->bytes / (double)f->n_params : 0.0);
	buf_addz(b, "tensors       ");
	for (uint32_t t = 0, first = 1; t < GGUF_N_TYPES; t++)
		if (f->types[t].tensors) {
			buf_addf(b, "%s%llu %s (", first ? "" : ", ",
				 (unsigned long long)f->types[t].tensors, gguf_type_info(t)->name);
			add_bytes(b, f->types[t].bytes);
			buf_addc(b, ')');
			first = 0;
		}
	buf_addf(b, "\ncontext       %u tokens\n", f->n_ctx);
	if (f->kv_bytes_per_token) {
		buf_addz(b, "KV cache      ");
		add_bytes(b, f->kv_bytes_per_token);
		buf_addz(b, " a token, ");
		add_bytes(b, f->kv_bytes_per_token * f->n_ctx);
		buf_addz(b, " at full context (F16)\n");
	}
	buf_addz(b, "tokenizer     ");
	add_line(b, f->tok_model.n ? f->tok_model : STR("none"), 40);
	if (f->tok_pre.n) {
		buf_addz(b, ", ");
		add_line(b, f->tok_pre, 60);
	}
	buf_addf(b, ", %llu tokens\n", (unsigned long long)f->n_vocab);
	if (f->pooling)
		buf_addf(b, "pooling       %s\n", f->pooling);
	buf_addf(b, f->template_bytes ? "chat template %llu bytes\n" : "chat template none\n",
		 (unsigned long long)f->template_bytes);
	if (f->license.n) {
		buf_addz(b, "licence       ");
		add_line(b, f->license, 80);
		buf_addc(b, '\n');
	}
	buf_addf(b, "sha256        %s\n", digest);
}

static void show_json(struct buf *b, const struct gguf *g, const struct llm_facts *f,
		      const char *digest)
{
	struct json_w w = json_w(b);
	const struct {
		const char *name;
		struct str v;
	} texts[] = { { "name", f->name },
		      { "architecture", f->arch },
		      { "license", f->license },
		      { "tokenizer", f->tok_model },
		      { "pre_tokenizer", f->tok_pre } };
	const struct {
		const char *name;
		uint64_t v;
	} counts[] = { { "bytes", f->bytes },
		       { "parameters", f->n_params },
		       { "layers", f->n_layer },
		       { "width", f->n_embd },
		       { "feed_forward", f->n_ff },
		       { "heads", f->n_head },
		       { "kv_heads", f->n_head_kv },
		       { "context", f->n_ctx },
		       { "vocabulary", f->n_vocab },
		       { "kv_bytes_per_token", f->kv_bytes_per_token },
		       { "template_bytes", f->template_bytes } };

	json_w_begin(&w, '{');
	json_w_key(&w, "path");
	json_w_strz(&w, gguf_path(g));
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		json_w_key(&w, texts[i].name);
		if (texts[i].v.n)
			json_w_str(&w, texts[i].v);
		else
			json_w_null(&w);
	}
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		json_w_key(&w, counts[i].name);
		json_w_u64(&w, counts[i].v);
	}
	json_w_key(&w, "pooling");
	json_w_strz(&w, f->pooling);
	json_w_key(&w, "types");
	json_w_begin(&w, '{');
	for (uint32_t t = 0; t < GGUF_N_TYPES; t++)
		if (f->types[t].tensors) {
			json_w_key(&w, gguf_type_info(t)->name);
			json_w_begin(&w, '{');
			json_w_key(&w, "tensors");
			json_w_u64(&w, f->types[t].tensors);
			json_w_key(&w, "bytes");
			json_w_u64(&w, f->types[t].bytes);
			json_w_end(&w, '}');
		}
	json_w_end(&w, '}');
	json_w_key(&w, "sha256");
	json_w_strz(&w, digest);
	json_w_end(&w, '}');
	buf_addc(b, '\n');
}

#define SHOW_ELEMS 8 /* of an array, for people */

/* "name = value", or with --json {"key":…,"value":…} whole. */
static void show_key(struct buf *b, const struct gguf_key *k, bool json)
{
	struct json_w w = json_w(b);

	if (json) {
		json_w_begin(&w, '{');
		json_w_key(&w, "key");
		json_w_str(&w, k->name);
		json_w_key(&w, "value");
	} else {
		add_line(b, k->name, 200);
		buf_addz(b, " = ");
	}
	gguf_key_json(&w, k, json ? UINT64_MAX : SHOW_ELEMS);
	if (json)
		json_w_end(&w, '}');
	buf_addc(b, '\n');
}

static void show_tensor(struct buf *b, const struct gguf_tensor *t, bool json)
{
	struct json_w w = json_w(b);

	if (!json) {
		size_t at = b->n;

		add_line(b, t->name, 63);
		buf_addf(b, "%*s %-7s ", at + 40 > b->n ? (int)(at + 40 - b->n) : 0, "",
			 gguf_type_info(t->type)->name);
		for (uint32_t i = 0; i < t->n_dims; i++)
			buf_addf(b, "%s%lld", i ? " x " : "", (long long)t->ne[i]);
		buf_addc(b, '\n');
		return;
	}
	json_w_begin(&w, '{');
	json_w_key(&w, "tensor");
	json_w_str(&w, t->name);
	json_w_key(&w, "type");
	json_w_strz(&w, gguf_type_info(t->type)->name);
	json_w_key(&w, "shape");
	json_w_begin(&w, '[');
	for (uint32_t i = 0; i < t->n_dims; i++)
		json_w_i64(&w, t->ne[i]);
	json_w_end(&w, ']');
	json_w_key(&w, "bytes");
	json_w_u64(&w, t->bytes);
	json_w_end(&w, '}');
	buf_addc(b, '\n');
}

static int show(const struct opts *o, const char *name, struct err *e)
{
	struct gguf *g;
	struct buf b;
	int r = 0;

	if (open_named(&g, name, e))
		return -1;
	buf_init(&b, BUF_MAX_TEXT);
	for (size_t i = 0; o->keys && i < gguf_n_keys(g); i++)
		show_key(&b, gguf_key_at(g, i), o->json);
	for (size_t i = 0; o->tensors && i < gguf_n_tensors(g); i++)
		show_tensor(&b, gguf_tensor_at(g, i), o->json);
	if (!o->keys && !o->tensors) {
		char digest[HASH_HEX_LEN + 1];
		struct llm_facts f;

		llm_facts(&f, g);
		r = llm_digest(digest, g, e);
		if (!r)
			(o->json ? show_json : show_human)(&b, g, &f, digest);
	}
	if (!r)
		r = buf_check(&b, e);
	if (!r)
		out(&b);
	buf_release(&b);
	gguf_close(g);
	return r;
}

/* ---- verify, digest, list
 * ------------------------------------------------------------------------ */

static void say(void *arg, const char *what)
{
	cli_warn(arg, "%s", what);
}

static int verify(struct cli *c, const struct opts *o, const char *name, struct err *e)
{
	struct os_pool *pool = NULL;
	struct gguf *g = NULL;
	char digest[HASH_HEX_LEN + 1];
	size_t bad = 0;
	int r = -1;

	if (open_named(&g, name, e) || os_pool_new(&pool, o->threads ? o->threads : os_cpus(), e) ||
	    llm_digest(digest, g, e) || llm_verify(&bad, g, pool, say, c, e))
		goto out;
	if (o->sha256 && strcmp(o->sha256, digest)) {
		cli_warn(c, "SHA-256 is %s, not %s", digest, o->sha256);
		bad++;
	}
	if (o->json)
		printf("{\"ok\":%s,\"problems\":%zu,\"sha256\":\"%s\"}\n", bad ? "false" : "true",
		       bad, digest);
	else if (!bad)
		printf("%s: good\n", gguf_path(g));
	r = bad ? err_set(e, ERR_OPEN, "%s: %zu problem%s; get the file again", gguf_path(g), bad,
			  bad == 1 ? "" : "s")
		: 0;
out:
	if (pool)
		os_pool_free(pool);
	gguf_close(g);
	return r;
}

static int digest_verb(const struct opts *o, const char *name, struct err *e)
{
	char digest[HASH_HEX_LEN + 1];
	struct gguf *g;
	struct buf b;
	int r;

	if (open_named(&g, name, e))
		return -1;
	buf_init(&b, 1 << 20);
	r = llm_digest(digest, g, e);
	if (!r && o->json) {
		struct json_w w = json_w(&b);

		json_w_begin(&w, '{');
		json_w_key(&w, "path");
		json_w_strz(&w, gguf_path(g));
		json_w_key(&w, "sha256");
		json_w_strz(&w, digest);
		json_w_end(&w, '}');
		buf_addc(&b, '\n');
	} else if (!r) {
		buf_addf(&b, "%s  %s\n", digest, gguf_path(g));
	}
	if (!r)
		r = buf_check(&b, e);
	if (!r)
		out(&b);
	buf_release(&b);
	gguf_close(g);
	return r;
}

static void list_entry(struct buf *b, const struct llm_entry *x, const struct opts *o)
{
	struct json_w w = json_w(b);

	if (o->names) {
		add_line(b, str_of(x->name), 4096);
	} else if (o->json) {
		json_w_begin(&w, '{');
		json_w_key(&w, "name");
		json_w_strz(&w, x->name);
		json_w_key(&w, "path");
		json_w_strz(&w, x->path);
		json_w_key(&w, "source");
		json_w_strz(&w, x->source);
		json_w_key(&w, "bytes");
		json_w_u64(&w, x->bytes);
		json_w_end(&w, '}');
	} else {
		size_t at = b->n;

		add_line(b, str_of(x->name), 200);
		buf_addf(b, "%*s ", at + 36 > b->n ? (int)(at + 36 - b->n) : 0, "");
		add_bytes(b, x->bytes);
		buf_addf(b, "%*s ", at + 48 > b->n ? (int)(at + 48 - b->n) : 0, "");
		buf_addf(b, "%-12s ", x->source);
		add_line(b, str_of(x->path), 4096);
	}
	buf_addc(b, '\n');
}

static int list(const struct cli *c, const struct opts *o, struct err *e)
{
	struct llm_entry *v;
	struct arena a;
	struct buf b;
	size_t n;
	int r;

	arena_init(&a, BUF_MAX_LINE);
	buf_init(&b, BUF_MAX_LINE);
	r = llm_list(&v, &n, &a, e);
	for (size_t i = 0; !r && i < n; i++)
		list_entry(&b, &v[i], o);
	if (!r)
		r = buf_check(&b, e);
	if (!r) {
		out(&b);
		if (!n)
			cli_note(c, "no models yet; scripts/fetch-models gets two small ones");
	}
	buf_release(&b);
	arena_release(&a);
	return r;
}

/* ---- making ------------------------------------------------------------------------------ */

static void info(void *arg, const char *line)
{
	cli_info(arg, "%s", line);
}

static void progress(void *arg, uint64_t done, uint64_t tensors)
{
	struct cli *c = arg;

	c->unit = "tensors";
	c->tally.total_hint = tensors;
	c->tally.out = done;
}

static int make(struct cli *c, const struct opts *o, struct err *e)
{
	struct llm_watch watch = { info, progress, c };
	struct llm_import_opts io = { .type = o->type, .name = o->name, .threads = o->threads, .watch = &watch };
	struct os_pool *pool;
	int r;

	if (!strcmp(c->verb->name, "import")) {
		if (!o->output)
			return cli_usage(e, "import needs -o FILE");
		return llm_import(c->operands[0], o->output, &io, e);
	}
	if (!o->type)
		return cli_usage(e, "quantize needs --type TYPE");
	if (os_pool_new(&pool, o->threads ? o->threads : os_cpus(), e))
		return -1;
	r = llm_quantize(c->operands[0], c->operands[1], o->type, o->fit, pool, &watch, e);
	os_pool_free(pool);
	return r;
}

static void finding(void *arg, bool good, const char *what, const char *text)
{
	const struct opts *o = arg;
	struct buf b;
	struct json_w w = json_w(&b);

	buf_init(&b, 65536);
	if (o->json) {
		json_w_begin(&w, '{');
		json_w_key(&w, "check");
		json_w_strz(&w, what);
		json_w_key(&w, "ok");
		json_w_bool(&w, good);
		json_w_key(&w, "text");
		json_w_strz(&w, text);
		json_w_end(&w, '}');
	} else {
		buf_addf(&b, "%-4s %-13s ", good ? "ok" : "BAD", what);
		add_line(&b, str_of(text), sizeof(struct err));
	}
	buf_addc(&b, '\n');
	out(&b);
	fflush(stdout);
	buf_release(&b);
}

static int doctor(struct opts *o, struct err *e)
{
	size_t bad = llm_doctor(finding, o, o->threads);

	return bad ? err_set(e, ERR_OPEN, "%zu of the findings above must be mended", bad) : 0;
}

/* ---- bench ------------------------------------------------------------------------------- */

struct bench {
	const struct opts *o;
	struct llm *l;
	struct llm_roof roof;
	struct buf b;
};

/* A line now: the next measurement takes its time. */
static int bench_line(struct bench *b, struct err *e)
{
	buf_addc(&b->b, '\n');
	if (buf_check(&b->b, e))
		return -1;
	out(&b->b);
	fflush(stdout);
	b->b.n = 0;
	return 0;
}

/* The best that was seen: others may have used the machine meanwhile. */
static int bench_roof(struct bench *b, struct err *e)
{
	struct llm_roof now;

	if (llm_roofline(&now, b->l, e))
		return -1;
	b->roof.int8 = now.int8 > b->roof.int8 ? now.int8 : b->roof.int8;
	b->roof.f32 = now.f32 > b->roof.f32 ? now.f32 : b->roof.f32;
	b->roof.read = now.read > b->roof.read ? now.read : b->roof.read;
	return 0;
}

/* Which kernels run: for each type of weights what its products are of. */
static int bench_kernels(struct bench *b, struct err *e)
{
	struct llm_facts f;
	struct json_w w = json_w(&b->b);
	static const char *const form[] = { [KERN_F32] = "f32", [KERN_BF16] = "bf16", [KERN_INT8] = "int8" };
	const char *between = "kernels    ";

	llm_facts(&f, llm_gguf(b->l));
	if (b->o->json) {
		json_w_begin(&w, '{');
		json_w_key(&w, "case");
		json_w_strz(&w, "kernels");
		json_w_key(&w, "types");
		json_w_begin(&w, '[');
	}
	for (uint32_t i = 0; i < GGUF_N_TYPES; i++) {
		const char *in = kern_isa() == KERN_BLAS ? "f32" : form[kern_form(i)];

		if (!f.types[i].tensors)
			continue;
		if (b->o->json) {
			json_w_begin(&w, '{');
			json_w_key(&w, "type");
			json_w_strz(&w, gguf_type_info(i)->name);
			json_w_key(&w, "products");
			json_w_strz(&w, in);
			json_w_key(&w, "bytes");
			json_w_u64(&w, f.types[i].bytes);
			json_w_end(&w, '}');
			continue;
		}
		buf_addf(&b->b, "%s%s in %s (", between, gguf_type_info(i)->name, in);
		add_bytes(&b->b, f.types[i].bytes);
		buf_addc(&b->b, ')');
		between = ", ";
	}
	if (b->o->json) {
		json_w_end(&w, ']');
		json_w_end(&w, '}');
	}
	return bench_line(b, e);
}

static int bench_machine(struct bench *b, struct err *e)
{
	const char *isa = kern_isa_name(kern_isa());
	unsigned threads = os_pool_size(llm_pool(b->l));

	for (int i = 0; i < 3; i++)
		if (bench_roof(b, e))
			return -1;
	if (b->o->json) {
		struct json_w w = json_w(&b->b);

		json_w_begin(&w, '{');
		json_w_key(&w, "case");
		json_w_strz(&w, "machine");
		json_w_key(&w, "isa");
		json_w_strz(&w, isa);
		json_w_key(&w, "threads");
		json_w_u64(&w, threads);
		json_w_key(&w, "int8_per_second");
		json_w_f64(&w, b->roof.int8);
		json_w_key(&w, "f32_per_second");
		json_w_f64(&w, b->roof.f32);
		json_w_key(&w, "bytes_per_second");
		json_w_f64(&w, b->roof.read);
		json_w_end(&w, '}');
	} else {
		buf_addf(&b->b,
			 "machine    %s, %u thread%s: int8 %.0f Gop/s, f32 %.0f Gop/s, read %.1f GB/s",
			 isa, threads, threads == 1 ? "" : "s", b->roof.int8 / 1e9, b->roof.f32 / 1e9,
			 b->roof.read / 1e9);
	}
	return bench_line(b, e);
}

static int bench_case(struct bench *b, const char *name, struct llm_speed s, struct err *e)
{
	double docs;

	s.runs = b->o->runs;
	/* faster than the peak: the roof was measured while others used the machine */
	for (int i = 0; i < 3 && !(i && s.per_second <= s.bound); i++)
		if (bench_roof(b, e) || llm_measure(&s, b->l, &b->roof, e))
			return -1;
	docs = s.per_second / s.n_tokens;
	if (b->o->json) {
		struct json_w w = json_w(&b->b);

		json_w_begin(&w, '{');
		json_w_key(&w, "case");
		json_w_strz(&w, name);
		json_w_key(&w, "tokens");
		json_w_i64(&w, s.n_tokens);
		json_w_key(&w, "sequences");
		json_w_i64(&w, s.batch);
		json_w_key(&w, "threads");
		json_w_u64(&w, os_pool_size(llm_pool(b->l)));
		json_w_key(&w, "runs");
		json_w_u64(&w, s.runs);
		json_w_key(&w, "tokens_per_second");
		json_w_f64(&w, s.per_second);
		if (s.what == LLM_EMBEDDING) {
			json_w_key(&w, "documents_per_second");
			json_w_f64(&w, docs);
		}
		json_w_key(&w, "peak_tokens_per_second");
		json_w_f64(&w, s.bound);
		json_w_key(&w, "share_of_peak");
		json_w_f64(&w, s.per_second / s.bound);
		json_w_end(&w, '}');
	} else {
		buf_addf(&b->b, "%-10s %3d x %4d tokens: %9.1f tokens/s, %5.1f %% of peak", name,
			 s.batch, s.n_tokens, s.per_second, 100 * s.per_second / s.bound);
		if (s.what == LLM_EMBEDDING)
			buf_addf(&b->b, "; %.1f documents/s", docs);
	}
	return bench_line(b, e);
}

/* A number that belongs to the whole run: seconds or bytes. */
static int bench_total(struct bench *b, const char *name, const char *member, double v,
		       struct err *e)
{
	if (b->o->json) {
		struct json_w w = json_w(&b->b);

		json_w_begin(&w, '{');
		json_w_key(&w, "case");
		json_w_strz(&w, name);
		json_w_key(&w, member);
		json_w_f64(&w, v);
		json_w_end(&w, '}');
	} else if (!strcmp(member, "bytes")) {
		buf_addf(&b->b, "%-10s ", name);
		add_bytes(&b->b, (uint64_t)v);
		buf_addz(&b->b, " at most");
	} else {
		buf_addf(&b->b, "%-10s %.1f ms from the file's opening to the first result", name,
			 v * 1e3);
	}
	return bench_line(b, e);
}

static int bench_all(struct bench *b, uint64_t t0, struct err *e)
{
	const struct opts *o = b->o;
	bool encoder = model_info(llm_model(b->l))->encoder;
	uint32_t ctx = llm_ctx(b->l);
	int32_t prompt = (int32_t)(o->prompt != UINT32_MAX ? o->prompt : ctx && ctx < 512 ? ctx : 512);
	int32_t predict = (int32_t)o->predict, most = ctx && ctx < 256 ? (int32_t)ctx : 256;
	struct llm_speed first = { .what = encoder ? LLM_EMBEDDING : LLM_PREFILL,
				   .n_tokens = 1,
				   .batch = 1 };

	if (llm_measure(&first, b->l, NULL, e) ||
	    bench_total(b, "first", "seconds", (double)(time_mono_ns() - t0) / 1e9, e) ||
	    bench_machine(b, e) || bench_kernels(b, e))
		return -1;
	if (encoder && (bench_case(b, "embed", (struct llm_speed){ .what = LLM_EMBEDDING, .n_tokens = 32, .batch = 64 }, e) ||
			bench_case(b, "embed", (struct llm_speed){ .what = LLM_EMBEDDING, .n_tokens = most, .batch = 8 }, e)))
		return -1;
	if (!encoder && prompt &&
	    bench_case(b, "prefill", (struct llm_speed){ .what = LLM_PREFILL, .n_tokens = prompt, .batch = 1 }, e))
		return -1;
	if (!encoder && predict &&
	    bench_case(b, "decode", (struct llm_speed){ .what = LLM_DECODE, .n_tokens = predict, .batch = 1 }, e))
		return -1;
	if (!encoder && predict && o->batch &&
	    bench_case(b, "batch", (struct llm_speed){ .what = LLM_DECODE, .n_tokens = predict, .batch = (int32_t)o->batch }, e))
		return -1;
	return bench_total(b, "memory", "bytes", (double)os_memory_peak(), e);
}

static int bench(const struct opts *o, const char *name, struct err *e)
{
	struct llm_opts lo = { .threads = o->threads, .jobs = 1 };
	struct bench b = { .o = o };
	struct buf path;
	uint64_t t0;
	int r = -1;

	buf_init(&path, 65536);
	buf_init(&b.b, 65536);
	if (!llm_find(&path, NULL, name, LLM_GENERATE, e)) {
		t0 = time_mono_ns();
		r = llm_open(&b.l, path.p, &lo, e) || bench_all(&b, t0, e) ? -1 : 0;
	}
	llm_close(b.l);
	buf_release(&b.b);
	buf_release(&path);
	return r;
}

static int run(struct cli *c, struct opts *o, struct err *e)
{
	const char *v = c->verb->name;
	size_t want = !strcmp(v, "quantize") ? 2 : !strcmp(v, "list") || !strcmp(v, "doctor") ? 0 : 1;

	if (c->n_operands != want)
		return cli_usage(e, "%s takes %s", v, want ? c->verb->operands : "no operands");
	if (kern_init(os_env("LLMU_ISA"), e))
		return -1;
	if (!strcmp(v, "show"))
		return show(o, c->operands[0], e);
	if (!strcmp(v, "verify"))
		return verify(c, o, c->operands[0], e);
	if (!strcmp(v, "list"))
		return list(c, o, e);
	if (!strcmp(v, "digest"))
		return digest_verb(o, c->operands[0], e);
	if (!strcmp(v, "doctor"))
		return doctor(o, e);
	if (!strcmp(v, "bench"))
		return bench(o, c->operands[0], e);
	return make(c, o, e);
}

int main(int argc, char **argv)
{
	struct opts o = { .prompt = UINT32_MAX, .predict = 64, .runs = 3 };
	struct err e = { 0 };
	struct cli c;
	int failed;

	if (cli_start(&c, &prog, &o, argc, argv))
		return cli_finish(&c, NULL);
	failed = run(&c, &o, &e);
	return cli_finish(&c, failed ? &e : NULL);
}
