/* llm-tokenize: text to tokens and back; count, truncate, chunk, compare. */
#include "config.h"
#include "cli/cli.h"
#include "json/json.h"
#include "llm/llm.h"
#include "record/record.h"
#include "tok/tok.h"
#include <stdatomic.h>
#include <unistd.h>

enum special { SPECIAL_NONE, SPECIAL_ALL };
enum keep { KEEP_HEAD, KEEP_TAIL };

struct opts {
	struct record_opts io;
	const char *model, *compare;
	uint32_t threads;
	bool same, ids, pieces, offsets, digest, decode, count, total, chat, bos;
	uint32_t truncate, chunk, overlap, max;
	int special, cut, keep;
};

static const struct cli_opt options[] = {
	CLI_STR('m', "model", "MODEL", struct opts, model,
		"a GGUF file, tokenizer.json, ENCODING.tiktoken or a model of the registry"),
	CLI_THREADS(struct opts, threads),
	CLI_HEAD("What to add:"),
	CLI_FLAG(0, "ids", struct opts, ids, "the token ids as \"tokens\""),
	CLI_FLAG(0, "pieces", struct opts, pieces, "the text of each token as \"pieces\""),
	CLI_FLAG(0, "offsets", struct opts, offsets, "the bytes [start, end) of each token as \"offsets\""),
	CLI_FLAG(0, "digest", struct opts, digest, "what identifies the tokenizer as \"tokenizer\""),
	CLI_HEAD("What to do:"),
	CLI_FLAG(0, "count", struct opts, count, "print the numbers of tokens alone"),
	CLI_FLAG(0, "total", struct opts, total, "print the number of tokens of all input alone"),
	CLI_U32(0, "max", "N", struct opts, max, 1, 2147483647, "exit with 3 when a record has more than N tokens"),
	CLI_U32(0, "truncate", "N", struct opts, truncate, 1, 2147483647, "cut each text to at most N tokens"),
	CLI_ENUM(0, "keep", "head|tail", struct opts, keep, "with --truncate: which end stays [head]"),
	CLI_U32(0, "chunk", "N", struct opts, chunk, 1, 2147483647, "cut each text into pieces of at most N tokens"),
	CLI_U32(0, "overlap", "M", struct opts, overlap, 0, 2147483647, "with --chunk: at most M tokens are repeated [0]"),
	CLI_ENUM(0, "cut", "auto|token|sentence|paragraph", struct opts, cut, "with --chunk: where to cut [auto]"),
	CLI_FLAG(0, "decode", struct opts, decode, "token ids to text"),
	CLI_STR(0, "compare", "MODEL", struct opts, compare, "add how another tokenizer cuts the text as \"compare\""),
	CLI_FLAG(0, "same", struct opts, same, "with --compare: exit with 3 when the ids of a record differ"),
	CLI_HEAD("How to count:"),
	CLI_ENUM(0, "special", "none|all", struct opts, special, "special tokens written in a text: plain text or tokens [none]"),
	CLI_FLAG(0, "bos", struct opts, bos, "count the tokens that the model puts around a text [yes]"),
	CLI_FLAG(0, "chat", struct opts, chat, "count the prompt that the model's chat template makes"),
	CLI_RECORDS(struct opts, io),
	CLI_END
};
static const char *const examples[] = {
	"llm-tokenize --count < README",
	"llm-tokenize --chunk 200 docs/*.txt | llm-embed | llm-index add kb.db",
	NULL
};
static const struct cli_prog prog = { "llm-tokenize", "[FILE...]", "text to tokens and back; count, truncate, chunk, compare",
				      options,       NULL, examples };

struct worker { /* scratch of one worker, grows, never shrinks */
	struct tok_enc *enc, *other_enc; /* other: of --compare */
	struct tok_ids ids, other_ids;
	struct tok_spans spans, other_spans;
	struct tok_chunks chunks;
	struct buf out;
};
struct job {
	const struct opts *o;
	struct gguf *gguf, *other_gguf;
	struct tok *tok, *other;
	struct tok_tmpl *chat;
	struct worker *workers; /* [o->io.jobs] */
	unsigned flags;
	_Atomic uint64_t total, over, other_total, different;
};

/* ---- members --------------------------------------------------------------------------------- */

/* A token's bytes; those that are no character alone are written <0xXX>, as vocabularies do. */
static void put_piece(struct json_w *w, struct buf *scratch, const struct tok *t, int32_t id)
{
	struct str s = tok_text(t, id);

	buf_reset(scratch);
	for (size_t i = 0; i < s.n;) {
		unsigned len;

		if (utf8_get(s.p + i, s.p + s.n, &len) != UTF8_BAD) {
			buf_add(scratch, s.p + i, len);
			i += len;
		} else {
			buf_addf(scratch, "<0x%02X>", (unsigned)(unsigned char)s.p[i++]);
		}
	}
	json_w_str(w, buf_str(scratch));
}

static int set_pieces(struct record *r, const struct job *j, struct worker *w, struct err *e)
{
	struct buf scratch;
	struct json_w jw = json_w(&w->out);
	int rc;

	buf_init(&scratch, 1 << 20);
	buf_reset(&w->out);
	json_w_begin(&jw, '[');
	for (size_t i = 0; i < w->ids.n; i++)
		put_piece(&jw, &scratch, j->tok, w->ids.v[i]);
	json_w_end(&jw, ']');
	rc = buf_check(&scratch, e) || buf_check(&w->out, e) || record_set_raw(r, "pieces", buf_str(&w->out), e);
	buf_release(&scratch);
	return rc ? -1 : 0;
}

static int set_offsets(struct record *r, struct worker *w, struct err *e)
{
	struct json_w jw = json_w(&w->out);

	buf_reset(&w->out);
	json_w_begin(&jw, '[');
	for (size_t i = 0; i < w->spans.n; i++) {
		json_w_begin(&jw, '[');
		json_w_u64(&jw, w->spans.v[i].start);
		json_w_u64(&jw, w->spans.v[i].end);
		json_w_end(&jw, ']');
	}
	json_w_end(&jw, ']');
	return buf_check(&w->out, e) || record_set_raw(r, "offsets", buf_str(&w->out), e) ? -1 : 0;
}

/* What is asked for of the ids in hand. */
static int set_members(struct record *r, const struct job *j, struct worker *w, struct err *e)
{
	const struct opts *o = j->o;

	if ((o->ids && record_set_i32s(r, "tokens", w->ids.v, w->ids.n, e)) || (o->pieces && set_pieces(r, j, w, e)) ||
	    (o->offsets && set_offsets(r, w, e)))
		return -1;
	return o->digest ? record_set_str(r, "tokenizer", str_of(tok_digest(j->tok)), e) : 0;
}

static int set_count(struct record *r, struct job *j, struct worker *w, size_t n, struct err *e)
{
	const struct opts *o = j->o;

	atomic_fetch_add(&j->total, n);
	if (o->max && n > o->max)
		atomic_fetch_add(&j->over, 1);
	if (o->total) {
		record_drop(r);
		return 0;
	}
	if (!o->count)
		return record_set_u64(r, "n_tokens", n, e);
	buf_reset(&w->out);
	buf_addf(&w->out, "%zu", n);
	if (o->io.n_files > 1) { /* as wc does */
		buf_addc(&w->out, ' ');
		buf_adds(&w->out, record_id(r));
	}
	return buf_check(&w->out, e) || record_emit(r, buf_str(&w->out), e) ? -1 : 0;
}

/* ---- two tokenizers */

/* The first byte at which one cuts and the other does not, or SIZE_MAX. Tokens of no text (bos) are no cut. */
static size_t first_cut(const struct tok_spans *a, const struct tok_spans *b)
{
	size_t i = 0, k = 0;

	for (;;) {
		while (i < a->n && a->v[i].start == a->v[i].end)
			i++;
		while (k < b->n && b->v[k].start == b->v[k].end)
			k++;
		if (i == a->n || k == b->n)
			return i < a->n ? a->v[i].start : k < b->n ? b->v[k].start : SIZE_MAX;
		if (a->v[i].end != b->v[k].end)
			return a->v[i].end < b->v[k].end ? a->v[i].end : b->v[k].end;
		i++;
		k++;
	}
}

static int set_compare(struct record *r, struct job *j, struct worker *w, struct str text, struct err *e)
{
	struct json_w jw = json_w(&w->out);
	bool same;
	size_t at;

	if (!w->other_enc && tok_enc_new(&w->other_enc, j->other, e))
		return -1;
	w->other_ids.n = w->other_spans.n = 0;
	if (tok_encode(&w->other_ids, &w->other_spans, w->other_enc, text, j->flags, e))
		return -1;
	same = w->ids.n == w->other_ids.n &&
	       (!w->ids.n || !memcmp(w->ids.v, w->other_ids.v, w->ids.n * sizeof *w->ids.v));
	at = first_cut(&w->spans, &w->other_spans);
	atomic_fetch_add(&j->other_total, w->other_ids.n);
	atomic_fetch_add(&j->different, !same);
	buf_reset(&w->out);
	json_w_begin(&jw, '{');
	json_w_key(&jw, "n_tokens");
	json_w_u64(&jw, w->other_ids.n);
	json_w_key(&jw, "same_ids");
	json_w_bool(&jw, same);
	json_w_key(&jw, "cut_at");
	if (at == SIZE_MAX)
		json_w_raw(&jw, STR("null"));
	else
		json_w_u64(&jw, at);
	json_w_end(&jw, '}');
	return buf_check(&w->out, e) || record_set_raw(r, "compare", buf_str(&w->out), e) ? -1 : 0;
}

/* ---- the jobs --------------------------------------------------------------------------------- */

/* Text of a chat's messages, or of one user turn. */
static int encode_chat(struct record *r, struct job *j, struct worker *w, struct err *e)
{
	struct json_val messages = record_messages(r), none = { { NULL, 0 }, JSON_NONE };
	struct tok_parts parts;

	if (messages.type && messages.type != JSON_ARRAY)
		return err_set(e, ERR_INVALID_FIELD, "`messages` must be an array");
	if (!messages.type) {
		struct json_w jw = json_w(&w->out);
		struct str text;

		if (record_text(&text, r, e))
			return -1;
		buf_reset(&w->out);
		json_w_begin(&jw, '[');
		json_w_begin(&jw, '{');
		json_w_key(&jw, "role");
		json_w_strz(&jw, "user");
		json_w_key(&jw, "content");
		json_w_str(&jw, text);
		json_w_end(&jw, '}');
		json_w_end(&jw, ']');
		if (buf_check(&w->out, e) || json_parse(&messages, buf_str(&w->out), e))
			return -1;
	}
	return tok_chat_render(&parts, j->chat, j->tok, messages, json_get(record_json(r), "tools"), none, true,
			       record_arena(r), e) ||
			       tok_encode_parts(&w->ids, w->enc, &parts, e) ?
		       -1 :
		       0;
}

static int count_record(struct record *r, struct job *j, struct worker *w, struct err *e)
{
	const struct opts *o = j->o;
	struct str text;
	size_t n;

	w->ids.n = w->spans.n = 0;
	if (o->chat) {
		if (encode_chat(r, j, w, e) || set_members(r, j, w, e))
			return -1;
		return set_count(r, j, w, w->ids.n, e);
	}
	if (record_text(&text, r, e))
		return -1;
	if (o->ids || o->pieces || o->offsets || o->compare) {
		if (tok_encode(&w->ids, o->offsets || o->compare ? &w->spans : NULL, w->enc, text, j->flags, e))
			return -1;
		n = w->ids.n;
	} else if (tok_count(&n, w->enc, text, j->flags, e)) {
		return -1;
	}
	return set_members(r, j, w, e) || set_count(r, j, w, n, e) || (o->compare && set_compare(r, j, w, text, e)) ? -1 : 0;
}

/* The member that holds the text, when it is one at the top of the record; "" where it is deeper. */
static struct str text_member(struct record *r, const struct opts *o)
{
	static const char *const names[] = { "prompt", "input", "text", "content" };

	if (o->io.field)
		return json_get(record_json(r), o->io.field).type == JSON_STRING ? str_of(o->io.field) : STR("");
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (json_get(record_json(r), names[i]).type == JSON_STRING)
			return str_of(names[i]);
	return STR("");
}

static int truncate_record(struct record *r, struct job *j, struct worker *w, struct err *e)
{
	struct str text, member = text_member(r, j->o);
	struct tok_chunk k;
	struct json_w jw = json_w(&w->out);
	size_t all;

	if (record_text(&text, r, e) ||
	    tok_truncate(&k, &all, w->enc, text, j->o->truncate, j->o->keep == KEEP_TAIL, j->flags, e))
		return -1;
	if (k.end - k.start < text.n) {
		if (!member.n)
			return err_set(e, ERR_UNSUPPORTED, "a text that is not a member of the record itself cannot be truncated");
		buf_reset(&w->out);
		json_w_begin(&jw, '{');
		json_w_key(&jw, "from");
		json_w_u64(&jw, all);
		json_w_key(&jw, "to");
		json_w_u64(&jw, k.n_tokens);
		json_w_end(&jw, '}');
		text = str_sub(text, k.start, k.end);
		if (buf_check(&w->out, e) || record_set_str(r, member.p, text, e) || /* outlives the record: a literal, or --field */
		    record_set_raw(r, "truncated", buf_str(&w->out), e))
			return -1;
	}
	w->ids.n = w->spans.n = 0;
	if ((j->o->ids || j->o->pieces || j->o->offsets) && tok_encode(&w->ids, &w->spans, w->enc, text, j->flags, e))
		return -1;
	return set_members(r, j, w, e) || set_count(r, j, w, k.n_tokens, e) ? -1 : 0;
}

/* ---- chunks */

static int put_raw(struct str *out, struct record *r, const struct buf *b, struct err *e)
{
	if (buf_check(b, e))
		return -1;
	*out = arena_str(record_arena(r), buf_str(b));
	return out->p ? 0 : err_nomem(e);
}

/* The id, the text and the place of one chunk as raw JSON. */
static int chunk_values(struct str v[3], struct record *r, struct worker *w, struct str text, const struct tok_chunk *k,
			size_t index, struct err *e)
{
	struct json_w jw = json_w(&w->out);
	struct buf id;
	int rc;

	buf_init(&id, BUF_MAX_LINE);
	buf_adds(&id, record_id(r));
	buf_addf(&id, "#%zu", index);
	buf_reset(&w->out);
	json_w_str(&jw, buf_str(&id));
	rc = buf_check(&id, e) || put_raw(&v[0], r, &w->out, e);
	buf_release(&id);
	if (rc)
		return -1;
	jw = json_w(&w->out);
	buf_reset(&w->out);
	json_w_str(&jw, str_sub(text, k->start, k->end));
	if (put_raw(&v[1], r, &w->out, e))
		return -1;
	jw = json_w(&w->out);
	buf_reset(&w->out);
	json_w_begin(&jw, '{');
	json_w_key(&jw, "of");
	json_w_raw(&jw, record_id_raw(r));
	json_w_key(&jw, "index");
	json_w_u64(&jw, index);
	json_w_key(&jw, "start");
	json_w_u64(&jw, k->start);
	json_w_key(&jw, "end");
	json_w_u64(&jw, k->end);
	json_w_end(&jw, '}');
	return put_raw(&v[2], r, &w->out, e);
}

/* What the chunks of a document have from it: its members but for the text, whose place is kept. */
static int chunk_frame(struct json_val *out, struct record *r, const struct job *j, struct worker *w, struct str member,
		       struct err *e)
{
	struct json_edit ed;
	struct str s;

	*out = (struct json_val){ STR("{}"), JSON_OBJECT };
	if (j->o->io.only || !member.n)
		return 0;
	json_edit_init(&ed);
	buf_reset(&w->out);
	if ((str_is(member, "text") ? json_edit_set(&ed, member, STR("\"\""), e) : json_edit_remove(&ed, member, e)) ||
	    json_edit_put(&w->out, record_json(r), &ed, e) || put_raw(&s, r, &w->out, e))
		return -1;
	return json_parse(out, s, e);
}

static int put_chunk(struct record *r, const struct job *j, struct worker *w, struct json_val doc, struct str text,
		     const struct tok_chunk *k, size_t index, struct err *e)
{
	struct str v[3];
	struct json_edit ed;
	char n[NUM_BUF];
	struct str count = { n, num_put_u64(n, k->n_tokens) };
	char digest[HASH_HEX_LEN + 3];

	json_edit_init(&ed);
	if (chunk_values(v, r, w, text, k, index, e) || json_edit_set(&ed, STR("id"), v[0], e) ||
	    json_edit_set(&ed, STR("text"), v[1], e))
		return -1;
	if (json_edit_set(&ed, STR("chunk"), v[2], e) || json_edit_set(&ed, STR("n_tokens"), count, e))
		return -1;
	if (j->o->digest) {
		snprintf(digest, sizeof digest, "\"%s\"", tok_digest(j->tok));
		if (json_edit_set(&ed, STR("tokenizer"), str_of(digest), e))
			return -1;
	}
	buf_reset(&w->out);
	return json_edit_put(&w->out, doc, &ed, e) || buf_check(&w->out, e) || record_emit(r, buf_str(&w->out), e) ? -1 : 0;
}

static int chunk_record(struct record *r, struct job *j, struct worker *w, struct err *e)
{
	const struct opts *o = j->o;
	struct tok_chunk_opts how = { o->chunk, o->overlap, (enum tok_cut)o->cut, j->flags };
	struct str text;
	struct json_val frame;

	w->chunks.n = 0;
	if (record_text(&text, r, e) || tok_chunk(&w->chunks, w->enc, text, &how, e) || record_emit(r, STR(""), e) ||
	    chunk_frame(&frame, r, j, w, text_member(r, o), e))
		return -1;
	for (size_t i = 0; i < w->chunks.n; i++) {
		if (put_chunk(r, j, w, frame, text, &w->chunks.v[i], i, e))
			return -1;
		atomic_fetch_add(&j->total, w->chunks.v[i].n_tokens);
	}
	return 0;
}

/* ---- back to text */

/* Ids written as numbers with anything but digits between them. */
static int parse_ids(struct tok_ids *ids, struct str s, struct err *e)
{
	for (size_t i = 0; i < s.n;) {
		uint64_t v;
		size_t k = i;

		while (k < s.n && s.p[k] >= '0' && s.p[k] <= '9')
			k++;
		if (k == i) {
			if (!strchr(" \t\r\n,[]", s.p[i]))
				return err_set(e, ERR_INVALID_FIELD, "'%c' at byte %zu is no part of a list of token ids", s.p[i], i);
			i++;
			continue;
		}
		if (num_u64(&v, str_sub(s, i, k), 0, INT32_MAX, e) || tok_ids_push(ids, (int32_t)v, e))
			return -1;
		i = k;
	}
	return 0;
}

static int decode_record(struct record *r, struct job *j, struct worker *w, struct err *e)
{
	struct json_val obj = record_json(r), v = json_path(obj, str_of(j->o->io.field ? j->o->io.field : "tokens"));
	int32_t *ids;
	size_t n;

	w->ids.n = 0;
	if (v.type == JSON_ARRAY) {
		if (json_i32s(&ids, &n, v, record_arena(r), e))
			return -1;
	} else {
		struct str text;

		if (record_text(&text, r, e))
			return err_set(e, ERR_MISSING_FIELD, "no member tokens: an array of token ids");
		if (parse_ids(&w->ids, text, e))
			return -1;
		ids = w->ids.v;
		n = w->ids.n;
	}
	buf_reset(&w->out);
	if (tok_decode(&w->out, j->tok, ids, n, j->o->special == SPECIAL_ALL, e))
		return -1;
	atomic_fetch_add(&j->total, n);
	if (v.type != JSON_ARRAY)
		return record_put_text(r, buf_str(&w->out), e) || record_set_str(r, "text", buf_str(&w->out), e) ? -1 : 0;
	return record_set_str(r, "text", buf_str(&w->out), e);
}

/* One record; may run on any worker. */
static int work(struct record *r, void *arg, struct err *e)
{
	struct job *j = arg;
	struct worker *w = &j->workers[record_worker(r)];

	if (!w->enc && tok_enc_new(&w->enc, j->tok, e))
		return -1;
	if (!w->out.max)
		buf_init(&w->out, BUF_MAX_TEXT);
	if (j->o->decode)
		return decode_record(r, j, w, e);
	if (j->o->chunk)
		return chunk_record(r, j, w, e);
	if (j->o->truncate)
		return truncate_record(r, j, w, e);
	return count_record(r, j, w, e);
}

/* ---- start and end ---------------------------------------------------------------------------- */

static int open_json(struct tok **out, const char *path, struct err *e)
{
	struct buf text, config, beside;
	const char *slash = strrchr(path, '/');
	int rc;

	buf_init(&text, (size_t)1 << 30);
	buf_init(&config, (size_t)64 << 20);
	buf_init(&beside, 1 << 16);
	buf_add(&beside, path, slash ? (size_t)(slash + 1 - path) : 0);
	buf_addz(&beside, "tokenizer_config.json");
	rc = os_read_file(&text, path, (size_t)1 << 30, e) || buf_check(&beside, e) ||
	     (access(beside.p, R_OK) == 0 && os_read_file(&config, beside.p, (size_t)64 << 20, e)) ||
	     tok_open_json(out, buf_str(&text), buf_str(&config), path, e);
	buf_release(&text);
	buf_release(&config);
	buf_release(&beside);
	return rc ? -1 : 0;
}

static int open_tiktoken(struct tok **out, const char *path, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, (size_t)1 << 28);
	rc = os_read_file(&b, path, (size_t)1 << 28, e) || tok_open_tiktoken(out, buf_str(&b), path, e);
	buf_release(&b);
	return rc ? -1 : 0;
}

static int open_tokenizer(struct tok **out, struct gguf **gguf, const char *name, const struct job *j, const struct cli *c,
			  struct err *e)
{
	size_t n = name ? strlen(name) : 0;
	struct buf path, how;
	int rc;

	if (n > 5 && !strcmp(name + n - 5, ".json"))
		return open_json(out, name, e);
	if (name && str_ends(str_of(name), STR(".tiktoken")))
		return open_tiktoken(out, name, e);
	buf_init(&path, 1 << 16);
	buf_init(&how, 1 << 16);
	rc = llm_find(&path, &how, name, j->o->chunk ? LLM_EMBED : LLM_GENERATE, e);
	if (!rc && !name)
		cli_note(c, "tokenizer of %s%s%s", path.p, how.n ? ": " : "", how.n ? how.p : "");
	rc = rc || gguf_open(gguf, path.p, e) || tok_open_gguf(out, *gguf, false, e);
	buf_release(&path);
	buf_release(&how);
	return rc ? -1 : 0;
}

static int check_usage(const struct opts *o, const struct cli *c, struct err *e)
{
	if (!!o->chunk + !!o->truncate + o->decode + o->chat > 1)
		return cli_usage(e, "--chunk, --truncate, --decode and --chat exclude each other");
	if (o->chunk && (o->ids || o->pieces || o->offsets || o->count || o->total || o->max))
		return cli_usage(e, "--chunk gives chunks: count them in a second llm-tokenize");
	if ((cli_given(c, "overlap") || cli_given(c, "cut")) && !o->chunk)
		return cli_usage(e, "--overlap and --cut go with --chunk");
	if (o->chunk && o->overlap >= o->chunk)
		return cli_usage(e, "--overlap must be smaller than --chunk");
	if (cli_given(c, "keep") && !o->truncate)
		return cli_usage(e, "--keep goes with --truncate");
	if (o->chat && (o->offsets || !o->bos || o->special == SPECIAL_ALL))
		return cli_usage(e, "--chat follows the template: no --offsets, --no-bos or --special");
	if (o->decode && (o->ids || o->pieces || o->offsets || o->digest || o->count || o->total || o->max || !o->bos))
		return cli_usage(e, "--decode gives text alone");
	if (o->same && !o->compare)
		return cli_usage(e, "--same goes with --compare");
	if (cli_exclude(c, "compare", "chunk truncate decode chat count total", e))
		return -1;
	if ((o->count || o->total) && (o->ids || o->pieces || o->offsets || o->digest || o->truncate))
		return cli_usage(e, "--count and --total print numbers alone");
	return 0;
}

/* All that decides the output's bytes. */
static void params(struct buf *b, const struct job *j)
{
	const struct opts *o = j->o;
	struct json_w w = json_w(b);

	json_w_begin(&w, '{');
	json_w_key(&w, "tokenizer");
	json_w_strz(&w, tok_digest(j->tok));
	json_w_key(&w, "compare");
	json_w_strz(&w, j->other ? tok_digest(j->other) : "");
	json_w_key(&w, "n");
	json_w_begin(&w, '[');
	json_w_u64(&w, o->chunk);
	json_w_u64(&w, o->overlap);
	json_w_u64(&w, o->truncate);
	json_w_u64(&w, (uint64_t)o->cut);
	json_w_u64(&w, (uint64_t)o->keep);
	json_w_u64(&w, (uint64_t)o->special);
	json_w_end(&w, ']');
	json_w_key(&w, "flags");
	json_w_begin(&w, '[');
	for (int i = 0; i < 8; i++)
		json_w_bool(&w, (bool[]){ o->ids, o->pieces, o->offsets, o->digest, o->decode, o->chat, o->bos, o->count }[i]);
	json_w_end(&w, ']');
	json_w_end(&w, '}');
}

static int run(struct job *j, struct opts *o, struct cli *c, struct err *e)
{
	struct buf p;
	int rc;

	o->io.files = c->operands;
	o->io.n_files = c->n_operands;
	o->io.text_out = o->decode;
	if (!cli_given(c, "jobs"))
		o->io.jobs = o->threads ? o->threads : os_cpus();
	j->flags = (o->bos ? TOK_ADD_SPECIAL : 0u) | (o->special == SPECIAL_ALL ? TOK_PARSE_SPECIAL : 0u);
	if (check_usage(o, c, e) || open_tokenizer(&j->tok, &j->gguf, o->model, j, c, e) ||
	    (o->compare && open_tokenizer(&j->other, &j->other_gguf, o->compare, j, c, e)))
		return -1;
	if (o->chunk && o->chunk < tok_chunk_min(j->tok, j->flags))
		return cli_usage(e, "--chunk must be at least %zu with this tokenizer", tok_chunk_min(j->tok, j->flags));
	if (o->chat && (!j->gguf || tok_chat_open(&j->chat, j->gguf, e) || !j->chat))
		return e->code ? -1 : err_set(e, ERR_OPEN, "%s has no chat template", j->gguf ? gguf_path(j->gguf) : o->model);
	j->workers = calloc(o->io.jobs, sizeof *j->workers);
	if (!j->workers)
		return err_nomem(e);
	buf_init(&p, 1 << 16);
	if (o->io.resume) /* the only one who asks; a digest takes as long as opening the tokenizer */
		params(&p, j);
	rc = buf_check(&p, e) || record_map(&c->tally, &o->io, "tokenize", buf_str(&p), work, j, e);
	buf_release(&p);
	if (!rc && o->total && printf("%llu\n", (unsigned long long)atomic_load(&j->total)) < 0)
		return err_set(e, ERR_WRITE, "cannot write to standard output");
	if (!rc && o->compare)
		cli_info(c, "%llu tokens, %llu with %s; other ids in %llu of %llu records",
			 (unsigned long long)atomic_load(&j->total), (unsigned long long)atomic_load(&j->other_total),
			 o->compare, (unsigned long long)atomic_load(&j->different), (unsigned long long)c->tally.in);
	if (!rc && o->same && atomic_load(&j->different))
		return err_set(e, ERR_GATE, "%llu of %llu records have other ids with %s",
			       (unsigned long long)atomic_load(&j->different), (unsigned long long)c->tally.in, o->compare);
	if (!rc && atomic_load(&j->over))
		return err_set(e, ERR_GATE, "%llu of %llu records have more than %u tokens",
			       (unsigned long long)atomic_load(&j->over), (unsigned long long)c->tally.in, o->max);
	return rc ? -1 : 0;
}

static void job_release(struct job *j)
{
	for (uint32_t i = 0; j->workers && i < j->o->io.jobs; i++) {
		struct worker *w = &j->workers[i];

		tok_enc_free(w->enc);
		tok_enc_free(w->other_enc);
		tok_ids_release(&w->ids);
		tok_ids_release(&w->other_ids);
		free(w->spans.v);
		free(w->other_spans.v);
		free(w->chunks.v);
		buf_release(&w->out);
	}
	free(j->workers);
	tok_tmpl_close(j->chat);
	tok_close(j->tok);
	tok_close(j->other);
	gguf_close(j->gguf);
	gguf_close(j->other_gguf);
}

int main(int argc, char **argv)
{
	struct opts o = { .io = RECORD_OPTS_INIT, .bos = true };
	struct job j = { .o = &o };
	struct err e = { 0 };
	struct cli c;
	int failed;

	if (cli_start(&c, &prog, &o, argc, argv))
		return cli_finish(&c, NULL);
	failed = run(&j, &o, &c, &e);
	job_release(&j);
	return cli_finish(&c, failed ? &e : NULL);
}
