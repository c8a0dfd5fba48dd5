/*
 * sample: from logits to a token. Pure: what is drawn depends on the logits, the parameters, the
 * tokens so far and (seed, hash of the prompt's tokens, sample, step) alone (DESIGN 2.10). Grammars
 * come later and get the vocabulary as an array of pieces.
 *
 * The samplers run in llama.cpp's order: penalties; top_k; top_p; min_p; temperature
 * (ggml-org/llama.cpp: src/llama-sampler.cpp): top_p and min_p see the distribution before the
 * temperature.
 */
#ifndef SAMPLE_SAMPLE_H
#define SAMPLE_SAMPLE_H

#include "base/base.h"

struct sample_params {
	float temperature; /* <= 0: greedy */
	int32_t top_k;     /* <= 0: off */
	float top_p;       /* >= 1: off */
	float min_p;       /* <= 0: off */
	float repeat_penalty, presence_penalty, frequency_penalty;
	int32_t repeat_last_n; /* tokens that penalties look back on; -1: all */
	uint64_t seed;
};
/* llama.cpp's defaults: temperature 0.8, top_k 40, top_p 0.95, min_p 0.05, no penalties over the
 * last 64; seed 0. */
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
/*
 * One token. logits [n_vocab] finite or -inf, not changed; prev [n_prev]: prompt and output so far,
 * for penalties. Ties by the smaller id. n_vocab at most that of the scratch.
 */
int32_t sample_next(const float *logits, size_t n_vocab, const struct sample_params *p,
		    uint64_t key, uint64_t sample, uint64_t step, const int32_t *prev,
		    size_t n_prev, struct sample_scratch *s);
/* log(sum(exp(logits))): natural log-probability of token i is logits[i] less this. Summed in
 * double in a fixed order. */
double sample_log_z(const float *logits, size_t n_vocab);
/* The n most likely tokens of the raw distribution, best first; log_z from sample_log_z(). n <=
 * n_vocab. */
void sample_top(struct sample_choice *out, size_t n, const float *logits, size_t n_vocab,
		double log_z, struct sample_scratch *s);

#endif
