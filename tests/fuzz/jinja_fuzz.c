/* jinja_fuzz: a template, rendered over fixed variables. Seeds: the templates of tests/fixtures. */
#include "config.h"
#include "tok/tok.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char vars[] = "{\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":"
			   "\"user\",\"content\":\" h\\u00e9 \\n\"},"
			   "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}"
			   "]}],\"tools\":[{\"function\":{\"name\":\"f\"}}],"
			   "\"hits\":[{\"id\":1,\"score\":0.5,\"text\":\"t\",\"metadata\":{}}],"
			   "\"n\":7,\"f\":1e30,\"a\":[3,1,2],\"s\":\"Hello\","
			   "\"d\":{\"b\":1},\"m\":[{\"k\":\"x\"}],\"e\":\"\",\"none\":null,\"t\":"
			   "true,\"question\":\"q\"}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_val v, none = { .type = JSON_NONE };
	struct tok_parts parts;
	struct tok_tmpl *t;
	struct arena a;
	struct str text;

	if (json_parse(&v, str_of(vars), NULL))
		abort();
	if (tok_tmpl_open(&t, (struct str){ (const char *)data, size }, "fuzz", NULL))
		return 0;
	arena_init(&a, (size_t)64 << 20);
	if (!tok_tmpl_render(&parts, t, v, none, &a, NULL) &&
	    !tok_parts_text(&text, &parts, &a, NULL) && utf8_valid(text) < text.n)
		abort();
	arena_release(&a);
	tok_tmpl_close(t);
	return 0;
}
