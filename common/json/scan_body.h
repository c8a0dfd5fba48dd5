/*
 * The scanner, written once and compiled for each instruction set. Before including it define
 *   SCAN(name)    the name with the instruction set behind it
 *   SCAN_TARGET   the function attribute that allows the set
 *   SCAN_WIDTH    bytes a block (1: scalar), a block type and
 *   SCAN_STOPS(p, wide)   mask of the bytes that end or interrupt a string: " \ and controls; *wide
 * gathers the high bits SCAN_QUOTES(p)        mask of " and \ alone SCAN_BRACKETS(p)      mask of "
 * { } [ ] SCAN_DIGITS(p)        mask of the digits
 */

/* The first byte that ends or interrupts a string: quote, backslash, control; or end. */
SCAN_TARGET static inline const char *SCAN(stop)(const char *p, const char *end, uint32_t *wide)
{
#if SCAN_WIDTH > 1
	while ((size_t)(end - p) >= SCAN_WIDTH) {
		uint32_t m = SCAN_STOPS(p, wide);

		if (m)
			return p + __builtin_ctz(m);
		p += SCAN_WIDTH;
	}
#endif
	for (; p < end; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c == '"' || c == '\\')
			break;
		*wide |= c & 0x80u;
	}
	return p;
}

static const char *SCAN(fail)(struct json_scan *s, const char *p, const char *want)
{
	s->p = p;
	s->want = want;
	return NULL;
}

/* p at a backslash; behind the escape, or NULL. */
static inline const char *SCAN(escape)(struct json_scan *s, const char *p)
{
	size_t left = (size_t)(s->end - p);

	if (left < 2)
		return SCAN(fail)(s, s->end, "the end of an escape");
	switch (p[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return p + 2;
	case 'u':
		for (size_t i = 2; i < 6; i++)
			if (i >= left || json_hex(p[i]) < 0)
				return SCAN(fail)(s, p + i, "four hexadecimal digits after \\u");
		return p + 6;
	default:
		return SCAN(fail)(s, p + 1, "one of \"\\/bfnrtu after a backslash");
	}
}

/* p behind the opening quote; behind the closing one, or NULL. */
SCAN_TARGET static inline const char *SCAN(string)(struct json_scan *s, const char *p)
{
	uint32_t wide = 0;

	for (;;) {
		p = SCAN(stop)(p, s->end, &wide);
		if (p == s->end)
			return SCAN(fail)(s, p, "the closing quote of a string");
		if (*p == '"')
			break;
		if (*p != '\\')
			return SCAN(fail)(s, p,
					  "no control character in a string (write it as \\u00XX)");
		p = SCAN(escape)(s, p);
		if (!p)
			return NULL;
	}
	s->wide |= wide != 0;
	return p + 1;
}

/* Behind the digits at p. */
SCAN_TARGET static inline const char *SCAN(digits)(const char *p, const char *end)
{
#if SCAN_WIDTH > 1
	while ((size_t)(end - p) >= SCAN_WIDTH) {
		uint32_t m = ~SCAN_DIGITS(p);

		m &= (uint32_t)(((uint64_t)1 << SCAN_WIDTH) - 1);
		if (m)
			return p + __builtin_ctz(m);
		p += SCAN_WIDTH;
	}
#endif
	while (p < end && json_digit(*p))
		p++;
	return p;
}

/* p at a digit or a minus; behind the number, or NULL. */
SCAN_TARGET static inline const char *SCAN(number)(struct json_scan *s, const char *p)
{
	const char *end = s->end, *from;

	p += *p == '-';
	from = p;
#if SCAN_WIDTH > 1
	/* a number without exponent that one block holds, as nearly all do */
	if (end - p >= SCAN_WIDTH) {
		uint32_t m = ~SCAN_DIGITS(p); /* bits past the block are set */
		int n = m ? __builtin_ctz(m) : SCAN_WIDTH;

		if (n > 0 && n < SCAN_WIDTH - 1 && p[n] == '.') {
			int k = __builtin_ctz(m >> (n + 1) | 1u << (SCAN_WIDTH - 1));

			n = k ? n + 1 + k : SCAN_WIDTH;
		}
		if (n > 0 && n < SCAN_WIDTH && (*p != '0' || n == 1 || p[1] == '.') &&
		    p[n] != '.' && (p[n] | 0x20) != 'e')
			return p + n;
	}
#endif
	p = SCAN(digits)(p, end);
	if (p == from)
		return SCAN(fail)(s, p, "a digit");
	if (*from == '0' && p - from > 1)
		return SCAN(fail)(s, from + 1, "no digit after a leading zero");
	if (p < end && *p == '.') {
		from = ++p;
		p = SCAN(digits)(p, end);
		if (p == from)
			return SCAN(fail)(s, p, "a digit after the decimal point");
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		p += p < end && (*p == '+' || *p == '-');
		from = p;
		p = SCAN(digits)(p, end);
		if (p == from)
			return SCAN(fail)(s, p, "a digit in the exponent");
	}
	return p;
}

static inline const char *SCAN(word)(struct json_scan *s, const char *p, const char *word, size_t n)
{
	if ((size_t)(s->end - p) < n || memcmp(p, word, n) != 0)
		return SCAN(fail)(s, p, "a value");
	return p + n;
}

/* The name at p and its colon; behind it, or NULL. */
SCAN_TARGET static inline const char *SCAN(name)(struct json_scan *s, const char *p, unsigned depth)
{
	const char *key = p + 1;

	if (p == s->end || *p != '"')
		return SCAN(fail)(s, p, "a member's name in double quotes");
	p = SCAN(string)(s, p + 1);
	if (!p)
		return NULL;
	if (depth == 1 && s->n < s->max)
		s->m[s->n].key = (struct str){ key, (size_t)(p - key) - 1 };
	p = json_blanks(p, s->end);
	if (p == s->end || *p != ':')
		return SCAN(fail)(s, p, "':'");
	p = json_blanks(p + 1, s->end);
	if (depth == 1 && s->n < s->max)
		s->m[s->n].val.raw.p = p;
	return p;
}

/* A value that is no array and no object; behind it, or NULL. */
SCAN_TARGET static inline const char *SCAN(simple)(struct json_scan *s, const char *p)
{
	switch (*p) {
	case '"':
		return SCAN(string)(s, p + 1);
	case 't':
		return SCAN(word)(s, p, "true", 4);
	case 'f':
		return SCAN(word)(s, p, "false", 5);
	case 'n':
		return SCAN(word)(s, p, "null", 4);
	default:
		if (*p == '-' || json_digit(*p))
			return SCAN(number)(s, p);
		return SCAN(fail)(s, p, "a value");
	}
}

/* After a value inside something: closes what closes. Gives the place of the next value, or of the
 * end (depth 0). */
SCAN_TARGET static inline const char *SCAN(after)(struct json_scan *s, const char *p,
						  unsigned *depth, const uint64_t *kinds)
{
	while (*depth) {
		unsigned top = *depth - 1;
		bool object = kinds[top / 64] >> top % 64 & 1;

		if (top == 0 && s->max && object) { /* empty, it does not come here */
			if (s->n < s->max)
				s->m[s->n].val.raw.n = (size_t)(p - s->m[s->n].val.raw.p);
			s->n++;
		}
		p = json_blanks(p, s->end);
		if (p < s->end && *p == ',') {
			p = json_blanks(p + 1, s->end);
			return object ? SCAN(name)(s, p, *depth) : p;
		}
		if (p == s->end || *p != (object ? '}' : ']'))
			return SCAN(fail)(s, p, object ? "',' or '}'" : "',' or ']'");
		p++;
		*depth = top;
	}
	return p;
}

SCAN_TARGET static bool SCAN(value)(struct json_scan *s)
{
	uint64_t kinds[JSON_DEPTH_MAX / 64] = { 0 }; /* a bit a level: object or array */
	unsigned depth = 0;
	const char *p = json_blanks(s->p, s->end);

	do {
		if (p == s->end)
			return SCAN(fail)(s, p, "a value");
		if (*p == '{' || *p == '[') {
			bool object = *p == '{';
			uint64_t bit = (uint64_t)1 << depth % 64;

			if (depth == JSON_DEPTH_MAX)
				return SCAN(fail)(s, p, "at most 512 levels of nesting");
			kinds[depth / 64] = (kinds[depth / 64] & ~bit) | (object ? bit : 0);
			depth++;
			p = json_blanks(p + 1, s->end);
			if (p == s->end || *p != (object ? '}' : ']')) {
				p = object ? SCAN(name)(s, p, depth) : p;
				if (!p)
					return false;
				continue;
			}
			p++;
			depth--;
		} else {
			p = SCAN(simple)(s, p);
			if (!p)
				return false;
		}
		p = SCAN(after)(s, p, &depth, kinds);
		if (!p)
			return false;
	} while (depth);
	s->p = p;
	return true;
}

SCAN_TARGET static const char *SCAN(skip_string)(const char *p, const char *end)
{
	for (;;) {
#if SCAN_WIDTH > 1
		uint32_t m = 0;

		while ((size_t)(end - p) >= SCAN_WIDTH && !(m = SCAN_QUOTES(p)))
			p += SCAN_WIDTH;
		if (m)
			p += __builtin_ctz(m);
#endif
		while (p < end && *p != '"' && *p != '\\')
			p++;
		if (p == end)
			return end;
		if (*p == '"')
			return p + 1;
		if (end - p < 2)
			return end;
		p += 2;
	}
}

SCAN_TARGET static const char *SCAN(skip_nest)(const char *p, const char *end)
{
	for (size_t depth = 1; p < end;) {
		char c;
#if SCAN_WIDTH > 1
		uint32_t m = 0;

		while ((size_t)(end - p) >= SCAN_WIDTH && !(m = SCAN_BRACKETS(p)))
			p += SCAN_WIDTH;
		if (m)
			p += __builtin_ctz(m);
		if (p == end)
			break;
#endif
		c = *p++;
		if (c == '"')
			p = SCAN(skip_string)(p, end);
		else if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			return p;
	}
	return end;
}

SCAN_TARGET static const char *SCAN(plain)(const char *p, const char *end, bool *wide)
{
	uint32_t w = 0;

	p = SCAN(stop)(p, end, &w);
	*wide |= w != 0;
	return p;
}

const struct json_ops SCAN(json_ops) = {
	SCAN_NAME, SCAN(value), SCAN(skip_string), SCAN(skip_nest), SCAN(plain),
};
