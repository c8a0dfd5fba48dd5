/* price_cost: exclusive buckets, tiers, multipliers; integers only. */
#include "config.h"
#include "price/price_impl.h"

#define BIT(u) ((uint32_t)1 << (u))

/* The lines in force for one call, a line a unit. */
struct choice {
	const struct price_line *line[PRICE_N_UNITS];
	int score[PRICE_N_UNITS];
	uint32_t priced;
};

static bool in_window(const struct price_line *l, int64_t when)
{
	int64_t days = when / 86400 - (when % 86400 < 0);
	int minute = (int)((when - days * 86400) / 60);
	unsigned weekday = (unsigned)(((days + 3) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */

	if (l->weekdays && !(l->weekdays >> weekday & 1))
		return false;
	if (l->utc_from == l->utc_to)
		return true;
	if (l->utc_from < l->utc_to)
		return minute >= l->utc_from && minute < l->utc_to;
	return minute >= l->utc_from || minute < l->utc_to;
}

static bool standard_tier(struct str t)
{
	return t.n == 0 || str_is(t, "standard") || str_is(t, "default") || str_is(t, "auto");
}

/* How well a line fits the call: -1 not at all; a later book beats an earlier one, a condition
 * beats none. */
static int fit(const struct price_line *l, const struct price_call *c, struct str tier,
	       int64_t when)
{
	int score = (int)l->file * 16;

	if (when < l->from || when >= l->to)
		return -1;
	if (l->tier.n) {
		if (!str_eq(l->tier, tier))
			return -1;
		score += 8;
	}
	if (l->region.n) {
		if (!str_eq(l->region, c->region))
			return -1;
		score += 4;
	}
	if (l->weekdays || l->utc_from != l->utc_to) {
		if (!in_window(l, when))
			return -1;
		score += 2;
	}
	return score;
}

static void choose(struct choice *ch, const struct price_model *m, const struct price_call *c,
		   struct str tier, int64_t when)
{
	ch->priced = 0;
	for (unsigned i = 0; i < m->n; i++) {
		const struct price_line *l = m->lines[i];
		int score = fit(l, c, tier, when);

		if (score < 0 || ((ch->priced & BIT(l->unit)) && score < ch->score[l->unit]))
			continue;
		ch->line[l->unit] = l;
		ch->score[l->unit] = score;
		ch->priced |= BIT(l->unit);
	}
}

static const struct price_mult *multiplier(const struct price_line *l, const char *prefix,
					   struct str name)
{
	size_t n = strlen(prefix);

	for (unsigned i = 0; i < l->n_mult; i++) {
		struct str have = l->mult[i].name;

		if (have.n == n + name.n && str_starts(have, str_of(prefix)) &&
		    str_eq(str_sub(have, n, have.n), name))
			return &l->mult[i];
	}
	return NULL;
}

static int unpriced(const struct price_model *m, struct err *e, const char *what, struct str name)
{
	return err_set(e, ERR_UNPRICED,
		       STR_FMT " has no price for %s \"" STR_FMT "\" at the time of the call",
		       STR_ARG(m->sku), what, STR_ARG(name));
}

/* Every unit used is priced itself or is part of one that is. */
static int check_priced(const struct price_model *m, const struct price_usage *u, uint32_t priced,
			struct err *e)
{
	for (uint32_t left = u->have & ~priced; left; left &= left - 1) {
		enum price_unit unit = (enum price_unit)__builtin_ctz(left);
		bool covered = u->micro[unit] == 0;

		for (uint32_t p = priced; p && !covered; p &= p - 1)
			covered = price_unit_above((enum price_unit)__builtin_ctz(p), unit);
		if (!covered)
			return unpriced(m, e, "the unit", str_of(price_unit_name(unit)));
	}
	return 0;
}

/* A local call is priced by what its book lines name, seconds as a rule; that must have been
 * measured. */
static int check_local(const struct choice *ch, const struct price_call *c,
		       const struct price_model *m, struct err *e)
{
	for (uint32_t p = ch->priced & ~c->usage.have & ~BIT(PRICE_REQUESTS); p; p &= p - 1) {
		enum price_unit u = (enum price_unit)__builtin_ctz(p);

		if (ch->line[u]->price_e12 && u == PRICE_INPUT_SECONDS)
			return err_set(e, ERR_UNPRICED,
				       STR_FMT
				       " is priced by seconds, and the call has no `timings`",
				       STR_ARG(m->sku));
	}
	return 0;
}

/* Two units used at once, whose overlap has a price of its own but no count: nobody can tell how to
 * split them. */
static int check_overlap(const struct choice *ch, const struct price_usage *u, struct err *e)
{
	for (uint32_t x = ch->priced & ~u->have; x; x &= x - 1) {
		enum price_unit both = (enum price_unit)__builtin_ctz(x);
		enum price_unit above[2];
		unsigned n = 0;

		for (uint32_t p = ch->priced & u->have; p; p &= p - 1) {
			enum price_unit a = (enum price_unit)__builtin_ctz(p);

			if (!price_unit_above(a, both) || u->micro[a] == 0)
				continue;
			if (n && !price_unit_above(above[0], a) && !price_unit_above(a, above[0]))
				return err_set(
					e, ERR_INVALID_FIELD,
					"usage has %s and %s but not %s, which is priced apart",
					price_unit_name(above[0]), price_unit_name(a),
					price_unit_name(both));
			if (!n || price_unit_above(above[0], a))
				above[n ? 0 : n++] = a;
		}
	}
	return 0;
}

static int negative_leaf(const struct choice *ch, const struct price_usage *u, const int64_t *leaf,
			 enum price_unit unit, struct err *e)
{
	enum price_unit most = unit;

	for (uint32_t d = ch->line[unit]->below & ch->priced; d; d &= d - 1) {
		enum price_unit v = (enum price_unit)__builtin_ctz(d);

		if (most == unit || leaf[v] > leaf[most])
			most = v;
	}
	return err_set(e, ERR_INVALID_FIELD, "usage has %lld %s, less than its parts (%lld %s)",
		       (long long)(u->micro[unit] / PRICE_MICRO), price_unit_name(unit),
		       (long long)(u->micro[most] / PRICE_MICRO), price_unit_name(most));
}

static __int128 divide_half_even(__int128 num, __int128 den, bool *rounded)
{
	__int128 q = num / den;
	__int128 rest = num % den;

	if (rest == 0)
		return q;
	*rounded = true;
	if (rest > den - rest || (rest == den - rest && (q & 1)))
		q++;
	return q;
}

static int too_large(enum price_unit u, struct err *e)
{
	return err_set(e, ERR_INVALID_FIELD, "the cost of %s is too large", price_unit_name(u));
}

/* Sum of slices x their prices, in 1e-18 x per. */
static int marginal_product(__int128 *out, const struct price_line *l, int64_t micro, struct err *e)
{
	int64_t from = 0;
	int64_t price = l->price_e12;

	*out = 0;
	for (unsigned i = 0; i <= l->n_tiers; i++) {
		int64_t to = i < l->n_tiers ? l->tiers[i].over * PRICE_MICRO : micro;
		int64_t end = micro < to ? micro : to;

		if (end > from && price_add(out, (__int128)(end - from) * price, e))
			return -1;
		from = to;
		price = i < l->n_tiers ? l->tiers[i].price_e12 : 0;
	}
	return 0;
}

static int price_bucket(struct price_bucket *b, bool *rounded, const struct price_line *l,
			int64_t request_input, struct err *e)
{
	__int128 product;

	b->price_e12 = l->price_e12;
	b->per = l->per;
	b->tier_over = -1;
	for (unsigned i = 0; !l->marginal && i < l->n_tiers; i++) {
		int64_t over = l->tiers[i].over * PRICE_MICRO;

		if (request_input > over || (l->tiers[i].inclusive && request_input == over)) {
			b->price_e12 = l->tiers[i].price_e12;
			b->tier_over = l->tiers[i].over;
		}
	}
	if (l->marginal) {
		if (marginal_product(&product, l, b->micro, e))
			return -1;
	} else if (b->per == PRICE_MICRO && b->num == b->den && b->micro % PRICE_MICRO == 0) {
		b->cost_e18 = (__int128)(b->micro / PRICE_MICRO) * b->price_e12;
		return 0;
	} else {
		product = (__int128)b->micro * b->price_e12;
	}
	if (__builtin_mul_overflow(product, (__int128)b->num, &product))
		return too_large(b->unit, e);
	b->cost_e18 = divide_half_even(product, (__int128)b->per * b->den, rounded);
	return 0;
}

/* num/den of the call's tier and region on one line; *tier_found notes that the tier is known here.
 */
static int multiply(struct price_bucket *b, bool *tier_found, const struct price_line *l,
		    struct str tier, struct str region, struct err *e)
{
	const struct price_mult *m;

	b->num = b->den = 1;
	if (tier.n) {
		*tier_found |= l->tier.n > 0;
		m = l->tier.n ? NULL : multiplier(l, "", tier);
		if (m) {
			*tier_found = true;
			b->num = m->num;
			b->den = m->den;
		}
	}
	m = region.n && !l->region.n ? multiplier(l, "region:", region) : NULL;
	if (m && (!ckd_mul_i64(&b->num, b->num, m->num) || !ckd_mul_i64(&b->den, b->den, m->den)))
		return too_large(l->unit, e);
	return 0;
}

static int add_buckets(struct price_cost *out, const struct choice *ch, const struct price_call *c,
		       struct str tier, struct err *e)
{
	const struct price_model *m = out->model;
	const struct price_usage *u = &c->usage;
	int64_t leaf[PRICE_N_UNITS] = { 0 };
	int64_t request_input = u->have & BIT(PRICE_INPUT) ? u->micro[PRICE_INPUT] : 0;
	bool tier_found = false;

	for (unsigned i = 0; i < m->n; i++) {
		const struct price_line *l = m->lines[i];
		enum price_unit unit = l->unit;
		struct price_bucket *b = &out->buckets[out->n_buckets];
		int64_t n = u->have & BIT(unit)      ? u->micro[unit]
			    : unit == PRICE_REQUESTS ? PRICE_MICRO
						     : 0;

		if (ch->line[unit] != l || !(ch->priced & BIT(unit)))
			continue;
		for (uint32_t d = l->below & ch->priced; d; d &= d - 1)
			n -= leaf[__builtin_ctz(
				d)]; /* each count is below 2^62 and there are few */
		if (n < 0)
			return negative_leaf(ch, u, leaf, unit, e);
		leaf[unit] = n;
		*b = (struct price_bucket){ .unit = unit, .micro = n };
		if (multiply(b, &tier_found, l, tier, c->region, e))
			return -1;
		if (n == 0)
			continue;
		if (price_bucket(b, &out->rounded, l, request_input, e) ||
		    price_add(&out->part_e18[price_unit_class(unit)], b->cost_e18, e) ||
		    price_add(&out->total_e18, b->cost_e18, e))
			return -1;
		out->n_buckets++;
	}
	if (tier.n && !tier_found)
		return unpriced(m, e, "the service tier", tier);
	return 0;
}

int price_cost(struct price_cost *out, const struct price_model *m, const struct price_call *c,
	       int64_t when, struct err *e)
{
	struct str tier = c->batch ? STR("batch") : c->tier;
	struct choice ch;

	memset(out->part_e18, 0, sizeof out->part_e18);
	out->total_e18 = 0;
	out->rounded = false;
	out->n_buckets = 0;
	out->model = m;
	if (standard_tier(tier))
		tier = (struct str){ "", 0 };
	choose(&ch, m, c, tier, when);
	if (!ch.priced)
		return err_set(e, ERR_UNPRICED, STR_FMT " has no price at the time of the call",
			       STR_ARG(m->sku));
	if (c->local ? check_local(&ch, c, m, e) : check_priced(m, &c->usage, ch.priced, e))
		return -1;
	if (check_overlap(&ch, &c->usage, e))
		return -1;
	return add_buckets(out, &ch, c, tier, e);
}
