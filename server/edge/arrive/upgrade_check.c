/*
 * upgrade_check.c - one rule after another, each with a sentence that says what to send instead.
 */
#include "arrive/upgrade_check.h"

#include <strings.h>

#define KEY_BYTES      24 /* 16 bytes in base64 (RFC 6455 section 4.1) */
#define HOST_BYTES_MAX 255

static bool equals_ignoring_case(struct span a, const char *b)
{
    return a.size == strlen(b) && strncasecmp((const char *)a.data, b, a.size) == 0;
}

static bool is_base64(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

static bool key_is_valid(struct span key)
{
    if (key.size != KEY_BYTES || key.data[KEY_BYTES - 1] != '=' || key.data[KEY_BYTES - 2] != '=') {
        return false;
    }
    for (size_t i = 0; i < KEY_BYTES - 2; i++) {
        if (!is_base64(key.data[i])) {
            return false;
        }
    }
    return true;
}

bool host_is_valid(struct span host)
{
    if (host.size == 0 || host.size > HOST_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < host.size; i++) {
        uint8_t c = host.data[i];
        if (c <= ' ' || c >= 0x7f || c == ',' || c == '/' || c == '@') {
            return false;
        }
    }
    return true;
}

/* Takes the first element off a comma-separated list, blanks around it cut. False: none is left. */
static bool list_next(struct span *list, struct span *out)
{
    if (list->data == NULL) {
        return false;
    }
    *out = span_trim(span_take(list, ','));
    return true;
}

static bool connection_upgrades(struct span connection)
{
    struct span element;
    while (list_next(&connection, &element)) {
        if (equals_ignoring_case(element, "upgrade")) {
            return true;
        }
    }
    return false;
}

/* None offered, or one of ours among them. */
static bool protocols_are_known(struct span protocols)
{
    if (protocols.size == 0) {
        return true;
    }
    struct span element;
    while (list_next(&protocols, &element)) {
        if (span_is(element, PROTOCOL_JSON) || span_is(element, PROTOCOL_MSGPACK)) {
            return true;
        }
    }
    return false;
}

static int refuse(struct problem *problem, int http_status, const char *text)
{
    (void)problem_set(problem, STATUS_MALFORMED, "%s", text);
    return http_status;
}

static int check_handshake(const struct upgrade_request *request, struct problem *problem)
{
    if (!equals_ignoring_case(request->upgrade, "websocket")) {
        return refuse(problem, 400,
                      "the Upgrade header must be \"websocket\": HTTP/2 is not spoken here");
    }
    if (!connection_upgrades(request->connection)) {
        return refuse(problem, 400, "the Connection header must contain \"Upgrade\"");
    }
    if (!span_is(request->key_version, "13")) {
        return refuse(problem, 426, "Sec-WebSocket-Version must be 13");
    }
    if (!key_is_valid(request->key)) {
        return refuse(problem, 400, "Sec-WebSocket-Key must be 16 bytes in base64, sent once");
    }
    if (!protocols_are_known(request->protocols)) {
        return refuse(problem, 400,
                      "Sec-WebSocket-Protocol must offer " PROTOCOL_JSON " or " PROTOCOL_MSGPACK);
    }
    return 0;
}

static int check_producer(const struct upgrade_request *request, struct problem *problem)
{
    if (request->has_producer &&
        (request->producer.size == 0 || request->producer.size > PRODUCER_BYTES_MAX ||
         !utf8_valid(request->producer))) {
        return refuse(problem, 400, "producer must be 1 to 100 bytes of UTF-8, given once");
    }
    return 0;
}

int upgrade_check(const struct upgrade_request *request, struct problem *problem)
{
    if (!request->is_get) {
        return refuse(problem, 405, "a WebSocket begins with GET");
    }
    if (!span_is(request->path, UPGRADE_PATH)) {
        return refuse(problem, 404, "WebSockets are served at " UPGRADE_PATH);
    }
    if (!span_is(request->version, "HTTP/1.1")) {
        return refuse(problem, 400, "a WebSocket needs HTTP/1.1");
    }
    if (request->too_long) {
        return refuse(problem, 400, "a header of the WebSocket handshake is too long");
    }
    if (request->has_body) {
        return refuse(problem, 400, "a WebSocket handshake has no body");
    }
    if (!host_is_valid(request->host)) {
        return refuse(problem, 400, "the Host header must name one host");
    }
    int http_status = check_handshake(request, problem);
    return http_status != 0 ? http_status : check_producer(request, problem);
}
