/* llm-embed: texts to vectors with a local model. What is at hand is computed together; nothing is
 * waited for. */
#include "config.h"
#include "cli/cli.h"
#include "llm/llm.h"
#include "record/record.h"
#include <math.h>

enum { GROUP_TOKENS = 4096 }; /* a batch ends when it has as many */

struct opts {
	struct record_opts io;
	const char *model, *prefix, *truncate, *pooling;
	uint32_t dimensions, ctx, threads;
	int role; /* of the texts: 0 documents, 1 queries */
	int format;
	bool normalize;
};

static const struct cli_opt options[] = {
	CLI_MODEL(struct opts, model),
	CLI_SET(0, "document", struct opts, role, 0,
		"texts are documents: the model's document prefix (the default)"),
	CLI_SET(0, "query", struct opts, role, 1, "texts are queries: the model's query prefix"),
	CLI_STR(0, "prefix", "TEXT", struct opts, prefix,
		"what stands in front of each text [as the model says]"),
	CLI_STR(0, "truncate", "N|ctx", struct opts, truncate,
		"cut texts to N tokens, or to what the model reads"),
	CLI_U32(0, "dimensions", "N", struct opts, dimensions, 1, 1u << 20,
		"keep the first N numbers (Matryoshka models) [all]"),
	CLI_STR(0, "pooling", "mean|cls|last", struct opts, pooling,
		"how tokens become a vector [as the model says]"),
	CLI_FLAG(0, "normalize", struct opts, normalize, "vectors of length 1 [on]"),
	CLI_ENUM(0, "encoding-format", "base64|float", struct opts, format,
		 "form of `embedding` [base64]"),
	CLI_U32('c', "ctx-size", "N", struct opts, ctx, 8, INT32_MAX,
		"most tokens of a text [as trained]"),
	CLI_THREADS(struct opts, threads),
	CLI_RECORDS(struct opts, io),
	CLI_END
};
static const char *const examples[] = {
	"llm-tokenize --chunk 200 docs/*.txt | llm-embed | llm-index add kb.db",
	"echo 'How do I …?' | llm-embed --query | llm-index search kb.db -k 5", NULL
};
static const struct cli_prog prog = {
	"llm-embed", "[FILE...]", "turn texts into vectors with a local model",
	options,     NULL,        examples
};

struct item {
	struct record *r;
	struct tok_ids ids;
	int32_t n_whole;
	struct str text; /* in the record's arena */
};
struct job {
	const struct opts *o;
	struct llm *l;
	const char *digest;
	struct tok_enc *enc;
	struct str prefix;
	int32_t limit;       /* of --truncate; 0: none */
	size_t n_out, n_dim; /* numbers that the model gives, that are kept */
	struct record_io *io;
	struct tally *tally;
	struct item *items; /* [io.jobs] */
	struct llm_doc *docs;
	float *vectors; /* [io.jobs, n_out] */
	size_t n;
	struct buf params, text, call;
};

/* ---- a text, a vector ---------------------------------------------------------------------- */

static int prepare(struct job *j, struct item *it, struct err *e)
{
	uint32_t ctx = llm_ctx(j->l);
	struct str text;

	if (record_text(&text, it->r, e))
		return -1;
	text.n -= record_is_text(it->r) && str_ends(text, STR("\n"));
	it->text = text;
	if (j->prefix.n) {
		buf_reset(&j->text);
		buf_adds(&j->text, j->prefix);
		buf_adds(&j->text, text);
		if (buf_check(&j->text, e))
			return -1;
		text = buf_str(&j->text);
	}
	it->ids.n = 0;
	if (llm_document(&it->ids, &it->n_whole, j->enc, text, j->limit, e))
		return -1;
	if (!it->ids.n)
		return err_set(e, ERR_INVALID_FIELD,
			       "the text is empty: there is nothing to embed");
	if (it->ids.n > ctx)
		return err_set(e, ERR_CONTEXT_LENGTH,
			       "text is %zu tokens, context %u: use --truncate ctx or llm-tokenize "
			       "--chunk %u",
			       it->ids.n, ctx, ctx / 10 * 8);
	return 0;
}

/* The first n_dim numbers, of length 1 where that is wanted. */
static int shorten(const struct job *j, float *v, struct err *e)
{
	double sum = 0;

	if (!j->o->normalize)
		return 0;
	for (size_t i = 0; i < j->n_dim; i++)
		sum += (double)v[i] * (double)v[i];
	if (!(sum > 0) || isinf(sum))
		return err_set(e, ERR_INVALID_VECTOR,
			       "the vector cannot be normalized: its length is %g", sqrt(sum));
	for (size_t i = 0; i < j->n_dim; i++)
		v[i] = (float)((double)v[i] / sqrt(sum));
	return 0;
}

static int set_result(struct job *j, const struct item *it, struct llm_doc *d, uint64_t from,
		      uint64_t share_ns, struct err *e)
{
	struct llm_call c = { .stage = "embed",
			      .model = llm_name(j->l),
			      .digest = j->digest,
			      .prompt_tokens = it->ids.n,
			      .params = buf_str(&j->params),
			      .prompt = it->text,
			      .t_queued = from,
			      .t_done = time_mono_ns(),
			      .ns_prompt = share_ns };
	char t[64];

	if (d->err.code) {
		*e = d->err;
		return -1;
	}
	if ((j->n_dim < j->n_out && shorten(j, d->out, e)) ||
	    record_set_f32s(it->r, "embedding", d->out, j->n_dim, j->o->format == 0, e))
		return -1;
	if (it->n_whole > (int32_t)it->ids.n) {
		int n = snprintf(t, sizeof t, "{\"from\":%d,\"to\":%zu}", it->n_whole, it->ids.n);

		if (record_set_raw(it->r, "truncated", (struct str){ t, (size_t)n }, e))
			return -1;
	}
	buf_reset(&j->call);
	return llm_call_put(&j->call, &c, e) || record_add_call(it->r, buf_str(&j->call), e);
}

/* Compute what is gathered, give the records back. */
static int flush(struct job *j, struct err *e)
{
	uint64_t from = time_mono_ns(), ns, tokens = 0;

	for (size_t i = 0; i < j->n; i++)
		tokens += j->items[i].ids.n;
	for (size_t i = 0; i < j->n; i++)
		j->docs[i] = (struct llm_doc){ .ids = j->items[i].ids.v,
					       .n = (int32_t)j->items[i].ids.n,
					       .out = j->vectors + i * j->n_out };
	if (llm_embed(j->l, j->docs, j->n, j->o->normalize && j->n_dim == j->n_out, e))
		return -1;
	ns = time_mono_ns() - from;
	for (size_t i = 0; i < j->n; i++) {
		struct err fault = { 0 };
		uint64_t part = tokens ? ns * j->items[i].ids.n / tokens : 0;

		j->tally->tokens += j->items[i].ids.n;
		if (set_result(j, &j->items[i], &j->docs[i], from, part, &fault))
			record_fail(j->items[i].r, &fault, 0);
		if (record_done(j->io, j->items[i].r, e))
			return -1;
	}
	j->n = 0;
	return 0;
}

static int loop(struct job *j, struct err *e)
{
	size_t tokens = 0;

	for (;;) {
		struct err fault = { 0 };
		struct record *r = NULL;

		if (j->n < j->o->io.jobs && tokens < GROUP_TOKENS &&
		    record_next(&r, j->io, !j->n, e))
			return -1;
		if (!r) { /* full, or nothing more at hand */
			if (!j->n && record_ended(j->io))
				return 0;
			if (j->n && flush(j, e))
				return -1;
			tokens = 0;
			continue;
		}
		j->items[j->n].r = r;
		if (!prepare(j, &j->items[j->n], &fault)) {
			tokens += j->items[j->n++].ids.n;
			continue;
		}
		record_fail(r, &fault, 0);
		if (record_done(j->io, r, e))
			return -1;
	}
}

/* ---- setting up ---------------------------------------------------------------------------- */

static int open_model(struct job *j, struct cli *c, struct err *e)
{
	const struct opts *o = j->o;
	struct llm_opts lo = { .threads = o->threads, .ctx = o->ctx, .pooling = o->pooling };
	struct buf path, how;
	int rc;

	buf_init(&path, 1 << 16);
	buf_init(&how, 1 << 16);
	rc = llm_find(&path, &how, o->model, LLM_EMBED, e);
	if (!rc && !o->model)
		cli_note(c, "model " STR_FMT " (" STR_FMT ")", STR_ARG(buf_str(&path)),
			 STR_ARG(buf_str(&how)));
	rc = rc || llm_open(&j->l, path.p, &lo, e);
	buf_release(&path);
	buf_release(&how);
	if (rc)
		return -1;
	if (!model_info(llm_model(j->l))->embeds)
		return err_set(e, ERR_OPEN,
			       "%s does not say how its tokens become a vector: --pooling mean, "
			       "cls or last",
			       llm_name(j->l));
	j->n_out = j->n_dim = (size_t)model_info(llm_model(j->l))->n_out;
	if (o->dimensions > j->n_out)
		return cli_usage(e, "--dimensions %u: the model gives %zu", o->dimensions,
				 j->n_out);
	if (o->dimensions)
		j->n_dim = o->dimensions;
	return 0;
}

static int read_truncate(struct job *j, struct err *e)
{
	const char *t = j->o->truncate;
	uint64_t n = llm_ctx(j->l);

	if (!t)
		return 0;
	if (strcmp(t, "ctx") && num_u64(&n, str_of(t), 1, INT32_MAX, NULL))
		return cli_usage(e, "--truncate %s: want a number of tokens or ctx", t);
	j->limit = (int32_t)n;
	return 0;
}

/* What decides the vectors: in each call, and for --resume. */
static int describe(struct job *j, struct err *e)
{
	static const char *const poolings[] = { "none", "mean", "cls", "last", "rank" };
	struct json_w w = json_w(&j->params);

	json_w_begin(&w, '{');
	json_w_key(&w, "pooling");
	json_w_strz(&w, poolings[model_info(llm_model(j->l))->pooling]);
	json_w_key(&w, "prefix");
	json_w_str(&w, j->prefix);
	json_w_key(&w, "normalize");
	json_w_bool(&w, j->o->normalize);
	json_w_key(&w, "dimensions");
	json_w_u64(&w, j->n_dim);
	json_w_end(&w, '}');
	return buf_check(&j->params, e);
}

static int set_up(struct job *j, struct cli *c, struct err *e)
{
	const struct opts *o = j->o;
	size_t n = o->io.jobs;

	if (open_model(j, c, e) || read_truncate(j, e))
		return -1;
	/* kept by llm-model import */
	j->prefix = o->prefix ? str_of(o->prefix)
			      : gguf_str_or(llm_gguf(j->l),
					    o->role ? "llmu.prompt.query" : "llmu.prompt.document",
					    STR(""));
	j->items = calloc(n, sizeof *j->items);
	j->docs = calloc(n, sizeof *j->docs);
	j->vectors = ckd_alloc(n * j->n_out, sizeof *j->vectors);
	if (!j->items || !j->docs || !j->vectors)
		return err_nomem(e);
	j->digest = llm_model_digest(j->l);
	return tok_enc_new(&j->enc, llm_tok(j->l), e) || describe(j, e);
}

static int run(struct job *j, struct cli *c, struct err *e)
{
	struct record_opts ro = j->o->io;
	struct err later;
	struct buf id;
	int rc;

	ro.files = c->operands;
	ro.n_files = c->n_operands;
	j->tally = &c->tally;
	buf_init(&id, 1 << 16);
	buf_addf(&id, "[\"%s\",%d,%d,%u,", j->digest, j->limit, j->o->format, llm_ctx(j->l));
	buf_adds(&id, buf_str(&j->params));
	buf_addc(&id, ']');
	rc = buf_check(&id, e) || record_open(&j->io, &ro, &c->tally, "embed", buf_str(&id), e);
	buf_release(&id);
	if (rc)
		return -1;
	rc = loop(j, e);
	return record_close(j->io, rc ? &later : e) || rc ? -1 : 0;
}

static void release(struct job *j)
{
	for (size_t i = 0; j->items && i < j->o->io.jobs; i++)
		tok_ids_release(&j->items[i].ids);
	free(j->items);
	free(j->docs);
	free(j->vectors);
	tok_enc_free(j->enc);
	buf_release(&j->params);
	buf_release(&j->text);
	buf_release(&j->call);
	llm_close(j->l);
}

int main(int argc, char **argv)
{
	struct opts o = { .io = RECORD_OPTS_INIT, .normalize = true };
	struct job j = { .o = &o };
	struct err e = { 0 };
	struct cli c;
	int failed;

	o.io.jobs = 64;
	buf_init(&j.params, 1 << 16);
	buf_init(&j.text, BUF_MAX_LINE * 2);
	buf_init(&j.call, BUF_MAX_LINE);
	if (cli_start(&c, &prog, &o, argc, argv) || cli_need_input(&c))
		return cli_finish(&c, NULL);
	failed = set_up(&j, &c, &e) || run(&j, &c, &e);
	release(&j);
	return cli_finish(&c, failed ? &e : NULL);
}
