/* kern_cpu: what this processor, and the system that runs it, offers. */
#include "config.h"
#include "kern/kern_impl.h"
#include <dlfcn.h>
#ifdef __x86_64__
#include <cpuid.h>
#elif defined __aarch64__
#include <sys/auxv.h>
#include <asm/hwcap.h>
#endif

struct feature {
	const char *name;
	bool have;
};

#ifdef __x86_64__
/* CPUID leaves 1 and 7, and XCR0: does the system save the registers? (Intel SDM vol. 1, 13 and 14) */
static size_t features(struct feature out[16])
{
	unsigned a, b, c, d, b7 = 0, c7 = 0, a71 = 0, xcr0 = 0;

	if (!__get_cpuid(1, &a, &b, &c, &d))
		return 0;
	unsigned c1 = c;
	if (__get_cpuid_count(7, 0, &a, &b7, &c7, &d) && a >= 1)
		__get_cpuid_count(7, 1, &a71, &b, &c, &d);
	if (c1 & bit_OSXSAVE)
		__asm__("xgetbv" : "=a"(xcr0), "=d"(d) : "c"(0));
	bool ymm = (xcr0 & 6) == 6, zmm = (xcr0 & 0xe6) == 0xe6;
	struct feature f[] = {
		{ "avx2", ymm && b7 & bit_AVX2 },
		{ "fma", ymm && c1 & bit_FMA },
		{ "f16c", ymm && c1 & bit_F16C },
		{ "avx512f", zmm && b7 & bit_AVX512F },
		{ "avx512bw", zmm && b7 & bit_AVX512BW },
		{ "avx512dq", zmm && b7 & bit_AVX512DQ },
		{ "avx512vl", zmm && b7 & bit_AVX512VL },
		{ "avx512vnni", zmm && c7 & bit_AVX512VNNI },
		{ "avx512bf16", zmm && a71 & 1u << 5 },
		{ "avxvnni", ymm && a71 & 1u << 4 },
	};

	memcpy(out, f, sizeof f);
	return sizeof f / sizeof *f;
}
#elif defined __aarch64__
static size_t features(struct feature out[16])
{
	unsigned long cap = getauxval(AT_HWCAP), cap2 = getauxval(AT_HWCAP2);

	out[0] = (struct feature){ "neon", cap & HWCAP_ASIMD };
	out[1] = (struct feature){ "dotprod", cap & HWCAP_ASIMDDP };
	out[2] = (struct feature){ "i8mm", cap2 & HWCAP2_I8MM };
	return 3;
}
#else
static size_t features(struct feature out[16])
{
	(void)out;
	return 0;
}
#endif

static bool have(const char *words)
{
	struct feature f[16];
	size_t n = features(f);

	for (; *words; words += strcspn(words, " "), words += *words == ' ') {
		size_t len = strcspn(words, " "), i = 0;

		while (i < n && (strlen(f[i].name) != len || memcmp(f[i].name, words, len) != 0 || !f[i].have))
			i++;
		if (i == n)
			return false;
	}
	return true;
}

bool kern_isa_available(enum kern_isa isa)
{
	void *so;

	switch (isa) {
	case KERN_SCALAR:
		return true;
	case KERN_AVX2:
		return have("avx2 fma f16c");
	case KERN_AVX512:
		return have("avx2 fma f16c avx512f avx512bw avx512dq avx512vl avx512vnni");
	case KERN_AVX512BF16:
		return kern_isa_available(KERN_AVX512) && have("avx512bf16");
	case KERN_NEON:
		return have("neon dotprod");
	case KERN_I8MM:
		return have("neon dotprod i8mm");
	case KERN_BLAS:
		so = dlopen(KERN_BLAS_SO, RTLD_LAZY | RTLD_LOCAL);
		if (so)
			dlclose(so);
		return so != NULL;
	default:
		return false;
	}
}

void kern_features(struct buf *out)
{
	struct feature f[16];
	size_t n = features(f);
	const char *sep = "";

	for (size_t i = 0; i < n; i++)
		if (f[i].have) {
			buf_addf(out, "%s%s", sep, f[i].name);
			sep = " ";
		}
}
