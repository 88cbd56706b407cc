/*
 * tail.c - `penstock tail`: the events of a channel on standard output, a line each.
 *
 * It remembers the offset of the last event, and the epoch that the offset belongs to. After a lost
 * connection it subscribes with both, and so misses nothing that the server still has; what it does
 * not have any more comes as a gap, on standard error.
 */
#include "link.h"
#include "options.h"
#include "progress.h"
#include "reply.h"
#include "signals.h"

#include "penstock/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SUBSCRIBE_ID "1"
#define PAUSE_MS_MAX 60000

struct tail {
    const char *channel, *url_text, *token_file;
    char epoch[UUID_TEXT_BYTES + 1]; /* of `since`; "": the server's own */
    bool has_since, has_last, is_raw;
    uint64_t since, last, count; /* count 0: no end */
    unsigned wait_s;

    struct url url;
    struct link *link;
    struct progress progress;
    bool wants_subscribe;
    int64_t retry_us; /* monotonic: subscribes again then; 0: it was not told to wait */
    uint64_t printed;
    int exit_code;
};

static const char HELP[] =
    "usage: penstock tail CHANNEL [OPTION…]\n"
    "\n"
    "Prints the channel's events as they commit, one line each: {\"offset\",\"stream\",\"data\"}.\n"
    "\n"
    "  --url URL         the server (default " DEFAULT_URL "; wss:// with TLS)\n"
    "  --token-file FILE the token for it (default: PENSTOCK_TOKEN in the environment)\n"
    "  --since OFFSET    begins behind this offset\n"
    "  --epoch EPOCH     the history that OFFSET belongs to (default: the server's present one)\n"
    "  --last N          begins with the last N events\n"
    "  --count N         ends after N events\n"
    "  --json            prints the server's messages as they are, a line each\n"
    "  --wait SECONDS    gives up when there was no connection for so long (default 60; 0: never)\n"
    "\n"
    "After a lost connection it goes on behind the last event, with the token that --token-file\n"
    "has by then; one that is late is waited for like the server. What the server no longer has\n"
    "is reported on standard error.\n"
    "\n"
    "Exit codes: 0 --count events were printed, or interrupted without --count; 1 refused, the\n"
    "server stayed away, or an event could not be written; 2 wrong usage; 130 interrupted before\n"
    "--count.\n";

/* ---- arguments ------------------------------------------------------------------------------- */

static bool read_epoch(const char *text, struct tail *out)
{
    uint8_t uuid[UUID_BYTES];
    if (!uuid_parse(span_string(text), uuid)) {
        fprintf(stderr, "penstock: --epoch \"%s\": give the uuid that `welcome` names\n", text);
        return false;
    }
    uuid_format(uuid, out->epoch);
    return true;
}

static bool read_option(int option, const char *text, void *owner)
{
    struct tail *out = owner;
    uint64_t number = 0;
    bool ok;
    switch (option) {
    case 'u':
        out->url_text = text;
        return true;
    case 't':
        out->token_file = text;
        return true;
    case 's':
        out->has_since = true;
        return option_number("since", text, 0, (UINT64_C(1) << 53) - 1, &out->since);
    case 'e':
        return read_epoch(text, out);
    case 'l':
        out->has_last = true;
        return option_number("last", text, 0, UINT32_MAX, &out->last);
    case 'c':
        return option_number("count", text, 1, UINT64_MAX, &out->count);
    case 'j':
        out->is_raw = true;
        return true;
    case 'w':
        ok = option_number("wait", text, 0, 86400, &number);
        out->wait_s = (unsigned)number;
        return ok;
    default:
        return false;
    }
}

static bool read_names(int count, char **names, void *owner)
{
    struct tail *tail = owner;
    const char *wrong = NULL;
    tail->channel = count > 0 ? names[0] : "";
    if (count != 1) {
        wrong = count < 1 ? "the channel is missing" : "give one channel";
    } else if (tail->has_since && tail->has_last) {
        wrong = "give --since or --last, not both";
    } else if (tail->epoch[0] != '\0' && !tail->has_since) {
        wrong = "--epoch goes with --since";
    } else if (tail->channel[0] == '\0' || strlen(tail->channel) > CHANNEL_BYTES_MAX ||
               !utf8_valid(span_string(tail->channel))) {
        wrong = "a channel's name has 1 to 200 bytes of UTF-8";
    }
    if (wrong != NULL) {
        fprintf(stderr, "penstock: tail: %s; `penstock tail --help` tells more\n", wrong);
    }
    return wrong == NULL;
}

static bool read_arguments(int argc, char **argv, struct tail *out, int *out_exit)
{
    static const struct option known[] = {
        {"url", required_argument, NULL, 'u'},   {"token-file", required_argument, NULL, 't'},
        {"since", required_argument, NULL, 's'}, {"epoch", required_argument, NULL, 'e'},
        {"last", required_argument, NULL, 'l'},  {"count", required_argument, NULL, 'c'},
        {"json", no_argument, NULL, 'j'},        {"wait", required_argument, NULL, 'w'},
        {"help", no_argument, NULL, 'h'},        {0},
    };
    static const struct options options = {"penstock tail", HELP, known, read_option, read_names};
    return options_read(&options, argc, argv, out, out_exit);
}

/* ---- what the server says -------------------------------------------------------------------- */

static void end(struct tail *tail, int exit_code)
{
    tail->exit_code = exit_code;
    link_stop(tail->link);
}

/* What was not written was not printed, even if the last event was. A reader that has left
 * (`| head`) knows what it did: it is not told. */
static void check_written(struct tail *tail, bool is_written)
{
    if (is_written || tail->exit_code > CLIENT_DONE) {
        return;
    }
    if (errno != EPIPE) {
        progress_say(&tail->progress, "cannot write: %s", strerror(errno));
    }
    clearerr(stdout); /* it is told: main() need not */
    end(tail, CLIENT_FAILED);
}

static void print_line(struct tail *tail, struct span line)
{
    bool is_written = fwrite(line.data, 1, line.size, stdout) == line.size;
    check_written(tail, is_written && putchar('\n') != EOF);
}

static bool read_offset(const struct value *event, uint64_t *out)
{
    struct map_cursor cursor;
    struct span name;
    struct value value;
    int64_t offset;
    if (event->kind != VALUE_MAP) {
        return false;
    }
    map_begin(event, &cursor);
    while (map_next(&cursor, &name, &value)) {
        if (span_is(name, "offset") && value_int64(&value, &offset) && offset > 0) {
            *out = (uint64_t)offset;
            return true;
        }
    }
    return false;
}

static void take_events(struct tail *tail, const struct reply *reply)
{
    struct array_cursor cursor;
    struct value event;
    if (reply->events.kind != VALUE_ARRAY) {
        return;
    }
    array_begin(&reply->events, &cursor);
    while (tail->exit_code < 0 && array_next(&cursor, &event)) {
        uint64_t offset;
        if (!read_offset(&event, &offset) || (tail->has_since && offset <= tail->since)) {
            continue;
        }
        tail->since = offset;
        tail->has_since = true;
        if (!tail->is_raw) {
            print_line(tail, event.raw);
        }
        if (++tail->printed == tail->count && tail->exit_code < 0) {
            end(tail, CLIENT_DONE);
        }
    }
}

static void take_subscribed(struct tail *tail, const struct reply *reply)
{
    if (tail->has_since && !reply->recovered) {
        progress_say(&tail->progress, "what came behind offset %llu is not all there any more%s%s",
                     (unsigned long long)tail->since, reply->reason[0] != '\0' ? ": " : "",
                     reply->reason);
    }
    memcpy(tail->epoch, reply->epoch, sizeof tail->epoch);
    tail->since = reply->offset; /* ours, unless nobody can have seen that one yet */
    tail->has_since = true;
    tail->has_last = false;
}

static void take_gap(struct tail *tail, const struct reply *reply)
{
    progress_say(&tail->progress, "gap: events %llu to %llu are past",
                 (unsigned long long)reply->from, (unsigned long long)reply->to);
    tail->since = reply->to; /* lower, when the database lost commits: offsets come again */
}

/* All that we ask for is to be subscribed. A server that cannot do that yet (it has just started,
 * say) names a pause. */
static void take_error(struct tail *tail, const struct reply *reply)
{
    progress_say(&tail->progress, "%s: %s", reply->code, reply->message);
    if (reply->retry_after_ms == 0) {
        end(tail, CLIENT_FAILED);
        return;
    }
    uint64_t pause_ms = reply->retry_after_ms < PAUSE_MS_MAX ? reply->retry_after_ms : PAUSE_MS_MAX;
    tail->retry_us = clock_monotonic_us() + (int64_t)pause_ms * 1000;
}

/* We never unsubscribe: the server's rules took the channel away, and would refuse it again. */
static void take_unsubscribed(struct tail *tail, const struct reply *reply)
{
    progress_say(&tail->progress, "the server ended the subscription%s%s",
                 reply->reason[0] != '\0' ? ": " : "", reply->reason);
    end(tail, CLIENT_FAILED);
}

/* The channel was quiet: what lies up to here need not be there any more at the next connection. */
static void take_position(struct tail *tail, const struct reply *reply)
{
    tail->since = reply->offset > tail->since ? reply->offset : tail->since;
}

static void on_message(void *owner, struct span json)
{
    struct tail *tail = owner;
    struct reply reply;
    if (!reply_read(json, &reply)) {
        progress_say(&tail->progress, "the server sent a message that is no map");
        end(tail, CLIENT_FAILED);
        return;
    }
    if (tail->is_raw && tail->exit_code < 0) {
        print_line(tail, json);
    }
    if (strcmp(reply.op, "welcome") == 0) {
        tail->wants_subscribe = true;
        if (tail->epoch[0] == '\0') {
            memcpy(tail->epoch, reply.epoch, sizeof tail->epoch);
        }
        link_wake(tail->link);
    } else if (strcmp(reply.op, "events") == 0) {
        take_events(tail, &reply);
    } else if (strcmp(reply.op, "subscribed") == 0) {
        take_subscribed(tail, &reply);
    } else if (strcmp(reply.op, "gap") == 0) {
        take_gap(tail, &reply);
    } else if (strcmp(reply.op, "position") == 0 && tail->has_since) {
        take_position(tail, &reply);
    } else if (strcmp(reply.op, "unsubscribed") == 0) {
        take_unsubscribed(tail, &reply);
    } else if (strcmp(reply.op, "error") == 0) {
        take_error(tail, &reply);
    }
    check_written(tail, fflush(stdout) == 0);
}

/* ---- the link's other events ----------------------------------------------------------------- */

static void on_up(void *owner)
{
    (void)owner; /* the server speaks first */
}

static void on_down(void *owner, const char *reason)
{
    struct tail *tail = owner;
    tail->wants_subscribe = false;
    tail->retry_us = 0;
    if (reason != NULL) {
        progress_say(&tail->progress, "no connection to %s: %s; trying again", tail->url_text,
                     reason);
    }
}

static void write_number(struct writer *out, const char *name, uint64_t number)
{
    char text[64];
    int size = snprintf(text, sizeof text, ",\"%s\":%llu", name, (unsigned long long)number);
    writer_bytes(out, text, (size_t)size);
}

static bool on_write(void *owner, struct writer *out)
{
    struct tail *tail = owner;
    if (!tail->wants_subscribe) {
        return false;
    }
    tail->wants_subscribe = false;
    writer_string(out, "{\"op\":\"subscribe\",\"id\":" SUBSCRIBE_ID ",\"channel\":");
    json_string(out, span_string(tail->channel));
    if (tail->has_since) {
        write_number(out, "since", tail->since);
        writer_string(out, ",\"epoch\":");
        json_string(out, span_string(tail->epoch));
    } else if (tail->has_last) {
        write_number(out, "last", tail->last);
    }
    writer_u8(out, '}');
    return true;
}

static void on_tick(void *owner)
{
    struct tail *tail = owner;
    if (signals_came() && tail->exit_code < 0) {
        end(tail, tail->count == 0 ? CLIENT_DONE : CLIENT_INTERRUPTED);
    }
    if (tail->retry_us != 0 && clock_monotonic_us() >= tail->retry_us) {
        tail->retry_us = 0;
        tail->wants_subscribe = true;
        link_wake(tail->link);
    }
}

/* ---- the command ----------------------------------------------------------------------------- */

static int run_tail(struct tail *tail)
{
    struct problem problem;
    struct link_options options = {.url = &tail->url,
                                   .token_file = tail->token_file,
                                   .encoding = ENCODING_JSON,
                                   .wait_s = tail->wait_s,
                                   .on_up = on_up,
                                   .on_down = on_down,
                                   .on_message = on_message,
                                   .on_write = on_write,
                                   .on_tick = on_tick,
                                   .owner = tail};
    if (url_read(tail->url_text, NULL, &tail->url, &problem) != STATUS_OK) {
        progress_say(&tail->progress, "%s", problem.text);
        return CLIENT_USAGE;
    }
    signals_catch();
    if (link_open(&options, &tail->link, &problem) != STATUS_OK) {
        progress_say(&tail->progress, "%s", problem.text);
        return CLIENT_FAILED;
    }
    if (link_run(tail->link, &problem) != STATUS_OK) {
        progress_say(&tail->progress, "gave up: %s", problem.text);
        tail->exit_code = CLIENT_FAILED;
    }
    link_close(tail->link);
    return tail->exit_code;
}

int client_tail_command(int argc, char **argv)
{
    struct tail tail = {.url_text = DEFAULT_URL, .wait_s = 60, .exit_code = -1};
    int exit_code;
    if (read_arguments(argc, argv, &tail, &exit_code)) {
        progress_begin(&tail.progress, 0);
        exit_code = run_tail(&tail);
    }
    return exit_code;
}
