/*
 * verified.h - tokens whose signature was found right not long ago. Private to auth/.
 *
 * A signature by ES256 or EdDSA takes about 0.3 ms to verify, on the thread that serves sockets: a
 * crowd that comes back all at once with the tokens it had would stop that thread for seconds. What
 * is kept of a token is the SHA-256 of all its bytes, and what is said of it is only that one of
 * these keys signed them. Times, issuer and audience are read and judged each time.
 *
 * The table has a fixed size. A digest chooses a set of four places, of which the one that was used
 * longest ago is given away. `keys` counts the sets of keys: under other ones nothing is known.
 *
 * Threads: any; the lock is held for a look at four places.
 */
#ifndef PENSTOCK_AUTH_VERIFIED_H
#define PENSTOCK_AUTH_VERIFIED_H

#include "penstock/base.h"

#define DIGEST_BYTES 32

struct verified;

struct verified *verified_create(void);           /* NULL: no memory */
void verified_destroy(struct verified *verified); /* accepts NULL */

/* False: no digest can be made, and nothing is to be kept. */
bool verified_digest(struct span token, uint8_t out[DIGEST_BYTES]);
bool verified_find(struct verified *verified, const uint8_t digest[DIGEST_BYTES], uint64_t keys);
void verified_add(struct verified *verified, const uint8_t digest[DIGEST_BYTES], uint64_t keys);

#endif
