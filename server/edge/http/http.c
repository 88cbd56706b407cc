/*
 * http.c - requests, and the pages: health, metrics, the streams, the console. Everything is
 * answered; events go to publish.c and events.c.
 *
 * Nothing but a publish wants a body, and with one that is not wanted the answer ends the
 * connection: its client would send the next request right behind it, where exchange.c says what
 * libwebsockets makes of it. A connection that is closed while its client still sends loses the
 * answer (RFC 9112 section 9.6), so the body is thrown away for two seconds first.
 */
#include "http/http.h"
#include "access/access.h"
#include "arrive/arrive.h"

#include "penstock/console.h"

#include <stdlib.h>

#define PATH_BYTES_MAX     256
#define BODY_BYTES_FIRST   (64u << 10) /* of a page that is built; doubled until it fits */
#define BODY_BYTES_MAX     (16u << 20)
#define ARGUMENT_BYTES_MAX 1023 /* one `name=value` of a query */
#define CONSOLE_HEADERS                                                                  \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; " \
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "    \
    "frame-ancestors 'none'\r\n"                                                         \
    "Referrer-Policy: no-referrer\r\n"

/* ---- answers --------------------------------------------------------------------------------- */

static bool closes(const struct request *request)
{
    return request->ends || request->body != HTTP_BODY_NONE || request->expects ||
           access_has_guessed(request->session);
}

static bool reply(const struct request *request, int status, const char *type, const char *headers,
                  struct span body)
{
    struct http_reply answer = {
        .status = status,
        .type = type,
        .headers = headers,
        .body = body,
        .without_body = request->is_head,
        .close = closes(request),
    };
    return http_reply(request->wsi, &answer);
}

static bool reply_text(const struct request *request, int status, const char *text)
{
    return reply(request, status, "text/plain; charset=utf-8", "", span_string(text));
}

bool request_refuse(const struct request *request, int http_status, const struct problem *problem)
{
    return http_reply_problem(request->wsi, http_status, problem, closes(request));
}

bool request_postpone(const struct request *request, const struct problem *problem)
{
    uint8_t room[1024];
    struct writer body = writer_of(room, sizeof room);
    stream_write_unavailable(request->session, problem, &body);
    return reply(request, 200, "text/event-stream", "", writer_span(&body));
}

bool request_refuse_method(const struct request *request, const char *method)
{
    char headers[32], text[64];
    int size = snprintf(text, sizeof text,
                        "{\"code\":\"malformed\",\"message\":\"only %s is "
                        "answered here\"}\n",
                        method);
    (void)snprintf(headers, sizeof headers, "Allow: %s\r\n", method);
    return reply(request, 405, "application/json", headers, span_of(text, (size_t)size));
}

static bool refuse(const struct request *request, int http_status, enum status status,
                   const char *text)
{
    struct problem problem;
    (void)problem_set(&problem, status, "%s", text);
    return request_refuse(request, http_status, &problem);
}

/* A page whose size is not known before it is built. */
static bool reply_built(const struct request *request, const char *type,
                        void (*build)(const struct session *session, struct writer *out))
{
    for (size_t size = BODY_BYTES_FIRST; size <= BODY_BYTES_MAX; size *= 2) {
        uint8_t *data = malloc(size);
        if (data == NULL) {
            break;
        }
        struct writer out = writer_of(data, size);
        build(request->session, &out);
        bool is_whole = !out.full;
        bool is_alive = is_whole && reply(request, 200, type, "", writer_span(&out));
        free(data);
        if (is_whole) {
            return is_alive;
        }
    }
    return refuse(request, 503, STATUS_NO_MEMORY, "no memory for this page");
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* Why a load balancer should send nobody here. That PostgreSQL is away is no reason, once it has
 * given us our lanes: the journal takes what comes, and another server would fare no better. */
static const char *unaccepting_reason(const struct edge *edge)
{
    const struct node *node = edge->options.node;
    if (atomic_load(&node->journal_failed)) {
        return "the journal has failed: nothing is stored until an operator acts\n";
    }
    if (edge->draining || atomic_load(&node->draining)) {
        return "shutting down\n";
    }
    for (unsigned lane = 0; lane < node->lane_count; lane++) {
        if (atomic_load(&node->lanes[lane].claim) == CLAIM_OPEN) {
            return "starting: PostgreSQL has not said yet whether the lanes are ours\n";
        }
    }
    return NULL;
}

static const char *unready_reason(const struct edge *edge)
{
    const struct node *node = edge->options.node;
    const char *reason = unaccepting_reason(edge);
    if (reason != NULL) {
        return reason;
    }
    for (unsigned lane = 0; lane < node->lane_count; lane++) {
        if (!atomic_load(&node->lanes[lane].database_ready)) {
            return "not connected to PostgreSQL: events are kept in the journal\n";
        }
    }
    if (!edge->has_begun || !knows_floor(edge)) {
        return "where the log begins and ends is not known yet: listen_url (or database_url) does "
               "not answer, and nobody can resume\n";
    }
    return atomic_load(&node->listening) ? NULL
                                         : "not listening to PostgreSQL: nothing is pushed\n";
}

static bool reply_reason(const struct request *request, const char *reason, const char *otherwise)
{
    return reason == NULL ? reply_text(request, 200, otherwise) : reply_text(request, 503, reason);
}

/* The streams that the session may publish to; an operator sees all. */
static void build_streams(const struct session *session, struct writer *out)
{
    const struct stream_set *all = session->edge->options.streams;
    struct stream *streams[STREAMS_MAX];
    char *refusals[STREAMS_MAX];
    struct stream_set seen = {.streams = streams, .refusals = refusals};
    for (size_t i = 0; i < all->count; i++) {
        struct problem ignored;
        if (session->is_operator ||
            access_may_publish(session, stream_name(all->streams[i]), &ignored)) {
            streams[seen.count] = all->streams[i];
            refusals[seen.count++] = all->refusals == NULL ? NULL : all->refusals[i];
        }
    }
    stream_set_describe(&seen, out);
    writer_string(out, "\n");
}

static void build_metrics(const struct session *session, struct writer *out)
{
    metrics_write(session->edge, out);
}

static void build_publishers(const struct session *session, struct writer *out)
{
    publishers_write(session->edge, out);
}

static void build_refusals(const struct session *session, struct writer *out)
{
    refusals_write(session->edge, out);
}

static void build_channels(const struct session *session, struct writer *out)
{
    channels_write(session->edge, out);
}

/* The request has a token that says no such thing, or none. 0: it may read. */
static int refuse_reader(const struct session *session, bool is_for_all, struct problem *problem)
{
    if (session->is_operator || (is_for_all && access_is_known(session, problem))) {
        return 0;
    }
    if (is_for_all || access_is_missing(session)) {
        (void)problem_set(
            problem, STATUS_UNAUTHORIZED, "this needs a token in `Authorization: Bearer`%s",
            is_for_all ? "" : ": an operator's, or the password of metrics_token_file");
        return 401;
    }
    (void)problem_set(problem, STATUS_FORBIDDEN,
                      "the token is not an operator's: its claim \"%s\" is not true",
                      edge_settings(session->edge)->auth_operator_claim);
    return 403;
}

/* Who may read what this server says of itself: with tokens asked for, an operator; the streams may
 * be read by everybody with a token. False: it is answered. `*out_alive` as reply() has it. */
static bool may_read(const struct request *request, bool is_for_all, bool *out_alive)
{
    struct problem problem;
    struct session *session = request->session;
    session->is_operator = access_is_operator(session->edge, request->wsi);
    if (session->edge->options.verifier == NULL || session->is_operator) {
        return true;
    }
    int http_status = access_take_request(session, request->wsi, &problem);
    if (http_status == 0) {
        session->is_operator = access_claims_operator(session);
        http_status = refuse_reader(session, is_for_all, &problem);
    }
    if (http_status != 0) {
        *out_alive = http_reply_problem(request->wsi, http_status, &problem, closes(request));
    }
    return http_status == 0;
}

bool http_shows_operator_pages(const struct edge *edge)
{
    return edge_settings(edge)->operator_pages || edge->options.is_development ||
           edge->options.verifier != NULL;
}

/* Pages of which who is not to see them is not told that they are there. */
static const struct operator_page {
    const char *path;
    void (*build)(const struct session *session, struct writer *out);
} operator_pages[] = {
    {"/v1/publishers", build_publishers},
    {"/v1/refusals", build_refusals},
    {"/v1/channels", build_channels},
};

static const struct operator_page *find_operator_page(const struct request *request)
{
    bool are_shown = http_shows_operator_pages(request->session->edge);
    for (size_t i = 0; are_shown && i < sizeof operator_pages / sizeof operator_pages[0]; i++) {
        if (span_is(request->path, operator_pages[i].path)) {
            return &operator_pages[i];
        }
    }
    return NULL;
}

static bool serve_path(const struct request *request)
{
    if (span_is(request->path, "/healthz")) {
        return reply_text(request, 200, "alive\n");
    }
    if (span_is(request->path, "/readyz")) {
        return reply_reason(request, unready_reason(request->session->edge), "ready\n");
    }
    if (span_is(request->path, "/acceptz")) {
        return reply_reason(request, unaccepting_reason(request->session->edge), "accepting\n");
    }
    bool is_alive;
    if (span_is(request->path, "/metrics")) {
        return may_read(request, false, &is_alive)
                   ? reply_built(request, "text/plain; version=0.0.4; charset=utf-8", build_metrics)
                   : is_alive;
    }
    if (span_is(request->path, "/v1/streams")) {
        return may_read(request, true, &is_alive)
                   ? reply_built(request, "application/json", build_streams)
                   : is_alive;
    }
    const struct operator_page *page = find_operator_page(request);
    if (page != NULL) {
        return may_read(request, false, &is_alive)
                   ? reply_built(request, "application/json", page->build)
                   : is_alive;
    }
    if (span_is(request->path, UPGRADE_PATH)) {
        return refuse(request, 426, STATUS_MALFORMED, "this is a WebSocket: ask for an upgrade");
    }
    const struct console_file *file = console_find(request->path);
    if (file != NULL) {
        return reply(request, 200, file->type, CONSOLE_HEADERS, span_of(file->data, file->size));
    }
    return refuse(request, 404, STATUS_MALFORMED, "there is nothing under this path");
}

static bool serve(struct request *request, bool host_is_wrong)
{
    if (host_is_wrong) {
        return refuse(request, 400, STATUS_MALFORMED, "the Host header must name one host");
    }
    struct problem problem;
    bool is_probe = span_is(request->path, "/healthz") || span_is(request->path, "/readyz") ||
                    span_is(request->path, "/acceptz");
    if (!cors_allows(request->session, request->wsi, is_probe, &problem)) {
        return http_reply_problem(request->wsi, 403, &problem, closes(request));
    }
    if (cors_is_preflight(request->wsi)) {
        return reply(request, 204, "text/plain", CORS_PREFLIGHT_HEADERS, span_of(NULL, 0));
    }
    bool is_alive;
    if (http_publish_serve(request, &is_alive)) {
        return is_alive;
    }
    if (!request->is_get && !request->is_head) {
        return refuse(request, 405, STATUS_MALFORMED, "only GET and HEAD are answered here");
    }
    if (request->body != HTTP_BODY_NONE) {
        return refuse(request, 413, STATUS_TOO_LARGE, "no path here takes a body");
    }
    return http_events_serve(request, &is_alive) ? is_alive : serve_path(request);
}

/* ---- the request ----------------------------------------------------------------------------- */

static bool host_is_wrong(struct lws *wsi)
{
    char host[300], version[16];
    bool too_long = false;
    struct span value = http_header(wsi, WSI_TOKEN_HTTP, version, sizeof version, &too_long);
    if (!span_is(value, "HTTP/1.1")) {
        return !span_is(value, "HTTP/1.0");
    }
    return !host_is_valid(http_header(wsi, WSI_TOKEN_HOST, host, sizeof host, &too_long));
}

static void read_request(struct request *request, char *path, size_t path_room)
{
    struct lws *wsi = request->wsi;
    bool too_long = false;
    request->body = http_body_size(wsi, &request->body_bytes);
    request->is_get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0;
    request->is_head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
    request->is_post = lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0;
    request->expects = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_EXPECT) > 0;
    enum lws_token_indexes token = request->is_head   ? WSI_TOKEN_HEAD_URI
                                   : request->is_post ? WSI_TOKEN_POST_URI
                                                      : WSI_TOKEN_GET_URI;
    request->path = http_header(wsi, token, path, path_room, &too_long);
}

bool request_query(const struct request *request, unsigned allowed, struct http_query *out,
                   struct problem *problem)
{
    char argument[ARGUMENT_BYTES_MAX + 1];
    http_query_init(out);
    for (int i = 0;; i++) {
        int size = lws_hdr_copy_fragment(request->wsi, argument, sizeof argument,
                                         WSI_TOKEN_HTTP_URI_ARGS, i);
        if (size < 0 && lws_hdr_fragment_length(request->wsi, WSI_TOKEN_HTTP_URI_ARGS, i) <= 0) {
            return true; /* that was the last one */
        }
        if (size < 0) {
            (void)problem_set(problem, STATUS_MALFORMED,
                              "an argument of the query has more than %d bytes",
                              ARGUMENT_BYTES_MAX);
            return false;
        }
        struct span text = span_of(argument, (size_t)size);
        if (size > 0 && http_query_take(out, allowed, text, problem) != STATUS_OK) {
            return false;
        }
    }
}

int http_serve(struct session *session, struct lws *wsi)
{
    char path[PATH_BYTES_MAX];
    if (session->is_over) {
        return -1; /* it sends on, and was told not to */
    }
    counter_add(&session->edge->state->http_requests, 1);
    struct request request = {.session = session, .wsi = wsi};
    read_request(&request, path, sizeof path);
    struct problem problem;
    int refusal = arrival_admit(session, wsi, &problem);
    if (refusal != 0) {
        request.ends = true;
        (void)http_events_refuse(&request, refusal, &problem);
        return -1;
    }
    bool is_alive = serve(&request, host_is_wrong(wsi));
    session->has_asked = true;
    if (request.is_taken) {
        return 0;
    }
    if (!is_alive || request.body == HTTP_BODY_UNKNOWN || request.expects ||
        access_has_guessed(session)) {
        return -1; /* what is buffered is sent before the connection is closed */
    }
    if (request.body == HTTP_BODY_KNOWN) {
        return exchange_discard(session) ? 0 : -1;
    }
    return lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
}
