/*
 * Any text as what a service answers: each line a whole reply of every kind, and all lines together a stream. What a stream
 * showed piece by piece is what its answers say in the end.
 */
#include "config.h"
#include "llm/remote_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buf shown; /* of the first sample */

static void show(struct llm_ask *q, uint32_t sample, struct str s)
{
	(void)q;
	if (!sample)
		buf_adds(&shown, s);
}

static void whole(struct str line, struct arena *a)
{
	struct llm_ask texts[2] = { { .a = a }, { .a = a } }, *list[2] = { &texts[0], &texts[1] };
	const struct str docs[2] = { STR("a"), STR("b") };
	struct json_val v;

	if (json_parse(&v, line, NULL))
		return;
	for (enum llm_kind k = LLM_ASK_CHAT; k <= LLM_ASK_COMPLETION; k++) {
		struct llm_ask q = { .a = a, .kind = k };

		if (!llm_reply_read(&q, v, NULL))
			for (uint32_t i = 0; i < q.n; i++)
				if (utf8_valid(q.answers[i].text) != q.answers[i].text.n)
					__builtin_trap();
		llm_reply_call(&q, v, 1, 0, 1, NULL);
	}
	llm_reply_vectors(list, 2, v, NULL);
	texts[0].docs = docs;
	texts[0].n_docs = 2;
	llm_reply_scores(&texts[0], v, NULL);
}

static void streamed(struct str s, enum llm_kind kind, struct arena *a)
{
	struct llm_ask q = { .a = a, .kind = kind, .on_text = show };
	struct llm_stream *stream;
	struct json_val v;
	struct buf b;
	int rc = 0;

	buf_reset(&shown);
	if (llm_stream_new(&stream, &q, NULL))
		return;
	for (size_t at = 0, end; at < s.n && !rc; at = end + 1) {
		end = str_find(s, STR("\n"), at);
		rc = llm_stream_event(stream, str_sub(s, at, end), NULL);
	}
	buf_init(&b, NET_BODY_MAX);
	if (llm_stream_reply(&b, stream, NULL) || json_parse(&v, buf_str(&b), NULL))
		__builtin_trap();
	if (!rc && !llm_reply_read(&q, v, NULL) && !str_eq(q.answers[0].text, buf_str(&shown)))
		__builtin_trap();
	buf_release(&b);
	llm_stream_free(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str s = { (const char *)data, size };
	struct arena a;

	arena_init(&a, 64 << 20);
	buf_init(&shown, NET_BODY_MAX);
	for (size_t at = 0, end; at < s.n; at = end + 1) {
		end = str_find(s, STR("\n"), at);
		whole(str_sub(s, at, end), &a);
	}
	streamed(s, LLM_ASK_CHAT, &a);
	streamed(s, LLM_ASK_COMPLETION, &a);
	buf_release(&shown);
	arena_release(&a);
	return 0;
}
