/* price_line: one line of a price book. Unknown members are errors: a misspelt condition must not
 * become a price. */
#include "config.h"
#include "price/price_impl.h"

struct parse {
	struct price_book *b;
	struct price_line *l;
	struct str sku, provider, currency;
	struct json_val match, tiers;
	bool have_unit, have_price;
};

static int bad(struct err *e, const char *name, const char *want)
{
	return err_set(e, ERR_OPEN, "`%s` must be %s", name, want);
}

static int text_of(struct str *out, struct parse *p, const char *name, struct json_val v,
		   struct err *e)
{
	if (json_str(out, v, &p->b->arena, e))
		return bad(e, name, "a string");
	*out = arena_str(&p->b->arena, *out);
	return out->p ? 0 : err_nomem(e);
}

/* A price: a decimal string, in 1e-12. More decimals are refused here; importers round and say so.
 */
static int price_of(int64_t *out, struct parse *p, struct json_val v, struct err *e)
{
	struct str s;
	bool inexact;

	if (json_str(&s, v, &p->b->arena, e) || price_decimal_i64(out, &inexact, s, 12, e) ||
	    *out < 0)
		return bad(e, "price", "a decimal string between 0 and 9200000");
	return inexact ? bad(e, "price", "a decimal string of at most 12 decimals") : 0;
}

/* "1/2", "11/10", "3" */
static int ratio_of(int64_t *num, int64_t *den, struct parse *p, struct json_val v, struct err *e)
{
	struct str s;
	size_t slash;

	if (json_str(&s, v, &p->b->arena, e))
		return bad(e, "multipliers", "an object of ratios as strings, e.g. \"1/2\"");
	slash = str_find(s, STR("/"), 0);
	*den = 1;
	if (num_i64(num, str_sub(s, 0, slash), 0, 1000000, e) ||
	    (slash < s.n && num_i64(den, str_sub(s, slash + 1, s.n), 1, 1000000, e)))
		return bad(e, "multipliers", "ratios of integers, e.g. \"1/2\"");
	return 0;
}

static int multipliers_of(struct parse *p, struct json_val v, struct err *e)
{
	struct json_iter it = json_members(v);
	struct json_val val;
	struct str key;

	if (v.type != JSON_OBJECT)
		return bad(e, "multipliers", "an object");
	while (json_next_member(&key, &val, &it)) {
		struct price_mult *m = &p->l->mult[p->l->n_mult];

		if (p->l->n_mult == PRICE_MULT_MAX)
			return err_set(e, ERR_OPEN, "more than %d multipliers", PRICE_MULT_MAX);
		m->name = arena_str(&p->b->arena, key);
		if (!m->name.p)
			return err_nomem(e);
		if (ratio_of(&m->num, &m->den, p, val, e))
			return -1;
		p->l->n_mult++;
	}
	return 0;
}

static int time_of(int64_t *out, int64_t open, struct parse *p, const char *name, struct json_val v,
		   struct err *e)
{
	struct str s;

	*out = open;
	if (v.type == JSON_NULL)
		return 0;
	if (json_str(&s, v, &p->b->arena, e) || time_parse(out, s, e))
		return bad(e, name, "a date or RFC 3339 time, or null");
	return 0;
}

/* "16:30-00:30", minutes of the UTC day */
static int window_of(struct parse *p, struct json_val v, struct err *e)
{
	int64_t n[4];
	struct str s;

	if (json_str(&s, v, &p->b->arena, e) || s.n != 11 || s.p[2] != ':' || s.p[5] != '-' ||
	    s.p[8] != ':')
		return bad(e, "when.utc", "a window such as \"16:30-00:30\"");
	for (size_t i = 0; i < 4; i++)
		if (num_i64(&n[i], str_sub(s, 3 * i, 3 * i + 2), 0, i % 2 ? 59 : 23, e))
			return bad(e, "when.utc", "a window such as \"16:30-00:30\"");
	p->l->utc_from = (int)(n[0] * 60 + n[1]);
	p->l->utc_to = (int)(n[2] * 60 + n[3]);
	return 0;
}

/* ["mon","tue"] */
static int weekdays_of(struct parse *p, struct json_val v, struct err *e)
{
	static const char *const names[] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };
	struct json_iter it = json_elements(v);
	struct json_val val;
	struct str s;

	while (json_next(&val, &it)) {
		unsigned d = 0;

		if (json_str(&s, val, &p->b->arena, e))
			return bad(e, "when.weekday", "an array of mon, tue, …");
		while (d < 7 && !str_is(s, names[d]))
			d++;
		if (d == 7)
			return bad(e, "when.weekday", "an array of mon, tue, …");
		p->l->weekdays |= 1u << d;
	}
	return p->l->weekdays ? 0 : bad(e, "when.weekday", "an array of mon, tue, …");
}

static int when_of(struct parse *p, struct json_val v, struct err *e)
{
	struct json_iter it = json_members(v);
	struct json_val val;
	struct str key;

	if (v.type != JSON_OBJECT && v.type != JSON_NULL)
		return bad(e, "when", "an object");
	while (json_next_member(&key, &val, &it)) {
		int failed = 0;

		if (val.type == JSON_NULL)
			continue;
		if (json_key_is(key, STR("service_tier"))) {
			failed = text_of(&p->l->tier, p, "when.service_tier", val, e);
			if (!failed && str_is(p->l->tier, "standard"))
				p->l->tier.n = 0;
		} else if (json_key_is(key, STR("region"))) {
			failed = text_of(&p->l->region, p, "when.region", val, e);
			if (!failed && str_is(p->l->region, "*"))
				p->l->region.n = 0;
		} else if (json_key_is(key, STR("weekday"))) {
			failed = weekdays_of(p, val, e);
		} else if (json_key_is(key, STR("utc"))) {
			failed = window_of(p, val, e);
		} else {
			failed = err_set(e, ERR_OPEN, "unknown member `when." STR_FMT "`",
					 STR_ARG(key));
		}
		if (failed)
			return -1;
	}
	return 0;
}

/* One tier; `marginal` slices the bucket itself, so it is not decided by the request's input. */
static int tier_of(struct parse *p, struct json_val v, struct err *e)
{
	struct price_line *l = p->l;
	struct price_tier *t = &l->tiers[l->n_tiers];
	struct json_iter it = json_members(v);
	struct str key, s = { "", 0 };
	struct json_val val;
	bool have_over = false;
	bool have_price = false;

	if (l->n_tiers == PRICE_TIERS_MAX)
		return err_set(e, ERR_OPEN, "more than %d tiers", PRICE_TIERS_MAX);
	*t = (struct price_tier){ 0 };
	while (json_next_member(&key, &val, &it)) {
		if (json_key_is(key, STR("over"))) {
			have_over = !json_i64(&t->over, val, e) && t->over >= 0 &&
				    t->over <= 1000000000000;
		} else if (json_key_is(key, STR("price"))) {
			if (price_of(&t->price_e12, p, val, e))
				return -1;
			have_price = true;
		} else if (json_key_is(key, STR("inclusive"))) {
			if (json_bool(&t->inclusive, val, e))
				return bad(e, "inclusive", "true or false");
		} else if (json_key_is(key, STR("mode"))) {
			if (json_str(&s, val, &p->b->arena, e) ||
			    !(str_is(s, "cliff") || str_is(s, "marginal")))
				return bad(e, "mode", "\"cliff\" or \"marginal\"");
			if (l->n_tiers && l->marginal != str_is(s, "marginal"))
				return bad(e, "mode", "the same in all tiers");
			l->marginal = str_is(s, "marginal");
		} else if (json_key_is(key, STR("by"))) {
			if (json_str(&s, val, &p->b->arena, e) ||
			    !str_is(s, "request_input_tokens"))
				return bad(e, "by", "\"request_input_tokens\"");
		} else {
			return err_set(e, ERR_OPEN, "unknown member `tiers." STR_FMT "`",
				       STR_ARG(key));
		}
	}
	if (!have_over || !have_price)
		return bad(e, "tiers", "an array of {\"over\": tokens, \"price\": \"…\"}");
	if (l->n_tiers && t->over <= t[-1].over)
		return bad(e, "tiers", "in ascending order");
	l->n_tiers++;
	return 0;
}

static int member(struct parse *p, struct str key, struct json_val v, struct err *e)
{
	struct price_line *l = p->l;
	struct json_iter it;
	struct json_val val;
	struct str s;

	if (json_key_is(key, STR("sku")))
		return text_of(&p->sku, p, "sku", v, e);
	if (json_key_is(key, STR("provider")))
		return text_of(&p->provider, p, "provider", v, e);
	if (json_key_is(key, STR("currency")))
		return text_of(&p->currency, p, "currency", v, e);
	if (json_key_is(key, STR("match"))) {
		p->match = v;
		return v.type == JSON_ARRAY ? 0 : bad(e, "match", "an array");
	}
	if (json_key_is(key, STR("unit"))) {
		if (json_str(&s, v, &p->b->arena, e))
			return bad(e, "unit", "a string");
		l->unit = price_unit_of(s);
		p->have_unit = true;
		return l->unit < PRICE_N_UNITS
			       ? 0
			       : err_set(e, ERR_OPEN, "unknown unit \"" STR_FMT "\"", STR_ARG(s));
	}
	if (json_key_is(key, STR("per"))) {
		if (json_i64(&l->per, v, e) || l->per < 1 || l->per > 1000000000000)
			return bad(e, "per", "an integer of 1 or more");
		return 0;
	}
	if (json_key_is(key, STR("price"))) {
		p->have_price = true;
		return price_of(&l->price_e12, p, v, e);
	}
	if (json_key_is(key, STR("valid_from")))
		return time_of(&l->from, INT64_MIN, p, "valid_from", v, e);
	if (json_key_is(key, STR("valid_to")))
		return time_of(&l->to, INT64_MAX, p, "valid_to", v, e);
	if (json_key_is(key, STR("when")))
		return when_of(p, v, e);
	if (json_key_is(key, STR("multipliers")))
		return multipliers_of(p, v, e);
	if (json_key_is(key, STR("tiers"))) {
		if (v.type != JSON_ARRAY && v.type != JSON_NULL)
			return bad(e, "tiers", "an array");
		it = json_elements(v);
		while (json_next(&val, &it))
			if (tier_of(p, val, e))
				return -1;
		return 0;
	}
	if (json_key_is(key, STR("source")) || json_key_is(key, STR("confidence")) ||
	    json_key_is(key, STR("note")))
		return 0;
	return err_set(e, ERR_OPEN, "unknown member `" STR_FMT "`", STR_ARG(key));
}

static int add_names(struct price_book *b, struct price_model *m, struct json_val match,
		     struct err *e)
{
	struct json_iter it = json_elements(match);
	struct json_val v;

	while (json_next(&v, &it)) {
		static const char *const kinds[] = { "exact", "alias", "prefix" };
		struct str name = { NULL, 0 };
		struct price_prefix *p;
		bool clash = false;
		unsigned k = 0;

		while (k < 3 && json_get(v, kinds[k]).type != JSON_STRING)
			k++;
		if (k == 3 || json_str(&name, json_get(v, kinds[k]), &b->arena, e))
			return bad(e, "match",
				   "an array of {\"exact\": …}, {\"alias\": …} or {\"prefix\": …}");
		if (k < 2) {
			if (price_name_add(&clash, b, m, name, k ? PRICE_ALIAS : PRICE_EXACT, e))
				return -1;
			if (clash)
				return err_set(e, ERR_OPEN,
					       "\"" STR_FMT "\" is already a name of another sku",
					       STR_ARG(name));
			continue;
		}
		if (price_grow(&b->prefixes, b->n_prefixes, &b->cap_prefixes, sizeof *b->prefixes,
			       e))
			return -1;
		p = &b->prefixes[b->n_prefixes];
		*p = (struct price_prefix){ m->provider, arena_str(&b->arena, name), m,
					    b->n_files - 1 };
		if (!p->prefix.p)
			return err_nomem(e);
		b->n_prefixes++;
	}
	return 0;
}

/* The model of a sku (without its last part, the unit); made when it is new. */
static int model_of(struct price_model **out, struct parse *p, struct err *e)
{
	struct price_book *b = p->b;
	struct str base = p->sku;
	struct price_model *m;

	while (base.n && base.p[base.n - 1] != '/')
		base.n--;
	if (base.n < 2)
		return bad(e, "sku", "of the form provider/model/unit");
	base.n--;
	for (size_t i = b->n_models; i-- > 0;) {
		*out = b->models[i];
		if (!str_eq((*out)->sku, base))
			continue;
		if (p->provider.n && !str_eq((*out)->provider, p->provider))
			return bad(e, "provider", "the same for all units of a sku");
		return str_eq((*out)->currency, p->currency)
			       ? 0
			       : bad(e, "currency", "the same for all units of a sku");
	}
	if (p->match.type == JSON_NONE)
		return bad(e, "match", "given on the first line of a sku");
	m = arena_alloc(&b->arena, sizeof *m);
	if (!m || price_grow(&b->models, b->n_models, &b->cap_models, sizeof *b->models, e))
		return err_nomem(e);
	*m = (struct price_model){ .sku = base, .currency = p->currency, .provider = p->provider };
	if (!m->provider.n)
		m->provider = str_sub(base, 0, str_find(base, STR("/"), 0));
	b->models[b->n_models++] = m;
	*out = m;
	return 0;
}

/* Into the model's lines, the more specific units first. */
static int insert(struct price_model *m, struct price_line *l, struct err *e)
{
	size_t cap = m->cap;
	unsigned i;

	if (price_grow(&m->lines, m->n, &cap, sizeof *m->lines, e))
		return -1;
	m->cap = (unsigned)cap;
	for (i = m->n; i > 0 && price_unit_depth(m->lines[i - 1]->unit) < price_unit_depth(l->unit);
	     i--)
		m->lines[i] = m->lines[i - 1];
	m->lines[i] = l;
	m->n++;
	return 0;
}

int price_line_add(struct price_book *b, struct str text, uint64_t lineno, struct err *e)
{
	struct parse p = { .b = b, .currency = STR("USD") };
	struct json_iter it;
	struct json_val v;
	struct str key;

	if (json_parse(&v, text, e))
		return -1;
	if (v.type != JSON_OBJECT)
		return err_set(e, ERR_OPEN, "not an object");
	p.l = arena_alloc(&b->arena, sizeof *p.l);
	if (!p.l)
		return err_nomem(e);
	*p.l = (struct price_line){ .per = 1000000,
				    .from = INT64_MIN,
				    .to = INT64_MAX,
				    .file = b->n_files - 1,
				    .lineno = lineno };
	it = json_members(v);
	while (json_next_member(&key, &v, &it))
		if (member(&p, key, v, e))
			return -1;
	if (!p.have_unit || !p.have_price || !p.sku.n)
		return err_set(e, ERR_OPEN, "a line needs `sku`, `unit` and `price`");
	if (p.l->from >= p.l->to)
		return bad(e, "valid_to", "later than `valid_from`");
	p.l->below = price_units_below(p.l->unit);
	if (model_of(&p.l->model, &p, e) || add_names(b, p.l->model, p.match, e) ||
	    price_grow(&b->lines, b->n_lines, &b->cap_lines, sizeof *b->lines, e) ||
	    insert(p.l->model, p.l, e))
		return -1;
	b->lines[b->n_lines++] = p.l;
	return 0;
}
