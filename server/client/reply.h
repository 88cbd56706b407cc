/* reply.h - what the server said, as a struct. Pure. */
#ifndef PENSTOCK_CLIENT_REPLY_H
#define PENSTOCK_CLIENT_REPLY_H

#include "penstock/wire.h"

/* Fields that the message did not have are 0, "" or -1 (index); texts are cut to their room. */
struct reply {
    char op[24], code[32], field[100], epoch[UUID_TEXT_BYTES + 1], reason[200], channel[256];
    char message[500];
    uint64_t id, count, duplicates, offset, from, to, retry_after_ms;
    int64_t index;
    bool has_offset, recovered;
    uint64_t limit_message_bytes, limit_events;
    struct value events; /* `events`; VALUE_NULL where there are none */
};

/* False when it is no map, which a server never sends. `message` is JSON text. */
bool reply_read(struct span message, struct reply *out);

#endif
