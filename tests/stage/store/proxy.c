/* proxy.c - see proxy.h. */
#include "proxy.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAIRS_MAX 64

enum { UP, DOWN };

struct pair {
    int client, server; /* -1: closed */
    bool is_frozen;
};

struct proxy {
    pthread_t thread;
    char folder[64], path[108], url[200];
    struct sockaddr_un server;
    int listener;
    _Atomic bool stopping;
    _Atomic int64_t budget[2]; /* bytes until the cut; negative: none */
    _Atomic int64_t passed[2];
    _Atomic int cut;
    _Atomic unsigned cuts;
    struct pair pairs[PAIRS_MAX];
    size_t pair_count;
};

/* An assert that Release builds keep, too. */
static void must(bool fact)
{
    if (!fact) {
        abort();
    }
}

static void shut(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void cut_pair(struct proxy *proxy, struct pair *pair)
{
    enum proxy_cut cut = (enum proxy_cut)atomic_load(&proxy->cut);
    proxy_let_pass(proxy);
    pair->is_frozen = cut != PROXY_CLOSE;
    if (cut != PROXY_FREEZE) {
        shut(&pair->client);
    }
    if (cut == PROXY_CLOSE) {
        shut(&pair->server);
    }
    atomic_fetch_add(&proxy->cuts, 1);
}

static bool write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = send(fd, data, size, MSG_NOSIGNAL);
        if (written <= 0) {
            return false;
        }
        data += written;
        size -= (size_t)written;
    }
    return true;
}

static void close_pair(struct pair *pair)
{
    shut(&pair->client);
    shut(&pair->server);
}

/* Moves what is there in one direction, up to the cut. Bytes are counted before they go on: who has
 * got an answer must find all of it counted. */
static void forward(struct proxy *proxy, struct pair *pair, int direction)
{
    char bytes[16384];
    int from = direction == UP ? pair->client : pair->server;
    int to = direction == UP ? pair->server : pair->client;
    int64_t budget = atomic_load(&proxy->budget[direction]);
    bool is_limited = budget >= 0;
    size_t room = is_limited && (size_t)budget < sizeof bytes ? (size_t)budget : sizeof bytes;
    ssize_t size = room == 0 ? 0 : recv(from, bytes, room, 0);
    if (is_limited && (room == 0 || size < 0)) {
        cut_pair(proxy, pair);
        return;
    }
    if (size <= 0) {
        close_pair(pair);
        return;
    }
    atomic_fetch_add(&proxy->passed[direction], size);
    if (!write_all(to, bytes, (size_t)size)) {
        close_pair(pair);
    } else if (is_limited && size == budget) {
        cut_pair(proxy, pair);
    } else if (is_limited) {
        atomic_store(&proxy->budget[direction], budget - size);
    }
}

static void take_connection(struct proxy *proxy)
{
    int client = accept(proxy->listener, NULL, NULL);
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    if (proxy->pair_count == PAIRS_MAX ||
        connect(server, (struct sockaddr *)&proxy->server, sizeof proxy->server) != 0) {
        close(client);
        close(server);
        return;
    }
    proxy->pairs[proxy->pair_count++] = (struct pair){client, server, false};
}

static void drop_closed(struct proxy *proxy)
{
    size_t kept = 0;
    for (size_t i = 0; i < proxy->pair_count; i++) {
        if (proxy->pairs[i].client >= 0 || proxy->pairs[i].server >= 0) {
            proxy->pairs[kept++] = proxy->pairs[i];
        }
    }
    proxy->pair_count = kept;
}

static void *run(void *argument)
{
    struct proxy *proxy = argument;
    while (!atomic_load(&proxy->stopping)) {
        struct pollfd watched[1 + 2 * PAIRS_MAX] = {{.fd = proxy->listener, .events = POLLIN}};
        for (size_t i = 0; i < proxy->pair_count; i++) {
            struct pair *pair = &proxy->pairs[i];
            watched[1 + 2 * i] =
                (struct pollfd){.fd = pair->is_frozen ? -1 : pair->client, .events = POLLIN};
            watched[2 + 2 * i] =
                (struct pollfd){.fd = pair->is_frozen ? -1 : pair->server, .events = POLLIN};
        }
        size_t count = proxy->pair_count;
        if (poll(watched, (nfds_t)(1 + 2 * count), 20) <= 0) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            struct pair *pair = &proxy->pairs[i];
            if (watched[1 + 2 * i].revents != 0 && pair->client >= 0) {
                forward(proxy, pair, UP);
            }
            if (watched[2 + 2 * i].revents != 0 && pair->server >= 0 && pair->client >= 0 &&
                !pair->is_frozen) {
                forward(proxy, pair, DOWN);
            }
        }
        drop_closed(proxy);
        if (watched[0].revents != 0) {
            take_connection(proxy);
        }
    }
    return NULL;
}

struct proxy *proxy_open(const char *server)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);
    must(proxy != NULL);
    proxy_let_pass(proxy);
    snprintf(proxy->folder, sizeof proxy->folder, "/tmp/penstock-proxy.XXXXXX");
    char *made = mkdtemp(proxy->folder);
    must(made != NULL);
    snprintf(proxy->path, sizeof proxy->path, "%s/.s.PGSQL.5432", proxy->folder);
    snprintf(proxy->url, sizeof proxy->url, "postgresql:///postgres?host=%s&user=tester",
             proxy->folder);
    proxy->server.sun_family = AF_UNIX;
    snprintf(proxy->server.sun_path, sizeof proxy->server.sun_path, "%.80s/.s.PGSQL.5432", server);
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    memcpy(own.sun_path, proxy->path, sizeof own.sun_path);
    proxy->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    int failed = bind(proxy->listener, (struct sockaddr *)&own, sizeof own) ||
                 listen(proxy->listener, 16) || pthread_create(&proxy->thread, NULL, run, proxy);
    must(failed == 0);
    return proxy;
}

void proxy_close(struct proxy *proxy)
{
    if (proxy == NULL) {
        return;
    }
    atomic_store(&proxy->stopping, true);
    pthread_join(proxy->thread, NULL);
    for (size_t i = 0; i < proxy->pair_count; i++) {
        shut(&proxy->pairs[i].client);
        shut(&proxy->pairs[i].server);
    }
    close(proxy->listener);
    unlink(proxy->path);
    rmdir(proxy->folder);
    free(proxy);
}

const char *proxy_url(const struct proxy *proxy)
{
    return proxy->url;
}

void proxy_let_pass(struct proxy *proxy)
{
    atomic_store(&proxy->budget[UP], -1);
    atomic_store(&proxy->budget[DOWN], -1);
}

void proxy_cut_up(struct proxy *proxy, enum proxy_cut cut, int64_t bytes)
{
    atomic_store(&proxy->cut, cut);
    atomic_store(&proxy->budget[UP], bytes);
}

void proxy_cut_down(struct proxy *proxy, enum proxy_cut cut, int64_t bytes)
{
    atomic_store(&proxy->cut, cut);
    atomic_store(&proxy->budget[DOWN], bytes);
}

int64_t proxy_bytes_up(const struct proxy *proxy)
{
    return atomic_load(&proxy->passed[UP]);
}

int64_t proxy_bytes_down(const struct proxy *proxy)
{
    return atomic_load(&proxy->passed[DOWN]);
}

unsigned proxy_cuts(const struct proxy *proxy)
{
    return atomic_load(&proxy->cuts);
}
