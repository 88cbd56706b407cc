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

#define STREAM_SETS_MAX 16

/* `set = {"userId = claim sub"}`: this column is filled from this claim of the publisher's token.
 */
struct set_settings {
    char *column, *claim;
};

struct stream_settings {
    char *name, *table;
    char *channels[EVENT_CHANNELS_MAX];
    size_t channel_count;
    struct set_settings sets[STREAM_SETS_MAX];
    size_t set_count;
};

/* All strings are owned; sizes in bytes, times as named. */
struct settings {
    char *listen;                    /* "host:port" */
    bool trusted_network;            /* allow a listen address that is not loopback */
    char *trusted_proxy;             /* networks whose word on a client's address is taken; "" */
    bool proxy_protocol;             /* they begin each connection with a PROXY header */
    char *tls_certificate, *tls_key; /* "": both or none */
    char *hosts;                     /* "gate.example, …" */
    char *origins;                   /* "https://a.example, …" */
    char *auth_key, *auth_key_file, *auth_jwks_url; /* all "": nobody is asked for a token */
    char *auth_jwks_authority;
    uint64_t auth_jwks_refresh_s;
    char *auth_issuer, *auth_audience; /* "": any */
    uint64_t auth_leeway_s, auth_grace_s, auth_deadline_s;
    char *auth_publish_claim, *auth_subscribe_claim, *auth_operator_claim;
    char *allow_publish, *allow_subscribe; /* templates between commas */
    char *metrics_token_file;
    char *database_url, *listen_url; /* listen_url "": same as database_url */
    char *data_dir;
    char *node;            /* "": drawn at the first start and kept in data_dir */
    uint64_t edge_threads; /* 0: 1 for up to 2 cores, else half the cores */
    uint64_t lanes;
    int loop; /* enum loop_engine */
    uint64_t message_bytes, message_events, message_frames;
    uint64_t channels;    /* per connection */
    uint64_t connections; /* per edge thread */
    uint64_t inflight;    /* unanswered publishes per connection */
    /* Rates; 0: any. Of each connection, each address, each user. */
    uint64_t messages_per_s, events_per_s, bytes_per_s;
    uint64_t address_connections, address_connects_per_s;
    uint64_t address_messages_per_s, address_events_per_s, address_bytes_per_s;
    uint64_t user_connections;
    uint64_t user_messages_per_s, user_events_per_s, user_bytes_per_s;
    uint64_t burst_s;        /* of each rate, may come at once */
    uint64_t address_prefix; /* bits of an IPv6 address that stand for one client */
    uint64_t receive_bytes;  /* per edge thread: memory for messages that come in pieces */
    uint64_t send_bytes;     /* per connection: answers waiting for a slow client */
    uint64_t poison_hold_ms; /* 0: who sends what the database refuses is not slowed down */
    uint64_t http_wait_ms;   /* for what a request over HTTP is about, before it is answered */
    uint64_t heartbeat_s, handshake_s, idle_s, drain_ms; /* idle_s 0: no limit */
    char *presence; /* names and patterns of channels; see below */
    uint64_t ring_bytes;
    uint64_t journal_segment_bytes, journal_bytes, lane_memory_bytes;
    bool salvage; /* start with what is whole of a damaged journal */
    uint64_t batch_rows, batch_bytes, prepared_rows;
    uint64_t window_bytes, history_bytes;
    uint64_t accounts; /* publishers of whom each lane keeps an account of their own */
    bool operator_pages;
    uint64_t connect_timeout_ms, statement_timeout_ms;
    uint64_t catalog_poll_ms; /* between two looks at the streams' tables */
    uint64_t table_grace_ms;  /* a table may be gone for so long before its events are refused */
    uint64_t retention_s;     /* how old a batch of the log may become; 0: any age */
    uint64_t retention_bytes; /* how large the log may become; 0: any size */
    int log_format;
    char *log_level; /* as log_levels_read() takes it */
    struct stream_settings streams[STREAMS_MAX];
    size_t stream_count;
};

/* Are clients asked who they are? */
static inline bool settings_ask_tokens(const struct settings *settings)
{
    return *settings->auth_key != '\0' || *settings->auth_key_file != '\0' ||
           *settings->auth_jwks_url != '\0';
}

static inline bool settings_have_tls(const struct settings *settings)
{
    return *settings->tls_certificate != '\0';
}

/* Is what clients say protected on its way to us? By our TLS, or by a proxy's in front of us. */
static inline bool settings_protect_transport(const struct settings *settings)
{
    return settings_have_tls(settings) || *settings->trusted_proxy != '\0';
}

/* Takes the first element off a list between commas, blanks around it cut. False: none is left. */
bool settings_list_next(const char **list, struct span *out);

/* Defaults, then `file` (NULL: none), then environment, then flags of the form --key=value or
 * --key value in argv[first …]. Fails with BAD_CONFIG, naming file and line, variable or flag. */
enum status settings_load(struct settings *out, const char *file, int argc, char **argv, int first,
                          struct problem *problem) must_use;
void settings_fini(struct settings *settings);
/* The stream of that name; NULL: none. */
const struct stream_settings *settings_stream(const struct settings *settings, const char *name);
/* Opens the log as `log_format` and `log_level` have it. */
void settings_open_log(const struct settings *settings);
/* Is presence on anywhere; is it on for this channel? */
bool settings_have_presence(const struct settings *settings);
bool settings_presence_is_on(const struct settings *settings, struct span channel);

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
