/* The table of pre-tokenizers by their GGUF names, and the walk through their stages. */
#include "config.h"
#include "tok/pretok_scan_impl.h"

/* Ranges of code points that the models' patterns spell out. */
static const uint32_t deepseek_letters[] = {
	0x41, 0x5a, 0x61, 0x7a, 0xb5, 0xb5, 0xc0, 0xd6, 0xd8, 0xf6, 0xf8, 0x1ba, 0x1bc, 0x1bf, 0x1c4, 0x293,
	0x295, 0x2af, 0x370, 0x373, 0x376, 0x376, 0x377, 0x377, 0x37b, 0x37d, 0x37f, 0x37f, 0x386, 0x386,
	0x388, 0x38a, 0x38c, 0x38c, 0x38e, 0x3a1, 0x3a3, 0x3f5, 0x3f7, 0x481, 0x48a, 0x52f, 0x531, 0x556,
	0x10a0, 0x10c5, 0x13a0, 0x13f5, 0x13f8, 0x13fd, 0x1c90, 0x1cba, 0x1cbd, 0x1cbf, 0x1d00, 0x1d2b,
	0x1d6b, 0x1d77, 0x1d79, 0x1d9a, 0x1e00, 0x1f15, 0x1f18, 0x1f1d, 0x1f20, 0x1f45, 0x1f48, 0x1f4d,
	0x1f50, 0x1f57, 0x1f59, 0x1f59, 0x1f5b, 0x1f5b, 0x1f5d, 0x1f5d, 0x1f5f, 0x1f7d, 0x1f80, 0x1fb4,
	0x1fb6, 0x1fbc, 0x1fbe, 0x1fbe, 0x1fc2, 0x1fc4, 0x1fc6, 0x1fcc, 0x1fd0, 0x1fd3, 0x1fd6, 0x1fdb,
	0x1fe0, 0x1fec, 0x1ff2, 0x1ff4, 0x1ff6, 0x1ffc, 0x2102, 0x2102, 0x2107, 0x2107, 0x210a, 0x2113,
	0x2115, 0x2115, 0x2119, 0x211d, 0x2124, 0x2124, 0x2126, 0x2126, 0x2128, 0x2128, 0x212a, 0x212d,
	0x212f, 0x2134, 0x2139, 0x2139, 0x213c, 0x213f, 0x2145, 0x2149, 0x214e, 0x214e, 0x2183, 0x2183,
	0x2184, 0x2184, 0x2c00, 0x2c7b, 0x2c7e, 0x2ce4, 0x2ceb, 0x2cee, 0x2cf2, 0x2cf2, 0x2cf3, 0x2cf3,
	0xa640, 0xa66d, 0xa680, 0xa69b, 0xa722, 0xa76f, 0xa771, 0xa787, 0xa78b, 0xa78e, 0xab70, 0xabbf,
	0xfb00, 0xfb06, 0xfb13, 0xfb17, 0xff21, 0xff3a, 0xff41, 0xff5a, 0x10400, 0x1044f, 0x104b0, 0x104d3,
	0x104d8, 0x104fb, 0x10c80, 0x10cb2, 0x10cc0, 0x10cf2, 0x118a0, 0x118df, 0x1e900, 0x1e943, 0, 0
};
static const uint32_t deepseek_punct[] = {
	0x21, 0x2f, 0x3a, 0x7e, 0xff01, 0xff0f, 0xff1a, 0xff5e, 0x2018, 0x201f, 0x3000, 0x3002, 0, 0
};
static const uint32_t deepseek_cjk[] = {
	0x4e00, 0x9fa5, 0x800, 0x4e00, 0xac00, 0xd7ff, 0, 0
};
static const uint32_t han_kana[] = {
	0x4e00, 0x9fa5, 0x3040, 0x309f, 0x30a0, 0x30ff, 0, 0
};
static const uint32_t hangul[] = {
	0xac00, 0xd7a3, 0x3131, 0x318e, 0, 0
};
static const uint32_t cjk_punct[] = {
	0xff01, 0xff01, 0x2026, 0x2026, 0x201c, 0x201c, 0x201d, 0x201d, 0x2018, 0x2018, 0x2019, 0x2019,
	0x2014, 0x2014, 0xff1a, 0xff1a, 0xff1b, 0xff1b, 0xff0c, 0xff0c, 0x3001, 0x303f, 0xfe30, 0xfe4f, 0, 0
};
static const uint32_t bopomofo[] = {
	0x3105, 0x312f, 0, 0
};
static const uint32_t afmoe_scripts[] = {
	0x4e00, 0x9fff, 0x3400, 0x4dbf, 0x8c48, 0xfaff, 0x3040, 0x309f, 0x30a0, 0x30ff, 0xff65, 0xff9f,
	0x2f00, 0x2fdf, 0xe40, 0xe7f, 0xe80, 0xeff, 0x1780, 0x17ff, 0x1000, 0x109f, 0xaa60, 0xaa7f,
	0xa9e0, 0xa9ff, 0xac00, 0xd7af, 0x1100, 0x11ff, 0, 0
};

/* Their places are part of the digest: add at the end. */
static pre_fn *const fns[] = { scan_gpt2, scan_llama3, scan_o200k, scan_deepseek3, scan_exaone_moe, scan_ranges,
			       scan_blank_ranges, scan_blank_class, scan_newline, scan_line, scan_digits, scan_three,
			       scan_falcon_punct, scan_last_blanks, scan_right_threes, scan_threes, scan_bloom, scan_chameleon,
			       scan_chameleon_blanks, scan_punct, scan_spaces, scan_not_blank, scan_words,
			       scan_bert, scan_metaspace, scan_zero_threes };

#define GPT2 { .fn = scan_gpt2 }
#define GPT2_DIGIT { .fn = scan_gpt2, .digit_ends = true } /* \p{N} ; GPT2 in one */
#define LLAMA3(n) { .fn = scan_llama3, .digits = n, .tail = PRE_TAIL_NEWLINES, .contractions = true }
#define O200K(n, c) { .fn = scan_o200k, .digits = n, .tail = PRE_TAIL_SLASHES, .contractions = c }
#define DEEPSEEK3 { .fn = scan_deepseek3, .tail = PRE_TAIL_NEWLINES }
#define DIGITS(n) { .fn = scan_digits, .digits = n }
#define RANGES(r) { .fn = scan_ranges, .ranges = r }
#define BLANK_RANGES(r) { .fn = scan_blank_ranges, .ranges = r }

enum {
	N_GPT2, N_DIGIT, N_FALCON, N_DEFAULT, N_LLAMA3, N_JAIS2, N_MINICPM5, N_QWEN2, N_UFAKZEKA, N_QWEN35, N_LAGUNA, N_O200K,
	N_TEKKEN, N_TINY_AYA, N_YOUTU, N_KIMI, N_DEEPSEEK3, N_DEEPSEEK_LLM, N_DEEPSEEK_CODER, N_AFMOE, N_BAILING, N_SEED,
	N_EXAONE_MOE, N_SUPERBPE, N_BLOOM, N_VIKING, N_CHAMELEON, N_LINES, N_CL100K
};
static const struct pre scanners[] = {
	[N_GPT2] = { 1, { GPT2 } },
	[N_DIGIT] = { 1, { GPT2_DIGIT } },
	[N_FALCON] = { 3, { { .fn = scan_falcon_punct, .marks = true }, GPT2, { .fn = scan_three } } },
	[N_DEFAULT] = { 4, { { .fn = scan_falcon_punct }, GPT2, DIGITS(0), { .fn = scan_three } } },
	[N_LLAMA3] = { 1, { LLAMA3(3) } },
	[N_JAIS2] = { 1, { { .fn = scan_llama3, .digits = 3, .tail = PRE_TAIL_NEWLINES, .contractions = true, .powers = true } } },
	[N_MINICPM5] = { 2, { DIGITS(3), LLAMA3(0) } },
	[N_QWEN2] = { 1, { LLAMA3(1) } },
	[N_UFAKZEKA] = { 1, { { .fn = scan_llama3, .digits = 1, .tail = PRE_TAIL_NEWLINES } } },
	[N_QWEN35] = { 1, { { .fn = scan_llama3, .digits = 1, .tail = PRE_TAIL_NEWLINES, .contractions = true, .marks = true } } },
	[N_LAGUNA] = { 2, { { .fn = scan_line }, LLAMA3(1) } },
	[N_O200K] = { 1, { O200K(3, true) } },
	[N_TEKKEN] = { 1, { O200K(1, false) } },
	[N_TINY_AYA] = { 2, { { .fn = scan_right_threes }, O200K(3, true) } },
	[N_YOUTU] = { 5, { RANGES(hangul), RANGES(cjk_punct), RANGES(bopomofo), RANGES(han_kana), O200K(1, true) } },
	[N_KIMI] = { 1, { { .fn = scan_o200k, .digits = 3, .tail = PRE_TAIL_NEWLINES, .contractions = true, .han = true } } },
	[N_DEEPSEEK3] = { 3, { DIGITS(3), RANGES(han_kana), DEEPSEEK3 } },
	[N_DEEPSEEK_LLM] = { 6, { { .fn = scan_newline }, BLANK_RANGES(deepseek_letters), BLANK_RANGES(deepseek_punct),
				  { .fn = scan_last_blanks }, RANGES(deepseek_cjk), DIGITS(0) } },
	[N_DEEPSEEK_CODER] = { 5, { { .fn = scan_newline }, { .fn = scan_blank_class }, { .fn = scan_blank_class, .marks = true },
				    RANGES(deepseek_cjk), DIGITS(1) } },
	[N_AFMOE] = { 3, { { .fn = scan_threes }, RANGES(afmoe_scripts), DEEPSEEK3 } },
	[N_BAILING] = { 1, { LLAMA3(1) } },
	[N_SEED] = { 1, { { .fn = scan_llama3, .digits = 1, .contractions = true } } },
	[N_EXAONE_MOE] = { 1, { { .fn = scan_exaone_moe, .digits = 1, .tail = PRE_TAIL_ONE, .contractions = true } } },
	[N_SUPERBPE] = { 2, { DIGITS(0), { .fn = scan_zero_threes } } },
	[N_BLOOM] = { 1, { { .fn = scan_bloom } } },
	[N_VIKING] = { 2, { { .fn = scan_bloom }, DIGITS(1) } },
	[N_CHAMELEON] = { 5, { { .fn = scan_chameleon }, { .fn = scan_chameleon_blanks }, DIGITS(1), { .fn = scan_punct }, GPT2 } },
	[N_LINES] = { 1, { { .fn = scan_line } } },
	[N_CL100K] = { 1, { { .fn = scan_llama3, .digits = 3, .tail = PRE_TAIL_NEWLINES, .contractions = true, .to_end = true } } },
};

const struct pre_stage pre_gpt2 = GPT2, pre_digit = DIGITS(1), pre_digits = DIGITS(0), pre_punct = { .fn = scan_punct },
		       pre_bert = { .fn = scan_bert }, pre_words = { .fn = scan_words },
		       pre_whitespace_split = { .fn = scan_not_blank }, pre_metaspace = { .fn = scan_metaspace },
		       pre_spaces = { .fn = scan_spaces };

#define IM PRE_IGNORE_MERGES
#define BOS PRE_ADD_BOS
#define CLEAN PRE_CLEAN
#define NFC PRE_NFC
#define SEP PRE_ADD_SEP
#define RAW PRE_RAW
/* The first name of a scanner and flags is the one that an imported model gets. */
static const struct {
	const char *name;
	uint8_t scanner, flags;
} names[] = {
	{ "llama-bpe", N_LLAMA3, IM | BOS | CLEAN }, { "llama3", N_LLAMA3, IM | BOS | CLEAN },
	{ "llama-v3", N_LLAMA3, IM | BOS | CLEAN }, { "falcon3", N_LLAMA3, IM | BOS | CLEAN },
	{ "falcon-h1", N_LLAMA3, IM | BOS | CLEAN }, { "pixtral", N_LLAMA3, IM | BOS | CLEAN },
	{ "midm-2.0", N_LLAMA3, IM | BOS | CLEAN }, { "lfm2", N_LLAMA3, IM | BOS | CLEAN },
	{ "jina-v5-nano", N_LLAMA3, IM | BOS | CLEAN }, { "smaug-bpe", N_LLAMA3, CLEAN }, { "dbrx", N_LLAMA3, CLEAN },
	{ "glm4", N_LLAMA3, CLEAN }, { "glm5", N_LLAMA3, IM | CLEAN }, { "chatglm-bpe", N_LLAMA3, CLEAN },
	{ "jais-2", N_JAIS2, CLEAN }, { "minicpm5", N_MINICPM5, IM | CLEAN },
	{ "qwen2", N_QWEN2, NFC }, { "deepseek-r1-qwen", N_QWEN2, 0 }, { "kormo", N_QWEN2, 0 }, { "f2llmv2", N_QWEN2, NFC },
	{ "megrez", N_QWEN2, CLEAN | NFC }, { "stablelm2", N_QWEN2, CLEAN }, { "hunyuan", N_QWEN2, 0 },
	{ "solar-open", N_QWEN2, 0 }, { "grok-2", N_QWEN2, 0 }, { "ufakzeka", N_UFAKZEKA, 0 },
	{ "qwen35", N_QWEN35, 0 }, { "laguna", N_LAGUNA, 0 },
	{ "gpt-2", N_GPT2, CLEAN }, { "phi-2", N_GPT2, CLEAN }, { "jina-es", N_GPT2, CLEAN }, { "jina-de", N_GPT2, CLEAN },
	{ "jina-v2-es", N_GPT2, CLEAN }, { "jina-v2-de", N_GPT2, CLEAN }, { "gigachat", N_GPT2, CLEAN },
	{ "a.x-4.0", N_GPT2, CLEAN }, { "mellum", N_GPT2, CLEAN }, { "exaone4", N_GPT2, CLEAN | NFC },
	{ "jais", N_GPT2, CLEAN }, { "trillion", N_GPT2, 0 }, { "granite-docling", N_GPT2, 0 },
	{ "mpt", N_GPT2, CLEAN | NFC }, { "olmo", N_GPT2, CLEAN | NFC }, { "modern-bert", N_GPT2, CLEAN | NFC },
	{ "roberta-bpe", N_GPT2, CLEAN | SEP }, { "jina-v1-en", N_GPT2, CLEAN | SEP }, { "jina-v2-code", N_GPT2, CLEAN | SEP },
	{ "smollm", N_DIGIT, 0 }, { "starcoder", N_DIGIT, CLEAN }, { "refact", N_DIGIT, CLEAN },
	{ "command-r", N_DIGIT, NFC }, { "codeshell", N_DIGIT, CLEAN }, { "exaone", N_DIGIT, CLEAN | NFC },
	{ "minerva-7b", N_DIGIT, CLEAN }, { "mellum2", N_DIGIT, CLEAN },
	{ "falcon", N_FALCON, CLEAN }, { "default", N_DEFAULT, CLEAN },
	{ "gpt-4o", N_O200K, 0 }, { "llama4", N_O200K, 0 }, { "kanana2", N_O200K, 0 }, { "talkie", N_O200K, 0 },
	{ "minimax-m2", N_O200K, 0 }, { "granite-embed-multi-97m", N_O200K, IM },
	{ "tekken", N_TEKKEN, IM | BOS }, { "tiny_aya", N_TINY_AYA, 0 }, { "cohere2moe", N_TINY_AYA, 0 },
	{ "youtu", N_YOUTU, IM }, { "kimi-k2", N_KIMI, 0 }, { "deepseek-v3", N_DEEPSEEK3, 0 },
	{ "hunyuan-dense", N_DEEPSEEK3, 0 }, { "hy_v4", N_DEEPSEEK3, 0 }, { "joyai-llm", N_DEEPSEEK3, 0 },
	{ "deepseek-llm", N_DEEPSEEK_LLM, 0 }, { "deepseek-coder", N_DEEPSEEK_CODER, 0 }, { "afmoe", N_AFMOE, 0 },
	{ "bailingmoe", N_BAILING, 0 }, { "bailingmoe2", N_BAILING, 0 }, { "llada-moe", N_BAILING, 0 },
	{ "seed-coder", N_SEED, 0 }, { "exaone-moe", N_EXAONE_MOE, CLEAN }, { "superbpe", N_SUPERBPE, 0 },
	{ "bloom", N_BLOOM, CLEAN }, { "poro-chat", N_BLOOM, 0 }, { "gpt3-finnish", N_BLOOM, CLEAN },
	{ "viking", N_VIKING, 0 }, { "chameleon", N_CHAMELEON, BOS },
	{ "gemma4", N_LINES, RAW | PRE_NEWLINES | BOS | CLEAN },
	{ "granite-embed-multi-311m", N_LINES, RAW | PRE_NEWLINES | BOS | CLEAN }, { "sarvam-moe", N_LINES, RAW },
};

bool pre_by_name(struct pre *out, unsigned *flags, struct str name)
{
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (str_is(name, names[i].name)) {
			*out = scanners[names[i].scanner];
			*flags = names[i].flags;
			return true;
		}
	return false;
}

/* One piece at the level of a stage: from at to the result; it may leave the match behind it for the next call. */
static size_t next_piece(struct pre_iter *it, unsigned k)
{
	const struct pre_stage *st = &it->pre->stages[k];
	size_t at = it->cur[k].at, end = it->cur[k].end, i = at;
	bool hit;

	if (it->cur[k].match_end) {
		i = it->cur[k].match_end;
		it->cur[k].match_end = 0;
		return i;
	}
	while (i < end) {
		size_t j = st->fn(st, it->s, i, end, &hit);

		if (hit) {
			if (i == at)
				return j;
			it->cur[k].match_end = j;
			return i;
		}
		i = j;
	}
	return end;
}

void pre_begin(struct pre_iter *it, const struct pre *pre, struct str text)
{
	it->pre = pre;
	it->s = (const uint8_t *)text.p;
	it->level = 0;
	it->cur[0].at = it->cur[0].match_end = 0;
	it->cur[0].end = text.n;
}

/* With one stage, as most have: no levels to go up and down. */
static size_t ends_of_one(uint32_t *ends, size_t cap, struct pre_iter *it)
{
	const struct pre_stage *st = &it->pre->stages[0];
	const uint8_t *s = it->s;
	size_t at = it->cur[0].at, end = it->cur[0].end, n = 0;
	bool hit;

	while (n < cap && at < end) {
		size_t next = it->cur[0].match_end;

		if (next) {
			it->cur[0].match_end = 0;
		} else {
			next = st->fn(st, s, at, end, &hit);
			if (!hit) {
				it->cur[0].at = at;
				next = next_piece(it, 0);
			}
		}
		ends[n++] = (uint32_t)next;
		at = next;
	}
	it->cur[0].at = at;
	return n;
}

size_t pre_ends(uint32_t *ends, size_t cap, struct pre_iter *it)
{
	const unsigned last = it->pre->n_stages ? it->pre->n_stages - 1 : 0;
	size_t n = 0;

	if (it->pre->n_stages == 1)
		return ends_of_one(ends, cap, it);
	while (n < cap) {
		unsigned k = it->level;
		size_t end;

		if (it->cur[k].at == it->cur[k].end) {
			if (!k)
				break;
			it->level--;
			continue;
		}
		end = it->pre->n_stages ? next_piece(it, k) : it->cur[k].end;
		if (k == last) {
			ends[n++] = (uint32_t)end;
		} else {
			it->cur[k + 1].at = it->cur[k].at;
			it->cur[k + 1].end = end;
			it->cur[k + 1].match_end = 0;
			it->level++;
		}
		it->cur[k].at = end;
	}
	return n;
}

void pre_digest(struct hash_sha256 *h, const struct pre *p)
{
	for (unsigned i = 0; i < p->n_stages; i++) {
		const struct pre_stage *st = &p->stages[i];
		uint8_t v[9] = { 0, st->digits, st->tail, st->contractions, st->marks, st->han, st->to_end, st->powers,
				 st->digit_ends };

		while (v[0] < sizeof fns / sizeof fns[0] && fns[v[0]] != st->fn)
			v[0]++;
		hash_sha256_add(h, v, sizeof v);
		for (const uint32_t *r = st->ranges; r && r[1]; r += 2)
			hash_sha256_add(h, r, 2 * sizeof *r);
	}
}

/* ---- tokenizer.json */

#define R_X "[^\\r\\n\\p{L}\\p{N}]?"
#define R_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define R_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define R_OTHER " ?[^\\s\\p{L}\\p{N}]+"
#define R_WS "\\s+(?!\\S)|\\s+"
#define R_NL "\\s*[\\r\\n]+|"
#define R_LLAMA3(n) "CI|" R_X "\\p{L}+|" n "|" R_OTHER "[\\r\\n]*|" R_NL R_WS
#define R_O200K(n, c, tail) R_X R_UPPER "*" R_LOWER "+" c "|" R_X R_UPPER "+" R_LOWER "*" c "|" n "|" R_OTHER tail "*|" R_NL R_WS
#define R_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|" R_OTHER "|" R_WS
#define R_DEEPSEEK3 "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|" \
	" ?[\\p{P}\\p{S}]+[\\r\\n]*|" R_NL R_WS

/* Patterns as they stand in the models' files, in the spelling of canon(); the scanner, or a stage of its own. */
static const struct {
	const char *regex;
	uint8_t scanner, stage; /* one stage of that scanner */
	bool total;
} regexes[] = {
	{ R_GPT2, N_GPT2, 0, true },
	{ R_LLAMA3("\\p{N}{1,3}"), N_LLAMA3, 0, true },
	{ R_LLAMA3("\\p{N}"), N_QWEN2, 0, true },
	{ R_LLAMA3("\\p{N}{1}"), N_QWEN2, 0, true },
	{ R_LLAMA3("\\p{N}+"), N_MINICPM5, 1, true },
	{ "CI|" R_X "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" R_NL R_WS, N_QWEN35, 0, true },
	{ R_X "\\p{L}+|\\p{N}|" R_OTHER "[\\r\\n]*|" R_NL R_WS, N_UFAKZEKA, 0, true },
	{ "CI|" R_X "\\p{L}+|\\p{N}|" R_OTHER "[\\r\\n]*|\\s*[\\r\\n]|" R_WS, N_BAILING, 0, true },
	{ "CI|" R_X "\\p{L}+|\\p{N}{1,3}|" R_OTHER "[\\r\\n]*|\\s+$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s", N_CL100K, 0, true },
	{ "CI|" R_X "\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" R_NL R_WS, N_SEED, 0, true },
	{ R_O200K("\\p{N}{1,3}", "CI?", "[\\r\\n/]"), N_O200K, 0, true },
	{ R_O200K("\\p{N}", "", "[\\r\\n/]"), N_TEKKEN, 0, true },
	{ R_O200K("\\p{N}", "CI?", "[\\r\\n/]"), N_YOUTU, 4, true },
	{ "\\d{1,3}(?=(?:\\d{3})*\\b)", N_TINY_AYA, 0, false },
	{ "\\p{N}{1,3}", N_DEEPSEEK3, 0, false },
	{ "\\p{N}", N_VIKING, 1, false },
	{ "\\p{N}+", N_SUPERBPE, 0, false },
	{ "(?=(\\d{3})+(?!\\d))", N_SUPERBPE, 1, false },
	{ "[\xe4\xb8\x80-\xe9\xbe\xa5\xe3\x81\x80-\xe3\x82\x9f\xe3\x82\xa0-\xe3\x83\xbf]+", N_DEEPSEEK3, 1, false },
	{ R_DEEPSEEK3, N_DEEPSEEK3, 2, false },
	{ "[\\r\\n]", N_DEEPSEEK_LLM, 0, false },
	{ "\\s?\\p{L}+", N_DEEPSEEK_CODER, 1, false },
	{ "\\s?\\p{P}+", N_DEEPSEEK_CODER, 2, false },
	{ "[\xe4\xb8\x80-\xe9\xbe\xa5\xe0\xa0\x80-\xe4\xb8\x80\xea\xb0\x80-\xed\x9f\xbf]+", N_DEEPSEEK_CODER, 3, false },
	{ "[0-9][0-9][0-9]", N_FALCON, 2, false },
	{ " ?[^(\\s|.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c)]+", N_BLOOM, 0, false },
	{ " ?[^(\\s|[.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c])]+", N_BLOOM, 0, false },
	{ "[^\\n]+|[\\n]+", N_LINES, 0, true },
};

/* Spellings of one pattern become one: control characters as escapes, possessive quantifiers as greedy ones, the three ways
 * to write contractions without regard to case as CI. */
static void canon(struct buf *out, struct str regex)
{
	static const char *const contractions[] = {
		"(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'(?i:[sdmt]|ll|ve|re)",
		"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])",
	};
	bool in_class = false, counted = false; /* the last brace is {1,3}, not \p{L} */

	for (size_t i = 0; i < regex.n;) {
		struct str rest = str_sub(regex, i, regex.n);
		char c = regex.p[i];
		size_t k = 0;

		while (k < 3 && !str_starts(rest, str_of(contractions[k])))
			k++;
		if (k < 3) {
			buf_addz(out, "CI");
			i += strlen(contractions[k]);
			continue;
		}
		if (c == '\r')
			buf_addz(out, "\\r");
		else if (c == '\n')
			buf_addz(out, "\\n");
		else
			buf_addc(out, c);
		i++;
		if (c == '\\' && i < regex.n)
			buf_addc(out, regex.p[i++]);
		else if (c == '[' || c == ']')
			in_class = c == '[';
		else if (c == '{')
			counted = i < regex.n && regex.p[i] >= '0' && regex.p[i] <= '9';
		else if (!in_class && i < regex.n && regex.p[i] == '+' && strchr(counted ? "?*+}" : "?*+", c))
			i++;
	}
}

unsigned pre_by_regex(struct pre_stage out[PRE_MAX_STAGES], bool *total, struct str regex)
{
	struct buf b;
	unsigned n = 0;

	buf_init(&b, 1 << 16);
	canon(&b, regex);
	for (size_t i = 0; !b.failed && !n && i < sizeof regexes / sizeof regexes[0]; i++)
		if (str_is(buf_str(&b), regexes[i].regex)) {
			out[0] = scanners[regexes[i].scanner].stages[regexes[i].stage];
			*total = regexes[i].total;
			n = 1;
		}
	buf_release(&b);
	return n;
}

static bool same_stage(const struct pre_stage *a, const struct pre_stage *b)
{
	_Static_assert(sizeof *a == 2 * sizeof(void *) + 8, "no padding");
	return !memcmp(a, b, sizeof *a);
}

void pre_fuse(struct pre *p)
{
	if (p->n_stages == 2 && same_stage(&p->stages[0], &pre_digit) && same_stage(&p->stages[1], &pre_gpt2))
		*p = scanners[N_DIGIT];
}

static bool same(const struct pre *a, const struct pre *b)
{
	bool eq = a->n_stages == b->n_stages;

	for (unsigned i = 0; eq && i < a->n_stages; i++)
		eq = same_stage(&a->stages[i], &b->stages[i]);
	return eq;
}

const char *pre_name_of(const struct pre *p, unsigned flags)
{
	const unsigned mask = PRE_IGNORE_MERGES | PRE_NFC | PRE_RAW;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if ((names[i].flags & mask) == flags && same(p, &scanners[names[i].scanner]))
			return names[i].name;
	return NULL;
}
