/*
 * context.c - libwebsockets' part of an edge: its context on our loop, and what it calls us for.
 *
 * It runs on our libev loop through its plugin (LWS_SERVER_OPTION_LIBEV with a foreign loop): its
 * own poll loop costs time in proportion to all connections, and with loops of its own it takes
 * signals away. Its log is off but for errors, and those are mostly a peer's fault: they are shown
 * at level debug.
 *
 * Every callback that is not handled goes to lws_callback_http_dummy(), which finishes what the
 * library began: an HTTP request that is left unanswered would spin the loop.
 */
#include "edge_private.h"
#include "arrive/arrive.h"
#include "http/http.h"
#include "push/push.h"

#include <sys/resource.h>

#define KEEPALIVE_S       20 /* an HTTP connection may idle so long */
#define HEADER_BYTES_MAX  8192
#define TX_PACKET_BYTES   (64 << 20) /* never cut a write of ours in pieces */
#define DESCRIPTORS_EXTRA 1024       /* for all else in this process */
#define DESCRIPTORS_MOST  1000000    /* libwebsockets keeps 16 bytes for each that is allowed */

/* ---- callbacks ------------------------------------------------------------------------------- */

static int on_upgraded(struct session *session, struct lws *wsi)
{
    if (!session->upgrade_checked) {
        return -1;
    }
    const char *protocol = lws_get_protocol(wsi)->name;
    session->is_websocket = true;
    session->encoding = strcmp(protocol, PROTOCOL_MSGPACK) == 0 ? ENCODING_MSGPACK : ENCODING_JSON;
    session_open(session);
    mask_watch(session);
    return 0;
}

/* The library has made the vhost's TLS context, and has a request of its own only. */
static int on_tls_context(struct lws *wsi, SSL_CTX *context)
{
    struct edge *edge = lws_context_user(lws_get_context(wsi));
    edge->tls = context;
    return 0;
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t size)
{
    struct session *session = wsi == NULL ? NULL : lws_get_opaque_user_data(wsi);
    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
        return on_tls_context(wsi, user);
    }
    if (session == NULL) {
        return lws_callback_http_dummy(wsi, reason, user, in, size);
    }
    switch (reason) {
    case LWS_CALLBACK_RECEIVE_PONG:
        session->heard = true;
        return 0;
    case LWS_CALLBACK_RECEIVE:
        session->heard = true;
        return receive(session, span_of(in, size));
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return push(session);
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
        session->wsi = wsi;
        return 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return upgrade_confirm(session, wsi);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return session->upgrade_checked ? 0 : -1;
    case LWS_CALLBACK_ESTABLISHED:
        return on_upgraded(session, wsi);
    case LWS_CALLBACK_HTTP:
        return http_serve(session, wsi);
    case LWS_CALLBACK_HTTP_BODY:
        return http_publish_body(session, span_of(in, size));
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return http_publish_complete(session);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return exchange_advance(session);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        session_shut(session);
        return 0;
    case LWS_CALLBACK_CLOSED:
        trace_closed(session);
        session_shut(session);
        return 0;
    case LWS_CALLBACK_RAW_CLOSE:
        session_shut(session);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        session_destroy(session);
        return 0;
    case LWS_CALLBACK_RAW_ADOPT: /* what CONNECT, or no HTTP at all, would become */
        return -1;
    case LWS_CALLBACK_RAW_RX:
        return session->is_stream ? 0 : -1; /* what a stream's client sends is thrown away */
    case LWS_CALLBACK_RAW_WRITEABLE:
        return stream_push(session);
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, size);
    }
}

/* The first is for HTTP, and for clients that offer no subprotocol. */
static const struct lws_protocols protocols[] = {
    {.name = PROTOCOL_JSON, .callback = on_lws, .tx_packet_size = TX_PACKET_BYTES},
    {.name = PROTOCOL_MSGPACK, .callback = on_lws, .tx_packet_size = TX_PACKET_BYTES},
    {0},
};

/* ---- opening --------------------------------------------------------------------------------- */

/* The last error of the library, while a context is made; main's thread only. */
static char opening_error[200];

static void on_lws_log(int level, const char *line)
{
    (void)level;
    size_t size = strcspn(line, "\n");
    size = size < sizeof opening_error ? size : sizeof opening_error - 1;
    log_debug("edge", "libwebsockets: %.*s", (int)size, line);
}

static void on_opening_log(int level, const char *line)
{
    on_lws_log(level, line);
    size_t size = strcspn(line, "\n");
    size = size < sizeof opening_error ? size : sizeof opening_error - 1;
    memcpy(opening_error, line, size);
    opening_error[size] = '\0';
}

/*
 * The library makes its tables as large as the limit of open files, and above ten million it
 * believes in 2560 (4.1.6, lib/core/context.c). A limit that fits what the edges may open serves
 * both.
 */
void context_fit_descriptors(const struct edge *edge)
{
    struct rlimit limit;
    uint64_t wanted =
        edge_settings(edge)->connections * edge->options.node->edge_count + DESCRIPTORS_EXTRA;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        (limit.rlim_cur >= wanted && limit.rlim_cur <= DESCRIPTORS_MOST)) {
        return;
    }
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted) {
        log_warn("edge",
                 "only %llu files may be open, %llu are wanted for `connections`: raise "
                 "the limit (ulimit -n, LimitNOFILE=)",
                 (unsigned long long)limit.rlim_cur, (unsigned long long)wanted);
    }
}

enum status context_open(struct edge *edge, struct problem *problem)
{
    const struct settings *settings = edge_settings(edge);
    uint64_t tls = settings_have_tls(settings) ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
                                                     LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX
                                               : 0;
    void *loops[] = {edge->loop};
    edge->no_heartbeat = (lws_retry_bo_t){0}; /* heartbeat.c has ours */
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .options = LWS_SERVER_OPTION_LIBEV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS | tls,
        .alpn = "http/1.1", /* HTTP/2 is not spoken here */
        .user = edge,
        .foreign_loops = loops,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .pt_serv_buf_size = SERVICE_BYTES,
        .max_http_header_data = HEADER_BYTES_MAX,
        .timeout_secs = (unsigned)settings->handshake_s,
        .timeout_secs_ah_idle = (unsigned)settings->handshake_s,
        .keepalive_timeout = KEEPALIVE_S,
        .retry_and_idle_policy = &edge->no_heartbeat,
        .vhost_name = "penstock",
    };
    lws_set_log_level(LLL_ERR, on_opening_log);
    edge->context = lws_create_context(&info);
    edge->vhost = edge->context == NULL ? NULL : lws_create_vhost(edge->context, &info);
    lws_set_log_level(LLL_ERR, on_lws_log);
    if (edge->vhost == NULL) {
        return problem_set(problem, STATUS_INTERNAL,
                           "libwebsockets does not start: %s; is the package "
                           "libwebsockets-evlib-ev installed?",
                           opening_error);
    }
    return STATUS_OK;
}
