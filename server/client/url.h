/* url.h - ws://host:port/path?query in pieces. Pure. */
#ifndef PENSTOCK_CLIENT_URL_H
#define PENSTOCK_CLIENT_URL_H

#include "penstock/status.h"

struct url {
    bool is_secure;
    char host[256]; /* an IPv6 address without its brackets */
    char host_header[280];
    int port;
    char path[1024]; /* with the query */
};

/* `producer`: added to the query, so that the server keeps the order of one client's messages over
 * reconnects; NULL: not. */
enum status url_read(const char *text, const char *producer, struct url *out,
                     struct problem *problem) must_use;

#endif
