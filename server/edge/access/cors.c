/*
 * cors.c - requests of web pages: refused, or answered so that the page may read the answer.
 *
 * Every upgrade and every request is judged by its `Host` and its `Origin` (origin.h) before
 * anything else is done with it; what probes ask has no secret, and is answered under any name. An
 * allowed origin is named in the answer (Access-Control-Allow-Origin, never "*"),
 * and a preflight (OPTIONS, whatever the path) is answered at once. Credentials are not among what
 * is allowed: tokens travel in a header that the page sets itself, never in cookies.
 */
#include "access/access.h"
#include "access/origin.h"
#include "edge_private.h"
#include "http/http.h"

#define ORIGIN_BYTES_MAX 300

enum verdict { FROM_NO_PAGE, ALLOWED, REFUSED };

static bool is_own(const struct edge *edge, struct span host)
{
    const struct settings *settings = edge_settings(edge);
    struct own_hosts own = {settings->hosts, settings->origins, settings->trusted_network};
    return edge->options.verifier != NULL || host_is_own(&own, host);
}

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
                                          is_own(edge, named))
               ? ALLOWED
               : REFUSED;
}

/* Browsers always send a Host; without one it is no page. */
static bool host_is_allowed(const struct session *session, struct lws *wsi, struct problem *problem)
{
    char host[ORIGIN_BYTES_MAX];
    bool too_long = false;
    struct span named = http_header(wsi, WSI_TOKEN_HOST, host, sizeof host, &too_long);
    if (!too_long && (named.size == 0 || is_own(session->edge, named))) {
        return true;
    }
    log_warn("edge", "refused: a request for host=%.*s, which `hosts` does not name",
             named.size < 100 ? (int)named.size : 100, (const char *)named.data);
    (void)problem_set(problem, STATUS_FORBIDDEN,
                      "this server asks for no tokens, and so answers only to names that it knows, "
                      "or any web page could let its own name stand for it: name the host of this "
                      "request in `hosts`, or use an address");
    return false;
}

static bool origin_is_refused(const struct session *session, struct lws *wsi,
                              struct problem *problem)
{
    char room[ORIGIN_BYTES_MAX];
    struct span origin;
    if (judge(session, wsi, room, sizeof room, &origin) != REFUSED) {
        return false;
    }
    (void)problem_set(problem, STATUS_FORBIDDEN,
                      "pages of this origin may not connect: name it in `origins`");
    return true;
}

bool cors_allows(const struct session *session, struct lws *wsi, bool is_probe,
                 struct problem *problem)
{
    if (!origin_is_refused(session, wsi, problem) &&
        (is_probe || host_is_allowed(session, wsi, problem))) {
        return true;
    }
    counter_add(&session->edge->state->origins_refused, 1);
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
