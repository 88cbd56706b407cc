/* format.c - seals and checks what stands in a segment. See format.h. */
#include "format.h"

#include "penstock/record.h"

static uint32_t segment_header_crc(struct segment_header header)
{
    header.crc = 0;
    return crc32c(0, &header, sizeof header);
}

void segment_header_seal(struct segment_header *header)
{
    header->crc = segment_header_crc(*header);
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

enum header_verdict segment_header_check(const uint8_t page[PAGE_BYTES], struct segment_header *out)
{
    memcpy(out, page, sizeof *out);
    if (is_zero(page, sizeof *out)) {
        return HEADER_ZERO;
    }
    if (out->magic == __builtin_bswap64(SEGMENT_MAGIC)) {
        return HEADER_OTHER_ORDER;
    }
    if (out->magic == SEGMENT_MAGIC && out->version != SEGMENT_VERSION) {
        return HEADER_OTHER_VERSION;
    }
    if (out->magic != SEGMENT_MAGIC || out->byte_order != SEGMENT_BYTE_ORDER ||
        out->node_bytes > SEGMENT_NODE_BYTES || out->first_sequence > SEQUENCE_MAX ||
        out->previous_sequence > SEQUENCE_MAX || out->crc != segment_header_crc(*out)) {
        return HEADER_BROKEN;
    }
    return HEADER_WHOLE;
}

static uint32_t frame_header_crc(struct frame_header header)
{
    header.crc = 0;
    return crc32c(0, &header, sizeof header);
}

void frame_header_seal(struct frame_header *header, struct span body)
{
    header->body_bytes = (uint32_t)body.size;
    header->body_crc = crc32c(0, body.data, body.size);
    header->crc = frame_header_crc(*header);
}

bool frame_header_check(const uint8_t *at, uint64_t journal_id, uint64_t segment,
                        struct frame_header *out)
{
    memcpy(out, at, sizeof *out);
    if (out->magic != FRAME_MAGIC || out->sequence > SEQUENCE_MAX || out->segment != segment ||
        out->journal_id != journal_id || out->crc != frame_header_crc(*out)) {
        return false;
    }
    if (out->kind == FRAME_MARK) {
        return out->body_bytes == 0;
    }
    return out->kind == FRAME_RECORDS && out->body_bytes % RECORD_ALIGN == 0;
}

bool frame_header_resembles(const uint8_t *at, uint64_t journal_id, uint64_t segment,
                            uint64_t sequence)
{
    struct frame_header header;
    memcpy(&header, at, sizeof header);
    int fits = (header.magic == FRAME_MAGIC) + (header.journal_id == journal_id) +
               (header.segment == segment) + (header.sequence == sequence);
    return fits >= 3;
}

bool frame_body_check(const struct frame_header *header, struct span body)
{
    return header->body_bytes == body.size && header->body_crc == crc32c(0, body.data, body.size);
}

bool frame_records_check(const struct frame_header *header, struct span body)
{
    uint32_t records = 0;
    uint64_t events = 0;
    while (body.size > 0) {
        struct record_cursor cursor;
        if (!record_open(body, &cursor)) {
            return false;
        }
        records++;
        events += cursor.header.events;
        body = span_of(body.data + cursor.header.bytes, body.size - cursor.header.bytes);
    }
    return records == header->records && events == header->events;
}
