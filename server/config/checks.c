/*
 * checks.c - rules that one row of the table cannot say: between keys, and of names and addresses.
 */
#include "keys.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* PostgreSQL cuts channel names of NOTIFY at 63 bytes (NAMEDATALEN), and "penstock_" stands before.
 */
enum { STREAM_NAME_BYTES_MAX = 54, TABLE_NAME_BYTES_MAX = 2 * 63 + 1, HOST_BYTES_MAX = 255 };

/* Letters, digits and these. */
static bool is_name(const char *text, const char *others)
{
    for (; *text != '\0'; text++) {
        if (!isalnum((unsigned char)*text) && strchr(others, *text) == NULL) {
            return false;
        }
    }
    return true;
}

/* ---- the address ----------------------------------------------------------------------------- */

struct address {
    char host[HOST_BYTES_MAX + 1];
    bool is_ipv6;
};

/* Splits HOST:PORT or [IPV6]:PORT. */
static bool address_split(const char *text, struct address *out)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL) {
        return false;
    }
    const char *first = text, *end = colon;
    out->is_ipv6 = *text == '[';
    if (out->is_ipv6) {
        if (end[-1] != ']') {
            return false;
        }
        first++;
        end--;
    }
    if (end <= first || end - first > HOST_BYTES_MAX) {
        return false;
    }
    memcpy(out->host, first, (size_t)(end - first));
    out->host[end - first] = '\0';

    const char *port = colon + 1;
    size_t digits = strspn(port, "0123456789");
    int number = 0;
    return digits >= 1 && digits <= 5 && port[digits] == '\0' && sscanf(port, "%d", &number) == 1 &&
           number <= 65535;
}

static bool host_is_sound(const struct address *address)
{
    struct in_addr four;
    struct in6_addr six;
    if (address->is_ipv6) {
        return inet_pton(AF_INET6, address->host, &six) == 1;
    }
    /* All digits and dots can only be meant as an address. */
    bool is_numeric = strspn(address->host, "0123456789.") == strlen(address->host);
    return is_numeric ? inet_pton(AF_INET, address->host, &four) == 1
                      : is_name(address->host, ".-_");
}

static bool host_is_loopback(const struct address *address)
{
    struct in_addr four;
    struct in6_addr six;
    if (address->is_ipv6) {
        return inet_pton(AF_INET6, address->host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
    }
    return strcmp(address->host, "localhost") == 0 ||
           (inet_pton(AF_INET, address->host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127);
}

static enum status check_listen(const struct settings *settings, struct problem *problem)
{
    struct address address;
    if (!address_split(settings->listen, &address) || !host_is_sound(&address)) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "listen must be HOST:PORT, such as 127.0.0.1:8080, [::1]:8080 or "
                           "0.0.0.0:8080, not \"%.60s\"",
                           settings->listen);
    }
    if (!settings->trusted_network && !host_is_loopback(&address)) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "listen is %.60s, which other machines may reach: set trusted_network = "
                           "true if all of them may publish and subscribe, or listen on 127.0.0.1",
                           settings->listen);
    }
    return STATUS_OK;
}

/* ---- between keys ---------------------------------------------------------------------------- */

/* `larger` must be at least `factor` times `smaller`. */
static enum status check_ratio(const char *larger_name, uint64_t larger, unsigned factor,
                               const char *smaller_name, uint64_t smaller, struct problem *problem)
{
    if (larger / factor >= smaller) {
        return STATUS_OK;
    }
    char larger_text[32], smaller_text[32], times[32] = "";
    size_format(larger, larger_text);
    size_format(smaller, smaller_text);
    if (factor > 1) {
        snprintf(times, sizeof times, "%u times ", factor);
    }
    return problem_set(problem, STATUS_BAD_CONFIG,
                       "%s (%s) must be at least %s%s (%s): raise the first or lower the second",
                       larger_name, larger_text, times, smaller_name, smaller_text);
}

enum status settings_check(const struct settings *settings, struct problem *problem)
{
    if (!is_name(settings->node, ".-_")) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "node must consist of letters, digits, '.', '-' and '_', not \"%.60s\"",
                           settings->node);
    }
    enum status status = check_listen(settings, problem);
    if (status == STATUS_OK) {
        status = presence_check(settings, problem);
    }
    if (status == STATUS_OK) {
        status = check_ratio("journal_bytes", settings->journal_bytes, 2, "journal_segment_bytes",
                             settings->journal_segment_bytes, problem);
    }
    if (status == STATUS_OK) {
        status = check_ratio("receive_bytes", settings->receive_bytes, 1, "message_bytes",
                             settings->message_bytes, problem);
    }
    return status;
}

/* ---- streams --------------------------------------------------------------------------------- */

static enum status check_channel(const struct stream_settings *stream, const char *channel,
                                 struct problem *problem)
{
    size_t size = channel == NULL ? 0 : strlen(channel);
    if (size == 0 || size > CHANNEL_BYTES_MAX) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "stream \"%s\": a channel must have 1 to %d bytes, not %zu",
                           stream->name, CHANNEL_BYTES_MAX, size);
    }
    for (const char *at = channel; *at != '\0'; at++) {
        if (iscntrl((unsigned char)*at)) {
            return problem_set(problem, STATUS_BAD_CONFIG,
                               "stream \"%s\": a channel contains a control character",
                               stream->name);
        }
    }
    return STATUS_OK;
}

enum status stream_check(const struct stream_settings *stream, struct problem *problem)
{
    const char *name = stream->name;
    if (name == NULL || *name == '\0' || strlen(name) > STREAM_NAME_BYTES_MAX ||
        !is_name(name, "-_")) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "a stream's name must have 1 to %d letters, digits, '-' and '_', not "
                           "\"%.60s\"",
                           STREAM_NAME_BYTES_MAX, name == NULL ? "" : name);
    }
    size_t size = stream->table == NULL ? 0 : strlen(stream->table);
    if (size == 0 || size > TABLE_NAME_BYTES_MAX) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           size == 0 ? "stream \"%s\" names no table: add table = \"Name\""
                                     : "stream \"%s\": its table's name is too long",
                           name);
    }
    enum status status = STATUS_OK;
    for (size_t i = 0; i < stream->channel_count && status == STATUS_OK; i++) {
        status = check_channel(stream, stream->channels[i], problem);
    }
    return status;
}
