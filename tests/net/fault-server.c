/*
 * fault-server: the server of fault.h as a program. It prints its port and serves until it is killed, its time is up or the
 * shell that started it is gone.
 *
 *   fault-server [-e LINE]… [PLAN] [--chaos P] [--seed N] [--log FILE] [--port N] [--seconds N] [--requests N]
 *                [--gather MS] [--tls CERT [--tls-name HOST] [--tls-days N]]
 *
 * -e LINE is a line of the plan, before those of the file PLAN. --chaos P lets a share P of all requests go wrong in one of ten
 * ways. --tls writes the server's certificate to CERT, for CURL_CA_BUNDLE.
 */
#include "config.h"
#include "fault.h"
#include "os/os.h"
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "base/banned.h"

static const char *const wrong[] = {
	"\"status\":500,\"error\":\"server_error\"",
	"\"status\":503,\"body\":\"<html>overloaded</html>\",\"type\":\"text/html\"",
	"\"status\":529,\"error\":\"overloaded_error\"",
	"\"status\":429,\"error\":\"rate_limit_exceeded\",\"headers\":[\"retry-after-ms: 20\"]",
	"\"status\":429,\"error\":\"rate_limit_exceeded\",\"headers\":[\"x-ratelimit-remaining-requests: 0\","
	"\"x-ratelimit-reset-requests: 30ms\"]",
	"\"status\":408,\"body\":\"\"",
	"\"reset\":true",
	"\"reset\":true,\"cut\":17",
	"\"cut\":40",
	"\"body\":\"{\\\"id\\\":\\\"torn\"",
};
#define WRONG (sizeof wrong / sizeof *wrong)

/* One draw a line: the i-th gets what the ones before it left, so that all are equally likely and add up to p. */
static void chaos(struct buf *plan, double p)
{
	for (size_t i = 0; i < WRONG; i++)
		buf_addf(plan, "{\"when\":{\"p\":%.9f},%s}\n", p / (double)WRONG / (1 - p * (double)i / (double)WRONG), wrong[i]);
}

static uint64_t number(const char *s)
{
	struct err e = { 0 };
	uint64_t v = 0;

	if (num_u64(&v, str_of(s), 0, UINT32_MAX, &e)) {
		fprintf(stderr, "fault-server: %s: %s\n", s, e.text);
		exit(2);
	}
	return v;
}

static void add_file(struct buf *plan, const char *path)
{
	FILE *f = fopen(path, "re");
	char text[4096];
	size_t n;

	if (!f) {
		perror(path);
		exit(2);
	}
	while ((n = fread(text, 1, sizeof text, f)) > 0)
		buf_add(plan, text, n);
	fclose(f);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "chaos", 1, 0, 'c' }, { "seed", 1, 0, 's' }, { "log", 1, 0, 'l' }, { "port", 1, 0, 'p' },
		{ "seconds", 1, 0, 't' }, { "requests", 1, 0, 'n' }, { "tls", 1, 0, 'T' }, { "tls-name", 1, 0, 'N' },
		{ "tls-days", 1, 0, 'D' }, { "gather", 1, 0, 'g' }, { 0 }
	};
	struct fault_opts o = { .seconds = 600 };
	double p = 0, days = 0;
	struct buf plan;
	struct fault *f;
	int c;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	buf_init(&plan, (size_t)1 << 20);
	while ((c = getopt_long(argc, argv, "e:", longs, NULL)) != -1)
		switch (c) {
		case 'e': buf_addf(&plan, "%s\n", optarg); break;
		case 'c': num_f64(&p, str_of(optarg), 0, 1, NULL); break;
		case 's': o.seed = number(optarg); break;
		case 'l': o.log = optarg; break;
		case 'p': o.port = (unsigned)number(optarg); break;
		case 't': o.seconds = (unsigned)number(optarg); break;
		case 'n': o.max_requests = number(optarg); break;
		case 'g': o.gather_ms = (unsigned)(number(optarg) % 1000); break;
		case 'T': o.tls = optarg; break;
		case 'N': o.tls_name = optarg; break;
		case 'D': num_f64(&days, str_of(optarg), -1000, 1000, NULL); break;
		default: return 2;
		}
	if (optind < argc)
		add_file(&plan, argv[optind]);
	if (p > 0)
		chaos(&plan, p);
	o.tls_days = (int)days;
	o.plan = plan.p;
	f = fault_start_opts(&o);
	if (!f)
		return 1;
	printf("%u\n", fault_port(f));
	fclose(stdout);
	fault_wait(f);
	fault_stop(f);
	buf_release(&plan);
	return 0;
}
