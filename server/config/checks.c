/*
 * checks.c - rules that one row of the table cannot say: between keys, and of names and addresses.
 */
#include "keys.h"

#include "penstock/address.h"

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

struct host_port {
    char host[HOST_BYTES_MAX + 1];
    bool is_ipv6;
};

/* Splits HOST:PORT or [IPV6]:PORT. */
static bool address_split(const char *text, struct host_port *out)
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

static bool host_is_sound(const struct host_port *address)
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

static bool host_is_loopback(const struct host_port *address)
{
    struct in_addr four;
    struct in6_addr six;
    if (address->is_ipv6) {
        return inet_pton(AF_INET6, address->host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
    }
    return strcmp(address->host, "localhost") == 0 ||
           (inet_pton(AF_INET, address->host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127);
}

/* Other machines can reach us. */
static enum status check_exposed(const struct settings *settings, struct problem *problem)
{
    if (settings->trusted_network) {
        return STATUS_OK;
    }
    if (!settings_ask_tokens(settings)) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "listen is %.60s, which other machines may reach, and clients are not "
                           "asked who they are: set auth_key_file (or auth_key, auth_jwks_url), or "
                           "trusted_network = true if all of them may do everything, or listen on "
                           "127.0.0.1",
                           settings->listen);
    }
    if (!settings_protect_transport(settings)) {
        return problem_set(
            problem, STATUS_BAD_CONFIG,
            "listen is %.60s, which other machines may reach, and tokens would cross "
            "the network unprotected: set tls_certificate and tls_key, or trusted_proxy if "
            "one in front has TLS, or trusted_network = true if nobody there listens, or listen on "
            "127.0.0.1",
            settings->listen);
    }
    return STATUS_OK;
}

static enum status check_listen(const struct settings *settings, struct problem *problem)
{
    struct host_port address;
    if (!address_split(settings->listen, &address) || !host_is_sound(&address)) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "listen must be HOST:PORT, such as 127.0.0.1:8080, [::1]:8080 or "
                           "0.0.0.0:8080, not \"%.60s\"",
                           settings->listen);
    }
    return host_is_loopback(&address) ? STATUS_OK : check_exposed(settings, problem);
}

/* ---- who may connect ------------------------------------------------------------------------- */

bool settings_list_next(const char **list, struct span *out)
{
    const char *at = *list + strspn(*list, ", \t\n");
    size_t size = strcspn(at, ",");
    *list = at + size;
    while (size > 0 && (at[size - 1] == ' ' || at[size - 1] == '\t' || at[size - 1] == '\n')) {
        size--;
    }
    *out = span_of(at, size);
    return size > 0;
}

/* scheme://host or scheme://host:port in lower case, as browsers send it (RFC 6454 section 6.2). */
static bool origin_is_sound(struct span origin)
{
    const char *at = (const char *)origin.data;
    size_t scheme = strncmp(at, "https://", 8) == 0 ? 8 : strncmp(at, "http://", 7) == 0 ? 7 : 0;
    if (scheme == 0 || origin.size == scheme || origin.size > HOST_BYTES_MAX) {
        return false;
    }
    for (size_t i = scheme; i < origin.size; i++) {
        if (!islower((unsigned char)at[i]) && !isdigit((unsigned char)at[i]) &&
            strchr(".-:[]", at[i]) == NULL) {
            return false;
        }
    }
    bool is_default =
        (scheme == 8 && origin.size > 4 && memcmp(at + origin.size - 4, ":443", 4) == 0) ||
        (scheme == 7 && origin.size > 3 && memcmp(at + origin.size - 3, ":80", 3) == 0);
    return !is_default;
}

static enum status check_origins(const struct settings *settings, struct problem *problem)
{
    const char *list = settings->origins;
    struct span origin;
    while (settings_list_next(&list, &origin)) {
        if (!origin_is_sound(origin)) {
            return problem_set(problem, STATUS_BAD_CONFIG,
                               "origins: \"%.*s\" is no origin as browsers send it, such as "
                               "https://app.example or http://localhost:3000: lower case, no path, "
                               "no default port",
                               origin.size < 60 ? (int)origin.size : 60, (const char *)origin.data);
        }
    }
    return STATUS_OK;
}

/* A name alone: no port, no path, no pattern. */
static bool name_is_sound(struct span host)
{
    for (size_t i = 0; i < host.size; i++) {
        if (!isalnum(host.data[i]) && strchr(".-_", host.data[i]) == NULL) {
            return false;
        }
    }
    return host.size <= HOST_BYTES_MAX && host.data[host.size - 1] != '.';
}

static enum status check_hosts(const struct settings *settings, struct problem *problem)
{
    const char *list = settings->hosts;
    struct span host;
    while (settings_list_next(&list, &host)) {
        if (!name_is_sound(host)) {
            return problem_set(problem, STATUS_BAD_CONFIG,
                               "hosts: \"%.*s\" is no name alone, such as gate.example: no "
                               "scheme, no port, no path, no *",
                               host.size < 60 ? (int)host.size : 60, (const char *)host.data);
        }
    }
    return STATUS_OK;
}

static enum status check_proxies(const struct settings *settings, struct problem *problem)
{
    struct network_list list;
    enum status status = network_list_parse(span_string(settings->trusted_proxy), &list, problem);
    if (status != STATUS_OK) {
        problem_context(problem, "trusted_proxy");
        return status;
    }
    if (settings->proxy_protocol && list.count == 0) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "proxy_protocol needs trusted_proxy: say which addresses send that "
                           "header, because anybody could");
    }
    return status;
}

/* Text, {claim}, and perhaps a * at the end. */
static bool template_is_sound(struct span template)
{
    bool is_open = false;
    for (size_t i = 0; i < template.size; i++) {
        uint8_t c = template.data[i];
        if (iscntrl(c) || (c == '{' && (is_open || i + 1 == template.size)) ||
            (c == '}' && (!is_open || template.data[i - 1] == '{')) ||
            (c == '{' && i > 0 && template.data[i - 1] == '}') ||
            (c == '*' && !is_open && i + 1 < template.size)) {
            return false;
        }
        is_open = c == '{' || (is_open && c != '}');
    }
    return !is_open;
}

static enum status check_templates(const char *name, const char *list, struct problem *problem)
{
    struct span template;
    while (settings_list_next(&list, &template)) {
        if (!template_is_sound(template)) {
            return problem_set(problem, STATUS_BAD_CONFIG,
                               "%s: write text, {claim}, and perhaps a * at the end, as in "
                               "user:{sub} or news:*, not \"%.*s\"",
                               name, template.size < 60 ? (int)template.size : 60,
                               (const char *)template.data);
        }
    }
    return STATUS_OK;
}

static enum status check_auth(const struct settings *settings, struct problem *problem)
{
    if ((*settings->tls_certificate == '\0') != (*settings->tls_key == '\0')) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "tls_certificate and tls_key belong together: set both or none");
    }
    if (*settings->auth_key != '\0' && *settings->auth_key_file != '\0') {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "auth_key and auth_key_file exclude each other: put all keys into one "
                           "JWKS");
    }
    enum status status = check_origins(settings, problem);
    if (status == STATUS_OK) {
        status = check_hosts(settings, problem);
    }
    if (status == STATUS_OK) {
        status = check_templates("allow_publish", settings->allow_publish, problem);
    }
    return status == STATUS_OK
               ? check_templates("allow_subscribe", settings->allow_subscribe, problem)
               : status;
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
    struct log_levels levels;
    if (status == STATUS_OK && !log_levels_read(settings->log_level, &levels)) {
        return problem_set(
            problem, STATUS_BAD_CONFIG,
            "log_level must be debug, info, warn or error, and may name areas behind "
            "it, as in \"info,edge=debug\", not \"%.60s\"",
            settings->log_level);
    }
    if (status == STATUS_OK) {
        status = check_proxies(settings, problem);
    }
    if (status == STATUS_OK) {
        status = check_auth(settings, problem);
    }
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
