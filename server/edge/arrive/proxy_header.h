/*
 * proxy_header.h - the header with which a proxy says whose connection it hands on: the PROXY
 * protocol, versions 1 and 2 (haproxy's doc/proxy-protocol.txt).
 *
 *     version 1   "PROXY TCP4 198.51.100.7 192.0.2.1 56324 443\r\n", at most 107 bytes
 *     version 2   signature (12) | version, command | family, protocol | length (2) | addresses…
 *
 * Pure; any thread.
 */
#ifndef PENSTOCK_EDGE_PROXY_HEADER_H
#define PENSTOCK_EDGE_PROXY_HEADER_H

#include "penstock/address.h"

/* Section 2.2: senders keep to what every network hands on in one piece. */
#define PROXY_HEADER_BYTES_MAX 536

enum proxy_verdict {
    PROXY_MORE,      /* the beginning of a header: all bytes belong to it, and more will */
    PROXY_WHOLE,     /* a header, perhaps with something behind it */
    PROXY_MALFORMED, /* no header, whatever comes */
};

struct proxy_header {
    size_t size;            /* where the client's own bytes begin */
    bool has_address;       /* false: the proxy speaks for itself, or does not know */
    struct address address; /* the client's */
};

/* `bytes` has at most PROXY_HEADER_BYTES_MAX. */
enum proxy_verdict proxy_header_read(struct span bytes, struct proxy_header *out);

#endif
