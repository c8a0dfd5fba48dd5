/* service: from a name, options and the configuration to targets and keys. */
#include "config.h"
#include "llm/config_impl.h"
#include "llm/remote_impl.h"
#include <unistd.h>

#define OPENAI_URL "https://api.openai.com/v1"

struct config {
	struct buf text, path;
	struct json_val providers;
	struct arena *a;
};

static const char *copy(struct arena *a, const char *z, struct err *e)
{
	struct str s = arena_str(a, str_of(z));

	if (!s.p)
		err_nomem(e);
	return s.p;
}

/* ---- keys ---------------------------------------------------------------------------------- */

/* Does the URL lead to this machine, or is it encrypted? */
static bool is_private(const char *url)
{
	struct str host = str_of(url);
	bool digits = true;

	if (str_starts(host, STR("https://")))
		return true;
	if (!str_starts(host, STR("http://")))
		return false;
	host = str_sub(host, 7, host.n);
	if (str_starts(host, STR("[::1]")))
		host.n = 5;
	else
		host.n = strcspn(host.p, ":/?#@");
	for (size_t i = 0; i < host.n; i++)
		digits = digits && strchr("0123456789.", host.p[i]);
	return str_is(host, "localhost") || str_is(host, "[::1]") ||
	       (digits && str_starts(host, STR("127.")));
}

/* "fd:N", "~/…" or a path. */
static int key_file(struct net_key **out, const char *path, struct err *e)
{
	const char *home = os_env("HOME");
	struct buf b;
	uint64_t fd;
	int rc;

	if (str_starts(str_of(path), STR("fd:"))) {
		if (num_u64(&fd, str_of(path + 3), 0, INT32_MAX, NULL))
			return err_set(e, ERR_USAGE, "--api-key-file %s: want fd:NUMBER", path);
		return net_key_fd(out, (int)fd, e);
	}
	if (path[0] != '~' || path[1] != '/' || !home)
		return net_key_file(out, path, e);
	buf_init(&b, 1 << 16);
	buf_addz(&b, home);
	buf_addz(&b, path + 1);
	rc = buf_check(&b, e) || net_key_file(out, b.p, e);
	buf_release(&b);
	return rc ? -1 : 0;
}

/* A credential of the service manager: $CREDENTIALS_DIRECTORY/NAME (systemd.exec(5)). */
static int key_credential(struct net_key **out, const char *name, struct err *e)
{
	const char *dir = os_env("CREDENTIALS_DIRECTORY");
	struct buf b;
	int rc = 0;

	if (!dir)
		return 0;
	buf_init(&b, 1 << 16);
	buf_addf(&b, "%s/%s-api-key", dir, name);
	if (!buf_check(&b, NULL) && !access(b.p, F_OK))
		rc = net_key_file(out, b.p, e);
	buf_release(&b);
	return rc;
}

/* The environment's key goes where it cannot be overheard; it may serve several of us. */
static int key_env(struct llm_service *s, struct llm_hop *h, const char *name, struct err *e)
{
	for (unsigned i = 0; i < s->n_hops; i++)
		if (s->hops[i].key && !strcmp(net_key_from(s->hops[i].key), name)) {
			h->target.key = s->hops[i].key;
			return 0;
		}
	if (os_env(name) && !is_private(h->target.base_url))
		return err_set(e, ERR_API_KEY,
			       "%s is not sent over http:// to another machine: use https://, or "
			       "--api-key-file",
			       name);
	return net_key_env(&h->key, name, e);
}

/* ---- providers ----------------------------------------------------------------------------- */

static int text_member(const char **out, const struct config *c, struct json_val p,
		       const char *provider, const char *name, struct err *e)
{
	struct json_val v = json_get(p, name);
	struct str s;

	*out = NULL;
	if (v.type == JSON_NONE || v.type == JSON_NULL)
		return 0;
	if (v.type != JSON_STRING || json_str(&s, v, c->a, NULL) || !s.n)
		return err_set(e, ERR_OPEN, "%s: providers.%s.%s must be a string", c->path.p,
			       provider, name);
	s = arena_str(c->a, s);
	*out = s.p;
	return s.p ? 0 : err_nomem(e);
}

static int rate_member(double *out, const struct config *c, struct json_val p, const char *provider,
		       const char *name, struct err *e)
{
	struct json_val v = json_get(p, name);

	*out = 0;
	if (v.type == JSON_NONE || v.type == JSON_NULL)
		return 0;
	if (v.type != JSON_NUMBER || json_f64(out, v, NULL) || !(*out >= 0) || *out > 1e15)
		return err_set(e, ERR_OPEN, "%s: providers.%s.%s must be a number", c->path.p,
			       provider, name);
	return 0;
}

static const char *const provider_members[] = {
	"base_url", "api_key_file", "api_key_cmd", "api_key_env",    "api_key_header",
	"rpm",      "tpm",          "price",       "max_tokens_name"
};

/* A member that is not known does nothing, and nobody would see that. */
static int check_members(const struct config *c, struct json_val p, const char *provider,
			 struct err *e)
{
	enum { N = sizeof provider_members / sizeof *provider_members };
	struct json_iter it = json_members(p);
	struct json_val v;
	struct str key;

	while (json_next_member(&key, &v, &it)) {
		size_t i = 0;

		while (i < N && !json_key_is(key, str_of(provider_members[i])))
			i++;
		if (i == N)
			return err_set(e, ERR_OPEN, "%s: providers.%s." STR_FMT " is not known%s",
				       c->path.p, provider, STR_ARG(key),
				       json_key_is(key, STR("api_key"))
					       ? ": name its api_key_file, api_key_cmd or "
						 "api_key_env, a key does not stand here"
					       : "");
	}
	return 0;
}

/* What the configuration says of a provider, into h. */
static int read_provider(struct llm_service *s, struct llm_hop *h, const struct config *c,
			 const char *name, struct json_val p, struct err *e)
{
	const char *file, *cmd, *env, *price, *max;
	bool openai = p.type == JSON_NONE; /* the one that needs no configuration */

	if (!openai && p.type != JSON_OBJECT)
		return err_set(e, ERR_OPEN, "%s: providers.%s must be an object", c->path.p, name);
	if (check_members(c, p, name, e) ||
	    text_member(&h->target.base_url, c, p, name, "base_url", e) ||
	    text_member(&file, c, p, name, "api_key_file", e) ||
	    text_member(&cmd, c, p, name, "api_key_cmd", e) ||
	    text_member(&env, c, p, name, "api_key_env", e) ||
	    text_member(&h->target.key_header, c, p, name, "api_key_header", e) ||
	    text_member(&price, c, p, name, "price", e) ||
	    text_member(&max, c, p, name, "max_tokens_name", e) ||
	    rate_member(&h->target.rpm, c, p, name, "rpm", e) ||
	    rate_member(&h->target.tpm, c, p, name, "tpm", e))
		return -1;
	if (openai) {
		h->target.base_url =
			os_env("OPENAI_BASE_URL") ? os_env("OPENAI_BASE_URL") : OPENAI_URL;
		env = "OPENAI_API_KEY";
		max = "max_completion_tokens"; /* its newer models refuse the old name */
	}
	if (!h->target.base_url)
		return err_set(e, ERR_OPEN, "%s: providers.%s has no base_url", c->path.p, name);
	h->url_from = "OPENAI_BASE_URL";
	if (!openai) {
		char from[1024];

		snprintf(from, sizeof from, "%.800s: providers.%.100s.base_url", c->path.p, name);
		h->url_from = copy(c->a, from, e);
		if (!h->url_from)
			return -1;
	}
	h->provider = price ? price : name;
	h->max_tokens = max ? max : "max_tokens";
	if (h->key)
		return 0;
	if ((file && key_file(&h->key, file, e)) || (!h->key && key_credential(&h->key, name, e)) ||
	    (!h->key && cmd && net_key_cmd(&h->key, cmd, e)) ||
	    (!h->key && env && key_env(s, h, env, e)))
		return -1;
	return 0;
}

/* "provider:NAME": false where the part before the colon is no provider. */
static bool is_provided(struct json_val *p, const char **provider, const char **model,
			const struct config *c, const char *name, struct err *e)
{
	const char *colon = strchr(name, ':');
	struct str s;

	if (!colon || colon == name || !colon[1] || memchr(name, '/', (size_t)(colon - name)))
		return false;
	s = arena_str(c->a, (struct str){ name, (size_t)(colon - name) });
	if (!s.p)
		return false;
	*p = json_get(c->providers, s.p);
	if (p->type == JSON_NONE && !str_is(s, "openai"))
		return false;
	*provider = s.p;
	*model = copy(c->a, colon + 1, e);
	return *model != NULL;
}

/* ---- fallbacks ----------------------------------------------------------------------------- */

static const struct {
	const char *name;
	unsigned on;
} causes[] = {
	{ "error", NET_ON_ERROR },     { "limit", NET_ON_LIMIT },     { "timeout", NET_ON_TIMEOUT },
	{ "context", NET_ON_CONTEXT }, { "content", NET_ON_CONTENT },
};

/* "CAUSE,CAUSE=": the causes, or 0 where the text before "=" names none. */
static unsigned read_causes(struct str s)
{
	unsigned on = 0;

	while (s.n) {
		size_t end = str_find(s, STR(","), 0), i = 0;

		while (i < sizeof causes / sizeof *causes &&
		       !str_is(str_sub(s, 0, end), causes[i].name))
			i++;
		if (i == sizeof causes / sizeof *causes)
			return 0;
		on |= causes[i].on;
		s = str_sub(s, end < s.n ? end + 1 : end, s.n);
	}
	return on;
}

static int add_fallback(struct llm_service *s, const struct config *c, const char *text,
			struct err *e)
{
	struct llm_hop *h = &s->hops[s->n_hops];
	const char *eq = strchr(text, '='), *provider, *model;
	struct json_val p;

	if (s->n_hops == NET_HOPS_MAX)
		return err_set(e, ERR_USAGE, "--fallback: at most %d of them", NET_HOPS_MAX - 1);
	*h = (struct llm_hop){ .on = NET_ON_ERROR | NET_ON_LIMIT | NET_ON_TIMEOUT };
	if (eq && read_causes((struct str){ text, (size_t)(eq - text) })) {
		h->on = read_causes((struct str){ text, (size_t)(eq - text) });
		text = eq + 1;
	}
	s->n_hops++;
	if (is_provided(&p, &provider, &model, c, text, e)) {
		h->model = model;
		return read_provider(s, h, c, provider, p, e);
	}
	if (!*text)
		return err_set(e, ERR_USAGE, "--fallback: want [CAUSE,...=]MODEL");
	if (str_ends(str_of(text), STR(".gguf")))
		return err_set(e, ERR_USAGE, "--fallback %s: a file cannot stand in for a service: name a "
			       "model of this service, or provider:NAME", text);
	h->model = copy(&s->a, text, e); /* another model of the same service */
	h->provider = s->hops[0].provider;
	h->max_tokens = s->hops[0].max_tokens;
	h->target = s->hops[0].target;
	return h->model ? 0 : -1;
}

/* ---- all together -------------------------------------------------------------------------- */

/* The model that was asked for, as the first hop. false: it is one of this machine. */
static int first_hop(bool *hosted, struct llm_service *s, const struct config *c, const char *model,
		     const struct llm_service_opts *o, struct err *e)
{
	struct llm_hop *h = &s->hops[0];
	const char *provider = NULL, *name = NULL;
	struct json_val p;
	bool provided = model && is_provided(&p, &provider, &name, c, model, e);

	*hosted = o->base_url || provided;
	if (!*hosted)
		return 0;
	s->n_hops = 1;
	if (o->key_file  ? key_file(&h->key, o->key_file, e)
	    : o->key_cmd ? net_key_cmd(&h->key, o->key_cmd, e)
			 : 0)
		return -1;
	if (!o->base_url) {
		h->model = name;
		return read_provider(s, h, c, provider, p, e);
	}
	h->model = model ? copy(&s->a, model, e) : NULL;
	h->provider = "";
	h->max_tokens = "max_tokens";
	h->target.base_url = o->base_url;
	if (model && !h->model)
		return -1;
	return h->key || (!key_credential(&h->key, "llm-utils", e) &&
			  (h->key || !key_env(s, h, "OPENAI_API_KEY", e)))
		       ? 0
		       : -1;
}

static int open_with(bool *hosted, struct llm_service *s, struct config *c, const char *model,
		     enum llm_role role, const struct llm_service_opts *o, struct err *e)
{
	struct buf name, from;
	struct json_val doc;
	int rc;

	buf_init(&name, LLM_MAX_CONFIG);
	buf_init(&from, 1 << 16);
	rc = llm_config(&doc, &c->text, &c->path, e);
	c->providers = json_get(doc, "providers");
	s->named = model != NULL;
	if (!rc && !model && !o->base_url)
		rc = llm_default_name(&name, &from, role, e);
	rc = rc || first_hop(hosted, s, c, model ? model : name.n ? name.p : NULL, o, e);
	if (!rc && *hosted) {
		if (o->rpm > 0)
			s->hops[0].target.rpm = o->rpm;
		if (o->tpm > 0)
			s->hops[0].target.tpm = o->tpm;
		for (size_t i = 0; !rc && i < o->fallbacks.n; i++)
			rc = add_fallback(s, c, o->fallbacks.v[i], e);
		for (unsigned i = 0; i < s->n_hops; i++) { /* the same service, the same key */
			struct llm_hop *h = &s->hops[i];

			if (h->key)
				h->target.key = h->key;
			else if (h->target.base_url == s->hops[0].target.base_url)
				h->target.key = s->hops[0].target.key;
		}
	}
	buf_release(&name);
	buf_release(&from);
	return rc ? -1 : 0;
}

static uint64_t ms(double seconds)
{
	return (uint64_t)(seconds * 1000);
}

/* Each model of each service has its own limits and breaker. */
static int share(struct llm_service *s, const char *path, struct err *e)
{
	struct buf b;
	int rc = store_share_open(&s->share, path, e);

	buf_init(&b, 1 << 16);
	for (unsigned i = 0; !rc && i < s->n_hops; i++) {
		struct llm_hop *h = &s->hops[i];

		buf_reset(&b);
		buf_addf(&b, "%s %s", h->target.base_url, h->model ? h->model : "");
		rc = buf_check(&b, e);
		h->target.share_as = rc ? NULL : copy(&s->a, b.p, e);
		rc = rc || !h->target.share_as ? -1 : 0;
	}
	buf_release(&b);
	s->net.share = (struct net_share){ store_share_lock, store_share_get, store_share_put,
					   store_share_unlock, s->share };
	return rc;
}

int llm_service_open(struct llm_service **out, const char *model, enum llm_role role,
		     const struct llm_service_opts *o, struct err *e)
{
	struct llm_service *s = calloc(1, sizeof *s);
	struct config c = { 0 };
	bool hosted = false;
	int rc;

	*out = NULL;
	if (!s)
		return err_nomem(e);
	arena_init(&s->a, 4 * LLM_MAX_CONFIG);
	c.a = &s->a;
	buf_init(&c.text, LLM_MAX_CONFIG);
	buf_init(&c.path, 1 << 16);
	s->net = (struct net_opts)NET_OPTS_INIT;
	s->net.max_retries = o->max_retries;
	s->net.timeout_ms = ms(o->timeout);
	s->net.deadline_ms = ms(o->deadline);
	s->net.hedge = o->hedge;
	s->net.fail_fast = o->fail_fast;
	s->net.note = o->note;
	s->net.note_arg = o->note_arg;
	s->net.seed = time_mono_ns() ^ (uint64_t)getpid() << 32; /* jitter: never the same twice */
	rc = open_with(&hosted, s, &c, model, role, o, e);
	if (!rc && hosted && o->state)
		rc = share(s, o->state, e);
	buf_release(&c.text);
	buf_release(&c.path);
	if (rc || !hosted)
		llm_service_free(s);
	else
		*out = s;
	return rc;
}

void llm_service_free(struct llm_service *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->n_hops; i++)
		net_key_free(s->hops[i].key);
	store_share_close(s->share);
	arena_release(&s->a);
	free(s);
}

const char *llm_service_model(const struct llm_service *s)
{
	return s->hops[0].model;
}

const char *llm_service_url(const struct llm_service *s)
{
	return s->hops[0].target.base_url;
}

const char *llm_service_given(const struct cli *c)
{
	static const char *const names[] = { "api-key-file", "api-key-cmd", "timeout", "deadline",
					     "max-retries",  "rpm",         "tpm",     "fallback",
					     "hedge",        "state" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (cli_given(c, names[i]))
			return names[i];
	return NULL;
}
