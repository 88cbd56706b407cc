/* origin.c - see origin.h. */
#include "access/origin.h"

#include "penstock/config.h"

#include <strings.h>

static bool begins_with(struct span span, const char *start)
{
    size_t size = strlen(start);
    return span.size >= size && strncasecmp((const char *)span.data, start, size) == 0;
}

/* host:port of an origin with one of our schemes; size 0: it has another. */
static struct span authority(struct span origin)
{
    size_t scheme = begins_with(origin, "https://") ? 8 : begins_with(origin, "http://") ? 7 : 0;
    return scheme == 0 ? span_of(NULL, 0) : span_of(origin.data + scheme, origin.size - scheme);
}

/* Without its port; brackets stay. */
static struct span host_name(struct span host)
{
    const uint8_t *from =
        host.size > 0 && host.data[0] == '[' ? memchr(host.data, ']', host.size) : host.data;
    size_t before = from == NULL ? 0 : (size_t)(from - host.data);
    const uint8_t *colon = from == NULL ? NULL : memchr(from, ':', host.size - before);
    return colon == NULL ? host : span_of(host.data, (size_t)(colon - host.data));
}

static bool same_name(struct span a, struct span b)
{
    return a.size > 0 && a.size == b.size &&
           strncasecmp((const char *)a.data, (const char *)b.data, a.size) == 0;
}

static bool ends_with(struct span name, const char *end)
{
    size_t size = strlen(end);
    return name.size > size &&
           strncasecmp((const char *)name.data + name.size - size, end, size) == 0;
}

static bool is_address(struct span name)
{
    if (name.size > 0 && name.data[0] == '[') {
        return true;
    }
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] != '.' && (name.data[i] < '0' || name.data[i] > '9')) {
            return false;
        }
    }
    return name.size > 0;
}

static bool is_listed(const struct own_hosts *own, struct span name)
{
    const char *hosts = own->hosts, *origins = own->origins;
    struct span item;
    while (settings_list_next(&hosts, &item)) {
        if (same_name(item, name)) {
            return true;
        }
    }
    while (settings_list_next(&origins, &item)) {
        if (same_name(host_name(authority(item)), name)) {
            return true;
        }
    }
    return false;
}

/* Whoever could let it stand for us is in the network, which is trusted. */
static bool is_local(struct span name)
{
    return name.size > 0 && (memchr(name.data, '.', name.size) == NULL ||
                             ends_with(name, ".local") || ends_with(name, ".internal"));
}

bool host_is_own(const struct own_hosts *own, struct span host)
{
    struct span name = host_name(host);
    if (name.size > 0 && name.data[name.size - 1] == '.') {
        name.size--; /* the root's, which changes nothing */
    }
    return is_address(name) || same_name(name, span_string("localhost")) ||
           ends_with(name, ".localhost") || is_listed(own, name) ||
           (own->in_trusted_network && is_local(name));
}

bool origin_is_allowed(const char *list, struct span origin, struct span host, bool is_own)
{
    struct span allowed;
    while (settings_list_next(&list, &allowed)) {
        if (span_equals(allowed, origin)) {
            return true;
        }
    }
    return is_own && same_name(authority(origin), host);
}
