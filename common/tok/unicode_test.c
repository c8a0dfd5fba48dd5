/* unicode: the test files of Unicode itself, where Debian's unicode-data is installed (its version must be the tables'). */
#include "config.h"
#include "tok/tok_impl.h"
#include "tok/unicode_impl.h"
#include "tap.h"
#include <stdlib.h>

#define FOLDER "/usr/share/unicode/"

/* "0044 0307" to UTF-8; the end of the field. */
static const char *text_of(struct buf *out, const char *p)
{
	buf_reset(out);
	while (*p && *p != ';') {
		char *end, u[4];
		unsigned long cp = strtoul(p, &end, 16);

		if (end == p)
			break;
		buf_add(out, u, utf8_put(u, (uint32_t)cp));
		p = end;
	}
	return *p == ';' ? p + 1 : p;
}

/* Is op(from) == want? */
static bool normal(struct tok_normed *nd, enum tok_norm_op op, const struct buf *from, const struct buf *want)
{
	struct tok t = { .n_norms = 1, .norms[0].op = op };
	struct str in = buf_str(from);

	if (tok_norm_idle(&t, in))
		return str_eq(in, buf_str(want));
	return !tok_normalize(nd, &t, in, true, true, NULL) && str_eq(buf_str(&nd->text), buf_str(want));
}

/* NormalizationTest.txt: source; NFC; NFD; NFKC; NFKD. Each form of each column is what the file's head says. */
static void normalization(void)
{
	FILE *f = popen("bzcat " FOLDER "NormalizationTest.txt.bz2 2>/dev/null", "r");
	struct tok_normed nd = { 0 };
	struct buf c[5];
	char line[4096];
	size_t n = 0, bad = 0;

	for (int i = 0; i < 5; i++)
		buf_init(&c[i], 1 << 16);
	while (f && fgets(line, sizeof line, f)) {
		const char *p = line;
		bool good = true;

		if (line[0] == '#' || line[0] == '@')
			continue;
		for (int i = 0; i < 5; i++)
			p = text_of(&c[i], p);
		for (int i = 0; i < 5; i++) {
			good &= normal(&nd, TOK_NORM_NFC, &c[i], &c[i < 3 ? 1 : 3]);
			good &= normal(&nd, TOK_NORM_NFD, &c[i], &c[i < 3 ? 2 : 4]);
			good &= normal(&nd, TOK_NORM_NFKC, &c[i], &c[3]);
			good &= normal(&nd, TOK_NORM_NFKD, &c[i], &c[4]);
		}
		n++;
		bad += !good;
		if (!good)
			printf("# %s", line);
	}
	if (f)
		pclose(f);
	if (n)
		OK(!bad && n > 18000, "NormalizationTest: %zu of %zu lines differ", bad, n);
	else
		SKIP("no NormalizationTest.txt.bz2");
	for (int i = 0; i < 5; i++)
		buf_release(&c[i]);
	tok_normed_release(&nd);
}

/* SentenceBreakTest.txt: code points with ÷ where a sentence ends and × where it does not. */
static void sentences(void)
{
	FILE *f = fopen(FOLDER "auxiliary/SentenceBreakTest.txt", "r");
	char line[4096];
	size_t n = 0, bad = 0;
	struct buf text;

	buf_init(&text, 1 << 16);
	while (f && fgets(line, sizeof line, f)) {
		size_t ends[256], n_ends = 0, at = 0, i = 0;
		bool good = true;

		if (line[0] == '#')
			continue;
		buf_reset(&text);
		for (char *p = line; *p && *p != '#' && *p != '\n';) {
			char *end, u[4];
			unsigned long cp;

			if (!strncmp(p, "\xc3\xb7", 2) && text.n)
				ends[n_ends++] = text.n;
			if ((unsigned char)*p >= 0x80 || *p == ' ' || *p == '\t') {
				p++;
				continue;
			}
			cp = strtoul(p, &end, 16);
			if (end == p)
				break;
			buf_add(&text, u, utf8_put(u, (uint32_t)cp));
			p = end;
		}
		while (at < text.n && good) {
			at = uni_sentence_end(buf_str(&text), at);
			good = i < n_ends && ends[i++] == at;
		}
		n++;
		bad += !good || i != n_ends;
		if (!good)
			printf("# at %zu: %s", at, line);
	}
	if (f)
		fclose(f);
	if (n)
		OK(!bad && n > 400, "SentenceBreakTest: %zu of %zu lines differ", bad, n);
	else
		SKIP("no SentenceBreakTest.txt");
	buf_release(&text);
}

int main(void)
{
	normalization();
	sentences();
	return tap_done();
}
