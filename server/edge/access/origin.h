/*
 * origin.h - which web pages may talk to us. Pure; any thread.
 *
 * A browser says in `Origin` (RFC 6454) whose page makes a request, and pages cannot forge it. Who
 * sends none is no page of another site. Allowed are:
 *
 *   - the origins of the configuration, byte for byte;
 *   - our own: the origin's host and port are those of `Host`. Without tokens the host must be an
 *     address or localhost: a page may give its own name the address of this machine ("DNS
 *     rebinding"), and would be of our own origin then. With tokens it gains nothing by that.
 */
#ifndef PENSTOCK_EDGE_ORIGIN_H
#define PENSTOCK_EDGE_ORIGIN_H

#include "penstock/bytes.h"

/* `list` as in the settings; `host` is the Host header, size 0: none. */
bool origin_is_allowed(const char *list, struct span origin, struct span host, bool asks_tokens);

#endif
