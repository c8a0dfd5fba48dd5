/* price_units: the lattice of units. A unit lies above another when its dimensions are a strict
 * subset: what was read from a cache is part of the input, cached audio is part of both. After
 * pydantic/genai-prices:prices/units.yml. */
#include "config.h"
#include "price/price_impl.h"

enum {
	IN = 1,
	OUT = 2,
	READ = 4,
	WRITE = 8,
	TTL_5M = 16,
	TTL_1H = 32,
	AUDIO = 64,
	IMAGE = 128,
	VIDEO = 256,
	REASON = 512
};

static const struct {
	const char *name;
	unsigned dims;
	enum price_class cls;
} units[PRICE_N_UNITS] = {
#define X(id, name, dims, cls) { name, dims, cls },
	PRICE_UNITS(X)
#undef X
};

const char *price_unit_name(enum price_unit u)
{
	return units[u].name;
}

enum price_unit price_unit_of(struct str name)
{
	for (unsigned u = 0; u < PRICE_N_UNITS; u++)
		if (str_is(name, units[u].name))
			return (enum price_unit)u;
	return PRICE_N_UNITS;
}

enum price_class price_unit_class(enum price_unit u)
{
	return units[u].cls;
}

bool price_unit_above(enum price_unit a, enum price_unit b)
{
	return units[a].dims && units[a].dims != units[b].dims &&
	       (units[a].dims & ~units[b].dims) == 0;
}

uint32_t price_units_below(enum price_unit unit)
{
	uint32_t set = 0;

	for (unsigned u = 0; u < PRICE_N_UNITS; u++)
		if (price_unit_above(unit, (enum price_unit)u))
			set |= (uint32_t)1 << u;
	return set;
}

unsigned price_unit_depth(enum price_unit unit)
{
	unsigned n = 0;

	for (unsigned u = 0; u < PRICE_N_UNITS; u++)
		n += price_unit_above((enum price_unit)u, unit);
	return n;
}
