/*
 * forwarded.h - whose request a proxy hands on, from X-Forwarded-For.
 *
 * Every proxy appends the address that it was called from, so the list is read from its end, and
 * only as far as those who wrote it are trusted: what a client puts into the header itself stands
 * before what the first trusted proxy appended, and is never reached.
 *
 *     X-Forwarded-For: 6.6.6.6, 198.51.100.7, 10.0.0.2        called from 10.0.0.1
 *                      forged   the client    trusted         trusted
 *
 * `Forwarded` (RFC 7239) is not read: libwebsockets 4.1.6 has no token for it, and the proxies that
 * write it write the other one, too.
 *
 * Pure; any thread.
 */
#ifndef PENSTOCK_EDGE_FORWARDED_H
#define PENSTOCK_EDGE_FORWARDED_H

#include "penstock/address.h"

/* The rightmost address that is not trusted, beginning with `peer`; where the list ends before, or
 * has something else than an address, the last one that was read. */
struct address forwarded_client(const struct address *peer, struct span header,
                                const struct network_list *trusted);

#endif
