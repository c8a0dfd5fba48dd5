/* net_sse: the parser of event streams. */
#include "config.h"
#include "net/net.h"
#include "base/banned.h"

void net_sse_init(struct net_sse *s, size_t max_event)
{
	*s = (struct net_sse){ 0 };
	buf_init(&s->line, max_event);
	buf_init(&s->data, max_event);
	buf_init(&s->event, max_event);
}

void net_sse_release(struct net_sse *s)
{
	buf_release(&s->line);
	buf_release(&s->data);
	buf_release(&s->event);
}

/* A blank line: what was gathered is an event, unless there was no data. */
static int dispatch(struct net_sse *s, net_event_fn *fn, void *arg, struct err *e)
{
	struct str data = buf_str(&s->data);
	int rc = 0;

	if (data.n) {
		data.n--; /* the LF behind the last line */
		if (str_is(str_trim(data), "[DONE]"))
			s->done = true;
		else
			rc = fn(arg, buf_str(&s->event), data, e);
	}
	buf_reset(&s->data);
	buf_reset(&s->event);
	return rc;
}

static int end_line(struct net_sse *s, net_event_fn *fn, void *arg, struct err *e)
{
	struct str line = buf_str(&s->line), name, value = { "", 0 };
	size_t colon;

	if (buf_check(&s->line, e))
		return -1;
	if (!s->any && str_starts(line, STR("\xef\xbb\xbf")))
		line = str_sub(line, 3, line.n);
	s->any = true;
	if (!line.n)
		return dispatch(s, fn, arg, e);
	colon = str_find(line, STR(":"), 0);
	name = str_sub(line, 0, colon);
	if (colon < line.n)
		value = str_sub(line, colon + 1, line.n);
	if (value.n && value.p[0] == ' ')
		value = str_sub(value, 1, value.n);
	if (str_is(name, "data")) {
		buf_adds(&s->data, value);
		buf_addc(&s->data, '\n');
		return buf_check(&s->data, e);
	}
	if (str_is(name, "event")) {
		buf_reset(&s->event);
		buf_adds(&s->event, value);
		return buf_check(&s->event, e);
	}
	return 0; /* comments, id, retry, junk */
}

int net_sse_feed(struct net_sse *s, struct str bytes, net_event_fn *fn, void *arg, struct err *e)
{
	size_t i = 0;

	while (i < bytes.n && !s->done) {
		size_t from = i;

		if (s->cr && bytes.p[i] == '\n') { /* the other half of CR LF */
			s->cr = false;
			i++;
			continue;
		}
		s->cr = false;
		while (i < bytes.n && bytes.p[i] != '\n' && bytes.p[i] != '\r')
			i++;
		buf_add(&s->line, bytes.p + from, i - from);
		if (i == bytes.n)
			break;
		s->cr = bytes.p[i++] == '\r';
		if (end_line(s, fn, arg, e))
			return -1;
		buf_reset(&s->line);
	}
	return buf_check(&s->line, e);
}
