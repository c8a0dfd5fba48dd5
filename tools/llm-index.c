/* llm-index: a vector index in one SQLite file: add, search, missing, get, delete, list, stats, check. */
#include "config.h"
#include "cli/cli.h"
#include "json/json.h"
#include "kern/kern.h"
#include "os/os.h"
#include "record/record.h"
#include "store/store.h"
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#define COMMIT_EVERY 2000        /* records a transaction at most */
#define MAX_HITS ((size_t)1 << 20) /* of one pass over the index, however many queries share it */

struct opts {
	struct record_opts io;
	uint32_t k, threads;
	double min_score;
	bool flat, of;
	int format; /* 1: floats */
	const char *prefix;
};

/* An option of some verbs only. */
#define UNDER(v, row_kind, row_letter, row_name, row_arg, member, row_help, ...) \
	{ .kind = row_kind, .letter = row_letter, .name = row_name, .arg = row_arg, .help = row_help, .verbs = v, \
	  .offset = offsetof(struct opts, member), .given = CLI_NOT_KEPT, __VA_ARGS__ }

static const struct cli_opt options[] = {
	UNDER(" search ", CLI_K_U32, 'k', "top", "N", k, "hits a query [10]", .min = 1, .max = 1000000),
	UNDER(" search ", CLI_K_F64, 0, "min-score", "X", min_score, "only hits with a cosine of at least X", .min = -1,
	      .max = 1),
	UNDER(" search ", CLI_K_FLAG, 0, "flat", NULL, flat, "one line a hit in place of the query's record"),
	UNDER(" search ", CLI_K_U32, 't', "threads", "N", threads, "threads [all processors]", .min = 1, .max = 1024),
	UNDER(" delete ", CLI_K_FLAG, 0, "of", NULL, of, "the ids name documents: delete all their chunks"),
	UNDER(" list ", CLI_K_STR, 0, "prefix", "TEXT", prefix, "only ids that begin with TEXT"),
	UNDER(" get ", CLI_K_ENUM, 0, "encoding-format", "base64|float", format, "how a vector is written [base64]"),
	UNDER(" add delete ", CLI_K_FLAG, 0, "tee", NULL, io.tee, "pass every record on"),
	CLI_RECORDS(struct opts, io),
	CLI_END
};

#define NO_RECORDS " jobs field only errors resume retry-errors fail-fast summary records text lines "
static const struct cli_verb verbs[] = {
	{ "add", "DB [FILE...]", "insert or replace records by id", NULL },
	{ "missing", "DB [FILE...]", "pass on the records that the index lacks or holds with another text", NULL },
	{ "search", "DB [FILE...]", "add the nearest items to each query as hits", NULL },
	{ "get", "DB ID...", "print items with their vectors", NO_RECORDS },
	{ "delete", "DB [ID...]", "delete items by id (or by the ids of records)", NULL },
	{ "list", "DB", "print id, document and size of every item", NO_RECORDS },
	{ "stats", "DB", "print counts, model and sizes", NO_RECORDS },
	{ "check", "DB", "look for damage; exit 5 when there is some", NO_RECORDS },
	{ NULL, NULL, NULL, NULL }
};
static const char *const examples[] = {
	"llm-tokenize --chunk 200 *.txt | llm-embed | llm-index add kb.db",
	"llm-embed --query < questions.ndjson | llm-index search kb.db -k 5", NULL
};
static const struct cli_prog prog = { "llm-index",  "VERB DB [ARG...]", "vector index in one SQLite file",
				      options, verbs, examples };

struct job {
	struct opts *o;
	struct cli *c;
	struct store_index *ix;
	const char *db;
	uint64_t changes[STORE_N_CHANGES], deleted, missed;
	struct os_out *out; /* of the verbs that print */
	struct buf line;
	bool not_found;
};

/* ---- records in ------------------------------------------------------------------------------------ */

static struct str str_member(struct json_val obj, const char *name, struct arena *a)
{
	struct str s;

	if (json_str(&s, json_get(obj, name), a, NULL))
		return (struct str){ "", 0 };
	return s;
}

/* Model and digest of the last call of stage "embed". */
static struct store_pin pin_of(struct record *r)
{
	struct store_pin pin = { { "", 0 }, { "", 0 } };
	struct json_iter it = json_iter(json_get(record_json(r), "calls"));
	struct json_val call;

	while (json_next(&call, &it)) {
		struct arena *a = record_arena(r);

		if (str_is(str_member(call, "stage", a), "embed")) {
			pin.model = str_member(call, "model", a);
			pin.digest = str_member(call, "model_digest", a);
		}
	}
	return pin;
}

static int vector_of(float **out, size_t *n, struct record *r, struct err *e)
{
	struct json_val v = json_get(record_json(r), "embedding");

	if (v.type == JSON_NONE)
		return err_set(e, ERR_MISSING_FIELD, "no embedding: pipe the records through llm-embed first");
	if (json_f32s(out, n, v, record_arena(r), e))
		return err_wrap(e, "embedding");
	return store_vector_check(*out, *n, e);
}

static int chunk_of(struct store_item *it, struct record *r, struct err *e)
{
	struct json_val chunk = json_get(record_json(r), "chunk"), of = json_get(chunk, "of");

	if (chunk.type == JSON_NONE)
		return 0;
	if (of.type == JSON_NUMBER)
		it->of = of.raw;
	else if (json_str(&it->of, of, record_arena(r), e))
		return err_wrap(e, "chunk.of");
	if (json_i64(&it->seq, json_get(chunk, "index"), e) || json_i64(&it->start, json_get(chunk, "start"), e) ||
	    json_i64(&it->end, json_get(chunk, "end"), e))
		return err_wrap(e, "chunk");
	return 0;
}

static int item_of(struct store_item *it, struct record *r, struct err *e)
{
	struct json_val meta = json_get(record_json(r), "metadata");
	struct err none = { 0 };
	float *vec;

	memset(it, 0, sizeof *it);
	it->id = record_id(r);
	it->pin = pin_of(r);
	if (record_text(&it->text, r, &none)) {
		if (none.code != ERR_MISSING_FIELD) {
			*e = none;
			return -1;
		}
		it->text = (struct str){ NULL, 0 }; /* a vector without a text is fine */
	}
	if (meta.type != JSON_NONE && meta.type != JSON_NULL) {
		if (meta.type != JSON_OBJECT)
			return err_set(e, ERR_INVALID_FIELD, "metadata is no object");
		it->metadata = meta.raw;
	}
	if (chunk_of(it, r, e) || vector_of(&vec, &it->dims, r, e))
		return -1;
	it->vec = vec;
	return 0;
}

static bool of_record(const struct err *e)
{
	return err_name(e->code) != NULL;
}

/* What fn says of a record: an error of a record marks it, an error of the run ends it. */
typedef int verb_fn(struct job *j, struct record *r, struct err *e);

static int commit(struct job *j, struct err *e)
{
	return j->ix ? store_index_commit(j->ix, e) : 0; /* `missing` may have no index yet */
}

static int each_record(struct job *j, verb_fn *fn, const char *stage, struct err *e)
{
	struct record_io *io;
	struct record *r;
	int rc = 0;
	uint64_t pending = 0;

	if (record_open(&io, &j->o->io, &j->c->tally, stage, STR(""), e))
		return -1;
	while (!rc) {
		struct err re = { 0 };

		rc = record_next(&r, io, false, e);
		if (!rc && !r && !record_ended(io)) { /* nothing at hand: others may write meanwhile */
			rc = commit(j, e) || record_next(&r, io, true, e) ? -1 : 0;
			pending = 0;
		}
		if (rc || !r)
			break;
		if (fn(j, r, &re)) {
			if (!of_record(&re)) {
				*e = re;
				rc = -1;
			} else {
				record_fail(r, &re, 0);
			}
		}
		rc = record_done(io, r, e) || rc ? -1 : 0;
		if (!rc && ++pending >= COMMIT_EVERY) {
			rc = commit(j, e);
			pending = 0;
		}
	}
	/* what was finished before a failure is kept */
	if (commit(j, rc ? NULL : e))
		rc = -1;
	return record_close(io, rc ? NULL : e) || rc ? -1 : 0;
}

static int add_one(struct job *j, struct record *r, struct err *e)
{
	struct store_item it;
	enum store_change change;

	if (item_of(&it, r, e) || store_index_put(&change, j->ix, &it, e))
		return -1;
	j->changes[change]++;
	return 0;
}

static int add(struct job *j, struct err *e)
{
	const struct record_count counts[] = { { "added", &j->changes[STORE_ADDED] },
					       { "updated", &j->changes[STORE_UPDATED] },
					       { "unchanged", &j->changes[STORE_UNCHANGED] }, { NULL, NULL } };

	j->o->io.sink = true;
	j->o->io.unique_ids = true;
	j->o->io.counts = counts;
	if (each_record(j, add_one, "index", e))
		return -1;
	cli_info(j->c, "%s: %llu added, %llu updated, %llu unchanged", j->db,
		 (unsigned long long)j->changes[STORE_ADDED], (unsigned long long)j->changes[STORE_UPDATED],
		 (unsigned long long)j->changes[STORE_UNCHANGED]);
	return 0;
}

static int missing_one(struct job *j, struct record *r, struct err *e)
{
	struct str text;
	bool has = false;

	if (record_text(&text, r, e))
		return -1;
	if (j->ix && store_index_has(&has, j->ix, record_id(r), text, e))
		return -1;
	if (has)
		record_drop(r);
	return 0;
}

static int missing(struct job *j, struct err *e)
{
	return each_record(j, missing_one, "index", e);
}

static int delete_one(struct job *j, struct record *r, struct err *e)
{
	uint64_t n;

	if (store_index_delete(&n, j->ix, record_id(r), j->o->of, e))
		return -1;
	j->deleted += n;
	return 0;
}

/* ---- search ------------------------------------------------------------------------------------------ */

struct batch {
	struct record **r;
	float *q; /* [jobs, dims] */
	size_t n, dims;
	struct store_hits *hits;
	struct arena a;
};

static void put_hit(struct json_w *w, const struct store_hit *h, size_t rank, const struct str *query)
{
	json_w_begin(w, '{');
	if (query) {
		json_w_key(w, "query_id");
		json_w_raw(w, *query);
	}
	json_w_key(w, "rank");
	json_w_u64(w, rank);
	json_w_key(w, "id");
	json_w_str(w, h->item.id);
	json_w_key(w, "score");
	json_w_f32(w, h->score);
	if (h->item.text.p) {
		json_w_key(w, "text");
		json_w_str(w, h->item.text);
	}
	if (h->item.metadata.p) {
		json_w_key(w, "metadata");
		json_w_raw(w, h->item.metadata);
	}
	json_w_end(w, '}');
}

static int answer(struct job *j, struct record *r, const struct store_hits *hits, struct err *e)
{
	struct json_w w;
	struct str id = record_id_raw(r);

	buf_reset(&j->line);
	w = json_w(&j->line);
	if (j->o->flat) {
		if (record_emit(r, (struct str){ "", 0 }, e))
			return -1;
		for (size_t i = 0; i < hits->n; i++) {
			buf_reset(&j->line);
			w = json_w(&j->line);
			put_hit(&w, &hits->v[i], i + 1, &id);
			if (buf_check(&j->line, e) || record_emit(r, buf_str(&j->line), e))
				return -1;
		}
		return 0;
	}
	json_w_begin(&w, '[');
	for (size_t i = 0; i < hits->n; i++)
		put_hit(&w, &hits->v[i], i + 1, NULL);
	json_w_end(&w, ']');
	if (buf_check(&j->line, e))
		return -1;
	return record_set_raw(r, "hits", buf_str(&j->line), e);
}

/* A query joins the batch, or carries an error from here on. */
static int take(struct job *j, struct batch *b, struct record *r, struct err *e)
{
	struct store_pin pin = pin_of(r);
	float *v;
	size_t dims;

	if (vector_of(&v, &dims, r, e) || store_index_check_pin(j->ix, &pin, dims, e))
		return -1;
	if (!b->q) {
		b->dims = dims;
		b->q = ckd_alloc((size_t)j->o->io.jobs * dims, sizeof *b->q);
		if (!b->q)
			return err_nomem(e);
	}
	if (dims != b->dims) /* an empty index pins nothing */
		return err_set(e, ERR_DIMENSION_MISMATCH, "%zu dimensions, the query before it %zu", dims, b->dims);
	memcpy(b->q + b->n * dims, v, dims * sizeof *v);
	b->r[b->n++] = r;
	return 0;
}

/* Read what is at hand, at most a window; wait only for the first. */
static int fill(struct job *j, struct batch *b, struct record_io *io, struct err *e)
{
	struct record *r;
	size_t most = MAX_HITS / j->o->k > 1 ? MAX_HITS / j->o->k : 1;

	b->n = 0;
	while (b->n < j->o->io.jobs && b->n < most) {
		struct err re = { 0 };

		if (record_next(&r, io, b->n == 0, e))
			return -1;
		if (!r)
			break;
		if (take(j, b, r, &re)) {
			if (!of_record(&re)) {
				*e = re;
				return -1;
			}
			record_fail(r, &re, 0);
			if (record_done(io, r, e))
				return -1;
		}
	}
	return 0;
}

static int search_batch(struct job *j, struct batch *b, struct record_io *io, struct os_pool *pool, struct err *e)
{
	arena_reset(&b->a);
	if (store_index_search(b->hits, j->ix, b->q, b->n, b->dims, j->o->k, (float)j->o->min_score, pool, &b->a, e))
		return -1;
	for (size_t i = 0; i < b->n; i++)
		if (answer(j, b->r[i], &b->hits[i], e) || record_done(io, b->r[i], e))
			return -1;
	return 0;
}

static int search_all(struct job *j, struct batch *b, struct os_pool *pool, struct err *e)
{
	struct record_io *io;
	int rc;

	if (record_open(&io, &j->o->io, &j->c->tally, "index", STR(""), e))
		return -1;
	do {
		rc = fill(j, b, io, e);
		if (!rc && b->n)
			rc = search_batch(j, b, io, pool, e);
	} while (!rc && (b->n || !record_ended(io)));
	return record_close(io, rc ? NULL : e) || rc ? -1 : 0;
}

static int search(struct job *j, struct err *e)
{
	struct batch b = { 0 };
	struct os_pool *pool = NULL;
	int rc = -1;

	arena_init(&b.a, (size_t)4 << 30);
	b.r = ckd_alloc(j->o->io.jobs, sizeof *b.r);
	b.hits = ckd_alloc(j->o->io.jobs, sizeof *b.hits);
	if (!b.r || !b.hits)
		err_nomem(e);
	else if (!os_pool_new(&pool, j->o->threads ? j->o->threads : os_cpus(), e))
		rc = search_all(j, &b, pool, e);
	os_pool_free(pool);
	arena_release(&b.a);
	free(b.r);
	free(b.hits);
	free(b.q);
	return rc;
}

/* ---- verbs that print ---------------------------------------------------------------------------------- */

static int put_line(struct job *j, struct err *e)
{
	buf_addc(&j->line, '\n');
	if (buf_check(&j->line, e))
		return -1;
	return os_out_write(j->out, j->line.p, j->line.n, e);
}

static void put_item(struct job *j, const struct store_item *it)
{
	struct json_w w;

	buf_reset(&j->line);
	w = json_w(&j->line);
	json_w_begin(&w, '{');
	json_w_key(&w, "id");
	json_w_str(&w, it->id);
	if (it->text.p && it->vec) {
		json_w_key(&w, "text");
		json_w_str(&w, it->text);
	}
	if (it->of.p) {
		json_w_key(&w, "chunk");
		json_w_begin(&w, '{');
		json_w_key(&w, "of");
		json_w_str(&w, it->of);
		json_w_key(&w, "index");
		json_w_i64(&w, it->seq);
		json_w_key(&w, "start");
		json_w_i64(&w, it->start);
		json_w_key(&w, "end");
		json_w_i64(&w, it->end);
		json_w_end(&w, '}');
	}
	if (it->metadata.p && it->vec) {
		json_w_key(&w, "metadata");
		json_w_raw(&w, it->metadata);
	}
	if (it->vec) {
		json_w_key(&w, "embedding");
		if (j->o->format)
			json_w_f32_array(&w, it->vec, it->dims);
		else
			json_w_f32_base64(&w, it->vec, it->dims);
	} else {
		json_w_key(&w, "bytes");
		json_w_u64(&w, it->text.n);
	}
	json_w_end(&w, '}');
}

static int list_one(const struct store_item *it, void *arg, struct err *e)
{
	struct job *j = arg;

	if (os_stop_signal())
		return err_set(e, ERR_SIGNAL, "interrupted");
	put_item(j, it);
	return put_line(j, e);
}

static int list(struct job *j, struct err *e)
{
	return store_index_each(j->ix, j->o->prefix ? str_of(j->o->prefix) : STR(""), list_one, j, e);
}

static int get(struct job *j, struct err *e)
{
	struct arena a;
	int rc = 0;

	arena_init(&a, BUF_MAX_LINE * 4);
	for (size_t i = 1; i < j->c->n_operands && !rc; i++) {
		struct store_item it;
		bool found;

		arena_reset(&a);
		rc = store_index_get(&it, &found, j->ix, str_of(j->c->operands[i]), &a, e);
		if (!rc && !found) {
			cli_warn(j->c, "%s: no item '%s'", j->db, j->c->operands[i]);
			j->not_found = true;
		} else if (!rc) {
			put_item(j, &it);
			rc = put_line(j, e);
		}
	}
	arena_release(&a);
	return rc;
}

static int delete(struct job *j, struct err *e)
{
	const struct record_count counts[] = { { "deleted", &j->deleted }, { NULL, NULL } };
	int rc = 0;

	j->o->io.sink = true;
	j->o->io.counts = counts;
	if (j->c->n_operands < 2)
		rc = each_record(j, delete_one, "index", e);
	for (size_t i = 1; i < j->c->n_operands && !rc; i++) {
		uint64_t n;

		rc = store_index_delete(&n, j->ix, str_of(j->c->operands[i]), j->o->of, e);
		if (!rc && !n) {
			cli_warn(j->c, "%s: no item '%s'", j->db, j->c->operands[i]);
			j->not_found = true;
		}
		j->deleted += n;
	}
	if (!rc)
		rc = store_index_commit(j->ix, e);
	if (!rc)
		cli_info(j->c, "%s: %llu deleted", j->db, (unsigned long long)j->deleted);
	return rc;
}

static int stats(struct job *j, struct err *e)
{
	struct store_stats s;
	struct json_w w;

	if (store_index_stats(&s, j->ix, e))
		return -1;
	buf_reset(&j->line);
	w = json_w(&j->line);
	json_w_begin(&w, '{');
	const struct { const char *name; uint64_t v; } n[] = {
		{ "schema", s.schema }, { "items", s.items }, { "documents", s.documents },
		{ "dimensions", s.dims }, { "segments", s.segments }, { "dead_slots", s.dead_slots },
		{ "text_bytes", s.text_bytes }, { "file_bytes", s.bytes }, { "generation", s.generation },
	};
	for (size_t i = 0; i < sizeof n / sizeof *n; i++) {
		json_w_key(&w, n[i].name);
		json_w_u64(&w, n[i].v);
	}
	json_w_key(&w, "model");
	json_w_str(&w, s.pin.model);
	json_w_key(&w, "model_digest");
	json_w_str(&w, s.pin.digest);
	json_w_end(&w, '}');
	return put_line(j, e);
}

static int finding(const char *what, struct str id, void *arg, struct err *e)
{
	struct job *j = arg;
	struct json_w w;

	buf_reset(&j->line);
	w = json_w(&j->line);
	json_w_begin(&w, '{');
	json_w_key(&w, "finding");
	json_w_strz(&w, what);
	if (id.n) {
		json_w_key(&w, "id");
		json_w_str(&w, id);
	}
	json_w_end(&w, '}');
	return put_line(j, e);
}

static int check(struct job *j, struct err *e)
{
	uint64_t n;

	if (store_index_check(&n, j->ix, finding, j, e))
		return -1;
	if (n)
		return err_set(e, ERR_OPEN, "index %s: %llu findings: restore a copy or build it again", j->db,
			       (unsigned long long)n);
	cli_info(j->c, "%s: no damage found", j->db);
	return 0;
}

/* ---- main ------------------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	int (*run)(struct job *j, struct err *e);
	enum store_mode mode;
	bool records, prints; /* reads records; prints lines of its own */
	uint32_t jobs;
} table[] = {
	{ "add", add, STORE_CREATE, true, false, 1 },        { "missing", missing, STORE_READ, true, false, 1 },
	{ "search", search, STORE_READ, true, false, 256 },   { "get", get, STORE_READ, false, true, 1 },
	{ "delete", delete, STORE_WRITE, true, false, 1 },   { "list", list, STORE_READ, false, true, 1 },
	{ "stats", stats, STORE_READ, false, true, 1 },      { "check", check, STORE_READ, false, true, 1 },
};

static int run_verb(struct job *j, size_t v, struct err *e)
{
	int rc;

	if (!j->c->n_operands)
		return cli_usage(e, "%s: name the index file", table[v].name);
	j->db = j->c->operands[0];
	if (table[v].records && table[v].run != delete) {
		j->o->io.files = j->c->operands + 1;
		j->o->io.n_files = j->c->n_operands - 1;
	} else if (table[v].run == get ? j->c->n_operands < 2 : table[v].run != delete && j->c->n_operands > 1) {
		return cli_usage(e, table[v].run == get ? "get: name the ids" : "%s: one index file only", table[v].name);
	}
	if (!cli_given(j->c, "jobs"))
		j->o->io.jobs = table[v].jobs;
	/* an index that is not there yet lacks everything */
	if (!(table[v].run == missing && access(j->db, F_OK) != 0) &&
	    store_index_open(&j->ix, j->db, table[v].mode, e))
		return -1;
	if (table[v].prints && (j->o->io.output ? os_out_open(&j->out, j->o->io.output, false, e) :
						  os_out_fd(&j->out, STDOUT_FILENO, "standard output", e)))
		return -1;
	rc = table[v].run(j, e);
	if (j->out && os_out_close(j->out, rc ? NULL : e))
		rc = -1;
	if (store_index_close(j->ix, rc ? NULL : e))
		rc = -1;
	return rc;
}

int main(int argc, char **argv)
{
	struct opts o = { .io = RECORD_OPTS_INIT, .k = 10, .min_score = -2 };
	struct cli c;
	struct job j = { .o = &o, .c = &c };
	struct err e = { 0 };
	int failed = -1;

	if (cli_start(&c, &prog, &o, argc, argv))
		return cli_finish(&c, NULL);
	buf_init(&j.line, BUF_MAX_LINE);
	if (!kern_init(os_env("LLMU_ISA"), &e))
		for (size_t v = 0; v < sizeof table / sizeof *table; v++)
			if (!strcmp(table[v].name, c.verb->name))
				failed = run_verb(&j, v, &e);
	buf_release(&j.line);
	int status = cli_finish(&c, failed ? &e : NULL);
	return status == 0 && j.not_found ? 1 : status;
}
