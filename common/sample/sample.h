/*
 * sample: from logits to a token. Pure: what is drawn depends on the logits, the parameters, the tokens so far and
 * (seed, hash of the prompt's tokens, sample, step) alone (DESIGN 2.10). Grammars come later and get the vocabulary as
 * an array of pieces.
 */
#ifndef SAMPLE_SAMPLE_H
#define SAMPLE_SAMPLE_H

#include "base/base.h"

struct sample_params {
	float temperature; /* <= 0: greedy */
	int32_t top_k;     /* <= 0: off */
	float top_p, min_p;
	float repeat_penalty, presence_penalty, frequency_penalty;
	int32_t repeat_last_n;
	uint64_t seed;
};
/* llama.cpp's defaults: temperature 0.8, top_k 40, top_p 0.95, min_p 0.05, no penalties over the last 64; seed 0. */
extern const struct sample_params sample_defaults;

struct sample_choice {
	int32_t id;
	float logprob; /* natural, of the raw distribution before any sampler */
};
struct sample_scratch; /* one worker's own */
int sample_scratch_new(struct sample_scratch **out, size_t n_vocab, struct err *e);
void sample_scratch_free(struct sample_scratch *s);

/* The key of the draws of one completion. */
uint64_t sample_key(uint64_t seed, const int32_t *prompt, size_t n);
/* One token. `prev` [n_prev]: prompt and output so far, for penalties. Ties by the smaller id. logits are not changed. */
void sample_next(struct sample_choice *out, const float *logits, size_t n_vocab, const struct sample_params *p, uint64_t key,
		 uint64_t sample, uint64_t step, const int32_t *prev, size_t n_prev, struct sample_scratch *s);
/* The n most likely tokens of the raw distribution, best first. */
void sample_top(struct sample_choice *out, size_t n, const float *logits, size_t n_vocab, struct sample_scratch *s);
/* Natural log-probability of one token; log-sum-exp in double, fixed order. */
double sample_logprob(const float *logits, size_t n_vocab, int32_t id);

#endif
