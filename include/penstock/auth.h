/*
 * auth.h - who is there: tokens (JSON Web Tokens, RFC 7519) are checked and their claims read.
 *
 * A verifier holds the keys that its options name, and says of a token whether one of them signed
 * it, for us, and for now. What the claims allow is not decided here (server/edge/access/access.c).
 *
 *   options ─► verifier_create() ─► verifier
 *   verifier, token, rules, now ─► verifier_check() ─► claims, or a problem
 *
 * No problem ever carries a piece of a token or a key.
 *
 * Threads: one verifier serves all edges. verifier_check() may be called by any thread at once: it
 * takes a counted share of the keys, which never change; new keys (SIGHUP, a refreshed JWKS) are
 * another set. The lock between them is held for a pointer's copy only. create, reload and destroy
 * are main's.
 */
#ifndef PENSTOCK_AUTH_H
#define PENSTOCK_AUTH_H

#include "penstock/base.h"

struct value; /* wire.h, which cannot stand beside jansson's header, and so not beside rhonabwy's */

#define TOKEN_BYTES_MAX   8192 /* longer ones are refused unread */
#define CLAIMS_MAX        128  /* names in one token's payload */
#define SUBJECT_BYTES_MAX 256

struct verifier_options {
    const char *key;      /* a secret, PEM, JWK or JWKS; "": none. Borrows for the call */
    const char *key_file; /* a file with the same; "": none */
    const char *jwks_url; /* where a JWKS is fetched; "": nowhere */
    const char
        *jwks_authority; /* a file: who may vouch for that server; "": as the system has it */
    unsigned refresh_s;  /* between two fetches of the JWKS */
};

struct verifier;

/* BAD_CONFIG: a key that cannot be read, or is too weak. A JWKS at a URL need not be there yet. */
enum status verifier_create(const struct verifier_options *options, struct verifier **out,
                            struct problem *problem) must_use;
/* Reads the key file again, and asks for the JWKS. What fails leaves the keys as they were. */
enum status verifier_reload(struct verifier *verifier, struct problem *problem) must_use;
/* The JWKS could not be fetched when it was tried last: older keys are in force, or none. Any
 * thread; accepts NULL. */
bool verifier_lacks_jwks(const struct verifier *verifier);
void verifier_destroy(struct verifier *verifier); /* accepts NULL */

/* What a valid token says. Borrows from the writer that verifier_check() filled. */
struct claims {
    struct span json;    /* the whole payload: valid JSON, a map, no name twice */
    struct span subject; /* `sub` as text; size 0: none */
    int64_t expires_s;   /* `exp`, seconds since 1970, rounded down */
};

/* What a token must say beside being signed. May be others at each call (SIGHUP). */
struct token_rules {
    struct span issuer;   /* `iss` must be this; size 0: any */
    struct span audience; /* `aud` must be or contain this; size 0: any */
    int64_t leeway_s;     /* by how much the issuer's clock may differ from ours */
};

/*
 * Checks a token against the keys, the rules and the clock. `room` takes the payload and the
 * subject: the token's size and SUBJECT_BYTES_MAX are enough. UNAUTHORIZED with the reason, in
 * words that a client may see.
 */
enum status verifier_check(struct verifier *verifier, struct span token,
                           const struct token_rules *rules, int64_t now_s, struct writer *room,
                           struct claims *out, struct problem *problem) must_use;

/* The claim of this name; false: there is none. */
bool claims_find(const struct claims *claims, struct span name, struct value *out);

/*
 * Signs a development token: `payload` is the claims as JSON, `key` what a verifier would take,
 * with its private half. The token is written into `out`.
 */
enum status token_sign(const char *key, const char *payload, struct writer *out,
                       struct problem *problem) must_use;
/* A key file's text, which the caller wipes with key_text_free(). BAD_CONFIG: it cannot be read. */
enum status key_text_read(const char *file, char **out, struct problem *problem) must_use;
void key_text_free(char *text); /* accepts NULL */

#endif
