/*
 * query.c - one argument after another, each with a sentence that says what it must be.
 */
#include "http/query.h"

#define OFFSET_MAX    ((UINT64_C(1) << 53) - 1) /* as in messages */
#define OFFSET_DIGITS 16
#define SHOWN_BYTES   64 /* of what a client wrote, in a sentence */

static const struct {
    const char *name;
    enum http_argument argument;
} arguments[] = {
    {"ack", ARGUMENT_ACK},     {"producer", ARGUMENT_PRODUCER}, {"since", ARGUMENT_SINCE},
    {"epoch", ARGUMENT_EPOCH}, {"last", ARGUMENT_LAST},         {"limit", ARGUMENT_LIMIT},
    {"token", ARGUMENT_TOKEN},
};

void http_query_init(struct http_query *query)
{
    *query = (struct http_query){.ack = ACK_DURABLE, .limit = PAGE_EVENTS_DEFAULT};
}

static struct span shown(struct span text)
{
    return span_of(text.data, text.size < SHOWN_BYTES ? text.size : SHOWN_BYTES);
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Digits and nothing else: no sign, no point, no exponent. */
static bool read_number(struct span text, uint64_t *out)
{
    if (text.size == 0 || text.size > OFFSET_DIGITS) {
        return false;
    }
    *out = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        *out = *out * 10 + (text.data[i] - '0');
    }
    return *out <= OFFSET_MAX;
}

static enum status take_offset(const char *name, struct span text, uint64_t *out,
                               struct problem *problem)
{
    if (read_number(text, out)) {
        return STATUS_OK;
    }
    return problem_set(problem, STATUS_MALFORMED,
                       "`%s` must be a whole number from 0 to 2^53-1, got \"%.*s\"", name,
                       SPAN_PRINT(shown(text)));
}

static enum status take_limit(struct span text, uint64_t *out, struct problem *problem)
{
    if (read_number(text, out) && *out >= 1 && *out <= PAGE_EVENTS_MAX) {
        return STATUS_OK;
    }
    return problem_set(problem, STATUS_MALFORMED,
                       "`limit` must be a number from 1 to %d, got "
                       "\"%.*s\"",
                       PAGE_EVENTS_MAX, SPAN_PRINT(shown(text)));
}

static enum status take_ack(struct span text, enum ack_level *out, struct problem *problem)
{
    static const char *const words[] = {
        [ACK_DURABLE] = "durable", [ACK_COMMITTED] = "committed", [ACK_NONE] = "none"};
    for (unsigned ack = 0; ack < sizeof words / sizeof words[0]; ack++) {
        if (span_is(text, words[ack])) {
            *out = ack;
            return STATUS_OK;
        }
    }
    return problem_set(problem, STATUS_MALFORMED,
                       "`ack` must be durable, committed or none, got \"%.*s\"",
                       SPAN_PRINT(shown(text)));
}

static enum status take_producer(struct http_query *query, struct span text,
                                 struct problem *problem)
{
    if (text.size == 0 || text.size > sizeof query->producer || !utf8_valid(text)) {
        return problem_set(problem, STATUS_MALFORMED, "`producer` must be 1 to %d bytes of UTF-8",
                           PRODUCER_BYTES_MAX);
    }
    memcpy(query->producer, text.data, text.size);
    query->producer_bytes = text.size;
    return STATUS_OK;
}

static enum status take_epoch(struct http_query *query, struct span text, struct problem *problem)
{
    if (text.size == 0 || text.size > sizeof query->epoch) {
        return problem_set(problem, STATUS_MALFORMED, "`epoch` must be 1 to %d bytes",
                           EPOCH_BYTES_MAX);
    }
    memcpy(query->epoch, text.data, text.size);
    query->epoch_bytes = text.size;
    return STATUS_OK;
}

static enum status take_value(struct http_query *query, enum http_argument argument,
                              struct span text, struct problem *problem)
{
    switch (argument) {
    case ARGUMENT_ACK:
        return take_ack(text, &query->ack, problem);
    case ARGUMENT_PRODUCER:
        return take_producer(query, text, problem);
    case ARGUMENT_SINCE:
        return take_offset("since", text, &query->since, problem);
    case ARGUMENT_EPOCH:
        return take_epoch(query, text, problem);
    case ARGUMENT_LAST:
        return take_offset("last", text, &query->last, problem);
    case ARGUMENT_LIMIT:
        return take_limit(text, &query->limit, problem);
    case ARGUMENT_TOKEN:
        break;
    }
    return STATUS_OK;
}

/* ---- arguments ------------------------------------------------------------------------------- */

enum status http_query_take(struct http_query *query, unsigned allowed, struct span argument,
                            struct problem *problem)
{
    const uint8_t *equals = memchr(argument.data, '=', argument.size);
    size_t name_bytes = equals == NULL ? argument.size : (size_t)(equals - argument.data);
    struct span name = span_of(argument.data, name_bytes);
    struct span value = span_of(argument.data + name_bytes, argument.size - name_bytes);
    if (equals != NULL) {
        value = span_of(value.data + 1, value.size - 1);
    }
    size_t i = 0;
    while (i < sizeof arguments / sizeof arguments[0] && !span_is(name, arguments[i].name)) {
        i++;
    }
    if (i == sizeof arguments / sizeof arguments[0] || (arguments[i].argument & allowed) == 0) {
        return problem_set(problem, STATUS_MALFORMED, "this request has no argument `%.*s`",
                           SPAN_PRINT(shown(name)));
    }
    if ((query->has & arguments[i].argument) != 0) {
        return problem_set(problem, STATUS_MALFORMED, "`%s` is there twice", arguments[i].name);
    }
    query->has |= arguments[i].argument;
    return take_value(query, arguments[i].argument, value, problem);
}

enum status http_query_take_last_event_id(struct http_query *query, struct span value,
                                          struct problem *problem)
{
    const uint8_t *colon = value.size == 0 ? NULL : memchr(value.data, ':', value.size);
    struct span offset = value;
    query->has &= ~(unsigned)(ARGUMENT_LAST | ARGUMENT_EPOCH);
    query->has |= ARGUMENT_SINCE;
    if (colon != NULL) {
        size_t epoch_bytes = (size_t)(colon - value.data);
        offset = span_of(colon + 1, value.size - epoch_bytes - 1);
        query->has |= ARGUMENT_EPOCH;
        enum status status = take_epoch(query, span_of(value.data, epoch_bytes), problem);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return take_offset("Last-Event-ID", offset, &query->since, problem);
}

enum status http_query_judge(const struct http_query *query, struct problem *problem)
{
    if ((query->has & ARGUMENT_SINCE) != 0 && (query->has & ARGUMENT_LAST) != 0) {
        return problem_set(problem, STATUS_MALFORMED,
                           "`since` resumes and `last` asks for recent history: only one of them");
    }
    if ((query->has & ARGUMENT_EPOCH) != 0 && (query->has & ARGUMENT_SINCE) == 0) {
        return problem_set(problem, STATUS_MALFORMED,
                           "`epoch` says whose offset `since` is: it needs `since`");
    }
    if ((query->has & ARGUMENT_LAST) != 0 && query->last > PAGE_EVENTS_MAX) {
        return problem_set(problem, STATUS_MALFORMED,
                           "`last` must be a number from 0 to %d, as `limit`", PAGE_EVENTS_MAX);
    }
    return STATUS_OK;
}
