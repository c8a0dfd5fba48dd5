/* The scanners. Patterns are quoted in the syntax of the models' own tokenizer.json; ␠ is one blank U+0020. */
#include "config.h"
#include "tok/pretok_scan_impl.h"
#include "tok/unicode_impl.h"

#define NOT_OTHER (UNI_L | UNI_N | UNI_WS)

static inline uint32_t class_next(const uint8_t *s, size_t *i)
{
	uint32_t c = uni_ascii[s[*i]];

	if (c) {
		*i += 1;
		return c;
	}
	return uni_class(uni_next(s, i));
}
static inline uint32_t class_at(const uint8_t *s, size_t i)
{
	return class_next(s, &i);
}
/* End of the run of characters of a class in mask from i. */
static inline size_t run(const uint8_t *s, size_t i, size_t n, uint32_t mask)
{
	while (i < n) {
		size_t j = i;

		if (!(class_next(s, &j) & mask))
			break;
		i = j;
	}
	return i;
}
static inline size_t run_not(const uint8_t *s, size_t i, size_t n, uint32_t mask)
{
	while (i < n) {
		size_t j = i;

		if (class_next(s, &j) & mask)
			break;
		i = j;
	}
	return i;
}
static inline bool is_newline(uint8_t c)
{
	return c == '\n' || c == '\r';
}
static inline bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}
static inline uint8_t fold_ascii(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}
static bool in_ranges(const uint32_t *r, uint32_t cp)
{
	for (; r[1]; r += 2)
		if (cp - r[0] <= r[1] - r[0])
			return true;
	return false;
}

/* 's|'t|'re|'ve|'m|'ll|'d at the apostrophe s[i]: the end, or 0. fold: (?i:…), in which U+017F folds to s. */
static size_t contraction(const uint8_t *s, size_t i, size_t n, bool fold)
{
	uint8_t a, b;

	if (n - i < 2)
		return 0;
	a = s[i + 1];
	if (fold && a == 0xc5 && n - i >= 3 && s[i + 2] == 0xbf)
		return i + 3;
	if (fold)
		a = fold_ascii(a);
	if (a == 's' || a == 't' || a == 'm' || a == 'd')
		return i + 2;
	if (n - i < 3)
		return 0;
	b = s[i + 2];
	if (fold)
		b = fold_ascii(b);
	if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
		return i + 3;
	return 0;
}

/* \p{N}{1,max} from the digit at i; max 0: all of them. */
static size_t digits(const uint8_t *s, size_t i, size_t n, unsigned max)
{
	unsigned k = 0;

	while (i < n && (!max || k < max)) {
		size_t j = i;

		if (!(class_next(s, &j) & UNI_N))
			break;
		i = j;
		k++;
	}
	return i;
}

/* The largest of 512, 256 … 4, 2, 1 that fits in k >= 1. */
static size_t power_of_two(size_t k)
{
	size_t p = 512;

	while (p > k)
		p /= 2;
	return p;
}

/*
 * \s*[\r\n]+|\s+(?!\S)|\s+ from the blank at i; newlines false: without the first. A run of blanks leaves its last to the
 * word that follows; digit_ends: not to a digit.
 */
static size_t blanks(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool newlines)
{
	size_t j = i, last = i, line = 0, k = 0;
	/* inside a run that was cut before there is no newline left: look no further than the largest power */
	size_t most = st->powers && i && !is_newline(s[i - 1]) && (class_at(s, uni_prev(s, i)) & UNI_WS) ? 513 : n;

	while (j < n && k < most) {
		size_t next = j;

		if (!(class_next(s, &next) & UNI_WS))
			break;
		if (is_newline(s[j]))
			line = next;
		last = j;
		j = next;
		k++;
	}
	if (st->to_end && j == n)
		return n;
	if (newlines && line)
		return line;
	if (st->powers) { /* \s{512}(?!\S)|\s{256}(?!\S)|…|\s{1,2}(?!\S)|\s{1} */
		k -= j < n;
		for (k = k ? power_of_two(k) : 1; k; k--)
			uni_next(s, &i);
		return i;
	}
	if (j == n || last == i || (st->digit_ends && (class_at(s, j) & UNI_N)))
		return j;
	return last;
}

size_t scan_gpt2(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	size_t j = i, end;
	uint32_t c;

	*hit = true;
	if (s[i] == '\'' && (end = contraction(s, i, n, false)))
		return end;
	c = class_next(s, &j);
	if (s[i] == ' ' && j < n) {
		size_t k = j;
		uint32_t d = class_next(s, &k);

		if (!(d & UNI_WS) && !(st->digit_ends && (d & UNI_N))) {
			c = d;
			j = k;
		}
	}
	if (c & UNI_L)
		return run(s, j, n, UNI_L);
	if (c & UNI_N)
		return st->digit_ends ? j : run(s, j, n, UNI_N);
	if (!(c & UNI_WS))
		return run_not(s, j, n, NOT_OTHER);
	return blanks(st, s, i, n, false);
}

/* What follows ␠?[^\s\p{L}\p{N}]+ */
static size_t tail(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n)
{
	switch (st->tail) {
	case PRE_TAIL_ONE:
		return i < n && is_newline(s[i]) ? i + 1 : i;
	case PRE_TAIL_NEWLINES:
		while (i < n && is_newline(s[i]))
			i++;
		break;
	case PRE_TAIL_SLASHES:
		while (i < n && (is_newline(s[i]) || s[i] == '/'))
			i++;
		break;
	default:
		break;
	}
	return i;
}

/* \p{N}{1,n}|␠?[^\s\p{L}\p{N}]+TAIL|\s*[\r\n]+|\s+(?!\S)|\s+ : what llama3 and o200k have in common. */
static size_t after_words(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, uint32_t not_other)
{
	size_t j = i;
	uint32_t c = class_next(s, &j);

	if (c & UNI_N)
		return digits(s, i, n, st->digits);
	if (s[i] == ' ' && j < n) {
		size_t k = j;

		if (!(class_next(s, &k) & not_other))
			return tail(st, s, run_not(s, k, n, not_other), n);
	}
	if (!(c & not_other))
		return tail(st, s, run_not(s, j, n, not_other), n);
	return blanks(st, s, i, n, true);
}

size_t scan_llama3(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	const uint32_t letters = st->marks ? UNI_L | UNI_M : UNI_L;
	size_t j = i, end;
	uint32_t c;

	*hit = true;
	if (st->contractions && s[i] == '\'' && (end = contraction(s, i, n, true)))
		return end;
	c = class_next(s, &j);
	if (c & letters)
		return run(s, j, n, letters);
	if (!(c & UNI_N) && !is_newline(s[i]) && j < n) { /* [^\r\n\p{L}\p{N}]?\p{L}+ */
		size_t k = j;

		if (class_next(s, &k) & letters)
			return run(s, k, n, letters);
	}
	return after_words(st, s, i, n, NOT_OTHER | letters);
}

#define O_UPPER (UNI_BIT(UNI_LU) | UNI_BIT(UNI_LT) | O_BOTH)
#define O_LOWER (UNI_BIT(UNI_LL) | O_BOTH)
#define O_BOTH (UNI_BIT(UNI_LM) | UNI_BIT(UNI_LO) | UNI_M)

static uint32_t o_class(const struct pre_stage *st, const uint8_t *s, size_t *i)
{
	uint32_t c = class_next(s, i);

	return st->han && (c & UNI_HAN) ? 0 : c;
}

/*
 * U*l+ from i (U: upper case, title case and what has no case; l: lower case and what has none), else U+l*; the end, or 0.
 * U and l share the letters without case, so a backtracking engine gives them back one by one; here *bare is the end of
 * the maximal run of U (the second alternative's), and the first alternative ends behind the last caseless letter in it.
 */
static size_t o_word(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, size_t *bare)
{
	size_t p = i, last = 0, j;

	while (p < n) {
		uint32_t c;

		j = p;
		c = o_class(st, s, &j);
		if (!(c & O_UPPER))
			break;
		p = j;
		if (c & O_BOTH)
			last = p;
	}
	*bare = p > i ? p : 0;
	j = p;
	if (p < n && (o_class(st, s, &j) & UNI_BIT(UNI_LL))) {
		for (p = j; p < n; p = j) {
			j = p;
			if (!(o_class(st, s, &j) & O_LOWER))
				break;
		}
		return p;
	}
	return last;
}

size_t scan_o200k(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	size_t j = i, end = 0, bare_x = 0, bare = 0, k;
	uint32_t c = class_next(s, &j);

	*hit = true;
	if (st->han && (c & UNI_HAN))
		return run(s, j, n, UNI_HAN);
	/* alternative 1 with X, 1 without, 2 with, 2 without; X is one of [^\r\n\p{L}\p{N}] */
	if (!(c & (UNI_L | UNI_N)) && !is_newline(s[i]))
		end = o_word(st, s, j, n, &bare_x);
	if (!end && (c & (UNI_L | UNI_M)))
		end = o_word(st, s, i, n, &bare);
	if (!end)
		end = bare_x ? bare_x : bare;
	if (!end)
		return after_words(st, s, i, n, NOT_OTHER);
	if (st->contractions && end < n && s[end] == '\'' && (k = contraction(s, end, n, true)))
		return k;
	return end;
}

/* [!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|␠?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
size_t scan_deepseek3(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	const uint32_t letters = UNI_L | UNI_M, punct = UNI_P | UNI_S;
	size_t j = i;
	uint32_t c = class_next(s, &j), d = 0;
	size_t k = j;

	*hit = true;
	if (s[i] < 0x80 && (c & punct) && j < n && (s[j] | 0x20u) - 'a' < 26u) {
		while (j < n && (s[j] | 0x20u) - 'a' < 26u)
			j++;
		return j;
	}
	if (j < n)
		d = class_next(s, &k);
	if (c & letters)
		return run(s, j, n, letters);
	if ((d & letters) && !(c & (punct | UNI_L)) && !is_newline(s[i]))
		return run(s, k, n, letters);
	if (c & punct)
		return tail(st, s, run(s, j, n, punct), n);
	if (s[i] == ' ' && (d & punct))
		return tail(st, s, run(s, k, n, punct), n);
	if (c & UNI_WS)
		return blanks(st, s, i, n, true);
	*hit = false; /* digits were taken before; controls and the like */
	return j;
}

/* X(?:\p{L}\p{M}*(?:␠\p{L}\p{M}*)*)+ : words together with the blanks between them (EXAONE MoE) */
size_t scan_exaone_moe(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	size_t j = i, end = 0;
	uint32_t c;

	*hit = true;
	if (s[i] == '\'' && (end = contraction(s, i, n, true)))
		return end;
	c = class_next(s, &j);
	if (!(c & (UNI_L | UNI_N)) && !is_newline(s[i]) && j < n && (class_at(s, j) & UNI_L))
		i = j;
	else if (!(c & UNI_L))
		return after_words(st, s, i, n, NOT_OTHER);
	while (i < n) {
		j = i + (end && s[i] == ' ');
		if (j == n || !(class_next(s, &j) & UNI_L))
			break;
		end = i = run(s, j, n, UNI_M);
	}
	return end;
}

/* [ranges]+ */
size_t scan_ranges(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	size_t j = i;

	*hit = in_ranges(st->ranges, uni_next(s, &j));
	for (i = j; i < n; i = j) {
		j = i;
		if (in_ranges(st->ranges, uni_next(s, &j)) != *hit)
			break;
	}
	return i;
}

/* \s?[ranges]+ */
size_t scan_blank_ranges(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	size_t j = i;

	if (in_ranges(st->ranges, uni_next(s, &j)))
		return scan_ranges(st, s, i, n, hit);
	*hit = false;
	if (class_at(s, i) & UNI_WS) {
		size_t k = j;

		if (j == n || !in_ranges(st->ranges, uni_next(s, &k)))
			return j;
		return scan_ranges(st, s, j, n, hit);
	}
	for (i = j; i < n; i = j) {
		j = i;
		if ((class_at(s, i) & UNI_WS) || in_ranges(st->ranges, uni_next(s, &j)))
			break;
	}
	return i;
}

/* \s?\p{L}+ or \s?\p{P}+ : marks says which */
size_t scan_blank_class(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	const uint32_t mask = st->marks ? UNI_P : UNI_L;
	size_t j = i, k;
	uint32_t c = class_next(s, &j);

	*hit = true;
	if (c & mask)
		return run(s, j, n, mask);
	k = j;
	if ((c & UNI_WS) && j < n && (class_next(s, &k) & mask))
		return run(s, k, n, mask);
	*hit = false;
	return j;
}

/* [\r\n] */
size_t scan_newline(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	(void)st;
	*hit = is_newline(s[i]);
	if (*hit)
		return i + 1;
	while (i < n && !is_newline(s[i]))
		i++;
	return i;
}

/* [^\n]+|[\n]+ */
size_t scan_line(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	const uint8_t *nl = memchr(s + i, '\n', n - i);

	(void)st;
	*hit = true;
	if (s[i] != '\n')
		return nl ? (size_t)(nl - s) : n;
	while (i < n && s[i] == '\n')
		i++;
	return i;
}

/* \p{N}{1,digits}, or \p{N}+ where digits is 0 */
size_t scan_digits(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	*hit = (class_at(s, i) & UNI_N) != 0;
	return *hit ? digits(s, i, n, st->digits) : run_not(s, i, n, UNI_N);
}

/* [0-9][0-9][0-9] */
size_t scan_three(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	(void)st;
	*hit = n - i >= 3 && is_digit(s[i]) && is_digit(s[i + 1]) && is_digit(s[i + 2]);
	if (*hit)
		return i + 3;
	uni_next(s, &i);
	return i;
}

/* [\p{P}\$\+<=>\^~\|]+ , with ` where marks is set (it is no P) */
size_t scan_falcon_punct(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	bool first = true;

	while (i < n) {
		size_t j = i;
		bool in = (class_next(s, &j) & UNI_P) != 0 ||
			  (s[i] < 0x80 && s[i] && strchr(st->marks ? "$+<=>^~|`" : "$+<=>^~|", s[i]));

		if (first)
			*hit = in;
		else if (in != *hit)
			break;
		first = false;
		i = j;
	}
	return i;
}

/* \s+$ : blanks at the end of the piece */
size_t scan_last_blanks(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	size_t end = run(s, i, n, UNI_WS);

	(void)st;
	*hit = end > i && end == n;
	return end > i ? end : run_not(s, i, n, UNI_WS);
}

static size_t skip_chars(const uint8_t *s, size_t i, size_t n, size_t k)
{
	for (; k && i < n; k--)
		uni_next(s, &i);
	return i;
}
/* Is i inside a number that was cut into threes before? */
static bool inside_number(const uint8_t *s, size_t i)
{
	return i && (class_at(s, uni_prev(s, i)) & UNI_BIT(UNI_ND));
}
/* Digits before the first three of the number s[i, end), so that only threes follow; 0: threes alone. */
static size_t odd_digits(const uint8_t *s, size_t i, size_t end)
{
	size_t k = 0;

	for (; i < end; k++)
		uni_next(s, &i);
	return k % 3;
}
static size_t first_digits(const uint8_t *s, size_t i, size_t end)
{
	size_t k = odd_digits(s, i, end);

	return skip_chars(s, i, end, k ? k : 3);
}

/* \d{1,3}(?=(?:\d{3})*\b) : digits by threes counted from the right, where the number ends at a border of words */
size_t scan_right_threes(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	size_t end, j;

	(void)st;
	*hit = (class_at(s, i) & UNI_BIT(UNI_ND)) != 0;
	if (!*hit)
		return run_not(s, i, n, UNI_BIT(UNI_ND));
	if (inside_number(s, i))
		return skip_chars(s, i, n, 3);
	j = end = run(s, i, n, UNI_BIT(UNI_ND));
	/* a word character of Oniguruma may be any number and is no joiner */
	if (end < n && ((class_at(s, end) & UNI_N) ||
			((uni_record(uni_next(s, &j)) & UNI_R_WORD) && !(class_at(s, end) & UNI_BIT(UNI_CF))))) {
		*hit = false;
		return end;
	}
	return first_digits(s, i, end);
}

/* (?=(\d{3})+(?!\d)) is empty: it cuts before every three digits counted from the right and nowhere else. */
size_t scan_zero_threes(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	size_t at = i;

	(void)st;
	*hit = true;
	while (at < n) {
		size_t end, odd;

		if (!(class_at(s, at) & UNI_BIT(UNI_ND))) {
			uni_next(s, &at);
			continue;
		}
		if (at == i && inside_number(s, i)) { /* the piece before was cut here */
			at = skip_chars(s, at, n, 3);
			if (at < n && (class_at(s, at) & UNI_BIT(UNI_ND)))
				return at;
			continue;
		}
		end = run(s, at, n, UNI_BIT(UNI_ND));
		odd = odd_digits(s, at, end);
		if (!odd && at > i)
			return at;
		at = skip_chars(s, at, end, odd ? odd : 3);
		if (at < end)
			return at;
	}
	return n;
}

/* Digits by threes counted from the right, each piece alone. */
size_t scan_threes(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	(void)st;
	*hit = (class_at(s, i) & UNI_BIT(UNI_ND)) != 0;
	if (!*hit)
		return run_not(s, i, n, UNI_BIT(UNI_ND));
	if (inside_number(s, i))
		return skip_chars(s, i, n, 3);
	return first_digits(s, i, run(s, i, n, UNI_BIT(UNI_ND)));
}

/* ␠?[^(\s|.,!?…。，、।۔،)]+ */
size_t scan_bloom(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	static const uint32_t out[] = { '(', '(', '|', '|', '.', '.', ',', ',', '!', '!', '?', '?', ')', ')', 0x2026,
					0x2026, 0x3002, 0x3002, 0xff0c, 0xff0c, 0x3001, 0x3001, 0x964, 0x964, 0x6d4,
					0x6d4, 0x60c, 0x60c, 0, 0 };
	size_t start = i + (s[i] == ' '), j = start;

	(void)st;
	while (j < n) {
		size_t k = j;

		if ((class_at(s, j) & UNI_WS) || in_ranges(out, uni_next(s, &k)))
			break;
		j = k;
	}
	*hit = j > start;
	if (!*hit) {
		j = i;
		uni_next(s, &j);
	}
	return j;
}

/* <sentinel:[0-9]+> and (IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z (Chameleon) */
size_t scan_chameleon(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	static const char sentinel[] = "<sentinel:", image[] = "IMGIMG";
	size_t j;

	(void)st;
	*hit = true;
	if (n - i > 10 && !memcmp(s + i, sentinel, 10)) {
		for (j = i + 10; j < n && is_digit(s[j]); j++)
			;
		if (j > i + 10 && j < n && s[j] == '>')
			return j + 1;
	} else if (n - i > 6 && !memcmp(s + i, image, 6)) {
		for (j = i + 6; j < n && j < i + 10 && s[j] >= 'A' && s[j] <= 'I'; j++)
			;
		if (j > i + 6 && j < n && s[j] == 'Z')
			return j + 1;
	}
	*hit = false;
	for (i++; i < n && s[i] != '<' && s[i] != 'I'; i++)
		;
	return i;
}

/* ([\t\n]|␠␠␠␠|␠␠) */
size_t scan_chameleon_blanks(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	(void)st;
	*hit = true;
	if (s[i] == '\t' || s[i] == '\n')
		return i + 1;
	if (n - i >= 4 && !memcmp(s + i, "    ", 4))
		return i + 4;
	if (n - i >= 2 && s[i] == ' ' && s[i + 1] == ' ')
		return i + 2;
	*hit = false;
	for (i++; i < n && s[i] != '\t' && s[i] != '\n' && s[i] != ' '; i++)
		;
	return i;
}

/* [\p{P}!-/:-@\[-`{-~] : one character */
size_t scan_punct(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	size_t j = i;
	uint32_t c = class_next(s, &j);

	(void)st;
	(void)n;
	*hit = (c & UNI_P) || (s[i] < 0x80 && (c & UNI_S));
	return j;
}

/* Units of SentencePiece: blanks and the word behind them, where no piece has a blank inside. */
size_t scan_spaces(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	const uint8_t *sp;

	(void)st;
	*hit = true;
	while (i < n && s[i] == ' ')
		i++;
	if (i == n)
		return n;
	sp = memchr(s + i, ' ', n - i);
	return sp ? (size_t)(sp - s) : n;
}

/* \S+ */
size_t scan_not_blank(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	size_t end = run_not(s, i, n, UNI_WS);

	(void)st;
	*hit = end > i;
	return *hit ? end : run(s, i, n, UNI_WS);
}

/* \w+|[^\w\s]+ */
size_t scan_words(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	uint32_t first = 0;

	(void)st;
	*hit = true;
	for (size_t j = i; i < n; i = j) {
		uint32_t r = uni_record(uni_next(s, &j)) & (UNI_R_WORD | UNI_R_WS);

		/* 0: neither; a blank that is a word character does not exist */
		if (!first)
			first = r | 1;
		else if ((r | 1) != first)
			break;
	}
	return i;
}

/* BERT: runs of blanks, of what is neither blank nor punctuation, and single marks of punctuation. */
size_t scan_bert(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	size_t start = i;
	bool blank = (class_at(s, i) & UNI_WS) != 0;

	(void)st;
	*hit = true;
	while (i < n) {
		size_t j = i;
		uint32_t c = class_next(s, &j);
		bool punct = (c & UNI_P) || (s[i] < 0x80 && (c & UNI_S));

		if (punct)
			return i == start ? j : i;
		if (((c & UNI_WS) != 0) != blank)
			return i;
		i = j;
	}
	return i;
}

/* A blank and what lies before the next one. */
size_t scan_metaspace(const struct pre_stage *st, const uint8_t *s, size_t i, size_t n, bool *hit)
{
	const uint8_t *sp = memchr(s + i + 1, ' ', n - i - 1);

	(void)st;
	*hit = true;
	return sp ? (size_t)(sp - s) : n;
}
