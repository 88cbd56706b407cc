/*
 * settings.c - puts the settings together: default, file, environment, flags, then the checks
 * between them. Whatever is wrong, the sentence says where it was said: "penstock.conf:12",
 * "environment variable PENSTOCK_LANES", "flag --lanes".
 */
#include "keys.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static enum status load_defaults(struct settings *settings, struct problem *problem)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < key_count() && status == STATUS_OK; i++) {
        status = key_set(settings, key_at(i), key_at(i)->value, problem);
    }
    return status;
}

/* ---- environment ----------------------------------------------------------------------------- */

/* An empty variable counts as not set, because container files tend to pass all on. */
static enum status set_from_variable(struct settings *settings, const struct key *key,
                                     const char *variable, struct problem *problem)
{
    const char *text = getenv(variable);
    if (text == NULL || *text == '\0') {
        return STATUS_OK;
    }
    enum status status = key_set(settings, key, text, problem);
    if (status != STATUS_OK) {
        problem_context(problem, "environment variable %s", variable);
    }
    return status;
}

static enum status load_environment(struct settings *settings, struct problem *problem)
{
    const struct key *url = key_find("database_url", strlen("database_url"));
    enum status status = set_from_variable(settings, url, "DATABASE_URL", problem);
    for (size_t i = 0; i < key_count() && status == STATUS_OK; i++) {
        char variable[64] = "PENSTOCK_";
        size_t at = strlen(variable);
        for (const char *from = key_at(i)->name; *from != '\0'; from++) {
            variable[at++] = (char)toupper((unsigned char)*from);
        }
        variable[at] = '\0';
        status = set_from_variable(settings, key_at(i), variable, problem);
    }
    return status;
}

/* ---- flags ----------------------------------------------------------------------------------- */

static bool is_switch_word(const char *text)
{
    static const char *const words[] = {"true", "false", "on", "off", "yes", "no"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The value of the flag argv[*at] when it is not written behind a '='; moves *at on when it took
 * the next argument. A switch may stand alone. NULL: there is none. */
static const char *next_value(const struct key *key, int argc, char **argv, int *at)
{
    bool has_next = *at + 1 < argc;
    if (key->type == KEY_SWITCH && (!has_next || !is_switch_word(argv[*at + 1]))) {
        return "true";
    }
    return has_next && strncmp(argv[*at + 1], "--", 2) != 0 ? argv[++*at] : NULL;
}

/* Where libpq finds a password: postgresql://user:password@host, or `password=` anywhere. What
 * stands before the first @ is the user's, unless a / comes first; ? and # are letters there. */
static bool has_password(const char *url)
{
    const char *authority = strstr(url, "://");
    if (authority != NULL) {
        const char *user = authority + 3;
        size_t size = strcspn(user, "/");
        const char *colon = memchr(user, ':', size);
        if (colon != NULL && memchr(colon, '@', size - (size_t)(colon - user)) != NULL) {
            return true;
        }
    }
    for (const char *at = url; (at = strcasestr(at, "password")) != NULL;) {
        at += strlen("password");
        if (at[strspn(at, " \t\n")] == '=') {
            return true;
        }
    }
    return false;
}

static enum status refuse_secret(const struct key *key, const char *what, struct problem *problem)
{
    return problem_set(problem, STATUS_BAD_CONFIG,
                       "%s %s, and flags can be read by everybody on this machine: set it in the "
                       "environment or in the file",
                       key->name, what);
}

/* So much of an argument as is no secret: the scheme of an address, or the name before a value. */
static size_t shown(const char *argument)
{
    size_t size = strcspn(argument, ":= ");
    return size < 60 ? size : 60;
}

static enum status refuse_argument(const char *argument, struct problem *problem)
{
    size_t size = shown(argument);
    return problem_set(problem, STATUS_BAD_CONFIG,
                       "unexpected argument \"%.*s%s\": settings are given as --key=value",
                       (int)size, argument, argument[size] == '\0' ? "" : "…");
}

static enum status set_from_flag(struct settings *settings, int argc, char **argv, int *at,
                                 struct problem *problem)
{
    const char *flag = argv[*at];
    if (strncmp(flag, "--", 2) != 0 || flag[2] == '\0') {
        return refuse_argument(flag, problem);
    }
    size_t size = strcspn(flag + 2, "=");
    const struct key *key = key_find(flag + 2, size);
    if (key == NULL) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "unknown flag --%.*s: --help lists all of them", (int)shown(flag + 2),
                           flag + 2);
    }
    if (key->no_flag) {
        return refuse_secret(key, "is a secret", problem);
    }
    const char *value =
        flag[2 + size] == '=' ? flag + 2 + size + 1 : next_value(key, argc, argv, at);
    if (value == NULL) {
        return problem_set(problem, STATUS_BAD_CONFIG, "flag --%.*s needs a value: %s", (int)size,
                           flag + 2, key->unit);
    }
    if (key->is_secret && has_password(value)) {
        return refuse_secret(key, "holds a password", problem);
    }
    enum status status = key_set(settings, key, value, problem);
    if (status != STATUS_OK) {
        problem_context(problem, "flag --%.*s", (int)size, flag + 2);
    }
    return status;
}

static enum status load_flags(struct settings *settings, int argc, char **argv, int first,
                              struct problem *problem)
{
    enum status status = STATUS_OK;
    for (int at = first; at < argc && status == STATUS_OK; at++) {
        status = set_from_flag(settings, argc, argv, &at, problem);
    }
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------- */

enum status settings_load(struct settings *out, const char *file, int argc, char **argv, int first,
                          struct problem *problem)
{
    *out = (struct settings){0};
    enum status status = load_defaults(out, problem);
    if (status == STATUS_OK && file != NULL) {
        status = file_load(out, file, problem);
    }
    if (status == STATUS_OK) {
        status = load_environment(out, problem);
    }
    if (status == STATUS_OK) {
        status = load_flags(out, argc, argv, first, problem);
    }
    if (status == STATUS_OK) {
        status = settings_check(out, problem);
    }
    if (status != STATUS_OK) {
        settings_fini(out);
    }
    return status;
}

void settings_fini(struct settings *settings)
{
    if (settings == NULL) {
        return;
    }
    for (size_t i = 0; i < key_count(); i++) {
        const struct key *key = key_at(i);
        if (key->type == KEY_TEXT) {
            free(*(char **)((char *)settings + key->offset));
        }
    }
    for (size_t i = 0; i < settings->stream_count; i++) {
        struct stream_settings *stream = &settings->streams[i];
        free(stream->name);
        free(stream->table);
        for (size_t j = 0; j < stream->channel_count; j++) {
            free(stream->channels[j]);
        }
        for (size_t j = 0; j < stream->set_count; j++) {
            free(stream->sets[j].column);
            free(stream->sets[j].claim);
        }
    }
    *settings = (struct settings){0};
}

const struct stream_settings *settings_stream(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->stream_count; i++) {
        if (strcmp(settings->streams[i].name, name) == 0) {
            return &settings->streams[i];
        }
    }
    return NULL;
}

void settings_open_log(const struct settings *settings)
{
    struct log_levels levels;
    log_open((enum log_format)settings->log_format, LOG_INFO);
    if (log_levels_read(settings->log_level, &levels)) { /* the settings were checked */
        log_set_levels(&levels);
    }
}
