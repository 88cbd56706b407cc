/*
 * edge.h - sockets: WebSocket sessions, HTTP pages, limits. The only stage that knows
 * libwebsockets.
 *
 * An edge is one thread with its own listening socket (SO_REUSEPORT), its own libwebsockets context
 * on its own libev loop, and its own sessions. It meets the lanes on rings (records out, receipts
 * in), the feed on the window, the history thread on rings (requests out, answers in), and so the
 * bus (broadcasts and presence, both ways).
 *
 * Life of a publish: bytes arrive → one whole message (wire.h) → each event is encoded into the
 * lane's ring (stream.h) → receipt → `ack`. Life of a push: the feed rings the bell → the reader
 * advances → cursors become ready → sockets become writable → `events`.
 *
 * Threads: edge_open/close are main's; edge_run is the edge's own; edge_stop and
 * edge_reload may be called by any.
 */
#ifndef PENSTOCK_EDGE_H
#define PENSTOCK_EDGE_H

#include "penstock/auth.h"
#include "penstock/bus.h"
#include "penstock/config.h"
#include "penstock/history.h"
#include "penstock/node.h"
#include "penstock/ring.h"
#include "penstock/stream.h"
#include "penstock/window.h"

struct edge;

/* What clients share across edges: the limits of each address and user. */
struct limits;
enum status limits_create(const struct settings *settings, unsigned edge_count, struct limits **out,
                          struct problem *problem) must_use;
void limits_destroy(struct limits *limits); /* accepts NULL; after all edges */

struct edge_options {
    unsigned index;
    const struct settings *settings;
    const struct stream_set *streams; /* to begin with */
    struct stream_handover *handover; /* later ones come here, with a ring; NULL: none ever */
    struct node *node;
    struct window *window;
    struct limits *limits;
    struct doorbell *bell;   /* rung by lanes (receipts, room in a ring), feed and history */
    struct ring **to_lane;   /* [node->lane_count] this edge produces */
    struct ring **from_lane; /* [node->lane_count] this edge consumes */
    struct doorbell **lane_bells;
    struct ring *to_history, *from_history; /* this edge produces the first, consumes the second */
    struct doorbell *history_bell;
    struct ring *to_bus, *from_bus; /* likewise */
    struct doorbell *bus_bell;
    struct verifier *verifier; /* of tokens, for all edges; NULL: nobody is asked for one */
    bool is_development;       /* `penstock dev`: shows the try-it page */
};

/* Binds and listens. ADDRESS_IN_USE and the like come from here, as one plain sentence. */
enum status edge_open(const struct edge_options *options, struct edge **out,
                      struct problem *problem) must_use;
/* The port it listens on: what the system chose, when `listen` names port 0. Before edge_stop(). */
uint16_t edge_port(const struct edge *edge);
/* Serves until edge_stop(). */
void edge_run(struct edge *edge);
/* Are the files that edge_reload() reads in order? BAD_CONFIG: which one is not. */
enum status edge_check_reload(const struct settings *settings, struct problem *problem) must_use;
/* Reads certificate and key again, for new connections, and the password of metrics_token_file. */
void edge_reload(struct edge *edge);
/* Stops accepting, closes sessions with 1001 spread over drain_ms, then edge_run() returns. */
void edge_stop(struct edge *edge);
void edge_close(struct edge *edge); /* accepts NULL */

#endif
