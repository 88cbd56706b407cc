/*
 * base64url.h - base64url without padding (RFC 7515 section 2), strictly: one text for one value.
 *
 * Pure; any thread.
 */
#ifndef PENSTOCK_AUTH_BASE64URL_H
#define PENSTOCK_AUTH_BASE64URL_H

#include "penstock/bytes.h"

/* Appends the bytes; false: a character of another alphabet, a length that no bytes have, bits that
 * should be zero, or no room. */
bool base64url_decode(struct span text, struct writer *out);
void base64url_encode(struct span bytes, struct writer *out);

#endif
