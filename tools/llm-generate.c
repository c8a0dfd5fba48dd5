/* llm-generate: prompts to completions, many at once, with a model of this machine or of a service;
 * log-likelihoods with --score. */
#include "config.h"
#include "cli/cli.h"
#include "generate.h"
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#define NUM(l, nm, a, m, lo, hi, al, hlp)                                                          \
	{                                                                                          \
		.kind = CLI_K_F64, .letter = l, .name = nm, .arg = a, .help = hlp,                 \
		.offset = offsetof(struct opts, m), .given = CLI_NOT_KEPT, .min = lo, .max = hi,   \
		.alias = al                                                                        \
	}
#define INT(l, nm, m, lo, hi, al, hlp)                                                             \
	{                                                                                          \
		.kind = CLI_K_I64, .letter = l, .name = nm, .arg = "N", .help = hlp,               \
		.offset = offsetof(struct opts, m), .given = CLI_NOT_KEPT, .min = lo, .max = hi,   \
		.alias = al                                                                        \
	}
static const struct cli_opt options[] = {
	CLI_ANY_MODEL(struct opts, model),
	CLI_STR('p', "prompt", "TEXT", struct opts, prompt,
		"the prompt, behind the input; with {{ }} a template"),
	{ .kind = CLI_K_STR,
	  .letter = 's',
	  .name = "system",
	  .arg = "TEXT",
	  .help = "a system turn",
	  .offset = offsetof(struct opts, system),
	  .given = CLI_NOT_KEPT,
	  .alias = "system-prompt" },
	CLI_STR('T', "template", "FILE", struct opts, template,
		"a Jinja file that makes prompts of records"),
	CLI_HEAD("Prompt:"),
	CLI_LIST(0, "param", "K=V", struct opts, vars, "a variable of the templates; repeatable"),
	CLI_STR(0, "chat-template-file", "FILE", struct opts, chat_file,
		"a chat template in place of the model's own"),
	CLI_FLAG(0, "raw", struct opts, raw,
		 "no chat template: the text is the prompt, special tokens in it count"),
	CLI_STR(0, "truncate", "N|ctx", struct opts, truncate,
		"cut the text until the prompt has at most N tokens"),
	CLI_HEAD("Sampling:"),
	INT('n', "max-tokens", max_tokens, 1, INT32_MAX, "n-predict",
	    "most tokens of an answer [512]"),
	NUM(0, "temp", "X", temp, 0, 100, "temperature", "temperature, 0 is greedy [0.8]"),
	INT(0, "top-k", top_k, -1, INT32_MAX, NULL, "of the N likeliest tokens, 0 is off [40]"),
	NUM(0, "top-p", "X", top_p, 0, 1, NULL, "of those that make up probability X [0.95]"),
	NUM(0, "min-p", "X", min_p, 0, 1, NULL, "of those X times as likely as the best [0.05]"),
	NUM(0, "repeat-penalty", "X", repeat_penalty, 0.01, 100, NULL,
	    "divide the logits of the last 64 tokens [1]"),
	NUM(0, "presence-penalty", "X", presence, -100, 100, NULL,
	    "subtract from what was there [0]"),
	NUM(0, "frequency-penalty", "X", frequency, -100, 100, NULL,
	    "subtract for each time it was there [0]"),
	INT(0, "seed", seed, 0, 0, NULL, "the same seed gives the same text [0]"),
	CLI_LIST(0, "stop", "TEXT", struct opts, stops, "end before this text; repeatable"),
	CLI_U32(0, "samples", "N", struct opts, samples, 1, LLM_MAX_SAMPLES, "answers a prompt"),
	CLI_FLAG(0, "logprobs", struct opts, logprobs, "add the log-probabilities of the tokens"),
	CLI_U32(0, "top-logprobs", "N", struct opts, top_logprobs, 0, 20,
		"and those of the N likeliest"),
	CLI_HEAD("Other:"),
	CLI_FLAG(0, "score", struct opts, score,
		 "no answer: log-likelihood and perplexity of the text"),
	CLI_STR(0, "continuation", "NAME", struct opts, continuation,
		"with --score: of this member, behind the prompt"),
	CLI_U32(0, "window", "N", struct opts, window, 4, INT32_MAX,
		"with --score: windows of N tokens, as llama-perplexity"),
	CLI_FLAG(0, "dry-run", struct opts, dry_run,
		 "show the prompt and its tokens, or the request and what it costs at most"),
	CLI_FLAG('x', "extract", struct opts, extract, "of the answer only the first fenced block"),
	CLI_U32('c', "ctx-size", "N", struct opts, ctx, 8, INT32_MAX,
		"most tokens of prompt and answer [as trained]"),
	CLI_LIST(0, "lora", "FILE[:SCALE]", struct opts, loras,
		 "an adapter over the model's weights; repeatable"),
	CLI_STR(0, "kv-type", "f16|q8_0|f32", struct opts, kv_type, "type of the KV cache [f16]"),
	CLI_STR(0, "prompt-cache", "DIR", struct opts, prompt_cache,
		"keep in DIR what prompts begin with, from run to run"),
	CLI_FLAG(0, "stream", struct opts, stream, "show text as it comes, at a terminal [on]"),
	CLI_FLAG(0, "deltas", struct opts, deltas,
		 "before each record, records of its text as it comes"),
	CLI_FLAG(0, "json", struct opts, io.json, "records out for text in"),
	CLI_THREADS(struct opts, threads),
	CLI_SERVICE(struct opts, service),
	CLI_CACHE(struct opts, cache),
	CLI_RECORDS(struct opts, io),
	CLI_END
};
static const char *const examples[] = { "llm-generate -p 'Why is the sky blue?'",
					"llm-generate -T rag.jinja --max-tokens 200 < hits.ndjson",
					NULL };
static const struct cli_prog prog = {
	"llm-generate", "[FILE...]", "answer prompts with a model of this machine or of a service",
	options,        NULL,        examples
};

/* ---- setting up ---------------------------------------------------------------------------- */

/* K=V to one JSON object; V as JSON where it is some, else as a string. */
static int read_vars(struct gen *g, struct err *e)
{
	struct json_w w = json_w(&g->vars_text);
	struct json_val v;

	if (!g->o->vars.n)
		return 0;
	json_w_begin(&w, '{');
	for (size_t i = 0; i < g->o->vars.n; i++) {
		struct str s = str_of(g->o->vars.v[i]), value;
		size_t eq = str_find(s, STR("="), 0);

		if (eq == s.n || !eq)
			return cli_usage(e, "--param %s: want NAME=VALUE", s.p);
		json_w_key_str(&w, str_sub(s, 0, eq));
		value = str_sub(s, eq + 1, s.n);
		if (value.n && !json_parse(&v, value, NULL))
			json_w_raw(&w, v.raw);
		else
			json_w_str(&w, value);
	}
	json_w_end(&w, '}');
	return buf_check(&g->vars_text, e) ||
	       json_parse(&g->prompter.more, buf_str(&g->vars_text), e);
}

/* The template at `path`; a bare name that is no file is one of those that come with the tools. */
static int open_template(struct gen *g, struct tok_tmpl **out, const char *path, struct err *e)
{
	const char *folder = os_env("LLMU_DATADIR");
	struct buf b, own;
	int rc = -1;

	buf_init(&b, (size_t)1 << 20);
	buf_init(&own, 65536);
	if (!strchr(path, '/') && access(path, F_OK)) {
		buf_addf(&own, "%s/templates/%s", folder ? folder : LLMU_DATADIR, path);
		if (buf_check(&own, e))
			goto out;
		if (access(own.p, F_OK)) {
			err_set(e, ERR_OPEN,
				"%s: no such template here, nor is there %.900s (LLMU_DATADIR names "
				"another data folder)",
				path, own.p);
			goto out;
		}
	}
	rc = os_read_file(&b, own.n ? own.p : path, (size_t)1 << 20, e) ||
	     tok_tmpl_open(out, buf_str(&b), path, e);
	buf_addc(&g->tmpl_text, out == &g->fill ? 'T' : 'C');
	buf_adds(&g->tmpl_text, buf_str(&b));
	rc = rc || buf_check(&g->tmpl_text, e) ? -1 : 0;
out:
	buf_release(&b);
	buf_release(&own);
	return rc;
}

/* -p: with {{ or {% a template of the record ({{}} stands for its text), else what follows the
 * text. */
static int read_prompt(struct gen *g, struct err *e)
{
	struct str p = str_of(g->o->prompt);
	struct buf b;
	size_t at = 0, next;
	int rc;

	g->prompter.append = p;
	if (str_find(p, STR("{{"), 0) == p.n && str_find(p, STR("{%"), 0) == p.n)
		return 0;
	buf_init(&b, (size_t)1 << 20);
	for (; (next = str_find(p, STR("{{}}"), at)) < p.n; at = next + 4) {
		buf_adds(&b, str_sub(p, at, next));
		buf_addz(&b, "{{ (messages[-1].content if messages else prompt or input or text or "
			     "content).rstrip('\\n') }}");
	}
	buf_adds(&b, str_sub(p, at, p.n));
	rc = buf_check(&b, e) || tok_tmpl_open(&g->fill, buf_str(&b), "--prompt", e);
	buf_release(&b);
	g->prompter.fill = g->fill;
	g->prompter.append = STR("");
	return rc;
}

static int read_truncate(struct gen *g, struct err *e)
{
	const char *t = g->o->truncate;
	uint64_t n;

	g->setup.truncate = t ? 0 : -1;
	if (!t || !strcmp(t, "ctx"))
		return 0;
	if (num_u64(&n, str_of(t), 1, INT32_MAX, NULL))
		return cli_usage(e, "--truncate %s: want a number of tokens or ctx", t);
	g->setup.truncate = (int32_t)n;
	return 0;
}

static void put_flag(struct json_w *w, const struct cli *c, const char *flag, const char *name,
		     double v)
{
	if (!cli_given(c, flag))
		return;
	json_w_key(w, name);
	json_w_f64(w, v);
}

/* The flags that were given, by OpenAI's names. */
static int read_flags(struct gen *g, const struct cli *c, struct err *e)
{
	const struct opts *o = g->o;
	struct json_w w = json_w(&g->flags);

	json_w_begin(&w, '{');
	put_flag(&w, c, "max-tokens", "max_tokens", (double)o->max_tokens);
	put_flag(&w, c, "temp", "temperature", o->temp);
	put_flag(&w, c, "top-k", "top_k", (double)o->top_k);
	put_flag(&w, c, "top-p", "top_p", o->top_p);
	put_flag(&w, c, "min-p", "min_p", o->min_p);
	put_flag(&w, c, "repeat-penalty", "repeat_penalty", o->repeat_penalty);
	put_flag(&w, c, "presence-penalty", "presence_penalty", o->presence);
	put_flag(&w, c, "frequency-penalty", "frequency_penalty", o->frequency);
	put_flag(&w, c, "samples", "n", o->samples);
	if (cli_given(c, "seed")) {
		json_w_key(&w, "seed");
		json_w_i64(&w, o->seed);
	}
	if (o->logprobs || cli_given(c, "top-logprobs")) {
		json_w_key(&w, "logprobs");
		json_w_bool(&w, true);
		put_flag(&w, c, "top-logprobs", "top_logprobs", o->top_logprobs);
	}
	for (size_t i = 0; i < o->stops.n; i++) {
		if (!o->stops.v[i][0])
			return cli_usage(e, "--stop: an empty text");
		if (!i) {
			json_w_key(&w, "stop");
			json_w_begin(&w, '[');
		}
		json_w_strz(&w, o->stops.v[i]);
	}
	if (o->stops.n)
		json_w_end(&w, ']');
	json_w_end(&w, '}');
	return buf_check(&g->flags, e) || json_parse(&g->setup.params, buf_str(&g->flags), e);
}

static void note(void *c, bool warn, const char *text)
{
	if (warn)
		cli_warn(c, "%s", text);
	else
		cli_info(c, "%s", text);
}

static int open_model(struct gen *g, struct cli *c, struct err *e)
{
	const struct opts *o = g->o;
	struct llm_opts lo = { .threads = o->threads,
			       .jobs = g->jobs,
			       .ctx = o->ctx,
			       .kv_type = o->kv_type,
			       .loras = o->loras.v,
			       .n_loras = o->loras.n,
			       .prompt_cache = o->prompt_cache,
			       .note = note,
			       .note_arg = c,
			       .tokenizer_only = o->dry_run };
	struct buf path, how;
	int rc;

	buf_init(&path, 1 << 16);
	buf_init(&how, 1 << 16);
	rc = llm_batch_find(&path, &how, o->model, LLM_GENERATE, c->operands, c->n_operands, e);
	if (!rc && !o->model)
		cli_note(c, "model " STR_FMT " (" STR_FMT ")", STR_ARG(buf_str(&path)),
			 STR_ARG(buf_str(&how)));
	rc = rc || llm_open(&g->l, path.p, &lo, e);
	buf_release(&path);
	buf_release(&how);
	if (rc)
		return -1;
	if (!o->dry_run && model_info(llm_model(g->l))->encoder)
		return err_set(e, ERR_OPEN, "%s is an encoder: llm-embed runs it", llm_name(g->l));
	return 0;
}

static int set_up_local(struct gen *g, struct cli *c, struct err *e)
{
	const struct opts *o = g->o;
	const char *idle = llm_service_given(c);
	struct err why = { 0 };

	if (idle)
		return cli_usage(e, "--%s is for services: -m provider:NAME or --base-url", idle);
	if (open_model(g, c, e))
		return -1;
	g->prompter.tok = llm_tok(g->l);
	if (!o->raw && !(o->score && !o->continuation)) {
		g->prompter.chat = g->chat ? g->chat : llm_chat(g->l, &why);
		if (why.code && !g->chat) {
			*e = why;
			return err_wrap(e,
					"%s: its chat template cannot be read "
					"(--chat-template-file, --raw)",
					llm_name(g->l));
		}
		if (!g->prompter.chat)
			cli_info(c, "%s has no chat template: prompts are raw", llm_name(g->l));
	}
	if (llm_base_params(&g->params, llm_gguf(g->l), g->setup.params, &g->a, e))
		return -1;
	if (o->score || o->dry_run)
		return tok_enc_new(&g->enc, g->prompter.tok, e);
	return llm_local_new(&g->backend, g->l, &g->setup, e);
}

/* What needs the model itself cannot be had from a service. */
static int set_up_service(struct gen *g, struct cli *c, struct err *e)
{
	static const char *const local[] = { "score",       "truncate", "chat-template-file",
					     "ctx-size",    "kv-type",  "threads",
					     "prompt-cache", "lora" };

	for (size_t i = 0; i < sizeof local / sizeof *local; i++)
		if (cli_given(c, local[i]))
			return cli_usage(e, "--%s is for models of this machine, not for services",
					 local[i]);
	cli_info(c, "model %s at %s",
		 llm_service_model(g->service) ? llm_service_model(g->service) : "of each record",
		 llm_service_url(g->service));
	return llm_remote_new(&g->backend, g->service, &g->setup, 1, e);
}

static int check_usage(const struct opts *o, const struct cli *c, struct err *e)
{
	if (o->prompt && o->template)
		return cli_usage(e, "-p and -T both make the prompt: give one");
	if (cli_exclude(c, "raw", "chat-template-file", e) ||
	    cli_exclude(c, "score", LLM_CACHE_OPTIONS, e) ||
	    cli_exclude(c, "dry-run", LLM_CACHE_OPTIONS, e) ||
	    cli_exclude(c, "score",
			"max-tokens temp top-k top-p min-p repeat-penalty presence-penalty "
			"frequency-penalty seed stop samples logprobs top-logprobs extract stream "
			"deltas prompt-cache",
			e) ||
	    (!o->continuation &&
	     cli_exclude(c, "score", "system template param chat-template-file truncate", e)) ||
	    cli_exclude(c, "deltas", "resume dry-run extract", e))
		return -1;
	if ((o->window || o->continuation) && !o->score)
		return cli_usage(e, "--window and --continuation belong to --score");
	if (o->window && o->continuation)
		return cli_usage(e, "--window and --continuation exclude each other");
	return 0;
}

/* Someone who looks on learns why nothing happens. */
static void waiting(void *c, const char *text)
{
	cli_note(c, "%s", text);
}

static int set_up(struct gen *g, struct cli *c, struct err *e)
{
	const struct opts *o = g->o;
	struct llm_service_opts so = o->service;

	so.fail_fast = o->io.fail_fast;
	so.note = waiting;
	so.note_arg = c;
	if (check_usage(o, c, e) || read_truncate(g, e) || read_vars(g, e) ||
	    (o->prompt && read_prompt(g, e)) ||
	    (o->template && open_template(g, &g->fill, o->template, e)) ||
	    (o->chat_file && open_template(g, &g->chat, o->chat_file, e)) || read_flags(g, c, e) ||
	    llm_service_open(&g->service, o->model, LLM_GENERATE, &so, e))
		return -1;
	g->jobs = g->service && !cli_given(c, "jobs") ? LLM_SERVICE_JOBS : o->io.jobs;
	g->prompter.fill = g->fill;
	g->prompter.system = o->system ? str_of(o->system) : STR("");
	g->prompter.raw = o->raw;
	g->setup.prompter = &g->prompter;
	g->setup.jobs = g->jobs;
	g->setup.prefix = STR("");
	if (g->service ? set_up_service(g, c, e) : set_up_local(g, c, e))
		return -1;
	g->batch.l = g->l;
	g->batch.model = o->model;
	g->batch.role = LLM_GENERATE;
	return llm_cached_new(&g->backend, &o->cache, e);
}

/* All that decides what comes out, for --resume. */
static int fingerprint(struct buf *b, struct gen *g, struct err *e)
{
	const struct opts *o = g->o;
	const char *const texts[] = { o->prompt, o->system, o->truncate, o->continuation,
				      o->kv_type };
	struct json_w w = json_w(b);

	json_w_begin(&w, '{');
	if (g->l) {
		json_w_key(&w, "model");
		json_w_strz(&w, llm_model_digest(g->l));
		llm_params_put(&w, &g->params);
		llm_lora_put(&w, g->l);
	} else {
		json_w_key(&w, "service");
		if (llm_describe(b, g->backend, e))
			return -1;
		w.comma = true;
	}
	json_w_key(&w, "texts");
	json_w_begin(&w, '[');
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		json_w_strz(&w, texts[i]);
	json_w_str(&w, buf_str(&g->vars_text));
	json_w_str(&w, buf_str(&g->tmpl_text));
	json_w_i64(&w, g->params.n_top);
	json_w_i64(&w, (int64_t)(o->raw + 2 * o->score + 4 * o->extract));
	json_w_u64(&w, g->l ? llm_ctx(g->l) : 0);
	json_w_u64(&w, o->window);
	json_w_end(&w, ']');
	json_w_end(&w, '}');
	return buf_check(b, e);
}

/* ---- running ------------------------------------------------------------------------------- */

/* -p and nothing on standard input: the prompt is the one text there is. */
static int prompt_as_input(struct gen *g, struct err *e)
{
	FILE *f = tmpfile();
	struct str p = g->prompter.append;

	if (!f || fwrite(p.p, 1, p.n, f) != p.n || fflush(f) || fseek(f, 0, SEEK_SET) ||
	    dup2(fileno(f), 0) < 0) {
		err_sys(e, ERR_INTERNAL, errno, "a temporary file for the prompt");
		if (f)
			fclose(f);
		return -1;
	}
	fclose(f);
	g->prompter.append = STR("");
	return 0;
}

static int run_once(struct gen *g, struct cli *c, const struct record_opts *ro, struct str params,
		    struct err *e)
{
	struct err later;
	int rc;

	if (record_open(&g->io, ro, &c->tally, g->o->score ? "score" : "generate", params, e))
		return -1;
	g->streaming = g->o->stream && ro->text_out && !ro->json && !ro->output && !ro->resume &&
		       isatty(1);
	rc = g->o->dry_run && g->l ? gen_dry_run(g, e) : g->o->score ? gen_score(g, e)
								     : gen_run(g, e);
	if (record_close(g->io, rc ? &later : e))
		rc = -1;
	g->io = NULL;
	return rc;
}

static int run(struct gen *g, struct cli *c, struct err *e)
{
	struct record_opts ro = g->o->io;
	bool alone = g->o->prompt && !g->fill && !c->n_operands;
	struct buf params;
	int rc;

	ro.files = c->operands;
	ro.n_files = c->n_operands;
	ro.jobs = g->jobs;
	ro.text_out = !g->o->score;
	ro.batch = !g->o->score;
	ro.json = ro.json || g->o->logprobs || g->o->top_logprobs || g->o->deltas;
	buf_init(&params, 1 << 22);
	rc = ro.resume ? fingerprint(&params, g, e) : 0;
	g->tally = &c->tally;
	if (!rc && !(alone && isatty(0)))
		rc = run_once(g, c, &ro, buf_str(&params), e);
	if (!rc && alone && !c->tally.in) {
		ro.input = RECORD_TEXT;
		rc = prompt_as_input(g, e) || run_once(g, c, &ro, buf_str(&params), e);
	}
	buf_release(&params);
	return rc ? -1 : 0;
}

static void release(struct gen *g)
{
	llm_backend_free(g->backend);
	llm_service_free(g->service);
	llm_prompt_release(&g->prompt);
	tok_enc_free(g->enc);
	tok_tmpl_close(g->fill);
	tok_tmpl_close(g->chat);
	buf_release(&g->vars_text);
	buf_release(&g->tmpl_text);
	buf_release(&g->flags);
	buf_release(&g->batch.known);
	arena_release(&g->a);
	llm_close(g->l);
}

int main(int argc, char **argv)
{
	struct opts o = { .io = RECORD_OPTS_INIT, .service = LLM_SERVICE_INIT, .stream = true };
	struct gen g = { .o = &o };
	struct err e = { 0 };
	struct cli c;
	int failed;

	o.io.jobs = 16;
	buf_init(&g.vars_text, 1 << 20);
	buf_init(&g.tmpl_text, 1 << 22);
	buf_init(&g.flags, 1 << 22);
	buf_init(&g.batch.known, 1 << 16);
	arena_init(&g.a, 1 << 22);
	if (cli_start(&c, &prog, &o, argc, argv))
		return cli_finish(&c, NULL);
	if (!o.prompt && cli_need_input(&c))
		return cli_finish(&c, NULL);
	failed = set_up(&g, &c, &e) || run(&g, &c, &e);
	failed = llm_cached_end(g.backend, &c, failed, &e);
	release(&g);
	return cli_finish(&c, failed ? &e : NULL);
}
