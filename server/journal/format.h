/*
 * format.h - what stands in a segment, byte by byte. Pure: memory in, verdict out.
 *
 *     segment: | segment_header, 4096 | frame | frame | … | mark | what was there before … |
 *     frame:   | frame_header | records, back to back | zeros to 4096 |
 *     mark:    | frame_header | zeros to 4096 |
 *
 * A frame begins at a multiple of 4096. Its header names the journal, the segment and the sequence
 * number it was written for, under a checksum of its own that also covers the checksum of the body.
 * So a frame of a recycled segment's former life is recognised as stale, never as damage, and what
 * a client publishes cannot pose as a frame: the journal's id is drawn at random and never shown.
 *
 * A mark is written behind the last frame when nothing follows for a second, and at the close: it
 * says that the frame before it was durable, so that damage to the last frame is told from a write
 * that was cut short. The next frame is written over it.
 *
 * Integers are in host order; the segment header says which.
 */
#ifndef JOURNAL_FORMAT_H
#define JOURNAL_FORMAT_H

#include "penstock/base.h"

#define PAGE_BYTES 4096u

#define SEGMENT_MAGIC      0x746d6753656e6550u /* "PeneSgmt" as bytes on a little-endian machine */
#define SEGMENT_VERSION    2u                  /* 2: event headers behind the events */
#define SEGMENT_BYTE_ORDER 0x01020304u
#define SEGMENT_NODE_BYTES 64

struct segment_header {
    uint64_t magic;
    uint32_t version;
    uint32_t byte_order;
    uint64_t journal_id;
    uint64_t number;            /* equals the file's name, unless it waits to be recycled */
    uint64_t kept_from;         /* lowest segment that was not wholly released then */
    uint64_t first_sequence;    /* of its first frame, or lower (recover_segment.c, follows()) */
    uint64_t previous_sequence; /* last frame before this segment; 0: none */
    uint64_t bytes;             /* of the file */
    uint32_t lane;
    uint32_t node_bytes;
    char node[SEGMENT_NODE_BYTES];
    uint32_t zero;
    uint32_t crc; /* CRC-32C of this struct with crc = 0 */
};
_Static_assert(sizeof(struct segment_header) == 144, "the layout on disk");

/* No journal gets there; beyond it is nothing that we wrote, whatever the checksums say. */
#define SEQUENCE_MAX (UINT64_MAX / 4)

#define FRAME_MAGIC 0x6d724650u /* "PFrm" */

enum frame_kind { FRAME_RECORDS = 1, FRAME_MARK = 2 };

struct frame_header {
    uint32_t magic;
    uint32_t kind; /* enum frame_kind */
    uint64_t journal_id;
    uint64_t segment;
    uint64_t sequence; /* of a mark: the last durable frame's */
    uint64_t previous; /* the durable frame before; of a mark: the same as sequence */
    uint64_t kept_from;
    uint32_t body_bytes;
    uint32_t body_crc;
    uint32_t records;
    uint32_t events;
    uint32_t zero;
    uint32_t crc; /* CRC-32C of this struct with crc = 0 */
};
_Static_assert(sizeof(struct frame_header) == 72, "the layout on disk; keeps records aligned to 8");

/* Bytes on disk of a frame with this body. */
static inline uint64_t frame_bytes(uint64_t body_bytes)
{
    return (sizeof(struct frame_header) + body_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

void segment_header_seal(struct segment_header *header);

enum header_verdict {
    HEADER_WHOLE,
    HEADER_ZERO,          /* never written */
    HEADER_OTHER_VERSION, /* ours, but of another version of this program */
    HEADER_OTHER_ORDER,   /* ours, but from a machine of the other byte order */
    HEADER_BROKEN,
};
enum header_verdict segment_header_check(const uint8_t page[PAGE_BYTES],
                                         struct segment_header *out);

/* Fills in the checksums; `body` is what the header describes. */
void frame_header_seal(struct frame_header *header, struct span body);
/* A frame or mark of this journal and segment, by its header alone. */
bool frame_header_check(const uint8_t *at, uint64_t journal_id, uint64_t segment,
                        struct frame_header *out);
/* Whether a page that failed the check was meant to be that very frame: most of its identity fits.
 * Stale frames share only magic and journal. */
bool frame_header_resembles(const uint8_t *at, uint64_t journal_id, uint64_t segment,
                            uint64_t sequence);
/* The body fits its checksum. */
bool frame_body_check(const struct frame_header *header, struct span body);
/* Records walk from end to end, and their number and events are what the header says. */
bool frame_records_check(const struct frame_header *header, struct span body);

#endif
