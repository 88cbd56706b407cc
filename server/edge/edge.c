/*
 * edge.c - one thread's loop: what wakes it, what it then does, and what it is made of.
 *
 * One turn of the loop:
 *   1. before it sleeps (ev_prepare): the bell is armed, then everything that others have left for
 *      us is taken: receipts, room in rings, what the feed has appended, the streams of tables that
 *      were altered. Whoever leaves something after the bell was armed rings it. The lanes are rung
 *      for what we have left them, and sessions are written to (flush.c);
 *   2. it sleeps on all sockets and the bell at once (epoll);
 *   3. it wakes (ev_check): the bell is disarmed, so that ringing costs nothing while we work;
 *   4. sockets are served: libwebsockets calls on_lws() (context.c), which calls into the other
 *      files.
 */
#include "edge_private.h"
#include "access/access.h"
#include "arrive/arrive.h"
#include "arrive/tls.h"
#include "http/http.h"
#include "push/push.h"

#include <stdlib.h>

#define TICK_S                    1.
#define CURSORS_MAX               (4u << 20)
#define METRICS_TOKEN_BYTES_LEAST 16

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

/* Without tokens there are no rules. */
static void note_rules(struct edge *edge, const struct settings *next)
{
    if (edge->options.verifier != NULL && access_rules_differ(edge_settings(edge), next)) {
        edge->rules++;
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
            note_rules(edge, offered->settings);
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

/* Takes in what the feed has appended, and begins to accept. Nobody can subscribe before the feed
 * has found the log's end once, nor resume from the log before its beginning is known: all would be
 * told to come again. So whoever connects waits in the kernel's backlog until then, for a second
 * (the tick's) at most, since publishing needs neither. */
static void take_window(struct edge *edge)
{
    /* Pairs with the release in note_listening() (feed.c), and comes before the window is looked
     * at: what made it true is then taken in. */
    bool has_begun = atomic_load_explicit(&edge->options.node->has_begun, memory_order_acquire);
    window_reader_advance(edge->reader);
    edge->has_begun = has_begun;
    if (has_begun && !edge->accepting && !edge->draining && knows_floor(edge)) {
        listen_start(edge);
    }
}

static void work(struct edge *edge)
{
    take_streams(edge);
    receipts_take(edge);
    holds_advance(edge);
    lanes_ring(edge); /* for what held messages and, since the last turn, the sockets brought */
    take_window(edge);
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
    positions_tick(edge);
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

static enum status open_reader(struct edge *edge, struct problem *problem)
{
    const struct settings *settings = edge_settings(edge);
    bool is_large = settings->channels > CURSORS_MAX / settings->connections;
    struct window_reader_options options = {
        .window = edge->options.window,
        .index = edge->options.index,
        /* And one, of a subscription that is being replaced. */
        .cursors_max = is_large ? CURSORS_MAX : settings->channels * settings->connections + 1,
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
        context_fit_descriptors(edge);
        status = listen_open(edge, problem);
    }
    if (status == STATUS_OK) {
        status = context_open(edge, problem);
    }
    if (status == STATUS_OK && settings_have_tls(edge_settings(edge))) {
        status = load_identity(edge, problem);
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
    ev_run(edge->loop, 0); /* take_window() begins to accept, or the first tick */
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
