/* url.c - see url.h. */
#include "url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status refuse(struct problem *problem, const char *text)
{
    return problem_set(problem, STATUS_BAD_CONFIG,
                       "--url \"%s\": give it as ws://HOST[:PORT]/v1/ws, or wss:// with TLS", text);
}

/* Moves behind the scheme. */
static const char *read_scheme(const char *text, struct url *out)
{
    out->is_secure = strncmp(text, "wss://", 6) == 0;
    if (out->is_secure) {
        return text + 6;
    }
    return strncmp(text, "ws://", 5) == 0 ? text + 5 : NULL;
}

/* Moves behind the host, which may be an IPv6 address in brackets. */
static const char *read_host(const char *text, struct url *out)
{
    bool is_bracketed = text[0] == '[';
    const char *start = text + is_bracketed;
    size_t size = strcspn(start, is_bracketed ? "]/?" : ":/?");
    if (size == 0 || size >= sizeof out->host || (is_bracketed && start[size] != ']')) {
        return NULL;
    }
    memcpy(out->host, start, size);
    out->host[size] = '\0';
    return start + size + is_bracketed;
}

static const char *read_port(const char *text, struct url *out)
{
    out->port = out->is_secure ? 443 : 80;
    if (text[0] != ':') {
        return text;
    }
    char *end;
    long port = strtol(text + 1, &end, 10);
    if (end == text + 1 || text[1] < '0' || text[1] > '9' || port < 1 || port > 65535) {
        return NULL;
    }
    out->port = (int)port;
    return end;
}

static bool write_path(const char *text, const char *producer, struct url *out)
{
    const char *slash = text[0] == '/' ? "" : "/";
    int size;
    if (producer == NULL || strstr(text, "producer=") != NULL) {
        size = snprintf(out->path, sizeof out->path, "%s%s", slash, text);
    } else {
        size = snprintf(out->path, sizeof out->path, "%s%s%cproducer=%s", slash, text,
                        strchr(text, '?') == NULL ? '?' : '&', producer);
    }
    return size < (int)sizeof out->path;
}

static void write_host_header(struct url *out)
{
    bool is_ipv6 = strchr(out->host, ':') != NULL;
    snprintf(out->host_header, sizeof out->host_header, is_ipv6 ? "[%s]:%d" : "%s:%d", out->host,
             out->port);
}

enum status url_read(const char *text, const char *producer, struct url *out,
                     struct problem *problem)
{
    *out = (struct url){0};
    if (strstr(text, "token=") != NULL) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "--url holds a token, and arguments can be read by everybody on this "
                           "machine: give it by --token-file or PENSTOCK_TOKEN");
    }
    const char *at = read_scheme(text, out);
    at = at == NULL ? NULL : read_host(at, out);
    at = at == NULL ? NULL : read_port(at, out);
    bool ends_well = at != NULL && (at[0] == '\0' || at[0] == '/' || at[0] == '?');
    if (!ends_well || strpbrk(at, " \t\r\n#") != NULL || !write_path(at, producer, out)) {
        return refuse(problem, text);
    }
    write_host_header(out);
    return STATUS_OK;
}
