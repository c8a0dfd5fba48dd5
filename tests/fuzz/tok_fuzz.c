/*
 * tok_fuzz: a GGUF file (its tokenizer is opened and used), a tokenizer.json (the same), or else a text that a byte-level
 * tokenizer must give back, whole and in chunks. Seeds: the fixtures.
 */
#include "config.h"
#include "tok/tok.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char hard[] = "The quick <|end|> \xe2\x96\x81 e\xcc\x81 \xe4\xb8\xad\xe6\x96\x87 12345 don't\n\n  \xf0\x9f\x98\x80 [MASK]</s>";

static void use(struct tok *t, struct str text, bool whole)
{
	struct tok_ids ids = { 0 };
	struct tok_spans spans = { 0 };
	struct tok_chunks chunks = { 0 };
	struct tok_chunk_opts o = { 20, 4, TOK_CUT_AUTO, TOK_ADD_SPECIAL };
	struct tok_enc *x;
	struct buf b;
	size_t n, at = 0;

	buf_init(&b, (size_t)1 << 26);
	if (tok_enc_new(&x, t, NULL))
		return;
	if (!tok_encode(&ids, &spans, x, text, TOK_PARSE_SPECIAL | TOK_ADD_SPECIAL, NULL)) {
		if (ids.n != spans.n || tok_count(&n, x, text, TOK_PARSE_SPECIAL | TOK_ADD_SPECIAL, NULL) || n != ids.n)
			abort();
		for (size_t i = 0; i < spans.n; i++)
			if (spans.v[i].start > spans.v[i].end || spans.v[i].end > text.n)
				abort();
		if (tok_decode(&b, t, ids.v, ids.n, true, NULL) && !b.failed)
			abort();
		if (whole && !str_eq(buf_str(&b), text))
			abort();
		tok_chunk(&chunks, x, text, &o, NULL);
		for (size_t i = 0; i < chunks.n; i++) {
			if (chunks.v[i].n_tokens > o.max || chunks.v[i].end <= at || chunks.v[i].end > text.n)
				abort();
			at = chunks.v[i].end;
		}
	}
	tok_ids_release(&ids);
	free(spans.v);
	free(chunks.v);
	buf_release(&b);
	tok_enc_free(x);
}

/* All bytes and a few merges. */
static struct tok *byte_level(void)
{
	static struct tok *t;
	struct buf b;

	if (t)
		return t;
	buf_init(&b, 1 << 20);
	buf_addz(&b, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"model\":{\"type\":\"BPE\",\"vocab\":{");
	for (unsigned c = 0, others = 256; c < 256; c++) {
		bool same = (c >= 33 && c <= 126) || (c >= 161 && c <= 172) || c >= 174;

		buf_addf(&b, "\"\\u%04x\":%u,", same ? c : others++, c);
	}
	buf_addz(&b, "\"th\":256,\"the\":257,\"\\u0120\\u0120\":258,\"\\u0120the\":259,\"aa\":260,\"aaaa\":261},\"merges\":[\"t h\","
		     "\"th e\",\"\\u0120 \\u0120\",\"\\u0120 the\",\"a a\",\"aa aa\"]}}");
	if (tok_open_json(&t, buf_str(&b), (struct str){ "", 0 }, "fuzz", NULL))
		abort();
	buf_release(&b);
	return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size };
	struct tok *t = NULL;
	struct gguf *g;

	if (str_starts(in, STR("GGUF"))) {
		if (gguf_open_mem(&g, data, size, "fuzz", NULL))
			return 0;
		if (!tok_open_gguf(&t, g, true, NULL))
			use(t, str_of(hard), false);
		gguf_close(g);
	} else if (str_starts(in, STR("{"))) {
		if (!tok_open_json(&t, in, (struct str){ "", 0 }, "fuzz", NULL))
			use(t, str_of(hard), false);
	} else if (str_starts(in, STR("IQ== "))) {
		if (!tok_open_tiktoken(&t, in, size % 2 ? "cl100k_base" : "r50k_base", NULL))
			use(t, str_of(hard), false);
	} else {
		use(byte_level(), in, true);
		return 0;
	}
	tok_close(t);
	return 0;
}
