/* jinja_eval: statements and expressions of a template over values. */
#include "config.h"
#include "tok/jinja_impl.h"

static int eval(struct jv *out, struct jinja *j, const struct jn *n);

/* ---- names --------------------------------------------------------------------------------- */

static int push_scope(struct jinja *j, struct jscope *up)
{
	struct jscope *s = jinja_alloc(j, 1, sizeof *s);

	if (!s)
		return -1;
	*s = (struct jscope){ NULL, up };
	j->scope = s;
	return 0;
}

static int bind(struct jinja *j, uint32_t sym, struct jv v)
{
	struct jvar *x;

	for (x = j->scope->vars; x; x = x->next)
		if (x->sym == sym) {
			x->v = v;
			return 0;
		}
	x = jinja_alloc(j, 1, sizeof *x);
	if (!x)
		return -1;
	*x = (struct jvar){ sym, v, j->scope->vars };
	j->scope->vars = x;
	return 0;
}

/* A variable of the caller, else a global function. */
static int load_global(struct jv *out, struct jinja *j, uint32_t sym)
{
	struct str name = j->t->syms[sym];
	char z[128];

	if (j->known[sym]) {
		*out = j->globals[sym];
		return 0;
	}
	*out = jv_undef(name);
	if (name.n < sizeof z) {
		const struct json_val from[3] = { j->trusted, j->more, j->vars };
		struct json_val v = { .type = JSON_NONE };
		size_t i = 0;

		memcpy(z, name.p, name.n);
		z[name.n] = 0;
		while (i < 3 && (v = json_get(from[i], z)).type == JSON_NONE)
			i++;
		if (v.type != JSON_NONE) {
			if (jv_from_json(out, j, v, i > 0))
				return -1;
		} else if (jinja_is_global(name)) {
			*out = (struct jv){ .type = JV_FUNC, .s = name };
		}
	}
	j->globals[sym] = *out;
	j->known[sym] = true;
	return 0;
}

static int lookup(struct jv *out, struct jinja *j, uint32_t sym)
{
	for (struct jscope *s = j->scope; s; s = s->up)
		for (struct jvar *x = s->vars; x; x = x->next)
			if (x->sym == sym) {
				*out = x->v;
				return 0;
			}
	return load_global(out, j, sym);
}

/* ---- attributes and items ------------------------------------------------------------------ */

static int loop_attr(struct jv *out, struct jinja *j, struct jv v, struct str name)
{
	struct jloop *l = v.loop;
	int64_t i = (int64_t)l->i, n = (int64_t)l->n;
	struct jv *near = NULL;

	if (str_is(name, "previtem") || str_is(name, "nextitem")) {
		if (*name.p == 'p' ? i > 0 : i + 1 < n)
			near = &l->items->v[*name.p == 'p' ? i - 1 : i + 1];
		*out = jv_undef(name);
		if (!near || jv_load(j, near))
			return near ? -1 : 0;
		*out = *near;
	} else if (str_is(name, "first") || str_is(name, "last")) {
		*out = jv_bool(*name.p == 'f' ? !i : i + 1 == n);
	} else if (str_is(name, "cycle") || str_is(name, "changed")) {
		struct jv *self = jinja_alloc(j, 1, sizeof *self);

		if (!self)
			return -1;
		*self = v;
		*out = (struct jv){ .type = JV_METHOD, .self = self, .s = name };
	} else {
		int64_t x = str_is(name, "index")       ? i + 1
			    : str_is(name, "index0")    ? i
			    : str_is(name, "revindex")  ? n - i
			    : str_is(name, "revindex0") ? n - i - 1
			    : str_is(name, "length")    ? n
			    : str_is(name, "depth")     ? (int64_t)l->depth + 1
			    : str_is(name, "depth0")    ? (int64_t)l->depth
							: -1;

		*out = x < 0 ? jv_undef(name) : jv_int(x);
	}
	return 0;
}

int jinja_attr(struct jv *out, struct jinja *j, struct jv v, struct str name)
{
	struct jv *at = NULL;

	if (v.type == JV_UNDEF)
		return jinja_fail(j, "'" STR_FMT "' is undefined, and has no '" STR_FMT "'",
				  STR_ARG(v.s), STR_ARG(name));
	if (v.type == JV_LOOP)
		return loop_attr(out, j, v, name);
	if (jinja_has_method(v, name)) {
		struct jv *self = jinja_alloc(j, 1, sizeof *self);

		if (!self)
			return -1;
		*self = v;
		*out = (struct jv){ .type = JV_METHOD, .self = self, .s = name };
		return 0;
	}
	if (v.type == JV_DICT || v.type == JV_NAMESPACE)
		at = jv_find(j, v, name);
	if (at && jv_load(j, at))
		return -1;
	*out = at ? *at : jv_undef(name);
	return 0;
}

/* Place of a Python index in n elements; false when outside. */
static bool index_in(size_t *out, int64_t i, size_t n)
{
	if (i < 0)
		i += (int64_t)n;
	*out = (size_t)i;
	return i >= 0 && (size_t)i < n;
}

int jinja_item(struct jv *out, struct jinja *j, struct jv v, struct jv key)
{
	struct jv *at = NULL, items;
	size_t i;

	*out = jv_undef(key.type == JV_STR ? key.s : STR("an item"));
	if (v.type == JV_UNDEF)
		return jinja_fail(j, "'" STR_FMT "' is undefined, and has no items", STR_ARG(v.s));
	if (v.type == JV_DICT) {
		at = jv_find_key(j, v, key);
	} else if (key.type == JV_INT && v.type == JV_LIST) {
		at = index_in(&i, key.i, v.list->n) ? &v.list->v[i] : NULL;
	} else if (key.type == JV_INT && v.type == JV_STR) {
		if (jv_items(&items, j, v))
			return -1;
		at = index_in(&i, key.i, items.list->n) ? &items.list->v[i] : NULL;
	}
	if (at) {
		if (jv_load(j, at))
			return -1;
		*out = *at;
		return 0;
	}
	return key.type == JV_STR ? jinja_attr(out, j, v, key.s) : 0;
}

/* ---- calls --------------------------------------------------------------------------------- */

static int eval_args(struct jargs *out, struct jinja *j, const struct jn *list)
{
	size_t n = 0, n_kw = 0;

	*out = (struct jargs){ 0 };
	for (const struct jn *x = list; x; x = x->next)
		x->type == JN_KEYWORD ? n_kw++ : n++;
	out->v = n ? jinja_alloc(j, n, sizeof *out->v) : NULL;
	out->kw = n_kw ? jinja_alloc(j, n_kw, sizeof *out->kw) : NULL;
	if ((n && !out->v) || (n_kw && !out->kw))
		return -1;
	for (const struct jn *x = list; x; x = x->next) {
		if (x->type != JN_KEYWORD) {
			if (eval(&out->v[out->n++], j, x))
				return -1;
			continue;
		}
		if (!out->kw) /* not with a count above 0 */
			return -1;
		out->kw[out->n_kw].name = x->s;
		if (eval(&out->kw[out->n_kw++].v, j, x->a))
			return -1;
	}
	return 0;
}

static int bind_params(struct jinja *j, const struct jmacro *m, const struct jargs *args)
{
	size_t i = 0, used = 0;

	for (const struct jn *p = m->node->args; p; p = p->next, i++) {
		const struct jv *v = i < args->n ? &args->v[i] : NULL;
		struct jv value = jv_undef(p->s);

		for (size_t k = 0; k < args->n_kw; k++)
			if (str_eq(args->kw[k].name, p->s)) {
				if (v)
					return jinja_fail(j,
							  "argument '" STR_FMT "' is given twice",
							  STR_ARG(p->s));
				v = &args->kw[k].v;
				used++;
			}
		if (!v && p->a && eval(&value, j, p->a))
			return -1;
		if (bind(j, p->sym, v ? *v : value))
			return -1;
	}
	if (args->n > i)
		return jinja_fail(j, "macro '" STR_FMT "' takes at most %zu arguments",
				  STR_ARG(m->node->s), i);
	if (used < args->n_kw)
		return jinja_fail(j, "macro '" STR_FMT "' got an argument that it does not know",
				  STR_ARG(m->node->s));
	return 0;
}

/* The text that a macro makes. caller: of a call block, or NULL. */
static int call_macro(struct jv *out, struct jinja *j, const struct jmacro *m,
		      const struct jargs *args, const struct jmacro *caller, uint32_t caller_sym)
{
	struct jscope *saved = j->scope;
	struct jmark mark = jinja_capture(j);

	if (++j->depth > JINJA_MAX_DEPTH)
		return jinja_fail(j, "nested too deeply (endless recursion?)");
	if (push_scope(j, m->scope) ||
	    (caller && bind(j, caller_sym, (struct jv){ .type = JV_MACRO, .macro = caller })) ||
	    bind_params(j, m, args) || jinja_body(j, m->node->body) || jinja_captured(out, j, mark))
		return -1;
	j->depth--;
	j->flow = JF_NONE;
	j->scope = saved;
	return 0;
}

static int run_loop(struct jinja *j, const struct jn *n, struct jv items, struct jscope *up,
		    size_t depth);

static int call_loop(struct jv *out, struct jinja *j, const struct jloop *l,
		     const struct jargs *args)
{
	struct jscope *saved = j->scope;
	struct jmark mark = jinja_capture(j);
	struct jv items;

	if (!l->node->flag)
		return jinja_fail(j, "loop() needs {%% for … recursive %%}");
	if (args->n != 1 || ++j->depth > JINJA_MAX_DEPTH)
		return jinja_fail(j, args->n != 1 ? "loop() takes one argument"
						  : "nested too deeply (endless recursion?)");
	if (jv_items(&items, j, args->v[0]) ||
	    run_loop(j, l->node, items, l->scope, l->depth + 1) || jinja_captured(out, j, mark))
		return -1;
	j->depth--;
	j->scope = saved;
	return 0;
}

static int loop_method(struct jv *out, struct jinja *j, struct jloop *l, struct str name,
		       const struct jargs *args)
{
	struct jv seen;
	bool same = false;

	if (str_is(name, "cycle")) {
		if (!args->n)
			return jinja_fail(j, "cycle() needs arguments");
		*out = args->v[l->i % args->n];
		return 0;
	}
	if (jv_list(&seen, j, args->n))
		return -1;
	for (size_t i = 0; i < args->n; i++)
		seen.list->v[seen.list->n++] = args->v[i];
	if (l->changed.type == JV_LIST && jv_eq(&same, j, seen, l->changed))
		return -1;
	l->changed = seen;
	*out = jv_bool(!same);
	return 0;
}

int jinja_call(struct jv *out, struct jinja *j, struct jv f, const struct jargs *args)
{
	switch (f.type) {
	case JV_FUNC:
		return jinja_global(out, j, f.s, args);
	case JV_METHOD:
		if (f.self->type == JV_LOOP)
			return loop_method(out, j, f.self->loop, f.s, args);
		return jinja_method(out, j, *f.self, f.s, args);
	case JV_MACRO:
		return call_macro(out, j, f.macro, args, NULL, 0);
	case JV_LOOP:
		return call_loop(out, j, f.loop, args);
	case JV_UNDEF:
		return jinja_fail(j, "'" STR_FMT "' is undefined and cannot be called",
				  STR_ARG(f.s));
	default:
		return jinja_fail(j, "a value of type '%s' cannot be called", jv_type_name(f));
	}
}

static int eval_call(struct jv *out, struct jinja *j, const struct jn *n)
{
	struct jargs args;
	struct jv f;

	if (n->a->type != JN_ATTR)
		return eval(&f, j, n->a) || eval_args(&args, j, n->args) ||
				       jinja_call(out, j, f, &args)
			       ? -1
			       : 0;
	if (eval(&f, j, n->a->a))
		return -1;
	if (f.type != JV_LOOP && jinja_has_method(f, n->a->s))
		return eval_args(&args, j, n->args) || jinja_method(out, j, f, n->a->s, &args) ? -1
											       : 0;
	if (jinja_attr(&f, j, f, n->a->s))
		return -1;
	if (f.type == JV_UNDEF)
		return jinja_fail(j, "there is no method '" STR_FMT "'", STR_ARG(n->a->s));
	return eval_args(&args, j, n->args) || jinja_call(out, j, f, &args) ? -1 : 0;
}

/* ---- expressions --------------------------------------------------------------------------- */

static int eval_list(struct jv *out, struct jinja *j, const struct jn *n)
{
	struct jv v;

	if (jv_list(out, j, 0))
		return -1;
	out->list->tuple = n->flag;
	for (const struct jn *x = n->args; x; x = x->next)
		if (eval(&v, j, x) || jv_push(j, *out, v))
			return -1;
	return 0;
}

static int eval_dict(struct jv *out, struct jinja *j, const struct jn *n)
{
	struct jv k, v;

	if (jv_dict(out, j, 0))
		return -1;
	for (const struct jn *x = n->args; x; x = x->next) {
		if (eval(&k, j, x->a) || eval(&v, j, x->b))
			return -1;
		if (k.type >= JV_LIST)
			return jinja_fail(j, "a value of type '%s' cannot be a key",
					  jv_type_name(k));
		if (jv_set(j, *out, k, v))
			return -1;
	}
	return 0;
}

static int eval_slice(struct jv *out, struct jinja *j, const struct jn *n)
{
	const struct jn *from[3] = { n->b, n->c, n->other };
	struct jv part[3], v;

	if (eval(&v, j, n->a))
		return -1;
	for (int i = 0; i < 3; i++) {
		part[i] = jv_none();
		if (from[i] && eval(&part[i], j, from[i]))
			return -1;
	}
	return jinja_slice(out, j, v, part);
}

static int eval_compare(struct jv *out, struct jinja *j, const struct jn *n)
{
	struct jv a, b;
	bool yes;
	int c;

	if (eval(&a, j, n->a) || eval(&b, j, n->b))
		return -1;
	switch (n->op) {
	case JO_EQ:
	case JO_NE:
		if (jv_eq(&yes, j, a, b))
			return -1;
		*out = jv_bool(yes == (n->op == JO_EQ));
		return 0;
	case JO_IN:
	case JO_NOT_IN:
		if (jv_in(&yes, j, a, b))
			return -1;
		*out = jv_bool(yes == (n->op == JO_IN));
		return 0;
	default:
		if (jv_cmp(&c, j, a, b))
			return -1;
		*out = jv_bool(n->op == JO_LT   ? c < 0
			       : n->op == JO_LE ? c <= 0
			       : n->op == JO_GT ? c > 0
						: c >= 0);
		return 0;
	}
}

static int eval_sign(struct jv *out, struct jinja *j, const struct jn *n)
{
	if (eval(out, j, n->a))
		return -1;
	if (!jv_is_num(*out))
		return jinja_fail(j, "a value of type '%s' has no sign", jv_type_name(*out));
	return jinja_arith(out, j, n->type == JN_NEG ? JO_SUB : JO_ADD, jv_int(0), *out);
}

static int eval_filter(struct jv *out, struct jinja *j, const struct jn *n)
{
	struct jargs args;
	struct jv v = j->block;

	if ((n->a && eval(&v, j, n->a)) || eval_args(&args, j, n->args))
		return -1;
	j->line = n->line;
	return jinja_filter(out, j, n->s, v, &args);
}

static int eval_test(struct jv *out, struct jinja *j, const struct jn *n)
{
	struct jargs args;
	bool yes;
	struct jv v;

	if (eval(&v, j, n->a) || eval_args(&args, j, n->args))
		return -1;
	j->line = n->line;
	if (jinja_test(&yes, j, n->s, v, &args))
		return -1;
	*out = jv_bool(yes);
	return 0;
}

/* and, or, inline if: what is not needed is not evaluated. */
static int eval_logic(struct jv *out, struct jinja *j, const struct jn *n)
{
	struct jv v;

	if (n->type == JN_COND) {
		*out = jv_undef(STR("the missing else"));
		if (eval(&v, j, n->b))
			return -1;
		return jv_true(v) ? eval(out, j, n->a) : n->c ? eval(out, j, n->c) : 0;
	}
	if (eval(out, j, n->a))
		return -1;
	return jv_true(*out) == (n->type == JN_AND) ? eval(out, j, n->b) : 0;
}

static int eval_node(struct jv *out, struct jinja *j, const struct jn *n)
{
	struct jv a, b;

	switch (n->type) {
	case JN_CONST:
		*out = n->value;
		return 0;
	case JN_NAME:
		return lookup(out, j, n->sym);
	case JN_LIST:
		return eval_list(out, j, n);
	case JN_DICT:
		return eval_dict(out, j, n);
	case JN_ATTR:
		return eval(&a, j, n->a) || jinja_attr(out, j, a, n->s) ? -1 : 0;
	case JN_ITEM:
		return eval(&a, j, n->a) || eval(&b, j, n->b) || jinja_item(out, j, a, b) ? -1 : 0;
	case JN_SLICE:
		return eval_slice(out, j, n);
	case JN_CALL:
		return eval_call(out, j, n);
	case JN_FILTER:
		return eval_filter(out, j, n);
	case JN_TEST:
		return eval_test(out, j, n);
	case JN_NEG:
	case JN_POS:
		return eval_sign(out, j, n);
	case JN_NOT:
		if (eval(&a, j, n->a))
			return -1;
		*out = jv_bool(!jv_true(a));
		return 0;
	case JN_AND:
	case JN_OR:
	case JN_COND:
		return eval_logic(out, j, n);
	case JN_BINARY:
		return eval(&a, j, n->a) || eval(&b, j, n->b) || jinja_arith(out, j, n->op, a, b)
			       ? -1
			       : 0;
	case JN_COMPARE:
		return eval_compare(out, j, n);
	default:
		return jinja_fail(j, "not an expression");
	}
}

static int eval(struct jv *out, struct jinja *j, const struct jn *n)
{
	j->line = n->line;
	if (jinja_step(j, 1))
		return -1;
	if (++j->depth > JINJA_MAX_DEPTH)
		return jinja_fail(j, "nested too deeply (endless recursion?)");
	if (eval_node(out, j, n))
		return -1;
	j->depth--;
	return 0;
}

/* ---- statements ---------------------------------------------------------------------------- */

static int assign_all(struct jinja *j, const struct jn *targets, struct jv v);

/* Assign to one target: a name, a member of a namespace, or (names). */
static int assign(struct jinja *j, const struct jn *target, struct jv v)
{
	struct jv ns;

	if (target->type == JN_NAME)
		return bind(j, target->sym, v);
	if (target->type == JN_LIST)
		return assign_all(j, target->args, v);
	if (eval(&ns, j, target->a))
		return -1;
	if (ns.type != JV_NAMESPACE)
		return jinja_fail(j,
				  "only a namespace() has members that can be set, '" STR_FMT
				  "' is of type '%s'",
				  STR_ARG(target->a->s), jv_type_name(ns));
	return jv_set(j, ns, jv_str(target->s, false), v);
}

/* One target takes the value, several take its elements. */
static int assign_all(struct jinja *j, const struct jn *targets, struct jv v)
{
	size_t n = 0, i = 0;
	struct jv items;

	if (!targets->next)
		return assign(j, targets, v);
	for (const struct jn *t = targets; t; t = t->next)
		n++;
	if (jv_items(&items, j, v))
		return -1;
	if (items.list->n != n)
		return jinja_fail(j, "%zu values for %zu names", items.list->n, n);
	for (const struct jn *t = targets; t; t = t->next, i++)
		if (jv_load(j, &items.list->v[i]) || assign(j, t, items.list->v[i]))
			return -1;
	return 0;
}

/* Items that pass the loop's condition, each bound as in the loop. */
static int filter_items(struct jv *out, struct jinja *j, const struct jn *n, struct jv items,
			struct jscope *up)
{
	struct jv yes;

	if (jv_list(out, j, 0))
		return -1;
	for (size_t i = 0; i < items.list->n; i++) {
		if (jv_load(j, &items.list->v[i]) || push_scope(j, up) ||
		    assign_all(j, n->args, items.list->v[i]) || eval(&yes, j, n->b) ||
		    (jv_true(yes) && jv_push(j, *out, items.list->v[i])))
			return -1;
	}
	j->scope = up;
	return 0;
}

static int run_loop(struct jinja *j, const struct jn *n, struct jv items, struct jscope *up,
		    size_t depth)
{
	struct jloop *l = jinja_alloc(j, 1, sizeof *l);

	if (!l || (n->b && filter_items(&items, j, n, items, up)))
		return -1;
	*l = (struct jloop){ items.list, 0, items.list->n, depth, n, up, jv_none() };
	for (size_t i = 0; i < l->n && i < l->items->n; i++) {
		l->i = i;
		if (jinja_step(j, 1) || jv_load(j, &l->items->v[i]) || push_scope(j, up) ||
		    bind(j, JINJA_SYM_LOOP, (struct jv){ .type = JV_LOOP, .loop = l }) ||
		    assign_all(j, n->args, l->items->v[i]) || jinja_body(j, n->body))
			return -1;
		if (j->flow == JF_BREAK)
			break;
		j->flow = JF_NONE;
	}
	j->flow = JF_NONE;
	j->scope = up;
	if (!l->n && n->other) {
		if (push_scope(j, up) || jinja_body(j, n->other))
			return -1;
		j->scope = up;
	}
	return 0;
}

static int run_for(struct jinja *j, const struct jn *n)
{
	struct jv v, items;

	return eval(&v, j, n->a) || jv_items(&items, j, v) || run_loop(j, n, items, j->scope, 0)
		       ? -1
		       : 0;
}

static int run_if(struct jinja *j, const struct jn *n)
{
	for (; n; n = n->other) {
		struct jv v = jv_bool(true);

		if (n->a && eval(&v, j, n->a))
			return -1;
		if (jv_true(v))
			return jinja_body(j, n->body);
	}
	return 0;
}

/* A body's text as a value, through the filters that hang on n->b. */
static int block_text(struct jv *out, struct jinja *j, const struct jn *n)
{
	struct jscope *saved = j->scope;
	struct jmark m = jinja_capture(j);
	struct jv outer = j->block;

	if (push_scope(j, saved) || jinja_body(j, n->body) || jinja_captured(out, j, m))
		return -1;
	j->scope = saved;
	if (n->b) {
		j->block = *out;
		if (eval(out, j, n->b))
			return -1;
		j->block = outer;
	}
	return 0;
}

static int make_macro(struct jmacro **out, struct jinja *j, const struct jn *n)
{
	*out = jinja_alloc(j, 1, sizeof **out);
	if (!*out)
		return -1;
	**out = (struct jmacro){ n, j->scope };
	return 0;
}

static int run_call_block(struct jinja *j, const struct jn *n)
{
	struct jmacro *caller;
	struct jargs args;
	struct jv f, text;

	if (make_macro(&caller, j, n) || eval(&f, j, n->a->a) || eval_args(&args, j, n->a->args))
		return -1;
	if (f.type != JV_MACRO)
		return jinja_fail(j, "a call block needs a macro, not a value of type '%s'",
				  jv_type_name(f));
	return call_macro(&text, j, f.macro, &args, caller, n->sym) || jinja_out_str(j, text) ? -1
											      : 0;
}

static int run_statement(struct jinja *j, const struct jn *n)
{
	struct jscope *saved = j->scope;
	struct jmacro *m;
	struct jv v;

	switch (n->type) {
	case JN_TEXT:
		return jinja_out(j, n->s, false);
	case JN_OUT:
		return eval(&v, j, n->a) || jinja_out_text(j, v) ? -1 : 0;
	case JN_FOR:
		return run_for(j, n);
	case JN_IF:
		return run_if(j, n);
	case JN_SET:
		return eval(&v, j, n->a) || assign_all(j, n->args, v) ? -1 : 0;
	case JN_SET_BLOCK:
		return block_text(&v, j, n) || assign(j, n->args, v) ? -1 : 0;
	case JN_FILTER_BLOCK:
		return block_text(&v, j, n) || jinja_out_text(j, v) ? -1 : 0;
	case JN_MACRO:
		if (make_macro(&m, j, n))
			return -1;
		return bind(j, n->sym, (struct jv){ .type = JV_MACRO, .macro = m });
	case JN_CALL_BLOCK:
		return run_call_block(j, n);
	case JN_SCOPE:
		if (push_scope(j, saved) || jinja_body(j, n->body))
			return -1;
		j->scope = saved;
		return 0;
	case JN_BREAK:
	case JN_CONTINUE:
		j->flow = n->type == JN_BREAK ? JF_BREAK : JF_CONTINUE;
		return 0;
	default:
		return jinja_fail(j, "not a statement");
	}
}

int jinja_body(struct jinja *j, const struct jn *body)
{
	if (++j->depth > JINJA_MAX_DEPTH)
		return jinja_fail(j, "nested too deeply (endless recursion?)");
	for (const struct jn *n = body; n && j->flow == JF_NONE; n = n->next) {
		j->line = n->line;
		if (jinja_step(j, 1) || run_statement(j, n))
			return -1;
	}
	j->depth--;
	return 0;
}
