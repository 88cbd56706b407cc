/* unpack.h - MessagePack, as the server sends it, to JSON text. Pure. */
#ifndef PENSTOCK_CLIENT_UNPACK_H
#define PENSTOCK_CLIENT_UNPACK_H

#include "penstock/wire.h"

/* Returns false when the bytes are not one whole value that has a JSON form. Lengths are checked
 * against the bytes that are there. `out->full`: it did not fit. */
bool unpack_to_json(struct span bytes, struct writer *out);

#endif
