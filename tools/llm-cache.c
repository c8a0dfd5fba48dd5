/* llm-cache: looks after the files of --cache: what is in one, what goes, whether it is sound. */
#include "config.h"
#include "cli/cli.h"
#include "json/json.h"
#include "llm/llm.h"
#include "os/os.h"
#include "store/store.h"
#include <unistd.h>

struct opts {
	const char *model, *older;
	bool all;
};

static const struct cli_opt options[] = {
	{ .kind = CLI_K_STR,
	  .letter = 'm',
	  .name = "model",
	  .arg = "MODEL",
	  .help = "the answers of this model, as `calls` names it",
	  .verbs = " purge ",
	  .offset = offsetof(struct opts, model),
	  .given = CLI_NOT_KEPT },
	{ .kind = CLI_K_STR,
	  .name = "older-than",
	  .arg = "TIME",
	  .help = "answers older than 90s, 12h, 30d",
	  .verbs = " purge ",
	  .offset = offsetof(struct opts, older),
	  .given = CLI_NOT_KEPT },
	{ .kind = CLI_K_FLAG,
	  .name = "all",
	  .help = "all answers",
	  .verbs = " purge ",
	  .offset = offsetof(struct opts, all),
	  .given = CLI_NOT_KEPT },
	CLI_END
};
static const struct cli_verb verbs[] = {
	{ "stats", "FILE", "print counts, sizes and models", NULL },
	{ "purge", "FILE", "delete answers; the file shrinks", NULL },
	{ "check", "FILE", "look for damage; exit 5 when there is some", NULL },
	{ NULL, NULL, NULL, NULL }
};
static const char *const examples[] = { "llm-cache stats answers.db",
					"llm-cache purge answers.db --older-than 30d", NULL };
static const struct cli_prog prog = { "llm-cache", "VERB FILE", "look after a file of --cache",
				      options,     verbs,       examples };

struct job {
	const struct opts *o;
	const struct cli *c;
	struct store_cache *cache;
	const char *file;
	struct os_out *out;
	struct buf line;
};

static int put_line(struct job *j, struct err *e)
{
	buf_addc(&j->line, '\n');
	return buf_check(&j->line, e) || os_out_write(j->out, j->line.p, j->line.n, e) ? -1 : 0;
}

static int put_model(struct str model, uint64_t entries, uint64_t bytes, void *arg, struct err *e)
{
	struct json_w *w = arg;

	json_w_begin(w, '{');
	json_w_key(w, "model");
	json_w_str(w, model);
	json_w_key(w, "entries");
	json_w_u64(w, entries);
	json_w_key(w, "value_bytes");
	json_w_u64(w, bytes);
	json_w_end(w, '}');
	return buf_check(w->b, e);
}

static void put_time(struct json_w *w, const char *name, int64_t at)
{
	char t[32];

	if (at)
		time_put_rfc3339(t, at);
	json_w_key(w, name);
	json_w_strz(w, at ? t : NULL);
}

static int stats(struct job *j, struct err *e)
{
	struct store_cache_stats s;
	struct json_w w = json_w(&j->line);

	if (store_cache_stats(&s, j->cache, e))
		return -1;
	json_w_begin(&w, '{');
	json_w_key(&w, "entries");
	json_w_u64(&w, s.entries);
	json_w_key(&w, "value_bytes");
	json_w_u64(&w, s.value_bytes);
	json_w_key(&w, "file_bytes");
	json_w_u64(&w, s.file_bytes);
	put_time(&w, "oldest", s.oldest);
	put_time(&w, "newest", s.newest);
	json_w_key(&w, "models");
	json_w_begin(&w, '[');
	if (store_cache_models(j->cache, put_model, &w, e))
		return -1;
	json_w_end(&w, ']');
	json_w_end(&w, '}');
	return put_line(j, e);
}

static int purge(struct job *j, struct err *e)
{
	const struct opts *o = j->o;
	int64_t until = INT64_MAX, age;
	uint64_t n;

	if (o->all ? o->model || o->older : !o->model && !o->older)
		return cli_usage(e,
				 "purge: which answers? --model NAME, --older-than TIME, or --all");
	if (o->older) {
		if (llm_read_seconds(&age, o->older, "--older-than", e))
			return -1;
		until = time_unix_s() - age - 1;
	}
	if (store_cache_purge(&n, j->cache, o->model ? str_of(o->model) : (struct str){ NULL, 0 },
			      until, e))
		return -1;
	cli_info(j->c, "%s: %llu deleted", j->file, (unsigned long long)n);
	return 0;
}

static int finding(const char *what, void *arg, struct err *e)
{
	struct job *j = arg;
	struct json_w w;

	buf_reset(&j->line);
	w = json_w(&j->line);
	json_w_begin(&w, '{');
	json_w_key(&w, "finding");
	json_w_strz(&w, what);
	json_w_end(&w, '}');
	return put_line(j, e);
}

static int check(struct job *j, struct err *e)
{
	uint64_t n;

	if (store_cache_check(&n, j->cache, finding, j, e))
		return -1;
	if (n)
		return err_set(
			e, ERR_OPEN,
			"cache %s: damaged: %llu findings; remove it, or give another --cache FILE",
			j->file, (unsigned long long)n);
	cli_info(j->c, "%s: no damage found", j->file);
	return 0;
}

static int run(struct job *j, struct err *e)
{
	static const struct {
		const char *name;
		int (*run)(struct job *j, struct err *e);
		enum store_mode mode;
	} table[] = { { "stats", stats, STORE_READ },
		      { "purge", purge, STORE_WRITE },
		      { "check", check, STORE_READ } };
	const struct store_cache_opts co = { 0 };
	int rc = -1;

	j->file = j->c->operands[0];
	for (size_t v = 0; v < sizeof table / sizeof *table; v++)
		if (!strcmp(table[v].name, j->c->verb->name))
			rc = store_cache_open(&j->cache, j->file, table[v].mode, &co, e) ||
			     os_out_fd(&j->out, STDOUT_FILENO, "standard output", e) ||
			     table[v].run(j, e);
	if (j->out && os_out_close(j->out, rc ? NULL : e))
		rc = -1;
	if (store_cache_close(j->cache, rc ? NULL : e))
		rc = -1;
	return rc;
}

int main(int argc, char **argv)
{
	struct opts o = { 0 };
	struct cli c;
	struct job j = { .o = &o, .c = &c };
	struct err e = { 0 };
	int failed;

	if (cli_start(&c, &prog, &o, argc, argv))
		return cli_finish(&c, NULL);
	buf_init(&j.line, BUF_MAX_LINE);
	failed = run(&j, &e);
	buf_release(&j.line);
	return cli_finish(&c, failed ? &e : NULL);
}
