/*
 * config.h - every setting: one table with type, unit, default, bounds and help, from which the
 * file parser, environment, flags, `--help` and the reference page are made.
 *
 * Order of precedence: default < file < environment < flag. A key `batch_rows` is
 * `PENSTOCK_BATCH_ROWS` in the environment and `--batch-rows` as a flag. `database_url` also reads
 * DATABASE_URL. Unknown keys are errors with file and line.
 *
 * Thread: main loads; afterwards everybody reads. A reload makes other settings, which stages are
 * handed together with their streams (stream.h); those that the server began with stay as they are.
 */
#ifndef PENSTOCK_CONFIG_H
#define PENSTOCK_CONFIG_H

#include "penstock/base.h"
#include "penstock/loop.h"
#include "penstock/record.h"

#define STREAMS_MAX 64

struct stream_settings {
    char *name, *table;
    char *channels[EVENT_CHANNELS_MAX];
    size_t channel_count;
};

/* All strings are owned; sizes in bytes, times as named. */
struct settings {
    char *listen;                    /* "host:port" */
    bool trusted_network;            /* allow a listen address that is not loopback */
    char *database_url, *listen_url; /* listen_url "": same as database_url */
    char *data_dir;
    char *node;            /* "": drawn at the first start and kept in data_dir */
    uint64_t edge_threads; /* 0: 1 for up to 2 cores, else half the cores */
    uint64_t lanes;
    int loop; /* enum loop_engine */
    uint64_t message_bytes, message_events, message_frames;
    uint64_t channels;       /* per connection */
    uint64_t connections;    /* per edge thread */
    uint64_t inflight;       /* unanswered publishes per connection */
    uint64_t receive_bytes;  /* per edge thread: memory for messages that come in pieces */
    uint64_t send_bytes;     /* per connection: answers waiting for a slow client */
    uint64_t poison_hold_ms; /* 0: who sends what the database refuses is not slowed down */
    uint64_t heartbeat_s, handshake_s, drain_ms;
    uint64_t ring_bytes;
    uint64_t journal_segment_bytes, journal_bytes, lane_memory_bytes;
    bool salvage; /* start with what is whole of a damaged journal */
    uint64_t batch_rows, batch_bytes, prepared_rows;
    uint64_t window_bytes, history_bytes;
    uint64_t connect_timeout_ms, statement_timeout_ms;
    uint64_t catalog_poll_ms; /* between two looks at the streams' tables */
    uint64_t table_grace_ms;  /* a table may be gone for so long before its events are refused */
    int log_format, log_level;
    struct stream_settings streams[STREAMS_MAX];
    size_t stream_count;
};

/* Defaults, then `file` (NULL: none), then environment, then flags of the form --key=value or
 * --key value in argv[first …]. Fails with BAD_CONFIG, naming file and line, variable or flag. */
enum status settings_load(struct settings *out, const char *file, int argc, char **argv, int first,
                          struct problem *problem) must_use;
void settings_fini(struct settings *settings);

/* What became of a configuration that was read again: lists for a person, without secrets. */
struct settings_news {
    char changed[700]; /* "batch_rows 10000 → 5000, log_level info → debug" */
    char kept[300];    /* "listen, lanes": these take a restart */
};
/* Makes of `next`, just loaded, what the server may go on with instead of `now`: keys that cannot
 * change while it runs get the value of `now`. Streams are the caller's to compare. BAD_CONFIG when
 * the result contradicts itself. */
enum status settings_renew(const struct settings *now, struct settings *next,
                           struct settings_news *news, struct problem *problem) must_use;

/* For --help and the reference page: one block a key. */
void settings_print_help(void *stdio_file);
void settings_print_reference(void *stdio_file); /* a commented configuration file */
void settings_print_manual(void *stdio_file);    /* penstock.conf(5), as roff source */

#endif
