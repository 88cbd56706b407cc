/*
 * presence.c - the key `presence`: on which channels members are told of.
 *
 * The text is read where it lies, each time: it has a few names, and is asked when somebody
 * subscribes, not for every event.
 */
#include "keys.h"

#include <string.h>

/* Takes the first of the names off `*rest`, without the spaces around it. False: there is none. */
static bool next_name(struct span *rest, struct span *out)
{
    if (rest->data == NULL) {
        return false;
    }
    *out = span_trim(span_take(rest, ','));
    return true;
}

static bool matches(struct span pattern, struct span channel)
{
    if (pattern.size > 0 && pattern.data[pattern.size - 1] == '*') {
        size_t size = pattern.size - 1;
        return channel.size >= size && memcmp(channel.data, pattern.data, size) == 0;
    }
    return span_equals(pattern, channel);
}

bool settings_have_presence(const struct settings *settings)
{
    return settings->presence != NULL && settings->presence[0] != '\0';
}

bool settings_presence_is_on(const struct settings *settings, struct span channel)
{
    struct span pattern;
    struct span rest =
        settings_have_presence(settings) ? span_string(settings->presence) : span_of(NULL, 0);
    while (next_name(&rest, &pattern)) {
        if (matches(pattern, channel)) {
            return true;
        }
    }
    return false;
}

enum status presence_check(const struct settings *settings, struct problem *problem)
{
    struct span name;
    struct span rest =
        settings_have_presence(settings) ? span_string(settings->presence) : span_of(NULL, 0);
    while (next_name(&rest, &name)) {
        const uint8_t *star = name.size == 0 ? NULL : memchr(name.data, '*', name.size);
        if (name.size == 0 || name.size > CHANNEL_BYTES_MAX) {
            return problem_set(
                problem, STATUS_BAD_CONFIG,
                "presence: the name of a channel has 1 to %d bytes, \"%.*s\" has %zu",
                CHANNEL_BYTES_MAX, name.size < 60 ? (int)name.size : 60, (const char *)name.data,
                name.size);
        }
        if (star != NULL && star != name.data + name.size - 1) {
            return problem_set(
                problem, STATUS_BAD_CONFIG,
                "presence: a '*' stands at the end of a name only, as in room:*, not "
                "in \"%.*s\"",
                name.size < 60 ? (int)name.size : 60, (const char *)name.data);
        }
    }
    return STATUS_OK;
}
