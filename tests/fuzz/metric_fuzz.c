/* metric_fuzz: the bytes as a record, scored by every metric; scores are null or within what they
 * may be. */
#include "config.h"
#include "metric/metric.h"
#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const extra[] = { "regex:value=(a+)+$",
				     "em:regexes_to_ignore=\\b,extract=\\w*,find=last,ignore_case",
				     "ndcg@2:ties=docno,docs",
				     "not-icontains",
				     "em:ignore_punctuation,ignore_numbers",
				     "numeric:find=last",
				     "groundedness:tau=0",
				     "bleu:tok=char,smooth=floor,ignore_case",
				     "bleu:tok=none,smooth=add-k",
				     "chrf++:ignore_case" };

static void score(const char *spec, const struct metric_item *item, struct metric_work *w)
{
	struct metric *m;
	struct err e = { 0 };
	double top = strncmp(spec, "bleu", 4) && strncmp(spec, "chrf", 4) ? 1 : 100;
	double v;

	if (metric_open(&m, spec, &e)) {
		if (!strcmp(spec, "regex"))
			return;
		abort();
	}
	if (!metric_score(&v, m, item, w, &e) && !isnan(v) && !(v >= -1e-9 && v <= top + 1e-9) &&
	    strncmp(spec, "ndcg", 4))
		abort();
	metric_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct metric_fields f = { .needs = 15 };
	struct metric_work *w;
	struct metric_item item;
	struct json_val v;
	struct arena a;
	struct err e = { 0 };

	if (metric_work_new(&w, &e))
		abort();
	arena_init(&a, 1 << 20);
	if (!json_parse(&v, (struct str){ (const char *)data, size }, &e) &&
	    v.type == JSON_OBJECT && !metric_item_read(&item, v, STR("q"), &f, &a, &e)) {
		for (size_t i = 0; i < metric_count(); i++)
			score(metric_info(i).name, &item, w);
		for (size_t i = 0; i < sizeof extra / sizeof *extra; i++)
			score(extra[i], &item, w);
	}
	arena_release(&a);
	metric_work_free(w);
	return 0;
}
