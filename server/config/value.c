/*
 * value.c - a value's way from text into its field, and the rules that a row of the table states.
 *
 * A refusal names the key, says what would be right, and shows what was given, unless the value may
 * hold a password.
 */
#include "keys.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
        bool is_line_end = *at == '\n' || *at == '\r';
        if (iscntrl((unsigned char)*at) && !(key->is_multiline && is_line_end)) {
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
