/*
 * tape.h - one MessagePack message as a flat list of tokens, in the order of its bytes.
 *
 * A token is one word of 64 bits, and a second one where a number needs all 64:
 *
 *     | payload: 56 bits | flaws: 4 | kind: 4 |
 *       an integer that fits                              (else the next word is the number)
 *       string, binary, …: size (28) and offset (28) of its bytes in the message
 *       array, map: the index of the token behind its last child; for a map, names and values
 *       alternate. To skip a container is to go there.
 *
 * A token of one word stands for at least one byte of the message, one of two words for at least
 * five, so a message of N bytes never takes more than N words. That many are reserved once: 8 bytes
 * of address space for each byte of the largest message, of which the kernel backs what messages
 * really touched (typically one word for 5 to 20 bytes).
 *
 * Thread: whoever owns the decoder.
 */
#ifndef PENSTOCK_WIRE_TAPE_H
#define PENSTOCK_WIRE_TAPE_H

#include "penstock/wire.h"

#define TAPE_MESSAGE_BYTES_MAX ((1u << 28) - 1) /* what an offset can name */

struct tape {
    uint64_t *words; /* owns */
    uint32_t count, room;
    const uint8_t *message, *message_end; /* borrows until the next message */
};

/* Fails with NO_MEMORY. */
enum status tape_init(struct tape *tape, size_t message_bytes_max,
                      struct problem *problem) must_use;
void tape_fini(struct tape *tape);

/* Reads one whole message, which must be a single value. MALFORMED or TOO_LARGE (nesting). */
enum status tape_read(struct tape *tape, struct span message, struct problem *problem) must_use;

/* The value at `token`; returns the token behind it. `decoder` is whose tape this is. */
uint32_t tape_value(const struct tape *tape, uint32_t token, const struct decoder *decoder,
                    struct value *out);

/* Writes the value at `token` as JSON text; returns the token behind it. */
uint32_t tape_json(const struct tape *tape, uint32_t token, struct writer *out);

#endif
