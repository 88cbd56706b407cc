/*
 * frame.c - builds WebSocket frame headers (RFC 6455 section 5.2).
 */
#include "frame.h"

#include <assert.h>

#define FINAL          0x80
#define LENGTH_16_BITS 126
#define LENGTH_64_BITS 127

size_t frame_header(uint8_t out[FRAME_HEADER_MAX], enum frame_opcode opcode, size_t payload_bytes)
{
    struct writer header = writer_of(out, FRAME_HEADER_MAX);
    writer_u8(&header, (uint8_t)(FINAL | opcode));
    if (payload_bytes < LENGTH_16_BITS) {
        writer_u8(&header, (uint8_t)payload_bytes);
    } else if (payload_bytes <= UINT16_MAX) {
        writer_u8(&header, LENGTH_16_BITS);
        writer_be16(&header, (uint16_t)payload_bytes);
    } else {
        writer_u8(&header, LENGTH_64_BITS);
        writer_be64(&header, payload_bytes);
    }
    return writer_size(&header);
}

bool frame_begin(struct writer *out, size_t header_room, uint8_t **start)
{
    *start = out->next;
    if (writer_take(out, header_room) == NULL) {
        frame_cancel(out, *start);
        return false;
    }
    return true;
}

void frame_end(struct writer *out, size_t header_room, uint8_t *start, enum frame_opcode opcode)
{
    uint8_t header[FRAME_HEADER_MAX];
    size_t payload_bytes = (size_t)(out->next - start) - header_room;
    size_t header_bytes = frame_header(header, opcode, payload_bytes);
    assert(header_bytes <= header_room);
    if (header_bytes < header_room) {
        memmove(start + header_bytes, start + header_room, payload_bytes);
    }
    memcpy(start, header, header_bytes);
    out->next = start + header_bytes + payload_bytes;
}

void frame_cancel(struct writer *out, uint8_t *start)
{
    out->next = start;
    out->full = false;
}
