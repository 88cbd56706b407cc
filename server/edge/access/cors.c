/*
 * cors.c - requests of web pages: refused, or answered so that the page may read the answer.
 *
 * Every upgrade and every request with an `Origin` is judged (origin.h) before anything else is
 * done with it. An allowed origin is named in the answer (Access-Control-Allow-Origin, never "*"),
 * and a preflight (OPTIONS, whatever the path) is answered at once. Credentials are not among what
 * is allowed: tokens travel in a header that the page sets itself, never in cookies.
 */
#include "access/access.h"
#include "access/origin.h"
#include "edge_private.h"
#include "http/http.h"

#define ORIGIN_BYTES_MAX 300

enum verdict { FROM_NO_PAGE, ALLOWED, REFUSED };

static enum verdict judge(const struct session *session, struct lws *wsi, char *room, size_t size,
                          struct span *out_origin)
{
    char host[ORIGIN_BYTES_MAX];
    bool too_long = false;
    const struct edge *edge = session->edge;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) <= 0) {
        return FROM_NO_PAGE;
    }
    *out_origin = http_header(wsi, WSI_TOKEN_ORIGIN, room, size, &too_long);
    struct span named = http_header(wsi, WSI_TOKEN_HOST, host, sizeof host, &too_long);
    return !too_long && origin_is_allowed(edge_settings(edge)->origins, *out_origin, named,
                                          edge->options.verifier != NULL)
               ? ALLOWED
               : REFUSED;
}

bool cors_allows(const struct session *session, struct lws *wsi, struct problem *problem)
{
    char room[ORIGIN_BYTES_MAX];
    struct span origin;
    if (judge(session, wsi, room, sizeof room, &origin) != REFUSED) {
        return true;
    }
    counter_add(&session->edge->state->origins_refused, 1);
    (void)problem_set(problem, STATUS_FORBIDDEN,
                      "pages of this origin may not connect: name it in `origins`");
    return false;
}

void cors_write_headers(const struct session *session, struct lws *wsi, struct writer *out)
{
    char room[ORIGIN_BYTES_MAX];
    struct span origin;
    if (judge(session, wsi, room, sizeof room, &origin) == ALLOWED) {
        writer_string(out, "Access-Control-Allow-Origin: ");
        writer_put(out, origin);
        writer_string(out, "\r\nAccess-Control-Expose-Headers: Retry-After\r\n");
    }
    writer_string(out, "Vary: Origin\r\n");
}

bool cors_is_preflight(struct lws *wsi)
{
    return lws_hdr_total_length(wsi, WSI_TOKEN_OPTIONS_URI) > 0 &&
           lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) > 0;
}
