/* embed_rerank: llm-embed --rerank: the documents of a record in the order of their scores. */
#include "config.h"
#include "embed.h"

/* What is ranked: what llm-index search found, or the request of a rerank service. */
static struct json_val list_of(struct record *r, bool *hits)
{
	struct json_val v = json_get(record_json(r), "hits");

	*hits = v.type == JSON_ARRAY;
	return *hits ? v : json_get(record_json(r), "documents");
}

static int document(struct str *out, struct json_val v, size_t i, struct arena *a, struct err *e)
{
	struct json_val text = v.type == JSON_OBJECT ? json_get(v, "text") : v;

	if (text.type != JSON_STRING)
		return err_set(e, text.type == JSON_NONE ? ERR_MISSING_FIELD : ERR_INVALID_FIELD,
			       "document %zu has no `text`", i);
	return json_str(out, text, a, e);
}

/* The query: --field, else `query`, else the record's text. */
static int query(struct str *out, const char *field, struct record *r, struct arena *a,
		 struct err *e)
{
	struct json_val v = json_get(record_json(r), "query");

	return !field && v.type == JSON_STRING ? json_str(out, v, a, e) : record_text(out, r, e);
}

/* How many are wanted: top_n of the request or its params, else -k, else all. */
static int wanted(size_t *out, const struct embed_rerank *x, struct record *r, size_t n,
		  struct err *e)
{
	struct json_val v = record_param(r, "top_n");
	uint64_t k = x->top ? x->top : n;

	if (v.type == JSON_NONE)
		v = json_get(record_json(r), "top_n");
	if (v.type != JSON_NONE && v.type != JSON_NULL && (json_u64(&k, v, e) || !k))
		return err_set(e, ERR_INVALID_FIELD, "top_n must be a whole number above 0");
	*out = k < n ? (size_t)k : n;
	return 0;
}

int embed_rerank_begin(void *arg, struct llm_ask *q, struct record *r, struct err *e)
{
	const struct embed_rerank *x = arg;
	bool hits;
	size_t n;
	struct json_val list = list_of(r, &hits), v;
	struct json_iter it = json_elements(list);
	struct str *docs;

	q->kind = LLM_ASK_RERANK;
	if (list.type != JSON_ARRAY)
		return err_set(
			e, ERR_MISSING_FIELD,
			"no `hits` (of llm-index search) and no `documents`: nothing to rank");
	if (query(&q->text, x->field, r, q->a, e))
		return -1;
	if (!q->text.n)
		return err_set(e, ERR_INVALID_FIELD, "the query is empty");
	q->n_docs = json_count(list);
	if (wanted(&n, x, r, q->n_docs, e)) /* before it costs anything */
		return -1;
	docs = arena_alloc(q->a, (q->n_docs + 1) * sizeof *docs);
	if (!docs)
		return err_nomem(e);
	for (size_t i = 0; json_next(&v, &it); i++) {
		if (hits && v.type != JSON_OBJECT)
			return err_set(e, ERR_INVALID_FIELD, "hit %zu is no object", i);
		if (document(&docs[i], v, i, q->a, e))
			return -1;
	}
	q->docs = docs;
	return 0;
}

struct item {
	struct json_val v;
	float score;
	size_t at;
};

static int by_score(const void *x, const void *y)
{
	const struct item *a = x, *b = y;

	if (a->score != b->score)
		return a->score < b->score ? 1 : -1;
	return a->at < b->at ? -1 : 1;
}

/* A hit with its new place and score; all else as it was. */
static int put_hit(struct buf *b, const struct item *i, size_t rank, struct err *e)
{
	char place[NUM_BUF], score[NUM_BUF];
	size_t n_place = num_put_u64(place, rank), n_score = num_put_f32(score, i->score);
	struct json_edit ed;

	json_edit_init(&ed);
	return json_edit_set(&ed, STR("rank"), (struct str){ place, n_place }, e) ||
	       json_edit_set(&ed, STR("rerank_score"), (struct str){ score, n_score }, e) ||
	       json_edit_put(b, i->v, &ed, e);
}

static void put_result(struct buf *b, const struct item *i)
{
	struct json_w w = json_w(b);

	json_w_begin(&w, '{');
	json_w_key(&w, "index");
	json_w_u64(&w, i->at);
	json_w_key(&w, "relevance_score");
	json_w_f32(&w, i->score);
	json_w_end(&w, '}');
}

int embed_rerank_end(void *arg, struct llm_ask *q, struct record *r, struct err *e)
{
	struct embed_rerank *x = arg;
	bool hits;
	struct json_iter it = json_elements(list_of(r, &hits));
	struct item *items = arena_alloc(q->a, (q->n_docs + 1) * sizeof *items);
	size_t n = 0;

	if (!items)
		return err_nomem(e);
	if (wanted(&n, x, r, q->n_docs, e))
		return -1;
	for (size_t i = 0; i < q->n_docs && json_next(&items[i].v, &it); i++) {
		items[i].at = i;
		items[i].score = q->scores[i];
	}
	qsort(items, q->n_docs, sizeof *items, by_score);
	buf_reset(&x->b);
	buf_addc(&x->b, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addc(&x->b, ',');
		if (!hits)
			put_result(&x->b, &items[i]);
		else if (put_hit(&x->b, &items[i], i + 1, e))
			return -1;
	}
	buf_addc(&x->b, ']');
	return buf_check(&x->b, e) ||
	       record_set_raw(r, hits ? "hits" : "results", buf_str(&x->b), e);
}
