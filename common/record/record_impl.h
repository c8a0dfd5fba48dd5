/* What the sources of this room share: the record, the run, and who may touch what. */
#ifndef RECORD_RECORD_IMPL_H
#define RECORD_RECORD_IMPL_H

#include "record/record.h"
#include <pthread.h>

/* Members that are looked up in every record, found in one pass. */
enum field {
	F_ID,
	F_CUSTOM_ID,
	F_TASK_ID,
	F_DOC_ID,
	F_ERROR,
	F_MESSAGES,
	F_PROMPT,
	F_INPUT,
	F_TEXT,
	F_CONTENT,
	F_PARAMS,
	F_BODY,
	F_CALLS,
	F_CHUNK,
	F_QUERY_ID,
	F_RESPONSE,
	N_FIELDS
};

#define MEMBERS_MAX 64

/* A member set by the tool: its value is a piece of record.own, which may move while it grows. */
struct own {
	const char *name;
	size_t from, to;
	bool remove;
};

enum record_state { R_HELD, R_DONE };

struct record {
	struct record_io *io;
	struct record *next; /* in the free list */
	enum record_state state;
	uint64_t seq;  /* place in the input */
	uint64_t line; /* 0: a whole text */
	unsigned worker;
	bool text;           /* it came as text */
	struct buf raw;      /* the line, or the text */
	struct buf made;     /* the object made of a text, the id made for a record */
	struct json_val obj; /* JSON_NONE: the line is no record, `raw` is all there is */
	struct json_member m[MEMBERS_MAX]; /* of obj, n_m of them; more than MEMBERS_MAX are found
					      by iterating */
	size_t n_m;
	struct json_val f[N_FIELDS];
	const char *id_name;
	struct str id_raw, id_text;
	bool id_made; /* and not in obj */
	struct arena arena;

	struct own set[JSON_EDIT_MAX - 2]; /* room for id and error */
	size_t n_set;
	struct buf own;
	bool emits, drop, failed, passed, has_text;
	struct buf emitted; /* whole lines */
	uint64_t n_emitted;
	struct buf text_out;
	enum err_code code;
	unsigned attempts;
	char message[sizeof((struct err *)0)->text];

	struct buf out; /* the bytes to write */
	bool to_errors; /* to --errors, not to the output */
	uint64_t n_out; /* records in out */
	bool copied;    /* out is what OUT had (--retry-errors) */
	struct buf old; /* --retry-errors: what OUT has of it */
};

/* One input after the other, cut into lines or texts. Under in_lock. */
struct source {
	struct os_in *in;
	size_t next_file;
	bool is_stdin, eof, given, ended; /* given: all of this input; ended: all of all */
	enum record_input kind;           /* RECORD_AUTO: not known yet */
	struct str chunk;                 /* read, not used */
	struct buf part;                  /* the beginning of a line or text */
	uint64_t line;
	bool idle; /* io->idle, as this side knows it */
};

/* Where lines go. Under lock. */
struct dest {
	struct os_out *o;
	struct buf b; /* whole lines, not written yet */
	bool zst;
	bool dirty;           /* compressed bytes since the last frame ended */
	uint64_t last_ns;     /* of the last write */
	char *replace, *temp; /* written to temp, which becomes `replace` at a clean end */
};

/* What --resume found in OUT. Under in_lock, but for `marked`. */
struct resume {
	int fd;             /* of OUT, locked against a second run; -1: none */
	bool active;        /* lines of OUT are still to be matched */
	bool any;           /* a record may have given other than one line */
	bool marked;        /* under lock: and the file beside OUT says so */
	bool copy;          /* --retry-errors: OUT is made anew, what is good is copied */
	bool commit;        /* under lock: all of OUT was matched; it is replaced when… */
	uint64_t commit_at; /* … this slot is next */
	bool mismatch;      /* OUT is of another input: leave it alone */
	struct os_in *in;
	struct str chunk;
	struct buf line; /* the line to match */
	bool have;       /* `line` holds one */
	struct json_val f[N_FIELDS];
	uint64_t n, at, next; /* number and offset of `line`; offset behind it */
	struct map errors;    /* ids in --errors FILE */
	char params[HASH_HEX_LEN + 1];
};

/* What becomes of an input record while OUT is matched. */
enum resume_verdict { RESUME_WORK, RESUME_DONE, RESUME_COPY };

struct record_io {
	struct record_opts o;
	struct tally *t;
	const char *stage;

	pthread_mutex_t in_lock; /* taken before `lock` */
	struct source src;
	uint64_t seq;
	struct map ids;
	bool unique;
	struct resume rs;

	pthread_mutex_t lock;
	pthread_cond_t room;
	struct record **ring;
	uint64_t head, tail; /* next slot to write, next to give */
	size_t ring_n;
	unsigned held;  /* in the tool's hands */
	size_t waiting; /* bytes done, not in order yet */
	struct record *unused;
	struct dest out, err;
	bool idle;  /* the reader waits for input: write at once */
	bool ended; /* no more input */
	bool text_mode;
	struct err stop;   /* why the run ends, code ERR_OK while it goes on */
	struct err broken; /* writing failed */
};

/* in.c: the next line or text into r->raw, with r->line and r->text; *got false when there is none
 * (now). */
int record_source_next(struct record *r, bool *got, struct record_io *io, bool wait, struct err *e);
void record_source_close(struct source *s);
/* Name of the input in hand, for ids and messages; NULL for standard input. */
const char *record_source_name(const struct source *s);

/* fields.c */
void record_find_fields(struct json_val f[N_FIELDS], struct json_val obj,
			const struct json_member *m, size_t n);
/* The identity's member, or NULL; *out its value. */
const char *record_identity(struct json_val *out, const struct json_val f[N_FIELDS]);
/* An id as text, in the arena where it must be decoded. */
struct str record_id_of(struct json_val v, struct arena *a);
bool record_has_error(const struct json_val f[N_FIELDS]);
/* From r->raw to a record: 0, or -1 with the reason why it is none (a record's code). */
int record_read(struct record *r, struct err *e);
void record_clear(struct record *r);

/* out.c */
int record_build(struct record *r, struct err *e);
int record_dest_open(struct dest *d, const char *path, bool append, bool replace, struct err *e);
/* Lines to io->out or io->err, written when there are many or the last write is long ago. Under
 * lock. */
int record_write(struct record_io *io, struct dest *d, struct str lines, struct err *e);
/* Writes all there is, the errors first: a record that is missing in OUT between two others must be
 * in FILE. */
int record_flush(struct record_io *io, bool end_frame, struct err *e);
/* All so far is in `replace`, and what follows will be. */
int record_dest_commit(struct dest *d, struct err *e);
int record_dest_close(struct dest *d, bool good, struct err *e);
int record_summary(const struct record_io *io, struct err *e);

/* resume.c */
int record_resume_open(struct record_io *io, struct str params, struct err *e);
int record_resume_match(enum resume_verdict *out, struct record *r, struct err *e);
/* At the end of the input: -1 when OUT holds more than that. */
int record_resume_end(struct record_io *io, struct err *e);
/* --retry-errors was stopped early: what is not done again keeps what OUT had of it. */
int record_resume_rest(struct record_io *io, struct err *e);
/* A record is about to give other than one line: say so beside OUT, once. Under lock. */
int record_resume_any(struct record_io *io, struct err *e);
void record_resume_close(struct record_io *io);

/* io.c: waits until record_next() may give a record again. */
void record_wait_room(struct record_io *io);
/* Ends the run for e: record_next() gives no more. */
void record_stop(struct record_io *io, const struct err *e);

#endif
