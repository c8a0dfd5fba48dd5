/*
 * A cache's own bytes and other people's: any bytes as a value that was kept (never read past their
 * end), as a question (however it is spelled, its key is the same), as the input of a Batch line.
 */
#include "config.h"
#include "llm/cached_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond))                                                                       \
			__builtin_trap();                                                          \
	} while (0)

static struct arena arena;

static void question(struct str text, enum llm_same same)
{
	struct cached_key a, b;
	struct json_val v;
	struct buf pretty;

	if (json_parse(&v, text, NULL) || cached_key(&a, text, LLM_ASK_CHAT, same, &arena, NULL))
		return;
	buf_init(&pretty, (size_t)64 << 20);
	if (!json_pretty(&pretty, v, 0, NULL)) {
		MUST(!cached_key(&b, buf_str(&pretty), LLM_ASK_CHAT, same, &arena, NULL));
		MUST(!memcmp(a.find, b.find, sizeof a.find) &&
		     !memcmp(a.exact, b.exact, sizeof a.exact) && a.random == b.random);
		MUST(same || !memcmp(a.find, a.exact, sizeof a.find));
	}
	buf_release(&pretty);
}

static void inputs(struct str text)
{
	struct llm_inputs in;
	struct json_val v;

	if (json_parse(&v, text, NULL) || llm_batch_inputs(&in, v, &arena, NULL))
		return;
	MUST(in.n >= 1 && in.n <= LLM_BATCH_INPUTS && !in.texts == !!in.ids);
	for (size_t i = 0; i < in.n; i++)
		MUST(in.texts ? utf8_valid(in.texts[i]) == in.texts[i].n : in.n_ids[i] > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t key[STORE_KEY_LEN] = { 0 };
	struct llm_ask q = { .a = &arena };
	struct str all = { (const char *)data, size }, rest;
	bool exact;

	if (!size)
		return 0;
	arena_init(&arena, (size_t)256 << 20);
	rest = str_sub(all, 1, size);
	switch (data[0] % 4) {
	case 0:
		if (!cached_unpack(&q, &exact, rest, key, NULL))
			MUST(q.n <= LLM_MAX_SAMPLES && q.n_vector <= size / 4);
		break;
	case 3:
		inputs(rest);
		break;
	default:
		question(rest, data[0] % 4 == 1 ? LLM_SAME_BYTES : LLM_SAME_CASE);
	}
	arena_release(&arena);
	return 0;
}
