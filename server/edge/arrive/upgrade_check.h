/*
 * upgrade_check.h - is this a legal request for a WebSocket of ours (RFC 6455 section 4.2.1)?
 *
 * libwebsockets 4.1.6 lets through most illegal ones (measured: 20 of 31), so that everything it
 * would accept is looked at here first. Headers come as lws_hdr_copy() gives them: one that was
 * sent twice is joined by a comma, which no single-valued header may contain.
 *
 * Pure; any thread.
 */
#ifndef PENSTOCK_EDGE_UPGRADE_CHECK_H
#define PENSTOCK_EDGE_UPGRADE_CHECK_H

#include "penstock/bytes.h"
#include "penstock/status.h"
#include "penstock/wire.h"

#define UPGRADE_PATH       "/v1/ws"
#define PRODUCER_BYTES_MAX 100
#define UPGRADE_HEADER_BYTES                                            \
    120 /* libwebsockets copies some into 128 bytes and fails on longer \
         */

#define PROTOCOL_JSON    "penstock.v1.json"
#define PROTOCOL_MSGPACK "penstock.v1.msgpack"

/* Borrows. A header that is absent, or longer than the copy's room, has size 0 or is `too_long`. */
struct upgrade_request {
    bool is_get;
    bool has_body;       /* Content-Length above 0, or Transfer-Encoding */
    bool too_long;       /* some header below is */
    struct span path;    /* without the query */
    struct span version; /* "HTTP/1.1" */
    struct span host, upgrade, connection, key, key_version, protocols;
    bool has_producer;
    struct span producer; /* from `?producer=`, percent-decoded */
};

/* An HTTP status to refuse with, and the reason; 0: legal. */
int upgrade_check(const struct upgrade_request *request, struct problem *problem);

/* One value, as a client must send it exactly once. */
bool host_is_valid(struct span host);

#endif
