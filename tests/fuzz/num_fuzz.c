/* num_fuzz: text that num_f64 takes reads as strtod and strtof read it, and what is printed reads
 * back. */
#include "config.h"
#include "base/base.h"
#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
	if (!good)
		abort();
}

static void same_f64(double a, double b)
{
	must(!memcmp(&a, &b, sizeof a));
}

static void same_f32(float a, float b)
{
	must(!memcmp(&a, &b, sizeof a));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str s = { (const char *)data, size };
	char z[4096], out[NUM_BUF];
	double v, any;
	float f;
	uint64_t u;
	int64_t i;

	if (!num_u64(&u, s, 0, UINT64_MAX, NULL) && size < sizeof z && size && *s.p != '0')
		must(str_eq(s, (struct str){ out, num_put_u64(out, u) }));
	if (!num_i64(&i, s, INT64_MIN, INT64_MAX, NULL) && size &&
	    s.p[size > 1 && *s.p == '-'] != '0')
		must(str_eq(s, (struct str){ out, num_put_i64(out, i) }));
	if (size >= sizeof any) { /* any bits as a number */
		memcpy(&any, data, sizeof any);
		memcpy(&f, data, sizeof f);
		if (isfinite(any))
			same_f64(num_json_f64((struct str){ out, num_put_f64(out, any) }), any);
		if (isfinite(f))
			same_f32(num_json_f32((struct str){ out, num_put_f32(out, f) }), f);
	}
	if (size >= sizeof z || num_f64(&v, s, -INFINITY, INFINITY, NULL))
		return 0;
	memcpy(z, data, size);
	z[size] = 0;
	same_f64(v, strtod(z, NULL));
	same_f64(v, num_json_f64(s));
	same_f32(num_json_f32(s), strtof(z, NULL));
	return 0;
}
