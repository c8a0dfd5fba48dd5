/* tok: invariants on the fixture models, pieces of the pre-tokenizers, Unicode's own test files where they are installed. */
#include "config.h"
#include "tok/tok_impl.h"
#include "tok/unicode_impl.h"
#include "tap.h"
#include <stdlib.h>
#include <unistd.h>

static struct err err;

static struct gguf *fixture(const char *name)
{
	const char *top = getenv("top_srcdir");
	char path[4096];
	struct gguf *g = NULL;

	snprintf(path, sizeof path, "%s/tests/fixtures/%s", top ? top : ".", name);
	OK(!gguf_open(&g, path, &err), "%s opens", name);
	return g;
}

/* Texts that are hard in many ways: letters of several scripts, blanks, quotes, digits, controls, emoji. */
static size_t random_text(char *out, size_t max, struct rng *r)
{
	static const char *const bits[] = {
		"a", "e", "the", "The", "ING", "'s", "'LL", "'", " ", "  ", "\n", "\r\n", "\t", "0", "12", "345", ".", "!?", "/",
		"\xc3\xa9", "e\xcc\x81", "\xc4\xb0", "\xd7\xa9\xd7\x9c", "\xe4\xb8\xad", "\xe6\x96\x87", "\xed\x95\x9c",
		"\xe0\xa4\x95\xe0\xa5\x8d", "\xf0\x9f\x98\x80", "\xe2\x80\x8d", "\xe2\x96\x81", "\xc2\xa0", "\xe3\x80\x80",
		"\xc2\xbd", "\xd9\xa3", "_", "<", "<|im_start|>", "##", "[SEP]", "\x01", "\xef\xbf\xbd", "\xef\xbb\xbf", "n't"
	};
	size_t n = 0, k = rng_below(r, 40);

	while (k--) {
		const char *b = bits[rng_below(r, sizeof bits / sizeof bits[0])];

		if (n + strlen(b) > max)
			break;
		memcpy(out + n, b, strlen(b));
		n += strlen(b);
	}
	return n;
}

/* Byte-level BPE loses nothing; spans tile the text; counting counts; a fresh cache changes nothing. */
static void bpe_round_trips(const struct tok *t)
{
	struct rng r = { .key = 1 };
	struct tok_enc *warm, *cold;
	struct tok_ids a = { 0 }, b = { 0 };
	struct tok_spans spans = { 0 };
	struct buf back;
	bool same = true, tiles = true, counts = true, cached = true;
	char text[1024];

	tok_enc_new(&warm, t, &err);
	buf_init(&back, 1 << 20);
	for (int i = 0; i < 3000; i++) {
		size_t n = random_text(text, sizeof text, &r), c, at = 0;
		struct str s = { text, n };

		a.n = b.n = spans.n = 0;
		if (tok_encode(&a, &spans, warm, s, 0, &err) || tok_count(&c, warm, s, 0, &err))
			break;
		counts &= c == a.n && spans.n == a.n;
		for (size_t k = 0; k < spans.n; k++) {
			tiles &= spans.v[k].start == at && str_eq(tok_bytes(t, a.v[k]), str_sub(s, at, spans.v[k].end));
			at = spans.v[k].end;
		}
		tiles &= at == n;
		buf_reset(&back);
		same &= !tok_decode(&back, t, a.v, a.n, true, &err) && str_eq(buf_str(&back), s);
		if (i % 30 == 0) {
			tok_enc_new(&cold, t, &err);
			cached &= !tok_encode(&b, NULL, cold, s, 0, &err) && b.n == a.n &&
				  (!a.n || !memcmp(a.v, b.v, a.n * sizeof *a.v));
			tok_enc_free(cold);
		}
	}
	OK(same, "decode(encode(x)) == x");
	OK(tiles, "spans tile the text and agree with the bytes of the tokens");
	OK(counts, "tok_count() counts what tok_encode() gives");
	OK(cached, "a fresh worker gives the same ids");
	tok_enc_free(warm);
	tok_ids_release(&a);
	tok_ids_release(&b);
	free(spans.v);
	buf_release(&back);
}

static void llama(void)
{
	struct gguf *g = fixture("tiny-llama.gguf");
	struct tok *t = NULL;
	struct tok_enc *x = NULL;
	struct tok_ids ids = { 0 };
	struct str s = STR("<|im_start|>user\nthe<|im_end|>");

	if (!OK(g && !tok_open_gguf(&t, g, false, &err), "byte-level BPE from GGUF: %s", err.text))
		return;
	gguf_close(g); /* the tokenizer does not need it any more */
	OK(!strcmp(tok_model_name(t), "gpt2") && !strcmp(tok_pre_name(t), "smollm"), "names");
	OK(strlen(tok_digest(t)) == HASH_HEX_LEN, "digest");
	OK(tok_find(t, STR("<|im_end|>")) == 2 && tok_is_eog(t, 2) && !tok_is_eog(t, 1), "end of generation");
	tok_enc_new(&x, t, &err);
	OK(!tok_encode(&ids, NULL, x, s, TOK_PARSE_SPECIAL, &err) && ids.v[0] == 1 && ids.v[ids.n - 1] == 2, "specials parsed");
	ids.n = 0;
	OK(!tok_encode(&ids, NULL, x, s, 0, &err) && ids.v[0] != 1, "specials as plain text");
	OK(tok_encode(&ids, NULL, x, STR("ab\xff"), 0, &err) && err.code == ERR_INVALID_UTF8, "bad UTF-8: %s", err.text);
	err_clear(&err);
	tok_enc_free(x);
	tok_ids_release(&ids);
	bpe_round_trips(t);
	tok_close(t);
}

static void bert(void)
{
	struct gguf *g = fixture("tiny-bert.gguf");
	struct tok *t = NULL;
	struct tok_enc *x = NULL;
	struct tok_ids a = { 0 }, b = { 0 };
	struct tok_spans sp = { 0 };
	struct buf out;

	if (!OK(g && !tok_open_gguf(&t, g, false, &err), "WordPiece from GGUF: %s", err.text))
		return;
	gguf_close(g);
	buf_init(&out, 1 << 16);
	tok_enc_new(&x, t, &err);
	OK(!tok_encode(&a, &sp, x, STR(" The copyr\xc3\xacght,"), TOK_ADD_SPECIAL, &err) && a.v[0] == tok_bos(t) &&
		   a.v[a.n - 1] == tok_eos(t) && a.n > 3, "CLS text SEP");
	OK(sp.n == a.n && sp.v[1].start == 1 && sp.v[a.n - 2].start == 15 && sp.v[a.n - 2].end == 16, "spans are the original's");
	OK(!tok_encode(&b, NULL, x, STR("the copyright ,"), TOK_ADD_SPECIAL, &err) && a.n == b.n &&
		   !memcmp(a.v, b.v, a.n * sizeof *a.v), "case, accents and blanks do not count");
	OK(!tok_decode(&out, t, a.v, a.n, false, &err) && str_is(buf_str(&out), "the copyright,"), "decoded: %s", out.p);
	tok_enc_free(x);
	tok_ids_release(&a);
	tok_ids_release(&b);
	free(sp.v);
	buf_release(&out);
	tok_close(t);
}

/* ---- golden ids and pieces, from Hugging Face's tokenizers by tests/fixtures/make-tokenizers.py */

static bool read_fixture(struct buf *out, const char *name)
{
	const char *top = getenv("top_srcdir");
	char path[4096];

	buf_init(out, 64 << 20);
	snprintf(path, sizeof path, "%s/tests/fixtures/%s", top ? top : ".", name);
	return !os_read_file(out, path, 64 << 20, &err);
}

static struct tok *open_json(const char *name)
{
	struct buf text;
	struct tok *t = NULL;

	if (!read_fixture(&text, name) || tok_open_json(&t, buf_str(&text), (struct str){ "", 0 }, name, &err))
		printf("# %s\n", err.text);
	buf_release(&text);
	return t;
}

/* A line {"json", "text", "special", "ids", "offsets"?}: true when the ids (and offsets) are ours. */
static bool golden_ids(struct tok_enc *x, struct json_val row, struct str text, struct arena *a)
{
	struct tok_ids ids = { 0 };
	struct tok_spans spans = { 0 };
	unsigned flags = json_get(row, "special").type == JSON_TRUE ? TOK_ADD_SPECIAL | TOK_PARSE_SPECIAL : 0;
	struct json_iter it = json_iter(json_get(row, "offsets"));
	struct json_val v;
	int32_t *want;
	size_t n, i = 0;
	bool good;

	if (json_i32s(&want, &n, json_get(row, "ids"), a, &err) || tok_encode(&ids, &spans, x, text, flags, &err))
		return false;
	good = n == ids.n && (!n || !memcmp(want, ids.v, n * sizeof *want));
	for (; good && json_next(&v, &it); i++) {
		int32_t *pair;

		/* the tokens around a text have no place: theirs is 0, ours an end of the text */
		good = !json_i32s(&pair, &n, v, a, &err) &&
		       (!pair[1] || (spans.v[i].start == (uint32_t)pair[0] && spans.v[i].end == (uint32_t)pair[1]));
	}
	tok_ids_release(&ids);
	free(spans.v);
	return good;
}

static bool golden_pieces(struct json_val row, struct str text, struct str name, struct arena *a)
{
	struct pre pre;
	struct pre_iter it;
	unsigned flags;
	int32_t *want;
	uint32_t end;
	size_t n, i = 0;

	if (!pre_by_name(&pre, &flags, name) || json_i32s(&want, &n, json_get(row, "ends"), a, &err))
		return false;
	pre_begin(&it, &pre, text);
	while (pre_ends(&end, 1, &it))
		if (i == n || (uint32_t)want[i++] != end)
			return false;
	return i == n;
}

/* Every line of the golden file that names `json` (or, NULL, a pre-tokenizer). */
static void goldens(const char *json, const struct tok *t)
{
	struct buf text;
	struct arena a;
	struct tok_enc *x = NULL;
	size_t n = 0, bad = 0;

	arena_init(&a, 64 << 20);
	if (!read_fixture(&text, "tok_golden.ndjson") || (t && tok_enc_new(&x, t, &err)))
		return;
	for (size_t i = 0, j; i < text.n; i = j + 1) {
		struct json_val row;
		struct str s, name;

		j = str_find(buf_str(&text), STR("\n"), i);
		if (json_parse(&row, str_sub(buf_str(&text), i, j), &err) || json_str(&s, json_get(row, "text"), &a, &err) ||
		    json_str(&name, json_get(row, json ? "json" : "pre"), &a, NULL) || (json && !str_is(name, json)))
			continue;
		n++;
		if (json ? golden_ids(x, row, s, &a) : golden_pieces(row, s, name, &a))
			continue;
		bad++;
		printf("# " STR_FMT "\n", STR_ARG(str_sub(buf_str(&text), i, j)));
	}
	OK(n > 40 && !bad, "%s: %zu of %zu golden texts differ", json ? json : "pre-tokenizers", bad, n);
	tok_enc_free(x);
	arena_release(&a);
	buf_release(&text);
}

/* The same ids from the GGUF keys that are written of a tokenizer.json. */
static void through_gguf(const struct tok *t, const char *name)
{
	const char *tmp = getenv("TMPDIR");
	struct gguf_writer *w;
	struct gguf *g = NULL;
	struct tok *u = NULL;
	struct tok_enc *a, *b;
	struct tok_ids x = { 0 }, y = { 0 };
	struct rng r = { .key = 3 };
	char path[4096], text[1024];
	size_t bad = 0;

	snprintf(path, sizeof path, "%s/tok_test.%ld.gguf", tmp ? tmp : ".", (long)getpid());
	if (!OK(!gguf_writer_new(&w, path, &err) && !tok_put_gguf(t, w, &err) && !gguf_writer_commit(w, &err) &&
			!gguf_open(&g, path, &err) && !tok_open_gguf(&u, g, false, &err),
		"%s as GGUF: %s", name, err.text))
		return;
	remove(path);
	tok_enc_new(&a, t, &err);
	tok_enc_new(&b, u, &err);
	for (int i = 0; i < 2000; i++) {
		struct str s = { text, random_text(text, sizeof text, &r) };

		x.n = y.n = 0;
		if (tok_encode(&x, NULL, a, s, TOK_ADD_SPECIAL, &err) || tok_encode(&y, NULL, b, s, TOK_ADD_SPECIAL, &err))
			break;
		bad += x.n != y.n || (x.n && memcmp(x.v, y.v, x.n * sizeof *x.v));
	}
	OK(!bad, "%s: %zu of 2000 texts differ through GGUF", name, bad);
	tok_ids_release(&x);
	tok_ids_release(&y);
	tok_enc_free(a);
	tok_enc_free(b);
	tok_close(u);
	gguf_close(g);
}

static void json_tokenizers(void)
{
	static const char *const files[] = { "tok_bpe.json", "tok_llama2.json", "tok_wordpiece.json", "tok_unigram.json" };
	struct gguf_writer *w = NULL;

	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		struct tok *t = open_json(files[i]);

		if (!OK(t, "%s opens", files[i]))
			continue;
		goldens(files[i], t);
		if (i < 3)
			through_gguf(t, files[i]);
		else
			OK(tok_put_gguf(t, w, &err) && err.code == ERR_OPEN, "refused, since GGUF has no NFKC: %s", err.text);
		tok_close(t);
	}
	goldens(NULL, NULL);
}

static void json_refusals(void)
{
	static const struct { const char *json, *why; } bad[] = {
		{ "{}", "no model" }, { "[1,", "invalid JSON" }, { "{\"model\":{\"type\":\"WordLevel\"}}", "WordLevel" },
		{ "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"normalizer\":{\"type\":\"Odd\"}}", "Odd" },
		{ "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"pre_tokenizer\":{\"type\":\"Split\","
		  "\"pattern\":{\"Regex\":\"a+b\"},\"behavior\":\"Isolated\",\"invert\":false}}", "a+b" },
		{ "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":4000000000},\"merges\":[]}}", "limit" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct tok *t = NULL;

		err_clear(&err);
		OK(tok_open_json(&t, str_of(bad[i].json), (struct str){ "", 0 }, "x", &err) && err.code == ERR_OPEN &&
			   strstr(err.text, bad[i].why), "refused: %s", err.text);
	}
	err_clear(&err);
}

/* Chunks of hard texts: within the limit, in order, whole characters, nothing lost. */
static void cuts(void)
{
	struct tok *t = open_json("tok_bpe.json");
	struct tok_enc *x;
	struct rng r = { .key = 5 };
	struct tok_chunks c = { 0 };
	char text[1024];
	bool limits = true, order = true, whole = true, lost = true, head = true;

	if (!t || tok_enc_new(&x, t, &err))
		return;
	for (int i = 0; i < 2000; i++) {
		size_t len = random_text(text, sizeof text, &r);
		struct str s = { text, len };
		size_t max = 6 + rng_below(&r, 20), end = 0, start = 0, n, all;
		struct tok_chunk_opts o = { max, rng_below(&r, 3) ? 0 : rng_below(&r, max / 2), (enum tok_cut)rng_below(&r, 4),
					    TOK_ADD_SPECIAL };
		struct tok_chunk k;

		c.n = 0;
		if (tok_chunk(&c, x, s, &o, &err)) {
			limits = false;
			printf("# %s\n", err.text);
			break;
		}
		for (size_t q = 0; q < c.n; q++) {
			k = c.v[q];
			limits &= !tok_count(&n, x, str_sub(s, k.start, k.end), o.flags, &err) && n == k.n_tokens && n <= max;
			order &= k.end > end && (!q || k.start > start) && k.start < k.end;
			whole &= utf8_valid(str_sub(s, k.start, k.end)) == k.end - k.start;
			for (; end < k.start; end++) /* only white space may be left out */
				lost &= strchr(" \n\r\t\xc2\xa0\xe3\x80", s.p[end]) != NULL;
			start = k.start;
			end = k.end;
		}
		head &= !tok_truncate(&k, &all, x, s, max, i & 1, o.flags, &err) && k.n_tokens <= max &&
			utf8_valid(str_sub(s, k.start, k.end)) == k.end - k.start && (all > max || k.end - k.start == s.n);
	}
	OK(limits, "every chunk is within the limit when it is counted anew");
	OK(order, "chunks are in order and go on");
	OK(whole, "no character is cut");
	OK(lost, "nothing but white space is lost");
	OK(head, "truncated texts are within the limit and whole characters");
	free(c.v);
	tok_enc_free(x);
	tok_close(t);
}

/* A text of a million bytes of one kind must take no longer than others: the test's time limit is the check. */
static void worst_cases(void)
{
	static const char *const kinds[] = { "a", " ", "\n", "\xe4\xb8\xad", "1", "!", "\xcc\x81", "a ", "\xe4\xb8\xad " };
	struct gguf *g = fixture("tiny-llama.gguf");
	struct tok *t = NULL;
	struct tok_enc *x;
	struct buf b;
	size_t n;
	bool good = true;

	if (tok_open_gguf(&t, g, false, &err))
		return;
	tok_enc_new(&x, t, &err);
	buf_init(&b, 1 << 24);
	for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
		buf_reset(&b);
		while (b.n < 300000)
			buf_addz(&b, kinds[k]);
		good &= !tok_count(&n, x, buf_str(&b), 0, &err) && n > 0;
	}
	OK(good, "long runs of one character");
	buf_release(&b);
	tok_enc_free(x);
	tok_close(t);
	gguf_close(g);
}

static int collect(void *arg, const struct tok_sym *v, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (tok_word_push(arg, v[i].id, v[i].start, v[i].len, e))
			return -1;
	return 0;
}

/* Windows of any size give what the whole gives, or say that they cannot tell. */
static void long_words(const char *name, bool json)
{
	static const char *const bits[] = { "a", "b", "e", "th", "in", "er", "\xc3\xa9", "\xe4\xb8\xad", "1", "s", "ing", "zq" };
	struct tok_word whole = { 0 }, got = { 0 }, work = { 0 };
	struct rng r = { .key = 5 };
	struct gguf *g = NULL;
	struct buf text;
	struct tok *t = NULL;
	unsigned same = 0, gave_up = 0, differ = 0;

	buf_init(&text, 1 << 20);
	if (json)
		t = open_json(name);
	else if ((g = fixture(name)))
		tok_open_gguf(&t, g, false, &err);
	if (!t)
		return;
	for (unsigned i = 0; i < 600; i++) {
		size_t n = 500 + rng_below(&r, 1500), kinds = 1 + rng_below(&r, 12), first = rng_below(&r, 12);
		int rc;

		buf_reset(&text);
		while (text.n < n)
			buf_addz(&text, bits[(first + rng_below(&r, kinds)) % 12]);
		got.n = 0;
		if (tok_bpe_word(&whole, t, text.p, text.n, &err))
			break;
		rc = tok_bpe_long(&work, t, text.p, text.n, 16u << rng_below(&r, 5), collect, &got, &err);
		gave_up += rc == 1;
		if (rc)
			continue;
		for (size_t k = 0; k < got.n; k++) /* as the caller does */
			rc |= got.n != whole.n || (got.v[k].id >= 0 && memcmp(&got.v[k], &whole.v[k], sizeof got.v[k]) != 0);
		same += !rc;
		differ += rc != 0;
	}
	OK(!differ && same > 300, "%s: %u words in windows as the whole, %u differ, %u not told", name, same, differ, gave_up);
	tok_word_release(&whole);
	tok_word_release(&got);
	tok_word_release(&work);
	buf_release(&text);
	tok_close(t);
	gguf_close(g);
}

/* A word that is decided piece by piece, against the whole. */
static void long_unigram(void)
{
	struct tok *t = open_json("tok_unigram.json");
	struct tok_word whole = { 0 }, got = { 0 }, work = { 0 };
	struct rng r = { .key = 6 };
	struct buf text;
	bool same = true;

	buf_init(&text, 1 << 20);
	while (text.n < 5 * TOK_LONG)
		buf_addz(&text, (const char *const[]){ "the", "a", "ing", "re", "\xe4\xb8\xad", "of", "s" }[rng_below(&r, 7)]);
	if (!t || tok_ugm_word(&whole, t, text.p, text.n, &err) ||
	    tok_ugm_long(&work, t, text.p, text.n, collect, &got, &err))
		same = false;
	for (size_t i = 0, k = 0; same && k < whole.n; i++) { /* neighbours that are unknown are one in the whole */
		size_t end = got.v[i].start + got.v[i].len;

		if (got.v[i].id >= 0)
			same = !memcmp(&got.v[i], &whole.v[k], sizeof got.v[i]);
		k += end == whole.v[k].start + whole.v[k].len;
	}
	OK(same && got.n >= whole.n && got.n > 5000, "Unigram: %zu tokens piece by piece", got.n);
	tok_word_release(&whole);
	tok_word_release(&got);
	tok_word_release(&work);
	buf_release(&text);
	tok_close(t);
}

static void pieces(const char *pre, const char *text, const char *want)
{
	struct pre p;
	unsigned flags;
	struct pre_iter it;
	uint32_t end, begin = 0;
	struct buf got;

	buf_init(&got, 1 << 16);
	if (!pre_by_name(&p, &flags, str_of(pre))) {
		OK(false, "%s is known", pre);
		return;
	}
	pre_begin(&it, &p, str_of(text));
	while (pre_ends(&end, 1, &it)) {
		if (begin)
			buf_addc(&got, '|');
		buf_add(&got, text + begin, end - begin);
		begin = end;
	}
	OK(str_is(buf_str(&got), want), "%s: %s", pre, got.p);
	buf_release(&got);
}

static void pre_tokenizers(void)
{
	pieces("gpt-2", "I'll go  to 1234 'places'!\n\n ok ", "I|'ll| go| | to| 1234| '|places|'!|\n\n| ok| ");
	pieces("smollm", "a  12 b", "a|  |1|2| b");
	pieces("llama-bpe", "I'LL pay $12345.67\n\n  now", "I|'LL| pay| $|123|45|.|67|\n\n| | now");
	pieces("qwen2", "x=12\n", "x|=|1|2|\n");
	pieces("gpt-4o", "HELLO\xe4\xb8\xadLO camelCase's//\n", "HELLO\xe4\xb8\xad|LO| camel|Case's|//\n");
	pieces("falcon", "a$b 12345", "a|$|b| |123|45");
	pieces("deepseek-v3", "a1234\xe4\xb8\xad x_y", "a|123|4|\xe4\xb8\xad| x|_y");
	pieces("tiny_aya", "1234567 89a", "1|234|567| |89|a");
	pieces("superbpe", "two words 1234567", "two words |1|234|567");
	pieces("bloom", "a, b.c  d", "a|,| b|.|c| | d");
}

static void unicode(void)
{
	uint32_t d[UNI_DECOMP_MAX];

	OK(uni_class('a') == UNI_BIT(UNI_LL) && uni_class(0x85) == (UNI_BIT(UNI_CC) | UNI_WS), "classes");
	OK(uni_class(0x4e2d) == (UNI_BIT(UNI_LO) | UNI_HAN), "Han");
	OK(uni_decompose(d, 0xac01, false) == 3 && d[2] == 0x11a8, "Hangul comes apart");
	OK(uni_compose(0xac00, 0x11a8) == 0xac01 && uni_compose('e', 0x301) == 0xe9, "and together");
	OK(uni_lower(d, 0xc4) == 1 && d[0] == 0xe4 && uni_lower(d, 0x130) == 2, "lower case");
	OK(uni_sentence_end(STR("One. Two"), 0) == 5 && uni_sentence_end(STR("3.4 is. x"), 0) == 9, "sentences");
}

int main(void)
{
	unicode();
	pre_tokenizers();
	llama();
	bert();
	json_tokenizers();
	json_refusals();
	cuts();
	worst_cases();
	long_words("tiny-llama.gguf", false);
	long_words("tok_bpe.json", true);
	long_words("tok_llama2.json", true);
	long_unigram();
	return tap_done();
}
