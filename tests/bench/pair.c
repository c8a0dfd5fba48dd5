/*
 * pair: times two shell commands in turn, A B A B …, as whole processes, and prints one NDJSON row: medians of wall and CPU
 * seconds and of peak memory, and the ratio B/A pair by pair (how many times faster A is). A machine's speed drifts; a ratio
 * of neighbours does not.
 *
 *   pair [-n RUNS] CASE NAME_A COMMAND_A NAME_B COMMAND_B
 */
#include "config.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_RUNS 99

struct run {
	double wall, cpu, mb;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct run once(const char *name, const char *command)
{
	struct rusage ru;
	double start = now();
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, 0);
		dup2(null, 1);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &ru) < 0 || status != 0) {
		fprintf(stderr, "pair: %s failed: %s\n", name, command);
		exit(1);
	}
	return (struct run){ now() - start,
			     (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
				     (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6,
			     (double)ru.ru_maxrss / 1024 };
}

static int by_value(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return a < b ? -1 : a > b;
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof *v, by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void side(const char *key, const char *name, const struct run *r, int n)
{
	double v[3][MAX_RUNS];

	for (int i = 0; i < n; i++) {
		v[0][i] = r[i].wall;
		v[1][i] = r[i].cpu;
		v[2][i] = r[i].mb;
	}
	printf("\"%s\":{\"name\":\"%s\",\"wall_s\":%.4f,\"cpu_s\":%.4f,\"peak_mb\":%.1f},", key, name,
	       median(v[0], n), median(v[1], n), median(v[2], n));
}

int main(int argc, char **argv)
{
	struct run a[MAX_RUNS], b[MAX_RUNS];
	double wall[MAX_RUNS], cpu[MAX_RUNS];
	int n = 7;

	if (argc > 2 && !strcmp(argv[1], "-n")) {
		n = (int)strtol(argv[2], NULL, 10);
		argv += 2;
		argc -= 2;
	}
	if (argc != 6 || n < 1 || n > MAX_RUNS) {
		fprintf(stderr, "usage: pair [-n RUNS] CASE NAME_A COMMAND_A NAME_B COMMAND_B\n");
		return 2;
	}
	once(argv[2], argv[3]); /* warm both */
	once(argv[4], argv[5]);
	for (int i = 0; i < n; i++) {
		a[i] = once(argv[2], argv[3]);
		b[i] = once(argv[4], argv[5]);
		wall[i] = b[i].wall / a[i].wall;
		cpu[i] = a[i].cpu > 0 ? b[i].cpu / a[i].cpu : 0;
	}
	printf("{\"case\":\"%s\",\"runs\":%d,", argv[1], n);
	side("a", argv[2], a, n);
	side("b", argv[4], b, n);
	printf("\"ratio_wall\":%.2f,", median(wall, n));
	printf("\"ratio_wall_min\":%.2f,\"ratio_wall_max\":%.2f,", wall[0], wall[n - 1]);
	printf("\"ratio_cpu\":%.2f}\n", median(cpu, n));
	return 0;
}
