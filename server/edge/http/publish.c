/*
 * publish.c - POST /v1/streams/{stream}/events: a body of events, and the answer to it.
 *
 *   1. the headers are there: whatever can be refused by them is refused before the body is read;
 *   2. the body is gathered as a message in pieces is (receive.c), and counted as one;
 *   3. it is whole: the same decoder, encoder and ring as for a `publish` over WebSocket
 *      (publish.c). Where the ring is full, it is held and tried again (hold.c);
 *   4. the lane's receipts come, and make the answer. For `committed` the lane is asked for both
 *      (ACK_BOTH), so that a request that has waited for long enough can be told at least that its
 *      events are on disk.
 *
 * A record carries a number of its request as the message's id: a connection is used for many
 * requests, and a receipt may come when its request was answered long ago.
 *
 * Who sends what the database refuses is slowed down here, too: the lane says for how long, and the
 * answer waits.
 */
#include "http/http.h"
#include "access/access.h"
#include "arrive/arrive.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

#define PATH_BEFORE          "/v1/streams/"
#define PATH_BEHIND          "/events"
#define TYPE_BYTES_MAX       128
#define RETRY_AFTER_MS       1000
#define REJECTIONS_TOLD      20   /* of one request, one by one … */
#define REJECTIONS_BYTES_MAX 6144 /* … as far as they fit here */

/* ---- the headers ----------------------------------------------------------------------------- */

/* The stream's name; false: the path is another's. */
static bool read_path(struct span path, struct span *out_stream)
{
    const size_t before = sizeof PATH_BEFORE - 1, behind = sizeof PATH_BEHIND - 1;
    if (path.size <= before + behind || memcmp(path.data, PATH_BEFORE, before) != 0 ||
        memcmp(path.data + path.size - behind, PATH_BEHIND, behind) != 0) {
        return false;
    }
    *out_stream = span_of(path.data + before, path.size - before - behind);
    return true;
}

/* "application/json; charset=utf-8" → "application/json" */
static struct span media_type(struct span header)
{
    const uint8_t *end = header.size == 0 ? NULL : memchr(header.data, ';', header.size);
    size_t size = end == NULL ? header.size : (size_t)(end - header.data);
    while (size > 0 && (header.data[size - 1] == ' ' || header.data[size - 1] == '\t')) {
        size--;
    }
    return span_of(header.data, size);
}

static bool type_is(struct span type, const char *name)
{
    return type.size == strlen(name) && strncasecmp((const char *)type.data, name, type.size) == 0;
}

/* What navigator.sendBeacon() may send without asking is text/plain. */
static bool find_encoding(struct span type, enum encoding *out)
{
    static const struct {
        const char *name;
        enum encoding encoding;
    } types[] = {
        {"application/json", ENCODING_JSON},
        {"application/x-ndjson", ENCODING_JSON},
        {"application/ndjson", ENCODING_JSON},
        {"text/plain", ENCODING_JSON},
        {"application/msgpack", ENCODING_MSGPACK},
        {"application/x-msgpack", ENCODING_MSGPACK},
        {"", ENCODING_JSON},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (type_is(type, types[i].name)) {
            *out = types[i].encoding;
            return true;
        }
    }
    return false;
}

/* 0, or an HTTP status and the reason. */
static int check_type(const struct request *request, enum encoding *out, struct problem *problem)
{
    char type[TYPE_BYTES_MAX], coding[32];
    bool too_long = false;
    struct span coded = http_header(request->wsi, WSI_TOKEN_HTTP_CONTENT_ENCODING, coding,
                                    sizeof coding, &too_long);
    if (too_long || (coded.size > 0 && !type_is(coded, "identity"))) {
        (void)problem_set(problem, STATUS_UNSUPPORTED, "the body must not be compressed");
        return 415;
    }
    struct span header =
        http_header(request->wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, type, sizeof type, &too_long);
    if (too_long || !find_encoding(media_type(header), out)) {
        (void)problem_set(problem, STATUS_UNSUPPORTED,
                          "the Content-Type must be application/json, application/x-ndjson, "
                          "application/msgpack or text/plain (which is read as JSON)");
        return 415;
    }
    return 0;
}

static int check_length(const struct request *request, struct problem *problem)
{
    size_t most = edge_settings(request->session->edge)->message_bytes;
    if (request->body == HTTP_BODY_UNKNOWN) {
        (void)problem_set(problem, STATUS_MALFORMED,
                          "the request must say its body's length, once, in Content-Length; "
                          "Transfer-Encoding is not understood");
        return 411;
    }
    if (request->body == HTTP_BODY_NONE) {
        (void)problem_set(problem, STATUS_MALFORMED, "there are no events");
        return 400;
    }
    if (request->body_bytes > most) {
        (void)problem_set(problem, STATUS_TOO_LARGE,
                          "the body has %llu bytes, and %zu are allowed: send fewer events",
                          (unsigned long long)request->body_bytes, most);
        return 413;
    }
    return 0;
}

static int check_expectation(const struct request *request, struct problem *problem)
{
    char text[32];
    bool too_long = false;
    struct span value =
        http_header(request->wsi, WSI_TOKEN_HTTP_EXPECT, text, sizeof text, &too_long);
    if (request->expects && (too_long || !type_is(value, "100-continue"))) {
        (void)problem_set(problem, STATUS_MALFORMED, "Expect must be 100-continue");
        return 417;
    }
    return 0;
}

static int check(const struct request *request, struct span stream, struct http_query *query,
                 enum encoding *encoding, struct problem *problem)
{
    int http_status = check_length(request, problem);
    if (http_status == 0) {
        http_status = check_type(request, encoding, problem);
    }
    if (http_status == 0) {
        http_status = check_expectation(request, problem);
    }
    if (http_status != 0) {
        return http_status;
    }
    if (!request_query(request, ARGUMENT_ACK | ARGUMENT_PRODUCER | ARGUMENT_TOKEN, query,
                       problem)) {
        return 400;
    }
    if (stream_find(request->session->edge->options.streams, stream) < 0) {
        (void)problem_set(problem, STATUS_UNKNOWN_STREAM, "there is no stream \"%.*s\"",
                          SPAN_PRINT(stream));
        return 404;
    }
    http_status = access_take_request(request->session, request->wsi, problem);
    if (http_status == 0 && !access_may_publish(request->session, stream, problem)) {
        return http_status_of(problem->status);
    }
    if (http_status == 0 && !rate_take_body(request->session, request->body_bytes, problem)) {
        return 429;
    }
    return http_status;
}

/* ---- the request ----------------------------------------------------------------------------- */

/* The lane is the producer's; without one, the connection's. */
static bool choose_lane(struct session *session, const struct http_query *query)
{
    if (query->producer_bytes > 0) {
        session->producer = producer_of_name(span_of(query->producer, query->producer_bytes));
    } else {
        static const uint8_t none[SESSION_ID_BYTES];
        if (memcmp(session->id, none, sizeof none) == 0 &&
            getrandom(session->id, sizeof session->id, 0) != sizeof session->id) {
            return false;
        }
        session->producer = producer_of_session(span_of(session->id, sizeof session->id));
    }
    session->lane = (uint8_t)(session->producer % session->edge->options.node->lane_count);
    return true;
}

static bool begin(struct request *request, struct span stream, const struct http_query *query,
                  enum encoding encoding)
{
    struct session *session = request->session;
    struct exchange *exchange = exchange_begin(session, EXCHANGE_BODY);
    if (exchange == NULL || !choose_lane(session, query)) {
        struct problem problem;
        (void)problem_set(&problem, STATUS_NO_MEMORY, "no memory for a request");
        problem.retry_after_ms = RETRY_AFTER_MS;
        return request_refuse(request, 503, &problem);
    }
    request->is_taken = true;
    exchange->ack = (uint8_t)query->ack;
    exchange->encoding = (uint8_t)encoding;
    exchange->body_left = request->body_bytes;
    exchange->stream_bytes = stream.size; /* it is a stream's name, so it fits */
    memcpy(exchange->stream, stream.data, stream.size);
    if (!request->expects) {
        return true;
    }
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uint8_t buffer[LWS_PRE + sizeof go_on];
    memcpy(buffer + LWS_PRE, go_on, sizeof go_on - 1);
    return lws_write(request->wsi, buffer + LWS_PRE, sizeof go_on - 1, LWS_WRITE_HTTP) >= 0;
}

bool http_publish_serve(struct request *request, bool *out_alive)
{
    struct span stream;
    struct http_query query;
    enum encoding encoding = ENCODING_JSON;
    struct problem problem;
    if (!read_path(request->path, &stream)) {
        return false;
    }
    if (!request->is_post) {
        *out_alive = request_refuse_method(request, "POST");
        return true;
    }
    int http_status = check(request, stream, &query, &encoding, &problem);
    *out_alive = http_status != 0 ? request_refuse(request, http_status, &problem)
                                  : begin(request, stream, &query, encoding);
    return true;
}

/* libwebsockets 4.3 hands over what stands behind the body as well, and then waits for more of it
 * (lib/roles/h1/ops-h1.c, lws_read_h1: content_length_given is not set by HTTP/1). */
int http_publish_body(struct session *session, struct span piece)
{
    struct exchange *exchange = session->exchange;
    if (exchange_state(session) != EXCHANGE_BODY) {
        return 0;
    }
    exchange->closes = piece.size > exchange->body_left;
    piece.size = exchange->closes ? (size_t)exchange->body_left : piece.size;
    exchange->body_left -= piece.size;
    exchange->moved_us = clock_monotonic_us();
    if (!gathering_keep(session, piece)) {
        struct problem problem;
        (void)problem_set(&problem, STATUS_OVERLOADED,
                          "too many large requests are under way: send it again");
        problem.retry_after_ms = RETRY_AFTER_MS;
        exchange_refuse(session, &problem);
        return 0;
    }
    return exchange->closes ? http_publish_complete(session) : 0;
}

static void answer_none(struct session *session, uint32_t events)
{
    char text[64];
    int size = snprintf(text, sizeof text, "{\"level\":\"none\",\"count\":%u}\n", events);
    struct http_reply reply = {
        .status = 202, .type = "application/json", .body = span_of(text, (size_t)size)};
    exchange_reply(session, &reply);
}

void http_publish_run(struct session *session, struct span body)
{
    struct exchange *exchange = session->exchange;
    struct problem problem;
    char id[16];
    int id_bytes = snprintf(id, sizeof id, "%u", exchange->serial);
    bool is_committed = exchange->ack == ACK_COMMITTED;
    struct message message = {
        .op = OP_PUBLISH,
        .id = span_of(id, (size_t)id_bytes),
        .stream = span_of(exchange->stream, exchange->stream_bytes),
        .ack = is_committed ? ACK_BOTH : (enum ack_level)exchange->ack,
    };
    problem_clear(&problem);
    if (body_decode(session->edge->decoder, (enum encoding)exchange->encoding, body, &problem) ==
        STATUS_OK) {
        publish(session, &message, body, &problem);
    }
    if (problem.status != STATUS_OK) {
        exchange_refuse(session, &problem);
    } else if (!session->hold.on) {
        gathering_drop(session);
        if (exchange->ack == ACK_NONE) {
            answer_none(session, message.events);
        }
    }
}

int http_publish_complete(struct session *session)
{
    struct exchange *exchange = session->exchange;
    struct edge_state *state = session->edge->state;
    if (exchange_state(session) != EXCHANGE_BODY) {
        return 0;
    }
    exchange->state = EXCHANGE_RECEIPT;
    exchange->since_us = clock_monotonic_us();
    exchange->serial++;
    counter_add(&state->messages_in, 1);
    counter_add(&state->bytes_in, session->gathering.size);
    session_pause(session, PAUSE_ANSWER);
    http_publish_run(session, span_of(session->gathering.data, session->gathering.size));
    return 0;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void add_rejection(struct rejections *rejections, const struct receipt *receipt,
                          struct span text)
{
    rejections->count++;
    if (rejections->list == NULL) {
        rejections->list = malloc(REJECTIONS_BYTES_MAX);
    }
    if (rejections->list == NULL || rejections->count > REJECTIONS_TOLD) {
        return;
    }
    struct writer out = writer_of(rejections->list + rejections->list_bytes,
                                  REJECTIONS_BYTES_MAX - rejections->list_bytes);
    char head[48];
    int size = snprintf(head, sizeof head,
                        "%s{\"index\":%d,\"message\":", rejections->list_bytes == 0 ? "" : ",",
                        receipt->index);
    writer_bytes(&out, head, (size_t)size);
    json_string(&out, receipt_text(text));
    writer_string(&out, "}");
    rejections->list_bytes += out.full ? 0 : writer_size(&out);
}

/* All of them could not be stored, or some: the others are. */
static void answer_rejected(struct session *session)
{
    const struct exchange *exchange = session->exchange;
    const struct rejections *rejections = &exchange->rejections;
    struct writer out = writer_of(session->edge->answer_buffer, ANSWER_BYTES_MAX);
    char text[160];
    int size = snprintf(text, sizeof text,
                        "{\"code\":\"rejected_by_database\",\"message\":\"PostgreSQL refused %u of "
                        "the events\",\"rejected\":%u,\"errors\":[",
                        rejections->count, rejections->count);
    writer_bytes(&out, text, (size_t)size);
    writer_bytes(&out, rejections->list, rejections->list_bytes);
    writer_string(&out, "],\"stored\":");
    encode_plain_receipt(&out, &exchange->receipt);
    writer_string(&out, "}\n");
    struct http_reply reply = {
        .status = 422, .type = "application/json", .body = writer_span(&out)};
    counter_add(&session->edge->state->errors_sent, 1);
    exchange_reply(session, &reply);
}

static void answer_stored(struct session *session, int http_status, const struct receipt *receipt)
{
    struct writer out = writer_of(session->edge->answer_buffer, ANSWER_BYTES_MAX);
    encode_plain_receipt(&out, receipt);
    writer_string(&out, "\n");
    struct http_reply reply = {
        .status = http_status, .type = "application/json", .body = writer_span(&out)};
    exchange_reply(session, &reply);
}

void http_publish_answer(struct session *session)
{
    if (session->exchange->rejections.count > 0) {
        answer_rejected(session);
    } else {
        answer_stored(session, 200, &session->exchange->receipt);
    }
}

static bool is_ours(const struct exchange *exchange, struct span id)
{
    char text[16];
    int size = snprintf(text, sizeof text, "%u", exchange->serial);
    return span_equals(id, span_of(text, (size_t)size));
}

void http_publish_receipt(struct session *session, const struct receipt *receipt, struct span id,
                          struct span text)
{
    struct exchange *exchange = session->exchange;
    if (exchange_state(session) != EXCHANGE_RECEIPT || exchange->is_receipt_due) {
        return;
    }
    int64_t now_us = clock_monotonic_us();
    if (receipt->status == STATUS_RATE_LIMITED) {
        exchange->due_us = now_us + (int64_t)receipt->count * 1000;
    } else if (!is_ours(exchange, id)) {
        return;
    } else if (receipt->status == STATUS_REJECTED_BY_DATABASE) {
        add_rejection(&exchange->rejections, receipt, text);
    } else if (exchange->ack == ACK_COMMITTED && receipt->level == ACK_DURABLE) {
        exchange->is_durable = true;
        exchange->receipt = *receipt;
    } else {
        exchange->is_receipt_due = true;
        exchange->receipt = *receipt;
        if (now_us >= exchange->due_us) {
            http_publish_answer(session);
        }
    }
}

void http_publish_expire(struct session *session)
{
    const struct exchange *exchange = session->exchange;
    if (exchange->is_receipt_due) {
        http_publish_answer(session);
        return;
    }
    if (exchange->is_durable) {
        answer_stored(session, 202, &exchange->receipt);
        return;
    }
    struct problem problem;
    if (session->hold.on) {
        (void)problem_set(&problem, STATUS_OVERLOADED,
                          "events come in faster than they can be stored: send them again");
    } else {
        (void)problem_set(&problem, STATUS_UNAVAILABLE,
                          "the events were taken, but are not on disk yet: send them again (with "
                          "ids of their own they are stored once)");
    }
    problem.retry_after_ms = RETRY_AFTER_MS;
    exchange_refuse(session, &problem);
}
