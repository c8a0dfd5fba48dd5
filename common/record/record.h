/*
 * record: NDJSON records in, records out, in input order. Every tool goes through here.
 *
 *   struct record_io *io;
 *   record_open(&io, &opts, &tally, "embed", params, e);
 *   while (record_next(&r, io, true, e) == 0 && r)  … record_set_…(r, …); record_done(io, r, e);
 *   record_close(io, e);
 *
 * or, a function on each record over a pool of workers: record_map().
 *
 * record_next() hands out records in input order; record_done() takes them back in any order; the
 * output is written in input order, whole lines only, and at most opts.jobs records are between the
 * two. Both may be called from any thread. A record that came with an `error`, and a line that is
 * no JSON, never reaches the tool: they are passed on and counted.
 */
#ifndef RECORD_RECORD_H
#define RECORD_RECORD_H

#include "base/base.h"
#include "json/json.h"
#include "os/os.h"

enum record_input { RECORD_AUTO, RECORD_JSON, RECORD_TEXT, RECORD_LINES };

/* A count of the tool's own. */
struct record_count {
	const char *name; /* NULL ends a list */
	const uint64_t *value;
};
struct record_opts {
	const char *const *files; /* operands; none means standard input */
	size_t n_files;
	unsigned jobs; /* records in flight (the window), >= 1 */
	enum record_input input;
	const char *output;  /* -o; NULL standard output */
	const char *field;   /* --field: a name or path; NULL the design's order */
	const char *errors;  /* --errors FILE */
	const char *resume;  /* --resume OUT */
	const char *summary; /* --summary FILE: one JSON object with the counts */
	const struct record_count *counts; /* set by the tool: for the summary, read when it is written */
	bool only;           /* --only: the id and the tool's own members */
	bool fail_fast;
	bool retry_errors; /* with resume: do records in error again */
	bool json;         /* --json: records out even where text came in */
	bool sink;         /* set by the tool: print failed records alone (DESIGN 2.9) */
	bool tee;          /* --tee: a sink passes every record on */
	bool text_out;     /* set by the tool: text in gives text out (llm-generate) */
	bool unique_ids;   /* set by the tool: a repeated id is ERR_DUPLICATE_ID; resume does too */
	const char *takes_error; /* set by the tool: records with an error of this code come to it, too */
	bool batch;        /* set by the tool: lines of OpenAI's Batch API fail in its form, and their ids are unique */
};
#define RECORD_OPTS_INIT                                                                           \
	{                                                                                          \
		.jobs = 1                                                                          \
	}

struct record_io;
struct record; /* one record in hand; owned by its record_io */

/*
 * Open input and output. `stage` names the tool in error records ("embed"). `params` is a JSON text
 * of all that decides the output's bytes (model digest, sampler, …) or NULL: with --resume its hash
 * is kept beside OUT (OUT.resume, which stays: the input may grow) and a run with other parameters
 * is refused (ERR_OPEN: exit 5).
 */
int record_open(struct record_io **out, const struct record_opts *o, struct tally *t,
		const char *stage, struct str params, struct err *e);
/*
 * The next record, or *out == NULL at the end of input (record_ended() is then true), when the
 * window is full or, with wait == false, when no whole line is at hand. -1 ends the run (read
 * error, stop signal, --fail-fast).
 */
int record_next(struct record **out, struct record_io *io, bool wait, struct err *e);
bool record_ended(struct record_io *io);
/* Give it back: writes whatever is now in order. -1 when writing failed (ERR_WRITE) or fail-fast
 * fired. */
int record_done(struct record_io *io, struct record *r, struct err *e);
/* Writes one JSON object as a line of the output at once, between records (a piece of an answer that is still coming).
 * Not with --resume, where a line is a record. */
int record_say(struct record_io *io, struct str json, struct err *e);
/* All lines out, output closed and checked, counts and summary written. Frees io. Also after a
 * failure (then what is finished has been written, the rest is dropped; e may be NULL). */
int record_close(struct record_io *io, struct err *e);
/* True when the input is text and the tool's text_out is on (and not --json, --resume): the output
 * is plain text. Each input decides for itself: this speaks of the one that the last record given
 * came from. */
bool record_text_mode(const struct record_io *io);
bool record_is_text(const struct record *r); /* the same of one record */

/* fn on each record over o->jobs workers (0 <= record_worker() < jobs); -1 from fn makes an error
 * record of e, or ends the run where the code is one of a run. */
typedef int record_fn(struct record *r, void *arg, struct err *e);
int record_map(struct tally *t, const struct record_opts *o, const char *stage, struct str params,
	       record_fn *fn, void *arg, struct err *e);

/* ---- one record ------------------------------------------------------------------------------ */

struct arena *record_arena(struct record *r);  /* lives until record_done() */
struct json_val record_json(struct record *r); /* the object; for text input {"id":…,"text":…} */
unsigned record_worker(const struct record *r);
uint64_t record_line(const struct record *r); /* in its input; 0: a whole text */
uint64_t record_seq(const struct record *r);  /* 0, 1, …: its place in the input */
/* The id as raw JSON (a string or number), given or made (DESIGN 2.2); and as plain text. */
struct str record_id_raw(struct record *r);
struct str record_id(struct record *r);
/* The text by DESIGN 2.3 (--field, else prompt > input > text > content). `messages` is not text:
 * see record_messages(). ERR_MISSING_FIELD names the members looked for. */
int record_text(struct str *out, struct record *r, struct err *e);
/* `messages` if it is there and no --field was given; else JSON_NONE. */
struct json_val record_messages(struct record *r);
/* The request in a line of OpenAI's Batch API ({custom_id, method, url, body}); JSON_NONE in any other record. */
struct json_val record_batch(const struct record *r);
/* The value of a member of `params` (or of a Batch line's body): JSON_NONE where there is none. */
struct json_val record_param(struct record *r, const char *name);

/* Set one of the tool's own members; the value is copied, the name is not (a literal). */
int record_set_raw(struct record *r, const char *name, struct str json, struct err *e);
int record_set_str(struct record *r, const char *name, struct str s, struct err *e);
int record_set_u64(struct record *r, const char *name, uint64_t v, struct err *e);
int record_set_f64(struct record *r, const char *name, double v, struct err *e);
int record_set_bool(struct record *r, const char *name, bool v, struct err *e);
int record_set_i32s(struct record *r, const char *name, const int32_t *v, size_t n, struct err *e);
int record_set_f32s(struct record *r, const char *name, const float *v, size_t n, bool base64,
		    struct err *e);
int record_remove(struct record *r, const char *name, struct err *e);
/* Append one entry (a JSON object) to the array `calls` (DESIGN 2.4). */
int record_add_call(struct record *r, struct str json, struct err *e);
/*
 * Replace the record's own line by others: the first call takes the line away, each call with
 * json.n > 0 adds one (llm-tokenize --chunk, llm-index search --flat). For --resume a line must
 * have the record's id as its `id`, `chunk.of` or `query_id`. An error set later wins over them.
 */
int record_emit(struct record *r, struct str json, struct err *e);
/* In text mode: what is printed for this record (a newline is added unless it ends in one). */
int record_put_text(struct record *r, struct str s, struct err *e);
/* Make it an error record; e's code must be one of a record. `attempts` 0 leaves that member out.
 * Members that were set before are dropped, those set after it stay (llm-cost: a null `cost` beside
 * the error). */
void record_fail(struct record *r, const struct err *e, unsigned attempts);
/* Hold it back from the output (a filter: llm-index missing). */
void record_drop(struct record *r);

#endif
