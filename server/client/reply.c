/* reply.c - see reply.h. */
#include "reply.h"

static void read_text(const struct value *value, char *out, size_t room)
{
    uint8_t bytes[1024];
    struct writer text = writer_of(bytes, sizeof bytes);
    if (value->kind != VALUE_STRING || value->flaws != 0) {
        return;
    }
    value_text(value, &text);
    size_t size = writer_size(&text) < room - 1 ? writer_size(&text) : room - 1;
    while (size > 0 && size < writer_size(&text) && (bytes[size] & 0xc0) == 0x80) {
        size--; /* not inside a rune */
    }
    memcpy(out, bytes, size);
    out[size] = '\0';
}

static void read_natural(const struct value *value, uint64_t *out)
{
    int64_t number;
    if (value_int64(value, &number) && number >= 0) {
        *out = (uint64_t)number;
    }
}

static void read_limits(const struct value *limits, struct reply *out)
{
    struct map_cursor cursor;
    struct span name;
    struct value value;
    if (limits->kind != VALUE_MAP) {
        return;
    }
    map_begin(limits, &cursor);
    while (map_next(&cursor, &name, &value)) {
        if (span_is(name, "message_bytes")) {
            read_natural(&value, &out->limit_message_bytes);
        } else if (span_is(name, "events")) {
            read_natural(&value, &out->limit_events);
        }
    }
}

static bool read_texts(struct span name, const struct value *value, struct reply *out)
{
    struct {
        const char *name;
        char *out;
        size_t room;
    } texts[] = {{"op", out->op, sizeof out->op},
                 {"code", out->code, sizeof out->code},
                 {"field", out->field, sizeof out->field},
                 {"epoch", out->epoch, sizeof out->epoch},
                 {"reason", out->reason, sizeof out->reason},
                 {"channel", out->channel, sizeof out->channel},
                 {"message", out->message, sizeof out->message}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (span_is(name, texts[i].name)) {
            read_text(value, texts[i].out, texts[i].room);
            return true;
        }
    }
    return false;
}

static bool read_numbers(struct span name, const struct value *value, struct reply *out)
{
    struct {
        const char *name;
        uint64_t *out;
    } numbers[] = {{"id", &out->id},
                   {"count", &out->count},
                   {"duplicates", &out->duplicates},
                   {"offset", &out->offset},
                   {"from", &out->from},
                   {"to", &out->to},
                   {"retry_after_ms", &out->retry_after_ms}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (span_is(name, numbers[i].name)) {
            read_natural(value, numbers[i].out);
            return true;
        }
    }
    return false;
}

bool reply_read(struct span message, struct reply *out)
{
    struct value map, value;
    struct map_cursor cursor;
    struct problem problem;
    struct span name;
    *out = (struct reply){.index = -1};
    if (json_parse(message, &map, &problem) != STATUS_OK || map.kind != VALUE_MAP) {
        return false;
    }
    map_begin(&map, &cursor);
    while (map_next(&cursor, &name, &value)) {
        if (read_texts(name, &value, out) || read_numbers(name, &value, out)) {
            out->has_offset = out->has_offset || span_is(name, "offset");
        } else if (span_is(name, "index")) {
            (void)value_int64(&value, &out->index);
        } else if (span_is(name, "recovered")) {
            out->recovered = value.kind == VALUE_BOOL && value.boolean;
        } else if (span_is(name, "limits")) {
            read_limits(&value, out);
        } else if (span_is(name, "events")) {
            out->events = value;
        }
    }
    return true;
}
