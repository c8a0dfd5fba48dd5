/*
 * metric_retrieval: a ranked list against judged documents, with trec_eval's definitions. Unjudged
 * is not relevant; a document is relevant when its gain is at least `level` (1). No relevant
 * document: null.
 */
#include "config.h"
#include "metric/metric_impl.h"
#include <math.h>

enum { RECALL, PRECISION, HIT, MRR, NDCG, NDCG_EXP, AVERAGE_PRECISION };

struct doc {
	struct str id;
	double score;
	uint64_t hash; /* of the id */
	double gain;
};

static int by_id(const void *a, const void *b)
{
	return str_cmp(((const struct doc *)a)->id, ((const struct doc *)b)->id);
}

/* Score descending, then id descending: trec_eval's order. */
static int by_score(const void *a, const void *b)
{
	const struct doc *x = a;
	const struct doc *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return -str_cmp(x->id, y->id);
}

static int descending(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x < y) - (x > y);
}

/* A chunk's document: what stands before the last '#'. */
static struct str document(struct str id)
{
	for (size_t i = id.n; i-- > 0;)
		if (id.p[i] == '#')
			return str_sub(id, 0, i);
	return id;
}

static double gain_of(const struct doc *judged, size_t n, struct str id)
{
	struct doc key = { .id = id };
	const struct doc *d = n ? bsearch(&key, judged, n, sizeof *judged, by_id) : NULL;

	return d ? d->gain : 0;
}

/* The judged documents by id; of several judgements of one (as chunks of a document may have) the
 * best counts. */
static size_t judged_docs(struct doc *out, const struct metric *m, const struct metric_item *item)
{
	size_t n = 0;

	for (size_t i = 0; i < item->n_rels; i++)
		out[i] =
			(struct doc){ .id = m->docs ? document(item->rels[i].id) : item->rels[i].id,
				      .gain = item->rels[i].gain };
	qsort(out, item->n_rels, sizeof *out, by_id);
	for (size_t i = 0; i < item->n_rels; i++) {
		if (n && str_eq(out[n - 1].id, out[i].id))
			out[n - 1].gain = fmax(out[n - 1].gain, out[i].gain);
		else
			out[n++] = out[i];
	}
	return n;
}

/* The ranking: as it stands, or by score; documents instead of chunks, the first chunk of each,
 * with `docs`. Quadratic only in runs of equal hashes. */
static int ranked_docs(struct doc *out, size_t *n, const struct metric *m,
		       const struct metric_item *item, struct metric_work *w, struct err *e)
{
	size_t cap = 16;
	uint32_t *table; /* open addressing: index + 1 */

	while (cap < 2 * item->n_hits)
		cap *= 2;
	table = metric_room(&w->array[2], cap, sizeof *table);
	if (!table)
		return err_nomem(e);
	memset(table, 0, cap * sizeof *table);
	*n = 0;
	for (size_t i = 0; i < item->n_hits; i++) {
		struct str id = m->docs ? document(item->hits[i].id) : item->hits[i].id;
		uint64_t hash = hash64(id.p, id.n, 0);
		size_t at = hash & (cap - 1);

		while (table[at] &&
		       !(out[table[at] - 1].hash == hash && str_eq(out[table[at] - 1].id, id)))
			at = (at + 1) & (cap - 1);
		if (table[at] && m->docs)
			continue;
		if (table[at])
			return err_set(e, ERR_INVALID_FIELD,
				       "`hits` has the id \"" STR_FMT "\" twice (of chunks? "
				       "count documents with the option docs)",
				       STR_ARG(id));
		out[*n] = (struct doc){ id, item->hits[i].score, hash, 0 };
		table[at] = (uint32_t)++ * n;
	}
	if (m->ties == METRIC_TIES_DOCNO) {
		for (size_t i = 0; i < *n; i++)
			if (isnan(out[i].score))
				return err_set(e, ERR_INVALID_FIELD,
					       "ties=docno needs a score at every hit");
		qsort(out, *n, sizeof *out, by_score);
	}
	return 0;
}

static double gain_term(int variant, double gain, size_t rank)
{
	if (gain <= 0)
		return 0;
	return (variant == NDCG_EXP ? exp2(gain) - 1 : gain) / log2((double)rank + 2);
}

static double ndcg(int variant, const struct doc *ranked, size_t n, double *ideal, size_t n_ideal,
		   size_t k)
{
	double dcg = 0;
	double best = 0;

	qsort(ideal, n_ideal, sizeof *ideal, descending);
	for (size_t i = 0; i < n_ideal && i < k; i++)
		best += gain_term(variant, ideal[i], i);
	for (size_t i = 0; i < n && i < k; i++)
		dcg += gain_term(variant, ranked[i].gain, i);
	return best > 0 ? dcg / best : 0;
}

static double measure(const struct metric *m, const struct doc *ranked, size_t n, size_t n_relevant)
{
	size_t k = m->k ? m->k : n;
	size_t found = 0;
	size_t first = 0;
	double precisions = 0;

	for (size_t i = 0; i < n && i < k; i++) {
		if (!(ranked[i].gain >= m->level))
			continue;
		found++;
		precisions += (double)found / (double)(i + 1);
		if (!first)
			first = i + 1;
	}
	switch (m->def->variant) {
	case RECALL:
		return (double)found / (double)n_relevant;
	case PRECISION: /* divided by k even where there are fewer hits */
		return k ? (double)found / (double)k : 0;
	case HIT:
		return found > 0;
	case MRR:
		return first ? 1 / (double)first : 0;
	default:
		return precisions / (double)n_relevant;
	}
}

static int retrieval(double *out, const struct metric *m, const struct metric_item *item,
		     struct metric_work *w, struct err *e)
{
	struct doc *judged = metric_room(&w->array[0], item->n_rels + 1, sizeof *judged);
	struct doc *ranked = metric_room(&w->array[1], item->n_hits + 1, sizeof *ranked);
	double *ideal = metric_room(&w->array[3], item->n_rels + 1, sizeof *ideal);
	size_t n_relevant = 0;
	size_t n = 0;
	size_t n_judged;

	if (!judged || !ranked || !ideal)
		return err_nomem(e);
	n_judged = judged_docs(judged, m, item);
	if (ranked_docs(ranked, &n, m, item, w, e))
		return -1;
	for (size_t i = 0; i < n_judged; i++) {
		n_relevant += judged[i].gain >= m->level;
		ideal[i] = judged[i].gain;
	}
	for (size_t i = 0; i < n; i++)
		ranked[i].gain = gain_of(judged, n_judged, ranked[i].id);
	if (n_relevant == 0)
		*out = (double)NAN;
	else if (m->def->variant == NDCG || m->def->variant == NDCG_EXP)
		*out = ndcg(m->def->variant, ranked, n, ideal, n_judged, m->k ? m->k : SIZE_MAX);
	else
		*out = measure(m, ranked, n, n_relevant);
	return 0;
}

#define NEEDS (METRIC_HITS | METRIC_RELS)
#define RETRIEVAL(name, binary, what, help)                                                        \
	{                                                                                          \
		.info = { name, NEEDS, true, binary, "ties docs level", help },                    \
		.score = retrieval, .variant = what, .version = "trec"                             \
	}
const struct metric_def metric_retrieval_defs[] = {
	RETRIEVAL("recall", false, RECALL,
		  "share of the relevant documents among the first K hits"),
	RETRIEVAL("precision", false, PRECISION, "relevant hits among the first K, divided by K"),
	RETRIEVAL("hit", true, HIT, "a relevant document is among the first K hits"),
	RETRIEVAL("mrr", false, MRR, "1 / rank of the first relevant hit, 0 beyond K"),
	RETRIEVAL("ndcg", false, NDCG, "normalised discounted gain, gain = grade, log2(rank + 1)"),
	RETRIEVAL("ndcg_exp", false, NDCG_EXP, "the same with gain = 2^grade - 1"),
	RETRIEVAL("map", false, AVERAGE_PRECISION, "average precision over the relevant documents"),
	{ .info = { .name = NULL } },
};
