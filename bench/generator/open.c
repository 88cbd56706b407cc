/*
 * open.c - many connections, AT_ONCE of them under way at any time.
 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define AT_ONCE      200
#define HELD_BYTES   (64u << 10)
#define OPENED_BYTES (8u << 10) /* for connections that only stand there */
#define SILENCE_MS   30000

bool span_contains(struct span bytes, const char *word)
{
    return memmem(bytes.data, bytes.size, word, strlen(word)) != NULL;
}

static void start(struct load *load)
{
    const struct options *options = load->options;
    struct connection *c = &load->connections[load->started];
    client_start(&load->target, options->open_only ? OPENED_BYTES : HELD_BYTES, &c->client);
    if (!options->open_only) {
        c->frame = load->started * 7919u % load->frames.count; /* not all the same rows at once */
        c->sent_us = calloc(options->inflight, sizeof *c->sent_us);
        if (c->sent_us == NULL) {
            fail("no memory for %u connections", options->connections);
        }
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, c->client.fd, &event) != 0) {
        die("epoll");
    }
    load->started++;
}

/* "{n}" in the channel's name becomes the connection's number. */
static void subscribe(struct load *load, struct connection *c)
{
    char text[1024];
    const char *name = load->options->channel, *place = strstr(name, "{n}");
    int before = place == NULL ? (int)strlen(name) : (int)(place - name);
    int size = snprintf(text, sizeof text, "{\"op\":\"subscribe\",\"id\":1,\"channel\":\"%.*s",
                        before, name);
    if (place != NULL && (size_t)size < sizeof text) {
        size += snprintf(text + size, sizeof text - (size_t)size, "%zu%s",
                         (size_t)(c - load->connections), place + 3);
    }
    if ((size_t)size + 3 > sizeof text) {
        fail("--channel is too long");
    }
    memcpy(text + size, "\"}", 3);
    client_say(&c->client, text);
}

static void take(struct load *load, struct connection *c, struct span payload)
{
    bool subscribes = load->options->channel != NULL;
    if (span_contains(payload, "\"op\":\"error\"")) {
        fail("the server refuses: %.*s", SPAN_PRINT(payload));
    }
    if (span_contains(payload, "\"op\":\"welcome\"") && subscribes) {
        subscribe(load, c);
        return;
    }
    c->is_ready = span_contains(payload, subscribes ? "\"op\":\"subscribed\"" : "welcome");
    load->ready += c->is_ready;
}

static void advance(struct load *load, struct connection *c)
{
    if (c->is_ready || !client_advance(&c->client)) {
        return;
    }
    do {
        size_t at = 0;
        struct span payload;
        while (!c->is_ready && client_frame(&c->client, &at, &payload)) {
            take(load, c, payload);
        }
        client_taken(&c->client, at);
    } while (!c->is_ready && client_fill(&c->client));
}

void load_open(struct load *load)
{
    int64_t begun = now_us();
    unsigned wanted = load->options->connections;
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->connections = calloc(wanted, sizeof *load->connections);
    if (load->epoll < 0 || load->connections == NULL) {
        fail("no memory for %u connections", wanted);
    }
    while (load->ready < wanted) {
        while (load->started < wanted && load->started - load->ready < AT_ONCE) {
            start(load);
        }
        struct epoll_event events[256];
        int count = epoll_wait(load->epoll, events, 256, SILENCE_MS);
        if (count <= 0) {
            fail("%u of %u connections are open, and nothing comes for %d s", load->ready, wanted,
                 SILENCE_MS / 1000);
        }
        for (int i = 0; i < count; i++) {
            advance(load, events[i].data.ptr);
        }
    }
    load->open_us = now_us() - begun;
}

void load_fini(struct load *load)
{
    for (unsigned i = 0; i < load->started; i++) {
        client_close(&load->connections[i].client);
        free(load->connections[i].sent_us);
    }
    free(load->connections);
    if (load->frames.bytes != NULL) {
        frames_fini(&load->frames);
    }
}
