/*
 * token.h - a token taken apart, and its claims judged. Pure; any thread. Private to auth/.
 */
#ifndef PENSTOCK_AUTH_TOKEN_H
#define PENSTOCK_AUTH_TOKEN_H

#include "key.h"

#define SIGNATURE_BYTES_MAX 1024 /* RSA of 8192 bits */

/* The three parts of a compact JWS (RFC 7515 section 3.1). Borrows from the token. */
struct token {
    struct span payload; /* base64url */
    struct span text;    /* header and payload: what is signed */
    enum algorithm algorithm;
    char id[KEY_ID_BYTES_MAX + 1]; /* `kid` of the header; "": none */
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t signature_bytes;
};

/* Cuts, decodes the header and the signature, and refuses what no header of ours says. */
enum status token_read(struct span token, struct token *out, struct problem *problem) must_use;

/* Decodes the payload, whose signature was verified, and rules on time, issuer and audience. */
enum status token_read_claims(const struct token *token, const struct token_rules *rules,
                              int64_t now_s, struct writer *room, struct claims *out,
                              struct problem *problem) must_use;

#endif
