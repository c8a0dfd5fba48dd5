/* metric_regex: PCRE2 with Unicode classes, and limits so that no pattern hangs a run. */
#include "config.h"
#include "metric/metric_impl.h"

int metric_regex_compile(pcre2_code **out, struct str pattern, struct err *e)
{
	PCRE2_SIZE at;
	int code;

	*out = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n,
			     PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
	if (*out) {
		pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE); /* slower without, not worse */
		return 0;
	}
	PCRE2_UCHAR text[128];

	pcre2_get_error_message(code, text, sizeof text);
	return err_set(e, ERR_USAGE, "pattern \"" STR_FMT "\" at byte %zu: %s", STR_ARG(pattern),
		       (size_t)at, (const char *)text);
}

int metric_regex_match(struct metric_match *out, const pcre2_code *re, struct str s, size_t at,
		       struct metric_work *w, struct err *e)
{
	int n = pcre2_match(re, (PCRE2_SPTR)s.p, s.n, at, 0, w->match, w->limits);
	const PCRE2_SIZE *o = pcre2_get_ovector_pointer(w->match);
	uint32_t groups = pcre2_get_ovector_count(w->match);

	out->found = n >= 0;
	if (n == PCRE2_ERROR_NOMATCH)
		return 0;
	if (n == PCRE2_ERROR_MATCHLIMIT || n == PCRE2_ERROR_DEPTHLIMIT ||
	    n == PCRE2_ERROR_HEAPLIMIT || n == PCRE2_ERROR_JIT_STACKLIMIT)
		return err_set(e, ERR_INVALID_FIELD, "a pattern backtracks too much on this text");
	if (n < 0)
		return n <= PCRE2_ERROR_UTF8_ERR1 && n >= PCRE2_ERROR_UTF8_ERR21
			       ? err_set(e, ERR_INVALID_UTF8, "the text is not valid UTF-8")
			       : err_set(e, ERR_INTERNAL, "pcre2_match: error %d", n);
	out->all_from = out->from = o[0];
	out->all_to = out->to = o[1];
	for (uint32_t g = 1; g < groups && (n == 0 || g < (uint32_t)n); g++) {
		if (o[2 * g] != PCRE2_UNSET && o[2 * g + 1] > o[2 * g]) {
			out->from = o[2 * g];
			out->to = o[2 * g + 1];
			break;
		}
	}
	return 0;
}

int metric_regex_delete(struct buf *out, const pcre2_code *re, struct str s, struct metric_work *w,
			struct err *e)
{
	size_t kept = 0;
	size_t at = 0;

	while (at <= s.n) {
		struct metric_match m;

		if (metric_regex_match(&m, re, s, at, w, e))
			return -1;
		if (!m.found)
			break;
		buf_adds(out, str_sub(s, kept, m.all_from));
		kept = at = m.all_to;
		if (m.all_to == m.all_from) { /* an empty match: step over one character */
			for (at++; at < s.n && ((unsigned char)s.p[at] & 0xc0) == 0x80; at++)
				;
		}
	}
	buf_adds(out, str_sub(s, kept, s.n));
	return 0;
}
