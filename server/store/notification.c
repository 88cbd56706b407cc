/*
 * notification.c - see notification.h.
 *
 * Both forms are written by this server (tail.c, schema.sql), but anybody may NOTIFY, and anybody
 * who owns the table may write into it: whatever does not fit is refused, and asserted of nothing.
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
        if (span_is(name, "offset")) {
            fits = has_offset = read_natural(&field, &out->offset);
        } else if (span_is(name, "i")) {
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

/* Room for all events; 0 when one of them is not as it should be, or out of order. */
static size_t measure(const struct value *events, uint64_t first, uint64_t last)
{
    struct array_cursor cursor;
    struct value value;
    struct log_event event;
    uint64_t next = first;
    size_t size = 0;
    array_begin(events, &cursor);
    while (array_next(&cursor, &value)) {
        if (!read_event(&value, first, &event) || event.offset < next || event.offset > last) {
            return 0;
        }
        next = event.offset + 1;
        size += window_entry_bytes(event.stream, &event.push);
    }
    return size;
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

static bool is_empty(const struct value *events)
{
    struct array_cursor cursor;
    struct value value;
    array_begin(events, &cursor);
    return !array_next(&cursor, &value);
}

static enum status read_events(const struct value *events, uint64_t first, uint64_t last,
                               int64_t committed_us, struct window_batch **out,
                               struct problem *problem)
{
    size_t size = 0;
    if (events != NULL && !is_empty(events)) {
        size = measure(events, first, last);
        if (size == 0) {
            return problem_set(problem, STATUS_MALFORMED,
                               "the log's events %llu to %llu are not as Penstock writes them",
                               (unsigned long long)first, (unsigned long long)last);
        }
    }
    *out = window_batch_create(first, last, size);
    if (*out == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for %zu bytes of the log", size);
    }
    (*out)->committed_us = committed_us;
    if (size > 0) {
        fill(*out, events);
    }
    return STATUS_OK;
}

enum status log_batch_read(struct span events, uint64_t first, uint64_t last, int64_t committed_us,
                           struct window_batch **out, struct problem *problem)
{
    struct value value;
    if (first == 0 || last < first) {
        return problem_set(problem, STATUS_MALFORMED, "a batch of the log ends before it begins");
    }
    if (events.size == 0) {
        return read_events(NULL, first, last, committed_us, out, problem);
    }
    enum status status = json_parse(events, &value, problem);
    if (status == STATUS_OK && value.kind != VALUE_ARRAY) {
        status = problem_set(problem, STATUS_MALFORMED, "penstock.payload holds no JSON array");
    }
    return status == STATUS_OK ? read_events(&value, first, last, committed_us, out, problem)
                               : status;
}

/* ---- notifications --------------------------------------------------------------------------- */

/* 2026-05-04T10:11:12.345678Z, as commit_batch() writes it. */
static bool read_moment(struct span text, int64_t *out_us)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.ddddddZ";
    int64_t parts[7] = {0};
    size_t part = 0;
    if (text.size != sizeof form - 1) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        bool is_digit = text.data[i] >= '0' && text.data[i] <= '9';
        if (form[i] != 'd') {
            part++;
        }
        if (is_digit != (form[i] == 'd') || (!is_digit && text.data[i] != (uint8_t)form[i])) {
            return false;
        }
        if (is_digit) {
            parts[part] = parts[part] * 10 + text.data[i] - '0';
        }
    }
    /* Days since 1970 in the Gregorian calendar, years beginning in March. */
    int64_t year = parts[0] - (parts[1] <= 2), month = (parts[1] + 9) % 12;
    int64_t days = 365 * year + year / 4 - year / 100 + year / 400 + (month * 306 + 5) / 10 +
                   parts[2] - 1 - 719468;
    *out_us = ((days * 24 + parts[3]) * 60 + parts[4]) * 60000000 + parts[5] * 1000000 + parts[6];
    return true;
}

enum status notification_read(struct span payload, struct notification *out,
                              struct problem *problem)
{
    struct value whole, field, events;
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
        } else if (span_is(name, "at")) {
            fits = field.kind == VALUE_STRING && read_moment(field.raw, &out->committed_us);
        } else if (span_is(name, "node")) {
            fits = field.kind == VALUE_STRING;
            out->node = field.raw;
        } else if (span_is(name, "events")) {
            fits = field.kind == VALUE_ARRAY && !out->has_events;
            out->has_events = true;
            events = field;
        }
    }
    if (!fits || version != 1 || out->first == 0 || count == 0) {
        return problem_set(problem, STATUS_MALFORMED,
                           "a notification on the channel penstock is none of Penstock's");
    }
    out->last = out->first + count - 1;
    if (!out->has_events || is_empty(&events)) {
        return STATUS_OK;
    }
    return read_events(&events, out->first, out->last, out->committed_us, &out->batch, problem);
}
