/*
 * keys.c - the table, and the reading of values.
 */
#include "keys.h"

#include "penstock/node.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KB (UINT64_C(1) << 10)
#define MB (UINT64_C(1) << 20)
#define GB (UINT64_C(1) << 30)
#define TB (UINT64_C(1) << 40)

#define AT(field) .offset = offsetof(struct settings, field)

/*
 * The record of a message may be 3.2 times its size (a MessagePack array of small numbers becomes
 * COPY fields of 8 bytes and the JSON for subscribers), and must fit one journal frame.
 */
#define MESSAGE_BYTES_MOST (RECORD_BYTES_MAX / 16 * 5)

const struct key keys[] = {
    {.group = "Network",
     .name = "listen",
     .type = KEY_TEXT,
     .unit = "HOST:PORT",
     .value = "127.0.0.1:8080",
     .most = 300,
     .help = "Where clients connect: an address or a name, and a port; IPv6 in brackets, as in "
             "[::1]:8080. Port 0 takes a free one.",
     AT(listen)},
    {.name = "trusted_network",
     .type = KEY_SWITCH,
     .unit = "BOOL",
     .value = "false",
     .help =
         "Allows `listen` to be an address that other machines can reach. Everybody who reaches "
         "it may then publish and subscribe.",
     AT(trusted_network)},
    {.name = "edge_threads",
     .type = KEY_NUMBER,
     .unit = "N",
     .value = "0",
     .most = EDGES_MAX,
     .help = "Threads that serve sockets. 0: one for up to two processors, else half of them.",
     AT(edge_threads)},
    {.name = "connections",
     .type = KEY_NUMBER,
     .unit = "N",
     .value = "20000",
     .least = 1,
     .most = 1000000,
     .help = "Open connections for each edge thread; the next is turned away.",
     AT(connections)},
    {.name = "heartbeat_s",
     .type = KEY_NUMBER,
     .unit = "SECONDS",
     .value = "30",
     .least = 1,
     .most = 3600,
     .help = "A connection silent for this long is pinged; one that stays silent is closed.",
     AT(heartbeat_s)},
    {.name = "handshake_s",
     .type = KEY_NUMBER,
     .unit = "SECONDS",
     .value = "10",
     .least = 1,
     .most = 300,
     .help = "A connection that has not finished its upgrade by then is closed.",
     AT(handshake_s)},
    {.name = "drain_ms",
     .type = KEY_NUMBER,
     .unit = "MS",
     .value = "5000",
     .most = 600000,
     .help =
         "At shutdown, clients are sent away spread over this time, so that they do not all come "
         "back at once.",
     AT(drain_ms)},

    {.group = "Limits for clients",
     .name = "message_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "1MB",
     .least = 1 * KB,
     .most = MESSAGE_BYTES_MOST,
     .help = "The largest message. Its record, which may be 3.2 times as large, must fit one frame "
             "of the journal.",
     AT(message_bytes)},
    {.name = "message_events",
     .type = KEY_NUMBER,
     .unit = "N",
     .value = "10000",
     .least = 1,
     .most = 100000,
     .help = "Events in one message.",
     AT(message_events)},
    {.name = "message_frames",
     .type = KEY_NUMBER,
     .unit = "N",
     .value = "1024",
     .least = 1,
     .most = 65536,
     .help = "WebSocket frames that one message may come in.",
     AT(message_frames)},
    {.name = "channels",
     .type = KEY_NUMBER,
     .unit = "N",
     .value = "100",
     .least = 1,
     .most = 10000,
     .help = "Channels that one connection may be subscribed to.",
     AT(channels)},
    {.name = "inflight",
     .type = KEY_NUMBER,
     .unit = "N",
     .value = "1024",
     .least = 1,
     .most = 65536,
     .help = "Published messages that one connection may have unanswered.",
     AT(inflight)},
    {.name = "receive_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "64MB",
     .least = 1 * MB,
     .most = 16 * GB,
     .help = "Memory of each edge thread for messages that come in pieces.",
     AT(receive_bytes)},
    {.name = "send_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "1MB",
     .least = 16 * KB,
     .most = 1 * GB,
     .help = "Answers that may wait for one slow client; past it, the connection is closed.",
     AT(send_bytes)},

    {.group = "PostgreSQL",
     .name = "database_url",
     .type = KEY_TEXT,
     .unit = "URL",
     .value = "",
     .most = 4096,
     .is_secret = true,
     .help = "How to connect, as libpq takes it: postgresql://user@host/database. Also read from "
             "DATABASE_URL. Empty: libpq's own environment (PGHOST and so on).",
     AT(database_url)},
    {.name = "listen_url",
     .type = KEY_TEXT,
     .unit = "URL",
     .value = "",
     .most = 4096,
     .is_secret = true,
     .help = "A direct connection for LISTEN, where database_url leads to a pooler that has none. "
             "Empty: the same as database_url.",
     AT(listen_url)},
    {.name = "connect_timeout_ms",
     .type = KEY_NUMBER,
     .unit = "MS",
     .value = "5000",
     .least = 100,
     .most = 600000,
     .help = "An attempt to connect that takes longer has failed.",
     AT(connect_timeout_ms)},
    {.name = "statement_timeout_ms",
     .type = KEY_NUMBER,
     .unit = "MS",
     .value = "30000",
     .least = 100,
     .most = 3600000,
     .help = "A statement that takes longer is cancelled and tried again.",
     AT(statement_timeout_ms)},
    {.name = "batch_rows",
     .type = KEY_NUMBER,
     .unit = "N",
     .value = "10000",
     .least = 1,
     .most = 1000000,
     .help = "The most events of one transaction. Batches are smaller when less is waiting.",
     AT(batch_rows)},
    {.name = "batch_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "8MB",
     .least = 64 * KB,
     .most = 1 * GB,
     .help = "The most bytes of one transaction; one message may go past it.",
     AT(batch_bytes)},
    {.name = "prepared_rows",
     .type = KEY_NUMBER,
     .unit = "N",
     .value = "8",
     .most = 1000,
     .help =
         "Batches of up to so many rows go as prepared statements, larger ones by COPY. 0: always "
         "COPY.",
     AT(prepared_rows)},

    {.group = "Journal and memory",
     .name = "data_dir",
     .type = KEY_TEXT,
     .unit = "FOLDER",
     .value = "./penstock-data",
     .least = 1,
     .most = 3000,
     .help = "The journal and the node's name live here. Made when missing; one process at a time.",
     AT(data_dir)},
    {.name = "node",
     .type = KEY_TEXT,
     .unit = "NAME",
     .value = "",
     .most = NODE_NAME_BYTES_MAX,
     .help = "This server's name among those on one database: letters, digits, '.', '-' and '_'. "
             "Empty: drawn at the first start and kept in data_dir.",
     AT(node)},
    {.name = "lanes",
     .type = KEY_NUMBER,
     .unit = "N",
     .value = "2",
     .least = 1,
     .most = LANES_MAX,
     .help = "Lanes, each with a thread, a journal and a connection to PostgreSQL.",
     AT(lanes)},
    {.name = "loop",
     .type = KEY_CHOICE,
     .unit = "ENGINE",
     .value = "auto",
     .choices = {"auto", "uring", "epoll"},
     .help = "How lanes wait and write: io_uring, or epoll and a thread that writes. auto takes "
             "io_uring where the kernel grants it.",
     AT(loop)},
    {.name = "ring_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "8MB",
     .least = RECORD_BYTES_MAX,
     .most = 1 * GB,
     .help = "Memory between each edge thread and each lane; rounded up to a power of two.",
     AT(ring_bytes)},
    {.name = "lane_memory_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "32MB",
     .least = 2 * RECORD_BYTES_MAX,
     .most = 16 * GB,
     .is_power_of_two = true,
     .help =
         "Memory of each lane for what PostgreSQL has not committed yet. More than that waits on "
         "disk.",
     AT(lane_memory_bytes)},
    {.name = "journal_segment_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "64MB",
     .least = 2 * RECORD_BYTES_MAX,
     .most = 1 * GB,
     .multiple_of = 4096,
     .help = "The size of one file of the journal.",
     AT(journal_segment_bytes)},
    {.name = "journal_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "1GB",
     .least = 4 * RECORD_BYTES_MAX,
     .most = 4 * TB,
     .help = "Disk for each lane's journal: how much may wait while PostgreSQL is away. Past it, "
             "publishers are told to come back later.",
     AT(journal_bytes)},
    {.name = "window_bytes",
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "64MB",
     .least = 1 * MB,
     .most = 64 * GB,
     .help = "Memory for recent events, from which subscribers are served.",
     AT(window_bytes)},

    {.group = "Log",
     .name = "log_format",
     .type = KEY_CHOICE,
     .unit = "FORMAT",
     .value = "logfmt",
     .choices = {"logfmt", "json"},
     .help = "One line an event worth knowing, to standard error.",
     AT(log_format)},
    {.name = "log_level",
     .type = KEY_CHOICE,
     .unit = "LEVEL",
     .value = "info",
     .choices = {"debug", "info", "warn", "error"},
     .help = "The least that is logged.",
     AT(log_level)},
};
const size_t key_count = sizeof keys / sizeof keys[0];

const struct key *key_find(const char *name, size_t size)
{
    for (size_t i = 0; i < key_count; i++) {
        size_t at = 0;
        while (at < size && keys[i].name[at] == (name[at] == '-' ? '_' : name[at])) {
            at++;
        }
        if (at == size && keys[i].name[at] == '\0') {
            return &keys[i];
        }
    }
    return NULL;
}

/* ---- sizes and numbers ----------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint64_t factor;
} size_units[] = {{"TB", TB}, {"GB", GB}, {"MB", MB}, {"KB", KB}};

enum { SIZE_UNITS = sizeof size_units / sizeof size_units[0] };

void size_format(uint64_t bytes, char out[32])
{
    for (size_t i = 0; i < SIZE_UNITS; i++) {
        if (bytes != 0 && bytes % size_units[i].factor == 0) {
            snprintf(out, 32, "%" PRIu64 "%s", bytes / size_units[i].factor, size_units[i].name);
            return;
        }
    }
    snprintf(out, 32, "%" PRIu64, bytes);
}

/* Digits alone: strtoull() would take signs, blanks and hexadecimal. Returns the end, or NULL. */
static const char *read_digits(const char *text, uint64_t *out)
{
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number)) {
            return NULL;
        }
    }
    *out = number;
    return at == text ? NULL : at;
}

/* "", B, K, KB, KiB … in any case. */
static bool read_unit(const char *text, uint64_t *out_factor)
{
    *out_factor = 1;
    if (*text == '\0' || strcasecmp(text, "B") == 0) {
        return true;
    }
    for (size_t i = 0; i < SIZE_UNITS; i++) {
        char letter[] = {size_units[i].name[0], '\0'}, binary[] = {letter[0], 'i', 'B', '\0'};
        if (strcasecmp(text, letter) == 0 || strcasecmp(text, size_units[i].name) == 0 ||
            strcasecmp(text, binary) == 0) {
            *out_factor = size_units[i].factor;
            return true;
        }
    }
    return false;
}

static bool read_number(const struct key *key, const char *text, uint64_t *out)
{
    uint64_t factor = 1;
    const char *unit = read_digits(text, out);
    if (unit == NULL) {
        return false;
    }
    if (key->type == KEY_SIZE) {
        unit += strspn(unit, " ");
        if (!read_unit(unit, &factor)) {
            return false;
        }
    } else if (*unit != '\0') {
        return false;
    }
    return !__builtin_mul_overflow(*out, factor, out);
}

static void bound_format(const struct key *key, uint64_t bound, char out[32])
{
    if (key->type == KEY_SIZE) {
        size_format(bound, out);
    } else {
        snprintf(out, 32, "%" PRIu64, bound);
    }
}

static enum status set_number(struct settings *settings, const struct key *key, const char *text,
                              struct problem *problem)
{
    uint64_t number;
    if (!read_number(key, text, &number)) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           key->type == KEY_SIZE
                               ? "%s must be a size such as 512KB, 64MB or 1GB, not \"%.40s\""
                               : "%s must be a whole number, not \"%.40s\"",
                           key->name, text);
    }
    if (number < key->least || number > key->most) {
        char least[32], most[32];
        bound_format(key, key->least, least);
        bound_format(key, key->most, most);
        return problem_set(problem, STATUS_BAD_CONFIG, "%s must be %s to %s, not %.40s", key->name,
                           least, most, text);
    }
    if (key->is_power_of_two && (number & (number - 1)) != 0) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "%s must be a power of two, such as 32MB or 64MB, not %.40s", key->name,
                           text);
    }
    if (key->multiple_of != 0 && number % key->multiple_of != 0) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "%s must be a multiple of %" PRIu64 ", not %.40s", key->name,
                           key->multiple_of, text);
    }
    *(uint64_t *)((char *)settings + key->offset) = number;
    return STATUS_OK;
}

/* ---- words and texts ------------------------------------------------------------------------- */

static enum status set_switch(struct settings *settings, const struct key *key, const char *text,
                              struct problem *problem)
{
    static const char *const words[] = {"false", "true", "off", "on", "no", "yes", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *(bool *)((char *)settings + key->offset) = i % 2 == 1;
            return STATUS_OK;
        }
    }
    return problem_set(problem, STATUS_BAD_CONFIG, "%s must be true or false, not \"%.40s\"",
                       key->name, text);
}

static enum status set_choice(struct settings *settings, const struct key *key, const char *text,
                              struct problem *problem)
{
    char listed[128] = "";
    size_t count = sizeof key->choices / sizeof key->choices[0];
    for (size_t i = 0; i < count && key->choices[i] != NULL; i++) {
        if (strcmp(text, key->choices[i]) == 0) {
            *(int *)((char *)settings + key->offset) = (int)i;
            return STATUS_OK;
        }
        size_t length = strlen(listed);
        snprintf(listed + length, sizeof listed - length, "%s%s", i == 0 ? "" : ", ",
                 key->choices[i]);
    }
    return problem_set(problem, STATUS_BAD_CONFIG, "%s must be one of %s, not \"%.40s\"", key->name,
                       listed, text);
}

/* The value itself is never shown: it may be a DSN with a password. */
static enum status set_text(struct settings *settings, const struct key *key, const char *text,
                            struct problem *problem)
{
    size_t size = strlen(text);
    if (size < key->least || size > key->most) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           size == 0 ? "%s must not be empty"
                                     : "%s is longer than %" PRIu64 " bytes",
                           key->name, key->most);
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (iscntrl((unsigned char)*at)) {
            return problem_set(problem, STATUS_BAD_CONFIG, "%s contains a control character",
                               key->name);
        }
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for %s", key->name);
    }
    char **field = (char **)((char *)settings + key->offset);
    free(*field);
    *field = copy;
    return STATUS_OK;
}

enum status key_set(struct settings *settings, const struct key *key, const char *text,
                    struct problem *problem)
{
    switch (key->type) {
    case KEY_TEXT:
        return set_text(settings, key, text, problem);
    case KEY_SWITCH:
        return set_switch(settings, key, text, problem);
    case KEY_CHOICE:
        return set_choice(settings, key, text, problem);
    case KEY_NUMBER:
    case KEY_SIZE:
        return set_number(settings, key, text, problem);
    }
    return problem_set(problem, STATUS_INTERNAL, "%s has no type", key->name);
}
