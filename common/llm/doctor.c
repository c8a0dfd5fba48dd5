/* doctor: does this installation work, and how fast? Each finding is a line; a bad one says what to
 * do. */
#include "config.h"
#include "llm/llm.h"
#include "price/price.h"
#include "base/banned.h"
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

struct doctor {
	llm_finding *say;
	void *arg;
	unsigned threads;
	size_t bad;
};

__attribute__((format(printf, 4, 5))) static void found(struct doctor *d, bool good,
							const char *what, const char *fmt, ...)
{
	char text[1400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	d->bad += !good;
	d->say(d->arg, good, what, text);
}

/* ---- the machine ------------------------------------------------------------------------- */

static void machine(struct doctor *d)
{
	struct buf b;
	bool plain = kern_isa() == KERN_SCALAR;

	buf_init(&b, 4096);
	kern_features(&b);
	found(d, !plain, "processor", "%s; kernels %s%s", buf_str(&b).p, kern_isa_name(kern_isa()),
	      plain ? ": slow; use a processor with AVX2 or Arm's dotprod, and no LLMU_ISA" : "");
	buf_release(&b);
	found(d, true, "threads", "%u%s", d->threads,
	      d->threads < os_cpus() ? " (fewer than there are processors)" : "");
	found(d, os_memory_available() > (uint64_t)256 << 20, "memory", "%.1f GiB free",
	      (double)os_memory_available() / (double)((uint64_t)1 << 30));
}

/* A folder that is there, or can be made: its nearest parent that exists may be written to. */
static void folder(struct doctor *d, enum os_place place, const char *what)
{
	struct err e = { 0 };
	struct buf b;
	char *slash;

	buf_init(&b, 65536);
	if (os_place(&b, place, &e)) {
		found(d, false, what, "%s", e.text);
		buf_release(&b);
		return;
	}
	while (access(b.p, F_OK) && (slash = strrchr(b.p, '/')) && slash != b.p)
		*slash = 0;
	if (access(b.p, W_OK))
		found(d, false, what, "%s: %s; make it writable, or set XDG_%s_HOME", b.p,
		      strerror(errno),
		      place == OS_DATA    ? "DATA"
		      : place == OS_CACHE ? "CACHE"
					  : "CONFIG");
	else
		found(d, true, what, "%s may be written", b.p);
	buf_release(&b);
}

static void models(struct doctor *d)
{
	struct err e = { 0 };
	struct arena a;
	struct llm_entry *v;
	size_t n;

	arena_init(&a, BUF_MAX_LINE);
	if (llm_list(&v, &n, &a, &e))
		found(d, false, "models", "%s", e.text);
	else
		found(d, n > 0, "models",
		      n ? "%zu found (llm-model list)" : "%zu found: run scripts/fetch-models", n);
	arena_release(&a);
}

static void prices(struct doctor *d)
{
	struct price_book *book = NULL;
	struct err e = { 0 };

	if (price_book_default(&book, &e))
		found(d, false, "price book", "%s", e.text);
	else
		found(d, true, "price book", "is read (llm-cost book show)");
	price_book_free(book);
}

/* ---- the default models ------------------------------------------------------------------ */

/* What a tokenizer must give back unharmed: accents, other scripts, a character of four bytes,
 * blanks, code. */
#define SAMPLE                                                                                     \
	STR("Na\xc3\xafve caf\xc3\xa9, \xe6\x9d\xb1\xe4\xba\xac \xf0\x9f\x99\x82\n\tint x  = 3;")

static void round_trip(struct doctor *d, const struct tok *t, const char *what)
{
	struct err e = { 0 };
	struct tok_ids ids = { 0 };
	struct tok_enc *x = NULL;
	struct buf b;
	bool good;

	buf_init(&b, 65536);
	good = !tok_enc_new(&x, t, &e) && !tok_encode(&ids, NULL, x, SAMPLE, 0, &e) &&
	       !tok_decode(&b, t, ids.v, ids.n, false, &e) && !buf_check(&b, &e);
	if (good && !str_eq(str_trim(buf_str(&b)), SAMPLE))
		good = err_set(&e, ERR_OPEN, "text does not survive it: got \"%.200s\"", b.p) == 0;
	if (good)
		found(d, true, what, "%zu tokens, text survives", tok_n_vocab(t));
	else
		found(d, false, what, "%s", e.text);
	tok_enc_free(x);
	tok_ids_release(&ids);
	buf_release(&b);
}

static void speed(struct doctor *d, struct llm *l)
{
	bool encoder = model_info(llm_model(l))->encoder;
	struct llm_speed s = { .what = encoder ? LLM_EMBEDDING : LLM_DECODE,
			       .n_tokens = 32,
			       .batch = encoder ? 32 : 1,
			       .runs = 3 };
	const char *what = encoder ? "embedding" : "generation";
	struct err e = { 0 };

	if (llm_measure(&s, l, NULL, &e))
		found(d, false, what, "%s", e.text);
	else if (encoder)
		found(d, true, what, "%.0f documents of %d tokens a second, %d dimensions",
		      s.per_second / s.n_tokens, s.n_tokens, model_info(llm_model(l))->n_out);
	else
		found(d, true, what, "%.1f tokens a second, one at a time", s.per_second);
}

static void default_model(struct doctor *d, enum llm_role role)
{
	const char *what = role == LLM_EMBED ? "encoder" : "decoder";
	struct llm_opts o = { .threads = d->threads,
			      .jobs = 1,
			      .ctx = role == LLM_EMBED ? 0 : 512 };
	struct err e = { 0 };
	struct buf path, how;
	struct llm *l = NULL;

	buf_init(&path, 65536);
	buf_init(&how, 65536);
	if (llm_find(&path, &how, NULL, role, &e)) {
		found(d, false, what, "%s", e.text);
	} else if (llm_open(&l, path.p, &o, &e)) {
		found(d, false, what, "%s", e.text);
	} else {
		found(d, true, what, "%s (%s)", path.p, buf_str(&how).p);
		if (role == LLM_GENERATE)
			round_trip(d, llm_tok(l), "tokenizer");
		speed(d, l);
	}
	llm_close(l);
	buf_release(&path);
	buf_release(&how);
}

size_t llm_doctor(llm_finding *say, void *arg, unsigned threads)
{
	struct doctor d = { .say = say, .arg = arg, .threads = threads ? threads : os_cpus() };

	machine(&d);
	folder(&d, OS_DATA, "data folder");
	folder(&d, OS_CACHE, "cache folder");
	prices(&d);
	models(&d);
	default_model(&d, LLM_GENERATE);
	default_model(&d, LLM_EMBED);
	return d.bad;
}
