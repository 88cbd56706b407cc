/*
 * run.c - messages go out, answers are counted.
 *
 * Closed loop: every connection keeps `inflight` messages unanswered, and a latency counts from
 * when the message's first byte was handed to the kernel. Open loop: message number n of all is due
 * at a fixed time on connection n % connections, and its latency counts from then, whether or not
 * it could be sent then: a server that falls behind cannot hide it by taking less.
 *
 * Answers of a connection come in the order of its messages.
 */
#include "load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#define SILENCE_US  30000000
#define DUE_AT_ONCE 256 /* then answers are read, however much is late */

static bool is_open_loop(const struct load *load)
{
    return load->options->rate > 0;
}

/* When message `number` of all is due. */
static int64_t due_us(const struct load *load, uint64_t number)
{
    double interval_us = 1e6 * load->frames.events_per_frame / load->options->rate;
    return load->start_us + (int64_t)((double)number * interval_us);
}

/* When it counts from: the next message of this connection that gets its answer. */
static int64_t begun_us(const struct load *load, const struct connection *c)
{
    if (is_open_loop(load)) {
        uint64_t place = (uint64_t)(c - load->connections);
        return due_us(load, place + c->answered * load->options->connections);
    }
    return c->sent_us[c->answered % load->options->inflight];
}

/* ---- sending --------------------------------------------------------------------------------- */

static bool may_send(const struct load *load, const struct connection *c)
{
    if (c->frame_sent > 0) {
        return true; /* the rest of one that has begun */
    }
    if (is_open_loop(load)) {
        return c->due > 0;
    }
    return c->inflight < load->options->inflight && load->sent < load->messages_max;
}

static void count_sent(struct load *load, struct connection *c)
{
    if (is_open_loop(load)) {
        c->due--;
    } else {
        c->sent_us[c->sent % load->options->inflight] = now_us();
    }
    c->sent++;
    c->inflight++;
    load->sent++;
}

static void connection_send(struct load *load, struct connection *c)
{
    const struct frames *frames = &load->frames;
    while (may_send(load, c)) {
        size_t start = frames->offsets[c->frame], end = frames->offsets[c->frame + 1];
        size_t size = client_write(&c->client, span_of(frames->bytes + start + c->frame_sent,
                                                       end - start - c->frame_sent));
        if (size == 0) {
            return;
        }
        if (c->frame_sent == 0) {
            count_sent(load, c);
        }
        c->frame_sent += size;
        if (c->frame_sent == end - start) {
            c->frame_sent = 0;
            c->frame = (c->frame + 1) % frames->count;
        }
    }
}

/* Open loop: hands what has become due to the connections whose turn it is. */
static void send_due(struct load *load)
{
    for (unsigned i = 0;
         i < DUE_AT_ONCE && load->due < load->messages_max && now_us() >= due_us(load, load->due);
         i++) {
        struct connection *c = &load->connections[load->due % load->options->connections];
        load->due++;
        c->due++;
        connection_send(load, c);
    }
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void take_message(struct load *load, struct connection *c, struct span payload)
{
    if (span_contains(payload, "error")) {
        if (load->refused++ == 0) {
            snprintf(load->refusal, sizeof load->refusal, "%.*s", SPAN_PRINT(payload));
        }
    } else if (!span_contains(payload, "ack")) {
        return;
    }
    if (c->inflight == 0) {
        fail("an answer to nothing: %.*s", SPAN_PRINT(payload));
    }
    histogram_add(&load->latencies, now_us() - begun_us(load, c));
    c->answered++;
    c->inflight--;
    load->answered++;
}

/* Edge-triggered: until nothing more comes. */
static void connection_turn(struct load *load, struct connection *c)
{
    while (client_fill(&c->client)) {
        size_t at = 0;
        struct span payload;
        while (client_frame(&c->client, &at, &payload)) {
            if (payload.size > 0) {
                take_message(load, c, payload);
            }
        }
        client_taken(&c->client, at);
        connection_send(load, c);
    }
    connection_send(load, c);
}

/* ---- the run --------------------------------------------------------------------------------- */

static void wait_for_events(struct load *load)
{
    int64_t wait_us = SILENCE_US;
    if (is_open_loop(load) && load->due < load->messages_max) {
        wait_us = due_us(load, load->due) - now_us();
        wait_us = wait_us < 0 ? 0 : wait_us < SILENCE_US ? wait_us : SILENCE_US;
    }
    struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
    struct pollfd polled = {.fd = load->epoll, .events = POLLIN};
    if (ppoll(&polled, 1, &wait, NULL) < 0) {
        die("poll");
    }
    struct epoll_event events[64];
    int count = epoll_wait(load->epoll, events, 64, 0);
    for (int i = 0; i < count; i++) {
        connection_turn(load, events[i].data.ptr);
    }
}

/* Closed loop by time: once it is over, what is sent is waited for, and nothing more is sent. */
static void end_sending(struct load *load)
{
    double seconds = load->options->seconds;
    if (load->messages_max == UINT64_MAX && now_us() - load->start_us >= (int64_t)(seconds * 1e6)) {
        load->messages_max = load->sent;
    }
}

static void show_progress(const struct load *load, int64_t *shown_us, uint64_t *shown)
{
    int64_t now = now_us();
    if (now - *shown_us >= 1000000 && isatty(2)) {
        double rate = (double)(load->answered - *shown) * load->frames.events_per_frame * 1e6 /
                      (double)(now - *shown_us);
        fprintf(stderr, "\r\033[K%.0f s: %.0f events/s, p50 %.2f ms, p99 %.2f ms",
                (double)(now - load->start_us) / 1e6, rate,
                (double)histogram_at(&load->latencies, 0.5) / 1e3,
                (double)histogram_at(&load->latencies, 0.99) / 1e3);
        *shown_us = now;
        *shown = load->answered;
    }
}

void load_run(struct load *load)
{
    load->start_us = now_us();
    load->cpu_s = own_cpu_seconds();
    int64_t shown_us = load->start_us, answered_us = load->start_us;
    uint64_t shown = 0;
    for (unsigned i = 0; i < load->options->connections; i++) {
        connection_send(load, &load->connections[i]);
    }
    while (load->answered < load->messages_max) {
        uint64_t before = load->answered;
        if (is_open_loop(load)) {
            send_due(load);
        }
        wait_for_events(load);
        end_sending(load);
        show_progress(load, &shown_us, &shown);
        answered_us =
            load->answered > before || load->answered == load->sent ? now_us() : answered_us;
        if (now_us() - answered_us > SILENCE_US) {
            fail("no answer for %d s; %llu of %llu messages are answered", SILENCE_US / 1000000,
                 (unsigned long long)load->answered, (unsigned long long)load->sent);
        }
    }
    load->took_us = now_us() - load->start_us;
    load->cpu_s = own_cpu_seconds() - load->cpu_s;
    if (isatty(2)) {
        fputs("\r\033[K", stderr);
    }
}
