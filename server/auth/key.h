/*
 * key.h - keys, and what each of them may verify. Private to auth/.
 *
 * A key allows the algorithms that its own kind and its `alg` name, and no token can talk it into
 * another: an RSA key never verifies an HMAC, whatever the token's header says.
 *
 *   secret of 32, 48, 64 bytes or more   HS256; HS384; HS512 (RFC 7518 section 3.2)
 *   RSA of 2048 bits or more             RS256
 *   EC on P-256                          ES256
 *   OKP Ed25519                          EdDSA
 */
#ifndef PENSTOCK_AUTH_KEY_H
#define PENSTOCK_AUTH_KEY_H

#include "penstock/auth.h"

#include <gnutls/abstract.h>

#define KEYS_OF_SET_MAX  64
#define KEY_ID_BYTES_MAX 255
#define SECRET_BYTES_MAX 1024
#define KEY_TEXT_BYTES   (256 << 10) /* of a file or a JWKS */

enum algorithm {
    ALGORITHM_NONE = 0, /* unknown, or one that we do not take: `none` among them */
    ALGORITHM_HS256 = 1,
    ALGORITHM_HS384 = 2,
    ALGORITHM_HS512 = 4,
    ALGORITHM_RS256 = 8,
    ALGORITHM_ES256 = 16,
    ALGORITHM_EDDSA = 32,
};
/* By the name in a header or a JWK; NONE: we do not take it. */
enum algorithm algorithm_find(struct span name);

struct key {
    char id[KEY_ID_BYTES_MAX + 1]; /* `kid`; "": none */
    unsigned algorithms;           /* allowed ones, enum algorithm bits */
    gnutls_pubkey_t public;        /* owns; NULL: a secret */
    uint8_t secret[SECRET_BYTES_MAX];
    size_t secret_bytes;
};

/* Once it is made nothing of it changes; shared (counted) by whoever verifies. */
struct key_set {
    _Atomic unsigned shares;
    size_t count;
    struct key keys[];
};

/*
 * Reads a JWKS, a JWK, a PEM (public key, certificate or private key), or takes the bytes for a
 * secret. Keys of a JWKS that are for other uses or of other kinds are passed over; BAD_CONFIG when
 * none is left, or the only one is too weak. `source` names the place for the problem.
 */
enum status key_set_parse(const char *text, const char *source, struct key_set **out,
                          struct problem *problem) must_use;
/* The same of what was fetched from where others can read it: plain bytes are no secret. */
enum status key_set_parse_published(const char *text, const char *source, struct key_set **out,
                                    struct problem *problem) must_use;
/* BAD_CONFIG: plain bytes that would be a secret seem to be something that others can read. */
enum status secret_check(const char *text, const char *source, struct problem *problem) must_use;
/* "1 secret (HS256)", "2 public keys (RS256, EdDSA)": for logs. */
#define KEYS_TEXT_BYTES 120
void key_set_describe(const struct key_set *set, char out[KEYS_TEXT_BYTES]);
struct key_set *key_set_share(struct key_set *set);
void key_set_drop(struct key_set *set); /* accepts NULL; wipes secrets */

/* Did this key sign `text`? `algorithm` must be one that the key allows. */
bool key_verify(const struct key *key, enum algorithm algorithm, struct span text,
                struct span signature);

#endif
