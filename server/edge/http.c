/*
 * http.c - the pages: health, metrics, the streams, the console. Everything is answered.
 *
 * A request's body is never wanted. A short one is read and thrown away, and the connection goes
 * on; with any other the answer ends it. A connection that is closed while its client still sends
 * loses the answer (RFC 9112 section 9.6), so a long body is thrown away for two seconds first.
 */
#include "edge_private.h"

#include "penstock/console.h"

#include <stdlib.h>

#define PATH_BYTES_MAX   256
#define BODY_BYTES_FIRST (64u << 10) /* of a page that is built; doubled until it fits */
#define BODY_BYTES_MAX   (16u << 20)
#define DISCARD_US       (2 * 1000 * 1000)
#define CONSOLE_HEADERS                                                                  \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; " \
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "    \
    "frame-ancestors 'none'\r\n"                                                         \
    "Referrer-Policy: no-referrer\r\n"

struct request {
    struct session *session;
    struct lws *wsi;
    struct span path;
    enum http_body body;
    bool is_get, is_head;
};

/* ---- answers --------------------------------------------------------------------------------- */

static bool closes(const struct request *request)
{
    return request->body == HTTP_BODY_LARGE || request->body == HTTP_BODY_UNKNOWN;
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

static bool refuse(const struct request *request, int http_status, enum status status,
                   const char *text)
{
    struct problem problem;
    (void)problem_set(&problem, status, "%s", text);
    return http_reply_problem(request->wsi, http_status, &problem, closes(request));
}

/* A page whose size is not known before it is built. */
static bool reply_built(const struct request *request, const char *type,
                        void (*build)(const struct edge *edge, struct writer *out))
{
    for (size_t size = BODY_BYTES_FIRST; size <= BODY_BYTES_MAX; size *= 2) {
        uint8_t *data = malloc(size);
        if (data == NULL) {
            break;
        }
        struct writer out = writer_of(data, size);
        build(request->session->edge, &out);
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

static const char *unready_reason(const struct edge *edge)
{
    const struct node *node = edge->options.node;
    if (atomic_load(&node->journal_failed)) {
        return "the journal has failed: nothing is stored until an operator acts\n";
    }
    if (edge->draining || atomic_load(&node->draining)) {
        return "shutting down\n";
    }
    for (unsigned lane = 0; lane < node->lane_count; lane++) {
        if (!atomic_load(&node->lanes[lane].database_ready)) {
            return "not connected to PostgreSQL: events are kept in the journal\n";
        }
    }
    return atomic_load(&node->listening) ? NULL
                                         : "not listening to PostgreSQL: nothing is pushed\n";
}

static bool reply_ready(const struct request *request)
{
    const char *reason = unready_reason(request->session->edge);
    return reason == NULL ? reply_text(request, 200, "ready\n") : reply_text(request, 503, reason);
}

static void build_streams(const struct edge *edge, struct writer *out)
{
    stream_set_describe(edge->options.streams, out);
    writer_string(out, "\n");
}

/* Who is not to see them is not told that they are there. */
static bool shows_operator_pages(const struct request *request)
{
    const struct edge *edge = request->session->edge;
    return edge_settings(edge)->operator_pages || edge->options.is_development;
}

static bool serve_path(const struct request *request)
{
    if (span_is(request->path, "/healthz")) {
        return reply_text(request, 200, "alive\n");
    }
    if (span_is(request->path, "/readyz")) {
        return reply_ready(request);
    }
    if (span_is(request->path, "/metrics")) {
        return reply_built(request, "text/plain; version=0.0.4; charset=utf-8", metrics_write);
    }
    if (span_is(request->path, "/v1/streams")) {
        return reply_built(request, "application/json", build_streams);
    }
    if (span_is(request->path, "/v1/publishers") && shows_operator_pages(request)) {
        return reply_built(request, "application/json", publishers_write);
    }
    if (span_is(request->path, "/v1/refusals") && shows_operator_pages(request)) {
        return reply_built(request, "application/json", refusals_write);
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

static bool serve(const struct request *request, bool host_is_wrong)
{
    if (host_is_wrong) {
        return refuse(request, 400, STATUS_MALFORMED, "the Host header must name one host");
    }
    if (!request->is_get && !request->is_head) {
        return refuse(request, 405, STATUS_MALFORMED, "only GET and HEAD are answered here");
    }
    if (request->body != HTTP_BODY_NONE) {
        return refuse(request, 413, STATUS_TOO_LARGE, "no path here takes a body");
    }
    return serve_path(request);
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

int http_serve(struct session *session, struct lws *wsi)
{
    char path[PATH_BYTES_MAX];
    bool too_long = false;
    counter_add(&session->edge->state->http_requests, 1);
    struct request request = {
        .session = session,
        .wsi = wsi,
        .body = http_body(wsi),
        .is_get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0,
        .is_head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0,
    };
    request.path = http_header(wsi, request.is_head ? WSI_TOKEN_HEAD_URI : WSI_TOKEN_GET_URI, path,
                               sizeof path, &too_long);
    if (!serve(&request, host_is_wrong(wsi)) || request.body == HTTP_BODY_UNKNOWN) {
        return -1; /* what is buffered is sent before the connection is closed */
    }
    if (request.body == HTTP_BODY_LARGE) {
        session->deadline_us = clock_monotonic_us() + DISCARD_US;
    }
    /* With a body that was announced, this throws it away first. */
    return lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
}
