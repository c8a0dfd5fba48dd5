/* net_try: one request on the wire: its handle, its headers, what comes back. */
#include "config.h"
#include "net/net_client.h"
#include <stdlib.h>
#include <unistd.h>
#include "base/banned.h"

#define EVENT_MAX ((size_t)16 << 20)
#define EXPECT_FROM 1000000 /* from some such length on libcurl asks before it sends a body; that is one round more */

/* ---- what comes back --------------------------------------------------------------------------- */

/* The key must not come back through a service that repeats what it was sent. */
static void blank_key(const struct net_try *t, char *p, size_t n)
{
	const struct net_key *k = t->target->t.key;
	char *at;

	if (k && k->n >= 4)
		while (n && (at = memmem(p, n, k->text, k->n)))
			memset(at, '*', k->n);
}

/* One line of the answer's head; a status line begins it anew (100 Continue, a proxy's). */
static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct net_try *t = arg;
	struct str line = { p, size * n }, name, value;
	size_t colon;

	t->header_bytes += line.n;
	if (t->header_bytes > NET_HEADERS_MAX) {
		err_set(&t->err, ERR_SERVER, "%s: the answer's headers are longer than 1 MiB", t->target->host);
		return 0;
	}
	if (str_starts(line, STR("HTTP/"))) {
		size_t sp = str_find(line, STR(" "), 0);
		uint64_t status = 0;

		if (sp + 4 <= line.n)
			num_u64(&status, str_sub(line, sp + 1, sp + 4), 0, 999, NULL);
		t->status = (int)status;
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

/* Which choices of a stream have begun and which have said why they ended. */
static void note_choices(struct net_try *t, struct json_val event)
{
	struct json_iter it = json_elements(json_get(event, "choices"));
	struct json_val v;

	while (json_next(&v, &it)) {
		int64_t index = 0;

		json_i64(&index, json_get(v, "index"), NULL);
		t->opened |= (uint64_t)1 << (index & 63);
		if (json_get(v, "finish_reason").type == JSON_STRING)
			t->finished |= (uint64_t)1 << (index & 63);
	}
}

/* An event of the stream: an error ends it, anything else is the caller's. */
static int on_event(void *arg, struct str event, struct str data, struct err *e)
{
	struct net_try *t = arg;
	struct json_val v;

	if (json_parse(&v, data, NULL))
		return 0; /* a line of junk costs nothing: what matters is whether the stream ends as it should */
	if (str_is(event, "error") || json_get(v, "error").type > JSON_NULL) {
		blank_key(t, t->sse.data.p, t->sse.data.n);
		net_judge_error(&t->verdict, data, t->target->host, e);
		t->judged = true;
		return -1;
	}
	t->n_events++;
	note_choices(t, v);
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

	if (!t->t_first)
		t->t_first = net_now(t->client);
	t->body_bytes += bytes.n;
	if (t->body_bytes > t->client->o.body_max) {
		err_set(&t->err, ERR_SERVER, "%s: the answer is longer than %zu MiB", t->target->host,
			t->client->o.body_max >> 20);
		return 0;
	}
	if (t->call->on_event && t->status == 200 && !strncasecmp(t->type, "text/event-stream", 17))
		return net_sse_feed(&t->sse, bytes, on_event, t, &t->err) ? 0 : bytes.n;
	buf_adds(&t->body, bytes);
	return buf_check(&t->body, &t->err) ? 0 : bytes.n;
}

/* ---- what is sent ------------------------------------------------------------------------------
 * Headers are few and short: libcurl prints them byte by byte, twice, which costs some 60 ns a byte.
 */

/* One line in front of *list; its text is wiped by net_headers_free(). */
static int add_header(struct curl_slist **list, const char *name, const char *value, struct err *e)
{
	size_t n = strlen(name) + strlen(value) + 1;
	struct curl_slist *l = malloc(sizeof *l);
	char *text = malloc(n);

	if (!l || !text) {
		free(l);
		free(text);
		return err_nomem(e);
	}
	snprintf(text, n, "%s%s", name, value);
	l->data = text;
	l->next = *list;
	*list = l;
	return 0;
}

int net_headers_new(struct net_target_state *s, struct err *e)
{
	const struct net_key *k = s->t.key;
	char name[128];

	snprintf(name, sizeof name, "%s: ", s->t.key_header ? s->t.key_header : "");
	return add_header(&s->headers, "Content-Type: ", "application/json", e) ||
	       add_header(&s->headers, "User-Agent: ", "llm-utils/" PACKAGE_VERSION, e) ||
	       (k && add_header(&s->headers, s->t.key_header ? name : "Authorization: Bearer ", k->text, e)) ? -1 : 0;
}

void net_headers_free(struct net_target_state *s)
{
	while (s->headers) {
		struct curl_slist *l = s->headers;

		s->headers = l->next;
		explicit_bzero(l->data, strlen(l->data));
		free(l->data);
		free(l);
	}
}

/* libcurl sends a request once more by itself when a connection that was used before ends without an answer. Retries are
 * decided in one place: this one is a failure as any other. */
static int before_request(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	struct net_try *t = arg;

	(void)ip, (void)local_ip, (void)port, (void)local_port;
	return t->sent++ ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static int on_connection(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	struct net *n = arg;

	(void)purpose;
	return net_fd_new(n, fd) ? CURL_SOCKOPT_ERROR : CURL_SOCKOPT_OK;
}

static int close_connection(void *arg, curl_socket_t fd)
{
	struct net *n = arg;

	net_fd_gone(n, fd);
	return close(fd);
}

#define SET(opt, val) t->client->curl->curl_easy_setopt(t->easy, opt, val)

/* All that is the same for a target's requests. */
static int fixed_options(struct net_try *t, struct err *e)
{
	const struct net_target_state *s = t->target;
	unsigned bad = 0;

	bad |= SET(CURLOPT_PROTOCOLS_STR, "http,https");
	bad |= SET(CURLOPT_FOLLOWLOCATION, 0L);
	bad |= SET(CURLOPT_NOSIGNAL, 1L);
	bad |= SET(CURLOPT_HEADERFUNCTION, on_header);
	bad |= SET(CURLOPT_HEADERDATA, t);
	bad |= SET(CURLOPT_WRITEFUNCTION, on_body);
	bad |= SET(CURLOPT_WRITEDATA, t);
	bad |= SET(CURLOPT_PREREQFUNCTION, before_request);
	bad |= SET(CURLOPT_PREREQDATA, t);
	bad |= SET(CURLOPT_SOCKOPTFUNCTION, on_connection);
	bad |= SET(CURLOPT_SOCKOPTDATA, t->client);
	bad |= SET(CURLOPT_CLOSESOCKETFUNCTION, close_connection);
	bad |= SET(CURLOPT_CLOSESOCKETDATA, t->client);
	bad |= SET(CURLOPT_PRIVATE, t);
	bad |= SET(CURLOPT_ERRORBUFFER, t->detail);
	bad |= SET(CURLOPT_CONNECTTIMEOUT_MS, (long)t->client->o.connect_timeout_ms);
	bad |= SET(CURLOPT_TCP_KEEPALIVE, 1L);
	bad |= SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* a proxy's own answer is none of the service */
	SET(CURLOPT_ACCEPT_ENCODING, "gzip");
	SET(CURLOPT_BUFFERSIZE, 4096L);         /* every request in flight has one: 16 MB of 1,000 by default */
	SET(CURLOPT_UPLOAD_BUFFERSIZE, 16384L); /* with TLS, one of 64 kB */
	if (!strncmp(s->url, "https:", 6))
		SET(CURLOPT_PIPEWAIT, 1L); /* share an HTTP/2 connection rather than open another */
	if (s->ca_file)
		bad |= SET(CURLOPT_CAINFO, s->ca_file);
	if (s->ca_dir)
		SET(CURLOPT_CAPATH, s->ca_dir);
	return bad ? err_set(e, ERR_INTERNAL, "libcurl refuses an option") : 0;
}

static int set_url(struct net_try *t, const char *path, struct err *e)
{
	struct buf url;
	unsigned bad;

	if (t->path[0] && strcmp(t->path, path) == 0)
		return 0;
	buf_init(&url, 8192);
	buf_addz(&url, t->target->url);
	buf_addz(&url, path);
	bad = buf_check(&url, NULL) ? 1 : SET(CURLOPT_URL, url.p);
	buf_release(&url);
	if (bad)
		return err_set(e, ERR_USAGE, "the URL is too long");
	snprintf(t->path, sizeof t->path, "%s", strlen(path) < sizeof t->path ? path : "");
	return 0;
}

/* The headers of this request alone, in front of those of its target. */
static struct curl_slist *own_headers(struct net_try *t, struct err *e)
{
	const struct net_call *c = t->call;
	struct curl_slist *all = t->target->headers;
	size_t second;

	buf_reset(&t->own_text);
	if (c->traceparent)
		buf_addf(&t->own_text, "traceparent: %s%c", c->traceparent, 0);
	second = t->own_text.n;
	if (c->idempotency && c->hop) /* another target, another request */
		buf_addf(&t->own_text, "Idempotency-Key: h%u-%s", c->hop, c->idempotency);
	else if (c->idempotency)
		buf_addf(&t->own_text, "Idempotency-Key: %s", c->idempotency);
	if (buf_check(&t->own_text, e))
		return NULL;
	if (c->hops[c->hop].body.n > EXPECT_FROM) {
		t->own[2] = (struct curl_slist){ t->no_expect, all };
		all = &t->own[2];
	}
	if (c->traceparent) {
		t->own[0] = (struct curl_slist){ t->own_text.p, all };
		all = &t->own[0];
	}
	if (c->idempotency) {
		t->own[1] = (struct curl_slist){ t->own_text.p + second, all };
		all = &t->own[1];
	}
	return all;
}

static int options(struct net_try *t, uint64_t timeout_ms, struct err *e)
{
	struct str body = t->call->hops[t->call->hop].body;
	struct curl_slist *headers = own_headers(t, e);
	unsigned bad = 0;

	if (!headers || set_url(t, t->call->path, e))
		return -1;
	bad |= SET(CURLOPT_HTTPHEADER, headers);
	bad |= SET(CURLOPT_POSTFIELDS, body.n ? body.p : "");
	bad |= SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
	bad |= SET(CURLOPT_TIMEOUT_MS, (long)(timeout_ms < LONG_MAX ? timeout_ms : LONG_MAX));
	return bad ? err_set(e, ERR_INTERNAL, "libcurl refuses an option") : 0;
}

static struct net_try *try_new(struct net *n, struct net_target_state *s, struct err *e)
{
	struct net_try *t = s->idle;

	if (t) {
		s->idle = t->next;
		memset(&t->call, 0, sizeof *t - offsetof(struct net_try, call));
		t->detail[0] = 0;
		return t;
	}
	t = calloc(1, sizeof *t);
	if (!t) {
		err_nomem(e);
		return NULL;
	}
	t->client = n;
	t->target = s;
	buf_init(&t->own_text, (size_t)64 << 10);
	snprintf(t->no_expect, sizeof t->no_expect, "Expect:");
	t->easy = n->curl->curl_easy_init();
	t->lane = net_lane(n, !strncmp(s->url, "https:", 6), e);
	if (t->lane && !t->easy)
		err_nomem(e);
	if (!t->lane || !t->easy || fixed_options(t, e)) {
		net_try_free(t);
		return NULL;
	}
	return t;
}

int net_try_start(struct net_try **out, struct net *n, struct net_call *c, uint64_t timeout_ms, struct err *e)
{
	struct net_try *t = try_new(n, n->targets[c->hops[c->hop].target], e);

	if (!t)
		return -1;
	t->call = c;
	net_hint_init(&t->hint);
	buf_init(&t->body, n->o.body_max);
	net_sse_init(&t->sse, EVENT_MAX);
	t->t_start = net_now(n);
	if (options(t, timeout_ms, e) || (n->curl->curl_multi_add_handle(t->lane->multi, t->easy) && err_nomem(e))) {
		net_try_free(t);
		return -1;
	}
	t->added = true;
	*out = t;
	return 0;
}

static void leave_wire(struct net_try *t)
{
	if (t->added)
		t->client->curl->curl_multi_remove_handle(t->lane->multi, t->easy);
	t->added = false;
	buf_release(&t->body);
	net_sse_release(&t->sse);
}

void net_try_end(struct net_try *t)
{
	leave_wire(t);
	t->next = t->target->idle;
	t->target->idle = t;
}

void net_try_free(struct net_try *t)
{
	leave_wire(t);
	if (t->easy)
		t->client->curl->curl_easy_cleanup(t->easy);
	buf_release(&t->own_text);
	free(t);
}

/* ---- judged ------------------------------------------------------------------------------------ */

/* Is a 200 whole and what was asked for? */
static bool whole(struct net_try *t, struct err *e)
{
	const char *host = t->target->host;

	if (t->call->on_event && !strncasecmp(t->type, "text/event-stream", 17)) {
		/* Not every server says [DONE] (huggingface/text-generation-inference#1896, ikawrakow/ik_llama.cpp#467), and some
		 * leave out the line's end behind it (open-webui/pipelines#297): that all choices have ended is as good. */
		if (t->sse.done || (t->opened && t->opened == t->finished))
			return true;
		err_set(e, ERR_SERVER, "%s: the stream ended before its answer did", host);
		return false;
	}
	if (json_parse(&t->json, buf_str(&t->body), e) == 0) {
		enum json_type error = JSON_NONE;

		if (str_find(buf_str(&t->body), STR("\"error\""), 0) < t->body.n) /* quicker, and nearly always enough */
			error = json_get(t->json, "error").type;
		if (error != JSON_OBJECT && error != JSON_STRING)
			return true;
		net_judge_error(&t->verdict, buf_str(&t->body), host, e);
		return false;
	}
	t->verdict.retry = strstr(t->type, "json") != NULL; /* torn, or not the service that was meant */
	if (!t->verdict.retry)
		t->verdict.breaker = NET_NEITHER;
	if (t->verdict.retry)
		err_set(e, ERR_SERVER, "%s: the answer is torn or no JSON", host);
	else
		err_set(e, ERR_SERVER, "%s answers %s, not JSON: is the base URL right?", host,
			t->type[0] ? t->type : "without a content type");
	return false;
}

bool net_try_judge(struct net_try *t, CURLcode rc, struct err *e)
{
	const char *host = t->target->host;
	int status = t->status;

	if (status < 200 || status >= 300)
		blank_key(t, t->body.p, t->body.n);
	if (t->err.code) { /* from one of the callbacks */
		if (!t->judged)
			t->verdict = (struct net_verdict){ .cause = t->given_up ? 0 : NET_ON_ERROR,
							   .breaker = t->given_up ? NET_NEITHER : NET_BAD };
		*e = t->err;
	} else if (rc && !(rc == CURLE_WRITE_ERROR && t->sse.done)) {
		if (t->sent > 1)
			snprintf(t->detail, sizeof t->detail, "the connection ended without an answer");
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
	blank_key(t, e->text, strlen(e->text));
	blank_key(t, t->body.p, t->body.n);
	blank_key(t, t->request_id, strlen(t->request_id));
	return false;
}
