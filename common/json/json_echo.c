/*
 * json_echo: texts in base64 on lines of standard input; for each "-" when it is no JSON, "?" when
 * a string cannot be decoded, or "+" and the value written anew. The other half of json_python.t.
 */
#include "config.h"
#include "json/json.h"
#include <stdio.h>

static int echo(struct json_w *w, struct json_val v, struct arena *a, struct err *e)
{
	struct json_iter it = json_iter(v);
	struct str key, s;
	struct json_val x;

	if (v.type == JSON_STRING) {
		if (json_str(&s, v, a, e))
			return -1;
		json_w_str(w, s);
		return 0;
	}
	if (v.type != JSON_OBJECT && v.type != JSON_ARRAY) {
		json_w_raw(w, v.raw);
		return 0;
	}
	json_w_begin(w, v.type == JSON_OBJECT ? '{' : '[');
	while (v.type == JSON_OBJECT ? json_next_member(&key, &x, &it) : json_next(&x, &it)) {
		if (v.type == JSON_OBJECT) {
			struct json_val k = { { key.p - 1, key.n + 2 }, JSON_STRING };

			if (json_str(&s, k, a, e))
				return -1;
			json_w_key_str(w, s);
		}
		if (echo(w, x, a, e))
			return -1;
	}
	json_w_end(w, v.type == JSON_OBJECT ? '}' : ']');
	return 0;
}

int main(void)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	struct buf text, out;
	struct arena a;
	struct err e;

	arena_init(&a, (size_t)1 << 28);
	buf_init(&text, (size_t)1 << 28);
	buf_init(&out, (size_t)1 << 28);
	while ((n = getline(&line, &cap, stdin)) > 0) {
		struct json_val v;
		struct json_w w;

		n -= line[n - 1] == '\n';
		buf_reset(&text);
		buf_reset(&out);
		if (json_base64_get(&text, (struct str){ line, (size_t)n }, &e))
			return 1;
		w = json_w(&out);
		if (json_parse(&v, buf_str(&text), &e))
			puts("-");
		else if (echo(&w, v, &a, &e))
			puts("?");
		else
			printf("+%s\n", out.p);
		arena_reset(&a);
	}
	free(line);
	buf_release(&text);
	buf_release(&out);
	arena_release(&a);
	return 0;
}
