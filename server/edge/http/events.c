/*
 * events.c - GET /v1/channels/{channel}/events: a page of history as JSON, or, for who accepts
 * text/event-stream, a live stream (stream.c).
 *
 * A page is a subscription that ends soon: the same cursor, and behind it the same way through the
 * log (catch_up.c), read until there is nothing more, or the page is full:
 *
 *     {"channel","epoch","recovered","reason"?,"gap"?,"events":[…],"offset","more"}
 *
 * `offset` is always safe to go on from: the last event's where there is more, else where the
 * window ends. What the window has is answered at once. Where the log is needed, the request waits
 * for its blocks; what was read so far is kept, and counted as what clients send is. Who waits too
 * long gets what there is.
 */
#include "http/http.h"
#include "access/access.h"
#include "push/push.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_BEFORE       "/v1/channels/"
#define PATH_BEHIND       "/events"
#define PAGE_BYTES_MAX    (256u << 10) /* then there is more, unless it is one event */
#define PAGE_BYTES_FIRST  (16u << 10)
#define ENTRY_BYTES_EXTRA 256 /* beside its data: offset, stream, names */
#define HEAD_BYTES_MAX    2048
#define TAIL_BYTES_MAX    192 /* a gap, and where to go on */
#define RETRY_AFTER_MS    2000

/* ---- the page -------------------------------------------------------------------------------- */

void page_fini(struct session *session)
{
    struct page *page = &session->exchange->page;
    session->edge->gathered_bytes -= page->room;
    free(page->data);
    *page = (struct page){0};
}

/* Room for `more` bytes; false: no memory. */
static bool page_grow(struct session *session, size_t more)
{
    struct page *page = &session->exchange->page;
    struct edge *edge = session->edge;
    if (page->room - page->size >= more) {
        return true;
    }
    size_t room = page->room == 0 ? PAGE_BYTES_FIRST : page->room;
    while (room - page->size < more) {
        room *= 2;
    }
    uint8_t *data = NULL;
    if (edge->gathered_bytes + (room - page->room) <= edge_settings(edge)->receive_bytes) {
        data = realloc(page->data, room);
    }
    if (data == NULL) {
        return false;
    }
    edge->gathered_bytes += room - page->room;
    page->data = data;
    page->room = room;
    return true;
}

static struct writer page_writer(const struct page *page)
{
    return writer_of(page->data + page->size, page->room - page->size);
}

static void page_take(struct page *page, const struct writer *out)
{
    page->size += writer_size(out);
}

static void write_number(struct writer *out, const char *before, uint64_t number)
{
    char text[48];
    int size = snprintf(text, sizeof text, "%s%" PRIu64, before, number);
    writer_bytes(out, text, (size_t)size);
}

static bool page_begin(struct session *session, const struct subscribed *subscribed)
{
    if (!page_grow(session, HEAD_BYTES_MAX)) {
        return false;
    }
    struct page *page = &session->exchange->page;
    struct writer out = page_writer(page);
    writer_string(&out, "{\"channel\":");
    json_string(&out, subscribed->channel);
    writer_string(&out, ",\"epoch\":");
    json_string(&out, subscribed->epoch);
    writer_string(&out, subscribed->recovered ? ",\"recovered\":true" : ",\"recovered\":false");
    if (subscribed->reason.size > 0) {
        writer_string(&out, ",\"reason\":");
        json_string(&out, subscribed->reason);
    }
    page_take(page, &out);
    page->offset = subscribed->offset;
    return true;
}

/* What is past retention, and the beginning of the events behind it. There is room for it:
 * TAIL_BYTES_MAX. */
static void begin_events(struct session *session, struct writer *out)
{
    const struct page *page = &session->exchange->page;
    if (page->gap_from > 0) {
        write_number(out, ",\"gap\":{\"from\":", page->gap_from);
        write_number(out, ",\"to\":", page->gap_to);
        writer_string(out, "}");
        counter_add(&session->edge->state->gaps_sent, 1);
    }
    writer_string(out, ",\"events\":[");
}

static bool page_add(struct session *session, const struct window_entry *entry)
{
    if (!page_grow(session, entry->data.size + ENTRY_BYTES_EXTRA + TAIL_BYTES_MAX)) {
        return false;
    }
    struct page *page = &session->exchange->page;
    struct writer out = page_writer(page);
    if (page->has_events) {
        writer_string(&out, ",");
    } else {
        begin_events(session, &out);
    }
    encode_plain_event(&out, entry->offset, entry->stream, entry->data);
    page_take(page, &out);
    page->has_events = true;
    page->offset = entry->offset;
    page->left--;
    return true;
}

/* Retention may take more while the log is read, and nothing that was left lay in between: it is
 * all one gap. */
static void page_add_gap(struct session *session, uint64_t from, uint64_t to)
{
    struct page *page = &session->exchange->page;
    page->gap_from = page->gap_from == 0 ? from : page->gap_from;
    page->gap_to = to;
    page->offset = to;
}

static void page_end(struct session *session, bool has_more)
{
    struct page *page = &session->exchange->page; /* there is room: HEAD_BYTES_MAX, page_add() */
    struct writer out = page_writer(page);
    if (!page->has_events) {
        begin_events(session, &out);
    }
    writer_string(&out, "]");
    write_number(&out, ",\"offset\":", page->offset);
    writer_string(&out, has_more ? ",\"more\":true}\n" : ",\"more\":false}\n");
    page_take(page, &out);
    counter_add(&session->edge->state->bytes_out, page->size);
    struct http_reply reply = {
        .status = 200, .type = "application/json", .body = span_of(page->data, page->size)};
    exchange_reply(session, &reply);
}

static void page_fail(struct session *session, enum status status, const char *text)
{
    struct problem problem;
    (void)problem_set(&problem, status, "%s", text);
    problem.retry_after_ms = RETRY_AFTER_MS;
    exchange_refuse(session, &problem);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* What became of one look at the subscription. */
enum turn { TURN_ON, TURN_WAIT, TURN_LAST, TURN_MORE, TURN_NO_MEMORY };

static enum turn take_entry(struct session *session, struct subscription *subscription,
                            const struct window_entry *entry)
{
    const struct page *page = &session->exchange->page;
    size_t size = page->size + entry->data.size + ENTRY_BYTES_EXTRA;
    if (page->left == 0 || (page->has_events && size > PAGE_BYTES_MAX)) {
        return TURN_MORE;
    }
    if (!page_add(session, entry)) {
        return TURN_NO_MEMORY;
    }
    counter_add(&session->edge->state->events_pushed, 1);
    subscription_advance(subscription);
    return TURN_ON;
}

static enum turn take_turn(struct session *session, struct subscription *subscription)
{
    struct page *page = &session->exchange->page;
    struct window_entry entry;
    uint64_t from, to, offset;
    switch (subscription_peek(subscription, &entry, &from, &to)) {
    case CURSOR_ENTRY:
        return take_entry(session, subscription, &entry);
    case CURSOR_GAP:
        /* Behind events it is left to the next page, which begins with it. */
        if (page->has_events) {
            return TURN_MORE;
        }
        page_add_gap(session, from, to);
        return TURN_ON;
    case CURSOR_END:
        break;
    }
    if (subscription->catch_up.state != CATCH_UP_OFF) {
        return page->left == 0 ? TURN_MORE : TURN_WAIT;
    }
    offset = cursor_offset(subscription->cursor);
    page->offset = offset > page->offset ? offset : page->offset;
    return TURN_LAST;
}

/* Who cannot wait (and may be told so for what another connection sent, see arrival.c) gets what
 * there is, and asks for more on a connection of its own. */
static void page_wait(struct session *session)
{
    struct exchange *exchange = session->exchange;
    struct problem problem;
    if (!request_is_ahead(session)) {
        session_pause(session, PAUSE_ANSWER);
    } else if (exchange->page.has_events || exchange->page.is_resumed) {
        exchange->closes = true;
        page_end(session, true);
    } else {
        request_ahead(&problem);
        exchange_refuse_as(session, 503, &problem, true);
    }
}

void page_advance(struct session *session)
{
    enum turn turn;
    do {
        turn = take_turn(session, session->subscriptions.first);
    } while (turn == TURN_ON);
    switch (turn) {
    case TURN_WAIT:
        page_wait(session);
        return;
    case TURN_NO_MEMORY:
        page_fail(session, STATUS_OVERLOADED, "no memory for a page of events for now");
        return;
    case TURN_ON: /* not here */
    case TURN_LAST:
    case TURN_MORE:
        page_end(session, turn != TURN_LAST);
        return;
    }
}

void page_expire(struct session *session)
{
    if (session->exchange->page.has_events) {
        page_end(session, true);
    } else {
        page_fail(session, STATUS_UNAVAILABLE,
                  "the log cannot be read for now: PostgreSQL is away, or slow");
    }
}

/* ---- the request ----------------------------------------------------------------------------- */

static bool read_path(struct span path, struct span *out_channel)
{
    const size_t before = sizeof PATH_BEFORE - 1, behind = sizeof PATH_BEHIND - 1;
    if (path.size < before + behind || memcmp(path.data, PATH_BEFORE, before) != 0 ||
        memcmp(path.data + path.size - behind, PATH_BEHIND, behind) != 0) {
        return false;
    }
    *out_channel = span_of(path.data + before, path.size - before - behind);
    return true;
}

static bool wants_stream(const struct request *request)
{
    char accept[512];
    bool too_long = false;
    struct span value =
        http_header(request->wsi, WSI_TOKEN_HTTP_ACCEPT, accept, sizeof accept, &too_long);
    return value.size > 0 && memmem(value.data, value.size, "text/event-stream", 17) != NULL;
}

/* An EventSource that comes back says where it was. */
static enum status read_last_event_id(const struct request *request, struct http_query *query,
                                      struct problem *problem)
{
    static const char name[] = "last-event-id:";
    char room[EPOCH_BYTES_MAX + 32];
    int size = lws_hdr_custom_length(request->wsi, name, sizeof name - 1);
    if (size <= 0) {
        return STATUS_OK;
    }
    size = lws_hdr_custom_copy(request->wsi, room, sizeof room, name, sizeof name - 1);
    if (size < 0) {
        return problem_set(problem, STATUS_MALFORMED,
                           "Last-Event-ID must be an offset, or an epoch, a colon and an offset");
    }
    return http_query_take_last_event_id(query, span_of(room, (size_t)size), problem);
}

/* Where to begin, as far as the request itself says whether that makes sense. What the offset means
 * in this log is the subscription's to answer, as over WebSocket: an EventSource that is refused
 * never comes back. */
static enum status read_start(const struct request *request, bool is_stream,
                              struct http_query *query, struct problem *problem)
{
    unsigned allowed = ARGUMENT_SINCE | ARGUMENT_EPOCH | ARGUMENT_LAST | ARGUMENT_TOKEN;
    if (!request_query(request, is_stream ? allowed : allowed | ARGUMENT_LIMIT, query, problem)) {
        return problem->status;
    }
    enum status status = STATUS_OK;
    if (is_stream) {
        status = read_last_event_id(request, query, problem);
    }
    return status == STATUS_OK ? http_query_judge(query, problem) : status;
}

/* As it would be asked for over WebSocket. Without an epoch the offset is taken for one of ours. */
static struct message message_of(const struct edge *edge, struct span channel, bool is_stream,
                                 const struct http_query *query)
{
    bool has_since = (query->has & ARGUMENT_SINCE) != 0;
    bool has_last = (query->has & ARGUMENT_LAST) != 0;
    bool has_epoch = (query->has & ARGUMENT_EPOCH) != 0;
    return (struct message){
        .op = OP_SUBSCRIBE,
        .channel = channel,
        .has_since = has_since,
        .since = query->since,
        .epoch = has_epoch ? span_of(query->epoch, query->epoch_bytes)
                           : span_string(edge->options.node->epoch),
        .has_last = has_last || (!has_since && !is_stream),
        .last = has_last ? query->last : query->limit,
    };
}

static void begin_page(struct session *session, const struct http_query *query,
                       const struct subscribed *subscribed)
{
    bool is_last = (query->has & (ARGUMENT_LAST | ARGUMENT_LIMIT)) == ARGUMENT_LAST;
    session->exchange->page.left = is_last ? query->last : query->limit;
    session->exchange->page.is_resumed = (query->has & ARGUMENT_SINCE) != 0;
    lws_set_timeout(session->wsi, NO_PENDING_TIMEOUT, 0); /* ours is http_wait_ms */
    if (page_begin(session, subscribed)) {
        page_advance(session);
    } else {
        page_fail(session, STATUS_OVERLOADED, "no memory for a page of events for now");
    }
}

/* It need not be asked for in another way, only later. */
static bool is_passing(enum status status)
{
    return status == STATUS_UNAVAILABLE || status == STATUS_RATE_LIMITED ||
           status == STATUS_OVERLOADED || status == STATUS_NO_MEMORY;
}

/* What will pass is a refusal of a page; a stream is answered, and ends. */
static bool refuse(const struct request *request, bool is_stream, int http_status,
                   const struct problem *problem)
{
    return is_stream && is_passing(problem->status) ? request_postpone(request, problem)
                                                    : request_refuse(request, http_status, problem);
}

static bool refuse_problem(const struct request *request, bool is_stream,
                           const struct problem *problem)
{
    return refuse(request, is_stream, http_status_of(problem->status), problem);
}

bool http_events_refuse(const struct request *request, int http_status,
                        const struct problem *problem)
{
    struct span channel;
    bool is_stream = request->is_get && read_path(request->path, &channel) && wants_stream(request);
    return refuse(request, is_stream, http_status, problem);
}

/* Everything that the headers say is right. */
static bool begin(struct request *request, struct span channel, bool is_stream,
                  const struct http_query *query)
{
    struct session *session = request->session;
    struct message message = message_of(session->edge, channel, is_stream, query);
    struct subscribed subscribed;
    struct problem problem;
    problem_clear(&problem);
    if (session->edge->draining) {
        (void)problem_set(&problem, STATUS_UNAVAILABLE, "the server is shutting down: come again");
        problem.retry_after_ms = RETRY_AFTER_MS;
        return refuse_problem(request, is_stream, &problem);
    }
    if (exchange_begin(session, is_stream ? EXCHANGE_STREAM : EXCHANGE_PAGE) == NULL) {
        (void)problem_set(&problem, STATUS_NO_MEMORY, "no memory for a request");
        return refuse_problem(request, is_stream, &problem);
    }
    if (!subscription_start(session, &message, &subscribed, &problem)) {
        session->exchange->state = EXCHANGE_NONE;
        return refuse_problem(request, is_stream, &problem);
    }
    request->is_taken = true;
    if (is_stream) {
        stream_open(session, &subscribed);
    } else {
        begin_page(session, query, &subscribed);
    }
    return true;
}

bool http_events_serve(struct request *request, bool *out_alive)
{
    struct span channel;
    struct http_query query;
    struct problem problem;
    if (!read_path(request->path, &channel)) {
        return false;
    }
    if (!request->is_get) {
        *out_alive = request_refuse_method(request, "GET");
        return true;
    }
    bool is_stream = wants_stream(request);
    int http_status = access_take_request(request->session, request->wsi, &problem);
    if (http_status == 0 && read_start(request, is_stream, &query, &problem) != STATUS_OK) {
        http_status = 400;
    }
    *out_alive = http_status != 0 ? refuse(request, is_stream, http_status, &problem)
                                  : begin(request, channel, is_stream, &query);
    return true;
}
