/* cached_key: a question in one form: members by name, no blanks, escapes and numbers written one
 * way. */
#include "config.h"
#include "llm/cached_impl.h"

/* As RFC 8785, but for two things: members are in the order of their bytes, and whole numbers keep
 * their digits, for a 64-bit seed is no double. */
struct form {
	struct buf *out;
	struct arena *a;
	enum llm_same same;
};
struct pair {
	struct str key;
	struct json_val val;
	size_t place;
};

static int put(struct form *f, struct json_val v, bool is_text, struct err *e);

/* Of two with one name the last stays the last: it is the one that counts. */
static int by_key(const void *x, const void *y)
{
	const struct pair *a = x, *b = y;
	int c = str_cmp(a->key, b->key);

	return c ? c : a->place < b->place ? -1 : 1;
}

/* Under these names stands what a person wrote. */
static bool holds_text(struct str name)
{
	static const char *const names[] = { "content", "text",  "input",
					     "prompt",  "query", "documents" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_is(name, names[i]))
			return true;
	return false;
}

static int put_object(struct form *f, struct json_val v, struct err *e)
{
	size_t n = json_count(v), k = 0;
	struct pair *p = arena_alloc(f->a, (n ? n : 1) * sizeof *p);
	struct json_iter it = json_iter(v);
	struct json_w w = json_w(f->out);
	struct str raw;

	if (!p)
		return err_nomem(e);
	for (; json_next_member(&raw, &p[k].val, &it); k++) {
		/* with its quotes, which stand around it */
		struct json_val quoted = { { raw.p - 1, raw.n + 2 }, JSON_STRING };

		p[k].place = k;
		if (json_str(&p[k].key, quoted, f->a, e))
			return -1;
	}
	qsort(p, k, sizeof *p, by_key);
	json_w_begin(&w, '{');
	for (size_t i = 0; i < k; i++) {
		if (i + 1 < k && str_eq(p[i].key, p[i + 1].key))
			continue;
		json_w_key_str(&w, p[i].key);
		if (put(f, p[i].val, holds_text(p[i].key), e))
			return -1;
		w.comma = true;
	}
	json_w_end(&w, '}');
	return 0;
}

static int put_array(struct form *f, struct json_val v, bool is_text, struct err *e)
{
	struct json_iter it = json_iter(v);
	struct json_val item;
	bool first = true;

	buf_addc(f->out, '[');
	for (; json_next(&item, &it); first = false) {
		if (!first)
			buf_addc(f->out, ',');
		if (put(f, item, is_text, e))
			return -1;
	}
	buf_addc(f->out, ']');
	return 0;
}

static void put_number(struct form *f, struct json_val v)
{
	char t[NUM_BUF];
	double d;

	if (str_is(v.raw, "-0"))
		buf_addc(f->out, '0');
	else if (!memchr(v.raw.p, '.', v.raw.n) && !memchr(v.raw.p, 'e', v.raw.n) &&
		 !memchr(v.raw.p, 'E', v.raw.n))
		buf_adds(f->out, v.raw);
	else if (d = num_json_f64(v.raw), d - d != 0) /* beyond a double */
		buf_adds(f->out, v.raw);
	else
		buf_add(f->out, t, num_put_f64(t, d == 0 ? 0 : d));
}

/* Typewriter quotation marks and dashes for the typographic ones, one blank for many, none at the
 * ends. */
static void put_plain(struct buf *out, struct str s)
{
	static const struct {
		const char *from, *to;
	} marks[] = {
		{ "\u2018", "'" },  { "\u2019", "'" },  { "\u201a", "'" },  { "\u201b", "'" },
		{ "\u201c", "\"" }, { "\u201d", "\"" }, { "\u201e", "\"" }, { "\u00ab", "\"" },
		{ "\u00bb", "\"" }, { "\u2010", "-" },  { "\u2011", "-" },  { "\u2013", "-" },
		{ "\u2014", "-" },  { "\u00a0", " " },  { "\u2009", " " },  { "\u202f", " " },
		{ "\u3000", " " },
	};
	size_t from = out->n;

	for (size_t i = 0; i < s.n;) {
		struct str one = { s.p + i, 1 };

		for (size_t m = 0;
		     (unsigned char)s.p[i] >= 0x80 && m < sizeof marks / sizeof *marks; m++)
			if (str_starts(str_sub(s, i, s.n), str_of(marks[m].from))) {
				one = str_of(marks[m].to);
				i += strlen(marks[m].from) - 1;
				break;
			}
		i++;
		if (!memchr(" \t\r\n\v\f", one.p[0], 6))
			buf_adds(out, one);
		else if (out->n > from && out->p[out->n - 1] != ' ')
			buf_addc(out, ' ');
	}
	out->n -= out->n > from && out->p[out->n - 1] == ' ';
}

static int put_string(struct form *f, struct json_val v, bool is_text, struct err *e)
{
	struct json_w w = json_w(f->out);
	struct buf folded, plain;
	struct str s;
	int rc;

	if (json_str(&s, v, f->a, e))
		return -1;
	if (!is_text || f->same == LLM_SAME_BYTES) {
		json_w_str(&w, s);
		return 0;
	}
	buf_init(&folded, 2 * BUF_MAX_LINE);
	buf_init(&plain, 2 * BUF_MAX_LINE);
	rc = tok_fold(&folded, s, f->same == LLM_SAME_CASE, e);
	if (!rc) {
		put_plain(&plain, buf_str(&folded));
		rc = buf_check(&plain, e);
		json_w_str(&w, buf_str(&plain));
	}
	buf_release(&folded);
	buf_release(&plain);
	return rc;
}

static int put(struct form *f, struct json_val v, bool is_text, struct err *e)
{
	switch (v.type) {
	case JSON_OBJECT:
		return put_object(f, v, e);
	case JSON_ARRAY:
		return put_array(f, v, is_text, e);
	case JSON_STRING:
		return put_string(f, v, is_text, e);
	case JSON_NUMBER:
		put_number(f, v);
		return 0;
	default:
		buf_adds(f->out, v.raw);
		return 0;
	}
}

static int digest(uint8_t out[STORE_KEY_LEN], struct json_val v, enum llm_kind kind,
		  enum llm_same same, struct buf *b, struct arena *a, struct err *e)
{
	struct form f = { b, a, same };

	buf_reset(b);
	/* the first number goes up when the form of answers changes, or what the same question
	 * gives */
	buf_addf(b, "llm-utils 1 %d %d ", (int)kind, (int)same);
	if (put(&f, v, false, e) || buf_check(b, e))
		return -1;
	hash_sha256(out, b->p, b->n);
	return 0;
}

/* Does the model of a service draw by lot? It does unless it is told not to, or how. A model of
 * this machine always has a seed. */
static bool draws(struct json_val key, enum llm_kind kind)
{
	static const char *const places[] = { "body", "params", "" };
	double temperature;

	if (kind == LLM_ASK_VECTOR || kind == LLM_ASK_RERANK ||
	    json_get(key, "model_digest").type == JSON_STRING)
		return false;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		struct json_val p = *places[i] ? json_get(key, places[i]) : key;

		if (json_get(p, "seed").type == JSON_NUMBER ||
		    (!json_f64(&temperature, json_get(p, "temperature"), NULL) && temperature == 0))
			return false;
	}
	return true;
}

int cached_key(struct cached_key *out, struct str key, enum llm_kind kind, enum llm_same same,
	       struct arena *a, struct err *e)
{
	struct json_val v;
	struct buf b;
	int rc;

	if (json_parse(&v, key, e))
		return -1;
	/* a file that could not be read to its end could be any */
	if (str_is(json_get(v, "model_digest").raw, "\"\""))
		return err_set(e, ERR_UNSUPPORTED, "the model's digest is not known");
	buf_init(&b, 4 * BUF_MAX_LINE);
	out->random = draws(v, kind);
	rc = digest(out->exact, v, kind, LLM_SAME_BYTES, &b, a, e);
	memcpy(out->find, out->exact, sizeof out->find);
	if (!rc && same != LLM_SAME_BYTES)
		rc = digest(out->find, v, kind, same, &b, a, e);
	buf_release(&b);
	return rc;
}
