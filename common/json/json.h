/*
 * json: a validating span scanner. A text is checked once, strictly (RFC 8259, UTF-8, depth <=
 * 512); after that values are spans of the original bytes, and the iterators below only walk what
 * is known to be valid. What a tool does not change it copies byte for byte: spelling of numbers,
 * escapes, blanks, order and duplicates of members. Among duplicates the last one counts (as in
 * Python and JavaScript).
 */
#ifndef JSON_JSON_H
#define JSON_JSON_H

#include "base/base.h"

#define JSON_DEPTH_MAX 512

enum json_type {
	JSON_NONE, /* no value: a member that is not there */
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
};

struct json_val {
	struct str raw; /* the value's bytes, without blanks around it */
	enum json_type type;
};

/* ---- reading --------------------------------------------------------------------------------- */

/*
 * Check a whole text (blanks around the value allowed) and give its value. ERR_INVALID_JSON names
 * what was expected and the byte offset; bad UTF-8 is ERR_INVALID_UTF8. Trailing text is an error.
 * A NUL or a control byte inside a string is an error.
 */
int json_parse(struct json_val *out, struct str text, struct err *e);
/*
 * The first value at the head of text (streams, "first balanced value"); *used counts the bytes up
 * to its end.
 */
int json_parse_prefix(struct json_val *out, size_t *used, struct str text, struct err *e);

struct json_member {
	struct str key; /* as written, between its quotes */
	struct json_val val;
};
/* The same, and the members of an object at the top: *n of them, the first `max` in m. */
int json_parse_members(struct json_val *out, struct json_member *m, size_t *n, size_t max,
		       struct str text, struct err *e);

struct json_iter {
	const char *p, *end;
};
/* Over the members of a valid object, or the elements of a valid array; any other type has none. */
struct json_iter json_iter(struct json_val v);
/* The same of what ought to be an object, or an array: nothing where it is something else. */
static inline struct json_iter json_members(struct json_val v)
{
	return v.type == JSON_OBJECT ? json_iter(v) : (struct json_iter){ NULL, NULL };
}
static inline struct json_iter json_elements(struct json_val v)
{
	return v.type == JSON_ARRAY ? json_iter(v) : (struct json_iter){ NULL, NULL };
}
/* The key as written, between its quotes (json_key_is() compares it decoded). False at the end. */
bool json_next_member(struct str *raw_key, struct json_val *out, struct json_iter *it);
bool json_next(struct json_val *out, struct json_iter *it);
bool json_key_is(struct str raw_key, struct str name);
size_t json_count(struct json_val v); /* members or elements */

/* The last member of that name; JSON_NONE where there is none or obj is no object. */
struct json_val json_get(struct json_val obj, const char *name);
/* The same for n <= 16 names in one pass. */
void json_get_all(struct json_val *out, struct json_val obj, const char *const *names, size_t n);
/* By path: "a", "a.b", "hits.0.text", or a JSON Pointer that begins with '/'; JSON_NONE otherwise.
 * A member whose whole name is the path goes before. */
struct json_val json_path(struct json_val v, struct str path);

/* ---- values ---------------------------------------------------------------------------------- */

/*
 * A string's text. Borrows the record's bytes when there is no escape, else decodes into the arena.
 * A lone surrogate escape is ERR_INVALID_UTF8. Another type is ERR_INVALID_FIELD.
 */
int json_str(struct str *out, struct json_val v, struct arena *a, struct err *e);
/* Exact: a number with a fraction or exponent ("1.0"), or out of range, is ERR_INVALID_FIELD. */
int json_i64(int64_t *out, struct json_val v, struct err *e);
int json_u64(uint64_t *out, struct json_val v, struct err *e);
int json_f64(double *out, struct json_val v, struct err *e); /* correctly rounded */
int json_bool(bool *out, struct json_val v, struct err *e);
/*
 * A vector: an array of numbers, or base64 of little-endian f32. *out is allocated in the arena
 * (64-byte aligned), *n its length. NaN or infinite is ERR_INVALID_VECTOR (the component is named).
 */
int json_f32s(float **out, size_t *n, struct json_val v, struct arena *a, struct err *e);
/* An array of integers that fit int32_t, in the arena. */
int json_i32s(int32_t **out, size_t *n, struct json_val v, struct arena *a, struct err *e);

/* Equal by content: numbers by value of their decimal text, strings decoded, members by name.
 * Sorts members in memory of its own; without memory they are not equal. */
bool json_equal(struct json_val a, struct json_val b);

/* ---- writing --------------------------------------------------------------------------------- */

/*
 * A writer appends to a buf and places commas itself. Strings are escaped as little as JSON allows
 * (non-ASCII stays UTF-8); invalid UTF-8 is replaced by U+FFFD. Compact: no blanks.
 */
struct json_w {
	struct buf *b;
	bool comma; /* a comma is due before the next value or key */
};
struct json_w json_w(struct buf *b);
void json_w_begin(struct json_w *w, char open); /* '{' or '[' */
void json_w_end(struct json_w *w, char close);  /* '}' or ']' */
void json_w_key(struct json_w *w, const char *name);
void json_w_key_str(struct json_w *w, struct str name);
void json_w_str(struct json_w *w, struct str s);
void json_w_strz(struct json_w *w, const char *z); /* NULL gives null */
void json_w_i64(struct json_w *w, int64_t v);
void json_w_u64(struct json_w *w, uint64_t v);
void json_w_f64(struct json_w *w, double v); /* shortest; NaN and infinite give null */
void json_w_f32(struct json_w *w, float v);  /* shortest that reads back to the same float */
void json_w_bool(struct json_w *w, bool v);
void json_w_null(struct json_w *w);
void json_w_raw(struct json_w *w, struct str json);
/* As OpenAI's encoding_format "base64". */
void json_w_f32_base64(struct json_w *w, const float *v, size_t n);
void json_w_f32_array(struct json_w *w, const float *v, size_t n);
void json_w_i32_array(struct json_w *w, const int32_t *v, size_t n);
/* Pretty form for people: two blanks a level, ", " and ": " as Python's json.dumps(indent=2). */
int json_pretty(struct buf *out, struct json_val v, unsigned indent, struct err *e);

/* Standard base64 with padding. Decoding ignores no byte: bad input is ERR_INVALID_FIELD. */
void json_base64_put(struct buf *b, const void *p, size_t n);
int json_base64_get(struct buf *out, struct str s, struct err *e);

/* ---- edits ----------------------------------------------------------------------------------- */

/*
 * Changes to one object: set replaces the last member of that name in place (earlier duplicates
 * stay) or appends it after the members found; remove takes all of that name out. Every other byte
 * stays. Names and values are borrowed until json_edit_put() has run.
 */
#define JSON_EDIT_MAX 32
struct json_edit {
	struct {
		struct str name, value;
		bool remove;
	} set[JSON_EDIT_MAX];
	size_t n;
};
void json_edit_init(struct json_edit *ed);
int json_edit_set(struct json_edit *ed, struct str name, struct str raw_value, struct err *e);
int json_edit_remove(struct json_edit *ed, struct str name, struct err *e);
/* The edited object, appended to out. */
int json_edit_put(struct buf *out, struct json_val obj, const struct json_edit *ed, struct err *e);
/* The same with all of the object's members at hand from json_parse_members(). */
int json_edit_put_members(struct buf *out, struct json_val obj, const struct json_member *m,
			  size_t n, const struct json_edit *ed, struct err *e);

#endif
