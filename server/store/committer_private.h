/*
 * committer_private.h - the committer as its files see it. Private to store/.
 *
 *   committer.c   the states, what follows what
 *   retry.c       how a batch goes on whose transaction failed
 *   session.c     connecting, the session's settings, the lock, the checkpoint
 *   holder.c      who else has the lock, and whether it lives
 *   exchange.c    bytes: sending, reading, which answer belongs to which question
 *   copier.c      the rows by COPY, and the tail of a commit
 *   prepared.c    a tiny batch in one pipeline of prepared statements
 *   inserter.c    row by row, to find duplicates and rows that the database refuses
 *   letter.c      refused rows into penstock.dead_letter
 */
#ifndef PENSTOCK_STORE_COMMITTER_PRIVATE_H
#define PENSTOCK_STORE_COMMITTER_PRIVATE_H

#include "connection.h"
#include "holder.h"
#include "row.h"
#include "tail.h"

#include "penstock/store.h"

/* See the diagram in committer.c. */
enum committer_state {
    STATE_DOWN,
    STATE_LOOKING_UP,
    STATE_CONNECTING,
    STATE_SETTING,
    STATE_LOCKING,
    STATE_WAITING,
    STATE_IDLE,
    STATE_SIGNING,
    STATE_PREPARED,
    STATE_COPYING,
    STATE_INSERTING,
    STATE_FINISHING,
    STATE_UNDOING,
    STATE_PAUSED,
    STATE_FAILED,
    STATE_COUNT
};

/* ---- exchange: what was asked and is not answered yet -----------------------------------------
 */

enum sent_kind {
    SENT_CONTROL,     /* BEGIN, SAVEPOINT …: must not fail */
    SENT_PREPARE,     /* `ready` becomes true when it worked */
    SENT_TYPES,       /* penstock.base_types() of `target` */
    SENT_ROW,         /* `event` */
    SENT_LETTER,      /* `event`: index of the failure */
    SENT_CONSTRAINTS, /* SET CONSTRAINTS ALL IMMEDIATE */
    SENT_PAYLOAD,
    SENT_COMMIT, /* penstock.commit_batch() */
    SENT_SYNC,
};

struct sent {
    enum sent_kind kind;
    uint32_t event;
    struct target *target; /* NULL: not about one */
    bool *ready;
};

struct exchange {
    bool open;         /* an answer is awaited */
    bool pipelined;    /* otherwise one simple query */
    bool copying;      /* the server awaits COPY data */
    bool broken;       /* the connection failed; seen at the end of the turn */
    bool failed;       /* an answer was an error: the first is in committer.failure */
    size_t answers;    /* results so far */
    struct sent *sent; /* owns; those in [head, count) are not answered */
    size_t head, count, room;
};

/* ---- copier ---------------------------------------------------------------------------------- */

enum copy_step_kind {
    STEP_UNDO,
    STEP_ROWS,
    STEP_EXPECT,
    STEP_CONSTRAINTS,
    STEP_PAYLOAD,
    STEP_TAIL,
    STEP_COMMIT
};

struct copy_step {
    enum copy_step_kind kind;
    struct target *target; /* STEP_ROWS */
};

#define SLICE_BYTES (128u * 1024)

struct copier {
    struct copy_step *steps; /* owns: the statements of the string, in order */
    size_t step, step_count, step_room;
    size_t event;        /* STEP_ROWS: the next to send; STEP_PAYLOAD: 1 when it was written */
    size_t payload_sent; /* STEP_PAYLOAD */
    bool opened, closed; /* header and trailer are in the slice */
    uint8_t *slice;      /* owns SLICE_BYTES: what goes into the next PQputCopyData */
    size_t slice_size;
};

/* ---- inserter -------------------------------------------------------------------------------- */

#define RUN_ROWS_MAX 512

enum inserter_phase { PHASE_PREPARE, PHASE_CHUNK, PHASE_ROWS, PHASE_LETTERS, PHASE_RAW_LETTERS };

struct inserter {
    enum inserter_phase phase;
    bool begun;        /* BEGIN was sent */
    bool aborted;      /* the last statement failed: ROLLBACK TO SAVEPOINT comes next */
    bool chunk_failed; /* a row of this chunk did */
    bool immediate;    /* deferred constraints are checked at once */
    size_t from, to;   /* events of this run */
    size_t chunk_rows; /* how many go under one savepoint now */
    bool by_row;       /* so many fail that chunks do not pay */
    size_t failure_count;
    struct failure failures[RUN_ROWS_MAX];
    bool raw[RUN_ROWS_MAX]; /* the letter must carry the row's bytes */
};

/* ---- the whole ------------------------------------------------------------------------------- */

enum batch_form { FORM_FAST, FORM_ROWS };
enum failure_place {
    AT_ROWS,
    AT_CONSTRAINTS, /* those that are checked behind the rows */
    AT_TAIL,
    AT_CONTROL
};

struct committer {
    struct committer_options options; /* its strings are owned */
    char application_name[64];
    enum committer_state state;
    PGconn *connection; /* owns */
    struct loop_watch watch;
    bool watching;
    struct loop_timer timer; /* deadline of the step, end of a pause, or the next sign of life */
    struct exchange exchange;
    struct failure failure; /* the first error of the exchange */
    enum failure_place place;
    struct target *failed_target;

    /* session.c */
    struct hosts hosts;    /* of the URL */
    struct lookup *lookup; /* owns; of their names */
    unsigned turn;         /* which of them is tried first */
    int backend_pid;       /* of this session, or the last one */
    bool was_ready;        /* since the start */
    bool lock_granted;
    char epoch[UUID_TEXT_BYTES + 1];
    bool only_reads;          /* a standby, or a database that was made read-only */
    int64_t waiting_since_us; /* for the lane's lock; 0: not waiting … */
    int64_t told_waiting_us;  /* … and when that was last said */
    struct holder holder;     /* of the lock */
    uint64_t checkpoint;      /* the last frame that is in, as far as we know */
    unsigned slot;            /* of the log (slots.sql): the current one, as far as we know */
    uint64_t found_checkpoint, found_first;
    int64_t found_last, found_at_us;
    unsigned attempts;  /* for the back-off */
    int64_t told_us;    /* when something that keeps failing was last logged … */
    char told_what[80]; /* … and what that was */
    int64_t told_rejected_us;
    uint64_t rejected_untold; /* events refused since then */
    char rejected_state[6];   /* the SQLSTATE of one of them */
    uint64_t random;

    /* the batch under way */
    struct batch *batch; /* borrows until on_done */
    enum batch_form form;
    bool assigned;            /* targets are */
    unsigned timeouts;        /* of a statement, or of an answer */
    int64_t blocked_since_us; /* errors that pass by themselves have not; 0: there was none */
    bool impatient;           /* they count as the fault of the row that brings them */
    uint64_t answer_first;
    int64_t answer_at_us;
    struct targets targets;
    struct tail tail;
    struct copier copier;
    struct inserter inserter;
    struct row_parameters row;
    struct text sql;
    bool forget; /* DEALLOCATE ALL goes before the next pipeline */
    bool controls_ready[3];
    bool tail_ready, payload_ready, constraints_ready, raw_ready;
};

/* committer.c */
void committer_move(struct committer *c, enum committer_state to);
/* Takes the next step: what the present state waited for has happened. */
void committer_advance(struct committer *c);
/* The connection is of no use any more. */
void committer_lose(struct committer *c, const char *why);
/* The server that it leads to cannot be written to: another one of the URL is next. */
void committer_lose_reader(struct committer *c);
/* The timer brings the next attempt, later each time. */
void committer_pause(struct committer *c);
/* Logs what keeps failing when it is news, or has not been said for a while. */
void committer_tell(struct committer *c, const char *what, const char *message);
/* Stays down; on_failed is called. */
void committer_fail(struct committer *c, const struct problem *problem);
/* Ranks the batch's events and makes the tail of its commit. False: no memory. */
bool committer_build_tail(struct committer *c);
/* A failure of this target's table is still to be waited for. */
bool committer_is_patient(struct target *target);

/* retry.c: after an error, with the transaction perhaps still open; and once it is over. */
void retry_recover(struct committer *c);
void retry_decide(struct committer *c);
/* PostgreSQL has not answered in time, and the connection is about to be given up. */
void retry_count_silence(struct committer *c);

/* session.c */
void session_connect(struct committer *c);
/* The next attempt begins with another server of the URL. */
void session_turn(struct committer *c);
void session_poll(struct committer *c);
void session_set(struct committer *c);
void session_lock(struct committer *c);
/* Somebody else has the lock: waits for it, or fails when that is a server that lives. */
void session_wait(struct committer *c);
void session_result(struct committer *c, const PGresult *result);
void session_close(struct committer *c);
/* The session's prepared statements are made anew. */
void session_forget(struct committer *c);
int64_t session_pause_us(struct committer *c);

/* exchange.c */
bool exchange_watch(struct committer *c, unsigned events);
void exchange_simple(struct committer *c, const char *sql);
void exchange_enter_pipeline(struct committer *c);
/* Each sends nothing when the exchange is broken. */
void exchange_push(struct committer *c, struct sent sent);
void exchange_command(struct committer *c, const char *sql);
void exchange_prepare(struct committer *c, const char *name, const char *sql, int type_count,
                      const Oid *types, bool *ready);
void exchange_sync(struct committer *c);
void exchange_row_sent(struct committer *c);
/* Everything is queued: send, and await the answers. */
void exchange_go(struct committer *c);
void exchange_run(struct committer *c, unsigned events);
void exchange_fail(struct committer *c, const PGresult *result, enum failure_place place,
                   struct target *target);
/* The same for what the server does not take for an error. */
void exchange_fail_with(struct committer *c, const struct failure *failure,
                        enum failure_place place, struct target *target);
void exchange_reset(struct committer *c);

/* copier.c */
void copier_start(struct committer *c);
void copier_finish(struct committer *c); /* the tail alone, after inserter.c */
void copier_result(struct committer *c, PGresult *result);
void copier_pump(struct committer *c);
bool answer_read(struct committer *c, const PGresult *result);

/* prepared.c */
void prepared_start(struct committer *c);
void prepared_result(struct committer *c, const struct sent *sent, const PGresult *result);
bool statement_prepare(struct committer *c, struct statement *statement, int type_count,
                       const Oid *types, struct target *target);

/* inserter.c */
void inserter_start(struct committer *c);
void inserter_result(struct committer *c, const struct sent *sent, PGresult *result);
void inserter_advance(struct committer *c);
/* The next run of events, or the tail. */
void inserter_next(struct committer *c);
void inserter_undo(struct committer *c);
void inserter_keep(struct committer *c);

/* letter.c */
void letter_start(struct committer *c);
void letter_start_raw(struct committer *c);
void letter_result(struct committer *c, const struct sent *sent, const PGresult *result);

#endif
