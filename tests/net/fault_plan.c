/* fault_plan: reading a plan and choosing from it. */
#include "config.h"
#include "fault_impl.h"
#include <stdlib.h>
#include "base/banned.h"

enum kind { INT, REAL, BOOL, TEXT, VALUE };
struct member {
	const char *name;
	enum kind kind;
	size_t at;
};
#define L(m) offsetof(struct fault_line, m)
static const struct member members[] = {
	{ "status", INT, L(status) }, { "type", TEXT, L(type) }, { "headers", VALUE, L(headers) }, { "body", TEXT, L(body) },
	{ "error", TEXT, L(error) }, { "chat", TEXT, L(chat) }, { "delay_ms", INT, L(delay_ms) },
	{ "stall_ms", INT, L(stall_ms) }, { "drip", INT, L(drip) }, { "gap_ms", INT, L(gap_ms) },
	{ "chunks", VALUE, L(chunks) }, { "cut", INT, L(cut) }, { "reset", BOOL, L(reset) }, { "huge", INT, L(huge) },
	{ "endless", BOOL, L(endless) }, { "retry_in", INT, L(retry_in) }, { NULL, 0, 0 }
};
static const struct member conditions[] = {
	{ "from", INT, L(when.from) }, { "to", INT, L(when.to) }, { "after_ms", INT, L(when.after_ms) },
	{ "until_ms", INT, L(when.until_ms) }, { "attempts", INT, L(when.attempts) }, { "p", REAL, L(when.p) },
	{ "match", TEXT, L(when.match) }, { "lacks", TEXT, L(when.lacks) }, { NULL, 0, 0 }
};

static int set(struct fault_line *l, const struct member *m, struct json_val v, struct arena *a, struct err *e)
{
	void *to = (char *)l + m->at;

	switch (m->kind) {
	case INT:
		return json_i64(to, v, e);
	case REAL:
		return json_f64(to, v, e);
	case BOOL:
		return json_bool(to, v, e);
	case TEXT:
		return json_str(to, v, a, e);
	default:
		if (v.type != JSON_ARRAY)
			return err_set(e, ERR_INVALID_FIELD, "no array");
		memcpy(to, &v, sizeof v);
		return 0;
	}
}

static int read_object(struct fault_line *l, struct json_val obj, const struct member *known, struct arena *a, struct err *e)
{
	struct json_iter it = json_members(obj);
	struct json_val v;
	struct str key;

	if (obj.type != JSON_OBJECT)
		return err_set(e, ERR_INVALID_FIELD, "no object");
	while (json_next_member(&key, &v, &it)) {
		const struct member *m = known;

		if (known == members && json_key_is(key, STR("when"))) {
			l->rule = true;
			if (read_object(l, v, conditions, a, e))
				return -1;
			continue;
		}
		while (m->name && !json_key_is(key, str_of(m->name)))
			m++;
		if (!m->name)
			return err_set(e, ERR_INVALID_FIELD, "no member is called " STR_FMT, STR_ARG(key));
		if (set(l, m, v, a, e))
			return err_wrap(e, "%s", m->name);
	}
	return 0;
}

int fault_plan_read(struct fault_plan *p, const char *text, struct err *e)
{
	char *at, *end;

	arena_init(&p->a, FAULT_REQUEST_MAX);
	p->n = 0;
	at = p->text = strdup(text ? text : "");
	if (!at)
		return err_nomem(e);
	for (; *at; at = *end ? end + 1 : end) {
		struct fault_line *l = &p->line[p->n];
		struct json_val v;

		end = strchrnul(at, '\n');
		if (end == at)
			continue;
		if (p->n == FAULT_PLAN_MAX)
			return err_set(e, ERR_INVALID_FIELD, "more than %d lines", FAULT_PLAN_MAX);
		*l = (struct fault_line){ .status = -1, .delay_ms = -1, .stall_ms = -1, .gap_ms = -1, .drip = -1, .cut = -1,
					  .huge = -1, .retry_in = -1 };
		l->when.to = l->when.until_ms = l->when.attempts = INT64_MAX;
		l->when.p = 1;
		if (json_parse(&v, (struct str){ at, (size_t)(end - at) }, e) || read_object(l, v, members, &p->a, e))
			return err_wrap(e, "line %zu of the plan", p->n + 1);
		p->n++;
	}
	return 0;
}

void fault_plan_release(struct fault_plan *p)
{
	free(p->text);
	arena_release(&p->a);
}

static bool holds(const struct fault_line *l, size_t i, const struct fault_request *r, uint64_t seed)
{
	if ((int64_t)r->n < l->when.from || (int64_t)r->n >= l->when.to || (int64_t)r->ms < l->when.after_ms ||
	    (int64_t)r->ms >= l->when.until_ms || (int64_t)r->attempt > l->when.attempts)
		return false;
	if (l->when.match.p && str_find(r->all, l->when.match, 0) == r->all.n)
		return false;
	if (l->when.lacks.p && str_find(r->all, l->when.lacks, 0) < r->all.n)
		return false;
	if (l->when.p < 1) {
		struct rng draw = { .key = seed ^ hash_mix64(r->hash), .stream = i, .step = r->attempt };

		return rng_f64(&draw) < l->when.p;
	}
	return true;
}

size_t fault_plan_pick(const struct fault_plan *p, const struct fault_request *r, uint64_t seed)
{
	uint64_t turn = r->n;
	size_t last = p->n;

	for (size_t i = 0; i < p->n; i++)
		if (p->line[i].rule && holds(&p->line[i], i, r, seed))
			return i;
	for (size_t i = 0; i < p->n; i++)
		if (!p->line[i].rule) {
			last = i;
			if (!turn--)
				return i;
		}
	return last;
}
