/*
 * record.c - checks and walks records (penstock/record.h draws their layout).
 *
 * Records come from a ring, where our own edge wrote them, and from a journal, where their bytes
 * carried a checksum; still each size is compared with the bytes that are there before it is used.
 * Headers are copied out, because a journal's reader may hold a record at any address.
 */
#include "penstock/record.h"

static bool header_is_sound(const struct record_header *header, size_t room)
{
    if (header->bytes < sizeof *header || header->bytes > room ||
        header->bytes > RECORD_BYTES_MAX || header->bytes % RECORD_ALIGN != 0) {
        return false;
    }
    if (header->id_bytes > MESSAGE_ID_BYTES_MAX ||
        header->id_bytes > header->bytes - sizeof *header || header->ack > ACK_BOTH) {
        return false;
    }
    return header->kind == RECORD_EVENTS || (header->kind == RECORD_SCHEMA && header->events == 0);
}

bool record_open(struct span bytes, struct record_cursor *out)
{
    if (bytes.size < sizeof out->header) {
        return false;
    }
    memcpy(&out->header, bytes.data, sizeof out->header);
    if (!header_is_sound(&out->header, bytes.size)) {
        return false;
    }
    out->id = span_of(bytes.data + sizeof out->header, out->header.id_bytes);
    out->next = out->id.data + out->id.size;
    out->end = bytes.data + out->header.bytes;
    size_t headers_bytes = (size_t)out->header.events * sizeof(struct event_header);
    if (headers_bytes > (size_t)(out->end - out->next)) {
        return false;
    }
    out->end -= headers_bytes;
    out->headers = out->end;
    out->events_left = out->header.events;
    return true;
}

static bool contradict(struct record_cursor *cursor)
{
    cursor->next = NULL;
    cursor->events_left = 0;
    return false;
}

bool record_next(struct record_cursor *cursor, struct event_view *out)
{
    if (cursor->next == NULL || cursor->header.kind != RECORD_EVENTS) {
        return false;
    }
    size_t room = (size_t)(cursor->end - cursor->next);
    if (cursor->events_left == 0) {
        /* Only padding may be left. */
        return room < RECORD_ALIGN ? false : contradict(cursor);
    }
    memcpy(&out->header, cursor->headers, sizeof out->header);
    if (out->header.row_bytes > room || out->header.push_bytes > room - out->header.row_bytes) {
        return contradict(cursor);
    }
    out->row = span_of(cursor->next, out->header.row_bytes);
    out->push = span_of(out->row.data + out->row.size, out->header.push_bytes);
    cursor->next = out->push.data + out->push.size;
    cursor->headers += sizeof out->header;
    cursor->events_left--;
    return true;
}

void record_end(struct writer *out, const struct event_header *headers, uint32_t count)
{
    static const uint8_t zeros[RECORD_ALIGN];
    writer_bytes(out, zeros, -writer_size(out) & (RECORD_ALIGN - 1));
    writer_bytes(out, headers, count * sizeof *headers);
}

bool push_open(struct span push, struct push_view *out)
{
    *out = (struct push_view){0};
    if (push.size == 0) {
        return true; /* nobody hears of it */
    }
    const uint8_t *at = push.data, *end = push.data + push.size;
    unsigned count = *at++;
    if (count > EVENT_CHANNELS_MAX) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        if (at == end || *at == 0 || *at > CHANNEL_BYTES_MAX || *at > end - at - 1) {
            return false;
        }
        out->channels[i] = span_of(at + 1, *at);
        at += 1 + *at;
    }
    out->channel_count = count;
    out->data = span_of(at, (size_t)(end - at));
    return true;
}
