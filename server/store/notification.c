/*
 * notification.c - see notification.h.
 *
 * Both are written by this server (commit.sql, tail.c), but any role may NOTIFY, and whoever owns
 * the table may write into it: what does not fit is refused, and nothing is taken for granted. Of a
 * notification only the offsets are used, to learn that the log should be read: a forged one costs
 * a query.
 */
#include "notification.h"

#include "penstock/wire.h"

#define OFFSET_MAX (INT64_C(1) << 53) /* the protocol's */

/* Channel names and the stream's, with their escapes resolved. */
#define NAME_SCRATCH_BYTES (EVENT_CHANNELS_MAX * (CHANNEL_BYTES_MAX + 1) + 2 * NAME_BYTES_MAX)

struct log_event {
    uint64_t offset;
    struct span stream;
    struct push_view push;
    uint8_t scratch[NAME_SCRATCH_BYTES];
};

/* ---- values ---------------------------------------------------------------------------------- */

static bool read_natural(const struct value *value, uint64_t *out)
{
    int64_t number;
    if (!value_int64(value, &number) || number < 0 || number > OFFSET_MAX) {
        return false;
    }
    *out = (uint64_t)number;
    return true;
}

static bool read_text(const struct value *value, struct writer *scratch, struct span *out)
{
    return value->kind == VALUE_STRING && (value->flaws & (FLAW_NUL | FLAW_LONE_SURROGATE)) == 0 &&
           value_text_slice(value, scratch, out);
}

static bool read_channels(const struct value *value, struct writer *scratch, struct push_view *out)
{
    struct array_cursor cursor;
    struct value channel;
    if (value->kind != VALUE_ARRAY) {
        return false;
    }
    array_begin(value, &cursor);
    while (array_next(&cursor, &channel)) {
        if (out->channel_count == EVENT_CHANNELS_MAX ||
            !read_text(&channel, scratch, &out->channels[out->channel_count]) ||
            out->channels[out->channel_count].size > CHANNEL_BYTES_MAX) {
            return false;
        }
        out->channel_count++;
    }
    return true;
}

/* ---- events ---------------------------------------------------------------------------------- */

static bool read_event(const struct value *value, uint64_t first, struct log_event *out)
{
    struct map_cursor cursor;
    struct span name;
    struct value field;
    bool has_offset = false, has_stream = false, has_data = false, has_channels = false;
    struct writer scratch = writer_of(out->scratch, sizeof out->scratch);
    out->push.channel_count = 0;
    if (value->kind != VALUE_MAP) {
        return false;
    }
    map_begin(value, &cursor);
    while (map_next(&cursor, &name, &field)) {
        bool fits = true;
        if (span_is(name, "i")) {
            fits = has_offset = read_natural(&field, &out->offset);
            out->offset += first;
        } else if (span_is(name, "stream")) {
            fits = has_stream =
                read_text(&field, &scratch, &out->stream) && out->stream.size <= NAME_BYTES_MAX;
        } else if (span_is(name, "channels") && !has_channels) {
            fits = has_channels = read_channels(&field, &scratch, &out->push);
        } else if (span_is(name, "data")) {
            fits = has_data = field.kind == VALUE_MAP;
            out->push.data = field.raw;
        }
        if (!fits) {
            return false;
        }
    }
    return has_offset && has_stream && has_data && has_channels;
}

/* Room for all events. False when one of them is not as it should be, or out of order. */
static bool measure(const struct value *events, uint64_t first, uint64_t last, size_t *out_size)
{
    struct array_cursor cursor;
    struct value value;
    struct log_event event;
    uint64_t next = first;
    size_t size = 0;
    array_begin(events, &cursor);
    while (array_next(&cursor, &value)) {
        if (!read_event(&value, first, &event) || event.offset < next || event.offset > last) {
            return false;
        }
        next = event.offset + 1;
        size += window_entry_bytes(event.stream, &event.push);
    }
    *out_size = size;
    return true;
}

static void fill(struct window_batch *batch, const struct value *events)
{
    struct array_cursor cursor;
    struct value value;
    struct log_event event;
    array_begin(events, &cursor);
    while (array_next(&cursor, &value)) {
        if (read_event(&value, batch->first, &event)) {
            window_batch_add(batch, event.offset, event.stream, &event.push);
        }
    }
}

static enum status parse_events(struct span events, uint64_t first, uint64_t last,
                                struct value *out, size_t *out_size, struct problem *problem)
{
    enum status status = json_parse(events, out, problem);
    if (status == STATUS_OK && out->kind != VALUE_ARRAY) {
        return problem_set(problem, STATUS_MALFORMED, "penstock.payload holds no JSON array");
    }
    if (status == STATUS_OK && !measure(out, first, last, out_size)) {
        return problem_set(problem, STATUS_MALFORMED,
                           "the log's events %llu to %llu are not as Penstock writes them",
                           (unsigned long long)first, (unsigned long long)last);
    }
    return status;
}

enum status log_batch_read(struct span events, uint64_t first, uint64_t last, int64_t committed_us,
                           struct window_batch **out, struct problem *problem)
{
    struct value value;
    size_t size = 0;
    if (first == 0 || last < first) {
        return problem_set(problem, STATUS_MALFORMED, "a batch of the log ends before it begins");
    }
    if (events.size > 0) {
        enum status status = parse_events(events, first, last, &value, &size, problem);
        if (status != STATUS_OK) {
            return status;
        }
    }
    *out = window_batch_create(first, last, size);
    if (*out == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for %zu bytes of the log", size);
    }
    (*out)->committed_us = committed_us;
    if (size > 0) {
        fill(*out, &value);
    }
    return STATUS_OK;
}

/* ---- notifications --------------------------------------------------------------------------- */

enum status notification_read(struct span payload, struct notification *out,
                              struct problem *problem)
{
    struct value whole, field;
    struct map_cursor cursor;
    struct span name;
    uint64_t version = 0, count = 0;
    *out = (struct notification){0};
    enum status status = json_parse(payload, &whole, problem);
    if (status != STATUS_OK) {
        return status;
    }
    bool fits = whole.kind == VALUE_MAP;
    if (fits) {
        map_begin(&whole, &cursor);
    }
    while (fits && map_next(&cursor, &name, &field)) {
        if (span_is(name, "v")) {
            fits = read_natural(&field, &version);
        } else if (span_is(name, "first")) {
            fits = read_natural(&field, &out->first);
        } else if (span_is(name, "count")) {
            fits = read_natural(&field, &count);
        } else if (span_is(name, "node")) {
            fits = field.kind == VALUE_STRING;
            out->node = field.raw;
        }
    }
    out->last = out->first + count - 1;
    if (!fits || version != 1 || out->first == 0 || count == 0 || out->last > OFFSET_MAX) {
        return problem_set(problem, STATUS_MALFORMED,
                           "a notification on the channel penstock is none of Penstock's");
    }
    return STATUS_OK;
}
