/* cached_pack: an answer as bytes. Strings with their length, numbers of 8 bytes, little-endian; a
 * NUL behind each string. */
#include "config.h"
#include "llm/cached_impl.h"
#include <endian.h>

static void put_u64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_add(b, &v, sizeof v);
}

static void put_str(struct buf *b, struct str s)
{
	put_u64(b, s.n);
	buf_adds(b, s);
	buf_addc(b, 0);
}

static void put_floats(struct buf *b, const float *v, size_t n)
{
	put_u64(b, n);
	for (size_t i = 0; i < n; i++) {
		uint32_t x;

		memcpy(&x, &v[i], sizeof x);
		x = htole32(x);
		buf_add(b, &x, sizeof x);
	}
}

static struct str str_or(const char *z)
{
	return z ? str_of(z) : STR("");
}

int cached_pack(struct buf *out, const struct llm_ask *q, const uint8_t exact[STORE_KEY_LEN],
		struct err *e)
{
	const struct llm_call *c = &q->call;
	uint8_t hash[HASH_SHA256_LEN];

	buf_reset(out);
	buf_add(out, exact, STORE_KEY_LEN);
	/* not the prompt: it may be nobody's business */
	hash_sha256(hash, c->prompt.p, c->prompt.n);
	put_str(out, (struct str){ (const char *)hash, c->prompt.n ? sizeof hash : 0 });
	put_str(out, str_or(c->stage));
	put_str(out, str_or(c->model));
	put_str(out, str_or(c->digest));
	put_str(out, c->params);
	put_str(out, c->usage);
	put_str(out, c->provider);
	put_str(out, q->reply);
	put_u64(out, c->prompt_tokens);
	put_u64(out, c->completion_tokens);
	put_u64(out, c->cached_tokens);
	put_u64(out, c->has_completion);
	put_u64(out, (uint64_t)q->n_whole);
	put_u64(out, (uint64_t)q->n_kept);
	put_u64(out, (uint64_t)q->status);
	put_u64(out, q->n);
	for (uint32_t i = 0; i < q->n; i++) {
		put_str(out, q->answers[i].text);
		put_str(out, q->answers[i].finish);
		put_str(out, q->answers[i].logprobs);
		put_str(out, q->answers[i].tool_calls);
		put_str(out, q->answers[i].refusal);
	}
	put_floats(out, q->vector, q->n_vector);
	put_floats(out, q->scores, q->scores ? q->n_docs : 0);
	return buf_check(out, e);
}

/* ---- back ------------------------------------------------------------------------------------ */

struct cursor {
	struct str rest;
	bool bad, nomem;
};

static uint64_t get_u64(struct cursor *c)
{
	uint64_t v;

	if (c->rest.n < sizeof v) {
		c->bad = true;
		return 0;
	}
	memcpy(&v, c->rest.p, sizeof v);
	c->rest = str_sub(c->rest, sizeof v, c->rest.n);
	return le64toh(v);
}

static struct str get_str(struct cursor *c)
{
	uint64_t n = get_u64(c);
	struct str s = { c->rest.p, (size_t)n };

	if (c->rest.n < 1 || n > c->rest.n - 1) {
		c->bad = true;
		return STR("");
	}
	c->rest = str_sub(c->rest, s.n + 1, c->rest.n);
	return s;
}

static float *get_floats(size_t *n, struct cursor *c, struct arena *a)
{
	uint64_t count = get_u64(c);
	float *v;

	*n = 0;
	if (!count || count > c->rest.n / 4) {
		c->bad |= count > 0;
		return NULL;
	}
	v = arena_alloc(a, (size_t)count * sizeof *v);
	for (size_t i = 0; v && i < count; i++) {
		uint32_t x;

		memcpy(&x, c->rest.p + 4 * i, sizeof x);
		x = le32toh(x);
		memcpy(&v[i], &x, sizeof x);
	}
	c->rest = str_sub(c->rest, (size_t)count * 4, c->rest.n);
	c->nomem |= !v;
	*n = v ? (size_t)count : 0;
	return v;
}

static void get_call(struct llm_call *call, struct str *reply, struct cursor *c)
{
	struct str hash = get_str(c);

	call->prompt_sha256 = hash.n == HASH_SHA256_LEN ? (const uint8_t *)hash.p : NULL;
	call->stage = get_str(c).p;
	call->model = get_str(c).p;
	call->digest = get_str(c).p;
	call->params = get_str(c);
	call->usage = get_str(c);
	call->provider = get_str(c);
	*reply = get_str(c);
	call->prompt_tokens = get_u64(c);
	call->completion_tokens = get_u64(c);
	call->cached_tokens = get_u64(c);
	call->has_completion = get_u64(c) != 0;
}

static void get_answers(struct llm_ask *q, struct cursor *c)
{
	uint64_t n = get_u64(c);

	if (c->bad || n > LLM_MAX_SAMPLES) {
		c->bad = true;
		return;
	}
	q->answers = arena_alloc(q->a, (size_t)(n ? n : 1) * sizeof *q->answers);
	c->nomem |= !q->answers;
	for (q->n = 0; q->answers && q->n < n; q->n++) {
		struct llm_answer *a = &q->answers[q->n];

		a->text = get_str(c);
		a->finish = get_str(c);
		a->logprobs = get_str(c);
		a->tool_calls = get_str(c);
		a->refusal = get_str(c);
	}
}

/* Is there what the caller will look at? */
static bool answers(const struct llm_ask *q, size_t n_scores)
{
	if (q->kind == LLM_ASK_RERANK)
		return n_scores == q->n_docs;
	return q->reply.n || (q->kind == LLM_ASK_VECTOR ? q->n_vector : q->n);
}

int cached_unpack(struct llm_ask *q, bool *is_exact, struct str value,
		  const uint8_t exact[STORE_KEY_LEN], struct err *e)
{
	struct str copy = arena_str(q->a, value);
	struct cursor c = { copy, copy.n < STORE_KEY_LEN, !copy.p };
	size_t n_scores = 0;

	if (!c.bad && !c.nomem) {
		*is_exact = !memcmp(copy.p, exact, STORE_KEY_LEN);
		c.rest = str_sub(copy, STORE_KEY_LEN, copy.n);
		get_call(&q->call, &q->reply, &c);
		q->n_whole = (int32_t)get_u64(&c);
		q->n_kept = (int32_t)get_u64(&c);
		q->status = (int)get_u64(&c);
		get_answers(q, &c);
		q->vector = get_floats(&q->n_vector, &c, q->a);
		q->scores = get_floats(&n_scores, &c, q->a);
	}
	if (c.nomem)
		return err_nomem(e);
	if (c.bad || c.rest.n || !answers(q, n_scores))
		return err_set(e, ERR_OPEN,
			       "the cache holds an answer that cannot be read: remove it, or give "
			       "another --cache FILE");
	return 0;
}
