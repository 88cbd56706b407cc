/* streams.c - see streams.h. */
#include "streams.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define DIFFERENCE_BYTES 600 /* of a log line; what is longer is cut */
#define COLUMNS_BYTES    200 /* the same of a list of columns */

struct watched_table {
    const struct stream_settings *settings; /* borrows */
    uint64_t fingerprint;                   /* of what was last read; 0: there was no table */
    struct table_description description;   /* the last one that could be used */
    int64_t troubled_since_us;              /* monotonic; 0: it can be used */
    struct problem trouble;                 /* why not */
    bool refused;                           /* its events are */
};

struct streams {
    const struct settings *settings; /* borrows */
    struct accounts *accounts;       /* borrows */
    struct watched_table tables[STREAMS_MAX];
    size_t count;
    bool changed; /* since the last set was made */
};

/* ---- one stream ------------------------------------------------------------------------------ */

static enum status create(const struct stream_settings *settings,
                          const struct table_description *table, struct stream **out,
                          struct problem *problem)
{
    struct span channels[EVENT_CHANNELS_MAX];
    for (size_t i = 0; i < settings->channel_count; i++) {
        channels[i] = span_string(settings->channels[i]);
    }
    struct span pinned[STREAM_SETS_MAX];
    for (size_t i = 0; i < settings->set_count; i++) {
        pinned[i] = span_string(settings->sets[i].column);
    }
    struct stream_options options = {
        .name = span_string(settings->name),
        .channels = channels,
        .channel_count = settings->channel_count,
        .pinned = pinned,
        .pinned_count = settings->set_count,
    };
    return stream_create(&options, table, out, problem);
}

enum status streams_load_one(struct store *store, const struct stream_settings *settings,
                             struct stream **out, struct problem *problem)
{
    struct table_description table = {0};
    enum status status = store_read_table(store, settings->table, &table, problem);
    if (status == STATUS_OK) {
        status = create(settings, &table, out, problem);
    }
    table_description_fini(&table);
    if (status != STATUS_OK) {
        problem_context(problem, "stream \"%s\"", settings->name);
    }
    return status;
}

bool streams_find_doubt(const struct stream *stream, const struct stream_settings *settings,
                        struct stream_doubt *out)
{
    if (!stream_tells_duplicates(stream)) {
        snprintf(out->detail, sizeof out->detail,
                 "at least once: its table has no key that events carry, so that an event sent "
                 "twice makes two rows");
        snprintf(out->mend, sizeof out->mend,
                 "add a PRIMARY KEY or a UNIQUE constraint on a uuid column that is NOT NULL");
        return true;
    }
    if (!stream_remakes_key(stream)) {
        return false;
    }
    uint8_t text[COLUMNS_BYTES];
    struct writer columns = writer_of(text, sizeof text);
    stream_write_remade(stream, &columns);
    struct span names = writer_span(&columns);
    snprintf(out->detail, sizeof out->detail,
             "at least once for events without %.*s: the key of table %s has more than the event's "
             "id, and what is left out of it is filled anew at each arrival, so that an event sent "
             "twice makes two rows even with an id of its own; publishers that send all of the key "
             "are exactly once already",
             SPAN_PRINT(names), settings->table);
    snprintf(out->mend, sizeof out->mend,
             "let publishers send %.*s too, the same each time an event is sent; or key the table "
             "by its id alone: a UNIQUE constraint on a uuid column that is NOT NULL is enough, "
             "though a partitioned table takes none without the columns it is partitioned by",
             SPAN_PRINT(names));
    return true;
}

/* ---- a table was read again ------------------------------------------------------------------ */

/* Takes the description, which makes this stream. */
static enum status adopt(struct streams *streams, struct watched_table *table,
                         struct table_description *read, const struct stream *after,
                         struct problem *problem)
{
    struct stream *before = NULL;
    enum status status = create(table->settings, &table->description, &before, problem);
    if (status != STATUS_OK) {
        return status; /* no memory: it was made of this before */
    }
    uint8_t text[DIFFERENCE_BYTES];
    struct writer difference = writer_of(text, sizeof text);
    bool differs = stream_difference(before, after, &difference) != STREAM_SAME;
    stream_destroy(before);
    if (differs) {
        log_info("catalog", "stream \"%s\": the table %s was altered: %.*s", table->settings->name,
                 table->settings->table, SPAN_PRINT(writer_span(&difference)));
    } else if (table->troubled_since_us != 0) {
        log_info("catalog", "stream \"%s\": the table %s can be used again", table->settings->name,
                 table->settings->table);
    }
    streams->changed = streams->changed || differs || table->refused;
    table_description_fini(&table->description);
    table->description = *read;
    *read = (struct table_description){0};
    table->troubled_since_us = 0;
    table->refused = false;
    return STATUS_OK;
}

/* The table is gone, or cannot be used as it is. */
static void note_trouble(struct streams *streams, struct watched_table *table, uint64_t grace_ms,
                         const struct problem *trouble)
{
    int64_t now = clock_monotonic_us();
    const char *name = table->settings->name;
    bool is_news = table->troubled_since_us == 0 || strcmp(table->trouble.text, trouble->text) != 0;
    if (table->troubled_since_us == 0) {
        table->troubled_since_us = now;
    }
    table->trouble = *trouble;
    bool refused = table->refused || now - table->troubled_since_us >= (int64_t)grace_ms * 1000;
    if (refused && (is_news || !table->refused)) {
        log_warn("catalog", "stream \"%s\" takes no events until this is mended: %s", name,
                 trouble->text);
        streams->changed = true;
    } else if (is_news) {
        log_warn("catalog",
                 "stream \"%s\": %s; its events are kept in the journal for now, and refused if "
                 "this lasts longer than %llu ms",
                 name, trouble->text, (unsigned long long)grace_ms);
    }
    table->refused = refused;
}

/* What only the present state of the database is to blame for fails the whole look. */
static bool is_about_table(enum status status)
{
    return status == STATUS_BAD_DATABASE || status == STATUS_BAD_CONFIG;
}

static enum status read_again(struct streams *streams, struct store *store,
                              struct watched_table *table, struct problem *problem)
{
    struct table_description read = {0};
    struct stream *after = NULL;
    uint64_t grace_ms = streams->settings->table_grace_ms;
    enum status status = store_read_table(store, table->settings->table, &read, problem);
    if (status == STATUS_OK) {
        grace_ms = 0; /* it is there: what is wrong with its shape does not pass by waiting */
        status = create(table->settings, &read, &after, problem);
    }
    if (status == STATUS_OK) {
        status = adopt(streams, table, &read, after, problem);
    } else if (is_about_table(status)) {
        note_trouble(streams, table, grace_ms, problem);
        problem_clear(problem);
        status = STATUS_OK;
    }
    stream_destroy(after);
    table_description_fini(&read);
    return status;
}

/* ---- all tables ------------------------------------------------------------------------------ */

static enum status ask_fingerprints(struct streams *streams, struct store *store,
                                    uint64_t out[STREAMS_MAX], struct problem *problem)
{
    const char *names[STREAMS_MAX];
    for (size_t i = 0; i < streams->count; i++) {
        names[i] = streams->tables[i].settings->table;
    }
    return store_fingerprint_tables(store, names, streams->count, out, problem);
}

enum status streams_look(struct streams *streams, struct store *store, bool *out_changed,
                         struct problem *problem)
{
    /* Asked first: what is altered behind it, even while tables are read, has another the next
     * time. */
    uint64_t fingerprints[STREAMS_MAX];
    enum status status = ask_fingerprints(streams, store, fingerprints, problem);
    for (size_t i = 0; i < streams->count && status == STATUS_OK; i++) {
        struct watched_table *table = &streams->tables[i];
        if (table->fingerprint == fingerprints[i] && table->troubled_since_us == 0) {
            continue;
        }
        status = read_again(streams, store, table, problem);
        if (status == STATUS_OK) {
            table->fingerprint = fingerprints[i];
        }
    }
    *out_changed = streams->changed;
    return status;
}

bool streams_are_troubled(const struct streams *streams)
{
    for (size_t i = 0; i < streams->count; i++) {
        if (streams->tables[i].troubled_since_us != 0) {
            return true;
        }
    }
    return false;
}

/* ---- the start ------------------------------------------------------------------------------- */

/* The stream is made only to see whether it can be. */
static enum status read_first(struct store *store, struct watched_table *table,
                              struct problem *problem)
{
    struct stream *stream = NULL;
    enum status status =
        store_read_table(store, table->settings->table, &table->description, problem);
    if (status == STATUS_OK) {
        status = create(table->settings, &table->description, &stream, problem);
    }
    struct stream_doubt doubt;
    if (status == STATUS_OK && streams_find_doubt(stream, table->settings, &doubt)) {
        log_warn("catalog", "stream \"%s\" is delivered %s; %s", table->settings->name,
                 doubt.detail, doubt.mend);
    }
    stream_destroy(stream);
    if (status != STATUS_OK) {
        problem_context(problem, "stream \"%s\"", table->settings->name);
    }
    return status;
}

static enum status read_all(struct streams *streams, struct store *store, struct problem *problem)
{
    uint64_t fingerprints[STREAMS_MAX];
    enum status status = ask_fingerprints(streams, store, fingerprints, problem);
    for (size_t i = 0; i < streams->count && status == STATUS_OK; i++) {
        streams->tables[i].fingerprint = fingerprints[i];
        status = read_first(store, &streams->tables[i], problem);
    }
    return status;
}

enum status streams_open(const struct settings *settings, struct accounts *accounts,
                         struct store *store, struct streams **out, struct problem *problem)
{
    if (settings->stream_count == 0) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "no stream is configured: add a section stream \"name\" { table = "
                           "\"Table\" } to the configuration file");
    }
    struct streams *streams = calloc(1, sizeof *streams);
    if (streams == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for %zu streams",
                           settings->stream_count);
    }
    streams->settings = settings;
    streams->accounts = accounts;
    streams->count = settings->stream_count;
    for (size_t i = 0; i < streams->count; i++) {
        streams->tables[i].settings = &settings->streams[i];
    }
    enum status status = read_all(streams, store, problem);
    if (status != STATUS_OK) {
        streams_close(streams);
        return status;
    }
    *out = streams;
    return STATUS_OK;
}

void streams_close(struct streams *streams)
{
    if (streams == NULL) {
        return;
    }
    for (size_t i = 0; i < streams->count; i++) {
        table_description_fini(&streams->tables[i].description);
    }
    free(streams);
}

void streams_follow(struct streams *streams, const struct settings *settings)
{
    streams->settings = settings;
    for (size_t i = 0; i < streams->count; i++) {
        for (size_t j = 0; j < settings->stream_count; j++) { /* perhaps in another order */
            if (strcmp(streams->tables[i].settings->name, settings->streams[j].name) == 0) {
                streams->tables[i].settings = &settings->streams[j];
                break;
            }
        }
    }
}

/* ---- sets ------------------------------------------------------------------------------------ */

static enum status add_stream(struct stream_set *set, struct accounts *accounts,
                              const struct watched_table *table, struct problem *problem)
{
    set->accounts[set->count] = accounts_find(accounts, table->settings->name);
    if (set->accounts[set->count] == NULL) {
        return problem_set(
            problem, STATUS_NO_MEMORY,
            "no account for stream \"%s\": there is no memory, or %d names were used "
            "since the start, which a restart forgets",
            table->settings->name, ACCOUNTS_MAX);
    }
    if (table->refused) {
        set->refusals[set->count] = strdup(table->trouble.text);
        if (set->refusals[set->count] == NULL) {
            return problem_set(problem, STATUS_NO_MEMORY, "no memory for the streams");
        }
    }
    enum status status =
        create(table->settings, &table->description, &set->streams[set->count], problem);
    set->count++;
    return status;
}

enum status streams_make(struct streams *streams, struct stream_set **out, struct problem *problem)
{
    static _Atomic uint64_t serial;
    struct stream_set *set = calloc(1, sizeof *set);
    if (set == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the streams");
    }
    set->serial = atomic_fetch_add(&serial, 1) + 1;
    set->settings = streams->settings;
    set->accounts = calloc(streams->count, sizeof(struct stream_account *));
    set->streams = calloc(streams->count, sizeof(struct stream *));
    set->refusals = calloc(streams->count, sizeof(char *));
    enum status status = set->accounts != NULL && set->streams != NULL && set->refusals != NULL
                             ? STATUS_OK
                             : problem_set(problem, STATUS_NO_MEMORY, "no memory for the streams");
    for (size_t i = 0; i < streams->count && status == STATUS_OK; i++) {
        status = add_stream(set, streams->accounts, &streams->tables[i], problem);
    }
    if (status != STATUS_OK) {
        streams_free(set);
        return status;
    }
    streams->changed = false;
    *out = set;
    return STATUS_OK;
}

void streams_free(struct stream_set *set)
{
    if (set == NULL) {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        stream_destroy(set->streams[i]);
        free(set->refusals[i]);
    }
    free(set->accounts);
    free(set->streams);
    free(set->refusals);
    free(set);
}
