/* cli_progress: a thread that shows the tally. The counts are read while others write them: a
 * glance, not an account. */
#include "config.h"
#include "cli/cli_impl.h"
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NS 1000000000u
#define FIRST_NS NS /* short runs show nothing */
#define BAR_NS (NS / 5)
#define LINE_NS (10ull * NS) /* without a terminal */

void cli_progress_clear(struct cli_progress *p)
{
	ssize_t ignored;

	if (p->shown) {
		ignored = write(STDERR_FILENO, "\r\033[K", 4);
		(void)ignored;
		p->shown = false;
	}
}

static uint64_t glance(const uint64_t *v)
{
	return __atomic_load_n(v, __ATOMIC_RELAXED);
}

/* 1234567 as "1.23M". */
static void put_short(struct buf *b, double v)
{
	static const char unit[] = "\0kMGT";
	size_t k = 0;

	for (; v >= 999.5 && k < 4; k++)
		v /= 1000;
	buf_addf(b, v < 10 && (k || v - (double)(int)v > 0.05) ? "%.1f" : "%.0f", v);
	if (k)
		buf_addc(b, unit[k]);
}

static void put_text(struct buf *b, const struct cli *c, uint64_t ran_ns)
{
	const struct tally *t = &c->tally;
	uint64_t skipped = glance(&t->skipped), done = glance(&t->out), failed = glance(&t->failed);
	uint64_t tokens = glance(&t->tokens), all = glance(&t->total_hint);
	double seconds = (double)ran_ns / NS, rate = (double)done / seconds;

	buf_addf(b, "%s: %ju", c->state->tool, (uintmax_t)(skipped + done));
	if (all)
		buf_addf(b, "/%ju", (uintmax_t)all);
	buf_addf(b, " %s, ", c->unit ? c->unit : "records");
	put_short(b, rate);
	buf_addz(b, "/s");
	if (tokens) {
		buf_addz(b, ", ");
		put_short(b, (double)tokens / seconds);
		buf_addz(b, " tok/s");
	}
	if (failed)
		buf_addf(b, ", %ju failed", (uintmax_t)failed);
	if (all > skipped + done && done) {
		uint64_t left = (uint64_t)((double)(all - skipped - done) / rate);

		buf_addf(b, ", %ju:%02u left", (uintmax_t)(left / 60), (unsigned)(left % 60));
	}
}

/* The lock is held. */
static void draw(struct cli *c, uint64_t ran_ns)
{
	struct cli_progress *p = &c->state->progress;
	struct winsize size;
	struct err ignored;
	struct buf b;
	size_t columns = 80;

	buf_init(&b, 4096);
	if (p->tty)
		buf_addz(&b, "\r");
	put_text(&b, c, ran_ns);
	if (p->tty) {
		if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col)
			columns = size.ws_col;
		if (b.n > columns) /* a line that wraps cannot be taken away */
			b.n = utf8_border(buf_str(&b), columns);
		buf_addz(&b, "\033[K");
	} else {
		buf_addc(&b, '\n');
	}
	if (!buf_check(&b, &ignored))
		os_write_all(STDERR_FILENO, b.p, b.n, &ignored);
	p->shown = p->tty;
	buf_release(&b);
}

static void *show(void *arg)
{
	struct cli *c = arg;
	struct cli_progress *p = &c->state->progress;
	uint64_t every = p->tty ? BAR_NS : LINE_NS, last = p->start_ns,
		 next = p->start_ns + (p->tty ? FIRST_NS : LINE_NS);

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		struct timespec at = { (time_t)(next / NS), (long)(next % NS) };
		uint64_t now;

		pthread_cond_timedwait(&p->wake, &p->lock, &at);
		now = time_mono_ns();
		if (p->stop || now < next)
			continue;
		if (now - last > 2 * every + FIRST_NS) /* the process was stopped (SIGTSTP): that
							  time does not count */
			p->start_ns += now - last - every;
		draw(c, now - p->start_ns);
		last = now;
		next = now + every;
	}
	cli_progress_clear(p);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

void cli_progress_start(struct cli *c, bool forced)
{
	struct cli_progress *p = &c->state->progress;
	sigset_t all, old;

	p->tty = isatty(STDERR_FILENO);
	/* records on the same terminal are progress enough */
	if (!forced)
		c->progress = p->tty && !c->quiet && !isatty(STDOUT_FILENO);
	if (!c->progress)
		return;
	p->start_ns = time_mono_ns();
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old); /* signals belong to the tool's threads */
	p->running = !pthread_create(&p->thread, NULL, show, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void cli_progress_stop(struct cli *c)
{
	struct cli_progress *p = &c->state->progress;

	if (!p->running)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	p->running = false;
}
