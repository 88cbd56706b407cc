/*
 * origin.h - which web pages may talk to us. Pure; any thread.
 *
 * A browser says in `Origin` (RFC 6454) whose page makes a request, and pages cannot forge it; but
 * it sends none with a GET to the page's own origin. So there are two questions.
 *
 * Is the `Host` a name that no stranger gives? A page may let its own name stand for the address of
 * this machine ("DNS rebinding"), and is of our own origin then. The name is still its own, so
 * without tokens a request must name an address, localhost, a name of `hosts`, or the host of a
 * listed origin; in a trusted network also what public names cannot be: one label (a container's),
 * or one below .local (RFC 6762) or .internal. With tokens a page gains nothing by that.
 *
 * Where there is an `Origin`, is it one of the configuration, byte for byte, or our own, with the
 * host and port of such a `Host`?
 */
#ifndef PENSTOCK_EDGE_ORIGIN_H
#define PENSTOCK_EDGE_ORIGIN_H

#include "penstock/bytes.h"

/* The names that are ours, as in the settings. */
struct own_hosts {
    const char *hosts, *origins; /* lists */
    bool in_trusted_network;
};
/* `host` is the Host header, with or without a port. */
bool host_is_own(const struct own_hosts *own, struct span host);
/* `list` as in the settings; `is_own`: the host is, or tokens are asked for. */
bool origin_is_allowed(const char *list, struct span origin, struct span host, bool is_own);

#endif
