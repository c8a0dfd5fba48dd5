/* metric_test: golden values of Python references (metric_golden.py), published cases, and
 * hand-made ones. */
#include "config.h"
#include "metric/metric_impl.h"
#include "tap.h"
#include <math.h>

static struct metric_work *work;

static const struct {
	const char *in, *out;
} lower_cases[] = {
#define GOLDEN_LOWER
#include "metric_golden.h"
#undef GOLDEN_LOWER
};
static const struct {
	const char *a, *b;
	int em;
	double f1;
} squad_cases[] = {
#define GOLDEN_SQUAD
#include "metric_golden.h"
#undef GOLDEN_SQUAD
};
static const struct {
	unsigned k;
	int docno;
	const char *docs;
	double scores[8];
	const char *judged;
	double gains[5];
	double want[7];
} retrieval_cases[] = {
#define GOLDEN_RETRIEVAL
#include "metric_golden.h"
#undef GOLDEN_RETRIEVAL
};

static const struct {
	const char *hyp, *refs[3];
	double want[13];
} ngram_cases[] = {
#define GOLDEN_SENTENCES
#include "metric_ngram_golden.h"
#undef GOLDEN_SENTENCES
};
static const struct {
	size_t from, n;
	double want[6];
} corpus_cases[] = {
#define GOLDEN_CORPUS
#include "metric_ngram_golden.h"
#undef GOLDEN_CORPUS
};

static bool same(double a, double b)
{
	return isnan(a) ? isnan(b) : fabs(a - b) <= 1e-12 * fabs(b);
}

static double score_item(const char *spec, const struct metric_item *item)
{
	struct metric *m;
	struct err e = { 0 };
	double v = 0;

	if (metric_open(&m, spec, &e) || metric_score(&v, m, item, work, &e)) {
		printf("# %s: %s\n", spec, e.text);
		v = -99;
	}
	metric_close(m);
	return v;
}

/* refs: up to 3, NULL ends */
static double score(const char *spec, const char *output, const char *ref, const char *ref2)
{
	struct metric_ref refs[2];
	struct metric_item item = { .has_output = output != NULL, .refs = refs };

	if (output)
		item.output = str_of(output);
	for (int i = 0; i < 2; i++) {
		const char *text = i ? ref2 : ref;

		if (!text)
			break;
		refs[i].text = str_of(text);
		if (json_parse(&refs[i].json, str_of(text), NULL))
			refs[i].json = (struct json_val){ { "\"\"", 2 }, JSON_STRING };
		item.n_refs++;
	}
	return score_item(spec, &item);
}

#define SCORE(spec, output, ref, ref2, want)                                                       \
	OK(same(score(spec, output, ref, ref2), want), "%s: %s / %s", spec, #output, #ref)

static void test_text(void)
{
	struct buf b;
	size_t good = 0;
	size_t n = sizeof lower_cases / sizeof *lower_cases;

	buf_init(&b, 1000);
	for (size_t i = 0; i < n; i++) {
		buf_reset(&b);
		metric_lower(&b, str_of(lower_cases[i].in));
		if (str_is(buf_str(&b), lower_cases[i].out))
			good++;
		else
			printf("# %s gives %.*s, not %s\n", lower_cases[i].in, (int)b.n, b.p,
			       lower_cases[i].out);
	}
	OK(good == n, "lower case as Python's, %zu of %zu", good, n);
	buf_release(&b);
	OK(str_is(metric_strip(STR("\xc2\xa0 x\xe2\x80\x8b y\x1c\xe3\x80\x80")), "x\xe2\x80\x8b y"),
	   "strip takes Unicode blanks");
}

static void test_squad(void)
{
	size_t good = 0;
	size_t n = sizeof squad_cases / sizeof *squad_cases;

	for (size_t i = 0; i < n; i++) {
		double e = score("squad_em", squad_cases[i].a, squad_cases[i].b, NULL);
		double f = score("squad_f1", squad_cases[i].a, squad_cases[i].b, NULL);

		if ((int)e == squad_cases[i].em && same(f, squad_cases[i].f1))
			good++;
		else
			printf("# \"%s\" / \"%s\": %g %.17g, want %d %.17g\n", squad_cases[i].a,
			       squad_cases[i].b, e, f, squad_cases[i].em, squad_cases[i].f1);
	}
	OK(good == n, "SQuAD's EM and F1 as in Python, %zu of %zu", good, n);
	SCORE("squad_f1", "in the year 1997", "never", "1997", 0.5);
	SCORE("squad_f1", "", "a", NULL, 0);
	SCORE("squad2_f1", "", "a", NULL, 1);
	SCORE("squad2_f1", "b", "a", NULL, 0);
	SCORE("squad_f1", NULL, "a", NULL, 0);
	SCORE("squad_f1", "b", NULL, NULL, (double)NAN);
}

static void test_answer(void)
{
	SCORE("em", "Paris", "Paris", NULL, 1);
	SCORE("em", "paris", "Paris", "x", 0);
	SCORE("em", "x", "Paris", "x", 1);
	SCORE("em:ignore_case", "PARIS", "Paris", NULL, 1);
	SCORE("em:ignore_case,ignore_punctuation,ignore_numbers", "P4aris!", "paris", NULL, 1);
	SCORE("em:regexes_to_ignore=^the ,regexes_to_ignore=\\s+$", "the end  ", "end", NULL, 1);
	SCORE("em:extract=#### (-?[0-9.\\,]+)", "so 3 + 4\n#### 1,007", "1,007", NULL, 1);
	SCORE("em:extract=#### (-?[0-9.\\,]+)", "no answer", "7", NULL, 0);
	SCORE("em:extract=(\\d+),find=last", "1 then 22", "22", NULL, 1);
	SCORE("not-em", "x", "x", NULL, 0);
	SCORE("not-contains:value=b", "abc", NULL, NULL, 0);
	SCORE("contains", "the Eiffel Tower", "Eiffel", NULL, 1);
	SCORE("contains", "the Eiffel Tower", "x", "Tower", 1);
	SCORE("contains-all", "the Eiffel Tower", "x", "Tower", 0);
	SCORE("contains_all", "the Eiffel Tower", "Eiffel", "Tower", 1);
	SCORE("icontains", "ΣΑΣ", "σας", NULL, 1);
	SCORE("starts-with", "abc", "ab", NULL, 1);
	SCORE("ends-with", "abc", "ab", NULL, 0);
	SCORE("contains", "abc", NULL, NULL, (double)NAN);
	SCORE("regex:value=^\\d{2\\,3}$", "123", NULL, NULL, 1);
	SCORE("regex:value=^\\d{2\\,3}$", "1234", NULL, NULL, 0);
	SCORE("numeric", "$1,234.50", "1234.5", NULL, 1);
	SCORE("numeric", "the answer is 42.", "42", NULL, 0);
	SCORE("numeric:find=last", "the answer is 3 or -42.", "-42", NULL, 1);
	SCORE("numeric:find=first", "the answer is 3 or -42.", "3", NULL, 1);
	SCORE("numeric:find=last", "a range 3-42", "42", NULL, 1);
	SCORE("numeric:atol=0.1", "1.05", "1", NULL, 1);
	SCORE("numeric:rtol=0.01", "98.9", "100", NULL, 0);
	SCORE("numeric", "none", "1", NULL, 0);
	SCORE("numeric", "1", "none", NULL, (double)NAN);
	SCORE("numeric_diff", "3", "1", NULL, 0.5);
	SCORE("numeric_diff", "0", "0", NULL, 1);
	SCORE("json_valid", " {\"a\":[1,2]} ", NULL, NULL, 1);
	SCORE("json_valid", "{\"a\":1,}", NULL, NULL, 0);
	SCORE("contains-json", "sure: {\"a\": [1, {\"b\": 2}]} done", NULL, NULL, 1);
	SCORE("contains-json", "sure: {a: 1}", NULL, NULL, 0);
	SCORE("json_equal", "{\"b\":1.0,\"a\":\"x\"}", "{\"a\":\"\\u0078\",\"b\":1}", NULL, 1);
	SCORE("json_equal", "{\"b\":1}", "{\"b\":2}", NULL, 0);
}

static void test_retrieval(void)
{
	static const char *const names[] = { "recall", "precision", "hit", "mrr",
					     "ndcg",   "ndcg_exp",  "map" };
	size_t n = sizeof retrieval_cases / sizeof *retrieval_cases;

	for (size_t k = 0; k < 7; k++) {
		size_t good = 0;

		for (size_t i = 0; i < n; i++) {
			struct metric_hit hits[8];
			struct metric_rel rels[5];
			struct metric_item item = {
				.has_hits = true, .has_rels = true, .hits = hits, .rels = rels
			};
			char spec[64];

			for (const char *p = retrieval_cases[i].docs; *p; p++, item.n_hits++)
				hits[item.n_hits] = (struct metric_hit){
					{ p, 1 }, { "", 0 }, retrieval_cases[i].scores[item.n_hits]
				};
			for (const char *p = retrieval_cases[i].judged; *p; p++, item.n_rels++)
				rels[item.n_rels] = (struct metric_rel){
					{ p, 1 }, retrieval_cases[i].gains[item.n_rels]
				};
			snprintf(spec, sizeof spec, "%s@%u:ties=%s", names[k], retrieval_cases[i].k,
				 retrieval_cases[i].docno ? "docno" : "rank");
			good += same(score_item(spec, &item), retrieval_cases[i].want[k]);
		}
		OK(good == n, "%s as in Python, %zu of %zu", names[k], good, n);
	}
}

static void test_trec_eval(void)
{
	/* trec_eval 10.0-rc3 on made-up topics */
	struct metric_hit q1[] = { { STR("d3"), STR(""), 9 },
				   { STR("d2"), STR(""), 8 },
				   { STR("d9"), STR(""), 8 },
				   { STR("d1"), STR(""), 7.5 },
				   { STR("d4"), STR(""), 7 } };
	struct metric_rel r1[] = {
		{ STR("d1"), 1 }, { STR("d2"), 0 }, { STR("d3"), 2 }, { STR("d5"), 1 }
	};
	struct metric_hit q2[] = { { STR("d4"), STR(""), 5 },
				   { STR("d2"), STR(""), 4 },
				   { STR("d7"), STR(""), 4 } };
	struct metric_rel r2[] = { { STR("d2"), 1 }, { STR("d4"), 0 }, { STR("d7"), 3 } };
	struct metric_item a = {
		.has_hits = true, .has_rels = true, .hits = q1, .n_hits = 5, .rels = r1, .n_rels = 4
	};
	struct metric_item b = {
		.has_hits = true, .has_rels = true, .hits = q2, .n_hits = 3, .rels = r2, .n_rels = 3
	};
	struct metric_hit chunks[] = { { STR("d2#0"), STR(""), 9 },
				       { STR("d2#4"), STR(""), 8 },
				       { STR("d1#1"), STR(""), 7 } };
	struct metric_item c = { .has_hits = true,
				 .has_rels = true,
				 .hits = chunks,
				 .n_hits = 3,
				 .rels = r1,
				 .n_rels = 4 };
#define D(spec, item, want)                                                                        \
	OK(fabs(score_item(spec ":ties=docno", &item) - want) < 5e-5, "trec_eval: %s of %s", spec, \
	   #item)
	D("map", a, .5);
	D("mrr", a, 1);
	D("recall@5", a, .6667);
	D("ndcg", a, .7763);
	D("map", b, .5833);
	D("mrr", b, .5);
	D("recall@5", b, 1);
	D("ndcg", b, .6590);
	OK(same(score_item("mrr:docs", &c), 0.5), "chunks count as their document once");
	chunks[1].id = chunks[0].id;
	OK(score_item("mrr", &c) < -1, "a document twice is an error");
	a.has_hits = false;
	OK(isnan(score_item("mrr", &a)), "no hits, no score");
}

static void test_ground(void)
{
	struct metric_hit hits[] = {
		{ STR("1"),
		  STR("The Eiffel Tower was completed in 1889. It is 330 metres tall, and was "
		      "designed by "
		      "Stephen Sauvestre in St. Louis style."),
		  1 },
		{ STR("2"), STR("Paris is the capital of France. 東京は日本の首都です。"), .5 },
	};
	struct metric_item item = {
		.has_output = true, .has_hits = true, .hits = hits, .n_hits = 2
	};
#define G(spec, text, want)                                                                        \
	do {                                                                                       \
		item.output = STR(text);                                                           \
		OK(same(score_item(spec, &item), want), "%s: %s", spec, text);                     \
	} while (0)
	G("groundedness", "The Eiffel Tower was completed in 1889.", 1);
	G("groundedness",
	  "The Eiffel Tower was completed in 1889. Bananas grow on tall green plants.", 0.5);
	G("groundedness", "1. Eiffel Tower completed.\n2. Bananas grow everywhere.", 0.5);
	G("groundedness:tau=0.3", "It was designed by Dr. Stephen Sauvestre!", 1);
	G("groundedness", "It was designed by Dr. Stephen Sauvestre!", 0);
	G("groundedness", "日本の首都です。", 1);
	G("groundedness", "It is what it is.", (double)NAN);
	G("groundedness", "", (double)NAN);
	G("groundedness", "Paris.", 1);
	G("groundedness", "London.", 0);
	G("citation_precision",
	  "Paris is the capital of France [2]. The Eiffel Tower was completed in 1889. [1][2]",
	  2 / 3.0);
	G("citation_recall",
	  "Paris is the capital of France [2]. The Eiffel Tower was completed in 1889. [1, 2]", 1);
	G("citation_f1",
	  "Paris is the capital of France [2]. The Eiffel Tower was completed in 1889. [1][2]",
	  0.8);
	G("citation_precision", "Paris is the capital of France [7].", 0);
	G("citation_precision", "Paris is the capital of France.", (double)NAN);
	G("citation_recall", "Paris is the capital of France.", 0);
	G("citation_f1", "Paris is the capital of France.", 0);
	G("quoted_support", "It \"was  completed in 1889\" and “is 400 metres tall” but \"short\".",
	  0.5);
	G("quoted_support", "nothing quoted", (double)NAN);
	item.n_hits = 0;
	G("groundedness", "Paris.", (double)NAN);
}

static struct metric_item ngram_item(size_t i, struct metric_ref refs[3])
{
	struct metric_item item = { .has_output = true,
				    .output = str_of(ngram_cases[i].hyp),
				    .refs = refs };

	while (item.n_refs < 3 && ngram_cases[i].refs[item.n_refs]) {
		refs[item.n_refs] = (struct metric_ref){ str_of(ngram_cases[i].refs[item.n_refs]),
							 { { "", 0 }, JSON_NONE } };
		item.n_refs++;
	}
	return item;
}

static void test_ngram(void)
{
	static const char *const specs[13] = { "bleu",
					       "bleu:smooth=floor",
					       "bleu:smooth=add-k",
					       "bleu:smooth=none",
					       "bleu:tok=none",
					       "bleu:tok=char",
					       "bleu:ignore_case",
					       "chrf",
					       "chrf++",
					       "chrf:ignore_case",
					       "rouge1",
					       "rouge2",
					       "rougeL" };
	static const char *const corpus[6] = {
		"bleu",  "bleu:smooth=floor", "bleu:smooth=add-k", "bleu:smooth=none", "chrf",
		"chrf++"
	};
	size_t n = sizeof ngram_cases / sizeof *ngram_cases;
	struct metric_ref refs[3];
	struct err e = { 0 };

	for (size_t k = 0; k < 13; k++) {
		size_t good = 0;

		for (size_t i = 0; i < n; i++) {
			struct metric_item item = ngram_item(i, refs);
			double got = score_item(specs[k], &item);

			if (same(got, ngram_cases[i].want[k]))
				good++;
			else
				printf("# %s of \"%s\" / \"%s\": %.17g, want %.17g\n", specs[k],
				       ngram_cases[i].hyp, ngram_cases[i].refs[0], got,
				       ngram_cases[i].want[k]);
		}
		OK(good == n, "%s as its oracle, %zu of %zu sentences", specs[k], good, n);
	}
	for (size_t k = 0; k < 6; k++) {
		struct metric *m;
		size_t good = 0;

		if (metric_open(&m, corpus[k], &e))
			break;
		for (size_t x = 0; x < sizeof corpus_cases / sizeof *corpus_cases; x++) {
			int64_t sums[METRIC_SUMS] = { 0 };
			bool counted = true;

			for (size_t i = 0; i < corpus_cases[x].n && counted; i++) {
				struct metric_item item =
					ngram_item(corpus_cases[x].from + i, refs);

				counted = !metric_corpus_add(sums, &counted, m, &item, work, &e) &&
					  counted;
			}
			if (counted && same(metric_corpus_score(sums, m), corpus_cases[x].want[k]))
				good++;
			else
				printf("# %.17g, want %.17g\n", metric_corpus_score(sums, m),
				       corpus_cases[x].want[k]);
		}
		OK(good == 3, "%s of a corpus", corpus[k]);
		metric_close(m);
	}
}

static void test_specs(void)
{
	static const char *const bad[] = { "",
					   "nope",
					   "em@3",
					   "recall@0",
					   "recall@x",
					   "not-squad_f1",
					   "em:nope",
					   "em:value=x",
					   "em:ignore_case=maybe",
					   "regex",
					   "regex:value=(",
					   "numeric:atol=-1",
					   "numeric:atol",
					   "em:min=x",
					   "em:as=",
					   "recall:ties=x",
					   "em:extract=[" };
	struct metric *m;
	struct err e = { 0 };
	struct buf b;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		OK(metric_open(&m, bad[i], &e) && !m && e.code == ERR_USAGE, "refused: \"%s\": %s",
		   bad[i], e.text);
		err_clear(&e);
	}
	buf_init(&b, 1000);
	if (OK(!metric_open(&m, "recall@5:docs,min=0.8,as=r5", &e), "a spec")) {
		OK(!strcmp(metric_name(m), "r5") && metric_verdict(m, 0.8) == METRIC_PASS &&
			   metric_verdict(m, 0.7) == METRIC_FAIL &&
			   metric_verdict(m, (double)NAN) == METRIC_OPEN,
		   "its name and its rule");
		metric_signature(&b, m);
		OK(str_is(buf_str(&b), "recall@5|docs,min=0.8,as=r5|trec"), "its signature");
		metric_close(m);
	}
	buf_release(&b);
}

int main(void)
{
	struct err e = { 0 };

	if (metric_work_new(&work, &e))
		return 1;
	test_text();
	test_squad();
	test_answer();
	test_retrieval();
	test_trec_eval();
	test_ground();
	test_ngram();
	test_specs();
	metric_work_free(work);
	return tap_done();
}
