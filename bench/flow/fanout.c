/*
 * fanout.c - deliveries a second: so many channels, so many subscribers of each, and publishes of
 * one event to one channel after another, so many of them under way. It speaks to Penstock and to
 * its peers, each in its own way (`ways` below), so that all stand under the same load.
 *
 * Subscriptions lie on `connections` connections in turn, never two of a channel on one. A publish
 * is under way until everybody has it. Subscribers do next to nothing: what comes is searched for
 * `"n":`, behind which the publish's number stands, by which a delivery's latency is known.
 *
 * With a rate it is an open loop: publish number n is due at a fixed time, whatever is under way,
 * and a delivery's latency counts from then; what falls too far behind is given up on, told as
 * `unsent`, and counts with the time that it has waited. Prints `begin` and `end` when it measures,
 * so that others can count meanwhile, and then one JSON object.
 */
#include "client.h"
#include "frames.h"
#include "histogram.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RECEIVE_BYTES  (256u << 10)
#define HELD_BYTES     (16u << 10)
#define SILENCE_US     30000000
#define MARK           "\"n\":"
#define PUBLISHERS_MAX 4
#define WARM_ROUNDS    3
#define REMEMBERED     65536 /* publishes whose time is known; more than are ever under way */
#define PATIENCE       2     /* open loop: times its length, and then nothing more is published */
#define SENDS_AT_ONCE  64    /* open loop: then deliveries are read, however much is late */

struct peer {
    struct client client;
    bool is_publisher;
    bool in_number;
    size_t marked; /* bytes of the MARK, or of the answer, at the end of what came last */
    uint64_t number;
};

struct run;

struct way {
    const char *name, *path, *subprotocol;
    unsigned publishers;
    /* Asks for channel `channel` on the peer; NULL: the path has all of them. */
    void (*subscribe)(struct peer *peer, unsigned channel);
    const char *subscribed; /* what says that it is done */
    void (*greet)(struct peer *peer);
    void (*publish)(struct peer *peer, unsigned channel, uint64_t number);
};

struct run {
    const struct way *way;
    struct peer *peers; /* the subscribers, and last the publishers */
    unsigned channels, each, connections, in_flight;
    uint64_t published, answered, heard;
    int64_t published_us[REMEMBERED];
    struct histogram latencies;
    int epoll;
    uint8_t buffer[RECEIVE_BYTES];
};

/* ---- Penstock -------------------------------------------------------------------------------- */

static void say(struct peer *peer, const char *form, unsigned channel, uint64_t number)
{
    char text[300];
    snprintf(text, sizeof text, form, channel, (unsigned long long)number);
    client_say(&peer->client, text);
}

static void penstock_subscribe(struct peer *peer, unsigned channel)
{
    say(peer, "{\"op\":\"subscribe\",\"channel\":\"c%u\"}", channel, 0);
}

static void penstock_publish(struct peer *peer, unsigned channel, uint64_t number)
{
    say(peer,
        "{\"op\":\"publish\",\"stream\":\"tick\",\"events\":[{\"topic\":\"c%u\",\"n\":%llu}]}",
        channel, number);
}

static void broadcast_publish(struct peer *peer, unsigned channel, uint64_t number)
{
    say(peer, "{\"op\":\"broadcast\",\"channel\":\"c%u\",\"data\":{\"n\":%llu}}", channel, number);
}

/* ---- its peers ------------------------------------------------------------------------------- */

static void ws_publish(struct peer *peer, unsigned channel, uint64_t number)
{
    say(peer, "{\"op\":\"publish\",\"channel\":\"c%u\",\"data\":{\"n\":%llu}}", channel, number);
}

/* Nchan takes HTTP; the next request need not wait for the answer. */
static void nchan_publish(struct peer *peer, unsigned channel, uint64_t number)
{
    char body[64], text[300];
    int size = snprintf(body, sizeof body, "{\"topic\":\"c%u\",\"n\":%llu}", channel,
                        (unsigned long long)number);
    size = snprintf(text, sizeof text,
                    "POST /pub/c%u HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s",
                    channel, size, body);
    client_send(&peer->client, span_of(text, (size_t)size));
}

/* NATS' own protocol, in binary frames. */
static void nats_say(struct peer *peer, const char *text)
{
    uint8_t frame[400];
    struct writer out = writer_of(frame, sizeof frame);
    frame_write(&out, false, span_string(text));
    client_send(&peer->client, writer_span(&out));
}

static void nats_greet(struct peer *peer)
{
    nats_say(peer, "CONNECT {\"verbose\":false,\"echo\":true}\r\n");
}

static void nats_subscribe(struct peer *peer, unsigned channel)
{
    char text[80];
    snprintf(text, sizeof text, "SUB c%u %u\r\nPING\r\n", channel, channel + 1);
    nats_say(peer, text);
}

static void nats_publish(struct peer *peer, unsigned channel, uint64_t number)
{
    char body[64], text[200];
    int size = snprintf(body, sizeof body, "{\"topic\":\"c%u\",\"n\":%llu}", channel,
                        (unsigned long long)number);
    snprintf(text, sizeof text, "PUB c%u %d\r\n%s\r\n", channel, size, body);
    nats_say(peer, text);
}

static const struct way ways[] = {
    {"penstock", "/v1/ws", "penstock.v1.json", 1, penstock_subscribe, "\"op\":\"subscribed\"", NULL,
     penstock_publish},
    {"broadcast", "/v1/ws", "penstock.v1.json", 1, penstock_subscribe, "\"op\":\"subscribed\"",
     NULL, broadcast_publish},
    {"ws", "/", NULL, 1, penstock_subscribe, "\"op\":\"subscribed\"", NULL, ws_publish},
    {"nats", "/", NULL, 1, nats_subscribe, "PONG\r\n", nats_greet, nats_publish},
    {"nchan", "/sub/", NULL, PUBLISHERS_MAX, NULL, NULL, NULL, nchan_publish},
};

/* ---- hearing --------------------------------------------------------------------------------- */

static void hear(struct run *run, uint64_t number)
{
    run->heard++;
    histogram_add(&run->latencies, now_us() - run->published_us[number % REMEMBERED]);
}

/* Goes on with the word where the bytes before ended; true at its end. None of our words has its
 * first letter a second time before a place where it can fail, but for quotes, which are retried.
 */
static bool match(size_t *marked, const char *word, uint8_t byte)
{
    *marked = byte == (uint8_t)word[*marked] ? *marked + 1 : byte == (uint8_t)word[0];
    if (word[*marked] != '\0') {
        return false;
    }
    *marked = 0;
    return true;
}

/* The next place where a MARK may begin: a whole one, or the last bytes, which may be its front. */
static size_t next_mark(struct span bytes, size_t from)
{
    const uint8_t *at = memmem(bytes.data + from, bytes.size - from, MARK, sizeof MARK - 1);
    size_t front = bytes.size - from < sizeof MARK - 2 ? from : bytes.size - (sizeof MARK - 2);
    return at != NULL ? (size_t)(at - bytes.data) : front;
}

static void hear_bytes(struct run *run, struct peer *peer, struct span bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (!peer->in_number && peer->marked == 0) {
            i = next_mark(bytes, i);
        }
        uint8_t byte = bytes.data[i];
        if (peer->in_number && byte >= '0' && byte <= '9') {
            peer->number = peer->number * 10 + (byte - '0');
            continue;
        }
        if (peer->in_number) {
            peer->in_number = false;
            hear(run, peer->number);
        }
        if (match(&peer->marked, MARK, byte)) {
            peer->in_number = true;
            peer->number = 0;
        }
    }
}

static void count_answers(struct run *run, struct peer *peer, struct span bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        run->answered += match(&peer->marked, run->way->subscribed, bytes.data[i]);
    }
}

/* What a publisher hears is not looked at, unless it is a refusal. */
static void check_answers(struct span bytes)
{
    static const char *const refusals[] = {"\"op\":\"error\"", "HTTP/1.1 4", "HTTP/1.1 5", "-ERR"};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const char *at = memmem(bytes.data, bytes.size, refusals[i], strlen(refusals[i]));
        if (at != NULL) {
            size_t left = bytes.size - (size_t)(at - (const char *)bytes.data);
            fail("a publish is refused: %.*s", (int)(left < 300 ? left : 300), at);
        }
    }
}

static void take_bytes(struct run *run, struct peer *peer, struct span bytes, bool is_opening)
{
    if (peer->is_publisher) {
        check_answers(bytes);
    } else if (is_opening) {
        count_answers(run, peer, bytes);
    } else {
        hear_bytes(run, peer, bytes);
    }
}

/* Takes what comes within the time; false when nothing did. */
static bool turn_within(struct run *run, bool is_opening, int64_t wait_us)
{
    struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
    struct pollfd polled = {.fd = run->epoll, .events = POLLIN};
    struct epoll_event events[256];
    if (ppoll(&polled, 1, &wait, NULL) < 0) {
        die("poll");
    }
    int count = epoll_wait(run->epoll, events, 256, 0);
    for (int i = 0; i < count; i++) {
        struct peer *peer = events[i].data.ptr;
        size_t size = client_read(&peer->client, run->buffer, sizeof run->buffer);
        take_bytes(run, peer, span_of(run->buffer, size), is_opening);
    }
    return count > 0;
}

static void turn(struct run *run, bool is_opening)
{
    if (!turn_within(run, is_opening, SILENCE_US)) {
        fail("%s: nothing comes; %llu published, %llu delivered", run->way->name,
             (unsigned long long)run->published, (unsigned long long)run->heard);
    }
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Subscription k is to channel k / each, on connection k % connections. */
static void subscribe_all(struct run *run)
{
    uint64_t count = (uint64_t)run->channels * run->each;
    for (uint64_t k = 0; k < count; k++) {
        run->way->subscribe(&run->peers[k % run->connections], (unsigned)(k / run->each));
        while (k + 1 - run->answered > 1000) { /* both ends have only so much room */
            turn(run, true);
        }
    }
    while (run->answered < count) {
        turn(run, true);
    }
}

/* Nchan's channels stand in the path, between commas. */
static void write_path(const struct run *run, unsigned connection, char *out, size_t size)
{
    int at = snprintf(out, size, "%s", run->way->path);
    uint64_t count = (uint64_t)run->channels * run->each;
    for (uint64_t k = connection; run->way->subscribe == NULL && k < count; k += run->connections) {
        at += snprintf(out + at, size - (size_t)at, "%sc%u", k == connection ? "" : ",",
                       (unsigned)(k / run->each));
    }
}

static void open_peer(struct run *run, unsigned number, const char *host, unsigned port)
{
    struct peer *peer = &run->peers[number];
    struct target *target = malloc(sizeof *target);
    char path[1000];
    peer->is_publisher = number >= run->connections;
    write_path(run, number, path, sizeof path);
    if (target == NULL) {
        fail("no memory");
    }
    target_plain(host, port, path, run->way->subprotocol, target);
    if (peer->is_publisher && run->way->subscribe == NULL) { /* HTTP, without an upgrade */
        target->request_size = 0;
        client_start(target, HELD_BYTES, &peer->client);
        client_advance(&peer->client);
    } else {
        client_open(target, HELD_BYTES, &peer->client);
    }
    if (run->way->greet != NULL) {
        run->way->greet(peer);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    epoll_ctl(run->epoll, EPOLL_CTL_ADD, peer->client.fd, &event);
}

static void open_all(struct run *run, const char *host, unsigned port)
{
    unsigned count = run->connections + run->way->publishers;
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    run->peers = calloc(count, sizeof *run->peers);
    if (run->peers == NULL) {
        fail("no memory");
    }
    for (unsigned i = 0; i < count; i++) {
        open_peer(run, i, host, port);
    }
    if (run->way->subscribe != NULL) {
        subscribe_all(run);
    } else {
        sleep(1); /* Nchan does not say when a subscription counts */
    }
}

/* ---- the run --------------------------------------------------------------------------------- */

/* `from_us`: when its latency counts from. */
static void publish(struct run *run, int64_t from_us)
{
    uint64_t number = run->published++;
    unsigned publisher = run->connections + (unsigned)(number % run->way->publishers);
    run->published_us[number % REMEMBERED] = from_us;
    /* A step that shares no divisor with the number of channels: neighbours are not in turn. */
    run->way->publish(&run->peers[publisher], (unsigned)(number * 7919 % run->channels), number);
}

static void publish_what_fits(struct run *run)
{
    while (run->published * run->each < run->heard + (uint64_t)run->in_flight * run->each) {
        publish(run, now_us());
    }
}

static void wait_for_all(struct run *run)
{
    while (run->heard < run->published * run->each) { /* nothing is lost */
        turn(run, false);
    }
}

/* A few publishes to everybody before the clock starts: connections to databases are made, memory
 * is there. */
static void warm(struct run *run)
{
    for (unsigned i = 0; i < WARM_ROUNDS; i++) {
        publish_what_fits(run);
        wait_for_all(run);
    }
    run->latencies = (struct histogram){0};
}

static void publish_closed(struct run *run, double seconds)
{
    uint64_t heard = run->heard;
    int64_t end_us = now_us() + (int64_t)(seconds * 1e6);
    while (now_us() < end_us || run->heard == heard) {
        publish_what_fits(run);
        turn(run, false);
    }
}

/* Publishes what is due of `count`, and returns how long to wait for the next. */
static int64_t publish_due(struct run *run, uint64_t first, uint64_t count, int64_t start_us,
                           double rate)
{
    for (unsigned i = 0; i < SENDS_AT_ONCE && run->published - first < count; i++) {
        int64_t due_us = start_us + (int64_t)((double)(run->published - first) * 1e6 / rate);
        int64_t wait_us = due_us - now_us();
        if (wait_us > 0) {
            return wait_us;
        }
        publish(run, due_us);
    }
    return run->published - first < count ? 0 : SILENCE_US;
}

/* Returns how many publishes were given up on. */
static uint64_t publish_open(struct run *run, double seconds, double rate)
{
    uint64_t first = run->published, count = (uint64_t)(rate * seconds) + 1;
    int64_t start_us = now_us();
    int64_t end_us = start_us + (int64_t)(seconds * PATIENCE * 1e6);
    while (run->published - first < count || run->heard < run->published * run->each) {
        int64_t wait_us = publish_due(run, first, count, start_us, rate);
        if (!turn_within(run, false, wait_us) && wait_us == SILENCE_US) {
            fail("%s: nothing comes any more", run->way->name);
        }
        if (run->published - first < count &&
            (now_us() > end_us || run->published > run->heard / run->each + REMEMBERED / 2)) {
            break;
        }
    }
    uint64_t unsent = count - (run->published - first);
    for (uint64_t i = count - unsent; i < count; i++) {
        int64_t late_us = now_us() - start_us - (int64_t)((double)i * 1e6 / rate);
        for (unsigned each = 0; each < run->each; each++) {
            histogram_add(&run->latencies, late_us);
        }
    }
    return unsent;
}

static void tell(const char *what)
{
    puts(what);
    fflush(stdout);
}

static void measure(struct run *run, double seconds, double rate)
{
    tell("begin");
    double cpu = own_cpu_seconds();
    uint64_t published = run->published, heard = run->heard, unsent = 0;
    int64_t start_us = now_us();
    if (rate > 0) {
        unsent = publish_open(run, seconds, rate);
    } else {
        publish_closed(run, seconds);
    }
    published = run->published - published;
    heard = run->heard - heard;
    int64_t took_us = now_us() - start_us;
    cpu = own_cpu_seconds() - cpu;
    tell("end");
    wait_for_all(run);
    printf("{\"published\": %llu, \"unsent\": %llu, \"delivered\": %llu, \"seconds\": %.6f, "
           "\"generator_cpu_s\": %.6f, ",
           (unsigned long long)published, (unsigned long long)unsent, (unsigned long long)heard,
           (double)took_us / 1e6, cpu);
    histogram_print(&run->latencies, stdout);
    puts("}");
}

int main(int argc, char **argv)
{
    static struct run run;
    for (size_t i = 0; argc >= 9 && argc <= 10 && i < sizeof ways / sizeof ways[0]; i++) {
        run.way = strcmp(argv[1], ways[i].name) == 0 ? &ways[i] : run.way;
    }
    if (run.way == NULL) {
        fprintf(stderr, "usage: penstock_fanout penstock|broadcast|ws|nats|nchan HOST PORT "
                        "CHANNELS SUBSCRIBERS_EACH CONNECTIONS IN_FLIGHT SECONDS "
                        "[PUBLISHES_A_SECOND]\n");
        return 2;
    }
    run.channels = (unsigned)atoi(argv[4]);
    run.each = (unsigned)atoi(argv[5]);
    run.connections = (unsigned)atoi(argv[6]);
    run.in_flight = (unsigned)atoi(argv[7]);
    if (run.channels == 0 || run.each == 0 || run.each > run.connections || run.in_flight == 0 ||
        run.in_flight > REMEMBERED / 2) {
        fail("a channel needs subscribers, each on a connection of its own");
    }
    open_all(&run, argv[2], (unsigned)atoi(argv[3]));
    warm(&run);
    measure(&run, atof(argv[8]), argc == 10 ? atof(argv[9]) : 0);
    return 0;
}
