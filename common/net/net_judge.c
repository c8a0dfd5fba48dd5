/* net_judge: what an answer means for the record, the retry and the breaker. */
#include "config.h"
#include "net/net_impl.h"
#include "base/banned.h"

/* The error object of an answer: OpenAI's and Anthropic's {"error":{code,type,message}}, or {"error":"text"}. */
struct said {
	struct str code, type, message;
};

static struct str member(struct json_val obj, const char *name, struct arena *a)
{
	struct json_val v = json_get(obj, name);
	struct str s = { "", 0 };

	if (v.type == JSON_STRING)
		json_str(&s, v, a, NULL);
	else if (v.type == JSON_NUMBER)
		s = v.raw;
	return s;
}

static struct said read_said(struct json_val body, struct arena *a)
{
	struct said s = { 0 };
	struct json_val err;

	if (body.type == JSON_ARRAY) { /* Gemini wraps it */
		struct json_iter it = json_iter(body);

		if (!json_next(&body, &it))
			return s;
	}
	err = json_get(body, "error");
	if (err.type == JSON_STRING) {
		json_str(&s.message, err, a, NULL);
		return s;
	}
	if (err.type != JSON_OBJECT)
		err = body;
	s.code = member(err, "code", a);
	s.type = member(err, "type", a);
	s.message = member(err, "message", a);
	if (!s.message.n)
		s.message = member(err, "detail", a);
	return s;
}

static bool is_any(const struct said *s, const char *const *names)
{
	for (; *names; names++)
		if (str_is(s->code, *names) || str_is(s->type, *names))
			return true;
	return false;
}

static bool mentions(struct str text, const char *const *phrases)
{
	for (; *phrases; phrases++)
		if (str_find(text, str_of(*phrases), 0) < text.n)
			return true;
	return false;
}

static const char *const quota_names[] = { "insufficient_quota", "billing_hard_limit_reached", "billing_not_active",
					   "billing_error", NULL };
static const char *const context_names[] = { "context_length_exceeded", "exceed_context_size_error",
					     "string_above_max_length", NULL };
static const char *const context_words[] = { "maximum context length", "context length", "context window",
					     "context size", "prompt is too long", "too many tokens", NULL };
static const char *const content_names[] = { "content_filter", "content_policy_violation", NULL };
static const char *const model_names[] = { "model_not_found", "not_found_error", NULL };

static enum err_code code_of(int status, const struct said *s)
{
	if (is_any(s, quota_names) || status == 402)
		return ERR_QUOTA;
	if (status == 401 || status == 403)
		return ERR_API_KEY;
	if (status == 429)
		return ERR_RATE_LIMIT;
	if (status == 408)
		return ERR_TIMEOUT;
	if (status == 501) /* not implemented: asking again does not help */
		return ERR_UNSUPPORTED;
	if (status >= 500 || status < 400)
		return ERR_SERVER;
	if (is_any(s, context_names) || ((status == 400 || status == 413 || status == 422) &&
					 mentions(s->message, context_words)))
		return ERR_CONTEXT_LENGTH;
	if (is_any(s, content_names))
		return ERR_BLOCKED;
	if (status == 404)
		return ERR_MODEL_NOT_FOUND;
	if (is_any(s, model_names))
		return ERR_MODEL_NOT_FOUND;
	return ERR_INVALID_FIELD;
}

static void verdict(struct net_verdict *v, enum err_code code)
{
	*v = (struct net_verdict){ .breaker = NET_NEITHER };
	switch ((int)code) {
	case ERR_SERVER:
	case ERR_TIMEOUT:
		v->cause = code == ERR_SERVER ? NET_ON_ERROR : NET_ON_TIMEOUT;
		break;
	case ERR_RATE_LIMIT:
		v->cause = NET_ON_LIMIT;
		break;
	case ERR_UNSUPPORTED:
		v->cause = NET_ON_ERROR;
		return;
	case ERR_QUOTA:
		v->cause = NET_ON_LIMIT;
		return;
	case ERR_CONTEXT_LENGTH:
		v->cause = NET_ON_CONTEXT;
		return;
	case ERR_BLOCKED:
		v->cause = NET_ON_CONTENT;
		return;
	default:
		return;
	}
	v->retry = true;
	v->breaker = NET_BAD;
}

void net_judge_status(struct net_verdict *v, int status, struct str body, const char *host, const char *key_from,
		      struct err *e)
{
	struct arena a;
	struct json_val json = { .type = JSON_NONE };
	struct said s = { 0 };
	enum err_code code;
	bool named; /* a code that says more than the status */

	arena_init(&a, NET_BODY_MAX);
	if (json_parse(&json, body, NULL) == 0)
		s = read_said(json, &a);
	code = code_of(status, &s);
	named = s.code.n && !(s.code.p[0] >= '0' && s.code.p[0] <= '9');
	verdict(v, code);
	v->conflict = status == 409;
	if (s.message.n > 600)
		s.message.n = 600; /* err_set() mends a torn character */
	if (code == ERR_API_KEY && key_from) /* a service may repeat parts of the key: its words stay out */
		err_set(e, code, "%d from %s: key read from %s; see --api-key-file", status, host, key_from);
	else if (code == ERR_API_KEY)
		err_set(e, code, "%d from %s: no key was given; see --api-key-file", status, host);
	else if (s.message.n)
		err_set(e, code, "%d from %s: " STR_FMT "%s" STR_FMT "%s", status, host, STR_ARG(s.message),
			named ? " (" : "", STR_ARG(named ? s.code : STR("")), named ? ")" : "");
	else
		err_set(e, code, "%d from %s", status, host);
	arena_release(&a);
}

void net_judge_error(struct net_verdict *v, struct str text, const char *host, struct err *e)
{
	struct arena a;
	struct json_val json;
	struct said s = { 0 };
	enum err_code code;
	int64_t status = 500;

	arena_init(&a, NET_BODY_MAX);
	if (json_parse(&json, text, NULL) == 0)
		s = read_said(json, &a);
	if (s.code.n)
		num_i64(&status, s.code, 400, 599, NULL); /* gateways hand on a status in this way */
	code = code_of((int)status, &s);
	verdict(v, code);
	if (s.message.n > 600)
		s.message.n = 600;
	err_set(e, code, "%s answers with an error: " STR_FMT, host,
		STR_ARG(s.message.n ? s.message : STR("it gave no reason")));
	arena_release(&a);
}

void net_judge_curl(struct net_verdict *v, CURLcode rc, const char *detail, const char *host, struct err *e)
{
	*v = (struct net_verdict){ .cause = NET_ON_ERROR, .breaker = NET_NEITHER };
	switch (rc) {
	case CURLE_OPERATION_TIMEDOUT:
		v->cause = NET_ON_TIMEOUT;
		v->retry = true;
		v->breaker = NET_BAD;
		err_set(e, ERR_TIMEOUT, "%s did not answer in time: %s", host, detail);
		return;
	case CURLE_OUT_OF_MEMORY:
		v->cause = 0;
		err_nomem(e);
		return;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		err_set(e, ERR_SERVER, "the certificate of %s is refused: %s; CURL_CA_BUNDLE names other authorities", host,
			detail);
		return;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		err_set(e, ERR_SERVER, "%s: %s; see --base-url", host, detail);
		return;
	default: /* no name, no connection, reset, torn */
		if (rc == CURLE_SSL_CONNECT_ERROR && strstr(detail, "wrong version number")) {
			err_set(e, ERR_SERVER, "%s does not speak TLS: is the base URL http://?", host);
			return;
		}
		err_set(e, ERR_SERVER, "%s: %s", host, detail);
		if (strncmp(detail, "Too large", 9) == 0 || /* headers over libcurl's own limit, lower than ours */
		    strstr(detail, "response 4")) /* a proxy that refuses */
			return;
		v->retry = true;
		v->breaker = NET_BAD;
	}
}
