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
    out[0] = (uint8_t)(FINAL | opcode);
    if (payload_bytes < LENGTH_16_BITS) {
        out[1] = (uint8_t)payload_bytes;
        return 2;
    }
    if (payload_bytes <= UINT16_MAX) {
        uint16_t length = htobe16((uint16_t)payload_bytes);
        out[1] = LENGTH_16_BITS;
        memcpy(out + 2, &length, sizeof length);
        return 2 + sizeof length;
    }
    uint64_t length = htobe64(payload_bytes);
    out[1] = LENGTH_64_BITS;
    memcpy(out + 2, &length, sizeof length);
    return 2 + sizeof length;
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
