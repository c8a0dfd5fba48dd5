/* remote: asks to a service: bodies out through net, replies back into asks; texts to embed share a
 * request. */
#include "config.h"
#include "llm/remote_impl.h"
#include <math.h>

enum {
	BATCH_BYTES = 256 << 10, /* of texts in a request */
	IDEMPOTENCY = 32         /* hexadecimal digits of a key */
};

struct remote {
	struct llm_backend b;
	const struct llm_service *s;
	const struct llm_setup *setup;
	struct net *net;
	unsigned targets[NET_HOPS_MAX];
	unsigned batch;
	size_t n; /* asks that were not handed back */
	struct llm_ask *done, **last;
	struct llm_ask *pending, **last_pending;
	size_t n_pending, bytes; /* of texts to embed that are not sent yet */
	struct call *calls;      /* under way */
	struct call *spare;      /* to be used again, by `after` */
	struct buf params, question; /* scratch of put_body() */
	bool any_good;
};
/* A request under way: one ask, or some texts to embed. */
struct call {
	struct net_call net;
	struct remote *x;
	struct call *before, *after;
	struct llm_ask **asks, *one; /* [n]; of one it is &one */
	size_t n;
	struct buf bodies[NET_HOPS_MAX];
	struct str prompt, params; /* in the arena of the first ask */
	struct llm_stream *stream;
	char idempotency[IDEMPOTENCY + 1];
};

static void hand_back(struct remote *x, struct llm_ask *q)
{
	q->next = NULL;
	*x->last = q;
	x->last = &q->next;
}

/* ---- a request ----------------------------------------------------------------------------- */

static void call_free(struct call *c)
{
	if (c->before)
		c->before->after = c->after;
	else if (c->x->calls == c)
		c->x->calls = c->after;
	if (c->after)
		c->after->before = c->before;
	net_call_release(&c->net);
	for (unsigned i = 0; i < NET_HOPS_MAX; i++)
		buf_release(&c->bodies[i]);
	llm_stream_free(c->stream);
	if (c->asks != &c->one)
		free(c->asks);
	c->after = c->x->spare;
	c->x->spare = c;
}

/* A text to embed, which shares a request with others; a Batch line goes as it is. */
static bool is_text(const struct llm_ask *q)
{
	return q->kind == LLM_ASK_VECTOR && q->body.type != JSON_OBJECT;
}

static int on_event(void *arg, struct str event, struct str data, struct err *e)
{
	struct net_call *net = arg;

	(void)event;
	return llm_stream_event(((struct call *)net->user)->stream, data, e);
}

/* The model of a Batch line counts unless -m named one. */
static int put_model(struct json_w *w, const struct remote *x, const struct llm_ask *q,
		     unsigned hop, struct err *e)
{
	struct json_val own = json_get(q->body, "model");
	const char *model = x->s->hops[hop].model;

	json_w_key(w, "model");
	if (!hop && own.type == JSON_STRING && (!x->s->named || !model))
		json_w_raw(w, own.raw);
	else if (model)
		json_w_strz(w, model);
	else if (q->body.type == JSON_OBJECT) /* others of the Batch may name theirs */
		return err_set(e, ERR_MISSING_FIELD, "no model is named: -m NAME");
	else
		return err_set(e, ERR_USAGE, "no model is named: -m NAME");
	return 0;
}

/* What is in force, for the call: the head of a body, and what is done here with vectors. */
static int keep_params(struct call *c, const struct buf *head, struct err *e)
{
	const struct llm_setup *s = c->x->setup;
	struct buf b;
	struct json_w w = { &b, true };
	int rc;

	buf_init(&b, 4 * BUF_MAX_LINE);
	buf_adds(&b, buf_str(head));
	if (is_text(c->asks[0])) {
		json_w_key(&w, "prefix");
		json_w_str(&w, s->prefix);
		json_w_key(&w, "normalize");
		json_w_bool(&w, s->normalize);
	}
	buf_addc(&b, '}');
	rc = buf_check(&b, e);
	if (!rc) {
		c->params = arena_str(c->asks[0]->a, buf_str(&b));
		rc = c->params.p ? 0 : err_nomem(e);
	}
	buf_release(&b);
	return rc;
}

/* {model, parameters, question} for one hop. */
static int put_body(struct call *c, unsigned hop, struct err *e)
{
	struct remote *x = c->x;
	struct llm_ask *q = c->asks[0];
	struct buf *params = &x->params, *question = &x->question, *out = &c->bodies[hop];
	struct json_w w = json_w(out);
	int rc;

	buf_reset(params);
	buf_reset(question);
	rc = is_text(q) ? llm_request_texts(params, question, x->setup, c->asks, c->n, e)
			: llm_request_put(params, question, &c->prompt, x->setup, &x->s->hops[hop],
					  q, q->on_text != NULL, e);
	if (!rc) {
		json_w_begin(&w, '{');
		rc = put_model(&w, x, q, hop, e);
		buf_addz(out, params->n ? "," : "");
		buf_adds(out, buf_str(params));
		if (!rc && !hop)
			rc = keep_params(c, out, e);
		buf_addz(out, question->n ? "," : "");
		buf_adds(out, buf_str(question));
		buf_addc(out, '}');
		rc = rc || buf_check(out, e) ? -1 : 0;
	}
	return rc;
}

/* The same for the same record, request and texts, also in the run that goes on with a killed one.
 */
static void set_idempotency(struct call *c)
{
	struct hash_sha256 h;
	uint8_t digest[HASH_SHA256_LEN];

	hash_sha256_init(&h);
	hash_sha256_add(&h, c->bodies[0].p, c->bodies[0].n);
	for (size_t i = 0; i < c->n; i++) {
		hash_sha256_add(&h, "\n", 1);
		hash_sha256_add(&h, c->asks[i]->id.p, c->asks[i]->id.n);
	}
	hash_sha256_end(&h, digest);
	hash_hex(c->idempotency, digest, IDEMPOTENCY / 2);
	c->net.idempotency = c->idempotency;
}

static int set_hops(struct call *c, struct err *e)
{
	struct remote *x = c->x;
	struct json_val params;

	for (unsigned i = 0; i < x->s->n_hops; i++) {
		uint64_t prompt, bound, answer;

		buf_init(&c->bodies[i], 4 * BUF_MAX_LINE);
		if (put_body(c, i, e))
			return -1;
		if (json_parse(&params, c->params, e))
			return -1;
		llm_request_tokens(&prompt, &bound, &answer, c->asks[0], params, c->bodies[i].n);
		c->net.hops[i] = (struct net_hop){ .target = x->targets[i],
						   .body = buf_str(&c->bodies[i]),
						   .on = x->s->hops[i].on,
						   .tokens = prompt + answer };
	}
	c->net.n_hops = x->s->n_hops;
	return 0;
}

static int call_fill(struct call *c, struct err *e)
{
	struct llm_ask *q = c->asks[0];
	struct json_val trace = json_get(q->record, "traceparent");
	struct str s;

	if (llm_request_path(&c->net.path, q, e) || set_hops(c, e))
		return -1;
	set_idempotency(c);
	if (c->n == 1 && trace.type == JSON_STRING && !json_str(&s, trace, q->a, NULL) &&
	    s.n == 55 && !str_find(s, STR("00-"), 0))
		c->net.traceparent = arena_str(q->a, s).p;
	c->net.user = c;
	if (!q->on_text)
		return 0;
	c->net.on_event = on_event;
	return llm_stream_new(&c->stream, q, e);
}

/* A call of n asks, which it takes over; -1: not made, the asks are the caller's still. */
static int call_new(struct call **out, struct remote *x, struct llm_ask *const *asks, size_t n,
		    struct err *e)
{
	struct call *c = x->spare;

	*out = c;
	if (c)
		x->spare = c->after;
	else if (!(*out = c = malloc(sizeof *c)))
		return err_nomem(e);
	*c = (struct call){ .x = x, .n = n };
	c->asks = n == 1 ? &c->one : ckd_alloc(n, sizeof(struct llm_ask *));
	if (!c->asks) {
		free(c);
		return err_nomem(e);
	}
	memcpy(c->asks, asks, n * sizeof(struct llm_ask *));
	if (call_fill(c, e)) {
		call_free(c);
		return -1;
	}
	return 0;
}

/* Sends asks on their way; those that cannot be asked go back at once. -1 ends the run. */
static int send(struct remote *x, struct llm_ask *const *asks, size_t n, struct err *e)
{
	struct err fault = { 0 };
	struct call *c;

	if (call_new(&c, x, asks, n, &fault)) {
		if (fault.code == ERR_USAGE) { /* all others would fail the same way */
			*e = fault;
			return -1;
		}
		for (size_t i = 0; i < n; i++) {
			asks[i]->err = fault;
			hand_back(x, asks[i]);
		}
		return 0;
	}
	c->after = x->calls;
	if (x->calls)
		x->calls->before = c;
	x->calls = c;
	return net_submit(x->net, &c->net, e);
}

/* ---- a reply ------------------------------------------------------------------------------- */

static int set_call(struct call *c, struct llm_ask *q, struct err *e)
{
	static const char *const stages[] = { "generate", "generate", "embed", "rerank" };
	const struct net_call *n = &c->net;
	const struct llm_hop *h = &c->x->s->hops[n->hop];
	struct str id = arena_str(q->a, str_of(n->request_id));
	struct str params = q == c->asks[0] ? c->params : arena_str(q->a, c->params);

	if (!id.p || !params.p)
		return err_nomem(e);
	q->stand_in = n->hop > 0;
	q->call = (struct llm_call){
		.stage = stages[q->kind],
		.model = h->model ? h->model : "",
		.has_completion = q->kind <= LLM_ASK_COMPLETION,
		.params = params,
		.prompt = is_text(q) ? q->text : c->prompt,
		.provider = str_of(h->provider),
		.request_id = id,
		.attempts = n->attempts,
		.t_queued = n->t_submit,
		.t_start = n->t_start,
		.t_first = c->stream ? n->t_first : 0, /* else the first byte is the last one */
		.t_done = n->t_done,
	};
	return 0;
}

/* What the services do that cut a prompt and say nothing (ollama): they count after the cut. */
static int check_cut(const struct llm_ask *q, struct err *e)
{
	uint64_t n;

	if (q->messages.type != JSON_NONE || !q->call.prompt_tokens ||
	    json_u64(&n, json_get(q->record, "n_tokens"), NULL) || n < 64 ||
	    q->call.prompt_tokens >= n / 2)
		return 0;
	return err_set(e, ERR_CONTEXT_LENGTH,
		       "the service read %llu tokens of a prompt of %llu: it cut the text to its "
		       "context",
		       (unsigned long long)q->call.prompt_tokens, (unsigned long long)n);
}

/* A vector as it is wanted: of so many numbers, of length 1 (which nearly all are). */
static int check_vector(const struct remote *x, struct llm_ask *q, struct err *e)
{
	uint32_t want = q->dimensions ? q->dimensions : x->setup->dimensions;
	double sum = 0;

	if (want && q->n_vector != want)
		return err_set(e, ERR_DIMENSION_MISMATCH,
			       "the service gives %zu numbers, not the %u of `dimensions`",
			       q->n_vector, want);
	for (size_t i = 0; i < q->n_vector; i++)
		sum += (double)q->vector[i] * (double)q->vector[i];
	if (!x->setup->normalize || fabs(sum - 1) < 1e-5)
		return 0;
	return llm_unit(q->vector, q->n_vector, e);
}

static void read_vectors(struct call *c, struct json_val reply)
{
	struct err fault = { 0 };
	uint64_t whole = 0, before = 0;
	int rc = llm_reply_vectors(c->asks, c->n, reply, &fault);

	for (size_t i = 0; i < c->n; i++)
		whole += c->asks[i]->text.n + 1;
	for (size_t i = 0; i < c->n; i++) {
		struct llm_ask *q = c->asks[i];
		uint64_t part = q->text.n + 1;

		if (rc)
			q->err = fault;
		else if (!set_call(c, q, &q->err) &&
			 !llm_reply_call(q, reply, part, before, whole, &q->err) &&
			 !check_vector(c->x, q, &q->err))
			check_cut(q, &q->err);
		before += part;
	}
}

static int read_one(struct call *c, struct llm_ask *q, struct json_val reply, struct err *e)
{
	if (set_call(c, q, e) || llm_reply_call(q, reply, 1, 0, 1, e))
		return -1;
	if (q->kind == LLM_ASK_RERANK)
		return llm_reply_scores(q, reply, e);
	if (q->url.n) { /* a Batch line gets the reply as it is, whatever it is */
		q->reply = arena_str(q->a, reply.raw);
		if (!q->reply.p)
			return err_nomem(e);
		if (json_get(reply, "choices").type == JSON_NONE)
			return 0;
	}
	return llm_reply_read(q, reply, e) || check_cut(q, e) ? -1 : 0;
}

/* The parts of a stream, put together; also of one that broke off: what came is kept. */
static void read_stream(struct call *c, struct llm_ask *q)
{
	struct err fault = { 0 };
	struct json_val reply;
	struct buf b;

	buf_init(&b, NET_BODY_MAX);
	if (!llm_stream_reply(&b, c->stream, &fault) && !json_parse(&reply, buf_str(&b), &fault) &&
	    (!q->err.code || json_count(json_get(reply, "choices"))))
		read_one(c, q, reply, &fault);
	if (!q->err.code)
		q->err = fault;
	buf_release(&b);
}

/* Will every other call fail the same way? */
static bool is_fatal(const struct call *c, const struct llm_ask *q)
{
	switch ((int)q->err.code) {
	case ERR_API_KEY:
	case ERR_QUOTA:
	case ERR_CIRCUIT_OPEN:
		return true;
	case ERR_MODEL_NOT_FOUND:
		return q->body.type != JSON_OBJECT && !c->x->any_good;
	default:
		return c->net.hopeless && !c->x->any_good;
	}
}

/* Could one text of several be what the service refuses? */
static bool is_divisible(const struct call *c)
{
	return c->n > 1 &&
	       (c->net.err.code == ERR_INVALID_FIELD || c->net.err.code == ERR_CONTEXT_LENGTH ||
		c->net.err.code == ERR_BLOCKED);
}

static void fail_all(struct call *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct llm_ask *q = c->asks[i];

		q->err = c->net.err;
		q->attempts = c->net.attempts;
		q->status = c->net.status;
		q->fatal = is_fatal(c, q);
		if (c->stream)
			read_stream(c, q);
		else if (q->url.n && c->net.body.n)
			q->reply = arena_str(q->a, buf_str(&c->net.body));
	}
}

/* A call is over: its asks go back, or on in two halves. */
static int settle(struct call *c, struct err *e)
{
	struct remote *x = c->x;
	uint64_t used = 0;
	int rc = 0;

	if (c->net.err.code && is_divisible(c)) {
		rc = send(x, c->asks, c->n / 2, e) ||
		     send(x, c->asks + c->n / 2, c->n - c->n / 2, e);
		call_free(c);
		return rc ? -1 : 0;
	}
	if (c->net.err.code) {
		fail_all(c);
	} else {
		x->any_good = true;
		if (c->stream && c->net.json.type == JSON_NONE)
			read_stream(c, c->asks[0]);
		else if (is_text(c->asks[0]))
			read_vectors(c, c->net.json);
		else
			read_one(c, c->asks[0], c->net.json, &c->asks[0]->err);
	}
	for (size_t i = 0; i < c->n; i++) {
		used += c->asks[i]->call.prompt_tokens + c->asks[i]->call.completion_tokens;
		c->asks[i]->attempts = c->net.attempts;
		c->asks[i]->status = c->net.status;
		hand_back(x, c->asks[i]);
	}
	if (!c->net.err.code && used)
		rc = net_used(x->net, &c->net, used, e);
	call_free(c);
	return rc;
}

/* ---- the backend --------------------------------------------------------------------------- */

static size_t room(const struct llm_backend *b)
{
	const struct remote *x = (const struct remote *)b;

	/* texts that come back make room for as many at once, so that requests stay full */
	return x->n >= x->setup->jobs || (x->done && x->batch > 1) ? 0 : x->setup->jobs - x->n;
}

static int flush(struct remote *x, struct err *e)
{
	struct llm_ask **asks = ckd_alloc(x->n_pending + 1, sizeof(struct llm_ask *));
	size_t n = 0;
	int rc;

	if (!asks)
		return err_nomem(e);
	for (struct llm_ask *q = x->pending; q; q = q->next)
		asks[n++] = q;
	x->pending = NULL;
	x->last_pending = &x->pending;
	x->n_pending = x->bytes = 0;
	rc = n ? send(x, asks, n, e) : 0;
	free(asks);
	return rc;
}

static int submit(struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	struct remote *x = (struct remote *)b;

	x->n++;
	if (!is_text(q))
		return send(x, &q, 1, e);
	if (!q->text.n) { /* services refuse it, each in its own way */
		err_set(&q->err, ERR_INVALID_FIELD, "the text is empty: there is nothing to embed");
		hand_back(x, q);
		return 0;
	}
	/* all of a request are of one length */
	if (x->pending && x->pending->dimensions != q->dimensions && flush(x, e))
		return -1;
	q->next = NULL;
	*x->last_pending = q;
	x->last_pending = &q->next;
	x->bytes += q->text.n;
	x->n_pending++;
	return x->n_pending >= x->batch || x->bytes >= BATCH_BYTES ? flush(x, e) : 0;
}

static int step(struct llm_ask **done, struct llm_backend *b, bool more, struct err *e)
{
	struct remote *x = (struct remote *)b;
	struct net_call *c = NULL;

	if (!x->done && x->pending && flush(x, e))
		return -1;
	if (!x->done && (net_step(&c, x->net, more ? 10 : 1000, e) || (c && settle(c->user, e))))
		return -1;
	*done = x->done;
	if (*done) {
		x->done = (*done)->next;
		if (!x->done)
			x->last = &x->done;
		x->n--;
	}
	return 0;
}

static bool busy(const struct llm_backend *b)
{
	return ((const struct remote *)b)->n > 0;
}

static int key(struct buf *out, struct llm_backend *b, struct llm_ask *q, struct err *e)
{
	struct remote *x = (struct remote *)b;
	struct json_w w = json_w(out);
	struct llm_ask whole = *q, *one = &whole;
	struct call *c;

	whole.on_text = NULL; /* in pieces or at once: the same answer */
	if (call_new(&c, x, &one, 1, e))
		return -1;
	json_w_begin(&w, '{');
	json_w_key(&w, "base_url");
	json_w_strz(&w, x->s->hops[0].target.base_url);
	json_w_key(&w, "path");
	json_w_strz(&w, c->net.path);
	json_w_key(&w, "normalize");
	json_w_bool(&w, is_text(q) && x->setup->normalize);
	json_w_key(&w, "body");
	json_w_raw(&w, buf_str(&c->bodies[0]));
	json_w_end(&w, '}');
	call_free(c);
	return buf_check(out, e);
}

static int describe(struct buf *out, struct llm_backend *b, struct err *e)
{
	struct remote *x = (struct remote *)b;
	struct json_w w = json_w(out);

	json_w_begin(&w, '{');
	json_w_key(&w, "services");
	json_w_begin(&w, '[');
	for (unsigned i = 0; i < x->s->n_hops; i++) {
		json_w_strz(&w, x->s->hops[i].target.base_url);
		json_w_strz(&w, x->s->hops[i].model);
	}
	json_w_end(&w, ']');
	json_w_key(&w, "params");
	json_w_raw(&w, x->setup->params.type == JSON_NONE ? STR("null") : x->setup->params.raw);
	json_w_key(&w, "prefix");
	json_w_str(&w, x->setup->prefix.p ? x->setup->prefix : STR(""));
	json_w_key(&w, "dimensions");
	json_w_u64(&w, x->setup->dimensions);
	json_w_key(&w, "normalize");
	json_w_bool(&w, x->setup->normalize);
	json_w_end(&w, '}');
	return buf_check(out, e);
}

int llm_remote_preview(struct buf *request, struct buf *cost, uint64_t *tokens,
		       struct llm_backend *b, struct llm_ask *q, const struct price_book *book,
		       struct err *e)
{
	struct remote *x = (struct remote *)b;
	struct json_w w = json_w(request);
	struct json_val params;
	struct call *c;
	uint64_t bound, answer;
	int rc;

	if (call_new(&c, x, &q, 1, e))
		return -1;
	json_w_begin(&w, '{');
	json_w_key(&w, "method");
	json_w_strz(&w, "POST");
	json_w_key(&w, "url");
	buf_addf(request, "\"%s%s\"", x->s->hops[0].target.base_url, c->net.path);
	w.comma = true;
	json_w_key(&w, "body");
	json_w_raw(&w, buf_str(&c->bodies[0]));
	json_w_end(&w, '}');
	rc = buf_check(request, e) || json_parse(&params, c->params, e) ? -1 : 0;
	if (!rc) {
		llm_request_tokens(tokens, &bound, &answer, q, params, c->bodies[0].n);
		rc = llm_worst_cost(cost, book, &x->s->hops[0], json_get(params, "model"), bound,
				    q->kind > LLM_ASK_COMPLETION ? 0 : answer,
				    q->kind > LLM_ASK_COMPLETION || answer, q->a, e);
	}
	call_free(c);
	return rc;
}

static void remote_free(struct llm_backend *b)
{
	struct remote *x = (struct remote *)b;

	net_free(x->net);
	while (x->calls)
		call_free(x->calls);
	while (x->spare) {
		struct call *c = x->spare;

		x->spare = c->after;
		free(c);
	}
	buf_release(&x->params);
	buf_release(&x->question);
	free(x);
}

static const struct llm_backend_ops ops = { room, submit, step, busy, key, describe, remote_free };

int llm_remote_new(struct llm_backend **out, struct llm_service *s, const struct llm_setup *setup,
		   unsigned batch, struct err *e)
{
	struct remote *x = calloc(1, sizeof *x);

	if (!x)
		return err_nomem(e);
	x->b.ops = &ops;
	x->s = s;
	x->setup = setup;
	x->batch = batch;
	x->last = &x->done;
	x->last_pending = &x->pending;
	buf_init(&x->params, 2 * BUF_MAX_LINE);
	buf_init(&x->question, 4 * BUF_MAX_LINE);
	if (net_new(&x->net, &s->net, e)) {
		free(x);
		return -1;
	}
	for (unsigned i = 0; i < s->n_hops; i++)
		if (net_add_target(&x->targets[i], x->net, &s->hops[i].target, e)) {
			if (s->hops[i].url_from) {
				e->code = ERR_OPEN;
				err_wrap(e, "%s", s->hops[i].url_from);
			}
			remote_free(&x->b);
			return -1;
		}
	*out = &x->b;
	return 0;
}
