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

/* No name that somebody else could let stand for this machine. */
static bool is_address(struct span host)
{
    const uint8_t *colon = host.data[0] == '[' ? NULL : memchr(host.data, ':', host.size);
    size_t size = colon == NULL ? host.size : (size_t)(colon - host.data);
    if (host.data[0] == '[') {
        return true;
    }
    if (size == 9 && begins_with(host, "localhost")) {
        return true;
    }
    for (size_t i = 0; i < size; i++) {
        if (host.data[i] != '.' && (host.data[i] < '0' || host.data[i] > '9')) {
            return false;
        }
    }
    return size > 0;
}

bool origin_is_allowed(const char *list, struct span origin, struct span host, bool asks_tokens)
{
    struct span allowed;
    while (settings_list_next(&list, &allowed)) {
        if (span_equals(allowed, origin)) {
            return true;
        }
    }
    struct span own = authority(origin);
    return own.size > 0 && own.size == host.size &&
           strncasecmp((const char *)own.data, (const char *)host.data, own.size) == 0 &&
           (asks_tokens || is_address(host));
}
