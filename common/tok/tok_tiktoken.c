/*
 * A .tiktoken file: "BASE64 RANK" a line, the tokens of a byte-level BPE whose merges are the ranks of the joined texts.
 * The pattern and the special tokens are not in it but in tiktoken (tiktoken_ext/openai_public.py): its name tells them.
 */
#include "config.h"
#include "tok/tok_impl.h"

static const struct encoding {
	const char *name, *regex, *pre; /* of the pre-tokenizer, one of the two */
	struct {
		const char *text;
		uint32_t id;
	} specials[5];
} encodings[] = {
	{ "cl100k_base",
	  "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|"
	  "\\s+(?!\\S)|\\s",
	  NULL,
	  { { "<|endoftext|>", 100257 }, { "<|fim_prefix|>", 100258 }, { "<|fim_middle|>", 100259 },
	    { "<|fim_suffix|>", 100260 }, { "<|endofprompt|>", 100276 } } },
	{ "o200k_base", NULL, "gpt-4o", { { "<|endoftext|>", 199999 }, { "<|endofprompt|>", 200018 } } },
	{ "p50k_base", NULL, "gpt-2", { { "<|endoftext|>", 50256 } } },
	{ "r50k_base", NULL, "gpt-2", { { "<|endoftext|>", 50256 } } },
};

static const struct encoding *by_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++)
		if (str_starts(str_of(slash ? slash + 1 : path), str_of(encodings[i].name)))
			return &encodings[i];
	return NULL;
}

struct line {
	struct str text; /* base64 */
	uint64_t rank;
};

/* The next line, from *at on; 0 at the end, -1 where it is none. */
static int next_line(struct line *out, struct str file, size_t *at, struct err *e)
{
	size_t end, gap;
	struct str s;

	while (*at < file.n && (file.p[*at] == '\n' || file.p[*at] == '\r'))
		++*at;
	if (*at == file.n)
		return 0;
	end = str_find(file, STR("\n"), *at);
	s = str_sub(file, *at, end > *at && file.p[end - 1] == '\r' ? end - 1 : end);
	gap = str_find(s, STR(" "), 0);
	/* no more ranks than bytes: what is allocated stays in proportion */
	if (gap == s.n || file.n > (size_t)TOK_MAX_VOCAB * 64 ||
	    num_u64(&out->rank, str_sub(s, gap + 1, s.n), 0, file.n < TOK_MAX_VOCAB ? file.n : TOK_MAX_VOCAB - 1, e))
		return err_set(e, ERR_OPEN, "byte %zu: not a line \"BASE64 RANK\"", *at);
	out->text = str_sub(s, 0, gap);
	*at = end;
	return 1;
}

/* Ids are ranks, in any order in the file; those that it leaves out stay unused. */
static int fill(struct tok *t, struct str *texts, const struct encoding *enc, struct err *e)
{
	struct buf blob;

	buf_init(&blob, (size_t)1 << 30);
	for (size_t i = 0; i < 5 && enc->specials[i].text; i++) {
		size_t id = enc->specials[i].id;

		texts[id] = str_of(enc->specials[i].text);
		t->attr[id] = TOK_CONTROL;
	}
	for (size_t id = 0; id < t->n; id++) {
		t->off[id] = (uint32_t)blob.n;
		if (!texts[id].n)
			t->attr[id] = TOK_UNUSED;
		else if (t->attr[id] == TOK_CONTROL)
			buf_adds(&blob, texts[id]);
		else if (json_base64_get(&blob, texts[id], e))
			break;
	}
	t->off[t->n] = (uint32_t)blob.n;
	t->blob = blob.p;
	return e->code || buf_check(&blob, e) || !blob.n ? -1 : 0;
}

static int specials(struct tok *t, const struct encoding *enc, struct err *e)
{
	struct tok_special v[5];
	size_t n = 0;

	for (; n < 5 && enc->specials[n].text; n++)
		v[n] = (struct tok_special){ .id = (int32_t)enc->specials[n].id };
	t->eos = (int32_t)enc->specials[0].id;
	return tok_specials_build(&t->all, t, v, n, e) || tok_specials_build(&t->user, t, v, 0, e) ||
			       tok_specials_build(&t->all_norm, t, v, 0, e) || tok_specials_build(&t->user_norm, t, v, 0, e) ?
		       -1 :
		       0;
}

static int build(struct tok *t, struct str *texts, const struct encoding *enc, struct err *e)
{
	unsigned flags;
	bool total;

	t->model = TOK_BPE;
	t->byte_level = true;
	t->ignore_merges = true; /* a piece that is a token is that token */
	if (fill(t, texts, enc, e) || tok_build_index(t, e))
		return -1;
	tok_find_bytes(t);
	if (enc->regex)
		t->pre.n_stages = pre_by_regex(t->pre.stages, &total, str_of(enc->regex));
	else
		pre_by_name(&t->pre, &flags, str_of(enc->pre));
	return specials(t, enc, e) || tok_finish(t, e) ? -1 : 0;
}

int tok_open_tiktoken(struct tok **out, struct str file, const char *path, struct err *e)
{
	const struct encoding *enc = by_name(path);
	struct str *texts = NULL;
	struct err why = { 0 };
	struct tok *t = NULL;
	struct line l;
	size_t at = 0, n = 0;
	int rc;

	if (!enc)
		return err_set(e, ERR_OPEN,
			       "%s: the name of a .tiktoken file tells its encoding: cl100k_base, o200k_base, p50k_base or "
			       "r50k_base",
			       path);
	while ((rc = next_line(&l, file, &at, &why)) > 0)
		n = l.rank >= n ? (size_t)l.rank + 1 : n;
	for (size_t i = 0; i < 5 && enc->specials[i].text; i++)
		n = enc->specials[i].id >= n ? enc->specials[i].id + 1 : n;
	texts = rc ? NULL : calloc(n, sizeof *texts);
	if (!rc && (!texts || !(t = tok_alloc(n, &why))))
		rc = err_nomem(&why);
	for (at = 0; !rc && next_line(&l, file, &at, &why) > 0;)
		texts[l.rank] = l.text;
	rc = rc || build(t, texts, enc, &why) ? -1 : 0;
	free(texts);
	if (rc) {
		tok_close(t);
		if (!why.code)
			err_set(&why, ERR_OPEN, "there are no tokens in it");
		if (why.code == ERR_NOMEM)
			return err_nomem(e);
		return err_set(e, ERR_OPEN, "%s: %s", path, why.text);
	}
	*out = t;
	return 0;
}
