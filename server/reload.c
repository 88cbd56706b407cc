/* reload.c - see reload.h. */
#include "reload.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum status configuration_read(const struct configuration *from, struct settings *out,
                               struct problem *problem)
{
    return settings_load(out, from->file, from->argc, from->argv, 0, problem);
}

/* ---- streams --------------------------------------------------------------------------------- */

static void add(char *out, size_t size, const char *format, ...) printf_like(3, 4);

/* Appends one finding; what does not fit is cut. */
static void add(char *out, size_t size, const char *format, ...)
{
    size_t used = strlen(out);
    va_list arguments;
    used += (size_t)snprintf(out + used, size - used, "%s", used == 0 ? "" : ", ");
    if (used < size) {
        va_start(arguments, format);
        vsnprintf(out + used, size - used, format, arguments);
        va_end(arguments);
    }
}

static bool channels_differ(const struct stream_settings *a, const struct stream_settings *b)
{
    bool differ = a->channel_count != b->channel_count;
    for (size_t i = 0; i < a->channel_count && !differ; i++) {
        differ = strcmp(a->channels[i], b->channels[i]) != 0;
    }
    return differ;
}

static bool sets_differ(const struct stream_settings *a, const struct stream_settings *b)
{
    bool differ = a->set_count != b->set_count;
    for (size_t i = 0; i < a->set_count && !differ; i++) {
        differ = strcmp(a->sets[i].column, b->sets[i].column) != 0 ||
                 strcmp(a->sets[i].claim, b->sets[i].claim) != 0;
    }
    return differ;
}

bool reload_streams_differ(const struct settings *now, const struct settings *next, char *out,
                           size_t size)
{
    out[0] = '\0';
    for (size_t i = 0; i < next->stream_count; i++) {
        const struct stream_settings *after = &next->streams[i],
                                     *before = settings_stream(now, after->name);
        if (before == NULL) {
            add(out, size, "stream \"%s\" is new", after->name);
        } else if (strcmp(before->table, after->table) != 0) {
            add(out, size, "stream \"%s\" now goes to %s, not %s", after->name, after->table,
                before->table);
        } else if (channels_differ(before, after)) {
            add(out, size, "stream \"%s\" has other channels", after->name);
        } else if (sets_differ(before, after)) {
            add(out, size, "stream \"%s\" has other columns set from claims", after->name);
        }
    }
    for (size_t i = 0; i < now->stream_count; i++) {
        if (settings_stream(next, now->streams[i].name) == NULL) {
            add(out, size, "stream \"%s\" is gone (what it has taken is still stored)",
                now->streams[i].name);
        }
    }
    return out[0] != '\0';
}

/* ---- the reload ------------------------------------------------------------------------------ */

static enum status open_streams(struct reload *reload, struct accounts *accounts,
                                struct store *store, const struct problem *away,
                                struct problem *problem)
{
    if (store == NULL) {
        *problem = *away;
        problem_context(problem, "the tables of streams that have changed cannot be read");
        return problem->status;
    }
    return streams_open(reload->settings, accounts, store, &reload->streams, problem);
}

enum status reload_prepare(struct reload *reload, const struct settings *now, struct settings *read,
                           struct accounts *accounts, struct store *store,
                           const struct problem *away, bool *out_news, struct problem *problem)
{
    *reload = (struct reload){.settings = read};
    *out_news = false;
    enum status status = settings_renew(now, read, &reload->news, problem);
    bool differ = status == STATUS_OK && reload_streams_differ(now, read, reload->streams_news,
                                                               sizeof reload->streams_news);
    if (differ) {
        status = open_streams(reload, accounts, store, away, problem);
    }
    if (status != STATUS_OK) {
        reload_drop(reload);
        return status;
    }
    *out_news = differ || reload->news.changed[0] != '\0';
    return STATUS_OK;
}

void reload_drop(struct reload *reload)
{
    streams_close(reload->streams);
    settings_fini(reload->settings);
    free(reload->settings);
    *reload = (struct reload){0};
}

void reload_log(const struct reload *reload)
{
    const char *keys = reload->news.changed, *streams = reload->streams_news;
    if (keys[0] == '\0' && streams[0] == '\0') {
        log_info("config", "read again: nothing has changed that can change now");
    } else {
        log_info("config", "reloaded: %s%s%s", keys,
                 keys[0] != '\0' && streams[0] != '\0' ? ", " : "", streams);
    }
    if (reload->news.kept[0] != '\0') {
        log_warn("config",
                 "these cannot change while the server runs, and stay as they are until a restart: "
                 "%s",
                 reload->news.kept);
    }
}
