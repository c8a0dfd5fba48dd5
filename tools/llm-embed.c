/* llm-embed: texts to vectors, with a model of this machine or of a service. What is at hand is
 * computed together; nothing is waited for. */
#include "config.h"
#include "embed.h"

struct opts {
	struct record_opts io;
	struct llm_service_opts service;
	struct llm_cache_opts cache;
	struct cli_list loras;
	const char *model, *prefix, *truncate, *pooling;
	uint32_t dimensions, ctx, threads, batch, top_k;
	int role; /* of the texts: 0 documents, 1 queries */
	int format;
	bool normalize, dry_run, rerank;
};

static const struct cli_opt options[] = {
	CLI_ANY_MODEL(struct opts, model),
	CLI_SET(0, "document", struct opts, role, 0,
		"texts are documents: the model's document prefix (the default)"),
	CLI_SET(0, "query", struct opts, role, 1, "texts are queries: the model's query prefix"),
	CLI_STR(0, "prefix", "TEXT", struct opts, prefix,
		"what stands in front of each text [as the model says]"),
	CLI_STR(0, "truncate", "N|ctx", struct opts, truncate,
		"cut texts to N tokens, or to what the model reads"),
	CLI_FLAG(0, "rerank", struct opts, rerank,
		 "no vectors: order each record's `hits` by the scores of a reranker"),
	CLI_U32('k', "top-k", "N", struct opts, top_k, 1, UINT32_MAX,
		"with --rerank: keep the N best [all]"),
	CLI_HEAD("Vectors:"),
	CLI_U32(0, "dimensions", "N", struct opts, dimensions, 1, 1u << 20,
		"keep the first N numbers (Matryoshka models) [all]"),
	CLI_STR(0, "pooling", "mean|cls|last", struct opts, pooling,
		"how tokens become a vector [as the model says]"),
	CLI_FLAG(0, "normalize", struct opts, normalize, "vectors of length 1 [on]"),
	CLI_ENUM(0, "encoding-format", "base64|float", struct opts, format,
		 "form of `embedding` [base64]"),
	CLI_HEAD("Other:"),
	CLI_LIST(0, "lora", "FILE[:SCALE]", struct opts, loras,
		 "an adapter over the model's weights; repeatable"),
	CLI_U32('c', "ctx-size", "N", struct opts, ctx, 8, INT32_MAX,
		"most tokens of a text [as trained]"),
	CLI_FLAG(0, "dry-run", struct opts, dry_run,
		 "show the text's tokens, or the request and what it costs at most"),
	CLI_THREADS(struct opts, threads),
	CLI_SERVICE(struct opts, service),
	CLI_U32(0, "batch-size", "N", struct opts, batch, 1, 2048, "most texts a request [64]"),
	CLI_CACHE(struct opts, cache),
	CLI_RECORDS(struct opts, io),
	CLI_END
};
static const char *const examples[] = {
	"llm-tokenize --chunk 200 docs/*.txt | llm-embed | llm-index add kb.db",
	"llm-index search kb.db -k 50 < q.ndjson | llm-embed --rerank -m bge-reranker.gguf -k 5",
	NULL
};
static const struct cli_prog prog = {
	"llm-embed",
	"[FILE...]",
	"turn texts into vectors with a model of this machine or of a service",
	options,
	NULL,
	examples
};

struct job {
	const struct opts *o;
	struct llm *l;               /* a model of this machine, or */
	struct llm_service *service; /* one elsewhere */
	unsigned jobs;
	struct llm_setup setup;
	struct llm_backend *backend, *cache; /* the second one behind the first */
	struct embed_batch batch;
	struct record_io *io;
	struct tally *tally;
	struct embed_rerank rerank;
	struct buf call;
};

/* ---- a text, a vector ---------------------------------------------------------------------- */

static int begin(void *arg, struct llm_ask *q, struct record *r, struct err *e)
{
	struct job *j = arg;
	bool batch;

	q->a = record_arena(r);
	q->id = record_id(r);
	q->record = record_json(r);
	if (embed_batch_begin(&batch, &j->batch, q, r, e))
		return -1;
	if (batch)
		return 0;
	if (j->o->rerank)
		return embed_rerank_begin(&j->rerank, q, r, e);
	if (record_text(&q->text, r, e))
		return -1;
	q->text.n -= record_is_text(r) && str_ends(q->text, STR("\n"));
	return 0;
}

static int end(void *arg, struct llm_ask *q, struct record *r, struct err *e)
{
	struct job *j = arg;
	char t[64];

	j->tally->tokens += q->call.prompt_tokens;
	if (embed_is_batch(q))
		return embed_batch_end(&j->batch, q, r, e);
	if (j->o->rerank ? embed_rerank_end(&j->rerank, q, r, e)
			 : record_set_f32s(r, "embedding", q->vector, q->n_vector,
					   embed_is_base64(q), e))
		return -1;
	if (q->n_whole > q->n_kept) {
		int n = snprintf(t, sizeof t, "{\"from\":%d,\"to\":%d}", q->n_whole, q->n_kept);

		if (record_set_raw(r, "truncated", (struct str){ t, (size_t)n }, e))
			return -1;
	}
	buf_reset(&j->call);
	return llm_call_put(&j->call, &q->call, e) || record_add_call(r, buf_str(&j->call), e);
}

/* A Batch line fails in its own form. */
static int fail(void *arg, struct llm_ask *q, struct record *r, struct err *e)
{
	(void)arg;
	return llm_batch_fail(r, q, e);
}

/* ---- setting up ---------------------------------------------------------------------------- */

static int open_model(struct job *j, struct cli *c, struct err *e)
{
	const struct opts *o = j->o;
	struct llm_opts lo = { .threads = o->threads,
			       .ctx = o->ctx,
			       .loras = o->loras.v,
			       .n_loras = o->loras.n,
			       .pooling = o->rerank ? "rank" : o->pooling };
	struct buf path, how;
	int rc;

	buf_init(&path, 1 << 16);
	buf_init(&how, 1 << 16);
	rc = llm_batch_find(&path, &how, o->model, LLM_EMBED, c->operands, c->n_operands, e);
	if (!rc && !o->model)
		cli_note(c, "model " STR_FMT " (" STR_FMT ")", STR_ARG(buf_str(&path)),
			 STR_ARG(buf_str(&how)));
	rc = rc || llm_open(&j->l, path.p, &lo, e);
	buf_release(&path);
	buf_release(&how);
	if (rc)
		return -1;
	if (!o->rerank && model_info(llm_model(j->l))->pooling == MODEL_POOL_RANK)
		return err_set(e, ERR_OPEN,
			       "%s is a reranker: it scores pairs of texts, with --rerank",
			       llm_name(j->l));
	if (!model_info(llm_model(j->l))->embeds)
		return err_set(e, ERR_OPEN,
			       "%s does not say how its tokens become a vector: --pooling mean, "
			       "cls or last",
			       llm_name(j->l));
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
	j->setup.limit = (int32_t)n;
	return 0;
}

static int set_up_local(struct job *j, struct cli *c, struct err *e)
{
	const struct opts *o = j->o;
	const char *idle = llm_service_given(c);

	if (idle || cli_given(c, "batch-size"))
		return cli_usage(e, "--%s is for services: -m provider:NAME or --base-url",
				 idle ? idle : "batch-size");
	if (open_model(j, c, e) || read_truncate(j, e))
		return -1;
	/* kept by llm-model import */
	if (!o->prefix)
		j->setup.prefix = gguf_str_or(
			llm_gguf(j->l), o->role ? "llmu.prompt.query" : "llmu.prompt.document",
			STR(""));
	return o->rerank ? llm_local_rank_new(&j->backend, j->l, &j->setup, e)
			 : llm_local_vectors_new(&j->backend, j->l, &j->setup, e);
}

/* Someone who looks on learns why nothing happens. */
static void waiting(void *c, const char *text)
{
	cli_note(c, "%s", text);
}

static int open_backend(struct job *j, struct cli *c, struct err *e)
{
	static const char *const local[] = { "truncate", "pooling", "ctx-size", "threads", "lora" };
	const struct opts *o = j->o;
	struct llm_service_opts so = o->service;
	unsigned batch = o->rerank ? 1 : o->batch; /* of the texts of a request */

	so.fail_fast = o->io.fail_fast;
	so.note = waiting;
	so.note_arg = c;
	if (o->top_k && !o->rerank)
		return cli_usage(e, "--top-k belongs to --rerank");
	if (cli_exclude(
		    c, "rerank",
		    "document query prefix dimensions pooling normalize encoding-format dry-run "
		    "batch-size",
		    e) ||
	    cli_exclude(c, "dry-run", LLM_CACHE_OPTIONS, e) ||
	    llm_service_open(&j->service, o->model, LLM_EMBED, &so, e))
		return -1;
	j->jobs = j->service && !cli_given(c, "jobs") ? LLM_SERVICE_JOBS * batch : o->io.jobs;
	j->setup.jobs = j->jobs;
	j->setup.prefix = str_of(o->prefix ? o->prefix : "");
	j->setup.dimensions = o->dimensions;
	j->setup.normalize = o->normalize;
	j->rerank.field = o->io.field;
	j->rerank.top = o->top_k;
	if (!j->service)
		return set_up_local(j, c, e);
	for (size_t i = 0; i < sizeof local / sizeof *local; i++)
		if (cli_given(c, local[i]))
			return cli_usage(e, "--%s is for models of this machine, not for services",
					 local[i]);
	cli_info(c, "model %s at %s",
		 llm_service_model(j->service) ? llm_service_model(j->service) : "of each record",
		 llm_service_url(j->service));
	return llm_remote_new(&j->backend, j->service, &j->setup, batch, e);
}

static int set_up(struct job *j, struct cli *c, struct err *e)
{
	const struct opts *o = j->o;

	if (open_backend(j, c, e))
		return -1;
	j->batch.b.l = j->l;
	j->batch.b.model = o->model;
	j->batch.b.role = LLM_EMBED;
	j->batch.base64 = o->format == 0;
	j->batch.pairs = o->rerank;
	if (o->dry_run)
		return 0;
	if (llm_cached_new(&j->backend, &o->cache, e))
		return -1;
	j->cache = j->backend;
	return llm_many_new(&j->backend, e);
}

static int count_tokens(uint64_t *out, struct job *j, struct llm_ask *q, struct err *e)
{
	const struct llm_inputs *in = q->inputs;
	uint64_t n;

	if (!in)
		return llm_vector_tokens(out, j->backend, q, e);
	*out = 0;
	for (size_t i = 0; i < in->n; i++) {
		q->text = in->texts ? in->texts[i] : STR("");
		q->ids = in->texts ? NULL : in->ids[i];
		q->n_ids = in->texts ? 0 : in->n_ids[i];
		if (llm_vector_tokens(&n, j->backend, q, e))
			return -1;
		*out += n;
	}
	return 0;
}

/* How many tokens each text has. */
static int count_all(struct job *j, struct err *e)
{
	struct record *r;

	while (!record_next(&r, j->io, true, e) && r) {
		struct llm_ask q = { 0 };
		struct err fault;
		uint64_t tokens;

		if (begin(j, &q, r, &fault) || count_tokens(&tokens, j, &q, &fault) ||
		    record_set_u64(r, "n_tokens", tokens, &fault))
			record_fail(r, &fault, 0);
		if (record_done(j->io, r, e))
			return -1;
	}
	return record_ended(j->io) ? 0 : -1;
}

static int run(struct job *j, struct cli *c, struct err *e)
{
	struct llm_run run = { .backend = j->backend,
			       .jobs = j->jobs,
			       .begin = begin,
			       .end = end,
			       .fail = fail,
			       .arg = j };
	struct record_opts ro = j->o->io;
	struct err later;
	struct buf id;
	int rc;

	ro.files = c->operands;
	ro.n_files = c->n_operands;
	ro.jobs = j->jobs;
	ro.batch = true;
	j->tally = &c->tally;
	buf_init(&id, 1 << 16);
	buf_addf(&id, "[%d,%u,", j->o->format, j->o->top_k);
	rc = llm_describe(&id, j->backend, e);
	buf_addc(&id, ']');
	rc = rc || buf_check(&id, e) ||
	     record_open(&j->io, &ro, &c->tally, j->o->rerank ? "rerank" : "embed", buf_str(&id),
			 e);
	buf_release(&id);
	if (rc)
		return -1;
	run.io = j->io;
	rc = !j->o->dry_run ? llm_run(&run, e) : j->l ? count_all(j, e) : llm_run_preview(&run, e);
	return record_close(j->io, rc ? &later : e) || rc ? -1 : 0;
}

static void release(struct job *j)
{
	llm_backend_free(j->backend);
	llm_service_free(j->service);
	buf_release(&j->call);
	buf_release(&j->rerank.b);
	buf_release(&j->batch.body);
	buf_release(&j->batch.b.known);
	llm_close(j->l);
}

int main(int argc, char **argv)
{
	struct opts o = {
		.io = RECORD_OPTS_INIT, .service = LLM_SERVICE_INIT, .normalize = true, .batch = 64
	};
	struct job j = { .o = &o };
	struct err e = { 0 };
	struct cli c;
	int failed;

	o.io.jobs = 64;
	buf_init(&j.call, BUF_MAX_LINE);
	buf_init(&j.rerank.b, BUF_MAX_LINE);
	buf_init(&j.batch.body, BUF_MAX_LINE);
	buf_init(&j.batch.b.known, 1 << 16);
	if (cli_start(&c, &prog, &o, argc, argv) || cli_need_input(&c))
		return cli_finish(&c, NULL);
	failed = set_up(&j, &c, &e) || run(&j, &c, &e);
	failed = llm_cached_end(j.cache, &c, failed, &e);
	release(&j);
	return cli_finish(&c, failed ? &e : NULL);
}
