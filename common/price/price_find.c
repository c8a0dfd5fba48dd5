/*
 * price_find: from a name to its prices. Never fuzzy: a name is listed, or is listed but for the
 * date at its end, or begins with a prefix that the book declares.
 *
 * A value in `names` is model index + 1 (32 bits), rank, file and, for names without provider,
 * whether two providers of one book share it.
 */
#include "config.h"
#include "price/price_impl.h"

#define SEP '\x1f'
#define KEY_MAX 256
#define CLASH ((uint64_t)1 << 63)

static uint64_t pack(uint64_t index, enum price_rank rank, unsigned file)
{
	return (index + 1) | (uint64_t)rank << 32 | (uint64_t)file << 40;
}

static bool key_of(struct str *out, char buf[KEY_MAX], struct str provider, struct str model)
{
	size_t n = provider.n + 1 + model.n;

	if (n > KEY_MAX)
		return false;
	if (provider.n)
		memcpy(buf, provider.p, provider.n);
	buf[provider.n] = SEP;
	if (model.n)
		memcpy(buf + provider.n + 1, model.p, model.n);
	*out = (struct str){ buf, n };
	return true;
}

static int put(bool *clash, struct price_book *b, struct str provider, struct str name,
	       uint64_t value, struct err *e)
{
	char buf[KEY_MAX];
	struct str key;
	uint64_t *slot;
	uint64_t old_file, new_file = value >> 40 & 0xff;

	if (!key_of(&key, buf, provider, name))
		return err_set(e, ERR_OPEN, "the name \"" STR_FMT "\" is too long", STR_ARG(name));
	if (map_put(&slot, NULL, &b->names, key, e))
		return -1;
	old_file = *slot >> 40 & 0xff;
	*clash = false;
	if (*slot == 0 || new_file > old_file || (value >> 32 & 0xff) < (*slot >> 32 & 0xff)) {
		*slot = value;
	} else if ((value >> 32 & 0xff) == (*slot >> 32 & 0xff) &&
		   (uint32_t)*slot != (uint32_t)value) {
		*clash = true;
		*slot |= CLASH;
	}
	return 0;
}

int price_name_add(bool *clash, struct price_book *b, struct price_model *m, struct str name,
		   enum price_rank rank, struct err *e)
{
	size_t index = b->n_models;
	bool shared;

	while (b->models[--index] != m)
		;
	if (put(clash, b, m->provider, name, pack(index, rank, b->n_files - 1), e))
		return -1;
	return put(&shared, b, (struct str){ "", 0 }, name, pack(index, rank, b->n_files - 1), e);
}

static bool digits(struct str s, size_t at, size_t n)
{
	for (size_t i = at; i < at + n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

/* The name without "-YYYYMMDD" or "-YYYY-MM-DD" at its end. */
static struct str without_date(struct str s)
{
	if (s.n > 9 && s.p[s.n - 9] == '-' && digits(s, s.n - 8, 8))
		return str_sub(s, 0, s.n - 9);
	if (s.n > 11 && s.p[s.n - 11] == '-' && s.p[s.n - 6] == '-' && s.p[s.n - 3] == '-' &&
	    digits(s, s.n - 10, 4) && digits(s, s.n - 5, 2) && digits(s, s.n - 2, 2))
		return str_sub(s, 0, s.n - 11);
	return s;
}

static uint64_t get(const struct price_book *b, struct str provider, struct str name)
{
	char buf[KEY_MAX];
	struct str key;
	const uint64_t *slot;

	if (!key_of(&key, buf, provider, name))
		return 0;
	slot = map_get(&b->names, key);
	return slot ? *slot : 0;
}

static int ambiguous(struct str model, struct err *e)
{
	return err_set(e, ERR_UNPRICED,
		       "several providers of the price book sell \"" STR_FMT
		       "\": name one in the member `provider`",
		       STR_ARG(model));
}

static int by_prefix(const struct price_model **out, const struct price_book *b,
		     struct str provider, struct str model, struct err *e)
{
	const struct price_prefix *best = NULL;
	bool clash = false;

	for (size_t i = 0; i < b->n_prefixes; i++) {
		const struct price_prefix *p = &b->prefixes[i];

		if (!str_starts(model, p->prefix) ||
		    (provider.n ? !str_eq(provider, p->provider) : !p->prefix.n))
			continue;
		if (best && (p->prefix.n < best->prefix.n ||
			     (p->prefix.n == best->prefix.n && p->file < best->file)))
			continue;
		clash = best && p->prefix.n == best->prefix.n && p->file == best->file &&
			p->model != best->model;
		best = p;
	}
	if (clash)
		return ambiguous(model, e);
	*out = best ? best->model : NULL;
	return 0;
}

/* 0 with *out NULL when there is nothing. */
static int find(const struct price_model **out, const struct price_book *b, struct str provider,
		struct str model, struct err *e)
{
	struct str undated = without_date(model);
	uint64_t v = get(b, provider, model);

	if (!v && undated.n < model.n)
		v = get(b, provider, undated);
	if (!v)
		return by_prefix(out, b, provider, model, e);
	if (v & CLASH)
		return ambiguous(model, e);
	*out = b->models[(uint32_t)v - 1];
	return 0;
}

int price_find(const struct price_model **out, const struct price_book *b, struct str provider,
	       struct str model, struct err *e)
{
	size_t slash = provider.n ? model.n : str_find(model, STR("/"), 0);

	if (model.n == 0)
		return err_set(e, ERR_UNPRICED, "the call names no model");
	if (find(out, b, provider, model, e))
		return -1;
	if (!*out && slash < model.n &&
	    find(out, b, str_sub(model, 0, slash), str_sub(model, slash + 1, model.n), e))
		return -1;
	if (*out)
		return 0;
	if (provider.n)
		return err_set(e, ERR_UNPRICED,
			       "the price book has no model \"" STR_FMT "\" of provider \"" STR_FMT
			       "\": add a line with -B",
			       STR_ARG(model), STR_ARG(provider));
	return err_set(e, ERR_UNPRICED,
		       "the price book has no model \"" STR_FMT "\": add a line with -B",
		       STR_ARG(model));
}

struct str price_model_sku(const struct price_model *m)
{
	return m->sku;
}

struct str price_model_currency(const struct price_model *m)
{
	return m->currency;
}
