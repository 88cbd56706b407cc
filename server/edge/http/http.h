/*
 * http.h - requests that do not become WebSockets: the pages, POST of events, pages of history, and
 * text/event-stream.
 *
 *   http.c, reply.c, metrics.c,
 *   accounts.c, channels.c                   what is answered at once
 *   exchange.c                               what waits for its answer
 *   query.c                                  arguments
 *   publish.c, events.c, stream.c            POST of events, a page of history, live events
 */
#ifndef PENSTOCK_EDGE_HTTP_H
#define PENSTOCK_EDGE_HTTP_H

#include "edge_private.h"
#include "http/query.h"

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
    uint64_t left;             /* events that it may still take */
    uint64_t offset;           /* where to go on from */
    uint64_t gap_from, gap_to; /* past retention, both included; 0: nothing yet */
    bool has_events;
    bool is_resumed; /* from `since`: without events it says where to go on, all the same */
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

/* ---- http.c, reply.c, metrics.c, accounts.c -------------------------------------------------- */

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
    HTTP_BODY_KNOWN,   /* of a length that was said */
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
    bool ends;     /* the connection does, with the answer */
    bool is_taken; /* an exchange has it, which answers, now or later */
};
/* Answers, and what http_serve() does next follows from `request->body`. False: the socket failed.
 */
bool request_refuse(const struct request *request, int http_status, const struct problem *problem);
/* For an EventSource, which never comes back after any status but 200: a stream that says why, when
 * to come again, and ends. */
bool request_postpone(const struct request *request, const struct problem *problem);
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
/* The answer is there, and the body is not: it is thrown away for a moment, so that the answer is
 * read, and the connection ends. False: at once. */
bool exchange_discard(struct session *session);
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

/* ---- publish.c, events.c, stream.c ----------------------------------------------------------- */

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
/* As request_refuse(), whatever is asked for; but what will pass only postpones a stream. */
bool http_events_refuse(const struct request *request, int http_status,
                        const struct problem *problem);
void page_advance(struct session *session);
void page_expire(struct session *session);
void page_fini(struct session *session);

/* What request_postpone() says. */
void stream_write_unavailable(const struct session *session, const struct problem *problem,
                              struct writer *out);
/* Takes the connection out of libwebsockets' hands for HTTP. */
void stream_open(struct session *session, const struct subscribed *subscribed);
int stream_push(struct session *session);
void stream_tick(struct session *session, int64_t now_us);

#endif
