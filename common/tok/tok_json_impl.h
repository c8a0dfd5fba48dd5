/* tok_json: the state while a tokenizer.json is read. Private to tok. */
#ifndef TOK_TOK_JSON_IMPL_H
#define TOK_TOK_JSON_IMPL_H

#include "json/json.h"
#include "tok/tok_impl.h"

struct tok_json_added {
	struct tok_special s;
	bool special;
};
struct tok_json {
	struct tok *t;
	struct arena arena;
	struct str *texts; /* [n] as the file spells them; p NULL: no such id */
	size_t n, cap;
	float *scores;     /* [n_scores] Unigram */
	size_t n_scores;
	struct tok_json_added *added;
	size_t n_added;
	enum tok_model model;
	struct str unk;
	bool byte_fallback;
	uint64_t max_word;
	/* what the components said */
	bool underlines;    /* a blank is written as U+2581 */
	bool bert_norm, bert_pre, drop_blanks;
};

bool tok_json_flag(struct json_val obj, const char *name, bool dflt);
/* The text of a member, "" where there is none. Lives as long as j. */
struct str tok_json_text(struct tok_json *j, struct json_val obj, const char *name);
int tok_json_normalizer(struct tok_json *j, struct json_val v, struct err *e);
int tok_json_pre_tokenizer(struct tok_json *j, struct json_val v, struct err *e);
int tok_json_post_processor(struct tok_json *j, struct json_val v, struct err *e);
/* After all components: what follows from them together. */
int tok_json_settle(struct tok_json *j, struct err *e);

#endif
