/* cached_test: a cache in front of a backend that counts: who is asked, what comes back, what
 * counts as the same. */
#include "config.h"
#include "llm/cached_impl.h"
#include "tap.h"
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/llmu-cached.XXXXXX";
static struct err e;
static struct arena arena;

/* ---- a backend that echoes ---------------------------------------------------------------------
 */

struct fake {
	struct llm_backend b;
	struct llm_ask *held[64];
	size_t n;
	const char *service; /* NULL: a local model */
	unsigned asked, fail_next, stand_in_next;
	unsigned slow_us;
	int log; /* a byte a question, or -1 */
};

static size_t fake_room(const struct llm_backend *b)
{
	return 64 - ((const struct fake *)b)->n;
}

static int fake_submit(struct llm_backend *b, struct llm_ask *q, struct err *er)
{
	struct fake *f = (struct fake *)b;

	(void)er;
	f->held[f->n++] = q;
	f->asked++;
	if (f->log >= 0 && write(f->log, "x", 1) != 1)
		abort();
	return 0;
}

static int fake_step(struct llm_ask **done, struct llm_backend *b, bool more, struct err *er)
{
	struct fake *f = (struct fake *)b;
	struct llm_ask *q = f->n ? f->held[--f->n] : NULL; /* the last one first */

	(void)more, (void)er;
	*done = q;
	if (!q)
		return 0;
	usleep(f->slow_us);
	if (f->fail_next) {
		f->fail_next--;
		return err_set(&q->err, ERR_SERVER, "down"), 0;
	}
	if (f->stand_in_next) {
		f->stand_in_next--;
		q->stand_in = true;
	}
	q->n = 2;
	q->answers = arena_alloc(q->a, 2 * sizeof *q->answers);
	for (int i = 0; i < 2; i++)
		q->answers[i] =
			(struct llm_answer){ .text = q->text,
					     .finish = STR("stop"),
					     .logprobs = i ? STR("{\"content\":[]}") : STR("") };
	q->vector = arena_alloc(q->a, 3 * sizeof(float));
	for (int i = 0; i < 3; i++)
		q->vector[i] = (float)q->text.n + (float)i * 0.1F;
	q->n_vector = 3;
	q->n_whole = 9;
	q->n_kept = 7;
	q->status = 200;
	q->reply = STR("{\"x\":1}");
	q->call = (struct llm_call){ .stage = "generate",
				     .model = "fake",
				     .digest = "d",
				     .prompt_tokens = q->text.n,
				     .completion_tokens = 4,
				     .has_completion = true,
				     .params = STR("{\"seed\":0}"),
				     .prompt = q->text,
				     .request_id = STR("r1"),
				     .attempts = 1 };
	return 0;
}

static bool fake_busy(const struct llm_backend *b)
{
	return ((const struct fake *)b)->n > 0;
}

static int fake_key(struct buf *out, struct llm_backend *b, struct llm_ask *q, struct err *er)
{
	struct fake *f = (struct fake *)b;
	struct json_w w = json_w(out);

	json_w_begin(&w, '{');
	json_w_key(&w, f->service ? "model" : "model_digest");
	json_w_strz(&w, f->service ? f->service : "d");
	json_w_key(&w, "messages");
	json_w_begin(&w, '[');
	json_w_begin(&w, '{');
	json_w_key(&w, "content");
	json_w_str(&w, q->text);
	json_w_end(&w, '}');
	json_w_end(&w, ']');
	json_w_key(&w, "params");
	json_w_raw(&w, q->params.type == JSON_NONE ? STR("{}") : q->params.raw);
	json_w_end(&w, '}');
	return buf_check(out, er);
}

static int fake_describe(struct buf *out, struct llm_backend *b, struct err *er)
{
	(void)b;
	buf_addz(out, "{}");
	return buf_check(out, er);
}

static void fake_free(struct llm_backend *b)
{
	(void)b;
}

static const struct llm_backend_ops fake_ops = { fake_room, fake_submit,   fake_step, fake_busy,
						 fake_key,  fake_describe, fake_free };

/* ---- asking ------------------------------------------------------------------------------------
 */

static char path[256];

static struct llm_backend *open_cache(struct fake *f, const char *name, int normalize, bool sampled)
{
	struct llm_backend *b = &f->b;
	struct llm_cache_opts o = { .file = path, .normalize = normalize, .sampled = sampled };

	f->b.ops = &fake_ops;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	if (llm_cached_new(&b, &o, &e))
		printf("# %s\n", e.text);
	return b;
}

/* All of them at once; how many hits there were, -1 for a wrong answer. */
static int ask(struct llm_backend *b, struct llm_ask *q, const char *const *texts, size_t n,
	       const char *params)
{
	int hits = 0, bad = 0;
	struct llm_ask *done;
	size_t n_done = 0;

	for (size_t i = 0; i < n; i++) {
		q[i] = (struct llm_ask){
			.kind = LLM_ASK_CHAT, .a = &arena, .text = str_of(texts[i]), .user = &q[i]
		};
		if (params)
			bad += json_parse(&q[i].params, str_of(params), &e);
		bad += llm_submit(b, &q[i], &e);
	}
	while (!bad && llm_busy(b)) {
		if (llm_step(&done, b, false, &e))
			return -1;
		if (!done)
			continue;
		n_done++;
		bad += done->user != done;
		if (done->err.code)
			continue;
		hits += str_find(done->call.cache, STR("\"hit\""), 0) < done->call.cache.n;
		bad += done->n != 2 || done->n_vector != 3 || !str_is(done->reply, "{\"x\":1}") ||
		       done->n_kept != 7 ||
		       !str_is(done->answers[1].logprobs, "{\"content\":[]}") ||
		       done->answers[0].logprobs.n || done->call.completion_tokens != 4 ||
		       !str_is(done->call.params, "{\"seed\":0}");
	}
	return bad || n_done != n ? -1 : hits;
}

/* How the call is written, without what may differ. */
static bool same_call(const struct llm_ask *a, const struct llm_ask *b)
{
	struct buf x, y;
	bool same;

	buf_init(&x, 10000);
	buf_init(&y, 10000);
	llm_call_put(&x, &a->call, NULL);
	llm_call_put(&y, &b->call, NULL);
	x.n = str_find(buf_str(&x), STR("\"timings\""), 0);
	y.n = str_find(buf_str(&y), STR("\"timings\""), 0);
	same = str_eq(buf_str(&x), buf_str(&y)) &&
	       str_find(buf_str(&x), STR("prompt_hash"), 0) < x.n;
	buf_release(&x);
	buf_release(&y);
	return same;
}

static void test_hits(void)
{
	static const char *const texts[] = { "one", "two", "one", "three", "one", "two" };
	struct fake f = { .log = -1 };
	struct llm_backend *b = open_cache(&f, "a.db", 0, false);
	struct llm_ask q[6], r[6];
	bool same = true;
	int hits = ask(b, q, texts, 6, NULL);

	OK(hits == 3 && f.asked == 3, "of six questions three are asked, the others wait for them");
	for (int i = 0; i < 6; i++)
		same &= str_is(q[i].answers[0].text, texts[i]);
	OK(same, "each gets its own answer");
	hits = ask(b, r, texts, 6, NULL);
	for (int i = 0; i < 6; i++)
		same &= str_is(r[i].answers[0].text, texts[i]) && same_call(&q[i], &r[i]) &&
			!memcmp(q[i].vector, r[i].vector, 3 * sizeof(float)) &&
			r[i].call.attempts == 0;
	OK(hits == 6 && f.asked == 3 && same, "then nothing is asked, and the same comes back");
	OK(!llm_cached_end(b, &(struct cli){ .quiet = true }, 0, &e), "written");
	llm_backend_free(b);
	b = open_cache(&f, "a.db", 0, false);
	OK(ask(b, r, texts, 6, NULL) == 6 && f.asked == 3 && same_call(&q[0], &r[0]),
	   "also from the file");
	OK(ask(b, r, texts, 6, "{\"temperature\":0}") == 3 && f.asked == 6,
	   "other parameters are another question");
	llm_backend_free(b);
}

static void test_errors(void)
{
	static const char *const texts[] = { "x", "x", "x", "y" }, *const other[] = { "z" };
	struct fake f = { .log = -1, .fail_next = 2 };
	struct llm_backend *b = open_cache(&f, "e.db", 0, false);
	struct llm_ask q[4];
	int hits = ask(b, q, texts, 4, NULL);

	/* y and the first x fail (the last is answered first); the second x is asked again, the
	 * third waits for it */
	OK(hits == 1 && f.asked == 3 && q[0].err.code == ERR_SERVER &&
		   q[3].err.code == ERR_SERVER && !q[1].err.code && !q[2].err.code,
	   "an error is for one alone");
	OK(ask(b, q, texts, 4, NULL) == 3 && f.asked == 4, "and is not kept");
	f.stand_in_next = 1;
	OK(ask(b, q, other, 1, NULL) == 0 && ask(b, q, other, 1, NULL) == 0 && f.asked == 6 &&
		   ask(b, q, other, 1, NULL) == 1,
	   "nor is what another model answered");
	llm_backend_free(b);
}

static void test_same(void)
{
	static const char *const texts[] = { "Free  \"software\"" },
				 *const near[] = { " Free \u201csoftware\u201d\n" },
				 *const lower[] = { "free 'software'" },
				 *const folded[] = { "free \"SOFTWARE\"" };
	struct fake f = { .log = -1 };
	struct llm_backend *b = open_cache(&f, "n.db", LLM_SAME_BLANKS, false);
	struct llm_ask q[1];

	OK(ask(b, q, texts, 1, NULL) == 0 && ask(b, q, texts, 1, NULL) == 1 &&
		   str_find(q->call.cache, STR("\"exact\""), 0) < q->call.cache.n,
	   "the same bytes");
	OK(ask(b, q, near, 1, NULL) == 1 &&
		   str_find(q->call.cache, STR("normalised"), 0) < q->call.cache.n,
	   "blanks and quotation marks");
	OK(ask(b, q, lower, 1, NULL) == 0, "no more than that");
	llm_backend_free(b);
	b = open_cache(&f, "n.db", LLM_SAME_CASE, false);
	OK(ask(b, q, texts, 1, NULL) == 0 && ask(b, q, folded, 1, NULL) == 1, "case");
	llm_backend_free(b);
	b = open_cache(&f, "n.db", LLM_SAME_BYTES, false);
	OK(ask(b, q, texts, 1, NULL) == 0 && ask(b, q, near, 1, NULL) == 0,
	   "none of it unless asked for");
	llm_backend_free(b);
}

static void test_random(void)
{
	static const char *const texts[] = { "dice" };
	struct fake f = { .log = -1, .service = "m" };
	struct llm_backend *b = open_cache(&f, "r.db", 0, false);
	struct llm_ask q[1];

	OK(ask(b, q, texts, 1, NULL) == 0 && ask(b, q, texts, 1, NULL) == 0 && f.asked == 2 &&
		   str_is(q->call.cache, "{\"status\":\"bypass\"}"),
	   "a service that draws is asked again");
	OK(ask(b, q, texts, 1, "{\"seed\":1}") == 0 && ask(b, q, texts, 1, "{\"seed\":1}") == 1,
	   "with a seed it is not");
	OK(ask(b, q, texts, 1, "{\"temperature\":0.0}") == 0 &&
		   ask(b, q, texts, 1, "{\"temperature\":0}") == 1,
	   "nor at temperature 0");
	OK(ask(b, q, texts, 1, "{\"temperature\":0.5}") == 0 &&
		   ask(b, q, texts, 1, "{\"temperature\":0.5}") == 0,
	   "0.5 is random");
	llm_backend_free(b);
	b = open_cache(&f, "r.db", 0, true);
	OK(ask(b, q, texts, 1, NULL) == 0 && ask(b, q, texts, 1, NULL) == 1,
	   "unless that is to be kept");
	llm_backend_free(b);
}

/* Two processes ask the same hundred questions, each in an order of its own. */
static void test_processes(void)
{
	static char names[100][8];
	const char *texts[100];
	struct llm_ask q[100];
	int fd[2], st, bad = pipe(fd), n = 0;
	char ch;

	for (int p = 0; p < 3; p++)
		if (fork() == 0) {
			struct fake f = { .log = fd[1], .slow_us = 500 };
			struct llm_backend *b = open_cache(&f, "p.db", 0, false);
			int hits = 0;

			for (int i = 0; i < 100; i++) {
				int k = (i * (p * 2 + 1) * 3) % 100;

				snprintf(names[i], sizeof names[i], "q%d", k);
				texts[i] = names[i];
			}
			for (int i = 0; i < 100 && hits >= 0; i += 25)
				hits = ask(b, q, texts + i, 25, NULL);
			_exit(hits < 0 || llm_cached_end(b, &(struct cli){ .quiet = true }, 0, &e));
		}
	while (wait(&st) > 0)
		bad += st != 0;
	close(fd[1]);
	while (read(fd[0], &ch, 1) == 1)
		n++;
	close(fd[0]);
	OK(!bad && n == 100, "three processes, a hundred questions, %d asked", n);
}

/* ---- keys, values ------------------------------------------------------------------------------
 */

static bool same_key(const char *a, const char *b)
{
	struct cached_key x, y;

	return !cached_key(&x, str_of(a), LLM_ASK_CHAT, LLM_SAME_BYTES, &arena, &e) &&
	       !cached_key(&y, str_of(b), LLM_ASK_CHAT, LLM_SAME_BYTES, &arena, &e) &&
	       !memcmp(x.find, y.find, sizeof x.find);
}

static void test_keys(void)
{
	static const char *const same[][2] = {
		{ "{\"a\":1,\"b\":[true,null]}", " { \"b\" : [ true , null ] , \"a\" : 1 } " },
		{ "{\"a\":1.0}", "{\"a\":1}" },
		{ "{\"a\":1e2}", "{\"a\":100.00}" },
		{ "{\"a\":-0}", "{\"a\":0}" },
		{ "{\"a\":\"\\u00e9\\/\"}", "{\"a\":\"\303\251/\"}" },
		{ "{\"a\":1,\"a\":2}", "{\"a\":2}" },
		{ "{\"\\u0061\":1}", "{\"a\":1}" },
	}, *const other[][2] = {
		{ "{\"seed\":9007199254740993}", "{\"seed\":9007199254740992}" },
		{ "{\"a\":\"1\"}", "{\"a\":1}" },
		{ "{\"a\":[1,2]}", "{\"a\":[2,1]}" },
		{ "{\"a\":{}}", "{\"a\":[]}" },
		{ "{\"a\":\"x y\"}", "{\"a\":\"x  y\"}" },
		{ "{\"a\":null}", "{}" },
		{ "{\"a\":0.1}", "{\"a\":0.10000000000000002}" },
		{ "{\"a\":\"b\",\"c\":\"\"}", "{\"a\":\"\",\"c\":\"b\"}" },
	};
	struct cached_key k;

	for (size_t i = 0; i < sizeof same / sizeof *same; i++)
		OK(same_key(same[i][0], same[i][1]), "%s", same[i][1]);
	for (size_t i = 0; i < sizeof other / sizeof *other; i++)
		OK(!same_key(other[i][0], other[i][1]), "not %s", other[i][1]);
	OK(cached_key(&k, STR("{\"model_digest\":\"\"}"), LLM_ASK_CHAT, LLM_SAME_BYTES, &arena, &e),
	   "a model of no digest is no model");
	OK(cached_key(&k, STR("{\"a\":\"\\ud800\"}"), LLM_ASK_CHAT, LLM_SAME_BYTES, &arena, &e),
	   "a lone surrogate is no question");
}

static void test_values(void)
{
	const uint8_t key[STORE_KEY_LEN] = { 1 };
	struct llm_ask q = { .a = &arena, .text = STR("text") }, r = { .a = &arena }, *done;
	struct fake f = { .log = -1 };
	bool exact;
	struct buf b;
	int bad = 0;

	buf_init(&b, 10000);
	fake_submit(&f.b, &q, &e);
	fake_step(&done, &f.b, false, &e);
	OK(!cached_pack(&b, &q, key, &e) && !cached_unpack(&r, &exact, buf_str(&b), key, &e) &&
		   exact,
	   "packed and unpacked");
	for (size_t n = 0; n < b.n; n++) {
		r = (struct llm_ask){ .a = &arena };
		bad += !cached_unpack(&r, &exact, (struct str){ b.p, n }, key, &e) ||
		       e.code != ERR_OPEN;
	}
	OK(!bad, "cut anywhere it is refused");
	for (size_t i = 0; i < b.n; i++) { /* may give other bytes, must not read past the end */
		b.p[i] ^= (char)0x81;
		r = (struct llm_ask){ .a = &arena };
		cached_unpack(&r, &exact, buf_str(&b), key, NULL);
		b.p[i] ^= (char)0x81;
	}
	buf_release(&b);
}

static void test_units(void)
{
	int64_t s = 0;
	uint64_t n = 0;

	OK(!llm_read_seconds(&s, "90", "x", &e) && s == 90 &&
		   !llm_read_seconds(&s, "2h", "x", &e) && s == 7200 &&
		   !llm_read_seconds(&s, "30d", "x", &e) && s == 2592000,
	   "times");
	OK(!llm_read_bytes(&n, "500M", "x", &e) && n == 500 << 20 &&
		   !llm_read_bytes(&n, "123", "x", &e) && n == 123,
	   "sizes");
	OK(llm_read_seconds(&s, "", "x", &e) && llm_read_seconds(&s, "d", "x", &e) &&
		   llm_read_seconds(&s, "0", "x", &e) && llm_read_seconds(&s, "-1s", "x", &e) &&
		   llm_read_bytes(&n, "9999999999999T", "x", &e) && e.code == ERR_USAGE,
	   "what is neither");
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	arena_init(&arena, (size_t)64 << 20);
	test_hits();
	test_errors();
	test_same();
	test_random();
	test_processes();
	test_keys();
	test_values();
	test_units();
	arena_release(&arena);
	snprintf(e.text, sizeof e.text, "rm -rf %s", dir);
	return system(e.text) ? 1 : tap_done();
}
