/* embed: documents to vectors. Equal ones are computed once; a document that breaks the model fails
 * alone. */
#include "config.h"
#include "llm/llm.h"

struct work {
	int32_t *ids, *start; /* unique documents, one behind the other */
	int32_t *second;      /* [unique] where the second text of a pair begins */
	size_t *of;           /* [n] which unique document each is */
	float *out;           /* [unique, n_out] */
	struct map seen;
};

static void release(struct work *w)
{
	free(w->ids);
	free(w->start);
	free(w->second);
	free(w->of);
	free(w->out);
	map_release(&w->seen);
}

/* Fills ids, start and of; *unique: how many there are. */
static int gather(struct work *w, int32_t *unique, const struct llm_doc *docs, size_t n,
		  struct err *e)
{
	size_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += (size_t)docs[i].n;
	w->ids = ckd_alloc(total, sizeof *w->ids);
	w->start = ckd_alloc(n + 1, sizeof *w->start);
	w->second = ckd_alloc(n, sizeof *w->second);
	w->of = ckd_alloc(n, sizeof *w->of);
	if (!w->ids || !w->start || !w->second || !w->of)
		return err_nomem(e);
	w->start[0] = *unique = 0;
	for (size_t i = 0; i < n; i++) {
		struct str key = { (const char *)docs[i].ids,
				   (size_t)docs[i].n * sizeof *docs[i].ids };
		int32_t *at = &w->start[*unique];
		uint64_t *value;
		bool is_new;

		if (docs[i].n < 1 || total > INT32_MAX)
			return err_set(e, ERR_INTERNAL, "a document without tokens, or too many");
		if (map_put(&value, &is_new, &w->seen, key, e))
			return -1;
		/* two pairs may have all tokens in common, but not where the second text begins */
		if (is_new || w->second[*value] != docs[i].second) {
			*value = (uint64_t)*unique;
			w->second[*unique] = docs[i].second;
			memcpy(w->ids + *at, docs[i].ids, key.n);
			at[1] = *at + docs[i].n;
			++*unique;
		}
		w->of[i] = (size_t)*value;
	}
	return 0;
}

static bool alone(const struct err *e)
{
	return e->code == ERR_MODEL_FAULT || e->code == ERR_CONTEXT_LENGTH ||
	       e->code == ERR_INVALID_FIELD;
}

int llm_embed(struct llm *l, struct llm_doc *docs, size_t n, bool normalize, struct err *e)
{
	size_t d = (size_t)model_info(llm_model(l))->n_out;
	struct work w = { 0 };
	int32_t unique = 0;
	int rc = -1;

	map_init(&w.seen, false);
	if (!n || gather(&w, &unique, docs, n, e))
		goto out;
	w.out = ckd_alloc((size_t)unique * d, sizeof *w.out);
	if (!w.out) {
		err_nomem(e);
		goto out;
	}
	rc = model_encode_pairs(llm_model(l), w.ids, w.start, w.second, unique, normalize, w.out, e);
	if (rc && alone(e)) { /* one at a time, to see whose fault it is */
		rc = 0;
		for (size_t i = 0; i < n; i++) {
			const int32_t one[2] = { 0, docs[i].n };

			err_clear(&docs[i].err);
			if (model_encode_pairs(llm_model(l), docs[i].ids, one, &docs[i].second, 1,
					       normalize, docs[i].out, &docs[i].err) &&
			    !alone(&docs[i].err)) {
				*e = docs[i].err;
				rc = -1;
				goto out;
			}
		}
		goto out;
	}
	for (size_t i = 0; !rc && i < n; i++) {
		memcpy(docs[i].out, w.out + w.of[i] * d, d * sizeof *w.out);
		err_clear(&docs[i].err);
	}
out:
	release(&w);
	return n ? rc : 0;
}
