/*
 * tls.h - the server's certificate and key, in libwebsockets' TLS context.
 *
 * Thread: tls_check() is anybody's, the others are the edge's (and main's before it runs).
 */
#ifndef PENSTOCK_EDGE_TLS_H
#define PENSTOCK_EDGE_TLS_H

#include "penstock/config.h"

#include <openssl/ssl.h>

/* A certificate, those between it and its authority, and its key. */
struct identity;

/* Can the files be used? BAD_CONFIG names the file and what is wrong with it. */
enum status tls_check(const struct settings *settings, struct problem *problem) must_use;
/* Rules of ours, and the files' contents, which take the place of `*identity` (NULL: none yet).
 * Handshakes look there from now on; connections that are there keep what they have. What fails
 * leaves everything as it was. */
enum status tls_load(const struct settings *settings, SSL_CTX *context, struct identity **identity,
                     struct problem *problem) must_use;
/* When the first of its certificates expires, in seconds since 1970; 0: it does not say. */
int64_t identity_expires_s(const struct identity *identity);
void identity_free(struct identity *identity); /* accepts NULL */

#endif
