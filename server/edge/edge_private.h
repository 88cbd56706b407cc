/*
 * edge_private.h - what the files of the edge share: the edge, its sessions, and who does what.
 *
 *   edge.c       the loop: wakes, work, callbacks of libwebsockets
 *   listen.c     addresses, sockets, accept            upgrade.c    from HTTP to WebSocket
 *   arrival.c    whose connection it is, and may it    session.c    slots, generations, pausing
 *   turns.c      who may be read from again            receive.c    frames to messages
 *   publish.c    message to record                     hold.c       what finds no room waits
 *   conduct.c    who sends what is refused waits       rate.c       who sends too fast waits
 *   limits.c     addresses, users, token buckets
 *   answer.c     messages into the queue               push.c       queue and cursors to the socket
 *   flush.c      who is written to, and when
 *   subscribe.c  channels to cursors                   catch_up.c   cursors that need the log
 *   index.c      who listens to what                   heartbeat.c  who is silent, and who has gone
 *   bus.c        broadcasts in and out                 shout.c      what all of a channel hear
 *   attendance.c who comes, goes and asks
 *   drain.c      saying goodbye
 *   access.c     what a session may do             authenticate.c  how it says who it is
 *   cors.c       requests of web pages              origin.c     whose pages (pure)
 *   tls.c        certificate and key
 *   grant.c      rules with claims put in (pure)   pinned.c     columns that its token fills
 *   pushed.c     counting what goes out            trace.c      who came, was refused, left
 *   http.c, http_reply.c, metrics.c, accounts.c, channels_page.c  requests that are answered at
 * once exchange.c   requests that wait for their answer http_query.c their arguments
 *   http_publish.c, http_events.c                          POST of events, a page of history
 *   http_stream.c                                          live events, as text/event-stream
 *
 * Everything here is the edge thread's, but for edge_stop().
 */
#ifndef PENSTOCK_EDGE_PRIVATE_H
#define PENSTOCK_EDGE_PRIVATE_H

#include "access.h"
#include "frame.h"
#include "http_query.h"
#include "limits.h"
#include "queue.h"
#include "upgrade_check.h"

#include "penstock/edge.h"

#include <libwebsockets.h>
/* libev declares its functions without prototypes where they take none. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <ev.h>
#pragma GCC diagnostic pop

#define LISTEN_SOCKETS_MAX 4          /* addresses that one host name may stand for */
#define SERVICE_BYTES      (64 << 10) /* libwebsockets reads up to this at once */
#define WRITE_BYTES        (64 << 10) /* one write of ours, unless one event is larger */
#define ANSWER_BYTES_MAX                                                                          \
    (62 << 10)                      /* any message but `events`; with its frame below WRITE_BYTES \
                                     */
#define SHOUT_BYTES_MAX  (16 << 10) /* a broadcast: MessagePack may take 2.25 times its JSON */
#define SESSION_ID_BYTES 16
#define CLOSE_TEXT_BYTES 123 /* RFC 6455 section 5.5: control frames carry 125 bytes */

/* Close codes (RFC 6455 section 7.4.1, and IANA's registry for 1013). */
enum close_code {
    CLOSE_NONE = 0,
    CLOSE_GOING_AWAY = 1001,
    CLOSE_PROTOCOL = 1002,
    CLOSE_UNACCEPTABLE = 1003,
    CLOSE_INVALID_UTF8 = 1007,
    CLOSE_POLICY = 1008,
    CLOSE_TOO_BIG = 1009,
    CLOSE_TRY_AGAIN_LATER = 1013,
};

/*
 *   accept ─► SESSION_HTTP ──upgrade──► SESSION_OPEN ──► SESSION_CLOSING ─► released
 *                   └───────────────────────────────────────────────────────────┘
 */
enum session_state {
    SESSION_HTTP,    /* a descriptor that has not (yet) become a WebSocket */
    SESSION_OPEN,    /* welcome is queued; messages go both ways */
    SESSION_CLOSING, /* libwebsockets is closing it; nothing is read or written any more */
};

/* Why a session is not read from (bits); resumed when none is left. */
enum pause {
    PAUSE_RING = 1,     /* its lane's ring is full; in edge->lines[lane] */
    PAUSE_INFLIGHT = 2, /* too many publishes unanswered */
    PAUSE_SEND = 4,     /* it does not read its answers */
    PAUSE_CONDUCT = 8,  /* the database refuses most of what it sends */
    PAUSE_RATE = 16,    /* it sends faster than it may */
    PAUSE_TURN = 32,    /* no reason is left; in edge->turns_wanted */
    PAUSE_ANSWER = 64,  /* its request over HTTP is not answered yet */
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
    struct subscription *list_previous, *list_next;
};

struct subscription_list {
    struct subscription *first, *last;
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
    struct cursor *cursor;                            /* owns */
    struct subscription *previous, *next;             /* in session->subscriptions */
    struct subscription *ready_previous, *ready_next; /* in session->ready */
    struct subscription *index_next;                  /* in the edge's index */
    uint32_t index_hash;
    bool is_ready;                 /* it is in that list */
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

/* All subscriptions of an edge, by session and channel: index.c. */
struct subscription_index {
    struct subscription **chains; /* owns the array */
    uint32_t room;                /* a power of two */
    uint32_t count;
};

/* The beginning of a message that comes in pieces, or a whole one that is held. */
struct gathering {
    uint8_t *data; /* owns; counted in edge->gathered_bytes by `room` */
    size_t size, room;
    uint64_t frames;  /* ended, of this message */
    int64_t since_us; /* when it began; 0: none is under way */
};

/* A message that waits in `gathering` for room in the ring (hold.c). */
struct hold {
    bool on;
    bool is_over;      /* it has waited long enough: the next try stores or refuses it */
    size_t room_bytes; /* with fewer bytes free it is not worth a try */
    int64_t since_us;  /* 0: nothing is held */
};

struct session {
    struct edge *edge;
    struct lws *wsi;
    struct session *previous, *next; /* in edge->sessions */
    /* In edge->lines[lane], while PAUSE_RING; in edge->turns_wanted, while PAUSE_TURN; in
     * edge->turns, while it has a turn. */
    struct session *line_previous, *line_next;
    struct session *due_previous, *due_next; /* in edge->due, while is_due */
    uint32_t slot, generation;
    uint8_t state;    /* enum session_state */
    uint8_t encoding; /* enum encoding */
    uint8_t lane;
    uint8_t paused; /* enum pause bits */
    bool write_asked;
    bool upgrade_checked;
    bool heard;    /* something came since the last tick */
    bool ping_due; /* see heartbeat.c */
    bool is_websocket;
    bool is_due;         /* in edge->due, by due_previous and due_next */
    bool is_behind;      /* the socket did not take all of the last write at once */
    uint16_t close_code; /* to close with, as soon as the queue is written; enum close_code */
    const char *close_text;
    int64_t deadline_us; /* cut the connection then; 0: no limit */
    int64_t alive_us;    /* the tick that found it alive */
    int64_t pinged_us;   /* the tick that asked it; 0: it has answered since */
    uint64_t producer;   /* hash of its name */
    uint64_t inflight;   /* publishes without a final answer */
    uint8_t conduct;     /* see conduct.c */
    uint8_t trials;      /* messages on trial that nothing was said of */
    bool has_asked;      /* over HTTP, before the request that is being served */
    struct ev_timer conduct_timer;
    struct ev_timer rate_timer;
    int64_t turn_us;                           /* 0: it has no turn */
    struct address peer;                       /* of the socket, or as a PROXY header has it */
    struct address address;                    /* the client's: the peer's, or behind that proxy */
    struct arrival *arrival;                   /* owns, until libwebsockets has the descriptor */
    struct limit_entry *holders[HOLDER_COUNT]; /* of its address and user; NULL: none */
    int64_t full_at_ns[MEASURE_COUNT];         /* its own buckets */
    int64_t refusal_wait_ns;
    uint8_t refusal;     /* enum limit: its request is answered with 429 */
    int64_t accepted_us; /* when it came */
    int64_t heard_us;    /* when its last message came */
    uint8_t id[SESSION_ID_BYTES];
    struct access *access; /* owns; NULL: no token was shown, or none is asked for */
    bool is_operator;      /* this request came with the password of metrics_token_file */
    uint8_t auth_failures; /* tokens refused since the last good one */
    int64_t opened_us;     /* monotonic: since when it is a WebSocket */
    struct gathering gathering;
    struct hold hold;
    struct queue queue, shouts;
    struct subscription *subscriptions; /* owns */
    size_t subscription_count;
    struct attendance *farewells; /* owns; channels that it has left, to be told */
    size_t farewell_count;
    int64_t farewell_us;                     /* when the last ones were told */
    struct subscription *ready, *ready_last; /* to read from, in turn */
    struct exchange *exchange;               /* owns; NULL: no request has had to wait yet */
    bool is_stream;                          /* open, but with text/event-stream (http_stream.c) */
};

/* A request over HTTP that is not answered at once: see exchange.c for the moves. */
enum exchange_state {
    EXCHANGE_NONE,    /* there is none */
    EXCHANGE_BODY,    /* the body arrives, into the gather buffer */
    EXCHANGE_RECEIPT, /* the body is held (hold.c), or in the ring: its receipt is to come */
    EXCHANGE_PAGE,    /* a page of history is being read */
    EXCHANGE_STREAM,  /* the session is one of text/event-stream */
    EXCHANGE_CLOSING, /* answered; the connection ends as soon as libwebsockets calls */
};

/* History that is read for one answer. */
struct page {
    uint8_t *data; /* owns; counted in edge->gathered_bytes by `room` */
    size_t size, room;
    uint64_t left;   /* events that it may still take */
    uint64_t offset; /* where to go on from */
    bool has_events;
};

/* What the database refused of one request. */
struct rejections {
    uint32_t count;
    char *list; /* owns; JSON of the first of them, without the brackets; NULL: none yet */
    size_t list_bytes;
};

struct exchange {
    uint8_t state;       /* enum exchange_state */
    uint8_t ack;         /* enum ack_level: what was asked for */
    uint8_t encoding;    /* enum encoding, of the body */
    bool is_durable;     /* `receipt` says so; another is to come */
    bool is_receipt_due; /* `receipt` is the answer, at `due_us` */
    bool closes;         /* the connection ends with the answer */
    uint32_t serial;     /* its message's id: receipts of the one before may still come */
    uint64_t body_left;  /* BODY: bytes that are still to come */
    int64_t since_us;    /* when it began */
    int64_t moved_us;    /* BODY: when the last piece came. STREAM: when something was sent */
    int64_t due_us;      /* RECEIPT: no answer before */
    struct receipt receipt;
    struct rejections rejections;
    struct page page;
    size_t stream_bytes;
    char stream[NAME_BYTES_MAX]; /* its name, as in the path */
};

/* Who waits for room in one lane's ring; who came first is first. */
struct line {
    struct session *first, *last;
    int64_t moved_us; /* when somebody got in, or the first one joined */
};

struct session_list {
    struct session *first, *last;
};

struct listener {
    struct ev_io watcher;
    struct edge *edge;
    int fd; /* owns; -1: closed */
};

struct edge {
    struct edge_options options;
    struct edge_state *state; /* in the node */
    struct ev_loop *loop;
    struct ev_prepare before_sleep;
    struct ev_check after_sleep;
    struct ev_io bell_watcher;
    struct ev_timer tick;
    struct lws_context *context;
    struct lws_vhost *vhost;
    void *tls; /* SSL_CTX of the vhost, borrowed; NULL: without TLS */
    lws_retry_bo_t no_heartbeat;

    struct listener listeners[LISTEN_SOCKETS_MAX];
    size_t listener_count;
    bool accepting;
    bool accept_failure_said;

    struct session_list due;  /* to be written to before the loop sleeps */
    bool is_flushing;         /* that is being done */
    struct session *sessions; /* all, newest first */
    struct session **slots;   /* owns; [settings->connections] */
    uint32_t *generations;    /* owns */
    uint32_t *free_slots;     /* owns; a stack */
    uint32_t free_count;
    struct line lines[LANES_MAX];
    struct line turns, turns_wanted; /* see turns.c; who came first is first */
    uint64_t turns_given;
    struct ev_timer turns_timer;
    struct limit_rates rates;             /* of the settings, as the next */
    struct network_list trusted_proxies;
    int64_t now_us;    /* monotonic, of this turn of the loop */
    uint64_t refusals; /* sessions that wait for their 429 */
    uint64_t refusals_unsaid;
    int64_t refusal_said_us;
    uint64_t unrung_bytes[LANES_MAX]; /* in each lane's ring since its bell was rung */
    uint64_t gathered_bytes;          /* in gather buffers, of all sessions */

    struct window_reader *reader;
    struct subscription_index index;
    struct catch_ups catch_ups;
    struct decoder *decoder;
    struct encode_context *encode_context;
    struct block_pool pool;
    struct pushed pushed;
    uint8_t *write_buffer;              /* owns; LWS_PRE + WRITE_BYTES */
    uint8_t *answer_buffer;             /* owns; ANSWER_BYTES_MAX */
    uint8_t *shout_buffer;              /* owns; SHOUT_BYTES_MAX for each encoding */
    bool bus_unrung;                    /* there is something in its ring since it was rung */
    struct attendance *farewells;       /* owns; of sessions that have ended, to be told */
    struct event_header *event_headers; /* owns; message_events: of the message being read */

    char *metrics_token; /* owns; NULL: none */

    _Atomic bool stop_asked;   /* edge_stop() → the loop */
    _Atomic bool reload_asked; /* edge_reload() → the loop */
    bool draining;
    int64_t drain_began_us;
};

static inline const struct settings *edge_settings(const struct edge *edge)
{
    return edge->options.settings;
}

/* ---- listen.c -------------------------------------------------------------------------------- */

enum status listen_open(struct edge *edge, struct problem *problem) must_use;
void listen_start(struct edge *edge); /* accept from now on; harmless when it is so */
void listen_pause(struct edge *edge);
void listen_close(struct edge *edge);
/* Hands the descriptor over to libwebsockets; when that fails, both are gone. */
void listen_adopt(struct session *session, int fd);

/* ---- arrival.c, rate.c, turns.c -------------------------------------------------------------- */

/* Takes the descriptor. */
void arrival_begin(struct edge *edge, int fd, const struct sockaddr *peer);
void arrival_end(struct session *session); /* harmless when it is over */
/* At each request: 0, or the HTTP status to refuse it with. */
int arrival_admit(struct session *session, struct lws *wsi, struct problem *problem) must_use;
/* The session is this user's from now on: LIMIT_NONE, or why it may not be. */
enum limit session_join_user(struct session *session, struct span user) must_use;
void session_leave_limits(struct session *session);
void limit_hit(struct edge *edge, enum limit limit); /* counts it */
/* False: it is more than may come now. The problem says so, and the session is not read from. */
bool rate_take_message(struct session *session, size_t bytes, struct problem *problem) must_use;
bool rate_take_events(struct session *session, uint64_t events, struct problem *problem) must_use;
void rate_end(struct session *session);
uint32_t rate_wait_ms(int64_t wait_ns);
/* Nothing pauses the session any more: it is read from, now or when it is its turn. */
void turn_ask(struct session *session);
void turn_end(struct session *session);  /* it had its turn */
void turn_drop(struct session *session); /* and wants none */
void turns_advance(struct edge *edge);

/* ---- session.c ------------------------------------------------------------------------------- */

enum status sessions_init(struct edge *edge, struct problem *problem) must_use;
void sessions_fini(struct edge *edge);
/* A slot for a new descriptor; NULL: all are taken, or no memory. */
struct session *session_create(struct edge *edge);
void session_destroy(struct session *session); /* accepts NULL */
/* The open session that a receipt is for, or NULL: it has gone. */
struct session *session_find(struct edge *edge, uint32_t slot, uint32_t generation);
void session_open(struct session *session);
/* Lets go of everything but the slot: it is being closed. */
void session_shut(struct session *session);
void line_join(struct line *line, struct session *session);
void line_leave(struct line *line, struct session *session);
void session_pause(struct session *session, enum pause reason);
void session_resume(struct session *session, enum pause reason);
void session_ask_write(struct session *session);
/* Says goodbye once what is queued has been written; cuts the connection when that takes too long.
 * `text` must be constant. */
void session_hang_up(struct session *session, enum close_code code, const char *text);
/* Closes now: for `return session_refuse(…)` from a callback of libwebsockets. */
int session_refuse(struct session *session, enum close_code code, const char *text);
void session_cut(struct session *session); /* now or soon: it may be gone at once */
/* Once a second: what has taken too long. */
void sessions_tick(struct edge *edge, int64_t now_us);

/* ---- heartbeat.c ----------------------------------------------------------------------------- */

/* Once a second. */
void heartbeat_tick(struct session *session, int64_t now_us, int64_t heartbeat_us);
/* The ping that is due, if one is. */
void heartbeat_write(struct session *session, struct writer *out);

/* ---- upgrade.c ------------------------------------------------------------------------------- */

int upgrade_confirm(struct session *session, struct lws *wsi);

/* ---- receive.c, publish.c, hold.c, conduct.c, subscribe.c ------------------------------------ */

/* One piece of a frame. */
int receive(struct session *session, struct span piece);
void gathering_drop(struct session *session);
/* Copies a whole message into the gather buffer, unless it lies there; false: no memory. */
bool gathering_keep(struct session *session, struct span message);
/* Decodes a whole message, does what it asks for, and answers. */
void message_run(struct session *session, struct span bytes);
/* publish, subscribe and unsubscribe answer, or say in `problem` why not (its status is OK before).
 * A publish that is held does neither: it will be run again. */
void publish(struct session *session, struct message *message, struct span bytes,
             struct problem *problem);
/* Rings the lanes that have got records since they were rung last. */
void lanes_ring(struct edge *edge);
void receipts_take(struct edge *edge);
/* Others were here before, and wait. */
bool hold_must_queue(const struct session *session);
/* Holds the message, until the ring has room_bytes or more; false: it must be refused. */
bool hold(struct session *session, struct span message, size_t room_bytes);
void holds_advance(struct edge *edge);              /* whoever finds room now gets in */
void holds_tick(struct edge *edge, int64_t now_us); /* whoever has waited for too long is refused */
void holds_end(struct edge *edge);                  /* all are; draining says why */
/* What the lane says: wait for so long, or, with 0, go on. */
void conduct_take(struct session *session, uint32_t hold_ms);
void conduct_stored(struct session *session); /* a message of its */
void conduct_end(struct session *session);    /* it is trusted, or over */
/* Is it a legal name? */
enum status channel_check(struct span channel, struct problem *problem);
void subscribe(struct session *session, const struct message *message, struct problem *problem);
/* The same without the answer, which it fills in; false: refused. */
bool subscription_start(struct session *session, const struct message *message,
                        struct subscribed *out, struct problem *problem);
void unsubscribe(struct session *session, const struct message *message, struct problem *problem);
void subscriptions_drop(struct session *session);
/* The session has another token: what it does not allow is ended. */
void subscriptions_review(struct session *session);
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
/* The same, of a subscription that is gone. Takes the attendance; accepts NULL. */
void attendance_drop(struct session *session, struct attendance *attendance);
/* The session is over, its subscriptions are dropped. */
void attendances_end(struct session *session);
void attendances_advance(struct edge *edge);
void attendances_tick(struct session *session, int64_t now_us);
void attendances_fini(struct edge *edge);
/* The message `presence` from the bus's answer. */
void answer_members(const struct bus_view *view, struct writer *out, enum encoding encoding);

/* ---- answer.c, push.c ------------------------------------------------------------------------ */

void session_id_text(const uint8_t id[SESSION_ID_BYTES], char out[2 * SESSION_ID_BYTES]);
void answer_welcome(struct session *session);
void answer_pong(struct session *session, struct span id);
void answer_error(struct session *session, struct span id, const struct problem *problem);
void answer_receipt(struct session *session, const struct receipt *receipt, struct span id,
                    struct span text);
void answer_subscribed(struct session *session, const struct subscribed *subscribed);
void answer_gap(struct session *session, struct span channel, uint64_t from, uint64_t to);
void answer_unsubscribed(struct session *session, struct span id, struct span channel);
/* A reason of PostgreSQL's, cut where a character ends: they quote values, which may be long. */
struct span receipt_text(struct span text);
void answer_unsubscribed_because(struct session *session, struct span channel, struct span reason);
void answer_authenticated(struct session *session, struct span id, struct span user,
                          uint64_t expires_s);
void answer_presence(struct session *session, const struct bus_view *view);
/* From the callback that says that the socket is writable, or from flush_all(). Not 0: the
 * connection is over. */
int push(struct session *session);
static inline enum frame_opcode session_opcode(const struct session *session)
{
    return session->encoding == ENCODING_JSON ? FRAME_TEXT : FRAME_BINARY;
}

/* ---- flush.c --------------------------------------------------------------------------------- */

/* The session is written to soon; for session_ask_write(). */
void flush_ask(struct session *session);
void flush_forget(struct session *session);
void flush_all(struct edge *edge);

/* ---- trace.c --------------------------------------------------------------------------------- */

void trace_opened(const struct session *session);
void trace_closed(const struct session *session);
void trace_hang_up(const struct session *session, enum close_code code, const char *text);
void trace_upgrade_refused(const struct session *session, int http_status,
                           const struct problem *problem);
/* The problem of a token never carries a piece of it (auth.h). */
void trace_token_refused(const struct session *session, const struct problem *problem);
/* `stream` as the peer named it, or none. */
void trace_refused(struct session *session, struct span stream, const struct problem *problem);
void refusals_write(const struct edge *edge, struct writer *out);

/* ---- pushed.c -------------------------------------------------------------------------------- */

void pushed_mark(struct edge *edge); /* the window's reader has advanced */
void pushed_count(struct edge *edge, const struct subscription *subscription,
                  const struct window_entry *entry);
void pushed_flush(struct edge *edge); /* behind the events of one frame */
void pushed_time(struct edge *edge);  /* they were written */

/* ---- http.c, http_reply.c, metrics.c, accounts.c --------------------------------------------- */

struct http_reply {
    int status;
    const char *type;    /* Content-Type */
    const char *headers; /* more of them, each ending in CRLF; "" */
    struct span body;    /* borrows for the call */
    bool without_body;   /* HEAD: the headers only */
    bool close;          /* the connection ends with it */
};
/* False: the socket failed. */
bool http_reply(struct lws *wsi, const struct http_reply *reply);
bool http_reply_problem(struct lws *wsi, int status, const struct problem *problem, bool close);
/* With Retry-After, where the problem says when. */
int http_status_of(enum status status);
int http_serve(struct session *session, struct lws *wsi);
void metrics_write(const struct edge *edge, struct writer *out);
void publishers_write(const struct edge *edge, struct writer *out);
void channels_write(const struct edge *edge, struct writer *out);
/* Once a second: tells what other edges are asked about channels. */
void channels_answer(struct edge *edge);
/* Are the pages for operators there at all? Whom they answer is another question. */
bool http_shows_operator_pages(const struct edge *edge);
/* Reads what is there of Content-Length and Transfer-Encoding. */
enum http_body {
    HTTP_BODY_NONE,
    HTTP_BODY_SMALL,   /* read and thrown away, the connection goes on */
    HTTP_BODY_LARGE,   /* thrown away for a moment, so that the answer is read; then closed */
    HTTP_BODY_UNKNOWN, /* chunked, malformed, or of a length that is not said */
};
enum http_body http_body(struct lws *wsi);
/* A header's copy in `room`; size 0 when it is absent, and `*too_long` set when it does not fit. */
struct span http_header(struct lws *wsi, enum lws_token_indexes token, char *room, size_t size,
                        bool *too_long);

/* `size` 0: there is none, or its length is not known. */
enum http_body http_body_size(struct lws *wsi, uint64_t *out_size);

/* A request, its headers being there. */
struct request {
    struct session *session;
    struct lws *wsi;
    struct span path;
    enum http_body body;
    uint64_t body_bytes;
    bool is_get, is_head, is_post;
    bool expects;  /* Expect: 100-continue, which it has not got yet */
    bool is_taken; /* an exchange has it, which answers, now or later */
};
/* Answers, and what http_serve() does next follows from `request->body`. False: the socket failed.
 */
bool request_refuse(const struct request *request, int http_status, const struct problem *problem);
/* 405, with the one method that the path has. */
bool request_refuse_method(const struct request *request, const char *method);
/* Reads the arguments into `out`; false: they are wrong, and `problem` says how. */
bool request_query(const struct request *request, unsigned allowed, struct http_query *out,
                   struct problem *problem);

/* ---- exchange.c ------------------------------------------------------------------------------ */

/* NULL: no memory. */
struct exchange *exchange_begin(struct session *session, enum exchange_state state);
static inline enum exchange_state exchange_state(const struct session *session)
{
    return session->exchange == NULL ? EXCHANGE_NONE : session->exchange->state;
}
/* The request may have come together with the one before, and libwebsockets is not to be trusted
 * with it (see exchange.c): whoever must read a body, or wait, refuses. */
bool request_is_ahead(const struct session *session);
void request_ahead(struct problem *problem); /* says so */
/* The answer, and the end of the exchange. */
void exchange_reply(struct session *session, struct http_reply *reply);
void exchange_refuse(struct session *session, const struct problem *problem);
void exchange_refuse_as(struct session *session, int http_status, const struct problem *problem,
                        bool close);
/* LWS_CALLBACK_HTTP_WRITEABLE. */
int exchange_advance(struct session *session);
/* Asks for that call. */
void exchange_wake(struct session *session);
void exchange_tick(struct session *session, int64_t now_us);
void exchange_goodbye(struct session *session, bool is_late);
void exchange_free(struct session *session);

/* ---- http_publish.c, http_events.c, http_stream.c -------------------------------------------- */

/* False: the path is another's. Else the request is refused, or taken by an exchange. `*out_alive`
 * false: the socket failed. */
bool http_publish_serve(struct request *request, bool *out_alive);
int http_publish_body(struct session *session, struct span piece);
int http_publish_complete(struct session *session);
void http_publish_run(struct session *session, struct span body);
void http_publish_receipt(struct session *session, const struct receipt *receipt, struct span id,
                          struct span text);
/* It has waited for so long that it is answered with what is known. */
void http_publish_expire(struct session *session);
void http_publish_answer(struct session *session);

bool http_events_serve(struct request *request, bool *out_alive);
void page_advance(struct session *session);
void page_expire(struct session *session);
void page_fini(struct session *session);

/* Takes the connection out of libwebsockets' hands for HTTP. */
void stream_open(struct session *session, const struct subscribed *subscribed);
int stream_push(struct session *session);
void stream_tick(struct session *session, int64_t now_us);

/* ---- cors.c ---------------------------------------------------------------------------------- */

/* May the page that makes this request, if one does? FORBIDDEN: it may not. */
bool cors_allows(const struct session *session, struct lws *wsi, struct problem *problem);
/* For every answer: lets the page read it. */
void cors_write_headers(const struct session *session, struct lws *wsi, struct writer *out);
bool cors_is_preflight(struct lws *wsi);
/* What a preflight's answer has, besides. */
#define CORS_PREFLIGHT_HEADERS                                                     \
    "Access-Control-Allow-Methods: GET, HEAD, POST\r\n"                            \
    "Access-Control-Allow-Headers: Authorization, Content-Type, Last-Event-ID\r\n" \
    "Access-Control-Max-Age: 600\r\n"

/* ---- drain.c --------------------------------------------------------------------------------- */

void drain_begin(struct edge *edge);
/* True when everything is over. */
bool drain_advance(struct edge *edge);

#endif
