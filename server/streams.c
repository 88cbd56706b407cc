#include "streams.h"

#include <stdlib.h>

enum status streams_load_one(struct store *store, const struct stream_settings *settings,
                             struct stream **out, struct problem *problem)
{
    struct table_description table = {0};
    struct span channels[EVENT_CHANNELS_MAX];
    for (size_t i = 0; i < settings->channel_count; i++) {
        channels[i] = span_string(settings->channels[i]);
    }
    struct stream_options options = {
        .name = span_string(settings->name),
        .channels = channels,
        .channel_count = settings->channel_count,
    };
    enum status status = store_read_table(store, settings->table, &table, problem);
    if (status == STATUS_OK) {
        status = stream_create(&options, &table, out, problem);
    }
    table_description_fini(&table);
    if (status != STATUS_OK) {
        problem_context(problem, "stream \"%s\"", settings->name);
    }
    return status;
}

enum status streams_load(struct store *store, const struct settings *settings,
                         struct stream_set *out, struct problem *problem)
{
    *out = (struct stream_set){0};
    if (settings->stream_count == 0) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "no stream is configured: add a section stream \"name\" { table = "
                           "\"Table\" } to the configuration file");
    }
    out->streams = calloc(settings->stream_count, sizeof(struct stream *));
    out->accounts = calloc(settings->stream_count, sizeof *out->accounts);
    if (out->streams == NULL || out->accounts == NULL) {
        streams_fini(out);
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for %zu streams",
                           settings->stream_count);
    }
    for (; out->count < settings->stream_count; out->count++) {
        enum status status = streams_load_one(store, &settings->streams[out->count],
                                              &out->streams[out->count], problem);
        if (status != STATUS_OK) {
            streams_fini(out);
            return status;
        }
        if (!stream_tells_duplicates(out->streams[out->count])) {
            log_warn("main", "stream \"%s\" is delivered at least once: %s",
                     settings->streams[out->count].name, STREAMS_NO_KEY);
        }
    }
    return STATUS_OK;
}

void streams_fini(struct stream_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        stream_destroy(set->streams[i]);
    }
    free(set->streams);
    free(set->accounts);
    *set = (struct stream_set){0};
}
