/*
 * keys_network.c - where clients connect, and how long connections may take.
 */
#include "keys.h"

#include "penstock/node.h"

static const struct key network[] = {
    TEXT(listen, FIXED, "HOST:PORT", "127.0.0.1:8080", 300,
         "Where clients connect: an address or a name, and a port; IPv6 in brackets, as in "
         "[::1]:8080. Port 0 takes a free one."),
    SWITCH(trusted_network, FIXED, "false",
           "Allows `listen` to be an address that other machines can reach although clients come "
           "without TLS, or need no token: everybody in that network is trusted."),
    TEXT(trusted_proxy, LIVE, "NETWORKS", "", 2000,
         "Proxies in front of this server, as addresses and networks: 127.0.0.1, 10.0.0.0/8. "
         "What they say in X-Forwarded-For is the client's address; what others say there is "
         "ignored. Empty: none."),
    SWITCH(proxy_protocol, LIVE, "false",
           "Each connection from a trusted_proxy begins with a header of the PROXY protocol, "
           "version 1 or 2; one without it is closed."),
    TEXT(tls_certificate, FIXED, "FILE", "", 3000,
         "The server's certificate and those between it and its authority, as PEM: clients then "
         "connect with https and wss. Read again on SIGHUP, for new connections."),
    TEXT(tls_key, FIXED, "FILE", "", 3000, "The private key of tls_certificate, as PEM."),
    TEXT(origins, LIVE, "LIST", "", 8000,
         "Which web pages may connect, beside the server's own: origins exactly as browsers send "
         "them, between commas, as in https://app.example, https://admin.example:8443."),
    TEXT(hosts, LIVE, "LIST", "", 8000,
         "Names under which clients reach this server where it asks for no tokens, between commas "
         "and without ports, as in gate.example: requests for another Host are refused, because "
         "a web page can let its own name stand for this machine. Always answered are addresses, "
         "localhost and the hosts of `origins`; with trusted_network also names without a dot, "
         "as containers have, and those that end with .local or .internal."),
    NUMBER(edge_threads, FIXED, "N", "0", 0, EDGES_MAX,
           "Threads that serve sockets. 0: one for up to two processors, else half of them."),
    NUMBER(connections, FIXED, "N", "10000", 1, 1000000,
           "Open connections, and so file descriptors, for each edge thread; the next one waits "
           "until one of them ends."),
    NUMBER(heartbeat_s, LIVE, "SECONDS", "30", 1, 3600,
           "A connection silent for this long is pinged; one that stays silent is closed. As "
           "often, subscribers hear how far the log has come while their channels were quiet."),
    NUMBER(handshake_s, FIXED, "SECONDS", "10", 1, 300,
           "A connection that has not finished its upgrade by then is closed."),
    NUMBER(idle_s, LIVE, "SECONDS", "0", 0, 604800,
           "A WebSocket that is subscribed to nothing and has sent no message for this long is "
           "closed. 0: never."),
    NUMBER(http_wait_ms, LIVE, "MS", "10000", 100, 600000,
           "A request over HTTP waits so long for its events to become durable or committed, or "
           "for its history to be read; then it is answered with what is known."),
    NUMBER(drain_ms, LIVE, "MS", "5000", 0, 600000,
           "At shutdown, clients are sent away spread over this time, so that they do not all "
           "come back at once."),
};
const struct key_group keys_network = {network, sizeof network / sizeof network[0]};
