/*
 * reply.c - writes HTTP/1.1 answers, and judges the bodies that requests announce.
 *
 * An answer is written at once, headers and body; what the socket does not take is kept by
 * libwebsockets, which ends the transaction when it has gone. Bodies are constant or built for the
 * call, so that is the only copy.
 */
#include "http/http.h"
#include "access/access.h"

#include <stdio.h>
#include <stdlib.h>

#define HEADERS_BYTES_MAX 2048

static const char *reason_phrase(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 417:
        return "Expectation Failed";
    case 422:
        return "Unprocessable Content";
    case 426:
        return "Upgrade Required";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    default:
        return "Error";
    }
}

int http_status_of(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return 200;
    case STATUS_MALFORMED:
    case STATUS_INVALID_CHANNEL:
        return 400;
    case STATUS_UNAUTHORIZED:
        return 401;
    case STATUS_FORBIDDEN:
        return 403;
    case STATUS_UNKNOWN_STREAM:
        return 404;
    case STATUS_TOO_LARGE:
    case STATUS_TOO_MANY:
        return 413;
    case STATUS_INVALID_EVENT:
    case STATUS_REJECTED_BY_DATABASE:
        return 422;
    case STATUS_RATE_LIMITED:
        return 429;
    case STATUS_UNSUPPORTED:
        return 501;
    case STATUS_OVERLOADED:
    case STATUS_UNAVAILABLE:
    case STATUS_NO_MEMORY:
    case STATUS_JOURNAL_FAILED:
        return 503;
    default:
        return 500;
    }
}

static void write_headers(struct lws *wsi, struct writer *out, const struct http_reply *reply)
{
    char line[200];
    int size = snprintf(line, sizeof line,
                        "HTTP/1.1 %d %s\r\n"
                        "Content-Type: %s\r\n"
                        "Content-Length: %zu\r\n"
                        "Cache-Control: no-store\r\n"
                        "X-Content-Type-Options: nosniff\r\n",
                        reply->status, reason_phrase(reply->status), reply->type, reply->body.size);
    writer_bytes(out, line, (size_t)size);
    if (reply->status == 426) {
        writer_string(out, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    }
    if (reply->status == 401) {
        writer_string(out, "WWW-Authenticate: Bearer\r\n");
    }
    cors_write_headers(lws_get_opaque_user_data(wsi), wsi, out);
    writer_string(out, reply->headers == NULL ? "" : reply->headers);
    writer_string(out, reply->close ? "Connection: close\r\n" : "Connection: keep-alive\r\n");
    writer_string(out, "\r\n");
}

static bool write_bytes(struct lws *wsi, const uint8_t *data, size_t size)
{
    /* HTTP/1 is sent as it stands (lib/roles/h1/ops-h1.c), the bytes are not written to. */
    return size == 0 || lws_write(wsi, (unsigned char *)(uintptr_t)data, size, LWS_WRITE_HTTP) >= 0;
}

bool http_reply(struct lws *wsi, const struct http_reply *reply)
{
    uint8_t buffer[LWS_PRE + HEADERS_BYTES_MAX];
    struct writer headers = writer_of(buffer + LWS_PRE, HEADERS_BYTES_MAX);
    write_headers(wsi, &headers, reply);
    if (headers.full || !write_bytes(wsi, headers.start, writer_size(&headers))) {
        return false;
    }
    return reply->without_body || write_bytes(wsi, reply->body.data, reply->body.size);
}

/* Seconds, and at least one (RFC 9110 section 10.2.3). */
static void retry_after(const struct problem *problem, char *out, size_t size)
{
    out[0] = '\0';
    if (problem->retry_after_ms > 0) {
        (void)snprintf(out, size, "Retry-After: %u\r\n", (problem->retry_after_ms + 999) / 1000);
    }
}

bool http_reply_problem(struct lws *wsi, int status, const struct problem *problem, bool close)
{
    uint8_t buffer[4096];
    char headers[64];
    struct writer body = writer_of(buffer, sizeof buffer);
    encode_plain_error(&body, problem);
    writer_string(&body, "\n");
    retry_after(problem, headers, sizeof headers);
    struct http_reply reply = {
        .status = status,
        .type = "application/json",
        .headers = status == 405 ? "Allow: GET, HEAD\r\n" : headers,
        .body = writer_span(&body),
        .close = close,
    };
    return http_reply(wsi, &reply);
}

struct span http_header(struct lws *wsi, enum lws_token_indexes token, char *room, size_t size,
                        bool *too_long)
{
    int length = lws_hdr_copy(wsi, room, (int)size, token);
    if (length < 0) {
        *too_long = true;
        return span_of(NULL, 0);
    }
    return span_of(room, (size_t)length);
}

static bool is_method_with_body(struct lws *wsi)
{
    return lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0 ||
           lws_hdr_total_length(wsi, WSI_TOKEN_PUT_URI) > 0 ||
           lws_hdr_total_length(wsi, WSI_TOKEN_PATCH_URI) > 0;
}

/* Without a length, libwebsockets expects 100 MB of these methods (lib/roles/http/server/server.c).
 */
enum http_body http_body_size(struct lws *wsi, uint64_t *out_size)
{
    *out_size = 0;
    char room[24];
    bool too_long = false;
    struct span length =
        http_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, room, sizeof room, &too_long);
    if (too_long || lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0) {
        return HTTP_BODY_UNKNOWN;
    }
    if (length.size == 0) {
        return is_method_with_body(wsi) ? HTTP_BODY_UNKNOWN : HTTP_BODY_NONE;
    }
    if (length.size > 18 || strspn(room, "0123456789") != length.size) {
        return HTTP_BODY_UNKNOWN; /* twice, negative, or no number */
    }
    *out_size = strtoull(room, NULL, 10);
    return *out_size == 0 ? HTTP_BODY_NONE : HTTP_BODY_KNOWN;
}

enum http_body http_body(struct lws *wsi)
{
    uint64_t size;
    return http_body_size(wsi, &size);
}
