/* gen_test: text under way with its stop strings; the scheduler on a tiny model; scores against
 * what generation says. */
#include "config.h"
#include "llm/gen_impl.h"
#include "tap.h"

/* Feed text in pieces of random length; true when what was shown in between adds up to the final
 * text. */
static bool feed(struct buf *out, bool *stopped, struct str text, const struct llm_stops *stops,
		 uint64_t seed)
{
	struct rng r = { .key = seed };
	struct gen_text t;
	struct buf shown;
	struct str s;
	struct err e;
	bool good;

	gen_text_init(&t, stops);
	buf_init(&shown, 1 << 20);
	buf_reset(out);
	*stopped = false;
	for (size_t i = 0; i < text.n && !*stopped;) {
		size_t n = 1 + (size_t)rng_below(&r, 4);

		n = n < text.n - i ? n : text.n - i;
		if (gen_text_add(stopped, &t, str_sub(text, i, i + n), &e) ||
		    gen_text_take(&s, out, &t, *stopped, &e))
			return false;
		buf_adds(&shown, s);
		i += n;
	}
	good = !gen_text_take(&s, out, &t, true, &e);
	buf_adds(&shown, s);
	good = good && str_eq(buf_str(&shown), buf_str(out)) && utf8_valid(buf_str(out)) == out->n;
	buf_release(&shown);
	gen_text_release(&t);
	return good;
}

static void test_text(void)
{
	static const struct str stops_of[][3] = { { STR("STOP") },
						  { STR("aab"), STR("ab") },
						  { STR("\n\n"), STR("END"), STR("é!") } };
	static const struct {
		const char *text, *want;
		int stops;
		bool stopped;
	} cases[] = {
		{ "before STOP after", "before ", 0, true },
		{ "STO STO", "STO STO", 0, false },
		{ "xaaab", "xa", 1, true },
		{ "xab", "x", 1, true },
		{ "one\ntwo\n\nthree", "one\ntwo", 2, true },
		{ "caf\xc3\xa9!", "caf", 2, true },
		{ "caf\xc3\xa9 \xf0\x9f\x8e\x89", "caf\xc3\xa9 \xf0\x9f\x8e\x89", 2, false },
		{ "cut \xf0\x9f\x8e", "cut \xef\xbf\xbd", 0, false },
		{ "\xff"
		  "a\xc3",
		  "\xef\xbf\xbd"
		  "a\xef\xbf\xbd",
		  0, false },
		{ "", "", 0, false },
	};
	struct buf out;

	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct llm_stops stops = { stops_of[cases[i].stops], (size_t)cases[i].stops + 1 };
		bool good = true, stopped = false;

		for (uint64_t seed = 0; seed < 50; seed++)
			good = good && feed(&out, &stopped, str_of(cases[i].text), &stops, seed) &&
			       stopped == cases[i].stopped && str_is(buf_str(&out), cases[i].want);
		if (!OK(good, "text %zu is shown once, whole and up to the stop", i))
			printf("# %.*s\n", (int)out.n, out.p);
	}
	buf_release(&out);
}

enum { N = 24, JOBS = 8 };
static int32_t prompts[N][200];
static struct llm_request rq[N];

static void make_requests(const struct tok *tok, int n_top)
{
	struct rng r = { .key = 5 };

	for (int i = 0; i < N; i++) {
		int n = i % 3 ? 100 + i : 10 + i;

		/* two thirds share 80 tokens */
		for (int k = 0; k < n; k++)
			prompts[i][k] =
				i % 3 && k < 80
					? 5 + k
					: (int32_t)(3 + rng_below(&r, tok_n_vocab(tok) - 3));
		rq[i] = (struct llm_request){ .ids = prompts[i],
					      .n_ids = n,
					      .max_tokens = 3 + i % 7,
					      .n_top = n_top,
					      .sample = sample_defaults };
		rq[i].sample.temperature = i % 2 ? 30 : 0;
		rq[i].sample.top_p = 1;
		rq[i].sample.min_p = 0;
	}
}

static bool run_all(struct llm_gen *g, struct err *e)
{
	struct llm_request *done;
	int next = 0, n_done = 0;

	while (next < N || llm_gen_busy(g)) {
		while (next < N && llm_gen_room(g))
			if (llm_gen_submit(g, &rq[next++], e))
				return false;
		if (llm_gen_step(&done, g, e))
			return false;
		n_done += done && !done->err.code;
	}
	return n_done == N;
}

static void test_scheduler(const char *path)
{
	static int32_t first[N][16];
	static float logprob[N][16];
	static size_t len[N];
	struct llm_opts o = { .threads = 2, .jobs = JOBS, .ctx = 200 };
	struct llm_request lone, *done;
	struct llm_text text;
	int32_t ids[256], cached = 0;
	double scores[256];
	struct llm_gen *g;
	struct err e = { 0 };
	bool same = true;
	struct llm *l;

	if (!OK(!llm_open(&l, path, &o, &e) && !llm_gen_new(&g, l, &e), "opens: %s", e.text))
		return;
	make_requests(llm_tok(l), 0);
	OK(run_all(g, &e), "all finish: %s", e.text);
	for (int i = 0; i < N; i++) {
		len[i] = rq[i].out.n;
		cached += rq[i].n_cached > 0;
		for (size_t k = 0; k < len[i]; k++) {
			first[i][k] = rq[i].out.v[k];
			logprob[i][k] = rq[i].chosen[k].logprob;
		}
		llm_request_release(&rq[i]);
	}
	OK(cached >= N * 2 / 3 - 1, "%d of %d took over the prefix", cached, N);
	make_requests(llm_tok(l), 0);
	for (int i = 0; i < N; i++) { /* one after the other: nothing beside it */
		lone = rq[i];
		if (llm_gen_submit(g, &lone, &e))
			break;
		for (done = NULL; !done && !llm_gen_step(&done, g, &e);)
			;
		same = same && lone.out.n == len[i];
		for (size_t k = 0; same && k < len[i]; k++)
			same = lone.out.v[k] == first[i][k] &&
			       !(lone.chosen[k].logprob < logprob[i][k]) &&
			       !(lone.chosen[k].logprob > logprob[i][k]);
		llm_request_release(&lone);
	}
	OK(same, "alone gives the same tokens and the same bits of their log-probabilities");
	memcpy(ids, prompts[1], (size_t)rq[1].n_ids * sizeof *ids);
	memcpy(ids + rq[1].n_ids, first[1], len[1] * sizeof *ids);
	text = (struct llm_text){ .ids = ids, .n = rq[1].n_ids + (int32_t)len[1], .out = scores };
	OK(!llm_score(l, &text, 1, &e), "scores: %s", e.text);
	same = true;
	for (size_t k = 0; k < len[1]; k++)
		same = same && !((float)scores[rq[1].n_ids + (int32_t)k] < logprob[1][k]) &&
		       !((float)scores[rq[1].n_ids + (int32_t)k] > logprob[1][k]);
	OK(same, "a score is what generation said");
	lone = rq[0];
	lone.n_ids = 200;
	OK(!llm_gen_submit(g, &lone, &e) && !llm_gen_step(&done, g, &e) && done == &lone &&
		   lone.err.code == ERR_CONTEXT_LENGTH,
	   "too long fails alone: %s", lone.err.text);
	llm_request_release(&lone);
	llm_gen_free(g);
	llm_close(l);
}

int main(void)
{
	const char *src = getenv("top_srcdir");
	char path[4096];

	snprintf(path, sizeof path, "%s/tests/fixtures/tiny-llama.gguf", src ? src : ".");
	test_text();
	test_scheduler(path);
	return tap_done();
}
