/* Edits of one object: what is not named keeps its bytes. */
#include "config.h"
#include "json/json_impl.h"

void json_edit_init(struct json_edit *ed)
{
	ed->n = 0;
}

static int add(struct json_edit *ed, struct str name, struct str value, bool remove, struct err *e)
{
	size_t i = 0;

	while (i < ed->n && !str_eq(ed->set[i].name, name))
		i++;
	if (i == JSON_EDIT_MAX)
		return err_set(e, ERR_INTERNAL, "more than %d changes to a record", JSON_EDIT_MAX);
	ed->set[i].name = name;
	ed->set[i].value = value;
	ed->set[i].remove = remove;
	ed->n += i == ed->n;
	return 0;
}

int json_edit_set(struct json_edit *ed, struct str name, struct str raw_value, struct err *e)
{
	return add(ed, name, raw_value, false, e);
}

int json_edit_remove(struct json_edit *ed, struct str name, struct err *e)
{
	return add(ed, name, (struct str){ NULL, 0 }, true, e);
}

/* Which change names this member; ed->n for none. */
static size_t which(const struct json_edit *ed, struct str raw_key)
{
	size_t i = 0;

	while (i < ed->n && !json_key_is(raw_key, ed->set[i].name))
		i++;
	return i;
}

static void append(struct buf *out, const struct json_edit *ed, const struct json_val *found,
		   bool empty)
{
	struct json_w w = { out, !empty };

	for (size_t i = 0; i < ed->n; i++)
		if (!ed->set[i].remove && found[i].type == JSON_NONE) {
			json_w_key_str(&w, ed->set[i].name);
			json_w_raw(&w, ed->set[i].value);
		}
}

/* The members of an object, out of a table or found again. */
struct members {
	const struct json_member *m, *end;
	struct json_iter it;
};

static bool next(struct json_member *out, struct members *ms)
{
	if (!ms->m)
		return json_next_member(&out->key, &out->val, &ms->it);
	if (ms->m == ms->end)
		return false;
	*out = *ms->m++;
	return true;
}

static void put_to(struct buf *out, const char **done, const char *to)
{
	buf_add(out, *done, (size_t)(to - *done));
	*done = to;
}

/*
 * Runs of what stays are copied at once: all before `done` is out. Of a member that is removed the
 * comma goes too: the one behind it while no member was kept, else the one before it.
 */
static int put(struct buf *out, struct json_val obj, struct members ms, const struct json_edit *ed,
	       struct err *e)
{
	struct json_val found[JSON_EDIT_MAX] = { 0 };
	const char *done = obj.raw.p, *end = done + obj.raw.n,
		   *kept = done + 1; /* end of the last member kept */
	struct members again = ms;
	struct json_member x;
	bool cut = false, empty = true; /* the last member was removed; none was kept */

	while (next(&x, &again)) {
		size_t i = which(ed, x.key);

		if (i < ed->n)
			found[i] = x.val;
	}
	buf_grow(out, obj.raw.n); /* most of what will be needed */
	while (next(&x, &ms)) {
		size_t i = which(ed, x.key);

		if (i < ed->n && ed->set[i].remove) {
			if (!cut)
				put_to(out, &done, empty ? x.key.p - 1 : kept);
			done = x.val.raw.p + x.val.raw.n;
			cut = true;
			continue;
		}
		if (cut && empty)
			done = x.key.p - 1;
		cut = empty = false;
		kept = x.val.raw.p + x.val.raw.n;
		if (i < ed->n && found[i].raw.p == x.val.raw.p) {
			put_to(out, &done, x.val.raw.p);
			buf_adds(out, ed->set[i].value);
			done = kept;
		}
	}
	if (!cut)
		put_to(out, &done, kept);
	append(out, ed, found, empty);
	put_to(out, &done, end);
	return buf_check(out, e);
}

int json_edit_put(struct buf *out, struct json_val obj, const struct json_edit *ed, struct err *e)
{
	if (obj.type != JSON_OBJECT)
		return json_wrong_type(obj, "an object", e);
	return put(out, obj, (struct members){ NULL, NULL, json_iter(obj) }, ed, e);
}

int json_edit_put_members(struct buf *out, struct json_val obj, const struct json_member *m,
			  size_t n, const struct json_edit *ed, struct err *e)
{
	if (obj.type != JSON_OBJECT)
		return json_wrong_type(obj, "an object", e);
	return put(out, obj, (struct members){ m, m + n, { NULL, NULL } }, ed, e);
}
