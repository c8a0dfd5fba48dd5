/* net_try: one request on the wire: its handle, its headers, what comes back. */
#include "config.h"
#include "net/net_client.h"
#include "os/os.h"
#include "base/banned.h"

#define EVENT_MAX ((size_t)16 << 20)

/* ---- what comes back --------------------------------------------------------------------------- */

/* One line of the answer's head; a status line begins it anew (100 Continue, a proxy's). */
static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct net_try *t = arg;
	struct str line = { p, size * n }, name, value;
	size_t colon;

	t->header_bytes += line.n;
	if (t->header_bytes > NET_HEADERS_MAX) {
		err_set(&t->err, ERR_SERVER, "the answer's headers are longer than 1 MiB");
		return 0;
	}
	if (str_starts(line, STR("HTTP/"))) {
		net_hint_init(&t->hint);
		t->type[0] = t->request_id[0] = 0;
		return line.n;
	}
	colon = str_find(line, STR(":"), 0);
	if (colon == line.n)
		return line.n;
	name = str_trim(str_sub(line, 0, colon));
	value = str_trim(str_sub(line, colon + 1, line.n));
	net_hint_add(&t->hint, name, value);
	if (name.n == 12 && !strncasecmp(name.p, "content-type", 12))
		snprintf(t->type, sizeof t->type, STR_FMT, STR_ARG(value));
	else if ((name.n == 12 && !strncasecmp(name.p, "x-request-id", 12)) ||
		 (name.n == 10 && !strncasecmp(name.p, "request-id", 10)))
		snprintf(t->request_id, sizeof t->request_id, STR_FMT, STR_ARG(value));
	return line.n;
}

/* An event of the stream: an error ends it, anything else is the caller's. */
static int on_event(void *arg, struct str event, struct str data, struct err *e)
{
	struct net_try *t = arg;
	struct json_val v;

	if (json_parse(&v, data, NULL))
		return 0; /* a line of junk costs nothing: what matters is whether the stream ends as it should */
	if (str_is(event, "error") || json_get(v, "error").type > JSON_NULL) {
		net_judge_error(&t->verdict, data, t->target->host, e);
		t->judged = true;
		return -1;
	}
	t->n_events++;
	if (t->call->on_event(t->call, event, data, e)) {
		t->given_up = true;
		return -1;
	}
	return 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct net_try *t = arg;
	struct str bytes = { p, size * n };
	long status = 0;

	if (!t->t_first)
		t->t_first = t->client->clock.mono_ns(t->client->clock.arg);
	t->client->curl->curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (t->call->on_event && status == 200 && !strncasecmp(t->type, "text/event-stream", 17))
		return net_sse_feed(&t->sse, bytes, on_event, t, &t->err) ? 0 : bytes.n;
	buf_adds(&t->body, bytes);
	if (t->body.failed == ERR_NOMEM)
		err_nomem(&t->err);
	else if (t->body.failed)
		err_set(&t->err, ERR_SERVER, "the answer is longer than 256 MiB");
	return t->body.failed ? 0 : bytes.n;
}

/* ---- what is sent ------------------------------------------------------------------------------ */

static int add_header(struct net_try *t, struct err *e, const char *name, const char *value)
{
	struct buf b;
	struct curl_slist *l = NULL;

	buf_init(&b, (size_t)64 << 10);
	buf_addz(&b, name);
	buf_addz(&b, value);
	if (buf_check(&b, e) == 0) {
		l = t->client->curl->curl_slist_append(t->headers, b.p);
		if (l)
			t->headers = l;
		else
			err_nomem(e);
	}
	if (b.p)
		explicit_bzero(b.p, b.cap);
	buf_release(&b);
	return l ? 0 : -1;
}

static int headers(struct net_try *t, struct err *e)
{
	const struct net_call *c = t->call;
	const struct net_key *k = t->target->t.key;
	char name[128];

	if (add_header(t, e, "Content-Type: ", "application/json") || add_header(t, e, "Expect:", "") ||
	    add_header(t, e, "Accept: ", c->on_event ? "text/event-stream, application/json" : "application/json"))
		return -1;
	if (k) {
		snprintf(name, sizeof name, "%s: ", t->target->t.key_header ? t->target->t.key_header : "");
		if (add_header(t, e, t->target->t.key_header ? name : "Authorization: Bearer ", k->text))
			return -1;
	}
	if (c->traceparent && add_header(t, e, "traceparent: ", c->traceparent))
		return -1;
	if (c->idempotency) { /* another target, another request */
		snprintf(name, sizeof name, c->hop ? "Idempotency-Key: h%u-" : "Idempotency-Key: ", c->hop);
		if (add_header(t, e, name, c->idempotency))
			return -1;
	}
	return 0;
}

#define SET(opt, val) t->client->curl->curl_easy_setopt(t->easy, opt, val)
static int options(struct net_try *t, uint64_t timeout_ms, struct err *e)
{
	const struct net_opts *o = &t->client->o;
	struct str body = t->call->hops[t->call->hop].body;
	const char *ca = os_env("CURL_CA_BUNDLE"), *dir = os_env("SSL_CERT_DIR");
	struct buf url;
	unsigned bad = 0;

	if (!ca)
		ca = os_env("SSL_CERT_FILE");
	buf_init(&url, 8192);
	buf_addz(&url, t->target->url);
	buf_addz(&url, t->call->path);
	if (buf_check(&url, e)) {
		buf_release(&url);
		return -1;
	}
	bad |= SET(CURLOPT_URL, url.p);
	buf_release(&url);
	bad |= SET(CURLOPT_PROTOCOLS_STR, "http,https");
	bad |= SET(CURLOPT_FOLLOWLOCATION, 0L);
	bad |= SET(CURLOPT_NOSIGNAL, 1L);
	bad |= SET(CURLOPT_USERAGENT, "llm-utils/" PACKAGE_VERSION);
	bad |= SET(CURLOPT_HTTPHEADER, t->headers);
	bad |= SET(CURLOPT_POSTFIELDS, body.n ? body.p : "");
	bad |= SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
	bad |= SET(CURLOPT_HEADERFUNCTION, on_header);
	bad |= SET(CURLOPT_HEADERDATA, t);
	bad |= SET(CURLOPT_WRITEFUNCTION, on_body);
	bad |= SET(CURLOPT_WRITEDATA, t);
	bad |= SET(CURLOPT_PRIVATE, t);
	bad |= SET(CURLOPT_ERRORBUFFER, t->detail);
	bad |= SET(CURLOPT_TIMEOUT_MS, (long)(timeout_ms < LONG_MAX ? timeout_ms : LONG_MAX));
	bad |= SET(CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_timeout_ms);
	bad |= SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_ACCEPT_ENCODING, ""); /* whatever this libcurl can unpack */
	if (!strncmp(t->target->url, "https:", 6))
		SET(CURLOPT_PIPEWAIT, 1L); /* share an HTTP/2 connection rather than open another */
	if (ca)
		bad |= SET(CURLOPT_CAINFO, ca);
	if (dir)
		SET(CURLOPT_CAPATH, dir);
	return bad ? err_set(e, ERR_INTERNAL, "libcurl refuses an option") : 0;
}

int net_try_start(struct net_try **out, struct net *n, struct net_call *c, uint64_t timeout_ms, struct err *e)
{
	struct net_try *t = calloc(1, sizeof *t);

	if (!t)
		return err_nomem(e);
	t->client = n;
	t->call = c;
	t->target = n->targets[c->hops[c->hop].target];
	net_hint_init(&t->hint);
	buf_init(&t->body, NET_BODY_MAX);
	net_sse_init(&t->sse, EVENT_MAX);
	t->t_start = n->clock.mono_ns(n->clock.arg);
	t->easy = n->curl->curl_easy_init();
	if (!t->easy)
		err_nomem(e);
	if (!t->easy || headers(t, e) || options(t, timeout_ms, e) ||
	    (n->curl->curl_multi_add_handle(n->multi, t->easy) && err_nomem(e))) {
		net_try_free(t);
		return -1;
	}
	t->added = true;
	*out = t;
	return 0;
}

void net_try_free(struct net_try *t)
{
	const struct net_curl *curl = t->client->curl;

	if (t->added)
		curl->curl_multi_remove_handle(t->client->multi, t->easy);
	if (t->easy)
		curl->curl_easy_cleanup(t->easy);
	for (struct curl_slist *l = t->headers; l; l = l->next)
		explicit_bzero(l->data, strlen(l->data));
	curl->curl_slist_free_all(t->headers);
	buf_release(&t->body);
	net_sse_release(&t->sse);
	free(t);
}

/* ---- judged ------------------------------------------------------------------------------------ */

/* Is a 200 whole and what was asked for? */
static bool whole(struct net_try *t, struct err *e)
{
	const char *host = t->target->host;

	if (t->call->on_event && !strncasecmp(t->type, "text/event-stream", 17)) {
		if (t->sse.done)
			return true;
		err_set(e, ERR_SERVER, "%s: the stream ended before its [DONE]", host);
		return false;
	}
	if (json_parse(&t->json, buf_str(&t->body), e) == 0)
		return true;
	t->verdict.retry = strstr(t->type, "json") != NULL; /* torn, or not the service that was meant */
	if (t->verdict.retry)
		err_set(e, ERR_SERVER, "%s: the answer is torn or no JSON", host);
	else
		err_set(e, ERR_SERVER, "%s answers %s, not JSON: is the base URL right?", host,
			t->type[0] ? t->type : "without a content type");
	return false;
}

/* The key must not come back through a service that repeats what it was sent. */
static void redact(struct net_try *t, struct err *e)
{
	const struct net_key *k = t->target->t.key;
	char *at;

	if (k && k->n >= 4)
		while ((at = strstr(e->text, k->text)))
			memset(at, '*', k->n);
}

bool net_try_judge(struct net_try *t, CURLcode rc, struct err *e)
{
	const char *host = t->target->host;
	long status = 0;

	t->client->curl->curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	t->status = (int)status;
	if (t->err.code) { /* from one of the callbacks */
		if (!t->judged)
			t->verdict = (struct net_verdict){ .cause = t->given_up ? 0 : NET_ON_ERROR,
							   .breaker = t->given_up ? NET_NEITHER : NET_BAD };
		*e = t->err;
	} else if (rc && !(rc == CURLE_WRITE_ERROR && t->sse.done)) {
		net_judge_curl(&t->verdict, rc, t->detail[0] ? t->detail : t->client->curl->curl_easy_strerror(rc), host, e);
	} else if (status >= 300 && status < 400) {
		t->verdict = (struct net_verdict){ .cause = NET_ON_ERROR, .breaker = NET_NEITHER };
		err_set(e, ERR_SERVER, "%d from %s: it moved, and redirects are not followed: correct --base-url",
			t->status, host);
	} else if (status < 200 || status >= 300) {
		net_judge_status(&t->verdict, t->status, buf_str(&t->body), host,
				 t->target->t.key ? t->target->t.key->from : NULL, e);
	} else {
		t->verdict = (struct net_verdict){ .retry = true, .cause = NET_ON_ERROR, .breaker = NET_BAD };
		if (whole(t, e))
			return true;
	}
	redact(t, e);
	return false;
}
