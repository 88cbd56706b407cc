/*
 * upgrade.c - takes the headers of a request out of libwebsockets, has them judged, and refuses.
 *
 * This runs in LWS_CALLBACK_HTTP_CONFIRM_UPGRADE, before libwebsockets does anything with the
 * request, so a refusal is an ordinary HTTP answer. The callback's `in` is never looked at: after
 * an Upgrade that libwebsockets does not know it points into freed memory (4.1.6,
 * lib/roles/http/server/server.c, lws_handshake_server). lws_hdr_copy() then finds nothing, and
 * what has no method is refused.
 */
#include "arrive/arrive.h"
#include "access/access.h"
#include "http/http.h"

#include <sys/random.h>

#define ARGUMENT_BYTES (TOKEN_BYTES_MAX + 16) /* one `name=value` of a query: a token, say */

struct headers {
    char path[UPGRADE_HEADER_BYTES], version[16], host[300], upgrade[32];
    char connection[UPGRADE_HEADER_BYTES], key[64], key_version[16];
    char protocols[UPGRADE_HEADER_BYTES];
    char producer[PRODUCER_BYTES_MAX + 1];
};

static void take_argument(struct span argument, struct headers *headers,
                          struct upgrade_request *request)
{
    static const char name[] = "producer=";
    const size_t name_bytes = sizeof name - 1;
    if (argument.size < name_bytes || memcmp(argument.data, name, name_bytes) != 0) {
        return;
    }
    bool is_second = request->has_producer;
    size_t size = argument.size - name_bytes;
    request->has_producer = true;
    if (is_second || size > sizeof headers->producer) {
        size = 0; /* which is not a producer either */
    }
    memcpy(headers->producer, argument.data + name_bytes, size);
    request->producer = span_of(headers->producer, size);
}

/* Finds `producer=` among the arguments, which libwebsockets has split and percent-decoded. */
static void read_arguments(struct lws *wsi, struct headers *headers,
                           struct upgrade_request *request)
{
    char argument[ARGUMENT_BYTES];
    for (int i = 0;; i++) {
        bool is_there = lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i) > 0;
        int size =
            lws_hdr_copy_fragment(wsi, argument, sizeof argument, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (size < 0) {
            request->too_long |= is_there;
            return;
        }
        take_argument(span_of(argument, (size_t)size), headers, request);
    }
}

static void read_request(struct lws *wsi, struct headers *h, struct upgrade_request *request)
{
    bool *too_long = &request->too_long;
    request->is_get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0;
    request->has_body = http_body(wsi) != HTTP_BODY_NONE;
    request->path = http_header(wsi, WSI_TOKEN_GET_URI, h->path, sizeof h->path, too_long);
    request->version = http_header(wsi, WSI_TOKEN_HTTP, h->version, sizeof h->version, too_long);
    request->host = http_header(wsi, WSI_TOKEN_HOST, h->host, sizeof h->host, too_long);
    request->upgrade = http_header(wsi, WSI_TOKEN_UPGRADE, h->upgrade, sizeof h->upgrade, too_long);
    request->connection =
        http_header(wsi, WSI_TOKEN_CONNECTION, h->connection, sizeof h->connection, too_long);
    request->key = http_header(wsi, WSI_TOKEN_KEY, h->key, sizeof h->key, too_long);
    request->key_version =
        http_header(wsi, WSI_TOKEN_VERSION, h->key_version, sizeof h->key_version, too_long);
    request->protocols =
        http_header(wsi, WSI_TOKEN_PROTOCOL, h->protocols, sizeof h->protocols, too_long);
    read_arguments(wsi, h, request);
}

static bool draw_id(struct session *session)
{
    return getrandom(session->id, sizeof session->id, 0) == sizeof session->id;
}

int upgrade_confirm(struct session *session, struct lws *wsi)
{
    struct headers headers;
    struct upgrade_request request = {0};
    struct problem problem;
    read_request(wsi, &headers, &request);
    if (request.version.size == 0) {
        return -1; /* answered before, by libwebsockets: there is no request any more */
    }
    int status = upgrade_check(&request, &problem);
    if (status == 0) {
        status = arrival_admit(session, wsi, &problem);
    }
    if (status == 0 && !cors_allows(session, wsi, false, &problem)) {
        status = 403;
    }
    if (status == 0) {
        status = access_take_request(session, wsi, &problem);
    }
    if (status == 0 && !draw_id(session)) {
        status = 503;
        (void)problem_set(&problem, STATUS_UNAVAILABLE, "no random bytes for a session id");
    }
    if (status != 0) {
        trace_upgrade_refused(session, status, &problem);
        (void)http_reply_problem(wsi, status, &problem, true);
        return -1;
    }
    session->producer = request.has_producer
                            ? producer_of_name(request.producer)
                            : producer_of_session(span_of(session->id, sizeof session->id));
    session->upgrade_checked = true;
    return 0;
}
