/* cli_msg: messages for people on standard error, one write each; and the nearest name to a
 * mistyped one. */
#include "config.h"
#include "cli/cli_impl.h"
#include "json/json.h"
#include <unistd.h>

/* Characters that could steer a terminal or turn the order of the text around. */
static bool steers(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == UTF8_BAD ||
	       (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
}

static void put_masked(struct buf *b, struct str s)
{
	const char *p = s.p, *end = s.p + s.n;
	unsigned len;

	for (; p < end; p += len) {
		uint32_t cp = utf8_get(p, end, &len);

		if (steers(cp) && cp != '\t')
			buf_addc(b, '?');
		else
			buf_add(b, p, len);
	}
}

static void put_json(struct buf *out, const struct cli *c, const char *level, struct str msg)
{
	struct json_w w = json_w(out);
	char ts[32];

	time_put_rfc3339(ts, time_unix_s());
	json_w_begin(&w, '{');
	json_w_key(&w, "ts");
	json_w_strz(&w, ts);
	json_w_key(&w, "tool");
	json_w_strz(&w, c->state->tool);
	json_w_key(&w, "pid");
	json_w_i64(&w, getpid());
	json_w_key(&w, "level");
	json_w_strz(&w, level);
	json_w_key(&w, "msg");
	json_w_str(&w, msg);
	json_w_end(&w, '}');
}

void cli_say(const struct cli *c, const char *level, const char *fmt, va_list ap)
{
	struct cli_progress *p = &c->state->progress;
	struct buf text, line;
	struct err ignored;

	buf_init(&text, 1 << 16);
	buf_init(&line, 1 << 18);
	buf_vaddf(&text, fmt, ap);
	if (c->state->log_json) {
		put_json(&line, c, level, buf_str(&text));
	} else {
		buf_addf(&line, "%s: ", c->state->tool);
		put_masked(&line, buf_str(&text));
	}
	buf_addc(&line, '\n');
	pthread_mutex_lock(&p->lock);
	cli_progress_clear(p);
	os_write_all(STDERR_FILENO, line.p, line.n, &ignored); /* there is nowhere to tell it */
	pthread_mutex_unlock(&p->lock);
	buf_release(&text);
	buf_release(&line);
}

void cli_error(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	cli_say(c, "error", fmt, ap);
	va_end(ap);
}

void cli_warn(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	if (c->quiet)
		return;
	va_start(ap, fmt);
	cli_say(c, "warn", fmt, ap);
	va_end(ap);
}

void cli_info(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	if (!c->verbose)
		return;
	va_start(ap, fmt);
	cli_say(c, "info", fmt, ap);
	va_end(ap);
}

void cli_note(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	if (c->quiet || (!c->verbose && !isatty(STDERR_FILENO)))
		return;
	va_start(ap, fmt);
	cli_say(c, "info", fmt, ap);
	va_end(ap);
}

int cli_usage(struct err *e, const char *fmt, ...)
{
	char text[sizeof e->text];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return err_set(e, ERR_USAGE, "%s", text);
}

#define NAME_MAX_LEN 63

/* Edits from a to b: insert, delete, replace, swap neighbours (optimal string alignment). */
static size_t distance(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b), rows[3][NAME_MAX_LEN + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2], *swap;

	if (na > NAME_MAX_LEN || nb > NAME_MAX_LEN)
		return SIZE_MAX;
	for (size_t j = 0; j <= nb; j++)
		before[j] = last[j] = j;
	for (size_t i = 1; i <= na; i++) {
		now[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t v = last[j - 1] + (a[i - 1] != b[j - 1]);

			v = last[j] + 1 < v ? last[j] + 1 : v;
			v = now[j - 1] + 1 < v ? now[j - 1] + 1 : v;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < v)
				v = before[j - 2] + 1;
			now[j] = v;
		}
		swap = before;
		before = last;
		last = now;
		now = swap;
	}
	return last[nb];
}

const char *cli_nearest(const char *typed, const char *const *names, size_t n)
{
	size_t len = strlen(typed), limit = len < 3 ? 1 : len / 3 + 1, best = SIZE_MAX;
	const char *near = NULL;

	for (size_t i = 0; i < n;
	     i++) { /* an abbreviation means the shortest name that it begins */
		size_t full = strlen(names[i]);

		if (len && !strncmp(typed, names[i], len) && full < best) {
			best = full;
			near = names[i];
		}
	}
	if (near)
		return near;
	for (size_t i = 0; i < n; i++) {
		size_t d = distance(typed, names[i]);

		if (d <= limit && d < best && d < strlen(names[i])) {
			best = d;
			near = names[i];
		}
	}
	return near;
}
