/*
 * edge_private.h - what the files of the edge share: the edge, its sessions, and who does what.
 *
 *   edge.c       the loop: wakes, work, callbacks of libwebsockets
 *   listen.c     addresses, sockets, accept            upgrade.c    from HTTP to WebSocket
 *   session.c    slots, generations, pausing           receive.c    frames to messages
 *   publish.c    message to record                     hold.c       what finds no room waits
 *   conduct.c    who sends what is refused waits
 *   answer.c     messages into the queue               push.c       queue and cursors to the socket
 *   subscribe.c  channels to cursors                   catch_up.c   cursors that need the log
 *   drain.c      saying goodbye
 *   http.c, http_reply.c, metrics.c                        requests that are answered at once
 *   exchange.c   requests that wait for their answer
 *   http_query.c their arguments
 *   http_publish.c, http_events.c                          POST of events, a page of history
 *   http_stream.c                                          live events, as text/event-stream
 *
 * Everything here is the edge thread's, but for edge_stop().
 */
#ifndef PENSTOCK_EDGE_PRIVATE_H
#define PENSTOCK_EDGE_PRIVATE_H

#include "http_query.h"
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
#define ANSWER_BYTES_MAX   (8 << 10)  /* any message but `events` */
#define SESSION_ID_BYTES   16
#define CLOSE_TEXT_BYTES   123 /* RFC 6455 section 5.5: control frames carry 125 bytes */

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
    PAUSE_ANSWER = 16,  /* its request over HTTP is not answered yet */
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

struct subscription {
    struct session *session;
    struct cursor *cursor;           /* owns */
    struct subscription *next;       /* in session->subscriptions */
    struct subscription *ready_next; /* in session->ready */
    bool is_ready;                   /* it is in that list */
    struct catch_up catch_up;
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
    struct session *previous, *next;           /* in edge->sessions */
    struct session *line_previous, *line_next; /* in edge->lines[lane], while PAUSE_RING */
    uint32_t slot, generation;
    uint8_t state;    /* enum session_state */
    uint8_t encoding; /* enum encoding */
    uint8_t lane;
    uint8_t paused; /* enum pause bits */
    bool write_asked;
    bool upgrade_checked;
    uint16_t close_code; /* to close with, as soon as the queue is written; enum close_code */
    const char *close_text;
    int64_t deadline_us; /* cut the connection then; 0: no limit */
    uint64_t producer;   /* hash of its name */
    uint64_t inflight;   /* publishes without a final answer */
    uint8_t conduct;     /* see conduct.c */
    uint8_t trials;      /* messages on trial that nothing was said of */
    bool has_asked;      /* over HTTP, before the request that is being served */
    struct ev_timer conduct_timer;
    uint8_t id[SESSION_ID_BYTES];
    struct gathering gathering;
    struct hold hold;
    struct queue queue;
    struct subscription *subscriptions; /* owns */
    size_t subscription_count;
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
    lws_retry_bo_t heartbeat;

    struct listener listeners[LISTEN_SOCKETS_MAX];
    size_t listener_count;
    bool accepting;
    bool accept_failure_said;

    struct session *sessions; /* all, newest first */
    struct session **slots;   /* owns; [settings->connections] */
    uint32_t *generations;    /* owns */
    uint32_t *free_slots;     /* owns; a stack */
    uint32_t free_count;
    struct line lines[LANES_MAX];
    uint64_t unrung_bytes[LANES_MAX]; /* in each lane's ring since its bell was rung */
    uint64_t gathered_bytes;          /* in gather buffers, of all sessions */

    struct window_reader *reader;
    struct catch_ups catch_ups;
    struct decoder *decoder;
    struct encode_context *encode_context;
    struct block_pool pool;
    uint8_t *write_buffer;              /* owns; LWS_PRE + WRITE_BYTES */
    uint8_t *answer_buffer;             /* owns; ANSWER_BYTES_MAX */
    struct event_header *event_headers; /* owns; message_events: of the message being read */

    _Atomic bool stop_asked; /* edge_stop() → the loop */
    bool draining;
    int64_t drain_began_us;
    int64_t validity_said_us;
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
void session_pause(struct session *session, enum pause reason);
void session_resume(struct session *session, enum pause reason);
void session_ask_write(struct session *session);
/* Says goodbye once what is queued has been written; cuts the connection when that takes too long.
 * `text` must be constant. */
void session_hang_up(struct session *session, enum close_code code, const char *text);
/* Closes now: for `return session_refuse(…)` from a callback of libwebsockets. */
int session_refuse(struct session *session, enum close_code code, const char *text);
void session_cut(struct session *session);
/* Once a second: what has taken too long. */
void sessions_tick(struct edge *edge, int64_t now_us);

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
void subscribe(struct session *session, const struct message *message, struct problem *problem);
/* The same without the answer, which it fills in; false: refused. */
bool subscription_start(struct session *session, const struct message *message,
                        struct subscribed *out, struct problem *problem);
void unsubscribe(struct session *session, const struct message *message, struct problem *problem);
void subscriptions_drop(struct session *session);
/* The line of those that have something to read; ready_take() needs one that is not empty. */
void ready_put_first(struct subscription *subscription);
void ready_put_last(struct subscription *subscription);
struct subscription *ready_take(struct session *session);
void on_cursor_ready(void *owner, struct cursor *cursor, void *cursor_owner);

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

/* ---- answer.c, push.c ------------------------------------------------------------------------ */

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
int push(struct session *session);
static inline enum frame_opcode session_opcode(const struct session *session)
{
    return session->encoding == ENCODING_JSON ? FRAME_TEXT : FRAME_BINARY;
}

/* ---- http.c, http_reply.c, metrics.c --------------------------------------------------------- */

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

/* ---- drain.c --------------------------------------------------------------------------------- */

void drain_begin(struct edge *edge);
/* True when everything is over. */
bool drain_advance(struct edge *edge);

#endif
