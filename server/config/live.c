/*
 * live.c - the configuration is read again while the server runs: which of its keys are taken.
 *
 * A key whose row says LIVE may change at any time, because whoever uses it reads it from the
 * settings each time, or makes anew what it had made of them (adopt_settings() in edge/edge.c). All
 * others have shaped something at the start (memory, files, sockets, connections) and keep their
 * value until a restart; that is said, and is no failure. What results is checked like any
 * configuration: a new receive_bytes must fit the old message_bytes, too.
 */
#include "keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const void *field_of(const struct settings *settings, const struct key *key)
{
    return (const char *)settings + key->offset;
}

static bool is_same(const struct key *key, const struct settings *a, const struct settings *b)
{
    const void *left = field_of(a, key), *right = field_of(b, key);
    switch (key->type) {
    case KEY_TEXT:
        return strcmp(*(char *const *)left, *(char *const *)right) == 0;
    case KEY_SWITCH:
        return *(const bool *)left == *(const bool *)right;
    case KEY_CHOICE:
        return *(const int *)left == *(const int *)right;
    case KEY_NUMBER:
    case KEY_SIZE:
        break;
    }
    return *(const uint64_t *)left == *(const uint64_t *)right;
}

static void value_format(const struct key *key, const struct settings *settings, char *out,
                         size_t size)
{
    const void *field = field_of(settings, key);
    char bytes[32];
    switch (key->type) {
    case KEY_TEXT:
        snprintf(out, size, "\"%.60s\"", *(char *const *)field);
        return;
    case KEY_SWITCH:
        snprintf(out, size, "%s", *(const bool *)field ? "true" : "false");
        return;
    case KEY_CHOICE:
        snprintf(out, size, "%s", key->choices[*(const int *)field]);
        return;
    case KEY_NUMBER:
        snprintf(out, size, "%" PRIu64, *(const uint64_t *)field);
        return;
    case KEY_SIZE:
        size_format(*(const uint64_t *)field, bytes);
        snprintf(out, size, "%s", bytes);
        return;
    }
}

/* Appends one piece behind a comma; what does not fit is left out, dots say so. */
static void list_add(char *list, size_t size, const char *piece)
{
    size_t used = strlen(list);
    if (used + strlen(piece) + sizeof ", …" < size) {
        snprintf(list + used, size - used, "%s%s", used == 0 ? "" : ", ", piece);
    } else if (used + sizeof ", …" <= size && strstr(list, "…") == NULL) {
        strcat(list, ", …");
    }
}

static void note_change(const struct key *key, const struct settings *now,
                        const struct settings *next, struct settings_news *news)
{
    char before[80], after[80], piece[240];
    if (key->is_secret) {
        snprintf(piece, sizeof piece, "%s", key->name);
    } else {
        value_format(key, now, before, sizeof before);
        value_format(key, next, after, sizeof after);
        snprintf(piece, sizeof piece, "%s %s → %s", key->name, before, after);
    }
    list_add(news->changed, sizeof news->changed, piece);
}

/* The running value takes the place of the one that was read. */
static enum status keep(const struct key *key, const struct settings *now, struct settings *next,
                        struct problem *problem)
{
    void *field = (char *)next + key->offset;
    char *copy;
    switch (key->type) {
    case KEY_TEXT:
        copy = strdup(*(char *const *)field_of(now, key));
        if (copy == NULL) {
            return problem_set(problem, STATUS_NO_MEMORY, "no memory for %s", key->name);
        }
        free(*(char **)field);
        *(char **)field = copy;
        break;
    case KEY_SWITCH:
        *(bool *)field = *(const bool *)field_of(now, key);
        break;
    case KEY_CHOICE:
        *(int *)field = *(const int *)field_of(now, key);
        break;
    case KEY_NUMBER:
    case KEY_SIZE:
        *(uint64_t *)field = *(const uint64_t *)field_of(now, key);
        break;
    }
    return STATUS_OK;
}

enum status settings_renew(const struct settings *now, struct settings *next,
                           struct settings_news *news, struct problem *problem)
{
    enum status status = STATUS_OK;
    *news = (struct settings_news){0};
    for (size_t i = 0; i < key_count() && status == STATUS_OK; i++) {
        const struct key *key = key_at(i);
        if (is_same(key, now, next)) {
            continue;
        }
        if (key->is_live) {
            note_change(key, now, next, news);
        } else {
            list_add(news->kept, sizeof news->kept, key->name);
            status = keep(key, now, next, problem);
        }
    }
    return status == STATUS_OK ? settings_check(next, problem) : status;
}
