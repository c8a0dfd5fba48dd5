/*
 * jinja_impl: the template engine inside. A template is lexed and parsed once into a tree that
 * lives in its own arena and never changes; a rendering is a `struct jinja` on one thread, its
 * values in the caller's arena.
 *
 * Where text comes from is kept with it: a string is bytes and `user`, or bytes and runs of marks.
 * Substrings, cases, joins and concatenations carry the marks of the bytes they are made of, so
 * that what a caller wrote never turns into text of the template.
 */
#ifndef TOK_JINJA_IMPL_H
#define TOK_JINJA_IMPL_H

#include "tok/tok.h"

enum {
	JINJA_MAX_SOURCE = 1 << 20, /* bytes of a template */
	JINJA_MAX_NEST = 100,       /* parentheses, blocks */
	JINJA_MAX_DEPTH = 400, /* evaluation: nested expressions, macros that call each other */
	JINJA_MAX_STEPS = 20000000,   /* evaluated nodes and copied elements */
	JINJA_MAX_OUTPUT = 64 << 20,  /* bytes of text under way */
	JINJA_MAX_MEMORY = 256 << 20, /* bytes of values made by one rendering */
	JINJA_MAX_RANGE = 100000,     /* as in jinja2's sandbox */
	JINJA_MAX_ARGS = 64,
};

/* ---- tokens -------------------------------------------------------------------------------- */

enum jtok_kind {
	JT_EOF,
	JT_TEXT,
	JT_OUT_BEGIN, /* {{ */
	JT_OUT_END,
	JT_TAG_BEGIN, /* {% */
	JT_TAG_END,
	JT_NAME,
	JT_STRING, /* s is decoded */
	JT_INT,
	JT_FLOAT,
	JT_OP, /* s is the operator */
};
struct jtok {
	enum jtok_kind kind;
	uint32_t line;
	struct str s;
};
struct jtoks {
	struct jtok *v; /* ends with JT_EOF; malloc */
	size_t n, cap;
};
/* src is kept alive by the caller; decoded strings go to `a`. */
int jinja_lex(struct jtoks *out, struct str src, struct arena *a, struct err *e);

/* ---- values -------------------------------------------------------------------------------- */

enum jv_type {
	JV_UNDEF, /* s: the name that is not there */
	JV_NONE,
	JV_BOOL,
	JV_INT,
	JV_FLOAT,
	JV_STR,
	JV_LIST,
	JV_DICT,
	JV_NAMESPACE, /* a dict whose members templates may set */
	JV_MACRO,
	JV_FUNC,   /* a global function: s is its name */
	JV_METHOD, /* s: its name, self: the object */
	JV_LOOP,   /* the loop variable */
	JV_JSON,   /* a member or element not looked at yet: s is raw, i its json_type */
};

struct jruns;
struct jv {
	enum jv_type type;
	bool user; /* a string, list or dict that came from the caller */
	union {
		bool b;
		int64_t i;
		double f;
		struct jlist *list;
		struct jdict *dict;
		const struct jmacro *macro;
		const struct jv *self;
		struct jloop *loop;
	};
	struct str
		s; /* JV_STR; JV_FLOAT: the spelling of an integer that does not fit, else empty */
	const struct jruns *runs; /* NULL: the whole string is as `user` says */
};
struct jrun {
	size_t end; /* the run goes from the end of the one before to here */
	bool user;
};
struct jruns {
	size_t n;
	struct jrun v[];
};
struct jlist {
	struct jv *v;
	size_t n, cap;
	bool tuple;
};
struct jpair {
	struct jv key, value;
};
struct jdict {
	struct jpair *v;
	size_t n, cap;
};
struct jloop {
	struct jlist *items;
	size_t i, n, depth;
	const struct jn *node;
	struct jscope *scope; /* around the loop */
	struct jv changed;    /* what changed() saw last */
};

/* ---- tree ---------------------------------------------------------------------------------- */

enum jn_type {
	/* statements */
	JN_TEXT,
	JN_OUT,
	JN_FOR,
	JN_IF,
	JN_SET,
	JN_SET_BLOCK,
	JN_MACRO,
	JN_CALL_BLOCK,
	JN_FILTER_BLOCK,
	JN_SCOPE,
	JN_BREAK,
	JN_CONTINUE,
	/* expressions */
	JN_CONST,
	JN_NAME,
	JN_LIST,
	JN_DICT,
	JN_ATTR,
	JN_ITEM,
	JN_SLICE,
	JN_CALL,
	JN_FILTER,
	JN_TEST,
	JN_NEG,
	JN_POS,
	JN_NOT,
	JN_AND,
	JN_OR,
	JN_BINARY,
	JN_COMPARE,
	JN_COND,
	JN_KEYWORD,
};
enum jop {
	JO_ADD,
	JO_SUB,
	JO_MUL,
	JO_DIV,
	JO_FLOORDIV,
	JO_MOD,
	JO_POW,
	JO_CONCAT,
	JO_EQ,
	JO_NE,
	JO_LT,
	JO_LE,
	JO_GT,
	JO_GE,
	JO_IN,
	JO_NOT_IN,
};
struct jn {
	enum jn_type type;
	enum jop op;
	uint32_t line;
	uint32_t sym;         /* JN_NAME; a macro's name */
	bool flag;            /* tuple; recursive loop */
	struct str s;         /* text; name of an attribute, filter, test or keyword */
	struct jv value;      /* JN_CONST */
	struct jn *a, *b, *c; /* operands: see the parser */
	struct jn *args;      /* arguments, elements, parameters, targets: a list through next */
	struct jn *body, *other;
	struct jn *next;
};
/* A template: everything in its arena, immutable after jinja_parse(). */
struct tok_tmpl {
	struct arena mem;
	struct str name, source;
	struct jn *body;
	struct str *syms; /* variable names; a name is its place */
	uint32_t n_syms, cap_syms;
};
#define JINJA_SYM_LOOP 0
int jinja_parse(struct tok_tmpl *t, const struct jtoks *toks, struct err *e);

/* ---- a rendering --------------------------------------------------------------------------- */

struct jvar {
	uint32_t sym;
	struct jv v;
	struct jvar *next;
};
struct jscope {
	struct jvar *vars; /* newest first */
	struct jscope *up;
};
struct jmacro {
	const struct jn *node;
	struct jscope *scope; /* where it was defined */
};
/* Text under way: one stack of bytes; a capture takes what lies above its mark. */
struct jout {
	char *p;
	size_t n, cap;
	struct jrun *runs;
	size_t n_runs, cap_runs;
	size_t floor; /* runs below belong to an outer capture */
};
struct jmark {
	size_t n, n_runs, floor;
};
enum jflow { JF_NONE, JF_BREAK, JF_CONTINUE };
struct jinja {
	const struct tok_tmpl *t;
	struct arena *a;
	struct err *e;
	struct json_val trusted, more,
		vars;       /* looked up in this order; text of the first is the template's */
	struct jv *globals; /* [n_syms], JV_JSON until looked up */
	bool *known;        /* [n_syms] */
	struct jscope *scope;
	struct jout out;
	struct jv block; /* what the filters of a block work on */
	enum jflow flow;
	uint64_t steps;
	size_t bytes;
	uint32_t line, depth;
};

struct jkw {
	struct str name;
	struct jv v;
};
struct jargs {
	struct jv *v;
	size_t n;
	struct jkw *kw;
	size_t n_kw;
};

/* All return -1 with j->e set ("template NAME, line N: …"). */
int jinja_fail(struct jinja *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define jinja_fail(...) err_minus(jinja_fail(__VA_ARGS__))
int jinja_step(struct jinja *j, uint64_t n);
void *jinja_alloc(struct jinja *j, size_t n, size_t size);

int jinja_out(struct jinja *j, struct str s, bool user);
int jinja_out_str(struct jinja *j, struct jv s);  /* a JV_STR with its marks */
int jinja_out_text(struct jinja *j, struct jv v); /* any value, as str() prints it */
struct jmark jinja_capture(struct jinja *j);
int jinja_captured(struct jv *out, struct jinja *j, struct jmark m);
void jinja_drop(struct jinja *j, struct jmark m);

struct jv jv_none(void);
struct jv jv_bool(bool b);
struct jv jv_int(int64_t i);
struct jv jv_float(double f);
struct jv jv_str(struct str s, bool user);
struct jv jv_undef(struct str name);
int jv_list(struct jv *out, struct jinja *j, size_t cap);
int jv_push(struct jinja *j, struct jv list, struct jv item);
int jv_dict(struct jv *out, struct jinja *j, size_t cap);
int jv_set(struct jinja *j, struct jv dict, struct jv key, struct jv value);
/* The value's place or NULL; not looked at yet: use jv_load(). */
struct jv *jv_find(struct jinja *j, struct jv dict, struct str key);
struct jv *jv_find_key(struct jinja *j, struct jv dict, struct jv key);
int jv_load(struct jinja *j, struct jv *v); /* JV_JSON becomes a value, one level deep */
int jv_from_json(struct jv *out, struct jinja *j, struct json_val v, bool user);
/* A part of a string's bytes with its marks. */
int jv_sub(struct jv *out, struct jinja *j, struct jv s, size_t from, size_t to);
/* Any value as a string (str()). */
int jv_text(struct jv *out, struct jinja *j, struct jv v);
bool jv_true(struct jv v);
bool jv_is_num(struct jv v); /* bool counts, as in Python */
double jv_num(struct jv v);
int jv_eq(bool *out, struct jinja *j, struct jv a, struct jv b);
int jv_cmp(int *out, struct jinja *j, struct jv a,
	   struct jv b); /* refuses what Python cannot order */
int jv_in(bool *out, struct jinja *j, struct jv item, struct jv in);
/* The elements of anything that can be looped over, as a new list (a list is given back itself). */
int jv_items(struct jv *out, struct jinja *j, struct jv v);
int jv_len(int64_t *out, struct jinja *j, struct jv v);
const char *jv_type_name(struct jv v);
struct json_style {
	int indent;           /* -1: one line */
	struct str item, key; /* separators */
	bool ascii, sort;
};
int jv_json(struct jinja *j, struct jv v, const struct json_style *st, int level);
bool jinja_is_space(uint32_t cp); /* str.isspace() */

/* Python's `v.name`, then `v[name]`; and v[key]. */
int jinja_attr(struct jv *out, struct jinja *j, struct jv v, struct str name);
int jinja_item(struct jv *out, struct jinja *j, struct jv v, struct jv key);
int jinja_call(struct jv *out, struct jinja *j, struct jv f, const struct jargs *args);
int jinja_body(struct jinja *j, const struct jn *body);
int jinja_arith(struct jv *out, struct jinja *j, enum jop op, struct jv a, struct jv b);
int jinja_slice(struct jv *out, struct jinja *j, struct jv v,
		const struct jv part[3]); /* from, to, step; JV_NONE: left out */
int jinja_printf(struct jv *out, struct jinja *j, struct jv format, const struct jv *v,
		 size_t n); /* Python's % */

struct jv *jinja_arg(const struct jargs *a, size_t i, const char *name); /* NULL where not given */
int jinja_arg_i64(int64_t *out, struct jinja *j, const struct jargs *a, size_t i, const char *name);
int jinja_arg_str(struct jv *out, struct jinja *j, const struct jargs *a, size_t i,
		  const char *name);
int jinja_filter(struct jv *out, struct jinja *j, struct str name, struct jv v,
		 const struct jargs *args);
int jinja_test(bool *out, struct jinja *j, struct str name, struct jv v, const struct jargs *args);
/* Is there a method of that name for this type? */
bool jinja_has_method(struct jv v, struct str name);
int jinja_method(struct jv *out, struct jinja *j, struct jv self, struct str name,
		 const struct jargs *args);
bool jinja_is_global(struct str name);
int jinja_global(struct jv *out, struct jinja *j, struct str name, const struct jargs *args);
int jinja_strip(struct jv *out, struct jinja *j, struct jv s, const struct jv *chars, bool left,
		bool right);
int jinja_replace(struct jv *out, struct jinja *j, struct jv s, struct jv from, struct jv to,
		  int64_t count);
enum jcase { JC_LOWER, JC_UPPER, JC_CAPITAL, JC_TITLE, JC_TITLE_FILTER };
int jinja_case(struct jv *out, struct jinja *j, struct jv s, enum jcase c);
/* Lines without their ends, as str.splitlines() cuts them. */
int jinja_lines(struct jv *out, struct jinja *j, struct jv s);
/* Pieces between separators; sep JV_NONE: between runs of white space. At most `max` cuts unless it
 * is negative. */
int jinja_split(struct jv *out, struct jinja *j, struct jv s, struct jv sep, int64_t max,
		bool from_right);
/* By a path "a.b.0", as filters take attribute=. */
int jinja_path(struct jv *out, struct jinja *j, struct jv v, struct jv path);
int jinja_join(struct jv *out, struct jinja *j, struct jv items, struct jv sep,
	       const struct jv *attr);

#endif
