/*
 * emit.h - a message's map, field by field, in either encoding.
 *
 * The caller writes fields; the braces, commas and MessagePack's count are ours. A message has
 * fewer than 16 fields, so its count fits the one byte that emit_begin() leaves for it.
 */
#ifndef PENSTOCK_WIRE_EMIT_H
#define PENSTOCK_WIRE_EMIT_H

#include "penstock/wire.h"

struct emitter {
    struct writer *out;
    enum encoding encoding;
    uint8_t *count_at; /* MessagePack: the byte of the map's count; NULL when it did not fit */
    unsigned count;
};

void emit_begin(struct emitter *e, struct writer *out, enum encoding encoding);
void emit_end(struct emitter *e);

void emit_name(struct emitter *e, const char *name); /* its value is the caller's to write */
void emit_text(struct emitter *e, const char *name, struct span text);
/* Text that may have been cut in the middle of a rune. */
void emit_sentence(struct emitter *e, const char *name, struct span text);
void emit_uint(struct emitter *e, const char *name, uint64_t value);
void emit_bool(struct emitter *e, const char *name, bool value);
/* JSON text; left out when it is empty. */
void emit_json(struct emitter *e, const char *name, struct span json);

#endif
