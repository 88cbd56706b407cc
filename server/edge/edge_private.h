/*
 * edge_private.h - what the files of the edge share: the edge, its sessions, and who does what.
 *
 *   edge.c       the loop: wakes and work           context.c    libwebsockets, and its callbacks
 *   session.c    slots, generations, pausing        heartbeat.c  who is silent, and who has gone
 *   receive.c    frames to messages                 publish.c    message to record
 *   hold.c       what finds no room waits           conduct.c    who sends what is refused waits
 *   answer.c     messages into the queue            trace.c      who came, was refused, left
 *   drain.c      saying goodbye
 *
 *   arrive/      from an address to a session that may talk        arrive/arrive.h
 *   access/      what a session may do, and how it says who it is  access/access.h
 *   push/        what it hears: subscriptions to sockets           push/push.h
 *   http/        requests that do not become WebSockets            http/http.h
 *
 * Everything here is the edge thread's, but for edge_stop().
 */
#ifndef PENSTOCK_EDGE_PRIVATE_H
#define PENSTOCK_EDGE_PRIVATE_H

#include "arrive/limits.h"
#include "frame.h"
#include "push/push.h"
#include "queue.h"

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
#define ANSWER_BYTES_MAX                                                                   \
    (62 << 10)               /* any message but `events`; with its frame below WRITE_BYTES \
                              */
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
    bool is_refused;   /* that was it; its session waits on, for nothing but room */
    size_t room_bytes; /* with fewer bytes free it is not worth a try */
    int64_t since_us;  /* 0: nothing is held */
};

struct session_list {
    struct session *first, *last;
};

struct session_link {
    struct session *previous, *next;
};

struct session {
    struct edge *edge;
    struct lws *wsi;
    struct session_link all; /* in edge->sessions */
    /* In edge->lines[lane], while PAUSE_RING; in edge->turns_wanted, while PAUSE_TURN; in
     * edge->turns, while it has a turn. */
    struct session_link line;
    struct session_link due; /* in edge->due, while is_due */
    uint32_t slot, generation;
    uint8_t state;    /* enum session_state */
    uint8_t encoding; /* enum encoding */
    uint8_t lane;
    uint8_t paused; /* enum pause bits */
    bool write_asked;
    bool upgrade_checked;
    bool heard;            /* something came since the last tick */
    bool ping_due, pinged; /* see heartbeat.c */
    uint16_t silent_ticks; /* since it was heard, or pinged */
    bool is_websocket;
    bool is_due;         /* in edge->due */
    bool is_behind;      /* the socket did not take all of the last write at once */
    uint16_t close_code; /* to close with, as soon as the queue is written; enum close_code */
    const char *close_text;
    int64_t deadline_us; /* cut the connection then; 0: no limit */
    uint64_t producer;   /* as in record.h */
    uint64_t inflight;   /* publishes without a final answer */
    uint8_t conduct;     /* see conduct.c */
    uint8_t trials;      /* messages on trial that nothing was said of */
    bool has_asked;      /* over HTTP, before the request that is being served */
    bool is_over;        /* over HTTP: its last answer said so; what still comes is thrown away */
    struct ev_timer conduct_timer;
    struct ev_timer rate_timer;
    struct ev_io mask_watcher;                 /* until the first frame came; see arrive/mask.c */
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
    uint64_t rules;        /* edge->rules that its subscriptions are allowed by */
    int64_t opened_us;     /* monotonic: since when it is a WebSocket */
    struct gathering gathering;
    struct hold hold;
    struct queue queue, shouts;
    struct subscription_list subscriptions;  /* owns */
    size_t subscription_count, behind_count; /* of these, reading from the log */
    struct attendance *farewells;            /* owns; channels that it has left, to be told */
    size_t farewell_count;
    int64_t farewell_us;            /* when the last ones were told */
    struct subscription_list ready; /* to read from, in turn */
    struct position position;
    struct exchange *exchange; /* owns; NULL: no request has had to wait yet */
    bool is_stream;            /* open, but with text/event-stream (http/stream.c) */
};

/* Who waits for room in one lane's ring; who came first is first. */
struct line {
    struct session *first, *last;
    int64_t moved_us; /* when somebody got in, or the first one joined */
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
    void *tls;                 /* SSL_CTX of the vhost, borrowed; NULL: without TLS */
    struct identity *identity; /* owns; what handshakes show; NULL: without TLS */
    lws_retry_bo_t no_heartbeat;

    struct listener listeners[LISTEN_SOCKETS_MAX];
    size_t listener_count;
    bool accepting;
    bool accept_failure_said;

    struct session_list due;      /* to be written to before the loop sleeps */
    bool is_flushing;             /* that is being done */
    struct session_list sessions; /* all, newest first */
    struct session **slots;       /* owns; [settings->connections] */
    uint32_t *generations;        /* owns */
    uint32_t *free_slots;         /* owns; a stack */
    uint32_t free_count;
    struct line lines[LANES_MAX];
    struct line turns, turns_wanted; /* see turns.c; who came first is first */
    uint64_t turns_given;
    struct ev_timer turns_timer;
    struct limit_rates rates; /* of the settings, as the next */
    struct network_list trusted_proxies;
    uint64_t rules;          /* counts the reloads that changed who may subscribe to what */
    uint64_t review_left;    /* subscriptions that may be held against new rules in this tick */
    uint64_t positions_left; /* sessions that may become due to hear `position` in this tick */
    int64_t now_us;          /* monotonic, of this turn of the loop */
    int64_t ticked_us;       /* monotonic, of the last tick */
    uint64_t refusals;       /* sessions that wait for their 429 */
    uint64_t refusals_unsaid;
    int64_t refusal_said_us;
    uint64_t unrung_bytes[LANES_MAX]; /* in each lane's ring since its bell was rung */
    uint64_t gathered_bytes;          /* in gather buffers, of all sessions */

    struct window_reader *reader;
    bool has_begun; /* the feed has, and the reader is as far as it was then */
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

/* Has the history found where the log begins? */
static inline bool knows_floor(const struct edge *edge)
{
    /* Pairs with the release in tell_floor() (history.c). */
    return atomic_load_explicit(&edge->options.node->history.knows_floor, memory_order_acquire);
}

/* The log has nothing up to here, as of a second ago; 0 before knows_floor(). */
static inline uint64_t log_floor(const struct edge *edge)
{
    return atomic_load_explicit(&edge->options.node->history.log_floor, memory_order_relaxed);
}

/* ---- context.c ------------------------------------------------------------------------------- */

/* Raises the limit of open files to what the edges may open. Before the context is made. */
void context_fit_descriptors(const struct edge *edge);
/* Makes edge->context and edge->vhost, with TLS edge->tls, too; edge_close() destroys them. */
enum status context_open(struct edge *edge, struct problem *problem) must_use;

/* ---- session.c ------------------------------------------------------------------------------- */

enum status sessions_init(struct edge *edge, struct problem *problem) must_use;
void sessions_fini(struct edge *edge);
/* A slot for a new descriptor; NULL: all are taken, or no memory. */
struct session *session_create(struct edge *edge);
void session_destroy(struct session *session); /* accepts NULL */
/* The open session that a receipt is for, or NULL: it has gone. */
struct session *session_find(struct edge *edge, uint32_t slot, uint32_t generation);
/* From HTTP to a WebSocket or a stream: receipts of what it sent before find it no more. */
void session_begin_life(struct session *session);
void session_open(struct session *session); /* as a WebSocket */
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
void heartbeat_tick(struct session *session, unsigned heartbeat_s);
/* The ping that is due, if one is. */
void heartbeat_write(struct session *session, struct writer *out);

/* ---- receive.c, publish.c, hold.c, conduct.c ------------------------------------------------- */

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

/* ---- answer.c -------------------------------------------------------------------------------- */

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
static inline enum frame_opcode session_opcode(const struct session *session)
{
    return session->encoding == ENCODING_JSON ? FRAME_TEXT : FRAME_BINARY;
}

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

/* ---- drain.c --------------------------------------------------------------------------------- */

void drain_begin(struct edge *edge);
/* True when everything is over. */
bool drain_advance(struct edge *edge);

#endif
