/* metric_item: from a record to an item. */
#include "config.h"
#include "metric/metric_impl.h"
#include "os/os.h"
#include <math.h>

/* ---- qrels --------------------------------------------------------------------------------- */

#define QRELS_MAX ((size_t)1 << 30)

struct judgement {
	struct str document;
	double gain;
	uint64_t next; /* of the topic: index + 1, 0 ends */
};
struct metric_qrels {
	struct buf text;
	struct map topics; /* index + 1 of the newest */
	struct judgement *v;
	size_t n, cap;
};

static int add_judgement(struct metric_qrels *q, struct str line, struct err *e)
{
	struct str field[4];
	struct str rest = line;
	double gain;
	uint64_t *slot;

	for (int i = 0; i < 4; i++)
		if (!metric_split(&field[i], &rest))
			return err_set(e, ERR_OPEN, "needs topic, 0, document and gain");
	if (num_f64(&gain, field[3], -1e6, 1e6, e))
		return err_set(e, ERR_OPEN, "\"%.*s\" is no gain", STR_ARG(field[3]));
	if (q->n == q->cap) {
		size_t cap = q->cap ? 2 * q->cap : 1024;
		struct judgement *v = ckd_realloc(q->v, cap, sizeof *v);

		if (!v)
			return err_nomem(e);
		q->v = v;
		q->cap = cap;
	}
	if (map_put(&slot, NULL, &q->topics, field[0], e))
		return -1;
	q->v[q->n] = (struct judgement){ field[2], gain, *slot };
	*slot = ++q->n;
	return 0;
}

int metric_qrels_load(struct metric_qrels **out, const char *path, struct err *e)
{
	struct metric_qrels *q = calloc(1, sizeof *q);
	size_t line = 0;

	if (!q)
		return err_nomem(e);
	buf_init(&q->text, QRELS_MAX);
	map_init(&q->topics, false);
	if (os_read_file(&q->text, path, QRELS_MAX, e))
		goto fail;
	for (size_t at = 0; at < q->text.n;) {
		struct str text = buf_str(&q->text);
		size_t end = str_find(text, STR("\n"), at);
		struct str s = str_trim(str_sub(text, at, end));

		at = end + 1;
		line++;
		if (s.n && s.p[0] != '#' && add_judgement(q, s, e)) {
			err_wrap(e, "%s:%zu", path, line);
			goto fail;
		}
	}
	*out = q;
	return 0;
fail:
	metric_qrels_free(q);
	return -1;
}

void metric_qrels_free(struct metric_qrels *q)
{
	if (!q)
		return;
	map_release(&q->topics);
	buf_release(&q->text);
	free(q->v);
	free(q);
}

static int rels_of_topic(struct metric_item *out, const struct metric_qrels *q, struct str id,
			 struct arena *a, struct err *e)
{
	const uint64_t *slot = map_get(&q->topics, id);
	struct metric_rel *rels;
	size_t n = 0;

	if (!slot)
		return 0;
	for (uint64_t i = *slot; i; i = q->v[i - 1].next)
		n++;
	rels = arena_alloc(a, n * sizeof *rels);
	if (!rels)
		return err_nomem(e);
	out->has_rels = true;
	out->rels = rels;
	for (uint64_t i = *slot; i; i = q->v[i - 1].next)
		rels[out->n_rels++] = (struct metric_rel){ q->v[i - 1].document, q->v[i - 1].gain };
	return 0;
}

/* ---- members of a record ------------------------------------------------------------------- */

static int bad(struct err *e, const char *name, const char *want)
{
	return err_set(e, ERR_INVALID_FIELD, "`%s` must be %s", name, want);
}

/* A string's text, a number as it is spelt. */
static int scalar(struct str *out, const char *name, struct json_val v, struct arena *a,
		  struct err *e)
{
	if (v.type == JSON_STRING)
		return json_str(out, v, a, e);
	*out = v.raw;
	return v.type == JSON_NUMBER ? 0 : bad(e, name, "strings or numbers");
}

/* The first choice of a line of OpenAI's Batch output, or of vLLM's early ones. */
static struct json_val batch_output(struct json_val record)
{
	static const char *const paths[] = { "response.body.choices.0.message.content",
					     "response.body.choices.0.text",
					     "response.choices.0.message.content",
					     "response.choices.0.text" };
	struct json_val v = { { NULL, 0 }, JSON_NONE };

	for (size_t i = 0; v.type == JSON_NONE && i < sizeof paths / sizeof *paths; i++)
		v = json_path(record, str_of(paths[i]));
	return v;
}

static int read_output(struct metric_item *out, struct json_val record, const char *path,
		       struct arena *a, struct err *e)
{
	struct json_val v = json_path(record, str_of(path ? path : "output"));

	if (v.type == JSON_NONE && !path)
		v = batch_output(record);
	if (v.type == JSON_NONE)
		return err_set(e, ERR_MISSING_FIELD,
			       "no `%s` to score: name the member with --field",
			       path ? path : "output");
	out->has_output = v.type != JSON_NULL;
	if (v.type == JSON_STRING)
		return json_str(&out->output, v, a, e);
	out->output = v.raw;
	return 0;
}

/* An array of nothing but strings and numbers holds one reference each. */
static bool is_list(struct json_val v)
{
	struct json_iter it = json_elements(v);
	struct json_val x;

	if (v.type != JSON_ARRAY)
		return false;
	while (json_next(&x, &it))
		if (x.type != JSON_STRING && x.type != JSON_NUMBER)
			return false;
	return true;
}

static int one_ref(struct metric_ref *out, struct json_val v, struct arena *a, struct err *e)
{
	out->json = v;
	out->text = v.raw;
	return v.type == JSON_STRING ? json_str(&out->text, v, a, e) : 0;
}

static int read_refs(struct metric_item *out, struct json_val record, const char *path,
		     struct arena *a, struct err *e)
{
	static const char *const names[] = { "expected",  "ideal",  "target",
					     "reference", "answer", "refs" };
	struct json_val v = { .type = JSON_NONE };
	struct json_val x;
	struct json_iter it;
	struct metric_ref *refs;

	if (path)
		v = json_path(record, str_of(path));
	for (size_t i = 0; !path && v.type == JSON_NONE && i < sizeof names / sizeof *names; i++)
		v = json_get(record, names[i]);
	if (v.type == JSON_NONE || v.type == JSON_NULL)
		return 0;
	refs = arena_alloc(a, (is_list(v) ? json_count(v) : 1) * sizeof *refs + 1);
	if (!refs)
		return err_nomem(e);
	out->refs = refs;
	if (!is_list(v)) {
		out->n_refs = 1;
		return one_ref(refs, v, a, e);
	}
	it = json_elements(v);
	while (json_next(&x, &it))
		if (one_ref(&refs[out->n_refs++], x, a, e))
			return -1;
	return 0;
}

static int one_hit(struct metric_hit *out, struct json_val v, size_t rank, struct arena *a,
		   struct err *e)
{
	struct json_val id = json_get(v, "id");
	struct json_val text = json_get(v, "text");
	struct json_val score = json_get(v, "score");
	char number[NUM_BUF];

	*out = (struct metric_hit){ { "", 0 }, { "", 0 }, (double)NAN };
	if (v.type == JSON_STRING) { /* of `contexts` */
		out->id = arena_str(a, (struct str){ number, num_put_u64(number, rank) });
		return out->id.p ? json_str(&out->text, v, a, e) : err_nomem(e);
	}
	if (v.type != JSON_OBJECT)
		return bad(e, "hits", "objects with id and text");
	if (id.type != JSON_NONE && scalar(&out->id, "hits[].id", id, a, e))
		return -1;
	if (text.type == JSON_STRING && json_str(&out->text, text, a, e))
		return -1;
	if (score.type == JSON_NUMBER)
		out->score = num_json_f64(score.raw);
	return 0;
}

static int read_hits(struct metric_item *out, struct json_val record, struct arena *a,
		     struct err *e)
{
	struct json_val v = json_get(record, "hits");
	struct metric_hit *hits;
	struct json_iter it;
	struct json_val x;

	if (v.type != JSON_ARRAY)
		v = json_get(record, "contexts");
	if (v.type != JSON_ARRAY)
		return 0;
	hits = arena_alloc(a, json_count(v) * sizeof *hits + 1);
	if (!hits)
		return err_nomem(e);
	out->has_hits = true;
	out->hits = hits;
	it = json_elements(v);
	while (json_next(&x, &it)) {
		if (one_hit(&hits[out->n_hits], x, out->n_hits + 1, a, e))
			return -1;
		out->n_hits++;
	}
	return 0;
}

static double gain_member(struct json_val v)
{
	static const char *const names[] = { "gain", "grade", "relevance", "score" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct json_val x = json_get(v, names[i]);

		if (x.type == JSON_NUMBER)
			return num_json_f64(x.raw);
	}
	return 1;
}

/* A key as text: escapes are decoded by way of the string that it would be. */
static int key_text(struct str *out, struct str raw, struct arena *a, struct err *e)
{
	/* the raw key stands between its quotes */
	return json_str(out, (struct json_val){ { raw.p - 1, raw.n + 2 }, JSON_STRING }, a, e);
}

static int read_rels(struct metric_item *out, struct json_val record, struct arena *a,
		     struct err *e)
{
	struct json_val v = json_get(record, "relevant");
	struct json_iter it = json_iter(v);
	struct metric_rel *rels;
	struct json_val x;
	struct str key;

	if (v.type == JSON_NONE || v.type == JSON_NULL)
		return 0;
	if (v.type != JSON_ARRAY && v.type != JSON_OBJECT)
		return bad(e, "relevant", "an array of ids or an object of gains");
	rels = arena_alloc(a, json_count(v) * sizeof *rels + 1);
	if (!rels)
		return err_nomem(e);
	out->has_rels = true;
	out->rels = rels;
	while (v.type == JSON_OBJECT && json_next_member(&key, &x, &it)) {
		struct metric_rel *r = &rels[out->n_rels++];

		if (key_text(&r->id, key, a, e) || json_f64(&r->gain, x, e))
			return bad(e, "relevant", "an object of gains");
	}
	while (v.type == JSON_ARRAY && json_next(&x, &it)) {
		struct metric_rel *r = &rels[out->n_rels++];

		r->gain = gain_member(x);
		if (scalar(&r->id, "relevant", x.type == JSON_OBJECT ? json_get(x, "id") : x, a, e))
			return -1;
	}
	return 0;
}

int metric_item_read(struct metric_item *out, struct json_val record, struct str id,
		     const struct metric_fields *f, struct arena *a, struct err *e)
{
	*out = (struct metric_item){ .output = { "", 0 } };
	if ((f->needs & METRIC_OUTPUT) && read_output(out, record, f->output, a, e))
		return -1;
	if ((f->needs & METRIC_REFS) && read_refs(out, record, f->expected, a, e))
		return -1;
	if ((f->needs & METRIC_HITS) && read_hits(out, record, a, e))
		return -1;
	if (!(f->needs & METRIC_RELS))
		return 0;
	return f->qrels ? rels_of_topic(out, f->qrels, id, a, e) : read_rels(out, record, a, e);
}
