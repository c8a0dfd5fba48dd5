/*
 * Any bytes as input of a tool. What must hold: a record out for each in, in order, each line an
 * object; the same with more workers; and a run that was killed and is resumed gives the same
 * bytes. The first three bytes choose the options and where the output is cut.
 */
#include "config.h"
#include "record/record.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond))                                                                       \
			__builtin_trap();                                                          \
	} while (0)

static char folder[64], in[96], out[96], cut[96], bad[96], bad2[96], side[128], cut_side[128];

static void folder_remove(void)
{
	const char *all[] = { in, out, cut, bad, bad2, side, cut_side };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		unlink(all[i]);
	rmdir(folder);
}

static void folder_make(void)
{
	snprintf(folder, sizeof folder, "%s/llmu-fuzz.XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	MUST(mkdtemp(folder));
	snprintf(in, sizeof in, "%s/in", folder);
	snprintf(out, sizeof out, "%s/out", folder);
	snprintf(cut, sizeof cut, "%s/cut", folder);
	snprintf(bad, sizeof bad, "%s/bad", folder);
	snprintf(bad2, sizeof bad2, "%s/bad2", folder);
	snprintf(side, sizeof side, "%s.resume", out);
	snprintf(cut_side, sizeof cut_side, "%s.resume", cut);
	atexit(folder_remove);
}

static void put_file(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	MUST(fd >= 0 && !os_write_all(fd, p, n, NULL));
	close(fd);
}

static void get_file(struct buf *b, const char *path)
{
	struct err e = { 0 };

	buf_reset(b);
	MUST(!os_read_file(b, path, b->max, &e));
}

/* Lines for each letter of the text, or a member with its length; F fails, D is dropped. */
static int one(struct record *r, void *arg, struct err *e)
{
	uint8_t how = *(const uint8_t *)arg;
	struct str text, id = record_id(r);
	struct buf b;
	struct json_w w;
	int failed;

	MUST(record_json(r).type == JSON_OBJECT && record_id_raw(r).n && id.p);
	if (record_text(&text, r, e))
		return -1;
	MUST(utf8_valid(text) == text.n);
	if (text.n && memchr(text.p, 'F', text.n))
		return err_set(e, ERR_SERVER, "F");
	if (how & 2 && text.n && memchr(text.p, 'D', text.n)) {
		record_drop(r);
		return 0;
	}
	if (!(how & 4))
		return record_set_u64(r, "n", text.n, e);
	failed = record_emit(r, STR(""), e);
	buf_init(&b, (size_t)1 << 20);
	for (size_t i = 0; i < text.n && i < 4 && !failed; i++) {
		buf_reset(&b);
		w = json_w(&b);
		json_w_begin(&w, '{');
		json_w_key(&w, "query_id");
		json_w_raw(&w, record_id_raw(r));
		json_w_key(&w, "rank");
		json_w_u64(&w, i);
		json_w_end(&w, '}');
		failed = record_emit(r, buf_str(&b), e);
	}
	buf_release(&b);
	return failed;
}

/* False when the input is a damaged zstd file, and nothing else may be wrong with it. */
static bool run(struct tally *t, const struct record_opts *o, uint8_t how)
{
	struct err e = { 0 };
	int failed;

	*t = (struct tally){ 0 };
	failed = record_map(t, o, "fuzz", STR("{}"), one, &how, &e);
	MUST(!failed || e.code == ERR_READ);
	return !failed;
}

static size_t lines_of(struct str s)
{
	size_t n = 0;

	while (s.n) {
		size_t lf = str_find(s, STR("\n"), 0);
		struct json_val v;

		MUST(lf < s.n && !json_parse(&v, str_sub(s, 0, lf), NULL) && v.type == JSON_OBJECT);
		s = str_sub(s, lf + 1, s.n);
		n++;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *files[] = { in };
	struct record_opts o = { .jobs = 1, .files = files, .n_files = 1, .output = out };
	struct tally t, u;
	struct buf want, want_bad, got;
	uint8_t how = size ? data[0] : 0;
	size_t at;

	if (size < 3)
		return 0;
	if (!*folder)
		folder_make();
	buf_init(&want, (size_t)1 << 26);
	buf_init(&want_bad, (size_t)1 << 26);
	buf_init(&got, (size_t)1 << 26);
	put_file(in, data + 3, size - 3);
	o.input = (enum record_input)(how >> 3 & 3);
	o.only = how >> 5 & 1;
	o.resume = out; /* so that ids are unique, and OUT.resume is there for the cut run */
	o.errors = how & 1 ? bad : NULL;
	unlink(out);
	unlink(side);
	unlink(bad);
	unlink(bad2);
	if (!run(&t, &o, how))
		goto out;
	get_file(&want, out);
	if (o.errors)
		get_file(&want_bad, bad);
	MUST(lines_of(buf_str(&want)) == t.out);
	MUST(how & 6 || t.in == t.out + lines_of(buf_str(&want_bad)));

	/* cut off somewhere, with what is kept beside, and resumed by three workers */
	at = want.n ? (data[1] | (size_t)data[2] << 8) % (want.n + 1) : 0;
	put_file(cut, want.p, at);
	get_file(&got, side);
	put_file(cut_side, got.p, got.n);
	put_file(bad2, want_bad.p, want_bad.n); /* errors are written first */
	o.resume = o.output = cut;
	o.errors = how & 1 ? bad2 : NULL;
	o.jobs = 3;
	MUST(run(&u, &o, how));
	get_file(&got, cut);
	MUST(str_eq(buf_str(&got), buf_str(&want)));
	get_file(&got, bad2);
	MUST(str_eq(buf_str(&got), buf_str(&want_bad)));
	MUST(u.in == t.in && u.failed == t.failed);
out:
	buf_release(&want);
	buf_release(&want_bad);
	buf_release(&got);
	return 0;
}
