/* fault_body: what a service says that works. */
#include "config.h"
#include "fault_impl.h"
#include "base/banned.h"

#define CREATED STR("1700000000")
#define DIMS_MAX 4096

struct job {
	struct buf *out;
	struct json_w w;
	struct json_val rq;
	struct arena *a;
	struct str chat, text;
	bool completion; /* /completions, not /chat/completions */
};

static struct str member_str(struct json_val o, const char *name, struct arena *a)
{
	struct str s = { "", 0 };

	json_str(&s, json_get(o, name), a, NULL);
	return s;
}

static int64_t member_i64(struct json_val o, const char *name, int64_t other)
{
	int64_t v;

	return json_i64(&v, json_get(o, name), NULL) ? other : v;
}

/* The next word of s, with the blanks before it; empty at the end. */
static struct str next_word(struct str *s)
{
	size_t i = 0;
	struct str w;

	while (i < s->n && s->p[i] == ' ')
		i++;
	while (i < s->n && s->p[i] != ' ')
		i++;
	w = str_sub(*s, 0, i);
	*s = str_sub(*s, i, s->n);
	return w;
}

static uint64_t count_words(struct str s)
{
	uint64_t n = 0;

	while (next_word(&s).n)
		n++;
	return n;
}

/* A string, the first element of an array, or the text of the last part. */
static struct str any_text(struct json_val v, struct arena *a)
{
	struct str s = { "", 0 }, t;
	struct json_iter it;
	struct json_val x;

	if (v.type == JSON_STRING) {
		json_str(&s, v, a, NULL);
		return s;
	}
	it = json_elements(v);
	while (json_next(&x, &it)) {
		if (x.type == JSON_STRING)
			return any_text(x, a);
		t = member_str(x, "text", a);
		if (t.n)
			s = t;
	}
	return s;
}

struct str fault_text(struct json_val rq, struct arena *a)
{
	static const char *const names[] = { "prompt", "input", "query" };
	struct json_iter it = json_elements(json_get(rq, "messages"));
	struct json_val v, last = { .type = JSON_NONE };

	while (json_next(&v, &it))
		if (str_is(json_get(v, "role").raw, "\"user\""))
			last = v;
	if (last.type)
		return any_text(json_get(last, "content"), a);
	for (size_t i = 0; i < 3; i++)
		if (json_get(rq, names[i]).type)
			return any_text(json_get(rq, names[i]), a);
	return (struct str){ "", 0 };
}

static void usage(struct job *j, uint64_t in, uint64_t out)
{
	json_w_key(&j->w, "usage");
	json_w_begin(&j->w, '{');
	json_w_key(&j->w, "prompt_tokens");
	json_w_u64(&j->w, in);
	json_w_key(&j->w, "completion_tokens");
	json_w_u64(&j->w, out);
	json_w_key(&j->w, "total_tokens");
	json_w_u64(&j->w, in + out);
	json_w_end(&j->w, '}');
}

static void begin(struct job *j, const char *object)
{
	char id[32];

	snprintf(id, sizeof id, "id-%016llx", (unsigned long long)hash64(j->rq.raw.p, j->rq.raw.n, 0));
	j->w = json_w(j->out);
	json_w_begin(&j->w, '{');
	json_w_key(&j->w, "id");
	json_w_strz(&j->w, id);
	json_w_key(&j->w, "object");
	json_w_strz(&j->w, object);
	json_w_key(&j->w, "created");
	json_w_raw(&j->w, CREATED);
	json_w_key(&j->w, "model");
	json_w_str(&j->w, member_str(j->rq, "model", j->a));
}

/* What the model says, cut at max_tokens words. */
static struct str says(struct job *j, const char **finish, uint64_t *words)
{
	struct str s = j->chat, rest;
	int64_t max = member_i64(j->rq, "max_tokens", member_i64(j->rq, "max_completion_tokens", INT64_MAX));
	char *echo = s.p ? NULL : arena_alloc(j->a, j->text.n + 6);

	if (echo) {
		memcpy(echo, "echo: ", 6);
		memcpy(echo + 6, j->text.p, j->text.n);
		s = (struct str){ echo, j->text.n + 6 };
	}
	*finish = "stop";
	rest = s;
	for (*words = 0; rest.n; ++*words) {
		if ((int64_t)*words == max) {
			*finish = "length";
			return str_sub(s, 0, s.n - rest.n);
		}
		next_word(&rest);
	}
	return s;
}

static void choice(struct job *j, int64_t index, const char *in, struct str text, bool role, const char *finish)
{
	json_w_begin(&j->w, '{');
	json_w_key(&j->w, "index");
	json_w_i64(&j->w, index);
	if (j->completion) {
		json_w_key(&j->w, "text");
		json_w_str(&j->w, text);
	} else {
		json_w_key(&j->w, in);
		json_w_begin(&j->w, '{');
		if (role) {
			json_w_key(&j->w, "role");
			json_w_strz(&j->w, "assistant");
		}
		if (text.p) {
			json_w_key(&j->w, "content");
			json_w_str(&j->w, text);
		}
		json_w_end(&j->w, '}');
	}
	json_w_key(&j->w, "finish_reason");
	json_w_strz(&j->w, finish);
	json_w_end(&j->w, '}');
}

static void event(struct job *j, int64_t index, struct str text, bool role, const char *finish)
{
	buf_addz(j->out, "data: ");
	begin(j, j->completion ? "text_completion" : "chat.completion.chunk");
	json_w_key(&j->w, "choices");
	json_w_begin(&j->w, '[');
	choice(j, index, "delta", text, role, finish);
	json_w_end(&j->w, ']');
	json_w_end(&j->w, '}');
	buf_addz(j->out, "\n\n");
}

static int generate(struct job *j)
{
	int64_t n = member_i64(j->rq, "n", 1);
	const char *finish;
	uint64_t words, in = count_words(j->text);
	struct str text = says(j, &finish, &words);
	bool stream = json_get(j->rq, "stream").type == JSON_TRUE;

	if (stream) {
		for (int64_t i = 0; i < n; i++) {
			struct str rest = text;

			if (!j->completion)
				event(j, i, STR(""), true, NULL);
			while (rest.n)
				event(j, i, next_word(&rest), false, NULL);
			event(j, i, j->completion ? STR("") : (struct str){ NULL, 0 }, false, finish);
		}
		if (json_get(json_get(j->rq, "stream_options"), "include_usage").type == JSON_TRUE) {
			buf_addz(j->out, "data: ");
			begin(j, "chat.completion.chunk");
			json_w_key(&j->w, "choices");
			json_w_raw(&j->w, STR("[]"));
			usage(j, in, words * (uint64_t)n);
			json_w_end(&j->w, '}');
			buf_addz(j->out, "\n\n");
		}
		buf_addz(j->out, "data: [DONE]\n\n");
		return 200;
	}
	begin(j, j->completion ? "text_completion" : "chat.completion");
	json_w_key(&j->w, "choices");
	json_w_begin(&j->w, '[');
	for (int64_t i = 0; i < n; i++)
		choice(j, i, "message", text, true, finish);
	json_w_end(&j->w, ']');
	usage(j, in, words * (uint64_t)n);
	json_w_end(&j->w, '}');
	return 200;
}

static void vector(struct job *j, uint64_t index, struct str text)
{
	int64_t dims = member_i64(j->rq, "dimensions", 8);
	struct rng r = { .key = hash64(text.p, text.n, 1) };
	float v[DIMS_MAX];

	dims = dims < 1 ? 1 : dims > DIMS_MAX ? DIMS_MAX : dims;
	for (int64_t i = 0; i < dims; i++)
		v[i] = (float)(2 * rng_f64(&r) - 1);
	json_w_begin(&j->w, '{');
	json_w_key(&j->w, "object");
	json_w_strz(&j->w, "embedding");
	json_w_key(&j->w, "index");
	json_w_u64(&j->w, index);
	json_w_key(&j->w, "embedding");
	if (str_is(json_get(j->rq, "encoding_format").raw, "\"base64\""))
		json_w_f32_base64(&j->w, v, (size_t)dims);
	else
		json_w_f32_array(&j->w, v, (size_t)dims);
	json_w_end(&j->w, '}');
}

static int embed(struct job *j)
{
	struct json_val input = json_get(j->rq, "input"), v;
	struct json_iter it = json_elements(input);
	uint64_t n = 0, words = 0;
	struct str s;

	j->w = json_w(j->out);
	json_w_begin(&j->w, '{');
	json_w_key(&j->w, "object");
	json_w_strz(&j->w, "list");
	json_w_key(&j->w, "model");
	json_w_str(&j->w, member_str(j->rq, "model", j->a));
	json_w_key(&j->w, "data");
	json_w_begin(&j->w, '[');
	if (input.type == JSON_STRING) {
		words = count_words(j->text);
		vector(j, 0, j->text);
	}
	while (json_next(&v, &it)) {
		s = any_text(v, j->a);
		words += count_words(s);
		vector(j, n++, s);
	}
	json_w_end(&j->w, ']');
	usage(j, words, 0);
	json_w_end(&j->w, '}');
	return 200;
}

static int rerank(struct job *j)
{
	struct json_iter it = json_elements(json_get(j->rq, "documents"));
	uint64_t n = 0, words = count_words(j->text);
	struct json_val v;

	j->w = json_w(j->out);
	json_w_begin(&j->w, '{');
	json_w_key(&j->w, "model");
	json_w_str(&j->w, member_str(j->rq, "model", j->a));
	json_w_key(&j->w, "results");
	json_w_begin(&j->w, '[');
	while (json_next(&v, &it)) {
		struct str doc = v.type == JSON_STRING ? any_text(v, j->a) : member_str(v, "text", j->a), rest = j->text, w;
		uint64_t found = 0;

		while ((w = str_trim(next_word(&rest))).n)
			found += str_find(doc, w, 0) < doc.n;
		json_w_begin(&j->w, '{');
		json_w_key(&j->w, "index");
		json_w_u64(&j->w, n++);
		json_w_key(&j->w, "relevance_score");
		json_w_f64(&j->w, words ? (double)found / (double)words : 0);
		json_w_end(&j->w, '}');
	}
	json_w_end(&j->w, ']');
	usage(j, words, 0);
	json_w_end(&j->w, '}');
	return 200;
}

int fault_body(struct buf *out, bool *stream, const struct fault_request *r, struct str chat, struct arena *a)
{
	struct job j = { .out = out, .a = a, .chat = chat };

	*stream = false;
	if (str_ends(r->path, STR("/models"))) {
		buf_addz(out, "{\"object\":\"list\",\"data\":[{\"id\":\"planned\",\"object\":\"model\",\"owned_by\":\"tests\"}]}");
		return 200;
	}
	if (json_parse(&j.rq, r->body, NULL) || j.rq.type != JSON_OBJECT) {
		buf_addz(out, "{\"error\":{\"message\":\"the body is no JSON object\",\"type\":\"invalid_request_error\",\"code\":null}}");
		return 400;
	}
	j.text = fault_text(j.rq, a);
	if (str_ends(r->path, STR("/embeddings")))
		return embed(&j);
	if (str_ends(r->path, STR("/rerank")))
		return rerank(&j);
	if (!str_ends(r->path, STR("/completions"))) {
		buf_addz(out, "{\"error\":{\"message\":\"no such route\",\"type\":\"invalid_request_error\",\"code\":null}}");
		return 404;
	}
	j.completion = !str_ends(r->path, STR("/chat/completions"));
	*stream = json_get(j.rq, "stream").type == JSON_TRUE;
	return generate(&j);
}
