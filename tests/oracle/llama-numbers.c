/*
 * llama-numbers MODEL [MODE]: what llama.cpp computes, for comparison. Reads lines of token ids from standard input.
 *   logits (default): the logits after the last id of each line, one line each
 *   embed: the pooled vector of each line, of length 1; the scores of a reranker as they are
 *   LORA, LORA_SCALE in the environment: with that adapter
 *   greedy N: N more ids, chosen greedily, each as id:gap, gap being the difference of the two best log probabilities
 * Build against a tree of llama.cpp:
 *   cc -O2 -I$SRC/include -I$SRC/ggml/include llama-numbers.c -L$BUILD/bin -lllama -lggml -lggml-base -Wl,-rpath,$BUILD/bin
 */
#include "llama.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quiet(enum ggml_log_level level, const char *text, void *arg)
{
	(void)arg;
	if (level >= GGML_LOG_LEVEL_ERROR && level != GGML_LOG_LEVEL_CONT)
		fputs(text, stderr);
}

static void run(struct llama_context *c, llama_token *ids, int n)
{
	if (llama_decode(c, llama_batch_get_one(ids, n)) != 0)
		exit(1);
}

static llama_token best(const float *x, int n, double *gap)
{
	int a = 0, b = 1;

	for (int i = 1; i < n; i++)
		if (x[i] > x[a])
			a = i;
	b = a == 0;
	for (int i = 0; i < n; i++)
		if (i != a && x[i] > x[b])
			b = i;
	*gap = (double)(x[a] - x[b]);
	return a;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[2] : "logits";
	int embed = strcmp(mode, "embed") == 0, more = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0;
	static char line[1 << 20];
	static llama_token ids[1 << 16];

	llama_log_set(quiet, NULL);
	struct llama_model *m = llama_model_load_from_file(argv[1], llama_model_default_params());
	if (!m)
		return 1;
	struct llama_context_params p = llama_context_default_params();
	p.n_ctx = getenv("N_CTX") ? (uint32_t)strtol(getenv("N_CTX"), NULL, 10) : 2048;
	p.n_batch = p.n_ubatch = 2048;
	if (getenv("UBATCH"))
		p.n_ubatch = (uint32_t)strtol(getenv("UBATCH"), NULL, 10);
	p.n_threads = p.n_threads_batch = 1;
	p.embeddings = embed;
	p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
	p.type_k = p.type_v = getenv("KV_F32") ? GGML_TYPE_F32 : GGML_TYPE_F16;
	struct llama_context *c = llama_init_from_model(m, p);
	if (!c)
		return 1;
	if (getenv("LORA")) {
		struct llama_adapter_lora *l = llama_adapter_lora_init(m, getenv("LORA"));
		float scale = getenv("LORA_SCALE") ? strtof(getenv("LORA_SCALE"), NULL) : 1;

		if (!l || llama_set_adapters_lora(c, &l, 1, &scale) != 0)
			return 1;
	}
	int n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(m)), d = llama_model_n_embd_out(m);
	int rank = llama_pooling_type(c) == LLAMA_POOLING_TYPE_RANK;
	while (fgets(line, sizeof line, stdin)) {
		int n = 0;
		double gap;

		for (char *s = strtok(line, " ,\n"); s; s = strtok(NULL, " ,\n"))
			ids[n++] = (llama_token)strtol(s, NULL, 10);
		llama_memory_clear(llama_get_memory(c), true);
		run(c, ids, n);
		if (embed) {
			const float *x = llama_get_embeddings_seq(c, 0);
			double sum = 0;

			d = rank ? (int)llama_model_n_cls_out(m) : d;
			for (int i = 0; i < d; i++)
				sum += (double)x[i] * x[i];
			for (int i = 0; i < d; i++)
				printf("%.9g ", rank ? (double)x[i] : x[i] / sqrt(sum));
		} else if (strcmp(mode, "greedy") == 0) {
			for (int i = 0; i < more; i++) {
				llama_token t = best(llama_get_logits_ith(c, -1), n_vocab, &gap);

				printf("%d:%.4f ", t, gap);
				run(c, &t, 1);
			}
		} else {
			const float *x = llama_get_logits_ith(c, -1);

			for (int i = 0; i < n_vocab; i++)
				printf("%.9g ", (double)x[i]);
		}
		putchar('\n');
	}
	llama_free(c);
	llama_model_free(m);
	return 0;
}
