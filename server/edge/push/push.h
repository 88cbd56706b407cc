/*
 * push.h - what a session hears: subscriptions, their cursors, and the way to its socket.
 *
 *   subscribe.c   channels to cursors             index.c    who listens to what
 *   catch_up.c    cursors that need the log       bus.c      broadcasts in and out
 *   shout.c       what all of a channel hear      attendance.c  who comes, goes and asks
 *   push.c        queue and cursors to the socket flush.c    who is written to, and when
 *   pushed.c      counting what goes out          position.c  how far the quiet ones have come
 */
#ifndef PENSTOCK_EDGE_PUSH_H
#define PENSTOCK_EDGE_PUSH_H

#include "penstock/edge.h"
#include "penstock/list.h"

struct edge;
struct session;

#define SESSION_ID_BYTES 16
#define SHOUT_BYTES_MAX  (16 << 10) /* a broadcast: MessagePack may take 2.25 times its JSON */

struct subscription_list {
    struct subscription *first, *last;
};

struct subscription_link {
    struct subscription *previous, *next;
};

/* What a subscription reads before its cursor: see catch_up.c for the moves. */
enum catch_up_state {
    CATCH_UP_OFF,     /* nothing: the cursor's turn */
    CATCH_UP_LAPSED,  /* its block was dropped; asks again in its next turn. In no list */
    CATCH_UP_WAITING, /* wants to ask; in edge->catch_ups.waiting */
    CATCH_UP_ASKED,   /* in edge->catch_ups.asked[slot] */
    CATCH_UP_HOLDING, /* reads from its block; in edge->catch_ups.holding */
    CATCH_UP_GAP,     /* next … through is past retention, and has to be said. In no list */
};

struct catch_up {
    uint8_t state;        /* enum catch_up_state */
    uint8_t kind;         /* enum history_kind: of what it asks */
    uint8_t slot;         /* ASKED */
    uint64_t next, until; /* to be read, both included; `next` while SEEK: 0, or found so far */
    uint64_t through;     /* HOLDING, GAP: this is read, or said, up to here */
    uint64_t seek_from, seek_until, missing; /* SEEK */
    struct history_block *block;             /* HOLDING: owns a share */
    struct batch_walk walk;                  /* HOLDING */
    int64_t since_us;                        /* HOLDING */
    struct subscription_link link;           /* WAITING, HOLDING: in that list */
};

/* An edge's side of the history stage. */
struct catch_ups {
    struct subscription_list waiting;                 /* for a slot; who came first is first */
    struct subscription_list holding;                 /* a block; who has it longest is first */
    struct subscription *asked[HISTORY_REQUESTS_MAX]; /* NULL: free, or nobody waits any more */
    uint8_t free_slots[HISTORY_REQUESTS_MAX];         /* a stack */
    uint32_t free_count;
};

/* The bus was told that the session is on the channel: see attendance.c. */
struct attendance {
    struct attendance *next; /* in a list of farewells */
    uint8_t session[SESSION_ID_BYTES];
    uint8_t channel_bytes;
    uint8_t channel[];
};

struct subscription {
    struct session *session;
    struct cursor *cursor;           /* owns */
    struct subscription_link all;    /* in session->subscriptions */
    struct subscription_link ready;  /* in session->ready, while is_ready */
    struct subscription *index_next; /* in the edge's index */
    uint32_t index_hash;
    bool is_ready;
    bool is_latest_only;           /* what its socket did not take in time is skipped … */
    uint64_t skipped;              /* … so many events, and that was not said yet */
    struct attendance *attendance; /* owns; NULL: presence is off for the channel */
    struct catch_up catch_up;
    uint64_t subscribed_at; /* the head then: what has a greater offset is live */
};

#define PUSHED_MARKS 64

struct commit_mark {
    uint64_t head;        /* what was taken in went up to here */
    int64_t committed_us; /* the newest of it */
};

/* See pushed.c. */
struct pushed {
    struct commit_mark marks[PUSHED_MARKS]; /* the newest at [mark_count % PUSHED_MARKS] */
    uint64_t mark_count;
    size_t stream;          /* whose events are summed up … */
    uint64_t events, bytes; /* … here; 0: nobody's */
    int64_t oldest_us;      /* commit of the oldest live event of the write; 0: there is none */
};

/* See position.c. */
struct position {
    uint64_t told; /* the lowest offset that the client was told of a subscription, events aside */
    int64_t told_us; /* when the session began, or was told of them all at once last */
    bool is_due;     /* it is to be told again */
};

/* All subscriptions of an edge, by session and channel: index.c. */
struct subscription_index {
    struct subscription **chains; /* owns the array */
    uint32_t room;                /* a power of two */
    uint32_t count;
};

/* ---- subscribe.c ----------------------------------------------------------------------------- */

/* Is it a legal name? */
enum status channel_check(struct span channel, struct problem *problem);
void subscribe(struct session *session, const struct message *message, struct problem *problem);
/* The same without the answer, which it fills in; false: refused. */
bool subscription_start(struct session *session, const struct message *message,
                        struct subscribed *out, struct problem *problem);
void unsubscribe(struct session *session, const struct message *message, struct problem *problem);
void subscriptions_drop(struct session *session);
/* The session has another token, or the rules are others: what is not allowed now is ended. */
void subscriptions_review(struct session *session, const char *reason);
/* The line of those that have something to read; ready_take() needs one that is not empty. */
void ready_put_first(struct subscription *subscription);
void ready_put_last(struct subscription *subscription);
struct subscription *ready_take(struct session *session);
void on_cursor_ready(void *owner, struct cursor *cursor, void *cursor_owner);

/* ---- index.c --------------------------------------------------------------------------------- */

bool index_init(struct subscription_index *index); /* false: no memory */
void index_fini(struct subscription_index *index);
struct subscription *index_find(const struct subscription_index *index,
                                const struct session *session, struct span channel);
void index_add(struct subscription_index *index, struct subscription *subscription);
void index_remove(struct subscription_index *index, const struct subscription *subscription);

/* ---- catch_up.c ------------------------------------------------------------------------------ */

void catch_ups_init(struct edge *edge);
void catch_ups_fini(struct edge *edge); /* after all sessions: drops the blocks that still came */
/* What came from the history thread. */
void catch_ups_take(struct edge *edge);
/* Who has held a block for too long gives it back. */
void catch_ups_tick(struct edge *edge, int64_t now_us);
/* The newest `count` events that lie below the cursor's floor are read before the cursor. Returns
 * an offset before them all. */
uint64_t catch_up_seek(struct subscription *subscription, uint64_t count);
void catch_up_end(struct subscription *subscription);
/* As cursor_peek() and cursor_advance(), of the log first, and then of the window. CURSOR_END:
 * there is nothing for now; it becomes ready again. */
enum cursor_answer subscription_peek(struct subscription *subscription, struct window_entry *out,
                                     uint64_t *gap_from, uint64_t *gap_to);
void subscription_advance(struct subscription *subscription);
/* Everything up to cursor_offset() was read, and said. */
bool subscription_is_through(const struct subscription *subscription);

/* ---- bus.c, shout.c -------------------------------------------------------------------------- */

void broadcast(struct session *session, const struct message *message, struct problem *problem);
/* Puts the record into the bus's ring; false: it is full, and `problem` says so. */
bool bus_give(struct edge *edge, const struct bus_view *view, struct problem *problem);
/* Rings the bus, if something was given to it since. */
void bus_wake(struct edge *edge);
void bus_take(struct edge *edge);
/* To all subscribers of the channel on this edge. */
void shout_broadcast(struct edge *edge, const struct bus_view *view);
/* To all but the session that it is about: BUS_JOINED, BUS_LEFT. */
void shout_change(struct edge *edge, const struct bus_view *view);

/* ---- attendance.c ---------------------------------------------------------------------------- */

void presence(struct session *session, const struct message *message, struct problem *problem);
/* The subscription is new, and not to a channel that it replaces; on failure nobody was told. */
enum status attendance_begin(struct subscription *subscription, struct span channel,
                             struct problem *problem) must_use;
void attendance_end(struct subscription *subscription);
/* The session is over, its subscriptions are dropped. */
void attendances_end(struct session *session);
void attendances_advance(struct edge *edge);
void attendances_tick(struct session *session, int64_t now_us);
void attendances_fini(struct edge *edge);
/* The message `presence` from the bus's answer. */
void answer_members(const struct bus_view *view, struct writer *out, enum encoding encoding);

/* ---- push.c ---------------------------------------------------------------------------------- */

/* From the callback that says that the socket is writable, or from flush_all(). Not 0: the
 * connection is over. */
int push(struct session *session);

/* ---- position.c ------------------------------------------------------------------------------ */

/* The answer to a `subscribe` names this offset. */
void position_subscribed(struct session *session, uint64_t offset);
/* Once a second, before position_tick() of all: how many of them may become due. */
void positions_tick(struct edge *edge);
void position_tick(struct session *session, int64_t now_us, int64_t heartbeat_us);
/* It is due, and true. */
bool position_is_owed(const struct session *session);
/* The message `position`, if one is owed and fits. */
void position_write(struct session *session, struct writer *out);

/* ---- flush.c --------------------------------------------------------------------------------- */

/* The session is written to soon; for session_ask_write(). */
void flush_ask(struct session *session);
void flush_forget(struct session *session);
void flush_all(struct edge *edge);

/* ---- pushed.c -------------------------------------------------------------------------------- */

void pushed_mark(struct edge *edge); /* the window's reader has advanced */
void pushed_count(struct edge *edge, const struct subscription *subscription,
                  const struct window_entry *entry);
void pushed_flush(struct edge *edge); /* behind the events of one frame */
void pushed_time(struct edge *edge);  /* they were written */

#endif
