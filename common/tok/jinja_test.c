/*
 * jinja_test: the template engine against renderings made by jinja2
 * (tests/fixtures/jinja_cases.py), the marks on text that comes from variables, and the limits.
 * With an argument: only the cases of that file ("-": standard input).
 */
#include "config.h"
#include "os/os.h"
#include "tap.h"
#include "tok/tok.h"

static struct arena mem;
static const struct json_val none = { .type = JSON_NONE };

static struct json_val parse(const char *z)
{
	struct json_val v = none;
	struct err e;

	if (json_parse(&v, str_of(z), &e))
		printf("# %s\n", e.text);
	return v;
}

/* The text, or NULL with the error in e. */
static const char *render(struct str template, struct json_val vars, struct err *e)
{
	struct tok_tmpl *t;
	struct tok_parts parts;
	struct str s;
	int rc;

	err_clear(e);
	if (tok_tmpl_open(&t, template, "test", e))
		return NULL;
	rc = tok_tmpl_render(&parts, t, vars, none, &mem, e) || tok_parts_text(&s, &parts, &mem, e);
	tok_tmpl_close(t);
	return rc ? NULL : s.p;
}

static void run_case(struct json_val c, bool quiet)
{
	struct str name = STR(""), template = STR(""), wanted = STR("");
	struct json_val out = json_get(c, "out");
	const char *got;
	struct err e;

	arena_reset(&mem);
	if (json_str(&name, json_get(c, "name"), &mem, &e) ||
	    json_str(&template, json_get(c, "template"), &mem, &e) ||
	    (out.type != JSON_NONE && json_str(&wanted, out, &mem, &e))) {
		OK(false, "%s", e.text);
		return;
	}
	got = render(template, json_get(c, "vars"), &e);
	if (out.type == JSON_NONE) {
		OK(!got, STR_FMT " fails: %s", STR_ARG(name), got ? got : e.text);
	} else if (!got) {
		OK(false, STR_FMT ": %s", STR_ARG(name), e.text);
	} else if (!OK(str_is(wanted, got), STR_FMT, STR_ARG(name)) && !quiet) {
		size_t i = 0;

		while (got[i] && i < wanted.n && got[i] == wanted.p[i])
			i++;
		printf("# differs at byte %zu\n# got:  %.60s\n# want: %.*s\n", i, got + i,
		       (int)(wanted.n - i < 60 ? wanted.n - i : 60), wanted.p + i);
	}
}

static void golden(const char *path)
{
	struct os_in *in;
	struct buf all;
	struct str s, line;
	struct json_val c;
	struct err e;
	bool again;

	buf_init(&all, BUF_MAX_LINE);
	if (os_in_open(&in, path, &e)) {
		OK(false, "%s", e.text);
		return;
	}
	while (!os_in_read(&s, &again, in, true, &e) && s.n)
		buf_adds(&all, s);
	os_in_close(in);
	s = buf_str(&all);
	for (size_t at = 0, end; at < s.n; at = end + 1) {
		end = str_find(s, STR("\n"), at);
		line = str_sub(s, at, end);
		if (OK(!json_parse(&c, line, &e), "a case is JSON"))
			run_case(c, false);
	}
	buf_release(&all);
}

/* Parts as "T:text|U:text|…". */
static const char *marks(const char *template, const char *vars)
{
	static char out[2000];
	struct tok_tmpl *t;
	struct tok_parts p = { 0 };
	struct err e = { 0 };
	size_t n = 0;

	arena_reset(&mem);
	out[0] = 0;
	if (tok_tmpl_open(&t, str_of(template), "test", &e))
		return e.text[0] ? "bad template" : "";
	if (tok_tmpl_render(&p, t, parse(vars), none, &mem, &e))
		n += (size_t)snprintf(out, sizeof out, "%s", e.text);
	for (size_t i = 0; i < p.n && n < sizeof out; i++)
		n += (size_t)snprintf(out + n, sizeof out - n, "%s%c:" STR_FMT, i ? "|" : "",
				      p.v[i].from_user ? 'U' : 'T', STR_ARG(p.v[i].text));
	tok_tmpl_close(t);
	return out;
}

static void test_marks(void)
{
	static const char *const cases[][3] = {
		{ "<s>{{ x }}</s>", "{\"x\":\"<s>\"}", "T:<s>|U:<s>|T:</s>" },
		{ "{{ '<|' + x + '|>' }}", "{\"x\":\"end\"}", "T:<||U:end|T:|>" },
		{ "{{ x | upper }}{{ x | trim }}{{ x[1:] }}", "{\"x\":\"ab\"}", "U:ABabb" },
		{ "{{ ('A' ~ x ~ 'B')[1:3] }}", "{\"x\":\"12\"}", "U:12" },
		{ "{{ ('A' ~ x ~ 'B')[0:2] }}", "{\"x\":\"12\"}", "T:A|U:1" },
		{ "{{ ('a,' ~ x).split(',') | join('-') }}", "{\"x\":\"b,c\"}",
		  "T:a-|U:b|T:-|U:c" },
		{ "{{ 'a-b' | replace('-', x) }}", "{\"x\":\"+\"}", "T:a|U:+|T:b" },
		{ "{{ x | replace('-', '<s>') }}", "{\"x\":\"a-b\"}", "U:a|T:<s>|U:b" },
		{ "{% set y %}[{{ x }}]{% endset %}{{ y }}", "{\"x\":\"u\"}", "T:[|U:u|T:]" },
		{ "{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(x) }}", "{\"x\":\"u\"}",
		  "T:<|U:u|T:>" },
		{ "{{ x | tojson }}", "{\"x\":{\"<s>\":[\"</s>\"]}}", "U:{\"<s>\": [\"</s>\"]}" },
		{ "{{ {'k': x} | tojson }}", "{\"x\":\"<s>\"}", "T:{\"k\": |U:\"<s>\"|T:}" },
		{ "{{ '%s' | format(x) }}{{ [x] }}", "{\"x\":\"u\"}", "U:u|T:[|U:'u'|T:]" },
		{ "{{ x | default('d') }}{{ y | default('d') }}", "{\"x\":\"u\"}", "U:u|T:d" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *got = marks(cases[i][0], cases[i][1]);

		if (!OK(!strcmp(got, cases[i][2]), "marks of %s", cases[i][0]))
			printf("# %s\n", got);
	}
}

static void test_limits(void)
{
	static const char *const cases[][2] = {
		{ "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "too deeply" },
		{ "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor "
		  "%}",
		  "more than 256 MiB" },
		{ "{{ 'x' * 10000000000 }}", "too many steps" },
		{ "{{ ('x' * 1000000) * 100000 }}", "grows over" },
		{ "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}", "too deeply" },
		{ "{{ 9223372036854775807 + 1 }}", "more than 64 bits" },
		{ "line\n\n{{ nothing.here }}", "line 3" },
	};
	char deep[4000];
	struct err e;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		arena_reset(&mem);
		if (!OK(!render(str_of(cases[i][0]), none, &e) && strstr(e.text, cases[i][1]),
			"limit: %s", cases[i][1]))
			printf("# %s\n", e.text);
		OK(e.code == ERR_INVALID_FIELD, "a fault of the record");
	}
	for (int k = 0; k < 2; k++) {
		memset(deep, k ? '-' : '(', sizeof deep);
		memcpy(deep, "{{ ", 3);
		OK(!render((struct str){ deep, sizeof deep }, none, &e) && e.code == ERR_USAGE,
		   "deep source: %s", e.text);
	}
	OK(!render(STR("{{ x"), none, &e) && strstr(e.text, "line 1"),
	   "the line of a bad template: %s", e.text);
	OK(!render(STR("\xff"), none, &e) && e.code == ERR_USAGE, "bad UTF-8: %s", e.text);
	OK(render(STR("a\r\nb\r\n"), none, &e) &&
		   !strcmp(render(STR("a\r\nb\r\n"), none, &e), "a\nb"),
	   "line ends");
}

int main(int argc, char **argv)
{
	char path[4096];

	arena_init(&mem, (size_t)1 << 30);
	if (argc > 1) {
		golden(argv[1]);
	} else {
		snprintf(path, sizeof path, "%s/tests/fixtures/jinja_cases.ndjson",
			 getenv("top_srcdir") ? getenv("top_srcdir") : ".");
		golden(path);
		test_marks();
		test_limits();
	}
	arena_release(&mem);
	return tap_done();
}
