/*
 * tls.h - the server's certificate and key, in libwebsockets' TLS context.
 *
 * Thread: tls_check() is anybody's, the others are the edge's (and main's before it runs).
 */
#ifndef PENSTOCK_EDGE_TLS_H
#define PENSTOCK_EDGE_TLS_H

#include "penstock/config.h"

#include <openssl/ssl.h>

/* Can the files be used? BAD_CONFIG names the file and what is wrong with it. */
enum status tls_check(const struct settings *settings, struct problem *problem) must_use;
/* Rules of ours, and the files' contents; connections that are there keep what they have. What
 * fails leaves the context as it was. */
enum status tls_load(const struct settings *settings, SSL_CTX *context,
                     struct problem *problem) must_use;

#endif
