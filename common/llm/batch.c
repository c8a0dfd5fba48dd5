/* batch: what a line asks, what becomes of it. */
#include "config.h"
#include "llm/batch.h"
#include <sys/stat.h>
#include <unistd.h>

/* ---- lines in -------------------------------------------------------------------------------- */

static bool there(struct json_val v)
{
	return v.type != JSON_NONE && v.type != JSON_NULL;
}

/* vLLM takes any path that ends in these words, with or without a version. */
static enum llm_endpoint endpoint(struct str url)
{
	static const struct {
		const char *end;
		enum llm_endpoint is;
	} ends[] = {
		{ "/chat/completions", LLM_BATCH_CHAT }, { "/completions", LLM_BATCH_COMPLETION },
		{ "/embeddings", LLM_BATCH_EMBEDDINGS }, { "/score", LLM_BATCH_SCORE },
		{ "/rerank", LLM_BATCH_RERANK },
	};

	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
		if (str_ends(url, str_of(ends[i].end)))
			return ends[i].is;
	return LLM_BATCH_OTHER;
}

/* A line without url says it by its members. */
static struct str url_of(struct json_val body)
{
	static const char *const names[][2] = {
		{ "messages", "/v1/chat/completions" }, { "prompt", "/v1/completions" },
		{ "input", "/v1/embeddings" },          { "text_1", "/v1/score" },
		{ "documents", "/v1/rerank" },
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (there(json_get(body, names[i][0])))
			return str_of(names[i][1]);
	return STR("");
}

/* Is `name` the model that is open? It is looked up as -m would be, once. */
static int check_model(struct llm_batch *b, struct str name, struct arena *a, struct err *e)
{
	struct str z = arena_str(a, name);
	struct buf path;
	bool same;

	if (!z.p)
		return err_nomem(e);
	if (str_is(name, llm_name(b->l)) || (b->known.n && str_eq(buf_str(&b->known), name)))
		return 0;
	buf_init(&path, 1 << 16);
	same = z.n && !llm_find(&path, NULL, z.p, b->role, NULL) &&
	       os_same_file(path.p, gguf_path(llm_gguf(b->l)));
	buf_release(&path);
	if (!same)
		return err_set(e, ERR_MODEL_NOT_FOUND,
			       "body.model is %.*s, this run has %s: -m MODEL answers all lines "
			       "with one, --base-url asks "
			       "a service",
			       (int)(name.n < 80 ? name.n : 80), name.p, llm_name(b->l));
	buf_reset(&b->known);
	buf_adds(&b->known, name);
	return buf_check(&b->known, e);
}

static int check_line(const struct llm_ask *q, struct err *e)
{
	struct json_val method = json_get(q->record, "method"),
			stream = json_get(q->body, "stream");
	bool on = false;

	if (there(method) && !(method.type == JSON_STRING && str_is(method.raw, "\"POST\"")))
		return err_set(e, ERR_INVALID_FIELD, "`method` must be \"POST\"");
	if (!q->url.n)
		return err_set(e, ERR_MISSING_FIELD,
			       "no `url`, and a body that does not say what is asked");
	if (there(stream) && (json_bool(&on, stream, e) || on))
		return err_set(e, ERR_UNSUPPORTED, "body.stream: a line of a Batch has one answer");
	return 0;
}

int llm_batch_begin(enum llm_endpoint *out, struct llm_ask *q, struct llm_batch *b,
		    struct record *r, struct err *e)
{
	struct json_val body = record_batch(r), url, model;
	struct str name;

	*out = LLM_NO_BATCH;
	if (body.type != JSON_OBJECT)
		return 0;
	q->body = body;
	url = json_get(q->record, "url");
	if (!there(url))
		q->url = url_of(body);
	else if (json_str(&q->url, url, q->a, e))
		return err_wrap(e, "`url`");
	*out = endpoint(q->url);
	if (check_line(q, e))
		return -1;
	model = json_get(body, "model");
	if (!b->l || b->model || !there(model))
		return 0;
	return json_str(&name, model, q->a, e) ? err_wrap(e, "body.model")
					       : check_model(b, name, q->a, e);
}

/* ---- the first line -------------------------------------------------------------------------- */

#define PEEK ((size_t)4 << 20)

static int first_bytes(struct buf *out, const char *file, struct err *e)
{
	struct os_in *in;
	struct stat st;
	off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);
	struct str chunk;
	ssize_t n = 0;
	int rc = 0;

	if (file && strcmp(file, "-")) {
		if (stat(file, &st) || !S_ISREG(st.st_mode) || os_in_open(&in, file, NULL))
			return 0; /* the run itself says so, if that is wrong */
		while (out->n < PEEK && !memchr(out->p ? out->p : "", '\n', out->n) &&
		       !(rc = os_in_read(&chunk, NULL, in, true, NULL)) && chunk.n)
			buf_adds(out, chunk);
		os_in_close(in);
		return buf_check(out, e);
	}
	if (at < 0 || fstat(STDIN_FILENO, &st) || !S_ISREG(st.st_mode))
		return 0;
	if (!buf_grow(out, PEEK))
		return buf_check(out, e);
	n = pread(STDIN_FILENO, out->p, PEEK, at);
	buf_commit(out, n > 0 ? (size_t)n : 0);
	return 0;
}

/* A zero-terminated name in a, or NULL. */
static const char *first_model(struct str text, struct arena *a)
{
	struct json_val v, name;
	struct str s;
	size_t used;

	if (json_parse_prefix(&v, &used, text, NULL) || json_get(v, "custom_id").type == JSON_NONE)
		return NULL;
	name = json_get(json_get(v, "body"), "model");
	if (name.type != JSON_STRING || json_str(&s, name, a, NULL) || !s.n)
		return NULL;
	return arena_str(a, s).p;
}

int llm_batch_find(struct buf *path, struct buf *how, const char *name, enum llm_role role,
		   const char *const *files, size_t n_files, struct err *e)
{
	const char *first = NULL;
	struct arena a;
	struct buf b;
	int rc = -1;

	buf_init(&b, 2 * PEEK + (1 << 20));
	arena_init(&a, 1 << 20);
	if (!name && !first_bytes(&b, n_files ? files[0] : NULL, NULL))
		first = first_model(buf_str(&b), &a);
	if (first && !(rc = llm_find(path, NULL, first, role, NULL))) {
		buf_reset(how);
		buf_addz(how, "the first line's body.model");
	} else {
		buf_reset(path);
		rc = llm_find(path, how, name, role, e);
	}
	arena_release(&a);
	buf_release(&b);
	return rc;
}

/* ---- texts to embed -------------------------------------------------------------------------- */

static int input_ids(struct llm_inputs *out, size_t i, struct json_val v, struct arena *a,
		     struct err *e)
{
	if (json_i32s(&out->ids[i], &out->n_ids[i], v, a, e))
		return err_wrap(e, "input");
	return out->n_ids[i] ? 0 : err_set(e, ERR_INVALID_FIELD, "input: a text without tokens");
}

int llm_batch_inputs(struct llm_inputs *out, struct json_val input, struct arena *a, struct err *e)
{
	struct json_iter it = json_elements(input);
	struct json_val v = input;
	bool list = input.type == JSON_ARRAY && json_next(&v, &it), ids = v.type == JSON_NUMBER,
	     many = list && !ids;
	size_t n = many ? json_count(input) : 1;
	struct str *texts;

	*out = (struct llm_inputs){ .n = n };
	if (v.type != JSON_STRING && v.type != JSON_NUMBER && !(many && v.type == JSON_ARRAY))
		return err_set(e, there(input) ? ERR_INVALID_FIELD : ERR_MISSING_FIELD,
			       "`input` must be a text, texts, token ids or lists of these");
	if (n > LLM_BATCH_INPUTS)
		return err_set(e, ERR_INVALID_FIELD,
			       "`input` has %zu texts, at most %d go into one line", n,
			       LLM_BATCH_INPUTS);
	if (v.type == JSON_STRING) {
		out->texts = texts = arena_alloc(a, n * sizeof *texts);
		it = json_elements(input);
		for (size_t i = 0; texts && i < n; i++)
			if ((many && !json_next(&v, &it)) || json_str(&texts[i], v, a, e))
				return err_wrap(e, "input");
		return texts ? 0 : err_nomem(e);
	}
	out->ids = arena_alloc(a, n * sizeof *out->ids);
	out->n_ids = arena_alloc(a, n * sizeof *out->n_ids);
	if (!out->ids || !out->n_ids)
		return err_nomem(e);
	if (!many)
		return input_ids(out, 0, input, a, e);
	it = json_elements(input);
	for (size_t i = 0; json_next(&v, &it); i++)
		if (input_ids(out, i, v, a, e))
			return -1;
	return 0;
}

/* ---- lines out ------------------------------------------------------------------------------- */

void llm_batch_name(char out[LLM_BATCH_NAME], const char *prefix, const struct llm_ask *q)
{
	struct str id = json_get(q->record, "custom_id").raw;
	uint64_t h = hash64(id.p, id.n, hash64(q->body.raw.p, q->body.raw.n, 0));

	snprintf(out, LLM_BATCH_NAME, "%s%016llx", prefix, (unsigned long long)h);
}

static void put_name(struct json_w *w, const char *key, const char *prefix, const struct llm_ask *q)
{
	char name[LLM_BATCH_NAME];

	llm_batch_name(name, prefix, q);
	json_w_key(w, key);
	json_w_strz(w, name);
}

static void put_response(struct json_w *w, const struct llm_ask *q, int status, struct str body)
{
	json_w_begin(w, '{');
	json_w_key(w, "status_code");
	json_w_i64(w, status);
	if (q->call.request_id.n) {
		json_w_key(w, "request_id");
		json_w_str(w, q->call.request_id);
	} else {
		put_name(w, "request_id", "req_", q);
	}
	json_w_key(w, "body");
	json_w_raw(w, body);
	json_w_end(w, '}');
}

int llm_batch_end(struct record *r, const struct llm_ask *q, struct str body, struct err *e)
{
	struct buf b;
	struct json_w w = json_w(&b);
	int rc;

	buf_init(&b, BUF_MAX_LINE);
	json_w_begin(&w, '{');
	put_name(&w, "id", "batch_req_", q);
	json_w_key(&w, "custom_id");
	json_w_raw(&w, json_get(q->record, "custom_id").raw);
	json_w_key(&w, "response");
	put_response(&w, q, q->status ? q->status : 200, q->reply.n ? q->reply : body);
	json_w_key(&w, "error");
	json_w_null(&w);
	json_w_key(&w, "calls");
	json_w_begin(&w, '[');
	rc = llm_call_put(&b, &q->call, e);
	json_w_end(&w, ']');
	json_w_end(&w, '}');
	rc = rc || buf_check(&b, e) || record_emit(r, buf_str(&b), e);
	buf_release(&b);
	return rc ? -1 : 0;
}

/* What a service would have answered; 0: it never came to an answer. */
static int status_of(enum err_code code)
{
	switch (code) {
	case ERR_API_KEY:
		return 401;
	case ERR_MODEL_NOT_FOUND:
		return 404;
	case ERR_RATE_LIMIT:
	case ERR_QUOTA:
		return 429;
	case ERR_SERVER:
	case ERR_MODEL_FAULT:
		return 500;
	case ERR_TIMEOUT:
	case ERR_CIRCUIT_OPEN:
	case ERR_BUDGET_EXCEEDED:
		return 0;
	default:
		return 400;
	}
}

int llm_batch_fail(struct record *r, const struct llm_ask *q, struct err *e)
{
	int status = q->status >= 400 ? q->status : status_of(q->err.code);
	struct json_val own;
	struct buf b, body;
	struct json_w w = json_w(&body), x = json_w(&b);
	char name[LLM_BATCH_NAME];
	int rc;

	if (q->body.type != JSON_OBJECT)
		return 0;
	llm_batch_name(name, "batch_req_", q);
	if (record_set_str(r, "id", str_of(name), e))
		return -1;
	if (!status)
		return 0;
	buf_init(&b, BUF_MAX_LINE);
	buf_init(&body, 1 << 16);
	json_w_begin(&w, '{');
	json_w_key(&w, "error");
	json_w_begin(&w, '{');
	json_w_key(&w, "message");
	json_w_strz(&w, q->err.text);
	json_w_key(&w, "type");
	json_w_strz(&w, status < 500 ? "invalid_request_error" : "server_error");
	json_w_key(&w, "param");
	json_w_null(&w);
	json_w_key(&w, "code");
	json_w_strz(&w, err_name(q->err.code));
	json_w_end(&w, '}');
	json_w_end(&w, '}');
	put_response(&x, q, status,
		     q->reply.n && !json_parse(&own, q->reply, NULL) ? own.raw : buf_str(&body));
	rc = buf_check(&body, e) || buf_check(&b, e) ||
	     record_set_raw(r, "response", buf_str(&b), e);
	buf_release(&b);
	buf_release(&body);
	return rc ? -1 : 0;
}
