/*
 * price_usage: the shapes in which vendors report usage, read by one table of members. A walk fills
 * `raw` counts under neutral names; combine() then knows which of them contain which. Shapes: the
 * public API references of OpenAI (chat, Responses, realtime, Batch), Anthropic, Amazon Bedrock,
 * Google Gemini, Cohere, DeepSeek, xAI; OpenTelemetry's gen_ai conventions; OpenInference.
 */
#include "config.h"
#include "price/price_impl.h"

#define COUNT_MAX ((int64_t)1000000000000) /* units; sums of all kinds then fit */

enum raw {
	R_PROMPT, /* with everything that was cached */
	R_COMPLETION,
	R_TOTAL,
	R_INPUT, /* with the cached, but for Anthropic's */
	R_OUTPUT,
	R_CACHED, /* part of R_PROMPT or R_INPUT */
	R_WRITTEN,
	R_AUDIO_IN,
	R_IMAGE_IN,
	R_VIDEO_IN,
	R_CACHED_AUDIO,
	R_CACHED_IMAGE,
	R_CACHED_VIDEO,
	R_REASONING,
	R_AUDIO_OUT,
	R_IMAGE_OUT,
	R_APART_READ, /* Anthropic, Bedrock: beside the input */
	R_APART_WRITE,
	R_WRITE_5M,
	R_WRITE_1H,
	R_WEB,
	R_SEARCH_UNITS,
	R_TOOL_PROMPT, /* Gemini: beside the prompt */
	R_THOUGHTS,    /* Gemini: beside the candidates */
	R_XAI_TICKS,
	R_N
};
/* where in the usage a member stands */
enum place {
	P_USAGE,
	P_PROMPT,
	P_COMPLETION,
	P_CACHED,
	P_CREATION,
	P_SERVER,
	P_TOP,
	P_G_PROMPT,
	P_G_CACHED,
	P_G_OUT,
	P_N
};

struct field {
	enum place at;
	uint8_t n;  /* length of the name */
	uint8_t to; /* enum raw, or R_N + enum place for an object inside */
	const char *name;
};
#define F(at, name, to)                                                                            \
	{                                                                                          \
		at, sizeof name - 1, to, name                                                      \
	}
#define SUB(at, name, place)                                                                       \
	{                                                                                          \
		at, sizeof name - 1, R_N + place, name                                             \
	}
static const struct field fields[] = {
	F(P_USAGE, "prompt_tokens", R_PROMPT),
	F(P_USAGE, "completion_tokens", R_COMPLETION),
	F(P_USAGE, "total_tokens", R_TOTAL),
	F(P_USAGE, "input_tokens", R_INPUT),
	F(P_USAGE, "output_tokens", R_OUTPUT),
	SUB(P_USAGE, "prompt_tokens_details", P_PROMPT),
	SUB(P_USAGE, "input_tokens_details", P_PROMPT),
	SUB(P_USAGE, "input_token_details", P_PROMPT),
	SUB(P_USAGE, "completion_tokens_details", P_COMPLETION),
	SUB(P_USAGE, "output_tokens_details", P_COMPLETION),
	SUB(P_USAGE, "output_token_details", P_COMPLETION),
	F(P_USAGE, "prompt_cache_hit_tokens", R_CACHED),
	F(P_USAGE, "cached_prompt_text_tokens", R_CACHED),
	F(P_USAGE, "cost_in_usd_ticks", R_XAI_TICKS),
	F(P_USAGE, "cache_read_input_tokens", R_APART_READ),
	F(P_USAGE, "cache_creation_input_tokens", R_APART_WRITE),
	SUB(P_USAGE, "cache_creation", P_CREATION),
	SUB(P_USAGE, "server_tool_use", P_SERVER),
	F(P_USAGE, "inputTokens", R_INPUT),
	F(P_USAGE, "outputTokens", R_OUTPUT),
	F(P_USAGE, "cacheReadInputTokens", R_APART_READ),
	F(P_USAGE, "cacheWriteInputTokens", R_APART_WRITE),
	F(P_USAGE, "promptTokenCount", R_PROMPT),
	F(P_USAGE, "toolUsePromptTokenCount", R_TOOL_PROMPT),
	F(P_USAGE, "cachedContentTokenCount", R_CACHED),
	F(P_USAGE, "candidatesTokenCount", R_COMPLETION),
	F(P_USAGE, "thoughtsTokenCount", R_THOUGHTS),
	SUB(P_USAGE, "promptTokensDetails", P_G_PROMPT),
	SUB(P_USAGE, "cacheTokensDetails", P_G_CACHED),
	SUB(P_USAGE, "candidatesTokensDetails", P_G_OUT),
	SUB(P_USAGE, "billed_units", P_USAGE),
	F(P_USAGE, "search_units", R_SEARCH_UNITS),
	F(P_PROMPT, "cached_tokens", R_CACHED),
	F(P_PROMPT, "cache_write_tokens", R_WRITTEN),
	F(P_PROMPT, "audio_tokens", R_AUDIO_IN),
	F(P_PROMPT, "image_tokens", R_IMAGE_IN),
	SUB(P_PROMPT, "cached_tokens_details", P_CACHED),
	F(P_CACHED, "audio_tokens", R_CACHED_AUDIO),
	F(P_CACHED, "image_tokens", R_CACHED_IMAGE),
	F(P_COMPLETION, "reasoning_tokens", R_REASONING),
	F(P_COMPLETION, "audio_tokens", R_AUDIO_OUT),
	F(P_COMPLETION, "image_tokens", R_IMAGE_OUT),
	F(P_CREATION, "ephemeral_5m_input_tokens", R_WRITE_5M),
	F(P_CREATION, "ephemeral_1h_input_tokens", R_WRITE_1H),
	F(P_SERVER, "web_search_requests", R_WEB),
	F(P_TOP, "gen_ai.usage.input_tokens", R_INPUT),
	F(P_TOP, "gen_ai.usage.output_tokens", R_OUTPUT),
	F(P_TOP, "gen_ai.usage.cache_read.input_tokens", R_CACHED),
	F(P_TOP, "gen_ai.usage.cache_creation.input_tokens", R_WRITTEN),
	F(P_TOP, "llm.token_count.prompt", R_PROMPT),
	F(P_TOP, "llm.token_count.completion", R_COMPLETION),
	F(P_TOP, "llm.token_count.prompt_details.cache_read", R_CACHED),
	F(P_TOP, "llm.token_count.prompt_details.cache_write", R_WRITTEN),
};

struct counts {
	int64_t v[R_N]; /* 1e-6 units */
	uint32_t have;
};
#define HAS(c, r) ((c)->have >> (r)&1)

static int count_of(int64_t *micro, struct str key, struct json_val v, struct err *e)
{
	bool inexact;
	int64_t n = 0;
	size_t i = 0;

	if (v.type == JSON_NUMBER) {
		for (; i < v.raw.n && i < 13 && v.raw.p[i] >= '0' && v.raw.p[i] <= '9'; i++)
			n = n * 10 + (v.raw.p[i] - '0');
		if (i == v.raw.n) {
			*micro = n * PRICE_MICRO;
		} else if (price_decimal_i64(micro, &inexact, v.raw, 6, e)) {
			return err_wrap(e, "usage: `" STR_FMT "`", STR_ARG(key));
		}
		if (*micro >= 0 && *micro <= COUNT_MAX * PRICE_MICRO)
			return 0;
	}
	return err_set(e, ERR_INVALID_FIELD,
		       "usage: `" STR_FMT "` must be a count between 0 and 10^12", STR_ARG(key));
}

static int set_count(struct counts *c, enum raw r, struct str key, struct json_val v, struct err *e)
{
	if (v.type == JSON_NULL)
		return 0;
	c->have |= (uint32_t)1 << r;
	return count_of(&c->v[r], key, v, e);
}

/* Gemini's [{"modality":"AUDIO","tokenCount":3}, …]; documents count as images. */
static int modalities(struct counts *c, enum place p, struct json_val list, struct err *e)
{
	static const struct {
		const char *name;
		uint8_t to[3]; /* by place */
	} kinds[] = {
		{ "AUDIO", { R_AUDIO_IN, R_CACHED_AUDIO, R_AUDIO_OUT } },
		{ "IMAGE", { R_IMAGE_IN, R_CACHED_IMAGE, R_IMAGE_OUT } },
		{ "DOCUMENT", { R_IMAGE_IN, R_CACHED_IMAGE, R_IMAGE_OUT } },
		{ "VIDEO", { R_VIDEO_IN, R_CACHED_VIDEO, R_N } },
	};
	struct json_iter it = json_elements(list);
	struct json_val v;

	while (json_next(&v, &it)) {
		struct json_val name = json_get(v, "modality");
		int64_t micro;

		for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
			uint8_t r = kinds[k].to[p - P_G_PROMPT];

			if (name.type != JSON_STRING || r == R_N ||
			    !str_is(str_sub(name.raw, 1, name.raw.n - 1), kinds[k].name))
				continue;
			if (count_of(&micro, STR("tokenCount"), json_get(v, "tokenCount"), e))
				return -1;
			c->v[r] += micro;
			c->have |= (uint32_t)1 << r;
			if (c->v[r] > COUNT_MAX * PRICE_MICRO)
				return err_set(e, ERR_INVALID_FIELD, "usage: too many tokens");
		}
	}
	return 0;
}

/* The field of that name and place, or NULL. Names are compared as they stand, and only then those
 * with an escape. */
static const struct field *find_field(const struct field *f, size_t n, enum place at,
				      struct str key)
{
	for (size_t i = 0; i < n && key.n; i++)
		if (f[i].n == key.n && f[i].name[0] == key.p[0] && f[i].at == at &&
		    memcmp(f[i].name, key.p, key.n) == 0)
			return &f[i];
	if (!memchr(key.p, '\\', key.n))
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (f[i].at == at && json_key_is(key, (struct str){ f[i].name, f[i].n }))
			return &f[i];
	return NULL;
}

static int walk(struct counts *c, enum place at, struct json_val obj, struct err *e);

static int member(struct counts *c, enum place at, struct str key, struct json_val v, struct err *e)
{
	const struct field *f = find_field(fields, sizeof fields / sizeof *fields, at, key);

	if (!f)
		return 0;
	if (f->to < R_N)
		return set_count(c, (enum raw)f->to, key, v, e);
	at = (enum place)(f->to - R_N);
	return at >= P_G_PROMPT ? modalities(c, at, v, e) : walk(c, at, v, e);
}

/* Nested objects are few and fixed in kind; `billed_units` inside itself ends with the JSON's
 * depth. */
static int walk(struct counts *c, enum place at, struct json_val obj, struct err *e)
{
	struct json_iter it = json_members(obj);
	struct json_val v;
	struct str key;

	while (json_next_member(&key, &v, &it))
		if (member(c, at, key, v, e))
			return -1;
	return 0;
}

void price_usage_set(struct price_usage *u, enum price_unit unit, int64_t micro)
{
	u->micro[unit] = micro;
	u->have |= (uint32_t)1 << unit;
}

static void copy(struct price_usage *u, enum price_unit unit, const struct counts *c, enum raw r)
{
	if (HAS(c, r))
		price_usage_set(u, unit, c->v[r]);
}

/* Is the reasoning beside the completion? The total tells; without one, xAI's own member or name
 * does. */
static bool reasoning_apart(const struct counts *c, const struct price_call *call)
{
	int64_t sum = c->v[R_PROMPT] + c->v[R_COMPLETION];

	if (!HAS(c, R_REASONING) || !HAS(c, R_COMPLETION))
		return false;
	if (HAS(c, R_TOTAL) && c->v[R_TOTAL] == sum)
		return false;
	if (HAS(c, R_TOTAL) && c->v[R_TOTAL] == sum + c->v[R_REASONING])
		return true;
	return HAS(c, R_XAI_TICKS) || str_is(call->provider, "xai");
}

static void combine(struct price_call *call, const struct counts *c)
{
	struct price_usage *u = &call->usage;
	int64_t in = 0;
	int64_t out = 0;
	bool has_in = true;
	bool has_out = true;

	if (HAS(c, R_PROMPT)) {
		in = c->v[R_PROMPT] + c->v[R_TOOL_PROMPT];
	} else if (HAS(c, R_INPUT) || HAS(c, R_APART_READ) || HAS(c, R_APART_WRITE)) {
		in = c->v[R_INPUT] + c->v[R_APART_READ] + c->v[R_APART_WRITE];
	} else {
		has_in = false;
	}
	if (HAS(c, R_COMPLETION) || HAS(c, R_THOUGHTS))
		out = c->v[R_COMPLETION] + c->v[R_THOUGHTS] +
		      (reasoning_apart(c, call) ? c->v[R_REASONING] : 0);
	else if (HAS(c, R_OUTPUT))
		out = c->v[R_OUTPUT];
	else
		has_out = false;
	if (has_in)
		price_usage_set(u, PRICE_INPUT, in);
	if (has_out)
		price_usage_set(u, PRICE_OUTPUT, out);
	copy(u, PRICE_CACHE_READ, c, HAS(c, R_CACHED) ? R_CACHED : R_APART_READ);
	copy(u, PRICE_CACHE_WRITE, c, HAS(c, R_WRITTEN) ? R_WRITTEN : R_APART_WRITE);
	copy(u, PRICE_CACHE_WRITE_5M, c, R_WRITE_5M);
	copy(u, PRICE_CACHE_WRITE_1H, c, R_WRITE_1H);
	copy(u, PRICE_INPUT_AUDIO, c, R_AUDIO_IN);
	copy(u, PRICE_INPUT_IMAGE, c, R_IMAGE_IN);
	copy(u, PRICE_INPUT_VIDEO, c, R_VIDEO_IN);
	copy(u, PRICE_CACHE_READ_AUDIO, c, R_CACHED_AUDIO);
	copy(u, PRICE_CACHE_READ_IMAGE, c, R_CACHED_IMAGE);
	copy(u, PRICE_CACHE_READ_VIDEO, c, R_CACHED_VIDEO);
	copy(u, PRICE_REASONING, c, HAS(c, R_THOUGHTS) ? R_THOUGHTS : R_REASONING);
	copy(u, PRICE_OUTPUT_AUDIO, c, R_AUDIO_OUT);
	copy(u, PRICE_OUTPUT_IMAGE, c, R_IMAGE_OUT);
	copy(u, PRICE_WEB_SEARCHES, c, R_WEB);
	copy(u, PRICE_SEARCH_UNITS, c, R_SEARCH_UNITS);
	call->have_usage |= u->have != 0;
}

/* ---- the call around the usage ------------------------------------------------------------- */

enum top {
	T_USAGE,
	T_MODEL,
	T_REQUEST_MODEL,
	T_PROVIDER,
	T_TIER,
	T_REGION,
	T_TIME,
	T_DIGEST,
	T_TIMINGS,
	T_CACHE,
	T_RESPONSE,
	T_RESULT,
	T_ATTRIBUTES,
	T_CALLS
};
static const struct field tops[] = {
	F(P_TOP, "usage", T_USAGE),
	F(P_TOP, "calls", T_CALLS),
	F(P_TOP, "model", T_MODEL),
	F(P_TOP, "created", T_TIME),
	F(P_TOP, "model_digest", T_DIGEST),
	F(P_TOP, "timings", T_TIMINGS),
	F(P_TOP, "provider", T_PROVIDER),
	F(P_TOP, "service_tier", T_TIER),
	F(P_TOP, "region", T_REGION),
	F(P_TOP, "cache", T_CACHE),
	F(P_TOP, "created_at", T_TIME),
	F(P_TOP, "timestamp", T_TIME),
	F(P_TOP, "usageMetadata", T_USAGE),
	F(P_TOP, "usage_metadata", T_USAGE),
	F(P_TOP, "modelVersion", T_MODEL),
	F(P_TOP, "model_version", T_MODEL),
	F(P_TOP, "meta", T_USAGE),
	F(P_TOP, "response", T_RESPONSE),
	F(P_TOP, "result", T_RESULT),
	F(P_TOP, "attributes", T_ATTRIBUTES),
	F(P_TOP, "gen_ai.response.model", T_MODEL),
	F(P_TOP, "gen_ai.request.model", T_REQUEST_MODEL),
	F(P_TOP, "gen_ai.provider.name", T_PROVIDER),
	F(P_TOP, "gen_ai.system", T_PROVIDER),
	F(P_TOP, "llm.model_name", T_MODEL),
	F(P_TOP, "llm.provider", T_PROVIDER),
};

struct reader {
	struct price_call *call;
	struct counts counts;
	struct json_val timings;
	struct str request_model;
	struct arena *arena;
	bool digest;
};

static int read_members(struct reader *r, struct json_val obj, unsigned depth, struct err *e);

static int text(struct str *out, struct reader *r, const char *name, struct json_val v,
		struct err *e)
{
	if (v.type == JSON_NULL)
		return 0;
	if (json_str(out, v, r->arena, e))
		return err_wrap(e, "`%s`", name);
	return 0;
}

static int read_time(struct reader *r, struct json_val v, struct err *e)
{
	struct str s;
	bool inexact;

	if (v.type == JSON_NULL)
		return 0;
	r->call->have_when = true;
	if (v.type == JSON_STRING)
		return json_str(&s, v, r->arena, e) || time_parse(&r->call->when, s, e);
	if (v.type != JSON_NUMBER || price_decimal_i64(&r->call->when, &inexact, v.raw, 0, e) ||
	    r->call->when > 253402300799) /* the year 9999 */
		return err_set(e, ERR_INVALID_FIELD,
			       "the time of the call must be Unix seconds or RFC 3339 text");
	return 0;
}

static bool is_hit(struct json_val v)
{
	struct json_val s = v.type == JSON_OBJECT ? json_get(v, "status") : v;

	return s.type == JSON_STRING && str_is(s.raw, "\"hit\"");
}

static int read_top(struct reader *r, enum top t, struct json_val v, unsigned depth, struct err *e)
{
	struct price_call *c = r->call;
	struct json_val inner;

	switch (t) {
	case T_USAGE:
		return walk(&r->counts, P_USAGE, v, e);
	case T_MODEL:
		return text(&c->model, r, "model", v, e);
	case T_REQUEST_MODEL:
		return text(&r->request_model, r, "gen_ai.request.model", v, e);
	case T_PROVIDER:
		return text(&c->provider, r, "provider", v, e);
	case T_TIER:
		return text(&c->tier, r, "service_tier", v, e);
	case T_REGION:
		return text(&c->region, r, "region", v, e);
	case T_TIME:
		return read_time(r, v, e);
	case T_DIGEST:
		r->digest = v.type == JSON_STRING;
		return 0;
	case T_TIMINGS:
		r->timings = v;
		return 0;
	case T_CACHE:
		c->cache_hit = is_hit(v);
		return 0;
	case T_RESPONSE: /* a line of OpenAI's Batch output, or an event of its realtime or
			    streaming API */
		inner = json_get(v, "body");
		c->batch |= inner.type == JSON_OBJECT;
		return read_members(r, inner.type == JSON_OBJECT ? inner : v, depth + 1, e);
	case T_RESULT: /* a line of Anthropic's batch results */
		inner = json_get(v, "message");
		c->batch |= inner.type == JSON_OBJECT;
		return read_members(r, inner, depth + 1, e);
	case T_ATTRIBUTES:
		return read_members(r, v, depth + 1, e);
	case T_CALLS:
		if (depth == 0)
			c->calls = v;
		return 0;
	}
	return 0;
}

static int read_members(struct reader *r, struct json_val obj, unsigned depth, struct err *e)
{
	struct json_iter it = json_members(obj);
	struct json_val v;
	struct str key;

	if (depth > 2)
		return 0;
	while (json_next_member(&key, &v, &it)) {
		const struct field *f = find_field(tops, sizeof tops / sizeof *tops, P_TOP, key);

		if (f) {
			if (read_top(r, (enum top)f->to, v, depth, e))
				return -1;
		} else if (key.n > 20 && (key.p[0] == 'g' || key.p[0] == 'l') &&
			   member(&r->counts, P_TOP, key, v,
				  e)) { /* "gen_ai.usage.…", "llm.token_count.…" */
			return -1;
		}
	}
	return 0;
}

/*
 * Milliseconds of `timings` to units of seconds: the call's own share of the machine where it is told (others ran in the
 * same batch), else the time it took.
 */
static int read_seconds(struct reader *r, enum price_unit unit, const char *const *names, struct err *e)
{
	struct json_val v = { .type = JSON_NONE };
	const char *name = names[0];
	int64_t us;
	bool inexact;

	for (int i = 0; names[i] && v.type != JSON_NUMBER; i++)
		v = json_get(r->timings, name = names[i]);
	if (v.type != JSON_NUMBER)
		return 0;
	if (price_decimal_i64(&us, &inexact, v.raw, 3, e) || us < 0 || us > COUNT_MAX * PRICE_MICRO)
		return err_set(e, ERR_INVALID_FIELD,
			       "`timings.%s` must be milliseconds of 0 or more", name);
	price_usage_set(&r->call->usage, unit, us);
	r->call->have_usage = true;
	return 0;
}

int price_call_read(struct price_call *out, struct json_val obj, struct arena *a, struct err *e)
{
	static const char *const input[] = { "machine_prompt", "prompt", NULL };
	static const char *const output[] = { "machine_predicted", "predicted", NULL };
	static const char *const whole[] = { "total", NULL };
	struct reader r = { .call = out, .arena = a };

	*out = (struct price_call){
		.model = { "", 0 }, .provider = { "", 0 }, .tier = { "", 0 }, .region = { "", 0 }
	};
	if (read_members(&r, obj, 0, e))
		return -1;
	if (out->calls.type == JSON_ARRAY &&
	    json_count(out->calls)) /* what stands beside them is not a call */
		return 0;
	if (!out->model.n)
		out->model = r.request_model;
	out->local = r.digest && !out->provider.n;
	combine(out, &r.counts);
	if (out->local && (read_seconds(&r, PRICE_INPUT_SECONDS, input, e) ||
			   read_seconds(&r, PRICE_OUTPUT_SECONDS, output, e)))
		return -1;
	if (out->local && !(out->usage.have & (1u << PRICE_INPUT_SECONDS | 1u << PRICE_OUTPUT_SECONDS)) &&
	    read_seconds(&r, PRICE_INPUT_SECONDS, whole, e))
		return -1;
	return 0;
}
