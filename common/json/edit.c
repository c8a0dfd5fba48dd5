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

static void append(struct buf *out, const struct json_edit *ed, const struct json_val *found, bool empty)
{
	struct json_w w = { out, !empty };

	for (size_t i = 0; i < ed->n; i++)
		if (!ed->set[i].remove && found[i].type == JSON_NONE) {
			json_w_key_str(&w, ed->set[i].name);
			json_w_raw(&w, ed->set[i].value);
		}
}

int json_edit_put(struct buf *out, struct json_val obj, const struct json_edit *ed, struct err *e)
{
	struct json_val found[JSON_EDIT_MAX] = { 0 }, v;
	struct json_iter it = json_iter(obj);
	const char *end = obj.raw.p + obj.raw.n;
	const char *done; /* all before it is out */
	bool skip = false; /* what lies between `done` and the next member goes too */
	bool empty = true;
	struct str key;

	if (obj.type != JSON_OBJECT)
		return json_wrong_type(obj, "an object", e);
	while (json_next_member(&key, &v, &it)) {
		size_t i = which(ed, key);

		if (i < ed->n)
			found[i] = v;
	}
	done = obj.raw.p;
	for (it = json_iter(obj); json_next_member(&key, &v, &it);) {
		size_t i = which(ed, key);

		if (i < ed->n && ed->set[i].remove) {
			/*
			 * The first members take the comma behind them away, later ones the comma before: the text
			 * up to the last member that stayed is out, the rest waits for the next that stays.
			 */
			if (empty && !skip)
				buf_add(out, done, (size_t)(key.p - 1 - done));
			done = v.raw.p + v.raw.n;
			skip = true;
			continue;
		}
		if (skip && empty)
			done = key.p - 1;
		buf_add(out, done, (size_t)(v.raw.p - done));
		buf_adds(out, i < ed->n && found[i].raw.p == v.raw.p ? ed->set[i].value : v.raw);
		done = v.raw.p + v.raw.n;
		skip = false;
		empty = false;
	}
	if (done == obj.raw.p)
		buf_addc(out, *done++);
	append(out, ed, found, empty);
	buf_add(out, done, (size_t)(end - done));
	return buf_check(out, e);
}
