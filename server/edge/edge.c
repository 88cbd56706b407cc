/*
 * edge.c - one thread's loop: what wakes it, what it then does, and what libwebsockets asks of it.
 *
 * One turn of the loop:
 *   1. before it sleeps (ev_prepare): the bell is armed, then everything that others have left for
 *      us is taken: receipts, room in rings, what the feed has appended, the streams of tables that
 *      were altered. Whoever leaves something after the bell was armed rings it. The lanes are rung
 *      for what we have left them, and sessions are written to (flush.c);
 *   2. it sleeps on all sockets and the bell at once (epoll);
 *   3. it wakes (ev_check): the bell is disarmed, so that ringing costs nothing while we work;
 *   4. sockets are served: libwebsockets calls on_lws(), which calls into the other files.
 *
 * libwebsockets runs on our libev loop through its plugin (LWS_SERVER_OPTION_LIBEV with a foreign
 * loop): its own poll loop costs time in proportion to all connections, and with loops of its own
 * it takes signals away. Its log is off but for errors, and those are mostly a peer's fault: they
 * are shown at level debug.
 *
 * Every callback that is not handled goes to lws_callback_http_dummy(), which finishes what the
 * library began: an HTTP request that is left unanswered would spin the loop.
 */
#include "edge_private.h"
#include "arrive/arrive.h"
#include "arrive/tls.h"
#include "http/http.h"
#include "push/push.h"

#include <stdlib.h>
#include <sys/resource.h>

#define KEEPALIVE_S               20 /* an HTTP connection may idle so long */
#define HEADER_BYTES_MAX          8192
#define TX_PACKET_BYTES           (64 << 20) /* never cut a write of ours in pieces */
#define TICK_S                    1.
#define DESCRIPTORS_EXTRA         1024    /* for all else in this process */
#define DESCRIPTORS_MOST          1000000 /* libwebsockets keeps 16 bytes for each that is allowed */
#define CURSORS_MAX               (4u << 20)
#define METRICS_TOKEN_BYTES_LEAST 16

/* ---- libwebsockets' callbacks ---------------------------------------------------------------- */

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

/* libwebsockets reads it whenever it sets a connection's timer. */

/* The first is for HTTP, and for clients that offer no subprotocol. */
static const struct lws_protocols protocols[] = {
    {.name = PROTOCOL_JSON, .callback = on_lws, .tx_packet_size = TX_PACKET_BYTES},
    {.name = PROTOCOL_MSGPACK, .callback = on_lws, .tx_packet_size = TX_PACKET_BYTES},
    {0},
};

/* ---- the loop -------------------------------------------------------------------------------- */

/* What was made of settings at the start and follows them. Everything else reads them each time. */
static void adopt_settings(struct edge *edge, const struct settings *settings)
{
    struct network_list proxies;
    struct problem ignored; /* settings_check() has parsed the list before */
    edge->options.settings = settings;
    limit_rates_read(settings, &edge->rates);
    if (network_list_parse(span_string(settings->trusted_proxy), &proxies, &ignored) == STATUS_OK) {
        edge->trusted_proxies = proxies;
    }
}

/* A table was altered, or the configuration. No message is under way here: those that are held are
 * decoded again. */
static void take_streams(struct edge *edge)
{
    struct stream_handover *handover = edge->options.handover;
    const struct stream_set *offered = handover == NULL ? NULL : handover_look(handover);
    if (offered != NULL && offered != edge->options.streams) {
        edge->options.streams = offered;
        if (offered->settings != NULL) {
            adopt_settings(edge, offered->settings);
        }
        handover_confirm(handover, offered);
    }
}

/* The password of metrics_token_file, without the line end that editors leave; NULL: there is none.
 * The caller frees it with key_text_free(). */
static enum status read_metrics_token(const struct settings *settings, char **out,
                                      struct problem *problem)
{
    const char *file = settings->metrics_token_file;
    *out = NULL;
    if (*file == '\0') {
        return STATUS_OK;
    }
    enum status status = key_text_read(file, out, problem);
    if (status != STATUS_OK) {
        problem_context(problem, "metrics_token_file");
        return status;
    }
    (*out)[strcspn(*out, " \t\r\n")] = '\0';
    if (strlen(*out) < METRICS_TOKEN_BYTES_LEAST) {
        key_text_free(*out);
        *out = NULL;
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "metrics_token_file %.200s must hold %d bytes or more, without blanks",
                           file, METRICS_TOKEN_BYTES_LEAST);
    }
    return STATUS_OK;
}

static enum status load_identity(struct edge *edge, struct problem *problem)
{
    enum status status = tls_load(edge_settings(edge), edge->tls, &edge->identity, problem);
    if (status == STATUS_OK) {
        atomic_store(&edge->options.node->tls_expires_s, identity_expires_s(edge->identity));
    }
    return status;
}

/* New connections get the certificate that is there now, new requests need the password. */
static void reload(struct edge *edge)
{
    struct problem problem;
    char *token;
    atomic_store(&edge->reload_asked, false);
    if (edge->tls != NULL && load_identity(edge, &problem) != STATUS_OK) {
        log_error("edge", "the certificate stays as it was: %s", problem.text);
    }
    if (read_metrics_token(edge_settings(edge), &token, &problem) == STATUS_OK) {
        key_text_free(edge->metrics_token);
        edge->metrics_token = token;
    } else {
        log_error("edge", "the password of metrics_token_file stays as it was: %s", problem.text);
    }
}

static void work(struct edge *edge)
{
    take_streams(edge);
    receipts_take(edge);
    holds_advance(edge);
    lanes_ring(edge); /* for what held messages and, since the last turn, the sockets brought */
    window_reader_advance(edge->reader);
    pushed_mark(edge);
    catch_ups_take(edge);
    turns_advance(edge);
    bus_take(edge);
    attendances_advance(edge);
    bus_wake(edge);
    if (atomic_load_explicit(&edge->reload_asked, memory_order_relaxed)) {
        reload(edge);
    }
    if (atomic_load(&edge->stop_asked) && !edge->draining) {
        drain_begin(edge);
    }
    flush_all(edge);
}

static void before_sleep(struct ev_loop *loop, struct ev_prepare *watcher, int events)
{
    (void)loop;
    (void)events;
    struct edge *edge = (struct edge *)watcher->data;
    doorbell_arm(edge->options.bell);
    work(edge);
}

static void after_sleep(struct ev_loop *loop, struct ev_check *watcher, int events)
{
    (void)loop;
    (void)events;
    struct edge *edge = (struct edge *)watcher->data;
    edge->now_us = clock_monotonic_us();
    doorbell_disarm(edge->options.bell);
}

static void on_bell(struct ev_loop *loop, struct ev_io *watcher, int events)
{
    (void)loop; /* after_sleep() has drained it, and before_sleep() does the work */
    (void)watcher;
    (void)events;
}

static void on_tick(struct ev_loop *loop, struct ev_timer *watcher, int events)
{
    (void)events;
    struct edge *edge = (struct edge *)watcher->data;
    int64_t now_us = clock_monotonic_us();
    sessions_tick(edge, now_us);
    holds_tick(edge, now_us);
    catch_ups_tick(edge, now_us);
    channels_answer(edge);
    /* The plugin looks at the library's timers only behind a socket's event: make one. */
    lws_cancel_service(edge->context);
    if (edge->draining) {
        if (drain_advance(edge)) {
            ev_break(loop, EVBREAK_ALL);
        }
        return;
    }
    edge->accept_failure_said = edge->accept_failure_said && edge->free_count > 0;
    listen_start(edge);
}

static void watch(struct edge *edge)
{
    ev_prepare_init(&edge->before_sleep, before_sleep);
    ev_check_init(&edge->after_sleep, after_sleep);
    ev_io_init(&edge->bell_watcher, on_bell, edge->options.bell->fd, EV_READ);
    ev_timer_init(&edge->tick, on_tick, TICK_S, TICK_S);
    edge->before_sleep.data = edge->after_sleep.data = edge->tick.data = edge;
    ev_set_priority(&edge->after_sleep, EV_MAXPRI);
    ev_prepare_start(edge->loop, &edge->before_sleep);
    ev_check_start(edge->loop, &edge->after_sleep);
    ev_io_start(edge->loop, &edge->bell_watcher);
    ev_timer_start(edge->loop, &edge->tick);
}

static void unwatch(struct edge *edge)
{
    ev_prepare_stop(edge->loop, &edge->before_sleep);
    ev_check_stop(edge->loop, &edge->after_sleep);
    ev_io_stop(edge->loop, &edge->bell_watcher);
    ev_timer_stop(edge->loop, &edge->tick);
    ev_timer_stop(edge->loop, &edge->turns_timer); /* harmless on one that is not on */
}

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
static void fit_descriptor_limit(const struct edge *edge)
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

static enum status open_context(struct edge *edge, struct problem *problem)
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
    return tls != 0 ? load_identity(edge, problem) : STATUS_OK;
}

static enum status open_reader(struct edge *edge, struct problem *problem)
{
    const struct settings *settings = edge_settings(edge);
    bool is_large = settings->channels > CURSORS_MAX / settings->connections;
    struct window_reader_options options = {
        .window = edge->options.window,
        .index = edge->options.index,
        .cursors_max = is_large ? CURSORS_MAX : settings->channels * settings->connections,
        .on_ready = on_cursor_ready,
        .owner = edge,
    };
    return window_reader_create(&options, &edge->reader, problem);
}

static enum status open_buffers(struct edge *edge, struct problem *problem)
{
    size_t message_bytes = edge_settings(edge)->message_bytes;
    edge->write_buffer = malloc(LWS_PRE + WRITE_BYTES);
    edge->answer_buffer = malloc(ANSWER_BYTES_MAX);
    edge->shout_buffer = malloc((size_t)2 * SHOUT_BYTES_MAX);
    edge->event_headers = calloc(edge_settings(edge)->message_events, sizeof *edge->event_headers);
    if (!index_init(&edge->index) || edge->write_buffer == NULL || edge->answer_buffer == NULL ||
        edge->shout_buffer == NULL || edge->event_headers == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for an edge's buffers");
    }
    enum status status = decoder_create(message_bytes, &edge->decoder, problem);
    if (status != STATUS_OK) {
        return status;
    }
    return encode_context_create(message_bytes, &edge->encode_context, problem);
}

static enum status open_parts(struct edge *edge, struct problem *problem)
{
    edge->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (edge->loop == NULL) {
        return problem_set(problem, STATUS_INTERNAL, "libev makes no epoll loop");
    }
    adopt_settings(edge, edge->options.settings);
    enum status status = sessions_init(edge, problem);
    if (status == STATUS_OK) {
        status = read_metrics_token(edge_settings(edge), &edge->metrics_token, problem);
    }
    if (status == STATUS_OK) {
        status = open_buffers(edge, problem);
    }
    if (status == STATUS_OK) {
        status = open_reader(edge, problem);
    }
    if (status == STATUS_OK) {
        fit_descriptor_limit(edge);
        status = listen_open(edge, problem);
    }
    if (status == STATUS_OK) {
        status = open_context(edge, problem);
    }
    return status;
}

enum status edge_open(const struct edge_options *options, struct edge **out,
                      struct problem *problem)
{
    struct edge *edge = calloc(1, sizeof *edge);
    if (edge == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for an edge");
    }
    edge->options = *options;
    edge->state = &options->node->edges[options->index];
    edge->now_us = clock_monotonic_us();
    refusals_init(&edge->state->refusals);
    catch_ups_init(edge);
    enum status status = open_parts(edge, problem);
    if (status != STATUS_OK) {
        edge_close(edge);
        return status;
    }
    watch(edge);
    *out = edge;
    return STATUS_OK;
}

void edge_run(struct edge *edge)
{
    listen_start(edge);
    ev_run(edge->loop, 0);
    lanes_ring(edge);
    bus_wake(edge);
    unwatch(edge);
}

enum status edge_check_reload(const struct settings *settings, struct problem *problem)
{
    char *token;
    enum status status = settings_have_tls(settings) ? tls_check(settings, problem) : STATUS_OK;
    if (status == STATUS_OK) {
        status = read_metrics_token(settings, &token, problem);
        key_text_free(status == STATUS_OK ? token : NULL);
    }
    return status;
}

void edge_reload(struct edge *edge)
{
    atomic_store(&edge->reload_asked, true);
    doorbell_ring(edge->options.bell);
}

void edge_stop(struct edge *edge)
{
    atomic_store(&edge->stop_asked, true);
    doorbell_ring(edge->options.bell);
}

void edge_close(struct edge *edge)
{
    if (edge == NULL) {
        return;
    }
    if (edge->loop != NULL) {
        listen_close(edge);
    }
    if (edge->context != NULL) {
        lws_context_destroy(edge->context); /* destroys the sessions by LWS_CALLBACK_WSI_DESTROY */
    }
    sessions_fini(edge);
    refusals_fini(&edge->state->refusals);
    catch_ups_fini(edge);
    attendances_fini(edge);
    window_reader_destroy(edge->reader);
    index_fini(&edge->index);
    encode_context_destroy(edge->encode_context);
    decoder_destroy(edge->decoder);
    block_pool_fini(&edge->pool);
    free(edge->write_buffer);
    free(edge->answer_buffer);
    free(edge->shout_buffer);
    free(edge->event_headers);
    key_text_free(edge->metrics_token);
    identity_free(edge->identity);
    if (edge->loop != NULL) {
        unwatch(edge);
        ev_loop_destroy(edge->loop);
    }
    free(edge);
}
