/* One record: what is found in it, its identity, its text. */
#include "config.h"
#include "record/record_impl.h"

static const struct {
	const char *name;
	size_t n;
} names[N_FIELDS] = {
#define NAME(z)                                                                                    \
	{                                                                                          \
		z, sizeof(z) - 1                                                                   \
	}
	[F_ID] = NAME("id"),
	[F_CUSTOM_ID] = NAME("custom_id"),
	[F_TASK_ID] = NAME("task_id"),
	[F_DOC_ID] = NAME("doc_id"),
	[F_ERROR] = NAME("error"),
	[F_MESSAGES] = NAME("messages"),
	[F_PROMPT] = NAME("prompt"),
	[F_INPUT] = NAME("input"),
	[F_TEXT] = NAME("text"),
	[F_CONTENT] = NAME("content"),
	[F_PARAMS] = NAME("params"),
	[F_BODY] = NAME("body"),
	[F_CALLS] = NAME("calls"),
	[F_CHUNK] = NAME("chunk"),
	[F_QUERY_ID] = NAME("query_id"),
	[F_RESPONSE] = NAME("response"),
#undef NAME
};

static void find_field(struct json_val f[N_FIELDS], struct str key, struct json_val v)
{
	bool escaped = key.n && memchr(key.p, '\\', key.n);

	for (size_t i = 0; i < N_FIELDS; i++)
		if (escaped ? json_key_is(key, (struct str){ names[i].name, names[i].n })
			    : key.n == names[i].n && !memcmp(key.p, names[i].name, key.n)) {
			f[i] = v;
			return;
		}
}

/* m: the members where they are known, n <= MEMBERS_MAX of them. */
void record_find_fields(struct json_val f[N_FIELDS], struct json_val obj,
			const struct json_member *m, size_t n)
{
	struct json_iter it = json_iter(obj);
	struct json_val v;
	struct str key;

	memset(f, 0, N_FIELDS * sizeof *f);
	if (m && n <= MEMBERS_MAX)
		for (size_t i = 0; i < n; i++)
			find_field(f, m[i].key, m[i].val);
	else
		while (json_next_member(&key, &v, &it))
			find_field(f, key, v);
}

static bool there(struct json_val v)
{
	return v.type != JSON_NONE && v.type != JSON_NULL;
}

const char *record_identity(struct json_val *out, const struct json_val f[N_FIELDS])
{
	/* a line of a Batch's output has an `id` that is the service's own business */
	bool answer = f[F_RESPONSE].type != JSON_NONE && there(f[F_CUSTOM_ID]);

	for (int i = answer ? F_CUSTOM_ID : F_ID; i <= F_DOC_ID; i++)
		if (there(f[i])) {
			*out = f[i];
			return names[i].name;
		}
	return NULL;
}

struct str record_id_of(struct json_val v, struct arena *a)
{
	struct str s;

	/* ids match by text; one that cannot be decoded stands for itself */
	if (v.type != JSON_STRING || json_str(&s, v, a, NULL))
		return v.raw;
	return s;
}

bool record_has_error(const struct json_val f[N_FIELDS])
{
	return f[F_ERROR].type == JSON_OBJECT && json_get(f[F_ERROR], "code").type == JSON_STRING &&
	       json_get(f[F_ERROR], "stage").type == JSON_STRING;
}

/* The id of a record that has none: its line, or its file and line; of a text its file. */
static void make_id(struct record *r)
{
	const char *file = record_source_name(&r->io->src);
	struct json_w w = json_w(&r->made);

	r->id_name = "id";
	r->id_made = true;
	buf_reset(&r->made);
	if (file && r->line) {
		buf_addf(&r->emitted, "%s:%llu", file, (unsigned long long)r->line);
		json_w_str(&w, buf_str(&r->emitted));
		buf_reset(&r->emitted);
	} else if (file) {
		json_w_strz(&w, file);
	} else {
		json_w_u64(&w, r->line ? r->line : 1);
	}
	r->id_raw = buf_str(&r->made);
	r->id_text = record_id_of((struct json_val){ r->id_raw, file ? JSON_STRING : JSON_NUMBER },
				  &r->arena);
}

/* {"id":…,"text":…} of a text. */
static int read_text(struct record *r, struct err *e)
{
	struct str text = buf_str(&r->raw);
	size_t bad = utf8_valid(text), id = r->made.n;
	struct json_w w = json_w(&r->made);

	if (bad < text.n)
		return err_set(e, ERR_INVALID_UTF8, "invalid UTF-8 at byte %zu of the text, 0x%02x",
			       bad, (unsigned char)text.p[bad]);
	json_w_begin(&w, '{');
	json_w_key(&w, "id");
	buf_grow(&r->made, id); /* or the id might move while it is copied */
	json_w_raw(&w, str_sub(buf_str(&r->made), 0, id));
	json_w_key(&w, "text");
	json_w_str(&w, text);
	json_w_end(&w, '}');
	if (buf_check(&r->made, e))
		return -1;
	r->id_raw = str_sub(buf_str(&r->made), 0, id); /* the buffer may have moved */
	r->id_text = record_id_of(
		(struct json_val){ r->id_raw, r->id_raw.p[0] == '"' ? JSON_STRING : JSON_NUMBER },
		&r->arena);
	r->obj = (struct json_val){ str_sub(buf_str(&r->made), id, r->made.n), JSON_OBJECT };
	r->n_m = SIZE_MAX;
	record_find_fields(r->f, r->obj, NULL, r->n_m);
	r->id_made = false; /* it is in the object */
	return 0;
}

int record_read(struct record *r, struct err *e)
{
	struct json_val id;

	if (r->text) {
		make_id(r);
		return read_text(r, e);
	}
	if (json_parse_members(&r->obj, r->m, &r->n_m, MEMBERS_MAX, buf_str(&r->raw), e) ||
	    r->obj.type != JSON_OBJECT) {
		if (!e->code)
			err_set(e, ERR_INVALID_JSON, "a line of records must be a JSON object");
		r->obj = (struct json_val){ { NULL, 0 }, JSON_NONE };
		make_id(r);
		return -1;
	}
	record_find_fields(r->f, r->obj, r->m, r->n_m);
	r->id_name = record_identity(&id, r->f);
	if (!r->id_name) {
		make_id(r);
	} else {
		r->id_raw = id.raw;
		r->id_text = record_id_of(id, &r->arena);
		if (id.type != JSON_STRING && id.type != JSON_NUMBER)
			return err_set(e, ERR_INVALID_FIELD,
				       "member `%s` must be a string or a number", r->id_name);
	}
	if (r->raw.n > BUF_MAX_LINE)
		return err_set(e, ERR_INVALID_FIELD,
			       "a record of %zu bytes, the limit is %zu: split its text", r->raw.n,
			       BUF_MAX_LINE);
	return 0;
}

/* ---- getters --------------------------------------------------------------------------------- */

struct arena *record_arena(struct record *r)
{
	return &r->arena;
}

struct json_val record_json(struct record *r)
{
	return r->obj;
}

unsigned record_worker(const struct record *r)
{
	return r->worker;
}

uint64_t record_line(const struct record *r)
{
	return r->line;
}

uint64_t record_seq(const struct record *r)
{
	return r->seq;
}

struct str record_id_raw(struct record *r)
{
	return r->id_raw;
}

struct str record_id(struct record *r)
{
	return r->id_text;
}

struct json_val record_batch(const struct record *r)
{
	if (r->f[F_BODY].type == JSON_OBJECT && there(r->f[F_CUSTOM_ID]))
		return r->f[F_BODY];
	return (struct json_val){ { NULL, 0 }, JSON_NONE };
}

static int text_of(struct str *out, struct record *r, struct json_val v, const char *name,
		   struct err *e)
{
	return json_str(out, v, &r->arena, e) ? err_wrap(e, "member `%s`", name) : 0;
}

int record_text(struct str *out, struct record *r, struct err *e)
{
	const char *field = r->io->o.field;
	struct json_val body = record_batch(r), v;

	if (r->text) {
		*out = buf_str(&r->raw);
		return 0;
	}
	if (field) {
		v = json_path(r->obj, str_of(field));
		if (v.type == JSON_NONE)
			v = json_path(body, str_of(field));
		if (v.type == JSON_NONE)
			return err_set(e, ERR_MISSING_FIELD, "no member `%s` (--field)", field);
		return text_of(out, r, v, field, e);
	}
	for (int i = F_PROMPT; i <= F_CONTENT; i++) {
		v = body.type == JSON_OBJECT ? json_get(body, names[i].name) : r->f[i];
		if (there(v))
			return text_of(out, r, v, names[i].name, e);
	}
	if (there(r->f[F_BODY]) && body.type != JSON_OBJECT && there(json_get(r->obj, "url")))
		return err_set(e, ERR_MISSING_FIELD,
			       "a line of a Batch file needs a `custom_id` and a `body` that is an object");
	return err_set(e, ERR_MISSING_FIELD,
		       "no text: none of the members prompt, input, text, content is there; "
		       "--field names another");
}

struct json_val record_messages(struct record *r)
{
	struct json_val body = record_batch(r), v = r->f[F_MESSAGES];

	if (body.type == JSON_OBJECT)
		v = json_get(body, "messages");
	if (r->io->o.field || !there(v))
		return (struct json_val){ { NULL, 0 }, JSON_NONE };
	return v;
}

struct json_val record_param(struct record *r, const char *name)
{
	struct json_val v = json_get(r->f[F_PARAMS], name);

	return v.type == JSON_NONE ? json_get(record_batch(r), name) : v;
}

/* ---- setters --------------------------------------------------------------------------------- */

void record_clear(struct record *r)
{
	buf_reset(&r->raw);
	buf_reset(&r->made);
	buf_reset(&r->own);
	buf_reset(&r->emitted);
	buf_reset(&r->text_out);
	buf_reset(&r->out);
	buf_reset(&r->old);
	arena_reset(&r->arena);
	r->obj = (struct json_val){ { NULL, 0 }, JSON_NONE };
	memset(r->f, 0, sizeof r->f);
	r->n_set = 0;
	r->n_emitted = r->n_out = 0;
	r->id_made = r->emits = r->drop = r->failed = r->passed = r->has_text = r->to_errors =
		r->copied = false;
	r->code = ERR_OK;
}

/* The place for a member's new value, which is then written to r->own and ended with set_end(). */
static int set_begin(struct record *r, const char *name, bool remove, struct err *e)
{
	size_t i = 0;

	while (i < r->n_set && strcmp(r->set[i].name, name) != 0)
		i++;
	if (i == sizeof r->set / sizeof *r->set)
		return err_set(e, ERR_INTERNAL, "more than %zu members set", i);
	r->n_set += i == r->n_set;
	r->set[i] = (struct own){ name, r->own.n, r->own.n, remove };
	return (int)i;
}

static int set_end(struct record *r, int i, struct err *e)
{
	r->set[i].to = r->own.n;
	return buf_check(&r->own, e) ? err_wrap(e, "member `%s`", r->set[i].name) : 0;
}

#define SETTER(write)                                                                              \
	int i = set_begin(r, name, false, e);                                                      \
	struct json_w w = json_w(&r->own);                                                         \
	if (i < 0)                                                                                 \
		return -1;                                                                         \
	write;                                                                                     \
	return set_end(r, i, e)

int record_set_raw(struct record *r, const char *name, struct str json, struct err *e)
{
	SETTER(json_w_raw(&w, json));
}

int record_set_str(struct record *r, const char *name, struct str s, struct err *e)
{
	SETTER(json_w_str(&w, s));
}

int record_set_u64(struct record *r, const char *name, uint64_t v, struct err *e)
{
	SETTER(json_w_u64(&w, v));
}

int record_set_f64(struct record *r, const char *name, double v, struct err *e)
{
	SETTER(json_w_f64(&w, v));
}

int record_set_bool(struct record *r, const char *name, bool v, struct err *e)
{
	SETTER(json_w_bool(&w, v));
}

int record_set_i32s(struct record *r, const char *name, const int32_t *v, size_t n, struct err *e)
{
	SETTER(json_w_i32_array(&w, v, n));
}

int record_set_f32s(struct record *r, const char *name, const float *v, size_t n, bool base64,
		    struct err *e)
{
	SETTER(base64 ? json_w_f32_base64(&w, v, n) : json_w_f32_array(&w, v, n));
}

int record_remove(struct record *r, const char *name, struct err *e)
{
	int i = set_begin(r, name, true, e);

	return i < 0 ? -1 : 0;
}

int record_add_call(struct record *r, struct str json, struct err *e)
{
	struct str old = r->f[F_CALLS].raw;
	size_t from = r->own.n;
	int i;

	if (there(r->f[F_CALLS]) && r->f[F_CALLS].type != JSON_ARRAY)
		return err_set(e, ERR_INVALID_FIELD, "member `calls` must be an array");
	for (size_t k = 0; k < r->n_set; k++)
		if (!strcmp(r->set[k].name, "calls") && !r->set[k].remove) {
			/* copied within r->own, which may move: make room before */
			if (!buf_grow(&r->own, r->set[k].to - r->set[k].from))
				return buf_check(&r->own, e);
			old = str_sub(buf_str(&r->own), r->set[k].from, r->set[k].to);
		}
	if (!old.n || old.p[0] != '[')
		old = STR("[]");
	i = set_begin(r, "calls", false, e);
	if (i < 0)
		return -1;
	r->set[i].from = from;
	buf_add(&r->own, old.p, old.n - 1);
	if (str_trim(str_sub(old, 1, old.n - 1)).n)
		buf_addc(&r->own, ',');
	buf_adds(&r->own, json);
	buf_addc(&r->own, ']');
	return set_end(r, i, e);
}

int record_emit(struct record *r, struct str json, struct err *e)
{
	r->emits = true;
	if (!json.n)
		return 0;
	buf_adds(&r->emitted, json);
	buf_addc(&r->emitted, '\n');
	r->n_emitted++;
	return buf_check(&r->emitted, e);
}

int record_put_text(struct record *r, struct str s, struct err *e)
{
	r->has_text = true;
	buf_adds(&r->text_out, s);
	return buf_check(&r->text_out, e);
}

void record_fail(struct record *r, const struct err *e, unsigned attempts)
{
	r->failed = true;
	r->code = err_name(e->code) ? e->code : ERR_SERVER;
	r->attempts = attempts;
	r->n_set = 0; /* what was set before is of a record that did not come to be */
	memcpy(r->message, e->text, sizeof r->message);
}

void record_drop(struct record *r)
{
	r->drop = true;
}
