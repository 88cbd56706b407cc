/*
 * store.h - PostgreSQL: the catalog, the commit, the notifications. The only place with libpq.
 *
 * Six things, by who uses them:
 *   - struct store:     one blocking connection, for start-up and the command line (main): schema,
 *                       catalog, dead letters;
 *   - struct committer: one non-blocking connection on a lane's loop; the heart (DESIGN section 4);
 *   - struct listener:  the feed's connection: LISTEN, and reading the log;
 *   - struct log_reader: the history thread's connection: reading the log at any place;
 *   - struct outbox_reader: the outbox thread's connection: what others wrote, into the log;
 *   - struct bus_link:  the bus's connection: what nodes say to each other, as notifications;
 *   - store_schema_sql(): the schema `penstock`, the only thing in the database that is ours.
 *
 * No call waits without a deadline: connect_timeout_ms, statement_timeout_ms and TCP user timeouts
 * are set on every connection. DSN passwords never reach a problem text or the log.
 */
#ifndef PENSTOCK_STORE_H
#define PENSTOCK_STORE_H

#include "penstock/loop.h"
#include "penstock/node.h"
#include "penstock/record.h"
#include "penstock/stream.h"
#include "penstock/window.h"

/* ---- start-up and command line --------------------------------------------------------------- */

struct store;
struct store_options {
    const char *url;
    const char *role; /* shown as application_name "penstock <role>" */
    uint64_t connect_timeout_ms, statement_timeout_ms;
};
enum status store_open(const struct store_options *options, struct store **out,
                       struct problem *problem) must_use;
void store_close(struct store *store); /* accepts NULL */

/* What store_migrate() runs in an empty database, in one transaction: for people who let nobody but
 * themselves run DDL. `part` counts from 0; behind the last one there is nothing. Any thread. */
struct span store_schema_sql(size_t part);
/* Makes or upgrades the schema `penstock`, in one transaction, under a lock. */
enum status store_migrate(struct store *store, struct problem *problem) must_use;
/* The same in two halves, for what belongs into that transaction; `keep` false rolls it back, which
 * is also what to do after a failure of the first half. */
enum status store_migrate_begin(struct store *store, struct problem *problem) must_use;
/* Between the two: a new epoch, where it is asked for, or the database was restored from a dump.
 * `out` is "" when there is none. BAD_DATABASE, too, while a server is running on it. */
enum status store_renew_epoch(struct store *store, bool is_asked, char out[UUID_TEXT_BYTES + 1],
                              struct problem *problem) must_use;
enum status store_migrate_end(struct store *store, bool keep, struct problem *problem) must_use;
/* UNAVAILABLE-free verdict: is the schema there, in the version this binary needs? */
enum status store_check_schema(struct store *store, struct problem *problem) must_use;
enum status store_read_epoch(struct store *store, char out[UUID_TEXT_BYTES + 1],
                             struct problem *problem) must_use;
/* "Table" or "schema.Table", names exact as in the catalog. BAD_DATABASE when there is no such
 * table, it is no table, or INSERT on it (or on one of its columns) is not granted. */
enum status store_read_table(struct store *store, const char *table, struct table_description *out,
                             struct problem *problem) must_use;
/*
 * For each table, named as above, a number that changes whenever store_read_table() may have
 * another answer; 0: there is no such table. One query that waits for no lock on any of them. A
 * function in a default that was replaced under the same name goes unseen.
 */
enum status store_fingerprint_tables(struct store *store, const char *const *tables, size_t count,
                                     uint64_t *out, struct problem *problem) must_use;
/* What one round of store_retain() did. */
struct retained {
    uint64_t dropped;  /* batches */
    bool is_more;      /* something was done, and there may be more to do */
    bool is_elsewhere; /* another node does it at this moment */
    bool is_held;      /* somebody reads what should leave */
    uint64_t bytes;    /* of the log on disk, with its indexes */
    int64_t oldest_us; /* of the oldest batch left, unix time; 0: there is none */
};
/* What of the log is older than `keep_s`, or more than `keep_bytes`, leaves it (retain.sql), at
 * most a slot in a round; 0 is no limit. Commits do not wait for it. */
enum status store_retain(struct store *store, uint64_t keep_s, uint64_t keep_bytes,
                         struct retained *out, struct problem *problem) must_use;

/* ---- privileges ------------------------------------------------------------------------------ */

enum privilege_kind { PRIVILEGE_MISSING, PRIVILEGE_ROW_SECURITY, PRIVILEGE_SURPLUS };
/*
 * What the role (NULL: this connection's) lacks, or has beyond what the server needs for these
 * tables. `visit` gets each finding as a sentence, with the statement that mends it; it may run it.
 * Tables that are not there have none.
 */
enum status store_compare_privileges(struct store *store, enum privilege_kind kind,
                                     const char *role, const char *const *tables, size_t count,
                                     enum status (*visit)(void *owner, const char *what,
                                                          const char *mend,
                                                          struct problem *problem),
                                     void *owner, struct problem *problem) must_use;
/* Makes the role, which may log in, unless it is there; `out_statement` is how, or "". */
enum status store_make_role(struct store *store, const char *role, char *out_statement, size_t size,
                            struct problem *problem) must_use;

/* What stands between us and PostgreSQL. One that lends backends for a transaction at a time has no
 * LISTEN, no session locks and no prepared statements, all of which the server needs. */
enum pooler_kind { POOLER_NONE, POOLER_OF_SESSIONS, POOLER_OF_TRANSACTIONS };
enum status store_find_pooler(const struct store_options *options, enum pooler_kind *out,
                              struct problem *problem) must_use;

/* ---- trying a migration ---------------------------------------------------------------------- */

/* What one statement did to a table that was there before it; lent for the call. */
struct trial_effect {
    const char *table;
    const char *lock;           /* "AccessExclusiveLock": one that stops writers; or NULL */
    const char *rewritten_size; /* "12 MB": it lies in another file now; or NULL */
};
/* In between, store_read_table() tells what the tables would be. Each begin has its end, whatever
 * fails: everything since it is rolled back. After an end another trial may begin: tables that were
 * there before the first are still those that count. */
enum status store_trial_begin(struct store *store, struct problem *problem) must_use;
/* One command: several are refused. One that ends the transaction fails, and the problem says what
 * may have become of it. */
enum status store_trial_run(struct store *store, const char *statement,
                            void (*visit)(void *owner, const struct trial_effect *effect),
                            void *owner, struct problem *problem) must_use;
/* Behind the last statement: checks the constraints that are deferred, and is the role that
 * connected again. */
enum status store_trial_settle(struct store *store, struct problem *problem) must_use;
void store_trial_end(struct store *store);
/* Between an end and a begin: what runs outside of a transaction only. */
enum status store_trial_alone(struct store *store, const char *statement,
                              struct problem *problem) must_use;
/* In a copy that nobody else needs: ends it by a commit. */
enum status store_trial_keep(struct store *store, struct problem *problem) must_use;

/* ---- making a scratch copy ------------------------------------------------------------------- */

/* What it takes to copy the schema of this database elsewhere. Owns its strings. */
struct copy_needs {
    int version;       /* major, of the server */
    char *conninfo;    /* how to get there again, without the password */
    char *password;    /* or NULL */
    char *roles;       /* statements that make the roles, by name only */
    char *search_path; /* of this session, as SET takes it */
};
enum status store_read_copy_needs(struct store *store, struct copy_needs *out,
                                  struct problem *problem) must_use;
void copy_needs_fini(struct copy_needs *needs);
/* "12 MB"; "" when there is no such table. `table` as regclass writes it. */
enum status store_table_size(struct store *store, const char *table, char *out, size_t size,
                             struct problem *problem) must_use;

/* Runs SQL that a command ships (example tables of `penstock dev`). */
enum status store_execute(struct store *store, const char *sql, struct problem *problem) must_use;

/* ---- dead letters ---------------------------------------------------------------------------- */

/* Which letters. All zero: all of them. */
struct letter_filter {
    const char *stream, *sqlstate; /* NULL: any */
    int64_t behind;                /* only those with greater ids */
    int64_t up_to;                 /* 0: no limit; else only those with ids up to this one */
};

/* One letter, lent for the call; what is NULL in the database is "". Texts come from publishers:
 * whoever shows them on a terminal makes control characters harmless. */
struct dead_letter {
    int64_t id;
    const char *at, *arrived; /* "2026-05-04 10:11:12.345678+00" */
    const char *stream, *target, *sqlstate, *constraint, *column, *message, *producer, *node;
    const char *channels; /* an array literal */
    const char *attempts;
    const char *raw_bytes; /* how many; "": there is an event */
    const char *event;     /* for people, on several lines; only when asked for */
    const char *json;      /* all of it on one line; only when asked for */
};

enum letter_form { LETTER_BRIEF, LETTER_WITH_EVENT, LETTER_AS_JSON };

/* The newest first, `limit` of them. Reads no more than a few at a time. */
enum status store_list_letters(struct store *store, const struct letter_filter *filter,
                               enum letter_form form, uint64_t limit,
                               void (*visit)(void *owner, const struct dead_letter *letter),
                               void *owner, struct problem *problem) must_use;
/* `*out_newest` is the greatest id among them; 0 when there are none. */
enum status store_count_letters(struct store *store, const struct letter_filter *filter,
                                uint64_t *out_count, int64_t *out_newest,
                                struct problem *problem) must_use;
/* The ids of the oldest ones, ascending; `*out_count` of them, up to `room`. */
enum status store_letter_ids(struct store *store, const struct letter_filter *filter, int64_t *out,
                             size_t room, size_t *out_count, struct problem *problem) must_use;

enum retry_outcome {
    RETRY_STORED,
    RETRY_DUPLICATE,
    RETRY_REFUSED,    /* the letter has the new reason */
    RETRY_UNREADABLE, /* it has no event, only bytes */
    RETRY_MISSING,
    RETRY_OUTCOMES
};
/* penstock.retry_dead_letter() in a transaction of its own. */
enum status store_retry_letter(struct store *store, int64_t id, enum retry_outcome *out,
                               struct problem *problem) must_use;
/* Deletes at most `limit`, the oldest first. */
enum status store_drop_letters(struct store *store, const struct letter_filter *filter,
                               uint64_t limit, uint64_t *out_count,
                               struct problem *problem) must_use;

/* ---- the commit ------------------------------------------------------------------------------ */

enum event_outcome { EVENT_STORED, EVENT_DUPLICATE, EVENT_REJECTED };

/* One event on its way; `outcome`, `rank` are the committer's answer. */
struct batch_event {
    const struct schema *schema; /* borrows: outlives the batch */
    struct event_view event;     /* borrows from the journal's frame until on_done */
    uint32_t record;             /* index into batch.records */
    uint32_t index;              /* within its record */
    uint8_t outcome;
    uint32_t rank; /* EVENT_STORED: its offset is batch.first + rank */
};

struct batch_record {
    struct record_header header;
    struct span id;
    uint32_t first_event, event_count; /* in batch.events */
};

/* Why one event was refused by the database. */
struct batch_rejection {
    uint32_t event; /* index into batch.events */
    char sqlstate[6];
    char text[300];
};

/* Filled by the lane; owned by it; lent to the committer from submit to on_done. */
struct batch {
    uint64_t sequence_first,
        sequence_last; /* frames, inclusive: sequence_last becomes the checkpoint */
    struct batch_record *records;
    size_t record_count, record_room;
    struct batch_event *events;
    size_t event_count, event_room;
    size_t bytes;
    /* the committer's answer */
    uint64_t first; /* offset of the first stored event; 0 when none was stored */
    uint64_t stored, duplicates, rejected;
    int64_t committed_us;
    struct batch_rejection *rejections; /* owned by the batch; the first `rejection_room` of them */
    size_t rejection_count, rejection_room;
};

struct committer;
struct committer_options {
    const char *url;
    const char *node; /* as in penstock.batch */
    uint32_t lane;
    const char *epoch;
    uint64_t connect_timeout_ms, statement_timeout_ms;
    uint64_t
        prepared_rows; /* batches up to this many rows go as prepared statements in one pipeline */
    struct loop *loop;
    struct lane_state *state; /* counters that the committer keeps */
    /* The connection is up, this (node, lane) is ours alone, and `checkpoint` is the last frame
     * that PostgreSQL has. Called after each (re)connect, when no batch is under way. */
    void (*on_ready)(void *owner, uint64_t checkpoint);
    /* The batch is in PostgreSQL, its answer filled in: exactly once per submit, whatever happened
     * in between (reconnects, retries, isolation of bad rows). */
    void (*on_done)(void *owner, struct batch *batch);
    /* PostgreSQL refused rows as it does when their table is not (any more) what they were made
     * for: the catalog is worth a look. May be NULL; must do no more than note it. */
    void (*on_drift)(void *owner);
    /* Only a person can decide what comes next: another epoch, a database that has lost commits,
     * another server of this name. The committer is over; destroy it, but not inside this call. A
     * missing privilege or table is not of this kind: it is logged and tried again, and after half
     * a minute the rows that it concerns become dead letters. */
    void (*on_failed)(void *owner, const struct problem *problem);
    void *owner;
};
enum status committer_create(const struct committer_options *options, struct committer **out,
                             struct problem *problem) must_use;
/* Drops the connection; a batch under way is forgotten (the next start replays it). Accepts NULL.
 */
void committer_destroy(struct committer *committer);
/* One at a time, only after on_ready(). */
void committer_submit(struct committer *committer, struct batch *batch);

/* ---- the log --------------------------------------------------------------------------------- */

/* What a NOTIFY said. A hint, and no more: any role of the database may send one, so what is pushed
 * comes from a lane or from the log, never from here. */
struct notification {
    uint64_t first, last; /* below 2^53 */
    struct span node;     /* borrows, until the next listener_next() */
};

struct listener;
/* Connects and LISTENs; blocking, with deadlines. */
enum status listener_open(const struct store_options *options, struct listener **out,
                          struct problem *problem) must_use;
void listener_close(struct listener *listener);   /* accepts NULL */
int listener_fd(const struct listener *listener); /* poll for readability */
enum listener_answer { LISTENER_NOTIFIED, LISTENER_EMPTY, LISTENER_LOST };
/* Reads what has come without waiting. */
enum listener_answer listener_next(struct listener *listener, struct notification *out,
                                   struct problem *problem) must_use;
/* The offset of the newest committed event; 0 when there is none. */
enum status listener_head(struct listener *listener, uint64_t *out,
                          struct problem *problem) must_use;
/* Reads the batches that begin with offset `first`, in order, up to about `bytes_max`; `visit`
 * takes each. OK with no visit when there is none yet. A batch that cannot be read is left out: a
 * hole, as retention makes them, and told of in the log. */
enum status listener_read(struct listener *listener, uint64_t first, size_t bytes_max,
                          void (*visit)(void *owner, struct window_batch *batch), void *owner,
                          struct problem *problem) must_use;

/* A connection that only reads the log, blocking, with deadlines: it does not LISTEN, since every
 * backend that does is woken by every commit. */
struct log_reader;
#define LOG_BATCHES_MAX 256 /* of one reading */
enum log_direction { LOG_FORWARDS, LOG_BACKWARDS };
enum status log_reader_open(const struct store_options *options, struct log_reader **out,
                            struct problem *problem) must_use;
void log_reader_close(struct log_reader *reader); /* accepts NULL */
/* Everything up to `*out` has left the log. BAD_DATABASE when this is not the history of offsets
 * that `epoch` names. */
enum status log_reader_floor(struct log_reader *reader, const char *epoch, uint64_t *out,
                             struct problem *problem) must_use;
/* Reads the batch that holds this offset and those that come behind it, or before it, up to about
 * `bytes_max` and LOG_BATCHES_MAX; `visit` takes each, the oldest first. Where the log does not
 * have the offset, what lies behind (or before) is read; OK with no visit when nothing does. A
 * batch that cannot be read is left out, as above; backwards, nothing need be found beyond it. */
enum status log_reader_read(struct log_reader *reader, uint64_t offset,
                            enum log_direction direction, size_t bytes_max,
                            void (*visit)(void *owner, struct window_batch *batch), void *owner,
                            struct problem *problem) must_use;

/* ---- the outbox ------------------------------------------------------------------------------ */

/* A connection that puts what others wrote (penstock.publish(), outbox.sql) into the log. Blocking,
 * with deadlines. Only one of all nodes has the claim, and only that one LISTENs. */
struct outbox_reader;
enum status outbox_reader_open(const struct store_options *options, struct outbox_reader **out,
                               struct problem *problem) must_use;
void outbox_reader_close(struct outbox_reader *reader);   /* accepts NULL; gives the claim back */
int outbox_reader_fd(const struct outbox_reader *reader); /* poll for readability */
/*
 * Asks for the claim, which stays until the connection ends. Who has it must ask PostgreSQL
 * something at least every `silence_ms`: PostgreSQL (14 or later) ends the session otherwise, so
 * that a process that is stopped does not keep the others from publishing.
 */
enum status outbox_reader_claim(struct outbox_reader *reader, uint64_t silence_ms, bool *out_ours,
                                struct problem *problem) must_use;
/* Takes what was notified without waiting. `*out_hinted`: there is something in the outbox. */
enum status outbox_reader_hear(struct outbox_reader *reader, bool *out_hinted,
                               struct problem *problem) must_use;

/* One batch; `is_done`: the outbox had nothing more. */
struct outbox_batch {
    uint64_t events, bytes;
    bool is_done;
};
#define OUTBOX_ROWS  1000              /* of one batch, at most */
#define OUTBOX_BYTES ((size_t)1 << 20) /* about; one event may be as large */
/* Only with the claim. Publishes one batch in a transaction of its own; again until it is done. */
enum status outbox_reader_publish(struct outbox_reader *reader, struct outbox_batch *out,
                                  struct problem *problem) must_use;
/* The next batches look through all of the outbox, and not only for what is new. */
void outbox_reader_begin_anew(struct outbox_reader *reader);

/* While it is watched, whoever writes to the outbox does not notify: so look often. False: somebody
 * was just asking; try again. */
enum status outbox_reader_watch(struct outbox_reader *reader, bool watch, bool *out_done,
                                struct problem *problem) must_use;

struct outbox_figures {
    uint64_t pending,
        oldest_us;       /* what waits, and since when: up to 100,000, with the claim only */
    double notify_queue; /* pg_notification_queue_usage(): 0 to 1 */
};
enum status outbox_reader_look(struct outbox_reader *reader, struct outbox_figures *out,
                               struct problem *problem) must_use;

/* ---- the bus --------------------------------------------------------------------------------- */

/*
 * A connection that LISTENs to one channel and NOTIFYs on it, and never waits: the bus's thread
 * calls bus_link_advance() whenever bus_link_fd() has what bus_link_events() names, or
 * bus_link_due_us() has come. It connects by itself, again after every loss, with growing, jittered
 * pauses.
 */
struct bus_link;
#define BUS_KEY_BYTES     32
#define BUS_PAYLOAD_BYTES 7999 /* PostgreSQL takes less than 8000 (NOTIFY_PAYLOAD_MAX_LENGTH) */
#define BUS_PAYLOADS_MAX  16   /* of one transaction */

/* The strings that `options` names are borrowed until bus_link_destroy(). */
enum status bus_link_create(const struct store_options *options, struct bus_link **out,
                            struct problem *problem) must_use;
void bus_link_destroy(struct bus_link *link); /* accepts NULL */
/* Takes the steps that can be taken now. */
void bus_link_advance(struct bus_link *link);
int bus_link_fd(const struct bus_link *link);       /* -1: nothing to wait for but the time */
short bus_link_events(const struct bus_link *link); /* of poll(2) */
int64_t bus_link_due_us(const struct bus_link *link);
/* How often it was connected; another number means that notifications may have been missed. */
uint64_t bus_link_session(const struct bus_link *link);
bool bus_link_is_up(const struct bus_link *link);   /* hears what is said */
bool bus_link_is_free(const struct bus_link *link); /* up, and no transaction is under way */
/* Of the session: penstock.bus_key. */
const uint8_t *bus_link_key(const struct bus_link *link);
/* The database's clock, in unix time, as far as it is known: the same for all nodes. */
int64_t bus_link_clock_us(const struct bus_link *link);
/* One transaction with these payloads, which must be base64; none: it only asks for the clock. Only
 * when the link is free. What becomes of it nobody says: a lost connection takes it along. */
void bus_link_send(struct bus_link *link, const struct span *payloads, size_t count);
/* The next payload of another session, lent until the next call; false: there is none. */
bool bus_link_next(struct bus_link *link, struct span *out);

#endif
