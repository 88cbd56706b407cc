/*
 * load.c - closed-loop load: every connection keeps `--inflight` messages unanswered.
 *
 * Prints one JSON object: events acknowledged, seconds, latencies of an answer, and the generator's
 * own CPU, by which a reader can tell that it was not the bottleneck.
 */
#include "client.h"
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BYTES (256u << 10)
#define LATENCIES_MAX (4u << 20)
#define INFLIGHT_MAX  1024
#define SILENCE_S_MAX 30

struct connection {
    int fd;
    size_t frame;      /* the next one to send */
    size_t frame_sent; /* bytes of it that are gone */
    unsigned inflight;
    uint64_t sent, answered;       /* messages */
    int64_t sent_us[INFLIGHT_MAX]; /* of message number n at n % INFLIGHT_MAX */
    uint8_t held[RECEIVE_BYTES];   /* an answer that is not whole yet */
    size_t held_size;
};

struct run {
    struct frames frames;
    struct connection *connections;
    unsigned connection_count, inflight_max;
    uint64_t messages_max; /* in all */
    uint64_t sent, answered, refused;
    uint32_t *latencies_us;
    size_t latency_count;
    char refusal[300]; /* the first error that the server sent */
};

/* ---- sending --------------------------------------------------------------------------------- */

static void connection_send(struct run *run, struct connection *c)
{
    while ((c->inflight < run->inflight_max && run->sent < run->messages_max) ||
           c->frame_sent > 0) {
        const struct frames *frames = &run->frames;
        size_t start = frames->offsets[c->frame], end = frames->offsets[c->frame + 1];
        ssize_t size = send(c->fd, frames->bytes + start + c->frame_sent,
                            end - start - c->frame_sent, MSG_NOSIGNAL);
        if (size < 0) {
            if (errno == EAGAIN) {
                return;
            }
            die("send");
        }
        if (c->frame_sent == 0) {
            c->sent_us[c->sent % INFLIGHT_MAX] = now_us();
            c->sent++;
            c->inflight++;
            run->sent++;
        }
        c->frame_sent += (size_t)size;
        if (c->frame_sent == end - start) {
            c->frame_sent = 0;
            c->frame = (c->frame + 1) % frames->count;
        }
    }
}

/* ---- receiving ------------------------------------------------------------------------------- */

static bool contains(struct span bytes, const char *word)
{
    return memmem(bytes.data, bytes.size, word, strlen(word)) != NULL;
}

static void take_message(struct run *run, struct connection *c, struct span payload)
{
    if (contains(payload, "welcome")) {
        return;
    }
    if (contains(payload, "error")) {
        if (run->refused++ == 0) {
            snprintf(run->refusal, sizeof run->refusal, "%.*s", SPAN_PRINT(payload));
        }
    } else if (!contains(payload, "ack")) {
        return;
    }
    if (run->latency_count < LATENCIES_MAX) {
        run->latencies_us[run->latency_count++] =
            (uint32_t)(now_us() - c->sent_us[c->answered % INFLIGHT_MAX]);
    }
    c->answered++;
    c->inflight--;
    run->answered++;
}

static void connection_receive(struct run *run, struct connection *c)
{
    ssize_t size = recv(c->fd, c->held + c->held_size, sizeof c->held - c->held_size, 0);
    if (size <= 0) {
        if (size < 0 && errno == EAGAIN) {
            return;
        }
        die("the server closed the connection");
    }
    c->held_size += (size_t)size;
    size_t taken = 0, frame;
    struct span payload;
    while ((frame = frame_read(span_of(c->held + taken, c->held_size - taken), &payload)) > 0) {
        taken += frame;
        if (payload.size > 0) {
            take_message(run, c, payload);
        }
    }
    memmove(c->held, c->held + taken, c->held_size - taken);
    c->held_size -= taken;
}

/* ---- the run --------------------------------------------------------------------------------- */

static void run_load(struct run *run)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < run->connection_count; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                                    .data.ptr = &run->connections[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, run->connections[i].fd, &event);
        connection_send(run, &run->connections[i]);
    }
    while (run->answered < run->messages_max) {
        struct epoll_event events[64];
        int count = epoll_wait(epoll, events, 64, SILENCE_S_MAX * 1000);
        if (count == 0) {
            fprintf(stderr, "penstock_load: no answer for %d s\n", SILENCE_S_MAX);
            exit(1);
        }
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            uint64_t before;
            do { /* edge-triggered: until nothing more comes */
                before = c->answered;
                connection_receive(run, c);
                connection_send(run, c);
            } while (c->answered != before);
        }
    }
    close(epoll);
}

static void report(struct run *run, int64_t took_us)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    latencies_sort(run->latencies_us, run->latency_count);
    printf("{\"events\": %llu, \"messages\": %llu, \"refused\": %llu, \"seconds\": %.6f, "
           "\"p50_us\": %u, \"p99_us\": %u, \"generator_cpu_s\": %.3f}\n",
           (unsigned long long)((run->answered - run->refused) * run->frames.events_per_frame),
           (unsigned long long)run->answered, (unsigned long long)run->refused,
           (double)took_us / 1e6, latencies_at(run->latencies_us, run->latency_count, 0.5),
           latencies_at(run->latencies_us, run->latency_count, 0.99), cpu_s);
    if (run->refused > 0) {
        fprintf(stderr, "penstock_load: first refusal: %s\n", run->refusal);
    }
}

static const struct option flags[] = {
    {"host", required_argument, NULL, 'h'},
    {"port", required_argument, NULL, 'p'},
    {"stream", required_argument, NULL, 's'},
    {"file", required_argument, NULL, 'f'},
    {"ack", required_argument, NULL, 'a'},
    {"encoding", required_argument, NULL, 'e'},
    {"batch", required_argument, NULL, 'b'},
    {"connections", required_argument, NULL, 'c'},
    {"inflight", required_argument, NULL, 'i'},
    {"events", required_argument, NULL, 'n'},
    {NULL, 0, NULL, 0},
};

int main(int argc, char **argv)
{
    const char *host = "127.0.0.1";
    unsigned port = 8080;
    uint64_t events = 100000;
    struct frames_options options = {
        .stream = "behavior", .ack = "committed", .events_per_frame = 100};
    static struct run run = {.connection_count = 8, .inflight_max = 16};
    for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
        switch (flag) {
        case 'h':
            host = optarg;
            break;
        case 'p':
            port = (unsigned)atoi(optarg);
            break;
        case 's':
            options.stream = optarg;
            break;
        case 'f':
            options.file = optarg;
            break;
        case 'a':
            options.ack = optarg;
            break;
        case 'e':
            options.encoding = strcmp(optarg, "msgpack") == 0 ? ENCODING_MSGPACK : ENCODING_JSON;
            break;
        case 'b':
            options.events_per_frame = (unsigned)atoi(optarg);
            break;
        case 'c':
            run.connection_count = (unsigned)atoi(optarg);
            break;
        case 'i':
            run.inflight_max = (unsigned)atoi(optarg);
            break;
        case 'n':
            events = strtoull(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }
    if (options.file == NULL || run.inflight_max == 0 || run.inflight_max > INFLIGHT_MAX ||
        run.connection_count == 0 || options.events_per_frame == 0) {
        fprintf(stderr, "usage: penstock_load --file EVENTS.ndjson [--host --port --stream --ack "
                        "--encoding --batch --connections --inflight --events]\n");
        return 2;
    }
    frames_build(&options, &run.frames);
    run.messages_max = (events + options.events_per_frame - 1) / options.events_per_frame;
    run.connections = calloc(run.connection_count, sizeof *run.connections);
    run.latencies_us = malloc(LATENCIES_MAX * sizeof *run.latencies_us);
    for (unsigned i = 0; i < run.connection_count; i++) {
        run.connections[i].frame = i * 7919u % run.frames.count; /* not all the same rows at once */
        run.connections[i].fd = client_connect(host, port, options.encoding);
    }
    int64_t start = now_us();
    run_load(&run);
    report(&run, now_us() - start);
    frames_fini(&run.frames);
    free(run.connections);
    free(run.latencies_us);
    return run.refused > 0;
}
