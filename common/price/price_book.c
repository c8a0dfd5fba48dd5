/* price_book: files of prices into memory, and what is wrong with them. */
#include "config.h"
#include "price/price_impl.h"
#include "os/os.h"
#include <unistd.h>

#define BOOK_MAX ((size_t)64 << 20)

int price_book_new(struct price_book **out, struct err *e)
{
	struct price_book *b = calloc(1, sizeof *b);

	if (!b)
		return err_nomem(e);
	arena_init(&b->arena, (size_t)1 << 30);
	map_init(&b->names, true);
	*out = b;
	return 0;
}

void price_book_free(struct price_book *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n_models; i++)
		free(b->models[i]->lines);
	free(b->prefixes);
	free(b->models);
	free(b->lines);
	map_release(&b->names);
	arena_release(&b->arena);
	free(b);
}

int price_grow(void *array, size_t n, size_t *cap, size_t size, struct err *e)
{
	size_t want = *cap ? 2 * *cap : 16;
	void *p;

	if (n < *cap)
		return 0;
	memcpy(&p, array, sizeof p); /* `array` points to a pointer of some type */
	p = ckd_realloc(p, want, size);
	if (!p)
		return err_nomem(e);
	memcpy(array, &p, sizeof p);
	*cap = want;
	return 0;
}

static int begin_file(struct price_book *b, const char *name, struct err *e)
{
	struct str copy;

	if (b->n_files == sizeof b->files / sizeof *b->files)
		return err_set(e, ERR_OPEN, "%s: more than %zu price books", name,
			       sizeof b->files / sizeof *b->files);
	copy = arena_str(&b->arena, str_of(name));
	if (!copy.p)
		return err_nomem(e);
	b->files[b->n_files++] = copy.p;
	return 0;
}

/* Calls price_line_add() on each line; without fn the first bad one ends it. */
static int add_lines(struct price_book *b, struct str text, price_lint_fn *fn, void *arg,
		     int *found, struct err *e)
{
	uint64_t lineno = 0;

	for (size_t at = 0; at < text.n;) {
		size_t end = str_find(text, STR("\n"), at);
		struct str line = str_trim(str_sub(text, at, end));

		at = end + 1;
		lineno++;
		if (line.n == 0 || price_line_add(b, line, lineno, e) == 0)
			continue;
		if (!fn || e->code == ERR_NOMEM) {
			if (e->code != ERR_NOMEM)
				e->code = ERR_OPEN;
			return err_wrap(e, "%s:%llu", b->files[b->n_files - 1],
					(unsigned long long)lineno);
		}
		fn(arg, b->files[b->n_files - 1], lineno, e->text);
		err_clear(e);
		++*found;
	}
	return 0;
}

int price_book_add(struct price_book *b, struct str text, const char *name, struct err *e)
{
	if (begin_file(b, name, e))
		return -1;
	return add_lines(b, text, NULL, NULL, NULL, e);
}

int price_book_load(struct price_book *b, const char *path, struct err *e)
{
	struct buf text;
	int failed;

	buf_init(&text, BOOK_MAX);
	failed = os_read_file(&text, path, BOOK_MAX, e) ||
		 price_book_add(b, buf_str(&text), path, e);
	buf_release(&text);
	return failed ? err_wrap(e, "price book") : 0;
}

int price_book_default(struct price_book **out, struct err *e)
{
	const char *folder = os_env("LLMU_DATADIR"), *more = os_env("LLMU_BOOK");
	struct buf b;
	int rc = -1;

	*out = NULL;
	buf_init(&b, 65536);
	buf_addf(&b, "%s/prices.ndjson", folder ? folder : LLMU_DATADIR);
	if (buf_check(&b, e))
		goto out;
	if (access(b.p, F_OK)) {
		err_set(e, ERR_OPEN,
			"no prices at %.300s: install the tools, or let LLMU_DATADIR be the data "
			"folder of the source tree",
			b.p);
		goto out;
	}
	rc = price_book_new(out, e) || price_book_load(*out, b.p, e) || (more && price_book_load(*out, more, e)) ? -1 : 0;
out:
	buf_release(&b);
	return rc;
}

static bool same_conditions(const struct price_line *x, const struct price_line *y)
{
	return x->unit == y->unit && x->file == y->file && str_eq(x->tier, y->tier) &&
	       str_eq(x->region, y->region) && x->weekdays == y->weekdays &&
	       x->utc_from == y->utc_from && x->utc_to == y->utc_to;
}

static bool prices(const struct price_model *m, enum price_unit u)
{
	for (unsigned i = 0; i < m->n; i++)
		if (m->lines[i]->unit == u)
			return true;
	return false;
}

/* Findings about a line among its sku's others; the text in buf, or an empty one. */
static void check_line(char *buf, size_t size, const struct price_model *m, unsigned at)
{
	const struct price_line *l = m->lines[at];

	buf[0] = '\0';
	for (unsigned i = 0; i < at; i++) {
		const struct price_line *o = m->lines[i];

		if (same_conditions(l, o) && l->from < o->to && o->from < l->to) {
			snprintf(buf, size, "overlaps in time with the price of line %llu",
				 (unsigned long long)o->lineno);
			return;
		}
	}
	for (unsigned u = 0; u < PRICE_N_UNITS; u++) {
		enum price_unit a = (enum price_unit)u;

		if (price_unit_above(a, l->unit) && price_unit_depth(a) == 0 && !prices(m, a)) {
			snprintf(buf, size, "%s has a price but %s, of which it is part, has none",
				 price_unit_name(l->unit), price_unit_name(a));
			return;
		}
		for (unsigned i = 0; i < at; i++) {
			enum price_unit o = m->lines[i]->unit;

			if (price_unit_above(l->unit, a) && price_unit_above(o, a) &&
			    !price_unit_above(o, l->unit) && !price_unit_above(l->unit, o) &&
			    o != l->unit && !prices(m, a)) {
				snprintf(buf, size,
					 "%s and %s have prices but %s, which is both, has none",
					 price_unit_name(l->unit), price_unit_name(o),
					 price_unit_name(a));
				return;
			}
		}
	}
}

int price_book_lint(struct price_book *b, const char *path, price_lint_fn *fn, void *arg,
		    struct err *e)
{
	struct buf text;
	char finding[256];
	int found = 0;
	int failed;

	buf_init(&text, BOOK_MAX);
	failed = os_read_file(&text, path, BOOK_MAX, e) || begin_file(b, path, e) ||
		 add_lines(b, buf_str(&text), fn, arg, &found, e);
	buf_release(&text);
	if (failed)
		return -1;
	for (size_t i = 0; i < b->n_models; i++) {
		for (unsigned k = 0; k < b->models[i]->n; k++) {
			const struct price_line *l = b->models[i]->lines[k];

			check_line(finding, sizeof finding, b->models[i], k);
			if (!finding[0] || l->file + 1 != b->n_files)
				continue;
			fn(arg, b->files[l->file], l->lineno, finding);
			found++;
		}
	}
	return found;
}

size_t price_book_rows(const struct price_book *b)
{
	return b->n_lines;
}

struct price_row price_book_row(const struct price_book *b, size_t i)
{
	const struct price_line *l = b->lines[i];

	return (struct price_row){ .sku = l->model->sku,
				   .unit = l->unit,
				   .price_e12 = l->price_e12,
				   .per = l->per,
				   .n_tiers = l->n_tiers,
				   .from = l->from,
				   .to = l->to,
				   .file = b->files[l->file],
				   .line = l->lineno };
}
