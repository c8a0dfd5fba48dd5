/* tally: what a run has counted; `record` fills it, `cli` shows it and makes the exit status of it. */
#ifndef BASE_TALLY_H
#define BASE_TALLY_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct tally {
	uint64_t in;                /* records read */
	uint64_t out;               /* records written */
	uint64_t skipped;           /* found finished by --resume */
	uint64_t failed;            /* records that carry an error, whoever made it */
	uint64_t passed;            /* of those, records that came with one and were passed on */
	uint64_t codes[ERR_N_CODES];/* errors made here, by code */
	char first[ERR_N_CODES][160]; /* the first message of each code */
	bool sink;                  /* records are kept elsewhere: only those in error are written */
	uint64_t tokens;            /* progress only: tokens worked on */
	uint64_t total_hint;        /* progress only: records expected, 0 unknown */
};

#endif
