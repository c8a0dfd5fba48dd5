/* os_sys: what this process may use of processors and memory: the machine, its affinity, its
 * cgroups. */
#include "config.h"
#include "os/os_impl.h"
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* The text of a file under /proc or /sys, empty when there is none. */
static struct str slurp(struct buf *b, const char *path)
{
	buf_reset(b);
	if (os_read_file(b, path, 1 << 20, NULL))
		buf_reset(b);
	return buf_str(b);
}

/* The word behind `key` in a text of "key value" lines (a key with its colon), as a number; false
 * if none. */
static bool value_of(uint64_t *out, struct str text, struct str key)
{
	size_t at = 0, end;

	while (at < text.n) {
		struct str line = str_sub(text, at, str_find(text, STR("\n"), at));

		at += line.n + 1;
		if (!str_starts(line, key) || line.n == key.n || line.p[key.n] != ' ')
			continue;
		line = str_trim(str_sub(line, key.n, line.n));
		end = str_find(line, STR(" "), 0);
		return !num_u64(out, str_sub(line, 0, end), 0, UINT64_MAX, NULL);
	}
	return false;
}

/* This process's folder in a cgroup hierarchy: "" (version 2) or a controller of version 1; false
 * if none. */
static bool cgroup_of(struct buf *out, struct buf *tmp, const char *controller)
{
	struct str text = slurp(tmp, "/proc/self/cgroup");
	size_t at = 0;

	while (at < text.n) {
		/* hierarchy:controllers:path, cgroups(7) */
		struct str line = str_sub(text, at, str_find(text, STR("\n"), at)), names;
		size_t c1 = str_find(line, STR(":"), 0), c2 = str_find(line, STR(":"), c1 + 1);
		bool hit = false;

		at += line.n + 1;
		if (c2 >= line.n)
			continue;
		names = str_sub(line, c1 + 1, c2);
		if (!*controller)
			hit = !names.n;
		for (size_t i = 0; *controller && i < names.n && !hit;) {
			size_t comma = str_find(names, STR(","), i);

			hit = str_is(str_sub(names, i, comma), controller);
			i = comma + 1;
		}
		if (hit) {
			buf_reset(out);
			buf_addf(out, "/sys/fs/cgroup%s%s", *controller ? "/" : "", controller);
			buf_adds(out, str_sub(line, c2 + 1, line.n));
			return !out->failed;
		}
	}
	return false;
}

/* Calls fn for the folder and for each above it: a limit holds for all below. */
static void upwards(struct buf *dir, uint64_t (*fn)(struct buf *tmp, const char *dir),
		    uint64_t *least)
{
	const size_t root = sizeof "/sys/fs/cgroup" - 1;
	struct buf tmp;

	buf_init(&tmp, 1 << 20);
	while (dir->p && dir->n >= root) {
		uint64_t v = fn(&tmp, dir->p);
		char *slash;

		*least = v < *least ? v : *least;
		slash = strrchr(dir->p, '/');
		dir->n = (size_t)(slash - dir->p);
		*slash = 0;
	}
	buf_release(&tmp);
}

static struct str slurp_in(struct buf *tmp, const char *dir, const char *name)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return str_trim(slurp(tmp, path));
}

/* A number in a file of its own; `none` where there is none. */
static uint64_t number_in(struct buf *tmp, const char *dir, const char *name, uint64_t none)
{
	uint64_t v;

	return num_u64(&v, slurp_in(tmp, dir, name), 0, UINT64_MAX, NULL) ? none : v;
}

static uint64_t quota(uint64_t us, uint64_t period_us)
{
	return period_us ? (us + period_us - 1) / period_us : UINT64_MAX;
}

static uint64_t cpus_v2(struct buf *tmp, const char *dir)
{
	struct str s = slurp_in(tmp, dir, "cpu.max"); /* "150000 100000" or "max 100000" */
	size_t gap = str_find(s, STR(" "), 0);
	uint64_t us, period;

	if (gap == s.n || num_u64(&us, str_sub(s, 0, gap), 0, UINT64_MAX, NULL) ||
	    num_u64(&period, str_sub(s, gap + 1, s.n), 0, UINT64_MAX, NULL))
		return UINT64_MAX;
	return quota(us, period);
}

static uint64_t cpus_v1(struct buf *tmp, const char *dir)
{
	uint64_t us =
		number_in(tmp, dir, "cpu.cfs_quota_us", UINT64_MAX); /* -1 is no number of ours */

	return us == UINT64_MAX ? us : quota(us, number_in(tmp, dir, "cpu.cfs_period_us", 0));
}

/* Free under a limit: pages of files that are not in use would be given back. */
static uint64_t under(uint64_t limit, uint64_t used, uint64_t idle)
{
	used -= idle < used ? idle : used;
	return limit == UINT64_MAX ? limit : limit > used ? limit - used : 0;
}

static uint64_t memory_v2(struct buf *tmp, const char *dir)
{
	uint64_t limit = number_in(tmp, dir, "memory.max", UINT64_MAX);
	uint64_t used = number_in(tmp, dir, "memory.current", 0), idle = 0;

	value_of(&idle, slurp_in(tmp, dir, "memory.stat"), STR("inactive_file"));
	return under(limit, used, idle);
}

static uint64_t memory_v1(struct buf *tmp, const char *dir)
{
	uint64_t limit = number_in(tmp, dir, "memory.limit_in_bytes", UINT64_MAX);
	uint64_t used = number_in(tmp, dir, "memory.usage_in_bytes", 0), idle = 0;

	value_of(&idle, slurp_in(tmp, dir, "memory.stat"), STR("total_inactive_file"));
	return under(limit, used, idle);
}

static uint64_t cgroup_least(const char *v1, uint64_t (*fn_v2)(struct buf *, const char *),
			     uint64_t (*fn_v1)(struct buf *, const char *))
{
	struct buf dir, tmp;
	uint64_t least = UINT64_MAX;

	buf_init(&dir, 1 << 16);
	buf_init(&tmp, 1 << 20);
	if (cgroup_of(&dir, &tmp, ""))
		upwards(&dir, fn_v2, &least);
	if (cgroup_of(&dir, &tmp, v1))
		upwards(&dir, fn_v1, &least);
	buf_release(&dir);
	buf_release(&tmp);
	return least;
}

static uint64_t affinity(void)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t n = 0;

	for (size_t cpus = 1024; cpus <= 65536 && !n;
	     cpus *= 4) { /* the kernel's mask may be larger than cpu_set_t */
		cpu_set_t *set = CPU_ALLOC(cpus);

		if (set && !sched_getaffinity(0, CPU_ALLOC_SIZE(cpus), set))
			n = (uint64_t)CPU_COUNT_S(CPU_ALLOC_SIZE(cpus), set);
		CPU_FREE(set);
	}
	return n ? n : online > 0 ? (uint64_t)online : 1;
}

unsigned os_cpus(void)
{
	uint64_t n = affinity(), limit = cgroup_least("cpu", cpus_v2, cpus_v1);

	n = limit < n ? limit : n;
	return n ? (unsigned)n : 1;
}

uint64_t os_process_start(pid_t pid)
{
	char path[64];
	uint64_t start = 0;
	struct buf b;
	struct str s;
	size_t at;

	buf_init(&b, 1 << 16);
	snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	s = slurp(&b, path);
	/* proc(5): "pid (name) state …", start time is field 22; the name may hold anything */
	for (at = s.n; at && s.p[at - 1] != ')'; at--)
		;
	s = str_trim(str_sub(s, at, s.n));
	if (at && s.n && s.p[0] != 'Z' && s.p[0] != 'X') {
		for (int field = 3; field < 22; field++)
			s = str_sub(s, str_find(s, STR(" "), 0) + (str_find(s, STR(" "), 0) < s.n), s.n);
		if (num_u64(&start, str_sub(s, 0, str_find(s, STR(" "), 0)), 0, UINT64_MAX, NULL))
			start = 0;
	}
	buf_release(&b);
	return start;
}

uint64_t os_memory_available(void)
{
	uint64_t kib = 0, limit = cgroup_least("memory", memory_v2, memory_v1), n;
	struct buf b;

	buf_init(&b, 1 << 16);
	if (value_of(&kib, slurp(&b, "/proc/meminfo"), STR("MemAvailable:")))
		n = kib * 1024;
	else
		n = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	buf_release(&b);
	return limit < n ? limit : n;
}

uint64_t os_memory_peak(void)
{
	struct rusage u;

	return getrusage(RUSAGE_SELF, &u) ? 0 : (uint64_t)u.ru_maxrss * 1024;
}

void *os_big_alloc(size_t n, size_t size)
{
	const size_t huge = (size_t)2 << 20;
	size_t bytes;
	void *p;

	if (!ckd_mul_size(&bytes, n, size) || bytes > SIZE_MAX - huge)
		return NULL;
	if (bytes < huge / 2)
		return malloc(bytes);
	bytes = (bytes + huge - 1) & ~(huge - 1);
	p = aligned_alloc(huge, bytes);
#ifdef MADV_HUGEPAGE
	if (p)
		(void)madvise(p, bytes, MADV_HUGEPAGE);
#endif
	return p;
}
