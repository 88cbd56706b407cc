/*
 * tape_word.h - the bits of a tape's token; tape.h draws them.
 */
#ifndef PENSTOCK_WIRE_TAPE_WORD_H
#define PENSTOCK_WIRE_TAPE_WORD_H

#include "tape.h"

enum tape_kind {
    TAPE_NULL,
    TAPE_FALSE,
    TAPE_TRUE,
    TAPE_INT,      /* in the payload */
    TAPE_INT_WIDE, /* in the next word, as are these two */
    TAPE_UINT_WIDE,
    TAPE_FLOAT_WIDE,
    TAPE_STRING,
    TAPE_PLAIN, /* a string that needs no escape in JSON, ASCII only */
    TAPE_BINARY,
    TAPE_TIMESTAMP, /* the bytes behind the extension's type */
    TAPE_EXTENSION,
    TAPE_ARRAY,
    TAPE_MAP,
};

#define PLACE_BITS 28
#define PLACE_MASK ((1u << PLACE_BITS) - 1)

static inline uint64_t word_of(enum tape_kind kind, unsigned flaws, uint64_t payload)
{
    return payload << 8 | (uint64_t)flaws << 4 | (uint64_t)kind;
}

static inline enum tape_kind word_kind(uint64_t word)
{
    return (enum tape_kind)(word & 15);
}

static inline unsigned word_flaws(uint64_t word)
{
    return (unsigned)(word >> 4) & 15;
}

static inline int64_t word_integer(uint64_t word)
{
    return (int64_t)word >> 8;
}

static inline struct span word_bytes(const struct tape *tape, uint64_t word)
{
    uint64_t payload = word >> 8;
    return span_of(tape->message + (payload & PLACE_MASK), payload >> PLACE_BITS);
}

static inline uint32_t word_end(uint64_t word)
{
    return (uint32_t)(word >> 8);
}

#endif
