/* hosts.c - see hosts.h. */
#include "hosts.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- the URL --------------------------------------------------------------------------------- */

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword != NULL; options++) {
        if (strcmp(options->keyword, keyword) == 0) {
            return options->val == NULL ? "" : options->val;
        }
    }
    return "";
}

/* Copies the next element of a list with commas, and moves behind it. False: it is too long. */
static bool take_element(const char **list, char *out, size_t room)
{
    size_t size = strcspn(*list, ",");
    if (size >= room) {
        return false;
    }
    memcpy(out, *list, size);
    out[size] = '\0';
    *list += size + ((*list)[size] == ',');
    return true;
}

static size_t count_elements(const char *list)
{
    size_t count = *list != '\0';
    for (; *list != '\0'; list++) {
        count += *list == ',';
    }
    return count;
}

static bool take_hosts(const PQconninfoOption *options, struct hosts *out)
{
    const char *names = value_of(options, "host"), *addresses = value_of(options, "hostaddr");
    const char *ports = value_of(options, "port");
    size_t name_count = count_elements(names), address_count = count_elements(addresses);
    bool has_one_port = count_elements(ports) == 1;
    out->count = name_count > address_count ? name_count : address_count;
    if (out->count > HOSTS_MAX) {
        return false;
    }
    const char *port = ports;
    for (size_t i = 0; i < out->count; i++) {
        struct host *host = &out->list[i];
        port = has_one_port ? ports : port;
        if (!take_element(&names, host->name, sizeof host->name) ||
            !take_element(&addresses, host->address, sizeof host->address) ||
            !take_element(&port, host->port, sizeof host->port)) {
            return false;
        }
    }
    return true;
}

enum status hosts_read(const char *url, struct hosts *out, struct problem *problem)
{
    char *error = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &error);
    *out = (struct hosts){0};
    if (options == NULL) {
        PQfreemem(error); /* it quotes the URL, which may hold a password */
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "the database URL cannot be read: write it as "
                           "postgresql://user@host:5432/database?sslmode=…");
    }
    bool fits = take_hosts(options, out);
    PQconninfoFree(options);
    return fits ? STATUS_OK
                : problem_set(problem, STATUS_BAD_CONFIG,
                              "the database URL names more than %d hosts, or one of more than %d "
                              "characters",
                              HOSTS_MAX, HOST_BYTES_MAX - 1);
}

/* A folder of sockets ('@': an abstract one), an address, or a name to look up? */
static bool is_name(const struct host *host)
{
    uint8_t address[16];
    const char *name = host->name;
    return host->address[0] == '\0' && name[0] != '\0' && name[0] != '/' && name[0] != '@' &&
           inet_pton(AF_INET, name, address) != 1 && inet_pton(AF_INET6, name, address) != 1;
}

bool hosts_need_lookup(const struct hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++) {
        if (is_name(&hosts->list[i])) {
            return true;
        }
    }
    return false;
}

static void append(char *list, size_t room, bool is_first, const char *element)
{
    size_t used = strlen(list);
    snprintf(list + used, room - used, "%s%s", is_first ? "" : ",", element);
}

void hosts_join(const struct hosts *hosts, unsigned turn, struct host_lists *out)
{
    out->host[0] = out->address[0] = out->port[0] = '\0';
    for (size_t i = 0; i < hosts->count; i++) {
        const struct host *host = &hosts->list[(turn + i) % hosts->count];
        append(out->host, sizeof out->host, i == 0, host->name);
        append(out->address, sizeof out->address, i == 0, host->address);
        append(out->port, sizeof out->port, i == 0, host->port);
    }
}

/* ---- looking names up ------------------------------------------------------------------------ */

struct lookup {
    _Atomic unsigned holders; /* the caller and the thread; the last one frees */
    int ended;                /* an eventfd */
    struct hosts asked, found;
};

static void add(struct hosts *hosts, const struct host *host)
{
    if (hosts->count < HOSTS_MAX) {
        hosts->list[hosts->count++] = *host;
    }
}

static void look_up(const struct host *asked, struct hosts *out)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;
    struct host host = *asked;
    if (!is_name(asked) || getaddrinfo(asked->name, NULL, &hints, &addresses) != 0) {
        add(out, asked);
        return;
    }
    for (struct addrinfo *next = addresses; next != NULL; next = next->ai_next) {
        if (getnameinfo(next->ai_addr, next->ai_addrlen, host.address, sizeof host.address, NULL, 0,
                        NI_NUMERICHOST) == 0) {
            add(out, &host);
        }
    }
    freeaddrinfo(addresses);
}

void lookup_release(struct lookup *lookup)
{
    if (lookup != NULL && atomic_fetch_sub(&lookup->holders, 1) == 1) {
        close(lookup->ended);
        free(lookup);
    }
}

static void *lookup_main(void *argument)
{
    struct lookup *lookup = argument;
    for (size_t i = 0; i < lookup->asked.count; i++) {
        look_up(&lookup->asked.list[i], &lookup->found);
    }
    eventfd_write(lookup->ended, 1); /* cannot fail: it is written once */
    lookup_release(lookup);
    return NULL;
}

struct lookup *lookup_start(const struct hosts *hosts)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL) {
        return NULL;
    }
    lookup->asked = *hosts;
    lookup->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&lookup->holders, 2);
    pthread_t thread;
    if (lookup->ended < 0 || pthread_create(&thread, NULL, lookup_main, lookup) != 0) {
        if (lookup->ended >= 0) {
            close(lookup->ended);
        }
        free(lookup);
        return NULL;
    }
    pthread_detach(thread);
    return lookup;
}

int lookup_fd(const struct lookup *lookup)
{
    return lookup->ended;
}

void lookup_take(const struct lookup *lookup, struct hosts *out)
{
    *out = lookup->found;
}
