/* jinja_parse: tokens to a tree. Grammar and precedences: Jinja 3.1 (jinja2/parser.py). */
#include "config.h"
#include "tok/jinja_impl.h"

struct parser {
	struct tok_tmpl *t;
	const struct jtok *at;
	unsigned nest;
	unsigned loops; /* around this place, within its macro */
	struct err *e;
};

enum { MAX_SYMS = 4096 };

static int parse_expr(struct jn **out, struct parser *p);
static int parse_unary(struct jn **out, struct parser *p, bool with_filter);
static int parse_primary(struct jn **out, struct parser *p);
static int parse_postfix(struct jn **n, struct parser *p);
static int parse_body(struct jn **out, struct parser *p, const char *const *ends);

static int fail_at(const struct parser *p, uint32_t line, const char *what, struct str s)
{
	return err_set(p->e, ERR_USAGE, "line %u: %s" STR_FMT, line, what, STR_ARG(s));
}

static int fail(const struct parser *p, const char *wanted)
{
	static const char *const names[] = { "the end", "text", "{{", "}}", "{%", "%}" };
	const struct jtok *t = p->at;

	if (t->kind <= JT_TAG_END)
		return err_set(p->e, ERR_USAGE, "line %u: expected %s, found %s", t->line, wanted,
			       names[t->kind]);
	return err_set(p->e, ERR_USAGE, "line %u: expected %s, found '%.*s'", t->line, wanted,
		       t->s.n > 60 ? 60 : (int)t->s.n, t->s.p);
}

static int node(struct jn **out, struct parser *p, enum jn_type type)
{
	struct jn *n = arena_alloc(&p->t->mem, sizeof *n);

	*out = NULL;
	if (!n) {
		err_nomem(p->e);
		return -1;
	}
	*n = (struct jn){ .type = type, .line = p->at->line };
	*out = n;
	return 0;
}

static bool is_op(const struct parser *p, const char *op)
{
	return p->at->kind == JT_OP && str_is(p->at->s, op);
}

static bool is_name(const struct parser *p, const char *name)
{
	return p->at->kind == JT_NAME && str_is(p->at->s, name);
}

static bool skip_op(struct parser *p, const char *op)
{
	bool yes = is_op(p, op);

	p->at += yes;
	return yes;
}

static bool skip_name(struct parser *p, const char *name)
{
	bool yes = is_name(p, name);

	p->at += yes;
	return yes;
}

static int want_op(struct parser *p, const char *op)
{
	return skip_op(p, op) ? 0 : fail(p, op);
}

static int want_end(struct parser *p)
{
	if (p->at->kind != JT_TAG_END)
		return fail(p, "%}");
	p->at++;
	return 0;
}

static int want_name(struct str *out, struct parser *p)
{
	*out = STR("");
	if (p->at->kind != JT_NAME)
		return fail(p, "a name");
	*out = p->at++->s;
	return 0;
}

/* The number of a variable's name. */
static int intern(uint32_t *out, struct parser *p, struct str name)
{
	struct tok_tmpl *t = p->t;

	for (uint32_t i = 0; i < t->n_syms; i++)
		if (str_eq(t->syms[i], name)) {
			*out = i;
			return 0;
		}
	if (t->n_syms == MAX_SYMS)
		return fail_at(p, p->at->line, "more than 4096 different names: ", name);
	if (t->n_syms == t->cap_syms) {
		uint32_t cap = t->cap_syms ? 2 * t->cap_syms : 32;
		struct str *v = ckd_realloc(t->syms, cap, sizeof *v);

		if (!v)
			return err_nomem(p->e);
		t->syms = v;
		t->cap_syms = cap;
	}
	*out = t->n_syms;
	t->syms[t->n_syms++] = name;
	return 0;
}

static int name_node(struct jn **out, struct parser *p, struct str name)
{
	if (node(out, p, JN_NAME))
		return -1;
	(*out)->s = name;
	return intern(&(*out)->sym, p, name);
}

static int deeper(struct parser *p)
{
	return ++p->nest > JINJA_MAX_NEST ? fail_at(p, p->at->line, "nested too deeply", STR(""))
					  : 0;
}

/* ---- expressions --------------------------------------------------------------------------- */

static int binary(struct jn **left, struct parser *p, enum jn_type type, enum jop op,
		  int (*right)(struct jn **, struct parser *))
{
	struct jn *n;

	if (node(&n, p, type))
		return -1;
	p->at++;
	n->op = op;
	n->a = *left;
	*left = n;
	return right(&n->b, p);
}

static int number(struct jn **out, struct parser *p)
{
	const struct jtok *t = p->at;
	char digits[64];
	size_t n = 0;

	if (node(out, p, JN_CONST))
		return -1;
	for (size_t i = 0; i < t->s.n; i++)
		if (t->s.p[i] != '_') {
			if (n == sizeof digits)
				return fail(p, "a shorter number");
			digits[n++] = t->s.p[i];
		}
	if (t->kind == JT_INT) {
		int64_t i;

		if (num_i64(&i, (struct str){ digits, n }, INT64_MIN, INT64_MAX, NULL))
			return fail(p, "an integer of 64 bits");
		(*out)->value = jv_int(i);
	} else {
		double f;

		if (num_f64(&f, (struct str){ digits, n }, -1e308, 1e308, NULL))
			return fail(p, "a number");
		(*out)->value = jv_float(f);
	}
	p->at++;
	return 0;
}

/* Adjacent strings are one. */
static int string(struct jn **out, struct parser *p)
{
	size_t n = 0, k = 0;
	char *s;

	if (node(out, p, JN_CONST))
		return -1;
	for (const struct jtok *t = p->at; t->kind == JT_STRING; t++, k++)
		n += t->s.n;
	if (k == 1) {
		(*out)->value = jv_str(p->at->s, false);
		p->at++;
		return 0;
	}
	s = arena_alloc(&p->t->mem, n + 1);
	if (!s)
		return err_nomem(p->e);
	(*out)->value = jv_str((struct str){ s, n }, false);
	for (; p->at->kind == JT_STRING; p->at++) {
		if (p->at->s.n)
			memcpy(s, p->at->s.p, p->at->s.n);
		s += p->at->s.n;
	}
	return 0;
}

/* Expressions up to `close`, already behind the opening bracket. */
static int elements(struct jn **tail, struct parser *p, const char *close)
{
	while (!is_op(p, close)) {
		if (parse_expr(tail, p))
			return -1;
		tail = &(*tail)->next;
		if (!skip_op(p, ",") && !is_op(p, close))
			return fail(p, close);
	}
	p->at++;
	return 0;
}

static int parse_dict(struct jn **out, struct parser *p)
{
	struct jn **tail;

	if (node(out, p, JN_DICT))
		return -1;
	tail = &(*out)->args;
	while (!is_op(p, "}")) {
		struct jn *pair;

		if (node(&pair, p, JN_KEYWORD) || parse_expr(&pair->a, p) || want_op(p, ":") ||
		    parse_expr(&pair->b, p))
			return -1;
		*tail = pair;
		tail = &pair->next;
		if (!skip_op(p, ",") && !is_op(p, "}"))
			return fail(p, "}");
	}
	p->at++;
	return 0;
}

/* ( … ): a tuple when there is a comma or nothing inside. */
static int parse_paren(struct jn **out, struct parser *p)
{
	struct jn *tuple;

	if (!is_op(p, ")")) {
		if (parse_expr(out, p))
			return -1;
		if (skip_op(p, ")"))
			return 0;
		if (!skip_op(p, ","))
			return fail(p, ")");
	} else {
		*out = NULL;
	}
	if (node(&tuple, p, JN_LIST))
		return -1;
	tuple->flag = true;
	tuple->args = *out;
	*out = tuple;
	return elements(tuple->args ? &tuple->args->next : &tuple->args, p, ")");
}

static int parse_primary(struct jn **out, struct parser *p)
{
	static const struct {
		const char *word;
		enum jv_type type;
		bool b;
	} words[] = { { "true", JV_BOOL, true },   { "True", JV_BOOL, true },
		      { "false", JV_BOOL, false }, { "False", JV_BOOL, false },
		      { "none", JV_NONE, false },  { "None", JV_NONE, false } };

	if (p->at->kind == JT_STRING)
		return string(out, p);
	if (p->at->kind == JT_INT || p->at->kind == JT_FLOAT)
		return number(out, p);
	if (p->at->kind == JT_NAME) {
		for (size_t i = 0; i < sizeof words / sizeof *words; i++)
			if (is_name(p, words[i].word)) {
				if (node(out, p, JN_CONST))
					return -1;
				(*out)->value =
					words[i].type == JV_BOOL ? jv_bool(words[i].b) : jv_none();
				p->at++;
				return 0;
			}
		p->at++;
		return name_node(out, p, p->at[-1].s);
	}
	if (skip_op(p, "("))
		return parse_paren(out, p);
	if (skip_op(p, "["))
		return node(out, p, JN_LIST) || elements(&(*out)->args, p, "]") ? -1 : 0;
	if (skip_op(p, "{"))
		return parse_dict(out, p);
	return fail(p, "an expression");
}

/* Arguments up to ")": values, then name=value. */
static int arguments(struct jn **tail, struct parser *p)
{
	size_t n = 0;

	while (!is_op(p, ")")) {
		if (++n > JINJA_MAX_ARGS)
			return fail(p, "at most 64 arguments");
		if (p->at->kind == JT_NAME && p->at[1].kind == JT_OP && str_is(p->at[1].s, "=")) {
			if (node(tail, p, JN_KEYWORD))
				return -1;
			(*tail)->s = p->at->s;
			p->at += 2;
			if (parse_expr(&(*tail)->a, p))
				return -1;
		} else if (is_op(p, "*") || is_op(p, "**")) {
			return fail(p, "an argument (* and ** are not supported)");
		} else if (parse_expr(tail, p)) {
			return -1;
		}
		tail = &(*tail)->next;
		if (!skip_op(p, ",") && !is_op(p, ")"))
			return fail(p, ")");
	}
	p->at++;
	return 0;
}

/* [ … ]: an index or a slice. */
static int subscript(struct jn **n, struct parser *p)
{
	struct jn *s;

	if (node(&s, p, JN_ITEM))
		return -1;
	s->a = *n;
	*n = s;
	if (!is_op(p, ":") && parse_expr(&s->b, p))
		return -1;
	if (skip_op(p, "]"))
		return 0;
	if (want_op(p, ":"))
		return -1;
	s->type = JN_SLICE;
	if (!is_op(p, ":") && !is_op(p, "]") && parse_expr(&s->c, p))
		return -1;
	if (skip_op(p, ":") && !is_op(p, "]") && parse_expr(&s->other, p))
		return -1;
	return want_op(p, "]");
}

static int call(struct jn **n, struct parser *p)
{
	struct jn *c;

	if (node(&c, p, JN_CALL))
		return -1;
	c->a = *n;
	*n = c;
	return arguments(&c->args, p);
}

/* .name, .0, [ … ] and ( … ) behind a value. */
static int parse_postfix(struct jn **n, struct parser *p)
{
	for (;;) {
		if (skip_op(p, ".")) {
			struct jn *dot;
			bool index = p->at->kind == JT_INT;

			if (p->at->kind != JT_NAME && !index)
				return fail(p, "a name");
			if (node(&dot, p, index ? JN_ITEM : JN_ATTR))
				return -1;
			dot->a = *n;
			*n = dot;
			dot->s = p->at->s;
			if (!index)
				p->at++;
			else if (number(&dot->b, p))
				return -1;
		} else if (skip_op(p, "[")) {
			if (subscript(n, p))
				return -1;
		} else if (skip_op(p, "(")) {
			if (call(n, p))
				return -1;
		} else {
			return 0;
		}
	}
}

/* | name(…) behind a value; *n NULL means the text of a block. */
static int filter(struct jn **n, struct parser *p)
{
	struct jn *f;

	if (node(&f, p, JN_FILTER) || want_name(&f->s, p))
		return -1;
	f->a = *n;
	*n = f;
	return skip_op(p, "(") ? arguments(&f->args, p) : 0;
}

/* is [not] name [argument] */
static int test(struct jn **n, struct parser *p)
{
	static const char *const not_arg[] = { "else", "or", "and", "is", "if", "in", "not" };
	bool not = skip_name(p, "not"), arg;
	struct jn *t;

	if (node(&t, p, JN_TEST) || want_name(&t->s, p))
		return -1;
	t->a = *n;
	*n = t;
	if (skip_op(p, "(")) {
		if (arguments(&t->args, p))
			return -1;
	} else {
		arg = p->at->kind == JT_NAME || p->at->kind == JT_STRING || p->at->kind == JT_INT ||
		      p->at->kind == JT_FLOAT || is_op(p, "[") || is_op(p, "{");
		for (size_t i = 0; arg && i < sizeof not_arg / sizeof *not_arg; i++)
			arg = !is_name(p, not_arg[i]);
		if (arg && (parse_primary(&t->args, p) || parse_postfix(&t->args, p)))
			return -1;
	}
	if (not ) {
		if (node(n, p, JN_NOT))
			return -1;
		(*n)->a = t;
	}
	return 0;
}

static int parse_filters(struct jn **n, struct parser *p)
{
	for (;;)
		if (skip_op(p, "|")) {
			if (filter(n, p))
				return -1;
		} else if (skip_name(p, "is")) {
			if (test(n, p))
				return -1;
		} else if (skip_op(p, "(")) {
			if (call(n, p))
				return -1;
		} else {
			return 0;
		}
}

static int parse_unary(struct jn **out, struct parser *p, bool with_filter)
{
	bool neg = is_op(p, "-");

	if (deeper(p))
		return -1;
	if (neg || is_op(p, "+")) {
		if (node(out, p, neg ? JN_NEG : JN_POS))
			return -1;
		p->at++;
		if (parse_unary(&(*out)->a, p, false))
			return -1;
	} else if (parse_primary(out, p)) {
		return -1;
	}
	p->nest--;
	if (parse_postfix(out, p))
		return -1;
	return with_filter ? parse_filters(out, p) : 0;
}

static int parse_factor(struct jn **out, struct parser *p)
{
	return parse_unary(out, p, true);
}

static int parse_pow(struct jn **out, struct parser *p)
{
	if (parse_factor(out, p))
		return -1;
	while (is_op(p, "**"))
		if (binary(out, p, JN_BINARY, JO_POW, parse_factor))
			return -1;
	return 0;
}

static int parse_product(struct jn **out, struct parser *p)
{
	static const struct {
		const char *word;
		enum jop op;
	} ops[] = { { "*", JO_MUL }, { "/", JO_DIV }, { "//", JO_FLOORDIV }, { "%", JO_MOD } };

	if (parse_pow(out, p))
		return -1;
	for (size_t i = 0; i < 4; i++)
		if (is_op(p, ops[i].word)) {
			if (binary(out, p, JN_BINARY, ops[i].op, parse_pow))
				return -1;
			i = (size_t)-1;
		}
	return 0;
}

static int parse_concat(struct jn **out, struct parser *p)
{
	if (parse_product(out, p))
		return -1;
	while (is_op(p, "~"))
		if (binary(out, p, JN_BINARY, JO_CONCAT, parse_product))
			return -1;
	return 0;
}

static int parse_sum(struct jn **out, struct parser *p)
{
	if (parse_concat(out, p))
		return -1;
	while (is_op(p, "+") || is_op(p, "-"))
		if (binary(out, p, JN_BINARY, is_op(p, "+") ? JO_ADD : JO_SUB, parse_concat))
			return -1;
	return 0;
}

/* The comparison that stands here; *words: how many tokens it takes. */
static bool comparison(enum jop *op, unsigned *words, const struct parser *p)
{
	static const struct {
		const char *word;
		enum jop op;
	} ops[] = { { "==", JO_EQ }, { "!=", JO_NE }, { "<", JO_LT },
		    { "<=", JO_LE }, { ">", JO_GT },  { ">=", JO_GE } };

	*words = 1;
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		if (is_op(p, ops[i].word)) {
			*op = ops[i].op;
			return true;
		}
	*op = JO_IN;
	if (is_name(p, "in"))
		return true;
	*op = JO_NOT_IN;
	*words = 2;
	return is_name(p, "not") && p->at[1].kind == JT_NAME && str_is(p->at[1].s, "in");
}

/* a < b < c means a < b and b < c. */
static int parse_compare(struct jn **out, struct parser *p)
{
	struct jn *left, *n, *both;
	unsigned words;
	enum jop op;

	if (parse_sum(out, p))
		return -1;
	left = *out;
	for (bool first = true; comparison(&op, &words, p); first = false) {
		if (node(&n, p, JN_COMPARE))
			return -1;
		p->at += words;
		n->op = op;
		n->a = left;
		if (parse_sum(&n->b, p))
			return -1;
		left = n->b;
		if (first) {
			*out = n;
			continue;
		}
		if (node(&both, p, JN_AND))
			return -1;
		both->a = *out;
		both->b = n;
		*out = both;
	}
	return 0;
}

static int parse_not(struct jn **out, struct parser *p)
{
	if (!is_name(p, "not"))
		return parse_compare(out, p);
	if (deeper(p) || node(out, p, JN_NOT))
		return -1;
	p->at++;
	if (parse_not(&(*out)->a, p))
		return -1;
	p->nest--;
	return 0;
}

static int parse_and(struct jn **out, struct parser *p)
{
	if (parse_not(out, p))
		return -1;
	while (is_name(p, "and"))
		if (binary(out, p, JN_AND, 0, parse_not))
			return -1;
	return 0;
}

static int parse_or(struct jn **out, struct parser *p)
{
	if (parse_and(out, p))
		return -1;
	while (is_name(p, "or"))
		if (binary(out, p, JN_OR, 0, parse_and))
			return -1;
	return 0;
}

/* value [if condition [else value]] */
static int parse_expr(struct jn **out, struct parser *p)
{
	struct jn *n;

	if (deeper(p) || parse_or(out, p))
		return -1;
	while (is_name(p, "if")) {
		if (node(&n, p, JN_COND))
			return -1;
		p->at++;
		n->a = *out;
		*out = n;
		if (parse_or(&n->b, p))
			return -1;
		if (skip_name(p, "else") && parse_expr(&n->c, p))
			return -1;
	}
	p->nest--;
	return 0;
}

/* One expression, or several with commas: a tuple. */
static int parse_tuple(struct jn **out, struct parser *p, int (*one)(struct jn **, struct parser *))
{
	struct jn *tuple, **tail;

	if (one(out, p))
		return -1;
	if (!is_op(p, ","))
		return 0;
	if (node(&tuple, p, JN_LIST))
		return -1;
	tuple->flag = true;
	tuple->args = *out;
	tail = &tuple->args->next;
	*out = tuple;
	while (skip_op(p, ",")) {
		if (p->at->kind == JT_TAG_END || p->at->kind == JT_OUT_END)
			break;
		if (one(tail, p))
			return -1;
		tail = &(*tail)->next;
	}
	return 0;
}

/* ---- statements ---------------------------------------------------------------------------- */

/* What is assigned to: a, or a, b, or (a, b) as one; of `set` also ns.a. */
static int targets(struct jn **tail, struct parser *p, bool attr)
{
	do {
		struct str name;
		struct jn *dot;

		if (skip_op(p, "(")) {
			if (deeper(p) || node(tail, p, JN_LIST) ||
			    targets(&(*tail)->args, p, attr) || want_op(p, ")"))
				return -1;
			p->nest--;
		} else if (want_name(&name, p) || name_node(tail, p, name)) {
			return -1;
		} else if (attr && skip_op(p, ".")) {
			if (node(&dot, p, JN_ATTR) || want_name(&dot->s, p))
				return -1;
			dot->a = *tail;
			*tail = dot;
		}
		tail = &(*tail)->next;
	} while (skip_op(p, ",") && !is_name(p, "in") && !is_op(p, "=") && !is_op(p, ")"));
	return 0;
}

static int parse_for(struct jn *n, struct parser *p)
{
	static const char *const ends[] = { "else", "endfor", NULL }, *const end[] = { "endfor",
										       NULL };

	n->type = JN_FOR;
	if (targets(&n->args, p, false))
		return -1;
	if (!skip_name(p, "in"))
		return fail(p, "in");
	if (parse_tuple(&n->a, p, parse_or))
		return -1;
	if (skip_name(p, "if") && parse_expr(&n->b, p))
		return -1;
	n->flag = skip_name(p, "recursive");
	p->loops++;
	if (want_end(p) || parse_body(&n->body, p, ends))
		return -1;
	p->loops--;
	if (skip_name(p, "else"))
		return want_end(p) || parse_body(&n->other, p, end) ? -1 : (p->at++, 0);
	p->at++;
	return 0;
}

/* Branches hang on `other`; the last one may have no condition. */
static int parse_if(struct jn *n, struct parser *p)
{
	static const char *const ends[] = { "elif", "else", "endif", NULL }, *const end[] = {
		"endif", NULL
	};

	n->type = JN_IF;
	for (;;) {
		if (parse_expr(&n->a, p) || want_end(p) || parse_body(&n->body, p, ends))
			return -1;
		if (skip_name(p, "endif"))
			return 0;
		if (node(&n->other, p, JN_IF))
			return -1;
		n = n->other;
		if (skip_name(p, "elif"))
			continue;
		p->at++; /* else */
		if (want_end(p) || parse_body(&n->body, p, end))
			return -1;
		p->at++;
		return 0;
	}
}

static int parse_set(struct jn *n, struct parser *p)
{
	static const char *const end[] = { "endset", NULL };

	n->type = JN_SET;
	if (targets(&n->args, p, true))
		return -1;
	if (skip_op(p, "="))
		return parse_tuple(&n->a, p, parse_expr);
	n->type = JN_SET_BLOCK;
	while (skip_op(p, "|"))
		if (filter(&n->b, p))
			return -1;
	if (n->args->next || want_end(p) || parse_body(&n->body, p, end))
		return n->args->next ? fail(p, "=") : -1;
	p->at++;
	return 0;
}

/* (a, b=1): names with their defaults. */
static int parameters(struct jn **tail, struct parser *p)
{
	size_t n = 0;

	if (want_op(p, "("))
		return -1;
	while (!is_op(p, ")")) {
		struct str name;

		if (++n > JINJA_MAX_ARGS)
			return fail(p, "at most 64 parameters");
		if (want_name(&name, p) || name_node(tail, p, name))
			return -1;
		if (skip_op(p, "=") && parse_expr(&(*tail)->a, p))
			return -1;
		tail = &(*tail)->next;
		if (!skip_op(p, ",") && !is_op(p, ")"))
			return fail(p, ")");
	}
	p->at++;
	return 0;
}

static int macro_body(struct jn *n, struct parser *p, const char *const *end)
{
	unsigned loops = p->loops;

	p->loops = 0;
	if (want_end(p) || parse_body(&n->body, p, end))
		return -1;
	p->loops = loops;
	p->at++;
	return 0;
}

static int parse_macro(struct jn *n, struct parser *p)
{
	static const char *const end[] = { "endmacro", NULL };

	n->type = JN_MACRO;
	if (want_name(&n->s, p) || intern(&n->sym, p, n->s) || parameters(&n->args, p) ||
	    macro_body(n, p, end))
		return -1;
	return 0;
}

static int parse_call(struct jn *n, struct parser *p)
{
	static const char *const end[] = { "endcall", NULL };

	n->type = JN_CALL_BLOCK;
	n->s = STR("caller");
	if (intern(&n->sym, p, n->s) || (is_op(p, "(") && parameters(&n->args, p)) ||
	    parse_expr(&n->a, p))
		return -1;
	if (n->a->type != JN_CALL)
		return fail(p, "a call of a macro");
	return macro_body(n, p, end);
}

static int parse_filter_block(struct jn *n, struct parser *p)
{
	static const char *const end[] = { "endfilter", NULL };

	n->type = JN_FILTER_BLOCK;
	do {
		if (filter(&n->b, p))
			return -1;
	} while (skip_op(p, "|"));
	if (want_end(p) || parse_body(&n->body, p, end))
		return -1;
	p->at++;
	return 0;
}

/* {% generation %}: what a model wrote; marks text for training, here only a scope. */
static int parse_generation(struct jn *n, struct parser *p)
{
	static const char *const end[] = { "endgeneration", NULL };

	n->type = JN_SCOPE;
	if (want_end(p) || parse_body(&n->body, p, end))
		return -1;
	p->at++;
	return 0;
}

static int parse_break(struct jn *n, struct parser *p)
{
	n->type = str_is(p->at[-1].s, "break") ? JN_BREAK : JN_CONTINUE;
	return p->loops ? 0 : fail_at(p, n->line, "outside of a loop: ", p->at[-1].s);
}

/* Behind "{%". */
static int parse_statement(struct jn **out, struct parser *p)
{
	static const struct {
		const char *word;
		int (*parse)(struct jn *, struct parser *);
	} words[] = { { "for", parse_for },
		      { "if", parse_if },
		      { "set", parse_set },
		      { "macro", parse_macro },
		      { "call", parse_call },
		      { "filter", parse_filter_block },
		      { "break", parse_break },
		      { "continue", parse_break },
		      { "generation", parse_generation } };
	struct str word;

	if (node(out, p, JN_SCOPE) || deeper(p) || want_name(&word, p))
		return -1;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (str_is(word, words[i].word)) {
			if (words[i].parse(*out, p))
				return -1;
			p->nest--;
			return want_end(p);
		}
	return fail_at(p, p->at[-1].line, "unknown tag ", word);
}

/* Text, {{ }} and tags up to one of the names in `ends` (p->at is then on it), or to the end when
 * ends is NULL. */
static int parse_body(struct jn **out, struct parser *p, const char *const *ends)
{
	const uint32_t line = p->at->line;

	for (;; out = &(*out)->next) {
		switch (p->at->kind) {
		case JT_TEXT:
			if (node(out, p, JN_TEXT))
				return -1;
			(*out)->s = p->at++->s;
			break;
		case JT_OUT_BEGIN:
			if (node(out, p, JN_OUT))
				return -1;
			p->at++;
			if (parse_tuple(&(*out)->a, p, parse_expr))
				return -1;
			if (p->at->kind != JT_OUT_END)
				return fail(p, "}}");
			p->at++;
			break;
		case JT_TAG_BEGIN:
			p->at++;
			for (size_t i = 0; ends && ends[i]; i++)
				if (is_name(p, ends[i]))
					return 0;
			if (parse_statement(out, p))
				return -1;
			break;
		default:
			if (!ends)
				return 0;
			return err_set(p->e, ERR_USAGE, "line %u: the block has no {%% %s %%}",
				       line,
				       ends[1] && ends[2] ? ends[2]
				       : ends[1]          ? ends[1]
							  : ends[0]);
		}
	}
}

int jinja_parse(struct tok_tmpl *t, const struct jtoks *toks, struct err *e)
{
	struct parser p = { t, toks->v, 0, 0, e };
	uint32_t loop;

	if (intern(&loop, &p, STR("loop"))) /* JINJA_SYM_LOOP */
		return -1;
	return parse_body(&t->body, &p, NULL);
}
