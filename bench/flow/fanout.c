/*
 * fanout.c - deliveries a second: many connections listen to one channel, one publishes to it with
 * so many messages of one event unanswered (`committed`).
 *
 * Subscribers do next to nothing: what comes is read, and its events are counted by the bytes that
 * each of them has. Prints one JSON object.
 */
#include "client.h"
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BYTES (256u << 10)
#define SILENCE_MS    30000
#define MARK          "\"offset\":"

struct peer {
    int fd;
    size_t marked; /* bytes of a MARK at the end of what came last */
};

struct run {
    struct peer *peers; /* the subscribers, and last the publisher */
    unsigned subscribers, in_flight;
    uint64_t published, acked, heard;
    int epoll;
    uint8_t buffer[RECEIVE_BYTES];
};

static void say(int fd, const char *json)
{
    uint8_t frame[400];
    struct writer out = writer_of(frame, sizeof frame);
    frame_write(&out, true, span_string(json));
    client_send(fd, writer_span(&out));
}

static void publish(struct run *run)
{
    char json[200];
    snprintf(json, sizeof json,
             "{\"op\":\"publish\",\"id\":%llu,\"stream\":\"tick\",\"ack\":\"committed\","
             "\"events\":[{\"topic\":\"t\",\"n\":1}]}",
             (unsigned long long)run->published++);
    say(run->peers[run->subscribers].fd, json);
}

/* How often the mark stands in the bytes, one that began in those before included. */
static uint64_t count_marks(struct peer *peer, struct span bytes, const char *mark)
{
    uint64_t count = 0;
    size_t size = strlen(mark), at = peer->marked;
    for (size_t i = 0; i < bytes.size; i++) {
        at = bytes.data[i] == (uint8_t)mark[at] ? at + 1 : bytes.data[i] == (uint8_t)mark[0];
        if (at == size) {
            count++;
            at = 0;
        }
    }
    peer->marked = at;
    return count;
}

static void take(struct run *run, struct peer *peer)
{
    ssize_t size = recv(peer->fd, run->buffer, sizeof run->buffer, 0);
    if (size <= 0) {
        if (size < 0 && errno == EAGAIN) {
            return;
        }
        die("the server closed a connection");
    }
    bool is_publisher = peer == &run->peers[run->subscribers];
    struct span bytes = span_of(run->buffer, (size_t)size);
    uint64_t count = count_marks(peer, bytes, is_publisher ? "\"op\":\"ack\"" : MARK);
    *(is_publisher ? &run->acked : &run->heard) += count;
}

static void turn(struct run *run)
{
    struct epoll_event events[256];
    int count = epoll_wait(run->epoll, events, 256, SILENCE_MS);
    if (count <= 0) {
        die("nothing comes");
    }
    for (int i = 0; i < count; i++) {
        take(run, events[i].data.ptr);
    }
}

/* Everybody has subscribed: one "offset" came in each `welcome`, another in each answer. */
static void open_all(struct run *run, const char *host, unsigned port)
{
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    run->peers = calloc(run->subscribers + 1, sizeof *run->peers);
    for (unsigned i = 0; i <= run->subscribers; i++) {
        struct peer *peer = &run->peers[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
        peer->fd = client_connect(host, port, ENCODING_JSON);
        epoll_ctl(run->epoll, EPOLL_CTL_ADD, peer->fd, &event);
        if (i < run->subscribers) {
            say(peer->fd, "{\"op\":\"subscribe\",\"channel\":\"t\"}");
        }
    }
    while (run->heard < 2 * (uint64_t)run->subscribers) {
        turn(run);
    }
    run->heard = 0;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: penstock_fanout HOST PORT SUBSCRIBERS IN_FLIGHT SECONDS\n");
        return 2;
    }
    static struct run run;
    run.subscribers = (unsigned)atoi(argv[3]);
    run.in_flight = (unsigned)atoi(argv[4]);
    open_all(&run, argv[1], (unsigned)atoi(argv[2]));
    double cpu = cpu_seconds();
    int64_t start = now_us(), end = start + (int64_t)(atof(argv[5]) * 1e6);
    while (now_us() < end) {
        while (run.published < run.acked + run.in_flight) {
            publish(&run);
        }
        turn(&run);
    }
    uint64_t heard = run.heard;
    int64_t took_us = now_us() - start;
    cpu = cpu_seconds() - cpu;
    while (run.heard < run.published * run.subscribers) { /* nothing is lost */
        turn(&run);
    }
    printf("{\"published\": %llu, \"delivered\": %llu, \"seconds\": %.6f, \"generator_cpu_s\": "
           "%.3f}\n",
           (unsigned long long)run.published, (unsigned long long)heard, (double)took_us / 1e6,
           cpu);
    return 0;
}
