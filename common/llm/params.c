/* params: what a caller may ask for, and how a call is written down. */
#include "config.h"
#include "llm/llm.h"
#include <math.h>

enum { MAX_STOPS = 64, MAX_TOP = 20 };

void llm_params_init(struct llm_params *p, const struct gguf *g)
{
	*p = (struct llm_params){
		.sample = sample_defaults, .max_tokens = 512, .n = 1, .n_top = -1
	};
	if (!g)
		return;
	/* keys: ggml-org/llama.cpp:src/llama-arch.cpp */
	p->sample.temperature = gguf_f32_or(g, "general.sampling.temp", p->sample.temperature);
	p->sample.top_p = gguf_f32_or(g, "general.sampling.top_p", p->sample.top_p);
	p->sample.min_p = gguf_f32_or(g, "general.sampling.min_p", p->sample.min_p);
	p->sample.repeat_penalty =
		gguf_f32_or(g, "general.sampling.penalty_repeat", p->sample.repeat_penalty);
	p->sample.top_k =
		(int32_t)gguf_u32_or(g, "general.sampling.top_k", (uint32_t)p->sample.top_k);
	p->sample.repeat_last_n = (int32_t)gguf_u32_or(g, "general.sampling.penalty_last_n",
						       (uint32_t)p->sample.repeat_last_n);
}

struct reader {
	llm_param_fn *get;
	void *arg;
	struct arena *a;
	struct err *e;
};

/* A member that is there and not null. */
static bool given(struct json_val *v, const struct reader *r, const char *name)
{
	*v = r->get(r->arg, name);
	return v->type != JSON_NONE && v->type != JSON_NULL;
}

static int number(float *out, const struct reader *r, const char *name, double min, double max)
{
	struct json_val v;
	double d;

	if (!given(&v, r, name))
		return 0;
	if (v.type != JSON_NUMBER || json_f64(&d, v, r->e) || d < min || d > max)
		return err_set(r->e, ERR_INVALID_FIELD,
			       "params.%s must be a number from %g to %g, not %.*s", name, min, max,
			       v.raw.n > 40 ? 40 : (int)v.raw.n, v.raw.p);
	*out = (float)d;
	return 0;
}

static int integer(int64_t *out, const struct reader *r, const char *name, int64_t min, int64_t max)
{
	struct json_val v;

	if (!given(&v, r, name))
		return 0;
	if (v.type != JSON_NUMBER || json_i64(out, v, r->e) || *out < min || *out > max)
		return err_set(r->e, ERR_INVALID_FIELD,
			       "params.%s must be an integer from %lld to %lld, not %.*s", name,
			       (long long)min, (long long)max, v.raw.n > 40 ? 40 : (int)v.raw.n,
			       v.raw.p);
	return 0;
}

static int read_stops(struct llm_params *io, const struct reader *r)
{
	struct json_val v, x;
	struct json_iter it;
	struct str *s;
	size_t n;

	if (!given(&v, r, "stop"))
		return 0;
	n = v.type == JSON_ARRAY ? json_count(v) : 1;
	if ((v.type != JSON_ARRAY && v.type != JSON_STRING) || n > MAX_STOPS)
		return err_set(r->e, ERR_INVALID_FIELD,
			       "params.stop must be a string or an array of at most %d", MAX_STOPS);
	s = arena_alloc(r->a, (n ? n : 1) * sizeof *s);
	if (!s)
		return err_nomem(r->e);
	io->stops = (struct llm_stops){ s, 0 };
	it = json_iter(v);
	while (v.type == JSON_STRING ? io->stops.n == 0 && (x = v, true) : json_next(&x, &it)) {
		if (x.type != JSON_STRING || json_str(s, x, r->a, r->e) || !s->n)
			return err_set(r->e, ERR_INVALID_FIELD,
				       "params.stop must hold strings that are not empty");
		s++;
		io->stops.n++;
	}
	return 0;
}

static int read_logprobs(struct llm_params *io, const struct reader *r)
{
	int64_t top = io->n_top;
	struct json_val v;
	bool on = io->n_top >= 0;

	if (given(&v, r, "logprobs") && json_bool(&on, v, NULL))
		return err_set(r->e, ERR_INVALID_FIELD, "params.logprobs must be true or false");
	if (integer(&top, r, "top_logprobs", 0, MAX_TOP))
		return -1;
	io->n_top = !on ? -1 : top < 0 ? 0 : (int)top;
	return 0;
}

/* What would change the answer and cannot be done is not passed over in silence. */
static int refuse(const struct reader *r)
{
	struct json_val v;

	if (given(&v, r, "response_format") &&
	    !json_equal(json_get(v, "type"), (struct json_val){ STR("\"text\""), JSON_STRING }))
		return err_set(r->e, ERR_UNSUPPORTED,
			       "params.response_format: only {\"type\":\"text\"}");
	if (given(&v, r, "logit_bias") && json_count(v))
		return err_set(r->e, ERR_UNSUPPORTED, "params.logit_bias is not supported");
	return 0;
}

int llm_params_read(struct llm_params *io, llm_param_fn *get, void *arg, struct arena *a,
		    struct err *e)
{
	struct reader r = { get, arg, a, e };
	struct sample_params *s = &io->sample;
	int64_t max_tokens = io->max_tokens, n = io->n, seed = (int64_t)s->seed, top_k = s->top_k,
		last_n = s->repeat_last_n;

	if (number(&s->temperature, &r, "temperature", 0, 100) ||
	    number(&s->top_p, &r, "top_p", 0, 1) || number(&s->min_p, &r, "min_p", 0, 1) ||
	    number(&s->repeat_penalty, &r, "repeat_penalty", 0.01, 100) ||
	    number(&s->presence_penalty, &r, "presence_penalty", -100, 100) ||
	    number(&s->frequency_penalty, &r, "frequency_penalty", -100, 100) ||
	    integer(&top_k, &r, "top_k", -1, INT32_MAX) ||
	    integer(&last_n, &r, "repeat_last_n", -1, INT32_MAX) ||
	    integer(&seed, &r, "seed", INT64_MIN, INT64_MAX) ||
	    integer(&n, &r, "n", 1, LLM_MAX_SAMPLES) ||
	    integer(&max_tokens, &r, "max_tokens", 1, INT32_MAX) ||
	    integer(&max_tokens, &r, "max_completion_tokens", 1, INT32_MAX) || read_stops(io, &r) ||
	    read_logprobs(io, &r) || refuse(&r))
		return -1;
	s->top_k = (int32_t)top_k;
	s->repeat_last_n = (int32_t)last_n;
	s->seed = (uint64_t)seed;
	io->n = (uint32_t)n;
	io->max_tokens = (int32_t)max_tokens;
	return 0;
}

static void put_f32(struct json_w *w, const char *key, float v)
{
	json_w_key(w, key);
	json_w_f32(w, v);
}

static void put_i64(struct json_w *w, const char *key, int64_t v)
{
	json_w_key(w, key);
	json_w_i64(w, v);
}

void llm_params_put(struct json_w *w, const struct llm_params *p)
{
	const struct sample_params *s = &p->sample;

	put_i64(w, "max_tokens", p->max_tokens);
	put_f32(w, "temperature", s->temperature);
	if (s->temperature > 0) {
		put_i64(w, "top_k", s->top_k);
		put_f32(w, "top_p", s->top_p);
		put_f32(w, "min_p", s->min_p);
	}
	if (s->repeat_penalty < 1 || s->repeat_penalty > 1)
		put_f32(w, "repeat_penalty", s->repeat_penalty);
	if (s->presence_penalty < 0 || s->presence_penalty > 0)
		put_f32(w, "presence_penalty", s->presence_penalty);
	if (s->frequency_penalty < 0 || s->frequency_penalty > 0)
		put_f32(w, "frequency_penalty", s->frequency_penalty);
	put_i64(w, "seed", (int64_t)s->seed);
	if (p->n > 1)
		put_i64(w, "n", p->n);
	if (p->stops.n) {
		json_w_key(w, "stop");
		json_w_begin(w, '[');
		for (size_t i = 0; i < p->stops.n; i++)
			json_w_str(w, p->stops.v[i]);
		json_w_end(w, ']');
	}
}

static void put_ms(struct json_w *w, const char *key, uint64_t from, uint64_t to)
{
	json_w_key(w, key);
	json_w_f64(w, to > from ? round((double)(to - from) / 1e3) / 1e3 : 0);
}

static void put_str(struct json_w *w, const char *key, struct str s)
{
	if (!s.n)
		return;
	json_w_key(w, key);
	json_w_str(w, s);
}

static void put_usage(struct json_w *w, const struct llm_call *c)
{
	json_w_key(w, "usage");
	if (c->usage.n) {
		json_w_raw(w, c->usage);
		return;
	}
	json_w_begin(w, '{');
	json_w_key(w, "prompt_tokens");
	json_w_u64(w, c->prompt_tokens);
	if (c->has_completion) {
		json_w_key(w, "completion_tokens");
		json_w_u64(w, c->completion_tokens);
	}
	json_w_key(w, "total_tokens");
	json_w_u64(w, c->prompt_tokens + c->completion_tokens);
	if (c->has_completion) {
		json_w_key(w, "prompt_tokens_details");
		json_w_begin(w, '{');
		json_w_key(w, "cached_tokens");
		json_w_u64(w, c->cached_tokens);
		json_w_end(w, '}');
	}
	json_w_end(w, '}');
}

int llm_call_put(struct buf *out, const struct llm_call *c, struct err *e)
{
	struct json_w w = json_w(out);
	uint8_t hash[HASH_SHA256_LEN];
	char hex[HASH_HEX_LEN + 1];

	json_w_begin(&w, '{');
	json_w_key(&w, "stage");
	json_w_strz(&w, c->stage);
	json_w_key(&w, "model");
	json_w_strz(&w, c->model);
	json_w_key(&w, "model_digest");
	json_w_strz(&w, c->digest && c->digest[0] ? c->digest : NULL);
	put_str(&w, "provider", c->provider);
	put_usage(&w, c);
	json_w_key(&w, "params");
	json_w_raw(&w, c->params);
	if (c->prompt.n)
		hash_sha256(hash, c->prompt.p, c->prompt.n);
	if (c->prompt.n || c->prompt_sha256) {
		hash_hex(hex, c->prompt.n ? hash : c->prompt_sha256, sizeof hash);
		json_w_key(&w, "prompt_hash");
		json_w_strz(&w, hex);
	}
	json_w_key(&w, "timings");
	json_w_begin(&w, '{');
	if (c->t_first) {
		put_ms(&w, "queue", c->t_queued, c->t_start);
		put_ms(&w, "ttft", c->t_queued, c->t_first);
		put_ms(&w, "prompt", c->t_start, c->t_first);
		put_ms(&w, "predicted", c->t_first, c->t_done);
	} else if (c->t_start) {
		put_ms(&w, "queue", c->t_queued, c->t_start);
	}
	put_ms(&w, "total", c->t_queued, c->t_done);
	if (c->ns_prompt || c->ns_predicted) {
		put_ms(&w, "machine_prompt", 0, c->ns_prompt);
		put_ms(&w, "machine_predicted", 0, c->ns_predicted);
	}
	json_w_end(&w, '}');
	put_i64(&w, "created", time_unix_s());
	put_str(&w, "request_id", c->request_id);
	if (c->attempts)
		put_i64(&w, "attempts", c->attempts);
	if (c->cache.n) {
		json_w_key(&w, "cache");
		json_w_raw(&w, c->cache);
	}
	json_w_end(&w, '}');
	return buf_check(out, e);
}
